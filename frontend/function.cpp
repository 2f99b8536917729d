#include "weft/function.h"

#include <algorithm>
#include <cassert>
#include <chrono>
#include <map>
#include <optional>
#include <span>
#include <unordered_map>
#include <unordered_set>

#include "function_impl.h"
#include "gradient_state.h"
#include "ir/builder.h"
#include "ir/ops/attrs.h"
#include "ir/ops/ops.h"
#include "ir/text.h"
#include "passes/pipeline.h"
#include "passes/resolve.h"
#include "passes/specialize.h"
#include "runtime/reactive.h"

namespace weft {

namespace {

bool is_leaf_input(const ir::Node& node) { return &node.op() == &ir::ops::input; }

ir::Type type_of(const Array& array) { return {array.dtype(), to_dims(array.shape())}; }

/// Leaves below `roots` that are not inputs of the function, in order of creation.
std::vector<Tensor> capture(std::span<const ir::NodeRef> roots, const std::vector<Tensor>& inputs,
                            const std::string& name, SourceLocation where) {
  std::unordered_set<const ir::Node*> given;
  for (const Tensor& input : inputs) given.insert(input.node().get());
  const auto stop = [&](const ir::Node& node) { return given.contains(&node); };
  std::vector<const ir::Node*> leaves;
  for (const ir::Node* node : ir::topological_order(roots, stop))
    if (is_leaf_input(*node) && !given.contains(node)) leaves.push_back(node);
  std::ranges::sort(leaves, {}, &ir::Node::sequence);

  std::vector<Tensor> captured;
  std::string missing;
  for (const ir::Node* leaf : leaves) {
    captured.emplace_back(ir::NodeRef(leaf));
    if (!captured.back().has_value())
      missing += (missing.empty() ? "" : ", ") + runtime::describe(*leaf);
  }
  if (!missing.empty())
    throw UnsetInput("function" + (name.empty() ? std::string() : " '" + name + "'") + ": " +
                         missing + " is needed, is not among the inputs and holds no value",
                     where);
  return captured;
}

std::size_t index_of(const std::vector<Tensor>& tensors, const Tensor& wanted) {
  const auto it = std::ranges::find(tensors, wanted.node(), &Tensor::node);
  return static_cast<std::size_t>(it - tensors.begin());
}

/// The axes of the inputs whose extents were declared, and are not constant.
std::vector<Function::Impl::Declared> declared_extents(const std::vector<Tensor>& inputs) {
  std::vector<Function::Impl::Declared> result;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const std::optional<Dims>& shape = inputs[i].node()->type().shape;
    for (std::size_t axis = 0; shape && axis < shape->size(); ++axis) {
      const Dim& extent = (*shape)[axis];
      if (extent.is_constant()) continue;
      Function::Impl::Declared d{i, axis, extent, {}, {}, 0, 0};
      extent.collect_symbols(d.symbols);
      std::size_t unknown = 0;
      for (const DimExpr::Term& term : extent.expr()->terms()) {
        if (term.factors.empty()) {
          d.offset = term.coefficient;
          continue;
        }
        ++unknown;
        const DimExpr::Atom& atom = *term.factors[0];
        if (term.factors.size() != 1 || atom.kind != DimExpr::AtomKind::symbol) continue;
        d.symbol = atom.name;
        d.factor = term.coefficient;
      }
      if (unknown != 1) d.symbol.clear();
      result.push_back(std::move(d));
    }
  }
  std::ranges::stable_sort(result, {}, [](const Function::Impl::Declared& d) {
    return d.extent.symbol_name() ? 0 : d.symbol.empty() ? 2 : 1;
  });
  return result;
}

/// The new value of a variable, in the variable's dtype where both are known and nothing of its
/// kind is lost.
ir::NodeRef in_dtype_of(const Tensor& variable, const Tensor& value, SourceLocation where) {
  const std::optional<DType> wanted = variable.node()->type().dtype,
                             given = value.node()->type().dtype;
  if (!wanted || !given || *wanted == *given || category(*given) > category(*wanted))
    return value.node();
  return ir::make_node(ir::ops::cast, {value.node()}, ir::CastAttrs{*wanted}, where);
}

/// The running statistics of layers that were built in training mode: a call is a pass through them.
void add_running(std::span<const ir::NodeRef> roots, const std::vector<Tensor>& inputs,
                 std::vector<std::pair<Tensor, Tensor>>& updates) {
  std::unordered_set<const ir::Node*> set;  // by the user, or given at each call
  for (const Tensor& input : inputs) set.insert(input.node().get());
  const frontend::RunningUpdates moved =
      frontend::running_updates(roots, [&](const ir::Node& node) { return set.contains(&node); });
  for (const auto& [variable, value] : updates) set.insert(variable.node().get());
  for (const auto& [variable, next] : moved)
    if (!set.contains(variable.get())) updates.emplace_back(Tensor(variable), Tensor(next));
}

std::shared_ptr<Function::Impl> build(std::vector<Tensor> inputs,
                                      const std::vector<Tensor>& outputs, FunctionOptions options,
                                      SourceLocation where) {
  std::unordered_set<const ir::Node*> distinct;
  for (const Tensor& input : inputs)
    if (!distinct.insert(input.node().get()).second)
      throw Error("function: " + runtime::describe(*input.node()) + " is given twice as an input",
                  where);

  auto impl = std::make_shared<Function::Impl>();
  std::vector<ir::NodeRef> roots;
  for (const Tensor& output : outputs) roots.push_back(output.node());
  for (const auto& [variable, value] : options.updates)
    roots.push_back(in_dtype_of(variable, value, where));
  const std::size_t asked = options.updates.size();
  add_running(roots, inputs, options.updates);
  for (const auto& [variable, next] : std::span(options.updates).subspan(asked))
    roots.push_back(in_dtype_of(variable, next, where));
  impl->captured = capture(roots, inputs, options.name, where);
  std::unordered_set<const ir::Node*> updated;
  for (const auto& [variable, value] : options.updates) {
    if (!is_leaf_input(*variable.node()) || distinct.contains(variable.node().get()) ||
        !variable.has_value())
      throw Error(
          "function: only a variable that holds a value and is not an input can be updated, not " +
              runtime::describe(*variable.node()),
          where);
    if (!updated.insert(variable.node().get()).second)
      throw Error("function: " + runtime::describe(*variable.node()) + " is updated twice", where);
    std::size_t at = index_of(impl->captured, variable);
    if (at == impl->captured.size()) impl->captured.push_back(variable);
    impl->updated.push_back(at);
  }

  impl->update_of.assign(impl->captured.size(), -1);
  for (std::size_t i = 0; i < impl->updated.size(); ++i)
    impl->update_of[impl->updated[i]] = static_cast<int>(i);
  for (std::size_t i = 0; i < impl->captured.size(); ++i)
    if (impl->update_of[i] < 0) impl->read_nodes.push_back(impl->captured[i].node());
  for (const std::size_t i : impl->updated) impl->updated_nodes.push_back(impl->captured[i].node());

  std::vector<ir::NodeRef> graph_inputs;
  for (const Tensor& input : inputs) graph_inputs.push_back(input.node());
  for (const Tensor& variable : impl->captured) graph_inputs.push_back(variable.node());
  impl->graph = ir::Graph(std::move(graph_inputs), std::move(roots), options.name);
  impl->inputs = std::move(inputs);
  impl->depends_on_values = passes::depends_on_values(impl->graph);
  impl->output_count = outputs.size();
  impl->options = std::move(options);
  impl->options.updates.clear();
  impl->where = where;
  impl->declared = declared_extents(impl->inputs);
  impl->seen.resize(impl->graph.inputs().size());
  impl->uploaded.resize(impl->captured.size());
  return impl;
}

}  // namespace

