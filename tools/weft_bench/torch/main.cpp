// The rows in libtorch: weft-bench-torch libtorch|torchscript ROW THREADS BUDGET_MS prints one JSON line, nothing for a
// row that is not here; a row D1_X is the first call of X. A program of its own, so that libtorch's libraries and threads stay out of weft-bench.
#include <torch/autograd.h>
#include <torch/utils.h>

#include <functional>

#include "tools/weft_bench/measure.h"
#include "tools/weft_bench/networks.h"
#include "tools/weft_bench/torch/networks.h"

namespace {

using namespace weft::bench;
using torch::Tensor;
using Inputs = std::vector<Tensor>;

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
  if (row.starts_with("M2"))
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

std::vector<Inputs> all_sets(const std::string& row) {
  std::vector<Inputs> sets;
  for (std::uint32_t set = 0; set < input_sets; ++set) sets.push_back(tensors_of(row, set));
  return sets;
}

Measured measure_training(const Job& job, const Network& network) {
  const auto step = training_of(job.row, network, all_sets(job.row));
  Measured m;
  for (int i = 0; i < 10; ++i) {
    const float loss = step(0);
    if (i == 0) m.checks.sum = loss;
    m.checks.absolute = loss;
  }
  m.timing = time_calls(step, job.budget_ms);
  return m;
}

Measured measure_calls(const Job& job, const std::function<Inputs(const Inputs&)>& call) {
  c10::optional<torch::NoGradGuard> no_grad;
  if (!job.row.ends_with("_fwdbwd")) no_grad.emplace();
  const std::vector<Inputs> sets = all_sets(job.row);
  Measured m;
  for (const Tensor& out : call(sets[0])) {
    const Tensor dense = out.contiguous();
    m.checks.add(dense.data_ptr<float>(), static_cast<std::size_t>(dense.numel()));
  }
  m.timing = time_calls([&](std::uint32_t set) { call(sets[set]); }, job.budget_ms);
  return m;
}

/// From nothing but the inputs to the first result.
Measured measure_first_call(const std::string& row, const std::string& engine) {
  const Inputs in = tensors_of(row, 0);
  (void)parameters_of(row);
  const double begin = now_ms(), cpu_begin = cpu_ms();
  if (losses_of(row)) {
    training_of(row, *network_of(row, engine), {in})(0);
  } else {
    torch::NoGradGuard no_grad;
    call_of(row)(in);
  }
  const double elapsed = now_ms() - begin;
  Measured m;
  m.timing = {elapsed, elapsed, 1, cpu_ms() - cpu_begin};
  return m;
}

std::optional<Measured> measured(const Job& job, const std::string& engine) {
  if (job.row.starts_with("D1_")) {
    if (engine == "libtorch") return measure_first_call(job.row.substr(3), engine);
    return {};
  }
  if (const auto network = network_of(job.row, engine)) {
    if (losses_of(job.row)) return measure_training(job, *network);
    const Inputs p = parameter_tensors(job.row);
    return measure_calls(job, [&](const Inputs& in) { return Inputs{(*network)(in, p)}; });
  }
  const auto call = call_of(job.row);
  if (!call || engine != "libtorch") return {};
  return measure_calls(job, call);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) return 2;
  const std::string engine = argv[1];
  const Job job{argv[2], std::stoi(argv[3]), std::stod(argv[4])};
  at::set_num_threads(job.threads);
  at::globalContext().setFlushDenormal(true);
  if (auto m = measured(job, engine)) {
    m->peak_mb = peak_mb();
    print_line(engine, job, *m);
  }
}
