// The Keras backend: the cases of its documentation, and loops written out beside convolutions,
// recurrences and CTC.
#include <doctest/doctest.h>

#include <cmath>
#include <functional>
#include <iostream>
#include <random>
#include <sstream>
#include <string>

#include "weft/keras_backend.h"
#include "thrown.h"
#include "weft/weft.h"

namespace K = weft::keras;
using namespace weft;

namespace {

using Values = std::vector<double>;


Array random(Shape shape, unsigned seed) {
  std::mt19937 rng(seed);
  std::uniform_real_distribution<double> draw(-1, 1);
  Values v(static_cast<std::size_t>(element_count(shape)));
  for (double& x : v) x = draw(rng);
  return Array::from(v, std::move(shape));
}
double distance(const Array& a, const Array& b) {
  if (a.shape() != b.shape()) return INFINITY;
  const Values x = a.tolist<double>(), y = b.tolist<double>();
  double worst = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    if (x[i] == y[i]) continue;
    const double d = std::fabs(x[i] - y[i]);
    worst = std::isnan(d) ? INFINITY : std::max(worst, d);
  }
  return worst;
}
double distance(const Tensor& a, const Array& b) { return distance(a.value(), b); }
double distance(const Tensor& a, const Tensor& b) { return distance(a.value(), b.value()); }

/// The slope of Σ y · weights along a random direction: by `gradients`, less that by differences.
double slope_error(const std::function<Tensor(const Tensor&)>& f, const Array& at) {
  Variable x(at, "x");
  const Tensor y = f(x);
  const Tensor loss = sum(y * Tensor(random(y.shape(), 91)));
  const Tensor direction(random(at.shape(), 92));
  const double found = sum(K::gradients(loss, {x})[0] * direction).value().item<double>();
  double side[2];
  for (const int i : {0, 1}) {
    x.set_value((Tensor(at) + direction * (i == 0 ? 1e-6 : -1e-6)).value());
    side[i] = loss.value().item<double>();
  }
  return std::fabs(found - (side[0] - side[1]) / 2e-6);
}

// ---- naive convolution: (samples, spatial…, channels), by position ------------------------------

struct Volume {
  Shape shape;  // samples, d, h, w, channels
  Values data;
  double& at(std::int64_t n, const std::array<std::int64_t, 3>& p, std::int64_t c) {
    return data[static_cast<std::size_t>(
        (((n * shape[1] + p[0]) * shape[2] + p[1]) * shape[3] + p[2]) * shape[4] + c)];
  }
};
Volume volume(Shape shape) {
  const auto size = static_cast<std::size_t>(element_count(shape));
  return {std::move(shape), Values(size, 0.0)};
}
/// TensorFlow's margins before: of "same", half of what ceil(n / s) windows need.
std::int64_t before(std::int64_t n, std::int64_t k, std::int64_t s, bool same) {
  return same ? std::max<std::int64_t>(((n + s - 1) / s - 1) * s + k - n, 0) / 2 : 0;
}
std::int64_t results(std::int64_t n, std::int64_t k, std::int64_t s, bool same) {
  return same ? (n + s - 1) / s : (n - k) / s + 1;
}
using Triple = std::array<std::int64_t, 3>;
/// Calls `visit(output place, input place, kernel place)` for all that meet.
template <class F>
void for_windows(const Triple& in, const Triple& size, const Triple& stride, const Triple& dilation,
                 bool same, F visit) {
  Triple out{}, low{};
  for (std::size_t i = 0; i < 3; ++i) {
    const std::int64_t k = (size[i] - 1) * dilation[i] + 1;
    out[i] = results(in[i], k, stride[i], same);
    low[i] = before(in[i], k, stride[i], same);
  }
  Triple o{}, k{};
  for (o[0] = 0; o[0] < out[0]; ++o[0])
    for (o[1] = 0; o[1] < out[1]; ++o[1])
      for (o[2] = 0; o[2] < out[2]; ++o[2])
        for (k[0] = 0; k[0] < size[0]; ++k[0])
          for (k[1] = 0; k[1] < size[1]; ++k[1])
            for (k[2] = 0; k[2] < size[2]; ++k[2]) {
              Triple p{};
              bool inside = true;
              for (std::size_t i = 0; i < 3; ++i) {
                p[i] = o[i] * stride[i] + k[i] * dilation[i] - low[i];
                inside = inside && p[i] >= 0 && p[i] < in[i];
              }
              if (inside) visit(o, p, k);
            }
}
struct Case {
  Shape x, kernel;  // without the leading axes of extent 1
  Triple stride, dilation;
  bool same;
};
Triple extents(const Shape& shape, std::size_t skip) {  // the last of three spatial axes
  Triple t{1, 1, 1};
  const std::size_t n = shape.size() - 2;
  for (std::size_t i = 0; i < n; ++i) t[3 - n + i] = shape[skip + i];
  return t;
}
Array naive_conv(const Case& c, const Array& x, const Array& kernel) {
  const Triple in = extents(c.x, 1), size = extents(c.kernel, 0);
  Triple out{};
  for (std::size_t i = 0; i < 3; ++i)
    out[i] = results(in[i], (size[i] - 1) * c.dilation[i] + 1, c.stride[i], c.same);
  const std::int64_t n = c.x[0], ci = c.x.back(), co = c.kernel.back();
  Volume from{{n, in[0], in[1], in[2], ci}, x.tolist<double>()};
  Volume to = volume({n, out[0], out[1], out[2], co});
  Volume w{{size[0], size[1], size[2], ci, co}, kernel.tolist<double>()};
  for_windows(in, size, c.stride, c.dilation, c.same,
              [&](const Triple& o, const Triple& p, const Triple& k) {
                for (std::int64_t b = 0; b < n; ++b)
                  for (std::int64_t i = 0; i < ci; ++i)
                    for (std::int64_t f = 0; f < co; ++f)
                      to.at(b, o, f) += from.at(b, p, i) * w.at(k[0], {k[1], k[2], i}, f);
              });
  Shape shape{n};
  for (std::size_t i = 5 - c.x.size(); i < 3; ++i) shape.push_back(out[i]);
  shape.push_back(co);
  return Array::from(to.data, shape);
}

