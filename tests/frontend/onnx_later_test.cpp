// ONNX's operators of versions 18 and later: expected values are worked out from the standard.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "onnx/importer.h"
#include "weft/weft.h"

namespace {

using namespace weft;
using namespace weft::onnx;

constexpr float inf = std::numeric_limits<float>::infinity();

AttributeDef of_kind(const std::string& name, AttributeDef::Kind kind) {
  AttributeDef a;
  a.name = name;
  a.kind = kind;
  return a;
}
AttributeDef integer(const std::string& name, std::int64_t i) {
  AttributeDef a = of_kind(name, AttributeDef::Kind::integer);
  a.integer = i;
  return a;
}
AttributeDef real(const std::string& name, double x) {
  AttributeDef a = of_kind(name, AttributeDef::Kind::real);
  a.real = x;
  return a;
}
AttributeDef integers(const std::string& name, std::vector<std::int64_t> list) {
  AttributeDef a = of_kind(name, AttributeDef::Kind::integers);
  a.integers = std::move(list);
  return a;
}
AttributeDef text(const std::string& name, const std::string& t) {
  AttributeDef a = of_kind(name, AttributeDef::Kind::string);
  a.string = t;
  return a;
}

/// All results of one operator. Left-out operands are nullopt. Where the graph does not depend on
/// values, it is also built for operands that are not known yet, and must compute the same.
std::vector<Array> results(const std::string& op, std::int64_t version,
                           const std::vector<std::optional<Array>>& operands,
                           std::vector<AttributeDef> attributes = {}, std::size_t count = 1,
                           std::vector<TensorDef> initializers = {}) {
  ModelDef def;
  def.opsets = {{"", version}};
  def.graph.name = "test";
  NodeDef node{"the_node", op, "", {}, {}, std::move(attributes)};
  Items values, open;
  std::vector<Tensor> inputs;
  std::vector<Array> arrays;
  for (const std::optional<Array>& x : operands) {
    node.inputs.push_back(x ? "x" + std::to_string(node.inputs.size()) : "");
    if (!x) continue;
    def.graph.inputs.push_back({node.inputs.back(), {}});
    values.emplace_back(Tensor(*x));
    inputs.emplace_back(to_dims(x->shape()), x->dtype());
    open.emplace_back(inputs.back());
    arrays.push_back(*x);
  }
  for (TensorDef& t : initializers) {
    node.inputs.push_back(t.name);
    def.graph.initializers.push_back(std::move(t));
  }
  for (std::size_t i = 0; i < count; ++i) {
    node.outputs.push_back("y" + std::to_string(i));
    def.graph.outputs.push_back({node.outputs.back(), {}});
  }
  def.graph.nodes = {node};
  const auto all = [](const Items& items) {
    std::vector<Tensor> tensors;
    for (const Item& item : items) tensors.push_back(*item.tensor());
    return tensors;
  };
  const std::vector<Array> known =
      Function({}, all(Importer(def, "test.onnx").run_model(values)))(std::vector<Array>{});
  try {
    const std::vector<Array> later =
        Function(inputs, all(Importer(def, "test.onnx").run_model(open)))(arrays);
    for (std::size_t i = 0; i < count && op != "Bernoulli"; ++i)
      CHECK(allclose(later[i], known[i], 1e-5, 1e-6, true));
  } catch (const NeedsValue&) {}
  return known;
}
Array applied(const std::string& op, std::int64_t version,
              const std::vector<std::optional<Array>>& operands,
              std::vector<AttributeDef> attributes = {}) {
  return results(op, version, operands, std::move(attributes))[0];
}

TensorDef four_bits(const std::string& name, std::int32_t type, Shape dims, std::string bytes) {
  return {name, type, std::move(dims), std::move(bytes), {}};
}

const Array row{1.f, 2.f, 3.f, 4.f, 5.f};
const Array no_axes = zeros({0}, DType::int64);

}  // namespace

