// The protobuf module, libweft_onnx: the one place that sees protobuf and ONNX's own library (its
// checker, its schemas and their function bodies). Opened when the first model is read or written;
// libweft itself links neither.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "onnx/model.h"

namespace weft::onnx {

class Module {
 public:
  virtual ~Module() = default;
  /// Parses and, where every operator set is one that the library knows, checks. `folder` holds the
  /// files of external data. Throws ParseError, IoError.
  [[nodiscard]] virtual ModelDef read_model(std::string_view bytes,
                                            const std::string& folder) const = 0;
  /// Throws ParseError where ONNX's checker refuses the model (unless told not to ask it).
  [[nodiscard]] virtual std::string write_model(const ModelDef&, bool check = true) const = 0;
  /// A TensorProto, SequenceProto or OptionalProto, as `type` says. Throws ParseError.
  [[nodiscard]] virtual ValueDef read_value(std::string_view bytes, const TypeDef& type) const = 0;
  [[nodiscard]] virtual std::string write_tensor(const TensorDef&) const = 0;
  /// How the standard writes `node`, of a version of its domain, in other operators; nothing where
  /// it does not say.
  [[nodiscard]] virtual std::optional<FunctionDef> body(
      const NodeDef& node, std::int64_t version, const std::vector<TypeDef>& operands) const = 0;
  /// Whether the library has a schema of that operator at any version.
  [[nodiscard]] virtual bool knows(const std::string& domain, const std::string& op) const = 0;
};

/// Throws UnsupportedOp where it is not installed, saying what to do about that.
const Module& module();

}  // namespace weft::onnx
