#include "host_memory.h"

#include <algorithm>
#include <map>
#include <memory>
#include <unordered_map>
#include <vector>

namespace cuda_host {
namespace {

constexpr std::uint16_t nobody = 0xfffd, many_warps = 0xfffe, many_blocks = 0xffff, atomic = 1;

/// Of the last writer of a byte, or of its readers since.
struct Access {
  std::uint32_t block = 0;   // blocks are numbered through all launches, from 1
  std::uint32_t step = 0;    // of the last of them
  std::uint16_t thread = 0;
  std::uint16_t more = nobody;   // readers: another of the same warp, or more; a writer: `atomic`
  std::uint32_t published = 0;   // a writer: times before that it showed what it wrote
};
struct Cell {
  Access write, read;
};
/// Cells of words until the first access to less than a word, then of bytes.
struct Page {
  std::vector<Cell> cells = std::vector<Cell>(size / 4);
  std::uintptr_t grain = 4;
  static constexpr std::uintptr_t size = 4096;
  void split() {
    std::vector<Cell> bytes(size);
    for (std::size_t i = 0; i < size; ++i) bytes[i] = cells[i / 4];
    cells = std::move(bytes);
    grain = 1;
  }
};

/// A thread's past, as an atomic operation after a fence shows it to other blocks.
struct Release {
  std::uint32_t block, step, base;
  std::uint16_t thread;
};

struct State {
  CudaHostLaunch launch{};
  const char *stacks = nullptr, *stacks_end = nullptr;
  std::array<Knowledge, most_threads> threads;
  unsigned count = 0, current = 0, index = 0;   // of threads; whose turn; the block's
  std::uint32_t block = 0, first_block = 1;     // now, and of this launch
  std::unordered_map<std::uintptr_t, std::unique_ptr<Page>> pages;
  std::uintptr_t last_number = 0;
  Page* last_page = nullptr;
  std::map<const void*, std::vector<Release>> releases;
  std::vector<Release> acquired;   // by this block
  CudaHostFind find = nullptr;
  const char *allocated = nullptr, *allocated_end = nullptr;
  CudaHostTraffic traffic{};
  std::string complaint;
};
State state;

/// Of a launch that touches more, the first 8 MB are watched.
constexpr std::size_t most_pages = 2048;

Page* page_of(std::uintptr_t at) {
  const std::uintptr_t number = at / Page::size;
  if (number != state.last_number || !state.last_page) {
    auto it = state.pages.find(number);
    if (it == state.pages.end()) {
      if (state.pages.size() >= most_pages) return nullptr;
      it = state.pages.emplace(number, std::make_unique<Page>()).first;
    }
    state.last_number = number;
    state.last_page = it->second.get();
  }
  return state.last_page;
}

std::string who(std::uint32_t block, unsigned thread) {
  return "thread " + std::to_string(thread) + " of block " +
         std::to_string(block - state.first_block);
}

void race(const Access& before, const char* did, const char* does, bool shared) {
  complain(std::string("a race in ") + (shared ? "shared" : "global") + " memory: " +
           who(before.block, before.thread) + " " + did + " and " +
           who(state.block, state.current) + " " + does +
           " a byte, and nothing orders them");
}

bool ordered(unsigned thread, std::uint32_t step) {
  const Knowledge& me = state.threads[state.current];
  return thread == state.current || step < me.base ||
         (thread / warp_size == state.current / warp_size && step <= me.lanes[thread % warp_size]);
}

bool acquired(const Access& a) {
  return std::any_of(state.acquired.begin(), state.acquired.end(), [&](const Release& r) {
    return r.block == a.block && (a.thread == r.thread ? a.step <= r.step : a.step < r.base);
  });
}

/// Whether an access of this launch, by whatever block, comes before what the current thread does.
bool before_now(const Access& a) {
  return a.block == state.block ? ordered(a.thread, a.step) : acquired(a);
}

bool readers_before_now(const Access& r) {
  if (r.more == many_blocks) return !state.acquired.empty();
  if (r.block != state.block) return acquired(r);
  if (r.more == many_warps) return r.step < state.threads[state.current].base;
  return ordered(r.thread, r.step) && (r.more == nobody || ordered(r.more, r.step));
}

void add_reader(Access& r) {
  const Knowledge& me = state.threads[state.current];
  const auto thread = static_cast<std::uint16_t>(state.current);
  if (r.block >= state.first_block && r.block != state.block) r.more = many_blocks;
  // Readers that come before this one need not be remembered beside it.
  const bool fresh = r.block != state.block || r.step < me.base ||
                     (r.more != many_blocks && readers_before_now(r));
  const std::uint16_t kept = r.block >= state.first_block && r.more == many_blocks ? many_blocks
                             : fresh || r.more == nobody                            ? nobody
                                                                                   : r.more;
  if (fresh || kept >= many_warps || r.thread == thread) {
    const std::uint32_t step = fresh ? me.own : std::max(r.step, me.own);
    r = {state.block, step, thread, kept};
    return;
  }
  const bool same_warp = r.thread / warp_size == thread / warp_size;
  r = {state.block, std::max(r.step, me.own), thread, same_warp ? r.thread : many_warps};
}

void touch(Cell& cell, bool writes, bool is_atomic, bool shared) {
  const std::uint32_t from = shared ? state.block : state.first_block;
  const bool written = cell.write.block >= from;
  const bool both_atomic = is_atomic && written && cell.write.more == atomic;
  if (shared && !written && (!writes || is_atomic))
    return complain(who(state.block, state.current) +
                    " reads shared memory that no thread of its block wrote");
  if (written && !both_atomic && !before_now(cell.write))
    return race(cell.write, "wrote", writes ? "writes" : "reads", shared);
  if (!writes) return add_reader(cell.read);
  if (cell.read.block >= from && !readers_before_now(cell.read))
    return race(cell.read, "read", "writes", shared);
  const Knowledge& me = state.threads[state.current];
  cell.write = {state.block, me.own, static_cast<std::uint16_t>(state.current),
                is_atomic ? atomic : nobody, me.published};
  cell.read = {};
}

bool is_allocated(const char* at, std::size_t bytes) {
  if (!state.find) return true;
  if (at < state.allocated || at >= state.allocated_end)
    if (!state.find(at, &state.allocated, &state.allocated_end)) return false;
  return at + bytes <= state.allocated_end;
}

void access(const void* address, std::size_t bytes, bool writes, bool is_atomic = false) {
  const auto* const at = static_cast<const char*>(address);
  if (at >= state.stacks && at < state.stacks_end) return;
  if (!state.launch.module || !state.complaint.empty()) return;
  const CudaHostModule& module = *state.launch.module;
  const bool shared = at >= module.shared && at < module.shared_end;
  if (!shared && at >= module.image && at < module.image_end) return;
  if (shared && at >= module.dynamic && at + bytes > module.dynamic + state.launch.dynamic_bytes &&
      at < module.dynamic + (std::size_t{227} << 10))
    return complain(who(state.block, state.current) + " touches dynamic shared memory beyond its " +
                    std::to_string(state.launch.dynamic_bytes) + " bytes");
  if (!shared) {
    if (!is_allocated(at, bytes)) {
      complain(who(state.block, state.current) + (writes ? " writes" : " reads") +
               " global memory that is not allocated");
      give_up();
    }
    (writes ? state.traffic.stored : state.traffic.loaded) += bytes;
  }
  const auto begin = reinterpret_cast<std::uintptr_t>(at), end = begin + bytes;
  for (std::uintptr_t next = begin; next < end && state.complaint.empty();) {
    Page* const page = page_of(next);
    if (!page) return;
    if (page->grain != 1 && (begin % 4 != 0 || bytes % 4 != 0)) page->split();
    touch(page->cells[next % Page::size / page->grain], writes, is_atomic, shared);
    next += page->grain;
  }
}

}  // namespace

void begin_launch(const CudaHostLaunch& launch, const char* stacks, const char* stacks_end) {
  state.launch = launch;
  state.stacks = stacks, state.stacks_end = stacks_end;
  state.first_block = state.block + 1;
  state.releases.clear();
  state.traffic = {};
  state.complaint.clear();
  state.allocated = state.allocated_end = nullptr;
  state.last_page = nullptr;
  if (state.pages.size() > most_pages / 2) state.pages.clear();
}

void end_launch() { state.launch.module = nullptr; }

void begin_block(unsigned index, unsigned threads) {
  ++state.block;
  state.index = index, state.count = threads;
  state.acquired.clear();
  for (unsigned t = 0; t < threads; ++t) {
    Knowledge& k = state.threads[t];
    k = {};
    k.base = k.own = 1;
  }
}

void join_block() {
  std::uint32_t last = 0;
  for (unsigned t = 0; t < state.count; ++t) last = std::max(last, state.threads[t].own);
  for (unsigned t = 0; t < state.count; ++t) {
    Knowledge& k = state.threads[t];
    k.lanes.fill(last);
    k.base = k.own = last + 1;
  }
}

void join_warp(unsigned warp, std::uint32_t mask) {
  std::array<std::uint32_t, warp_size> all{};
  const auto for_lanes = [&](const auto& visit) {
    for (unsigned lane = 0; lane < warp_size; ++lane)
      if (mask >> lane & 1 && warp * warp_size + lane < state.count)
        visit(lane, state.threads[warp * warp_size + lane]);
  };
  for_lanes([&](unsigned lane, const Knowledge& k) {
    for (unsigned l = 0; l < warp_size; ++l)
      all[l] = std::max(all[l], l == lane ? k.own : k.lanes[l]);
  });
  for_lanes([&](unsigned, Knowledge& k) {
    k.lanes = all;
    ++k.own;
  });
}

void set_thread(unsigned thread) { state.current = thread; }

void complain(const std::string& what) {
  if (state.complaint.empty())
    state.complaint = std::string("kernel ") + state.launch.name + ": " + what;
}
const std::string& complaint() { return state.complaint; }

}  // namespace cuda_host

