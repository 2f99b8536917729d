// A plan on a CUDA device. Its constants are uploaded once; its temporaries lie in memory that a
// call takes from the device's pool and gives back when all is enqueued; its kernels run in the
// order of the device's stream, and a call does not wait for them. Runs of kernels are recorded as
// graphs the second time that they are to work on the same addresses, and replayed from then on,
// steps that share no memory side by side: a call is then one launch, with nothing allocated from
// the driver and nothing waited for. Inputs and outputs that lie elsewhere in every call are copied
// in and out, where that is little beside the launches it saves; so are those that are not aligned
// as code expects. An extern step that has no code for a device runs on the processor: its operands
// come down, its results go up, and the call waits.
//
// Errors of a kernel that has been enqueued show later, at whatever next waits for the device.
// Where the environment variable WEFT_CUDA_SYNC is 1, every kernel is waited for, and an error
// names the kernel and the user's line. So does an IndexError (runtime/cuda_faults.h): an index that
// is out of range touches no memory, and is told when the device is next waited for.
//
// Steps that run on the processor whatever the device: eigenvalues of matrices that are not
// symmetric, users' callbacks.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "ir/device_code.h"
#include "runtime/hazards.h"
#include "runtime/program.h"

namespace weft::runtime {

class CudaDevice;
class CudaModule;
class CudaRecorder;
struct CudaSizes;
struct SizedStep;
struct CudaFrame;

class CudaProgram final : public Program {
 public:
  CudaProgram(Device device, ir::Plan plan, ir::DeviceCompiler& compiler);
  ~CudaProgram() override;

  [[nodiscard]] Device device() const override;
  [[nodiscard]] std::int64_t host_steps() const override;
  void run(const Sizes& sizes, void* const* inputs, void* const* outputs) const override;
  void run_observed(const Sizes& sizes, void* const* inputs, void* const* outputs,
                    StepObserver& observer) const override;

 private:
  class Turn;
  [[nodiscard]] std::shared_ptr<Sizes> make_sizes() const override;
  void size_steps(Sizes& sizes, const DimBindings& bindings) const override;
  [[nodiscard]] DimBindings bind_symbols(CudaSizes& sizes, std::size_t step,
                                         const DimBindings& bindings) const;
  void size_product(CudaSizes& sizes, std::size_t step, const DimBindings& bindings) const;
  void lay_out(const CudaSizes& sizes, CudaFrame& frame) const;
  void fill_slots(const CudaSizes& sizes, CudaFrame& frame, void* const* inputs,
                  void* const* outputs) const;
  [[nodiscard]] std::size_t slot_bytes(const CudaSizes& sizes, std::size_t slot) const;
  /// A slot's value is copied to or from a place of the frame's own, from now on.
  void give_place(const CudaSizes& sizes, CudaFrame& frame, std::size_t slot) const;
  void run_steps(const CudaSizes& sizes, CudaFrame& frame) const;
  bool replay(const CudaSizes& sizes, CudaFrame& frame) const;
  bool record(const CudaSizes& sizes, CudaFrame& frame) const;
  void settle(const CudaSizes& sizes, CudaFrame& frame) const;
  void record_steps(const CudaSizes& sizes, CudaFrame& frame, std::size_t first, std::size_t end,
                    CudaRecorder& recorder) const;
  [[nodiscard]] std::vector<MemoryUse> memory_of(const CudaSizes& sizes, const CudaFrame& frame,
                                                 std::size_t step) const;
  void size_step(CudaSizes& sizes, std::size_t step, const DimBindings& bindings) const;
  /// Steps [first, end), all with code, into a stream (null: the device's own).
  void launch(const CudaSizes& sizes, CudaFrame& frame, std::size_t first, std::size_t end,
              void* stream) const;
  void take_places(const CudaSizes& sizes, const CudaFrame& frame, std::size_t first,
                   std::size_t end) const;
  void run_library(const SizedStep& sized, CudaFrame& frame, std::size_t step, void* workspace,
                   void* stream) const;
  void run_on_host(const CudaSizes& sizes, const CudaFrame& frame, std::size_t step) const;
  void check(const CudaSizes& sizes, const CudaFrame& frame, std::size_t step) const;
  void copy_aliases(const CudaSizes& sizes, const CudaFrame& frame, void* const* outputs) const;

  CudaDevice& device_;
  std::vector<Buffer> constants_;
  /// A step's code: none where it runs on the processor.
  struct StepCode {
    const ir::DeviceKernel* kernel = nullptr;
    std::shared_ptr<const CudaModule> module;  // kept loaded
    std::vector<int> slots;                    // one a buffer; -1: null
    std::int64_t fault = 0;                    // its number in the device's record
    std::vector<std::size_t> sums;  // of the plan's operand_sums, that are all it does
  };
  void find_code(ir::DeviceCompiler& compiler);
  void keep_what_host_steps_may_lose();
  static constexpr std::size_t kept_frames = 4;
  std::vector<StepCode> code_;                              // one a step
  mutable std::mutex frames_mutex_;                         // guards what follows
  mutable std::vector<std::unique_ptr<CudaFrame>> frames_;  // idle ones, the last used last
};

}  // namespace weft::runtime
