// Gathering and scattering. Indices are checked before anything is written. Memory is read and
// written in runs: a line is where either the indices vary along the last axis, or one index serves
// a run of neighbours, so nothing is divided per element. Threads never share a target, so results
// do not depend on their number.
#include <algorithm>
#include <atomic>
#include <cassert>
#include <cmath>
#include <complex>
#include <cstring>
#include <string>
#include <vector>

#include "ir/ops/advanced_indexing.h"
#include "runtime/array.h"
#include "runtime/extern_families.h"
#include "runtime/plus.h"
#include "runtime/thread_pool.h"
#include "runtime/width.h"

namespace weft::runtime {
namespace {

/// Work for one thread before another is worth waking.
constexpr std::int64_t grain_bytes = 64 << 10;
constexpr std::int64_t grain_elements = 16 << 10;

std::int64_t product(std::span<const std::int64_t> extents) {
  std::int64_t n = 1;
  for (const std::int64_t extent : extents) n *= extent;
  return n;
}

void copy_bytes(void* to, const void* from, std::int64_t bytes) {
  parallel_for(bytes, grain_bytes, [&](std::int64_t begin, std::int64_t end) {
    std::memcpy(static_cast<std::byte*>(to) + begin, static_cast<const std::byte*>(from) + begin,
                static_cast<std::size_t>(end - begin));
  });
}
void clear_bytes(void* to, std::int64_t bytes) {
  parallel_for(bytes, grain_bytes, [&](std::int64_t begin, std::int64_t end) {
    std::memset(static_cast<std::byte*>(to) + begin, 0, static_cast<std::size_t>(end - begin));
  });
}
std::int64_t bytes_of(const TensorView& x) {
  return x.size() * static_cast<std::int64_t>(size_of(x.dtype));
}

// ---- indices ------------------------------------------------------------------------------------

/// Indices as int64, in place where they are.
class Positions {
 public:
  explicit Positions(const TensorView& indices) {
    if (indices.dtype == DType::int64) {
      data_ = static_cast<const std::int64_t*>(indices.data);
      return;
    }
    converted_.resize(static_cast<std::size_t>(indices.size()));
    convert_elements(indices.dtype, indices.data, DType::int64, converted_.data(), indices.size());
    data_ = converted_.data();
  }
  [[nodiscard]] const std::int64_t* data() const { return data_; }

 private:
  const std::int64_t* data_ = nullptr;
  std::vector<std::int64_t> converted_;
};

[[noreturn]] void out_of_range(const char* what, std::int64_t index, const std::string& axis,
                               std::int64_t extent, SourceLocation where) {
  throw IndexError(std::string(what) + ": index " + std::to_string(index) +
                       " is out of range for " + axis + " of extent " + std::to_string(extent),
                   where);
}

/// Throws for the first of `n` indices that is out of range.
void check(const std::int64_t* index, std::int64_t n, std::int64_t extent, const char* what,
           SourceLocation where) {
  std::atomic<bool> good{true};
  parallel_for(n, grain_elements, [&](std::int64_t begin, std::int64_t end) {
    bool all = true;
    for (std::int64_t i = begin; i < end; ++i)
      all &= static_cast<bool>((index[i] >= -extent) & (index[i] < extent));
    if (!all) good = false;
  });
  if (good) return;
  while (*index >= -extent && *index < extent) ++index;
  out_of_range(what, *index, "an axis", extent, where);
}

/// Negative positions count from the end.
std::int64_t counted(std::int64_t index, std::int64_t extent) {
  return index + (index < 0 ? extent : 0);
}

/// True, once all indices are seen to be right.
void check_index(const ir::CheckIndexAttrs& attrs, std::span<const TensorView> in,
                 const TensorView& out, SourceLocation where) {
  const Positions positions(in[0]);
  const std::int64_t extent = *Positions(in[1]).data(), n = in[0].size();
  for (std::int64_t i = 0; i < n; ++i) {
    const std::int64_t index = positions.data()[i];
    if ((index < 0 || index >= extent) && index != attrs.ignored)
      out_of_range(attrs.name.c_str(), index, "classes", extent, where);
  }
  *static_cast<bool*>(out.data) = true;
}

// ---- along one axis -----------------------------------------------------------------------------

/// How an array of indices lies over an array: both agree but along one axis, or the indices are
/// fewer. Axes that run on into each other are one.
class Along {
 public:
  Along(std::span<const std::int64_t> array, std::span<const std::int64_t> indices,
        std::int64_t axis, const char* what, SourceLocation where) {
    const auto rank = static_cast<std::int64_t>(array.size());
    const std::int64_t at = axis < 0 ? axis + rank : axis;
    std::int64_t stride = 1;
    for (std::int64_t i = rank - 1; i >= 0; --i) {
      const auto k = static_cast<std::size_t>(i);
      if (i == at) {
        taken_ = indices[k];
        extent_ = array[k];
        axis_stride_ = stride;
      } else {
        if (indices[k] > array[k])
          throw ShapeError(std::string(what) + ": " + std::to_string(indices[k]) +
                               " indices along axis " + std::to_string(i) + " of extent " +
                               std::to_string(array[k]),
                           where);
        prepend(i < at ? outer_ : inner_, indices[k], stride);
      }
      stride *= array[k];
    }
    if (!inner_.empty()) {
      run_ = inner_.back();
      inner_.pop_back();
    }
    lines_ = 1;
    for (const Axis& a : outer_) outer_count_ *= a.extent;
    for (const Axis& a : inner_) lines_ *= a.extent;
  }

