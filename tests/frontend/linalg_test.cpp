// Linear algebra: reconstructions, small cases worked by hand or by NumPy, gradients of first and
// second order against central differences, batches, empty ones, unknown shapes, errors.
#include <doctest/doctest.h>

#include <cmath>
#include <complex>
#include <cstdio>
#include <limits>
#include <numeric>
#include <random>
#include <string>

#include "runtime/thread_pool.h"
#include "thrown.h"
#include "weft/weft.h"

using namespace weft;

namespace {

using Values = std::vector<double>;
constexpr double inf = std::numeric_limits<double>::infinity();
constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

/// What evaluating throws.
template <class E> std::string failure(const Tensor& x) {
  return message<E>([&] { static_cast<void>(x.value()); });
}

Array random(Shape shape, unsigned seed) {
  std::mt19937 rng(seed);
  std::normal_distribution<double> draw;
  Values v(static_cast<std::size_t>(element_count(shape)));
  for (double& x : v) x = draw(rng);
  return Array::from(v, std::move(shape));
}

/// The largest difference; infinite where shapes or dtypes differ, or either is NaN alone.
double distance(const Array& a, const Array& b) {
  if (a.shape() != b.shape() || a.dtype() != b.dtype()) return inf;
  const Values x = a.tolist<double>(), y = b.tolist<double>();
  double worst = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    if (std::isnan(x[i]) && std::isnan(y[i])) continue;
    if (x[i] == y[i]) continue;
    const double d = std::fabs(x[i] - y[i]);
    worst = std::isnan(d) ? inf : std::max(worst, d);
  }
  return worst;
}
double distance(const Tensor& a, const Tensor& b) { return distance(a.value(), b.value()); }
double distance(const Tensor& a, const Array& b) { return distance(a.value(), b); }

Tensor t(const Tensor& x) { return transpose(x, -1, -2); }
/// Of x's shape, which is square matrices.
Tensor identities(const Tensor& x) {
  return broadcast_to(Tensor(eye(x.shape().back(), x.dtype())), to_dims(x.shape()));
}
/// n by n, far from singular.
Array regular(Shape shape, unsigned seed) {
  const std::int64_t n = shape.back();
  return (Tensor(random(shape, seed)) * 0.3 + Tensor(eye(n, DType::float64)) * 2).value();
}
/// Positive definite, made of b by operations so that any b will do.
Tensor definite(const Tensor& b) {
  const auto n = b.shape().back();
  return matmul(b, t(b)) + Tensor(eye(n, DType::float64));
}

/// Σ weights · y for given weights, of each y.
Tensor weighed(const std::vector<Tensor>& ys, unsigned seed) {
  Tensor total(0.0);
  for (const Tensor& y : ys) total = total + sum(y * Tensor(random(y.shape(), seed++)));
  return total;
}

/// Gradients of f at x by reverse mode against differences along random directions; then the same
/// of the gradient itself. Returns the worse relative error of the two.
double gradient_error(const std::function<std::vector<Tensor>(const Tensor&)>& f, const Array& at,
                      bool second = true) {
  Variable x(at, "x");
  const Tensor loss = weighed(f(x), 100);
  const Tensor g = grad(loss, {x})[0];
  const Array direction = random(at.shape(), 7);
  const auto slope = [&](const Tensor& y, double h) {
    double side[2];
    for (const int i : {0, 1}) {
      x.set_value((Tensor(at) + Tensor(direction) * (i == 0 ? h : -h)).value());
      side[i] = y.value().item<double>();
    }
    x.set_value(at);
    return (side[0] - side[1]) / (2 * h);
  };
  const auto off = [](double a, double b) { return std::fabs(a - b) / (1 + std::fabs(b)); };
  const double found = sum(g * Tensor(direction)).value().item<double>();
  double worst = off(found, slope(loss, 1e-6));
  if (second) {
    const Tensor along = sum(g * Tensor(random(at.shape(), 8)));
    const Tensor gg = grad(along, {x})[0];
    const double twice = sum(gg * Tensor(direction)).value().item<double>();
    worst = std::max(worst, off(twice, slope(along, 1e-5)));
  }
  return std::isnan(worst) ? inf : worst;
}

}  // namespace

TEST_CASE("linalg: factorisations multiply to the matrix") {
  const std::vector<Shape> shapes{{3, 3},    {5, 3},       {3, 5},     {1, 1},
                                  {2, 4, 3}, {2, 2, 3, 4}, {7, 33, 20}};
  for (const Shape& shape : shapes) {
    CAPTURE(to_string(std::span<const std::int64_t>(shape)));
    const Array a = random(shape, 3);
    const Tensor A(a);
    const auto m = shape[shape.size() - 2], n = shape.back(), k = std::min(m, n);
    for (const char* mode : {"reduced", "complete"}) {
      const auto [Q, R] = qr(A, mode);
      CHECK(distance(matmul(Q, R), a) < 1e-12);
      const auto width = mode == std::string("reduced") ? k : m;
      CHECK(Q.shape().back() == width);
      CHECK(R.shape()[shape.size() - 2] == width);
      CHECK(distance(matmul(t(Q), Q), identities(matmul(t(Q), Q))) < 1e-12);
    }
    const auto [U, S, Vh] = svd(A, false);
    CHECK(distance(matmul(U * expand_dims(S, -2), Vh), a) < 1e-12);
    CHECK(S.shape().back() == k);
    const auto full = svd(A);
    CHECK(full.U.shape().back() == m);
    CHECK(full.Vh.shape()[shape.size() - 2] == n);
    CHECK(distance(matmul(full.U, t(full.U)), identities(full.U)) < 1e-12);
    CHECK(distance(matmul(full.Vh, t(full.Vh)), identities(full.Vh)) < 1e-12);
    CHECK(distance(svdvals(A), S) == 0);
    const auto [P, L, Up] = lu(A);
    CHECK(distance(matmul(P, matmul(L, Up)), a) < 1e-12);
    CHECK(L.shape().back() == k);
    CHECK(Up.shape()[shape.size() - 2] == k);
    const auto [h, tau] = geqrf(A);
    const auto reduced = qr(A);
    if (m >= n) CHECK(distance(householder_product(h, tau), reduced.Q) < 1e-12);
    const auto whole = qr(A, "complete");
    Shape beside = shape;
    beside.back() = 2;
    const Tensor C(random(beside, 5));
    CHECK(distance(ormqr(h, tau, C), matmul(whole.Q, C)) < 1e-11);
    CHECK(distance(ormqr(h, tau, C, true, true), matmul(t(whole.Q), C)) < 1e-11);
    CHECK(distance(ormqr(h, tau, t(C), false), matmul(t(C), whole.Q)) < 1e-11);
    CHECK(distance(ormqr(h, tau, t(C), false, true), matmul(t(C), t(whole.Q))) < 1e-11);
  }
}

