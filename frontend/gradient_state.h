// What `backward` keeps with a node, and what a node keeps for it.
#pragma once

#include <functional>
#include <span>
#include <utility>
#include <vector>

#include "runtime/reactive.h"

namespace weft::frontend {

/// Called for a node's first handle: one made under NoGrad is like a detached one.
void note_new_tensor(const ir::NodeRef& node);

/// Whether `requires_grad` was turned off, which tells a frozen parameter from a Variable that was
/// never asked.
bool is_frozen(const ir::NodeRef& node);
/// Whether x's gradient was computed or set since it was last zeroed.
bool has_gradient(const ir::NodeRef& x);
/// Zeros in it are a gradient from now on.
void keep_gradient(const ir::NodeRef& x);
/// No `backward` frees what x is computed from, nor is it detached: a module holds x, and all that
/// it builds starts there.
void keep_graph(const ir::NodeRef& x);

// ---- running statistics -------------------------------------------------------------------------
//
// What a layer in training mode wants of its variables in every pass through its output. A pass is
// a call of a Function, a call of a module on values, or a `backward` that none of these has
// counted since what the output is computed from was last set.

struct Running {
  std::vector<ir::NodeRef> variables;
  /// Their values after a pass, from those before it.
  std::function<std::vector<ir::NodeRef>(std::span<const ir::NodeRef>)> next;
  /// Computed from what the output is, and part of no graph: marked once a pass is counted.
  ir::NodeRef twin;
};
/// To be called where the output is built, within a Pass or as one of its own.
void note_running(const ir::NodeRef& output, Running running);
/// Null where there is none.
[[nodiscard]] const Running* find_running(const ir::Node& node);

/// Variables and their values after passes through all these outputs, in the order in which the
/// outputs were built.
using RunningUpdates = std::vector<std::pair<ir::NodeRef, ir::NodeRef>>;
RunningUpdates running_updates(std::vector<const ir::Node*> outputs);
/// The same of all that `roots` are computed from, as far as `stop`.
RunningUpdates running_updates(std::span<const ir::NodeRef> roots,
                               const std::function<bool(const ir::Node&)>& stop);
/// A pass through these outputs is counted.
void mark_counted(std::span<const ir::Node* const> outputs);

/// The call of a module: counts what was noted on this thread since it began and has a value,
/// unless evaluation is lazy. Those within another join that.
class Pass {
 public:
  Pass();
  ~Pass();
  Pass(const Pass&) = delete;
  Pass& operator=(const Pass&) = delete;
  void count();
  static void add(const ir::NodeRef& output);

 private:
  std::vector<ir::NodeRef> outputs_;
  Pass* outer_;
};

}  // namespace weft::frontend
