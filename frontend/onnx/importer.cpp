#include "onnx/importer.h"

#include <algorithm>
#include <cstring>

#include "apply.h"
#include "ir/ops/dynamic.h"

namespace weft::onnx {
namespace {

/// Longer chains of functions than any model has call themselves.
constexpr int max_depth = 64;

using Table = std::map<std::pair<std::string_view, std::string_view>, std::map<int, const Row*>>;

const Table& table() {
  static const Table rows = [] {
    Table all;
    for (const auto family :
         {family::pointwise, family::reduction, family::shape, family::selection, family::spatial,
          family::pooling, family::products, family::normalization, family::attention,
          family::resizing, family::recurrent, family::quantization, family::control_flow,
          family::sequences, family::signal, family::random, family::training, family::detection,
          family::text})
      for (const Row& row : family()) all[{row.domain, row.op}][row.since] = &row;
    return all;
  }();
  return rows;
}

const Row* find_row(const NodeDef& node, std::int64_t version) {
  const auto found = table().find({node.domain, node.op});
  if (found == table().end()) return nullptr;
  const Row* row = nullptr;
  for (const auto& [since, candidate] : found->second)
    if (since <= version) row = candidate;
  return row;
}

std::string spelled(const NodeDef& node) {
  return (node.domain.empty() ? "" : node.domain + "::") + node.op;
}

/// `file: node 'name' (Conv)`, how every message about a node begins.
std::string place(const std::string& file, const NodeDef& node) {
  std::string text = file + ": node ";
  if (!node.name.empty())
    text += "'" + node.name + "' ";
  else if (!node.outputs.empty())
    text += "that gives '" + node.outputs.front() + "' ";
  return text + "(" + spelled(node) + ")";
}

/// Its text without the line of the importer's own that called the operation.
std::string text_of(const Error& e) {
  std::string text = e.what();
  const std::string line = " (" + e.where().str() + ")";
  if (e.where().known() && text.ends_with(line)) text.resize(text.size() - line.size());
  return text;
}

/// Errors keep their class and say where; those of a node inside a function say that too.
template <class F> auto at_node(const std::string& file, const NodeDef& node, F make) {
  const auto message = [&](const Error& e) { return place(file, node) + ": " + text_of(e); };
  try {
    return make();
  } catch (const NeedsValue& e) { throw NeedsValue(message(e)); } catch (const ShapeError& e) {
    throw ShapeError(message(e));
  } catch (const DTypeError& e) { throw DTypeError(message(e)); } catch (const IndexError& e) {
    throw IndexError(message(e));
  } catch (const ParseError& e) { throw ParseError(message(e)); } catch (const UnsupportedOp& e) {
    throw UnsupportedOp(message(e));
  } catch (const Error& e) { throw Error(message(e)); }
}

bool shape_is_known(const Item& item) {
  const Tensor* tensor = item.tensor();
  return !tensor || tensor->node()->type().shape || tensor->has_value();
}

TypeDef type_of(const Item& item) {
  TypeDef type;
  if (const Tensor* tensor = item.tensor()) {
    type.kind = TypeDef::Kind::tensor;
    type.type = onnx_of_dtype(tensor->dtype());
    if (const auto& shape = tensor->node()->type().shape) {
      type.dims.emplace();
      for (const Dim& d : *shape) type.dims->push_back({d.constant().value_or(-1), {}});
    }
  } else if (const Items* items = item.items()) {
    type.kind = TypeDef::Kind::sequence;
    TypeDef element;
    element.kind = TypeDef::Kind::tensor;
    element.type = 1;
    if (!items->empty()) element = type_of(items->front());
    element.dims.reset();  // they may differ
    type.element = std::make_shared<const TypeDef>(std::move(element));
  }
  return type;
}

}  // namespace

// ---- elements -----------------------------------------------------------------------------------

DType dtype_of_onnx(std::int64_t type) {
  switch (type) {
    case 1: return DType::float32;
    case 2: return DType::uint8;
    case 3: return DType::int8;
    case 4: return DType::uint16;
    case 5: return DType::int16;
    case 6: return DType::int32;
    case 7: return DType::int64;
    case 9: return DType::boolean;
    case 10: return DType::float16;
    case 11: return DType::float64;
    case 12: return DType::uint32;
    case 13: return DType::uint64;
    case 14: return DType::complex64;
    case 15: return DType::complex128;
    case 16: return DType::bfloat16;
    case onnx_uint4: return DType::uint8;
    case onnx_int4: return DType::int8;
  }
  if (type == 8) throw UnsupportedOp("tensors of strings");
  throw UnsupportedOp("elements of ONNX type " + std::to_string(type));
}

std::int32_t onnx_of_dtype(DType dtype) {
  for (std::int32_t type = 1; type <= 16; ++type)
    if (type != 8 && dtype_of_onnx(type) == dtype) return type;
  return 0;
}

namespace {

/// Two integers of 4 bits a byte, the lower half first.
std::string unpacked(const TensorDef& def) {
  const auto count = static_cast<std::size_t>(element_count(def.dims));
  if (def.bytes.size() != (count + 1) / 2)
    throw ParseError("tensor '" + def.name + "' has " + std::to_string(def.bytes.size()) +
                     " bytes of data instead of " + std::to_string((count + 1) / 2));
  std::string bytes(count, '\0');
  for (std::size_t i = 0; i < count; ++i) {
    const int half = (static_cast<unsigned char>(def.bytes[i / 2]) >> (i % 2 * 4)) & 15;
    bytes[i] = static_cast<char>(def.type == onnx_int4 && half > 7 ? half - 16 : half);
  }
  return bytes;
}

}  // namespace

Array to_array(const TensorDef& packed) {
  if (packed.type == onnx_uint4 || packed.type == onnx_int4)
    return to_array(
        {packed.name, packed.type == onnx_int4 ? 3 : 2, packed.dims, unpacked(packed), {}});
  const TensorDef& def = packed;
  const DType dtype = dtype_of_onnx(def.type);
  Array array = Array::uninitialized(dtype, def.dims);
  if (array.nbytes() != def.bytes.size())
    throw ParseError("tensor '" + def.name + "' has " + std::to_string(def.bytes.size()) +
                     " bytes of data instead of " + std::to_string(array.nbytes()));
  if (def.bytes.empty()) return array;
  std::byte* const out = array.mutable_bytes();
  std::memcpy(out, def.bytes.data(), def.bytes.size());
  if (dtype == DType::boolean)
    for (std::size_t i = 0; i < def.bytes.size(); ++i) out[i] = std::byte(def.bytes[i] != 0);
  return array;
}

TensorDef to_tensor_def(const Array& array, std::string name) {
  const Array dense = array.to(Device::cpu()).contiguous();
  return {std::move(name),
          onnx_of_dtype(array.dtype()),
          array.shape(),
          std::string(reinterpret_cast<const char*>(dense.bytes()), dense.nbytes()),
          {}};
}

// ---- what is known ------------------------------------------------------------------------------

std::optional<Array> known_value(const Tensor& x) {
  if (!x.has_value()) return {};
  return x.value();
}

Dims dims_of(const Tensor& x) {
  if (const auto& shape = x.node()->type().shape) return *shape;
  if (x.has_value()) return to_dims(x.value().shape());
  throw NeedsValue("the shape of an operand depends on values");
}

Shape shape_of(const Tensor& x) {
  if (const auto shape = to_shape(dims_of(x))) return *shape;
  throw NeedsValue("the extents " + to_string(dims_of(x)) + " are not known before a call");
}

std::int64_t rank_of(const Tensor& x) { return static_cast<std::int64_t>(dims_of(x).size()); }

std::int64_t axis_of(std::int64_t axis, std::int64_t rank) {
  if (axis < -rank || axis >= rank)
    throw ShapeError("axis " + std::to_string(axis) + " of a tensor with " + std::to_string(rank) +
                     " axes");
  return axis < 0 ? axis + rank : axis;
}

Tensor scalar_like(const Tensor& x, double value) { return Array(value).to(x.dtype()); }
Tensor as(const Tensor& x, DType dtype) { return x.dtype() == dtype ? x : cast(x, dtype); }
Tensor int_vector(const std::vector<std::int64_t>& values) { return Array::from(values); }
Tensor slice_axis(const Tensor& x, std::int64_t axis, std::int64_t from, std::int64_t to) {
  return frontend::apply(ir::ops::slice_by,
                         {x, int_vector({from}), int_vector({to}), int_vector({axis})});
}

// ---- a node's operands and attributes -----------------------------------------------------------

const Item* Frame::find(const std::string& name) const {
  for (const Frame* frame = this; frame; frame = frame->outer)
    if (const auto found = frame->values.find(name); found != frame->values.end())
      return &found->second;
  return nullptr;
}

void Call::malformed(const std::string& what) const { throw ParseError(what); }
void Call::unsupported(const std::string& what) const {
  throw UnsupportedOp(what + " (version " + std::to_string(version_) + ")");
}

const Item& Call::item(std::size_t i) const {
  if (i >= operands_.size()) malformed("operand " + std::to_string(i) + " is missing");
  return operands_[i];
}

const Tensor& Call::x(std::size_t i) const {
  const Item& operand = item(i);
  if (operand.empty()) malformed("operand " + std::to_string(i) + " is missing");
  if (const Tensor* tensor = operand.tensor()) return *tensor;
  malformed("operand " + std::to_string(i) + " is a sequence, not a tensor");
}

const Items& Call::sequence(std::size_t i) const {
  if (const Items* items = item(i).items()) return *items;
  malformed("operand " + std::to_string(i) + " is not a sequence");
}

std::vector<Tensor> Call::tensors() const {
  std::vector<Tensor> all;
  for (std::size_t i = 0; i < operands_.size(); ++i) all.push_back(x(i));
  if (all.empty()) malformed("it has no operands");
  return all;
}

std::optional<Array> Call::known(std::size_t i) const { return known_value(x(i)); }

Array Call::value(std::size_t i) const {
  if (auto array = known(i)) return *array;
  throw NeedsValue("the value of operand " + std::to_string(i) + " is not known before a call");
}

std::vector<std::int64_t> Call::ints(std::size_t i) const {
  const Array array = value(i);
  if (!is_integer(array.dtype()) || array.ndim() > 1)
    malformed("operand " + std::to_string(i) + " is not a list of integers");
  return array.tolist<std::int64_t>();
}

namespace {

std::vector<std::int64_t> all_small(std::vector<std::int64_t> list) {
  constexpr std::int64_t most = std::int64_t{1} << 40;
  for (const std::int64_t x : list)
    if (x > most || x < -most) throw ShapeError(std::to_string(x) + " elements");
  return list;
}

}  // namespace

std::vector<std::int64_t> Call::small_ints(std::size_t i) const { return all_small(ints(i)); }
std::vector<std::int64_t> Call::small_integers(std::string_view name) const {
  return all_small(integers(name));
}

const AttributeDef* Call::attribute(std::string_view name) const {
  const auto in = [](const std::vector<AttributeDef>& list,
                     std::string_view wanted) -> const AttributeDef* {
    for (const AttributeDef& a : list)
      if (a.name == wanted) return &a;
    return nullptr;
  };
  const AttributeDef* found = in(node_.attributes, name);
  if (!found || found->reference.empty()) return found;
  return frame_.attributes ? in(*frame_.attributes, found->reference) : nullptr;
}

namespace {

/// The attribute where it was given; ParseError where it is of another kind.
const AttributeDef* demand(const Call& call, std::string_view name, AttributeDef::Kind kind) {
  const AttributeDef* found = call.attribute(name);
  if (found && found->kind != kind)
    call.malformed("attribute '" + std::string(name) + "' is of the wrong type");
  return found;
}

}  // namespace

std::int64_t Call::integer(std::string_view name, std::int64_t otherwise) const {
  const AttributeDef* a = demand(*this, name, AttributeDef::Kind::integer);
  return a ? a->integer : otherwise;
}
std::int64_t Call::integer(std::string_view name) const {
  const AttributeDef* a = demand(*this, name, AttributeDef::Kind::integer);
  if (!a) malformed("attribute '" + std::string(name) + "' is missing");
  return a->integer;
}
double Call::real(std::string_view name, double otherwise) const {
  const AttributeDef* a = demand(*this, name, AttributeDef::Kind::real);
  return a ? a->real : otherwise;
}
std::string Call::string(std::string_view name, std::string otherwise) const {
  const AttributeDef* a = demand(*this, name, AttributeDef::Kind::string);
  return a ? a->string : std::move(otherwise);
}
std::vector<std::int64_t> Call::integers(std::string_view name) const {
  const AttributeDef* a = demand(*this, name, AttributeDef::Kind::integers);
  return a ? a->integers : std::vector<std::int64_t>{};
}
std::vector<double> Call::reals(std::string_view name) const {
  const AttributeDef* a = demand(*this, name, AttributeDef::Kind::reals);
  return a ? a->reals : std::vector<double>{};
}
std::vector<std::string> Call::strings(std::string_view name) const {
  const AttributeDef* a = demand(*this, name, AttributeDef::Kind::strings);
  return a ? a->strings : std::vector<std::string>{};
}
const TensorDef& Call::tensor(std::string_view name) const {
  const AttributeDef* a = demand(*this, name, AttributeDef::Kind::tensor);
  if (!a || a->tensors.empty()) malformed("attribute '" + std::string(name) + "' is missing");
  return a->tensors.front();
}
const GraphDef& Call::graph(std::string_view name) const {
  const AttributeDef* a = demand(*this, name, AttributeDef::Kind::graph);
  if (!a || a->graphs.empty()) malformed("attribute '" + std::string(name) + "' is missing");
  return *a->graphs.front();
}

// ---- graphs -------------------------------------------------------------------------------------

Importer::Importer(const ModelDef& model, std::string name)
    : model_(model), name_(std::move(name)) {}

void Importer::define(Frame& frame, const std::string& name, Item value) const {
  if (!frame.values.emplace(name, std::move(value)).second)
    throw ParseError(name_ + ": '" + name + "' is defined twice");
}

Items Importer::collect(const std::vector<ValueInfoDef>& outputs, const Frame& frame,
                        const std::string& graph) const {
  Items results;
  for (const ValueInfoDef& output : outputs) {
    const Item* value = frame.find(output.name);
    if (!value)
      throw ParseError(name_ + ": nothing gives the output '" + output.name + "' of graph '" +
                       graph + "'");
    results.push_back(*value);
  }
  return results;
}

Items Importer::run_model(const Items& inputs) {
  Frame frame{nullptr, &model_.opsets};
  const GraphDef& graph = model_.graph;
  for (const TensorDef& t : graph.initializers) define(frame, t.name, Tensor(to_array(t)));
  std::size_t given = 0;
  for (const ValueInfoDef& input : graph.inputs)
    if (!frame.values.contains(input.name)) define(frame, input.name, inputs.at(given++));
  run(graph.nodes, frame);
  return collect(graph.outputs, frame, graph.name);
}

std::int64_t Importer::declared_type(const std::string& tensor) const {
  for (const TensorDef& t : model_.graph.initializers)
    if (t.name == tensor) return t.type;
  for (const ValueInfoDef& input : model_.graph.inputs)
    if (input.name == tensor) return input.type.type;
  return 0;
}

Items Importer::run_graph(const GraphDef& graph, const Items& inputs, const Frame& outer) {
  Frame frame{&outer, outer.opsets, outer.attributes, outer.depth};
  if (graph.inputs.size() != inputs.size())
    throw ParseError("graph '" + graph.name + "' has " + std::to_string(graph.inputs.size()) +
                     " inputs, and is given " + std::to_string(inputs.size()));
  for (const TensorDef& t : graph.initializers) define(frame, t.name, Tensor(to_array(t)));
  for (std::size_t i = 0; i < inputs.size(); ++i) define(frame, graph.inputs[i].name, inputs[i]);
  run(graph.nodes, frame);
  return collect(graph.outputs, frame, graph.name);
}

Items Importer::run_function(const FunctionDef& function, const Call& call) {
  if (call.frame().depth >= max_depth)
    throw ParseError("function '" + function.name + "' calls itself");
  std::vector<AttributeDef> attributes;
  for (const AttributeDef& a : call.node().attributes)
    if (const AttributeDef* value = call.attribute(a.name)) {
      attributes.push_back(*value);
      attributes.back().name = a.name;
      attributes.back().reference.clear();
    }
  for (const AttributeDef& a : function.defaults)
    if (!call.has(a.name)) attributes.push_back(a);
  Frame frame{nullptr, function.opsets.empty() ? call.frame().opsets : &function.opsets,
              &attributes, call.frame().depth + 1};
  for (std::size_t i = 0; i < function.inputs.size(); ++i)
    define(frame, function.inputs[i], i < call.count() ? call.item(i) : Item());
  run(function.nodes, frame);
  Items results;
  for (const std::string& output : function.outputs) {
    const Item* value = frame.find(output);
    results.push_back(value ? *value : Item());
  }
  return results;
}

void Importer::run(std::span<const NodeDef> nodes, Frame& frame) {
  for (const NodeDef& node : nodes)
    at_node(name_, node, [&] {
      Items results = run_node(node, frame);
      for (std::size_t i = 0; i < node.outputs.size(); ++i) {
        if (node.outputs[i].empty()) continue;
        if (i >= results.size())
          throw ParseError("it names " + std::to_string(node.outputs.size()) + " results and has " +
                           std::to_string(results.size()));
        define(frame, node.outputs[i], std::move(results[i]));
      }
    });
}

Items Importer::run_node(const NodeDef& node, Frame& frame) {
  std::int64_t version = 0;
  bool imported = false;
  for (const auto& [domain, number] : *frame.opsets)
    if (domain == node.domain) version = number, imported = true;
  if (!imported) {  // functions of the standard name their own operator sets, not always all
    if (!frame.attributes && node.domain.empty())
      throw ParseError("the model does not import the operators of ONNX");
    for (const auto& [domain, number] : model_.opsets)
      if (domain == node.domain) version = number;
  }
  Items operands;
  for (const std::string& input : node.inputs) {
    const Item* value = input.empty() ? nullptr : frame.find(input);
    if (!value && !input.empty())
      throw ParseError("its operand '" + input +
                       "' is nowhere before it (graphs are in order, and have no cycles)");
    operands.push_back(value ? *value : Item());
  }
  const bool known = std::ranges::all_of(operands, shape_is_known);
  try {
    return dispatch(Call(*this, frame, node, version, std::move(operands)));
  } catch (const NeedsValue&) { throw; } catch (const ParseError&) {
    throw;
  } catch (const Error& e) {
    if (known) throw;
    throw NeedsValue(text_of(e));  // with the shape at hand there may be nothing amiss
  }
}

Items Importer::dispatch(const Call& call) {
  const NodeDef& node = call.node();
  for (const FunctionDef& function : model_.functions)
    if (function.name == node.op && function.domain == node.domain)
      return run_function(function, call);
  if (const Row* row = find_row(node, call.version()))
    return row->one ? Items{row->one(call)} : row->many(call);
  NodeDef resolved = node;
  resolved.attributes.clear();
  for (const AttributeDef& a : node.attributes)
    if (const AttributeDef* value = call.attribute(a.name)) {
      resolved.attributes.push_back(*value);
      resolved.attributes.back().name = a.name;
    }
  std::vector<TypeDef> types;
  for (const Item& operand : call.operands()) types.push_back(type_of(operand));
  if (const auto function = module().body(resolved, call.version(), types))
    return run_function(*function, call);
  throw UnsupportedOp("the operator " + spelled(node) + " of version " +
                      std::to_string(call.version()) + " is not available");
}

}  // namespace weft::onnx
