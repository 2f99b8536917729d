// Positions added to sequences: learned rows and sinusoids, of lengths that are known at once, at a
// call, or change.
#include <doctest/doctest.h>

#include <cmath>
#include <string>
#include <vector>

#include "thrown.h"
#include "weft/weft.h"

using namespace weft;

namespace {

using List = std::vector<double>;

List values(const Tensor& t) { return t.value().tolist<double>(); }
Array waves(const Shape& shape, double start) {
  List list(static_cast<std::size_t>(element_count(shape)));
  for (std::size_t i = 0; i < list.size(); ++i)
    list[i] = std::cos(start + 0.37 * static_cast<double>(i));
  return Array::from(list, shape);
}
/// x (…, length, width) plus the first rows of a table (…, width).
List plus_rows(const Array& x, const List& table) {
  List result = x.tolist<double>();
  const auto each = static_cast<std::size_t>(x.shape()[x.ndim() - 1] * x.shape()[x.ndim() - 2]);
  for (std::size_t i = 0; i < result.size(); ++i) result[i] += table[i % each];
  return result;
}

/// New modules hold float64 until this ends.
struct Doubles {
  DType before = default_dtype();
  Doubles() { set_default_dtype(DType::float64); }
  ~Doubles() { set_default_dtype(before); }
};

}  // namespace

TEST_CASE("PositionalEmbedding: rows of its table are added, and learned") {
  const Doubles doubles;
  nn::PositionalEmbedding positions(5, 3);
  CHECK(positions.named_parameters().size() == 1);
  CHECK(positions.named_parameters()[0].first == "weight");
  CHECK(positions.weight.shape() == Shape{5, 3});
  CHECK(positions.buffers().empty());
  const List table = values(positions.weight);
  for (const Shape& shape :
       {Shape{4, 3}, {2, 3, 3}, {2, 2, 5, 3}, {2, 1, 3}, {0, 2, 3}, {2, 0, 3}}) {
    const Array x = waves(shape, 1);
    CHECK(positions(Tensor(x)).shape() == shape);
    CHECK(values(positions(Tensor(x))) == plus_rows(x, table));
  }

  const Array x = waves({2, 3, 3}, 2), scale = waves({2, 3, 3}, 5);
  const Variable held(x, "x");
  const Tensor loss = sum(square(positions(held)) * Tensor(scale));
  const std::vector<Tensor> slopes = grad(loss, {positions.weight, held});
  for (std::size_t k = 0; k < 2; ++k) {
    Tensor moved = k == 0 ? positions.weight : Tensor(held);
    const Array before = moved.value();
    const List slope = values(slopes[k]);
    REQUIRE(slope.size() == static_cast<std::size_t>(before.size()));
    for (std::size_t i = 0; i < slope.size(); ++i) {
      const auto at = [&](double step) {
        List list = before.tolist<double>();
        list[i] += step;
        moved.set_value(Array::from(list, before.shape()));
        return loss.item<double>();
      };
      CHECK(slope[i] == doctest::Approx((at(1e-5) - at(-1e-5)) / 2e-5).epsilon(1e-6));
    }
    moved.set_value(before);
  }
}

TEST_CASE("PositionalEmbedding begins standard normal") {
  manual_seed(3);
  const nn::PositionalEmbedding positions(100, 50);
  CHECK(positions.weight.value().dtype() == default_dtype());
  double total = 0, squares = 0;
  for (const double w : values(positions.weight)) total += w, squares += w * w;
  CHECK(std::fabs(total / 5000) < 0.05);
  CHECK(squares / 5000 == doctest::Approx(1).epsilon(0.06));
}

