#include "compile.h"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <tuple>

#include "codegen/compiler.h"
#include "codegen/cuda/compiler.h"
#include "codegen/interpret/interpreter.h"
#include "codegen/schedule.h"
#include "room.h"
#include "runtime/array.h"
#include "runtime/cuda_device.h"
#include "runtime/cuda_program.h"
#include "runtime/cuda_strided.h"
#include "runtime/program.h"

namespace weft::frontend {
namespace {

std::string_view environment(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

bool log_enabled() {
  static const bool enabled = !environment("WEFT_LOG").empty();
  return enabled;
}

double milliseconds(std::chrono::steady_clock::time_point since) {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - since)
      .count();
}

}  // namespace

ir::KernelCompiler& kernel_compiler(Tier tier) {
  static const std::shared_ptr<ir::KernelCompiler> interpreter = codegen::make_interpreter();
  if (tier == Tier::interpreted) return *interpreter;
  static const std::shared_ptr<ir::KernelCompiler> native = codegen::make_llvm_compiler();
  return native ? *native : *interpreter;
}

namespace {

/// One for all devices that are alike.
ir::DeviceCompiler& device_compiler(Device device, bool fast_math) {
  static std::mutex mutex;
  using Kind = std::tuple<std::string, int, std::int64_t, int, bool>;
  static std::map<Kind, std::shared_ptr<ir::DeviceCompiler>> compilers;
  const runtime::CudaDevice& there = runtime::CudaDevice::get(device);
  const codegen::DeviceLimits limits{.multiprocessors = there.multiprocessors(),
                                     .cache = there.cache_bytes(),
                                     .shared = there.shared_bytes(),
                                     .native = fast_math};
  const std::scoped_lock lock(mutex);
  std::shared_ptr<ir::DeviceCompiler>& compiler =
      compilers[{there.arch(), limits.multiprocessors, limits.cache, limits.shared, fast_math}];
  if (!compiler) compiler = codegen::make_cuda_compiler(there.arch(), limits);
  return *compiler;
}

/// Arrays are computed with before anything else is asked for: this is all that they need.
[[maybe_unused]] const bool installed =
    (runtime::set_device_compiler(
         [](Device device) -> ir::DeviceCompiler& { return device_compiler(device, false); }),
     true);

}  // namespace

Tier default_tier() {
  static const Tier tier =
      environment("WEFT_MODE") == "interpret" ? Tier::interpreted : Tier::compiled;
  return tier;
}

std::shared_ptr<const runtime::Program> compile(const ir::Graph& graph,
                                                std::span<const ir::Type> inputs,
                                                const CompileOptions& options) {
  const auto start = std::chrono::steady_clock::now();
  passes::PipelineOptions pipeline;
  pipeline.donated = options.donated;
  pipeline.fuse = options.fuse;
  pipeline.fast_math = options.fast_math;
  pipeline.evaluate = evaluate_constants;
  pipeline.admit = [&](const ir::Graph& typed) {
    for (const ir::NodeRef& output : typed.outputs())
      demand_room(output->type(), options.device, output->where());
  };
  // Both are made now: they may begin to open what compiling needs while the passes run.
  ir::KernelCompiler* host = nullptr;
  ir::DeviceCompiler* there = nullptr;
  if (options.device.is_cpu()) {
    host = &kernel_compiler(options.tier);
    const codegen::Target& target = codegen::host_target();
    if (!runtime::nan_checks_wanted())  // those look at every step's results
      pipeline.groups = passes::Caches{static_cast<std::int64_t>(target.l2_bytes),
                                       static_cast<std::int64_t>(target.cache_bytes)};
  } else {
    there = &device_compiler(options.device, options.fast_math);
    pipeline.winograd = false;
    pipeline.on_device = there->fuses();
    pipeline.precision = options.precision;
    // Small steps run side by side on a device, unless memory that they share keeps them apart.
    pipeline.apart = std::int64_t{1} << 20;
    // A device has a thread walk a column: it wants many.
    pipeline.split.blocks = {.row = 512, .points = 32768};
    const runtime::CudaDevice& device = runtime::CudaDevice::get(options.device);
    pipeline.columns = {.blocks = device.multiprocessors(),
                        .points = 256,  // as many threads as a block has
                        .bytes = device.cache_bytes(),
                        .room = 32 << 10};  // of the 48 KB of shared memory that it has
  }
  auto last = start;
  const std::string name = graph.name().empty() ? "(unnamed)" : graph.name();
  if (log_enabled())
    pipeline.observe = [&](std::string_view pass, const ir::Graph&) {
      std::fprintf(stderr, "weft: %s: %.*s %.2f ms\n", name.c_str(), static_cast<int>(pass.size()),
                   pass.data(), milliseconds(last));
      last = std::chrono::steady_clock::now();
    };
  ir::Plan plan = passes::plan(graph, inputs, pipeline);
  if (log_enabled())
    std::fprintf(stderr, "weft: %s: lower %.2f ms, %zu steps, %zu distinct kernels\n", name.c_str(),
                 milliseconds(last), plan.steps.size(), plan.kernels.size());
  last = std::chrono::steady_clock::now();
  std::shared_ptr<const runtime::Program> program;
  if (host)
    program = std::make_shared<const runtime::HostProgram>(std::move(plan), *host);
  else
    program = std::make_shared<const runtime::CudaProgram>(options.device, std::move(plan), *there);
  if (log_enabled())
    std::fprintf(stderr, "weft: %s: code %.2f ms, %.2f ms in all\n", name.c_str(),
                 milliseconds(last), milliseconds(start));
  return program;
}

std::vector<ir::Literal> evaluate_constants(const ir::Graph& graph) {
  passes::PipelineOptions pipeline;  // no evaluator: folding does not fold itself
  const runtime::HostProgram program(passes::plan(graph, {}, pipeline),
                                     kernel_compiler(Tier::interpreted));
  const auto sizes = program.size({});
  std::vector<Array> results;
  std::vector<void*> outputs;
  for (std::size_t i = 0; i < graph.outputs().size(); ++i) {
    results.push_back(Array::uninitialized(*graph.outputs()[i]->type().dtype,
                                           runtime::Program::output_shapes(*sizes)[i]));
    outputs.push_back(results.back().mutable_bytes());
  }
  program.run(*sizes, nullptr, outputs.data());
  std::vector<ir::Literal> literals;
  for (const Array& result : results) literals.push_back(runtime::to_literal(result));
  return literals;
}

}  // namespace weft::frontend
