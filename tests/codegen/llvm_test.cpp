// Native code against the plain evaluation of the same kernels, bit for bit (any NaN equals any
// NaN).
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <thread>

#include "codegen/compiler.h"
#include "codegen/schedule.h"
#include "ir/error.h"
#include "ir/scalar_math.h"
#include "tests/naive_kernel.h"

using namespace weft;
using namespace weft::ir;
using namespace weft::test;

namespace {

constexpr DType plain_dtypes[] = {DType::boolean, DType::uint8,   DType::int8,    DType::int16,
                                  DType::int32,   DType::int64,   DType::uint16,  DType::uint32,
                                  DType::uint64,  DType::float16, DType::float32, DType::float64};

KernelCompiler& compiler() {
  static const auto compiler = codegen::make_llvm_compiler();
  REQUIRE(compiler);
  return *compiler;
}

/// Random, but the same everywhere.
class Random {
 public:
  explicit Random(std::uint64_t seed) : engine_(seed) {}
  std::uint64_t bits() { return engine_(); }
  std::size_t below(std::size_t n) { return static_cast<std::size_t>(engine_() % n); }
  template <class T> const T& one_of(const std::vector<T>& list) {
    return list[below(list.size())];
  }

  /// Bits of an element: special values often.
  Bits element(DType dtype) {
    if (dtype == DType::boolean) return below(2);
    const std::size_t kind = below(4);
    if (is_floating(dtype) && kind != 0) {
      const double special[] = {0.0,    -0.0,    1.0,    -1.0,     0.5,          1.5,
                                2.5,    -3.7,    1e-40,  65504,    1e30,         -1e30,
                                127.9,  -128.9,  255.5,  32767.5,  2147483648.0, 4294967296.0,
                                9.3e18, -9.3e18, 1.9e19, HUGE_VAL, -HUGE_VAL,    std::nan("")};
      const double value =
          kind == 1 ? special[below(std::size(special))]
                    : std::ldexp(static_cast<double>(static_cast<std::int64_t>(bits())), -60);
      return evaluate(ScalarOp::convert, dtype == DType::float16 ? DType::float16 : dtype,
                      middle(dtype), of(middle(dtype), value), 0, 0);
    }
    const Bits mask = size_of(dtype) == 8 ? ~Bits{0} : (Bits{1} << (8 * size_of(dtype))) - 1;
    if (is_floating(dtype)) return bits() & mask;
    if (kind == 1) return (below(9) - 4) & mask;
    if (kind == 2) return ((mask >> 1) + below(3)) & mask;
    return bits() & mask;
  }

 private:
  static DType middle(DType dtype) {
    return dtype == DType::float64 ? DType::float64 : DType::float32;
  }
  static Bits of(DType dtype, double value) {
    if (dtype == DType::float64) return std::bit_cast<Bits>(value);
    return std::bit_cast<std::uint32_t>(static_cast<float>(value));
  }
  std::mt19937_64 engine_;
};

bool is_nan(Bits bits, DType dtype) {
  if (dtype == DType::float16) return (bits & 0x7fff) > 0x7c00;
  if (dtype == DType::float32)
    return std::isnan(std::bit_cast<float>(static_cast<std::uint32_t>(bits)));
  return dtype == DType::float64 && std::isnan(std::bit_cast<double>(bits));
}

using Memory = std::vector<std::vector<std::byte>>;  // one a buffer

/// Accesses and buffers of one kernel with memory behind them.
struct Bench {
  Kernel kernel;
  std::vector<std::int64_t> symbols;
  Memory memory;
  std::vector<std::size_t> origins;

  /// The kernel's axes, of extents that it knows or (`symbolic`) is called with.
  void axes(const std::vector<std::int64_t>& extents, bool symbolic) {
    for (std::size_t axis = 0; axis < extents.size(); ++axis)
      kernel.axes.push_back(symbolic ? Dim::symbol("s" + std::to_string(axis))
                                     : Dim(extents[axis]));
    if (symbolic) symbols = extents, kernel.symbols = static_cast<int>(extents.size());
  }

