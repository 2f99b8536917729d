// Pointwise kernels: segments along the last axis, in groups of several vectors.
#include "codegen/llvm/emit_kernel.h"

#include <bit>

#include <llvm/IR/Intrinsics.h>

#include "codegen/llvm/emit_planned.h"
#include "codegen/llvm/frame.h"
#include "codegen/llvm/row_emitter.h"

namespace weft::codegen {
namespace {

using ir::ScalarInst, ir::ScalarOp, ir::Sink, ir::Stage;
using llvm::Value;

constexpr std::int64_t squares_across = 8;  // that are read side by side

class PointwiseEmitter {
 public:
  explicit PointwiseEmitter(Frame& frame) : f_(frame), stage_(frame.kernel.stages.front()) {}

  void emit() {
    Index& x = f_.x;
    const std::size_t inner = f_.extents.size() - 1;
    coordinates_.assign(f_.extents.size(), nullptr);
    if (inner == 0) {
      f_.when(f_.b.CreateICmpSLT(f_.begin, f_.end),
              [&] { segment(f_.begin, x.sub(f_.end, f_.begin)); });
    } else {
      // Each turn ends where the last axis or the range ends.
      auto& b = f_.b;
      auto* function = b.GetInsertBlock()->getParent();
      llvm::BasicBlock* before = b.GetInsertBlock();
      auto* inside = llvm::BasicBlock::Create(f_.context(), "segments", function);
      auto* after = llvm::BasicBlock::Create(f_.context(), "end", function);
      b.CreateCondBr(b.CreateICmpSLT(f_.begin, f_.end), inside, after);
      b.SetInsertPoint(inside);
      llvm::PHINode* item = b.CreatePHI(b.getInt64Ty(), 2);
      item->addIncoming(f_.begin, before);
      Value* start = x.mod(item, f_.extents[inner]);
      f_.coordinates(x.div(item, f_.extents[inner]), 0, inner, coordinates_);
      if (f_.schedule.turned || f_.schedule.short_rows) many_rows(inside, item, start, after);
      Value* length = x.min(x.sub(f_.extents[inner], start), x.sub(f_.end, item));
      segment(start, length);
      go_on(item, b.CreateAdd(item, length), inside, after);
      b.SetInsertPoint(after);
    }
    if (f_.schedule.streaming || f_.schedule.stream_above > 0) f_.fence();
  }

 private:
  void go_on(llvm::PHINode* item, Value* next, llvm::BasicBlock* loop, llvm::BasicBlock* after) {
    item->addIncoming(next, f_.b.GetInsertBlock());
    f_.b.CreateCondBr(f_.b.CreateICmpSLT(next, f_.end), loop, after);
  }

  /// Where as many whole rows as a vector has lanes lie ahead, these are done at once: in squares, or
  /// where rows are shorter than a vector, as if they were one.
  void many_rows(llvm::BasicBlock* loop, llvm::PHINode* item, Value* start,
                 llvm::BasicBlock* after) {
    auto& b = f_.b;
    Index& x = f_.x;
    const int lanes = f_.schedule.lanes;
    const std::size_t rows_axis = f_.extents.size() - 2;
    Value* size = b.CreateMul(f_.extents.back(), x.number(lanes));
    Value* rows = x.sub(f_.extents[rows_axis], coordinates_[rows_axis]);
    Value* fits = b.CreateAnd(b.CreateICmpSGE(rows, x.number(lanes)),
                              b.CreateICmpSGE(x.sub(f_.end, item), size));
    fits = b.CreateAnd(fits, b.CreateICmpEQ(start, x.number(0)));
    auto* many = llvm::BasicBlock::Create(f_.context(), "many", b.GetInsertBlock()->getParent());
    auto* otherwise = llvm::BasicBlock::Create(f_.context(), "otherwise", many->getParent());
    b.CreateCondBr(fits, many, otherwise);
    b.SetInsertPoint(many);
    Value* groups = x.min(x.div(rows, x.number(lanes)), x.div(x.sub(f_.end, item), size));
    if (f_.schedule.turned) groups = x.min(groups, x.number(squares_across));
    place(x.number(0));
    Value* together = b.CreateMul(groups, x.number(lanes));
    if (f_.schedule.turned)
      turned_rows(together);
    else
      short_rows(together);
    go_on(item, b.CreateAdd(item, b.CreateMul(groups, size)), loop, after);
    b.SetInsertPoint(otherwise);
  }

