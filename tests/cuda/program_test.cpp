// What a compiled program does on a device: products, rows, steps that run on the processor,
// shapes that depend on values, updates, recordings.
#include <doctest/doctest.h>

#include <cmath>
#include <random>
#include <thread>

#include "fake.h"
#include "ir/builder.h"
#include "ir/ops/ops.h"
#include "runtime/cuda_device.h"
#include "same_bits.h"
#include "tests/frontend/thrown.h"
#include "weft/nn.h"
#include "weft/optim.h"
#include "weft/weft.h"

using namespace weft;

namespace {

/// On both; the same bits are expected.
void compare(const std::vector<Tensor>& inputs, const std::vector<Tensor>& outputs,
             const std::vector<Array>& values) {
  const Function on_host(inputs, outputs), on_device(inputs, outputs, {.device = gpu()});
  const std::vector<Array> expected = on_host(values), got = on_device(values);
  for (std::size_t i = 0; i < expected.size(); ++i) {
    CAPTURE(i);
    CHECK(got[i].device() == gpu());
    CHECK(same_bits(got[i], expected[i]));
  }
}

/// What it is given, by a step that no device has.
Tensor on_processor(const Tensor& x) {
  const CustomOp same{
      .infer = [](std::span<const TensorType> t) { return std::vector(t.begin(), t.end()); },
      .forward = [](std::span<const Array> a) { return std::vector<Array>(a.begin(), a.end()); }};
  return custom_op("same", same)({x})[0];
}

}  // namespace

TEST_CASE("CUDA: products have the processor's bits") {
  manual_seed(3);
  Tensor a({37, 21}, DType::float32), b({21, 50}, DType::float32), c, d, e, long_a, long_b, ia, ib;
  compare({a, b, c, d, e, long_a, long_b, ia, ib},
          {matmul(a, b), relu(matmul(a, b) + c), matmul(d, e),
           matmul(transpose(b, 0, 1), transpose(a, 0, 1)), matmul(long_a, long_b), matmul(ia, ib),
           einsum("bij,bkj->bik", d, d)},
          {randn({37, 21}), randn({21, 50}), randn({50}), randn({3, 9, 17}), randn({17, 5}),
           randn({3, 4000}), randn({4000, 2}), randint(-100, 100, {7, 9}, DType::int32),
           randint(-100, 100, {9, 4}, DType::int32)});
  Tensor p, q;
  compare({p, q}, {matmul(p, q)},
          {randn({5, 900}, DType::float64), randn({900, 6}, DType::float64)});
}

TEST_CASE("CUDA: windows of images, rows and reductions have the processor's bits") {
  manual_seed(4);
  Tensor x, w, r;
  compare({x, w, r},
          {conv2d(x, w), softmax(r, -1), layer_norm(r, {96}), sum(r), sum(r, Axes{0}),
           mean(r, Axes{1}), argmax(r, 1), cumsum(r, 1), logsumexp(r, Axes{1})},
          {randn({2, 3, 12, 11}), randn({4, 3, 3, 3}), randn({70, 96})});
  Tensor tall;  // columns are cut into blocks of rows
  compare({tall}, {sum(tall, Axes{0}), softmax(tall, 0), argmax(tall, 0)}, {randn({1300, 5})});
}

TEST_CASE("CUDA: rows, and sums of their columns, read memory once") {
  // The stand-in's second device has 4 multiprocessors and 1 MB of cache.
  const Device device = stand_in() ? Device::cuda(1) : Device::cuda(0);
  const std::int64_t more = stand_in() ? 0 : 16384;  // rows
  manual_seed(17);
  const auto compare_there = [&](const std::vector<Tensor>& inputs,
                                 const std::vector<Tensor>& outputs,
                                 const std::vector<Array>& values) {
    const Function on_host(inputs, outputs), there(inputs, outputs, {.device = device});
    const std::vector<Array> expected = on_host(values), got = there(values);
    for (std::size_t i = 0; i < expected.size(); ++i) {
      CAPTURE(i);
      CHECK(same_bits(got[i], expected[i]));
    }
    return there.stats().kernels;
  };
  const std::pair<Shape, DType> cases[] = {{{521 + more, 1024}, DType::float32},
                                           {{512 + more, 1536}, DType::float32},
                                           {{515 + more, 4096}, DType::float32},
                                           {{1030 + more, 300}, DType::float64},
                                           {{1100 + 4 * more, 512}, DType::bfloat16}};
  for (const auto& [shape, dtype] : cases) {
    CAPTURE(shape[1]);
    const Shape row{shape[1]};
    const Dims all{shape[0], shape[1]}, last{shape[1]};
    Tensor x(all, dtype), scale(last, dtype), shift(last, dtype), g(all, dtype);
    const Tensor y = nn::layer_norm(x, scale, shift, 1e-5);
    CHECK(compare_there({x, scale, shift, g}, vjp({y}, {x, scale, shift}, {g}),
                        {randn(shape).to(dtype), randn(row).to(dtype), randn(row).to(dtype),
                         randn(shape).to(dtype)}) == 2);
  }
  Tensor x;
  const Tensor weights = softmax(x, -1);  // columns that sum what the rows write
  CHECK(compare_there({x}, {weights, sum(weights, Axes{0})}, {randn({520 + more, 1030})}) == 2);
}

