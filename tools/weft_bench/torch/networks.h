// T1 to T4 in libtorch, eager or as TorchScript (`engine` is "libtorch" or "torchscript").
#pragma once

#include <torch/types.h>

#include <functional>
#include <optional>

#include "tools/weft_bench/measure.h"

namespace weft::bench {

using Tensors = std::vector<torch::Tensor>;
torch::Tensor tensor_of(const Input&);
Tensors tensors_of(std::string_view row, std::uint32_t set);

/// A network's loss, or for T4_fwd its result, from inputs and parameters. Nothing for a row that is no network, and
/// for T1 and T2 as scripts: they would be the same few calls.
using Network = std::function<torch::Tensor(const Tensors& in, const Tensors& p)>;
std::optional<Network> network_of(std::string_view row, std::string_view engine);

Tensors parameter_tensors(std::string_view row);

/// The step of a training: called with the number of a set of inputs, returns the loss.
std::function<float(std::uint32_t)> training_of(std::string_view row, Network network,
                                                std::vector<Tensors> sets);

}  // namespace weft::bench
