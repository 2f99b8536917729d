#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <limits>
#include <sstream>

#include "ir/error.h"
#include "weft/array.h"

using namespace weft;

namespace {

std::string text(const Array& a) {
  std::ostringstream out;
  out << a;
  return out.str();
}

}  // namespace

TEST_CASE("arrays from nested lists and scalars") {
  const Array x{{1.f, 2.f}, {3.f, 4.f}};
  CHECK(x.dtype() == DType::float32);
  CHECK(x.shape() == Shape{2, 2});
  CHECK(x.strides() == Shape{2, 1});
  CHECK(x.tolist<float>() == std::vector<float>{1, 2, 3, 4});
  const Array s = 5;
  CHECK(s.dtype() == DType::int64);
  CHECK(s.shape().empty());
  CHECK(s.item<double>() == 5);
  CHECK(Array(5).size() == 1);
  CHECK(Array(2.5).dtype() == DType::float64);
  CHECK(Array(true).dtype() == DType::boolean);
  CHECK(Array('a').dtype() == DType::int64);
  CHECK(Array(std::uint8_t{3}).dtype() == DType::int64);
  CHECK(Array(float16(1.f)).dtype() == DType::float16);
  CHECK(Array(std::complex<float>(1, 2)).dtype() == DType::complex64);
  CHECK(Array{1, 2, 3}.shape() == Shape{3});
  CHECK(Array{{{1., 2.}}}.shape() == Shape{1, 1, 2});
  CHECK(Array{{{{1}, {2}}}, {{{3}, {4}}}}.shape() == Shape{2, 1, 2, 1});
  const std::vector<Array> list{1.f, 2.f};
  CHECK(list.size() == 2);
  const Array copy{x};
  CHECK(copy.shape() == Shape{2, 2});
  CHECK(Array().shape() == Shape{0});
  CHECK_THROWS_WITH_AS((Array{{1, 2}, {3}}),
                       "nested lists of different lengths: 2 and 1 elements on one axis",
                       ShapeError);
}

TEST_CASE("from copies, borrow does not") {
  std::vector<float> v{1, 2, 3, 4, 5, 6};
  const Array copied = Array::from(std::span<const float>(v), {2, 3});
  Array borrowed = Array::borrow(v.data(), {3, 2});
  v[0] = 9;
  CHECK(copied.data<float>()[0] == 1);
  CHECK(borrowed.data<float>() == v.data());
  borrowed.mutable_data<float>()[0] = 7;
  CHECK(v[0] == 9);
  CHECK(Array::from(std::array<std::int8_t, 2>{1, 2}).dtype() == DType::int8);
  CHECK_THROWS_AS(Array::from(v, {7}), ShapeError);
  CHECK(reinterpret_cast<std::uintptr_t>(copied.data<float>()) % 64 == 0);
}

TEST_CASE("storage is shared by copies and copied on write") {
  Array a{1.f, 2.f, 3.f};
  Array b = a;
  CHECK(a.data<float>() == b.data<float>());
  b.mutable_data<float>()[0] = 7;
  CHECK(a.data<float>()[0] == 1);
  CHECK(b.data<float>()[0] == 7);
  const float* mine = b.data<float>();
  CHECK(b.mutable_data<float>() == mine);
  Array view = a.reshape({3, 1});
  view.mutable_data<float>()[2] = 0;
  CHECK(a.data<float>()[2] == 3);
}

TEST_CASE("wrong use throws the named errors") {
  const Array a{{1.f, 2.f}, {3.f, 4.f}};
  CHECK_THROWS_WITH_AS(
      (void)a.data<double>(),
      "data<float64>() of an array of dtype float32: convert it first with to(DType::float64)",
      DTypeError);
  CHECK_THROWS_AS((void)a.item<float>(), ShapeError);
  CHECK_THROWS_AS((void)a.reshape({3}), ShapeError);
  CHECK_THROWS_AS((void)a.reshape({-1, -1}), ShapeError);
  CHECK_THROWS_AS((void)a.reshape({-1, 0}), ShapeError);
  CHECK_THROWS_AS((void)a.reshape({-2, -2}), ShapeError);
  CHECK_THROWS_AS(zeros({std::int64_t{1} << 40, std::int64_t{1} << 40}), ShapeError);
  CHECK_THROWS_AS(zeros({std::int64_t{1} << 62}), OutOfMemory);
  CHECK_THROWS_AS(zeros({-1}), ShapeError);
  CHECK_THROWS_AS(rand({2}, DType::int32), DTypeError);
  CHECK_THROWS_AS(randint(3, 3, {2}), ShapeError);
  CHECK_THROWS_AS(arange(0, 5, 0), ShapeError);
  CHECK_THROWS_AS(arange(0., 1., std::nan("")), ShapeError);
  if (Device::cuda_count() == 0) CHECK_THROWS_AS(Device::cuda(0), DeviceError);
  CHECK(Device().str() == "cpu");
}

