#include "codegen/interpret/interpreter.h"

#include <algorithm>
#include <cassert>
#include <mutex>
#include <unordered_map>

#include "codegen/interpret/interpreted.h"
#include "codegen/interpret/loops.h"

namespace weft::codegen {
namespace {

constexpr std::int64_t no_limit = INT64_MAX;

std::int64_t block_of(const ir::KernelReduction& r) {
  if (r.partial || r.second_level) return no_limit;
  return r.order == ir::ReductionOrder::lanes ? ir::lane_block : ir::row_block;
}

/// Nanoseconds; the constants are rough medians of one AVX-512 core in the first-level cache.
double cost_of(const Interpreted& k, std::size_t largest_element) {
  double each = 0, once = 0;
  for (const DecodedStage& s : k.stages) {
    const double operations = static_cast<double>(s.body.code.size() + s.reductions.size());
    const double moves = static_cast<double>(s.sources.size() + s.sinks.size());
    (s.over_row ? each : once) += 0.08 * operations + 0.05 * moves;
    for (const DecodedReduction& r : s.reductions) once += r.lanes > 1 ? 200 : 5;
  }
  const double width = std::max(1.0, static_cast<double>(largest_element) / 4);
  if (!k.layout.has_row) return once * width;
  constexpr double unknown_row = 1024;
  const double row = k.layout.axes.back().is_constant()
                         ? static_cast<double>(k.layout.axes.back().evaluate(nullptr))
                         : unknown_row;
  return (once + each * row) * width;
}

}  // namespace

DecodedReduction::DecodedReduction(const ir::KernelReduction& r)
    : order(r.order),
      block(block_of(r)),
      lanes(r.order == ir::ReductionOrder::lanes ? ir::lane_count : 1),
      combine(r.combine),
      identity(r.identity),
      outputs(r.outputs),
      temps(r.temps) {}

DecodedStage::DecodedStage(const ir::Stage& s)
    : over_row(s.over_row),
      body(s.body),
      sources(s.sources),
      sinks(s.sinks),
      reductions(s.reductions.begin(), s.reductions.end()) {}

Interpreted::Interpreted(const ir::Kernel& k)
    : layout(k), stages(k.stages.begin(), k.stages.end()) {
  function = run_interpreted;
  if (layout.constant) constant_geometry.evaluate(layout, nullptr);
  for (const ir::Access& a : k.accesses) {
    access_buffers.push_back(a.buffer);
    element_sizes.push_back(size_of(k.buffers[static_cast<std::size_t>(a.buffer)].dtype));
  }
  for (const DType t : k.point_temps) point_temp_sizes.push_back(size_of(t));
  for (const DType t : k.row_temps) row_temp_sizes.push_back(size_of(t));

  std::size_t largest = 1;
  for (DecodedStage& s : stages) {
    int blocks = s.body.registers;
    const auto place = [&](const DecodedProgram& p, std::size_t& slots_at) {
      slots_at = slot_count;
      slot_count += p.slots.size();
      largest = std::max(largest, p.largest_element);
    };
    place(s.body, s.slots_at);
    for (DecodedReduction& r : s.reductions) {
      place(r.combine, r.slots_at);
      r.registers_at = blocks;
      r.number = reduction_count++;
      accumulator_count += r.temps.size();
      blocks += r.combine.registers;
      has_lanes = has_lanes || r.order == ir::ReductionOrder::lanes;
    }
    s.buffers_at = blocks;
    blocks += static_cast<int>(s.sources.size() + s.body.indices.size());
    block_count = std::max(block_count, blocks);
  }
  block_bytes = static_cast<std::size_t>(chunk_size) * largest;
  item_cost = cost_of(*this, largest);
  if (!layout.has_row) item_multiple = group_size;
}

Interpreted::Walk Interpreted::walk(const Geometry& g) const {
  // By items, a reduction in lanes costs a tree over vectors, whatever the row's length: worth it
  // for short rows.
  constexpr std::int64_t short_row = 48, few_items = 8;
  const bool by_rows = layout.has_row && (has_lanes ? g.row > short_row || g.items < few_items
                                                    : g.items < few_items && g.row > g.items);
  if (by_rows) return {true, 1};
  std::int64_t width = has_lanes ? group_size : chunk_size;
  constexpr std::size_t temp_budget = std::size_t{1} << 18;
  std::size_t row_bytes = 0;
  for (const std::size_t size : row_temp_sizes) row_bytes += size * static_cast<std::size_t>(g.row);
  while (width > group_size && row_bytes * static_cast<std::size_t>(width) > temp_budget)
    width /= 2;
  return {false, width};
}

std::size_t Interpreted::row_temp_bytes(std::size_t temp, const Geometry& g, Walk w) const {
  const std::int64_t elements = w.by_rows ? g.row + group_size - 1 : g.row * w.width;
  return static_cast<std::size_t>(elements / group_size * group_size) * row_temp_sizes[temp];
}

std::size_t Interpreted::scratch_bytes(const std::int64_t* symbols) const {
  if (row_temp_sizes.empty()) return 0;
  Geometry evaluated;
  if (!layout.constant) evaluated.evaluate(layout, symbols);
  const Geometry& g = layout.constant ? constant_geometry : evaluated;
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < row_temp_sizes.size(); ++i) bytes += row_temp_bytes(i, g, walk(g));
  return bytes;
}

