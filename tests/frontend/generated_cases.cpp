#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <sstream>
#include <unordered_set>

#include "generated.h"

namespace weft::generated {

using ir::NodeRef;
using ir::RefArray;

namespace {

constexpr const char* layout_names[] = {"contiguous", "transposed", "broadcast",
                                        "negative",   "sliced",     "empty"};

/// Calls `visit(flat position, index)` in row-major order.
template <class F> void each(const Shape& shape, F visit) {
  const std::int64_t count = element_count(shape);
  Shape at(shape.size(), 0);
  for (std::int64_t n = 0; n < count; ++n) {
    visit(static_cast<std::size_t>(n), at);
    for (std::size_t axis = shape.size(); axis-- > 0;) {
      if (++at[axis] < shape[axis]) break;
      at[axis] = 0;
    }
  }
}

/// Row-major position; extents of 1 broadcast, missing leading axes too.
std::size_t position(const Shape& shape, const Shape& at) {
  std::size_t flat = 0;
  const std::size_t skip = at.size() - shape.size();
  for (std::size_t i = 0; i < shape.size(); ++i)
    flat = flat * static_cast<std::size_t>(shape[i]) +
           static_cast<std::size_t>(shape[i] == 1 ? 0 : at[skip + i]);
  return flat;
}

RefArray draw(DType dtype, const Shape& shape, const ir::SampleOperand& s, std::mt19937& rng) {
  RefArray r{dtype, shape, {}};
  if (dtype == DType::float64) {  // gradients are taken in it: no two are close to each other
    const std::int64_t n = element_count(shape);
    const double cell = (s.hi - s.lo) / static_cast<double>(std::max<std::int64_t>(n, 1));
    std::uniform_real_distribution<double> within(0.25, 0.75);
    for (std::int64_t i = 0; i < n; ++i)
      r.data.push_back(s.lo + cell * (static_cast<double>(i) + within(rng)));
    std::ranges::shuffle(r.data, rng);
    return r;
  }
  std::uniform_real_distribution<double> uniform(s.lo, s.hi);
  for (std::int64_t i = 0; i < element_count(shape); ++i)
    r.data.push_back(
        stored_as(dtype, is_floating(dtype) ? uniform(rng) : std::round(uniform(rng))));
  return r;
}

bool holds_indices(const ir::SampleOperand& o) { return o.fixed && is_integer(*o.fixed); }

/// The extent that layout `empty` takes away: the first that is not 1, of the indices where there
/// are any (an axis without elements has no valid index).
std::int64_t vanishing(const ir::Sample& sample) {
  const bool indexed = std::ranges::any_of(sample.operands, holds_indices);
  for (const ir::SampleOperand& o : sample.operands)
    for (const std::int64_t extent : o.shape)
      if (extent > 1 && (!indexed || holds_indices(o))) return extent;
  return -1;
}

/// Adds one operand: its values, the input that holds them in this layout, and the view that the
/// row reads.
void add_operand(Case& c, const ir::SampleOperand& s, Layout layout, std::mt19937& rng) {
  const DType dtype = s.fixed.value_or(c.dtype);
  const std::size_t rank = s.shape.size();
  const auto keep = [&](RefArray seen, RefArray stored, auto view) {
    c.arrays.push_back(to_array(stored));
    c.inputs.push_back(ir::make_input({dtype, to_dims(stored.shape)}));
    c.values.push_back(std::move(seen));
    c.operands.push_back(view(c.inputs.back()));
  };
  const auto plain = [&] {
    RefArray r = draw(dtype, s.shape, s, rng);
    keep(r, r, [](const NodeRef& x) { return x; });
  };
  switch (layout) {
    case Layout::contiguous:
    case Layout::empty: return plain();
    case Layout::transposed: {
      if (rank < 2) return plain();
      RefArray seen = draw(dtype, s.shape, s, rng), stored = seen;
      stored.shape.assign(s.shape.rbegin(), s.shape.rend());
      each(seen.shape, [&](std::size_t n, const Shape& at) {
        stored.data[position(stored.shape, Shape(at.rbegin(), at.rend()))] = seen.data[n];
      });
      ir::AxesAttrs axes;
      for (std::size_t i = rank; i-- > 0;) axes.axes.push_back(static_cast<std::int64_t>(i));
      return keep(seen, stored,
                  [&](const NodeRef& x) { return make_node(ir::ops::permute, {x}, axes); });
    }
    case Layout::broadcast: {
      std::size_t axis = rank;
      for (std::size_t i = 0; i < rank; ++i)
        if (s.shape[i] > 1) axis = i;
      if (axis == rank) return plain();
      Shape narrow = s.shape;
      narrow[axis] = 1;
      RefArray stored = draw(dtype, narrow, s, rng), seen{dtype, s.shape, {}};
      each(s.shape, [&](std::size_t, const Shape& at) {
        seen.data.push_back(stored.data[position(narrow, at)]);
      });
      return keep(seen, stored, [&](const NodeRef& x) {
        return make_node(ir::ops::broadcast_to, {x}, ir::ShapeAttrs{to_dims(s.shape)});
      });
    }
    case Layout::negative: {
      if (rank == 0) return plain();
      RefArray seen = draw(dtype, s.shape, s, rng), stored = seen;
      each(s.shape, [&](std::size_t n, Shape at) {
        at.back() = s.shape.back() - 1 - at.back();
        std::size_t flat = 0;
        for (std::size_t i = 0; i < rank; ++i)
          flat = flat * static_cast<std::size_t>(s.shape[i]) + static_cast<std::size_t>(at[i]);
        stored.data[flat] = seen.data[n];
      });
      return keep(seen, stored, [&](const NodeRef& x) {
        return make_node(ir::ops::flip, {x}, ir::AxesAttrs{{-1}});
      });
    }
    case Layout::sliced: {
      if (rank == 0) return plain();
      Shape wide = s.shape;
      wide.back() += 3;
      RefArray stored = draw(dtype, wide, s, rng), seen{dtype, s.shape, {}};
      each(s.shape, [&](std::size_t, Shape at) {
        at.back() += 1;
        std::size_t flat = 0;
        for (std::size_t i = 0; i < rank; ++i)
          flat = flat * static_cast<std::size_t>(wide[i]) + static_cast<std::size_t>(at[i]);
        seen.data.push_back(stored.data[flat]);
      });
      const auto last = static_cast<std::int64_t>(rank) - 1;
      return keep(seen, stored, [&](const NodeRef& x) {
        return make_node(ir::ops::slice, {x}, ir::SliceAttrs{{last}, {1}, {-2}, {1}});
      });
    }
  }
}

}  // namespace

bool full_run() { return std::getenv("WEFT_TEST_FULL") != nullptr; }

namespace {

bool is_wanted(const ir::Op& op) {
  const char* rows = std::getenv("WEFT_TEST_ROWS");
  return !rows || ("," + std::string(rows) + ",").find("," + std::string(op.name) + ",") !=
                      std::string::npos;
}

}  // namespace

bool has_samples(const ir::Op& op) {
  const ir::Reference& r = op.reference;
  return op.samples.make && (r.unary || r.binary || r.general || r.results) && is_wanted(op);
}

std::vector<DType> dtypes_of(const ir::Op& op) {
  using enum DType;
  std::vector<DType> t;
  if (op.samples.dtypes & ir::Samples::floats)
    t.insert(t.end(), {float32, float64, float16, bfloat16});
  if (op.samples.dtypes & ir::Samples::integers)
    t.insert(t.end(), {int32, int64, int8, uint8, int16});
  if (op.samples.dtypes & ir::Samples::booleans) t.push_back(boolean);
  return t;
}

std::vector<Case> make_cases(const ir::Op& op, std::size_t number, DType dtype, Layout layout,
                             std::mt19937& rng) {
  ir::Sample sample = op.samples.make()[number];
  if (layout == Layout::empty) {
    const std::int64_t gone = vanishing(sample);
    if (gone < 0) return {};
    for (ir::SampleOperand& o : sample.operands)
      for (std::int64_t& extent : o.shape)
        if (extent == gone) extent = 0;
  }
  Case c;
  c.op = &op;
  c.attrs = sample.attrs;
  c.dtype = dtype;
  c.layout = layout;
  c.name = std::string(op.name) + "[" + std::to_string(number) + "] " +
           std::string(weft::name(dtype)) + " " + layout_names[static_cast<std::size_t>(layout)];
  for (const ir::SampleOperand& o : sample.operands) add_operand(c, o, layout, rng);
  try {
    c.node = make_node(op, c.operands, c.attrs);
  } catch (const DTypeError&) {
    if (!is_floating(dtype) || size_of(dtype) > 2) throw;
    return {};  // libraries know no 16-bit floats
  } catch (const ShapeError&) {
    if (layout != Layout::empty) throw;
    return {};  // nothing to choose from, or a shape in the attributes that no longer fits
  }
  std::vector<Case> cases{c};
  for (std::size_t i = 1; i <= c.node->extra_types().size(); ++i) {
    cases.push_back(c);
    cases.back().result = i;
    cases.back().name += " result " + std::to_string(i);
    cases.back().node =
        make_node(ir::ops::get, {c.node}, ir::GetAttrs{static_cast<std::int64_t>(i)});
  }
  return cases;
}

RefArray reference(const Case& c, std::span<const RefArray> values) {
  const ir::Reference& r = c.op->reference;
  if (r.results) return r.results(values, c.attrs)[c.result];
  if (r.general) return r.general(values, c.attrs);
  Shape shape;
  for (const RefArray& v : values) shape = broadcast_shapes(shape, v.shape);
  RefArray out{c.dtype, shape, {}};
  each(shape, [&](std::size_t, const Shape& at) {
    const auto x = [&](std::size_t i) { return values[i].data[position(values[i].shape, at)]; };
    out.data.push_back(r.unary ? r.unary(x(0)) : r.binary(x(0), x(1)));
  });
  return out;
}

double tolerance(const Case& c, DType result, double want, double magnitude, std::size_t terms) {
  if (!is_floating(result)) return 0;
  // The coarser of what went in and what comes out: a float32 made of float16 operands is no better
  // than these.
  const bool coarser = is_floating(c.dtype) && size_of(c.dtype) < size_of(result);
  const DType t = coarser ? c.dtype : result;
  int digits = 52, lowest = -1022;
  if (t == DType::float32) digits = 23, lowest = -126;
  if (t == DType::float16) digits = 10, lowest = -14;
  if (t == DType::bfloat16) digits = 7, lowest = -126;
  // Of one number, its last place; of a sum, a share of what was added.
  const double unit = magnitude > 0 ? std::ldexp(std::max(magnitude, std::fabs(want)), -digits)
                      : want == 0 || !std::isfinite(want)
                          ? std::ldexp(1.0, lowest - digits)
                          : std::ldexp(1.0, std::max(std::ilogb(want), lowest) - digits);
  double ulps = c.op->samples.ulp;
  // Whoever multiplies and in whatever order, roundings of K terms add up as a walk of K steps
  // does.
  if (std::holds_alternative<ir::ContractionMeaning>(c.op->meaning))
    ulps = std::max(ulps, std::sqrt(static_cast<double>(terms)));
  // In double the reference rounds as the row does, one term after another.
  if (t == DType::float64) ulps = 2 * ulps + 4 + static_cast<double>(terms) / 2;
  // Equal terms round alike: errors add up instead of cancelling.
  if (c.layout == Layout::broadcast && terms > 1) ulps += static_cast<double>(terms) / 2;
  return ulps * unit;
}

// ---- programs -----------------------------------------------------------------------------------

std::vector<ir::Type> types_of(std::span<const Array> arrays, const Options& options) {
  std::vector<ir::Type> types;
  for (const Array& a : arrays) {
    Dims dims = to_dims(a.shape());
    if (options.symbolic)
      for (std::size_t axis = 0; axis < dims.size(); ++axis)
        if (a.shape()[axis] >= 2) dims[axis] = dim("n" + std::to_string(a.shape()[axis]));
    types.push_back({a.dtype(), std::move(dims)});
  }
  return types;
}

std::vector<Array> run(const runtime::Program& program, std::span<const Array> arrays) {
  std::vector<const Shape*> shapes;
  std::vector<Array> dense;
  for (const Array& a : arrays) dense.push_back(a.to(program.device()).contiguous());
  std::vector<void*> in, out;
  for (const Array& a : dense) {
    shapes.push_back(&a.shape());
    in.push_back(const_cast<std::byte*>(a.bytes()));
  }
  const auto sizes = program.size(shapes);
  const auto output_shapes = runtime::Program::output_shapes(*sizes);
  constexpr std::int64_t guard = 256;
  std::vector<Array> results, guarded;
  for (std::size_t i = 0; i < output_shapes.size(); ++i) {
    const auto slot = static_cast<std::size_t>(program.plan().outputs[i]);
    results.push_back(Array::uninitialized(program.plan().slots[slot].dtype, output_shapes[i]));
    // A kernel that leaves an element out shows, and one that writes beyond its result.
    Array bytes = Array::uninitialized(
        DType::uint8, {static_cast<std::int64_t>(results.back().nbytes()) + guard});
    std::memset(bytes.mutable_bytes(), 0x5a, bytes.nbytes());
    guarded.push_back(bytes.to(program.device()));
    out.push_back(const_cast<std::byte*>(guarded.back().bytes()));
  }
  program.run(*sizes, in.data(), out.data());
  for (std::size_t i = 0; i < results.size(); ++i) {
    const std::size_t size = results[i].nbytes();
    const Array bytes = guarded[i].to(Device::cpu());
    std::memcpy(results[i].mutable_bytes(), bytes.bytes(), size);
    const auto* beyond = reinterpret_cast<const unsigned char*>(bytes.bytes()) + size;
    if (!std::all_of(beyond, beyond + guard, [](unsigned char b) { return b == 0x5a; }))
      throw Error("the program wrote beyond output " + std::to_string(i));
  }
  return results;
}

std::vector<Array> run(std::vector<NodeRef> inputs, std::vector<NodeRef> outputs,
                       std::span<const Array> arrays, const Options& options) {
  frontend::CompileOptions compiling;
  compiling.tier = options.tier;
  compiling.fuse = options.fuse;
  compiling.device = options.device;
  const ir::Graph graph(std::move(inputs), std::move(outputs));
  return run(*frontend::compile(graph, types_of(arrays, options), compiling), arrays);
}

std::vector<Outcome> run_all(std::span<const Case> cases, const Options& options) {
  constexpr std::size_t together = 64;
  std::vector<Outcome> outcomes;
  for (std::size_t first = 0; first < cases.size(); first += together) {
    const auto some = cases.subspan(first, std::min(together, cases.size() - first));
    const auto run_some = [&](std::span<const Case> part) {
      std::vector<NodeRef> inputs, outputs;
      std::vector<Array> arrays;
      std::unordered_set<const ir::Node*> seen;  // the results of one row share their operands
      for (const Case& c : part) {
        for (std::size_t i = 0; i < c.inputs.size(); ++i) {
          if (!seen.insert(c.inputs[i].get()).second) continue;
          inputs.push_back(c.inputs[i]);
          arrays.push_back(c.arrays[i]);
        }
        outputs.push_back(c.node);
      }
      return run(std::move(inputs), std::move(outputs), arrays, options);
    };
    try {
      for (Array& a : run_some(some)) outcomes.push_back({std::move(a), {}, false});
      continue;
    } catch (const DeviceError&) {
      throw;  // nothing works after some of these
    } catch (const Error&) {}  // one of them; find out which
    for (const Case& c : some) try {
        outcomes.push_back({run_some({&c, 1})[0], {}, false});
      } catch (const ShapeError& e) {
        outcomes.push_back({std::nullopt, e.what(), true});
      } catch (const Error& e) { outcomes.push_back({std::nullopt, e.what(), false}); }
  }
  return outcomes;
}

// ---- comparisons --------------------------------------------------------------------------------

std::vector<double> to_doubles(const Array& a) { return a.tolist<double>(); }

std::string bit_difference(const Array& got, const Array& want) {
  std::ostringstream out;
  if (got.dtype() != want.dtype() || got.shape() != want.shape()) {
    out << weft::name(got.dtype()) << to_string(got.shape()) << " instead of "
        << weft::name(want.dtype()) << to_string(want.shape());
    return out.str();
  }
  const std::size_t width = size_of(got.dtype());
  for (std::int64_t i = 0; i < got.size(); ++i) {
    const std::size_t at = static_cast<std::size_t>(i) * width;
    if (std::memcmp(got.bytes() + at, want.bytes() + at, width) == 0) continue;
    const double x = to_doubles(got)[static_cast<std::size_t>(i)],
                 y = to_doubles(want)[static_cast<std::size_t>(i)];
    if (std::isnan(x) && std::isnan(y)) continue;
    out.precision(17);
    out << "element " << i << " of " << to_string(got.shape()) << " is " << x << " instead of "
        << y;
    return out.str();
  }
  return {};
}

double stored_as(DType t, double x) {
  if (is_integer(t)) {  // wraps, as the operations do
    if (!(std::fabs(x) < 0x1p63)) return x;
    const auto whole = static_cast<std::int64_t>(x);
    return ir::Literal::copy(t, {}, &whole).at(0);
  }
  const ir::Literal l = ir::Literal::scalar(t, x);
  return l.at(0);
}

Array to_array(const RefArray& r) {
  return Array::from(std::span<const double>(r.data), r.shape).to(r.dtype);
}

double dot(std::span<const double> a, std::span<const double> b) {
  double total = 0;
  for (std::size_t i = 0; i < a.size(); ++i) total += a[i] * b[i];
  return total;
}

}  // namespace weft::generated
