#include "codegen/llvm/emit_row.h"

#include <llvm/IR/Constants.h>

namespace weft::codegen {
namespace {

using ir::KernelReduction, ir::ReductionOrder, ir::ScalarInst, ir::ScalarOp, ir::Sink, ir::Source, ir::Stage;
using llvm::Value;

constexpr std::int64_t lane_count = ir::lane_count;

/// What the schedules share: the stages of one point (or of a group of points side by side).
class RowEmitter {
 public:
  explicit RowEmitter(Frame& frame)
      : f_(frame), x_(frame.x), row_(frame.extents.size() - 1), kind_(frame.schedule.kind),
        axis_(static_cast<std::size_t>(frame.schedule.axis)), coordinates_(frame.extents.size()) {}
  virtual ~RowEmitter() = default;
  virtual void emit() = 0;

 protected:
  /// Accumulators: one list of vectors each.
  using Accumulators = std::vector<Wide>;

  /// All stages at `coordinates_`; `points` is the shape of values that belong to points.
  void stages(const Group& points) {
    points_ = points;
    temps_.assign(f_.kernel.point_temps.size(), {});
    length_ = f_.extents[row_];
    if (f_.clip) {
      Value* block = coordinates_[row_ - 1];
      length_ = x_.max(x_.number(0), x_.min(length_, x_.sub(f_.clip, x_.mul(block, f_.extents[row_]))));
    }
    elements_.clear();
    coordinates_[row_] = nullptr;
    for (int access = 0; access < static_cast<int>(f_.kernel.accesses.size()); ++access)
      elements_.push_back(f_.element(access, coordinates_));
    for (const Stage& stage : f_.kernel.stages) {
      stage_ = &stage;
      if (stage.over_row) row_stage();
      else point_stage();
    }
  }

  virtual void row_stage() = 0;

  /// The program at row element `at` on this group of vectors, with what it stores.
  Values element_program(const Values& hoisted, Value* at, const Group& group, bool sinks) {
    Values values = hoisted;
    emit_program(f_.b, stage_->body, group.lanes, values, [&](const ScalarInst& inst) { return leaf(inst, at, group); });
    if (sinks) sink(values, at, group);
    return values;
  }

  /// What is the same for the whole row.
  Values hoist(const Group& group) {
    Values values;
    emit_program(f_.b, stage_->body, group.lanes, values,
                 [&](const ScalarInst& inst) { return leaf(inst, nullptr, group); });
    return values;
  }

  Accumulators identities(const KernelReduction& reduction, int lanes, std::size_t vectors) {
    Accumulators result;
    for (std::size_t i = 0; i < reduction.identity.size(); ++i)
      result.emplace_back(vectors, constant_value(f_.context(), dtype_of(reduction, i), reduction.identity[i], lanes));
    return result;
  }

  static DType dtype_of(const KernelReduction& reduction, std::size_t accumulator) {
    return reduction.combine.output_dtype(accumulator);
  }

  Accumulators lifted(const KernelReduction& reduction, const Values& values) const {
    Accumulators result;
    for (const int output : reduction.outputs)
      result.push_back(values[static_cast<std::size_t>(stage_->body.outputs[static_cast<std::size_t>(output)])]);
    return result;
  }

