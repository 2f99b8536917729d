#include "codegen/cuda/product_operand.h"

#include <algorithm>

#include "codegen/cuda/row_text.h"

namespace weft::codegen {

void OffsetText::add(const Dim& stride, std::string_view coordinate) {
  if (stride == Dim(0)) return;
  if (!sum_.empty()) sum_.append(" + ");
  if (coordinate.empty())
    sum_.append(dim_text(stride));
  else if (stride == Dim(1))
    sum_.append(coordinate);
  else
    sum_.append(cat({coordinate, " * (", dim_text(stride), ")"}));
}

ProductLine ProductLine::of(const Dims& extents, const Dims& strides) {
  ProductLine line;
  for (std::size_t i = 0; i < extents.size(); ++i) line.add(extents[i], strides[i]);
  if (line.extents.empty()) line = {{Dim(1)}, {Dim(1)}};
  return line;
}

void ProductLine::add(const Dim& extent, const Dim& stride) {
  if (extent == Dim(1)) return;
  if (!extents.empty() && strides.back() == stride * extent) {
    extents.back() = extents.back() * extent;
    strides.back() = stride;
  } else {
    extents.push_back(extent);
    strides.push_back(stride);
  }
}

std::string ProductLine::walked(std::string_view at) const {
  OffsetText sum{0};
  std::string rest(at);
  for (std::size_t i = extents.size(); i-- > 0;) {
    const std::string extent = cat({"(", dim_text(extents[i]), ")"});
    sum.add(strides[i], i == 0 ? rest : cat({"(", rest, " % ", extent, ")"}));
    rest = cat({"(", rest, " / ", extent, ")"});
  }
  return sum.text();
}

std::optional<std::int64_t> ProductLine::reach() const {
  std::int64_t sum = 0;
  for (std::size_t i = 0; i < extents.size(); ++i) {
    const auto extent = extents[i].constant(), stride = strides[i].constant();
    if (!extent || !stride) return std::nullopt;
    sum += *extent * std::abs(*stride);
  }
  return sum;
}

double ProductLine::scattered() const {
  constexpr double neighbours = 32;
  const auto extent = extents.back().constant(), stride = strides.back().constant();
  if (!stride) return neighbours;
  const double apart = static_cast<double>(std::max<std::int64_t>(1, std::abs(*stride)));
  const double runs = extent && !single() ? neighbours / static_cast<double>(*extent) : 1;
  return std::min(std::max(apart, runs), neighbours);
}

bool ProductOperand::along() const {
  if (own.dense()) return false;
  if (depth.has_runs()) return true;
  if (own.has_runs()) return false;
  return depth.single() || !own.single();
}

std::string ProductOperand::wide(int length) const {
  const ProductLine& line = along() ? depth : own;
  const ProductLine& other = along() ? own : depth;
  if (!line.dense()) return "false";
  const std::string bytes = std::to_string(static_cast<std::size_t>(length) * size_of(dtype));
  std::string condition =
      cat({"(weft_u64)(b", std::to_string(buffer), " + from_", name, ") % ", bytes, " == 0"});
  for (const Dim& stride : other.strides) {
    if (!stride.is_constant())
      condition += cat({" && (", dim_text(stride), ") % ", std::to_string(length), " == 0"});
    else if (stride.value() % length != 0)
      return "false";
  }
  return condition;
}

std::string ProductOperand::begin() const {
  OffsetText from(offset);
  for (std::size_t i = 0; i < batch.size(); ++i) from.add(batch[i], "c" + std::to_string(i));
  return from.text();
}

std::string_view ProductOperand::index_type() const {
  const auto far = own.reach(), deep = depth.reach();
  return far && deep && *far + *deep < INT32_MAX ? "int" : "weft_i64";
}

bool ProductOperand::threads_along() const { return depth.scattered() <= own.scattered(); }

bool ProductOperand::moves(int count) const {
  const ProductLine& line = threads_along() ? depth : own;
  const ProductLine& other = threads_along() ? own : depth;
  const auto fits = [&](const Dim& d) { return !d.is_constant() || d.value() % count == 0; };
  // What is next to a run is elsewhere.
  const bool whole_runs = line.single() || (line.extents.back().is_constant() &&
                                            line.extents.back().value() % count == 0);
  const bool one = other.single() && other.extents[0] == Dim(1);
  return line.has_runs() && whole_runs && fits(offset) && std::ranges::all_of(batch, fits) &&
         std::all_of(line.strides.begin(), line.strides.end() - 1, fits) &&
         (one || std::ranges::all_of(other.strides, fits));
}

int ProductOperand::unit() const {
  int count = 16 / static_cast<int>(size_of(dtype));
  while (count > 1 && !moves(count)) count /= 2;
  return count;
}

std::string ProductOperand::aligned() const {
  const int count = unit();
  if (count == 1) return "true";
  const std::string bytes = std::to_string(static_cast<std::size_t>(count) * size_of(dtype));
  std::string condition =
      cat({"(weft_u64)(b", std::to_string(buffer), " + from_", name, ") % ", bytes, " == 0"});
  for (const ProductLine* line : {&own, &depth})
    for (const Dim& stride : line->strides)
      if (!stride.is_constant())
        condition += cat({" && (", dim_text(stride), ") % ", std::to_string(count), " == 0"});
  return condition;
}

}  // namespace weft::codegen
