#include "codegen/register_plan.h"

#include <algorithm>
#include <limits>

namespace weft::codegen {
namespace {

using ir::ScalarInst, ir::ScalarOp, ir::ScalarProgram;
using Kind = RegisterStep::Kind;

class Planner {
 public:
  Planner(const ScalarProgram& program, const std::vector<bool>& in_memory,
          const RegisterLimits& limits)
      : p_(program), in_memory_(in_memory), limits_(limits) {
    const std::size_t slots = p_.code.size() * vectors();
    uses_.resize(slots);
    resident_.resize(slots);
    stored_.resize(slots);
    note_free();
  }

  std::vector<RegisterStep> run() {
    order();
    note_uses();
    for (now_ = 0; now_ < line_.size(); ++now_) {
      const auto [inst, vector] = line_[now_];
      const ScalarInst& one = p_.code[number(inst)];
      for (const std::int32_t operand : {one.a, one.b, one.c})
        if (operand >= 0 && !free_[number(operand)]) fetch(slot(operand, vector));
      for (const std::int32_t operand : {one.a, one.b, one.c})
        if (operand >= 0) used(slot(operand, vector));
      const std::size_t result = slot(inst, vector);
      make_room(cost(result));
      steps_.push_back({Kind::compute, inst, vector});
      if (!uses_[result].empty()) enter(result);
    }
    return std::move(steps_);
  }

 private:
  static std::size_t number(std::int32_t id) { return static_cast<std::size_t>(id); }
  [[nodiscard]] std::size_t vectors() const { return static_cast<std::size_t>(limits_.vectors); }
  [[nodiscard]] bool shared(std::int32_t inst) const {
    return p_.code[number(inst)].op == ScalarOp::constant || in_memory_[number(inst)];
  }
  [[nodiscard]] std::size_t slot(std::int32_t inst, std::int32_t vector) const {
    return number(inst) * vectors() + (shared(inst) ? 0 : number(vector));
  }
  [[nodiscard]] RegisterStep step(Kind kind, std::size_t slot) const {
    return {kind, static_cast<std::int32_t>(slot / vectors()),
            static_cast<std::int32_t>(slot % vectors())};
  }
  [[nodiscard]] int cost(std::size_t slot) const {
    const DType dtype = p_.code[slot / vectors()].dtype;
    if (dtype == DType::boolean && limits_.mask_registers) return 0;
    const int bytes = limits_.lanes * static_cast<int>(size_of(dtype));
    return std::max(1, (bytes + limits_.register_bytes - 1) / limits_.register_bytes);
  }

  /// Constants that become part of the instructions that use them (a count to shift by), and
  /// booleans from before the loop.
  void note_free() {
    free_.resize(p_.code.size());
    for (std::size_t i = 0; i < p_.code.size(); ++i)
      free_[i] = shared(static_cast<std::int32_t>(i)) && !is_floating(p_.code[i].dtype);
    for (const ScalarInst& one : p_.code)
      if (!takes_vectors(one.op))
        for (const std::int32_t operand : {one.a, one.b, one.c})
          if (operand >= 0 && p_.code[number(operand)].op == ScalarOp::constant)
            free_[number(operand)] = true;
  }

  /// Instructions for which a constant operand is a vector like any other.
  static bool takes_vectors(ScalarOp op) {
    return op == ScalarOp::add || op == ScalarOp::sub || op == ScalarOp::mul ||
           op == ScalarOp::div || op == ScalarOp::ratio || op == ScalarOp::fma ||
           op == ScalarOp::select || op == ScalarOp::lt || op == ScalarOp::le ||
           op == ScalarOp::eq || op == ScalarOp::ne;
  }

  /// The instructions of all vectors, one after the other.
  void order() {
    std::vector<std::int32_t> todo;
    for (std::size_t i = 0; i < p_.code.size(); ++i)
      if (!shared(static_cast<std::int32_t>(i))) todo.push_back(static_cast<std::int32_t>(i));
    const auto length = static_cast<std::int32_t>(todo.size());
    for (std::int32_t t = 0; t < length + limits_.lag * (limits_.vectors - 1); ++t)
      for (std::int32_t vector = 0; vector < limits_.vectors; ++vector)
        if (const std::int32_t at = t - vector * limits_.lag; at >= 0 && at < length)
          line_.push_back({todo[number(at)], vector});
  }

  void note_uses() {  // the next at the back; outputs are stored where they are computed
    for (std::size_t at = line_.size(); at-- > 0;) {
      const ScalarInst& one = p_.code[number(line_[at].first)];
      for (const std::int32_t operand : {one.a, one.b, one.c}) {
        if (operand < 0) continue;
        auto& uses = uses_[slot(operand, line_[at].second)];
        if (uses.empty() || uses.back() != at) uses.push_back(at);
      }
    }
  }

  void fetch(std::size_t value) {
    if (resident_[value]) return;
    make_room(cost(value));
    steps_.push_back(step(Kind::fetch, value));
    enter(value);
  }

  void used(std::size_t value) {
    if (!uses_[value].empty() && uses_[value].back() == now_) uses_[value].pop_back();
    if (uses_[value].empty() && resident_[value]) leave(value);
  }

  void make_room(int registers) {
    while (taken_ + registers > limits_.registers) {
      std::size_t last = held_.size();
      for (std::size_t i = 0; i < held_.size(); ++i) {
        const std::size_t value = held_[i];
        if (!may_leave(value) || uses_[value].back() == now_) continue;  // an operand of this step
        if (last == held_.size() || uses_[value].back() > uses_[held_[last]].back()) last = i;
      }
      if (last == held_.size()) return;  // the operands alone take too many
      const std::size_t value = held_[last];
      if (!shared(static_cast<std::int32_t>(value / vectors())) && !stored_[value]) {
        steps_.push_back(step(Kind::park, value));
        stored_[value] = true;
      }
      leave(value);
    }
  }

  [[nodiscard]] bool may_leave(std::size_t value) const {
    return p_.code[value / vectors()].dtype != DType::boolean;  // lanes in memory are bytes
  }

  void enter(std::size_t value) {
    resident_[value] = true;
    held_.push_back(value);
    taken_ += cost(value);
  }
  void leave(std::size_t value) {
    resident_[value] = false;
    held_.erase(std::ranges::find(held_, value));
    taken_ -= cost(value);
  }

  const ScalarProgram& p_;
  const std::vector<bool>& in_memory_;
  const RegisterLimits& limits_;
  std::vector<std::pair<std::int32_t, std::int32_t>> line_;  // instruction, vector
  std::vector<std::vector<std::size_t>> uses_;               // places in the line, last first
  std::vector<bool> free_;                                   // of instructions: takes no register
  std::vector<bool> resident_, stored_;
  std::vector<std::size_t> held_;  // in registers
  int taken_ = 0;
  std::size_t now_ = 0;
  std::vector<RegisterStep> steps_;
};

}  // namespace

std::vector<RegisterStep> register_plan(const ScalarProgram& program,
                                        const std::vector<bool>& in_memory,
                                        const RegisterLimits& limits) {
  return Planner(program, in_memory, limits).run();
}

}  // namespace weft::codegen
