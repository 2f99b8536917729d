#include "passes/lower.h"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <unordered_map>

#include "ir/ops/attrs.h"
#include "passes/device_products.h"
#include "passes/kernel_writer.h"
#include "passes/memory.h"
#include "passes/share_kernels.h"

namespace weft::passes {
namespace {

using ir::ScalarValue;
using Stage = KernelWriter::Stage;

constexpr int recompute_limit =
    10;  // instructions; a row value that costs more is kept for later stages
constexpr std::int64_t row_temp_limit = 1 << 15;  // elements; a longer row would not stay in cache
constexpr std::size_t label_names = 6;

std::uint64_t first_element(const ir::Literal& literal) {
  std::uint64_t bits = 0;
  std::memcpy(&bits, literal.data(), std::min<std::size_t>(size_of(literal.dtype()), 8));
  if (literal.dtype() == DType::boolean) bits = bits != 0 ? 1 : 0;
  return bits;
}

DType accumulator(DType t) { return compute_dtype(t); }

class Lowering {
 public:
  Lowering(const ir::Graph& graph, const LowerOptions& options)
      : graph_(graph), options_(options), f_(fuse(graph, options.fusion)) {}

  ir::Plan run() {
    add_slots();
    std::vector<char> done(f_.groups.size(), 0);
    auto early = f_.early.begin();
    for (std::size_t g = 0; g < f_.groups.size(); ++g) {
      for (; early != f_.early.end() && early->first == static_cast<int>(g); ++early) {
        lower_group(early->second);
        done[static_cast<std::size_t>(early->second)] = 1;
      }
      if (done[g] == 0) lower_group(static_cast<int>(g));
    }
    plan_.checks = std::move(f_.checks);
    share_kernels(plan_);
    if (options_.precision) relax_products(plan_, *options_.precision);
    plan_memory(plan_, {options_.donated, options_.plan_memory, options_.apart, options_.groups,
                        options_.columns});
    return std::move(plan_);
  }

 private:
  const Value& value(int v) const { return f_.values[static_cast<std::size_t>(v)]; }

  void lower_group(int g) {
    group_ = &f_.groups[static_cast<std::size_t>(g)];
    group_number_ = g;
    switch (group_->kind) {
      case GroupKind::external: return external();
      case GroupKind::pointwise: return pointwise();
      case GroupKind::row: return rows();
      case GroupKind::contraction: return contraction();
    }
  }

  // ---- slots ----

  int add_slot(ir::Slot::Kind kind, int number, DType dtype, Dims shape) {
    ir::Slot slot;
    slot.kind = kind;
    slot.number = number;
    slot.dtype = dtype;
    slot.shape = std::move(shape);
    plan_.slots.push_back(std::move(slot));
    return static_cast<int>(plan_.slots.size()) - 1;
  }

  void add_slots() {
    slot_.assign(f_.values.size(), -1);
    for (std::size_t i = 0; i < graph_.inputs().size(); ++i) {
      const ir::Type& type = graph_.inputs()[i]->type();
      plan_.inputs.push_back(type);
      const int slot =
          add_slot(ir::Slot::Kind::input, static_cast<int>(i), *type.dtype, *type.shape);
      if (f_.inputs[i] >= 0) slot_[static_cast<std::size_t>(f_.inputs[i])] = slot;
    }
    for (std::size_t i = 0; i < f_.outputs.size(); ++i) {
      const int v = f_.outputs[i];
      int& slot = slot_[static_cast<std::size_t>(v)];
      const ir::Type& type = graph_.outputs()[i]->type();
      const ValueKind kind = value(v).kind;
      if (kind != ValueKind::input && kind != ValueKind::constant && kind != ValueKind::scalar) {
        slot = add_slot(ir::Slot::Kind::output, static_cast<int>(i), *type.dtype, *type.shape);
      }
      plan_.outputs.push_back(slot_of(v));
    }
  }