TEST_CASE("CUDA: columns that reach beyond the rows that are written stay apart") {
  const std::int64_t count = 600, width = 512, window = 1000;
  manual_seed(19);
  Tensor x(Dims{count, width}, DType::float32), e(Dims{window - width}, DType::float32);
  const Tensor rest = tanh(e), rows = softmax(x * sum(rest), -1);
  const Tensor all = concatenate({reshape(rows, {count * width}), rest}, 0);
  const Tensor windows = transpose(unfold(reshape(all, {1, 1, 1, count * width + window - width}),
                                          PerAxis{1, window}, 1, 0, PerAxis{1, width}),
                                   1, 2);
  const std::vector<Tensor> outputs{all, sum(reshape(windows, {count, window}), Axes{0})};
  const Device device = stand_in() ? Device::cuda(1) : Device::cuda(0);
  const Function on_host({x, e}, outputs), there({x, e}, outputs, {.device = device});
  const std::vector<Array> values{randn({count, width}), randn({window - width})};
  const std::vector<Array> expected = on_host(values), got = there(values);
  for (std::size_t i = 0; i < expected.size(); ++i) CHECK(same_bits(got[i], expected[i]));
  CHECK(there.ir(Stage::kernels).find("columns of [") == std::string::npos);
}

TEST_CASE("CUDA: quotients in the middle of the range are rounded as the processor's") {
  // A row of one opcode, which functions such as sigmoid and tanh are built of.
  static const ir::Op row = [] {
    ir::Op op;
    op.name = "ratio", op.infer = ir::ops::div.infer, op.min_inputs = op.max_inputs = 2;
    op.meaning = ir::Pointwise{ir::OperandRule::floating,
                               [](ir::ScalarBuilder&, std::span<const ir::ScalarValue> x,
                                  const ir::Attrs&) { return ir::ratio(x[0], x[1]); }};
    return op;
  }();
  // Every mantissa of divisors on a device, every 128th in its stand-in.
  const std::uint32_t all = 1u << 23, step = stand_in() ? 128 : 1;
  const Tensor a({all / step}, DType::float32), b({all / step}, DType::float32);
  const Tensor one = a * 0.0 + 1.0;
  const std::vector<Tensor> outputs{Tensor(ir::make_node(row, {a.node(), b.node()})),
                                    Tensor(ir::make_node(row, {one.node(), b.node()}))};
  const Function here({a, b}, outputs), there({a, b}, outputs, {.device = gpu()});
  std::mt19937 rng(3);
  for (const int exponent : {-100, 0, 99}) {
    CAPTURE(exponent);
    std::vector<float> dividends, divisors;
    for (std::uint32_t m = 0; m < all; m += step) {
      divisors.push_back(std::ldexp(2.0f - std::ldexp(static_cast<float>(m + 1), -23), exponent));
      dividends.push_back(
          std::ldexp(1.0f + std::ldexp(static_cast<float>(rng() >> 9), -23), exponent));
    }
    dividends[0] = std::ldexp(0x1.aaaaa6p0f, exponent),
    divisors[0] = std::ldexp(0x1.fffffap0f, exponent);
    const Array x = Array::from(dividends), y = Array::from(divisors);
    const std::vector<Array> expected = here(x, y), got = there(x, y);
    for (std::size_t i = 0; i < 2; ++i) CHECK(same_bits(got[i].to(Device::cpu()), expected[i]));
  }
}

