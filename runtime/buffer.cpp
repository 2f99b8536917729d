#include "runtime/buffer.h"

#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <new>

#include "runtime/cuda_device.h"

namespace weft::runtime {
namespace {

#if defined(__SANITIZE_ADDRESS__)
constexpr bool pooling = false;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
constexpr bool pooling = false;
#else
constexpr bool pooling = true;
#endif
#else
constexpr bool pooling = true;
#endif

constexpr std::size_t alignment = 64;
constexpr std::size_t huge = std::size_t{2} << 20;
constexpr int class_count = 4 * 58;
constexpr int small_classes = 40;  // up to 64 KiB
constexpr int cached_per_class = 8;

std::atomic<std::int64_t> live{0};
std::atomic<std::int64_t> failing_in{0};

/// Multiples of 64 up to 256, then four classes a doubling: at most a quarter is wasted.
int class_of(std::size_t bytes) {
  const std::size_t units = bytes == 0 ? 1 : (bytes + alignment - 1) / alignment;
  if (units <= 4) return static_cast<int>(units) - 1;
  const int log = std::bit_width(units - 1) - 1;  // units in (2^log, 2^(log+1)]
  const std::size_t step = std::size_t{1} << (log - 2);
  const std::size_t quarter = (units - (std::size_t{1} << log) + step - 1) / step;  // 1 to 4
  return 4 * (log - 1) + static_cast<int>(quarter) - 1;
}

std::size_t class_bytes(int c) {
  if (c < 4) return static_cast<std::size_t>(c + 1) * alignment;
  const int log = c / 4 + 1;
  const std::size_t size = ((std::size_t{1} << log) +
                            (static_cast<std::size_t>(c % 4) + 1) * (std::size_t{1} << (log - 2))) *
                           alignment;
  return size < huge ? size : (size + huge - 1) / huge * huge;
}

/// A mapping of its own, aligned to this multiple of huge pages; zero. Null when there is no memory.
std::byte* map(std::size_t bytes, std::size_t aligned_to = huge) {
  void* raw = mmap(nullptr, bytes + aligned_to, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (raw == MAP_FAILED) return nullptr;
  const auto start = reinterpret_cast<std::uintptr_t>(raw);
  const std::uintptr_t aligned = (start + aligned_to - 1) / aligned_to * aligned_to;
  auto* data = static_cast<std::byte*>(raw) + (aligned - start);
  if (aligned > start) munmap(raw, aligned - start);
  if (const std::size_t tail = start + aligned_to - aligned; tail > 0) munmap(data + bytes, tail);
  madvise(data, bytes, MADV_HUGEPAGE);
  return data;
}

/// Blocks between small ones and huge pages are cut from slabs of huge pages, one after another: the
/// first touch of memory in pages of 4 KiB costs ten times as much as in huge ones, and most of what
/// a first call takes beside its work. A slab goes when none of its blocks is left.
class Slabs {
 public:
  std::byte* take(std::size_t bytes) {
    const std::lock_guard lock(mutex_);
    if (!current_ || current_->used + bytes > size) {
      std::byte* memory = map(size, size);
      if (!memory) return nullptr;
      current_ = new (memory) Slab;
    }
    ++current_->blocks;
    return reinterpret_cast<std::byte*>(current_) + std::exchange(current_->used,
                                                                  current_->used + bytes);
  }

  void give(std::byte* data) noexcept {
    const std::lock_guard lock(mutex_);
    auto* slab = reinterpret_cast<Slab*>(reinterpret_cast<std::uintptr_t>(data) / size * size);
    if (--slab->blocks > 0) return;
    if (slab == current_) current_ = nullptr;
    munmap(slab, size);
  }

 private:
  static constexpr std::size_t size = 4 * huge;
  struct Slab {  // at its own start
    std::size_t used = alignment, blocks = 0;
  };

  std::mutex mutex_;
  Slab* current_ = nullptr;
};

/// Never destroyed, as the pool.
Slabs& slabs() {
  static Slabs* const the = new Slabs;
  return *the;
}

void free_memory(std::byte* data, int c) noexcept {
  if (pooling && class_bytes(c) >= huge)
    munmap(data, class_bytes(c));
  else if (pooling && c >= small_classes)
    slabs().give(data);
  else
    std::free(data);
}

void free_block(BufferBlock* block) noexcept {
  free_memory(block->data, block->size_class);
  delete block;
}

class Pool {
 public:
  BufferBlock* take(int c) {
    const std::lock_guard lock(mutex_);
    BufferBlock* block = free_[static_cast<std::size_t>(c)];
    if (!block) return nullptr;
    free_[static_cast<std::size_t>(c)] = block->next;
    kept_.fetch_sub(class_bytes(c), std::memory_order_relaxed);
    return block;
  }

  void give(BufferBlock* block) noexcept {
    const std::size_t bytes = class_bytes(block->size_class);
    {
      const std::lock_guard lock(mutex_);
      if (kept_.load(std::memory_order_relaxed) + bytes <= physical_memory() / 4) {
        kept_.fetch_add(bytes, std::memory_order_relaxed);
        block->next = std::exchange(free_[static_cast<std::size_t>(block->size_class)], block);
        return;
      }
    }
    free_block(block);
  }

  void trim() noexcept {
    for (auto& list : free_) {
      BufferBlock* block;
      {
        const std::lock_guard lock(mutex_);
        block = std::exchange(list, nullptr);
        for (BufferBlock* b = block; b; b = b->next)
          kept_.fetch_sub(class_bytes(b->size_class), std::memory_order_relaxed);
      }
      while (block) free_block(std::exchange(block, block->next));
    }
  }

  [[nodiscard]] std::size_t kept() const { return kept_.load(std::memory_order_relaxed); }

 private:
  std::mutex mutex_;
  std::array<BufferBlock*, class_count> free_{};
  std::atomic<std::size_t> kept_{0};
};

/// Never destroyed: buffers of static storage are released after everything else.
Pool& pool() {
  static Pool* const the = new Pool;
  return *the;
}

/// Small blocks kept by one thread, so that most allocations touch no lock.
struct ThreadCache {
  struct List {
    BufferBlock* head = nullptr;
    int count = 0;
  };
  std::array<List, small_classes> lists;

  ~ThreadCache() {
    alive() = false;
    clear();
  }
  void clear() noexcept {
    for (List& list : lists) {
      while (list.head) pool().give(std::exchange(list.head, list.head->next));
      list.count = 0;
    }
  }
  /// False after the thread's end, when other thread-locals may still release buffers.
  static bool& alive() {
    static thread_local bool is_alive = true;
    return is_alive;
  }
  static ThreadCache* get() {
    static thread_local ThreadCache cache;
    return alive() ? &cache : nullptr;
  }
};

BufferBlock* take_cached(int c) {
  if (!pooling) return nullptr;
  if (c >= small_classes) return pool().take(c);
  if (ThreadCache* cache = ThreadCache::get()) {
    ThreadCache::List& list = cache->lists[static_cast<std::size_t>(c)];
    if (list.head) {
      --list.count;
      return std::exchange(list.head, list.head->next);
    }
  }
  return pool().take(c);
}

void give_cached(BufferBlock* block) noexcept {
  if (!pooling) return free_block(block);
  if (block->size_class < small_classes)
    if (ThreadCache* cache = ThreadCache::get()) {
      ThreadCache::List& list = cache->lists[static_cast<std::size_t>(block->size_class)];
      if (list.count < cached_per_class) {
        ++list.count;
        block->next = std::exchange(list.head, block);
        return;
      }
    }
  pool().give(block);
}

[[noreturn]] void out_of_memory(std::size_t bytes) {
  throw OutOfMemory("out of memory: " + std::to_string(bytes) + " bytes were asked for");
}

void inject_failure(std::size_t bytes) {
  if (failing_in.load(std::memory_order_relaxed) == 0) return;
  if (failing_in.fetch_sub(1, std::memory_order_relaxed) == 1)
    throw OutOfMemory("out of memory (injected by a test): " + std::to_string(bytes) +
                      " bytes were asked for");
}

std::byte* system_memory(std::size_t asked, int c) {
  const std::size_t bytes = class_bytes(c);
  if (pooling && bytes >= huge) return map(bytes);
  if (pooling && c >= small_classes) return slabs().take(bytes);
  // Exactly what was asked for where a sanitizer watches the ends.
  return static_cast<std::byte*>(pooling ? std::aligned_alloc(alignment, bytes) : [&] {
    void* p = nullptr;
    return posix_memalign(&p, alignment, asked ? asked : 1) == 0 ? p : nullptr;
  }());
}

/// A block of one reference; second: its memory is fresh from the kernel, so zero.
std::pair<BufferBlock*, bool> new_block(std::size_t bytes) {
  inject_failure(bytes);
  if (bytes > physical_memory()) out_of_memory(bytes);
  const int c = class_of(bytes);
  bool fresh = false;
  BufferBlock* block = take_cached(c);
  if (!block) {
    std::byte* data = system_memory(bytes, c);
    if (!data) {
      trim();
      data = system_memory(bytes, c);
    }
    if (!data) out_of_memory(bytes);
    block = new (std::nothrow) BufferBlock;
    if (!block) {
      free_memory(data, c);
      out_of_memory(bytes);
    }
    block->size_class = c;
    block->data = data;
    fresh = pooling && class_bytes(c) >= huge;
  }
  block->references.store(1, std::memory_order_relaxed);
  block->bytes = bytes;
  live.fetch_add(1, std::memory_order_relaxed);
  return {block, fresh};
}

BufferBlock* foreign_block(void* data, std::size_t bytes, std::shared_ptr<void> owner,
                           Device device, bool in_place) {
  auto* block = new BufferBlock;
  block->in_place = in_place;
  block->device = device;
  block->data = static_cast<std::byte*>(data);
  block->bytes = bytes;
  block->owner = std::move(owner);
  live.fetch_add(1, std::memory_order_relaxed);
  return block;
}

}  // namespace

std::size_t physical_memory() noexcept {
  static const std::size_t bytes = [] {
    const long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    return pages <= 0 || page <= 0 ? SIZE_MAX
                                   : static_cast<std::size_t>(pages) * static_cast<std::size_t>(page);
  }();
  return bytes;
}

Buffer Buffer::allocate(std::size_t bytes) { return Buffer(new_block(bytes).first); }

Buffer Buffer::allocate_zeroed(std::size_t bytes) {
  const auto [block, fresh] = new_block(bytes);
  if (!fresh) std::memset(block->data, 0, bytes);
  return Buffer(block);
}

Buffer Buffer::allocate_on(Device device, std::size_t bytes) {
  if (device.is_cpu()) return allocate(bytes);
  inject_failure(bytes);
  return CudaDevice::get(device).allocate(bytes);
}

Buffer Buffer::borrow(const void* data, std::size_t bytes, std::shared_ptr<void> owner,
                      Device device) {
  return Buffer(foreign_block(const_cast<void*>(data), bytes, std::move(owner), device, false));
}

Buffer Buffer::adopt(void* data, std::size_t bytes, std::shared_ptr<void> owner, Device device) {
  return Buffer(foreign_block(data, bytes, std::move(owner), device, true));
}

void Buffer::release(BufferBlock* block) noexcept {
  live.fetch_sub(1, std::memory_order_relaxed);
  if (block->size_class < 0)
    delete block;  // the owner goes with it
  else
    give_cached(block);
}

std::int64_t live_buffers() noexcept { return live.load(std::memory_order_relaxed); }
std::size_t pooled_bytes() noexcept { return pool().kept(); }

void trim() noexcept {
  if (ThreadCache* cache = ThreadCache::get()) cache->clear();
  pool().trim();
}

void fail_allocation(std::int64_t n) noexcept { failing_in.store(n, std::memory_order_relaxed); }

}  // namespace weft::runtime