TEST_CASE("linalg: symmetric and general eigenvalues, Cholesky") {
  for (const Shape& shape : std::vector<Shape>{{1, 1}, {4, 4}, {3, 2, 5, 5}, {40, 40}}) {
    const Tensor A = definite(Tensor(random(shape, 11)));
    const Array a = A.value();
    for (const char* triangle : {"L", "U"}) {
      const auto [values, vectors] = eigh(A, triangle);
      CHECK(distance(matmul(vectors * expand_dims(values, -2), t(vectors)), a) < 1e-11);
      CHECK(distance(eigvalsh(A, triangle), values) == 0);
      const Values v = values.value().tolist<double>();
      CHECK(std::is_sorted(v.begin(), v.begin() + shape.back()));
    }
    const Tensor L = cholesky(A);
    CHECK(distance(matmul(L, t(L)), a) < 1e-11);
    CHECK(distance(cholesky(A, true), t(L)) == 0);
    CHECK(distance(cholesky_inverse(L), inverse(A)) < 1e-10);
    CHECK(distance(cholesky_inverse(t(L), true), inverse(A)) < 1e-10);
    CHECK(distance(cholesky_solve(A, L), identities(A)) < 1e-10);
    CHECK(distance(cholesky_solve(A, t(L), true), identities(A)) < 1e-10);
  }
  // Only one triangle is read.
  CHECK(distance(eigvalsh(Tensor(Array{{2., 99.}, {1., 2.}})), Array{1., 3.}) < 1e-14);
  CHECK(distance(eigvalsh(Tensor(Array{{2., 1.}, {99., 2.}}), "U"), Array{1., 3.}) < 1e-14);
  CHECK(distance(cholesky(Tensor(Array{{4., 99.}, {2., 5.}})), Array{{2., 0.}, {1., 2.}}) < 1e-15);
}

TEST_CASE("linalg: eig gives complex pairs") {
  using Complex = std::complex<double>;
  const Array turn{{0., -1.}, {1., 0.}};  // by a right angle: eigenvalues i and -i
  const auto [values, vectors] = eig(Tensor(turn));
  CHECK(values.dtype() == DType::complex128);
  const auto v = values.value().tolist<Complex>();
  REQUIRE(v.size() == 2);
  CHECK(std::abs(v[0] - Complex(0, 1)) < 1e-15);
  CHECK(std::abs(v[1] - Complex(0, -1)) < 1e-15);
  for (const std::int64_t n : {1, 2, 5, 8}) {  // A v = λ v, column by column
    const Array a = random({2, n, n}, 21);
    const auto [w, x] = eig(Tensor(a));
    const auto values_of = w.value().tolist<Complex>(), vectors_of = x.value().tolist<Complex>();
    const Values A = a.tolist<double>();
    double worst = 0;
    for (std::int64_t b = 0; b < 2; ++b)
      for (std::int64_t j = 0; j < n; ++j)
        for (std::int64_t i = 0; i < n; ++i) {
          const auto at = [&](std::int64_t r, std::int64_t c) {
            return static_cast<std::size_t>((b * n + r) * n + c);
          };
          Complex sum = -values_of[static_cast<std::size_t>(b * n + j)] * vectors_of[at(i, j)];
          for (std::int64_t k = 0; k < n; ++k) sum += A[at(i, k)] * vectors_of[at(k, j)];
          worst = std::max(worst, std::abs(sum));
        }
    CHECK(worst < 1e-12);
    CHECK(eigvals(Tensor(a)).value().tolist<Complex>() == values_of);
  }
  CHECK(eigvals(Tensor(random({3, 3}, 1).to(DType::float32))).dtype() == DType::complex64);
  for (const std::int64_t n : {3, 4})
    CHECK(gradient_error(
              [](const Tensor& x) {
                const auto [w, u] = eig(x);
                return std::vector{real(w), square(imag(w)), square(abs(u))};
              },
              random({2, n, n}, 22)) < 2e-6);
}

