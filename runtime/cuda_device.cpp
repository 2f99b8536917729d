#include "runtime/cuda_device.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace weft::runtime {
namespace {

// Values of the driver's enumerations.
constexpr int multiprocessors = 16, major_capability = 75, minor_capability = 76;
constexpr unsigned non_blocking_stream = 1, no_timing = 2;
constexpr int thread_local_capture = 1;

constexpr std::size_t unit = 256;  // bytes: what the driver aligns to

/// Multiples of 256 up to 1024, then four classes a doubling: at most a quarter is wasted.
int class_of(std::size_t bytes) {
  const std::size_t units = bytes == 0 ? 1 : (bytes + unit - 1) / unit;
  if (units <= 4) return static_cast<int>(units) - 1;
  const int log = std::bit_width(units - 1) - 1;
  const std::size_t step = std::size_t{1} << (log - 2);
  return 4 * (log - 1) + static_cast<int>((units - (std::size_t{1} << log) + step - 1) / step) - 1;
}

std::size_t class_bytes(int c) {
  if (c < 4) return static_cast<std::size_t>(c + 1) * unit;
  const int log = c / 4 + 1;
  return ((std::size_t{1} << log) +
          (static_cast<std::size_t>(c % 4) + 1) * (std::size_t{1} << (log - 2))) *
         unit;
}

CuPointer address(const void* p) { return reinterpret_cast<CuPointer>(p); }

}  // namespace

CuFunction CudaModule::function(const std::string& name, int shared) const {
  constexpr int without_asking = 48 * 1024, dynamic_shared_limit = 8;
  CuFunction found = nullptr;
  driver_.get_function(&found, module_, name.c_str());
  if (shared > without_asking) driver_.set_function_attribute(found, dynamic_shared_limit, shared);
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
  int handle = 0, major = 0, minor = 0, processors = 0;
  driver_.device(&handle, device.index());
  driver_.device_attribute(&major, major_capability, handle);
  driver_.device_attribute(&minor, minor_capability, handle);
  driver_.device_attribute(&processors, multiprocessors, handle);
  arch_ = "sm_" + std::to_string(major) + std::to_string(minor);
  constexpr std::int64_t blocks_each = 16;
  most_blocks_ = blocks_each * processors;
  driver_.retain_context(&context_, handle);
  enter();
  driver_.create_stream(&stream_, non_blocking_stream);
  driver_.create_stream(&capture_stream_, non_blocking_stream);
}

// ---- memory -------------------------------------------------------------------------------------

/// What a Buffer owns: memory that goes back to the pool.
struct CudaDevice::Block {
  CudaDevice* device;
  CuPointer at;
  int size_class;
  Block(CudaDevice* d, CuPointer p, int c) : device(d), at(p), size_class(c) {}
  ~Block() { device->give(at, size_class); }
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;
};

CuStatus CudaDevice::from_driver(std::size_t bytes, CuPointer& at) {
  const CuStatus e = driver_.allocate.status(&at, bytes);
  if (e != cuda_out_of_memory || pooled_bytes() == 0) return e;
  trim();
  return driver_.allocate.status(&at, bytes);
}

Buffer CudaDevice::allocate(std::size_t bytes) {
  if (bytes > std::size_t{1} << 52)
    throw OutOfMemory("out of memory on " + device_.str() + ": " + std::to_string(bytes) +
                      " bytes were asked for");
  const int c = class_of(bytes);
  CuPointer at = 0;
  {
    const std::scoped_lock lock(pool_mutex_);
    auto& kept = free_[static_cast<std::size_t>(c)];
    if (!kept.empty()) {
      at = kept.back();
      kept.pop_back();
      pooled_ -= class_bytes(c);
    }
  }
  if (!at) {
    enter();
    if (const CuStatus e = from_driver(class_bytes(c), at); e == cuda_out_of_memory) {
      std::size_t left = 0, all = 0;
      (void)driver_.memory_info.status(&left, &all);
      throw OutOfMemory("out of memory on " + device_.str() + ": " + std::to_string(bytes) +
                        " bytes were asked for, " + std::to_string(left) + " of " +
                        std::to_string(all) + " are free");
    } else if (e != 0) {
      throw DeviceError(driver_.problem(driver_.allocate.name, e));
    }
  }
  auto block = std::make_shared<Block>(this, at, c);
  return Buffer::adopt(reinterpret_cast<void*>(at), bytes, std::move(block), device_);
}

