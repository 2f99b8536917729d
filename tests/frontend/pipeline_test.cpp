// What compilation does to whole graphs: the optimised graph against the raw one, and how many
// kernels are left.
#include <doctest/doctest.h>

#include <random>

#include "generated.h"
#include "ir/builder.h"
#include "ir/text.h"
#include "passes/lower.h"
#include "passes/pipeline.h"
#include "passes/specialize.h"
#include "runtime/thread_pool.h"
#include "weft/weft.h"

using namespace weft;
using namespace weft::generated;

namespace {

/// No pass but those that compilation cannot do without, one kernel an operation, no temporary's
/// memory shared.
std::vector<Array> run_raw(const ir::Graph& graph, std::span<const Array> arrays) {
  passes::LowerOptions lowering;
  lowering.fusion.fuse = false;
  lowering.plan_memory = false;
  const ir::Graph typed = passes::expand(passes::specialize(graph, types_of(arrays, {})));
  const runtime::HostProgram program(passes::lower(typed, lowering),
                                 frontend::kernel_compiler(frontend::Tier::interpreted));
  return run(program, arrays);
}

std::vector<Array> run_optimised(const ir::Graph& graph, std::span<const Array> arrays,
                                 Options options) {
  return run({graph.inputs().begin(), graph.inputs().end()},
             {graph.outputs().begin(), graph.outputs().end()}, arrays, options);
}

/// A random graph over a few matrices: pointwise operations, reductions, views, products.
ir::Graph random_graph(std::mt19937& rng, std::vector<Array>& arrays) {
  std::vector<ir::NodeRef> inputs, values;
  const auto pick = [&](std::size_t n) {
    return std::uniform_int_distribution<std::size_t>(0, n - 1)(rng);
  };
  const Shape shapes[] = {{5, 7}, {1, 7}, {5, 1}, {5, 7}};
  std::uniform_real_distribution<float> uniform(-1, 1);
  for (const Shape& shape : shapes) {
    std::vector<float> v(static_cast<std::size_t>(element_count(shape)));
    for (float& x : v) x = uniform(rng);
    arrays.push_back(Array::from(v, shape));
    inputs.push_back(ir::make_input({DType::float32, to_dims(shape)}));
  }
  values = inputs;
  const auto any = [&] { return values[pick(values.size())]; };
  using namespace ir;
  for (int i = 0; i < 25; ++i) {
    NodeRef r;
    switch (pick(12)) {
      case 0: r = make_node(ops::add, {any(), any()}); break;
      case 1: r = make_node(ops::mul, {any(), any()}); break;
      case 2: r = make_node(ops::sub, {any(), any()}); break;
      case 3: r = make_node(ops::tanh, {any()}); break;
      case 4: r = make_node(ops::sigmoid, {any()}); break;
      case 5: r = make_node(ops::maximum, {any(), any()}); break;
      case 6: r = make_node(ops::sum, {any()}, ReduceAttrs{{1}, false, true}); break;
      case 7: r = make_node(ops::mean, {any()}, ReduceAttrs{{0}, false, true}); break;
      case 8: r = make_node(ops::flip, {any()}, AxesAttrs{{-1}}); break;
      case 9: r = make_node(ops::softmax, {any()}, AxisAttrs{-1}); break;
      case 10: r = make_node(ops::neg, {make_node(ops::neg, {any()})}); break;
      case 11: {
        const NodeRef t = make_node(ops::matrix_transpose, {any()});
        r = make_node(ops::matrix_transpose, {make_node(ops::square, {t})});
        break;
      }
    }
    values.push_back(r);
  }
  std::vector<NodeRef> outputs;
  for (int i = 0; i < 3; ++i) outputs.push_back(values[values.size() - 1 - pick(8)]);
  return Graph(std::move(inputs), std::move(outputs));
}

std::int64_t kernels(const Function& f, const std::vector<Array>& inputs) {
  f(inputs);
  return f.stats().kernels;
}

}  // namespace

TEST_CASE("Pipeline: optimised graphs have the bits of the raw ones") {
  std::mt19937 rng(99);
  const int count = full_run() ? 2000 : 200;
  for (int i = 0; i < count; ++i) {
    std::vector<Array> arrays;
    const ir::Graph graph = random_graph(rng, arrays);
    CAPTURE(i);
    INFO(ir::to_text(graph, {.locations = false}));
    const std::vector<Array> raw = run_raw(graph, arrays);
    const std::vector<Array> fused = run_optimised(graph, arrays, {});
    for (std::size_t k = 0; k < raw.size(); ++k) CHECK(bit_difference(fused[k], raw[k]) == "");
    if (i % 20 != 0 && !full_run()) continue;
    const std::vector<Array> native =
        run_optimised(graph, arrays, {.tier = frontend::Tier::compiled});
    for (std::size_t k = 0; k < raw.size(); ++k) CHECK(bit_difference(native[k], raw[k]) == "");
    const std::vector<Array> symbolic = run_optimised(graph, arrays, {.symbolic = true});
    for (std::size_t k = 0; k < raw.size(); ++k) CHECK(bit_difference(symbolic[k], raw[k]) == "");
  }
}

