// ONNX models. Import is not available yet: `load` throws UnsupportedOp.
#pragma once

#include <source_location>
#include <string>
#include <vector>

#include "weft/function.h"

namespace weft::onnx {

struct Model {
  std::vector<Tensor> inputs, outputs;
  Function function;
};

Model load(const std::string& path, std::source_location where = std::source_location::current());

}  // namespace weft::onnx
