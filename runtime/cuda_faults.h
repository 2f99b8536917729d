// What goes wrong in the code of a device's steps with the values that they meet: an index out of
// range, a matrix that has no factors. No memory is touched through it; the step, the lowest position
// and the numbers of the message are kept in a record on the device, and a flag in pinned memory
// tells the processor that there is something. Whoever next waits for the device (a value that is
// read, a synchronisation) throws it as the error that the processor would have thrown at the call,
// with the user's line. What the call computed is then not to be relied on; variables that it updated
// have their new values.
#pragma once

#include <atomic>
#include <cstdint>
#include <limits>
#include <map>
#include <mutex>
#include <string>

#include "ir/device_code.h"
#include "ir/error.h"
#include "runtime/buffer.h"
#include "runtime/cuda_driver.h"

namespace weft::runtime {

class CudaDevice;

/// Of one device, never destroyed. All members are thread safe; its context is the calling
/// thread's in all of these.
class CudaFaults {
 public:
  explicit CudaFaults(CudaDevice& device) : device_(device) {}
  CudaFaults(const CudaFaults&) = delete;
  CudaFaults& operator=(const CudaFaults&) = delete;

  /// A number for what the step's message, with the record's numbers put in, says of this line: one
  /// for equal ones, kept for good.
  std::int64_t number(const ir::DeviceKernel&, SourceLocation where, CuStream stream);
  /// What kernels are given. Null before the first number.
  [[nodiscard]] CuPointer record() const { return record_; }
  /// Throws what is recorded, and forgets it. The stream has been waited for.
  void raise(CuStream stream) {
    if (is_seen()) raise_first(stream);
  }

 private:
  /// As codegen/cuda/operation_prelude.cpp has it.
  struct Record {
    static constexpr std::int64_t none = std::numeric_limits<std::int64_t>::max();
    std::int64_t lowest = none, position = none, numbers[3] = {};
    std::int32_t step = 0, lock = 0;
    int* seen = nullptr;
  };
  struct Meaning {
    std::string message;
    bool of_index;
    SourceLocation where;
  };
  [[nodiscard]] bool is_seen() const {
    const volatile int* const seen = seen_;
    return seen && *seen != 0;
  }
  void set_up(CuStream stream);
  void raise_first(CuStream stream);

  CudaDevice& device_;
  std::atomic<CuPointer> record_ = 0;
  std::atomic<int*> seen_ = nullptr;             // the flag
  std::mutex mutex_;                             // guards what follows
  std::map<std::string, std::int64_t> numbers_;  // by message and line
  std::map<std::int64_t, Meaning> meanings_;
  Record empty_;                // what the record is set to
  Buffer memory_;               // the record, an empty one, and what was taken from it
  CuPointer taken_ = 0;         // the last of these
  CuGraphExec take_ = nullptr;  // takes the record and empties it: nothing comes in between
};

}  // namespace weft::runtime