  /// A buffer that exactly covers what its access touches, and its number; `element` fills it.
  int add(DType dtype, const std::vector<std::int64_t>& strides,
          const std::vector<std::int64_t>& extents, Random& random, bool written = false,
          std::optional<Dims> symbolic = std::nullopt) {
    std::int64_t low = 0, high = 0;
    bool empty = false;
    for (std::size_t i = 0; i < strides.size(); ++i) {
      empty |= extents[i] == 0;
      (strides[i] < 0 ? low : high) += strides[i] * std::max<std::int64_t>(0, extents[i] - 1);
    }
    const std::size_t size = size_of(dtype), skew = 64;
    const std::size_t count = empty ? 0 : static_cast<std::size_t>(high - low + 1);
    std::vector<std::byte> bytes(2 * skew + count * size, std::byte{0x5a});
    for (std::size_t i = 0; i < count && !written; ++i) {
      const Bits bits = random.element(dtype);
      std::memcpy(bytes.data() + skew + i * size, &bits, size);
    }
    memory.push_back(std::move(bytes));
    origins.push_back(skew + static_cast<std::size_t>(-low) * size);
    kernel.buffers.push_back({dtype, written});
    Dims dims;
    for (const auto stride : strides) dims.push_back(stride);
    kernel.accesses.push_back(
        {static_cast<int>(kernel.buffers.size()) - 1, 0, symbolic.value_or(dims)});
    return static_cast<int>(kernel.accesses.size()) - 1;
  }
};

/// Runs [begin, end), in pieces, and compares all memory (what lies around the outputs included).
void compare(const Bench& bench, const Executable& executable, std::int64_t begin, std::int64_t end,
             const std::vector<std::int64_t>& cuts = {}) {
  Memory expected = bench.memory, found = bench.memory;
  std::vector<NaiveBuffer> buffers;
  for (std::size_t i = 0; i < expected.size(); ++i)
    buffers.push_back({expected[i], bench.origins[i]});
  NaiveKernel(bench.kernel, std::move(buffers), bindings_of(bench.symbols)).run(begin, end);
  std::vector<void*> pointers;
  for (std::size_t i = 0; i < found.size(); ++i)
    pointers.push_back(found[i].data() + bench.origins[i]);
  const std::size_t bytes = executable.scratch_bytes(bench.symbols.data());
  auto* scratch = static_cast<std::byte*>(std::aligned_alloc(64, bytes + 128 - bytes % 64));
  const KernelArgs args{pointers.data(), bench.symbols.data(), scratch};
  std::int64_t at = begin;
  for (const std::int64_t cut : cuts)
    if (cut > at && cut < end) executable.function(&executable, &args, at, cut), at = cut;
  executable.function(&executable, &args, at, end);
  std::free(scratch);
  for (std::size_t i = 0; i < found.size(); ++i) {
    const DType dtype = bench.kernel.buffers[i].dtype;
    const std::size_t size = size_of(dtype);
    for (std::size_t k = 0; k + size <= found[i].size(); k += size) {
      const Bits want = read_element(expected[i].data() + k, dtype),
                 have = read_element(found[i].data() + k, dtype);
      if (want == have || (is_nan(want, dtype) && is_nan(have, dtype))) continue;
      CAPTURE(to_string(bench.kernel));
      CAPTURE(i);
      CAPTURE((k - 64) / size);
      REQUIRE(have == want);
    }
  }
}

void check_all(std::vector<Bench>& benches) {
  std::vector<const Kernel*> kernels;
  for (const Bench& bench : benches) {
    verify(bench.kernel);
    kernels.push_back(&bench.kernel);
  }
  const auto executables = compiler().compile(kernels);
  for (std::size_t i = 0; i < benches.size(); ++i) {
    DimBindings bindings;
    for (std::size_t s = 0; s < benches[i].symbols.size(); ++s)
      bindings.bind("s" + std::to_string(s), benches[i].symbols[s]);
    const auto extents = evaluate(benches[i].kernel.axes, bindings);
    std::int64_t items = 1;
    for (std::size_t axis = 0; axis < benches[i].kernel.parallel_axes(); ++axis)
      items *= extents[axis];
    compare(benches[i], *executables[i], 0, items, {items / 3, items / 2 + 1});
    if (items > 9) compare(benches[i], *executables[i], items / 5 + 1, items - items / 7);
  }
}

std::vector<std::int64_t> dense(const std::vector<std::int64_t>& extents) {
  std::vector<std::int64_t> strides(extents.size());
  std::int64_t stride = 1;
  for (std::size_t i = extents.size(); i-- > 0; stride *= extents[i]) strides[i] = stride;
  return strides;
}

/// One instruction on inputs of the given dtypes.
ScalarProgram single(ScalarOp op, DType result, const std::vector<DType>& inputs,
                     std::uint64_t imm = 0) {
  ScalarProgram program;
  program.inputs = inputs;
  ScalarInst inst{op, result, -1, -1, -1, imm};
  std::int32_t* operands[] = {&inst.a, &inst.b, &inst.c};
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    program.code.push_back({ScalarOp::input, inputs[i], -1, -1, -1, i});
    *operands[i] = static_cast<std::int32_t>(i);
  }
  program.code.push_back(inst);
  program.outputs = {static_cast<std::int32_t>(program.code.size()) - 1};
  return program;
}

bool valid(const ScalarProgram& program) {
  try {
    verify(program);
    return true;
  } catch (const Error&) { return false; }
}

/// All programs of one instruction that the verifier lets through.
std::vector<ScalarProgram> single_programs() {
  std::vector<ScalarProgram> programs;
  const auto consider = [&](ScalarProgram program) {
    if (valid(program)) programs.push_back(std::move(program));
  };
  for (int number = 0; number < scalar_op_count; ++number) {
    const auto op = static_cast<ScalarOp>(number);
    if (op == ScalarOp::input || op == ScalarOp::constant || op == ScalarOp::index ||
        op == ScalarOp::lookup || op == ScalarOp::scale ||
        op == ScalarOp::ratio)  // the last two are not for any operands
      continue;
    for (const DType dtype : plain_dtypes) {
      if (op == ScalarOp::convert || op == ScalarOp::bitcast) {
        for (const DType to : plain_dtypes) consider(single(op, to, {dtype}));
      } else if (op == ScalarOp::select) {
        consider(single(op, dtype, {DType::boolean, dtype, dtype}));
      } else {
        const bool truth =
            op == ScalarOp::eq || op == ScalarOp::ne || op == ScalarOp::lt || op == ScalarOp::le;
        consider(single(op, truth ? DType::boolean : dtype,
                        std::vector<DType>(static_cast<std::size_t>(arity(op)), dtype)));
      }
    }
  }
  return programs;
}

