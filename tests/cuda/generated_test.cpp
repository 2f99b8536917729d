// Cases derived from the catalogue, on a device: the interpreter's bits, fused, with extents known
// and unknown; values and gradients. The ordinary run has a fixed sample: where the device is the
// stand-in, every kernel is compiled by the host's C++ compiler. WEFT_TEST_FULL has all of them,
// and compiles every text for the architectures that we promise.
#include <doctest/doctest.h>

#include <stdlib.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <thread>

#include "codegen/cuda/nvrtc.h"
#include "fake.h"
#include "ir/ops/attention.h"
#include "passes/autodiff.h"
#include "tests/frontend/generated.h"

using namespace weft;
using namespace weft::generated;

namespace {

/// A step of its own on devices, or made of one: tests/cuda/attention_test.cpp.
bool rounds_differently(const ir::Op& op) {
  const auto* expansion = std::get_if<ir::Expansion>(&op.meaning);
  return (expansion && expansion->on_device) || &op == &ir::ops::grouped_query_attention;
}

constexpr std::size_t parts = 4;  // of the rows: test cases of their own, which may run side by side

/// All cases of a part's rows, or three of each: in dtypes and layouts that go round from row to
/// row, and in float32, which has gradients.
std::vector<Case> chosen(std::size_t part, std::size_t& all) {
  std::vector<Case> cases;
  std::mt19937 rng(7);
  std::size_t number = 0;
  for (const ir::Op* op : ir::all_ops()) {
    if (!has_samples(*op) || rounds_differently(*op)) continue;
    if (number % parts != part) {
      ++number;
      continue;
    }
    const std::vector<DType> dtypes = dtypes_of(*op);
    const std::size_t samples = op->samples.make().size();
    for (std::size_t s = 0; s < samples; ++s)
      for (const DType t : dtypes)
        for (const Layout layout : layouts) {
          ++all;
          const auto turn = [&](std::size_t by, std::size_t count) {
            return (number + by) % count;
          };
          const bool some =
              (s == 0 && (t == dtypes[turn(0, dtypes.size())] || t == DType::float32) &&
               layout == layouts[turn(0, std::size(layouts))]) ||
              (s == turn(1, samples) && t == dtypes[turn(3, dtypes.size())] &&
               layout == layouts[turn(4, std::size(layouts))]);
          if (!full_run() && !some) continue;
          for (Case& c : make_cases(*op, s, t, layout, rng)) cases.push_back(std::move(c));
        }
    ++number;
  }
  return cases;
}

/// The gradients of float32 cases along their floating operands, weighted at random.
std::vector<Case> gradients(const std::vector<Case>& of, std::size_t& all) {
  std::vector<Case> cases;
  std::mt19937 rng(8);
  std::uniform_real_distribution<double> uniform(-1, 1);
  for (const Case& c : of) {
    std::vector<ir::NodeRef> xs;
    for (std::size_t i = 0; i < c.inputs.size(); ++i)
      if (c.values[i].dtype == DType::float32 && !c.op->takes_type_only(i))
        xs.push_back(c.inputs[i]);
    const ir::Type& type = c.node->type();
    if (xs.empty() || type.dtype != DType::float32 || ++all % (full_run() ? 1 : 2) != 0) continue;
    const ir::NodeRef cotangent = ir::make_input({type.dtype, type.shape});
    Case g = c;
    g.inputs.push_back(cotangent);
    const Shape shape = *to_shape(*type.shape);
    std::vector<double> weights(static_cast<std::size_t>(element_count(shape)));
    for (double& w : weights) w = uniform(rng);
    g.arrays.push_back(Array::from(weights, shape).to(DType::float32));
    const std::vector<ir::NodeRef> ys{c.node}, cotangents{cotangent};
    try {
      for (const ir::NodeRef& dx : passes::gradient(ys, xs, cotangents)) {
        g.node = dx;
        g.name = c.name + ", gradient";
        cases.push_back(g);
      }
    } catch (const UnsupportedOp&) {}  // the generated tests of gradients say of which
  }
  return cases;
}

void compare(std::vector<Case> cases, Options options) {
  std::vector<Outcome> want = run_all(cases, options);
  // What the processor cannot do (such as linear algebra without LAPACK) is told elsewhere.
  std::size_t kept = 0;
  for (std::size_t i = 0; i < cases.size(); ++i) {
    if (!want[i].value) continue;
    if (kept != i) cases[kept] = std::move(cases[i]), want[kept] = std::move(want[i]);
    ++kept;
  }
  cases.erase(cases.begin() + static_cast<std::ptrdiff_t>(kept), cases.end());
  REQUIRE(!cases.empty());
  options.device = Device::cuda(0);
  const std::vector<Outcome> got = run_all(cases, options);
  std::map<std::string_view, int> failed;
  for (std::size_t i = 0; i < cases.size(); ++i) {
    const std::string what =
        !got[i].value ? "threw " + got[i].error : bit_difference(*got[i].value, *want[i].value);
    if (what.empty()) continue;
    CAPTURE(cases[i].name);
    if (++failed[cases[i].op->name] <= 2) FAIL_CHECK(cases[i].name << ": " << what);
  }
  CHECK(failed.empty());
}

/// Every text that the stand-in for NVRTC was given while this lives, for the real one.
class Texts {
 public:
  Texts() {
    if (mkdtemp(folder_.data())) setenv("FAKE_NVRTC_TEXTS", folder_.c_str(), 1);
  }
  ~Texts() {
    unsetenv("FAKE_NVRTC_TEXTS");
    std::filesystem::remove_all(folder_);
  }
  Texts(const Texts&) = delete;
  Texts& operator=(const Texts&) = delete;

