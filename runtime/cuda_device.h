// One CUDA device as Weft uses it: its primary context, one stream that all work on it goes
// through, memory, copies and loaded code. Everything on a device happens in the order of its
// stream, so memory that was given back may be handed out again at once: whoever gets it comes
// later. All members are thread safe; each makes the device's context the calling thread's.
//
// Memory comes from a pool of size classes, kept until the device runs out: in steady state no
// call allocates, and values lie where they lay in the call before, which graphs are replayed for.
// Copies to the device go through pinned memory, so that neither the caller nor the stream waits.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "ir/device_code.h"
#include "runtime/buffer.h"
#include "runtime/cuda_driver.h"

namespace weft::runtime {

/// Code loaded on a device, unloaded with this.
class CudaModule {
 public:
  CudaModule(const CudaDriver& driver, CuModule module) : driver_(driver), module_(module) {}
  ~CudaModule() { (void)driver_.unload_module.status(module_); }
  CudaModule(const CudaModule&) = delete;
  CudaModule& operator=(const CudaModule&) = delete;
  /// To be launched with so much dynamic shared memory.
  [[nodiscard]] CuFunction function(const std::string& name, int shared = 0) const;

 private:
  const CudaDriver& driver_;
  CuModule module_;
};

class CudaDevice {
 public:
  /// Made when first asked for, and never destroyed. DeviceError where it cannot be used.
  static CudaDevice& get(Device device);

  [[nodiscard]] Device device() const { return device_; }
  /// `sm_90`: what code for it is compiled for.
  [[nodiscard]] const std::string& arch() const { return arch_; }
  /// Blocks that keep it busy; a grid need not be larger.
  [[nodiscard]] std::int64_t most_blocks() const { return most_blocks_; }
  [[nodiscard]] const CudaDriver& driver() const { return driver_; }
  [[nodiscard]] CuStream stream() const { return stream_; }
  void enter() const { driver_.set_context(context_); }

  /// Contents are not initialised. OutOfMemory, which leaves the device usable.
  Buffer allocate(std::size_t bytes);
  /// Bytes kept for reuse.
  [[nodiscard]] std::size_t pooled_bytes() const;
  /// Gives what the pool keeps back to the driver.
  void trim();

  /// The source may change as soon as this returns.
  void upload(void* to, const void* from, std::size_t bytes);
  /// Waits for what the stream does before, and for the copy.
  void download(void* to, const void* from, std::size_t bytes) const;
  void copy(void* to, const void* from, std::size_t bytes) const;
  void zero(void* at, std::size_t bytes) const;
  void synchronize() const;

  /// Loaded once for all who hold it.
  std::shared_ptr<const CudaModule> load(const std::shared_ptr<const ir::DeviceImage>& image);

  /// Records what `work` launches into its stream, without running it.
  template <class Work> CuGraphExec capture(const Work& work) {
    const std::scoped_lock lock(capture_mutex_);
    enter();
    begin_capture();
    try {
      work(capture_stream_);
    } catch (...) {
      (void)end_capture();
      throw;
    }
    return instantiate(end_capture());
  }

 private:
  explicit CudaDevice(Device device);
  struct Block;
  void give(CuPointer at, int size_class) noexcept;
  CuStatus from_driver(std::size_t bytes, CuPointer& at);
  void begin_capture();
  CuGraph end_capture();
  CuGraphExec instantiate(CuGraph graph);

  static constexpr int class_count = 4 * 56;
  static constexpr std::size_t staging_bytes = std::size_t{4} << 20;
  /// Pinned memory on its way to the device.
  struct Staging {
    void* memory = nullptr;
    CuEvent copied = nullptr;
  };

  const Device device_;
  const CudaDriver& driver_;
  std::string arch_;
  std::int64_t most_blocks_ = 0;
  CuContext context_ = nullptr;
  CuStream stream_ = nullptr, capture_stream_ = nullptr;

  mutable std::mutex pool_mutex_;
  std::array<std::vector<CuPointer>, class_count> free_;
  std::size_t pooled_ = 0;

  std::mutex staging_mutex_;
  std::array<Staging, 4> staging_;
  std::size_t next_staging_ = 0;

  std::mutex module_mutex_;
  std::unordered_map<const ir::DeviceImage*, std::weak_ptr<const CudaModule>> modules_;
  std::mutex capture_mutex_;
};

/// Copies bytes from anywhere to anywhere. What comes to the processor is there on return; the rest
/// happens in the order of its device.
void transfer(Device to_device, void* to, Device from_device, const void* from, std::size_t bytes);

}  // namespace weft::runtime
