// The rows that oneDNN has primitives for: weft-bench-onednn ROW THREADS BUDGET_MS prints a JSON line a form, nothing for
// a row that is not here. Forms: "onednn" takes and gives plain row-major arrays; "onednn-packed" has weights in the
// layout that it likes best before the clock starts; "onednn-blocked" has every array in such a layout.
#include <oneapi/dnnl/dnnl.hpp>
#include <unordered_map>

#include "tools/weft_bench/measure.h"

namespace {

using namespace weft::bench;
using dnnl::memory;
using Layout = memory::format_tag;
using Dims = memory::dims;

enum class Form { plain, packed, blocked };

constexpr const char* name_of(Form form) {
  switch (form) {
    case Form::plain: return "onednn";
    case Form::packed: return "onednn-packed";
    case Form::blocked: return "onednn-blocked";
  }
  return "";
}

memory::desc plain(const Dims& dims) {
  constexpr Layout layouts[] = {Layout::undef, Layout::a, Layout::ab, Layout::abc, Layout::abcd};
  return {dims, memory::data_type::f32, layouts[dims.size()]};
}
memory::desc any(const Dims& dims) { return {dims, memory::data_type::f32, Layout::any}; }

/// One call of a row on one set of inputs: primitives that run one after another.
class Program {
 public:
  Program(dnnl::engine engine, Form form, std::vector<Input> inputs)
      : engine_(std::move(engine)), stream_(engine_), form_(form), inputs_(std::move(inputs)) {}

  void run() {
    for (auto& [primitive, arguments] : steps_) primitive.execute(stream_, arguments);
    stream_.wait();
  }
  [[nodiscard]] Checks checks() {
    Checks c;
    for (const memory& result : results_) {
      memory dense(plain(result.get_desc().dims()), engine_);
      dnnl::reorder(result, dense).execute(stream_, const_cast<memory&>(result), dense);
      stream_.wait();
      c.add(static_cast<const float*>(dense.get_data_handle()), dense.get_desc().get_size() / sizeof(float));
    }
    return c;
  }

  void build(std::string_view row) {
    if (row == "E4_fwd" || row == "E4_fwdbwd") gelu(row == "E4_fwdbwd");
    else if (row == "R1") row_sums();
    else if (row == "R3") softmax();
    else if (row == "R4") layer_norm();
    else if (row.starts_with("C1")) convolution(row == "C1_fwdbwd");
    else product(row.starts_with("M2"));
  }

 private:
  Dims dims(std::size_t i) const { return inputs_[i].shape; }
  memory input(std::size_t i) { return {plain(dims(i)), engine_, inputs_[i].values.data()}; }

  /// The input where the primitive wants it: as it is, or reordered, before the clock starts where this form says so.
  memory input_as(const memory::desc& wanted, std::size_t i, bool weights) {
    const memory given = input(i);
    if (wanted == given.get_desc()) return given;
    memory moved(wanted, engine_);
    const bool early = form_ == Form::blocked || (form_ == Form::packed && weights);
    const dnnl::reorder reorder(given, moved);
    if (early) {
      reorder.execute(stream_, const_cast<memory&>(given), moved);
      stream_.wait();
    } else {
      step(reorder, {{DNNL_ARG_FROM, given}, {DNNL_ARG_TO, moved}});
    }
    return moved;
  }
  /// Where a primitive writes a result of this row, and what brings it into a plain array where that is asked for.
  void step_into(const dnnl::primitive& primitive, std::unordered_map<int, memory> arguments, int which,
                 const memory::desc& desc) {
    const memory made(desc, engine_);
    arguments[which] = made;
    step(primitive, std::move(arguments));
    const memory::desc wanted = plain(desc.dims());
    if (form_ == Form::blocked || desc == wanted) {
      results_.push_back(made);
    } else {
      results_.emplace_back(wanted, engine_);
      step(dnnl::reorder(made, results_.back()), {{DNNL_ARG_FROM, made}, {DNNL_ARG_TO, results_.back()}});
    }
  }
  void step(const dnnl::primitive& primitive, std::unordered_map<int, memory> arguments) {
    steps_.emplace_back(primitive, std::move(arguments));
  }

  void gelu(bool gradient) {
    using dnnl::eltwise_backward, dnnl::eltwise_forward;
    const auto kind = gradient ? dnnl::prop_kind::forward_training : dnnl::prop_kind::forward_inference;
    const auto tanh = dnnl::algorithm::eltwise_gelu_tanh;
    const memory x = input(0);
    const eltwise_forward::primitive_desc forward({kind, tanh, x.get_desc(), 0, 0}, engine_);
    step_into(eltwise_forward(forward), {{DNNL_ARG_SRC, x}}, DNNL_ARG_DST, forward.dst_desc());
    if (!gradient) return;
    const eltwise_backward::primitive_desc backward({tanh, x.get_desc(), x.get_desc(), 0, 0}, engine_, forward);
    step_into(eltwise_backward(backward), {{DNNL_ARG_SRC, x}, {DNNL_ARG_DIFF_DST, input(1)}}, DNNL_ARG_DIFF_SRC,
              backward.diff_src_desc());
  }

  void row_sums() {
    const memory x = input(0);
    const dnnl::reduction::primitive_desc sum(
        {dnnl::algorithm::reduction_sum, x.get_desc(), plain({dims(0)[0], 1}), 0, 0}, engine_);
    step_into(dnnl::reduction(sum), {{DNNL_ARG_SRC, x}}, DNNL_ARG_DST, sum.dst_desc());
  }

