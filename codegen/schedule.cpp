#include "codegen/schedule.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "codegen/program_order.h"
#include "codegen/schedule_parts.h"

namespace weft::codegen {
namespace {

using ir::Access, ir::Kernel, ir::ScalarOp, ir::ScalarProgram, ir::Stage;

#if defined(__x86_64__)
/// The words of CPUID that LLVM looks at to name a processor and its features.
std::string processor_words() {
  std::string text = "x86_64";
  const auto add = [&](unsigned value) {
    char word[16];
    snprintf(word, sizeof word, "-%x", value);
    text += word;
  };
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid(1, &a, &b, &c, &d)) add(a), add(c), add(d);  // b holds the number of the core
  for (unsigned leaf = 0; leaf < 2; ++leaf)
    if (__get_cpuid_count(7, leaf, &a, &b, &c, &d)) add(a), add(b), add(c), add(d);
  if (__get_cpuid(0x80000001, &a, &b, &c, &d)) add(c), add(d);
  return text;
}
#endif

#ifdef _SC_LEVEL3_CACHE_SIZE
/// What the system says of a cache; `otherwise` where it says nothing.
std::size_t cache_size(int which, std::size_t otherwise) {
  const long bytes = sysconf(which);
  return bytes > 0 ? static_cast<std::size_t>(bytes) : otherwise;
}
#endif

Target detect() {
  Target target;
#if defined(__x86_64__)
  target.processor = processor_words();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) {
    target.vector_bytes = 64;
    target.vector_registers = 32;
    target.mask_registers = true;
  } else if (__builtin_cpu_supports("avx2")) {
    target.vector_bytes = 32;
  }
  const char* const restricted = std::getenv("WEFT_ISA");
  if (restricted && std::string_view(restricted) == "avx2" && target.vector_bytes == 64) {
    target.processor += " avx2";
    target.vector_bytes = 32;
    target.vector_registers = 16;
    target.mask_registers = false;
  }
  target.fused_multiply_add = target.vector_bytes > 16 && __builtin_cpu_supports("fma");
#elif defined(__aarch64__)
  target.processor = "aarch64";
  target.vector_registers = 32;
  target.fused_multiply_add = true;
#endif
#ifdef _SC_LEVEL3_CACHE_SIZE
  target.l1_bytes = cache_size(_SC_LEVEL1_DCACHE_SIZE, target.l1_bytes);
  target.l2_bytes = cache_size(_SC_LEVEL2_CACHE_SIZE, target.l2_bytes);
  // Virtual machines report the whole host's; what one core can use of it is seldom more than this.
  target.cache_bytes =
      std::min(target.cache_bytes, cache_size(_SC_LEVEL3_CACHE_SIZE, target.cache_bytes));
#endif
  return target;
}

bool uses_index(const Kernel& kernel, std::size_t axis) {
  for (const Stage& stage : kernel.stages)
    for (const auto& inst : stage.body.code)
      if (inst.op == ScalarOp::index && inst.imm == axis) return true;
  return false;
}

void renumber_index(Kernel& kernel, std::size_t removed) {
  for (Stage& stage : kernel.stages)
    for (auto& inst : stage.body.code)
      if (inst.op == ScalarOp::index && inst.imm > removed) --inst.imm;
}

void erase_axis(Kernel& kernel, std::size_t axis) {
  const auto at = static_cast<std::ptrdiff_t>(axis);
  kernel.axes.erase(kernel.axes.begin() + at);
  for (Access& access : kernel.accesses) access.strides.erase(access.strides.begin() + at);
  renumber_index(kernel, axis);
}

bool mergeable(const Kernel& kernel, std::size_t axis) {
  if (uses_index(kernel, axis) || uses_index(kernel, axis + 1)) return false;
  return std::ranges::all_of(kernel.accesses, [&](const Access& access) {
    return access.strides[axis] == access.strides[axis + 1] * kernel.axes[axis + 1];
  });
}

