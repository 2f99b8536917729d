#include "runtime/cuda_recorder.h"

#include <algorithm>

namespace weft::runtime {

/// The nodes that whatever is launched next would wait for. A library's launches may leave edges
/// that carry data, for which drivers have a call of its own; what follows waits for all of a node,
/// whatever they say.
std::vector<CuGraphNode> CudaRecorder::newest() const {
  int state = 0;
  unsigned long long id = 0;
  CuGraph graph = nullptr;
  const CuGraphNode* nodes = nullptr;
  std::size_t count = 0;
  if (const void* data = nullptr; driver_.capture_info_with_data.function)
    driver_.capture_info_with_data(stream_, &state, &id, &graph, &nodes, &data, &count);
  else
    driver_.capture_info(stream_, &state, &id, &graph, &nodes, &count);
  return {nodes, nodes + count};
}

/// A step that launches nothing ends where those before it do: a node may be given twice.
void CudaRecorder::continue_from(std::vector<CuGraphNode> nodes) {
  std::ranges::sort(nodes);
  nodes.erase(std::ranges::unique(nodes).begin(), nodes.end());
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
