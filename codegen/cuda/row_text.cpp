// Row kernels. A thread meets the same row elements in every stage, so that row temps need no
// barrier.
#include "codegen/cuda/row_text.h"

#include <cassert>

namespace weft::codegen {
namespace {

using ir::Kernel;
using ir::KernelReduction;
using ir::ReductionOrder;
using Mapping = CudaSchedule::Mapping;

std::string str(std::size_t n) { return std::to_string(n); }
std::string join(const std::vector<std::string>& pieces) {
  std::string all;
  for (const std::string& p : pieces) all.append(all.empty() ? "" : ", ").append(p);
  return all;
}

bool has_one_level(const Kernel& k) {
  const auto row = k.axes.back().constant();
  bool one = row && *row <= ir::lane_block;
  for (const ir::Stage& s : k.stages) {
    for (const KernelReduction& r : s.reductions) one = one || r.partial || r.second_level;
  }
  return one;
}

}  // namespace

RowStorage row_storage(const Kernel& k, const CudaSchedule& s) {
  if (!k.has_row || k.row_temps.empty()) return RowStorage::none;
  const auto row = k.axes.back().constant();
  if (s.mapping != Mapping::warp || !row) return RowStorage::scratch;
  std::int64_t bytes = 0;
  for (const DType t : k.row_temps) bytes += static_cast<std::int64_t>(size_of(t)) * *row;
  constexpr std::int64_t registers = 32 * 4 * 32,
                         shared = 40 * 1024;  // 32 words a thread; what every device has
  if (bytes <= registers) return RowStorage::registers;
  return bytes * (s.threads / 32) <= shared ? RowStorage::shared : RowStorage::scratch;
}

void write_combines(const Kernel& k, std::string_view name, TextWriter& out) {
  for (std::size_t i = 0; i < k.stages.size(); ++i) {
    for (std::size_t r = 0; r < k.stages[i].reductions.size(); ++r) {
      const KernelReduction& reduction = k.stages[i].reductions[r];
      const std::size_t count = reduction.temps.size();
      std::vector<std::string> parameters, inputs;
      for (std::size_t a = 0; a < 2 * count; ++a) {
        const bool left = a < count;
        const std::string parameter = (left ? "a" : "b") + str(left ? a : a - count);
        parameters.push_back(
            cat({cuda_type(reduction.combine.inputs[a]), left ? "& " : " ", parameter}));
        inputs.push_back(left ? "old" + str(a) : parameter);
      }
      const std::string prefix = cat({name, "_combine", str(i), "_", str(r)});
      write_tables(out, reduction.combine, prefix + "_table");
      out.open(cat({"WEFT_FUNCTION void ", prefix, "(", join(parameters), ")"}));
      for (std::size_t a = 0; a < count; ++a)
        out.line(cat({"const ", cuda_type(reduction.combine.inputs[a]), " old", str(a), " = a",
                      str(a), ";"}));
      const auto values = write_program(out, reduction.combine, inputs, {}, "v", prefix + "_table");
      for (std::size_t a = 0; a < count; ++a) out.line(cat({"a", str(a), " = ", values[a], ";"}));
      out.close();
    }
  }
}

namespace {

class RowText {
 public:
  RowText(const Kernel& k, const KernelFrame& frame, const CudaSchedule& s, std::string_view name,
          TextWriter& out)
      : k_(k),
        frame_(frame),
        s_(s),
        name_(name),
        index_(frame.index_type),
        out_(out),
        storage_(row_storage(k, s)),
        one_level_(has_one_level(k)) {}

  void write();

 private:
  void write_units();
  void write_row_temps();
  void write_point_stage(std::size_t stage);
  void write_thread_stage(std::size_t stage);
  void write_lane_stage(std::size_t stage);
  void write_owned_elements(std::size_t stage);
  void write_element(std::size_t stage);
  void write_accumulation(std::size_t stage);
  void write_in_order(std::size_t stage, std::size_t r);
  void end_lane_block(std::size_t stage, std::string_view start);
  void write_tree(std::size_t stage, std::size_t r, char level);
  void start_accumulators(std::size_t stage, char level, ReductionOrder order,
                          std::string_view array);
  void finish_in_order(std::size_t stage, std::size_t r);
  void set_point_temps(const KernelReduction& r, const std::vector<std::string>& values);

