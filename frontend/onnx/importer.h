// From ONNX's structs to Weft's tensors. An operator is one `Row` in the file of its family
// (import_*.cpp): its name, the first version of it that the row reads, and a function that makes
// its results with Weft's public operations. Operators without a row are expanded as the standard
// (or the model's own functions) writes them.
//
// Values that are known while importing (constants, shapes, everything when a model is imported
// for one call) are computed at once; `NeedsValue` says that one which is not known decides what
// the graph is.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>
#include <vector>

#include "onnx/module.h"
#include "weft/weft.h"

namespace weft::onnx {

/// A tensor, a sequence, or nothing (an operand left out, an empty optional).
struct Item : std::variant<std::monostate, Tensor, std::vector<Item>> {
  using Base = std::variant<std::monostate, Tensor, std::vector<Item>>;
  using Base::Base;
  [[nodiscard]] bool empty() const { return std::holds_alternative<std::monostate>(*this); }
  [[nodiscard]] const Tensor* tensor() const { return std::get_if<Tensor>(this); }
  [[nodiscard]] const std::vector<Item>* items() const {
    return std::get_if<std::vector<Item>>(this);
  }
};
using Items = std::vector<Item>;

class NeedsValue : public Error {
  using Error::Error;
};

/// UnsupportedOp for strings, maps and floats of 8 bits and fewer. 4-bit integers are held in 8.
DType dtype_of_onnx(std::int64_t type);
constexpr std::int64_t onnx_uint4 = 21, onnx_int4 = 22;
std::int32_t onnx_of_dtype(DType);
Array to_array(const TensorDef&);
TensorDef to_tensor_def(const Array&, std::string name);

class Importer;
class Call;

struct Row {
  using One = Tensor (*)(const Call&);
  using Many = Items (*)(const Call&);
  Row(std::string_view name, int first, One make) : op(name), since(first), one(make) {}
  Row(std::string_view name, int first, Many make) : op(name), since(first), many(make) {}
  Row(std::string_view in_domain, std::string_view name, int first, Many make)
      : op(name), since(first), many(make), domain(in_domain) {}

  std::string_view op;
  int since;  // the row holds from this version of the domain on, to the next row of its name
  One one = nullptr;
  Many many = nullptr;
  std::string_view domain = {};
};

namespace family {
std::span<const Row> pointwise();
std::span<const Row> reduction();
std::span<const Row> shape();
std::span<const Row> selection();
std::span<const Row> spatial();
std::span<const Row> pooling();
std::span<const Row> products();
std::span<const Row> normalization();
std::span<const Row> attention();
std::span<const Row> resizing();
std::span<const Row> recurrent();
std::span<const Row> quantization();
std::span<const Row> control_flow();
std::span<const Row> sequences();
std::span<const Row> signal();
std::span<const Row> random();
std::span<const Row> training();
std::span<const Row> detection();
std::span<const Row> text();
}  // namespace family

/// What names mean in a graph, inside the graphs around it.
struct Frame {
  const Frame* outer = nullptr;
  const std::vector<OpsetDef>* opsets = nullptr;
  const std::vector<AttributeDef>* attributes = nullptr;  // of the function's caller
  int depth = 0;                                          // of functions
  std::unordered_map<std::string, Item> values = {};

  [[nodiscard]] const Item* find(const std::string& name) const;
};

/// One node on its way: operands, attributes, and what is known of them.
class Call {
 public:
  Call(Importer& importer, const Frame& frame, const NodeDef& node, std::int64_t version,
       Items operands)
      : importer_(importer),
        frame_(frame),
        node_(node),
        version_(version),
        operands_(std::move(operands)) {}

  [[nodiscard]] const NodeDef& node() const { return node_; }
  [[nodiscard]] std::int64_t version() const { return version_; }
  [[nodiscard]] Importer& importer() const { return importer_; }
  [[nodiscard]] const Frame& frame() const { return frame_; }

