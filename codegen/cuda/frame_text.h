// Pieces of the text of one kernel that every mapping shares: its extents, strides and offsets as
// expressions, and what one takes to find an element.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

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
  /// Of the item that the expression names; `fastest` is the axis along which neighbouring items
  /// lie (-1: the last).
  void write_coordinates(TextWriter&, std::string_view item = "item", int fastest = -1) const;
  /// Do the strides of an access count the items one by one?
  [[nodiscard]] bool is_dense(int access) const;

  Layout layout;
  Geometry geometry;            // where layout.constant
  std::string_view index_type;  // "int" where that is enough
  std::vector<std::string> extents;
  std::vector<std::string> coordinates;  // what `index` gives, one a parallel axis
  std::string row, clip, blocks;         // clip: empty where there is none
  std::vector<AccessText> accesses;
  std::vector<std::string> dims;

 private:
  void take_geometry();
  std::string named(const Dim&);
  std::vector<bool> dense_;  // accesses
};

/// An extent or stride as an expression over the symbols.
std::string dim_text(const Dim&);
/// The number that an expression is; 0 is no number but 0.
std::optional<std::int64_t> number_of(std::string_view expression);
/// The parameters of a kernel's functions: its buffers `b0, b1, …`, then its symbols `s0, s1, …`.
std::string parameter_text(const ir::Kernel&);
/// The buffer of an access, by name.
std::string pointer_text(const ir::Kernel&, int access);
/// The dtype of its elements.
DType element_type(const ir::Kernel&, int access);

}  // namespace weft::codegen
