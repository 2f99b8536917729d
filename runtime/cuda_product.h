// A contraction on a device as the work of a library, at concrete extents: where its operands are
// plain matrices and there is enough to do.
#pragma once

#include <memory>
#include <optional>
#include <span>

#include "ir/device_code.h"
#include "runtime/cublas_lt.h"

namespace weft::runtime {

class CudaDevice;

class CudaProduct {
 public:
  /// The sums of an operand that the plan wants beside the product.
  struct Sums {
    bool of_b = false;
    DType dtype = DType::float32;
  };
  /// Null where the kernel's own launches are to do it. The device's context is the thread's.
  static std::unique_ptr<const CudaProduct> plan(const ir::Kernel& kernel,
                                                 const ir::DeviceKernel& code,
                                                 const DimBindings& bindings,
                                                 const CudaDevice& device,
                                                 const std::optional<Sums>& sums);

  /// Nothing is left to do after it.
  [[nodiscard]] bool whole() const { return whole_; }
  /// It gives the sums that were wanted.
  [[nodiscard]] bool sums() const { return sums_; }
  [[nodiscard]] std::size_t workspace() const { return planned_->workspace(); }
  /// The kernel's buffers, and what the sums are written to, start at multiples of 16 bytes.
  void run(std::span<const CuPointer> buffers, CuPointer sums, CuPointer workspace,
           CuStream stream) const;

 private:
  struct Part {
    int buffer = -1;
    std::int64_t offset = 0;  // bytes
  };
  [[nodiscard]] static CuPointer place(const Part&, std::span<const CuPointer> buffers);

  Part a_, b_, out_, bias_, residual_, before_;
  bool whole_ = false, sums_ = false;
  std::unique_ptr<const CublasLt::Planned> planned_;
};

}  // namespace weft::runtime
