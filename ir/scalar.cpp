// Opcodes, the invariants of programs, and the builder.
#include "ir/scalar.h"

#include <array>
#include <cassert>

#include "ir/error.h"

namespace weft::ir {
namespace {

struct OpInfo {
  std::string_view name;
  int arity;
};

constexpr std::array<OpInfo, scalar_op_count> op_infos{{
    {"input", 0}, {"constant", 0}, {"index", 0}, {"add", 2}, {"sub", 2}, {"mul", 2},
    {"div", 2}, {"rem", 2}, {"neg", 1}, {"abs", 1}, {"fma", 3}, {"mulhi", 2},
    {"scale", 2}, {"ratio", 2}, {"minimum", 2}, {"maximum", 2}, {"sqrt", 1}, {"floor", 1},
    {"ceil", 1}, {"trunc", 1}, {"rint", 1}, {"bit_and", 2}, {"bit_or", 2}, {"bit_xor", 2}, {"bit_not", 1},
    {"shl", 2}, {"shr", 2}, {"eq", 2}, {"ne", 2}, {"lt", 2}, {"le", 2},
    {"select", 3}, {"convert", 1}, {"bitcast", 1}, {"lookup", 1},
}};

const OpInfo& info(ScalarOp op) { return op_infos[static_cast<std::size_t>(op)]; }

bool is_wide_float(DType t) { return t == DType::float32 || t == DType::float64; }
bool is_numeric(DType t) { return is_integer(t) || is_wide_float(t); }
bool is_bits(DType t) { return is_integer(t) || t == DType::boolean; }
bool is_holdable(DType t) { return t != DType::bfloat16 && !is_complex(t); }

bool fits(std::uint64_t bits, DType t) {
  if (t == DType::boolean) return bits <= 1;
  const auto width = 8 * size_of(t);
  return width >= 64 || bits >> width == 0;
}

/// Whether `op` is defined on operands of `operand` giving `result`; a select's operand is its
/// second.
bool dtypes_agree(ScalarOp op, DType result, DType operand) {
  switch (op) {
    case ScalarOp::input:
    case ScalarOp::constant: return is_holdable(result);
    case ScalarOp::index: return result == DType::int64;
    case ScalarOp::add:
    case ScalarOp::sub:
    case ScalarOp::mul:
    case ScalarOp::div:
    case ScalarOp::rem:
    case ScalarOp::neg:
    case ScalarOp::abs:
    case ScalarOp::minimum:
    case ScalarOp::maximum: return is_numeric(operand) && result == operand;
    case ScalarOp::fma:
    case ScalarOp::sqrt:
    case ScalarOp::floor:
    case ScalarOp::ceil:
    case ScalarOp::trunc:
    case ScalarOp::rint: return is_wide_float(operand) && result == operand;
    case ScalarOp::scale:
    case ScalarOp::ratio: return operand == DType::float32 && result == operand;
    case ScalarOp::mulhi: return is_integer(operand) && size_of(operand) >= 4 && result == operand;
    case ScalarOp::bit_and:
    case ScalarOp::bit_or:
    case ScalarOp::bit_xor:
    case ScalarOp::bit_not: return is_bits(operand) && result == operand;
    case ScalarOp::shl:
    case ScalarOp::shr: return is_integer(operand) && result == operand;
    case ScalarOp::eq:
    case ScalarOp::ne:
    case ScalarOp::lt:
    case ScalarOp::le:
      return (is_numeric(operand) || operand == DType::boolean) && result == DType::boolean;
    case ScalarOp::select:
      return (is_numeric(operand) || operand == DType::boolean) && result == operand;
    case ScalarOp::convert:
      if (result == DType::float16) return operand == DType::float32;
      if (operand == DType::float16) return result == DType::float32;
      return is_holdable(result) && is_holdable(operand);
    case ScalarOp::bitcast:
      return is_holdable(result) && is_holdable(operand) && size_of(result) == size_of(operand) &&
             result != DType::boolean && operand != DType::boolean;
    case ScalarOp::lookup: return is_holdable(result) && operand == DType::int32;
  }
  return false;
}

std::string problem_with_operands(const ScalarProgram& p, const ScalarInst& inst, std::size_t i) {
  const std::array<std::int32_t, 3> operands{inst.a, inst.b, inst.c};
  for (int k = 0; k < 3; ++k) {
    const std::int32_t o = operands[static_cast<std::size_t>(k)];
    if (k >= arity(inst.op) && o != -1) return "has too many operands";
    if (k < arity(inst.op) && (o < 0 || static_cast<std::size_t>(o) >= i))
      return "refers to %" + std::to_string(o) + ", which is not an earlier instruction";
  }
  const auto dtype_at = [&](std::int32_t id) { return p.code[static_cast<std::size_t>(id)].dtype; };
  const bool is_select = inst.op == ScalarOp::select;
  if (is_select && dtype_at(inst.a) != DType::boolean) return "has a condition that is not boolean";
  const std::int32_t first = is_select ? inst.b : inst.a;
  const DType operand = first >= 0 ? dtype_at(first) : inst.dtype;
  for (const std::int32_t o : {inst.b, inst.c}) {
    if (o >= 0 && dtype_at(o) != operand)
      return "mixes operands of " + std::string(name(operand)) + " and " +
             std::string(name(dtype_at(o)));
  }
  if (!dtypes_agree(inst.op, inst.dtype, operand))
    return "does not take " + std::string(name(operand)) + " to " + std::string(name(inst.dtype));
  return {};
}

std::string problem_with_imm(const ScalarProgram& p, const ScalarInst& inst) {
  if (inst.op == ScalarOp::input) {
    if (inst.imm >= p.inputs.size()) return "reads an input that is not declared";
    if (p.inputs[inst.imm] != inst.dtype) return "disagrees with the declared dtype of its input";
  } else if (inst.op == ScalarOp::constant) {
    if (!fits(inst.imm, inst.dtype)) return "has bits beyond its dtype's width";
  } else if (inst.op == ScalarOp::lookup) {
    if (inst.imm >= p.tables.size()) return "names a table that is not declared";
    if (p.tables[inst.imm].dtype != inst.dtype) return "disagrees with the dtype of its table";
  } else if (inst.op != ScalarOp::index && inst.imm != 0) {
    return "has an immediate that it does not use";
  }
  return {};
}

std::size_t hash_of(const ScalarInst& inst) {
  const auto mix = [](std::uint64_t h, std::uint64_t x) {
    h = (h ^ x) * 0x9e3779b97f4a7c15u;
    return h ^ (h >> 29);
  };
  std::uint64_t h =
      mix(static_cast<std::uint64_t>(inst.op), static_cast<std::uint64_t>(inst.dtype));
  for (const std::int32_t o : {inst.a, inst.b, inst.c}) h = mix(h, static_cast<std::uint32_t>(o));
  return mix(h, inst.imm);
}

DType held(DType t) { return t == DType::bfloat16 ? DType::uint16 : t; }

std::uint64_t bits_of(double value) { return std::bit_cast<std::uint64_t>(value); }

}  // namespace

std::string_view name(ScalarOp op) { return info(op).name; }
int arity(ScalarOp op) { return info(op).arity; }
bool commutes(ScalarOp op) {
  return op == ScalarOp::add || op == ScalarOp::mul || op == ScalarOp::bit_and ||
         op == ScalarOp::bit_or || op == ScalarOp::bit_xor || op == ScalarOp::eq ||
         op == ScalarOp::ne;
}

std::string problem_at(const ScalarProgram& p, std::size_t i) {
  const std::string problem = problem_with_operands(p, p.code[i], i);
  return problem.empty() ? problem_with_imm(p, p.code[i]) : problem;
}

void verify(const ScalarProgram& p) {
  for (std::size_t i = 0; i < p.code.size(); ++i) {
    const std::string problem = problem_at(p, i);
    if (!problem.empty()) {
      throw Error("scalar program: %" + std::to_string(i) + " (" + std::string(name(p.code[i].op)) +
                  "." + std::string(name(p.code[i].dtype)) + ") " + problem);
    }
  }
  for (const ScalarTable& table : p.tables) {
    for (const std::uint64_t bits : table.bits) {
      if (!is_holdable(table.dtype) || !fits(bits, table.dtype))
        throw Error("scalar program: a table of " + std::string(name(table.dtype)) +
                    " holds other bits");
    }
  }
  for (const std::int32_t o : p.outputs) {
    if (o < 0 || static_cast<std::size_t>(o) >= p.code.size())
      throw Error("scalar program: output %" + std::to_string(o) + " is not an instruction");
  }
}

DType ScalarValue::dtype() const { return builder_->dtype(id_); }

ScalarValue ScalarBuilder::intern(const ScalarInst& inst) {
  std::vector<std::int32_t>& bucket = interned_[hash_of(inst)];
  for (const std::int32_t id : bucket) {
    if (this->inst(id) == inst) return {this, id};
  }
  const auto id = static_cast<std::int32_t>(program_.code.size());
  bucket.push_back(id);
  program_.code.push_back(inst);
  assert(problem_at(program_, program_.code.size() - 1).empty());
  return {this, id};
}

ScalarValue ScalarBuilder::input(int number, DType stored) {
  assert(number >= 0);
  const auto n = static_cast<std::size_t>(number);
  if (n >= program_.inputs.size()) program_.inputs.resize(n + 1, held(stored));
  // A gap's dtype was a guess until the input itself is asked for.
  program_.inputs[n] = held(stored);
  return intern({.op = ScalarOp::input, .dtype = held(stored), .imm = n});
}

ScalarValue ScalarBuilder::constant(DType dtype, double value) {
  if (dtype == DType::bfloat16)
    return constant_bits(DType::uint16, bfloat16(static_cast<float>(value)).bits);
  return constant_bits(dtype,
                       evaluate(ScalarOp::convert, dtype, DType::float64, bits_of(value), 0, 0));
}

ScalarValue ScalarBuilder::constant_int(DType dtype, std::int64_t value) {
  if (dtype == DType::bfloat16) return constant(dtype, static_cast<double>(value));
  const auto bits = static_cast<std::uint64_t>(value);
  return constant_bits(dtype, evaluate(ScalarOp::convert, dtype, DType::int64, bits, 0, 0));
}

ScalarValue ScalarBuilder::constant_bits(DType dtype, std::uint64_t bits) {
  return intern({.op = ScalarOp::constant, .dtype = held(dtype), .imm = bits});
}

ScalarValue ScalarBuilder::index(int axis) {
  assert(axis >= 0);
  return intern(
      {.op = ScalarOp::index, .dtype = DType::int64, .imm = static_cast<std::uint64_t>(axis)});
}

std::int32_t ScalarBuilder::same_as(const ScalarInst& i) const {
  const auto operand_is = [&](std::int32_t id, double value) {
    if (!is_constant(id)) return false;
    const std::uint64_t bits =
        evaluate(ScalarOp::convert, i.dtype, DType::float64, bits_of(value), 0, 0);
    return inst(id).imm == bits;
  };
  const bool floating = is_floating(i.dtype);
  switch (i.op) {
    case ScalarOp::add:  // x + (-0) keeps every x; x + 0 turns -0 into 0
      if (operand_is(i.b, floating ? -0.0 : 0.0)) return i.a;
      if (operand_is(i.a, floating ? -0.0 : 0.0)) return i.b;
      return -1;
    case ScalarOp::sub: return operand_is(i.b, 0.0) ? i.a : -1;
    case ScalarOp::mul:
      if (operand_is(i.b, 1.0)) return i.a;
      return operand_is(i.a, 1.0) ? i.b : -1;
    case ScalarOp::div: return operand_is(i.b, 1.0) ? i.a : -1;
    case ScalarOp::neg:
    case ScalarOp::bit_not: return inst(i.a).op == i.op ? inst(i.a).a : -1;
    case ScalarOp::bit_or:
    case ScalarOp::bit_xor:
    case ScalarOp::shl:
    case ScalarOp::shr: return operand_is(i.b, 0.0) ? i.a : -1;
    case ScalarOp::select:
      if (is_constant(i.a)) return inst(i.a).imm != 0 ? i.b : i.c;
      return i.b == i.c ? i.b : -1;
    case ScalarOp::convert:
    case ScalarOp::bitcast: return dtype(i.a) == i.dtype ? i.a : -1;
    case ScalarOp::input:
    case ScalarOp::constant:
    case ScalarOp::index:
    case ScalarOp::rem:
    case ScalarOp::abs:
    case ScalarOp::fma:
    case ScalarOp::scale:
    case ScalarOp::ratio:
    case ScalarOp::mulhi:
    case ScalarOp::minimum:
    case ScalarOp::maximum:
    case ScalarOp::sqrt:
    case ScalarOp::floor:
    case ScalarOp::ceil:
    case ScalarOp::trunc:
    case ScalarOp::rint:
    case ScalarOp::bit_and:
    case ScalarOp::eq:
    case ScalarOp::ne:
    case ScalarOp::lt:
    case ScalarOp::le:
    case ScalarOp::lookup: return -1;
  }
  return -1;
}

ScalarValue ScalarBuilder::emit(ScalarOp op, DType result, ScalarValue a, ScalarValue b,
                                ScalarValue c, std::uint64_t imm) {
  ScalarInst i{.op = op, .dtype = result, .a = a.id(), .b = b.id(), .c = c.id(), .imm = imm};
  // One way round, so that a + b and b + a are one: constants last, else in order of appearance.
  if (commutes(op) && std::pair(is_constant(i.a), i.a) > std::pair(is_constant(i.b), i.b))
    std::swap(i.a, i.b);
  const int count = arity(op);
  assert(count > 0);
  const bool folds = op != ScalarOp::lookup && is_constant(i.a) &&
                     (count < 2 || is_constant(i.b)) && (count < 3 || is_constant(i.c));
  if (folds) {
    const auto bits = [&](std::int32_t id) { return id >= 0 ? inst(id).imm : 0; };
    const DType operand = dtype(op == ScalarOp::select ? i.b : i.a);
    return constant_bits(result, evaluate(op, result, operand, bits(i.a), bits(i.b), bits(i.c)));
  }
  const std::int32_t same = same_as(i);
  return same >= 0 ? ScalarValue(this, same) : intern(i);
}

ScalarValue ScalarBuilder::convert(ScalarValue x, DType from, DType to) {
  assert(x.dtype() == held(from) && !is_complex(from) && !is_complex(to));
  if (from == to) return x;
  const auto through_float32 = [&] {
    return convert(convert(x, from, DType::float32), DType::float32, to);
  };
  if (from == DType::bfloat16) {
    if (to != DType::float32) return through_float32();
    return bitcast(shl(emit(ScalarOp::convert, DType::uint32, x), 16), DType::float32);
  }
  const bool narrow = from == DType::float16 || to == DType::float16 || to == DType::bfloat16;
  if (narrow && from != DType::float32 && to != DType::float32) return through_float32();
  if (to != DType::bfloat16) return emit(ScalarOp::convert, to, x);
  // Round to nearest even on the bits: half an ulp less one, plus the last bit that stays. NaN
  // keeps its top bits.
  const auto word = [&](std::int64_t v) { return constant_int(DType::uint32, v); };
  const ScalarValue bits = bitcast(x, DType::uint32);
  const ScalarValue rounded = bits + word(0x7fff) + (shr(bits, 16) & word(1));
  const ScalarValue chosen =
      select(emit(ScalarOp::ne, DType::boolean, x, x), bits | word(0x400000), rounded);
  return emit(ScalarOp::convert, DType::uint16, shr(chosen, 16));
}

ScalarValue ScalarBuilder::lookup(const ScalarTable& table, ScalarValue index) {
  if (is_constant(index.id()) && inst(index.id()).imm < table.bits.size())
    return constant_bits(table.dtype, table.bits[inst(index.id()).imm]);
  std::size_t number = 0;
  while (number < program_.tables.size() && !(program_.tables[number] == table)) ++number;
  if (number == program_.tables.size()) program_.tables.push_back(table);
  return emit(ScalarOp::lookup, table.dtype, index, {}, {}, number);
}

std::vector<ScalarValue> ScalarBuilder::inline_program(const ScalarProgram& program,
                                                       std::span<const ScalarValue> inputs) {
  assert(inputs.size() == program.inputs.size());
  std::vector<ScalarValue> copies;
  copies.reserve(program.code.size());
  const auto copy_of = [&](std::int32_t id) {
    return id < 0 ? ScalarValue() : copies[static_cast<std::size_t>(id)];
  };
  for (const ScalarInst& i : program.code) {
    if (i.op == ScalarOp::input)
      copies.push_back(inputs[i.imm]);
    else if (arity(i.op) == 0)
      copies.push_back(intern(i));
    else if (i.op == ScalarOp::lookup)
      copies.push_back(lookup(program.tables[i.imm], copy_of(i.a)));
    else
      copies.push_back(emit(i.op, i.dtype, copy_of(i.a), copy_of(i.b), copy_of(i.c), i.imm));
  }
  std::vector<ScalarValue> outputs;
  for (const std::int32_t o : program.outputs) outputs.push_back(copy_of(o));
  return outputs;
}

ScalarProgram ScalarBuilder::finish(std::span<const ScalarValue> outputs) {
  const std::vector<ScalarInst>& code = program_.code;
  std::vector<std::int32_t> number(code.size(), -1);  // -1: dead; 0: needed; then the new number
  for (const ScalarValue& o : outputs) number[static_cast<std::size_t>(o.id())] = 0;
  for (std::size_t i = code.size(); i-- > 0;) {
    if (number[i] < 0) continue;
    for (const std::int32_t o : {code[i].a, code[i].b, code[i].c}) {
      if (o >= 0) number[static_cast<std::size_t>(o)] = 0;
    }
  }
  const auto renumbered = [&](std::int32_t id) {
    return id < 0 ? id : number[static_cast<std::size_t>(id)];
  };
  ScalarProgram result{.inputs = program_.inputs, .code = {}, .tables = {}, .outputs = {}};
  std::vector<std::int32_t> table_number(program_.tables.size(), -1);
  for (std::size_t i = 0; i < code.size(); ++i) {
    if (number[i] < 0) continue;
    ScalarInst copy = code[i];
    copy.a = renumbered(copy.a), copy.b = renumbered(copy.b), copy.c = renumbered(copy.c);
    if (copy.op == ScalarOp::lookup) {
      std::int32_t& table = table_number[copy.imm];
      if (table < 0) {
        table = static_cast<std::int32_t>(result.tables.size());
        result.tables.push_back(program_.tables[copy.imm]);
      }
      copy.imm = static_cast<std::uint64_t>(table);
    }
    number[i] = static_cast<std::int32_t>(result.code.size());
    result.code.push_back(copy);
  }
  for (const ScalarValue& o : outputs) result.outputs.push_back(renumbered(o.id()));
  return result;
}

namespace {

ScalarValue unary(ScalarOp op, ScalarValue x) { return x.builder().emit(op, x.dtype(), x); }
ScalarValue binary(ScalarOp op, ScalarValue a, ScalarValue b) {
  return a.builder().emit(op, a.dtype(), a, b);
}
ScalarValue compare(ScalarOp op, ScalarValue a, ScalarValue b) {
  return a.builder().emit(op, DType::boolean, a, b);
}
ScalarValue like(ScalarValue x, double value) { return x.builder().constant(x.dtype(), value); }

}  // namespace

ScalarValue operator+(ScalarValue a, ScalarValue b) { return binary(ScalarOp::add, a, b); }
ScalarValue operator-(ScalarValue a, ScalarValue b) { return binary(ScalarOp::sub, a, b); }
ScalarValue operator*(ScalarValue a, ScalarValue b) { return binary(ScalarOp::mul, a, b); }
ScalarValue operator/(ScalarValue a, ScalarValue b) { return binary(ScalarOp::div, a, b); }
ScalarValue operator-(ScalarValue x) { return unary(ScalarOp::neg, x); }
ScalarValue operator&(ScalarValue a, ScalarValue b) { return binary(ScalarOp::bit_and, a, b); }
ScalarValue operator|(ScalarValue a, ScalarValue b) { return binary(ScalarOp::bit_or, a, b); }
ScalarValue operator^(ScalarValue a, ScalarValue b) { return binary(ScalarOp::bit_xor, a, b); }
ScalarValue operator~(ScalarValue x) { return unary(ScalarOp::bit_not, x); }
ScalarValue operator+(ScalarValue a, double b) { return a + like(a, b); }
ScalarValue operator+(double a, ScalarValue b) { return like(b, a) + b; }
ScalarValue operator-(ScalarValue a, double b) { return a - like(a, b); }
ScalarValue operator-(double a, ScalarValue b) { return like(b, a) - b; }
ScalarValue operator*(ScalarValue a, double b) { return a * like(a, b); }
ScalarValue operator*(double a, ScalarValue b) { return like(b, a) * b; }
ScalarValue operator/(ScalarValue a, double b) { return a / like(a, b); }
ScalarValue operator/(double a, ScalarValue b) { return like(b, a) / b; }
ScalarValue shl(ScalarValue x, int count) { return binary(ScalarOp::shl, x, like(x, count)); }
ScalarValue shr(ScalarValue x, int count) { return binary(ScalarOp::shr, x, like(x, count)); }
ScalarValue eq(ScalarValue a, ScalarValue b) { return compare(ScalarOp::eq, a, b); }
ScalarValue ne(ScalarValue a, ScalarValue b) { return compare(ScalarOp::ne, a, b); }
ScalarValue lt(ScalarValue a, ScalarValue b) { return compare(ScalarOp::lt, a, b); }
ScalarValue le(ScalarValue a, ScalarValue b) { return compare(ScalarOp::le, a, b); }
ScalarValue gt(ScalarValue a, ScalarValue b) { return lt(b, a); }
ScalarValue ge(ScalarValue a, ScalarValue b) { return le(b, a); }
ScalarValue lt(ScalarValue a, double b) { return lt(a, like(a, b)); }
ScalarValue gt(ScalarValue a, double b) { return gt(a, like(a, b)); }
ScalarValue le(ScalarValue a, double b) { return le(a, like(a, b)); }
ScalarValue ge(ScalarValue a, double b) { return ge(a, like(a, b)); }
ScalarValue eq(ScalarValue a, double b) { return eq(a, like(a, b)); }
ScalarValue select(ScalarValue condition, ScalarValue yes, ScalarValue no) {
  return condition.builder().emit(ScalarOp::select, yes.dtype(), condition, yes, no);
}
ScalarValue fma(ScalarValue a, ScalarValue b, ScalarValue c) {
  return a.builder().emit(ScalarOp::fma, a.dtype(), a, b, c);
}
ScalarValue scale(ScalarValue a, ScalarValue power) { return binary(ScalarOp::scale, a, power); }
ScalarValue ratio(ScalarValue a, ScalarValue b) { return binary(ScalarOp::ratio, a, b); }
ScalarValue minimum(ScalarValue a, ScalarValue b) { return binary(ScalarOp::minimum, a, b); }
ScalarValue maximum(ScalarValue a, ScalarValue b) { return binary(ScalarOp::maximum, a, b); }
ScalarValue sqrt(ScalarValue x) { return unary(ScalarOp::sqrt, x); }
ScalarValue abs(ScalarValue x) { return unary(ScalarOp::abs, x); }
ScalarValue floor(ScalarValue x) { return unary(ScalarOp::floor, x); }
ScalarValue ceil(ScalarValue x) { return unary(ScalarOp::ceil, x); }
ScalarValue trunc(ScalarValue x) { return unary(ScalarOp::trunc, x); }
ScalarValue rint(ScalarValue x) { return unary(ScalarOp::rint, x); }
ScalarValue bitcast(ScalarValue x, DType to) { return x.builder().emit(ScalarOp::bitcast, to, x); }

}  // namespace weft::ir