  /// Operands that lie along the rows' axis are read along it and turned in registers, so that no
  /// cache line is read twice; some squares side by side, so that they are read in longer runs.
  void turned_rows(Value* rows) {
    Index& x = f_.x;
    const int lanes = f_.schedule.lanes;
    const std::size_t rows_axis = f_.extents.size() - 2;
    Value* columns = f_.extents.back();
    Value* whole = x.sub(columns, x.mod(columns, x.number(lanes)));
    const auto squares = [&](bool streaming) {
      f_.loop(x.number(0), whole, x.number(lanes), [&](Value* column) {
        f_.loop(x.number(0), rows, x.number(lanes),
                [&](Value* row) { square(column, row, streaming); });
      });
    };
    if (f_.schedule.streaming) {
      auto* function = f_.b.GetInsertBlock()->getParent();
      auto* past = llvm::BasicBlock::Create(f_.context(), "past", function);
      auto* through = llvm::BasicBlock::Create(f_.context(), "through", function);
      auto* done = llvm::BasicBlock::Create(f_.context(), "done", function);
      f_.b.CreateCondBr(rows_aligned(), past, through);
      for (auto* block : {past, through}) {
        f_.b.SetInsertPoint(block);
        squares(block == past);
        f_.b.CreateBr(done);
      }
      f_.b.SetInsertPoint(done);
    } else {
      squares(false);
    }
    if (known(whole) && known(whole) == known(columns)) return;
    Value* first = coordinates_[rows_axis];
    f_.loop(x.number(0), rows, x.number(1), [&](Value* row) {
      coordinates_[rows_axis] = f_.b.CreateAdd(first, row);
      place(x.number(0));
      partial(Values{}, whole, columns);
    });
    coordinates_[rows_axis] = first;
  }

  /// One vector of each of `lanes` rows, `row` rows on, from this column on.
  void square(Value* column, Value* row, bool streaming) {
    const int lanes = f_.schedule.lanes;
    const auto corner = [&](int access) {
      return f_.x.add(element(access, column), f_.x.mul(down_of(access), row));
    };
    std::vector<Wide> turned(stage_.sources.size());
    for (std::size_t i = 0; i < turned.size(); ++i) {
      const int access = stage_.sources[i].id;
      if (!lies_along_rows(access)) continue;
      turned[i] = f_.transpose(f_.load(access, stage_.body.inputs[i], corner(access), down_of(access),
                                       Group{lanes, lanes, {}}, stride_of(access)));
    }
    const int count = std::min(f_.schedule.in_flight, lanes);
    for (int first = 0; first < lanes; first += count) {
      const Group group{lanes, count, {}};
      const auto place_of = [&](int access) {  // of the first row of these
        return f_.x.add(corner(access), f_.x.mul(down_of(access), f_.x.number(first)));
      };
      Values values;
      emit_program(f_.b, stage_.body, lanes, values, [&](const ScalarInst& inst) -> Wide {
        if (inst.op == ScalarOp::index)
          return index_in_square(inst.imm, column, f_.x.add(row, f_.x.number(first)), group);
        if (!turned[inst.imm].empty())
          return {turned[inst.imm].begin() + first, turned[inst.imm].begin() + first + count};
        const int access = stage_.sources[inst.imm].id;
        return f_.load(access, inst.dtype, place_of(access), stride_of(access), group,
                       down_of(access));
      });
      for (const Sink& sink : stage_.sinks)
        f_.store(sink.id,
                 values[static_cast<std::size_t>(
                     stage_.body.outputs[static_cast<std::size_t>(sink.output)])],
                 place_of(sink.id), stride_of(sink.id), group, streaming, down_of(sink.id));
    }
  }

