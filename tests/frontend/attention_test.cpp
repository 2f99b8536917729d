// Attention as users call it. Values and gradients against the reference: generated tests; on a
// device: tests/cuda/attention_test.cpp.
#include <doctest/doctest.h>

#include "thrown.h"
#include "weft/weft.h"

using namespace weft;

namespace {

Array call(const Array& q, const Array& k, const Array& v, const AttentionOptions& options = {}) {
  const Tensor a(to_dims(q.shape()), q.dtype()), b(to_dims(k.shape()), k.dtype()),
      c(to_dims(v.shape()), v.dtype());
  return Function({a, b, c}, scaled_dot_product_attention(a, b, c, options))(q, k, v)[0];
}

}  // namespace

TEST_CASE("attention: softmax of scaled scores times values") {
  manual_seed(1);
  const Array q = randn({2, 5, 4}), k = randn({2, 7, 4}), v = randn({2, 7, 3});
  const Tensor a(q), b(k), c(v);
  const Tensor scores = matmul(a, transpose(b, -1, -2)) / 2.0;
  CHECK(allclose(call(q, k, v), matmul(softmax(scores, -1), c).value(), 1e-5, 1e-6));
  CHECK(allclose(call(q, k, v, {.scale = 0.25}), matmul(softmax(scores / 2.0, -1), c).value(), 1e-5,
                 1e-6));
  const Array added = randn({5, 7}), seen = randint(0, 2, {2, 5, 7}).to(DType::boolean);
  CHECK(allclose(call(q, k, v, {.attn_mask = Tensor(added)}),
                 matmul(softmax(scores + Tensor(added), -1), c).value(), 1e-5, 1e-6));
  const Tensor bias = where(Tensor(seen), 0.0, -1e30);
  const Tensor any = cast(amax(Tensor(seen.to(DType::float32)), Axes{-1}, true), DType::float32);
  CHECK(allclose(call(q, k, v, {.attn_mask = Tensor(seen)}),
                 (matmul(softmax(scores + bias, -1), c) * any).value(), 1e-5, 1e-6));
  // Query 0 sees key 0 alone.
  const Array causal = call(q, k, v, {.is_causal = true});
  CHECK(allclose(Tensor(causal)[{Slice(), 0}].value(), c[{Slice(), 0}].value()));
}

TEST_CASE("attention: queries that see nothing give zeros, and zero gradients") {
  Tensor q({2, 3}, DType::float32), k({4, 3}, DType::float32), v({4, 3}, DType::float32);
  const Tensor mask(Array{{true, false, true, false}, {false, false, false, false}});
  const Tensor y = scaled_dot_product_attention(q, k, v, {.attn_mask = mask});
  const Function f({q, k, v}, {y, grad(sum(y), {q})[0]});
  const std::vector<Array> got = f(randn({2, 3}), randn({4, 3}), ones({4, 3}));
  CHECK(allclose(got[0], Array{{1.f, 1.f, 1.f}, {0.f, 0.f, 0.f}}));
  CHECK(allclose(got[1], zeros({2, 3}), 0, 1e-6));
  CHECK(allclose(call(randn({2, 3}), zeros({0, 3}), zeros({0, 5})), zeros({2, 5})));
}

TEST_CASE("attention: groups of heads") {
  manual_seed(2);
  const Array q = randn({2, 6, 4, 8}), k = randn({2, 2, 5, 8}), v = randn({2, 2, 5, 8});
  const auto repeated = [](const Array& x) {
    return repeat_interleave(Tensor(x), 3, 1).value();
  };
  CHECK(allclose(call(q, k, v, {.is_causal = true, .enable_gqa = true}),
                 call(q, repeated(k), repeated(v), {.is_causal = true})));
}

TEST_CASE("attention: dropout drops weights") {
  manual_seed(3);
  const Array q = zeros({1, 1}), k = zeros({1000, 1}), v = ones({1000, 1});
  const Array y = call(q, k, v, {.dropout_p = 0.5});
  const float sum = y.tolist<float>()[0];   // of about 500 times 2 / 1000
  CHECK(sum > 0.8f);
  CHECK(sum < 1.2f);
  CHECK(sum != 1.f);
}

TEST_CASE("attention: mistakes name shapes and the line") {
  const Tensor q({2, 5, 4}, DType::float32), k({2, 7, 3}, DType::float32),
      v({2, 6, 4}, DType::float32), h({2, 5, 4}, DType::float16);
  const auto attend = [](const Tensor& a, const Tensor& b, const Tensor& c,
                         const AttentionOptions& o = {}) {
    return scaled_dot_product_attention(a, b, c, o);
  };
  std::string what = message<ShapeError>([&] { attend(q, k, v); });
  CHECK(contains(what, "(2, 5, 4)"));
  CHECK(contains(what, "(2, 7, 3)"));
  CHECK(contains(what, "attention_test.cpp:"));
  what = message<ShapeError>([&] { attend(q, q, v); });
  CHECK(contains(what, "lengths of key and value"));
  what = message<ShapeError>(
      [&] { attend(q, q, q, {.attn_mask = Tensor({3, 5, 5}, DType::boolean)}); });
  CHECK(contains(what, "(3, 5, 5)"));
  what = message<DTypeError>([&] { attend(q, q, h); });
  CHECK(contains(what, "one dtype"));
  what = message<DTypeError>(
      [&] { attend(q, q, q, {.attn_mask = Tensor({5, 5}, DType::int32)}); });
  CHECK(contains(what, "boolean"));
}
