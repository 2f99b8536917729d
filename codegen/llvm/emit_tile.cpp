#include "codegen/llvm/emit_tile.h"

#include <cstddef>
#include <string>

#include <llvm/IR/Intrinsics.h>

#include "codegen/llvm/emit_kernel.h"
#include "codegen/llvm/emit_scalar.h"

namespace weft::codegen {
namespace {

using ir::TileCall;
using llvm::Value;

/// Before so many steps the columns of as many later ones are asked for. In a loop of its own: the
/// code generator moves no load across such a request, and would run out of registers.
constexpr int steps_at_once = 8;

class TileEmitter {
 public:
  TileEmitter(llvm::Module& module, DType dtype, const ir::TileShape& shape, const Target& target)
      : b_(module.getContext()),
        size_(static_cast<int>(size_of(dtype))),
        lanes_(target.vector_bytes / size_),
        shape_(shape),
        scalar_(memory_type(module.getContext(), dtype, 1)),
        vector_(memory_type(module.getContext(), dtype, lanes_)) {
    auto* pointer = b_.getPtrTy();
    auto* type = llvm::FunctionType::get(
        b_.getVoidTy(), {pointer, pointer, b_.getInt64Ty(), b_.getInt64Ty()}, false);
    function_ =
        llvm::Function::Create(type, llvm::Function::ExternalLinkage, kernel_symbol, module);
    const std::string width = std::to_string(8 * target.vector_bytes);
    function_->addFnAttr(llvm::Attribute::NoUnwind);
    function_->addFnAttr("prefer-vector-width", width);
    function_->addFnAttr("min-legal-vector-width", width);
    function_->addFnAttr("no-builtins");
    function_->addFnAttr("stackrealign");
    b_.SetInsertPoint(block("entry"));
  }

  void emit() {
    out_ = pointer_field(offsetof(TileCall, out));
    out_stride_ = number_field(offsetof(TileCall, out_stride));
    fetch_soon();
    sum();
    addend();
    store();
    b_.CreateRetVoid();
  }

 private:
  [[nodiscard]] int vectors() const { return shape_.columns / lanes_; }

  llvm::BasicBlock* block(const char* name) {
    return llvm::BasicBlock::Create(b_.getContext(), name, function_);
  }
  Value* bytes(Value* base, Value* offset) { return b_.CreateGEP(b_.getInt8Ty(), base, offset); }
  Value* bytes(Value* base, std::int64_t offset) {
    return bytes(base, b_.getInt64(static_cast<std::uint64_t>(offset)));
  }
  Value* field(std::size_t offset, llvm::Type* type) {
    return b_.CreateLoad(type, bytes(function_->getArg(1), static_cast<std::int64_t>(offset)));
  }
  Value* pointer_field(std::size_t offset) { return field(offset, b_.getPtrTy()); }
  Value* number_field(std::size_t offset) { return field(offset, b_.getInt64Ty()); }
  Value* load(Value* from) {
    return b_.CreateAlignedLoad(vector_, from, llvm::Align(static_cast<std::uint64_t>(size_)));
  }
  void write(Value* value, Value* to) {
    b_.CreateAlignedStore(value, to, llvm::Align(static_cast<std::uint64_t>(size_)));
  }
  /// Where row i of something with this row stride begins, vector v.
  Value* place(Value* base, Value* stride, int i, int v) {
    Value* row = bytes(base, b_.CreateMul(stride, b_.getInt64(static_cast<std::uint64_t>(i))));
    return bytes(row, std::int64_t{v} * lanes_ * size_);
  }

  /// What the tile will write arrives while it adds up.
  void fetch_soon() {
    for (int i = 0; i < shape_.rows; ++i) fetch_line(place(out_, out_stride_, i, 0), true);
  }
  /// A row of the tile's width.
  void fetch_line(Value* from, bool written) {
    constexpr int line = 64;
    for (int at = 0; at < shape_.columns * size_; at += line)
      b_.CreateIntrinsic(llvm::Intrinsic::prefetch, {b_.getPtrTy()},
                         {bytes(from, at), b_.getInt32(written), b_.getInt32(3), b_.getInt32(1)});
  }

