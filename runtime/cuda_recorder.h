// What is launched into a stream that is being recorded, as steps that wait for some of the steps
// before them and for nothing else: in a replay the rest may run side by side.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "runtime/cuda_driver.h"

namespace weft::runtime {

class CudaRecorder {
 public:
  CudaRecorder(const CudaDriver& driver, CuStream stream) : driver_(driver), stream_(stream) {}

  [[nodiscard]] CuStream stream() const { return stream_; }
  /// What is launched from now on is the next step, after those of these numbers.
  void begin_step(std::span<const std::size_t> waits);
  void end_step();
  /// Nothing is left open: what comes after the recording comes after all steps.
  void join();

 private:
  [[nodiscard]] std::vector<CuGraphNode> newest() const;
  void continue_from(std::vector<CuGraphNode> nodes);

  struct Step {
    std::vector<CuGraphNode> ends;
    bool awaited = false;
  };
  const CudaDriver& driver_;
  const CuStream stream_;
  std::vector<Step> steps_;
};

}  // namespace weft::runtime
