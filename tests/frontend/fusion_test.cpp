// How many kernels, and how many bytes through memory, the row operations that networks are made of
// take: each buffer that a kernel touches counts once.
#include <doctest/doctest.h>

#include "weft/weft.h"

using namespace weft;

namespace {

constexpr std::int64_t rows = 96, columns = 160;
constexpr std::int64_t matrix = rows * columns * 4, column = rows * 4, row = columns * 4;

/// Of the signature that these inputs have.
FunctionStats stats(const Function& f, const std::vector<Array>& inputs) {
  f(inputs);
  return f.stats();
}
FunctionStats stats(const std::vector<Tensor>& inputs, const std::vector<Tensor>& outputs,
                    const std::vector<Array>& values) {
  return stats(Function(inputs, outputs), values);
}

Array some() { return rand({rows, columns}, DType::float32); }
Array line() { return rand({columns}, DType::float32); }

}  // namespace

TEST_CASE("Fusion: softmax, alone and with its gradient, is one pass") {
  const Tensor x("x"), g("g");
  const Tensor y = softmax(x);
  const FunctionStats forward = stats({x}, {y}, {some()});
  CHECK(forward.kernels == 1);
  CHECK(forward.bytes_moved == 2 * matrix);
  const FunctionStats both = stats({x, g}, {y, vjp({y}, {x}, {g})[0]}, {some(), some()});
  CHECK(both.kernels == 1);
  CHECK(both.bytes_moved == 4 * matrix);
}

TEST_CASE("Fusion: layer norm is one pass, also with the residual sum that it is of") {
  const Tensor x("x"), r("r"), w("w"), b("b");
  const FunctionStats alone = stats({x, w, b}, {nn::layer_norm(x, w, b)}, {some(), line(), line()});
  CHECK(alone.kernels == 1);
  CHECK(alone.bytes_moved == 2 * matrix + 2 * row);
  const Tensor sum = x + r;
  const FunctionStats residual =
      stats({x, r, w, b}, {sum, nn::layer_norm(sum, w, b)}, {some(), some(), line(), line()});
  CHECK(residual.kernels == 1);
  CHECK(residual.bytes_moved == 4 * matrix + 2 * row);
}

TEST_CASE("Fusion: the gradient of layer norm keeps no matrix between its passes") {
  const Tensor x("x"), w("w"), b("b"), g("g");
  const Tensor y = nn::layer_norm(x, w, b);
  const std::vector<Tensor> slopes = vjp({y}, {x, w, b}, {g});
  const FunctionStats s =
      stats({x, w, b, g}, {slopes[0], slopes[1], slopes[2]}, {some(), line(), line(), some()});
  // One pass over rows; one over columns, which reads x, g and two numbers a row again.
  CHECK(s.kernels == 2);
  CHECK(s.bytes_moved == 5 * matrix + 3 * row + 4 * column);
  CHECK(s.bytes_planned <= 2 * (column + 64));
}

TEST_CASE("Fusion: batch norm of images reads them twice, with its gradient four times") {
  const Tensor x("x"), w("w"), b("b"), g("g");
  const Axes over{0, 2, 3};
  const Tensor y = (x - mean(x, over, true)) / sqrt(var(x, over, 0, true) + 1e-5) * w + b;
  const auto image = [] { return rand({4, 16, 24, 24}, DType::float32); };
  const auto channel = [] { return rand({1, 16, 1, 1}, DType::float32); };
  constexpr std::int64_t bytes = 4 * 16 * 24 * 24 * 4, few = 64 * 4 * 20;
  const FunctionStats forward = stats({x, w, b}, {y}, {image(), channel(), channel()});
  CHECK(forward.bytes_moved <= 3 * bytes + few);
  CHECK(forward.bytes_planned <= few);
  const std::vector<Tensor> slopes = vjp({y}, {x, w, b}, {g});
  const FunctionStats both = stats({x, w, b, g}, {y, slopes[0], slopes[1], slopes[2]},
                                   {image(), channel(), channel(), image()});
  CHECK(both.bytes_moved <= 7 * bytes + 2 * few);
  CHECK(both.bytes_planned <= 2 * few);
}

TEST_CASE("Fusion: cross-entropy reads its scores once") {
  const Tensor x("x"), t("t");
  const FunctionStats s =
      stats({x, t}, {nn::cross_entropy(x, t)}, {some(), randint(0, columns, {rows})});
  CHECK(s.bytes_moved < matrix + 8 * rows * 8);
  CHECK(s.bytes_planned < 4 * rows * 4);
}