TEST_CASE("linalg: several results follow their matrix, whenever they are asked for") {
  Variable x(random({3, 3}, 1), "x");
  const auto [U, S, Vh] = svd(x);
  const Array u = U.value();
  const Array vh = Vh.value(), s = S.value();  // after U, one by one
  CHECK(distance(matmul(Tensor(u) * expand_dims(Tensor(s), -2), Tensor(vh)), x) < 1e-14);
  const Tensor product = matmul(U * expand_dims(S, -2), Vh);
  for (const unsigned seed : {2, 3, 4}) {
    x.set_value(random({3, 3}, seed));
    CHECK(distance(product, x) < 1e-14);
    CHECK(distance(matmul(U * expand_dims(S, -2), Vh), x) < 1e-14);
  }
  std::vector<Tensor> parts;  // enough of them that a wave is cut into cells
  for (int i = 0; i < 100; ++i) parts.push_back(lu_factor(x * (i + 1.0)).LU * 1.0);
  const auto [P, L, Up] = lu(x);
  for (int i = 0; i < 100; ++i) parts.push_back(Up * (i + 1.0));
  parts.push_back(matmul(P, matmul(L, Up)));
  CHECK(distance(parts.back(), x) < 1e-14);
  x.set_value(random({3, 3}, 5));
  CHECK(distance(parts.back(), x) < 1e-14);
}

TEST_CASE("linalg: solutions, literal and by multiplication") {
  const Tensor A(Array{{3., 1.}, {1., 2.}});
  CHECK(distance(solve(A, Tensor(Array{9., 8.})), Array{2., 3.}) < 1e-14);  // numpy.linalg.solve
  CHECK(distance(inverse(Tensor(Array{{1., 2.}, {3., 4.}})), Array{{-2., 1.}, {1.5, -.5}}) < 1e-14);
  const Tensor M(regular({3, 4, 4}, 2)), B(random({4, 2}, 3)), v(random({3, 4}, 4)),
      w(random({4}, 5)), C(random({3, 2, 4}, 6));
  CHECK(distance(matmul(M, solve(M, B)), broadcast_to(B, {3, 4, 2})) < 1e-13);
  CHECK(distance(squeeze(matmul(M, expand_dims(solve(M, v), -1)), -1), v) < 1e-13);
  CHECK(distance(matmul(M, expand_dims(solve(M, w), -1)),
                 broadcast_to(expand_dims(w, -1), {3, 4, 1})) < 1e-13);
  CHECK(distance(matmul(solve(M, C, false), M), C) < 1e-13);
  CHECK(distance(matmul(inv(M), M), identities(M)) < 1e-13);
  const auto [LU, pivots] = lu_factor(M);
  CHECK(pivots.dtype() == DType::int32);
  CHECK(distance(lu_solve(LU, pivots, B), solve(M, B)) < 1e-14);
  CHECK(distance(lu_solve(LU, pivots, B, true, true), solve(t(M), B)) < 1e-13);
  CHECK(distance(lu_solve(LU, pivots, C, false), solve(M, C, false)) < 1e-14);
  CHECK(distance(matmul(lu_solve(LU, pivots, C, false, true), t(M)), C) < 1e-13);

  const Array square = regular({2, 3, 3}, 8);
  const Tensor T(square), R(random({3, 5}, 9)), S(random({2, 5, 3}, 10));
  const Tensor row(arange(3)), up = expand_dims(row, 1) <= row, strict = expand_dims(row, 1) < row,
                               ones(eye(3, DType::float64));
  for (const bool upper : {false, true})
    for (const bool unit : {false, true}) {
      const Tensor kept = upper ? (unit ? strict : up) : transpose(unit ? strict : up, 0, 1);
      const Tensor used = where(kept, T, 0.0) + (unit ? ones : ones * 0.0);
      CAPTURE(upper);
      CAPTURE(unit);
      CHECK(distance(matmul(used, solve_triangular(T, R, upper, true, unit)),
                     broadcast_to(R, {2, 3, 5})) < 1e-12);
      CHECK(distance(matmul(solve_triangular(T, S, upper, false, unit), used), S) < 1e-12);
      CHECK(distance(matmul(t(used), triangular_solve(R, T, upper, true, unit).solution),
                     broadcast_to(R, {2, 3, 5})) < 1e-12);
    }
  // numpy.linalg.lstsq's example: the line 0.95 x through four points; m = 1, c = -0.95
  const Tensor line(Array{{0., 1.}, {1., 1.}, {2., 1.}, {3., 1.}}), y(Array{-1., .2, .9, 2.1});
  const LstsqResult fit = lstsq(line, y);
  CHECK(distance(fit.solution, Array{1., -.95}) < 1e-14);
  CHECK(distance(fit.residuals, Array{.05}) < 1e-14);
  CHECK(fit.rank.item<int>() == 2);
  CHECK(distance(fit.singular_values, Array{4.10003045, 1.09075677}) < 1e-8);
  const Tensor wide(random({2, 3, 5}, 12));
  CHECK(distance(matmul(wide, lstsq(wide, Tensor(random({2, 3, 2}, 1))).solution),
                 random({2, 3, 2}, 1)) < 1e-12);
  // numpy's tensorsolve and tensorinv
  const Tensor big(regular({24, 24}, 13)), rhs(random({8, 3}, 14));
  const Tensor x = tensorsolve(reshape(big, {8, 3, 2, 3, 4}), rhs);
  CHECK(x.shape() == Shape{2, 3, 4});
  CHECK(distance(matmul(big, reshape(x, {24})), reshape(rhs, {24})) < 1e-12);
  CHECK(tensorinv(reshape(big, {4, 6, 8, 3})).shape() == Shape{8, 3, 4, 6});
  CHECK(tensorinv(reshape(big, {24, 8, 3}), 1).shape() == Shape{8, 3, 24});
}

