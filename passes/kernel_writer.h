// Writes one kernel: stages of scalar programs over the axes of a fused group, their loads, temps
// and stores, then the canonical form. Slots stand for buffers until the kernel is done.
#pragma once

#include <map>
#include <unordered_map>
#include <vector>

#include "ir/kernel.h"
#include "passes/views.h"

namespace weft::passes {

/// A kernel over named things: `slots` says what each of its buffers is, `symbols` what each of its
/// symbols is.
struct WrittenKernel {
  ir::Kernel kernel;
  std::vector<int> slots;
  std::vector<Dim> symbols;
};

/// Affine expressions here are over the kernel's axes as they were first given; `finish` drops and
/// merges axes.
class KernelWriter {
 public:
  /// `merge_limit`: the first so many axes may be dropped and merged.
  KernelWriter(Dims axes, bool has_row, std::size_t merge_limit);

  struct Stage {
    bool over_row = false;
    ir::ScalarBuilder builder;
    std::vector<ir::Source> sources;
    std::map<std::pair<ir::Source::Kind, int>, int> source_number;
    std::vector<ir::ScalarValue> outputs;
    std::unordered_map<std::int32_t, int> output_number;
    std::vector<ir::Sink> sinks;
    std::vector<ir::KernelReduction> reductions;
    std::unordered_map<int, ir::ScalarValue> values;  // values computed or read so far
  };
  /// Stages run in the order of their phases.
  Stage& stage(int phase, bool over_row);

  /// What the kernel writes and reads back. What it only reads is a buffer by itself, even where
  /// both are parts of one slot: no element is in both.
  int buffer(int slot, DType dtype) { return buffer_of(slot, true, dtype); }
  int read_buffer(int slot, DType dtype) { return buffer_of(slot, false, dtype); }
  ir::ScalarValue load(Stage& stage, int slot, DType dtype, const Affine& at) {
    return load_from(stage, buffer(slot, dtype), dtype, at);
  }
  ir::ScalarValue load_elsewhere(Stage& stage, int slot, DType dtype, const Affine& at) {
    return load_from(stage, read_buffer(slot, dtype), dtype, at);
  }
  ir::ScalarValue temp(Stage& stage, ir::Source::Kind kind, int id);
  ir::ScalarValue index(Stage& stage, const Affine& at);
  void store(Stage& stage, ir::ScalarValue value, int slot, DType dtype, const Affine& at);
  int output(Stage& stage, ir::ScalarValue value);
  int add_point_temp(DType dtype);
  int add_row_temp(DType dtype);

  ir::Contraction& contraction() { return contraction_.emplace(); }
  void set_clip(Dim clip) { kernel_.clip = std::move(clip); }
  void mark_written(int buffer) {
    kernel_.buffers[static_cast<std::size_t>(buffer)].written = true;
  }
  [[nodiscard]] const Dims& axes() const { return kernel_.axes; }

  WrittenKernel finish();

 private:
  int buffer_of(int slot, bool ours, DType dtype);
  ir::ScalarValue load_from(Stage& stage, int buffer, DType dtype, const Affine& at);
  int access(int buffer, const Affine& at);
  void merge_axes();
  void drop_axis(std::size_t axis, std::optional<std::size_t> into);
  void number_buffers();
  std::vector<Dim> name_symbols();

  ir::Kernel kernel_;
  std::optional<ir::Contraction> contraction_;
  std::size_t merge_limit_;
  std::vector<int> slots_;
  std::unordered_map<int, int> buffer_of_;  // of twice the slot, and one for what is written
  std::unordered_map<std::size_t, std::vector<int>> accesses_;
  std::map<int, Stage> stages_;
};

std::size_t hash(const ir::Kernel&);

}  // namespace weft::passes
