// Boxes: choosing the best of those that overlap.
#include <algorithm>
#include <numeric>

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
  const auto choose = custom_op(
      "NonMaxSuppression",
      {.infer = [](std::span<const TensorType> x) -> std::vector<TensorType> {
         return {{DType::int64, {product(x[1].shape), 3}}, {DType::int64, {1}}};
       },
       .forward = [centred](std::span<const Array> x) { return suppress(x, centred); }});
  const std::vector<Tensor> made = choose(
      {as(c.x(0), DType::float32), as(c.x(1), DType::float32), operand(2, Array(0)),
       operand(3, Array(0.0f)), operand(4, Array(-std::numeric_limits<float>::infinity()))});
  return frontend::apply(ir::ops::slice_by, {made[0], int_vector({0}), made[1], int_vector({0})});
}

}  // namespace

std::span<const Row> family::detection() {
  static const Row rows[] = {{"NonMaxSuppression", 1, non_max_suppression}};
  return rows;
}

}  // namespace weft::onnx
