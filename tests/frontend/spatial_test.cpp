// Convolution, pooling and their kin against literal results, worked by hand or from PyTorch's and
// ONNX's documentation.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "thrown.h"
#include "weft/weft.h"

using namespace weft;

namespace {

using Numbers = std::vector<double>;

Array range(Shape shape, double from = 0) {
  Numbers v(static_cast<std::size_t>(element_count(shape)));
  std::iota(v.begin(), v.end(), from);
  return Array::from(v, std::move(shape)).to(DType::float32);
}
Tensor numbers(const Numbers& v, Shape shape) {
  return Tensor(Array::from(v, std::move(shape)).to(DType::float32));
}
Numbers values(const Tensor& t) { return t.value().tolist<double>(); }
Shape shape_of(const Tensor& t) { return t.value().shape(); }

}  // namespace

TEST_CASE("conv2d: the feature list's example") {
  const Tensor x(range({1, 1, 3, 3}));
  CHECK(values(conv2d(x, numbers({1, 0, 1, 1}, {1, 1, 2, 2}))) == Numbers{7, 10, 16, 19});
  CHECK(values(conv2d(x, numbers({0, 1, 0, 1}, {1, 1, 2, 2}))) == Numbers{5, 7, 11, 13});
  const Tensor both = numbers({1, 0, 1, 1, 0, 1, 0, 1}, {2, 1, 2, 2});
  CHECK(values(conv2d(x, both, numbers({100, 200}, {2}))) ==
        Numbers{107, 110, 116, 119, 205, 207, 211, 213});
  CHECK_THROWS_AS(conv2d(x, both, {}, 1, 0, 3), ShapeError);
  CHECK_THROWS_AS(conv2d(x, numbers({1, 2}, {1, 2, 1, 1})), ShapeError);
  CHECK_THROWS_AS(conv2d(x, cast(both, DType::float64)), DTypeError);
  CHECK_THROWS_AS(conv2d(x, both, {}, 2, "same"), ShapeError);
}

TEST_CASE("convolution: padding, strides, dilation, no batch axis") {
  const Tensor x = numbers({1, 2, 3, 4}, {1, 4}), w = numbers({1, 10, 100}, {1, 1, 3});
  CHECK(values(conv1d(x, w, {}, 1, 1)) == Numbers{210, 321, 432, 43});
  CHECK(values(conv1d(x, w, {}, 1, "same")) == Numbers{210, 321, 432, 43});
  CHECK(values(conv1d(x, numbers({1, 10}, {1, 1, 2}), {}, 1, "same")) == Numbers{21, 32, 43, 4});
  CHECK(values(conv1d(x, w, {}, 2, 1)) == Numbers{210, 432});
  CHECK(values(conv1d(x, w, {}, 1, 2, 2)) == Numbers{310, 420, 31, 42});
  CHECK(shape_of(conv1d(x, w)) == Shape{1, 2});
  const Tensor cube(range({1, 1, 2, 2, 2}));
  CHECK(values(conv3d(cube, numbers(Numbers(8, 1), {1, 1, 2, 2, 2}))) == Numbers{28});
  const Tensor image(range({1, 2, 2, 2}));
  CHECK(values(depthwise_conv2d(image, numbers({1, 2, 3, 4, 1, 0, 0, 0}, {2, 1, 2, 2}))) ==
        Numbers{20, 4});
  CHECK(values(separable_conv2d(image, numbers({1, 2, 3, 4, 1, 0, 0, 0}, {2, 1, 2, 2}),
                                numbers({1, 10}, {1, 2, 1, 1}))) == Numbers{60});
}

