// The catalogue: type rules, promotion, and every row's meaning and gradients against its
// reference.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <set>

#include "ir/ops/attrs.h"
#include "tests/ir/ops_evaluate.h"

using namespace weft;
using namespace weft::ir;
using check::Evaluator;
using check::Value;

namespace {

NodeRef input(DType t, Dims shape) { return make_input({t, std::move(shape)}); }
NodeRef unknown() { return make_input({}); }
NodeRef number(double v) { return make_constant(Literal::scalar(DType::float64, v), true); }
NodeRef whole(std::int64_t v) { return make_constant(Literal::scalar_int(DType::int64, v), true); }
std::string type_of(const Op& op, std::vector<NodeRef> x, Attrs attrs = {}) {
  return to_string(make_node(op, std::move(x), std::move(attrs))->type());
}
template <class E> std::string message(const Op& op, std::vector<NodeRef> x, Attrs attrs = {}) {
  try {
    make_node(op, std::move(x), std::move(attrs), {"dir/model.cc", 42});
  } catch (const E& e) { return e.what(); }
  return "nothing was thrown";
}

const Dim N = dim("N"), M = dim("M");
constexpr DType b1 = DType::boolean, u8 = DType::uint8, i8 = DType::int8, i32 = DType::int32,
                i64 = DType::int64, f16 = DType::float16, bf16 = DType::bfloat16,
                f32 = DType::float32, f64 = DType::float64;

// ---- samples to values ----

struct Case {
  const Op* op;
  Sample sample;
  DType dtype;
  std::vector<NodeRef> inputs;
  NodeRef node;
  std::vector<RefArray> values;
  Evaluator evaluate;
};

Value to_value(const RefArray& r) {
  Value v{r.dtype, r.shape, {}};
  for (const double x : r.data) v.bits.push_back(check::to_bits(r.dtype, x));
  return v;
}
std::vector<double> to_doubles(const Value& v) {
  std::vector<double> d;
  for (const std::uint64_t b : v.bits) d.push_back(check::to_double(v.dtype, b));
  return d;
}

RefArray draw(const SampleOperand& s, DType sample_dtype, std::mt19937& rng) {
  RefArray r{s.fixed.value_or(sample_dtype), s.shape, {}};
  std::uniform_real_distribution<double> uniform(s.lo, s.hi);
  for (std::int64_t i = 0; i < element_count(s.shape); ++i) {
    const double v = is_floating(r.dtype) ? uniform(rng) : std::round(uniform(rng));
    r.data.push_back(check::to_double(r.dtype, check::to_bits(r.dtype, v)));  // as stored
  }
  return r;
}

Case make_case(const Op& op, const Sample& s, DType dtype, std::mt19937& rng) {
  Case c{&op, s, dtype, {}, {}, {}, {}};
  for (const SampleOperand& o : s.operands) {
    c.values.push_back(draw(o, dtype, rng));
    c.inputs.push_back(input(c.values.back().dtype, to_dims(o.shape)));
    c.evaluate.set(c.inputs.back(), to_value(c.values.back()));
  }
  c.node = make_node(op, c.inputs, s.attrs);
  return c;
}

RefArray reference(const Case& c) {
  const Reference& r = c.op->reference;
  if (r.general) return r.general(c.values, c.sample.attrs);
  Shape shape;
  for (const RefArray& v : c.values) shape = broadcast_shapes(shape, v.shape);
  RefArray out{c.dtype, shape, {}};
  check::each(shape, [&](const Shape& at) {
    const auto x = [&](std::size_t i) {
      return c.values[i].data[check::flat(c.values[i].shape, at)];
    };
    out.data.push_back(r.unary ? r.unary(x(0)) : r.binary(x(0), x(1)));
  });
  return out;
}

/// What the runtime evaluates, and what has several results, is compared in tests/frontend.
bool evaluated_here(const Op& op) {
  return op.samples.make && !std::holds_alternative<Extern>(op.meaning) && !op.infer_extra;
}

std::vector<DType> dtypes_of(const Op& op) {
  std::vector<DType> t;
  if (op.samples.dtypes & Samples::floats) t.insert(t.end(), {f32, f64, f16, bf16});
  if (op.samples.dtypes & Samples::integers) t.insert(t.end(), {i32, i64, i8, u8});
  if (op.samples.dtypes & Samples::booleans) t.push_back(b1);
  return t;
}

/// A reference's element as the result holds it: rounded, or wrapped.
double stored_as(DType t, double x) {
  if (!is_integer(t)) return check::to_double(t, check::to_bits(t, x));
  return check::to_double(t, static_cast<std::uint64_t>(static_cast<std::int64_t>(x)));
}

double epsilon(DType t) {
  return t == f16 ? 0x1p-10 : t == bf16 ? 0x1p-7 : t == f32 ? 0x1p-23 : 0x1p-40;
}

// ---- gradients ----

/// Reverse mode over a graph with known types, in a few lines.
std::vector<Expr> differentiate(GraphBuilder& b, const NodeRef& y, const NodeRef& g,
                                std::span<const NodeRef> xs) {
  std::unordered_map<const Node*, Expr> cotangents{{y.get(), Expr(b, g)}};
  const NodeRef roots[] = {y};
  const std::vector<const Node*> order = topological_order(roots);
  for (auto it = order.rbegin(); it != order.rend(); ++it) {
    const Node& n = **it;
    const auto found = cotangents.find(&n);
    if (found == cotangents.end() || n.inputs().empty() || !is_floating(*n.type().dtype)) continue;
    if (n.op().infer_extra) throw check::NotEvaluated(std::string(n.op().name));  // several results
    GradArgs args{n, Expr(b, NodeRef(&n)), found->second, {}};
    for (const NodeRef& x : n.inputs()) args.x.emplace_back(b, x);
    std::vector<Expr> grads;
    if (n.op().grad) {
      grads = n.op().grad(args);
    } else if (!std::holds_alternative<Expansion>(n.op().meaning)) {
      throw check::NotEvaluated(std::string(n.op().name));
    } else {
      const NodeRef body = std::get<Expansion>(n.op().meaning).expand(b, n, n.inputs());
      grads = differentiate(b, body, args.g.node(), n.inputs());
    }
    for (std::size_t i = 0; i < grads.size(); ++i) {
      if (!grads[i] || n.op().takes_type_only(i) || !is_floating(*n.input(i)->type().dtype))
        continue;
      Expr d = grads[i];
      if (std::holds_alternative<Pointwise>(n.op().meaning))
        d = apply(ops::sum_to_like, {d, args.x[i]});
      Expr& total = cotangents[n.input(i).get()];
      total = total ? total + d : d;
    }
  }
  std::vector<Expr> out;
  for (const NodeRef& x : xs) {
    const auto found = cotangents.find(x.get());
    out.push_back(found == cotangents.end() ? apply(ops::zeros_like, {Expr(b, x)}) : found->second);
  }
  return out;
}

double dot(const std::vector<double>& a, const std::vector<double>& b) {
  double total = 0;
  for (std::size_t i = 0; i < a.size(); ++i) total += a[i] * b[i];
  return total;
}
std::vector<double> random_vector(std::size_t n, std::mt19937& rng) {
  std::uniform_real_distribution<double> uniform(-1, 1);
  std::vector<double> v(n);
  for (double& x : v) x = uniform(rng);
  return v;
}

/// Σ w·f along a direction, by central differences, against the gradient of f at the inputs.
void check_directional(const Case& c, const NodeRef& y, const std::vector<NodeRef>& gradients,
                       const NodeRef& g, const RefArray& weights, std::mt19937& rng,
                       double tolerance) {
  Evaluator at = c.evaluate;
  at.set(g, to_value(weights));
  std::vector<std::vector<double>> directions;
  double expected = 0, size = 1;
  for (std::size_t i = 0; i < c.inputs.size(); ++i) {
    directions.push_back(random_vector(c.values[i].data.size(), rng));
    if (c.values[i].dtype != f64) continue;
    const std::vector<double> d = to_doubles(at(gradients[i]));
    expected += dot(d, directions[i]);
    for (const double v : d) size += std::fabs(v);
  }
  const double h = 1e-5;
  double sides[2];
  for (int side = 0; side < 2; ++side) {
    Evaluator moved;
    moved.set(g, to_value(weights));
    for (std::size_t i = 0; i < c.inputs.size(); ++i) {
      RefArray x = c.values[i];
      if (x.dtype == f64)
        for (std::size_t k = 0; k < x.data.size(); ++k)
          x.data[k] += (side == 0 ? h : -h) * directions[i][k];
      moved.set(c.inputs[i], to_value(x));
    }
    sides[side] = dot(to_doubles(moved(y)), weights.data);
  }
  const double found = (sides[0] - sides[1]) / (2 * h);
  INFO("expected ", expected, ", by differences ", found);
  CHECK(std::fabs(found - expected) <= tolerance * size);
}

bool differentiable(const Case& c) {
  return c.node->type().dtype == f64 && c.node->type().concrete() &&
         std::ranges::any_of(c.values, [](const RefArray& v) { return v.dtype == f64; });
}

}  // namespace

