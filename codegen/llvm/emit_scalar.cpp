#include "codegen/llvm/emit_scalar.h"

#include <cmath>

#include <llvm/IR/Constants.h>
#include <llvm/IR/GlobalVariable.h>
#include <llvm/IR/Intrinsics.h>
#include <llvm/IR/IntrinsicsX86.h>
#include <llvm/IR/Module.h>

namespace weft::codegen {
namespace {

using ir::ScalarInst, ir::ScalarOp, ir::ScalarProgram;
using llvm::Value;
using llvm::Intrinsic::ID;
namespace Intrinsic = llvm::Intrinsic;

llvm::Type* widened(llvm::Type* scalar, int lanes) {
  return lanes == 1 ? scalar : llvm::FixedVectorType::get(scalar, static_cast<unsigned>(lanes));
}

/// One instruction on one vector. Every case means what ir::evaluate means, bit for bit (save a
/// NaN's payload).
class Op {
 public:
  Op(Builder& builder, DType result, DType operand, int lanes)
      : b_(builder), result_(result), operand_(operand), lanes_(lanes) {}

  Value* emit(ScalarOp op, Value* a, Value* b, Value* c) {
    const bool real = is_floating(operand_), sign = is_signed(operand_);
    switch (op) {
      case ScalarOp::add: return real ? b_.CreateFAdd(a, b) : b_.CreateAdd(a, b);
      case ScalarOp::sub: return real ? b_.CreateFSub(a, b) : b_.CreateSub(a, b);
      case ScalarOp::mul: return real ? b_.CreateFMul(a, b) : b_.CreateMul(a, b);
      case ScalarOp::div: return real ? b_.CreateFDiv(a, b) : quotient(a, b);
      case ScalarOp::ratio: return b_.CreateFDiv(a, b);
      case ScalarOp::rem: return real ? float_remainder(a, b) : remainder(a, b);
      case ScalarOp::neg: return real ? b_.CreateFNeg(a) : b_.CreateNeg(a);
      case ScalarOp::abs:
        if (real) return unary(Intrinsic::fabs, a);
        return sign ? b_.CreateBinaryIntrinsic(Intrinsic::abs, a, b_.getFalse()) : a;
      case ScalarOp::fma: return b_.CreateIntrinsic(a->getType(), Intrinsic::fma, {a, b, c});
      case ScalarOp::mulhi: return upper_product(a, b);
      case ScalarOp::scale: return scale(a, b);
      case ScalarOp::minimum:
        if (real) return extremum(Intrinsic::minimum, a, b);
        return b_.CreateBinaryIntrinsic(sign ? Intrinsic::smin : Intrinsic::umin, a, b);
      case ScalarOp::maximum:
        if (real) return extremum(Intrinsic::maximum, a, b);
        return b_.CreateBinaryIntrinsic(sign ? Intrinsic::smax : Intrinsic::umax, a, b);
      case ScalarOp::sqrt: return unary(Intrinsic::sqrt, a);
      case ScalarOp::floor: return unary(Intrinsic::floor, a);
      case ScalarOp::ceil: return unary(Intrinsic::ceil, a);
      case ScalarOp::trunc: return unary(Intrinsic::trunc, a);
      case ScalarOp::rint: return unary(Intrinsic::nearbyint, a);
      case ScalarOp::bit_and: return b_.CreateAnd(a, b);
      case ScalarOp::bit_or: return b_.CreateOr(a, b);
      case ScalarOp::bit_xor: return b_.CreateXor(a, b);
      case ScalarOp::bit_not: return b_.CreateNot(a);
      case ScalarOp::shl: return shift_left(a, b);
      case ScalarOp::shr: return shift_right(a, b);
      case ScalarOp::eq: return real ? b_.CreateFCmpOEQ(a, b) : b_.CreateICmpEQ(a, b);
      case ScalarOp::ne: return real ? b_.CreateFCmpUNE(a, b) : b_.CreateICmpNE(a, b);
      case ScalarOp::lt:
        return real   ? b_.CreateFCmpOLT(a, b)
               : sign ? b_.CreateICmpSLT(a, b)
                      : b_.CreateICmpULT(a, b);
      case ScalarOp::le:
        return real   ? b_.CreateFCmpOLE(a, b)
               : sign ? b_.CreateICmpSLE(a, b)
                      : b_.CreateICmpULE(a, b);
      case ScalarOp::select: return b_.CreateSelect(a, b, c);
      case ScalarOp::convert: return convert(a);
      case ScalarOp::bitcast: return bitcast(a);
      case ScalarOp::input:
      case ScalarOp::constant:
      case ScalarOp::index:
      case ScalarOp::lookup: break;
    }
    llvm_unreachable("not an operation on values");
  }