  const std::vector<KernelReduction>& reductions(std::size_t stage) const {
    return k_.stages[stage].reductions;
  }
  DType accumulator(const KernelReduction& r, std::size_t a) const { return r.combine.inputs[a]; }
  /// Names of a reduction's accumulators: `f0_1[h]` is accumulator 1 of reduction 0 on the first
  /// level, `g` the second.
  std::vector<std::string> names(const KernelReduction& r, std::size_t number, char level,
                                 std::string_view element) const {
    std::vector<std::string> all;
    for (std::size_t a = 0; a < r.temps.size(); ++a)
      all.push_back(cat({std::string_view(&level, 1), str(number), "_", str(a), element}));
    return all;
  }
  void combine(std::size_t stage, std::size_t r, const std::vector<std::string>& left,
               const std::vector<std::string>& right) {
    out_.line(cat(
        {name_, "_combine", str(stage), "_", str(r), "(", join(left), ", ", join(right), ");"}));
  }
  bool has_order(std::size_t stage, ReductionOrder order) const {
    for (const KernelReduction& r : reductions(stage)) {
      if (r.order == order) return true;
    }
    return false;
  }
  bool two_levels(const KernelReduction& r) const {  // by block of 256 rows
    const auto row = k_.axes.back().constant();
    return !r.partial && !r.second_level && !(row && *row <= ir::row_block);
  }
  std::string place(int access) const {
    const std::string& stride = frame_.accesses[static_cast<std::size_t>(access)].row_stride;
    std::string element = "at" + std::to_string(access);
    if (stride != "0") element.append(stride == "1" ? " + r" : " + r * " + stride);
    return cat({pointer_text(k_, access), "[", element, "]"});
  }
  std::string row_temp(int temp) const {
    const std::string array = "r" + std::to_string(temp);
    switch (storage_) {
      case RowStorage::registers: return array + "[2 * turn + h]";
      case RowStorage::scratch:
        if (s_.mapping == Mapping::thread) return array + "[r * units]";
        return array + "[r]";
      case RowStorage::shared:
      case RowStorage::none: break;
    }
    return array + "[r]";
  }
  std::vector<std::string> write_sources(std::size_t stage);
  std::vector<std::string> coordinates() const {
    std::vector<std::string> all = frame_.coordinates;
    all.emplace_back("r");
    return all;
  }
  std::string_view barrier() const {
    return s_.mapping == Mapping::block ? "__syncthreads();" : "__syncwarp();";
  }

