// Complex tensors: values against std::complex, gradients against differences.
#include "complex_checks.h"
#include "thrown.h"

#include <limits>
#include <numbers>
#include <sstream>

using namespace weft;
using namespace weft::complex_checks;

namespace {

constexpr DType dtypes[] = {DType::complex64, DType::complex128};

double bound(DType t, double ulps) {
  return ulps * (t == DType::complex64 ? std::numeric_limits<float>::epsilon()
                                       : std::numeric_limits<double>::epsilon());
}

std::string text(const Tensor& t) {
  std::ostringstream out;
  out << t;
  return out.str();
}

}  // namespace

TEST_CASE("complex: numbers with exact results") {
  const Tensor z(Array{Complex(1, 2), Complex(-3, 0.5), Complex(0, -1)});
  const Tensor w(Array{Complex(2, 0), Complex(0, 1), Complex(1, 1)});
  using List = std::vector<Complex>;
  CHECK(numbers(z + w) == List{{3, 2}, {-3, 1.5}, {1, 0}});
  CHECK(numbers(z - w) == List{{-1, 2}, {-3, -0.5}, {-1, -2}});
  CHECK(numbers(z * w) == List{{2, 4}, {-0.5, -3}, {1, -1}});
  CHECK(numbers(z / w) == List{{0.5, 1}, {0.5, 3}, {-0.5, -0.5}});
  CHECK(numbers(-z) == List{{-1, -2}, {3, -0.5}, {0, 1}});
  CHECK(numbers(square(z)) == List{{-3, 4}, {8.75, -3}, {-1, 0}});
  CHECK(numbers(pow(z, 3)) == List{{-11, -2}, {-24.75, 13.375}, {0, 1}});
  CHECK(numbers(conj(z)) == List{{1, -2}, {-3, -0.5}, {0, 1}});
  CHECK(numbers(z * complex(0, 1)) == List{{-2, 1}, {-0.5, -3}, {1, 0}});
  CHECK(numbers(2 - z) == List{{1, -2}, {5, -0.5}, {2, 1}});
  CHECK(real(z).value().tolist<double>() == std::vector{1., -3., 0.});
  CHECK(imag(z).value().tolist<double>() == std::vector{2., 0.5, -1.});
  CHECK(real(z).dtype() == DType::float64);
  CHECK(abs(Tensor(Array{Complex(3, 4), Complex(-5, 12)})).value().tolist<double>() ==
        std::vector{5., 13.});
  CHECK(angle(Tensor(Array{Complex(0, 1), Complex(-1, 0)})).value().tolist<double>() ==
        std::vector{std::numbers::pi / 2, std::numbers::pi});
  CHECK(numbers(sgn(Tensor(Array{Complex(0, -2), Complex(0, 0)}))) == List{{0, -1}, {0, 0}});
  CHECK((z == w).value().tolist<int>() == std::vector{0, 0, 0});
  CHECK((z == z).value().tolist<int>() == std::vector{1, 1, 1});
  CHECK((z != conj(conj(z))).value().tolist<int>() == std::vector{0, 0, 0});
  CHECK(isreal(w).value().tolist<int>() == std::vector{1, 0, 0});
  CHECK(text(z) == "[ 1.+2.j  -3.+0.5j  0.-1.j ]");
  CHECK(z[1].item<Complex>() == Complex(-3, 0.5));
}

TEST_CASE("complex: real tensors have parts too") {
  const Tensor x(Array{-1.5f, 0.f, 2.f});
  CHECK(real(x).value().tolist<float>() == std::vector{-1.5f, 0.f, 2.f});
  CHECK(imag(x).value().tolist<float>() == std::vector{0.f, 0.f, 0.f});
  CHECK(conj(x).value().tolist<float>() == std::vector{-1.5f, 0.f, 2.f});
  CHECK(angle(x).value().tolist<float>() == std::vector{std::numbers::pi_v<float>, 0.f, 0.f});
  CHECK(sgn(x).value().tolist<float>() == std::vector{-1.f, 0.f, 1.f});
  CHECK(!is_complex(x));
  CHECK(is_complex(to_complex(x)));
  CHECK(angle(Tensor(Array{-2, 3})).dtype() == DType::float32);
}

