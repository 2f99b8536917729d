// One operation, one row. An `Op` is a constant-initialised table entry in the file of its family
// under ir/ops/; all else (constant folding, interpreter, backends, labels, docs table, text form,
// ONNX, generated tests) derives from it.
//
// The meaning of an operation is one of seven (leaves apart). Backends and passes switch over the
// meaning, never over names.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "ir/attrs.h"
#include "ir/node.h"
#include "ir/scalar.h"
#include "ir/type.h"

namespace weft::ir {

class GraphBuilder;
class Expr;

// ---- type rules ---------------------------------------------------------------------------------

struct InferContext {
  const Op& op;
  std::span<const NodeRef> inputs;  // nodes, so that a rule may read a constant operand's value
  const Attrs& attrs;
  SourceLocation where;

  [[nodiscard]] const Type& type(std::size_t i) const { return inputs[i]->type(); }
  /// `add of float32(2, 3) and float32(4,)`: how every message begins.
  [[nodiscard]] std::string describe() const;
};
/// Result type from operand types, any of which may be partly unknown; throws ShapeError or
/// DTypeError.
using InferRule = Type (*)(const InferContext&);

// ---- the meanings -------------------------------------------------------------------------------

struct Leaf {};  // input, constant

/// How operand dtypes meet in a pointwise operation.
enum class OperandRule : std::uint8_t {
  // operands promoted; result the promoted dtype; any dtype (add of booleans is or, mul is and)
  same,
  arithmetic,  // as `same`, but booleans are a DTypeError, as in PyTorch (sub, neg)
  // as `same`, but integers and booleans become the default dtype first (exp, true division)
  floating,
  compare,    // operands promoted; result boolean
  logical,    // operands converted to boolean; result boolean
  bitwise,    // integers and booleans only
  choose,     // operand 0 to boolean; the rest promoted (where)
  cast,       // result dtype from CastAttrs
  predicate,  // one operand as it is; result boolean (isnan)
  generate,   // no operands; result dtype and shape from the type rule (iota)
};

/// Elementwise with NumPy broadcasting. `emit` gets operands already converted to the compute dtype
/// (float32 for float16 and bfloat16) and returns the result in it; conversion to the stored dtype
/// is added around it. An `index` opcode names an axis of the node's RESULT.
struct Pointwise {
  OperandRule operands;
  ScalarValue (*emit)(ScalarBuilder&, std::span<const ScalarValue> operands, const Attrs&);
};

/// Element (o0, o1, …) of the result is element (axes[0](o), axes[1](o), …) of operand 0.
struct ViewMap {
  struct AxisExpr {
    std::vector<std::pair<int, Dim>> terms;  // output axis, multiplier
    Dim offset = 0;
  };
  std::vector<AxisExpr> axes;  // one an operand axis
};
/// A reshape has no such map: `map` returns nullopt and the result is operand 0's elements in
/// row-major order.
struct View {
  std::optional<ViewMap> (*map)(const Node&);
};

/// Element o of operand `operand` goes to element (place.axes[0](o), place.axes[1](o), …) of the
/// result: here a ViewMap has one expression a RESULT axis, whose terms name OPERAND axes. Regions
/// of one node never overlap.
struct Region {
  std::size_t operand = 0;
  ViewMap place;
};
/// The result starts as `fill` everywhere; then each region writes one operand, converted to the
/// result's dtype, at affine places (concatenate, pad, transposes of slices). A null `fill` means
/// that the regions cover the result. What reads a region back (slice of concatenate) can be
/// resolved from the places alone.
struct Regions {
  std::vector<Region> (*map)(const Node&);
  double (*fill)(const Node&) = nullptr;
};

/// A reduction over the axes in ReduceAttrs: lift each element to accumulators, combine, finish.
/// Accumulators start at `identity`; `combine` is associative up to rounding and is applied in
/// canonical order.
struct ReductionDef {
  std::vector<DType> accumulators;
  std::vector<std::uint64_t> identity;  // bits, one an accumulator
  // (element as stored, position along the flattened reduced axes: int64) -> accumulators
  ScalarProgram lift;
  // (accumulators a…, accumulators b…) -> accumulators; a comes first in canonical order
  ScalarProgram combine;
  ScalarProgram finish;  // (accumulators…) -> result as stored
};
struct Reduction {
  ReductionDef (*define)(const Node&);
};

/// Sum of products by subscripts as in einsum: one label an axis. Labels in `a` and `b` but not in
/// `out` are summed.
struct ContractionDef {
  std::string a, b, out;
};
struct ContractionMeaning {
  ContractionDef (*define)(const Node&);
};

/// Stands for an expression of other operations. Where `values` is not 0, which expression depends
/// on the values of these operands (shapes and bounds given as tensors, how many elements a mask
/// selects, conditions of control flow): `expand` runs once they are constants, and until then the
/// type rule leaves the shape unknown. See passes/resolve.h.
struct Expansion {
  NodeRef (*expand)(GraphBuilder&, const Node&, std::span<const NodeRef> inputs);
  std::uint32_t values = 0;  // bit i: the value of operand i is needed; bit 31: 31 and beyond
  /// For rows with several results, in place of `expand`.
  std::vector<NodeRef> (*expand_all)(GraphBuilder&, const Node&,
                                     std::span<const NodeRef> inputs) = nullptr;
  /// The results in plans for a device, where it has a step of its own for this; else empty: it is
  /// expanded there too.
  std::vector<NodeRef> (*on_device)(GraphBuilder&, const Node&,
                                    std::span<const NodeRef> inputs) = nullptr;

