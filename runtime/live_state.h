// What the reactive engine keeps with a node: its value, its consumers, whether its inputs are set.
// Everything here is guarded by the engine's mutex. Records are owned by their nodes and unlink
// themselves when these die; since nodes die after they were unlinked, a record found under the
// mutex belongs to a living node, and the ancestors of a node with handles cannot die while the
// mutex is held.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "ir/op.h"
#include "runtime/array.h"
#include "runtime/brought.h"
#include "runtime/reactive.h"

namespace weft::runtime {

class LiveState;
struct Wave;

/// A connected part of the live graph (parts merge, and never split). `epoch` changes with its
/// structure.
struct Component {
  std::shared_ptr<Component> parent;
  std::uint64_t epoch = 0;
  std::uint32_t rank = 0;
};

struct WatchEntry {
  Watcher run;
  std::atomic<bool> active = true;
};

class LiveState final : public ir::NodeState {
 public:
  struct Link {
    LiveState* consumer;
    std::uint32_t operand;
  };
  /// What few nodes have.
  struct Extras {
    std::vector<std::shared_ptr<WatchEntry>> watchers;
    std::vector<std::unique_ptr<Wave>> waves;  // updates that begin with this leaf
    std::unique_ptr<Wave> pull;                // how this tensor is computed when it is asked for
    std::unique_ptr<Attachment> attachment;
    std::thread::id lessee;  // has a turn on this leaf
    Device lent_from;        // where the value is that the lessee has
    Brought brought;         // its value
  };

  explicit LiveState(const ir::Node& of);
  ~LiveState() override;
  void handles_gone() override;

  [[nodiscard]] bool is_leaf() const {
    return std::holds_alternative<ir::Leaf>(node.op().meaning);
  }
  [[nodiscard]] bool ready() const { return unready == 0; }
  [[nodiscard]] bool held() const { return node.handles() > 0; }
  [[nodiscard]] bool watched() const { return extras && !extras->watchers.empty(); }
  [[nodiscard]] bool leased() const { return extras && extras->lessee != std::thread::id(); }
  Extras& extra();
  /// A constant's array is made when someone asks.
  void materialise() {
    if (!valid || stored) return;
    value = from_literal(node.attrs().get<ir::ConstantAttrs>().value);
    stored = true;
  }
  /// The next value may be of another one.
  void forget_type() noexcept {
    live.reset();
    stand_in = {};
  }
  /// The value that the wave under way sees.
  [[nodiscard]] const Array& current() const { return pending ? *pending : value; }
  /// The same on a device, for one that may be brought there: see `floats`.
  [[nodiscard]] const Array& current_on(Device device);
  /// Where the value is, or was when it was last computed.
  [[nodiscard]] Device home() const {
    return pending ? pending->device() : leased() ? extras->lent_from : value.device();
  }

  const ir::Node& node;
  std::vector<Link> consumers;
  std::vector<std::uint32_t> places;     // place in the consumer list of each operand
  std::shared_ptr<Component> component;  // null for constants, which nothing changes
  Array value;
  const Array* pending = nullptr;  // computed by the wave under way, not committed
  std::optional<ir::Type> live;    // the type of the values, where the node's own says less
  ir::NodeRef stand_in;            // an input node of the live type, for type rules
  std::unique_ptr<Extras> extras;
  std::uint32_t unready = 0;  // operands that cannot have a value (for a leaf: 1 while it has none)
  bool stored = false;        // `value` holds one…
  bool valid = false;         // …which is current
  bool marked = false;        // see set_marks
  bool floats = false;        // computed from nothing but constants and lone numbers
  bool by_value = false;      // what its type is may depend on values too

  // Notes of the plan being made; meaningful only where the stamp is the plan's.
  std::uint64_t affected = 0, needed = 0, wanted = 0, entered = 0;
  std::uint32_t cell = 0;
  Device place;               // where it is computed
  bool costly = false;        // it, or what it is computed from, was dear
  bool costly_below = false;  // it, or what is computed from it, is dear
};

inline LiveState* state_of(const ir::Node& node) { return static_cast<LiveState*>(node.state()); }

}  // namespace weft::runtime
