// Byte storage behind values. A `Buffer` is a handle to reference-counted memory; copying one costs
// an atomic increment. Owned memory is 64-byte aligned (2 MiB, in huge pages, from 2 MiB on) and
// comes from a process-wide pool: freed blocks are kept by size class, small ones first in a cache
// of their thread, and handed out again without a system call, up to a quarter of the machine's
// memory. Under AddressSanitizer the pool is bypassed. Handles may be copied and dropped on any
// thread; the bytes themselves are not synchronised.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

#include "ir/error.h"
#include "runtime/device.h"

namespace weft {
class OutOfMemory : public Error {
  using Error::Error;
};
}  // namespace weft

namespace weft::runtime {

/// What stands behind a Buffer. Kept together with its memory while in the pool.
struct BufferBlock {
  std::atomic<std::uint32_t> references{1};
  std::int32_t size_class = -1;  // -1: not the pool's
  bool in_place = true;          // may be written when there is one reference
  Device device;
  std::byte* data = nullptr;
  std::size_t bytes = 0;        // asked for
  std::shared_ptr<void> owner;  // of borrowed memory
  BufferBlock* next = nullptr;  // in a free list
};

class Buffer {
 public:
  Buffer() = default;
  /// Contents are not initialised. Throws OutOfMemory.
  static Buffer allocate(std::size_t bytes);
  static Buffer allocate_zeroed(std::size_t bytes);
  /// On any device; DeviceError where it cannot be used.
  static Buffer allocate_on(Device device, std::size_t bytes);
  /// Memory of someone else, kept alive by `owner` (which may be empty: then the caller keeps it
  /// alive). Others may see it, so it is never written in place.
  static Buffer borrow(const void* data, std::size_t bytes, std::shared_ptr<void> owner,
                       Device device = {});
  /// Memory handed over for good (of a device, a mapped file): freed by `owner`, written in place.
  static Buffer adopt(void* data, std::size_t bytes, std::shared_ptr<void> owner,
                      Device device = {});

  Buffer(const Buffer& other) noexcept : block_(other.block_) {
    if (block_) block_->references.fetch_add(1, std::memory_order_relaxed);
  }
  Buffer(Buffer&& other) noexcept : block_(std::exchange(other.block_, nullptr)) {}
  Buffer& operator=(Buffer other) noexcept {
    std::swap(block_, other.block_);
    return *this;
  }
  ~Buffer() {
    if (block_ && block_->references.fetch_sub(1, std::memory_order_acq_rel) == 1) release(block_);
  }

  explicit operator bool() const { return block_ != nullptr; }
  [[nodiscard]] std::byte* data() const { return block_ ? block_->data : nullptr; }
  [[nodiscard]] std::size_t size() const { return block_ ? block_->bytes : 0; }
  [[nodiscard]] Device device() const { return block_ ? block_->device : Device{}; }
  /// True when this handle is the only one and the memory is ours to write.
  [[nodiscard]] bool writable() const {
    return block_ && block_->in_place && block_->references.load(std::memory_order_acquire) == 1;
  }
  /// False for borrowed memory, which others may write to behind our back.
  [[nodiscard]] bool owned() const { return block_ && block_->in_place; }
  friend bool operator==(const Buffer& a, const Buffer& b) { return a.block_ == b.block_; }

 private:
  explicit Buffer(BufferBlock* block) : block_(block) {}
  static void release(BufferBlock*) noexcept;
  BufferBlock* block_ = nullptr;
};

/// Of the processor's memory, in bytes; no limit where the system does not tell.
std::size_t physical_memory() noexcept;
/// Buffers alive now, borrowed ones included.
std::int64_t live_buffers() noexcept;
/// Bytes kept in the pool for reuse (thread caches apart).
std::size_t pooled_bytes() noexcept;
/// Gives what the pool keeps back to the system; the calling thread's cache too.
void trim() noexcept;
/// For tests: the n-th allocation from now on throws OutOfMemory, once; 0 turns it off.
void fail_allocation(std::int64_t n) noexcept;

}  // namespace weft::runtime
