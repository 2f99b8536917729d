#include "tools/weft_bench/torch/networks.h"

#include <torch/jit.h>
#include <torch/optim/sgd.h>

#include "tools/weft_bench/networks.h"

namespace weft::bench {

namespace {

using torch::Tensor;

Tensor cross_entropy(const Tensor& scores, const Tensor& classes) {
  return torch::cross_entropy_loss(scores, classes);
}

Tensor mlp(const Tensors& in, const Tensors& p) {
  Tensor h = in[0];
  for (std::size_t layer = 0; layer < Mlp::layers; ++layer) {
    h = torch::addmm(p[2 * layer + 1], h, p[2 * layer]);
    if (layer + 1 < Mlp::layers) h = torch::relu(h);
  }
  return cross_entropy(h, in[1]);
}

Tensor convnet(const Tensors& in, const Tensors& p) {
  Tensor h = torch::relu(torch::conv2d(in[0], p[0], p[1]));
  h = torch::max_pool2d(torch::relu(torch::conv2d(h, p[2], p[3])), 2).flatten(1);
  return cross_entropy(torch::addmm(p[7], torch::relu(torch::addmm(p[5], h, p[4])), p[6]), in[1]);
}

Tensor lstm(const Tensors& in, const Tensors& p) {
  const Tensor gates = (torch::matmul(in[0], p[0]) + p[2]);
  Tensor h = torch::zeros({Lstm::batch, Lstm::hidden}), c = h;
  const Tensors steps = gates.unbind(0);
  for (const Tensor& step : steps) {
    const Tensors g = torch::addmm(step, h, p[1]).chunk(4, 1);
    c = torch::sigmoid(g[1]) * c + torch::sigmoid(g[0]) * torch::tanh(g[2]);
    h = torch::sigmoid(g[3]) * torch::tanh(c);
  }
  return torch::mse_loss(h, in[1]);
}

Tensor block(const Tensor& given, const Tensors& p) {
  constexpr std::int64_t width = Block::width, rows = Block::batch * Block::length;
  const Tensor x = given.view({rows, width});
  const auto heads = [&](const Tensor& h, std::size_t at) {
    return torch::addmm(p[at + 1], h, p[at]).view({Block::batch, Block::length, Block::heads, -1}).transpose(1, 2);
  };
  const Tensor h = torch::layer_norm(x, {width}, p[0], p[1], 1e-5);
  const Tensor q = heads(h, 2), k = heads(h, 4), v = heads(h, 6);
  const double scale = std::sqrt(static_cast<double>(Block::heads) / width);
  const Tensor weights = torch::softmax(torch::matmul(q, k.transpose(-2, -1)) * scale, -1);
  const Tensor mixed = torch::matmul(weights, v).transpose(1, 2).reshape({rows, width});
  const Tensor y = x + torch::addmm(p[9], mixed, p[8]);
  const Tensor inner = torch::addmm(p[13], torch::layer_norm(y, {width}, p[10], p[11], 1e-5), p[12]);
  return (y + torch::addmm(p[15], torch::gelu(inner, "tanh"), p[14])).view_as(given);
}

constexpr char script[] = R"(
def T3(x, target, w, u, b):
    gates = torch.matmul(x, w) + b
    h = torch.zeros([x.size(1), u.size(0)])
    c = h
    for step in gates.unbind(0):
        i, f, g, o = torch.addmm(step, h, u).chunk(4, 1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
    return torch.mse_loss(h, target)

def heads(h, w, b):
    return torch.addmm(b, h, w).view([8, 128, 8, 32]).transpose(1, 2)

def T4_fwd(given, a, b, wq, bq, wk, bk, wv, bv, wo, bo, c, d, w1, b1, w2, b2):
    x = given.view([1024, 256])
    h = torch.layer_norm(x, [256], a, b, 1e-5)
    q = heads(h, wq, bq)
    k = heads(h, wk, bk)
    v = heads(h, wv, bv)
    weights = torch.softmax(torch.matmul(q, k.transpose(-2, -1)) * 0.17677669529663687, -1)
    mixed = torch.matmul(weights, v).transpose(1, 2).reshape([1024, 256])
    y = x + torch.addmm(bo, mixed, wo)
    inner = torch.addmm(b1, torch.layer_norm(y, [256], c, d, 1e-5), w1)
    return (y + torch.addmm(b2, torch.gelu(inner, approximate='tanh'), w2)).view([8, 128, 256])

def T4_train(x, target, a, b, wq, bq, wk, bk, wv, bv, wo, bo, c, d, w1, b1, w2, b2):
    y = T4_fwd(x, a, b, wq, bq, wk, bk, wv, bv, wo, bo, c, d, w1, b1, w2, b2)
    return torch.mse_loss(y, target)
)";

Network scripted(const std::string& name) {
  const auto unit = torch::jit::compile(script);
  return [unit, name](const Tensors& in, const Tensors& p) {
    std::vector<c10::IValue> stack(in.begin(), in.end());
    stack.insert(stack.end(), p.begin(), p.end());
    return unit->get_function(name)(std::move(stack)).toTensor();
  };
}

}  // namespace

Tensor tensor_of(const Input& in) {
  return torch::from_blob(const_cast<float*>(in.values.data()), in.shape, torch::kFloat32).clone();
}

Tensors tensors_of(std::string_view row, std::uint32_t set) {
  Tensors out;
  for (const Input& in : inputs_of(row, set)) out.push_back(tensor_of(in));
  if (const auto classes = classes_of(row, set); !classes.empty()) out.push_back(torch::tensor(classes));
  if (row == "G1") out.push_back(torch::tensor(taken_rows(set)));
  return out;
}

std::optional<Network> network_of(std::string_view row, std::string_view engine) {
  if (engine == "torchscript") {
    if (row == "T3" || row.starts_with("T4")) return scripted(std::string(row));
    return {};
  }
  if (row == "T1") return mlp;
  if (row == "T2") return convnet;
  if (row == "T3") return lstm;
  if (row == "T4_fwd") return [](const Tensors& in, const Tensors& p) { return block(in[0], p); };
  if (row == "T4_train")
    return [](const Tensors& in, const Tensors& p) { return torch::mse_loss(block(in[0], p), in[1]); };
  return {};
}

Tensors parameter_tensors(std::string_view row) {
  Tensors out;
  for (const Input& in : parameters_of(row)) out.push_back(tensor_of(in).requires_grad_());
  return out;
}

std::function<float(std::uint32_t)> training_of(std::string_view row, Network network,
                                                std::vector<Tensors> sets) {
  const Tensors p = parameter_tensors(row);
  const auto sgd =
      std::make_shared<torch::optim::SGD>(p, torch::optim::SGDOptions(Sgd::rate).momentum(Sgd::momentum));
  return [=](std::uint32_t set) {
    const Tensor loss = network(sets[set], p);
    for (const Tensor& parameter : p) parameter.mutable_grad().reset();
    loss.backward();
    sgd->step();
    return loss.item<float>();
  };
}

}  // namespace weft::bench
