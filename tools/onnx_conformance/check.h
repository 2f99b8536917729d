// One conformance model: a folder with model.onnx and test_data_set_*/ of stored inputs and
// outputs, as ONNX's own runner reads them.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace weft::tools {

struct Tolerance {
  double rtol = 1e-3, atol = 1e-7;  // those of ONNX's runner
};

struct Verdict {
  std::vector<std::string> operators;  // each once, in the order of the model, subgraphs included
  std::string failure;                 // empty: every output is as stored
};

/// Throws nothing: what goes wrong is the failure.
Verdict check_model(const std::filesystem::path& folder, const Tolerance& tolerance);

}  // namespace weft::tools
