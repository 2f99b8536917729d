// Repeating, pieces, arrangements, and shapes as values.
#include <algorithm>

#include "call.h"
#include "extents.h"
#include "ir/ops/advanced_indexing.h"
#include "ir/ops/attrs.h"
#include "ir/ops/dynamic.h"
#include "ir/ops/ordering.h"
#include "room.h"
#include "weft/ops.h"
#include "weft/ops/indexing.h"

namespace weft {

namespace ops = ir::ops;
using frontend::Call;
using ir::NodeRef;

namespace {

NodeRef flattened(const Call& call, const NodeRef& x) {
  return call(ops::reshape, {x}, ir::ShapeAttrs{{Dim(-1)}});
}
NodeRef reshaped(const Call& call, const NodeRef& x, Dims shape) {
  return call(ops::reshape, {x}, ir::ShapeAttrs{std::move(shape)});
}
}  // namespace

// ---- repeating ----------------------------------------------------------------------------------

Tensor repeat(const Operand& x, std::vector<std::int64_t> repeats) {
  const Call call{"repeat", x.where()};
  if (const auto rank = runtime::live_type(*x.node()).rank(); rank && *rank > std::ssize(repeats))
    call.fail("needs a count for each of the " + std::to_string(*rank) + " axes");
  return tile(x, std::move(repeats));
}
Tensor tile(const Operand& x, std::vector<std::int64_t> repeats) {
  const Call call{"tile", x.where()};
  return Tensor(call(ops::tile_by, {x.node(), call.list(repeats)}));
}

Tensor repeat_interleave(const Operand& x, std::int64_t repeats, std::optional<std::int64_t> dim) {
  const Call call{"repeat_interleave", x.where()};
  if (repeats < 0) call.fail("a negative count");
  NodeRef from = frontend::of_shape(x).node();
  Dims shape = call.dims(from);
  if (!dim) {
    shape = {product(shape)};
    from = reshaped(call, from, shape);
  }
  const std::int64_t axis = call.axis(dim.value_or(0), std::ssize(shape));
  const auto at = shape.begin() + axis;
  Dims copies = shape;
  copies.insert(copies.begin() + axis + 1, Dim(repeats));
  *at = *at * Dim(repeats);
  const NodeRef spread =
      call(ops::broadcast_to, {call(ops::expand_dims, {from}, ir::AxesAttrs{{axis + 1}})},
           ir::ShapeAttrs{std::move(copies)});
  return Tensor(reshaped(call, spread, std::move(shape)));
}

namespace detail {

/// Element k of the result is the first whose counts, added up, exceed k.
Tensor repeat_by(const Operand& x, const Tensor& repeats, std::optional<std::int64_t> dim) {
  const Call call{"repeat_interleave", x.where()};
  const NodeRef from = dim ? x.node() : flattened(call, x.node());
  const std::int64_t axis = dim.value_or(0);
  const NodeRef extent = call(ops::count, {from}, ir::ReduceAttrs{{axis}, false, false});
  const NodeRef counts =
      call(ops::broadcast_to_shape, {call(ops::cast, {repeats.node()}, ir::CastAttrs{DType::int64}),
                                     call(ops::reshape, {extent}, ir::ShapeAttrs{{Dim(1)}})});
  const NodeRef ends = call(ops::cumsum, {counts}, ir::ScanAttrs<ir::Scan::sum>{0, false, false});
  const NodeRef total = call(ops::sum, {counts}, ir::ReduceAttrs{});
  const NodeRef places = call(ops::arange_by, {call.number(0), total, call.number(1)});
  const NodeRef index = call(ops::searchsorted, {ends, places}, ir::SearchAttrs{true});
  if (axis == 0) return Tensor(call(ops::gather_rows, {from, index}));
  const std::int64_t rank = call.rank(from), at = call.axis(axis, rank);
  Axes to_front{at}, back;
  for (std::int64_t i = 0; i < rank; ++i)
    if (i != at) to_front.push_back(i);
  for (std::int64_t i = 0; i < rank; ++i) back.push_back(i < at ? i + 1 : i == at ? 0 : i);
  const NodeRef rows = call(ops::permute, {from}, ir::AxesAttrs{to_front});
  return Tensor(call(ops::permute, {call(ops::gather_rows, {rows, index})}, ir::AxesAttrs{back}));
}

Tensor reshape_to(const Operand& x, const Tensor& shape) {
  const Call call{"reshape", x.where()};
  return Tensor(call(ops::reshape_to, {x.node(), shape.node()}, ir::ReshapeToAttrs{true}));
}
Tensor broadcast_to_shape(const Operand& x, const Tensor& shape) {
  return Tensor(Call{"broadcast_to", x.where()}(ops::broadcast_to_shape, {x.node(), shape.node()}));
}
Tensor tile_by(const Operand& x, const Tensor& repeats) {
  return Tensor(Call{"tile", x.where()}(ops::tile_by, {x.node(), repeats.node()}));
}
Tensor full_by(const Tensor& shape, const Operand& value) {
  return Tensor(Call{"full", value.where()}(ops::full_by, {shape.node(), value.node()}));
}

}  // namespace detail

Tensor expand_as(const Operand& x, const Operand& other) {
  return Tensor(Call{"expand_as", x.where()}(ops::broadcast_like, {x.node(), other.node()}));
}
Tensor view_as(const Operand& x, const Operand& other) {
  return Tensor(Call{"view_as", x.where()}(ops::reshape_like, {x.node(), other.node()}));
}

Tensors broadcast_tensors(const Tensors& tensors, CallSite where) {
  const Call call{"broadcast_tensors", where};
  Tensors result;
  NodeRef met = call.constant(ir::Literal::scalar(DType::boolean, 0));
  for (const Tensor& t : tensors)
    met = call(ops::logical_or, {met, call(ops::zeros_like, {t.node()})});
  for (const Tensor& t : tensors) result.emplace_back(call(ops::broadcast_like, {t.node(), met}));
  return result;
}

Tensors meshgrid(const Tensors& tensors, const std::string& indexing, CallSite where) {
  const Call call{"meshgrid", where};
  if (indexing != "ij" && indexing != "xy")
    throw Error("meshgrid: indexing '" + indexing + "'; there are ij and xy", where);
  const auto n = std::ssize(tensors);
  const bool swapped = indexing == "xy" && n > 1;
  Tensors columns;
  for (std::int64_t i = 0; i < n; ++i) {
    const NodeRef& x = tensors[static_cast<std::size_t>(i)].node();
    if (runtime::live_type(*x).rank().value_or(1) > 1) call.fail("needs vectors");
    const std::int64_t axis = swapped && i < 2 ? 1 - i : i;
    ir::AxesAttrs others;
    for (std::int64_t k = 0; k < n; ++k)
      if (k != axis) others.axes.push_back(k);
    const NodeRef flat = flattened(call, x);
    columns.emplace_back(others.axes.empty() ? flat : call(ops::expand_dims, {flat}, others));
  }
  return broadcast_tensors(columns, where);
}

Tensor cartesian_prod(const Tensors& tensors, CallSite where) {
  const Call call{"cartesian_prod", where};
  if (tensors.size() == 1) return tensors[0];
  std::vector<NodeRef> columns;
  for (const Tensor& grid : meshgrid(tensors, "ij", where))
    columns.push_back(call(ops::expand_dims, {flattened(call, grid.node())}, ir::AxesAttrs{{1}}));
  return Tensor(call(ops::concatenate, std::move(columns), ir::AxisAttrs{1}));
}

Tensor combinations(const Operand& x, std::int64_t r, bool with_replacement) {
  const Call call{"combinations", x.where()};
  const NodeRef from = frontend::of_shape(x).node();
  const Dims shape = call.dims(from);
  if (shape.size() != 1 || !shape[0].is_constant() || r < 0)
    call.fail("needs a vector of known extent, and a number of elements");
  const std::int64_t n = shape[0].value();
  // How many rows there are: r, or the rest, of so many.
  const auto chosen = static_cast<double>(r);
  const double among = static_cast<double>(n) + (with_replacement ? chosen - 1 : 0);
  const double least = r == 0 ? 0 : std::min(chosen, among - chosen);
  double wanted = least < 0 ? 0 : 1;
  for (double i = 0; i < least && wanted < 0x1p62; ++i) wanted *= (among - i) / (i + 1);
  const Dims indices{Dim(static_cast<std::int64_t>(std::min(wanted, 0x1p62))), Dim(r)};
  frontend::demand_room({DType::int64, indices}, {}, x.where());
  if (wanted == 0) {
    const NodeRef none = call.constant(ir::Literal::copy(DType::int64, {0, r}, nullptr));
    return Tensor(call(ops::gather_rows, {from, none}));
  }
  std::vector<std::int64_t> rows, at(static_cast<std::size_t>(r));
  const auto lowest = [&](std::size_t i) { return at[i] + (with_replacement ? 0 : 1); };
  for (std::size_t i = 1; i < at.size(); ++i) at[i] = lowest(i - 1);
  const auto valid = [&] { return at.empty() || at.back() < n; };
  while (valid()) {
    rows.insert(rows.end(), at.begin(), at.end());
    std::size_t i = at.size();
    bool more = false;
    while (!more && i-- > 0) {  // the last place that can move on; those behind it start anew
      ++at[i];
      for (std::size_t k = i + 1; k < at.size(); ++k) at[k] = lowest(k - 1);
      more = valid();
    }
    if (!more) break;
  }
  const std::int64_t count = r == 0 ? 1 : std::ssize(rows) / std::max<std::int64_t>(r, 1);
  const NodeRef index = call.constant(ir::Literal::copy(DType::int64, {count, r}, rows.data()));
  return Tensor(call(ops::gather_rows, {from, index}));
}

// ---- pieces -------------------------------------------------------------------------------------

namespace {

/// Cut before each of these places.
Tensors cut(const Call& call, const NodeRef& x, std::int64_t axis, const std::vector<Dim>& places) {
  Tensors parts;
  for (std::size_t i = 0; i <= places.size(); ++i)
    parts.emplace_back(
        call(ops::slice, {x},
             ir::SliceAttrs{{axis},
                            {i == 0 ? Dim(0) : places[i - 1]},
                            {i == places.size() ? Dim(ir::slice_open_high) : places[i]},
                            {1}}));
  return parts;
}

/// The extent along an axis, which must be a number.
std::int64_t extent_along(const Call& call, const NodeRef& x, std::int64_t axis) {
  const Dim extent = call.dims(x)[static_cast<std::size_t>(axis)];
  if (!extent.is_constant())
    call.fail("the extent " + extent.str() + " of axis " + std::to_string(axis) + " must be known");
  return extent.value();
}

}  // namespace

Tensors chunk(const Operand& x, std::int64_t chunks, std::int64_t dim) {
  const Call call{"chunk", x.where()};
  if (chunks < 1) call.fail("into " + std::to_string(chunks));
  const std::int64_t axis = call.axis(dim, call.rank(x.node())),
                     n = extent_along(call, x.node(), axis),
                     each = std::max<std::int64_t>(1, (n + chunks - 1) / chunks);
  std::vector<Dim> places;
  for (std::int64_t at = each; at < n; at += each) places.emplace_back(at);
  if (n == 0) places.assign(static_cast<std::size_t>(chunks - 1), 0);  // as many as asked for
  return cut(call, x.node(), axis, places);
}

Tensors split(const Operand& x, const std::vector<std::int64_t>& sizes, std::int64_t dim) {
  const Call call{"split", x.where()};
  const std::int64_t axis = call.axis(dim, call.rank(x.node()));
  const Dim extent = call.dims(x.node())[static_cast<std::size_t>(axis)];
  std::int64_t total = 0;
  std::vector<Dim> places;
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    if (sizes[i] < 0) call.fail("a negative size");
    if (i > 0) places.emplace_back(total);
    total += sizes[i];
  }
  if (extent.constant().value_or(total) != total || sizes.empty())
    call.fail("sizes of " + std::to_string(total) + " in all for an extent of " + extent.str());
  return cut(call, x.node(), axis, places);
}

