// `Tensor`: a handle to a node of an expression graph. A default one is a placeholder whose dtype
// and shape are unknown until a value or a call supplies them. Copying a handle copies no value;
// `a = …` and `+=` rebind it. One that was moved from may be assigned to or dropped, no more.
//
// A tensor whose every input has a value has one too: computed when first observed, cached, and
// brought up to date when `set_value` changes an input (see weft/eval.h). Everything here may be
// used from several threads.
#pragma once

#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <source_location>
#include <string>
#include <type_traits>
#include <vector>

#include "ir/error.h"
#include "ir/node.h"
#include "weft/array.h"

namespace weft {

class Operand;
class Tensor;
class Subscription;
class TensorUpdate;

struct TensorOptions {
  bool requires_grad = false;
  std::string name = {};
};

// ---- indices ------------------------------------------------------------------------------------

struct None {};
struct Ellipsis {};
struct NewAxis {};
inline constexpr None none{};
inline constexpr Ellipsis ellipsis{};
inline constexpr NewAxis newaxis{};

/// One bound of a slice: absent, an integer, or a scalar integer tensor.
class Bound {
 public:
  Bound(None) {}
  template <class T>
    requires(std::is_integral_v<T>)
  Bound(T value) : kind_(Kind::integer), value_(static_cast<std::int64_t>(value)) {}
  Bound(const Tensor& value);
  [[nodiscard]] bool absent() const { return kind_ == Kind::absent; }
  [[nodiscard]] const std::int64_t* integer() const {
    return kind_ == Kind::integer ? &value_ : nullptr;
  }
  [[nodiscard]] const Tensor* tensor() const { return tensor_.get(); }

 private:
  enum class Kind : std::uint8_t { absent, integer, tensor } kind_ = Kind::absent;
  std::int64_t value_ = 0;
  std::shared_ptr<const Tensor> tensor_;
};

/// `start:stop:step` with Python's meaning; negative bounds count from the end.
struct Slice {
  Bound start = none, stop = none;
  std::int64_t step = 1;
  Slice() = default;
  Slice(Bound start_at, Bound stop_before, std::int64_t stride = 1)
      : start(std::move(start_at)), stop(std::move(stop_before)), step(stride) {}
};

/// One element of an index tuple, with the user's line: `[]` itself cannot take one.
class Index {
 public:
  using Where = std::source_location;
  enum class Kind : std::uint8_t { integer, slice, ellipsis, newaxis, tensor };
  template <class T>
    requires(std::is_integral_v<T> && !std::is_same_v<T, bool>)
  Index(T value, Where where = Where::current())
      : kind_(Kind::integer), integer_(static_cast<std::int64_t>(value)), where_(where) {}
  Index(Slice slice, Where where = Where::current())
      : kind_(Kind::slice),
        slice_(std::make_shared<const Slice>(std::move(slice))),
        where_(where) {}
  Index(Ellipsis, Where where = Where::current()) : kind_(Kind::ellipsis), where_(where) {}
  Index(NewAxis, Where where = Where::current()) : kind_(Kind::newaxis), where_(where) {}
  /// Integers gather along the axis, booleans select.
  Index(const Tensor& value, Where where = Where::current());
  Index(const Array& value, Where where = Where::current());
  [[nodiscard]] Where where() const { return where_; }
  [[nodiscard]] Kind kind() const { return kind_; }
  [[nodiscard]] std::int64_t integer() const { return integer_; }
  [[nodiscard]] const Slice& slice() const { return *slice_; }
  [[nodiscard]] const Tensor& tensor() const { return *tensor_; }

 private:
  Kind kind_;
  std::int64_t integer_ = 0;
  std::shared_ptr<const Slice> slice_;
  std::shared_ptr<const Tensor> tensor_;
  Where where_;
};

using Axes = std::vector<std::int64_t>;

/// What a reduction goes along: one axis, several, or (by default) all. (`{0}`, `{0, 1}` and
/// `{{0, 1}}` are all lists; a constructor from std::initializer_list would have clang warn of
/// `{{0}}`.)
class AxisList {
 public:
  AxisList() = default;
  AxisList(None) {}
  AxisList(std::nullopt_t) {}
  template <class... T>
    requires(sizeof...(T) > 0 &&
             ((std::is_integral_v<T> || std::is_enum_v<T>) && ...) &&
             ((std::is_convertible_v<T, std::int64_t> && !std::is_same_v<T, bool>) && ...))
  AxisList(T... axes) : axes_(Axes{static_cast<std::int64_t>(axes)...}) {}
  AxisList(Axes axes) : axes_(std::move(axes)) {}
  template <class T>
    requires(std::is_same_v<T, std::optional<Axes>>)
  AxisList(T axes) : axes_(std::move(axes)) {}
  [[nodiscard]] const std::optional<Axes>& axes() const { return axes_; }

 private:
  std::optional<Axes> axes_;
};

// ---- the handle ---------------------------------------------------------------------------------

class Tensor {
 public:
  using Where = std::source_location;