  [[nodiscard]] std::int64_t extent() const { return extent_; }

  /// Calls `line(target of index 0, first position, count, distance of targets)` for all lines, a
  /// thread taking whole outer coordinates or a part of each run; where `shared`, threads may meet
  /// in one target, and take parts of the axis, too.
  template <class F> void each_line(bool shared, F line) const {
    const bool along = inner_.empty() && run_.extent == 1;  // the axis is the last
    const std::int64_t inner = lines_ * run_.extent, row = taken_ * inner;
    if (outer_count_ * row == 0) return;
    const std::int64_t grain = std::max<std::int64_t>(1, grain_elements / row);
    if (outer_count_ >= 2 * grain || (along && !shared)) {
      parallel_for(outer_count_, grain, [&](std::int64_t begin, std::int64_t end) {
        walk({begin, end}, {0, taken_}, {0, run_.extent}, along, line);
      });
    } else if (shared) {
      const std::int64_t part = std::max<std::int64_t>(1, grain_elements / (outer_count_ * inner));
      parallel_for(taken_, part, [&](std::int64_t begin, std::int64_t end) {
        walk({0, outer_count_}, {begin, end}, {0, run_.extent}, along, line);
      });
    } else {
      const std::int64_t part =
          std::max<std::int64_t>(16, grain_elements / (outer_count_ * taken_ * lines_));
      parallel_for(run_.extent, part, [&](std::int64_t begin, std::int64_t end) {
        walk({0, outer_count_}, {0, taken_}, {begin, end}, along, line);
      });
    }
  }
  [[nodiscard]] std::int64_t axis_stride() const { return axis_stride_; }

 private:
  struct Axis {
    std::int64_t extent = 1, stride = 1;  // of the indices; in the array
  };
  struct Range {
    std::int64_t begin, end;
  };

  static void prepend(std::vector<Axis>& axes, std::int64_t extent, std::int64_t stride) {
    if (extent == 1) return;
    if (!axes.empty() && axes.front().stride * axes.front().extent == stride)
      axes.front().extent *= extent;
    else
      axes.insert(axes.begin(), {extent, stride});
  }

  /// Where coordinate number `n` of these axes lies in the array.
  static std::int64_t place(const std::vector<Axis>& axes, std::int64_t n) {
    std::int64_t at = 0;
    for (std::size_t i = axes.size(); i-- > 0; n /= axes[i].extent)
      at += n % axes[i].extent * axes[i].stride;
    return at;
  }

