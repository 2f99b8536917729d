// The public contract, claim by claim in its own order: that every name is declared, takes what it
// is said to take, and does what it is said to do, in short. What stands behind the claims has
// tests of its own.
#include <doctest/doctest.h>

#include <complex>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <sstream>
#include <string>
#include <type_traits>

#include "tests/folder.h"
#include "weft/onnx.h"
#include "weft/weft.h"

using namespace weft;

namespace {

double number(const Tensor& t) { return t.value().item<double>(); }

template <class E, class F> std::string message(F&& f) {
  try {
    f();
  } catch (const E& e) { return e.what(); }
  return "nothing thrown";
}

/// Whether the message ends with this file's line `line`.
bool names_line(const std::string& text, int line) {
  return text.find("api_test.cpp:" + std::to_string(line)) != std::string::npos;
}

}  // namespace

// ---- values -------------------------------------------------------------------------------------

TEST_CASE("API: dtypes") {
  using enum DType;
  for (const DType t : {boolean, uint8, int8, int16, int32, int64, uint16, uint32, uint64, float16,
                        bfloat16, float32, float64, complex64, complex128})
    CHECK(zeros({2}, t).dtype() == t);
  CHECK(Array(weft::float16(1.5f)).dtype() == float16);
  CHECK(Array(weft::bfloat16(1.5f)).dtype() == bfloat16);
  CHECK(Array(std::complex<float>(1, 2)).dtype() == complex64);
  CHECK(Array(std::complex<double>(1, 2)).dtype() == complex128);
  CHECK(promote(int32, float16) == float16);
  CHECK(promote(uint8, int8) == int16);

  const Tensor i(Array{1, 2}), f(Array{1.f, 2.f});
  CHECK((i + 0.5).dtype() == float32);
  CHECK((i / 2).dtype() == float32);
  CHECK((f + 0.1).dtype() == float32);
  CHECK((f + Array(0.1)).dtype() == float64);  // rank never matters
  set_default_dtype(float64);
  CHECK((i / 2).dtype() == float64);
  CHECK(zeros({1}).dtype() == float64);
  set_default_dtype(float32);
}

TEST_CASE("API: arrays from lists and scalars") {
  Array x{{1.f, 2.f}, {3.f, 4.f}};
  CHECK(x.shape() == Shape{2, 2});
  Array s = 5;
  CHECK(s.dtype() == DType::int64);
  CHECK(s.ndim() == 0);
  CHECK(Array(5).ndim() == 0);
  CHECK(Array(5.0).dtype() == DType::float64);
  CHECK(Array(5.f).dtype() == DType::float32);
  CHECK(Array(true).dtype() == DType::boolean);
  CHECK(Array{short{1}, short{2}}.dtype() == DType::int64);
  CHECK(Array{5}.shape() == Shape{1});
  CHECK(Array{{{1, 2}}, {{3, 4}}}.shape() == Shape{2, 1, 2});
  CHECK(Array{{{{1.0}}}, {{{2.0}}}}.shape() == Shape{2, 1, 1, 1});
  CHECK_THROWS_AS((Array{{1, 2}, {3}}), ShapeError);
  static_assert(!std::is_constructible_v<Array, std::initializer_list<Array>>);
}

