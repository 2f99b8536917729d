// Attention on a device, which never writes the scores: results and gradients against the
// processor's expansion in float64, within stated ulps of the terms' magnitudes.
#include <doctest/doctest.h>

#include <cmath>

#include "fake.h"
#include "same_bits.h"
#include "weft/weft.h"

using namespace weft;

namespace {

struct Problem {
  std::string name;
  DType dtype;
  Shape query, key, value;
  std::optional<Shape> mask = {};
  bool boolean = false;  // else added
  bool causal = false, grouped = false;
  std::optional<double> scale = {};
};

double spacing(DType t) {
  return t == DType::bfloat16 ? 0x1p-7 : t == DType::float16 ? 0x1p-10 : 0x1p-23;
}

/// Result, and gradients for a cotangent.
struct Attention {
  std::vector<Tensor> inputs, outputs;
  Attention(const Problem& p, const std::vector<Array>& values) {
    for (const Array& x : values) inputs.push_back(Tensor(to_dims(x.shape()), x.dtype()));
    AttentionOptions options{.is_causal = p.causal, .scale = p.scale, .enable_gqa = p.grouped};
    if (p.mask) options.attn_mask = inputs[4];
    const Tensor y = scaled_dot_product_attention(inputs[0], inputs[1], inputs[2], options);
    outputs = {y};
    for (const Tensor& d : vjp({y}, {inputs[0], inputs[1], inputs[2]}, {inputs[3]}))
      outputs.push_back(d);
  }
};

std::vector<Array> random_values(const Problem& p) {
  std::vector<Array> values{randn(p.query).to(p.dtype), randn(p.key).to(p.dtype),
                            randn(p.value).to(p.dtype)};
  Shape batch(p.query.begin(), p.query.end() - 2);
  for (const Shape* x : {&p.key, &p.value})
    if (!p.grouped) batch = broadcast_shapes(batch, Shape(x->begin(), x->end() - 2));
  batch.insert(batch.end(), {p.query[p.query.size() - 2], p.value.back()});
  values.push_back(randn(batch).to(p.dtype));
  if (p.mask)
    values.push_back(p.boolean ? randint(0, 2, *p.mask).to(DType::boolean)
                               : randn(*p.mask).to(p.dtype));
  return values;
}

std::vector<Array> in_double(const std::vector<Array>& values) {
  std::vector<Array> wide;
  for (const Array& x : values)
    wide.push_back(x.dtype() == DType::boolean ? x : x.to(DType::float64));
  return wide;
}

/// How large the terms are that meet in each element: of the result Σ w |v|; of gradients, which
/// are made of w (Σ g v - Σ w Σ g v), with every term's sign dropped.
std::vector<Array> magnitudes(const Problem& p, const std::vector<Array>& values) {
  std::vector<Tensor> x;
  for (const Array& v : values) x.push_back(Tensor(to_dims(v.shape()), v.dtype()));
  const auto repeated = [&](const Tensor& t) {
    if (!p.grouped) return t;
    return repeat_interleave(t, p.query[p.query.size() - 3] / p.key[p.key.size() - 3], -3);
  };
  Tensor scores = matmul(x[0], transpose(repeated(x[1]), -1, -2)) *
                  p.scale.value_or(1 / std::sqrt(static_cast<double>(p.query.back())));
  const double never = -1e30;
  if (p.mask) scores = p.boolean ? where(x[4], scores, never) : scores + x[4];
  const std::int64_t rows = p.query[p.query.size() - 2], columns = p.key[p.key.size() - 2];
  if (p.causal)
    scores =
        where(Tensor(arange(columns)) <= reshape(Tensor(arange(rows)), {rows, 1}), scores, never);
  const Tensor w = softmax(scores, -1), q = abs(x[0]), k = abs(repeated(x[1])),
               v = abs(repeated(x[2])), g = abs(x[3]);
  const Tensor up = matmul(g, transpose(v, -1, -2)), slope = w * (up + sum(w * up, Axes{-1}, true));
  const double scale =
      std::fabs(p.scale.value_or(1 / std::sqrt(static_cast<double>(p.query.back()))));
  const Tensor dk = matmul(transpose(slope, -1, -2), q) * scale,
               dv = matmul(transpose(w, -1, -2), g);
  const auto summed = [&](const Tensor& d, const Shape& to) {
    // over the batch that broadcast, and the heads that share one
    const Shape from = *to_shape(*d.node()->type().shape);
    if (p.grouped) {
      Shape split = from;
      split.insert(split.end() - 2, from[from.size() - 3] / to[to.size() - 3]);
      split[split.size() - 4] = to[to.size() - 3];
      return sum(reshape(d, to_dims(split)), Axes{-3});
    }
    Axes axes;
    for (std::size_t i = 0; i < from.size(); ++i) {
      const std::size_t lead = from.size() - to.size();
      if (i < lead || to[i - lead] != from[i]) axes.push_back(static_cast<std::int64_t>(i));
    }
    return axes.empty() ? d : reshape(sum(d, axes), to_dims(to));
  };
  const Function f(x, {matmul(w, v), summed(matmul(slope, k) * scale, p.query), summed(dk, p.key),
                       summed(dv, p.value)});
  return f(values);
}

/// The largest error in spacings of the dtype at the terms' magnitude.
double error_of(const Array& got, const Array& want, const Array& magnitude, DType dtype) {
  REQUIRE(got.shape() == want.shape());
  const std::vector<double> g = got.to(Device::cpu()).to(DType::float64).tolist<double>(),
                            w = want.tolist<double>(), m = magnitude.tolist<double>();
  double worst = 0;
  for (std::size_t i = 0; i < g.size(); ++i) {
    if (!std::isfinite(g[i])) return INFINITY;
    worst = std::max(worst, std::fabs(g[i] - w[i]) / (spacing(dtype) * std::max(m[i], 1e-3)));
  }
  return worst;
}

const std::vector<Problem>& problems() {
  using enum DType;
  static const std::vector<Problem> all{
      {"heads of 64", bfloat16, {2, 150, 64}, {2, 150, 64}, {2, 150, 64}, {}, false, true},
      {"keys and values broadcast, sizes differ",
       bfloat16,
       {3, 2, 33, 40},
       {2, 70, 40},
       {2, 70, 24}},
      {"boolean mask", float16, {70, 128}, {100, 128}, {100, 128}, Shape{70, 100}, true},
      {"odd sizes, added mask",
       float16,
       {2, 21, 5},
       {2, 37, 5},
       {2, 37, 7},
       Shape{2, 1, 37},
       false,
       true,
       false,
       -0.75},
      {"float32, more queries", float32, {2, 90, 33}, {2, 70, 33}, {2, 70, 20}, {}, false, true},
      {"float32, mask",
       float32,
       {2, 2, 19, 64},
       {1, 1, 80, 64},
       {1, 1, 80, 64},
       Shape{2, 1, 19, 1}},
      {"heads of 256", bfloat16, {20, 256}, {50, 256}, {50, 256}, {}, false, true},
      {"heads of 128, tiles of keys", bfloat16, {2, 150, 128}, {2, 300, 128}, {2, 300, 128}},
      {"sizes of heads differ, causal",
       float16,
       {330, 128},
       {330, 128},
       {330, 64},
       {},
       false,
       true},
      {"heads that fill most of a tile",
       bfloat16,
       {2, 70, 104},
       {2, 140, 104},
       {2, 140, 56},
       {},
       false,
       true},
      {"mask over tiles of keys",
       float16,
       {130, 64},
       {260, 64},
       {260, 128},
       Shape{130, 260},
       false,
       false,
       false,
       0.3},
      {"groups of heads", float16, {4, 20, 16}, {2, 20, 16}, {2, 20, 16}, {}, false, true, true},
  };
  return all;
}

}  // namespace