/// Vector registers that one value of this dtype takes.
int registers_of(DType dtype, int lanes, const Target& target) {
  if (dtype == DType::boolean && target.mask_registers) return 0;
  const int bytes = lanes * static_cast<int>(size_of(dtype));
  return std::max(1, (bytes + target.vector_bytes - 1) / target.vector_bytes);
}

bool is_lane_by_lane(const ir::ScalarInst& inst) {
  return (inst.op == ScalarOp::rem && is_floating(inst.dtype)) ||
         ((inst.op == ScalarOp::div || inst.op == ScalarOp::rem) && is_integer(inst.dtype) &&
          size_of(inst.dtype) == 8);
}

}  // namespace

Pressure pressure_of(const ScalarProgram& program, int lanes, const Target& target) {
  std::vector<std::int32_t> last(program.code.size(), -1);
  const auto count = static_cast<std::int32_t>(program.code.size());
  for (std::int32_t i = 0; i < count; ++i) {
    const auto& inst = program.code[static_cast<std::size_t>(i)];
    for (const std::int32_t operand : {inst.a, inst.b, inst.c})
      if (operand >= 0) last[static_cast<std::size_t>(operand)] = i;
  }
  for (const std::int32_t output : program.outputs) last[static_cast<std::size_t>(output)] = count;
  std::vector<std::vector<std::int32_t>> ends(program.code.size() + 1);
  Pressure most, now;
  for (std::int32_t i = 0; i < count; ++i) {
    const auto& inst = program.code[static_cast<std::size_t>(i)];
    if (inst.op == ScalarOp::constant || last[static_cast<std::size_t>(i)] < 0) continue;
    const int registers = registers_of(inst.dtype, lanes, target);
    now.registers += registers;
    now.masks += registers == 0;
    most.registers = std::max(most.registers, now.registers);
    most.masks = std::max(most.masks, now.masks);
    most.work += std::max(1, registers);
    most.calls |= is_lane_by_lane(inst);
    ends[static_cast<std::size_t>(last[static_cast<std::size_t>(i)])].push_back(registers);
    for (const int ended : ends[static_cast<std::size_t>(i)])
      now.registers -= ended, now.masks -= ended == 0;
  }
  return most;
}

/// The width that most instructions work at fills one register.
int lanes_for(const Kernel& kernel, const Target& target) {
  std::array<int, 4> work{};  // of dtypes of 1, 2, 4, 8 bytes
  const auto tally = [&](const ScalarProgram& program) {
    for (const auto& inst : program.code) {
      if (inst.op == ScalarOp::constant || inst.dtype == DType::boolean) continue;
      work[static_cast<std::size_t>(std::countr_zero(size_of(inst.dtype)))] +=
          inst.op == ScalarOp::input ? 1 : 2;
    }
  };
  for (const Stage& stage : kernel.stages) {
    tally(stage.body);
    for (const auto& reduction : stage.reductions) tally(reduction.combine);
  }
  const auto widest = std::max_element(work.rbegin(), work.rend());  // of equal ones the wider
  const int size = *widest == 0 ? 1 : 1 << (work.rend() - widest - 1);
  return std::min(64, target.vector_bytes / size);
}

std::int64_t constant_or(const Dim& dim, std::int64_t otherwise) {
  return dim.constant().value_or(otherwise);
}

/// Of the whole kernel. An extent is unknown where many were met: long enough to repay good code.
std::int64_t assumed_elements(const Kernel& kernel) {
  std::int64_t elements = 1;
  for (const Dim& extent : kernel.axes)
    elements *=
        std::max<std::int64_t>(1, std::min<std::int64_t>(constant_or(extent, 1 << 14), 1 << 20)),
        elements = std::min<std::int64_t>(elements, 1 << 30);
  return elements;
}