  /// A placeholder of which nothing is known.
  explicit Tensor(Where where = Where::current());
  Tensor(const char* name, Where where = Where::current());
  /// A placeholder; unknown extents are `dim("N")`.
  Tensor(Dims shape, DType dtype, std::string name = {}, Where where = Where::current());
  Tensor(Dims shape, const char* name, Where where = Where::current());
  /// A constant: part of the program, wherever that runs and wherever `value` is. What is to stay on
  /// a device is a Variable.
  Tensor(const Array& value, Where where = Where::current());
  template <class T>
    requires(std::is_arithmetic_v<T>)
  Tensor(T value, Where where = Where::current()) : Tensor(Array(value), where) {}
  /// A leaf with a value, as Variable is.
  Tensor(const Array& value, TensorOptions options, Where where = Where::current());
  /// The handle of an existing node (the library's own use).
  explicit Tensor(ir::NodeRef node);

  Tensor(const Tensor& other);
  Tensor(Tensor&& other) noexcept;
  Tensor& operator=(const Tensor& other);
  Tensor& operator=(Tensor&& other) noexcept;
  ~Tensor();

  // What is known. `shape()` and `dtype()` look at the type, then at the value, which is computed
  // where the type depends on values; ShapeError/DTypeError when there is none.
  [[nodiscard]] const std::string& name() const;
  Tensor& name(std::string name);
  [[nodiscard]] DType dtype() const;
  [[nodiscard]] Shape shape() const;
  [[nodiscard]] std::int64_t ndim() const;
  [[nodiscard]] std::int64_t size() const;
  /// Where the value is; the processor without one. A tensor is computed where its operands are, and
  /// these must be in one place (DeviceError); constants, numbers of the processor (of no axes) and
  /// what is computed from these alone come along.
  [[nodiscard]] Device device() const;

  // Values (weft/eval.h has the rules).
  [[nodiscard]] bool has_value() const;
  /// Throws UnsetInput naming every input without a value.
  [[nodiscard]] Array value() const;
  template <class T> [[nodiscard]] T item() const { return value().item<T>(); }
  void set_value(const Array& value, Where where = Where::current());
  /// Part of an input: as NumPy's `x[index] = value`.
  void set_value(std::initializer_list<Index> index, const Array& value,
                 Where where = Where::current());
  void set_value(const std::vector<Index>& index, const Array& value,
                 Where where = Where::current());
  /// Runs after an update that changed the value; ends when the result dies, which also keeps the
  /// tensor alive.
  [[nodiscard]] Subscription on_change(std::function<void(const Array&)> watcher) const;
  /// The truth of a one-element value.
  explicit operator bool() const;

  // Gradients, the imperative face of `grad`.
  Tensor& requires_grad(bool on, Where where = Where::current());
  [[nodiscard]] bool requires_grad() const;
  void backward(bool retain_graph = false, Where where = Where::current()) const;
  void backward(const Array& cotangent, bool retain_graph = false,
                Where where = Where::current()) const;
  /// The accumulated gradient; zeros before the first `backward`.
  [[nodiscard]] Tensor grad() const;
  void zero_grad() const;
  [[nodiscard]] Tensor detach(Where where = Where::current()) const;

  // Indexing: a braced list is a tuple of indices.
  Tensor operator[](const Index& index) const;
  Tensor operator[](std::initializer_list<Index> index) const;
  [[nodiscard]] TensorUpdate at(std::initializer_list<Index> index,
                                Where where = Where::current()) const;
  [[nodiscard]] TensorUpdate at(const Index& index, Where where = Where::current()) const;

