#include "passes/columns.h"

#include <algorithm>
#include <optional>
#include <unordered_set>

#include "passes/plan_steps.h"

namespace weft::passes {
namespace {

using ir::Access;
using ir::Kernel;
using ir::KernelStep;
using ir::Plan;

constexpr int window = 32;  // steps between the two

std::int64_t known(const Dim& d) { return d.constant().value_or(0); }

/// Rows of sums in lanes, each a point.
bool has_rows(const Kernel& k) {
  std::size_t sums = 0;  // a block keeps them in shared memory too
  constexpr std::size_t most_sums = 32;
  for (const ir::Stage& stage : k.stages) {
    for (const ir::KernelReduction& r : stage.reductions) {
      if (r.order != ir::ReductionOrder::lanes || r.partial || r.second_level) return false;
      sums += r.temps.size();
    }
  }
  return k.has_row && !k.clip && k.symbols == 0 && k.parallel_axes() == 1 && known(k.axes[0]) > 0 &&
         known(k.axes[1]) > 0 && k.columns.empty() && sums > 0 && sums <= most_sums;
}

/// The first of two kernels that sum columns: it reads along its row, then stores what that is.
bool sums_columns(const Kernel& k) {
  const bool columns = k.clip && k.symbols == 0 && k.axes.size() == 3 && k.stages.size() == 2 &&
                       k.stages[0].over_row && !k.stages[1].over_row && known(k.axes[0]) > 0 &&
                       k.axes.back() == Dim(ir::row_block);
  if (!columns) return false;
  const auto in_blocks = [](const ir::KernelReduction& r) {
    return r.order == ir::ReductionOrder::blocks && r.partial;
  };
  const auto loads = [](const ir::Source& s) { return s.kind == ir::Source::Kind::load; };
  const auto stores = [](const ir::Sink& s) { return s.kind == ir::Sink::Kind::store; };
  return k.stages[0].sinks.empty() && std::ranges::all_of(k.stages[0].reductions, in_blocks) &&
         std::ranges::none_of(k.stages[1].sources, loads) &&
         std::ranges::all_of(k.stages[1].sinks, stores);
}

/// Whether the columns' access meets, at element r of block b, what the rows' does at point
/// b * row_block + r, and along the row as along the columns' points.
bool same_elements(const Access& columns, const Access& rows) {
  const Dim& down = columns.strides[2];
  return columns.offset == rows.offset && down == rows.strides[0] &&
         columns.strides[1] == down * Dim(ir::row_block) && columns.strides[0] == rows.strides[1];
}

class Joining {
 public:
  Joining(Plan& plan, const ColumnLimits& limits) : plan_(plan), limits_(limits) {}

  void run() {
    for (const ir::OperandSum& sum : plan_.operand_sums) {
      taken_.insert(sum.product);
      taken_.insert(sum.steps.begin(), sum.steps.end());
    }
    gone_.assign(plan_.steps.size(), false);
    for (int s = 1; s < static_cast<int>(plan_.steps.size()); ++s) {
      if (!kernel(s) || taken_.contains(s) || !sums_columns(*kernel(s))) continue;
      for (int rows = s - 1; rows >= std::max(0, s - window) && !gone_[at(s)]; --rows)
        if (fits(rows, s)) join(rows, s);
    }
    if (std::ranges::find(gone_, true) != gone_.end()) finish();
  }

 private:
  static std::size_t at(int i) { return static_cast<std::size_t>(i); }
  ir::Step& step(int s) { return plan_.steps[at(s)]; }
  KernelStep* what(int s) { return std::get_if<KernelStep>(&step(s).what); }
  const Kernel* kernel(int s) { return what(s) ? &kernel_of(plan_, *what(s)) : nullptr; }

  bool fits(int rows, int columns) {
    const Kernel* const row = kernel(rows);
    const Kernel& column = *kernel(columns);
    return row && !gone_[at(rows)] && !taken_.contains(rows) && has_rows(*row) &&
           *column.clip == row->axes[0] && known(column.axes[1]) >= limits_.blocks &&
           known(column.axes[0]) >= limits_.points && sum_bytes(column) <= limits_.room &&
           shared_bytes(rows, columns) >= limits_.bytes && can_run_with(rows, columns);
  }

  static std::int64_t sum_bytes(const Kernel& column) {
    std::int64_t bytes = 0;
    for (const DType t : column.point_temps) bytes += static_cast<std::int64_t>(size_of(t));
    return bytes * known(column.axes[0]);
  }

  /// What the columns read that the rows have met, element by element.
  std::int64_t shared_bytes(int rows, int columns) {
    std::int64_t bytes = 0;
    each_read(columns, [&](int slot, const Access& read) {
      if (read.strides[0] == Dim(0) || read.strides[2] == Dim(0) || !meets(rows, slot, read))
        return;
      bytes += std::min(known(kernel(columns)->axes[0]), known(kernel(rows)->axes[1])) *
               known(kernel(rows)->axes[0]) *
               static_cast<std::int64_t>(size_of(plan_.slots[at(slot)].dtype));
    });
    return bytes;
  }

