// The handle: what it is made from, how it is counted, what it says of itself.
#include "weft/tensor.h"

#include "gradient_state.h"
#include "ir/builder.h"
#include "live.h"
#include "runtime/reactive.h"

namespace weft {
namespace {

ir::NodeRef placeholder(ir::Type type, std::string name, SourceLocation where) {
  for (const Dim& extent : type.shape.value_or(Dims{}))
    if (extent.constant().value_or(0) < 0)
      throw ShapeError("a tensor of shape " + to_string(*type.shape) + ": an extent is negative",
                       where);
  return ir::make_input(std::move(type), std::move(name), where);
}

ir::NodeRef constant(const Array& value, SourceLocation where) {
  // A small one is copied: it becomes part of code, which may outlive the array.
  constexpr std::size_t copied_bytes = 128;
  if (value.nbytes() > copied_bytes || !value.device().is_cpu())
    return ir::make_constant(runtime::to_literal(value), false, where);
  const Array dense = value.contiguous();
  return ir::make_constant(ir::Literal::copy(value.dtype(), value.shape(), dense.bytes()), false,
                           where);
}

ir::NodeRef leaf(const Array& value, std::string name, SourceLocation where) {
  ir::NodeRef node = placeholder({value.dtype(), to_dims(value.shape())}, std::move(name), where);
  runtime::check_live_type(*node);
  runtime::set_values({{node, value, {}, where}}, runtime::Push::none);
  return node;
}

[[noreturn]] void unknown(const char* what, const ir::Node& node) {
  const std::string message = std::string("the ") + what + " of " + runtime::describe(node) +
                              " is not known before it has a value";
  if (std::string_view(what) == "dtype") throw DTypeError(message, node.where());
  throw ShapeError(message, node.where());
}

}  // namespace

// ---- making -------------------------------------------------------------------------------------

Tensor::Tensor(ir::NodeRef node) : node_(std::move(node)) {
  frontend::install_cells();
  if (node_->handles() == 0) {
    runtime::check_live_type(*node_);
    frontend::note_new_tensor(node_);
  }
  node_->add_handle();
}

Tensor::Tensor(Where where) : Tensor(placeholder({}, {}, where)) {}
Tensor::Tensor(const char* name, Where where) : Tensor(placeholder({}, name, where)) {}
Tensor::Tensor(Dims shape, DType dtype, std::string name, Where where)
    : Tensor(placeholder({dtype, std::move(shape)}, std::move(name), where)) {}
Tensor::Tensor(Dims shape, const char* name, Where where)
    : Tensor(placeholder({{}, std::move(shape)}, name, where)) {}
Tensor::Tensor(const Array& value, Where where) : Tensor(constant(value, where)) {}
Tensor::Tensor(const Array& value, TensorOptions options, Where where)
    : Tensor(leaf(value, std::move(options.name), where)) {
  if (options.requires_grad) requires_grad(true, where);
}

Variable::Variable(const Array& value, std::string name, Where where)
    : Tensor(leaf(value, std::move(name), where)) {}

// ---- counting -----------------------------------------------------------------------------------

Tensor::Tensor(const Tensor& other) : node_(other.node_) {
  if (node_) node_->add_handle();
}
Tensor::Tensor(Tensor&& other) noexcept : node_(std::move(other.node_)) {}
Tensor& Tensor::operator=(const Tensor& other) {
  Tensor copy(other);
  std::swap(node_, copy.node_);
  return *this;
}
Tensor& Tensor::operator=(Tensor&& other) noexcept {
  std::swap(node_, other.node_);
  return *this;
}
Tensor::~Tensor() {
  if (node_) node_->drop_handle();
}

void Tensor::moved_from(SourceLocation where) {
  throw Error("this tensor was moved from: it stands for nothing until it is assigned to", where);
}

// ---- what is known ------------------------------------------------------------------------------

const std::string& Tensor::name() const { return node()->label(); }
Tensor& Tensor::name(std::string name) {
  node()->set_label(std::move(name));
  return *this;
}

DType Tensor::dtype() const {
  if (node()->type().dtype) return *node()->type().dtype;
  const ir::Type type = runtime::live_type(*node());
  if (type.dtype) return *type.dtype;
  if (!has_value()) unknown("dtype", *node());
  return value().dtype();
}

Shape Tensor::shape() const {
  const ir::Type type = runtime::live_type(*node());
  if (const auto shape = type.shape ? to_shape(*type.shape) : std::nullopt) return *shape;
  if (!has_value()) unknown("shape", *node());
  return value().shape();  // it depends on values
}

std::int64_t Tensor::ndim() const {
  if (const auto rank = node()->type().rank()) return *rank;
  const ir::Type type = runtime::live_type(*node());
  if (type.rank()) return *type.rank();
  if (!has_value()) unknown("number of axes", *node());
  return value().ndim();
}

std::int64_t Tensor::size() const { return element_count(shape()); }
Device Tensor::device() const { return runtime::device_of(node()); }

// ---- truth --------------------------------------------------------------------------------------

Tensor::operator bool() const { return value().item<bool>(); }

}  // namespace weft
