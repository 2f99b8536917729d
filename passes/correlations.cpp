#include "passes/correlations.h"

#include <algorithm>
#include <optional>
#include <string>
#include <variant>

#include "ir/op.h"
#include "ir/ops/attrs.h"
#include "ir/ops/ops.h"
#include "ir/ops/spatial.h"

namespace weft::passes {
namespace {

using ir::Node;

constexpr std::int64_t tile = 4;             // of the result, either way
constexpr std::int64_t least_channels = 16;  // of the image and of the other operand
constexpr std::int64_t least_tiles = 24;     // or transforming the weights would not pay

bool all_are(const std::vector<std::int64_t>& values, std::int64_t wanted) {
  return std::ranges::all_of(values, [&](std::int64_t v) { return v == wanted; });
}

std::optional<Margins> margins_of(const Node& windows) {
  if (&windows.op() != &ir::ops::windows) return {};
  const auto& w = windows.attrs().get<ir::WindowAttrs>();
  if (w.size != Dims{3, 3} || !all_are(w.stride, 1) || !all_are(w.dilation, 1)) return {};
  const ir::Type& type = windows.type();
  if (type.dtype != DType::float32 || type.shape->size() != 6) return {};
  Margins m{windows.input(0).get()};
  if (&m.image->op() == &ir::ops::pad) {
    const auto& p = m.image->attrs().get<ir::PadAttrs>();
    const bool around = p.low[0] == Dim(0) && p.low[1] == Dim(0) && p.high[0] == Dim(0) &&
                        p.high[1] == Dim(0) && all_are(p.interior, 0) && p.value == 0;
    if (around && p.low[2].is_constant() && p.low[3].is_constant())
      m = {m.image->input(0).get(), p.low[2].value(), p.low[3].value()};
  }
  const Node* seen = m.image;  // a number that is broadcast lies nowhere
  while (std::holds_alternative<ir::View>(seen->op().meaning)) seen = seen->input(0).get();
  if (seen->attrs().is<ir::ConstantAttrs>() || m.image->type().dtype != DType::float32) return {};
  return m;
}

/// Weights (f, c, i, j) by the windows to images, or cotangents (n, f, x, y) by them to weights.
bool pays(const Node& product, const Node& windows) {
  if (&product.op() != &ir::ops::window_product) return false;
  const auto& s = product.attrs().get<ir::SubscriptAttrs>();
  const std::size_t at = product.input(0).get() == &windows ? 0 : 1;
  const Node& other = *product.input(1 - at);
  if (product.input(at).get() != &windows || &other == &windows ||
      other.type().dtype != DType::float32)
    return false;
  const std::string &seen = at == 0 ? s.a : s.b, &by = at == 0 ? s.b : s.a;
  const auto own = std::ranges::find_if(by, [&](char c) { return seen.find(c) == seen.npos; });
  if (seen.size() != 6 || by.size() != 4 || own == by.end()) return false;
  std::string summed = by;
  std::erase(summed, *own);
  const bool to_images = summed == std::string{seen[1], seen[4], seen[5]} &&
                         s.out == std::string{seen[0], *own, seen[2], seen[3]};
  const bool to_weights = summed == std::string{seen[0], seen[2], seen[3]} &&
                          s.out == std::string{*own, seen[1], seen[4], seen[5]};
  if (!to_images && !to_weights) return false;
  const std::optional<Shape> shape = to_shape(*windows.type().shape);
  const Dim filters = (*other.type().shape)[static_cast<std::size_t>(own - by.begin())];
  if (!shape || !filters.is_constant()) return false;
  const std::int64_t images = (*shape)[0], channels = (*shape)[1], height = (*shape)[2],
                     width = (*shape)[3];
  const std::int64_t tiles = (height + tile - 1) / tile * ((width + tile - 1) / tile);
  // At least twice as few multiplications, those of tiles that hang over included.
  return std::min(channels, filters.value()) >= least_channels && images * tiles >= least_tiles &&
         height > 1 && width > 1 && 9 * height * width >= 2 * 36 * tiles;
}

}  // namespace

std::unordered_map<const Node*, Margins> find_correlations(std::span<const Node* const> nodes) {
  std::unordered_map<const Node*, Margins> found;
  for (const Node* node : nodes)
    if (const auto margins = margins_of(*node)) found.emplace(node, *margins);
  if (found.empty()) return found;
  for (const Node* node : nodes)
    for (const ir::NodeRef& input : node->inputs())
      if (const auto at = found.find(input.get()); at != found.end() && !pays(*node, *at->first))
        found.erase(at);
  return found;
}

}  // namespace weft::passes