Tensor to_first(const Tensor& x) { return movedim(x, -1, 1); }
Tensor to_last(const Tensor& x) { return movedim(x, 1, -1); }

}  // namespace

TEST_CASE("Keras: variables, placeholders, shapes, values") {
  const Tensor p = K::placeholder(K::Extents{2, 4, 5});
  CHECK(K::ndim(p) == 3);
  CHECK(K::dtype(p) == DType::float32);
  CHECK(K::is_placeholder(p));
  const auto shape = K::int_shape(p);
  REQUIRE(shape);
  CHECK((*shape)[2].value() == 5);
  const Tensor open = K::placeholder(K::Extents{none, 3}, {}, DType::float64, false, "open");
  CHECK_FALSE((*K::int_shape(open))[0].has_value());
  CHECK((*K::int_shape(open))[1].value() == 3);
  CHECK(open.name() == "open");
  CHECK(K::int_shape(K::placeholder({}, 4))->size() == 4);
  CHECK_FALSE(K::int_shape(K::placeholder()));
  CHECK_THROWS_AS(K::placeholder({}, 2, {}, true), UnsupportedOp);

  Variable v = K::variable(Array{{1, 2}, {3, 4}}, DType::float64, "example_var");
  CHECK(K::dtype(v) == DType::float64);
  CHECK(v.name() == "example_var");
  CHECK_FALSE(K::is_placeholder(v));
  CHECK(distance(K::eval(v), Array{{1., 2.}, {3., 4.}}) == 0);
  CHECK(K::dtype(K::variable(Array{{1, 2}})) == DType::float32);
  CHECK(distance(K::eye(3), Array{{1., 0., 0.}, {0., 1., 0.}, {0., 0., 1.}}) == 0);
  CHECK(distance(K::zeros({3, 4}), weft::zeros({3, 4})) == 0);
  CHECK(distance(K::ones({3, 4}), weft::ones({3, 4})) == 0);
  CHECK(K::count_params(K::zeros({2, 3})) == 6);
  CHECK(K::get_variable_shape(K::zeros({2, 3})) == Shape{2, 3});
  CHECK(K::shape(v).value().tolist<int>() == std::vector<int>{2, 2});
  CHECK(K::dtype(K::ones_like(v, DType::int32)) == DType::int32);
  CHECK(distance(K::zeros_like(v), weft::zeros({2, 2})) == 0);
  CHECK(distance(K::constant(2, {}, Shape{2, 2}), Array{{2., 2.}, {2., 2.}}) == 0);
  CHECK(K::dtype(K::constant(2)) == DType::float32);
  CHECK(K::arange(3).value().tolist<int>() == std::vector<int>{0, 1, 2});
  CHECK(K::arange(1, 7, 2).value().tolist<int>() == std::vector<int>{1, 3, 5});
  CHECK(K::dtype(K::arange(3)) == DType::int32);

  K::set_value(v, Array{{5, 6}, {7, 8}});
  CHECK(distance(K::get_value(v), Array{{5., 6.}, {7., 8.}}) == 0);
  Variable w = K::variable(Array{1., 2.}, DType::float64);
  K::batch_set_value({{v, Array{{1, 1}, {1, 1}}}, {w, Array{3, 4}}});
  const std::vector<Array> both = K::batch_get_value({v, w});
  CHECK(distance(both[0], Array{{1., 1.}, {1., 1.}}) == 0);
  CHECK(distance(both[1], Array{3., 4.}) == 0);

  CHECK(K::is_tensor(v));
  CHECK_FALSE(K::is_tensor(3.0));
  CHECK_FALSE(K::is_keras_tensor(v));
  CHECK_FALSE(K::is_sparse(p));
  CHECK(distance(K::to_dense(v), v) == 0);
  CHECK(distance(K::identity(v), v) == 0);
  K::reset_uids();
  CHECK(K::get_uid("dense") == 1);
  CHECK(K::get_uid("dense") == 2);
  CHECK(K::get_uid("conv") == 1);
  K::reset_uids();
  CHECK(K::get_uid("dense") == 1);
}

