// Factorisations on a device: what they multiply to and that their bases are orthonormal, in double,
// by products written here; what is unique against the processor's (LAPACK's); matrices that are
// deficient, badly scaled, empty or not finite; gradients.
#include <doctest/doctest.h>

#include <cmath>
#include <cstdlib>
#include <limits>

#include "fake.h"
#include "same_bits.h"
#include "tests/frontend/thrown.h"
#include "weft/ops/linalg.h"
#include "weft/ops/ordering.h"
#include "weft/ops/random.h"
#include "weft/weft.h"

using namespace weft;

namespace {

/// Matrices in double.
struct Batch {
  std::int64_t count = 1, rows = 0, columns = 0;
  std::vector<double> at;

  Batch(std::int64_t count, std::int64_t rows, std::int64_t columns)
      : count(count), rows(rows), columns(columns) {
    at.resize(static_cast<std::size_t>(count * rows * columns));
  }
  Batch(const Array& x) {
    const Shape& shape = x.shape();
    rows = shape[shape.size() - 2], columns = shape.back();
    for (std::size_t i = 0; i + 2 < shape.size(); ++i) count *= shape[i];
    at = x.to(Device::cpu()).to(DType::float64).tolist<double>();
  }
  double& operator()(std::int64_t m, std::int64_t i, std::int64_t j) {
    return at[static_cast<std::size_t>((m * rows + i) * columns + j)];
  }
  double operator()(std::int64_t m, std::int64_t i, std::int64_t j) const {
    return at[static_cast<std::size_t>((m * rows + i) * columns + j)];
  }
};

template <class F> Batch made(std::int64_t count, std::int64_t rows, std::int64_t columns, F f) {
  Batch x(count, rows, columns);
  for (std::int64_t m = 0; m < count; ++m)
    for (std::int64_t i = 0; i < rows; ++i)
      for (std::int64_t j = 0; j < columns; ++j) x(m, i, j) = f(m, i, j);
  return x;
}
Batch turned(const Batch& x) {
  return made(x.count, x.columns, x.rows, [&](auto m, auto i, auto j) { return x(m, j, i); });
}
Batch times(const Batch& a, const Batch& b) {
  REQUIRE(a.columns == b.rows);
  return made(a.count, a.rows, b.columns, [&](auto m, auto i, auto j) {
    double sum = 0;
    for (std::int64_t k = 0; k < a.columns; ++k) sum += a(m, i, k) * b(m, k, j);
    return sum;
  });
}
/// The largest of the Frobenius norms of a - b, each over that of `of` (all NaN count as far).
double distance(const Batch& a, const Batch& b, const Batch& of) {
  REQUIRE(a.at.size() == b.at.size());
  double worst = 0;
  for (std::int64_t m = 0; m < a.count; ++m) {
    double sum = 0, norm = 0;
    for (std::int64_t i = 0; i < a.rows; ++i)
      for (std::int64_t j = 0; j < a.columns; ++j) sum += std::pow(a(m, i, j) - b(m, i, j), 2);
    for (std::int64_t i = 0; i < of.rows; ++i)
      for (std::int64_t j = 0; j < of.columns; ++j) norm += std::pow(of(m, i, j), 2);
    const double d = norm > 0 ? std::sqrt(sum / norm) : std::sqrt(sum);
    worst = std::isnan(d) ? std::numeric_limits<double>::infinity() : std::max(worst, d);
  }
  return worst;
}
/// How far from orthonormal columns are.
double skewness(const Batch& q) {
  const Batch one =
      made(q.count, q.columns, q.columns, [](auto, auto i, auto j) { return i == j; });
  return distance(times(turned(q), q), one, made(q.count, 1, 1, [](auto...) { return 1.0; }));
}
/// Told where WEFT_TEST_FULL is set: how much of a bound is used.
bool within(const char* what, double error, double bound) {
  if (std::getenv("WEFT_TEST_FULL"))
    MESSAGE(std::string(what) << ": " << error / bound << " of the bound");
  return error <= bound;
}
double longer(const Array& x) {
  return static_cast<double>(std::max(x.shape().back(), x.shape()[x.shape().size() - 2]));
}
/// The dtype's epsilon, times the root of the longer extent.
double unit(DType t, const Array& of) {
  return (t == DType::float32 ? 0x1p-23 : 0x1p-52) * std::sqrt(1.0 + longer(of));
}

/// In a block's shared memory and (in double alone) beyond, tall enough for a QR first, in blocks of
/// either size.
std::vector<Shape> shapes_for(DType t) {
  std::vector<Shape> all{{1, 1},  {5, 3}, {2, 3, 5}, {11, 13},  {2, 19, 9},
                         {67, 5}, {3, 0}, {0, 4},    {2, 1, 6}, {0, 3, 2}};
  if (t == DType::float64) all.push_back({34, 33});
  return all;
}

/// Rank 2, zeros, repeated columns, columns and rows of many magnitudes.
Array odd_matrix(std::int64_t rows, std::int64_t columns, int what) {
  Array x = randn({rows, columns}, DType::float64);
  double* at = x.mutable_data<double>();
  for (std::int64_t i = 0; i < rows; ++i)
    for (std::int64_t j = 0; j < columns; ++j) {
      double& e = at[i * columns + j];
      if (what == 0) e = 0;
      if (what == 1) e = std::cos(static_cast<double>(i)) * static_cast<double>(j + 1);
      if (what == 2 && j > 0) e = at[i * columns];
      if (what == 3) e = std::ldexp(e, static_cast<int>(-j));
      if (what == 4) e = std::ldexp(e, static_cast<int>(-3 * i));
      if (what == 5) e = i == j;
      if (what == 6) e = std::ldexp(e, -115);
      if (what == 7) e = std::ldexp(e, 100);
      if (what == 8) e = i < j ? e : 0;
    }
  return x;
}
constexpr int odd_kinds = 9;

}  // namespace

