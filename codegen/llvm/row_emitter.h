// What row kernels share, whichever way their vectors lie: the stages of one point, or of a group
// of points side by side, and the accumulators of reductions.
#pragma once

#include "codegen/llvm/frame.h"

namespace weft::codegen {

/// One point after another, vectors along the row; for reductions by lanes alone.
void emit_along_row(Frame&);
/// Vectors of neighbouring points; for both orders and every layout.
void emit_along_points(Frame&);

/// The same for reductions by blocks of much data, row elements over many vectors at a time.
void emit_along_panel(Frame&);

/// What the schedules share: the stages of one point (or of a group of points side by side).
class RowEmitter {
 public:
  explicit RowEmitter(Frame& frame)
      : f_(frame),
        x_(frame.x),
        row_(frame.extents.size() - 1),
        kind_(frame.schedule.kind),
        axis_(static_cast<std::size_t>(frame.schedule.axis)),
        coordinates_(frame.extents.size()) {}
  virtual ~RowEmitter() = default;
  virtual void emit() = 0;

 protected:
  /// Accumulators: one list of vectors each.
  using Accumulators = std::vector<Wide>;

  /// All stages at `coordinates_`; `points` is the shape of values that belong to points.
  void stages(const Group& points) {
    start(points);
    for (const ir::Stage& stage : f_.kernel.stages) {
      stage_ = &stage;
      if (stage.over_row)
        row_stage();
      else
        point_stage();
    }
  }

  /// Works on the points at `coordinates_` from now on.
  void start(const Group& points) {
    points_ = points;
    temps_.assign(f_.kernel.point_temps.size(), {});
    length_ = f_.extents[row_];
    if (f_.clip) {
      llvm::Value* block = coordinates_[row_ - 1];
      length_ =
          x_.max(x_.number(0), x_.min(length_, x_.sub(f_.clip, x_.mul(block, f_.extents[row_]))));
    }
    elements_.clear();
    coordinates_[row_] = nullptr;
    for (int access = 0; access < static_cast<int>(f_.kernel.accesses.size()); ++access)
      elements_.push_back(f_.element(access, coordinates_));
  }

  virtual void row_stage() = 0;

  void point_stage() {
    Values values = hoist(points_);
    emit_program(f_.b, stage_->body, points_.lanes, values, [&](const ir::ScalarInst& inst) {
      return inst.op == ir::ScalarOp::index ? Wide{splat(f_.b, x_.number(0), points_.lanes)}
                                            : leaf(inst, x_.number(0), points_);
    });
    for (const ir::Sink& sink : stage_->sinks) {
      const Wide& value = values[static_cast<std::size_t>(
          stage_->body.outputs[static_cast<std::size_t>(sink.output)])];
      const auto id = static_cast<std::size_t>(sink.id);
      if (sink.kind == ir::Sink::Kind::point_temp)
        temps_[id] = value;
      else
        f_.store(sink.id, value, elements_[id], along_points(sink.id), points_, false);
    }
  }

  /// The program at row element `at` on this group of vectors, with what it stores.
  Values element_program(const Values& hoisted, llvm::Value* at, const Group& group, bool sinks) {
    Values values = hoisted;
    emit_program(f_.b, stage_->body, group.lanes, values,
                 [&](const ir::ScalarInst& inst) { return leaf(inst, at, group); });
    if (sinks) sink(values, at, group);
    return values;
  }

  /// What is the same for the whole row.
  Values hoist(const Group& group) {
    Values values;
    emit_program(f_.b, stage_->body, group.lanes, values,
                 [&](const ir::ScalarInst& inst) { return leaf(inst, nullptr, group); });
    return values;
  }

  Accumulators identities(const ir::KernelReduction& reduction, int lanes, std::size_t vectors) {
    Accumulators result;
    for (std::size_t i = 0; i < reduction.identity.size(); ++i)
      result.emplace_back(vectors, constant_value(f_.context(), dtype_of(reduction, i),
                                                  reduction.identity[i], lanes));
    return result;
  }