TEST_CASE("onnx: reductions over axes that are operands") {
  const Array m{{1.f, -2.f}, {3.f, 4.f}}, axis{1};
  const auto flat = integer("keepdims", 0), noop = integer("noop_with_empty_axes", 1);
  CHECK(array_equal(applied("ReduceSum", 18, {m, no_axes}), Array{{6.f}}));
  CHECK(array_equal(applied("ReduceSum", 18, {m, no_axes}, {noop}), m));
  CHECK(array_equal(applied("ReduceSum", 18, {m}, {noop}), m));
  CHECK(array_equal(applied("ReduceMean", 18, {m, Array{-1}}, {flat}), Array{-0.5f, 3.5f}));
  CHECK(array_equal(applied("ReduceProd", 18, {m, axis}, {flat}), Array{-2.f, 12.f}));
  CHECK(array_equal(applied("ReduceL1", 18, {m, axis}, {flat}), Array{3.f, 7.f}));
  CHECK(allclose(applied("ReduceL2", 18, {m, axis}, {flat}), Array{std::sqrt(5.f), 5.f}));
  CHECK(array_equal(applied("ReduceSumSquare", 18, {m, axis}), Array{{5.f}, {25.f}}));
  CHECK(array_equal(applied("ReduceSumSquare", 18, {m, no_axes}, {noop}),
                    Array{{1.f, 4.f}, {9.f, 16.f}}));
  CHECK(array_equal(applied("ReduceMin", 18, {m, axis}, {flat}), Array{-2.f, 3.f}));
  CHECK(array_equal(applied("ReduceMax", 20, {Array{{true, false}, {false, false}}, axis}),
                    Array{{true}, {false}}));
  const Array empty = zeros({2, 0, 2});
  const auto of_nothing = [&](const char* op) { return applied(op, 18, {empty, axis}); };
  for (const char* op : {"ReduceSum", "ReduceL1", "ReduceL2", "ReduceSumSquare"})
    CHECK(array_equal(of_nothing(op), zeros({2, 1, 2})));
  CHECK(array_equal(of_nothing("ReduceProd"), ones({2, 1, 2})));
  for (const char* op : {"ReduceMax", "ReduceLogSum", "ReduceLogSumExp"})
    CHECK(array_equal(of_nothing(op), full({2, 1, 2}, -inf)));
  CHECK(array_equal(of_nothing("ReduceMin"), full({2, 1, 2}, inf)));
  CHECK(array_equal(applied("ReduceSum", 18, {empty, Array{2}}), zeros({2, 0, 1})));
  CHECK(array_equal(applied("ReduceMax", 18, {empty, Array{2}}), zeros({2, 0, 1})));
}