/// As many vectors as the registers hold; fewer where the data is too small to repay the time to
/// compile.
int vectors_in_flight(const Kernel& kernel, const Schedule& schedule, const Target& target,
                      std::string& reason) {
  const int lanes = schedule.lanes;
  Pressure most;
  for (const Stage& stage : kernel.stages) {
    if (kernel.has_row && !stage.over_row) continue;
    Pressure one = pressure_of(stage.body, lanes, target);
    for (const auto& reduction : stage.reductions)
      for (std::size_t i = 0; i < reduction.temps.size(); ++i)
        one.registers += registers_of(reduction.combine.output_dtype(i), lanes, target);
    most.registers = std::max(most.registers, one.registers);
    most.masks = std::max(most.masks, one.masks);
    most.work = std::max(most.work, one.work);
    most.calls |= one.calls;
  }
  if (most.calls) {
    reason += "; instructions done lane by lane";
    return 1;
  }
  int count = most.work <= 6 ? 4 : 8;  // short programs wait for memory, not for each other
  if (schedule.kind == Schedule::Kind::along_points) {
    const std::int64_t points =
        constant_or(kernel.axes[static_cast<std::size_t>(schedule.axis)], 1024);
    while (count > 1 && count * lanes > points) count /= 2;
  }
  while (count > 1 && (count * most.registers > target.vector_registers || count * most.masks > 8))
    count /= 2;
  const std::int64_t elements = assumed_elements(kernel);
  const int worth = elements < (1 << 14) ? 2 : elements < (1 << 18) ? 4 : 8;
  reason += "; " + std::to_string(most.registers) + " registers a vector, " +
            std::to_string(most.work) + " instructions";
  return std::min(count, worth);
}

namespace {

/// What one vector takes, in cycles of a processor of today.
struct Timing {
  double chain = 0;  // from its first instruction to its last, each waiting for what it needs
  double busy = 0;   // of the unit with the most to do
};

Timing timing_of(const ScalarProgram& program, int lanes, const Target& target) {
  std::vector<double> ready;
  Timing result;
  double products = 0, all = 0;
  for (const auto& inst : program.code) {
    double start = 0, latency = 2, work = 1;
    for (const std::int32_t operand : {inst.a, inst.b, inst.c})
      if (operand >= 0) start = std::max(start, ready[static_cast<std::size_t>(operand)]);
    const int registers = std::max(1, registers_of(inst.dtype, lanes, target));
    switch (inst.op) {
      case ScalarOp::constant:
      case ScalarOp::bitcast:
      case ScalarOp::neg: latency = work = 0; break;
      case ScalarOp::mul:
      case ScalarOp::fma:
      case ScalarOp::mulhi:
        latency = 4;
        products += registers;
        break;
      case ScalarOp::div:
      case ScalarOp::ratio:
      case ScalarOp::sqrt:
      case ScalarOp::rem:
        latency = 12;
        products += 3 * registers;
        break;
      case ScalarOp::scale: latency = 4, work = 2; break;
      case ScalarOp::lookup: latency = 20, work = lanes; break;
      case ScalarOp::input:
      case ScalarOp::index: latency = 4, work = 0; break;
      case ScalarOp::add:
      case ScalarOp::sub:
      case ScalarOp::floor:
      case ScalarOp::ceil:
      case ScalarOp::trunc:
      case ScalarOp::rint:
      case ScalarOp::convert: latency = 4; break;
      case ScalarOp::abs:
      case ScalarOp::minimum:
      case ScalarOp::maximum:
      case ScalarOp::bit_and:
      case ScalarOp::bit_or:
      case ScalarOp::bit_xor:
      case ScalarOp::bit_not:
      case ScalarOp::shl:
      case ScalarOp::shr:
      case ScalarOp::eq:
      case ScalarOp::ne:
      case ScalarOp::lt:
      case ScalarOp::le:
      case ScalarOp::select: break;
    }
    all += work * registers;
    ready.push_back(start + latency);
    result.chain = std::max(result.chain, ready.back());
  }
  result.busy = std::max({products, all / 2, 1.0});
  return result;
}

/// What the next kernel reads soon, and lines that were just read, are better kept in the cache.
bool keeps_in_cache(const Kernel& kernel) {
  return kernel.read_soon || std::ranges::any_of(kernel.stages, [&](const Stage& stage) {
    return std::ranges::any_of(stage.sources, [&](const ir::Source& source) {
      if (source.kind != ir::Source::Kind::load) return false;
      const Access& access = kernel.accesses[static_cast<std::size_t>(source.id)];
      return kernel.buffers[static_cast<std::size_t>(access.buffer)].written;
    });
  });
}

/// Of all points; without a value where extents are unknown.
std::optional<std::int64_t> result_bytes(const Kernel& kernel) {
  std::int64_t bytes = result_bytes_of_point(kernel);
  for (const Dim& extent : kernel.axes) {
    const auto constant = extent.constant();
    if (!constant) return std::nullopt;
    if (*constant > 0 && bytes > (std::int64_t{1} << 50) / *constant) return std::nullopt;
    bytes *= *constant;
  }
  return bytes;
}

std::int64_t past_cache(const Target& target) {
  return static_cast<std::int64_t>(target.cache_bytes / 2);
}

}  // namespace

