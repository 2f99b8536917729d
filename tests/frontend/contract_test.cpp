// What users may rely on of the public interface as a whole: calls as they are written, the lines
// of errors, names that are kept, sizes that are refused.
#include <doctest/doctest.h>

#include <chrono>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <string>

#include "thrown.h"
#include "weft/onnx.h"
#include "weft/weft.h"

using namespace weft;

namespace {

std::string here(int line) { return " (contract_test.cpp:" + std::to_string(line) + ")"; }

constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max();

std::string scratch(const std::string& name) {
  const std::filesystem::path folder = std::filesystem::temp_directory_path() / "weft_contract";
  std::filesystem::create_directories(folder);
  return (folder / name).string();
}

}  // namespace

TEST_CASE("Contract: functions reduce along the lists that methods take") {
  const Tensor x(arange(6.f).reshape({2, 3}));
  CHECK(array_equal(sum(x, {0}).value(), x.sum({0}).value()));
  enum { batch, channel };
  CHECK(array_equal(sum(x, {batch, channel}).value(), x.sum({0, 1}).value()));
  CHECK(array_equal(x.sum(channel).value(), x.sum(1).value()));
  CHECK(array_equal(sum(x, 0).value(), x.sum(0).value()));
  CHECK(array_equal(sum(x, {{0}}).value(), Array{3.f, 5.f, 7.f}));
  CHECK(sum(x, {0, 1}).value().item<float>() == 15);
  CHECK(sum(x, {{0, 1}}).value().item<float>() == 15);
  CHECK(sum(x, std::optional(Axes{0, 1})).value().item<float>() == 15);
  CHECK(sum(x, {}).value().item<float>() == 15);
  CHECK(sum(x, std::nullopt).value().item<float>() == 15);
  CHECK(sum(x, Axes{}).value().shape() == Shape{2, 3});
  CHECK(mean(x, {-1}, true).value().shape() == Shape{2, 1});
  CHECK(array_equal(max(x, {0}).value(), Array{3.f, 4.f, 5.f}));
  CHECK(array_equal(x.max({0, 1}, true).value(), Array{{5.f}}));
  CHECK(array_equal(min(x, 1).value(), x.min(1).value()));
  CHECK(prod(x, {-2}).value().shape() == Shape{3});
  CHECK(any(x > 4, {1}).value().shape() == Shape{2});
  CHECK(var(x, {0}, 0).value().shape() == Shape{3});
  CHECK(weft::std(x, {0, 1}).value().shape().empty());
  CHECK(logsumexp(x, {1}, true).value().shape() == Shape{2, 1});
  CHECK(nansum(x, {0}).value().shape() == Shape{3});
  CHECK(norm(x, 2, {0}).value().shape() == Shape{3});
  CHECK(count_nonzero(x, {0}).value().shape() == Shape{3});
  CHECK(var_mean(x, {0}).mean.value().shape() == Shape{3});
  CHECK(fftshift(x, {0}).value().shape() == Shape{2, 3});
}

TEST_CASE("Contract: einsum of a list of one, two or three") {
  const Tensor a(eye(2)), b(ones({2, 2}));
  CHECK(array_equal(einsum("ii->i", {a}).value(), ones({2})));
  CHECK(array_equal(einsum("ii->i", a).value(), ones({2})));
  CHECK(array_equal(einsum("ij,jk->ik", {a, b}).value(), ones({2, 2})));
  CHECK(array_equal(einsum("ij,jk,kl", {a, a, b}).value(), ones({2, 2})));
  CHECK(array_equal(einsum("ij,jk->ik", a, b).value(), ones({2, 2})));
  const std::vector<Tensor> both{a, b};
  CHECK(array_equal(einsum("ij,jk->ik", both).value(), ones({2, 2})));
  CHECK(contains(message<ShapeError>([&] { (void)einsum("iij", {a}); }), here(__LINE__)));
}

namespace {
struct TwoLayers : nn::Module {
  std::shared_ptr<nn::Linear> inner =
      register_module("inner", std::make_shared<nn::Linear>(4, 5));
  Tensor forward(const Tensor& x) override {
    return (*inner)(x) * 2.0;  // the line of what does not fit
  }
  static constexpr int line = __LINE__ - 2;
};
struct Residual : nn::Sequential {
  Residual() : Sequential(nn::Linear(3, 3), nn::ReLU()) {}
  Tensor forward(const Tensor& x) override { return x + Sequential::forward(x); }
};
}  // namespace

