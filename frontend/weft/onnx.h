// ONNX models. `load` reads one, checks it and builds it as Weft's own graph: ordinary tensors that
// differentiate, compile and print as any others do. Reading and writing needs libweft_onnx, which
// is built where Debian's libonnx-dev is; without it both throw UnsupportedOp.
#pragma once

#include <memory>
#include <source_location>
#include <string>
#include <variant>
#include <vector>

#include "weft/function.h"

namespace weft::onnx {

/// What a model takes and gives: a tensor, a sequence, or nothing (an empty optional).
struct Value : std::variant<std::monostate, Array, std::vector<Value>> {
  using Base = std::variant<std::monostate, Array, std::vector<Value>>;
  using Base::Base;
  [[nodiscard]] bool empty() const { return std::holds_alternative<std::monostate>(*this); }
  /// DTypeError where it is not a tensor.
  [[nodiscard]] const Array& array() const;
  [[nodiscard]] const std::vector<Value>& items() const;
};

struct Model {
  /// Placeholders with the types that the model declares, and what it computes from them. Where the
  /// graph depends on values (sequences, optionals, loops and branches that cannot be unrolled), it
  /// is built anew for each `run`: then there are no outputs here, and `function` only throws
  /// UnsupportedOp saying why.
  std::vector<Tensor> inputs, outputs;
  Function function;
  std::vector<std::string> input_names, output_names;

  /// One value an input, in order; any model. ShapeError, DTypeError where they do not fit.
  [[nodiscard]] std::vector<Value> run(const std::vector<Value>& values) const;
  /// Why `function` cannot be called, empty where it can.
  [[nodiscard]] const std::string& needs_values() const;
  /// Values stored as ONNX's tests store them (.pb), of the kind that input or output `i` is.
  [[nodiscard]] Value load_input(std::size_t i, const std::string& path) const;
  [[nodiscard]] Value load_output(std::size_t i, const std::string& path) const;

  struct Source;
  std::shared_ptr<const Source> source;  // the library's own use
};

/// Throws IoError, ParseError where the file is not a valid model, UnsupportedOp naming operator
/// and version, ShapeError and DTypeError naming the node.
Model load(const std::string& path, std::source_location where = std::source_location::current());
/// Its function runs on `device`; a model that is built for each run still runs on the processor
/// where its graph cannot be known beforehand.
Model load(const std::string& path, Device device,
           std::source_location where = std::source_location::current());

/// Writes a model that ONNX's checker accepts and other tools read. Inputs have declared types;
/// variables that the function reads become initializers. What ONNX has no operator for is written
/// out in simpler ones; UnsupportedOp names what cannot be.
void save(const std::string& path, const Function& function,
          std::source_location where = std::source_location::current());
void save(const std::string& path, const std::vector<Tensor>& inputs,
          const std::vector<Tensor>& outputs,
          std::source_location where = std::source_location::current());

/// A tensor stored as a TensorProto (.pb).
Array load_tensor(const std::string& path,
                  std::source_location where = std::source_location::current());

}  // namespace weft::onnx
