// Nodes to values, by open addressing: passes over a graph of a million nodes spend their time in
// these. Grows only. Addresses of values hold until the next insertion. Not ordered: walk the
// graph, never the map.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace weft::ir {

class Node;

template <class T> class NodeMap {
 public:
  /// Null where `node` is not there.
  [[nodiscard]] const T* find(const Node* node) const {
    if (slots_.empty()) return nullptr;
    const Slot& slot = slots_[place(node)];
    return slot.node ? &slot.value : nullptr;
  }
  /// The value of `node`, and whether `value` became it.
  std::pair<T*, bool> insert(const Node* node, T value) {
    if (2 * (used_ + 1) > slots_.size()) grow();
    Slot& slot = slots_[place(node)];
    if (slot.node) return {&slot.value, false};
    slot = {node, std::move(value)};
    ++used_;
    return {&slot.value, true};
  }

 private:
  struct Slot {
    const Node* node = nullptr;
    T value{};
  };
  [[nodiscard]] std::size_t place(const Node* node) const {
    const auto mixed = (reinterpret_cast<std::uintptr_t>(node) >> 4) * 0x9e3779b97f4a7c15ull;
    std::size_t i = mixed >> shift_;
    while (slots_[i].node && slots_[i].node != node) i = (i + 1) & (slots_.size() - 1);
    return i;
  }
  void grow() {
    std::vector<Slot> old =
        std::exchange(slots_, std::vector<Slot>(slots_.empty() ? 32 : 2 * slots_.size()));
    shift_ = 64 - std::countr_zero(slots_.size());
    for (Slot& slot : old)
      if (slot.node) slots_[place(slot.node)] = std::move(slot);
  }

  std::vector<Slot> slots_;
  std::size_t used_ = 0;
  int shift_ = 64;
};

}  // namespace weft::ir
