// Sequences and optionals: lists of values while importing, so that they cost nothing in the graph.
#include "onnx/importer.h"

namespace weft::onnx {
namespace {

/// Position in a list, counted from the end where negative; `end`: one past the last is one too.
std::size_t position(const Call& c, std::size_t operand, std::size_t size, bool end) {
  const auto at = c.value(operand).item<std::int64_t>();
  const auto n = static_cast<std::int64_t>(size);
  if (at < -n || at >= n + (end ? 1 : 0))
    throw IndexError("position " + std::to_string(at) + " of a sequence of " + std::to_string(n));
  return static_cast<std::size_t>(at < 0 ? at + n : at);
}

Items construct(const Call& c) { return {c.operands()}; }
Items empty_sequence(const Call&) { return {Items{}}; }

Items insert(const Call& c) {
  Items items = c.sequence(0);
  const std::size_t at = c.has(2) ? position(c, 2, items.size(), true) : items.size();
  items.insert(items.begin() + static_cast<std::ptrdiff_t>(at), c.item(1));
  return {std::move(items)};
}
Items erase(const Call& c) {
  Items items = c.sequence(0);
  if (items.empty()) throw IndexError("nothing can be taken from an empty sequence");
  const std::size_t at = c.has(1) ? position(c, 1, items.size(), false) : items.size() - 1;
  items.erase(items.begin() + static_cast<std::ptrdiff_t>(at));
  return {std::move(items)};
}
Items at(const Call& c) {
  const Items& items = c.sequence(0);
  return {items[position(c, 1, items.size(), false)]};
}
Tensor length(const Call& c) { return Array(static_cast<std::int64_t>(c.sequence(0).size())); }

Tensor concat_from_sequence(const Call& c) {
  std::vector<Tensor> parts;
  for (const Item& item : c.sequence(0)) {
    if (!item.tensor()) c.malformed("an item of the sequence is not a tensor");
    parts.push_back(*item.tensor());
  }
  if (parts.empty()) throw ShapeError("an empty sequence has nothing to concatenate");
  const std::int64_t axis = c.integer("axis");
  return c.integer("new_axis", 0) != 0 ? stack(parts, axis) : concatenate(parts, axis);
}

Items split_to_sequence(const Call& c) {
  const Tensor& x = c.x();
  const Shape shape = shape_of(x);
  const std::int64_t axis = axis_of(c.integer("axis", 0), static_cast<std::int64_t>(shape.size())),
                     extent = shape[static_cast<std::size_t>(axis)];
  std::vector<std::int64_t> sizes;
  bool keepdims = true;
  if (!c.has(1)) {
    sizes.assign(static_cast<std::size_t>(extent), 1);
    keepdims = c.integer("keepdims", 1) != 0;
  } else if (c.value(1).ndim() == 1) {
    sizes = c.small_ints(1);
  } else {
    const auto each = c.value(1).item<std::int64_t>();
    if (each <= 0) throw ShapeError("parts of " + std::to_string(each) + " elements");
    for (std::int64_t i = 0; i < extent; i += std::min(each, extent))
      sizes.push_back(std::min(each, extent - i));
  }
  Items parts;
  std::int64_t from = 0;
  for (const std::int64_t n : sizes) {
    if (n < 0 || n > extent - from)
      throw ShapeError("the parts do not add up to " + std::to_string(extent) + " elements");
    const Tensor part = slice_axis(x, axis, from, from + n);
    parts.emplace_back(keepdims ? part : squeeze(part, axis));
    from += n;
  }
  if (from != extent)
    throw ShapeError("the parts do not add up to " + std::to_string(extent) + " elements");
  return {std::move(parts)};
}

/// The body for each item of the sequences; tensors are given to every one.
Items map(const Call& c) {
  const std::size_t n = c.sequence(0).size();
  const GraphDef& body = c.graph("body");
  std::vector<Items> results(body.outputs.size());
  for (std::size_t i = 0; i < n; ++i) {
    Items operands;
    for (const Item& operand : c.operands()) {
      if (operand.items() && operand.items()->size() != n)
        throw ShapeError("the sequences have not the same length");
      operands.push_back(operand.items() ? (*operand.items())[i] : operand);
    }
    Items made = c.importer().run_graph(body, operands, c.frame());
    for (std::size_t j = 0; j < made.size(); ++j) results[j].push_back(std::move(made[j]));
  }
  return {results.begin(), results.end()};
}

Items make_optional(const Call& c) { return {c.count() > 0 ? c.item(0) : Item()}; }
Tensor has_element(const Call& c) { return Array(c.has(0)); }
Items get_element(const Call& c) {
  if (!c.has(0)) c.malformed("an empty optional has no element");
  return {c.item(0)};
}

}  // namespace

std::span<const Row> family::sequences() {
  static const Row rows[] = {
      {"SequenceConstruct", 1, construct},
      {"SequenceEmpty", 1, empty_sequence},
      {"SequenceInsert", 1, insert},
      {"SequenceErase", 1, erase},
      {"SequenceAt", 1, at},
      {"SequenceLength", 1, length},
      {"SequenceMap", 1, map},
      {"ConcatFromSequence", 1, concat_from_sequence},
      {"SplitToSequence", 1, split_to_sequence},
      {"Optional", 1, make_optional},
      {"OptionalHasElement", 1, has_element},
      {"OptionalGetElement", 1, get_element},
  };
  return rows;
}

}  // namespace weft::onnx