TEST_CASE("CUDA: fast_math takes the device's own functions") {
  manual_seed(18);
  Tensor x({40, 50}, DType::float32), y({40, 50}, DType::float32);
  const Tensor p = abs(y) + 0.5, unit = y / (abs(y) + 1.0);
  const std::vector<Tensor> outputs{
      exp(x),      tanh(x),    sigmoid(x), nn::gelu(x),    gelu_tanh(x),
      nn::silu(x), log(p),     log1p(p),   sin(x),         cos(x),
      atan(x),     asin(unit), sinh(x),    asinh(x),       acosh(p + 1.0),
      erf(x),      pow(p, x),  exp2(x),    softmax(x, -1), vjp({gelu_tanh(x)}, {x}, {y})[0]};
  const Function on_host({x, y}, outputs), exact({x, y}, outputs, {.device = gpu()}),
      fast({x, y}, outputs, {.device = gpu(), .fast_math = true});
  const std::vector<Array> values{randn({40, 50}), randn({40, 50})};
  const std::vector<Array> expected = on_host(values), same = exact(values), near = fast(values);
  std::size_t other = 0;
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    CAPTURE(i);
    CHECK(same_bits(same[i], expected[i]));
    CHECK(allclose(near[i].to(Device::cpu()), expected[i], 2e-6, 1e-6));
    other += !same_bits(near[i], expected[i]);
  }
  CHECK(other > outputs.size() / 2);  // they did come from elsewhere
}

TEST_CASE("CUDA: steps that are no kernels run on the processor, and are counted") {
  Tensor x;
  const std::vector<Tensor> outputs{on_processor(x * 2.0), exp(x)};
  const Function f({x}, outputs, {.device = gpu()});
  const Array values = randn({9, 9});
  const std::vector<Array> got = f(values);
  const Function on_host({x}, outputs);
  CHECK(same_bits(got[0], on_host(values)[0]));
  CHECK(got[0].device() == gpu());
  CHECK(f.stats().host_steps == 1);
}

TEST_CASE("CUDA: batches and what is computed again have the processor's bits") {
  manual_seed(6);
  const Variable w((randn({24, 24}) * 0.2).value());
  Tensor x, y;
  const GraphFn block = checkpoint([&](std::span<const Tensor> v) {
    return std::vector<Tensor>{tanh(matmul(v[0], w)) * v[0]};
  });
  const Tensor loss = sum(block(block(std::vector{x}))[0]);
  const GraphFn each = [](std::span<const Tensor> v) {
    return std::vector<Tensor>{softmax(matmul(v[0], v[1]), -1), cumsum(v[0], 0), sum(v[0])};
  };
  std::vector<Tensor> outputs = vmap(each, {0, none})(std::vector{x, y});
  const std::vector<Tensor> slopes = grad(loss + sum(outputs[0] * outputs[0]), {x, y});
  outputs.insert(outputs.end(), slopes.begin(), slopes.end());
  compare({x, y}, outputs, {randn({7, 24}), randn({24, 5})});
}

TEST_CASE("CUDA: random draws are the processor's") {
  const Function on_host({}, {uniform(Shape{40}) * 2.0}),
      on_device({}, {uniform(Shape{40}) * 2.0}, {.device = gpu()});
  manual_seed(11);
  const Array expected = on_host(std::vector<Array>{})[0];
  manual_seed(11);
  CHECK(same_bits(on_device(std::vector<Array>{})[0], expected));
}

TEST_CASE("CUDA: shapes that depend on values") {
  Tensor x;
  const Function on_host({x}, {masked_select(x, x > 0.0) * 3.0}),
      on_device({x}, {masked_select(x, x > 0.0) * 3.0}, {.device = gpu()});
  for (int seed = 0; seed < 3; ++seed) {
    const Array values = randn({20});
    const Array got = on_device(values)[0];
    CHECK(got.device() == gpu());
    CHECK(same_bits(got, on_host(values)[0]));
  }
}

TEST_CASE("CUDA: unknown extents") {
  Tensor x, y;
  const Function on_host({x, y}, {softmax(matmul(x, y), -1)}),
      on_device({x, y}, {softmax(matmul(x, y), -1)}, {.device = gpu()});
  for (const std::int64_t n : {3, 4, 5, 7, 9, 64}) {
    const Array a = randn({n, 8}), b = randn({8, n + 1});
    CHECK(same_bits(on_device(a, b)[0], on_host(a, b)[0]));
  }
  CHECK(on_device.stats().compilations == 3);
}