  /// Every row that is written begins on a boundary of vectors.
  Value* rows_aligned() {
    Value* bits = f_.x.number(0);
    for (const Sink& sink : stage_.sinks) {
      if (known(stride_of(sink.id)) != 1) return f_.b.getFalse();
      const DType dtype = stage_.body.output_dtype(static_cast<std::size_t>(sink.output));
      const auto size = static_cast<std::int64_t>(size_of(dtype));
      const auto& strides = f_.strides[static_cast<std::size_t>(sink.id)];
      Value* address = f_.b.CreatePtrToInt(
          f_.address(sink.id, dtype, elements_[static_cast<std::size_t>(sink.id)]),
          f_.b.getInt64Ty());
      address = f_.b.CreateOr(address, f_.x.mul(strides[strides.size() - 2], f_.x.number(size)));
      bits = f_.b.CreateOr(
          bits, f_.b.CreateAnd(address, f_.x.number(size * f_.schedule.lanes - 1)));
    }
    return f_.b.CreateICmpEQ(bits, f_.x.number(0));
  }

  /// Rows of a few elements, which results have side by side: as many rows as a vector has lanes are
  /// as many vectors as a row has elements. Lane `l` of vector `v` is element `v * lanes + l`.
  void short_rows(Value* rows) {
    Index& x = f_.x;
    const int lanes = f_.schedule.lanes, columns = static_cast<int>(*known(f_.extents.back()));
    std::vector<Wide> same(stage_.sources.size());  // in all rows
    for (std::size_t i = 0; i < same.size(); ++i) {
      const int access = stage_.sources[i].id;
      if (known(down_of(access)) != 0 || rewritten(access)) continue;
      if (known(stride_of(access)) == 0) {
        same[i] = f_.load(access, stage_.body.inputs[i], elements_[static_cast<std::size_t>(access)],
                          x.number(0), Group{lanes, 1, {}});
      } else {
        Group once{lanes, 1, f_.masks(x.number(columns), lanes, 0, 1)};
        const Wide one = f_.load(access, stage_.body.inputs[i],
                                 elements_[static_cast<std::size_t>(access)], stride_of(access), once);
        for (int v = 0; v < columns; ++v) {
          llvm::SmallVector<int, 64> from;
          for (int lane = 0; lane < lanes; ++lane) from.push_back((v * lanes + lane) % columns);
          same[i].push_back(f_.b.CreateShuffleVector(one[0], from));
        }
      }
    }
    f_.loop(x.number(0), rows, x.number(lanes), [&](Value* row) {
      std::vector<Wide> all = same;
      for (std::size_t i = 0; i < all.size(); ++i)
        if (all[i].empty()) all[i] = of_short_rows(i, row, columns);
      const int count = f_.schedule.in_flight;
      for (int first = 0; first < columns; first += count)
        short_group(all, row, first, Group{lanes, std::min(count, columns - first), {}});
    });
  }

  /// What an operand is in all vectors of these rows; nothing where it lies as the results do.
  Wide of_short_rows(std::size_t source, Value* row, int columns) {
    const int access = stage_.sources[source].id, lanes = f_.schedule.lanes;
    if (lies_like_results(access)) return {};
    Value* from = f_.x.add(elements_[static_cast<std::size_t>(access)],
                           f_.x.mul(down_of(access), row));
    const bool alike = known(stride_of(access)) == 0;  // all elements of a row are one
    const Wide read = f_.load(access, stage_.body.inputs[source], from, down_of(access),
                              Group{lanes, alike ? 1 : columns, {}}, stride_of(access));
    Wide result;
    for (int v = 0; v < columns; ++v) {
      Value* vector = read[0];
      for (int column = 0; column < (alike ? 1 : columns); ++column) {
        llvm::SmallVector<int, 64> from_lanes;
        for (int lane = 0; lane < lanes; ++lane) {
          const int at = v * lanes + lane;
          from_lanes.push_back(alike                        ? at / columns
                               : at % columns == column ? lanes + at / columns
                                                        : lane);
        }
        Value* other = read[static_cast<std::size_t>(column)];
        vector = alike ? f_.b.CreateShuffleVector(other, from_lanes)
                       : f_.b.CreateShuffleVector(vector, other, from_lanes);
      }
      result.push_back(vector);
    }
    return result;
  }

