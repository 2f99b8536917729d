// If, Loop and Scan. A condition that is known chooses its branch while importing, and a loop whose
// length is known is unrolled.
#include <algorithm>

#include "control_flow.h"
#include "onnx/importer.h"

namespace weft::onnx {
namespace {

/// More iterations than this are a mistake rather than a model.
constexpr std::int64_t max_iterations = 1 << 16;

/// A graph's outputs as tensors; NeedsValue where one is something else, which only importing for
/// known values can handle.
std::vector<Tensor> all_tensors(const Items& items) {
  std::vector<Tensor> tensors;
  for (const Item& item : items) {
    if (!item.tensor()) throw NeedsValue("a branch or a loop gives something else than tensors");
    tensors.push_back(*item.tensor());
  }
  return tensors;
}

Items choose(const Call& c) {
  const auto run = [&](const char* branch) {
    return c.importer().run_graph(c.graph(branch), {}, c.frame());
  };
  if (const auto condition = c.known(0)) {
    if (condition->size() != 1) c.malformed("the condition has not one element");
    return run(condition->to(DType::boolean).item<bool>() ? "then_branch" : "else_branch");
  }
  const std::vector<Tensor> results = frontend::branch(
      c.x(0), [&] { return all_tensors(run("then_branch")); },
      [&] { return all_tensors(run("else_branch")); }, {});
  return {results.begin(), results.end()};
}

/// One output for each iteration, along a new first axis; of none, what the graph declares.
Tensor stacked(const std::vector<Tensor>& parts, const ValueInfoDef& declared, std::int64_t axis) {
  if (!parts.empty()) return stack(parts, axis);
  Dims dims;
  if (declared.type.dims)
    for (const DimDef& d : *declared.type.dims)
      dims.emplace_back(std::max<std::int64_t>(d.value, 0));
  dims.insert(dims.begin(), Dim(0));
  return broadcast_to(Tensor(Array(0.0f).to(dtype_of_onnx(declared.type.type))), dims);
}

/// Values that are known are carried as constants, so that a loop's graph is not one long chain.
Item settled(Item item) {
  if (const Tensor* tensor = item.tensor())
    if (const auto known = known_value(*tensor)) return Tensor(*known);
  return item;
}

struct LoopParts {
  const GraphDef& body;
  std::size_t carried;
  Items state;
};

LoopParts loop_parts(const Call& c) {
  const GraphDef& body = c.graph("body");
  const std::size_t first = std::min<std::size_t>(2, c.count());
  LoopParts parts{
      body, c.count() - first,
      Items(c.operands().begin() + static_cast<std::ptrdiff_t>(first), c.operands().end())};
  if (body.outputs.size() < parts.carried + 1) c.malformed("its body gives too few values");
  return parts;
}

Items unrolled(const Call& c, std::optional<std::int64_t> trips, bool running) {
  LoopParts parts = loop_parts(c);
  std::vector<std::vector<Tensor>> scans(parts.body.outputs.size() - 1 - parts.carried);
  for (std::int64_t i = 0; running && (!trips || i < *trips); ++i) {
    if (i == max_iterations)
      c.unsupported("more than " + std::to_string(max_iterations) + " iterations");
    Items inputs{Item(Tensor(Array(i))), Item(Tensor(Array(true)))};
    inputs.insert(inputs.end(), parts.state.begin(), parts.state.end());
    Items results = c.importer().run_graph(parts.body, inputs, c.frame());
    const Tensor* condition = results[0].tensor();
    const auto known = condition ? known_value(*condition) : std::nullopt;
    if (!known) throw NeedsValue("whether the loop goes on is not known before a call");
    running = known->to(DType::boolean).item<bool>();
    for (std::size_t j = 0; j < parts.carried; ++j)
      parts.state[j] = settled(std::move(results[1 + j]));
    for (std::size_t j = 0; j < scans.size(); ++j) {
      const Tensor* part = results[1 + parts.carried + j].tensor();
      if (!part) c.malformed("an output that is stacked is not a tensor");
      scans[j].push_back(*part);
    }
  }
  for (std::size_t j = 0; j < scans.size(); ++j)
    parts.state.emplace_back(stacked(scans[j], parts.body.outputs[1 + parts.carried + j], 0));
  return parts.state;
}

/// A loop whose length depends on values, as one of the graph: (iteration, carried values…). Only
/// without outputs that are stacked, whose extent is not known either.
Items in_graph(const Call& c) {
  const LoopParts parts = loop_parts(c);
  if (parts.body.outputs.size() != parts.carried + 1)
    throw NeedsValue("how long the outputs of the loop are is not known before a call");
  const auto below = [&](const Tensor& i, const Tensor& again) {
    return c.has(0) ? logical_and(again, i < reshape(c.x(0), {})) : again;
  };
  std::vector<Tensor> init{Tensor(Array(std::int64_t{0}))};
  for (const Tensor& t : all_tensors(parts.state)) init.push_back(t);
  const Tensor first = c.has(1) ? reshape(c.x(1), {}) : Tensor(Array(true));
  std::vector<Tensor> results = frontend::loop(
      below(init[0], first), init,
      [&](std::span<const Tensor> carried) -> std::pair<Tensor, std::vector<Tensor>> {
        Items inputs{Item(carried[0]), Item(Tensor(Array(true)))};
        inputs.insert(inputs.end(), carried.begin() + 1, carried.end());
        std::vector<Tensor> made =
            all_tensors(c.importer().run_graph(parts.body, inputs, c.frame()));
        const Tensor next = carried[0] + 1, again = below(next, reshape(made[0], {}));
        made[0] = next;
        return {again, std::move(made)};
      },
      {});
  return {results.begin() + 1, results.end()};
}

Items loop(const Call& c) {
  const auto trips = c.has(0) ? c.known(0) : std::nullopt,
             condition = c.has(1) ? c.known(1) : Array(true);
  if ((c.has(0) && !trips) || !condition) return in_graph(c);
  try {
    return unrolled(c, trips ? std::optional(trips->item<std::int64_t>()) : std::nullopt,
                    condition->to(DType::boolean).item<bool>());
  } catch (const NeedsValue&) { return in_graph(c); }
}

// ---- scan ---------------------------------------------------------------------------------------

struct ScanPlan {
  std::size_t states = 0;
  std::vector<std::int64_t> input_axes, output_axes;
  std::vector<bool> input_backward, output_backward;
  std::optional<std::int64_t> steps;  // fewer than the inputs have (version 8)
};

std::vector<std::int64_t> filled(std::vector<std::int64_t> list, std::size_t size, const Call& c) {
  if (list.empty()) list.assign(size, 0);
  if (list.size() != size) c.malformed("axes or directions are not as many as inputs or outputs");
  return list;
}

std::vector<bool> flags(const std::vector<std::int64_t>& list) {
  return {list.begin(), list.end()};
}

Tensor step_of(const Tensor& x, std::int64_t axis, std::int64_t t) {
  return squeeze(slice_axis(x, axis, t, t + 1), axis);
}

Items scan(const Call& c, const GraphDef& body, const ScanPlan& plan, const Items& operands) {
  Items state(operands.begin(), operands.begin() + static_cast<std::ptrdiff_t>(plan.states));
  std::vector<Tensor> inputs;
  std::optional<std::int64_t> steps = plan.steps;
  for (std::size_t i = plan.states; i < operands.size(); ++i) {
    if (!operands[i].tensor()) c.malformed("an input is not a tensor");
    inputs.push_back(*operands[i].tensor());
    const Dims dims = dims_of(inputs.back());
    const Dim& extent = dims[static_cast<std::size_t>(
        axis_of(plan.input_axes[inputs.size() - 1], static_cast<std::int64_t>(dims.size())))];
    if (!extent.is_constant()) throw NeedsValue("the number of steps is not known");
    if (!plan.steps && steps && *steps != extent.value())
      throw ShapeError("the inputs have not the same number of steps");
    if (!steps) steps = extent.value();
  }
  std::vector<std::vector<Tensor>> outputs(body.outputs.size() - plan.states);
  for (std::int64_t t = 0; t < *steps; ++t) {
    Items given = state;
    for (std::size_t i = 0; i < inputs.size(); ++i)
      given.emplace_back(
          step_of(inputs[i], plan.input_axes[i], plan.input_backward[i] ? *steps - 1 - t : t));
    Items made = c.importer().run_graph(body, given, c.frame());
    for (std::size_t i = 0; i < plan.states; ++i) state[i] = settled(std::move(made[i]));
    for (std::size_t i = 0; i < outputs.size(); ++i) {
      if (!made[plan.states + i].tensor()) c.malformed("an output is not a tensor");
      outputs[i].push_back(*made[plan.states + i].tensor());
    }
  }
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    if (plan.output_backward[i]) std::ranges::reverse(outputs[i]);
    state.emplace_back(stacked(outputs[i], body.outputs[plan.states + i], plan.output_axes[i]));
  }
  return state;
}

ScanPlan plan_of(const Call& c, const GraphDef& body, std::size_t operands) {
  const std::int64_t scanned = c.integer("num_scan_inputs");
  if (scanned < 1 || scanned > static_cast<std::int64_t>(operands))
    c.malformed("it scans " + std::to_string(scanned) + " of " + std::to_string(operands) +
                " operands");
  ScanPlan plan;
  const auto inputs = static_cast<std::size_t>(scanned);
  plan.states = operands - inputs;
  if (body.outputs.size() < plan.states) c.malformed("its body gives too few values");
  const std::size_t outputs = body.outputs.size() - plan.states;
  const char* const directions = c.version() < 9 ? "directions" : "scan_input_directions";
  plan.input_axes = filled(c.integers("scan_input_axes"), inputs, c);
  plan.output_axes = filled(c.integers("scan_output_axes"), outputs, c);
  plan.input_backward = flags(filled(c.integers(directions), inputs, c));
  plan.output_backward = flags(filled(c.integers("scan_output_directions"), outputs, c));
  return plan;
}

Items scan_steps(const Call& c) {
  const GraphDef& body = c.graph("body");
  return scan(c, body, plan_of(c, body, c.count()), c.operands());
}

/// Version 8: a batch along the first axis of everything, each of its own length.
Items scan_batch(const Call& c) {
  const GraphDef& body = c.graph("body");
  ScanPlan plan = plan_of(c, body, c.count() - 1);
  const Dims dims = dims_of(c.x(1));
  if (dims.empty() || !dims[0].is_constant())
    throw NeedsValue("the size of the batch is not known");
  std::vector<std::vector<Tensor>> results(body.outputs.size());
  for (std::int64_t b = 0; b < dims[0].value(); ++b) {
    Items operands;
    for (std::size_t i = 1; i < c.count(); ++i) operands.emplace_back(step_of(c.x(i), 0, b));
    if (c.has(0)) plan.steps = c.ints(0).at(static_cast<std::size_t>(b));
    const Items made = scan(c, body, plan, operands);
    for (std::size_t i = 0; i < made.size(); ++i) {
      if (!made[i].tensor()) c.malformed("an output is not a tensor");
      results[i].push_back(*made[i].tensor());
    }
  }
  Items all;
  for (const std::vector<Tensor>& parts : results) {
    if (parts.empty()) throw ShapeError("an empty batch");
    all.emplace_back(stack(parts, 0));
  }
  return all;
}

}  // namespace

std::span<const Row> family::control_flow() {
  static const Row rows[] = {
      {"If", 1, choose},
      {"Loop", 1, loop},
      {"Scan", 8, scan_batch},
      {"Scan", 9, scan_steps},
  };
  return rows;
}

}  // namespace weft::onnx
