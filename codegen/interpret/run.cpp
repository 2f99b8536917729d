// One call of an interpreted kernel.
#include <algorithm>
#include <cassert>
#include <cstring>
#include <memory>
#include <new>

#include "codegen/interpret/interpreted.h"

namespace weft::codegen {
namespace {

/// Memory of a thread, handed out from the start in every run; grows, and then is kept.
class Workspace {
 public:
  void reset(std::size_t bytes) {
    if (bytes > size_) {
      memory_.reset(static_cast<std::byte*>(::operator new(bytes, alignment)));
      size_ = bytes;
    }
    used_ = 0;
  }
  static constexpr std::size_t padded(std::size_t bytes) { return (bytes + 63) / 64 * 64; }
  std::byte* take(std::size_t bytes) {
    std::byte* at = memory_.get() + used_;
    used_ += padded(bytes);
    assert(used_ <= size_);
    return at;
  }
  template <class T> T* take_array(std::size_t count) {
    return reinterpret_cast<T*>(take(count * sizeof(T)));
  }

  Geometry geometry;  // of kernels with symbols

 private:
  static constexpr std::align_val_t alignment{64};
  struct Free {
    void operator()(std::byte* p) const { ::operator delete(p, alignment); }
  };
  std::unique_ptr<std::byte, Free> memory_;
  std::size_t size_ = 0, used_ = 0;
};

thread_local Workspace the_workspace;

template <class T>
void copy_as(std::byte* to, std::int64_t to_step, const std::byte* from, std::int64_t from_step,
             std::int64_t n) {
  auto* d = reinterpret_cast<T*>(to);
  const auto* s = reinterpret_cast<const T*>(from);
  for (std::int64_t i = 0; i < n; ++i) d[i * to_step] = s[i * from_step];
}

/// Strides count elements. Memory may overlap exactly (a value stored where it was loaded from).
void copy(std::byte* to, std::int64_t to_step, const std::byte* from, std::int64_t from_step,
          std::int64_t n, std::size_t size) {
  if (to_step == 1 && from_step == 1) {
    std::memmove(to, from, static_cast<std::size_t>(n) * size);
    return;
  }
  switch (size) {
    case 1: return copy_as<std::uint8_t>(to, to_step, from, from_step, n);
    case 2: return copy_as<std::uint16_t>(to, to_step, from, from_step, n);
    case 4: return copy_as<std::uint32_t>(to, to_step, from, from_step, n);
  }
  return copy_as<std::uint64_t>(to, to_step, from, from_step, n);
}

void fill(std::byte* to, const std::byte* value, std::int64_t n, std::size_t size) {
  copy(to, 1, value, 0, n, size);
}

/// An operand's first n elements to contiguous memory.
void copy_out(std::byte* to, const Operand& from, std::int64_t n, std::size_t size) {
  copy(to, 1, from.data, from.step == 0 ? 0 : 1, n, size);
}

/// Whole groups first, so that what is contiguous in memory is used in place; then the rest.
std::int64_t piece(std::int64_t left, std::int64_t most) {
  if (left >= most) return most;
  return left >= group_size ? left / group_size * group_size : left;
}

class Run {
 public:
  Run(const Interpreted& kernel, const Geometry& geometry, const ir::KernelArgs& args);
  void items(std::int64_t begin, std::int64_t end);

 private:
  struct Reduction {
    std::byte **first, **second;  // accumulators of the two levels, one pointer an accumulator
    std::int64_t in_block, block_number;
  };

  void take_memory();
  void take_reductions(Workspace& w);
  [[nodiscard]] std::size_t accumulator_bytes(const DecodedReduction& r, std::size_t i) const;
  void bind(const DecodedProgram& p, Operand* slots, int first_register) const;
  [[nodiscard]] std::byte* block(int number) const {
    return blocks_ + static_cast<std::size_t>(number) * k_.block_bytes;
  }

