// Which nodes share a kernel. Values are visited producers first; each computed value gets a place
// in a group (a kernel to be), and every group's number is its place in the order of execution: a
// member reads only values of its own group, at the very element that the group computes, and
// stored values of groups with smaller numbers. That keeps the result acyclic by construction and
// the whole pass linear.
//
// Rules, in the order they are tried:
//   - scalar constants, and small programs over constants and at most two of the graph's inputs,
//     are inlined wherever they are read (as cheap as reading a buffer);
//   - views are index maps and cost nothing; one is copied only where a reshape of it is not
//     affine, or where a dense buffer is needed (extern operations, contractions without a unit
//     stride, results);
//   - a pointwise value joins the last group among its producers', where the iteration space is the
//     same, or the latest group with that space (side by side: forward and backward, all parameters
//     of an optimiser step);
//   - a reduction joins its producer's group, which then runs row by row, or a group with the same
//     rows (a large one down columns only where both read the same); what is computed from reductions, once a point or along the same rows, joins too
//     (softmax, layer norm, cross-entropy);
//   - a contraction starts a group; pointwise values over its result join it as the epilogue;
//   - a stored value that is cheap to recompute from what is in memory anyway is computed again by
//     its readers instead.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "ir/graph.h"
#include "ir/op.h"
#include "ir/plan.h"
#include "passes/body.h"
#include "passes/views.h"

namespace weft::passes {

/// Rows at least so long, with at most so many parallel points, are reduced in two kernels. No
/// result depends on it.
struct Splits {
  struct Limits {
    std::int64_t row = 16384, points = 64;
  };
  Limits lanes, blocks;  // by the order of the reduction (ir/kernel.h)
};

struct FuseOptions {
  bool fuse = true;            // false: one kernel a node
  int max_instructions = 300;  // of one kernel's bodies
  int max_buffers = 48;        // of one kernel, as far as they are known while it grows
  Splits split;
  bool winograd = true;  // products with windows of images may be done in his way
};

enum class ValueKind : std::uint8_t {
  input,
  constant,
  scalar,  // a constant with one value everywhere
  view,
  pointwise,
  reduction,
  contraction,
  external,
  part,     // a further result of an external
  regions,  // written piece by piece by pointwise values that have `target`
};

/// Operand of a placed value, seen from its group's axes.
struct Read {
  int value = -1;
  bool inside = false;   // computed by the same group at the same element
  bool inlined = false;  // computed where it is read
  bool flat = false;     // `map` has one entry, the linear element number
  MapRef map;            // null for scalars and inside reads
};

struct Value {
  const ir::Node* node = nullptr;  // for synthetic values: the node on whose behalf
  ValueKind kind = ValueKind::pointwise;
  DType dtype = DType::float32;
  const Dims* shape = nullptr;
  std::vector<int> operands;                       // -1 for an operand taken for its type only
  std::shared_ptr<const Body> body;                // pointwise
  std::shared_ptr<const ir::ReductionDef> reduce;  // reduction
  std::shared_ptr<const ir::ViewMap> view;         // null for a reshape
  std::vector<int>
      // pointwise copies: operand axis i is own axis permutation[i]; empty: broadcasting
      permutation;
  int target = -1;    // lives in this value's buffer, at `place` (one entry a target axis)
  MapRef place;       // over own axes
  bool free = false;  // inlined wherever it is read
  bool kept = false;  // free, but has a buffer too, for readers in later groups
  int cost = 0;       // free: instructions, those of its own operands included
  std::vector<int> leaves;  // free: the buffers that it reads
  int copy = -1;            // a dense copy of this view, where one was needed
  int depth = 0;            // views since the last buffer
  int since = -1;           // view beyond a barrier: no reader is in a group before this one

  int group = -1;
  int phase = 0;  // even: along the row; odd: once a point; ascending in time
  bool along_row = true;
  MapRef at;  // own axes in terms of the group's
  std::vector<Read> reads;
  bool stored = false;
};

enum class GroupKind : std::uint8_t { pointwise, row, contraction, external };

struct Group {
  GroupKind kind = GroupKind::pointwise;
  Dims axes;                       // unit axes dropped, except m and n of a contraction
  int row_begin = 0, row_end = 0;  // row: axes that together are the row
  bool split = false;              // the row is reduced in two kernels
  std::vector<int> members;        // producers first
  int instructions = 0, buffers = 0;
  // contraction: axes are batch…, m…, n…; the operands' maps have the k axes appended
  bool gathers = false;  // the second operand is no matrix: read element by element
  std::optional<ir::Contraction::Winograd> winograd;
  std::size_t batch_axes = 0, m_axes = 0, n_axes = 0;
  Dims k_axes;
};

struct Fused {
  std::vector<Value> values;
  std::vector<Group> groups;
  std::vector<int> inputs;  // value of graph input i (-1: not used)
  std::vector<int>
      outputs;  // value of graph output i, to be read as a dense buffer of the output's shape
  std::vector<std::unique_ptr<Dims>> shapes;  // of synthetic values
  std::vector<ir::ShapeCheck> checks;
  /// Groups that run at once before others of smaller numbers: (that, the group).
  std::vector<std::pair<int, int>> early;
};

Fused fuse(const ir::Graph& graph, const FuseOptions& options);

/// The operand of a placed value, from the map of the value's own axes: views resolved down to a
/// buffer, an inlined value or (flat) a buffer's linear element number. Empty where that needs a
/// copy first. Copies of views are used where a group before number `before` makes them.
std::optional<Read> resolve(const std::vector<Value>& values, int value, MapRef map,
                            std::span<const Dim> extents, int before);
/// Map of operand `i` of pointwise `value`, whose own map is `at`.
MapRef operand_map(const std::vector<Value>& values, const Value& value, std::size_t i,
                   const MapRef& at, std::size_t kernel_axes);
/// Element number, in its own buffer or the one it lives in, of the element of `value` at `map`.
Affine element_at(const std::vector<Value>& values, const Value& value, const IndexMap& map,
                  std::size_t kernel_axes);
/// Element number in the buffer of what `read` names.
Affine element_of(const std::vector<Value>& values, const Read& read, std::size_t kernel_axes);

}  // namespace weft::passes