/// A random program over these inputs; ends in a few outputs.
ScalarProgram random_program(Random& random, const std::vector<DType>& inputs, std::size_t length,
                             std::size_t axes) {
  static const std::vector<ScalarProgram> patterns = single_programs();
  ScalarProgram program;
  program.inputs = inputs;
  program.tables.push_back({DType::float32, {0x3f800000, 0x40000000, 0xbf000000, 0}});
  for (std::size_t i = 0; i < inputs.size(); ++i)
    program.code.push_back({ScalarOp::input, inputs[i], -1, -1, -1, i});
  for (int i = 0; i < 3; ++i) {
    const DType dtype = plain_dtypes[random.below(std::size(plain_dtypes))];
    program.code.push_back({ScalarOp::constant, dtype, -1, -1, -1, random.element(dtype)});
  }
  if (axes > 0) {
    program.code.push_back({ScalarOp::index, DType::int64, -1, -1, -1, random.below(axes)});
    const auto index = static_cast<std::int32_t>(program.code.size()) - 1;
    program.code.push_back({ScalarOp::convert, DType::int32, index});
    program.code.push_back({ScalarOp::constant, DType::int32, -1, -1, -1, 3});
    program.code.push_back({ScalarOp::bit_and, DType::int32, index + 1, index + 2});
    program.code.push_back({ScalarOp::lookup, DType::float32, index + 3, -1, -1, 0});
  }
  while (program.code.size() < length) {
    const ScalarProgram& pattern = random.one_of(patterns);
    ScalarInst inst = pattern.code.back();
    bool fits = true;
    for (std::int32_t* operand : {&inst.a, &inst.b, &inst.c}) {
      if (*operand < 0) continue;
      std::vector<std::int32_t> fitting;
      for (std::size_t i = 0; i < program.code.size(); ++i)
        if (program.code[i].dtype == pattern.inputs[static_cast<std::size_t>(*operand)])
          fitting.push_back(static_cast<std::int32_t>(i));
      fits &= !fitting.empty();
      if (!fitting.empty()) *operand = random.one_of(fitting);
    }
    if (fits) program.code.push_back(inst);
  }
  const auto last = static_cast<std::int32_t>(program.code.size()) - 1;
  program.outputs = {last, last - 1, last - static_cast<std::int32_t>(random.below(length / 2))};
  verify(program);
  return program;
}

/// Strides of a random layout: axes in any order, broadcast, backwards, with gaps.
std::vector<std::int64_t> random_strides(Random& random, const std::vector<std::int64_t>& extents,
                                         bool injective) {
  std::vector<std::size_t> order(extents.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  const std::size_t kind = random.below(4);
  if (kind >= 2)
    for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random.below(i)]);
  std::vector<std::int64_t> strides(extents.size());
  std::int64_t stride = kind == 3 ? 1 + static_cast<std::int64_t>(random.below(2)) : 1;
  for (std::size_t i = order.size(); i-- > 0;) {
    if (!injective && random.below(4) == 0) continue;  // broadcast along this axis
    strides[order[i]] = kind == 3 && random.below(3) == 0 ? -stride : stride;
    stride *= std::max<std::int64_t>(1, extents[order[i]]);
  }
  return strides;
}

}  // namespace

TEST_CASE("every opcode at every dtype") {
  Random random(1);
  std::vector<Bench> benches;
  const std::vector<std::int64_t> extents{1003};
  std::vector<ScalarProgram> programs = single_programs();
  for (const bool wide : {false, true}) programs.push_back(test::scale_program(wide));
  for (const ScalarProgram& program : programs) {
    Bench& bench = benches.emplace_back();
    bench.kernel.axes = {Dim(extents[0])};
    Stage stage;
    stage.body = program;
    for (const DType dtype : program.inputs)
      stage.sources.push_back({Source::Kind::load, bench.add(dtype, {1}, extents, random)});
    for (std::size_t output = 0; output < program.outputs.size(); ++output)
      stage.sinks.push_back(
          {Sink::Kind::store, static_cast<int>(output),
           bench.add(program.output_dtype(output), {1}, extents, random, true)});
    bench.kernel.stages.push_back(stage);
  }
  CHECK(benches.size() > 250);
  check_all(benches);
}

TEST_CASE("random programs in random layouts") {
  Random random(2);
  std::vector<Bench> benches;
  for (int i = 0; i < 80; ++i) {
    Bench& bench = benches.emplace_back();
    std::vector<std::int64_t> extents(1 + random.below(3));
    for (auto& extent : extents)
      extent = static_cast<std::int64_t>(1 + random.below(random.below(2) ? 70 : 9));
    bench.axes(extents, random.below(3) == 0);
    std::vector<DType> inputs;
    for (std::size_t k = 1 + random.below(4); k > 0; --k)
      inputs.push_back(plain_dtypes[random.below(std::size(plain_dtypes))]);
    Stage stage;
    stage.body =
        random_program(random, inputs, inputs.size() + 9 + random.below(20), extents.size());
    for (const DType dtype : inputs)
      stage.sources.push_back(
          {Source::Kind::load,
           bench.add(dtype, random_strides(random, extents, false), extents, random)});
    for (std::size_t k = 0; k < stage.body.outputs.size(); ++k) {
      const auto strides = k == 0 ? random_strides(random, extents, true) : dense(extents);
      stage.sinks.push_back(
          {Sink::Kind::store, static_cast<int>(k),
           bench.add(stage.body.output_dtype(k), strides, extents, random, true)});
    }
    bench.kernel.stages.push_back(stage);
  }
  check_all(benches);
}

