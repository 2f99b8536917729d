// Numbers and kernel counts of lowered graphs.
#include "plan_eval.h"

using namespace plan_test;

TEST_CASE("pointwise chains are one kernel") {
  B b;
  const Expr x = b.in({5, 7}), y = b.in({7});
  SUBCASE("a + 0.2 + b * 0.3") {
    const Plan p = check(b.graph({x + 0.2 + y * 0.3}));
    CHECK(p.kernels.size() == 1);
    CHECK(p.steps.size() == 1);
    CHECK(p.kernels[0].buffers.size() == 3);
  }
  SUBCASE("a long chain of transcendentals") {
    Expr e = x;
    for (int i = 0; i < 4; ++i) e = apply(ops::tanh, {e * 0.5 + y});
    CHECK(check(b.graph({e})).steps.size() == 1);
  }
  SUBCASE("several results, the values between them too") {
    const Expr s = x + y, t = s * s;
    const Plan p = check(b.graph({t, s, t * 2.0}));
    CHECK(p.steps.size() == 1);
  }
  SUBCASE("the same result twice") { check(b.graph({x * 2.0, x * 2.0, x, x})); }
}

TEST_CASE("scalars and empty tensors") {
  B b;
  const Expr x = b.in({}), e = b.in({0, 3});
  CHECK(check(b.graph({x * 2.0 + 1.0})).kernels[0].axes == Dims{1});
  check(b.graph({e * 2.0 + x}));
  check(
      b.graph({b.reduce(ops::sum, e, {0}), b.reduce(ops::sum, e, {1}), b.reduce_all(ops::sum, e)}));
  check(b.graph({x.scalar(3.0), x}));
}

TEST_CASE("chains longer than a kernel repeat a few kernels") {
  B b;
  const Expr x = b.in({3}), a = b.in({3});
  Expr e = x;
  for (int i = 0; i < 2000; ++i) e = e * a + 0.5;
  const Plan p = check(b.graph({e}), {}, {}, 1e-3);
  CHECK(p.steps.size() > 5);
  CHECK(p.kernels.size() <= 4);
}

TEST_CASE("softmax, layer norm and their kin are one kernel") {
  B b;
  const Expr x = b.in({6, 33});
  const Expr shifted = x - b.reduce(ops::max, x, {1}, true);
  const Expr e = apply(ops::exp, {shifted});
  SUBCASE("softmax") {
    CHECK(check(b.graph({e / b.reduce(ops::sum, e, {1}, true)})).steps.size() == 1);
  }
  SUBCASE("log softmax") {
    const Expr l = shifted - apply(ops::log, {b.reduce(ops::sum, e, {-1}, true)});
    const Plan p = check(b.graph({l}));
    CHECK(p.steps.size() == 1);
    CHECK(p.kernels[0].row_temps.empty());
  }
  SUBCASE("layer norm") {
    const Expr w = b.in({33}), s = b.in({33});
    const Expr mean = b.reduce(ops::sum, x, {1}, true) / 33.0;
    const Expr d = x - mean;
    const Expr var = b.reduce(ops::sum, d * d, {1}, true) / 33.0;
    CHECK(check(b.graph({d / apply(ops::sqrt, {var + 1e-5}) * w + s})).steps.size() == 1);
  }
  SUBCASE("along the first axis") {
    const Expr f = apply(ops::exp, {x - b.reduce(ops::max, x, {0}, true)});
    const Plan p = check(b.graph({f / b.reduce(ops::sum, f, {0}, true)}));
    CHECK(p.steps.size() == 1);
    CHECK(p.kernels[0].stages[0].reductions[0].order == ReductionOrder::blocks);
  }
}