TEST_CASE("API: what an array answers") {
  std::vector<float> v{1, 2, 3, 4, 5, 6};
  const Array y = Array::from(std::span<const float>(v), {2, 3});
  const Array b = Array::borrow(v.data(), {3, 2});
  const auto owner = std::make_shared<std::vector<float>>(v);
  const Array kept = Array::borrow(owner->data(), {6}, owner);
  CHECK(owner.use_count() == 2);
  v[0] = 9;
  CHECK(y.data<float>()[0] == 1);
  CHECK(b.data<float>()[0] == 9);

  CHECK(y.shape() == Shape{2, 3});
  CHECK(y.strides() == Shape{3, 1});
  CHECK(y.dtype() == DType::float32);
  CHECK(y.device() == Device::cpu());
  CHECK(y.size() == 6);
  CHECK(y.ndim() == 2);
  CHECK(y.nbytes() == 24);
  CHECK(y.reshape({3, -1}).shape() == Shape{3, 2});
  CHECK(y.to(DType::int32).dtype() == DType::int32);
  CHECK(y.to(Device::cpu()).device().is_cpu());
  CHECK(y.contiguous().is_contiguous());
  CHECK(y.tolist<int>() == std::vector{1, 2, 3, 4, 5, 6});
  CHECK_THROWS_AS((void)y.data<double>(), DTypeError);
  Array shared = y;
  shared.mutable_data<float>()[0] = 7;
  CHECK(y.data<float>()[0] == 1);
  CHECK(Array(3).item<double>() == 3);
  CHECK(reinterpret_cast<std::uintptr_t>(y.bytes()) % 64 == 0);

  CHECK(allclose(y, y.to(DType::float64), 1e-6, 1e-6));
  CHECK(array_equal(y, y.to(DType::float64)));
  CHECK_FALSE(allclose(y, y.reshape({6})));
  CHECK_FALSE(array_equal(y, y.reshape({6})));
  std::ostringstream out;
  out << y << arange(2000);
  CHECK(out.str() == "[[1. 2. 3.]\n [4. 5. 6.]][   0    1    2 ... 1997 1998 1999]");
}

TEST_CASE("API: filling; a dtype is the last argument") {
  CHECK(zeros({2, 3, 4}).shape() == Shape{2, 3, 4});
  CHECK(ones({2}, DType::int8).dtype() == DType::int8);
  CHECK(full({2}, 7).dtype() == DType::int64);
  CHECK(full({2}, 7, DType::float32).dtype() == DType::float32);
  CHECK(arange(5).size() == 5);
  CHECK(arange(1, 7, 2).tolist<int>() == std::vector{1, 3, 5});
  CHECK(arange(0, 1, 0.25, DType::float64).size() == 4);
  CHECK(range(1, 3).tolist<int>() == std::vector{1, 2, 3});
  CHECK(linspace(0, 1, 5).size() == 5);
  CHECK(eye(3, DType::float64).dtype() == DType::float64);
  manual_seed(3);
  const Array a = rand({4}), n = randn({4}), i = randint(0, 10, {4});
  manual_seed(3);
  CHECK(array_equal(rand({4}), a));
  CHECK(array_equal(randn({4}), n));
  CHECK(array_equal(randint(0, 10, {4}), i));
}

TEST_CASE("API: arrays in files and in other libraries' hands") {
  const Folder folder;
  const Array x{{1.f, 2.f}, {3.f, 4.f}};
  save_npy(folder / "x.npy", x);
  CHECK(array_equal(load_npy(folder / "x.npy"), x));
  save_npz(folder / "x.npz", {{"x", x}});
  CHECK(array_equal(load_npz(folder / "x.npz").at("x"), x));
  save_safetensors(folder / "x.safetensors", {{"x", x}});
  CHECK(array_equal(load_safetensors(folder / "x.safetensors").at("x"), x));
  CHECK(array_equal(from_dlpack(to_dlpack(x)), x));
  CHECK_THROWS_AS(load_npy(folder / "none.npy"), IoError);
}

// ---- graphs -------------------------------------------------------------------------------------

TEST_CASE("API: tensors") {
  Tensor a, named("a"), typed({2, dim("N")}, DType::float32, "x"), shaped({2, 3}, "y");
  CHECK(named.name() == "a");
  CHECK(typed.name() == "x");
  CHECK_THROWS_AS((void)a.dtype(), DTypeError);
  Tensor scalar = 2.5, constant = Array{1, 2};
  CHECK(scalar.dtype() == DType::float64);
  Variable v(zeros({2}), "v");
  Tensor leaf(Array{1.f}, {.requires_grad = true});
  CHECK(leaf.requires_grad());
  static_assert(!std::is_assignable_v<Variable&, Tensor>);

  Tensor b;
  Tensor c = a + 0.2 + b * 0.3;
  Function f({a, b}, c), both({a, b}, {c, a});
  const Array x = zeros({2, 3, 4}), y = ones({3, 4});
  std::vector<Array> out = f({x, y});
  CHECK(allclose(out[0], full({2, 3, 4}, 0.5f)));
  CHECK(array_equal(f(x, y)[0], out[0]));
  CHECK(array_equal(f(std::vector<Array>{x, y})[0], out[0]));
  CHECK(both(x, y).size() == 2);
  CHECK(f.stats().compilations == 1);
  CHECK_FALSE(a.has_value());  // a call is pure
}