TEST_CASE("Keras: products") {
  // A9, and the documentation's shapes.
  CHECK(distance(
            K::batch_dot(Tensor(Array{{1., 2.}, {3., 4.}}), Tensor(Array{{5., 6.}, {7., 8.}}), 1),
            Array{{17.}, {53.}}) == 0);
  CHECK(K::batch_dot(Tensor(weft::ones({100, 20})), Tensor(weft::ones({100, 30, 20})), {1, 2})
            .shape() == Shape{100, 30});
  CHECK(K::batch_dot(K::ones({32, 20, 1}), K::ones({32, 30, 20}), {1, 2}).shape() ==
        Shape{32, 1, 30});
  CHECK(K::dot(K::ones({2, 3}), K::ones({3, 4})).shape() == Shape{2, 4});
  CHECK(K::dot(K::ones({32, 28, 3}), K::ones({3, 4})).shape() == Shape{32, 28, 4});
  const Array x = random({2, 3}, 1), y = random({4, 3, 5}, 2);
  const Tensor z = K::dot(Tensor(x), Tensor(y));
  CHECK(z.shape() == Shape{2, 4, 5});
  CHECK(distance(z[{1, 2, 3}], sum(Tensor(x)[1] * Tensor(y)[{2, Slice(), 3}])) < 1e-15);
  CHECK(distance(K::transpose(Tensor(Array{{1, 2, 3}, {4, 5, 6}})),
                 Array{{1, 4}, {2, 5}, {3, 6}}) == 0);
  CHECK(K::transpose(K::ones({2, 3, 4})).shape() == Shape{4, 3, 2});
  CHECK(distance(K::gather(Tensor(Array{{1, 2}, {3, 4}, {5, 6}}), Tensor(Array{2, 0})),
                 Array{{5, 6}, {1, 2}}) == 0);
}

TEST_CASE("Keras: elementwise, reductions") {
  const Tensor x(Array{{-2., -.5}, {.5, 3.}});
  CHECK(distance(K::sqrt(x), Array{{0., 0.}, {std::sqrt(.5), std::sqrt(3.)}}) < 1e-15);
  CHECK(distance(K::hard_sigmoid(x), Array{{.1, .4}, {.6, 1.}}) < 1e-15);
  CHECK(distance(K::relu(x), Array{{0., 0.}, {.5, 3.}}) == 0);
  CHECK(distance(K::relu(x, .1), Array{{-.2, -.05}, {.5, 3.}}) < 1e-15);
  CHECK(distance(K::relu(x, 0, 2.), Array{{0., 0.}, {.5, 2.}}) == 0);
  CHECK(distance(K::relu(x, .5, 2., 1.), Array{{-1.5, -.75}, {-.25, 2.}}) == 0);
  CHECK(distance(K::clip(x, -1., 1.), Array{{-1., -.5}, {.5, 1.}}) == 0);
  CHECK(distance(K::clip(x, 1., -1.), Array{{1., 1.}, {1., 1.}}) == 0);
  CHECK(distance(K::elu(x), Array{{std::expm1(-2.), std::expm1(-.5)}, {.5, 3.}}) < 1e-15);
  CHECK(distance(K::softsign(x), Array{{-2. / 3, -1. / 3}, {1. / 3, .75}}) < 1e-15);
  CHECK(distance(K::softplus(x) - K::softplus(-x), x) < 1e-14);
  CHECK(distance(K::softmax(Tensor(Array{{0., std::log(3.)}})), Array{{.25, .75}}) < 1e-15);
  CHECK(distance(K::exp(K::log(K::abs(x))), K::abs(x)) < 1e-15);
  CHECK(distance(K::square(K::sin(x)) + K::square(K::cos(x)), weft::ones({2, 2})) < 1e-15);
  CHECK(distance(K::tanh(x), 2.0 * K::sigmoid(x * 2.0) - 1.0) < 1e-15);
  CHECK(distance(K::round(x), Array{{-2., 0.}, {0., 3.}}) == 0);
  CHECK(distance(K::sign(x), Array{{-1., -1.}, {1., 1.}}) == 0);
  CHECK(distance(K::pow(x, 2), K::square(x)) == 0);
  CHECK(distance(K::maximum(x, 0.0) + K::minimum(x, 0.0), x) == 0);
  CHECK(distance(K::greater(x, 0.0), K::not_equal(K::less_equal(x, 0.0), true)) == 0);
  CHECK(distance(K::greater_equal(x, .5), K::equal(K::less(x, .5), false)) == 0);
  CHECK(K::dtype(K::cast(x, DType::int32)) == DType::int32);

  CHECK(K::sum(x).item<double>() == 1);
  CHECK(distance(K::max(x, 1, true), Array{{-.5}, {3.}}) == 0);
  CHECK(distance(K::min(x, {0}), Array{-2., -.5}) == 0);
  CHECK(distance(K::prod(x, -1), Array{1., 1.5}) == 0);
  CHECK(distance(K::mean(x, {0, 1}), Array(.25)) == 0);
  CHECK(distance(K::var(Tensor(Array{1., 3.})), Array(1.)) == 0);  // over the count
  CHECK(distance(K::std(Tensor(Array{1., 5.})), Array(2.)) == 0);
  CHECK(K::any(x > 0.0).item<bool>());
  CHECK_FALSE(K::all(x > 0.0).item<bool>());
  CHECK(distance(K::logsumexp(Tensor(Array{0., 0.}), 0), Array(std::log(2.))) < 1e-15);
  CHECK(K::argmax(x).value().tolist<int>() == std::vector<int>{1, 1});
  CHECK(K::argmin(x, 0).value().tolist<int>() == std::vector<int>{0, 0});
  CHECK(distance(K::cumsum(x), Array{{-2., -.5}, {-1.5, 2.5}}) == 0);
  CHECK(distance(K::cumprod(x, 1), Array{{-2., 1.}, {.5, 1.5}}) == 0);
  CHECK(distance(K::l2_normalize(Tensor(Array{{3., 4.}}), 1), Array{{.6, .8}}) < 1e-15);
}

