// Reverse mode of every row against central differences of its own forward pass, in double and in a
// random direction; then the same of the gradients.
#include <doctest/doctest.h>

#include <algorithm>
#include <map>

#include "generated.h"
#include "ir/ops/special.h"
#include "passes/autodiff.h"

using namespace weft;
using namespace weft::generated;
using ir::NodeRef;

namespace {

/// Functions of some inputs, of which `moving` are differentiated: Σ weights · y as a number.
struct Slope {
  std::string name;
  std::vector<NodeRef> inputs;
  std::vector<Array> arrays;
  NodeRef y;
  std::vector<std::size_t> moving;
  double tolerance = 1e-6;
};

Array random_like(const Shape& shape, std::mt19937& rng) {
  std::uniform_real_distribution<double> uniform(0.5, 1.5);
  std::bernoulli_distribution negative;
  std::vector<double> v(static_cast<std::size_t>(element_count(shape)));
  for (double& x : v) x = negative(rng) ? -uniform(rng) : uniform(rng);
  return Array::from(v, shape);
}

Array moved(const Array& x, const Array& direction, double by) {
  std::vector<double> v = to_doubles(x);
  const std::vector<double> d = to_doubles(direction);
  for (std::size_t i = 0; i < v.size(); ++i) v[i] += by * d[i];
  return Array::from(v, x.shape());
}

/// The slope along a random direction by reverse mode, and by differences. Empty where they agree,
/// or where there is nothing to compare (the mean of no elements).
std::string disagreement(const Slope& s, std::mt19937& rng) {
  const Shape shape = *to_shape(*s.y->type().shape);
  const NodeRef cotangent = ir::make_input({DType::float64, to_dims(shape)});
  const Array weights = random_like(shape, rng);
  std::vector<NodeRef> xs;
  for (const std::size_t i : s.moving) xs.push_back(s.inputs[i]);
  std::vector<NodeRef> inputs = s.inputs;
  inputs.push_back(cotangent);
  std::vector<Array> arrays = s.arrays;
  arrays.push_back(weights);
  const std::vector<NodeRef> ys{s.y}, cotangents{cotangent};
  const std::vector<Array> gradients =
      run(inputs, passes::gradient(ys, xs, cotangents), arrays, {});

  std::vector<Array> directions;
  double expected = 0, size = 1;
  for (std::size_t k = 0; k < s.moving.size(); ++k) {
    const Array& x = s.arrays[s.moving[k]];
    if (gradients[k].shape() != x.shape() || gradients[k].dtype() != x.dtype())
      return "the gradient of input " + std::to_string(k) + " has shape " +
             to_string(gradients[k].shape()) + " instead of " + to_string(x.shape());
    directions.push_back(random_like(x.shape(), rng));
    const std::vector<double> g = to_doubles(gradients[k]), d = to_doubles(directions[k]);
    expected += dot(g, d);
    for (std::size_t i = 0; i < g.size(); ++i) size = std::max(size, std::fabs(g[i] * d[i]));
  }
  frontend::CompileOptions compiling;
  compiling.tier = frontend::Tier::interpreted;
  const auto forward =
      frontend::compile(ir::Graph(s.inputs, {s.y}), types_of(s.arrays, {}), compiling);
  constexpr double h = 1e-6;
  double sides[2];
  for (const int side : {0, 1}) {
    std::vector<Array> at = s.arrays;
    for (std::size_t k = 0; k < s.moving.size(); ++k)
      at[s.moving[k]] = moved(at[s.moving[k]], directions[k], side == 0 ? h : -h);
    sides[side] = dot(to_doubles(run(*forward, at)[0]), to_doubles(weights));
  }
  const double found = (sides[0] - sides[1]) / (2 * h);
  if (!std::isfinite(dot(to_doubles(run(*forward, s.arrays)[0]), to_doubles(weights)))) return {};
  if (std::fabs(found - expected) <= s.tolerance * size) return {};
  return "the slope is " + std::to_string(expected) + ", by differences " + std::to_string(found);
}

std::vector<std::size_t> floating_operands(const Case& c) {
  std::vector<std::size_t> moving;
  for (std::size_t i = 0; i < c.inputs.size(); ++i)
    if (c.values[i].dtype == DType::float64 && !c.op->takes_type_only(i)) moving.push_back(i);
  return moving;
}

/// How many were compared, and which rows have no gradient.
struct Tally {
  std::size_t first = 0, second = 0;
  std::map<std::string_view, int> without;
};

/// False where the row has no gradient.
bool agrees(const Case& c, const Slope& s, std::mt19937& rng, Tally& tally) {
  std::string problem;
  try {
    problem = disagreement(s, rng);
  } catch (const UnsupportedOp&) {
    ++tally.without[c.op->name];
    return false;
  } catch (const Error& e) { problem = std::string("threw ") + e.what(); }
  if (!problem.empty()) FAIL_CHECK(s.name << ": " << problem);
  return true;
}

void check_gradients(const Case& c, std::mt19937& rng, Tally& tally) {
  if (c.node->type().dtype != DType::float64) return;
  // The deviation of equal numbers is a corner, as |x| is at 0.
  if (c.op == &ir::ops::std_dev && c.layout == Layout::broadcast) return;
  Slope s{c.name, c.inputs, c.arrays, c.node, floating_operands(c)};
  if (s.moving.empty() || !agrees(c, s, rng, tally)) return;
  ++tally.first;

  // The gradients, as functions of the operands and of the cotangent.
  if (c.layout == Layout::empty) return;  // a mean of no elements has no slope at all
  const NodeRef g = ir::make_input({DType::float64, c.node->type().shape});
  std::vector<NodeRef> xs;
  for (const std::size_t i : s.moving) xs.push_back(c.inputs[i]);
  const std::vector<NodeRef> ys{c.node}, gs{g};
  const std::vector<NodeRef> gradients = passes::gradient(ys, xs, gs);
  for (std::size_t k = 0; k < gradients.size(); ++k) {
    Slope t{c.name + ", gradient " + std::to_string(k),
            s.inputs,
            s.arrays,
            gradients[k],
            s.moving,
            1e-5};
    t.inputs.push_back(g);
    t.arrays.push_back(random_like(*to_shape(*c.node->type().shape), rng));
    t.moving.push_back(t.inputs.size() - 1);
    if (agrees(c, t, rng, tally)) ++tally.second;
  }
}

}  // namespace

TEST_CASE("Generated: gradients, and gradients of gradients, against differences") {
  std::mt19937 rng(77);
  Tally tally;
  for (const ir::Op* op : ir::all_ops()) {
    if (!has_samples(*op) || !(op->samples.dtypes & ir::Samples::floats)) continue;
    if (op == &ir::ops::stop_gradient) continue;  // its gradient is not its derivative
    const std::size_t samples = op->samples.make().size();
    for (std::size_t number = 0; number < samples; ++number)
      for (const Layout layout : layouts)
        for (const Case& c : make_cases(*op, number, DType::float64, layout, rng)) try {
            check_gradients(c, rng, tally);
          } catch (const Error& e) { FAIL_CHECK(c.name << " threw " << std::string(e.what())); }
  }
  std::string rows;
  for (const auto& [row, n] : tally.without) {
    CHECK(row == ir::ops::nextafter.name);  // of the floats, as in PyTorch; none goes missing
    rows += " " + std::string(row);
  }
  MESSAGE(tally.first << " gradients and " << tally.second
                      << " gradients of gradients against differences; not differentiable:"
                      << (rows.empty() ? " none" : rows));
}