  template <class F>
  void walk(Range outer, Range taken, Range run, bool along, const F& line) const {
    for (std::int64_t o = outer.begin; o < outer.end; ++o) {
      const std::int64_t base = place(outer_, o), first = o * taken_;
      if (along) {
        line(base, first + taken.begin, taken.end - taken.begin, 0);
        continue;
      }
      for (std::int64_t e = taken.begin; e < taken.end; ++e)
        for (std::int64_t l = 0; l < lines_; ++l)
          line(base + place(inner_, l) + run.begin * run_.stride,
               ((first + e) * lines_ + l) * run_.extent + run.begin, run.end - run.begin,
               run_.stride);
    }
  }

  std::vector<Axis> outer_, inner_;  // before the axis; behind it, without the last of them
  Axis run_;                         // the last behind it
  std::int64_t outer_count_ = 1, lines_ = 1;
  std::int64_t taken_ = 1, extent_ = 1, axis_stride_ = 1;
};

void gather(const TensorView& x, const TensorView& indices, const TensorView& out,
            std::int64_t axis, const char* what, SourceLocation where) {
  const Positions positions(indices);
  const Along along(x.shape, indices.shape, axis, what, where);
  const std::int64_t *index = positions.data(), extent = along.extent(),
                     stride = along.axis_stride();
  check(index, indices.size(), extent, what, where);
  visit_width(x.dtype, [&]<class T>(std::type_identity<T>) {
    const T* from = static_cast<const T*>(x.data);
    T* to = static_cast<T*>(out.data);
    along.each_line(
        true, [&](std::int64_t base, std::int64_t first, std::int64_t n, std::int64_t step) {
          for (std::int64_t i = 0; i < n; ++i)
            to[first + i] = from[base + i * step + counted(index[first + i], extent) * stride];
        });
  });
}

// ---- combining ----------------------------------------------------------------------------------

struct Replace {
  template <class T> static T join(T, T b) { return b; }
};
struct Plus {
  template <class T> static T join(T a, T b) { return plus(a, b); }
};
struct Times {
  template <class T> static T join(T a, T b) {
    if constexpr (std::is_same_v<T, bool>)
      return a && b;
    else if constexpr (std::is_integral_v<T>)
      return static_cast<T>(static_cast<std::uint64_t>(a) * static_cast<std::uint64_t>(b));
    else if constexpr (std::is_same_v<T, float16> || std::is_same_v<T, bfloat16>)
      return T(static_cast<float>(a) * static_cast<float>(b));
    else
      return a * b;
  }
};
/// NaN wins.
template <bool Greater> struct Extreme {
  template <class T> static T join(T a, T b) {
    if constexpr (std::is_same_v<T, std::complex<float>> ||
                  std::is_same_v<T, std::complex<double>>) {
      return b;  // refused by the type rule
    } else if constexpr (std::is_same_v<T, float16> || std::is_same_v<T, bfloat16>) {
      return T(join(static_cast<float>(a), static_cast<float>(b)));
    } else {
      if constexpr (std::is_floating_point_v<T>) {
        if (std::isnan(a)) return a;
        if (std::isnan(b)) return b;
      }
      return Greater == (a < b) ? b : a;
    }
  }
};

template <class F> void visit_reduction(const std::string& reduction, F f) {
  if (reduction == "add") return f(Plus{});
  if (reduction == "mul") return f(Times{});
  if (reduction == "max") return f(Extreme<true>{});
  if (reduction == "min") return f(Extreme<false>{});
  f(Replace{});
}

/// Replacing needs the width alone.
template <class Join, class F> void visit_element(DType dtype, F f) {
  if constexpr (std::is_same_v<Join, Replace>)
    visit_width(dtype, f);
  else
    visit_dtype(dtype, f);
}

/// Joins `values` into `out`, which holds the array already.
template <class Join>
void join_along(const Along& along, const std::int64_t* index, const TensorView& values,
                const TensorView& out) {
  const std::int64_t extent = along.extent(), stride = along.axis_stride();
  visit_element<Join>(out.dtype, [&]<class T>(std::type_identity<T>) {
    const T* from = static_cast<const T*>(values.data);
    T* to = static_cast<T*>(out.data);
    along.each_line(
        false, [&](std::int64_t base, std::int64_t first, std::int64_t n, std::int64_t step) {
          for (std::int64_t i = 0; i < n; ++i) {
            T& target = to[base + i * step + counted(index[first + i], extent) * stride];
            target = Join::join(target, from[first + i]);
          }
        });
  });
}

/// `array` null: zeros.
void scatter(const TensorView* array, const TensorView& indices, const TensorView& values,
             const TensorView& out, std::int64_t axis, const std::string& reduction,
             const char* what, SourceLocation where) {
  const Positions positions(indices);
  const Along along(out.shape, indices.shape, axis, what, where);
  check(positions.data(), indices.size(), along.extent(), what, where);
  if (array)
    copy_bytes(out.data, array->data, bytes_of(out));
  else
    clear_bytes(out.data, bytes_of(out));
  visit_reduction(
      reduction, [&]<class Join>(Join) { join_along<Join>(along, positions.data(), values, out); });
}

/// Which position came last at each element of the array.
void gather_last(const TensorView& x, const TensorView& indices, const TensorView& out,
                 std::int64_t axis, SourceLocation where) {
  const Positions positions(indices);
  const Along along(x.shape, indices.shape, axis, "gather_last", where);
  const std::int64_t *index = positions.data(), extent = along.extent(),
                     stride = along.axis_stride();
  check(index, indices.size(), extent, "gather_last", where);
  std::vector<std::int64_t> winner(static_cast<std::size_t>(x.size()));
  const auto target = [&](std::int64_t base, std::int64_t step, std::int64_t first,
                          std::int64_t i) {
    return base + i * step + counted(index[first + i], extent) * stride;
  };
  along.each_line(false,
                  [&](std::int64_t base, std::int64_t first, std::int64_t n, std::int64_t step) {
                    for (std::int64_t i = 0; i < n; ++i)
                      winner[static_cast<std::size_t>(target(base, step, first, i))] = first + i;
                  });
  visit_width(x.dtype, [&]<class T>(std::type_identity<T>) {
    const T* from = static_cast<const T*>(x.data);
    T* to = static_cast<T*>(out.data);
    along.each_line(
        true, [&](std::int64_t base, std::int64_t first, std::int64_t n, std::int64_t step) {
          for (std::int64_t i = 0; i < n; ++i) {
            const std::int64_t at = target(base, step, first, i);
            to[first + i] = winner[static_cast<std::size_t>(at)] == first + i ? from[at] : T{};
          }
        });
  });
}

// ---- rows ---------------------------------------------------------------------------------------

/// Which rows of an array are named, and how many elements a row has.
struct Rows {
  std::vector<std::int64_t> at;
  std::int64_t width = 1;
};

Rows single_rows(std::span<const std::int64_t> array, const TensorView& indices, const char* what,
                 SourceLocation where) {
  const Positions positions(indices);
  check(positions.data(), indices.size(), array[0], what, where);
  Rows rows{std::vector<std::int64_t>(positions.data(), positions.data() + indices.size()),
            product(array.subspan(1))};
  for (std::int64_t& row : rows.at) row = counted(row, array[0]);
  return rows;
}

/// Tuples along the last axis of the indices, behind `batch` axes that both share.
Rows tuple_rows(std::span<const std::int64_t> array, const TensorView& indices, std::int64_t batch,
                const char* what, SourceLocation where) {
  const auto shared = static_cast<std::size_t>(batch),
             k = static_cast<std::size_t>(indices.shape.back());
  const auto indexed = array.subspan(shared, k);
  const std::int64_t batches = product(array.first(shared)), block = product(indexed);
  const std::int64_t tuples = product(indices.shape.first(indices.shape.size() - 1));
  const std::int64_t each = batches == 0 ? 0 : tuples / batches;
  const Positions positions(indices);
  Rows rows{std::vector<std::int64_t>(static_cast<std::size_t>(tuples)),
            product(array.subspan(shared + k))};
  std::atomic<bool> good{true};
  parallel_for(batches, std::max<std::int64_t>(1, grain_elements / std::max<std::int64_t>(1, each)),
               [&](std::int64_t begin, std::int64_t end) {
                 for (std::int64_t b = begin; b < end; ++b)
                   for (std::int64_t t = b * each; t < (b + 1) * each; ++t) {
                     std::int64_t row = 0;
                     for (std::size_t i = 0; i < k; ++i) {
                       const std::int64_t index =
                           positions.data()[static_cast<std::size_t>(t) * k + i];
                       if (index < -indexed[i] || index >= indexed[i]) good = false;
                       row = row * indexed[i] + counted(index, indexed[i]);
                     }
                     rows.at[static_cast<std::size_t>(t)] = b * block + row;
                   }
               });
  if (good) return rows;
  for (std::size_t i = 0;; ++i) {
    const std::int64_t index = positions.data()[i], extent = indexed[i % k];
    if (index < -extent || index >= extent)
      out_of_range(what, index, "axis " + std::to_string(shared + i % k), extent, where);
  }
}

/// Rows for one thread before another is worth waking.
std::int64_t row_grain(std::size_t row_bytes) {
  return std::max<std::int64_t>(1, grain_bytes / static_cast<std::int64_t>(row_bytes));
}

void take_rows(const TensorView& x, const Rows& rows, const TensorView& out) {
  if (rows.width == 1)
    return visit_width(x.dtype, [&]<class T>(std::type_identity<T>) {
      const T* from = static_cast<const T*>(x.data);
      T* to = static_cast<T*>(out.data);
      parallel_for(std::ssize(rows.at), grain_elements, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i)
          to[i] = from[rows.at[static_cast<std::size_t>(i)]];
      });
    });
  const std::size_t bytes = static_cast<std::size_t>(rows.width) * size_of(x.dtype);
  if (bytes == 0) return;
  const auto* from = static_cast<const std::byte*>(x.data);
  auto* to = static_cast<std::byte*>(out.data);
  parallel_for(std::ssize(rows.at), row_grain(bytes), [&](std::int64_t begin, std::int64_t end) {
    for (auto i = static_cast<std::size_t>(begin); i < static_cast<std::size_t>(end); ++i)
      std::memcpy(to + i * bytes, from + static_cast<std::size_t>(rows.at[i]) * bytes, bytes);
  });
}

