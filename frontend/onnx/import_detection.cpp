// Boxes: choosing the best of those that overlap.
#include <algorithm>
#include <cmath>
#include <limits>

#include "apply.h"
#include "ir/ops/dynamic.h"
#include "onnx/importer.h"

namespace weft::onnx {
namespace {

struct Box {
  float top, left, bottom, right;
  [[nodiscard]] float area() const { return (bottom - top) * (right - left); }
};

/// Corners in either order, or centre and size.
Box box_of(const float* p, bool centred) {
  if (centred) return {p[1] - p[3] / 2, p[0] - p[2] / 2, p[1] + p[3] / 2, p[0] + p[2] / 2};
  return {std::min(p[0], p[2]), std::min(p[1], p[3]), std::max(p[0], p[2]), std::max(p[1], p[3])};
}

float overlap(const Box& a, const Box& b) {
  const float height = std::min(a.bottom, b.bottom) - std::max(a.top, b.top),
              width = std::min(a.right, b.right) - std::max(a.left, b.left);
  if (height <= 0 || width <= 0) return 0;
  const float shared = height * width;
  return shared / (a.area() + b.area() - shared);
}

/// Positions of the boxes that are kept, the best first.
std::vector<std::int64_t> kept(const std::vector<Box>& boxes, const float* scores,
                               std::int64_t most, float threshold, float least) {
  std::vector<std::int64_t> order;
  for (std::size_t i = 0; i < boxes.size(); ++i)
    if (scores[i] > least) order.push_back(static_cast<std::int64_t>(i));
  std::ranges::stable_sort(order, [&](auto a, auto b) { return scores[a] > scores[b]; });
  std::vector<std::int64_t> chosen;
  for (const std::int64_t i : order) {
    if (static_cast<std::int64_t>(chosen.size()) >= most) break;
    const auto hides = [&](std::int64_t j) {
      return overlap(boxes[static_cast<std::size_t>(i)], boxes[static_cast<std::size_t>(j)]) >
             threshold;
    };
    if (std::ranges::none_of(chosen, hides)) chosen.push_back(i);
  }
  return chosen;
}

/// (boxes, scores, how many a class, overlap, least score) -> rows of (image, class, box), as many
/// as there could be, and how many there are.
std::vector<Array> suppress(std::span<const Array> x, bool centred) {
  const Shape &boxes = x[0].shape(), &scores = x[1].shape();
  const std::int64_t most = x[2].item<std::int64_t>();
  const float threshold = x[3].item<float>(), least = x[4].item<float>();
  const Array points = x[0].contiguous(), values = x[1].contiguous();
  Array rows = zeros({scores[0] * scores[1] * scores[2], 3}, DType::int64);
  std::int64_t* out = rows.mutable_data<std::int64_t>();
  std::int64_t count = 0;
  for (std::int64_t image = 0; image < scores[0]; ++image) {
    std::vector<Box> all;
    for (std::int64_t i = 0; i < boxes[1]; ++i)
      all.push_back(box_of(points.data<float>() + (image * boxes[1] + i) * 4, centred));
    for (std::int64_t label = 0; label < scores[1]; ++label) {
      const float* s = values.data<float>() + (image * scores[1] + label) * scores[2];
      for (const std::int64_t i : kept(all, s, most, threshold, least)) {
        *out++ = image;
        *out++ = label;
        *out++ = i;
        ++count;
      }
    }
  }
  return {rows, Array::from(std::vector<std::int64_t>{count})};
}

Tensor non_max_suppression(const Call& c) {
  const Dims boxes = dims_of(c.x(0)), scores = dims_of(c.x(1));
  if (boxes.size() != 3 || boxes[2] != Dim(4) || scores.size() != 3 || scores[0] != boxes[0] ||
      scores[2] != boxes[1])
    throw ShapeError("boxes " + to_string(boxes) + " and scores " + to_string(scores));
  const bool centred = c.integer("center_point_box", 0) != 0;
  const auto operand = [&](std::size_t i, const Array& otherwise) {
    return c.has(i) ? reshape(as(c.x(i), otherwise.dtype()), Dims{}) : Tensor(otherwise);
  };
  const auto choose =
      custom_op("NonMaxSuppression",
                {.infer = [](std::span<const TensorType> x) -> std::vector<TensorType> {
                   return {{DType::int64, {product(x[1].shape), 3}}, {DType::int64, {1}}};
                 },
                 .forward = [centred](std::span<const Array> x) { return suppress(x, centred); }});
  const std::vector<Tensor> made =
      choose({as(c.x(0), DType::float32), as(c.x(1), DType::float32), operand(2, Array(0)),
              operand(3, Array(0.0f)), operand(4, Array(-std::numeric_limits<float>::infinity()))});
  return frontend::apply(ir::ops::slice_by, {made[0], int_vector({0}), made[1], int_vector({0})});
}

/// The greatest element of each of rows by columns parts of a region, whose corners are rounded to
/// whole elements; 0 where a part has none.
void pool_region(const float* x, const Shape& shape, const float* region, float scale,
                 std::int64_t rows, std::int64_t columns, float* out) {
  const auto corner = [&](int i) {
    const float at = std::round(region[1 + i] * scale);
    return static_cast<std::int64_t>(std::clamp(at, -1e6f, 1e6f));
  };
  const std::int64_t left = corner(0), top = corner(1), height = shape[2], width = shape[3],
                     tall = std::max<std::int64_t>(corner(3) - top + 1, 1),
                     wide = std::max<std::int64_t>(corner(2) - left + 1, 1);
  const auto begin = [](std::int64_t i, std::int64_t extent, std::int64_t parts, std::int64_t from,
                        std::int64_t most) {
    return std::clamp<std::int64_t>(i * extent / parts + from, 0, most);
  };
  const auto end = [](std::int64_t i, std::int64_t extent, std::int64_t parts, std::int64_t from,
                      std::int64_t most) {
    return std::clamp<std::int64_t>(((i + 1) * extent + parts - 1) / parts + from, 0, most);
  };
  for (std::int64_t c = 0; c < shape[1]; ++c)
    for (std::int64_t i = 0; i < rows; ++i)
      for (std::int64_t j = 0; j < columns; ++j) {
        std::optional<float> best;
        for (std::int64_t y = begin(i, tall, rows, top, height);
             y < end(i, tall, rows, top, height); ++y)
          for (std::int64_t z = begin(j, wide, columns, left, width);
               z < end(j, wide, columns, left, width); ++z) {
            const float value = x[(c * height + y) * width + z];
            best = best ? std::max(*best, value) : value;
          }
        *out++ = best.value_or(0);
      }
}

/// (images, regions of (image, left, top, right, bottom)).
Tensor max_roi_pool(const Call& c) {
  const std::vector<std::int64_t> pooled = c.integers("pooled_shape");
  const Dims x = dims_of(c.x(0)), regions = dims_of(c.x(1));
  if (pooled.size() != 2 || pooled[0] <= 0 || pooled[1] <= 0 || x.size() != 4 ||
      regions.size() != 2 || regions[1] != Dim(5))
    throw ShapeError("images " + to_string(x) + " and regions " + to_string(regions));
  const auto scale = static_cast<float>(c.real("spatial_scale", 1));
  const std::int64_t rows = pooled[0], columns = pooled[1];
  const auto pool = custom_op(
      "MaxRoiPool",
      {.infer = [rows, columns](std::span<const TensorType> types) -> std::vector<TensorType> {
         return {{DType::float32, {types[1].shape[0], types[0].shape[1], rows, columns}}};
       },
       .forward = [scale, rows, columns](std::span<const Array> given) -> std::vector<Array> {
         const Array images = given[0].contiguous(), boxes = given[1].contiguous();
         const Shape& shape = images.shape();
         const std::int64_t each = shape[1] * rows * columns;
         Array result = zeros({boxes.shape()[0], shape[1], rows, columns}, DType::float32);
         for (std::int64_t i = 0; i < boxes.shape()[0]; ++i) {
           const float* region = boxes.data<float>() + 5 * i;
           if (!(region[0] >= 0 && region[0] < static_cast<float>(shape[0])))
             throw IndexError("region " + std::to_string(i) + " is of no image of the batch");
           pool_region(images.data<float>() +
                           static_cast<std::int64_t>(region[0]) * shape[1] * shape[2] * shape[3],
                       shape, region, scale, rows, columns,
                       result.mutable_data<float>() + i * each);
         }
         return {result};
       }});
  const Tensor made = pool({as(c.x(0), DType::float32), as(c.x(1), DType::float32)})[0];
  return as(made, c.x(0).dtype());
}

}  // namespace

std::span<const Row> family::detection() {
  static const Row rows[] = {
      {"NonMaxSuppression", 1, non_max_suppression},
      {"MaxRoiPool", 1, max_roi_pool},
  };
  return rows;
}

}  // namespace weft::onnx