TEST_CASE("convolution: windows of 3 x 3 over many channels, which take fewer multiplications") {
  struct Case {
    std::int64_t images, channels, filters, height, width, pad;
  };
  for (const Case& c :
       {Case{3, 16, 24, 13, 18, 1}, {2, 33, 16, 16, 15, 0}, {1, 20, 40, 20, 21, 2}}) {
    const Tensor x("x"), w("w"), b("b"), g("g");
    const Tensor y = conv2d(x, w, {}, 1, c.pad);
    const std::vector<Tensor> slopes = vjp({y}, {x, w}, {g});
    const Function all({x, w, b, g}, {relu(y + reshape(b, {-1, 1, 1})), slopes[0], slopes[1]});
    const Function sizes({x, w, b, g}, {y + reshape(b, {-1, 1, 1}), slopes[0], slopes[1]});
    std::vector<Array> narrow, wide, magnitudes;
    const std::int64_t down = c.height + 2 * c.pad - 2, across = c.width + 2 * c.pad - 2;
    for (const Shape& shape :
         {Shape{c.images, c.channels, c.height, c.width}, Shape{c.filters, c.channels, 3, 3},
          Shape{c.filters}, Shape{c.images, c.filters, down, across}}) {
      Numbers v;
      for (std::int64_t i = 0; i < element_count(shape); ++i)
        v.push_back(static_cast<float>(std::sin(static_cast<double>(i * i % 1009 + i))));
      wide.push_back(Array::from(v, shape));
      narrow.push_back(wide.back().to(DType::float32));
      for (double& number : v) number = std::fabs(number);
      magnitudes.push_back(Array::from(v, shape));
    }
    const std::vector<Array> want = all(wide), sum = sizes(magnitudes), got = all(narrow);
    for (std::size_t k = 0; k < 3; ++k) {
      CAPTURE(k);
      const Numbers a = got[k].tolist<double>(), e = want[k].tolist<double>(),
                    m = sum[k].tolist<double>();
      double worst = 0;
      for (std::size_t i = 0; i < a.size(); ++i)
        worst = std::max(worst, std::fabs(a[i] - e[i]) / (m[i] * 0x1p-23));
      CHECK(worst > 0);
      CHECK(worst < 8);  // the row's tolerance
    }
    // Nothing is padded in memory, nor turned.
    CHECK(all.stats().kernels == 3);
  }
}

TEST_CASE("conv_transpose: overlapping copies of the weights") {
  const Tensor x = numbers({1, 2, 3}, {1, 1, 3}), w = numbers({1, 10, 100}, {1, 1, 3});
  CHECK(values(conv_transpose1d(x, w)) == Numbers{1, 12, 123, 230, 300});
  CHECK(values(conv_transpose1d(x, w, {}, 2)) == Numbers{1, 10, 102, 20, 203, 30, 300});
  CHECK(values(conv_transpose1d(x, w, {}, 2, 1)) == Numbers{10, 102, 20, 203, 30});
  CHECK(values(conv_transpose1d(x, w, numbers({1000}, {1}), 2, 1, 1)) ==
        Numbers{1010, 1102, 1020, 1203, 1030, 1300});
  CHECK(values(conv_transpose1d(x, w, {}, 1, 0, 0, 1, 2)) == Numbers{1, 2, 13, 20, 130, 200, 300});
  CHECK_THROWS_AS(conv_transpose1d(x, w, {}, 2, 0, 2), ShapeError);
}

TEST_CASE("unfold and fold") {
  const Tensor x(range({1, 1, 3, 3}));
  CHECK(values(unfold(x, 2)) == Numbers{0, 1, 3, 4, 1, 2, 4, 5, 3, 4, 6, 7, 4, 5, 7, 8});
  CHECK(values(fold(numbers(Numbers(16, 1), {1, 4, 4}), 3, 2)) ==
        Numbers{1, 2, 1, 2, 4, 2, 1, 2, 1});
}

TEST_CASE("max_pool: strides, overhang, indices, the first of equals") {
  const Tensor x(range({1, 1, 4, 4}));
  CHECK(values(max_pool2d(x, 2)) == Numbers{5, 7, 13, 15});
  CHECK(values(max_pool2d(x, {3, 3}, 2, 1)) == Numbers{5, 7, 13, 15});
  CHECK(values(max_pool2d(x, 3, 2, 0, 1, true)) == Numbers{10, 11, 14, 15});
  CHECK(values(max_pool2d(x, 2, 1, 0, 2)) == Numbers{10, 11, 14, 15});
  CHECK_THROWS_AS(max_pool2d(x, 2, 2, 2), ShapeError);
  CHECK_THROWS_AS(max_pool2d(x, 5), ShapeError);
  const auto [best, at] = max_pool1d_with_indices(numbers({3, 3, 1, 2, 2, 2}, {1, 1, 6}), 3);
  CHECK(values(best) == Numbers{3, 2});
  CHECK(values(at) == Numbers{0, 3});
  CHECK(at.value().dtype() == DType::int64);
  const double inf = std::numeric_limits<double>::infinity();
  CHECK(values(max_pool1d_with_indices(numbers({-inf, -inf, 1}, {1, 1, 3}), 2, 2, 1).indices) ==
        Numbers{0, 2});
  CHECK(std::isnan(values(max_pool1d(numbers({1, NAN, 2}, {1, 1, 3}), 3))[0]));

  Tensor ties = numbers({2, 2, 1, 5, 5, 5, 0, 1}, {1, 1, 8});
  CHECK(values(grad(sum(max_pool1d(ties, 2)), {ties})[0]) == Numbers{1, 0, 0, 1, 1, 0, 0, 1});
  CHECK(values(grad(sum(max_pool1d(ties, 3, 1)), {ties})[0]) == Numbers{1, 0, 0, 3, 1, 1, 0, 0});
}

