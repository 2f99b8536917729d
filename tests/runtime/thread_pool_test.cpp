#include <doctest/doctest.h>

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "ir/error.h"
#include "runtime/processors.h"
#include "runtime/thread_pool.h"
#include "tests/folder.h"

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
  CHECK(first.size() == 16);
  for (int i = 0; i < 100; ++i) CHECK(split() == first);
}

TEST_CASE("halves are halves, however finely they are cut") {
  const Threads guard(2);
  for (const std::int64_t n : {9, 64, 1003, 4099}) {
    std::mutex mutex;
    std::set<std::int64_t> begins;
    parallel_for(n, 1, [&](std::int64_t begin, std::int64_t) {
      const std::lock_guard lock(mutex);
      begins.insert(begin);
    });
    CHECK(begins.contains(n / 2));
  }
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

TEST_CASE("several callers at once, each with work of its own size") {
  const Threads guard(3);
  std::vector<std::thread> callers;
  std::atomic<int> wrong{0};
  for (int t = 0; t < 4; ++t)
    callers.emplace_back([&wrong, n = std::int64_t{5} + 60 * t] {
      for (int i = 0; i < 500; ++i) {
        std::vector<std::atomic<int>> seen(static_cast<std::size_t>(n));
        parallel_for(n, 1, [&](std::int64_t begin, std::int64_t end) {
          if (begin < 0 || end > n) ++wrong;
          for (std::int64_t at = std::max<std::int64_t>(begin, 0); at < std::min(end, n); ++at) {
            ++seen[static_cast<std::size_t>(at)];
            if (at % 7 == i % 7) std::this_thread::yield();  // members end at different times
          }
        });
        for (const std::atomic<int>& times : seen) wrong += times != 1;
      }
    });
  for (std::thread& c : callers) c.join();
  CHECK(wrong == 0);
}

TEST_CASE("a slow member's pieces are taken by the others") {
  const Threads guard(2);
  std::atomic<int> held{0}, done{0};
  parallel_for(8, 1, [&](std::int64_t, std::int64_t) {
    // The first to come waits for all the others, who must come to the other thread.
    if (held++ == 0)
      while (done != 7) std::this_thread::yield();
    ++done;
  });
  CHECK(done == 8);
}

TEST_CASE("callers that work at once share the threads") {
  const Threads guard(2);
  const auto members = [] {
    std::mutex mutex;
    std::set<std::thread::id> ids;
    for (int i = 0; i < 200; ++i)
      parallel_for(8, 1, [&](std::int64_t, std::int64_t) {
        const std::lock_guard lock(mutex);
        ids.insert(std::this_thread::get_id());
      });
    return ids.size();
  };
  std::atomic<bool> counted{false}, over{false};
  std::thread other([&] {
    const Working here;
    counted = true;
    while (!over) std::this_thread::yield();
  });
  while (!counted) std::this_thread::yield();
  CHECK(members() == 1);
  {
    const Working once, twice;  // of one thread count once
    CHECK(members() == 1);
  }
  over = true;
  other.join();
}

TEST_CASE("processors: what quotas of this process's groups and of those around them leave") {
  namespace fs = std::filesystem;
  const weft::Folder folder;
  const fs::path root(folder.path());
  const auto write = [&](const std::string& path, const std::string& text) {
    fs::create_directories((root / path).parent_path());
    std::ofstream(root / path) << text;
  };
  const int all = usable_processors(root.string());
  CHECK(all >= 1);
  CHECK(all <= static_cast<int>(std::thread::hardware_concurrency()));

  write("proc/self/cgroup", "0::/outer/inner\n");
  write("sys/fs/cgroup/outer/inner/cpu.max", "max 100000\n");
  CHECK(usable_processors(root.string()) == all);
  write("sys/fs/cgroup/outer/cpu.max", "50000 100000\n");  // half a processor, one around it
  CHECK(usable_processors(root.string()) == 1);
  write("sys/fs/cgroup/outer/cpu.max", "100000000 100000\n");
  CHECK(usable_processors(root.string()) == all);

  write("proc/self/cgroup", "5:memory:/m\n4:cpu,cpuacct:/box\n");
  write("sys/fs/cgroup/cpu,cpuacct/box/cpu.cfs_quota_us", "-1\n");
  write("sys/fs/cgroup/cpu,cpuacct/box/cpu.cfs_period_us", "100000\n");
  CHECK(usable_processors(root.string()) == all);
  write("sys/fs/cgroup/cpu,cpuacct/box/cpu.cfs_quota_us", "100000\n");
  CHECK(usable_processors(root.string()) == 1);
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
