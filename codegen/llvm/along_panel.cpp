// Points side by side, a panel of many vectors, and row element after row element over the whole
// panel: memory is read in long runs, a few of them at once, where a single group of vectors would
// touch a few lines of every page. What belongs to points lies in memory meanwhile, in the first
// level of cache: `[accumulator or temp][point of the panel]`. For reductions by blocks, in the
// same order as everywhere.
#include "codegen/llvm/row_emitter.h"

namespace weft::codegen {
namespace {

using ir::KernelReduction;
using llvm::Value;

class AlongPanel final : public RowEmitter {
 public:
  using RowEmitter::RowEmitter;

  void emit() override {
    for (const DType dtype : f_.kernel.point_temps) temp_memory_.push_back(memory_for(dtype));
    if (axis_ == 0) return panels(f_.begin, f_.end);
    Value* size = f_.extents[axis_];
    Value* last = x_.div(f_.b.CreateAdd(f_.end, f_.b.CreateSub(size, x_.number(1))), size);
    f_.when(f_.b.CreateICmpSLT(f_.begin, f_.end), [&] {
      f_.loop(x_.div(f_.begin, size), last, x_.number(1), [&](Value* outer) {
        f_.coordinates(outer, 0, axis_, coordinates_);
        Value* start = f_.b.CreateMul(outer, size);
        panels(x_.max(x_.sub(f_.begin, start), x_.number(0)),
               x_.min(x_.sub(f_.end, start), size));
      });
    });
  }

 private:
  using Body = llvm::function_ref<void(Value* at, const Group&)>;
  using Memory = std::vector<std::vector<Value*>>;  // of each accumulator of each reduction
  using All = std::vector<Accumulators>;            // of each reduction

  void panels(Value* from, Value* to) {
    f_.loop(from, to, x_.number(f_.schedule.panel), [&](Value* first) {
      first_ = first;
      count_ = x_.min(x_.sub(to, first), x_.number(f_.schedule.panel));
      for (const ir::Stage& stage : f_.kernel.stages) {
        stage_ = &stage;
        if (stage.over_row)
          row_stage();
        else
          groups([&](Value* at, const Group& group) {
            point_stage();
            for (const ir::Sink& sink : stage_->sinks)
              if (sink.kind == ir::Sink::Kind::point_temp) keep_temp(sink.id, at, group);
          });
      }
    });
  }

  /// The panel's points, group after group; a rest of less than a group by single vectors.
  void groups(Body body) {
    const Schedule& s = f_.schedule;
    const auto at_group = [&](Value* at, const Group& group) {
      coordinates_[axis_] = x_.add(first_, at);
      start(group);
      for (const ir::Source& source : stage_->sources)
        if (source.kind == ir::Source::Kind::point_temp) read_temp(source.id, at, group);
      body(at, group);
    };
    Value* whole = f_.b.CreateAnd(count_, x_.number(-std::int64_t{s.group()}));
    f_.loop(x_.number(0), whole, x_.number(s.group()),
            [&](Value* at) { at_group(at, Group{s.lanes, s.in_flight, {}}); });
    f_.loop(whole, count_, x_.number(s.lanes), [&](Value* at) {
      at_group(at, Group{s.lanes, 1, f_.masks(x_.sub(count_, at), s.lanes, 0, 1)});
    });
  }

  void row_stage() override {
    coordinates_[axis_] = first_;
    start(Group{f_.schedule.lanes, 1, {}});  // for the row's length
    if (stage_->reductions.empty()) return rows(x_.number(0), length_, nullptr);
    const Memory block = memory(), total = memory();
    const auto n = known(length_);
    if (undivided(stage_->reductions.front()) || (n && *n <= ir::row_block)) {
      one_block(x_.number(0), length_, block);
      return groups([&](Value* at, const Group& group) { keep(read(block, at, group), at, group); });
    }
    clear(block);  // the result of an empty row
    clear(total);
    Value* length = length_;
    f_.loop(x_.number(0), length, x_.number(ir::row_block), [&](Value* from) {
      one_block(from, x_.min(length, f_.b.CreateAdd(from, x_.number(ir::row_block))), block);
      groups([&](Value* at, const Group& group) {
        All all = read(total, at, group);
        combine_all(all, read(block, at, group), group);
        write(total, at, all, group);
      });
    });
    Value* single = f_.b.CreateICmpSLE(length, x_.number(ir::row_block));
    groups([&](Value* at, const Group& group) {
      All all = read(total, at, group);
      const All last = read(block, at, group);
      for (std::size_t r = 0; r < all.size(); ++r) all[r] = choose(single, last[r], all[r]);
      keep(all, at, group);
    });
  }

