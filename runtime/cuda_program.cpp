#include "runtime/cuda_program.h"

#include <algorithm>
#include <limits>

#include "runtime/contraction.h"
#include "runtime/cuda_frame.h"

namespace weft::runtime {
namespace {

std::int64_t extent(const Dim& dim, const DimBindings& bindings) {
  return dim.is_constant() ? dim.value() : dim.evaluate(bindings);
}

/// How a product's sums are cut: as on the processor, so that results are the same bits.
void cut_sums(const ir::Kernel& kernel, const DimBindings& bindings, std::int64_t (&cut)[2]) {
  const std::size_t rank = kernel.axes.size();
  const ir::Contraction& c = *kernel.contraction;
  const DType dtype = kernel.buffers[static_cast<std::size_t>(c.out)].dtype;
  const Depth depth = depth_of(dtype, extent(kernel.axes[rank - 2], bindings),
                               extent(kernel.axes[rank - 1], bindings), extent(c.k, bindings));
  cut[0] = depth.step, cut[1] = depth.piece_size;
}

/// Which slots anything is done with, beside what the step does that writes them.
std::vector<bool> wanted_slots(const ir::Plan& plan) {
  std::vector<bool> wanted(plan.slots.size(), nan_checks_wanted());
  const auto want = [&](const std::vector<int>& slots) {
    for (const int slot : slots)
      if (slot >= 0) wanted[static_cast<std::size_t>(slot)] = true;
  };
  want(plan.outputs);
  for (const ir::Step& step : plan.steps) {
    if (const auto* kernel = std::get_if<ir::KernelStep>(&step.what))
      want(kernel->slots);
    else
      want(std::get<ir::ExternStep>(step.what).inputs);
  }
  return wanted;
}

}  // namespace

CudaProgram::CudaProgram(Device device, ir::Plan plan, ir::DeviceCompiler& compiler)
    : Program(std::move(plan)), device_(CudaDevice::get(device)) {
  frames_.reserve(kept_frames);  // so that giving one back never fails
  find_code(compiler);
  keep_what_host_steps_may_lose();
  // What its own steps find is told later, and undoes nothing; a step on the processor throws here.
  last_risk_ = host_steps() > 0 || nan_checks_wanted() ? std::ssize(plan_.steps) : -1;
  for (const ir::Literal& literal : plan_.constants) {
    constants_.push_back(device_.allocate(literal.nbytes()));
    device_.upload(constants_.back().data(), literal.data(), literal.nbytes());
  }
  fixed_ = fixed_sizes();
}

CudaProgram::~CudaProgram() = default;

Device CudaProgram::device() const { return device_.device(); }

std::int64_t CudaProgram::host_steps() const {
  return std::ranges::count(code_, nullptr, &StepCode::kernel);
}

void CudaProgram::find_code(ir::DeviceCompiler& compiler) {
  std::vector<const ir::Kernel*> kernels;
  for (const ir::Kernel& kernel : plan_.kernels) kernels.push_back(&kernel);
  std::vector<ir::DeviceOperation> operations;
  const auto operand = [&](int slot) {
    if (slot < 0) return ir::DeviceOperation::Operand{};
    const ir::Slot& s = plan_.slots[static_cast<std::size_t>(slot)];
    return ir::DeviceOperation::Operand{s.dtype, s.shape.size(), true};
  };
  const std::vector<bool> wanted = wanted_slots(plan_);
  const auto is_skipped = [&](const ir::ExternStep& step, int slot) {
    return slot >= 0 && ir::skips_results(step.kind) && !wanted[static_cast<std::size_t>(slot)];
  };
  for (const ir::Step& step : plan_.steps) {
    const auto* external = std::get_if<ir::ExternStep>(&step.what);
    if (!external) continue;
    ir::DeviceOperation& operation = operations.emplace_back();
    operation.kind = external->kind, operation.attrs = external->attrs;
    for (const int slot : external->inputs) operation.inputs.push_back(operand(slot));
    for (const int slot : external->outputs) {
      operation.outputs.push_back(operand(slot));
      if (is_skipped(*external, slot)) operation.outputs.back().present = false;
    }
  }
  ir::DeviceCode all = compiler.compile(kernels, operations);
  auto next = all.operations.begin();
  device_.enter();
  for (const ir::Step& step : plan_.steps) {
    StepCode& code = code_.emplace_back();
    const ir::Executable* executable = nullptr;
    if (const auto* kernel = std::get_if<ir::KernelStep>(&step.what)) {
      executable = all.kernels[static_cast<std::size_t>(kernel->kernel)].get();
      code.slots = kernel->slots;
    } else {
      const auto& external = std::get<ir::ExternStep>(step.what);
      executable = (next++)->get();
      code.slots = external.inputs;
      for (const int slot : external.outputs)
        code.slots.push_back(executable && is_skipped(external, slot) ? -1 : slot);
    }
    if (!executable) continue;
    code.kernel = executable->device_kernel();
    code.module = device_.load(code.kernel->image);
    if (!code.kernel->fault.empty())
      code.fault = device_.faults().number(*code.kernel, step.where, device_.stream());
  }
  for (std::size_t i = 0; i < plan_.operand_sums.size(); ++i)
    for (const int step : plan_.operand_sums[i].steps)
      code_[static_cast<std::size_t>(step)].sums.push_back(i);
  executables_ = std::move(all.kernels);
  for (auto& operation : all.operations)
    if (operation) executables_.push_back(std::move(operation));
}

/// A step on the processor may fail for reasons of its own (no memory; an error that was enqueued
/// long before shows when its operands come down): nothing is written in place before the last one.
void CudaProgram::keep_what_host_steps_may_lose() {
  const auto last = std::ranges::find(code_.rbegin(), code_.rend(), nullptr, &StepCode::kernel);
  const auto before = static_cast<std::size_t>(code_.rend() - last);
  for (std::size_t o = 0; o < plan_.donated.size(); ++o) {
    if (plan_.donated[o] < 0) continue;
    for (std::size_t i = 0; i < before; ++i) {
      if (std::ranges::find(code_[i].slots, plan_.outputs[o]) != code_[i].slots.end())
        plan_.donated[o] = -1;
    }
  }
}

// ---- sizes --------------------------------------------------------------------------------------

std::shared_ptr<Sizes> CudaProgram::make_sizes() const { return std::make_shared<CudaSizes>(); }

void CudaProgram::size_steps(Sizes& all, const DimBindings& bindings) const {
  auto& sizes = static_cast<CudaSizes&>(all);
  device_.enter();
  sizes.steps.resize(plan_.steps.size());
  for (std::size_t i = 0; i < plan_.steps.size(); ++i) {
    const auto* step = std::get_if<ir::KernelStep>(&plan_.steps[i].what);
    if (step && kernel_of(plan_, *step).contraction)
      size_product(sizes, i, bind_symbols(sizes, i, bindings));
  }
  for (std::size_t i = 0; i < plan_.steps.size(); ++i) size_step(sizes, i, bindings);
}

DimBindings CudaProgram::bind_symbols(CudaSizes& sizes, std::size_t i,
                                      const DimBindings& bindings) const {
  std::vector<std::int64_t>& symbols = sizes.steps[i].symbols;
  symbols.clear();
  if (const auto* step = std::get_if<ir::KernelStep>(&plan_.steps[i].what)) {
    for (const Dim& symbol : step->symbols) symbols.push_back(extent(symbol, bindings));
  } else {
    for (const int slot : code_[i].slots) {
      if (slot < 0) continue;
      const Shape& shape = sizes.slot_shapes[static_cast<std::size_t>(slot)];
      symbols.insert(symbols.end(), shape.begin(), shape.end());
    }
  }
  DimBindings local;
  for (std::size_t s = 0; s < symbols.size(); ++s)
    local.bind("s" + std::to_string(s), symbols[s]);
  return local;
}

/// A library's, where it does it, with the sums of an operand that it may give by the way.
void CudaProgram::size_product(CudaSizes& sizes, std::size_t i, const DimBindings& bindings) const {
  const ir::Kernel& kernel = kernel_of(plan_, std::get<ir::KernelStep>(plan_.steps[i].what));
  SizedStep& sized = sizes.steps[i];
  cut_sums(kernel, bindings, sized.cut);
  const auto number = static_cast<int>(i);
  const auto wanted =
      std::ranges::lower_bound(plan_.operand_sums, number, {}, &ir::OperandSum::product);
  std::optional<CudaProduct::Sums> sums;
  if (wanted != plan_.operand_sums.end() && wanted->product == number)
    sums = {wanted->of_b, plan_.slots[static_cast<std::size_t>(wanted->out)].dtype};
  sized.library = CudaProduct::plan(kernel, *code_[i].kernel, bindings, device_, sums);
  if (sized.library && sized.library->sums()) sized.sums = wanted->out;
}

void CudaProgram::size_step(CudaSizes& sizes, std::size_t i, const DimBindings& bindings) const {
  const StepCode& code = code_[i];
  SizedStep& sized = sizes.steps[i];
  const bool on_device = code.kernel != nullptr;
  if (sizes.segments.empty() || !on_device || !sizes.segments.back().on_device)
    sizes.segments.push_back({i, i, on_device, 0});
  Segment& segment = sizes.segments.back();
  segment.end = i + 1;
  sized.done = !code.sums.empty() && std::ranges::all_of(code.sums, [&](std::size_t sum) {
    return sizes.steps[static_cast<std::size_t>(plan_.operand_sums[sum].product)].sums >= 0;
  });
  if (!on_device || sized.done) return;
  const DimBindings local = bind_symbols(sizes, i, bindings);
  const auto count = [&](std::size_t launches) {
    segment.launches += launches, sizes.launches += launches;
    sizes.recorded |= segment.launches > 1;
  };
  if (sized.library) {
    sizes.workspace = std::max(sizes.workspace, sized.library->workspace());
    count(1);
    if (sized.library->whole()) return;
  } else {
    sizes.workspace =
        std::max(sizes.workspace, static_cast<std::size_t>(extent(code.kernel->workspace, local)));
  }
  if (code.kernel->draws) {
    sized.draws = extent(*code.kernel->draws, local);
    sized.stream = sizes.random_steps++;
  }
  for (const ir::DeviceLaunch& launch :
       sized.library ? code.kernel->after : code.kernel->launches) {
    constexpr std::int64_t largest_grid = std::numeric_limits<std::int32_t>::max();
    const std::int64_t blocks = std::min(extent(launch.blocks, local),
                                         launch.all_blocks ? largest_grid : device_.most_blocks());
    if (blocks == 0) continue;
    const auto scratch = static_cast<std::size_t>(extent(launch.scratch, local) * blocks);
    SizedLaunch& made = sized.launches.emplace_back();
    made.function = code.module->function(launch.entry, launch.shared);
    made.blocks = static_cast<unsigned>(blocks);
    made.threads = static_cast<unsigned>(launch.threads);
    made.shared = static_cast<unsigned>(launch.shared);
    for (const Dim& number : launch.numbers) made.numbers.push_back(extent(number, local));
    made.product = launch.product;
    made.scratch = !(launch.scratch == Dim(0));
    made.workspace = launch.workspace;
    made.random = launch.random;
    made.fault = launch.fault;
    sizes.scratch = std::max(sizes.scratch, scratch);
    count(1);
  }
}

}  // namespace weft::runtime
