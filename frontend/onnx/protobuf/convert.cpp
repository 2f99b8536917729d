#include "onnx/protobuf/convert.h"

#include <cstring>
#include <filesystem>
#include <fstream>

#include "ir/error.h"

namespace weft::onnx {
namespace {

namespace fs = std::filesystem;
namespace pb = ::onnx;

/// Bytes of one element by type; 0 of strings, and of what is not known or packed in halves.
std::size_t element_size(std::int32_t type) {
  constexpr std::size_t sizes[] = {0, 4, 1, 1, 2, 2, 4, 8, 0, 1, 2, 8, 4, 8, 8, 16, 2, 1, 1, 1, 1};
  return type > 0 && type < static_cast<std::int32_t>(std::size(sizes)) ? sizes[type] : 0;
}

std::string named(const pb::TensorProto& t) {
  return t.name().empty() ? "a tensor" : "tensor '" + t.name() + "'";
}

std::int64_t count_of(const pb::TensorProto& t) {
  std::int64_t count = 1;
  bool none = false;
  for (const std::int64_t n : t.dims()) {
    if (n < 0) throw ParseError(named(t) + " has the negative extent " + std::to_string(n));
    none = none || n == 0;
  }
  if (none) return 0;
  for (const std::int64_t n : t.dims())
    if (__builtin_mul_overflow(count, n, &count))
      throw ParseError(named(t) + " has more elements than a machine can count");
  return count;
}

/// Elements that protobuf stores wider than they are.
template <class Stored, class Wide>
std::string narrowed(const google::protobuf::RepeatedField<Wide>& values) {
  std::string bytes(static_cast<std::size_t>(values.size()) * sizeof(Stored), '\0');
  for (int i = 0; i < values.size(); ++i) {
    const auto value = static_cast<Stored>(values[i]);
    std::memcpy(bytes.data() + static_cast<std::size_t>(i) * sizeof(Stored), &value, sizeof value);
  }
  return bytes;
}

std::string typed_bytes(const pb::TensorProto& t) {
  switch (t.data_type()) {
    case pb::TensorProto::FLOAT:
    case pb::TensorProto::COMPLEX64: return narrowed<float>(t.float_data());
    case pb::TensorProto::DOUBLE:
    case pb::TensorProto::COMPLEX128: return narrowed<double>(t.double_data());
    case pb::TensorProto::UINT8: return narrowed<std::uint8_t>(t.int32_data());
    case pb::TensorProto::INT8: return narrowed<std::int8_t>(t.int32_data());
    case pb::TensorProto::UINT16:
    case pb::TensorProto::FLOAT16:
    case pb::TensorProto::BFLOAT16: return narrowed<std::uint16_t>(t.int32_data());
    case pb::TensorProto::INT16: return narrowed<std::int16_t>(t.int32_data());
    case pb::TensorProto::INT32: return narrowed<std::int32_t>(t.int32_data());
    case pb::TensorProto::BOOL: return narrowed<std::uint8_t>(t.int32_data());
    case pb::TensorProto::INT64: return narrowed<std::int64_t>(t.int64_data());
    case pb::TensorProto::UINT32: return narrowed<std::uint32_t>(t.uint64_data());
    case pb::TensorProto::UINT64: return narrowed<std::uint64_t>(t.uint64_data());
  }
  return narrowed<std::uint8_t>(t.int32_data());
}

std::uint64_t number(const pb::TensorProto& t, const std::string& text) {
  try {
    std::size_t used = 0;
    const std::uint64_t value = std::stoull(text, &used);
    if (used == text.size() && text[0] != '-') return value;
  } catch (const std::exception&) {}
  throw ParseError(named(t) + ": '" + text + "' is not a place in a file");
}

/// A file beside the model, never one outside of its folder.
std::string external_bytes(const pb::TensorProto& t, const std::string& folder,
                           std::uint64_t expected) {
  std::string location;
  std::uint64_t offset = 0, length = expected;
  for (const pb::StringStringEntryProto& entry : t.external_data()) {
    if (entry.key() == "location") location = entry.value();
    if (entry.key() == "offset") offset = number(t, entry.value());
    if (entry.key() == "length") length = number(t, entry.value());
  }
  const fs::path relative(location);
  bool inside = !location.empty() && relative.is_relative();
  for (const fs::path& part : relative) inside = inside && part != "..";
  if (!inside)
    throw ParseError(named(t) + ": its data lie in '" + location +
                     "', which is not a file in the model's folder");
  const fs::path path = fs::path(folder) / relative;
  std::error_code failed;
  const std::uintmax_t size = fs::file_size(path, failed);
  if (failed || !fs::is_regular_file(path)) throw IoError("cannot read " + path.string());
  if (length != expected || offset > size || length > size - offset)
    throw ParseError(named(t) + ": " + path.string() + " does not hold its " +
                     std::to_string(expected) + " bytes at " + std::to_string(offset));
  std::ifstream file(path, std::ios::binary);
  std::string bytes(length, '\0');
  file.seekg(static_cast<std::streamoff>(offset));
  if (!file.read(bytes.data(), static_cast<std::streamsize>(length)))
    throw IoError("cannot read " + path.string());
  return bytes;
}

}  // namespace

TensorDef from_proto(const pb::TensorProto& t, const std::string& folder) {
  TensorDef result;
  result.name = t.name();
  result.type = t.data_type();
  result.dims.assign(t.dims().begin(), t.dims().end());
  const std::int64_t count = count_of(t);
  if (t.data_type() == pb::TensorProto::STRING) {
    result.strings.assign(t.string_data().begin(), t.string_data().end());
    if (static_cast<std::int64_t>(result.strings.size()) != count)
      throw ParseError(named(t) + " has " + std::to_string(result.strings.size()) +
                       " strings instead of " + std::to_string(count));
    return result;
  }
  const std::size_t size = element_size(t.data_type());
  std::int64_t expected = 0;
  if (__builtin_mul_overflow(count, static_cast<std::int64_t>(size), &expected))
    throw ParseError(named(t) + " has more bytes than a machine can count");
  if (t.data_location() == pb::TensorProto::EXTERNAL)
    result.bytes = external_bytes(t, folder, static_cast<std::uint64_t>(expected));
  else
    result.bytes = t.has_raw_data() ? t.raw_data() : typed_bytes(t);
  if (size != 0 && static_cast<std::int64_t>(result.bytes.size()) != expected)
    throw ParseError(named(t) + " has " + std::to_string(result.bytes.size()) +
                     " bytes of data instead of " + std::to_string(expected));
  return result;
}

TypeDef from_proto(const pb::TypeProto& t) {
  TypeDef result;
  switch (t.value_case()) {
    case pb::TypeProto::kTensorType:
      result.kind = TypeDef::Kind::tensor;
      result.type = t.tensor_type().elem_type();
      if (t.tensor_type().has_shape()) {
        result.dims.emplace();
        for (const pb::TensorShapeProto::Dimension& d : t.tensor_type().shape().dim())
          result.dims->push_back({d.has_dim_value() ? d.dim_value() : -1, d.dim_param()});
      }
      break;
    case pb::TypeProto::kSequenceType:
      result.kind = TypeDef::Kind::sequence;
      result.element = std::make_shared<TypeDef>(from_proto(t.sequence_type().elem_type()));
      break;
    case pb::TypeProto::kOptionalType:
      result.kind = TypeDef::Kind::optional;
      result.element = std::make_shared<TypeDef>(from_proto(t.optional_type().elem_type()));
      break;
    case pb::TypeProto::kMapType:
    case pb::TypeProto::kSparseTensorType:
    case pb::TypeProto::kOpaqueType: result.kind = TypeDef::Kind::other; break;
    case pb::TypeProto::VALUE_NOT_SET: break;
  }
  return result;
}

AttributeDef from_proto(const pb::AttributeProto& a, const std::string& folder) {
  using Kind = AttributeDef::Kind;
  AttributeDef result;
  result.name = a.name();
  result.reference = a.ref_attr_name();
  switch (a.type()) {
    case pb::AttributeProto::UNDEFINED: break;
    case pb::AttributeProto::FLOAT: result.kind = Kind::real, result.real = a.f(); break;
    case pb::AttributeProto::INT: result.kind = Kind::integer, result.integer = a.i(); break;
    case pb::AttributeProto::STRING: result.kind = Kind::string, result.string = a.s(); break;
    case pb::AttributeProto::TENSOR:
      result.kind = Kind::tensor;
      if (a.has_t()) result.tensors.push_back(from_proto(a.t(), folder));
      break;
    case pb::AttributeProto::GRAPH:
      result.kind = Kind::graph;
      if (a.has_g()) result.graphs.push_back(std::make_shared<GraphDef>(from_proto(a.g(), folder)));
      break;
    case pb::AttributeProto::FLOATS:
      result.kind = Kind::reals;
      result.reals.assign(a.floats().begin(), a.floats().end());
      break;
    case pb::AttributeProto::INTS:
      result.kind = Kind::integers;
      result.integers.assign(a.ints().begin(), a.ints().end());
      break;
    case pb::AttributeProto::STRINGS:
      result.kind = Kind::strings;
      result.strings.assign(a.strings().begin(), a.strings().end());
      break;
    case pb::AttributeProto::TENSORS:
      result.kind = Kind::tensors;
      for (const pb::TensorProto& t : a.tensors()) result.tensors.push_back(from_proto(t, folder));
      break;
    case pb::AttributeProto::GRAPHS:
      result.kind = Kind::graphs;
      for (const pb::GraphProto& g : a.graphs())
        result.graphs.push_back(std::make_shared<GraphDef>(from_proto(g, folder)));
      break;
    case pb::AttributeProto::TYPE_PROTO:
      result.kind = Kind::type;
      result.type = from_proto(a.tp());
      break;
    case pb::AttributeProto::SPARSE_TENSOR:
    case pb::AttributeProto::SPARSE_TENSORS:
    case pb::AttributeProto::TYPE_PROTOS: result.kind = Kind::other; break;
  }
  return result;
}

NodeDef from_proto(const pb::NodeProto& n, const std::string& folder) {
  NodeDef result{n.name(), n.op_type(), n.domain() == "ai.onnx" ? "" : n.domain(), {}, {}, {}};
  result.inputs.assign(n.input().begin(), n.input().end());
  result.outputs.assign(n.output().begin(), n.output().end());
  for (const pb::AttributeProto& a : n.attribute())
    result.attributes.push_back(from_proto(a, folder));
  return result;
}

GraphDef from_proto(const pb::GraphProto& g, const std::string& folder) {
  GraphDef result;
  result.name = g.name();
  for (const pb::NodeProto& n : g.node()) result.nodes.push_back(from_proto(n, folder));
  for (const pb::TensorProto& t : g.initializer())
    result.initializers.push_back(from_proto(t, folder));
  if (g.sparse_initializer_size() > 0)
    throw UnsupportedOp("graph '" + g.name() + "' has sparse initializers");
  for (const pb::ValueInfoProto& v : g.input())
    result.inputs.push_back({v.name(), from_proto(v.type())});
  for (const pb::ValueInfoProto& v : g.output())
    result.outputs.push_back({v.name(), from_proto(v.type())});
  return result;
}

namespace {

template <class Imports> std::vector<OpsetDef> opsets_of(const Imports& imports) {
  std::vector<OpsetDef> result;
  for (const pb::OperatorSetIdProto& o : imports)
    result.emplace_back(o.domain() == "ai.onnx" ? "" : o.domain(), o.version());
  return result;
}

}  // namespace

FunctionDef from_proto(const pb::FunctionProto& f, const std::string& folder) {
  FunctionDef result;
  result.name = f.name();
  result.domain = f.domain() == "ai.onnx" ? "" : f.domain();
  result.inputs.assign(f.input().begin(), f.input().end());
  result.outputs.assign(f.output().begin(), f.output().end());
  for (const pb::NodeProto& n : f.node()) result.nodes.push_back(from_proto(n, folder));
  result.opsets = opsets_of(f.opset_import());
  return result;
}

ModelDef from_proto(const pb::ModelProto& m, const std::string& folder) {
  ModelDef result;
  result.ir_version = m.ir_version();
  result.producer = m.producer_name();
  result.opsets = opsets_of(m.opset_import());
  result.graph = from_proto(m.graph(), folder);
  for (const pb::FunctionProto& f : m.functions())
    result.functions.push_back(from_proto(f, folder));
  return result;
}

// ---- the other way ------------------------------------------------------------------------------

void to_proto(const TensorDef& t, pb::TensorProto& out) {
  if (!t.name.empty()) out.set_name(t.name);
  out.set_data_type(t.type);
  for (const std::int64_t n : t.dims) out.add_dims(n);
  if (t.type == pb::TensorProto::STRING)
    for (const std::string& s : t.strings) out.add_string_data(s);
  else
    out.set_raw_data(t.bytes);
}

void to_proto(const TypeDef& t, pb::TypeProto& out) {
  switch (t.kind) {
    case TypeDef::Kind::none:
    case TypeDef::Kind::other: break;
    case TypeDef::Kind::tensor: {
      pb::TypeProto::Tensor* tensor = out.mutable_tensor_type();
      tensor->set_elem_type(t.type);
      if (!t.dims) break;
      pb::TensorShapeProto* shape = tensor->mutable_shape();
      for (const DimDef& d : *t.dims) {
        pb::TensorShapeProto::Dimension* dim = shape->add_dim();
        if (d.value >= 0)
          dim->set_dim_value(d.value);
        else if (!d.name.empty())
          dim->set_dim_param(d.name);
      }
      break;
    }
    case TypeDef::Kind::sequence:
      to_proto(*t.element, *out.mutable_sequence_type()->mutable_elem_type());
      break;
    case TypeDef::Kind::optional:
      to_proto(*t.element, *out.mutable_optional_type()->mutable_elem_type());
      break;
  }
}

namespace {

void to_proto(const AttributeDef& a, pb::AttributeProto& out) {
  using Kind = AttributeDef::Kind;
  out.set_name(a.name);
  switch (a.kind) {
    case Kind::none:
    case Kind::other: throw UnsupportedOp("attribute '" + a.name + "' cannot be written");
    case Kind::real:
      out.set_type(pb::AttributeProto::FLOAT);
      out.set_f(static_cast<float>(a.real));
      break;
    case Kind::integer:
      out.set_type(pb::AttributeProto::INT);
      out.set_i(a.integer);
      break;
    case Kind::string:
      out.set_type(pb::AttributeProto::STRING);
      out.set_s(a.string);
      break;
    case Kind::tensor:
      out.set_type(pb::AttributeProto::TENSOR);
      to_proto(a.tensors.at(0), *out.mutable_t());
      break;
    case Kind::graph:
      out.set_type(pb::AttributeProto::GRAPH);
      to_proto(*a.graphs.at(0), *out.mutable_g());
      break;
    case Kind::reals:
      out.set_type(pb::AttributeProto::FLOATS);
      for (const double x : a.reals) out.add_floats(static_cast<float>(x));
      break;
    case Kind::integers:
      out.set_type(pb::AttributeProto::INTS);
      for (const std::int64_t x : a.integers) out.add_ints(x);
      break;
    case Kind::strings:
      out.set_type(pb::AttributeProto::STRINGS);
      for (const std::string& x : a.strings) out.add_strings(x);
      break;
    case Kind::tensors:
      out.set_type(pb::AttributeProto::TENSORS);
      for (const TensorDef& x : a.tensors) to_proto(x, *out.add_tensors());
      break;
    case Kind::graphs:
      out.set_type(pb::AttributeProto::GRAPHS);
      for (const auto& x : a.graphs) to_proto(*x, *out.add_graphs());
      break;
    case Kind::type:
      out.set_type(pb::AttributeProto::TYPE_PROTO);
      to_proto(a.type, *out.mutable_tp());
      break;
  }
  if (!a.reference.empty()) out.set_ref_attr_name(a.reference);
}

}  // namespace

void to_proto(const NodeDef& n, pb::NodeProto& out) {
  if (!n.name.empty()) out.set_name(n.name);
  out.set_op_type(n.op);
  if (!n.domain.empty()) out.set_domain(n.domain);
  for (const std::string& name : n.inputs) out.add_input(name);
  for (const std::string& name : n.outputs) out.add_output(name);
  for (const AttributeDef& a : n.attributes) to_proto(a, *out.add_attribute());
}

void to_proto(const GraphDef& g, pb::GraphProto& out) {
  out.set_name(g.name);
  for (const NodeDef& n : g.nodes) to_proto(n, *out.add_node());
  for (const TensorDef& t : g.initializers) to_proto(t, *out.add_initializer());
  const auto infos = [](const std::vector<ValueInfoDef>& values, auto add) {
    for (const ValueInfoDef& v : values) {
      pb::ValueInfoProto* info = add();
      info->set_name(v.name);
      to_proto(v.type, *info->mutable_type());
    }
  };
  infos(g.inputs, [&] { return out.add_input(); });
  infos(g.outputs, [&] { return out.add_output(); });
}

void to_proto(const ModelDef& m, pb::ModelProto& out) {
  out.set_ir_version(m.ir_version);
  out.set_producer_name(m.producer);
  for (const auto& [domain, version] : m.opsets) {
    pb::OperatorSetIdProto* opset = out.add_opset_import();
    opset->set_domain(domain);
    opset->set_version(version);
  }
  to_proto(m.graph, *out.mutable_graph());
}

}  // namespace weft::onnx
