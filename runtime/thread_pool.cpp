#include "runtime/thread_pool.h"

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <exception>
#include <fstream>
#include <mutex>
#include <string>
#include <system_error>
#include <thread>

#include "ir/error.h"

namespace weft::runtime {
namespace {

constexpr int max_threads = 1024;
constexpr int spins = 1500;  // some 20 to 50 microseconds of `pause`

thread_local bool inside = false;

void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

/// Spins, then sleeps, until `value` is no longer `old`; returns what it became.
int wait_change(const std::atomic<int>& value, int old) {
  for (int i = 0; i < spins; ++i) {
    if (const int now = value.load(std::memory_order_acquire); now != old) return now;
    relax();
  }
  value.wait(old, std::memory_order_acquire);
  return value.load(std::memory_order_acquire);
}

using Body = FunctionRef<void(std::int64_t, std::int64_t)>;

/// One call: `units` grains split evenly over `chunks`.
struct Job {
  const Body* body;
  std::int64_t n, grain, units, chunks;

  void run(std::int64_t chunk) const {
    const auto first = [&](std::int64_t c) {
      return units / chunks * c + std::min(c, units % chunks);
    };
    (*body)(first(chunk) * grain, chunk + 1 == chunks ? n : first(chunk + 1) * grain);
  }
};

class Pool {
 public:
  /// False when another call is in flight.
  bool run(const Job& asked, int threads) {
    const std::unique_lock lock(calls_, std::try_to_lock);
    if (!lock) return false;
    start_workers(threads - 1);
    job_ = asked;
    job_.chunks = std::min<std::int64_t>(
        {threads, asked.units, static_cast<std::int64_t>(workers_.size()) + 1});
    const auto helpers = static_cast<std::size_t>(job_.chunks - 1);
    pending_.store(static_cast<int>(helpers), std::memory_order_relaxed);
    for (std::size_t i = 0; i < helpers; ++i) {
      workers_[i].turn.fetch_add(1, std::memory_order_release);
      workers_[i].turn.notify_one();
    }
    inside = true;
    std::exception_ptr error = run_chunk(0);
    for (std::size_t i = 0; i < helpers; ++i)  // what a late worker has not begun
      if (workers_[i].take()) finish(workers_[i], static_cast<std::int64_t>(i) + 1);
    inside = false;
    for (int left = pending_.load(std::memory_order_acquire); left != 0;)
      left = wait_change(pending_, left);
    for (std::size_t i = 0; i < helpers; ++i)
      if (auto e = std::exchange(workers_[i].error, nullptr); !error) error = e;
    if (error) std::rethrow_exception(error);
    return true;
  }

 private:
  struct alignas(64) Worker {
    std::atomic<int> turn{
        0};  // odd while a chunk waits to be taken, by the worker or by a caller who is sooner
    std::exception_ptr error;

    bool take() {
      int now = turn.load(std::memory_order_relaxed);
      return (now & 1) &&
             turn.compare_exchange_strong(now, static_cast<int>(static_cast<unsigned>(now) + 1),
                                          std::memory_order_acquire);
    }
  };

  std::exception_ptr run_chunk(std::int64_t chunk) const {
    try {
      job_.run(chunk);
      return nullptr;
    } catch (...) { return std::current_exception(); }
  }

  /// Runs a chunk that has been taken. The job stays until the last one has counted itself off.
  void finish(Worker& worker, std::int64_t chunk) {
    worker.error = run_chunk(chunk);
    if (pending_.fetch_sub(1, std::memory_order_acq_rel) == 1) pending_.notify_one();
  }

  /// Starts what is missing; a machine that refuses more threads makes do with fewer.
  void start_workers(int wanted) {
    while (static_cast<int>(workers_.size()) < wanted) {
      workers_.emplace_back();
      try {
        std::thread([this, number = workers_.size(), &me = workers_.back()] {
          work(me, static_cast<std::int64_t>(number));
        }).detach();
      } catch (const std::system_error&) {
        workers_.pop_back();
        return;
      }
    }
  }

  void work(Worker& me, std::int64_t chunk) {
    inside = true;
    for (int seen = 0;;) {
      if (me.take())
        finish(me, chunk);
      else
        seen = wait_change(me.turn, seen);
    }
  }

  std::mutex calls_;
  std::deque<Worker> workers_;  // grows only; addresses stay
  Job job_{};
  alignas(64) std::atomic<int> pending_{0};
};

/// Never destroyed: workers sleep in it until the process ends. A forked child has no workers, so
/// it takes a new one.
std::atomic<Pool*> the_pool{nullptr};

Pool& pool() {
  Pool* p = the_pool.load(std::memory_order_acquire);
  if (p) return *p;
  static std::once_flag registered;
  std::call_once(registered, [] {
    pthread_atfork(nullptr, nullptr, [] {
      the_pool.store(nullptr);
      inside = false;
    });
  });
  auto* fresh = new Pool;
  if (the_pool.compare_exchange_strong(p, fresh)) return *fresh;
  delete fresh;  // another thread was first; no worker has started
  return *p;
}

/// Processors of a cgroup's quota ("max 100000", "150000 100000"); 0 when it has none.
int quota(const std::string& folder) {
  double limit = 0, period = 0;
  if (std::ifstream v2(folder + "/cpu.max"); v2) {
    if (!(v2 >> limit >> period)) return 0;
  } else {
    std::ifstream q(folder + "/cpu.cfs_quota_us"), p(folder + "/cpu.cfs_period_us");
    if (!(q >> limit) || !(p >> period)) return 0;
  }
  if (limit <= 0 || period <= 0) return 0;
  return std::max(1, static_cast<int>(limit / period + 0.999));
}

int available_processors() {
  cpu_set_t set;
  CPU_ZERO(&set);
  int n = sched_getaffinity(0, sizeof set, &set) == 0
              ? CPU_COUNT(&set)
              : static_cast<int>(std::thread::hardware_concurrency());
  const auto limit = [&n](const std::string& folder) {
    if (const int q = quota(folder); q > 0) n = std::min(n, q);
  };
  limit("/sys/fs/cgroup");
  limit("/sys/fs/cgroup/cpu");
  std::ifstream groups("/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);)
    if (line.starts_with("0::")) limit("/sys/fs/cgroup" + line.substr(3));
  return std::max(1, n);
}

int initial_threads() {
  if (const char* text = std::getenv("WEFT_NUM_THREADS")) {
    int n = 0;
    const char* end = text + std::strlen(text);
    if (const auto r = std::from_chars(text, end, n); r.ec == std::errc{} && r.ptr == end && n >= 1)
      return std::min(n, max_threads);
  }
  return std::min(available_processors(), max_threads);
}

std::atomic<int>& threads() {
  static std::atomic<int> n{initial_threads()};
  return n;
}

}  // namespace

void parallel_for(std::int64_t n, std::int64_t grain, Body body) {
  if (n <= 0) return;
  grain = std::max<std::int64_t>(grain, 1);
  if (!inside && n > grain) {
    const std::int64_t units = n / grain + (n % grain != 0);
    const int wanted = num_threads();
    if (wanted > 1 && pool().run({&body, n, grain, units, 1}, wanted)) return;
  }
  body(0, n);
}

int num_threads() { return threads().load(std::memory_order_relaxed); }

void set_num_threads(int n) {
  if (n < 1)
    throw Error("set_num_threads(" + std::to_string(n) + "): at least one thread is needed");
  threads().store(std::min(n, max_threads), std::memory_order_relaxed);
}

bool in_parallel_region() { return inside; }

}  // namespace weft::runtime