TEST_CASE("complex: dtypes meet by category, then width") {
  const Tensor z(Array{std::complex<float>(1, 2)}), wide(Array{Complex(1, 2)});
  const Tensor f(Array{2.f}), d(Array{2.}), i(Array{2});
  CHECK((z * f).dtype() == DType::complex64);
  CHECK((z * i).dtype() == DType::complex64);
  CHECK((z * d).dtype() == DType::complex128);
  CHECK((z * 2.5).dtype() == DType::complex64);
  CHECK((z * complex(0, 1)).dtype() == DType::complex64);
  CHECK((f * complex(0, 1)).dtype() == DType::complex64);
  CHECK((d * complex(0, 1)).dtype() == DType::complex128);
  CHECK((z + wide).dtype() == DType::complex128);
  CHECK(complex(f, d).dtype() == DType::complex128);
  CHECK(complex(f, i).dtype() == DType::complex64);
  CHECK(abs(z).dtype() == DType::float32);
  CHECK(numbers(f * complex(0, 1)) == std::vector<Complex>{{0, 2}});
  CHECK(cast(z, DType::float64).value().tolist<double>() == std::vector{1.});
  CHECK(cast(Tensor(Array{Complex(0, 1), Complex(0, 0)}), DType::boolean).value().tolist<int>() ==
        std::vector{1, 0});
  CHECK(numbers(cast(f, DType::complex128)) == std::vector<Complex>{{2, 0}});
  CHECK(numbers(where(Tensor(Array{true}), z, f)) == std::vector<Complex>{{1, 2}});
  CHECK(numbers(where(Tensor(Array{false}), z, f)) == std::vector<Complex>{{2, 0}});
}

TEST_CASE("complex: functions against the C++ library's") {
  struct Entry {
    const char* name;
    Tensor (*ours)(const Operand&);
    Complex (*theirs)(const Complex&);
    double ulps;
  };
  const Entry entries[] = {
      {"exp", exp, std::exp, 4},
      {"log", log, std::log, 4},
      {"sqrt", sqrt, std::sqrt, 4},
      {"sin", sin, std::sin, 4},
      {"cos", cos, std::cos, 4},
      {"tan", tan, std::tan, 8},
      {"sinh", sinh, std::sinh, 4},
      {"cosh", cosh, std::cosh, 4},
      {"tanh", tanh, std::tanh, 8},
      {"asin", asin, std::asin, 8},
      {"acos", acos, std::acos, 8},
      {"atan", atan, std::atan, 8},
      {"asinh", asinh, std::asinh, 8},
      {"acosh", acosh, std::acosh, 8},
      {"atanh", atanh, std::atanh, 8},
      {"log10", log10, std::log10, 4},
      {"log2", log2, [](const Complex& z) { return std::log(z) / std::numbers::ln2; }, 4},
      {"log1p", log1p, [](const Complex& z) { return std::log(1.0 + z); }, 4},
      {"exp2", exp2, [](const Complex& z) { return std::exp(z * std::numbers::ln2); }, 8},
      {"expm1", expm1, [](const Complex& z) { return std::exp(z) - 1.0; }, 4},
      {"rsqrt", rsqrt, [](const Complex& z) { return 1.0 / std::sqrt(z); }, 8},
      {"reciprocal", reciprocal, [](const Complex& z) { return 1.0 / z; }, 4},
      {"sigmoid", sigmoid, [](const Complex& z) { return 1.0 / (1.0 + std::exp(-z)); }, 8},
  };
  std::vector<Complex> points;
  for (const double a : {-3., -1.5, -0.75, -0.125, 0.25, 0.875, 1.25, 2.5})
    for (const double b : {-2.75, -1., -0.5, -0.0625, 0.125, 0.625, 1.5, 3.})
      points.emplace_back(a, b);
  for (const DType t : dtypes)
    for (const Entry& e : entries) {
      CAPTURE(e.name);
      CAPTURE(name(t));
      const std::vector<Complex> got = numbers(e.ours(Tensor(Array::from(points).to(t))));
      for (std::size_t i = 0; i < points.size(); ++i) {
        CAPTURE(points[i]);
        const Complex want = e.theirs(points[i]);
        CHECK(std::abs(got[i] - want) <= bound(t, e.ulps) * std::abs(want));
      }
    }
}