  /// `vrange`, where the processor has it.
  Value* of_numbers(ID id, Value* a, Value* b) {
    const unsigned width = bits() * static_cast<unsigned>(lanes_);
    const bool single = operand_ == DType::float32;
    if (!has_avx512() || (!single && operand_ != DType::float64) ||
        (width != 512 && width != 256 && width != 128))
      return nullptr;
    const ID range = width == 512   ? single ? Intrinsic::x86_avx512_mask_range_ps_512
                                             : Intrinsic::x86_avx512_mask_range_pd_512
                     : width == 256 ? single ? Intrinsic::x86_avx512_mask_range_ps_256
                                             : Intrinsic::x86_avx512_mask_range_pd_256
                     : single       ? Intrinsic::x86_avx512_mask_range_ps_128
                                    : Intrinsic::x86_avx512_mask_range_pd_128;
    constexpr unsigned by_comparison = 4, current_rounding = 4;
    auto* mask = b_.getIntNTy(std::max(8u, static_cast<unsigned>(lanes_)));
    llvm::SmallVector<Value*, 6> operands{
        a, b, b_.getInt32(by_comparison + (id == Intrinsic::maximum ? 1 : 0)), a,
        llvm::Constant::getAllOnesValue(mask)};
    if (width == 512) operands.push_back(b_.getInt32(current_rounding));
    return b_.CreateIntrinsic(range, {}, operands);
  }

 private:
  Value* unary(ID id, Value* a) { return b_.CreateUnaryIntrinsic(id, a); }
  llvm::Type* type(llvm::Type* scalar) { return widened(scalar, lanes_); }
  Value* number(Value* like, std::int64_t value) {
    return llvm::ConstantInt::get(like->getType(), static_cast<std::uint64_t>(value), true);
  }
  [[nodiscard]] unsigned bits() const { return 8 * static_cast<unsigned>(size_of(operand_)); }

  /// AVX-512's `vrange` knows which zero is larger and needs help with NaN alone: three instructions
  /// and eight cycles from operand to result, where LLVM's own expansion takes seven and twelve.
  /// (Where one side is a constant LLVM knows as much.)
  Value* extremum(ID id, Value* a, Value* b) {
    Value* larger = llvm::isa<llvm::Constant>(a) || llvm::isa<llvm::Constant>(b)
                        ? nullptr
                        : of_numbers(id, a, b);
    if (!larger) return b_.CreateBinaryIntrinsic(id, a, b);
    return b_.CreateSelect(b_.CreateFCmpUNO(a, b), b_.CreateFAdd(a, b), larger);
  }
  /// Functions for AVX-512 alone prefer vectors of 512 bits (Frame).
  bool has_avx512() {
    const llvm::Function* function = b_.GetInsertBlock()->getParent();
    return function->getFnAttribute("prefer-vector-width").getValueAsString() == "512";
  }

