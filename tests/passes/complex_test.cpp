// Complex numbers become pairs of real ones: what the pass makes of a graph, and what the plan says
// to callers.
#include "passes/complex.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "ir/builder.h"
#include "ir/ops/attrs.h"
#include "ir/ops/complex.h"
#include "ir/ops/ops.h"
#include "ir/verify.h"
#include "passes/pipeline.h"

using namespace weft;
using ir::Graph;
using ir::make_input;
using ir::make_node;
using ir::NodeRef;

namespace {

const ir::Type complex_n{DType::complex64, Dims{Dim::symbol("N")}};

bool is_complex_node(const ir::Node& node) { return is_complex(*node.type().dtype); }

/// Complex nodes but for what stands at the outputs.
std::size_t complex_inside(const Graph& graph) {
  std::size_t count = 0;
  for (const ir::Node* node : ir::topological_order(graph)) {
    const auto is_it = [&](const NodeRef& output) { return output.get() == node; };
    const bool joined = &node->op() == &ir::ops::view_as_complex &&
                        std::ranges::any_of(graph.outputs(), is_it);
    count += is_complex_node(*node) && !joined;
  }
  return count;
}

std::size_t count_of(const Graph& graph, const ir::Op& op) {
  return static_cast<std::size_t>(std::ranges::count_if(
      ir::topological_order(graph), [&](const ir::Node* n) { return &n->op() == &op; }));
}

}  // namespace

TEST_CASE("split_complex: a real graph is returned as it is") {
  const NodeRef x = make_input({DType::float32, Dims{2}}, "x");
  const Graph graph({x}, {make_node(ir::ops::exp, {x})});
  CHECK(passes::split_complex(graph).outputs()[0] == graph.outputs()[0]);
  CHECK(passes::real_outputs(graph).outputs()[0] == graph.outputs()[0]);
}

TEST_CASE("split_complex: inputs, products and outputs in real numbers") {
  const NodeRef x = make_input(complex_n, "x"), y = make_input(complex_n, "y");
  const Graph graph({x, y}, {make_node(ir::ops::mul, {x, y})}, "product");
  const Graph real = passes::split_complex(graph);
  ir::verify(real);
  CHECK(real.name() == "product");
  CHECK(complex_inside(real) == 0);
  CHECK(to_string(real.inputs()[0]->type()) == "float32(N, 2)");
  CHECK(real.inputs()[0]->label() == "x");
  CHECK(to_string(real.outputs()[0]->type()) == "complex64(N,)");
  CHECK(count_of(real, ir::ops::mul) == 4);
  CHECK(to_string(passes::real_outputs(real).outputs()[0]->type()) == "float32(N, 2)");
  // What is split already stays so.
  CHECK(structurally_equal(passes::split_complex(real), real));
}

TEST_CASE("split_complex: an imaginary part that is known to be zero costs nothing") {
  const NodeRef z = make_input(complex_n, "z");
  const NodeRef x = make_input({DType::float32, Dims{Dim::symbol("N")}}, "x");
  const Graph product =
      passes::split_complex(Graph({z, x}, {make_node(ir::ops::mul, {z, x})}));
  CHECK(count_of(product, ir::ops::mul) == 2);
  const NodeRef cast = make_node(ir::ops::cast, {x}, ir::CastAttrs{DType::complex64});
  const Graph back = passes::split_complex(
      Graph({x}, {make_node(ir::ops::real, {make_node(ir::ops::square, {cast})})}));
  CHECK(complex_inside(back) == 0);
  CHECK(count_of(back, ir::ops::concatenate) == 0);
}

TEST_CASE("split_complex: pairs that lie in memory are used as they lie") {
  const NodeRef z = make_input(complex_n, "z");
  const Graph through(
      {z}, {make_node(ir::ops::view_as_complex, {make_node(ir::ops::view_as_real, {z})}), z});
  const Graph real = passes::split_complex(through);
  CHECK(real.outputs()[0]->input(0) == real.inputs()[0]);
  CHECK(real.outputs()[1]->input(0) == real.inputs()[0]);
}

TEST_CASE("split_complex: what has no meaning for complex numbers says so") {
  // The type rule would refuse it; a text, or a rewrite that is wrong, might not.
  const NodeRef z = make_input({DType::complex64, Dims{2}}, "z");
  const NodeRef unknown = make_input({std::nullopt, Dims{2}}, "u");
  const Graph graph({unknown}, {make_node(ir::ops::floor, {unknown})});
  const ir::Type types[] = {z->type()};
  CHECK_THROWS_AS(passes::optimize(graph, types), UnsupportedOp);
}

TEST_CASE("plan: callers bind complex memory, kernels see real numbers") {
  const NodeRef x = make_input(complex_n, "x");
  const NodeRef twice = make_node(ir::ops::add, {x, x});
  const Graph graph({x}, {twice, make_node(ir::ops::view_as_real, {twice}), x});
  const ir::Type types[] = {complex_n};
  const ir::Plan plan = passes::plan(graph, types);
  CHECK(plan.inputs[0] == complex_n);
  const auto output = [&](std::size_t i) {
    const ir::Slot& slot = plan.slots[static_cast<std::size_t>(plan.outputs[i])];
    return to_string(ir::Type{slot.dtype, slot.shape});
  };
  CHECK(output(0) == "complex64(N,)");
  CHECK(output(1) == "float32(N, 2)");
  CHECK(output(2) == "complex64(N,)");
  for (const ir::Kernel& kernel : plan.kernels)
    for (const ir::KernelBuffer& buffer : kernel.buffers) CHECK(buffer.dtype == DType::float32);
}
