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

    llvm::BasicBlock* before = b_.GetInsertBlock();
    llvm::BasicBlock* loop = block("loop");
    b_.CreateBr(loop);
    b_.SetInsertPoint(loop);
    auto* p = b_.CreatePHI(b_.getInt64Ty(), 2);
    auto* from = b_.CreatePHI(b_.getPtrTy(), 2);
    p->addIncoming(begin, before);
    from->addIncoming(columns, before);
    std::vector<llvm::PHINode*> carried;
    for (int i = 0; i < shape_.rows * vectors(); ++i) {
      carried.push_back(b_.CreatePHI(vector_, 2));
      carried.back()->addIncoming(llvm::Constant::getNullValue(vector_), before);
    }
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
    Value* next = b_.CreateAdd(p, b_.getInt64(1));
    p->addIncoming(next, loop);
    from->addIncoming(bytes(from, column_step), loop);
    for (std::size_t i = 0; i < carried.size(); ++i) carried[i]->addIncoming(sums_[i], loop);
    llvm::BasicBlock* after = block("after");
    b_.CreateCondBr(b_.CreateICmpSLT(next, end), loop, after);
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
    out_ = pointer_field(offsetof(TileCall, out));
    out_stride_ = number_field(offsetof(TileCall, out_stride));
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
