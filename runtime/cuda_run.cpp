// CudaProgram's calls: launches, recordings and their replay, steps on the processor.
#include <algorithm>
#include <cassert>
#include <chrono>
#include <cstdlib>
#include <string_view>
#include <unordered_map>

#include "runtime/cuda_frame.h"
#include "runtime/cuda_program.h"
#include "runtime/extern.h"

namespace weft::runtime {
namespace {

/// What code moves at once starts at a multiple of this.
constexpr std::uintptr_t alignment = 16;
constexpr std::size_t kept_recordings = 4;
constexpr int patience = 6;  // misses before what moves gets a place
/// What may be copied in and out a launch that is saved: as long as a launch takes.
constexpr std::size_t copied_a_launch = std::size_t{1} << 20;

bool waits_for_kernels() {
  static const bool wanted = [] {
    const char* value = std::getenv("WEFT_CUDA_SYNC");
    return value && std::string_view(value) == "1";
  }();
  return wanted;
}

std::int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

}  // namespace

// ---- frames -------------------------------------------------------------------------------------

/// Memory and addresses for one call. The memory is the device's again when the call has been
/// enqueued, so that all programs share it, and in steady state lies where it lay.
class CudaProgram::Turn {
 public:
  Turn(const CudaProgram& program, const CudaSizes& sizes, void* const* inputs,
       void* const* outputs)
      : program_(program) {
    {
      const std::scoped_lock lock(program.frames_mutex_);
      auto& idle = program.frames_;
      auto chosen = std::ranges::find(idle, sizes.number, &CudaFrame::sizes);
      if (chosen == idle.end() && idle.size() == kept_frames) chosen = idle.begin();
      if (chosen != idle.end()) {
        frame_ = std::move(*chosen);
        idle.erase(chosen);
      }
    }
    if (!frame_) frame_ = std::make_unique<CudaFrame>(program.device_);
    if (frame_->sizes != sizes.number) program.lay_out(sizes, *frame_);
    program.fill_slots(sizes, *frame_, inputs, outputs);
  }
  ~Turn() {
    frame_->memory = {};
    const std::scoped_lock lock(program_.frames_mutex_);
    if (program_.frames_.size() < kept_frames) program_.frames_.push_back(std::move(frame_));
  }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;
  CudaFrame& operator*() const { return *frame_; }

