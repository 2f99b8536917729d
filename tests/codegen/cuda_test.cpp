// The text of CUDA kernels: compiled by NVRTC, each for one of the architectures that we promise (no
// GPU is needed), and compiled for the host through cuda_host.h and compared with the interpreter
// bit for bit.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>

#include "codegen/cuda/cuda_text.h"
#include "codegen/cuda/nvrtc.h"
#include "codegen/cuda/row_text.h"
#include "codegen/interpret/interpreter.h"
#include "cuda_host_library.h"
#include "ir/error.h"
#include "kernel_samples.h"

using namespace weft;
using namespace weft::test;
using codegen::CudaSchedule;

namespace {

struct Case {
  Sample sample;
  CudaSchedule schedule;
  std::string name;  // of the kernel in the program
};

/// All opcodes of one operand dtype in one kernel.
Sample opcode_sample(DType operand, std::int64_t n, std::mt19937_64& rng) {
  ir::ScalarBuilder b;
  const bool half = operand == DType::float16;
  const std::vector<DType> inputs{DType::boolean, operand, operand, operand};
  const auto condition = b.input(0, DType::boolean), x = b.input(1, operand),
             y = b.input(2, operand), z = b.input(3, operand);
  std::vector<ir::ScalarValue> outputs;
  for (const OpcodeCase& c : all_opcode_cases()) {
    if (c.operand != operand) continue;
    const bool select = c.op == ir::ScalarOp::select;
    const int count = ir::arity(c.op);
    outputs.push_back(b.emit(c.op, c.result, select ? condition : x,
                             count < 2 ? ir::ScalarValue()
                             : select  ? x
                                       : y,
                             count < 3 ? ir::ScalarValue()
                             : select  ? y
                                       : z));
  }
  if (half) outputs.push_back(select(condition, x, y));
  if (operand == DType::int32) {
    const ir::ScalarTable table{DType::float64,
                                {0x3ff0000000000000u, 0x4000000000000000u, 0, 0x7ff0000000000000u}};
    outputs.push_back(b.lookup(table, x & b.constant_int(DType::int32, 3)));
  }
  ir::ScalarProgram body = b.finish(outputs);
  body.inputs = inputs;
  Sample s{"opcodes of " + std::string(name(operand)), pointwise({Dim(n)}, inputs, body), {}, {}};
  s.memory = memory_for(s.kernel, std::vector<std::int64_t>(s.kernel.buffers.size(), n), rng);
  return s;
}

/// Sums of an operand as it lies and one whose last two axes are exchanged, or so the result.
Sample turned_sample(DType t, std::int64_t m, std::int64_t n, bool result, std::mt19937_64& rng) {
  ir::Kernel k = pointwise({Dim(2), Dim(m), Dim(n)}, {t, t, t}, ir::parse_scalar_program([&] {
                             const std::string d(name(t));
                             return "inputs " + d + " " + d + " " + d + "\n%0 = input." + d +
                                    " 0\n%1 = input." + d + " 1\n%2 = input." + d +
                                    " 2\n%3 = add." + d + " %0 %1\n%4 = add." + d +
                                    " %3 %2\noutputs %4 %3\n";
                           }()));
  const std::vector<Dim> turned{Dim(m * n), Dim(1), Dim(m)};
  k.accesses[1].strides = turned;
  k.accesses[2].strides = {Dim(0), Dim(0), Dim(1)};
  if (result) k.accesses[3].strides = turned;
  Sample s{"turned " + std::string(name(t)) + " " + std::to_string(m) + "x" + std::to_string(n),
           k,
           {},
           {}};
  s.memory = memory_for(k, {2 * m * n, 2 * m * n, n, 2 * m * n, 2 * m * n}, rng);
  return s;
}

/// Rounds products and sums to bfloat16, and clamps in all four ways.
Sample brain_sample(std::int64_t n, std::mt19937_64& rng) {
  ir::ScalarBuilder b;
  const auto x = b.convert(b.input(0, DType::uint16), DType::bfloat16, DType::float32),
             y = b.input(1, DType::float32);
  const auto rounded = b.convert(x * y, DType::float32, DType::bfloat16);
  const auto limit = b.constant(DType::float32, 1.5);
  std::vector<ir::ScalarValue> outputs{
      rounded, b.convert(b.convert(rounded, DType::bfloat16, DType::float32) + y, DType::float32,
                         DType::bfloat16)};
  const auto below = lt(y, limit), above = lt(limit, y);
  for (const auto& chosen : {select(below, y, limit), select(below, limit, y),
                             select(above, y, limit), select(above, limit, y)})
    outputs.push_back(chosen);
  const std::vector<DType> inputs{DType::uint16, DType::float32};
  Sample s{"bfloat16", pointwise({Dim(n)}, inputs, b.finish(outputs)), {}, {}};
  s.memory = memory_for(s.kernel, std::vector<std::int64_t>(s.kernel.buffers.size(), n), rng);
  return s;
}

/// Rows of x, y = f(x) and their sums s; and of each column, over rows, the sum of x * y - v and the
/// largest v * s + column.
Sample columns_sample(std::int64_t rows, std::int64_t n, std::mt19937_64& rng) {
  ir::Kernel k = row_stages(Dim(rows), Dim(n), ir::ReductionOrder::lanes), sums;
  const std::int64_t blocks = (rows + ir::row_block - 1) / ir::row_block;
  sums.axes = {Dim(n), Dim(blocks), Dim(ir::row_block)};
  sums.has_row = true;
  sums.clip = Dim(rows);
  const DType f32 = DType::float32;
  sums.buffers = {{f32, false}, {f32, false}, {f32, false}, {f32, false}, {f32, true}, {f32, true}};
  const Dims own{Dim(1), Dim(n * ir::row_block), Dim(n)}, result{Dim(1), Dim(n), Dim(0)};
  sums.accesses = {{0, Dim(0), own},
                   {1, Dim(0), own},
                   {2, Dim(0), {Dim(0), Dim(ir::row_block), Dim(1)}},
                   {3, Dim(0), {Dim(1), Dim(0), Dim(0)}},
                   {4, Dim(0), result},
                   {5, Dim(0), result}};
  sums.point_temps = {f32, f32};
  ir::ScalarBuilder b;
  const auto x = b.input(0, f32), y = b.input(1, f32), s = b.input(2, f32), v = b.input(3, f32);
  const std::vector<ir::ScalarValue> lifted{x * y - v,
                                            v * s + b.emit(ir::ScalarOp::convert, f32, b.index(0))};
  const auto load = ir::Source::Kind::load;
  const ir::KernelReduction largest{.order = ir::ReductionOrder::blocks,
                                    .partial = true,
                                    .identity = {0xff800000u},
                                    .combine = binary_program(ir::ScalarOp::maximum, f32),
                                    .outputs = {1},
                                    .temps = {1}};
  ir::Stage down{true,
                 b.finish(lifted),
                 {{load, 0}, {load, 1}, {load, 2}, {load, 3}},
                 {},
                 {sum_reduction(ir::ReductionOrder::blocks, 0, 0), largest}};
  down.reductions[0].partial = true;
  ir::ScalarBuilder point;
  const std::vector<ir::ScalarValue> stored{point.input(0, f32) * 2.0, point.input(1, f32)};
  const auto temp = ir::Source::Kind::point_temp;
  const auto store = ir::Sink::Kind::store;
  sums.stages = {
      down,
      {false, point.finish(stored), {{temp, 0}, {temp, 1}}, {{store, 0, 4}, {store, 1, 5}}, {}}};
  k.buffers.insert(k.buffers.begin() + 1, {f32, false});
  k.accesses[1].buffer = 2, k.accesses[2].buffer = 3;
  k.buffers.insert(k.buffers.end(), 2, {f32, true});
  k.columns = {{sums, {0, 2, 3, 1, 4, 5}}};
  verify(k);
  Sample sample{"columns of " + std::to_string(rows) + "x" + std::to_string(n), k, {}, {}};
  const std::vector<std::int64_t> sizes{rows * n, n, rows * n, rows, blocks * n, blocks * n};
  sample.memory = memory_for(k, sizes, rng);
  for (std::size_t m = 0; m < 2; ++m) {  // tame: infinities would hide the order of a sum
    for (std::int64_t i = 0; i < sizes[m]; ++i)
      store_bits(sample.memory[m], i, f32,
                 std::bit_cast<std::uint32_t>(static_cast<float>(rng() % 2001) / 777.0f - 1));
  }
  return sample;
}

/// One of each mapping and place of row temps.
const std::vector<std::string> every_path{
    "stages lanes 130x47",         "stages lanes 9x257",   "stages lanes 3x1000",
    "stages lanes 3x2000",         "stages lanes 3x9000",  "argmax lanes 3x9000",
    "unknown stages lanes 3x9000", "stages blocks 9x1000", "unknown stages blocks 9x257",
    "sum blocks 130x257",          "both orders"};

/// Schedules that larger extents would lead to; each kernel has some of them, in turn.
std::vector<CudaSchedule> others(const Sample& s, const CudaSchedule& chosen, std::size_t turn) {
  using Mapping = CudaSchedule::Mapping;
  const ir::Kernel& k = s.kernel;
  std::vector<CudaSchedule> all;
  switch (chosen.mapping) {
    case Mapping::element:
      if (turn % 2 == 0)
        all.push_back({.mapping = Mapping::element,
                       .threads = 64,
                       .vector = 4,
                       .groups = 4,
                       .streaming = turn % 4 == 0});
      else if (turn % 8 == 1)
        all.push_back({.mapping = Mapping::element, .threads = 32, .groups = 2});
      break;
    case Mapping::tile:
      if (turn % 3 == 0)
        all.push_back(
            {.mapping = Mapping::tile, .threads = 256, .tile = chosen.tile == 64 ? 32 : 64});
      break;
    case Mapping::thread: break;
    case Mapping::lanes: {
      if (!k.columns.empty()) break;
      bool in_lanes_alone = true;
      for (const ir::Stage& stage : k.stages) {
        for (const ir::KernelReduction& r : stage.reductions)
          in_lanes_alone = in_lanes_alone && r.order == ir::ReductionOrder::lanes;
      }
      if (!in_lanes_alone) break;
      const bool one = codegen::has_one_level(k);
      const int team = one ? std::array{1, 8, 16, 32, 64}[turn % 5] : turn % 2 == 0 ? 32 : 64;
      all.push_back({.mapping = Mapping::lanes, .threads = 64, .team = team});
      if (!one && team == 64)
        all.push_back({.mapping = Mapping::lanes, .threads = 128, .team = 64, .parts = 2});
      if (!one && team == 64)
        all.push_back({.mapping = Mapping::lanes, .threads = 1024, .team = 64, .parts = 16});
      break;
    }
  }
  return all;
}

/// A fixed sample; the rest of the collection is left to longer runs.
std::vector<Case> all_cases() {
  std::vector<Sample> samples;
  std::mt19937_64 rng(21);
  for (const DType t : {DType::boolean, DType::uint8, DType::int8, DType::int16, DType::int32,
                        DType::int64, DType::uint16, DType::uint32, DType::uint64, DType::float16,
                        DType::float32, DType::float64})
    samples.push_back(opcode_sample(t, 1001, rng));
  samples.push_back(scale_sample(1001, rng));
  for (const DType t : {DType::uint8, DType::uint16, DType::float32, DType::float64}) {
    samples.push_back(turned_sample(t, 70, 45, t == DType::float32, rng));
    samples.push_back(turned_sample(t, 33, 64, t != DType::float32, rng));
  }
  samples.push_back(brain_sample(1003, rng));
  std::size_t number = 0;
  for (Sample& s : layout_samples()) {
    if (s.name.find("40x33") != std::string::npos || s.name.find("unknown") != std::string::npos ||
        s.name.find("four") != std::string::npos || number++ % 7 == 0)
      samples.push_back(std::move(s));
  }
  number = 0;
  for (Sample& s : row_samples()) {
    const bool once = s.name.find("partial") == 0 || s.name.find("second") == 0 ||
                      std::find(every_path.begin(), every_path.end(), s.name) != every_path.end();
    if (once || number++ % 13 == 0) samples.push_back(std::move(s));
  }
  for (const auto& [rows, n] : {std::pair{130, 33}, {192, 512}, {67, 1100}, {70, 2100}, {65, 4100}})
    samples.push_back(columns_sample(rows, n, rng));
  for (int i = 0; i < 10; ++i) samples.push_back(random_sample(rng));

  std::vector<Case> cases;
  const auto add = [&](const Sample& s, const CudaSchedule& schedule) {
    const std::string text = codegen::cuda_text(s.kernel, schedule, "k");
    for (const Case& c : cases) {
      if (c.schedule.threads == schedule.threads && c.schedule.mapping == schedule.mapping &&
          codegen::cuda_text(c.sample.kernel, c.schedule, "k") == text) {
        cases.push_back({s, schedule, c.name});
        return;
      }
    }
    cases.push_back({s, schedule, "kernel" + std::to_string(cases.size())});
  };
  std::size_t turn = 0;
  for (const Sample& s : samples) {
    const CudaSchedule chosen = codegen::choose_schedule(s.kernel);
    add(s, chosen);
    for (const CudaSchedule& other : others(s, chosen, turn++)) add(s, other);
  }
  return cases;
}

const std::vector<Case>& cases() {
  static const std::vector<Case> all = all_cases();
  return all;
}

/// Each distinct kernel once; or one in `every` of them, from number `first` on.
std::string program(std::size_t every = 1, std::size_t first = 0) {
  std::string text(codegen::cuda_prelude());
  std::vector<std::string> written;
  for (const Case& c : cases()) {
    if (std::find(written.begin(), written.end(), c.name) != written.end()) continue;
    written.push_back(c.name);
    if (written.size() % every != first) continue;
    text.append(codegen::cuda_text(c.sample.kernel, c.schedule, c.name));
  }
  return text;
}

bool uses_scratch(const Case& c) {
  return !(codegen::scratch_bytes(c.sample.kernel, c.schedule, 1) == Dim(0));
}

/// `launch_<kernel>(buffers, symbols, scratch, grid)` for every kernel.
std::string launchers() {
  std::string text;
  std::vector<std::string> written;
  for (const Case& c : cases()) {
    if (std::find(written.begin(), written.end(), c.name) != written.end()) continue;
    written.push_back(c.name);
    std::string arguments;
    const auto add = [&](const std::string& a) {
      arguments.append(arguments.empty() ? "" : ", ").append(a);
    };
    for (std::size_t b = 0; b < c.sample.kernel.buffers.size(); ++b)
      add("(" + std::string(codegen::cuda_type(c.sample.kernel.buffers[b].dtype)) + "*)buffers[" +
          std::to_string(b) + "]");
    for (int s = 0; s < c.sample.kernel.symbols; ++s) add("symbols[" + std::to_string(s) + "]");
    if (uses_scratch(c)) add("scratch");
    text.append(
        "extern \"C\" const char* launch_" + c.name +
        "(void* const* buffers, const weft_i64* symbols, char* scratch, unsigned grid) {\n" +
        "  return cuda_host::launch(\"" + c.name + "\", grid, " +
        std::to_string(c.schedule.threads) + ", [=] { " + c.name + "(" + arguments + "); });\n}\n");
  }
  return text;
}

using Launcher = const char* (*)(void* const*, const long long*, char*, unsigned);

/// Runs on the host; `shift` moves every buffer by one element, so that no vector is aligned.
Memory run_on_host(const Case& c, Launcher launch, bool shift) {
  constexpr unsigned grid = 3;
  Memory shifted;
  std::vector<void*> buffers;
  for (std::size_t b = 0; b < c.sample.memory.size(); ++b) {
    const std::size_t by = shift ? size_of(c.sample.kernel.buffers[b].dtype) : 0;
    shifted.emplace_back(c.sample.memory[b].size() + by + 1);
    if (!c.sample.memory[b].empty())
      std::memcpy(shifted.back().data() + by, c.sample.memory[b].data(), c.sample.memory[b].size());
    buffers.push_back(shifted.back().data() + by);
  }
  const std::int64_t bytes = codegen::scratch_bytes(c.sample.kernel, c.schedule, grid)
                                 .evaluate(bindings_of(c.sample.symbols));
  std::vector<std::uint64_t> scratch(static_cast<std::size_t>(bytes) / 8 + 1);
  const std::vector<long long> symbols(c.sample.symbols.begin(), c.sample.symbols.end());
  const char* const trouble =
      launch(buffers.data(), symbols.data(), reinterpret_cast<char*>(scratch.data()), grid);
  CHECK_MESSAGE(!trouble, trouble);
  Memory result;
  for (std::size_t b = 0; b < buffers.size(); ++b) {
    const auto* at = static_cast<const std::byte*>(buffers[b]);
    result.emplace_back(at, at + c.sample.memory[b].size());
  }
  return result;
}

}  // namespace