TEST_CASE("large results of unknown extents go past the cache, with the same bits") {
  Random random(9);
  std::vector<Bench> benches;
  const std::int64_t count = 3'000'000;  // 24 MB of results
  for (const std::int64_t extent : {std::int64_t{3000}, count}) {
    Bench& bench = benches.emplace_back();
    bench.kernel.axes = {Dim::symbol("s0")};
    bench.kernel.symbols = 1;
    bench.symbols = {extent};
    ScalarBuilder b;
    const ScalarValue x = b.input(0, DType::float32);
    const ScalarValue outputs[] = {x * 1.5 + 0.25, x * x};
    Stage stage;
    stage.body = b.finish(outputs);
    const std::vector<std::int64_t> extents{extent};
    stage.sources.push_back({Source::Kind::load, bench.add(DType::float32, {1}, extents, random)});
    for (int i = 0; i < 2; ++i)
      stage.sinks.push_back(
          {Sink::Kind::store, i, bench.add(DType::float32, {1}, extents, random, true)});
    bench.kernel.stages.push_back(stage);
  }
  const codegen::Schedule schedule =
      codegen::choose_schedule(benches[0].kernel, codegen::host_target());
  CHECK(schedule.stream_above > 0);
  CHECK(schedule.stream_above < 8 * count);
  const Kernel* const kernel = &benches[0].kernel;
  const auto executable = compiler().compile(std::span(&kernel, 1))[0];
  for (const Bench& bench : benches) {
    compare(bench, *executable, 0, 3000);
    compare(bench, *executable, 5, 2999, {77, 1024, 1500});
  }
}

TEST_CASE("operands that lie across the result, in squares and at ragged ends") {
  Random random(8);
  std::vector<Bench> benches;
  for (const DType dtype : {DType::float32, DType::int64, DType::boolean, DType::float16}) {
    for (const std::int64_t columns : {16, 37, 64}) {
      for (const bool symbolic : {false, true}) {
        Bench& bench = benches.emplace_back();
        const std::vector<std::int64_t> extents{3, 35, columns};
        bench.axes(extents, symbolic);
        std::optional<Dims> across, plain;
        if (symbolic) {
          const auto& axes = bench.kernel.axes;
          across = Dims{axes[1] * axes[2], 1, axes[1]};
          plain = Dims{axes[1] * axes[2], axes[2], 1};
        }
        const std::vector<DType> inputs{dtype, DType::float32, DType::int32};
        Stage stage;
        stage.body = random_program(random, inputs, 20, 3);
        const int a = bench.add(dtype, {35 * columns, 1, 35}, extents, random, false, across);
        const int b =
            bench.add(DType::float32, {35 * columns, 1, 35}, extents, random, false, across);
        const int c = bench.add(DType::int32, {0, 1, 0}, extents, random);
        stage.sources = {{Source::Kind::load, a}, {Source::Kind::load, b}, {Source::Kind::load, c}};
        for (std::size_t k = 0; k < 2; ++k)
          stage.sinks.push_back({Sink::Kind::store, static_cast<int>(k),
                                 bench.add(stage.body.output_dtype(k), dense(extents), extents,
                                           random, true, plain)});
        bench.kernel.stages.push_back(stage);
      }
    }
  }
  check_all(benches);
}

TEST_CASE("rows shorter than a vector are done many at once") {
  Random random(10);
  std::vector<Bench> benches;
  for (const DType dtype : {DType::float32, DType::uint8, DType::boolean, DType::int64})
    for (const std::int64_t columns : {2, 3, 7, 10, 15})
      for (const std::int64_t rows : {16, 83, 200}) {
        Bench& bench = benches.emplace_back();
        const std::vector<std::int64_t> extents{2, rows, columns};
        for (const std::int64_t extent : extents) bench.kernel.axes.push_back(Dim(extent));
        const std::int64_t layouts[][3] = {{rows * columns, columns, 1},  // as the results
                                           {rows * columns, 1, rows},     // across
                                           {1, 0, 2},                     // the same row everywhere
                                           {rows, 1, 0},                  // one element a row
                                           {1, 0, 0},
                                           {0, 2 * columns, 2}};
        std::vector<DType> inputs(std::size(layouts), DType::float32);
        for (std::size_t i = 0; i < inputs.size(); i += 2) inputs[i] = dtype;
        Stage stage;
        stage.body = random_program(random, inputs, 24, 3);
        for (std::size_t i = 0; i < inputs.size(); ++i)
          stage.sources.push_back(
              {Source::Kind::load,
               bench.add(inputs[i], {layouts[i][0], layouts[i][1], layouts[i][2]}, extents, random)});
        for (std::size_t k = 0; k < 2; ++k)
          stage.sinks.push_back({Sink::Kind::store, static_cast<int>(k),
                                 bench.add(stage.body.output_dtype(k), dense(extents), extents,
                                           random, true)});
        bench.kernel.stages.push_back(stage);
      }
  check_all(benches);
  const Kernel* kernel = &benches.front().kernel;
  CHECK(compiler().compile({&kernel, 1}).front()->schedule_text().find("rows as one") !=
        std::string::npos);
}

