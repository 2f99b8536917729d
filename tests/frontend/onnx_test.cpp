// Import of ONNX models: values, errors, control flow, damaged files. ONNX's own models are run by
// tests/programs/onnx_test.cpp. Without libweft_onnx nothing is asked but that its absence is said.
#include "weft/onnx.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>

#include "onnx/importer.h"
#include "weft/weft.h"

namespace {

using namespace weft;
using namespace weft::onnx;
namespace fs = std::filesystem;

bool available() {
  try {
    (void)module();
    return true;
  } catch (const UnsupportedOp& e) {
    CHECK(std::string(e.what()).find("libonnx-dev") != std::string::npos);
    return false;
  }
}

/// A file that goes away with its test.
struct File {
  explicit File(const std::string& bytes)
      : path(
            (fs::temp_directory_path() / ("weft-" + std::to_string(getpid()) + ".onnx")).string()) {
    std::ofstream(path, std::ios::binary) << bytes;
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  ~File() { fs::remove(path); }
  std::string path;
};

TypeDef tensor_type(std::int32_t type, std::optional<Shape> shape) {
  TypeDef result;
  result.kind = TypeDef::Kind::tensor;
  result.type = type;
  if (shape) {
    result.dims.emplace();
    for (const std::int64_t n : *shape) result.dims->push_back({n, n < 0 ? "N" : ""});
  }
  return result;
}

ValueInfoDef value(const std::string& name, std::optional<Shape> shape, std::int32_t type = 1) {
  return {name, tensor_type(type, std::move(shape))};
}

NodeDef node(const std::string& op, std::vector<std::string> in, std::vector<std::string> out,
             std::vector<AttributeDef> attributes = {}) {
  return {op + "_of_the_test", op, "", std::move(in), std::move(out), std::move(attributes)};
}

AttributeDef integer(const std::string& name, std::int64_t i) {
  AttributeDef a;
  a.name = name;
  a.kind = AttributeDef::Kind::integer;
  a.integer = i;
  return a;
}
AttributeDef integers(const std::string& name, std::vector<std::int64_t> list) {
  AttributeDef a;
  a.name = name;
  a.kind = AttributeDef::Kind::integers;
  a.integers = std::move(list);
  return a;
}
AttributeDef text(const std::string& name, const std::string& t) {
  AttributeDef a;
  a.name = name;
  a.kind = AttributeDef::Kind::string;
  a.string = t;
  return a;
}

AttributeDef graph(const std::string& name, GraphDef g) {
  AttributeDef a;
  a.name = name;
  a.kind = AttributeDef::Kind::graph;
  a.graphs.push_back(std::make_shared<const GraphDef>(std::move(g)));
  return a;
}

ModelDef model(std::vector<NodeDef> nodes, std::vector<ValueInfoDef> in,
               std::vector<ValueInfoDef> out, std::int64_t version = 17) {
  ModelDef m;
  m.opsets = {{"", version}};
  m.graph.name = "test";
  m.graph.nodes = std::move(nodes);
  m.graph.inputs = std::move(in);
  m.graph.outputs = std::move(out);
  return m;
}

Model loaded(const ModelDef& def, bool check = true) {
  const File file(module().write_model(def, check));
  return load(file.path);
}

/// What loading says.
std::string problem(const ModelDef& def) {
  try {
    (void)loaded(def, false);
  } catch (const Error& e) { return e.what(); }
  return {};
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

std::string slurp(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream out;
  out << file.rdbuf();
  return out.str();
}

}  // namespace

TEST_CASE("onnx: a model is ordinary tensors, which compile and differentiate") {
  if (!available()) return;
  const Model m = loaded(model({node("Mul", {"x", "x"}, {"y"}), node("ReduceSum", {"y"}, {"z"})},
                               {value("x", {{3}})}, {value("z", {{1}})}));
  CHECK(m.input_names == std::vector<std::string>{"x"});
  CHECK(m.output_names == std::vector<std::string>{"z"});
  CHECK(m.needs_values().empty());
  CHECK(m.function(Array{1.f, 2.f, 3.f})[0].item<float>() == 14);
  const Function slope({m.inputs[0]}, grad(m.outputs[0], {m.inputs[0]}));
  CHECK(array_equal(slope(Array{1.f, 2.f, 3.f})[0], Array{2.f, 4.f, 6.f}));
}

TEST_CASE("onnx: extents that the model leaves open are those of the call") {
  if (!available()) return;
  ModelDef def = model({node("Shape", {"x"}, {"s"}), node("ConstantOfShape", {"s"}, {"zero"}),
                        node("Sub", {"zero", "x"}, {"y"})},
                       {value("x", {{-1, 2}})}, {value("y", {{-1, 2}})});
  const Model m = loaded(def);
  for (const std::int64_t n : {1, 3, 7}) {
    const Array x = ones({n, 2});
    CHECK(array_equal(m.run({x})[0].array(), full({n, 2}, -1.0f)));
  }
  CHECK_THROWS_AS((void)m.run({Value(ones({3, 4}))}), ShapeError);
  CHECK_THROWS_AS((void)m.run({Value(ones({3, 2}, DType::int64))}), DTypeError);
  CHECK_THROWS_AS((void)m.run({}), Error);
}

TEST_CASE("onnx: shapes that are computed from shapes, as exporters write them") {
  if (!available()) return;
  ModelDef def = model({node("Shape", {"x"}, {"s"}), node("Gather", {"s", "first"}, {"n"}),
                        node("Unsqueeze", {"n", "axis"}, {"n1"}),
                        node("Concat", {"n1", "rest"}, {"to"}, {integer("axis", 0)}),
                        node("Reshape", {"x", "to"}, {"rows"}), node("Gemm", {"rows", "w"}, {"y"})},
                       {value("x", {{-1, 2, 2}})}, {value("y", {{-1, 1}})});
  def.graph.initializers = {to_tensor_def(Array(0), "first"), to_tensor_def(Array{0}, "axis"),
                            to_tensor_def(Array{-1}, "rest"), to_tensor_def(ones({4, 1}), "w")};
  const Model m = loaded(def);
  CHECK(m.needs_values().empty());
  CHECK(array_equal(m.function(ones({3, 2, 2}))[0], full({3, 1}, 4.0f)));
  CHECK(array_equal(m.function(ones({5, 2, 2}))[0], full({5, 1}, 4.0f)));
}

TEST_CASE("onnx: a branch and a loop that depend on values") {
  if (!available()) return;
  GraphDef yes{"yes", {node("Neg", {"x"}, {"a"})}, {}, {}, {value("a", {{2}})}};
  GraphDef no{"no", {node("Add", {"x", "x"}, {"b"})}, {}, {}, {value("b", {{2}})}};
  const Model choice = loaded(
      model({node("If", {"c"}, {"y"}, {graph("then_branch", yes), graph("else_branch", no)})},
            {value("c", Shape{}, 9), value("x", {{2}})}, {value("y", {{2}})}));
  const Array x{1.f, 2.f};
  CHECK(array_equal(choice.run({Array(true), x})[0].array(), Array{-1.f, -2.f}));
  CHECK(array_equal(choice.run({Array(false), x})[0].array(), Array{2.f, 4.f}));

  // x is doubled until it exceeds 100
  GraphDef body{"body",
                {node("Add", {"v", "v"}, {"w"}), node("Less", {"w", "limit"}, {"again"})},
                {to_tensor_def(Array(100.0f), "limit")},
                {value("i", Shape{}, 7), value("on", Shape{}, 9), value("v", Shape{})},
                {value("again", Shape{}, 9), value("w", Shape{})}};
  ModelDef def = model({node("Loop", {"", "start", "x"}, {"y"}, {graph("body", body)})},
                       {value("x", Shape{})}, {value("y", Shape{})});
  def.graph.initializers.push_back(to_tensor_def(Array(true), "start"));
  const Model loop = loaded(def);
  CHECK(loop.run({Array(3.0f)})[0].array().item<float>() == 192);
  CHECK(loop.run({Array(99.0f)})[0].array().item<float>() == 198);
}

TEST_CASE("onnx: functions of the model's own are expanded, and may not call themselves") {
  if (!available()) return;
  ModelDef def = model({}, {value("x", {{2}})}, {value("y", {{2}})});
  def.opsets.emplace_back("own", 1);
  def.graph.nodes = {{"call", "Twice", "own", {"x"}, {"y"}, {}}};
  def.functions = {
      {"Twice", "own", {"a"}, {"b"}, {}, {node("Add", {"a", "a"}, {"b"})}, {{"", 17}}}};
  // functions are not written: hand the model over as it is
  const Tensor x({2}, DType::float32);
  const Items made = Importer(def, "own.onnx").run_model({x});
  CHECK(array_equal(Function({x}, *made[0].tensor())(Array{1.f, 2.f})[0], Array{2.f, 4.f}));
  def.functions[0].nodes = {{"again", "Twice", "own", {"a"}, {"b"}, {}}};
  def.functions[0].opsets.emplace_back("own", 1);
  CHECK_THROWS_AS(Importer(def, "own.onnx").run_model({x}), ParseError);
}

TEST_CASE("onnx: what is wrong with a model is said with the file, the node and the operator") {
  if (!available()) return;
  const auto x = value("x", {{2, 3}}), y = value("y", {{2, 3}});
  const std::string missing = problem(model({node("Add", {"x", "nobody"}, {"y"})}, {x}, {y}));
  INFO(missing);
  CHECK(has(missing, ".onnx"));
  CHECK(has(missing, "nobody"));
  CHECK(
      has(problem(model({node("Relu", {"z"}, {"y"}), node("Relu", {"y"}, {"z"})}, {x}, {y})), "z"));
  CHECK(
      has(problem(model({node("Relu", {"x"}, {"y"}), node("Relu", {"x"}, {"y"})}, {x}, {y})), "y"));
  CHECK(!problem(model({node("Relu", {"x"}, {"z"})}, {x}, {y})).empty());
  CHECK(!problem(model({node("NoSuchOperator", {"x"}, {"y"})}, {x}, {y})).empty());
  // newer than the library's checker: our own checks alone
  const auto newer = [&](std::vector<NodeDef> nodes) {
    return problem(model(std::move(nodes), {x}, {y}, 99));
  };
  const std::string unknown = newer({node("NoSuchOperator", {"x"}, {"y"})});
  CHECK(has(unknown, "NoSuchOperator"));
  CHECK(has(unknown, "99"));
  CHECK(has(newer({node("Add", {"x", "nobody"}, {"y"})}), "nobody"));
  CHECK(has(newer({node("Add", {"x"}, {"y"})}), "operand 1"));
  CHECK(has(newer({node("Relu", {"x"}, {"y"}), node("Relu", {"x"}, {"y"})}), "twice"));
  CHECK(has(newer({node("Relu", {"x"}, {"z"})}), "'y'"));
  CHECK(has(newer({node("Concat", {"x"}, {"y"})}), "axis"));
  CHECK(has(newer({node("MatMul", {"x", "x"}, {"y"})}), "MatMul_of_the_test"));
  CHECK(newer({node("Relu", {"x"}, {"y"})}).empty());
  CHECK_THROWS_AS((void)load("/nonexistent.onnx"), IoError);
  for (const char* text : {"", "this is not a model", "\n\n\n\n"})
    CHECK_THROWS_AS((void)load(File(text).path), ParseError);
}

TEST_CASE("onnx: absurd shapes are errors") {
  if (!available()) return;
  const std::int64_t most = std::numeric_limits<std::int64_t>::max();
  ModelDef def = model({node("ConstantOfShape", {"s"}, {"y"})}, {}, {value("y", {})});
  for (const Shape& shape : {Shape{most, most}, Shape{-1}, Shape{most}}) {
    def.graph.initializers = {to_tensor_def(Array::from(shape), "s")};
    CHECK_THROWS_AS((void)loaded(def, false).run({}), Error);
  }
  TensorDef wrong = to_tensor_def(Array{1.f, 2.f}, "s");
  wrong.dims = {most};
  def.graph.initializers = {wrong};
  CHECK_THROWS_AS((void)loaded(def, false), ParseError);
}

namespace {

/// The first result of one operator of a version that the installed library may not know.
Array applied(const std::string& op, std::int64_t version, const std::vector<Array>& operands,
              std::vector<AttributeDef> attributes = {}) {
  std::vector<std::string> names;
  std::vector<ValueInfoDef> inputs;
  std::vector<Value> values;
  for (const Array& x : operands) {
    names.push_back("x" + std::to_string(names.size()));
    inputs.push_back(value(names.back(), x.shape(), onnx_of_dtype(x.dtype())));
    values.emplace_back(x);
  }
  return loaded(model({node(op, names, {"y"}, std::move(attributes))}, inputs, {value("y", {})},
                      version),
                false)
      .run(values)[0]
      .array();
}

}  // namespace

TEST_CASE("onnx: operators of later versions than the installed library's") {
  if (!available()) return;
  const Array row{1.f, 2.f, 3.f, 4.f, 5.f};
  CHECK(array_equal(applied("Split", 18, {row}, {integer("num_outputs", 1)}), row));
  CHECK(array_equal(applied("Pad", 19, {row, Array{2, 1}}, {text("mode", "wrap")}),
                    Array{4.f, 5.f, 1.f, 2.f, 3.f, 4.f, 5.f, 1.f}));
  CHECK(array_equal(applied("CenterCropPad", 18, {row, Array{3}}), Array{2.f, 3.f, 4.f}));
  CHECK(array_equal(applied("CenterCropPad", 18, {row, Array{8}}),
                    Array{0.f, 1.f, 2.f, 3.f, 4.f, 5.f, 0.f, 0.f}));
  CHECK(array_equal(applied("ReduceMax", 18, {Array{{1.f, 7.f}, {3.f, 2.f}}, Array{1}}),
                    Array{{7.f}, {3.f}}));
  CHECK(array_equal(applied("ReduceMin", 20, {Array{{true, false}, {true, true}}, Array{1}},
                            {integer("keepdims", 0)}),
                    Array{false, true}));
  CHECK(array_equal(applied("ReduceMax", 20, {zeros({2, 0}), Array{1}}, {integer("keepdims", 0)}),
                    full({2}, -std::numeric_limits<float>::infinity())));
  CHECK(array_equal(applied("BitwiseXor", 18, {Array{6, 3}, Array{5, 1}}), Array{3, 2}));
  CHECK(array_equal(applied("BitwiseNot", 18, {Array{6, -1}}), Array{-7, 0}));
  CHECK(array_equal(applied("ScatterElements", 18, {row, Array{1, 1}, Array{9.f, 5.f}},
                            {text("reduction", "max")}),
                    Array{1.f, 9.f, 3.f, 4.f, 5.f}));
  CHECK(array_equal(
      applied("ScatterND", 18, {row, Array{{1}, {2}}, Array{0.f, 9.f}}, {text("reduction", "min")}),
      Array{1.f, 0.f, 3.f, 4.f, 5.f}));
  CHECK(allclose(applied("Mish", 18, {Array{0.f, 1.f}}), Array{0.f, 0.86509839f}));
  CHECK(allclose(applied("Gelu", 20, {Array{0.f, 1.f}}), Array{0.f, 0.84134475f}));
  CHECK(array_equal(applied("IsInf", 20, {Array{1.f, -std::numeric_limits<float>::infinity()}}),
                    Array{false, true}));
  CHECK(array_equal(
      applied("Col2Im", 18, {Array{{{1.f, 2.f}, {3.f, 4.f}}}, Array{1, 3}, Array{1, 2}}),
      Array{{{{1.f, 5.f, 4.f}}}}));
  CHECK(allclose(applied("LpPool", 18, {Array{{{3.f, 4.f, 0.f}}}}, {integers("kernel_shape", {2})}),
                 Array{{{5.f, 4.f}}}));
  CHECK(array_equal(applied("Resize", 18,
                            {Array{{1.f, 2.f}}, Array::from(std::vector<float>{}),
                             Array::from(std::vector<float>{}), Array{4}},
                            {integers("axes", {1})}),
                    Array{{1.f, 1.f, 2.f, 2.f}}));
  CHECK(allclose(applied("GroupNormalization", 21,
                         {Array{{{1.f, 3.f}, {5.f, 5.f}}}, Array{1.f, 2.f}, Array{0.f, 1.f}},
                         {integer("num_groups", 2)}),
                 Array{{{-1.f, 1.f}, {1.f, 1.f}}}, 1e-3, 1e-3));
  CHECK(allclose(applied("RMSNormalization", 23, {Array{{3.f, 4.f}}, Array{1.f, 2.f}}),
                 Array{{0.8485281f, 2.2627417f}}, 1e-4));
  CHECK(
      allclose(applied("DFT", 20, {Array{{{1.f}, {2.f}}}}, {}), Array{{{3.f, 0.f}, {-1.f, 0.f}}}));
  CHECK(array_equal(
      applied("DequantizeLinear", 19,
              {Array{{4, 6}}.to(DType::uint8), Array{0.5f, 2.f}, Array{2, 2}.to(DType::uint8)},
              {integer("axis", 1)}),
      Array{{1.f, 8.f}}));
  CHECK(array_equal(applied("MaxRoiPool", 22,
                            {Array{{{{1.f, 2.f}, {3.f, 4.f}}}}, Array{{0.f, 0.f, 0.f, 1.f, 1.f}}},
                            {integers("pooled_shape", {1, 2})}),
                    Array{{{{3.f, 4.f}}}}));
  CHECK(array_equal(
      applied("AffineGrid", 20, {Array{{{1.f, 0.f, 0.f}, {0.f, 1.f, 0.f}}}, Array{1, 1, 1, 2}}),
      Array{{{{-0.5f, 0.f}, {0.5f, 0.f}}}}));
  CHECK(array_equal(applied("GridSample", 20, {Array{{{{1.f, 3.f}}}}, Array{{{{0.f, 0.f}}}}},
                            {text("mode", "linear")}),
                    Array{{{{2.f}}}}));
  CHECK_THROWS_WITH_AS(applied("StringConcat", 20, {row}),
                       doctest::Contains("StringConcat of version 20"), UnsupportedOp);
}

TEST_CASE("onnx: what is written is accepted by ONNX's checker, and computes the same when read") {
  if (!available()) return;
  Tensor x({2, 3}, DType::float32, "x"), y({3, 2}, DType::float32, "y");
  Variable w(Array{{1.f, -2.f, 3.f}}, "w");
  const Tensor p = matmul(x, y), row = x + w;
  const std::vector<Tensor> outputs{exp(x) * 2 - w,
                                    softmax(p, 1),
                                    sum(row, Axes{1}),
                                    mean(row),
                                    amax(x, Axes{0}, true),
                                    p.t(),
                                    x[{0, Slice(none, none, -1)}],
                                    flip(x, {0}),
                                    concatenate({row, x * x}, 0),
                                    where(x > 0, x, 0.5),
                                    broadcast_to(reshape(x, {2, 1, 3}), {2, 4, 3}),
                                    pad(x, {{1, 0}, {0, 2}}, 7),
                                    argmax(x, 1),
                                    cast(x, DType::int32),
                                    any(x > 1),
                                    log1p(abs(x)),
                                    var(x),
                                    gelu(x),
                                    silu(w),
                                    cumprod(x, 1) * 0,
                                    layer_norm(x, {3}),
                                    one_hot(argmax(x, 1), 3),
                                    squeeze(w, 0),
                                    maximum(x, w),
                                    clip(x, -1.0, std::nullopt),
                                    cumsum(x, 1, true, true),
                                    topk(x, 2, 1).values,
                                    cast(topk(x, 2, 1, false).indices, DType::float32) * p,
                                    sort(x, 0, true).values,
                                    gather_nd(x, Array{{1, 2}, {0, 1}})};
  const Array a{{0.5f, -1.f, 2.f}, {3.f, 0.25f, -0.75f}}, b{{1.f, 2.f}, {-1.f, 0.f}, {0.5f, 1.f}};
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    CAPTURE(i);
    const Function f({x, y}, outputs[i]);
    const File file("");
    try {
      save(file.path, f);
    } catch (const UnsupportedOp&
                 e) {  // running products have no operator that they could be written in
      CHECK(has(e.what(), "cannot be written as ONNX"));
      CHECK(i == 19);
      continue;
    }
    const Model m = load(file.path);
    CHECK(allclose(m.function(a, b)[0], f(a, b)[0], 1e-5, 1e-6));
    CHECK(m.function(a, b)[0].dtype() == f(a, b)[0].dtype());
  }
}

namespace {

const fs::path examples = "/usr/share/libonnx-testdata/data/node";
constexpr const char* victims[] = {"test_add",
                                   "test_reshape_negative_dim",
                                   "test_slice",
                                   "test_gather_0",
                                   "test_conv_with_strides_padding",
                                   "test_lstm_defaults",
                                   "test_if_seq",
                                   "test_loop11",
                                   "test_scan9_sum",
                                   "test_sequence_map_add_2_sequences",
                                   "test_nllloss_NC",
                                   "test_cumsum_1d",
                                   "test_layer_normalization_2d_axis0",
                                   "test_top_k",
                                   "test_resize_upsample_scales_linear",
                                   "test_split_equal_parts_1d",
                                   "test_constant_pad",
                                   "test_maxpool_2d_strides",
                                   "test_tile",
                                   "test_range_float_type_positive_delta_expanded",
                                   "test_reduce_sum_do_not_keepdims_random"};

struct Damage {
  std::mt19937 random{20240617};
  std::size_t thrown = 0, survived = 0;

