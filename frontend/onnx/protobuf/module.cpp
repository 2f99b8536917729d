#include "onnx/module.h"

#include <google/protobuf/io/coded_stream.h>
#include <onnx/checker.h>
#include <onnx/defs/function.h>
#include <onnx/defs/schema.h>
#include <onnx/onnx-data_pb.h>
#include <onnx/shape_inference/implementation.h>

#include <algorithm>
#include <limits>
#include <map>

#include "ir/error.h"
#include "onnx/protobuf/convert.h"

namespace weft::onnx {
namespace {

namespace pb = ::onnx;

template <class Message> Message parsed(std::string_view bytes, const char* what) {
  if (bytes.size() > static_cast<std::size_t>(std::numeric_limits<int>::max()))
    throw ParseError(std::string(what) + " is larger than protobuf's 2 GB");
  Message message;
  google::protobuf::LogSilencer quiet;  // the exception says it
  if (!message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())))
    throw ParseError(std::string("this is not ") + what + " of ONNX (or it is cut off)");
  return message;
}

/// What ONNX's library throws, as ours.
template <class F> auto checked(F check) {
  try {
    return check();
  } catch (const weft::Error&) { throw; } catch (const std::exception& e) {
    std::string message = e.what();  // of several lines
    std::ranges::replace(message, '\n', ' ');
    throw ParseError(message);
  }
}

/// Whether the checker has schemas of these versions: it cannot judge newer ones.
bool known_versions(const pb::ModelProto& model) {
  if (model.ir_version() > pb::IR_VERSION) return false;
  const auto& ranges = pb::OpSchemaRegistry::DomainToVersionRange::Instance().Map();
  for (const pb::OperatorSetIdProto& opset : model.opset_import()) {
    const auto range = ranges.find(opset.domain() == "ai.onnx" ? "" : opset.domain());
    if (range != ranges.end() && opset.version() > range->second.second) return false;
  }
  return true;
}

ValueDef sequence_value(const pb::SequenceProto&);

ValueDef optional_value(const pb::OptionalProto& o) {
  if (o.has_tensor_value()) return {from_proto(o.tensor_value(), {}), {}};
  if (o.has_sequence_value()) return sequence_value(o.sequence_value());
  if (o.has_optional_value()) return optional_value(o.optional_value());
  return {};
}

ValueDef sequence_value(const pb::SequenceProto& s) {
  ValueDef result;
  result.items.emplace();
  for (const pb::TensorProto& t : s.tensor_values())
    result.items->push_back({from_proto(t, {}), {}});
  for (const pb::SequenceProto& x : s.sequence_values()) result.items->push_back(sequence_value(x));
  for (const pb::OptionalProto& x : s.optional_values()) result.items->push_back(optional_value(x));
  return result;
}

class OnnxModule final : public Module {
 public:
  [[nodiscard]] ModelDef read_model(std::string_view bytes,
                                    const std::string& folder) const override {
    const auto model = parsed<pb::ModelProto>(bytes, "a model");
    if (!model.has_graph()) throw ParseError("this is not a model of ONNX: it has no graph");
    ModelDef result = from_proto(model, folder);
    if (known_versions(model)) checked([&] { pb::checker::check_model(model); });
    return result;
  }

  [[nodiscard]] std::string write_model(const ModelDef& def, bool check) const override {
    pb::ModelProto model;
    to_proto(def, model);
    if (check)
      checked([&] {
        pb::checker::check_model(model);
        pb::ModelProto inferred = model;
        pb::shape_inference::InferShapes(inferred, pb::OpSchemaRegistry::Instance(),
                                         {true, 1, false});
      });
    return model.SerializeAsString();
  }

  [[nodiscard]] ValueDef read_value(std::string_view bytes, const TypeDef& type) const override {
    switch (type.kind) {
      case TypeDef::Kind::none:
      case TypeDef::Kind::tensor:
        return {from_proto(parsed<pb::TensorProto>(bytes, "a tensor"), {}), {}};
      case TypeDef::Kind::sequence:
        return sequence_value(parsed<pb::SequenceProto>(bytes, "a sequence"));
      case TypeDef::Kind::optional:
        return optional_value(parsed<pb::OptionalProto>(bytes, "an optional value"));
      case TypeDef::Kind::other: break;
    }
    throw UnsupportedOp("maps and sparse tensors cannot be read");
  }

  [[nodiscard]] std::string write_tensor(const TensorDef& def) const override {
    pb::TensorProto tensor;
    to_proto(def, tensor);
    return tensor.SerializeAsString();
  }

  [[nodiscard]] std::optional<FunctionDef> body(
      const NodeDef& node, std::int64_t version,
      const std::vector<TypeDef>& operands) const override {
    const pb::OpSchema* schema =
        pb::OpSchemaRegistry::Schema(node.op, static_cast<int>(version), node.domain);
    if (!schema) return {};
    pb::FunctionProto function;
    const bool found = checked([&] {
      if (schema->HasFunction()) {
        function = *schema->GetFunction();
        return true;
      }
      if (!schema->HasContextDependentFunction()) return false;
      pb::NodeProto proto;
      to_proto(node, proto);
      std::vector<pb::TypeProto> types(operands.size());
      for (std::size_t i = 0; i < operands.size(); ++i) to_proto(operands[i], types[i]);
      const pb::FunctionBodyBuildContextImpl context(proto, types);
      return schema->BuildContextDependentFunction(context, function);
    });
    if (!found) return {};
    FunctionDef result = from_proto(function, {});
    for (const auto& [name, attribute] : schema->attributes())
      if (attribute.default_value.type() != pb::AttributeProto::UNDEFINED) {
        result.defaults.push_back(from_proto(attribute.default_value, {}));
        result.defaults.back().name = name;
      }
    return result;
  }

  [[nodiscard]] bool knows(const std::string& domain, const std::string& op) const override {
    return pb::OpSchemaRegistry::Schema(op, domain) != nullptr;
  }
};

}  // namespace
}  // namespace weft::onnx

extern "C" __attribute__((visibility("default"))) const weft::onnx::Module* weft_onnx_module() {
  static const weft::onnx::OnnxModule instance;
  return &instance;
}
