// `backward`: the imperative face of the gradient pass. The graph between y and the values that it
// starts from is specialised to their types, differentiated and compiled into one cell, which is
// kept with y: a training loop pays for that once. The cell adds to the gradients that have
// accumulated; all of them change in one update.
//
// What draws anew (a random draw, a user's operation over arrays) gave y a value that another run
// need not give: its gradient rule stands in the cell, and its value is an input of it.
//
// Running statistics that nothing has counted yet move in the same cell (gradient_state.h).
#include <algorithm>
#include <atomic>
#include <mutex>
#include <optional>
#include <unordered_set>

#include "apply.h"
#include "gradient_state.h"
#include "ir/builder.h"
#include "ir/ops/ops.h"
#include "live.h"
#include "passes/autodiff.h"
#include "passes/specialize.h"
#include "passes/transform.h"
#include "runtime/cuda_device.h"
#include "weft/grad.h"

namespace weft {
namespace {

using ir::Node;
using ir::NodeRef;

thread_local bool no_grad = false;

/// Changes whenever it may change what a `backward` computes: who requires gradients, what is
/// detached.
std::atomic<std::uint64_t> tracking_epoch{1};

/// Nodes here are y's ancestors: they live as long as y does, with which this is kept.
struct BackwardPlan {
  std::uint64_t epoch = 0;
  std::vector<const Node*> inputs;   // values that the cell starts from
  std::vector<const Node*> drawn;    // between, of one value that is further input
  std::vector<const Node*> xs;       // leaves that require gradients
  std::vector<const Node*> between;  // what depends on these, y included
  bool seeded = false;               // the cotangent is given, the next input
  std::vector<char> accumulate;      // one an x: its gradient so far is a further input
  std::vector<const Node*> running;  // outputs with running statistics
  std::vector<char> counted;         // one each: their pass is counted
  frontend::RunningUpdates updates;  // of the others
  std::shared_ptr<runtime::CellCode> code;
};

struct GradientState final : runtime::Attachment {
  std::atomic<bool> requires_grad = false;
  std::atomic<bool> frozen = false;  // it was turned off
  std::atomic<bool> detached = false;
  std::atomic<bool> accumulated = false;  // `gradient` was computed since it was last zeroed
  std::atomic<bool> lasting = false;      // never freed
  std::mutex mutex;                       // guards the rest; nothing is called under it
  NodeRef gradient;                       // a leaf
  std::optional<frontend::Running> running;
  Array nothing;  // the zeros in `gradient` that stand for none
  std::vector<std::shared_ptr<const BackwardPlan>> plans;

