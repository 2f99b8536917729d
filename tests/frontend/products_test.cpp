// Products by subscripts: literal values from NumPy's, PyTorch's and Keras's documentation, or by
// hand.
#include <doctest/doctest.h>

#include <string>

#include "thrown.h"
#include "weft/weft.h"

using namespace weft;

namespace {

using List = std::vector<double>;

List values(const Tensor& t) { return t.value().tolist<double>(); }
Array counted(Shape shape, DType dtype = DType::float64) {
  return arange(0, static_cast<double>(element_count(shape)), 1, dtype).reshape(shape);
}

}  // namespace

TEST_CASE("einsum: NumPy's documented examples") {
  const Tensor a(counted({5, 5})), b(counted({5})), c(counted({2, 3}));
  CHECK(values(einsum("ii", a)) == List{60});
  CHECK(values(einsum("ii->i", a)) == List{0, 6, 12, 18, 24});
  CHECK(values(einsum("ij->i", a)) == List{10, 35, 60, 85, 110});
  CHECK(values(einsum("...j->...", a)) == List{10, 35, 60, 85, 110});
  CHECK(values(einsum("ji", c)) == List{0, 3, 1, 4, 2, 5});
  CHECK(einsum("ji", c).shape() == Shape{3, 2});
  CHECK(values(einsum("ij->ji", c)) == List{0, 3, 1, 4, 2, 5});
  CHECK(values(einsum("i,i", b, b)) == List{30});
  CHECK(values(einsum("ij,j", a, b)) == List{30, 80, 130, 180, 230});
  CHECK(values(einsum("...j,j", a, b)) == List{30, 80, 130, 180, 230});
  CHECK(values(einsum("..., ...", Tensor(3.0), c)) == List{0, 3, 6, 9, 12, 15});
  CHECK(values(einsum("i,j", Tensor(Array{1.0, 2.0}), b)) == List{0, 1, 2, 3, 4, 0, 2, 4, 6, 8});
  const Tensor p(counted({3, 4, 5})), q(counted({4, 3, 2}));
  const Tensor r = einsum("ijk,jil->kl", p, q);
  CHECK(r.shape() == Shape{5, 2});
  CHECK(values(r) == List{4400, 4730, 4532, 4874, 4664, 5018, 4796, 5162, 4928, 5306});
  CHECK(values(einsum("ki,...k->i...", Tensor(counted({3, 2})), Tensor(counted({4, 3})))) ==
        List{10, 28, 46, 64, 13, 40, 67, 94});
  CHECK(values(einsum("k...,jk", Tensor(counted({3, 2})), Tensor(counted({4, 3})))) ==
        List{10, 28, 46, 64, 13, 40, 67, 94});
}

TEST_CASE("einsum: broadcasting ellipses, many operands, unknown types, gradients") {
  const Array x = counted({2, 1, 3}), y = counted({4, 3});
  CHECK(einsum("...i,...i->...", x, y).shape() == Shape{2, 4});
  CHECK(values(einsum("...i,...i->...", x, y)) == List{5, 14, 23, 32, 14, 50, 86, 122});

  std::vector<Tensor> chain;  // 1x2 · 2x2 · … of ones: 2^k
  std::string equation = "ab";
  chain.emplace_back(ones({1, 2}, DType::float64));
  for (char l = 'b'; l < 'l'; ++l) {
    equation += std::string(",") + l + static_cast<char>(l + 1);
    chain.emplace_back(ones({2, 2}, DType::float64));
  }
  CHECK(values(einsum(equation + "->al", chain)) == List{1024, 1024});

  Tensor a("a"), b("b");  // neither dtype nor shape is known
  const Tensor trace_of_square = einsum("ij,ji->", a, a), mixed = einsum("ij,jk->k", a, b);
  const std::vector<Tensor> g = grad(trace_of_square, {a});
  const std::vector<Tensor> h = grad(sum(mixed * mixed), {a, b});
  const Array av{{1.0, 2.0}, {3.0, 4.0}}, bv{{1.0, 0.0, 2.0}, {0.0, 1.0, 1.0}};
  a.set_value(av), b.set_value(bv);
  CHECK(values(trace_of_square) == List{29});
  CHECK(values(g[0]) == List{2, 6, 4, 8});
  CHECK(values(mixed) == List{4, 6, 14});
  CHECK(values(h[0]) == List{64, 40, 64, 40});
  CHECK(values(h[1]) == List{32, 48, 112, 48, 72, 168});
}

TEST_CASE("einsum: what is wrong is said") {
  const Tensor a(counted({2, 3})), b(counted({4, 5}));
  CHECK(
      contains(message<ShapeError>([&] { (void)einsum("ij,jk", a, b); }), "extents of one label"));
  CHECK(contains(message<ShapeError>([&] { (void)einsum("ij", a, b); }), "names 1 operands"));
  CHECK(contains(message<ShapeError>([&] { (void)einsum("ijk", a); }), "operand 0 has 2 axes"));
  CHECK(contains(message<ShapeError>([&] { (void)einsum("i-", a); }), "'-' is no label"));
  CHECK(contains(message<ShapeError>([&] { (void)einsum("ij->ik", a); }), "is in no operand"));
  CHECK(contains(message<ShapeError>([&] { (void)einsum("ij->ii", a); }), "twice in the output"));
  CHECK(contains(message<ShapeError>([&] { (void)einsum("ii", a); }), "one diagonal"));
  CHECK(contains(message<ShapeError>([&] { (void)einsum("ij,jk", a, b); }), "products_test.cpp"));
}