TEST_CASE("Keras: shapes") {
  const Tensor b(Array{{1, 2}, {3, 4}});
  CHECK(distance(K::repeat(b, 2), Array{{{1, 2}, {1, 2}}, {{3, 4}, {3, 4}}}) == 0);
  CHECK(distance(K::repeat_elements(b, 2, 1), Array{{1, 1, 2, 2}, {3, 3, 4, 4}}) == 0);
  CHECK(distance(K::repeat_elements(b, 2, 0), Array{{1, 2}, {1, 2}, {3, 4}, {3, 4}}) == 0);
  CHECK(distance(K::tile(b, {1, 2}), Array{{1, 2, 1, 2}, {3, 4, 3, 4}}) == 0);
  CHECK(distance(K::tile(Tensor(Array{1, 2}), 2), Array{1, 2, 1, 2}) == 0);
  CHECK(distance(K::flatten(b), Array{1, 2, 3, 4}) == 0);
  CHECK(K::batch_flatten(K::ones({3, 4, 5})).shape() == Shape{3, 20});
  CHECK(K::reshape(b, {4, 1}).shape() == Shape{4, 1});
  CHECK(K::permute_dimensions(K::ones({2, 3, 4}), {2, 0, 1}).shape() == Shape{4, 2, 3});
  CHECK(K::expand_dims(b).shape() == Shape{2, 2, 1});
  CHECK(K::squeeze(K::ones({2, 1, 3}), 1).shape() == Shape{2, 3});
  CHECK(K::concatenate({b, b}).shape() == Shape{2, 4});
  CHECK(K::stack({b, b, b}, 1).shape() == Shape{2, 3, 2});
  CHECK(distance(K::one_hot(Tensor(Array{2, 0}), 3), Array{{0., 0., 1.}, {1., 0., 0.}}) == 0);
  CHECK(distance(K::reverse(b, {0, 1}), Array{{4, 3}, {2, 1}}) == 0);
  CHECK(distance(K::reverse(b, 1), Array{{2, 1}, {4, 3}}) == 0);
  CHECK(distance(K::slice(b, {0, 1}, {2, 1}), Array{{2}, {4}}) == 0);
  CHECK(distance(K::slice(b, {1, 0}, {-1, -1}), Array{{3, 4}}) == 0);
  CHECK(K::temporal_padding(K::ones({2, 3, 4})).shape() == Shape{2, 5, 4});
  CHECK(K::spatial_2d_padding(K::ones({2, 3, 4, 5}), {{1, 2}, {0, 3}}).shape() ==
        Shape{2, 6, 7, 5});
  CHECK(K::spatial_2d_padding(K::ones({2, 3, 4, 5}), {{1, 1}, {1, 1}}, "channels_first").shape() ==
        Shape{2, 3, 6, 7});
  CHECK(K::spatial_3d_padding(K::ones({1, 2, 3, 4, 5})).shape() == Shape{1, 4, 5, 6, 5});
  CHECK(distance(K::temporal_padding(Tensor(Array{{{1}, {2}}}), {0, 1}), Array{{{1}, {2}, {0}}}) ==
        0);

  const Tensor image(Array{{{{1.}, {2.}}, {{3.}, {4.}}}});
  CHECK(distance(K::flatten(K::resize_images(image, 2, 1)),
                 Array{1., 2., 1., 2., 3., 4., 3., 4.}) == 0);
  CHECK(distance(K::reshape(K::resize_images(image, 2, 2, "channels_last", "bilinear"), {4, 4}),
                 Array{{1., 1.25, 1.75, 2.},
                       {1.5, 1.75, 2.25, 2.5},
                       {2.5, 2.75, 3.25, 3.5},
                       {3., 3.25, 3.75, 4.}}) < 1e-15);
  CHECK(distance(to_last(K::resize_images(to_first(image), 3, 2, "channels_first", "bilinear")),
                 K::resize_images(image, 3, 2, "channels_last", "bilinear")) < 1e-15);
  CHECK(K::resize_volumes(K::ones({1, 2, 3, 4, 5}), 2, 3, 4).shape() == Shape{1, 4, 9, 16, 5});
  CHECK(K::resize_volumes(K::ones({1, 2, 3, 4, 5}), 2, 3, 4, "channels_first").shape() ==
        Shape{1, 2, 6, 12, 20});
  CHECK(slope_error(
            [](const Tensor& x) { return K::resize_images(x, 2, 3, "channels_last", "bilinear"); },
            random({2, 3, 2, 2}, 5)) < 1e-8);
}