TEST_CASE("API: operators") {
  Tensor a(Array{1.0, 2.0, 3.0});
  CHECK(array_equal((a > 1).value(), Array{false, true, true}));
  CHECK((a == a).dtype() == DType::boolean);
  for (const Tensor& t : {a + a, a - 1, 2 * a, a / 2, a % 2, -a, +a, a + Array{1, 2, 3}})
    CHECK(t.shape() == Shape{3});
  const Tensor i(Array{1, 2}), m = i > 1;
  CHECK(array_equal((i & 1).value(), Array{1, 0}));
  CHECK(array_equal(((i | 4) ^ 1).value(), Array{4, 7}));
  CHECK(array_equal((~i).value(), Array{-2, -3}));
  CHECK(array_equal((!m).value(), Array{true, false}));
  CHECK((a + float16(1.f)).dtype() == DType::float64);
  CHECK((a + bfloat16(1.f)).dtype() == DType::float64);

  Variable n(0);
  Tensor steps = n;
  int turns = 0;
  while (steps < 3) {
    steps += 1;
    ++turns;
  }
  CHECK(turns == 3);
  CHECK(number(n) == 0);  // the handle is rebound
  if (a[0] == 1) ++turns;
  CHECK(turns == 4);
  CHECK_THROWS_AS((void)static_cast<bool>(a), ShapeError);
}

template <class V>
concept CanAddTo = requires(V v) {
  v += 1;
};
static_assert(CanAddTo<Tensor&> && !CanAddTo<Variable&>);

TEST_CASE("API: indexing") {
  Tensor x(arange(12).reshape({3, 4}));
  CHECK(array_equal(x[0].value(), Array{0, 1, 2, 3}));
  CHECK(array_equal(x[-1].value(), Array{8, 9, 10, 11}));
  CHECK(x[{0, Slice(1, 3), ellipsis, newaxis}].shape() == Shape{2, 1});
  CHECK(array_equal(x[{Slice(none, none, -1), 0}].value(), Array{8, 4, 0}));
  CHECK(array_equal(x[{ellipsis, Slice(-2, none)}].value(), Array{{2, 3}, {6, 7}, {10, 11}}));
  CHECK(array_equal(x[Slice(1, 2)].value(), Array{{4, 5, 6, 7}}));
  Tensor rows(Array{2, 0});
  CHECK(array_equal(x[rows].value(), Array{{8, 9, 10, 11}, {0, 1, 2, 3}}));
  CHECK(array_equal(x[Array{1}].value(), Array{{4, 5, 6, 7}}));
  Tensor i(1);
  CHECK(array_equal(x[Slice(none, i)].value(), Array{{0, 1, 2, 3}}));
  CHECK(array_equal(x[x > 5].value(), Array{6, 7, 8, 9, 10, 11}));
  CHECK(names_line(message<IndexError>([&] { (void)x[3]; }), __LINE__));
  CHECK(names_line(message<IndexError>([&] { (void)x[{0, 4}]; }), __LINE__));

  CHECK(array_equal(x.at(0).set(9)[0].value(), Array{9, 9, 9, 9}));
  CHECK(array_equal(x.at({1, Slice(0, 2)}).add(100)[1].value(), Array{104, 105, 6, 7}));
  CHECK(array_equal(x[0].value(), Array{0, 1, 2, 3}));
  CHECK(array_equal(x.at(rows).set(0).value(), Array{{0, 0, 0, 0}, {4, 5, 6, 7}, {0, 0, 0, 0}}));
  Variable w(Array{1.0, 2.0}), u(5.0);
  const auto g = grad(sum(w.at(0).set(u)), {w, u});
  CHECK(array_equal(g[0].value(), Array{0.0, 1.0}));
  CHECK(number(g[1]) == 1);
}

