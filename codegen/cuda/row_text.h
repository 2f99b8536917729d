// Row kernels. A thread meets the same row elements in every stage, so that row temps, and what is
// read in several stages, can stay in its registers and need no barrier.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "codegen/cuda/cuda_text.h"
#include "codegen/cuda/frame_text.h"

namespace weft::codegen {

/// Where row temps live, and which accesses are read once and kept beside them.
struct RowStorage {
  enum class Place : std::uint8_t { none, registers, shared, scratch } place = Place::none;
  int elements = 0;       // registers: of a row that a thread has; 0: not known or too many
  std::vector<int> held;  // accesses in registers; only where `elements` is not 0
  int registers = 0;      // that they take together, of each thread
  bool whole = false;     // has every thread as many elements?
};
RowStorage row_storage(const ir::Kernel&, const CudaSchedule&);

/// Bytes of shared memory that the sums of a block take, of so many parts or teams.
std::int64_t sum_bytes(const ir::Kernel&, int of);
/// Static shared memory that every device has for a block.
constexpr std::int64_t shared_room = 48 * 1024;

/// Is the row one block of the canonical order, whatever its length?
bool has_one_level(const ir::Kernel&);
/// The axis along which neighbouring items lie side by side in what rows are read from; -1: the
/// last.
int fastest_axis(const ir::Kernel&, const KernelFrame&);

/// The combine step of every reduction as a function at namespace scope.
void write_combines(const ir::Kernel&, std::string_view name, TextWriter&);
/// The body of a row kernel.
void write_rows(const ir::Kernel&, const KernelFrame&, const CudaSchedule&, std::string_view name,
                TextWriter&);

}  // namespace weft::codegen
