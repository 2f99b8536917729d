// Runs a kernel the plainest way: element by element with ir::evaluate, reductions in the canonical order exactly as
// ir/kernel.h words it. What native code is compared with.
#pragma once

#include <cstring>
#include <map>
#include <vector>

#include "ir/kernel.h"

namespace weft::test {

using Bits = std::uint64_t;
using Memory = std::vector<std::vector<std::byte>>;  // one a buffer

inline Bits read_element(const std::byte* at, DType dtype) {
  Bits bits = 0;
  std::memcpy(&bits, at, size_of(dtype));
  return dtype == DType::boolean ? Bits{bits != 0} : bits;
}

inline std::vector<Bits> run_program(const ir::ScalarProgram& program,
                                     const std::vector<Bits>& inputs,
                                     const std::vector<std::int64_t>& coordinates) {
  std::vector<Bits> values;
  for (const auto& inst : program.code) {
    const auto value = [&](std::int32_t id) {
      return id < 0 ? Bits{0} : values[static_cast<std::size_t>(id)];
    };
    switch (inst.op) {
      case ir::ScalarOp::input: values.push_back(inputs[inst.imm]); continue;
      case ir::ScalarOp::constant: values.push_back(inst.imm); continue;
      case ir::ScalarOp::index:
        values.push_back(static_cast<Bits>(coordinates[inst.imm]));
        continue;
      case ir::ScalarOp::lookup:
        values.push_back(program.tables[inst.imm].bits[value(inst.a)]);
        continue;
      default: break;
    }
    const auto typed = inst.op == ir::ScalarOp::select ? inst.b : inst.a;
    values.push_back(ir::evaluate(inst.op, inst.dtype,
                                  program.code[static_cast<std::size_t>(typed)].dtype,
                                  value(inst.a), value(inst.b), value(inst.c)));
  }
  std::vector<Bits> outputs;
  for (const auto output : program.outputs)
    outputs.push_back(values[static_cast<std::size_t>(output)]);
  return outputs;
}

class NaiveKernel {
 public:
  NaiveKernel(const ir::Kernel& kernel, Memory& memory, const std::vector<std::size_t>& origins,
              const std::vector<std::int64_t>& symbols)
      : kernel_(kernel), memory_(memory), origins_(origins) {
    for (std::size_t i = 0; i < symbols.size(); ++i)
      bindings_.bind("s" + std::to_string(i), symbols[i]);
    extents_ = evaluate(kernel.axes, bindings_);
  }

  void run(std::int64_t begin, std::int64_t end) {
    const std::size_t parallel = kernel_.parallel_axes();
    for (std::int64_t item = begin; item < end; ++item) {
      std::vector<std::int64_t> at(extents_.size(), 0);
      std::int64_t rest = item;
      for (std::size_t axis = parallel; axis-- > 0; rest /= extents_[axis])
        at[axis] = rest % extents_[axis];
      point(at);
    }
  }

 private:
  using Lists = std::vector<std::vector<Bits>>;  // [accumulator][row element]

  void point(std::vector<std::int64_t> at) {
    std::int64_t row = kernel_.has_row ? extents_.back() : 1;
    if (kernel_.clip)
      row = std::clamp<std::int64_t>(kernel_.clip->evaluate(bindings_) - at[at.size() - 2] * row, 0,
                                     row);
    point_temps_.assign(kernel_.point_temps.size(), 0);
    row_temps_.assign(kernel_.row_temps.size(), std::vector<Bits>(static_cast<std::size_t>(row)));
    for (const auto& stage : kernel_.stages) {
      std::vector<Lists> lifted;
      for (const auto& reduction : stage.reductions) lifted.emplace_back(reduction.outputs.size());
      const std::int64_t count = stage.over_row ? row : 1;
      for (std::int64_t r = 0; r < count; ++r) {
        if (stage.over_row) at.back() = r;
        const auto outputs = element(stage, at, r);
        for (std::size_t k = 0; k < lifted.size(); ++k)
          for (std::size_t i = 0; i < lifted[k].size(); ++i)
            lifted[k][i].push_back(
                outputs[static_cast<std::size_t>(stage.reductions[k].outputs[i])]);
      }
      if (stage.over_row) at.back() = 0;
      for (std::size_t k = 0; k < lifted.size(); ++k) {
        const auto result = reduce(stage.reductions[k], lifted[k], row);
        for (std::size_t i = 0; i < result.size(); ++i)
          point_temps_[static_cast<std::size_t>(stage.reductions[k].temps[i])] = result[i];
      }
    }
  }