TEST_CASE("complex: magnitudes and quotients beyond the range of squares") {
  const Tensor z(Array{Complex(3e200, 4e200), Complex(3e-200, -4e-200), Complex(0, 0)});
  CHECK(distance(numbers(abs(z)), {5e200, 5e-200, 0}) < 1e-15);
  CHECK(numbers(abs(z))[1].real() == doctest::Approx(5e-200).epsilon(1e-14));
  CHECK(numbers(z / z)[0] == Complex(1, 0));
  CHECK(numbers(z / z)[1] == Complex(1, 0));
  CHECK(log(z).value().tolist<Complex>()[2].real() == -HUGE_VAL);
  const double inf = HUGE_VAL, nan = std::nan("");
  const Tensor odd(Array{Complex(inf, 1), Complex(nan, 0), Complex(1, -inf), Complex(1, 1)});
  CHECK(isinf(odd).value().tolist<int>() == std::vector{1, 0, 1, 0});
  CHECK(isnan(odd).value().tolist<int>() == std::vector{0, 1, 0, 0});
  CHECK(isfinite(odd).value().tolist<int>() == std::vector{0, 0, 0, 1});
  CHECK(numbers(abs(odd))[2].real() == inf);
  CHECK(numbers(exp(Tensor(Array{Complex(-inf, 1), Complex(800, 0)})))[0] == Complex(0, 0));
  CHECK(numbers(sqrt(Tensor(Array{Complex(-4, 0), Complex(-4, -0.0)}))) ==
        std::vector<Complex>{{0, 2}, {0, -2}});
}

TEST_CASE("complex: powers") {
  const std::vector<Complex> z = {{1, 2}, {-3, 0.5}, {0, -1}, {2, 0}};
  const std::vector<Complex> w = {{1.5, -0.5}, {0, 2}, {-1, 1}, {3, 0}};
  std::vector<Complex> both, squares, roots, base;
  for (std::size_t i = 0; i < z.size(); ++i) {
    both.push_back(std::pow(z[i], w[i]));
    squares.push_back(z[i] * z[i]);
    roots.push_back(std::sqrt(z[i]));
    base.push_back(std::pow(Complex(2), w[i]));
  }
  const Tensor a(Array::from(z)), b(Array::from(w));
  CHECK(distance(numbers(pow(a, b)), both) < 1e-14);
  CHECK(distance(numbers(pow(a, 2)), squares) < 1e-15);
  CHECK(distance(numbers(pow(a, 0.5)), roots) < 1e-15);
  CHECK(distance(numbers(pow(a, -1)), numbers(1 / a)) < 1e-15);
  CHECK(distance(numbers(pow(2.0, b)), base) < 1e-14);
  const Tensor zero(Array{Complex(0, 0)});
  CHECK(numbers(pow(zero, Tensor(Array{Complex(0, 0)})))[0] == Complex(1, 0));
  CHECK(numbers(pow(zero, Tensor(Array{Complex(2.5, 0)})))[0] == Complex(0, 0));
}

TEST_CASE("complex: shapes, sums, products of matrices") {
  const Tensor a(Array{{Complex(1, 1), Complex(2, -1), Complex(0, 0.5)},
                       {Complex(-1, 0), Complex(0, 3), Complex(2, 2)}});
  const Tensor z(Array{Complex(1, 2), Complex(-3, 0.5), Complex(0, -1)});
  using List = std::vector<Complex>;
  CHECK(numbers(matmul(a, z)) == List{{-6, 7}, {-0.5, -13}});
  CHECK(numbers(sum(z)) == List{{-2, 1.5}});
  CHECK(numbers(sum(a, Axes{0})) == List{{0, 1}, {2, 2}, {2, 2.5}});
  CHECK(distance(numbers(mean(a)), {{4. / 6, 5.5 / 6}}) < 1e-15);
  CHECK(distance(numbers(prod(z)), {Complex(1, 2) * Complex(-3, 0.5) * Complex(0, -1)}) < 1e-15);
  CHECK(numbers(vdot(z, z)) == List{{1 + 4 + 9 + 0.25 + 1, 0}});
  CHECK(numbers(dot(z, z)) == List{{-3 + 8.75 - 1, 4 - 3 + 0}});
  CHECK(numbers(adjoint(a))[1] == Complex(-1, 0));
  CHECK(numbers(adjoint(a))[2] == Complex(2, 1));
  CHECK(numbers(reshape(a, {3, 2}))[3] == Complex(-1, 0));
  CHECK(numbers(a[{1, Slice(none, none, 2)}]) == List{{-1, 0}, {2, 2}});
  CHECK(numbers(concatenate({z, Tensor(Array{1., 2.})})) ==
        List{{1, 2}, {-3, 0.5}, {0, -1}, {1, 0}, {2, 0}});
  CHECK(numbers(pad(z, {{1, 1}}, 7)) == List{{7, 0}, {1, 2}, {-3, 0.5}, {0, -1}, {7, 0}});
  CHECK(numbers(flip(z, {0}))[0] == Complex(0, -1));
  CHECK(numbers(gather_rows(z, Tensor(Array{2, 0}))) == List{{0, -1}, {1, 2}});
  CHECK(numbers(broadcast_to(z, {2, 3})).size() == 6);
  CHECK(view_as_real(z).value().tolist<double>() == std::vector{1., 2., -3., 0.5, 0., -1.});
  CHECK(view_as_real(z).shape() == Shape{3, 2});
  CHECK(numbers(view_as_complex(Tensor(Array{{1., 2.}, {3., 4.}}))) == List{{1, 2}, {3, 4}});
  CHECK(distance(numbers(polar(Array{1., 2.}, Array{0., std::numbers::pi / 2})), {{1, 0}, {0, 2}}) <
        1e-15);
  CHECK(numbers(sum(Tensor(Array::uninitialized(DType::complex64, {0})))) == List{{0, 0}});
  CHECK(any(z).item<bool>());
  CHECK(!all(Tensor(Array{Complex(0, 1), Complex(0, 0)})).item<bool>());
}