TEST_CASE("catalogue: names are unique, found again, and documented") {
  std::set<std::string_view> names;
  for (const Op* op : all_ops()) {
    CHECK(names.insert(op->name).second);
    CHECK(find_op(op->name) == op);
    CHECK_FALSE(op->doc.empty());
    CHECK_FALSE(op->doc.ends_with('.'));
    CHECK((op->infer || op == &ops::input));
  }
  CHECK(find_op("no_such_row") == nullptr);
}

TEST_CASE("promotion: PyTorch's table") {
  const auto meet = [](DType a, DType b) {
    return type_of(ops::add, {input(a, {}), input(b, {})});
  };
  CHECK(meet(u8, i8) == "int16()");
  CHECK(meet(b1, u8) == "uint8()");
  CHECK(meet(i64, f16) == "float16()");
  CHECK(meet(f16, bf16) == "float32()");
  CHECK(meet(i32, i64) == "int64()");
  CHECK(meet(f32, f64) == "float64()");
  CHECK(type_of(ops::add, {input(f16, {2}), number(0.1)}) == "float16(2,)");
  CHECK(type_of(ops::add, {input(i32, {2}), number(0.1)}) == "float32(2,)");
  CHECK(type_of(ops::add, {input(u8, {2}), whole(300)}) == "uint8(2,)");
  CHECK(type_of(ops::add, {input(b1, {2}), whole(1)}) == "int64(2,)");
  CHECK(type_of(ops::add, {number(1), whole(2)}) == "float64()~");
  CHECK(type_of(ops::div, {input(i32, {2}), input(i32, {2})}) == "float32(2,)");
  CHECK(type_of(ops::exp, {input(b1, {2})}) == "float32(2,)");
  CHECK(type_of(ops::lt, {input(i32, {2}), number(0.5)}) == "boolean(2,)");
  CHECK(type_of(ops::where, {input(b1, {2}), input(i32, {2}), number(0.5)}) == "float32(2,)");
  CHECK(type_of(ops::sum, {input(u8, {2})}, ReduceAttrs{}) == "int64()");
  CHECK(type_of(ops::mean, {input(i32, {2})}, ReduceAttrs{}) == "float32()");
}

