#include "device_work.h"

#include <algorithm>
#include <cstring>

#include "networks.h"
#include "weft_programs.h"
#include "work.h"

namespace weft::bench {

namespace {

// Flops of a training step are those of work.cpp, which knows the networks' sizes.
const std::vector<DeviceRow>& table() {
  static const std::vector<DeviceRow> all = [] {
    std::vector<DeviceRow> rows = {
        {"add", "a + 0.2 + b*0.3", {1 << 26}, {1000}, 12},
        {"pointwise", "twenty pointwise operations", {1 << 26}, {1000}, 8},
        {"pointwise_fast", "the same with fast_math", {1 << 26}, {1000}, 8},
        {"softmax", "softmax of rows", {16384, 4096}, {5, 300}, 8},
        {"softmax_grad", "softmax's gradient, from its input", {16384, 4096}, {5, 300}, 12},
        {"norm", "layer norm", {16384, 4096}, {5, 300}, 8},
        {"norm_grad", "layer norm's three gradients", {16384, 4096}, {5, 300}, 12},
        {"row_sum", "sums of rows", {16384, 4096}, {5, 300}, 4},
        {"column_sum", "sums of columns", {16384, 4096}, {70, 90}, 4},
        {"transpose", "x transposed, plus 1", {16384, 4096}, {70, 90}, 8},
        {"gemm_bf16", "bf16 product", {8192, 8192, 8192}, {40, 48, 64}, 0, 2, 1e-2},
        {"gemm_bf16_gelu", "bf16 product, bias, GELU", {8192, 8192, 8192}, {40, 48, 64}, 0, 2, 1e-2},
        {"gemm_f32", "float32 product", {4096, 4096, 4096}, {40, 48, 64}, 0, 2, 1e-4},
        {"attention", "bf16 attention", {8, 16, 4096, 128}, {1, 2, 200, 128}, 0, 4, 2e-2},
        {"attention_causal", "the same, causal", {8, 16, 4096, 128}, {1, 2, 200, 128}, 0, 2, 2e-2},
        {"attention_grad", "attention's three gradients", {8, 16, 4096, 128}, {1, 2, 200, 128}, 0, 14, 2e-2},
        {"small_call", "a + 0.2 + b*0.3, (2,3,4)", {24}, {24}},
    };
    // PyTorch compiles T3's steps one by one, which takes longest.
    for (const std::string_view name : {"T1", "T2", "T4_train", "T3"})
      rows.push_back({name, find_row(name)->what, {}, {}, 0, find_row(name)->flops, 1e-3});
    return rows;
  }();
  return all;
}

Array values(std::uint32_t seed, std::vector<std::int64_t> shape, DType dtype = DType::float32) {
  return array_of(data(seed, std::move(shape))).to(dtype);
}

}  // namespace

std::span<const DeviceRow> device_rows() { return table(); }

Function device_function(const DeviceRow& row, std::span<const std::int64_t> extents, Device device) {
  if (losses_of(row.name)) return training_step(row.name, device);
  const std::string_view name = row.name;
  const FunctionOptions options{
      .device = device, .name = std::string(name), .fast_math = name == "pointwise_fast"};
  const Tensor x("x"), y("y"), z("z");
  if (name == "add" || name == "small_call") return Function({x, y}, x + 0.2 + y * 0.3, options);
  if (name.starts_with("pointwise")) return Function({x}, twenty_pointwise(x), options);
  if (name == "softmax") return Function({x}, softmax(x), options);
  if (name == "softmax_grad") return Function({x, y}, vjp({softmax(x)}, {x}, {y}), options);
  if (name == "norm") return Function({x, y, z}, nn::layer_norm(x, y, z, 1e-5), options);
  if (name == "norm_grad") {
    const Tensor g("g");
    return Function({x, y, z, g}, vjp({nn::layer_norm(x, y, z, 1e-5)}, {x, y, z}, {g}), options);
  }
  if (name == "row_sum") return Function({x}, sum(x, Axes{1}), options);
  if (name == "column_sum") return Function({x}, sum(x, Axes{0}), options);
  if (name == "transpose") {
    const Tensor table(Dims{extents[0], extents[1]}, DType::float32, "x");
    return Function({table}, transpose(table, 0, 1) + 1, options);
  }
  if (name == "gemm_bf16" || name == "gemm_f32") return Function({x, y}, matmul(x, y), options);
  if (name == "gemm_bf16_gelu") return Function({x, y, z}, gelu_tanh(matmul(x, y) + z), options);
  const bool causal = name == "attention_causal";
  const Tensor attended = scaled_dot_product_attention(x, y, z, {.is_causal = causal});
  if (name != "attention_grad") return Function({x, y, z}, attended, options);
  const Tensor g("g");
  return Function({x, y, z, g}, vjp({attended}, {x, y, z}, {g}), options);
}

DeviceSample device_sample(const DeviceRow& row, std::span<const std::int64_t> extents) {
  DeviceSample sample{.extents = {extents.begin(), extents.end()}};
  const bool product = row.name.starts_with("gemm"), attention = row.name.starts_with("attention");
  if (!product && !attention) return sample;
  const std::int64_t all = product ? extents[0] : extents[0] * extents[1];
  const std::int64_t count = std::min<std::int64_t>(all, product ? 48 : 2);
  const std::int64_t last = std::max<std::int64_t>(count - 1, 1);
  for (std::int64_t i = 0; i < count; ++i) sample.picked.push_back(i * (all - 1) / last);
  sample.leading = product ? std::vector{count} : std::vector<std::int64_t>{1, count};
  std::copy(sample.leading.begin(), sample.leading.end(), sample.extents.begin());
  sample.inputs = {0};
  if (attention)
    for (std::size_t i = 1; i < (row.name == "attention_grad" ? 4 : 3); ++i) sample.inputs.push_back(i);
  return sample;
}

Array DeviceSample::of(const Array& whole) const {
  if (picked.empty()) return whole;
  Shape to = whole.shape();
  std::copy(leading.begin(), leading.end(), to.begin());
  const std::size_t bytes = static_cast<std::size_t>(element_count(to)) * size_of(whole.dtype()) / picked.size();
  Array out = Array::uninitialized(whole.dtype(), to);
  for (std::size_t i = 0; i < picked.size(); ++i)
    std::memcpy(out.mutable_bytes() + i * bytes, whole.bytes() + static_cast<std::size_t>(picked[i]) * bytes, bytes);
  return out;
}

std::vector<Array> device_arrays(const DeviceRow& row, std::span<const std::int64_t> extents,
                                 std::uint32_t set) {
  if (losses_of(row.name)) return arrays_of(row.name, set);
  const std::string_view name = row.name;
  const std::uint32_t seed = 10 * set;
  const std::vector<std::int64_t> shape(extents.begin(), extents.end());
  if (name.starts_with("gemm")) {
    const DType dtype = name == "gemm_f32" ? DType::float32 : DType::bfloat16;
    std::vector<Array> out{values(seed, {shape[0], shape[2]}, dtype),
                           values(seed + 1, {shape[2], shape[1]}, dtype)};
    if (name == "gemm_bf16_gelu") out.push_back(values(seed + 2, {shape[1]}, dtype));
    return out;
  }
  if (name.starts_with("attention")) {
    std::vector<Array> out;
    for (std::uint32_t i = 0; i < (name == "attention_grad" ? 4 : 3); ++i)
      out.push_back(values(seed + i, shape, DType::bfloat16));
    return out;
  }
  if (name == "small_call") return {values(seed, {2, 3, 4}), values(seed + 1, {3, 4})};
  std::vector<Array> out{values(seed, shape)};
  if (name.starts_with("norm")) {
    out.push_back(values(seed + 1, {shape.back()}));
    out.push_back(values(seed + 2, {shape.back()}));
  }
  if (name == "add" || name.ends_with("_grad")) out.push_back(values(seed + 3, shape));
  return out;
}

}  // namespace weft::bench
