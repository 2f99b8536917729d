#include "passes/memory.h"

#include <algorithm>
#include <limits>
#include <map>
#include <span>
#include <unordered_map>

#include "passes/donation.h"
#include "passes/operand_sums.h"
#include "passes/plan_steps.h"
#include "passes/step_chains.h"

namespace weft::passes {
namespace {

using ir::Kernel;
using ir::KernelStep;
using ir::Plan;
using ir::Slot;
using ir::Step;

constexpr std::int64_t alignment = 64;

Dim bytes_of(const Slot& slot) {
  const Dim bytes = product(slot.shape) * Dim(static_cast<std::int64_t>(size_of(slot.dtype)));
  return ceildiv(bytes, alignment) * Dim(alignment);
}

class MemoryPlan {
 public:
  MemoryPlan(Plan& plan, const MemoryOptions& options)
      : plan_(plan),
        wanted_(options.donated),
        groups_(options.groups),
        columns_(options.columns),
        reuse_(options.reuse),
        apart_(options.apart) {}

  void run() {
    plan_donations(plan_, wanted_);
    find_operand_sums(plan_);
    if (columns_) join_columns(plan_, *columns_);
    if (groups_) {
      group_steps(plan_, *groups_);
      chain_steps(plan_, *groups_);
    }
    lifetimes();
    place();
    for (ir::StepGroup& group : plan_.groups) place_locals(group);
    count();
  }

 private:
  Slot& slot(int s) { return plan_.slots[static_cast<std::size_t>(s)]; }

  // ---- lifetimes and places ----

  void lifetimes() {
    const int last = static_cast<int>(plan_.steps.size()) - 1;
    for (Slot& s : plan_.slots) {
      const bool given = s.kind == Slot::Kind::input || s.kind == Slot::Kind::constant;
      s.first_step = given ? 0 : last + 1;
      s.last_step = s.kind == Slot::Kind::output ? last : -1;
    }
    for (std::size_t i = 0; i < plan_.steps.size(); ++i) {
      for_each_slot(plan_, plan_.steps[i], [&](int s, bool) {
        slot(s).first_step = std::min(slot(s).first_step, static_cast<int>(i));
        slot(s).last_step = std::max(slot(s).last_step, static_cast<int>(i));
      });
    }
    for (const ir::StepGroup& group : plan_.groups) hold_through(group);
    for (const ir::OperandSum& sum : plan_.operand_sums) {
      slot(sum.out).first_step = std::min(slot(sum.out).first_step, sum.product);
      slot(sum.out).last_step = std::max(slot(sum.out).last_step, sum.product);
    }
  }

  /// While one tile is at a group's last step, another is at its first.
  void hold_through(const ir::StepGroup& group) {
    for (int i = group.first; i < group.end; ++i) {
      for_each_slot(plan_, plan_.steps[static_cast<std::size_t>(i)], [&](int s, bool) {
        Slot& x = slot(s);
        if (x.kind != Slot::Kind::temp) return;
        if (x.first_step >= group.first) x.first_step = group.first;
        if (x.last_step < group.end) x.last_step = group.end - 1;
      });
    }
  }

  /// A tile's own memory: each local slot at the lowest place that is free while it lives.
  void place_locals(ir::StepGroup& group) {
    std::vector<int> locals;
    for (int i = group.first; i < group.end; ++i) {
      for_each_slot(plan_, plan_.steps[static_cast<std::size_t>(i)], [&](int s, bool) {
        if (slot(s).kind == Slot::Kind::local && slot(s).first_step == i &&
            std::ranges::find(locals, s) == locals.end())
          locals.push_back(s);
      });
    }
    const auto tile_bytes = [&](int s) {
      const std::int64_t elements = product(slot(s).shape).value() / group.pieces * group.tile;
      return ceildiv(elements * static_cast<std::int64_t>(size_of(slot(s).dtype)), alignment)
                 .value() *
             alignment;
    };
    for (std::size_t i = 0; i < locals.size(); ++i) {
      const int s = locals[i];
      std::int64_t at = 0;
      for (bool moved = true; moved;) {
        moved = false;
        for (std::size_t k = 0; k < i; ++k) {
          const int other = locals[k];
          const std::int64_t begin = slot(other).offset.value(), end = begin + tile_bytes(other);
          if (slot(other).last_step < slot(s).first_step || at >= end ||
              at + tile_bytes(s) <= begin || (at == begin && lies_over(other, s)))
            continue;
          at = end;
          moved = true;
        }
      }
      slot(s).offset = at;
      group.tile_bytes = std::max(group.tile_bytes, at + tile_bytes(s));
    }
  }