TEST_CASE("linalg: determinants, ranks, norms, powers") {
  const Tensor A(Array{{1., 2.}, {3., 4.}});
  CHECK(det(A).item<double>() == doctest::Approx(-2));
  CHECK(slogdet(A).sign.item<double>() == -1);
  CHECK(slogdet(A).logabsdet.item<double>() == doctest::Approx(std::log(2.)));
  CHECK(std::isnan(logdet(A).item<double>()));
  CHECK(logdet(Tensor(Array{{2., 0.}, {0., 3.}})).item<double>() == doctest::Approx(std::log(6.)));
  // numpy.linalg.det's example of a stack
  const Tensor stack(Array{{{1., 2.}, {3., 4.}}, {{1., 2.}, {2., 1.}}, {{1., 3.}, {3., 1.}}});
  CHECK(distance(det(stack), Array{-2., -3., -8.}) < 1e-14);
  const Tensor singular(Array{{1., 2.}, {2., 4.}});
  CHECK(det(singular).item<double>() == 0);
  CHECK(slogdet(singular).sign.item<double>() == 0);
  CHECK(slogdet(singular).logabsdet.item<double>() == -inf);
  CHECK(logdet(singular).item<double>() == -inf);

  CHECK(matrix_rank(Tensor(eye(4, DType::float64))).item<int>() == 4);
  CHECK(matrix_rank(singular).item<int>() == 1);
  CHECK(matrix_rank(Tensor(zeros({3, 2}, DType::float64))).item<int>() == 0);
  CHECK(matrix_rank(Tensor(Array{{1., 0.}, {0., 1e-3}}), 1e-2).item<int>() == 1);
  CHECK(matrix_rank(Tensor(Array{{1., 0.}, {0., 1e-3}}), {}, 1e-2).item<int>() == 1);
  CHECK(matrix_rank(Tensor(Array{{1., 0.}, {0., 1e-3}})).item<int>() == 2);
  CHECK(matrix_rank(stack).value().tolist<int>() == std::vector<int>{2, 2, 2});
  const Tensor deficient(matmul(Tensor(random({5, 2}, 1)), Tensor(random({2, 4}, 2))));
  CHECK(matrix_rank(deficient).item<int>() == 2);
  const Tensor P = pinv(deficient);
  CHECK(distance(matmul(deficient, matmul(P, deficient)), deficient) < 1e-13);
  CHECK(distance(matmul(P, matmul(deficient, P)), P) < 1e-13);
  CHECK(distance(matmul(deficient, P), t(matmul(deficient, P))) < 1e-13);
  CHECK(distance(pinverse(deficient, 1e-10), P) < 1e-13);

  // numpy.linalg.norm's example
  const Tensor b(reshape(Tensor(arange(9, DType::float64)) - 4, {3, 3}).value());
  const std::pair<MatrixOrd, double> norms[] = {
      {"fro", 7.745966692414834}, {"nuc", 9.797958971132713}, {inf, 9}, {-inf, 2}, {1, 7}, {-1, 6},
      {2, 7.348469228349535}};
  for (const auto& [ord, want] : norms) {
    CAPTURE(ord.str());
    CHECK(matrix_norm(b, ord).item<double>() == doctest::Approx(want).epsilon(1e-14));
    CHECK(matrix_norm(b, ord, {-2, -1}, true).shape() == Shape{1, 1});
    const Tensor moved = permute(broadcast_to(b, {2, 3, 3}), {1, 0, 2});
    CHECK(matrix_norm(moved, ord, {0, -1}).value().tolist<double>()[1] ==
          doctest::Approx(want).epsilon(1e-14));
    CHECK(matrix_norm(moved, ord, {0, -1}, true).shape() == Shape{1, 2, 1});
  }
  CHECK(std::fabs(matrix_norm(b, -2).item<double>()) < 1e-14);
  CHECK(nuclear_norm(b).item<double>() == doctest::Approx(9.797958971132713));
  // numpy.linalg.cond's example
  const Tensor c(Array{{1., 0., -1.}, {0., 1., 0.}, {1., 0., 1.}});
  const std::pair<MatrixOrd, double> conds[] = {{"fro", 3.1622776601683795},
                                                {inf, 2},
                                                {-inf, 1},
                                                {1, 2},
                                                {-1, 1},
                                                {2, std::sqrt(2.)},
                                                {-2, std::sqrt(.5)},
                                                {"nuc", 9.242640687119286}};
  for (const auto& [ord, want] : conds) {
    CAPTURE(ord.str());
    CHECK(cond(c, ord).item<double>() == doctest::Approx(want).epsilon(1e-13));
  }
  CHECK(cond(singular, 1).item<double>() == inf);
  CHECK(cond(singular, "fro").item<double>() == inf);

  CHECK(distance(matrix_power(A, 3), Array{{37., 54.}, {81., 118.}}) < 1e-12);
  CHECK(distance(matrix_power(A, 0), eye(2, DType::float64)) == 0);
  CHECK(distance(matrix_power(A, 1), A) == 0);
  CHECK(distance(matrix_power(A, -2), Array{{5.5, -2.5}, {-3.75, 1.75}}) < 1e-13);
  CHECK(distance(matrix_power(A, 5), matmul(matrix_power(A, 3), matrix_power(A, 2))) < 1e-10);
}

