// Results are the same bits for every number of threads, and for callers that work at once.
#include <doctest/doctest.h>

#include <atomic>
#include <cstring>
#include <thread>

#include "runtime/thread_pool.h"
#include "weft/nn.h"
#include "weft/weft.h"

using namespace weft;

namespace {

Array noise(Shape shape) {
  std::vector<float> values(static_cast<std::size_t>(element_count(shape)));
  std::uint32_t state = 1;
  for (float& v : values) {
    state = state * 1664525u + 1013904223u;
    v = static_cast<float>(state >> 8) * 0x1p-23f - 1;
  }
  return Array::from(values, std::move(shape));
}

bool same_bits(const std::vector<Array>& a, const std::vector<Array>& b) {
  for (std::size_t i = 0; i < a.size(); ++i)
    if (a[i].shape() != b[i].shape() || std::memcmp(a[i].bytes(), b[i].bytes(), a[i].nbytes()) != 0)
      return false;
  return a.size() == b.size();
}

struct Case {
  Function function;
  std::vector<Array> inputs;
};

/// Each large enough to be split, on odd extents, so that pieces have tails.
std::vector<Case> cases() {
  std::vector<Case> all;
  const Tensor x({1021, 517}, DType::float32), w({517, 259}, DType::float32);
  const Array a = noise({1021, 517}), b = noise({517, 259});
  const Tensor t = tanh(x) * x + 0.5;
  all.push_back({Function({x}, {sigmoid(t) * exp(t), t * t}), {a}});
  all.push_back({Function({x}, {softmax(x, 1), logsumexp(x, Axes{1})}), {a}});
  all.push_back({Function({x}, {sum(x, {{0}}), sum(x, {{1}}), sum(x), var(x)}), {a}});
  all.push_back({Function({x, w}, relu(matmul(x, w) + 0.1)), {a, b}});
  const std::vector<Tensor> gradients = grad(mean(square(relu(matmul(x, w)))), {x, w});
  all.push_back({Function({x, w}, gradients), {a, b}});
  // Small steps over the rows of a batch, which threads take their rows through at once.
  const Tensor rows({67, 96}, DType::float32), u({96, 96}, DType::float32);
  std::vector<Tensor> states{tanh(rows)};
  for (int t = 0; t < 6; ++t) states.push_back(tanh(matmul(states.back(), u) * 0.1 + rows));
  std::vector<Tensor> recurrent = grad(mean(square(states.back())), {rows, u});
  recurrent.push_back(concatenate(states, 0));
  all.push_back({Function({rows, u}, recurrent), {noise({67, 96}), noise({96, 96})}});
  all.push_back({Function({x}, {cumsum(x, 1), cumsum(x, 0)}), {a}});
  const Tensor image({5, 3, 61, 59}, DType::float32), kernel({7, 3, 3, 3}, DType::float32);
  const Tensor y = conv2d(image, kernel);
  std::vector<Tensor> results = grad(sum(square(y)), {image, kernel});
  results.push_back(y);
  all.push_back({Function({image, kernel}, results), {noise({5, 3, 61, 59}), noise({7, 3, 3, 3})}});
  return all;
}

struct Threads {
  explicit Threads(int n) : before(runtime::num_threads()) { runtime::set_num_threads(n); }
  ~Threads() { runtime::set_num_threads(before); }
  int before;
};

}  // namespace

TEST_CASE("1, 2, 3 and 8 threads give the same bits") {
  for (const Case& c : cases()) {
    std::vector<Array> alone;
    {
      const Threads guard(1);
      alone = c.function(c.inputs);
    }
    for (const int n : {2, 3, 8}) {
      const Threads guard(n);
      for (int i = 0; i < 3; ++i) CHECK(same_bits(c.function(c.inputs), alone));
    }
  }
}

TEST_CASE("Functions called from several threads at once give what they give alone") {
  const Threads guard(3);
  const std::vector<Case> all = cases();
  std::vector<std::vector<Array>> expected;
  for (const Case& c : all) expected.push_back(c.function(c.inputs));
  std::atomic<int> wrong{0};
  std::vector<std::thread> callers;
  for (std::size_t caller = 0; caller < 4; ++caller)
    callers.emplace_back([&, caller] {
      for (std::size_t i = 0; i < 2 * all.size(); ++i) {
        const std::size_t at = (caller + i) % all.size();
        if (!same_bits(all[at].function(all[at].inputs), expected[at])) ++wrong;
      }
    });
  for (std::thread& c : callers) c.join();
  CHECK(wrong == 0);
}