namespace {

struct Network {
  nn::Sequential net{nn::Linear(12, 32), nn::ReLU(), nn::Linear(32, 5)};
  Tensor x{{16, 12}, DType::float32, "x"}, t{{16}, DType::int64, "t"};
  optim::Adam adam{net.parameters(), {.lr = 1e-2}};
  Function step;
  explicit Network(Device device) : step({x, t}, nn::cross_entropy(net(x), t), options(device)) {}
  FunctionOptions options(Device device) {
    return {.updates = adam.updates(nn::cross_entropy(net(x), t)), .device = device};
  }
};

}  // namespace

TEST_CASE("CUDA: a network trains with the processor's losses, from recordings") {
  manual_seed(5);
  Network here{Device::cpu()};
  manual_seed(5);
  Network there{gpu()};
  const Array x = randn({16, 12}), t = randint(0, 5, {16});
  const auto before = fake_cuda().counts();
  for (int i = 0; i < 8; ++i) {
    CAPTURE(i);
    CHECK(same_bits(there.step(x, t)[0], here.step(x, t)[0]));
  }
  const auto after = fake_cuda().counts();
  const std::vector<Tensor> mine = there.net.parameters(), theirs = here.net.parameters();
  for (std::size_t i = 0; i < mine.size(); ++i) {
    CHECK(mine[i].device() == gpu());  // where the function that updates them runs
    CHECK(same_bits(mine[i].value(), theirs[i].value()));
  }
  if (stand_in()) CHECK(after.graph_launches > before.graph_launches);
  CHECK(after.captures - before.captures <= 4);
  CHECK(there.step.stats().host_steps == 0);
}

TEST_CASE("CUDA: a recording is for its addresses") {
  Tensor x({6, 4}, DType::float32);
  const Tensor y = softmax(exp(x), 0);
  const Function f({x}, {sum(y * y), matmul(y, transpose(y, 0, 1))}, {.device = gpu()});
  const Function on_host({x}, {sum(y * y), matmul(y, transpose(y, 0, 1))});
  std::vector<Array> kept;  // results that are kept lie elsewhere each time
  for (int i = 0; i < 6; ++i) {
    const Array value = randn({6, 4});
    kept.push_back(f(value)[1]);
    CHECK(same_bits(kept.back(), on_host(value)[1]));
    CHECK(same_bits(f(value)[0], on_host(value)[0]));
  }
  std::vector<Array> outputs{f(randn({6, 4}))};
  const Array value = randn({6, 4}).to(gpu());
  f.call_into(outputs, std::span(&value, 1));
  const auto before = fake_cuda().counts();
  for (int i = 0; i < 5; ++i) f.call_into(outputs, std::span(&value, 1));
  const auto after = fake_cuda().counts();
  CHECK(after.allocations == before.allocations);  // nothing is asked of the driver
  if (stand_in()) CHECK(after.graph_launches - before.graph_launches >= 4);
  CHECK(same_bits(outputs[1], on_host(value.to(Device::cpu()))[1]));
}

TEST_CASE("CUDA: steps of a recording wait for what they need alone") {
  const auto branch = [](const Tensor& x) { return exp(matmul(softmax(x, 1), x)); };
  const std::vector<Tensor> x{Tensor({4, 4}, DType::float32), Tensor({5, 5}, DType::float32),
                              Tensor({6, 6}, DType::float32)};  // unlike ones: no step does two
  const std::vector<Tensor> results{branch(x[0]), branch(x[1]), branch(x[2])};
  const Function f(x, results, {.device = gpu()}), on_host(x, results);
  std::vector<Array> values, outputs(3);
  for (const std::int64_t n : {4, 5, 6}) values.push_back(randn({n, n}).to(gpu()));
  f.call_into(outputs, values);
  const auto before = fake_cuda().counts();
  for (int i = 0; i < 4; ++i) f.call_into(outputs, values);  // one order, then the other
  const auto after = fake_cuda().counts();
  for (Array& value : values) value = value.to(Device::cpu());
  const std::vector<Array> want = on_host(values);
  for (std::size_t o = 0; o < 3; ++o) CHECK(same_bits(outputs[o], want[o]));
  if (!stand_in()) return;
  CHECK(after.captures - before.captures == 1);
  CHECK(after.graph_launches - before.graph_launches >= 3);
  CHECK(after.waits - before.waits == after.nodes - before.nodes - 3);  // three chains
}

