// Attention and what goes with it.
#include <cmath>
#include <limits>

#include "onnx/importer.h"

namespace weft::onnx {
namespace {

Dims dims_of_rank(const Tensor& x, std::size_t least, std::size_t most) {
  Dims dims = dims_of(x);
  if (dims.size() < least || dims.size() > most)
    throw ShapeError("an operand with " + std::to_string(dims.size()) + " axes");
  return dims;
}

std::int64_t positive(const Call& c, const char* name) {
  const std::int64_t n = c.integer(name);
  if (n <= 0) c.malformed("attribute '" + std::string(name) + "' is not positive");
  return n;
}

/// (batch, steps, heads * size) -> (batch, heads, steps, size).
Tensor by_head(const Call& c, const Tensor& x, const char* heads_name) {
  const Dims dims = dims_of_rank(x, 3, 4);
  if (dims.size() == 4) return x;
  const std::int64_t heads = positive(c, heads_name);
  return permute(reshape(x, {dims[0], dims[1], heads, floordiv(dims[2], Dim(heads))}),
                 {0, 2, 1, 3});
}

Tensor behind(const Call& c, std::size_t past, const Tensor& x) {
  return c.has(past) ? concatenate({c.x(past), x}, 2) : x;
}

/// 0 where `seen`, else minus infinity.
Tensor bias_of(const Tensor& seen, DType dtype) {
  const Tensor zero = Array(0.0).to(dtype),
               never = Array(-std::numeric_limits<double>::infinity()).to(dtype);
  return where(seen, zero, never);
}

/// A mask that is narrower than the keys hides the rest of them.
Tensor mask_bias(const Tensor& mask, std::int64_t keys, DType dtype) {
  const Tensor bias = mask.dtype() == DType::boolean ? bias_of(mask, dtype) : as(mask, dtype);
  const Shape shape = shape_of(bias);
  if (shape.empty() || shape.back() >= keys || shape.back() == 1) return bias;
  std::vector<std::pair<std::int64_t, std::int64_t>> widths(shape.size());
  widths.back().second = keys - shape.back();
  return pad(bias, widths, -std::numeric_limits<double>::infinity());
}

/// What is added to the scores: the mask's, of the future, of padding keys.
std::optional<Tensor> score_bias(const Call& c, const Tensor& q, const Tensor& k) {
  std::optional<Tensor> bias;
  const auto hide = [&](const Tensor& more) { bias = bias ? *bias + more : more; };
  const bool causal = c.integer("is_causal", 0) != 0;
  if (!c.has(3) && !causal && !c.has(6)) return bias;
  const std::int64_t keys = shape_of(k)[2];
  if (c.has(3)) hide(mask_bias(c.x(3), keys, q.dtype()));
  const Tensor key(arange(keys));
  if (causal) {
    const std::int64_t queries = shape_of(q)[2], past = c.has(4) ? shape_of(c.x(4)).at(2) : 0;
    Tensor last = reshape(Tensor(arange(queries)), {queries, 1}) + past;
    // of a cache that is kept outside, the queries are the last steps
    if (c.has(6) && !c.has(4)) last = last + reshape(c.x(6), {-1, 1, 1, 1}) - queries;
    hide(bias_of(key <= last, q.dtype()));
  }
  if (c.has(6)) hide(bias_of(key < reshape(c.x(6), {-1, 1, 1, 1}), q.dtype()));
  return bias;
}

/// Fewer heads of keys than of queries are used in turn: query head i has key head i modulo their
/// number, as the functions of the standard's versions 23 and 24 say.
Tensor in_turn(const Tensor& x, const Tensor& q) {
  const Dims have = dims_of(x), want = dims_of(q);
  if (have[1] == want[1]) return x;
  if (!have[1].is_constant() || !want[1].is_constant())
    throw NeedsValue("the numbers of heads are not known");
  if (have[1].value() <= 0 || want[1].value() % have[1].value() != 0)
    throw ShapeError(want[1].str() + " heads of queries for " + have[1].str() + " of keys");
  const auto times = static_cast<std::size_t>(want[1].value() / have[1].value());
  return concatenate(std::vector<Tensor>(times, x), 1);
}

/// Operands q, k, v, mask, past keys and values, lengths of the keys; results y, the keys and
/// values with the past ones, and the scores at the stage that is asked for. Narrow floats are
/// computed in single precision.
Items attended(const Call& c) {
  const DType dtype = c.x(0).dtype();
  const auto wide = [](const Tensor& x) {
    return size_of(x.dtype()) < 4 ? cast(x, DType::float32) : x;
  };
  const Tensor q = wide(by_head(c, c.x(0), "q_num_heads"));
  const Tensor keys = behind(c, 4, by_head(c, c.x(1), "kv_num_heads")),
               values = behind(c, 5, by_head(c, c.x(2), "kv_num_heads"));
  const Dims size = dims_of(q);
  if (!c.has("scale") && !size[3].is_constant())
    throw NeedsValue("the size of the heads is not known");
  const double scale =
      c.has("scale") ? c.real("scale", 1) : 1 / std::sqrt(static_cast<double>(size[3].value()));
  const Tensor k = in_turn(wide(keys), q), v = in_turn(wide(values), q);
  const std::int64_t mode = c.integer("qk_matmul_output_mode", 0);
  if (mode < 0 || mode > 3) c.malformed("the mode of the scores is unknown");
  Tensor scores = matmul(q, permute(k, {0, 1, 3, 2})) * scale;
  std::vector<Tensor> stages{scores};
  if (const auto bias = score_bias(c, q, k)) scores = scores + *bias;
  stages.push_back(scores);
  if (const double cap = c.real("softcap", 0); cap > 0) scores = tanh(scores / cap) * cap;
  stages.push_back(scores);
  if (c.has("softmax_precision"))
    scores = as(scores, dtype_of_onnx(c.integer("softmax_precision")));
  scores = softmax(scores, -1);
  stages.push_back(scores);
  Tensor y = as(matmul(as(scores, v.dtype()), v), dtype);
  if (dims_of(c.x(0)).size() == 3) {
    const Dims d = dims_of(y);
    y = reshape(permute(y, {0, 2, 1, 3}), {d[0], d[2], d[1] * d[3]});
  }
  return {y, keys, values, as(stages[static_cast<std::size_t>(mode)], dtype)};
}

/// Operands x, cosines, sines, positions: pairs of numbers turned, the halves of a head or
/// neighbours.
Tensor rotated(const Call& c) {
  const Dims given = dims_of_rank(c.x(0), 3, 4);
  Tensor x = given.size() == 4 ? permute(c.x(0), {0, 2, 1, 3}) : c.x(0);
  if (given.size() == 3) {
    const std::int64_t heads = positive(c, "num_heads");
    x = reshape(x, {given[0], given[1], heads, floordiv(given[2], Dim(heads))});
  }
  const Dims dims = dims_of(x);
  if (!dims[3].is_constant()) throw NeedsValue("the size of the heads is not known");
  const std::int64_t size = dims[3].value(), asked = c.integer("rotary_embedding_dim", 0),
                     turned = asked == 0 ? size : asked;
  if (turned <= 0 || turned > size || turned % 2 != 0)
    throw ShapeError(std::to_string(turned) + " of " + std::to_string(size) +
                     " numbers are to be rotated");
  const auto angles = [&](std::size_t i) {
    return unsqueeze(c.has(3) ? index_select(c.x(i), 0, c.x(3)) : c.x(i), 2);
  };
  const Tensor cosines = angles(1), sines = angles(2), part = slice_axis(x, 3, 0, turned);
  const bool interleaved = c.integer("interleaved", 0) != 0;
  const Tensor pairs =
      interleaved
          ? reshape(part, {dims[0], dims[1], dims[2], turned / 2, 2})
          : permute(reshape(part, {dims[0], dims[1], dims[2], 2, turned / 2}), {0, 1, 2, 4, 3});
  const Tensor a = squeeze(slice_axis(pairs, 4, 0, 1), 4),
               b = squeeze(slice_axis(pairs, 4, 1, 2), 4);
  const std::vector<Tensor> both{cosines * a - sines * b, sines * a + cosines * b};
  Tensor y = interleaved ? reshape(stack(both, 4), {dims[0], dims[1], dims[2], turned})
                         : concatenate(both, 3);
  if (turned < size) y = concatenate({y, slice_axis(x, 3, turned, size)}, 3);
  return given.size() == 4 ? permute(y, {0, 2, 1, 3}) : reshape(y, given);
}

/// A cache with new steps written from one place of each batch element on.
Tensor written(const Call& c) {
  const Tensor &cache = c.x(0), &update = c.x(1);
  const Dims dims = dims_of(update);
  const auto rank = static_cast<std::int64_t>(dims.size());
  const std::int64_t axis = axis_of(c.integer("axis", -2), rank);
  const std::string mode = c.string("mode", "linear");
  if (mode != "linear" && mode != "circular") c.malformed("the mode '" + mode + "' is unknown");
  if (axis == 0) throw ShapeError("the axis of the batch is not one of steps");
  const Dim steps = dims[static_cast<std::size_t>(axis)];
  if (!steps.is_constant()) throw NeedsValue("the number of new steps is not known");
  Dims along(dims.size(), Dim(1)), across(dims.size(), Dim(1));
  along[static_cast<std::size_t>(axis)] = steps;
  across[0] = dims[0];
  Tensor place = reshape(Tensor(arange(steps.value())), along);
  if (c.has(2)) place = place + reshape(c.x(2), across);
  if (mode == "circular")
    place = remainder(place, shape_of(cache).at(static_cast<std::size_t>(axis)));
  return scatter(cache, axis, broadcast_to(place, dims), update);
}

}  // namespace

std::span<const Row> family::attention() {
  static const Row rows[] = {
      {"Attention", 1, attended},
      {"RotaryEmbedding", 1, rotated},
      {"TensorScatter", 1, written},
  };
  return rows;
}

}  // namespace weft::onnx