Tensors tensor_split(const Operand& x, std::int64_t sections, std::int64_t dim) {
  const Call call{"tensor_split", x.where()};
  if (sections < 1) call.fail("into " + std::to_string(sections));
  const std::int64_t axis = call.axis(dim, call.rank(x.node())),
                     n = extent_along(call, x.node(), axis);
  std::vector<Dim> places;
  for (std::int64_t i = 1; i < sections; ++i)
    places.emplace_back(i * (n / sections) + std::min(i, n % sections));
  return cut(call, x.node(), axis, places);
}

Tensors tensor_split(const Operand& x, const std::vector<std::int64_t>& places, std::int64_t dim) {
  const Call call{"tensor_split", x.where()};
  const std::int64_t axis = call.axis(dim, call.rank(x.node()));
  return cut(call, x.node(), axis, {places.begin(), places.end()});
}

namespace {

Tensors equal_parts(const Call& call, const Operand& x, std::int64_t sections, std::int64_t axis) {
  const std::int64_t n = extent_along(call, x.node(), axis);
  if (sections < 1 || n % sections != 0)
    call.fail("an extent of " + std::to_string(n) + " into " + std::to_string(sections) +
              " equal parts");
  return tensor_split(x, sections, axis);
}

}  // namespace

Tensors hsplit(const Operand& x, std::int64_t sections) {
  const Call call{"hsplit", x.where()};
  const std::int64_t rank = call.rank(x.node());
  if (rank < 1) call.fail("needs at least one axis");
  return equal_parts(call, x, sections, rank == 1 ? 0 : 1);
}
Tensors vsplit(const Operand& x, std::int64_t sections) {
  const Call call{"vsplit", x.where()};
  if (call.rank(x.node()) < 2) call.fail("needs at least two axes");
  return equal_parts(call, x, sections, 0);
}
Tensors dsplit(const Operand& x, std::int64_t sections) {
  const Call call{"dsplit", x.where()};
  if (call.rank(x.node()) < 3) call.fail("needs at least three axes");
  return equal_parts(call, x, sections, 2);
}