  std::vector<Bits> element(const ir::Stage& stage, const std::vector<std::int64_t>& at,
                            std::int64_t r) {
    std::vector<Bits> inputs;
    for (std::size_t i = 0; i < stage.sources.size(); ++i) {
      const auto id = static_cast<std::size_t>(stage.sources[i].id);
      switch (stage.sources[i].kind) {
        case ir::Source::Kind::load:
          inputs.push_back(read_element(place(id, at), stage.body.inputs[i]));
          break;
        case ir::Source::Kind::point_temp: inputs.push_back(point_temps_[id]); break;
        case ir::Source::Kind::row_temp:
          inputs.push_back(row_temps_[id][static_cast<std::size_t>(r)]);
          break;
      }
    }
    const auto outputs = run_program(stage.body, inputs, at);
    for (const auto& sink : stage.sinks) {
      const auto id = static_cast<std::size_t>(sink.id);
      const Bits value = outputs[static_cast<std::size_t>(sink.output)];
      switch (sink.kind) {
        case ir::Sink::Kind::store:
          std::memcpy(place(id, at), &value,
                      size_of(stage.body.output_dtype(static_cast<std::size_t>(sink.output))));
          break;
        case ir::Sink::Kind::point_temp: point_temps_[id] = value; break;
        case ir::Sink::Kind::row_temp: row_temps_[id][static_cast<std::size_t>(r)] = value; break;
      }
    }
    return outputs;
  }

  std::byte* place(std::size_t id, const std::vector<std::int64_t>& at) {
    const auto& access = kernel_.accesses[id];
    std::int64_t element = access.offset.evaluate(bindings_);
    for (std::size_t axis = 0; axis < at.size(); ++axis)
      element += access.strides[axis].evaluate(bindings_) * at[axis];
    const auto buffer = static_cast<std::size_t>(access.buffer);
    const auto size = static_cast<std::int64_t>(size_of(kernel_.buffers[buffer].dtype));
    return memory_[buffer].data() + static_cast<std::int64_t>(origins_[buffer]) + element * size;
  }

  static std::vector<Bits> combine(const ir::KernelReduction& r, std::vector<Bits> a,
                                   const std::vector<Bits>& b) {
    a.insert(a.end(), b.begin(), b.end());
    return run_program(r.combine, a, {});
  }

  /// Elements [from, to) to 64 lanes, lanes by a halving tree.
  static std::vector<Bits> by_lanes(const ir::KernelReduction& r, const Lists& all,
                                    std::int64_t from, std::int64_t to) {
    std::vector<std::vector<Bits>> lanes(64, r.identity);
    for (std::int64_t i = from; i < to; ++i) {
      auto& lane = lanes[static_cast<std::size_t>((i - from) % 64)];
      lane = combine(r, lane, pick(all, i));
    }
    for (std::size_t half = 32; half >= 1; half /= 2)
      for (std::size_t j = 0; j < half; ++j) lanes[j] = combine(r, lanes[j], lanes[j + half]);
    return lanes[0];
  }

  static std::vector<Bits> in_order(const ir::KernelReduction& r, const Lists& all,
                                    std::int64_t from, std::int64_t to) {
    std::vector<Bits> sum = r.identity;
    for (std::int64_t i = from; i < to; ++i) sum = combine(r, sum, pick(all, i));
    return sum;
  }

  static std::vector<Bits> pick(const Lists& all, std::int64_t i) {
    std::vector<Bits> result;
    for (const auto& list : all) result.push_back(list[static_cast<std::size_t>(i)]);
    return result;
  }

  static std::vector<Bits> reduce(const ir::KernelReduction& r, const Lists& all, std::int64_t n) {
    const bool lanes = r.order == ir::ReductionOrder::lanes;
    const auto part = lanes ? by_lanes : in_order;
    const std::int64_t block = lanes ? 4096 : 256;
    if (r.partial || r.second_level || n <= block) return part(r, all, 0, n);
    Lists blocks(all.size());
    for (std::int64_t from = 0; from < n; from += block) {
      const auto result = part(r, all, from, std::min(n, from + block));
      for (std::size_t i = 0; i < result.size(); ++i) blocks[i].push_back(result[i]);
    }
    return part(r, blocks, 0, static_cast<std::int64_t>(blocks.front().size()));
  }

  const ir::Kernel& kernel_;
  Memory& memory_;
  const std::vector<std::size_t>& origins_;  // bytes into each memory where element 0 lies
  DimBindings bindings_;
  std::vector<std::int64_t> extents_;
  std::vector<Bits> point_temps_;
  std::vector<std::vector<Bits>> row_temps_;
};

}  // namespace weft::test