TEST_CASE("Fusion: cross-entropy and its gradient read the scores once and store none but the slopes") {
  const Tensor x("x"), t("t");
  const Tensor loss = nn::cross_entropy(x, t);
  const FunctionStats s = stats({x, t}, {loss, grad(loss, {x})[0]},
                                {some(), randint(0, columns, {rows})});
  CHECK(s.kernels == 4);  // the targets' check, how many count, the scores, the loss
  CHECK(s.bytes_moved < 2 * matrix + 16 * rows * 8);
  CHECK(s.bytes_planned < 8 * rows * 4);
}

TEST_CASE("Fusion: batch norm's gradient reads image and cotangent together, twice") {
  const Tensor x("x"), w("w"), b("b"), g("g");
  const Tensor y = batch_norm(x, {}, {}, w, b, true);
  const std::vector<Tensor> slopes = vjp({y}, {x, w, b}, {g});
  const std::vector<Array> values{rand({4, 16, 24, 24}, DType::float32), rand({16}, DType::float32),
                                  rand({16}, DType::float32), rand({4, 16, 24, 24}, DType::float32)};
  constexpr std::int64_t bytes = 4 * 16 * 24 * 24 * 4, few = 64 * 4 * 40;
  CHECK(stats({x, w, b, g}, slopes, values).bytes_moved <= 6 * bytes + few);
  CHECK(stats({x, w, b, g}, {y, slopes[0], slopes[1], slopes[2]}, values).bytes_moved <=
        7 * bytes + 2 * few);
}

TEST_CASE("Fusion: a layer norm between products, forward and back, is one pass of its own") {
  const Tensor x("x"), w("w"), b("b"), m("m"), g("g");
  const Tensor z = matmul(nn::layer_norm(tanh(x), w, b), m);
  const FunctionStats s = stats({x, w, b, m, g}, {vjp({z}, {x}, {g})[0], z},
                                {some(), line(), line(), rand({columns, columns}), some()});
  CHECK(s.kernels == 3);
  // Of the products: four matrices and twice the weights; of the pass: three read, two written.
  CHECK(s.bytes_moved <= 9 * matrix + 2 * columns * row + 8 * row);
}

TEST_CASE("Fusion: max-pool keeps a byte a window, and its gradient is written once") {
  const Tensor x("x"), w("w");
  const Tensor z = matmul(reshape(max_pool2d(x, 2), {8, 64}), w);
  const Function f({x, w}, grad(sum(square(z)), {x})[0]);
  const std::vector<Array> values{rand({2, 4, 16, 16}, DType::float32),
                                  rand({64, 64}, DType::float32)};
  const FunctionStats s = stats(f, values);
  constexpr std::int64_t image = 2 * 4 * 16 * 16 * 4, windows = 2 * 4 * 8 * 8;
  CHECK(s.kernels == 4);  // pooling, two products, the gradient
  CHECK(s.bytes_moved == 2 * image + 2 * windows + 6 * windows * 4 + 2 * 64 * 64 * 4);
  const Function apart({x, w}, grad(sum(square(z)), {x})[0], {.fuse = false});
  CHECK(allclose(f(values)[0], apart(values)[0], 1e-5, 1e-5));
}

TEST_CASE("Fusion: one kernel updates a parameter and its state, in place") {
  const Tensor g("g"), h("h");
  const auto update = [&](auto optimizer) {
    return stats(Function({g, h}, std::vector<Tensor>{},
                          {.updates = optimizer.updates(std::vector<Tensor>{g, h})}),
                 {some(), some()});
  };
  const std::vector<Tensor> parameters{Variable(some(), "p"), Variable(some(), "q")};
  const FunctionStats sgd = update(optim::SGD(parameters, {.lr = .1, .momentum = .9}));
  CHECK(sgd.kernels == 1);  // equal shapes: side by side
  CHECK(sgd.bytes_planned == 0);
  CHECK(sgd.bytes_moved == 2 * 5 * matrix + 4);
  const FunctionStats adam = update(optim::Adam(parameters));
  CHECK(adam.kernels == 2);  // and the count of steps
  CHECK(adam.bytes_moved < 2 * 7 * matrix + 64);
}

