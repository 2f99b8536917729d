// Indexing by tensors and masks, updates through both, and shapes that depend on values: expected
// literals are NumPy's.
#include <doctest/doctest.h>

#include <random>

#include "ir/builder.h"
#include "ir/ops/dynamic.h"
#include "ir/ops/ops.h"
#include "thrown.h"
#include "weft/weft.h"

using namespace weft;

namespace {

Array counting(Shape shape, DType dtype = DType::float64) {
  return arange(element_count(shape), dtype).reshape(shape);
}

void same(const Tensor& got, const Array& want) {
  const Array value = got.value();
  CHECK(value.shape() == want.shape());
  CHECK_MESSAGE(array_equal(value, want), "got ", to_string(value), " instead of ",
                to_string(want));
}


/// The gradient of sum(weights * y) along a random direction against differences, and the gradient
/// of that gradient, in a function, whose operands have no types when the gradient is built.
using Build = std::function<Tensor(const Tensor&)>;
void check_slopes(const Build& build, const Array& at, const char* what) {
  INFO(std::string(what));
  std::mt19937 rng(5);
  std::uniform_real_distribution<double> uniform(-1, 1);
  const auto random = [&](const Shape& shape) {
    std::vector<double> v(static_cast<std::size_t>(element_count(shape)));
    for (double& x : v) x = uniform(rng);
    return Array::from(v, shape);
  };
  const Tensor x, v;
  const Tensor y = build(x);
  const Shape shape = Function({x}, y)(at)[0].shape();
  const Array weights = random(shape), direction = random(at.shape());
  // A function of x that bends, so that there is a second derivative.
  const Tensor loss = sum(square(y) * Tensor(weights));
  const Tensor slope = sum(grad(loss, {x})[0] * v);
  const Tensor bend = sum(grad(slope, {x})[0] * v);
  const Function f({x}, loss), first({x, v}, slope), second({x, v}, bend);
  constexpr double h = 1e-5;
  const auto moved = [&](double by) {
    std::vector<double> a = at.tolist<double>();
    const std::vector<double> d = direction.tolist<double>();
    for (std::size_t i = 0; i < a.size(); ++i) a[i] += by * d[i];
    return Array::from(a, at.shape());
  };
  const auto number = [](const std::vector<Array>& r) { return r[0].item<double>(); };
  const double by_difference = (number(f(moved(h))) - number(f(moved(-h)))) / (2 * h);
  CHECK(number(first(at, direction)) == doctest::Approx(by_difference).epsilon(1e-6));
  const double bent =
      (number(first(moved(h), direction)) - number(first(moved(-h), direction))) / (2 * h);
  CHECK(number(second(at, direction)) == doctest::Approx(bent).epsilon(1e-5));
}

Tensor apply_row(const ir::Op& op, std::vector<Tensor> operands, ir::Attrs attrs = {}) {
  std::vector<ir::NodeRef> nodes;
  for (const Tensor& t : operands) nodes.push_back(t.node());
  return Tensor(ir::make_node(op, std::move(nodes), std::move(attrs)));
}
namespace ops = ir::ops;

/// One row on constants, on variables (their values known when the row is evaluated), and in a
/// function whose inputs they are.
void by_values(const ir::Op& op, const std::vector<Array>& operands, const Array& want,
               ir::Attrs attrs = {}) {
  INFO(std::string(op.name));
  std::vector<Tensor> constants, variables, inputs;
  for (const Array& a : operands) {
    constants.emplace_back(a);
    variables.push_back(Variable(a));
    inputs.emplace_back(Tensor());
  }
  same(apply_row(op, constants, attrs), want);
  same(apply_row(op, variables, attrs), want);
  const Function f(inputs, apply_row(op, inputs, attrs));
  CHECK(array_equal(f(operands)[0], want));
  CHECK(f(operands)[0].shape() == want.shape());
}

}  // namespace

