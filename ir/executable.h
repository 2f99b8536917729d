// Native (or interpreted) code behind a small C ABI, and the interface through which the runtime is
// handed a compiler.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "ir/kernel.h"
#include "ir/tile_kernel.h"

namespace weft::ir {

/// What one call of a kernel works on. `scratch` is at least `Executable::scratch_bytes` long,
/// 64-byte aligned and belongs to the calling thread for the duration of the call.
struct KernelArgs {
  void* const* buffers;         // one a Kernel::buffers entry, 64-byte alignment not assumed
  const std::int64_t* symbols;  // one a symbol
  std::byte* scratch;
};

/// Runs items [begin, end). An item is one element (pointwise kernels, contraction epilogues:
/// row-major over all axes) or one parallel point (row kernels: row-major over the parallel axes).
/// Ranges may run at once on several threads. The contraction itself is done by the caller, range
/// by range, before the epilogue.
using KernelFunction = void (*)(const void* self, const KernelArgs* args, std::int64_t begin,
                                std::int64_t end);

struct DeviceKernel;  // ir/device_code.h

/// Immutable; safe to call from many threads at once.
class Executable {
 public:
  virtual ~Executable() = default;
  KernelFunction function = nullptr;  // called with `this` as self; null on a device
  /// Scratch per call for these symbol values (row temps live here); 0 for most.
  [[nodiscard]] virtual std::size_t scratch_bytes(const std::int64_t* /*symbols*/) const {
    return 0;
  }
  /// Rough nanoseconds an item takes on one thread: how the executor decides on threads and grain.
  double item_cost = 1;
  /// Splits should fall on multiples of this many items (vector groups).
  std::int64_t item_multiple = 1;
  /// What runs on a device; null where `function` runs on the processor.
  [[nodiscard]] virtual const DeviceKernel* device_kernel() const { return nullptr; }
  /// How it runs and why, in one line for dumps; may be empty.
  [[nodiscard]] virtual std::string schedule_text() const { return {}; }
  /// The native text (assembly, CUDA) for dumps; may be empty.
  [[nodiscard]] virtual std::string native_text() const { return {}; }
};

/// Kernel -> Executable, with its own caches. Thread safe.
class KernelCompiler {
 public:
  virtual ~KernelCompiler() = default;
  /// One executable a kernel, in order. Equal kernels share one.
  virtual std::vector<std::shared_ptr<const Executable>> compile(
      std::span<const Kernel* const> kernels) = 0;
  /// Likewise. The caller has work of its own, which is done once, by this thread; a compiler that
  /// is slow lets others compile meanwhile. The work may ask for tiles, not for kernels.
  virtual std::vector<std::shared_ptr<const Executable>> compile_beside(
      std::span<const Kernel* const> kernels, const std::function<void()>& work) {
    auto compiled = compile(kernels);
    work();
    return compiled;
  }
  /// Tile kernels of these dtypes: float32 and float64 where the processor has fma.
  [[nodiscard]] virtual TileLimits tile_limits(DType /*dtype*/) const { return {}; }
  /// Within the limits. Equal shapes share one.
  virtual std::shared_ptr<const TileKernel> tile(DType /*dtype*/, TileShape /*shape*/) {
    return nullptr;
  }
  [[nodiscard]] virtual std::string_view name() const = 0;  // "interpret", "llvm"
};

}  // namespace weft::ir
