// Extern steps that have a form for devices: the processor's bits, over dtypes, axes, extents on both
// sides of a block's and a tile's, duplicates, what is empty; and what is told of indices that are
// out of range. Many steps are one function, since a program is what is compiled.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <numeric>

#include "fake.h"
#include "same_bits.h"
#include "tests/frontend/thrown.h"
#include "weft/ops/indexing.h"
#include "weft/ops/linalg.h"
#include "weft/ops/ordering.h"
#include "weft/ops/random.h"
#include "weft/ops/spatial.h"
#include "weft/weft.h"

using namespace weft;

namespace {

constexpr float nan = std::numeric_limits<float>::quiet_NaN();
constexpr float inf = std::numeric_limits<float>::infinity();

/// The same, but for the bits of NaN that come out of arithmetic: each processor has its own.
Array without_nan(const Array& x) {
  const bool floats = x.dtype() == DType::float16 || x.dtype() == DType::bfloat16 ||
                      x.dtype() == DType::float32 || x.dtype() == DType::float64;
  if (!floats) return x;
  Array wide = x.to(Device::cpu()).to(DType::float64).contiguous();
  double* at = wide.mutable_data<double>();
  for (std::int64_t i = 0; i < wide.size(); ++i)
    if (std::isnan(at[i])) at[i] = 12345;
  return wide;
}

/// One function of many steps, on both; the values may change from call to call.
class Both {
 public:
  Both(std::vector<Tensor> inputs, std::vector<Tensor> outputs)
      : here_(inputs, outputs), there_(inputs, outputs, {.device = gpu()}) {}

  void operator()(const std::vector<Array>& values, bool any_nan = false) const {
    manual_seed(41);
    const std::vector<Array> expected = here_(values);
    manual_seed(41);
    const std::vector<Array> got = there_(values);
    for (std::size_t i = 0; i < expected.size(); ++i) {
      CAPTURE(i);
      CAPTURE(expected[i].dtype());
      CAPTURE(expected[i].shape());
      CHECK(got[i].dtype() == expected[i].dtype());
      CHECK((same_bits(got[i], expected[i]) ||
             (any_nan && same_bits(without_nan(got[i]), without_nan(expected[i])))));
    }
    CHECK(there_.stats().host_steps == 0);
  }

 private:
  Function here_, there_;
};

/// Few distinct numbers, NaN of two kinds, both zeros and infinities among them.
Array odd_floats(Shape shape, DType t = DType::float32) {
  Array x = randint(-9, 10, shape, DType::float32);
  float* at = x.mutable_data<float>();
  for (std::int64_t i = 0; i < x.size(); ++i) {
    if (i % 37 == 5) at[i] = nan;
    if (i % 37 == 15) at[i] = -nan;
    if (i % 37 == 9) at[i] = -0.0f;
    if (i % 41 == 7) at[i] = inf;
    if (i % 41 == 8) at[i] = -inf;
  }
  return x.to(t);
}

/// Of many magnitudes, so that sums are rounded.
Array rough(Shape shape) {
  Array x = randn(shape);
  float* at = x.mutable_data<float>();
  for (std::int64_t i = 0; i < x.size(); ++i)
    at[i] = std::ldexp(at[i], static_cast<int>(i % 97) - 48);
  return x;
}

}  // namespace

TEST_CASE("CUDA operations: draws") {
  std::vector<Tensor> outputs;
  for (const DType t : {DType::float32, DType::float64, DType::float16, DType::bfloat16}) {
    outputs.push_back(uniform(Shape{1001}, 0, 1, t));
    outputs.push_back(uniform(Shape{7, 3}, -2.5, 3, t));
    outputs.push_back(normal(0, 1, Shape{1030}, t));
    outputs.push_back(normal(1.5, 0.25, Shape{5}, t));
    outputs.push_back(bernoulli_like(outputs.front(), 0.3));
    outputs.push_back(uniform(Shape{0}, 0, 1, t));
  }
  for (const DType t : {DType::int64, DType::int32, DType::uint8, DType::uint64})
    outputs.push_back(random_integers(Shape{259}, 3, 117, t));
  const Both both({}, outputs);
  both({});
  both({});
}

