// Fractional max pooling against loops over windows whose places follow from the samples by
// Graham's rule, gradients against differences.
#include <doctest/doctest.h>

#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "thrown.h"
#include "weft/weft.h"

using namespace weft;

namespace {

using List = std::vector<double>;

List values(const Tensor& t) { return t.value().tolist<double>(); }
/// No two equal, in no order.
Array scattered(const Shape& shape, double start = 0) {
  List list(static_cast<std::size_t>(element_count(shape)));
  for (std::size_t i = 0; i < list.size(); ++i)
    list[i] = std::sin(start + 1.7 * static_cast<double>(i * i % 101) + static_cast<double>(i));
  return Array::from(list, shape);
}
/// Of [0, 1), all over it.
Array fractions(const Shape& shape) {
  List list(static_cast<std::size_t>(element_count(shape)));
  for (std::size_t i = 0; i < list.size(); ++i)
    list[i] = std::fmod(0.05 + 0.6180339887498949 * static_cast<double>(i), 1);
  return Array::from(list, shape);
}
Array counting(const Shape& shape) {
  List list(static_cast<std::size_t>(element_count(shape)));
  for (std::size_t i = 0; i < list.size(); ++i) list[i] = static_cast<double>(i);
  return Array::from(list, shape);
}

struct Reference {
  List values, indices;
};

std::int64_t begin_of(std::int64_t i, double u, std::int64_t n, std::int64_t k, std::int64_t o) {
  if (i == o - 1) return n - k;
  const double a = static_cast<double>(n - k) / static_cast<double>(o - 1);
  return static_cast<std::int64_t>((static_cast<double>(i) + u) * a) -
         static_cast<std::int64_t>(u * a);
}

/// Of (batch, channels, d, h, w); two spatial axes are three with d = 1. `order`: which sample is
/// that of d, h and w.
Reference reference(const Array& image, const Array& samples, const Shape& extent,
                    const Shape& kernel, const Shape& output, const std::vector<int>& order) {
  const List x = image.tolist<double>(), u = samples.tolist<double>();
  const std::int64_t each = samples.shape()[2], planes = samples.size() / each;
  Reference result;
  for (std::int64_t plane = 0; plane < planes; ++plane) {
    const auto begin = [&](std::size_t axis, std::int64_t i) {
      const double sample =
          order[axis] < 0 ? 0 : u[static_cast<std::size_t>(plane * each + order[axis])];
      return begin_of(i, sample, extent[axis], kernel[axis], output[axis]);
    };
    for (std::int64_t od = 0; od < output[0]; ++od)
      for (std::int64_t oh = 0; oh < output[1]; ++oh)
        for (std::int64_t ow = 0; ow < output[2]; ++ow) {
          double best = -INFINITY;
          std::int64_t at = -1;
          for (std::int64_t d = begin(0, od), i = 0; i < kernel[0]; ++i, ++d)
            for (std::int64_t h = begin(1, oh), j = 0; j < kernel[1]; ++j, ++h)
              for (std::int64_t w = begin(2, ow), k = 0; k < kernel[2]; ++k, ++w) {
                const std::int64_t place = (d * extent[1] + h) * extent[2] + w;
                const double value =
                    x[static_cast<std::size_t>(plane * extent[0] * extent[1] * extent[2] + place)];
                if (at < 0 || value > best) best = value, at = place;
              }
          result.values.push_back(best);
          result.indices.push_back(static_cast<double>(at));
        }
  }
  return result;
}

void check_gradient(const Array& held, const std::function<Tensor(const Tensor&)>& of) {
  Variable x(held, "x");
  const Tensor loss = sum(of(x) * Tensor(scattered(of(x).shape(), 3)));
  const List slope = values(grad(loss, {x})[0]);
  List list = held.tolist<double>();
  for (std::size_t i = 0; i < list.size(); ++i) {
    const auto at = [&](double step) {
      List moved = list;
      moved[i] += step;
      x.set_value(Array::from(moved, held.shape()));
      return loss.item<double>();
    };
    CHECK(slope[i] == doctest::Approx((at(1e-6) - at(-1e-6)) / 2e-6).epsilon(1e-6));
  }
}

}  // namespace