TEST_CASE("CUDA linalg: QR has LAPACK's signs") {
  manual_seed(1);
  for (const DType t : {DType::float32, DType::float64}) {
    Tensor x;
    const Tensor a = cast(x, t);
    const QrResult reduced = qr(a), complete = qr(a, "complete");
    const GeqrfResult packed = geqrf(a);
    const std::vector<Tensor> outputs{a,          reduced.Q, reduced.R, complete.Q,
                                      complete.R, packed.a,  packed.tau};
    const Function here({x}, outputs), there({x}, outputs, {.device = gpu()});
    const auto check = [&](const Array& value, bool regular) {
      CAPTURE(t);
      CAPTURE(to_string(std::span<const std::int64_t>(value.shape())));
      const std::vector<Array> got = there(value);
      const double eps = unit(t, value);
      const Batch of(got[0]);
      for (const std::size_t i : {1, 3}) {
        const Batch q(got[i]), r(got[i + 1]);
        CHECK(within("Q R", distance(times(q, r), of, of), 4 * eps));
        CHECK(within("Q", skewness(q), 4 * eps));
        for (std::int64_t m = 0; m < r.count; ++m)
          for (std::int64_t k = 0; k < r.rows; ++k)
            for (std::int64_t j = 0; j < std::min(k, r.columns); ++j) CHECK(r(m, k, j) == 0);
      }
      if (!regular || !has_lapack()) return;
      const std::vector<Array> want = here(value);
      for (const std::size_t i : {2, 4, 5})
        CHECK(within("R", distance(Batch(got[i]), Batch(want[i]), of), 4 * eps));
      CHECK(allclose(got[6].to(Device::cpu()), want[6], 0, 1000 * eps));
    };
    for (const Shape& shape : shapes_for(t)) check(randn(shape), true);
    for (int kind = 0; kind < odd_kinds; ++kind) {
      CAPTURE(kind);
      check(odd_matrix(12, 9, kind), kind == 5);
    }
    CHECK(there.stats().host_steps == 0);
    Array bad = randn({4, 3});
    bad.mutable_data<float>()[4] = std::numeric_limits<float>::quiet_NaN();
    bool finite = true;
    for (const double v : Batch(there(bad)[2]).at) finite = finite && std::isfinite(v);
    CHECK_FALSE(finite);
  }
}