TEST_CASE("onnx: splitting, padding, shapes of later versions") {
  const auto parts = results("Split", 18, {row}, {integer("num_outputs", 3)}, 3);
  CHECK(array_equal(parts[0], Array{1.f, 2.f}));
  CHECK(array_equal(parts[2], Array{5.f}));
  const Array m{{1.f, 2.f}, {3.f, 4.f}};
  CHECK(array_equal(applied("Pad", 18, {m, Array{1, 0}, Array(9.f), Array{-1}}),
                    Array{{9.f, 1.f, 2.f}, {9.f, 3.f, 4.f}}));
  CHECK(array_equal(
      applied("Pad", 21, {m, Array{0, 1}, std::nullopt, Array{0}}, {text("mode", "edge")}),
      Array{{1.f, 2.f}, {3.f, 4.f}, {3.f, 4.f}}));
  CHECK(array_equal(applied("Pad", 19, {row, Array{-1, 2}}), Array{2.f, 3.f, 4.f, 5.f, 0.f, 0.f}));
  CHECK(array_equal(applied("Pad", 19, {row, Array{2, -3}}, {text("mode", "reflect")}),
                    Array{3.f, 2.f, 1.f, 2.f}));
  CHECK(array_equal(applied("Pad", 23, {row, Array{-2, 1}}, {text("mode", "edge")}),
                    Array{3.f, 4.f, 5.f, 5.f}));
  CHECK(array_equal(applied("Pad", 21, {row, Array{6, 0}}, {text("mode", "wrap")}),
                    Array{5.f, 1.f, 2.f, 3.f, 4.f, 5.f, 1.f, 2.f, 3.f, 4.f, 5.f}));
  CHECK(array_equal(
      applied("CenterCropPad", 18, {zeros({4, 3, 1}), Array{2, 5}}, {integers("axes", {-3, -2})}),
      zeros({2, 5, 1})));
  CHECK(applied("Reshape", 21, {zeros({0, 3}), Array{3, 0}}, {integer("allowzero", 1)}).shape() ==
        Shape{3, 0});
  CHECK(array_equal(
      applied("Shape", 21, {zeros({2, 3, 4})}, {integer("start", -2), integer("end", 2)}),
      Array{3}));
  CHECK(applied("Size", 23, {zeros({2, 3})}).item<std::int64_t>() == 6);
  CHECK(!applied("OptionalHasElement", 18, {}).item<bool>());
  CHECK(applied("OptionalHasElement", 18, {row}).item<bool>());
  CHECK(array_equal(applied("OptionalGetElement", 18, {row}), row));
  CHECK(array_equal(applied("Identity", 21, {row}), row));
  CHECK(array_equal(applied("ScatterElements", 18, {row, Array{1, -4}, Array{2.f, 3.f}},
                            {text("reduction", "mul")}),
                    Array{1.f, 12.f, 3.f, 4.f, 5.f}));
  CHECK(array_equal(
      applied("ScatterND", 18, {row, Array{{1}, {1}}, Array{2.f, 3.f}}, {text("reduction", "mul")}),
      Array{1.f, 12.f, 3.f, 4.f, 5.f}));
  CHECK(array_equal(applied("EyeLike", 22, {zeros({2, 3})}, {integer("k", 1)}),
                    Array{{0.f, 1.f, 0.f}, {0.f, 0.f, 1.f}}));
  CHECK(array_equal(applied("CumProd", 26, {row, Array(0)}), Array{1.f, 2.f, 6.f, 24.f, 120.f}));
  CHECK(array_equal(applied("CumProd", 26, {row, Array(0)}, {integer("exclusive", 1)}),
                    Array{1.f, 1.f, 2.f, 6.f, 24.f}));
  CHECK(
      array_equal(applied("TensorScatter", 24, {zeros({1, 4, 1}), Array{{{5.f}, {6.f}}}, Array{3}},
                          {text("mode", "circular")}),
                  Array{{{6.f}, {0.f}, {0.f}, {5.f}}}));
  CHECK(array_equal(applied("TensorScatter", 24, {zeros({1, 3, 1}), Array{{{5.f}, {6.f}}}}),
                    Array{{{5.f}, {6.f}, {0.f}}}));
}

TEST_CASE("onnx: elementwise operators of later versions") {
  CHECK(allclose(applied("Gelu", 20, {Array{1.f}}, {text("approximate", "tanh")}),
                 Array{0.8411920f}));
  CHECK(allclose(applied("Swish", 24, {Array{1.f}}, {real("alpha", 2)}), Array{0.8807971f}));
  CHECK(array_equal(applied("IsInf", 20, {Array{inf, -inf}}, {integer("detect_negative", 0)}),
                    Array{true, false}));
  CHECK(array_equal(applied("IsNaN", 20, {Array{inf, std::nanf("")}}), Array{false, true}));
  CHECK(array_equal(applied("Clip", 13, {Array{-5, 1, 9}, Array(0), Array(4)}), Array{0, 1, 4}));
  const Array brain = Array{1.5f, 2.f}.to(DType::bfloat16);
  CHECK(array_equal(applied("Add", 22, {brain, brain}), Array{3.f, 4.f}.to(DType::bfloat16)));
  CHECK(array_equal(applied("CastLike", 21, {Array{1.5f}, Array{1}}), Array{1}));
  CHECK(array_equal(applied("Cast", 21, {Array{-9.2f, 3.5f, 9.f}}, {integer("to", 22)}),
                    Array{-8, 4, 7}.to(DType::int8)));
  CHECK(applied("Bernoulli", 22, {full({3}, 1.0f)}, {integer("dtype", 7)}).dtype() == DType::int64);
  CHECK_THROWS_AS(applied("Cast", 21, {row}, {integer("to", 17)}), UnsupportedOp);
}