TEST_CASE("fractional_max_pool2d: windows by hand, the sample of w before that of h") {
  // Places 0, 1, 3 of u = 0 and 0, 2, 3 of u = 0.5, of steps of 1.5.
  const Tensor x(counting({1, 1, 5, 5}));
  const auto [best, at] =
      fractional_max_pool2d_with_indices(x, 2, 3, {}, Tensor(Array{{{0.5, 0.0}}}));
  CHECK(values(best) == List{6, 8, 9, 11, 13, 14, 21, 23, 24});
  CHECK(values(at) == values(best));
  CHECK(at.value().dtype() == DType::int64);
  CHECK(values(fractional_max_pool2d(x, 2, 3, {}, Tensor(Array{{{0.0, 0.5}}}))) ==
        List{6, 7, 9, 16, 17, 19, 21, 22, 24});
  // One window is the last one; windows of one element leave everything.
  CHECK(values(fractional_max_pool2d(x, {2, 3}, 1)) == List{24});
  CHECK(values(fractional_max_pool2d(x, 1, 5)) == values(x));
}

TEST_CASE("fractional max pooling: values and indices are those of loops") {
  struct Case {
    Shape extent, kernel, output;
  };
  for (const Case& c : {Case{{1, 7, 9}, {1, 2, 3}, {1, 4, 5}},
                        {{1, 6, 11}, {1, 3, 2}, {1, 4, 10}},
                        {{1, 8, 5}, {1, 1, 5}, {1, 3, 1}}}) {
    const Array image = scattered({2, 3, c.extent[1], c.extent[2]}), u = fractions({2, 3, 2});
    const Reference want = reference(image, u, c.extent, c.kernel, c.output, {-1, 1, 0});
    const PerAxis kernel{c.kernel[1], c.kernel[2]}, output{c.output[1], c.output[2]};
    const auto [best, at] =
        fractional_max_pool2d_with_indices(Tensor(image), kernel, output, {}, u);
    CHECK(best.shape() == Shape{2, 3, c.output[1], c.output[2]});
    CHECK(values(best) == want.values);
    CHECK(values(at) == want.indices);
    const Tensor x({dim("N"), dim("C"), c.extent[1], c.extent[2]}, DType::float64), s("s");
    const auto pooled = fractional_max_pool2d_with_indices(x, kernel, output, {}, s);
    const Function f({x, s}, {pooled.values, pooled.indices});
    for (const std::int64_t n : {1, 2, 4}) {
      const Shape shape{n, 3, c.extent[1], c.extent[2]};
      const Array some = scattered(shape, static_cast<double>(n)), places = fractions({n, 3, 2});
      const Reference compiled = reference(some, places, c.extent, c.kernel, c.output, {-1, 1, 0});
      const std::vector<Array> got = f(some, places);
      CHECK(got[0].tolist<double>() == compiled.values);
      CHECK(got[1].tolist<double>() == compiled.indices);
    }
  }
  const Shape extent{6, 5, 7}, kernel{2, 1, 3}, output{3, 4, 2};
  const Array image = scattered({2, 2, 6, 5, 7}), u = fractions({2, 2, 3});
  const Reference want = reference(image, u, extent, kernel, output, {0, 1, 2});
  const Tensor x("x"), s("s");
  const auto [best, at] =
      fractional_max_pool3d_with_indices(Tensor(image), {2, 1, 3}, {3, 4, 2}, {}, Tensor(u));
  CHECK(best.shape() == Shape{2, 2, 3, 4, 2});
  CHECK(values(best) == want.values);
  CHECK(values(at) == want.indices);
  const Tensor volume({dim("N"), 2, 6, 5, 7}, DType::float64);
  const Function f({volume, s}, fractional_max_pool3d(volume, {2, 1, 3}, {3, 4, 2}, {}, s));
  CHECK(f(image, u)[0].tolist<double>() == want.values);
}

TEST_CASE("fractional max pooling: without a batch axis, by a ratio, of other dtypes, of NaN") {
  const Array image = scattered({3, 7, 9}), u = fractions({1, 3, 2});
  const Reference want = reference(image, u, {1, 7, 9}, {1, 2, 2}, {1, 3, 6}, {-1, 1, 0});
  const auto [best, at] =
      fractional_max_pool2d_with_indices(Tensor(image), 2, {}, {0.5, 0.67}, Tensor(u));
  CHECK(best.shape() == Shape{3, 3, 6});
  CHECK(at.shape() == Shape{3, 3, 6});
  CHECK(values(best) == want.values);
  CHECK(values(at) == want.indices);
  CHECK(fractional_max_pool2d(Tensor(image), 2, {}, {0.5}).shape() == Shape{3, 3, 4});
  CHECK(fractional_max_pool3d(Tensor(image.reshape({1, 3, 7, 9})), {2, 3, 1}, 1).shape() ==
        Shape{1, 1, 1, 1});

  // Places are computed in float32 at least: in float16 those behind 2048 would be rounded.
  const Array row = counting({1, 1, 1, 4001}).to(DType::float32);
  const Array half = Array{{{0.5, 0.0}}}.to(DType::float16);
  const Tensor y = fractional_max_pool2d(Tensor(row), 1, {1, 4000}, {}, Tensor(half));
  const Reference places = reference(row, half, {1, 1, 4001}, {1, 1, 1}, {1, 1, 4000}, {-1, 1, 0});
  CHECK(values(y) == places.values);
  CHECK(y.value().dtype() == DType::float32);
  const Tensor small(counting({1, 2, 4, 4}).to(DType::bfloat16));
  CHECK(fractional_max_pool2d(small, 2, 2).value().dtype() == DType::bfloat16);
  CHECK(values(fractional_max_pool2d(Tensor(counting({1, 1, 4, 4}).to(DType::int32)), 4, 1)) ==
        List{15});
  const Array broken = Array{{{{1., std::nan(""), 3.}, {0., 2., 1.}, {0., 1., 0.}}}};
  const auto nan = fractional_max_pool2d_with_indices(Tensor(broken), 2, 2);
  CHECK(std::isnan(values(nan.values)[0]));
  CHECK(values(nan.indices)[0] == 1);
  CHECK(values(nan.values)[2] == 2);
}

