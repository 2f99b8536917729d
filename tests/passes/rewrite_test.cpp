// Every rewrite keeps its promise. A row's pattern is built over inputs of special and of random
// values; the graph before and after is evaluated element by element from the catalogue's meanings,
// and (for the accurate rows) in a hundred digits.
#include <doctest/doctest.h>

#include <boost/multiprecision/cpp_bin_float.hpp>
#include <charconv>
#include <cmath>
#include <map>
#include <random>
#include <sstream>

#include "ir/ops/attrs.h"
#include "passes/rewrite.h"
#include "tests/ir/ops_evaluate.h"

using namespace weft;
using ir::NodeRef;
using passes::Promise;
using passes::Rewrite;

namespace {

using Exact = boost::multiprecision::cpp_bin_float_100;

/// A pattern of the table, read a second time: `(op ?x 1 @a)`.
class Reader {
 public:
  Reader(std::string_view text, DType dtype, Shape shape)
      : text_(text), dtype_(dtype), shape_(std::move(shape)) {}

  NodeRef read() {
    while (peek() == ' ') ++at_;
    if (peek() == '?') return variable();
    if (peek() != '(') return number();
    const std::size_t begin = ++at_;
    while (peek() != ' ' && peek() != ')') ++at_;
    const ir::Op* op = ir::find_op(text_.substr(begin, at_ - begin));
    REQUIRE(op);
    std::vector<NodeRef> operands;
    ir::Attrs attrs;
    while (true) {
      while (peek() == ' ') ++at_;
      if (peek() == ')') break;
      if (peek() == '@') {
        at_ += 2;
        if (op == &ir::ops::sum)
          attrs = ir::ReduceAttrs{{-1}, false, false};
        else
          attrs = ir::AxisAttrs{-1};
      } else {
        if (op == &ir::ops::where && operands.empty()) boolean_ = true;
        operands.push_back(read());
        boolean_ = false;
      }
    }
    ++at_;
    return make_node(*op, std::move(operands), std::move(attrs));
  }
  std::map<char, NodeRef> variables;

 private:
  [[nodiscard]] char peek() const { return text_[at_]; }
  NodeRef variable() {
    const char name = text_[at_ + 1];
    at_ += 2;
    if (peek() == ':') at_ += 2;
    NodeRef& v = variables[name];
    if (!v)
      v = ir::make_input({boolean_ ? DType::boolean : dtype_, to_dims(shape_)},
                         std::string(1, name));
    return v;
  }
  NodeRef number() {
    double value = 0;
    const auto [end, error] =
        std::from_chars(text_.data() + at_, text_.data() + text_.size(), value);
    REQUIRE(error == std::errc{});
    at_ = static_cast<std::size_t>(end - text_.data());
    return ir::make_constant(ir::Literal::scalar(DType::float64, value), true);
  }

