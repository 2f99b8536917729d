// Where a row kernel keeps what several of its stages need.
#include <algorithm>
#include <span>

#include "codegen/cuda/column_text.h"
#include "codegen/cuda/row_text.h"

namespace weft::codegen {

using ir::Kernel;
using ir::KernelReduction;
using Mapping = CudaSchedule::Mapping;
using Place = RowStorage::Place;

namespace {

/// An array with an element for each that a thread has of a row, from its first stage to its last.
struct Span {
  std::size_t first = SIZE_MAX, last = 0;
  int words = 1;
  void meet(std::size_t stage) { first = std::min(first, stage), last = std::max(last, stage); }
};

int words_of(DType t) { return size_of(t) > 4 ? 2 : 1; }

/// Registers that they take in the pause between two stages that needs most.
int registers_for(const std::vector<Span>& spans, std::size_t stages, int elements) {
  int most = 0;
  for (std::size_t pause = 0; pause + 1 < stages; ++pause) {
    int words = 0;
    for (const Span& s : spans)
      words += s.first <= pause && pause < s.last ? s.words * elements : 0;
    most = std::max(most, words);
  }
  return most;
}

std::vector<Span> row_temp_spans(const Kernel& k) {
  std::vector<Span> spans;
  for (const DType t : k.row_temps) spans.push_back({.words = words_of(t)});
  for (std::size_t i = 0; i < k.stages.size(); ++i) {
    for (const ir::Sink& s : k.stages[i].sinks)
      if (s.kind == ir::Sink::Kind::row_temp) spans[static_cast<std::size_t>(s.id)].meet(i);
    for (const ir::Source& s : k.stages[i].sources)
      if (s.kind == ir::Source::Kind::row_temp) spans[static_cast<std::size_t>(s.id)].meet(i);
  }
  return spans;
}

/// Accesses that several stages read along the row: where they would be kept.
std::vector<std::pair<int, Span>> rereads(const Kernel& k) {
  std::vector<std::pair<int, Span>> found;
  for (std::size_t a = 0; a < k.accesses.size(); ++a) {
    const ir::Access& access = k.accesses[a];
    if (k.buffers[static_cast<std::size_t>(access.buffer)].written ||
        access.strides.back() == Dim(0))
      continue;
    Span span{.words = words_of(element_type(k, static_cast<int>(a)))};
    for (std::size_t i = 0; i < k.stages.size(); ++i) {
      const auto& sources = k.stages[i].sources;
      for (std::size_t n = 0; n < sources.size(); ++n) {
        if (k.stages[i].over_row && sources[n].kind == ir::Source::Kind::load &&
            sources[n].id == static_cast<int>(a) && reads_input(k.stages[i].body, n))
          span.meet(i);
      }
    }
    if (span.first < span.last) found.emplace_back(static_cast<int>(a), span);
  }
  return found;
}

/// Of a row, that a thread has; 0 where that is not known, or too many to write out one by one.
int elements_each(const Kernel& k, const CudaSchedule& s) {
  const auto row = k.axes.back().constant();
  if (!row || *row == 0) return 0;
  std::int64_t elements = 0;
  if (s.mapping == Mapping::thread) {
    elements = *row <= 32 ? *row : 0;
  } else if (has_one_level(k)) {
    elements = (*row + ir::lane_count - 1) / ir::lane_count * (ir::lane_count / s.team);
  } else if (s.team == 64 && *row <= s.parts * ir::lane_block) {
    elements = ir::lane_block / ir::lane_count;
  }
  std::int64_t instructions = 0;
  for (const ir::Stage& stage : k.stages)
    instructions += stage.over_row ? static_cast<std::int64_t>(stage.body.code.size()) : 0;
  constexpr std::int64_t most = 64, most_instructions = 6000;
  const bool few = elements <= most && elements * instructions <= most_instructions;
  return few ? static_cast<int>(elements) : 0;
}

}  // namespace

std::int64_t sum_bytes(const Kernel& k, int of) {
  constexpr std::int64_t each = 33, padding = 32;  // 32 of the second level and a result
  std::int64_t bytes = 0;
  for (const ir::Stage& s : k.stages) {
    for (const KernelReduction& r : s.reductions) {
      for (const DType t : std::span(r.combine.inputs).first(r.temps.size()))
        bytes += of * each * static_cast<std::int64_t>(size_of(t)) + padding;
    }
  }
  return bytes;
}

bool has_one_level(const Kernel& k) {
  const auto row = k.axes.back().constant();
  bool one = row && *row <= ir::lane_block;
  for (const ir::Stage& s : k.stages) {
    for (const KernelReduction& r : s.reductions) one = one || r.partial || r.second_level;
  }
  return one;
}

RowStorage row_storage(const Kernel& k, const CudaSchedule& s) {
  RowStorage storage;
  if (!k.has_row) return storage;
  const int elements = elements_each(k, s);
  // A thread's registers, without those that the work itself takes.
  const int registers = std::min(256, 65536 / s.threads) - (s.threads > 256 ? 48 : 120);
  std::vector<Span> spans = row_temp_spans(k);
  const auto fit = [&] { return registers_for(spans, k.stages.size(), elements) <= registers; };
  const bool temps_fit = elements > 0 && fit();
  if (!k.row_temps.empty()) storage.place = temps_fit ? Place::registers : Place::scratch;
  const auto row = k.axes.back().constant();
  if (storage.place == Place::scratch && row && s.mapping == Mapping::lanes && s.team > 1) {
    std::int64_t bytes = 0;
    for (const DType t : k.row_temps) bytes += static_cast<std::int64_t>(size_of(t)) * *row;
    constexpr std::int64_t padding = 16;  // an array
    bytes = bytes * s.rows_at_once() + padding * static_cast<std::int64_t>(k.row_temps.size());
    const std::int64_t taken =
        total_bytes(k) + (s.team == 64 ? sum_bytes(k, s.parts * s.teams) : 0);
    if (bytes <= shared_room - taken) storage.place = Place::shared;
  }
  if (storage.place != Place::registers) spans.clear();
  if (elements > 0) {
    for (const auto& [access, span] : rereads(k)) {
      spans.push_back(span);
      if (fit())
        storage.held.push_back(access);
      else
        spans.pop_back();
    }
  }
  if (storage.place == Place::registers || !storage.held.empty()) storage.elements = elements;
  if (row && *row > 0) {
    const bool one = s.mapping == Mapping::thread || has_one_level(k);
    storage.whole = *row % (one ? ir::lane_count : s.parts * ir::lane_block) == 0;
  }
  storage.registers = registers_for(spans, k.stages.size(), storage.elements);
  return storage;
}

}  // namespace weft::codegen