TEST_CASE("API: operations as functions and as methods") {
  Tensor x(Array{{1.f, 5.f}, {4.f, 2.f}}), v(Array{1.f, 2.f});
  CHECK(array_equal(weft::tanh(x).value(), tanh(x).value()));
  CHECK(x.sum({0}, true).shape() == Shape{1, 2});
  CHECK(number(x.sum()) == 12);
  CHECK(x.reshape({4, -1}).shape() == Shape{4, 1});
  CHECK(x.view(4).shape() == Shape{4});
  CHECK(x.view({1, 4}).shape() == Shape{1, 4});
  CHECK(x.t().shape() == Shape{2, 2});
  CHECK(x.mm(x).shape() == Shape{2, 2});
  CHECK(x.mv(v).shape() == Shape{2});
  CHECK(number(v.dot(v)) == 5);
  CHECK(number(x.mean()) == 3);
  CHECK(number(max(x)) == 5);
  CHECK(array_equal(maximum(x, 3).value(), Array{{3.f, 5.f}, {4.f, 3.f}}));

  const Array tie{2.0, 2.0};
  Variable t(tie);
  const auto gradient = [&](const Tensor& y) { return grad(sum(y), {t})[0].value(); };
  CHECK(array_equal(gradient(max(t)), Array{1.0, 0.0}));
  CHECK(array_equal(gradient(min(t)), Array{1.0, 0.0}));
  CHECK(array_equal(gradient(amax(t)), Array{0.5, 0.5}));
  CHECK(array_equal(gradient(amin(t)), Array{0.5, 0.5}));
  CHECK(array_equal(gradient(maximum(t, tie)), Array{0.5, 0.5}));
  CHECK(array_equal(gradient(minimum(t, tie)), Array{0.5, 0.5}));

  Tensor like;
  const Function draw({like}, {rand_like(like), dropout(like, 0.5)});
  CHECK_FALSE(array_equal(draw(ones({50}))[0], draw(ones({50}))[0]));
}

// ---- evaluation ---------------------------------------------------------------------------------

TEST_CASE("API: values that follow") {
  const std::int64_t alive = live_objects();
  {
    Tensor a("a"), b("b"), c("c");
    Tensor d = a + b * c;
    CHECK_FALSE(d.has_value());
    CHECK(message<UnsetInput>([&] { (void)d.value(); }).find("a, b and c") != std::string::npos);
    a.set_value(5);
    b.set_value(3);
    c.set_value(2);
    CHECK(d.value().item<double>() == 11);
    c.set_value(4);
    CHECK(d.value().item<double>() == 17);
    CHECK(live_objects() > alive);
    CHECK_THROWS_AS(d.set_value(1), Error);
    std::vector<double> seen;
    [[maybe_unused]] auto s =
        d.on_change([&](const Array& v) { seen.push_back(v.item<double>()); });
    {
      Transaction t;
      a.set_value(1);
      b.set_value(2);
      CHECK(number(d) == 17);
    }
    CHECK(seen == std::vector<double>{9});
    {
      Transaction t;
      a.set_value(0);
      t.commit();
    }
    CHECK(seen == std::vector<double>{9, 8});
    ScopedEvalMode lazy(EvalMode::lazy);
    a.set_value(1);
    CHECK(seen.size() == 2);
    CHECK(number(d) == 9);
    static_assert(!noexcept(std::declval<Transaction&>().~Transaction()));
  }
  CHECK(live_objects() == alive);
  Variable part(zeros({10, 2}));
  part.set_value({Slice(0, 8)}, ones({8, 2}));
  CHECK(number(part.sum()) == 16);
}

// ---- gradients ----------------------------------------------------------------------------------