TEST_CASE("CUDA linalg: eigenvalues of symmetric matrices") {
  manual_seed(2);
  for (const DType t : {DType::float32, DType::float64}) {
    Tensor x;
    const Tensor a = cast(x, t), both = a + transpose(a, -1, -2);
    const EigResult lower = eigh(tril(both)), upper = eigh(triu(both), "U");
    const std::vector<Tensor> outputs{both, lower.eigenvectors, expand_dims(lower.eigenvalues, -2),
                                      upper.eigenvectors, expand_dims(upper.eigenvalues, -2)};
    const Function here({x}, outputs), there({x}, outputs, {.device = gpu()});
    const auto check = [&](const Array& value) {
      CAPTURE(t);
      CAPTURE(to_string(std::span<const std::int64_t>(value.shape())));
      const std::vector<Array> got = there(value);
      const std::vector<Array> want = has_lapack() ? here(value) : std::vector<Array>{};
      const double eps = unit(t, value);
      const Batch of(got[0]);
      for (const std::size_t i : {1, 3}) {
        const Batch v(got[i]), l(got[i + 1]);
        const Batch scaled = made(v.count, v.rows, v.columns,
                                  [&](auto m, auto k, auto j) { return v(m, k, j) * l(m, 0, j); });
        CHECK(within("V L Vt", distance(times(scaled, turned(v)), of, of), 4 * eps));
        CHECK(within("V", skewness(v), (1 + std::sqrt(longer(value))) * eps));
        if (has_lapack()) CHECK(within("L", distance(l, Batch(want[i + 1]), of), 2 * eps));
        for (std::int64_t m = 0; m < l.count; ++m)
          for (std::int64_t j = 1; j < l.columns; ++j) CHECK(l(m, 0, j - 1) <= l(m, 0, j));
      }
    };
    for (const Shape& shape :
         std::vector<Shape>{{1, 1}, {2, 2}, {3, 5, 5}, {2, 20, 20}, {0, 0}, {0, 3, 3}, {17, 2, 2}})
      check(randn(shape));
    if (t == DType::float64) check(randn({66, 66}));
    for (int kind = 0; kind < odd_kinds; ++kind) {
      CAPTURE(kind);
      check(odd_matrix(9, 9, kind));
    }
    CHECK(there.stats().host_steps == 0);
  }
}

TEST_CASE("CUDA linalg: singular values") {
  manual_seed(3);
  for (const DType t : {DType::float32, DType::float64}) {
    Tensor x;
    const Tensor a = cast(x, t);
    const SvdResult reduced = svd(a, false), full = svd(a);
    const std::vector<Tensor> outputs{a,          reduced.U, expand_dims(reduced.S, -2),
                                      reduced.Vh, full.U,    expand_dims(full.S, -2),
                                      full.Vh};
    const Function here({x}, outputs), there({x}, outputs, {.device = gpu()});
    const auto check = [&](const Array& value) {
      CAPTURE(t);
      CAPTURE(to_string(std::span<const std::int64_t>(value.shape())));
      const std::vector<Array> got = there(value);
      const std::vector<Array> want = has_lapack() ? here(value) : std::vector<Array>{};
      const double eps = unit(t, value);
      const Batch of(got[0]);
      for (const std::size_t i : {1, 4}) {
        const Batch u(got[i]), s(got[i + 1]), vh(got[i + 2]);
        const Batch scaled = made(u.count, u.rows, s.columns,
                                  [&](auto m, auto k, auto j) { return u(m, k, j) * s(m, 0, j); }),
                    first = made(vh.count, s.columns, vh.columns,
                                 [&](auto m, auto k, auto j) { return vh(m, k, j); });
        CHECK(within("U S Vh", distance(times(scaled, first), of, of), 4 * eps));
        CHECK(within("U", skewness(u), (1 + std::sqrt(longer(value))) * eps));
        CHECK(within("Vh", skewness(turned(vh)), (1 + std::sqrt(longer(value))) * eps));
        if (has_lapack()) CHECK(within("S", distance(s, Batch(want[i + 1]), of), 2 * eps));
        for (std::int64_t m = 0; m < s.count; ++m)
          for (std::int64_t j = 0; j < s.columns; ++j)
            CHECK(s(m, 0, j) >= (j + 1 < s.columns ? s(m, 0, j + 1) : 0));
      }
    };
    for (const Shape& shape : shapes_for(t)) check(randn(shape));
    for (int kind = 0; kind < odd_kinds; ++kind) {
      CAPTURE(kind);
      check(t == DType::float32 ? odd_matrix(10, 8, kind) : odd_matrix(5, 12, kind));
    }
    CHECK(there.stats().host_steps == 0);
  }
}

