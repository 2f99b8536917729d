// Every row over a batch against the row on each example: all operands batched, then one alone;
// gradients too.
#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <map>

#include "generated.h"
#include "ir/ops/vmap.h"
#include "passes/autodiff.h"

using namespace weft;
using namespace weft::generated;
using ir::NodeRef;

namespace {

constexpr std::size_t examples = 3;

/// A function of some inputs, and `examples` sets of their values.
struct Body {
  std::string name;
  const ir::Op* op = nullptr;
  std::vector<NodeRef> inputs;
  NodeRef result;
  std::vector<std::vector<Array>> arrays;
};

Array stacked(const std::vector<Array>& parts) {
  Shape shape = parts[0].shape();
  shape.insert(shape.begin(), static_cast<std::int64_t>(parts.size()));
  Array all = Array::uninitialized(parts[0].dtype(), shape);
  std::byte* at = all.mutable_bytes();
  for (const Array& part : parts) {
    const Array dense = part.contiguous();
    std::memcpy(at, dense.bytes(), dense.nbytes());
    at += dense.nbytes();
  }
  return all;
}

/// The same but for the order in which sums may be taken.
bool close(const Array& a, const Array& b) {
  if (a.dtype() != b.dtype() || a.shape() != b.shape()) return false;
  const std::vector<double> x = to_doubles(a), y = to_doubles(b);
  double size = 0;
  for (const double v : y)
    if (std::isfinite(v)) size = std::max(size, std::fabs(v));
  for (std::size_t i = 0; i < x.size(); ++i) {
    const bool same = x[i] == y[i] || (std::isnan(x[i]) && std::isnan(y[i]));
    if (!same && !(std::fabs(x[i] - y[i]) <= 1e-12 * size)) return false;
  }
  return true;
}

/// Empty where the batch gives what its examples do.
std::string disagreement(const Body& body, const std::vector<std::int64_t>& batched) {
  std::vector<NodeRef> inputs;
  std::vector<Array> arrays;
  for (std::size_t i = 0; i < body.inputs.size(); ++i) {
    std::vector<Array> of_each;
    for (std::size_t k = 0; k < (batched[i] != 0 ? examples : 1); ++k)
      of_each.push_back(body.arrays[k][i]);
    arrays.push_back(batched[i] != 0 ? stacked(of_each) : of_each[0]);
    inputs.push_back(ir::make_input({arrays.back().dtype(), to_dims(arrays.back().shape())}));
  }
  const NodeRef whole = ir::make_node(
      ir::ops::vmap, inputs,
      ir::VmapAttrs{std::make_shared<const ir::Graph>(body.inputs, std::vector{body.result}),
                    batched});
  const Array got = run(inputs, {whole}, arrays, {})[0];
  for (std::size_t k = 0; k < examples; ++k) {
    std::vector<Array> values;
    for (std::size_t i = 0; i < body.inputs.size(); ++i)
      values.push_back(body.arrays[batched[i] != 0 ? k : 0][i]);
    const Array want = run(body.inputs, {body.result}, values, {})[0];
    Shape shape = got.shape();
    shape.erase(shape.begin());
    Array one = Array::uninitialized(got.dtype(), shape);
    if (one.nbytes() > 0)
      std::memcpy(one.mutable_bytes(), got.contiguous().bytes() + k * one.nbytes(), one.nbytes());
    if (!close(one, want)) return "example " + std::to_string(k) + " differs";
  }
  return {};
}

std::vector<Body> bodies_of(const ir::Op& op, std::mt19937& rng) {
  std::vector<Body> bodies;
  const std::vector<DType> dtypes = dtypes_of(op);
  const bool floating = std::ranges::find(dtypes, DType::float64) != dtypes.end();
  const std::size_t samples = op.samples.make().size();
  for (std::size_t s = 0; s < samples; ++s) {
    const DType t = floating ? DType::float64 : dtypes[s % dtypes.size()];
    std::vector<std::vector<Case>> of_each;
    for (std::size_t k = 0; k < examples; ++k)
      of_each.push_back(make_cases(op, s, t, Layout::contiguous, rng));
    for (std::size_t r = 0; r < of_each[0].size(); ++r) {
      const Case& c = of_each[0][r];
      Body body{c.name, &op, c.inputs, c.node, {}};
      for (const auto& cases : of_each) body.arrays.push_back(cases[r].arrays);
      bodies.push_back(std::move(body));
    }
  }
  return bodies;
}

/// The cotangents of the floating inputs, weighted at random.
std::vector<Body> gradients_of(const Body& body, std::mt19937& rng) {
  std::vector<NodeRef> xs;
  for (const NodeRef& x : body.inputs)
    if (x->type().dtype == DType::float64) xs.push_back(x);
  const ir::Type& type = body.result->type();
  if (xs.empty() || type.dtype != DType::float64 || !type.concrete()) return {};
  const NodeRef cotangent = ir::make_input({type.dtype, type.shape});
  std::uniform_real_distribution<double> uniform(-1, 1);
  std::vector<Body> bodies;
  const std::vector<NodeRef> ys{body.result}, cotangents{cotangent};
  try {
    for (const NodeRef& dx : passes::gradient(ys, xs, cotangents)) {
      Body g = body;
      g.name += ", gradient";
      g.inputs.push_back(cotangent);
      g.result = dx;
      for (std::vector<Array>& arrays : g.arrays) {
        std::vector<double> v(static_cast<std::size_t>(element_count(*to_shape(*type.shape))));
        for (double& x : v) x = uniform(rng);
        arrays.push_back(Array::from(v, *to_shape(*type.shape)));
      }
      bodies.push_back(std::move(g));
    }
  } catch (const UnsupportedOp&) {}  // the generated tests of gradients say of which
  return bodies;
}

}  // namespace

TEST_CASE("generated: every row over a batch gives what it gives for each example") {
  std::mt19937 rng(11);
  std::map<std::string_view, int> failed;
  std::size_t checked = 0;
  for (const ir::Op* op : ir::all_ops()) {
    if (!has_samples(*op)) continue;
    std::vector<Body> bodies = bodies_of(*op, rng);
    for (std::size_t i = 0, n = bodies.size(); i < n; ++i)
      for (Body& g : gradients_of(bodies[i], rng)) bodies.push_back(std::move(g));
    for (const Body& body : bodies) {
      if (body.inputs.empty()) continue;
      CAPTURE(body.name);
      std::vector<std::int64_t> all(body.inputs.size(), 1), first(body.inputs.size(), 0);
      first[checked % body.inputs.size()] = 1;
      for (const auto& batched : {all, first}) {
        std::string what;
        try {
          what = disagreement(body, batched);
        } catch (const Error& e) { what = std::string("threw ") + e.what(); }
        ++checked;
        if (!what.empty() && ++failed[op->name] <= 2) FAIL_CHECK(body.name << ": " << what);
      }
    }
  }
  MESSAGE(checked << " bodies");
  CHECK(failed.empty());
  CHECK(checked > 1000);
}