  void softmax() {
    const memory x = input(0);
    const dnnl::softmax_forward::primitive_desc rows({dnnl::prop_kind::forward_inference, x.get_desc(), 1}, engine_);
    step_into(dnnl::softmax_forward(rows), {{DNNL_ARG_SRC, x}}, DNNL_ARG_DST, rows.dst_desc());
  }

  void layer_norm() {
    using dnnl::normalization_flags;
    const memory x = input(0);
    const dnnl::layer_normalization_forward::primitive_desc rows(
        {dnnl::prop_kind::forward_inference, x.get_desc(), 1e-5f,
         normalization_flags::use_scale | normalization_flags::use_shift},
        engine_);
    step_into(dnnl::layer_normalization_forward(rows),
              {{DNNL_ARG_SRC, x}, {DNNL_ARG_SCALE, input(1)}, {DNNL_ARG_SHIFT, input(2)}}, DNNL_ARG_DST, rows.dst_desc());
  }

  void product(bool relu) {
    Dims out = dims(0);
    out.back() = dims(1).back();
    dnnl::primitive_attr attributes;
    std::unordered_map<int, memory> arguments;
    if (relu) {
      dnnl::post_ops after;
      after.append_eltwise(1, dnnl::algorithm::eltwise_relu, 0, 0);
      attributes.set_post_ops(after);
      arguments[DNNL_ARG_BIAS] = {plain({1, dims(2)[0]}), engine_, inputs_[2].values.data()};
    }
    const memory::desc weights = form_ == Form::plain ? plain(dims(1)) : any(dims(1));
    const dnnl::matmul::desc desc =
        relu ? dnnl::matmul::desc(plain(dims(0)), weights, plain({1, dims(2)[0]}), plain(out))
             : dnnl::matmul::desc(plain(dims(0)), weights, plain(out));
    const dnnl::matmul::primitive_desc product(desc, attributes, engine_);
    arguments[DNNL_ARG_SRC] = input(0);
    arguments[DNNL_ARG_WEIGHTS] = input_as(product.weights_desc(), 1, true);
    step_into(dnnl::matmul(product), std::move(arguments), DNNL_ARG_DST, product.dst_desc());
  }

  void convolution(bool gradients) {
    using dnnl::convolution_backward_data, dnnl::convolution_backward_weights, dnnl::convolution_forward;
    const auto direct = dnnl::algorithm::convolution_auto;
    const auto kind = gradients ? dnnl::prop_kind::forward_training : dnnl::prop_kind::forward_inference;
    const Dims result = {32, 64, 28, 28}, stride = {1, 1}, pad = {1, 1};
    const auto x = any(dims(0)), w = any(dims(1)), y = any(result);
    const convolution_forward::primitive_desc forward({kind, direct, x, w, y, stride, pad, pad}, engine_);
    step_into(convolution_forward(forward),
              {{DNNL_ARG_SRC, input_as(forward.src_desc(), 0, false)},
               {DNNL_ARG_WEIGHTS, input_as(forward.weights_desc(), 1, true)}},
              DNNL_ARG_DST, forward.dst_desc());
    if (!gradients) return;
    const convolution_backward_data::primitive_desc data({direct, x, w, y, stride, pad, pad}, engine_, forward);
    step_into(convolution_backward_data(data),
              {{DNNL_ARG_DIFF_DST, input_as(data.diff_dst_desc(), 2, false)},
               {DNNL_ARG_WEIGHTS, input_as(data.weights_desc(), 1, true)}},
              DNNL_ARG_DIFF_SRC, data.diff_src_desc());
    const convolution_backward_weights::primitive_desc weights({direct, x, w, y, stride, pad, pad}, engine_, forward);
    step_into(convolution_backward_weights(weights),
              {{DNNL_ARG_DIFF_DST, input_as(weights.diff_dst_desc(), 2, false)},
               {DNNL_ARG_SRC, input_as(weights.src_desc(), 0, false)}},
              DNNL_ARG_DIFF_WEIGHTS, weights.diff_weights_desc());
  }

  dnnl::engine engine_;
  dnnl::stream stream_;
  Form form_;
  std::vector<Input> inputs_;
  std::vector<memory> results_;
  std::vector<std::pair<dnnl::primitive, std::unordered_map<int, memory>>> steps_;
};

std::vector<Form> forms_of(std::string_view row) {
  if (row.starts_with("C1")) return {Form::plain, Form::blocked};
  const auto shape = product_shape(row);
  if (row.starts_with("M2") || (shape && shape->batch == 1)) return {Form::plain, Form::packed};
  if (shape) return {Form::plain};
  for (const char* known : {"E4_fwd", "E4_fwdbwd", "R1", "R3", "R4"})
    if (row == known) return {Form::plain};
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  const Job job{argv[1], std::stoi(argv[2]), std::stod(argv[3])};
  for (const Form form : forms_of(job.row)) {
    const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
    std::vector<Program> sets;
    for (std::uint32_t set = 0; set < input_sets; ++set)
      sets.emplace_back(engine, form, inputs_of(job.row, set)).build(job.row);
    sets[0].run();
    Measured m;
    m.checks = sets[0].checks();
    m.timing = time_calls([&](std::uint32_t set) { sets[set].run(); }, job.budget_ms);
    print_line(name_of(form), job, m);
  }
}
