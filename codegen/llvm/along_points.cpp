#include "codegen/llvm/row_emitter.h"

#include <bit>

namespace weft::codegen {
namespace {

using ir::KernelReduction, ir::lane_count, ir::ReductionOrder;
using llvm::Value;

/// Vectors of neighbouring points, row element after row element. Serves both orders and every
/// layout.
class AlongPoints final : public RowEmitter {
 public:
  using RowEmitter::RowEmitter;

  /// The vector axis need not be the last: items [begin, end) are cut into runs along it, one a
  /// position `q` behind it.
  void emit() override {
    Value* inner = x_.number(1);
    for (std::size_t axis = axis_ + 1; axis < row_; ++axis) inner = x_.mul(inner, f_.extents[axis]);
    if (axis_ == 0) {
      outer_item(f_.begin, f_.end, inner);
      return;
    }
    Value* size = x_.mul(f_.extents[axis_], inner);
    Value* last = f_.b.CreateUDiv(f_.b.CreateAdd(f_.end, f_.b.CreateSub(size, x_.number(1))), size);
    f_.when(f_.b.CreateICmpSLT(f_.begin, f_.end), [&] {
      f_.loop(x_.div(f_.begin, size), last, x_.number(1), [&](Value* outer) {
        f_.coordinates(outer, 0, axis_, coordinates_);
        Value* start = f_.b.CreateMul(outer, size);
        outer_item(x_.max(x_.sub(f_.begin, start), x_.number(0)),
                   x_.min(x_.sub(f_.end, start), size), inner);
      });
    });
  }

 private:
  /// Items [low, high) behind one position on the axes before the vector axis.
  void outer_item(Value* low, Value* high, Value* inner) {
    if (known(inner) == 1) {
      run(low, high);
      return;
    }
    f_.loop(x_.number(0), inner, x_.number(1), [&](Value* q) {
      f_.coordinates(q, axis_ + 1, row_, coordinates_);
      const auto first_from = [&](Value* item) {
        Value* rest = x_.max(x_.sub(item, q), x_.number(0));
        return x_.div(f_.b.CreateAdd(rest, f_.b.CreateSub(inner, x_.number(1))), inner);
      };
      run(first_from(low), first_from(high));
    });
  }

  void run(Value* from, Value* to) {
    const Schedule& s = f_.schedule;
    Value* whole =
        x_.add(from, f_.b.CreateAnd(x_.sub(to, from), x_.number(-std::int64_t{s.group()})));
    f_.loop(from, whole, x_.number(s.group()), [&](Value* v) {
      coordinates_[axis_] = v;
      stages(Group{s.lanes, s.in_flight, {}});
    });
    if (s.group() == 1) return;
    f_.loop(whole, to, x_.number(s.lanes), [&](Value* v) {
      coordinates_[axis_] = v;
      Group one{s.lanes, 1, {}};
      if (s.lanes > 1) one.masks = f_.masks(x_.sub(to, v), s.lanes, 0, 1);
      stages(one);
    });
  }

  void row_stage() override {
    const Group group = points_;
    const Values hoisted = hoist(group);
    std::vector<const KernelReduction*> ascending, lanes;
    for (const KernelReduction& reduction : stage_->reductions)
      (reduction.order == ReductionOrder::blocks ? ascending : lanes).push_back(&reduction);
    if (!lanes.empty()) reduce_lanes(hoisted, lanes, group, ascending.empty());
    if (!ascending.empty()) reduce_blocks(hoisted, ascending, group);
    if (stage_->reductions.empty())
      f_.loop(x_.number(0), length_, x_.number(1),
              [&](Value* r) { element_program(hoisted, r, group, true); });
  }

  using Reductions = std::vector<const KernelReduction*>;

  std::vector<Accumulators> start_of(const Reductions& reductions, const Group& group) {
    std::vector<Accumulators> all;
    for (const KernelReduction* reduction : reductions)
      all.push_back(identities(*reduction, group.lanes, static_cast<std::size_t>(group.count)));
    return all;
  }

  void reduce_blocks(const Values& hoisted, const Reductions& reductions, const Group& group) {
    const std::vector<Accumulators> start = start_of(reductions, group);
    const auto block = [&](Value* from, Value* to) {
      return f_.loop(from, to, x_.number(1), flat(start), [&](Value* r, const Frame::Carried& now) {
        const Values values = element_program(hoisted, r, group, true);
        auto all = like(start, now);
        for (std::size_t i = 0; i < reductions.size(); ++i)
          all[i] = combine(*reductions[i], all[i], lifted(*reductions[i], values), group.lanes);
        return flat(all);
      });
    };
    std::vector<Accumulators> results;
    const auto n = known(length_);
    if (undivided(*reductions.front()) || (n && *n <= ir::row_block)) {
      results = like(start, block(x_.number(0), length_));
    } else {
      // Carried: the sum of block results, and the last of them, which is the result where there is
      // one block.
      Frame::Carried both = flat(start);
      const std::size_t half = both.size();
      both.append(flat(start));
      both = f_.loop(x_.number(0), length_, x_.number(ir::row_block), both,
                     [&](Value* from, const Frame::Carried& now) {
                       const auto last = block(
                           from, x_.min(length_, f_.b.CreateAdd(from, x_.number(ir::row_block))));
                       auto total = like(start, Frame::Carried(now.begin(), now.begin() + half));
                       const auto added = like(start, last);
                       for (std::size_t i = 0; i < reductions.size(); ++i)
                         total[i] = combine(*reductions[i], total[i], added[i], group.lanes);
                       Frame::Carried next = flat(total);
                       next.append(last);
                       return next;
                     });
      const auto total = like(start, Frame::Carried(both.begin(), both.begin() + half));
      const auto last = like(start, Frame::Carried(both.begin() + half, both.end()));
      Value* single = f_.b.CreateICmpSLE(length_, x_.number(ir::row_block));
      for (std::size_t i = 0; i < reductions.size(); ++i)
        results.push_back(choose(single, last[i], total[i]));
    }
    for (std::size_t i = 0; i < reductions.size(); ++i) set_temps(*reductions[i], results[i]);
  }