TEST_CASE("Contract: errors in modules are on the user's line") {
  const Tensor a({2, 3}, DType::float32, "a"), image({1, 3, 8, 8}, DType::float32, "image");
  const auto thrown = [](auto&& f) { return message<ShapeError>(f); };
  nn::Linear linear(4, 5);
  CHECK(thrown([&] { (void)linear(a); }).ends_with(here(__LINE__)));
  CHECK(thrown([&] { (void)nn::Conv2d(4, 2, 3)(image); }).ends_with(here(__LINE__)));
  CHECK(thrown([&] { (void)nn::Conv2d(3, 2, 9)(image); }).ends_with(here(__LINE__)));
  CHECK(thrown([&] { (void)nn::MaxPool2d(2)(a[0]); }).ends_with(here(__LINE__)));
  CHECK(thrown([&] { (void)nn::LayerNorm(4)(a); }).ends_with(here(__LINE__)));
  CHECK(thrown([&] { (void)nn::Softmax(7)(a); }).ends_with(here(__LINE__)));
  CHECK(message<DTypeError>([&] { (void)nn::Embedding(4, 2)(a); }).ends_with(here(__LINE__)));
  nn::Sequential chain(nn::Linear(3, 4), nn::ReLU(), nn::Linear(5, 2));
  CHECK(thrown([&] { (void)chain(a); }).ends_with(here(__LINE__)));
  TwoLayers two;  // a user's own module has lines of its own
  CHECK(thrown([&] { (void)two(a); }).ends_with(here(TwoLayers::line)));
  nn::Sequential around(nn::Identity{}, TwoLayers{});
  CHECK(thrown([&] { (void)around(a); }).ends_with(here(TwoLayers::line)));
  const Tensor late({2, 7}, DType::float32, "late");
  const int made = __LINE__ - 1;  // called as a plain function, a layer knows its operand's
  CHECK(thrown([&] { (void)linear.forward(late); }).ends_with(here(made)));
}

TEST_CASE("Contract: a layer may be built upon, and takes arrays") {
  Residual block;
  const Array x = randn({2, 3});
  CHECK(block(x).value().shape() == Shape{2, 3});
  nn::Linear linear(3, 3);
  CHECK(allclose(linear(x).value(), linear.forward(Tensor(x)).value()));
}

TEST_CASE("Contract: functional forms of modules are on the user's line") {
  const Tensor x({2, 3}, DType::float32), w({5, 4}, DType::float32), b({6}, DType::float32);
  const Tensor fits({5, 3}, DType::float32);
  const auto thrown = [](auto&& f) { return message<ShapeError>(f); };
  CHECK(thrown([&] { (void)nn::linear(x, w, b); }).ends_with(here(__LINE__)));
  CHECK(thrown([&] { (void)nn::linear(x, fits, b); }).ends_with(here(__LINE__)));
  CHECK(thrown([&] { (void)nn::layer_norm(x, b, b); }).ends_with(here(__LINE__)));
  CHECK(message<DTypeError>([&] { (void)nn::embedding(x, w); }).ends_with(here(__LINE__)));
}

TEST_CASE("Contract: a call of what modules built names the line that called them") {
  Tensor x;
  nn::Sequential net(nn::Linear(3, 4), nn::ReLU());
  const Function f({x}, net(x));
  const int line = __LINE__ - 1;
  CHECK(message<ShapeError>([&] { f(ones({2, 5})); }).ends_with(here(line)));
}

TEST_CASE("Contract: a loaded function names the line that loaded it") {
  const Tensor x({2, 3}, DType::float32, "x");
  const std::string path = scratch("loaded.weft");
  Function({x}, x + 1).save(path);
  const Function f = Function::load(path);
  const int line = __LINE__ - 1;
  CHECK(message<ShapeError>([&] { f(ones({2, 4})); }).ends_with(here(line)));
}

TEST_CASE("Contract: a function of what is computed is saved, and takes it as an input") {
  const std::string path = scratch("computed.weft");
  Tensor x({2}, DType::float64, "x");
  const Tensor twice = x * 2, result = twice + x;
  const Variable w(Array{1.0, 1.0});
  Function({twice, x}, {result + w, twice}).save(path);
  const Function f = Function::load(path);
  const std::vector<Array> found = f(Array{10.0, 20.0}, Array{1.0, 2.0});
  CHECK(array_equal(found[0], Array{12.0, 23.0}));
  CHECK(array_equal(found[1], Array{10.0, 20.0}));
  const CustomOp called{
      .infer = [](std::span<const TensorType> t) { return std::vector(t.begin(), t.end()); },
      .forward = [](std::span<const Array> a) { return std::vector(a.begin(), a.end()); }};
  const Tensor above = custom_op("called", called)({x})[0];
  Function({above}, above + 1).save(path);  // the callback is no part of it
  CHECK(array_equal(Function::load(path)(Array{1.0, 2.0})[0], Array{2.0, 3.0}));
}