  std::string_view text_;
  std::size_t at_ = 0;
  DType dtype_;
  Shape shape_;
  bool boolean_ = false;
};

/// What breaks identities: zeros of both signs, the smallest, the largest, infinities, NaN, ties of
/// roundings.
std::vector<double> special_values(DType t) {
  constexpr double inf = std::numeric_limits<double>::infinity();
  if (t == DType::boolean) return {0, 1};
  if (t == DType::uint8) return {0, 1, 2, 7, 100, 128, 255};
  if (is_integer(t)) return {0, 1, -1, 2, -7, 100, -2147483648.0, 2147483647.0};
  const double tiny = t == DType::float64 ? 0x1p-1074 : t == DType::float16 ? 0x1p-24 : 0x1p-133;
  const double largest = t == DType::float64   ? 0x1.fffffffffffffp1023
                         : t == DType::float16 ? 65504
                                               : 0x1.fep127;
  return {0.0,
          -0.0,
          1,
          -1,
          0.5,
          -0.5,
          1.5,
          2.5,
          -2.5,
          tiny,
          -tiny,
          3 * tiny,
          1e-3,
          -1e-3,
          88.5,
          -88.5,
          17,
          -30,
          largest,
          -largest,
          inf,
          -inf,
          std::numeric_limits<double>::quiet_NaN()};
}

struct Instance {
  NodeRef before;
  NodeRef after;
  std::map<char, NodeRef> variables;
};

/// Nothing where the pattern is not defined for this dtype.
std::optional<Instance> instance(const Rewrite& row, DType dtype, Shape shape) {
  Reader reader(row.pattern, dtype, std::move(shape));
  NodeRef before;
  try {
    before = reader.read();
  } catch (const DTypeError&) { return std::nullopt; }
  std::vector<NodeRef> inputs;
  for (const auto& [name, node] : reader.variables) inputs.push_back(node);
  const Promise promises[] = {row.promise};
  const ir::Graph graph = passes::rewrite(ir::Graph(inputs, {before}), promises);
  return Instance{before, graph.outputs()[0], reader.variables};
}

/// Values for every variable: all pairs of special ones, then random ones.
std::map<char, check::Value> assign(const Instance& i, std::size_t count, std::mt19937& rng) {
  std::map<char, check::Value> result;
  std::size_t stride = 1;
  for (const auto& [name, node] : i.variables) {
    const DType t = *node->type().dtype;
    const std::vector<double> special = special_values(t);
    check::Value v{t, *to_shape(*node->type().shape), {}};
    std::normal_distribution<double> normal(0, 3);
    for (std::size_t k = 0; k < static_cast<std::size_t>(element_count(v.shape)); ++k)
      v.bits.push_back(check::to_bits(
          t, k < count
                 ? special[k / stride % special.size()]
                 : std::round(64 * normal(rng)) / 64 + (is_floating(t) ? 1e-3 * normal(rng) : 0)));
    stride *= special.size();
    result[name] = std::move(v);
  }
  return result;
}

check::Value evaluate(const NodeRef& node, const Instance& i,
                      const std::map<char, check::Value>& values) {
  check::Evaluator run;
  for (const auto& [name, input] : i.variables) run.set(input, values.at(name));
  return run(node);
}

bool same_bits(DType t, std::uint64_t a, std::uint64_t b) {
  return a == b || (is_floating(t) && std::isnan(check::to_double(t, a)) &&
                    std::isnan(check::to_double(t, b)));
}

// ---- a hundred digits ----

using Numbers = std::vector<Exact>;

/// The pattern as mathematics. `row` elements lie along the reduced axis.
Numbers exactly(const ir::Node& n, const std::map<const ir::Node*, Numbers>& leaves,
                std::size_t row) {
  if (const auto found = leaves.find(&n); found != leaves.end()) return found->second;
  if (&n.op() == &ir::ops::constant) return {Exact(n.attrs().get<ir::ConstantAttrs>().value.at(0))};
  std::vector<Numbers> x;
  std::size_t count = 1;
  for (const NodeRef& input : n.inputs()) {
    x.push_back(exactly(*input, leaves, row));
    count = std::max(count, x.back().size());
  }
  const auto each = [&](auto f) {
    Numbers out;
    for (std::size_t i = 0; i < count; ++i)
      out.push_back(f(x[0][x[0].size() == 1 ? 0 : i],
                      x.size() > 1 ? x[1][x[1].size() == 1 ? 0 : i] : Exact(0)));
    return out;
  };
  namespace ops = ir::ops;
  const ir::Op* op = &n.op();
  if (op == &ops::add) return each([](const Exact& a, const Exact& b) { return Exact(a + b); });
  if (op == &ops::sub) return each([](const Exact& a, const Exact& b) { return Exact(a - b); });
  if (op == &ops::div) return each([](const Exact& a, const Exact& b) { return Exact(a / b); });
  if (op == &ops::neg) return each([](const Exact& a, const Exact&) { return Exact(-a); });
  if (op == &ops::reciprocal)
    return each([](const Exact& a, const Exact&) { return Exact(1 / a); });
  if (op == &ops::exp)
    return each([](const Exact& a, const Exact&) { return Exact(boost::multiprecision::exp(a)); });
  if (op == &ops::log)
    return each([](const Exact& a, const Exact&) { return Exact(boost::multiprecision::log(a)); });
  if (op == &ops::log1p)
    return each(
        [](const Exact& a, const Exact&) { return Exact(boost::multiprecision::log(1 + a)); });
  if (op == &ops::sigmoid)
    return each([](const Exact& a, const Exact&) {
      return Exact(1 / (1 + boost::multiprecision::exp(-a)));
    });
  if (op == &ops::pow)
    return each([](const Exact& a, const Exact&) { return Exact(a * a); });  // ?x ^ 2 alone
  if (op == &ops::sum || op == &ops::softmax) {
    Numbers out;
    for (std::size_t i = 0; i < count; i += row) {
      Exact total = 0;
      for (std::size_t k = i; k < i + row; ++k)
        total += op == &ops::sum ? x[0][k] : Exact(boost::multiprecision::exp(x[0][k]));
      if (op == &ops::sum)
        out.push_back(total);
      else
        for (std::size_t k = i; k < i + row; ++k)
          out.push_back(boost::multiprecision::exp(x[0][k]) / total);
    }
    return out;
  }
  FAIL("no exact value of " << op->name);
  return {};
}

double last_place(DType t, double x) {
  const int digits = t == DType::float32 ? 23 : 52, lowest = t == DType::float32 ? -126 : -1022;
  return std::ldexp(1.0, (x == 0 ? lowest : std::max(std::ilogb(x), lowest)) - digits);
}

/// Ulps that the operations of the replacement are known for, added up.
double known_ulps(const ir::Node& n) {
  double ulps = n.inputs().empty() ? 0 : n.op().samples.ulp;
  for (const NodeRef& input : n.inputs()) ulps += known_ulps(*input);
  return ulps;
}

}  // namespace

