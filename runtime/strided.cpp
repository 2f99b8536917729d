// Copies between strided layouts: axes are merged where both sides allow, the pair of axes that is
// contiguous in the source and in the target is walked in tiles, and the rest is an odometer.
#include "runtime/strided.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "runtime/array.h"
#include "runtime/thread_pool.h"

namespace weft::runtime {
namespace {

constexpr std::int64_t tile = 32;
constexpr std::int64_t grain_elements = 32768;

using Axis = CopyAxis;

/// Brings the axis along which the source is densest next to the last one.
void pair_axes(std::vector<Axis>& axes) {
  const auto density = [](const Axis& a) { return a.in == 0 ? INT64_MAX : std::abs(a.in); };
  const auto best = std::min_element(axes.begin(), axes.end(), [&](const Axis& a, const Axis& b) {
    return density(a) < density(b);
  });
  if (best + 1 < axes.end()) std::rotate(best, best + 1, axes.end() - 1);
}

template <std::size_t size> struct Element { std::byte bytes[size]; };

template <std::size_t size>
void copy_plane(std::byte* out, const std::byte* in, const Axis& a, const Axis& b,
                std::int64_t begin, std::int64_t end) {
  using E = Element<size>;
  auto* to = reinterpret_cast<E*>(out);
  const auto* from = reinterpret_cast<const E*>(in);
  if (b.in == 1 && b.out == 1) {
    for (std::int64_t i = begin; i < end; ++i)
      std::memcpy(to + i * a.out, from + i * a.in, static_cast<std::size_t>(b.extent) * size);
    return;
  }
  for (std::int64_t i0 = begin; i0 < end; i0 += tile)
    for (std::int64_t j0 = 0; j0 < b.extent; j0 += tile)
      for (std::int64_t i = i0; i < std::min(i0 + tile, end); ++i)
        for (std::int64_t j = j0; j < std::min(j0 + tile, b.extent); ++j)
          to[i * a.out + j * b.out] = from[i * a.in + j * b.in];
}

using CopyPlane = void (*)(std::byte*, const std::byte*, const Axis&, const Axis&, std::int64_t,
                           std::int64_t);

CopyPlane plane_of(std::size_t element) {
  switch (element) {
    case 1: return copy_plane<1>;
    case 2: return copy_plane<2>;
    case 4: return copy_plane<4>;
    case 8: return copy_plane<8>;
  }
  return copy_plane<16>;
}

}  // namespace

std::vector<CopyAxis> merge_axes(std::span<const std::int64_t> shape,
                                 std::span<const std::int64_t> out,
                                 std::span<const std::int64_t> in) {
  std::vector<CopyAxis> axes;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    if (shape[i] == 1) continue;
    const CopyAxis next{shape[i], out[i], in[i]};
    if (!axes.empty() && axes.back().out == next.out * next.extent &&
        axes.back().in == next.in * next.extent)
      axes.back() = {axes.back().extent * next.extent, next.out, next.in};
    else
      axes.push_back(next);
  }
  while (axes.size() < 2) axes.insert(axes.begin(), {1, 0, 0});
  return axes;
}

void copy_strided(std::byte* out, std::span<const std::int64_t> out_strides, const std::byte* in,
                  std::span<const std::int64_t> in_strides, std::span<const std::int64_t> shape,
                  std::size_t element) {
  if (element_count(shape) == 0) return;
  std::vector<Axis> axes = merge_axes(shape, out_strides, in_strides);
  pair_axes(axes);
  const CopyPlane plane = plane_of(element);
  const Axis b = axes.back(), a = axes[axes.size() - 2];
  axes.resize(axes.size() - 2);
  const auto bytes = static_cast<std::int64_t>(element);
  if (axes.empty()) {
    parallel_for(a.extent, std::max(tile, grain_elements / b.extent),
                 [&](std::int64_t begin, std::int64_t end) { plane(out, in, a, b, begin, end); });
    return;
  }
  std::int64_t planes = 1;
  for (const Axis& axis : axes) planes *= axis.extent;
  parallel_for(planes, std::max<std::int64_t>(1, grain_elements / (a.extent * b.extent)),
               [&](std::int64_t begin, std::int64_t end) {
                 for (std::int64_t p = begin; p < end; ++p) {
                   std::int64_t rest = p, to = 0, from = 0;
                   for (std::size_t i = axes.size(); i-- > 0; rest /= axes[i].extent) {
                     to += rest % axes[i].extent * axes[i].out;
                     from += rest % axes[i].extent * axes[i].in;
                   }
                   plane(out + to * bytes, in + from * bytes, a, b, 0, a.extent);
                 }
               });
}

}  // namespace weft::runtime