TEST_CASE("Indexing: shapes, bounds and counts that are tensors") {
  const Array x = counting({2, 3});
  by_values(ops::reshape_to, {x, Array{3, -1}}, Array{{0., 1.}, {2., 3.}, {4., 5.}},
            ir::ReshapeToAttrs{});
  by_values(ops::reshape_to, {x, Array{0, 3, 1}}, counting({2, 3, 1}), ir::ReshapeToAttrs{});
  by_values(ops::reshape_to, {zeros({0, 3}), Array{3, 0}}, zeros({3, 0}), ir::ReshapeToAttrs{true});
  by_values(ops::broadcast_to_shape, {Array{{1.}, {2.}}, Array{2, 1, 2}},
            Array{{{1., 1.}, {2., 2.}}, {{1., 1.}, {2., 2.}}});
  by_values(ops::broadcast_to_shape, {Array{{1.}, {2.}}, Array{1}}, Array{{1.}, {2.}});
  by_values(ops::full_by, {Array{2, 2}, Array{7.}}, Array{{7., 7.}, {7., 7.}});
  by_values(ops::full_by, {zeros({0}, DType::int64), Array(7.)}, Array(7.));
  by_values(ops::slice_by, {x, Array{0, 1}, Array{1, 1000}}, Array{{1., 2.}});
  by_values(ops::slice_by, {x, Array{-1}, Array{-1000}, Array{1}, Array{-2}},
            Array{{2., 0.}, {5., 3.}});
  by_values(ops::slice_by, {x, Array{20}, Array{INT64_MIN}, Array{-1}, Array{-1}},
            Array{{2., 1., 0.}, {5., 4., 3.}});
  by_values(ops::unslice_by, {Array{{1., 2.}}, x, Array{0, 1}, Array{1, 1000}},
            Array{{0., 1., 2.}, {0., 0., 0.}});
  by_values(ops::pad_by, {Array{1., 2.}, Array{1, 2}}, Array{0., 1., 2., 0., 0.});
  by_values(ops::pad_by, {Array{1., 2.}, Array{1, -1}, Array(9.)}, Array{9., 1.});
  by_values(ops::pad_by, {x, Array{1, 0}, Array(8.), Array{-1}},
            Array{{8., 0., 1., 2.}, {8., 3., 4., 5.}});
  by_values(ops::tile_by, {Array{1., 2.}, Array{2, 2}}, Array{{1., 2., 1., 2.}, {1., 2., 1., 2.}});
  by_values(ops::untile_by, {counting({2, 4}), zeros({2}, DType::float64), Array{2, 2}},
            Array{0. + 2 + 4 + 6, 1. + 3 + 5 + 7});
  by_values(ops::arange_by, {Array(1), Array(6), Array(2)}, Array{1, 3, 5});
  by_values(ops::arange_by, {Array(10), Array(4), Array(-2)}, Array{10, 8, 6});
  by_values(ops::arange_by, {Array(0.5), Array(2.), Array(0.5)}, Array{0.5, 1., 1.5});
  by_values(ops::arange_by, {Array(3), Array(3), Array(1)}, zeros({0}, DType::int64));
  by_values(ops::one_hot_by, {Array{1, -1, 5}, Array(3), Array{2., 5.}},
            Array{{2., 5., 2.}, {2., 2., 5.}, {2., 2., 2.}}, ir::AxisAttrs{-1});
  by_values(ops::one_hot_by, {Array{1, 0}, Array(2), Array{0, 1}}, Array{{0, 1}, {1, 0}},
            ir::AxisAttrs{0});
  by_values(ops::squeeze_by, {counting({1, 3, 1}), Array{-1}}, counting({1, 3}));
  by_values(ops::squeeze_by, {counting({1, 3}), zeros({0}, DType::int64)}, counting({1, 3}));
  by_values(ops::unsqueeze_by, {counting({3}), Array{0, 2}}, counting({1, 3, 1}));
  by_values(ops::sum_by, {x, Array{1}}, Array{3., 12.}, ir::ReduceAttrs{{}, true, false});
  by_values(ops::sum_by, {x, zeros({0}, DType::int64)}, x, ir::ReduceAttrs{{}, false, true});
  by_values(ops::shape_of, {counting({2, 3, 4})}, Array{2, 3, 4}, ir::ShapeOfAttrs{});
}

TEST_CASE("Indexing: shapes computed from shapes and from values") {
  const Tensor x;
  // The last axis repeated as often as x has rows.
  const Function f({x}, tile(x, shape(x)));
  CHECK(f(Array{{1., 2.}})[0].shape() == Shape{1, 4});
  CHECK(f(Array{{1.}, {2.}})[0].shape() == Shape{4, 1});
  const Function flat({x}, reshape(x, shape(x)[Slice(0, 1)] * Tensor(2)));
  CHECK(array_equal(flat(Array{{1., 2.}, {3., 4.}})[0], Array{1., 2., 3., 4.}));
  Variable n(3);
  const Tensor counted = arange(0, n);
  same(counted, Array{0, 1, 2});
  n.set_value(Array(5));
  same(counted, Array{0, 1, 2, 3, 4});
  same(full(Variable(Array{2}), 1.5), Array{1.5, 1.5});
  CHECK(contains(message<ShapeError>([] {
                   (void)reshape(Tensor(Array{1, 2, 3}), Tensor(Array{2, -1}));
                 }),
                 "3 elements cannot fill shape (2, -1)"));
  const Tensor s;
  const Function bad({x, s}, reshape(x, s));
  CHECK(contains(message<ShapeError>([&] {
                   (void)bad(Array{1, 2, 3}, Array{2, -1});
                 }),
                 "indexing_test.cpp"));
}

