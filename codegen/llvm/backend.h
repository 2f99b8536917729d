// The door of the LLVM module: what codegen calls through `weft_llvm_backend`, the one symbol that
// the module exports. No LLVM header is needed here.
#pragma once

#include <string>

#include "codegen/object_loader.h"
#include "codegen/schedule.h"
#include "ir/kernel.h"
#include "ir/tile_kernel.h"

namespace weft::codegen {

/// Thread safe. Kernels are as `simplify_axes` gives them.
class LlvmBackend {
 public:
  virtual ~LlvmBackend() = default;
  /// Does what the first kernel would otherwise wait for.
  virtual void prepare() const = 0;
  [[nodiscard]] virtual CodeBlob compile(const ir::Kernel&, const Schedule&,
                                         const Target&) const = 0;
  [[nodiscard]] virtual std::string assembly(const ir::Kernel&, const Schedule&,
                                             const Target&) const = 0;
  [[nodiscard]] virtual CodeBlob tile(DType, const ir::TileShape&, const Target&) const = 0;
};

}  // namespace weft::codegen

extern "C" const weft::codegen::LlvmBackend* weft_llvm_backend();
