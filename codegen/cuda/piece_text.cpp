// Rows in pieces, whose elements are loaded together before the first of them is used.
#include <algorithm>

#include "codegen/cuda/row_writer.h"

namespace weft::codegen {

using ir::KernelReduction;
using ir::ReductionOrder;
using Mapping = CudaSchedule::Mapping;

namespace {

}  // namespace

/// Elements that are loaded before the first of them is used: fewer where much is loaded for each.
int RowWriter::piece(std::size_t stage) const {
  std::size_t loads = 0;
  for (std::size_t n = 0; n < k_.stages[stage].sources.size(); ++n)
    loads += kept_in_array(stage, n) ? 1 : 0;
  const bool much = k_.stages[stage].body.code.size() > 100;
  const int count = loads > 2 || much ? 4 : loads == 2 ? 8 : 16;
  // Few threads, which walk far: more at a time.
  const bool alone =
      s_.mapping == Mapping::thread && storage_.elements == 0 && frame_.layout.constant;
  return alone && s_.few ? 2 * count : count;
}

/// Elements that a turn of the loop over a row takes, where it is not written out.
int RowWriter::turn(std::size_t stage) const {
  return std::max(piece(stage), s_.mapping == Mapping::thread ? 1 : lanes_each());
}

void RowWriter::write_position() {
  out_.line("const int at = from + e;");
  if (s_.mapping == Mapping::thread) {
    out_.line(cat({"const ", index_, " r = base + at;"}));
    return;
  }
  const std::string lanes = std::to_string(lanes_each()), team = std::to_string(s_.team);
  out_.line(cat({"const ", index_, " r = base + at / ", lanes, " * 64 + at % ", lanes, " * ", team,
                 s_.team == 1 ? ";" : " + t;"}));
}

/// Whether element `r`, number `at`, is one of the row's: true, where it must be.
std::string RowWriter::inside(std::size_t stage) const {
  const std::string within = within_row(stage);
  if (!some_idle_) return within;
  return within == "true" ? "active" : cat({"active && (", within, ")"});
}

std::string RowWriter::within_row(std::size_t stage) const {
  const auto row = frame_.clip.empty() ? k_.axes.back().constant() : std::nullopt;
  const std::string_view bounded = s_.mapping == Mapping::thread ? "r < n" : "r < stop";
  if (!row) return std::string(bounded);
  const std::int64_t count =
      storage_.elements > 0 ? (storage_.elements + 15) / 16 * 16 : turn(stage);
  const std::int64_t each = s_.mapping == Mapping::thread ? 1 : s_.team;
  const std::int64_t length = one_level_ || s_.mapping == Mapping::thread ? *row : ir::lane_block;
  const bool whole_blocks = length == *row || *row % length == 0;
  if (storage_.elements == 0)
    return whole_blocks && length % (count * each) == 0 ? "true" : std::string(bounded);
  if (!whole_blocks || (length < *row && *row % (s_.parts * length) != 0))
    return std::string(bounded);
  const std::int64_t full = s_.mapping == Mapping::thread ? length : length / 64 * lanes_each();
  return cat({"at < ", std::to_string(full), full * each == length ? "" : cat({" || ", bounded})});
}

/// Elements [0, count) from `base` on.
void RowWriter::write_pieces(std::size_t stage, int count) {
  const std::string size = std::to_string(std::min(piece(stage), count));
  out_.line("#pragma unroll");
  out_.open(cat({"for (int from = 0; from < ", std::to_string(count), "; from += ", size, ")"}));
  if (s_.mapping == Mapping::thread) write_end_of_block(stage);
  const auto loop = [&] {
    out_.line("#pragma unroll");
    out_.open(cat({"for (int e = 0; e < ", size, "; ++e)"}));
    write_position();
  };
  const ir::Stage& s = k_.stages[stage];
  bool any = false;
  for (std::size_t n = 0; n < s.sources.size(); ++n) {
    if (!kept_in_array(stage, n)) continue;
    any = true;
    out_.line(cat({cuda_type(s.body.inputs[n]), " x", str(n), "[", size, "];"}));
  }
  if (any) {
    loop();
    out_.open(cat({"if (", inside(stage), ")"}));
    for (std::size_t n = 0; n < s.sources.size(); ++n)
      if (kept_in_array(stage, n))
        out_.line(cat({"x", str(n), "[e] = ", place(s.sources[n].id), ";"}));
    out_.close();
    out_.close();
  }
  loop();
  for (std::size_t r = 0; r < reductions(stage).size(); ++r) {
    const KernelReduction& reduction = reductions(stage)[r];
    for (std::size_t a = 0; a < reduction.temps.size(); ++a) {
      const DType t = accumulator(reduction, a);
      out_.line(cat({cuda_type(t), " l", str(r), "_", str(a), " = ",
                     literal(t, reduction.identity[a]), ";"}));
    }
  }
  out_.open(cat({"if (", inside(stage), ")"}));
  write_element(stage);
  const std::string own = cat({"[at % ", std::to_string(lanes_each()), "]"});
  for (std::size_t r = 0; r < reductions(stage).size(); ++r) {
    const KernelReduction& reduction = reductions(stage)[r];
    const bool in_order = s_.mapping == Mapping::thread;
    if (in_order || reduction.order == ReductionOrder::lanes)
      combine(stage, r, names(reduction, r, 'f', in_order ? "" : own),
              names(reduction, r, 'l', ""));
  }
  out_.close();
  if (s_.mapping == Mapping::lanes) write_accumulation(stage);
  out_.close();
  out_.close();
}

/// What several stages read, where it is first met: all of it at once.
void RowWriter::write_held(std::size_t stage) {
  std::vector<int> fresh;
  const auto reads = [&](std::size_t i, int access) {
    const auto& sources = k_.stages[i].sources;
    for (std::size_t n = 0; k_.stages[i].over_row && n < sources.size(); ++n) {
      if (sources[n].kind == ir::Source::Kind::load && sources[n].id == access &&
          reads_input(k_.stages[i].body, n))
        return true;
    }
    return false;
  };
  for (const int access : storage_.held) {
    std::size_t first = 0;
    while (!reads(first, access)) ++first;
    if (first == stage) fresh.push_back(access);
  }
  if (fresh.empty()) return;
  out_.line("#pragma unroll");
  out_.open(cat({"for (int e = 0; e < ", std::to_string(storage_.elements), "; ++e)"}));
  out_.line("const int from = 0;");
  write_position();
  out_.open(cat({"if (", inside(stage), ")"}));
  for (const int access : fresh)
    out_.line(cat({"q", std::to_string(access), "[at] = ", place(access), ";"}));
  out_.close();
  out_.close();
}

/// The elements that this thread has of those from `start` on: written out, or in a loop to `end`.
void RowWriter::write_owned_elements(std::size_t stage, std::string_view start,
                                     std::string_view end) {
  if (storage_.elements > 0) {
    out_.line(cat({"const ", index_, " base = ", start, ";"}));
    write_held(stage);
    write_pieces(stage, storage_.elements);
    return;
  }
  const int count = turn(stage);
  const int length = s_.mapping == Mapping::thread ? count : count * s_.team;
  out_.line("#pragma unroll 1");
  out_.open(cat({"for (", index_, " base = ", start, "; base < ", end,
                 "; base += ", std::to_string(length), ")"}));
  write_pieces(stage, count);
  out_.close();
}

}  // namespace weft::codegen