TEST_CASE("squares of a result larger than the cache go past it") {
  constexpr std::int64_t rows = 4200, some = 300;  // of which not all are worked on
  for (const std::int64_t columns : {1040, 1041}) {  // rows on lines of memory, and not
    Kernel kernel;
    kernel.axes = {Dim(rows), Dim(columns)};
    kernel.buffers = {{DType::float32, false}, {DType::float32, true}};
    kernel.accesses = {{0, 0, {1, Dim(rows)}}, {1, 0, {Dim(columns), 1}}};
    ScalarBuilder b;
    const std::vector<ScalarValue> outputs{b.input(0, DType::float32) + 1};
    kernel.stages = {
        {false, b.finish(outputs), {{Source::Kind::load, 0}}, {{Sink::Kind::store, 0, 1}}, {}}};
    verify(kernel);
    const Kernel* pointer = &kernel;
    const auto executable = compiler().compile({&pointer, 1}).front();
    const std::string text = executable->native_text();
    CHECK(text.find("turned") != std::string::npos);
    CHECK(text.find("vmovntps") != std::string::npos);
    CHECK(text.find("sfence") != std::string::npos);
    std::vector<float> in(static_cast<std::size_t>(rows * columns));
    for (std::size_t i = 0; i < in.size(); ++i) in[i] = static_cast<float>((i * 7919) % 10007);
    for (const std::size_t shift : {0, 1, 16}) {
      std::vector<float> out(static_cast<std::size_t>(some * columns) + 80, -1);
      auto* start = out.data();
      while (reinterpret_cast<std::uintptr_t>(start) % 64 != 0) ++start;
      start += shift;
      void* buffers[] = {in.data(), start};
      const KernelArgs args{buffers, nullptr, nullptr};
      std::int64_t from = 5;
      for (const std::int64_t to : {16 * columns, 40 * columns + 3, 290 * columns}) {
        executable->function(executable.get(), &args, from, to);
        from = to;
      }
      int wrong = 0;
      for (std::int64_t i = 0; i < some * columns; ++i)
        wrong += start[i] != (i < 5 || i >= 290 * columns
                                  ? -1
                                  : in[static_cast<std::size_t>(i % columns * rows + i / columns)] + 1);
      CHECK(wrong == 0);
    }
  }
}

namespace {

ScalarProgram pairwise(ScalarOp op, DType dtype) { return single(op, dtype, {dtype, dtype}); }

KernelReduction reduction(ScalarOp op, DType dtype, Bits identity, ReductionOrder order, int output,
                          int temp) {
  KernelReduction r;
  r.order = order;
  r.identity = {identity};
  r.combine = pairwise(op, dtype);
  r.outputs = {output};
  r.temps = {temp};
  return r;
}

/// The larger value and its place; of equal values the smaller place.
KernelReduction argmax(ReductionOrder order, int output, int temp) {
  ScalarBuilder b;
  const auto av = b.input(0, DType::float32), ai = b.input(1, DType::int64);
  const auto bv = b.input(2, DType::float32), bi = b.input(3, DType::int64);
  const auto better = gt(bv, av) | (eq(bv, av) & lt(bi, ai));
  const std::vector<ScalarValue> outputs{select(better, bv, av), select(better, bi, ai)};
  KernelReduction r;
  r.order = order;
  r.identity = {0xff800000, static_cast<Bits>(std::numeric_limits<std::int64_t>::max())};
  r.combine = b.finish(outputs);
  r.outputs = {output, output + 1};
  r.temps = {temp, temp + 1};
  return r;
}

/// x -> max and argmax; exp(x - max) -> row temp and sum; row temp / sum -> store; sum -> store.
Bench softmax_like(Random& random, const std::vector<std::int64_t>& extents, ReductionOrder first,
                   ReductionOrder second, bool symbolic) {
  Bench bench;
  Kernel& kernel = bench.kernel;
  kernel.has_row = true;
  bench.axes(extents, symbolic);
  kernel.point_temps = {DType::float32, DType::int64, DType::float32, DType::float32};
  kernel.row_temps = {DType::float32, DType::boolean};
  const auto strides = random_strides(random, extents, true);
  const int x = bench.add(DType::float32, strides, extents, random);
  auto of_points = strides;
  of_points.assign(extents.size(), 0);
  for (std::size_t i = extents.size() - 1, stride = 1; i-- > 0;
       stride *= static_cast<std::size_t>(extents[i]))
    of_points[i] = static_cast<std::int64_t>(stride);
  const int scale = bench.add(DType::float16, of_points, extents, random);
  const int y =
      bench.add(DType::float32, random_strides(random, extents, true), extents, random, true);
  const int sum = bench.add(DType::float64, of_points, extents, random, true);
  const int where = bench.add(DType::int64, of_points, extents, random, true);
  {
    ScalarBuilder b;
    const auto value = b.input(0, DType::float32);
    const std::vector<ScalarValue> outputs{value, b.index(static_cast<int>(extents.size()) - 1)};
    Stage stage;
    stage.over_row = true;
    stage.body = b.finish(outputs);
    stage.sources = {{Source::Kind::load, x}};
    stage.reductions = {argmax(first, 0, 0)};
    kernel.stages.push_back(stage);
  }
  {
    ScalarBuilder b;
    const auto value = b.input(0, DType::float32), most = b.input(1, DType::float32);
    const auto e = math::exp(value - most);
    const std::vector<ScalarValue> outputs{e, gt(e, 0.25)};
    Stage stage;
    stage.over_row = true;
    stage.body = b.finish(outputs);
    stage.sources = {{Source::Kind::load, x}, {Source::Kind::point_temp, 0}};
    stage.sinks = {{Sink::Kind::row_temp, 0, 0}, {Sink::Kind::row_temp, 1, 1}};
    stage.reductions = {reduction(ScalarOp::add, DType::float32, 0, first, 0, 2),
                        reduction(ScalarOp::maximum, DType::float32, 0xff800000, second, 0, 3)};
    kernel.stages.push_back(stage);
  }
  {
    ScalarBuilder b;
    const auto total = b.input(0, DType::float32), half = b.input(1, DType::float16);
    const auto place = b.input(2, DType::int64);
    const std::vector<ScalarValue> outputs{
        b.convert(total * b.convert(half, DType::float16, DType::float32), DType::float32,
                  DType::float64),
        place};
    Stage stage;
    stage.body = b.finish(outputs);
    stage.sources = {
        {Source::Kind::point_temp, 2}, {Source::Kind::load, scale}, {Source::Kind::point_temp, 1}};
    stage.sinks = {{Sink::Kind::store, 0, sum}, {Sink::Kind::store, 1, where}};
    kernel.stages.push_back(stage);
  }
  {
    ScalarBuilder b;
    const auto e = b.input(0, DType::float32), total = b.input(1, DType::float32),
               large = b.input(2, DType::boolean);
    const std::vector<ScalarValue> outputs{select(large, e / total, -e)};
    Stage stage;
    stage.over_row = true;
    stage.body = b.finish(outputs);
    stage.sources = {
        {Source::Kind::row_temp, 0}, {Source::Kind::point_temp, 2}, {Source::Kind::row_temp, 1}};
    stage.sinks = {{Sink::Kind::store, 0, y}};
    kernel.stages.push_back(stage);
  }
  return bench;
}

}  // namespace