TEST_CASE("types: partly unknown operands") {
  CHECK(type_of(ops::add, {unknown(), input(f32, {2, 3})}) == "?");
  CHECK(type_of(ops::add, {make_input({f32, {}}), input(f64, {2, 3})}) == "float64?");
  CHECK(type_of(ops::add, {make_input({std::nullopt, Dims{N, 1}}), input(f32, {1, 3})}) ==
        "?(N, 3)");
  CHECK(type_of(ops::add, {input(f32, {N, 3}), input(f32, {1, 3})}) == "float32(N, 3)");
  CHECK(type_of(ops::add, {input(f32, {N}), input(f32, {3})}) == "float32(3,)");
  CHECK(type_of(ops::sum, {unknown()}, ReduceAttrs{}) == "?()");
  CHECK(type_of(ops::sum, {input(f32, {N, 3})}, ReduceAttrs{{-1}, false, true}) == "float32(N, 1)");
  CHECK(type_of(ops::reshape, {input(f32, {N, 4})}, ShapeAttrs{{-1}}) == "float32(4*N,)");
  CHECK(type_of(ops::reshape, {input(f32, {4 * N})}, ShapeAttrs{{N, -1}}) == "float32(N, 4)");
  CHECK(type_of(ops::reshape, {unknown()}, ShapeAttrs{{2, 3}}) == "?(2, 3)");
  CHECK(type_of(ops::concatenate, {input(f32, {N, 3}), input(f32, {M, 3})}, AxisAttrs{0}) ==
        "float32(M+N, 3)");
  CHECK(type_of(ops::concatenate, {input(f32, {2, 3}), unknown()}, AxisAttrs{0}) == "?");
  CHECK(type_of(ops::matmul, {input(f32, {N, 4}), input(f32, {4, 5})}) == "float32(N, 5)");
  CHECK(type_of(ops::matmul, {input(f32, {2, 1, 3, 4}), input(f32, {5, 4, 6})}) ==
        "float32(2, 5, 3, 6)");
  CHECK(type_of(ops::matmul, {input(f32, {4}), input(f32, {4})}) == "float32()");
  CHECK(type_of(ops::slice, {input(f32, {N})}, SliceAttrs{{0}, {1}, {slice_open_high}, {1}}) ==
        "float32(max(N-1, 0),)");
  CHECK(type_of(ops::slice, {input(f32, {N})}, SliceAttrs{{0}, {0}, {slice_open_high}, {1}}) ==
        "float32(N,)");
  CHECK(type_of(ops::unreduce_like, {input(f32, {2}), unknown()}, ReduceAttrs{{1}, false, false}) ==
        "float32?");
  CHECK(type_of(ops::cross_entropy, {unknown(), unknown()}, ClassLossAttrs{}) == "?()");
  CHECK(type_of(ops::cast_like, {input(i32, {2}), input(f64, {5})}) == "float64(2,)");
}

