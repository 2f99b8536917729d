// Special functions, the less common elementwise operations and activations: values from the
// documentation of PyTorch and NumPy or computed with 60 digits, corners, errors, gradients.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <string>

#include "thrown.h"
#include "weft/weft.h"

using namespace weft;

namespace {

constexpr double inf = std::numeric_limits<double>::infinity();
const double nan_value = std::numeric_limits<double>::quiet_NaN();

Tensor f64(std::vector<double> v) {
  const auto n = static_cast<std::int64_t>(v.size());
  return Tensor(Array::from(v, {n}));
}
Tensor i32(std::vector<std::int32_t> v) {
  const auto n = static_cast<std::int64_t>(v.size());
  return Tensor(Array::from(v, {n}));
}

/// Within `ulps` units of double; NaN equals NaN, and zeros have their signs.
void check(const Tensor& t, const std::vector<double>& want, double ulps = 4) {
  const std::vector<double> got = t.value().tolist<double>();
  REQUIRE(got.size() == want.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    INFO("element ", i, " is ", got[i], ", not ", want[i]);
    if (std::isnan(want[i])) {
      CHECK(std::isnan(got[i]));
    } else if (std::isinf(want[i]) || want[i] == 0) {
      CHECK(got[i] == want[i]);
      CHECK(std::signbit(got[i]) == std::signbit(want[i]));
    } else {
      CHECK(std::fabs(got[i] - want[i]) <= ulps * 0x1p-52 * std::fabs(want[i]));
    }
  }
}
/// Gradient of the sum of f at x.
template <class F> std::vector<double> slopes(F f, const std::vector<double>& at) {
  const Tensor x = f64(at);
  return grad(sum(f(x)), {x})[0].value().template tolist<double>();
}

}  // namespace

TEST_CASE("special functions have their values") {
  check(lgamma(f64({0.5, 1, 2, 10, 171.5, 1e-300, -0.5, -2.5, 1e305, inf})),
        {0.5723649429247001, 0.0, 0.0, 12.801827480081469, 709.1431630309282, 690.7755278982137,
         1.2655121234846454, -0.056243716497674054, 7.012884533631839e+307, inf},
        40);
  check(lgamma(f64({0.0, -0.0, -1, -3, -1e300, -inf, nan_value})),
        {inf, inf, inf, inf, inf, inf, nan_value});
  check(digamma(f64({1, 0.5, 10, -0.5, 1e10, 1.4616321449683622})),
        {-0.5772156649015329, -1.9635100260214235, 2.251752589066721, 0.03648997397857652,
         23.025850929890456, -9.241265521729427e-17},
        1e7);
  check(digamma(f64({0.0, -0.0, -1, -2, inf, nan_value})),
        {-inf, inf, nan_value, nan_value, inf, nan_value});
  check(polygamma(1, f64({1, 0.5, -0.5, 20})),
        {1.6449340668482264, 4.934802200544679, 8.934802200544679, 0.05127082293520312});
  check(polygamma(2, f64({1, 0.5})), {-2.4041138063191886, -16.828796644234320});
  check(polygamma(3, f64({1, 0, inf})), {6.493939402266829, inf, 0});
  check(mvlgamma(f64({2.5, 4}), 2), {0.8570478133976193, 3.565098014499829});
  check(i0(f64({0, 1, -1, 10, 800})),
        {1, 1.2660658777520084, 1.2660658777520084, 2815.716628466254, inf});
  check(i0e(f64({0, 1, 100, inf})), {1, 0.46575960759364043, 0.03994437929909668, 0});
  check(i1(f64({0, 1, -1, 10})), {0, 0.565159103992485, -0.565159103992485, 2670.988303701255});
  check(i1e(f64({0, 1, -100, inf})), {0, 0.2079104153497085, -0.03974415302513025, 0});
  check(erfinv(f64({0, 0.5, -0.5, 0.999, 1, -1, 1.5, nan_value})),
        {0, 0.4769362762044699, -0.4769362762044699, 2.3267537655135246, inf, -inf, nan_value,
         nan_value});
  check(erfcx(f64({0, 1, 30, 1e200, -1})),
        {1, 0.427583576155807, 0.018795888861416751, 5.641895835477563e-201, 5.00898008076228});
  check(ndtr(f64({0, 1, -1, -30, inf, -inf})),
        {0.5, 0.8413447460685429, 0.15865525393145705, 4.906713927148187e-198, 1, 0});
  check(ndtri(f64({0.5, 0.975, 1e-100, 0, 1, 2})),
        {0, 1.9599639845400543, -21.273453560965326, -inf, inf, nan_value});
  check(log_ndtr(f64({0, -1, -40, 10})),
        {-0.6931471805599453, -1.8410216450092636, -804.6084420137538, -7.619853024160527e-24});
  check(sinc(f64({0, 0.5, 1, -1.5, 1e-200})), {1, 0.6366197723675814, 0, -0.2122065907891938, 1});
  check(cbrt(f64({27, -8, 0, 1e-320, inf, -inf, 2})),
        {3, -2, 0, 2.1544266950262728e-107, inf, -inf, 1.2599210498948732});
  check(exp10(f64({0, 2, -3, 308.5, -400, 0.5})), {1, 100, 1e-3, inf, 0, 3.1622776601683795});
  check(entr(f64({0, 1, 0.5, -1})), {0, -0.0, 0.34657359027997264, -inf});
  check(xlogy(f64({0, 0, 2, 0}), f64({0, -1, 3, nan_value})),
        {0, 0, 2.1972245773362196, nan_value});
  check(xlog1py(f64({0, 2}), f64({-1, 2})), {0, 2.1972245773362196});
  check(logit(f64({0.5, 0.25})), {0, -1.0986122886681098});
  CHECK(contains(message<Error>([] { polygamma(-1, f64({1})); }), "polygamma"));
  CHECK(contains(message<Error>([] { mvlgamma(f64({1}), 0); }), "mvlgamma"));
}

