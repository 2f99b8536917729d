// What the two files of the Keras backend share.
#pragma once

#include "ir/builder.h"
#include "runtime/reactive.h"
#include "value.h"

namespace weft::keras {

using frontend::make;
using frontend::Value;

inline Value permuted(const Value& x, Axes axes) {
  return make(ir::ops::permute, {x}, ir::AxesAttrs{std::move(axes)});
}
inline Value reshaped(const Value& x, Dims shape) {
  return make(ir::ops::reshape, {x}, ir::ShapeAttrs{std::move(shape)});
}
inline Value cast_to(const Value& x, DType dtype) {
  return make(ir::ops::cast, {x}, ir::CastAttrs{dtype});
}

/// ShapeError naming `what` while the number of axes is not known.
inline Dims known_shape(const char* what, const Value& x) {
  const ir::Type type = runtime::live_type(*x.node());
  if (!type.shape)
    throw ShapeError(std::string(what) + ": the number of axes must be known", x.where());
  return *type.shape;
}
inline std::int64_t known_number(const char* what, const Dim& extent, const Value& x) {
  if (!extent.is_constant())
    throw ShapeError(std::string(what) + " of " + ir::to_string(x.type()) + ": the extent " +
                         extent.str() + " must be known",
                     x.where());
  return extent.value();
}
/// Each element `rep` times in a row along the axis.
Value repeated(const char* what, const Value& x, std::int64_t rep, std::int64_t axis);

}  // namespace weft::keras
