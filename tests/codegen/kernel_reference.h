// What a kernel means, as plainly as possible: element by element through ir::evaluate, reductions as the canonical
// order is worded in ir/kernel.h. The backends' tests compare with it; it shares no code with them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "ir/executable.h"
#include "ir/kernel.h"

namespace weft::test {

using Bits = std::uint64_t;
using Memory = std::vector<std::vector<std::byte>>;   // one a buffer

inline Bits load_bits(const std::vector<std::byte>& memory, std::int64_t element, DType t) {
  Bits bits = 0;
  std::memcpy(&bits, memory.data() + element * static_cast<std::int64_t>(size_of(t)), size_of(t));
  return bits;
}
inline void store_bits(std::vector<std::byte>& memory, std::int64_t element, DType t, Bits bits) {
  std::memcpy(memory.data() + element * static_cast<std::int64_t>(size_of(t)), &bits, size_of(t));
}

inline bool is_nan_bits(Bits bits, DType t) {
  if (t == DType::float64) return (bits & 0x7fffffffffffffffu) > 0x7ff0000000000000u;
  if (t == DType::float32) return (bits & 0x7fffffffu) > 0x7f800000u;
  return t == DType::float16 && (bits & 0x7fffu) > 0x7c00u;
}

/// Sign and payload of NaN are unspecified.
inline bool same_bits(Bits a, Bits b, DType t) {
  return a == b || (is_nan_bits(a, t) && is_nan_bits(b, t));
}

inline std::vector<Bits> run_program(const ir::ScalarProgram& p, const std::vector<Bits>& inputs,
                                     const std::vector<std::int64_t>& coordinates) {
  std::vector<Bits> v(p.code.size());
  for (std::size_t i = 0; i < p.code.size(); ++i) {
    const ir::ScalarInst& inst = p.code[i];
    const auto at = [&](std::int32_t o) {
      return o < 0 ? Bits{0} : v[static_cast<std::size_t>(o)];
    };
    if (inst.op == ir::ScalarOp::input) v[i] = inputs[inst.imm];
    else if (inst.op == ir::ScalarOp::constant) v[i] = inst.imm;
    else if (inst.op == ir::ScalarOp::index) v[i] = static_cast<Bits>(coordinates[inst.imm]);
    else if (inst.op == ir::ScalarOp::lookup) v[i] = p.tables[inst.imm].bits[at(inst.a)];
    else {
      const auto first =
          static_cast<std::size_t>(inst.op == ir::ScalarOp::select ? inst.b : inst.a);
      v[i] = ir::evaluate(inst.op, inst.dtype, p.code[first].dtype, at(inst.a), at(inst.b),
                          at(inst.c));
    }
  }
  std::vector<Bits> outputs;
  for (const std::int32_t o : p.outputs) outputs.push_back(v[static_cast<std::size_t>(o)]);
  return outputs;
}

using Value = std::vector<Bits>;   // one a accumulator

inline Value combine_values(const ir::KernelReduction& r, const Value& a, const Value& b) {
  Value both = a;
  both.insert(both.end(), b.begin(), b.end());
  return run_program(r.combine, both, {});
}

inline Value over_lanes(const ir::KernelReduction& r, const std::vector<Value>& values) {
  std::vector<Value> lane(64, r.identity);
  for (std::size_t i = 0; i < values.size(); ++i)
    lane[i % 64] = combine_values(r, lane[i % 64], values[i]);
  for (std::size_t half = 32; half > 0; half /= 2) {
    for (std::size_t j = 0; j < half; ++j) lane[j] = combine_values(r, lane[j], lane[j + half]);
  }
  return lane[0];
}

inline Value in_order(const ir::KernelReduction& r, const std::vector<Value>& values) {
  Value sum = r.identity;
  for (const Value& v : values) sum = combine_values(r, sum, v);
  return sum;
}

inline Value reduce(const ir::KernelReduction& r, const std::vector<Value>& values) {
  const bool lanes = r.order == ir::ReductionOrder::lanes;
  const auto level = [&](const std::vector<Value>& v) {
    return lanes ? over_lanes(r, v) : in_order(r, v);
  };
  const std::size_t block = lanes ? 4096 : 256;
  if (r.partial || r.second_level || values.size() <= block) return level(values);
  std::vector<Value> results;
  for (std::size_t i = 0; i < values.size(); i += block) {
    const auto first = values.begin() + static_cast<std::ptrdiff_t>(i);
    results.push_back(
        level({first, first + static_cast<std::ptrdiff_t>(std::min(block, values.size() - i))}));
  }
  return level(results);
}

inline DimBindings bindings_of(const std::vector<std::int64_t>& symbols) {
  DimBindings bindings;
  for (std::size_t i = 0; i < symbols.size(); ++i)
    bindings.bind(std::string("s").append(std::to_string(i)), symbols[i]);
  return bindings;
}

inline void run_reference(const ir::Kernel& k, Memory& memory,
                          const std::vector<std::int64_t>& symbols = {}) {
  const DimBindings bound = bindings_of(symbols);
  const auto value = [&](const Dim& d) { return d.evaluate(bound); };
  std::vector<std::int64_t> extents;
  for (const Dim& d : k.axes) extents.push_back(value(d));
  const std::size_t parallel = k.parallel_axes();
  std::int64_t items = 1;
  for (std::size_t i = 0; i < parallel; ++i) items *= extents[i];
  for (std::int64_t item = 0; item < items; ++item) {
    std::vector<std::int64_t> at(k.axes.size(), 0);
    std::int64_t rest = item;
    for (std::size_t i = parallel; i-- > 0;) at[i] = rest % extents[i], rest /= extents[i];
    std::int64_t row = k.has_row ? extents.back() : 1;
    if (k.clip) row = std::min(row, value(*k.clip) - at[parallel - 1] * row);
    std::vector<Bits> point(k.point_temps.size());
    std::vector<std::vector<Bits>> rows(k.row_temps.size(),
                                        std::vector<Bits>(static_cast<std::size_t>(row)));
    const auto element = [&](const ir::Access& a) {
      std::int64_t e = value(a.offset);
      for (std::size_t i = 0; i < at.size(); ++i) e += at[i] * value(a.strides[i]);
      return e;
    };
    for (const ir::Stage& s : k.stages) {
      std::vector<std::vector<Value>> lifted(s.reductions.size());
      for (std::int64_t r = 0; r < (s.over_row ? row : 1); ++r) {
        if (k.has_row) at[parallel] = r;
        std::vector<Bits> inputs;
        for (const ir::Source& source : s.sources) {
          const auto id = static_cast<std::size_t>(source.id);
          if (source.kind == ir::Source::Kind::load) {
            const auto b = static_cast<std::size_t>(k.accesses[id].buffer);
            inputs.push_back(load_bits(memory[b], element(k.accesses[id]), k.buffers[b].dtype));
          } else {
            inputs.push_back(source.kind == ir::Source::Kind::point_temp
                                 ? point[id]
                                 : rows[id][static_cast<std::size_t>(r)]);
          }
        }
        const std::vector<Bits> out = run_program(s.body, inputs, at);
        for (const ir::Sink& sink : s.sinks) {
          const auto id = static_cast<std::size_t>(sink.id);
          const Bits bits = out[static_cast<std::size_t>(sink.output)];
          if (sink.kind == ir::Sink::Kind::store) {
            const auto b = static_cast<std::size_t>(k.accesses[id].buffer);
            store_bits(memory[b], element(k.accesses[id]), k.buffers[b].dtype, bits);
          } else if (sink.kind == ir::Sink::Kind::point_temp) {
            point[id] = bits;
          } else {
            rows[id][static_cast<std::size_t>(r)] = bits;
          }
        }
        for (std::size_t i = 0; i < s.reductions.size(); ++i) {
          Value v;
          for (const int o : s.reductions[i].outputs) v.push_back(out[static_cast<std::size_t>(o)]);
          lifted[i].push_back(v);
        }
      }
      for (std::size_t i = 0; i < s.reductions.size(); ++i) {
        const Value result = reduce(s.reductions[i], lifted[i]);
        for (std::size_t j = 0; j < result.size(); ++j)
          point[static_cast<std::size_t>(s.reductions[i].temps[j])] = result[j];
      }
    }
  }
}

/// Bits of a plausible or of a special value: zeros, ones, limits, infinities, NaN, denormals.
inline Bits random_bits(std::mt19937_64& rng, DType t) {
  const Bits mask = size_of(t) == 8 ? ~Bits{0} : (Bits{1} << (8 * size_of(t))) - 1;
  if (t == DType::boolean) return rng() & 1;
  const auto number = [&](double x) {
    return ir::evaluate(ir::ScalarOp::convert, t, DType::float64, std::bit_cast<Bits>(x), 0, 0);
  };
  const bool floating = t == DType::float32 || t == DType::float64;
  switch (rng() % 8) {
    case 0: return rng() & mask;
    case 1: {
      if (!floating) return (Bits{1} << (rng() % (8 * size_of(t)))) & mask;
      const double specials[] = {0.0,
                                 -0.0,
                                 1.0,
                                 -1.0,
                                 0.5,
                                 1e300 * 1e300,
                                 -1e300 * 1e300,
                                 3e9,
                                 -3e9,
                                 255.5,
                                 2147483648.0,
                                 -2147483648.0,
                                 9223372036854775808.0,
                                 1.8446744073709552e19,
                                 1e-40,
                                 65504.0,
                                 65520.0};
      return number(specials[rng() % std::size(specials)]);
    }
    default: {
      if (t == DType::float16) return (rng() & 0x3fff) | ((rng() & 1) << 15);
      const double x = static_cast<double>(static_cast<std::int64_t>(rng() % 2001) - 1000);
      return number(floating ? x / 37 : is_signed(t) ? x / 9 : std::abs(x) / 9);
    }
  }
}

inline std::vector<std::byte> random_memory(std::mt19937_64& rng, DType t, std::int64_t elements) {
  std::vector<std::byte> memory(static_cast<std::size_t>(elements) * size_of(t));
  for (std::int64_t i = 0; i < elements; ++i) store_bits(memory, i, t, random_bits(rng, t));
  return memory;
}

/// The first difference, in words; empty when there is none.
inline std::string difference(const ir::Kernel& k, const Memory& expected, const Memory& actual) {
  for (std::size_t b = 0; b < k.buffers.size(); ++b) {
    const DType t = k.buffers[b].dtype;
    const auto n = static_cast<std::int64_t>(expected[b].size() / size_of(t));
    for (std::int64_t i = 0; i < n; ++i) {
      const Bits want = load_bits(expected[b], i, t), got = load_bits(actual[b], i, t);
      if (!same_bits(want, got, t))
        return "buffer " + std::to_string(b) + " element " + std::to_string(i) +
               ": expected bits " + std::to_string(want) + ", got " + std::to_string(got);
    }
  }
  return {};
}

inline std::int64_t item_count(const ir::Kernel& k, const std::vector<std::int64_t>& symbols = {}) {
  const DimBindings bound = bindings_of(symbols);
  std::int64_t items = 1;
  for (std::size_t i = 0; i < k.parallel_axes(); ++i) items *= k.axes[i].evaluate(bound);
  return items;
}

/// Runs all items in pieces of at most `grain`.
inline void run_executable(const ir::Executable& e, const ir::Kernel& k, Memory& memory,
                           const std::vector<std::int64_t>& symbols = {},
                           std::int64_t grain = INT64_MAX) {
  std::vector<void*> buffers;
  for (auto& m : memory) buffers.push_back(m.data());
  std::vector<std::byte> scratch(e.scratch_bytes(symbols.data()) + 64);
  const auto address = reinterpret_cast<std::uintptr_t>(scratch.data());
  const ir::KernelArgs args{buffers.data(), symbols.data(),
                            scratch.data() + (64 - address % 64) % 64};
  const std::int64_t items = item_count(k, symbols);
  for (std::int64_t at = 0; at < items; at += std::min(grain, items - at))
    e.function(&e, &args, at, at + std::min(grain, items - at));
}

}  // namespace weft::test
