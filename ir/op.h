// One operation, one row. An `Op` is a constant-initialised table entry in the file of its family under ir/ops/; all
// else (constant folding, interpreter, backends, labels, docs table, text form, ONNX, generated tests) derives from it.
//
// The meaning of an operation is one of six (leaves apart). Backends and passes switch over the meaning, never over names.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
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

// ---- type rules ----------------------------------------------------------------------------------------------------

struct InferContext {
  const Op& op;
  std::span<const NodeRef> inputs;   // nodes, so that a rule may read a constant operand's value
  const Attrs& attrs;
  SourceLocation where;

  [[nodiscard]] const Type& type(std::size_t i) const { return inputs[i]->type(); }
  /// `add of float32(2, 3) and float32(4,)`: how every message begins.
  [[nodiscard]] std::string describe() const;
};
/// Result type from operand types, any of which may be partly unknown; throws ShapeError or DTypeError.
using InferRule = Type (*)(const InferContext&);

// ---- the six meanings ----------------------------------------------------------------------------------------------

struct Leaf {};   // input, constant

/// How operand dtypes meet in a pointwise operation.
enum class OperandRule : std::uint8_t {
  same,        // operands promoted; result the promoted dtype; any dtype
  arithmetic,  // as `same`; booleans become … (add is or, mul is and, as in PyTorch; others DTypeError)
  floating,    // as `same`, but integers and booleans become the default dtype first (exp, true division)
  compare,     // operands promoted; result boolean
  logical,     // operands converted to boolean; result boolean
  bitwise,     // integers and booleans only
  choose,      // operand 0 to boolean; the rest promoted (where)
  cast,        // result dtype from CastAttrs
  predicate,   // one operand as it is; result boolean (isnan)
};

/// Elementwise with NumPy broadcasting. `emit` gets operands already converted to the compute dtype (float32 for
/// float16 and bfloat16) and returns the result in it; conversion to the stored dtype is added around it.
struct Pointwise {
  OperandRule operands;
  ScalarValue (*emit)(ScalarBuilder&, std::span<const ScalarValue> operands, const Attrs&);
};

/// Element (o0, o1, …) of the result is element (axes[0](o), axes[1](o), …) of operand 0.
struct ViewMap {
  struct AxisExpr {
    std::vector<std::pair<int, Dim>> terms;   // output axis, multiplier
    Dim offset = 0;
  };
  std::vector<AxisExpr> axes;                 // one an operand axis
};
/// A reshape has no such map: `map` returns nullopt and the result is operand 0's elements in row-major order.
struct View {
  std::optional<ViewMap> (*map)(const Node&);
};

/// A reduction over the axes in ReduceAttrs: lift each element to accumulators, combine, finish.
/// Accumulators start at `identity`; `combine` is associative up to rounding and is applied in canonical order.
struct ReductionDef {
  std::vector<DType> accumulators;
  std::vector<std::uint64_t> identity;  // bits, one an accumulator
  ScalarProgram lift;      // (element as stored, position along the flattened reduced axes: int64) -> accumulators
  ScalarProgram combine;   // (accumulators a…, accumulators b…) -> accumulators; a comes first in canonical order
  ScalarProgram finish;    // (accumulators…) -> result as stored
};
struct Reduction {
  ReductionDef (*define)(const Node&);
};

/// Sum of products by subscripts as in einsum: one label an axis. Labels in `a` and `b` but not in `out` are summed.
struct ContractionDef {
  std::string a, b, out;
};
struct ContractionMeaning {
  ContractionDef (*define)(const Node&);
};

/// Stands for an expression of other operations.
struct Expansion {
  NodeRef (*expand)(GraphBuilder&, const Node&, std::span<const NodeRef> inputs);
};

/// Implemented by the runtime, keyed by this enum.
enum class ExternKind : std::uint8_t {
  gather_rows,        // (table (R, ...), indices int) -> indices.shape + table.shape[1:]; IndexError out of range
  scatter_add_rows,   // (zeros-like extent R from operand 2's type, indices, rows) see its row
  random_uniform, random_normal, random_bernoulli, random_integer,
  gather,             // take_along_axis
  scatter_add,        // its transpose
  sort, cumulate,
  callback,           // a user's function over arrays: HostObject in its attributes
  control,            // cond, while_loop, scan: graphs in its attributes
};
struct Extern {
  ExternKind kind;
};

using Meaning = std::variant<Leaf, Pointwise, View, Reduction, ContractionMeaning, Expansion, Extern>;

// ---- gradient, reference, samples ----------------------------------------------------------------------------------

/// `y = op(x...)`, `g` the cotangent of y. Returns one cotangent an operand; an empty Expr where there is none. For
/// pointwise operations the pass itself sums over broadcast axes and casts to the operand's dtype.
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
};

struct SampleOperand {
  Shape shape;
  double lo = -2, hi = 2;      // uniform in this range (integers rounded)
  std::optional<DType> fixed;  // dtype that does not follow the sample's (indices, conditions)
};
struct Sample {
  std::vector<SampleOperand> operands;
  Attrs attrs;
};
struct Samples {
  std::vector<Sample> (*make)() = nullptr;
  enum Dtypes : std::uint8_t { floats = 1, integers = 2, booleans = 4, numeric = 3, all = 7 } dtypes = floats;
  double ulp = 1;              // float32 against the reference in double, in ulps of the result (of the sum of
                               // magnitudes for reductions and contractions)
};

struct Op {
  std::string_view name;
  std::string_view doc;             // one line, no full stop
  int min_inputs = 1, max_inputs = 1;   // -1: any number
  InferRule infer = nullptr;
  Meaning meaning;
  GradRule grad = nullptr;          // null: not differentiable, and says so when asked
  Reference reference;
  Samples samples;
  std::string_view onnx;            // ONNX operator, empty for none
  AttrsParser parse_attrs = nullptr;    // null: takes no attributes
  std::uint32_t type_only = 0;      // bit i: operand i is taken for its type only
  bool has_identity = false;        // never interned: placeholders, random operations, callbacks
  /// Types of results 1, 2, … of a multi-result operation; null for one result.
  std::vector<Type> (*infer_extra)(const InferContext&) = nullptr;
};

/// All rows, family after family. Deterministic order.
std::span<const Op* const> all_ops();
const Op* find_op(std::string_view name);

/// The scalar program of a pointwise node: stored operand dtypes in, stored result dtype out, conversions included.
ScalarProgram pointwise_program(const Node&);

}  // namespace weft::ir
