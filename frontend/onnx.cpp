#include "weft/onnx.h"

namespace weft::onnx {

Model load(const std::string& path, std::source_location where) {
  throw UnsupportedOp("reading " + path + ": ONNX models are not available yet", where);
}

}  // namespace weft::onnx