TEST_CASE("Indexing: slice bounds that are tensors (A7)") {
  const Variable x(counting({2, 3, 4})), i(1);
  const Tensor part = x[{Slice(none, i), Slice(i + 1, none)}];
  CHECK(part.value().shape() == Shape{1, 1, 4});
  same(part, Array{{{8., 9., 10., 11.}}});
  CHECK(x[{Slice(none, 1), Slice(none, 2)}].value().shape() == Shape{1, 2, 4});
  Variable j(0);
  const Tensor rows = x[{0, Slice(j, none, 2), -1}];
  same(rows, Array{3., 11.});
  j.set_value(Array(-2));
  same(rows, Array{7.});
  same(x.at({Slice(none, i), Slice(j, none), 0}).set(-1),
       Array{{{0., 1., 2., 3.}, {-1., 5., 6., 7.}, {-1., 9., 10., 11.}},
             {{12., 13., 14., 15.}, {16., 17., 18., 19.}, {20., 21., 22., 23.}}});
  const Tensor placeholder, at;
  const Function f({placeholder, at}, placeholder[{Slice(none, at)}]);
  CHECK(array_equal(f(Array{1, 2, 3}, Array(2))[0], Array{1, 2}));
  CHECK(array_equal(f(Array{1, 2, 3}, Array(-1))[0], Array{1, 2}));
}

TEST_CASE("Indexing: several index tensors, as NumPy's") {
  const Variable x(counting({2, 3, 4}));
  same(x[{Array{0, 1}, Array{2, 0}}], Array{{8., 9., 10., 11.}, {12., 13., 14., 15.}});
  same(x[{Array{{0}, {1}}, Array{2, 0}, 1}], Array{{9., 1.}, {21., 13.}});
  same(x[{Slice(), Array{2, 0}, Array{-1, 1}}], Array{{11., 1.}, {23., 13.}});
  // Apart: their axes come first.
  same(x[{Array{0, 1}, Slice(), Array{3, 0}}], Array{{3., 7., 11.}, {12., 16., 20.}});
  same(x[{0, Slice(), Array{3, 0}}], Array{{3., 7., 11.}, {0., 4., 8.}});
  // Together behind a slice: in its place.
  same(x[{Slice(0, 1), Array{2, 1}}], Array{{{8., 9., 10., 11.}, {4., 5., 6., 7.}}});
  same(x[{ellipsis, Array{{3}, {0}}}], x.value().reshape({2, 3, 4}).size() == 24
                                           ? Array{{{{3.}, {0.}}, {{7.}, {4.}}, {{11.}, {8.}}},
                                                   {{{15.}, {12.}}, {{19.}, {16.}}, {{23.}, {20.}}}}
                                           : Array());
  same(x[{Array{1, 0}, newaxis, Array{2, 2}, 0}], Array{{20.}, {8.}});
  same(x[{newaxis, Array{1}, 0, 0}], Array{{12.}});
  CHECK(x[{Slice(), newaxis, Array{0, 1, 1}}].value().shape() == Shape{2, 1, 3, 4});
  CHECK(x[{Slice(), Array{0, 1, 1}, newaxis}].value().shape() == Shape{2, 3, 1, 4});
  // A scalar tensor removes its axis.
  const Variable k(2);
  same(x[{1, k}], Array{20., 21., 22., 23.});
  same(x[{ellipsis, k}], Array{{2., 6., 10.}, {14., 18., 22.}});
  const Tensor p, i, j;
  const Function f({p, i, j}, p[{i, j}]);
  CHECK(
      array_equal(f(counting({2, 2}), Array{0, 1}, Array{{1}, {0}})[0], Array{{1., 3.}, {0., 2.}}));
  const std::string error = message<IndexError>([&] {
    (void)f(counting({2, 2}), Array{0}, Array{2});
  });
  CHECK(contains(error, "index 2 is out of range for axis 1 of extent 2"));
  CHECK(contains(error, "indexing_test.cpp"));
}

