// Schedules of row kernels: along which axis vectors lie, how many points take a row element before
// the next, which results bypass the cache.
#include <algorithm>

#include "codegen/schedule_parts.h"

namespace weft::codegen {
namespace {

using ir::Access, ir::Kernel, ir::Stage;

constexpr int longest_panel = 1024, shortest_panel = 128;  // points
constexpr std::int64_t smallest_panel = 1 << 17;  // elements: what less gains, compiling costs

/// Accesses of row stages that lie well for vectors along `axis`, less those that lie badly.
int unit_strides(const Kernel& kernel, std::size_t axis) {
  int score = 0;
  for (const Access& access : kernel.accesses) {
    const auto stride = access.strides[axis].constant();
    if (stride == 1)
      ++score;
    else if (stride != 0)
      --score;
  }
  return score;
}

/// The stores of a stage that only maps the row lie side by side, and every row begins on a line
/// where the first does.
bool streams_rows(const Kernel& kernel) {
  constexpr std::int64_t line = 64;
  bool some = false;
  for (const Stage& stage : kernel.stages) {
    if (!stage.over_row || !stage.reductions.empty()) continue;
    for (const ir::Sink& sink : stage.sinks) {
      if (sink.kind != ir::Sink::Kind::store) continue;
      const Access& access = kernel.accesses[static_cast<std::size_t>(sink.id)];
      const auto size = static_cast<std::int64_t>(
          size_of(kernel.buffers[static_cast<std::size_t>(access.buffer)].dtype));
      if (access.strides.back() != Dim(1)) return false;
      for (std::size_t axis = 0; axis + 1 < access.strides.size(); ++axis) {
        const auto stride = access.strides[axis].constant();
        if (!stride || *stride * size % line != 0) return false;
      }
      some = true;
    }
  }
  return some;
}

/// Points that take a row element before the next one: enough for long runs of memory, few enough
/// that what belongs to them stays in the first level of cache, and that, where the row is read
/// more than once, the panel's rows stay in the second.
void choose_panel(const Kernel& kernel, Schedule& schedule, const Target& target) {
  if (schedule.lanes == 1 || static_cast<std::size_t>(schedule.axis) + 2 != kernel.axes.size() ||
      !kernel.row_temps.empty())
    return;
  std::int64_t elements = 1;
  for (const Dim& extent : kernel.axes)
    elements *= std::min<std::int64_t>(constant_or(extent, smallest_panel), smallest_panel),
        elements = std::min(elements, smallest_panel);
  if (elements < smallest_panel) return;
  std::int64_t a_point = 0, an_element = 0;
  for (const DType dtype : kernel.point_temps) a_point += static_cast<std::int64_t>(size_of(dtype));
  int stages = 0, work = 0;
  for (const Stage& stage : kernel.stages) {
    stages += stage.over_row;
    if (stage.over_row)
      work = std::max(work, pressure_of(stage.body, schedule.lanes, target).work);
    for (const auto& reduction : stage.reductions)
      for (std::size_t i = 0; i < reduction.temps.size(); ++i)
        a_point += 2 * static_cast<std::int64_t>(size_of(reduction.combine.output_dtype(i)));
  }
  for (const auto& buffer : kernel.buffers)
    an_element += buffer.written ? 0 : static_cast<std::int64_t>(size_of(buffer.dtype));
  // What belongs to a panel's points leaves room for a line of each row, rows that are read again
  // leave as much for others.
  const auto panel_bytes = static_cast<std::int64_t>(target.l1_bytes / 4 * 3),
             reread_bytes = static_cast<std::int64_t>(target.l2_bytes / 2);
  schedule.panel = longest_panel;
  while (schedule.panel > shortest_panel && schedule.panel * a_point > panel_bytes)
    schedule.panel /= 2;
  const auto row = kernel.axes.back().constant();
  if (stages > 1 && row && *row * shortest_panel * an_element <= reread_bytes)
    while (*row * schedule.panel * an_element > reread_bytes) schedule.panel /= 2;
  schedule.rows = work <= 8 ? 8 : work <= 24 ? 4 : 2;
  schedule.in_flight = 1;  // the rows are
  schedule.reason += "; memory is read in long runs";
}

}  // namespace

Schedule schedule_row(const Kernel& kernel, const Target& target) {
  Schedule schedule;
  bool lanes_order = false, blocks_order = false;
  for (const Stage& stage : kernel.stages) {
    for (const auto& reduction : stage.reductions)
      (reduction.order == ir::ReductionOrder::lanes ? lanes_order : blocks_order) = true;
  }
  const std::size_t row = kernel.axes.size() - 1;
  std::size_t best = row - 1 - (kernel.clip && row > 1);
  for (std::size_t axis = best + 1; axis-- > 0;)
    if (unit_strides(kernel, axis) > unit_strides(kernel, best)) best = axis;
  if (!blocks_order && (lanes_order || unit_strides(kernel, row) >= unit_strides(kernel, best))) {
    schedule.kind = Schedule::Kind::along_row;
    schedule.axis = static_cast<int>(row);
    schedule.reason =
        lanes_order ? "the reduction's lanes lie along the row" : "unit stride along the row";
  } else {
    schedule.kind = Schedule::Kind::along_points;
    schedule.axis = static_cast<int>(best);
    schedule.reason = "row elements are taken in ascending order";
  }
  schedule.lanes = lanes_for(kernel, target);
  if (schedule.kind == Schedule::Kind::along_points && kernel.clip && best == row - 1) {
    schedule.lanes = 1;
    schedule.reason += "; points of one vector would have rows of several lengths";
  }
  schedule.in_flight = vectors_in_flight(kernel, schedule, target, schedule.reason);
  if (schedule.kind == Schedule::Kind::along_row)
    schedule.in_flight =
        std::min(schedule.in_flight, static_cast<int>(ir::lane_count) / schedule.lanes);
  if (schedule.lanes == 1) schedule.in_flight = 1;
  schedule.carried = lanes_order || blocks_order;
  if (schedule.kind == Schedule::Kind::along_points && !lanes_order)
    choose_panel(kernel, schedule, target);
  if (schedule.kind == Schedule::Kind::along_row && schedule.lanes > 1) {
    schedule.streaming = streams_rows(kernel) && writes_past_cache(kernel, target);
    if (schedule.streaming) schedule.reason += "; results exceed the cache";
  }
  return schedule;
}

}  // namespace weft::codegen
