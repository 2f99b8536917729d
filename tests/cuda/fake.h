// The device of these tests, and the stand-in driver that this process opened for it.
#pragma once

#include <dlfcn.h>

#include <cstdlib>
#include <functional>
#include <stdexcept>
#include <string_view>
#include <type_traits>

#include "runtime/device.h"
#include "tests/fake_cuda/control.h"

namespace weft {

inline Device gpu() { return Device::cuda(0); }

struct FakeCuda {
  decltype(&fake_cuda_counts) counts;
  decltype(&fake_cuda_alive) alive;
  decltype(&fake_cuda_fail) fail;
  decltype(&fake_cuda_fail_kernel) fail_kernel;
  decltype(&fake_cuda_meanwhile) meanwhile;
  decltype(&fake_cuda_lose) lose;
  decltype(&fake_cuda_memory) memory;
};

/// What happened in between; `used` as it is now.
inline FakeCudaCounts operator-(FakeCudaCounts now, const FakeCudaCounts& before) {
  for (const auto count :
       {&FakeCudaCounts::allocations, &FakeCudaCounts::uploads, &FakeCudaCounts::downloads,
        &FakeCudaCounts::copies, &FakeCudaCounts::launches, &FakeCudaCounts::graph_launches,
        &FakeCudaCounts::captures, &FakeCudaCounts::loads, &FakeCudaCounts::nodes,
        &FakeCudaCounts::waits, &FakeCudaCounts::synchronizations, &FakeCudaCounts::calls,
        &FakeCudaCounts::downloaded, &FakeCudaCounts::loaded, &FakeCudaCounts::stored})
    now.*count -= before.*count;
  return now;
}

/// False where the tests run on a real device, which counts nothing and fails when it wants to: a
/// test that cannot do without is in the test suite "stand-in".
inline bool stand_in() {
  const char* const device = std::getenv("WEFT_TEST_DEVICE");
  return !device || std::string_view(device) != "real";
}

/// Of a real device all counts are 0.
inline FakeCuda uncounted() {
  constexpr const char* why = "a real device fails when it wants to";
  return {[] { return FakeCudaCounts{}; },
          [] { return FakeCudaAlive{}; },
          [](const char*, int, int) { throw std::logic_error(why); },
          [](int) { throw std::logic_error(why); },
          [](const char*, int, const std::function<void()>&) { throw std::logic_error(why); },
          [](int) { throw std::logic_error(why); },
          [](std::size_t) { throw std::logic_error(why); }};
}

inline const FakeCuda& fake_cuda() {
  static const FakeCuda found = [] {
    if (!stand_in()) return uncounted();
    void* const library = dlopen(FAKE_CUDA_DRIVER, RTLD_NOW | RTLD_LOCAL);
    const auto get = [&](auto& function, const char* name) {
      function =
          reinterpret_cast<std::remove_reference_t<decltype(function)>>(dlsym(library, name));
    };
    FakeCuda fake{};
    get(fake.counts, "fake_cuda_counts");
    get(fake.alive, "fake_cuda_alive");
    get(fake.fail, "fake_cuda_fail");
    get(fake.fail_kernel, "fake_cuda_fail_kernel");
    get(fake.meanwhile, "fake_cuda_meanwhile");
    get(fake.lose, "fake_cuda_lose");
    get(fake.memory, "fake_cuda_memory");
    return fake;
  }();
  return found;
}

}  // namespace weft