TEST_CASE("Contract: names go to ONNX and come back") {
  const Tensor x({dim("N"), 4}, DType::float32, "image"), z({4}, DType::float32, "image");
  Tensor y = relu(x) + z;
  y.name("score");
  const std::string path = scratch("names.onnx");
  for (int round = 0; round < 2; ++round) {
    if (round == 0) {
      onnx::save(path, {x}, {(relu(x) * 2.0).name("score"), x + 1.0, x - 1.0});
    } else {
      const onnx::Model model = onnx::load(path);
      onnx::save(path, model.function);
    }
    const onnx::Model model = onnx::load(path);
    CHECK(model.input_names == std::vector<std::string>{"image"});
    REQUIRE(model.output_names.size() == 3);
    CHECK(model.output_names[0] == "score");
    CHECK(model.output_names[1] == "output");
    CHECK(array_equal(model.function(full({2, 4}, 3.f))[0], full({2, 4}, 6.f)));
  }
  onnx::save(path, {x, z}, {y, x});
  const onnx::Model both = onnx::load(path);
  CHECK(both.input_names[0] == "image");
  CHECK(both.input_names[1] != "image");
  CHECK(both.output_names[0] == "score");
  CHECK(both.output_names[1] != "image");
}

TEST_CASE("Contract: what ONNX cannot say is named, with its line") {
  const Tensor x({dim("N"), dim("N")}, DType::float32, "x");
  const Tensor lower = tril(x);
  const int line = __LINE__ - 1;
  const std::string said =
      message<UnsupportedOp>([&] { onnx::save(scratch("tril.onnx"), {x}, {lower}); });
  CHECK(contains(said, "tril"));
  CHECK(said.ends_with(here(line)));
  const Tensor last = x[-1];
  const int picked = __LINE__ - 1;
  CHECK(message<UnsupportedOp>([&] {
          onnx::save(scratch("last.onnx"), {x}, {last});
        }).ends_with(here(picked)));
}

TEST_CASE("Contract: dampened momentum begins with the whole gradient") {
  const auto descend = [](DType dtype, bool own_step) {
    Variable w(Array{1.0, -2.0}.to(dtype), "w");
    w.requires_grad(true);
    optim::SGD sgd({w}, {.lr = 0.05, .momentum = 0.9, .dampening = 0.5});
    const auto loss = [&] { return w[0] * w[0] + 3.0 * w[1] * w[1]; };
    const Function step({}, loss(), {.updates = sgd.updates(loss())});
    for (int i = 0; i < 7; ++i) {
      if (!own_step) {
        step({});
        continue;
      }
      sgd.zero_grad();
      loss().backward();
      sgd.step();
    }
    return w.value();
  };
  double w[2] = {1, -2}, momentum[2] = {};
  for (int i = 0; i < 7; ++i) {
    const double gradient[2] = {2 * w[0], 6 * w[1]};
    for (int k = 0; k < 2; ++k) {
      momentum[k] = i == 0 ? gradient[k] : 0.9 * momentum[k] + 0.5 * gradient[k];
      w[k] -= 0.05 * momentum[k];
    }
  }
  CHECK(w[0] == doctest::Approx(-0.0797).epsilon(1e-3));
  const Array expected{w[0], w[1]};
  CHECK(allclose(descend(DType::float32, false), expected, 1e-5, 1e-6));
  CHECK(allclose(descend(DType::float32, true), expected, 1e-5, 1e-6));
  CHECK(allclose(descend(DType::float64, false), expected, 1e-13, 1e-14));
  CHECK(allclose(descend(DType::float64, true), expected, 1e-13, 1e-14));
}