TEST_CASE("onnx: resizing keeps ratios, smooths, and resizes some axes only") {
  const Array m{{1.f, 2.f}, {3.f, 4.f}};
  const std::optional<Array> out;
  const auto both = integers("axes", {0, 1});
  CHECK(array_equal(applied("Resize", 18, {m, out, out, Array{3, 4}},
                            {both, text("keep_aspect_ratio_policy", "not_larger")}),
                    Array{{1.f, 1.f, 2.f}, {1.f, 1.f, 2.f}, {3.f, 3.f, 4.f}}));
  CHECK(applied("Resize", 19, {m, out, out, Array{3, 4}},
                {both, text("keep_aspect_ratio_policy", "not_smaller")})
            .shape() == Shape{4, 4});
  CHECK(allclose(applied("Resize", 19, {Array{1.f, 2.f, 3.f, 4.f}, out, Array{0.6f}},
                         {text("mode", "linear"),
                          text("coordinate_transformation_mode", "half_pixel_symmetric")}),
                 Array{1.6666667f, 3.3333333f}));
  CHECK(allclose(
      applied("Resize", 18, {Array{{1.f, 2.f, 3.f, 4.f}}, Array{0.4f, 0.6f}, out, Array{3}},
              {text("mode", "linear"), integers("axes", {1}),
               text("coordinate_transformation_mode", "tf_crop_and_resize")}),
      Array{{2.2f, 2.5f, 2.8f}}));
  const Array square = Array(arange(1, 17)).to(DType::float32).reshape({1, 1, 4, 4});
  const auto smooth = [&](const char* mode, std::optional<Array> scales,
                          std::optional<Array> sizes) {
    const Array y = applied("Resize", 18, {square, std::nullopt, scales, sizes},
                            {text("mode", mode), integer("antialias", 1)});
    return y.reshape({y.shape()[2], y.shape()[3]});
  };
  const Array scales{1.f, 1.f, 0.6f, 0.6f}, sizes{1, 1, 3, 3};
  CHECK(allclose(smooth("cubic", scales, out),
                 Array{{2.518072f, 4.285886f}, {9.589329f, 11.35714f}}));
  CHECK(allclose(smooth("linear", scales, out), Array{{2.875f, 4.5f}, {9.375f, 11.f}}));
  CHECK(allclose(smooth("cubic", out, sizes), Array{{1.775009f, 3.120007f, 4.465005f},
                                                    {7.155002f, 8.5f, 9.844998f},
                                                    {12.53499f, 13.87999f, 15.22499f}}));
  CHECK(allclose(smooth("linear", out, sizes), Array{{2.363636f, 3.590909f, 4.818182f},
                                                     {7.272727f, 8.5f, 9.727273f},
                                                     {12.18182f, 13.40909f, 14.63636f}}));
}

