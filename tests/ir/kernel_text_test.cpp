#include <doctest/doctest.h>

#include <functional>
#include <random>

#include "ir/error.h"
#include "ir/kernel.h"

using namespace weft;
using namespace weft::ir;

namespace {

ScalarProgram program(int inputs, auto body, DType t = DType::float32) {
  ScalarBuilder b;
  std::vector<ScalarValue> in;
  for (int i = 0; i < inputs; ++i) in.push_back(b.input(i, t));
  const std::vector<ScalarValue> out = body(b, in);
  return b.finish(out);
}

using Values = std::vector<ScalarValue>;

/// x - sum(x) over rows of (s0, s1), with the sum kept.
Kernel row_kernel() {
  Kernel k;
  k.symbols = 2;
  k.axes = {dim("s0"), dim("s1")};
  k.has_row = true;
  k.buffers = {{DType::float32, false}, {DType::float32, true}, {DType::float32, true}};
  k.accesses = {{0, 5, {dim("s1") * 2, 2}}, {1, 0, {dim("s1"), 1}}, {2, 0, {1, 0}}};
  k.point_temps = {DType::float32};
  k.row_temps = {DType::float32};
  Stage sum;
  sum.over_row = true;
  sum.body = program(1, [](auto&, const Values& x) { return Values{x[0] * 2.0, x[0]}; });
  sum.sources = {{Source::Kind::load, 0}};
  sum.sinks = {{Sink::Kind::row_temp, 0, 0}};
  KernelReduction r;
  r.identity = {0x80000000};
  r.combine = program(2, [](auto&, const Values& x) { return Values{x[0] + x[1]}; });
  r.outputs = {1};
  r.temps = {0};
  sum.reductions = {r};
  Stage keep;
  keep.body = program(1, [](auto&, const Values& x) { return Values{x[0]}; });
  keep.sources = {{Source::Kind::point_temp, 0}};
  keep.sinks = {{Sink::Kind::store, 0, 2}};
  Stage finish;
  finish.over_row = true;
  finish.body = program(2, [](auto& b, const Values& x) {
    return Values{x[0] - x[1] + b.convert(b.index(1), DType::int64, DType::float32)};
  });
  finish.sources = {{Source::Kind::row_temp, 0}, {Source::Kind::point_temp, 0}};
  finish.sinks = {{Sink::Kind::store, 0, 1}};
  k.stages = {sum, keep, finish};
  return k;
}

/// relu(a @ b) of float16 with float32 accumulation, one batch axis.
Kernel contraction_kernel() {
  Kernel k;
  k.axes = {3, 64, 32};
  k.buffers = {{DType::float16, false},
               {DType::float16, false},
               {DType::float32, true},
               {DType::float32, true}};
  k.accesses = {{2, 0, {2048, 32, 1}}, {3, 0, {2048, 32, 1}}};
  Contraction c;
  c.a = 0, c.b = 1, c.out = 2;
  c.a_offset = 7;
  c.a_batch = {0};
  c.b_batch = {512};
  c.a_m = 16, c.a_k = 1, c.b_k = 32, c.b_n = 1, c.k = 16;
  k.contraction = c;
  Stage s;
  s.body = program(1, [](auto& b, const Values& x) {
    return Values{maximum(x[0], b.constant(DType::float32, 0))};
  });
  s.sources = {{Source::Kind::load, 0}};
  s.sinks = {{Sink::Kind::store, 0, 1}};
  k.stages = {s};
  return k;
}

/// The same where b is the windows of an image: k and n are of two axes each.
Kernel gathering_kernel() {
  Kernel k = contraction_kernel();
  k.contraction->b_k = 0, k.contraction->b_n = 0, k.contraction->a_k = 0;
  k.contraction->gather = Contraction::Gather{{4, 4}, {4, 1}, {11, 1}, {4, 8}, {11, 1}};
  return k;
}

Kernel pointwise_kernel(DType t = DType::float32) {
  Kernel k;
  k.axes = {10};
  k.buffers = {{t, false}, {t, true}};
  k.accesses = {{0, 0, {1}}, {1, 0, {1}}};
  Stage s;
  s.body = program(
      1, [](auto&, const Values& x) { return Values{x[0]}; },
      t == DType::bfloat16 ? DType::uint16 : t);
  s.sources = {{Source::Kind::load, 0}};
  s.sinks = {{Sink::Kind::store, 0, 1}};
  k.stages = {s};
  return k;
}

Kernel partial_kernel() {
  Kernel k = row_kernel();
  k.stages = {k.stages[0], k.stages[1]};
  k.buffers.pop_back();
  k.accesses = {k.accesses[0], {1, 0, {1, 0}}};
  k.stages[1].sinks[0].id = 1;
  k.stages[0].reductions[0].partial = true;
  k.stages[0].reductions[0].order = ReductionOrder::blocks;
  k.clip = dim("s0") * dim("s1");
  return k;
}

/// Rows of 8, and their columns' sums in blocks.
Kernel columns_kernel() {
  Kernel k = row_kernel(), sums = partial_kernel();
  k.symbols = sums.symbols = 0;
  k.axes = {200, 8};
  k.accesses[0].strides = {16, 2};
  k.accesses[1].strides = {8, 1};
  sums.axes = {8, 4, row_block};
  sums.clip = Dim(200);
  sums.accesses = {{0, 5, {2, 16 * row_block, 16}}, {1, 0, {1, 8, 0}}};
  sums.row_temps.clear();
  sums.stages[0].sinks.clear();
  k.buffers.push_back(sums.buffers[1]);
  k.columns = {{std::move(sums), {0, static_cast<int>(k.buffers.size()) - 1}}};
  return k;
}

std::string problem(const Kernel& k) {
  try {
    verify(k);
  } catch (const Error& e) { return e.what(); }
  return {};
}

}  // namespace

