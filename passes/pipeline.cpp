#include "passes/pipeline.h"

#include <array>

#include "ir/verify.h"
#include "passes/lower.h"
#include "passes/specialize.h"

namespace weft::passes {
namespace {

struct Stage {
  std::string_view name;
  ir::Graph (*run)(const ir::Graph&, const PipelineOptions&);
};

constexpr std::array stages{
    Stage{"expand", [](const ir::Graph& g, const PipelineOptions&) { return expand(g); }},
};

constexpr auto names = [] {
  std::array<std::string_view, stages.size() + 1> result{"specialize"};
  for (std::size_t i = 0; i < stages.size(); ++i) result[i + 1] = stages[i].name;
  return result;
}();

void finished(std::string_view pass, const ir::Graph& graph, const PipelineOptions& options) {
#ifndef NDEBUG
  ir::verify(graph);
#endif
  if (options.observe) options.observe(pass, graph);
}

}  // namespace

ir::Graph optimize(const ir::Graph& graph, std::span<const ir::Type> inputs, const PipelineOptions& options) {
  ir::Graph current = specialize(graph, inputs);
  finished(names[0], current, options);
  for (const Stage& stage : stages) {
    current = stage.run(current, options);
    finished(stage.name, current, options);
  }
  return current;
}

ir::Plan plan(const ir::Graph& graph, std::span<const ir::Type> inputs, const PipelineOptions& options) {
  LowerOptions lowering;
  lowering.donated = options.donated;
  lowering.fuse = options.fuse;
  return lower(optimize(graph, inputs, options), lowering);
}

std::span<const std::string_view> pass_names() { return names; }

}  // namespace weft::passes