TEST_CASE("types: errors say what was asked and where") {
  CHECK(message<ShapeError>(ops::add, {input(f32, {2, 3}), input(f32, {4})}) ==
        "add of float32(2, 3) and float32(4,): shapes (2, 3) and (4,) do not broadcast together "
        "(model.cc:42)");
  CHECK(message<DTypeError>(ops::sub, {input(b1, {2}), input(b1, {2})}) ==
        "sub of boolean(2,) and boolean(2,): not defined for boolean; cast to a number, or use "
        "logical operations (model.cc:42)");
  CHECK(message<ShapeError>(ops::matmul, {input(f32, {2, 3}), input(f32, {4, 5})}) ==
        "matmul of float32(2, 3) and float32(4, 5): the summed extents must agree, but are 3 and 4 "
        "(model.cc:42)");
  CHECK(message<DTypeError>(ops::matmul, {input(f32, {2, 3}), input(f64, {3, 5})}) ==
        "matmul of float32(2, 3) and float64(3, 5): operands must have one dtype; cast one of them "
        "(model.cc:42)");
  CHECK(message<ShapeError>(ops::dot, {input(f32, {2, 2}), input(f32, {2, 2})}) ==
        "dot of float32(2, 2) and float32(2, 2): needs vectors; matmul multiplies matrices "
        "(model.cc:42)");
  CHECK(message<ShapeError>(ops::sum, {input(f32, {2, 3})}, ReduceAttrs{{2}, false, false}) ==
        "sum of float32(2, 3): axis 2 is out of range for 2 axes (model.cc:42)");
  CHECK(message<ShapeError>(ops::sum, {input(f32, {2, 3})}, ReduceAttrs{{1, -1}, false, false}) ==
        "sum of float32(2, 3): axis -1 is given twice (model.cc:42)");
  CHECK(message<ShapeError>(ops::max, {input(f32, {2, 0})}, ReduceAttrs{}) ==
        "max of float32(2, 0): no elements to choose from along axis 1 (model.cc:42)");
  CHECK(message<ShapeError>(ops::reshape, {input(f32, {2, 3})}, ShapeAttrs{{4, -1}}) ==
        "reshape of float32(2, 3): 6 elements cannot fill shape (4, -1) (model.cc:42)");
  CHECK(message<DTypeError>(ops::bitwise_and, {input(f32, {}), input(i32, {})}) ==
        "bitwise_and of float32() and int32(): needs integers or booleans, not float32 "
        "(model.cc:42)");
  CHECK(message<DTypeError>(ops::gather_rows, {input(f32, {4, 2}), input(f32, {3})}) ==
        "gather_rows of float32(4, 2) and float32(3,): indices must be integers, not float32 "
        "(model.cc:42)");
  CHECK(message<ShapeError>(ops::cross_entropy, {input(f32, {4, 10}), input(i64, {5})},
                            ClassLossAttrs{}) ==
        "cross_entropy of float32(4, 10) and int64(5,): extents of scores and targets must agree, "
        "but are 5 and 4 (model.cc:42)");
  CHECK(message<ShapeError>(ops::squeeze, {input(f32, {2, 3})}, AxesAttrs{{0}}) ==
        "squeeze of float32(2, 3): an extent to squeeze away and 1 must agree, but are 2 and 1 "
        "(model.cc:42)");
}