  void start_vector(std::int64_t item, std::int64_t count);
  void run_vector(std::int64_t row_length);
  void run_chunk(const DecodedStage& s, std::int64_t r, std::int64_t m);
  [[nodiscard]] std::byte* address(int access, std::int64_t r) const;
  [[nodiscard]] std::int64_t stride(int access) const;
  Operand load(int access, std::int64_t r, std::int64_t m, std::byte* buffer) const;
  void store(int access, std::int64_t r, std::int64_t m, const Operand& from) const;
  [[nodiscard]] std::byte* row_temp(int temp, std::int64_t r) const;
  Operand coordinates(int axis, std::int64_t r, std::int64_t m, std::byte* buffer) const;
  [[nodiscard]] std::byte* place_for(const ir::Sink& sink, std::int64_t r, std::int64_t m) const;
  void put(const ir::Sink& sink, const Operand& value, std::size_t size, std::int64_t r,
           std::int64_t m) const;
  void set_point_temp(int temp, const Operand& value, std::int64_t m) const;
  template <class F> void each_stretch(int access, std::int64_t m, F f) const;

  void clear(const DecodedReduction& r, std::byte** accumulators) const;
  void accumulate(const DecodedStage& s, const DecodedReduction& r, std::int64_t m);
  void combine(const DecodedReduction& r, std::byte** left, std::int64_t left_at,
               std::byte* const* right, std::int64_t right_at, std::int64_t n);
  void tree(const DecodedReduction& r, std::byte** accumulators);
  void end_block(const DecodedReduction& r);
  void finish(const DecodedReduction& r);