void CudaDevice::give(CuPointer at, int size_class) noexcept {
  try {
    const std::scoped_lock lock(pool_mutex_);
    free_[static_cast<std::size_t>(size_class)].push_back(at);
    pooled_ += class_bytes(size_class);
  } catch (const std::bad_alloc&) {  // no room for the note: the driver takes it
    if (driver_.set_context.status(context_) == 0) (void)driver_.free.status(at);
  }
}

std::size_t CudaDevice::pooled_bytes() const {
  const std::scoped_lock lock(pool_mutex_);
  return pooled_;
}

void CudaDevice::trim() {
  enter();
  driver_.synchronize(stream_);  // what is still used by work under way
  const std::scoped_lock lock(pool_mutex_);
  for (auto& kept : free_) {
    for (const CuPointer at : kept) (void)driver_.free.status(at);
    kept.clear();
  }
  pooled_ = 0;
}

// ---- copies -------------------------------------------------------------------------------------

void CudaDevice::upload(void* to, const void* from, std::size_t bytes) {
  const std::scoped_lock lock(staging_mutex_);
  enter();
  for (std::size_t done = 0; done < bytes; done += staging_bytes) {
    Staging& staging = staging_[next_staging_++ % staging_.size()];
    if (!staging.memory) {
      driver_.create_event(&staging.copied, no_timing);
      driver_.allocate_host(&staging.memory, staging_bytes, 0);
    } else {
      driver_.wait_event(staging.copied);
    }
    const std::size_t count = std::min(staging_bytes, bytes - done);
    std::memcpy(staging.memory, static_cast<const std::byte*>(from) + done, count);
    driver_.upload(address(to) + done, staging.memory, count, stream_);
    driver_.record_event(staging.copied, stream_);
  }
}

void CudaDevice::download(void* to, const void* from, std::size_t bytes) const {
  if (bytes == 0) return;
  enter();
  driver_.download(to, address(from), bytes, stream_);
  driver_.synchronize(stream_);
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

void CudaDevice::synchronize() const {
  enter();
  driver_.synchronize(stream_);
}

void transfer(Device to_device, void* to, Device from_device, const void* from,
              std::size_t bytes) {
  if (to_device.is_cpu() && from_device.is_cpu()) {
    if (bytes) std::memcpy(to, from, bytes);
  } else if (to_device.is_cpu()) {
    CudaDevice::get(from_device).download(to, from, bytes);
  } else if (from_device.is_cpu()) {
    CudaDevice::get(to_device).upload(to, from, bytes);
  } else if (to_device == from_device) {
    CudaDevice::get(to_device).copy(to, from, bytes);
  } else {
    const Buffer between = Buffer::allocate(bytes);
    CudaDevice::get(from_device).download(between.data(), from, bytes);
    CudaDevice::get(to_device).upload(to, between.data(), bytes);
  }
}

// ---- code ---------------------------------------------------------------------------------------

std::shared_ptr<const CudaModule> CudaDevice::load(
    const std::shared_ptr<const ir::DeviceImage>& image) {
  const std::scoped_lock lock(module_mutex_);
  std::erase_if(modules_, [](const auto& entry) { return entry.second.expired(); });
  std::weak_ptr<const CudaModule>& known = modules_[image.get()];
  if (auto loaded = known.lock()) return loaded;
  enter();
  CuModule module = nullptr;
  driver_.load_module(&module, image->code.data());
  // The image lives as long as the module, so that its address stays its own.
  std::shared_ptr<const CudaModule> loaded(
      new CudaModule(driver_, module),
      [image](const CudaModule* gone) { delete gone; });
  known = loaded;
  return loaded;
}

void CudaDevice::begin_capture() { driver_.begin_capture(capture_stream_, thread_local_capture); }

CuGraph CudaDevice::end_capture() {
  CuGraph graph = nullptr;
  driver_.end_capture(capture_stream_, &graph);
  return graph;
}

CuGraphExec CudaDevice::instantiate(CuGraph graph) {
  CuGraphExec made = nullptr;
  const CuStatus e = driver_.instantiate_graph.status(&made, graph, 0);
  (void)driver_.destroy_graph.status(graph);
  if (e != 0) throw DeviceError(driver_.problem(driver_.instantiate_graph.name, e));
  return made;
}

}  // namespace weft::runtime