Tensors unbind(const Operand& x, std::int64_t dim) {
  const Call call{"unbind", x.where()};
  const std::int64_t axis = call.axis(dim, call.rank(x.node())),
                     n = extent_along(call, x.node(), axis);
  Tensors parts;
  for (std::int64_t i = 0; i < n; ++i) parts.push_back(select(x, axis, i));
  return parts;
}

// ---- arranging ----------------------------------------------------------------------------------

Tensor roll(const Operand& x, std::vector<std::int64_t> shifts, Axes dims) {
  const Call call{"roll", x.where()};
  if (!dims.empty())
    return Tensor(call(ops::roll, {x.node()}, ir::RollAttrs{std::move(shifts), std::move(dims)}));
  const NodeRef rolled =
      call(ops::roll, {flattened(call, x.node())}, ir::RollAttrs{std::move(shifts), {0}});
  return Tensor(call(ops::reshape_like, {rolled, x.node()}));
}

Tensor rot90(const Operand& x, std::int64_t k, Axes dims) {
  const Call call{"rot90", x.where()};
  const std::int64_t rank = call.rank(x.node());
  if (dims.size() != 2) call.fail("needs two axes");
  const std::int64_t a = call.axis(dims[0], rank), b = call.axis(dims[1], rank);
  if (a == b) call.fail("an axis given twice");
  const std::int64_t turns = (k % 4 + 4) % 4;
  if (turns == 0) return Tensor(x.node());
  if (turns == 2) return flip(x, {a, b});
  const auto swapped = [&](const NodeRef& of) {
    ir::AxesAttrs axes;
    for (std::int64_t i = 0; i < rank; ++i) axes.axes.push_back(i == a ? b : i == b ? a : i);
    return call(ops::permute, {of}, axes);
  };
  const auto flipped = [&](const NodeRef& of, std::int64_t axis) {
    return call(ops::flip, {of}, ir::AxesAttrs{{axis}});
  };
  return Tensor(turns == 1 ? swapped(flipped(x.node(), b)) : flipped(swapped(x.node()), b));
}