extern "C" {

using cuda_host::access, cuda_host::state;

CudaHostTraffic cuda_host_traffic() { return state.traffic; }
void cuda_host_memory(CudaHostFind find) { state.find = find; }
void cuda_host_load(const void* at, unsigned long long bytes) { access(at, bytes, false); }
void cuda_host_store(const void* at, unsigned long long bytes) { access(at, bytes, true); }

void cuda_host_publish() { ++state.threads[state.current].published; }

void cuda_host_load_published(const void* at, unsigned long long bytes) {
  using namespace cuda_host;
  access(at, bytes, false);
  const auto begin = reinterpret_cast<std::uintptr_t>(at);
  const std::uintptr_t end = begin + bytes;
  for (std::uintptr_t next = begin; next < end && state.complaint.empty();) {
    Page* const page = page_of(next);
    if (!page) return;
    const Access& write = page->cells[next % Page::size / page->grain].write;
    if (write.block == state.block && write.published == state.threads[write.thread].published)
      complain("a product reads what " + who(write.block, write.thread) +
               " wrote and did not make known to it");
    next += page->grain;
  }
}

void cuda_host_fence() {
  cuda_host::Knowledge& me = state.threads[state.current];
  me.fenced = me.own, me.fenced_base = me.base;
}

void cuda_host_atomic(const void* at, unsigned size) {
  access(at, size, true, true);
  const cuda_host::Knowledge& me = state.threads[state.current];
  auto& releases = state.releases[at];
  for (const auto& r : releases)
    if (r.block != state.block) state.acquired.push_back(r);
  if (me.fenced)
    releases.push_back({state.block, me.fenced, me.fenced_base,
                        static_cast<std::uint16_t>(state.current)});
}

void cuda_host_misuse(const char* what, unsigned line) {
  using namespace cuda_host;
  if (!state.launch.module) return;
  complain(who(state.block, state.current) + " uses " + what + ", in line " + std::to_string(line) +
           " of its program");
  give_up();
}
}
