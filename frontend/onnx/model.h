// ONNX's data model as plain C++: what the protobuf module hands over and takes. Names are ONNX's;
// a `type` of an element is a number of TensorProto.DataType. Nothing here is checked beyond what
// each comment says.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace weft::onnx {

/// Domain ("" is ONNX's own) and version.
using OpsetDef = std::pair<std::string, std::int64_t>;

/// Row-major little-endian elements, as many as `dims` say; of strings in `strings` instead.
struct TensorDef {
  std::string name;
  std::int32_t type = 0;
  std::vector<std::int64_t> dims;
  std::string bytes;
  std::vector<std::string> strings;
};

struct DimDef {
  std::int64_t value = -1;  // unknown where negative
  std::string name;         // of an unknown extent, perhaps
};

struct TypeDef {
  enum class Kind : std::uint8_t { none, tensor, sequence, optional, other };
  Kind kind = Kind::none;
  std::int32_t type = 0;                    // tensor: of its elements
  std::optional<std::vector<DimDef>> dims;  // tensor
  std::shared_ptr<const TypeDef> element;   // sequence, optional
};

struct ValueInfoDef {
  std::string name;
  TypeDef type;
};

struct GraphDef;

struct AttributeDef {
  enum class Kind : std::uint8_t {
    none,
    real,
    integer,
    string,
    tensor,
    graph,
    reals,
    integers,
    strings,
    tensors,
    graphs,
    type,
    other
  };
  std::string name;
  std::string reference;  // inside a function: the attribute of the caller that it stands for
  Kind kind = Kind::none;
  double real = 0;
  std::int64_t integer = 0;
  std::string string;
  std::vector<TensorDef> tensors;                       // tensor: one
  std::vector<std::shared_ptr<const GraphDef>> graphs;  // graph: one
  std::vector<double> reals;
  std::vector<std::int64_t> integers;
  std::vector<std::string> strings;
  TypeDef type;
};

struct NodeDef {
  std::string name, op, domain;
  std::vector<std::string> inputs, outputs;  // an empty name: left out
  std::vector<AttributeDef> attributes;
};

struct GraphDef {
  std::string name;
  std::vector<NodeDef> nodes;
  std::vector<TensorDef> initializers;
  std::vector<ValueInfoDef> inputs, outputs;
};

struct FunctionDef {
  std::string name, domain;
  std::vector<std::string> inputs, outputs;
  std::vector<AttributeDef> defaults;  // of attributes that a caller may leave out
  std::vector<NodeDef> nodes;
  std::vector<OpsetDef> opsets;  // empty: the caller's
};

struct ModelDef {
  std::int64_t ir_version = 8;
  std::string producer;
  std::vector<OpsetDef> opsets;
  GraphDef graph;
  std::vector<FunctionDef> functions;
};

/// A stored value (`.pb`): a tensor, a list of values, or nothing.
struct ValueDef {
  std::optional<TensorDef> tensor;
  std::optional<std::vector<ValueDef>> items;
};

}  // namespace weft::onnx