TEST_CASE("Indexing: masks") {
  const Variable x(Array{{1., -2., 3.}, {-4., 5., -6.}});
  const Tensor negative = x[x < 0];
  same(negative, Array{-2., -4., -6.});
  Variable y(Array{1., -1.});
  const Tensor picked = y[y > 0];
  same(picked, Array{1.});
  y.set_value(Array{2., 3.});
  same(picked, Array{2., 3.});
  y.set_value(Array{-2., -3.});
  same(picked, zeros({0}, DType::float64));
  same(x[Array{false, true}], Array{{-4., 5., -6.}});
  same(x[{Slice(), Array{true, false, true}}], Array{{1., 3.}, {-4., -6.}});
  same(x[{Array{true, true}, Array{0, 2}}], Array{1., -6.});
  same(x[{1, Array{true, false, true}}], Array{-4., -6.});
  const Variable z(counting({2, 2, 3}));
  same(z[{Array{{true, false}, {false, true}}, Array{0, 2}}], Array{0., 11.});
  same(z[{Array{{true, false}, {false, true}}}], Array{{0., 1., 2.}, {9., 10., 11.}});
  same(z[{ellipsis, Array{{false, false, true}, {true, false, false}}}], Array{{2., 3.}, {8., 9.}});
  CHECK(contains(message<IndexError>([&] {
                   (void)x[Array{true, false, true}];
                 }),
                 "the mask has extent 3 along axis 0 of extent 2"));
  const Tensor a;
  const Function positive({a}, a[a > 0]);
  CHECK(array_equal(positive(Array{1., -1., 2.})[0], Array{1., 2.}));
  CHECK(array_equal(positive(Array{-1., 4.})[0], Array{4.}));
  same(sum(x[x < 0]), Array(-12.));
}

TEST_CASE("Indexing: updated copies through tensors and masks") {
  const Variable x(counting({3, 3}));
  same(x.at(Array{0, 2}).set(9), Array{{9., 9., 9.}, {3., 4., 5.}, {9., 9., 9.}});
  same(x.at(Array{0, 0}).add(Array{{1., 1., 1.}, {2., 2., 2.}}),
       Array{{3., 4., 5.}, {3., 4., 5.}, {6., 7., 8.}});
  // The last one wins.
  same(x.at({Array{1, 1}, Array{0, 0}}).set(Array{7., 8.}),
       Array{{0., 1., 2.}, {8., 4., 5.}, {6., 7., 8.}});
  same(x.at({Slice(1, none), Array{0, 2}}).set(Array{-1., -2.}),
       Array{{0., 1., 2.}, {-1., 4., -2.}, {-1., 7., -2.}});
  same(x.at({1, Array{0, 0}}).add(10), Array{{0., 1., 2.}, {23., 4., 5.}, {6., 7., 8.}});
  same(x.at(x > 5).set(0), Array{{0., 1., 2.}, {3., 4., 5.}, {0., 0., 0.}});
  same(x.at(x > 5).add(Array{1., 2., 3.}), Array{{0., 1., 2.}, {3., 4., 5.}, {7., 9., 11.}});
  same(x.at({Slice(), Array{true, false, true}}).set(Array{5., 6.}),
       Array{{5., 1., 6.}, {5., 4., 6.}, {5., 7., 6.}});
  same(index_put(x, {Tensor(Array{0, 1}), Tensor(Array{2, 2})}, 1., true),
       Array{{0., 1., 3.}, {3., 4., 6.}, {6., 7., 8.}});
}

