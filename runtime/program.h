// A plan with its code: what a compiled graph is at run time. Immutable; called from many threads
// at once. `HostProgram` runs on the processor, `CudaProgram` (runtime/cuda_program.h) on a device.
//
// A call binds the plan's unknown extents, takes a frame (pointer tables and an arena), and runs the
// steps in order, each split over the thread pool where its cost says so. The frame of the last call
// is taken and left by one exchange of a pointer; calls that overlap have frames of their own, the
// first few of which are kept. In steady state a call allocates nothing: the caller supplies the
// outputs. Sizes that depend on extents are computed once for each set of extents and kept.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "ir/executable.h"
#include "ir/plan.h"
#include "runtime/array.h"

namespace weft::runtime {

/// WEFT_CHECK_NANS: a step that makes a NaN throws Error. Nothing may then be written in place.
bool nan_checks_wanted();
/// False for dtypes that have none.
bool any_nan(DType dtype, const void* data, std::int64_t n);

/// A plan at concrete extents.
struct Sizes {
  virtual ~Sizes() = default;
  std::uint64_t number = 0;  // no two have the same
  std::vector<Shape> input_shapes, output_shapes, slot_shapes;
  std::vector<LayoutRef> output_layouts;
  std::vector<std::int64_t> slot_offsets;
  std::size_t arena = 0;
};
struct HostSizes;
struct Frame;  // the working memory of one call

class Program {
 public:
  virtual ~Program() = default;
  /// Where it runs, and where its inputs and outputs lie.
  [[nodiscard]] virtual Device device() const { return {}; }

  /// Of a device's program: steps that run on the processor all the same.
  [[nodiscard]] virtual std::int64_t host_steps() const { return 0; }

  [[nodiscard]] const ir::Plan& plan() const { return plan_; }
  [[nodiscard]] std::span<const std::shared_ptr<const ir::Executable>> executables() const {
    return executables_;
  }

  /// The plan at these input shapes; ShapeError where an extent, a rank or a checked equality does
  /// not fit.
  [[nodiscard]] std::shared_ptr<const Sizes> size(std::span<const Shape* const> input_shapes) const;
  /// The sizes of a plan without unknowns, whose inputs have one shape each; else null.
  [[nodiscard]] const Sizes* fixed() const { return fixed_.get(); }
  /// Of the outputs, in order.
  [[nodiscard]] static std::span<const Shape> output_shapes(const Sizes& sizes);
  [[nodiscard]] static std::span<const LayoutRef> output_layouts(const Sizes& sizes);
  [[nodiscard]] DType output_dtype(std::size_t i) const {
    return plan_.slots[static_cast<std::size_t>(plan_.outputs[i])].dtype;
  }
  [[nodiscard]] static std::size_t arena_bytes(const Sizes& sizes);
  /// Whether a call may fail after it has begun to write this output.
  [[nodiscard]] bool may_fail_after(std::size_t output) const {
    if (last_risk_ < 0) return false;
    const ir::Slot& slot = plan_.slots[static_cast<std::size_t>(plan_.outputs[output])];
    return slot.kind == ir::Slot::Kind::output && slot.first_step <= last_risk_;
  }

  /// Runs once. `inputs` and `outputs` point at dense, C-ordered data of the plan's dtypes and the
  /// sizes' shapes, one an input and an output; a null output is not wanted where the plan has it
  /// in another one's, an input's or a constant's slot. An output may be an input's own storage
  /// only where the plan says so (Plan::donated). Throws what an extern step throws; the outputs
  /// are then unspecified.
  virtual void run(const Sizes& sizes, void* const* inputs, void* const* outputs) const = 0;

  /// For `run_observed`, which runs as `run` does: told of each step when it began and ended.
  struct StepObserver {
    virtual ~StepObserver() = default;
    virtual void step(std::size_t index, std::int64_t start_ns, std::int64_t end_ns) = 0;
  };
  virtual void run_observed(const Sizes& sizes, void* const* inputs, void* const* outputs,
                            StepObserver& observer) const = 0;

 protected:
  explicit Program(ir::Plan plan);
  /// Of a plan without unknowns, else null. What needs code is still to be added.
  [[nodiscard]] std::shared_ptr<Sizes> fixed_sizes() const;
  /// What this kind of program needs of a plan at these extents, apart from what all do.
  [[nodiscard]] virtual std::shared_ptr<Sizes> make_sizes() const = 0;
  virtual void size_steps(Sizes& sizes, const DimBindings& bindings) const = 0;
  /// And of its code, once that is there.
  virtual void add_code(Sizes& /*sizes*/) const {}

  ir::Plan plan_;
  std::vector<std::shared_ptr<const ir::Executable>>
      executables_;  // one a kernel, or null; further code

  std::shared_ptr<const Sizes> fixed_;  // where the plan has no unknowns
  std::ptrdiff_t last_risk_ = -1;  // the last step that may fail

 private:
  [[nodiscard]] std::shared_ptr<Sizes> without_code(std::span<const Shape* const>) const;
  mutable std::mutex mutex_;  // guards what follows
  static constexpr std::size_t kept_sizes = 4;
  mutable std::vector<std::shared_ptr<const Sizes>> recent_;  // the last used first
};

class HostProgram final : public Program {
 public:
  /// The compiler outlives the program: products of new extents may need tiles that it makes.
  HostProgram(ir::Plan plan, ir::KernelCompiler& compiler);
  ~HostProgram() override;

  void run(const Sizes& sizes, void* const* inputs, void* const* outputs) const override;
  void run_observed(const Sizes& sizes, void* const* inputs, void* const* outputs,
                    StepObserver& observer) const override;

 private:
  class Turn;  // with a frame, for one call
  [[nodiscard]] std::shared_ptr<Sizes> make_sizes() const override;
  void size_steps(Sizes& sizes, const DimBindings& bindings) const override;
  void add_code(Sizes& sizes) const override;
  void lay_out(const HostSizes& sizes, Frame& frame) const;
  void run_step(const HostSizes& sizes, Frame& frame, std::size_t index) const;
  void run_group(const HostSizes& sizes, Frame& frame, std::size_t group,
                 std::int64_t* spent) const;

  ir::KernelCompiler& compiler_;
  mutable std::atomic<Frame*> idle_{nullptr};  // the frame of the last call, when no call has it
  mutable std::mutex frames_mutex_;            // guards what follows
  mutable std::vector<std::unique_ptr<Frame>> frames_;  // further idle ones
};

}  // namespace weft::runtime