bool writes_past_cache(const Kernel& kernel, const Target& target) {
  return !keeps_in_cache(kernel) && result_bytes(kernel).value_or(0) > past_cache(target);
}

namespace {

/// `count` or a number near it, such that few of the `vectors` of a segment are left over for the
/// end, where they are done one by one.
int dividing(std::int64_t vectors, int count, int most) {
  if (vectors == 0 || vectors > std::int64_t{32} * count) return count;
  int best = count;
  for (const int other : {count + 1, count - 1, count + 2, count - 2})
    if (2 * other > count && other <= most && vectors % other < vectors % best) best = other;
  return best;
}

/// Vectors side by side in a pointwise kernel that follows a register plan: so many that the
/// processor never waits for one of them, half as many again for what it does not see coming.
/// Registers may be short by half: what is parked meanwhile costs little.
void choose_plan(const Kernel& kernel, Schedule& schedule, const Target& target) {
  if (kernel.stages.empty()) return;
  const ScalarProgram& body = kernel.stages.front().body;
  const Pressure pressure = pressure_of(body, schedule.lanes, target);
  const Timing timing = timing_of(body, schedule.lanes, target);
  const double wanted = 1.25 * timing.chain / timing.busy;
  const int most = pressure.work <= 6 ? 4 : 8;  // short programs wait for memory
  int count = std::clamp(static_cast<int>(wanted + 0.5), 1, most);
  while (count > 1 && (count * pressure.registers > 2 * target.vector_registers ||
                       count * pressure.masks > 16))
    --count;
  const std::int64_t elements = assumed_elements(kernel);
  if (elements < (1 << 14))  // compiles sooner
    count = std::min(count, elements < (1 << 9) ? 2 : 4);
  schedule.planned = true;
  const std::int64_t vectors = constant_or(kernel.axes.back(), 0) / schedule.lanes;  // of a segment
  schedule.in_flight = pressure.calls ? 1 : dividing(vectors, count, most);
  schedule.lag = schedule.in_flight > 1 ? 4 : 0;
  if (!result_bytes(kernel) && !keeps_in_cache(kernel) && timing.busy < 32)
    schedule.stream_above = past_cache(target);  // longer programs hardly wait for memory
  schedule.reason += pressure.calls
                         ? "; instructions done lane by lane"
                         : "; " + std::to_string(pressure.registers) + " registers a vector, " +
                               std::to_string(static_cast<int>(timing.chain)) +
                               " cycles of waiting for " +
                               std::to_string(static_cast<int>(timing.busy)) + " of work";
}

/// Some operand of a pointwise kernel has unit stride along the axis before the last and not along
/// the last.
bool lies_across(const Kernel& kernel, int lanes) {
  const std::size_t axes = kernel.axes.size();
  if (kernel.stages.empty() || axes < 2 || lanes < 4) return false;
  if (constant_or(kernel.axes[axes - 1], 1024) < lanes) return false;
  if (constant_or(kernel.axes[axes - 2], 1024) < lanes) return false;
  return std::ranges::any_of(kernel.stages.front().sources, [&](const ir::Source& source) {
    const auto& strides = kernel.accesses[static_cast<std::size_t>(source.id)].strides;
    const auto step = strides[axes - 1].constant();
    return strides[axes - 2] == Dim(1) && step != 0 && step != 1;
  });
}

/// Rows shorter than a vector that results have side by side, enough of them for a vector.
bool has_short_rows(const Kernel& kernel, int lanes) {
  const std::size_t axes = kernel.axes.size();
  if (kernel.stages.empty() || axes < 2) return false;
  const auto columns = kernel.axes.back().constant();
  if (!columns || *columns < 2 || *columns >= std::min(lanes, 16)) return false;
  if (constant_or(kernel.axes[axes - 2], 1024) < lanes) return false;
  const ir::Stage& stage = kernel.stages.front();
  const auto strides_of = [&](int access) -> const Dims& {
    return kernel.accesses[static_cast<std::size_t>(access)].strides;
  };
  return std::ranges::all_of(stage.sinks, [&](const ir::Sink& sink) {
    return strides_of(sink.id).back() == Dim(1) && strides_of(sink.id)[axes - 2] == Dim(*columns);
  });
}

}  // namespace