// ---- construction -------------------------------------------------------------------------------

Function::Function(std::vector<Tensor> inputs, std::vector<Tensor> outputs, FunctionOptions options,
                   Where where)
    : impl_(build(std::move(inputs), outputs, std::move(options), where)) {}
Function::Function(std::vector<Tensor> inputs, const Tensor& output, FunctionOptions options,
                   Where where)
    : impl_(build(std::move(inputs), {output}, std::move(options), where)) {}

void Function::moved_from() {
  throw Error("this function was moved from: it computes nothing until it is assigned to");
}

std::size_t Function::input_count() const { return impl().inputs.size(); }
Device Function::device() const { return impl().options.device; }
std::size_t Function::output_count() const { return impl().output_count; }
const std::string& Function::name() const { return impl().options.name; }

// ---- programs -----------------------------------------------------------------------------------

bool Function::Impl::Entry::accepts(std::span<const Array* const> arrays) const {
  for (std::size_t i = 0; i < arrays.size(); ++i) {
    const Dims& expected = *types[i].shape;
    const Shape& shape = arrays[i]->shape();
    if (*types[i].dtype != arrays[i]->dtype() || expected.size() != shape.size()) return false;
    for (std::size_t axis = 0; axis < shape.size(); ++axis) {
      const bool fits =
          expected[axis].is_constant() ? expected[axis].value() == shape[axis] : shape[axis] >= 2;
      if (!fits) return false;
    }
  }
  if (std::ranges::all_of(types, &ir::Type::concrete)) return true;
  DimBindings bindings;  // axes that were always equal share a symbol: they must be equal here too
  for (std::size_t i = 0; i < arrays.size(); ++i)
    for (std::size_t axis = 0; axis < types[i].shape->size(); ++axis)
      if (const auto symbol = (*types[i].shape)[axis].symbol_name())
        if (!bindings.bind(*symbol, arrays[i]->shape()[axis])) return false;
  return true;
}

