// Index maps: where a kernel finds an element of a value. A value of rank r read by a kernel of n
// axes has one affine expression of the kernel's axes per axis of the value; views (permute, slice,
// flip, broadcast, diagonal, …) compose into it and cost nothing at run time. A reshape has no
// affine map in general: it is crossed where every axis can be divided exactly, and is free on a
// dense buffer anyway, where only the linear element number counts.
//
// Invariant: an axis of extent 1 never has a stride, on either side, so equal elements have equal
// maps.
#pragma once

#include <memory>
#include <optional>
#include <span>

#include "ir/dim.h"
#include "ir/op.h"

namespace weft::passes {

/// `offset + Σ strides[i] * axis_i`.
struct Affine {
  Dim offset = 0;
  Dims strides;
  friend bool operator==(const Affine&, const Affine&) = default;
};
/// One expression an axis of the value that is read.
using IndexMap = std::vector<Affine>;
using MapRef = std::shared_ptr<const IndexMap>;

bool is_unit(const Dim& extent);
bool same_map(const MapRef& a, const MapRef& b);

/// Strides of a dense row-major buffer, in elements.
Dims dense_strides(std::span<const Dim> shape);

/// Value axis i is kernel axis `axes[i]`, or constant 0 where that is -1.
IndexMap axis_map(std::span<const int> axes, std::size_t kernel_axes);

/// The map of a view's operand, from the map of its result.
IndexMap through_view(const ir::ViewMap& view, const IndexMap& result, std::size_t kernel_axes);

/// The map of an operand that is broadcast to the result (aligned at the last axis).
IndexMap through_broadcast(const IndexMap& result, std::span<const Dim> operand_shape,
                           std::size_t kernel_axes);

/// The map of a reshape's operand; empty where it is not affine. `extents` are the kernel's.
std::optional<IndexMap> through_reshape(const IndexMap& result, std::span<const Dim> result_shape,
                                        std::span<const Dim> operand_shape,
                                        std::span<const Dim> extents);

/// Row-major element number of the element that `map` names.
Affine linear(const IndexMap& map, std::span<const Dim> shape, std::size_t kernel_axes);

/// Where `outer`, a map over a value's own axes, puts the element that `inner` names.
IndexMap compose(const IndexMap& outer, const IndexMap& inner, std::size_t kernel_axes);

/// Whether axes [begin, end) act as one axis in `a`: the merged stride is then `strides[end - 1]`.
bool merges(const Affine& a, std::span<const Dim> extents, std::size_t begin, std::size_t end);

}  // namespace weft::passes