  /// x/0 = 0 and MIN/-1 = MIN. Up to 32 bits by a float division, which vectors have and which is
  /// exact: the quotient is at least 1/|b| away from the next integer, more than rounding moves it.
  Value* quotient(Value* a, Value* b) {
    const bool sign = is_signed(operand_);
    Value* zero = b_.CreateICmpEQ(b, number(b, 0));
    if (bits() <= 32 && lanes_ > 1 && !llvm::isa<llvm::Constant>(b)) {
      auto* real = type(bits() == 32 ? b_.getDoubleTy() : b_.getFloatTy());
      auto* integer = type(bits() == 32 ? b_.getInt64Ty() : b_.getInt32Ty());
      Value* x = sign ? b_.CreateSIToFP(a, real) : b_.CreateUIToFP(a, real);
      Value* divisor = b_.CreateSelect(zero, number(b, 1), b);
      Value* y = sign ? b_.CreateSIToFP(divisor, real) : b_.CreateUIToFP(divisor, real);
      Value* q = b_.CreateTrunc(b_.CreateFPToSI(b_.CreateFDiv(x, y), integer), a->getType());
      return b_.CreateSelect(zero, number(a, 0), q);
    }
    if (!sign)
      return b_.CreateSelect(zero, number(a, 0),
                             b_.CreateUDiv(a, b_.CreateSelect(zero, number(b, 1), b)));
    Value* minus_one = b_.CreateICmpEQ(b, number(b, -1));
    Value* q = b_.CreateSDiv(a, b_.CreateSelect(b_.CreateOr(zero, minus_one), number(b, 1), b));
    q = b_.CreateSelect(minus_one, b_.CreateNeg(a), q);
    return b_.CreateSelect(zero, number(a, 0), q);
  }

  Value* remainder(Value* a, Value* b) {
    Value* rest = b_.CreateSub(a, b_.CreateMul(quotient(a, b), b));
    return b_.CreateSelect(b_.CreateICmpEQ(b, number(b, 0)), number(a, 0), rest);
  }

  Value* float_remainder(Value* a, Value* b) {
    auto* scalar = a->getType()->getScalarType();
    auto* module = b_.GetInsertBlock()->getModule();
    auto callee =
        module->getOrInsertFunction(scalar->isFloatTy() ? "fmodf" : "fmod", scalar, scalar, scalar);
    if (lanes_ == 1) return b_.CreateCall(callee, {a, b});
    Value* result = llvm::PoisonValue::get(a->getType());
    for (int lane = 0; lane < lanes_; ++lane) {
      const auto i = static_cast<std::uint64_t>(lane);
      Value* one =
          b_.CreateCall(callee, {b_.CreateExtractElement(a, i), b_.CreateExtractElement(b, i)});
      result = b_.CreateInsertElement(result, one, i);
    }
    return result;
  }

  Value* upper_product(Value* a, Value* b) {
    const bool sign = is_signed(operand_);
    if (bits() == 32 || lanes_ == 1) {
      auto* wide = type(b_.getIntNTy(2 * bits()));
      Value* x = sign ? b_.CreateSExt(a, wide) : b_.CreateZExt(a, wide);
      Value* y = sign ? b_.CreateSExt(b, wide) : b_.CreateZExt(b, wide);
      return b_.CreateTrunc(b_.CreateLShr(b_.CreateMul(x, y), number(x, bits())), a->getType());
    }
    Value* mask = number(a, 0xffffffff);
    const auto low = [&](Value* x) { return b_.CreateAnd(x, mask); };
    const auto high = [&](Value* x) { return b_.CreateLShr(x, number(x, 32)); };
    Value* t = b_.CreateMul(low(a), low(b));
    Value* u = b_.CreateAdd(b_.CreateMul(high(a), low(b)), high(t));
    Value* w = b_.CreateAdd(b_.CreateMul(low(a), high(b)), low(u));
    Value* upper = b_.CreateAdd(b_.CreateAdd(b_.CreateMul(high(a), high(b)), high(u)), high(w));
    if (!sign) return upper;
    const auto if_negative = [&](Value* x, Value* y) {
      return b_.CreateAnd(b_.CreateAShr(x, number(x, 63)), y);
    };
    return b_.CreateSub(b_.CreateSub(upper, if_negative(a, b)), if_negative(b, a));
  }