TEST_CASE("Indexing: gathering and scattering functions") {
  const Tensor x(counting({2, 3}));
  same(nonzero(Array{{0, 2}, {3, 0}}), Array{{0, 1}, {1, 0}});
  same(nonzero_as_tuple(Array{0, 2, 3})[0], Array{1, 2});
  same(count_nonzero(Array{{0, 2}, {3, 4}}), Array(3));
  same(count_nonzero(Array{{0, 2}, {3, 4}}, Axes{0}), Array{1, 2});
  same(masked_select(x, Array{true, false, true}), Array{0., 2., 3., 5.});
  same(masked_fill(x, x > 3, -1), Array{{0., 1., 2.}, {3., -1., -1.}});
  same(masked_scatter(x, Array{{true, false, true}, {false, true, false}}, Array{7., 8., 9.}),
       Array{{7., 1., 8.}, {3., 9., 5.}});
  same(take(x, Array{{5, 0}, {-1, 1}}), Array{{5., 0.}, {5., 1.}});
  same(take_along_dim(x, Array{{2}, {0}}, 1), Array{{2.}, {3.}});
  same(take_along_dim(x, Array{4, 1}), Array{4., 1.});
  same(take_along_dim(x, Array{{1, 0, 1}}, 0), Array{{3., 1., 5.}});
  same(gather(x, 1, Array{{2, 0}}), Array{{2., 0.}});
  same(put(x, Array{0, -1}, Array{8., 9.}), Array{{8., 1., 2.}, {3., 4., 9.}});
  same(put(x, Array{0, 0}, Array{8., 9.}, true), Array{{17., 1., 2.}, {3., 4., 5.}});
  same(index_add(x, 1, Array{0, 0}, ones({2, 2}, DType::float64), 2),
       Array{{4., 1., 2.}, {7., 4., 5.}});
  same(index_copy(x, 0, Array{1}, Array{{7., 8., 9.}}), Array{{0., 1., 2.}, {7., 8., 9.}});
  same(index_fill(x, -1, Array{0, 2}, -1), Array{{-1., 1., -1.}, {-1., 4., -1.}});
  // PyTorch's own example.
  same(scatter(zeros({3, 5}, DType::int64), 0, Array{{0, 1, 2, 0}}, arange(1, 11).reshape({2, 5})),
       Array{{1, 0, 0, 4, 0}, {0, 2, 0, 0, 0}, {0, 0, 3, 0, 0}});
  same(scatter(full({2, 4}, 2.), 1, Array{{2}, {3}}, 1.23).to(DType::float32),
       Array{{2.f, 2.f, 1.23f, 2.f}, {2.f, 2.f, 2.f, 1.23f}});
  same(scatter_add(zeros({3, 5}), 0, Array{{0, 1, 2, 0, 0}}, ones({2, 5})),
       Array{{1.f, 0.f, 0.f, 1.f, 1.f}, {0.f, 1.f, 0.f, 0.f, 0.f}, {0.f, 0.f, 1.f, 0.f, 0.f}});
  const Tensor input(Array{1., 2., 3., 4.}), src(Array{1., 2., 3., 4., 5., 6.});
  const Array index{0, 1, 0, 1, 2, 1};
  same(scatter_reduce(input, 0, index, src, "sum"), Array{5., 14., 8., 4.});
  same(scatter_reduce(input, 0, index, src, "sum", false), Array{4., 12., 5., 4.});
  same(scatter_reduce(Array{5., 4., 3., 2.}, 0, index, src, "amax"), Array{5., 6., 5., 2.});
  same(scatter_reduce(Array{5., 4., 3., 2.}, 0, index, src, "amax", false), Array{3., 6., 5., 2.});
  same(scatter_reduce(input, 0, index, src, "prod"), Array{3., 96., 15., 4.});
  same(scatter_reduce(input, 0, index, src, "mean", false), Array{2., 4., 5., 4.});
  same(scatter_reduce(input, 0, index, src, "amin", false), Array{1., 2., 5., 4.});
  same(gather_nd(x, Array{{0, 2}, {1, -3}}), Array{2., 3.});
  same(gather_nd(counting({2, 2, 2}), Array{{1}, {0}}, 1), Array{{2., 3.}, {4., 5.}});
  same(scatter_nd(zeros({4}), Array{{1}, {3}, {1}}, Array{1.f, 2.f, 3.f}),
       Array{0.f, 3.f, 0.f, 2.f});
  same(scatter_nd(ones({4}), Array{{1}, {3}, {1}}, Array{1.f, 2.f, 3.f}, "mul"),
       Array{1.f, 3.f, 1.f, 2.f});
  same(select(x, 1, -1), Array{2., 5.});
  same(narrow(x, 1, 1, 2), Array{{1., 2.}, {4., 5.}});
  same(narrow(x, 1, -2, 2), Array{{1., 2.}, {4., 5.}});
  same(select_scatter(x, Array{8., 9.}, 1, 0), Array{{8., 1., 2.}, {9., 4., 5.}});
  same(slice_scatter(x, Array{{8.}, {9.}}, 1, 2), Array{{0., 1., 8.}, {3., 4., 9.}});
  same(diagonal_scatter(zeros({3, 3}), ones({2}), 1),
       Array{{0.f, 1.f, 0.f}, {0.f, 0.f, 1.f}, {0.f, 0.f, 0.f}});
  CHECK(contains(message<IndexError>([&] { (void)take(x, Array{6}).value(); }),
                 "index 6 is out of range for an axis of extent 6"));
  CHECK(contains(message<IndexError>([&] { (void)scatter(x, 0, Array{{2}}, 1.).value(); }),
                 "scatter: index 2 is out of range"));
}

