#include <cmath>

#include "networks.h"
#include "weft_programs.h"

namespace weft::bench {

namespace {

using Tensors = std::vector<Tensor>;

Tensor dense(const Tensor& x, const Tensors& p, std::size_t at) { return matmul(x, p[at]) + p[at + 1]; }

Tensor mlp(Tensor h, const Tensors& p) {
  for (std::size_t layer = 0; layer < Mlp::layers; ++layer) {
    h = dense(h, p, 2 * layer);
    if (layer + 1 < Mlp::layers) h = relu(h);
  }
  return h;
}

Tensor convnet(const Tensor& images, const Tensors& p) {
  Tensor h = relu(conv2d(images, p[0], p[1]));
  h = max_pool2d(relu(conv2d(h, p[2], p[3])), 2);
  return dense(relu(dense(flatten(h, 1), p, 4)), p, 6);
}

/// The last state. The inputs' share of all gates is one product before the loop.
Tensor lstm(const Tensor& sequence, const Tensors& p) {
  const Tensor gates = matmul(sequence, p[0]) + p[2];
  Tensor h = zeros({Lstm::batch, Lstm::hidden}), c = h;
  for (std::int64_t step = 0; step < Lstm::steps; ++step) {
    const Tensors g = chunk(gates[step] + matmul(h, p[1]), 4, 1);
    c = sigmoid(g[1]) * c + sigmoid(g[0]) * tanh(g[2]);
    h = sigmoid(g[3]) * tanh(c);
  }
  return h;
}

Tensor attention(const Tensor& x, const Tensors& p) {
  const auto heads = [&](std::size_t at) {
    return transpose(reshape(dense(x, p, at), {Block::batch, Block::length, Block::heads, -1}), 1, 2);
  };
  const Tensor q = heads(2), k = heads(4), v = heads(6);
  const double scale = std::sqrt(static_cast<double>(Block::heads) / Block::width);
  const Tensor mixed = matmul(softmax(matmul(q, transpose(k, -2, -1)) * scale), v);
  return dense(reshape(transpose(mixed, 1, 2), {Block::batch, Block::length, Block::width}), p, 8);
}

Tensor block(const Tensor& x, const Tensors& p) {
  const Tensor y = x + attention(nn::layer_norm(x, p[0], p[1]), p);
  return y + dense(gelu_tanh(dense(nn::layer_norm(y, p[10], p[11]), p, 12)), p, 14);
}

/// Networks look at the shape of what they are given. To make up data is no part of building one.
Tensor input_of(std::string_view row) {
  const Dims shape = row == "T1"   ? Dims{Mlp::batch, Mlp::widths[0]}
                     : row == "T2" ? Dims{ConvNet::batch, 1, ConvNet::side, ConvNet::side}
                     : row == "T3" ? Dims{Lstm::steps, Lstm::batch, Lstm::inputs}
                                   : Dims{Block::batch, Block::length, Block::width};
  return Tensor(shape, DType::float32, "x");
}

Tensors variables_of(std::string_view row) {
  Tensors out;
  for (const Input& in : parameters_of(row)) out.push_back(Variable(array_of(in), "p" + std::to_string(out.size())));
  return out;
}

}  // namespace

Function block_forward() {
  const Tensor x = input_of("T4_fwd");
  return Function({x}, block(x, variables_of("T4_fwd")), {.name = "T4_fwd"});
}

Function training_step(std::string_view row, Device device) {
  const Tensor x = input_of(row), target("target");
  const Tensors p = variables_of(row);
  const Tensor loss = row == "T1"   ? nn::cross_entropy(mlp(x, p), target)
                      : row == "T2" ? nn::cross_entropy(convnet(x, p), target)
                      : row == "T3" ? nn::mse_loss(lstm(x, p), target)
                                    : nn::mse_loss(block(x, p), target);
  optim::SGD sgd(p, {.lr = Sgd::rate, .momentum = Sgd::momentum});
  return Function({x, target}, loss,
                  {.updates = sgd.updates(loss), .device = device, .name = std::string(row)});
}

}  // namespace weft::bench