  /// One instruction in AVX-512; elsewhere in two factors, the first of which leaves a power within
  /// the normal range.
  Value* scale(Value* a, Value* power) {
    constexpr unsigned current_rounding = 4;
    if (has_avx512() && lanes_ == 16)
      return b_.CreateIntrinsic(Intrinsic::x86_avx512_mask_scalef_ps_512, {},
                                {a, power, a, b_.getInt16(0xffff), b_.getInt32(current_rounding)});
    if (has_avx512() && lanes_ == 8)
      return b_.CreateIntrinsic(Intrinsic::x86_avx512_mask_scalef_ps_256, {},
                                {a, power, a, b_.getInt8(0xff)});
    Value* whole = b_.CreateFAdd(power, llvm::ConstantFP::get(a->getType(), 0x1.8p23 + 254));
    whole = b_.CreateBitCast(whole, type(b_.getInt32Ty()));
    Value* both = b_.CreateShl(whole, number(whole, 23));
    Value* first = b_.CreateAnd(b_.CreateShl(whole, number(whole, 22)), number(whole, 0x7f800000));
    const auto real = [&](Value* bits) { return b_.CreateBitCast(bits, a->getType()); };
    return b_.CreateFMul(b_.CreateFMul(a, real(first)), real(b_.CreateSub(both, first)));
  }

  /// Counts are unsigned: a negative one is beyond any width.
  Value* shift_left(Value* a, Value* count) {
    Value* fits = b_.CreateICmpULT(count, number(count, bits()));
    Value* shifted = b_.CreateShl(a, b_.CreateAnd(count, number(count, bits() - 1)));
    return b_.CreateSelect(fits, shifted, number(a, 0));
  }

  Value* shift_right(Value* a, Value* count) {
    if (is_signed(operand_))
      return b_.CreateAShr(
          a, b_.CreateBinaryIntrinsic(Intrinsic::umin, count, number(count, bits() - 1)));
    Value* fits = b_.CreateICmpULT(count, number(count, bits()));
    Value* shifted = b_.CreateLShr(a, b_.CreateAnd(count, number(count, bits() - 1)));
    return b_.CreateSelect(fits, shifted, number(a, 0));
  }

  Value* convert(Value* a) {
    auto* to = register_type(b_.getContext(), result_, lanes_);
    if (result_ == operand_) return a;
    if (result_ == DType::boolean) {
      if (is_floating(operand_))
        return b_.CreateFCmpUNE(a, llvm::ConstantFP::getZero(a->getType()));
      return b_.CreateICmpNE(a, number(a, 0));
    }
    if (is_floating(operand_)) {
      return is_floating(result_) ? b_.CreateFPCast(a, to) : integer_of(a);
    }
    const bool sign = is_signed(operand_);
    if (is_floating(result_)) return sign ? b_.CreateSIToFP(a, to) : b_.CreateUIToFP(a, to);
    return b_.CreateIntCast(a, to, sign);
  }