TEST_CASE("Keras: losses and normalisation") {
  const Tensor p(Array{{.25, .75}, {.5, .5}}), t(Array{{0., 1.}, {1., 0.}});
  const double quarter = -std::log(.75), half = std::log(2.);
  CHECK(distance(K::categorical_crossentropy(t, p), Array{quarter, half}) < 1e-15);
  CHECK(distance(K::categorical_crossentropy(t, p * 8.0), Array{quarter, half}) < 1e-15);
  CHECK(distance(K::categorical_crossentropy(t, K::log(p), true), Array{quarter, half}) < 1e-15);
  const Tensor classes(Array{1, 0});
  CHECK(distance(K::sparse_categorical_crossentropy(classes, p), Array{quarter, half}) < 1e-15);
  CHECK(distance(K::sparse_categorical_crossentropy(classes, K::log(p), true),
                 Array{quarter, half}) < 1e-15);
  CHECK(distance(K::sparse_categorical_crossentropy(Tensor(Array{{1, 0}}), expand_dims(p, 0)),
                 Array{{quarter, half}}) < 1e-15);
  CHECK(distance(K::sparse_categorical_crossentropy(classes, transpose(p, 0, 1), false, 0),
                 Array{quarter, half}) < 1e-15);
  CHECK(distance(K::binary_crossentropy(t, p), Array{{quarter, quarter}, {half, half}}) < 1e-15);
  CHECK(distance(K::binary_crossentropy(t, K::log(p / (1.0 - p)), true),
                 Array{{quarter, quarter}, {half, half}}) < 1e-15);
  CHECK(K::binary_crossentropy(Tensor(Array{1.}), Tensor(Array{0.})).item<double>() ==
        doctest::Approx(-std::log(1e-7)));
  CHECK(K::in_top_k(Tensor(Array{{.1, .9, .3}, {.5, .2, .3}}), Tensor(Array{2, 2}), 2)
            .value()
            .tolist<bool>() == std::vector<bool>{true, true});
  CHECK(K::in_top_k(Tensor(Array{{.1, .9, .3}}), Tensor(Array{0}), 2).value().tolist<bool>() ==
        std::vector<bool>{false});

  const Array x = random({4, 3, 2}, 3);
  const auto [y, mean, variance] = K::normalize_batch_in_training(Tensor(x), Tensor(Array{2., 3.}),
                                                                  Tensor(Array{.5, -.5}), {0, 1});
  CHECK(mean.shape() == Shape{2});
  CHECK(distance(K::mean(y, {0, 1}), Array{.5, -.5}) < 1e-14);
  CHECK(distance(y, K::batch_normalization(Tensor(x), mean, variance, Tensor(Array{.5, -.5}),
                                           Tensor(Array{2., 3.}))) < 1e-14);
  const auto by_row =
      K::normalize_batch_in_training(Tensor(x), {}, Tensor(Array{1., 2., 3.}), {0, 2});
  CHECK(distance(K::mean(by_row.normalized, {0, 2}), Array{1., 2., 3.}) < 1e-14);
  CHECK(distance(K::batch_normalization(Tensor(x), by_row.mean, by_row.variance,
                                        Tensor(Array{1., 2., 3.}), {}, 1),
                 by_row.normalized) < 1e-14);
}

TEST_CASE("Keras: functions, updates, gradients, learning phase, switches") {
  const Tensor x = K::placeholder(K::Extents{none, 2});
  Variable count = K::variable(0.0), average = K::variable(2.0);
  const Function f = K::function(
      {x}, {K::sum(x)}, {K::update_add(count, 1.0), K::moving_average_update(average, 4.0, .75)});
  CHECK(f({Array{{1.f, 2.f}}})[0].item<double>() == 3);
  CHECK(count.item<double>() == 1);
  CHECK(average.item<double>() == 2.5);
  const Function g = K::function({}, {K::identity(count)},
                                 {K::update_sub(count, 3.0), K::update(average, count * 2.0)});
  g();
  CHECK(count.item<double>() == -2);
  CHECK(average.item<double>() == 2);

  Variable w = K::variable(Array{1., 2., 3.}, DType::float64);
  const Tensor squares = K::square(w);
  CHECK(distance(K::gradients(squares, {w})[0], Array{2., 4., 6.}) == 0);  // of the sum
  CHECK(distance(K::gradients(K::sum(w * K::stop_gradient(w)), {w})[0], Array{1., 2., 3.}) == 0);
  CHECK(K::stop_gradient(K::Tensors{w, w}).size() == 2);

  K::set_learning_phase(0);
  const Tensor trained = K::in_train_phase(w * 2.0, w), tested = K::in_test_phase(w * 2.0, w);
  CHECK(distance(trained, w) == 0);
  K::set_learning_phase(1);
  CHECK(K::learning_phase().item<int>() == 1);
  CHECK(distance(trained, w * 2.0) == 0);
  CHECK(distance(tested, w) == 0);
  K::set_learning_phase(0);
  CHECK_THROWS_AS(K::set_learning_phase(2), Error);
  CHECK(distance(K::in_train_phase(w * 2.0, w, 1), w * 2.0) == 0);
  CHECK(distance(K::in_train_phase([&] { return w * 2.0; }, [&]() -> Tensor { return w; }, 0), w) ==
        0);
  const Tensor a = K::placeholder(K::Extents{2}, {}, DType::float64);
  const Function phases = K::function({a, K::learning_phase()}, {K::in_train_phase(a * 3.0, a)});
  CHECK(distance(phases({Array{1., 2.}, Array(1)})[0], Array{3., 6.}) == 0);
  CHECK(distance(phases({Array{1., 2.}, Array(0)})[0], Array{1., 2.}) == 0);

  const Tensor rows(Array{{1., 2.}, {3., 4.}});
  CHECK(distance(K::switch_(Tensor(Array{true, false}), rows, rows * 10.0),
                 Array{{1., 2.}, {30., 40.}}) == 0);
  CHECK(distance(K::switch_(K::sum(rows) > 0.0, rows, rows * 10.0), rows) == 0);
  CHECK(contains(
      message<ShapeError>([&] { K::switch_(rows > 0.0, K::sum(rows, 1), K::sum(rows, 1)); }),
      "keras_backend_test.cpp"));

  std::ostringstream printed;
  std::streambuf* old = std::cout.rdbuf(printed.rdbuf());
  const Array same = K::print_tensor(w * 1.0, "w is: ").value();
  std::cout.rdbuf(old);
  CHECK(printed.str() == "w is: [1. 2. 3.]\n");
  CHECK(distance(same, w.value()) == 0);
}

