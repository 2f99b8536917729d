#include "weft_programs.h"

#include "networks.h"

namespace weft::bench {

Array array_of(const Input& in) { return Array::from(in.values, Shape(in.shape)); }

Tensor twenty_pointwise(const Tensor& x) {
  const Tensor t = tanh(x) * x + .5, s = sigmoid(t), u = s * t * .5;
  const Tensor v = (exp(u) - 1) * x, w = (tanh(v) + t) * .7;
  const Tensor q = sigmoid(w) * w, r = (q + x) * .3;
  return (exp(r) - q) * .25 + 1;
}

Function function_of(std::string_view row) {
  if (losses_of(row)) return training_step(row);
  if (row == "T4_fwd") return block_forward();
  const Tensor x("x"), y("y"), z("z");
  if (row.starts_with("E1") || row == "E2") return Function({x, y}, x + 0.2 + y * 0.3);
  if (row == "E3") return Function({x}, twenty_pointwise(x));
  if (row == "E4_fwd") return Function({x}, gelu_tanh(x));
  if (row == "E4_fwdbwd") {
    const Tensor out = gelu_tanh(x);
    return Function({x, y}, {out, vjp({out}, {x}, {y})[0]});
  }
  if (row == "R1") return Function({x}, sum(x, Axes{1}));
  if (row == "R2") return Function({x}, sum(x, Axes{0}));
  if (row == "R3") return Function({x}, softmax(x));
  if (row == "R4") return Function({x, y, z}, nn::layer_norm(x, y, z, 1e-5));
  if (row == "R5") return Function({x}, var(x, {}, 0));
  if (row == "R6") return Function({x}, logsumexp(x, Axes{1}));
  if (product_shape(row)) return Function({x, y}, matmul(x, y));
  if (row == "M2") return Function({x, y, z}, relu(matmul(x, y) + z));
  if (row == "M2_const") {
    const std::vector<Array> all = arrays_of("M2", 0);
    return Function({x}, relu(matmul(x, all[1]) + all[2]));
  }
  if (row == "S1" || row == "S2") return Function({x}, sort(x).values);
  if (row == "S3") return Function({x}, topk(x, 16).values);
  if (row == "K1" || row == "K2") return Function({x}, cumsum(x, -1));
  if (row == "C1_fwd") return Function({x, y}, conv2d(x, y, {}, 1, 1));
  if (row == "C1_fwdbwd") {
    const Tensor out = conv2d(x, y, {}, 1, 1);
    const std::vector<Tensor> slopes = vjp({out}, {x, y}, {z});
    return Function({x, y, z}, {out, slopes[0], slopes[1]});
  }
  if (row == "P1") return Function({x}, max_pool2d(x, 2));
  if (row == "G1") return Function({x, y}, gather_rows(x, y));
  Tensor chain = x;
  for (int i = 0; i < 100; ++i) chain = chain + 1;
  return Function({x}, chain);
}

std::vector<Array> arrays_of(std::string_view row, std::uint32_t set) {
  std::vector<Array> arrays;
  for (const Input& in : inputs_of(row, set)) arrays.push_back(array_of(in));
  if (row == "M2_const") arrays.resize(1);
  if (const auto classes = classes_of(row, set); !classes.empty()) arrays.push_back(Array::from(classes));
  if (row == "G1") arrays.push_back(Array::from(taken_rows(set)));
  return arrays;
}

}  // namespace weft::bench