TEST_CASE("rows of several stages, in every order and layout") {
  Random random(3);
  std::vector<Bench> benches;
  for (const std::int64_t n : {1, 2, 5, 31, 63, 64, 65, 130, 256, 257, 700, 4096, 4097, 9001}) {
    for (int i = 0; i < (n > 1000 ? 4 : 6); ++i) {
      std::vector<std::int64_t> extents;
      for (std::size_t k = random.below(3); k > 0; --k)
        extents.push_back(static_cast<std::int64_t>(1 + random.below(n > 1000 ? 5 : 40)));
      extents.push_back(n);
      const auto order = [&](int which) {
        return which ? ReductionOrder::lanes : ReductionOrder::blocks;
      };
      benches.push_back(
          softmax_like(random, extents, order(i % 2), order(i % 3 != 0), random.below(2) == 0));
    }
  }
  check_all(benches);
}

TEST_CASE("reductions of every dtype") {
  Random random(4);
  std::vector<Bench> benches;
  for (const DType dtype : plain_dtypes) {
    if (dtype == DType::boolean || dtype == DType::float16) continue;
    for (const auto order : {ReductionOrder::lanes, ReductionOrder::blocks}) {
      for (const std::int64_t n : {0, 7, 300, 5000}) {
        Bench& bench = benches.emplace_back();
        bench.kernel.has_row = true;
        const std::vector<std::int64_t> extents{21, n};
        bench.kernel.axes = {Dim(21), Dim(n)};
        bench.kernel.point_temps = {dtype, dtype};
        const bool rows = random.below(2) == 0;
        const int x = bench.add(
            dtype, rows ? std::vector<std::int64_t>{n, 1} : std::vector<std::int64_t>{1, 21},
            extents, random);
        const int a = bench.add(dtype, {1, 0}, {21, 1}, random, true),
                  b = bench.add(dtype, {1, 0}, {21, 1}, random, true);
        Stage row;
        row.over_row = true;
        row.body = single(ScalarOp::abs, dtype, {dtype});
        row.sources = {{Source::Kind::load, x}};
        row.reductions = {reduction(ScalarOp::add, dtype, 0, order, 0, 0),
                          reduction(ScalarOp::maximum, dtype, 0, order, 0, 1)};
        Stage point;
        point.body.inputs = {dtype, dtype};
        point.body.code = {{ScalarOp::input, dtype, -1, -1, -1, 0},
                           {ScalarOp::input, dtype, -1, -1, -1, 1}};
        point.body.outputs = {0, 1};
        point.sources = {{Source::Kind::point_temp, 0}, {Source::Kind::point_temp, 1}};
        point.sinks = {{Sink::Kind::store, 0, a}, {Sink::Kind::store, 1, b}};
        bench.kernel.stages = {row, point};
      }
    }
  }
  check_all(benches);
}