  /// The loop: each element of a row goes into one fma a vector.
  void sum() {
    const int groups = (shape_.rows + TileCall::group - 1) / TileCall::group;
    std::vector<Value*> bases, of_group{b_.getInt64(0)};
    for (int g = 0; g < groups; ++g)
      bases.push_back(
          pointer_field(offsetof(TileCall, groups) + sizeof(void*) * static_cast<std::size_t>(g)));
    of_group.push_back(number_field(offsetof(TileCall, row_stride)));
    of_group.push_back(b_.CreateAdd(of_group[1], of_group[1]));
    Value* steps = pointer_field(offsetof(TileCall, steps));
    Value* column_step = number_field(offsetof(TileCall, column_step));
    Value *begin = function_->getArg(2), *end = function_->getArg(3);
    Value* columns =
        bytes(pointer_field(offsetof(TileCall, columns)), b_.CreateMul(begin, column_step));

    Value* chunk = b_.CreateMul(column_step, b_.getInt64(steps_at_once));
    llvm::BasicBlock *before = b_.GetInsertBlock(), *outer = block("outer"), *loop = block("loop");
    b_.CreateBr(outer);
    b_.SetInsertPoint(outer);
    auto* first = b_.CreatePHI(b_.getInt64Ty(), 2);
    auto* outer_from = b_.CreatePHI(b_.getPtrTy(), 2);
    std::vector<llvm::PHINode*> outer_carried, carried;
    for (int i = 0; i < shape_.rows * vectors(); ++i)
      outer_carried.push_back(b_.CreatePHI(vector_, 2));
    Value* soon = bytes(outer_from, chunk);
    for (int i = 0; i < steps_at_once; ++i) fetch_line(place(soon, column_step, i, 0), false);
    Value* stop = b_.CreateBinaryIntrinsic(llvm::Intrinsic::smin, end,
                                           b_.CreateAdd(first, b_.getInt64(steps_at_once)));
    b_.CreateBr(loop);
    b_.SetInsertPoint(loop);
    auto* p = b_.CreatePHI(b_.getInt64Ty(), 2);
    auto* from = b_.CreatePHI(b_.getPtrTy(), 2);
    for (int i = 0; i < shape_.rows * vectors(); ++i) carried.push_back(b_.CreatePHI(vector_, 2));
    Wide column;
    for (int v = 0; v < vectors(); ++v)
      column.push_back(load(bytes(from, std::int64_t{v} * lanes_ * size_)));
    Value* step = b_.CreateLoad(b_.getInt64Ty(), b_.CreateGEP(b_.getInt64Ty(), steps, p));
    Value* at = nullptr;
    for (int i = 0; i < shape_.rows; ++i) {
      const auto in_group = static_cast<std::size_t>(i % TileCall::group);
      if (in_group == 0) at = bytes(bases[static_cast<std::size_t>(i / TileCall::group)], step);
      Value* row = splat(b_, b_.CreateLoad(scalar_, bytes(at, of_group[in_group])), lanes_);
      for (int v = 0; v < vectors(); ++v) {
        Value* old = carried[static_cast<std::size_t>(i * vectors() + v)];
        sums_.push_back(b_.CreateIntrinsic(llvm::Intrinsic::fma, {vector_},
                                           {row, column[static_cast<std::size_t>(v)], old}));
      }
    }
    Value *next = b_.CreateAdd(p, b_.getInt64(1)), *next_from = bytes(from, column_step);
    llvm::BasicBlock *more = block("more"), *after = block("after");
    b_.CreateCondBr(b_.CreateICmpSLT(next, stop), loop, more);
    b_.SetInsertPoint(more);
    b_.CreateCondBr(b_.CreateICmpSLT(next, end), outer, after);
    const auto join = [&](llvm::PHINode* outside, llvm::PHINode* inside, Value* start,
                          Value* later) {
      outside->addIncoming(start, before);
      outside->addIncoming(later, more);
      inside->addIncoming(outside, outer);
      inside->addIncoming(later, loop);
    };
    join(first, p, begin, next);
    join(outer_from, from, columns, next_from);
    for (std::size_t i = 0; i < carried.size(); ++i)
      join(outer_carried[i], carried[i], llvm::Constant::getNullValue(vector_), sums_[i]);
    b_.SetInsertPoint(after);
  }

  void addend() {
    Value* from = pointer_field(offsetof(TileCall, addend));
    Value* stride = number_field(offsetof(TileCall, addend_stride));
    llvm::BasicBlock *before = b_.GetInsertBlock(), *some = block("addend"),
                     *after = block("store");
    b_.CreateCondBr(b_.CreateIsNull(from), after, some);
    b_.SetInsertPoint(some);
    std::vector<Value*> added;
    for (int i = 0; i < shape_.rows; ++i)
      for (int v = 0; v < vectors(); ++v)
        added.push_back(b_.CreateFAdd(load(place(from, stride, i, v)),
                                      sums_[static_cast<std::size_t>(i * vectors() + v)]));
    b_.CreateBr(after);
    b_.SetInsertPoint(after);
    for (std::size_t i = 0; i < sums_.size(); ++i) {
      auto* either = b_.CreatePHI(vector_, 2);
      either->addIncoming(sums_[i], before);
      either->addIncoming(added[i], some);
      sums_[i] = either;
    }
  }

  void store() {
    for (int i = 0; i < shape_.rows; ++i)
      for (int v = 0; v < vectors(); ++v)
        write(sums_[static_cast<std::size_t>(i * vectors() + v)], place(out_, out_stride_, i, v));
  }

  Builder b_;
  int size_, lanes_;
  ir::TileShape shape_;
  llvm::Type *scalar_, *vector_;
  llvm::Function* function_ = nullptr;
  std::vector<Value*> sums_;  // row by row
  Value *out_ = nullptr, *out_stride_ = nullptr;
};

}  // namespace

void emit_tile(llvm::Module& module, DType dtype, const ir::TileShape& shape,
               const Target& target) {
  TileEmitter(module, dtype, shape, target).emit();
}

}  // namespace weft::codegen