TEST_CASE("CUDA operations: draws that reject and choose") {
  manual_seed(6);
  Tensor x, y, z, w;
  const Tensor rates = exp(x * 3.0), trials = floor(exp(abs(y) * 4.0)), chances = sigmoid(z);
  std::vector<Tensor> outputs;
  for (const DType t : {DType::float32, DType::float64, DType::float16}) {
    outputs.push_back(poisson(cast(rates, t)));
    outputs.push_back(binomial(cast(minimum(trials, 60000.0), t), cast(chances, t)));
    outputs.push_back(gamma(cast(rates + 0.05, t)));
  }
  const Tensor weights = maximum(w, 0.0);
  outputs.push_back(multinomial(weights, 70, true));
  outputs.push_back(multinomial(weights, 9));
  outputs.push_back(multinomial(cast(weights * 3.0, DType::int32), 3, true));
  outputs.push_back(randperm(1000));
  outputs.push_back(randperm(1));
  const Both both({x, y, z, w}, outputs);
  Array some = randn({900});
  some.mutable_data<float>()[3] = -inf;
  some.mutable_data<float>()[7] = std::numeric_limits<float>::quiet_NaN();
  both({some, randn({800}), randn({800}), randn({5, 300})}, true);
  both({randn({2}), randn({0}), randn({0}), rough({2, 70})});
}

TEST_CASE("CUDA operations: parameters that nothing can be drawn with") {
  Tensor x, y;
  const auto told = [](const Function& f, const std::vector<Array>& values) {
    return message<Error>([&] { (void)f(values)[0].to(Device::cpu()); });
  };
  const auto compare = [&](std::vector<Tensor> inputs, const Tensor& draw,
                           const std::vector<Array>& values) {
    const Function here(inputs, {draw}), there(inputs, {draw}, {.device = gpu()});
    CHECK(told(here, values) != "nothing thrown");
    CHECK(told(there, values) == told(here, values));
  };
  const Tensor rows = multinomial(reshape(x, {2, 2}), 2);
  compare({x}, poisson(x), {Array{1., -2., -3.}});
  compare({x}, gamma(x), {Array{1., 0., 3.}});
  compare({x, y}, binomial(x, y), {Array{1., 5.}, Array{0.5, 1.5}});
  compare({x, y}, binomial(x, y), {Array{1., 2.5}, Array{1.5, 0.5}});
  compare({x}, rows, {Array{1., 2., 0., 1.}});
  compare({x}, rows, {Array{1., 2., -3., 1.}});
}

TEST_CASE("CUDA operations: gathering and scattering") {
  manual_seed(1);
  Tensor table, rows, cube, along, first, wide, wide_rows, tuples, bytes, updates;
  const Tensor whole = sum(table), nowhere(zeros({3, 0}, DType::int64));  // of one number: itself
  std::vector<Tensor> outputs{
      gather_nd(whole, nowhere),
      scatter_nd(whole, nowhere, narrow(bytes, 0, 0, 3), "add"),
      gather_rows(table, rows),
      gather_rows(wide, wide_rows),
      gather_rows(cast(table, DType::float16), cast(rows, DType::int8)),
      gather(cube, 1, along),
      gather(cube, -1, first),
      gather(cast(cube, DType::float64), 0, cast(first, DType::uint8)),
      gather_nd(cube, tuples),
      take(bytes, rows),
      scatter(cube, 1, along, updates),
      scatter(bytes, 0, rows, cast(rows, DType::uint8)),
      scatter_nd(cube, tuples, ones({9, 5})),
      scatter_nd(cube, tuples, cast(gather_nd(cube, tuples), DType::float32), "mul"),
  };
  for (const char* reduce : {"sum", "prod", "amax", "amin"}) {
    outputs.push_back(scatter_reduce(cube, 1, along, updates, reduce));
    outputs.push_back(scatter_reduce(cast(cube, DType::bfloat16), 1, along,
                                     cast(updates, DType::bfloat16), reduce));
    outputs.push_back(scatter_reduce(cast(round(cube), DType::int8), 1, along,
                                     cast(round(updates), DType::int8), reduce));
    outputs.push_back(scatter_reduce(cast(round(cube), DType::int64), 1, along,
                                     cast(round(updates), DType::int64), reduce));
    outputs.push_back(scatter_reduce(cube > 0.0, 1, along, updates > 0.5, reduce));
  }
  const Tensor loss = sum(gather_rows(table, rows) * gather_rows(table, rows)) +
                      sum(gather_rows(wide, wide_rows)) + sum(gather(cube, 1, along) * updates);
  for (const Tensor& g : grad(loss, {table, wide, cube})) outputs.push_back(g);
  const Both both({table, rows, cube, along, first, wide, wide_rows, tuples, bytes, updates},
                  outputs);
  both({randn({7, 3}), randint(-7, 7, {3000}), odd_floats({4, 6, 5}), randint(-6, 6, {4, 60, 5}),
        randint(0, 4, {3, 6, 2}), randn({11, 64}), randint(0, 11, {6, 4}), randint(0, 4, {9, 2}),
        randint(0, 255, {3100}, DType::uint8), odd_floats({4, 60, 5})},
       true);
  // Nothing to do, and all to one place.
  both(
      {randn({2, 3}), zeros({3000}, DType::int64), odd_floats({4, 6, 5}), randint(0, 1, {4, 60, 5}),
       randint(0, 4, {3, 6, 0}), randn({11, 64}), randint(0, 11, {0, 4}), randint(0, 4, {9, 2}),
       randint(0, 255, {3100}, DType::uint8), odd_floats({4, 60, 5})},
      true);
}

