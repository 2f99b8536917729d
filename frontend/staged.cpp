#include "staged.h"

#include <algorithm>
#include <deque>
#include <unordered_map>
#include <unordered_set>

#include "ir/builder.h"
#include "ir/op.h"
#include "ir/ops/ops.h"
#include "passes/resolve.h"
#include "passes/specialize.h"
#include "passes/transform.h"

namespace weft::frontend {

using ir::Node;
using ir::NodeRef;

/// How a stage is entered: which of the arrays at hand are its inputs.
struct StagedGraph::Step {
  std::vector<std::size_t> sources;  // of the previous stage's inputs, then its results
  std::shared_ptr<Stage> stage;
};

struct StagedGraph::Stage {
  ir::Graph graph;  // resolved; every input is used
  std::vector<NodeRef>
      results;             // the nodes that the program computes, those needed as values first
  std::size_t values = 0;  // 0: the last stage, whose results are the graph's

  struct Branch {
    std::vector<ir::Literal> values;
    std::vector<ir::Type> types;  // of the other results
    Step step;
  };
  mutable std::shared_ptr<const runtime::Program> program;
  mutable Tier tier = Tier::compiled;
  mutable std::size_t runs = 0;         // interpreted so far
  mutable std::deque<Branch> branches;  // most recent last
};

namespace {

constexpr std::size_t branches_compiled = 4;  // at once; those that follow are interpreted at first
constexpr std::size_t branches_kept = 32;
constexpr std::size_t runs_interpreted = 4;

ir::Type type_of(const Array& array) { return {array.dtype(), to_dims(array.shape())}; }

std::vector<ir::Type> types_of(std::span<const NodeRef> nodes) {
  std::vector<ir::Type> types;
  for (const NodeRef& node : nodes) types.push_back(node->type());
  return types;
}

/// Operands whose values are waited for and can be computed without waiting for others; in order.
std::vector<NodeRef> values_wanted(std::span<const Node* const> order) {
  std::unordered_set<const Node*> later, seen;  // what waits, or depends on what does
  std::vector<NodeRef> wanted;
  for (const Node* node : order) {
    bool waits = passes::awaits_value(*node);
    if (waits) {
      const auto& meaning = std::get<ir::Expansion>(node->op().meaning);
      for (std::size_t i = 0; i < node->inputs().size(); ++i) {
        const NodeRef& input = node->input(i);
        if (!meaning.needs_value(i) || &input->op() == &ir::ops::constant ||
            later.contains(input.get()))
          continue;
        if (seen.insert(input.get()).second) wanted.push_back(input);
      }
    }
    for (const NodeRef& input : node->inputs()) waits |= later.contains(input.get());
    if (waits) later.insert(node);
  }
  return wanted;
}

/// The wanted values, then everything made on the way to them that something else needs.
std::vector<NodeRef> results_of_stage(const ir::Graph& graph, std::span<const Node* const> order,
                                      std::vector<NodeRef> wanted) {
  std::unordered_set<const Node*> inside, listed;
  for (const Node* node : ir::topological_order(wanted))
    if (!node->inputs().empty() || node->op().has_identity) inside.insert(node);
  for (const NodeRef& input : graph.inputs()) inside.erase(input.get());
  for (const Node* node : order)  // all results of one node are made together
    if (&node->op() == &ir::ops::get && inside.contains(node->input(0).get())) inside.insert(node);
  for (const NodeRef& value : wanted) listed.insert(value.get());
  std::vector<NodeRef> results = std::move(wanted);
  const auto needed = [&](const NodeRef& node) {
    if (inside.contains(node.get()) && listed.insert(node.get()).second) results.push_back(node);
  };
  for (const Node* node : order) {
    if (inside.contains(node)) continue;
    for (const NodeRef& input : node->inputs()) needed(input);
  }
  for (const NodeRef& output : graph.outputs()) needed(output);
  return results;
}

std::vector<Array> run_program(const runtime::Program& program,
                               std::span<const Array* const> inputs) {
  std::vector<const Shape*> shapes;
  std::vector<void*> in, out;
  for (const Array* input : inputs) {
    shapes.push_back(&input->shape());
    in.push_back(const_cast<std::byte*>(input->bytes()));
  }
  const auto sizes = program.size(shapes);
  const auto layouts = runtime::Program::output_layouts(*sizes);
  std::vector<Array> outputs;
  for (std::size_t i = 0; i < layouts.size(); ++i) {
    outputs.push_back(Array::laid_out(program.output_dtype(i), layouts[i], program.device()));
    out.push_back(outputs.back().mutable_bytes());
  }
  program.run(*sizes, in.data(), out.data());
  return outputs;
}

}  // namespace

StagedGraph::StagedGraph(const ir::Graph& graph, std::span<const ir::Type> inputs,
                         CompileOptions options)
    : options_(std::move(options)) {
  options_.donated.clear();  // what one stage reads, a later one may read again
  const ir::Graph typed = passes::specialize(graph, inputs);
  root_ = std::make_unique<Step>(enter(typed, options_.tier));
}

StagedGraph::~StagedGraph() {
  std::vector<std::shared_ptr<Stage>> stages;  // all held: none takes a chain of others with it
  for (const std::weak_ptr<Stage>& kept : stages_)
    if (std::shared_ptr<Stage> stage = kept.lock()) stages.push_back(std::move(stage));
  for (const auto& stage : stages) stage->branches.clear();  // a loop's stage leads to itself
}

StagedGraph::Step StagedGraph::enter(const ir::Graph& unresolved, Tier tier) const {
  const ir::Graph resolved = passes::resolve(unresolved, evaluate_constants);
  Step step;
  std::vector<NodeRef> inputs;
  const std::vector<const Node*> order = ir::topological_order(resolved);
  const std::unordered_set<const Node*> reached(order.begin(), order.end());
  for (std::size_t i = 0; i < resolved.inputs().size(); ++i) {
    if (!reached.contains(resolved.inputs()[i].get())) continue;
    step.sources.push_back(i);
    inputs.push_back(resolved.inputs()[i]);
  }
  const ir::Graph graph(inputs,
                        std::vector<NodeRef>(resolved.outputs().begin(), resolved.outputs().end()),
                        resolved.name());
  std::erase_if(stages_, [](const std::weak_ptr<Stage>& stage) { return stage.expired(); });
  for (const std::weak_ptr<Stage>& kept : stages_) {
    const std::shared_ptr<Stage> known = kept.lock();
    if (!known ||  // dropped since by a call that ran it
        types_of(known->graph.inputs()) != types_of(inputs) ||
        !ir::structurally_equal(known->graph, graph))
      continue;
    step.stage = known;
    return step;
  }
  auto stage = std::make_shared<Stage>();
  std::vector<NodeRef> wanted = values_wanted(order);
  stage->values = wanted.size();
  if (wanted.empty())
    stage->results.assign(graph.outputs().begin(), graph.outputs().end());
  else
    stage->results = results_of_stage(graph, order, std::move(wanted));
  stage->graph = graph;
  compile_stage(*stage, tier);
  step.stage = stage;
  stages_.push_back(stage);
  return step;
}

void StagedGraph::compile_stage(const Stage& stage, Tier tier) const {
  CompileOptions options = options_;
  options.tier = tier;
  const std::vector<NodeRef> inputs(stage.graph.inputs().begin(), stage.graph.inputs().end());
  stage.program =
      compile(ir::Graph(inputs, stage.results, stage.graph.name()), types_of(inputs), options);
  stage.tier = tier;
}

std::shared_ptr<const runtime::Program> StagedGraph::program_of(const Stage& stage) const {
  const std::scoped_lock lock(mutex_);
  if (stage.tier != options_.tier && ++stage.runs > runs_interpreted)
    compile_stage(stage, options_.tier);
  return stage.program;
}

StagedGraph::Step StagedGraph::next(const Stage& stage, std::span<const Array> results) const {
  std::vector<ir::Literal> values;
  std::vector<ir::Type> types;
  for (std::size_t i = 0; i < results.size(); ++i)
    if (i < stage.values)
      values.push_back(runtime::to_literal(results[i]));
    else
      types.push_back(type_of(results[i]));
  const std::scoped_lock lock(mutex_);
  auto& branches = stage.branches;
  const auto found = std::ranges::find_if(branches, [&](const Stage::Branch& branch) {
    return branch.values == values && branch.types == types;
  });
  if (found != branches.end()) {
    std::rotate(found, found + 1, branches.end());
    return branches.back().step;
  }

  ir::GraphBuilder builder;
  passes::NodeMap map;
  std::vector<NodeRef> inputs(stage.graph.inputs().begin(), stage.graph.inputs().end());
  for (std::size_t i = 0; i < results.size(); ++i) {
    const Node& node = *stage.results[i];
    inputs.push_back(ir::make_input(type_of(results[i]), {}, node.where()));
    map.set(&node,
            i < stage.values ? builder.constant(values[i], node.type().weak) : inputs.back());
  }
  const ir::Graph rest = passes::transform(
      stage.graph,
      [&](const Node& node, std::vector<NodeRef> operands) {
        return passes::keep(builder, node, std::move(operands));
      },
      map);
  const ir::Graph graph(std::move(inputs),
                        std::vector<NodeRef>(rest.outputs().begin(), rest.outputs().end()),
                        rest.name());
  const bool varies = branches.size() >= branches_compiled;
  Step step = enter(graph, varies ? Tier::interpreted : options_.tier);
  if (branches.size() >= branches_kept) branches.pop_front();
  branches.push_back({std::move(values), std::move(types), step});
  return step;
}

std::vector<Array> StagedGraph::run(std::span<const Array* const> inputs) const {
  std::vector<Array> held;
  std::vector<const Array*> given;
  for (const std::size_t source : root_->sources) given.push_back(inputs[source]);
  Step step = *root_;
  while (true) {
    const std::shared_ptr<const Stage> stage = step.stage;
    std::vector<Array> results = run_program(*program_of(*stage), given);
    if (stage->values == 0) return results;
    step = next(*stage, results);
    std::vector<Array> carried;
    for (const std::size_t source : step.sources)
      carried.push_back(source < given.size() ? *given[source] : results[source - given.size()]);
    held = std::move(carried);
    given.clear();
    for (const Array& array : held) given.push_back(&array);
  }
}

std::shared_ptr<const runtime::Program> StagedGraph::first() const {
  return program_of(*root_->stage);
}

std::size_t StagedGraph::stages() const {
  const std::scoped_lock lock(mutex_);
  return static_cast<std::size_t>(std::ranges::count_if(
      stages_, [](const std::weak_ptr<Stage>& stage) { return !stage.expired(); }));
}

}  // namespace weft::frontend
