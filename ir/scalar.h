// Scalar programs: straight-line SSA over about forty scalar opcodes. They are the meaning of
// pointwise operations, the combine step of reductions and the body of every kernel stage. Data,
// not templates: the interpreter, LLVM and CUDA backends switch over `ScalarOp` exhaustively and
// over nothing else.
//
// Invariants: an instruction refers only to earlier ones; result dtypes are stored; float16 appears
// only in `input`, `constant`, `convert` and `bitcast` (arithmetic is float32); bfloat16 and
// complex never appear: the builder lowers bfloat16 to uint16 bit arithmetic and complex to pairs.
// No instruction has undefined behaviour: see the notes at each opcode. Floats are IEEE, round to
// nearest even, denormals kept, never contracted: `fma` happens only where it is written. Sign and
// payload of a NaN that an operation gives are unspecified (so x*1 is x); `select`, `bitcast`,
// `lookup` and conversions between integers move bits unchanged. Booleans take bit operations,
// comparisons, `select` and `convert` alone. A `convert` from or to float16 has float32 on its
// other side. The builder's `convert` sees to that: float64 to a 16-bit float rounds twice, as
// PyTorch's does.
#pragma once

#include <bit>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "ir/dtype.h"

namespace weft::ir {

enum class ScalarOp : std::uint8_t {
  input,      // imm: input number
  constant,   // imm: bits, zero-extended
  index,      // imm: axis of the kernel's iteration space; the coordinate, as int64
  add, sub, mul,  // integers wrap
  div,        // integers truncate; x/0 = 0; MIN/-1 = MIN
  rem,        // sign of the dividend (fmod for floats); integers: x%0 = 0
  neg, abs,   // integers wrap
  fma,        // a*b+c rounded once; floats only
  mulhi,      // upper half of the double-width integer product; 32 and 64 bit integers
  scale,      // a * 2^b rounded once; float32. The program keeps b whole and within -252 and 252 (NaN
              // where a is), and a such that a * 2^(b/2) is exact or the result 0
  ratio,      // a / b rounded once; float32. The program keeps |b| within 2^-125 and 2^125; a is 0, or
              // b a power of two, or else |a| >= 2^-100 and |a / b| within b's limits (NaN where an
              // operand is)
  minimum, maximum,  // floats: NaN if either is NaN; -0 < +0
  sqrt, floor, ceil, trunc, rint,  // floats; rint: half to even
  bit_and, bit_or, bit_xor, bit_not,  // integers and booleans
  shl, shr,   // signed shr is arithmetic; a count >= width gives 0 (-1 where a negative is shifted)
  eq, ne, lt, le,  // boolean; ordered except ne (true when either is NaN)
  select,     // a (boolean) ? b : c
  convert,    // numeric; float to integer truncates and saturates, NaN gives 0; to boolean: x != 0
  bitcast,    // same width
  lookup,     // imm: table; a: int32 index, which the program keeps within the table
};
inline constexpr int scalar_op_count = static_cast<int>(ScalarOp::lookup) + 1;
std::string_view name(ScalarOp);
/// Number of operands: 0 to 3.
int arity(ScalarOp);
/// Whether exchanging the two operands changes no bit (of what is no NaN).
bool commutes(ScalarOp);

struct ScalarInst {
  ScalarOp op;
  DType dtype;               // of the result
  std::int32_t a = -1, b = -1, c = -1;
  std::uint64_t imm = 0;
  friend bool operator==(const ScalarInst&, const ScalarInst&) = default;
};

/// A constant table for `lookup`, elements as bits of `dtype`.
struct ScalarTable {
  DType dtype;
  std::vector<std::uint64_t> bits;
  friend bool operator==(const ScalarTable&, const ScalarTable&) = default;
};

struct ScalarProgram {
  std::vector<DType> inputs;  // dtypes as stored in buffers (bfloat16 arrives as uint16)
  std::vector<ScalarInst> code;
  std::vector<ScalarTable> tables;
  std::vector<std::int32_t> outputs;  // instruction numbers

  [[nodiscard]] DType output_dtype(std::size_t i) const {
    return code[static_cast<std::size_t>(outputs[i])].dtype;
  }
  friend bool operator==(const ScalarProgram&, const ScalarProgram&) = default;
};

/// Text form, one instruction a line, exact both ways; `parse_scalar_program` throws ParseError
/// with line and column:
///   inputs float32 uint16
///   table float32 0.5 1.5
///   %0 = input.float32 0
///   %1 = constant.float32 2.5        (shortest decimal; 0x bits for float16, infinities and NaN)
///   %2 = fma.float32 %0 %1 %1
///   outputs %2
/// `index` and `lookup` end with their axis and table number.
std::string to_string(const ScalarProgram&);
ScalarProgram parse_scalar_program(std::string_view text);
/// Throws Error (our own bug) naming the instruction that breaks an invariant.
void verify(const ScalarProgram&);
/// What is wrong with instruction `i`, given that the earlier ones are right; empty where nothing
/// is.
std::string problem_at(const ScalarProgram&, std::size_t i);

class ScalarBuilder;

/// An instruction's result while a program is being built. Operators fold constants and emit into
/// the builder.
class ScalarValue {
 public:
  ScalarValue() = default;
  ScalarValue(ScalarBuilder* builder, std::int32_t id) : builder_(builder), id_(id) {}
  [[nodiscard]] ScalarBuilder& builder() const { return *builder_; }
  [[nodiscard]] std::int32_t id() const { return id_; }
  [[nodiscard]] DType dtype() const;