TEST_CASE("Keras: map, folds, recurrent steps") {
  const Tensor x(Array{1., 2., 3., 4.});
  CHECK(distance(K::map_fn([](const Tensor& e) { return e * e; }, x), Array{1., 4., 9., 16.}) == 0);
  CHECK(K::dtype(K::map_fn([](const Tensor& e) { return e; }, x, "m", DType::int32)) ==
        DType::int32);
  const auto less = [](const Tensor& total, const Tensor& e) { return total - e; };
  CHECK(K::foldl(less, x).item<double>() == -8);
  CHECK(K::foldr(less, x).item<double>() == -2);
  CHECK(K::foldl(less, x, Tensor(10.0)).item<double>() == 0);
  CHECK(K::foldr([](const Tensor& total, const Tensor& e) { return total / e; }, x, Tensor(24.0))
            .item<double>() == 1);
  CHECK_THROWS_AS(K::map_fn([](const Tensor& e) { return e; }, K::placeholder(K::Extents{none})),
                  ShapeError);

  const K::StepFn step = [](const Tensor& in, const Tensors& states) {
    const Tensor h = in + states[0] * states.back();  // the last is a constant
    return K::StepResult{h * 2.0, {h}};
  };
  const Tensor inputs(Array{{{1.}, {2.}, {3.}}, {{4.}, {5.}, {6.}}}),
      zero(weft::zeros({2, 1}, DType::float64)), ten(10.0);
  const auto [last, outputs, states] = K::rnn(step, inputs, {zero}, false, {}, {ten});
  CHECK(distance(outputs, Array{{{2.}, {24.}, {246.}}, {{8.}, {90.}, {912.}}}) == 0);
  CHECK(distance(last, Array{{246.}, {912.}}) == 0);
  CHECK(distance(states[0], Array{{123.}, {456.}}) == 0);
  const auto back = K::rnn(step, inputs, {zero}, true, {}, {ten});
  CHECK(distance(back.outputs, Array{{{6.}, {64.}, {642.}}, {{12.}, {130.}, {1308.}}}) == 0);
  const Tensor mask(Array{{true, false, true}, {false, true, true}});
  const auto masked = K::rnn(step, inputs, {zero}, false, mask, {ten});
  CHECK(distance(masked.outputs, Array{{{2.}, {2.}, {26.}}, {{0.}, {10.}, {112.}}}) == 0);
  CHECK(distance(masked.states[0], Array{{13.}, {56.}}) == 0);
  CHECK(slope_error(
            [&](const Tensor& v) { return K::rnn(step, v, {zero}, false, mask, {ten}).outputs; },
            random({2, 3, 1}, 6)) < 1e-6);
}

