#include "codegen/interpret/geometry.h"

#include <algorithm>
#include <cassert>
#include <charconv>

namespace weft::codegen {

DimCode::DimCode(const Dim& dim) {
  if (dim.is_constant())
    constant_ = dim.value();
  else
    root_ = add(dim);
}

int DimCode::push(Kind kind, int left, int right, std::int64_t value) {
  nodes_.push_back({kind, left, right, value});
  return static_cast<int>(nodes_.size()) - 1;
}

int DimCode::add(const Dim& dim) {
  if (dim.is_constant()) return push(Kind::constant, -1, -1, dim.value());
  int sum = -1;
  for (const DimExpr::Term& term : dim.expr()->terms()) {
    int product = push(Kind::constant, -1, -1, term.coefficient);
    for (const auto& factor : term.factors) {
      const int right = add(*factor);
      product = push(Kind::multiply, product, right);
    }
    sum = sum < 0 ? product : push(Kind::add, sum, product);
  }
  return sum;
}

int DimCode::add(const DimExpr::Atom& atom) {
  using AtomKind = DimExpr::AtomKind;
  if (atom.kind == AtomKind::symbol) {
    std::int64_t number = 0;
    assert(atom.name.size() > 1 && atom.name[0] == 's');
    std::from_chars(atom.name.data() + 1, atom.name.data() + atom.name.size(), number);
    return push(Kind::symbol, -1, -1, number);
  }
  const int left = add(atom.left), right = add(atom.right);
  switch (atom.kind) {
    case AtomKind::floordiv: return push(Kind::floordiv, left, right);
    case AtomKind::mod: return push(Kind::mod, left, right);
    case AtomKind::max: return push(Kind::max, left, right);
    case AtomKind::min: return push(Kind::min, left, right);
    case AtomKind::symbol: break;
  }
  return left;
}

std::int64_t DimCode::at(int node, const std::int64_t* symbols) const {
  const Node& n = nodes_[static_cast<std::size_t>(node)];
  if (n.kind == Kind::constant) return n.value;
  if (n.kind == Kind::symbol) return symbols[n.value];
  const std::int64_t a = at(n.left, symbols), b = at(n.right, symbols);
  const std::int64_t remainder = n.kind == Kind::floordiv || n.kind == Kind::mod ? a % b : 0;
  const bool below = remainder != 0 && (remainder < 0) != (b < 0);
  switch (n.kind) {
    case Kind::add: return a + b;
    case Kind::multiply: return a * b;
    case Kind::floordiv: return a / b - (below ? 1 : 0);
    case Kind::mod: return below ? remainder + b : remainder;
    case Kind::max: return std::max(a, b);
    case Kind::min: return std::min(a, b);
    case Kind::constant:
    case Kind::symbol: break;
  }
  return 0;
}

Layout::Layout(const ir::Kernel& k)
    : indexed(k.axes.size(), false), parallel_axes(k.parallel_axes()), has_row(k.has_row) {
  const auto decode = [&](const Dim& dim) {
    constant = constant && dim.is_constant();
    return DimCode(dim);
  };
  for (const Dim& axis : k.axes) axes.push_back(decode(axis));
  if (k.clip) clip.push_back(decode(*k.clip));
  for (const ir::Access& a : k.accesses) {
    Access access{decode(a.offset), {}};
    for (const Dim& stride : a.strides) access.strides.push_back(decode(stride));
    accesses.push_back(std::move(access));
  }
  for (const ir::Stage& stage : k.stages) {
    for (const ir::ScalarInst& i : stage.body.code) {
      if (i.op == ir::ScalarOp::index) indexed[i.imm] = true;
    }
  }
}

void Geometry::evaluate(const Layout& layout, const std::int64_t* symbols) {
  const std::size_t n = layout.accesses.size(), parallel = layout.parallel_axes;
  row = layout.has_row ? layout.axes.back().evaluate(symbols) : 1;
  blocks =
      parallel > 0 ? std::max<std::int64_t>(1, layout.axes[parallel - 1].evaluate(symbols)) : 1;
  clip = layout.clip.empty() ? -1 : layout.clip[0].evaluate(symbols);
  offsets.clear(), row_strides.clear(), extents.clear(), strides.clear();
  walked_axis.assign(layout.axes.size(), -1);
  for (const Layout::Access& a : layout.accesses) {
    offsets.push_back(a.offset.evaluate(symbols));
    row_strides.push_back(layout.has_row ? a.strides[parallel].evaluate(symbols) : 0);
  }
  // Axis by axis from outside; strides are kept axis-major until the number of walked axes is
  // known.
  items = 1;
  bool open = false;  // may the last walked axis take in the next one?
  for (std::size_t axis = 0; axis < parallel; ++axis) {
    const std::int64_t extent = layout.axes[axis].evaluate(symbols);
    items *= extent;
    if (extent == 1) continue;
    const std::size_t column = strides.size();
    for (const Layout::Access& a : layout.accesses)
      strides.push_back(a.strides[axis].evaluate(symbols));
    bool merge = open && !layout.indexed[axis];
    for (std::size_t i = 0; merge && i < n; ++i)
      merge = strides[column - n + i] == strides[column + i] * extent;
    if (merge) {
      std::copy_n(strides.begin() + static_cast<std::ptrdiff_t>(column), n,
                  strides.begin() + static_cast<std::ptrdiff_t>(column - n));
      strides.resize(column);
      extents.back() *= extent;
    } else {
      extents.push_back(extent);
    }
    open = !layout.indexed[axis];
    if (layout.indexed[axis]) walked_axis[axis] = static_cast<int>(extents.size()) - 1;
  }
  if (extents.empty()) extents.push_back(1), strides.resize(n, 0);
  // Transposed in place of a second buffer: to access-major, through the tail of the same vector.
  const std::size_t walked = extents.size();
  strides.resize(2 * n * walked);
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = 0; j < walked; ++j)
      strides[n * walked + i * walked + j] = strides[j * n + i];
  }
  std::copy_n(strides.begin() + static_cast<std::ptrdiff_t>(n * walked), n * walked,
              strides.begin());
}

}  // namespace weft::codegen
