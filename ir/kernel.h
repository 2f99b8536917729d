// A kernel: all that a backend ever sees. One loop nest over `axes`: the parallel axes, outermost
// first, then, where `has_row`, one row axis. Stages run one after another for each parallel point;
// a stage runs over the row (once an element) or once a point. A pointwise kernel has no row axis
// and one stage.
//
//   softmax over the last axis of (8192, 1024): axes {8192, 1024}, has_row
//     stage 0, row:   x -> max into point temp 0
//     stage 1, row:   exp(x - t0) -> row temp 0, and + into point temp 1
//     stage 2, row:   r0 / t1 -> store
//
// Invariants: extents and strides are Dims over the kernel's own symbols `s0, s1, …` (so that equal
// kernels have equal text); strides count elements; a stage reads only temps that an earlier stage
// wrote; accesses that write one buffer (pieces of a result) share no element of it, and an element
// is read back only by the access that writes it. Buffers are numbered densely, outputs last.
//
// Reductions have one canonical order, a function of the logical extent n of the row axis alone:
//   `lanes`  (the reduced axis is the operand's last):  blocks of 4096 elements; in a block 64
//            lanes, element i of the block going to lane i % 64 in ascending order; the lanes are
//            combined by a halving tree (lane j with lane j+32, then j+16, … 1; the lower lane is
//            the left operand); then block results go to 64 lanes (block b to lane b % 64,
//            ascending) and the same tree. With n <= 4096 there is one block and the second level
//            is skipped. Every lane, of either level, starts at the identity, so that its first
//            element is combined with that (0 + -0 is 0), and lanes that get no element hold it.
//   `blocks` (any other axis): blocks of 64 elements, each accumulated in ascending order from the
//            identity; then block results accumulate in ascending order from the identity. With
//            n <= 64 the second level is skipped.
// A reduction split over two kernels for parallelism has `partial` set in the first (each parallel
// point on the last parallel axis is one block, the row runs over that block) and `second_level` in
// the other.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ir/dim.h"
#include "ir/precision.h"
#include "ir/scalar.h"