  /// Of the value itself, or of the one that it lives in.
  int slot_of(int v) {
    if (value(v).target >= 0) v = value(v).target;
    int& slot = slot_[static_cast<std::size_t>(v)];
    if (slot >= 0) return slot;
    const Value& x = value(v);
    if (x.kind == ValueKind::constant || x.kind == ValueKind::scalar) {
      plan_.constants.push_back(x.node->attrs().get<ir::ConstantAttrs>().value);
      slot = add_slot(ir::Slot::Kind::constant, static_cast<int>(plan_.constants.size()) - 1,
                      x.dtype, *x.shape);
    } else if (x.kind == ValueKind::input) {
      throw Error("internal: an input of the graph is missing from its list", x.node->where());
    } else {
      slot = add_slot(ir::Slot::Kind::temp, 0, x.dtype, *x.shape);
    }
    return slot;
  }

  // ---- axes ----

  /// Ranges of group axes, one a kernel axis: those of a range run as one.
  using Ranges = std::vector<std::pair<std::size_t, std::size_t>>;

  static Affine over(const Affine& at, const Ranges& ranges) {
    Affine out{at.offset, {}};
    for (const auto& [begin, end] : ranges)
      out.strides.push_back(begin == end ? Dim(0) : at.strides[end - 1]);
    return out;
  }
  Dims extents_of(const Ranges& ranges) const {
    Dims extents;
    for (const auto& [begin, end] : ranges)
      extents.push_back(product(std::span(group_->axes).subspan(begin, end - begin)));
    return extents;
  }
  Ranges parallel_ranges() const {
    Ranges ranges;
    for (std::size_t k = 0; k < group_->axes.size(); ++k) {
      const bool in_row = group_->kind == GroupKind::row &&
                          k >= static_cast<std::size_t>(group_->row_begin) &&
                          k < static_cast<std::size_t>(group_->row_end);
      if (!in_row) ranges.emplace_back(k, k + 1);
    }
    return ranges;
  }

  /// The group's axes as the kernel's. With `block`, the row is cut into blocks of that length: two
  /// kernel axes.
  struct Frame {
    Ranges ranges;
    std::int64_t block = 0;
    std::size_t axes() const { return ranges.size() + (block > 0 ? 1 : 0); }
  };

  Affine in_kernel(const Affine& at) const {
    Affine out = over(at, frame_.ranges);
    if (frame_.block > 0) {
      out.strides.push_back(out.strides.back());
      out.strides[out.strides.size() - 2] = out.strides.back() * Dim(frame_.block);
    }
    return out;
  }

  // ---- values in stages ----

  Stage& stage_of(int phase) {
    return writer_->stage(phase, group_->kind == GroupKind::row && phase % 2 == 0);
  }

  Affine stored_at(const Value& v) const {
    return element_at(f_.values, v, *v.at, group_->axes.size());
  }

  ScalarValue constant(Stage& s, const Value& v) {
    return s.builder.constant_bits(v.dtype,
                                   first_element(v.node->attrs().get<ir::ConstantAttrs>().value));
  }

  ScalarValue finish_program(Stage& s, const Body& body, std::vector<ScalarValue> operands,
                             const MapRef& at) {
    for (const int axis : body.index_axes) {
      operands.push_back(writer_->index(s, in_kernel((*at)[static_cast<std::size_t>(axis)])));
    }
    return s.builder.inline_program(body.program, operands)[0];
  }

  /// A value that is computed wherever it is read, at `map`. Its operands are scalars or values in
  /// memory.
  ScalarValue inlined(Stage& s, int v, const MapRef& map) {
    const Value& x = value(v);
    std::vector<ScalarValue> operands;
    for (std::size_t i = 0; i < x.operands.size(); ++i) {
      const MapRef at = operand_map(f_.values, x, i, map, group_->axes.size());
      operands.push_back(
          outside(s, *resolve(f_.values, x.operands[i], at, group_->axes, group_number_)));
    }
    return finish_program(s, *x.body, std::move(operands), map);
  }

  ScalarValue outside(Stage& s, const Read& r) {
    const Value& x = value(r.value);
    if (x.kind == ValueKind::scalar) return constant(s, x);
    if (r.inlined) return inlined(s, r.value, r.map);
    return writer_->load_elsewhere(s, slot_of(r.value), x.dtype,
                                   in_kernel(element_of(f_.values, r, group_->axes.size())));
  }

