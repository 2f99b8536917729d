#include "weft/function.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <chrono>
#include <map>
#include <memory_resource>
#include <optional>
#include <unordered_map>
#include <unordered_set>

#include "function_impl.h"
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

/// The axes of the inputs that were declared with one unknown, each with the first of its name.
std::vector<Function::Impl::Tie> ties_of(const std::vector<Tensor>& inputs) {
  std::vector<Function::Impl::Tie> ties;
  std::map<std::string, std::pair<std::size_t, std::size_t>, std::less<>> first;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const std::optional<Dims>& shape = inputs[i].node()->type().shape;
    for (std::size_t axis = 0; shape && axis < shape->size(); ++axis) {
      const auto symbol = (*shape)[axis].symbol_name();
      if (!symbol) continue;
      const auto [it, added] = first.try_emplace(std::string(*symbol), i, axis);
      if (!added) ties.push_back({it->second.first, it->second.second, i, axis});
    }
  }
  return ties;
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

std::shared_ptr<Function::Impl> build(std::vector<Tensor> inputs,
                                      const std::vector<Tensor>& outputs, FunctionOptions options,
                                      SourceLocation where) {
  if (!options.device.is_cpu())
    throw DeviceError("functions on " + options.device.str() + " are not available in this build",
                      where);
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

  for (std::size_t i = 0; i < impl->captured.size(); ++i)
    if (std::ranges::find(impl->updated, i) == impl->updated.end())
      impl->read_nodes.push_back(impl->captured[i].node());
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
  impl->ties = ties_of(impl->inputs);
  impl->seen.resize(impl->graph.inputs().size());
  return impl;
}

/// An error that names both unless `given` is what the input's declared type allows: of its shape,
/// and of its dtype or one of a category that converts without loss in kind.
void check_fit(const Array& given, const ir::Node& input, std::size_t number,
               SourceLocation where) {
  const ir::Type& declared = input.type();
  const auto wrong = [&] {
    const std::string name = input.label().empty() ? "" : " ('" + input.label() + "')";
    return "input " + std::to_string(number) + name + ": expected " + to_string(declared) +
           ", received " + to_string(type_of(given));
  };
  if (declared.shape) {
    bool fits = declared.shape->size() == given.shape().size();
    for (std::size_t axis = 0; fits && axis < declared.shape->size(); ++axis) {
      const auto extent = (*declared.shape)[axis].constant();
      fits = !extent || *extent == given.shape()[axis];
    }
    if (!fits) throw ShapeError(wrong(), where);
  }
  if (declared.dtype && category(given.dtype()) > category(*declared.dtype))
    throw DTypeError(wrong(), where);
}

}  // namespace

// ---- construction -------------------------------------------------------------------------------

Function::Function(std::vector<Tensor> inputs, std::vector<Tensor> outputs, FunctionOptions options,
                   Where where)
    : impl_(build(std::move(inputs), outputs, std::move(options), where)) {}
Function::Function(std::vector<Tensor> inputs, const Tensor& output, FunctionOptions options,
                   Where where)
    : impl_(build(std::move(inputs), {output}, std::move(options), where)) {}

std::size_t Function::input_count() const { return impl_->inputs.size(); }
std::size_t Function::output_count() const { return impl_->output_count; }
const std::string& Function::name() const { return impl_->options.name; }

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
  result.fuse = options.fuse;
  result.fast_math = options.fast_math;
  return result;
}

std::shared_ptr<Function::Impl::Entry> Function::Impl::compiled(std::vector<ir::Type> types) const {
  auto made = std::make_shared<Entry>();
  made->types = std::move(types);
  const bool exact = std::ranges::all_of(made->types, &ir::Type::concrete);
  if (depends_on_values && exact) {
    const ir::Graph resolved =
        passes::resolve(passes::specialize(graph, made->types), frontend::evaluate_constants);
    const std::vector<const ir::Node*> order = ir::topological_order(resolved);
    if (std::ranges::any_of(order, [](const ir::Node* n) { return passes::awaits_value(*n); })) {
      made->staged =
          std::make_shared<frontend::StagedGraph>(graph, made->types, compile_options());
      made->program = made->staged->first();
      return made;
    }
  }
  made->program = frontend::compile(graph, made->types, compile_options());
  return made;
}