namespace weft::ir {

inline constexpr std::int64_t lane_count = 64;
inline constexpr std::int64_t lane_block = 4096;
inline constexpr std::int64_t row_block = 64;

struct KernelBuffer {
  DType dtype = DType::float32;  // as stored
  bool written = false;
  friend bool operator==(const KernelBuffer&, const KernelBuffer&) = default;
};

/// Element `offset + Σ strides[i] * axis_i` of a buffer. One stride an axis; 0 broadcasts. In a
/// point stage the row axis counts as 0.
struct Access {
  int buffer = 0;
  Dim offset;
  std::vector<Dim> strides;
  friend bool operator==(const Access&, const Access&) = default;
};

/// Where a stage program's input comes from.
struct Source {
  enum class Kind : std::uint8_t { load, point_temp, row_temp } kind = Kind::load;
  int id = 0;  // access or temp
  friend bool operator==(const Source&, const Source&) = default;
};

/// Where a stage program's output goes.
struct Sink {
  enum class Kind : std::uint8_t { store, point_temp, row_temp } kind = Kind::store;
  int output = 0;  // of the stage's program
  int id = 0;      // access or temp
  friend bool operator==(const Sink&, const Sink&) = default;
};

enum class ReductionOrder : std::uint8_t { lanes, blocks };

/// Combines program outputs over the row into point temps; only in row stages.
struct KernelReduction {
  ReductionOrder order = ReductionOrder::lanes;
  bool partial = false;                 // first of two kernels: one block, no second level
  bool second_level = false;            // second of two kernels: the row holds block results
  std::vector<std::uint64_t> identity;  // bits, one an accumulator
  ScalarProgram combine;                // (a…, b…) -> accumulators
  std::vector<int> outputs;  // program outputs that are the lifted values, one an accumulator
  std::vector<int> temps;    // point temps that get the accumulators
  friend bool operator==(const KernelReduction&, const KernelReduction&) = default;
};

struct Stage {
  bool over_row = false;
  ScalarProgram body;           // `index` opcodes name kernel axes
  std::vector<Source> sources;  // one a program input
  std::vector<Sink> sinks;
  std::vector<KernelReduction> reductions;
  friend bool operator==(const Stage&, const Stage&) = default;
};

/// `out[batch…, m, n] = Σ_k a[batch…, m, k] * b[batch…, k, n]`, done before the stages (the
/// epilogue), which read the result through an ordinary access. axes = batch…, m, n. Strides of `a`
/// and `b` in elements; a stride of 0 on a batch axis broadcasts. float32 and float64, and
/// float16/bfloat16 with float32 accumulation; integers wrap.
struct Contraction {
  int a = 0, b = 0, out = 0;  // buffers; `out` has the accumulator dtype and is dense over axes
  Dim a_offset, b_offset, out_offset;
  std::vector<Dim> a_batch, b_batch;  // one stride a batch axis
  Dim a_m, a_k, b_k, b_n;             // strides
  Dim k;                              // extent
  /// Where b is no matrix (the windows of an image): the axes that k and n stand for, slowest
  /// first, and their strides; a_k, b_k and b_n are 0 then.
  struct Gather {
    Dims k, a_k, b_k;
    Dims n, b_n;
    friend bool operator==(const Gather&, const Gather&) = default;
  };
  std::optional<Gather> gather;
  /// Done in fewer multiplications than terms, in one of Winograd's ways (runtime/winograd.h): the
  /// windows, 3 x 3 at every place of an image of `height` x `width`, are the last two axes of k
  /// and their places those of n (with weights as `a`), or the other way round (with cotangents).
  /// The first begins `top` rows above and `left` columns before the image; outside it are zeros.
  struct Winograd {
    Dim top, left, height, width;
    friend bool operator==(const Winograd&, const Winograd&) = default;
  };
  std::optional<Winograd> winograd;
  /// What devices may do; `out` then need not be written where nothing but the stages reads it.
  MatmulPrecision precision = MatmulPrecision::exact;
  bool kept = true;
  friend bool operator==(const Contraction&, const Contraction&) = default;
};

struct Columns;

struct Kernel {
  std::vector<Dim> axes;
  bool has_row = false;
  /// With `partial` reductions: the total extent of the axis that was cut into blocks; point b of
  /// the last parallel axis sees min(axes.back(), clip - b * axes.back()) row elements.
  std::optional<Dim> clip;
  std::vector<KernelBuffer> buffers;
  std::vector<Access> accesses;
  std::vector<DType> point_temps, row_temps;
  std::optional<Contraction> contraction;
  std::vector<Stage> stages;
  int symbols = 0;  // s0 … are arguments, in order
  /// Sums over the points of a row kernel, at most one; in plans for devices alone.
  std::vector<Columns> columns;
  /// What is written is read again before it leaves the cache: a hint to schedules, which no result
  /// depends on.
  bool read_soon = false;

  [[nodiscard]] std::size_t parallel_axes() const { return axes.size() - (has_row ? 1 : 0); }
  friend bool operator==(const Kernel&, const Kernel&) = default;
};

/// What a row kernel does beside its rows, so that both read memory once: `kernel`, the first of
/// two that reduce in `blocks` order, takes the points of the other as its row elements (axes
/// {columns, blocks, row_block}, clipped to the points; there may be more columns than elements in a
/// row, or fewer). It runs as if after all points, but may do block b once the points of that block
/// are done: of what these write it reads no more than each has written.
struct Columns {
  Kernel kernel;
  std::vector<int> buffers;  // of the other, one a buffer of `kernel`
  friend bool operator==(const Columns&, const Columns&) = default;
};

/// Canonical text: equal kernels have equal text, and it reads back exactly. The key of the code
/// caches.
std::string to_string(const Kernel&);
Kernel parse_kernel(std::string_view text);
/// Throws Error (our own bug) naming what breaks an invariant.
void verify(const Kernel&);

}  // namespace weft::ir
