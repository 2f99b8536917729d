// The one pool of threads that everything in a process shares. `parallel_for` splits a range over
// the workers and the caller; starting and joining warm workers costs a microsecond or two, since
// they spin briefly before they sleep. The split depends on the range, the grain and the number of
// threads alone. A call made inside a body, or while another thread's call is in flight, runs in
// its caller: nothing ever waits for a lock held across a body. Workers start when first needed;
// after a fork() the child starts its own.
#pragma once

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
/// `grain`, at most one a thread; returns when all are done. A range of one grain stays in the
/// caller. When bodies throw, the exception of the lowest range is rethrown here, after the others
/// have ended.
void parallel_for(std::int64_t n, std::int64_t grain,
                  FunctionRef<void(std::int64_t begin, std::int64_t end)> body);

/// Threads that `parallel_for` uses, the caller among them: WEFT_NUM_THREADS where set, else the
/// processors that this process may use (affinity and cgroup quota).
int num_threads();
/// Throws Error when n < 1. Takes effect with the next `parallel_for`.
void set_num_threads(int n);
/// True inside a body.
bool in_parallel_region();

}  // namespace weft::runtime
