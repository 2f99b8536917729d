// From Weft's graphs to ONNX's: a row that ONNX has an operator for becomes one, views become
// slices, transpositions and expansions, and every other expansion is written out until only such
// rows are left.
#pragma once

#include <string>
#include <vector>

#include "ir/graph.h"
#include "onnx/model.h"

namespace weft::onnx {

/// `graph`, whose input types are known; inputs from `given` on hold `values` and become
/// initializers. Inputs have the names of their labels, outputs these ones (empty: "output"), with a
/// number behind where a name is taken. UnsupportedOp, on the user's line, naming a row that ONNX
/// cannot say.
ModelDef to_model(const ir::Graph& graph, std::size_t given, const std::vector<TensorDef>& values,
                  const std::vector<std::string>& output_names);

}  // namespace weft::onnx