TEST_CASE("kernels read back exactly") {
  for (const Kernel& k :
       {row_kernel(), contraction_kernel(), gathering_kernel(), pointwise_kernel(),
        pointwise_kernel(DType::bfloat16), partial_kernel(), columns_kernel()}) {
    CHECK(problem(k) == "");
    const std::string text = to_string(k);
    INFO(text);
    const Kernel again = parse_kernel(text);
    CHECK(again == k);
    CHECK(to_string(again) == text);
  }
}

TEST_CASE("the text of a kernel") {
  const std::string text = to_string(row_kernel());
  CHECK(text.starts_with(R"(kernel {
  symbols 2
  axes [s0, s1] row
  buffers [float32, float32 written, float32 written]
  access 0 at 5 by [2*s1, 2]
  access 1 at 0 by [s1, 1]
  access 2 at 0 by [1, 0]
  point_temps [float32]
  row_temps [float32]
  stage row {
    sources [load 0]
    program {
      inputs float32
)"));
  CHECK(text.find(R"(    sinks [0 to row_temp 0]
    reduce lanes {
      identity [0x80000000]
      outputs [1]
      temps [0]
      program {
        inputs float32 float32
)") != std::string::npos);
}

TEST_CASE("what breaks an invariant is named") {
  struct Case {
    Kernel kernel;
    std::function<void(Kernel&)> spoil;
    std::string_view message;
  };
  const Kernel row = row_kernel(), dot = contraction_kernel(), plain = pointwise_kernel(),
               part = partial_kernel(), both = columns_kernel();
  const Case cases[] = {
      {row, [](Kernel& k) { k.symbols = 1; }, "'s1' is not one of the kernel's 1 symbols"},
      {row, [](Kernel& k) { k.axes[0] = dim("N"); }, "'N' is not one of"},
      {row, [](Kernel& k) { k.axes[0] = -3; }, "negative extent -3"},
      {row, [](Kernel& k) { k.accesses[0].strides.pop_back(); },
       "access 0 has 1 strides for 2 axes"},
      {row, [](Kernel& k) { k.accesses[0].buffer = 9; }, "there is no buffer 9"},
      {row, [](Kernel& k) { k.has_row = false; }, "without a row axis there is one stage, not 3"},
      {row, [](Kernel& k) { std::swap(k.stages[0], k.stages[2]); },
       "stage 0: no earlier stage writes row temp 0"},
      {row, [](Kernel& k) { std::swap(k.stages[0], k.stages[1]); },
       "stage 0: no earlier stage writes point temp 0"},
      {row, [](Kernel& k) { k.stages[0].sources.clear(); }, "1 inputs and 0 sources"},
      {row, [](Kernel& k) { k.stages[0].sources[0].id = -1; }, "there is no access -1"},
      {row, [](Kernel& k) { k.stages[2].over_row = false; },
       "stage 2: a row temp is read outside the row"},
      {row, [](Kernel& k) { k.stages[0].over_row = false; },
       "stage 0: a row temp is written outside the row"},
      {row,
       [](Kernel& k) {
         k.stages[0].sinks[0] = {Sink::Kind::point_temp, 0, 0};
       },
       "without a reduction"},
      {row, [](Kernel& k) { k.stages[0].sinks[0].output = 2; }, "there is no program output 2"},
      {row, [](Kernel& k) { k.point_temps[0] = DType::float64; },
       "accumulator 0 is float32 and should be float64"},
      {row, [](Kernel& k) { k.buffers[0].dtype = DType::int32; },
       "source 0 is int32 and should be float32"},
      {row, [](Kernel& k) { k.stages[0].reductions[0].identity.push_back(0); }, "differ in number"},
      {row, [](Kernel& k) { k.stages[0].reductions[0].identity[0] = 1ull << 32; }, "too wide"},
      {row, [](Kernel& k) { k.stages[0].reductions[0].partial = true; },
       "clip goes with partial reductions"},
      {part, [](Kernel& k) { k.stages[0].reductions[0].second_level = true; },
       "both the first and the second"},
      {part, [](Kernel& k) { k.clip.reset(); }, "clip goes with partial reductions"},
      {row,
       [](Kernel& k) {
         k.stages[2].body.code.push_back({ScalarOp::index, DType::int64, -1, -1, -1, 2});
       },
       "an index of axis 2"},
      {plain, [](Kernel& k) { k.buffers[1].written = false; }, "not marked as written"},
      {plain, [](Kernel& k) { k.buffers[0].written = true; }, "buffer 0 is never written"},
      {plain,
       [](Kernel& k) {
         k.buffers.push_back({DType::float32, false});
       },
       "nothing uses buffer 2"},
      {plain,
       [](Kernel& k) {
         k.stages[0].sinks.push_back({Sink::Kind::store, 0, 0});
       },
       "not marked as written"},
      {plain,
       [](Kernel& k) {
         k.accesses.push_back(k.accesses[1]);
         k.stages[0].sinks.push_back({Sink::Kind::store, 0, 2});
       },
       "written twice at the same elements"},
      {plain,
       [](Kernel& k) {
         k.accesses.push_back({1, 3, {1}});
         k.stages[0].sources[0].id = 2;
         k.accesses[0].buffer = 0;
       },
       "read back at another element"},
      {plain,
       [](Kernel& k) {
         std::swap(k.buffers[0], k.buffers[1]);
         std::swap(k.accesses[0].buffer, k.accesses[1].buffer);
       },
       "buffer 1 stands after an output"},
      {plain, [](Kernel& k) { k.stages[0].body.outputs[0] = 5; }, ""},
      {dot, [](Kernel& k) { k.buffers[2].dtype = DType::float16; },
       "the contraction's dtypes do not fit"},
      {dot, [](Kernel& k) { k.contraction->out = 0; }, "writes to its own operand"},
      {dot, [](Kernel& k) { k.contraction->a_batch.clear(); }, "need 1 batch strides"},
      {dot, [](Kernel& k) { k.contraction->k = dim("s0"); }, "'s0' is not one of"},
      {both, [](Kernel& k) { k.columns.push_back(k.columns[0]); }, "columns twice"},
      {both, [](Kernel& k) { k.columns[0].kernel.clip = Dim(199); }, "columns reduce the points"},
      {both, [](Kernel& k) { k.columns[0].buffers.pop_back(); }, "columns have other buffers"},
      {both, [](Kernel& k) { k.columns[0].buffers[0] = 9; }, "there is no buffer 9"},
      {both, [](Kernel& k) { k.columns[0].kernel.stages[0].sources.clear(); }, "0 sources"},
      {both, [](Kernel& k) { k.columns[0].buffers[1] = 1; }, "columns write what rows do"},
      {both, [](Kernel& k) { k.axes.insert(k.axes.begin(), 1); }, "strides"},
  };
  for (const Case& c : cases) {
    Kernel k = c.kernel;
    c.spoil(k);
    const std::string found = problem(k);
    INFO(found);
    CHECK(found != "");
    CHECK(found.find(c.message) != std::string::npos);
  }
}

TEST_CASE("bad kernel text is an error with a line, never a crash") {
  const std::string good = to_string(row_kernel());
  const auto survives = [](const std::string& text) {
    try {
      verify(parse_kernel(text));
    } catch (const ParseError& e) {
      CHECK(std::string_view(e.what()).starts_with("kernel, line "));
    }
  };
  for (std::size_t n = 0; n < good.size(); ++n) survives(good.substr(0, n));
  std::mt19937 random(5);
  for (const std::string& text :
       {good, to_string(contraction_kernel()), to_string(gathering_kernel()),
        to_string(partial_kernel()), to_string(columns_kernel())}) {
    for (int i = 0; i < 4'000; ++i) {
      std::string bad = text;
      for (unsigned k = random() % 3 + 1; k > 0; --k) {
        const std::size_t at = random() % bad.size();
        if (random() % 2)
          bad[at] = text[random() % text.size()];
        else
          bad.erase(at, random() % 6);
      }
      survives(bad);
    }
  }
  CHECK_THROWS_WITH_AS(parse_kernel("kernel {\n  symbols 1\n  axes [s0 s0]"),
                       "kernel, line 3, column 12: expected ']', found \"s0\"", ParseError);
}
