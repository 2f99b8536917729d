#include "onnx/export.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <unordered_map>
#include <unordered_set>

#include "ir/builder.h"
#include "ir/op.h"
#include "ir/ops/advanced_indexing.h"
#include "ir/ops/attrs.h"
#include "ir/ops/ops.h"
#include "ir/ops/ordering.h"
#include "ir/ops/spatial.h"
#include "onnx/importer.h"
#include "passes/specialize.h"

namespace weft::onnx {
namespace {

namespace ops = ir::ops;
using ir::Node;

constexpr std::int64_t opset = 17;

AttributeDef attribute(std::string name, std::int64_t value) {
  AttributeDef a;
  a.name = std::move(name);
  a.kind = AttributeDef::Kind::integer;
  a.integer = value;
  return a;
}
AttributeDef attribute(std::string name, std::vector<std::int64_t> values) {
  AttributeDef a;
  a.name = std::move(name);
  a.kind = AttributeDef::Kind::integers;
  a.integers = std::move(values);
  return a;
}
AttributeDef attribute(std::string name, double value) {
  AttributeDef a;
  a.name = std::move(name);
  a.kind = AttributeDef::Kind::real;
  a.real = value;
  return a;
}
AttributeDef text_attribute(std::string name, std::string value) {
  AttributeDef a;
  a.name = std::move(name);
  a.kind = AttributeDef::Kind::string;
  a.string = std::move(value);
  return a;
}

class Writer {
 public:
  ModelDef def;

  /// A node with one result: its name.
  std::string emit(const std::string& op, std::vector<std::string> inputs,
                   std::vector<AttributeDef> attributes = {}) {
    const std::string name = fresh(op);
    def.graph.nodes.push_back({name, op, "", std::move(inputs), {name}, std::move(attributes)});
    return name;
  }
  std::string constant(const Array& value) {
    const std::string name = fresh("constant");
    def.graph.initializers.push_back(to_tensor_def(value, name));
    return name;
  }
  std::string constant(const std::vector<std::int64_t>& values) {
    return constant(Array::from(values));
  }
  std::string scalar(double value, DType dtype) { return constant(Array(value).to(dtype)); }
  std::string cast(const std::string& x, DType from, DType to) {
    if (from == to) return x;
    return emit("Cast", {x}, {attribute("to", std::int64_t{onnx_of_dtype(to)})});
  }

  void name(const Node& node, std::string text) { names_[&node] = std::move(text); }
  /// An operand in the dtype that the operator wants.
  std::string operand(const Node& node, std::size_t i) { return names_.at(node.inputs()[i].get()); }
  std::string operand(const Node& node, std::size_t i, DType dtype) {
    return cast(operand(node, i), *node.inputs()[i]->type().dtype, dtype);
  }
  std::string named(const ir::NodeRef& node) { return names_.at(node.get()); }
  std::string fresh(const std::string& stem) {
    while (true)
      if (std::string name = stem + "_" + std::to_string(++count_); taken_.insert(name).second)
        return name;
  }
  /// `name` itself for the first who wants it.
  std::string claim(const std::string& name) {
    return taken_.insert(name).second ? name : fresh(name);
  }