TEST_CASE("elementwise operations have their values") {
  check(lerp(f64({1, 2}), f64({10, 10}), 0.5), {5.5, 6});
  check(lerp(f64({1, -3}), f64({0.1, 1e30}), 1.0), {0.1, 1e30}, 0);
  check(addcmul(f64({1, 2}), f64({3, 4}), f64({5, 6}), 0.1), {2.5, 4.4});
  check(addcdiv(f64({1, 2}), f64({3, 4}), f64({4, 8}), 2), {2.5, 3});
  check(add(f64({1, 2}), f64({3, 4}), 10), {31, 42});
  check(sub(f64({1, 2}), f64({3, 4}), 10), {-29, -38});
  check(rsub(f64({1, 2}), f64({3, 4})), {2, 2});
  check(div(f64({-7, 7}), f64({2, 2}), "trunc"), {-3, 3});
  check(div(f64({-7, 7}), f64({2, 2}), "floor"), {-4, 3});
  check(div(i32({-7, 7, 1}), i32({2, 2, 0}), "trunc"), {-3, 3, 0});
  CHECK(div(i32({7}), i32({2}), "trunc").value().dtype() == DType::int32);
  CHECK(contains(message<Error>([] { div(f64({1}), f64({1}), "up"); }), "up"));
  const Tensor power = float_power(i32({2, 3}), 0.5);
  CHECK(power.value().dtype() == DType::float64);
  check(power, {1.4142135623730951, 1.7320508075688772});
  check(round(f64({0.125, 1.25, -2.675}), 1), {0.1, 1.2, -2.7});
  check(round(f64({1234, 1250}), -2), {1200, 1200});
  check(frac(f64({1, 2.5, -3.25})), {0, 0.5, -0.25});
  check(signbit(f64({0.0, -0.0, 1, -1, -inf})), {0, 1, 0, 1, 1});
  check(copysign(f64({1, -1, 0}), f64({-0.0, 2, -3})), {-1, 1, -0.0});
  check(hypot(f64({3, 1e300, 0, inf}), f64({4, 1e300, 0, nan_value})),
        {5, 1.4142135623730951e300, 0, inf});
  check(logaddexp(f64({-1, -2, 1000, inf, -inf}), f64({-1, -3, 0, inf, -inf})),
        {-0.3068528194400547, -1.6867383124817772, 1000, inf, -inf});
  check(logaddexp2(f64({1, -100}), f64({1, -100})), {2, -99});
  check(fmax(f64({1, nan_value, nan_value, 2}), f64({2, 3, nan_value, nan_value})),
        {2, 3, nan_value, 2});
  check(fmin(f64({1, nan_value, 2}), f64({2, 3, nan_value})), {1, 3, 2});
  check(heaviside(f64({-1.5, 0, 2}), 0.5), {0, 0.5, 1});
  check(heaviside(i32({-1, 0, 5}), 7), {0, 7, 1});
  check(nextafter(f64({1, 1, 0, 2}), f64({2, 0, -1, 2})),
        {1 + 0x1p-52, 1 - 0x1p-53, -4.9406564584124654e-324, 2}, 0);
  const Tensor half(Array::from(std::vector<double>{1, 65504, 0, 0x1p-14, inf}).to(DType::float16));
  check(nextafter(half, f64({2, 1e6, 1, 0, 0}).value().to(DType::float16)),
        {1 + 0x1p-10, inf, 0x1p-24, 0x1p-14 - 0x1p-24, 65504}, 0);
  const Tensor brain(Array::from(std::vector<double>{1, -1, 0}).to(DType::bfloat16));
  check(nextafter(brain, f64({2, -0.5, 1}).value().to(DType::bfloat16)),
        {1 + 0x1p-7, -1 + 0x1p-8, 0x1p-133}, 0);
  check(nan_to_num(f64({nan_value, inf, -inf, 1.5})),
        {0, 1.7976931348623157e308, -1.7976931348623157e308, 1.5}, 0);
  check(nan_to_num(f64({nan_value, inf, -inf}), 2, 3, 4), {2, 3, 4});
  check(nan_to_num(half), {1, 65504, 0, 0x1p-14, 65504}, 0);
  check(isneginf(f64({-inf, inf, 1.2})), {1, 0, 0});
  check(isposinf(f64({-inf, inf, 1.2})), {0, 1, 0});
  check(isclose(f64({1.0, 1.0, inf, nan_value, inf}), f64({1 + 1e-10, 1.1, inf, nan_value, 1})),
        {1, 0, 1, 0, 0});
  check(isclose(f64({nan_value}), f64({nan_value}), 1e-5, 1e-8, true), {1});
  check(isclose(i32({10000000, 10000000}), i32({10000001, 10001000})), {1, 0});
  constexpr std::int32_t least = std::numeric_limits<std::int32_t>::min();
  check(gcd(i32({5, 10, 15, 0, -12, 0, least}), i32({3, 4, 5, 7, 18, 0, 6})),
        {1, 2, 5, 7, 6, 0, 2});
  check(lcm(i32({5, 10, 15, 0, -4}), i32({3, 4, 5, 7, 6})), {15, 20, 15, 0, 12});
  const auto fibonacci = [](std::int64_t a) {
    return Tensor(Array::from(std::vector<std::int64_t>{a}, {1}));
  };
  check(gcd(fibonacci(7540113804746346429), fibonacci(4660046610375530309)), {1});
  CHECK(contains(message<DTypeError>([] { gcd(f64({1}), f64({2})); }), "gcd"));
  check(deg2rad(f64({180, -90})), {3.141592653589793, -1.5707963267948966});
  check(rad2deg(f64({3.141592653589793})), {180});
  check(clamp(f64({-5, 0, 5}), f64({-1, 1, 6}), f64({1, 2, 3})), {-1, 1, 3});
  check(clamp(f64({-5, 0, 5}), -1.0, 1.0), {-1, 0, 1});
  check(clamp_min(f64({-5, nan_value}), 0), {0, nan_value});
  check(fix(f64({-1.5})), {-1});
  check(not_equal(f64({1, 2}), 1), {0, 1});
  check(bitwise_left_shift(i32({1, 3}), 2), {4, 12});
}