namespace {

/// Notes the extents of a new signature; an axis that has shown three different ones gets a symbol,
/// the same for axes that have shown the same and do now.
std::vector<ir::Type> generalise(std::span<const Array* const> arrays,
                                 std::vector<std::vector<std::vector<std::int64_t>>>& seen) {
  constexpr std::size_t enough = 3;
  std::vector<ir::Type> types;
  std::map<std::pair<std::vector<std::int64_t>, std::int64_t>, std::string>
      names;  // of what was seen and is
  for (std::size_t i = 0; i < arrays.size(); ++i) {
    const Shape& shape = arrays[i]->shape();
    ir::Type type = type_of(*arrays[i]);
    if (seen[i].size() != shape.size()) seen[i].assign(shape.size(), {});
    for (std::size_t axis = 0; axis < shape.size(); ++axis) {
      std::vector<std::int64_t>& extents = seen[i][axis];
      if (extents.size() < enough && std::ranges::find(extents, shape[axis]) == extents.end())
        extents.push_back(shape[axis]);
      if (extents.size() < enough || shape[axis] < 2) continue;
      const auto [name, added] =
          names.try_emplace({extents, shape[axis]}, "n" + std::to_string(names.size()));
      (*type.shape)[axis] = Dim::symbol(name->second);
    }
    types.push_back(std::move(type));
  }
  return types;
}

}  // namespace

bool Function::Impl::covers(const Entry& entry, std::span<const Array* const> arrays) const {
  constexpr std::size_t most = 1024;  // shapes remembered
  if (std::ranges::all_of(entry.types, &ir::Type::concrete)) return true;
  const auto shape_of = [](const Array* array) -> const Shape& { return array->shape(); };
  if (std::ranges::equal(entry.last, arrays, {}, {}, shape_of)) return true;
  std::vector<Shape> shapes;
  for (const Array* array : arrays) shapes.push_back(array->shape());
  if (!entry.served.contains(shapes)) {
    std::vector<ir::Type> types;
    std::vector<const Shape*> pointers;
    for (const Array* array : arrays) {
      types.push_back(type_of(*array));
      pointers.push_back(&array->shape());
    }
    const ir::Graph exact = passes::specialize(graph, types);
    try {
      const auto sizes = entry.program->size(pointers);
      const auto same = [](const Shape& shape, const ir::NodeRef& node) {
        return to_dims(shape) == node->type().shape;
      };
      if (!std::ranges::equal(runtime::Program::output_shapes(*sizes), exact.outputs(), same))
        return false;
    } catch (const ShapeError&) {  // extents that the program took as equal, and that need not be
      return false;
    }
    if (entry.served.size() >= most) entry.served.clear();
    entry.served.insert(shapes);
  }
  entry.last = std::move(shapes);
  return true;
}

frontend::CompileOptions Function::Impl::compile_options() const {
  frontend::CompileOptions result;
  for (std::size_t i = 0; i < updated.size() && !runtime::nan_checks_wanted(); ++i)
    result.donated.emplace_back(static_cast<int>(inputs.size() + updated[i]),
                                static_cast<int>(output_count + i));
  result.device = options.device;
  result.fuse = options.fuse;
  result.fast_math = options.fast_math;
  result.precision = options.precision;
  return result;
}

std::shared_ptr<Function::Impl::Entry> Function::Impl::compiled(std::vector<ir::Type> types) const {
  auto made = std::make_shared<Entry>();
  made->types = std::move(types);
  made->device = options.device;
  const bool exact = std::ranges::all_of(made->types, &ir::Type::concrete);
  if (depends_on_values && exact) {
    const ir::Graph resolved =
        passes::resolve(passes::specialize(graph, made->types), frontend::evaluate_constants);
    const std::vector<const ir::Node*> order = ir::topological_order(resolved);
    if (std::ranges::any_of(order, [](const ir::Node* n) { return passes::awaits_value(*n); })) {
      made->staged = std::make_shared<frontend::StagedGraph>(graph, made->types, compile_options());
      made->program = made->staged->first();
      return made;
    }
  }
  made->program = frontend::compile(graph, made->types, compile_options());
  for (const ir::Type& type : made->types)
    if (exact) made->shapes.push_back(*to_shape(*type.shape));
  return made;
}

