#include "passes/operand_sums.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <map>
#include <optional>

#include "ir/product_end.h"
#include "ir/scalar_comparison.h"

namespace weft::passes {
namespace {

using ir::Access, ir::Kernel, ir::KernelStep, ir::OperandSum, ir::Plan;
using ir::ScalarBuilder, ir::ScalarProgram, ir::ScalarValue;

/// Each input converted to an output of its own.
ScalarProgram conversions(std::span<const DType> from, std::span<const DType> to) {
  ScalarBuilder b;
  std::vector<ScalarValue> outputs;
  for (std::size_t i = 0; i < from.size(); ++i)
    outputs.push_back(b.convert(b.input(static_cast<int>(i), from[i]), from[i], to[i]));
  return b.finish(outputs);
}

bool adds(const ir::KernelReduction& r, DType t) {
  ScalarBuilder b;
  const ScalarValue left = b.input(0, t), right = b.input(1, t);
  const ScalarProgram sum = b.finish(std::array{left + right});
  return is_floating(t) && r.identity == std::vector<std::uint64_t>{0} &&
         ir::ScalarComparison(r.combine, sum).same_output(0, 0);
}

/// What a kernel does that sums along its row axis and nothing else; it may do several at once.
struct PlainSum {
  const Access *read = nullptr, *write = nullptr;
  bool partial = false, second_level = false;
};

class PlainSums {
 public:
  explicit PlainSums(const Kernel& k) : k_(k) {}

  /// None where the kernel does something else.
  std::vector<PlainSum> find() {
    if (k_.contraction || !k_.has_row || k_.stages.size() != 2 || !are_two_stages()) return {};
    const ir::Stage &over = k_.stages[0], &after = k_.stages[1];
    std::vector<DType> read, summed, written;
    for (const ir::Source& source : over.sources) read.push_back(dtype(source.id));
    for (const ir::Sink& sink : after.sinks) written.push_back(dtype(sink.id));
    for (const ir::Source& source : after.sources)
      summed.push_back(k_.point_temps[static_cast<std::size_t>(source.id)]);
    if (read.size() != summed.size() || written.size() != summed.size()) return {};
    const ScalarProgram before = conversions(read, summed), end = conversions(summed, written);
    ir::ScalarComparison lifted(over.body, before), lowered(after.body, end);
    std::vector<PlainSum> sums;
    for (std::size_t i = 0; i < summed.size(); ++i) {
      const ir::KernelReduction& r = over.reductions[i];
      if (r.temps != std::vector<int>{after.sources[i].id} || r.outputs.size() != 1 ||
          !adds(r, summed[i]) || !lifted.same_output(r.outputs[0], i) ||
          !lowered.same_output(after.sinks[i].output, i))
        return {};
      sums.push_back({&access(over.sources[i].id), &access(after.sinks[i].id), r.partial,
                      r.second_level});
    }
    return sums;
  }

 private:
  /// One that reads and sums, one that stores what was summed.
  [[nodiscard]] bool are_two_stages() const {
    const ir::Stage &over = k_.stages[0], &after = k_.stages[1];
    using Source = ir::Source::Kind;
    const auto is = [](Source kind) {
      return [kind](const ir::Source& source) { return source.kind == kind; };
    };
    return over.over_row && over.sinks.empty() && !after.over_row && after.reductions.empty() &&
           over.reductions.size() == after.sources.size() &&
           std::ranges::all_of(over.sources, is(Source::load)) &&
           std::ranges::all_of(after.sources, is(Source::point_temp)) &&
           std::ranges::all_of(after.sinks, [](const ir::Sink& sink) {
             return sink.kind == ir::Sink::Kind::store;
           });
  }
  [[nodiscard]] const Access& access(int id) const {
    return k_.accesses[static_cast<std::size_t>(id)];
  }
  [[nodiscard]] DType dtype(int id) const {
    return k_.buffers[static_cast<std::size_t>(access(id).buffer)].dtype;
  }

  const Kernel& k_;
};

/// In the plan's unknowns.
Dim of_plan(const KernelStep& step, const Dim& dim) {
  if (dim.is_constant()) return dim;
  return dim.substitute([&](std::string_view symbol) -> std::optional<Dim> {
    std::size_t number = 0;
    std::from_chars(symbol.data() + 1, symbol.data() + symbol.size(), number);
    return step.symbols[number];
  });
}

/// An operand, or what a sum reads: `own` elements apart by `own_stride`, of `length` terms each.
struct Columns {
  int slot = 0;
  Dim offset, own, own_stride, length, stride;
  friend bool operator==(const Columns&, const Columns&) = default;
};

class OperandSums {
 public:
  explicit OperandSums(Plan& plan)
      : plan_(plan),
        sums_of_(plan.slots.size()),
        given_(plan.slots.size(), 0),
        first_read_(plan.slots.size(), std::numeric_limits<int>::max()) {
    for (std::size_t o = 0; o < plan.outputs.size(); ++o)  // written over an input: in its own step
      if (plan.donated[o] >= 0) given_[static_cast<std::size_t>(plan.outputs[o])] = 1;
  }

