#include "codegen/cuda/scalar_text.h"

#include <algorithm>
#include <cstdio>
#include <optional>

#include "codegen/cuda/cuda_text.h"
#include "codegen/cuda/native_functions.h"

namespace weft::codegen {

using ir::ScalarInst;
using ir::ScalarOp;

std::string cat(std::initializer_list<std::string_view> pieces) {
  std::string all;
  for (const std::string_view piece : pieces) all.append(piece);
  return all;
}

/// A float16 is its bits.
std::string_view cuda_type(DType t) {
  switch (t) {
    case DType::boolean: return "bool";
    case DType::uint8: return "unsigned char";
    case DType::int8: return "signed char";
    case DType::int16: return "short";
    case DType::int32: return "int";
    case DType::int64: return "weft_i64";
    case DType::uint16:
    case DType::float16:
    case DType::bfloat16: return "unsigned short";
    case DType::uint32: return "unsigned";
    case DType::uint64: return "weft_u64";
    case DType::float32: return "float";
    case DType::float64: return "double";
    case DType::complex64: return "weft_complex<float>";  // in products alone
    case DType::complex128: return "weft_complex<double>";
  }
  __builtin_unreachable();
}

std::string literal(DType t, std::uint64_t bits) {
  char hex[32];
  std::snprintf(hex, sizeof hex, "0x%llx", static_cast<unsigned long long>(bits));
  if (t == DType::boolean) return bits != 0 ? "true" : "false";
  if (t == DType::float32) return cat({"__uint_as_float(", hex, "u)"});
  if (t == DType::float64) return cat({"__longlong_as_double((weft_i64)", hex, "ull)"});
  return cat({"(", cuda_type(t), ")", hex, "ull"});
}

namespace {

std::string call(std::string_view function, std::initializer_list<std::string_view> arguments) {
  std::string text = cat({function, "("});
  for (const std::string_view a : arguments) {
    if (text.back() != '(') text.append(", ");
    text.append(a);
  }
  return text.append(")");
}

std::string infix(std::string_view a, std::string_view op, std::string_view b) {
  return cat({a, " ", op, " ", b});
}

/// Unsigned, of the same width.
DType word_of(DType t) {
  switch (size_of(t)) {
    case 1: return t == DType::boolean ? t : DType::uint8;
    case 2: return DType::uint16;
    case 4: return DType::uint32;
  }
  return DType::uint64;
}

std::string convert(DType from, DType to, std::string_view a) {
  if (to == DType::boolean) return cat({a, " != (", cuda_type(from), ")0"});
  if (to == DType::float16) return call("weft_float_to_half", {a});
  if (from == DType::float16) return call("weft_half_to_float", {a});
  const std::string type(cuda_type(to));
  if (is_floating(from) && is_integer(to)) return call(cat({"weft_saturate<", type, ">"}), {a});
  return cat({"(", type, ")", a});
}

/// Of dtype `t` are the operands.
std::string expression(const ScalarInst& i, DType t, const std::string& a, const std::string& b,
                       const std::string& c, std::string_view tables) {
  const bool floating = is_floating(t);
  const std::string_view f = t == DType::float32 ? "f" : "";  // fmaf and fma
  const std::string type(cuda_type(i.dtype));
  const auto whole = [&](std::string text) {
    return cat({"(", type, ")(", text, ")"});
  };  // integers promote to int
  switch (i.op) {
    case ScalarOp::add: return floating ? infix(a, "+", b) : call("weft_add", {a, b});
    case ScalarOp::sub: return floating ? infix(a, "-", b) : call("weft_sub", {a, b});
    case ScalarOp::mul: return floating ? infix(a, "*", b) : call("weft_mul", {a, b});
    case ScalarOp::div: return floating ? infix(a, "/", b) : call("weft_div", {a, b});
    case ScalarOp::rem: return floating ? call(cat({"fmod", f}), {a, b}) : call("weft_rem", {a, b});
    case ScalarOp::neg: return floating ? cat({"-", a}) : call("weft_neg", {a});
    case ScalarOp::abs: return floating ? call(cat({"fabs", f}), {a}) : call("weft_abs", {a});
    case ScalarOp::fma: return call(cat({"fma", f}), {a, b, c});
    case ScalarOp::mulhi: return call("weft_mulhi", {a, b});
    case ScalarOp::scale: return call("weft_scale", {a, b});
    case ScalarOp::ratio:
      return a == literal(t, 0x3f800000) ? call("weft_reciprocal", {b})
                                         : call("weft_ratio", {a, b});
    case ScalarOp::minimum: return call("weft_min", {a, b});
    case ScalarOp::maximum: return call("weft_max", {a, b});
    case ScalarOp::sqrt: return call(cat({"sqrt", f}), {a});
    case ScalarOp::floor: return call(cat({"floor", f}), {a});
    case ScalarOp::ceil: return call(cat({"ceil", f}), {a});
    case ScalarOp::trunc: return call(cat({"trunc", f}), {a});
    case ScalarOp::rint: return call(cat({"rint", f}), {a});
    case ScalarOp::bit_and: return whole(infix(a, "&", b));
    case ScalarOp::bit_or: return whole(infix(a, "|", b));
    case ScalarOp::bit_xor: return whole(infix(a, "^", b));
    case ScalarOp::bit_not: return t == DType::boolean ? cat({"!", a}) : whole(cat({"~", a}));
    case ScalarOp::shl: return call("weft_shl", {a, b});
    case ScalarOp::shr: return call("weft_shr", {a, b});
    case ScalarOp::eq: return infix(a, "==", b);
    case ScalarOp::ne: return infix(a, "!=", b);
    case ScalarOp::lt: return infix(a, "<", b);
    case ScalarOp::le: return infix(a, "<=", b);
    case ScalarOp::select: return cat({a, " ? ", b, " : ", c});
    case ScalarOp::convert: return convert(t, i.dtype, a);
    case ScalarOp::bitcast: return call(cat({"weft_bits<", type, ">"}), {a});
    case ScalarOp::lookup:
      return cat({"weft_bits<", type, ">(", tables, std::to_string(i.imm), "[", a, "])"});
    case ScalarOp::input:
    case ScalarOp::constant:
    case ScalarOp::index: break;
  }
  return {};
}

/// Sequences of opcodes that a device has one instruction for.
class Idioms {
 public:
  explicit Idioms(const ir::ScalarProgram& p) : p_(p) {}