  ScalarValue operand(Stage& s, int phase, const Read& r) {
    return r.inside ? inside(s, phase, r.value) : outside(s, r);
  }

  /// A member's value in the stage of `phase`, which is its own or a later one.
  ScalarValue inside(Stage& s, int phase, int v) {
    if (const auto found = s.values.find(v); found != s.values.end()) return found->second;
    const Value& x = value(v);
    ScalarValue result;
    if (x.kind == ValueKind::reduction) {
      std::vector<ScalarValue> accumulators;
      for (const int t : temps_.at(v))
        accumulators.push_back(writer_->temp(s, ir::Source::Kind::point_temp, t));
      result = s.builder.inline_program(x.reduce->finish, accumulators)[0];
    } else if (!x.along_row) {
      result = kept(s, v, ir::Source::Kind::point_temp);
    } else if (x.stored && x.target < 0) {
      result = writer_->load(s, slot_of(v), x.dtype, in_kernel(stored_at(x)));
    } else if (cost_.at(v) <= recompute_limit || long_row_) {
      result = body_in(s, phase, x);
    } else {
      result = kept(s, v, ir::Source::Kind::row_temp);
    }
    s.values.emplace(v, result);
    return result;
  }

  ScalarValue body_in(Stage& s, int phase, const Value& x) {
    std::vector<ScalarValue> operands;
    for (const Read& r : x.reads) operands.push_back(operand(s, phase, r));
    return finish_program(s, *x.body, std::move(operands), x.at);
  }

  /// Reads a temp that the value's own stage writes.
  ScalarValue kept(Stage& s, int v, ir::Source::Kind kind) {
    const bool row = kind == ir::Source::Kind::row_temp;
    auto [it, fresh] = (row ? row_temp_ : point_temp_).emplace(v, 0);
    if (fresh) {
      Stage& own = stage_of(value(v).phase);
      const ScalarValue computed = own.values.at(v);
      it->second =
          row ? writer_->add_row_temp(computed.dtype()) : writer_->add_point_temp(computed.dtype());
      own.sinks.push_back({row ? ir::Sink::Kind::row_temp : ir::Sink::Kind::point_temp,
                           writer_->output(own, computed), it->second});
    }
    return writer_->temp(s, kind, it->second);
  }

  /// Instructions to compute a row value again in a later stage.
  void note_cost(int v) {
    const Value& x = value(v);
    int cost =
        static_cast<int>(x.body ? x.body->program.code.size() - x.body->program.inputs.size() : 0);
    for (const Read& r : x.reads) {
      if (!r.inside)
        cost += r.map ? 1 : 0;
      else if (value(r.value).along_row && !value(r.value).stored)
        cost += cost_.at(r.value);
    }
    cost_[v] = std::min(cost, 1000);
  }

  void compute(int v) {
    const Value& x = value(v);
    Stage& s = stage_of(x.phase);
    note_cost(v);
    s.values[v] = body_in(s, x.phase, x);
  }

  void store(int v) {
    const Value& x = value(v);
    if (!x.stored && x.target < 0) return;
    Stage& s = stage_of(x.phase);
    const int slot = slot_of(v);
    writer_->store(s, inside(s, x.phase, v), slot,
                   plan_.slots[static_cast<std::size_t>(slot)].dtype, in_kernel(stored_at(x)));
  }

  /// Members that a store in this group depends on.
  std::vector<int> live_members() {
    std::unordered_map<int, char> live;
    for (std::size_t i = group_->members.size(); i-- > 0;) {
      const int m = group_->members[i];
      if (!value(m).stored && value(m).target < 0 && !live.contains(m)) continue;
      live.emplace(m, 1);
      for (const Read& r : value(m).reads) {
        if (r.inside) live.emplace(r.value, 1);
      }
    }
    std::vector<int> members;
    for (const int m : group_->members) {
      if (live.contains(m)) members.push_back(m);
    }
    return members;
  }