TEST_CASE("avg_pool: what the sums are divided by") {
  const Tensor x = numbers({1, 2, 3, 4, 5}, {1, 1, 5});
  CHECK(values(avg_pool1d(x, 3, 2, 1)) == Numbers{1, 3, 3});
  CHECK(values(avg_pool1d(x, 3, 2, 1, false, false)) == Numbers{1.5, 3, 4.5});
  CHECK(values(avg_pool1d(x, 2, 2, 0, true)) == Numbers{1.5, 3.5, 5});
  CHECK(values(avg_pool2d(Tensor(range({1, 1, 2, 2})), 2, {}, 0, false, true, 3)) == Numbers{2});
  CHECK(values(lp_pool1d(numbers({3, 4, 6, 8}, {1, 1, 4}), 2, 2)) == Numbers{5, 10});
}

TEST_CASE("Convolution and pooling of unknown extents") {
  const Tensor x = Tensor({dim("N"), 1, dim("H"), dim("W")}, DType::float32);
  const Tensor w = numbers({1, 0, 1, 1}, {1, 1, 2, 2});
  const Function f({x}, {conv2d(x, w, {}, 1, 1), max_pool2d(x, 2), avg_pool2d(x, 3, 1, 1)});
  CHECK(f(range({1, 1, 3, 3}))[0].shape() == Shape{1, 1, 4, 4});
  for (const std::int64_t n : {2, 3, 4}) {
    const auto y = f(range({n, 1, 2 * n, 5}));
    CHECK(y[0].shape() == Shape{n, 1, 2 * n + 1, 6});
    CHECK(y[1].shape() == Shape{n, 1, n, 2});
    CHECK(y[2].shape() == Shape{n, 1, 2 * n, 5});
    CHECK(y[0].tolist<double>()[8] == 1 + 6 + 7);
    CHECK(y[1].tolist<double>()[0] == 6);
    CHECK(y[2].tolist<double>()[6] == 6);
  }
}

TEST_CASE("Resizing: PyTorch's and ONNX's documented values") {
  const Tensor x = numbers({1, 2, 3, 4}, {1, 1, 2, 2});
  CHECK(values(interpolate(x, {}, {2})) == Numbers{1, 1, 2, 2, 1, 1, 2, 2, 3, 3, 4, 4, 3, 3, 4, 4});
  CHECK(values(interpolate(x, {}, {2}, "bilinear")) ==
        Numbers{1, 1.25, 1.75, 2, 1.5, 1.75, 2.25, 2.5, 2.5, 2.75, 3.25, 3.5, 3, 3.25, 3.75, 4});
  CHECK(values(interpolate(x, {3, 3}, {}, "bilinear", true)) ==
        Numbers{1, 1.5, 2, 2, 2.5, 3, 3, 3.5, 4});
  CHECK(values(interpolate(Tensor(range({1, 1, 4})), 2)) == Numbers{0, 2});
  CHECK(values(interpolate(Tensor(range({1, 1, 4})), 2, {}, "nearest-exact")) == Numbers{1, 3});
  CHECK(values(interpolate(Tensor(range({1, 1, 4})), 2, {}, "area")) == Numbers{0.5, 2.5});
  CHECK(values(interpolate(Tensor(range({1, 1, 4})), 4, {}, "linear")) == Numbers{0, 1, 2, 3});
  const Numbers cubic = values(interpolate(x, 4, {}, "bicubic"));
  CHECK(cubic[0] == doctest::Approx(0.68359375));
  CHECK_THROWS_AS(interpolate(x), ShapeError);
  CHECK_THROWS_AS(interpolate(x, 4, {}, "trilinear"), ShapeError);
}