TEST_CASE("CUDA linalg: matrices that are not finite") {
  if (!has_lapack()) return;  // the processor's messages are LAPACK's
  const float bad[] = {std::numeric_limits<float>::quiet_NaN(),
                       std::numeric_limits<float>::infinity()};
  Tensor x({Dim::symbol("b"), Dim(3), Dim(3)}, DType::float32);
  for (const Tensor& result : {svdvals(x), eigvalsh(x), svd(x).U, eigh(x, "U").eigenvectors}) {
    const Function here({x}, result), there({x}, result, {.device = gpu()});
    for (const float number : bad)
      for (const std::int64_t count : {1, 4}) {
        Array value = randn({count, 3, 3});
        value.mutable_data<float>()[count * 9 - 2] = number;
        const auto told = [&](const Function& f) {
          return message<Error>([&] { (void)f(value)[0].to(Device::cpu()); });
        };
        CHECK(told(here) != "nothing thrown");
        CHECK(told(there) == told(here));
      }
    CHECK(message<Error>([&] {
            (void)there(ones({2, 3, 3}))[0].to(Device::cpu());
          }) == "nothing thrown");
    CHECK(there.stats().host_steps == 0);
  }
}

TEST_CASE("CUDA linalg: results that nobody wants change nothing") {
  manual_seed(5);
  Tensor x({2, Dim::symbol("m"), Dim::symbol("n")}, DType::float32);
  const QrResult f = qr(x);
  const GeqrfResult packed = geqrf(x);
  const SvdResult s = svd(x);
  const EigResult e = eigh(matmul(x, transpose(x, -1, -2)));
  const Ordered o = sort(x, 1);
  const std::vector<Tensor> outputs{f.Q,           f.R,      packed.a, packed.tau,
                                    s.U,           s.S,      s.Vh,     e.eigenvectors,
                                    e.eigenvalues, o.values, o.indices};
  const Function all({x}, outputs, {.device = gpu()});
  for (const std::vector<std::size_t>& some :
       {std::vector<std::size_t>{0, 2, 4, 7, 9}, {1, 3, 5, 8, 10}, {6}}) {
    std::vector<Tensor> wanted;
    for (const std::size_t i : some) wanted.push_back(outputs[i]);
    const Function part({x}, wanted, {.device = gpu()});
    for (const Shape& shape : std::vector<Shape>{{2, 7, 3}, {2, 4, 5}}) {
      const Array value = randn(shape);
      const std::vector<Array> got = part(value), want = all(value);
      for (std::size_t i = 0; i < some.size(); ++i) CHECK(same_bits(got[i], want[some[i]]));
    }
    CHECK(part.stats().host_steps == 0);
  }
}

TEST_CASE("CUDA linalg: gradients") {
  if (!has_lapack()) return;
  manual_seed(4);
  Tensor x({3, 6, 4}, DType::float64), y({2, 5, 5}, DType::float64);
  const Tensor w(randn({3, 6, 4}, DType::float64)), z(randn({2, 5, 5}, DType::float64));
  const auto turn = [](const Tensor& m) { return transpose(m, -1, -2); };
  const QrResult f = qr(x);
  const SvdResult s = svd(x, false);
  const EigResult e = eigh(y + turn(y));
  const Tensor loss =
      sum(f.Q * w) + sum(f.R * f.R * f.R) + sum(s.S * s.S * s.S) +
      sum(matmul(s.U, s.Vh) * w) +  // no signs
      sum(exp(e.eigenvalues)) +
      sum(matmul(e.eigenvectors * expand_dims(sin(e.eigenvalues), -2), turn(e.eigenvectors)) * z);
  const std::vector<Tensor> outputs = grad(loss, {x, y});
  const Function here({x, y}, outputs), there({x, y}, outputs, {.device = gpu()});
  const std::vector<Array> values{randn({3, 6, 4}, DType::float64),
                                  randn({2, 5, 5}, DType::float64)};
  const std::vector<Array> got = there(values), want = here(values);
  for (std::size_t i = 0; i < got.size(); ++i)
    CHECK(allclose(got[i].to(Device::cpu()), want[i], 1e-10, 1e-10));
  CHECK(there.stats().host_steps == 0);
}