/// The same for the last of several equal rows; zeros for the others.
void take_rows_last(const TensorView& x, const Rows& rows, const TensorView& out) {
  const std::size_t bytes = static_cast<std::size_t>(rows.width) * size_of(x.dtype);
  if (bytes == 0) return;
  std::vector<std::size_t> winner(static_cast<std::size_t>(x.size() / rows.width));
  for (std::size_t i = 0; i < rows.at.size(); ++i) winner[static_cast<std::size_t>(rows.at[i])] = i;
  const auto* from = static_cast<const std::byte*>(x.data);
  auto* to = static_cast<std::byte*>(out.data);
  parallel_for(std::ssize(rows.at), row_grain(bytes), [&](std::int64_t begin, std::int64_t end) {
    for (auto i = static_cast<std::size_t>(begin); i < static_cast<std::size_t>(end); ++i) {
      const auto row = static_cast<std::size_t>(rows.at[i]);
      if (winner[row] == i)
        std::memcpy(to + i * bytes, from + row * bytes, bytes);
      else
        std::memset(to + i * bytes, 0, bytes);
    }
  });
}

/// In the order of their position, whatever the number of threads: each takes some columns.
template <class Join>
void join_rows(const Rows& rows, const TensorView& values, const TensorView& out) {
  visit_element<Join>(out.dtype, [&]<class T>(std::type_identity<T>) {
    const T* from = static_cast<const T*>(values.data);
    T* to = static_cast<T*>(out.data);
    if (rows.width == 1) {
      for (std::size_t i = 0; i < rows.at.size(); ++i)
        to[rows.at[i]] = Join::join(to[rows.at[i]], from[i]);
      return;
    }
    const std::int64_t count = std::max<std::int64_t>(1, std::ssize(rows.at));
    const std::int64_t grain = std::max<std::int64_t>(16, grain_elements / count);
    parallel_for(rows.width, grain, [&](std::int64_t begin, std::int64_t end) {
      for (std::size_t i = 0; i < rows.at.size(); ++i) {
        T* target = to + rows.at[i] * rows.width;
        const T* value = from + static_cast<std::int64_t>(i) * rows.width;
        for (std::int64_t j = begin; j < end; ++j) target[j] = Join::join(target[j], value[j]);
      }
    });
  });
}

