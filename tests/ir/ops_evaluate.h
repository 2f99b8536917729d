// Evaluates graphs element by element straight from the rows' meanings: no kernels, no backends.
// Slow and simple; what the catalogue's own tests compare with the references. Extern meanings are
// not evaluated.
#pragma once

#include <cstring>
#include <limits>
#include <map>
#include <memory>
#include <stdexcept>
#include <unordered_map>
#include <vector>

#include "ir/builder.h"
#include "ir/ops/advanced_indexing.h"
#include "ir/ops/ops.h"
#include "tests/naive_program.h"

namespace weft::check {

using ir::Node;
using ir::NodeRef;

/// Elements as the bits of `dtype`, row-major.
struct Value {
  DType dtype = DType::float32;
  Shape shape;
  std::vector<std::uint64_t> bits;
};

inline std::uint64_t to_bits(DType t, double value) {
  const ir::Literal l = ir::Literal::scalar(t, value);
  std::uint64_t bits = 0;
  std::memcpy(&bits, l.data(), size_of(t));
  return bits;
}
inline double to_double(DType t, std::uint64_t bits) {
  return ir::Literal::copy(t, {}, &bits).at(0);
}

using test::run_program;

inline std::size_t flat(const Shape& shape, std::span<const std::int64_t> at) {
  std::size_t f = 0;
  const std::size_t skip = at.size() - shape.size();
  for (std::size_t i = 0; i < shape.size(); ++i)
    f = f * static_cast<std::size_t>(shape[i]) +
        static_cast<std::size_t>(shape[i] == 1 ? 0 : at[skip + i]);
  return f;
}

template <class F> void each(const Shape& shape, F visit) {
  const std::int64_t count = element_count(shape);
  Shape at(shape.size(), 0);
  for (std::int64_t n = 0; n < count; ++n) {
    visit(at);
    for (std::size_t axis = shape.size(); axis-- > 0;) {
      if (++at[axis] < shape[axis]) break;
      at[axis] = 0;
    }
  }
}

inline Shape mapped(const ir::ViewMap& map, const Shape& at) {
  Shape out;
  for (const auto& axis : map.axes) {
    std::int64_t i = axis.offset.value();
    for (const auto& [from, times] : axis.terms)
      i += times.value() * at[static_cast<std::size_t>(from)];
    out.push_back(i);
  }
  return out;
}

/// Thrown on the way to what only the runtime can evaluate: its own rows, complex numbers.
struct NotEvaluated : std::logic_error {
  using std::logic_error::logic_error;
};

class Evaluator {
 public:
  void set(const NodeRef& input, Value v) { values_[input.get()] = std::move(v); }

  const Value& operator()(const NodeRef& root) {
    const NodeRef roots[] = {root};
    const auto done = [this](const Node& n) { return values_.contains(&n); };
    for (const Node* n : ir::topological_order(roots, done))
      if (!done(*n)) compute(*n);
    return values_.at(root.get());
  }

 private:
  void compute(const Node& n) {
    if (n.type().dtype && is_complex(*n.type().dtype)) throw NotEvaluated(std::string(n.op().name));
    if (&n.op() == &ir::ops::constant) {
      const ir::Literal& l = n.attrs().get<ir::ConstantAttrs>().value;
      Value v{l.dtype(), l.shape(), {}};
      for (std::int64_t i = 0; i < l.size(); ++i) {
        std::uint64_t bits = 0;
        std::memcpy(&bits, l.data() + i * static_cast<std::int64_t>(size_of(l.dtype())),
                    size_of(l.dtype()));
        v.bits.push_back(bits);
      }
      values_[&n] = std::move(v);
      return;
    }
    if (!n.type().concrete()) throw std::logic_error("not concrete: " + std::string(n.op().name));
    Value v = std::visit([&](const auto& meaning) { return of(meaning, n); }, n.op().meaning);
    if (v.dtype != *n.type().dtype || v.shape != *to_shape(*n.type().shape))
      throw std::logic_error(std::string(n.op().name) + ": the value differs from the type " +
                             to_string(n.type()));
    values_[&n] = std::move(v);
  }

  const Value& in(const Node& n, std::size_t i) { return values_.at(n.input(i).get()); }
  static Value empty(const Node& n) { return {*n.type().dtype, *to_shape(*n.type().shape), {}}; }

  Value of(const ir::Leaf&, const Node& n) {
    throw std::logic_error("no value for " + to_string(n.type()));
  }
  Value of(const ir::Extern&, const Node& n) {
    if (&n.op() == &ir::ops::check_index) {  // what depends on it is evaluated on good indices
      Value v = empty(n);
      v.bits = {1};
      return v;
    }
    throw NotEvaluated(std::string(n.op().name));
  }

  Value of(const ir::Pointwise&, const Node& n) {
    const ir::ScalarProgram p = pointwise_program(n);
    Value v = empty(n);
    each(v.shape, [&](const Shape& at) {
      std::vector<std::uint64_t> x;
      for (std::size_t i = 0; i < n.inputs().size(); ++i)
        x.push_back(in(n, i).bits[flat(in(n, i).shape, at)]);
      v.bits.push_back(run_program(p, x, at)[0]);
    });
    return v;
  }

