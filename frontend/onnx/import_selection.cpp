// Elements by their places: gathering, scattering, masks, order.
#include "onnx/importer.h"

namespace weft::onnx {
namespace {

Tensor gather_along(const Call& c) { return index_select(c.x(0), c.integer("axis", 0), c.x(1)); }
Tensor gather_elements(const Call& c) { return weft::gather(c.x(0), c.integer("axis", 0), c.x(1)); }
Tensor gather_tuples(const Call& c) {
  return gather_nd(c.x(0), c.x(1), c.integer("batch_dims", 0));
}

Tensor scatter_elements(const Call& c) {
  const std::int64_t axis = c.integer("axis", 0);
  const std::string how = c.string("reduction", "none");
  if (how == "none") return scatter(c.x(0), axis, c.x(1), c.x(2));
  static const std::map<std::string, std::string> names{
      {"add", "sum"}, {"mul", "prod"}, {"max", "amax"}, {"min", "amin"}};
  const auto name = names.find(how);
  if (name == names.end()) c.malformed("the reduction '" + how + "' is unknown");
  return scatter_reduce(c.x(0), axis, c.x(1), c.x(2), name->second);
}
Tensor scatter_tuples(const Call& c) {
  return scatter_nd(c.x(0), c.x(1), c.x(2), c.string("reduction", "none"));
}

Tensor non_zero(const Call& c) {
  const Tensor x = rank_of(c.x()) == 0 ? reshape(c.x(), {1}) : c.x();
  return permute(nonzero(x), {1, 0});
}

Tensor compress(const Call& c) {
  const Tensor places = nonzero_as_tuple(as(c.x(1), DType::boolean)).at(0);
  if (!c.has("axis")) return gather_rows(flatten(c.x(0)), places);
  const std::int64_t rank = rank_of(c.x(0)), axis = axis_of(c.integer("axis"), rank);
  Axes there{axis}, back;
  for (std::int64_t i = 0; i < rank; ++i) {
    if (i != axis) there.push_back(i);
    back.push_back(i == axis ? 0 : i < axis ? i + 1 : i);
  }
  return permute(gather_rows(permute(c.x(0), there), places), back);
}

/// The first elements of each sequence, as many as its length, in reverse.
Tensor reverse_sequence(const Call& c) {
  const Dims dims = dims_of(c.x(0));
  const auto rank = static_cast<std::int64_t>(dims.size());
  const auto time = static_cast<std::size_t>(axis_of(c.integer("time_axis", 0), rank)),
             batch = static_cast<std::size_t>(axis_of(c.integer("batch_axis", 1), rank));
  if (time == batch) c.malformed("the axes of time and of the batch are one");
  if (!dims[time].is_constant()) throw NeedsValue("the number of steps is not known");
  Dims along(dims.size(), Dim(1)), across(dims.size(), Dim(1));
  along[time] = dims[time];
  across[batch] = dims[batch];
  const Tensor step = reshape(Tensor(arange(dims[time].value())), along),
               length = reshape(c.x(1), across);
  const Tensor from = where(step < length, length - 1 - step, step);
  return weft::gather(c.x(0), static_cast<std::int64_t>(time), broadcast_to(from, dims));
}

Tensor running_sum(const Call& c) {
  return as(cumsum(c.x(0), c.value(1).item<std::int64_t>(), c.integer("exclusive", 0) != 0,
                   c.integer("reverse", 0) != 0),
            c.x(0).dtype());
}

Tensor running_product(const Call& c) {
  return as(cumprod(c.x(0), c.value(1).item<std::int64_t>(), c.integer("exclusive", 0) != 0,
                    c.integer("reverse", 0) != 0),
            c.x(0).dtype());
}

/// How many: an attribute once, an operand since version 10.
Items top(const Call& c) {
  const std::int64_t axis = c.integer("axis", -1);
  const bool largest = c.integer("largest", 1) != 0;
  const auto known = c.has(1) ? c.known(1) : std::nullopt;
  const Ordered found = c.version() < 10 ? topk(c.x(0), c.integer("k"), axis, largest)
                        : known          ? topk(c.x(0), known->item<std::int64_t>(), axis, largest)
                                         : topk(c.x(0), reshape(c.x(1), Dims{}), axis, largest);
  return {found.values, found.indices};
}

/// Distinct values, where each is first, where each element is among them, and how often it occurs;
/// in the order of first occurrence unless sorted.
Items distinct(const Call& c) {
  const std::optional<std::int64_t> axis =
      c.has("axis") ? std::optional(c.integer("axis")) : std::nullopt;
  const Tensor& x = c.x();
  const Unique found = unique(x, axis);
  const std::int64_t extent =
      axis ? shape_of(x)[static_cast<std::size_t>(axis_of(*axis, rank_of(x)))]
           : element_count(shape_of(x));
  const Tensor inverse = reshape(found.inverse, {extent});
  // the least position of each: all start behind the last one
  const Tensor behind = cast(zeros_like(found.counts), DType::int64) + extent;
  const Tensor first = scatter_reduce(behind, 0, inverse, Tensor(arange(extent)), "amin", true);
  if (c.integer("sorted", 1) != 0) return {found.values, first, inverse, found.counts};
  const Tensor order = argsort(first, 0), place = argsort(order, 0);
  return {index_select(found.values, axis.value_or(0), order), index_select(first, 0, order),
          index_select(place, 0, inverse), index_select(found.counts, 0, order)};
}

}  // namespace

std::span<const Row> family::selection() {
  static const Row rows[] = {
      {"Gather", 1, gather_along},
      {"GatherElements", 1, gather_elements},
      {"GatherND", 1, gather_tuples},
      {"Scatter", 1, scatter_elements},
      {"ScatterElements", 1, scatter_elements},
      {"ScatterND", 1, scatter_tuples},
      {"NonZero", 1, non_zero},
      {"Compress", 1, compress},
      {"ReverseSequence", 1, reverse_sequence},
      {"CumSum", 1, running_sum},
      {"CumProd", 1, running_product},
      {"TopK", 1, top},
      {"Unique", 1, distinct},
  };
  return rows;
}

}  // namespace weft::onnx