TEST_CASE("onnx: windows, samples and transforms of later versions") {
  const Array line = row.reshape({1, 1, 5});
  const auto kernel = integers("kernel_shape", {2});
  CHECK(array_equal(applied("AveragePool", 19, {line}, {kernel, integers("dilations", {2})}),
                    Array{{{2.f, 3.f, 4.f}}}));
  CHECK(array_equal(applied("AveragePool", 22, {line},
                            {kernel, integers("strides", {2}), integer("ceil_mode", 1)}),
                    Array{{{1.5f, 3.5f, 5.f}}}));
  CHECK(array_equal(applied("AveragePool", 22, {line},
                            {kernel, integers("strides", {2}), integer("ceil_mode", 1),
                             integers("pads", {1, 1}), integer("count_include_pad", 1)}),
                    Array{{{0.5f, 2.5f, 4.5f}}}));
  CHECK(
      allclose(applied("LpPool", 18, {line}, {kernel, integers("dilations", {2}), integer("p", 1)}),
               Array{{{4.f, 6.f, 8.f}}}));
  CHECK(allclose(
      applied("LpPool", 22, {line},
              {kernel, integers("strides", {2}), integer("p", 1), integer("ceil_mode", 1)}),
      Array{{{3.f, 7.f, 5.f}}}));
  CHECK(array_equal(applied("MaxPool", 22, {line.to(DType::int8)}, {kernel}),
                    Array{{{2, 3, 4, 5}}}.to(DType::int8)));
  CHECK(array_equal(applied("Col2Im", 18, {Array{{{1.f, 2.f}, {3.f, 4.f}}}, Array{4}, Array{2}},
                            {integers("strides", {2})}),
                    Array{{{1.f, 3.f, 2.f, 4.f}}}));

  std::vector<float> offsets(32, 0), factors(16, 1);
  offsets[0] = 0.5f;
  offsets[5 * 4 + 1] = -0.1f;
  offsets[7 * 4 + 3] = 0.25f;
  factors[2 * 4 + 3] = 0.2f;
  const Array offset = Array::from(offsets).reshape({1, 8, 2, 2}),
              mask = Array::from(factors).reshape({1, 4, 2, 2});
  const Array image = Array(arange(9)).to(DType::float32).reshape({1, 1, 3, 3}),
              weights{{{{1.f, 2.f}, {3.f, 4.f}}}};
  CHECK(allclose(applied("DeformConv", 19, {image, weights, offset, std::nullopt, mask}),
                 Array{{{{28.5f, 36.7f}, {57.f, 42.2f}}}}));
  CHECK(allclose(applied("DeformConv", 22, {image, weights, zeros({1, 8, 1, 1}), Array{1.f}},
                         {integers("strides", {2, 2})}),
                 Array{{{{28.f}}}}));

  const Array volume = Array{1.f, 3.f}.reshape({1, 1, 1, 1, 2});
  const Shape point{1, 1, 1, 1, 3}, voxel{1, 1, 1, 1, 1};
  CHECK(array_equal(applied("GridSample", 20, {volume, Array{0.f, 0.f, 0.f}.reshape(point)},
                            {text("mode", "linear")}),
                    Array{2.f}.reshape(voxel)));
  CHECK(array_equal(applied("GridSample", 22, {volume, Array{0.6f, 0.f, 0.f}.reshape(point)},
                            {text("mode", "nearest")}),
                    Array{3.f}.reshape(voxel)));
  CHECK(array_equal(
      applied("AffineGrid", 20,
              {Array{{{1.f, 0.f, 0.f, 0.f}, {0.f, 1.f, 0.f, 0.f}, {0.f, 0.f, 1.f, 0.f}}},
               Array{1, 1, 1, 1, 2}}),
      Array{{-0.5f, 0.f, 0.f}, {0.5f, 0.f, 0.f}}.reshape({1, 1, 1, 2, 3})));
  const Array signal{{{1.f}, {2.f}, {3.f}, {4.f}}};
  const Array spectrum{{{10.f, 0.f}, {-2.f, 2.f}, {-2.f, 0.f}, {-2.f, -2.f}}};
  CHECK(allclose(applied("DFT", 20, {signal, std::nullopt, Array(1)}), spectrum, 1e-5, 1e-6));
  CHECK(applied("DFT", 20, {signal, std::nullopt, Array(-2)}, {integer("onesided", 1)}).shape() ==
        Shape{1, 3, 2});
  CHECK(allclose(applied("DFT", 20, {spectrum, std::nullopt, Array(1)}, {integer("inverse", 1)}),
                 Array{{{1.f, 0.f}, {2.f, 0.f}, {3.f, 0.f}, {4.f, 0.f}}}, 1e-5, 1e-6));
}

TEST_CASE("onnx: quantisation by blocks, to 16 and to 4 bits") {
  const Array x{{1.f, 2.f, 3.f, 4.f}};
  const auto block = integer("block_size", 2);
  CHECK(array_equal(applied("QuantizeLinear", 21, {x, Array{{1.f, 2.f}}}, {block}),
                    Array{{1, 2, 2, 2}}.to(DType::uint8)));
  CHECK(array_equal(applied("QuantizeLinear", 21, {x, Array(0.5f), Array(-3).to(DType::int16)}),
                    Array{{-1, 1, 3, 5}}.to(DType::int16)));
  CHECK(
      array_equal(applied("QuantizeLinear", 21, {x, Array(0.0001f)}, {integer("output_dtype", 4)}),
                  Array{{10000, 20000, 30000, 40000}}.to(DType::uint16)));
  CHECK(array_equal(applied("DequantizeLinear", 21,
                            {Array{{1, 2, 3, 4}}.to(DType::uint8), Array{{1.f, 2.f}},
                             Array{{1, 0}}.to(DType::uint8)},
                            {block}),
                    Array{{0.f, 1.f, 6.f, 8.f}}));
  CHECK(applied("DequantizeLinear", 23, {Array{4}.to(DType::uint8), Array(2.f)},
                {integer("output_dtype", 10)})
            .dtype() == DType::float16);
  CHECK(array_equal(
      results("DequantizeLinear", 21, {}, {}, 1,
              {four_bits("x", onnx_int4, {3}, "\xE1\x07"), to_tensor_def(Array(2.f), "scale")})[0],
      Array{2.f, -4.f, 14.f}));
  CHECK(array_equal(results("QuantizeLinear", 21, {Array{1.f, 9.f, -4.f}, Array(1.f)}, {}, 1,
                            {four_bits("zero", onnx_uint4, {}, "\x08")})[0],
                    Array{9, 15, 4}.to(DType::uint8)));
  CHECK_THROWS_AS(results("Identity", 21, {}, {}, 1, {four_bits("x", onnx_int4, {3}, "\x01")}),
                  ParseError);
}

