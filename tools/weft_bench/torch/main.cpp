// The rows in libtorch: weft-bench-torch ROW THREADS BUDGET_MS prints one JSON line, nothing for a row that is not
// here. A program of its own, so that libtorch's libraries and threads stay out of weft-bench.
#include <torch/torch.h>

#include <functional>

#include "tools/weft_bench/measure.h"

namespace {

using namespace weft::bench;
using torch::Tensor;
using Inputs = std::vector<Tensor>;

Tensor tensor_of(const Input& in) {
  return torch::from_blob(const_cast<float*>(in.values.data()), in.shape, torch::kFloat32).clone();
}

Inputs inputs_of_set(const std::string& row, std::uint32_t set) {
  Inputs out;
  for (const Input& in : inputs_of(row, set)) out.push_back(tensor_of(in));
  if (row == "G1") out.push_back(torch::tensor(taken_rows(set)));
  return out;
}

Tensor twenty_pointwise(const Tensor& x) {
  const Tensor t = torch::tanh(x) * x + .5, s = torch::sigmoid(t), u = s * t * .5;
  const Tensor v = (torch::exp(u) - 1) * x, w = (torch::tanh(v) + t) * .7;
  const Tensor q = torch::sigmoid(w) * w, r = (q + x) * .3;
  return (torch::exp(r) - q) * .25 + 1;
}

Inputs gelu_both(const Inputs& in) {
  const Tensor x = in[0].detach().requires_grad_();
  const Tensor y = torch::gelu(x, "tanh");
  return {y.detach(), torch::autograd::grad({y}, {x}, {in[1]})[0]};
}

Inputs convolution_both(const Inputs& in) {
  const Tensor x = in[0].detach().requires_grad_(), w = in[1].detach().requires_grad_();
  const Tensor y = torch::conv2d(x, w, {}, 1, 1);
  const auto slopes = torch::autograd::grad({y}, {x, w}, {in[2]});
  return {y.detach(), slopes[0], slopes[1]};
}

Tensor chain(Tensor x) {
  for (int i = 0; i < 100; ++i) x = x + 1;
  return x;
}

std::function<Inputs(const Inputs&)> call_of(const std::string& row) {
  if (row == "E1_call" || row == "E2") return [](const Inputs& in) { return Inputs{in[0] + 0.2 + in[1] * 0.3}; };
  if (row == "E3") return [](const Inputs& in) { return Inputs{twenty_pointwise(in[0])}; };
  if (row == "E4_fwd") return [](const Inputs& in) { return Inputs{torch::gelu(in[0], "tanh")}; };
  if (row == "E4_fwdbwd") return gelu_both;
  if (row == "R1") return [](const Inputs& in) { return Inputs{in[0].sum(1)}; };
  if (row == "R2") return [](const Inputs& in) { return Inputs{in[0].sum(0)}; };
  if (row == "R3") return [](const Inputs& in) { return Inputs{torch::softmax(in[0], 1)}; };
  if (row == "R4")
    return [](const Inputs& in) { return Inputs{torch::layer_norm(in[0], {768}, in[1], in[2], 1e-5)}; };
  if (row == "R5") return [](const Inputs& in) { return Inputs{in[0].var(false)}; };
  if (row == "R6") return [](const Inputs& in) { return Inputs{torch::logsumexp(in[0], 1)}; };
  if (row == "M1") return [](const Inputs& in) { return Inputs{torch::mm(in[0], in[1])}; };
  if (row == "M2")
    return [](const Inputs& in) { return Inputs{torch::addmm(in[2], in[0], in[1]).relu_()}; };
  if (row == "M3") return [](const Inputs& in) { return Inputs{torch::bmm(in[0], in[1])}; };
  if (row == "S1" || row == "S2")
    return [](const Inputs& in) { return Inputs{std::get<0>(in[0].sort(-1))}; };
  if (row == "S3") return [](const Inputs& in) { return Inputs{std::get<0>(in[0].topk(16))}; };
  if (row == "C1_fwd")
    return [](const Inputs& in) { return Inputs{torch::conv2d(in[0], in[1], {}, 1, 1)}; };
  if (row == "C1_fwdbwd") return convolution_both;
  if (row == "P1") return [](const Inputs& in) { return Inputs{torch::max_pool2d(in[0], 2)}; };
  if (row == "K1" || row == "K2")
    return [](const Inputs& in) { return Inputs{in[0].cumsum(-1)}; };
  if (row == "G1")
    return [](const Inputs& in) { return Inputs{torch::embedding(in[0], in[1])}; };
  if (row == "D2") return [](const Inputs& in) { return Inputs{chain(in[0])}; };
  return {};
}

Measured measure_training(const Job& job) {
  Inputs weights, biases, all;
  for (std::size_t layer = 0; layer < Mlp::layers; ++layer) {
    weights.push_back(tensor_of(mlp_weight(layer)).requires_grad_());
    biases.push_back(torch::zeros({Mlp::widths[layer + 1]}).requires_grad_());
    all.insert(all.end(), {weights.back(), biases.back()});
  }
  torch::optim::SGD sgd(all, torch::optim::SGDOptions(Mlp::rate).momentum(Mlp::momentum));
  Tensor images[input_sets], targets[input_sets];
  for (std::uint32_t set = 0; set < input_sets; ++set) {
    images[set] = inputs_of_set("T1", set)[0];
    targets[set] = torch::tensor(labels(Mlp::batch, 99 + set));
  }
  const auto step = [&](std::uint32_t set) {
    Tensor h = images[set];
    for (std::size_t layer = 0; layer < Mlp::layers; ++layer) {
      h = torch::addmm(biases[layer], h, weights[layer]);
      if (layer + 1 < Mlp::layers) h = torch::relu(h);
    }
    const Tensor loss = torch::nn::functional::cross_entropy(h, targets[set]);
    for (Tensor& p : all) p.mutable_grad().reset();
    loss.backward();
    sgd.step();
    return loss.item<float>();
  };
  Measured m;
  for (int i = 0; i < 10; ++i) {
    const float loss = step(0);
    if (i == 0) m.checks.sum = loss;
    m.checks.absolute = loss;
  }
  m.timing = time_calls(step, job.budget_ms);
  return m;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  const Job job{argv[1], std::stoi(argv[2]), std::stod(argv[3])};
  at::set_num_threads(job.threads);
  if (job.row == "T1") {
    print_line("libtorch", job, measure_training(job));
    return 0;
  }
  const auto call = call_of(job.row);
  if (!call) return 0;
  c10::optional<torch::NoGradGuard> no_grad;
  if (!job.row.ends_with("_fwdbwd")) no_grad.emplace();
  Inputs sets[input_sets];
  for (std::uint32_t set = 0; set < input_sets; ++set) sets[set] = inputs_of_set(job.row, set);
  Measured m;
  for (const Tensor& out : call(sets[0])) {
    const Tensor dense = out.contiguous();
    m.checks.add(dense.data_ptr<float>(), static_cast<std::size_t>(dense.numel()));
  }
  m.timing = time_calls([&](std::uint32_t set) { call(sets[set]); }, job.budget_ms);
  print_line("libtorch", job, m);
}