/// The same elements along one axis.
TensorView as_vector(const TensorView& x, const std::int64_t& extent) {
  return {x.dtype, {&extent, 1}, x.data};
}

void gather_rows(const ir::Attrs& attrs, std::span<const TensorView> in, const TensorView& out,
                 SourceLocation where) {
  if (!attrs.is<ir::GatherNdAttrs>()) {
    if (product(in[0].shape.subspan(1)) == 1) {
      const std::int64_t n = in[1].size();
      return gather(as_vector(in[0], in[0].shape[0]), as_vector(in[1], n), out, 0, "gather_rows",
                    where);
    }
    return take_rows(in[0], single_rows(in[0].shape, in[1], "gather_rows", where), out);
  }
  const auto& nd = attrs.get<ir::GatherNdAttrs>();
  const Rows rows = tuple_rows(in[0].shape, in[1], nd.batch, "gather_nd", where);
  return nd.last ? take_rows_last(in[0], rows, out) : take_rows(in[0], rows, out);
}

void scatter_rows(const ir::ScatterNdAttrs& nd, std::span<const TensorView> in,
                  const TensorView& out, SourceLocation where) {
  const Rows rows = tuple_rows(in[0].shape, in[1], nd.batch, "scatter_nd", where);
  copy_bytes(out.data, in[0].data, bytes_of(out));
  visit_reduction(nd.reduction, [&]<class Join>(Join) { join_rows<Join>(rows, in[2], out); });
}

