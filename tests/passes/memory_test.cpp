// Lifetimes, arena, in-place results and donated inputs.
#include "passes/memory.h"

#include "plan_eval.h"

using namespace plan_test;

namespace {

/// Temporaries that live at the same time lie apart, unless one takes over the other in the step
/// where that one dies.
void check_arena(const Plan& p) {
  for (std::size_t i = 0; i < p.slots.size(); ++i) {
    for (std::size_t j = i + 1; j < p.slots.size(); ++j) {
      const Slot &a = p.slots[i], &b = p.slots[j];
      if (a.kind != Slot::Kind::temp || b.kind != Slot::Kind::temp) continue;
      if (a.last_step < a.first_step || b.last_step < b.first_step) continue;
      if (a.last_step <= b.first_step || b.last_step <= a.first_step) continue;
      const auto end = [](const Slot& s) {
        return s.offset.value() +
               product(s.shape).value() * static_cast<std::int64_t>(size_of(s.dtype));
      };
      CHECK((end(a) <= b.offset.value() || end(b) <= a.offset.value()));
    }
  }
}

}  // namespace

TEST_CASE("a chain of products reuses memory") {
  B b;
  const Expr w = b.in({8, 8});
  Expr e = b.in({8, 8});
  for (int i = 0; i < 10; ++i) e = apply(ops::tanh, {apply(ops::matmul, {e, w})});
  const Plan p = check(b.graph({e}), {}, {}, 1e-3);
  CHECK(p.steps.size() == 10);
  CHECK(p.arena_bytes == Dim(2 * 256));
  check_arena(p);
  CHECK(p.flops > 10 * 2 * 512);
  CHECK(p.bytes_moved >= 10 * 3 * 256);
}

TEST_CASE("small temporaries have memory of their own where that is asked for") {
  B b;
  const Expr w = b.in({8, 8});
  Expr e = b.in({8, 8});
  for (int i = 0; i < 10; ++i) e = apply(ops::tanh, {apply(ops::matmul, {e, w})});
  weft::passes::LowerOptions options;
  options.apart = 255;
  CHECK(check(b.graph({e}), options, {}, 1e-3).arena_bytes == Dim(2 * 256));
  options.apart = 256;
  CHECK(check(b.graph({e}), options, {}, 1e-3).arena_bytes == Dim(9 * 256));
}

TEST_CASE("unknown sizes reuse memory of the same size") {
  B b;
  const Dim n = dim("N");
  const Expr w = b.in({8, 8});
  Expr e = b.in({n, 8});
  for (int i = 0; i < 6; ++i) e = apply(ops::tanh, {apply(ops::matmul, {e, w})});
  DimBindings sizes;
  sizes.bind("N", 5);
  const Plan p = check(b.graph({e}), {}, sizes, 1e-3);
  CHECK(p.arena_bytes.evaluate(sizes) == 2 * 192);
}

TEST_CASE("a result takes over the storage of a donated input") {
  B b;
  const Expr w = b.in({4, 4}), x = b.in({4, 4}), g = b.in({4, 4});
  weft::passes::LowerOptions options;
  SUBCASE("in one kernel") {
    options.donated = {{0, 0}};
    CHECK(check(b.graph({w - g * 0.1}), options).donated == std::vector<int>{0});
  }
  SUBCASE("the step waits for the last reader") {
    const Expr dw = apply(ops::matmul, {x, g});
    const Expr updated = w - dw * 0.1;
    const Expr dx = apply(ops::tanh, {apply(ops::matmul, {g, w})});
    options.donated = {{0, 0}};
    const Plan p = check(b.graph({updated, dx}), options);
    CHECK(p.donated == std::vector<int>{0, -1});
    CHECK(p.steps.size() == 2);
  }
  SUBCASE("not where a reader needs the new value") {
    const Expr updated = w - apply(ops::matmul, {x, g});
    options.donated = {{0, 0}};
    const Plan p = check(b.graph({updated, apply(ops::matmul, {updated, w})}), options);
    CHECK(p.donated == std::vector<int>{-1, -1});
  }
  SUBCASE("not over another element, another shape or an input that is returned") {
    options.donated = {{0, 0}};
    const Expr shifted = w + b.reduce(ops::sum, w, {0}, true);
    CHECK(check(b.graph({shifted}), options).donated.size() == 1);
    CHECK(check(b.graph({w * 2.0, w}), options).donated == std::vector<int>{-1, -1});
    CHECK(check(b.graph({b.reduce(ops::sum, w, {0})}), options).donated == std::vector<int>{-1});
    CHECK(check(b.graph({apply(ops::matmul, {w, x})}), options).donated == std::vector<int>{-1});
  }
}