  void short_group(const std::vector<Wide>& all, Value* row, int first, const Group& group) {
    const auto place_of = [&](int access) {
      return f_.x.add(f_.x.add(elements_[static_cast<std::size_t>(access)],
                               f_.x.mul(down_of(access), row)),
                      f_.x.number(std::int64_t{first} * group.lanes));
    };
    Values values;
    emit_program(f_.b, stage_.body, group.lanes, values, [&](const ScalarInst& inst) -> Wide {
      if (inst.op == ScalarOp::index) return index_in_short_rows(inst.imm, row, first, group);
      const Wide& one = all[inst.imm];
      if (one.size() == 1) return one;
      if (!one.empty()) return {one.begin() + first, one.begin() + first + group.count};
      const int access = stage_.sources[inst.imm].id;
      return f_.load(access, inst.dtype, place_of(access), f_.x.number(1), group);
    });
    for (const Sink& sink : stage_.sinks)
      f_.store(sink.id,
               values[static_cast<std::size_t>(
                   stage_.body.outputs[static_cast<std::size_t>(sink.output)])],
               place_of(sink.id), f_.x.number(1), group, false);
  }

  Wide index_in_short_rows(std::size_t axis, Value* row, int first, const Group& group) {
    const std::size_t axes = f_.extents.size();
    if (axis + 2 < axes) return {splat(f_.b, coordinates_[axis], group.lanes)};
    const auto columns = static_cast<std::uint64_t>(*known(f_.extents.back()));
    Wide result;
    for (int v = first; v < first + group.count; ++v) {
      llvm::SmallVector<std::uint64_t, 64> numbers;
      for (int lane = 0; lane < group.lanes; ++lane) {
        const auto at = static_cast<std::uint64_t>(v * group.lanes + lane);
        numbers.push_back(axis + 1 == axes ? at % columns : at / columns);
      }
      Value* of_lanes = llvm::ConstantDataVector::get(f_.context(), numbers);
      if (axis + 2 == axes)
        of_lanes = f_.b.CreateAdd(
            of_lanes, splat(f_.b, f_.b.CreateAdd(coordinates_[axis], row), group.lanes));
      result.push_back(of_lanes);
    }
    return result;
  }

  Value* down_of(int access) {
    const auto& strides = f_.strides[static_cast<std::size_t>(access)];
    return strides[strides.size() - 2];
  }
  bool lies_like_results(int access) {
    return known(stride_of(access)) == 1 && known(down_of(access)) == known(f_.extents.back());
  }

  bool lies_along_rows(int access) {
    const auto step = known(stride_of(access));
    return known(down_of(access)) == 1 && step != 0 && step != 1;
  }

  Wide index_in_square(std::size_t axis, Value* column, Value* row, const Group& group) {
    if (axis + 1 == f_.extents.size()) return f_.iota(column, Group{group.lanes, 1, {}});
    if (axis + 2 != f_.extents.size()) return {splat(f_.b, coordinates_[axis], group.lanes)};
    Wide rows;
    for (int v = 0; v < group.count; ++v)
      rows.push_back(splat(f_.b, f_.x.add(f_.b.CreateAdd(coordinates_[axis], row), f_.x.number(v)),
                           group.lanes));
    return rows;
  }

  /// Accesses from this element of the last axis on.
  void place(Value* start) {
    coordinates_.back() = start;
    elements_.clear();
    for (int access = 0; access < static_cast<int>(f_.kernel.accesses.size()); ++access)
      elements_.push_back(f_.element(access, coordinates_));
  }

