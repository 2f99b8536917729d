// A plan at concrete extents as a device runs it, and what one call works on: between making a
// program's sizes and frames (cuda_program.cpp) and running them (cuda_run.cpp).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "runtime/cuda_device.h"
#include "runtime/cuda_product.h"
#include "runtime/philox.h"
#include "runtime/program.h"

namespace weft::runtime {

/// One launch at concrete extents.
struct SizedLaunch {
  CuFunction function = nullptr;
  unsigned blocks = 0, threads = 0, shared = 0;
  std::vector<std::int64_t> numbers;
  bool product = false, scratch = false, workspace = false, random = false, fault = false;
};

struct SizedStep {
  std::unique_ptr<const CudaProduct> library;  // does the product, before
  int sums = -1;      // slot that it writes as well
  bool done = false;  // by products of other steps
  std::vector<SizedLaunch> launches;
  std::vector<std::int64_t> symbols;
  std::int64_t cut[2] = {1, 1};  // of a product's sums: blocks, pieces
  std::int64_t draws = -1;       // elements that it draws; -1: it is not random
  std::size_t stream = 0;        // where its place in the random stream stands, among the others
};

inline std::size_t aligned(std::size_t bytes) { return (bytes + 255) / 256 * 256; }

/// Neighbouring steps that all have code, or one that has none.
struct Segment {
  std::size_t first = 0, end = 0;
  bool on_device = false;
  std::size_t launches = 0;
};

struct CudaSizes final : Sizes {
  std::vector<SizedStep> steps;  // empty for those that run on the processor
  std::vector<Segment> segments;
  std::size_t scratch = 0, workspace = 0;
  std::size_t random_steps = 0;
  std::size_t launches = 0;
  bool recorded = false;  // is there a run of kernels that is worth it?

  // In a call's memory: temporaries, these three, and the frame's own places.
  [[nodiscard]] std::size_t scratch_at() const { return aligned(arena); }
  [[nodiscard]] std::size_t workspace_at() const { return scratch_at() + aligned(scratch); }
  [[nodiscard]] std::size_t streams_at() const { return workspace_at() + aligned(workspace); }
  [[nodiscard]] std::size_t own_at() const {
    return streams_at() + aligned(random_steps * sizeof(PhiloxStream));
  }
};

/// The addresses that a call works on, and what was recorded to run on some.
struct CudaFrame {
  struct Recording {
    std::vector<void*> addresses;     // of all slots
    std::vector<CuGraphExec> graphs;  // one a segment; null where there is none
  };
  explicit CudaFrame(const CudaDevice& device) : driver(device.driver()) {}
  ~CudaFrame() { forget(); }
  CudaFrame(const CudaFrame&) = delete;
  CudaFrame& operator=(const CudaFrame&) = delete;
  void forget(std::size_t keep = 0) noexcept {
    for (; recordings.size() > keep; recordings.erase(recordings.begin()))
      for (CuGraphExec graph : recordings.front().graphs)
        if (graph) (void)driver.destroy_graph_exec.status(graph);
  }

  const CudaDriver& driver;
  std::uint64_t sizes = 0;                         // number of what it is laid out for
  Buffer memory;                                   // of a call
  std::vector<void*> slots;                        // and the call's memory
  std::vector<void*> given, given_before;          // the caller's addresses, of inputs and outputs
  std::vector<std::optional<std::size_t>> places;  // of the frame's own, in place of the given ones
  std::size_t own_bytes = 0;                       // of these
  std::vector<void*> arguments;                    // of a launch
  std::vector<CuPointer> buffers;                  // of a library's product
  std::vector<Recording> recordings;               // the last used last
  std::vector<std::vector<void*>> seen;  // addresses of the last calls that were not recorded
  int misses = 0;                        // calls in a row that no recording was for
  bool records = true;                   // until that fails
};

}  // namespace weft::runtime