  void begin(Dims axes, bool has_row, std::size_t merge_limit) {
    writer_.emplace(std::move(axes), has_row, merge_limit);
    temps_.clear(), row_temp_.clear(), point_temp_.clear(), cost_.clear();
  }

  // ---- the kinds of groups ----

  void pointwise() {
    const std::vector<int> members = live_members();
    if (members.empty()) return;
    frame_ = {parallel_ranges(), 0};
    if (frame_.ranges.empty()) frame_.ranges.emplace_back(0, 0);
    Dims axes = extents_of(frame_.ranges);
    const std::size_t limit = axes.size();
    begin(std::move(axes), false, limit);
    for (const int m : members) compute(m);
    for (const int m : members) store(m);
    emit(members);
  }

  void rows() {
    const std::vector<int> members = live_members();
    if (members.empty()) return;
    frame_ = {parallel_ranges(), 0};
    const std::size_t parallel = frame_.ranges.size();
    frame_.ranges.emplace_back(group_->row_begin, group_->row_end);
    Dims axes = extents_of(frame_.ranges);
    const Dim row = axes.back();
    order_ = static_cast<std::size_t>(group_->row_end) == group_->axes.size()
                 ? ir::ReductionOrder::lanes
                 : ir::ReductionOrder::blocks;
    long_row_ = row.is_constant() && row.value() > row_temp_limit;
    const bool reduces = std::any_of(members.begin(), members.end(),
                                     [&](int m) { return value(m).kind == ValueKind::reduction; });
    if (group_->split && reduces) return split_rows(members, axes);
    begin(axes, true, parallel);
    for (const int m : members) {
      if (value(m).kind == ValueKind::reduction)
        reduce(m, frame_.ranges.size() - 1, 0);
      else
        compute(m);
    }
    for (const int m : members) store(m);
    emit(members);
  }

  /// Lifts the operand in its row stage and combines it into point temps. `row` is the row's kernel
  /// axis.
  void reduce(int v, std::size_t row, std::int64_t block) {
    const Value& x = value(v);
    const int phase = x.phase - 1;
    Stage& s = stage_of(phase);
    const ScalarValue element = operand(s, phase, x.reads[0]);
    ScalarValue position = s.builder.index(static_cast<int>(row));
    if (block > 0) {
      const ScalarValue length = s.builder.constant_int(DType::int64, block);
      position = s.builder.index(static_cast<int>(row) - 1) * length + position;
    }
    const ScalarValue lift_operands[] = {element, position};
    const std::vector<ScalarValue> lifted = s.builder.inline_program(x.reduce->lift, lift_operands);
    combine(s, v, lifted, block > 0, false);
  }

  void combine(Stage& s, int v, const std::vector<ScalarValue>& lifted, bool partial,
               bool second_level) {
    const ir::ReductionDef& def = *value(v).reduce;
    ir::KernelReduction r;
    r.order = order_;
    r.partial = partial;
    r.second_level = second_level;
    r.identity = def.identity;
    r.combine = def.combine;
    for (std::size_t i = 0; i < lifted.size(); ++i) {
      r.outputs.push_back(writer_->output(s, lifted[i]));
      r.temps.push_back(writer_->add_point_temp(def.accumulators[i]));
    }
    temps_[v] = r.temps;
    s.reductions.push_back(std::move(r));
  }

