#include "weft/onnx.h"

#include <filesystem>
#include <fstream>
#include <mutex>
#include <sstream>

#include "compile.h"
#include "function_impl.h"
#include "ir/builder.h"
#include "onnx/export.h"
#include "onnx/importer.h"
#include "passes/resolve.h"
#include "passes/specialize.h"
#include "runtime/reactive.h"

namespace weft::onnx {
namespace {

std::string read_file(const std::string& path, std::source_location where) {
  std::ifstream file(path, std::ios::binary);
  if (!file || std::filesystem::is_directory(path)) throw IoError("cannot read " + path, where);
  std::ostringstream content;
  if (file.peek() != std::ifstream::traits_type::eof()) content << file.rdbuf();
  if (file.bad()) throw IoError("cannot read " + path, where);
  return content.str();
}

Value to_value(const ValueDef& def) {
  if (def.tensor) return to_array(*def.tensor);
  if (!def.items) return {};
  std::vector<Value> items;
  for (const ValueDef& item : *def.items) items.push_back(to_value(item));
  return items;
}

/// A name of an extent as Dim knows them.
std::string symbol_name(const std::string& name, const std::string& otherwise) {
  const auto is_letter = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
  };
  if (name.empty() || !is_letter(name[0])) return otherwise;
  for (const char c : name)
    if (!is_letter(c) && !(c >= '0' && c <= '9')) return otherwise;
  return name;
}

/// A placeholder of the declared type; NeedsValue where that is not a tensor.
Tensor declared_input(const ValueInfoDef& info, std::size_t position) {
  if (info.type.kind != TypeDef::Kind::tensor)
    throw NeedsValue("input '" + info.name + "' is not a tensor");
  const DType dtype = dtype_of_onnx(info.type.type);
  if (!info.type.dims) return Tensor(ir::make_input({dtype, {}}, info.name));
  Dims dims;
  for (const DimDef& d : *info.type.dims)
    dims.push_back(d.value >= 0
                       ? Dim(d.value)
                       : Dim::symbol(symbol_name(d.name, "n" + std::to_string(position) + "_" +
                                                             std::to_string(dims.size()))));
  return Tensor(std::move(dims), dtype, info.name);
}

/// All extents of the inputs known, and nothing but tensors.
bool is_concrete(const std::vector<ValueInfoDef>& inputs) {
  for (const ValueInfoDef& input : inputs) {
    if (input.type.kind != TypeDef::Kind::tensor || !input.type.dims) return false;
    for (const DimDef& d : *input.type.dims)
      if (d.value < 0) return false;
  }
  return true;
}

std::string described(const Array& array) {
  return std::string(name(array.dtype())) + to_string(array.shape());
}

void check_input(const ValueInfoDef& info, const Value& value) {
  if (info.type.kind != TypeDef::Kind::tensor) return;
  const Array& array = value.array();
  if (dtype_of_onnx(info.type.type) != array.dtype())
    throw DTypeError("input '" + info.name + "' is declared as " +
                     std::string(name(dtype_of_onnx(info.type.type))) + ", and given " +
                     described(array));
  if (!info.type.dims) return;
  bool fits = info.type.dims->size() == array.shape().size();
  std::string declared;
  for (std::size_t i = 0; i < info.type.dims->size(); ++i) {
    const DimDef& d = (*info.type.dims)[i];
    fits = fits && (d.value < 0 || d.value == array.shape()[i]);
    declared += (i ? ", " : "") + (d.value < 0 ? "?" : std::to_string(d.value));
  }
  if (!fits)
    throw ShapeError("input '" + info.name + "' is declared as (" + declared + "), and given " +
                     described(array));
}

// ---- values and items, leaf by leaf -------------------------------------------------------------

/// Inputs that a graph may be built for the values of: shapes, axes, scales, conditions.
bool is_small(const Array& array) { return array.ndim() <= 1 && array.size() <= 32; }

/// Types and nesting of values, which decide what graph a model is; `by_value`: and what the small
/// ones hold.
std::string signature(const std::vector<Value>& values, bool by_value) {
  std::string text;
  for (const Value& value : values) {
    if (const Array* array = std::get_if<Array>(&value)) {
      text += described(*array);
      if (by_value && is_small(*array)) {
        const Array dense = array->to(Device::cpu()).contiguous();
        text.append("=").append(reinterpret_cast<const char*>(dense.bytes()), dense.nbytes());
      }
    } else if (!value.empty()) {
      text += "[" + signature(value.items(), by_value) + "]";
    }
    text += ";";
  }
  return text;
}

/// Items of the same nesting; `leaf` makes the tensors.
template <class Leaf> Items to_items(const std::vector<Value>& values, Leaf leaf) {
  Items items;
  for (const Value& value : values) {
    if (const Array* array = std::get_if<Array>(&value))
      items.emplace_back(leaf(*array));
    else if (value.empty())
      items.emplace_back();
    else
      items.emplace_back(to_items(value.items(), leaf));
  }
  return items;
}

template <class Leaf> std::vector<Value> to_values(const Items& items, Leaf leaf) {
  std::vector<Value> values;
  for (const Item& item : items) {
    if (const Tensor* tensor = item.tensor())
      values.emplace_back(leaf(*tensor));
    else if (const Items* inner = item.items())
      values.emplace_back(to_values(*inner, leaf));
    else
      values.emplace_back();
  }
  return values;
}

std::vector<Tensor> leaves(const Items& items) {
  std::vector<Tensor> all;
  to_values(items, [&](const Tensor& t) {
    all.push_back(t);
    return Array();
  });
  return all;
}

/// A model as one graph, for inputs of one signature.
struct Built {
  Items outputs;
  Function function;
  bool by_value;  // its inputs are those that are not small
};

/// More graphs of one model than this are not kept.
constexpr std::size_t most_built = 256;

Function unusable(const std::string& path, const std::string& why, std::source_location where) {
  const auto fail = custom_op(
      "onnx",
      {.infer =
           [](auto) {
             return std::vector<TensorType>{{DType::float32, {}}};
           },
       .forward = [message = path + ": the model is built for each run (onnx::Model::run): " + why](
                      std::span<const Array>) -> std::vector<Array> {
         throw UnsupportedOp(message);
       }});
  return Function({}, fail({Tensor(0)})[0], {.name = "onnx"}, where);
}

}  // namespace