TEST_CASE("Rewrites: each row fires on its own pattern") {
  for (const Rewrite& row : passes::rewrites()) {
    CAPTURE(row.name);
    bool fired = false;
    for (const DType t : {DType::float32, DType::boolean})
      if (const auto i = instance(row, t, {4, 4}))
        fired = fired || !(i->before == i->after || structurally_equal(ir::Graph({}, {i->before}),
                                                                       ir::Graph({}, {i->after})));
    CHECK(fired);
  }
}

TEST_CASE("Rewrites: exact ones keep every bit") {
  std::mt19937 rng(5);
  for (const Rewrite& row : passes::rewrites()) {
    if (row.promise != Promise::exact) continue;
    int dtypes = 0;
    for (const DType t : {DType::float32, DType::float64, DType::float16, DType::int32,
                          DType::uint8, DType::boolean}) {
      const auto i = instance(row, t, {30, 30});
      if (!i) continue;
      ++dtypes;
      const auto values = assign(*i, 600, rng);
      const check::Value before = evaluate(i->before, *i, values),
                         after = evaluate(i->after, *i, values);
      REQUIRE(before.dtype == after.dtype);
      REQUIRE(before.shape == after.shape);
      int shown = 0;
      for (std::size_t k = 0; k < before.bits.size() && shown < 2; ++k) {
        if (same_bits(before.dtype, before.bits[k], after.bits[k])) continue;
        ++shown;
        std::ostringstream at;
        for (const auto& [name, v] : values)
          at << " " << name << " = " << check::to_double(v.dtype, v.bits[k]);
        FAIL_CHECK(row.name << " on " << name(t) << at.str() << ": "
                            << check::to_double(before.dtype, before.bits[k]) << " became "
                            << check::to_double(after.dtype, after.bits[k]));
      }
    }
    CAPTURE(row.name);
    CHECK(dtypes > 0);
  }
}

TEST_CASE("Rewrites: accurate ones mean the same of whole numbers, which wrap") {
  std::mt19937 rng(7);
  for (const Rewrite& row : passes::rewrites()) {
    if (row.promise != Promise::accurate) continue;
    CAPTURE(row.name);
    for (const DType t : {DType::int32, DType::uint8, DType::boolean}) {
      const auto i = instance(row, t, {6, 8});
      if (!i) continue;
      const auto values = assign(*i, 48, rng);
      const check::Value before = evaluate(i->before, *i, values),
                         after = evaluate(i->after, *i, values);
      REQUIRE(before.dtype == after.dtype);
      for (std::size_t k = 0; k < before.bits.size(); ++k) {
        const double want = check::to_double(before.dtype, before.bits[k]);
        // (Where it is not finite, that is what the row mends.)
        if (std::isfinite(want))
          CHECK(check::to_double(after.dtype, after.bits[k]) ==
                doctest::Approx(want).epsilon(1e-6));
      }
    }
  }
}