  Accumulators combine(const KernelReduction& reduction, const Accumulators& left, const Accumulators& right, int lanes) {
    Values values;
    emit_program(f_.b, reduction.combine, lanes, values, [&](const ScalarInst& inst) {
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

  Accumulators choose(Value* condition, const Accumulators& yes, const Accumulators& no) {
    Accumulators result = yes;
    for (std::size_t i = 0; i < yes.size(); ++i)
      for (std::size_t v = 0; v < yes[i].size(); ++v) result[i][v] = f_.b.CreateSelect(condition, yes[i][v], no[i][v]);
    return result;
  }

  void set_temps(const KernelReduction& reduction, const Accumulators& results) {
    for (std::size_t i = 0; i < results.size(); ++i) temps_[static_cast<std::size_t>(reduction.temps[i])] = results[i];
  }

  /// One block, whatever its length: the first or second of two kernels.
  static bool undivided(const KernelReduction& reduction) { return reduction.partial || reduction.second_level; }

  /// Lists of accumulators as what a loop carries, and back.
  static Frame::Carried flat(const std::vector<Accumulators>& all) {
    Frame::Carried result;
    for (const Accumulators& one : all)
      for (const Wide& wide : one) result.append(wide.begin(), wide.end());
    return result;
  }
  static std::vector<Accumulators> like(std::vector<Accumulators> shape, const Frame::Carried& values) {
    const auto* next = values.begin();
    for (Accumulators& one : shape)
      for (Wide& wide : one)
        for (Value*& value : wide) value = *next++;
    return shape;
  }

  Frame& f_;
  Index& x_;
  const std::size_t row_;
  const Schedule::Kind kind_;
  const std::size_t axis_;             // of the kernel, along which vectors lie
  std::vector<Value*> coordinates_;    // of the first point; null on the row axis
  const Stage* stage_ = nullptr;
  Value* length_ = nullptr;            // of the row
  Group points_;                       // the shape of values that belong to points
  std::vector<Wide> temps_;            // point temps, of that shape

 private:
  void point_stage() {
    Values values = hoist(points_);
    emit_program(f_.b, stage_->body, points_.lanes, values, [&](const ScalarInst& inst) {
      return inst.op == ScalarOp::index ? Wide{splat(f_.b, x_.number(0), points_.lanes)} : leaf(inst, x_.number(0), points_);
    });
    for (const Sink& sink : stage_->sinks) {
      const Wide& value = values[static_cast<std::size_t>(stage_->body.outputs[static_cast<std::size_t>(sink.output)])];
      const auto id = static_cast<std::size_t>(sink.id);
      if (sink.kind == Sink::Kind::point_temp) temps_[id] = value;
      else f_.store(sink.id, value, elements_[id], along_points(sink.id), points_, false);
    }
  }

  /// The stride between the lanes of values that belong to points.
  Value* along_points(int access) {
    return kind_ == Schedule::Kind::along_points ? f_.strides[static_cast<std::size_t>(access)][axis_] : x_.number(0);
  }

  Wide leaf(const ScalarInst& inst, Value* at, const Group& group) {
    if (inst.op == ScalarOp::index) return index(inst.imm, at, group);
    const Source& source = stage_->sources[inst.imm];
    const auto id = static_cast<std::size_t>(source.id);
    switch (source.kind) {
      case Source::Kind::point_temp: return point_temp(id, group);
      case Source::Kind::row_temp:
        return at ? f_.load_dense(row_temp_address(id, at, group), inst.dtype, group) : Wide{};
      case Source::Kind::load: break;
    }
    const auto& access = f_.kernel.accesses[id];
    Value* step = f_.strides[id][row_];
    const bool rewritten = f_.kernel.buffers[static_cast<std::size_t>(access.buffer)].written;
    if (!at && (rewritten || (stage_->over_row && known(step) != 0))) return {};
    Value* element = at ? x_.add(elements_[id], x_.mul(step, at)) : elements_[id];
    return f_.load(source.id, inst.dtype, element, kind_ == Schedule::Kind::along_row ? step : along_points(source.id), group);
  }

  Wide index(std::size_t axis, Value* at, const Group& group) {
    if (axis == row_) {
      if (!at) return {};
      return kind_ == Schedule::Kind::along_row ? f_.iota(at, group) : Wide{splat(f_.b, at, group.lanes)};
    }
    if (kind_ == Schedule::Kind::along_points && axis == axis_) return f_.iota(coordinates_[axis], group);
    return {splat(f_.b, coordinates_[axis], group.lanes)};
  }

  /// Along the row a point's value is a scalar, which all lanes see.
  Wide point_temp(std::size_t id, const Group& group) {
    if (kind_ == Schedule::Kind::along_points) return temps_[id];
    return {splat(f_.b, temps_[id][0], group.lanes)};
  }

  Value* row_temp_address(std::size_t id, Value* at, const Group& group) {
    Value* element = kind_ == Schedule::Kind::along_points
                         ? x_.mul(at, x_.number(std::int64_t{group.lanes} * group.count)) : at;
    return f_.b.CreateGEP(memory_type(f_.context(), f_.kernel.row_temps[id], 1), f_.row_temps[id], element);
  }

  void sink(const Values& values, Value* at, const Group& group) {
    for (const Sink& sink : stage_->sinks) {
      const auto output = static_cast<std::size_t>(stage_->body.outputs[static_cast<std::size_t>(sink.output)]);
      const auto id = static_cast<std::size_t>(sink.id);
      if (sink.kind == Sink::Kind::row_temp) {
        f_.store_dense(row_temp_address(id, at, group), f_.kernel.row_temps[id], values[output], group);
        continue;
      }
      Value* step = f_.strides[id][row_];
      f_.store(sink.id, values[output], x_.add(elements_[id], x_.mul(step, at)),
               kind_ == Schedule::Kind::along_row ? step : along_points(sink.id), group, false);
    }
  }

  std::vector<Value*> elements_;       // of accesses at the first point
};

/// One point at a time; the 64 lanes of a reduction are 64 / lanes vectors.
class AlongRow final : public RowEmitter {
 public:
  using RowEmitter::RowEmitter;

  void emit() override {
    f_.loop(f_.begin, f_.end, x_.number(1), [&](Value* item) {
      f_.coordinates(item, 0, row_, coordinates_);
      stages(Group{1, 1, {}});
    });
  }

 private:
  void row_stage() override {
    const Values hoisted = hoist(Group{lanes_, 1, {}});
    if (stage_->reductions.empty()) plain(hoisted);
    else reduce(hoisted);
  }

  void plain(const Values& hoisted) {
    const int count = f_.schedule.in_flight;
    Value* whole = multiple(length_, lanes_ * count);
    f_.loop(x_.number(0), whole, x_.number(lanes_ * count),
            [&](Value* i) { element_program(hoisted, i, Group{lanes_, count, {}}, true); });
    f_.loop(whole, length_, x_.number(lanes_), [&](Value* i) {
      Group one{lanes_, 1, {}};
      if (lanes_ > 1) one.masks = f_.masks(x_.sub(length_, i), lanes_, 0, 1);
      element_program(hoisted, i, one, true);
    });
  }

  Value* multiple(Value* length, std::int64_t of) {
    if (const auto n = known(length)) return x_.number(*n / of * of);
    return f_.b.CreateAnd(length, x_.number(-of));
  }

  void reduce(const Values& hoisted) {
    const auto& reductions = stage_->reductions;
    const bool divided = !undivided(reductions.front());
    const auto n = known(length_);
    if (!divided || (n && *n <= ir::lane_block)) {
      const auto results = block(hoisted, x_.number(0), length_);
      for (std::size_t r = 0; r < reductions.size(); ++r) set_temps(reductions[r], results[r]);
      return;
    }
    // Results of blocks go to 64 lanes in memory, block b to lane b % 64.
    std::vector<std::vector<Value*>> memory;
    std::vector<Accumulators> last;
    for (const KernelReduction& reduction : reductions) {
      memory.push_back(lanes_in_memory(reduction));
      last.push_back(identities(reduction, 1, 1));
    }
    Value* blocks = x_.div(f_.b.CreateAdd(x_.max(length_, x_.number(1)), x_.number(ir::lane_block - 1)), x_.number(ir::lane_block));
    const auto carried = f_.loop(x_.number(0), blocks, x_.number(1), flat(last), [&](Value* number, const Frame::Carried&) {
      Value* from = f_.b.CreateMul(number, x_.number(ir::lane_block));
      const auto results = block(hoisted, from, x_.min(length_, f_.b.CreateAdd(from, x_.number(ir::lane_block))));
      Value* lane = f_.b.CreateAnd(number, x_.number(lane_count - 1));
      for (std::size_t r = 0; r < reductions.size(); ++r) add_to_lane(reductions[r], memory[r], lane, results[r]);
      return flat(results);
    });
    last = like(last, carried);
    Value* single = f_.b.CreateICmpSLE(length_, x_.number(ir::lane_block));
    for (std::size_t r = 0; r < reductions.size(); ++r) {
      Accumulators all;
      const Group vectors{lanes_, static_cast<int>(lane_count) / lanes_, {}};
      for (std::size_t i = 0; i < memory[r].size(); ++i)
        all.push_back(f_.load_dense(memory[r][i], dtype_of(reductions[r], i), vectors));
      set_temps(reductions[r], choose(single, last[r], tree(reductions[r], all)));
    }
  }

  std::vector<Value*> lanes_in_memory(const KernelReduction& reduction) {
    std::vector<Value*> memory;
    const Group vectors{lanes_, static_cast<int>(lane_count) / lanes_, {}};
    const auto start = identities(reduction, lanes_, 1);
    for (std::size_t i = 0; i < start.size(); ++i) {
      memory.push_back(f_.local(memory_type(f_.context(), dtype_of(reduction, i), 1), lane_count));
      f_.store_dense(memory.back(), dtype_of(reduction, i), start[i], vectors);
    }
    return memory;
  }

  void add_to_lane(const KernelReduction& reduction, const std::vector<Value*>& memory, Value* lane, const Accumulators& value) {
    const Group one{1, 1, {}};
    Accumulators before;
    std::vector<Value*> places;
    for (std::size_t i = 0; i < memory.size(); ++i) {
      places.push_back(f_.b.CreateGEP(memory_type(f_.context(), dtype_of(reduction, i), 1), memory[i], lane));
      before.push_back(f_.load_dense(places[i], dtype_of(reduction, i), one));
    }
    const Accumulators after = combine(reduction, before, value, 1);
    for (std::size_t i = 0; i < memory.size(); ++i) f_.store_dense(places[i], dtype_of(reduction, i), after[i], one);
  }

  /// The reductions of row elements [from, to), a scalar each accumulator.
  std::vector<Accumulators> block(const Values& hoisted, Value* from, Value* to) {
    std::vector<Accumulators> lanes;
    for (const KernelReduction& reduction : stage_->reductions)
      lanes.push_back(identities(reduction, lanes_, static_cast<std::size_t>(lane_count / lanes_)));
    Value* whole = x_.add(from, multiple(x_.sub(to, from), lane_count));
    auto carried = f_.loop(from, whole, x_.number(lane_count), flat(lanes), [&](Value* i, const Frame::Carried& now) {
      return flat(accumulate(hoisted, i, like(lanes, now), nullptr));
    });
    lanes = like(lanes, carried);
    if (!(known(whole) && known(whole) == known(to))) {
      carried = f_.loop(whole, to, x_.number(lane_count), flat(lanes), [&](Value* i, const Frame::Carried& now) {
        return flat(accumulate(hoisted, i, like(lanes, now), x_.sub(to, i)));
      });
      lanes = like(lanes, carried);
    }
    std::vector<Accumulators> results;
    for (std::size_t r = 0; r < lanes.size(); ++r) results.push_back(tree(stage_->reductions[r], lanes[r]));
    return results;
  }

  /// 64 elements from `at` on, or only the first `rest` of them.
  std::vector<Accumulators> accumulate(const Values& hoisted, Value* at, std::vector<Accumulators> lanes, Value* rest) {
    const int count = f_.schedule.in_flight;
    for (int first = 0; first < lane_count / lanes_; first += count) {
      if (rest && known(rest) && *known(rest) <= first * lanes_) break;
      Group group{lanes_, count, {}};
      if (rest) group.masks = f_.masks(rest, lanes_, first, count);
      const Values values = element_program(hoisted, x_.add(at, x_.number(std::int64_t{first} * lanes_)), group, true);
      for (std::size_t r = 0; r < lanes.size(); ++r) {
        const KernelReduction& reduction = stage_->reductions[r];
        Accumulators before;
        for (const Wide& wide : lanes[r]) before.emplace_back(wide.begin() + first, wide.begin() + first + count);
        const Accumulators after = combine(reduction, before, lifted(reduction, values), lanes_);
        for (std::size_t i = 0; i < after.size(); ++i)
          for (int v = 0; v < count; ++v) {
            Value* value = after[i][static_cast<std::size_t>(v)];
            Value*& place = lanes[r][i][static_cast<std::size_t>(first + v)];
            place = rest ? f_.b.CreateSelect(group.masks[static_cast<std::size_t>(v)], value, place) : value;
          }
      }
    }
    return lanes;
  }

  /// Halving: lane j with lane j + half, the lower one on the left.
  Accumulators tree(const KernelReduction& reduction, Accumulators lanes) {
    const auto part = [](const Accumulators& all, bool upper) {
      Accumulators half;
      for (const Wide& wide : all) {
        const auto* middle = wide.begin() + wide.size() / 2;
        half.emplace_back(upper ? middle : wide.begin(), upper ? wide.end() : middle);
      }
      return half;
    };
    while (lanes.front().size() > 1) lanes = combine(reduction, part(lanes, false), part(lanes, true), lanes_);
    for (int width = lanes_ / 2; width >= 1; width /= 2)
      lanes = combine(reduction, halves(lanes, width, 0), halves(lanes, width, width), width);
    return lanes;
  }

  Accumulators halves(const Accumulators& all, int width, int first) {
    Accumulators result;
    for (const Wide& wide : all) {
      llvm::SmallVector<int, 64> picked;
      for (int lane = 0; lane < width; ++lane) picked.push_back(first + lane);
      result.push_back({width == 1 ? f_.b.CreateExtractElement(wide[0], static_cast<std::uint64_t>(first))
                                   : f_.b.CreateShuffleVector(wide[0], picked)});
    }
    return result;
  }

  const int lanes_ = f_.schedule.lanes;
};

/// Vectors of neighbouring points, row element after row element. Serves both orders and every layout.
class AlongPoints final : public RowEmitter {
 public:
  using RowEmitter::RowEmitter;

  /// The vector axis need not be the last: items [begin, end) are cut into runs along it, one a position `q` behind it.
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
        outer_item(x_.max(x_.sub(f_.begin, start), x_.number(0)), x_.min(x_.sub(f_.end, start), size), inner);
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
    Value* whole = x_.add(from, f_.b.CreateAnd(x_.sub(to, from), x_.number(-std::int64_t{s.group()})));
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
      f_.loop(x_.number(0), length_, x_.number(1), [&](Value* r) { element_program(hoisted, r, group, true); });
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
      // Carried: the sum of block results, and the last of them, which is the result where there is one block.
      Frame::Carried both = flat(start);
      const std::size_t half = both.size();
      both.append(flat(start));
      both = f_.loop(x_.number(0), length_, x_.number(ir::row_block), both, [&](Value* from, const Frame::Carried& now) {
        const auto last = block(from, x_.min(length_, f_.b.CreateAdd(from, x_.number(ir::row_block))));
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
      for (std::size_t i = 0; i < reductions.size(); ++i) results.push_back(choose(single, last[i], total[i]));
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
      memory.bases.push_back(f_.local(memory_type(f_.context(), dtype_of(reduction, i), group.lanes), lane_count * group.count));
    return memory;
  }

  void fill(const KernelReduction& reduction, const Memory& memory, const Group& group) {
    const auto start = identities(reduction, group.lanes, 1);
    f_.loop(x_.number(0), x_.number(lane_count), x_.number(1), [&](Value* lane) { write(reduction, memory, lane, start, group); });
  }

  Value* place(const KernelReduction& reduction, const Memory& memory, std::size_t i, Value* lane, const Group& group) {
    return f_.b.CreateGEP(memory_type(f_.context(), dtype_of(reduction, i), group.lanes), memory.bases[i],
                          x_.mul(lane, x_.number(group.count)));
  }

  Accumulators read(const KernelReduction& reduction, const Memory& memory, Value* lane, const Group& group) {
    Accumulators result;
    for (std::size_t i = 0; i < memory.bases.size(); ++i)
      result.push_back(f_.load_dense(place(reduction, memory, i, lane, group), dtype_of(reduction, i), group));
    return result;
  }

  void write(const KernelReduction& reduction, const Memory& memory, Value* lane, const Accumulators& values, const Group& group) {
    for (std::size_t i = 0; i < memory.bases.size(); ++i)
      f_.store_dense(place(reduction, memory, i, lane, group), dtype_of(reduction, i), values[i], group);
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

  void reduce_lanes(const Values& hoisted, const Reductions& reductions, const Group& group, bool sinks) {
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
          write(*reductions[i], first[i], lane, combine(*reductions[i], before, lifted(*reductions[i], values), group.lanes), group);
        }
      });
      std::vector<Accumulators> results;
      for (std::size_t i = 0; i < reductions.size(); ++i) results.push_back(tree(*reductions[i], first[i], group));
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
      const auto carried = f_.loop(x_.number(0), to, x_.number(ir::lane_block), flat(start), [&](Value* from, const Frame::Carried&) {
        const auto last = block(from, x_.min(length_, f_.b.CreateAdd(from, x_.number(ir::lane_block))));
        Value* lane = f_.b.CreateAnd(f_.b.CreateLShr(from, x_.number(std::countr_zero(static_cast<std::uint64_t>(ir::lane_block)))),
                                     x_.number(lane_count - 1));
        for (std::size_t i = 0; i < reductions.size(); ++i) {
          const auto before = read(*reductions[i], second[i], lane, group);
          write(*reductions[i], second[i], lane, combine(*reductions[i], before, last[i], group.lanes), group);
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

void emit_row_kernel(Frame& frame) {
  if (frame.schedule.kind == Schedule::Kind::along_row) AlongRow(frame).emit();
  else AlongPoints(frame).emit();
}

}  // namespace weft::codegen
