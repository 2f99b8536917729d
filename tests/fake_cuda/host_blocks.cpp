#include "host_blocks.h"

#include <sys/mman.h>
#include <ucontext.h>
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#endif

#include <algorithm>
#include <cstring>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "host_memory.h"

/// As kernels see them (there they are constants: a fibre's never change).
struct CudaHostIndex {
  unsigned x = 0, y = 0, z = 0;
};
extern "C" {
CudaHostIndex threadIdx, blockIdx, blockDim{1, 1, 1}, gridDim{1, 1, 1};
}

namespace cuda_host {
namespace {

constexpr std::size_t stack_size = 256 * 1024;
constexpr unsigned most_bytes = 64;   // that a lane shows to others at once

enum class Doing { running, at_block_barrier, at_warp_operation, given_up, done };

struct AsyncCopy {
  void* to;
  const void* from;   // null: zeros
  unsigned bytes;
};

struct Deferred {
  void (*run)(void* target, const void* state);
  void* target;
  std::vector<char> state;
};

/// For __builtin_setjmp: jumps of the standard library's are followed by sanitizers, each on the
/// stack that it believes to be the thread's.
using Place = void*[5];

/// AddressSanitizer is told which is used.
struct Stack {
  const void* bottom = nullptr;
  std::size_t size = 0;
  void* kept = nullptr;  // by it, while another is used
};
#ifdef __SANITIZE_ADDRESS__
void leave(Stack& from, const Stack& to) {
  __sanitizer_start_switch_fiber(&from.kept, to.bottom, to.size);
}
void arrive(const Stack& at, Stack& from) {
  __sanitizer_finish_switch_fiber(at.kept, &from.bottom, &from.size);
}
#else
void leave(Stack&, const Stack&) {}
void arrive(const Stack&, Stack&) {}
#endif

struct Fibre {
  Stack stack;
  ucontext_t first;          // where it begins
  Place at;                  // and goes on
  bool begun = false;
  Doing doing = Doing::done;
  std::uint32_t mask = 0;    // of the warp operation that it waits in,
  unsigned size = 0;         // which shows this many bytes (0: a barrier)
  char shown[most_bytes];
  char seen[most_bytes * warp_size];
  std::vector<AsyncCopy> copies;
  std::vector<std::size_t> groups;   // where they end among the copies
  std::vector<Deferred> deferred;
  std::vector<std::size_t> deferred_groups;
  bool may_defer = false;

