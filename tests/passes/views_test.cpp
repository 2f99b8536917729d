// Index maps by themselves, and views inside lowered graphs.
#include "passes/views.h"

#include "plan_eval.h"

using namespace plan_test;
using weft::passes::Affine;
using weft::passes::IndexMap;

TEST_CASE("a reshape is crossed where its axes divide") {
  const Dim n = dim("N");
  const std::vector<int> two = {0, 1}, one = {0};
  const auto cross = [](const IndexMap& map, Dims from, Dims to, Dims extents) {
    return weft::passes::through_reshape(map, from, to, extents);
  };
  // (6) -> (2, 3), read from a kernel over (2, 3): the element number divides again
  const IndexMap flat = {Affine{0, {3, 1}}};
  CHECK(cross(flat, {6}, {2, 3}, {2, 3}) == weft::passes::axis_map(two, 2));
  // read from a kernel over (6): it does not
  CHECK_FALSE(cross(weft::passes::axis_map(one, 1), {6}, {2, 3}, {6}));
  // (2, 3) -> (6): always
  CHECK(cross(weft::passes::axis_map(two, 2), {2, 3}, {6}, {2, 3}) == flat);
  // unknown extents, units, a reversed axis
  CHECK(cross(weft::passes::axis_map(two, 2), {n, 4}, {n * Dim(4)}, {n, 4}) ==
        IndexMap{Affine{0, {4, 1}}});
  CHECK(cross({Affine{0, {4, 1}}}, {n * Dim(4)}, {n, 1, 4}, {n, 4}) ==
        IndexMap{Affine{0, {1, 0}}, Affine{0, {0, 0}}, Affine{0, {0, 1}}});
  CHECK(cross({Affine{5, {-3, -1}}}, {6}, {2, 3}, {2, 3}) ==
        IndexMap{Affine{1, {-1, 0}}, Affine{2, {0, -1}}});
}

TEST_CASE("views cost no kernel") {
  B b;
  const Expr x = b.in({4, 6}), y = b.in({6, 4});
  const auto permute = [](const Expr& e, std::vector<std::int64_t> axes) {
    return apply(ops::permute, {e}, AxesAttrs{std::move(axes)});
  };
  const auto reshape = [](const Expr& e, Dims shape) {
    return apply(ops::reshape, {e}, ShapeAttrs{std::move(shape)});
  };
  const auto cut = [](const Expr& e, std::int64_t axis, std::int64_t from, std::int64_t to,
                      std::int64_t step) {
    return apply(ops::slice, {e}, SliceAttrs{{axis}, {from}, {to}, {step}});
  };
  SUBCASE("transposed operands") {
    CHECK(check(b.graph({permute(x, {1, 0}) + y})).steps.size() == 1);
  }
  SUBCASE("slices, backwards too") {
    CHECK(check(b.graph({cut(x, 1, 0, 6, 2) * 2.0})).steps.size() == 1);
    CHECK(check(b.graph({cut(cut(x, 1, 5, slice_open_low, -1), 0, 1, 3, 1) + cut(x, 0, 2, 4, 1)}))
              .steps.size() == 1);
  }
  SUBCASE("reshapes of buffers") {
    CHECK(check(b.graph({reshape(x, {24}) + reshape(y, {24})})).steps.size() == 1);
    CHECK(check(b.graph({reshape(x, {2, 2, 6}) * 2.0})).steps.size() == 1);
  }
  SUBCASE("a reshape that is not affine is copied once") {
    const Expr t = reshape(permute(x, {1, 0}), {8, 3});
    CHECK(check(b.graph({t * 2.0})).steps.size() == 2);
    CHECK(check(b.graph({b.reduce(ops::sum, t, {1}), t + 1.0})).steps.size() <= 3);
  }
  SUBCASE("results that are views") {
    const Expr e = apply(ops::tanh, {apply(ops::matmul, {x, y})});
    CHECK(check(b.graph({reshape(e, {16})})).steps.size() == 1);
    CHECK(check(b.graph({reshape(e, {16}), e})).steps.size() == 1);
    check(b.graph({permute(e, {1, 0}), reshape(x, {24}), permute(x, {1, 0}), x}));
  }
  SUBCASE("reductions of a reshape") {
    const Expr e = apply(ops::exp, {b.in({4, 6, 6})});
    const Expr flat = reshape(e, {24, 6});
    const Plan p = check(
        b.graph({e, b.reduce(ops::sum, flat, {1}), b.reduce(ops::max, flat, {1}, true) + flat}));
    CHECK(p.steps.size() == 1);
    check(b.graph({e, b.reduce(ops::sum, flat, {0}), b.reduce_all(ops::sum, reshape(e, {144}))}));
  }
  SUBCASE("transposed products") {
    const Plan p = check(b.graph({apply(ops::matmul, {permute(y, {1, 0}), permute(x, {1, 0})})}));
    CHECK(p.steps.size() == 1);
    CHECK(p.kernels[0].contraction->a_m == Dim(1));
  }
  SUBCASE("products of views without a unit stride copy them") {
    CHECK(check(b.graph({apply(ops::matmul, {cut(x, 1, 0, 6, 2), cut(y, 0, 0, 6, 2)})}))
              .steps.size() == 2);
  }
  SUBCASE("broadcast and sum over axes") {
    const Expr wide = apply(ops::broadcast_to, {y}, ShapeAttrs{{3, 6, 4}});
    CHECK(check(b.graph({b.reduce(ops::sum, wide, {0}), b.reduce(ops::sum, wide * 2.0, {1})}))
              .steps.size() <= 2);
    check(b.graph({b.reduce_all(ops::sum, permute(x, {1, 0}))}));
    check(b.graph({b.reduce_all(ops::sum, permute(apply(ops::exp, {x}), {1, 0}) + y)}));
  }
  SUBCASE("diagonals, flips, new axes") {
    check(b.graph({apply(ops::diagonal, {apply(ops::matmul, {x, y})}, DiagonalAttrs{}),
                   apply(ops::flip, {x}, AxesAttrs{{0, 1}}) * 2.0,
                   apply(ops::expand_dims, {x}, AxesAttrs{{1}}) + y.scalar(1)}));
  }
}

TEST_CASE("a long chain of views") {
  B b;
  Expr e = b.in({3, 4});
  for (int i = 0; i < 300; ++i) e = apply(ops::permute, {e}, AxesAttrs{{1, 0}});
  check(b.graph({e * 2.0}));
}

TEST_CASE("values that are written piece by piece") {
  B b;
  const Expr x = b.in({2, 3}), y = b.in({4, 3});
  const auto concatenate = [](std::initializer_list<Expr> parts, std::int64_t axis) {
    return apply(ops::concatenate, parts, AxisAttrs{axis});
  };
  check(b.graph({concatenate({x, y, x}, 0)}));
  check(b.graph({concatenate({apply(ops::exp, {x}), y * 2.0}, 0) + 1.0}));
  check(b.graph(
      {b.reduce(ops::sum, concatenate({apply(ops::tanh, {x}), apply(ops::tanh, {x})}, 1), {1})}));
  check(b.graph({apply(ops::pad, {apply(ops::exp, {x})}, PadAttrs{{1, 0}, {0, 2}, {}, 7})}));
}
