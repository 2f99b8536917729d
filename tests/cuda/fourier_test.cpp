// Fourier transforms on a device: the processor's bits at every length, along every axis, and a few
// against the definition; how many bytes they move.
#include <doctest/doctest.h>

#include <cmath>
#include <complex>
#include <numbers>

#include "fake.h"
#include "same_bits.h"
#include "weft/ops/complex.h"
#include "weft/ops/fourier.h"
#include "weft/weft.h"

using namespace weft;

namespace {

/// A function on both.
class Both {
 public:
  Both(const std::vector<Tensor>& in, const std::vector<Tensor>& out)
      : here_(in, out), there_(in, out, {.device = gpu()}) {}

  void operator()(const Array& x) const {
    CAPTURE(x.shape());
    CAPTURE(x.dtype());
    const std::vector<Array> expected = here_(x), got = there_(x);
    for (std::size_t i = 0; i < expected.size(); ++i) {
      CAPTURE(i);
      CHECK(same_bits(got[i], expected[i]));
    }
    CHECK(there_.stats().host_steps == 0);
  }

 private:
  Function here_, there_;
};

/// Of lines along the middle axis, of any extents: code is compiled once.
Both of_real(DType t) {
  const Tensor x({dim("a"), dim("n"), dim("b")}, t, "x");
  const Tensor y = rfft(x, {}, 1, "ortho");
  const Tensor energy = sum(real(y) * real(y) + imag(y) * imag(y));
  return {{x}, {y, grad(energy, {x})[0]}};
}
Both of_complex(DType t) {
  const Tensor pairs({dim("a"), dim("n"), dim("b"), Dim(2)}, t, "pairs");
  const Tensor z = view_as_complex(pairs);
  return {{pairs}, {fft(z, {}, 1, "ortho"), ifft(z, {}, 1)}};
}

}  // namespace

TEST_CASE("CUDA: Fourier transforms of every length have the processor's bits") {
  manual_seed(1);
  for (const DType t : {DType::float32, DType::float64}) {
    const Both real = of_real(t), complex = of_complex(t);
    const auto all = [&](std::int64_t outer, std::int64_t n, std::int64_t inner) {
      real(randn({outer, n, inner}, t));
      complex(randn({outer, n, inner, 2}, t));
    };
    for (const std::int64_t n : {1, 2, 3, 4, 5, 6, 7, 8, 16, 37, 48}) all(3, n, 1);
    all(0, 5, 2);
    all(2, 12, 3);
    all(2, 37, 3);
    all(2, 1009, 1);
    if (t == DType::float64) continue;
    for (const std::int64_t n : {9, 12, 15, 18, 20, 22, 25, 27, 31, 32, 47, 49, 74, 961})
      all(3, n, 1);
    for (const std::int64_t n : {7, 16, 45}) all(1, n, 50);
    all(90, 64, 1);
    all(40, 37, 1);
    all(1, 512, 24);
    all(1, 6000, 1);
  }
}

TEST_CASE("CUDA: Fourier transforms of lines longer than a block's memory") {
  manual_seed(2);
  const Both real = of_real(DType::float32), complex = of_complex(DType::float32);
  complex(randn({1, 32768, 1, 2}));  // two groups of passes
  complex(randn({1, 13 * 19 * 121, 2, 2}));  // more, of neighbouring lines
  real(randn({1, 2 * 2 * 19 * 29 * 31, 1}));
  real(randn({1, 3 * 11 * 29 * 31, 1}));
  real(randn({1, 3 * 31 * 37, 1}));  // convolved, by groups too
  complex(randn({1, 96 * 1331, 1, 2}));  // three groups
  of_complex(DType::float64)(randn({1, 16384, 1, 2}, DType::float64));
}

TEST_CASE("CUDA: Fourier transforms of long and shorter lines in turn share their code") {
  manual_seed(5);
  const Tensor x("x"), y("y");
  const Both one({x}, {view_as_real(rfft(x))});
  for (const int n : {40000, 12000, 40000}) one(randn({1, n}));  // what blocks ask for goes up and down
  const Function both({x, y}, {view_as_real(rfft(x)), view_as_real(rfft(y))}, {.device = gpu()});
  const Array a = randn({1, 40000}), b = randn({1, 12000});
  const Function here({x}, view_as_real(rfft(x)));
  const std::vector<Array> got = both(a, b);
  CHECK(same_bits(got[0], here(a)[0]));
  CHECK(same_bits(got[1], here(b)[0]));
}