TEST_CASE("linalg: the exponential of a matrix") {
  const auto turned = [](double angle) {
    return matrix_exp(Tensor(Array{{0., -angle}, {angle, 0.}}));
  };
  for (const double angle : {0., 1e-8, .5, 3., 100., 1e4}) {
    CAPTURE(angle);
    const Array want{{std::cos(angle), -std::sin(angle)}, {std::sin(angle), std::cos(angle)}};
    CHECK(distance(turned(angle), want) < 1e-15 * (10 + 10 * angle));
  }
  // torch.matrix_exp's example: A of zeros, and of [[0, π/3], [-π/3, 0]]
  const double third = std::acos(-1.) / 3;
  const Tensor two(Array{{{0., 0.}, {0., 0.}}, {{0., third}, {-third, 0.}}});
  const double h = std::sqrt(3.) / 2;
  CHECK(distance(matrix_exp(two), Array{{{1., 0.}, {0., 1.}}, {{.5, h}, {-h, .5}}}) < 1e-15);
  CHECK(distance(matrix_exp(Tensor(zeros({0, 3, 3}, DType::float64))),
                 zeros({0, 3, 3}, DType::float64)) == 0);
  Tensor x("x");
  const Function f({x}, matrix_exp(x));
  CHECK(distance(f({Array{{1., 0.}, {0., -2.}}})[0],
                 Array{{std::exp(1.), 0.}, {0., std::exp(-2.)}}) < 1e-15);
  CHECK(distance(f({Array{{std::log(5.) * 4}}})[0], Array{{625.}}) < 1e-10);
  CHECK(gradient_error([](const Tensor& a) { return std::vector{matrix_exp(a)}; },
                       random({2, 3, 3}, 4)) < 1e-6);
}

TEST_CASE("linalg: gradients of first and second order") {
  const auto check = [](const std::string& name, const Array& at,
                        const std::function<std::vector<Tensor>(const Tensor&)>& f) {
    CAPTURE(name);
    CAPTURE(to_string(std::span<const std::int64_t>(at.shape())));
    CHECK(gradient_error(f, at) < 2e-6);
  };
  for (const Shape& shape : std::vector<Shape>{{3, 3}, {2, 4, 4}}) {
    const Array r = random(shape, 31), a = regular(shape, 32);
    const auto n = shape.back();
    const Tensor B(random({n, 2}, 33)), v(random({n}, 34)), M(regular(shape, 35));
    check("cholesky", r, [](const Tensor& x) { return std::vector{cholesky(definite(x))}; });
    check("cholesky_solve", r,
          [&](const Tensor& x) { return std::vector{cholesky_solve(B, cholesky(definite(x)))}; });
    check("inverse", a, [](const Tensor& x) { return std::vector{inverse(x)}; });
    check("solve, A", a, [&](const Tensor& x) { return std::vector{solve(x, B)}; });
    check("solve, vector", a, [&](const Tensor& x) { return std::vector{solve(x, v)}; });
    check("solve, right", a, [&](const Tensor& x) { return std::vector{solve(x, t(B), false)}; });
    check("solve, B", random({n, 2}, 36),
          [&](const Tensor& x) { return std::vector{solve(M, x)}; });
    check("solve, b", random({n}, 36), [&](const Tensor& x) { return std::vector{solve(M, x)}; });
    check("solve, both", a, [&](const Tensor& x) { return std::vector{solve(x, x * x)}; });
    check("det", a, [](const Tensor& x) { return std::vector{det(x)}; });
    check("slogdet", a, [](const Tensor& x) {
      const auto [sign, logabs] = slogdet(x);
      return std::vector{sign, logabs};
    });
    check("logdet", r, [](const Tensor& x) { return std::vector{logdet(definite(x))}; });
    check("matrix_power 3", a, [](const Tensor& x) { return std::vector{matrix_power(x, 3)}; });
    check("matrix_power -2", a, [](const Tensor& x) { return std::vector{matrix_power(x, -2)}; });
    check("eigh", r, [](const Tensor& x) {  // what does not depend on the vectors' signs
      const auto [values, vectors] = eigh(x + t(x));
      return std::vector{values, vectors * vectors};
    });
    check("eigvalsh", r, [](const Tensor& x) { return std::vector{eigvalsh(x + t(x))}; });
    check("eigh, vectors only", r, [](const Tensor& x) {
      const Tensor vectors = eigh(x + t(x), "U").eigenvectors;
      return std::vector{vectors * vectors};
    });
    for (const bool upper : {false, true})
      for (const bool unit : {false, true})
        check("solve_triangular", a, [&](const Tensor& x) {
          return std::vector{solve_triangular(x, B, upper, true, unit),
                             solve_triangular(x, t(B), upper, false, unit)};
        });
    check("solve_triangular, B", random({n, 2}, 3),
          [&](const Tensor& x) { return std::vector{solve_triangular(M, x, true)}; });
    const Tensor pivots = lu_factor(M).pivots;
    for (const bool adjoint : {false, true})
      check("lu_solve", a,
            [&](const Tensor& x) { return std::vector{lu_solve(x, pivots, B, true, adjoint)}; });
    check("cond", a, [](const Tensor& x) { return std::vector{cond(x), cond(x, "fro")}; });
  }
  for (const Shape& shape : std::vector<Shape>{{3, 3}, {4, 2}, {2, 4}, {2, 5, 3}, {2, 3, 5}}) {
    const Array r = random(shape, 41);
    const bool tall = shape[shape.size() - 2] > shape.back();
    check("lu_factor", r, [](const Tensor& x) { return std::vector{lu_factor(x).LU}; });
    check("lu", r, [](const Tensor& x) {
      const auto [P, L, U] = lu(x);
      return std::vector{P, L, U};
    });
    check("qr", r, [](const Tensor& x) {
      const auto [Q, R] = qr(x);
      return std::vector{Q, R};
    });
    check("qr, R only", r, [](const Tensor& x) { return std::vector{qr(x, "r").R}; });
    if (!tall)
      check("qr, complete", r, [](const Tensor& x) {
        const auto [Q, R] = qr(x, "complete");
        return std::vector{Q, R};
      });
    check("svd", r, [](const Tensor& x) {
      const auto [U, S, Vh] = svd(x, false);
      return std::vector{U * U, S, Vh * Vh, matmul(U, Vh)};
    });
    check("svd, full", r, [](const Tensor& x) {
      const auto [U, S, Vh] = svd(x);
      const auto k = S.shape().back();
      return std::vector{U[{ellipsis, Slice(none, k)}] * U[{ellipsis, Slice(none, k)}], S};
    });
    check("svdvals", r, [](const Tensor& x) { return std::vector{svdvals(x)}; });
    check("pinv", r, [](const Tensor& x) { return std::vector{pinv(x)}; });
    check("nuclear_norm", r, [](const Tensor& x) { return std::vector{nuclear_norm(x)}; });
    check("matrix_norm", r, [](const Tensor& x) {
      return std::vector{matrix_norm(x), matrix_norm(x, 2), matrix_norm(x, 1)};
    });
    const Tensor B(random({shape[shape.size() - 2], 2}, 42));
    check("lstsq", r, [&](const Tensor& x) {
      const LstsqResult fit = lstsq(x, B);
      return std::vector{fit.solution, fit.residuals};
    });
    if (tall)
      check("householder_product", r, [&](const Tensor& x) {
        Shape extents = x.shape();
        extents.erase(extents.end() - 2);
        return std::vector{householder_product(x, Tensor(random(extents, 2)))};
      });
  }
  check("pinv of less than full rank", random({4, 2}, 51),
        [](const Tensor& x) { return std::vector{pinv(matmul(x, t(x)), 1e-8)}; });
}

