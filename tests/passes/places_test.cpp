// Pieces of concatenations and pads live where they end up.
#include "plan_eval.h"

using namespace plan_test;

namespace {

Expr beside(std::vector<Expr> parts, std::int64_t axis) {
  std::vector<NodeRef> nodes;
  for (const Expr& e : parts) nodes.push_back(e.node());
  return {parts[0].builder(),
          parts[0].builder().make(ops::concatenate, std::move(nodes), AxisAttrs{axis})};
}
Expr padded(const Expr& x, std::int64_t low, std::int64_t high, double value = 0) {
  const std::size_t rank = x.type().shape->size();
  return apply(ops::pad, {x}, PadAttrs{Dims(rank, Dim(low)), Dims(rank, Dim(high)), {}, value});
}
Expr tanh_of(const Expr& x) { return apply(ops::tanh, {x}); }

std::int64_t temporaries(const Plan& p) {
  return std::ranges::count_if(p.slots, [](const Slot& s) {
    return s.kind == Slot::Kind::temp && s.last_step >= s.first_step;
  });
}

}  // namespace

TEST_CASE("nested regions are written once, into the outermost") {
  B b;
  const Expr x = b.in({4, 32}), y = b.in({4, 32});
  SUBCASE("concatenations of concatenations are one kernel") {
    const Plan p = check(b.graph({beside({beside({x * 2.0, y}, 1), beside({y + 1.0, x}, 1)}, 0)}));
    CHECK(p.steps.size() == 1);
    CHECK(p.bytes_moved == (2 + 4) * 4 * 32 * 4);
  }
  SUBCASE("a pad of a pad is filled once and written once") {
    const Plan p = check(b.graph({padded(padded(tanh_of(x) * y, 1, 2), 2, 1)}));
    CHECK(p.steps.size() == 2);
    CHECK(temporaries(p) == 0);
  }
  SUBCASE("each of other fills first fills its own part, the outer ones before the inner") {
    const Plan p = check(b.graph({padded(padded(padded(tanh_of(x), 1, 0), 0, 2, 1.0), 1, 1)}));
    CHECK(p.steps.size() == 4);
    CHECK(temporaries(p) == 0);
  }
  SUBCASE("a concatenation in a pad: the fill comes before its first piece") {
    const Expr t = tanh_of(x), top = apply(ops::exp, {b.reduce(ops::sum, t, {1}, true)});
    const Plan p = check(b.graph({padded(beside({t + y, t * top}, 0), 1, 1)}));
    CHECK(temporaries(p) == 0);
    const auto fills = [&](const Step& s) { return std::get<KernelStep>(s.what).slots.size() == 1; };
    CHECK(std::ranges::count_if(p.steps, fills) == 1);
    CHECK(fills(p.steps[0]));
  }
  SUBCASE("interleaved points, axis by axis") {
    const auto woven = [](const Expr& p, const Expr& q, std::int64_t axis, Dims shape) {
      const AxesAttrs between{{axis + 1}};
      return apply(ops::reshape,
                   {beside({apply(ops::expand_dims, {p}, between),
                            apply(ops::expand_dims, {q}, between)}, axis + 1)},
                   ShapeAttrs{std::move(shape)});
    };
    const Expr e = apply(ops::exp, {x * 0.5});
    const Expr all = woven(woven(e, e * y, 1, {4, 64}), woven(e + y, e - y, 1, {4, 64}), 0, {8, 64});
    const Plan p = check(b.graph({all}));
    CHECK(p.steps.size() == 1);
    CHECK(p.bytes_moved == (2 + 4) * 4 * 32 * 4);
  }
}

TEST_CASE("who else reads a piece reads it where it lives") {
  B b;
  const Expr x = b.in({8, 32}), w = b.in({32, 32});
  SUBCASE("the steps of a loop write what one product reads after them") {
    std::vector<Expr> states;
    Expr h = x;
    for (int i = 0; i < 4; ++i) {
      h = tanh_of(apply(ops::matmul, {h, w}));
      states.push_back(h);
    }
    const Plan p = check(b.graph({apply(ops::matmul, {beside(states, 0), w})}));
    CHECK(p.steps.size() == 5);
    CHECK(temporaries(p) == 1);  // of all states
  }
  SUBCASE("a row kernel, a reduction and a later piece of the same") {
    const Expr e = apply(ops::exp, {x}), s = tanh_of(apply(ops::matmul, {e, w}));
    const Expr both = beside({e, s, apply(ops::relu, {apply(ops::matmul, {s, w})})}, 1);
    const Plan p = check(b.graph({b.reduce(ops::sum, both, {0}), b.reduce(ops::sum, s, {1})}));
    CHECK(temporaries(p) == 3);  // all pieces, and the products before their epilogues
  }
  SUBCASE("but not a result") {
    const Expr e = tanh_of(x);
    check(b.graph({padded(e, 1, 1), e}));
    check(b.graph({padded(e, 1, 1), apply(ops::reshape, {e}, ShapeAttrs{{256}})}));
  }
  SUBCASE("nor one that the reader's merged axes do not fit") {
    const Expr e = tanh_of(x);  // all of it is one row of the sum
    const Plan p = check(b.graph({padded(e, 1, 1), b.reduce_all(ops::sum, e * e) + 1.0}));
    CHECK(p.steps.size() == 3);
  }
}

TEST_CASE("random nests of regions and views") {
  for (std::uint32_t seed = 0; seed < 300; ++seed) {
    std::uint32_t state = seed * 2654435761u + 99u;
    const auto below = [&](std::uint32_t n) {
      state = state * 1664525u + 1013904223u;
      return (state >> 10) % n;
    };
    B b;
    std::vector<Expr> values{b.in({2, 20}), b.in({2, 20})};
    const auto pick = [&]() -> const Expr& {
      return values[values.size() - 1 - below(std::min<std::uint32_t>(5, values.size()))];
    };
    for (int i = 0; i < 12; ++i) {
      const Expr p = pick(), q = pick();
      const bool alike = *p.type().shape == *q.type().shape;
      if ((*p.type().shape)[0].value() * (*p.type().shape)[1].value() > 4000) continue;
      switch (below(8)) {
        case 0: values.push_back(tanh_of(p)); break;
        case 1: values.push_back(alike ? p * q : p + 0.5); break;
        case 2: values.push_back(beside({p, alike ? q : p}, below(2))); break;
        case 3: values.push_back(beside({p * 0.5, tanh_of(p)}, below(2))); break;
        case 4: values.push_back(padded(p, below(3), below(3), below(2))); break;
        case 5: values.push_back(apply(ops::matrix_transpose, {p})); break;
        case 6: values.push_back(p - b.reduce(ops::amax, p, {static_cast<std::int64_t>(below(2))}, true)); break;
        case 7: {
          const Expr square = apply(ops::matmul, {p, apply(ops::matrix_transpose, {p})}) * 0.05;
          values.push_back(tanh_of(square));
          break;
        }
      }
    }
    CAPTURE(seed);
    check(b.graph({values.back(), values[values.size() - 2]}), {}, {}, 1e-4);
  }
}
