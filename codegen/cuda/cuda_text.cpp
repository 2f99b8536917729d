#include "codegen/cuda/cuda_text.h"

#include <cassert>

#include "codegen/cuda/column_text.h"
#include "codegen/cuda/element_text.h"
#include "codegen/cuda/row_text.h"
#include "codegen/cuda/tile_text.h"

namespace weft::codegen {

using ir::Kernel;
using Mapping = CudaSchedule::Mapping;

namespace {

/// Threads of a block, and how many blocks a multiprocessor should have room for: where rows are
/// kept in registers, 512 threads, so that one row is read while another is computed.
std::string launch_bounds(const Kernel& k, const CudaSchedule& s) {
  const std::string threads = std::to_string(s.threads);
  constexpr int resident = 512, room = 72, room_with_conditions = 48;
  if (s.mapping != Mapping::lanes || s.threads >= resident) return threads;
  const RowStorage storage = row_storage(k, s);
  if (storage.elements == 0 || storage.registers > (storage.whole ? room : room_with_conditions))
    return threads;
  return cat({threads, ", ", std::to_string(resident / s.threads)});
}

}  // namespace

Dim scratch_bytes(const Kernel& k, const CudaSchedule& s, std::int64_t blocks) {
  if (row_storage(k, s).place != RowStorage::Place::scratch) return 0;
  std::int64_t bytes = 0;
  for (const DType t : k.row_temps) bytes += static_cast<std::int64_t>(size_of(t));
  const std::int64_t units = s.rows_at_once();
  return ceildiv(max(k.axes.back(), Dim(1)), Dim(64)) * Dim(64 * bytes * units * blocks);
}

Dim grid_blocks(const Kernel& k, const CudaSchedule& s) {
  if (s.mapping == Mapping::tile) {
    const KernelFrame frame(k);
    return tile_count(k, frame, s.tile);
  }
  if (!k.columns.empty()) return k.columns.front().kernel.axes[1];
  Dim items = 1;
  for (std::size_t i = 0; i < k.parallel_axes(); ++i) items = items * k.axes[i];
  const std::int64_t each = s.mapping == Mapping::element
                                ? std::int64_t{s.threads} * s.vector * s.groups
                                : s.rows_at_once();
  const Dim blocks = ceildiv(items, Dim(each));
  return s.most_blocks > 0 ? min(blocks, Dim(s.most_blocks)) : blocks;
}

std::string cuda_text(const Kernel& k, const CudaSchedule& s, std::string_view name) {
  assert(k.has_row == (s.mapping == Mapping::thread || s.mapping == Mapping::lanes));
  TextWriter out;
  for (std::size_t i = 0; i < k.stages.size(); ++i)
    write_tables(out, k.stages[i].body, cat({name, "_table", std::to_string(i), "_"}));
  if (k.has_row) write_combines(k, name, out);
  if (!k.columns.empty()) write_column_functions(k, s, name, out);
  std::string parameters = parameter_text(k);
  if (k.has_row && row_storage(k, s).place == RowStorage::Place::scratch)
    parameters.append(", char* scratch");
  out.open(cat({"extern \"C\" __global__ void __launch_bounds__(", launch_bounds(k, s), ") ", name,
                "(", parameters, ")"}));
  const KernelFrame frame(k);
  frame.write_dims(out);
  switch (s.mapping) {
    case Mapping::element: write_elements(k, frame, s, name, out); break;
    case Mapping::tile: write_tiles(k, frame, s, name, out); break;
    case Mapping::thread:
    case Mapping::lanes: write_rows(k, frame, s, name, out); break;
  }
  out.close();
  return out.text();
}

}  // namespace weft::codegen
