// What the texts of extern steps are put together from: the operands' extents as expressions over
// the symbols, entries that call a function of a prelude, and pieces of the step's workspace.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>

#include "codegen/cuda/operation_text.h"

namespace weft::codegen {

/// Types and conversions that all of them use.
std::string_view operation_prelude();
/// Indices and what they name.
std::string_view indexing_prelude();
/// Elementary functions of doubles.
std::string_view math_prelude();
/// The generator of random numbers; comes after the former.
std::string_view random_prelude();
/// Running results along an axis, after that of sorting.
std::string_view scan_prelude();

/// An array as lines along one of its axes, as the preludes' functions know them.
struct LineDims {
  Dim outer = 1, extent = 1, inner = 1;
  [[nodiscard]] Dim count() const { return outer * inner; }
  /// `weft_axis{s0, s1, 1}`.
  [[nodiscard]] std::string text() const;
};
/// `axis` counts from the end where it is negative.
LineDims lines_of(const Dims& shape, std::int64_t axis);

/// An element as the preludes' functions know it: `weft_half` and `weft_bfloat` are types there.
std::string_view element_type(DType);
/// As wide as an element, for what only moves it.
std::string_view word_type(DType);

class OperationWriter {
 public:
  OperationWriter(const ir::DeviceOperation&, std::string_view name);

  /// Comes before the text, after the preludes asked for earlier.
  void use(std::string_view prelude) { result_.preludes.push_back(prelude); }
  void schedule(std::string_view how) { result_.schedule = how; }

  /// Of a buffer: inputs first, then outputs. One that is not there has no extents.
  [[nodiscard]] const ir::DeviceOperation::Operand& operand(std::size_t buffer) const;
  [[nodiscard]] Dims shape(std::size_t buffer) const;
  [[nodiscard]] Dim count(std::size_t buffer) const { return product(shape(buffer)); }
  [[nodiscard]] std::size_t inputs() const { return operation_.inputs.size(); }

  /// `((const float*)b1)`, for reading; `words`: as elements that are only moved.
  [[nodiscard]] std::string in(std::size_t buffer, bool words = false) const;
  [[nodiscard]] std::string out(std::size_t buffer, bool words = false) const;
  /// `weft_extents<2>{{s0, s1}}`.
  [[nodiscard]] std::string extents(std::size_t buffer) const;

  /// Memory that the step's launches share, as an expression: `((weft_i64*)(workspace + 256))`.
  std::string reserve(std::string_view type, const Dim& bytes);

  struct Launch {
    Dim blocks = 1;
    int threads = 256;
    bool workspace = false;
    bool random = false;  // takes `const weft_random* random`
    bool fault = false;   // takes `weft_fault* fault, weft_i64 step`
    Dims numbers = {};    // further arguments `n0, n1, …`
    int resident = 0;     // blocks that registers have to suffice for; 0: any number
    int shared = 0;       // bytes of dynamic shared memory a block
    Dim scratch = 0;      // bytes a block, if any: takes `char* scratch`
    int most_threads = 0;  // of launches that share an entry; 0: as many
  };
  /// An entry that does `function(arguments…);`. Launches whose entries would be alike share one.
  void launch(const Launch&, std::string_view function,
              std::initializer_list<std::string> arguments);
  /// What an index that is out of range is told with: see ir::DeviceKernel::fault.
  void fault(std::string_view message) { result_.code.fault = message; }
  /// Likewise of values that are no indices.
  void value_fault(std::string_view lines) {
    fault(lines);
    result_.code.fault_of_index = false;
  }
  /// How far the step moves the random stream.
  void draws(Dim elements) { result_.code.draws = std::move(elements); }

  OperationText take() { return std::move(result_); }

 private:
  const ir::DeviceOperation& operation_;
  std::string name_;
  std::vector<std::string> entries_;  // without their names
  OperationText result_;
};

/// Blocks of 256 threads.
inline Dim blocks_for(const Dim& threads) { return ceildiv(threads, Dim(256)); }
/// An axis that may count from the end.
std::size_t axis_of(std::int64_t axis, std::size_t rank);
/// 1 where `n` is more than `limit`, else 0: a factor for blocks of launches that only some extents
/// need.
Dim if_above(const Dim& n, std::int64_t limit);

// Families: nothing where there is no form.
using OperationFamily = std::optional<OperationText>(const ir::DeviceOperation&,
                                                     std::string_view name);
OperationFamily random_operation;
OperationFamily distribution_operation;
OperationFamily indexing_operation;
OperationFamily sort_operation;
OperationFamily scan_operation;
OperationFamily counting_operation;
OperationFamily fold_operation;
OperationFamily linalg_operation;
std::optional<OperationText> fourier_operation(const ir::DeviceOperation&, std::string_view name,
                                               const DeviceLimits&);

}  // namespace weft::codegen
