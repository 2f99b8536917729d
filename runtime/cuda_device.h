// One CUDA device as Weft uses it: its primary context, one stream that all work on it goes
// through, memory, copies and loaded code. Everything on a device happens in the order of its
// stream, so memory that was given back may be handed out again at once: whoever gets it comes
// later. All members are thread safe; each makes the device's context the calling thread's.
//
// Memory comes from a pool of our own, kept until the device runs out. It takes the smallest block
// that serves, and of these the one at the lowest address: calls that allocate alike find their
// values where the last call had them, and that is what recorded graphs are replayed for (a pool of
// the driver's promises nothing about addresses, and asking it costs a microsecond a value). Where
// the driver has stream-ordered memory it is what the pool is filled from, so that growing does not
// stop the device and what is given back under want serves the next allocation at once; its release
// threshold stays 0, since what is to be kept is kept here.
//
// Copies beyond a few pages have streams of their own and go through pinned memory. One that comes
// up runs beside the stream's work into memory where it waits for its turn, so that neither the
// caller nor the stream waits for it; one that goes down waits for what the stream has to do by
// then, not for what comes after.
#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "ir/device_code.h"
#include "runtime/buffer.h"
#include "runtime/cuda_driver.h"
#include "runtime/cuda_faults.h"
#include "runtime/cuda_recorder.h"

namespace weft::runtime {

class CudaDevice;

/// Code loaded on a device, unloaded with this.
class CudaModule {
 public:
  explicit CudaModule(const CudaDevice& device) : device_(device) {}
  ~CudaModule();  // waits for what may still run it
  CudaModule(const CudaModule&) = delete;
  CudaModule& operator=(const CudaModule&) = delete;
  /// To be launched with so much dynamic shared memory, here and wherever it was asked for before.
  [[nodiscard]] CuFunction function(const std::string& name, int shared = 0) const;

 private:
  friend class CudaDevice;
  const CudaDevice& device_;
  CuModule module_ = nullptr;
  mutable std::mutex mutex_;
  mutable std::unordered_map<std::string, int> most_shared_;  // by function
};

class CudaDevice {
 public:
  /// Made when first asked for, and never destroyed. DeviceError where it cannot be used.
  static CudaDevice& get(Device device);

  [[nodiscard]] Device device() const { return device_; }
  /// `sm_90`: what code for it is compiled for.
  [[nodiscard]] const std::string& arch() const { return arch_; }
  [[nodiscard]] int multiprocessors() const { return multiprocessors_; }
  /// Of the cache that they share.
  [[nodiscard]] std::int64_t cache_bytes() const { return cache_bytes_; }
  /// That a block may ask for.
  [[nodiscard]] int shared_bytes() const { return shared_bytes_; }
  /// Blocks that keep it busy; a grid need not be larger.
  [[nodiscard]] std::int64_t most_blocks() const { return most_blocks_; }
  [[nodiscard]] const CudaDriver& driver() const { return driver_; }
  [[nodiscard]] CuStream stream() const { return stream_; }
  void enter() const { driver_.set_context(context_); }
  [[nodiscard]] bool try_enter() const noexcept {
    return driver_.set_context.status(context_) == 0;
  }

  /// What went wrong with the values that steps met: thrown by `download` and `synchronize`.
  [[nodiscard]] CudaFaults& faults() const { return faults_; }

  /// Contents are not initialised. OutOfMemory, which leaves the device usable.
  Buffer allocate(std::size_t bytes);
  /// Bytes kept for reuse.
  [[nodiscard]] std::size_t pooled_bytes() const;
  /// Gives what the pool keeps back to the driver.
  void trim();
  /// What takes memory of the driver's: `attempt` gives its status. Before it is refused the pool
  /// is trimmed and it is tried again. OutOfMemory, of so many bytes where that is known; DeviceError
  /// for what else may go wrong.
  template <class Attempt>
  void demand(const char* call, const Attempt& attempt, std::size_t bytes = 0) {
    CuStatus e = attempt();
    if (e == cuda_out_of_memory) {
      trim();
      e = attempt();
    }
    if (e != 0) refuse(call, e, bytes);
  }