TEST_CASE("linalg: the gradient of a singular determinant is its cofactors") {
  Variable x(Array{{1., 2.}, {2., 4.}}, "x");
  CHECK(distance(grad(det(x), {x})[0], Array{{4., -2.}, {-2., 1.}}) < 1e-13);
  x.set_value(Array{{0., 0.}, {0., 0.}});
  CHECK(distance(grad(det(x), {x})[0], Array{{0., 0.}, {0., 0.}}) < 1e-15);
  Variable one(Array{{0.}}, "one");
  CHECK(distance(grad(det(one), {one})[0], Array{{1.}}) < 1e-15);
  Variable three(Array{{1., 2., 3.}, {4., 5., 6.}, {7., 8., 9.}}, "three");
  CHECK(distance(grad(det(three), {three})[0],
                 Array{{-3., 6., -3.}, {6., -12., 6.}, {-3., 6., -3.}}) < 1e-12);
}

TEST_CASE("linalg: empty batches, empty matrices, matrices of one element") {
  const Array none = zeros({0, 3, 3}, DType::float64), zero = zeros({0, 0}, DType::float64),
              flat = zeros({2, 0, 3}, DType::float64);
  for (const Array& a : {none, zero}) {
    const Tensor A(a);
    CHECK(distance(cholesky(A), a) == 0);
    CHECK(distance(inverse(A), a) == 0);
    CHECK(distance(qr(A).R, a) == 0);
    CHECK(distance(svd(A).Vh, a) == 0);
    CHECK(distance(eigh(A).eigenvectors, a) == 0);
    CHECK(eig(A).eigenvectors.value().size() == 0);
    CHECK(distance(lu(A).U, a) == 0);
    CHECK(distance(solve(A, A), a) == 0);
    CHECK(distance(pinv(A), a) == 0);
    CHECK(distance(matrix_power(A, -3), a) == 0);
  }
  CHECK(det(Tensor(none)).value().shape() == Shape{0});
  CHECK(det(Tensor(zero)).item<double>() == 1);
  CHECK(slogdet(Tensor(zero)).logabsdet.item<double>() == 0);
  CHECK(matrix_rank(Tensor(flat)).value().tolist<int>() == std::vector<int>{0, 0});
  CHECK(pinv(Tensor(flat)).shape() == Shape{2, 3, 0});
  CHECK(distance(svd(Tensor(flat)).Vh, identities(Tensor(zeros({2, 3, 3}, DType::float64)))) == 0);
  CHECK(distance(qr(Tensor(zeros({3, 0}, DType::float64)), "complete").Q, eye(3, DType::float64)) ==
        0);
  CHECK(solve(Tensor(eye(2, DType::float64)), Tensor(zeros({2, 0}, DType::float64))).shape() ==
        Shape{2, 0});

  const Tensor four(Array{{4.}});
  CHECK(cholesky(four).item<double>() == 2);
  CHECK(inverse(four).item<double>() == .25);
  CHECK(det(four).item<double>() == 4);
  CHECK(svdvals(-four).item<double>() == 4);
  CHECK(eigvalsh(-four).item<double>() == -4);
}

