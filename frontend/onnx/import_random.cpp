// Random tensors and dropout. Seeds are Weft's own (manual_seed): the attribute is not used.
#include "onnx/importer.h"

namespace weft::onnx {
namespace {

/// A floating tensor of x's shape, of the dtype that the model asks for.
Tensor pattern(const Call& c, const Tensor& x) {
  const DType otherwise = is_floating(x.dtype()) ? x.dtype() : DType::float32;
  return zeros_like(as(x, c.has("dtype") ? dtype_of_onnx(c.integer("dtype")) : otherwise));
}
Tensor pattern_of_shape(const Call& c) {
  const DType dtype = dtype_of_onnx(c.integer("dtype", 1));
  const std::vector<std::int64_t> shape = c.integers("shape");
  element_count(shape);
  return broadcast_to(Tensor(Array(0.0f).to(dtype)), to_dims(shape));
}

Tensor uniform(const Call& c, const Tensor& like) {
  const double low = c.real("low", 0), high = c.real("high", 1);
  return rand_like(like) * (high - low) + low;
}
Tensor normal(const Call& c, const Tensor& like) {
  return randn_like(like) * c.real("scale", 1) + c.real("mean", 0);
}

Tensor bernoulli_draws(const Call& c) {
  const Tensor& p = c.x();
  const DType dtype = c.has("dtype") ? dtype_of_onnx(c.integer("dtype")) : p.dtype();
  return cast(rand_like(p) < p, dtype);
}

/// Classes drawn from rows of unnormalised log-probabilities, by Gumbel's trick.
Tensor multinomial_draws(const Call& c) {
  const Dims dims = dims_of(c.x());
  if (dims.size() != 2) throw ShapeError("the scores are not a matrix");
  const std::int64_t count = c.integer("sample_size", 1);
  if (count <= 0) c.malformed("the sample size is not positive");
  const Tensor scores = broadcast_to(unsqueeze(c.x(), 1), {dims[0], Dim(count), dims[1]});
  const Tensor drawn = argmax(scores - log(-log(rand_like(scores))), 2);
  return as(drawn, dtype_of_onnx(c.integer("dtype", 6)));
}

/// The mask says what is kept.
Items dropped(const Call& c, const Tensor& ratio, bool training) {
  const Tensor& x = c.x();
  if (!training) return {x, c.wants(1) ? Item(ones_like(cast(x, DType::boolean))) : Item()};
  const Tensor keep = rand_like(x) >= as(ratio, x.dtype());
  const Tensor scale = 1 / (1 - as(ratio, x.dtype()));
  return {where(keep, x * scale, zeros_like(x)), keep};
}

Items dropout_by_attributes(const Call& c) {
  const Tensor& x = c.x();
  // models of these versions are for inference; the mask was of the data's dtype at first
  if (c.version() < 10) return {x, ones_like(x)};
  return dropped(c, scalar_like(x, c.real("ratio", 0.5)), false);
}
Items dropout_by_operands(const Call& c) {
  const Tensor ratio = c.has(1) ? c.x(1) : scalar_like(c.x(), 0.5);
  const bool training = c.has(2) && c.value(2).item<bool>();
  const auto known = known_value(ratio);
  if (known && known->item<double>() == 0) return dropped(c, ratio, false);
  return dropped(c, ratio, training);
}

}  // namespace

std::span<const Row> family::random() {
  static const Row rows[] = {
      {"RandomUniform", 1, [](const Call& c) -> Tensor { return uniform(c, pattern_of_shape(c)); }},
      {"RandomUniformLike", 1,
       [](const Call& c) -> Tensor { return uniform(c, pattern(c, c.x())); }},
      {"RandomNormal", 1, [](const Call& c) -> Tensor { return normal(c, pattern_of_shape(c)); }},
      {"RandomNormalLike", 1, [](const Call& c) -> Tensor { return normal(c, pattern(c, c.x())); }},
      {"Bernoulli", 1, bernoulli_draws},
      {"Multinomial", 1, multinomial_draws},
      {"Dropout", 1, dropout_by_attributes},
      {"Dropout", 12, dropout_by_operands},
  };
  return rows;
}

}  // namespace weft::onnx