TEST_CASE("Positions of lengths that are known at a call, or change") {
  const Doubles doubles;
  nn::PositionalEmbedding learned(4, 3);
  nn::SinusoidalEncoding fixed(4, 3);
  for (nn::Module* module :
       {static_cast<nn::Module*>(&learned), static_cast<nn::Module*>(&fixed)}) {
    const List table = values(module == &learned ? learned.weight : fixed.encoding);
    const Tensor declared({dim("N"), dim("L"), 3}, DType::float64), unknown("unknown");
    const Function f({declared}, (*module)(declared)), g({unknown}, (*module)(unknown));
    for (const std::int64_t length : {1, 2, 3, 4, 2}) {
      const Array x = waves({2, length, 3}, static_cast<double>(length));
      CHECK(f(x)[0].tolist<double>() == plus_rows(x, table));
      CHECK(g(x)[0].tolist<double>() == plus_rows(x, table));
      CHECK(g(x.reshape({2 * length / 2, 2, 3}))[0].tolist<double>() ==
            plus_rows(x.reshape({length, 2, 3}), table));
    }
    CHECK(f.stats().kernels == 1);
    const std::string here = "(nn_positional_test.cpp:";
    CHECK(contains(message<ShapeError>([&] { (void)f(zeros({2, 5, 3}, DType::float64)); }), here));
    CHECK(contains(message<ShapeError>([&] { (void)g(zeros({5, 3})); }), here));
    CHECK(contains(message<ShapeError>([&] { (void)g(zeros({4, 1})); }), here));
    CHECK(contains(message<ShapeError>([&] { (void)g(zeros({3})); }), here));

    Tensor live("live");
    live.set_value(waves({2, 3, 3}, 1));
    const Tensor y = (*module)(live);
    CHECK(values(y) == plus_rows(live.value(), table));
    live.set_value(waves({4, 3}, 2));
    CHECK(values(y) == plus_rows(live.value(), table));
    CHECK(contains(message<ShapeError>([&] { live.set_value(zeros({2, 5, 3})); }), here));
    CHECK(values(y) == plus_rows(live.value(), table));  // as it was
  }
  // A table of one row is not repeated.
  nn::PositionalEmbedding one(1, 3);
  const Tensor x("x");
  const Function f({x}, one(x));
  CHECK_THROWS_AS((void)f(zeros({2, 3})), ShapeError);
  CHECK(f(zeros({2, 1, 3}))[0].shape() == Shape{2, 1, 3});

  const Tensor batch(waves({4, 3, 3}, 7));
  const GraphFn one_sequence = [&](std::span<const Tensor> x) {
    return std::vector<Tensor>{learned(x[0])};
  };
  const std::vector<Tensor> each = vmap(one_sequence)(std::vector<Tensor>{batch});
  CHECK(values(each[0]) == plus_rows(batch.value(), values(learned.weight)));
}

TEST_CASE("SinusoidalEncoding: sines in even places, cosines in odd ones, and no parameter") {
  const Doubles doubles;
  for (const std::int64_t width : {6, 5, 1}) {
    for (const double base : {10000.0, 50.0}) {
      nn::SinusoidalEncoding positions(7, width, base);
      CHECK(positions.parameters().empty());
      REQUIRE(positions.named_buffers().size() == 1);
      CHECK(positions.named_buffers()[0].first == "encoding");
      CHECK(positions.encoding.shape() == Shape{7, width});
      const List table = values(positions.encoding);
      for (std::int64_t p = 0; p < 7; ++p)
        for (std::int64_t i = 0; i < width; ++i) {
          const double rate = std::exp(-std::log(base) * static_cast<double>(2 * (i / 2)) /
                                       static_cast<double>(width));
          const double angle = static_cast<double>(p) * rate;
          CHECK(table[static_cast<std::size_t>(p * width + i)] ==
                doctest::Approx(i % 2 ? std::cos(angle) : std::sin(angle)));
        }
      const Array x = waves({2, 4, width}, 1);
      CHECK(values(positions(Tensor(x))) == plus_rows(x, table));
    }
  }
  nn::SinusoidalEncoding positions(3, 4);
  const List known{
      0, 1, 0, 1, 0.8414709848078965, 0.5403023058681398, 0.009999833334166664, 0.9999500004166653};
  const List table = values(positions.encoding);
  for (std::size_t i = 0; i < known.size(); ++i) CHECK(table[i] == doctest::Approx(known[i]));
  nn::Sequential model(positions, nn::Dropout(0.1), nn::Linear(4, 2));
  CHECK(model.parameters().size() == 2);
  CHECK(model.state_dict().contains("0.encoding"));
}

TEST_CASE("Positions: errors name the module and the user's line") {
  nn::PositionalEmbedding learned(4, 3);
  nn::SinusoidalEncoding fixed(4, 3);
  const std::string here = "(nn_positional_test.cpp:";
  const auto refused = [&](auto&& f, const std::string& why) {
    const std::string text = message<ShapeError>(f);
    CAPTURE(text);
    CHECK(contains(text, why));
    CHECK(contains(text, here));
  };
  refused(
      [&] {
        (void)learned(zeros({2, 5, 3}));
      },
      "PositionalEmbedding of float32(2, 5, 3): longer than its 4 positions");
  refused(
      [&] {
        (void)fixed(zeros({5, 3}));
      },
      "SinusoidalEncoding of float32(5, 3): longer than its 4 positions");
  refused(
      [&] {
        (void)learned(zeros({2, 4, 2}));
      },
      "PositionalEmbedding of float32(2, 4, 2): expected a width of 3");
  refused([&] { (void)fixed(zeros({2, 4, 1})); }, "expected a width of 3");
  refused([&] { (void)learned(zeros({3})); }, "needs (…, length, width)");
  refused([&] { nn::PositionalEmbedding(0, 3); }, "PositionalEmbedding: a table of 0 positions");
  refused([&] { nn::SinusoidalEncoding(2, -1); }, "SinusoidalEncoding: a table of 2 positions");
  for (const double base : {0.0, -1.0, std::nan("")}) {
    const std::string text = message<Error>([&] { nn::SinusoidalEncoding(2, 2, base); });
    CHECK(contains(text, "SinusoidalEncoding: a base of"));
    CHECK(contains(text, here));
  }
}