  /// Towards zero; what does not fit gives the nearest that does, NaN gives 0. (LLVM's own expansion
  /// takes two to four times as many instructions.)
  Value* integer_of(Value* a) {
    const bool sign = is_signed(result_);
    auto* to = register_type(b_.getContext(), result_, lanes_);
    const auto width = 8 * static_cast<int>(size_of(result_));
    const int precision = operand_ == DType::float64 ? 53 : operand_ == DType::float32 ? 24 : 11;
    const auto real = [&](double value) { return llvm::ConstantFP::get(a->getType(), value); };
    const double least = sign ? -std::ldexp(1.0, width - 1) : 0;
    const double beyond = std::ldexp(1.0, sign ? width - 1 : width);
    if (width <= precision || (width == 32 && precision == 53)) {  // the bounds are such numbers
      if (sign) a = b_.CreateSelect(b_.CreateFCmpUNO(a, a), real(0), a);
      a = b_.CreateSelect(b_.CreateFCmpOGT(a, real(least)), a, real(least));
      a = b_.CreateSelect(b_.CreateFCmpOLT(a, real(beyond - 1)), a, real(beyond - 1));
      if (width == 32) return sign ? b_.CreateFPToSI(a, to) : b_.CreateFPToUI(a, to);
      return b_.CreateTrunc(b_.CreateFPToSI(a, type(b_.getInt32Ty())), to);
    }
    if (precision == 11) {
      const ID id = sign ? Intrinsic::fptosi_sat : Intrinsic::fptoui_sat;
      return b_.CreateIntrinsic(id, {to, a->getType()}, {a});
    }
    Value* large = b_.CreateFCmpOGE(a, real(beyond));
    Value* fits = b_.CreateAnd(b_.CreateFCmpOGE(a, real(least)), b_.CreateFCmpOLT(a, real(beyond)));
    Value* within = b_.CreateSelect(fits, a, real(0));
    Value* whole = sign ? b_.CreateFPToSI(within, to) : b_.CreateFPToUI(within, to);
    const auto most = sign ? llvm::APInt::getSignedMaxValue(static_cast<unsigned>(width))
                           : llvm::APInt::getMaxValue(static_cast<unsigned>(width));
    whole = b_.CreateSelect(large, llvm::ConstantInt::get(to, most), whole);
    if (!sign) return whole;
    return b_.CreateSelect(
        b_.CreateFCmpOLT(a, real(least)),
        llvm::ConstantInt::get(to, llvm::APInt::getSignedMinValue(static_cast<unsigned>(width))),
        whole);
  }

  Value* bitcast(Value* a) {
    if (operand_ == DType::boolean || result_ == DType::boolean) return convert(a);
    return b_.CreateBitCast(a, register_type(b_.getContext(), result_, lanes_));
  }