TEST_CASE("onnx: functions of the standard in models of later versions") {
  try {
    (void)module();
  } catch (const UnsupportedOp&) { return; }
  CHECK(allclose(applied("HammingWindow", 23, {Array(3)}),
                 Array{0.0869565f, 0.7717391f, 0.7717391f}));
  CHECK(allclose(applied("SoftmaxCrossEntropyLoss", 23, {Array{{0.f, 0.f}}, Array{1}}),
                 Array(0.6931472f)));
  CHECK(allclose(applied("NegativeLogLikelihoodLoss", 22, {Array{{-1.f, -2.f}}, Array{1}}),
                 Array(2.f)));
  CHECK(array_equal(applied("DynamicQuantizeLinear", 23, {Array{0.f, 255.f}}),
                    Array{0, 255}.to(DType::uint8)));
}

TEST_CASE("onnx: attention") {
  const Array q{{{{-1.f, -0.75f}, {-0.5f, -0.25f}}, {{0.f, 0.25f}, {0.5f, 0.75f}}}},
      k{{{{-0.5f, 0.f}, {0.5f, 1.f}, {-0.5f, 0.f}}}}, v{{{{0.f, 1.f}, {2.f, 3.f}, {4.f, 5.f}}}};
  CHECK(allclose(applied("Attention", 23, {q, k, v}),
                 Array{{{{2.f, 3.f}, {2.f, 3.f}}, {{2.f, 3.f}, {2.f, 3.f}}}}));
  const Array causal{{{{0.f, 1.f}, {0.6416426f, 1.641643f}}, {{0.f, 1.f}, {1.5546f, 2.5546f}}}};
  CHECK(allclose(applied("Attention", 23, {q, k, v}, {real("scale", 1), integer("is_causal", 1)}),
                 causal));
  CHECK(
      allclose(applied("Attention", 23, {q, k, v, Array{{true, false, false}, {true, true, false}}},
                       {real("scale", 1)}),
               causal));
  // a mask that leaves the last key out
  CHECK(allclose(
      applied("Attention", 24, {q, k, v, Array{{true, false}, {true, true}}}, {real("scale", 1)}),
      causal));
  CHECK(allclose(applied("Attention", 24,
                         {q, k, v, Array{{true, false, true}, {true, true, true}}, std::nullopt,
                          std::nullopt, Array{2}},
                         {real("scale", 1)}),
                 causal));
  const Array bias{{0.f, 1.f, -1.f}, {0.5f, 0.f, 2.f}};
  const Array scores[] = {
      Array{{{{0.5f, -1.25f, 0.5f}, {0.25f, -0.5f, 0.25f}},
             {{0.f, 0.25f, 0.f}, {-0.25f, 1.f, -0.25f}}}},
      Array{{{{0.5f, -0.25f, -0.5f}, {0.75f, -0.5f, 2.25f}},
             {{0.f, 1.25f, -1.f}, {0.25f, 1.f, 1.75f}}}},
      Array{{{{0.4898373f, -0.248706f, -0.4898373f}, {0.7167148f, -0.4898373f, 1.618602f}},
             {{0.f, 1.109199f, -0.9242343f}, {0.248706f, 0.9242343f, 1.407811f}}}},
      Array{{{{0.5395947f, 0.2578235f, 0.2025818f}, {0.2657117f, 0.07950818f, 0.6547801f}},
             {{0.2257966f, 0.6845994f, 0.08960401f}, {0.1625448f, 0.319412f, 0.5180432f}}}}};
  for (const std::int64_t mode : {0, 1, 2, 3}) {
    const auto y =
        results("Attention", 23, {q, k, v, bias},
                {real("scale", 1), real("softcap", 2), integer("qk_matmul_output_mode", mode)}, 4);
    CHECK(allclose(y[0], Array{{{{1.325974f, 2.325974f}, {2.778137f, 3.778137f}},
                                {{1.727615f, 2.727615f}, {2.710997f, 3.710997f}}}}));
    CHECK(array_equal(y[1], k));
    CHECK(allclose(y[3], scores[mode]));
  }
  CHECK(allclose(
      applied("Attention", 23,
              {Array{{{{0.f}}, {{1.f}}, {{2.f}}, {{3.f}}}}, Array{{{{1.f}, {0.f}}, {{0.f}, {1.f}}}},
               Array{{{{1.f}, {2.f}}, {{3.f}, {5.f}}}}}),
      Array{{{{1.5f}}, {{4.462117f}}, {{1.119203f}}, {{4.905148f}}}}));
  const Array k3{{{1.f, 1.25f, 1.5f, 1.75f}, {0.f, 0.25f, 0.5f, 0.75f}}};
  const Array eighths{{{0.f, 0.125f, 0.25f, 0.375f}, {0.5f, 0.625f, 0.75f, 0.875f}}},
      v3{{{1.f, 1.125f, 1.25f, 1.375f}, {1.5f, 1.625f, 1.75f, 1.875f}}};
  const auto y =
      results("Attention", 23,
              {eighths, k3, v3, std::nullopt, full({1, 2, 1, 2}, 0.5f), full({1, 2, 1, 2}, -1.f)},
              {integer("q_num_heads", 2), integer("kv_num_heads", 2), integer("is_causal", 1)}, 3);
  CHECK(allclose(y[0], Array{{{0.0331335f, 0.09770434f, 0.4048824f, 0.4829314f},
                              {0.5238789f, 0.6122506f, 0.9651664f, 1.0688f}}}));
  CHECK(allclose(y[1], Array{{{{0.5f, 0.5f}, {1.f, 1.25f}, {0.f, 0.25f}},
                              {{0.5f, 0.5f}, {1.5f, 1.75f}, {0.5f, 0.75f}}}}));
  CHECK(applied("Attention", 23, {q.to(DType::float16), k.to(DType::float16), v.to(DType::float16)})
            .dtype() == DType::float16);
  CHECK_THROWS_AS(applied("Attention", 23, {eighths, k3, v3}), ParseError);
}

