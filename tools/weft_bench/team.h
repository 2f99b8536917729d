// A few threads that run one body together, for the limits and the peers that bring no threads of their own. Idle
// ones spin for a moment, then sleep, so that they do not disturb what is measured next.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <thread>
#include <vector>

namespace weft::bench {

class Team {
 public:
  explicit Team(int threads) : size_(threads) {
    for (int i = 1; i < threads; ++i) workers_.emplace_back([this, i] { work(i); });
  }
  ~Team() {
    stop_ = true;
    start();
    for (std::thread& w : workers_) w.join();
  }
  Team(const Team&) = delete;
  Team& operator=(const Team&) = delete;

  [[nodiscard]] int size() const { return size_; }

  /// body(i) on thread i of all; returns when all are done.
  void run(const std::function<void(int)>& body) {
    if (size_ == 1) return body(0);
    body_ = &body;
    running_ = size_ - 1;
    start();
    body(0);
    while (running_.load(std::memory_order_acquire) != 0) pause();
  }

  /// body(begin, end) on parts of [0, n) that begin at multiples of `grain`.
  template <class F> void split(std::int64_t n, std::int64_t grain, F&& body) {
    const std::int64_t pieces = (n + grain - 1) / grain;
    run([&](int i) {
      const std::int64_t begin = pieces * i / size_ * grain;
      const std::int64_t end = std::min(n, pieces * (i + 1) / size_ * grain);
      if (begin < end) body(begin, end);
    });
  }

 private:
  static void pause() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
  }
  void start() {
    generation_.fetch_add(1, std::memory_order_release);
    generation_.notify_all();
  }
  void work(int index) {
    std::uint32_t seen = 0;
    while (true) {
      for (int spin = 0; spin < 4000 && generation_.load(std::memory_order_acquire) == seen; ++spin)
        pause();
      generation_.wait(seen, std::memory_order_acquire);
      seen = generation_.load(std::memory_order_acquire);
      if (stop_) return;
      (*body_)(index);
      running_.fetch_sub(1, std::memory_order_release);
    }
  }

  int size_;
  std::atomic<bool> stop_ = false;
  std::atomic<std::uint32_t> generation_ = 0;
  std::atomic<int> running_ = 0;
  const std::function<void(int)>* body_ = nullptr;
  std::vector<std::thread> workers_;
};

}  // namespace weft::bench
