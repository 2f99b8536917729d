// What a call in steady state asks of the system: nothing but its results, and no fresh pages.
#include <doctest/doctest.h>

#include <sys/resource.h>

#include <cstdlib>
#include <new>
#include <thread>
#include <utility>
#include <vector>

#include "weft/optim.h"
#include "weft/weft.h"

using namespace weft;

namespace {

thread_local std::int64_t allocations = 0;
thread_local std::int64_t failing_in = 0;  // the allocation that fails; 0: none does

void* counted(std::size_t bytes) {
  ++allocations;
  if (failing_in > 0 && --failing_in == 0) throw std::bad_alloc();
  if (void* memory = std::malloc(bytes ? bytes : 1)) return memory;
  throw std::bad_alloc();
}

void* tried(std::size_t bytes) noexcept {
  try {
    return counted(bytes);
  } catch (const std::bad_alloc&) { return nullptr; }
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool pooled = false;  // the sanitizers see every block come and go
#else
constexpr bool pooled = true;
#endif

std::int64_t page_faults() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_minflt;
}

struct Spent {
  std::int64_t allocations, faults;
};

/// Of `times` calls, after some that warm up.
template <class F> Spent spent(int times, F&& call) {
  for (int i = 0; i < 20; ++i) call();
  const Spent before{allocations, page_faults()};
  for (int i = 0; i < times; ++i) call();
  return {allocations - before.allocations, page_faults() - before.faults};
}

}  // namespace

void* operator new(std::size_t bytes) { return counted(bytes); }
void* operator new[](std::size_t bytes) { return counted(bytes); }
// A sanitizer has its own for what asks in this way.
void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept { return tried(bytes); }
void* operator new[](std::size_t bytes, const std::nothrow_t&) noexcept { return tried(bytes); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }

TEST_CASE("A call of a formula allocates nothing, its results apart" * doctest::skip(!pooled)) {
  const Tensor a({2, 3, 4}, DType::float32), b({3, 4}, DType::float32);
  const Function f({a, b}, {a + 0.2 + b * 0.3, a * b});
  const Array x = Array::from(std::vector<float>(24, 1.5f), {2, 3, 4});
  const Array y = Array::from(std::vector<float>(12, 2.5f), {3, 4});
  const std::vector<Array> given{x, y};
  std::vector<Array> out = f(given);

  const Spent into = spent(100, [&] { f.call_into(out, given); });
  CHECK(into.allocations == 0);
  CHECK(into.faults < 5);  // the test's own
  const Spent fresh = spent(100, [&] { (void)f(x, y); });
  CHECK(fresh.allocations == 100);  // the list of results; these share their layout
  CHECK(fresh.faults < 5);
  CHECK(out[0].data<float>()[23] == doctest::Approx(2.45));
}

TEST_CASE("Large results and temporaries come from memory that is there" * doctest::skip(!pooled)) {
  const Tensor x({512, 1024}, DType::float32);
  const Function f({x}, {softmax(matmul(x, transpose(x, 0, 1)), 1), sum(exp(x), {{0}})});
  const Array value = Array::from(std::vector<float>(512 * 1024, 0.01f), {512, 1024});
  CHECK(spent(20, [&] { (void)f(value); }).faults < 20);
}

TEST_CASE("A training step allocates as often as the last, and touches no fresh page" *
          doctest::skip(!pooled)) {
  const Tensor x({128, 256}, DType::float32), t({128, 10}, DType::float32);
  const Variable w1(Array::from(std::vector<float>(256 * 512, 0.01f), {256, 512}));
  const Variable w2(Array::from(std::vector<float>(512 * 10, 0.02f), {512, 10}));
  const Tensor loss = mean(square(matmul(relu(matmul(x, w1)), w2) - t));
  const std::vector<Tensor> g = grad(loss, {w1, w2});
  const Function step({x, t}, {loss},
                      {.updates = {{w1, w1 - 0.01 * g[0]}, {w2, w2 - 0.01 * g[1]}}});
  const Array in = Array::from(std::vector<float>(128 * 256, 0.5f), {128, 256});
  const Array to = Array::from(std::vector<float>(128 * 10, 1.0f), {128, 10});
  const float first = step(in, to)[0].item<float>();
  const Spent ten = spent(10, [&] { (void)step(in, to); });
  CHECK(ten.faults < 10);
  CHECK(ten.allocations <= 10 * 20);  // lists of a turn on the variables, none of a value
  CHECK(step(in, to)[0].item<float>() < first);
}

TEST_CASE("An update is all or nothing wherever memory ends" * doctest::skip(!pooled)) {
  using Floats = std::vector<float>;
  int failures = 0;
  for (std::int64_t n = 1, left = 0; left == 0; ++n) {
    CAPTURE(n);
    Variable a(Array{1.f, 2.f});
    const Tensor y = a * 2.0 + 1.0;
    CHECK(y.value().tolist<float>() == Floats{3, 5});
    const Array next{5.f, 6.f};
    bool thrown = false;
    failing_in = n;
    try {
      a.set_value(next);
    } catch (const std::bad_alloc&) { thrown = true; } catch (const OutOfMemory&) {
      thrown = true;
    }
    left = std::exchange(failing_in, 0);
    failures += thrown;
    CHECK(a.value().tolist<float>() == (thrown ? Floats{1, 2} : Floats{5, 6}));
    CHECK(y.value().tolist<float>() == (thrown ? Floats{3, 5} : Floats{11, 13}));
  }
  CHECK(failures > 0);
}
