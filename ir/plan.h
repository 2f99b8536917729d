// A plan: what the executor runs. Slots with offsets and lifetimes, kernels (each distinct one
// once), steps in order. All extents are Dims over the plan's unknowns, which the executor binds
// from the shapes of the inputs at each call; a plan without unknowns is sized once.
#pragma once

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "ir/kernel.h"
#include "ir/literal.h"
#include "ir/op.h"

namespace weft::ir {

struct Slot {
  enum class Kind : std::uint8_t { input, constant, output, temp, local };
  Kind kind = Kind::temp;
  int number = 0;  // input or output number, or index into Plan::constants
  DType dtype = DType::float32;
  Dims shape;  // dense, C order
  /// Bytes, a multiple of 64: from the arena's start (temps), or from the start of what a tile of
  /// the slot's group works in (locals).
  Dim offset = 0;
  int first_step = 0, last_step = 0;
};

struct KernelStep {
  int kernel = 0;            // index into Plan::kernels
  std::vector<int> slots;    // one a kernel buffer
  std::vector<Dim> symbols;  // one a kernel symbol, over the plan's unknowns
};
struct ExternStep {
  ExternKind kind{};
  Attrs attrs;
  std::vector<int> inputs, outputs;  // slots; -1: taken for its type only, of a device: not wanted
  bool may_fail = false;             // can throw for values (index out of range, a user's callback)
};
struct Step {
  std::variant<KernelStep, ExternStep> what;
  SourceLocation where;  // the user's line of the step's root node
  std::string label;     // for profiles and pictures: `add+mul+exp`
};

/// Steps [first, end) that run together: the leading axes of each are cut into `pieces` alike, and
/// of what one writes and another reads, piece p is written and read by piece p of the steps alone.
/// So a thread takes a tile of some pieces through all the steps while it is in its cache, tiles in
/// any order, and a local slot needs memory for one tile a thread. A schedule: it changes no bit.
struct StepGroup {
  int first = 0, end = 0;
  std::int64_t pieces = 1;
  std::int64_t tile = 1;        // pieces at a time; the last tile may have fewer
  std::int64_t tile_bytes = 0;  // of the local slots of one tile
  std::string reason;
  /// Small steps, which run together so that threads seldom meet: a thread takes its whole share of
  /// the pieces, a multiple of `tile` but for the last, through the steps at once.
  bool chain = false;
};

/// Steps that sum an operand of a product over the axis that the product sums. A library may do
/// that with the product, which comes before what reads the sums. Steps do nothing but what these
/// say of them, and are done when products have done it all: steps that share one share all.
struct OperandSum {
  int product = 0;         // step
  bool of_b = false;       // of the contraction's
  std::vector<int> steps;  // one or two
  int out = 0;             // slot
};

/// An equality of extents that could not be decided before the call.
struct ShapeCheck {
  Dim left, right;
  std::string message;
  SourceLocation where;
};

struct Plan {
  std::vector<Slot> slots;
  std::vector<Kernel> kernels;
  std::vector<Literal> constants;
  std::vector<Step> steps;
  std::vector<StepGroup> groups;  // in order, apart from one another
  std::vector<OperandSum> operand_sums;  // at most one a product, in their order
  std::vector<ShapeCheck> checks;
  /// Declared type of input i: its unknown extents are the symbols that a call binds.
  std::vector<Type> inputs;
  /// Slot of output i (an output slot; or an input or constant slot when the graph returns one as
  /// it is).
  std::vector<int> outputs;
  /// Output i takes over the storage of input `donated[i]` (-1: none): written in place.
  std::vector<int> donated;
  Dim arena_bytes = 0;
  double flops = 0;              // where constant
  std::int64_t bytes_moved = 0;  // where constant
};

inline const Kernel& kernel_of(const Plan& plan, const KernelStep& step) {
  return plan.kernels[static_cast<std::size_t>(step.kernel)];
}

/// `visit(slot, written)` for every slot that a step touches.
template <class F> void for_each_slot(const Plan& plan, const Step& step, F&& visit) {
  if (const auto* k = std::get_if<KernelStep>(&step.what)) {
    for (std::size_t b = 0; b < k->slots.size(); ++b)
      visit(k->slots[b], kernel_of(plan, *k).buffers[b].written);
    return;
  }
  const ExternStep& e = std::get<ExternStep>(step.what);
  for (const int s : e.inputs) {
    if (s >= 0) visit(s, false);
  }
  for (const int s : e.outputs) {  // none for a result that nobody wants
    if (s >= 0) visit(s, true);
  }
}

/// A readable dump (Stage::kernels); does not read back.
std::string to_string(const Plan&);

}  // namespace weft::ir
