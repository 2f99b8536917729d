// Between protobuf messages and the plain structs. The module's own.
#pragma once

#include <onnx/onnx_pb.h>

#include "onnx/model.h"

namespace weft::onnx {

/// Throw ParseError, naming what is wrong; `folder` for external data.
TensorDef from_proto(const ::onnx::TensorProto&, const std::string& folder);
TypeDef from_proto(const ::onnx::TypeProto&);
AttributeDef from_proto(const ::onnx::AttributeProto&, const std::string& folder);
NodeDef from_proto(const ::onnx::NodeProto&, const std::string& folder);
GraphDef from_proto(const ::onnx::GraphProto&, const std::string& folder);
FunctionDef from_proto(const ::onnx::FunctionProto&, const std::string& folder);
ModelDef from_proto(const ::onnx::ModelProto&, const std::string& folder);

void to_proto(const TensorDef&, ::onnx::TensorProto&);
void to_proto(const TypeDef&, ::onnx::TypeProto&);
void to_proto(const NodeDef&, ::onnx::NodeProto&);
void to_proto(const GraphDef&, ::onnx::GraphProto&);
void to_proto(const ModelDef&, ::onnx::ModelProto&);

}  // namespace weft::onnx
