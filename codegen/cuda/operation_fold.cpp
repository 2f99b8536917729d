// Windows added up where they overlap (runtime/extern_spatial.cpp): an element of the result adds,
// in the windows' order, what they hold for it.
#include "codegen/cuda/frame_text.h"
#include "codegen/cuda/operation_writer.h"
#include "codegen/cuda/scalar_text.h"
#include "ir/ops/spatial.h"

namespace weft::codegen {
namespace {

constexpr std::string_view fold_prelude = R"(
// Along one axis, the windows [first, last] that hold a place, if their element lies on it.
struct weft_windows {
  weft_i64 count, size, stride, dilation;
  WEFT_METHOD weft_i64 first(weft_i64 place) const {
    const weft_i64 reach = place - (size - 1) * dilation;
    return reach <= 0 ? 0 : (reach + stride - 1) / stride;
  }
  WEFT_METHOD weft_i64 last(weft_i64 place) const {
    return weft_min<weft_i64>(count - 1, weft_quotient(place, stride));
  }
};
// The sum over windows of axis `axis` and those behind it; `from` counts positions, then elements.
template <int axes, int axis, class T> struct weft_fold_axis {
  static WEFT_METHOD void add(const T* x, const weft_windows* w, const weft_i64* place,
                              weft_i64 position, weft_i64 element, T& sum) {
    for (weft_i64 p = w[axis].first(place[axis]); p <= w[axis].last(place[axis]); ++p) {
      const weft_i64 beyond = place[axis] - p * w[axis].stride, e = beyond / w[axis].dilation;
      if (e * w[axis].dilation != beyond) continue;
      weft_fold_axis<axes, axis + 1, T>::add(x, w, place, position * w[axis].count + p,
                                             element * w[axis].size + e, sum);
    }
  }
};
template <int axes, class T> struct weft_fold_axis<axes, axes, T> {
  static WEFT_METHOD void add(const T* x, const weft_windows* w, const weft_i64*, weft_i64 position,
                              weft_i64 element, T& sum) {
    weft_i64 size = 1;
    for (int a = 0; a < axes; ++a) size *= w[a].size;
    sum = weft_convert<T>::of(
        weft_plus::join(weft_widened(sum), weft_widened(x[position * size + element])));
  }
};
template <int axes> struct weft_fold_window { weft_windows at[axes]; };
template <int axes, class T>
WEFT_FUNCTION void weft_fold(const T* x, T* out, weft_i64 outer, weft_extents<axes> shape,
                             weft_fold_window<axes> w) {
  weft_i64 each = 1;
  for (int a = 0; a < axes; ++a) each *= w.at[a].count * w.at[a].size;
  const weft_i64 all = outer * shape.count(), threads = gridDim.x * (weft_i64)blockDim.x;
  for (weft_i64 i = blockIdx.x * (weft_i64)blockDim.x + threadIdx.x; i < all; i += threads) {
    weft_i64 place[axes], rest = i;
    #pragma unroll
    for (int a = axes - 1; a >= 0; --a) {
      const weft_i64 q = weft_quotient(rest, shape.at[a]);
      place[a] = rest - q * shape.at[a];
      rest = q;
    }
    T sum = weft_convert<T>::of(0);
    weft_fold_axis<axes, 0, T>::add(x + rest * each, w.at, place, 0, 0, sum);
    out[i] = sum;
  }
}
)";

}  // namespace

std::optional<OperationText> fold_operation(const ir::DeviceOperation& operation,
                                            std::string_view name) {
  OperationWriter w(operation, name);
  w.use(fold_prelude);
  const auto& attrs = operation.attrs.get<ir::WindowAttrs>();
  const std::size_t axes = attrs.stride.size(), out = w.inputs();
  const Dims shape = w.shape(out), from = w.shape(0);
  const DType t = w.operand(out).dtype;
  if (is_complex(t) || axes == 0) return {};
  const std::size_t lead = shape.size() - axes;
  const std::string count = std::to_string(axes), type(element_type(t));
  std::string windows, extents;
  for (std::size_t i = 0; i < axes; ++i) {
    const auto add = [&](std::string& list, const std::string& item) {
      list.append(list.empty() ? "" : ", ").append(item);
    };
    add(extents, dim_text(shape[lead + i]));
    add(windows, cat({"{", dim_text(from[lead + i]), ", ", dim_text(from[lead + axes + i]), ", ",
                      std::to_string(attrs.stride[i]), ", ", std::to_string(attrs.dilation[i]),
                      "}"}));
  }
  w.launch({.blocks = ceildiv(w.count(out), Dim(256))}, "weft_fold",
           {w.in(0), w.out(out), dim_text(product(std::span(shape).first(lead))),
            cat({"weft_extents<", count, ">{{", extents, "}}"}),
            cat({"weft_fold_window<", count, ">{{", windows, "}}"})});
  w.schedule("a thread an element of the result");
  return w.take();
}

}  // namespace weft::codegen