TEST_CASE("Adaptive and global pooling, unpooling") {
  const Tensor x(range({1, 1, 5}));
  CHECK(values(adaptive_avg_pool1d(x, 3)) == Numbers{0.5, 2, 3.5});
  CHECK(values(adaptive_max_pool1d(x, 3)) == Numbers{1, 3, 4});
  CHECK(values(adaptive_max_pool1d_with_indices(x, 2).indices) == Numbers{2, 4});
  CHECK(values(global_avg_pool(Tensor(range({1, 2, 2, 2})))) == Numbers{1.5, 5.5});
  CHECK(values(global_max_pool(Tensor(range({1, 2, 2, 2})))) == Numbers{3, 7});
  const Tensor image(range({1, 1, 4, 4}, 1));
  const auto [best, at] = max_pool2d_with_indices(image, 2);
  CHECK(values(max_unpool2d(best, at, 2)) ==
        Numbers{0, 0, 0, 0, 0, 6, 0, 8, 0, 0, 0, 0, 0, 14, 0, 16});
  CHECK(shape_of(max_unpool2d(best, at, 2, {}, 0, {5, 5})) == Shape{1, 1, 5, 5});
  CHECK_THROWS_AS((void)max_unpool2d(best, at, 2, 0), ShapeError);
  CHECK_THROWS_AS((void)max_unpool2d(best, at, -3, 9), ShapeError);
  CHECK_THROWS_AS((void)max_unpool2d(best, at, 2, 2, -2), ShapeError);
}

TEST_CASE("Blocks, channels, margins") {
  const Tensor x(range({1, 4, 1, 2}));
  CHECK(values(pixel_shuffle(x, 2)) == Numbers{0, 2, 1, 3, 4, 6, 5, 7});
  CHECK(values(pixel_unshuffle(pixel_shuffle(x, 2), 2)) == values(x));
  CHECK(values(space_to_depth(depth_to_space(x, 2), 2)) == values(x));
  CHECK(values(channel_shuffle(Tensor(range({1, 4, 1})), 2)) == Numbers{0, 2, 1, 3});
  const Tensor line(range({1, 1, 4}));
  CHECK(values(nn::pad(line, {2, 1}, "reflect")) == Numbers{2, 1, 0, 1, 2, 3, 2});
  CHECK(values(nn::pad(line, {2, 1}, "replicate")) == Numbers{0, 0, 0, 1, 2, 3, 3});
  CHECK(values(nn::pad(line, {2, 1}, "circular")) == Numbers{2, 3, 0, 1, 2, 3, 0});
  CHECK(values(nn::pad(line, {-1, 1}, "constant", 9)) == Numbers{1, 2, 3, 9});
  CHECK_THROWS_AS(nn::pad(line, {4, 0}, "reflect"), ShapeError);
}

TEST_CASE("Sampling at coordinates") {
  const Tensor x(range({1, 1, 2, 2}));
  const Tensor corners = numbers({-1, -1, 1, -1, 0, 0, 1, 1}, {1, 2, 2, 2});
  CHECK(values(grid_sample(x, corners, "bilinear", "zeros", true)) == Numbers{0, 1, 1.5, 3});
  CHECK(values(grid_sample(x, corners)) == Numbers{0, 0.25, 1.5, 0.75});
  CHECK(values(grid_sample(x, corners, "nearest", "border")) == Numbers{0, 1, 0, 3});
  const Tensor same = numbers({1, 0, 0, 0, 1, 0}, {1, 2, 3});
  CHECK(values(affine_grid(same, {1, 1, 2, 2})) ==
        Numbers{-0.5, -0.5, 0.5, -0.5, -0.5, 0.5, 0.5, 0.5});
  CHECK(values(grid_sample(x, affine_grid(same, {1, 1, 2, 2}))) == values(x));
  const Tensor image(range({1, 1, 4, 4}));
  const Tensor box = numbers({0, 0, 0, 4, 4}, {1, 5});
  CHECK(values(roi_align(image, box, 2, 1, 2, true)) == Numbers{2.5, 4.5, 10.5, 12.5});
  CHECK(values(roi_align(image, box, 2, 1, -1, true)) == Numbers{2.5, 4.5, 10.5, 12.5});
  const Tensor inner = numbers({0, 0, 0, 3, 3, 0, 1, 1, 2, 9}, {2, 5});
  CHECK(values(max_roi_pool(image, inner, 2)) == Numbers{5, 7, 13, 15, 13, 14, 0, 0});
}