 private:
  const CudaProgram& program_;
  std::unique_ptr<CudaFrame> frame_;
};

/// What is the same in every call of these sizes.
void CudaProgram::lay_out(const CudaSizes& sizes, CudaFrame& frame) const {
  frame.sizes = 0;
  frame.forget();
  frame.seen.clear();
  frame.misses = 0;
  frame.slots.assign(plan_.slots.size() + 1, nullptr);
  frame.given = frame.given_before = frame.slots;
  frame.places.assign(plan_.slots.size(), std::nullopt);
  frame.own_bytes = 0;
  for (std::size_t i = 0; i < plan_.slots.size(); ++i) {
    const ir::Slot& slot = plan_.slots[i];
    assert(slot.kind != ir::Slot::Kind::local);  // plans for devices have no groups
    if (slot.kind == ir::Slot::Kind::constant)
      frame.slots[i] = constants_[static_cast<std::size_t>(slot.number)].data();
  }
  frame.sizes = sizes.number;
}

std::size_t CudaProgram::slot_bytes(const CudaSizes& sizes, std::size_t slot) const {
  return static_cast<std::size_t>(element_count(sizes.slot_shapes[slot])) *
         size_of(plan_.slots[slot].dtype);
}

void CudaProgram::give_place(const CudaSizes& sizes, CudaFrame& frame, std::size_t slot) const {
  frame.places[slot] = frame.own_bytes;
  frame.own_bytes += aligned(slot_bytes(sizes, slot));
}

void CudaProgram::fill_slots(const CudaSizes& sizes, CudaFrame& frame, void* const* inputs,
                             void* const* outputs) const {
  using Kind = ir::Slot::Kind;
  std::swap(frame.given, frame.given_before);
  for (std::size_t i = 0; i < plan_.slots.size(); ++i) {
    const Kind kind = plan_.slots[i].kind;
    if (kind != Kind::input && kind != Kind::output) continue;
    const auto number = static_cast<std::size_t>(plan_.slots[i].number);
    frame.slots[i] = frame.given[i] = kind == Kind::input ? inputs[number] : outputs[number];
    const auto address = reinterpret_cast<std::uintptr_t>(frame.given[i]);
    if (address % alignment != 0 && !frame.places[i]) give_place(sizes, frame, i);
  }
  if (const std::size_t bytes = sizes.own_at() + frame.own_bytes; bytes > 0)
    frame.memory = device_.allocate(bytes);
  std::byte* const memory = frame.memory.data();
  frame.slots.back() = memory;  // recordings know scratch memory and workspaces by their addresses
  for (std::size_t i = 0; i < plan_.slots.size(); ++i) {
    if (plan_.slots[i].kind == Kind::temp) frame.slots[i] = memory + sizes.slot_offsets[i];
    if (!frame.places[i] || !frame.given[i]) continue;
    frame.slots[i] = memory + sizes.own_at() + *frame.places[i];
    if (plan_.slots[i].kind == Kind::input)
      device_.copy(frame.slots[i], frame.given[i], slot_bytes(sizes, i));
  }
}

// ---- steps ---------------------------------------------------------------------------------------

void CudaProgram::launch(const CudaSizes& sizes, CudaFrame& frame, std::size_t first,
                         std::size_t end, void* stream) const {
  const CudaDriver& driver = device_.driver();
  std::vector<void*>& arguments = frame.arguments;
  void* const scratch = frame.memory.data() + sizes.scratch_at();
  void* const workspace = frame.memory.data() + sizes.workspace_at();
  void* const nothing = nullptr;
  const CuPointer record = device_.faults().record();
  for (std::size_t i = first; i < end; ++i) {
    const SizedStep& sized = sizes.steps[i];
    const void* const stream_place =
        frame.memory.data() + sizes.streams_at() + sized.stream * sizeof(PhiloxStream);
    if (sized.library) run_library(sized, frame, i, workspace, stream);
    for (const SizedLaunch& launch : sized.launches) {
      const auto add = [&](const void* argument) {
        arguments.push_back(const_cast<void*>(argument));
      };
      arguments.clear();
      for (const int slot : code_[i].slots)
        add(slot < 0 ? &nothing : &frame.slots[static_cast<std::size_t>(slot)]);
      for (const std::int64_t& symbol : sized.symbols) add(&symbol);
      for (const std::int64_t& number : launch.numbers) add(&number);
      if (launch.product) add(&sized.cut[0]), add(&sized.cut[1]);
      if (launch.scratch) add(&scratch);
      if (launch.workspace) add(&workspace);
      if (launch.random) add(&stream_place);
      if (launch.fault) add(&record), add(&code_[i].fault);
      const auto start = [&] {
        return driver.launch.status(launch.function, launch.blocks, 1, 1, launch.threads, 1, 1,
                                    launch.shared, static_cast<CuStream>(stream), arguments.data(),
                                    nullptr);
      };
      CuStatus e = start();
      // Of what threads keep beside registers. A recording takes no memory, and no wait.
      if (e == cuda_out_of_memory && stream == device_.stream()) {
        device_.trim();
        e = start();
      }
      if (e == 0) continue;
      const std::string problem = "kernel " + plan_.steps[i].label + " on " + device().str() +
                                  ": " + driver.problem(driver.launch.name, e);
      if (e == cuda_out_of_memory) throw OutOfMemory(problem, plan_.steps[i].where);
      throw DeviceError(problem, plan_.steps[i].where);
    }
  }
}

/// Steps [first, end) take their places in the process's stream of random numbers, as they would on
/// the processor.
void CudaProgram::take_places(const CudaSizes& sizes, const CudaFrame& frame, std::size_t first,
                              std::size_t end) const {
  std::vector<PhiloxStream> places;
  std::size_t to = 0;
  for (std::size_t i = first; i < end; ++i) {
    const SizedStep& step = sizes.steps[i];
    if (step.draws < 0) continue;
    if (places.empty()) to = step.stream;
    places.push_back(next_stream(step.draws));
  }
  if (!places.empty())
    device_.upload(frame.memory.data() + sizes.streams_at() + to * sizeof(PhiloxStream),
                   places.data(), places.size() * sizeof(PhiloxStream));
}

void CudaProgram::run_library(const SizedStep& sized, CudaFrame& frame, std::size_t step,
                              void* workspace, void* stream) const {
  std::vector<CuPointer>& buffers = frame.buffers;
  buffers.clear();
  const auto place = [&](int slot) {
    return reinterpret_cast<CuPointer>(frame.slots[static_cast<std::size_t>(slot)]);
  };
  for (const int slot : code_[step].slots) buffers.push_back(place(slot));
  try {
    sized.library->run(buffers, sized.sums < 0 ? 0 : place(sized.sums),
                       reinterpret_cast<CuPointer>(workspace), static_cast<CuStream>(stream));
  } catch (const DeviceError& e) {
    throw DeviceError(
        "kernel " + plan_.steps[step].label + " on " + device().str() + ": " + e.what(),
        plan_.steps[step].where);
  }
}

/// Operands come down, results go up. Slots of one address are one value.
void CudaProgram::run_on_host(const CudaSizes& sizes, const CudaFrame& frame,
                              std::size_t index) const {
  const auto& step = std::get<ir::ExternStep>(plan_.steps[index].what);
  std::unordered_map<void*, Buffer> copies;
  const auto bytes_of = [&](std::size_t slot) { return slot_bytes(sizes, slot); };
  const auto views = [&](const std::vector<int>& slots, bool wanted) {
    std::vector<TensorView> result;
    for (const int slot : slots) {
      if (slot < 0) {  // an operand that was taken for its type only
        result.emplace_back();
        continue;
      }
      const auto i = static_cast<std::size_t>(slot);
      Buffer& copy = copies[frame.slots[i]];
      if (!copy || copy.size() < bytes_of(i)) {
        copy = Buffer::allocate(bytes_of(i));
        if (wanted) device_.download(copy.data(), frame.slots[i], bytes_of(i));
      }
      result.push_back({plan_.slots[i].dtype, sizes.slot_shapes[i], copy.data()});
    }
    return result;
  };
  const std::vector<TensorView> inputs = views(step.inputs, true);
  const std::vector<TensorView> outputs = views(step.outputs, false);
  run_extern(step.kind, step.attrs, inputs, outputs, plan_.steps[index].where);
  for (std::size_t o = 0; o < step.outputs.size(); ++o) {
    if (step.outputs[o] < 0) continue;
    const auto i = static_cast<std::size_t>(step.outputs[o]);
    device_.upload(frame.slots[i], outputs[o].data, bytes_of(i));
  }
}

/// Waits for a step. What went wrong in it is its error; WEFT_CHECK_NANS looks at its results.
void CudaProgram::check(const CudaSizes& sizes, const CudaFrame& frame, std::size_t index) const {
  const ir::Step& step = plan_.steps[index];
  const CudaDriver& driver = device_.driver();
  if (const CuStatus e = driver.synchronize.status(device_.stream()); e != 0)
    throw DeviceError("kernel " + step.label + " on " + device().str() + ": " +
                          driver.problem(driver.synchronize.name, e),
                      step.where);
  device_.faults().raise(device_.stream());
  const SizedStep& sized = sizes.steps[index];
  if (!nan_checks_wanted() || sized.done) return;
  const auto look = [&](int slot, bool written) {
    const auto i = static_cast<std::size_t>(slot);
    const ir::Slot& s = plan_.slots[i];
    // What nothing else reads need not have been written: a product that only its own end needs.
    const bool passing = s.kind == ir::Slot::Kind::temp && s.first_step == s.last_step;
    if (!written || passing) return;
    const std::int64_t n = element_count(sizes.slot_shapes[i]);
    const Buffer copy = Buffer::allocate(static_cast<std::size_t>(n) * size_of(s.dtype));
    device_.download(copy.data(), frame.slots[i], copy.size());
    if (any_nan(s.dtype, copy.data(), n))
      throw Error("NaN in the result of " + step.label, step.where);
  };
  ir::for_each_slot(plan_, step, look);
  if (sized.sums >= 0) look(sized.sums, true);
}

/// An output that is an input or a constant as it is, or another output once more, has no step that
/// writes it; one with a place of the frame's own has been written there.
void CudaProgram::copy_aliases(const CudaSizes& sizes, const CudaFrame& frame,
                               void* const* outputs) const {
  for (std::size_t i = 0; i < plan_.outputs.size(); ++i) {
    const auto slot = static_cast<std::size_t>(plan_.outputs[i]);
    if (frame.slots[slot] == outputs[i] || !outputs[i]) continue;
    device_.copy(outputs[i], frame.slots[slot], slot_bytes(sizes, slot));
  }
}

std::vector<MemoryUse> CudaProgram::memory_of(const CudaSizes& sizes, const CudaFrame& frame,
                                              std::size_t index) const {
  std::vector<MemoryUse> uses;
  const auto add = [&](const void* at, std::size_t bytes, bool written) {
    const auto begin = reinterpret_cast<std::size_t>(at);
    uses.push_back({begin, begin + bytes, written});
  };
  const auto add_slot = [&](int slot, bool written) {
    const auto i = static_cast<std::size_t>(slot);
    add(frame.slots[i], slot_bytes(sizes, i), written);
  };
  if (sizes.steps[index].done) return uses;
  ir::for_each_slot(plan_, plan_.steps[index], add_slot);
  if (sizes.steps[index].sums >= 0) add_slot(sizes.steps[index].sums, true);
  if (const auto& library = sizes.steps[index].library)
    add(frame.memory.data() + sizes.workspace_at(), library->workspace(), true);
  for (const SizedLaunch& launch : sizes.steps[index].launches) {
    if (launch.scratch) add(frame.memory.data() + sizes.scratch_at(), sizes.scratch, true);
    if (launch.workspace) add(frame.memory.data() + sizes.workspace_at(), sizes.workspace, true);
  }
  return uses;
}

void CudaProgram::record_steps(const CudaSizes& sizes, CudaFrame& frame, std::size_t first,
                               std::size_t end, CudaRecorder& recorder) const {
  std::vector<std::vector<MemoryUse>> uses;
  for (std::size_t i = first; i < end; ++i) uses.push_back(memory_of(sizes, frame, i));
  const auto waits = find_waits(uses);
  for (std::size_t i = first; i < end; ++i) {
    recorder.begin_step(waits[i - first]);
    launch(sizes, frame, i, i + 1, recorder.stream());
    recorder.end_step();
  }
}

/// Whether there is (now) a recording for these addresses; it is then the frame's last. They are
/// recorded when they are met for the second time in a few calls.
bool CudaProgram::replay(const CudaSizes& sizes, CudaFrame& frame) const {
  auto& kept = frame.recordings;
  const auto found = std::ranges::find(kept, frame.slots, &CudaFrame::Recording::addresses);
  if (found != kept.end()) {
    std::rotate(found, found + 1, kept.end());
    frame.misses = 0;
    return true;
  }
  const auto before = std::ranges::find(frame.seen, frame.slots);
  if (before != frame.seen.end()) {
    frame.seen.erase(before);
    frame.misses = 0;
    return record(sizes, frame);
  }
  if (frame.seen.size() == kept_recordings) frame.seen.erase(frame.seen.begin());
  frame.seen.push_back(frame.slots);
  if (++frame.misses == patience) settle(sizes, frame);
  return false;
}

/// What cannot be recorded is launched.
bool CudaProgram::record(const CudaSizes& sizes, CudaFrame& frame) const {
  frame.forget(kept_recordings - 1);
  frame.recordings.push_back(
      {frame.slots, std::vector<CuGraphExec>(sizes.segments.size(), nullptr)});
  try {
    for (std::size_t i = 0; i < sizes.segments.size(); ++i) {
      const Segment& segment = sizes.segments[i];
      if (segment.launches < 2) continue;
      frame.recordings.back().graphs[i] = device_.capture(
          [&](CudaRecorder& to) { record_steps(sizes, frame, segment.first, segment.end, to); });
    }
  } catch (const Error&) {
    frame.forget();
    frame.records = false;
  }
  return frame.records;
}

/// Inputs and outputs that moved since the last call, as they did before, get places of the frame's
/// own from the next call on, unless copying them costs more than is gained.
void CudaProgram::settle(const CudaSizes& sizes, CudaFrame& frame) const {
  const auto moves = [&](std::size_t i) {
    return !frame.places[i] && frame.given[i] != frame.given_before[i];
  };
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < plan_.slots.size(); ++i)
    if (moves(i)) bytes += slot_bytes(sizes, i);
  if (bytes > sizes.launches * copied_a_launch) return;
  for (std::size_t i = 0; i < plan_.slots.size(); ++i)
    if (moves(i)) give_place(sizes, frame, i);
}