  /// Whether local `to` may be written where `from` is read for the last time.
  bool lies_over(int from, int to) {
    if (!reuse_ || slot(from).last_step != slot(to).first_step ||
        !(product(slot(from).shape) == product(slot(to).shape)))
      return false;
    const Step& step = plan_.steps[static_cast<std::size_t>(slot(to).first_step)];
    const auto& k = std::get<KernelStep>(step.what);
    const auto buffer = [&](int s) {
      return static_cast<int>(std::ranges::find(k.slots, s) - k.slots.begin());
    };
    return std::ranges::count(k.slots, from) == 1 && std::ranges::count(k.slots, to) == 1 &&
           writes_over(kernel_of(plan_, k), buffer(from), buffer(to));
  }

  /// Memory that slots share one after another.
  struct Block {
    Dim bytes;
    Dim offset;
    int last_step = -1;
  };

  void place() {
    std::vector<std::vector<int>> born(plan_.steps.size());
    for (std::size_t s = 0; s < plan_.slots.size(); ++s) {
      const Slot& x = plan_.slots[s];
      if (x.kind == Slot::Kind::temp && x.last_step >= x.first_step) {
        born[static_cast<std::size_t>(x.first_step)].push_back(static_cast<int>(s));
      }
    }
    block_of_.assign(plan_.slots.size(), -1);
    std::vector<std::vector<int>> dying(plan_.steps.size());
    for (std::size_t i = 0; i < plan_.steps.size(); ++i) {
      for (const int s : born[i]) {
        int b = reuse_ ? taken_over(plan_.steps[i], static_cast<int>(i), s) : -1;
        if (b < 0) b = allocate(bytes_of(slot(s)));
        block_of_[static_cast<std::size_t>(s)] = b;
        Block& block = blocks_[static_cast<std::size_t>(b)];
        block.last_step = std::max(block.last_step, slot(s).last_step);
        dying[static_cast<std::size_t>(slot(s).last_step)].push_back(b);
      }
      for (const int b : dying[i]) {
        Block& block = blocks_[static_cast<std::size_t>(b)];
        if (reuse_ && block.last_step == static_cast<int>(i) && !stays_apart(block)) release(b);
        if (block.last_step == static_cast<int>(i)) block.last_step = -1;  // once
      }
    }
    Dim end = constant_end_;
    for (Block& block : blocks_) {
      if (block.bytes.is_constant()) continue;
      block.offset = end;
      end = end + block.bytes;
    }
    plan_.arena_bytes = end;
    for (std::size_t s = 0; s < plan_.slots.size(); ++s) {
      if (block_of_[s] >= 0)
        plan_.slots[s].offset = blocks_[static_cast<std::size_t>(block_of_[s])].offset;
    }
  }

  bool stays_apart(const Block& block) {
    constexpr std::int64_t most = std::int64_t{64} << 20;
    if (!block.bytes.is_constant() || block.bytes.value() > apart_) return false;
    all_apart_ += block.bytes.value();
    return all_apart_ <= most;
  }

