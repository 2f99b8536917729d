#include "runtime/program.h"

#include <algorithm>
#include <cassert>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <numeric>
#include <optional>
#include <string>
#include <string_view>
#include <thread>

#include "runtime/buffer.h"
#include "runtime/contraction.h"
#include "runtime/extern.h"
#include "runtime/thread_pool.h"
#include "runtime/winograd.h"

namespace weft::runtime {

namespace {

struct SizedStep {
  std::vector<std::int64_t> symbols;
  std::int64_t items = 0;
  std::int64_t grain = 0;  // 0: too small to split
  std::size_t scratch = 0;
  std::size_t first_pointer = 0;  // into Frame::step_pointers
  std::optional<SizedContraction> contraction;
  std::optional<Winograd> winograd;
};

}  // namespace

/// What a group's tiles need to know. Pointers are counted from those of its first step.
struct SizedGroup {
  struct Local {
    std::size_t pointer = 0;  // to put the tile's own memory in
    std::int64_t offset = 0;  // there
    std::int64_t piece_bytes = 0;
  };
  std::vector<Local> locals;
  std::size_t first_pointer = 0, pointers = 0;
};

struct HostSizes final : Sizes {
  std::vector<SizedGroup> groups;
  std::vector<SizedStep> steps;
  std::size_t step_pointers = 0;
  bool splits = false;  // some step may be worth several threads
};

struct Frame {
  std::uint64_t sizes = 0;  // number of what it is laid out for
  std::vector<void*> slots;
  std::vector<void*> step_pointers;  // each kernel step's buffers, one after another
  Buffer arena;
  std::size_t arena_bytes = 0;
};

namespace {

/// Work below this is done faster than another thread wakes up.
constexpr double parallel_threshold_ns = 15'000;
constexpr double grain_ns = 8'000;

std::int64_t extent(const Dim& dim, const DimBindings& bindings) {
  return dim.is_constant() ? dim.value() : dim.evaluate(bindings);
}

DimBindings bind_inputs(const ir::Plan& plan, std::span<const Shape* const> shapes) {
  DimBindings bindings;
  const auto mismatch = [&](std::size_t i) {
    return ShapeError("input " + std::to_string(i) + " has shape " + to_string(*shapes[i]) +
                      ", expected " + to_string(*plan.inputs[i].shape));
  };
  for (int pass = 0; pass < 2; ++pass)  // symbols first, then what is computed from them
    for (std::size_t i = 0; i < shapes.size(); ++i) {
      const Dims& expected = *plan.inputs[i].shape;
      if (expected.size() != shapes[i]->size()) throw mismatch(i);
      for (std::size_t axis = 0; axis < expected.size(); ++axis) {
        const std::int64_t given = (*shapes[i])[axis];
        if (const auto symbol = expected[axis].symbol_name()) {
          if (pass == 0 && !bindings.bind(*symbol, given)) throw mismatch(i);
        } else if (pass == 1 && extent(expected[axis], bindings) != given) {
          throw mismatch(i);
        }
      }
    }
  for (const ir::ShapeCheck& check : plan.checks) {
    const std::int64_t left = extent(check.left, bindings), right = extent(check.right, bindings);
    if (left != right)
      throw ShapeError(
          check.message + ": " + std::to_string(left) + " is not " + std::to_string(right),
          check.where);
  }
  return bindings;
}

DimBindings local_of(std::span<const std::int64_t> symbols) {
  DimBindings local;
  for (std::size_t i = 0; i < symbols.size(); ++i) local.bind("s" + std::to_string(i), symbols[i]);
  return local;
}

/// Where a kernel's buffer lies if its contents never change, else null.
auto constants_of(const ir::Plan& plan, const ir::KernelStep& step) {
  return [&](int buffer) -> const std::byte* {
    const ir::Slot& slot =
        plan.slots[static_cast<std::size_t>(step.slots[static_cast<std::size_t>(buffer)])];
    if (slot.kind != ir::Slot::Kind::constant) return nullptr;
    return plan.constants[static_cast<std::size_t>(slot.number)].data();
  };
}

/// All but what depends on the kernel's code.
SizedStep size_kernel(const ir::Plan& plan, const ir::KernelStep& step,
                      ir::KernelCompiler& compiler, const DimBindings& bindings) {
  const ir::Kernel& kernel = plan.kernels[static_cast<std::size_t>(step.kernel)];
  SizedStep sized;
  for (const Dim& symbol : step.symbols) sized.symbols.push_back(extent(symbol, bindings));
  const DimBindings local = local_of(sized.symbols);
  sized.items = 1;
  for (std::size_t i = 0; i < kernel.parallel_axes(); ++i)
    sized.items *= extent(kernel.axes[i], local);
  if (kernel.contraction && !kernel.contraction->winograd)
    sized.contraction.emplace(kernel, local, compiler, constants_of(plan, step));
  return sized;
}

/// Its transforms are kernels themselves, which may be compiled once the plan's are.
void add_winograd(SizedStep& sized, const ir::Plan& plan, const ir::KernelStep& step,
                  ir::KernelCompiler& compiler) {
  const ir::Kernel& kernel = plan.kernels[static_cast<std::size_t>(step.kernel)];
  if (kernel.contraction && kernel.contraction->winograd)
    sized.winograd.emplace(kernel, local_of(sized.symbols), compiler, constants_of(plan, step));
}

void add_code(SizedStep& sized, const ir::Executable& code) {
  sized.scratch = code.scratch_bytes(sized.symbols.data());
  const double cost = code.item_cost;
  if (cost * static_cast<double>(sized.items) > parallel_threshold_ns) {
    const auto wanted = static_cast<std::int64_t>(grain_ns / std::max(cost, 1e-3)) + 1;
    sized.grain = (wanted + code.item_multiple - 1) / code.item_multiple * code.item_multiple;
  }
}

/// Memory of one thread, grown when first needed and kept.
class ThreadMemory {
 public:
  std::byte* at_least(std::size_t bytes) {
    if (bytes > capacity_) {
      buffer_ = Buffer::allocate(bytes);
      capacity_ = bytes;
    }
    return buffer_.data();
  }