TEST_CASE("complex: indexed access and running sums") {
  const Tensor z(Array{Complex(1, 2), Complex(-3, 0.5), Complex(0, -1)});
  const Tensor at(Array{2, 0}), new_values(Array{Complex(5, 5), Complex(6, -6)});
  using List = std::vector<Complex>;
  CHECK(numbers(cumsum(z, 0)) == List{{1, 2}, {-2, 2.5}, {-2, 1.5}});
  CHECK(numbers(scatter(z, 0, at, new_values)) == List{{6, -6}, {-3, 0.5}, {5, 5}});
  CHECK(numbers(index_add(z, 0, at, new_values)) == List{{7, -4}, {-3, 0.5}, {5, 4}});
  CHECK(numbers(z.at(at).set(new_values)) == List{{6, -6}, {-3, 0.5}, {5, 5}});
  CHECK(numbers(z[Tensor(Array{true, false, true})]) == List{{1, 2}, {0, -1}});
  CHECK(numbers(roll(z, {1})) == List{{0, -1}, {1, 2}, {-3, 0.5}});
  CHECK(contains(message<UnsupportedOp>([&] {
                   (void)scatter_reduce(z, 0, at, new_values, "prod").value();
                 }),
                 "complex"));
  const Array v = random_array({4}, DType::complex128, 1),
              w = random_array({2}, DType::complex128, 2);
  check_gradients("cumsum", {v},
                  [](const std::vector<Tensor>& t) { return square(cumsum(t[0], 0)); });
  check_gradients("index_add", {v, w}, [&](const std::vector<Tensor>& t) {
    return square(index_add(t[0], 0, at, t[1] * t[1]));
  });
  check_gradients("scatter", {v, w}, [&](const std::vector<Tensor>& t) {
    return square(scatter(t[0], 0, at, t[1] * t[1]));
  });
}

TEST_CASE("complex: values that share memory with their parts keep their types") {
  Tensor z("z");
  const Tensor parts = view_as_real(z), twice = z * 2, twice_parts = view_as_real(twice),
               same = view_as_complex(parts);
  z.set_value(Array{Complex(1, 2), Complex(3, 4)});
  CHECK(parts.dtype() == DType::float64);
  CHECK(parts.shape() == Shape{2, 2});
  CHECK(same.dtype() == DType::complex128);
  CHECK(same.shape() == Shape{2});
  CHECK(twice.dtype() == DType::complex128);
  CHECK(twice_parts.value().tolist<double>() == std::vector{2., 4., 6., 8.});
  z.set_value({1}, Array(Complex(-1, 0)));
  CHECK(numbers(same) == std::vector<Complex>{{1, 2}, {-1, 0}});
  CHECK(twice_parts.value().tolist<double>() == std::vector{2., 4., -2., 0.});
  const Tensor constant = view_as_complex(Tensor(Array{{1., 2.}}));
  CHECK(constant.dtype() == DType::complex128);

  const Function f({z}, {z, parts, twice, twice_parts, same, constant, z});
  const auto r = f(Array{Complex(5, 6)});
  CHECK(r[0].dtype() == DType::complex128);
  CHECK(r[0].item<Complex>() == Complex(5, 6));
  CHECK(r[1].tolist<double>() == std::vector{5., 6.});
  CHECK(r[2].item<Complex>() == Complex(10, 12));
  CHECK(r[3].tolist<double>() == std::vector{10., 12.});
  CHECK(r[4].item<Complex>() == Complex(5, 6));
  CHECK(r[5].item<Complex>() == Complex(1, 2));
  CHECK(r[6].item<Complex>() == Complex(5, 6));
}

