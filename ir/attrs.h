// Attributes of a node: one typed struct a kind, whose single `fields` visitor gives equality,
// hash, text and the ONNX mapping. A struct looks like this:
//
//   struct ReduceAttrs {
//     std::vector<std::int64_t> axes;
//     bool keepdims = false;
//     template <class Self, class F>
//     static void fields(Self& s, F&& f) { f("axes", s.axes); f("keepdims", s.keepdims); }
//   };
//
// `Attrs` is the type-erased, immutable, shared handle that a Node carries; empty for most
// operations.
#pragma once

#include <cassert>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "ir/dim.h"
#include "ir/dtype.h"
#include "ir/error.h"
#include "ir/literal.h"

namespace weft::ir {

class Graph;
using GraphPtr = std::shared_ptr<const Graph>;

/// An object of the host program that a node refers to (a user's callback). Printed by name,
/// compared by address.
struct HostObject {
  std::string name;
  std::shared_ptr<const void> object;
  friend bool operator==(const HostObject&, const HostObject&) = default;
};

using AttrValue = std::variant<bool, std::int64_t, double, std::string, std::vector<std::int64_t>,
                               std::vector<double>, Dims, DType, Literal, GraphPtr, HostObject>;
using NamedAttr = std::pair<std::string, AttrValue>;

bool equal(const AttrValue& a, const AttrValue& b);  // doubles by bits, graphs by structure
std::size_t hash(const AttrValue&);
/// The combining step of every hash in ir/.
inline void mix_hash(std::size_t& seed, std::size_t value) {
  value *= 0x9e3779b97f4a7c15ull;
  value ^= value >> 32;
  seed = (seed ^ value) * 0xd6e8feb86659fd93ull;
}
/// Text of one value as it stands in `.weft`; graphs are printed nested. See ir/text.h.

/// What `fields` of a struct is called with, to list the fields and to set them: the only code that
/// meets values of every kind, compiled once for all structs.
class FieldLister {
 public:
  template <class Field> void operator()(std::string_view name, const Field& field);
  std::vector<NamedAttr> listed;
};
class FieldSetter {
 public:
  explicit FieldSetter(std::span<const NamedAttr> given) : given_(given) {}
  template <class Field> void operator()(std::string_view name, Field& field);
  void finish() const;  // ParseError where something that was given is no field

 private:
  std::span<const NamedAttr> given_;
  std::size_t used_ = 0;
};

template <class T>
concept AttrStruct = requires(T& t) {
  T::fields(t, [](std::string_view, auto&) {});
};

class Attrs {
 public:
  Attrs() = default;
  template <AttrStruct T>
  Attrs(T value) : model_(std::make_shared<const Model<T>>(std::move(value))) {}

  [[nodiscard]] bool empty() const { return model_ == nullptr; }
  template <AttrStruct T> [[nodiscard]] const T& get() const {
    assert(model_ && model_->tag == &tag_of<T>);
    return static_cast<const Model<T>&>(*model_).value;
  }
  template <AttrStruct T> [[nodiscard]] bool is() const {
    return model_ && model_->tag == &tag_of<T>;
  }
  /// The fields by name, in declared order.
  [[nodiscard]] std::vector<NamedAttr> fields() const;
  [[nodiscard]] std::size_t hash() const;
  friend bool operator==(const Attrs& a, const Attrs& b);

 private:
  template <class T> static constexpr char tag_of = 0;
  struct Base {
    explicit Base(const char* t) : tag(t) {}
    virtual ~Base() = default;
    virtual void fields(FieldLister& list) const = 0;
    const char* tag;
  };
  template <class T> struct Model final : Base {
    explicit Model(T v) : Base(&tag_of<T>), value(std::move(v)) {}
    void fields(FieldLister& list) const override { T::fields(value, list); }
    T value;
  };
  std::shared_ptr<const Base> model_;
};

/// Builds a T from fields by name (absent ones keep their default); ParseError on an unknown name
/// or a wrong kind.
template <AttrStruct T> Attrs attrs_from_fields(std::span<const NamedAttr> given) {
  T value;
  FieldSetter set(given);
  T::fields(value, set);
  set.finish();
  return Attrs(std::move(value));
}
using AttrsParser = Attrs (*)(std::span<const NamedAttr>);

// The structs that more than one family uses.

struct InputAttrs {  // placeholders and variables; the name is the node's label
  Dims declared;     // unused when the shape is unknown
  template <class S, class F> static void fields(S& s, F&& f) { f("declared", s.declared); }
};
struct ConstantAttrs {
  Literal value;
  template <class S, class F> static void fields(S& s, F&& f) { f("value", s.value); }
};
struct CastAttrs {
  DType dtype = DType::float32;
  template <class S, class F> static void fields(S& s, F&& f) { f("dtype", s.dtype); }
};
/// An empty `axes` with `all` set: every axis, whatever the rank turns out to be.
struct ReduceAttrs {
  std::vector<std::int64_t> axes;
  bool all = true;
  bool keepdims = false;
  template <class S, class F> static void fields(S& s, F&& f) {
    f("axes", s.axes);
    f("all", s.all);
    f("keepdims", s.keepdims);
  }
};
struct AxisAttrs {
  std::int64_t axis = 0;
  template <class S, class F> static void fields(S& s, F&& f) { f("axis", s.axis); }
};
struct AxesAttrs {
  std::vector<std::int64_t> axes;
  template <class S, class F> static void fields(S& s, F&& f) { f("axes", s.axes); }
};
struct ShapeAttrs {  // reshape (one extent may be -1), broadcast_to, full
  Dims shape;
  template <class S, class F> static void fields(S& s, F&& f) { f("shape", s.shape); }
};

}  // namespace weft::ir