const Array& Value::array() const {
  if (const Array* array = std::get_if<Array>(this)) return *array;
  throw DTypeError(empty() ? "an empty optional is not a tensor" : "a sequence is not a tensor");
}
const std::vector<Value>& Value::items() const {
  if (const auto* items = std::get_if<std::vector<Value>>(this)) return *items;
  throw DTypeError("a value that is not a sequence has no items");
}

struct Model::Source {
  std::string path;
  ModelDef def;
  std::vector<ValueInfoDef> inputs;  // but for initializers
  std::string needs_values = {};
  std::source_location where = {};
  Device device = {};
  mutable std::mutex mutex = {};                                           // guards `built`
  mutable std::map<std::string, std::shared_ptr<const Built>> built = {};  // null: not as one graph

  Built build(const Items& inputs, const std::vector<Tensor>& placeholders, bool by_value) const {
    Items outputs = Importer(def, path).run_model(inputs);
    Function function(placeholders, leaves(outputs), {.device = device, .name = def.graph.name},
                      where);
    return {std::move(outputs), std::move(function), by_value};
  }

  /// The graph for these types (and small values), built if there is none; null where it depends on
  /// more than that.
  std::shared_ptr<const Built> graph_for(const std::vector<Value>& values, bool by_value) const {
    const std::scoped_lock lock(mutex);
    if (built.size() >= most_built) built.clear();
    const auto [entry, fresh] =
        built.try_emplace((by_value ? "v" : "t") + signature(values, by_value));
    if (!fresh) return entry->second;
    try {
      std::vector<Tensor> placeholders;
      const Items inputs = to_items(values, [&](const Array& array) {
        if (by_value && is_small(array)) return Tensor(array);
        placeholders.emplace_back(to_dims(array.shape()), array.dtype());
        return placeholders.back();
      });
      entry->second = std::make_shared<const Built>(build(inputs, placeholders, by_value));
    } catch (const NeedsValue&) {
      // null: its graph is another one for other values
    } catch (...) {
      built.erase(entry);
      throw;
    }
    return entry->second;
  }

  /// By types where that is enough, else by small values too, else value by value.
  std::vector<Value> run(const std::vector<Value>& values) const {
    std::shared_ptr<const Built> graph = graph_for(values, false);
    if (!graph) graph = graph_for(values, true);
    if (graph) {
      std::vector<Array> arrays;
      to_items(values, [&](const Array& array) {
        if (!graph->by_value || !is_small(array)) arrays.push_back(array);
        return Tensor(0);
      });
      const std::vector<Array> results = graph->function(arrays);
      std::size_t next = 0;
      return to_values(graph->outputs, [&](const Tensor&) { return results[next++]; });
    }
    const Items inputs = to_items(values, [](const Array& array) { return Tensor(array); });
    return to_values(Importer(def, path).run_model(inputs),
                     [](const Tensor& t) { return t.value(); });
  }

  Value load(const ValueInfoDef& info, const std::string& file) const {
    try {
      ValueDef def = module().read_value(read_file(file, where), info.type);
      // NumPy has no bfloat16, so ONNX's tests store one as the integer of its bits
      if (def.tensor && info.type.type == 16 && def.tensor->type == 4) def.tensor->type = 16;
      return to_value(def);
    } catch (const ParseError& e) { throw ParseError(file + ": " + e.what()); }
  }
};

