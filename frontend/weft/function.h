// `Function`: a graph over placeholders, compiled into fused native code when first called with
// arrays of a signature (dtypes and shapes), cached, immutable, callable from many threads at once.
//
// Tensors that hold a value and are not inputs are read live at each call. `updates` write
// variables when the call commits; one call is atomic: it succeeds, or throws with every variable
// and output as before.
#pragma once

#include <memory>
#include <source_location>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "ir/precision.h"
#include "weft/tensor.h"

namespace weft {

enum class Stage : std::uint8_t { graph, optimized, kernels, native };

struct FunctionOptions {
  std::vector<std::pair<Tensor, Tensor>> updates = {};  // variable, its new value
  /// Where it runs, and where its results and the variables that it updates are from then on. Values
  /// of the processor are brought there; those of another device are a DeviceError.
  Device device = {};
  std::string name = {};
  /// Rewrites that may change bits and special values; on a device besides, its own functions of
  /// float32: exp(x) and what is made of it right to within 2 + 1.2|x| ulp, 0 where they are too
  /// small to be normal; tanh, log, sin and the like as CUDA has them, to within a few ulp.
  bool fast_math = false;
  /// Only for looking at what fusion does: false gives one kernel an operation.
  bool fuse = true;
  /// Of products on a device: what set_float32_matmul_precision set last.
  MatmulPrecision precision = matmul_precision();
};

struct FunctionStats {
  std::int64_t calls = 0;
  std::int64_t compilations = 0;  // signatures compiled
  std::int64_t cache_hits = 0;    // calls that found their signature compiled
  double compile_ms = 0;          // of all signatures together
  std::int64_t kernels = 0;       // of the last signature: steps that run
  std::int64_t distinct_kernels = 0;
  std::int64_t bytes_planned = 0;  // arena of one call
  std::int64_t bytes_moved = 0;    // per call, where extents are known
  double flops = 0;                // per call, where extents are known
  /// Of a device's function: steps that run on the processor. They are users' functions
  /// and eigenvalues of matrices that are not symmetric.
  std::int64_t host_steps = 0;
};

/// Wall time of the steps of one call (`Function::profile`).
struct StepTime {
  std::string label;
  std::int64_t start_ns = 0, end_ns = 0;
};

class Function {
 public:
  using Where = std::source_location;

  Function(std::vector<Tensor> inputs, std::vector<Tensor> outputs, FunctionOptions options = {},
           Where where = Where::current());
  Function(std::vector<Tensor> inputs, const Tensor& output, FunctionOptions options = {},
           Where where = Where::current());

  /// One array an input, in order; converted to the input's declared dtype only where no value is
  /// lost in kind (a floating array for an integer input is a DTypeError). Always a list.
  std::vector<Array> operator()(std::span<const Array> inputs) const;
  std::vector<Array> operator()(std::initializer_list<Array> inputs) const {
    return (*this)(std::span<const Array>(inputs.begin(), inputs.size()));
  }
  std::vector<Array> operator()(const std::vector<Array>& inputs) const {
    return (*this)(std::span<const Array>(inputs));
  }
  template <class... A>
    requires(std::is_convertible_v<const A&, Array> && ...)
  std::vector<Array> operator()(const A&... inputs) const {
    // What has to be converted lives until the call is over.
    return call(
        std::initializer_list<const Array*>{std::addressof(static_cast<const Array&>(inputs))...});
  }

  /// Writes into `outputs` (dense, of the result's dtype and shape; else they are replaced).
  /// Allocates nothing in steady state.
  void call_into(std::span<Array> outputs, std::span<const Array> inputs) const;

  [[nodiscard]] std::size_t input_count() const;
  /// Where it runs, and where its results are.
  [[nodiscard]] Device device() const;
  [[nodiscard]] std::size_t output_count() const;
  [[nodiscard]] const std::string& name() const;

  /// Text of a stage. `graph` needs no call; the others show the signature called last, or, for a
  /// function that was never called, the declared types (UnsetInput where these are not known).
  [[nodiscard]] std::string ir(Stage stage = Stage::graph) const;
  [[nodiscard]] FunctionStats stats() const;
  /// One call with a clock at each step.
  std::vector<StepTime> profile(std::span<const Array> inputs) const;

  /// Text in `path`; large constants, and the values of captured variables, in a safetensors file
  /// beside it. UnsupportedOp where a custom operation over arrays is among its operations.
  void save(const std::string& path) const;
  /// What `save` wrote, to run on `device`, whichever it ran on. IoError, ParseError with the line.
  static Function load(const std::string& path, Device device = {}, Where where = Where::current());

  struct Impl;
  /// The library's own use. Error where this was moved from.
  [[nodiscard]] const Impl& impl() const {
    if (!impl_) [[unlikely]]
      moved_from();
    return *impl_;
  }

 private:
  explicit Function(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}
  std::vector<Array> call(std::initializer_list<const Array*> inputs) const;
  [[noreturn]] static void moved_from();
  std::shared_ptr<const Impl> impl_;
};

}  // namespace weft