std::shared_ptr<const Function::Impl::Entry> Function::Impl::entry(
    std::span<const Array* const> arrays) const {
  const std::scoped_lock lock(mutex);
  for (auto it = entries.rbegin(); it != entries.rend(); ++it)
    if ((*it)->accepts(arrays) && covers(**it, arrays)) {
      hits.fetch_add(1, std::memory_order_relaxed);
      if (it != entries.rbegin()) std::rotate(it.base() - 1, it.base(), entries.end());
      return entries.back();
    }
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
  entries.push_back(made);
  return made;
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

// ---- calls --------------------------------------------------------------------------------------

namespace {

/// A dense array of this dtype and shape that a program may write into: `have` where it serves.
bool serves(const Array& have, DType dtype, const Shape& shape) {
  return have.dtype() == dtype && have.shape() == shape && have.is_contiguous() &&
         have.buffer().writable() && have.device().is_cpu();
}

}  // namespace

void Function::Impl::check_ties(std::span<const Array* const> arrays) const {
  for (const Tie& tie : ties) {
    const std::int64_t extent = arrays[tie.input]->shape()[tie.axis];
    const std::int64_t other = arrays[tie.other_input]->shape()[tie.other_axis];
    if (extent == other) continue;
    const Dim& declared = (*inputs[tie.input].node()->type().shape)[tie.axis];
    throw ShapeError("inputs " + std::to_string(tie.input) + " and " +
                         std::to_string(tie.other_input) + ": " + declared.str() +
                         " cannot be both " + std::to_string(extent) + " and " +
                         std::to_string(other),
                     where);
  }
}

void Function::Impl::check_update(std::size_t i, const ir::Type& given) const {
  const ir::Type& declared = updated_nodes[i]->type();
  bool fits = declared.dtype.value_or(*given.dtype) == *given.dtype;
  if (declared.shape) {
    const auto may_be = [](const Dim& a, const Dim& b) { return !a.is_constant() || a == b; };
    fits = fits && std::ranges::equal(*declared.shape, *given.shape, may_be);
  }
  if (fits) return;
  const std::string what = "update of " + runtime::describe(*updated_nodes[i]) + ", " +
                           to_string(declared) + ", to " + to_string(given);
  if (declared.dtype.value_or(*given.dtype) != *given.dtype)
    throw DTypeError(what + ": the dtypes differ", where);
  throw ShapeError(what + ": the shapes differ", where);
}

void Function::Impl::run(std::span<const Array> given, std::span<Array> outputs,
                         runtime::Program::StepObserver* observer) const {
  if (given.size() != inputs.size())
    throw Error("function" + (options.name.empty() ? std::string() : " '" + options.name + "'") +
                    ": expected " + std::to_string(inputs.size()) + " inputs, received " +
                    std::to_string(given.size()),
                where);
  calls.fetch_add(1, std::memory_order_relaxed);
  std::array<std::byte, 2048> stack;  // a call of few operands allocates nothing but its outputs
  std::pmr::monotonic_buffer_resource memory(stack.data(), stack.size());
  const std::size_t count = graph.inputs().size();

  std::pmr::vector<const Array*> arrays(&memory);
  arrays.reserve(count);
  std::pmr::vector<Array> made(&memory);  // what had to be converted or copied
  made.reserve(count);
  const auto dense = [&](const Array& value) {
    arrays.push_back(value.is_contiguous() ? &value : &made.emplace_back(value.contiguous()));
  };
  const bool overlap = outputs.data() < given.data() + given.size() &&
                       given.data() < outputs.data() + outputs.size();
  for (std::size_t i = 0; i < given.size(); ++i) {
    const ir::Node& input = *inputs[i].node();
    check_fit(given[i], input, i, where);
    const DType dtype = input.type().dtype.value_or(given[i].dtype());
    if (dtype != given[i].dtype())
      arrays.push_back(&made.emplace_back(given[i].to(dtype).contiguous()));
    else if (overlap)
      arrays.push_back(&made.emplace_back(given[i].contiguous()));
    else
      dense(given[i]);
  }
  check_ties(arrays);
  std::optional<runtime::Lease> lease;  // a turn on the variables that this call will write
  if (!updated.empty()) lease.emplace(updated_nodes, read_nodes);
  std::vector<Array> current;
  if (!lease && !read_nodes.empty()) current = runtime::values(read_nodes);
  for (std::size_t i = 0, read = 0; i < captured.size(); ++i) {
    const auto update = std::ranges::find(updated, i);
    if (update != updated.end())
      dense(lease->value(static_cast<std::size_t>(update - updated.begin())));
    else
      dense(lease ? lease->reads()[read++] : current[read++]);
  }

  std::pmr::vector<const Shape*> shapes(&memory);
  std::pmr::vector<void*> input_data(&memory), output_data(&memory);
  for (const Array* array : arrays) {
    shapes.push_back(&array->shape());
    input_data.push_back(const_cast<std::byte*>(array->bytes()));
  }
  const std::shared_ptr<const Entry> entry = this->entry(arrays);
  if (entry->staged) return run_staged(*entry, arrays, outputs, lease ? &*lease : nullptr);
  const runtime::Program& program = *entry->program;
  const ir::Plan& plan = program.plan();
  const auto sizes = program.size(shapes);
  const auto output_shapes = runtime::Program::output_shapes(*sizes);
  const auto fresh = [&](std::size_t i) {
    return Array::uninitialized(plan.slots[static_cast<std::size_t>(plan.outputs[i])].dtype,
                                output_shapes[i]);
  };

  // Everything that can fail for want of memory comes before the first write.
  for (std::size_t i = 0; i < output_count; ++i) {
    if (!serves(outputs[i], plan.slots[static_cast<std::size_t>(plan.outputs[i])].dtype,
                output_shapes[i]))
      outputs[i] = fresh(i);
    output_data.push_back(const_cast<std::byte*>(outputs[i].bytes()));
  }
  std::vector<Array>
      replaced;  // new values of the variables, in place where nobody else has the old ones
  replaced.reserve(updated.size());
  for (std::size_t i = 0; i < updated.size(); ++i) {
    const std::size_t output = output_count + i;
    const Array& old = lease->value(i);
    const DType dtype = plan.slots[static_cast<std::size_t>(plan.outputs[output])].dtype;
    check_update(i, {dtype, to_dims(output_shapes[output])});
    const bool in_place = plan.donated[output] == static_cast<int>(inputs.size() + updated[i]) &&
                          old.is_contiguous() && old.buffer().writable();
    replaced.push_back(in_place ? old : fresh(output));
    output_data.push_back(const_cast<std::byte*>(replaced.back().bytes()));
  }

  if (observer)
    program.run_observed(*sizes, input_data.data(), output_data.data(), *observer);
  else
    program.run(*sizes, input_data.data(), output_data.data());
  if (lease) lease->commit(std::move(replaced));
}

void Function::Impl::run_staged(const Entry& entry, std::span<const Array* const> arrays,
                                std::span<Array> outputs, runtime::Lease* lease) const {
  std::vector<Array> results = entry.staged->run(arrays);
  std::vector<Array> replaced(results.begin() + static_cast<std::ptrdiff_t>(output_count),
                              results.end());
  for (std::size_t i = 0; i < replaced.size(); ++i)
    check_update(i, {replaced[i].dtype(), to_dims(replaced[i].shape())});
  for (std::size_t i = 0; i < output_count; ++i) outputs[i] = std::move(results[i]);
  if (lease) lease->commit(std::move(replaced));
}

std::vector<Array> Function::operator()(std::span<const Array> inputs) const {
  std::vector<Array> outputs(impl_->output_count);
  impl_->run(inputs, outputs);
  return outputs;
}

void Function::call_into(std::span<Array> outputs, std::span<const Array> inputs) const {
  if (outputs.size() != impl_->output_count)
    throw Error("call_into: expected " + std::to_string(impl_->output_count) +
                    " outputs, received " + std::to_string(outputs.size()),
                impl_->where);
  impl_->run(inputs, outputs);
}

// ---- looking inside -----------------------------------------------------------------------------

std::string Function::ir(Stage stage) const {
  switch (stage) {
    case Stage::graph: return ir::to_text(impl_->graph);
    case Stage::optimized: {
      passes::PipelineOptions options;
      options.evaluate = frontend::evaluate_constants;
      options.fast_math = impl_->options.fast_math;
      return ir::to_text(passes::optimize(impl_->graph, impl_->representative()->types, options));
    }
    case Stage::kernels: return to_string(impl_->representative()->program->plan());
    case Stage::native: {
      std::string text;
      for (const auto& code : impl_->representative()->program->executables())
        if (code) text += code->native_text() + "\n";
      return text;
    }
  }
  __builtin_unreachable();
}

FunctionStats Function::stats() const {
  FunctionStats stats;
  stats.calls = impl_->calls.load(std::memory_order_relaxed);
  stats.cache_hits = impl_->hits.load(std::memory_order_relaxed);
  const std::scoped_lock lock(impl_->mutex);
  stats.compilations = std::ssize(impl_->entries);
  stats.compile_ms = impl_->compile_ms;
  if (impl_->entries.empty()) return stats;
  const ir::Plan& plan = impl_->entries.back()->program->plan();
  stats.kernels = std::ssize(plan.steps);
  stats.distinct_kernels = std::ssize(plan.kernels);
  stats.bytes_planned = plan.arena_bytes.constant().value_or(0);
  stats.bytes_moved = plan.bytes_moved;
  stats.flops = plan.flops;
  return stats;
}

std::vector<StepTime> Function::profile(std::span<const Array> inputs) const {
  struct Observer final : runtime::Program::StepObserver {
    std::vector<StepTime> times;
    void step(std::size_t, std::int64_t start, std::int64_t end) override {
      times.push_back({{}, start, end});
    }
  } observer;
  std::vector<Array> outputs(impl_->output_count);
  impl_->run(inputs, outputs, &observer);
  const ir::Plan& plan = impl_->representative()->program->plan();
  for (std::size_t i = 0; i < observer.times.size() && i < plan.steps.size(); ++i)
    observer.times[i].label = plan.steps[i].label;
  return observer.times;
}

}  // namespace weft