  Builder& b_;
  DType result_, operand_;
  int lanes_;
};

/// The table as a constant of the module, elements as in memory.
llvm::GlobalVariable* table_of(llvm::Module& module, const ir::ScalarTable& table,
                               const std::string& name) {
  if (auto* known = module.getNamedGlobal(name)) return known;
  llvm::SmallVector<llvm::Constant*, 64> elements;
  auto* type = memory_type(module.getContext(), table.dtype, 1);
  for (const std::uint64_t bits : table.bits) {
    auto* integer = llvm::ConstantInt::get(
        llvm::IntegerType::get(module.getContext(),
                               8 * static_cast<unsigned>(size_of(table.dtype))),
        bits);
    elements.push_back(type->isIntegerTy() ? integer
                                           : llvm::ConstantExpr::getBitCast(integer, type));
  }
  auto* array = llvm::ArrayType::get(type, elements.size());
  auto* global = new llvm::GlobalVariable(module, array, true, llvm::GlobalValue::InternalLinkage,
                                          llvm::ConstantArray::get(array, elements), name);
  global->setAlignment(llvm::Align(64));
  return global;
}

std::string table_name(const ir::ScalarTable& table) {  // equal tables of several stages are one
  std::uint64_t hash = 1469598103934665603u + static_cast<std::uint64_t>(table.dtype);
  for (const std::uint64_t bits : table.bits)
    hash = (hash ^ bits) * 1099511628211u, hash ^= hash >> 29;
  return "table_" + std::to_string(table.bits.size()) + "_" + std::to_string(hash);
}

Value* emit_lookup(Builder& b, const ir::ScalarTable& table, Value* index, int lanes) {
  auto& module = *b.GetInsertBlock()->getModule();
  auto* global = table_of(module, table, table_name(table));
  auto* element = memory_type(b.getContext(), table.dtype, 1);
  const llvm::Align alignment(size_of(table.dtype));
  Value* address = b.CreateGEP(element, global, index);
  Value* found = lanes == 1 ? static_cast<Value*>(b.CreateAlignedLoad(element, address, alignment))
                            : b.CreateMaskedGather(widened(element, lanes), address, alignment);
  if (table.dtype != DType::boolean) return found;
  return b.CreateICmpNE(found, llvm::Constant::getNullValue(found->getType()));
}

}  // namespace

llvm::Type* register_type(llvm::LLVMContext& context, DType dtype, int lanes) {
  if (dtype == DType::boolean) return widened(llvm::Type::getInt1Ty(context), lanes);
  return memory_type(context, dtype, lanes);
}

llvm::Type* memory_type(llvm::LLVMContext& context, DType dtype, int lanes) {
  if (dtype == DType::float16) return widened(llvm::Type::getHalfTy(context), lanes);
  if (dtype == DType::float32) return widened(llvm::Type::getFloatTy(context), lanes);
  if (dtype == DType::float64) return widened(llvm::Type::getDoubleTy(context), lanes);
  return widened(llvm::IntegerType::get(context, 8 * static_cast<unsigned>(size_of(dtype))), lanes);
}

llvm::Constant* constant_value(llvm::LLVMContext& context, DType dtype, std::uint64_t bits,
                               int lanes) {
  auto* type = register_type(context, dtype, 1);
  const unsigned width = type->getScalarSizeInBits();
  const llvm::APInt integer(width, width == 64 ? bits : bits & ((std::uint64_t{1} << width) - 1));
  llvm::Constant* value =
      type->isIntegerTy()
          ? llvm::cast<llvm::Constant>(llvm::ConstantInt::get(context, integer))
          : llvm::ConstantFP::get(context, llvm::APFloat(type->getFltSemantics(), integer));
  if (lanes == 1) return value;
  return llvm::ConstantVector::getSplat(llvm::ElementCount::getFixed(static_cast<unsigned>(lanes)),
                                        value);
}

Value* splat(Builder& b, Value* scalar, int lanes) {
  return lanes == 1 ? scalar : b.CreateVectorSplat(static_cast<unsigned>(lanes), scalar);
}

Value* emit_instruction(Builder& builder, const ScalarProgram& program, const ScalarInst& inst,
                        int lanes, Value* a, Value* b, Value* c) {
  if (inst.op == ScalarOp::lookup)
    return emit_lookup(builder, program.tables[inst.imm], a, lanes);
  const std::int32_t typed = inst.op == ScalarOp::select ? inst.b : inst.a;
  Op op(builder, inst.dtype, program.code[static_cast<std::size_t>(typed)].dtype, lanes);
  return op.emit(inst.op, a, b, c);
}

Value* emit_of_numbers(Builder& builder, ScalarOp op, DType dtype, int lanes, Value* a, Value* b) {
  return Op(builder, dtype, dtype, lanes)
      .of_numbers(op == ScalarOp::maximum ? Intrinsic::maximum : Intrinsic::minimum, a, b);
}

void emit_program(Builder& b, const ScalarProgram& program, int lanes, Values& values,
                  const Leaf& leaf) {
  values.resize(program.code.size());
  const auto value_of = [&](std::int32_t operand) -> const Wide& {
    return values[static_cast<std::size_t>(operand)];
  };
  for (std::size_t i = 0; i < program.code.size(); ++i) {
    if (!values[i].empty()) continue;
    const ScalarInst& inst = program.code[i];
    if (inst.op == ScalarOp::constant) {
      values[i] = {constant_value(b.getContext(), inst.dtype, inst.imm, lanes)};
      continue;
    }
    if (inst.op == ScalarOp::input || inst.op == ScalarOp::index) {
      values[i] = leaf(inst);
      continue;
    }
    std::size_t vectors = 1;
    bool known = true;
    for (const std::int32_t operand : {inst.a, inst.b, inst.c}) {
      if (operand < 0) continue;
      known &= !value_of(operand).empty();
      vectors = std::max<std::size_t>(vectors, value_of(operand).size());
    }
    if (!known) continue;
    for (std::size_t v = 0; v < vectors; ++v) {
      const auto operand = [&](std::int32_t id) {
        return id < 0 ? nullptr : codegen::at(value_of(id), v);
      };
      values[i].push_back(emit_instruction(b, program, inst, lanes, operand(inst.a),
                                           operand(inst.b), operand(inst.c)));
    }
  }
}

}  // namespace weft::codegen
