// cuBLASLt, opened at run time: libcublasLt.so of the loader's path, of CUDA_HOME or of
// /usr/local/cuda*, or the file that the environment variable WEFT_CUBLASLT names (`none`: there is
// none). It does products of plain matrices, some with what follows them. No header of CUDA is
// needed: the few functions and values that are used are declared as the library's documentation
// gives them.
//
// Deterministic: an algorithm is chosen once for a product at concrete extents, from what the
// library's heuristic proposes, and partial sums are added up in the type of the sums.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "ir/device_code.h"
#include "ir/precision.h"
#include "runtime/cuda_driver.h"

namespace weft::runtime {

/// out[b] (m, n) = end(a[b] (m, k) times b[b] (k, n) + bias (n) + residual[b] (m, n)); out,
/// residual and before (ir::ProductEnd) are dense. Strides and leading dimensions count elements.
struct LibraryProduct {
  struct Matrix {
    bool by_rows = true;           // neighbours of a row lie side by side, else those of a column
    std::int64_t leading = 1;      // from one row (column) to the next
    std::int64_t batch = 0;        // from one matrix to the next
    std::int64_t alignment = 256;  // bytes that its address is a multiple of
    friend bool operator==(const Matrix&, const Matrix&) = default;
  };

  DType factors = DType::float32, result = DType::float32;
  MatmulPrecision precision = MatmulPrecision::highest;
  std::int64_t batches = 1, m = 1, n = 1, k = 1;
  Matrix a, b;
  std::int64_t out_alignment = 256;
  ir::ProductEnd::Kind end = ir::ProductEnd::Kind::none;
  bool bias = false, residual = false, before = false;  // of the result's dtype
  /// Without a bias: the sums over k of an operand, m or n of them, are results too.
  enum class Sums : std::uint8_t { none, of_a, of_b };
  Sums sums = Sums::none;
  std::int64_t bias_alignment = 256, before_alignment = 256;
};

class CublasLt {
 public:
  /// Null where there is none that works. Opened once a process, from a thread in the context of a
  /// device, and never closed.
  static const CublasLt* get();
  ~CublasLt();
  CublasLt(const CublasLt&) = delete;
  CublasLt& operator=(const CublasLt&) = delete;

  /// Bytes of memory that a product may want to work in.
  static constexpr std::size_t most_workspace = std::size_t{32} << 20;

  /// A product with the algorithm that does it, on the device whose context the thread is in.
  class Planned {
   public:
    ~Planned();
    Planned(const Planned&) = delete;
    Planned& operator=(const Planned&) = delete;
    [[nodiscard]] std::size_t workspace() const { return workspace_; }
    /// Where what it reads and writes lies. `residual` may be `out`, nothing else.
    struct Operands {
      CuPointer a = 0, b = 0, out = 0, bias = 0, residual = 0, before = 0, sums = 0;
    };
    /// Enqueues it. DeviceError.
    void run(const Operands&, CuPointer workspace, CuStream stream) const;

   private:
    friend class CublasLt;
    explicit Planned(const CublasLt& library) : library_(library) {}
    const CublasLt& library_;
    LibraryProduct product_;
    void* handle_ = nullptr;
    void *description_ = nullptr, *a_ = nullptr, *b_ = nullptr, *out_ = nullptr;
    std::uint64_t algorithm_[8] = {};
    std::size_t workspace_ = 0;
    mutable std::mutex mutex_;  // the description names a call's vectors
  };
  /// Null where the library does not do it, or has no memory for that. `device` is its number.
  [[nodiscard]] std::unique_ptr<const Planned> plan(const LibraryProduct& product,
                                                    int device) const;

 private:
  struct Functions;
  explicit CublasLt(std::unique_ptr<const Functions> functions);
  void* handle(int device) const;
  void check(int status, const char* what) const;

  std::unique_ptr<const Functions> functions_;
  mutable std::mutex mutex_;
  mutable std::vector<void*> handles_;  // one a device
};

}  // namespace weft::runtime