namespace {

void check_values(const Op& op, const Sample& s, DType t, std::mt19937& rng) {
  Case c = make_case(op, s, t, rng);
  CAPTURE(op.name);
  CAPTURE(name(t));
  CAPTURE(to_string(c.node->type()));
  const RefArray expected = reference(c);
  REQUIRE(c.node->type().concrete());
  REQUIRE(expected.shape == *to_shape(*c.node->type().shape));
  const std::vector<double> got = to_doubles(c.evaluate(c.node));
  double largest = 1, total = 0;  // of the operands: what rounding within sums is relative to
  for (const RefArray& v : c.values)
    for (const double x : v.data)
      largest = std::max(largest, std::fabs(x)), total += std::fabs(x);
  const double scale =
      8 * largest + total / static_cast<double>(std::max<std::size_t>(got.size(), 1));
  const DType result = *c.node->type().dtype;
  const bool pointwise = std::holds_alternative<Pointwise>(op.meaning);
  for (std::size_t i = 0; i < got.size(); ++i) {
    const double want = stored_as(result, expected.data[i]);
    if (got[i] == want || (std::isnan(got[i]) && std::isnan(want))) continue;
    const double unit =
        is_floating(result)
            ? epsilon(is_floating(t) && epsilon(t) > epsilon(result) ? t : result)
            : 0;
    const double size = pointwise ? std::fabs(want) : std::max(scale, std::fabs(want));
    INFO("element ", i, ": ", got[i], " for ", want);
    CHECK(std::fabs(got[i] - want) <= op.samples.ulp * unit * size);
  }
}

void check_gradients(const Op& op, const Sample& s, std::mt19937& rng) {
  Case c = make_case(op, s, f64, rng);
  if (!differentiable(c)) return;
  CAPTURE(op.name);
  CAPTURE(to_string(c.node->type()));
  GraphBuilder b;
  const NodeRef g = input(f64, *c.node->type().shape);
  RefArray weights{f64, *to_shape(*c.node->type().shape), {}};
  weights.data = random_vector(static_cast<std::size_t>(element_count(weights.shape)), rng);
  std::vector<NodeRef> gradients;
  for (const Expr& e : differentiate(b, c.node, g, c.inputs)) gradients.push_back(e.node());
  for (std::size_t i = 0; i < gradients.size(); ++i) {
    CAPTURE(i);
    if (c.values[i].dtype == f64) CHECK(gradients[i]->type() == c.inputs[i]->type());
  }
  check_directional(c, c.node, gradients, g, weights, rng, 1e-6);

  c.evaluate.set(g, to_value(weights));
  for (std::size_t i = 0; i < gradients.size(); ++i) {
    if (c.values[i].dtype != f64 || op.takes_type_only(i)) continue;
    CAPTURE(i);
    const NodeRef g2 = input(f64, *gradients[i]->type().shape);
    RefArray weights2{f64, c.values[i].shape, random_vector(c.values[i].data.size(), rng)};
    std::vector<NodeRef> second;
    for (const Expr& e : differentiate(b, gradients[i], g2, c.inputs))
      second.push_back(e.node());
    Case first = c;
    first.inputs.push_back(g);
    first.values.push_back(weights);
    for (const Expr& e : differentiate(b, gradients[i], g2, std::span(&g, 1)))
      second.push_back(e.node());
    check_directional(first, gradients[i], second, g2, weights2, rng, 1e-5);
  }
}

}  // namespace