TEST_CASE("convolution: an image that is one number everywhere lies nowhere") {
  const Tensor x("x"), w("w");
  const Tensor y = conv2d(ones_like(x), w, {}, 1, 1);
  const Array image = ones({2, 16, 32, 32}), weights = ones({16, 16, 3, 3});
  const Array seen = Function({x, w}, y)(image, weights)[0];
  CHECK(seen.shape() == Shape{2, 16, 32, 32});
  const std::vector<double> first = seen.tolist<double>();
  CHECK(std::vector(first.begin(), first.begin() + 2) == Numbers{64, 96});
  CHECK(first[33] == doctest::Approx(144));
  const Tensor slope = grad(sum(conv2d(x, w, {}, 1, 1)), {w})[0];
  const std::vector<double> slopes = Function({x, w}, slope)(image, weights)[0].tolist<double>();
  CHECK(slopes[0] == doctest::Approx(2 * 31 * 31));
  CHECK(slopes[4] == doctest::Approx(2 * 32 * 32));
}

TEST_CASE("Circular margins repeat what is left where some is cut off") {
  CHECK(values(nn::pad(range({5}), {-1, 2}, "circular")) == Numbers{1, 2, 3, 4, 1, 2});
  CHECK(values(nn::pad(range({3}), {1, -1}, "circular")) == Numbers{1, 0, 1});
  CHECK_THROWS_AS((void)nn::pad(range({3}), {-2, -2}), ShapeError);
  constexpr std::int64_t least = std::numeric_limits<std::int64_t>::min();
  CHECK_THROWS_AS((void)nn::pad(range({3}), {least, least}), ShapeError);
}

TEST_CASE("Sizes that are none are refused on the user's line, not taken for what stays") {
  const Tensor x = range({1, 1, 4});
  const auto refused = [](auto&& f) {
    return contains(message<ShapeError>(f), "(spatial_test.cpp:");
  };
  CHECK(refused([&] { (void)interpolate(x, -1); }));
  CHECK(refused([&] { (void)interpolate(x, 0); }));
  CHECK(refused([&] { (void)interpolate(x, {}, {0}); }));
  CHECK(refused([&] { (void)adaptive_avg_pool1d(x, -2); }));
  CHECK(refused([&] { (void)adaptive_max_pool1d(x, -2); }));
  CHECK(refused([&] { (void)fold(range({1, 4, 9}), 4, 0); }));
}

TEST_CASE("A window may hang over the end from the first one on, in ceil mode") {
  const Tensor x = numbers({1, 2, 3, 4}, {1, 1, 4});
  CHECK(values(max_pool1d(x, 3, 2, 0, 2, true)) == Numbers{3});
  CHECK(values(avg_pool1d(x, 5, 2, 0, true)) == Numbers{2.5});
  CHECK_THROWS_AS((void)max_pool1d(x, 3, 2, 0, 2), ShapeError);
  CHECK_THROWS_AS((void)max_pool1d(x, 3, 1, 0, 2, true), ShapeError);
}