  /// Few points and a long row: block results first, then their combination and what follows it.
  void split_rows(const std::vector<int>& members, const Dims& axes) {
    const std::size_t parallel = axes.size() - 1;
    const std::int64_t length =
        order_ == ir::ReductionOrder::lanes ? ir::lane_block : ir::row_block;
    const Dim blocks = ceildiv(axes.back(), length);
    const Dims points(axes.begin(), axes.end() - 1);
    std::vector<int> first, second;
    for (const int m : members) (value(m).phase == 0 ? first : second).push_back(m);

    frame_.block = length;
    Dims cut = points;
    cut.push_back(blocks);
    cut.push_back(length);
    begin(std::move(cut), true, parallel);
    writer_->set_clip(axes.back());
    for (const int m : first) compute(m);
    std::unordered_map<int, std::vector<int>> partials;  // slots
    // What is next to one another in the operands is so in the blocks' results.
    Dims partial_shape = points;
    const bool blocks_last = order_ == ir::ReductionOrder::lanes;
    partial_shape.insert(blocks_last ? partial_shape.end() : partial_shape.begin(), blocks);
    Affine partial_at{0, dense_strides(partial_shape)};
    if (!blocks_last) std::ranges::rotate(partial_at.strides, partial_at.strides.begin() + 1);
    for (const int m : second) {
      if (value(m).kind != ValueKind::reduction) continue;
      reduce(m, parallel + 1, length);
      Stage& results = stage_of(1);
      Affine at = partial_at;
      at.strides.push_back(0);
      for (std::size_t i = 0; i < temps_[m].size(); ++i) {
        const DType dtype = value(m).reduce->accumulators[i];
        const int slot = add_slot(ir::Slot::Kind::temp, 0, dtype, partial_shape);
        partials[m].push_back(slot);
        writer_->store(results, writer_->temp(results, ir::Source::Kind::point_temp, temps_[m][i]),
                       slot, dtype, at);
      }
    }
    for (const int m : first) store(m);
    std::vector<int> both = first;
    for (const int m : second) {
      if (value(m).kind == ValueKind::reduction) both.push_back(m);
    }
    emit(both);

    frame_.block = 0;
    Dims over_blocks = points;
    over_blocks.push_back(blocks);
    begin(std::move(over_blocks), true, parallel);
    for (const int m : second) {
      if (value(m).kind != ValueKind::reduction) {
        compute(m);
        continue;
      }
      Stage& s = stage_of(0);
      std::vector<ScalarValue> loaded;
      for (std::size_t i = 0; i < partials[m].size(); ++i) {
        loaded.push_back(
            writer_->load(s, partials[m][i], value(m).reduce->accumulators[i], partial_at));
      }
      combine(s, m, loaded, false, true);
    }
    for (const int m : second) store(m);
    emit(second);
  }

  void contraction() {
    const std::vector<int> members = live_members();
    if (members.empty()) return;
    const int v = members.front();
    const Value& x = value(v);
    const std::size_t m = group_->batch_axes, n = m + group_->m_axes, end = n + group_->n_axes;
    frame_ = {{}, 0};
    for (std::size_t k = 0; k < m; ++k) frame_.ranges.emplace_back(k, k + 1);
    frame_.ranges.emplace_back(m, n);
    frame_.ranges.emplace_back(n, end);
    Dims axes = extents_of(frame_.ranges);
    Affine dense{0, dense_strides(axes)};
    for (std::size_t i = 0; i < axes.size(); ++i) {  // as in all maps, a unit axis has no stride
      if (is_unit(axes[i])) dense.strides[i] = 0;
    }
    const bool in_place = in_kernel(stored_at(x)).strides == dense.strides;
    const bool direct =
        in_place && (x.stored || x.target >= 0) && x.dtype == accumulator(x.dtype);
    const int result = direct ? v : epilogue_result(members, dense);
    if (result >= 0) dense.offset = in_kernel(stored_at(value(result))).offset;
    const int out = result >= 0 ? slot_of(result)
                                : add_slot(ir::Slot::Kind::temp, 0, accumulator(x.dtype), axes);
    begin(axes, false, m);
    fill_contraction(x, out, dense.offset);
    cost_[v] = 0;
    if (!direct || members.size() > 1) {
      Stage& s = stage_of(0);
      s.values[v] = s.builder.convert(writer_->load(s, out, accumulator(x.dtype), dense),
                                      accumulator(x.dtype), x.dtype);
      for (const int e : members) {
        if (e != v) compute(e);
      }
      for (const int e : members) {
        if (e != v || !direct) store(e);
      }
    }
    emit(members);
  }

