// The one extern kind of ir/ops/fourier.h: complex numbers are pairs along the operand's last axis.
#include <cmath>

#include "ir/ops/fourier.h"
#include "runtime/extern_families.h"
#include "runtime/fft.h"

namespace weft::runtime {
namespace {

/// Numbers before and after the transformed axis, and along it.
struct Extents {
  FftLines lines;
  std::int64_t along = 0;
};

Extents extents_of(std::span<const std::int64_t> numbers, std::int64_t axis) {
  const auto rank = std::ssize(numbers);
  const std::int64_t at = axis < 0 ? axis + rank : axis;
  Extents e;
  for (std::int64_t i = 0; i < rank; ++i) {
    const std::int64_t n = numbers[static_cast<std::size_t>(i)];
    if (i == at)
      e.along = n;
    else
      (i < at ? e.lines.outer : e.lines.inner) *= n;
  }
  return e;
}

template <class T>
void run(const ir::DftAttrs& d, const TensorView& in, const TensorView& out) {
  const bool real_in = d.form == "real", real_out = d.form == "hermitian";
  // The number of points: the operand's of real ones, else the result's.
  const TensorView& points = real_in ? in : out;
  const std::size_t pairs = real_in || real_out ? 0 : 1;
  const Extents e = extents_of(points.shape.first(points.shape.size() - pairs), d.axis);
  const auto n = static_cast<double>(e.along);
  const double scale = d.scale == "n" ? 1 / n : d.scale == "root" ? 1 / std::sqrt(n) : 1;
  const T* from = static_cast<const T*>(in.data);
  T* to = static_cast<T*>(out.data);
  if (real_in) return fft_real(from, to, e.lines, e.along, d.weight, scale);
  if (real_out) return fft_hermitian(from, to, e.lines, e.along, d.weight, scale);
  fft_complex(from, to, e.lines, e.along, d.inverse, scale);
}

}  // namespace

void run_fourier(ir::ExternKind, const ir::Attrs& attrs, std::span<const TensorView> in,
                 std::span<const TensorView> out, SourceLocation) {
  const auto& d = attrs.get<ir::DftAttrs>();
  if (in[0].dtype == DType::float64) return run<double>(d, in[0], out[0]);
  run<float>(d, in[0], out[0]);
}

}  // namespace weft::runtime