TEST_CASE("creation") {
  CHECK(array_equal(zeros({2, 1}), Array{{0.f}, {0.f}}));
  CHECK(ones({3}, DType::int8).dtype() == DType::int8);
  CHECK(full({2}, 1.5).dtype() == DType::float32);
  CHECK(full({2}, 7).dtype() == DType::int64);
  CHECK(full({2}, true).dtype() == DType::boolean);
  CHECK(array_equal(arange(5), Array{0, 1, 2, 3, 4}));
  CHECK(arange(0, 1, 0.25).dtype() == DType::float32);
  CHECK(array_equal(arange(5, 0, -2), Array{5, 3, 1}));
  CHECK(array_equal(range(1, 2, 0.5), Array{1.f, 1.5f, 2.f}));
  CHECK(allclose(linspace(0, 1, 5), Array{0., .25, .5, .75, 1.}));
  CHECK(linspace(0, 3, 1).item<double>() == 0);
  CHECK(linspace(0, 3, 0).size() == 0);
  CHECK(array_equal(eye(2, 3), Array{{1, 0, 0}, {0, 1, 0}}));
  CHECK(arange(0, 10, DType::float64).dtype() == DType::float64);
  manual_seed(1);
  const Array a = randn({100});
  manual_seed(1);
  CHECK(array_equal(a, randn({100})));
  CHECK_FALSE(array_equal(a, randn({100})));
  CHECK(randint(0, 3, {50}).dtype() == DType::int64);
}

TEST_CASE("conversions between all dtypes") {
  const double inf = std::numeric_limits<double>::infinity();
  const Array x{0., 1., -1.9, 200.7, -1e30, 1e30, inf, -inf, std::nan("")};
  CHECK(x.to(DType::int8).tolist<int>() ==
        std::vector<int>{0, 1, -1, 127, -128, 127, 127, -128, 0});
  CHECK(x.to(DType::uint8).tolist<int>() == std::vector<int>{0, 1, 0, 200, 0, 255, 255, 0, 0});
  CHECK(x.to(DType::int64).tolist<std::int64_t>()[5] == INT64_MAX);
  CHECK(x.to(DType::int64).tolist<std::int64_t>()[4] == INT64_MIN);
  CHECK(x.to(DType::uint64).tolist<std::uint64_t>()[6] == UINT64_MAX);
  CHECK(x.to(DType::boolean).tolist<bool>() ==
        std::vector<bool>{false, true, true, true, true, true, true, true, true});
  CHECK(Array(300).to(DType::int8).item<int>() == 44);
  CHECK(Array(std::complex<double>(3.7, 4)).to(DType::int32).item<int>() == 3);
  const Array small{{0, 1, 2}, {3, 100, 7}};
  for (int i = 1; i < dtype_count; ++i)
    for (int j = 1; j < dtype_count; ++j)
      CHECK(array_equal(small.to(static_cast<DType>(i)).to(static_cast<DType>(j)).to(DType::int64),
                        small));
  CHECK(small.to(DType::boolean).to(DType::complex128).tolist<int>() ==
        std::vector<int>{0, 1, 1, 1, 1, 1});
}

TEST_CASE("views share storage and read right") {
  const Array a = arange(24).reshape({2, 3, 4});
  const Array t = runtime::transpose_view(a, std::array<std::int64_t, 3>{2, 0, 1});
  CHECK(t.shape() == Shape{4, 2, 3});
  CHECK_FALSE(t.is_contiguous());
  CHECK(t.data<std::int64_t>() == a.data<std::int64_t>());
  const auto values = t.tolist<int>();
  std::size_t at = 0;
  for (int k = 0; k < 4; ++k)
    for (int i = 0; i < 2; ++i)
      for (int j = 0; j < 3; ++j) CHECK(values[at++] == i * 12 + j * 4 + k);
  const Array reversed = runtime::slice_view(a, 2, 3, 2, -2);
  CHECK(reversed.tolist<int>() == std::vector<int>{3, 1, 7, 5, 11, 9, 15, 13, 19, 17, 23, 21});
  CHECK(runtime::select_view(a, 1, 2).tolist<int>() ==
        std::vector<int>{8, 9, 10, 11, 20, 21, 22, 23});
  const Array wide = runtime::broadcast_view(Array{{1}, {2}}, {3, 2, 2});
  CHECK(wide.tolist<int>() == std::vector<int>{1, 1, 2, 2, 1, 1, 2, 2, 1, 1, 2, 2});
  Array written = wide;
  written.mutable_data<std::int64_t>()[0] = 5;
  CHECK(written.tolist<int>() == std::vector<int>{5, 1, 2, 2, 1, 1, 2, 2, 1, 1, 2, 2});
  CHECK_THROWS_AS(runtime::broadcast_view(a, {4}), ShapeError);
  // reshape of a view: shared where strides allow it
  const Array rows = runtime::slice_view(arange(24).reshape({6, 4}), 0, 0, 3, 2);
  const Array split = rows.reshape({3, 2, 1, 2});
  CHECK(split.buffer() == rows.buffer());
  CHECK(split.tolist<int>() == rows.tolist<int>());
  CHECK(rows.reshape({12}).tolist<int>() == rows.tolist<int>());
  CHECK(t.reshape({-1, 6}).tolist<int>() == values);
  CHECK(zeros({0, 3}).reshape({3, 0, 5}).shape() == Shape{3, 0, 5});
}