TEST_CASE("Indexing: triangles, diagonals, repeats, pieces, arrangements") {
  const Tensor x(counting({2, 3}));
  same(tril(counting({3, 3})), Array{{0., 0., 0.}, {3., 4., 0.}, {6., 7., 8.}});
  same(triu(counting({3, 3}), 1), Array{{0., 1., 2.}, {0., 0., 5.}, {0., 0., 0.}});
  same(tril(x, Variable(-1)), Array{{0., 0., 0.}, {3., 0., 0.}});
  CHECK(array_equal(tril_indices(3, 3, -1), Array{{1, 2, 2}, {0, 0, 1}}));
  CHECK(array_equal(triu_indices(2, 3, 1), Array{{0, 0, 1}, {1, 2, 2}}));
  same(diag(Array{1, 2}), Array{{1, 0}, {0, 2}});
  same(diag(Array{1, 2}, -1), Array{{0, 0, 0}, {1, 0, 0}, {0, 2, 0}});
  same(diag(x, 1), Array{1., 5.});
  same(diag_embed(Array{{1, 2}, {3, 4}}), Array{{{1, 0}, {0, 2}}, {{3, 0}, {0, 4}}});
  same(diagflat(Array{{1, 2}}), Array{{1, 0}, {0, 2}});
  same(block_diag({Tensor(Array{{1, 2}}), Tensor(Array{{3}, {4}})}),
       Array{{1, 2, 0}, {0, 0, 3}, {0, 0, 4}});
  same(repeat(Array{1, 2}, {2, 2}), Array{{1, 2, 1, 2}, {1, 2, 1, 2}});
  same(tile(Array{{1}, {2}}, {2}), Array{{1, 1}, {2, 2}});
  same(repeat_interleave(Array{1, 2, 3}, 2), Array{1, 1, 2, 2, 3, 3});
  same(repeat_interleave(Array{{1, 2}, {3, 4}}, 2, 1), Array{{1, 1, 2, 2}, {3, 3, 4, 4}});
  same(repeat_interleave(Array{{1, 2}, {3, 4}}, Tensor(Array{1, 2}), 0),
       Array{{1, 2}, {3, 4}, {3, 4}});
  same(repeat_interleave(Array{{1, 2}, {3, 4}}, Variable(Array{0, 3}), 1),
       Array{{2, 2, 2}, {4, 4, 4}});
  const Tensors grid = meshgrid({Tensor(Array{1, 2, 3}), Tensor(Array{4, 5})}, "xy");
  same(grid[0], Array{{1, 2, 3}, {1, 2, 3}});
  same(grid[1], Array{{4, 4, 4}, {5, 5, 5}});
  same(meshgrid({Tensor(Array{1, 2}), Tensor(Array{4, 5, 6})})[0], Array{{1, 1, 1}, {2, 2, 2}});
  same(cartesian_prod({Tensor(Array{1, 2}), Tensor(Array{4, 5})}),
       Array{{1, 4}, {1, 5}, {2, 4}, {2, 5}});
  same(combinations(Array{1, 2, 3}), Array{{1, 2}, {1, 3}, {2, 3}});
  same(combinations(Array{1, 2}, 2, true), Array{{1, 1}, {1, 2}, {2, 2}});
  same(combinations(Array{1, 2, 3, 4}, 3), Array{{1, 2, 3}, {1, 2, 4}, {1, 3, 4}, {2, 3, 4}});
  CHECK(combinations(Array{1, 2}, 3).value().shape() == Shape{0, 3});
  const Tensors thirds = chunk(arange(11), 6);
  CHECK(thirds.size() == 6);
  same(thirds[5], Array{10});
  CHECK(chunk(arange(12), 5).size() == 4);
  same(split(arange(5), {1, 4})[1], Array{1, 2, 3, 4});
  same(tensor_split(arange(8), 3)[0], Array{0, 1, 2});
  same(tensor_split(arange(7), {1, 6})[2], Array{6});
  same(hsplit(x, 3)[1], Array{{1.}, {4.}});
  same(vsplit(x, 2)[1], Array{{3., 4., 5.}});
  same(unbind(x, 1)[2], Array{2., 5.});
  same(roll(arange(5), {2}), Array{3, 4, 0, 1, 2});
  same(roll(x, {1, -1}, {0, 1}), Array{{4., 5., 3.}, {1., 2., 0.}});
  same(roll(x, {1}), Array{{5., 0., 1.}, {2., 3., 4.}});
  same(rot90(Array{{0, 1}, {2, 3}}), Array{{1, 3}, {0, 2}});
  same(rot90(Array{{0, 1}, {2, 3}}, -1), Array{{2, 0}, {3, 1}});
  same(fliplr(x), Array{{2., 1., 0.}, {5., 4., 3.}});
  same(flipud(x), Array{{3., 4., 5.}, {0., 1., 2.}});
  CHECK(movedim(zeros({3, 2, 1}), 1, 0).shape() == Shape{2, 3, 1});
  CHECK(movedim(zeros({3, 2, 1}), {1, 2}, {0, 1}).shape() == Shape{2, 1, 3});
  CHECK(swapaxes(zeros({3, 2, 1}), 0, 2).shape() == Shape{1, 2, 3});
  CHECK(unflatten(zeros({3, 4, 1}), 1, {2, -1}).shape() == Shape{3, 2, 2, 1});
  CHECK(atleast_3d(zeros({4})).shape() == Shape{1, 4, 1});
  CHECK(atleast_2d(Tensor(1.0)).shape() == Shape{1, 1});
  same(hstack({Tensor(Array{1, 2}), Tensor(Array{3})}), Array{1, 2, 3});
  same(vstack({Tensor(Array{1, 2}), Tensor(Array{3, 4})}), Array{{1, 2}, {3, 4}});
  CHECK(dstack({Tensor(Array{1, 2}), Tensor(Array{3, 4})}).shape() == Shape{1, 2, 2});
  same(column_stack({Tensor(Array{1, 2}), Tensor(Array{{3}, {4}})}), Array{{1, 3}, {2, 4}});
  same(shape(x), Array{2, 3});
  const Tensors places = unravel_index(Array{5, 0}, {2, 3});
  same(places[0], Array{1, 0});
  same(places[1], Array{2, 0});
  same(slice(x, Array{1}, Array{3}, Array{1}), Array{{1., 2.}, {4., 5.}});
  same(broadcast_tensors({Tensor(Array{1, 2}), Tensor(Array{{1.5}, {2.5}})})[1],
       Array{{1.5, 1.5}, {2.5, 2.5}});
}

