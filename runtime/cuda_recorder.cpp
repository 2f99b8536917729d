#include "runtime/cuda_recorder.h"

namespace weft::runtime {

/// The nodes that whatever is launched next would wait for.
std::vector<CuGraphNode> CudaRecorder::newest() const {
  int state = 0;
  unsigned long long id = 0;
  CuGraph graph = nullptr;
  const CuGraphNode* nodes = nullptr;
  std::size_t count = 0;
  driver_.capture_info(stream_, &state, &id, &graph, &nodes, &count);
  return {nodes, nodes + count};
}

void CudaRecorder::continue_from(std::vector<CuGraphNode> nodes) {
  constexpr unsigned instead_of_the_newest = 1;
  driver_.set_capture_waits(stream_, nodes.data(), nodes.size(), instead_of_the_newest);
}

void CudaRecorder::begin_step(std::span<const std::size_t> waits) {
  std::vector<CuGraphNode> nodes;
  for (const std::size_t w : waits) {
    nodes.insert(nodes.end(), steps_[w].ends.begin(), steps_[w].ends.end());
    steps_[w].awaited = true;
  }
  continue_from(std::move(nodes));
}

void CudaRecorder::end_step() { steps_.push_back({newest(), false}); }

void CudaRecorder::join() {
  std::vector<CuGraphNode> nodes;
  for (const Step& step : steps_)
    if (!step.awaited) nodes.insert(nodes.end(), step.ends.begin(), step.ends.end());
  continue_from(std::move(nodes));
}

}  // namespace weft::runtime