 private:
  ScalarBuilder* builder_ = nullptr;
  std::int32_t id_ = -1;
};

/// Builds one program. Instructions are interned (equal ones are emitted once) and folded when all
/// operands are constants, by the same evaluator as the interpreter's. Operand dtypes must agree;
/// both mistakes assert.
class ScalarBuilder {
 public:
  /// bfloat16 is declared as uint16 and comes back as a uint16 value of its bits, for `convert(x,
  /// bfloat16, ...)`.
  ScalarValue input(int number, DType stored);
  ScalarValue constant(DType dtype,
                       double value);  // converted to dtype, saturating; bfloat16 gives uint16 bits
  ScalarValue constant_int(DType dtype, std::int64_t value);
  ScalarValue constant_bits(DType dtype, std::uint64_t bits);
  ScalarValue index(int axis);
  ScalarValue emit(ScalarOp op, DType result, ScalarValue a, ScalarValue b = {}, ScalarValue c = {},
                   std::uint64_t imm = 0);
  /// Converts between any two non-complex dtypes, bfloat16 (held as uint16 bits, `from`/`to` say
  /// so) included.
  ScalarValue convert(ScalarValue x, DType from, DType to);
  ScalarValue lookup(const ScalarTable& table, ScalarValue index);
  /// Copies `program` in with its inputs replaced; returns its outputs.
  std::vector<ScalarValue> inline_program(const ScalarProgram& program,
                                          std::span<const ScalarValue> inputs);
  /// Removes what no output needs and renumbers; inputs keep their numbers and dtypes.
  ScalarProgram finish(std::span<const ScalarValue> outputs);
  [[nodiscard]] DType dtype(std::int32_t id) const {
    return program_.code[static_cast<std::size_t>(id)].dtype;
  }
  [[nodiscard]] const ScalarInst& inst(std::int32_t id) const {
    return program_.code[static_cast<std::size_t>(id)];
  }

 private:
  /// The number of `inst`, appended unless an equal one stands already.
  ScalarValue intern(const ScalarInst& inst);
  [[nodiscard]] bool is_constant(std::int32_t id) const {
    return id >= 0 && inst(id).op == ScalarOp::constant;
  }
  /// The earlier value that `inst` always equals bit for bit, or -1.
  [[nodiscard]] std::int32_t same_as(const ScalarInst& inst) const;

  ScalarProgram program_;
  std::unordered_map<std::size_t, std::vector<std::int32_t>>
      interned_;  // hash of an instruction -> numbers
};

/// The bits that `op` gives for constant operand bits: the one definition of every opcode's
/// meaning, used for folding and as the reference of the backends' own tests. `operand` is the
/// dtype of the operands (of b and c for select).
std::uint64_t evaluate(ScalarOp op, DType result, DType operand, std::uint64_t a, std::uint64_t b,
                       std::uint64_t c);

// Spelled as mathematics. Both operands have one dtype; a plain number takes the other's.
ScalarValue operator+(ScalarValue, ScalarValue);
ScalarValue operator-(ScalarValue, ScalarValue);
ScalarValue operator*(ScalarValue, ScalarValue);
ScalarValue operator/(ScalarValue, ScalarValue);
ScalarValue operator-(ScalarValue);
ScalarValue operator&(ScalarValue, ScalarValue);
ScalarValue operator|(ScalarValue, ScalarValue);
ScalarValue operator^(ScalarValue, ScalarValue);
ScalarValue operator~(ScalarValue);
ScalarValue operator+(ScalarValue, double);
ScalarValue operator+(double, ScalarValue);
ScalarValue operator-(ScalarValue, double);
ScalarValue operator-(double, ScalarValue);
ScalarValue operator*(ScalarValue, double);
ScalarValue operator*(double, ScalarValue);
ScalarValue operator/(ScalarValue, double);
ScalarValue operator/(double, ScalarValue);
ScalarValue shl(ScalarValue, int);
ScalarValue shr(ScalarValue, int);
ScalarValue eq(ScalarValue, ScalarValue);
ScalarValue ne(ScalarValue, ScalarValue);
ScalarValue lt(ScalarValue, ScalarValue);
ScalarValue le(ScalarValue, ScalarValue);
ScalarValue gt(ScalarValue, ScalarValue);
ScalarValue ge(ScalarValue, ScalarValue);
ScalarValue lt(ScalarValue, double);
ScalarValue gt(ScalarValue, double);
ScalarValue le(ScalarValue, double);
ScalarValue ge(ScalarValue, double);
ScalarValue eq(ScalarValue, double);
ScalarValue select(ScalarValue condition, ScalarValue yes, ScalarValue no);
ScalarValue fma(ScalarValue, ScalarValue, ScalarValue);
ScalarValue scale(ScalarValue, ScalarValue power);
ScalarValue ratio(ScalarValue, ScalarValue);
ScalarValue minimum(ScalarValue, ScalarValue);
ScalarValue maximum(ScalarValue, ScalarValue);
ScalarValue sqrt(ScalarValue);
ScalarValue abs(ScalarValue);
ScalarValue floor(ScalarValue);
ScalarValue ceil(ScalarValue);
ScalarValue trunc(ScalarValue);
ScalarValue rint(ScalarValue);
ScalarValue bitcast(ScalarValue, DType);

}  // namespace weft::ir
