#include "onnx/importer.h"

namespace weft::onnx {

std::span<const Row> family::losses() { return {}; }

}  // namespace weft::onnx
