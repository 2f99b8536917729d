#include "runtime/thread_pool.h"

#include <pthread.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <limits>
#include <mutex>
#include <new>
#include <string>
#include <system_error>
#include <thread>

#include "ir/error.h"
#include "runtime/processors.h"

namespace weft::runtime {
namespace {

constexpr int max_threads = 1024;
constexpr int max_team = 256;
/// Waking a sleeping thread takes its waker 5 to 10 microseconds, and the thread 20 and more.
constexpr std::chrono::microseconds awake{200};

thread_local bool inside = false;
thread_local bool counted = false;  // a Working lives on this thread

void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

/// Spins, for as long as `worth_it` says so but not beyond `awake`, then sleeps, until `value` is
/// no longer `old`.
template <class WorthIt>
void wait_change(const std::atomic<unsigned>& value, unsigned old, WorthIt worth_it) {
  const auto end = std::chrono::steady_clock::now() + awake;
  for (int i = 1; worth_it(); ++i) {
    if (value.load(std::memory_order_acquire) != old) return;
    relax();
    if (i % 64 == 0 && std::chrono::steady_clock::now() > end) break;
  }
  value.wait(old, std::memory_order_acquire);
}

using Body = FunctionRef<void(std::int64_t, std::int64_t)>;

constexpr std::size_t line = 64;  // bytes that processors pass to each other at a time

/// The pieces that one member of a team has left, [begin, end): taken from the front by itself,
/// from the back by those who have none left. No two lie in one line.
class Share {
 public:
  void set(std::uint32_t begin, std::uint32_t end) {
    range_.store(pack(begin, end), std::memory_order_relaxed);
  }
  bool take(bool front, std::int64_t& piece) {
    std::uint64_t now = range_.load(std::memory_order_relaxed);
    while (true) {
      const auto begin = static_cast<std::uint32_t>(now >> 32),
                 end = static_cast<std::uint32_t>(now);
      if (begin == end) return false;
      piece = front ? begin : end - 1;
      const std::uint64_t next = front ? pack(begin + 1, end) : pack(begin, end - 1);
      if (range_.compare_exchange_weak(now, next, std::memory_order_relaxed)) return true;
    }
  }

 private:
  static std::uint64_t pack(std::uint32_t begin, std::uint32_t end) {
    return std::uint64_t{begin} << 32 | end;
  }
  std::atomic<std::uint64_t> range_{0};
};

/// Where part `i` of `parts` nearly equal ones of [0, count) begins: as near as can be to that share
/// of the whole, so that the same rows fall to the same thread however finely each job is cut.
std::int64_t cut(std::int64_t count, std::int64_t parts, std::int64_t i) {
  return count / parts * i + count % parts * i / parts;
}

/// One call, on its caller's stack. Whoever works on it is a member of its team; 0 is the caller.
/// What all members read comes first, in one line.
class alignas(line) Job {
 public:
  Job(const Body& body, std::int64_t n, std::int64_t grain, std::int64_t units, std::int64_t pieces)
      : body_(body), n_(n), grain_(grain), units_(units), pieces_(pieces) {}

  /// Another member, whose share is to lie there.
  int join(Share& share) {
    shares_[static_cast<std::size_t>(members_)] = &share;
    return members_++;
  }
  /// When all have joined and before anyone works.
  void share_out() {
    for (int m = 0; m < members_; ++m)
      shares_[static_cast<std::size_t>(m)]->set(
          static_cast<std::uint32_t>(cut(pieces_, members_, m)),
          static_cast<std::uint32_t>(cut(pieces_, members_, m + 1)));
  }

  void work(int member) {
    for (int i = 0; i < members_; ++i) {
      Share& share = *shares_[static_cast<std::size_t>((member + i) % members_)];
      for (std::int64_t piece = 0; share.take(i == 0, piece);) run(piece);
    }
  }

  void rethrow() const {
    if (error_) std::rethrow_exception(error_);
  }

 private:
  void run(std::int64_t piece) {
    try {
      body_(cut(units_, pieces_, piece) * grain_,
            piece + 1 == pieces_ ? n_ : cut(units_, pieces_, piece + 1) * grain_);
    } catch (...) {
      const std::scoped_lock lock(mutex_);
      if (piece < failed_) {
        failed_ = piece;
        error_ = std::current_exception();
      }
    }
  }

  const Body body_;
  std::int64_t n_, grain_, units_, pieces_;
  int members_ = 0;
  std::array<Share*, max_team> shares_;  // the first `members_`
  std::mutex mutex_;                     // guards the two below
  std::int64_t failed_ = std::numeric_limits<std::int64_t>::max();
  std::exception_ptr error_;
};

/// A thread that serves one job after another. Its state counts up, four a job: idle; claimed by a
/// caller; given that caller's job; running it; idle. All of it lies in one line.
class alignas(line) Worker {
 public:
  /// Whether this caller got it. `ticket` then names the job, until the worker is free again.
  bool claim(unsigned& ticket) {
    unsigned now = state_.load(std::memory_order_relaxed);
    if (now % 4 != idle ||
        !state_.compare_exchange_strong(now, now + claimed, std::memory_order_acquire))
      return false;
    ticket = now;
    return true;
  }
  /// Of the job that the caller who claimed it has in mind.
  void join(Job& job, Share& share) {
    job_ = &job;
    member_ = job.join(share);
  }
  void give(unsigned ticket) {
    state_.store(ticket + given, std::memory_order_release);
    state_.notify_one();
  }
  /// Takes the job back from a worker that has not begun, else waits for its end.
  template <class WorthIt> void finish(unsigned ticket, WorthIt worth_it) {
    unsigned now = ticket + given;
    if (state_.compare_exchange_strong(now, ticket + 4, std::memory_order_relaxed)) return;
    while (state_.load(std::memory_order_acquire) == ticket + running)
      wait_change(state_, ticket + running, worth_it);
  }