  // The common operations as methods; weft/ops.h has them all as functions.
  [[nodiscard]] Tensor to(DType dtype, Where where = Where::current()) const;
  /// The same value on `device`, differentiable: the gradient moves back.
  [[nodiscard]] Tensor to(Device device, Where where = Where::current()) const;
  [[nodiscard]] Tensor sum(Where where = Where::current()) const;
  [[nodiscard]] Tensor sum(const AxisList& axes, bool keepdims = false,
                           Where where = Where::current()) const;
  [[nodiscard]] Tensor mean(Where where = Where::current()) const;
  [[nodiscard]] Tensor mean(const AxisList& axes, bool keepdims = false,
                            Where where = Where::current()) const;
  [[nodiscard]] Tensor max(Where where = Where::current()) const;
  [[nodiscard]] Tensor max(const AxisList& axes, bool keepdims = false,
                           Where where = Where::current()) const;
  [[nodiscard]] Tensor min(Where where = Where::current()) const;
  [[nodiscard]] Tensor min(const AxisList& axes, bool keepdims = false,
                           Where where = Where::current()) const;
  [[nodiscard]] Tensor argmax(std::int64_t axis, bool keepdims = false,
                              Where where = Where::current()) const;
  [[nodiscard]] Tensor reshape(Dims shape, Where where = Where::current()) const;
  [[nodiscard]] Tensor view(Dims shape, Where where = Where::current()) const;
  [[nodiscard]] Tensor view(std::initializer_list<Dim> shape, Where where = Where::current()) const;
  [[nodiscard]] Tensor view(std::int64_t extent, Where where = Where::current()) const;
  [[nodiscard]] Tensor view(std::int64_t rows, std::int64_t columns,
                            Where where = Where::current()) const;
  [[nodiscard]] Tensor flatten(std::int64_t start_dim = 0, std::int64_t end_dim = -1,
                               Where where = Where::current()) const;
  [[nodiscard]] Tensor transpose(std::int64_t a, std::int64_t b,
                                 Where where = Where::current()) const;
  [[nodiscard]] Tensor permute(Axes axes, Where where = Where::current()) const;
  [[nodiscard]] Tensor squeeze(Where where = Where::current()) const;
  [[nodiscard]] Tensor squeeze(std::int64_t axis, Where where = Where::current()) const;
  [[nodiscard]] Tensor unsqueeze(std::int64_t axis, Where where = Where::current()) const;
  [[nodiscard]] Tensor expand(Dims shape, Where where = Where::current()) const;
  [[nodiscard]] Tensor t(Where where = Where::current()) const;
  [[nodiscard]] Tensor mm(const Operand& other) const;
  [[nodiscard]] Tensor mv(const Operand& other) const;
  [[nodiscard]] Tensor dot(const Operand& other) const;
  [[nodiscard]] Tensor matmul(const Operand& other) const;

  /// The node behind the handle (the library's own use). A handle that was moved from has none:
  /// whatever is asked of it throws Error.
  [[nodiscard]] const ir::NodeRef& node() const {
    if (!node_) [[unlikely]]
      moved_from();
    return node_;
  }

 protected:
  friend class Operand;
  [[noreturn]] static void moved_from(SourceLocation where = {});
  ir::NodeRef node_;
};

/// A tensor that starts with a value. `+=` is deleted: it would silently rebind what the user
/// thinks is storage.
class Variable : public Tensor {
 public:
  explicit Variable(const Array& value, std::string name = {}, Where where = Where::current());
  template <class T>
    requires(std::is_arithmetic_v<T>)
  explicit Variable(T value, std::string name = {}, Where where = Where::current())
      : Variable(Array(value), std::move(name), where) {}
  template <class T> Variable& operator+=(const T&) = delete;
  template <class T> Variable& operator-=(const T&) = delete;
  template <class T> Variable& operator*=(const T&) = delete;
  template <class T> Variable& operator/=(const T&) = delete;
};

/// Prints the value as NumPy would; a Variable prints its name, value and gradient; a tensor
/// without a value its type.
std::ostream& operator<<(std::ostream&, const Tensor&);
std::ostream& operator<<(std::ostream&, const Variable&);

/// What every operation takes: a tensor, an array or a scalar, with the user's line.
class Operand {
 public:
  Operand(const Tensor& tensor, std::source_location where = std::source_location::current())
      : node_(tensor.node_), where_(where) {
    if (!node_) [[unlikely]]
      Tensor::moved_from(where_);
  }
  Operand(const Array& array, std::source_location where = std::source_location::current());
  template <class T>
    requires(std::is_arithmetic_v<T>)
  Operand(T value, std::source_location where = std::source_location::current())
      : Operand(dtype_of_scalar<T>(), static_cast<double>(value), as_integer(value), where) {}
  Operand(float16 value, std::source_location where = std::source_location::current())
      : Operand(static_cast<float>(value), where) {}
  Operand(bfloat16 value, std::source_location where = std::source_location::current())
      : Operand(static_cast<float>(value), where) {}

  /// A node on a line that is known already (the library's own use).
  Operand(ir::NodeRef node, SourceLocation where) : node_(std::move(node)), where_(where) {}

  [[nodiscard]] const ir::NodeRef& node() const { return node_; }
  [[nodiscard]] SourceLocation where() const { return where_; }

 private:
  template <class T> static constexpr DType dtype_of_scalar() {
    if constexpr (std::is_same_v<T, bool>)
      return DType::boolean;
    else
      return std::is_integral_v<T> ? DType::int64 : DType::float64;
  }
  /// Of a floating value only the floating form is used.
  template <class T> static constexpr std::int64_t as_integer(T value) {
    if constexpr (std::is_integral_v<T>)
      return static_cast<std::int64_t>(value);
    else
      return 0;
  }
  Operand(DType dtype, double real, std::int64_t integer,
          std::source_location where);  // a weak constant

  ir::NodeRef node_;
  SourceLocation where_;
};

/// `x.at(index).set(v)` and `.add(v)`: updated copies, with gradients.
class TensorUpdate {
 public:
  TensorUpdate(Tensor base, std::vector<Index> index, SourceLocation where);
  [[nodiscard]] Tensor set(const Operand& value) const;
  [[nodiscard]] Tensor add(const Operand& value) const;

 private:
  Tensor base_;
  std::vector<Index> index_;
  SourceLocation where_;
};

}  // namespace weft
