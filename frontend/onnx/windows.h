// What convolution and pooling share: how windows lie on the spatial axes.
#pragma once

#include "onnx/importer.h"

namespace weft::onnx {

struct WindowSpec {
  std::vector<std::int64_t> stride, low, high, dilation;
  std::string auto_pad;  // "same_upper", "same_lower" or empty
};

/// Axes after the batch and the channels; ParseError where there are none.
std::int64_t spatial_rank(const Call& c);
/// One entry a spatial axis; ParseError where the attributes have more or fewer.
WindowSpec window_spec(const Call& c, std::size_t axes);

}  // namespace weft::onnx
