// Cells: the code of the reactive engine. A cell is a graph cut off at its inputs, compiled for the
// types that these have now; equal cells share code, found by structure. The first runs are
// interpreted; native code is made once a cell has spent about as long in the interpreter as
// compiling takes. (Both give the same bits, so time may decide.) On a device nothing is
// interpreted.
#pragma once

#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "ir/graph.h"
#include "runtime/array.h"
#include "runtime/program.h"
#include "runtime/staged.h"

namespace weft::runtime {

class CellCode {
 public:
  /// What runs: one program, or one after another.
  struct Runnable {
    std::shared_ptr<const Program> program;
    std::shared_ptr<const Staged> staged;  // in place of `program`, where shapes depend on values
  };
  CellCode(Runnable runnable, std::span<const Array* const> inputs, std::size_t outputs,
           Device device);

  [[nodiscard]] bool fits(std::span<const Array* const> inputs) const;
  /// `outputs[i]` is replaced by a fresh array, or by one that shares an input's or another
  /// output's storage.
  void run(std::span<const Array* const> inputs, std::span<Array> outputs);
  [[nodiscard]] std::size_t output_count() const { return outputs_; }
  /// Where it runs, and where its inputs and outputs lie.
  [[nodiscard]] Device device() const { return device_; }
  /// Interpreted so far, and for long enough.
  [[nodiscard]] bool wants_native() const;
  void replace(Runnable runnable, bool native);

 private:
  struct Code {
    Runnable what;
    std::shared_ptr<const Sizes> sizes;  // of the program
    bool native = false;
  };
  void run_program(const Code& code, std::span<const Array* const> inputs,
                   std::span<Array> outputs) const;
  [[nodiscard]] Code code() const;

  std::vector<DType> dtypes_;
  std::vector<Shape> shapes_;
  std::size_t outputs_;
  Device device_;
  mutable std::mutex mutex_;  // guards the rest
  Code code_;
  double spent_ns_ = 0;
};

/// The code of the cell between `inputs` (nodes with their values now) and `outputs`.
std::shared_ptr<CellCode> find_cell(std::span<const ir::Node* const> inputs,
                                    std::span<const ir::Node* const> outputs,
                                    std::span<const Array* const> values, Device device);
/// Native code for a cell that wants it.
void make_native(CellCode& code, std::span<const ir::Node* const> inputs,
                 std::span<const ir::Node* const> outputs, std::span<const Array* const> values);

}  // namespace weft::runtime