  void compile() const {
    std::string why;
    const codegen::Nvrtc* const nvrtc = codegen::Nvrtc::find_installed(&why);
    if (!nvrtc) {
      MESSAGE("not compiled for devices: " << why);
      return;
    }
    std::vector<std::string> texts;
    for (const auto& entry : std::filesystem::directory_iterator(folder_)) {
      std::ifstream file(entry.path(), std::ios::binary);
      texts.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
    }
    std::atomic<std::size_t> next = 0;
    std::vector<std::string> problems(texts.size());
    std::vector<std::jthread> threads;
    for (unsigned t = 0; t < std::max(1u, std::thread::hardware_concurrency()); ++t)
      threads.emplace_back([&] {
        for (std::size_t i; (i = next++) < texts.size();)
          for (const char* arch : {"sm_75", "sm_80", "sm_90", "sm_100"}) try {
              if (nvrtc->supports(arch)) (void)nvrtc->compile_to_cubin(texts[i], arch);
            } catch (const DeviceError& e) { problems[i] += e.what(); }
      });
    threads.clear();
    for (const std::string& problem : problems) CHECK_MESSAGE(problem.empty(), problem);
    const std::size_t count = texts.size();
    CHECK(count > 0);
    MESSAGE(count << " programs compiled by NVRTC " << nvrtc->version());
  }

 private:
  std::string folder_ = (std::filesystem::temp_directory_path() / "weft_texts_XXXXXX").string();
};

void check(std::size_t part) {
  std::optional<Texts> texts;
  if (stand_in() && full_run()) texts.emplace();
  std::size_t all = 0, all_gradients = 0;
  std::vector<Case> cases = chosen(part, all);
  if (cases.empty()) return;  // where few rows are wanted
  const std::vector<Case> slopes = gradients(cases, all_gradients);
  MESSAGE(cases.size() << " values and " << slopes.size() << " gradients; "
                       << all - std::min(all, cases.size()) << " values skipped");
  cases.insert(cases.end(), slopes.begin(), slopes.end());
  compare(cases, {});
  if (full_run()) compare(cases, {.symbolic = true});
  if (texts) texts->compile();
}

}  // namespace

TEST_CASE("CUDA: generated cases have the interpreter's bits, part 1") { check(0); }
TEST_CASE("CUDA: generated cases have the interpreter's bits, part 2") { check(1); }
TEST_CASE("CUDA: generated cases have the interpreter's bits, part 3") { check(2); }
TEST_CASE("CUDA: generated cases have the interpreter's bits, part 4") { check(3); }
