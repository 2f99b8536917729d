// Running statistics: which values variables take after a pass, and the pass of a module that is
// called on values.
#include <algorithm>
#include <utility>

#include "gradient_state.h"
#include "ir/node.h"
#include "live.h"
#include "weft/tensor.h"

namespace weft::frontend {

RunningUpdates running_updates(std::vector<const ir::Node*> outputs) {
  std::ranges::sort(outputs, {}, &ir::Node::sequence);
  RunningUpdates updates;
  const auto find = [&](const ir::NodeRef& variable) {
    return std::ranges::find(updates, variable, &RunningUpdates::value_type::first);
  };
  for (const ir::Node* output : outputs) {
    const Running& running = *find_running(*output);
    std::vector<ir::NodeRef> now = running.variables;
    for (ir::NodeRef& value : now)  // a layer that was applied before goes on from there
      if (const auto before = find(value); before != updates.end()) value = before->second;
    const std::vector<ir::NodeRef> next = running.next(now);
    for (std::size_t i = 0; i < next.size(); ++i) {
      const auto before = find(running.variables[i]);
      if (before == updates.end())
        updates.emplace_back(running.variables[i], next[i]);
      else
        before->second = next[i];
    }
  }
  return updates;
}

RunningUpdates running_updates(std::span<const ir::NodeRef> roots,
                               const std::function<bool(const ir::Node&)>& stop) {
  std::vector<const ir::Node*> outputs;
  for (const ir::Node* node : ir::topological_order(roots, stop))
    if (!stop(*node) && find_running(*node)) outputs.push_back(node);
  return running_updates(std::move(outputs));
}

void mark_counted(std::span<const ir::Node* const> outputs) {
  std::vector<const ir::Node*> twins;
  for (const ir::Node* output : outputs) twins.push_back(find_running(*output)->twin.get());
  runtime::set_marks(twins);
}

namespace {

constinit thread_local Pass* innermost = nullptr;

void count_outputs(const std::vector<ir::NodeRef>& outputs) {
  if (eval_mode() == EvalMode::lazy) return;
  std::vector<const ir::Node*> valued;
  for (const ir::NodeRef& output : outputs)
    if (runtime::has_value(output)) valued.push_back(output.get());
  if (valued.empty()) return;
  const RunningUpdates updates = running_updates(valued);
  std::vector<Array> values;
  {
    std::vector<Tensor> held;  // what has a handle has a value
    std::vector<ir::NodeRef> next;
    for (const auto& update : updates) next.push_back(held.emplace_back(update.second).node());
    values = runtime::values(next);
  }
  std::vector<runtime::Change> changes;
  for (std::size_t i = 0; i < values.size(); ++i)
    changes.push_back({updates[i].first, std::move(values[i]), {}, updates[i].second->where()});
  runtime::set_values(std::move(changes), push_mode());
  mark_counted(valued);
}

}  // namespace

Pass::Pass() : outer_(std::exchange(innermost, this)) {}
Pass::~Pass() { innermost = outer_; }

void Pass::count() {
  if (!outer_)
    count_outputs(outputs_);
  else
    outer_->outputs_.insert(outer_->outputs_.end(), outputs_.begin(), outputs_.end());
  outputs_.clear();
}

void Pass::add(const ir::NodeRef& output) {
  if (innermost)
    innermost->outputs_.push_back(output);
  else
    count_outputs({output});
}

}  // namespace weft::frontend
