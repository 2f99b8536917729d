// A `.weft` file and the stages of compilation that its graph goes through.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "ir/graph.h"
#include "ir/plan.h"
#include "weft/function.h"

namespace weft::tools {

struct Source {
  std::string path;
  std::optional<Function>
      function;  // keeps the variables; absent for a file that holds a graph alone
  ir::Graph graph;
  std::size_t given = 0;             // inputs that a caller supplies; the others are variables
  std::vector<ir::Type> types;       // of all inputs
  std::vector<std::string> outputs;  // what each output is called
  std::vector<std::pair<int, int>> donated;
};

/// A function's file or a graph's. `inputs` are types of the first inputs, over what the file declares.
Source load_source(const std::string& path, const std::vector<std::string>& inputs);

/// `graph`, the names of the passes, `kernels` and `plan`.
std::vector<std::string> stage_names();
/// The graph after a stage (for `kernels` and `plan`: what they are made from).
ir::Graph graph_at(const Source& source, const std::string& stage);
ir::Plan plan_of(const Source& source, const ir::Graph& optimized);

}  // namespace weft::tools
