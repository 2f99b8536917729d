// Wrong and odd uses: what gave a crash, a wrong number or a nameless error once.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <string>

#include "thrown.h"
#include "weft/keras_backend.h"
#include "weft/weft.h"

using namespace weft;

namespace {

/// `rows` rows of four: 0, 1, 2, …
Array counted(std::int64_t rows) { return arange(4 * rows, DType::float32).reshape({rows, 4}); }

}  // namespace

TEST_CASE("A function of many shapes refuses what its type rules refuse") {
  Tensor x("x");
  const Function rows_of_eight({x}, reshape(x, {-1, 8}));
  for (const std::int64_t rows : {2, 4, 6, 8, 10})
    CHECK(rows_of_eight(counted(rows))[0].shape() == Shape{rows / 2, 8});
  CHECK(contains(message<ShapeError>([&] { (void)rows_of_eight(counted(5)); }), "20 elements"));

  const Function one_row({x}, x.squeeze(0));
  for (int times = 0; times < 2; ++times) {
    for (const std::int64_t rows : {2, 3, 5, 7})
      CHECK(message<ShapeError>([&] { (void)one_row(counted(rows)); }) != "nothing thrown");
    CHECK(one_row(counted(1))[0].shape() == Shape{4});
  }

  const Function third({x}, x[2]);
  for (const std::int64_t rows : {3, 4, 5, 6})
    CHECK(array_equal(third(counted(rows))[0], Array{8.f, 9.f, 10.f, 11.f}));
  CHECK(message<Error>([&] { (void)third(counted(2)); }) != "nothing thrown");
}

TEST_CASE("Extents that were always equal may differ later") {
  Tensor a("a"), b("b");
  const Function joined({a, b}, concatenate({a, b}));
  const Function product({a, b}, matmul(a, b.t()));
  for (const std::int64_t n : {2, 3, 5, 6}) {
    CHECK(joined(counted(n), counted(n))[0].shape() == Shape{2 * n, 4});
    CHECK(product(counted(n), counted(n))[0].shape() == Shape{n, n});
  }
  CHECK(joined(counted(4), counted(3))[0].shape() == Shape{7, 4});
  CHECK(joined(counted(0), counted(3))[0].shape() == Shape{3, 4});
  CHECK(product(counted(7), counted(8))[0].shape() == Shape{7, 8});
  const Function sum_of({a, b}, a + b);
  for (const std::int64_t n : {2, 3, 5, 6})
    CHECK(sum_of(counted(n), counted(n))[0].shape() == Shape{n, 4});
  CHECK(sum_of(counted(4), counted(1))[0].shape() == Shape{4, 4});
  CHECK(contains(message<ShapeError>([&] { (void)sum_of(counted(4), counted(3)); }), "add of"));
}

TEST_CASE("An extent that unknown arithmetic makes one still broadcasts") {
  Tensor x("x"), y("y");
  const Function f({x, y}, x[{Slice(1, none)}] + y);
  for (const std::int64_t n : {3, 4, 5, 6})
    CHECK(f(counted(n), counted(n - 1))[0].shape() == Shape{n - 1, 4});
  CHECK(f(counted(2), counted(3))[0].shape() == Shape{3, 4});
  const Function g({x}, x[{Slice(1, none)}].squeeze());
  for (const std::int64_t n : {3, 4, 5, 6}) CHECK(g(counted(n))[0].shape() == Shape{n - 1, 4});
  CHECK(g(counted(2))[0].shape() == Shape{4});
}

TEST_CASE("Inputs declared with one unknown must agree") {
  Tensor a({dim("N")}, DType::float32, "a"), b({dim("N")}, DType::float32, "b");
  const Function f({a, b}, a + b);
  CHECK(f(ones({3}), ones({3}))[0].shape() == Shape{3});
  CHECK(contains(message<ShapeError>([&] { (void)f(ones({3}), ones({1})); }),
                 "N cannot be both 3 and 1"));
}

TEST_CASE("An update keeps its variable's type") {
  Tensor a("a");
  const Variable w(zeros({2}), "w");
  const Function f({a}, a, {.updates = {{w, a}}});
  CHECK(contains(message<ShapeError>([&] { (void)f(ones({3})); }), "update of w"));
  CHECK(contains(message<DTypeError>([&] { (void)f(ones({2}, DType::float64)); }), "update of w"));
  CHECK(array_equal(w.value(), zeros({2})));
  const Function widened(std::vector<Tensor>{}, std::vector<Tensor>{},
                         {.updates = {{w, w + Array{1.0, 2.0}}}});
  (void)widened();
  CHECK(w.value().dtype() == DType::float32);
  CHECK(array_equal(w.value(), Array{1.f, 2.f}));
  const Variable n(zeros({2}, DType::int32), "n");
  const Function fraction(std::vector<Tensor>{}, std::vector<Tensor>{},
                          {.updates = {{n, n + 0.5}}});
  CHECK(contains(message<DTypeError>([&] { (void)fraction(); }), "update of n"));
}