TEST_CASE("CUDA: shapes that take turns are replayed each") {
  Tensor x;
  const Function f({x}, {softmax(matmul(x, x) + 1, 0)}, {.device = gpu()});
  std::vector<Array> values, outputs(1);
  for (const std::int64_t n : {5, 9, 6}) values.push_back(randn({n, n}).to(gpu()));
  for (int round = 0; round < 6; ++round)
    for (const Array& value : values) f.call_into(outputs, std::span(&value, 1));
  const auto before = fake_cuda().counts();
  for (const Array& value : values) f.call_into(outputs, std::span(&value, 1));
  const auto after = fake_cuda().counts();
  if (stand_in()) CHECK(after.graph_launches - before.graph_launches == 3);
  CHECK(after.captures == before.captures);
}

TEST_CASE("CUDA: nothing is written in place before a step on the processor, which may fail") {
  const Tensor table({3}, DType::float32), at({2}, DType::int64), x({2, 2}, DType::float32);
  const Function gather({table, at}, table[at], {.device = gpu()});
  const Variable w(eye(2).to(gpu()), "w"), v(eye(2).to(gpu()), "v");
  const Tensor moved = w + x;
  const Function step({x}, moved,
                      {.updates = {{w, moved}, {v, v + on_processor(moved)}}, .device = gpu()});
  const Array one = ones({2, 2}).to(gpu());
  (void)step(one);
  CHECK(step.stats().host_steps == 1);
  const Array before_w = w.value().contiguous(), before_v = v.value().contiguous();
  const std::vector<float> w_was = before_w.tolist<float>(), v_was = before_v.tolist<float>();
  (void)gather(Array{1.f, 2.f, 3.f}.to(gpu()), Array{0, 9}.to(gpu()));  // is told at the next wait
  CHECK_THROWS_AS((void)step(one), IndexError);
  CHECK(w.value().tolist<float>() == w_was);
  CHECK(v.value().tolist<float>() == v_was);
  (void)step(one);
  CHECK(w.value().tolist<float>() != w_was);
}

TEST_CASE("CUDA: calls from several threads") {
  Tensor x;
  const Function f({x}, {matmul(x, x) + x}, {.device = gpu()}), on_host({x}, {matmul(x, x) + x});
  std::vector<Array> inputs, expected, got(4);
  for (int i = 0; i < 4; ++i) {
    inputs.push_back(randn({20, 20}));
    expected.push_back(on_host(inputs.back())[0]);
  }
  {
    std::vector<std::jthread> threads;
    for (std::size_t i = 0; i < 4; ++i)
      threads.emplace_back([&, i] {
        for (int n = 0; n < 5; ++n) got[i] = f(inputs[i])[0];
      });
  }
  for (std::size_t i = 0; i < 4; ++i) CHECK(same_bits(got[i], expected[i]));
}

TEST_CASE("CUDA: outputs that are inputs or constants") {
  Tensor x;
  const Tensor c = Tensor(Array{1.f, 2.f, 3.f});
  const Function f({x}, {x, c, x + c, x}, {.device = gpu()});
  const Array value{4.f, 5.f, 6.f};
  const std::vector<Array> got = f(value);
  CHECK(got[0].tolist<float>() == value.tolist<float>());
  CHECK(got[1].tolist<float>() == std::vector<float>{1, 2, 3});
  CHECK(got[2].tolist<float>() == std::vector<float>{5, 7, 9});
  CHECK(got[3].tolist<float>() == value.tolist<float>());
}

TEST_CASE("CUDA: a profile has a time for each step") {
  Tensor x;
  const Function f({x}, {sum(matmul(x, x))}, {.device = gpu()});
  const Array value = randn({8, 8});
  const auto times = f.profile(std::span(&value, 1));
  CHECK(std::ssize(times) == f.stats().kernels);
}