TEST_CASE("CUDA: Fourier transforms as they are called") {
  manual_seed(3);
  const Tensor x({4, 6, 10}, DType::float32), z = complex(x, x * x);
  const Tensor half = complex(narrow(x, 2, 0, 4), narrow(x, 2, 4, 4));
  const Tensor spectrum = rfft2(x);
  const std::vector<Tensor> outputs{
      fft(z, 7), ifft(z, 16, 1), fft(z, {}, 0, "forward"), ifftn(z, {}, {}, "ortho"),
      rfft(x, 13), rfftn(x), irfft(half, 5), irfft(half, 9, 1), irfft2(half), hfft(half, 7),
      ihfft(x, 12, 1),
      grad(sum(real(spectrum) * real(spectrum) * imag(spectrum)), {x})[0],
      irfft(rfft(x) * rfft(x * 0.5))};
  const Both both({x}, outputs);
  both(randn({4, 6, 10}));
  // An operand that begins in the middle of one.
  const Tensor flat({4 * 6 * 2 + 1}, DType::float32);
  const Tensor moved = view_as_complex(reshape(narrow(flat, 0, 1, 48), {4, 6, 2}));
  const Both odd({flat}, {fft(moved), fft(moved, {}, 0)});
  odd(randn({49}));
}

TEST_CASE("CUDA: a Fourier transform of what turns out to have no points") {
  const Tensor x({dim("a"), dim("n")}, DType::float32, "x");
  const Function here({x}, rfft(x)), there({x}, rfft(x), {.device = gpu()});
  CHECK_THROWS_AS((void)here(zeros({2, 0})), ShapeError);
  CHECK_THROWS_AS((void)there(zeros({2, 0})), ShapeError);
}

TEST_CASE("CUDA: Fourier transforms against the definition") {
  manual_seed(4);
  for (const std::int64_t n : {12, 37, 240}) {
    CAPTURE(n);
    const Tensor pairs({n, 2}, DType::float32);
    const Function f({pairs}, {fft(view_as_complex(pairs))}, {.device = gpu()});
    const Array x = randn({n, 2});
    const Array y = f(x)[0].to(Device::cpu());
    const float* const in = x.data<float>();
    const auto* const got = y.data<std::complex<float>>();
    double error = 0, size = 0;
    for (std::int64_t k = 0; k < n; ++k) {
      std::complex<double> sum;
      for (std::int64_t j = 0; j < n; ++j)
        sum += std::complex<double>(in[2 * j], in[2 * j + 1]) *
               std::polar(1.0, -2 * std::numbers::pi * static_cast<double>(j * k % n) /
                                   static_cast<double>(n));
      error += std::norm(std::complex<double>(got[k]) - sum);
      size += std::norm(sum);
    }
    CHECK(std::sqrt(error / size) < 4e-7);  // as of the processor's
  }
}

TEST_CASE("CUDA: Fourier transforms of lines that fit read and write them once" *
          doctest::test_suite("stand-in")) {
  constexpr std::int64_t lines = 64, n = 512, count = lines * n;
  const Tensor pairs({lines, n, 2}, DType::float32);
  const Function f({pairs}, {view_as_real(fft(view_as_complex(pairs)))}, {.device = gpu()});
  const Array x = randn({lines, n, 2}).to(gpu());
  (void)f(x)[0].to(Device::cpu());
  const FakeCudaCounts before = fake_cuda().counts();
  (void)f(x)[0].to(Device::cpu());
  const FakeCudaCounts made = fake_cuda().counts() - before;
  CHECK(made.launches == 2);  // tables of roots and of the order of results; the transform
  CHECK(made.stored == 8 * count + (8 + 4) * n);
  // A root a twiddle, of passes of 16, 16 and 2 points; a place a result: from the caches.
  CHECK(made.loaded == 8 * count + count / 16 * (15 + 15 + 8) * 8 + 4 * count);
}