TEST_CASE("onnx: rotary embedding") {
  const Array x = Array(arange(8)).to(DType::float32).reshape({1, 1, 2, 4});
  const Array cosines{{1.f, 1.f}, {0.8775826f, 0.5403023f}, {0.5403023f, -0.4161468f}},
      sines{{0.f, 0.f}, {0.4794255f, 0.841471f}, {0.841471f, 0.9092974f}}, places{{1, 2}};
  const Array halves{{{{-0.9588511f, -1.984111f, 1.755165f, 2.462378f},
                       {-2.887617f, -8.445816f, 6.607698f, 1.633459f}}}};
  CHECK(allclose(applied("RotaryEmbedding", 23, {x, cosines, sines, places}), halves));
  CHECK(allclose(
      applied("RotaryEmbedding", 23, {x, cosines, sines, places}, {integer("interleaved", 1)}),
      Array{{{{-0.4794255f, 0.8775826f, -1.443808f, 3.303849f},
              {-2.046146f, 6.067395f, -8.861963f, 2.542757f}}}}));
  const Array cosine{{{0.8775826f, 0.5403023f}, {0.5403023f, -0.4161468f}}},
      sine{{{0.4794255f, 0.841471f}, {0.841471f, 0.9092974f}}};
  CHECK(allclose(applied("RotaryEmbedding", 23, {x.reshape({1, 2, 4}), cosine, sine},
                         {integer("num_heads", 1)}),
                 halves.reshape({1, 2, 4})));
  // a quarter turn of the first two numbers alone
  CHECK(allclose(applied("RotaryEmbedding", 23, {x, zeros({1, 2, 1}), ones({1, 2, 1})},
                         {integer("rotary_embedding_dim", 2)}),
                 Array{{{{-1.f, 0.f, 2.f, 3.f}, {-5.f, 4.f, 6.f, 7.f}}}}));
}

TEST_CASE("onnx: errors end with what is wrong, not with a line of the importer's") {
  try {
    (void)applied("MatMul", 13, {ones({2, 3}), ones({2, 3})});
    FAIL("no error");
  } catch (const ShapeError& e) {
    const std::string message = e.what();
    CAPTURE(message);
    CHECK(message.starts_with("test.onnx: node 'the_node' (MatMul): "));
    CHECK(message.find(".cpp:") == std::string::npos);
  }
}
