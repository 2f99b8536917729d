#include "ir/node.h"

#include <cassert>

namespace weft::ir {
namespace {

std::atomic<std::uint64_t> next_sequence{1};
std::atomic<std::int64_t> alive{0};

/// Nodes that wait for destruction on this thread. Trivial, so that it outlives objects with static
/// storage.
struct Worklist {
  const Node* head = nullptr;
  bool running = false;
};
thread_local Worklist worklist;

}  // namespace

NodeRef Node::make(NodeInit init) { return NodeRef(new Node(std::move(init))); }

Node::Node(NodeInit init)
    : op_(init.op),
      inputs_(std::move(init.inputs)),
      attrs_(std::move(init.attrs)),
      type_(std::move(init.type)),
      extra_types_(std::move(init.extra_types)),
      where_(init.where),
      label_(std::move(init.label)),
      sequence_(next_sequence.fetch_add(1, std::memory_order_relaxed)) {
  assert(op_);
  alive.fetch_add(1, std::memory_order_relaxed);
}

Node::~Node() {
  delete state_.load(std::memory_order_acquire);
  alive.fetch_sub(1, std::memory_order_relaxed);
}

// Destroying a node releases its inputs, which comes back here: those only join the list of the
// outermost call.
void Node::release(const Node* node) {
  node->next_dead_ = worklist.head;
  worklist.head = node;
  if (worklist.running) return;
  worklist.running = true;
  while (const Node* dead = worklist.head) {
    worklist.head = dead->next_dead_;
    delete dead;
  }
  worklist.running = false;
}

void Node::drop_handle() const {
  if (handles_.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  if (NodeState* attached = state()) attached->handles_gone();
}

NodeState* Node::attach(std::unique_ptr<NodeState> state) const {
  NodeState* expected = nullptr;
  if (state_.compare_exchange_strong(expected, state.get(), std::memory_order_acq_rel))
    return state.release();
  return expected;
}

std::int64_t live_nodes() { return alive.load(std::memory_order_relaxed); }

}  // namespace weft::ir