TEST_CASE("CUDA: attention and its gradients, within ulps of the terms' magnitudes") {
  manual_seed(8);
  // All in one function: its kernels are compiled together.
  std::vector<Tensor> inputs, outputs;
  std::vector<Array> values;
  std::vector<std::vector<Array>> each;
  for (const Problem& p : problems()) {
    each.push_back(random_values(p));
    const Attention made(p, each.back());
    inputs.insert(inputs.end(), made.inputs.begin(), made.inputs.end());
    outputs.insert(outputs.end(), made.outputs.begin(), made.outputs.end());
    values.insert(values.end(), each.back().begin(), each.back().end());
  }
  std::vector<std::vector<Array>> got;
  std::vector<Device> devices{gpu()};
  if (stand_in()) devices.push_back(Device::cuda(1));  // without warpgroups
  for (const Device& device : devices) {
    const Function f(inputs, outputs, {.device = device});
    got.push_back(f(values));
    CHECK(f.stats().host_steps == 0);
  }
  for (std::size_t i = 0; i < problems().size(); ++i) {
    const Problem& p = problems()[i];
    CAPTURE(p.name);
    const std::vector<Array> wide = in_double(each[i]);
    const Attention reference(p, wide);
    const std::vector<Array> want = Function(reference.inputs, reference.outputs)(wide),
                             sizes = magnitudes(p, wide);
    // Weights and results are rounded once each; of gradients, so are weights, slopes, the result
    // (in delta) and the gradients. In float32 the scores' own rounding counts.
    const double allowed = p.dtype == DType::float32 ? 8 : 1;
    for (std::size_t d = 0; d < devices.size(); ++d)
      for (std::size_t k = 0; k < 4; ++k) {
        CAPTURE(d);
        CAPTURE(k);
        CHECK(error_of(got[d][4 * i + k], want[k], sizes[k], p.dtype) <= allowed);
      }
  }
}

