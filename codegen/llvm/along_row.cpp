#include "codegen/llvm/row_emitter.h"

#include <algorithm>

namespace weft::codegen {
namespace {

using ir::KernelReduction, ir::lane_count;
using llvm::Value;

/// One point at a time; the 64 lanes of a reduction are 64 / lanes vectors.
class AlongRow final : public RowEmitter {
 public:
  using RowEmitter::RowEmitter;

  void emit() override {
    f_.loop(f_.begin, f_.end, x_.number(1), [&](Value* item) {
      f_.coordinates(item, 0, row_, coordinates_);
      stages(Group{1, 1, {}});
    });
    if (f_.schedule.streaming) f_.fence();
  }

 private:
  void row_stage() override {
    const Values hoisted = hoist(Group{lanes_, 1, {}});
    if (stage_->reductions.empty())
      plain(hoisted);
    else
      reduce(hoisted);
  }

  void plain(const Values& hoisted) {
    const int count = f_.schedule.in_flight;
    Value* whole = multiple(length_, lanes_ * count);
    const auto groups = [&](Value* from) {
      f_.loop(from, whole, x_.number(lanes_ * count), [&](Value* i) {
        element_program(hoisted, i, Group{lanes_, count, {}}, true);
      });
    };
    if (f_.schedule.streaming) {
      Value* aligned = stores_aligned(lanes_);
      streaming_ = true;
      f_.when(aligned, [&] { groups(x_.number(0)); });
      streaming_ = false;
      groups(f_.b.CreateSelect(aligned, whole, x_.number(0)));
    } else {
      groups(x_.number(0));
    }
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
    Value* blocks =
        x_.div(f_.b.CreateAdd(x_.max(length_, x_.number(1)), x_.number(ir::lane_block - 1)),
               x_.number(ir::lane_block));
    const auto carried = f_.loop(
        x_.number(0), blocks, x_.number(1), flat(last), [&](Value* number, const Frame::Carried&) {
          Value* from = f_.b.CreateMul(number, x_.number(ir::lane_block));
          const auto results = block(
              hoisted, from, x_.min(length_, f_.b.CreateAdd(from, x_.number(ir::lane_block))));
          Value* lane = f_.b.CreateAnd(number, x_.number(lane_count - 1));
          for (std::size_t r = 0; r < reductions.size(); ++r)
            add_to_lane(reductions[r], memory[r], lane, results[r]);
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

  void add_to_lane(const KernelReduction& reduction, const std::vector<Value*>& memory, Value* lane,
                   const Accumulators& value) {
    const Group one{1, 1, {}};
    Accumulators before;
    std::vector<Value*> places;
    for (std::size_t i = 0; i < memory.size(); ++i) {
      places.push_back(
          f_.b.CreateGEP(memory_type(f_.context(), dtype_of(reduction, i), 1), memory[i], lane));
      before.push_back(f_.load_dense(places[i], dtype_of(reduction, i), one));
    }
    const Accumulators after = combine(reduction, before, value, 1);
    for (std::size_t i = 0; i < memory.size(); ++i)
      f_.store_dense(places[i], dtype_of(reduction, i), after[i], one);
  }

  /// The reductions of row elements [from, to), a scalar each accumulator.
  std::vector<Accumulators> block(const Values& hoisted, Value* from, Value* to) {
    std::vector<Accumulators> lanes;
    for (const KernelReduction& reduction : stage_->reductions) {
      lanes.push_back(identities(reduction, lanes_, static_cast<std::size_t>(lane_count / lanes_)));
      if (of_numbers(reduction))  // and which lanes met NaN
        lanes.back().push_back({constant_value(f_.context(), DType::boolean, 0, lanes_)});
    }
    Value* whole = x_.add(from, multiple(x_.sub(to, from), lane_count));
    auto carried = f_.loop(from, whole, x_.number(lane_count), flat(lanes),
                           [&](Value* i, const Frame::Carried& now) {
                             return flat(accumulate(hoisted, i, like(lanes, now), nullptr));
                           });
    lanes = like(lanes, carried);
    if (!(known(whole) && known(whole) == known(to))) {
      carried = f_.loop(whole, to, x_.number(lane_count), flat(lanes),
                        [&](Value* i, const Frame::Carried& now) {
                          return flat(accumulate(hoisted, i, like(lanes, now), x_.sub(to, i)));
                        });
      lanes = like(lanes, carried);
    }
    std::vector<Accumulators> results;
    for (std::size_t r = 0; r < lanes.size(); ++r) {
      const KernelReduction& reduction = stage_->reductions[r];
      results.push_back(of_numbers(reduction) ? tree_of_numbers(reduction, lanes[r])
                                              : tree(reduction, lanes[r]));
    }
    return results;
  }

  /// 64 elements from `at` on, or only the first `rest` of them.
  std::vector<Accumulators> accumulate(const Values& hoisted, Value* at,
                                       std::vector<Accumulators> lanes, Value* rest) {
    int vectors = static_cast<int>(lane_count) / lanes_;
    if (rest && known(rest))  // a short row takes no more than it has
      vectors = static_cast<int>((*known(rest) + lanes_ - 1) / lanes_);
    for (int first = 0, count = 0; first < vectors; first += count) {
      count = std::min(f_.schedule.in_flight, vectors - first);
      Group group{lanes_, count, {}};
      if (rest) group.masks = f_.masks(rest, lanes_, first, count);
      const Values values = element_program(
          hoisted, x_.add(at, x_.number(std::int64_t{first} * lanes_)), group, true);
      for (std::size_t r = 0; r < lanes.size(); ++r) {
        const KernelReduction& reduction = stage_->reductions[r];
        if (of_numbers(reduction)) {
          take_numbers(reduction, lanes[r], lifted(reduction, values)[0], first, group);
          continue;
        }
        Accumulators before;
        for (const Wide& wide : lanes[r])
          before.emplace_back(wide.begin() + first, wide.begin() + first + count);
        const Accumulators after = combine(reduction, before, lifted(reduction, values), lanes_);
        for (std::size_t i = 0; i < after.size(); ++i)
          for (int v = 0; v < count; ++v) {
            Value* value = after[i][static_cast<std::size_t>(v)];
            Value*& place = lanes[r][i][static_cast<std::size_t>(first + v)];
            place = rest ? f_.b.CreateSelect(group.masks[static_cast<std::size_t>(v)], value, place)
                         : value;
          }
      }
    }
    return lanes;
  }

  /// The smallest or largest, of floats, on a processor that has an instruction for it but for NaN,
  /// which is looked for beside it and put in at the end: no order makes a difference.
  bool of_numbers(const KernelReduction& reduction) const {
    const auto& code = reduction.combine.code;
    if (!f_.target.mask_registers || code.size() != 3) return false;
    const ir::ScalarInst& last = code.back();
    const auto bytes = lanes_ * static_cast<int>(size_of(last.dtype));
    return (last.op == ir::ScalarOp::maximum || last.op == ir::ScalarOp::minimum) &&
           (last.dtype == DType::float32 || last.dtype == DType::float64) && last.a != last.b &&
           (bytes == 64 || bytes == 32 || bytes == 16);
  }

  Value* better(const KernelReduction& reduction, Value* a, Value* b, int width) {
    const ir::ScalarInst& last = reduction.combine.code.back();
    return emit_of_numbers(f_.b, last.op, last.dtype, width, a, b);
  }

  void take_numbers(const KernelReduction& reduction, Accumulators& all, const Wide& values,
                    int first, const Group& group) {
    Value*& strange = all[1][0];
    for (int v = 0; v < group.count; ++v) {
      const auto number = static_cast<std::size_t>(v);
      Value* value = at(values, number);
      Value*& place = all[0][static_cast<std::size_t>(first + v)];
      Value* now = better(reduction, place, value, lanes_);
      if (!group.masks.empty()) {
        place = f_.b.CreateSelect(group.masks[number], now, place);
        strange = f_.b.CreateOr(
            strange, f_.b.CreateAnd(group.masks[number], f_.b.CreateFCmpUNO(value, value)));
        continue;
      }
      place = now;
      if (v % 2 == 0)  // two at a time
        strange = f_.b.CreateOr(
            strange, f_.b.CreateFCmpUNO(
                         value, v + 1 < group.count ? at(values, number + 1) : value));
    }
  }

  Accumulators tree_of_numbers(const KernelReduction& reduction, const Accumulators& all) {
    Wide vectors = all[0];
    for (std::size_t half = vectors.size() / 2; half >= 1; half /= 2)
      for (std::size_t v = 0; v < half; ++v)
        vectors[v] = better(reduction, vectors[v], vectors[v + half], lanes_);
    const DType dtype = dtype_of(reduction, 0);
    const int shortest = 16 / static_cast<int>(size_of(dtype));
    Accumulators best{{vectors[0]}};
    int width = lanes_;
    for (; width > shortest; width /= 2)
      best = {{better(reduction, halves(best, width / 2, 0)[0][0],
                      halves(best, width / 2, width / 2)[0][0], width / 2)}};
    for (int half = width / 2; half >= 1; half /= 2) {
      llvm::SmallVector<int, 4> turned;
      for (int lane = 0; lane < width; ++lane) turned.push_back((lane + half) % width);
      Value* value = best[0][0];
      best = {{better(reduction, value, f_.b.CreateShuffleVector(value, turned), width)}};
    }
    Value* value = f_.b.CreateExtractElement(best[0][0], std::uint64_t{0});
    Value* strange = f_.b.CreateBitCast(all[1][0], f_.b.getIntNTy(static_cast<unsigned>(lanes_)));
    Value* some = f_.b.CreateICmpNE(strange, llvm::ConstantInt::get(strange->getType(), 0));
    return {{f_.b.CreateSelect(some, llvm::ConstantFP::getNaN(value->getType()), value)}};
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
    while (lanes.front().size() > 1)
      lanes = combine(reduction, part(lanes, false), part(lanes, true), lanes_);
    for (int width = lanes_ / 2; width >= 1; width /= 2)
      lanes = combine(reduction, halves(lanes, width, 0), halves(lanes, width, width), width);
    return lanes;
  }

  Accumulators halves(const Accumulators& all, int width, int first) {
    Accumulators result;
    for (const Wide& wide : all) {
      llvm::SmallVector<int, 64> picked;
      for (int lane = 0; lane < width; ++lane) picked.push_back(first + lane);
      result.push_back({width == 1
                            ? f_.b.CreateExtractElement(wide[0], static_cast<std::uint64_t>(first))
                            : f_.b.CreateShuffleVector(wide[0], picked)});
    }
    return result;
  }

  const int lanes_ = f_.schedule.lanes;
};

}  // namespace

void emit_along_row(Frame& frame) { AlongRow(frame).emit(); }

}  // namespace weft::codegen