  /// The float32 that instruction `n` rounds to the bits of a bfloat16, as ScalarBuilder::convert
  /// spells it; -1 where it does something else.
  [[nodiscard]] std::int32_t rounded_to_brain(std::int32_t n) const {
    if (!is(n, ScalarOp::convert) || at(n).dtype != DType::uint16) return -1;
    const std::int32_t chosen = beside(at(n).a, ScalarOp::shr, 16);
    if (!is(chosen, ScalarOp::select) || !is(at(chosen).a, ScalarOp::ne)) return -1;
    const ScalarInst& nan = at(at(chosen).a);
    const std::int32_t bits = beside(at(chosen).b, ScalarOp::bit_or, 0x400000);
    const bool of_float = nan.a == nan.b && at(nan.a).dtype == DType::float32 &&
                          is(bits, ScalarOp::bitcast) && at(bits).a == nan.a;
    if (!of_float || !is(at(chosen).c, ScalarOp::add)) return -1;
    const auto rounds = [&](std::int32_t half, std::int32_t odd) {
      return beside(half, ScalarOp::add, 0x7fff) == bits &&
             beside(beside(odd, ScalarOp::bit_and, 1), ScalarOp::shr, 16) == bits;
    };
    const ScalarInst& sum = at(at(chosen).c);
    return rounds(sum.a, sum.b) || rounds(sum.b, sum.a) ? nan.a : -1;
  }

  /// The function that a choice of the lesser or greater of a number and a constant is, which is
  /// neither 0 nor NaN; empty where instruction `n` is none.
  [[nodiscard]] std::string_view clamp(std::int32_t n) const {
    if (!is(n, ScalarOp::select) || !is(at(n).a, ScalarOp::lt)) return {};
    const ScalarInst& choice = at(n);
    const ScalarInst& less = at(choice.a);
    const bool as_is = choice.b == less.a && choice.c == less.b,
               swapped = choice.b == less.b && choice.c == less.a;
    if (at(less.a).dtype != DType::float32 || !(as_is || swapped)) return {};
    // NaN compares as not less, so it is the last operand that stands then.
    if (is_limit(choice.c)) return as_is ? "fminf" : "fmaxf";
    if (is_limit(choice.b)) return as_is ? "weft_min" : "weft_max";
    return {};
  }