TEST_CASE("linalg: errors name the operation, the matrix and the line") {
  const Tensor tall(random({3, 2}, 1)), flat(random({3}, 1)), good(regular({2, 3, 3}, 1));
  for (const auto& f : std::vector<std::function<Tensor(const Tensor&)>>{
           [](const Tensor& x) { return cholesky(x); }, [](const Tensor& x) { return inverse(x); },
           [](const Tensor& x) { return det(x); }, [](const Tensor& x) { return logdet(x); },
           [](const Tensor& x) { return eigvalsh(x); }, [](const Tensor& x) { return eigvals(x); },
           [](const Tensor& x) { return matrix_power(x, 2); },
           [](const Tensor& x) { return matrix_exp(x); },
           [](const Tensor& x) { return solve(x, x); },
           [](const Tensor& x) { return solve_triangular(x, x, true); }}) {
    for (const Tensor& x : {tall, flat}) {
      const std::string text = message<ShapeError>([&] { f(x); });
      CHECK(contains(text, "linalg_test.cpp:"));
      CHECK(contains(text, "float64(3"));
    }
  }
  CHECK(contains(message<ShapeError>([&] { svd(flat); }), "svd of float64(3,)"));
  CHECK(contains(message<ShapeError>([&] {
                   solve(good, Tensor(random({4, 2}, 1)));
                 }),
                 "solve of float64(2, 3, 3) and float64(4, 2)"));
  for (const DType t : {DType::float16, DType::bfloat16, DType::int64, DType::boolean})
    CHECK(contains(message<DTypeError>([&] {
                     svd(Tensor(ones({2, 2}, t)));
                   }),
                   "is for float32 and float64"));
  CHECK(contains(message<UnsupportedOp>([&] {
                   det(Tensor(ones({2, 2}, DType::complex64)));
                 }),
                 "complex"));
  CHECK(contains(message<DTypeError>([&] { solve(good, Tensor(ones({3, 3}))); }), "one dtype"));
  CHECK(contains(message<Error>([&] { qr(tall, "full"); }), "mode"));
  CHECK(contains(message<Error>([&] { eigh(good, "X"); }), "UPLO"));
  CHECK(contains(message<Error>([&] { matrix_norm(good, 3); }), "order"));

  Values numbers = regular({5, 2, 2}, 1).tolist<double>();
  for (const std::size_t i : {12, 13, 14, 15}) numbers[i] = 0;
  const Array batch = Array::from(numbers, {5, 2, 2});
  CHECK(contains(failure<Error>(inverse(Tensor(batch))),
                 "inverse: matrix 3 of the batch is singular"));
  CHECK(contains(failure<Error>(solve(Tensor(batch), Tensor(ones({2}, DType::float64)))),
                 "solve: matrix 3 of the batch is singular"));
  CHECK(
      contains(failure<Error>(inverse(Tensor(zeros({2, 2})))), "inverse: the matrix is singular"));
  CHECK(contains(failure<Error>(cholesky(Tensor(Array{{1., 2.}, {2., 1.}}))),
                 "cholesky: the matrix is not positive definite: its leading minor of order 2"));
  CHECK(contains(failure<Error>(inverse(Tensor(batch))), "linalg_test.cpp:"));
  CHECK(contains(failure<IndexError>(lu_solve(good, Tensor(full({2, 3}, 4, DType::int32)), good)),
                 "pivot 4"));

  // An update that meets a singular matrix changes nothing.
  Variable x(Array{{2., 0.}, {0., 4.}}, "x");
  const Tensor held = inverse(x);
  CHECK(distance(held, Array{{.5, 0.}, {0., .25}}) == 0);
  CHECK(contains(message<Error>([&] { x.set_value(zeros({2, 2}, DType::float64)); }), "singular"));
  CHECK(distance(x, Array{{2., 0.}, {0., 4.}}) == 0);
  CHECK(distance(held, Array{{.5, 0.}, {0., .25}}) == 0);
}

TEST_CASE("linalg: NaN and infinity neither hang nor crash") {
  for (const double bad : {not_a_number, inf, -inf}) {
    const Tensor A(Array{{1., 2., 3.}, {4., bad, 6.}, {7., 8., 10.}});
    for (const auto& f : std::vector<std::function<Tensor()>>{
             [&] { return svdvals(A); }, [&] { return eigvalsh(A); }, [&] { return eigvals(A); },
             [&] { return pinv(A); }, [&] { return matrix_norm(A, 2); }})
      CHECK(contains(failure<Error>(f()), "NaN or infinite"));
    for (const auto& f : std::vector<std::function<Tensor()>>{
             [&] { return qr(A).R; }, [&] { return det(A); }, [&] { return lu(A).U; },
             [&] { return slogdet(A).logabsdet; }, [&] { return matrix_exp(A); },
             [&] { return solve_triangular(A, A, true); }}) {
      bool finite = true;
      for (const double x : f().value().tolist<double>()) finite = finite && std::isfinite(x);
      CHECK_FALSE(finite);
    }
  }
  CHECK(std::isnan(cholesky(Tensor(Array{{not_a_number}})).item<double>()));
}

TEST_CASE("linalg: float32, to what the condition allows") {
  const Array wide = regular({3, 20, 20}, 5), narrow = wide.to(DType::float32);
  const Tensor A(narrow);
  const auto near = [&](const Tensor& got, const Tensor& want, double allowed) {
    CHECK(got.dtype() == DType::float32);
    CHECK(distance(got.value().to(DType::float64), want.value()) < allowed);
  };
  const Tensor D(narrow.to(DType::float64));
  const double condition = max(cond(D)).item<double>();
  near(inverse(A), inverse(D), 4e-6 * condition);
  near(svdvals(A), svdvals(D), 1e-5);
  near(matmul(qr(A).Q, qr(A).R), D, 1e-5);
  near(slogdet(A).logabsdet, slogdet(D).logabsdet, 4e-6 * condition);
  near(matrix_exp(A), matrix_exp(D), 2e-2);
  CHECK(matrix_rank(A).dtype() == DType::int64);
}

