// Row kernels whose 64 lanes are shared out among the threads of a team.
#include <cassert>

#include "codegen/cuda/row_writer.h"

namespace weft::codegen {

using ir::KernelReduction;
using ir::ReductionOrder;

/// Reductions in `blocks` order on a warp: element after element, in every thread alike.
void RowWriter::write_accumulation(std::size_t stage) {
  if (!has_order(stage, ReductionOrder::blocks)) return;
  assert(s_.team == 32);
  out_.open("for (int other = 0; other < 32 && r - lane + other < stop; ++other)");
  for (std::size_t r = 0; r < reductions(stage).size(); ++r) {
    const KernelReduction& reduction = reductions(stage)[r];
    if (reduction.order != ReductionOrder::blocks) continue;
    if (two_levels(reduction)) {
      out_.open(cat({"if (r - lane + other > 0 && (r - lane + other) % ", row_block_, " == 0)"}));
      write_next_block(stage, r);
      out_.close();
    }
    Names values;
    for (const std::string& l : names(reduction, r, 'l', ""))
      values.push_back(cat({"weft_from(", l, ", other)"}));
    combine(stage, r, names(reduction, r, 'f', ""), values);
  }
  out_.close();
}

/// Lane j with lane j + 32, then j + 16, …: first those that one thread holds, then shuffles. The
/// result is in element 0 of the team's first thread.
void RowWriter::write_tree(std::size_t stage, std::size_t r, char level, int lanes, int team) {
  const KernelReduction& reduction = reductions(stage)[r];
  if (lanes > 1) {
    out_.line("#pragma unroll");
    out_.open(cat({"for (int half = ", std::to_string(lanes / 2), "; half > 0; half /= 2)"}));
    out_.line("#pragma unroll");
    out_.open("for (int w = 0; w < half; ++w)");
    combine(stage, r, names(reduction, r, level, "[w]"), names(reduction, r, level, "[w + half]"));
    out_.close();
    out_.close();
  }
  if (team == 1) return;
  const Names low = names(reduction, r, level, "[0]");
  Names others;
  for (const std::string& l : low) others.push_back(cat({"weft_down(", l, ", by)"}));
  out_.line("#pragma unroll");
  out_.open(cat({"for (int by = ", std::to_string(team / 2), "; by > 0; by /= 2)"}));
  combine(stage, r, low, others);
  out_.close();
}

/// To all threads of the team.
void RowWriter::spread(const Names& values, int team) {
  if (team == 1) return;
  const std::string first =
      team == 32 ? "0" : cat({"lane / ", std::to_string(team), " * ", std::to_string(team)});
  for (const std::string& v : values) out_.line(cat({v, " = weft_from(", v, ", ", first, ");"}));
}

/// The result of block `number` of 4096 goes to its lane of the second level, `number % 64`: of a
/// warp's thread t lanes t and t + 32.
void RowWriter::combine_second(std::size_t stage, std::size_t r, std::string_view number,
                               std::string_view condition, const Names& results) {
  out_.line("#pragma unroll");
  out_.open("for (int h = 0; h < 2; ++h)");
  out_.open(cat({"if (", condition, " && (", number, ") / 32 % 2 == h)"}));
  combine(stage, r, names(reductions(stage)[r], r, 'g', "[h]"), results);
  out_.close();
  out_.close();
}

void RowWriter::finish_second(std::size_t stage) {
  for (std::size_t r = 0; r < reductions(stage).size(); ++r) {
    const KernelReduction& reduction = reductions(stage)[r];
    if (reduction.order != ReductionOrder::lanes) continue;
    out_.open("if (n > 4096)");
    write_tree(stage, r, 'g', 2, 32);
    spread(names(reduction, r, 'g', "[0]"), 32);
    set_point_temps(reduction, names(reduction, r, 'g', "[0]"));
    out_.close();
  }
}

/// A team of at most a warp: block after block of 4096.
void RowWriter::write_level_by_warp(std::size_t stage) {
  if (one_level_) {
    out_.line(cat({"const ", index_, " start = 0, stop = n;"}));
  } else {
    out_.open(cat({"for (", index_, " start = 0; start == 0 || start < n; start += 4096)"}));
    out_.line(cat({"const ", index_, " stop = n - start < 4096 ? n : start + 4096;"}));
  }
  start_accumulators(stage, 'f', ReductionOrder::lanes, lanes_each());
  write_owned_elements(stage, "start", "stop");
  for (std::size_t r = 0; r < reductions(stage).size(); ++r) {
    const KernelReduction& reduction = reductions(stage)[r];
    if (reduction.order != ReductionOrder::lanes) continue;
    const Names results = names(reduction, r, 'f', "[0]");
    write_tree(stage, r, 'f', lanes_each(), s_.team);
    spread(results, s_.team);
    set_point_temps(reduction, results);
    if (!one_level_)
      combine_second(stage, r, "start / 4096", "n > 4096 && start / 4096 % 32 == lane", results);
  }
  if (!one_level_) out_.close();
}

/// The teams of a block: as many blocks of 4096 at a time.
void RowWriter::write_level_by_rounds(std::size_t stage) {
  const std::string parts = std::to_string(s_.parts);
  if (one_level_) {
    out_.line(cat({"const ", index_, " first = 0, start = 0, stop = n;"}));
  } else {
    if (storage_.elements > 0) {
      out_.line(cat({"const ", index_, " first = 0;"}));
    } else {
      out_.line("#pragma unroll 1");
      out_.open(cat(
          {"for (", index_, " first = 0; first == 0 || first * 4096 < n; first += ", parts, ")"}));
    }
    out_.line(cat({"const ", index_, " start = (first + part) * 4096;"}));
    out_.line(cat({"const ", index_, " stop = n - start < 4096 ? n : start + 4096;"}));
  }
  start_accumulators(stage, 'f', ReductionOrder::lanes, 1);
  write_owned_elements(stage, "start", "stop");  // none, where the row has fewer blocks
  if (has_order(stage, ReductionOrder::lanes)) write_block_results(stage);
  if (!one_level_ && storage_.elements == 0) out_.close();
}

/// Lane j + 32 is in the team's other warp.
void RowWriter::write_block_results(std::size_t stage) {
  const auto each = [&](auto&& write) {
    for (std::size_t r = 0; r < reductions(stage).size(); ++r)
      write(r, reductions(stage)[r], names(reductions(stage)[r], r, 'f', "[0]"));
  };
  out_.open("if (t >= 32)");
  each([&](std::size_t r, const KernelReduction& reduction, const Names& f) {
    assign(shared_names(reduction, "upper", stage, r, "[part][lane]"), f);
  });
  out_.close();
  out_.line("__syncthreads();");
  out_.open("if (t < 32)");
  each([&](std::size_t r, const KernelReduction& reduction, const Names& f) {
    combine(stage, r, f, shared_names(reduction, "upper", stage, r, "[part][lane]"));
    write_tree(stage, r, 'f', 1, 32);
    for (std::size_t a = 0; a < f.size(); ++a)
      out_.line(cat({"if (t == 0) ", shared_names(reduction, "results", stage, r, "[part]")[a],
                     " = ", f[a], ";"}));
  });
  out_.close();
  out_.line("__syncthreads();");
  each([&](std::size_t r, const KernelReduction& reduction, const Names&) {
    set_point_temps(reduction,
                    shared_names(reduction, "results", stage, r, s_.teams > 1 ? "[part]" : "[0]"));
    if (one_level_) return;
    out_.open("if (n > 4096)");
    out_.line(cat({"const ", index_, " slot = lane - first % 32, block = first + slot;"}));
    combine_second(stage, r, "block",
                   cat({"slot >= 0 && slot < ", std::to_string(s_.parts), " && block * 4096 < n"}),
                   shared_names(reduction, "results", stage, r, "[slot]"));
    out_.close();
  });
}

void RowWriter::write_lane_stage(std::size_t stage) {
  assert(!by_block() || !has_order(stage, ReductionOrder::blocks));
  assert(one_level_ || (s_.team >= 32 && s_.teams == 1));
  start_accumulators(stage, 'f', ReductionOrder::blocks, 0);
  start_accumulators(stage, 'g', ReductionOrder::blocks, 0);
  if (!one_level_) start_accumulators(stage, 'g', ReductionOrder::lanes, 2);
  write_point_sources(stage);
  by_block() ? write_level_by_rounds(stage) : write_level_by_warp(stage);
  for (std::size_t r = 0; r < reductions(stage).size(); ++r)
    if (reductions(stage)[r].order == ReductionOrder::blocks) finish_in_order(stage, r);
  if (!one_level_) finish_second(stage);
}

}  // namespace weft::codegen
