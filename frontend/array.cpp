#include "weft/array.h"

#include <algorithm>
#include <cmath>

#include "ir/convert.h"
#include "ir/error.h"
#include "random_range.h"
#include "runtime/philox.h"
#include "runtime/thread_pool.h"

namespace weft {
namespace {

constexpr std::int64_t grain = 32768;

/// A new array whose element i is f(i) converted to `dtype`.
template <class F> Array generate(Shape shape, DType dtype, F f) {
  Array out = Array::uninitialized(dtype, std::move(shape));
  visit_dtype(dtype, [&]<class T>(std::type_identity<T>) {
    T* data = out.mutable_data<T>();
    runtime::parallel_for(out.size(), grain, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) data[i] = ir::convert_element<T>(f(i));
    });
  });
  return out;
}

std::int64_t count_steps(double lo, double hi, double step, const char* what) {
  const double n = (hi - lo) / step;
  if (!(n >= 0) || n > 0x1p62)
    throw ShapeError(std::string(what) + " from " + std::to_string(lo) + " to " +
                     std::to_string(hi) + " cannot go in steps of " + std::to_string(step));
  return static_cast<std::int64_t>(std::ceil(n));
}

void require_random_dtype(DType dtype, const char* what) {
  if (!is_floating(dtype) && !is_complex(dtype))
    throw DTypeError(std::string(what) + " draws floating values; the dtype asked for is " +
                     std::string(name(dtype)));
}

}  // namespace

Array detail::full(Shape shape, const Array& value, DType dtype) {
  const Array element = value.to(dtype);
  return visit_dtype(dtype, [&]<class T>(std::type_identity<T>) {
    const T v = *element.data<T>();
    return generate(std::move(shape), dtype, [v](std::int64_t) { return v; });
  });
}

Array detail::arange(std::int64_t lo, std::int64_t hi, std::int64_t step, DType dtype) {
  if (step == 0 || (step > 0 ? hi < lo : hi > lo))
    throw ShapeError("arange from " + std::to_string(lo) + " to " + std::to_string(hi) +
                     " cannot go in steps of " + std::to_string(step));
  const auto distance = static_cast<std::uint64_t>(hi) - static_cast<std::uint64_t>(lo);
  const std::uint64_t span = step > 0 ? distance : 0 - distance;
  const std::uint64_t stride =
      step > 0 ? static_cast<std::uint64_t>(step) : 0 - static_cast<std::uint64_t>(step);
  const std::uint64_t n = span / stride + (span % stride != 0);
  if (n > INT64_MAX) throw ShapeError("arange would have more elements than 64 bits can count");
  return generate({static_cast<std::int64_t>(n)}, dtype, [=](std::int64_t i) {
    return static_cast<std::int64_t>(static_cast<std::uint64_t>(lo) +
                                     static_cast<std::uint64_t>(i) *
                                         static_cast<std::uint64_t>(step));
  });
}

Array detail::arange(double lo, double hi, double step, DType dtype) {
  const std::int64_t n = count_steps(lo, hi, step, "arange");
  return generate({n}, dtype, [=](std::int64_t i) { return lo + static_cast<double>(i) * step; });
}

Array range(double lo, double hi, double step, DType dtype) {
  count_steps(lo, hi, step, "range");
  const auto n = static_cast<std::int64_t>(std::floor((hi - lo) / step)) + 1;
  return generate({n}, dtype, [=](std::int64_t i) { return lo + static_cast<double>(i) * step; });
}

Array linspace(double lo, double hi, std::int64_t steps, DType dtype) {
  if (steps < 0) throw ShapeError("linspace needs a number of steps, not " + std::to_string(steps));
  const double step = steps > 1 ? (hi - lo) / static_cast<double>(steps - 1) : 0;
  return generate({steps}, dtype,
                  [=](std::int64_t i) {  // from both ends, so that it is symmetric and ends exactly
                    return i < steps - i ? lo + static_cast<double>(i) * step
                                         : hi - static_cast<double>(steps - 1 - i) * step;
                  });
}