  template <class WorthIt> [[noreturn]] void serve(WorthIt worth_it) {
    inside = true;
    while (true) {
      unsigned now = state_.load(std::memory_order_acquire);
      if (now % 4 == given) {
        if (!state_.compare_exchange_strong(now, now + 1, std::memory_order_acq_rel)) continue;
        job_->work(member_);
        state_.store(now + 2, std::memory_order_release);
        state_.notify_one();
      } else if (now % 4 == idle) {
        wait_change(state_, now, worth_it);
      } else {
        relax();
      }
    }
  }

 private:
  enum Phase : unsigned { idle, claimed, given, running };
  std::atomic<unsigned> state_{idle};
  int member_ = 0;
  Job* job_ = nullptr;
};

class Pool {
 public:
  std::atomic<int> working{0};  // callers

  /// With up to `wanted` workers, those that are free.
  void run(Job& job, int wanted) {
    start_workers(wanted);
    struct Helper {
      Worker* worker;
      unsigned ticket;
    };
    std::array<Helper, max_team> team;
    int helpers = 0;
    // The team's shares, a line each: they are the call's own, since a member may still look into
    // another's when that one has gone on to the next caller's job.
    alignas(line) std::byte shares[max_team][line];  // made one by one: most are never used
    const int caller = job.join(*new (shares[0]) Share);
    const int known = started_.load(std::memory_order_acquire);
    for (int i = 0; i < known && helpers < wanted; ++i) {
      Helper& next = team[static_cast<std::size_t>(helpers)];
      next.worker = workers_[static_cast<std::size_t>(i)].get();
      if (!next.worker->claim(next.ticket)) continue;
      next.worker->join(job, *new (shares[helpers + 1]) Share);
      ++helpers;
    }
    job.share_out();
    for (int i = 0; i < helpers; ++i) {
      const auto [worker, ticket] = team[static_cast<std::size_t>(i)];
      worker->give(ticket);
    }
    inside = true;
    job.work(caller);
    inside = false;
    for (int i = 0; i < helpers; ++i) {
      const auto [worker, ticket] = team[static_cast<std::size_t>(i)];
      worker->finish(ticket, [this] { return spinning_harms_nobody(); });
    }
    job.rethrow();
  }

 private:
  /// Starts what is missing; a machine that refuses more threads makes do with fewer.
  void start_workers(int wanted) {
    if (started_.load(std::memory_order_acquire) >= wanted || refused_.load()) return;
    const std::scoped_lock lock(starting_);
    for (int i = started_.load(); i < wanted; ++i) {
      auto& place = workers_[static_cast<std::size_t>(i)];
      place = std::make_unique<Worker>();
      try {
        std::thread([this, &worker = *place] {
          worker.serve([this] { return spinning_harms_nobody(); });
        }).detach();
      } catch (const std::system_error&) {
        refused_ = true;
        return;
      }
      started_.store(i + 1, std::memory_order_release);
    }
  }

  /// One caller, and no more threads than processors.
  [[nodiscard]] bool spinning_harms_nobody() const {
    static const int processors = usable_processors();
    return working.load(std::memory_order_relaxed) <= 1 &&
           started_.load(std::memory_order_relaxed) < processors;
  }

  std::mutex starting_;
  std::atomic<int> started_{0};
  std::atomic<bool> refused_{false};
  std::array<std::unique_ptr<Worker>, max_team> workers_;
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
      counted = false;
    });
  });
  auto* fresh = new Pool;
  if (the_pool.compare_exchange_strong(p, fresh)) return *fresh;
  delete fresh;  // another thread was first; no worker has started
  return *p;
}

int initial_threads() {
  if (const char* text = std::getenv("WEFT_NUM_THREADS")) {
    int n = 0;
    const char* end = text + std::strlen(text);
    if (const auto r = std::from_chars(text, end, n); r.ec == std::errc{} && r.ptr == end && n >= 1)
      return std::min(n, max_threads);
  }
  return std::min(usable_processors(), max_threads);
}

std::atomic<int>& threads() {
  static std::atomic<int> n{initial_threads()};
  return n;
}

}  // namespace

Working::Working() : counted_(nullptr) {
  if (counted || inside) return;
  counted = true;
  counted_ = &pool().working;
  counted_->fetch_add(1, std::memory_order_relaxed);
}

Working::~Working() {
  if (!counted_) return;
  counted_->fetch_sub(1, std::memory_order_relaxed);
  counted = false;
}

void parallel_for(std::int64_t n, std::int64_t grain, Body body) {
  if (n <= 0) return;
  grain = std::max<std::int64_t>(grain, 1);
  if (!inside && n > grain && num_threads() > 1) {
    const Working one_more;
    const std::int64_t all = num_threads();
    const std::int64_t units = n / grain + (n % grain != 0);
    const std::int64_t pieces = std::min(units, pieces_a_thread * all);
    const std::int64_t team =
        std::min({pieces, all / std::max(1, pool().working.load(std::memory_order_relaxed)),
                  std::int64_t{max_team}});
    if (team > 1) {
      Job job(body, n, grain, units, pieces);
      return pool().run(job, static_cast<int>(team) - 1);
    }
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
