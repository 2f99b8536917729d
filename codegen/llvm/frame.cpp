#include "codegen/llvm/frame.h"

#include <charconv>

#include <llvm/IR/Constants.h>
#include <llvm/IR/Intrinsics.h>
#include <llvm/IR/IntrinsicsX86.h>
#include <llvm/IR/MDBuilder.h>
#include <llvm/IR/Module.h>
#include <llvm/TargetParser/Triple.h>

#include "codegen/llvm/emit_kernel.h"

namespace weft::codegen {

using llvm::Value;

std::optional<std::int64_t> known(Value* value) {
  if (auto* constant = llvm::dyn_cast<llvm::ConstantInt>(value)) return constant->getSExtValue();
  return std::nullopt;
}

Value* Index::add(Value* x, Value* y) {
  if (known(x) == 0) return y;
  return known(y) == 0 ? x : b_.CreateAdd(x, y);
}
Value* Index::sub(Value* x, Value* y) { return known(y) == 0 ? x : b_.CreateSub(x, y); }
Value* Index::mul(Value* x, Value* y) {
  if (known(x) == 0 || known(y) == 1) return x;
  return known(x) == 1 || known(y) == 0 ? y : b_.CreateMul(x, y);
}
Value* Index::div(Value* x, Value* y) { return known(y) == 1 ? x : b_.CreateUDiv(x, y); }
Value* Index::mod(Value* x, Value* y) { return known(y) == 1 ? number(0) : b_.CreateURem(x, y); }
Value* Index::min(Value* x, Value* y) {
  if (known(x) && known(y)) return number(std::min(*known(x), *known(y)));
  return b_.CreateSelect(b_.CreateICmpSLT(x, y), x, y);
}
Value* Index::max(Value* x, Value* y) {
  if (known(x) && known(y)) return number(std::max(*known(x), *known(y)));
  return b_.CreateSelect(b_.CreateICmpSLT(x, y), y, x);
}

namespace {

/// Dims as int64 arithmetic.
class DimEmitter {
 public:
  DimEmitter(Builder& b, Index& x, const std::vector<Value*>& symbols)
      : b_(b), x_(x), symbols_(symbols) {}

  Value* emit(const Dim& dim) {
    if (const auto constant = dim.constant()) return x_.number(*constant);
    Value* sum = x_.number(0);
    for (const auto& term : dim.expr()->terms()) {
      Value* product = x_.number(term.coefficient);
      for (const auto& factor : term.factors) product = x_.mul(product, atom(*factor));
      sum = x_.add(sum, product);
    }
    return sum;
  }

 private:
  Value* atom(const DimExpr::Atom& atom) {
    if (atom.kind == DimExpr::AtomKind::symbol) {
      std::size_t number = 0;  // the verifier saw to it that names are s0, s1, …
      std::from_chars(atom.name.data() + 1, atom.name.data() + atom.name.size(), number);
      return symbols_.at(number);
    }
    Value *left = emit(atom.left), *right = emit(atom.right);
    switch (atom.kind) {
      case DimExpr::AtomKind::max: return x_.max(left, right);
      case DimExpr::AtomKind::min: return x_.min(left, right);
      case DimExpr::AtomKind::floordiv:
      case DimExpr::AtomKind::mod: break;
      case DimExpr::AtomKind::symbol: llvm_unreachable("handled above");
    }
    Value* rest = b_.CreateSRem(left, right);
    Value* below = b_.CreateICmpSLT(rest, x_.number(0));
    if (atom.kind == DimExpr::AtomKind::mod)
      return b_.CreateSelect(below, b_.CreateAdd(rest, right), rest);
    return b_.CreateSub(b_.CreateSDiv(left, right), b_.CreateZExt(below, b_.getInt64Ty()));
  }

