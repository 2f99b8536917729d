// User functions that run in the middle of an update: what they may do, and that nothing is left of
// an update in which one fails.
#include <doctest/doctest.h>

#include <functional>
#include <optional>
#include <stdexcept>

#include "weft/control.h"
#include "weft/eval.h"
#include "weft/function.h"
#include "weft/ops.h"

using namespace weft;

namespace {

double number(const Tensor& t) { return t.value().item<double>(); }

/// x + 1 over arrays; `meanwhile` runs inside.
Tensor plus_one(const Tensor& x, std::function<void()> meanwhile) {
  return custom_op(
      "plus_one",
      CustomOp{
          .infer = [](std::span<const TensorType> t) { return std::vector(t.begin(), t.end()); },
          .forward =
              [meanwhile = std::move(meanwhile)](std::span<const Array> operands) {
                meanwhile();
                return std::vector<Array>{Array(operands[0].item<double>() + 1)};
              }})({x})[0];
}

}  // namespace

TEST_CASE("A callback that throws leaves every value as it was") {
  bool fails = false;
  Variable a(1.0);
  Tensor before = a * 2;
  Tensor called = plus_one(a, [&] {
    if (fails) throw std::runtime_error("callback");
  });
  Tensor after = called * 10;
  CHECK(number(after) == 20);
  CHECK(number(before) == 2);
  int heard = 0;
  const auto s = after.on_change([&](const Array&) { ++heard; });
  fails = true;
  CHECK_THROWS_WITH(a.set_value(5.0), doctest::Contains("callback"));
  for (int again = 0; again < 2; ++again) {
    CHECK(number(a) == 1);
    CHECK(number(before) == 2);
    CHECK(number(called) == 2);
    CHECK(number(after) == 20);
  }
  CHECK(heard == 0);
  fails = false;
  a.set_value(5.0);
  CHECK(number(after) == 60);
  CHECK(heard == 1);
}

TEST_CASE("A callback may build and drop tensors, of the graph that is being updated too") {
  Variable a(1.0), other(7.0);
  std::optional<Tensor> held, built;
  bool acts = false;
  Tensor called = plus_one(a, [&] {
    if (!acts) return;
    held.reset();            // of this very wave
    built.emplace(a * 100);  // on the input that is being set
    const Tensor passing = other + 1;
  });
  held.emplace(called * 3);
  Tensor after = called * 10;
  CHECK(number(after) == 20);
  CHECK(number(*held) == 6);
  acts = true;
  a.set_value(2.0);
  acts = false;
  CHECK(number(after) == 30);
  REQUIRE(built);
  CHECK(number(*built) == 200);
  a.set_value(4.0);
  CHECK(number(after) == 50);
  CHECK(number(*built) == 400);
}

TEST_CASE("A callback must not change what it is computed from") {
  Variable a(1.0), other(7.0);
  std::function<void()> act = [] {};
  Tensor called = plus_one(a, [&] { act(); });
  Tensor p;
  const Function bump({p}, p, {.updates = {{other, other + 1}}});
  CHECK(number(called) == 2);
  const auto refused = [&](std::function<void()> what) {
    act = std::move(what);
    CHECK_THROWS_AS(a.set_value(number(a) + 1), Error);
    CHECK(number(a) == 1);
    CHECK(number(called) == 2);
    CHECK(number(other) == 7);
  };
  refused([&] { a.set_value(9.0); });
  refused([&] { other.set_value(9.0); });
  refused([&] { bump(1.0); });
  refused([&] { (void)called.value(), (void)(called + 1).value(); });
  act = [] {};
  a.set_value(3.0);
  CHECK(number(called) == 4);
}

