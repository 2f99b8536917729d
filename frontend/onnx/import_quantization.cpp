// Quantised tensors: small integers that stand for (q - zero point) * scale.
#include <cmath>
#include <limits>

#include "onnx/importer.h"

namespace weft::onnx {
namespace {

std::pair<double, double> limits_of(DType dtype) {
  return visit_dtype(dtype, [&](auto type) -> std::pair<double, double> {
    using T = typename decltype(type)::type;
    if constexpr (std::is_integral_v<T> && sizeof(T) <= 4)
      return {static_cast<double>(std::numeric_limits<T>::min()),
              static_cast<double>(std::numeric_limits<T>::max())};
    else
      throw UnsupportedOp("quantisation to " + std::string(name(dtype)));
  });
}

/// A scale or zero point as it stands beside `x`: one number, one an element of `axis`, or one a
/// block of that many elements.
Tensor beside(const Tensor& scale, const Tensor& x, std::int64_t axis, std::int64_t block) {
  const Dims dims = dims_of(scale);
  if (product(dims) == Dim(1)) return reshape(scale, {});
  const std::int64_t rank = rank_of(x), at = axis_of(axis, rank);
  if (block > 0) {
    std::vector<std::int64_t> from;
    for (std::int64_t i = 0, n = shape_of(x)[static_cast<std::size_t>(at)]; i < n; ++i)
      from.push_back(i / block);
    return index_select(scale, at, int_vector(from));
  }
  if (dims.size() != 1) return scale;
  Dims beside(static_cast<std::size_t>(rank), Dim(1));
  beside[static_cast<std::size_t>(at)] = dims[0];
  return reshape(scale, std::move(beside));
}

Tensor quantize(const Call& c) {
  const Tensor& x = c.x(0);
  const std::int64_t axis = c.integer("axis", 1), block = c.integer("block_size", 0);
  std::int64_t type = c.integer("output_dtype", 0);
  if (c.has(2)) {
    // the zero point's own dtype is that of what holds it
    const std::int64_t declared =
        c.frame().attributes ? 0 : c.importer().declared_type(c.node().inputs[2]);
    const bool narrow = declared == onnx_uint4 || declared == onnx_int4;
    if (type == 0) type = narrow ? declared : onnx_of_dtype(c.x(2).dtype());
  }
  if (type == 0) type = onnx_of_dtype(DType::uint8);
  const Tensor scale = beside(c.x(1), x, axis, block);
  const Tensor zero = c.has(2) ? beside(c.x(2), x, axis, block)
                               : Tensor(Array(std::int64_t{0}).to(dtype_of_onnx(type)));
  return saturated_to(as(x, scale.dtype()) / scale, zero, type);
}

Tensor dequantize(const Call& c) {
  const Tensor& x = c.x(0);
  const std::int64_t axis = c.integer("axis", 1), block = c.integer("block_size", 0);
  const Tensor scale = beside(c.x(1), x, axis, block);
  const DType dtype = scale.dtype(), wide = size_of(dtype) < 4 ? DType::float32 : dtype;
  Tensor value = as(x, wide);
  if (c.has(2)) value = value - as(beside(c.x(2), x, axis, block), wide);
  const std::int64_t type = c.integer("output_dtype", 0);
  return as(value * as(scale, wide), type == 0 ? dtype : dtype_of_onnx(type));
}

/// The zero point of a factor: one a row of `a`, one a column of `b`, or one for all.
Tensor centred(const Tensor& x, const Tensor& zero, bool by_row) {
  Tensor offset = as(zero, DType::int32);
  if (product(dims_of(zero)) == Dim(1))
    offset = reshape(offset, {});
  else if (by_row && rank_of(zero) == 1)
    offset = reshape(offset, {dims_of(zero)[0], 1});
  return as(x, DType::int32) - offset;
}

Tensor matmul_integer(const Call& c) {
  const Tensor none = Array(std::int64_t{0}).to(DType::int32);
  return matmul(centred(c.x(0), c.has(2) ? c.x(2) : none, true),
                centred(c.x(1), c.has(3) ? c.x(3) : none, false));
}

Tensor quantized_matmul(const Call& c) {
  const auto scale = [&](std::size_t i, bool by_row) {
    const Tensor& s = c.x(i);
    if (product(dims_of(s)) == Dim(1)) return reshape(s, {});
    return by_row && rank_of(s) == 1 ? reshape(s, {dims_of(s)[0], 1}) : s;
  };
  const Tensor product = matmul(centred(c.x(0), c.x(2), true), centred(c.x(3), c.x(5), false));
  const Tensor factor = scale(1, true) * scale(4, false) / scale(6, true);
  const Tensor& zero = c.x(7);
  return saturated(as(product, factor.dtype()) * factor, reshape(zero, {}), zero.dtype());
}

}  // namespace

Tensor saturated(const Tensor& x, const Tensor& zero, DType dtype) {
  const auto [low, high] = limits_of(dtype);
  return cast(clip(round(x) + as(zero, x.dtype()), low, high), dtype);
}

Tensor saturated_to(const Tensor& x, const Tensor& zero, std::int64_t type) {
  const DType dtype = dtype_of_onnx(type);
  if (type != onnx_uint4 && type != onnx_int4) return saturated(x, zero, dtype);
  const double low = type == onnx_int4 ? -8 : 0, high = low + 15;
  return cast(clip(round(x) + as(zero, x.dtype()), low, high), dtype);
}

std::span<const Row> family::quantization() {
  static const Row rows[] = {
      {"QuantizeLinear", 1, quantize},
      {"DequantizeLinear", 1, dequantize},
      {"MatMulInteger", 1, matmul_integer},
      {"QLinearMatMul", 1, quantized_matmul},
  };
  return rows;
}

}  // namespace weft::onnx
