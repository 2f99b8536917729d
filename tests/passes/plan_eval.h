// A plan run in the plainest way: one element at a time, buffers in one arena at the planned
// offsets, so that a wrong lifetime shows as a wrong number. And the
// same graph node by node, by the rows' own references. Neither shares code with what it checks.
#pragma once

#include <cmath>
#include <cstring>
#include <map>
#include <unordered_map>

#include <doctest/doctest.h>

#include "ir/builder.h"
#include "ir/ops/attrs.h"
#include "ir/ops/ops.h"
#include "ir/plan.h"
#include "passes/lower.h"
#include "tests/naive_kernel.h"

namespace plan_test {

using namespace weft;
using namespace weft::ir;
namespace ops = weft::ir::ops;

// ---- building ----

struct B {
  GraphBuilder builder;
  std::vector<NodeRef> inputs;

  Expr in(Dims shape, DType dtype = DType::float32) {
    inputs.push_back(make_input({dtype, std::move(shape)}, "x" + std::to_string(inputs.size())));
    return {builder, inputs.back()};
  }
  Expr reduce(const Op& op, const Expr& x, std::vector<std::int64_t> axes, bool keepdims = false) {
    return apply(op, {x}, ReduceAttrs{std::move(axes), false, keepdims});
  }
  Expr reduce_all(const Op& op, const Expr& x) { return apply(op, {x}, ReduceAttrs{}); }
  Graph graph(std::initializer_list<Expr> outputs) {
    std::vector<NodeRef> outs;
    for (const Expr& e : outputs) outs.push_back(e.node());
    return Graph(inputs, std::move(outs));
  }
};

// ---- values ----

inline double to_double(DType t, std::uint64_t bits) {
  const DType source = t == DType::bfloat16 ? DType::float32 : t;
  if (t == DType::bfloat16) bits <<= 16;
  if (source == DType::float64) return std::bit_cast<double>(bits);
  if (source == DType::float32) return std::bit_cast<float>(static_cast<std::uint32_t>(bits));
  if (source == DType::float16) return float(float16::from_bits(static_cast<std::uint16_t>(bits)));
  return std::bit_cast<double>(evaluate(ScalarOp::convert, DType::float64, source, bits, 0, 0));
}
inline std::uint64_t from_double(DType t, double x) {
  if (t == DType::bfloat16) return bfloat16(static_cast<float>(x)).bits;
  if (t == DType::float16) return float16(static_cast<float>(x)).bits;
  return evaluate(ScalarOp::convert, t, DType::float64, std::bit_cast<std::uint64_t>(x), 0, 0);
}

inline RefArray filled(DType dtype, Shape shape, unsigned seed) {
  RefArray a{dtype, std::move(shape), {}};
  std::uint32_t state = seed * 2654435761u + 12345u;
  for (std::int64_t i = 0, n = element_count(a.shape); i < n; ++i) {
    state = state * 1664525u + 1013904223u;
    const double x = static_cast<double>(state >> 8) / (1 << 24) * 4 - 2;
    a.data.push_back(
        to_double(dtype, from_double(dtype, is_floating(dtype) ? x : std::floor(x * 2))));
  }
  return a;
}

// ---- node by node ----

inline RefArray literal_value(const Literal& literal) {
  RefArray a{literal.dtype(), literal.shape(), {}};
  for (std::int64_t i = 0; i < literal.size(); ++i) a.data.push_back(literal.at(i));
  return a;
}

inline RefArray broadcast(const RefArray& a, const Shape& shape) {
  RefArray out{a.dtype, shape, {}};
  const std::int64_t n = element_count(shape);
  for (std::int64_t i = 0; i < n; ++i) {
    std::int64_t rest = i, at = 0, stride = 1;
    for (std::size_t k = shape.size(); k-- > 0;) {
      const std::int64_t c = rest % shape[k];
      rest /= shape[k];
      const std::size_t below = shape.size() - k;
      if (below > a.shape.size()) continue;
      const std::int64_t extent = a.shape[a.shape.size() - below];
      at += (extent == 1 ? 0 : c) * stride;
      stride *= extent;
    }
    out.data.push_back(a.data[static_cast<std::size_t>(at)]);
  }
  return out;
}

inline RefArray node_value(const Node& node, const std::vector<RefArray>& args,
                           const DimBindings& bindings) {
  const Reference& ref = node.op().reference;
  const Shape shape = evaluate(*node.type().shape, bindings);
  RefArray out;
  if (ref.unary || ref.binary) {
    out.shape = shape;
    const RefArray a = broadcast(args[0], shape);
    const RefArray b = ref.binary ? broadcast(args[1], shape) : a;
    for (std::size_t i = 0; i < a.data.size(); ++i) {
      out.data.push_back(ref.binary ? ref.binary(a.data[i], b.data[i]) : ref.unary(a.data[i]));
    }
  } else {
    REQUIRE_MESSAGE((ref.general != nullptr), std::string(node.op().name));
    out = ref.general(args, node.attrs());
  }
  out.dtype = *node.type().dtype;
  for (double& x : out.data) x = to_double(out.dtype, from_double(out.dtype, x));
  CHECK(out.shape == shape);
  return out;
}

inline std::vector<RefArray> run_reference(const Graph& graph,
                                           const std::vector<RefArray>& inputs) {
  std::unordered_map<const Node*, RefArray> values;
  DimBindings bindings;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    values[graph.inputs()[i].get()] = inputs[i];
    const Dims& dims = *graph.inputs()[i]->type().shape;
    for (std::size_t k = 0; k < dims.size(); ++k) {
      if (const auto name = dims[k].symbol_name()) bindings.bind(*name, inputs[i].shape[k]);
    }
  }
  for (const Node* node : topological_order(graph)) {
    if (values.contains(node)) continue;
    if (node->attrs().is<ConstantAttrs>()) {
      values[node] = literal_value(node->attrs().get<ConstantAttrs>().value);
      continue;
    }
    std::vector<RefArray> args;
    for (const NodeRef& in : node->inputs()) args.push_back(values.at(in.get()));
    values[node] = node_value(*node, args, bindings);
  }
  std::vector<RefArray> outputs;
  for (const NodeRef& out : graph.outputs()) outputs.push_back(values.at(out.get()));
  return outputs;
}