const Function::Impl::Entry& Function::Impl::entry(std::span<const Array* const> arrays) const {
  const std::scoped_lock lock(mutex);
  const auto latest = [&]() -> const Entry& {
    const Entry& entry = *entries.back();
    recent.store(entry.exact() ? &entry : nullptr, std::memory_order_release);
    return entry;
  };
  for (auto it = entries.rbegin(); it != entries.rend(); ++it)
    if ((*it)->accepts(arrays) && covers(**it, arrays)) {
      hits.fetch_add(1, std::memory_order_relaxed);
      if (it != entries.rbegin()) std::rotate(it.base() - 1, it.base(), entries.end());
      return latest();
    }
  misses.fetch_add(1, std::memory_order_relaxed);
  const auto start = std::chrono::steady_clock::now();
  std::vector<ir::Type> types = generalise(arrays, seen);
  std::shared_ptr<Entry> made;
  if (!std::ranges::all_of(types, &ir::Type::concrete)) {
    const bool known =
        std::ranges::any_of(entries, [&](const auto& entry) { return entry->types == types; });
    try {
      if (!known) made = compiled(std::move(types));
    } catch (const Error&) {
      // There may be code for these extents alone; if not, its error is the user's.
    }
    if (made && !covers(*made, arrays)) made = nullptr;
    types.clear();
    for (const Array* array : arrays) types.push_back(type_of(*array));
  }
  if (!made) made = compiled(std::move(types));
  compile_ms +=
      std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
  entries.push_back(std::move(made));
  return latest();
}

std::shared_ptr<const Function::Impl::Entry> Function::Impl::representative() const {
  {
    const std::scoped_lock lock(mutex);
    if (!entries.empty()) return entries.back();
  }
  std::vector<ir::Type> types;
  for (const ir::NodeRef& input : graph.inputs()) {
    types.push_back(runtime::live_type(*input));
    if (!types.back().known())
      throw UnsetInput("function: the type of " + runtime::describe(*input) +
                           " is not known before the first call; declare its dtype and shape",
                       where);
  }
  return compiled(std::move(types));
}

// ---- looking inside -----------------------------------------------------------------------------

std::string Function::ir(Stage stage) const {
  switch (stage) {
    case Stage::graph: return ir::to_text(impl().graph);
    case Stage::optimized: {
      passes::PipelineOptions options;
      options.evaluate = frontend::evaluate_constants;
      options.fast_math = impl().options.fast_math;
      return ir::to_text(passes::optimize(impl().graph, impl().representative()->types, options));
    }
    case Stage::kernels: {
      const auto signature = impl().representative();
      std::string text = to_string(signature->program->plan());
      std::size_t kernel = 0;
      for (const auto& code : signature->program->executables()) {
        if (const std::string how = code ? code->schedule_text() : std::string(); !how.empty())
          text += "# kernel " + std::to_string(kernel) + " runs " + how + "\n";
        ++kernel;
      }
      return text;
    }
    case Stage::native: {
      const auto signature = impl().representative();
      std::string text;
      for (const auto& code : signature->program->executables())
        if (code) text += code->native_text() + "\n";
      return text;
    }
  }
  __builtin_unreachable();
}

FunctionStats Function::stats() const {
  FunctionStats stats;
  stats.cache_hits = impl().hits.load(std::memory_order_relaxed);
  stats.calls = stats.cache_hits + impl().misses.load(std::memory_order_relaxed);
  const std::scoped_lock lock(impl().mutex);
  stats.compilations = std::ssize(impl().entries);
  stats.compile_ms = impl().compile_ms;
  if (impl().entries.empty()) return stats;
  const ir::Plan& plan = impl().entries.back()->program->plan();
  stats.kernels = std::ssize(plan.steps);
  stats.distinct_kernels = std::ssize(plan.kernels);
  stats.bytes_planned = plan.arena_bytes.constant().value_or(0);
  stats.bytes_moved = plan.bytes_moved;
  stats.flops = plan.flops;
  stats.host_steps = impl().entries.back()->program->host_steps();
  return stats;
}

std::vector<StepTime> Function::profile(std::span<const Array> inputs) const {
  struct Observer final : runtime::Program::StepObserver {
    std::vector<StepTime> times;
    void step(std::size_t, std::int64_t start, std::int64_t end) override {
      times.push_back({{}, start, end});
    }
  } observer;
  std::vector<const Array*> given;
  for (const Array& input : inputs) given.push_back(&input);
  std::vector<Array> outputs;
  impl().run(given, {.fresh = &outputs}, &observer);
  const ir::Plan& plan = impl().representative()->program->plan();
  for (std::size_t i = 0; i < observer.times.size() && i < plan.steps.size(); ++i)
    observer.times[i].label = plan.steps[i].label;
  return observer.times;
}

}  // namespace weft
