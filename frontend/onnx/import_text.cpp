// Counting n-grams of integers. Operators on strings are not here.
#include <algorithm>

#include "onnx/importer.h"

namespace weft::onnx {
namespace {

/// How often each n-gram of a length stands in each row of x, with gaps of 0 to `max_skip` elements
/// between its items: (rows, n-grams).
Tensor occurrences(const Tensor& x, std::int64_t length, const std::vector<std::int64_t>& grams,
                   std::int64_t max_skip) {
  const Shape shape = shape_of(x);
  const auto count = static_cast<std::int64_t>(grams.size()) / length;
  Tensor total = broadcast_to(Tensor(Array(0.0f)), {shape[0], count});
  const Tensor pool = int_vector(grams).reshape({count, length});
  for (std::int64_t skip = 0; skip <= (length == 1 ? 0 : max_skip); ++skip) {
    const std::int64_t places = shape[1] - (length - 1) * (skip + 1);
    if (places <= 0) break;
    std::optional<Tensor> found;  // (rows, places, n-grams)
    for (std::int64_t k = 0; k < length; ++k) {
      const std::int64_t from = k * (skip + 1);
      const Tensor same = unsqueeze(slice_axis(x, 1, from, from + places), 2) ==
                          squeeze(slice_axis(pool, 1, k, k + 1), 1);
      found = found ? logical_and(*found, same) : same;
    }
    total = total + sum(cast(*found, DType::float32), Axes{1});
  }
  return total;
}

Tensor tf_idf(const Call& c) {
  if (!c.strings("pool_strings").empty()) c.unsupported("n-grams of strings");
  const std::vector<std::int64_t> pool = c.integers("pool_int64s"),
                                  starts = c.integers("ngram_counts"),
                                  places = c.integers("ngram_indexes");
  const std::int64_t least = c.integer("min_gram_length"), most = c.integer("max_gram_length"),
                     skip = c.integer("max_skip_count");
  const bool is_row = rank_of(c.x()) == 1;
  Tensor x = as(is_row ? unsqueeze(c.x(), 0) : c.x(), DType::int64);
  if (rank_of(x) != 2) throw ShapeError("the operand is neither a vector nor a matrix");
  std::vector<Tensor> counts;
  std::int64_t grams = 0;
  for (std::size_t i = 0; i < starts.size(); ++i) {
    const auto length = static_cast<std::int64_t>(i) + 1;
    const std::int64_t from = starts[i], to = i + 1 < starts.size()
                                                  ? starts[i + 1]
                                                  : static_cast<std::int64_t>(pool.size());
    if (from < 0 || to < from || to > static_cast<std::int64_t>(pool.size()) ||
        (to - from) % length != 0)
      c.malformed("its counts do not fit its pool");
    if (to == from) continue;
    const std::vector<std::int64_t> here(pool.begin() + from, pool.begin() + to);
    grams += (to - from) / length;
    Tensor count = occurrences(x, length, here, skip);
    if (length < least || length > most) count = count * 0;
    counts.push_back(count);
  }
  if (counts.empty() || grams != static_cast<std::int64_t>(places.size()))
    c.malformed("it has " + std::to_string(places.size()) + " places for " + std::to_string(grams) +
                " n-grams");
  Tensor all = concatenate(counts, 1);
  const std::string mode = c.string("mode", "");
  if (mode == "IDF") all = cast(all > 0, DType::float32);
  if (mode != "TF" && c.has("weights"))
    all = all * Tensor(Array::from(c.reals("weights")).to(DType::float32));
  // where each n-gram goes; a place that none goes to holds 0
  const std::int64_t size = 1 + *std::ranges::max_element(places);
  if (*std::ranges::min_element(places) < 0 || size > (1 << 24))
    c.malformed("a place of an n-gram is out of range");
  const Tensor hot = one_hot(int_vector(places), size, DType::float32);
  const Tensor result = matmul(all, hot);
  return is_row ? squeeze(result, 0) : result;
}

}  // namespace

std::span<const Row> family::text() {
  static const Row rows[] = {{"TfIdfVectorizer", 1, tf_idf}};
  return rows;
}

}  // namespace weft::onnx
