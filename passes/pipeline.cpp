#include "passes/pipeline.h"

#include <array>

#include "ir/verify.h"
#include "passes/complex.h"
#include "passes/fold.h"
#include "passes/lower.h"
#include "passes/resolve.h"
#include "passes/rewrite.h"
#include "passes/specialize.h"
#include "passes/sums.h"

namespace weft::passes {
namespace {

struct Stage {
  std::string_view name;
  ir::Graph (*run)(const ir::Graph&, const PipelineOptions&);
};

constexpr std::array stages{
    Stage{"complex", [](const ir::Graph& g, const PipelineOptions&) { return split_complex(g); }},
    Stage{"simplify", [](const ir::Graph& g, const PipelineOptions&) { return simplify(g); }},
    Stage{"stabilise", [](const ir::Graph& g, const PipelineOptions&) { return stabilise(g); }},
    Stage{"fast_math",
          [](const ir::Graph& g, const PipelineOptions& o) { return o.fast_math ? relax(g) : g; }},
    Stage{"expand",
          [](const ir::Graph& g, const PipelineOptions& o) { return expand(g, o.on_device); }},
    Stage{"fold", [](const ir::Graph& g, const PipelineOptions& o) { return fold(g, o.evaluate); }},
    Stage{"sums", [](const ir::Graph& g, const PipelineOptions&) { return join_sums(g); }},
    Stage{"arrange", [](const ir::Graph& g, const PipelineOptions&) { return arrange(g); }},
    Stage{"simplify again", [](const ir::Graph& g, const PipelineOptions&) { return simplify(g); }},
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

ir::Graph optimize(const ir::Graph& graph, std::span<const ir::Type> inputs,
                   const PipelineOptions& options) {
  ir::Graph current = specialize(graph, inputs);
  if (depends_on_values(current)) current = resolve(current, options.evaluate);
  if (options.admit) options.admit(current);
  finished(names[0], current, options);
  for (const Stage& stage : stages) {
    current = stage.run(current, options);
    finished(stage.name, current, options);
  }
  return current;
}

ir::Plan plan(const ir::Graph& graph, std::span<const ir::Type> inputs,
              const PipelineOptions& options) {
  LowerOptions lowering;
  for (const auto& [input, output] : options.donated) lowering.donated.emplace_back(output, input);
  lowering.fusion.fuse = options.fuse;
  lowering.fusion.split = options.split;
  lowering.fusion.winograd = options.winograd;
  if (options.fuse) {
    lowering.groups = options.groups;
    lowering.columns = options.columns;
  }
  lowering.apart = options.apart;
  lowering.precision = options.precision;
  const ir::Graph optimized = optimize(graph, inputs, options);
  ir::Plan result = lower(real_outputs(optimized), lowering);
  restore_complex(result, inputs, optimized);
  return result;
}

std::span<const std::string_view> pass_names() { return names; }

}  // namespace weft::passes