TEST_CASE("meaning: every row against its reference") {
  std::mt19937 rng(7);
  for (const Op* op : all_ops()) {
    if (!evaluated_here(*op)) continue;
    try {
      for (const Sample& s : op->samples.make())
        for (const DType t : dtypes_of(*op)) check_values(*op, s, t, rng);
    } catch (const check::NotEvaluated&) {}
  }
}

TEST_CASE("gradients: first and second order against differences") {
  std::mt19937 rng(11);
  for (const Op* op : all_ops()) {
    if (!evaluated_here(*op) || !(op->samples.dtypes & Samples::floats)) continue;
    if (op == &ops::stop_gradient) continue;  // its gradient is not its derivative
    try {
      for (const Sample& s : op->samples.make()) check_gradients(*op, s, rng);
    } catch (const check::NotEvaluated&) {}
  }
}

TEST_CASE("gradients: built before any type is known") {
  for (const Op* op : all_ops()) {
    if (!evaluated_here(*op) || !op->grad) continue;
    CAPTURE(op->name);
    const Sample s = op->samples.make().front();
    std::vector<NodeRef> x;
    for (std::size_t i = 0; i < s.operands.size(); ++i) x.push_back(unknown());
    GraphBuilder b;
    const NodeRef y = b.make(*op, x, s.attrs);
    GradArgs args{*y, Expr(b, y), Expr(b, unknown()), {}};
    for (const NodeRef& n : x) args.x.emplace_back(b, n);
    CHECK(op->grad(args).size() == x.size());
  }
}

namespace {

/// Runs one row on given values.
std::vector<double> result_of(const Op& op, const std::vector<RefArray>& values, Attrs attrs = {}) {
  Evaluator evaluate;
  std::vector<NodeRef> x;
  for (const RefArray& v : values) {
    x.push_back(input(v.dtype, to_dims(v.shape)));
    evaluate.set(x.back(), to_value(v));
  }
  return to_doubles(evaluate(make_node(op, x, std::move(attrs))));
}

/// The gradient of a scalar result with respect to operand 0.
std::vector<double> gradient_of(const Op& op, const std::vector<RefArray>& values,
                                Attrs attrs = {}) {
  Evaluator evaluate;
  std::vector<NodeRef> x;
  for (const RefArray& v : values) {
    x.push_back(input(v.dtype, to_dims(v.shape)));
    evaluate.set(x.back(), to_value(v));
  }
  GraphBuilder b;
  const NodeRef y = b.make(op, x, std::move(attrs)), g = b.constant(Literal::scalar(f64, 1));
  return to_doubles(evaluate(differentiate(b, y, g, x)[0].node()));
}

RefArray array(DType t, Shape shape, std::vector<double> data) {
  return {t, std::move(shape), std::move(data)};
}

using List = std::vector<double>;
constexpr double inf = std::numeric_limits<double>::infinity();
const double not_a_number = std::numeric_limits<double>::quiet_NaN();

}  // namespace

TEST_CASE("values: zero division, signs and ties") {
  const RefArray a = array(i32, {6}, {7, -7, 7, -7, 5, -2147483648.0}),
                 b = array(i32, {6}, {3, 3, -3, -3, 0, -1});
  CHECK(result_of(ops::floor_divide, {a, b}) == List{2, -3, -3, 2, 0, -2147483648.0});
  CHECK(result_of(ops::remainder, {a, b}) == List{1, 2, -2, -1, 0, 0});
  CHECK(result_of(ops::fmod, {a, b}) == List{1, -1, 1, -1, 0, 0});
  CHECK(result_of(ops::floor_divide, {array(f64, {3}, {1, 1, -1}), array(f64, {3}, {0.1, 0, 0})}) ==
        List{9, inf, -inf});
  CHECK(result_of(ops::pow, {array(i64, {5}, {2, 3, -1, 2, 0}),
                             array(i64, {5}, {10, 0, -3, -1, 0})}) == List{1024, 1, -1, 0, 1});
  CHECK(result_of(ops::round, {array(f64, {4}, {0.5, 1.5, 2.5, -0.5})}) == List{0, 2, 2, 0});
  CHECK(result_of(ops::argmax, {array(f64, {2, 4}, {1, 5, 5, 2, 1, not_a_number, 9, not_a_number})},
                  ReduceAttrs{{1}, false, false}) == List{1, 1});
  CHECK(result_of(ops::argmax, {array(f64, {3}, {-inf, -inf, -inf})}, ReduceAttrs{}) == List{0});
  CHECK(gradient_of(ops::max, {array(f64, {4}, {1, 3, 3, 2})}, ReduceAttrs{}) == List{0, 1, 0, 0});
  CHECK(gradient_of(ops::amax, {array(f64, {4}, {1, 3, 3, 2})}, ReduceAttrs{}) ==
        List{0, 0.5, 0.5, 0});
  CHECK(gradient_of(ops::prod, {array(f64, {3}, {2, 0, 5})}, ReduceAttrs{}) == List{0, 10, 0});
  CHECK(gradient_of(ops::prod, {array(f64, {3}, {2, 0, 0})}, ReduceAttrs{}) == List{0, 0, 0});
  CHECK(result_of(ops::sum, {array(f16, {3}, {60000, 60000, -60000})}, ReduceAttrs{}) ==
        List{60000});
  CHECK(result_of(ops::mean, {array(f16, {2}, {60000, 60000})}, ReduceAttrs{}) == List{60000});
}