// ---- the plan ----

/// The matrix product of a contraction kernel.
class NaiveProduct {
 public:
  NaiveProduct(const Kernel& k, std::vector<test::NaiveBuffer> buffers, DimBindings symbols)
      : k_(k), buffers_(std::move(buffers)), symbols_(std::move(symbols)) {}

  [[nodiscard]] std::int64_t elements() const {
    return element_count(evaluate(k_.axes, symbols_));
  }
  void run(std::int64_t begin, std::int64_t end) const {
    const Contraction& c = *k_.contraction;
    const Shape extents = evaluate(k_.axes, symbols_);
    const std::size_t batch = extents.size() - 2;
    const std::int64_t depth = value(c.k);
    for (std::int64_t e = begin; e < end; ++e) {
      Shape at(extents.size());
      std::int64_t rest = e;
      for (std::size_t i = at.size(); i-- > 0; rest /= extents[i]) at[i] = rest % extents[i];
      std::int64_t a = value(c.a_offset) + value(c.a_m) * at[batch],
                   b = value(c.b_offset) + value(c.b_n) * at[batch + 1];
      for (std::size_t i = 0; i < batch; ++i)
        a += value(c.a_batch[i]) * at[i], b += value(c.b_batch[i]) * at[i];
      if (c.gather) b += along(c.gather->n, c.gather->b_n, at[batch + 1]);
      double sum = 0;
      for (std::int64_t k = 0; k < depth; ++k) {
        const std::int64_t in_a =
            c.gather ? along(c.gather->k, c.gather->a_k, k) : k * value(c.a_k);
        const std::int64_t in_b =
            c.gather ? along(c.gather->k, c.gather->b_k, k) : k * value(c.b_k);
        sum += get(c.a, a + in_a) * get(c.b, b + in_b);
      }
      put(c.out, value(c.out_offset) + e, sum);
    }
  }

 private:
  std::int64_t value(const Dim& d) const { return d.evaluate(symbols_); }
  /// Where element `position` of these axes lies.
  std::int64_t along(const Dims& extents, const Dims& strides, std::int64_t position) const {
    std::int64_t at = 0;
    for (std::size_t i = extents.size(); i-- > 0; position /= value(extents[i]))
      at += position % value(extents[i]) * value(strides[i]);
    return at;
  }
  DType dtype(int buffer) const { return k_.buffers[static_cast<std::size_t>(buffer)].dtype; }
  std::byte* place(int buffer, std::int64_t at) const {
    const auto bytes = buffers_[static_cast<std::size_t>(buffer)].bytes;
    const std::size_t size = size_of(dtype(buffer));
    REQUIRE(at >= 0);
    REQUIRE(static_cast<std::size_t>(at + 1) * size <= bytes.size());
    return bytes.data() + static_cast<std::size_t>(at) * size;
  }
  double get(int buffer, std::int64_t at) const {
    return to_double(dtype(buffer), test::read_element(place(buffer, at), dtype(buffer)));
  }
  void put(int buffer, std::int64_t at, double x) const {
    const std::uint64_t bits = from_double(dtype(buffer), x);
    std::memcpy(place(buffer, at), &bits, size_of(dtype(buffer)));
  }

