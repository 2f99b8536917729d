#include "codegen/cuda/row_text.h"

#include <algorithm>
#include <cassert>

#include "codegen/cuda/column_text.h"
#include "codegen/cuda/row_writer.h"

namespace weft::codegen {

using ir::Kernel;
using ir::KernelReduction;
using ir::ReductionOrder;
using Mapping = CudaSchedule::Mapping;
using Place = RowStorage::Place;

namespace {

std::string join(const std::vector<std::string>& pieces) {
  std::string all;
  for (const std::string& p : pieces) all.append(all.empty() ? "" : ", ").append(p);
  return all;
}

}  // namespace

int fastest_axis(const Kernel& k, const KernelFrame& frame) {
  std::vector<int> votes(frame.extents.size(), 0);
  for (const ir::Stage& stage : k.stages) {
    const auto vote = [&](int access) {
      const auto& a = frame.accesses[static_cast<std::size_t>(access)];
      for (std::size_t j = 0; j < votes.size(); ++j)
        if (a.row_stride != "0" && a.row_stride != "1" && a.strides[j] == "1") ++votes[j];
    };
    if (!stage.over_row) continue;
    for (const ir::Source& s : stage.sources)
      if (s.kind == ir::Source::Kind::load) vote(s.id);
    for (const ir::Sink& s : stage.sinks)
      if (s.kind == ir::Sink::Kind::store) vote(s.id);
  }
  const auto most = std::ranges::max_element(votes);
  return most == votes.end() || *most == 0 ? -1 : static_cast<int>(most - votes.begin());
}

// ---- Combine steps ------------------------------------------------------------------------------

void write_combines(const Kernel& k, std::string_view name, TextWriter& out) {
  for (std::size_t i = 0; i < k.stages.size(); ++i) {
    for (std::size_t r = 0; r < k.stages[i].reductions.size(); ++r) {
      const KernelReduction& reduction = k.stages[i].reductions[r];
      const std::size_t count = reduction.temps.size();
      std::vector<std::string> parameters, inputs;
      for (std::size_t a = 0; a < 2 * count; ++a) {
        const bool left = a < count;
        const std::string parameter = (left ? "a" : "b") + str(left ? a : a - count);
        parameters.push_back(
            cat({cuda_type(reduction.combine.inputs[a]), left ? "& " : " ", parameter}));
        inputs.push_back(left ? "old" + str(a) : parameter);
      }
      const std::string prefix = cat({name, "_combine", str(i), "_", str(r)});
      write_tables(out, reduction.combine, prefix + "_table");
      out.open(cat({"WEFT_FUNCTION void ", prefix, "(", join(parameters), ")"}));
      for (std::size_t a = 0; a < count; ++a)
        out.line(cat({"const ", cuda_type(reduction.combine.inputs[a]), " old", str(a), " = a",
                      str(a), ";"}));
      const auto values = write_program(out, reduction.combine, inputs, {}, "v", prefix + "_table");
      for (std::size_t a = 0; a < count; ++a) out.line(cat({"a", str(a), " = ", values[a], ";"}));
      out.close();
    }
  }
}

void RowWriter::combine(std::size_t stage, std::size_t r, const Names& left, const Names& right) {
  out_.line(
      cat({name_, "_combine", str(stage), "_", str(r), "(", join(left), ", ", join(right), ");"}));
}

// ---- What all mappings share --------------------------------------------------------------------

std::string RowWriter::place(int access) const {
  const std::string& stride = frame_.accesses[static_cast<std::size_t>(access)].row_stride;
  std::string element = "at" + std::to_string(access);
  if (stride != "0") element.append(stride == "1" ? " + r" : " + r * " + stride);
  return cat({pointer_text(k_, access), "[", element, "]"});
}

std::string RowWriter::row_temp(int temp) const {
  const std::string array = "r" + std::to_string(temp);
  switch (storage_.place) {
    case Place::registers: return array + "[at]";
    case Place::scratch: return array + (alone() ? "[(weft_i64)r * units]" : "[r]");
    case Place::shared:
    case Place::none: break;
  }
  return array + "[r]";
}

/// `unit`: what takes an item; `units`: how many there are.
void RowWriter::write_units() {
  out_.line(cat({"const ", index_, " items = ", frame_.items(), ";"}));
  const std::string team = std::to_string(std::min(s_.team, s_.threads_each()));
  const std::string per_block = std::to_string(s_.rows_at_once());
  if (!alone())
    out_.line(cat({"const int t = threadIdx.x % ", team, ", lane = threadIdx.x % 32;"}));
  if (by_block()) out_.line("const int part = threadIdx.x / 64;");
  const std::string within = s_.rows_at_once() == 1 ? std::string()
                             : alone()              ? " + threadIdx.x"
                                                    : " + threadIdx.x / " + team;
  out_.line(cat({"const ", index_, " unit = blockIdx.x * (", index_, ")", per_block, within,
                 ", units = gridDim.x * (", index_, ")", per_block, ";"}));
}

void RowWriter::write_row_temps() {
  const std::string elements = std::to_string((storage_.elements + 15) / 16 * 16);
  for (const int access : storage_.held)
    out_.line(cat(
        {cuda_type(element_type(k_, access)), " q", std::to_string(access), "[", elements, "];"}));
  std::size_t before = 0;  // bytes an element of the temps that lie before
  for (std::size_t t = 0; t < k_.row_temps.size(); ++t) {
    const std::string type(cuda_type(k_.row_temps[t])), name = "r" + str(t);
    const int teams = alone() ? 1 : s_.rows_at_once();
    switch (storage_.place) {
      case Place::registers: out_.line(cat({type, " ", name, "[", elements, "];"})); break;
      case Place::shared: {
        // No array is of nothing, though a row may be.
        const std::int64_t held = std::max<std::int64_t>(1, *k_.axes.back().constant());
        out_.line(
            cat({"__shared__ ", type, " shared_", name, "[", std::to_string(teams * held), "];"}));
        out_.line(cat({type, "* const ", name, " = shared_", name,
                       teams == 1
                           ? std::string()
                           : cat({" + threadIdx.x / ", std::to_string(s_.team), " * ", frame_.row}),
                       ";"}));
        break;
      }
      case Place::scratch: {
        if (t == 0)
          out_.line(cat({"const weft_i64 padded = (weft_i64)(", frame_.row, " + 63) / 64 * 64;"}));
        out_.line(cat({type, "* const ", name, " = (", type, "*)(scratch + units * padded * ",
                       str(before), ") + ", alone() ? "unit" : "unit * padded", ";"}));
        break;
      }
      case Place::none: break;
    }
    before += size_of(k_.row_temps[t]);
  }
}

void RowWriter::write() {
  write_units();
  for (std::size_t i = 0; by_block() && i < k_.stages.size(); ++i) {
    for (std::size_t r = 0; r < reductions(i).size(); ++r) {
      const KernelReduction& reduction = reductions(i)[r];
      const Names upper = shared_names(reduction, "upper", i, r, ""),
                  results = shared_names(reduction, "results", i, r, "");
      for (std::size_t a = 0; a < reduction.temps.size(); ++a) {
        const std::string_view type = cuda_type(accumulator(reduction, a));
        const std::string parts = std::to_string(s_.parts * s_.teams);
        out_.line(cat({"__shared__ ", type, " ", upper[a], "[", parts, "][32], ", results[a], "[",
                       parts, "];"}));
      }
    }
  }
  k_.columns.empty() ? write_all_items() : write_items_and_columns();
}

void RowWriter::write_all_items() {
  if (some_idle_) {  // the warp stays together
    out_.open(cat({"for (", index_, " first = unit - lane / ", std::to_string(s_.team),
                   "; first < items; first += units)"}));
    out_.line(cat({"const ", index_, " wanted = first + lane / ", std::to_string(s_.team), ";"}));
    out_.line("const bool active = wanted < items;");
    out_.line(cat({"const ", index_, " item = active ? wanted : items - 1;"}));
  } else {
    out_.open(cat({"for (", index_, " item = unit; item < items; item += units)"}));
  }
  write_item();
  out_.close();
}

/// Blocks of rows, some rows at a time, then what these come to in their columns.
void RowWriter::write_items_and_columns() {
  const std::string together = std::to_string(s_.rows_at_once());
  write_totals(k_, out_);
  out_.open(cat({"for (int block = blockIdx.x; block < ", grid_blocks(k_, s_).str(),
                 "; block += gridDim.x)"}));
  write_fresh_totals(k_, s_, out_);
  out_.line(cat({"const ", index_, " from = block * (", index_, ")", row_block_, ", end = items - ",
                 "from < ", row_block_, " ? items : from + ", row_block_, ";"}));
  out_.open(cat({"for (", index_, " first = from; first < end; first += ", together, ")"}));
  out_.line(cat({"const ", index_, " wanted = first + unit % ", together, ";"}));
  if (some_idle_) {
    out_.line("const bool active = wanted < end;");
    out_.line(cat({"const ", index_, " item = active ? wanted : end - 1;"}));
  } else {
    out_.line(cat({"const ", index_, " item = wanted;"}));
  }
  write_item();
  out_.line("__syncthreads();");
  write_column_call(k_, cat({name_, "_columns"}), "(int)(first - from)",
                    some_idle_ ? "(int)(end - first)" : together, out_);
  out_.close();
  write_column_call(k_, cat({name_, "_results"}), "0", "0", out_);
  out_.close();
}

void RowWriter::write_item() {
  write_row_temps();
  frame_.write_coordinates(out_, "item", alone() ? fastest_axis(k_, frame_) : -1);
  for (std::size_t a = 0; a < k_.accesses.size(); ++a)
    out_.line(
        cat({"const ", index_, " at", str(a), " = ", frame_.offset(static_cast<int>(a)), ";"}));
  if (frame_.clip.empty()) {
    out_.line(cat({"const ", index_, " n = ", frame_.row, ";"}));
  } else {
    const std::string last = "c" + str(frame_.extents.size() - 1);
    out_.line(cat({"const ", index_, " left = ", frame_.clip, " - ", last, " % ", frame_.blocks,
                   " * ", frame_.row, ", n = left < ", frame_.row, " ? left : ", frame_.row, ";"}));
  }
  for (std::size_t t = 0; t < k_.point_temps.size(); ++t)
    out_.line(cat({cuda_type(k_.point_temps[t]), " p", str(t), ";"}));
  for (std::size_t i = 0; i < k_.stages.size(); ++i) {
    out_.open("");
    if (!k_.stages[i].over_row)
      write_point_stage(i);
    else if (s_.mapping == Mapping::thread)
      write_thread_stage(i);
    else
      write_lane_stage(i);
    out_.close();
  }
}

/// Values that are the same all along the row.
RowWriter::Names RowWriter::write_point_sources(std::size_t stage) {
  Names inputs;
  const ir::Stage& s = k_.stages[stage];
  for (std::size_t n = 0; n < s.sources.size(); ++n) {
    const ir::Source& source = s.sources[n];
    inputs.emplace_back();
    if (!reads_input(s.body, n)) continue;
    if (source.kind == ir::Source::Kind::point_temp) {
      inputs.back() = "p" + std::to_string(source.id);
    } else if (source.kind == ir::Source::Kind::load && !(s.over_row && moves(source.id))) {
      inputs.back() = "x" + str(n);
      const std::string_view type = cuda_type(s.body.inputs[n]);
      out_.line(cat({"const ", type, " x", str(n), " = ", some_idle_ ? "!active ? (" : "",
                     some_idle_ ? type : "", some_idle_ ? ")0 : " : "", place(source.id), ";"}));
    }
  }
  return inputs;
}

/// Every thread of the team computes, one stores: where points are read at all, after all have
/// read, and before any reads what was stored.
void RowWriter::write_point_stage(std::size_t stage) {
  out_.line(cat({"const ", index_, " r = 0;"}));
  Names inputs = write_point_sources(stage);
  const ir::Stage& s = k_.stages[stage];
  for (std::size_t n = 0; n < s.sources.size(); ++n) {  // a point temp may be written below
    if (s.sources[n].kind != ir::Source::Kind::point_temp || inputs[n].empty()) continue;
    out_.line(cat({"const ", cuda_type(s.body.inputs[n]), " x", str(n), " = ", inputs[n], ";"}));
    inputs[n] = "x" + str(n);
  }
  const auto values = write_program(out_, s.body, inputs, coordinates(), "v",
                                    cat({name_, "_table", str(stage), "_"}));
  bool stores = false;
  for (const ir::Sink& sink : s.sinks) {
    const std::string& value = values[static_cast<std::size_t>(sink.output)];
    if (sink.kind == ir::Sink::Kind::point_temp)
      out_.line(cat({"p", std::to_string(sink.id), " = ", value, ";"}));
    else
      stores = true;
  }
  if (!stores) return;
  const bool points_are_read = std::ranges::any_of(k_.stages, [&](const ir::Stage& other) {
    return std::ranges::any_of(other.sources, [&](const ir::Source& source) {
      return source.kind == ir::Source::Kind::load && !(other.over_row && moves(source.id));
    });
  });
  const std::string_view barrier = by_block() ? "__syncthreads();" : "__syncwarp();";
  const bool guarded = points_are_read && !alone();
  if (guarded) out_.line(barrier);
  if (!alone())
    out_.open(cat({by_block() && s_.teams == 1 ? "if (threadIdx.x == 0" : "if (t == 0",
                   some_idle_ ? " && active)" : ")"}));
  for (const ir::Sink& sink : s.sinks) {
    if (sink.kind == ir::Sink::Kind::store)
      out_.line(cat({place(sink.id), " = ", values[static_cast<std::size_t>(sink.output)], ";"}));
  }
  if (!alone()) out_.close();
  if (guarded) out_.line(barrier);
}

bool RowWriter::kept_in_array(std::size_t stage, std::size_t n) const {
  const ir::Stage& s = k_.stages[stage];
  return s.sources[n].kind == ir::Source::Kind::load && reads_input(s.body, n) &&
         moves(s.sources[n].id) && !is_held(s.sources[n].id);
}

/// Element `r` of the row, number `e` of a piece: stores, row temps, and what is lifted into
/// `l<reduction>_<accumulator>`.
void RowWriter::write_element(std::size_t stage) {
  const ir::Stage& s = k_.stages[stage];
  Names inputs;
  for (std::size_t n = 0; n < s.sources.size(); ++n) {
    const ir::Source& source = s.sources[n];
    inputs.emplace_back();
    if (!reads_input(s.body, n)) continue;
    switch (source.kind) {
      case ir::Source::Kind::load:
        inputs.back() = is_held(source.id) ? cat({"q", std::to_string(source.id), "[at]"})
                        : moves(source.id) ? cat({"x", str(n), "[e]"})
                                           : "x" + str(n);
        break;
      case ir::Source::Kind::point_temp: inputs.back() = "p" + std::to_string(source.id); break;
      case ir::Source::Kind::row_temp:
        inputs.back() = "x" + str(n);
        out_.line(cat({"const ", cuda_type(s.body.inputs[n]), " ", inputs.back(), " = ",
                       row_temp(source.id), ";"}));
        break;
    }
  }
  const auto values = write_program(out_, s.body, inputs, coordinates(), "v",
                                    cat({name_, "_table", str(stage), "_"}));
  for (std::size_t r = 0; r < s.reductions.size(); ++r) {
    for (std::size_t a = 0; a < s.reductions[r].temps.size(); ++a)
      out_.line(cat({"l", str(r), "_", str(a), " = ",
                     values[static_cast<std::size_t>(s.reductions[r].outputs[a])], ";"}));
  }
  for (const ir::Sink& sink : s.sinks) {
    const std::string& value = values[static_cast<std::size_t>(sink.output)];
    const bool store = sink.kind == ir::Sink::Kind::store;
    out_.line(cat({store ? place(sink.id) : row_temp(sink.id), " = ", value, ";"}));
  }
}

/// `copies` of each: an array, or (0) one without.
void RowWriter::start_accumulators(std::size_t stage, char level, ReductionOrder order,
                                   int copies) {
  for (std::size_t r = 0; r < reductions(stage).size(); ++r) {
    const KernelReduction& reduction = reductions(stage)[r];
    if (reduction.order != order) continue;
    const Names all = names(reduction, r, level, "");
    for (std::size_t a = 0; a < all.size(); ++a) {
      const std::string_view type = cuda_type(accumulator(reduction, a));
      const std::string identity = literal(accumulator(reduction, a), reduction.identity[a]);
      if (copies == 0) {
        out_.line(cat({type, " ", all[a], " = ", identity, ";"}));
        continue;
      }
      const std::string count = std::to_string(copies);
      out_.line(cat({type, " ", all[a], "[", count, "];"}));
      out_.line("#pragma unroll");
      out_.line(cat({"for (int w = 0; w < ", count, "; ++w) ", all[a], "[w] = ", identity, ";"}));
    }
  }
}

void RowWriter::set_point_temps(const KernelReduction& r, const Names& values) {
  for (std::size_t a = 0; a < r.temps.size(); ++a)
    out_.line(cat({"p", std::to_string(r.temps[a]), " = ", values[a], ";"}));
}

// ---- A thread an item ---------------------------------------------------------------------------

/// Before a piece: a block of the order may have ended.
void RowWriter::write_end_of_block(std::size_t stage) {
  for (std::size_t r = 0; r < reductions(stage).size(); ++r) {
    if (!two_levels(reductions(stage)[r])) continue;
    out_.open(
        cat({"if (base + from > 0 && (base + from) % ", row_block_, " == 0 && base + from < n)"}));
    write_next_block(stage, r);
    out_.close();
  }
}

void RowWriter::write_next_block(std::size_t stage, std::size_t r) {
  const KernelReduction& reduction = reductions(stage)[r];
  const Names first = names(reduction, r, 'f', "");
  combine(stage, r, names(reduction, r, 'g', ""), first);
  for (std::size_t a = 0; a < first.size(); ++a)
    out_.line(
        cat({first[a], " = ", literal(accumulator(reduction, a), reduction.identity[a]), ";"}));
}

void RowWriter::finish_in_order(std::size_t stage, std::size_t r) {
  const KernelReduction& reduction = reductions(stage)[r];
  const Names first = names(reduction, r, 'f', ""), second = names(reduction, r, 'g', "");
  set_point_temps(reduction, first);
  if (!two_levels(reduction)) return;
  out_.open(cat({"if (n > ", row_block_, ")"}));
  combine(stage, r, second, first);
  set_point_temps(reduction, second);
  out_.close();
}

void RowWriter::write_thread_stage(std::size_t stage) {
  assert(!has_order(stage, ReductionOrder::lanes));
  start_accumulators(stage, 'f', ReductionOrder::blocks, 0);
  start_accumulators(stage, 'g', ReductionOrder::blocks, 0);
  write_point_sources(stage);
  write_owned_elements(stage, "0", "n");
  for (std::size_t r = 0; r < reductions(stage).size(); ++r) finish_in_order(stage, r);
}

void write_rows(const Kernel& k, const KernelFrame& frame, const CudaSchedule& s,
                std::string_view name, TextWriter& out) {
  RowWriter(k, frame, s, name, out).write();
}

}  // namespace weft::codegen
