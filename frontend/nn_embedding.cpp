// Tables whose rows are looked up, one by one or in bags.
#include <algorithm>
#include <functional>
#include <limits>

#include "demand.h"
#include "nn_shared.h"
#include "value.h"
#include "weft/array.h"
#include "weft/nn.h"
#include "weft/ops/ordering.h"

namespace weft::nn {

namespace ops = ir::ops;
using detail::operand;
using frontend::make;
using frontend::Value;

namespace {

/// Counted from 0; IndexError where there is no such row.
std::optional<std::int64_t> padding_row(std::optional<std::int64_t> given, std::int64_t entries,
                                        SourceLocation where) {
  if (given && (*given < -entries || *given >= entries))
    throw IndexError(
        "padding_idx " + std::to_string(*given) + " of a table of " + std::to_string(entries),
        where);
  return given && *given < 0 ? *given + entries : given;
}

/// A number to compare indices with, however few bits these have.
Value beside(const Value& indices, std::int64_t number) {
  return {Operand(Array(number)).node(), indices.where()};
}

/// Which indices name the padding row, from the end too where it is known how many rows there are.
Value names_padding(const Value& indices, std::int64_t row, std::optional<std::int64_t> entries) {
  const Value named = make(ops::eq, {indices, beside(indices, row)});
  if (!entries) return named;
  return make(ops::logical_or,
              {named, make(ops::eq, {indices, beside(indices, row - *entries)})});
}

Array table(std::int64_t entries, std::int64_t width, std::optional<std::int64_t> padding,
            SourceLocation where) {
  detail::demand_extents("a table", {entries, width}, where);
  Array values = randn({entries, width}, DType::float32);
  if (padding) std::fill_n(values.mutable_data<float>() + *padding * width, width, 0.f);
  return values.to(default_dtype());
}

}  // namespace

Embedding::Embedding(std::int64_t num_embeddings, std::int64_t embedding_dim,
                     std::optional<std::int64_t> padding_idx, Where where)
    : padding_idx_(padding_row(padding_idx, num_embeddings, where)) {
  weight = register_parameter("weight", table(num_embeddings, embedding_dim, padding_idx_, where));
}
Embedding::Embedding(const Array& values, std::optional<std::int64_t> padding_idx, Where where) {
  if (values.ndim() != 2)
    throw ShapeError("a table of shape " + to_string(values.shape()) + ": needs two axes", where);
  padding_idx_ = padding_row(padding_idx, values.shape()[0], where);
  weight = register_parameter("weight", values);
}
Embedding Embedding::from_pretrained(const Array& embeddings, bool freeze,
                                     std::optional<std::int64_t> padding_idx, Where where) {
  Embedding result(embeddings, padding_idx, where);
  result.requires_grad(!freeze);
  return result;
}
Tensor Embedding::build(const Operand& indices) { return embedding(indices, weight, padding_idx_); }

EmbeddingBag::EmbeddingBag(std::int64_t num_embeddings, std::int64_t embedding_dim,
                           EmbeddingBagOptions options, Where where)
    : options_(std::move(options)) {
  if (options_.mode != "sum" && options_.mode != "mean" && options_.mode != "max")
    throw Error(
        "EmbeddingBag: the mode is \"sum\", \"mean\" or \"max\", not \"" + options_.mode + '"',
        where);
  options_.padding_idx = padding_row(options_.padding_idx, num_embeddings, where);
  weight = register_parameter("weight",
                              table(num_embeddings, embedding_dim, options_.padding_idx, where));
}
Tensor EmbeddingBag::build(const Operand& indices) { return (*this)(indices, std::nullopt); }

namespace {

/// Rows (n, width) in bags: which bag each is in, and a value with one row a bag.
Tensor reduced_bags(const std::string& mode, const Value& rows, const Value& valid,
                    const Value& bag, const Value& per_bag) {
  const Value zeros = make(ops::zeros_like, {per_bag});
  const Value column = make(ops::expand_dims, {valid}, ir::AxesAttrs{{-1}});
  if (mode == "max") {
    constexpr double lowest = -std::numeric_limits<double>::infinity();
    const Value kept = frontend::where(column, rows, rows.scalar(lowest));
    const Value at =
        make(ops::broadcast_like, {make(ops::expand_dims, {bag}, ir::AxesAttrs{{-1}}), kept});
    const Tensor most =
        scatter_reduce(operand(zeros + lowest), 0, operand(at), operand(kept), "amax");
    const Value m(most.node(), rows.where());
    return frontend::where(make(ops::eq, {m, m.scalar(lowest)}), zeros, m);
  }
  const auto sum = [&](const Value& into, const Value& of) -> Value {
    return {index_add(operand(into), 0, operand(bag), operand(of)).node(), rows.where()};
  };
  const Value total = sum(zeros, frontend::where(column, rows, rows.scalar(0)));
  if (mode == "sum") return total;
  const Value none = frontend::reduce(ops::sum, zeros, Axes{1});
  const Value count = sum(none, make(ops::cast_like, {valid, rows}));
  return total / make(ops::expand_dims, {make(ops::maximum, {count, count.scalar(1)})},
                      ir::AxesAttrs{{-1}});
}

}  // namespace

Tensor EmbeddingBag::operator()(const Operand& given, const std::optional<Tensor>& offsets,
                                const std::optional<Tensor>& per_sample_weights) const {
  const SourceLocation where = given.where();
  const auto fail = [&](const char* why) {
    throw ShapeError(frontend::asked("EmbeddingBag", {&given.node()}, why), where);
  };
  if (per_sample_weights && options_.mode != "sum")
    throw Error("EmbeddingBag: only rows that are summed have weights", where);
  const auto shape = runtime::live_type(*given.node()).shape;
  if (!shape || shape->size() != (offsets ? 1 : 2))
    fail(offsets ? "with offsets, indices have one axis"
                 : "without offsets, indices have two axes");
  if (per_sample_weights) {
    const auto weights = runtime::live_type(*per_sample_weights->node()).shape;
    if (weights && !std::ranges::equal(*weights, *shape, std::not_fn(always_differ)))
      fail("per_sample_weights are one an index");
  }
  const auto flat = [&](const Value& x) -> Value {
    return {reshape(operand(x), {Dim(-1)}).node(), where};
  };
  const Value indices = flat(given), all(weight.node(), where);
  Value valid = options_.padding_idx
                    ? make(ops::logical_not,
                           {names_padding(indices, *options_.padding_idx, weight.shape()[0])})
                    : make(ops::eq, {indices, indices});
  // Bags are told apart by where their first index is.
  Value bag = indices, per_bag = all;
  if (offsets) {
    const std::optional<DType> dtype = runtime::live_type(*offsets->node()).dtype;
    if (dtype && category(*dtype) != Category::integer)
      throw DTypeError(frontend::asked("EmbeddingBag", {&given.node(), &offsets->node()},
                                       "offsets are integers"),
                       where);
    const auto wide = [](const Value& x) {
      return make(ops::cast, {x}, ir::CastAttrs{DType::int64});
    };
    Value first = wide({offsets->node(), where});
    const Value places = wide(make(ops::iota_like, {indices}, ir::AxisAttrs{0}));
    const auto only = [&](const Value& within) { valid = make(ops::logical_and, {valid, within}); };
    if (options_.include_last_offset) {
      const Tensor all_offsets = first;
      only(make(ops::lt, {places, {frontend::indexed(all_offsets, {-1}, where).node(), where}}));
      first = {frontend::indexed(all_offsets, {Slice(0, -1)}, where).node(), where};
    }
    bag = Value(searchsorted(operand(first), operand(places), true).node(), where) - 1.0;
    only(make(ops::ge, {bag, bag.scalar(0)}));
    per_bag = make(ops::cast_like, {make(ops::expand_dims, {first}, ir::AxesAttrs{{-1}}), all});
  } else {
    bag = flat(make(ops::iota_like, {given}, ir::AxisAttrs{0}));
    const Value some = frontend::reduce(ops::sum, given, Axes{1}, true);
    per_bag = make(ops::cast_like, {some, all});
  }
  const Value width = frontend::reduce(ops::sum, all, Axes{0}, true);  // for its type
  per_bag = make(ops::zeros_like, {per_bag}) + make(ops::zeros_like, {width});
  Value rows = make(ops::gather_rows, {all, indices});
  if (per_sample_weights)
    rows = rows *
           make(ops::expand_dims, {flat({per_sample_weights->node(), where})}, ir::AxesAttrs{{-1}});
  return reduced_bags(options_.mode, rows, valid, bag, per_bag);
}

Tensor embedding(const Operand& indices, const Operand& weight,
                 std::optional<std::int64_t> padding_idx) {
  const Value rows = make(ops::gather_rows, {{weight.node(), indices.where()}, indices});
  if (!padding_idx) return rows;
  const auto shape = runtime::live_type(*weight.node()).shape;
  const auto entries = shape && !shape->empty() ? shape->front().constant() : std::nullopt;
  if (entries)
    padding_idx = padding_row(padding_idx, *entries, indices.where());
  else if (*padding_idx < 0)
    throw ShapeError("embedding: a padding_idx from the end needs the table's entries to be known",
                     indices.where());
  const Value padded = names_padding(indices, *padding_idx, entries);
  return frontend::where(make(ops::expand_dims, {padded}, ir::AxesAttrs{{-1}}),
                         make(ops::stop_gradient, {rows}), rows);
}

}  // namespace weft::nn