  const Interpreted& k_;
  const Geometry& g_;
  const ir::KernelArgs& args_;
  const Interpreted::Walk walk_;
  Operand* slots_ = nullptr;
  std::byte* blocks_ = nullptr;
  std::byte** point_temps_ = nullptr;
  std::byte** row_temps_ = nullptr;
  Reduction* reductions_ = nullptr;
  std::byte** lifted_ = nullptr;     // combine's right operands
  std::byte* element_ = nullptr;     // one group an accumulator, see accumulate
  std::int64_t* bases_ = nullptr;    // element offset of the vector's first item in every access
  std::int64_t* coords_ = nullptr;   // walked coordinates of the vector's first item
  std::int64_t* walking_ = nullptr;  // the same while stretches are walked
  std::int64_t count_ = 0;           // items in the vector; 1 by rows
  bool single_ = true;               // the vector lies on one stretch of the innermost walked axis
};

Run::Run(const Interpreted& kernel, const Geometry& geometry, const ir::KernelArgs& args)
    : k_(kernel), g_(geometry), args_(args), walk_(kernel.walk(geometry)) {
  take_memory();
  for (const DecodedStage& s : k_.stages) {
    bind(s.body, slots_ + s.slots_at, 0);
    for (const DecodedReduction& r : s.reductions)
      bind(r.combine, slots_ + r.slots_at, r.registers_at);
  }
}

/// An operand that starts anywhere in the accumulators is read to the end of a group.
std::size_t Run::accumulator_bytes(const DecodedReduction& r, std::size_t i) const {
  return static_cast<std::size_t>(r.lanes * walk_.width + group_size) * r.combine.input_sizes[i];
}

void Run::take_memory() {
  const std::size_t temp_width = static_cast<std::size_t>(std::max(walk_.width, group_size));
  const std::size_t accesses = k_.access_buffers.size(), walked = g_.extents.size();
  const std::size_t point_temps = k_.point_temp_sizes.size(), row_temps = k_.row_temp_sizes.size();
  const std::size_t block_bytes = static_cast<std::size_t>(k_.block_count) * k_.block_bytes;
  std::size_t bytes = k_.slot_count * sizeof(Operand) + block_bytes +
                      k_.reduction_count * sizeof(Reduction) +
                      8 * (accesses + 2 * walked + point_temps + row_temps +
                           (3 + group_size) * k_.accumulator_count);
  std::size_t pieces = 10 + point_temps + 2 * k_.reduction_count;  // each may be padded
  for (const std::size_t size : k_.point_temp_sizes) bytes += size * temp_width;
  for (const DecodedStage& s : k_.stages) {
    for (const DecodedReduction& r : s.reductions) {
      for (std::size_t i = 0; i < r.temps.size(); ++i)
        bytes += 2 * accumulator_bytes(r, i), pieces += 2;
    }
  }
  Workspace& w = the_workspace;
  w.reset(bytes + 64 * pieces);
  slots_ = w.take_array<Operand>(k_.slot_count);
  bases_ = w.take_array<std::int64_t>(accesses);
  coords_ = w.take_array<std::int64_t>(walked);
  walking_ = w.take_array<std::int64_t>(walked);
  blocks_ = w.take(block_bytes);
  if (!k_.layout.has_row) return;
  point_temps_ = w.take_array<std::byte*>(point_temps);
  for (std::size_t i = 0; i < point_temps; ++i)
    point_temps_[i] = w.take(k_.point_temp_sizes[i] * temp_width);
  row_temps_ = w.take_array<std::byte*>(row_temps);
  std::byte* scratch = args_.scratch;
  for (std::size_t i = 0; i < row_temps; ++i) {
    row_temps_[i] = scratch;
    scratch += k_.row_temp_bytes(i, g_, walk_);
  }
  take_reductions(w);
}

void Run::take_reductions(Workspace& w) {
  lifted_ = w.take_array<std::byte*>(k_.accumulator_count);
  element_ = w.take(k_.accumulator_count * 8 * group_size);
  reductions_ = w.take_array<Reduction>(k_.reduction_count);
  for (const DecodedStage& s : k_.stages) {
    for (const DecodedReduction& r : s.reductions) {
      Reduction& state = reductions_[r.number];
      for (std::byte*** level : {&state.first, &state.second}) {
        *level = w.take_array<std::byte*>(r.temps.size());
        for (std::size_t i = 0; i < r.temps.size(); ++i)
          (*level)[i] = w.take(accumulator_bytes(r, i));
      }
    }
  }
}

void Run::bind(const DecodedProgram& p, Operand* slots, int first_register) const {
  std::copy(p.slots.begin(), p.slots.end(), slots);
  for (int i = 0; i < p.registers; ++i) slots[i].data = block(first_register + i);
}

// ---- Vectors ------------------------------------------------------------------------------------

void Run::items(std::int64_t begin, std::int64_t end) {
  for (std::int64_t item = begin; item < end; item += count_) {
    const std::int64_t length = g_.row_length(item);
    std::int64_t count = piece(end - item, walk_.width);
    if (g_.clip >= 0) {  // items of one vector see equally many elements
      std::int64_t same = 1;
      while (same < count && g_.row_length(item + same) == length) ++same;
      count = same;
    }
    start_vector(item, count);
    run_vector(length);
  }
}

void Run::start_vector(std::int64_t item, std::int64_t count) {
  const std::size_t walked = g_.extents.size(), accesses = k_.access_buffers.size();
  std::int64_t rest = item;
  for (std::size_t j = walked; j-- > 0;) {
    const std::int64_t outer = j > 0 && rest != 0 ? rest / g_.extents[j] : 0;
    coords_[j] = rest - outer * g_.extents[j];
    rest = outer;
  }
  for (std::size_t i = 0; i < accesses; ++i) {
    const std::int64_t* strides = g_.strides_of(i);
    std::int64_t base = g_.offsets[i];
    for (std::size_t j = 0; j < walked; ++j) base += coords_[j] * strides[j];
    bases_[i] = base;
  }
  count_ = count;
  single_ = walk_.by_rows || coords_[walked - 1] + count <= g_.extents[walked - 1];
}

void Run::run_vector(std::int64_t row_length) {
  for (const DecodedStage& s : k_.stages) {
    if (!s.over_row) {
      run_chunk(s, 0, count_);
      continue;
    }
    for (const DecodedReduction& r : s.reductions) {
      clear(r, reductions_[r.number].first);
      reductions_[r.number].in_block = reductions_[r.number].block_number = 0;
    }
    for (std::int64_t at = 0; at < row_length;) {
      const std::int64_t m = walk_.by_rows ? piece(row_length - at, chunk_size) : count_;
      run_chunk(s, at, m);
      for (const DecodedReduction& r : s.reductions) accumulate(s, r, m);
      at += walk_.by_rows ? m : 1;
    }
    for (const DecodedReduction& r : s.reductions) finish(r);
  }
}

/// Row elements [r, r + m) of one item, or row element r of m items.
void Run::run_chunk(const DecodedStage& s, std::int64_t r, std::int64_t m) {
  Operand* slots = slots_ + s.slots_at;
  int buffer = s.buffers_at;
  for (std::size_t i = 0; i < s.sources.size(); ++i) {
    Operand& slot = slots[s.body.input_slot(i)];
    const int id = s.sources[i].id;
    switch (s.sources[i].kind) {
      case ir::Source::Kind::load: slot = load(id, r, m, block(buffer)); break;
      case ir::Source::Kind::point_temp:
        slot = {point_temps_[id], walk_.by_rows ? 0 : group_size};
        break;
      case ir::Source::Kind::row_temp: slot = {row_temp(id, r), group_size}; break;
    }
    ++buffer;
  }
  for (const DecodedProgram::Index& index : s.body.indices)
    slots[index.slot] = coordinates(index.axis, r, m, block(buffer++));
  for (const ir::Sink& sink : s.sinks) {
    const auto& out = s.body.outputs[static_cast<std::size_t>(sink.output)];
    std::byte* const place = out.redirectable ? place_for(sink, r, m) : nullptr;
    if (out.redirectable) slots[out.slot].data = place != nullptr ? place : block(out.slot);
  }
  s.body.run(slots, m);
  for (const ir::Sink& sink : s.sinks) {
    const auto& out = s.body.outputs[static_cast<std::size_t>(sink.output)];
    put(sink, slots[out.slot], out.size, r, m);
  }
}

std::byte* Run::address(int access, std::int64_t r) const {
  const auto i = static_cast<std::size_t>(access);
  auto* const start = static_cast<std::byte*>(args_.buffers[k_.access_buffers[i]]);
  return start +
         (bases_[i] + r * g_.row_strides[i]) * static_cast<std::int64_t>(k_.element_sizes[i]);
}

/// Between neighbours of a vector on one stretch.
std::int64_t Run::stride(int access) const {
  const auto i = static_cast<std::size_t>(access);
  return walk_.by_rows ? g_.row_strides[i] : g_.strides_of(i)[g_.extents.size() - 1];
}

Operand Run::load(int access, std::int64_t r, std::int64_t m, std::byte* buffer) const {
  const std::size_t size = k_.element_sizes[static_cast<std::size_t>(access)];
  std::byte* const at = address(access, r);
  const std::int64_t step = stride(access);
  if (!single_) {
    each_stretch(access, m, [&](std::int64_t done, std::int64_t length, std::int64_t offset) {
      const auto bytes = static_cast<std::int64_t>(size);
      copy(buffer + done * bytes, 1, at + offset * bytes, step, length, size);
    });
  } else if (step == 0) {
    fill(buffer, at, std::min(m, group_size), size);
    return {buffer, 0};
  } else if (step == 1 && m % group_size == 0) {
    return {at, group_size};
  } else {
    copy(buffer, 1, at, step, m, size);
  }
  return {buffer, group_size};
}

void Run::store(int access, std::int64_t r, std::int64_t m, const Operand& from) const {
  const std::size_t size = k_.element_sizes[static_cast<std::size_t>(access)];
  std::byte* const at = address(access, r);
  const std::int64_t step = stride(access), from_step = from.step == 0 ? 0 : 1;
  if (single_) return copy(at, step, from.data, from_step, m, size);
  each_stretch(access, m, [&](std::int64_t done, std::int64_t length, std::int64_t offset) {
    const auto bytes = static_cast<std::int64_t>(size);
    copy(at + offset * bytes, step, from.data + done * from_step * bytes, from_step, length, size);
  });
}

/// Calls f(done, length, offset) for every stretch of the vector on the innermost walked axis:
/// `done` elements of the vector lie before it, and it starts `offset` elements from the vector's
/// start in the access.
template <class F> void Run::each_stretch(int access, std::int64_t m, F f) const {
  const std::int64_t* strides = g_.strides_of(static_cast<std::size_t>(access));
  const std::size_t last = g_.extents.size() - 1;
  std::copy(coords_, coords_ + last + 1, walking_);
  std::int64_t offset = 0;
  for (std::int64_t done = 0; done < m;) {
    const std::int64_t length = std::min(m - done, g_.extents[last] - walking_[last]);
    f(done, length, offset);
    done += length;
    walking_[last] += length, offset += length * strides[last];
    for (std::size_t j = last; j > 0 && walking_[j] == g_.extents[j]; --j) {
      offset += strides[j - 1] - walking_[j] * strides[j];
      walking_[j] = 0, ++walking_[j - 1];
    }
  }
}

std::byte* Run::row_temp(int temp, std::int64_t r) const {
  const auto i = static_cast<std::size_t>(temp);
  return row_temps_[i] + r * walk_.width * static_cast<std::int64_t>(k_.row_temp_sizes[i]);
}

/// What an `index` opcode gives.
Operand Run::coordinates(int axis, std::int64_t r, std::int64_t m, std::byte* buffer) const {
  auto* const values = reinterpret_cast<std::int64_t*>(buffer);
  const auto all = [&](std::int64_t value) {
    std::fill_n(values, group_size, value);
    return Operand{buffer, 0};
  };
  const auto ascending = [&](std::int64_t at, std::int64_t count, std::int64_t value) {
    for (std::int64_t j = 0; j < count; ++j) values[at + j] = value + j;
  };
  if (k_.layout.has_row && static_cast<std::size_t>(axis) == k_.layout.parallel_axes) {
    if (!walk_.by_rows) return all(r);
    ascending(0, m, r);
    return {buffer, group_size};
  }
  const int walked = g_.walked_axis[static_cast<std::size_t>(axis)];
  if (walked < 0) return all(0);
  const bool innermost = static_cast<std::size_t>(walked) == g_.extents.size() - 1;
  if (walk_.by_rows || (single_ && !innermost)) return all(coords_[walked]);
  if (single_) {
    ascending(0, m, coords_[walked]);
  } else {  // strides do not matter: any access would do
    each_stretch(0, m, [&](std::int64_t done, std::int64_t length, std::int64_t) {
      if (innermost)
        ascending(done, length, walking_[walked]);
      else
        std::fill_n(values + done, length, walking_[walked]);
    });
  }
  return {buffer, group_size};
}

// ---- Sinks --------------------------------------------------------------------------------------

/// Where a program may write the sink's value at once, in whole groups; null when it has to be
/// moved there after.
std::byte* Run::place_for(const ir::Sink& sink, std::int64_t r, std::int64_t m) const {
  switch (sink.kind) {
    case ir::Sink::Kind::store:
      return single_ && m % group_size == 0 && stride(sink.id) == 1 ? address(sink.id, r) : nullptr;
    case ir::Sink::Kind::row_temp: return row_temp(sink.id, r);
    case ir::Sink::Kind::point_temp: return walk_.by_rows ? nullptr : point_temps_[sink.id];
  }
  return nullptr;
}

void Run::put(const ir::Sink& sink, const Operand& value, std::size_t size, std::int64_t r,
              std::int64_t m) const {
  if (value.data == place_for(sink, r, m)) return;
  switch (sink.kind) {
    case ir::Sink::Kind::store: return store(sink.id, r, m, value);
    case ir::Sink::Kind::row_temp: return copy_out(row_temp(sink.id, r), value, m, size);
    case ir::Sink::Kind::point_temp: return set_point_temp(sink.id, value, m);
  }
}

/// By rows a point temp is one group of equal elements.
void Run::set_point_temp(int temp, const Operand& value, std::int64_t m) const {
  const std::size_t size = k_.point_temp_sizes[static_cast<std::size_t>(temp)];
  if (walk_.by_rows)
    fill(point_temps_[temp], value.data, group_size, size);
  else
    copy_out(point_temps_[temp], value, m, size);
}

// ---- Reductions: accumulators are lanes × walk_.width elements ----------------------------------

void Run::clear(const DecodedReduction& r, std::byte** accumulators) const {
  for (std::size_t i = 0; i < r.temps.size(); ++i) {
    const auto* identity = reinterpret_cast<const std::byte*>(&r.identity[i]);
    fill(accumulators[i], identity, r.lanes * walk_.width, r.combine.input_sizes[i]);
  }
}

/// left[left_at + j] = combine(left[left_at + j], right[right_at + j]) for j in [0, n).
void Run::combine(const DecodedReduction& r, std::byte** left, std::int64_t left_at,
                  std::byte* const* right, std::int64_t right_at, std::int64_t n) {
  Operand* slots = slots_ + r.slots_at;
  const std::size_t count = r.temps.size();
  const auto place = [&](std::size_t i) {
    return left[i] + left_at * static_cast<std::int64_t>(r.combine.input_sizes[i]);
  };
  for (std::size_t i = 0; i < count; ++i) {
    const auto size = static_cast<std::int64_t>(r.combine.input_sizes[i]);
    slots[r.combine.input_slot(i)].data = place(i);
    slots[r.combine.input_slot(count + i)].data = right[i] + right_at * size;
    const DecodedProgram::Output& out = r.combine.outputs[i];
    if (out.redirectable)
      slots[out.slot].data = n % group_size == 0 ? place(i) : block(r.registers_at + out.slot);
  }
  r.combine.run(slots, n);
  for (std::size_t i = 0; i < count; ++i) {
    const Operand& value = slots[r.combine.outputs[i].slot];
    if (value.data != place(i)) copy_out(place(i), value, n, r.combine.outputs[i].size);
  }
}

/// Takes in what the stage's program has just lifted.
void Run::accumulate(const DecodedStage& s, const DecodedReduction& r, std::int64_t m) {
  Reduction& state = reductions_[r.number];
  if (state.in_block == r.block) end_block(r);
  const auto lifted = [&](std::size_t i) -> const Operand& {
    return slots_[s.slots_at + static_cast<std::size_t>(
                                   s.body.outputs[static_cast<std::size_t>(r.outputs[i])].slot)];
  };
  const auto take_in = [&](std::int64_t at, std::int64_t lane, std::int64_t n) {
    Operand* slots = slots_ + r.slots_at;
    for (std::size_t i = 0; i < r.temps.size(); ++i) {
      const Operand& value = lifted(i);
      const auto size = r.combine.input_sizes[i];
      // One element in the middle of a vector: moved to where a whole group may be read.
      const bool move = n == 1 && at % group_size != 0 && value.step != 0;
      if (move)
        std::memcpy(element_ + i * 8 * group_size,
                    value.data + at * static_cast<std::int64_t>(size), size);
      lifted_[i] = move ? element_ + i * 8 * group_size
                        : value.data + (value.step != 0 ? at * static_cast<std::int64_t>(size) : 0);
      slots[r.combine.input_slot(r.temps.size() + i)].step = value.step;
    }
    combine(r, state.first, lane * walk_.width, lifted_, 0, n);
  };
  if (!walk_.by_rows) {
    take_in(0, state.in_block % r.lanes, m);
    ++state.in_block;
  } else if (r.order ==
             ir::ReductionOrder::lanes) {  // a chunk lies within one block and starts at lane 0
    for (std::int64_t at = 0; at < m; at += group_size)
      take_in(at, 0, std::min(group_size, m - at));
    state.in_block += m;
  } else {
    for (std::int64_t at = 0; at < m; ++at) {
      if (state.in_block == r.block) end_block(r);
      take_in(at, 0, 1);
      ++state.in_block;
    }
  }
  for (std::size_t i = 0; i < r.temps.size(); ++i)
    slots_[r.slots_at + static_cast<std::size_t>(r.combine.input_slot(r.temps.size() + i))].step =
        group_size;
}

/// Lane j with lane j + 32, then j + 16, …: the result is in lane 0.
void Run::tree(const DecodedReduction& r, std::byte** accumulators) {
  for (std::int64_t half = r.lanes / 2; half > 0; half /= 2) {
    const std::int64_t total = half * walk_.width;
    for (std::int64_t at = 0; at < total; at += chunk_size)
      combine(r, accumulators, at, accumulators, total + at, std::min(chunk_size, total - at));
  }
}

void Run::end_block(const DecodedReduction& r) {
  Reduction& state = reductions_[r.number];
  tree(r, state.first);
  if (state.block_number == 0) clear(r, state.second);
  combine(r, state.second, state.block_number % r.lanes * walk_.width, state.first, 0, count_);
  clear(r, state.first);
  ++state.block_number;
  state.in_block = 0;
}

void Run::finish(const DecodedReduction& r) {
  Reduction& state = reductions_[r.number];
  const bool two_levels = state.block_number > 0;
  if (two_levels) end_block(r);
  std::byte** const result = two_levels ? state.second : state.first;
  tree(r, result);
  for (std::size_t i = 0; i < r.temps.size(); ++i)
    set_point_temp(r.temps[i], {result[i], group_size}, count_);
}

}  // namespace

void run_interpreted(const void* self, const ir::KernelArgs* args, std::int64_t begin,
                     std::int64_t end) {
  const auto& kernel = *static_cast<const Interpreted*>(self);
  if (begin >= end) return;
  if (kernel.layout.constant) {
    Run(kernel, kernel.constant_geometry, *args).items(begin, end);
  } else {
    Geometry& geometry = the_workspace.geometry;
    geometry.evaluate(kernel.layout, args->symbols);
    Run(kernel, geometry, *args).items(begin, end);
  }
}

}  // namespace weft::codegen