  /// The source may change as soon as this returns.
  void upload(void* to, const void* from, std::size_t bytes);
  /// Waits for what the stream has to do by now, and for the copy.
  void download(void* to, const void* from, std::size_t bytes);
  /// From another device's memory, after what either has to do by now.
  void copy_from(CudaDevice& source, void* to, const void* from, std::size_t bytes);
  void copy(void* to, const void* from, std::size_t bytes) const;
  void zero(void* at, std::size_t bytes) const;
  void synchronize() const;
  /// Waits for what the stream has to do by now, whatever becomes of it: nothing is told.
  void settle() const noexcept;

  /// Loaded once for all who hold it.
  std::shared_ptr<const CudaModule> load(const std::shared_ptr<const ir::DeviceImage>& image);

  /// What `work` launches through the recorder that it is given, without running it.
  template <class Work> CuGraphExec capture(const Work& work) {
    const std::scoped_lock lock(capture_mutex_);
    enter();
    begin_capture();
    try {
      CudaRecorder recorder(driver_, capture_stream_);
      work(recorder);
      recorder.join();
    } catch (...) {
      give_up_capture();
      throw;
    }
    return instantiate(end_capture());
  }

 private:
  explicit CudaDevice(Device device);
  /// Size and address; taken out and put back as the nodes that they are, without allocation.
  using Blocks = std::set<std::pair<std::size_t, CuPointer>>;
  struct Block;
  Blocks::node_type take(std::size_t bytes);
  void give(Blocks::node_type block) noexcept;
  CuStatus from_driver(std::size_t bytes, CuPointer& at);
  CuStatus to_driver(CuPointer at);
  [[noreturn]] void refuse(const char* call, CuStatus e, std::size_t bytes) const;

  /// Pinned memory on its way to the device or from it.
  struct Staging {
    void* pinned = nullptr;
    CuPointer there = 0;       // on the device, where it waits for the stream
    CuEvent copied = nullptr;  // by the stream of the copy
    CuEvent taken = nullptr;   // by the device's stream, from `there`
  };
  struct Ring {
    std::size_t bytes;  // of one
    std::vector<Staging> all = {};
    std::size_t next = 0;
  };
  void wait() const;
  Staging& next_staging(Ring& ring);
  void make(Staging& staging, std::size_t bytes);
  bool waits_there(Staging& staging);
  /// Lets a stream, of any device, wait for what this one's has to do by now.
  void precede(CuStream later);
  void begin_capture();
  CuGraph end_capture();
  void give_up_capture() noexcept;
  CuGraphExec instantiate(CuGraph graph);

  const Device device_;
  const CudaDriver& driver_;
  mutable CudaFaults faults_{*this};
  std::string arch_;
  int multiprocessors_ = 0, cache_bytes_ = 0, shared_bytes_ = 0;
  std::int64_t most_blocks_ = 0;
  CuContext context_ = nullptr;
  CuStream stream_ = nullptr, capture_stream_ = nullptr, upload_stream_ = nullptr,
           download_stream_ = nullptr;
  bool ordered_memory_ = false;

  mutable std::mutex pool_mutex_;  // guards what follows
  Blocks free_;
  std::size_t pooled_ = 0;

  static constexpr std::size_t small_copy = std::size_t{64} << 10, piece = std::size_t{4} << 20;
  std::mutex upload_mutex_;  // guards what follows
  Ring small_{small_copy}, large_{piece};
  std::mutex download_mutex_;
  Staging landing_[2];  // guarded by it
  std::mutex reached_mutex_;
  CuEvent reached_ = nullptr;  // guarded by it

  std::mutex module_mutex_;
  std::unordered_map<const ir::DeviceImage*, std::weak_ptr<const CudaModule>> modules_;
  std::mutex capture_mutex_;
};

/// Copies bytes from anywhere to anywhere. What comes to the processor is there on return; the rest
/// happens in the order of its device.
void transfer(Device to_device, void* to, Device from_device, const void* from, std::size_t bytes);

}  // namespace weft::runtime