  Value of(const ir::View& view, const Node& n) {
    Value v = empty(n);
    const auto map = view.map(n);
    if (!map)
      v.bits = in(n, 0).bits;
    else
      each(v.shape, [&](const Shape& at) {
        v.bits.push_back(in(n, 0).bits[flat(in(n, 0).shape, mapped(*map, at))]);
      });
    return v;
  }

  Value of(const ir::Regions& regions, const Node& n) {
    Value v = empty(n);
    const auto size = static_cast<std::size_t>(element_count(v.shape));
    const double fill = regions.fill ? regions.fill(n) : std::numeric_limits<double>::quiet_NaN();
    v.bits.assign(size, to_bits(v.dtype, fill));
    std::size_t written = 0;
    for (const ir::Region& r : regions.map(n)) {
      const Value& x = in(n, r.operand);
      const ir::ScalarProgram convert = ir::conversion_program(x.dtype, v.dtype);
      std::size_t i = 0;
      each(x.shape, [&](const Shape& at) {
        v.bits[flat(v.shape, mapped(r.place, at))] = run_program(convert, {&x.bits[i++], 1})[0];
        ++written;
      });
    }
    if (!regions.fill && written != size)
      throw std::logic_error("regions that do not cover the result");
    return v;
  }

  Value of(const ir::Reduction& reduction, const Node& n) {
    const ir::ReductionDef def = reduction.define(n);
    const auto& r = n.attrs().get<ir::ReduceAttrs>();
    const Value& x = in(n, 0);
    std::vector<bool> reduced(x.shape.size(), r.axes.empty() && r.all);
    for (const std::int64_t a : r.axes)
      reduced[static_cast<std::size_t>(a < 0 ? a + static_cast<std::int64_t>(x.shape.size()) : a)] =
          true;
    Shape kept = x.shape;
    for (std::size_t i = 0; i < kept.size(); ++i)
      if (reduced[i]) kept[i] = 1;
    const auto groups = static_cast<std::size_t>(element_count(kept));
    std::vector<std::vector<std::uint64_t>> sums(groups, def.identity);
    std::vector<std::uint64_t> seen(groups, 0);
    std::size_t i = 0;
    each(x.shape, [&](const Shape& at) {
      const std::size_t g = flat(kept, at);
      const std::uint64_t element[] = {x.bits[i++], seen[g]++};
      const auto lifted = run_program(def.lift, element);
      std::vector<std::uint64_t> both = sums[g];
      both.insert(both.end(), lifted.begin(), lifted.end());
      sums[g] = run_program(def.combine, both);
    });
    Value v = empty(n);
    for (const auto& s : sums) v.bits.push_back(run_program(def.finish, s)[0]);
    return v;
  }

  Value of(const ir::ContractionMeaning& contraction, const Node& n) {
    const ir::ContractionDef def = contraction.define(n);
    const Value &a = in(n, 0), &b = in(n, 1);
    std::map<char, std::int64_t> extents;
    for (std::size_t i = 0; i < def.a.size(); ++i)
      extents[def.a[i]] = std::max(extents[def.a[i]], a.shape[i]);
    for (std::size_t i = 0; i < def.b.size(); ++i) {
      auto [at, fresh] = extents.emplace(def.b[i], b.shape[i]);
      if (!fresh && at->second == 1) at->second = b.shape[i];
    }
    Value v = empty(n);
    Shape summed;
    std::string labels;
    for (const auto& [label, extent] : extents)
      if (def.out.find(label) == std::string::npos) labels += label, summed.push_back(extent);
    std::size_t o = 0;
    v.bits.resize(static_cast<std::size_t>(element_count(v.shape)));
    each(v.shape, [&](const Shape& at) {
      double total = 0;
      each(summed, [&](const Shape& k) {
        const auto element = [&](const Value& x, const std::string& names) {
          Shape index;
          for (const char c : names)
            index.push_back(labels.find(c) == std::string::npos ? at[def.out.find(c)]
                                                                : k[labels.find(c)]);
          return to_double(x.dtype, x.bits[flat(x.shape, index)]);
        };
        total += element(a, def.a) * element(b, def.b);
      });
      v.bits[o++] = to_bits(v.dtype, total);
    });
    return v;
  }

  Value of(const ir::Expansion& expansion, const Node& n) {
    const std::vector<NodeRef> inputs(n.inputs().begin(), n.inputs().end());
    builders_.push_back(std::make_shared<ir::GraphBuilder>());
    return (*this)(expansion.results(*builders_.back(), n, inputs)[0]);
  }

  std::vector<std::shared_ptr<ir::GraphBuilder>> builders_;  // keep what expansions made alive
  std::unordered_map<const Node*, Value> values_;
};

}  // namespace weft::check