TEST_CASE("values: log-sum-exp and losses at infinities") {
  const ReduceAttrs rows{{1}, false, false};
  CHECK(result_of(ops::logsumexp, {array(f64, {3, 2}, {-inf, -inf, inf, 0, 1000, -inf})}, rows) ==
        List{-inf, inf, 1000});
  CHECK(result_of(ops::softmax, {array(f64, {1, 3}, {1000, -inf, 1000})}, AxisAttrs{1}) ==
        List{0.5, 0, 0.5});
  const List masked =
      result_of(ops::cross_entropy, {array(f64, {1, 3}, {0, -inf, 0}), array(i64, {1}, {2})},
                ClassLossAttrs{});
  CHECK(masked[0] == doctest::Approx(std::log(2.0)));
  CHECK(result_of(ops::binary_cross_entropy, {array(f64, {1}, {0}), array(f64, {1}, {1})},
                  LossAttrs{}) == List{100});
  CHECK(result_of(ops::binary_cross_entropy_with_logits,
                  {array(f64, {2}, {-1000, 1000}), array(f64, {2}, {1, 1})},
                  LossAttrs{"none"}) == List{1000, 0});
}

TEST_CASE("values: cross entropy of two samples") {
  const std::vector<RefArray> x = {array(f64, {2, 3}, {1, 2, 3, 4, 5, 6}), array(i64, {2}, {1, 0})};
  CHECK(result_of(ops::cross_entropy, x, ClassLossAttrs{})[0] ==
        doctest::Approx(1.9076).epsilon(1e-5));
  const List expected = {0.045, -0.3776, 0.3326, -0.455, 0.1224, 0.3326};
  const List got = gradient_of(ops::cross_entropy, x, ClassLossAttrs{});
  for (std::size_t i = 0; i < expected.size(); ++i) CHECK(std::fabs(got[i] - expected[i]) < 6e-5);
}

TEST_CASE("references: gathering and scattering by hand") {
  const auto ref = [](const Op& op, std::vector<RefArray> x, Attrs attrs = {}) {
    return op.reference.general(x, attrs).data;
  };
  const RefArray table = array(f64, {3, 2}, {1, 2, 3, 4, 5, 6});
  CHECK(ref(ops::gather_rows, {table, array(i64, {2}, {-1, 0})}) == List{5, 6, 1, 2});
  CHECK(ref(ops::scatter_add_rows, {array(f64, {2, 2}, {1, 2, 3, 4}), array(i64, {2}, {1, 1}),
                                    table}) == List{0, 0, 4, 6, 0, 0});
  CHECK(ref(ops::gather, {table, array(i64, {3, 1}, {1, 0, -1})}, AxisAttrs{1}) == List{2, 3, 6});
  CHECK(ref(ops::scatter_add, {array(f64, {1, 2}, {7, 8}), array(i64, {1, 2}, {2, 0}), table},
            AxisAttrs{0}) == List{0, 8, 0, 0, 7, 0});
}