TEST_CASE("CUDA operations: order") {
  manual_seed(2);
  Tensor x, y, z, sorted, values;
  std::vector<Tensor> outputs;
  const auto add = [&](const Ordered& o) {
    outputs.push_back(o.values);
    outputs.push_back(o.indices);
  };
  for (const DType t : {DType::float32, DType::float64, DType::bfloat16}) {
    add(sort(cast(x, t)));
    add(sort(cast(x, t), 0, true));
  }
  for (const DType t : {DType::int8, DType::uint8, DType::int64, DType::boolean})
    add(sort(cast(round(y), t), -1, t == DType::int8));
  outputs.push_back(argsort(cast(x, DType::float16), 1));
  add(topk(x, 3));
  add(topk(x, 4, 0, false));
  add(topk(y, 50));
  add(kthvalue(x, 5, 1, true));
  add(median(x, 1));
  add(nanmedian(x, 0));
  add(median(y, 1));
  outputs.push_back(searchsorted(sorted, values));
  outputs.push_back(searchsorted(sorted, values, true));
  outputs.push_back(searchsorted(sort(y).values, y));
  outputs.push_back(searchsorted(cast(round(sorted), DType::int32), values));
  add(sort(z, 1));
  const Both both({x, y, z, sorted, values}, outputs);
  const auto ordered = [](Array a) {
    float* at = a.mutable_data<float>();
    std::sort(at, at + a.size());
    return a;
  };
  // A cast to a narrower type may give another NaN on a device.
  both({odd_floats({19, 45}), randn({3, 131}), odd_floats({3, 70, 4}), ordered(randn({900})),
        odd_floats({5, 9})},
       !stand_in());
  both({odd_floats({5, 2700}), randn({2, 2200}), odd_floats({1, 5000, 2}), ordered(randn({1})),
        odd_floats({0, 9})},
       !stand_in());
}

TEST_CASE("CUDA operations: the most frequent, and rows in order") {
  manual_seed(12);
  Tensor x, y, rows({Dim::symbol("r"), Dim::symbol("w")}, DType::float32),
      numbers({Dim::symbol("n"), Dim::symbol("m")}, DType::int64);
  std::vector<Tensor> outputs;
  const auto add = [&](const Ordered& o) {
    outputs.push_back(o.values);
    outputs.push_back(o.indices);
  };
  for (const DType t : {DType::float32, DType::float64, DType::bfloat16}) add(mode(cast(x, t)));
  for (const std::int64_t axis : {0, 1, 2}) add(mode(y, axis, axis == 1));
  for (const DType t : {DType::int8, DType::int64, DType::boolean})
    add(mode(cast(round(x), t), 0));
  outputs.push_back(mode(x, 1).indices);
  for (const DType t : {DType::float32, DType::float64, DType::int8, DType::boolean}) {
    const Unique u = unique(cast(rows, t), 0);
    for (const Tensor& part : {u.values, u.inverse, u.counts}) outputs.push_back(part);
  }
  outputs.push_back(unique(numbers, 1).inverse);
  const Both both({x, y, rows, numbers}, outputs);
  both({odd_floats({19, 45}), odd_floats({3, 70, 4}), randint(0, 2, {90, 5}, DType::float32),
        randint(0, 3, {2, 40})});
  both({odd_floats({2, 5000}), odd_floats({1, 2600, 2}), randint(0, 3, {5000, 9}, DType::float32),
        randint(0, 9, {2, 2300})});
  both({randn({2, 2050}), randn({1, 1, 1}), odd_floats({2049, 3}), randint(0, 9, {0, 40})});
}

