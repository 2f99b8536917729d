// What the emitters of pointwise and row kernels share: the function, its arguments, extents and
// strides as values, loops, and loads and stores of vectors through accesses.
#pragma once

#include <llvm/IR/Function.h>

#include "codegen/llvm/emit_scalar.h"
#include "codegen/schedule.h"
#include "ir/kernel.h"

namespace weft::codegen {

/// Arithmetic on int64 values that folds zeros and ones.
class Index {
 public:
  explicit Index(Builder& b) : b_(b) {}
  llvm::Value* number(std::int64_t value) { return b_.getInt64(static_cast<std::uint64_t>(value)); }
  llvm::Value* add(llvm::Value* x, llvm::Value* y);
  llvm::Value* sub(llvm::Value* x, llvm::Value* y);
  llvm::Value* mul(llvm::Value* x, llvm::Value* y);
  llvm::Value* div(llvm::Value* x, llvm::Value* y);  // of numbers that are not negative
  llvm::Value* mod(llvm::Value* x, llvm::Value* y);
  llvm::Value* min(llvm::Value* x, llvm::Value* y);
  llvm::Value* max(llvm::Value* x, llvm::Value* y);

 private:
  Builder& b_;
};

std::optional<std::int64_t> known(llvm::Value*);

/// Which vectors are being worked on.
struct Group {
  int lanes = 1, count = 1;
  Wide masks;  // of the lanes that exist; empty: all
};

class Frame {
 public:
  Frame(llvm::Module&, const ir::Kernel&, const Schedule&, const Target&);
  void finish();

  Builder b;
  Index x{b};
  const ir::Kernel& kernel;
  const Schedule& schedule;
  const Target& target;
  llvm::Value *begin = nullptr, *end = nullptr, *scratch = nullptr;
  std::vector<llvm::Value*> extents;               // of the axes
  std::vector<std::vector<llvm::Value*>> strides;  // of accesses
  std::vector<llvm::Value*> offsets;               // of accesses
  llvm::Value* clip = nullptr;
  std::vector<llvm::Value*> row_temps;  // addresses

  llvm::LLVMContext& context() { return b.getContext(); }
  llvm::Value* value(const Dim&);
  /// Uninitialised memory of this call, allocated once.
  llvm::Value* local(llvm::Type*, std::int64_t count);

  using Carried = llvm::SmallVector<llvm::Value*, 16>;
  /// for (i = from; i < to; i += step) carried = body(i, carried); gives what was carried last.
  Carried loop(llvm::Value* from, llvm::Value* to, llvm::Value* step, Carried carried,
               llvm::function_ref<Carried(llvm::Value*, const Carried&)> body);
  void loop(llvm::Value* from, llvm::Value* to, llvm::Value* step,
            llvm::function_ref<void(llvm::Value*)> body);
  void when(llvm::Value* condition, llvm::function_ref<void()> body);

  /// Coordinates on axes [first, last) of the item with this number among them.
  void coordinates(llvm::Value* item, std::size_t first, std::size_t last,
                   std::vector<llvm::Value*>& out);
  /// Element number of the access at these coordinates; axes whose coordinate is null count as 0.
  llvm::Value* element(int access, const std::vector<llvm::Value*>& coordinates);

  /// The first `rest` lanes of `count` vectors, from vector `first` on.
  Wide masks(llvm::Value* rest, int lanes, int first, int count);
  /// The coordinates of the lanes on the axis along which vectors lie.
  Wide iota(llvm::Value* start, const Group&);
  /// `stride` lies between lanes, `between` between vectors (without it they follow one another).
  Wide load(int access, DType as, llvm::Value* element, llvm::Value* stride, const Group&,
            llvm::Value* between = nullptr);
  void store(int access, const Wide&, llvm::Value* element, llvm::Value* stride, const Group&,
             bool streaming, llvm::Value* between = nullptr);
  /// After stores past the cache.
  void fence();
  /// As many vectors as each has lanes: vector i of the result holds lane i of all.
  Wide transpose(Wide);
  /// Contiguous vectors at an address: row temps and accumulators in memory. Whole vectors always.
  Wide load_dense(llvm::Value* address, DType, const Group&);
  void store_dense(llvm::Value* address, DType, const Wide&, const Group&);
  llvm::Value* address(int access, DType as, llvm::Value* element);

 private:
  llvm::Value* to_register(llvm::Value* loaded, DType);
  llvm::Value* to_memory(llvm::Value* value, DType);
  llvm::Value* lane_offsets(llvm::Value* stride, int lanes);
  llvm::Value* spread(llvm::Value* lanes, llvm::Value* other, int which);
  void store_every_other(llvm::Value* value, llvm::Value* at, llvm::Align alignment,
                         llvm::Value* mask);
  llvm::Value* load_every_other(llvm::Type* vector, llvm::Value* at, llvm::Align alignment,
                                llvm::Value* mask);

  std::vector<llvm::Value*> buffers_, symbols_;
  llvm::Function* function_;
};

}  // namespace weft::codegen