  const Kernel& k_;
  std::vector<test::NaiveBuffer> buffers_;
  DimBindings symbols_;
};

/// Where a slot's element 0 is, or would be where there is memory for a part of it alone.
struct SlotMemory {
  std::byte* start = nullptr;
  std::int64_t elements = 0;
};

/// Pieces [begin, end) of `pieces` of a step.
inline void run_pieces(const Plan& plan, const Step& step, const DimBindings& bindings,
                       const std::vector<SlotMemory>& memory, std::int64_t begin, std::int64_t end,
                       std::int64_t pieces) {
  const auto* ks = std::get_if<KernelStep>(&step.what);
  REQUIRE(ks);
  const Kernel& kernel = plan.kernels[static_cast<std::size_t>(ks->kernel)];
  verify(kernel);
  DimBindings symbols;
  REQUIRE(static_cast<int>(ks->symbols.size()) == kernel.symbols);
  for (std::size_t i = 0; i < ks->symbols.size(); ++i) {
    symbols.bind("s" + std::to_string(i), ks->symbols[i].evaluate(bindings));
  }
  std::vector<test::NaiveBuffer> buffers;
  for (const int slot : ks->slots) {
    const auto s = static_cast<std::size_t>(slot);
    const auto bytes = static_cast<std::size_t>(memory[s].elements) * size_of(plan.slots[s].dtype);
    buffers.push_back({{memory[s].start, bytes}});
  }
  if (kernel.contraction) {
    const NaiveProduct product(kernel, buffers, symbols);
    const std::int64_t piece = product.elements() / pieces;
    product.run(begin * piece, end * piece);
  }
  test::NaiveKernel points(kernel, buffers, std::move(symbols));
  const std::int64_t piece = points.items() / pieces;
  points.run(begin * piece, end * piece);
  for (const Columns& columns : kernel.columns) {
    std::vector<test::NaiveBuffer> own;
    for (const int buffer : columns.buffers)
      own.push_back(buffers[static_cast<std::size_t>(buffer)]);
    test::NaiveKernel sums(columns.kernel, std::move(own), {});
    sums.run(0, sums.items());
  }
}

/// The group's tiles, last to first, each in memory that holds nothing of the others.
inline void run_group(const Plan& plan, const StepGroup& group, const DimBindings& bindings,
                      std::vector<SlotMemory> memory) {
  std::vector<std::byte> tile_memory(static_cast<std::size_t>(group.tile_bytes));
  for (std::int64_t tile = (group.pieces - 1) / group.tile; tile >= 0; --tile) {
    std::ranges::fill(tile_memory, std::byte{0x5a});
    const std::int64_t begin = tile * group.tile, end = std::min(begin + group.tile, group.pieces);
    for (int i = group.first; i < group.end; ++i) {
      const Step& step = plan.steps[static_cast<std::size_t>(i)];
      for (const int number : std::get<KernelStep>(step.what).slots) {
        const auto s = static_cast<std::size_t>(number);
        const Slot& slot = plan.slots[s];
        if (slot.kind != Slot::Kind::local) continue;
        const auto size = static_cast<std::int64_t>(size_of(slot.dtype));
        const std::int64_t piece = product(slot.shape).value() / group.pieces * size;
        CHECK(slot.offset.value() + (end - begin) * piece <= group.tile_bytes);
        CHECK(slot.offset.value() % 64 == 0);
        memory[s] = {tile_memory.data() + slot.offset.value() - begin * piece, end * piece / size};
      }
      run_pieces(plan, step, bindings, memory, begin, end, group.pieces);
    }
  }
}