  // ---- operands ----
  [[nodiscard]] std::size_t count() const { return operands_.size(); }
  [[nodiscard]] bool has(std::size_t i) const {
    return i < operands_.size() && !operands_[i].empty();
  }
  /// ParseError where it was left out or is not a tensor.
  [[nodiscard]] const Tensor& x(std::size_t i = 0) const;
  [[nodiscard]] const Items& sequence(std::size_t i) const;
  [[nodiscard]] const Item& item(std::size_t i) const;
  [[nodiscard]] const Items& operands() const { return operands_; }
  [[nodiscard]] std::vector<Tensor> tensors() const;  // all of them
  /// The operand's value, where it is known now.
  [[nodiscard]] std::optional<Array> known(std::size_t i) const;
  /// The same, or NeedsValue.
  [[nodiscard]] Array value(std::size_t i) const;
  [[nodiscard]] std::vector<std::int64_t> ints(std::size_t i) const;
  [[nodiscard]] bool wants(std::size_t output) const {
    return output < node_.outputs.size() && !node_.outputs[output].empty();
  }
  /// The results, of which only as many as the node names are kept.
  [[nodiscard]] std::size_t outputs() const { return node_.outputs.size(); }

  // ---- attributes ----
  [[nodiscard]] const AttributeDef* attribute(std::string_view name) const;
  [[nodiscard]] bool has(std::string_view name) const { return attribute(name) != nullptr; }
  [[nodiscard]] std::int64_t integer(std::string_view name, std::int64_t otherwise) const;
  [[nodiscard]] std::int64_t integer(std::string_view name) const;  // ParseError when left out
  [[nodiscard]] double real(std::string_view name, double otherwise) const;
  [[nodiscard]] std::string string(std::string_view name, std::string otherwise) const;
  [[nodiscard]] std::vector<std::int64_t> integers(std::string_view name) const;  // or none
  [[nodiscard]] std::vector<double> reals(std::string_view name) const;
  [[nodiscard]] std::vector<std::string> strings(std::string_view name) const;
  [[nodiscard]] const TensorDef& tensor(std::string_view name) const;
  [[nodiscard]] const GraphDef& graph(std::string_view name) const;

  /// The same lists; ShapeError where a number is too large to be an extent or a width, so that
  /// sums of a few of them cannot overflow.
  [[nodiscard]] std::vector<std::int64_t> small_ints(std::size_t i) const;
  [[nodiscard]] std::vector<std::int64_t> small_integers(std::string_view name) const;

  [[noreturn]] void malformed(const std::string& what) const;    // ParseError
  [[noreturn]] void unsupported(const std::string& what) const;  // UnsupportedOp

 private:
  Importer& importer_;
  const Frame& frame_;
  const NodeDef& node_;
  std::int64_t version_;
  Items operands_;
};

class Importer {
 public:
  /// `name` of the file, for messages; `model` is kept by reference.
  Importer(const ModelDef& model, std::string name);

  /// The graph's outputs, from one item an input (initializers are not inputs).
  Items run_model(const Items& inputs);
  /// The element type that the model's inputs and initializers declare; 0 of other names.
  [[nodiscard]] std::int64_t declared_type(const std::string& tensor) const;
  /// A graph inside a node: its outputs.
  Items run_graph(const GraphDef& graph, const Items& inputs, const Frame& outer);
  /// A function's body, with the call's operands and attributes.
  Items run_function(const FunctionDef& function, const Call& call);

 private:
  void run(std::span<const NodeDef> nodes, Frame& frame);
  Items run_node(const NodeDef& node, Frame& frame);
  Items dispatch(const Call& call);
  Items collect(const std::vector<ValueInfoDef>& outputs, const Frame& frame,
                const std::string& graph) const;
  void define(Frame& frame, const std::string& name, Item value) const;

  const ModelDef& model_;
  std::string name_;
};

// ---- what is known of a tensor while importing --------------------------------------------------

/// Its value, where every input of it has one.
std::optional<Array> known_value(const Tensor& x);
/// NeedsValue where the rank is not known; extents may be unknown.
Dims dims_of(const Tensor& x);
/// NeedsValue where an extent is not known.
Shape shape_of(const Tensor& x);
std::int64_t rank_of(const Tensor& x);
/// From 0; ParseError where it is out of range.
std::int64_t axis_of(std::int64_t axis, std::int64_t rank);
/// One-element constant of x's dtype.
Tensor scalar_like(const Tensor& x, double value);
/// x itself where it has that dtype.
Tensor as(const Tensor& x, DType dtype);
Tensor int_vector(const std::vector<std::int64_t>& values);
/// Rounded half to even, moved by the zero point, kept within the dtype.
Tensor saturated(const Tensor& x, const Tensor& zero, DType dtype);
/// The same within an element type of ONNX, which may be of 4 bits.
Tensor saturated_to(const Tensor& x, const Tensor& zero, std::int64_t type);
/// Elements from, from + 1, … before `to` of one axis.
Tensor slice_axis(const Tensor& x, std::int64_t axis, std::int64_t from, std::int64_t to);

}  // namespace weft::onnx