  static std::unique_ptr<runtime::Attachment> make() { return std::make_unique<GradientState>(); }
};

GradientState& state_of(const NodeRef& node) {
  return static_cast<GradientState&>(runtime::attachment(node, &GradientState::make));
}

const GradientState* find_state(const Node& node) {
  return static_cast<const GradientState*>(runtime::find_attachment(node));
}

bool is_detached(const Node& node) {
  const GradientState* state = find_state(node);
  return &node.op() == &ir::ops::stop_gradient || (state && state->detached);
}

bool is_lasting(const Node& node) {
  const GradientState* state = find_state(node);
  return state && state->lasting;
}

bool wants_gradient(const Node& node) {
  const GradientState* state = find_state(node);
  return state && state->requires_grad;
}

bool is_leaf(const Node& node) { return &node.op() == &ir::ops::input; }

/// Where the value is.
Array zeros_like(const Array& value) {
  Array zeros = Array::uninitialized(value.dtype(), value.shape(), value.device());
  if (zeros.device().is_cpu())
    std::fill_n(zeros.mutable_bytes(), zeros.nbytes(), std::byte{0});
  else
    runtime::CudaDevice::get(zeros.device()).zero(zeros.mutable_bytes(), zeros.nbytes());
  return zeros;
}

/// Where the cell starts whatever depends on what: at inputs, at what is detached, at constants too
/// large for code.
bool is_start(const Node& node) {
  if (&node.op() == &ir::ops::constant) return !runtime::is_inline_constant(node);
  return is_leaf(node) || is_detached(node);
}

bool is_counted(const Node& output) {
  const Node* twin[] = {frontend::find_running(output)->twin.get()};
  return runtime::find_marked(twin) != nullptr;
}

/// Running statistics of what y is computed from; the updates of those that are not counted.
void trace_running(const NodeRef& y, BackwardPlan& plan) {
  std::vector<const Node*> uncounted;
  for (const Node* node : ir::topological_order(std::span(&y, 1), is_leaf)) {
    if (!frontend::find_running(*node)) continue;
    plan.running.push_back(node);
    plan.counted.push_back(is_counted(*node) ? 1 : 0);
    if (!plan.counted.back()) uncounted.push_back(node);
  }
  plan.updates = frontend::running_updates(std::move(uncounted));
}

/// What lies between y and the leaves that require a gradient, on ways that carry one.
std::unordered_set<const Node*> between(const NodeRef& y) {
  std::unordered_set<const Node*> dependent, passed;
  const auto each_operand = [](const Node& node, const auto& visit) {
    for (std::size_t i = 0; i < node.inputs().size() && !is_start(node); ++i)
      if (!node.op().takes_type_only(i)) visit(*node.input(i));
  };
  const std::vector<const Node*> order = ir::topological_order(std::span(&y, 1), is_start);
  for (const Node* node : order) {
    bool depends = is_leaf(*node) && wants_gradient(*node);
    each_operand(*node, [&](const Node& operand) { depends |= dependent.contains(&operand); });
    if (depends && passes::may_carry_gradient(*node)) dependent.insert(node);
  }
  if (dependent.contains(y.get())) passed.insert(y.get());
  for (auto it = order.rbegin(); it != order.rend(); ++it)
    if (passed.contains(*it))
      each_operand(**it, [&](const Node& operand) {
        if (dependent.contains(&operand)) passed.insert(&operand);
      });
  return passed;
}

BackwardPlan trace(const NodeRef& y) {
  BackwardPlan plan;
  const std::unordered_set<const Node*> on_the_way = between(y);
  const auto starts = [&](const Node& node) {
    return is_start(node) || (runtime::draws_anew(node) && !on_the_way.contains(&node));
  };
  trace_running(y, plan);
  std::vector<NodeRef> roots{y};
  for (const auto& [variable, next] : plan.updates) roots.push_back(next);
  for (const Node* node : ir::topological_order(roots, starts)) {
    if (starts(*node)) plan.inputs.push_back(node);
    if (!on_the_way.contains(node)) continue;
    if (is_leaf(*node)) {
      plan.xs.push_back(node);
      continue;
    }
    if (!is_lasting(*node)) plan.between.push_back(node);
    // Of several results only the first is kept: one that has more runs again, with all of them.
    if (runtime::draws_anew(*node) && node->extra_types().empty()) plan.drawn.push_back(node);
  }
  return plan;
}

std::vector<NodeRef> references(const std::vector<const Node*>& nodes) {
  std::vector<NodeRef> result;
  for (const Node* node : nodes) result.emplace_back(node);
  return result;
}

/// The cell's graph on inputs of these values: gradients of all xs, added to what has accumulated,
/// then the running statistics.
ir::Graph gradient_graph(const BackwardPlan& plan, const NodeRef& y,
                         std::span<const Array> values) {
  std::vector<ir::Type> types;
  for (const Array& value : values.first(plan.inputs.size()))
    types.push_back({value.dtype(), to_dims(value.shape())});
  std::vector<NodeRef> wanted = references(plan.drawn);
  wanted.insert(wanted.begin(), y);
  for (const auto& [variable, next] : plan.updates) wanted.push_back(next);
  const ir::Graph forward =
      passes::specialize(ir::Graph(references(plan.inputs), std::move(wanted)), types);

  std::vector<NodeRef> inputs(forward.inputs().begin(), forward.inputs().end()), xs;
  for (const Node* x : plan.xs) {
    const auto at =
        static_cast<std::size_t>(std::ranges::find(plan.inputs, x) - plan.inputs.begin());
    xs.push_back(forward.inputs()[at]);
  }
  const auto add_input = [&] {
    const Array& value = values[inputs.size()];
    inputs.push_back(ir::make_input({value.dtype(), to_dims(value.shape())}));
    return inputs.back();
  };
  passes::NodeMap given;
  const auto beside = forward.outputs().subspan(1);
  for (const NodeRef& draw : beside.first(plan.drawn.size())) given.set(draw.get(), add_input());
  const NodeRef seed[] = {plan.seeded ? add_input() : NodeRef()};
  std::vector<NodeRef> results = passes::gradient(forward.outputs().first(1), xs, seed);
  const auto next = beside.subspan(plan.drawn.size());
  results.insert(results.end(), next.begin(), next.end());
  if (!plan.drawn.empty()) results = passes::replaced(std::move(results), given);
  for (std::size_t i = 0; i < xs.size(); ++i)
    if (plan.accumulate[i]) results[i] = ir::make_node(ir::ops::add, {add_input(), results[i]});
  return ir::Graph(std::move(inputs), std::move(results), "backward");
}

void check_seed(const NodeRef& y, const Array* cotangent, SourceLocation where) {
  const ir::Type type = runtime::live_type(*y);
  auto shape = type.shape ? to_shape(*type.shape) : std::nullopt;
  if (!shape) shape = runtime::value(y).shape();  // it depends on values
  if (!cotangent && element_count(*shape) != 1)
    throw ShapeError(
        "backward of " + runtime::describe(*y) + ", " + to_string(type) +
            ": a value of more than one element needs a cotangent, backward(cotangent)",
        where);
  if (cotangent && cotangent->shape() != *shape)
    throw ShapeError("backward of " + runtime::describe(*y) + ", " + to_string(type) +
                         ": the cotangent has shape " + to_string(cotangent->shape()),
                     where);
}

/// x's gradients add up for as long as they have its shape.
void check_gradient(const Node& x, const Array& gradient, SourceLocation where) {
  const Shape shape = runtime::value(NodeRef(&x)).shape();
  if (gradient.shape() != shape)
    throw ShapeError("backward: " + runtime::describe(x) + " is of shape " + to_string(shape) +
                         ", and its gradient so far of " + to_string(gradient.shape()) +
                         "; call zero_grad() once its shape has changed",
                     where);
}

/// The plan for y as things stand: a kept one, or a copy to be completed with code.
std::shared_ptr<const BackwardPlan> find_plan(const NodeRef& y, bool seeded) {
  const std::uint64_t epoch = tracking_epoch.load();
  std::vector<std::shared_ptr<const BackwardPlan>> plans;
  {
    GradientState& state = state_of(y);
    const std::scoped_lock lock(state.mutex);
    plans = state.plans;
  }
  for (const auto& plan : plans) {
    if (plan->epoch != epoch || plan->seeded != seeded) continue;
    bool same = true;
    for (std::size_t i = 0; i < plan->xs.size() && same; ++i)
      same = (plan->accumulate[i] != 0) == frontend::has_gradient(NodeRef(plan->xs[i]));
    for (std::size_t i = 0; i < plan->running.size() && same; ++i)
      same = (plan->counted[i] != 0) == is_counted(*plan->running[i]);
    if (same) return plan;
  }
  auto plan = std::make_shared<BackwardPlan>(trace(y));
  plan->epoch = epoch;
  plan->seeded = seeded;
  for (const NodeRef& x : references(plan->xs))
    plan->accumulate.push_back(frontend::has_gradient(x) ? 1 : 0);
  return plan;
}

void keep_plan(const NodeRef& y, std::shared_ptr<const BackwardPlan> plan) {
  constexpr std::size_t kept = 4;
  GradientState& state = state_of(y);
  const std::scoped_lock lock(state.mutex);
  auto& plans = state.plans;
  std::erase_if(plans, [&](const auto& old) {
    return old->epoch != plan->epoch ||
           (old->seeded == plan->seeded && old->accumulate == plan->accumulate &&
            old->counted == plan->counted);
  });
  if (plans.size() >= kept) plans.erase(plans.begin());
  plans.push_back(std::move(plan));
}

/// Zeros in a gradient leaf.
void set_nothing(GradientState& state, const NodeRef& gradient, const Array& like) {
  runtime::set_values({{gradient, zeros_like(like)}}, frontend::push_mode());
  const Array zeros = runtime::value(gradient);
  const std::scoped_lock lock(state.mutex);
  state.nothing = zeros;
}

/// x's gradient leaf; zeros where there is no gradient yet.
NodeRef gradient_leaf(const NodeRef& x) {
  GradientState& state = state_of(x);
  NodeRef gradient;
  {
    const std::scoped_lock lock(state.mutex);
    if (!state.gradient)
      state.gradient =
          ir::make_input(x->type(), x->label().empty() ? "" : x->label() + ".grad", x->where());
    gradient = state.gradient;
  }
  if (state.accumulated || !runtime::has_value(x)) return gradient;
  const Array value = runtime::value(x);
  if (!runtime::has_value(gradient) ||
      (runtime::value(gradient).shape() != value.shape() && !frontend::has_gradient(x)))
    set_nothing(state, gradient, value);
  return gradient;
}

void run_backward(const NodeRef& y, const Array* cotangent, bool retain, SourceLocation where) {
  std::shared_ptr<const BackwardPlan> plan = find_plan(y, cotangent != nullptr);
  if (plan->xs.empty())
    throw Error(
        "backward of " + runtime::describe(*y) + ": nothing that it depends on requires a gradient",
        where);
  if (!runtime::has_value(y)) (void)runtime::value(y);  // throws, naming what is not set
  check_seed(y, cotangent, where);
  if (const Node* freed = runtime::find_marked(plan->between))
    throw GraphFreed("backward of " + runtime::describe(*y) + ": the graph at " +
                         runtime::describe(*freed) +
                         " was freed by an earlier backward; keep it with backward(true)",
                     where);

  std::vector<NodeRef> leaves = references(plan->inputs);
  for (const Node* draw : plan->drawn) leaves.emplace_back(draw);
  const auto seed_at = std::ssize(leaves);
  for (std::size_t i = 0; i < plan->xs.size(); ++i)
    if (plan->accumulate[i]) leaves.push_back(gradient_leaf(NodeRef(plan->xs[i])));
  std::vector<Array> values = runtime::values(leaves);
  auto so_far = values.begin() + seed_at;
  for (std::size_t i = 0; i < plan->xs.size(); ++i)
    if (plan->accumulate[i]) check_gradient(*plan->xs[i], *so_far++, where);
  if (cotangent)
    values.insert(
        values.begin() + seed_at,
        cotangent->to(runtime::live_type(*y).dtype.value_or(cotangent->dtype())).contiguous());

  if (!plan->code || !runtime::fits(*plan->code, values)) {
    auto complete = std::make_shared<BackwardPlan>(*plan);
    complete->code = runtime::cell_code(gradient_graph(*plan, y, values), values);
    plan = complete;
    keep_plan(y, complete);
  } else if (runtime::wants_native(*plan->code)) {
    runtime::make_native(*plan->code, gradient_graph(*plan, y, values), values);
  }
  const std::vector<Array> results = runtime::run_cell(*plan->code, values);

  std::vector<runtime::Change> changes;
  for (std::size_t i = 0; i < results.size(); ++i) {
    const bool is_gradient = i < plan->xs.size();
    const NodeRef of =
        is_gradient ? NodeRef(plan->xs[i]) : plan->updates[i - plan->xs.size()].first;
    changes.push_back(
        {is_gradient ? gradient_leaf(of) : of, results[i].to(runtime::device_of(of)), {}, where});
  }
  runtime::set_values(std::move(changes), frontend::push_mode());
  frontend::mark_counted(plan->running);
  for (const Node* x : plan->xs) {
    GradientState& state = state_of(NodeRef(x));
    state.accumulated = true;
    const std::scoped_lock lock(state.mutex);
    state.nothing = {};
  }
  if (!retain) runtime::set_marks(plan->between);
}

}  // namespace

void frontend::note_new_tensor(const NodeRef& node) {
  if (!no_grad || node->inputs().empty()) return;
  state_of(node).detached = true;
  tracking_epoch.fetch_add(1);
}

bool frontend::is_frozen(const NodeRef& node) {
  const GradientState* state = find_state(*node);
  return state && state->frozen;
}

bool frontend::has_gradient(const NodeRef& x) {
  GradientState& state = state_of(x);
  if (state.accumulated) return true;
  NodeRef gradient;
  Array nothing;
  {
    const std::scoped_lock lock(state.mutex);
    gradient = state.gradient;
    nothing = state.nothing;
  }
  return gradient && runtime::has_value(gradient) &&
         runtime::value(gradient).bytes() != nothing.bytes();
}

void frontend::keep_gradient(const NodeRef& x) {
  GradientState& state = state_of(x);
  const std::scoped_lock lock(state.mutex);
  state.nothing = {};
}

void frontend::keep_graph(const NodeRef& x) {
  for (const Node* node : ir::topological_order(std::span(&x, 1), is_leaf)) {
    if (is_leaf(*node)) continue;
    GradientState& state = state_of(NodeRef(node));
    state.lasting = true;
    state.detached = false;
  }
}

void frontend::note_running(const NodeRef& output, Running running) {
  state_of(output).running = std::move(running);
  Pass::add(output);
}

const frontend::Running* frontend::find_running(const Node& node) {
  const GradientState* state = find_state(node);
  return state && state->running ? &*state->running : nullptr;
}

NoGrad::NoGrad() : previous_(std::exchange(no_grad, true)) {}
NoGrad::~NoGrad() { no_grad = previous_; }

Tensor& Tensor::requires_grad(bool on, Where where) {
  if (!is_leaf(*node()))
    throw Error("requires_grad of " + runtime::describe(*node()) + ": it is computed by " +
                    std::string(node()->op().name) +
                    "; only inputs and Variables can require gradients",
                where);
  const ir::Type type = runtime::live_type(*node());
  if (on && type.dtype && category(*type.dtype) < Category::floating)
    throw DTypeError("requires_grad of " + runtime::describe(*node()) + ", " + to_string(type) +
                         ": only floating tensors have gradients",
                     where);
  GradientState& state = state_of(node());
  state.frozen = !on;
  if (state.requires_grad.exchange(on) != on) tracking_epoch.fetch_add(1);
  return *this;
}

bool Tensor::requires_grad() const {
  if (is_leaf(*node())) return wants_gradient(*node());
  return !is_detached(*node()) && !trace(node()).xs.empty();
}

void Tensor::backward(bool retain_graph, Where where) const {
  run_backward(node(), nullptr, retain_graph, where);
}

void Tensor::backward(const Array& cotangent, bool retain_graph, Where where) const {
  run_backward(node(), &cotangent, retain_graph, where);
}

Tensor Tensor::grad() const { return Tensor(gradient_leaf(node())); }

void Tensor::zero_grad() const {
  GradientState& state = state_of(node());
  state.accumulated = false;
  NodeRef gradient;
  {
    const std::scoped_lock lock(state.mutex);
    gradient = state.gradient;
  }
  if (gradient && runtime::has_value(gradient))
    set_nothing(state, gradient, runtime::value(gradient));
}

Tensor Tensor::detach(Where where) const {
  return frontend::apply(ir::ops::stop_gradient, {node()}, {}, where);
}

}  // namespace weft