std::vector<Value> Model::run(const std::vector<Value>& values) const {
  if (values.size() != source->inputs.size())
    throw Error(source->path + ": the model takes " + std::to_string(source->inputs.size()) +
                " inputs, and is given " + std::to_string(values.size()));
  for (std::size_t i = 0; i < values.size(); ++i) check_input(source->inputs[i], values[i]);
  if (!source->needs_values.empty()) return source->run(values);
  std::vector<Array> arrays;
  for (const Value& value : values) arrays.push_back(value.array());
  std::vector<Value> results;
  for (Array& result : function(arrays)) results.emplace_back(std::move(result));
  return results;
}

const std::string& Model::needs_values() const { return source->needs_values; }
Value Model::load_input(std::size_t i, const std::string& path) const {
  return source->load(source->inputs.at(i), path);
}
Value Model::load_output(std::size_t i, const std::string& path) const {
  return source->load(source->def.graph.outputs.at(i), path);
}

Model load(const std::string& path, std::source_location where) { return load(path, {}, where); }

Model load(const std::string& path, Device device, std::source_location where) {
  const auto source = std::make_shared<Model::Source>();
  source->path = path;
  source->device = device;
  source->where = where;
  const std::string bytes = read_file(path, where);
  try {
    source->def = module().read_model(bytes, std::filesystem::path(path).parent_path().string());
  } catch (const ParseError& e) { throw ParseError(path + ": " + e.what(), where); }
  const GraphDef& graph = source->def.graph;
  for (const ValueInfoDef& input : graph.inputs) {
    bool initialized = false;
    for (const TensorDef& t : graph.initializers) initialized = initialized || t.name == input.name;
    if (!initialized) source->inputs.push_back(input);
  }
  std::vector<std::string> input_names, output_names;
  for (const ValueInfoDef& input : source->inputs) input_names.push_back(input.name);
  for (const ValueInfoDef& output : graph.outputs) output_names.push_back(output.name);
  const auto model = [&](std::vector<Tensor> inputs, std::vector<Tensor> outputs,
                         Function function) {
    return Model{std::move(inputs),      std::move(outputs),      std::move(function),
                 std::move(input_names), std::move(output_names), source};
  };
  const bool concrete = is_concrete(source->inputs);
  try {
    Items items;
    for (std::size_t i = 0; i < source->inputs.size(); ++i)
      items.emplace_back(declared_input(source->inputs[i], i));
    const std::vector<Tensor> inputs = leaves(items);
    const Built built = source->build(items, inputs, false);
    for (const Item& output : built.outputs)
      if (!output.tensor()) throw NeedsValue("an output is not a tensor");
    const std::vector<Tensor> outputs = leaves(built.outputs);
    for (std::size_t i = 0; i < outputs.size(); ++i)
      if (outputs[i].name().empty()) Tensor(outputs[i]).name(output_names[i]);
    return model(inputs, leaves(built.outputs), built.function);
  } catch (const NeedsValue& e) { source->needs_values = e.what(); } catch (const Error& e) {
    if (concrete) throw;
    source->needs_values = e.what();  // perhaps because extents are not known yet
  }
  return model({}, {}, unusable(path, source->needs_values, where));
}

void save(const std::string& path, const Function& function, std::source_location where) {
  const Function::Impl& impl = function.impl();
  if (!impl.updated.empty())
    throw UnsupportedOp("a function that updates variables cannot be written as ONNX", where);
  std::vector<ir::Type> types;
  for (const ir::NodeRef& input : impl.graph.inputs()) {
    types.push_back(runtime::live_type(*input));
    if (!types.back().known())
      throw UnsetInput("the type of " + runtime::describe(*input) +
                           " must be known for ONNX; declare its dtype and shape",
                       where);
  }
  std::vector<TensorDef> values;
  for (const Tensor& variable : impl.captured)
    values.push_back(to_tensor_def(variable.value(), variable.name()));
  const ir::Graph graph =
      passes::resolve(passes::specialize(impl.graph, types), frontend::evaluate_constants);
  std::vector<std::string> output_names;
  for (const ir::NodeRef& output : impl.graph.outputs()) output_names.push_back(output->label());
  const std::string bytes =
      module().write_model(to_model(graph, impl.inputs.size(), values, output_names));
  std::ofstream file(path, std::ios::binary);
  file << bytes;
  file.close();
  if (!file) throw IoError("cannot write " + path, where);
}

void save(const std::string& path, const std::vector<Tensor>& inputs,
          const std::vector<Tensor>& outputs, std::source_location where) {
  save(path, Function(inputs, outputs, {}, where), where);
}

Array load_tensor(const std::string& path, std::source_location where) {
  TypeDef type;
  type.kind = TypeDef::Kind::tensor;
  try {
    return to_value(module().read_value(read_file(path, where), type)).array();
  } catch (const ParseError& e) { throw ParseError(path + ": " + e.what(), where); }
}

}  // namespace weft::onnx