  void run() {
    if (std::ranges::none_of(plan_.kernels, gives_sums)) return;
    std::vector<std::vector<PlainSum>> plain;
    for (const Kernel& k : plan_.kernels) plain.push_back(PlainSums(k).find());
    for (std::size_t i = 0; i < plan_.steps.size(); ++i) {
      const auto number = static_cast<int>(i);
      for_each_slot(plan_, plan_.steps[i], [&](int s, bool written) {
        int& first = first_read_[static_cast<std::size_t>(s)];
        if (!written) first = std::min(first, number);
      });
      const auto* step = std::get_if<KernelStep>(&plan_.steps[i].what);
      if (!step) continue;
      const auto& sums = plain[static_cast<std::size_t>(step->kernel)];
      for (const PlainSum& sum : sums)
        sums_of_[slot(*step, *sum.read)].push_back({number, step, sum});
      in_step_[number] = sums.size();
    }
    for (std::size_t i = 0; i < plan_.steps.size(); ++i) {
      const auto* step = std::get_if<KernelStep>(&plan_.steps[i].what);
      if (step && gives_sums(kernel_of(plan_, *step))) find(static_cast<int>(i), *step);
    }
    drop_parts();
  }

 private:
  struct SumStep {
    int number;
    const KernelStep* step;
    PlainSum sum;
  };

  static std::size_t slot(const KernelStep& step, const Access& access) {
    return static_cast<std::size_t>(step.slots[static_cast<std::size_t>(access.buffer)]);
  }

  /// With nothing after it but what a library adds: of ends it has one or these sums.
  static bool gives_sums(const Kernel& k) {
    if (!k.contraction || k.axes.size() != 2 || !ir::suits_library(k)) return false;
    if (k.stages.empty()) return true;
    const auto end = ir::find_product_end(k);
    return end && end->kind == ir::ProductEnd::Kind::none && end->bias < 0;
  }

  void find(int product, const KernelStep& step) {
    const Kernel& k = kernel_of(plan_, step);
    const ir::Contraction& c = *k.contraction;
    for (const bool of_b : {true, false}) {
      // A library sums what lies so that the terms of all sums are neighbours.
      if (!((of_b ? c.b_n : c.a_m) == Dim(1))) continue;
      const auto dim = [&](const Dim& d) { return of_plan(step, d); };
      const Columns operand{step.slots[static_cast<std::size_t>(of_b ? c.b : c.a)],
                            dim(of_b ? c.b_offset : c.a_offset),
                            dim(k.axes[of_b ? 1 : 0]),
                            1,
                            dim(c.k),
                            dim(of_b ? c.b_k : c.a_k)};
      for (const SumStep& sum : sums_of_[static_cast<std::size_t>(operand.slot)])
        if (take(product, of_b, operand, sum)) return;
    }
  }

  bool take(int product, bool of_b, const Columns& operand, const SumStep& first) {
    OperandSum found{product, of_b, {first.number}, 0};
    const SumStep* last = &first;
    if (first.sum.partial) {
      const auto& next = sums_of_[slot(*first.step, *first.sum.write)];
      if (next.size() != 1 || !next[0].sum.second_level || !follows(first, next[0])) return false;
      last = &next[0];
      found.steps.push_back(last->number);
    } else if (first.sum.second_level) {
      return false;
    }
    const Access& write = *last->sum.write;
    if (columns_of(first) != operand || !(write.offset == Dim(0)) ||
        !(write.strides[0] == Dim(1)))
      return false;
    const std::size_t out = slot(*last->step, write);
    if (given_[out] != 0 || first_read_[out] <= product) return false;
    given_[out] = 1;
    found.out = static_cast<int>(out);
    plan_.operand_sums.push_back(std::move(found));
    return true;
  }

  /// What it sums; none where its axes are others.
  [[nodiscard]] std::optional<Columns> columns_of(const SumStep& s) const {
    const Kernel& k = kernel_of(plan_, *s.step);
    const Access& read = *s.sum.read;
    const std::size_t row = k.axes.size() - 1;
    if (k.axes.size() != (s.sum.partial ? 3U : 2U)) return std::nullopt;
    if (s.sum.partial && !(k.clip && read.strides[1] == k.axes[row] * read.strides[row]))
      return std::nullopt;
    const auto dim = [&](const Dim& d) { return of_plan(*s.step, d); };
    return Columns{static_cast<int>(slot(*s.step, read)),
                   dim(read.offset),
                   dim(k.axes[0]),
                   dim(read.strides[0]),
                   dim(s.sum.partial ? *k.clip : k.axes[row]),
                   dim(read.strides[row])};
  }

  /// Whether the second level sums the blocks of the first.
  [[nodiscard]] bool follows(const SumStep& first, const SumStep& second) const {
    const Kernel& k = kernel_of(plan_, *first.step);
    if (k.axes.size() != 3) return false;
    const Access& write = *first.sum.write;
    const auto dim = [&](const Dim& d) { return of_plan(*first.step, d); };
    return columns_of(second) == Columns{static_cast<int>(slot(*first.step, write)),
                                         dim(write.offset),
                                         dim(k.axes[0]),
                                         dim(write.strides[0]),
                                         dim(k.axes[1]),
                                         dim(write.strides[1])};
  }

  /// Steps that do several sums have nothing left to do only when products give them all: others
  /// are not asked for.
  void drop_parts() {
    std::map<std::vector<int>, std::size_t> count;
    for (const OperandSum& sum : plan_.operand_sums) ++count[sum.steps];
    std::erase_if(plan_.operand_sums, [&](const OperandSum& sum) {
      return std::ranges::any_of(sum.steps,
                                 [&](int step) { return in_step_[step] != count[sum.steps]; });
    });
  }

  Plan& plan_;
  std::vector<std::vector<SumStep>> sums_of_;  // of each slot
  std::vector<char> given_;                    // slots that no product gives (any more)
  std::vector<int> first_read_;                // step
  std::map<int, std::size_t> in_step_;         // how many sums each of those steps does
};

}  // namespace

void find_operand_sums(Plan& plan) { OperandSums(plan).run(); }

}  // namespace weft::passes
