// Values, functions, loops, losses and shapes of the Keras backend; convolutions are in
// keras_spatial.cpp.
#include "weft/keras_backend.h"

#include <algorithm>
#include <atomic>
#include <iostream>
#include <limits>
#include <map>
#include <mutex>

#include "demand.h"
#include "keras_values.h"
#include "runtime/philox.h"
#include "weft/weft.h"

namespace weft::keras {

namespace ops = ir::ops;

namespace {

constexpr double epsilon = 1e-7;  // Keras' fuzz factor

Tensor named(Tensor x, std::string name) {
  if (!name.empty()) x.name(std::move(name));
  return x;
}
Array converted(const Array& value, OptionalDType dtype) {
  return value.to(dtype.value_or(default_dtype()));
}
/// Of a new extent that is not known.
Dim unknown_extent() {
  static std::atomic<std::int64_t> made{0};
  return dim("keras" + std::to_string(++made));
}
void refuse_seed(const char* name, std::optional<std::int64_t> seed, SourceLocation where) {
  if (seed) throw UnsupportedOp(std::string(name) + ": a seed of its own; use manual_seed", where);
}

}  // namespace

// ---- variables, values, placeholders ------------------------------------------------------------

Tensor placeholder(std::optional<Extents> shape, std::optional<std::int64_t> ndim,
                   OptionalDType dtype, bool sparse, std::string name, Where where) {
  if (sparse) throw UnsupportedOp("placeholder: sparse tensors are not supported", where);
  ir::Type type{dtype.value_or(default_dtype()), {}};
  if (shape) {
    type.shape.emplace();
    for (const Extent& extent : *shape)
      type.shape->push_back(extent ? Dim(*extent) : unknown_extent());
  } else if (ndim) {
    type.shape.emplace();
    for (std::int64_t i = 0; i < *ndim; ++i) type.shape->push_back(unknown_extent());
  }
  return Tensor(ir::make_input(std::move(type), std::move(name), where));
}
bool is_placeholder(const Tensor& x) { return &x.node()->op() == &ops::input && !x.has_value(); }

Variable variable(const Array& value, OptionalDType dtype, std::string name, Where where) {
  return Variable(converted(value, dtype), std::move(name), where);
}
Tensor constant(const Array& value, OptionalDType dtype, std::optional<Shape> shape,
                std::string name, Where where) {
  Array all = converted(value, dtype);
  if (shape && all.size() == 1)
    all = runtime::broadcast_view(all.reshape({}), *shape).contiguous();
  else if (shape)
    all = all.reshape(*shape);
  return named(Tensor(all, where), std::move(name));
}
Variable zeros(const Shape& shape, OptionalDType dtype, std::string name, Where where) {
  return Variable(weft::zeros(shape, dtype.value_or(default_dtype())), std::move(name), where);
}
Variable ones(const Shape& shape, OptionalDType dtype, std::string name, Where where) {
  return Variable(weft::ones(shape, dtype.value_or(default_dtype())), std::move(name), where);
}
Variable eye(std::int64_t size, OptionalDType dtype, std::string name, Where where) {
  return Variable(weft::eye(size, dtype.value_or(default_dtype())), std::move(name), where);
}
Tensor zeros_like(const Operand& x, OptionalDType dtype) {
  const Value zero = make(ops::zeros_like, {x});
  return dtype ? cast_to(zero, *dtype) : zero;
}
Tensor ones_like(const Operand& x, OptionalDType dtype) {
  const Value one = make(ops::ones_like, {x});
  return dtype ? cast_to(one, *dtype) : one;
}
Tensor identity(const Operand& x) { return Tensor(x.node()); }
Tensor arange(std::int64_t start, std::optional<std::int64_t> stop, std::int64_t step, DType dtype,
              Where where) {
  if (step == 0) throw Error("arange: a step of 0", where);
  return Tensor(stop ? weft::arange(start, *stop, step, dtype)
                     : weft::arange(std::int64_t{0}, start, step, dtype),
                where);
}

Array eval(const Tensor& x) { return x.value(); }
Array get_value(const Tensor& x) { return x.value(); }
std::vector<Array> batch_get_value(const Tensors& xs) {
  std::vector<Array> values;
  for (const Tensor& x : xs) values.push_back(x.value());
  return values;
}
void set_value(Tensor x, const Array& value, Where where) {
  x.set_value(value.to(x.dtype()), where);
}
void batch_set_value(const std::vector<std::pair<Tensor, Array>>& tuples, Where where) {
  Transaction together;
  for (const auto& [x, value] : tuples) set_value(x, value, where);
}
Update update(const Tensor& x, const Operand& new_x) { return {x, Tensor(new_x.node())}; }
Update update_add(const Tensor& x, const Operand& increment) { return {x, x + increment}; }
Update update_sub(const Tensor& x, const Operand& decrement) { return {x, x - decrement}; }
Update moving_average_update(const Tensor& x, const Operand& value, double momentum) {
  const Value old(x.node(), value.where());
  return {x, old * momentum + Value(value) * (1 - momentum)};
}

DType dtype(const Tensor& x) { return x.dtype(); }
std::int64_t ndim(const Tensor& x) { return x.ndim(); }
std::optional<Extents> int_shape(const Tensor& x) {
  const ir::Type type = runtime::live_type(*x.node());
  if (!type.shape) return {};
  Extents extents;
  for (const Dim& extent : *type.shape)
    extents.push_back(extent.is_constant() ? Extent(extent.value()) : Extent(none));
  return extents;
}
Shape get_variable_shape(const Tensor& x) { return x.shape(); }
std::int64_t count_params(const Tensor& x) { return x.size(); }
Tensor shape(const Operand& x) { return weft::shape(x); }
bool is_keras_tensor(const Tensor&) { return false; }
bool is_sparse(const Tensor&) { return false; }
Tensor to_dense(const Operand& x) { return identity(x); }

namespace {

struct Counters {
  std::mutex mutex;
  std::map<std::string, std::int64_t> by_prefix;
};
Counters& counters() {
  static Counters all;
  return all;
}

}  // namespace

std::int64_t get_uid(const std::string& prefix) {
  const std::scoped_lock lock(counters().mutex);
  return ++counters().by_prefix[prefix];
}
void reset_uids() {
  const std::scoped_lock lock(counters().mutex);
  counters().by_prefix.clear();
}

Tensor print_tensor(const Operand& x, std::string message) {
  CustomOp print;
  print.infer = [](std::span<const TensorType> operands) {
    return std::vector<TensorType>(operands.begin(), operands.end());
  };
  print.forward = [message](std::span<const Array> operands) {
    std::cout << message << operands[0] << std::endl;
    return std::vector<Array>(operands.begin(), operands.end());
  };
  print.backward = [](std::span<const Tensor>, std::span<const Tensor>,
                      std::span<const Tensor> cotangents) {
    return Tensors(cotangents.begin(), cotangents.end());
  };
  return custom_op("print_tensor", print)({Tensor(x.node())})[0];
}

// ---- functions, gradients, phases ---------------------------------------------------------------

Function function(Tensors inputs, Tensors outputs, std::vector<Update> updates, Where where) {
  FunctionOptions options;
  options.updates = std::move(updates);
  return Function(std::move(inputs), std::move(outputs), std::move(options), where);
}
Tensors gradients(const Tensor& loss, const Tensors& variables, Where where) {
  return grad(frontend::reduce(ops::sum, {loss.node(), where}, {}), variables, where);
}
Tensor stop_gradient(const Operand& x) { return weft::stop_gradient(x); }
Tensors stop_gradient(const Tensors& xs, Where where) {
  Tensors stopped;
  for (const Tensor& x : xs) stopped.push_back(make(ops::stop_gradient, {{x.node(), where}}));
  return stopped;
}

namespace {

Variable& phase() {  // lives as long as the graphs that follow it
  static Variable& variable =
      *new Variable(Array(std::int64_t{0}).to(DType::int32), "keras_learning_phase");
  return variable;
}

/// The branch, where the condition is a constant.
std::optional<bool> decided(const Tensor& condition) {
  if (&condition.node()->op() != &ops::constant || !condition.node()->type().shape->empty())
    return {};
  return condition.value().item<bool>();
}

/// Axes of extent 1 behind the condition's, as many as `like` has more.
Value beside(const char* name, const Value& condition, const Value& like) {
  const auto rank = runtime::live_type(*condition.node()).rank(),
             wanted = runtime::live_type(*like.node()).rank();
  if (rank == 0) return condition;
  if (!rank || !wanted)
    throw ShapeError(std::string(name) + ": the number of axes must be known", condition.where());
  if (*rank > *wanted)
    throw ShapeError(std::string(name) + ": the condition has " + std::to_string(*rank) +
                         " axes, more than what it chooses from, which has " +
                         std::to_string(*wanted),
                     condition.where());
  Axes added;
  for (int i = *rank; i < *wanted; ++i) added.push_back(i);
  return added.empty() ? condition : make(ops::expand_dims, {condition}, ir::AxesAttrs{added});
}

Tensor choose(const char* name, const Value& condition, const Branch& yes, const Branch& no) {
  if (const auto known = decided(condition)) return *known ? yes() : no();
  const Value a(yes().node(), condition.where()), b(no().node(), condition.where());
  return frontend::where(beside(name, condition, a), a, b);
}

}  // namespace

Tensor learning_phase() { return phase(); }
void set_learning_phase(std::int64_t value, Where where) {
  if (value != 0 && value != 1)
    throw Error("set_learning_phase: expected 0 or 1, received " + std::to_string(value), where);
  phase().set_value(Array(value).to(DType::int32), where);
}
Tensor Branch::operator()() const {
  frontend::demand_function("a branch", make_, {});
  return make_();
}
Tensor in_train_phase(const Branch& x, const Branch& alt, std::optional<Tensor> training,
                      Where where) {
  const Tensor condition = training ? *training : learning_phase();
  return choose("in_train_phase", {condition.node(), where}, x, alt);
}
Tensor in_test_phase(const Branch& x, const Branch& alt, std::optional<Tensor> training,
                     Where where) {
  return in_train_phase(alt, x, std::move(training), where);
}
Tensor switch_(const Operand& condition, const Branch& then_expression,
               const Branch& else_expression) {
  return choose("switch_", condition, then_expression, else_expression);
}

// ---- loops --------------------------------------------------------------------------------------

namespace {

std::int64_t known_extent(const char* name, const Value& x, std::size_t axis) {
  const Dims shape = known_shape(name, x);
  if (shape.size() <= axis)
    throw ShapeError(std::string(name) + " of " + ir::to_string(x.type()) + ": needs at least " +
                         std::to_string(axis + 1) + " axes",
                     x.where());
  return known_number(name, shape[axis], x);
}
/// x[i] along an axis, which goes.
Value element(const Value& x, std::int64_t axis, std::int64_t i) {
  const Value part = make(ops::slice, {x}, ir::SliceAttrs{{axis}, {Dim(i)}, {Dim(i + 1)}, {1}});
  return make(ops::squeeze, {part}, ir::AxesAttrs{{axis}});
}
Value stacked(const Tensors& parts, std::int64_t axis, SourceLocation where) {
  std::vector<ir::NodeRef> rows;
  for (const Tensor& part : parts)
    rows.push_back(make(ops::expand_dims, {{part.node(), where}}, ir::AxesAttrs{{axis}}).node());
  return {frontend::apply(ops::concatenate, std::move(rows), ir::AxisAttrs{axis}, where).node(),
          where};
}

Tensor fold(const char* name, const FoldFn& fn, const Value& elems,
            std::optional<Tensor> accumulated, bool backwards) {
  frontend::demand_function(name, fn, elems.where());
  const std::int64_t n = known_extent(name, elems, 0);
  std::int64_t begun = 0;
  const auto at = [&](std::int64_t i) { return element(elems, 0, backwards ? n - 1 - i : i); };
  if (!accumulated) {
    if (n == 0)
      throw ShapeError(std::string(name) + ": no elements, and no initializer", elems.where());
    accumulated = at(begun++);
  }
  for (std::int64_t i = begun; i < n; ++i) accumulated = fn(*accumulated, at(i));
  return *accumulated;
}

}  // namespace

Tensor map_fn(const MapFn& fn, const Operand& elems, std::string name, OptionalDType dtype) {
  const Value x(elems);
  frontend::demand_function("map_fn", fn, elems.where());
  Tensors results;
  const std::int64_t n = known_extent("map_fn", x, 0);
  if (n == 0) throw ShapeError("map_fn: no elements", elems.where());
  for (std::int64_t i = 0; i < n; ++i) results.push_back(fn(element(x, 0, i)));
  const Value all = stacked(results, 0, elems.where());
  return named(dtype ? cast_to(all, *dtype) : all, std::move(name));
}
Tensor foldl(const FoldFn& fn, const Operand& elems, std::optional<Tensor> initializer,
             std::string name) {
  return named(fold("foldl", fn, elems, std::move(initializer), false), std::move(name));
}
Tensor foldr(const FoldFn& fn, const Operand& elems, std::optional<Tensor> initializer,
             std::string name) {
  return named(fold("foldr", fn, elems, std::move(initializer), true), std::move(name));
}

RnnResult rnn(const StepFn& step_function, const Operand& inputs, const Tensors& initial_states,
              bool go_backwards, std::optional<Tensor> mask, const Tensors& constants, bool,
              std::optional<std::int64_t> input_length) {
  const Value x(inputs);
  const SourceLocation where = inputs.where();
  frontend::demand_function("rnn", step_function, where);
  const std::int64_t steps = input_length ? *input_length : known_extent("rnn", x, 1);
  if (steps < 1) throw ShapeError("rnn: " + std::to_string(steps) + " steps", where);
  Tensors states = initial_states, outputs;
  for (std::int64_t i = 0; i < steps; ++i) {
    const std::int64_t t = go_backwards ? steps - 1 - i : i;
    Tensors operands = states;
    operands.insert(operands.end(), constants.begin(), constants.end());
    StepResult made = step_function(element(x, 1, t), operands);
    if (made.states.size() != states.size())
      throw Error("rnn: the step gives " + std::to_string(made.states.size()) + " states of " +
                      std::to_string(states.size()),
                  where);
    if (mask) {
      Value seen = element({mask->node(), where}, 1, t);
      if (runtime::live_type(*seen.node()).rank() == 2)
        seen = make(ops::squeeze, {seen}, ir::AxesAttrs{{1}});
      const auto keep = [&](const Tensor& now, const Value& before) -> Tensor {
        const Value next(now.node(), where);
        return frontend::where(beside("rnn", seen, next), next, before);
      };
      const Value output(made.output.node(), where);
      made.output = keep(made.output, outputs.empty() ? make(ops::zeros_like, {output})
                                                      : Value(outputs.back().node(), where));
      for (std::size_t k = 0; k < states.size(); ++k)
        made.states[k] = keep(made.states[k], {states[k].node(), where});
    }
    outputs.push_back(made.output);
    states = std::move(made.states);
  }
  return {outputs.back(), stacked(outputs, 1, where), states};
}

// ---- elementwise --------------------------------------------------------------------------------

Tensor abs(const Operand& x) { return weft::abs(x); }
Tensor sqrt(const Operand& x) {
  return make(ops::sqrt, {make(ops::clip, {x}, ir::ClipAttrs{.min = 0})});
}
Tensor square(const Operand& x) { return weft::square(x); }
Tensor exp(const Operand& x) { return weft::exp(x); }
Tensor log(const Operand& x) { return weft::log(x); }
Tensor round(const Operand& x) { return weft::round(x); }
Tensor sign(const Operand& x) { return weft::sign(x); }
Tensor sin(const Operand& x) { return weft::sin(x); }
Tensor cos(const Operand& x) { return weft::cos(x); }
Tensor pow(const Operand& x, const Operand& a) { return weft::pow(x, a); }
Tensor clip(const Operand& x, std::optional<double> min_value, std::optional<double> max_value) {
  if (min_value && max_value && *max_value < *min_value) max_value = min_value;
  return weft::clip(x, min_value, max_value);
}
Tensor equal(const Operand& x, const Operand& y) { return x == y; }
Tensor not_equal(const Operand& x, const Operand& y) { return x != y; }
Tensor greater(const Operand& x, const Operand& y) { return x > y; }
Tensor greater_equal(const Operand& x, const Operand& y) { return x >= y; }
Tensor less(const Operand& x, const Operand& y) { return x < y; }
Tensor less_equal(const Operand& x, const Operand& y) { return x <= y; }
Tensor maximum(const Operand& x, const Operand& y) { return weft::maximum(x, y); }
Tensor minimum(const Operand& x, const Operand& y) { return weft::minimum(x, y); }
Tensor cast(const Operand& x, DType dtype) { return weft::cast(x, dtype); }
Tensor relu(const Operand& x, double alpha, std::optional<double> max_value, double threshold) {
  const Value v(x);
  const auto capped = [&](const Value& y) {
    return max_value ? make(ops::minimum, {y, y.scalar(*max_value)}) : y;
  };
  if (threshold == 0 && alpha == 0) return capped(make(ops::relu, {v}));
  const Value above = make(threshold == 0 ? ops::gt : ops::ge, {v, v.scalar(threshold)});
  return frontend::where(above, capped(v), (v - threshold) * alpha);
}
Tensor elu(const Operand& x, double alpha) { return weft::elu(x, alpha); }
Tensor softmax(const Operand& x, std::int64_t axis) { return weft::softmax(x, axis); }
Tensor softplus(const Operand& x) { return weft::softplus(x); }
Tensor softsign(const Operand& x) { return weft::softsign(x); }
Tensor sigmoid(const Operand& x) { return weft::sigmoid(x); }
Tensor hard_sigmoid(const Operand& x) { return weft::hard_sigmoid(x); }
Tensor tanh(const Operand& x) { return weft::tanh(x); }
Tensor dropout(const Operand& x, double level, std::optional<Shape> noise_shape,
               std::optional<std::int64_t> seed) {
  refuse_seed("dropout", seed, x.where());
  if (!noise_shape || level == 0) return weft::dropout(x, level);
  if (!(level > 0 && level < 1))
    throw Error("dropout: level " + std::to_string(level) + " is not in [0, 1)", x.where());
  const Value draws(weft::uniform(DrawSize(*noise_shape)).node(), x.where());
  const Value kept = make(ops::cast_like, {make(ops::ge, {draws, draws.scalar(level)}), x});
  return Value(x) * kept / (1 - level);
}
Tensor l2_normalize(const Operand& x, const AxisList& axis) {
  return weft::l2_normalize(x, axis.axes());
}

// ---- reductions ---------------------------------------------------------------------------------

Tensor max(const Operand& x, const AxisList& axis, bool keepdims) {
  return weft::amax(x, axis.axes(), keepdims);
}
Tensor min(const Operand& x, const AxisList& axis, bool keepdims) {
  return weft::amin(x, axis.axes(), keepdims);
}
Tensor sum(const Operand& x, const AxisList& axis, bool keepdims) {
  return weft::sum(x, axis.axes(), keepdims);
}
Tensor prod(const Operand& x, const AxisList& axis, bool keepdims) {
  return weft::prod(x, axis.axes(), keepdims);
}
Tensor mean(const Operand& x, const AxisList& axis, bool keepdims) {
  return weft::mean(x, axis.axes(), keepdims);
}
Tensor var(const Operand& x, const AxisList& axis, bool keepdims) {
  return weft::var(x, axis.axes(), 0, keepdims);
}
Tensor std(const Operand& x, const AxisList& axis, bool keepdims) {
  return weft::std(x, axis.axes(), 0, keepdims);
}
Tensor any(const Operand& x, const AxisList& axis, bool keepdims) {
  return weft::any(x, axis.axes(), keepdims);
}
Tensor all(const Operand& x, const AxisList& axis, bool keepdims) {
  return weft::all(x, axis.axes(), keepdims);
}
Tensor logsumexp(const Operand& x, const AxisList& axis, bool keepdims) {
  return weft::logsumexp(x, axis.axes(), keepdims);
}
Tensor argmax(const Operand& x, std::int64_t axis) { return weft::argmax(x, axis); }
Tensor argmin(const Operand& x, std::int64_t axis) { return weft::argmin(x, axis); }
Tensor cumsum(const Operand& x, std::int64_t axis) { return weft::cumsum(x, axis); }
Tensor cumprod(const Operand& x, std::int64_t axis) { return weft::cumprod(x, axis); }

// ---- products -----------------------------------------------------------------------------------

Tensor dot(const Operand& x, const Operand& y) {
  const auto rank = runtime::live_type(*y.node()).rank();
  if (rank && *rank < 3) return weft::matmul(x, y);
  return weft::tensordot(x, y, {-1}, {-2});
}
Tensor batch_dot(const Operand& x, const Operand& y) { return weft::batch_dot(x, y); }
Tensor batch_dot(const Operand& x, const Operand& y, std::int64_t axes) {
  return weft::batch_dot(x, y, axes);
}
Tensor batch_dot(const Operand& x, const Operand& y, std::pair<std::int64_t, std::int64_t> axes) {
  return weft::batch_dot(x, y, axes);
}
Tensor transpose(const Operand& x) {
  Axes reversed;
  for (std::size_t i = known_shape("transpose", x).size(); i > 0; --i)
    reversed.push_back(static_cast<std::int64_t>(i) - 1);
  return weft::permute(x, reversed);
}
Tensor gather(const Operand& reference, const Operand& indices) {
  return weft::gather_rows(reference, indices);
}

// ---- shapes -------------------------------------------------------------------------------------

Tensor concatenate(const Tensors& tensors, std::int64_t axis, Where where) {
  return weft::concatenate(tensors, axis, where);
}
Tensor reshape(const Operand& x, Dims shape) { return weft::reshape(x, std::move(shape)); }
Tensor permute_dimensions(const Operand& x, Axes pattern) {
  return weft::permute(x, std::move(pattern));
}
Tensor repeat_elements(const Operand& x, std::int64_t rep, std::int64_t axis) {
  return repeated("repeat_elements", x, rep, axis);
}
Tensor repeat(const Operand& x, std::int64_t n) {
  const Dims shape = known_shape("repeat", x);
  if (shape.size() != 2 || n < 0)
    throw ShapeError("repeat of " + ir::to_string(x.node()->type()) + ", " + std::to_string(n) +
                         " times: expected (samples, features)",
                     x.where());
  return make(ops::broadcast_to, {make(ops::expand_dims, {x}, ir::AxesAttrs{{1}})},
              ir::ShapeAttrs{{shape[0], Dim(n), shape[1]}});
}
Tensor tile(const Operand& x, std::vector<std::int64_t> n) { return weft::tile(x, std::move(n)); }
Tensor tile(const Operand& x, std::int64_t n) { return weft::tile(x, {n}); }
Tensor flatten(const Operand& x) { return weft::reshape(x, {Dim(-1)}); }
Tensor batch_flatten(const Operand& x) {
  const Dims shape = known_shape("batch_flatten", x);
  if (shape.empty()) throw ShapeError("batch_flatten: needs at least one axis", x.where());
  return weft::reshape(x, {shape[0], product(std::span(shape).subspan(1))});
}
Tensor expand_dims(const Operand& x, std::int64_t axis) { return weft::expand_dims(x, axis); }
Tensor squeeze(const Operand& x, std::int64_t axis) { return weft::squeeze(x, axis); }
Tensor stack(const Tensors& x, std::int64_t axis, Where where) { return stacked(x, axis, where); }
Tensor one_hot(const Operand& indices, std::int64_t num_classes) {
  return weft::one_hot(indices, num_classes, default_dtype());
}
Tensor reverse(const Operand& x, const AxisList& axes) {
  Axes given = axes.axes().value_or(Axes{});
  if (!axes.axes())
    for (std::size_t i = 0; i < known_shape("reverse", x).size(); ++i)
      given.push_back(static_cast<std::int64_t>(i));
  return weft::flip(x, given);
}
Tensor slice(const Operand& x, const std::vector<std::int64_t>& start,
             const std::vector<std::int64_t>& size) {
  if (start.size() != size.size())
    throw ShapeError("slice: " + std::to_string(start.size()) + " starts and " +
                         std::to_string(size.size()) + " sizes",
                     x.where());
  ir::SliceAttrs attrs;
  for (std::size_t i = 0; i < start.size(); ++i) {
    if (start[i] < 0 || size[i] < -1)
      throw ShapeError("slice: a start below 0, or a size below -1", x.where());
    attrs.axes.push_back(static_cast<std::int64_t>(i));
    attrs.starts.emplace_back(start[i]);
    attrs.stops.emplace_back(size[i] == -1 ? ir::slice_open_high : start[i] + size[i]);
    attrs.steps.push_back(1);
  }
  return make(ops::slice, {x}, std::move(attrs));
}

// ---- normalisation, losses ----------------------------------------------------------------------

NormalizedBatch normalize_batch_in_training(const Operand& x, std::optional<Tensor> gamma,
                                            std::optional<Tensor> beta, Axes reduction_axes,
                                            double epsilon) {
  const Value v(x);
  const auto rank = static_cast<std::int64_t>(known_shape("normalize_batch_in_training", v).size());
  for (std::int64_t& axis : reduction_axes)
    if (axis < 0) axis += rank;
  const ir::AxesAttrs back{reduction_axes};
  const auto wide = [&](const Value& t) { return make(ops::expand_dims, {t}, back); };
  const Value mean = frontend::reduce(ops::mean, v, reduction_axes);
  const Value variance = make(ops::var, {v}, ir::VarAttrs{reduction_axes, false, false, 0});
  Value y = (v - wide(mean)) * make(ops::rsqrt, {wide(variance) + epsilon});
  if (gamma) y = y * wide({gamma->node(), x.where()});
  if (beta) y = y + wide({beta->node(), x.where()});
  return {y, mean, variance};
}

Tensor batch_normalization(const Operand& x, const Tensor& mean, const Tensor& var,
                           std::optional<Tensor> beta, std::optional<Tensor> gamma,
                           std::int64_t axis, double epsilon) {
  const Value v(x);
  const auto placed = [&](const Tensor& statistic) -> Value {
    const Value s(statistic.node(), x.where());
    if (axis == -1 || runtime::live_type(*s.node()).rank() != 1) return s;
    const auto rank = static_cast<std::int64_t>(known_shape("batch_normalization", v).size());
    if (axis < -rank || axis >= rank)
      throw ShapeError("batch_normalization of " + ir::to_string(v.type()) + ": no axis " +
                           std::to_string(axis),
                       x.where());
    Axes ones;
    for (std::int64_t i = (axis < 0 ? axis + rank : axis) + 1; i < rank; ++i)
      ones.push_back(static_cast<std::int64_t>(ones.size()) + 1);
    return ones.empty() ? s : make(ops::expand_dims, {s}, ir::AxesAttrs{ones});
  };
  Value y = (v - placed(mean)) * make(ops::rsqrt, {placed(var) + epsilon});
  if (gamma) y = y * placed(*gamma);
  if (beta) y = y + placed(*beta);
  return y;
}

namespace {

Value off_the_ends(const Value& p) {
  return make(ops::clip, {p}, ir::ClipAttrs{epsilon, 1 - epsilon});
}

}  // namespace

Tensor categorical_crossentropy(const Operand& target, const Operand& output, bool from_logits,
                                std::int64_t axis) {
  const Value y(output);
  const auto log_probabilities = [&] {
    if (from_logits) return make(ops::log_softmax, {y}, ir::AxisAttrs{axis});
    const Value sums = frontend::reduce(ops::sum, y, Axes{axis}, true);
    return make(ops::log, {off_the_ends(y / sums)});
  };
  return -frontend::reduce(ops::sum, Value(target) * log_probabilities(), Axes{axis});
}

Tensor sparse_categorical_crossentropy(const Operand& target, const Operand& output,
                                       bool from_logits, std::int64_t axis) {
  Value y(output);
  Dims shape = known_shape("sparse_categorical_crossentropy", y);
  const auto rank = static_cast<std::int64_t>(shape.size());
  const std::int64_t at = axis < 0 ? axis + rank : axis;
  if (at < 0 || at >= rank)
    throw ShapeError("sparse_categorical_crossentropy: axis " + std::to_string(axis) + " of " +
                         ir::to_string(y.type()),
                     output.where());
  if (at + 1 != rank) {
    Axes order;
    for (std::int64_t i = 0; i < rank; ++i)
      if (i != at) order.push_back(i);
    order.push_back(at);
    y = permuted(y, order);
    std::rotate(shape.begin() + at, shape.begin() + at + 1, shape.end());
  }
  if (!from_logits) y = make(ops::log, {off_the_ends(y)});
  const Dim classes = shape.back();
  shape.pop_back();
  const Value rows =
      make(ops::log_softmax, {reshaped(y, {product(shape), classes})}, ir::AxisAttrs{-1});
  const Value labels = reshaped(cast_to(target, DType::int64), {product(shape), 1});
  return reshaped(-make(ops::gather, {rows, labels}, ir::AxisAttrs{-1}), shape);
}

Tensor binary_crossentropy(const Operand& target, const Operand& output, bool from_logits) {
  const ir::LossAttrs each{"none"};
  if (from_logits) return make(ops::binary_cross_entropy_with_logits, {output, target}, each);
  return make(ops::binary_cross_entropy, {off_the_ends(output), target}, each);
}

Tensor in_top_k(const Operand& predictions, const Operand& targets, std::int64_t k) {
  return weft::in_top_k(predictions, targets, k);
}

Tensor ctc_batch_cost(const Operand& y_true, const Operand& y_pred, const Operand& input_length,
                      const Operand& label_length) {
  const Dims shape = known_shape("ctc_batch_cost", y_pred);
  if (shape.size() != 3)
    throw ShapeError("ctc_batch_cost: expected probabilities (samples, time, classes), received " +
                         ir::to_string(y_pred.node()->type()),
                     y_pred.where());
  const std::int64_t blank = known_number("ctc_batch_cost", shape[2], y_pred) - 1;
  const Value logits = make(ops::log, {Value(y_pred) + epsilon});
  const Value steps = permuted(make(ops::log_softmax, {logits}, ir::AxisAttrs{-1}), {1, 0, 2});
  const Tensor costs = nn::ctc_loss({steps.node(), steps.where()}, y_true, input_length,
                                    label_length, blank, nn::Reduction::none);
  return make(ops::expand_dims, {{costs.node(), y_pred.where()}}, ir::AxesAttrs{{1}});
}

// ---- random -------------------------------------------------------------------------------------

namespace {

/// Standard draws, scaled and shifted.
Array drawn(const Shape& shape, OptionalDType dtype, std::optional<std::int64_t> seed,
            void (*fill)(DType, void*, std::int64_t, runtime::PhiloxStream), double scale,
            double shift) {
  const DType t = dtype.value_or(default_dtype());
  Array all = Array::uninitialized(t, shape);
  fill(t, all.mutable_bytes(), all.size(),
       seed ? runtime::PhiloxStream{static_cast<std::uint64_t>(*seed), 0}
            : runtime::next_stream(all.size()));
  return (Tensor(all) * scale + shift).value();
}

}  // namespace

Variable random_uniform_variable(const Shape& shape, double low, double high, OptionalDType dtype,
                                 std::string name, std::optional<std::int64_t> seed, Where where) {
  return Variable(drawn(shape, dtype, seed, runtime::fill_uniform, high - low, low),
                  std::move(name), where);
}
Variable random_normal_variable(const Shape& shape, double mean, double scale, OptionalDType dtype,
                                std::string name, std::optional<std::int64_t> seed, Where where) {
  return Variable(drawn(shape, dtype, seed, runtime::fill_normal, scale, mean), std::move(name),
                  where);
}
Tensor random_normal(const Dims& shape, double mean, double stddev, OptionalDType dtype,
                     std::optional<std::int64_t> seed, Where where) {
  refuse_seed("random_normal", seed, where);
  return weft::normal(mean, stddev, DrawSize(shape, where), dtype);
}
Tensor random_uniform(const Dims& shape, double minval, double maxval, OptionalDType dtype,
                      std::optional<std::int64_t> seed, Where where) {
  refuse_seed("random_uniform", seed, where);
  return weft::uniform(DrawSize(shape, where), minval, maxval, dtype);
}
Tensor random_binomial(const Dims& shape, double p, OptionalDType dtype,
                       std::optional<std::int64_t> seed, Where where) {
  refuse_seed("random_binomial", seed, where);
  const DType t = dtype.value_or(default_dtype());
  const Value draws(weft::uniform(DrawSize(shape, where), 0, 1, t).node(), where);
  return cast_to(make(ops::lt, {draws, draws.scalar(p)}), t);
}
Tensor truncated_normal(const Dims& shape, double mean, double stddev, OptionalDType dtype,
                        std::optional<std::int64_t> seed, Where where) {
  refuse_seed("truncated_normal", seed, where);
  return weft::truncated_normal(DrawSize(shape, where), mean, stddev, mean - 2 * stddev,
                                mean + 2 * stddev, dtype);
}

}  // namespace weft::keras