TEST_CASE("Contract: the learning rate is as wide as the parameters") {
  const Variable wide(Array{1.0}, "wide"), narrow(Array{1.f}, "narrow");
  optim::SGD sgd({narrow, wide}, {.lr = 0.1});
  CHECK(sgd.learning_rate() == 0.1);
  const std::vector<Tensor> ones_like_each{Tensor(Array{1.f}), Tensor(Array{1.0})};
  const Function step({}, std::vector<Tensor>{}, {.updates = sgd.updates(ones_like_each)});
  step({});
  CHECK(wide.item<double>() == 1.0 - 0.1);
  CHECK(narrow.item<float>() == 1.f - 0.1f);
  CHECK(narrow.dtype() == DType::float32);
  const Variable other(Array{1.0}, "other");
  optim::Adam adam({other}, {.lr = 0.1});
  const Function adapt({}, std::vector<Tensor>{},
                       {.updates = adam.updates(std::vector<Tensor>{Tensor(Array{2.0})})});
  adapt({});
  CHECK(other.item<double>() == doctest::Approx(1 - 0.1 * 2 / (2 + 1e-8)).epsilon(1e-14));
}

TEST_CASE("Contract: dtypes that cannot hold what is asked") {
  CHECK(contains(message<DTypeError>([] { set_default_dtype(DType::int32); }), "int32"));
  CHECK_THROWS_AS(set_default_dtype(DType::complex64), DTypeError);
  CHECK(default_dtype() == DType::float32);
  CHECK(contains(message<DTypeError>([] { (void)randint(0, 1000, {8}, DType::int8); }), "int8"));
  CHECK_THROWS_AS(randint(-1, 2, {8}, DType::uint8), DTypeError);
  CHECK_THROWS_AS(randint(0, 3, {8}, DType::boolean), DTypeError);
  CHECK(randint(-128, 128, {8}, DType::int8).dtype() == DType::int8);
  CHECK(randint(0, 2, {8}, DType::boolean).dtype() == DType::boolean);
  CHECK(randint(0, 256, {8}, DType::uint8).dtype() == DType::uint8);
  CHECK_THROWS_AS(randint_like(Tensor(zeros({2}, DType::int8)), 0, 1000), DTypeError);
}

TEST_CASE("Contract: declared extents are held") {
  const Dim n = dim("N");
  const Tensor x({n, 2}, DType::float32, "x"), y({n * 2 + 1, 3}, DType::float32, "y");
  const Function both({x, y}, {x + 1, y + 1}), alone({y}, y + 1);
  const int line = __LINE__ - 1;
  CHECK(both(ones({2, 2}), ones({5, 3}))[1].shape() == Shape{5, 3});
  const std::string said = message<ShapeError>([&] { both(ones({2, 2}), ones({6, 3})); });
  CHECK(said == "inputs 0 and 1: 2*N+1 cannot be 6 where N is 2" + here(line));
  CHECK(alone(ones({7, 3}))[0].shape() == Shape{7, 3});
  CHECK(contains(message<ShapeError>([&] { alone(ones({4, 3})); }), "2*N+1 cannot be 4"));
  CHECK_THROWS_AS(alone(ones({0, 3})), ShapeError);
  const Tensor half({floordiv(n, Dim(2))}, DType::float32, "half");
  const Function halved({half, x}, {half + 1, x + 1});  // told by what comes behind it
  CHECK(halved(ones({2}), ones({5, 2}))[0].shape() == Shape{2});
  CHECK_THROWS_AS(halved(ones({3}), ones({5, 2})), ShapeError);
  const Tensor left({n + 1}, DType::float32), right({n * 3}, DType::float32);
  const Function linear({left, right}, {left + 1, right + 1});
  CHECK(linear(ones({3}), ones({6}))[1].shape() == Shape{6});
  CHECK_THROWS_AS(linear(ones({3}), ones({9})), ShapeError);
  const Function same({x, Tensor({n}, DType::float32)}, x + 1);
  CHECK(message<ShapeError>([&] { same(ones({2, 2}), ones({3})); }) ==
        "inputs 0 and 1: N cannot be both 2 and 3" + here(__LINE__ - 2));
}

TEST_CASE("Contract: a negative extent is refused where it is declared") {
  CHECK(message<ShapeError>([] { Tensor t({-2, 3}, DType::float32); }).ends_with(here(__LINE__)));
  CHECK(message<ShapeError>([] { Tensor t({-2, 3}, "t"); }).ends_with(here(__LINE__)));
}