  /// An epilogue's result that the raw product may lie in: written at each element after that was
  /// read. Not one that is to take over an input's storage, which the epilogue may still read.
  int epilogue_result(const std::vector<int>& members, const Affine& dense) const {
    for (const int e : members) {
      const Value& x = value(e);
      if (e == members.front() || (!x.stored && x.target < 0) ||
          x.dtype != accumulator(value(members.front()).dtype))
        continue;
      const bool taken = std::any_of(
          options_.donated.begin(), options_.donated.end(),
          [&](const auto& pair) { return f_.outputs[static_cast<std::size_t>(pair.first)] == e; });
      if (!taken && in_kernel(stored_at(x)).strides == dense.strides) return e;
    }
    return -1;
  }

  void fill_contraction(const Value& x, int out, const Dim& offset) {
    const Group& g = *group_;
    const std::size_t all = g.axes.size() + g.k_axes.size(), m = g.batch_axes, n = m + g.m_axes;
    const Affine a = element_of(f_.values, x.reads[0], all),
                 b = element_of(f_.values, x.reads[1], all);
    ir::Contraction& c = writer_->contraction();
    c.a = writer_->read_buffer(slot_of(x.reads[0].value), value(x.reads[0].value).dtype);
    c.b = writer_->read_buffer(slot_of(x.reads[1].value), value(x.reads[1].value).dtype);
    c.out = writer_->buffer(out, accumulator(x.dtype));
    writer_->mark_written(c.out);
    c.a_offset = a.offset, c.b_offset = b.offset, c.out_offset = offset;
    c.a_batch.assign(a.strides.begin(), a.strides.begin() + static_cast<std::ptrdiff_t>(m));
    c.b_batch.assign(b.strides.begin(), b.strides.begin() + static_cast<std::ptrdiff_t>(m));
    c.k = product(g.k_axes);
    c.a_m = a.strides[n - 1];
    if (g.gathers) {
      const auto part = [](const auto& list, std::size_t begin, std::size_t end) {
        const auto from = list.begin();
        return Dims(from + static_cast<std::ptrdiff_t>(begin),
                    from + static_cast<std::ptrdiff_t>(end));
      };
      const std::size_t k = g.axes.size();
      c.gather = {g.k_axes, part(a.strides, k, all), part(b.strides, k, all), part(g.axes, n, k),
                  part(b.strides, n, k)};
      c.winograd = g.winograd;
      return;
    }
    c.b_n = b.strides[n + g.n_axes - 1];
    c.a_k = g.k_axes.empty() ? Dim(0) : a.strides.back();
    c.b_k = g.k_axes.empty() ? Dim(0) : b.strides.back();
    unit_strides(writer_->axes()[m], c.k, c.a_m, c.a_k);
    unit_strides(writer_->axes()[m + 1], c.k, c.b_n, c.b_k);
  }

  /// An axis of one element may have any stride: one that makes a proper matrix.
  static void unit_strides(const Dim& rows, const Dim& depth, Dim& row_stride, Dim& depth_stride) {
    if (is_unit(depth)) depth_stride = row_stride == Dim(1) || is_unit(rows) ? rows : Dim(1);
    if (!is_unit(rows)) return;
    if (is_unit(depth)) depth_stride = 1;
    row_stride = depth_stride == Dim(1) ? depth : Dim(1);
  }

  void external() {
    const int v = group_->members.front();
    const Value& x = value(v);
    ir::ExternStep step;
    step.kind = std::get<ir::Extern>(x.node->op().meaning).kind;
    step.attrs = x.node->attrs();
    for (const int o : x.operands) step.inputs.push_back(o < 0 ? -1 : slot_of(o));
    step.outputs.push_back(slot_of(v));
    for (std::size_t i = 0; i < x.node->extra_types().size(); ++i) {
      const ir::Type& type = x.node->extra_types()[i];
      const int part = part_of(v, static_cast<int>(i) + 1);
      step.outputs.push_back(part >= 0 ? slot_of(part)
                             : ir::only_on_devices(step.kind)
                                 ? -1
                                 : add_slot(ir::Slot::Kind::temp, 0, *type.dtype, *type.shape));
    }
    step.may_fail = may_fail(step.kind);
    ir::Step done;
    done.what = std::move(step);
    done.where = x.node->where();
    done.label = x.node->op().name;
    plan_.steps.push_back(std::move(done));
  }