TEST_CASE("linalg: functions of unknown extents, and of unknown dtype and rank") {
  Tensor any("any"), b("b");
  const Function f({any, b}, {solve(any, b), inverse(any), det(any), svdvals(any), qr(any).R,
                              lu(any).L, pinv(any), eigh(matmul(any, t(any))).eigenvalues,
                              matrix_power(any, 3), matrix_norm(any, "nuc")});
  Tensor square({dim("B"), dim("N"), dim("N")}, DType::float64, "square");
  const Tensor S(square);
  const Function g({square}, {inverse(S), det(S), svdvals(S), qr(S).Q, lu(S).U,
                              cholesky(matmul(S, t(S))), grad(sum(inverse(S)), {S})[0],
                              grad(sum(det(S)), {S})[0], grad(sum(svdvals(S)), {S})[0]});
  for (const Shape& shape : std::vector<Shape>{{2, 3, 3}, {3, 4, 4}, {1, 5, 5}, {4, 2, 2}}) {
    const Array a = regular(shape, 9);
    const Tensor A(a);
    const std::vector<Array> out = f({a, a});
    CHECK(distance(Tensor(out[0]), identities(A)) < 1e-12);
    CHECK(distance(inverse(A), out[1]) < 1e-12);
    CHECK(distance(det(A), out[2]) < 1e-12);
    CHECK(distance(svdvals(A), out[3]) < 1e-12);
    CHECK(distance(qr(A).R, out[4]) < 1e-12);
    CHECK(distance(lu(A).L, out[5]) < 1e-12);
    CHECK(distance(inverse(A), out[6]) < 1e-12);
    CHECK(distance(matrix_norm(A, "nuc"), out[9]) < 1e-12);
    const std::vector<Array> more = g({a});
    CHECK(distance(inverse(A), more[0]) < 1e-12);
    CHECK(distance(lu(A).U, more[4]) < 1e-12);
    const Tensor Y = t(inverse(A));
    CHECK(distance(-matmul(matmul(Y, ones_like(A)), Y), more[6]) < 1e-12);
    CHECK(distance(det(A)[{ellipsis, newaxis, newaxis}] * Y, more[7]) < 1e-11);
  }
  // The gradient before anything is known of the operand.
  Tensor x("x"), y("y");
  const Function slopes(
      {x, y}, grad(sum(solve(x, y)) + sum(qr(x).R) + sum(eigvalsh(matmul(x, t(x)))), {x, y}));
  const Array a = regular({3, 3}, 3), rhs = random({3}, 4);
  Variable va(a, "a"), vr(rhs, "r");
  const Tensor known = sum(solve(va, vr)) + sum(qr(va).R) + sum(eigvalsh(matmul(va, t(va))));
  const std::vector<Tensor> want = grad(known, {va, vr});
  const std::vector<Array> got = slopes({a, rhs});
  CHECK(distance(want[0], got[0]) < 1e-12);
  CHECK(distance(want[1], got[1]) < 1e-12);
}

TEST_CASE("linalg: functions are saved and loaded with their attributes") {
  Tensor a({3, 3}, DType::float64, "a");
  const Tensor s = a + t(a);
  const Function f({a}, {eigh(s, "U").eigenvectors, svd(a, false).Vh, qr(a, "complete").R,
                         solve_triangular(a, a, true, true, true), solve(a, a, false), inverse(a),
                         pinv(a, 1e-3), matrix_rank(a, {}, .5), matrix_exp(a), lu(a).P});
  const std::string path = "linalg_test.weft";
  f.save(path);
  const Function loaded = Function::load(path);
  std::remove(path.c_str());
  const Array x = regular({3, 3}, 4);
  const std::vector<Array> want = f({x}), got = loaded({x});
  REQUIRE(got.size() == want.size());
  for (std::size_t i = 0; i < got.size(); ++i) CHECK(array_equal(got[i], want[i]));
}

TEST_CASE("linalg: the same bits whatever the number of threads") {
  const Array a = random({64, 12, 12}, 6);
  std::vector<Array> results[2];
  for (const int threads : {1, 3}) {
    const int before = runtime::num_threads();
    runtime::set_num_threads(threads);
    const auto [U, S, Vh] = svd(Tensor(a));
    results[threads == 3] = {U.value(), S.value(), Vh.value(), inverse(Tensor(a)).value(),
                             qr(Tensor(a)).Q.value()};
    runtime::set_num_threads(before);
  }
  for (std::size_t i = 0; i < results[0].size(); ++i)
    CHECK(array_equal(results[0][i], results[1][i]));
}

TEST_CASE("linalg: X A = B takes B for matrices, however it looks") {
  const Tensor scaled = Tensor(eye(3, DType::float64)) * Tensor(Array{{{1.}}, {{2.}}, {{4.}}});
  const Array b{{1., 2., 3.}, {4., 5., 6.}, {7., 8., 9.}};
  CHECK(array_equal(solve(scaled, b, false).value(),
                    (Tensor(b) / Tensor(Array{{{1.}}, {{2.}}, {{4.}}})).value()));
  const Tensor two = Tensor(ones({2, 1, 1}, DType::float64)) * Tensor(eye(3, DType::float64));
  CHECK_THROWS_AS((void)solve(two, Array{{1., 2.}, {3., 4.}, {5., 6.}}, false).value(), ShapeError);
}

TEST_CASE("linalg: the gradient of eigenvectors is symmetric") {
  // The vector of the larger value of [[a, b], [b, c]] is (cos t, sin t) with
  // cos t sin t = b / sqrt((a - c)^2 + 4 b^2).
  const Variable a(Array{{4., 2.}, {2., 1.}});
  const Tensor v = eigh(a).eigenvectors;
  const Tensor g = grad(v[{0, 1}] * v[{1, 1}], {a})[0];
  CHECK(distance(g, Array{{-0.048, 0.036}, {0.036, 0.048}}) < 1e-15);
}

TEST_CASE("linalg: matrix norms of complex numbers are right or refused") {
  const Tensor z = complex(Array{{3., 0.}}, Array{{4., 0.}});
  CHECK(matrix_norm(z, 1).value().item<double>() == 5);
  CHECK_THROWS_AS((void)matrix_norm(z).value(), UnsupportedOp);
  const Variable zero(zeros({2, 2}, DType::float64));
  CHECK(array_equal(grad(matrix_norm(zero), {zero})[0].value(), zeros({2, 2}, DType::float64)));
}