  static DType dtype_of(const ir::KernelReduction& reduction, std::size_t accumulator) {
    return reduction.combine.output_dtype(accumulator);
  }

  Accumulators lifted(const ir::KernelReduction& reduction, const Values& values) const {
    Accumulators result;
    for (const int output : reduction.outputs)
      result.push_back(
          values[static_cast<std::size_t>(stage_->body.outputs[static_cast<std::size_t>(output)])]);
    return result;
  }

  Accumulators combine(const ir::KernelReduction& reduction, const Accumulators& left,
                       const Accumulators& right, int lanes) {
    Values values;
    emit_program(f_.b, reduction.combine, lanes, values, [&](const ir::ScalarInst& inst) {
      return inst.imm < left.size() ? left[inst.imm] : right[inst.imm - left.size()];
    });
    Accumulators result;
    for (std::size_t i = 0; i < left.size(); ++i) {
      const Wide& value = values[static_cast<std::size_t>(reduction.combine.outputs[i])];
      Wide& all = result.emplace_back();
      for (std::size_t v = 0; v < left[i].size(); ++v) all.push_back(at(value, v));
    }
    return result;
  }

  Accumulators choose(llvm::Value* condition, const Accumulators& yes, const Accumulators& no) {
    Accumulators result = yes;
    for (std::size_t i = 0; i < yes.size(); ++i)
      for (std::size_t v = 0; v < yes[i].size(); ++v)
        result[i][v] = f_.b.CreateSelect(condition, yes[i][v], no[i][v]);
    return result;
  }

  void set_temps(const ir::KernelReduction& reduction, const Accumulators& results) {
    for (std::size_t i = 0; i < results.size(); ++i)
      temps_[static_cast<std::size_t>(reduction.temps[i])] = results[i];
  }

  /// Element number of an access at row element `at`.
  llvm::Value* element_at(int access, llvm::Value* at) {
    const auto id = static_cast<std::size_t>(access);
    return x_.add(elements_[id], x_.mul(f_.strides[id][row_], at));
  }

  /// Whether what the stage stores at the row's start lies on boundaries of whole vectors.
  llvm::Value* stores_aligned(int lanes) {
    llvm::Value* bits = x_.number(0);
    for (const ir::Sink& sink : stage_->sinks) {
      if (sink.kind != ir::Sink::Kind::store) continue;
      const DType dtype = stage_->body.output_dtype(static_cast<std::size_t>(sink.output));
      llvm::Value* address = f_.b.CreatePtrToInt(
          f_.address(sink.id, dtype, element_at(sink.id, x_.number(0))), f_.b.getInt64Ty());
      const auto vector = static_cast<std::int64_t>(size_of(dtype)) * lanes;
      bits = f_.b.CreateOr(bits, f_.b.CreateAnd(address, x_.number(vector - 1)));
    }
    return f_.b.CreateICmpEQ(bits, x_.number(0));
  }

  /// One block, whatever its length: the first or second of two kernels.
  static bool undivided(const ir::KernelReduction& reduction) {
    return reduction.partial || reduction.second_level;
  }

  /// Lists of accumulators as what a loop carries, and back.
  static Frame::Carried flat(const std::vector<Accumulators>& all) {
    Frame::Carried result;
    for (const Accumulators& one : all)
      for (const Wide& wide : one) result.append(wide.begin(), wide.end());
    return result;
  }
  static std::vector<Accumulators> like(std::vector<Accumulators> shape,
                                        const Frame::Carried& values) {
    const auto* next = values.begin();
    for (Accumulators& one : shape)
      for (Wide& wide : one)
        for (llvm::Value*& value : wide) value = *next++;
    return shape;
  }