TEST_CASE("CUDA: generated kernels compile with NVRTC") {
  std::string why;
  const codegen::Nvrtc* nvrtc = codegen::Nvrtc::find(&why);
  if (nvrtc == nullptr) {
    MESSAGE("skipped: " << why);
    return;
  }
  std::size_t turn = 0;
  for (const char* arch : {"sm_75", "sm_80", "sm_90", "sm_100"}) {
    const std::string text = program(4, turn++);  // all of them, in four parts
    if (!nvrtc->supports(arch)) {
      MESSAGE("skipped: NVRTC " << nvrtc->version() << " does not know " << arch);
      continue;
    }
    std::size_t size = 0;
    CHECK_NOTHROW(size = nvrtc->compile_to_cubin(text, arch).size());
    CHECK(size > 0);
  }
  std::string message;
  try {
    static_cast<void>(nvrtc->compile_to_cubin("__global__ void f() { undeclared; }", "sm_90"));
  } catch (const DeviceError& e) { message = e.what(); }
  CHECK(message.find("undeclared") != std::string::npos);
}

TEST_CASE("CUDA: generated kernels, run on the host, give the interpreter's bits") {
  const HostLibrary library(program() + launchers());
  if (!library.there()) return;
  const auto interpreter = codegen::make_interpreter();
  for (const Case& c : cases()) {
    CAPTURE(c.sample.name);
    const auto launch = library.get<Launcher>("launch_" + c.name);
    Memory expected = c.sample.memory;
    const auto interpret = [&](const ir::Kernel& kernel, Memory& memory) {
      const ir::Kernel* pointer = &kernel;
      run_executable(*interpreter->compile({&pointer, 1})[0], kernel, memory, c.sample.symbols);
    };
    ir::Kernel rows = c.sample.kernel;
    rows.columns.clear();
    interpret(rows, expected);
    for (const ir::Columns& columns : c.sample.kernel.columns) {  // after all rows
      Memory own;
      for (const int b : columns.buffers) own.push_back(expected[static_cast<std::size_t>(b)]);
      interpret(columns.kernel, own);
      for (std::size_t b = 0; b < own.size(); ++b)
        expected[static_cast<std::size_t>(columns.buffers[b])] = own[b];
    }
    const std::string whole = difference(c.sample.kernel, expected, run_on_host(c, launch, false));
    CHECK_MESSAGE(whole.empty(), whole);
    if (c.sample.kernel.has_row) continue;
    const std::string moved = difference(c.sample.kernel, expected, run_on_host(c, launch, true));
    CHECK_MESSAGE(moved.empty(), moved);
  }
  MESSAGE("ran " << cases().size() << " cases of a fixed sample");
}