  /// Elements `start` to `start + length` of the last axis.
  void segment(Value* start, Value* length) {
    Index& x = f_.x;
    const Schedule& s = f_.schedule;
    place(start);
    Values hoisted;
    emit_program(f_.b, stage_.body, s.lanes, hoisted, [&](const ScalarInst& inst) {
      return leaf(inst, nullptr, Group{s.lanes, 1, {}});
    });
    Value* from = x.number(0);
    Value* whole = whole_groups(length);
    if ((s.streaming && !s.turned) || s.stream_above > 0) {
      from = x.min(unaligned(), length);
      if (s.stream_above > 0) from = f_.b.CreateSelect(large(), from, x.number(0));
      whole = x.add(from, whole_groups(x.sub(length, from)));
      partial(hoisted, x.number(0), from);
      // An output that does not come to lie on a vector boundary with the first is written like the
      // rest.
      Value* streams = all_aligned(from);
      if (s.stream_above > 0) streams = f_.b.CreateAnd(streams, large());
      Value* streamed = f_.b.CreateSelect(streams, whole, from);
      groups(hoisted, from, streamed, true);
      if (s.stream_above > 0)
        from = streamed;
      else
        whole = from = streamed;
    }
    if (s.turned)
      whole = from;  // squares do nearly all
    else if (!s.streaming)
      groups(hoisted, from, whole, false);
    partial(hoisted, whole, length);
  }

  /// The results are more than what `stream_above` names.
  Value* large() {
    Value* bytes = f_.x.number(result_bytes_of_point(f_.kernel));
    for (Value* extent : f_.extents) bytes = f_.x.mul(bytes, extent);
    return f_.b.CreateICmpSGT(bytes, f_.x.number(f_.schedule.stream_above));
  }

  Value* whole_groups(Value* length) {
    if (const auto n = known(length))
      return f_.x.number(*n / f_.schedule.group() * f_.schedule.group());
    const std::int64_t group = f_.schedule.group();
    if (std::has_single_bit(static_cast<std::uint64_t>(group)))
      return f_.b.CreateAnd(length, f_.x.number(-group));
    return f_.x.sub(length, f_.x.mod(length, f_.x.number(group)));
  }

  /// Vector by vector, with masks.
  void partial(const Values& hoisted, Value* from, Value* to) {
    const int lanes = f_.schedule.lanes;
    f_.loop(from, to, f_.x.number(lanes), [&](Value* i) {
      Group one{lanes, 1, {}};
      if (lanes > 1) one.masks = f_.masks(f_.x.sub(to, i), lanes, 0, 1);
      group(hoisted, i, one, false);
    });
  }

  void group(Values values, Value* at, const Group& group, bool streaming) {
    emit_program(f_.b, stage_.body, group.lanes, values,
                 [&](const ScalarInst& inst) { return leaf(inst, at, group); });
    for (const Sink& sink : stage_.sinks) {
      const auto output =
          static_cast<std::size_t>(stage_.body.outputs[static_cast<std::size_t>(sink.output)]);
      Value* stride = stride_of(sink.id);
      f_.store(sink.id, values[output], element(sink.id, at), stride, group, streaming);
    }
  }

  void groups(const Values& hoisted, Value* from, Value* to, bool streaming) {
    const Schedule& s = f_.schedule;
    if (s.planned) return planned_groups(hoisted, from, to, streaming);
    f_.loop(from, to, f_.x.number(s.group()),
            [&](Value* i) { group(hoisted, i, Group{s.lanes, s.in_flight, {}}, streaming); });
  }

  /// Vectors are loaded and stored one by one, as the plan has it.
  void planned_groups(const Values& hoisted, Value* from, Value* to, bool streaming) {
    const Schedule& s = f_.schedule;
    PlannedProgram program(f_, stage_.body, hoisted);
    const Group one{s.lanes, 1, {}};
    f_.loop(from, to, f_.x.number(s.group()), [&](Value* at) {
      const auto of_vector = [&](int v) { return f_.x.add(at, f_.x.number(v * s.lanes)); };
      const auto store = [&](const Sink& sink, int v, Value* value) {
        f_.store(sink.id, {value}, element(sink.id, of_vector(v)), stride_of(sink.id), one,
                 streaming);
      };
      program.emit(
          [&](const ScalarInst& inst, int v) { return leaf(inst, of_vector(v), one)[0]; },
          [&](std::int32_t inst, int v, Value* value) {
            for (const Sink& sink : stage_.sinks)
              if (stage_.body.outputs[static_cast<std::size_t>(sink.output)] == inst)
                store(sink, v, value);
          });
      for (const Sink& sink : stage_.sinks) {  // what is the same everywhere
        const Wide& value = hoisted[static_cast<std::size_t>(
            stage_.body.outputs[static_cast<std::size_t>(sink.output)])];
        for (int v = 0; !value.empty() && v < s.in_flight; ++v) store(sink, v, value[0]);
      }
    });
  }