Tensor fliplr(const Operand& x) { return flip(x, {1}); }
Tensor flipud(const Operand& x) { return flip(x, {0}); }
Tensor swapaxes(const Operand& x, std::int64_t a, std::int64_t b) { return transpose(x, a, b); }

Tensor movedim(const Operand& x, Axes source, Axes destination) {
  const Call call{"movedim", x.where()};
  const std::int64_t rank = call.rank(x.node());
  if (source.size() != destination.size()) call.fail("needs a destination for each axis");
  Axes order(static_cast<std::size_t>(rank), -1);
  std::vector<bool> moved(static_cast<std::size_t>(rank), false);
  for (std::size_t i = 0; i < source.size(); ++i) {
    const std::int64_t from = call.axis(source[i], rank);
    std::int64_t& place = order[static_cast<std::size_t>(call.axis(destination[i], rank))];
    if (moved[static_cast<std::size_t>(from)] || place != -1) call.fail("an axis given twice");
    moved[static_cast<std::size_t>(from)] = true;
    place = from;
  }
  std::int64_t next = 0;
  for (std::int64_t& place : order) {
    if (place != -1) continue;
    while (moved[static_cast<std::size_t>(next)]) ++next;
    place = next++;
  }
  return permute(x, std::move(order));
}
Tensor movedim(const Operand& x, std::int64_t source, std::int64_t destination) {
  return movedim(x, Axes{source}, Axes{destination});
}

Tensor unflatten(const Operand& x, std::int64_t dim, Dims sizes) {
  const Call call{"unflatten", x.where()};
  Dims shape = call.dims(x.node());
  const std::int64_t axis = call.axis(dim, std::ssize(shape));
  const Dim extent = shape[static_cast<std::size_t>(axis)];
  const auto open = std::ranges::find(sizes, Dim(-1));
  if (open != sizes.end()) {
    *open = 1;
    const Dim others = product(sizes);
    if (others == Dim(0)) call.fail("-1 is ambiguous beside an extent of 0");
    *open = floordiv(extent, others);
  }
  if (const Dim spare = product(sizes) - extent; spare.is_constant() && spare != Dim(0))
    call.fail("extent " + extent.str() + " as " + to_string(std::span<const Dim>(sizes)));
  shape.erase(shape.begin() + axis);
  shape.insert(shape.begin() + axis, sizes.begin(), sizes.end());
  return Tensor(reshaped(call, x.node(), std::move(shape)));
}

