// Masks, gathering, updated copies, triangles and diagonals.
#include "weft/ops/indexing.h"

#include <algorithm>

#include "call.h"
#include "demand.h"
#include "ir/ops/advanced_indexing.h"
#include "ir/ops/attrs.h"
#include "ir/ops/ordering.h"
#include "weft/array.h"
#include "weft/ops.h"

namespace weft {

namespace ops = ir::ops;
using frontend::Call;
using ir::NodeRef;

namespace {

NodeRef flattened(const Call& call, const NodeRef& x) {
  return call(ops::reshape, {x}, ir::ShapeAttrs{{Dim(-1)}});
}
NodeRef cast_to(const Call& call, const NodeRef& x, DType dtype) {
  return call(ops::cast, {x}, ir::CastAttrs{dtype});
}
/// Where x is not 0.
NodeRef truth(const Call& call, const NodeRef& x) { return cast_to(call, x, DType::boolean); }
NodeRef flat_positions(const Call& call, const NodeRef& mask) {
  return call(ops::nonzero_counted, {mask, call(ops::sum, {mask}, ir::ReduceAttrs{})});
}

/// An index tuple that names `at` along one axis.
std::vector<Index> along(std::int64_t dim, const Index& at) {
  std::vector<Index> tuple;
  if (dim < 0) tuple.emplace_back(ellipsis, at.where());
  for (std::int64_t i = 0; i < dim; ++i) tuple.emplace_back(Slice(), at.where());
  tuple.push_back(at);
  for (std::int64_t i = dim + 1; i < 0; ++i) tuple.emplace_back(Slice(), at.where());
  return tuple;
}
TensorUpdate update(const Operand& x, std::int64_t dim, const Index& at) {
  const auto rank = static_cast<std::int64_t>(runtime::live_type(*x.node()).rank().value_or(64));
  if (dim < -rank || dim >= rank)
    throw ShapeError("an update of " + ir::to_string(x.node()->type()) + " along axis " +
                         std::to_string(dim) + ", which it does not have",
                     x.where());
  return {Tensor(x.node()), along(dim, at), x.where()};
}
/// At the places that `index` says.
TensorUpdate update(const char* what, const Operand& x, std::int64_t dim, const Operand& index) {
  const auto dtype = runtime::live_type(*index.node()).dtype;
  if (dtype && !is_integer(*dtype))
    throw DTypeError(frontend::asked(what, {&x.node(), &index.node()}, "indices must be integers"),
                     x.where());
  return update(x, dim, Index(Tensor(index.node())));
}

}  // namespace

// ---- masks --------------------------------------------------------------------------------------

Tensor nonzero(const Operand& x) {
  const Call call{"nonzero", x.where()};
  const NodeRef mask = truth(call, x.node());
  return Tensor(call(ops::mask_places, {flat_positions(call, mask), mask, mask}, ir::AxisAttrs{0}));
}
Tensor argwhere(const Operand& x) { return nonzero(x); }

Tensors nonzero_as_tuple(const Operand& x) {
  const Call call{"nonzero", x.where()};
  const std::int64_t rank = call.rank(x.node());
  const NodeRef places = nonzero(x).node();
  Tensors columns;
  for (std::int64_t i = 0; i < rank; ++i)
    columns.emplace_back(call(ops::squeeze,
                              {call(ops::slice, {places}, ir::SliceAttrs{{1}, {i}, {i + 1}, {1}})},
                              ir::AxesAttrs{{1}}));
  return columns;
}

Tensor count_nonzero(const Operand& x, const AxisList& list) {
  const Call call{"count_nonzero", x.where()};
  const auto& axes = list.axes();
  return Tensor(call(ops::sum, {cast_to(call, truth(call, x.node()), DType::int64)},
                     ir::ReduceAttrs{axes.value_or(Axes{}), !axes, false}));
}

Tensor masked_select(const Operand& x, const Operand& mask) {
  const Call call{"masked_select", x.where()};
  const NodeRef chosen = truth(call, mask.node());
  const NodeRef met = call(ops::logical_or, {call(ops::zeros_like, {chosen}),
                                             truth(call, call(ops::zeros_like, {x.node()}))});
  const NodeRef values = call(ops::broadcast_like, {x.node(), met}),
                where = call(ops::broadcast_like, {chosen, met});
  return Tensor(call(ops::gather_rows, {flattened(call, values), flat_positions(call, where)}));
}

Tensor masked_fill(const Operand& x, const Operand& mask, const Operand& value) {
  const Call call{"masked_fill", x.where()};
  if (const auto rank = runtime::live_type(*value.node()).rank(); rank.value_or(0) > 0)
    call.fail("the value must be one element");
  return Tensor(
      call(ops::where, {mask.node(), call(ops::cast_like, {value.node(), x.node()}), x.node()}));
}

Tensor masked_scatter(const Operand& x, const Operand& mask, const Operand& source) {
  const Call call{"masked_scatter", x.where()};
  const NodeRef chosen = call(ops::broadcast_like, {truth(call, mask.node()), x.node()});
  const NodeRef counted = call(ops::cumsum, {cast_to(call, flattened(call, chosen), DType::int64)},
                               ir::ScanAttrs<ir::Scan::sum>{0, true, false});
  const NodeRef order = call(ops::reshape_like, {counted, x.node()});
  const NodeRef place = call(ops::where, {chosen, order, call(ops::zeros_like, {order})});
  const NodeRef taken = call(ops::gather_rows, {flattened(call, source.node()), place});
  return Tensor(call(ops::where, {chosen, call(ops::cast_like, {taken, x.node()}), x.node()}));
}

// ---- gathering ----------------------------------------------------------------------------------

Tensor take(const Operand& x, const Operand& index) {
  const Call call{"take", x.where()};
  return Tensor(call(ops::gather_rows, {flattened(call, x.node()), index.node()}));
}

Tensor take_along_dim(const Operand& x, const Operand& indices, std::optional<std::int64_t> dim) {
  const Call call{"take_along_dim", x.where()};
  if (!dim)
    return Tensor(call(ops::gather, {flattened(call, x.node()), flattened(call, indices.node())},
                       ir::AxisAttrs{0}));
  const std::int64_t rank = call.rank(x.node()), axis = call.axis(*dim, rank);
  if (call.rank(indices.node()) != rank) call.fail("both operands must have one number of axes");
  const auto beside = [&](const ir::NodeRef& given, const ir::NodeRef& other) {  // off the axis
    const ir::NodeRef flat = call(ops::sum, {other}, ir::ReduceAttrs{{axis}, false, true});
    return call(ops::broadcast_like, {given, call(ops::eq, {given, flat})});
  };
  return Tensor(call(ops::gather,
                     {beside(x.node(), indices.node()), beside(indices.node(), x.node())},
                     ir::AxisAttrs{axis}));
}

Tensor gather_nd(const Operand& x, const Operand& indices, std::int64_t batch_dims) {
  const Call call{"gather_nd", x.where()};
  return Tensor(
      call(ops::gather_nd, {x.node(), indices.node()}, ir::GatherNdAttrs{batch_dims, false}));
}

Tensor select(const Operand& x, std::int64_t dim, std::int64_t index) {
  const Call call{"select", x.where()};
  if (const auto type = runtime::live_type(*x.node()); type.shape) {
    const Dim& extent = (*type.shape)[static_cast<std::size_t>(call.axis(dim, *type.rank()))];
    if (const auto n = extent.constant(); n && (index >= *n || index < -*n))
      throw IndexError("select: index " + std::to_string(index) +
                           " is out of range for an axis of extent " + std::to_string(*n),
                       x.where());
  }
  const std::int64_t stop = index == -1 ? ir::slice_open_high : index + 1;
  return Tensor(call(ops::squeeze,
                     {call(ops::slice, {x.node()}, ir::SliceAttrs{{dim}, {index}, {stop}, {1}})},
                     ir::AxesAttrs{{dim}}));
}

Tensor narrow(const Operand& x, std::int64_t dim, std::int64_t start, std::int64_t length) {
  const Call call{"narrow", x.where()};
  if (const auto type = runtime::live_type(*x.node()); type.shape) {
    const Dim& extent = (*type.shape)[static_cast<std::size_t>(call.axis(dim, *type.rank()))];
    if (const auto n = extent.constant()) {
      const std::int64_t first = start < 0 ? start + *n : start;
      if (first < 0 || length < 0 || first > *n || length > *n - first)
        throw IndexError("narrow: " + std::to_string(length) + " elements from " +
                             std::to_string(start) + " on, of " + std::to_string(*n),
                         x.where());
    }
  }
  const bool to_end = start < 0 && start + length == 0;
  return Tensor(
      call(ops::slice, {x.node()},
           ir::SliceAttrs{{dim}, {start}, {to_end ? ir::slice_open_high : start + length}, {1}}));
}

// ---- updated copies -----------------------------------------------------------------------------

Tensor put(const Operand& x, const Operand& index, const Operand& source, bool accumulate) {
  const Call call{"put", x.where()};
  const NodeRef values = call(ops::cast_like, {flattened(call, source.node()), x.node()}),
                places = flattened(call, index.node());
  const NodeRef updated =
      call(ops::scatter_nd,
           {flattened(call, x.node()), call(ops::expand_dims, {places}, ir::AxesAttrs{{-1}}),
            call(ops::broadcast_like, {values, places})},
           ir::ScatterNdAttrs{0, accumulate ? "add" : "none"});
  return Tensor(call(ops::reshape_like, {updated, x.node()}));
}

Tensor index_add(const Operand& x, std::int64_t dim, const Operand& index, const Operand& source,
                 double alpha) {
  const TensorUpdate places = update("index_add", x, dim, index);
  return alpha == 1 ? places.add(source) : places.add(source * alpha);
}
Tensor index_copy(const Operand& x, std::int64_t dim, const Operand& index, const Operand& source) {
  return update("index_copy", x, dim, index).set(source);
}
Tensor index_fill(const Operand& x, std::int64_t dim, const Operand& index, const Operand& value) {
  return update("index_fill", x, dim, index).set(value);
}
Tensor index_put(const Operand& x, const Tensors& indices, const Operand& values, bool accumulate) {
  const std::vector<Index> tuple(indices.begin(), indices.end());
  const TensorUpdate places(Tensor(x.node()), tuple, x.where());
  return accumulate ? places.add(values) : places.set(values);
}

namespace {

/// The part of src that the indices ask for, in the array's dtype; one element stands for all.
NodeRef updates_for(const Call& call, const NodeRef& x, const NodeRef& index, const NodeRef& src) {
  const ir::Type given = runtime::live_type(*src), wanted = runtime::live_type(*index);
  NodeRef values = call(ops::cast_like, {src, x});
  if (given.rank() == 0) return call(ops::broadcast_like, {values, index});
  if (!given.shape || !wanted.shape || given.shape->size() != wanted.shape->size()) return values;
  ir::SliceAttrs part;
  for (std::size_t i = 0; i < given.shape->size(); ++i) {
    if ((*given.shape)[i] == (*wanted.shape)[i]) continue;
    part.axes.push_back(static_cast<std::int64_t>(i));
    part.starts.emplace_back(0);
    part.stops.push_back((*wanted.shape)[i]);
    part.steps.push_back(1);
  }
  return part.axes.empty() ? values : call(ops::slice, {values}, std::move(part));
}

NodeRef scattered(const Call& call, const NodeRef& x, std::int64_t dim, const NodeRef& index,
                  const NodeRef& updates, const char* reduction) {
  return call(ops::scatter, {x, index, updates}, ir::ScatterAttrs{dim, reduction});
}

}  // namespace

Tensor scatter(const Operand& x, std::int64_t dim, const Operand& index, const Operand& src) {
  const Call call{"scatter", x.where()};
  return Tensor(scattered(call, x.node(), dim, index.node(),
                          updates_for(call, x.node(), index.node(), src.node()), "none"));
}
Tensor scatter_add(const Operand& x, std::int64_t dim, const Operand& index, const Operand& src) {
  const Call call{"scatter_add", x.where()};
  return Tensor(scattered(call, x.node(), dim, index.node(),
                          updates_for(call, x.node(), index.node(), src.node()), "add"));
}

Tensor scatter_reduce(const Operand& x, std::int64_t dim, const Operand& index, const Operand& src,
                      const std::string& reduce, bool include_self) {
  struct Kind {
    const char *name, *reduction;
    double identity;
  };
  constexpr double inf = std::numeric_limits<double>::infinity();
  constexpr Kind kinds[] = {{"sum", "add", 0},
                            {"mean", "add", 0},
                            {"prod", "mul", 1},
                            {"amax", "max", -inf},
                            {"amin", "min", inf}};
  const Call call{"scatter_reduce", x.where()};
  const auto* const kind = std::ranges::find(kinds, reduce, &Kind::name);
  if (kind == std::end(kinds))
    throw Error("scatter_reduce: reduce '" + reduce + "'; there are sum, prod, mean, amax, amin",
                x.where());
  const auto filled = [&](double value, const NodeRef& like) {
    return call(ops::cast_like, {call.constant(ir::Literal::scalar(DType::float64, value)), like});
  };
  const NodeRef updates = updates_for(call, x.node(), index.node(), src.node());
  const NodeRef none = call(ops::zeros_like, {x.node()}), one = call(ops::ones_like, {updates});
  NodeRef base = x.node();
  if (!include_self) {
    const NodeRef hit = truth(call, scattered(call, none, dim, index.node(), one, "none"));
    base = call(ops::where, {hit, filled(kind->identity, x.node()), x.node()});
  }
  const NodeRef total = scattered(call, base, dim, index.node(), updates, kind->reduction);
  if (reduce != "mean") return Tensor(total);
  const NodeRef counts = scattered(call, include_self ? call(ops::ones_like, {x.node()}) : none,
                                   dim, index.node(), one, "add");
  const NodeRef least = call(ops::maximum, {counts, filled(1, x.node())});
  const auto dtype = runtime::live_type(*x.node()).dtype;
  const bool whole = dtype && is_integer(*dtype);
  return Tensor(call(whole ? ops::floor_divide : ops::div, {total, least}));
}

Tensor scatter_nd(const Operand& x, const Operand& indices, const Operand& updates,
                  const std::string& reduction) {
  const Call call{"scatter_nd", x.where()};
  return Tensor(call(ops::scatter_nd,
                     {x.node(), indices.node(), call(ops::cast_like, {updates.node(), x.node()})},
                     ir::ScatterNdAttrs{0, reduction}));
}

Tensor select_scatter(const Operand& x, const Operand& src, std::int64_t dim, std::int64_t index) {
  return update(x, dim, Index(index)).set(src);
}
Tensor slice_scatter(const Operand& x, const Operand& src, std::int64_t dim,
                     std::optional<std::int64_t> start, std::optional<std::int64_t> end,
                     std::int64_t step) {
  const auto bound = [](std::optional<std::int64_t> at) { return at ? Bound(*at) : Bound(none); };
  return update(x, dim, Index(Slice(bound(start), bound(end), step))).set(src);
}

Tensor diagonal_scatter(const Operand& x, const Operand& src, std::int64_t offset,
                        std::int64_t dim1, std::int64_t dim2) {
  const Call call{"diagonal_scatter", x.where()};
  const ir::DiagonalAttrs place{offset, dim1, dim2};
  const NodeRef values = call(ops::cast_like, {src.node(), x.node()});
  const NodeRef yes = truth(call, call(ops::ones_like, {values}));
  return Tensor(call(ops::where, {truth(call, call(ops::embed_diagonal, {yes, x.node()}, place)),
                                  call(ops::embed_diagonal, {values, x.node()}, place), x.node()}));
}

// ---- triangles and diagonals --------------------------------------------------------------------

Tensor tril(const Operand& x, const Operand& diagonal) {
  return Tensor(Call{"tril", x.where()}(ops::tril, {x.node(), diagonal.node()}));
}
Tensor triu(const Operand& x, const Operand& diagonal) {
  return Tensor(Call{"triu", x.where()}(ops::triu, {x.node(), diagonal.node()}));
}

namespace {

template <class Kept> Array places_where(std::int64_t rows, std::int64_t columns, Kept kept) {
  std::vector<std::int64_t> at[2];
  for (std::int64_t i = 0; i < rows; ++i)
    for (std::int64_t j = 0; j < columns; ++j)
      if (kept(j - i)) {
        at[0].push_back(i);
        at[1].push_back(j);
      }
  const auto n = std::ssize(at[0]);
  at[0].insert(at[0].end(), at[1].begin(), at[1].end());
  return Array::from(at[0], {2, n});
}

}  // namespace

Array tril_indices(std::int64_t rows, std::int64_t columns, std::int64_t offset) {
  return places_where(rows, columns, [&](std::int64_t off) { return off <= offset; });
}
Array triu_indices(std::int64_t rows, std::int64_t columns, std::int64_t offset) {
  return places_where(rows, columns, [&](std::int64_t off) { return off >= offset; });
}

Tensor diag(const Operand& x, std::int64_t diagonal) {
  const Call call{"diag", x.where()};
  const std::int64_t rank = call.rank(x.node());
  if (rank == 1) return diag_embed(x, diagonal);
  if (rank != 2) call.fail("needs a vector or a matrix");
  return weft::diagonal(x, diagonal, 0, 1);
}

Tensor diag_embed(const Operand& x, std::int64_t offset, std::int64_t dim1, std::int64_t dim2) {
  const Call call{"diag_embed", x.where()};
  Dims shape = call.dims(x.node());
  if (shape.empty()) call.fail("needs at least one axis");
  const auto rank = std::ssize(shape) + 1;
  const std::int64_t first = std::min(call.axis(dim1, rank), call.axis(dim2, rank)),
                     second = std::max(call.axis(dim1, rank), call.axis(dim2, rank));
  if (first == second) call.fail("an axis given twice");
  const Dim extent = shape.back() + Dim(offset < 0 ? -offset : offset);
  shape.pop_back();
  shape.insert(shape.begin() + first, extent);
  shape.insert(shape.begin() + second, extent);
  // Read for its type alone.
  const NodeRef target =
      call(ops::broadcast_to, {call.number(0)}, ir::ShapeAttrs{std::move(shape)});
  return Tensor(
      call(ops::embed_diagonal, {x.node(), target}, ir::DiagonalAttrs{offset, dim1, dim2}));
}

Tensor diagflat(const Operand& x, std::int64_t offset) {
  const Call call{"diagflat", x.where()};
  const Dim n = product(call.dims(x.node()));
  const Tensor flat(call(ops::reshape, {x.node()}, ir::ShapeAttrs{{n}}));
  return diag_embed(Operand(flat, {}), offset);
}

Tensor block_diag(const Tensors& parts, CallSite where) {
  const Call call{"block_diag", where};
  Dim columns = 0, before = 0;
  std::vector<NodeRef> blocks, rows;
  for (const Tensor& part : parts) {
    const Dims shape = call.dims(part.node());
    if (shape.size() > 2) call.fail("needs matrices");
    const Dims block{shape.size() == 2 ? shape[0] : Dim(1), shape.empty() ? Dim(1) : shape.back()};
    blocks.push_back(call(ops::reshape, {part.node()}, ir::ShapeAttrs{block}));
    columns = columns + block[1];
  }
  for (const NodeRef& block : blocks) {
    const Dim width = (*block->type().shape)[1];
    rows.push_back(
        call(ops::pad, {block}, ir::PadAttrs{{0, before}, {0, columns - before - width}, {}, 0}));
    before = before + width;
  }
  return Tensor(call(ops::concatenate, std::move(rows), ir::AxisAttrs{0}));
}

}  // namespace weft