const Target& host_target() {
  static const Target target = detect();
  return target;
}

ir::TileLimits tile_limits(DType dtype, const Target& target) {
  if ((dtype != DType::float32 && dtype != DType::float64) || !target.fused_multiply_add) return {};
  const int lanes = target.vector_bytes / static_cast<int>(size_of(dtype));
  const int vectors = target.vector_bytes == 16 ? 3 : 2;
  // Besides the sums: the columns of a step, elements of rows on their way, and room to reorder.
  const int spare = target.vector_registers / 4;
  const int rows = (target.vector_registers - spare) / vectors;
  return {rows, vectors, lanes, static_cast<std::int64_t>(target.l2_bytes / 2)};
}

std::string to_string(const Schedule& schedule) {
  static constexpr std::array<const char*, 3> kinds{"pointwise", "along_row", "along_points"};
  return std::string(kinds[static_cast<std::size_t>(schedule.kind)]) + " axis " +
         std::to_string(schedule.axis) + ", " + std::to_string(schedule.lanes) + " lanes x " +
         std::to_string(schedule.in_flight) + " in flight" +
         (schedule.panel > 0 ? ", panels of " + std::to_string(schedule.panel) + " points by " +
                                   std::to_string(schedule.rows) + " row elements"
                             : std::string()) +
         (schedule.planned ? ", planned with lag " + std::to_string(schedule.lag)
                           : std::string()) +
         (schedule.streaming ? ", streaming" : "") +
         (schedule.stream_above > 0
              ? ", streaming above " + std::to_string(schedule.stream_above) + " bytes"
              : std::string()) +
         (schedule.turned ? ", turned" : "") + (schedule.short_rows ? ", rows as one" : "") + ": " +
         schedule.reason;
}

std::int64_t result_bytes_of_point(const Kernel& kernel) {
  std::int64_t bytes = 0;
  for (const auto& buffer : kernel.buffers)
    if (buffer.written) bytes += static_cast<std::int64_t>(size_of(buffer.dtype));
  return bytes;
}