TEST_CASE("jvp of reductions, jacobian of nothing") {
  const Variable a(Array{1.f, 2.f}), tangent(ones({2}));
  const std::vector<Tensor> along = jvp({a * a, sum(a), max(a), a * a}, {a}, {tangent});
  CHECK(array_equal(along[0].value(), Array{2.f, 4.f}));
  CHECK(along[1].item<float>() == 2);
  CHECK(along[2].item<float>() == 1);
  CHECK(array_equal(along[3].value(), Array{2.f, 4.f}));
  const Variable none_of_it(zeros({0}));
  CHECK(jacobian(none_of_it * 2, none_of_it).shape() == Shape{0, 0});
}

TEST_CASE("Extents that overflow name the operation and the line") {
  const Variable x(zeros({4}), "x");
  const auto huge = std::numeric_limits<std::int64_t>::max();
  const std::string text = message<ShapeError>([&] { (void)reshape(x, {huge, huge, 4}); });
  CHECK(contains(text, "reshape"));
  CHECK(contains(text, "attack_test.cpp:"));
}

TEST_CASE("Scalars alone are of the default dtype; whole numbers clip to whole bounds") {
  const Variable mask(Array{true, false});
  CHECK(where(mask, 1.0, 0.0).value().dtype() == DType::float32);
  CHECK(where(mask, 1, 0).value().dtype() == DType::int64);
  const Variable n(Array{1, 2, 5});
  CHECK(array_equal(clip(n, 1.5, 3.5).value(), Array{2, 2, 3}));
  CHECK(std::isinf((n * std::numeric_limits<double>::infinity()).value().tolist<float>()[0]));
}

TEST_CASE("A watcher that is no function, a batch of all there is") {
  const Variable x(1.f, "x");
  CHECK(contains(message<Error>([&] { (void)x.on_change({}); }), "on_change of x"));
  const auto most = std::numeric_limits<std::int64_t>::max();
  const data::DataLoader loader({ones({4, 2}), ones({4})}, {.batch_size = most, .shuffle = true});
  CHECK(loader.size() == 1);
  for (const data::Dataset& batch : loader) CHECK(batch.size() == 4);
}

TEST_CASE("Axes and counts that nothing has are refused, not walked to") {
  namespace k = keras;
  const auto huge = std::numeric_limits<std::int64_t>::max();
  const Variable x(ones({2, 3}), "x"), row(ones({3}), "row"), at(Array{0, 1}, "at");
  Tensor unknown("unknown");
  const auto dropped = [](const Tensor& t, std::int64_t axes) {
    (void)feature_alpha_dropout(t, 0.5, true, axes);
  };
  CHECK(contains(message<ShapeError>([&] { dropped(unknown, huge); }), "feature_alpha_dropout"));
  CHECK(contains(message<ShapeError>([&] { dropped(x, -1); }), "attack_test.cpp:"));
  const auto normalized = [&] { (void)k::batch_normalization(x, row, row, {}, {}, -huge); };
  CHECK(contains(message<ShapeError>(normalized), "batch_normalization"));
  CHECK(contains(message<ShapeError>([&] { (void)index_add(unknown, huge, at, x); }),
                 "attack_test.cpp:"));
  CHECK(contains(message<ShapeError>([&] { (void)select_scatter(unknown, x, -huge, 0); }),
                 "attack_test.cpp:"));
  const auto step = [](const Tensor& in, const std::vector<Tensor>& states) {
    return k::StepResult{in + states[0], {in}};
  };
  const auto run = [&](std::int64_t steps) {
    (void)k::rnn(step, Variable(ones({2, 4, 3})), {x}, false, {}, {}, false, steps);
  };
  CHECK(contains(message<ShapeError>([&] { run(-1); }), "rnn: -1 steps"));
  CHECK(contains(message<ShapeError>([&] { (void)histogram(x, huge); }), "histogram"));
}

TEST_CASE("Windows and scales larger than memory, or of no number, are errors") {
  const std::int64_t huge = std::int64_t{1} << 60;
  CHECK(message<Error>([&] { (void)hann_window(huge); }) != "nothing thrown");
  CHECK(message<Error>([&] { (void)rfftfreq(huge); }) != "nothing thrown");
  CHECK(message<Error>([&] { (void)mel_weight_matrix(3, huge, 8000, 10, 3000); }) !=
        "nothing thrown");
  const double nan = std::nan("");
  CHECK(contains(message<Error>([&] { (void)mel_weight_matrix(3, 8, 8000, nan, 3000); }),
                 "mel_weight_matrix"));
  // Bins far above those of the transform are not walked to.
  CHECK(mel_weight_matrix(3, 8, 1, 10, 1e300).shape() == Shape{5, 3});
}

TEST_CASE("Branches and medians are reported on the caller's line") {
  const Variable yes(true), a(ones({3, 2}), "a"), b(ones({3}), "b"), none_of_it(ones({0}), "none");
  const auto first = [](std::span<const Tensor> s) { return std::vector<Tensor>{s[0]}; };
  const auto second = [](std::span<const Tensor> s) { return std::vector<Tensor>{s[1]}; };
  CHECK(contains(message<ShapeError>([&] { (void)cond(yes, first, second, {a, b}); }),
                 "attack_test.cpp:"));
  CHECK(contains(message<Error>([&] { (void)nanmedian(none_of_it); }), "attack_test.cpp:"));
  CHECK(contains(message<Error>([&] { (void)median(none_of_it); }), "attack_test.cpp:"));
}