TEST_CASE("complex: functions over unknown extents, and updates in place") {
  const Tensor x({dim("N"), 3}, DType::complex64, "x");
  const Function f({x}, {sum(x * conj(x), Axes{0}), matmul(x, adjoint(x))});
  for (const std::int64_t n : {1, 2, 3, 4, 7, 8}) {
    const Array a = random_array({n, 3}, DType::complex64, static_cast<unsigned>(n));
    const auto r = f(a);
    const std::vector<Complex> v = numbers(a);
    std::vector<Complex> squares(3), product;
    for (std::size_t i = 0; i < v.size(); ++i) squares[i % 3] += std::norm(v[i]);
    for (std::int64_t i = 0; i < n; ++i)
      for (std::int64_t j = 0; j < n; ++j) {
        Complex total = 0;
        for (std::int64_t k = 0; k < 3; ++k)
          total += v[static_cast<std::size_t>(3 * i + k)] *
                   std::conj(v[static_cast<std::size_t>(3 * j + k)]);
        product.push_back(total);
      }
    CHECK(distance(numbers(r[0]), squares) < 1e-6);
    CHECK(distance(numbers(r[1]), product) < 1e-6);
  }
  const Variable state(Array{Complex(1, 0)});
  const Function step({}, {state}, {.updates = {{state, state * complex(0, 1)}}});
  for (int i = 0; i < 3; ++i) (void)step();
  CHECK(state.value().item<Complex>() == Complex(0, -1));
}

TEST_CASE("complex: a step against the gradient goes downhill") {
  Variable z(Array{Complex(2, -1), Complex(0, 3)});
  z.requires_grad(true);
  const Tensor loss = sum(square(abs(z - complex(1, 1))));
  loss.backward();
  CHECK(numbers(z.grad()) == std::vector<Complex>{{2, -4}, {-2, 4}});  // 2 (z - target)
  // PyTorch's own: d Re(z w)/dz = conj(w), d Im(z)/dz = i
  const Tensor u(Array{Complex(1, 2)}), w(Array{Complex(3, -4)});
  CHECK(numbers(grad(sum(real(u * w)), {u})[0]) == std::vector<Complex>{{3, 4}});
  CHECK(numbers(grad(sum(imag(u)), {u})[0]) == std::vector<Complex>{{0, 1}});
  CHECK(numbers(grad(sum(angle(u)), {u})[0])[0].real() == doctest::Approx(-0.4));
  CHECK(numbers(grad(sum(abs(Tensor(u * 0))), {u})[0]) == std::vector<Complex>{{0, 0}});
}