TEST_CASE("Keras: convolutions against loops, in both data formats") {
  const std::vector<Case> cases{
      {{2, 7, 3}, {3, 3, 4}, {1, 1, 1}, {1, 1, 1}, false},
      {{2, 7, 3}, {3, 3, 4}, {1, 1, 2}, {1, 1, 1}, true},
      {{2, 8, 3}, {2, 3, 4}, {1, 1, 3}, {1, 1, 1}, true},
      {{2, 9, 3}, {3, 3, 4}, {1, 1, 1}, {1, 1, 2}, true},
      {{2, 5, 6, 3}, {3, 2, 3, 4}, {1, 1, 1}, {1, 1, 1}, false},
      {{2, 5, 6, 3}, {3, 2, 3, 4}, {1, 2, 1}, {1, 1, 1}, true},
      {{1, 6, 7, 2}, {2, 3, 2, 3}, {1, 1, 1}, {1, 2, 2}, true},
      {{1, 4, 5, 3, 2}, {2, 3, 2, 2, 3}, {1, 2, 1}, {1, 1, 1}, true},
  };
  for (const Case& c : cases) {
    CAPTURE(to_string(std::span<const std::int64_t>(c.x)));
    const Array a = random(c.x, 1), k = random(c.kernel, 2);
    const std::size_t n = c.x.size() - 2;
    const std::vector<std::int64_t> s(c.stride.end() - static_cast<std::ptrdiff_t>(n),
                                      c.stride.end()),
        d(c.dilation.end() - static_cast<std::ptrdiff_t>(n), c.dilation.end());
    const auto conv = [&](const Tensor& x, const char* format) {
      const char* padding = c.same ? "same" : "valid";
      return n == 1   ? K::conv1d(x, Tensor(k), s, padding, format, d)
             : n == 2 ? K::conv2d(x, Tensor(k), s, padding, format, d)
                      : K::conv3d(x, Tensor(k), s, padding, format, d);
    };
    const Array want = naive_conv(c, a, k);
    CHECK(distance(conv(Tensor(a), "channels_last"), want) < 1e-13);
    CHECK(distance(to_last(conv(to_first(Tensor(a)), "channels_first")), want) < 1e-13);

    // The transpose is the gradient: <conv(x), y> = <x, transpose(y)>.
    if (n == 1 || (n == 3 && d != std::vector<std::int64_t>(3, 1))) continue;
    const Array y = random(want.shape(), 3);
    K::Extents shape;
    for (const std::int64_t extent : c.x) shape.push_back(extent);
    const char* padding = c.same ? "same" : "valid";
    const Tensor back =
        n == 2 ? K::conv2d_transpose(Tensor(y), Tensor(k), shape, s, padding, "channels_last", d)
               : K::conv3d_transpose(Tensor(y), Tensor(k), shape, s, padding);
    CHECK(distance(sum(back * Tensor(a)), sum(Tensor(want) * Tensor(y))) < 1e-12);
    CHECK(back.shape() == c.x);
  }
  // The documentation's causal example: nothing of the future.
  const Tensor line(Array{{{1.}, {2.}, {3.}, {4.}}}), pair(Array{{{1.}}, {{10.}}});
  CHECK(distance(K::conv1d(line, pair, 1, "causal"), Array{{{10.}, {21.}, {32.}, {43.}}}) == 0);
  CHECK(distance(K::conv1d(line, pair, 1, "causal", "channels_last", 2),
                 Array{{{10.}, {20.}, {31.}, {42.}}}) == 0);
  CHECK(contains(message<Error>([&] { K::conv1d(line, pair, 1, "full"); }), "unknown padding"));
  CHECK(contains(message<Error>([&] { K::conv1d(line, pair, 1, "same", "nhwc"); }), "data_format"));
  CHECK(contains(message<ShapeError>([&] { K::conv2d(line, pair); }), "keras_backend_test.cpp"));
  CHECK(contains(message<ShapeError>([&] {
                   K::conv1d(line, Tensor(weft::ones({2, 3, 4}, DType::float64)));
                 }),
                 "keras_backend_test.cpp"));

  // Depthwise: channel i, filter q to channel i · multiplier + q.
  const Array image = random({2, 5, 6, 3}, 4), each = random({2, 3, 3, 2}, 5);
  const Tensor deep = K::depthwise_conv2d(Tensor(image), Tensor(each), {2, 1}, "same");
  CHECK(deep.shape() == Shape{2, 3, 6, 6});
  for (std::int64_t i = 0; i < 3; ++i) {
    const Tensor one = Tensor(image)[{ellipsis, Slice(i, i + 1)}],
                 filters = Tensor(each)[{ellipsis, Slice(i, i + 1), Slice()}];
    CHECK(distance(deep[{ellipsis, Slice(2 * i, 2 * i + 2)}],
                   K::conv2d(one, filters, {2, 1}, "same")) < 1e-14);
  }
  const Tensor mix(random({1, 1, 6, 4}, 6));
  CHECK(distance(K::separable_conv2d(Tensor(image), Tensor(each), mix, {2, 1}, "same"),
                 K::conv2d(deep, mix)) < 1e-13);
  CHECK(distance(to_last(K::separable_conv2d(to_first(Tensor(image)), Tensor(each), mix, {2, 1},
                                             "same", "channels_first")),
                 K::conv2d(deep, mix)) < 1e-13);
  const Tensor one_d =
      K::separable_conv1d(Tensor(image)[{Slice(), 0}], Tensor(each)[0], mix[0], 1, "valid");
  CHECK(one_d.shape() == Shape{2, 4, 4});

  // A kernel that is the same at each place is a convolution.
  const Tensor same_1d(random({3, 2, 4}, 7)), x1(random({2, 8, 2}, 8));
  const Tensor at_places = broadcast_to(reshape(same_1d, {1, 6, 4}), {3, 6, 4});
  CHECK(distance(K::local_conv1d(x1, at_places, 3, 2), K::conv1d(x1, same_1d, 2)) < 1e-14);
  CHECK(distance(to_last(K::local_conv1d(to_first(x1), at_places, 3, 2, "channels_first")),
                 K::conv1d(x1, same_1d, 2)) < 1e-14);
  const Tensor same_2d(random({2, 3, 3, 4}, 9)), x2(random({2, 5, 6, 3}, 10));
  const Tensor want = K::conv2d(x2, same_2d, {1, 2});
  const Tensor local = broadcast_to(reshape(same_2d, {1, 18, 4}), {8, 18, 4});
  CHECK(distance(K::local_conv2d(x2, local, {2, 3}, {1, 2}, {4, 2}), want) < 1e-14);
  const Tensor local_first =
      broadcast_to(reshape(permute(same_2d, {2, 0, 1, 3}), {1, 18, 4}), {8, 18, 4});
  CHECK(distance(to_last(K::local_conv2d(to_first(x2), local_first, {2, 3}, {1, 2}, {4, 2},
                                         "channels_first")),
                 want) < 1e-14);
  CHECK(slope_error(
            [&](const Tensor& k) {
              return K::local_conv2d(x2, k, {2, 3}, {1, 2}, {4, 2});
            },
            random({8, 18, 4}, 11)) < 1e-7);
}

TEST_CASE("Keras: pooling, bias") {
  const Array a = random({2, 5, 6, 3}, 1);
  for (const bool same : {false, true})
    for (const char* mode : {"max", "avg"}) {
      const Triple in{1, 5, 6}, size{1, 3, 2}, stride{1, 2, 2};
      const bool is_max = mode == std::string("max");
      Volume from{{2, 1, 5, 6, 3}, a.tolist<double>()};
      Volume to = volume({2, 1, results(5, 3, 2, same), results(6, 2, 2, same), 3});
      Volume count = to;
      for_windows(in, size, stride, {1, 1, 1}, same,
                  [&](const Triple& o, const Triple& p, const Triple&) {
                    for (std::int64_t n = 0; n < 2; ++n)
                      for (std::int64_t c = 0; c < 3; ++c) {
                        const double x = from.at(n, p, c);
                        double& y = to.at(n, o, c);
                        const bool begun = count.at(n, o, c) > 0;
                        y = !is_max ? y + x : begun ? std::max(y, x) : x;
                        count.at(n, o, c) += 1;
                      }
                  });
      if (!is_max)
        for (std::size_t i = 0; i < to.data.size(); ++i) to.data[i] /= count.data[i];
      const Array want = Array::from(to.data, {2, to.shape[2], to.shape[3], 3});
      const char* padding = same ? "same" : "valid";
      CHECK(distance(K::pool2d(Tensor(a), {3, 2}, {2, 2}, padding, "channels_last", mode), want) <
            1e-15);
      CHECK(distance(to_last(K::pool2d(to_first(Tensor(a)), {3, 2}, {2, 2}, padding,
                                       "channels_first", mode)),
                     want) < 1e-15);
    }
  CHECK(K::pool3d(K::ones({1, 4, 4, 4, 2}), {2, 2, 2}, {2, 2, 2}).shape() == Shape{1, 2, 2, 2, 2});
  CHECK(
      contains(message<Error>([&] { K::pool2d(Tensor(a), 2, 1, "valid", "channels_last", "min"); }),
               "pool_mode"));
  const Tensor x(a), b(Array{1., 2., 3.});
  CHECK(distance(K::bias_add(x, b), x + b) == 0);
  CHECK(distance(to_last(K::bias_add(to_first(x), b, "channels_first")), x + b) == 0);
  const Tensor whole(random({5, 6, 3}, 2));
  CHECK(distance(to_last(K::bias_add(to_first(x), whole, "channels_first")), x + whole) == 0);
  CHECK_THROWS_AS(K::bias_add(x, Tensor(weft::ones({6, 3}))), ShapeError);
}