TEST_CASE("large strided copies agree with element by element ones") {
  const std::int64_t n = 300, m = 517;
  const Array a = arange(n * m * 3).reshape({n, m, 3});
  for (const DType dtype :
       {DType::uint8, DType::float16, DType::float32, DType::int64, DType::complex128}) {
    const Array t =
        runtime::transpose_view(a.to(dtype), std::array<std::int64_t, 3>{1, 2, 0}).contiguous();
    const Array back = runtime::transpose_view(t, std::array<std::int64_t, 3>{2, 0, 1});
    CHECK(array_equal(back, a.to(dtype)));
  }
}

TEST_CASE("comparison") {
  const double nan = std::nan("");
  CHECK(allclose(Array{1.f, 2.f}, Array{1., 2.000001}));
  CHECK_FALSE(allclose(Array{1.f}, Array{1.1f}));
  CHECK_FALSE(allclose(Array{1.f}, Array{{1.f}}));
  CHECK_FALSE(allclose(Array{nan}, Array{nan}));
  CHECK(allclose(Array{nan}, Array{nan}, 1e-5, 1e-8, true));
  CHECK(allclose(Array{INFINITY}, Array{INFINITY}));
  CHECK_FALSE(allclose(Array{1.}, Array{INFINITY}));
  CHECK(array_equal(Array{1, 2}, Array{1.f, 2.f}));
  CHECK_FALSE(array_equal(Array{1, 2}, Array{1, 3}));
  CHECK_FALSE(array_equal(Array{nan}, Array{nan}));
}

TEST_CASE("literals share storage with arrays") {
  const Array a{1.f, 2.f};
  const ir::Literal l = runtime::to_literal(a);
  CHECK(l.data() == a.bytes());
  Array back = runtime::from_literal(l);
  CHECK(array_equal(back, a));
  back.mutable_data<float>()[0] = 3;
  CHECK(l.at(0) == 1);
  float mine[] = {5, 6};
  const ir::Literal copied = runtime::to_literal(Array::borrow(mine, {2}));
  mine[0] = 0;
  CHECK(copied.at(0) == 5);
}

TEST_CASE("printing is NumPy's (texts from numpy.array2string)") {
  CHECK(text(Array(5)) == "5");
  CHECK(text(Array(0.1f)) == "0.1");
  CHECK(text(Array(1e16)) == "1e+16");
  CHECK(text(Array(true)) == "True");
  CHECK(text(Array(std::complex<double>(0, 1))) == "1j");
  CHECK(text(Array{1., 2.5, -3.}) == "[ 1.   2.5 -3. ]");
  CHECK(text(Array{{1.f, 2.f}, {3.f, 4.f}}) == "[[1. 2.]\n [3. 4.]]");
  CHECK(text(Array{1e-5, 1.}) == "[1.e-05 1.e+00]");
  CHECK(text(Array{1e10, 1.}) == "[1.e+10 1.e+00]");
  CHECK(text(Array{0.1, 1 / 3.}) == "[0.1        0.33333333]");
  CHECK(text(Array{std::nan(""), INFINITY * -1.0, 1.}) == "[ nan -inf   1.]");
  CHECK(text(Array{true, false}) == "[ True False]");
  CHECK(text(Array{1, -20, 300}) == "[  1 -20 300]");
  CHECK(text(Array{std::complex<double>(1, -2), std::complex<double>(0.5, 3)}) ==
        "[1. -2.j 0.5+3.j]");
  CHECK(text(arange(2000)) == "[   0    1    2 ... 1997 1998 1999]");
  CHECK(text(zeros({0, 3})) == "[]");
  CHECK(text(arange(30)) ==
        "[ 0  1  2  3  4  5  6  7  8  9 10 11 12 13 14 15 16 17 18 19 20 21 22 23\n 24 25 26 27 28 "
        "29]");
  CHECK(text(arange(8).reshape({2, 2, 2})) == "[[[0 1]\n  [2 3]]\n\n [[4 5]\n  [6 7]]]");
  CHECK(text(zeros({1001, 1})) == "[[0.]\n [0.]\n [0.]\n ...\n [0.]\n [0.]\n [0.]]");
  CHECK(text(Array{19728, 2000}.to(DType::float16)) == "[19728.  2000.]");
}
