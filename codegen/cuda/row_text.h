// Pieces of the text of one kernel: its extents and strides as expressions, and row kernels.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "codegen/cuda/cuda_text.h"
#include "codegen/cuda/scalar_text.h"
#include "codegen/interpret/geometry.h"

namespace weft::codegen {

/// Extents, strides and offsets as text. Known ones are numbers, with neighbouring axes merged;
/// unknown ones are names `d0, d1, …` that are declared at the kernel's start. An item's
/// coordinates are `c0, c1, …`.
struct KernelFrame {
  explicit KernelFrame(const ir::Kernel&);

  struct AccessText {
    std::string offset;
    std::vector<std::string> strides;
    std::string row_stride;
  };
  /// Expression: how many items there are.
  [[nodiscard]] std::string items() const;
  /// Expression over the coordinates: the element at which the item's row begins in an access.
  [[nodiscard]] std::string offset(int access) const;
  void write_dims(TextWriter&) const;
  /// From `item`.
  void write_coordinates(TextWriter&) const;

  Layout layout;
  Geometry geometry;                       // where layout.constant
  std::string_view index_type;             // "int" where that is enough
  std::vector<std::string> extents;
  std::vector<std::string> coordinates;    // what `index` gives, one a parallel axis
  std::string row, clip, blocks;           // clip: empty where there is none
  std::vector<AccessText> accesses;
  std::vector<std::string> dims;

 private:
  void take_geometry();
  std::string named(const Dim&);
};

/// An extent or stride as an expression over the symbols.
std::string dim_text(const Dim&);
/// The parameters of a kernel's functions: its buffers `b0, b1, …`, then its symbols `s0, s1, …`.
std::string parameter_text(const ir::Kernel&);
/// The buffer of an access, by name.
std::string pointer_text(const ir::Kernel&, int access);

/// Where row temps live.
enum class RowStorage : std::uint8_t { none, registers, shared, scratch };
RowStorage row_storage(const ir::Kernel&, const CudaSchedule&);

/// The combine step of every reduction as a function at namespace scope.
void write_combines(const ir::Kernel&, std::string_view name, TextWriter&);
/// The body of a row kernel.
void write_rows(const ir::Kernel&, const KernelFrame&, const CudaSchedule&, std::string_view name,
                TextWriter&);

}  // namespace weft::codegen