TEST_CASE("A callback may compute what stands apart from the update") {
  const auto check = [](bool greedy) {
    Variable a(1.0, "a"), other(7.0, "other");
    Tensor apart = other * 2;  // never asked for before
    const Function f({}, other + 1);
    std::function<void()> act = [] {};
    Tensor called = plus_one(a, [&] { act(); });
    Tensor after = called * 10;
    act = [&] {
      CHECK((Tensor(Array{1.0, 2.0}) * 3).sum().item<double>() == 9);
      CHECK(number(apart) == 2 * number(other));
      CHECK(number(other + 1) == number(other) + 1);
      CHECK(f()[0].item<double>() == number(other) + 1);
      const Tensor inner = plus_one(other, [&] { CHECK(number(other * 3) == 3 * number(other)); });
      CHECK(number(inner * 2) == 2 * (number(other) + 1));
    };
    CHECK(number(after) == 20);
    a.set_value(2.0);
    CHECK(number(after) == 30);
    other.set_value(8.0);
    a.set_value(3.0);
    CHECK(number(after) == 40);
    CHECK(number(apart) == 16);
    // What hangs on the update is refused, whether it was there before or is new. (A lazy update is
    // over when values are asked for.)
    Tensor beside = a + other, held = called + 1;
    for (const bool fresh : {false, true}) {
      act = [&] { (void)(fresh ? a * 2 : beside).value(); };
      if (greedy) CHECK_THROWS_AS((a.set_value(9.0), (void)after.value()), Error);
      act = [&] { (void)(fresh ? called * 2 : held).value(); };
      CHECK_THROWS_AS((a.set_value(9.0), (void)after.value()), Error);
      act = [] {};
      a.set_value(3.0);
      CHECK(number(after) == 40);
      CHECK(number(beside) == 11);
      CHECK(number(held) == 5);
    }
  };
  SUBCASE("greedy") { check(true); }
  SUBCASE("lazy") {
    const ScopedEvalMode lazy(EvalMode::lazy);
    check(false);
  }
}

TEST_CASE("A callback cannot ask for itself, and hears of nothing before the update is over") {
  const ScopedEvalMode lazy(EvalMode::lazy);
  Variable a(1.0), other(7.0);
  std::optional<Tensor> result;
  int heard = 0, heard_inside = 0;
  bool asks = false;
  Tensor apart = other * 2;
  const auto s = apart.on_change([&](const Array&) { ++heard; });
  result.emplace(plus_one(a, [&] {
    if (asks) (void)result->value();
    (void)apart.value();
    heard_inside = heard;
  }));
  other.set_value(8.0);
  CHECK(number(*result) == 2);
  CHECK(heard_inside == 0);
  CHECK(heard == 1);
  CHECK(number(apart) == 16);
  a.set_value(2.0);
  asks = true;
  CHECK_THROWS_WITH_AS((void)result->value(), doctest::Contains("must not ask for"), Error);
  asks = false;
  CHECK(number(*result) == 3);
}

TEST_CASE("What a callback in a loop asks for is looked up as outside of one") {
  std::function<void()> act = [] {};
  const auto below_ten = [](std::span<const Tensor> x) { return std::vector{x[0] < 10.0}; };
  const auto body = [&](std::span<const Tensor> x) {
    return std::vector{plus_one(x[0], [&] { act(); })};
  };
  SUBCASE("the loop's own result") {
    const ScopedEvalMode lazy(EvalMode::lazy);
    Variable a(7.0);
    std::optional<Tensor> result;
    result.emplace(while_loop(below_ten, body, {a})[0]);
    act = [&] { (void)result->value(); };
    CHECK_THROWS_AS((void)result->value(), Error);
    act = [] {};
    CHECK(number(*result) == 10);
  }
  SUBCASE("what the update changes, before it fails") {
    Variable a(7.0);
    Tensor result = while_loop(below_ten, body, {a})[0], twice = a * 2;
    CHECK(number(result) == 10);
    std::optional<Tensor> fresh;
    act = [&] {
      fresh.emplace(a * 2);
      (void)fresh->value();
      throw std::runtime_error("later");
    };
    CHECK_THROWS(a.set_value(8.0));
    act = [] {};
    CHECK(number(a) == 7);
    CHECK(number(twice) == 14);
    CHECK(number(*fresh) == 14);
  }
}

TEST_CASE("A callback may drop what the update reads") {
  Variable a(1.0), other(7.0);
  std::optional<Tensor> dropped(other * 2);
  CHECK(number(*dropped) == 14);
  bool drops = false;
  Tensor result = plus_one(a, [&] {
                    if (drops) dropped.reset();
                  }) +
                  *dropped;
  CHECK(number(result) == 16);
  drops = true;
  a.set_value(2.0);
  CHECK(number(result) == 17);
  other.set_value(8.0);
  CHECK(number(result) == 19);
}

