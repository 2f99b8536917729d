#include "runtime/packing.h"

#include <algorithm>
#include <complex>
#include <cstring>
#include <type_traits>

#include "runtime/plus.h"
#include "runtime/width.h"

namespace weft::runtime {
namespace {

// Four 32-bit elements; GCC and clang alike turn the shuffles into single instructions.
using Four = std::uint32_t __attribute__((vector_size(16)));

Four load(const std::uint32_t* from) {
  Four x;
  std::memcpy(&x, from, sizeof x);
  return x;
}
void store(std::uint32_t* to, Four x) { std::memcpy(to, &x, sizeof x); }

/// to[i * to_stride + j] = from[j * from_stride + i] for a square of four.
[[gnu::always_inline]] inline void turn_square(const std::uint32_t* from, std::int64_t from_stride,
                                               std::uint32_t* to, std::int64_t to_stride) {
  const Four a = load(from), b = load(from + from_stride), c = load(from + 2 * from_stride),
             d = load(from + 3 * from_stride);
  const Four ab = __builtin_shufflevector(a, b, 0, 4, 1, 5),
             cd = __builtin_shufflevector(c, d, 0, 4, 1, 5),
             ef = __builtin_shufflevector(a, b, 2, 6, 3, 7),
             gh = __builtin_shufflevector(c, d, 2, 6, 3, 7);
  store(to, __builtin_shufflevector(ab, cd, 0, 1, 4, 5));
  store(to + to_stride, __builtin_shufflevector(ab, cd, 2, 3, 6, 7));
  store(to + 2 * to_stride, __builtin_shufflevector(ef, gh, 0, 1, 4, 5));
  store(to + 3 * to_stride, __builtin_shufflevector(ef, gh, 2, 3, 6, 7));
}

constexpr std::int64_t line_bytes = 64;

/// Will be read, or written, soon; there may be nothing there.
template <bool written = false, class T> void expect(const T* base, std::int64_t offset) {
  const auto at =
      reinterpret_cast<std::uintptr_t>(base) + static_cast<std::uintptr_t>(offset) * sizeof(T);
  __builtin_prefetch(reinterpret_cast<const void*>(at), written, 2);
}

/// A cache line of each row after the other: lines of rows may well compete for one place in the
/// cache. Rows are too short for the processor to see what comes next: more of them, then rows behind
/// them. The last squares reach back over what is done already.
void turn_squares(const std::uint32_t* from, std::int64_t from_stride, std::int64_t rows,
                  std::int64_t columns, std::uint32_t* to, std::int64_t to_stride) {
  constexpr std::int64_t line = line_bytes / 4, ahead = 4 * line;
  for (std::int64_t first = 0; first < columns; first += line) {
    const std::int64_t end = std::min(first + line, columns);
    const std::int64_t later = first + ahead,
                       soon = later < columns ? later : rows * from_stride + later - columns;
    for (std::int64_t j = 0; j < rows; j += 4) {
      const std::int64_t row = std::min(j, rows - 4);
      for (std::int64_t i = 0; i < 4; ++i) expect(from, (row + i) * from_stride + soon);
      for (std::int64_t i = first; i < end; i += 4) {
        const std::int64_t at = std::min(i, columns - 4);
        turn_square(from + row * from_stride + at, from_stride, to + at * to_stride + row,
                    to_stride);
      }
    }
  }
}

/// to[i * to_stride + j] = from[j * from_stride + i] for all j < rows, i < columns.
template <class T>
void turn(const T* from, std::int64_t from_stride, std::int64_t rows, std::int64_t columns, T* to,
          std::int64_t to_stride) {
  if (sizeof(T) == 4 && rows >= 4 && columns >= 4)
    return turn_squares(reinterpret_cast<const std::uint32_t*>(from), from_stride, rows, columns,
                        reinterpret_cast<std::uint32_t*>(to), to_stride);
  for (std::int64_t j = 0; j < rows; ++j)
    for (std::int64_t i = 0; i < columns; ++i) to[i * to_stride + j] = from[j * from_stride + i];
}

/// Steps [p, end) of the depth that lie side by side.
std::int64_t run_end(const Line& depth, std::int64_t p, std::int64_t end) {
  return std::min(end, (p / depth.run + 1) * depth.run);
}

template <class T>
void copy_rows(const T* from, std::int64_t count, const Line& depth, Range steps, T* to,
               std::int64_t width) {
  constexpr auto size = static_cast<std::int64_t>(sizeof(T));
  for (std::int64_t p = steps.begin; p < steps.end; ++p, to += width) {
    const T* row = from + depth.at(p);
    for (std::int64_t at = 0; at < count * size; at += line_bytes) {
      expect(row, steps_at_once * depth.stride + at / size);
      expect<true>(to, steps_at_once * width + at / size);
    }
    std::int64_t j = 0;
    constexpr auto chunk = static_cast<std::int64_t>(16 / sizeof(T));
    for (; j + chunk <= count; j += chunk) std::memcpy(to + j, row + j, 16);
    for (; j < count; ++j) to[j] = row[j];
  }
}

/// Same width on both sides.
template <class T>
void copy_panel(const T* from, const Line& line, Range across, const Line& depth, Range steps,
                T* to, std::int64_t width) {
  const std::int64_t count = across.size();
  if (count < width)
    for (std::int64_t p = 0; p < steps.size(); ++p)
      std::fill(to + p * width + count, to + (p + 1) * width, T{});
  const bool regular = line.is_regular() || across.end <= run_end(line, across.begin, across.end);
  const std::int64_t first = line.at(across.begin);
  if (regular && line.stride == 1) return copy_rows(from + first, count, depth, steps, to, width);
  for (std::int64_t p = steps.begin; p < steps.end;) {
    const std::int64_t end = run_end(depth, p, steps.end);
    T* const place = to + (p - steps.begin) * width;
    if (depth.stride == 1 && regular) {
      turn(from + first + depth.at(p), line.stride, count, end - p, place, width);
    } else {
      for (std::int64_t j = 0; j < count; ++j) {
        const T* source = from + line.at(across.begin + j) + depth.at(p);
        for (std::int64_t i = 0; i < end - p; ++i) place[i * width + j] = source[i * depth.stride];
      }
    }
    p = end;
  }
}

template <class T>
void widen_panel(const T* from, const Line& line, Range across, const Line& depth, Range steps,
                 float* to, std::int64_t width) {
  for (std::int64_t p = steps.begin; p < steps.end; ++p, to += width)
    for (std::int64_t j = 0; j < width; ++j)
      to[j] = j < across.size() ? static_cast<float>(from[line.at(across.begin + j) + depth.at(p)])
                                : 0.f;
}

template <class T> void put(const TilePart& part, const T* tile, T* to, std::int64_t stride) {
  const Range rows = part.rows, columns = part.columns;
  if (!part.added && part.turned)
    return turn(tile + rows.begin * part.width + columns.begin, part.width, rows.size(),
                columns.size(), to, stride);
  for (std::int64_t i = 0; i < rows.size(); ++i) {
    const T* from = tile + (rows.begin + i) * part.width + columns.begin;
    for (std::int64_t j = 0; j < columns.size(); ++j) {
      T& element = to[part.turned ? j * stride + i : i * stride + j];
      if (!part.added)
        element = from[j];
      else
        element = plus(element, from[j]);
    }
  }
}

}  // namespace

Line Line::of(const std::vector<std::int64_t>& extents, const std::vector<std::int64_t>& strides) {
  Line line{1, 0, {0}, 1};
  bool begun = false;  // the innermost axes of one stride, slowest last
  bool one_stride = true;
  for (std::size_t axis = extents.size(); axis-- > 0;) {
    if (extents[axis] != 1 && one_stride) {
      if (!begun) line.stride = strides[axis];
      one_stride = !begun || strides[axis] == line.stride * line.run;
      begun = true;
      if (one_stride) line.run *= extents[axis];
    }
    line.count *= extents[axis];
  }
  if (line.count == 0) return regular(0, 1);
  if (line.run == line.count) return regular(line.count, line.stride);
  for (std::size_t axis = 0; axis < extents.size(); ++axis) {
    std::vector<std::int64_t> next;
    next.reserve(line.offsets.size() * static_cast<std::size_t>(extents[axis]));
    for (const std::int64_t from : line.offsets)
      for (std::int64_t i = 0; i < extents[axis]; ++i) next.push_back(from + i * strides[axis]);
    line.offsets = std::move(next);
  }
  return line;
}

DType packed_dtype(DType dtype) {
  return dtype == DType::float16 || dtype == DType::bfloat16 ? DType::float32 : dtype;
}

void pack(DType dtype, const void* from, const Line& line, Range across, const Line& depth,
          Range steps, void* to, std::int64_t width) {
  if (dtype == DType::float16)
    return widen_panel(static_cast<const float16*>(from), line, across, depth, steps,
                       static_cast<float*>(to), width);
  if (dtype == DType::bfloat16)
    return widen_panel(static_cast<const bfloat16*>(from), line, across, depth, steps,
                       static_cast<float*>(to), width);
  visit_width(dtype, [&]<class T>(std::type_identity<T>) {
    copy_panel(static_cast<const T*>(from), line, across, depth, steps, static_cast<T*>(to), width);
  });
}

void turn_floats(const float* from, std::int64_t from_stride, std::int64_t rows,
                 std::int64_t columns, float* to, std::int64_t to_stride) {
  turn(from, from_stride, rows, columns, to, to_stride);
}

void deliver(const TilePart& part, const void* tile, void* to, std::int64_t stride) {
  visit_dtype(part.dtype, [&]<class T>(std::type_identity<T>) {
    put(part, static_cast<const T*>(tile), static_cast<T*>(to), stride);
  });
}

}  // namespace weft::runtime