TEST_CASE("fractional max pooling: gradients, to the first maximum") {
  const Tensor u(fractions({2, 1, 2}));
  check_gradient(scattered({2, 1, 6, 5}), [&](const Tensor& x) {
    return fractional_max_pool2d(x, {2, 3}, {4, 2}, {}, u);
  });
  const Tensor v(fractions({1, 2, 3}));
  check_gradient(scattered({2, 4, 3, 5}), [&](const Tensor& x) {
    return fractional_max_pool3d(x, 2, {2, 2, 3}, {}, v);
  });
  // Equal elements: windows of two at 0, 2, 3, in one row.
  const Variable ties(ones({1, 1, 1, 5}), "ties");
  const Tensor y = fractional_max_pool2d(ties, {1, 2}, {1, 3}, {}, Tensor(Array{{{0.5, 0.0}}}));
  CHECK(values(grad(sum(y), {ties})[0]) == List{1, 0, 1, 1, 0});
  const Tensor x({dim("N"), 1, 6, 5}, DType::float64), s("s");
  const Tensor slope = grad(sum(square(fractional_max_pool2d(x, 2, 3, {}, s))), {x})[0];
  const Variable held(scattered({2, 1, 6, 5}), "held");
  const Tensor same = grad(sum(square(fractional_max_pool2d(held, 2, 3, {}, u))), {held})[0];
  CHECK(Function({x, s}, slope)(held.value(), u.value())[0].tolist<double>() == values(same));
}

TEST_CASE("fractional max pooling: places are drawn for each sample, channel, axis and call") {
  manual_seed(7);
  // The greatest element of a window of 2 is its last one. The second of three windows of 2 among 5
  // begins at 2 for a third of the samples, else at 1.
  constexpr std::int64_t planes = 2000;
  const Array image = counting({1, 1, 5, 5});
  const Tensor x = broadcast_to(Tensor(image), {2, planes / 2, 5, 5});
  const auto [best, at] = fractional_max_pool2d_with_indices(x, 2, 3);
  const Function f({}, {best, at});
  std::vector<Array> first = f(), second = f();
  CHECK(!array_equal(first[0], second[0]));
  for (const std::vector<Array>& call : {first, second}) {
    CHECK(array_equal(call[0], call[1].to(DType::float64)));  // one draw for both
    const List places = call[1].tolist<double>();
    double down = 0, across = 0, both = 0;
    for (std::int64_t plane = 0; plane < planes; ++plane) {
      const auto middle =
          static_cast<std::int64_t>(places[static_cast<std::size_t>(9 * plane + 4)]);
      const bool h = middle / 5 - 1 == 2, w = middle % 5 - 1 == 2;
      CHECK((h || middle / 5 - 1 == 1));
      CHECK((w || middle % 5 - 1 == 1));
      down += h, across += w, both += h && w;
    }
    CHECK(down / planes == doctest::Approx(1. / 3).epsilon(0.1));
    CHECK(across / planes == doctest::Approx(1. / 3).epsilon(0.1));
    CHECK(both / planes == doctest::Approx(1. / 9).epsilon(0.2));
  }
  manual_seed(7);
  const Array again = f()[0];
  manual_seed(7);
  CHECK(array_equal(again, f()[0]));
}