TEST_CASE("Pipeline: outputs that nothing computes") {
  Tensor a("a"), b("b");
  Tensor sum = a + b;
  const Function f({a, b}, {a, sum, sum, Tensor(Array{1.f, 2.f}), a + 0, b});
  const std::vector<Array> r = f(Array{1.f, 2.f}, Array{10.f, 20.f});
  CHECK(array_equal(r[0], Array{1.f, 2.f}));
  CHECK(array_equal(r[1], Array{11.f, 22.f}));
  CHECK(array_equal(r[2], Array{11.f, 22.f}));
  CHECK(array_equal(r[3], Array{1.f, 2.f}));
  CHECK(array_equal(r[4], Array{1.f, 2.f}));
  CHECK(array_equal(r[5], Array{10.f, 20.f}));
}

TEST_CASE("Pipeline: one held result, one kernel") {
  Tensor x("x"), y("y");
  const Array m = rand({8, 16}), row = rand({16});
  CHECK(kernels(Function({x, y}, x + 0.2 + y * 0.3), {m, row}) == 1);
  CHECK(kernels(Function({x}, softmax(x)), {m}) == 1);
  CHECK(kernels(Function({x}, log_softmax(x)), {m}) == 1);
  CHECK(kernels(Function({x}, gelu(x)), {m}) == 1);
  CHECK(kernels(Function({x}, logsumexp(x, Axes{1})), {m}) == 1);
  CHECK(kernels(Function({x}, nn::layer_norm(x, Tensor(row), Tensor(row))), {m}) == 1);
  CHECK(kernels(Function({x, y}, nn::mse_loss(x, y)), {m, m}) <= 2);
  CHECK(kernels(Function({x, y}, mean(square(x - y))), {m, m}) <= 2);
  // The counter-test: what is not fused is counted.
  CHECK(kernels(Function({x, y}, x + 0.2 + y * 0.3, {.fuse = false}), {m, row}) == 3);
}

TEST_CASE("Pipeline: kernels of a training step") {
  nn::Sequential model(nn::Linear(64, 30), nn::ReLU(), nn::Linear(30, 10));
  Tensor x({16, 64}, DType::float32, "x"), t({16}, DType::int64, "t");
  Tensor loss = nn::cross_entropy(model(x), t);
  optim::SGD sgd(model.parameters(), {.lr = 0.1});
  const Function step({x, t}, loss, {.updates = sgd.updates(loss)});
  const std::int64_t count = kernels(step, {rand({16, 64}), randint(0, 10, {16})});
  optim::Adam adam(model.parameters());
  const Function adam_step({x, t}, loss, {.updates = adam.updates(loss)});
  const std::int64_t adam_count = kernels(adam_step, {rand({16, 64}), randint(0, 10, {16})});
  MESSAGE("two-layer perceptron: " << count << " kernels a step of SGD, " << adam_count
                                   << " of Adam");
  CHECK(count <= 12);
  CHECK(adam_count <= 16);
}

TEST_CASE("Pipeline: steps run tile by tile have the bits of steps run one by one") {
  const Tensor q("q"), k("k"), v("v"), g("g");
  const Tensor scores = matmul(q, transpose(k, -1, -2)) * 0.25;
  const Tensor out = matmul(softmax(scores), v);
  const std::vector<Tensor> slopes = vjp({out}, {q, k, v}, {g});
  const Function f({q, k, v, g}, {out, slopes[0], slopes[1], slopes[2]});
  std::vector<Array> arrays;
  for (int i = 0; i < 4; ++i) arrays.push_back(rand({12, 48, 16}, DType::float32));
  const ir::Graph graph = ir::parse_graph(f.ir(Stage::graph));
  std::vector<ir::Type> types = types_of(arrays, {});
  passes::PipelineOptions options;
  options.groups.reset();
  const runtime::HostProgram apart(passes::plan(graph, types, options),
                               frontend::kernel_compiler(frontend::default_tier()));
  options.groups = passes::Caches{64 << 10, 200 << 10};
  const runtime::HostProgram tiled(passes::plan(graph, types, options),
                               frontend::kernel_compiler(frontend::default_tier()));
  CHECK(apart.plan().groups.empty());
  REQUIRE(!tiled.plan().groups.empty());
  CHECK(tiled.plan().arena_bytes.value() < apart.plan().arena_bytes.value() / 2);
  const std::vector<Array> want = run(apart, arrays);
  const int threads = runtime::num_threads();
  for (const int n : {1, 2, 3}) {
    runtime::set_num_threads(n);
    const std::vector<Array> got = run(tiled, arrays);
    for (std::size_t i = 0; i < want.size(); ++i) CHECK(bit_difference(got[i], want[i]) == "");
  }
  runtime::set_num_threads(threads);
}

TEST_CASE("Pipeline: what lives in a concatenation is read there in its own shape alone") {
  const Tensor x("x"), y("y"), a("a"), b("b"), c("c"), d("d");
  const Tensor w = tanh(x), joined = concatenate({w, y}, 1);
  const Tensor first = relu(reshape(w, {32, 20})) + matmul(a, b),
               second = w + reshape(matmul(c, d), {4, 8, 20});
  std::vector<Array> given;
  for (const Shape& shape : {Shape{4, 8, 20}, Shape{4, 8, 20}, Shape{32, 12}, Shape{12, 20},
                             Shape{32, 12}, Shape{12, 20}})
    given.push_back(rand(shape));
  const std::vector<Tensor> all{x, y, a, b, c, d};
  const std::vector<Array> together = Function(all, {joined, first, second})(given);
  CHECK(array_equal(together[0], Function(all, joined)(given)[0]));
  CHECK(array_equal(together[1], Function(all, first)(given)[0]));
  CHECK(array_equal(together[2], Function(all, second)(given)[0]));
}