namespace {

std::size_t mix(std::size_t h, std::size_t x) {
  h = (h ^ x) * 0x9e3779b97f4a7c15u;
  return h ^ (h >> 29);
}

std::size_t hash_of(const ir::Kernel& k) {
  std::size_t h = mix(k.buffers.size(), k.has_row ? 1 : 0);
  for (const Dim& axis : k.axes) h = mix(h, axis.hash());
  for (const ir::KernelBuffer& b : k.buffers) h = mix(h, static_cast<std::size_t>(b.dtype));
  for (const ir::Access& a : k.accesses) {
    h = mix(h, a.offset.hash());
    for (const Dim& stride : a.strides) h = mix(h, stride.hash());
  }
  for (const ir::Stage& s : k.stages) {
    for (const ir::ScalarInst& i : s.body.code) {
      h = mix(h, static_cast<std::size_t>(i.op) * 256 + static_cast<std::size_t>(i.dtype));
      h = mix(h, i.imm ^ (static_cast<std::size_t>(static_cast<std::uint32_t>(i.a)) << 32));
    }
  }
  return h;
}

class LoopTile final : public ir::TileKernel {
 public:
  LoopTile(DType dtype, ir::TileShape tile_shape) {
    function = tile_loop_for(dtype);
    shape = tile_shape;
  }
};

class Interpreter final : public ir::KernelCompiler {
 public:
  std::vector<std::shared_ptr<const ir::Executable>> compile(
      std::span<const ir::Kernel* const> kernels) override {
    std::vector<std::shared_ptr<const ir::Executable>> result;
    const std::lock_guard lock(mutex_);
    for (const ir::Kernel* k : kernels) {
      assert(k->columns.empty());  // those are for devices
      result.push_back(find_or_add(*k));
    }
    return result;
  }
  [[nodiscard]] ir::TileLimits tile_limits(DType dtype) const override {
    if ((dtype != DType::float32 && dtype != DType::float64) || !tile_loop_for(dtype)) return {};
    return {12, 2, 16};
  }
  std::shared_ptr<const ir::TileKernel> tile(DType dtype, ir::TileShape shape) override {
    return std::make_shared<LoopTile>(dtype, shape);
  }
  [[nodiscard]] std::string_view name() const override { return "interpret"; }

 private:
  struct Entry {
    ir::Kernel kernel;
    std::shared_ptr<const ir::Executable> executable;
  };

  std::shared_ptr<const ir::Executable> find_or_add(const ir::Kernel& k) {
    const std::size_t hash = hash_of(k);
    const auto [first, last] = cache_.equal_range(hash);
    for (auto it = first; it != last; ++it) {
      if (it->second.kernel == k) return it->second.executable;
    }
    constexpr std::size_t most =
        4096;  // rebuilding is cheap: start afresh rather than grow for ever
    if (cache_.size() >= most) cache_.clear();
    return cache_.emplace(hash, Entry{k, std::make_shared<Interpreted>(k)})->second.executable;
  }

  std::mutex mutex_;
  std::unordered_multimap<std::size_t, Entry> cache_;
};

}  // namespace

std::shared_ptr<ir::KernelCompiler> make_interpreter() { return std::make_shared<Interpreter>(); }

}  // namespace weft::codegen