  /// The block of a temporary that dies in this very step and that `to` may lie over.
  int taken_over(const Step& step, int number, int to) {
    const auto* k = std::get_if<KernelStep>(&step.what);
    if (!k) return -1;
    const auto to_buffer =
        static_cast<int>(std::find(k->slots.begin(), k->slots.end(), to) - k->slots.begin());
    if (std::count(k->slots.begin(), k->slots.end(), to) != 1) return -1;
    for (std::size_t b = 0; b < k->slots.size(); ++b) {
      const int from = k->slots[b];
      const int block = block_of_[static_cast<std::size_t>(from)];
      if (block < 0 || slot(from).kind != Slot::Kind::temp || slot(from).first_step == number)
        continue;
      if (blocks_[static_cast<std::size_t>(block)].last_step != number)
        continue;  // lives on, or is taken
      if (!(product(slot(from).shape) == product(slot(to).shape))) continue;
      if (std::count(k->slots.begin(), k->slots.end(), from) != 1) continue;
      if (writes_over(kernel_of(plan_, *k), static_cast<int>(b), to_buffer)) {
        // A value that dies at once would leave the block open to a second taker.
        if (slot(to).last_step > number) return block;
      }
    }
    return -1;
  }

  int allocate(const Dim& bytes) {
    blocks_.push_back({bytes, 0, -1});
    const int number = static_cast<int>(blocks_.size()) - 1;
    if (!bytes.is_constant()) {
      std::vector<int>& same = free_unknown_[bytes];
      if (same.empty()) return number;
      blocks_.pop_back();
      const int b = same.back();
      same.pop_back();
      return b;
    }
    const std::int64_t size = std::max<std::int64_t>(bytes.value(), alignment);
    auto best = free_by_size_.lower_bound(size);
    if (best != free_by_size_.end()) {
      const auto [have, at] = *best;
      free_by_size_.erase(best);
      free_at_.erase(at);
      if (have > size) add_free(at + size, have - size);
      blocks_.back().offset = at;
      return number;
    }
    // Nothing fits: the end grows, over a free piece that touches it.
    std::int64_t at = constant_end_;
    if (!free_at_.empty() &&
        std::prev(free_at_.end())->first + std::prev(free_at_.end())->second == constant_end_) {
      at = std::prev(free_at_.end())->first;
      remove_free(at);
    }
    blocks_.back().offset = at;
    constant_end_ = at + size;
    return number;
  }

  void release(int b) {
    const Block& block = blocks_[static_cast<std::size_t>(b)];
    if (!block.bytes.is_constant()) {
      free_unknown_[block.bytes].push_back(b);
      return;
    }
    std::int64_t at = block.offset.value(),
                 size = std::max<std::int64_t>(block.bytes.value(), alignment);
    const auto next = free_at_.find(at + size);
    if (next != free_at_.end()) {
      size += next->second;
      remove_free(next->first);
    }
    const auto above = free_at_.lower_bound(at);
    if (above != free_at_.begin() && std::prev(above)->first + std::prev(above)->second == at) {
      at = std::prev(above)->first;
      size += std::prev(above)->second;
      remove_free(at);
    }
    add_free(at, size);
  }

  void add_free(std::int64_t at, std::int64_t size) {
    free_at_[at] = size;
    free_by_size_.emplace(size, at);
  }
  void remove_free(std::int64_t at) {
    const std::int64_t size = free_at_.at(at);
    free_at_.erase(at);
    for (auto [it, end] = free_by_size_.equal_range(size); it != end; ++it) {
      if (it->second == at) {
        free_by_size_.erase(it);
        return;
      }
    }
  }

  // ---- what a call costs ----

  void count() {
    for (const Step& step : plan_.steps) {
      const auto* k = std::get_if<KernelStep>(&step.what);
      for_each_slot(plan_, step, [&](int s, bool) {
        if (slot(s).kind == Slot::Kind::local) return;
        const Dim elements = product(slot(s).shape);
        if (!elements.is_constant()) return;
        const std::int64_t touched = k ? most_touched(*k, s) : elements.value();
        plan_.bytes_moved +=
            std::min(elements.value(), touched) * static_cast<std::int64_t>(size_of(slot(s).dtype));
      });
      if (k) plan_.flops += flops_of(kernel_of(plan_, *k));
    }
  }