TEST_CASE("tensordot, inner, outer, kron, cross, trace") {
  const Tensor a(counted({3, 4, 5})), b(counted({4, 3, 2}));
  CHECK(values(tensordot(a, b, {1, 0}, {0, 1})) ==
        List{4400, 4730, 4532, 4874, 4664, 5018, 4796, 5162, 4928, 5306});
  CHECK(values(tensordot(Tensor(Array{1.0, 2.0}), Tensor(Array{3.0, 4.0}), 0)) == List{3, 4, 6, 8});
  CHECK(values(inner(Tensor(Array{1.0, 2.0, 3.0}), Tensor(Array{0.0, 1.0, 0.0}))) == List{2});
  CHECK(values(inner(Tensor(counted({1, 1, 2})), Tensor(counted({3, 2})))) == List{1, 3, 5});
  CHECK(values(inner(Tensor(Array{1.0, 2.0}), 7)) == List{7, 14});
  CHECK(values(kron(Tensor(Array{1.0, 10.0, 100.0}), Tensor(Array{5.0, 6.0, 7.0}))) ==
        List{5, 6, 7, 50, 60, 70, 500, 600, 700});
  CHECK(values(kron(eye(2, DType::float64), ones({2, 2}, DType::float64))) ==
        List{1, 1, 0, 0, 1, 1, 0, 0, 0, 0, 1, 1, 0, 0, 1, 1});
  CHECK(values(cross(Tensor(Array{1.0, 2.0, 3.0}), Tensor(Array{4.0, 5.0, 6.0}))) ==
        List{-3, 6, -3});
  CHECK(contains(message<ShapeError>([] { (void)cross(ones({2}), ones({2})); }), "3 elements"));
  CHECK(values(trace(Tensor(counted({3, 3})))) == List{12});
  CHECK(values(trace(Tensor(counted({2, 2, 2})))) == List{6, 8});
  CHECK(values(vecdot(Tensor(counted({2, 2})), Tensor(counted({2, 2})))) == List{1, 13});
}

TEST_CASE("batch_dot: Keras's cases") {
  const Array x{{1.0, 2.0}, {3.0, 4.0}}, y{{5.0, 6.0}, {7.0, 8.0}};
  const Tensor d = batch_dot(x, y, 1);
  CHECK(d.shape() == Shape{2, 1});
  CHECK(values(d) == List{17, 53});
  CHECK(batch_dot(ones({100, 20}), ones({100, 30, 20}), {1, 2}).shape() == Shape{100, 30});
  CHECK(batch_dot(ones({32, 20, 1}), ones({32, 30, 20}), {1, 2}).shape() == Shape{32, 1, 30});
  CHECK(contains(message<ShapeError>([&] { (void)batch_dot(x, y, 0); }), "batch axis"));
}

TEST_CASE("addmm and its kin; chains; integer and boolean products") {
  const Array m{{1.0, 2.0}, {3.0, 4.0}}, n{{5.0, 6.0}, {7.0, 8.0}}, c{{1.0, 1.0}, {1.0, 1.0}};
  CHECK(values(addmm(c, m, n, 2, 10)) == List{192, 222, 432, 502});
  CHECK(values(addmm(full({2, 2}, NAN, DType::float64), m, n, 0, 1)) == List{19, 22, 43, 50});
  CHECK(values(addmv(Array{1.0, 2.0}, m, Array{1.0, 1.0})) == List{4, 9});
  CHECK(values(addr(c, Array{1.0, 2.0}, Array{3.0, 4.0}, 1, 2)) == List{7, 9, 13, 17});
  const Tensor three(counted({2, 2, 2}));
  CHECK(values(baddbmm(c, three, three)) == List{3, 4, 7, 12, 47, 56, 67, 80});
  CHECK(values(addbmm(c, three, three)) == List{49, 59, 73, 91});
  const Array whole{{1, 2}, {3, 4}};
  CHECK(addmm(whole, whole, whole, 3, 2).dtype() == DType::int64);
  CHECK(values(addmm(whole, whole, whole, 3, 2)) == List{17, 26, 39, 56});

  CHECK(
      multi_dot({Tensor(ones({10, 100})), Tensor(ones({100, 5})), Tensor(ones({5, 50}))}).shape() ==
      Shape{10, 50});
  CHECK(values(multi_dot(
            {Tensor(Array{1.0, 1.0}), Tensor(m), Tensor(n), Tensor(Array{1.0, 0.0})})) == List{62});
  CHECK(values(bilinear(Array{1.0, 2.0}, Array{3.0, 4.0}, Tensor(counted({1, 2, 2})),
                        Array{1.0})) == List{41});

  const Array t{{true, false}, {false, false}}, u{{true, true}, {true, false}};
  CHECK(matmul(t, u).dtype() == DType::boolean);
  CHECK(values(matmul(t, u)) == List{1, 1, 0, 0});
  CHECK(values(einsum("ij,jk->ik", t, u)) == List{1, 1, 0, 0});
  const Tensor many(ones({1, 300}, DType::boolean));
  CHECK(values(matmul(many, many.t())) == List{1});
  const Array bytes = Array{{11, 7, 3}, {10, 6, 2}}.to(DType::uint8);
  const Array weights = Array{{1, 4}, {2, 5}, {3, 6}}.to(DType::uint8);
  const Tensor product = matmul_integer(bytes, weights, 12, 0);  // as ONNX's example
  CHECK(product.dtype() == DType::int32);
  CHECK(values(product) == List{-38, -83, -44, -98});
}

TEST_CASE("vecdot conjugates its first operand") {
  const Tensor x = complex(Array{1., 0.}, Array{2., 1.}), y = complex(Array{3., 2.}, Array{4., 0.});
  const Tensor r = vecdot(x, y);  // (1 - 2i)(3 + 4i) - 2i
  CHECK(real(r).value().item<double>() == 11);
  CHECK(imag(r).value().item<double>() == -4);
}