TEST_CASE("complex: gradients, first and second, against differences") {
  const Array z = random_array({2, 3}, DType::complex128, 1),
              w = random_array({2, 3}, DType::complex128, 2),
              row = random_array({3}, DType::complex128, 3),
              x = random_array({2, 3}, DType::float64, 4),
              m = random_array({3, 2}, DType::complex128, 5);
  using T = std::vector<Tensor>;
  const auto one = [&](const char* name, Tensor (*f)(const Operand&)) {
    check_gradients(name, {z}, [f](const T& t) { return f(t[0]); });
  };
  check_gradients("mul", {z, row}, [](const T& t) { return t[0] * t[1]; });
  check_gradients("mul by real", {x, z}, [](const T& t) { return t[0] * t[1]; });
  check_gradients("div", {z, w}, [](const T& t) { return t[0] / t[1]; });
  check_gradients("real over complex", {x, z}, [](const T& t) { return t[0] / t[1]; });
  check_gradients("add, sub", {x, z}, [](const T& t) { return (t[0] - t[1]) * (t[0] + t[1]); });
  check_gradients("scalar", {x}, [](const T& t) { return t[0] * complex(1, 2) + 3; });
  check_gradients("pow", {z, w}, [](const T& t) { return pow(t[0], t[1] * 0.5); });
  check_gradients("pow 3", {z}, [](const T& t) { return pow(t[0], 3); });
  check_gradients("fma", {z, w}, [](const T& t) { return fma(t[0], t[1], t[0]); });
  check_gradients("matmul", {z, m}, [](const T& t) { return matmul(t[0], t[1]); });
  check_gradients("vdot", {row}, [](const T& t) { return vdot(t[0], t[0] * t[0]); });
  check_gradients("dot", {row}, [](const T& t) { return dot(t[0], t[0] * t[0]); });
  check_gradients("mean", {z}, [](const T& t) { return mean(t[0] * t[0], Axes{0}); });
  check_gradients("prod", {z}, [](const T& t) { return prod(t[0], Axes{1}); });
  check_gradients("complex", {x, x}, [](const T& t) { return square(complex(t[0], t[1])); });
  check_gradients("polar", {x, x}, [](const T& t) { return polar(exp(t[0]), t[1]); });
  check_gradients("parts", {z}, [](const T& t) { return real(t[0]) * imag(t[0]); });
  check_gradients("view_as_real", {z}, [](const T& t) { return square(view_as_real(t[0])); });
  check_gradients("view_as_complex", {random_array({3, 2}, DType::float64, 6)},
                  [](const T& t) { return square(view_as_complex(t[0])); });
  check_gradients("abs", {z}, [](const T& t) { return abs(t[0]) * 1.5; });
  check_gradients("where", {z, x}, [](const T& t) {
    return square(where(Tensor(Array{true, false, true}), t[0], t[1]));
  });
  check_gradients("cast", {x}, [](const T& t) { return square(cast(t[0], DType::complex128)); });
  check_gradients("to real", {z}, [](const T& t) { return square(cast(t[0], DType::float64)); });
  check_gradients("pieces", {z}, [](const T& t) {
    return square(concatenate({t[0][0], flip(Tensor(t[0][1]), {0})}));
  });
  one("exp", exp), one("log", log), one("sqrt", sqrt), one("sin", sin), one("cos", cos);
  one("tan", tan), one("sinh", sinh), one("cosh", cosh), one("tanh", tanh), one("asin", asin);
  one("acos", acos), one("atan", atan), one("asinh", asinh), one("acosh", acosh);
  one("atanh", atanh), one("reciprocal", reciprocal), one("square", square), one("sgn", sgn);
  one("angle", angle), one("conj", conj), one("rsqrt", rsqrt), one("sigmoid", sigmoid);
  one("expm1", expm1), one("log1p", log1p), one("exp2", exp2), one("log2", log2);
}

TEST_CASE("complex: what needs an order or a real number says so") {
  const Tensor z(Array{Complex(1, 2)}), x(Array{1.f});
  CHECK(contains(message<UnsupportedOp>([&] { (void)(z < z); }), "lt of complex128"));
  CHECK(contains(message<UnsupportedOp>([&] { (void)maximum(z, z); }), "complex"));
  CHECK(contains(message<UnsupportedOp>([&] { (void)argmax(z); }), "argmax"));
  CHECK(contains(message<UnsupportedOp>([&] { (void)floor(z); }), "floor"));
  CHECK(contains(message<UnsupportedOp>([&] { (void)softmax(z, 0); }), "softmax"));
  CHECK(contains(message<DTypeError>([&] { (void)complex(z, x); }), "parts are real"));
  CHECK(contains(message<DTypeError>([&] { (void)view_as_real(x); }), "needs complex"));
  CHECK(contains(message<DTypeError>([&] { (void)view_as_complex(Tensor(Array{{1, 2}})); }),
                 "float32 or float64"));
  CHECK(contains(message<ShapeError>([&] { (void)view_as_complex(Tensor(Array{1.f, 2.f, 3.f})); }),
                 "must agree"));
  CHECK(contains(message<DTypeError>([&] { (void)dot(x, z); }), "one dtype"));
  const Tensor unknown("u");  // the operation is refused once the dtype is known
  const Function f({unknown}, floor(unknown));
  CHECK(contains(message<UnsupportedOp>([&] { (void)f(Array{Complex(1, 2)}); }),
                 "complex_test.cpp"));
}
