// The interpreter against plain scalar evaluation: opcodes, layouts, ranges, rows and reductions,
// bit for bit.
#include "codegen/interpret/interpreter.h"

#include <doctest/doctest.h>

#include <chrono>

#include "codegen/interpret/loops.h"
#include "kernel_samples.h"

using namespace weft;
using namespace weft::test;

namespace {

void check(const ir::Kernel& k, Memory memory, const std::vector<std::int64_t>& symbols = {}) {
  static const auto interpreter = codegen::make_interpreter();
  const ir::Kernel* pointer = &k;
  const auto executable = interpreter->compile({&pointer, 1})[0];
  Memory expected = memory;
  run_reference(k, expected, symbols);
  for (const std::int64_t grain : {INT64_MAX, std::int64_t{77}}) {
    Memory actual = memory;
    run_executable(*executable, k, actual, symbols, grain);
    CHECK_MESSAGE(difference(k, expected, actual).empty(), difference(k, expected, actual));
  }
}

void check(const Sample& s) {
  CAPTURE(s.name);
  check(s.kernel, s.memory, s.symbols);
}

}  // namespace

TEST_CASE("interpreter: every opcode and dtype, every level of instruction set") {
  std::mt19937_64 rng(1);
  for (const OpcodeCase& c : all_opcode_cases()) {
    CAPTURE(std::string(ir::name(c.op)));
    CAPTURE(std::string(name(c.operand)));
    CAPTURE(std::string(name(c.result)));
    check(sample_of(c, 1000, rng));
    check(sample_of(c, 3, rng));
  }
  check(scale_sample(1000, rng));
}

TEST_CASE("interpreter: the loops of every level agree") {
  std::mt19937_64 rng(2);
  using Finder = codegen::Loop (*)(ir::ScalarOp, DType, DType);
  std::vector<Finder> levels{codegen::baseline_loop};
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
    levels.push_back(codegen::avx2_loop);
  if (__builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq"))
    levels.push_back(codegen::avx512_loop);
#endif
  constexpr std::int64_t n = 640;
  for (const OpcodeCase& c : all_opcode_cases()) {
    if (c.op == ir::ScalarOp::bitcast) continue;
    std::vector<std::vector<std::byte>> operands;
    for (const DType t : c.inputs) operands.push_back(random_memory(rng, t, n));
    operands.resize(3, operands[0]);
    std::vector<std::byte> first(n * 8), other(n * 8);
    for (const Finder finder : levels) {
      const codegen::Operand a{operands[0].data(), 64}, b{operands[1].data(), 64},
          d{operands[2].data(), 0};
      auto& out = finder == levels[0] ? first : other;
      finder(c.op, c.result, c.operand)(out.data(), a, b, d, n);
      bool same = true;
      for (std::int64_t i = 0; i < n; ++i) {
        const Bits want = load_bits(first, i, c.result), got = load_bits(out, i, c.result);
        same = same && same_bits(want, got, c.result);
      }
      CHECK_MESSAGE(same, ir::name(c.op) << " " << name(c.operand) << " " << name(c.result));
    }
  }
}

TEST_CASE("interpreter: layouts") {
  for (const Sample& s : layout_samples()) check(s);
}

TEST_CASE("interpreter: rows and reductions") {
  for (const Sample& s : row_samples()) check(s);
}

TEST_CASE("interpreter: random programs") {
  std::mt19937_64 rng(3);
  for (int i = 0; i < 200; ++i) check(random_sample(rng));
}

TEST_CASE("interpreter: in place, every output after every input") {
  std::mt19937_64 rng(4);
  ir::ScalarBuilder b;
  const auto x = b.input(0, DType::float32), y = b.input(1, DType::float32);
  const std::vector<ir::ScalarValue> outputs{x + y, x * y};
  ir::Kernel k = pointwise({300}, {DType::float32, DType::float32}, b.finish(outputs));
  const auto executable =
      codegen::make_interpreter()->compile(std::vector<const ir::Kernel*>{&k})[0];
  Memory memory{
      random_memory(rng, DType::float32, 300), random_memory(rng, DType::float32, 300), {}, {}};
  memory[2].resize(1200), memory[3].resize(1200);
  Memory expected = memory;
  run_reference(k, expected);
  void* buffers[] = {memory[0].data(), memory[1].data(), memory[0].data(), memory[1].data()};
  const ir::KernelArgs args{buffers, nullptr, nullptr};
  executable->function(executable.get(), &args, 0, 300);
  memory[2] = memory[0], memory[3] = memory[1];
  expected[0] = expected[2], expected[1] = expected[3];
  CHECK(difference(k, expected, memory) == "");
}

TEST_CASE("interpreter: equal kernels share one executable, small runs are quick") {
  ir::ScalarBuilder b;
  const auto x = b.input(0, DType::float32), y = b.input(1, DType::float32);
  const std::vector<ir::ScalarValue> outputs{x + y};
  const ir::Kernel k = pointwise({4}, {DType::float32, DType::float32}, b.finish(outputs)),
                   copy = k;
  const auto interpreter = codegen::make_interpreter();
  const std::vector<const ir::Kernel*> kernels{&k, &copy};
  const auto executables = interpreter->compile(kernels);
  CHECK(executables[0] == executables[1]);
  CHECK(executables[0]->scratch_bytes(nullptr) == 0);

  std::vector<float> a(4, 1), c(4, 2), d(4);
  void* buffers[] = {a.data(), c.data(), d.data()};
  const ir::KernelArgs args{buffers, nullptr, nullptr};
  const auto start = std::chrono::steady_clock::now();
  constexpr int runs = 100000;
  for (int i = 0; i < runs; ++i) executables[0]->function(executables[0].get(), &args, 0, 4);
  const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - start;
  CHECK(d == std::vector<float>(4, 3));
  MESSAGE("an addition of 4 elements takes " << took.count() / runs << " ns");
  CHECK(took.count() / runs < 20000);
}