  Frame& f_;
  Index& x_;
  const std::size_t row_;
  const Schedule::Kind kind_;
  const std::size_t axis_;                 // of the kernel, along which vectors lie
  std::vector<llvm::Value*> coordinates_;  // of the first point; null on the row axis
  const ir::Stage* stage_ = nullptr;
  llvm::Value* length_ = nullptr;  // of the row
  Group points_;                   // the shape of values that belong to points
  std::vector<Wide> temps_;        // point temps, of that shape
  bool streaming_ = false;         // what is stored now goes past the cache

 private:
  /// The stride between the lanes of values that belong to points.
  llvm::Value* along_points(int access) {
    return kind_ == Schedule::Kind::along_points
               ? f_.strides[static_cast<std::size_t>(access)][axis_]
               : x_.number(0);
  }

  Wide leaf(const ir::ScalarInst& inst, llvm::Value* at, const Group& group) {
    if (inst.op == ir::ScalarOp::index) return index(inst.imm, at, group);
    const ir::Source& source = stage_->sources[inst.imm];
    const auto id = static_cast<std::size_t>(source.id);
    switch (source.kind) {
      case ir::Source::Kind::point_temp: return point_temp(id, group);
      case ir::Source::Kind::row_temp:
        return at ? f_.load_dense(row_temp_address(id, at, group), inst.dtype, group) : Wide{};
      case ir::Source::Kind::load: break;
    }
    const auto& access = f_.kernel.accesses[id];
    llvm::Value* step = f_.strides[id][row_];
    const bool rewritten = f_.kernel.buffers[static_cast<std::size_t>(access.buffer)].written;
    if (!at && (rewritten || (stage_->over_row && known(step) != 0))) return {};
    return f_.load(source.id, inst.dtype, at ? element_at(source.id, at) : elements_[id],
                   kind_ == Schedule::Kind::along_row ? step : along_points(source.id), group);
  }

  Wide index(std::size_t axis, llvm::Value* at, const Group& group) {
    if (axis == row_) {
      if (!at) return {};
      return kind_ == Schedule::Kind::along_row ? f_.iota(at, group)
                                                : Wide{splat(f_.b, at, group.lanes)};
    }
    if (kind_ == Schedule::Kind::along_points && axis == axis_)
      return f_.iota(coordinates_[axis], group);
    return {splat(f_.b, coordinates_[axis], group.lanes)};
  }

  /// Along the row a point's value is a scalar, which all lanes see.
  Wide point_temp(std::size_t id, const Group& group) {
    if (kind_ == Schedule::Kind::along_points) return temps_[id];
    return {splat(f_.b, temps_[id][0], group.lanes)};
  }

  llvm::Value* row_temp_address(std::size_t id, llvm::Value* at, const Group& group) {
    llvm::Value* element = kind_ == Schedule::Kind::along_points
                               ? x_.mul(at, x_.number(std::int64_t{group.lanes} * group.count))
                               : at;
    return f_.b.CreateGEP(memory_type(f_.context(), f_.kernel.row_temps[id], 1), f_.row_temps[id],
                          element);
  }

  void sink(const Values& values, llvm::Value* at, const Group& group) {
    for (const ir::Sink& sink : stage_->sinks) {
      const auto output =
          static_cast<std::size_t>(stage_->body.outputs[static_cast<std::size_t>(sink.output)]);
      const auto id = static_cast<std::size_t>(sink.id);
      if (sink.kind == ir::Sink::Kind::row_temp) {
        f_.store_dense(row_temp_address(id, at, group), f_.kernel.row_temps[id], values[output],
                       group);
        continue;
      }
      f_.store(sink.id, values[output], element_at(sink.id, at),
               kind_ == Schedule::Kind::along_row ? f_.strides[id][row_] : along_points(sink.id),
               group, streaming_);
    }
  }

  std::vector<llvm::Value*> elements_;  // of accesses at the first point
};

}  // namespace weft::codegen