TEST_CASE("CUDA: a block of rows and their columns fits into shared memory") {
  std::mt19937_64 rng(5);
  const auto with_sums = [&](std::int64_t row, int sums) {
    ir::Kernel k = columns_sample(70, row, rng).kernel;
    for (int i = 0; i < sums; ++i) {
      ir::KernelReduction r = k.stages[0].reductions[0];
      r.temps = {static_cast<int>(k.point_temps.size())};
      k.point_temps.push_back(DType::float32);
      k.stages[0].reductions.push_back(r);
    }
    verify(k);
    return k;
  };
  for (const std::int64_t row : {700, 1500, 4000, 4100, 8000}) {
    for (const int sums : {0, 20, 60}) {
      CAPTURE(row);
      CAPTURE(sums);
      const ir::Kernel k = with_sums(row, sums);
      const CudaSchedule s = codegen::choose_schedule(k);
      CHECK((s.teams == 1 || codegen::has_one_level(k)));
      const std::int64_t totals = 2 * 4 * row;  // beyond a few kilobytes these decide
      if (totals < 40'000 && s.team == 64)
        CHECK(codegen::sum_bytes(k, s.parts * s.teams) + totals <= codegen::shared_room);
    }
  }
  CHECK(codegen::choose_schedule(with_sums(1500, 0)).teams == 4);
  CHECK(codegen::choose_schedule(with_sums(4000, 0)).teams == 2);
  CHECK(codegen::choose_schedule(with_sums(4000, 60)).teams == 1);
}

TEST_CASE("CUDA: schedules follow the extents") {
  using Mapping = CudaSchedule::Mapping;
  const ir::ScalarProgram copy = copy_program(DType::float32);
  CHECK(codegen::choose_schedule(pointwise({Dim(1024)}, {DType::float32}, copy)).vector == 4);
  CHECK(codegen::choose_schedule(pointwise({dim("s0")}, {DType::float32}, copy)).vector == 4);
  const ir::ScalarProgram many = [] {
    ir::ScalarBuilder b;
    const ir::ScalarValue x = b.input(0, DType::float32);
    std::vector<ir::ScalarValue> outputs{x};
    for (int i = 0; i < 100; ++i) outputs[0] = outputs[0] * outputs[0] + x;
    return b.finish(outputs);
  }();
  const auto slow = [&](std::int64_t items) {
    return codegen::choose_schedule(pointwise({Dim(items)}, {DType::float32}, many));
  };
  CHECK(slow(4096).vector == 1);  // few: over the whole device
  CHECK(slow(4096).threads == 32);
  CHECK(slow(1 << 17).vector == 4);
  CHECK(slow(1 << 17).threads == 64);
  CHECK(slow(1 << 24).threads == 256);
  const auto row = [](std::int64_t items, std::int64_t n) {
    return codegen::choose_schedule(row_sum(items, n, ir::ReductionOrder::lanes, n, 1));
  };
  CHECK(row(1 << 20, 30).team == 8);
  CHECK(row(1 << 20, 200).team == 16);
  CHECK(row(8192, 1024).team == 32);
  CHECK(row(8, 1024).team == 64);  // few: whole blocks
  CHECK(row(8192, 4096).team == 64);
  CHECK(row(8192, 32768).parts == 8);
  CHECK(row(8192, 50257).most_blocks > 0);
  const ir::Kernel turned = [] {
    ir::Kernel k = pointwise({Dim(512), Dim(256)}, {DType::float32}, copy_program(DType::float32));
    k.accesses[0].strides = {Dim(1), Dim(512)};
    return k;
  }();
  CHECK(codegen::choose_schedule(turned).mapping == Mapping::tile);
  CHECK(codegen::grid_blocks(turned, {.mapping = Mapping::tile, .threads = 256, .tile = 32}) ==
        Dim(128));
  CHECK(codegen::choose_schedule(pointwise({Dim(1 << 24)}, {DType::float32}, copy)).groups == 4);
  CHECK(codegen::choose_schedule(pointwise({Dim(1 << 28)}, {DType::float32}, copy)).streaming);
  CHECK(codegen::choose_schedule(row_sum(8, 1000, ir::ReductionOrder::blocks, 1, 8)).mapping ==
        Mapping::thread);
  const std::string text =
      codegen::cuda_text(pointwise({Dim(1024)}, {DType::float32}, copy), {}, "k");
  CHECK(text.find("const int items = 1024;") != std::string::npos);  // 32-bit indices
  const std::string large =
      codegen::cuda_text(pointwise({Dim(std::int64_t{1} << 32)}, {DType::float32}, copy), {}, "k");
  CHECK(large.find("const weft_i64 items = 4294967296ll;") != std::string::npos);
}

namespace {

/// x[a] + y[b] over a and b.
ir::Kernel outer_sum(const Dim& n) {
  ir::Kernel k = pointwise({n, n}, {DType::float32, DType::float32},
                           binary_program(ir::ScalarOp::add, DType::float32));
  k.accesses[0].strides = {Dim(1), Dim(0)};
  k.accesses[1].strides = {Dim(0), Dim(1)};
  return k;
}

/// A row temp from the first stage to the second, and `sums` sums of the row.
ir::Kernel kept_row(std::int64_t row, DType temp, int sums) {
  ir::Kernel k;
  k.axes = {Dim(256), Dim(row)};
  k.has_row = true;
  k.accesses = {{0, Dim(0), {Dim(row), Dim(1)}}, {1, Dim(0), {Dim(row), Dim(1)}}};
  k.buffers = {{DType::float32, false}, {temp, true}};
  k.row_temps = {temp};
  ir::Stage first, second;
  first.over_row = second.over_row = true;
  ir::ScalarBuilder b;
  const auto x = b.input(0, DType::float32);
  std::vector<ir::ScalarValue> outputs{b.convert(x, DType::float32, temp)};
  for (int i = 0; i < sums; ++i) {
    outputs.push_back(x * b.constant(DType::float32, i + 1.0));
    k.point_temps.push_back(DType::float32);
    first.reductions.push_back(sum_reduction(ir::ReductionOrder::lanes, i + 1, i));
  }
  first.sources = {{ir::Source::Kind::load, 0}};
  first.sinks = {{ir::Sink::Kind::row_temp, 0, 0}};
  first.body = b.finish(outputs);
  second.sources = {{ir::Source::Kind::row_temp, 0}};
  second.sinks = {{ir::Sink::Kind::store, 0, 1}};
  second.body = copy_program(temp);
  k.stages = {first, second};
  return k;
}

}  // namespace

TEST_CASE("CUDA: kernels of more items, and more sums of a row, than are common") {
  std::string text(codegen::cuda_prelude());
  const auto add = [&](const ir::Kernel& k, const char* name) {
    const std::string own = codegen::cuda_text(k, codegen::choose_schedule(k), name);
    text += own;
    return own;
  };
  CHECK(add(outer_sum(65536), "outer").find("const weft_i64 items = 4294967296ll;") !=
        std::string::npos);
  ir::Kernel half_known = outer_sum(65536);
  half_known.axes.insert(half_known.axes.begin(), dim("s0"));
  half_known.symbols = 1;
  for (ir::Access& a : half_known.accesses)
    a.strides.insert(a.strides.begin(), Dim(std::int64_t{1} << 32));
  CHECK(add(half_known, "half_known").find("items = (weft_i64)1 * ") != std::string::npos);
  for (const ir::Kernel& k : {kept_row(40000, DType::boolean, 5), kept_row(10240, DType::float32, 16),
                              kept_row(40000, DType::boolean, 30)})
    add(k, ("row" + std::to_string(text.size())).c_str());
  const codegen::Nvrtc* const nvrtc = codegen::Nvrtc::find();
  if (nvrtc == nullptr) return;
  CHECK_NOTHROW(static_cast<void>(nvrtc->compile_to_cubin(text, "sm_90")));
  CHECK_THROWS_AS(static_cast<void>(nvrtc->compile_to_cubin(
                      "extern \"C\" __global__ void f(long long* x) { *x = 65536 * 65536; }",
                      "sm_90")),
                  DeviceError);
}
