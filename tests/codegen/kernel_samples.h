// A fixed collection of kernels with memory to run them on, for the tests of every backend.
#pragma once

#include "kernel_reference.h"

namespace weft::test {

struct Sample {
  std::string name;
  ir::Kernel kernel;
  Memory memory;
  std::vector<std::int64_t> symbols;
};

inline std::vector<Dim> dense(const std::vector<Dim>& axes) {
  std::vector<Dim> strides(axes.size(), Dim(1));
  for (std::size_t i = axes.size(); i-- > 1;) strides[i - 1] = strides[i] * axes[i];
  return strides;
}

/// Dense inputs and outputs, one a program input and output.
inline ir::Kernel pointwise(std::vector<Dim> axes, const std::vector<DType>& inputs,
                            ir::ScalarProgram body) {
  ir::Kernel k;
  k.axes = std::move(axes);
  ir::Stage stage;
  const auto add = [&](DType t, bool written) {
    k.accesses.push_back({static_cast<int>(k.buffers.size()), Dim(0), dense(k.axes)});
    k.buffers.push_back({t, written});
    return static_cast<int>(k.accesses.size()) - 1;
  };
  for (const DType t : inputs) stage.sources.push_back({ir::Source::Kind::load, add(t, false)});
  for (std::size_t i = 0; i < body.outputs.size(); ++i)
    stage.sinks.push_back(
        {ir::Sink::Kind::store, static_cast<int>(i), add(body.output_dtype(i), true)});
  stage.body = std::move(body);
  k.stages.push_back(std::move(stage));
  return k;
}

struct OpcodeCase {
  ir::ScalarOp op;
  DType operand, result;
  std::vector<DType> inputs;
};

/// Every computing opcode with every dtype that it takes.
inline std::vector<OpcodeCase> all_opcode_cases() {
  using ir::ScalarOp;
  const std::vector<DType> held{DType::boolean, DType::uint8,   DType::int8,   DType::int16,
                                DType::int32,   DType::int64,   DType::uint16, DType::uint32,
                                DType::uint64,  DType::float32, DType::float64};
  std::vector<OpcodeCase> cases;
  for (int o = 0; o < ir::scalar_op_count; ++o) {
    const auto op = static_cast<ScalarOp>(o);
    if (ir::arity(op) == 0 || op == ScalarOp::lookup || op == ScalarOp::scale ||
        op == ScalarOp::ratio)  // the last two are not for any operands
      continue;
    for (DType t : held) {
      for (DType r : held) {
        std::vector<DType> inputs(static_cast<std::size_t>(ir::arity(op)), t);
        if (op == ScalarOp::select) inputs[0] = DType::boolean;
        ir::ScalarProgram p{inputs, {}, {}, {}};
        for (std::size_t i = 0; i < inputs.size(); ++i)
          p.code.push_back({.op = ScalarOp::input, .dtype = inputs[i], .imm = i});
        ir::ScalarInst inst{.op = op, .dtype = r, .a = 0};
        if (inputs.size() > 1) inst.b = 1;
        if (inputs.size() > 2) inst.c = 2;
        p.code.push_back(inst);
        if (ir::problem_at(p, inputs.size()).empty()) cases.push_back({op, t, r, inputs});
      }
    }
  }
  cases.push_back({ScalarOp::convert, DType::float32, DType::float16, {DType::float32}});
  cases.push_back({ScalarOp::convert, DType::float16, DType::float32, {DType::float16}});
  return cases;
}

inline Memory memory_for(const ir::Kernel& k, const std::vector<std::int64_t>& elements,
                         std::mt19937_64& rng) {
  Memory memory;
  for (std::size_t i = 0; i < k.buffers.size(); ++i)
    memory.push_back(random_memory(rng, k.buffers[i].dtype, elements[i]));
  return memory;
}

inline Sample sample_of(const OpcodeCase& c, std::int64_t n, std::mt19937_64& rng) {
  ir::ScalarProgram p{c.inputs, {}, {}, {}};
  for (std::size_t i = 0; i < c.inputs.size(); ++i)
    p.code.push_back({.op = ir::ScalarOp::input, .dtype = c.inputs[i], .imm = i});
  ir::ScalarInst inst{.op = c.op, .dtype = c.result, .a = 0};
  if (c.inputs.size() > 1) inst.b = 1;
  if (c.inputs.size() > 2) inst.c = 2;
  p.outputs = {static_cast<std::int32_t>(c.inputs.size())};
  p.code.push_back(inst);
  Sample s{"opcode " + std::string(ir::name(c.op)) + " " + std::string(name(c.operand)) + " " +
               std::string(name(c.result)),
           pointwise({Dim(n)}, c.inputs, p),
           {},
           {}};
  s.memory = memory_for(s.kernel, std::vector<std::int64_t>(c.inputs.size() + 1, n), rng);
  return s;
}

/// The opcode that is not for any operands.
inline Sample scale_sample(std::int64_t n, std::mt19937_64& rng) {
  const ir::ScalarProgram program = scale_program(false);
  Sample s{"opcode scale", pointwise({Dim(n)}, program.inputs, program), {}, {}};
  s.memory = memory_for(s.kernel, {n, n, n}, rng);
  return s;
}

inline std::vector<Sample> layout_samples() {
  std::vector<Sample> samples;
  std::mt19937_64 rng(11);
  ir::ScalarBuilder b;
  const auto x = b.input(0, DType::float32), y = b.input(1, DType::float32);
  const auto coordinate =
      b.emit(ir::ScalarOp::convert, DType::float32, b.index(1) + b.index(0) * 100.0);
  const std::vector<ir::ScalarValue> outputs{fma(x, y, 2.5 * x), x - coordinate};
  const ir::ScalarProgram body = b.finish(outputs);
  ir::ScalarBuilder plain_builder;
  const auto px = plain_builder.input(0, DType::float32),
             py = plain_builder.input(1, DType::float32);
  const std::vector<ir::ScalarValue> plain_outputs{px / py};
  const ir::ScalarProgram plain = plain_builder.finish(plain_outputs);
  const std::vector<std::vector<std::int64_t>> shapes{{1, 1},   {3, 5},   {40, 33}, {2, 700},
                                                      {700, 2}, {64, 64}, {0, 7},   {1, 1200}};
  for (const auto& shape : shapes) {
    const std::int64_t m = shape[0], n = shape[1];
    struct Layout { std::string name; std::int64_t offset, row, column; };
    const std::vector<Layout> layouts{
        {"dense", 0, n, 1},      {"transposed", 0, 1, m}, {"row", 3, 0, 1},
        {"column", 1, 1, 0},     {"scalar", 2, 0, 0},     {"reversed", m * n - (m * n > 0), -n, -1},
        {"strided", 0, 2 * n, 2}};
    for (const Layout& l : layouts) {
      for (const bool indexed : {false, true}) {
        ir::Kernel k =
            pointwise({Dim(m), Dim(n)}, {DType::float32, DType::float32}, indexed ? body : plain);
        k.accesses[0].offset = l.offset;
        k.accesses[0].strides = {Dim(l.row), Dim(l.column)};
        if (l.name == "transposed") k.accesses.back().strides = {Dim(1), Dim(m)};
        Sample s{"layout " + l.name + (indexed ? " indexed " : " ") + std::to_string(m) + "x" +
                     std::to_string(n),
                 k,
                 {},
                 {}};
        std::vector<std::int64_t> elements(k.buffers.size(), m * n);
        elements[0] = 4 * m * n + 4;
        s.memory = memory_for(k, elements, rng);
        samples.push_back(std::move(s));
      }
    }
  }
  // Unknown extents: (s0, s1) with a column broadcast, at several sizes; and four axes with one of
  // extent 1.
  for (const auto& symbols :
       std::vector<std::vector<std::int64_t>>{{2, 3}, {17, 65}, {600, 3}, {1, 1}}) {
    const Dim m = dim("s0"), n = dim("s1");
    ir::Kernel k = pointwise({m, n}, {DType::float32, DType::float32}, body);
    k.symbols = 2;
    k.accesses[1].offset = max(m, n) - floordiv(m + n, Dim(2)) + mod(m, Dim(3));
    k.accesses[1].strides = {Dim(1), Dim(0)};
    Sample s{"layout unknown", k, {}, symbols};
    const std::int64_t count = symbols[0] * symbols[1];
    s.memory = memory_for(k, {count, 2 * (symbols[0] + symbols[1]) + 4, count, count}, rng);
    samples.push_back(std::move(s));
  }
  ir::Kernel four =
      pointwise({Dim(5), Dim(1), Dim(7), Dim(9)}, {DType::float32, DType::float32}, body);
  four.accesses[0].strides = {Dim(9), Dim(0), Dim(45), Dim(1)};
  Sample s{"layout four axes", four, {}, {}};
  s.memory = memory_for(four, {315, 315, 315, 315}, rng);
  samples.push_back(std::move(s));
  return samples;
}

// ---- Row kernels --------------------------------------------------------------------------------

inline ir::ScalarProgram binary_program(ir::ScalarOp op, DType t) {
  ir::ScalarBuilder b;
  const auto x = b.input(0, t), y = b.input(1, t);
  const std::vector<ir::ScalarValue> outputs{b.emit(op, t, x, y)};
  return b.finish(outputs);
}

inline ir::ScalarProgram copy_program(DType t) {
  ir::ScalarBuilder b;
  const std::vector<ir::ScalarValue> outputs{b.input(0, t)};
  return b.finish(outputs);
}

inline ir::KernelReduction sum_reduction(ir::ReductionOrder order, int output, int temp,
                                         DType t = DType::float32) {
  return {.order = order,
          .identity = {0},
          .combine = binary_program(ir::ScalarOp::add, t),
          .outputs = {output},
          .temps = {temp}};
}

inline constexpr auto load_kind = ir::Source::Kind::load;
inline constexpr auto store_kind = ir::Sink::Kind::store;

/// Sum of every row of a (p, n) array with strides, results to a dense (p) array.
inline ir::Kernel row_sum(std::int64_t p, std::int64_t n, ir::ReductionOrder order,
                          std::int64_t p_stride, std::int64_t n_stride) {
  ir::Kernel k;
  k.axes = {Dim(p), Dim(n)};
  k.has_row = true;
  k.buffers = {{DType::float32, false}, {DType::float32, true}};
  k.accesses = {{0, Dim(0), {Dim(p_stride), Dim(n_stride)}}, {1, Dim(0), {Dim(1), Dim(0)}}};
  k.point_temps = {DType::float32};
  ir::Stage sum{
      true, copy_program(DType::float32), {{load_kind, 0}}, {}, {sum_reduction(order, 0, 0)}};
  ir::Stage out{false,
                copy_program(DType::float32),
                {{ir::Source::Kind::point_temp, 0}},
                {{store_kind, 0, 1}},
                {}};
  k.stages = {sum, out};
  return k;
}

/// max, then x*x - max into a row temp and its sum, then the quotient; also the sum itself. Softmax
/// in shape.
inline ir::Kernel row_stages(Dim p, Dim n, ir::ReductionOrder order) {
  ir::Kernel k;
  k.axes = {p, n};
  k.has_row = true;
  k.buffers = {{DType::float32, false}, {DType::float32, true}, {DType::float32, true}};
  k.accesses = {{0, Dim(0), {n, Dim(1)}}, {1, Dim(0), {n, Dim(1)}}, {2, Dim(0), {Dim(1), Dim(0)}}};
  k.point_temps = {DType::float32, DType::float32, DType::float32};
  k.row_temps = {DType::float32};
  ir::KernelReduction greatest{.order = order,
                               .identity = {0xff800000u},
                               .combine = binary_program(ir::ScalarOp::maximum, DType::float32),
                               .outputs = {0},
                               .temps = {0}};
  ir::Stage first{true, copy_program(DType::float32), {{load_kind, 0}}, {}, {greatest}};
  ir::ScalarBuilder b;
  const auto x = b.input(0, DType::float32), t = b.input(1, DType::float32);
  const auto shifted = x * x - t + b.emit(ir::ScalarOp::convert, DType::float32, b.index(1));
  const std::vector<ir::ScalarValue> one{shifted};
  ir::Stage second{true, b.finish(one), {{load_kind, 0}, {ir::Source::Kind::point_temp, 0}},
                   {{ir::Sink::Kind::row_temp, 0, 0}}, {sum_reduction(order, 0, 1)}};
  ir::ScalarBuilder point;
  const std::vector<ir::ScalarValue> inverse{1.0 / point.input(0, DType::float32),
                                             point.input(0, DType::float32)};
  ir::Stage middle{false, point.finish(inverse), {{ir::Source::Kind::point_temp, 1}},
                   {{ir::Sink::Kind::point_temp, 0, 2}, {store_kind, 1, 2}}, {}};
  ir::Stage last{true,
                 binary_program(ir::ScalarOp::mul, DType::float32),
                 {{ir::Source::Kind::row_temp, 0}, {ir::Source::Kind::point_temp, 2}},
                 {{store_kind, 0, 1}},
                 {}};
  k.stages = {first, second, middle, last};
  return k;
}

/// The greatest element and its first position: two accumulators of different widths.
inline ir::Kernel row_argmax(std::int64_t p, std::int64_t n, ir::ReductionOrder order) {
  ir::Kernel k = row_sum(p, n, order, n, 1);
  k.buffers.push_back({DType::int64, true});
  k.accesses.push_back({2, Dim(0), {Dim(1), Dim(0)}});
  k.point_temps.push_back(DType::int64);
  ir::ScalarBuilder lift;
  const std::vector<ir::ScalarValue> lifted{lift.input(0, DType::float32), lift.index(1)};
  k.stages[0].body = lift.finish(lifted);
  ir::ScalarBuilder b;
  const auto a = b.input(0, DType::float32), i = b.input(1, DType::int64);
  const auto c = b.input(2, DType::float32), j = b.input(3, DType::int64);
  const auto better = gt(c, a) | (eq(c, a) & lt(j, i));
  const std::vector<ir::ScalarValue> combined{select(better, c, a), select(better, j, i)};
  k.stages[0].reductions[0] = {.order = order,
                               .identity = {0xff800000u, 0x7fffffffffffffffu},
                               .combine = b.finish(combined),
                               .outputs = {0, 1},
                               .temps = {0, 1}};
  ir::ScalarBuilder out;
  const std::vector<ir::ScalarValue> stored{out.input(0, DType::float32),
                                            out.input(1, DType::int64)};
  k.stages[1].body = out.finish(stored);
  k.stages[1].sources.push_back({ir::Source::Kind::point_temp, 1});
  k.stages[1].sinks.push_back({store_kind, 1, 2});
  return k;
}

inline std::vector<Sample> row_samples() {
  using Order = ir::ReductionOrder;
  std::vector<Sample> samples;
  std::mt19937_64 rng(12);
  const auto add = [&](std::string name, ir::Kernel k, const std::vector<std::int64_t>& elements,
                       std::vector<std::int64_t> symbols = {}) {
    Memory memory = memory_for(k, elements, rng);
    for (std::size_t b = 0; b < memory.size();
         ++b) {  // tame numbers: infinities would hide the order of a sum
      for (std::int64_t i = 0; k.buffers[b].dtype == DType::float32 && i < elements[b]; ++i) {
        const float v =
            static_cast<float>(static_cast<std::int64_t>(rng() % 200001) - 100000) / 777.0f;
        store_bits(memory[b], i, DType::float32, std::bit_cast<std::uint32_t>(v));
      }
    }
    samples.push_back({std::move(name), std::move(k), std::move(memory), std::move(symbols)});
  };
  for (const Order order : {Order::lanes, Order::blocks}) {
    const std::string suffix = order == Order::lanes ? " lanes " : " blocks ";
    for (const std::int64_t p : {1, 3, 9, 130}) {
      for (const std::int64_t n : {0, 1, 5, 47, 64, 65, 256, 257, 1000, 2000, 4096, 4097, 9000}) {
        if (p * n > 40000) continue;
        const std::string size = std::to_string(p) + "x" + std::to_string(n);
        add("sum" + suffix + size, row_sum(p, n, order, n, 1), {p * n, p});
        add("column sum" + suffix + size, row_sum(p, n, order, 1, p), {p * n, p});
        add("argmax" + suffix + size, row_argmax(p, n, order), {p * n, p, p});
        add("stages" + suffix + size, row_stages(Dim(p), Dim(n), order), {p * n, p * n, p});
        ir::Kernel unknown = row_stages(dim("s0"), dim("s1"), order);
        unknown.symbols = 2;
        add("unknown stages" + suffix + size, unknown, {p * n, p * n, p}, {p, n});
      }
    }
    // A reduction in two kernels: (3, blocks, block) with a clipped last block, then over the block
    // results.
    const std::int64_t block = order == Order::lanes ? ir::lane_block : ir::row_block,
                       n = 4 * block + 100;
    ir::Kernel partial = row_sum(3, n, order, n, 1);
    partial.axes = {Dim(3), Dim(5), Dim(block)};
    partial.clip = Dim(n);
    partial.accesses[0].strides = {Dim(n), Dim(block), Dim(1)};
    partial.accesses[1].strides = {Dim(5), Dim(1), Dim(0)};
    partial.stages[0].reductions[0].partial = true;
    add("partial" + suffix, partial, {3 * n, 15});
    ir::Kernel second = row_sum(3, 300, order, 300, 1);
    second.stages[0].reductions[0].second_level = true;
    add("second level" + suffix, second, {900, 3});
  }
  // Both orders on one row, and a wide row temp.
  ir::Kernel mixed = row_sum(10, 700, ir::ReductionOrder::lanes, 700, 1);
  mixed.point_temps.push_back(DType::float32);
  mixed.buffers.push_back({DType::float32, true});
  mixed.accesses.push_back({2, Dim(0), {Dim(1), Dim(0)}});
  mixed.stages[0].reductions.push_back(sum_reduction(ir::ReductionOrder::blocks, 0, 1));
  mixed.stages[1].body = ir::parse_scalar_program(
      "inputs float32 float32\n%0 = input.float32 0\n%1 = input.float32 1\noutputs %0 %1\n");
  mixed.stages[1].sources.push_back({ir::Source::Kind::point_temp, 1});
  mixed.stages[1].sinks.push_back({store_kind, 1, 2});
  add("both orders", mixed, {7000, 10, 10});
  return samples;
}

/// A random program over a few dtypes on a random small shape.
inline Sample random_sample(std::mt19937_64& rng) {
  using ir::ScalarOp;
  const std::vector<DType> dtypes{DType::float32, DType::float64, DType::int32,
                                  DType::int64,   DType::uint8,   DType::boolean};
  ir::ScalarBuilder b;
  std::vector<ir::ScalarValue> values;
  std::vector<DType> inputs;
  for (int i = 0; i < 3; ++i) {
    inputs.push_back(dtypes[rng() % dtypes.size()]);
    values.push_back(b.input(i, inputs.back()));
  }
  values.push_back(b.index(0));
  values.push_back(b.constant(DType::float32, 1.5));
  const std::vector<OpcodeCase> cases = all_opcode_cases();
  for (int tries = 0; tries < 2000 && values.size() < 30; ++tries) {
    const OpcodeCase& c = cases[rng() % cases.size()];
    if (c.op == ScalarOp::bitcast && (is_floating(c.operand) || is_floating(c.result)))
      continue;  // NaN payloads
    std::vector<ir::ScalarValue> operands;
    for (const DType t : c.inputs) {
      for (int k = 0; k < 20 && operands.size() < c.inputs.size(); ++k) {
        const auto v = values[rng() % values.size()];
        if (v.dtype() == t) { operands.push_back(v); break; }
      }
    }
    if (operands.size() != c.inputs.size()) continue;
    operands.resize(3);
    values.push_back(b.emit(c.op, c.result, operands[0], operands[1], operands[2]));
  }
  std::vector<ir::ScalarValue> outputs{values.back(), values[values.size() / 2], values[0]};
  ir::ScalarProgram body = b.finish(outputs);
  body.inputs.resize(3);
  std::copy(inputs.begin(), inputs.end(), body.inputs.begin());
  const auto m = static_cast<std::int64_t>(1 + rng() % 40),
             n = static_cast<std::int64_t>(1 + rng() % 40);
  ir::Kernel k = pointwise({Dim(m), Dim(n)}, inputs, body);
  if (rng() % 2 == 0) k.accesses[0].strides = {Dim(1), Dim(m)};
  if (rng() % 3 == 0) k.accesses[1].strides = {Dim(0), Dim(1)};
  Sample s{"random " + ir::to_string(body), k, {}, {}};
  s.memory = memory_for(k, std::vector<std::int64_t>(k.buffers.size(), m * n), rng);
  return s;
}

}  // namespace weft::test