TEST_CASE("CUDA operations: running results") {
  manual_seed(3);
  Tensor x, y;
  std::vector<Tensor> outputs;
  for (const DType t : {DType::float32, DType::float64, DType::float16})
    for (const std::int64_t axis : {0, 1}) {
      outputs.push_back(cumsum(cast(x, t), axis));
      outputs.push_back(cumsum(cast(x, t), axis, true, true));
      outputs.push_back(cumprod(cast(x, t), axis, false, true));
      outputs.push_back(cummax(cast(y, t), axis).indices);
      outputs.push_back(cummin(cast(y, t), axis).values);
    }
  outputs.push_back(cummin(cast(y, DType::float16), 1).indices);
  outputs.push_back(cumsum(cast(round(x * 100.0), DType::int8), 1));
  outputs.push_back(cumsum(x > 0.0, 1, true));
  outputs.push_back(cumprod(cast(round(x * 3.0), DType::int32), 1));
  outputs.push_back(cummax(cast(round(x * 3.0), DType::int16), 1).indices);
  for (const DType t : {DType::float32, DType::float64, DType::bfloat16})
    for (const std::int64_t axis : {0, 1}) {
      outputs.push_back(logcumsumexp(cast(y, t), axis));
      outputs.push_back(logcumsumexp(cast(x * 20.0, t), axis, true, true));
    }
  outputs.push_back(linear_scan(x, x * 0.5, 0));
  outputs.push_back(linear_scan(x, x * 0.5, 1, true));
  const Both both({x, y}, outputs);
  both({randn({3, 700}), odd_floats({3, 700})}, true);
  both({rough({300, 9}), odd_floats({300, 9})}, true);
  both({randn({2, 40000}), odd_floats({2, 40000})}, true);
  both({rough({1, 20000}), odd_floats({1, 0})}, true);
  both({rough({70000, 0}), odd_floats({70000, 0})}, true);
}

TEST_CASE("CUDA operations: counting, positions, folding") {
  manual_seed(4);
  Tensor x, w, mask, columns({2, 18, 28}, DType::float32);
  std::vector<Tensor> outputs{
      fold(columns, {9, 8}, {3, 2}, 1, 0, {2, 1}),
      fold(cast(columns, DType::float16), {9, 8}, {3, 2}, 1, 0, {2, 1}),
  };
  const Both folded({columns}, outputs);
  folded(std::vector<Array>{randn({2, 3 * 6, 4 * 7})});
  const Both counted({x, w, mask}, {bincount(x), bincount(x, w),
                                    bincount(cast(x, DType::int16), cast(w, DType::float16), 5000),
                                    nonzero(mask), masked_select(mask, mask > 1.0)});
  counted({randint(0, 50, {5000}), randn({5000}), odd_floats({90, 100})});
  counted({randint(0, 6000, {3000}), odd_floats({3000}), zeros({3, 4})}, true);
}

namespace {

/// |a b - c| within `n` eps of |a| |b| (and of |c|), matrix by matrix: what backward stable factors
/// and substitutions keep to. `a` (rows, n), `b` (n, columns).
struct Product {
  const Array &a, &b, &c;
  bool operator()(double eps) const {
    const std::int64_t rank = std::ssize(a.shape()), rows = a.shape()[rank - 2],
                       n = a.shape()[rank - 1], columns = b.shape()[rank - 1];
    const std::int64_t count = c.size() / std::max<std::int64_t>(1, rows * columns);
    const Array x = wide(a), y = wide(b), z = wide(c);
    bool close = true;
    for (std::int64_t e = 0; e < count * rows * columns; ++e) {
      const std::int64_t m = e / (rows * columns), i = e / columns % rows, j = e % columns;
      double sum = -z.data<double>()[e], terms = std::fabs(sum);
      for (std::int64_t k = 0; k < n; ++k) {
        const double term =
            x.data<double>()[(m * rows + i) * n + k] * y.data<double>()[(m * n + k) * columns + j];
        sum += term, terms += std::fabs(term);
      }
      close = close && std::fabs(sum) <= static_cast<double>(n + 1) * eps * terms;
    }
    return close;
  }
  static Array wide(const Array& x) { return x.to(Device::cpu()).to(DType::float64).contiguous(); }
};

}  // namespace

