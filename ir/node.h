// A node of an expression graph: immutable once made, reference counted, destroyed iteratively (a
// chain of a million nodes never recurses). One node type serves user graphs and compiled ones.
//
// User handles (`Tensor`) and graph edges are counted apart: `handles()` tells the reactive engine
// whose values are to be kept. `state` is the engine's own record of a node that has or had a
// value; ir/ never looks inside it. A node with several results has extra types; result i > 0 is
// read through a `get` node.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "ir/attrs.h"
#include "ir/error.h"
#include "ir/type.h"

namespace weft::ir {

struct Op;
class Node;

/// A counted reference. As small as a pointer; copying is one relaxed increment.
class NodeRef {
 public:
  NodeRef() = default;
  NodeRef(std::nullptr_t) {}
  explicit NodeRef(const Node* node);
  NodeRef(const NodeRef& other);
  NodeRef(NodeRef&& other) noexcept : node_(std::exchange(other.node_, nullptr)) {}
  NodeRef& operator=(NodeRef other) noexcept {
    std::swap(node_, other.node_);
    return *this;
  }
  ~NodeRef();

  [[nodiscard]] const Node* get() const { return node_; }
  const Node* operator->() const { return node_; }
  const Node& operator*() const { return *node_; }
  explicit operator bool() const { return node_ != nullptr; }
  friend bool operator==(const NodeRef& a, const NodeRef& b) { return a.node_ == b.node_; }

 private:
  const Node* node_ = nullptr;
};

/// Base of what the reactive engine attaches to a node; destroyed with the node.
struct NodeState {
  virtual ~NodeState() = default;
  /// The last user handle went away (the node may live on as an edge of others).
  virtual void handles_gone() {}
};

struct NodeInit {
  const Op* op = nullptr;
  std::vector<NodeRef> inputs;
  Attrs attrs;
  Type type;
  std::vector<Type> extra_types;  // results 1, 2, … of a multi-result operation
  SourceLocation where;
  std::string label;  // the user's name for it; empty for none
};

class Node {
 public:
  static NodeRef make(NodeInit init);

  [[nodiscard]] const Op& op() const { return *op_; }
  [[nodiscard]] std::span<const NodeRef> inputs() const { return inputs_; }
  [[nodiscard]] const NodeRef& input(std::size_t i) const { return inputs_[i]; }
  [[nodiscard]] const Attrs& attrs() const { return attrs_; }
  [[nodiscard]] const Type& type() const { return type_; }
  [[nodiscard]] std::span<const Type> extra_types() const { return extra_types_; }
  [[nodiscard]] SourceLocation where() const { return where_; }
  [[nodiscard]] const std::string& label() const { return label_; }
  /// Grows with creation; inputs have smaller ones. The deterministic order of everything that is
  /// printed.
  [[nodiscard]] std::uint64_t sequence() const { return sequence_; }

  void add_handle() const { handles_.fetch_add(1, std::memory_order_relaxed); }
  void drop_handle() const;
  [[nodiscard]] std::uint32_t handles() const { return handles_.load(std::memory_order_acquire); }
  [[nodiscard]] NodeState* state() const { return state_.load(std::memory_order_acquire); }
  /// Attaches `state` unless there is one already; returns the one that is attached.
  NodeState* attach(std::unique_ptr<NodeState> state) const;
  /// The user's name for the node may be set after it was made (`t.name("w")`), by its one owner.
  void set_label(std::string label) const { label_ = std::move(label); }

 private:
  friend class NodeRef;
  explicit Node(NodeInit init);
  ~Node();
  static void release(const Node* node);

  const Op* op_;
  std::vector<NodeRef> inputs_;
  Attrs attrs_;
  Type type_;
  std::vector<Type> extra_types_;
  SourceLocation where_;
  mutable std::string label_;
  std::uint64_t sequence_;
  mutable std::atomic<std::uint32_t> references_{0};
  mutable std::atomic<std::uint32_t> handles_{0};
  mutable std::atomic<NodeState*> state_{nullptr};
  // The worklist of destruction runs through the nodes themselves.
  mutable const Node* next_dead_ = nullptr;
};

inline NodeRef::NodeRef(const Node* node) : node_(node) {
  if (node_) node_->references_.fetch_add(1, std::memory_order_relaxed);
}
inline NodeRef::NodeRef(const NodeRef& other) : NodeRef(other.node_) {}
inline NodeRef::~NodeRef() {
  if (node_ && node_->references_.fetch_sub(1, std::memory_order_acq_rel) == 1)
    Node::release(node_);
}

/// Nodes alive in the process.
std::int64_t live_nodes();

}  // namespace weft::ir
