// Sums over the points of a row kernel (ir::Columns): what a block does once it has some rows, while
// these are in its first-level cache. A thread has the same columns every time, so the totals that
// a block keeps in shared memory need no barrier.
#pragma once

#include <string>
#include <string_view>

#include "codegen/cuda/cuda_text.h"
#include "codegen/cuda/scalar_text.h"

namespace weft::codegen {

/// Shared memory that the totals take.
std::int64_t total_bytes(const ir::Kernel&);

/// At namespace scope: `<name>_columns` takes in rows, `<name>_results` stores a block's totals.
void write_column_functions(const ir::Kernel&, const CudaSchedule&, std::string_view name,
                            TextWriter&);
/// In the kernel: the totals, where it begins; the rest as the functions' names say. `rows` are in
/// the block from number `from` on.
void write_totals(const ir::Kernel&, TextWriter&);
void write_fresh_totals(const ir::Kernel&, const CudaSchedule&, TextWriter&);
void write_column_call(const ir::Kernel&, std::string_view function, std::string_view from,
                       std::string_view rows, TextWriter&);

}  // namespace weft::codegen
