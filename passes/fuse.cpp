#include "passes/fuse.h"

#include "passes/fuser.h"

namespace weft::passes {

Fused Fuser::run() {
  collect();
  for (std::size_t i = 0; i < order_.size(); ++i) visit(order_[i]);
  place_outputs();
  settle_places();
  settle_storage();
  return std::move(f_);
}

void Fuser::visit(int v) {
  switch (value(v).kind) {
    case ValueKind::input:
    case ValueKind::constant:
    case ValueKind::scalar: return;
    case ValueKind::view: return visit_view(v);
    case ValueKind::pointwise:
      value(v).body = body_of(*value(v).node);
      check_broadcast(v);
      return place(v);
    case ValueKind::reduction: return visit_reduction(v);
    case ValueKind::contraction: return visit_contraction(v);
    case ValueKind::external: return visit_external(v);
    case ValueKind::part: {
      value(v).group = value(value(v).operands[0]).group;
      value(v).stored = true;
      return;
    }
    case ValueKind::regions: return visit_regions(v);
  }
}

std::optional<Read> resolve(const std::vector<Value>& values, int value, MapRef map,
                            std::span<const Dim> extents, int before) {
  const auto at = [&](int v) -> const Value& { return values[static_cast<std::size_t>(v)]; };
  const auto inlined = [&](const Value& v) { return v.free && !(v.kept && v.group < before); };
  const auto copied = [&](int v) { return at(v).copy >= 0 && at(at(v).copy).group < before; };
  while (true) {
    const Value& v = at(value);
    if (v.kind == ValueKind::scalar) return Read{.value = value, .map = nullptr};
    if (v.kind != ValueKind::view)
      return Read{.value = value, .inlined = inlined(v), .map = std::move(map)};
    if (copied(value)) {
      value = v.copy;
    } else if (v.view) {
      map = std::make_shared<const IndexMap>(through_view(*v.view, *map, extents.size()));
      value = v.operands[0];
    } else if (auto crossed = through_reshape(*map, *v.shape, *at(v.operands[0]).shape, extents)) {
      map = std::make_shared<const IndexMap>(std::move(*crossed));
      value = v.operands[0];
    } else {
      auto flat =
          std::make_shared<const IndexMap>(IndexMap{linear(*map, *v.shape, extents.size())});
      while (at(value).kind == ValueKind::view && !at(value).view && !copied(value))
        value = at(value).operands[0];
      if (copied(value)) value = at(value).copy;
      if (at(value).kind == ValueKind::scalar) return Read{.value = value, .map = nullptr};
      if (at(value).kind == ValueKind::view || inlined(at(value))) return std::nullopt;
      return Read{.value = value, .flat = true, .map = std::move(flat)};
    }
  }
}

MapRef operand_map(const std::vector<Value>& values, const Value& value, std::size_t i,
                   const MapRef& at, std::size_t kernel_axes) {
  const Dims& shape = *values[static_cast<std::size_t>(value.operands[i])].shape;
  if (!value.permutation.empty()) {
    IndexMap map;
    for (std::size_t k = 0; k < shape.size(); ++k)
      map.push_back((*at)[static_cast<std::size_t>(value.permutation[k])]);
    return std::make_shared<const IndexMap>(std::move(map));
  }
  if (shape == *value.shape) return at;
  return std::make_shared<const IndexMap>(through_broadcast(*at, shape, kernel_axes));
}

Affine element_at(const std::vector<Value>& values, const Value& value, const IndexMap& map,
                  std::size_t kernel_axes) {
  if (value.target < 0) return linear(map, *value.shape, kernel_axes);
  return linear(compose(*value.place, map, kernel_axes),
                *values[static_cast<std::size_t>(value.target)].shape, kernel_axes);
}

Affine element_of(const std::vector<Value>& values, const Read& read, std::size_t kernel_axes) {
  const Value& value = values[static_cast<std::size_t>(read.value)];
  if (!read.flat) return element_at(values, value, *read.map, kernel_axes);
  Affine at = (*read.map)[0];
  if (value.target >= 0) {  // in one run there
    const Dims& shape = *values[static_cast<std::size_t>(value.target)].shape;
    at.offset = at.offset + linear(*value.place, shape, value.shape->size()).offset;
  }
  return at;
}

Fused fuse(const ir::Graph& graph, const FuseOptions& options) {
  return Fuser(graph, options).run();
}

}  // namespace weft::passes