 private:
  Buffer buffer_;
  std::size_t capacity_ = 0;
};

std::byte* thread_scratch(std::size_t bytes) {
  thread_local ThreadMemory memory;
  return memory.at_least(bytes);
}
std::byte* tile_memory(std::size_t bytes) {
  thread_local ThreadMemory memory;
  return memory.at_least(bytes);
}

void run_range(const ir::Executable& code, const SizedStep& sized, void* const* buffers,
               std::int64_t begin, std::int64_t end) {
  const ir::KernelArgs args{buffers, sized.symbols.data(),
                            sized.scratch ? thread_scratch(sized.scratch) : nullptr};
  code.function(&code, &args, begin, end);
}

void run_kernel(const ir::Executable& code, const SizedStep& sized, void* const* buffers) {
  if (sized.items == 0) return;
  if (sized.grain == 0) return run_range(code, sized, buffers, 0, sized.items);
  parallel_for(sized.items, sized.grain, [&](std::int64_t begin, std::int64_t end) {
    run_range(code, sized, buffers, begin, end);
  });
}

/// All of a product, or some of the rows of all its matrices, with the epilogue.
void run_contraction(const ir::Executable* epilogue, const SizedStep& sized, void* const* buffers,
                     const Range* rows) {
  const auto some = [&](std::int64_t begin, std::int64_t end) {
    run_range(*epilogue, sized, buffers, begin, end);
  };
  const SizedContraction::Finish finish(some);
  const SizedContraction::Finish* const wanted = epilogue ? &finish : nullptr;
  if (sized.winograd) return sized.winograd->run(buffers, wanted);
  rows ? sized.contraction->run_rows(buffers, *rows, wanted)
       : sized.contraction->run(buffers, wanted);
}

SizedGroup size_group(const ir::Plan& plan, const ir::StepGroup& group, const HostSizes& sizes) {
  SizedGroup sized;
  sized.first_pointer = sizes.steps[static_cast<std::size_t>(group.first)].first_pointer;
  for (auto i = static_cast<std::size_t>(group.first); i < static_cast<std::size_t>(group.end);
       ++i) {
    for (const int s : std::get<ir::KernelStep>(plan.steps[i].what).slots) {
      const auto slot = static_cast<std::size_t>(s);
      if (plan.slots[slot].kind == ir::Slot::Kind::local) {
        const std::int64_t bytes = element_count(sizes.slot_shapes[slot]) *
                                   static_cast<std::int64_t>(size_of(plan.slots[slot].dtype));
        sized.locals.push_back({sized.pointers, sizes.slot_offsets[slot], bytes / group.pieces});
      }
      ++sized.pointers;
    }
  }
  return sized;
}

/// Where piece 0 of a local slot would be, were the first piece `first` of so many tiles at once at
/// `memory`.
void* local_start(std::byte* memory, const SizedGroup::Local& local, std::int64_t first,
                  std::int64_t tiles) {
  const auto at =
      reinterpret_cast<std::intptr_t>(memory) + local.offset * tiles - first * local.piece_bytes;
  return reinterpret_cast<void*>(at);
}

std::int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

}  // namespace

/// Concurrent callers beyond these allocate a frame a call.
constexpr std::size_t kept_frames = 4;

std::shared_ptr<const Sizes> Program::size(std::span<const Shape* const> input_shapes) const {
  const auto same = [&](const Sizes& sizes) {
    return std::ranges::equal(sizes.input_shapes, input_shapes, {}, {},
                              [](const Shape* s) -> const Shape& { return *s; });
  };
  if (fixed_ && same(*fixed_)) return fixed_;
  {
    const std::scoped_lock lock(mutex_);
    const auto found = std::ranges::find_if(recent_, [&](const auto& s) { return same(*s); });
    if (found != recent_.end()) {
      std::rotate(recent_.begin(), found, found + 1);
      return recent_.front();
    }
  }
  auto sizes = without_code(input_shapes);
  add_code(*sizes);
  const std::scoped_lock lock(mutex_);
  if (recent_.size() == kept_sizes) recent_.pop_back();
  recent_.insert(recent_.begin(), sizes);
  return sizes;
}

Program::Program(ir::Plan plan) : plan_(std::move(plan)) {
  for (std::size_t i = 0; i < plan_.steps.size(); ++i) {
    const auto* external = std::get_if<ir::ExternStep>(&plan_.steps[i].what);
    if (nan_checks_wanted() || (external && external->may_fail))
      last_risk_ = static_cast<std::ptrdiff_t>(i);
  }
}

std::shared_ptr<Sizes> Program::fixed_sizes() const {
  const bool fixed =
      std::ranges::all_of(plan_.inputs, [](const ir::Type& type) { return type.concrete(); });
  if (!fixed) return nullptr;
  std::vector<Shape> shapes;
  for (const ir::Type& type : plan_.inputs) shapes.push_back(*to_shape(*type.shape));
  std::vector<const Shape*> pointers;
  for (const Shape& shape : shapes) pointers.push_back(&shape);
  return without_code(pointers);
}

std::shared_ptr<Sizes> Program::without_code(std::span<const Shape* const> input_shapes) const {
  const DimBindings bindings = bind_inputs(plan_, input_shapes);
  static std::atomic<std::uint64_t> made{0};
  std::shared_ptr<Sizes> sizes = make_sizes();
  sizes->number = ++made;
  for (const Shape* shape : input_shapes) sizes->input_shapes.push_back(*shape);
  for (const ir::Slot& slot : plan_.slots) {
    sizes->slot_shapes.push_back(evaluate(slot.shape, bindings));
    sizes->slot_offsets.push_back(extent(slot.offset, bindings));
    (void)byte_count(slot.dtype, sizes->slot_shapes.back());  // throws here, not later
  }
  for (const int slot : plan_.outputs) {
    sizes->output_shapes.push_back(sizes->slot_shapes[static_cast<std::size_t>(slot)]);
    sizes->output_layouts.push_back(dense_layout(sizes->output_shapes.back()));
  }
  sizes->arena = static_cast<std::size_t>(extent(plan_.arena_bytes, bindings));
  size_steps(*sizes, bindings);
  return sizes;
}

std::span<const Shape> Program::output_shapes(const Sizes& sizes) { return sizes.output_shapes; }
std::span<const LayoutRef> Program::output_layouts(const Sizes& sizes) {
  return sizes.output_layouts;
}
std::size_t Program::arena_bytes(const Sizes& sizes) { return sizes.arena; }

// ---- on the processor ---------------------------------------------------------------------------

HostProgram::HostProgram(ir::Plan plan, ir::KernelCompiler& compiler)
    : Program(std::move(plan)), compiler_(compiler) {
  frames_.reserve(kept_frames);  // so that giving one back never fails
  std::vector<const ir::Kernel*> kernels;
  for (const ir::Kernel& kernel : plan_.kernels)
    if (!kernel.stages.empty()) kernels.push_back(&kernel);
  std::shared_ptr<Sizes> sizes;  // products take tiles, which are compiled beside the kernels
  const auto compiled = compiler.compile_beside(kernels, [&] { sizes = fixed_sizes(); });
  std::size_t next = 0;  // a contraction without an epilogue has no code of its own
  for (const ir::Kernel& kernel : plan_.kernels)
    executables_.push_back(kernel.stages.empty() ? nullptr : compiled[next++]);
  if (sizes) add_code(*sizes);
  fixed_ = std::move(sizes);
}

HostProgram::~HostProgram() { delete idle_.load(std::memory_order_acquire); }

std::shared_ptr<Sizes> HostProgram::make_sizes() const { return std::make_shared<HostSizes>(); }

void HostProgram::size_steps(Sizes& all, const DimBindings& bindings) const {
  auto* const sizes = static_cast<HostSizes*>(&all);
  for (const ir::Step& step : plan_.steps) {
    SizedStep sized;
    if (const auto* kernel = std::get_if<ir::KernelStep>(&step.what)) {
      sized = size_kernel(plan_, *kernel, compiler_, bindings);
      sized.first_pointer = sizes->step_pointers;
      sizes->step_pointers += kernel->slots.size();
    }
    sizes->splits |= sized.contraction || std::holds_alternative<ir::ExternStep>(step.what);
    sizes->steps.push_back(std::move(sized));
  }
  for (const ir::StepGroup& group : plan_.groups)
    sizes->groups.push_back(size_group(plan_, group, *sizes));
}

void HostProgram::add_code(Sizes& all) const {
  auto& sizes = static_cast<HostSizes&>(all);
  for (std::size_t i = 0; i < plan_.steps.size(); ++i) {
    const auto* kernel = std::get_if<ir::KernelStep>(&plan_.steps[i].what);
    if (!kernel) continue;
    add_winograd(sizes.steps[i], plan_, *kernel, compiler_);
    sizes.splits |= sizes.steps[i].winograd.has_value();
    const auto& code = executables_[static_cast<std::size_t>(kernel->kernel)];
    if (!code) continue;
    runtime::add_code(sizes.steps[i], *code);
    sizes.splits |= sizes.steps[i].grain > 0;
  }
}

// ---- frames -------------------------------------------------------------------------------------

/// What is the same in every call of these sizes: the places of constants and temporaries.
void HostProgram::lay_out(const HostSizes& sizes, Frame& frame) const {
  frame.sizes = 0;
  frame.slots.resize(plan_.slots.size());
  frame.step_pointers.resize(sizes.step_pointers);
  if (frame.arena_bytes < sizes.arena) {
    frame.arena = Buffer::allocate(sizes.arena);
    frame.arena_bytes = sizes.arena;
  }
  for (std::size_t i = 0; i < plan_.slots.size(); ++i) {
    const ir::Slot& slot = plan_.slots[i];
    if (slot.kind == ir::Slot::Kind::constant)
      frame.slots[i] =
          const_cast<std::byte*>(plan_.constants[static_cast<std::size_t>(slot.number)].data());
    else if (slot.kind == ir::Slot::Kind::temp)
      frame.slots[i] = frame.arena.data() + sizes.slot_offsets[i];
  }
  frame.sizes = sizes.number;
}

class HostProgram::Turn {
 public:
  Turn(const HostProgram& program, const HostSizes& sizes)
      : program_(program), frame_(program.idle_.exchange(nullptr, std::memory_order_acq_rel)) {
    if (!frame_) another();
    if (frame_->sizes != sizes.number) program.lay_out(sizes, *frame_);
  }
  ~Turn() {
    frame_.reset(program_.idle_.exchange(frame_.release(), std::memory_order_acq_rel));
    if (!frame_) return;
    const std::scoped_lock lock(program_.frames_mutex_);
    if (program_.frames_.size() < kept_frames) program_.frames_.push_back(std::move(frame_));
  }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;
  Frame& operator*() const { return *frame_; }