TEST_CASE("CUDA: attention writes no scores, whatever the lengths") {
  Tensor q, k, v;
  const Function f({q, k, v}, scaled_dot_product_attention(q, k, v, {.is_causal = true}),
                   {.device = gpu()});
  const Function on_host({q, k, v}, scaled_dot_product_attention(q, k, v, {.is_causal = true}));
  for (const std::int64_t n : {0, 1, 5, 17, 130}) {
    CAPTURE(n);
    const Array x = randn({n, 8}).to(DType::bfloat16), y = randn({n + 3, 8}).to(DType::bfloat16);
    const Array got = f(x, y, y)[0].to(Device::cpu());
    CHECK(allclose(got.to(DType::float32), on_host(x, y, y)[0].to(DType::float32), 0x1p-6, 0x1p-6));
    CHECK(f.stats().kernels == 1);
    CHECK(f.stats().bytes_planned <= 4 * 64 * (n / 16 + 1));  // no more than a number a query
  }
  // No keys: zeros.
  const Array none = f(randn({4, 8}).to(DType::bfloat16), zeros({0, 8}, DType::bfloat16),
                       zeros({0, 8}, DType::bfloat16))[0];
  CHECK(none.to(Device::cpu()).to(DType::float32).tolist<float>() == std::vector<float>(32, 0));
}

TEST_CASE("CUDA: attention of keys that masks all but forbid") {
  manual_seed(2);
  for (const DType t : {DType::bfloat16, DType::float32}) {
    CAPTURE(t);
    const Tensor q({2, 64}, t), k({5, 64}, t), v({5, 64}, t), m({2, 5}, t);
    const Tensor y = scaled_dot_product_attention(q, k, v, {.attn_mask = m});
    const std::vector<Tensor> inputs{q, k, v, m},
        d = grad(sum(cast(y, DType::float32)), {q, v}), outputs{y, d[0], d[1]};
    // Beyond float32 as a power of two, though not as a number: all keys alike, as on the
    // processor.
    const std::vector<Array> values{randn({2, 64}).to(t), randn({5, 64}).to(t),
                                    randn({5, 64}).to(t), full({2, 5}, -3.3e38).to(t)};
    const Array want = Function(inputs, outputs)(values)[0].to(DType::float32);
    std::vector<Device> devices{gpu()};
    if (stand_in()) devices.push_back(Device::cuda(1));
    for (const Device& device : devices) {
      const std::vector<Array> got = Function(inputs, outputs, {.device = device})(values);
      CHECK(allclose(got[0].to(Device::cpu()).to(DType::float32), want, 0x1p-6, 0x1p-6));
      for (const Array& x : got)
        for (const double one : x.to(Device::cpu()).to(DType::float64).tolist<double>())
          CHECK(std::isfinite(one));
      // What is not a number stays so, in the gradient too.
      std::vector<Array> poisoned = values;
      poisoned[0] = full({2, 64}, NAN).to(t);
      for (const Array& x : Function(inputs, outputs, {.device = device})(poisoned))
        for (const double one : x.to(Device::cpu()).to(DType::float64).tolist<double>())
          CHECK(std::isnan(one));
      // Of two keys far below, the nearer one counts.
      std::vector<Array> ordered = values;
      ordered[3] = concatenate({full({2, 4}, -3.3e38), full({2, 1}, -2.2e38)}, 1).value().to(t);
      const Array near = Function(inputs, outputs, {.device = device})(ordered)[0];
      const Array last = broadcast_to(Tensor(values[2])[{4}], {2, 64}).value();
      CHECK(same_bits(near, last));
    }
  }
}