TEST_CASE("Rewrites: accurate ones are never further from the truth") {
  std::mt19937 rng(6);
  constexpr std::int64_t row_length = 4;
  for (const Rewrite& row : passes::rewrites()) {
    if (row.promise != Promise::accurate) continue;
    for (const DType t : {DType::float32, DType::float64}) {
      const auto i = instance(row, t, {50, row_length});
      REQUIRE(i);
      check::Value x{t, {50, row_length}, {}};
      std::uniform_real_distribution<double> exponent(-40, 6.5), plain(-1, 1);
      for (std::size_t k = 0; k < 200; ++k) {
        const double v =
            k % 3 == 0 ? 40 * plain(rng) : std::ldexp(plain(rng), static_cast<int>(exponent(rng)));
        x.bits.push_back(check::to_bits(t, v));
      }
      const std::map<char, check::Value> values{{'x', x}};
      const check::Value before = evaluate(i->before, *i, values),
                         after = evaluate(i->after, *i, values);
      Numbers leaf;
      for (const std::uint64_t bits : x.bits) leaf.emplace_back(check::to_double(t, bits));
      const Numbers truth = exactly(*i->before, {{i->variables.at('x').get(), leaf}}, row_length);
      REQUIRE(truth.size() == before.bits.size());
      // Bounds in the catalogue are for float32; in float64 those of ir/scalar_math.h, at most 2.5
      // for these functions.
      const double bound = std::max(known_ulps(*i->after), t == DType::float64 ? 2.5 : 0.0);
      // Rows over an axis know theirs relative to the numbers that they add, the first of which is
      // exp(0).
      const bool sums = std::holds_alternative<ir::Expansion>(i->after->op().meaning);
      int shown = 0;
      for (std::size_t k = 0; k < truth.size() && shown < 2; ++k) {
        if (boost::multiprecision::isnan(truth[k]) || boost::multiprecision::isinf(truth[k]))
          continue;  // log of less than nothing
        const double want = static_cast<double>(truth[k]);
        const auto error = [&](const check::Value& v) {
          const double got = check::to_double(t, v.bits[k]);
          if (!std::isfinite(got))
            return want == got ? 0.0 : std::numeric_limits<double>::infinity();
          return static_cast<double>(boost::multiprecision::abs(Exact(got) - truth[k])) /
                 last_place(t, sums ? std::max(std::fabs(want), 1.0) : want);
        };
        const double old_error = error(before), new_error = error(after);
        if (new_error <= std::max(old_error, bound)) continue;
        ++shown;
        FAIL_CHECK(row.name << " on " << name(t) << ", element " << k << ", x = "
                            << check::to_double(t, x.bits[k]) << ": error of " << old_error
                            << " ulp became " << new_error << ", the rows know " << bound);
      }
    }
  }
}

TEST_CASE("Rewrites: accurate ones at infinities and NaN") {
  std::mt19937 rng(8);
  for (const Rewrite& row : passes::rewrites()) {
    if (row.promise != Promise::accurate) continue;
    const auto i = instance(row, DType::float32, {23, 1});
    REQUIRE(i);
    const auto values = assign(*i, 23, rng);
    const check::Value before = evaluate(i->before, *i, values),
                       after = evaluate(i->after, *i, values);
    for (std::size_t k = 0; k < before.bits.size(); ++k) {
      const double x = check::to_double(DType::float32, values.at('x').bits[k]);
      if (std::isfinite(x)) continue;
      const double old_value = check::to_double(before.dtype, before.bits[k]);
      const double new_value = check::to_double(after.dtype, after.bits[k]);
      if (old_value == new_value || std::isnan(old_value))
        continue;  // what was undefined may get a limit
      FAIL_CHECK(row.name << " of " << x << ": " << old_value << " became " << new_value);
    }
  }
}

TEST_CASE("Rewrites: what may change bits is not done unasked") {
  for (const Rewrite& row : passes::rewrites()) {
    if (row.promise != Promise::fast_math) continue;
    CAPTURE(row.name);
    Reader reader(row.pattern, DType::float32, {4});
    const NodeRef before = reader.read();
    const ir::Graph graph({reader.variables.at('x')}, {before});
    CHECK(structurally_equal(passes::stabilise(passes::simplify(graph)), graph));
    CHECK_FALSE(structurally_equal(passes::relax(graph), graph));
  }
}

TEST_CASE("Rewrites: a product laid out otherwise is the same sums") {
  std::mt19937 rng(9);
  for (const Rewrite& row : passes::rewrites()) {
    if (row.promise != Promise::layout) continue;
    const auto i = instance(row, DType::float64, {5, 5});
    REQUIRE(i);
    const auto values = assign(*i, 0, rng);
    const check::Value before = evaluate(i->before, *i, values),
                       after = evaluate(i->after, *i, values);
    REQUIRE(before.shape == after.shape);
    for (std::size_t k = 0; k < before.bits.size(); ++k)
      CHECK(check::to_double(before.dtype, before.bits[k]) ==
            doctest::Approx(check::to_double(after.dtype, after.bits[k])).epsilon(1e-13));
  }
}