Array empty(Shape shape, DType dtype) { return Array::uninitialized(dtype, std::move(shape)); }

Array zeros(Shape shape, DType dtype) {
  const std::int64_t n = element_count(shape);
  std::size_t bytes;
  if (__builtin_mul_overflow(static_cast<std::size_t>(n), size_of(dtype), &bytes))
    return empty(std::move(shape), dtype);
  Shape strides = runtime::contiguous_strides(shape);
  return Array::from_buffer(runtime::Buffer::allocate_zeroed(bytes), dtype, std::move(shape),
                            std::move(strides));
}

Array ones(Shape shape, DType dtype) { return full(std::move(shape), 1, dtype); }

Array eye(std::int64_t n, DType dtype) { return eye(n, n, dtype); }

Array eye(std::int64_t n, std::int64_t m, DType dtype) {
  Array out = zeros({n, m}, dtype);
  visit_dtype(dtype, [&]<class T>(std::type_identity<T>) {
    T* data = out.mutable_data<T>();
    for (std::int64_t i = 0; i < std::min(n, m); ++i)
      data[i * m + i] = ir::convert_element<T>(true);
  });
  return out;
}

void manual_seed(std::uint64_t seed) { runtime::manual_seed(seed); }

Array rand(Shape shape, DType dtype, Device device) {
  require_random_dtype(dtype, "rand");
  Array out = empty(std::move(shape), dtype);
  runtime::fill_uniform(dtype, out.mutable_bytes(), out.size(), runtime::next_stream(out.size()));
  return out.to(device);
}

Array randn(Shape shape, DType dtype, Device device) {
  require_random_dtype(dtype, "randn");
  Array out = empty(std::move(shape), dtype);
  runtime::fill_normal(dtype, out.mutable_bytes(), out.size(), runtime::next_stream(out.size()));
  return out.to(device);
}

Array randint(std::int64_t lo, std::int64_t hi, Shape shape, DType dtype, Device device) {
  if (lo >= hi)
    throw ShapeError("randint draws from [" + std::to_string(lo) + ", " + std::to_string(hi) +
                     "), which is empty");
  frontend::demand_range("randint", lo, hi, dtype);
  Array out = empty(std::move(shape), dtype);
  runtime::fill_randint(dtype, out.mutable_bytes(), out.size(), lo, hi,
                        runtime::next_stream(out.size()));
  return out.to(device);
}

namespace {

/// True when test(x[i], y[i]) holds for every element of two arrays of equal shape, converted to T.
template <class T, class Test> bool all_pairs(const Array& x, const Array& y, Test test) {
  const Array a = x.to(Device::cpu()).to(dtype_of<T>).contiguous(),
              b = y.to(Device::cpu()).to(dtype_of<T>).contiguous();
  const std::byte *p = a.bytes(), *q = b.bytes();
  for (std::int64_t i = 0; i < a.size(); ++i, p += sizeof(T), q += sizeof(T))
    if (!test(ir::load_element<T>(p), ir::load_element<T>(q))) return false;
  return true;
}

}  // namespace

bool allclose(const Array& x, const Array& y, double rtol, double atol, bool equal_nan) {
  if (x.shape() != y.shape()) return false;
  const auto close = [=](auto a, auto b) {
    if (a == b) return true;
    if (a != a || b != b) return equal_nan && a != a && b != b;
    const double scale = std::abs(b), distance = std::abs(a - b);
    return std::isfinite(scale) && distance <= atol + rtol * scale;
  };
  if (is_complex(promote(x.dtype(), y.dtype())))
    return all_pairs<std::complex<double>>(x, y, close);
  return all_pairs<double>(x, y, close);
}

bool array_equal(const Array& x, const Array& y) {
  if (x.shape() != y.shape()) return false;
  return visit_dtype(promote(x.dtype(), y.dtype()), [&]<class T>(std::type_identity<T>) {
    return all_pairs<T>(x, y, [](T a, T b) { return a == b; });
  });
}

}  // namespace weft
