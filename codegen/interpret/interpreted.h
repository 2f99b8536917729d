// A kernel decoded for the interpreter, and how a run is cut into chunks.
//
// A run works on vectors in one of two ways. By items: a vector is up to `width` consecutive items,
// and the row axis is walked element by element (pointwise kernels have a row of one). By rows: a
// vector is a piece of one item's row. The choice is a function of the extents alone.
#pragma once

#include <vector>

#include "codegen/interpret/decoded.h"
#include "codegen/interpret/geometry.h"
#include "ir/executable.h"

namespace weft::codegen {

struct DecodedReduction {
  explicit DecodedReduction(const ir::KernelReduction&);

  ir::ReductionOrder order;
  std::int64_t block;                  // elements a block: beyond it there is a second level
  std::int64_t lanes;                  // 64, or 1 for `blocks`
  DecodedProgram combine;
  std::vector<std::uint64_t> identity;
  std::vector<int> outputs;            // of the stage's program
  std::vector<int> temps;
  std::size_t slots_at = 0;            // of `combine`, in the run's slots
  int registers_at = 0;
  std::size_t number = 0;              // among the kernel's reductions
};

struct DecodedStage {
  explicit DecodedStage(const ir::Stage&);

  bool over_row;
  DecodedProgram body;
  std::vector<ir::Source> sources;
  std::vector<ir::Sink> sinks;
  std::vector<DecodedReduction> reductions;
  std::size_t slots_at = 0;
  int buffers_at = 0;                  // blocks for loads, then for indices, after all registers
};

class Interpreted final : public ir::Executable {
 public:
  explicit Interpreted(const ir::Kernel&);
  [[nodiscard]] std::size_t scratch_bytes(const std::int64_t* symbols) const override;

  /// How a run for some extents walks.
  struct Walk {
    bool by_rows;
    std::int64_t width;       // items a vector; 1 by rows
  };
  [[nodiscard]] Walk walk(const Geometry&) const;
  /// Bytes that row temp `temp` takes.
  [[nodiscard]] std::size_t row_temp_bytes(std::size_t temp, const Geometry&, Walk) const;

  Layout layout;
  Geometry constant_geometry;              // where layout.constant
  std::vector<DecodedStage> stages;
  std::vector<std::size_t> element_sizes;  // of each access
  std::vector<int> access_buffers;
  std::vector<std::size_t> point_temp_sizes, row_temp_sizes;
  bool has_lanes = false;
  std::size_t reduction_count = 0, accumulator_count = 0;
  std::size_t slot_count = 0;
  int block_count = 0;
  std::size_t block_bytes = 0;  // of a register: chunk_size elements of the largest dtype
};

/// Elements that are worked on at once: registers stay in the first-level cache.
inline constexpr std::int64_t chunk_size = 512;

/// Runs items [begin, end); the KernelFunction of `Interpreted`.
void run_interpreted(const void* self, const ir::KernelArgs* args, std::int64_t begin,
                     std::int64_t end);

}  // namespace weft::codegen