TEST_CASE("API: gradients") {
  Variable x(Array{1.0, 2.0}, "x");
  const Tensor loss = sum(x * x * x);
  const std::vector<Tensor> g = grad(loss, {x});
  CHECK(array_equal(g[0].value(), Array{3.0, 12.0}));
  CHECK(array_equal(grad(sum(g[0]), {x})[0].value(), Array{6.0, 12.0}));
  CHECK(array_equal(vjp({x * 2}, {x}, {Array{1.0, 10.0}})[0].value(), Array{2.0, 20.0}));
  CHECK(array_equal(jvp({x * x}, {x}, {Array{1.0, 10.0}})[0].value(), Array{2.0, 40.0}));
  CHECK(array_equal(jacobian(x * x, x).value(), Array{{2.0, 0.0}, {0.0, 4.0}}));
  CHECK(array_equal(hessian(loss, x).value(), Array{{6.0, 0.0}, {0.0, 12.0}}));
  CHECK(array_equal(grad(sum(x * stop_gradient(x)), {x})[0].value(), Array{1.0, 2.0}));
  CHECK(array_equal(grad(sum(x * x.detach()), {x})[0].value(), Array{1.0, 2.0}));

  x.requires_grad(true);
  Tensor y = sum(x * x), z = y * 2;
  y.backward(true);
  z.backward();
  CHECK(array_equal(x.grad().value(), Array{6.0, 12.0}));
  CHECK_THROWS_AS(z.backward(), GraphFreed);
  CHECK(number(z) == 10);  // the mark says nothing of values
  x.set_value(Array{1.0, 1.0});
  x.zero_grad();
  z.backward();
  CHECK(array_equal(x.grad().value(), Array{4.0, 4.0}));
  const NoGrad guard;
  CHECK_THROWS_AS(sum(x).backward(), Error);
}

TEST_CASE("API: a user's own operations") {
  const auto cube = custom_op("cube", CustomOp{.forward = [](std::span<const Tensor> x) {
                                return std::vector<Tensor>{x[0] * x[0] * x[0]};
                              }});
  const auto host = custom_op(
      "host_square",
      CustomOp{
          .infer = [](std::span<const TensorType> t) { return std::vector(t.begin(), t.end()); },
          .forward =
              [](std::span<const Array> x) {
                Array y = x[0];
                double* data = y.mutable_data<double>();
                for (std::int64_t i = 0; i < y.size(); ++i) data[i] *= data[i];
                return std::vector<Array>{y};
              },
          .backward =
              [](std::span<const Tensor> x, std::span<const Tensor>, std::span<const Tensor> g) {
                return std::vector<Tensor>{2 * x[0] * g[0]};
              }});
  Variable x(Array{2.0, 3.0});
  CHECK(array_equal(cube({x})[0].value(), Array{8.0, 27.0}));
  CHECK(array_equal(grad(sum(cube({x})[0]), {x})[0].value(), Array{12.0, 27.0}));
  CHECK(array_equal(host({x})[0].value(), Array{4.0, 9.0}));
  CHECK(array_equal(grad(sum(host({x})[0]), {x})[0].value(), Array{4.0, 6.0}));
}

TEST_CASE("API: an unknown extent in a shape that is asked for") {
  const Tensor x({dim("N"), 2, 3}, DType::float64);
  const Tensor y = reshape(x, {dim("N"), 6}) * 2;
  const Function f({x}, std::vector<Tensor>{y, flatten(x, 1), grad(sum(y * y), {x})[0]});
  for (std::int64_t n : {1, 4, 5, 7, 9}) {
    const auto out = f(ones({n, 2, 3}, DType::float64));
    CHECK(out[0].shape() == Shape{n, 6});
    CHECK(out[1].shape() == Shape{n, 6});
    CHECK(array_equal(out[2], full({n, 2, 3}, 8.0)));
  }
}