namespace {

/// Rows far apart, points side by side: sum and place of the largest -> their difference at the
/// point -> squares about that, and what is left of x, stored; the squares' sum stored.
Bench columns_like(Random& random, const std::vector<std::int64_t>& extents, bool symbolic) {
  Bench bench;
  Kernel& kernel = bench.kernel;
  kernel.has_row = true;
  bench.axes(extents, symbolic);
  kernel.point_temps = {DType::float32, DType::float32, DType::int64, DType::float32,
                        DType::float32};
  const std::size_t row = extents.size() - 1, point = row - 1;
  const std::int64_t points = extents[point];
  std::vector<std::int64_t> matrix(extents.size()), of_points(extents.size());
  matrix[row] = points, matrix[point] = of_points[point] = 1;
  if (point > 0) matrix[0] = points * extents[row], of_points[0] = points;
  const int x = bench.add(DType::float32, matrix, extents, random);
  const int y = bench.add(DType::float32, matrix, extents, random, true);
  const int z = bench.add(DType::float32, of_points, extents, random, true);
  const auto order = ReductionOrder::blocks;
  kernel.stages.resize(4);
  ScalarBuilder first, middle, second, last;
  const std::vector<ScalarValue> loaded{first.input(0, DType::float32),
                                        first.index(static_cast<int>(row))};
  kernel.stages[0].body = first.finish(loaded);
  kernel.stages[0].sources = {{Source::Kind::load, x}};
  kernel.stages[0].reductions = {reduction(ScalarOp::add, DType::float32, 0, order, 0, 0),
                                 argmax(order, 0, 1)};
  const std::vector<ScalarValue> difference{middle.input(0, DType::float32) -
                                            middle.input(1, DType::float32)};
  kernel.stages[1].body = middle.finish(difference);
  kernel.stages[1].sources = {{Source::Kind::point_temp, 0}, {Source::Kind::point_temp, 1}};
  kernel.stages[1].sinks = {{Sink::Kind::point_temp, 0, 3}};
  const auto off = second.input(0, DType::float32) - second.input(1, DType::float32);
  const std::vector<ScalarValue> squares{off * off, off};
  kernel.stages[2].body = second.finish(squares);
  kernel.stages[2].sources = {{Source::Kind::load, x}, {Source::Kind::point_temp, 3}};
  kernel.stages[2].sinks = {{Sink::Kind::store, 1, y}};
  kernel.stages[2].reductions = {reduction(ScalarOp::add, DType::float32, 0, order, 0, 4)};
  const std::vector<ScalarValue> total{last.input(0, DType::float32)};
  kernel.stages[3].body = last.finish(total);
  kernel.stages[3].sources = {{Source::Kind::point_temp, 4}};
  kernel.stages[3].sinks = {{Sink::Kind::store, 0, z}};
  for (Stage& stage : kernel.stages) stage.over_row = !stage.reductions.empty();
  return bench;
}

}  // namespace

TEST_CASE("columns are reduced panel by panel") {
  Random random(8);
  std::vector<Bench> benches;
  for (const std::int64_t n : {7, 64, 255, 256, 300, 513})
    for (const std::int64_t points : {16, 77, 130, 1060})
      for (const bool symbolic : {false, true}) {
        if (!symbolic && n * points < (1 << 17)) continue;
        benches.push_back(columns_like(random, {points, n}, symbolic));
        if (n == 300) benches.push_back(columns_like(random, {3, points, n}, symbolic));
      }
  check_all(benches);
  const Kernel* kernel = &benches.back().kernel;
  CHECK(compiler().compile({&kernel, 1}).front()->native_text().find("panels of") !=
        std::string::npos);
}

TEST_CASE("rows of a result larger than the cache, at any alignment") {
  const std::int64_t points = 4200, n = 1024;
  Kernel kernel;
  kernel.axes = {Dim(points), Dim(n)};
  kernel.has_row = true;
  kernel.buffers = {{DType::float32, false}, {DType::float32, true}};
  kernel.accesses = {{0, 0, {Dim(n), 1}}, {1, 0, {Dim(n), 1}}};
  kernel.point_temps = {DType::float32};
  ScalarBuilder first, second;
  const std::vector<ScalarValue> value{first.input(0, DType::float32)};
  const std::vector<ScalarValue> off{second.input(0, DType::float32) -
                                     second.input(1, DType::float32)};
  Stage most{true, first.finish(value), {{Source::Kind::load, 0}}, {}, {}};
  most.reductions = {
      reduction(ScalarOp::maximum, DType::float32, 0xff800000, ReductionOrder::lanes, 0, 0)};
  const Stage rest{true,
                   second.finish(off),
                   {{Source::Kind::load, 0}, {Source::Kind::point_temp, 0}},
                   {{Sink::Kind::store, 0, 1}},
                   {}};
  kernel.stages = {most, rest};
  verify(kernel);
  const Kernel* pointer = &kernel;
  const auto executable = compiler().compile({&pointer, 1}).front();
  const std::string text = executable->native_text();
  CHECK(text.find("vmovntps") != std::string::npos);
  CHECK(text.find("sfence") != std::string::npos);
  constexpr std::size_t some = 40;  // rows, of which not all are worked on
  std::vector<float> in(some * n);
  for (std::size_t i = 0; i < in.size(); ++i) in[i] = static_cast<float>((i * 7919) % 10007);
  for (const std::size_t shift : {0, 1, 16, 63}) {
    std::vector<float> out(some * n + 80, -1);
    auto* start = out.data();
    while (reinterpret_cast<std::uintptr_t>(start) % 64 != 0) ++start;
    start += shift;
    void* buffers[] = {in.data(), start};
    const KernelArgs args{buffers, nullptr, nullptr};
    executable->function(executable.get(), &args, 3, 17);
    executable->function(executable.get(), &args, 17, 38);
    int wrong = 0;
    for (std::size_t row = 0; row < some; ++row) {
      const auto* from = in.data() + row * n;
      const float top = *std::max_element(from, from + n);
      for (std::size_t i = 0; i < static_cast<std::size_t>(n); ++i)
        wrong += start[row * n + i] != (row < 3 || row >= 38 ? -1 : from[i] - top);
    }
    CHECK(wrong == 0);
  }
}

