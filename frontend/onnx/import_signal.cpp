// Fourier transforms and what goes with them. Windows are expanded as the standard writes them.
#include "onnx/importer.h"

namespace weft::onnx {
namespace {

std::optional<std::int64_t> number(const Call& c, std::size_t i) {
  return c.has(i) ? std::optional(c.value(i).item<std::int64_t>()) : std::nullopt;
}

/// The axis became an operand in version 20. In double, as the standard's own reference is: its
/// tests ask for zeros that single precision does not give.
Tensor dft(const Call& c) {
  const std::int64_t axis = c.version() < 20 ? c.integer("axis", 1) : number(c, 2).value_or(-2);
  return as(onnx_dft(as(c.x(0), DType::float64), number(c, 1), axis, c.integer("inverse", 0) != 0,
                     c.integer("onesided", 0) != 0),
            c.x(0).dtype());
}

Tensor short_time(const Call& c) {
  return onnx_stft(c.x(0), c.value(1).item<std::int64_t>(),
                   c.has(2) ? std::optional(c.x(2)) : std::nullopt, number(c, 3),
                   c.integer("onesided", 1) != 0);
}

Tensor mel_weights(const Call& c) {
  return mel_weight_matrix(c.value(0).item<std::int64_t>(), c.value(1).item<std::int64_t>(),
                           c.value(2).item<std::int64_t>(), c.value(3).item<double>(),
                           c.value(4).item<double>(),
                           dtype_of_onnx(c.integer("output_datatype", 1)));
}

}  // namespace

std::span<const Row> family::signal() {
  static const Row rows[] = {
      {"DFT", 1, dft},
      {"STFT", 1, short_time},
      {"MelWeightMatrix", 1, mel_weights},
  };
  return rows;
}

}  // namespace weft::onnx