TEST_CASE("Indexing: gradients, and theirs, before anything is known of the operands") {
  const Array x = Array::from(std::vector<double>{0.3, -1.2, 0.7, 1.9, -0.4, 0.8}, {2, 3});
  const auto list = [](std::vector<std::int64_t> v) { return Tensor(Variable(Array::from(v))); };
  check_slopes([&](const Tensor& t) { return reshape(t, list({3, 2})); }, x, "reshape");
  check_slopes([&](const Tensor& t) { return broadcast_to(t, list({2, 2, 3})); }, x, "broadcast");
  check_slopes([&](const Tensor& t) { return tile(t, list({2, 1, 3})); }, x, "tile");
  check_slopes(
      [&](const Tensor& t) { return slice(t, list({1}), list({-9}), list({-1}), list({-1})); }, x,
      "slice");
  check_slopes(
      [&](const Tensor& t) {
        return apply_row(ops::pad_by, {t, list({1, -1, 0, 2})});
      },
      x, "pad");
  check_slopes(
      [&](const Tensor& t) {
        return apply_row(ops::pad_by, {t, list({1, 0}), sum(t), list({1})});
      },
      x, "pad with a value");
  check_slopes(
      [&](const Tensor& t) {
        return apply_row(ops::sum_by, {t, list({1})}, ir::ReduceAttrs{{}, true, false});
      },
      x, "sum_by");
  check_slopes(
      [&](const Tensor& t) {
        return apply_row(ops::unsqueeze_by, {t, list({1})});
      },
      x, "unsqueeze");
  check_slopes(
      [&](const Tensor& t) {
        return apply_row(ops::one_hot_by, {list({1, 0}), list({3}), t[0][Slice(0, 2)]},
                         ir::AxisAttrs{-1});
      },
      x, "one_hot");
  check_slopes([&](const Tensor& t) { return full(list({2, 2}), sum(t)); }, x, "full");
  check_slopes([](const Tensor& t) { return t[t > 0]; }, x, "mask");
  check_slopes([](const Tensor& t) { return t[{Array{0, 1, 1}, Array{2, 0, 0}}]; }, x, "tuples");
  check_slopes([](const Tensor& t) { return t.at(t > 0).add(t[t > 0]); }, x, "mask add");
  check_slopes(
      [](const Tensor& t) {
        return t.at(Array{1, 1}).set(t[Slice(0, 1)] * 2.0);
      },
      x, "the last one wins");
  check_slopes(
      [](const Tensor& t) {
        return masked_select(t, Array{{true, false, true}});
      },
      x, "masked_select");
  check_slopes([](const Tensor& t) { return roll(t, {1}); }, x, "roll");
  check_slopes([](const Tensor& t) { return triu(t); }, x, "triu");
  check_slopes(
      [](const Tensor& t) {
        return scatter_reduce(t, 0, Array{{0, 0, 0}, {0, 1, 0}}, t, "prod");
      },
      x, "prod");
  check_slopes(
      [](const Tensor& t) {
        return scatter_reduce(t, 0, Array{{0, 0, 0}, {0, 1, 0}}, t * 1.5, "amax", false);
      },
      x, "amax");
  check_slopes(
      [](const Tensor& t) {
        return scatter_reduce(t, 0, Array{{0, 0, 0}, {0, 1, 0}}, t, "mean");
      },
      x, "mean");
  check_slopes([&](const Tensor& t) { return repeat_interleave(t, list({2, 1}), 0); }, x, "repeat");
}

