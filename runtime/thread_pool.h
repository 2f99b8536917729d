// The one pool of threads that everything in a process shares. `parallel_for` cuts a range into
// pieces, gives each thread of a team, its caller among them, some that lie together (the same
// share of the range each time, so that what a thread has in its cache it gets again), and lets who
// is done take what others have not begun. Starting and joining takes less than a microsecond where
// processors share a cache and the workers are awake, which they are for a fifth of a millisecond
// after the last job; then they sleep. The pieces depend on the range, the grain and the number of
// threads alone. A call made inside a body runs in its caller. Callers that work at once share the
// threads: with two of them, a team is half of these, and a caller whose team is itself asks nobody.
// Nothing waits for a lock held across a body. Workers start when first needed. After a fork() the
// child starts its own; one forked inside a body must not return from it (it may exec or _exit):
// the other threads' pieces are lost to it.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <type_traits>
#include <utility>

namespace weft::runtime {

/// A reference to a callable, valid while the callable lives. Two words, no allocation.
template <class Signature> class FunctionRef;
template <class R, class... Args> class FunctionRef<R(Args...)> {
 public:
  template <class F>
  requires(!std::is_same_v<std::remove_cvref_t<F>, FunctionRef> &&
           std::is_invocable_r_v<R, F&, Args...>) FunctionRef(F&& f)
      : object_(const_cast<void*>(static_cast<const void*>(std::addressof(f)))),
        call_([](void* object, Args... args) -> R {
          return (*static_cast<std::remove_reference_t<F>*>(object))(std::forward<Args>(args)...);
        }) {}
  R operator()(Args... args) const { return call_(object_, std::forward<Args>(args)...); }

 private:
  void* object_;
  R (*call_)(void*, Args...);
};

/// Calls `body(begin, end)` on disjoint ranges that make up [0, n), each beginning at a multiple of
/// `grain`, at most `pieces_a_thread` a thread; returns when all are done. A range of one grain stays
/// in the caller. When bodies throw, the exception of the lowest of their ranges is rethrown here,
/// after the others have ended.
constexpr std::int64_t pieces_a_thread = 4;
void parallel_for(std::int64_t n, std::int64_t grain,
                  FunctionRef<void(std::int64_t begin, std::int64_t end)> body);

/// Threads that `parallel_for` uses, the caller among them: WEFT_NUM_THREADS where set, else the
/// processors that this process may use (affinity and cgroup quota).
int num_threads();
/// Throws Error when n < 1. Takes effect with the next `parallel_for`.
void set_num_threads(int n);
/// True inside a body.
bool in_parallel_region();

/// While it lives, its thread counts as one that works: others' teams leave it room. `parallel_for`
/// makes one for itself; what calls it many times over makes one around them all.
class Working {
 public:
  Working();
  ~Working();
  Working(const Working&) = delete;
  Working& operator=(const Working&) = delete;

 private:
  std::atomic<int>* counted_;  // null within another one's life
};

}  // namespace weft::runtime