  /// Elements of a slot that the accesses of one step can reach, counted once each.
  std::int64_t most_touched(const KernelStep& step, int slot) const {
    constexpr std::int64_t all = std::numeric_limits<std::int64_t>::max();
    const Kernel& kernel = kernel_of(plan_, step);
    std::int64_t touched = 0;
    bool known = true;
    const auto add = [&](int buffer, std::span<const Dim> strides, std::span<const Dim> extents) {
      if (step.slots[static_cast<std::size_t>(buffer)] != slot) return;
      std::int64_t elements = 1;
      for (std::size_t i = 0; i < strides.size(); ++i) {
        if (strides[i] == Dim(0)) continue;
        known &= extents[i].is_constant();
        elements *= extents[i].is_constant() ? extents[i].value() : 1;
      }
      touched += elements;
    };
    for (const ir::Access& access : kernel.accesses)
      add(access.buffer, access.strides, kernel.axes);
    for (const ir::Columns& columns : kernel.columns)
      for (const ir::Access& access : columns.kernel.accesses)
        add(columns.buffers[static_cast<std::size_t>(access.buffer)], access.strides,
            columns.kernel.axes);
    if (kernel.contraction) {
      const ir::Contraction& c = *kernel.contraction;
      const std::size_t m = kernel.axes.size() - 2;
      known &= !c.gather || step.slots[static_cast<std::size_t>(c.b)] != slot;
      Dims extents(kernel.axes.begin(), kernel.axes.end() - 1), a = c.a_batch, b = c.b_batch;
      extents.push_back(c.k);
      a.insert(a.end(), {c.a_m, c.gather ? Dim(1) : c.a_k});
      b.insert(b.end(), {c.b_n, c.b_k});
      add(c.a, a, extents);
      extents[m] = kernel.axes[m + 1];
      add(c.b, b, extents);
      add(c.out, Dims(kernel.axes.size(), Dim(1)), kernel.axes);
    }
    return known ? touched : all;
  }

  static double flops_of(const Kernel& kernel) {
    double points = 1, row = 1;
    for (std::size_t i = 0; i < kernel.axes.size(); ++i) {
      if (!kernel.axes[i].is_constant()) return 0;
      const auto extent = static_cast<double>(kernel.axes[i].value());
      (i < kernel.parallel_axes() ? points : row) *= extent;
    }
    double flops = 0;
    if (kernel.contraction && kernel.contraction->k.is_constant()) {
      flops += 2 * points * static_cast<double>(kernel.contraction->k.value());
    }
    for (const ir::Stage& s : kernel.stages) {
      std::size_t work = 0;
      for (const ir::ScalarInst& inst : s.body.code) work += arity(inst.op) > 0;
      for (const ir::KernelReduction& r : s.reductions) work += r.identity.size();
      flops += points * (s.over_row ? row : 1) * static_cast<double>(work);
    }
    for (const ir::Columns& columns : kernel.columns) flops += flops_of(columns.kernel);
    return flops;
  }

  Plan& plan_;
  const std::vector<std::pair<int, int>>& wanted_;
  std::optional<Caches> groups_;
  std::optional<ColumnLimits> columns_;
  bool reuse_;
  std::int64_t apart_, all_apart_ = 0;  // bytes
  std::vector<Block> blocks_;
  std::vector<int> block_of_;  // of each slot
  std::int64_t constant_end_ = 0;
  std::map<std::int64_t, std::int64_t> free_at_;            // offset -> size
  std::multimap<std::int64_t, std::int64_t> free_by_size_;  // size -> offset
  std::unordered_map<Dim, std::vector<int>> free_unknown_;  // blocks by size
};

}  // namespace

void plan_memory(Plan& plan, const MemoryOptions& options) { MemoryPlan(plan, options).run(); }

}  // namespace weft::passes