TEST_CASE("Indexing: a class out of range is an error, an ignored one is not") {
  const Tensor scores, targets;
  const Tensor loss = nn::cross_entropy(scores, targets);
  const Function f({scores, targets}, loss), g({scores, targets}, grad(loss, {scores})[0]);
  const Array x = zeros({2, 3});
  CHECK(f(x, Array{0, -100})[0].item<double>() == doctest::Approx(1.0986123));
  for (const Function* each : {&f, &g})
    for (const std::int64_t wrong : {3, -1}) {
      const std::string error = message<IndexError>([&] {
        (void)(*each)(x, Array{std::int64_t{0}, wrong});
      });
      CHECK(contains(error, "cross_entropy: index " + std::to_string(wrong) +
                                " is out of range for classes of extent 3"));
      CHECK(contains(error, "indexing_test.cpp"));
    }
}

TEST_CASE("Indexing: extents that vary from call to call") {
  const Tensor x, i;
  const Function rows({x, i}, x[{i, i}]), positive({x}, x[x > 0]), put({x, i}, x.at(i).add(1));
  for (std::int64_t n = 3; n < 8; ++n) {
    const Array square = counting({n, n}), at{std::int64_t{0}, n - 1};
    const double last = static_cast<double>(n * n - 1);
    CHECK(array_equal(rows(square, at)[0], Array{0., last}));
    CHECK(positive(square)[0].size() == n * n - 1);
    CHECK(put(square, at)[0].tolist<double>().back() == last + 1);
  }
}

TEST_CASE("A shape that depends on values is known where they are") {
  const auto check = [] {
    Variable x(arange(24).reshape({2, 3, 4}), "x"), i(1, "i");
    const Tensor y = x[{Slice(none, i), Slice(i + 1, none)}];
    REQUIRE(y.has_value());
    CHECK(y.shape() == Shape{1, 1, 4});
    CHECK(y.ndim() == 3);
    CHECK(y.size() == 4);
    CHECK(y.dtype() == DType::int64);
    CHECK(x[x > 3].shape() == Shape{20});
    CHECK(nonzero(x).shape() == Shape{23, 3});
    i.set_value(0);
    CHECK(y.shape() == Shape{0, 2, 4});
    CHECK(y.size() == 0);
    const Variable z(Array{1.0, 2.0, 3.0}, "z");
    CHECK(array_equal(jacobian(z[z > 1], z).value(), Array{{0.0, 1.0, 0.0}, {0.0, 0.0, 1.0}}));
  };
  check();
  {
    const ScopedEvalMode lazy(EvalMode::lazy);
    check();
  }
  Tensor p("p");
  const Tensor chosen = p[p > 3];
  CHECK_FALSE(chosen.has_value());
  CHECK_THROWS_AS((void)chosen.shape(), ShapeError);
  CHECK_THROWS_AS((void)chosen.size(), ShapeError);
  p.set_value(Array{1, 5});
  CHECK(chosen.shape() == Shape{1});
}

TEST_CASE("Pieces that lie beyond the end are empty, in gradients too") {
  const Variable x(Array{1., 2., 3., 4.});
  const Tensors parts = tensor_split(x, std::vector<std::int64_t>{9, 3});
  CHECK(parts[1].value().size() == 0);
  const Tensor loss = sum(parts[0] * 2.0) + sum(parts[1]) + sum(parts[2]);
  same(grad(loss, {x})[0], Array{2., 2., 2., 3.});
  CHECK(chunk(Tensor(zeros({2, 0})), 3, 1).size() == 3);
}

TEST_CASE("take_along_dim broadcasts extents that are not known") {
  Tensor x({dim("N"), dim("M")}, DType::float64), i({dim("K"), dim("L")}, DType::int64);
  const Function f({x, i}, take_along_dim(x, i, 1));
  same(f(counting({3, 4}), Array{{2, 0}})[0], Array{{2., 0.}, {6., 4.}, {10., 8.}});
  same(f(counting({1, 4}), Array{{2, 0}, {1, 1}})[0], Array{{2., 0.}, {1., 1.}});
}