  [[nodiscard]] constexpr bool needs_value(std::size_t operand) const {
    return (values >> (operand < 31 ? operand : 31) & 1u) != 0;
  }
  [[nodiscard]] std::vector<NodeRef> results(GraphBuilder& builder, const Node& node,
                                             std::span<const NodeRef> inputs) const {
    if (expand_all) return expand_all(builder, node, inputs);
    return {expand(builder, node, inputs)};
  }
};

/// Implemented by the runtime, keyed by this enum.
enum class ExternKind : std::uint8_t {
  // (table (R, ...), indices int) -> indices.shape + table.shape[1:]; IndexError out of range
  gather_rows,
  // (rows, indices, table for its type): zeros of the table's type, rows added in order
  scatter_add_rows,
  random_uniform,
  random_normal,
  random_bernoulli,
  random_integer,
  random_distribution,  // parameters -> draws; DistributionAttrs: runtime/extern_random.cpp
  gather,       // take_along_axis
  scatter_add,  // its transpose: (values, indices, array for its type)
  // runtime/extern_ordering.cpp
  sort,          // along one axis, stable -> values, int64 positions
  topk,          // the k first of that order -> values, int64 positions
  cumulate,      // running sums, products, extremes along one axis
  searchsorted,  // (sorted, values) -> positions
  count_bins,    // histogram of non-negative integers, with or without weights
  nonzero,       // the positions of the first n true elements, flattened
  // runtime/extern_indexing.cpp
  scatter,  // (array, indices, values): a copy of the array with elements along an axis replaced or
            // combined
  scatter_rows,  // (array, flat row indices, rows): the same for whole rows
  // runtime/extern_spatial.cpp
  fold,  // transpose of sliding windows: overlapping windows added up
  // runtime/extern_linalg.cpp: LAPACK, batch by batch
  cholesky,
  lu,     // -> packed factors, int64 pivots
  qr,     // -> Q, R
  svd,    // -> U, S, Vh
  eigh,   // -> values, vectors
  eig,    // -> values, vectors, both complex
  solve_triangular,
  // runtime/extern_fourier.cpp
  fft,  // of complex rows, along the last axis
  // codegen/cuda/attention_text.h: on devices alone
  attention,           // (query, key, value[, mask]) -> result, logsumexp
  attention_backward,  // operands of attention_grad -> cotangents of query, key, value
  // runtime/extern.cpp
  callback,  // a user's function over arrays: HostObject in its attributes
  result,    // result i (GetAttrs) of a node with several: no work
};
struct Extern {
  ExternKind kind;
};
/// What the processor has no form of: Expansion::on_device.
constexpr bool only_on_devices(ExternKind kind) {
  return kind == ExternKind::attention || kind == ExternKind::attention_backward;
}

using Meaning =
    std::variant<Leaf, Pointwise, View, Reduction, ContractionMeaning, Expansion, Extern, Regions>;

// ---- gradient, reference, samples ---------------------------------------------------------------

/// `y = op(x...)`, `g` the cotangent of y. Returns one cotangent an operand; an empty Expr where
/// there is none. For pointwise operations the pass itself sums over broadcast axes and casts to
/// the operand's dtype.
struct GradArgs;
using GradRule = std::vector<Expr> (*)(const GradArgs&);

/// Values for the naive references: everything widened to double, C order.
struct RefArray {
  DType dtype = DType::float64;
  Shape shape;
  std::vector<double> data;
};
struct Reference {
  double (*unary)(double) = nullptr;
  double (*binary)(double, double) = nullptr;
  RefArray (*general)(std::span<const RefArray>, const Attrs&) = nullptr;
  /// Of rows with several results: all of them.
  std::vector<RefArray> (*results)(std::span<const RefArray>, const Attrs&) = nullptr;
};

struct SampleOperand {
  Shape shape;
  double lo = -2, hi = 2;           // uniform in this range (integers rounded)
  std::optional<DType> fixed = {};  // dtype that does not follow the sample's (indices, conditions)
};
struct Sample {
  std::vector<SampleOperand> operands;
  Attrs attrs = {};
};
struct Samples {
  std::vector<Sample> (*make)() = nullptr;
  enum Dtypes : std::uint8_t {
    floats = 1,
    integers = 2,
    booleans = 4,
    numeric = 3,
    all = 7
  } dtypes = floats;
  double ulp = 1;  // float32 against the reference in double, in ulps of the result (of the sum of
                   // magnitudes for reductions and contractions; of a contraction over K terms,
                   // whose order is the library's, sqrt(K) where that is more)
};

struct Op {
  std::string_view name;
  std::string_view doc;                // one line, no full stop
  int min_inputs = 1, max_inputs = 1;  // -1: any number
  InferRule infer = nullptr;
  Meaning meaning = Leaf{};
  GradRule grad = nullptr;  // null: not differentiable, and says so when asked
  Reference reference = {};
  Samples samples = {};
  std::string_view onnx = {};         // ONNX operator, empty for none
  AttrsParser parse_attrs = nullptr;  // null: takes no attributes
  std::uint32_t type_only = 0;  // bit i: operand i is taken for its type only; bit 31: 31 and beyond
  bool has_identity = false;  // never interned: placeholders, random operations, callbacks
  /// Types of results 1, 2, … of a multi-result operation; null for one result.
  std::vector<Type> (*infer_extra)(const InferContext&) = nullptr;

  [[nodiscard]] constexpr bool takes_type_only(std::size_t operand) const {
    return (type_only >> (operand < 31 ? operand : 31) & 1u) != 0;
  }
};

/// All rows, family after family. Deterministic order.
std::span<const Op* const> all_ops();
const Op* find_op(std::string_view name);

/// The scalar program of a pointwise node: stored operand dtypes in, stored result dtype out,
/// conversions included. Inputs are numbered as operands are. float16 and bfloat16 are rounded
/// after every operation.
ScalarProgram pointwise_program(const Node&);
/// One element of `from` as stored to `to` as stored.
ScalarProgram conversion_program(DType from, DType to);

}  // namespace weft::ir
