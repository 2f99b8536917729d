// Basic indices as views: what `set_value(index, rows)` writes to.
#include <algorithm>

#include "runtime/reactive.h"

namespace weft::runtime {
namespace {

struct Span1 {
  std::int64_t start, count;
};

/// Python's slice of an axis of extent n.
Span1 clamp_slice(const BasicIndex& s, std::int64_t n) {
  const std::int64_t low = s.step > 0 ? 0 : -1, high = s.step > 0 ? n : n - 1;
  const auto place = [&](std::optional<std::int64_t> bound, std::int64_t absent) {
    if (!bound) return absent;
    return std::clamp(*bound < 0 ? *bound + n : *bound, low, high);
  };
  const std::int64_t start = place(s.start, s.step > 0 ? low : high),
                     stop = place(s.stop, s.step > 0 ? high : low);
  const std::int64_t distance = s.step > 0 ? stop - start : start - stop,
                     stride = s.step > 0 ? s.step : -s.step;
  return {start, distance <= 0 ? 0 : (distance - 1) / stride + 1};
}

}  // namespace

Array part_view(const Array& base, const BasicIndices& index, SourceLocation where) {
  using Kind = BasicIndex::Kind;
  const auto takes_axis = [](const BasicIndex& i) {
    return i.kind == Kind::integer || i.kind == Kind::slice;
  };
  const std::int64_t taken = std::ranges::count_if(index, takes_axis);
  if (taken > base.ndim())
    throw IndexError(
        std::to_string(taken) + " indices for an array of shape " + to_string(base.shape()), where);
  if (std::ranges::count(index, Kind::ellipsis, &BasicIndex::kind) > 1)
    throw IndexError("an index has more than one ellipsis", where);
  Array view = base;
  std::int64_t axis = 0;
  for (const BasicIndex& i : index) {
    const std::int64_t n = axis < view.ndim() ? view.shape()[static_cast<std::size_t>(axis)] : 0;
    switch (i.kind) {
      case Kind::integer:
        if (i.integer < -n || i.integer >= n)
          throw IndexError("index " + std::to_string(i.integer) +
                               " is out of range for an axis of extent " + std::to_string(n),
                           where);
        view = select_view(view, axis, i.integer < 0 ? i.integer + n : i.integer);
        break;
      case Kind::slice: {
        if (i.step == 0) throw IndexError("a slice has step 0", where);
        const Span1 part = clamp_slice(i, n);
        view = slice_view(view, axis++, part.start, part.count, i.step);
        break;
      }
      case Kind::ellipsis: axis += base.ndim() - taken; break;
      case Kind::newaxis: {
        Shape shape = view.shape(), strides = view.strides();
        shape.insert(shape.begin() + axis, 1);
        strides.insert(strides.begin() + axis, 0);
        view = strided_view(view, std::move(shape), std::move(strides), 0);
        ++axis;
        break;
      }
    }
  }
  return view;
}

}  // namespace weft::runtime
