// Runs a kernel's stages the plainest way: element by element, reductions in the canonical order
// exactly as ir/kernel.h words it. What backends and plans are compared with; shares no code with
// them. An access outside its buffer throws.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <stdexcept>
#include <string>

#include "ir/kernel.h"
#include "tests/naive_program.h"

namespace weft::test {

inline Bits read_element(const std::byte* at, DType dtype) {
  Bits bits = 0;
  std::memcpy(&bits, at, size_of(dtype));
  return dtype == DType::boolean ? Bits{bits != 0} : bits;
}

/// A buffer's bytes, and where among them its element 0 lies.
struct NaiveBuffer {
  std::span<std::byte> bytes;
  std::size_t origin = 0;
};

inline DimBindings bindings_of(std::span<const std::int64_t> symbols) {
  DimBindings bindings;
  for (std::size_t i = 0; i < symbols.size(); ++i)
    bindings.bind(std::string("s").append(std::to_string(i)), symbols[i]);
  return bindings;
}

class NaiveKernel {
 public:
  NaiveKernel(const ir::Kernel& kernel, std::vector<NaiveBuffer> buffers, DimBindings symbols)
      : kernel_(kernel), buffers_(std::move(buffers)), bindings_(std::move(symbols)) {
    extents_ = evaluate(kernel.axes, bindings_);
  }

  /// How many parallel points there are.
  [[nodiscard]] std::int64_t items() const {
    return element_count(std::span(extents_).first(kernel_.parallel_axes()));
  }
  void run() { run(0, items()); }
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
    const NaiveBuffer& memory = buffers_[buffer];
    const std::int64_t first = static_cast<std::int64_t>(memory.origin) + element * size;
    if (first < 0 || first + size > std::ssize(memory.bytes))
      throw std::out_of_range("element " + std::to_string(element) + " of buffer " +
                              std::to_string(buffer) + " in " + to_string(kernel_));
    return memory.bytes.data() + first;
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
    const std::int64_t block = lanes ? 4096 : 64;
    if (r.partial || r.second_level || n <= block) return part(r, all, 0, n);
    Lists blocks(all.size());
    for (std::int64_t from = 0; from < n; from += block) {
      const auto result = part(r, all, from, std::min(n, from + block));
      for (std::size_t i = 0; i < result.size(); ++i) blocks[i].push_back(result[i]);
    }
    return part(r, blocks, 0, static_cast<std::int64_t>(blocks.front().size()));
  }

  const ir::Kernel& kernel_;
  std::vector<NaiveBuffer> buffers_;
  DimBindings bindings_;
  std::vector<std::int64_t> extents_;
  std::vector<Bits> point_temps_;
  std::vector<std::vector<Bits>> row_temps_;
};

}  // namespace weft::test
