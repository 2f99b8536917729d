// Fourier transforms on a device: the processor's bits at every length, along every axis, and a few
// against the definition; how many bytes they move.
#include <doctest/doctest.h>

#include <cmath>
#include <complex>
#include <numbers>

#include "same_bits.h"
#include "weft/ops/complex.h"
#include "weft/ops/fourier.h"
#include "weft/weft.h"

using namespace weft;

namespace {

Device gpu() { return Device::cuda(0); }

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
  return {{x}, {y, ihfft(x, {}, 1), grad(energy, {x})[0]}};
}
Both of_complex(DType t) {
  const Tensor pairs({dim("a"), dim("n"), dim("b"), Dim(2)}, t, "pairs");
  const Tensor z = view_as_complex(pairs);
  return {{pairs}, {fft(z, {}, 1), ifft(z, {}, 1), fft(z, {}, 1, "ortho")}};
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
    for (std::int64_t n = 1; n <= 34; ++n) all(3, n, 1);
    for (const std::int64_t n : {64, 96, 97, 200, 243, 360, 512, 961, 1000, 1009, 2048}) all(5, n, 1);
    for (const std::int64_t n : {2, 7, 12, 16, 37, 45, 74, 128}) {
      all(2, n, 3);
      all(1, n, 50);
      all(700, n, 1);
    }
    all(1, 512, 24);
    all(1, 6000, 1);
    all(0, 5, 2);
  }
}