TEST_CASE("API: control flow in the graph") {
  using List = std::vector<Tensor>;
  const GraphFn twice = [](std::span<const Tensor> x) { return List{x[0] * 2}; };
  const GraphFn negative = [](std::span<const Tensor> x) { return List{-x[0]}; };
  Variable x(Array{1.0, 2.0, 3.0}), p(true);
  const Tensor c = cond(p, twice, negative, {x})[0];
  CHECK(array_equal(c.value(), Array{2.0, 4.0, 6.0}));
  p.set_value(false);
  CHECK(array_equal(c.value(), Array{-1.0, -2.0, -3.0}));
  CHECK(array_equal(grad(sum(c), {x})[0].value(), Array{-1.0, -1.0, -1.0}));
  const GraphFn add = [](std::span<const Tensor> v) {
    Tensor total = v[0] + v[1];
    return List{total, total};
  };
  const List sums = scan(add, {Tensor(0.0)}, {x});
  CHECK(number(sums[0]) == 6);
  CHECK(array_equal(sums[1].value(), Array{1.0, 3.0, 6.0}));
  const List none_summed = scan(add, {Tensor(7.0)}, {Variable(zeros({0}, DType::float64))});
  REQUIRE(none_summed.size() == 2);
  CHECK(number(none_summed[0]) == 7);
  CHECK(none_summed[1].shape() == Shape{0});
  CHECK(none_summed[1].dtype() == DType::float64);
  const GraphFn rows = [](std::span<const Tensor> v) {
    return List{v[0], v[1] * 2, concatenate({v[1], v[1]}), v[1].sum() > 0};
  };
  const List none_made = scan(rows, {Tensor(7.0)}, {Tensor({0, 3}, DType::float32)});
  REQUIRE(none_made.size() == 4);
  CHECK(none_made[1].shape() == Shape{0, 3});
  CHECK(none_made[2].value().shape() == Shape{0, 6});
  CHECK(none_made[3].dtype() == DType::boolean);
  CHECK_THROWS_AS(scan(rows, {Tensor(7.0)}, {Tensor({0, dim("N")}, DType::float32)}), ShapeError);
  const GraphFn small = [](std::span<const Tensor> v) { return List{sum(v[0]) < 20}; };
  CHECK(array_equal(while_loop(small, twice, {x})[0].value(), Array{4.0, 8.0, 12.0}));
  const Tensor batch(Array{{1.0, 2.0}, {3.0, 4.0}});
  CHECK(array_equal(vmap(twice, {0}, {0})(std::vector{batch})[0].value(),
                    Array{{2.0, 4.0}, {6.0, 8.0}}));
  CHECK(array_equal(checkpoint(twice)(std::vector{batch})[0].value(),
                    Array{{2.0, 4.0}, {6.0, 8.0}}));
}

// ---- functions with state -----------------------------------------------------------------------

TEST_CASE("API: functions with state") {
  const Folder folder;
  Tensor x("x"), t("t");
  Variable w(Array{1.0, 1.0}, "w"), b(0.0, "b");
  const Tensor loss = mean(square(x * w + b - t));
  const auto g = grad(loss, {w, b});
  Function step({x, t}, loss,
                {.updates = {{w, w - 0.1 * g[0]}, {b, b - 0.1 * g[1]}},
                 .device = Device::cpu(),
                 .name = "step"});
  const Array xs{1.0, 2.0}, ts{2.0, 4.0};
  const double first = step(xs, ts)[0].item<double>();
  CHECK(step(xs, ts)[0].item<double>() < first);
  CHECK_FALSE(array_equal(w.value(), Array{1.0, 1.0}));
  if (Device::cuda_count() == 0) { CHECK_THROWS_AS(Device::cuda(0), DeviceError); }

  Function f({x}, x * w);
  std::vector<Array> outs{zeros({2}, DType::float64)}, ins{xs};
  const std::byte* memory = outs[0].bytes();
  f.call_into(std::span<Array>(outs), std::span<const Array>(ins));
  CHECK(outs[0].bytes() == memory);
  CHECK(array_equal(outs[0], f(xs)[0]));
  for (const Stage stage : {Stage::graph, Stage::optimized, Stage::kernels, Stage::native})
    CHECK_FALSE(f.ir(stage).empty());
  const FunctionStats stats = f.stats();
  CHECK(stats.calls == 2);
  CHECK(stats.cache_hits == 1);
  CHECK(stats.kernels == 1);
  CHECK(stats.compile_ms >= 0);
  CHECK(stats.bytes_planned >= 0);
  CHECK(stats.bytes_moved > 0);
  CHECK(stats.flops > 0);
  f.save(folder / "f.weft");
  CHECK(array_equal(Function::load(folder / "f.weft")(xs)[0], outs[0]));
  w.set_value(Array{3.0, 5.0});  // read live
  CHECK(array_equal(f(xs)[0], Array{3.0, 10.0}));
}

// ---- building blocks ----------------------------------------------------------------------------