  /// 64 lanes of accumulators for each point, in memory: `[accumulator][lane][vector]`.
  struct Memory {
    std::vector<Value*> bases;
  };

  Memory lanes_in_memory(const KernelReduction& reduction, const Group& group) {
    Memory memory;
    for (std::size_t i = 0; i < reduction.identity.size(); ++i)
      memory.bases.push_back(
          f_.local(memory_type(f_.context(), dtype_of(reduction, i), group.lanes),
                   lane_count * group.count));
    return memory;
  }

  void fill(const KernelReduction& reduction, const Memory& memory, const Group& group) {
    const auto start = identities(reduction, group.lanes, 1);
    f_.loop(x_.number(0), x_.number(lane_count), x_.number(1),
            [&](Value* lane) { write(reduction, memory, lane, start, group); });
  }

  Value* place(const KernelReduction& reduction, const Memory& memory, std::size_t i, Value* lane,
               const Group& group) {
    return f_.b.CreateGEP(memory_type(f_.context(), dtype_of(reduction, i), group.lanes),
                          memory.bases[i], x_.mul(lane, x_.number(group.count)));
  }

  Accumulators read(const KernelReduction& reduction, const Memory& memory, Value* lane,
                    const Group& group) {
    Accumulators result;
    for (std::size_t i = 0; i < memory.bases.size(); ++i)
      result.push_back(
          f_.load_dense(place(reduction, memory, i, lane, group), dtype_of(reduction, i), group));
    return result;
  }

  void write(const KernelReduction& reduction, const Memory& memory, Value* lane,
             const Accumulators& values, const Group& group) {
    for (std::size_t i = 0; i < memory.bases.size(); ++i)
      f_.store_dense(place(reduction, memory, i, lane, group), dtype_of(reduction, i), values[i],
                     group);
  }

  Accumulators tree(const KernelReduction& reduction, const Memory& memory, const Group& group) {
    for (std::int64_t half = lane_count / 2; half >= 1; half /= 2)
      f_.loop(x_.number(0), x_.number(half), x_.number(1), [&](Value* lane) {
        const auto low = read(reduction, memory, lane, group);
        const auto high = read(reduction, memory, f_.b.CreateAdd(lane, x_.number(half)), group);
        write(reduction, memory, lane, combine(reduction, low, high, group.lanes), group);
      });
    return read(reduction, memory, x_.number(0), group);
  }

  void reduce_lanes(const Values& hoisted, const Reductions& reductions, const Group& group,
                    bool sinks) {
    std::vector<Memory> first, second;
    for (const KernelReduction* reduction : reductions) {
      first.push_back(lanes_in_memory(*reduction, group));
      second.push_back(lanes_in_memory(*reduction, group));
    }
    const auto block = [&](Value* from, Value* to) {
      for (std::size_t i = 0; i < reductions.size(); ++i) fill(*reductions[i], first[i], group);
      f_.loop(from, to, x_.number(1), [&](Value* r) {
        const Values values = element_program(hoisted, r, group, sinks);
        Value* lane = f_.b.CreateAnd(r, x_.number(lane_count - 1));
        for (std::size_t i = 0; i < reductions.size(); ++i) {
          const auto before = read(*reductions[i], first[i], lane, group);
          write(*reductions[i], first[i], lane,
                combine(*reductions[i], before, lifted(*reductions[i], values), group.lanes),
                group);
        }
      });
      std::vector<Accumulators> results;
      for (std::size_t i = 0; i < reductions.size(); ++i)
        results.push_back(tree(*reductions[i], first[i], group));
      return results;
    };
    const auto n = known(length_);
    std::vector<Accumulators> results;
    if (undivided(*reductions.front()) || (n && *n <= ir::lane_block)) {
      results = block(x_.number(0), length_);
    } else {
      for (std::size_t i = 0; i < reductions.size(); ++i) fill(*reductions[i], second[i], group);
      const auto start = start_of(reductions, group);
      Value* to = x_.max(length_, x_.number(1));  // an empty row has one empty block
      const auto carried = f_.loop(
          x_.number(0), to, x_.number(ir::lane_block), flat(start),
          [&](Value* from, const Frame::Carried&) {
            const auto last =
                block(from, x_.min(length_, f_.b.CreateAdd(from, x_.number(ir::lane_block))));
            Value* lane = f_.b.CreateAnd(
                f_.b.CreateLShr(
                    from, x_.number(std::countr_zero(static_cast<std::uint64_t>(ir::lane_block)))),
                x_.number(lane_count - 1));
            for (std::size_t i = 0; i < reductions.size(); ++i) {
              const auto before = read(*reductions[i], second[i], lane, group);
              write(*reductions[i], second[i], lane,
                    combine(*reductions[i], before, last[i], group.lanes), group);
            }
            return flat(last);
          });
      const auto last = like(start, carried);
      Value* single = f_.b.CreateICmpSLE(length_, x_.number(ir::lane_block));
      for (std::size_t i = 0; i < reductions.size(); ++i)
        results.push_back(choose(single, last[i], tree(*reductions[i], second[i], group)));
    }
    for (std::size_t i = 0; i < reductions.size(); ++i) set_temps(*reductions[i], results[i]);
  }
};

}  // namespace

void emit_along_points(Frame& frame) { AlongPoints(frame).emit(); }

}  // namespace weft::codegen
