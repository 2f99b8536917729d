// Positions added to sequences: tables of which as many rows are taken as a sequence is long.
#include <cmath>

#include "demand.h"
#include "ir/ops/dynamic.h"
#include "nn_shared.h"
#include "value.h"
#include "weft/array.h"
#include "weft/nn.h"

namespace weft::nn {

namespace ops = ir::ops;
using frontend::make;
using frontend::Value;

namespace {

void demand_table(const char* what, std::int64_t max_length, std::int64_t width,
                  SourceLocation where) {
  if (max_length < 1 || width < 1)
    throw ShapeError(std::string(what) + ": a table of " + std::to_string(max_length) +
                         " positions of width " + std::to_string(width),
                     where);
}

/// As many rows of a table as x (…, length, width) is long. A length that is not declared is asked
/// of x's type at a call; that there are enough rows is checked by their reshape then.
Value rows_for(const Value& x, const Value& table, std::int64_t width) {
  const auto& declared = x.type().shape;
  if (const auto length = declared ? declared->end()[-2].constant() : std::nullopt)
    return make(ops::slice, {table}, ir::SliceAttrs{{0}, {0}, {*length}, {1}});
  const auto list = [&](std::int64_t number) -> Value {
    return {Operand(Array::from(std::vector{number}, {1})).node(), x.where()};
  };
  const Value length = make(ops::shape_of, {x}, ir::ShapeOfAttrs{-2, -1});
  const Value extents = make(ops::concatenate, {length, list(width)}, ir::AxisAttrs{0});
  const Value rows = make(ops::slice_by, {table, list(0), length});
  return make(ops::reshape_to, {rows, extents}, ir::ReshapeToAttrs{true});
}

Tensor plus_rows(const char* what, const Value& x, const Tensor& table) {
  const std::int64_t most = table.shape()[0], width = table.shape()[1];
  if (const auto shape = runtime::live_type(*x.node()).shape) {
    const auto fail = [&](const std::string& why) {
      throw ShapeError(frontend::asked(what, {&x.node()}, why), x.where());
    };
    if (shape->size() < 2) fail("needs (…, length, width)");
    if (always_differ(shape->back(), Dim(width)))
      fail("expected a width of " + std::to_string(width));
    const auto length = shape->end()[-2].constant();
    if (length && *length > most) fail("longer than its " + std::to_string(most) + " positions");
  }
  const Value rows = rows_for(x, {table.node(), x.where()}, width);
  return x + make(ops::broadcast_like, {rows, x});
}

}  // namespace

PositionalEmbedding::PositionalEmbedding(std::int64_t max_length, std::int64_t width, Where where) {
  demand_table("PositionalEmbedding", max_length, width, where);
  weight =
      register_parameter("weight", randn({max_length, width}, DType::float32).to(default_dtype()));
}
Tensor PositionalEmbedding::build(const Operand& x) {
  return plus_rows("PositionalEmbedding", x, weight);
}

SinusoidalEncoding::SinusoidalEncoding(std::int64_t max_length, std::int64_t width, double base,
                                       Where where) {
  demand_table("SinusoidalEncoding", max_length, width, where);
  if (!(base > 0))
    throw Error("SinusoidalEncoding: a base of " + std::to_string(base) + " is not positive",
                where);
  Array table = zeros({max_length, width}, DType::float64);
  double* element = table.mutable_data<double>();
  for (std::int64_t position = 0; position < max_length; ++position)
    for (std::int64_t i = 0; i < width; ++i) {
      const double pair = static_cast<double>(i - i % 2) / static_cast<double>(width);
      const double angle = static_cast<double>(position) / std::pow(base, pair);
      *element++ = i % 2 == 0 ? std::sin(angle) : std::cos(angle);
    }
  encoding = register_buffer("encoding", table.to(default_dtype()));
}
Tensor SinusoidalEncoding::build(const Operand& x) {
  return plus_rows("SinusoidalEncoding", x, encoding);
}

}  // namespace weft::nn
