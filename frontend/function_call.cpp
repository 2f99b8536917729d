// How a Function is called: its arrays checked, converted where that is needed, matched with a
// program, run.
#include <algorithm>
#include <functional>
#include <optional>

#include "function_impl.h"
#include "runtime/cuda_device.h"
#include "runtime/table.h"

namespace weft {
namespace {

ir::Type type_of(const Array& array) { return {array.dtype(), to_dims(array.shape())}; }

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

/// Whether a program may write a result of this dtype and layout into `have`.
bool serves(const Array& have, DType dtype, const runtime::LayoutRef& dense, Device device) {
  const Shape& shape = dense ? dense->shape : runtime::scalar_shape;
  return have.dtype() == dtype && (have.layout() == dense || have.shape() == shape) &&
         have.is_contiguous() && have.buffer().writable() && have.device() == device;
}

/// A result that its place gets when the call has succeeded.
struct Aside {
  Array& wanted;
  Array made;
  bool fits;
  void deliver() {
    if (!fits)
      wanted = std::move(made);
    else
      runtime::transfer(made.device(), wanted.mutable_bytes(), made.device(), made.bytes(),
                        made.nbytes());
  }
};

/// Where a result lies until then.
[[gnu::noinline]] const Array& put_aside(std::vector<Aside>& aside, std::size_t most, Array& wanted,
                                         Array made, bool fits) {
  aside.reserve(most);  // addresses stay
  return aside.emplace_back(Aside{wanted, std::move(made), fits}).made;
}

/// Whether `array` is one of those that will be written.
bool is_among(const Array* array, std::span<const Array> written) {
  const std::less<> before;
  return !before(array, written.data()) && before(array, written.data() + written.size());
}

}  // namespace

void Function::Impl::check_declared(std::span<const Array* const> arrays) const {
  DimBindings bindings;
  std::vector<const Declared*> tellers;  // of each symbol that is bound, what told its value
  for (const Declared& d : declared) {
    const std::int64_t extent = arrays[d.input]->shape()[d.axis];
    const auto fail = [&](const std::string& inputs_named, const std::string& what) {
      throw ShapeError(inputs_named + ": " + d.extent.str() + " cannot be " + what, where);
    };
    const bool bound = std::ranges::all_of(
        d.symbols, [&](const std::string& symbol) { return bindings.find(symbol).has_value(); });
    if (bound) {
      if (d.extent.evaluate(bindings) == extent) continue;
      const Declared& teller = **std::ranges::find(tellers, d.symbols[0], &Declared::symbol);
      const std::string value = std::to_string(*bindings.find(d.symbols[0]));
      fail("inputs " + std::to_string(teller.input) + " and " + std::to_string(d.input),
           d.extent.symbol_name()
               ? "both " + value + " and " + std::to_string(extent)
               : std::to_string(extent) + " where " + d.symbols[0] + " is " + value);
    }
    if (d.symbol.empty()) continue;  // nothing tells what it should be
    const std::int64_t multiple = (Dim(extent) - Dim(d.offset)).value();
    if (multiple % d.factor != 0 || multiple / d.factor < 0)
      fail("input " + std::to_string(d.input) + " (" + runtime::describe(*inputs[d.input].node()) +
               ")",
           std::to_string(extent) + " for any " + d.symbol);
    bindings.bind(d.symbol, multiple / d.factor);
    tellers.push_back(&d);
  }
}

void Function::Impl::check_update(std::size_t i, DType dtype, const Shape& shape) const {
  const ir::Type& declared = updated_nodes[i]->type();
  const bool same_dtype = declared.dtype.value_or(dtype) == dtype;
  const auto may_be = [](const Dim& a, std::int64_t b) {
    return !a.is_constant() || a.value() == b;
  };
  if (same_dtype && (!declared.shape || std::ranges::equal(*declared.shape, shape, may_be))) return;
  const std::string what = "update of " + runtime::describe(*updated_nodes[i]) + ", " +
                           to_string(declared) + ", to " +
                           to_string(ir::Type{dtype, to_dims(shape)});
  if (!same_dtype) throw DTypeError(what + ": the dtypes differ", where);
  throw ShapeError(what + ": the shapes differ", where);
}

void Function::Impl::convert(std::span<const Array* const> given, std::span<const Array> outputs,
                             std::vector<Array>& made, std::span<const Array*> arrays) const {
  made.reserve(graph.inputs().size());  // addresses stay
  for (std::size_t i = 0; i < given.size(); ++i) {
    const ir::Node& input = *inputs[i].node();
    const Array& value = *given[i];
    check_fit(value, input, i, where);
    const DType dtype = input.type().dtype.value_or(value.dtype());
    if (dtype != value.dtype())  // the smaller of the two travels
      arrays[i] = &made.emplace_back(size_of(dtype) > size_of(value.dtype())
                                         ? placed(value, input).to(dtype)
                                         : placed(value.to(dtype), input));
    else if (value.device() != options.device)
      arrays[i] = &made.emplace_back(placed(value, input));
    else if (!value.is_contiguous() || is_among(&value, outputs))
      arrays[i] = &made.emplace_back(value.contiguous());
    else
      arrays[i] = &value;
  }
  check_declared(arrays);
}

Array Function::Impl::placed(const Array& value, const ir::Node& of) const {
  if (value.device().is_cpu() || value.device() == options.device) return value.to(options.device);
  throw DeviceError(
      "function" + (options.name.empty() ? std::string() : " '" + options.name + "'") +
          " runs on " + options.device.str() + ", but " + runtime::describe(of) + " is on " +
          value.device().str() + ": move one to the other (x.to(Device), FunctionOptions::device)",
      where);
}

Array Function::Impl::placed_leaf(std::size_t i, const Array& value) const {
  {
    const std::scoped_lock lock(mutex);
    if (uploaded[i].serves(value, options.device)) return uploaded[i].to;
  }
  // Nobody is kept waiting meanwhile: others may want the mutex for their programs.
  runtime::Brought fresh{value, placed(value.contiguous(), *captured[i].node())};
  Array there = fresh.to;
  const std::scoped_lock lock(mutex);
  std::swap(uploaded[i], fresh);
  return there;
}

bool Function::Impl::Entry::takes(std::span<const Array* const> arrays, std::size_t first) const {
  for (std::size_t i = 0; i < arrays.size(); ++i) {
    const Array& array = *arrays[i];
    if (array.dtype() != *types[first + i].dtype || !array.is_contiguous() ||
        array.shape() != shapes[first + i] || array.device() != device)
      return false;
  }
  return true;
}

void Function::Impl::run(std::span<const Array* const> given, Results results,
                         runtime::Program::StepObserver* observer) const {
  if (given.size() != inputs.size())
    throw Error("function" + (options.name.empty() ? std::string() : " '" + options.name + "'") +
                    ": expected " + std::to_string(inputs.size()) + " inputs, received " +
                    std::to_string(given.size()),
                where);
  runtime::Table<const Array*> arrays(graph.inputs().size());
  std::vector<Array> made;  // what had to be converted or copied
  // What the last call's program takes has passed all checks once, and needs none again.
  const Entry* found = recent.load(std::memory_order_acquire);
  const auto written = [&](const Array* array) { return is_among(array, results.into); };
  if (found && (!found->takes(given) || std::ranges::any_of(given, written))) found = nullptr;
  if (found)
    std::ranges::copy(given, arrays.data());
  else
    convert(given, results.into, made, {arrays.data(), given.size()});

  std::optional<runtime::Lease> lease;  // a turn on the variables that this call will write
  std::vector<Array> current;
  if (!captured.empty()) {
    if (!updated.empty())
      lease.emplace(updated_nodes, read_nodes);
    else
      current = runtime::values(read_nodes);
    const Array* read = lease ? lease->reads().data() : current.data();
    for (std::size_t i = 0; i < captured.size(); ++i) {
      const int update = update_of[i];
      const Array& value = update < 0 ? *read++ : lease->value(static_cast<std::size_t>(update));
      const bool usable = value.is_contiguous() && value.device() == options.device;
      if (!usable) made.reserve(arrays.size());  // addresses stay
      if (usable)
        arrays[given.size() + i] = &value;
      else if (update >= 0 || options.device.is_cpu())
        arrays[given.size() + i] =
            &made.emplace_back(placed(value.contiguous(), *captured[i].node()));
      else
        arrays[given.size() + i] = &made.emplace_back(placed_leaf(i, value));
    }
    const std::span<const Array* const> leaves(arrays.data() + given.size(), captured.size());
    if (found && !found->takes(leaves, given.size())) found = nullptr;
  }
  if (found)
    hits.fetch_add(1, std::memory_order_relaxed);
  else
    found = &entry(arrays);
  if (found->staged) return run_staged(*found, arrays, results, lease ? &*lease : nullptr);

  const runtime::Program& program = *found->program;
  const runtime::Sizes* sizes = program.fixed();
  std::shared_ptr<const runtime::Sizes> computed;
  if (!found->exact()) {
    runtime::Table<const Shape*> shapes(arrays.size());
    for (std::size_t i = 0; i < arrays.size(); ++i) shapes[i] = &arrays[i]->shape();
    computed = program.size(shapes);
    sizes = computed.get();
  }
  const std::span<const runtime::LayoutRef> layouts = runtime::Program::output_layouts(*sizes);
  runtime::Table<void*> input_data(arrays.size()), output_data(layouts.size());
  for (std::size_t i = 0; i < arrays.size(); ++i)
    input_data[i] = const_cast<std::byte*>(arrays[i]->bytes());

  // Everything that can fail for want of memory comes before the first write.
  const auto fresh = [&](std::size_t i) {
    return Array::laid_out(program.output_dtype(i), layouts[i], options.device);
  };
  std::vector<Aside> aside;
  if (results.fresh) results.fresh->reserve(output_count);
  for (std::size_t i = 0; i < output_count; ++i) {
    const bool fits = !results.fresh &&
                      serves(results.into[i], program.output_dtype(i), layouts[i], options.device);
    const Array& output = fits && !program.may_fail_after(i) ? results.into[i]
                          : results.fresh
                              ? results.fresh->emplace_back(fresh(i))
                              : put_aside(aside, output_count, results.into[i], fresh(i), fits);
    output_data[i] = const_cast<std::byte*>(output.bytes());
  }
  std::vector<Array>
      replaced;  // new values of the variables, in place where nobody else has the old ones
  replaced.reserve(updated.size());
  for (std::size_t i = 0; i < updated.size(); ++i) {
    const std::size_t output = output_count + i;
    const Array& old = lease->value(i);
    check_update(i, program.output_dtype(output), runtime::Program::output_shapes(*sizes)[output]);
    const bool in_place =
        program.plan().donated[output] == static_cast<int>(inputs.size() + updated[i]) &&
        old.is_contiguous() && old.buffer().writable() && old.device() == options.device;
    replaced.push_back(in_place ? old : fresh(output));
    output_data[output] = const_cast<std::byte*>(replaced.back().bytes());
  }

  if (observer)
    program.run_observed(*sizes, input_data.data(), output_data.data(), *observer);
  else
    program.run(*sizes, input_data.data(), output_data.data());
  for (Aside& a : aside) a.deliver();
  if (lease) lease->commit(std::move(replaced));
}

void Function::Impl::run_staged(const Entry& entry, std::span<const Array* const> arrays,
                                Results results, runtime::Lease* lease) const {
  std::vector<Array> values = entry.staged->run(arrays);
  const auto first_update = values.begin() + static_cast<std::ptrdiff_t>(output_count);
  std::vector<Array> replaced(first_update, values.end());
  for (std::size_t i = 0; i < replaced.size(); ++i)
    check_update(i, replaced[i].dtype(), replaced[i].shape());
  if (results.fresh)
    results.fresh->assign(values.begin(), first_update);
  else
    std::move(values.begin(), first_update, results.into.begin());
  if (lease) lease->commit(std::move(replaced));
}

// ---- the public doors ---------------------------------------------------------------------------

std::vector<Array> Function::call(std::initializer_list<const Array*> inputs) const {
  std::vector<Array> outputs;
  impl().run({inputs.begin(), inputs.size()}, {.fresh = &outputs});
  return outputs;
}

std::vector<Array> Function::operator()(std::span<const Array> inputs) const {
  runtime::Table<const Array*> given(inputs.size());
  for (std::size_t i = 0; i < inputs.size(); ++i) given[i] = &inputs[i];
  std::vector<Array> outputs;
  impl().run(given, {.fresh = &outputs});
  return outputs;
}

void Function::call_into(std::span<Array> outputs, std::span<const Array> inputs) const {
  if (outputs.size() != impl().output_count)
    throw Error("call_into: expected " + std::to_string(impl().output_count) +
                    " outputs, received " + std::to_string(outputs.size()),
                impl().where);
  runtime::Table<const Array*> given(inputs.size());
  for (std::size_t i = 0; i < inputs.size(); ++i) given[i] = &inputs[i];
  impl().run(given, {.into = outputs});
}

}  // namespace weft