TEST_CASE("a reduction split over two kernels gives the bits of one") {
  Random random(5);
  for (const auto order : {ReductionOrder::lanes, ReductionOrder::blocks}) {
    const std::int64_t block = order == ReductionOrder::lanes ? lane_block : row_block;
    for (const std::int64_t points : {1, 19}) {
      const std::int64_t n = 5 * block + 77, blocks = (n + block - 1) / block;
      const bool rows = order == ReductionOrder::lanes;
      const std::int64_t to_point = rows ? n : 1, to_next = rows ? 1 : points;
      Stage row, point;
      row.over_row = true;
      row.body.inputs = point.body.inputs = {DType::float32};
      row.body.code = point.body.code = {{ScalarOp::input, DType::float32, -1, -1, -1, 0}};
      row.body.outputs = point.body.outputs = {0};
      row.sources = {{Source::Kind::load, 0}};
      row.reductions = {reduction(ScalarOp::add, DType::float32, 0, order, 0, 0)};
      point.sources = {{Source::Kind::point_temp, 0}};
      point.sinks = {{Sink::Kind::store, 0, 1}};
      std::vector<Bench> benches(2);
      for (Bench& bench : benches) {
        bench.kernel.has_row = true;
        bench.kernel.point_temps = {DType::float32};
      }
      Bench& partial = benches[0];
      partial.kernel.axes = {Dim(points), Dim(blocks), Dim(block)};
      partial.kernel.clip = Dim(n);
      partial.add(DType::float32, {to_point, block * to_next, to_next}, {points, blocks, block},
                  random);
      partial.add(DType::float32, {blocks, 1, 0}, {points, blocks, 1}, random, true);
      row.reductions[0].partial = true;
      partial.kernel.stages = {row, point};
      Bench& second = benches[1];
      second.kernel.axes = {Dim(points), Dim(blocks)};
      second.add(DType::float32, {blocks, 1}, {points, blocks}, random);
      second.add(DType::float32, {1, 0}, {points, 1}, random, true);
      row.reductions[0].partial = false;
      row.reductions[0].second_level = true;
      second.kernel.stages = {row, point};
      check_all(benches);
    }
  }
}

TEST_CASE("large results, at any alignment") {
  Random random(6);
  Bench bench;
  const std::vector<std::int64_t> extents{5 << 20};
  bench.kernel.axes = {Dim(extents[0])};
  bench.add(DType::int16, {0}, {1}, random);
  bench.add(DType::uint8, {1}, extents, random);
  bench.add(DType::float32, {1}, extents, random, true);
  ScalarBuilder b;
  const std::vector<ScalarValue> outputs{
      b.convert(b.input(0, DType::int16), DType::int16, DType::float32) *
      b.convert(b.input(1, DType::uint8), DType::uint8, DType::float32)};
  Stage stage;
  stage.body = b.finish(outputs);
  stage.sources = {{Source::Kind::load, 0}, {Source::Kind::load, 1}};
  stage.sinks = {{Sink::Kind::store, 0, 2}};
  bench.kernel.stages = {stage};
  const Kernel* kernel = &bench.kernel;
  const auto executable = compiler().compile({&kernel, 1}).front();
  CHECK(executable->native_text().find("vmovntps") != std::string::npos);
  compare(bench, *executable, 3, 5000, {17, 1000});
}

TEST_CASE("equal kernels share one executable, on many threads") {
  Random random(7);
  Bench bench;
  bench.kernel.axes = {Dim(33)};
  bench.add(DType::float32, {1}, {33}, random);
  bench.add(DType::float32, {1}, {33}, random, true);
  Stage stage;
  stage.body = single(ScalarOp::sqrt, DType::float32, {DType::float32});
  stage.sources = {{Source::Kind::load, 0}};
  stage.sinks = {{Sink::Kind::store, 0, 1}};
  bench.kernel.stages = {stage};
  std::vector<std::shared_ptr<const Executable>> found(4);
  {
    std::vector<std::jthread> threads;
    for (auto& place : found)
      threads.emplace_back([&] {
        const Kernel copy = bench.kernel;
        const Kernel* both[] = {&copy, &bench.kernel};
        const auto executables = compiler().compile(both);
        if (executables[0] == executables[1]) place = executables[0];
      });
  }
  for (const auto& executable : found) CHECK(executable == found.front());
  REQUIRE(found.front());
  CHECK(found.front()->native_text().find("sqrt") != std::string::npos);
  CHECK(found.front()->item_cost > 0);
}
