// Every call of the driver's that some work makes fails, one after another: each time an error is
// thrown and all values are as they were, or the work is done; the next attempt succeeds, and nothing
// stays behind.
#include <doctest/doctest.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "fake.h"
#include "runtime/cuda_device.h"
#include "runtime/reactive.h"
#include "same_bits.h"
#include "weft/weft.h"

using namespace weft;

namespace {

using Values = std::vector<Array>;

bool same(const Values& a, const Values& b) {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i)
    if (!same_bits(a[i], b[i])) return false;
  return true;
}

/// Work, and the values that it may change.
struct Situation {
  std::function<void()> work;
  std::function<Values()> values;

  /// As they are now.
  [[nodiscard]] Values seen() const {
    Values copies = values();
    for (Array& value : copies) value = value.to(Device::cpu());
    return copies;
  }
};

/// What is alive, apart from what is kept for reuse.
struct Alive {
  std::int64_t objects;
  std::size_t used;
  long modules, recordings;

  friend bool operator==(const Alive&, const Alive&) = default;
  friend std::ostream& operator<<(std::ostream& out, const Alive& a) {
    return out << a.objects << " objects, " << a.used << " bytes, " << a.modules << " modules, "
               << a.recordings << " recordings";
  }
};

Alive alive() {
  runtime::trim_cells();
  for (const int device : {0, 1}) runtime::CudaDevice::get(Device::cuda(device)).trim();
  const FakeCudaAlive now = fake_cuda().alive();
  return {live_objects(), fake_cuda().counts().used, now.modules, now.graphs};
}

/// The situation is made anew for every call that fails.
void fail_each_call(const std::string& what, const std::function<Situation()>& make) {
  CAPTURE(what);
  Values before, after;
  {
    const Situation s = make();
    before = s.seen();
    s.work();
    after = s.seen();
  }
  const Alive kept = alive();
  for (const int error : {2, 999}) {  // out of memory; one that has no name
    CAPTURE(error);
    bool all = false;
    int failures = 0;
    for (int n = 1; !all; ++n) {
      CAPTURE(n);
      const Situation s = make();
      REQUIRE(same(s.seen(), before));
      gpu().synchronize();
      const long start = fake_cuda().counts().calls;
      fake_cuda().fail("", n, error);
      std::string thrown;
      try {
        s.work();
      } catch (const Error& e) { thrown = e.what(); }
      all = fake_cuda().counts().calls - start < n;
      fake_cuda().fail("", 1, 0);
      (void)Device::cuda_count(),
          runtime::CudaDevice::get(gpu()).enter();  // no call fails any more
      CAPTURE(thrown);
      CHECK(same(s.seen(), thrown.empty() ? after : before));
      if (thrown.empty()) continue;
      ++failures;
      s.work();
      CHECK(same(s.seen(), after));
    }
    CHECK(failures > 0);
  }
  CHECK(alive() == kept);
}

/// Two variables of a device, and two tensors that depend on them.
struct Held {
  Tensor a = Variable(arange(0, 6, 1, DType::float32).to(gpu()), "a");
  Tensor b = Variable(ones({6}).to(gpu()), "b");
  Tensor y = exp(a * 0.1) + b, z = sum(y * y);
};

std::function<Situation()> updating(const std::function<void(Held&)>& change) {
  return [=] {
    const auto held = std::make_shared<Held>();
    const auto values = [=] {
      return Values{held->a.value(), held->b.value(), held->y.value(), held->z.value()};
    };
    (void)values();
    return Situation{[=] { change(*held); }, values};
  };
}

std::function<Situation()> moving(const Array& from, Device to, DType dtype) {
  return [=] {
    const auto moved = std::make_shared<Array>();
    return Situation{[=] { *moved = from.to(to).to(dtype); }, [=] { return Values{*moved, from}; }};
  };
}

/// A function with updates.
struct Step {
  Tensor w = Variable(arange(0, 12, 1, DType::float32).reshape({3, 4}).to(gpu()), "w");
  Tensor v = Variable(ones({3, 3}).to(gpu()), "v");
  Tensor x{{3, 4}, DType::float32, "x"}, y = softmax(w * x, 1);
  std::vector<std::pair<Tensor, Tensor>> updates{{w, w + y}, {v, v + matmul(y, w.t())}};
  Function step{{x}, {sum(y * y), y}, {.updates = updates, .device = gpu()}};
  Array input = ones({3, 4}).to(gpu());
  Values outputs;
};