TEST_CASE("FractionalMaxPool2d and 3d are the functions, in evaluation too") {
  const Array image = scattered({2, 3, 7, 9}), u = fractions({2, 3, 2});
  nn::FractionalMaxPool2d pool({2, 3}, {.output_size = {4, 5}, .random_samples = Tensor(u)});
  const Reference want = reference(image, u, {1, 7, 9}, {1, 2, 3}, {1, 4, 5}, {-1, 1, 0});
  CHECK(values(pool(Tensor(image))) == want.values);
  nn::FractionalMaxPool2d drawn(2, {.output_ratio = {0.5}});
  drawn.eval();
  CHECK(!array_equal(drawn(Tensor(image)).value(), drawn(Tensor(image)).value()));
  nn::Sequential chain(nn::FractionalMaxPool2d(2, {.output_ratio = {0.5, 0.7}}), nn::ReLU());
  CHECK(chain(Tensor(image)).shape() == Shape{2, 3, 3, 6});
  nn::FractionalMaxPool3d cube(2, {.output_size = 2});
  CHECK(cube(Tensor(scattered({2, 3, 3, 4}))).shape() == Shape{2, 2, 2, 2});
}

TEST_CASE("fractional max pooling: errors are on the user's line") {
  const Tensor x(zeros({2, 3, 6, 6}));
  const auto refused = [](auto&& f, const std::string& why) {
    const std::string text = message<ShapeError>(f);
    CAPTURE(text);
    CHECK(contains(text, "fractional_max_pool2d"));
    CHECK(contains(text, why));
    CHECK(contains(text, "(fractional_pool_test.cpp:"));
  };
  const std::string one = "needs an output size or an output ratio, and not both";
  refused([&] { (void)fractional_max_pool2d(x, 2); }, one);
  refused([&] { (void)fractional_max_pool2d(x, 2, 3, {0.5}); }, one);
  refused([&] { (void)fractional_max_pool2d(x, 2, {}, {0.5, 0.5, 0.5}); }, "one output ratio");
  refused([&] { (void)fractional_max_pool2d(x, 2, {}, {1}); }, "an output ratio is of (0, 1)");
  refused([&] { (void)fractional_max_pool2d(x, 2, {}, {NAN}); }, "an output ratio is of (0, 1)");
  refused([&] { (void)fractional_max_pool2d(x, 2, {}, {0.1}); }, "0 windows of 2");
  refused([&] { (void)fractional_max_pool2d(x, 4, 4); }, "4 windows of 4 at different places");
  refused([&] { (void)fractional_max_pool2d(x, 0, 4); }, "4 windows of 0");
  refused([&] { (void)fractional_max_pool2d(x, 2, INT64_MAX); }, "windows of 2");
  refused([&] { (void)fractional_max_pool2d(x, {2, 2, 2}, 3); }, "3 entries in kernel_size");
  refused([&] { (void)fractional_max_pool2d(x, 2, {3, 3, 3}); }, "3 entries in output_size");
  refused([&] { (void)fractional_max_pool2d(zeros({6, 6}), 2, 3); }, "expected (batch, channels");
  refused([&] { (void)fractional_max_pool2d(Tensor("unknown"), 2, 3); }, "must be known");
  const Tensor wide({2, 3, dim("H"), 6}, DType::float32);
  refused([&] { (void)fractional_max_pool2d(wide, 2, 3); }, "must be known");
  for (const Shape& shape : {Shape{2, 3}, {2, 3, 3}, {1, 3, 2}, {2, 1, 2}})
    refused([&] { (void)fractional_max_pool2d(x, 2, 3, {}, Tensor(zeros(shape))); },
            "random_samples are (batch, channels, 2)");
  const Tensor later({dim("A"), dim("B"), 2}, DType::float32);
  const Function at_a_call({later}, fractional_max_pool2d(x, 2, 3, {}, later));
  CHECK_NOTHROW((void)at_a_call(zeros({2, 3, 2}, DType::float32)));
  CHECK_THROWS_AS((void)at_a_call(zeros({3, 2, 2}, DType::float32)), ShapeError);
  const Tensor whole(zeros({2, 3, 2}, DType::int64));
  const std::string text =
      message<DTypeError>([&] { (void)fractional_max_pool2d(x, 2, 3, {}, whole); });
  CHECK(contains(text, "fractional_max_pool2d"));
  CHECK(contains(text, "(fractional_pool_test.cpp:"));
  nn::FractionalMaxPool2d pool(2, {});
  refused([&] { (void)pool(x); }, one);

  // Built for the extents that a placeholder has now, it takes no others.
  Tensor free("free");
  free.set_value(scattered({2, 1, 6, 5}));
  const Tensor y = fractional_max_pool2d(free, 2, 3);
  CHECK(y.shape() == Shape{2, 1, 3, 3});
  free.set_value(scattered({4, 2, 6, 5}));
  CHECK(y.shape() == Shape{4, 2, 3, 3});
  CHECK(contains(message<ShapeError>([&] {
                   free.set_value(scattered({2, 1, 5, 6}));
                 }),
                 "(fractional_pool_test.cpp:"));
}
