#include "ir/attrs.h"

#include <bit>
#include <cstring>

#include "ir/graph.h"

namespace weft::ir {
namespace {

bool same(double a, double b) {
  return std::bit_cast<std::uint64_t>(a) == std::bit_cast<std::uint64_t>(b);
}
bool same(const std::vector<double>& a, const std::vector<double>& b) {
  return a.size() == b.size() &&
         (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(double)) == 0);
}
bool same(const GraphPtr& a, const GraphPtr& b) {
  return a == b || (a && b && structurally_equal(*a, *b));
}
template <class T> bool same(const T& a, const T& b) { return a == b; }

std::size_t hash_of(double v) { return std::bit_cast<std::uint64_t>(v); }
std::size_t hash_of(const Literal& v) { return v.hash(); }
std::size_t hash_of(const GraphPtr& v) { return v ? structural_hash(*v) : 0; }
std::size_t hash_of(const HostObject& v) { return std::hash<const void*>{}(v.object.get()); }
std::size_t hash_of(const Dim& v) { return v.hash(); }
std::size_t hash_of(const std::string& v) { return std::hash<std::string>{}(v); }
std::size_t hash_of(bool v) { return v; }
std::size_t hash_of(std::int64_t v) { return static_cast<std::size_t>(v); }
std::size_t hash_of(DType v) { return static_cast<std::size_t>(v); }
template <class T> std::size_t hash_of(const std::vector<T>& items) {
  std::size_t seed = items.size();
  for (const T& item : items) mix_hash(seed, hash_of(item));
  return seed;
}

}  // namespace

bool equal(const AttrValue& a, const AttrValue& b) {
  if (a.index() != b.index()) return false;
  return std::visit(
      [&](const auto& x) { return same(x, std::get<std::remove_cvref_t<decltype(x)>>(b)); }, a);
}

std::size_t hash(const AttrValue& value) {
  std::size_t seed = value.index();
  mix_hash(seed, std::visit([](const auto& x) { return hash_of(x); }, value));
  return seed;
}

template <class Field> void FieldLister::operator()(std::string_view name, const Field& field) {
  listed.emplace_back(std::string(name), AttrValue(field));
}

template <class Field> void FieldSetter::operator()(std::string_view name, Field& field) {
  for (const auto& [given, value] : given_) {
    if (given != name) continue;
    const Field* found = std::get_if<Field>(&value);
    if (!found) throw ParseError("attribute '" + given + "' has a value of the wrong kind");
    field = *found;
    ++used_;
  }
}

void FieldSetter::finish() const {
  if (used_ != given_.size()) throw ParseError("unknown or repeated attribute");
}

template void FieldLister::operator()(std::string_view, const bool&);
template void FieldLister::operator()(std::string_view, const std::int64_t&);
template void FieldLister::operator()(std::string_view, const double&);
template void FieldLister::operator()(std::string_view, const std::string&);
template void FieldLister::operator()(std::string_view, const std::vector<std::int64_t>&);
template void FieldLister::operator()(std::string_view, const std::vector<double>&);
template void FieldLister::operator()(std::string_view, const Dims&);
template void FieldLister::operator()(std::string_view, const DType&);
template void FieldLister::operator()(std::string_view, const Literal&);
template void FieldLister::operator()(std::string_view, const GraphPtr&);
template void FieldLister::operator()(std::string_view, const HostObject&);
template void FieldSetter::operator()(std::string_view, bool&);
template void FieldSetter::operator()(std::string_view, std::int64_t&);
template void FieldSetter::operator()(std::string_view, double&);
template void FieldSetter::operator()(std::string_view, std::string&);
template void FieldSetter::operator()(std::string_view, std::vector<std::int64_t>&);
template void FieldSetter::operator()(std::string_view, std::vector<double>&);
template void FieldSetter::operator()(std::string_view, Dims&);
template void FieldSetter::operator()(std::string_view, DType&);
template void FieldSetter::operator()(std::string_view, Literal&);
template void FieldSetter::operator()(std::string_view, GraphPtr&);
template void FieldSetter::operator()(std::string_view, HostObject&);

std::vector<NamedAttr> Attrs::fields() const {
  FieldLister list;
  if (model_) model_->fields(list);
  return std::move(list.listed);
}

std::size_t Attrs::hash() const {
  std::size_t seed = 0;
  for (const NamedAttr& attr : fields()) mix_hash(seed, ir::hash(attr.second));
  return seed;
}

bool operator==(const Attrs& a, const Attrs& b) {
  if (a.model_ == b.model_) return true;
  if (!a.model_ || !b.model_ || a.model_->tag != b.model_->tag) return false;
  const std::vector<NamedAttr> x = a.fields(), y = b.fields();
  for (std::size_t i = 0; i < x.size(); ++i)
    if (!equal(x[i].second, y[i].second)) return false;
  return true;
}

}  // namespace weft::ir