  Value* stride_of(int access) { return f_.strides[static_cast<std::size_t>(access)].back(); }

  Value* element(int access, Value* at) {
    return f_.x.add(elements_[static_cast<std::size_t>(access)], f_.x.mul(stride_of(access), at));
  }

  /// Without a position: what is the same for the whole segment, else nothing.
  Wide leaf(const ScalarInst& inst, Value* at, const Group& group) {
    if (inst.op == ScalarOp::index) {
      if (inst.imm + 1 != f_.extents.size())
        return {splat(f_.b, coordinates_[inst.imm], group.lanes)};
      return at ? f_.iota(f_.x.add(coordinates_.back(), at), group) : Wide{};
    }
    const int access = stage_.sources[inst.imm].id;
    Value* stride = stride_of(access);
    if (!at && (known(stride) != 0 || rewritten(access))) return {};
    return f_.load(access, inst.dtype,
                   at ? element(access, at) : elements_[static_cast<std::size_t>(access)], stride,
                   group);
  }

  bool rewritten(int access) const {
    const auto buffer =
        static_cast<std::size_t>(f_.kernel.accesses[static_cast<std::size_t>(access)].buffer);
    return f_.kernel.buffers[buffer].written;
  }

  /// Elements before the first output reaches a vector boundary.
  Value* unaligned() {
    const Sink& sink = stage_.sinks.front();
    const DType dtype = stage_.body.output_dtype(static_cast<std::size_t>(sink.output));
    const auto size = static_cast<std::int64_t>(size_of(dtype));
    Value* address = f_.b.CreatePtrToInt(
        f_.address(sink.id, dtype, elements_[static_cast<std::size_t>(sink.id)]),
        f_.b.getInt64Ty());
    Value* bytes =
        f_.b.CreateAnd(f_.b.CreateNeg(address), f_.x.number(size * f_.schedule.lanes - 1));
    return f_.x.div(bytes, f_.x.number(size));
  }

  Value* all_aligned(Value* at) {
    Value* bits = f_.x.number(0);
    for (const Sink& sink : stage_.sinks) {
      if (known(stride_of(sink.id)) != 1) return f_.b.getFalse();
      const DType dtype = stage_.body.output_dtype(static_cast<std::size_t>(sink.output));
      Value* address =
          f_.b.CreatePtrToInt(f_.address(sink.id, dtype, element(sink.id, at)), f_.b.getInt64Ty());
      const auto vector = static_cast<std::int64_t>(size_of(dtype)) * f_.schedule.lanes;
      bits = f_.b.CreateOr(bits, f_.b.CreateAnd(address, f_.x.number(vector - 1)));
    }
    return f_.b.CreateICmpEQ(bits, f_.x.number(0));
  }

  Frame& f_;
  const Stage& stage_;
  std::vector<Value*> coordinates_;  // of the segment's first element
  std::vector<Value*> elements_;     // of accesses there
};

}  // namespace

void emit_kernel(llvm::Module& module, const ir::Kernel& kernel, const Schedule& schedule,
                 const Target& target) {
  Frame frame(module, kernel, schedule, target);
  if (schedule.kind == Schedule::Kind::along_row)
    emit_along_row(frame);
  else if (schedule.panel > 0)
    emit_along_panel(frame);
  else if (schedule.kind == Schedule::Kind::along_points)
    emit_along_points(frame);
  else if (!kernel.stages.empty())
    PointwiseEmitter(frame).emit();
  frame.finish();
}

}  // namespace weft::codegen