 private:
  std::unordered_map<const Node*, std::string> names_;
  std::unordered_set<std::string> taken_;
  std::size_t count_ = 0;
};

DType dtype_of(const Node& node) { return *node.type().dtype; }

/// The dtype in which operands meet.
DType meeting(const Node& node) {
  std::optional<DType> strong, weak;
  for (const ir::NodeRef& x : node.inputs()) {
    std::optional<DType>& side = x->type().weak ? weak : strong;
    side = side ? promote(*side, *x->type().dtype) : *x->type().dtype;
  }
  if (strong && weak) return promote_weak(*strong, *weak);
  return strong ? *strong : *weak;
}

/// A shape as an operand: one extent may be unknown.
std::string shape_operand(Writer& w, const Dims& dims, std::int64_t unknown) {
  std::vector<std::int64_t> shape;
  int open = 0;
  for (const Dim& d : dims) {
    shape.push_back(d.constant().value_or(unknown));
    open += d.is_constant() ? 0 : 1;
  }
  if (unknown < 0 && open > 1)
    throw UnsupportedOp("a shape with several unknown extents, " + to_string(dims));
  return w.constant(shape);
}

std::int64_t known(const Dim& d) {
  if (d.is_constant()) return d.value();
  throw UnsupportedOp("a place that depends on the unknown extent " + d.str());
}

// ---- pointwise ----------------------------------------------------------------------------------

using Emit = std::string (*)(Writer&, const Node&);

/// The name of a second result begins with that of the first.
constexpr const char* places = "_places";

/// The row's own operator, operands in the dtype of the result.
std::string same(Writer& w, const Node& n) {
  std::vector<std::string> inputs;
  for (std::size_t i = 0; i < n.inputs().size(); ++i)
    inputs.push_back(w.operand(n, i, dtype_of(n)));
  return w.emit(std::string(n.op().onnx), std::move(inputs));
}
/// The same where operands meet in one dtype and the result has another.
template <const char* const& Name> std::string compared(Writer& w, const Node& n) {
  const DType dtype = meeting(n);
  return w.emit(Name, {w.operand(n, 0, dtype), w.operand(n, 1, dtype)});
}
inline constexpr const char *equal = "Equal", *less = "Less", *less_equal = "LessOrEqual",
                            *greater = "Greater", *greater_equal = "GreaterOrEqual";
std::string differs(Writer& w, const Node& n) {
  const DType dtype = meeting(n);
  return w.emit("Not", {w.emit("Equal", {w.operand(n, 0, dtype), w.operand(n, 1, dtype)})});
}
template <const char* const& Name> std::string logic(Writer& w, const Node& n) {
  return w.emit(Name, {w.operand(n, 0, DType::boolean), w.operand(n, 1, DType::boolean)});
}
inline constexpr const char *and_ = "And", *or_ = "Or", *xor_ = "Xor";

template <const char* const& Name> std::string unary(Writer& w, const Node& n) {
  return w.emit(Name, {w.operand(n, 0, dtype_of(n))});
}
inline constexpr const char *exp_ = "Exp", *log_ = "Log", *sqrt_ = "Sqrt", *sin_ = "Sin",
                            *cos_ = "Cos", *tan_ = "Tan", *asin_ = "Asin", *acos_ = "Acos",
                            *atan_ = "Atan", *sinh_ = "Sinh", *cosh_ = "Cosh", *tanh_ = "Tanh",
                            *asinh_ = "Asinh", *acosh_ = "Acosh", *atanh_ = "Atanh",
                            *sigmoid_ = "Sigmoid", *erf_ = "Erf", *floor_ = "Floor",
                            *ceil_ = "Ceil", *round_ = "Round", *identity_ = "Identity";

std::string cast_to(Writer& w, const Node& n) {
  return w.emit("Cast", {w.operand(n, 0)},
                {attribute("to", std::int64_t{onnx_of_dtype(dtype_of(n))})});
}
std::string is_nan(Writer& w, const Node& n) { return w.emit("IsNaN", {w.operand(n, 0)}); }
std::string is_inf(Writer& w, const Node& n) { return w.emit("IsInf", {w.operand(n, 0)}); }
std::string negated(Writer& w, const Node& n) {
  return w.emit("Not", {w.operand(n, 0, DType::boolean)});
}
std::string choice(Writer& w, const Node& n) {
  return w.emit("Where", {w.operand(n, 0, DType::boolean), w.operand(n, 1, dtype_of(n)),
                          w.operand(n, 2, dtype_of(n))});
}
std::string squared(Writer& w, const Node& n) {
  const std::string x = w.operand(n, 0, dtype_of(n));
  return w.emit("Mul", {x, x});
}
std::string inverse_root(Writer& w, const Node& n) {
  return w.emit("Reciprocal", {w.emit("Sqrt", {w.operand(n, 0, dtype_of(n))})});
}
std::string product_and_sum(Writer& w, const Node& n) {
  const DType t = dtype_of(n);
  return w.emit("Add",
                {w.emit("Mul", {w.operand(n, 0, t), w.operand(n, 1, t)}), w.operand(n, 2, t)});
}
std::string power_of_two(Writer& w, const Node& n) {
  return w.emit("Pow", {w.scalar(2, dtype_of(n)), w.operand(n, 0, dtype_of(n))});
}
std::string log_of_one_more(Writer& w, const Node& n) {
  const DType t = dtype_of(n);
  return w.emit("Log", {w.emit("Add", {w.operand(n, 0, t), w.scalar(1, t)})});
}
std::string exp_less_one(Writer& w, const Node& n) {
  const DType t = dtype_of(n);
  return w.emit("Sub", {w.emit("Exp", {w.operand(n, 0, t)}), w.scalar(1, t)});
}
std::string log_to_base(Writer& w, const Node& n, double base) {
  const DType t = dtype_of(n);
  return w.emit("Div", {w.emit("Log", {w.operand(n, 0, t)}), w.scalar(std::log(base), t)});
}
std::string erf_complement(Writer& w, const Node& n) {
  const DType t = dtype_of(n);
  return w.emit("Sub", {w.scalar(1, t), w.emit("Erf", {w.operand(n, 0, t)})});
}
std::string silu(Writer& w, const Node& n) {
  const std::string x = w.operand(n, 0, dtype_of(n));
  return w.emit("Mul", {x, w.emit("Sigmoid", {x})});
}
/// x * 0.5 * (1 + erf(x / sqrt 2))
std::string gelu(Writer& w, const Node& n) {
  const DType t = dtype_of(n);
  const std::string x = w.operand(n, 0, t);
  const std::string inner = w.emit("Erf", {w.emit("Mul", {x, w.scalar(std::sqrt(0.5), t)})});
  return w.emit("Mul",
                {w.emit("Mul", {x, w.scalar(0.5, t)}), w.emit("Add", {inner, w.scalar(1, t)})});
}
std::string leaky(Writer& w, const Node& n) {
  return w.emit("LeakyRelu", {w.operand(n, 0, dtype_of(n))},
                {attribute("alpha", n.attrs().get<ir::AlphaAttrs>().alpha)});
}
std::string exponential_unit(Writer& w, const Node& n) {
  return w.emit("Elu", {w.operand(n, 0, dtype_of(n))},
                {attribute("alpha", n.attrs().get<ir::AlphaAttrs>().alpha)});
}
std::string clipped(Writer& w, const Node& n) {
  const auto& a = n.attrs().get<ir::ClipAttrs>();
  const DType t = dtype_of(n);
  return w.emit("Clip", {w.operand(n, 0, t), std::isinf(a.min) ? "" : w.scalar(a.min, t),
                         std::isinf(a.max) ? "" : w.scalar(a.max, t)});
}
std::string power(Writer& w, const Node& n) {
  return w.emit("Pow", {w.operand(n, 0, dtype_of(n)), w.operand(n, 1, dtype_of(n))});
}
std::string modulo(Writer& w, const Node& n) {
  const DType t = dtype_of(n);
  const std::string a = w.operand(n, 0, t), b = w.operand(n, 1, t);
  if (is_integer(t)) return w.emit("Mod", {a, b});
  return w.emit("Sub", {a, w.emit("Mul", {b, w.emit("Floor", {w.emit("Div", {a, b})})})});
}
std::string floor_quotient(Writer& w, const Node& n) {
  const DType t = dtype_of(n);
  if (is_integer(t)) throw UnsupportedOp("floor division of integers");
  return w.emit("Floor", {w.emit("Div", {w.operand(n, 0, t), w.operand(n, 1, t)})});
}

// ---- reductions, rows, products -----------------------------------------------------------------

template <const char* const& Name> std::string reduced(Writer& w, const Node& n) {
  const auto& r = n.attrs().get<ir::ReduceAttrs>();
  const bool truth = dtype_of(n) == DType::boolean;  // any, all
  const std::string x = truth
                            ? w.cast(w.operand(n, 0, DType::boolean), DType::boolean, DType::int32)
                            : w.operand(n, 0, dtype_of(n));
  std::vector<AttributeDef> attributes{attribute("keepdims", std::int64_t{r.keepdims})};
  std::vector<std::string> inputs{x};
  if (!r.all && r.axes.empty()) return w.emit("Identity", inputs);
  if (!r.all && std::string_view(Name) == "ReduceSum")
    inputs.push_back(w.constant(r.axes));
  else if (!r.all)
    attributes.push_back(attribute("axes", r.axes));
  const std::string y = w.emit(Name, std::move(inputs), std::move(attributes));
  return truth ? w.cast(y, DType::int32, DType::boolean) : y;
}
inline constexpr const char *sum_ = "ReduceSum", *prod_ = "ReduceProd", *max_ = "ReduceMax",
                            *min_ = "ReduceMin", *mean_ = "ReduceMean",
                            *log_sum_exp_ = "ReduceLogSumExp";

template <const char* const& Name> std::string position(Writer& w, const Node& n) {
  const auto& r = n.attrs().get<ir::ReduceAttrs>();
  std::string x = w.operand(n, 0);
  std::int64_t axis = r.axes.empty() ? 0 : r.axes[0];
  if (r.all) x = w.emit("Reshape", {x, w.constant(std::vector<std::int64_t>{-1})}), axis = 0;
  const std::string y =
      w.emit(Name, {x},
             {attribute("axis", axis), attribute("keepdims", std::int64_t{r.keepdims && !r.all})});
  if (!r.all) return y;
  return w.emit("Reshape", {y, shape_operand(w, *n.type().shape, -1)});
}
inline constexpr const char *arg_max = "ArgMax", *arg_min = "ArgMin";

template <const char* const& Name> std::string along_axis(Writer& w, const Node& n) {
  return w.emit(Name, {w.operand(n, 0, dtype_of(n))},
                {attribute("axis", n.attrs().get<ir::AxisAttrs>().axis)});
}
inline constexpr const char *softmax_ = "Softmax", *log_softmax_ = "LogSoftmax";

std::string product(Writer& w, const Node& n) {
  return w.emit("MatMul", {w.operand(n, 0, dtype_of(n)), w.operand(n, 1, dtype_of(n))});
}
std::string subscripts(Writer& w, const Node& n) {
  const auto def = std::get<ir::ContractionMeaning>(n.op().meaning).define(n);
  AttributeDef equation = text_attribute("equation", def.a + "," + def.b + "->" + def.out);
  return w.emit("Einsum", {w.operand(n, 0, dtype_of(n)), w.operand(n, 1, dtype_of(n))},
                {std::move(equation)});
}

// ---- windows ------------------------------------------------------------------------------------

template <class A> std::vector<AttributeDef> window_attributes(const A& a) {
  std::vector<AttributeDef> list{attribute("strides", a.stride),
                                 attribute("dilations", a.dilation)};
  if (a.auto_pad.empty()) {
    std::vector<std::int64_t> pads = a.low;
    pads.insert(pads.end(), a.high.begin(), a.high.end());
    list.push_back(attribute("pads", std::move(pads)));
  } else {
    list.push_back(
        text_attribute("auto_pad", a.auto_pad == "same_upper" ? "SAME_UPPER" : "SAME_LOWER"));
  }
  return list;
}
std::string convolved(Writer& w, const Node& n) {
  const auto& a = n.attrs().get<ir::ConvAttrs>();
  std::vector<AttributeDef> attributes = window_attributes(a);
  attributes.push_back(attribute("group", a.groups));
  return w.emit("Conv", {w.operand(n, 0, dtype_of(n)), w.operand(n, 1, dtype_of(n))},
                std::move(attributes));
}
std::string pooled(Writer& w, const Node& n) {
  const auto& a = n.attrs().get<ir::PoolAttrs>();
  const bool average = &n.op() == &ops::avg_pool;
  std::vector<AttributeDef> attributes = window_attributes(a);
  if (average) attributes.erase(attributes.begin() + 1);  // it has no dilations yet
  attributes.push_back(attribute("kernel_shape", a.size));
  attributes.push_back(attribute("ceil_mode", std::int64_t{a.ceil_mode}));
  if (average)
    attributes.push_back(attribute("count_include_pad", std::int64_t{a.count_include_pad}));
  return w.emit(average ? "AveragePool" : "MaxPool", {w.operand(n, 0)}, std::move(attributes));
}

bool all_at_least(const std::vector<std::int64_t>& list, std::int64_t least) {
  return std::ranges::all_of(list, [&](std::int64_t x) { return x >= least; });
}
/// What ONNX's operator can say of a row with these attributes.
bool fits(const Node& n) {
  if (&n.op() == &ops::convolution) {
    const auto& a = n.attrs().get<ir::ConvAttrs>();
    return is_floating(dtype_of(n)) && all_at_least(a.low, 0) && all_at_least(a.high, 0);
  }
  if (&n.op() == &ops::max_pool || &n.op() == &ops::avg_pool) {
    const auto& a = n.attrs().get<ir::PoolAttrs>();
    const bool dilated = std::ranges::any_of(a.dilation, [](std::int64_t d) { return d != 1; });
    return is_floating(dtype_of(n)) && all_at_least(a.low, 0) && all_at_least(a.high, 0) &&
           a.divisor == 0 && (&n.op() == &ops::max_pool || !dilated);
  }
  return true;
}

// ---- layout -------------------------------------------------------------------------------------

std::string reshaped(Writer& w, const std::string& x, const Dims& shape) {
  return w.emit("Reshape", {x, shape_operand(w, shape, -1)},
                {attribute("allowzero", std::int64_t{std::ranges::count(shape, Dim(0)) > 0})});
}

/// Any affine view whose axes do not meet: slices, then axes dropped, put in order, added and
/// widened.
std::string viewed(Writer& w, const Node& n) {
  const auto map = std::get<ir::View>(n.op().meaning).map(n);
  std::string x = w.operand(n, 0, dtype_of(n));
  const Dims& out = *n.type().shape;
  if (!map) return reshaped(w, x, out);
  const Dims& in = *n.inputs()[0]->type().shape;
  std::vector<std::int64_t> starts, ends, axes, steps, dropped;
  std::vector<std::size_t> order;  // result axes, in the order of the operand's
  for (std::size_t i = 0; i < map->axes.size(); ++i) {
    const ir::ViewMap::AxisExpr& e = map->axes[i];
    if (e.terms.size() > 1) throw UnsupportedOp("axes that meet");
    if (e.terms.empty()) {
      dropped.push_back(static_cast<std::int64_t>(i));
      if (in[i] == Dim(1)) continue;
      starts.push_back(known(e.offset)), ends.push_back(known(e.offset) + 1);
      axes.push_back(static_cast<std::int64_t>(i)), steps.push_back(1);
      continue;
    }
    const auto [axis, factor] = e.terms[0];
    order.push_back(static_cast<std::size_t>(axis));
    if (factor == Dim(1) && e.offset == Dim(0) && in[i] == out[order.back()]) continue;
    const std::int64_t step = known(factor), start = known(e.offset),
                       last = start + (known(out[order.back()]) - 1) * step;
    starts.push_back(start);
    ends.push_back(step > 0    ? last + 1
                   : last == 0 ? std::numeric_limits<std::int64_t>::min()
                               : last - 1);
    axes.push_back(static_cast<std::int64_t>(i)), steps.push_back(step);
  }
  if (!axes.empty())
    x = w.emit("Slice",
               {x, w.constant(starts), w.constant(ends), w.constant(axes), w.constant(steps)});
  if (!dropped.empty()) x = w.emit("Squeeze", {x, w.constant(dropped)});
  std::vector<std::size_t> sorted = order;
  std::ranges::sort(sorted);
  if (std::ranges::adjacent_find(sorted) != sorted.end()) throw UnsupportedOp("axes that meet");
  if (sorted != order) {
    std::vector<std::int64_t> permutation;
    for (const std::size_t axis : sorted)
      permutation.push_back(std::ranges::find(order, axis) - order.begin());
    x = w.emit("Transpose", {x}, {attribute("perm", std::move(permutation))});
  }
  std::vector<std::int64_t> added;
  bool widened = false;
  for (std::size_t i = 0; i < out.size(); ++i)
    if (std::ranges::find(sorted, i) == sorted.end()) {
      added.push_back(static_cast<std::int64_t>(i));
      widened = widened || out[i] != Dim(1);
      if (!out[i].is_constant())
        throw UnsupportedOp("broadcasting to the unknown extent " + out[i].str());
    }
  if (!added.empty()) x = w.emit("Unsqueeze", {x, w.constant(added)});
  // an unknown extent that is there already is left alone by a 1
  return widened ? w.emit("Expand", {x, shape_operand(w, out, 1)}) : x;
}

std::string joined(Writer& w, const Node& n) {
  std::vector<std::string> parts;
  for (std::size_t i = 0; i < n.inputs().size(); ++i) parts.push_back(w.operand(n, i, dtype_of(n)));
  return w.emit("Concat", std::move(parts),
                {attribute("axis", n.attrs().get<ir::AxisAttrs>().axis)});
}
std::string padded(Writer& w, const Node& n) {
  const auto& a = n.attrs().get<ir::PadAttrs>();
  for (const std::int64_t between : a.interior)
    if (between != 0) throw UnsupportedOp("padding between elements");
  std::vector<std::int64_t> pads;
  for (const Dim& d : a.low) pads.push_back(known(d));
  for (const Dim& d : a.high) pads.push_back(known(d));
  return w.emit("Pad", {w.operand(n, 0), w.constant(pads), w.scalar(a.value, dtype_of(n))});
}
std::string positions(Writer& w, const Node& n) {
  const auto& a = n.attrs().get<ir::IotaAttrs>();
  const auto axis =
      static_cast<std::size_t>(axis_of(a.axis, static_cast<std::int64_t>(a.shape.size())));
  Shape along(a.shape.size(), 1);
  along[axis] = known(a.shape[axis]);
  const std::string line = w.constant(arange(along[axis]).to(a.dtype).reshape(along));
  Shape shape;
  for (const Dim& extent : a.shape) shape.push_back(known(extent));
  return w.emit("Expand", {line, w.constant(shape)});
}

std::string rows_of(Writer& w, const Node& n) {
  return w.emit("Gather", {w.operand(n, 0), w.operand(n, 1)}, {attribute("axis", std::int64_t{0})});
}
std::string elements_of(Writer& w, const Node& n) {
  return w.emit("GatherElements", {w.operand(n, 0), w.operand(n, 1)},
                {attribute("axis", n.attrs().get<ir::AxisAttrs>().axis)});
}
std::string tuples_of(Writer& w, const Node& n) {
  const auto& a = n.attrs().get<ir::GatherNdAttrs>();
  if (a.last) throw UnsupportedOp("gathering the last of several equal indices");
  return w.emit("GatherND", {w.operand(n, 0), w.operand(n, 1)}, {attribute("batch_dims", a.batch)});
}
/// That indices are in range, ONNX's own operators check.
std::string in_range(Writer& w, const Node&) { return w.constant(Array(true)); }

std::string running_sum(Writer& w, const Node& n) {
  const auto& a = n.attrs().get<ir::ScanAttrs<ir::Scan::sum>>();
  if (!is_floating(dtype_of(n)) && size_of(dtype_of(n)) < 4)
    throw UnsupportedOp("running sums of " + std::string(name(dtype_of(n))));
  return w.emit("CumSum", {w.operand(n, 0, dtype_of(n)), w.constant(Array(a.axis))},
                {attribute("exclusive", std::int64_t{a.exclusive}),
                 attribute("reverse", std::int64_t{a.reverse})});
}

/// Values, and behind a second name their places.
std::string greatest(Writer& w, const Node& n, std::int64_t axis, const Dim& k, bool largest) {
  const std::string values =
      w.emit("TopK", {w.operand(n, 0), w.constant(std::vector<std::int64_t>{known(k)})},
             {attribute("axis", axis), attribute("largest", std::int64_t{largest})});
  w.def.graph.nodes.back().outputs.push_back(values + places);
  return values;
}
std::string top(Writer& w, const Node& n) {
  const auto& a = n.attrs().get<ir::TopkAttrs>();
  return greatest(w, n, a.axis, a.k.at(0), a.largest);
}
std::string sorted(Writer& w, const Node& n) {
  const auto& a = n.attrs().get<ir::SortAttrs>();
  const Dims& dims = *n.type().shape;
  const std::int64_t axis = axis_of(a.axis, static_cast<std::int64_t>(dims.size()));
  return greatest(w, n, axis, dims[static_cast<std::size_t>(axis)], a.descending);
}
/// Of the rows above, which have two results each.
std::string one_result(Writer& w, const Node& n) {
  const Node& from = *n.inputs()[0];
  if (&from.op() != &ops::topk && &from.op() != &ops::sort)
    throw UnsupportedOp("the results of '" + std::string(from.op().name) + "'");
  return w.operand(n, 0) + (n.attrs().get<ir::GetAttrs>().index == 0 ? "" : places);
}
std::string literal(Writer& w, const Node& n) {
  return w.constant(runtime::from_literal(n.attrs().get<ir::ConstantAttrs>().value));
}

const std::unordered_map<const ir::Op*, Emit>& emitters() {
  static const std::unordered_map<const ir::Op*, Emit> table{
      {&ops::constant, literal},
      {&ops::add, same},
      {&ops::sub, same},
      {&ops::mul, same},
      {&ops::div, same},
      {&ops::neg, same},
      {&ops::abs, same},
      {&ops::sign, same},
      {&ops::reciprocal, same},
      {&ops::maximum, same},
      {&ops::minimum, same},
      {&ops::relu, same},
      {&ops::softplus, same},
      {&ops::pow, power},
      {&ops::remainder, modulo},
      {&ops::floor_divide, floor_quotient},
      {&ops::square, squared},
      {&ops::fma, product_and_sum},
      {&ops::clip, clipped},
      {&ops::eq, compared<equal>},
      {&ops::ne, differs},
      {&ops::lt, compared<less>},
      {&ops::le, compared<less_equal>},
      {&ops::gt, compared<greater>},
      {&ops::ge, compared<greater_equal>},
      {&ops::logical_and, logic<and_>},
      {&ops::logical_or, logic<or_>},
      {&ops::logical_xor, logic<xor_>},
      {&ops::logical_not, negated},
      {&ops::where, choice},
      {&ops::cast, cast_to},
      {&ops::isnan, is_nan},
      {&ops::isinf, is_inf},
      {&ops::exp, unary<exp_>},
      {&ops::log, unary<log_>},
      {&ops::sqrt, unary<sqrt_>},
      {&ops::sin, unary<sin_>},
      {&ops::cos, unary<cos_>},
      {&ops::tan, unary<tan_>},
      {&ops::asin, unary<asin_>},
      {&ops::acos, unary<acos_>},
      {&ops::atan, unary<atan_>},
      {&ops::sinh, unary<sinh_>},
      {&ops::cosh, unary<cosh_>},
      {&ops::tanh, unary<tanh_>},
      {&ops::asinh, unary<asinh_>},
      {&ops::acosh, unary<acosh_>},
      {&ops::atanh, unary<atanh_>},
      {&ops::sigmoid, unary<sigmoid_>},
      {&ops::erf, unary<erf_>},
      {&ops::erfc, erf_complement},
      {&ops::floor, unary<floor_>},
      {&ops::ceil, unary<ceil_>},
      {&ops::round, unary<round_>},
      {&ops::rsqrt, inverse_root},
      {&ops::exp2, power_of_two},
      {&ops::expm1, exp_less_one},
      {&ops::log1p, log_of_one_more},
      {&ops::log2, [](Writer& w, const Node& n) { return log_to_base(w, n, 2); }},
      {&ops::log10, [](Writer& w, const Node& n) { return log_to_base(w, n, 10); }},
      {&ops::silu, silu},
      {&ops::gelu, gelu},
      {&ops::leaky_relu, leaky},
      {&ops::elu, exponential_unit},
      {&ops::stop_gradient, unary<identity_>},
      {&ops::sum, reduced<sum_>},
      {&ops::prod, reduced<prod_>},
      {&ops::max, reduced<max_>},
      {&ops::min, reduced<min_>},
      {&ops::amax, reduced<max_>},
      {&ops::amin, reduced<min_>},
      {&ops::any, reduced<max_>},
      {&ops::all, reduced<min_>},
      {&ops::mean, reduced<mean_>},
      {&ops::logsumexp, reduced<log_sum_exp_>},
      {&ops::argmax, position<arg_max>},
      {&ops::argmin, position<arg_min>},
      {&ops::softmax, along_axis<softmax_>},
      {&ops::log_softmax, along_axis<log_softmax_>},
      {&ops::matmul, product},
      {&ops::dot, product},
      {&ops::convolution, convolved},
      {&ops::max_pool, pooled},
      {&ops::avg_pool, pooled},
      {&ops::concatenate, joined},
      {&ops::pad, padded},
      {&ops::iota, positions},
      {&ops::gather_rows, rows_of},
      {&ops::gather, elements_of},
      {&ops::gather_nd, tuples_of},
      {&ops::check_index, in_range},
      {&ops::cumsum, running_sum},
      {&ops::topk, top},
      {&ops::sort, sorted},
      {&ops::get, one_result},
  };
  return table;
}

Emit emitter(const Node& n) {
  const auto found = emitters().find(&n.op());
  if (found != emitters().end()) return fits(n) ? found->second : nullptr;
  if (std::holds_alternative<ir::View>(n.op().meaning)) return viewed;
  if (std::holds_alternative<ir::ContractionMeaning>(n.op().meaning)) return subscripts;
  return nullptr;
}

/// Expansions that ONNX has no operator for, written out, theirs too.
ir::Graph in_terms_of_onnx(ir::Graph graph) {
  const auto choose = [](const Node& n, std::span<const ir::NodeRef>) {
    return std::holds_alternative<ir::Expansion>(n.op().meaning) && !emitter(n);
  };
  while (true) {
    bool any = false;
    for (const Node* n : ir::topological_order(graph)) any = any || choose(*n, {});
    if (!any) return graph;
    graph = passes::expand_where(graph, choose);
  }
}

TypeDef type_of(const ir::Type& type) {
  TypeDef result;
  result.kind = TypeDef::Kind::tensor;
  result.type = onnx_of_dtype(*type.dtype);
  result.dims.emplace();
  for (const Dim& d : *type.shape)
    result.dims->push_back({d.constant().value_or(-1), d.is_constant() ? "" : d.str()});
  return result;
}

/// That a row cannot be written, on the user's line; `written` has the operations as the user asked
/// for them, of which it may be a part.
[[noreturn]] void refuse(const Node& n, const ir::Graph& written, const std::string& why) {
  std::set<std::string> asked;
  for (const Node* x : ir::topological_order(written))
    if (x->where().known() && x->where().line == n.where().line &&
        std::string_view(x->where().file) == n.where().file &&
        std::holds_alternative<ir::Expansion>(x->op().meaning))
      asked.emplace(x->op().name);
  const std::string own(n.op().name);
  std::string message = "'" + own + "'";
  if (!asked.empty() && !asked.contains(own)) {
    message += ", of";
    for (const std::string& name : asked)
      message += (name == *asked.begin() ? " '" : " or '") + name + "'";
    message += ",";
  }
  throw UnsupportedOp(message + " cannot be written as ONNX" + why, n.where());
}

}  // namespace

ModelDef to_model(const ir::Graph& original, std::size_t given,
                  const std::vector<TensorDef>& values,
                  const std::vector<std::string>& output_names) {
  const ir::Graph graph = in_terms_of_onnx(original);
  Writer w;
  w.def.producer = "weft";
  w.def.opsets = {{"", opset}};
  w.def.graph.name = "weft";
  for (std::size_t i = 0; i < graph.inputs().size(); ++i) {
    const Node& input = *graph.inputs()[i];
    const std::string name = w.claim(input.label().empty() ? "input" : input.label());
    w.name(input, name);
    if (i < given) {
      w.def.graph.inputs.push_back({name, type_of(input.type())});
    } else {
      w.def.graph.initializers.push_back(values.at(i - given));
      w.def.graph.initializers.back().name = name;
    }
  }
  std::vector<std::string> names;  // before those of what is between
  for (const std::string& name : output_names)
    names.push_back(w.claim(name.empty() ? "output" : name));
  for (const Node* n : ir::topological_order(graph)) {
    if (&n->op() == &ops::input) continue;
    const Emit emit = emitter(*n);
    if (!emit) refuse(*n, original, "");
    try {
      w.name(*n, emit(w, *n));
    } catch (const UnsupportedOp& e) { refuse(*n, original, std::string(": ") + e.what()); }
  }
  for (std::size_t i = 0; i < graph.outputs().size(); ++i) {
    const ir::NodeRef& output = graph.outputs()[i];
    const std::string& name = names.at(i);
    w.def.graph.nodes.push_back({name, "Identity", "", {w.named(output)}, {name}, {}});
    w.def.graph.outputs.push_back({name, type_of(output->type())});
  }
  return std::move(w.def);
}

}  // namespace weft::onnx