  void forget() {
    copies.clear(), groups.clear();
    deferred.clear(), deferred_groups.clear();
    may_defer = false;
  }
};

struct Machine {
  char* stacks = nullptr;
  std::vector<std::unique_ptr<Fibre>> fibres;
  unsigned count = 0, current = 0;
  Place scheduler;
  Stack scheduler_stack;
  CudaHostLaunch launch{};
};
Machine machine;

Fibre& fibre(unsigned thread) { return *machine.fibres[thread]; }
Fibre& self() { return fibre(machine.current); }

[[noreturn]] __attribute__((noinline)) void go_on(Place& at) { __builtin_longjmp(at, 1); }

__attribute__((noinline)) void yield() {
  leave(self().stack, machine.scheduler_stack);
  if (!__builtin_setjmp(self().at)) go_on(machine.scheduler);
  arrive(self().stack, machine.scheduler_stack);
}

void live() {
  arrive(self().stack, machine.scheduler_stack);
  for (;;) {
    machine.launch.kernel(machine.launch.arguments);
    if (!self().deferred.empty())
      complain("thread " + std::to_string(machine.current) + " ends without what it began");
    self().forget();
    self().doing = Doing::done;
    yield();
  }
}

__attribute__((noinline)) void resume(unsigned thread) {
  machine.current = thread;
  threadIdx.x = thread;
  set_thread(thread);
  leave(machine.scheduler_stack, self().stack);
  if (!__builtin_setjmp(machine.scheduler)) {
    if (self().begun) go_on(self().at);
    self().begun = true;
    setcontext(&self().first);
  }
  arrive(machine.scheduler_stack, self().stack);
}

void prepare(unsigned threads) {
  if (!machine.stacks) {
    void* const all = mmap(nullptr, stack_size * most_threads, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (all == MAP_FAILED) throw std::bad_alloc();
    machine.stacks = static_cast<char*>(all);
  }
  while (machine.fibres.size() < threads)
    machine.fibres.push_back(std::make_unique<Fibre>());
  for (unsigned t = 0; t < threads; ++t) {
    Fibre& f = fibre(t);
    f.forget();
    if (f.begun && f.doing == Doing::done) continue;   // it waits for its next block
    f.stack = {machine.stacks + stack_size * t, stack_size};
    getcontext(&f.first);
    f.first.uc_stack.ss_sp = machine.stacks + stack_size * t;
    f.first.uc_stack.ss_size = stack_size;
    makecontext(&f.first, live, 0);
    f.begun = false;
  }
}

bool meets(std::uint32_t mask, unsigned lane, unsigned warp) {
  return mask >> lane & 1 && warp * warp_size + lane < machine.count;
}

void open_block_barrier() {
  for (unsigned t = 0; t < machine.count; ++t)   // threads that are gone are not waited for
    if (fibre(t).doing != Doing::at_block_barrier && fibre(t).doing != Doing::done) return;
  bool any = false;
  for (unsigned t = 0; t < machine.count; ++t)
    if (fibre(t).doing == Doing::at_block_barrier) fibre(t).doing = Doing::running, any = true;
  if (any) join_block();
}

/// Once all lanes of the current one's mask are there.
void open_warp_operation() {
  const Fibre& me = self();
  const unsigned warp = machine.current / warp_size;
  for (unsigned lane = 0; lane < warp_size; ++lane) {
    if (!meets(me.mask, lane, warp)) continue;
    const Fibre& other = fibre(warp * warp_size + lane);
    if (other.doing != Doing::at_warp_operation) return;
    if (other.mask != me.mask || other.size != me.size)
      return complain("lanes " + std::to_string(machine.current % warp_size) + " and " +
                      std::to_string(lane) + " of a warp meet in different operations or masks");
  }
  for (unsigned lane = 0; lane < warp_size; ++lane) {
    if (!meets(me.mask, lane, warp)) continue;
    Fibre& other = fibre(warp * warp_size + lane);
    other.doing = Doing::running;
    if (me.size == 0) continue;
    std::memset(other.seen, 0xA5, std::size_t{me.size} * warp_size);
    for (unsigned l = 0; l < warp_size; ++l)
      if (meets(me.mask, l, warp))
        std::memcpy(other.seen + std::size_t{l} * me.size, fibre(warp * warp_size + l).shown,
                    me.size);
  }
  if (me.size == 0) join_warp(warp, me.mask);
}

void meet_warp(std::uint32_t mask, const void* value, unsigned size) {
  Fibre& me = self();
  if (!(mask >> machine.current % warp_size & 1))
    complain("thread " + std::to_string(machine.current) + " is not in the mask that it names");
  if (size > most_bytes) complain("a lane shows more than 64 bytes");
  me.mask = mask, me.size = std::min(size, most_bytes);
  if (value) std::memcpy(me.shown, value, me.size);
  me.doing = Doing::at_warp_operation;
  open_warp_operation();
  while (me.doing != Doing::running) yield();
}

std::string stuck() {
  for (unsigned t = 0; t < machine.count; ++t) {
    if (fibre(t).doing == Doing::at_block_barrier)
      return "thread " + std::to_string(t) + " waits at a barrier that not all threads reach";
    if (fibre(t).doing == Doing::at_warp_operation)
      return "thread " + std::to_string(t) + " waits in an operation that not all lanes reach";
  }
  return "nothing can run";
}

/// The order in which the threads of a block take turns.
unsigned in_order(unsigned i, unsigned block, unsigned count) {
  switch (block % 3) {
    case 0: return i;
    case 1: return count - 1 - i;
    default: break;
  }
  unsigned stride = 2 * (block % 509) + 379;
  while (std::__gcd(stride, count) != 1) ++stride;
  return static_cast<unsigned>((std::uint64_t{i} * stride + block) % count);
}

/// False: it got stuck, and its fibres have to begin again.
bool run_block(unsigned block) {
  for (unsigned t = 0; t < machine.count; ++t) fibre(t).doing = Doing::running;
  for (;;) {
    bool any = false, all_done = true;
    for (unsigned i = 0; i < machine.count; ++i) {
      Fibre& f = fibre(in_order(i, block, machine.count));
      if (f.doing == Doing::running) {
        any = true;
        resume(in_order(i, block, machine.count));
        if (f.doing == Doing::given_up) return false;
        if (f.doing == Doing::done) open_block_barrier();
      }
      all_done = all_done && f.doing == Doing::done;
    }
    if (all_done) return true;
    if (any) continue;
    complain("in block " + std::to_string(block) + " " + stuck());
    return false;
  }
}

}  // namespace

void give_up() {
  self().doing = Doing::given_up;
  yield();
  __builtin_unreachable();   // its fibre begins again
}

}  // namespace cuda_host

extern "C" {

using namespace cuda_host;

const char* cuda_host_launch(const CudaHostLaunch* launch) {
  machine.launch = *launch;
  machine.count = launch->threads;
  blockDim.x = launch->threads, gridDim.x = launch->blocks;
  prepare(launch->threads);
  begin_launch(*launch, machine.stacks, machine.stacks + stack_size * most_threads);
  bool whole = true;
  for (unsigned b = 0; b < launch->blocks && whole; ++b) {
    blockIdx.x = b;
    begin_block(b, launch->threads);
    whole = run_block(b);
  }
  end_launch();
  return complaint().empty() ? nullptr : complaint().c_str();
}

void cuda_host_block_barrier() {
  self().doing = Doing::at_block_barrier;
  open_block_barrier();
  while (self().doing != Doing::running) yield();
}

void cuda_host_warp_barrier(unsigned mask) { meet_warp(mask, nullptr, 0); }

const char* cuda_host_exchange(unsigned mask, const void* value, unsigned size) {
  meet_warp(mask, value, size);
  return self().seen;
}

void cuda_host_complain(const char* what) {
  complain("thread " + std::to_string(machine.current) + ": " + what);
}

void cuda_host_copy_async(void* to, const void* from, unsigned bytes) {
  if (from) cuda_host_load(from, bytes);
  cuda_host_store(to, bytes);
  std::memset(to, 0xff, bytes);
  self().copies.push_back({to, from, bytes});
}

void cuda_host_commit_async() { self().groups.push_back(self().copies.size()); }

void cuda_host_wait_async(unsigned pending) {
  Fibre& me = self();
  if (me.groups.size() <= pending) return;
  const auto finished = me.groups.size() - pending;
  const std::size_t count = me.groups[finished - 1];
  for (std::size_t i = 0; i < count; ++i) {
    const AsyncCopy& c = me.copies[i];
    cuda_host_store(c.to, c.bytes);
    if (c.from)
      std::memcpy(c.to, c.from, c.bytes);
    else
      std::memset(c.to, 0, c.bytes);
  }
  me.copies.erase(me.copies.begin(), me.copies.begin() + static_cast<std::ptrdiff_t>(count));
  me.groups.erase(me.groups.begin(), me.groups.begin() + static_cast<std::ptrdiff_t>(finished));
  for (std::size_t& end : me.groups) end -= count;
}

void cuda_host_begin_deferred() { self().may_defer = true; }

void cuda_host_defer(void (*run)(void*, const void*), void* target, const void* state,
                     unsigned bytes) {
  if (!self().may_defer) cuda_host_complain("a product that no fence comes before");
  const auto* const begin = static_cast<const char*>(state);
  self().deferred.push_back({run, target, {begin, begin + bytes}});
}

bool cuda_host_is_deferred(const void* target) {
  const auto& all = self().deferred;
  return std::any_of(all.begin(), all.end(), [&](const Deferred& d) { return d.target == target; });
}

void cuda_host_commit_deferred() { self().deferred_groups.push_back(self().deferred.size()); }

void cuda_host_wait_deferred(unsigned pending) {
  Fibre& me = self();
  me.may_defer = false;
  if (me.deferred_groups.size() <= pending) return;
  const auto finished = static_cast<std::ptrdiff_t>(me.deferred_groups.size() - pending);
  const std::size_t count = me.deferred_groups[static_cast<std::size_t>(finished - 1)];
  for (std::size_t i = 0; i < count; ++i)
    me.deferred[i].run(me.deferred[i].target, me.deferred[i].state.data());
  me.deferred.erase(me.deferred.begin(), me.deferred.begin() + static_cast<std::ptrdiff_t>(count));
  me.deferred_groups.erase(me.deferred_groups.begin(), me.deferred_groups.begin() + finished);
  for (std::size_t& end : me.deferred_groups) end -= count;
}

}
