// Resizing and sampling at computed places.
#include <cmath>
#include <limits>

#include "apply.h"
#include "ir/ops/attrs.h"
#include "ir/ops/spatial.h"
#include "onnx/importer.h"

namespace weft::onnx {
namespace {

namespace ops = ir::ops;

std::vector<double> reals_of(const Call& c, std::size_t i) {
  return c.has(i) ? c.value(i).tolist<double>() : std::vector<double>{};
}

ir::ResizeAttrs plain(std::size_t rank) {
  ir::ResizeAttrs a;
  a.sizes.assign(rank, -1);
  a.scales.assign(rank, 1);
  return a;
}

/// Upsample, and Resize before version 11: by scales, from the lower neighbour.
Tensor resize_by_scales(const Call& c) {
  const std::size_t rank = dims_of(c.x()).size();
  ir::ResizeAttrs a = plain(rank);
  a.scales = c.has(1) ? reals_of(c, 1) : c.reals("scales");
  if (a.scales.size() != rank) c.malformed("it has not one scale an axis");
  const std::string mode = c.string("mode", "nearest");
  a.mode = mode == "bilinear" ? "linear" : mode;
  a.coordinates = "asymmetric";
  a.nearest = "floor";
  return frontend::apply(ops::resize, {c.x()}, a);
}

/// Extents that keep the ratio of the axes, by the least or the greatest scale of all.
void keep_ratio(const Call& c, const Axes& axes, const std::vector<std::int64_t>& wanted,
                ir::ResizeAttrs& a) {
  const std::string policy = c.string("keep_aspect_ratio_policy", "stretch");
  if (policy == "stretch") return;
  if (policy != "not_larger" && policy != "not_smaller")
    c.malformed("the policy '" + policy + "' is unknown");
  const Shape shape = shape_of(c.x());
  double scale = policy == "not_larger" ? std::numeric_limits<double>::infinity() : 0;
  for (std::size_t i = 0; i < axes.size(); ++i) {
    const double each = static_cast<double>(wanted[i]) /
                        static_cast<double>(shape[static_cast<std::size_t>(axes[i])]);
    scale = policy == "not_larger" ? std::min(scale, each) : std::max(scale, each);
  }
  for (const std::int64_t axis : axes) {
    const auto at = static_cast<std::size_t>(axis);
    a.scales[at] = scale;
    a.sizes[at] =
        static_cast<std::int64_t>(std::floor(scale * static_cast<double>(shape[at]) + 0.5));
  }
}

/// Aligned corners are those of the extent before it is rounded down to a whole number: then the
/// coordinates are divided by what the standard's formula amounts to.
void align_by_scales(const Call& c, const Axes& axes, ir::ResizeAttrs& a) {
  const Shape shape = shape_of(c.x());
  for (const std::int64_t axis : axes) {
    const auto at = static_cast<std::size_t>(axis);
    const double extent = static_cast<double>(shape[at]), wanted = extent * a.scales[at];
    a.sizes[at] = static_cast<std::int64_t>(std::floor(wanted));
    // of one element or to one element there is only the first one
    a.scales[at] = shape[at] > 1 && wanted > 1 ? (wanted - 1) / (extent - 1) : 1;
  }
  a.coordinates = "asymmetric";
}

/// Operands x, region, scales, sizes; of the last three, lists for `axes` only where these are
/// named.
Tensor resize(const Call& c) {
  const auto rank = static_cast<std::int64_t>(dims_of(c.x()).size());
  ir::ResizeAttrs a = plain(static_cast<std::size_t>(rank));
  Axes axes = c.integers("axes");
  for (std::int64_t i = 0; !c.has("axes") && i < rank; ++i) axes.push_back(i);
  for (std::int64_t& axis : axes) axis = axis_of(axis, rank);
  const auto demand = [&](std::size_t size, std::size_t each, const char* what) {
    if (size != each * axes.size())
      c.malformed(std::string(what) + " has " + std::to_string(size) + " entries for " +
                  std::to_string(axes.size()) + " axes");
  };
  const std::vector<double> scales = reals_of(c, 2);
  if (!scales.empty()) {
    demand(scales.size(), 1, "scales");
    for (std::size_t i = 0; i < axes.size(); ++i)
      a.scales[static_cast<std::size_t>(axes[i])] = scales[i];
  } else {
    const std::vector<std::int64_t> sizes = c.ints(3);
    demand(sizes.size(), 1, "sizes");
    for (std::size_t i = 0; i < axes.size(); ++i) {
      const auto at = static_cast<std::size_t>(axes[i]);
      a.sizes[at] = sizes[i];
      a.scales[at] = 0;
    }
    keep_ratio(c, axes, sizes, a);
  }
  a.mode = c.string("mode", "nearest");
  a.coordinates = c.string("coordinate_transformation_mode", "half_pixel");
  a.nearest = c.string("nearest_mode", "round_prefer_floor");
  a.cubic_a = c.real("cubic_coeff_a", -0.75);
  a.exclude_outside = c.integer("exclude_outside", 0) != 0;
  a.antialias = c.integer("antialias", 0) != 0;
  a.extrapolation = c.real("extrapolation_value", 0);
  if (a.coordinates == "align_corners" && !scales.empty() && !a.antialias)
    align_by_scales(c, axes, a);
  if (a.coordinates == "tf_crop_and_resize") {
    const std::vector<double> region = reals_of(c, 1);
    demand(region.size(), 2, "the region");
    const auto n = static_cast<std::size_t>(rank);
    a.roi.assign(2 * n, 0);
    for (std::size_t i = 0; i < n; ++i) a.roi[n + i] = 1;
    for (std::size_t i = 0; i < axes.size(); ++i) {
      a.roi[static_cast<std::size_t>(axes[i])] = region[i];
      a.roi[n + static_cast<std::size_t>(axes[i])] = region[axes.size() + i];
    }
  }
  return frontend::apply(ops::resize, {c.x()}, a);
}

Tensor sample_grid(const Call& c) {
  const std::string mode = c.string("mode", "bilinear");
  return frontend::apply(
      ops::grid_sample, {c.x(0), c.x(1)},
      ir::SampleAttrs{mode == "linear"  ? "bilinear"
                      : mode == "cubic" ? "bicubic"
                                        : mode,
                      c.string("padding_mode", "zeros"), c.integer("align_corners", 0) != 0});
}

Tensor make_affine_grid(const Call& c) {
  return frontend::apply(
      ops::affine_grid, {c.x(0)},
      ir::AffineGridAttrs{to_dims(c.ints(1)), c.integer("align_corners", 0) != 0});
}

/// Before version 16 coordinates were not moved by half a pixel.
Tensor align_regions(const Call& c) {
  ir::RoiAttrs a;
  a.height = c.integer("output_height", 1);
  a.width = c.integer("output_width", 1);
  a.sampling_ratio = c.integer("sampling_ratio", 0);
  a.scale = c.real("spatial_scale", 1);
  a.aligned =
      c.version() >= 16 && c.string("coordinate_transformation_mode", "half_pixel") == "half_pixel";
  a.mode = c.string("mode", "avg");
  return frontend::apply(ops::roi_align, {c.x(0), c.x(1), as(c.x(2), DType::int64)}, a);
}

/// Columns back to an image; the inverse of taking windows apart, overlaps added up.
Tensor columns_to_image(const Call& c) {
  const std::vector<std::int64_t> image = c.small_ints(1), block = c.small_ints(2);
  const std::size_t axes = image.size();
  const auto list = [&](const char* name, std::size_t size, std::int64_t otherwise) {
    std::vector<std::int64_t> values = c.small_integers(name);
    if (values.empty()) values.assign(size, otherwise);
    if (values.size() != size) c.malformed("attribute '" + std::string(name) + "' is too short");
    return values;
  };
  ir::PoolAttrs a;
  a.size = block;
  a.stride = list("strides", axes, 1);
  a.dilation = list("dilations", axes, 1);
  const std::vector<std::int64_t> pads = list("pads", 2 * axes, 0);
  a.low.assign(pads.begin(), pads.begin() + static_cast<std::ptrdiff_t>(axes));
  a.high.assign(pads.begin() + static_cast<std::ptrdiff_t>(axes), pads.end());
  const Dims columns = dims_of(c.x());
  const std::int64_t window = element_count(block);
  if (columns.size() != 3 || block.size() != axes || window <= 0)
    throw ShapeError("columns " + to_string(columns) + " for an image " + to_string(image));
  Dims shape{columns[0], floordiv(columns[1], Dim(window))};
  for (const std::int64_t n : image) shape.emplace_back(n);
  const Tensor like = broadcast_to(scalar_like(c.x(), 0), shape);
  return frontend::apply(ops::fold_windows, {c.x(), like}, a);
}

}  // namespace

std::span<const Row> family::resizing() {
  static const Row rows[] = {
      {"Upsample", 1, resize_by_scales},
      {"Resize", 1, resize_by_scales},
      {"Resize", 11, resize},
      {"GridSample", 1, sample_grid},
      {"AffineGrid", 1, make_affine_grid},
      {"RoiAlign", 1, align_regions},
      {"Col2Im", 1, columns_to_image},
  };
  return rows;
}

}  // namespace weft::onnx