TEST_CASE("activations have their values") {
  const Tensor x = f64({-3, -1, 0, 0.25, 2, 7});
  check(celu(x), {-0.950212931632136, -0.6321205588285577, 0, 0.25, 2, 7});
  check(celu(x, 2), {-1.5537396797031404, -0.7869386805747332, 0, 0.25, 2, 7});
  check(selu(f64({-1, 1})), {-1.1113307378125625, 1.0507009873554805});
  check(gelu(f64({1}), "tanh"), {0.8411919906082767});
  CHECK(contains(message<Error>([&] { gelu(x, "erf"); }), "erf"));
  check(hardshrink(x), {-3, -1, 0, 0, 2, 7});
  check(softshrink(x), {-2.5, -0.5, 0, 0, 1.5, 6.5});
  check(shrink(x, 1.5, 0.5), {-2.5, 0, 0, 0, 1.5, 6.5});
  check(hardsigmoid(x), {0, 1.0 / 3, 0.5, 0.5 + 0.25 / 6, 5.0 / 6, 1});
  check(hard_sigmoid(x), {0, 0.3, 0.5, 0.55, 0.9, 1});
  check(hardswish(x), {-0.0, -1.0 / 3, 0, 0.25 * 3.25 / 6, 10.0 / 6, 7});
  check(hardtanh(x), {-1, -1, 0, 0.25, 1, 1});
  check(relu6(x), {0, 0, 0, 0.25, 2, 6});
  check(log_sigmoid(f64({0, -1000, 1000, 1})),
        {-0.6931471805599453, -1000, -0.0, -0.3132616875182228});
  check(mish(f64({0, 1, -1, 100, -1000})),
        {0, 0.8650983882673103, -0.30340146137410895, 100, -0.0});
  check(softsign(x), {-0.75, -0.5, 0, 0.2, 2.0 / 3, 0.875});
  check(tanhshrink(f64({0, 1, 1e-3})), {0, 0.23840584404423515, 3.333332000000539e-10});
  check(threshold(x, 0.1, 20), {20, 20, 20, 0.25, 2, 7});
  check(thresholded_relu(x), {0, 0, 0, 0, 2, 7});
  check(softmin(f64({0, 0.6931471805599453})), {2.0 / 3, 1.0 / 3});
  check(softplus(f64({1, 30}), 2), {1.0634640055214861, 30});
  check(rrelu(f64({-24, 1})), {-5.5, 1});
  check(glu(f64({1, 2, 0, 0})), {0.5, 1});
  CHECK(contains(message<ShapeError>([] { glu(f64({1, 2, 3})); }), "glu"));

  const Tensor image(Array::from(std::vector<double>{-1, -2, -3, -4}, {1, 2, 2}));
  check(prelu(image, f64({0.5, 2})), {-0.5, -1, -6, -8});
  check(prelu(image, f64({0.25})), {-0.25, -0.5, -0.75, -1});
  CHECK(contains(message<ShapeError>([&] { prelu(image, image); }), "prelu"));
  CHECK(contains(message<ShapeError>([&] { prelu(image, Tensor("w")); }), "must be known"));
  check(sum(softmax2d(image)), {4});
  const std::vector<double> drawn =
      rrelu(f64({-1, -1, -1, 5}), 0.25, 0.5, true).value().tolist<double>();
  for (std::size_t i = 0; i < 3; ++i) CHECK((drawn[i] <= -0.25 && drawn[i] > -0.5));
  CHECK(drawn[3] == 5);
  CHECK(drawn[0] != drawn[1]);
}