  std::size_t below(std::size_t n) {
    return std::uniform_int_distribution<std::size_t>(0, n - 1)(random);
  }
  template <class T> T& one_of(std::vector<T>& list) { return list[below(list.size())]; }

  /// Whatever is thrown but an Error fails the test.
  void run(const char* name, const std::string& bytes) {
    const File file(bytes);
    try {
      const Model m = load(file.path);
      std::vector<Value> inputs;
      for (std::size_t i = 0; i < m.input_names.size(); ++i) {
        const std::string stored = "input_" + std::to_string(i) + ".pb";
        inputs.push_back(m.load_input(i, (examples / name / "test_data_set_0" / stored).string()));
      }
      (void)m.run(inputs);
      ++survived;
    } catch (const Error&) { ++thrown; }
  }

  std::int64_t odd_number() {
    constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max();
    constexpr std::int64_t odd[] = {0, 1, -1, 2, 3, 7, -7, 100, most, -most - 1, most / 2, 1 << 20};
    return odd[below(std::size(odd))];
  }

  void change(AttributeDef& a) {
    a.integer = odd_number();
    a.real = static_cast<double>(odd_number());
    if (!a.integers.empty()) one_of(a.integers) = odd_number();
    if (below(4) == 0) a.integers.push_back(odd_number());
    if (below(4) == 0 && !a.integers.empty()) a.integers.pop_back();
    if (below(8) == 0) a.string += "?";
    if (below(8) == 0) a.kind = static_cast<AttributeDef::Kind>(1 + below(10));
    if (a.kind == AttributeDef::Kind::tensor && a.tensors.empty())
      a.kind = AttributeDef::Kind::real;
    if (a.kind == AttributeDef::Kind::graph && a.graphs.empty()) a.kind = AttributeDef::Kind::real;
    if (!a.graphs.empty() && below(2) == 0) {
      GraphDef inner = *a.graphs[0];
      change(inner);
      a.graphs[0] = std::make_shared<const GraphDef>(std::move(inner));
    }
  }