TEST_CASE("CUDA: inputs that lie elsewhere in every call are replayed for too") {
  Tensor x({8, 6}, DType::float32), w = Variable(ones({6}), "w");
  const Tensor y = softmax(x * w, 0);
  const std::vector<Tensor> outputs{sum(y * y), matmul(y, transpose(y, 0, 1))};
  const Function f({x}, outputs, {.device = gpu()}), on_host({x}, outputs);
  const Array all = randn({40 * 8, 6}), there = all.to(gpu());
  const auto batch = [](const Array& from, std::int64_t i) {
    return runtime::slice_view(from, 0, i * 8, 8, 1);
  };
  std::vector<Array> kept;  // and so do results that are kept
  for (std::int64_t i = 0; i < 10; ++i) kept.push_back(f(batch(there, i))[1]);
  const auto before = fake_cuda().counts();
  for (std::int64_t i = 10; i < 40; ++i) kept.push_back(f(batch(there, i))[1]);
  const auto after = fake_cuda().counts();
  if (stand_in()) CHECK(after.graph_launches - before.graph_launches == 30);
  CHECK(after.captures == before.captures);
  CHECK(after.synchronizations == before.synchronizations);
  for (std::int64_t i = 0; i < 40; ++i)
    CHECK(same_bits(kept[static_cast<std::size_t>(i)], on_host(batch(all, i))[1]));
}

TEST_CASE("CUDA: values that are not aligned as code expects") {
  Tensor x;
  const Function f({x}, {exp(x) * 2.0, sum(x)}, {.device = gpu()});
  const Function on_host({x}, {exp(x) * 2.0, sum(x)});
  const Array all = randn({65}), there = all.to(gpu());
  for (const std::int64_t first : {0, 1, 3}) {
    const Array part = runtime::slice_view(there, 0, first, 61, 1);
    CHECK(part.is_contiguous());
    const std::vector<Array> got = f(part);
    const std::vector<Array> want = on_host(runtime::slice_view(all, 0, first, 61, 1));
    CHECK(same_bits(got[0], want[0]));
    CHECK(same_bits(got[1], want[1]));
  }
}

TEST_CASE("CUDA: a step of training is one launch") {
  FakeCudaCounts spent{};
  constexpr int counted = 6;
  const auto losses = [&](Device device) {
    manual_seed(8);
    Tensor x({16, 12}, DType::float32, "x"), t({16, 4}, DType::float32, "t");
    nn::Sequential net{nn::Linear(12, 4), nn::Tanh()};
    optim::SGD sgd(net.parameters(), {.lr = 1e-2, .momentum = 0.9});
    const Tensor loss = nn::mse_loss(net(x), t);
    const Function step({x, t}, loss, {.updates = sgd.updates(loss), .device = device});
    CHECK(step.stats().host_steps == 0);
    std::vector<Array> result;  // what is kept lies elsewhere in each call
    Array last;
    const auto run = [&](int steps) {
      for (int i = 0; i < steps; ++i) last = step(randn({16, 12}), randn({16, 4}))[0];
      return last;
    };
    for (int i = 0; i < 16; ++i) result.push_back(run(1));
    result.push_back(run(8));
    (void)run(4);
    runtime::CudaDevice::get(gpu()).synchronize();
    const auto before = fake_cuda().counts();
    result.push_back(run(counted));
    spent = fake_cuda().counts() - before;
    return result;
  };
  const std::vector<Array> expected = losses(Device::cpu()), got = losses(gpu());
  for (std::size_t i = 0; i < got.size(); ++i) CHECK(same_bits(got[i], expected[i]));
  if (stand_in()) CHECK(spent.graph_launches == counted);
  if (stand_in()) CHECK(spent.uploads == 2 * counted);  // fresh inputs
  CHECK(spent.launches == 0);
  CHECK(spent.captures == 0);
  CHECK(spent.allocations == 0);
  CHECK(spent.synchronizations == 0);
  CHECK(spent.calls <= 12 * counted);
}

TEST_CASE("CUDA: programs share their working memory") {
  Tensor x, y;
  const Function f({x, y}, matmul(y, exp(x)), {.device = gpu()}),
      g({x, y}, matmul(y, tanh(x)), {.device = gpu()});
  const Array value = zeros({512, 512}).to(gpu()), rows = zeros({2, 512}).to(gpu());
  (void)f(value, rows), (void)f(value, rows);
  const auto used = fake_cuda().counts().used;
  (void)g(value, rows), (void)g(value, rows);
  CHECK(fake_cuda().counts().used - used < std::size_t{1} << 20);
}