TEST_CASE("Contract: what cannot be held is refused at once") {
  const auto start = std::chrono::steady_clock::now();
  const Tensor x(arange(6).reshape({2, 3})), im(ones({1, 1, 4, 4}));
  CHECK(contains(message<Error>([&] { (void)tile(x, {1LL << 40, 1LL << 10}).value(); }),
                 "out of memory"));
  CHECK(diff(x, most).value().shape() == Shape{2, 0});
  CHECK(array_equal(diff(x, 2).value(), Array{{0}, {0}}));
  CHECK_THROWS_AS((void)interpolate(im, {most, 1}).value(), Error);
  CHECK(contains(message<Error>([&] { (void)interpolate(im, {1 << 30, 1 << 30}).value(); }),
                 "out of memory"));
  CHECK(contains(message<Error>([&] { (void)combinations(Tensor(ones({100})), 50); }),
                 "out of memory"));
  CHECK(combinations(Tensor(ones({3})), most).value().shape() == Shape{0, most});
  CHECK_THROWS_AS(combinations(Tensor(ones({3})), most, true), Error);
  CHECK(combinations(Tensor(ones({5})), 3).value().shape() == Shape{10, 3});
  CHECK(combinations(Tensor(ones({3})), 2, true).value().shape() == Shape{6, 2});
  CHECK(combinations(Tensor(ones({3})), 0).value().shape() == Shape{1, 0});
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(20));
}

TEST_CASE("Contract: windows wider than the channels cost no more than these") {
  const Tensor x(randn({2, 3, 2}));
  const Array wide = local_response_norm(x, 1000, 0.5, 0.75, 2).value();
  const Array all = (x / pow(sum(x * x, {1}, true) * (0.5 / 1000) + 2.0, 0.75)).value();
  CHECK(allclose(wide, all, 1e-6, 1e-7));
  CHECK(local_response_norm(x, most).value().shape() == Shape{2, 3, 2});
}

TEST_CASE("Contract: messages name what was asked") {
  const Tensor a({2, 3}, DType::float32), b({4}, DType::float32), c({4, 3}, DType::float32);
  const auto thrown = [](auto&& f) { return message<ShapeError>(f); };
  CHECK(thrown([&] { (void)stack({a, b}); }) ==
        "stack of float32(2, 3) and float32(4,): the shapes must be equal" + here(__LINE__ - 1));
  CHECK(thrown([&] { (void)mv(a, b); }) ==
        "mv of float32(2, 3) and float32(4,): the summed extents must agree, but are 3 and 4" +
            here(__LINE__ - 2));
  CHECK(thrown([&] { (void)a.mv(b); }).starts_with("mv of float32(2, 3) and float32(4,)"));
  CHECK(thrown([&] { (void)a.mv(a); }).ends_with(here(__LINE__)));
  CHECK(thrown([&] { (void)mm(a, a); }).starts_with("mm of float32(2, 3) and float32(2, 3)"));
  CHECK(thrown([&] { (void)nn::linear(a, b.reshape({1, 4})); })
            .starts_with("linear of float32(2, 3) and float32(1, 4): the summed extents"));
  const Tensor image({1, 3, 8, 8}, DType::float32), kernel({2, 3, 3, 3}, DType::float32);
  const Tensor bias({3}, DType::float32);
  CHECK(thrown([&] { (void)conv2d(image, kernel, bias); }) ==
        "conv2d of float32(3,): a bias has one element a channel, of which there are 2" +
            here(__LINE__ - 2));
  CHECK(thrown([&] { (void)lstsq(a, c); }).starts_with("lstsq of float32(2, 3) and float32(4, 3)"));
  CHECK(message<DTypeError>([&] { (void)index_add(a, 0, b, a); })
            .starts_with("index_add of float32(2, 3) and float32(4,)"));
}

TEST_CASE("Contract: a call that fails leaves the arrays that it was to fill") {
  const Tensor x({3}, DType::float32), at({1}, DType::int64);
  const Tensor twice = x * 2.0;
  const Function f({x, at}, {twice, cumsum(twice, 0), twice[at]});
  std::vector<Array> out{full({3}, 9.f), full({2}, 9.f), full({1}, 9.f)};  // one does not fit
  const void* const place = out[0].data<float>();
  const Array values{1.f, 2.f, 3.f};
  const std::vector<Array> wrong{values, Array{7}}, right{values, Array{2}};
  CHECK_THROWS_AS(f.call_into(out, wrong), IndexError);
  CHECK(out[0].tolist<float>() == std::vector<float>{9, 9, 9});
  CHECK(out[1].tolist<float>() == std::vector<float>{9, 9});
  CHECK(out[2].tolist<float>() == std::vector<float>{9});
  f.call_into(out, right);
  CHECK(out[0].tolist<float>() == std::vector<float>{2, 4, 6});
  CHECK(out[1].tolist<float>() == std::vector<float>{2, 6, 12});
  CHECK(out[2].tolist<float>() == std::vector<float>{6});
  CHECK(out[0].data<float>() == place);  // which is where the caller wants it
}