TEST_CASE("CUDA: attention's gradients are of what is asked for") {
  const Tensor x({2, 40, 16}, DType::bfloat16), y({2, 30, 16}, DType::bfloat16);
  const auto loss = [](const Tensor& a, const Tensor& b, const Tensor& c) {
    return sum(cast(scaled_dot_product_attention(a, b, c), DType::float32));
  };
  // No queries: keys that broadcast over an empty batch have a gradient of zeros.
  for (const std::int64_t size : {16, 64}) {  // by warps, and by warpgroups
    const Tensor q({0, 8, size}, DType::bfloat16), k({1, 8, size}, DType::bfloat16);
    const Function none({q, k}, grad(loss(q, k, k), {q, k}), {.device = gpu()});
    const std::vector<Array> d =
        none(zeros({0, 8, size}, DType::bfloat16), randn({1, 8, size}).to(DType::bfloat16));
    CHECK(d[0].shape() == Shape{0, 8, size});
    CHECK(array_equal(d[1].to(Device::cpu()).to(DType::float32), zeros({1, 8, size})));
  }
  // Keys that are frozen cost nothing.
  const Tensor whole = loss(x, y, y * 2.0);
  const Function all({x, y}, grad(whole, {x, y}), {.device = gpu()});
  const Function some({x, y}, grad(whole, {x}), {.device = gpu()});
  const Array a = randn({2, 40, 16}).to(DType::bfloat16),
              b = randn({2, 30, 16}).to(DType::bfloat16);
  CHECK(same_bits(all(a, b)[0], some(a, b)[0]));
  if (!stand_in()) return;
  const auto launches = [&](const Function& f) {
    const long before = fake_cuda().counts().launches;
    (void)f(a.to(gpu()), b.to(gpu()));  // at new addresses, so not a recording
    return fake_cuda().counts().launches - before;
  };
  CHECK(launches(all) >= launches(some) + 2);  // the keys' and values' own, and their sum
}

TEST_CASE("CUDA: attention that has no step of its own is expanded") {
  Tensor q, k, v, m;
  const std::vector<Tensor> inputs{q, k, v, m};
  const Tensor y = scaled_dot_product_attention(q, k, v, {.attn_mask = m});
  // The gradient of a gradient, and of the mask.
  const std::vector<Tensor> d = grad(sum(y * y), {q, k, m});
  const Tensor twice = grad(sum(d[0] * d[0]) + sum(d[1] * d[2].reshape({-1, 1})), {k})[0];
  const Function f(inputs, {d[2], twice}, {.device = gpu()}), on_host(inputs, {d[2], twice});
  const std::vector<Array> values{randn({9, 4}), randn({9, 4}), randn({9, 4}), randn({9})};
  const std::vector<Array> got = f(values), want = on_host(values);
  CHECK(f.stats().host_steps == 0);
  for (std::size_t i = 0; i < 2; ++i)
    CHECK(allclose(got[i].to(Device::cpu()), want[i], 1e-4, 1e-5));
  const Function wide(inputs, {y}, {.device = gpu()}), wide_on_host(inputs, {y});
  std::vector<Array> doubles;
  for (const Array& x : values) doubles.push_back(x.to(DType::float64));
  CHECK(allclose(wide(doubles)[0].to(Device::cpu()), wide_on_host(doubles)[0], 1e-12, 1e-12));
}

TEST_CASE("CUDA: attention of constants is known before the device") {
  const Array x = randn({3, 4});
  const Tensor c = Tensor(x);
  Tensor s;
  const Function f({s}, {scaled_dot_product_attention(c, c, c) * s}, {.device = gpu()}),
      on_host({s}, {scaled_dot_product_attention(c, c, c) * s});
  CHECK(allclose(f(Array(2.f))[0].to(Device::cpu()), on_host(Array(2.f))[0]));
}
