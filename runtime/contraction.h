// The product of a contraction kernel at concrete extents: which of its axes are the rows of tiles
// and which the columns, what is packed and what is read where it lies, how it is cut into blocks.
//
// The order of an element's sum is a function of dtype and extents alone. The sum is cut into
// pieces, a piece into blocks (ir/depth.h); within a block the order is a tile kernel's
// (ir/tile_kernel.h), blocks are added up in order, then pieces. So results are the same bits for
// every number of threads, tile, layout and compiler that has tile kernels. Dtypes without them
// (integers, complex numbers, any on a processor without fma) go through `multiply`.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "ir/depth.h"
#include "ir/executable.h"
#include "ir/kernel.h"
#include "runtime/buffer.h"
#include "runtime/packing.h"
#include "runtime/thread_pool.h"

namespace weft::runtime {

using ir::Depth, ir::depth_of;

class SizedContraction {
 public:
  /// `constants`: where a buffer of the kernel lies if its contents never change, else null.
  SizedContraction(const ir::Kernel& kernel, const DimBindings& bindings,
                   ir::KernelCompiler& compiler,
                   const std::function<const std::byte*(int buffer)>& constants);

  /// What is done to elements of the result once they are finished, while they are in the cache:
  /// called for ranges of flat positions in (batch…, m, n), from several threads at once.
  using Finish = FunctionRef<void(std::int64_t begin, std::int64_t end)>;

  /// All of it, split over the threads where there is enough to do. `finish` may be null.
  void run(void* const* buffers, const Finish* finish) const;
  /// The rows of all products of the batch, one product after another.
  [[nodiscard]] std::int64_t rows() const { return batches_ * m_; }
  /// Some of them, on this thread.
  void run_rows(void* const* buffers, Range rows, const Finish* finish) const;

 private:
  struct Operand {
    int buffer = 0;
    DType dtype = DType::float32;
    std::int64_t offset = 0;
    std::vector<std::int64_t> batch;  // strides
    Line line, depth;                 // its own axis, and the summed one
  };
  struct Job;  // one call

  void size_operands(const ir::Kernel&, const DimBindings&);
  void choose_tile(ir::KernelCompiler&, bool constant);
  [[nodiscard]] bool turns_better(const ir::TileLimits&, bool constant) const;
  void choose_rows(const ir::TileLimits&);
  [[nodiscard]] bool compete(std::int64_t rows) const;
  void choose_columns(const ir::TileLimits&);
  void keep(const std::byte* columns);

  [[nodiscard]] std::int64_t tiles() const;
  [[nodiscard]] Range rows_of(Range tiles) const;
  [[nodiscard]] bool few(std::int64_t tiles) const;
  [[nodiscard]] std::int64_t panels() const;
  [[nodiscard]] Range columns_of(Range panels) const;
  [[nodiscard]] Range panels_of(Range columns) const;
  [[nodiscard]] Range blocks() const;
  [[nodiscard]] Range steps_of(std::int64_t block) const;
  [[nodiscard]] const std::byte* place(const Job&, const Operand&, std::int64_t batch) const;
  [[nodiscard]] std::int64_t packed_block(Range panels, Range steps) const;
  [[nodiscard]] std::int64_t packed_panel(Range panels, std::int64_t panel, Range steps) const;
  void pack_columns(const std::byte* from, Range panels, Range steps, Range some,
                    std::byte* block) const;

  struct Part;  // of one product
  void run_panels(const Job&, Range batches, Range panels, std::int64_t threads) const;
  void run_pieces(const Job&, const Part& whole, std::int64_t threads) const;
  void run_in_order(void* const* buffers, Range rows, const Finish*, std::int64_t threads) const;
  [[nodiscard]] bool reads_columns(const Job&, const Part&) const;
  void run_part(const Job&, const Part&) const;
  void run_groups(const Job&, const Part& whole) const;
  struct Packed;  // what a part has packed for itself
  std::int64_t set_rows(ir::TileCall&, const Job&, const Part&, Range rows, Range steps,
                        const Packed&) const;
  void pack_rows(const Job&, const Part&, Range steps, std::byte* to) const;
  void run_tiles(const Job&, const Part&, std::int64_t block, const Packed&) const;
  void run_tile(const Job&, const Part&, Range rows, std::int64_t block, const Packed&) const;
  void finish(const Job&, const Part&, Range rows) const;

  std::vector<std::int64_t> batch_;  // extents
  std::int64_t batches_ = 1, m_ = 0, n_ = 0, k_ = 0;
  int out_ = 0;
  std::int64_t out_offset_ = 0;
  DType dtype_ = DType::float32, sum_dtype_ = DType::float32;  // of the operands, of the result
  std::int64_t size_ = 4;                                      // of an element of the result
  bool turned_ = false;  // the rows of tiles are n rather than m
  Operand rows_, columns_;
  Depth depth_;
  std::shared_ptr<const ir::TileKernel> tile_;
  std::int64_t height_ = 1, width_ = 1;  // of a tile
  std::int64_t run_ = 1;                 // rows that tiles do not reach across
  std::int64_t group_panels_ = 1;        // that stay in a core's cache
  std::int64_t rows_at_once_ = 1;        // packed, likewise; whole tiles
  bool rows_direct_ = false;             // read where they lie
  bool columns_direct_ = false;          // likewise; with few rows, where they can be
  bool columns_readable_ = false;
  bool shared_ = false;    // the columns are the same for all products
  bool together_ = false;  // they are packed once for all threads
  // Bytes from a row's first element, a step each: where it lies, and packed.
  std::vector<std::int64_t> steps_, packed_steps_;
  Buffer kept_;  // packed columns that never change
};

}  // namespace weft::runtime