inline std::vector<RefArray> run_plan(const Plan& plan, const std::vector<RefArray>& inputs) {
  DimBindings bindings;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const Dims& dims = *plan.inputs[i].shape;
    for (std::size_t k = 0; k < dims.size(); ++k) {
      if (const auto name = dims[k].symbol_name()) bindings.bind(*name, inputs[i].shape[k]);
    }
  }
  for (const ShapeCheck& c : plan.checks)
    CHECK(c.left.evaluate(bindings) == c.right.evaluate(bindings));
  std::vector<std::byte> arena(static_cast<std::size_t>(plan.arena_bytes.evaluate(bindings)),
                               std::byte{0x5a});
  std::vector<std::vector<std::byte>> own(plan.slots.size());
  std::vector<std::byte*> data(plan.slots.size());
  std::vector<std::int64_t> sizes(plan.slots.size());
  const auto write = [&](std::size_t s, const RefArray& a) {
    const std::size_t size = size_of(a.dtype);
    for (std::size_t i = 0; i < a.data.size(); ++i) {
      const std::uint64_t bits = from_double(a.dtype, a.data[i]);
      std::memcpy(data[s] + i * size, &bits, size);
    }
  };
  for (std::size_t s = 0; s < plan.slots.size(); ++s) {
    const Slot& slot = plan.slots[s];
    sizes[s] = element_count(evaluate(slot.shape, bindings));
    if (slot.kind == Slot::Kind::temp) {
      const std::int64_t offset = slot.offset.evaluate(bindings);
      CHECK(offset % 64 == 0);
      CHECK(offset + sizes[s] * static_cast<std::int64_t>(size_of(slot.dtype)) <=
            static_cast<std::int64_t>(arena.size()));
      data[s] = arena.data() + offset;
      continue;
    }
    if (slot.kind == Slot::Kind::local) continue;
    own[s].assign(static_cast<std::size_t>(sizes[s]) * size_of(slot.dtype) + 1, std::byte{0x5a});
    data[s] = own[s].data();
    if (slot.kind == Slot::Kind::input) write(s, inputs[static_cast<std::size_t>(slot.number)]);
    if (slot.kind == Slot::Kind::constant) {
      std::memcpy(data[s], plan.constants[static_cast<std::size_t>(slot.number)].data(),
                  own[s].size() - 1);
    }
  }
  for (std::size_t o = 0; o < plan.outputs.size(); ++o) {  // donated: one storage
    if (plan.donated[o] < 0) continue;
    for (std::size_t s = 0; s < plan.slots.size(); ++s) {
      if (plan.slots[s].kind == Slot::Kind::input && plan.slots[s].number == plan.donated[o]) {
        data[static_cast<std::size_t>(plan.outputs[o])] = data[s];
      }
    }
  }
  std::vector<SlotMemory> memory;
  for (std::size_t s = 0; s < plan.slots.size(); ++s) memory.push_back({data[s], sizes[s]});
  auto group = plan.groups.begin();
  for (std::size_t i = 0; i < plan.steps.size(); ++i) {
    if (group == plan.groups.end() || group->first != static_cast<int>(i)) {
      run_pieces(plan, plan.steps[i], bindings, memory, 0, 1, 1);
      continue;
    }
    run_group(plan, *group, bindings, memory);
    i = static_cast<std::size_t>((group++)->end) - 1;
  }
  std::vector<RefArray> outputs;
  for (const int s : plan.outputs) {
    const Slot& slot = plan.slots[static_cast<std::size_t>(s)];
    RefArray a{slot.dtype, evaluate(slot.shape, bindings), {}};
    for (std::int64_t i = 0; i < sizes[static_cast<std::size_t>(s)]; ++i) {
      std::uint64_t bits = 0;
      const std::size_t size = size_of(slot.dtype);
      std::memcpy(&bits, data[static_cast<std::size_t>(s)] + static_cast<std::size_t>(i) * size,
                  size);
      a.data.push_back(to_double(slot.dtype, bits));
    }
    outputs.push_back(std::move(a));
  }
  return outputs;
}

inline void check_close(const std::vector<RefArray>& got, const std::vector<RefArray>& want,
                        double tolerance) {
  REQUIRE(got.size() == want.size());
  for (std::size_t o = 0; o < got.size(); ++o) {
    CHECK(got[o].dtype == want[o].dtype);
    REQUIRE(got[o].shape == want[o].shape);
    for (std::size_t i = 0; i < got[o].data.size(); ++i) {
      const double g = got[o].data[i], w = want[o].data[i];
      const bool close =
          g == w || std::abs(g - w) <= tolerance * (1 + std::abs(w)) || (g != g && w != w);
      if (!close) {
        INFO("output ", o, " element ", i);
        CHECK(g == w);
        return;
      }
    }
  }
}

/// Lowers, checks the numbers fused and unfused, and gives the fused plan for counting.
inline Plan check(const Graph& graph, const weft::passes::LowerOptions& options = {},
                  const DimBindings& sizes = {}, double tolerance = 2e-5) {
  std::vector<RefArray> inputs;
  for (std::size_t i = 0; i < graph.inputs().size(); ++i) {
    const Type& t = graph.inputs()[i]->type();
    inputs.push_back(filled(*t.dtype, evaluate(*t.shape, sizes), static_cast<unsigned>(i + 1)));
  }
  const std::vector<RefArray> want = run_reference(graph, inputs);
  weft::passes::LowerOptions apart = options;
  apart.fusion.fuse = false;
  check_close(run_plan(weft::passes::lower(graph, apart), inputs), want, tolerance);
  Plan plan = weft::passes::lower(graph, options);
  check_close(run_plan(plan, inputs), want, tolerance);
  return plan;
}

}  // namespace plan_test