 private:
  void another() {
    {
      const std::scoped_lock lock(program_.frames_mutex_);
      if (!program_.frames_.empty()) {
        frame_ = std::move(program_.frames_.back());
        program_.frames_.pop_back();
      }
    }
    if (!frame_) frame_ = std::make_unique<Frame>();
  }

  const HostProgram& program_;
  std::unique_ptr<Frame> frame_;
};

namespace {

/// What a caller supplies.
void fill_slots(const ir::Plan& plan, void* const* inputs, void* const* outputs, Frame& frame) {
  for (std::size_t i = 0; i < plan.slots.size(); ++i) {
    const ir::Slot& slot = plan.slots[i];
    const auto number = static_cast<std::size_t>(slot.number);
    if (slot.kind == ir::Slot::Kind::input)
      frame.slots[i] = inputs[number];
    else if (slot.kind == ir::Slot::Kind::output)
      frame.slots[i] = outputs[number];
  }
}

/// An output that is an input or a constant as it is, or another output once more, has no step that
/// writes it.
void copy_aliases(const ir::Plan& plan, const Sizes& sizes, void* const* outputs,
                  const Frame& frame) {
  for (std::size_t i = 0; i < plan.outputs.size(); ++i) {
    const auto slot = static_cast<std::size_t>(plan.outputs[i]);
    if (frame.slots[slot] == outputs[i]) continue;
    const auto bytes = static_cast<std::size_t>(element_count(sizes.slot_shapes[slot])) *
                       size_of(plan.slots[slot].dtype);
    if (outputs[i] && bytes) std::memcpy(outputs[i], frame.slots[slot], bytes);
  }
}

}  // namespace

void HostProgram::run_step(const HostSizes& sizes, Frame& frame, std::size_t index) const {
  const ir::Step& step = plan_.steps[index];
  const SizedStep& sized = sizes.steps[index];
  if (const auto* kernel = std::get_if<ir::KernelStep>(&step.what)) {
    void** buffers = frame.step_pointers.data() + sized.first_pointer;
    for (std::size_t i = 0; i < kernel->slots.size(); ++i)
      buffers[i] = frame.slots[static_cast<std::size_t>(kernel->slots[i])];
    const auto number = static_cast<std::size_t>(kernel->kernel);
    const ir::Executable* code = executables_[number].get();
    if (sized.contraction || sized.winograd) return run_contraction(code, sized, buffers, nullptr);
    return run_kernel(*code, sized, buffers);
  }
  const auto& external = std::get<ir::ExternStep>(step.what);
  const auto views = [&](const std::vector<int>& slots) {
    std::vector<TensorView> result;
    for (const int slot : slots) {
      const auto i = static_cast<std::size_t>(slot);
      if (slot < 0)
        result.emplace_back();  // an operand that was taken for its type only
      else
        result.push_back({plan_.slots[i].dtype, sizes.slot_shapes[i], frame.slots[i]});
    }
    return result;
  };
  run_extern(external.kind, external.attrs, views(external.inputs), views(external.outputs),
             step.where);
}

/// `spent`: nanoseconds that the calling thread spent in each step of the plan, where wanted.
void HostProgram::run_group(const HostSizes& sizes, Frame& frame, std::size_t number,
                            std::int64_t* spent) const {
  const ir::StepGroup& group = plan_.groups[number];
  const SizedGroup& sized = sizes.groups[number];
  const auto first = static_cast<std::size_t>(group.first),
             end = static_cast<std::size_t>(group.end);
  for (std::size_t i = first; i < end; ++i) {
    void** at = frame.step_pointers.data() + sizes.steps[i].first_pointer;
    for (const int slot : std::get<ir::KernelStep>(plan_.steps[i].what).slots)
      *at++ = frame.slots[static_cast<std::size_t>(slot)];
  }
  const auto caller = std::this_thread::get_id();
  const auto run_piece = [&](std::size_t i, void* const* pointers, std::int64_t begin,
                             std::int64_t stop) {
    const auto kernel =
        static_cast<std::size_t>(std::get<ir::KernelStep>(plan_.steps[i].what).kernel);
    const SizedStep& step = sizes.steps[i];
    void* const* buffers = pointers + (step.first_pointer - sized.first_pointer);
    const ir::Executable* code = executables_[kernel].get();
    if (step.contraction) {
      const std::int64_t of_one = step.contraction->rows() / group.pieces;
      const Range rows{begin * of_one, stop * of_one};
      return run_contraction(code, step, buffers, &rows);
    }
    const std::int64_t items = step.items / group.pieces;
    run_range(*code, step, buffers, begin * items, stop * items);
  };
  const auto some = [&](std::int64_t from, std::int64_t to) {
    const std::int64_t tiles = group.chain ? (to - from + group.tile - 1) / group.tile : 1;
    const auto local_bytes = static_cast<std::size_t>(group.tile_bytes * tiles);
    std::byte* memory = tile_memory(local_bytes + sized.pointers * sizeof(void*));
    void** pointers = reinterpret_cast<void**>(memory + local_bytes);
    std::copy_n(frame.step_pointers.data() + sized.first_pointer, sized.pointers, pointers);
    const bool timed = spent && std::this_thread::get_id() == caller;
    for (std::int64_t begin = from; begin < to; begin += tiles * group.tile) {
      const std::int64_t stop = std::min(begin + tiles * group.tile, to);
      for (const SizedGroup::Local& local : sized.locals)
        pointers[local.pointer] = local_start(memory, local, begin, tiles);
      for (std::size_t i = first; i < end; ++i) {
        const std::int64_t start = timed ? now_ns() : 0;
        run_piece(i, pointers, begin, stop);
        if (timed) spent[i] += now_ns() - start;
      }
    }
  };
  const std::int64_t tiles = (group.pieces + group.tile - 1) / group.tile;
  const std::int64_t together = group.chain ? (tiles + num_threads() - 1) / num_threads() : 1;
  parallel_for(group.pieces, together * group.tile, some);
}

bool nan_checks_wanted() {
  static const bool wanted = [] {
    const char* value = std::getenv("WEFT_CHECK_NANS");
    return value && *value && std::string_view(value) != "0";
  }();
  return wanted;
}

bool any_nan(DType dtype, const void* data, std::int64_t n) {
  return visit_dtype(dtype, [&]<class T>(std::type_identity<T>) {
    if constexpr (std::is_floating_point_v<T> || std::is_same_v<T, float16> ||
                  std::is_same_v<T, bfloat16>) {
      const T* values = static_cast<const T*>(data);
      return std::any_of(values, values + n, [](T x) { return std::isnan(static_cast<float>(x)); });
    } else {
      return false;
    }
  });
}

namespace {

/// WEFT_CHECK_NANS: the first step that makes a NaN is an Error with its operations and the user's
/// line.
void check_for_nan(const ir::Plan& plan, const ir::Step& step, const Sizes& sizes,
                   const Frame& frame) {
  ir::for_each_slot(plan, step, [&](int slot, bool written) {
    if (!written) return;
    const auto i = static_cast<std::size_t>(slot);
    if (any_nan(plan.slots[i].dtype, frame.slots[i], element_count(sizes.slot_shapes[i])))
      throw Error("NaN in the result of " + step.label, step.where);
  });
}

}  // namespace

void HostProgram::run(const Sizes& all, void* const* inputs, void* const* outputs) const {
  const auto& sizes = static_cast<const HostSizes&>(all);
  const Turn frame(*this, sizes);
  std::optional<Working> working;
  if (sizes.splits) working.emplace();
  fill_slots(plan_, inputs, outputs, *frame);
  const bool checked = nan_checks_wanted();  // such plans have no groups
  std::size_t group = 0;
  for (std::size_t i = 0; i < plan_.steps.size();) {
    if (group < plan_.groups.size() && static_cast<std::size_t>(plan_.groups[group].first) == i) {
      run_group(sizes, *frame, group, nullptr);
      i = static_cast<std::size_t>(plan_.groups[group++].end);
      continue;
    }
    run_step(sizes, *frame, i);
    if (checked) check_for_nan(plan_, plan_.steps[i], sizes, *frame);
    ++i;
  }
  copy_aliases(plan_, sizes, outputs, *frame);
}

void HostProgram::run_observed(const Sizes& all, void* const* inputs, void* const* outputs,
                               StepObserver& observer) const {
  const auto& sizes = static_cast<const HostSizes&>(all);
  const Turn frame(*this, sizes);
  const Working working;
  fill_slots(plan_, inputs, outputs, *frame);
  std::vector<std::int64_t> spent(plan_.steps.size(), 0);
  std::size_t group = 0;
  for (std::size_t i = 0; i < plan_.steps.size();) {
    std::int64_t start = now_ns();
    if (group < plan_.groups.size() && static_cast<std::size_t>(plan_.groups[group].first) == i) {
      run_group(sizes, *frame, group, spent.data());
      const double took = static_cast<double>(now_ns() - start);
      const auto end = static_cast<std::size_t>(plan_.groups[group++].end);
      const auto all = static_cast<double>(std::max<std::int64_t>(
          1, std::accumulate(&spent[i], spent.data() + end, std::int64_t{0})));
      for (; i < end; ++i) {  // one after another, by their shares
        const auto share = static_cast<std::int64_t>(took * static_cast<double>(spent[i]) / all);
        observer.step(i, start, start + share);
        start += share;
      }
      continue;
    }
    run_step(sizes, *frame, i);
    observer.step(i, start, now_ns());
    ++i;
  }
  copy_aliases(plan_, sizes, outputs, *frame);
}

}  // namespace weft::runtime
