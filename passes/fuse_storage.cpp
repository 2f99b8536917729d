// Results, and which values are stored: those that later groups read and do not compute again.
#include "passes/fuser.h"

#include <algorithm>

namespace weft::passes {

void Fuser::place_outputs() {
  for (const ir::NodeRef& out : graph_.outputs()) results_.insert(*number_.find(out.get()));
  find_externals();
  std::unordered_set<int> taken;
  for (const ir::NodeRef& out : graph_.outputs()) {
    int v = *number_.find(out.get());
    v = value(v).kind == ValueKind::view ? output_view(v) : dense(v);
    const ValueKind kind = value(v).kind;
    const bool own_buffer =
        kind != ValueKind::input && kind != ValueKind::constant && kind != ValueKind::scalar;
    if (own_buffer && !taken.insert(v).second) {  // the same value again
      v = add_copy(v, identity_order(value(v).shape->size()), value(v).dtype);
    }
    f_.outputs.push_back(v);
    results_.insert(v);
  }
}

void Fuser::find_externals() {
  for (std::size_t v = 0; v < f_.values.size(); ++v) {
    const Value& x = f_.values[v];
    if (x.kind != ValueKind::external && x.kind != ValueKind::part) continue;
    externals_.insert(static_cast<int>(v));
    externals_.insert(x.operands.begin(), x.operands.end());
  }
}

int Fuser::output_view(int v) {
  int base = v;
  while (value(base).kind == ValueKind::view && !value(base).view && value(base).copy < 0) {
    base = value(base).operands[0];
  }
  const ValueKind kind = value(base).kind;
  const bool computed = kind == ValueKind::pointwise || kind == ValueKind::reduction ||
                        kind == ValueKind::contraction || kind == ValueKind::regions;
  if (!computed || externals_.contains(base) || (value(base).free && !value(base).kept) ||
      value(v).copy >= 0 || !results_.insert(base).second)
    return copy_of(v);
  return base;
}

void Fuser::settle_storage() {
  for (const int v : f_.outputs) pin(v);
  readers_.resize(f_.values.size());
  inlined_readers_.resize(f_.values.size());
  for (std::size_t g = f_.groups.size(); g-- > 0;) {
    const Group& at = f_.groups[g];
    if (options_.fuse) store_sources(at);
    for (std::size_t i = at.members.size(); i-- > 0;) {
      const int m = at.members[i];
      if (value(m).stored || !is_read(m)) continue;
      if (!options_.fuse || !recompute(m)) {
        value(m).stored = true;
        continue;
      }
      readers_[static_cast<std::size_t>(m)].clear();
      inlined_readers_[static_cast<std::size_t>(m)].clear();
    }
    note_reads(at);
  }
}

void Fuser::store_sources(const Group& g) {
  std::map<int, double> followers;  // bytes of what later groups read and follows from one member
  for (const int m : g.members) {
    const Value& x = value(m);
    if (x.kind != ValueKind::pointwise || x.stored || x.target >= 0 || x.reads.empty() ||
        readers_[static_cast<std::size_t>(m)].empty() || instructions_of(x) > free_instructions)
      continue;
    int source = -1;
    bool only = true;
    for (const Read& r : x.reads) {
      if (value(r.value).kind == ValueKind::scalar) continue;
      only = only && r.inside && (source < 0 || source == r.value);
      source = r.value;
    }
    if (only && source >= 0 && bytes(m) >= bytes(source)) followers[source] += bytes(m);
  }
  for (const auto& [source, saved] : followers) {
    Value& x = value(source);
    if (x.kind == ValueKind::pointwise && x.along_row && x.target < 0 && saved > bytes(source))
      x.stored = true;
  }
}

void Fuser::note_reads(const Group& g) {
  if (g.kind == GroupKind::external) {
    for (const int o : value(g.members.front()).operands) {
      if (o >= 0) pin(o);
    }
    return;
  }
  std::unordered_set<int> inside;
  for (std::size_t i = g.members.size(); i-- > 0;) {
    const int m = g.members[i];
    const Value& x = value(m);
    if (!x.stored && x.target < 0 && !inside.contains(m)) continue;
    for (std::size_t k = 0; k < x.reads.size(); ++k) {
      const Read& r = x.reads[k];
      if (r.inside)
        inside.insert(r.value);
      else if (r.inlined)
        pin_inlined(r, x.group);
      else if (r.flat || x.kind == ValueKind::contraction)
        pin(r.value);
      else
        readers_[static_cast<std::size_t>(r.value)].emplace_back(m, k);
    }
  }
}

void Fuser::pin_inlined(const Read& read, int g, int above, int times) {
  const Value& x = value(read.value);
  above += static_cast<int>(x.body->program.code.size());
  const Dims& axes = group(g).axes;
  for (std::size_t i = 0; i < x.operands.size(); ++i) {
    const MapRef at = operand_map(f_.values, x, i, read.map, axes.size());
    const std::optional<Read> r = resolve(f_.values, x.operands[i], at, axes, g);
    if (r->inlined)
      pin_inlined(*r, g, above, times);
    else if (r->flat || value(r->value).kind != ValueKind::pointwise)
      pin(r->value);
    else
      add_inlined_reader(r->value, {g, r->map, above, times});
  }
}

void Fuser::add_inlined_reader(int v, InlinedReader reader) {
  auto& all = inlined_readers_[static_cast<std::size_t>(v)];
  const auto same = std::ranges::find_if(all, [&](const InlinedReader& other) {
    return other.group == reader.group && same_map(other.map, reader.map);
  });
  if (same == all.end()) return all.push_back(std::move(reader));
  same->above = std::max(same->above, reader.above);
  same->times += reader.times;
}

bool Fuser::add_again(int v, Again& all) {
  const Value& x = value(v);
  if (x.kind != ValueKind::pointwise || x.target >= 0) return false;
  all.instructions += static_cast<int>(x.body->program.code.size());
  if (all.instructions > free_instructions) return false;
  for (const Read& r : x.reads) {
    const Value& from = value(r.value);
    const bool in_memory = !r.inside || from.stored || !from.along_row || is_read(r.value);
    if (r.inlined) {
      for (const int leaf : from.leaves) all.read.insert(leaf);
    } else if (in_memory) {
      if (from.kind != ValueKind::scalar) all.read.insert(r.value);
    } else {
      if (!add_again(r.value, all)) return false;
      all.with.push_back(r.value);
    }
  }
  return true;
}

std::set<int> Fuser::read_by(const Group& g) {
  std::set<int> read;
  for (const int m : g.members) {
    for (const Read& r : value(m).reads) {
      if (r.inlined)
        read.insert(value(r.value).leaves.begin(), value(r.value).leaves.end());
      else if (!r.inside)
        read.insert(r.value);
    }
  }
  return read;
}

bool Fuser::recompute(int v) {
  const auto& readers = readers_[static_cast<std::size_t>(v)];
  const std::vector<InlinedReader> inlined = inlined_readers_[static_cast<std::size_t>(v)];
  Again all;
  if (!add_again(v, all)) return false;
  int above = 0, times = 0;
  for (const InlinedReader& reader : inlined) {
    above = std::max(above, reader.above);
    times += reader.times;
  }
  if (above + times * all.instructions > free_instructions) return false;
  std::set<int> groups;
  for (const auto& [m, k] : readers) groups.insert(value(m).group);
  for (const InlinedReader& reader : inlined) groups.insert(reader.group);
  double again = 0;
  std::map<int, int> more;  // buffers that a group reads
  for (const int g : groups) {
    const std::set<int> anyway = read_by(group(g));
    for (const int leaf : all.read) {
      if (anyway.contains(leaf)) continue;
      again += bytes(leaf);
      ++more[g];
    }
  }
  for (const auto& [g, buffers] : more)
    if (group(g).buffers + buffers > options_.max_buffers) return false;
  if (again > bytes(v) * static_cast<double>(1 + groups.size())) return false;
  std::erase_if(all.with, [&](int inner) { return value(inner).free; });  // others need it so
  for (const int inner : all.with) {
    value(inner).free = true;
    value(inner).leaves.assign(all.read.begin(), all.read.end());
  }
  const auto can_in = [&](int g, const MapRef& map) {
    return can_inline(v, map, group(g).axes, g);
  };
  const bool can = std::ranges::all_of(readers,
                                       [&](const auto& reader) {
                                         const Value& m = value(reader.first);
                                         return can_in(m.group, m.reads[reader.second].map);
                                       }) &&
                   std::ranges::all_of(inlined, [&](const InlinedReader& reader) {
                     return can_in(reader.group, reader.map);
                   });
  if (!can) {
    for (const int inner : all.with) value(inner).free = false;
    return false;
  }
  for (const auto& [m, k] : readers) {
    value(m).reads[k].inlined = true;
    pin_inlined(value(m).reads[k], value(m).group);
  }
  for (const auto& [g, buffers] : more) group(g).buffers += buffers;
  if (inlined.empty()) return true;
  value(v).free = true;  // what reads it is resolved once more
  value(v).kept = false;
  value(v).leaves.assign(all.read.begin(), all.read.end());
  for (const InlinedReader& reader : inlined)
    pin_inlined({.value = v, .inlined = true, .map = reader.map}, reader.group, reader.above,
                reader.times);
  return true;
}

double Fuser::bytes(int v) {
  double n = static_cast<double>(size_of(value(v).dtype));
  for (const Dim& d : *value(v).shape) n *= d.is_constant() ? static_cast<double>(d.value()) : 1000;
  return n;
}

}  // namespace weft::passes