  /// Columns read what is there before the rows, or what these have written of the same point.
  bool can_run_with(int rows, int columns) {
    std::unordered_set<int> written, touched;
    for (int s = rows; s < columns; ++s) {
      if (gone_[at(s)]) continue;
      for_each_slot(plan_, step(s), [&](int slot, bool writes) {
        touched.insert(slot);
        if (writes && s != rows) written.insert(slot);
      });
    }
    bool fine = true;
    each_read(columns, [&](int slot, const Access& read) {
      const bool within = read.strides[0] == Dim(0) ||
                          known(kernel(columns)->axes[0]) <= known(kernel(rows)->axes[1]);
      fine &=
          !written.contains(slot) && (!writes(rows, slot) || (within && meets(rows, slot, read)));
    });
    for_each_slot(plan_, step(columns),
                  [&](int slot, bool writes) { fine &= !writes || !touched.contains(slot); });
    return fine;
  }

  template <class F> void each_read(int columns, F&& visit) {
    const Kernel& k = *kernel(columns);
    for (const ir::Source& source : k.stages[0].sources) {
      if (source.kind != ir::Source::Kind::load) continue;
      const Access& access = k.accesses[at(source.id)];
      visit(what(columns)->slots[at(access.buffer)], access);
    }
  }
  bool writes(int s, int slot) {
    bool found = false;
    for_each_slot(plan_, step(s), [&](int x, bool written) { found |= written && x == slot; });
    return found;
  }
  /// Whether every access of the rows to the slot is of the elements that the columns read.
  bool meets(int rows, int slot, const Access& read) {
    bool any = false, all = true;
    for (const Access& access : kernel(rows)->accesses) {
      if (what(rows)->slots[at(access.buffer)] != slot) continue;
      any = true;
      all &= same_elements(read, access);
    }
    return any && all;
  }

  void join(int rows, int columns) {
    const Kernel& column = *kernel(columns);
    Kernel both = *kernel(rows);
    std::vector<int> slots = what(rows)->slots, buffers;
    const auto first_output = [&] {
      return std::ranges::find(both.buffers, true, &ir::KernelBuffer::written) -
             both.buffers.begin();
    };
    std::vector<int> more = what(columns)->slots;
    for (std::size_t b = 0; b < more.size(); ++b) {  // buffers of its own: inputs before outputs
      const ir::KernelBuffer buffer = column.buffers[b];
      if (std::ranges::find(slots, more[b]) != slots.end()) continue;
      const auto place = buffer.written ? std::ssize(slots) : first_output();
      slots.insert(slots.begin() + place, more[b]);
      both.buffers.insert(both.buffers.begin() + place, buffer);
      if (buffer.written) continue;
      for (Access& access : both.accesses)
        if (access.buffer >= place) ++access.buffer;
    }
    for (const int slot : more)
      buffers.push_back(static_cast<int>(std::ranges::find(slots, slot) - slots.begin()));
    both.columns.push_back({column, std::move(buffers)});
    ir::Step& to = step(rows);
    to.label += ", " + step(columns).label;
    std::get<KernelStep>(to.what) = {number_of(std::move(both)), std::move(slots), {}};
    gone_[at(columns)] = true;
  }

  int number_of(Kernel kernel) {
    const auto found =
        std::find(plan_.kernels.begin() + first_joined_, plan_.kernels.end(), kernel);
    if (found != plan_.kernels.end()) return static_cast<int>(found - plan_.kernels.begin());
    plan_.kernels.push_back(std::move(kernel));
    return static_cast<int>(plan_.kernels.size()) - 1;
  }

  /// Without the steps that are done, and the kernels that nobody runs any more.
  void finish() {
    std::vector<int> moved(plan_.steps.size()), number(plan_.kernels.size(), -1);
    std::vector<ir::Step> steps;
    std::vector<Kernel> kernels;
    for (std::size_t s = 0; s < plan_.steps.size(); ++s) {
      moved[s] = static_cast<int>(steps.size());
      if (!gone_[s]) steps.push_back(std::move(plan_.steps[s]));
    }
    for (ir::Step& s : steps) {
      auto* const k = std::get_if<KernelStep>(&s.what);
      if (!k) continue;
      int& now = number[at(k->kernel)];
      if (now < 0) {
        now = static_cast<int>(kernels.size());
        kernels.push_back(std::move(plan_.kernels[at(k->kernel)]));
      }
      k->kernel = now;
    }
    for (ir::OperandSum& sum : plan_.operand_sums) {
      sum.product = moved[at(sum.product)];
      for (int& s : sum.steps) s = moved[at(s)];
    }
    plan_.steps = std::move(steps);
    plan_.kernels = std::move(kernels);
  }

  Plan& plan_;
  ColumnLimits limits_;
  std::ptrdiff_t first_joined_ = std::ssize(plan_.kernels);
  std::unordered_set<int> taken_;  // steps that a library may do
  std::vector<bool> gone_;         // steps
};

}  // namespace

void join_columns(Plan& plan, const ColumnLimits& limits) { Joining(plan, limits).run(); }

}  // namespace weft::passes