  Builder& b_;
  Index& x_;
  const std::vector<Value*>& symbols_;
};

}  // namespace

Frame::Frame(llvm::Module& module, const ir::Kernel& k, const Schedule& s, const Target& t)
    : b(module.getContext()), kernel(k), schedule(s), target(t) {
  auto* pointer = b.getPtrTy();
  auto* type = llvm::FunctionType::get(b.getVoidTy(),
                                       {pointer, pointer, b.getInt64Ty(), b.getInt64Ty()}, false);
  function_ = llvm::Function::Create(type, llvm::Function::ExternalLinkage, kernel_symbol, module);
  function_->addFnAttr(llvm::Attribute::NoUnwind);
  const std::string width = std::to_string(8 * target.vector_bytes);
  function_->addFnAttr("prefer-vector-width", width);
  function_->addFnAttr("min-legal-vector-width", width);
  function_->addFnAttr("no-builtins");
  function_->addFnAttr(
      // spilled vectors across cache lines cost up to eight times the whole kernel
      "stackrealign");
  llvm::BasicBlock::Create(context(), "entry", function_);
  b.SetInsertPoint(llvm::BasicBlock::Create(context(), "start", function_));
  Value* args = function_->getArg(1);
  begin = function_->getArg(2);
  end = function_->getArg(3);
  const auto field = [&](std::uint64_t number) {  // of KernelArgs
    return b.CreateLoad(pointer, b.CreateConstInBoundsGEP1_64(pointer, args, number));
  };
  Value* buffers = field(0);
  for (std::size_t i = 0; i < kernel.buffers.size(); ++i)
    buffers_.push_back(b.CreateLoad(pointer, b.CreateConstInBoundsGEP1_64(pointer, buffers, i)));
  if (kernel.symbols > 0) {
    Value* symbols = field(1);
    for (int i = 0; i < kernel.symbols; ++i)
      symbols_.push_back(b.CreateLoad(
          b.getInt64Ty(),
          b.CreateConstInBoundsGEP1_64(b.getInt64Ty(), symbols, static_cast<std::uint64_t>(i))));
  }
  for (const Dim& extent : kernel.axes) extents.push_back(value(extent));
  for (const auto& access : kernel.accesses) {
    offsets.push_back(value(access.offset));
    auto& row = strides.emplace_back();
    for (const Dim& stride : access.strides) row.push_back(value(stride));
  }
  if (kernel.clip) clip = value(*kernel.clip);
  if (!kernel.row_temps.empty()) {
    scratch = field(2);
    for (std::size_t i = 0; i < kernel.row_temps.size(); ++i)
      row_temps.push_back(
          b.CreateGEP(b.getInt8Ty(), scratch, value(scratch_offset(kernel, schedule, i))));
  }
}

void Frame::finish() {
  b.CreateRetVoid();
  llvm::BasicBlock& entry = function_->getEntryBlock();
  b.SetInsertPoint(&entry);
  b.CreateBr(entry.getNextNode());
}

Value* Frame::value(const Dim& dim) { return DimEmitter(b, x, symbols_).emit(dim); }

Value* Frame::local(llvm::Type* type, std::int64_t count) {
  llvm::BasicBlock& entry = function_->getEntryBlock();
  Builder at_entry(&entry, entry.end());
  auto* memory = at_entry.CreateAlloca(type, b.getInt64(static_cast<std::uint64_t>(count)));
  memory->setAlignment(llvm::Align(64));
  return memory;
}

Frame::Carried Frame::loop(Value* from, Value* to, Value* step, Carried carried,
                           llvm::function_ref<Carried(Value*, const Carried&)> body) {
  if (known(from) && known(to) && *known(from) >= *known(to)) return carried;
  if (known(from) && known(to) && known(step) && *known(to) - *known(from) <= *known(step))
    return body(from, carried);
  llvm::BasicBlock* before = b.GetInsertBlock();
  auto* inside = llvm::BasicBlock::Create(context(), "loop", function_);
  auto* after = llvm::BasicBlock::Create(context(), "after", function_);
  const bool entered = known(from) && known(to);
  if (entered)
    b.CreateBr(inside);
  else
    b.CreateCondBr(b.CreateICmpSLT(from, to), inside, after);
  b.SetInsertPoint(inside);
  llvm::PHINode* i = b.CreatePHI(b.getInt64Ty(), 2);
  i->addIncoming(from, before);
  Carried now;
  for (Value* value : carried) {
    llvm::PHINode* phi = b.CreatePHI(value->getType(), 2);
    phi->addIncoming(value, before);
    now.push_back(phi);
  }
  const Carried next = body(i, now);
  Value* following = b.CreateAdd(i, step);
  llvm::BasicBlock* latch = b.GetInsertBlock();
  i->addIncoming(following, latch);
  for (std::size_t v = 0; v < next.size(); ++v)
    llvm::cast<llvm::PHINode>(now[v])->addIncoming(next[v], latch);
  b.CreateCondBr(b.CreateICmpSLT(following, to), inside, after);
  b.SetInsertPoint(after);
  Carried last;
  for (std::size_t v = 0; v < next.size(); ++v) {
    llvm::PHINode* phi = b.CreatePHI(next[v]->getType(), 2);
    if (!entered) phi->addIncoming(carried[v], before);
    phi->addIncoming(next[v], latch);
    last.push_back(phi);
  }
  return last;
}

void Frame::loop(Value* from, Value* to, Value* step, llvm::function_ref<void(Value*)> body) {
  loop(from, to, step, Carried{}, [&](Value* i, const Carried&) {
    body(i);
    return Carried{};
  });
}

void Frame::when(Value* condition, llvm::function_ref<void()> body) {
  auto* inside = llvm::BasicBlock::Create(context(), "when", function_);
  auto* after = llvm::BasicBlock::Create(context(), "after", function_);
  b.CreateCondBr(condition, inside, after);
  b.SetInsertPoint(inside);
  body();
  b.CreateBr(after);
  b.SetInsertPoint(after);
}

void Frame::coordinates(Value* item, std::size_t first, std::size_t last,
                        std::vector<Value*>& out) {
  for (std::size_t axis = last; axis-- > first;) {
    out[axis] = axis == first ? item : x.mod(item, extents[axis]);
    if (axis != first) item = x.div(item, extents[axis]);
  }
}

Value* Frame::element(int access, const std::vector<Value*>& coordinates) {
  const auto number = static_cast<std::size_t>(access);
  Value* sum = offsets[number];
  for (std::size_t axis = 0; axis < coordinates.size(); ++axis)
    if (coordinates[axis]) sum = x.add(sum, x.mul(strides[number][axis], coordinates[axis]));
  return sum;
}

Wide Frame::masks(Value* rest, int lanes, int first, int count) {
  Wide result;
  Value* some = b.CreateTrunc(x.min(rest, x.number(1 << 16)), b.getInt32Ty());
  for (int v = first; v < first + count; ++v) {
    llvm::SmallVector<std::uint32_t, 64> numbers;
    for (int lane = 0; lane < lanes; ++lane)
      numbers.push_back(static_cast<std::uint32_t>(v * lanes + lane));
    Value* positions = lanes == 1 ? static_cast<Value*>(b.getInt32(numbers[0]))
                                  : llvm::ConstantDataVector::get(context(), numbers);
    result.push_back(b.CreateICmpSLT(positions, splat(b, some, lanes)));
  }
  return result;
}

Wide Frame::iota(Value* start, const Group& group) {
  Wide result;
  for (int v = 0; v < group.count; ++v) {
    llvm::SmallVector<std::uint64_t, 64> numbers;
    for (int lane = 0; lane < group.lanes; ++lane)
      numbers.push_back(static_cast<std::uint64_t>(v * group.lanes + lane));
    result.push_back(group.lanes == 1
                         ? b.CreateAdd(start, b.getInt64(numbers[0]))
                         : b.CreateAdd(splat(b, start, group.lanes),
                                       llvm::ConstantDataVector::get(context(), numbers)));
  }
  return result;
}

Value* Frame::to_register(Value* loaded, DType dtype) {
  if (dtype != DType::boolean) return loaded;
  return b.CreateICmpNE(loaded, llvm::Constant::getNullValue(loaded->getType()));
}

Value* Frame::to_memory(Value* value, DType dtype) {
  if (dtype != DType::boolean) return value;
  auto* byte = b.getInt8Ty();
  auto* vector = llvm::dyn_cast<llvm::FixedVectorType>(value->getType());
  return b.CreateZExt(value, vector ? llvm::FixedVectorType::get(byte, vector->getNumElements())
                                    : static_cast<llvm::Type*>(byte));
}

Value* Frame::address(int access, DType as, Value* element) {
  const auto buffer =
      static_cast<std::size_t>(kernel.accesses[static_cast<std::size_t>(access)].buffer);
  return b.CreateGEP(memory_type(context(), as, 1), buffers_[buffer], element);
}

/// Offsets of the lanes from the first; 32 bits wide where they fit, for gathers of that width.
Value* Frame::lane_offsets(Value* stride, int lanes) {
  const auto constant = known(stride);
  if (constant && *constant * lanes == static_cast<std::int32_t>(*constant * lanes)) {
    llvm::SmallVector<std::uint32_t, 64> offsets;
    for (int lane = 0; lane < lanes; ++lane)
      offsets.push_back(static_cast<std::uint32_t>(lane * *constant));
    return llvm::ConstantDataVector::get(context(), offsets);
  }
  Group one;
  one.lanes = lanes;
  return b.CreateMul(iota(x.number(0), one)[0], splat(b, stride, lanes));
}

/// Half `which` of a vector's lanes, at the even lanes of a vector of as many; `other` between.
Value* Frame::spread(Value* lanes, Value* other, int which) {
  const int count =
      static_cast<int>(llvm::cast<llvm::FixedVectorType>(lanes->getType())->getNumElements());
  llvm::SmallVector<int, 64> from;
  for (int i = 0; i < count; ++i)
    from.push_back(i % 2 == 0 ? which * count / 2 + i / 2 : count);
  return b.CreateShuffleVector(lanes, other, from);
}

/// Elements 0, 2, 4, … from `at`: two loads and a permutation in place of a gather, which takes an
/// element at a time. Nothing beyond the last of them is read.
Value* Frame::load_every_other(llvm::Type* vector, Value* at, llvm::Align alignment, Value* mask) {
  const int lanes =
      static_cast<int>(llvm::cast<llvm::FixedVectorType>(vector)->getNumElements());
  auto* scalar = vector->getScalarType();
  llvm::SmallVector<int, 64> picked;
  if (!mask) {   // the second begins an element early, so that it ends with the last one
    for (int i = 0; i < lanes; i += 2) picked.push_back(i);
    for (int i = 1; i < lanes; i += 2) picked.push_back(lanes + i);
    Value* low = b.CreateAlignedLoad(vector, at, alignment);
    Value* high = b.CreateAlignedLoad(vector, b.CreateGEP(scalar, at, x.number(lanes - 1)), alignment);
    return b.CreateShuffleVector(low, high, picked);
  }
  Value* nowhere = llvm::Constant::getNullValue(mask->getType());
  Value* halves[2];
  for (int which = 0; which < 2; ++which)
    halves[which] =
        b.CreateMaskedLoad(vector, b.CreateGEP(scalar, at, x.number(which * lanes)), alignment,
                           spread(mask, nowhere, which), llvm::Constant::getNullValue(vector));
  for (int i = 0; i < 2 * lanes; i += 2) picked.push_back(i);
  return b.CreateShuffleVector(halves[0], halves[1], picked);
}

/// The same of a store: nothing between the elements is touched.
void Frame::store_every_other(Value* value, Value* at, llvm::Align alignment, Value* mask) {
  auto* vector = llvm::cast<llvm::FixedVectorType>(value->getType());
  const int lanes = static_cast<int>(vector->getNumElements());
  auto* bits = llvm::FixedVectorType::get(b.getInt1Ty(), static_cast<unsigned>(lanes));
  if (!mask) mask = llvm::Constant::getAllOnesValue(bits);
  Value* nowhere = llvm::Constant::getNullValue(bits);
  for (int which = 0; which < 2; ++which)
    b.CreateMaskedStore(spread(value, llvm::PoisonValue::get(vector), which),
                        b.CreateGEP(vector->getElementType(), at, x.number(which * lanes)),
                        alignment, spread(mask, nowhere, which));
}

Wide Frame::load(int access, DType as, Value* element, Value* stride, const Group& group,
                 Value* between) {
  Wide result;
  if (!between) between = x.mul(stride, x.number(group.lanes));
  auto* scalar = memory_type(context(), as, 1);
  auto* vector = memory_type(context(), as, group.lanes);
  const llvm::Align alignment(size_of(as));
  const auto step = known(stride);
  Value* first = address(access, as, element);
  const int different = step == 0 && known(between) == 0 ? 1 : group.count;
  for (int v = 0; v < different; ++v) {
    Value* at = b.CreateGEP(scalar, first, x.mul(between, x.number(v)));
    Value* mask =
        group.masks.empty() ? nullptr : codegen::at(group.masks, static_cast<std::size_t>(v));
    Value* loaded = nullptr;
    if (group.lanes == 1 || step == 0) {
      loaded = splat(b, b.CreateAlignedLoad(scalar, at, alignment), group.lanes);
    } else if (step == 1) {
      loaded = mask ? static_cast<Value*>(b.CreateMaskedLoad(vector, at, alignment, mask,
                                                             llvm::Constant::getNullValue(vector)))
                    : b.CreateAlignedLoad(vector, at, alignment);
    } else if (step == -1 && !mask) {
      Value* low = b.CreateGEP(scalar, at, x.number(1 - group.lanes));
      loaded = b.CreateVectorReverse(b.CreateAlignedLoad(vector, low, alignment));
    } else if (step == 2 && size_of(as) >= 4) {
      loaded = load_every_other(vector, at, alignment, mask);
    } else {
      Value* addresses = b.CreateGEP(scalar, at, lane_offsets(stride, group.lanes));
      loaded = b.CreateMaskedGather(vector, addresses, alignment, mask,
                                    llvm::Constant::getNullValue(vector));
    }
    result.push_back(to_register(loaded, as));
  }
  return result;
}

void Frame::store(int access, const Wide& values, Value* element, Value* stride, const Group& group,
                  bool streaming, Value* between) {
  if (!between) between = x.mul(stride, x.number(group.lanes));
  const auto buffer =
      static_cast<std::size_t>(kernel.accesses[static_cast<std::size_t>(access)].buffer);
  const DType as = kernel.buffers[buffer].dtype;
  auto* scalar = memory_type(context(), as, 1);
  const llvm::Align alignment(size_of(as));
  const auto step = known(stride);
  Value* first = address(access, as, element);
  for (int v = 0; v < group.count; ++v) {
    Value* value = to_memory(codegen::at(values, static_cast<std::size_t>(v)), as);
    Value* at = b.CreateGEP(scalar, first, x.mul(between, x.number(v)));
    Value* mask =
        group.masks.empty() ? nullptr : codegen::at(group.masks, static_cast<std::size_t>(v));
    if (group.lanes == 1) {
      b.CreateAlignedStore(value, at, alignment);
    } else if (step == 1 && streaming) {
      auto* written = b.CreateAlignedStore(
          value, at, llvm::Align(size_of(as) * static_cast<std::size_t>(group.lanes)));
      auto* one = llvm::ConstantAsMetadata::get(b.getInt32(1));
      written->setMetadata(llvm::LLVMContext::MD_nontemporal, llvm::MDNode::get(context(), {one}));
    } else if (step == 1) {
      if (mask)
        b.CreateMaskedStore(value, at, alignment, mask);
      else
        b.CreateAlignedStore(value, at, alignment);
    } else if (step == 2 && size_of(as) >= 4) {
      store_every_other(value, at, alignment, mask);
    } else {
      b.CreateMaskedScatter(value, b.CreateGEP(scalar, at, lane_offsets(stride, group.lanes)),
                            alignment, mask);
    }
  }
}

void Frame::fence() {
  const llvm::Triple triple(b.GetInsertBlock()->getModule()->getTargetTriple());
  if (triple.isX86()) b.CreateIntrinsic(b.getVoidTy(), llvm::Intrinsic::x86_sse_sfence, {});
}

Wide Frame::transpose(Wide rows) {
  const auto lanes = rows.size();
  for (std::size_t step = 1; step < lanes;
       step *= 2) {  // swaps squares of this size across the diagonal
    llvm::SmallVector<int, 64> upper, lower;
    for (std::size_t k = 0; k < lanes; ++k) {
      upper.push_back(static_cast<int>((k & step) == 0 ? k : lanes + k - step));
      lower.push_back(static_cast<int>((k & step) == 0 ? k + step : lanes + k));
    }
    for (std::size_t i = 0; i < lanes; ++i) {
      if ((i & step) != 0) continue;
      Value *first = rows[i], *second = rows[i + step];
      rows[i] = b.CreateShuffleVector(first, second, upper);
      rows[i + step] = b.CreateShuffleVector(first, second, lower);
    }
  }
  return rows;
}

namespace {
/// Scratch memory begins on lines of 64 bytes.
llvm::Align dense_alignment(DType dtype, int lanes) {
  return llvm::Align(std::min<std::size_t>(64, size_of(dtype) * static_cast<std::size_t>(lanes)));
}
}  // namespace

Wide Frame::load_dense(Value* address, DType dtype, const Group& group) {
  Wide result;
  auto* vector = memory_type(context(), dtype, group.lanes);
  const llvm::Align alignment = dense_alignment(dtype, group.lanes);
  for (int v = 0; v < group.count; ++v) {
    Value* at = b.CreateConstGEP1_64(vector, address, static_cast<std::uint64_t>(v));
    result.push_back(to_register(b.CreateAlignedLoad(vector, at, alignment), dtype));
  }
  return result;
}

void Frame::store_dense(Value* address, DType dtype, const Wide& values, const Group& group) {
  auto* vector = memory_type(context(), dtype, group.lanes);
  const llvm::Align alignment = dense_alignment(dtype, group.lanes);
  for (int v = 0; v < group.count; ++v)
    b.CreateAlignedStore(to_memory(codegen::at(values, static_cast<std::size_t>(v)), dtype),
                         b.CreateConstGEP1_64(vector, address, static_cast<std::uint64_t>(v)),
                         alignment);
}

}  // namespace weft::codegen