TEST_CASE("CUDA operations: windows at given and at drawn places, positions") {
  const Tensor x("x"), volume("volume"), samples("samples"), sequence("sequence");
  const Tensor image = broadcast_to(x, {2, 3, 9, 13});
  const auto given = fractional_max_pool2d_with_indices(image, {2, 3}, {4, 6}, {}, samples);
  const auto drawn =
      fractional_max_pool3d_with_indices(broadcast_to(volume, {2, 2, 5, 6, 7}), 2, {}, {0.6});
  nn::PositionalEmbedding learned(6, 5);
  const Tensor y = learned(sequence);
  const std::vector<Tensor> slopes =
      grad(sum(square(given.values)) + sum(square(drawn.values)) + sum(square(y)),
           {x, volume, learned.weight});
  const Both both({x, volume, samples, sequence},
                  {given.values, given.indices, drawn.values, drawn.indices, y, slopes[0],
                   slopes[1], slopes[2]});
  both({rough({2, 3, 9, 13}), rough({2, 2, 5, 6, 7}), rand({2, 3, 2}), rough({4, 3, 5})});
  both({rough({2, 3, 9, 13}), rough({2, 2, 5, 6, 7}), rand({2, 3, 2}), rough({2, 6, 5})});
}

TEST_CASE("CUDA operations: factors and triangular systems") {
  manual_seed(7);
  Tensor x, y, z;
  std::vector<Tensor> outputs;
  std::vector<double> bounds;   // of left times right against what they are to give
  const auto claim = [&](const Tensor& left, const Tensor& right, const Tensor& product,
                         double eps) {
    for (const Tensor& o : {left, right, product}) outputs.push_back(o);
    bounds.push_back(eps);
  };
  const auto turned = [](const Tensor& m) { return transpose(m, -1, -2); };
  for (const DType t : {DType::float32, DType::float64}) {
    const double eps = t == DType::float32 ? 0x1p-23 : 0x1p-52;
    const Tensor a = cast(x, t), b = cast(y, t), tall = cast(z, t), positive = matmul(a, turned(a));
    const Tensor factor = cholesky(positive);
    claim(factor, turned(factor), positive, eps);
    for (const Tensor& m : {a, tall, turned(tall)}) {
      const LuResult f = lu(m);
      claim(matmul(f.P, f.L), f.U, m, eps);
    }
    for (const bool upper : {false, true}) {
      const Tensor small = a * 0.25, half = upper ? triu(small) : tril(small);
      claim(half, solve_triangular(small, b, upper), b, eps);
      claim(turned(half), triangular_solve(b, small, upper, true).solution, b, eps);
      claim(select(half, 0, 1), solve_triangular(select(small, 0, 1), select(b, 0, 0), upper),
            select(b, 0, 0), eps);
    }
    const LuFactors f = lu_factor(positive);
    claim(positive, lu_solve(f.LU, f.pivots, b), b, 8 * eps);
    claim(turned(positive), lu_solve(f.LU, f.pivots, b, true, true), b, 8 * eps);
    const LuResult unpacked = lu_unpack(f.LU, f.pivots);
    claim(unpacked.L, solve_triangular(f.LU, b, false, true, true), b, eps);
    const Tensor second = select(b, 0, 1);   // for all of the batch
    claim(unpacked.U, solve_triangular(f.LU, second, true), b * 0.0 + second, eps);
  }
  const Function f({x, y, z}, outputs, {.device = gpu()});
  // Panels of 32, 32 and 6 columns.
  const std::vector<Array> got =
      f(randn({2, 70, 70}), randn({2, 70, 66}), randn({1, 65, 40}));
  for (std::size_t i = 0; i < bounds.size(); ++i) {
    CAPTURE(i);
    CHECK((Product{got[3 * i], got[3 * i + 1], got[3 * i + 2]}(bounds[i])));
  }
  CHECK(f.stats().host_steps == 0);
}

