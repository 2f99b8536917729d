// Extern operations, and values that several pieces are written into.
#include "passes/fuser.h"

#include <algorithm>

#include "ir/ops/ops.h"
#include "passes/body.h"

namespace weft::passes {

using ir::Node;
using ir::ScalarBuilder;
using ir::ScalarValue;

namespace {

/// A group that touches so many buffers gets no pieces of what others made: more streams through
/// memory than a core follows.
constexpr int most_beside = 12;

}  // namespace

void Fuser::visit_external(int v) {
  std::vector<int> operands = value(v).operands;
  for (int& o : operands) {
    if (o >= 0) o = dense(o);
  }
  value(v).operands = std::move(operands);
  Group g;
  g.kind = GroupKind::external;
  g.members = {v};
  value(v).group = add_group(std::move(g));
  value(v).stored = true;
}

void Fuser::visit_regions(int v) {
  const Node& node = *value(v).node;
  const ir::Regions& meaning = std::get<ir::Regions>(node.op().meaning);
  if (&node.op() == &ir::ops::concatenate) check_beside(v);
  int last = -1;
  if (meaning.fill) {
    Value fill;
    fill.node = &node;
    fill.dtype = value(v).dtype;
    fill.shape = value(v).shape;
    fill.target = v;
    fill.place = full_map_of_shape(*fill.shape);
    ScalarBuilder b;
    const double filled_with = meaning.fill(node);
    const ScalarValue out[] = {b.constant(fill.dtype, filled_with)};
    fill.body = std::make_shared<const Body>(make_body(b.finish(out)));
    const int number = add(std::move(fill));
    place_alone(number);
    last = value(number).group;
    fills_[v] = {number, filled_with};
    pieces_of_[v].push_back(number);
  }
  const int filled = last;  // regions never overlap: they may be written in any order after that
  for (const ir::Region& region : meaning.map(node)) {
    last = std::max(last, place_region(v, value(v).operands[region.operand], region, filled));
  }
  value(v).group = last;
  value(v).stored = true;
}

MapRef Fuser::full_map_of_shape(const Dims& shape) {
  std::vector<int> own(shape.size(), -1);
  for (std::size_t i = 0; i < own.size(); ++i) {
    if (!is_unit(shape[i])) own[i] = static_cast<int>(i);
  }
  return make_map(own, shape.size());
}

int Fuser::place_region(int v, int source, const ir::Region& region, int after) {
  Value x;
  x.node = value(v).node;
  x.dtype = value(v).dtype;
  x.shape = value(source).shape;
  x.operands = {source};
  x.body = std::make_shared<const Body>(copy_body(value(source).dtype, x.dtype));
  x.target = v;
  x.place = std::make_shared<const IndexMap>(
      through_view(region.place, *full_map_of_shape(*x.shape), x.shape->size()));
  const int number = add(std::move(x));
  const int producer = producer_group(value(number));
  const int beside = latest(without_units(*value(number).shape), 0, 0);
  const auto joins = [&](int g) {
    return options_.fuse && g > after && try_place(number, g, true);
  };
  const bool joined = joins(producer) ||
                      (beside > producer && group(beside).buffers < most_beside && joins(beside));
  if (!joined) place_alone(number);
  pieces_.emplace_back(number, v);
  pieces_of_[v].push_back(number);
  return value(number).group;
}

}  // namespace weft::passes