Kernel simplify_axes(const Kernel& original) {
  Kernel kernel = original;
  kernel.contraction.reset();
  for (Stage& stage : kernel.stages) stage.body = in_few_registers(stage.body);
  const auto parallel = [&] { return kernel.parallel_axes(); };
  // `clip` reads the last parallel axis as block numbers, so that one stays as it is.
  const auto free_axes = [&] { return parallel() - (kernel.clip ? 1 : 0); };
  for (std::size_t axis = 0; parallel() > 1 && axis < free_axes();) {
    if (kernel.axes[axis] == Dim(1) && !uses_index(kernel, axis))
      erase_axis(kernel, axis);
    else
      ++axis;
  }
  for (std::size_t axis = 0; axis + 1 < free_axes();) {
    if (!mergeable(kernel, axis)) {
      ++axis;
      continue;
    }
    kernel.axes[axis + 1] = kernel.axes[axis] * kernel.axes[axis + 1];
    erase_axis(kernel, axis);
  }
  if (parallel() == 0) {
    kernel.axes.insert(kernel.axes.begin(), Dim(1));
    for (Access& access : kernel.accesses) access.strides.insert(access.strides.begin(), Dim(0));
    for (Stage& stage : kernel.stages)
      for (auto& inst : stage.body.code) inst.imm += inst.op == ScalarOp::index;
  }
  return kernel;
}

Schedule choose_schedule(const Kernel& kernel, const Target& target) {
  if (kernel.has_row) return schedule_row(kernel, target);
  Schedule schedule;
  schedule.axis = static_cast<int>(kernel.axes.size()) - 1;
  schedule.reason = "elements in order";
  schedule.lanes = lanes_for(kernel, target);
  constexpr int largest_square = 16;
  if (lies_across(kernel, std::min(schedule.lanes, largest_square))) {
    schedule.turned = true;
    schedule.lanes = std::min(schedule.lanes, largest_square);
  }
  schedule.short_rows = !schedule.turned && has_short_rows(kernel, schedule.lanes);
  schedule.streaming = !schedule.short_rows && writes_past_cache(kernel, target);
  if (constant_or(kernel.axes.back(), 1024) < 256 && kernel.axes.size() > 1) {
    schedule.carried = true;  // what is done once a segment counts
    schedule.reason += "; short segments";
  }
  if (schedule.carried || schedule.turned)
    schedule.in_flight = vectors_in_flight(kernel, schedule, target, schedule.reason);
  else
    choose_plan(kernel, schedule, target);
  return schedule;
}

Dim scratch_offset(const Kernel& kernel, const Schedule& schedule, std::size_t temp) {
  if (!kernel.has_row) return 0;
  const Dim row = kernel.axes.back();
  const Dim elements = schedule.kind == Schedule::Kind::along_points ? row * Dim(schedule.group())
                                                                     : ceildiv(row, 64) * Dim(64);
  Dim offset = 0;
  for (std::size_t i = 0; i < temp; ++i)
    offset = offset +
             ceildiv(elements * Dim(static_cast<std::int64_t>(size_of(kernel.row_temps[i]))), 64) *
                 Dim(64);
  return offset;
}

double item_cost(const Kernel& kernel, const Schedule& schedule, const Target& target) {
  const double row =
      kernel.has_row ? static_cast<double>(constant_or(kernel.axes.back(), 1024)) : 1;
  double cost = kernel.has_row ? 20 : 0;
  for (const Stage& stage : kernel.stages) {
    const Pressure one = pressure_of(stage.body, schedule.lanes, target);
    double work = one.work * (one.calls ? 4 * schedule.lanes : 1);
    for (const auto& reduction : stage.reductions)
      work += pressure_of(reduction.combine, schedule.lanes, target).work;
    double bytes = 0;
    for (const auto& source : stage.sources)
      if (source.kind == ir::Source::Kind::load)
        bytes += static_cast<double>(
            size_of(kernel
                        .buffers[static_cast<std::size_t>(
                            kernel.accesses[static_cast<std::size_t>(source.id)].buffer)]
                        .dtype));
    for (const auto& sink : stage.sinks)
      if (sink.kind == ir::Sink::Kind::store)
        bytes += static_cast<double>(
            size_of(stage.body.output_dtype(static_cast<std::size_t>(sink.output))));
    const double element = std::max(0.2 * work / schedule.lanes, bytes / 16);
    cost += element * (stage.over_row ? row : 1);
  }
  return std::max(cost, 0.01);
}

}  // namespace weft::codegen