TEST_CASE("MaxUnpool: values go back to where pooling took them from") {
  // PyTorch's documented example.
  const Tensor line = numbers({1, 2, 3, 4, 5, 6, 7, 8}, {1, 1, 8});
  const auto [y, at] = max_pool1d_with_indices(line, 2, 2);
  nn::MaxUnpool1d unpool1d(2, 2);
  CHECK(values(unpool1d(y, at)) == Numbers{0, 2, 0, 4, 0, 6, 0, 8});
  const Tensor longer = numbers({1, 2, 3, 4, 5, 6, 7, 8, 9}, {1, 1, 9});
  const auto [z, places] = max_pool1d_with_indices(longer, 2, 2);
  CHECK(values(unpool1d(z, places, longer.shape())) == Numbers{0, 2, 0, 4, 0, 6, 0, 8, 0});
  CHECK(values(unpool1d(z, places, 9)) == Numbers{0, 2, 0, 4, 0, 6, 0, 8, 0});
  CHECK(shape_of(unpool1d(squeeze(y, 0), squeeze(at, 0), {1, 9})) == Shape{1, 9});

  // Images of two channels and two samples, a window each of its own.
  const Tensor image = cast(Tensor(range({2, 2, 4, 6})) * 7 % 48, DType::float64);
  const auto [best, where] = max_pool2d_with_indices(image, {2, 3});
  nn::MaxUnpool2d unpool2d({2, 3});
  const Numbers all = values(image), kept = values(best), from = values(where);
  Numbers want(all.size(), 0);
  for (std::size_t plane = 0; plane < 4; ++plane)
    for (std::size_t i = 0; i < 4; ++i)
      want[plane * 24 + static_cast<std::size_t>(from[plane * 4 + i])] = kept[plane * 4 + i];
  CHECK(values(unpool2d(best, where)) == want);
  const Tensor p({dim("N"), 2, 2, 2}, DType::float64), q({dim("N"), 2, 2, 2}, DType::int64);
  const Function f({p, q}, unpool2d(p, q));
  CHECK(f(best.value(), where.value())[0].tolist<double>() == want);
  // The gradient is what lies where each value went.
  const Variable held(best.value(), "held");
  const Tensor slope = grad(sum(unpool2d(held, where) * image), {held})[0];
  CHECK(values(slope) == kept);

  const Tensor cube(range({1, 2, 2, 2, 4}));
  const auto [most, corner] = max_pool3d_with_indices(cube, 2);
  nn::MaxUnpool3d unpool3d(2);
  const Numbers back = values(unpool3d(most, corner));
  for (std::size_t i = 0; i < 32; ++i)
    CHECK(back[i] == (i == 13 || i == 15 || i == 29 || i == 31 ? static_cast<double>(i) : 0));
}

TEST_CASE("MaxUnpool: sizes and places that fit nothing are refused on the user's line") {
  const Tensor y = numbers({2, 4}, {1, 1, 2}), at(Array{{{1, 3}}});
  nn::MaxUnpool1d unpool(2);
  const auto refused = [](const std::string& text, const std::string& why) {
    CAPTURE(text);
    CHECK(contains(text, why));
    CHECK(contains(text, "(spatial_test.cpp:"));
  };
  const std::string far = "max_unpool1d of float32(1, 1, 2): an output extent of ";
  refused(message<ShapeError>([&] { (void)unpool(y, at, 6); }), far + "6, which must be less than");
  refused(message<ShapeError>([&] { (void)unpool(y, at, 2); }), far + "2");
  refused(message<ShapeError>([&] { (void)unpool(y, at, -1); }), far + "-1");
  refused(message<ShapeError>([&] { (void)unpool(y, at, {4, 4}); }), "2 entries in output_size");
  refused(message<ShapeError>([&] { (void)unpool(Tensor("unknown"), at); }), "must be known");
  refused(message<IndexError>([&] {
            (void)unpool(y, Tensor(Array{{{1, 4}}})).value();
          }),
          "index 4 is out of range");
  refused(message<ShapeError>([&] {
            (void)unpool(y, Tensor(Array{{{1, 3, 2}}}));
          }),
          "max_unpool1d of float32(1, 1, 2) and int64(1, 1, 3): needs one index an element");
}

TEST_CASE("GlobalAvgPool and GlobalMaxPool: over however many spatial axes") {
  nn::GlobalAvgPool mean;
  nn::GlobalMaxPool most;
  CHECK(values(mean(Tensor(range({1, 2, 2, 2})))) == Numbers{1.5, 5.5});
  CHECK(shape_of(mean(Tensor(range({1, 2, 2, 2})))) == Shape{1, 2, 1, 1});
  CHECK(values(most(Tensor(range({2, 1, 3})))) == Numbers{2, 5});
  nn::Sequential head(nn::GlobalAvgPool(), nn::Flatten(), nn::Linear(2, 3));
  CHECK(shape_of(head(Tensor(range({5, 2, 2, 2, 2})))) == Shape{5, 3});
  CHECK(contains(message<ShapeError>([&] { (void)most(Tensor("x")); }),
                 "global_max_pool: the number of axes of its operand must be known "
                 "(spatial_test.cpp:"));
}
