#include <doctest/doctest.h>

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "ir/error.h"
#include "runtime/thread_pool.h"

using namespace weft::runtime;

namespace {

#if defined(__SANITIZE_THREAD__)
constexpr bool can_fork = false;  // ThreadSanitizer refuses new threads in a forked child
#else
constexpr bool can_fork = true;
#endif

/// Sets the number of threads for one test.
struct Threads {
  explicit Threads(int n) : before(num_threads()) { set_num_threads(n); }
  ~Threads() { set_num_threads(before); }
  int before;
};

}  // namespace

TEST_CASE("parallel_for covers every index once, in ranges that begin at a grain") {
  for (const int threads : {1, 2, 3, 8}) {
    const Threads guard(threads);
    CHECK(num_threads() == threads);
    for (const std::int64_t n : {0, 1, 2, 7, 64, 65, 1000, 100003})
      for (const std::int64_t grain : {0, 1, 16, 1000}) {
        std::vector<std::atomic<int>> hits(static_cast<std::size_t>(n));
        std::atomic<bool> aligned{true};
        parallel_for(n, grain, [&](std::int64_t begin, std::int64_t end) {
          if (begin % std::max<std::int64_t>(grain, 1) != 0 || begin >= end) aligned = false;
          for (std::int64_t i = begin; i < end; ++i) ++hits[static_cast<std::size_t>(i)];
        });
        bool once = true;
        for (const auto& h : hits) once &= h == 1;
        CHECK(once);
        CHECK(aligned);
      }
  }
}

TEST_CASE("the split is the same each time") {
  const Threads guard(4);
  const auto split = [] {
    std::mutex mutex;
    std::set<std::pair<std::int64_t, std::int64_t>> ranges;
    parallel_for(1003, 10, [&](std::int64_t begin, std::int64_t end) {
      const std::lock_guard lock(mutex);
      ranges.emplace(begin, end);
    });
    return ranges;
  };
  const auto first = split();
  CHECK(first.size() == 4);
  for (int i = 0; i < 100; ++i) CHECK(split() == first);
}

TEST_CASE("nested calls run inline") {
  const Threads guard(4);
  std::atomic<int> total{0};
  CHECK_FALSE(in_parallel_region());
  parallel_for(100, 1, [&](std::int64_t begin, std::int64_t end) {
    CHECK(in_parallel_region());
    const auto me = std::this_thread::get_id();
    parallel_for(end - begin, 1, [&](std::int64_t b, std::int64_t e) {
      if (std::this_thread::get_id() == me) total += static_cast<int>(e - b);
    });
  });
  CHECK(total == 100);
  CHECK_FALSE(in_parallel_region());
}

TEST_CASE("exceptions reach the caller, the lowest range's first") {
  const Threads guard(4);
  for (int i = 0; i < 200; ++i) {
    try {
      parallel_for(4, 1, [](std::int64_t begin, std::int64_t) {
        if (begin > 0) throw std::runtime_error(std::to_string(begin));
      });
      FAIL("nothing was thrown");
    } catch (const std::runtime_error& e) { CHECK(std::string(e.what()) == "1"); }
  }
  std::atomic<int> after{0};
  parallel_for(4, 1, [&](std::int64_t b, std::int64_t e) { after += static_cast<int>(e - b); });
  CHECK(after == 4);
}

TEST_CASE("several callers at once") {
  const Threads guard(3);
  std::vector<std::thread> callers;
  std::atomic<std::int64_t> total{0};
  for (int t = 0; t < 4; ++t)
    callers.emplace_back([&] {
      for (int i = 0; i < 500; ++i)
        parallel_for(97, 4, [&](std::int64_t b, std::int64_t e) { total += e - b; });
    });
  for (std::thread& c : callers) c.join();
  CHECK(total == 4 * 500 * 97);
}

TEST_CASE("a forked child has a pool of its own" * doctest::skip(!can_fork)) {
  const Threads guard(3);
  std::atomic<int> total{0};
  parallel_for(30, 1, [&](std::int64_t b, std::int64_t e) { total += static_cast<int>(e - b); });
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    std::atomic<int> mine{0};
    parallel_for(30, 1, [&](std::int64_t b, std::int64_t e) { mine += static_cast<int>(e - b); });
    _exit(mine == 30 ? 0 : 1);
  }
  int status = -1;
  waitpid(child, &status, 0);
  CHECK(status == 0);
}

TEST_CASE("the number of threads must be positive") {
  CHECK_THROWS_AS(set_num_threads(0), weft::Error);
}
