#include "codegen/cuda/frame_text.h"

#include <algorithm>
#include <charconv>

#include "codegen/cuda/cuda_text.h"

namespace weft::codegen {
namespace {

using ir::Kernel;

std::string number(std::int64_t value) {
  const bool fits = value <= INT32_MAX && value >= -INT32_MAX;
  return std::to_string(value) + (fits ? "" : "ll");
}

std::string atom_text(const DimExpr::Atom& atom) {
  using Kind = DimExpr::AtomKind;
  const auto call = [&](std::string_view f) {
    return cat({f, "(", dim_text(atom.left), ", ", dim_text(atom.right), ")"});
  };
  switch (atom.kind) {
    case Kind::symbol: return atom.name;
    case Kind::floordiv: return call("weft_floordiv");
    case Kind::mod: return call("weft_mod");
    case Kind::max: return call("weft_max<weft_i64>");
    case Kind::min: return call("weft_min<weft_i64>");
  }
  return {};
}

}  // namespace

std::string dim_text(const Dim& dim) {
  if (dim.is_constant()) return number(dim.value());
  std::string sum;
  for (const DimExpr::Term& term : dim.expr()->terms()) {
    if (!sum.empty()) sum.append(" + ");
    std::string product =
        term.coefficient == 1 && !term.factors.empty() ? "" : number(term.coefficient);
    for (const auto& factor : term.factors)
      product.append(product.empty() ? "" : " * ").append(atom_text(*factor));
    sum.append(product);
  }
  return sum;
}

std::string parameter_text(const Kernel& k) {
  std::string parameters;
  const auto add = [&](const std::string& p) {
    parameters.append(parameters.empty() ? "" : ", ").append(p);
  };
  for (std::size_t b = 0; b < k.buffers.size(); ++b)
    add(cat({k.buffers[b].written ? "" : "const ", cuda_type(k.buffers[b].dtype), "* b",
             std::to_string(b)}));
  for (int i = 0; i < k.symbols; ++i) add("weft_i64 s" + std::to_string(i));
  return parameters;
}

namespace {

/// The largest number that indexing reaches, for extents that are known.
std::int64_t largest_index(const Layout& layout, const Geometry& g) {
  std::int64_t largest = std::max(g.items, g.row);
  for (std::size_t a = 0; a < layout.accesses.size(); ++a) {
    std::int64_t reach =
        std::abs(g.offsets[a]) + std::abs(g.row_strides[a]) * std::max<std::int64_t>(g.row - 1, 0);
    for (std::size_t j = 0; j < g.extents.size(); ++j)
      reach += std::abs(g.strides_of(a)[j]) * std::max<std::int64_t>(g.extents[j] - 1, 0);
    largest = std::max(largest, reach);
  }
  return largest;
}

}  // namespace

// ---- Frame --------------------------------------------------------------------------------------

KernelFrame::KernelFrame(const Kernel& k) : layout(k) {
  if (layout.constant) geometry.evaluate(layout, nullptr);
  constexpr std::int64_t room = std::int64_t{1} << 30;  // for a grid's stride beyond the last item
  index_type = layout.constant && largest_index(layout, geometry) < room ? "int" : "weft_i64";
  if (layout.constant) {
    take_geometry();
    return;
  }
  for (std::size_t axis = 0; axis < k.parallel_axes(); ++axis) {
    extents.push_back(named(k.axes[axis]));
    coordinates.push_back("c" + std::to_string(axis));
  }
  row = k.has_row ? named(k.axes.back()) : "1";
  if (k.clip) clip = named(*k.clip), blocks = extents.back();
  for (const ir::Access& a : k.accesses) {
    AccessText text{.offset = named(a.offset), .strides = {}, .row_stride = "0"};
    for (std::size_t axis = 0; axis < k.parallel_axes(); ++axis)
      text.strides.push_back(named(a.strides[axis]));
    if (k.has_row) text.row_stride = named(a.strides.back());
    accesses.push_back(std::move(text));
    Dim expected = 1;
    bool dense = true;
    for (std::size_t axis = k.parallel_axes(); axis-- > 0;) {
      dense = dense && (k.axes[axis] == Dim(1) || a.strides[axis] == expected);
      expected = expected * k.axes[axis];
    }
    dense_.push_back(dense);
  }
}

void KernelFrame::take_geometry() {
  const Geometry& g = geometry;
  for (const std::int64_t e : g.extents) extents.push_back(number(e));
  for (std::size_t axis = 0; axis < layout.parallel_axes; ++axis) {
    const int walked = g.walked_axis[axis];
    coordinates.push_back(walked < 0 ? "0" : "c" + std::to_string(walked));
  }
  row = number(g.row);
  if (g.clip >= 0 && g.clip < g.blocks * g.row)  // else every block is a whole one
    clip = number(g.clip), blocks = number(g.blocks);
  for (std::size_t a = 0; a < layout.accesses.size(); ++a) {
    AccessText text{
        .offset = number(g.offsets[a]), .strides = {}, .row_stride = number(g.row_strides[a])};
    for (std::size_t j = 0; j < g.extents.size(); ++j)
      text.strides.push_back(number(g.strides_of(a)[j]));
    accesses.push_back(std::move(text));
    std::int64_t expected = 1;
    bool dense = true;
    for (std::size_t j = g.extents.size(); j-- > 0;) {
      dense = dense && (g.extents[j] == 1 || g.strides_of(a)[j] == expected);
      expected *= g.extents[j];
    }
    dense_.push_back(dense);
  }
}

std::string KernelFrame::named(const Dim& dim) {
  const std::string text = dim_text(dim);
  if (dim.is_constant()) return text;
  const auto it = std::find(dims.begin(), dims.end(), text);
  const auto number = static_cast<std::size_t>(it - dims.begin());
  if (it == dims.end()) dims.push_back(text);
  return "d" + std::to_string(number);
}

std::string KernelFrame::items() const {
  if (layout.constant) return number(geometry.items);  // factors that are literals are of type int
  std::string product = cat({"(", index_type, ")1"});
  for (const std::string& e : extents) product.append(" * ").append(e);
  return product;
}

std::string KernelFrame::offset(int access) const {
  const AccessText& a = accesses[static_cast<std::size_t>(access)];
  std::string sum = a.offset == "0" ? "" : a.offset;
  for (std::size_t j = 0; j < a.strides.size(); ++j) {
    if (a.strides[j] == "0") continue;
    sum.append(sum.empty() ? "" : " + ").append("c").append(std::to_string(j));
    if (a.strides[j] != "1") sum.append(" * ").append(a.strides[j]);
  }
  return sum.empty() ? "0" : sum;
}

void KernelFrame::write_dims(TextWriter& out) const {
  for (std::size_t d = 0; d < dims.size(); ++d)
    out.line(cat({"const weft_i64 d", std::to_string(d), " = ", dims[d], ";"}));
}

void KernelFrame::write_coordinates(TextWriter& out, std::string_view item, int fastest) const {
  const int n = static_cast<int>(extents.size());
  std::vector<int> order;  // slowest first
  for (int j = 0; j < n; ++j)
    if (j != fastest) order.push_back(j);
  if (fastest >= 0) order.push_back(fastest);
  std::string rest(item);
  for (int k = n; k-- > 0;) {
    const int j = order[static_cast<std::size_t>(k)];
    const std::string& extent = extents[static_cast<std::size_t>(j)];
    const std::string c = "c" + std::to_string(j);
    if (k == 0) {
      out.line(cat({"const ", index_type, " ", c, " = ", rest, ";"}));
      continue;
    }
    const std::string next = "rest" + std::to_string(k - 1);
    const std::string quotient = number_of(extent) || index_type == "int"
                                     ? cat({rest, " / ", extent})
                                     : cat({"weft_quotient(", rest, ", ", extent, ")"});
    out.line(cat({"const ", index_type, " ", next, " = ", quotient, ", ", c, " = ", rest, " - ",
                  next, " * ", extent, ";"}));
    rest = next;
  }
}

bool KernelFrame::is_dense(int access) const { return dense_[static_cast<std::size_t>(access)]; }

std::optional<std::int64_t> number_of(std::string_view text) {
  if (text.ends_with("ll")) text.remove_suffix(2);
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

DType element_type(const Kernel& k, int access) {
  const auto buffer = k.accesses[static_cast<std::size_t>(access)].buffer;
  return k.buffers[static_cast<std::size_t>(buffer)].dtype;
}

std::string pointer_text(const Kernel& k, int access) {
  return "b" + std::to_string(k.accesses[static_cast<std::size_t>(access)].buffer);
}

}  // namespace weft::codegen