  int part_of(int v, int result) {
    if (parts_.empty()) {
      for (std::size_t p = 0; p < f_.values.size(); ++p) {
        const Value& x = f_.values[p];
        if (x.kind != ValueKind::part) continue;
        parts_[{x.operands[0], static_cast<int>(x.node->attrs().get<ir::GetAttrs>().index)}] =
            static_cast<int>(p);
      }
      parts_[{-1, -1}] = -1;
    }
    const auto found = parts_.find({v, result});
    return found == parts_.end() ? -1 : found->second;
  }

  static bool may_fail(ir::ExternKind kind) {
    switch (kind) {
      case ir::ExternKind::gather_rows:
      case ir::ExternKind::scatter_add_rows:
      case ir::ExternKind::gather:
      case ir::ExternKind::scatter_add:
      case ir::ExternKind::scatter:
      case ir::ExternKind::scatter_rows:
      case ir::ExternKind::count_bins:
      case ir::ExternKind::topk:
      case ir::ExternKind::cholesky:
      case ir::ExternKind::lu:
      case ir::ExternKind::qr:
      case ir::ExternKind::svd:
      case ir::ExternKind::eigh:
      case ir::ExternKind::eig:
      case ir::ExternKind::solve_triangular:
      case ir::ExternKind::random_distribution:
      case ir::ExternKind::callback: return true;
      case ir::ExternKind::random_uniform:
      case ir::ExternKind::random_normal:
      case ir::ExternKind::random_bernoulli:
      case ir::ExternKind::random_integer:
      case ir::ExternKind::sort:
      case ir::ExternKind::cumulate:
      case ir::ExternKind::searchsorted:
      case ir::ExternKind::nonzero:
      case ir::ExternKind::fold:
      case ir::ExternKind::fft:
      case ir::ExternKind::attention:
      case ir::ExternKind::attention_backward:
      case ir::ExternKind::result: return false;
    }
    return true;
  }

  // ---- steps ----

  void emit(const std::vector<int>& members) {
    WrittenKernel done = writer_->finish();
    ir::KernelStep step;
    step.slots = std::move(done.slots);
    step.symbols = std::move(done.symbols);
    const std::size_t h = hash(done.kernel);
    for (const int k : kernels_[h]) {
      if (plan_.kernels[static_cast<std::size_t>(k)] == done.kernel) {
        step.kernel = k;
        return add_step(std::move(step), members);
      }
    }
    step.kernel = static_cast<int>(plan_.kernels.size());
    kernels_[h].push_back(step.kernel);
    plan_.kernels.push_back(std::move(done.kernel));
    add_step(std::move(step), members);
  }

  void add_step(ir::KernelStep step, const std::vector<int>& members) {
    ir::Step done;
    done.what = std::move(step);
    done.where = value(members.back()).node->where();
    done.label = label(members);
    plan_.steps.push_back(std::move(done));
  }

  std::string label(const std::vector<int>& members) const {
    std::string text;
    std::size_t names = 0;
    const ir::Op* last = nullptr;
    for (const int m : members) {
      const ir::Op* op = &value(m).node->op();
      if (op == last) continue;
      last = op;
      if (names++ == label_names) return text + "+…";
      if (!text.empty()) text += '+';
      text += op->name;
    }
    return text;
  }

  const ir::Graph& graph_;
  const LowerOptions& options_;
  Fused f_;
  ir::Plan plan_;
  std::vector<int> slot_;  // of each value
  std::unordered_map<std::size_t, std::vector<int>> kernels_;
  std::map<std::pair<int, int>, int> parts_;

  // the group at hand
  const Group* group_ = nullptr;
  int group_number_ = 0;
  Frame frame_;
  ir::ReductionOrder order_ = ir::ReductionOrder::lanes;
  bool long_row_ = false;
  std::optional<KernelWriter> writer_;
  std::unordered_map<int, std::vector<int>> temps_;  // of reductions: the accumulators
  std::unordered_map<int, int> row_temp_, point_temp_, cost_;
};

}  // namespace

ir::Plan lower(const ir::Graph& graph, const LowerOptions& options) {
  return Lowering(graph, options).run();
}

}  // namespace weft::passes