void CudaProgram::run_steps(const CudaSizes& sizes, CudaFrame& frame) const {
  const CudaDriver& driver = device_.driver();
  const bool checked = nan_checks_wanted() || waits_for_kernels();
  const bool replayed = !checked && sizes.recorded && frame.records && replay(sizes, frame);
  for (std::size_t s = 0; s < sizes.segments.size(); ++s) {
    const Segment& segment = sizes.segments[s];
    CuGraphExec const graph = replayed ? frame.recordings.back().graphs[s] : nullptr;
    if (segment.on_device) take_places(sizes, frame, segment.first, segment.end);
    if (graph) {
      driver.launch_graph(graph, device_.stream());
    } else if (!segment.on_device) {
      run_on_host(sizes, frame, segment.first);
      device_.enter();  // a user's callback may have entered another
    } else if (!checked) {
      launch(sizes, frame, segment.first, segment.end, device_.stream());
    }
    for (std::size_t i = segment.first; i < segment.end && checked; ++i) {
      if (segment.on_device) launch(sizes, frame, i, i + 1, device_.stream());
      check(sizes, frame, i);
    }
  }
}

void CudaProgram::run(const Sizes& all, void* const* inputs, void* const* outputs) const {
  const auto& sizes = static_cast<const CudaSizes&>(all);
  device_.enter();
  const Turn frame(*this, sizes, inputs, outputs);
  run_steps(sizes, *frame);
  copy_aliases(sizes, *frame, outputs);
}

void CudaProgram::run_observed(const Sizes& all, void* const* inputs, void* const* outputs,
                               StepObserver& observer) const {
  const auto& sizes = static_cast<const CudaSizes&>(all);
  device_.synchronize();
  const Turn frame(*this, sizes, inputs, outputs);
  for (std::size_t i = 0; i < plan_.steps.size(); ++i) {
    const std::int64_t start = now_ns();
    if (code_[i].kernel) {
      take_places(sizes, *frame, i, i + 1);
      launch(sizes, *frame, i, i + 1, device_.stream());
    } else {
      run_on_host(sizes, *frame, i);
    }
    check(sizes, *frame, i);
    observer.step(i, start, now_ns());
  }
  copy_aliases(sizes, *frame, outputs);
}

}  // namespace weft::runtime