TEST_CASE("slopes at corners are PyTorch's") {
  using V = std::vector<double>;
  CHECK(slopes([](const Tensor& x) { return hardtanh(x); }, {-1, 0, 1}) == V{0, 1, 0});
  CHECK(slopes([](const Tensor& x) { return clamp(x, -1.0, 1.0); }, {-1, 0, 1}) == V{1, 1, 1});
  CHECK(slopes([](const Tensor& x) { return clamp_min(x, 1.0); }, {0, 1, 2}) == V{0, 1, 1});
  CHECK(slopes([](const Tensor& x) { return softshrink(x); }, {-0.5, 0, 0.5, 1}) == V{0, 0, 0, 1});
  CHECK(slopes([](const Tensor& x) { return hardswish(x); }, {-3, 0, 3}) == V{0, 0.5, 1});
  CHECK(slopes([](const Tensor& x) { return threshold(x, 1, 0); }, {0, 1, 2}) == V{0, 0, 1});
  CHECK(slopes([](const Tensor& x) { return fmax(x, 1.0); }, {0, 1, nan_value}) == V{0, 1, 0});
  CHECK(slopes([](const Tensor& x) { return sinc(x); }, {0, 1}) == V{0, -1});
  CHECK(slopes([](const Tensor& x) { return i1(x); }, {0}) == V{0.5});
  CHECK(slopes([](const Tensor& x) { return hypot(x, 0.0); }, {0, 2}) == V{0, 1});
  CHECK(slopes([](const Tensor& x) { return xlogy(x, 0.0); }, {0}) == V{0});
  CHECK(slopes([](const Tensor& x) { return nan_to_num(x); }, {1, nan_value, inf}) == V{1, 0, 0});
  CHECK(slopes([](const Tensor& x) { return heaviside(1.0 - 1.0 * x, x); }, {1, 2}) == V{1, 0});
  CHECK(contains(message<UnsupportedOp>(
                     [] { slopes([](const Tensor& x) { return nextafter(x, 1.0); }, {0}); }),
                 "next"));
}