void scatter_add_rows(std::span<const TensorView> in, const TensorView& out, SourceLocation where) {
  if (product(out.shape.subspan(1)) == 1) {
    const std::int64_t n = in[1].size();
    return scatter(nullptr, as_vector(in[1], n), in[0], as_vector(out, out.shape[0]), 0, "add",
                   "scatter_add_rows", where);
  }
  const Rows rows = single_rows(out.shape, in[1], "scatter_add_rows", where);
  clear_bytes(out.data, bytes_of(out));
  join_rows<Plus>(rows, in[0], out);
}

}  // namespace

void run_indexing(ir::ExternKind kind, const ir::Attrs& attrs, std::span<const TensorView> in,
                  std::span<const TensorView> out, SourceLocation where) {
  using ir::ExternKind;
  if (kind == ExternKind::gather_rows && attrs.is<ir::CheckIndexAttrs>())
    return check_index(attrs.get<ir::CheckIndexAttrs>(), in, out[0], where);
  const auto axis = [&] { return attrs.get<ir::AxisAttrs>().axis; };
  if (kind == ExternKind::gather_rows) return gather_rows(attrs, in, out[0], where);
  if (kind == ExternKind::scatter_add_rows) return scatter_add_rows(in, out[0], where);
  if (kind == ExternKind::scatter_rows)
    return scatter_rows(attrs.get<ir::ScatterNdAttrs>(), in, out[0], where);
  if (kind == ExternKind::gather && attrs.is<ir::GatherLastAttrs>())
    return gather_last(in[0], in[1], out[0], attrs.get<ir::GatherLastAttrs>().axis, where);
  if (kind == ExternKind::gather) return gather(in[0], in[1], out[0], axis(), "gather", where);
  if (kind == ExternKind::scatter_add)
    return scatter(nullptr, in[1], in[0], out[0], axis(), "add", "scatter_add", where);
  if (kind == ExternKind::scatter) {
    const auto& s = attrs.get<ir::ScatterAttrs>();
    return scatter(&in[0], in[1], in[2], out[0], s.axis, s.reduction, "scatter", where);
  }
  assert(!"not an indexing kind");
}

}  // namespace weft::runtime