TEST_CASE("reductions") {
  B b;
  const Expr x = b.in({4, 5, 6});
  SUBCASE("every set of axes") {
    for (int set = 1; set < 8; ++set) {
      std::vector<std::int64_t> axes;
      for (int i = 0; i < 3; ++i) {
        if ((set >> i & 1) != 0) axes.push_back(i);
      }
      for (const bool keep : {false, true})
        check(b.graph({b.reduce(ops::sum, x * 2.0, axes, keep)}));
      check(b.graph({b.reduce(ops::max, x, axes)}));
    }
  }
  SUBCASE("positions") {
    check(b.graph({apply(ops::argmax, {x}, ReduceAttrs{{1}, false, false})}));
    check(b.graph({apply(ops::argmax, {x}, ReduceAttrs{})}));
  }
  SUBCASE("mean square") {
    const Expr y = b.in({4, 5, 6}), d = x - y;
    CHECK(check(b.graph({b.reduce_all(ops::sum, d * d) / 120.0})).steps.size() == 1);
  }
  SUBCASE("a producer that is wanted as well") {
    const Expr y = apply(ops::exp, {x});
    CHECK(
        check(b.graph({y, b.reduce(ops::sum, y, {2}), b.reduce(ops::max, y, {2})})).steps.size() ==
        1);
  }
  SUBCASE("one element") {
    const Expr one = b.in({1, 1, 3});
    check(b.graph({b.reduce(ops::sum, one, {0, 1}), b.reduce(ops::sum, one, {0}, true)}));
  }
  SUBCASE("long rows are split, and the bits stay") {
    const Expr l = b.in({2, 40000});
    const Plan p =
        check(b.graph({b.reduce(ops::sum, apply(ops::exp, {l}), {1}) * 2.0}), {}, {}, 1e-3);
    CHECK(p.steps.size() == 2);
    CHECK(p.kernels[0].clip.has_value());
    const Plan q = check(b.graph({b.reduce(ops::max, b.in({20000, 3}), {0})}));
    CHECK(q.steps.size() == 2);
  }
}

TEST_CASE("matrix products") {
  B b;
  const Expr x = b.in({4, 5}), w = b.in({5, 6}), bias = b.in({6});
  SUBCASE("alone") {
    const Plan p = check(b.graph({apply(ops::matmul, {x, w})}));
    CHECK(p.steps.size() == 1);
    CHECK(p.kernels[0].stages.empty());
  }
  SUBCASE("with bias and relu") {
    const Expr y = apply(ops::matmul, {x, w}) + bias;
    const Plan p = check(b.graph({apply(ops::maximum, {y, y.scalar(0)})}));
    CHECK(p.steps.size() == 1);
    CHECK(p.kernels[0].stages.size() == 1);
  }
  SUBCASE("batches and vectors") {
    const Expr u = b.in({3, 4, 5}), v = b.in({3, 5, 2}), row = b.in({5}), one = b.in({1, 5, 2}),
               deep = b.in({2, 3, 2, 4});
    check(b.graph(
        {apply(ops::matmul, {u, v}), apply(ops::matmul, {u, w}), apply(ops::matmul, {u, one}),
         apply(ops::matmul, {row, w}), apply(ops::matmul, {x, row}), apply(ops::matmul, {row, row}),
         apply(ops::matmul, {x, v}), apply(ops::matmul, {deep, u}), apply(ops::matmul, {row, v})}));
  }
  SUBCASE("half precision") {
    const Expr h = b.in({4, 5}, DType::float16), g = b.in({5, 3}, DType::bfloat16);
    check(b.graph({apply(ops::matmul, {h, b.in({5, 3}, DType::float16)}) + 1.0}), {}, {}, 2e-3);
    check(b.graph({apply(ops::matmul, {b.in({2, 5}, DType::bfloat16), g})}), {}, {}, 2e-2);
  }
  SUBCASE("a two-layer perceptron") {
    const Expr w2 = b.in({6, 3});
    const Expr h = apply(ops::tanh, {apply(ops::matmul, {x, w}) + bias});
    CHECK(check(b.graph({apply(ops::matmul, {h, w2})})).steps.size() == 2);
  }
}

TEST_CASE("unknown extents") {
  B b;
  const Dim n = dim("N"), m = dim("M");
  const Expr x = b.in({n, m}), y = b.in({m}), w = b.in({m, 4});
  DimBindings sizes;
  sizes.bind("N", 3);
  sizes.bind("M", 7);
  const Expr e = apply(ops::exp, {x - b.reduce(ops::max, x, {1}, true)});
  CHECK(check(b.graph({e / b.reduce(ops::sum, e, {1}, true)}), {}, sizes).steps.size() == 1);
  const Plan p = check(b.graph({x * 2.0 + y}), {}, sizes);
  CHECK(p.kernels[0].symbols == 2);
  check(b.graph({apply(ops::matmul, {x, w}), b.reduce_all(ops::sum, x)}), {}, sizes);
}