TEST_CASE("A function with updates whose callback throws changes no variable") {
  bool fails = true;
  Variable w(1.0);
  Tensor x, step = plus_one(w + x, [&] {
              if (fails) throw std::runtime_error("callback");
            });
  Tensor watched = w * 2;
  const Function f({x}, step, {.updates = {{w, w + 1}}});
  CHECK(number(watched) == 2);
  CHECK_THROWS_WITH(f(1.0), doctest::Contains("callback"));
  CHECK(number(w) == 1);
  CHECK(number(watched) == 2);
  fails = false;
  CHECK(f(1.0)[0].item<double>() == 3);
  CHECK(number(w) == 2);
  CHECK(number(watched) == 4);
}

TEST_CASE("What an update that failed kept alive is gone with its handles") {
  const auto run = [] {
    Variable a(1.0);
    bool fails = false;
    Tensor called = plus_one(a, [&] {
      if (fails) throw std::runtime_error("callback");
    });
    CHECK(number(called) == 2);
    fails = true;
    CHECK_THROWS_WITH(a.set_value(5.0), doctest::Contains("callback"));
  };
  run();
  const std::int64_t before = live_objects();
  run();
  CHECK(live_objects() == before);
}

TEST_CASE("A call_into that throws leaves the outputs as they were") {
  bool fails = true;
  Variable table(Array{10.0, 20.0}), w(zeros({2}));
  Tensor x("x"), at("at");
  const auto unchanged = [](const Function& f, std::vector<Array> inputs) {
    std::vector<Array> outputs{Array{1.0, 2.0}, Array{3.0, 4.0}, Array(5.0)};
    CHECK_THROWS(f.call_into(outputs, inputs));
    CHECK(array_equal(outputs[0], Array{1.0, 2.0}));
    CHECK(array_equal(outputs[1], Array{3.0, 4.0}));
    CHECK(array_equal(outputs[2], Array(5.0)));
  };
  const Tensor called = plus_one(sum(x), [&] {
    if (fails) throw std::runtime_error("callback");
  });
  const Function calls({x}, {x * 2, called + x, called});
  unchanged(calls, {Array{1.0, 1.0}});
  const Function gathers({x, at}, {x * 2, exp(x), sum(table[at])});
  unchanged(gathers, {Array{1.0, 1.0}, Array{0, 2}});
  unchanged(gathers, {Array{1.0, 1.0, 1.0}, Array{0, 2}});
  const Function updates({x}, {x * 2, exp(x), sum(x)}, {.updates = {{w, x}}});
  unchanged(updates, {Array{1.0, 1.0, 1.0}});

  fails = false;
  std::vector<Array> outputs{Array{1.0, 2.0}, Array{3.0, 4.0}, Array(5.0)};
  calls.call_into(outputs, std::vector<Array>{Array{1.0, 1.0}});
  CHECK(array_equal(outputs[0], Array{2.0, 2.0}));
  CHECK(array_equal(outputs[1], Array{4.0, 4.0}));
  CHECK(array_equal(outputs[2], Array(3.0)));
}

TEST_CASE("An operation has all its results where its operand's type is its value's") {
  const auto both =
      custom_op("both", CustomOp{.infer =
                                     [](std::span<const TensorType> t) {
                                       return std::vector{t[0], t[0]};
                                     },
                                 .forward =
                                     [](std::span<const Array> x) {
                                       const double v = x[0].item<double>();
                                       return std::vector<Array>{Array(v * v), Array(3 * v)};
                                     }});
  Tensor p("p");
  p.set_value(2.0);
  const std::vector<Tensor> results = both({p});
  REQUIRE(results.size() == 2);
  CHECK(number(results[0] + results[1]) == 10);
  p.set_value(3.0);
  CHECK(number(results[0]) == 9);
  CHECK(number(results[1]) == 9);
}

TEST_CASE("A callback that hundreds read runs once") {
  int runs = 0;
  const Tensor x("x"), called = plus_one(x, [&] { ++runs; });
  std::vector<Tensor> readers;
  for (int i = 0; i < 300; ++i) readers.push_back(called * i);
  const std::vector<Array> found = Function({x}, readers)(Array(2.0));
  CHECK(runs == 1);
  for (int i = 0; i < 300; ++i)
    CHECK(found[static_cast<std::size_t>(i)].item<double>() == 3 * i);
}