  const Kernel& k_;
  const KernelFrame& frame_;
  const CudaSchedule& s_;
  std::string_view name_, index_;
  TextWriter& out_;
  RowStorage storage_;
  bool one_level_;
};

/// `unit`: what takes an item: a thread, a warp or a block; `units`: how many there are.
void RowText::write_units() {
  out_.line(cat({"const ", index_, " items = ", frame_.items(), ";"}));
  if (s_.mapping != Mapping::thread) out_.line("const int lane = threadIdx.x % 32;");
  const std::string threads = std::to_string(s_.threads), warps = std::to_string(s_.threads / 32);
  switch (s_.mapping) {
    case Mapping::thread:
      out_.line(cat({"const ", index_, " unit = blockIdx.x * (", index_, ")", threads,
                     " + threadIdx.x, units = gridDim.x * (", index_, ")", threads, ";"}));
      break;
    case Mapping::warp:
      out_.line(cat({"const ", index_, " unit = blockIdx.x * (", index_, ")", warps,
                     " + threadIdx.x / 32, units = gridDim.x * (", index_, ")", warps, ";"}));
      break;
    case Mapping::block:
      out_.line(cat({"const int warp = threadIdx.x / 32;"}));
      out_.line(cat({"const ", index_, " unit = blockIdx.x, units = gridDim.x;"}));
      break;
    case Mapping::element: break;
  }
}

void RowText::write_row_temps() {
  std::size_t before = 0;  // bytes an element of the temps that lie before
  for (std::size_t t = 0; t < k_.row_temps.size(); ++t) {
    const std::string type(cuda_type(k_.row_temps[t])), name = "r" + str(t);
    const std::string warps = std::to_string(s_.threads / 32);
    switch (storage_) {
      case RowStorage::registers:
        out_.line(cat({type, " ", name, "[2 * ((", frame_.row, " + 63) / 64) + 1];"}));
        break;
      case RowStorage::shared:
        out_.line(
            cat({"__shared__ ", type, " shared_", name, "[", warps, " * ", frame_.row, "];"}));
        out_.line(cat({type, "* const ", name, " = shared_", name, " + threadIdx.x / 32 * ",
                       frame_.row, ";"}));
        break;
      case RowStorage::scratch: {
        if (t == 0)
          out_.line(cat({"const weft_i64 padded = (weft_i64)(", frame_.row, " + 63) / 64 * 64;"}));
        const std::string_view from = s_.mapping == Mapping::thread ? "unit" : "unit * padded";
        out_.line(cat({type, "* const ", name, " = (", type, "*)(scratch + units * padded * ",
                       str(before), ") + ", from, ";"}));
        break;
      }
      case RowStorage::none: break;
    }
    before += size_of(k_.row_temps[t]);
  }
}

void RowText::write() {
  write_units();
  write_row_temps();
  for (std::size_t i = 0; s_.mapping == Mapping::block && i < k_.stages.size(); ++i) {
    for (std::size_t r = 0; r < reductions(i).size(); ++r) {
      for (std::size_t a = 0; a < reductions(i)[r].temps.size(); ++a)
        out_.line(cat({"__shared__ ", cuda_type(accumulator(reductions(i)[r], a)), " results",
                       str(i), "_", str(r), "_", str(a), "[64];"}));
    }
  }
  out_.open(cat({"for (", index_, " item = unit; item < items; item += units)"}));
  frame_.write_coordinates(out_);
  for (std::size_t a = 0; a < k_.accesses.size(); ++a)
    out_.line(
        cat({"const ", index_, " at", str(a), " = ", frame_.offset(static_cast<int>(a)), ";"}));
  if (frame_.clip.empty()) {
    out_.line(cat({"const ", index_, " n = ", frame_.row, ";"}));
  } else {
    out_.line(cat({"const ", index_, " left = ", frame_.clip, " - item % ", frame_.blocks, " * ",
                   frame_.row, ", n = left < ", frame_.row, " ? left : ", frame_.row, ";"}));
  }
  for (std::size_t t = 0; t < k_.point_temps.size(); ++t)
    out_.line(cat({cuda_type(k_.point_temps[t]), " p", str(t), ";"}));
  for (std::size_t i = 0; i < k_.stages.size(); ++i) {
    out_.open("");
    if (!k_.stages[i].over_row)
      write_point_stage(i);
    else if (s_.mapping == Mapping::thread)
      write_thread_stage(i);
    else
      write_lane_stage(i);
    out_.close();
  }
  // The next item's results must not overtake the readers of this one's.
  if (s_.mapping == Mapping::block) out_.line("__syncthreads();");
  out_.close();
}

std::vector<std::string> RowText::write_sources(std::size_t stage) {
  std::vector<std::string> inputs;
  for (const ir::Source& source : k_.stages[stage].sources) {
    if (!reads_input(k_.stages[stage].body, inputs.size())) {
      inputs.emplace_back();
      continue;
    }
    std::string from;
    switch (source.kind) {
      case ir::Source::Kind::load: from = place(source.id); break;
      case ir::Source::Kind::point_temp: from = "p" + std::to_string(source.id); break;
      case ir::Source::Kind::row_temp: from = row_temp(source.id); break;
    }
    const DType t = k_.stages[stage].body.inputs[inputs.size()];
    inputs.push_back("x" + str(inputs.size()));
    out_.line(cat({"const ", cuda_type(t), " ", inputs.back(), " = ", from, ";"}));
  }
  return inputs;
}

/// Every thread of the unit computes, one stores: after all have read, and before any reads what
/// was stored.
void RowText::write_point_stage(std::size_t stage) {
  out_.line(cat({"const ", index_, " r = 0;"}));
  const std::vector<std::string> inputs = write_sources(stage);
  const ir::Stage& s = k_.stages[stage];
  const auto values = write_program(out_, s.body, inputs, coordinates(), "v",
                                    cat({name_, "_table", str(stage), "_"}));
  std::vector<std::string> kept;  // a point temp may be an input of another output
  for (const ir::Sink& sink : s.sinks) {
    const auto output = static_cast<std::size_t>(sink.output);
    kept.push_back("o" + str(kept.size()));
    out_.line(cat({"const ", cuda_type(s.body.output_dtype(output)), " ", kept.back(), " = ",
                   values[output], ";"}));
  }
  bool stores = false;
  for (std::size_t i = 0; i < s.sinks.size(); ++i) {
    if (s.sinks[i].kind == ir::Sink::Kind::point_temp)
      out_.line(cat({"p", std::to_string(s.sinks[i].id), " = ", kept[i], ";"}));
    else
      stores = true;
  }
  if (!stores) return;
  const bool shared = s_.mapping != Mapping::thread;
  if (shared) out_.line(barrier());
  if (shared) out_.open(s_.mapping == Mapping::warp ? "if (lane == 0)" : "if (threadIdx.x == 0)");
  for (std::size_t i = 0; i < s.sinks.size(); ++i) {
    if (s.sinks[i].kind == ir::Sink::Kind::store)
      out_.line(cat({place(s.sinks[i].id), " = ", kept[i], ";"}));
  }
  if (shared) out_.close();
  if (shared) out_.line(barrier());
}

/// Element `r` of the row: stores, row temps, and what is lifted into `l<reduction>_<accumulator>`.
void RowText::write_element(std::size_t stage) {
  const ir::Stage& s = k_.stages[stage];
  const std::vector<std::string> inputs = write_sources(stage);
  const auto values = write_program(out_, s.body, inputs, coordinates(), "v",
                                    cat({name_, "_table", str(stage), "_"}));
  for (std::size_t r = 0; r < s.reductions.size(); ++r) {
    for (std::size_t a = 0; a < s.reductions[r].temps.size(); ++a)
      out_.line(cat({"l", str(r), "_", str(a), " = ",
                     values[static_cast<std::size_t>(s.reductions[r].outputs[a])], ";"}));
  }
  for (const ir::Sink& sink : s.sinks) {
    const std::string& value = values[static_cast<std::size_t>(sink.output)];
    out_.line(cat({sink.kind == ir::Sink::Kind::store ? place(sink.id) : row_temp(sink.id), " = ",
                   value, ";"}));
  }
}

void RowText::start_accumulators(std::size_t stage, char level, ReductionOrder order,
                                 std::string_view array) {
  for (std::size_t r = 0; r < reductions(stage).size(); ++r) {
    const KernelReduction& reduction = reductions(stage)[r];
    if (reduction.order != order) continue;
    const std::vector<std::string> all = names(reduction, r, level, "");
    for (std::size_t a = 0; a < all.size(); ++a) {
      const std::string identity = literal(accumulator(reduction, a), reduction.identity[a]);
      const std::string value =
          array.empty() ? identity : cat({"{", identity, ", ", identity, "}"});
      out_.line(cat({cuda_type(accumulator(reduction, a)), " ", all[a], array, " = ", value, ";"}));
    }
  }
}

void RowText::set_point_temps(const KernelReduction& r, const std::vector<std::string>& values) {
  for (std::size_t a = 0; a < r.temps.size(); ++a)
    out_.line(cat({"p", std::to_string(r.temps[a]), " = ", values[a], ";"}));
}

// ---- In order -----------------------------------------------------------------------------------

/// Before element `r` is taken in: a block of 256 may have ended.
void RowText::write_in_order(std::size_t stage, std::size_t r) {
  const KernelReduction& reduction = reductions(stage)[r];
  if (!two_levels(reduction)) return;
  out_.open("if (r > 0 && r % 256 == 0)");
  combine(stage, r, names(reduction, r, 'g', ""), names(reduction, r, 'f', ""));
  const auto all = names(reduction, r, 'f', "");
  for (std::size_t a = 0; a < all.size(); ++a)
    out_.line(cat({all[a], " = ", literal(accumulator(reduction, a), reduction.identity[a]), ";"}));
  out_.close();
}

void RowText::finish_in_order(std::size_t stage, std::size_t r) {
  const KernelReduction& reduction = reductions(stage)[r];
  const auto first = names(reduction, r, 'f', ""), second = names(reduction, r, 'g', "");
  set_point_temps(reduction, first);
  if (!two_levels(reduction)) return;
  out_.open("if (n > 256)");
  combine(stage, r, second, first);
  set_point_temps(reduction, second);
  out_.close();
}

void RowText::write_thread_stage(std::size_t stage) {
  assert(!has_order(stage, ReductionOrder::lanes));
  start_accumulators(stage, 'f', ReductionOrder::blocks, "");
  start_accumulators(stage, 'g', ReductionOrder::blocks, "");
  out_.open(cat({"for (", index_, " r = 0; r < n; ++r)"}));
  for (std::size_t r = 0; r < reductions(stage).size(); ++r) {
    const KernelReduction& reduction = reductions(stage)[r];
    for (std::size_t a = 0; a < reduction.temps.size(); ++a)
      out_.line(cat({cuda_type(accumulator(reduction, a)), " l", str(r), "_", str(a), ";"}));
  }
  write_element(stage);
  for (std::size_t r = 0; r < reductions(stage).size(); ++r) {
    write_in_order(stage, r);
    combine(stage, r, names(reductions(stage)[r], r, 'f', ""),
            names(reductions(stage)[r], r, 'l', ""));
  }
  out_.close();
  for (std::size_t r = 0; r < reductions(stage).size(); ++r) finish_in_order(stage, r);
}

// ---- In lanes -----------------------------------------------------------------------------------

/// Elements [start, stop), of which this thread has those of its lanes, `lane` (h = 0) and `lane +
/// 32` (h = 1).
void RowText::write_owned_elements(std::size_t stage) {
  if (storage_ == RowStorage::registers) {
    out_.line("#pragma unroll");
    out_.open(cat({"for (int turn = 0; turn < (", frame_.row, " + 63) / 64; ++turn)"}));
    out_.line(cat({"const ", index_, " base = start + 64 * turn;"}));
  } else {
    out_.open(cat({"for (", index_, " base = start; base < stop; base += 64)"}));
  }
  out_.line("#pragma unroll");
  out_.open("for (int h = 0; h < 2; ++h)");
  out_.line(cat({"const ", index_, " r = base + 32 * h + lane;"}));
  for (std::size_t r = 0; r < reductions(stage).size(); ++r) {
    const KernelReduction& reduction = reductions(stage)[r];
    for (std::size_t a = 0; a < reduction.temps.size(); ++a) {
      const DType t = accumulator(reduction, a);
      out_.line(cat({cuda_type(t), " l", str(r), "_", str(a), " = ",
                     literal(t, reduction.identity[a]), ";"}));
    }
  }
  out_.open("if (r < stop)");
  write_element(stage);
  for (std::size_t r = 0; r < reductions(stage).size(); ++r) {
    const KernelReduction& reduction = reductions(stage)[r];
    if (reduction.order == ReductionOrder::lanes)
      combine(stage, r, names(reduction, r, 'f', "[h]"), names(reduction, r, 'l', ""));
  }
  out_.close();
  write_accumulation(stage);
  out_.close();
  out_.close();
}

/// Reductions in `blocks` order on a warp: element after element, in every thread alike.
void RowText::write_accumulation(std::size_t stage) {
  if (!has_order(stage, ReductionOrder::blocks)) return;
  assert(s_.mapping == Mapping::warp);
  out_.open("for (int from = 0; from < 32 && base + 32 * h + from < stop; ++from)");
  out_.line(cat({"const ", index_, " r = base + 32 * h + from;"}));
  for (std::size_t r = 0; r < reductions(stage).size(); ++r) {
    const KernelReduction& reduction = reductions(stage)[r];
    if (reduction.order != ReductionOrder::blocks) continue;
    write_in_order(stage, r);
    std::vector<std::string> values;
    for (const std::string& l : names(reduction, r, 'l', ""))
      values.push_back(cat({"weft_from(", l, ", from)"}));
    combine(stage, r, names(reduction, r, 'f', ""), values);
  }
  out_.close();
}

/// The two halves of the lanes, then lane j with j + 16, …; the result is everywhere in element 0.
void RowText::write_tree(std::size_t stage, std::size_t r, char level) {
  const KernelReduction& reduction = reductions(stage)[r];
  const auto low = names(reduction, r, level, "[0]"), high = names(reduction, r, level, "[1]");
  combine(stage, r, low, high);
  std::vector<std::string> others;
  for (const std::string& l : low) others.push_back(cat({"weft_down(", l, ", by)"}));
  out_.line("#pragma unroll");
  out_.open("for (int by = 16; by > 0; by /= 2)");
  combine(stage, r, low, others);
  out_.close();
  for (const std::string& l : low) out_.line(cat({l, " = weft_from(", l, ", 0);"}));
}

/// On a warp: the block that began at `start` is a result, or goes to a lane of the second level.
void RowText::end_lane_block(std::size_t stage, std::string_view start) {
  for (std::size_t r = 0; r < reductions(stage).size(); ++r) {
    const KernelReduction& reduction = reductions(stage)[r];
    if (reduction.order != ReductionOrder::lanes) continue;
    write_tree(stage, r, 'f');
    if (s_.mapping == Mapping::block) {
      out_.open("if (lane == 0)");
      for (std::size_t a = 0; a < reduction.temps.size(); ++a)
        out_.line(cat({"results", str(stage), "_", str(r), "_", str(a), "[slot] = f", str(r), "_",
                       str(a), "[0];"}));
      out_.close();
      continue;
    }
    set_point_temps(reduction, names(reduction, r, 'f', "[0]"));
    if (one_level_) continue;
    out_.line(cat({"const int slot", str(r), " = (int)(", start, " / 4096 % 64);"}));
    out_.open(cat({"if (n > 4096 && slot", str(r), " % 32 == lane)"}));
    combine(stage, r, names(reduction, r, 'g', cat({"[slot", str(r), " / 32]"})),
            names(reduction, r, 'f', "[0]"));
    out_.close();
  }
}

void RowText::write_lane_stage(std::size_t stage) {
  const bool by_block = s_.mapping == Mapping::block;
  assert(!by_block || !one_level_);
  start_accumulators(stage, 'f', ReductionOrder::blocks, "");
  start_accumulators(stage, 'g', ReductionOrder::blocks, "");
  if (!one_level_) start_accumulators(stage, 'g', ReductionOrder::lanes, "[2]");
  if (one_level_) {
    out_.line(cat({"const ", index_, " start = 0, stop = n;"}));
  } else if (by_block) {  // waves of 64 blocks; warp w has blocks w, w + warps, …
    out_.open(cat({"for (", index_, " wave = 0; wave == 0 || wave < n; wave += 64 * 4096)"}));
    out_.open(
        cat({"for (int slot = warp; slot < 64; slot += ", std::to_string(s_.threads / 32), ")"}));
    out_.line(cat({"const ", index_, " start = wave + slot * 4096;"}));
    out_.line("if (start > 0 && start >= n) break;");
  } else {
    out_.open(cat({"for (", index_, " start = 0; start == 0 || start < n; start += 4096)"}));
  }
  if (!one_level_)
    out_.line(cat({"const ", index_, " stop = n - start < 4096 ? n : start + 4096;"}));
  start_accumulators(stage, 'f', ReductionOrder::lanes, "[2]");
  write_owned_elements(stage);
  end_lane_block(stage, "start");
  if (!one_level_) out_.close();
  const bool lanes = has_order(stage, ReductionOrder::lanes);
  if (by_block) {
    for (std::size_t r = 0; lanes && r < reductions(stage).size(); ++r) {
      const KernelReduction& reduction = reductions(stage)[r];
      if (r == 0) out_.line("__syncthreads();");
      std::vector<std::string> results, single;
      for (std::size_t a = 0; a < reduction.temps.size(); ++a) {
        const std::string array = cat({"results", str(stage), "_", str(r), "_", str(a)});
        results.push_back(array + "[32 * h + lane]"), single.push_back(array + "[0]");
      }
      out_.open("if (n <= 4096)");
      set_point_temps(reduction, single);
      out_.close();
      out_.open("for (int h = 0; h < 2; ++h)");
      out_.open("if (wave + (32 * h + lane) * 4096 < n)");
      combine(stage, r, names(reduction, r, 'g', "[h]"), results);
      out_.close();
      out_.close();
    }
    if (lanes) out_.line("__syncthreads();");
    out_.close();
  }
  for (std::size_t r = 0; r < reductions(stage).size(); ++r) {
    const KernelReduction& reduction = reductions(stage)[r];
    if (reduction.order == ReductionOrder::blocks) {
      finish_in_order(stage, r);
    } else if (!one_level_) {
      out_.open("if (n > 4096)");
      write_tree(stage, r, 'g');
      set_point_temps(reduction, names(reduction, r, 'g', "[0]"));
      out_.close();
    }
  }
}

}  // namespace

void write_rows(const Kernel& k, const KernelFrame& frame, const CudaSchedule& s,
                std::string_view name, TextWriter& out) {
  RowText(k, frame, s, name, out).write();
}

}  // namespace weft::codegen