TEST_CASE("Keras: ctc_batch_cost against the sum over all paths") {
  constexpr std::int64_t time = 5, classes = 4;  // the last is the blank
  const Tensor p = softmax(Tensor(random({3, time, classes}, 1)) * 2.0);
  const Values probability = p.value().tolist<double>();
  const std::vector<std::vector<int>> labels{{0, 0}, {1, 2}, {2}};
  const std::vector<std::int64_t> steps{5, 3, 4};
  Values want;
  for (std::size_t sample = 0; sample < labels.size(); ++sample) {
    double likelihood = 0;
    const auto paths = static_cast<int>(std::pow(classes, steps[sample]));
    for (int path = 0; path < paths; ++path) {
      double product = 1;
      std::vector<int> read;
      int before = -1, rest = path;
      for (std::int64_t t = 0; t < steps[sample]; ++t, rest /= classes) {
        const int c = rest % classes;
        product *= probability[(sample * time + static_cast<std::size_t>(t)) * classes +
                               static_cast<std::size_t>(c)];
        if (c != before && c != classes - 1) read.push_back(c);
        before = c;
      }
      if (read == labels[sample]) likelihood += product;
    }
    want.push_back(-std::log(likelihood));
  }
  const Tensor y(Array{{0, 0}, {1, 2}, {2, -1}}), in(Array{{5}, {3}, {4}}),
      lengths(Array{{2}, {2}, {1}});
  const Tensor cost = K::ctc_batch_cost(y, p, in, lengths);
  CHECK(cost.shape() == Shape{3, 1});
  CHECK(distance(cost, Array::from(want, {3, 1})) < 2e-6);  // 1e-7 is added to the probabilities
  CHECK(slope_error([&](const Tensor& x) { return K::ctc_batch_cost(y, softmax(x), in, lengths); },
                    random({3, time, classes}, 2)) < 1e-6);
  // Two equal labels need a blank between them.
  CHECK(std::isinf(K::ctc_batch_cost(Tensor(Array{{0, 0}}), p[{Slice(0, 1)}], Tensor(Array{{2}}),
                                     Tensor(Array{{2}}))
                       .item<double>()));
  CHECK_THROWS_AS(K::ctc_batch_cost(y, p[0], in, lengths), ShapeError);
}

TEST_CASE("Keras: random values") {
  manual_seed(1);
  const Tensor u = K::random_uniform({1000}, -1, 3, DType::float64);
  const Values v = u.value().tolist<double>();
  CHECK(*std::min_element(v.begin(), v.end()) >= -1);
  CHECK(*std::max_element(v.begin(), v.end()) < 3);
  CHECK(std::fabs(K::mean(u).item<double>() - 1) < .15);
  const Tensor n = K::random_normal({1000}, 5, 2, DType::float64);
  CHECK(std::fabs(mean(n).item<double>() - 5) < .3);
  const Values t = K::truncated_normal({1000}, 1, 2, DType::float64).value().tolist<double>();
  CHECK(*std::min_element(t.begin(), t.end()) >= -3);
  CHECK(*std::max_element(t.begin(), t.end()) <= 5);
  const Tensor ones = K::random_binomial({1000}, .25);
  CHECK(K::dtype(ones) == DType::float32);
  CHECK(std::fabs(mean(ones).item<double>() - .25) < .06);
  const Function draw = K::function({}, {K::random_uniform({4})});
  CHECK_FALSE(array_equal(draw()[0], draw()[0]));
  CHECK_THROWS_AS(K::random_normal({2}, 0, 1, {}, 7), UnsupportedOp);
  const Variable a = K::random_normal_variable({3, 2}, 0, 1, {}, "a", 7),
                 b = K::random_normal_variable({3, 2}, 0, 1, {}, "b", 7),
                 c = K::random_uniform_variable({3, 2}, 4, 5);
  CHECK(array_equal(a.value(), b.value()));
  for (const double x : c.value().tolist<double>()) CHECK((x >= 4 && x < 5));

  const Tensor x(weft::ones({50, 40}, DType::float64));
  const Array dropped = K::dropout(x, .5, Shape{50, 1}).value();
  const Values d = dropped.tolist<double>();
  for (std::size_t i = 0; i < d.size(); ++i) {
    CHECK((d[i] == 0 || d[i] == 2));
    CHECK(d[i] == d[i / 40 * 40]);
  }
  CHECK(std::fabs(mean(K::dropout(x, .25)).item<double>() - 1) < .1);
}