  void change(NodeDef& n) {
    static const char* const operators[] = {"Add",     "MatMul", "Concat", "Transpose",  "Gather",
                                            "Reshape", "Conv",   "Loop",   "SequenceAt", "Softmax"};
    switch (below(6)) {
      case 0: n.op = operators[below(std::size(operators))]; break;
      case 1:
        if (!n.inputs.empty())
          n.inputs.erase(n.inputs.begin() + static_cast<std::ptrdiff_t>(below(n.inputs.size())));
        break;
      case 2:
        if (n.inputs.size() > 1) std::swap(one_of(n.inputs), one_of(n.inputs));
        break;
      case 3:
        if (!n.inputs.empty()) one_of(n.inputs) = n.outputs.empty() ? "" : n.outputs[0];
        break;
      case 4:
        if (!n.inputs.empty()) n.inputs.push_back(one_of(n.inputs));
        break;
      default:
        if (!n.attributes.empty()) change(one_of(n.attributes));
        break;
    }
  }

  void change(GraphDef& g) {
    if (below(8) == 0 && !g.outputs.empty()) g.outputs.pop_back();
    if (below(8) == 0 && !g.inputs.empty()) one_of(g.inputs).name += "_";
    if (below(8) == 0 && !g.initializers.empty())
      one_of(g.initializers).dims.push_back(odd_number());
    if (!g.nodes.empty()) change(one_of(g.nodes));
  }
};

}  // namespace

TEST_CASE("onnx: damaged files of ONNX's own tests never do worse than throw") {
  if (!available() || !fs::is_directory(examples)) return;
  Damage damage;
  for (const char* name : victims) {
    const std::string whole = slurp(examples / name / "model.onnx");
    REQUIRE(!whole.empty());
    for (int round = 0; round < 30; ++round) {
      std::string bytes = whole;
      switch (damage.below(8)) {
        case 0: bytes.resize(damage.below(bytes.size())); break;
        case 1: bytes.erase(damage.below(bytes.size()), 1 + damage.below(3)); break;
        case 2:
          bytes.insert(damage.below(bytes.size()), 1, static_cast<char>(damage.below(256)));
          break;
        case 3: bytes[damage.below(bytes.size())] = static_cast<char>(damage.below(256)); break;
        default:
          bytes[damage.below(bytes.size())] ^= static_cast<char>(1 << damage.below(8));
          break;
      }
      damage.run(name, bytes);
    }
  }
  CHECK(damage.thrown > 100);
  CHECK(damage.survived > 50);
}

TEST_CASE("onnx: graphs that are put together wrongly never do worse than throw") {
  if (!available() || !fs::is_directory(examples)) return;
  Damage damage;
  for (const char* name : victims) {
    const ModelDef whole = module().read_model(slurp(examples / name / "model.onnx"), {});
    for (int round = 0; round < 40; ++round) {
      ModelDef def = whole;
      def.opsets[0].second = 20;  // newer than ONNX's own checker, which so lets it pass
      for (std::size_t i = 0, n = 1 + damage.below(2); i < n; ++i) damage.change(def.graph);
      damage.run(name, module().write_model(def, false));
    }
  }
  CHECK(damage.thrown > 100);
  CHECK(damage.survived > 50);
}