TEST_CASE("Fusion: attention over heads copies none of its operands, nor its result") {
  const Tensor x("x"), w("w"), o("o");
  const auto part = [&](const Tensor& all, std::int64_t i) {
    const Tensor mine = all[{Slice(), Slice(), Slice(i * 32, (i + 1) * 32)}];
    return permute(reshape(mine, {2, 24, 4, 8}), {0, 2, 1, 3});
  };
  const Tensor all = matmul(x, w);
  const Tensor q = part(all, 0), k = part(all, 1), v = part(all, 2);
  const Tensor weights = softmax(matmul(q, transpose(k, -1, -2)) * 0.35);
  const Tensor joined = reshape(permute(matmul(weights, v), {0, 2, 1, 3}), {2, 24, 32});
  const std::vector<Array> values{rand({2, 24, 32}, DType::float32), rand({32, 96}, DType::float32),
                                  rand({32, 32}, DType::float32)};
  const Function f({x, w, o}, matmul(joined, o));
  CHECK(stats(f, values).kernels == 5);  // four products and the softmax
  const Function apart({x, w, o}, matmul(joined, o), {.fuse = false});
  CHECK(allclose(f(values)[0], apart(values)[0], 1e-5, 1e-6));
}

namespace {

void check_fused(const std::vector<Tensor>& inputs, const std::vector<Tensor>& outputs,
                 const std::vector<Array>& values) {
  const std::vector<Array> fused = Function(inputs, outputs)(values),
                           apart = Function(inputs, outputs, {.fuse = false})(values);
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    CAPTURE(i);
    CHECK(allclose(fused[i], apart[i], 1e-5, 1e-6));
  }
}

}  // namespace

TEST_CASE("Fusion: what one value cannot compute again, another still does") {
  manual_seed(5);
  Tensor a(Dims{3, 5, 16}, DType::float32), t(Dims{5, 16}, DType::float32),
      w(Dims{16, 16}, DType::float32), d(Dims{3, 5, 16}, DType::float32),
      e(Dims{3, 5, 16}, DType::float32);
  const Tensor i = a - mean(a, Axes{2}, true);
  const Tensor squared = i * i, moved = i + t;
  const Tensor h = flip(moved, {2}) * d + flip(squared, {2}) * e;
  check_fused(
      {a, t, w, d, e}, {h, matmul(h, w) + moved},
      {randn({3, 5, 16}), randn({5, 16}), randn({16, 16}), randn({3, 5, 16}), randn({3, 5, 16})});
}

TEST_CASE("Fusion: a result lies over no operand that is loaded after it") {
  manual_seed(6);
  Tensor z(Dims{10, 32}, DType::float32), w(Dims{32, 32}, DType::float32),
      q(Dims{10, 32}, DType::float32);
  const Tensor a = softmax(q, -1), y = matmul(exp(a) * z * softmax(q * 2.0, -1), w);
  const Tensor product = matmul(tanh(y), w) + matmul(flip(y, {0}), w);
  check_fused({z, w, q}, {product, y * a}, {randn({10, 32}), randn({32, 32}), randn({10, 32})});
}

TEST_CASE("Fusion: computing again costs no more than it saves, however deep it could go") {
  const std::int64_t n = 1 << 12;
  Tensor x(Dims{n}, DType::float32), scale(Dims{n}, DType::float32), shift(Dims{n}, DType::float32);
  const Tensor first = x * scale + shift;
  const std::vector<Array> values{randn({n}), randn({n}), randn({n})};
  Tensor sums = first;  // each level reads the one before at two places
  for (std::int64_t level = 0, length = n; level < 11; ++level) {
    const std::int64_t step = std::int64_t{1} << level;
    sums = sums[Slice(0, length - step)] + sums[Slice(step, length)];
    length -= step;
  }
  const Function scan({x, scale, shift}, sums);
  CHECK(stats(scan, values).flops < 60.0 * static_cast<double>(n));
  Tensor cubes = first;  // and three times at one place
  for (int level = 0; level < 40; ++level) {
    const Tensor turned = flip(cubes * 0.5, {0});
    cubes = turned * turned * turned;
  }
  const Function deep({x, scale, shift}, cubes);
  CHECK(stats(deep, values).flops < 40 * 8.0 * static_cast<double>(n));
  check_fused({x, scale, shift}, {sums, cubes}, values);
}