 private:
  [[nodiscard]] const ScalarInst& at(std::int32_t n) const {
    return p_.code[static_cast<std::size_t>(n)];
  }
  [[nodiscard]] bool is(std::int32_t n, ScalarOp op) const { return n >= 0 && at(n).op == op; }
  /// The operand that `n` has beside this constant.
  [[nodiscard]] std::int32_t beside(std::int32_t n, ScalarOp op, std::uint64_t value) const {
    if (!is(n, op)) return -1;
    const auto constant = [&](std::int32_t o) {
      return is(o, ScalarOp::constant) && at(o).imm == value;
    };
    return constant(at(n).b) ? at(n).a : constant(at(n).a) ? at(n).b : -1;
  }
  [[nodiscard]] bool is_limit(std::int32_t n) const {
    const std::uint64_t size = is(n, ScalarOp::constant) ? at(n).imm & 0x7fffffff : 0;
    return size > 0 && size <= 0x7f800000;
  }

  const ir::ScalarProgram& p_;
};

}  // namespace

std::vector<std::string> write_program(TextWriter& out, const ir::ScalarProgram& p,
                                       const std::vector<std::string>& inputs,
                                       const std::vector<std::string>& coordinates,
                                       std::string_view prefix, std::string_view tables) {
  std::vector<std::string> names;
  const Idioms idioms(p);
  const auto at = [&](std::int32_t o) {
    return o >= 0 ? names[static_cast<std::size_t>(o)] : std::string();
  };
  for (std::size_t n = 0; n < p.code.size(); ++n) {
    const ScalarInst& i = p.code[n];
    if (i.op == ScalarOp::input) {
      names.push_back(inputs[i.imm]);
    } else if (i.op == ScalarOp::constant) {
      names.push_back(literal(i.dtype, i.imm));
    } else if (i.op == ScalarOp::index) {
      names.push_back(cat({"(weft_i64)", coordinates[i.imm]}));
    } else {
      const DType operand =
          p.code[static_cast<std::size_t>(i.op == ScalarOp::select ? i.b : i.a)].dtype;
      names.push_back(cat({prefix, std::to_string(n)}));
      const auto number = static_cast<std::int32_t>(n);
      const std::int32_t rounded = idioms.rounded_to_brain(number);
      const std::string_view clamp = idioms.clamp(number);
      const std::string value = rounded >= 0 ? call("weft_float_to_brain", {at(rounded)})
                                : !clamp.empty()
                                    ? call(clamp, {at(i.b), at(i.c)})
                                    : expression(i, operand, at(i.a), at(i.b), at(i.c), tables);
      const auto define = [&](std::string_view as) {
        out.line(cat({"const ", cuda_type(i.dtype), " ", names.back(), " = ", as, ";"}));
      };
      const std::optional<NativeCall> native = native_call(p, number);
      if (native) {
        const auto& [x, y] = native->operands;
        out.line("#ifdef WEFT_FAST_MATH");
        define(y < 0 ? call(native->function, {at(x)}) : call(native->function, {at(x), at(y)}));
        out.line("#else");
      }
      define(value);
      if (native) out.line("#endif");
    }
  }
  std::vector<std::string> outputs;
  for (const std::int32_t o : p.outputs) outputs.push_back(at(o));
  return outputs;
}

bool reads_input(const ir::ScalarProgram& p, std::size_t number) {
  return std::any_of(p.code.begin(), p.code.end(), [&](const ScalarInst& i) {
    return i.op == ScalarOp::input && i.imm == number;
  });
}

/// As words: a device array takes no initialiser that is computed.
void write_tables(TextWriter& out, const ir::ScalarProgram& p, std::string_view prefix) {
  for (std::size_t t = 0; t < p.tables.size(); ++t) {
    const DType word = word_of(p.tables[t].dtype);
    std::string values;
    for (const std::uint64_t bits : p.tables[t].bits)
      values.append(values.empty() ? "" : ", ").append(literal(word, bits));
    out.line(cat({"static __device__ const ", cuda_type(word), " ", prefix, std::to_string(t),
                  "[] = {", values, "};"}));
  }
}

}  // namespace weft::codegen
