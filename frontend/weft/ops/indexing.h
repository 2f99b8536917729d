// Indexed access: gathering, scattering, masks, pieces and arrangements of tensors, and shapes that
// depend on values. Names, arguments and defaults are PyTorch's (NumPy's where PyTorch has none).
//
// Indices are integer tensors and count from the end where negative; one out of range throws
// IndexError when it is met, with the line of the call. Where several indices name one place, the
// last one wins, whatever the number of threads. What masks select, and whatever is told its shape
// by a tensor, has a shape that is known only once the values are.
//
// "Known axes": functions that say so need the number of axes (some the extents, too) of their
// operand when they are called, from its declaration or its value; else ShapeError.
#pragma once

#include <concepts>
#include <optional>
#include <source_location>
#include <string>
#include <utility>
#include <vector>

#include "weft/tensor.h"

namespace weft {

using CallSite = std::source_location;
using Tensors = std::vector<Tensor>;

// ---- masks --------------------------------------------------------------------------------------

/// Positions of the elements that are not 0: int64(n, rank), in row-major order.
Tensor nonzero(const Operand& x);
/// numpy.argwhere: the same.
Tensor argwhere(const Operand& x);
/// One int64(n) a axis of x, which has known axes: what x's own indexing takes.
Tensors nonzero_as_tuple(const Operand& x);
/// How many elements are not 0, int64; without axes, of all.
Tensor count_nonzero(const Operand& x, const AxisList& axes = {});
/// The elements of x where the mask is true, as one axis; both are broadcast together.
Tensor masked_select(const Operand& x, const Operand& mask);
/// x with `value`, one element, where the mask is true; both are broadcast together.
Tensor masked_fill(const Operand& x, const Operand& mask, const Operand& value);
/// x with the elements of `source`, in order, where the mask is true. The mask is broadcast to x;
/// IndexError where `source` has too few elements.
Tensor masked_scatter(const Operand& x, const Operand& mask, const Operand& source);

// ---- gathering ----------------------------------------------------------------------------------

/// Elements of the flattened x, in the shape of the indices.
Tensor take(const Operand& x, const Operand& index);
/// As numpy.take_along_axis: x and the indices broadcast off the axis; without one, x is flattened.
Tensor take_along_dim(const Operand& x, const Operand& indices,
                      std::optional<std::int64_t> dim = {});
/// ONNX's GatherND: tuples of indices along the last axis, behind `batch_dims` common axes.
Tensor gather_nd(const Operand& x, const Operand& indices, std::int64_t batch_dims = 0);
/// x[..., index, ...] at one place of axis `dim`, which goes.
Tensor select(const Operand& x, std::int64_t dim, std::int64_t index);
/// `length` elements along `dim` from `start` on.
Tensor narrow(const Operand& x, std::int64_t dim, std::int64_t start, std::int64_t length);

// ---- updated copies -----------------------------------------------------------------------------

/// x with `source` at places of the flattened x, or added there.
Tensor put(const Operand& x, const Operand& index, const Operand& source, bool accumulate = false);
/// x + alpha * source at the indices along `dim`.
Tensor index_add(const Operand& x, std::int64_t dim, const Operand& index, const Operand& source,
                 double alpha = 1);
Tensor index_copy(const Operand& x, std::int64_t dim, const Operand& index, const Operand& source);
Tensor index_fill(const Operand& x, std::int64_t dim, const Operand& index, const Operand& value);
/// x.at(indices).set(values) or .add(values).
Tensor index_put(const Operand& x, const Tensors& indices, const Operand& values,
                 bool accumulate = false);
/// x with src at the indices along `dim`; src is at least as large as the indices, or one element.
Tensor scatter(const Operand& x, std::int64_t dim, const Operand& index, const Operand& src);
Tensor scatter_add(const Operand& x, std::int64_t dim, const Operand& index, const Operand& src);
/// `reduce` is "sum", "prod", "mean", "amax" or "amin"; x itself takes part unless told otherwise.
/// Equal extremes share a gradient evenly.
Tensor scatter_reduce(const Operand& x, std::int64_t dim, const Operand& index, const Operand& src,
                      const std::string& reduce, bool include_self = true);
/// ONNX's ScatterND: `reduction` is "none", "add", "mul", "max" or "min".
Tensor scatter_nd(const Operand& x, const Operand& indices, const Operand& updates,
                  const std::string& reduction = "none");
/// x with src in place of one slice, one range or one diagonal.
Tensor select_scatter(const Operand& x, const Operand& src, std::int64_t dim, std::int64_t index);
Tensor slice_scatter(const Operand& x, const Operand& src, std::int64_t dim = 0,
                     std::optional<std::int64_t> start = {}, std::optional<std::int64_t> end = {},
                     std::int64_t step = 1);
Tensor diagonal_scatter(const Operand& x, const Operand& src, std::int64_t offset = 0,
                        std::int64_t dim1 = 0, std::int64_t dim2 = 1);

// ---- triangles and diagonals --------------------------------------------------------------------

/// The last two axes with zeros above the diagonal (below it).
Tensor tril(const Operand& x, const Operand& diagonal = std::int64_t{0});
Tensor triu(const Operand& x, const Operand& diagonal = std::int64_t{0});
/// Their places: int64(2, n).
Array tril_indices(std::int64_t rows, std::int64_t columns, std::int64_t offset = 0);
Array triu_indices(std::int64_t rows, std::int64_t columns, std::int64_t offset = 0);
/// A vector as a diagonal, or the diagonal of a matrix; known axes.
Tensor diag(const Operand& x, std::int64_t diagonal = 0);
/// The last axis as diagonals of new axes dim1 and dim2; known shape.
Tensor diag_embed(const Operand& x, std::int64_t offset = 0, std::int64_t dim1 = -2,
                  std::int64_t dim2 = -1);
Tensor diagflat(const Operand& x, std::int64_t offset = 0);
/// Matrices (vectors are rows) along the diagonal; known shapes.
Tensor block_diag(const Tensors& parts, CallSite where = CallSite::current());

// ---- repeating ----------------------------------------------------------------------------------

/// `repeats` has at least as many entries as x has axes.
Tensor repeat(const Operand& x, std::vector<std::int64_t> repeats);
Tensor tile(const Operand& x, std::vector<std::int64_t> repeats);
/// Each element `repeats` times in a row along an axis (flattened without one); known shape.
Tensor repeat_interleave(const Operand& x, std::int64_t repeats,
                         std::optional<std::int64_t> dim = {});
Tensor expand_as(const Operand& x, const Operand& other);
Tensor view_as(const Operand& x, const Operand& other);
/// All broadcast together; dtypes stay.
Tensors broadcast_tensors(const Tensors& tensors, CallSite where = CallSite::current());
/// "ij": the first tensor varies along the first axis; "xy": along the second.
Tensors meshgrid(const Tensors& tensors, const std::string& indexing = "ij",
                 CallSite where = CallSite::current());
/// Rows: one of each tensor, in all combinations.
Tensor cartesian_prod(const Tensors& tensors, CallSite where = CallSite::current());
/// Rows of r elements of a vector of known extent, in order.
Tensor combinations(const Operand& x, std::int64_t r = 2, bool with_replacement = false);

// ---- pieces: known axes, and the extent along the axis known ----------------------------------

/// As many pieces of equal size as that, the last one smaller; fewer where they do not come out.
Tensors chunk(const Operand& x, std::int64_t chunks, std::int64_t dim = 0);
Tensors split(const Operand& x, const std::vector<std::int64_t>& sizes, std::int64_t dim = 0);
/// Pieces whose sizes differ by one at most; or cut before these places.
Tensors tensor_split(const Operand& x, std::int64_t sections, std::int64_t dim = 0);
Tensors tensor_split(const Operand& x, const std::vector<std::int64_t>& places,
                     std::int64_t dim = 0);
Tensors hsplit(const Operand& x, std::int64_t sections);
Tensors vsplit(const Operand& x, std::int64_t sections);
Tensors dsplit(const Operand& x, std::int64_t sections);
Tensors unbind(const Operand& x, std::int64_t dim = 0);

// ---- arranging ----------------------------------------------------------------------------------

/// Elements that fall off the end come in at the beginning; without axes, of the flattened x.
Tensor roll(const Operand& x, std::vector<std::int64_t> shifts, Axes dims = {});
/// k quarter turns from the first towards the second of two axes; known axes.
Tensor rot90(const Operand& x, std::int64_t k = 1, Axes dims = {0, 1});
Tensor fliplr(const Operand& x);
Tensor flipud(const Operand& x);
Tensor swapaxes(const Operand& x, std::int64_t a, std::int64_t b);
/// Known axes; the others keep their order.
Tensor movedim(const Operand& x, Axes source, Axes destination);
Tensor movedim(const Operand& x, std::int64_t source, std::int64_t destination);
/// One axis as several; one extent may be -1. Known axes.
Tensor unflatten(const Operand& x, std::int64_t dim, Dims sizes);
/// With known axes.
Tensor atleast_1d(const Operand& x);
Tensor atleast_2d(const Operand& x);
Tensor atleast_3d(const Operand& x);
Tensor hstack(const Tensors& parts, CallSite where = CallSite::current());
Tensor vstack(const Tensors& parts, CallSite where = CallSite::current());
Tensor dstack(const Tensors& parts, CallSite where = CallSite::current());
Tensor column_stack(const Tensors& parts, CallSite where = CallSite::current());

// ---- shapes as values ---------------------------------------------------------------------------

/// The extents of x, int64(rank).
Tensor shape(const Operand& x);
/// One int64 tensor an axis of `shape`: where flat positions lie.
Tensors unravel_index(const Operand& indices, const std::vector<std::int64_t>& shape);
/// start, start + step, … before end; one of them is a tensor.
Tensor arange(const Operand& start, const Operand& end, const Operand& step);
inline Tensor arange(const Operand& start, const Operand& end) {
  return arange(start, end, std::int64_t{1});
}
Tensor slice(const Operand& x, const Operand& starts, const Operand& ends);
Tensor slice(const Operand& x, const Operand& starts, const Operand& ends, const Operand& axes);
Tensor slice(const Operand& x, const Operand& starts, const Operand& ends, const Operand& axes,
             const Operand& steps);

namespace detail {
Tensor reshape_to(const Operand& x, const Tensor& shape);
Tensor broadcast_to_shape(const Operand& x, const Tensor& shape);
Tensor tile_by(const Operand& x, const Tensor& repeats);
Tensor full_by(const Tensor& shape, const Operand& value);
Tensor repeat_by(const Operand& x, const Tensor& repeats, std::optional<std::int64_t> dim);
}  // namespace detail

/// The same operations, told by an integer tensor. (Templates, so that braced lists stay lists.)
template <std::derived_from<Tensor> T> Tensor reshape(const Operand& x, const T& shape) {
  return detail::reshape_to(x, shape);
}
template <std::derived_from<Tensor> T> Tensor broadcast_to(const Operand& x, const T& shape) {
  return detail::broadcast_to_shape(x, shape);
}
template <std::derived_from<Tensor> T> Tensor tile(const Operand& x, const T& repeats) {
  return detail::tile_by(x, repeats);
}
template <std::derived_from<Tensor> T> Tensor full(const T& shape, const Operand& value) {
  return detail::full_by(shape, value);
}
/// One count an element along the axis, or one for all.
template <std::derived_from<Tensor> T>
Tensor repeat_interleave(const Operand& x, const T& repeats, std::optional<std::int64_t> dim = {}) {
  return detail::repeat_by(x, repeats, dim);
}

}  // namespace weft