  void one_block(Value* from, Value* to, const Memory& block) {
    clear(block);
    const std::int64_t together = f_.schedule.rows;
    Value* whole = x_.add(from, f_.b.CreateAnd(x_.sub(to, from), x_.number(-together)));
    rows(from, whole, &block, together);
    if (together > 1) rows(whole, to, &block);
  }

  /// Row elements [from, to), some at a time: what they come to at a point is read and written once.
  /// The rest of a panel is little work: its code is a loop over them.
  void rows(Value* from, Value* to, const Memory* block, std::int64_t together = 1) {
    f_.loop(from, to, x_.number(together), [&](Value* r) {
      groups([&](Value* at, const Group& group) {
        const Values hoisted = hoist(group);
        if (group.masks.empty() || together == 1)
          elements(r, together, hoisted, block, at, group);
        else
          f_.loop(r, x_.add(r, x_.number(together)), x_.number(1),
                  [&](Value* one) { elements(one, 1, hoisted, block, at, group); });
      });
    });
  }

  void elements(Value* first, std::int64_t count, const Values& hoisted, const Memory* block,
                Value* at, const Group& group) {
    All all;
    if (block) all = read(*block, at, group);
    for (std::int64_t i = 0; i < count; ++i) {
      const Values values = element_program(hoisted, x_.add(first, x_.number(i)), group, true);
      All one;
      for (const KernelReduction& reduction : stage_->reductions)
        one.push_back(lifted(reduction, values));
      if (block) combine_all(all, one, group);
    }
    if (block) write(*block, at, all, group);
  }

  void combine_all(All& all, const All& right, const Group& group) {
    for (std::size_t r = 0; r < all.size(); ++r)
      all[r] = combine(stage_->reductions[r], all[r], right[r], group.lanes);
  }

  // ---- what lies in memory ----

  Value* memory_for(DType dtype) {
    return f_.local(memory_type(f_.context(), dtype, 1), f_.schedule.panel);
  }
  Value* place(Value* base, DType dtype, Value* at) {
    return f_.b.CreateGEP(memory_type(f_.context(), dtype, 1), base, at);
  }

  Memory memory() {
    Memory all;
    for (const KernelReduction& reduction : stage_->reductions) {
      auto& one = all.emplace_back();
      for (std::size_t i = 0; i < reduction.identity.size(); ++i)
        one.push_back(memory_for(dtype_of(reduction, i)));
    }
    return all;
  }
  All read(const Memory& memory, Value* at, const Group& group) {
    All all;
    for (std::size_t r = 0; r < memory.size(); ++r) {
      Accumulators& one = all.emplace_back();
      for (std::size_t i = 0; i < memory[r].size(); ++i) {
        const DType dtype = dtype_of(stage_->reductions[r], i);
        one.push_back(f_.load_dense(place(memory[r][i], dtype, at), dtype, group));
      }
    }
    return all;
  }
  void write(const Memory& memory, Value* at, const All& all, const Group& group) {
    for (std::size_t r = 0; r < memory.size(); ++r)
      for (std::size_t i = 0; i < memory[r].size(); ++i) {
        const DType dtype = dtype_of(stage_->reductions[r], i);
        f_.store_dense(place(memory[r][i], dtype, at), dtype, all[r][i], group);
      }
  }
  void clear(const Memory& memory) {
    groups([&](Value* at, const Group& group) {
      All all;
      for (const KernelReduction& reduction : stage_->reductions)
        all.push_back(identities(reduction, group.lanes, 1));
      write(memory, at, all, group);
    });
  }

  void keep(const All& all, Value* at, const Group& group) {
    for (std::size_t r = 0; r < all.size(); ++r) {
      set_temps(stage_->reductions[r], all[r]);
      for (const int temp : stage_->reductions[r].temps) keep_temp(temp, at, group);
    }
  }
  void keep_temp(int temp, Value* at, const Group& group) {
    const auto id = static_cast<std::size_t>(temp);
    const DType dtype = f_.kernel.point_temps[id];
    f_.store_dense(place(temp_memory_[id], dtype, at), dtype, temps_[id], group);
  }
  void read_temp(int temp, Value* at, const Group& group) {
    const auto id = static_cast<std::size_t>(temp);
    const DType dtype = f_.kernel.point_temps[id];
    temps_[id] = f_.load_dense(place(temp_memory_[id], dtype, at), dtype, group);
  }

  std::vector<Value*> temp_memory_;
  Value *first_ = nullptr, *count_ = nullptr;  // of the panel's points
};

}  // namespace

void emit_along_panel(Frame& frame) { AlongPanel(frame).emit(); }

}  // namespace weft::codegen