namespace {

/// A module as a user writes one.
class TwoLayers : public nn::Module {
 public:
  TwoLayers()
      : first(register_module("first", std::make_shared<nn::Linear>(2, 8))),
        second(register_module("second", std::make_shared<nn::Linear>(8, 2))),
        scale(register_parameter("scale", ones({2}))) {}
  Tensor forward(const Tensor& x) override { return (*second)(relu((*first)(x))) * scale; }
  std::shared_ptr<nn::Linear> first, second;
  Tensor scale;
};

}  // namespace

TEST_CASE("API: modules, optimisers, data") {
  manual_seed(1);
  TwoLayers own;
  CHECK(own.named_parameters().size() == 5);
  own.eval();
  CHECK_FALSE(own.first->is_training());
  own.train();
  own.load_state_dict(own.state_dict());
  nn::Sequential model(nn::Linear(2, 8), nn::ReLU(), nn::Linear(8, 2));
  Tensor x("x"), t("t");
  CHECK(Function({x}, model(x))(ones({4, 2}))[0].shape() == Shape{4, 2});
  CHECK(number(nn::cross_entropy(zeros({1, 2}), Array{0})) == doctest::Approx(0.693147));
  optim::SGD sgd(model.parameters(), {.lr = 0.1});
  optim::Adam adam(own.parameters());
  optim::AdamW decayed(own.parameters(), {.lr = 1e-3});
  const Tensor loss = nn::cross_entropy(own(x), t);
  Function step({x, t}, loss, {.updates = adam.updates(loss)});
  CHECK(std::isfinite(step(ones({4, 2}), zeros({4}, DType::int64))[0].item<double>()));

  const data::Dataset set{randn({32, 2}), randint(0, 2, {32})};
  std::int64_t batches = 0;
  for (const data::Dataset& batch : data::DataLoader(set, {.batch_size = 8, .shuffle = true}))
    batches += batch.size() == 8;
  CHECK(batches == 4);
  const auto cross = [](const Tensor& y, const Tensor& z) { return nn::cross_entropy(y, z); };
  data::Trainer trainer(model, sgd, cross, {.epochs = 2, .batch_size = 8, .progress = false});
  CHECK(trainer.fit(set).size() == 2);
  CHECK_THROWS_AS(onnx::load("none.onnx"), IoError);
}

// ---- errors -------------------------------------------------------------------------------------

TEST_CASE("API: errors derive from Error and name the user's line") {
  static_assert(std::is_base_of_v<Error, ShapeError> && std::is_base_of_v<Error, DTypeError> &&
                std::is_base_of_v<Error, UnsetInput> && std::is_base_of_v<Error, GraphFreed> &&
                std::is_base_of_v<Error, IndexError> && std::is_base_of_v<Error, DeviceError> &&
                std::is_base_of_v<Error, ParseError> && std::is_base_of_v<Error, IoError> &&
                std::is_base_of_v<Error, UnsupportedOp> &&
                std::is_base_of_v<std::runtime_error, Error>);
  const Tensor a({2, 3}, "a"), b({4}, "b");
  const std::string text = message<ShapeError>([&] { (void)(a + b); });
  CHECK(names_line(text, __LINE__ - 1));
  CHECK(text.find("(2, 3)") != std::string::npos);
  CHECK(text.find("(4,)") != std::string::npos);
  CHECK(names_line(message<ShapeError>([&] { (void)a.mm(b); }), __LINE__));
  CHECK(names_line(message<ShapeError>([&] { (void)a.reshape({4, 2}); }), __LINE__));
}

TEST_CASE("expand keeps extents of -1; t leaves vectors as they are") {
  const Tensor x(Array{{1.f}, {2.f}});
  CHECK(array_equal(x.expand({-1, 2}).value(), Array{{1.f, 1.f}, {2.f, 2.f}}));
  CHECK(x.expand({3, -1, 4}).value().shape() == Shape{3, 2, 4});
  CHECK_THROWS_AS((void)x.expand({-1, 2, 1}), ShapeError);
  CHECK(array_equal(Tensor(Array{1.f, 2.f}).t().value(), Array{1.f, 2.f}));
  CHECK(Tensor(3.f).t().value().shape().empty());
}