TEST_CASE("what where does not select does not leak into gradients") {
  using V = std::vector<double>;
  const auto positive = [](const Tensor& x) { return x > 0.0; };
  const V at{-1, 0, 4};
  CHECK(slopes([&](const Tensor& x) { return where(positive(x), sqrt(x), 0.0); }, at) ==
        V{0, 0, 0.25});
  CHECK(slopes([&](const Tensor& x) { return where(~positive(x), 1.0, log(x)); }, at) ==
        V{0, 0, 0.25});
  CHECK(slopes([&](const Tensor& x) { return where(positive(x), 1.0 / x, x); }, at) ==
        V{1, 1, -0.0625});
  // A chain, an operand used twice, both branches, another selection within.
  CHECK(slopes([&](const Tensor& x) { return where(positive(x), 3.0 * sqrt(x) + 1.0, 0.0); }, at) ==
        V{0, 0, 0.75});
  CHECK(slopes(
            [&](const Tensor& x) {
              const Tensor r = sqrt(x);
              return where(positive(x), r * (r + 1.0), 0.0);
            },
            at) == V{0, 0, 1.25});
  CHECK(slopes(
            [&](const Tensor& x) {
              const Tensor r = sqrt(x);
              return where(positive(x), r, 0.0) + where(x > 5.0, r, 0.0);
            },
            at) == V{0, 0, 0.25});
  CHECK(slopes(
            [&](const Tensor& x) {
              return where(x >= 0.0, where(positive(x), sqrt(x), 0.0), log(-x));
            },
            at) == V{-1, 0, 0.25});
  CHECK(slopes([&](const Tensor& x) { return where(x > 1.0, sqrt(x) + log(-x), sqrt(x)); },
               {0.25}) == V{1});
  // Broadcast operands: selected where one of their places is.
  const Tensor rows(Array::from(std::vector<double>{0, 0, 1, 0, 0, 1}, {2, 3}));
  CHECK(slopes([&](const Tensor& x) { return where(rows > 0.0, sqrt(x), 0.0); }, at) ==
        V{0, 0, 0.5});
  CHECK(slopes([&](const Tensor& x) { return where(rows > 0.0, rows * sqrt(x), 0.0); }, at) ==
        V{0, 0, 0.5});

  // Twice, and with nothing known of x when the gradient is built.
  const Tensor x = f64(at);
  const Tensor once = grad(sum(where(positive(x), sqrt(x), 0.0)), {x})[0];
  CHECK(grad(sum(once), {x})[0].value().tolist<double>() == V{0, 0, -1.0 / 32});
  Tensor unknown("x");
  const Tensor later = grad(sum(where(unknown > 0.0, sqrt(unknown), 0.0)), {unknown})[0];
  const Function f({unknown}, {later});
  CHECK(f(f64(at).value())[0].tolist<double>() == V{0, 0, 0.25});
}

TEST_CASE("Whole numbers and booleans are computed as the floats that they become") {
  const Tensor bytes(Array{0, 1, 2}.to(DType::uint8)), bits(Array{true, false});
  check(logit(bytes), {-inf, inf, nan_value});
  check(logit(bits), {inf, -inf});
  const std::vector<double> kept = logit(bytes, 0.25).value().tolist<double>();
  CHECK(kept[0] == doctest::Approx(-1.0986123));
  CHECK(kept[2] == doctest::Approx(1.0986123));
  check(bits * -1, {-1, 0});
  check(pow(bits, 2), {1, 0});
  CHECK(log(sigmoid(bytes)).value().tolist<double>()[2] == doctest::Approx(-0.12692801));
  check(abs(-bytes), {0, 255, 254});
  const Tensor sum = add(bytes, Tensor(Array{true, true, false}), 2);
  CHECK(sum.dtype() == DType::uint8);
  check(sum, {2, 3, 2});
}

TEST_CASE("Powers in float64 keep imaginary parts") {
  const Tensor z = complex(Array{3.f}, Array{4.f}), r = float_power(z, 2);
  CHECK(r.dtype() == DType::complex128);
  CHECK(real(r).value().item<double>() == doctest::Approx(-7));
  CHECK(imag(r).value().item<double>() == doctest::Approx(24));
  CHECK(float_power(i32({2}), i32({-1})).dtype() == DType::float64);
  CHECK_THROWS_AS((void)nan_to_num(z).value(), UnsupportedOp);
}

TEST_CASE("gelu is infinite at infinity, in every dtype") {
  for (const DType t : {DType::float16, DType::bfloat16, DType::float32, DType::float64})
    CHECK(gelu(Tensor(Array(inf).to(t))).value().item<double>() == inf);
}

TEST_CASE("One weight of prelu has no axis") {
  CHECK(prelu(Tensor(-2.0), Array{0.5}).value().shape().empty());
  check(prelu(f64({-2, 3}), Array{0.5}), {-1, 3});
}