/// Called so often before.
std::function<Situation()> stepping(int calls) {
  return [=] {
    const auto all = std::make_shared<Step>();
    for (int i = 0; i < calls; ++i) (void)all->step(all->input);
    return Situation{[=] { all->outputs = all->step(all->input); },
                     [=] {
                       Values values = all->outputs;
                       for (const Tensor& t : {all->w, all->v}) values.push_back(t.value());
                       return values;
                     }};
  };
}

std::function<Situation()> calling(const std::function<Tensor(const Tensor&)>& make, int calls) {
  struct All {
    Tensor x{{4, 4}, DType::float32, "x"};
    Array input;
    std::optional<Function> f;
    Values outputs;
  };
  return [=] {
    const auto all = std::make_shared<All>();
    manual_seed(4);
    all->input = randn({4, 4}).to(gpu());
    all->f.emplace({all->x}, std::vector<Tensor>{make(all->x), exp(all->x)},
                   FunctionOptions{.device = gpu()});
    for (int i = 0; i < calls; ++i) (void)(*all->f)(all->input);
    const auto work = [=] {
      manual_seed(5);
      all->outputs = (*all->f)(all->input);
    };
    return Situation{work, [=] { return all->outputs; }};
  };
}

}  // namespace

TEST_CASE("CUDA: whichever call fails, an update is done or leaves all as it was" *
          doctest::test_suite("stand-in")) {
  const Array part = full({2}, 7.f), whole = full({6}, 2.f);
  fail_each_call("all", updating([=](Held& h) { h.a.set_value(whole.to(gpu())); }));
  fail_each_call("a part", updating([=](Held& h) { h.a.set_value({Slice(1, 3)}, part); }));
  fail_each_call("two at once", updating([=](Held& h) {
                   Transaction t;
                   h.a.set_value(whole.to(gpu()));
                   h.b.set_value({Slice(1, 3)}, part);
                   t.commit();
                 }));
}

TEST_CASE("CUDA: whichever call fails, values on their way arrive or stay" *
          doctest::test_suite("stand-in")) {
  const std::vector<std::int64_t> turn{1, 0};
  const Array large = arange(0, 1'100'000, 1, DType::float32);  // two pieces
  const Array table = large.reshape({1100, 1000});
  const Array view = runtime::transpose_view(runtime::slice_view(table, 0, 3, 40, 7), turn);
  for (const int number : {0, 1}) {  // one has memory in the order of its streams
    CAPTURE(number);
    const Device there = Device::cuda(number), other = Device::cuda(1 - number);
    fail_each_call("up", moving(large, there, DType::float32));
    fail_each_call("down", moving(large.to(there), Device::cpu(), DType::float32));
    fail_each_call("across", moving(large.to(there), other, DType::float32));
    fail_each_call("a view, up", moving(view, there, DType::float64));
    const Array turned = runtime::transpose_view(view.to(there), turn);
    fail_each_call("a view, across", moving(turned, other, DType::int64));
    fail_each_call("a view, down", moving(turned, Device::cpu(), DType::float32));
  }
}

TEST_CASE("CUDA: whichever call fails, a step with updates is done or leaves all as it was" *
          doctest::test_suite("stand-in")) {
  for (int calls = 0; calls < 5; ++calls)  // compiled, launched, recorded, replayed
    fail_each_call("after " + std::to_string(calls), stepping(calls));
}

TEST_CASE("CUDA: whichever call fails, the next call of a function is right" *
          doctest::test_suite("stand-in")) {
  for (const int calls : {0, 1, 3}) {
    const auto check = [&](const char* what, const std::function<Tensor(const Tensor&)>& make) {
      fail_each_call(what + (" after " + std::to_string(calls)), calling(make, calls));
    };
    check("on the processor", [](const Tensor& x) { return real(eigvals(x * 2.0)); });
    check("drawn", [](const Tensor& x) { return dropout(x, 0.5) + rand_like(x); });
    check("selected", [](const Tensor& x) { return masked_select(x, x > 0.0) * 3.0; });
    check("looked up", [](const Tensor& x) { return sort(x[Array{0, 2}], 1).values; });
  }
}