Tensor atleast_1d(const Operand& x) {
  const Call call{"atleast_1d", x.where()};
  return call.rank(x.node()) >= 1 ? Tensor(x.node()) : Tensor(reshaped(call, x.node(), {1}));
}
Tensor atleast_2d(const Operand& x) {
  const Call call{"atleast_2d", x.where()};
  const std::int64_t rank = call.rank(x.node());
  if (rank >= 2) return Tensor(x.node());
  return Tensor(
      call(ops::expand_dims, {x.node()}, ir::AxesAttrs{rank == 0 ? Axes{0, 1} : Axes{0}}));
}
Tensor atleast_3d(const Operand& x) {
  const Call call{"atleast_3d", x.where()};
  const std::int64_t rank = call.rank(x.node());
  if (rank >= 3) return Tensor(x.node());
  const Axes added = rank == 0 ? Axes{0, 1, 2} : rank == 1 ? Axes{0, 2} : Axes{2};
  return Tensor(call(ops::expand_dims, {x.node()}, ir::AxesAttrs{added}));
}

namespace {

template <Tensor (*Grown)(const Operand&)> Tensors all_of(const Tensors& parts, CallSite where) {
  Tensors result;
  for (const Tensor& part : parts) result.push_back(Grown(Operand(part, where)));
  return result;
}

}  // namespace

Tensor hstack(const Tensors& parts, CallSite where) {
  const Tensors grown = all_of<atleast_1d>(parts, where);
  const Call call{"hstack", where};
  const bool vectors = grown.empty() || call.rank(grown[0].node()) == 1;
  return concatenate(grown, vectors ? 0 : 1, where);
}
Tensor vstack(const Tensors& parts, CallSite where) {
  return concatenate(all_of<atleast_2d>(parts, where), 0, where);
}
Tensor dstack(const Tensors& parts, CallSite where) {
  return concatenate(all_of<atleast_3d>(parts, where), 2, where);
}
Tensor column_stack(const Tensors& parts, CallSite where) {
  const Call call{"column_stack", where};
  std::vector<NodeRef> columns;
  for (const Tensor& part : parts) {
    const std::int64_t rank = call.rank(part.node());
    columns.push_back(rank >= 2 ? part.node()
                                : call(ops::expand_dims, {part.node()},
                                       ir::AxesAttrs{rank == 0 ? Axes{0, 1} : Axes{1}}));
  }
  return Tensor(call(ops::concatenate, std::move(columns), ir::AxisAttrs{1}));
}

// ---- shapes as values ---------------------------------------------------------------------------

Tensor shape(const Operand& x) {
  return Tensor(Call{"shape", x.where()}(ops::shape_of, {x.node()}, ir::ShapeOfAttrs{}));
}

Tensors unravel_index(const Operand& indices, const std::vector<std::int64_t>& shape) {
  const Call call{"unravel_index", indices.where()};
  Tensors columns(shape.size(), Tensor(indices.node()));
  NodeRef rest = indices.node();
  for (std::size_t i = shape.size(); i-- > 1;) {
    columns[i] = Tensor(call(ops::remainder, {rest, call.number(shape[i])}));
    rest = call(ops::floor_divide, {rest, call.number(shape[i])});
  }
  if (!columns.empty()) columns[0] = Tensor(rest);
  return columns;
}

Tensor arange(const Operand& start, const Operand& end, const Operand& step) {
  return Tensor(
      Call{"arange", start.where()}(ops::arange_by, {start.node(), end.node(), step.node()}));
}

namespace {
Tensor slice_by(std::initializer_list<Operand> operands) {
  const Call call{"slice", operands.begin()->where()};
  std::vector<NodeRef> nodes;
  for (const Operand& operand : operands) nodes.push_back(operand.node());
  return Tensor(call(ops::slice_by, std::move(nodes)));
}
}  // namespace

Tensor slice(const Operand& x, const Operand& starts, const Operand& ends) {
  return slice_by({x, starts, ends});
}
Tensor slice(const Operand& x, const Operand& starts, const Operand& ends, const Operand& axes) {
  return slice_by({x, starts, ends, axes});
}
Tensor slice(const Operand& x, const Operand& starts, const Operand& ends, const Operand& axes,
             const Operand& steps) {
  return slice_by({x, starts, ends, axes, steps});
}

}  // namespace weft
