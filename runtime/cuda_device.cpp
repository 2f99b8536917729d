#include "runtime/cuda_device.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "runtime/array.h"

namespace weft::runtime {
namespace {

// Values of the driver's enumerations.
constexpr int multiprocessor_count = 16, shared_cache = 38, major_capability = 75,
              minor_capability = 76, memory_pools = 115, most_shared_memory = 97;
constexpr unsigned non_blocking_stream = 1, no_timing = 2;
constexpr int thread_local_capture = 1;

/// By all threads: one alone is slower than the bus.
void copy_bytes(void* to, const void* from, std::size_t bytes) {
  convert_elements(DType::uint8, from, DType::uint8, to, static_cast<std::int64_t>(bytes));
}

constexpr std::size_t unit = 256;  // bytes: what the driver aligns to

/// Four sizes a doubling up to eight megabytes, from there on the device's pages.
std::size_t rounded(std::size_t bytes) {
  constexpr std::size_t page = std::size_t{2} << 20;
  const std::size_t step =
      bytes > 4 * page ? page : std::max(unit, std::bit_floor(std::max<std::size_t>(bytes, 1)) / 4);
  return std::max(unit, (bytes + step - 1) / step * step);
}

CuPointer address(const void* p) { return reinterpret_cast<CuPointer>(p); }

}  // namespace

CudaModule::~CudaModule() {
  const CudaDriver& driver = device_.driver();
  if (!module_ || !device_.try_enter()) return;
  (void)driver.synchronize.status(device_.stream());
  (void)driver.unload_module.status(module_);
}

CuFunction CudaModule::function(const std::string& name, int shared) const {
  // A function has one limit, for all launches: 48 KB less what it declares itself, unless asked for.
  constexpr int dynamic_shared_limit = 8;
  const CudaDriver& driver = device_.driver();
  CuFunction found = nullptr;
  driver.get_function(&found, module_, name.c_str());
  if (shared == 0) return found;
  const std::scoped_lock lock(mutex_);
  int& most = most_shared_[name];
  if (shared > most) {
    driver.set_function_attribute(found, dynamic_shared_limit, shared);
    most = shared;
  }
  return found;
}

CudaDevice& CudaDevice::get(Device device) {
  static std::mutex mutex;
  static auto& devices = *new std::vector<std::unique_ptr<CudaDevice>>;
  const std::scoped_lock lock(mutex);
  const auto index = static_cast<std::size_t>(device.index());
  if (devices.size() <= index) devices.resize(index + 1);
  if (!devices[index]) devices[index].reset(new CudaDevice(device));
  return *devices[index];
}

CudaDevice::CudaDevice(Device device) : device_(device), driver_(CudaDriver::get()) {
  int handle = 0, major = 0, minor = 0, pools = 0;
  driver_.device(&handle, device.index());
  driver_.device_attribute(&major, major_capability, handle);
  driver_.device_attribute(&minor, minor_capability, handle);
  driver_.device_attribute(&multiprocessors_, multiprocessor_count, handle);
  driver_.device_attribute(&cache_bytes_, shared_cache, handle);
  driver_.device_attribute(&shared_bytes_, most_shared_memory, handle);
  driver_.device_attribute(&pools, memory_pools, handle);
  ordered_memory_ = pools != 0;
  arch_ = "sm_" + std::to_string(major) + std::to_string(minor);
  constexpr std::int64_t blocks_each = 16;
  most_blocks_ = blocks_each * multiprocessors_;
  driver_.retain_context(&context_, handle);
  enter();
  for (CuStream* stream : {&stream_, &capture_stream_, &upload_stream_, &download_stream_})
    driver_.create_stream(stream, non_blocking_stream);
  driver_.create_event(&reached_, no_timing);
}

// ---- memory -------------------------------------------------------------------------------------

/// What a Buffer owns: memory that goes back to the pool.
struct CudaDevice::Block {
  explicit Block(CudaDevice& d) : device(d) {}
  ~Block() {
    if (held) device.give(std::move(held));
  }
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;
  CudaDevice& device;
  Blocks::node_type held;
};

CuStatus CudaDevice::from_driver(std::size_t bytes, CuPointer& at) {
  return ordered_memory_ ? driver_.allocate_ordered.status(&at, bytes, stream_)
                         : driver_.allocate.status(&at, bytes);
}

CuStatus CudaDevice::to_driver(CuPointer at) {
  return ordered_memory_ ? driver_.free_ordered.status(at, stream_) : driver_.free.status(at);
}

void CudaDevice::refuse(const char* call, CuStatus e, std::size_t bytes) const {
  const std::string problem = driver_.problem(call, e);
  if (e != cuda_out_of_memory) throw DeviceError(problem);
  std::size_t left = 0, all = 0;
  (void)driver_.memory_info.status(&left, &all);
  throw OutOfMemory("out of memory on " + device_.str() + ": " +
                    (bytes ? std::to_string(bytes) + " bytes were asked for" : problem) + ", " +
                    std::to_string(left) + " of " + std::to_string(all) + " are free");
}

CudaDevice::Blocks::node_type CudaDevice::take(std::size_t bytes) {
  const std::size_t size = rounded(bytes);
  {
    const std::scoped_lock lock(pool_mutex_);
    const auto fitting = free_.lower_bound({size, 0});
    if (fitting != free_.end() && fitting->first <= size + size / 4) {
      pooled_ -= fitting->first;
      return free_.extract(fitting);
    }
  }
  Blocks one;  // its node is there before the memory is
  one.emplace(size, 0);
  Blocks::node_type made = one.extract(one.begin());
  enter();
  demand(
      "allocating memory", [&] { return from_driver(size, made.value().second); }, size);
  return made;
}

void CudaDevice::give(Blocks::node_type block) noexcept {
  const std::scoped_lock lock(pool_mutex_);
  pooled_ += block.value().first;
  free_.insert(std::move(block));
}

Buffer CudaDevice::allocate(std::size_t bytes) {
  if (bytes > std::size_t{1} << 52)
    throw OutOfMemory("out of memory on " + device_.str() + ": " + std::to_string(bytes) +
                      " bytes were asked for");
  auto block = std::make_shared<Block>(*this);
  block->held = take(bytes);
  void* const at = reinterpret_cast<void*>(block->held.value().second);
  return Buffer::adopt(at, bytes, std::move(block), device_);
}

std::size_t CudaDevice::pooled_bytes() const {
  const std::scoped_lock lock(pool_mutex_);
  return pooled_;
}

void CudaDevice::trim() {
  wait();  // what is still used by work under way
  {
    const std::scoped_lock lock(upload_mutex_);
    for (Staging& staging : large_.all) {
      const CuPointer at = std::exchange(staging.there, 0);
      if (!at) continue;
      if (!ordered_memory_) {
        (void)driver_.free.status(at);
        continue;
      }
      // Since the wait another thread may have used it.
      (void)driver_.follow_event.status(upload_stream_, staging.taken, 0);
      (void)driver_.free_ordered.status(at, upload_stream_);
    }
  }
  {
    const std::scoped_lock lock(pool_mutex_);
    for (const auto& [size, at] : free_) (void)to_driver(at);
    free_.clear();
    pooled_ = 0;
  }
  if (!ordered_memory_) return;
  driver_.synchronize(upload_stream_);
  wait();  // when the driver gives up what nobody has
}

// ---- copies -------------------------------------------------------------------------------------

void CudaDevice::precede(CuStream later) {
  const std::scoped_lock lock(reached_mutex_);
  driver_.record_event(reached_, stream_);
  driver_.follow_event(later, reached_, 0);
}

void CudaDevice::make(Staging& staging, std::size_t bytes) {
  if (!staging.copied) driver_.create_event(&staging.copied, no_timing);
  if (!staging.taken) driver_.create_event(&staging.taken, no_timing);
  if (staging.pinned) return;
  // The processor's memory: the device's pool has none of it to give back.
  const CuStatus e = driver_.allocate_host.status(&staging.pinned, bytes, 0);
  if (e != 0) refuse(driver_.allocate_host.name, e, 0);
}

/// One that is free: the oldest, or a further one as long as there are few.
CudaDevice::Staging& CudaDevice::next_staging(Ring& ring) {
  constexpr std::size_t most = 16;
  if (ring.next == ring.all.size()) ring.next = 0;
  const auto is_busy = [&](const Staging& s) {
    return s.copied && driver_.event_done.status(s.copied) != 0;
  };
  if (ring.all.empty() || (ring.all.size() < most && is_busy(ring.all[ring.next])))
    ring.all.emplace(ring.all.begin() + static_cast<std::ptrdiff_t>(ring.next));
  Staging& staging = ring.all[ring.next];
  make(staging, ring.bytes);
  driver_.wait_event(staging.copied);
  ++ring.next;
  return staging;
}

/// Where a piece waits on the device. False where there is no memory for that.
bool CudaDevice::waits_there(Staging& staging) {
  if (!staging.there)
    (void)(ordered_memory_ ? driver_.allocate_ordered.status(&staging.there, piece, upload_stream_)
                           : driver_.allocate.status(&staging.there, piece));
  return staging.there != 0;
}

void CudaDevice::upload(void* to, const void* from, std::size_t bytes) {
  const std::scoped_lock lock(upload_mutex_);
  enter();
  const bool small = bytes <= small_copy;
  for (std::size_t done = 0, count; done < bytes; done += count) {
    count = std::min(bytes - done, piece);
    Staging& staging = next_staging(small ? small_ : large_);
    copy_bytes(staging.pinned, static_cast<const std::byte*>(from) + done, count);
    if (small || !waits_there(staging)) {
      driver_.upload(address(to) + done, staging.pinned, count, stream_);
      driver_.record_event(staging.copied, stream_);
      continue;
    }
    driver_.follow_event(upload_stream_, staging.taken, 0);
    driver_.upload(staging.there, staging.pinned, count, upload_stream_);
    driver_.record_event(staging.copied, upload_stream_);
    driver_.follow_event(stream_, staging.copied, 0);
    driver_.copy(address(to) + done, staging.there, count, stream_);
    driver_.record_event(staging.taken, stream_);
  }
}

void CudaDevice::download(void* to, const void* from, std::size_t bytes) {
  if (bytes == 0) return;
  const std::scoped_lock lock(download_mutex_);
  enter();
  const bool small = bytes <= small_copy;
  CuStream const stream = small ? stream_ : download_stream_;
  if (!small) precede(stream);
  const auto count = [&](std::size_t i) { return std::min(piece, bytes - i * piece); };
  const auto begin = [&](std::size_t i) {
    Staging& staging = landing_[i % 2];
    make(staging, piece);
    driver_.download(staging.pinned, address(from) + i * piece, count(i), stream);
    driver_.record_event(staging.copied, stream);
  };
  const std::size_t pieces = (bytes + piece - 1) / piece;
  begin(0);
  for (std::size_t i = 0; i < pieces; ++i) {
    if (i + 1 < pieces) begin(i + 1);
    driver_.wait_event(landing_[i % 2].copied);
    copy_bytes(static_cast<std::byte*>(to) + i * piece, landing_[i % 2].pinned, count(i));
  }
  faults_.raise(stream_);
}

void CudaDevice::copy_from(CudaDevice& source, void* to, const void* from, std::size_t bytes) {
  if (bytes == 0) return;
  enter();
  precede(source.stream_);  // who had the memory before
  source.enter();
  driver_.copy_between(address(to), context_, address(from), source.context_, bytes,
                       source.stream_);
  source.precede(stream_);
}

void CudaDevice::copy(void* to, const void* from, std::size_t bytes) const {
  if (bytes == 0) return;
  enter();
  driver_.copy(address(to), address(from), bytes, stream_);
}

void CudaDevice::zero(void* at, std::size_t bytes) const {
  if (bytes == 0) return;
  enter();
  driver_.fill(address(at), 0, bytes, stream_);
}

void CudaDevice::wait() const {
  enter();
  driver_.synchronize(stream_);
}

void CudaDevice::settle() const noexcept {
  if (try_enter()) (void)driver_.synchronize.status(stream_);
}

void CudaDevice::synchronize() const {
  wait();
  faults_.raise(stream_);
}

void transfer(Device to_device, void* to, Device from_device, const void* from, std::size_t bytes) {
  if (to_device.is_cpu() && from_device.is_cpu()) {
    if (bytes) std::memcpy(to, from, bytes);
  } else if (to_device.is_cpu()) {
    CudaDevice::get(from_device).download(to, from, bytes);
  } else if (from_device.is_cpu()) {
    CudaDevice::get(to_device).upload(to, from, bytes);
  } else if (to_device == from_device) {
    CudaDevice::get(to_device).copy(to, from, bytes);
  } else {
    CudaDevice::get(to_device).copy_from(CudaDevice::get(from_device), to, from, bytes);
  }
}

// ---- code ---------------------------------------------------------------------------------------

std::shared_ptr<const CudaModule> CudaDevice::load(
    const std::shared_ptr<const ir::DeviceImage>& image) {
  const std::scoped_lock lock(module_mutex_);
  std::erase_if(modules_, [](const auto& entry) { return entry.second.expired(); });
  std::weak_ptr<const CudaModule>& known = modules_[image.get()];
  if (auto loaded = known.lock()) return loaded;
  // The image lives as long as the module, so that its address stays its own.
  const std::shared_ptr<CudaModule> loaded(new CudaModule(*this),
                                           [image](const CudaModule* gone) { delete gone; });
  enter();
  demand(driver_.load_module.name,
         [&] { return driver_.load_module.status(&loaded->module_, image->code.data()); });
  known = loaded;
  return loaded;
}

void CudaDevice::begin_capture() { driver_.begin_capture(capture_stream_, thread_local_capture); }

CuGraph CudaDevice::end_capture() {
  CuGraph graph = nullptr;
  driver_.end_capture(capture_stream_, &graph);
  return graph;
}

void CudaDevice::give_up_capture() noexcept {
  CuGraph graph = nullptr;
  (void)driver_.end_capture.status(capture_stream_, &graph);
  if (graph) (void)driver_.destroy_graph.status(graph);
}

CuGraphExec CudaDevice::instantiate(CuGraph graph) {
  struct Drop {
    const CudaDriver& driver;
    CuGraph graph;
    ~Drop() { (void)driver.destroy_graph.status(graph); }
  } const drop{driver_, graph};
  CuGraphExec made = nullptr;
  demand(driver_.instantiate_graph.name,
         [&] { return driver_.instantiate_graph.status(&made, graph, 0); });
  return made;
}

}  // namespace weft::runtime
