#include "passes/kernel_writer.h"

#include <algorithm>
#include <cassert>

#include "ir/error.h"

namespace weft::passes {

using ir::ScalarOp;
using ir::ScalarValue;

namespace {

std::size_t mix(std::size_t h, std::size_t x) { return (h ^ x) * 0x9e3779b97f4a7c15u + (h >> 29); }

DType held(DType t) { return t == DType::bfloat16 ? DType::uint16 : t; }

template <class F> void for_each_dim(ir::Kernel& k, F&& f) {
  for (Dim& d : k.axes) f(d);
  if (k.clip) f(*k.clip);
  for (ir::Access& a : k.accesses) {
    f(a.offset);
    for (Dim& d : a.strides) f(d);
  }
  if (!k.contraction) return;
  ir::Contraction& c = *k.contraction;
  for (Dim* d : {&c.a_offset, &c.b_offset, &c.out_offset}) f(*d);
  for (Dim& d : c.a_batch) f(d);
  for (Dim& d : c.b_batch) f(d);
  for (Dim* d : {&c.a_m, &c.a_k, &c.b_k, &c.b_n, &c.k}) f(*d);
  if (!c.gather) return;
  ir::Contraction::Gather& g = *c.gather;
  for (Dims* dims : {&g.k, &g.a_k, &g.b_k, &g.n, &g.b_n})
    for (Dim& d : *dims) f(d);
  if (!c.winograd) return;
  for (Dim* d : {&c.winograd->top, &c.winograd->left, &c.winograd->height, &c.winograd->width})
    f(*d);
}

std::size_t hash(const ir::ScalarProgram& p) {
  std::size_t h = p.code.size();
  for (const ir::ScalarInst& i : p.code) {
    h = mix(h, static_cast<std::size_t>(i.op) << 8 | static_cast<std::size_t>(i.dtype));
    h = mix(h, static_cast<std::size_t>(static_cast<std::uint32_t>(i.a)) << 32 |
                   static_cast<std::uint32_t>(i.b));
    h = mix(h, static_cast<std::size_t>(static_cast<std::uint32_t>(i.c)));
    h = mix(h, i.imm);
  }
  return h;
}

}  // namespace

std::size_t hash(const ir::Kernel& k) {
  std::size_t h = k.stages.size();
  for (const Dim& d : k.axes) h = mix(h, d.hash());
  for (const ir::KernelBuffer& b : k.buffers)
    h = mix(h, static_cast<std::size_t>(b.dtype) * 2 + b.written);
  for (const ir::Access& a : k.accesses) {
    h = mix(h, static_cast<std::size_t>(a.buffer) * 31 + a.offset.hash());
    for (const Dim& d : a.strides) h = mix(h, d.hash());
  }
  for (const ir::Stage& s : k.stages) h = mix(h, hash(s.body));
  return h;
}

KernelWriter::KernelWriter(Dims axes, bool has_row, std::size_t merge_limit)
    : merge_limit_(merge_limit) {
  kernel_.axes = std::move(axes);
  kernel_.has_row = has_row;
}

KernelWriter::Stage& KernelWriter::stage(int phase, bool over_row) {
  Stage& s = stages_[phase];
  s.over_row = over_row;
  return s;
}

int KernelWriter::buffer_of(int slot, bool ours, DType dtype) {
  const auto [it, fresh] =
      buffer_of_.emplace(2 * slot + (ours ? 1 : 0), static_cast<int>(kernel_.buffers.size()));
  if (fresh) {
    kernel_.buffers.push_back({dtype, false});
    slots_.push_back(slot);
  }
  return it->second;
}

int KernelWriter::access(int buffer, const Affine& at) {
  std::size_t h = mix(static_cast<std::size_t>(buffer), at.offset.hash());
  for (const Dim& d : at.strides) h = mix(h, d.hash());
  std::vector<int>& bucket = accesses_[h];
  for (const int a : bucket) {
    const ir::Access& other = kernel_.accesses[static_cast<std::size_t>(a)];
    if (other.buffer == buffer && other.offset == at.offset && other.strides == at.strides)
      return a;
  }
  bucket.push_back(static_cast<int>(kernel_.accesses.size()));
  kernel_.accesses.push_back({buffer, at.offset, at.strides});
  return bucket.back();
}

ScalarValue KernelWriter::load_from(Stage& s, int buffer, DType dtype, const Affine& at) {
  const int a = access(buffer, at);
  const auto next = static_cast<int>(s.sources.size());
  const auto [it, fresh] = s.source_number.emplace(std::pair(ir::Source::Kind::load, a), next);
  if (fresh) s.sources.push_back({ir::Source::Kind::load, a});
  return s.builder.input(it->second, dtype);
}

ScalarValue KernelWriter::temp(Stage& s, ir::Source::Kind kind, int id) {
  const auto next = static_cast<int>(s.sources.size());
  const auto [it, fresh] = s.source_number.emplace(std::pair(kind, id), next);
  if (fresh) s.sources.push_back({kind, id});
  const std::vector<DType>& temps =
      kind == ir::Source::Kind::row_temp ? kernel_.row_temps : kernel_.point_temps;
  return s.builder.input(it->second, temps[static_cast<std::size_t>(id)]);
}

ScalarValue KernelWriter::index(Stage& s, const Affine& at) {
  const auto known = [](const Dim& d) {
    if (!d.is_constant()) throw UnsupportedOp("coordinates through a view with unknown extents");
    return d.value();
  };
  ScalarValue sum = s.builder.constant_int(DType::int64, known(at.offset));
  for (std::size_t i = 0; i < at.strides.size(); ++i) {
    if (at.strides[i] == Dim(0)) continue;
    const ScalarValue stride = s.builder.constant_int(DType::int64, known(at.strides[i]));
    sum = sum + s.builder.index(static_cast<int>(i)) * stride;
  }
  return sum;
}

int KernelWriter::output(Stage& s, ScalarValue value) {
  const auto [it, fresh] = s.output_number.emplace(value.id(), static_cast<int>(s.outputs.size()));
  if (fresh) s.outputs.push_back(value);
  return it->second;
}

void KernelWriter::store(Stage& s, ScalarValue value, int slot, DType dtype, const Affine& at) {
  const int b = buffer(slot, dtype);
  mark_written(b);
  s.sinks.push_back({ir::Sink::Kind::store, output(s, value), access(b, at)});
}

int KernelWriter::add_point_temp(DType dtype) {
  kernel_.point_temps.push_back(held(dtype));
  return static_cast<int>(kernel_.point_temps.size()) - 1;
}

int KernelWriter::add_row_temp(DType dtype) {
  kernel_.row_temps.push_back(held(dtype));
  return static_cast<int>(kernel_.row_temps.size()) - 1;
}

WrittenKernel KernelWriter::finish() {
  for (auto& [phase, s] : stages_) {
    if (s.sinks.empty() && s.reductions.empty()) continue;
    ir::Stage done;
    done.over_row = s.over_row;
    done.body = s.builder.finish(s.outputs);
    done.sources = std::move(s.sources);
    done.sinks = std::move(s.sinks);
    done.reductions = std::move(s.reductions);
    kernel_.stages.push_back(std::move(done));
  }
  kernel_.contraction = std::move(contraction_);
  merge_axes();
  number_buffers();
  std::vector<Dim> symbols = name_symbols();
  return {std::move(kernel_), std::move(slots_), std::move(symbols)};
}

/// Removes `axis`; where it was merged, coordinate and strides of the pair are those of `axis`,
/// kept at `into`.
void KernelWriter::drop_axis(std::size_t axis, std::optional<std::size_t> into) {
  const auto at = static_cast<std::ptrdiff_t>(axis);
  const auto drop = [&](Dims& strides) {
    if (into) strides[*into] = strides[axis];
    strides.erase(strides.begin() + at);
  };
  if (into) kernel_.axes[*into] = kernel_.axes[*into] * kernel_.axes[axis];
  kernel_.axes.erase(kernel_.axes.begin() + at);
  for (ir::Access& a : kernel_.accesses) drop(a.strides);
  if (kernel_.contraction) {
    drop(kernel_.contraction->a_batch);
    drop(kernel_.contraction->b_batch);
  }
  for (ir::Stage& s : kernel_.stages) {
    for (ir::ScalarInst& inst : s.body.code) {
      if (inst.op == ScalarOp::index && inst.imm > axis) --inst.imm;
    }
  }
}

void KernelWriter::merge_axes() {
  std::vector<char> indexed(kernel_.axes.size(), 0);
  for (const ir::Stage& s : kernel_.stages) {
    for (const ir::ScalarInst& inst : s.body.code) {
      if (inst.op == ScalarOp::index) indexed[inst.imm] = 1;
    }
  }
  const auto walked_as_one = [&](std::size_t i) {
    const auto one = [&](const Dims& strides) {
      return strides[i] == strides[i + 1] * kernel_.axes[i + 1];
    };
    for (const ir::Access& a : kernel_.accesses) {
      if (!one(a.strides)) return false;
    }
    return !kernel_.contraction ||
           (one(kernel_.contraction->a_batch) && one(kernel_.contraction->b_batch));
  };
  for (std::size_t i = merge_limit_; i-- > 0;) {
    if (indexed[i] != 0) continue;
    const bool only = kernel_.axes.size() == 1 && !kernel_.has_row;
    if (is_unit(kernel_.axes[i]) && !only) {
      drop_axis(i, std::nullopt);
      indexed.erase(indexed.begin() + static_cast<std::ptrdiff_t>(i));
      --merge_limit_;
    } else if (i + 1 < merge_limit_ && indexed[i + 1] == 0 && walked_as_one(i)) {
      drop_axis(i + 1, i);
      indexed.erase(indexed.begin() + static_cast<std::ptrdiff_t>(i) + 1);
      --merge_limit_;
    }
  }
}

void KernelWriter::number_buffers() {
  // Accesses that a dead instruction asked for are gone from the programs' needs, but stand: keep
  // what is used.
  std::vector<int> order;
  for (const bool written : {false, true}) {
    for (std::size_t b = 0; b < kernel_.buffers.size(); ++b) {
      if (kernel_.buffers[b].written == written) order.push_back(static_cast<int>(b));
    }
  }
  std::vector<int> number(order.size());
  std::vector<ir::KernelBuffer> buffers;
  std::vector<int> slots;
  for (std::size_t i = 0; i < order.size(); ++i) {
    const auto old = static_cast<std::size_t>(order[i]);
    number[old] = static_cast<int>(i);
    buffers.push_back(kernel_.buffers[old]);
    slots.push_back(slots_[old]);
  }
  const auto renumber = [&](int& b) { b = number[static_cast<std::size_t>(b)]; };
  for (ir::Access& a : kernel_.accesses) renumber(a.buffer);
  if (kernel_.contraction) {
    for (int* b : {&kernel_.contraction->a, &kernel_.contraction->b, &kernel_.contraction->out})
      renumber(*b);
  }
  kernel_.buffers = std::move(buffers);
  slots_ = std::move(slots);
}

std::vector<Dim> KernelWriter::name_symbols() {
  std::vector<std::string> names;
  bool unknown = false;
  for_each_dim(kernel_, [&](Dim& d) {
    if (d.is_constant()) return;
    unknown = true;
    d.collect_symbols(names);
  });
  kernel_.symbols = static_cast<int>(names.size());
  std::vector<Dim> symbols;
  for (const std::string& name : names) symbols.push_back(Dim::symbol(name));
  if (!unknown) return symbols;
  const auto renamed = [&](std::string_view name) -> std::optional<Dim> {
    const auto at = std::find(names.begin(), names.end(), name) - names.begin();
    return Dim::symbol("s" + std::to_string(at));
  };
  for_each_dim(kernel_, [&](Dim& d) {
    if (!d.is_constant()) d = d.substitute(renamed);
  });
  return symbols;
}

}  // namespace weft::passes