TEST_CASE("CUDA operations: matrices that have no factors") {
  if (!has_lapack()) return;  // the processor's messages are LAPACK's
  Tensor x, p;
  const Tensor square = reshape(x, {2, 2}), batch = reshape(x, {1, 2, 2}) + zeros({3, 1, 1});
  const auto compare = [&](const Tensor& result, const Array& value) {
    const auto told = [&](const Function& f) {
      return message<Error>([&] { (void)f(value)[0].to(Device::cpu()); });
    };
    const Function here({x}, result), there({x}, result, {.device = gpu()});
    CHECK(told(here) != "nothing thrown");
    CHECK(told(there) == told(here));
  };
  compare(cholesky(square), Array{1., 2., 2., 1.});
  compare(cholesky(batch), Array{1., 2., 2., 1.});
  compare(inverse(square), Array{1., 2., 2., 4.});
  compare(inverse(batch), Array{1., 2., 2., 4.});
  compare(lu_solve(square, cast(narrow(x, 0, 0, 2), DType::int32), square), Array{1., 4., 3., 4.});
}

TEST_CASE("CUDA operations: an index that is out of range") {
  Tensor table({7, 3}, DType::float32, "table"), rows({4}, DType::int64, "rows");
  const std::vector<Tensor> outputs{gather_rows(table, rows)};
  const Function here({table, rows}, outputs), there({table, rows}, outputs, {.device = gpu()});
  const Array values = randn({7, 3}), good{0, 6, -7, 3}, bad{0, 9, -8, 3};
  const auto told = [&](const Function& f, const Array& indices) {
    return message<IndexError>([&] { (void)f(values, indices)[0].to(Device::cpu()); });
  };
  CHECK(told(here, bad) != "nothing thrown");
  CHECK(told(there, bad) == told(here, bad));
  CHECK(told(there, good) == "nothing thrown");  // once
  {
    const Array wrong = there(values, bad)[0];  // the call itself returns
    CHECK(told(there, good) == told(here, bad));
    CHECK(same_bits(there(values, good)[0], here(values, good)[0]));
  }
  const Tensor added = index_add(table, 0, rows, ones({4, 3}));
  const Function add({table, rows}, added), on_device({table, rows}, added, {.device = gpu()});
  CHECK(told(on_device, bad) == told(add, bad));
}

TEST_CASE("CUDA operations: the k-th of lines that turn out to be shorter") {
  const Tensor few({Dim::symbol("m"), Dim::symbol("n")}, DType::float32, "few");
  const Ordered fifth = kthvalue(few, 5, 1), far = kthvalue(few, 3000, 1);
  const std::vector<Tensor> near_outputs{fifth.values, fifth.indices},
      far_outputs{far.values, far.indices};
  for (const auto& [outputs, k] : {std::pair{near_outputs, 5}, std::pair{far_outputs, 3000}}) {
    CAPTURE(k);
    const Function here({few}, outputs), there({few}, outputs, {.device = gpu()});
    const Array short_lines = randn({3, k - 1}), long_lines = randn({3, k + 2});
    CHECK_THROWS_AS((void)there(short_lines)[0].to(Device::cpu()), ShapeError);
    const std::vector<Array> got = there(long_lines), expected = here(long_lines);
    for (std::size_t i = 0; i < got.size(); ++i) CHECK(same_bits(got[i], expected[i]));
    CHECK(there.stats().host_steps == 0);
  }
}

TEST_CASE("CUDA: steps of every kind in one program") {
  const Tensor x({1, 3, 13, 8}, DType::float32), at({1, 3, 13, 8}, DType::int64);
  const Tensor q = x.to(DType::bfloat16);
  const std::vector<Tensor> exact{
      gather(x, 1, at),         sort(x, 1).values, cumsum(x, 1), matmul(x, transpose(x, 2, 3)),
      uniform(Shape{1, 3, 13}), softmax(x, 1)};
  std::vector<Tensor> all = exact;
  all.push_back(scaled_dot_product_attention(x, x, x));
  all.push_back(scaled_dot_product_attention(q, q, q).to(DType::float32));
  const std::vector<Array> values{randn({1, 3, 13, 8}),
                                  randint(0, 3, {1, 3, 13, 8}).to(DType::int64)};
  const Function there({x, at}, all, {.device = gpu()}), here({x, at}, all);
  manual_seed(5);
  const std::vector<Array> got = there(values);
  manual_seed(5);
  const std::vector<Array> expected = here(values);
  for (std::size_t i = 0; i < exact.size(); ++i) CHECK(same_bits(got[i], expected[i]));
  for (std::size_t i = exact.size(); i < all.size(); ++i)
    CHECK(allclose(got[i].to(Device::cpu()), expected[i], 2e-2, 2e-2));
  CHECK(there.stats().host_steps == 0);
}
