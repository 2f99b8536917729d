#include "passes/step_chains.h"

#include <algorithm>
#include <cstdio>
#include <unordered_map>
#include <unordered_set>

#include "passes/plan_steps.h"
#include "passes/step_pieces.h"

namespace weft::passes {
namespace {

using ir::Plan;
using ir::Slot;
using ir::StepGroup;

constexpr int longest = 256;            // steps
constexpr std::int64_t least_rows = 8;  // of a product, a share
constexpr std::int64_t least_shares = 4;
/// Rough, for all machines alike.
constexpr double flop_ns = 0.01, byte_ns = 0.05;
constexpr double most_of_step = 200'000, least_of_chain = 30'000, least_of_share = 8'000;  // ns

std::int64_t up(std::int64_t n, std::int64_t by) { return (n + by - 1) / by; }

class Chaining {
 public:
  Chaining(Plan& plan, const Caches& caches) : plan_(plan), caches_(caches) {}

  void run() {
    prepare();
    std::vector<StepGroup> chains;
    std::size_t group = 0;
    for (int at = 0; at < steps();) {
      if (group < plan_.groups.size() && plan_.groups[group].first == at) {
        at = plan_.groups[group++].end;
        continue;
      }
      const int limit = group < plan_.groups.size() ? plan_.groups[group].first : steps();
      at = chain(at, std::min(limit, at + longest), chains);
    }
    plan_.groups.insert(plan_.groups.end(), chains.begin(), chains.end());
    std::ranges::sort(plan_.groups, {}, &StepGroup::first);
  }

 private:
  /// What some step does with elements `low` to `high` of a slot.
  struct Use {
    std::int64_t low = 0, high = 0;
    std::optional<PieceReach> piece;
    bool keeps = false;  // to the slot's own pieces
  };
  struct Uses {
    std::vector<Use> reads, writes;
  };

  int steps() const { return static_cast<int>(plan_.steps.size()); }
  const CutStep* cut(int s) const {
    const auto& c = cuts_[static_cast<std::size_t>(s)];
    return c ? &*c : nullptr;
  }
  const Slot& slot(int s) const { return plan_.slots[static_cast<std::size_t>(s)]; }
  std::int64_t elements(int s) const {
    const Dim n = product(slot(s).shape);
    return n.is_constant() ? n.value() : 0;
  }

  void prepare() {
    users_.assign(plan_.slots.size(), {steps(), -1});
    for (std::size_t o = 0; o < plan_.donated.size(); ++o)
      if (plan_.donated[o] >= 0) donated_.insert(plan_.outputs[o]);
    for (int s = 0; s < steps(); ++s) {
      const ir::Step& step = plan_.steps[static_cast<std::size_t>(s)];
      bool in_place = false;
      for_each_slot(plan_, step, [&](int x, bool) {
        auto& [first, last] = users_[static_cast<std::size_t>(x)];
        first = std::min(first, s), last = std::max(last, s);
        in_place |= donated_.contains(x);
      });
      // What lies over an input may not be written while other threads are steps behind.
      cuts_.push_back(in_place ? std::nullopt : cut_step(plan_, step));
      costs_.push_back(cut(s) ? cost(*cut(s)) : 0);
    }
  }

  /// Elements that a touch reaches, over all that its step does.
  static Use reach(const CutStep& step, const Touch& touch) {
    Use use{touch.low, touch.high, {}, false};
    for (std::size_t i = 0; i < step.axes.size(); ++i)
      (touch.strides[i] < 0 ? use.low : use.high) += touch.strides[i] * (step.axes[i] - 1);
    return use;
  }

  /// Nanoseconds on one thread.
  double cost(const CutStep& step) const {
    double ns = 0;
    for (const Touch& touch : step.touches) {
      const Use all = reach(step, touch);
      std::int64_t elements = touch.high - touch.low + 1;  // rows may lie far apart
      for (std::size_t i = 0; i < step.axes.size(); ++i)
        if (touch.strides[i] != 0) elements *= step.axes[i];
      ns += byte_ns * static_cast<double>(std::min(elements, all.high - all.low + 1)) *
            static_cast<double>(size_of(slot(touch.slot).dtype));
    }
    if (!step.product) return ns;
    const ProductShape& p = *step.product;
    return std::max(
        ns, 2 * flop_ns * static_cast<double>(p.batches * p.m) * static_cast<double>(p.k * p.n));
  }

  /// Every thread reads all of a product's second operand.
  bool small(int s) const {
    if (!cut(s) || costs_[static_cast<std::size_t>(s)] > most_of_step) return false;
    if (!cut(s)->product) return true;
    const ProductShape& p = *cut(s)->product;
    const auto size = static_cast<std::int64_t>(size_of(slot(cut(s)->touches.back().slot).dtype));
    return p.batches == 1 && p.m >= least_rows * least_shares &&
           p.k * p.n * size <= caches_.own / 2;
  }

  static bool apart(const Use& a, const Use& b) {
    return a.high < b.low || b.high < a.low ||
           (a.piece && b.piece && share_no_piece(*a.piece, *b.piece));
  }

  /// Whether step `s` may follow those in `uses_` in `pieces` pieces; if so it is added to them.
  bool joins(int s, std::int64_t pieces) {
    const std::vector<std::int64_t> natural = natural_pieces(*cut(s));
    if (natural.empty() || natural.back() % pieces != 0) return false;
    std::vector<Use> mine;
    for (const Touch& touch : cut(s)->touches) {
      Use use = reach(*cut(s), touch);
      use.piece = piece_reach(*cut(s), touch, pieces);
      use.keeps = keeps_to_pieces(*cut(s), touch, pieces, elements(touch.slot));
      const Uses& others = uses_[touch.slot];
      const auto free = [&](const Use& other) { return apart(use, other); };
      if (!std::ranges::all_of(others.writes, free)) return false;
      if (touch.written && !std::ranges::all_of(others.reads, free)) return false;
      mine.push_back(use);
    }
    for (std::size_t i = 0; i < mine.size(); ++i) {
      const Touch& touch = cut(s)->touches[i];
      (touch.written ? uses_[touch.slot].writes : uses_[touch.slot].reads).push_back(mine[i]);
    }
    return true;
  }

  int grow(int first, int limit, std::int64_t pieces) {
    uses_.clear();
    int s = first;
    while (s < limit && small(s) && joins(s, pieces)) ++s;
    return s;
  }

  /// Makes the longest chain from `first` on where it pays; the step to go on from.
  int chain(int first, int limit, std::vector<StepGroup>& chains) {
    std::vector<std::int64_t> candidates;
    for (int s = first; s < std::min(first + 2, limit); ++s)
      if (small(s))
        for (const std::int64_t pieces : natural_pieces(*cut(s))) candidates.push_back(pieces);
    std::ranges::sort(candidates, std::greater<>());
    candidates.erase(std::unique(candidates.begin(), candidates.end()), candidates.end());
    StepGroup best{first, first, 1, 1, 0, {}, true};
    for (const std::int64_t pieces : candidates)
      if (const int end = grow(first, limit, pieces); end > best.end)
        best.end = end, best.pieces = pieces;
    if (best.end - first < 2) return first + 1;
    double ns = 0;
    std::int64_t least = 1;  // pieces a share
    for (int s = first; s < best.end; ++s) {
      ns += costs_[static_cast<std::size_t>(s)];
      if (cut(s)->product)
        least = std::max(least, up(least_rows * best.pieces, cut(s)->product->m));
    }
    least = std::max(
        least,
        static_cast<std::int64_t>(static_cast<double>(best.pieces) * least_of_share / ns) + 1);
    if (ns < least_of_chain || best.pieces / least < 2) return best.end;
    best.tile = least;
    grow(first, best.end, best.pieces);  // the uses of this one
    settle(best, ns);
    chains.push_back(std::move(best));
    return chains.back().end;
  }

  void settle(StepGroup& group, double ns) {
    char text[120];
    std::snprintf(text, sizeof text, "%d small steps, about %.2g ms: threads meet once",
                  group.end - group.first, ns * 1e-6);
    group.reason = text;
    for (const auto& [s, uses] : uses_) {
      const auto [first, last] = users_[static_cast<std::size_t>(s)];
      const bool inside = slot(s).kind == Slot::Kind::temp && first >= group.first &&
                          last < group.end && std::ranges::all_of(uses.reads, &Use::keeps) &&
                          std::ranges::all_of(uses.writes, &Use::keeps);
      if (inside) plan_.slots[static_cast<std::size_t>(s)].kind = Slot::Kind::local;
    }
  }

  Plan& plan_;
  Caches caches_;
  std::vector<std::optional<CutStep>> cuts_;
  std::vector<double> costs_;               // of each step
  std::vector<std::pair<int, int>> users_;  // of each slot: the first step and the last
  std::unordered_set<int> donated_;         // slots
  std::unordered_map<int, Uses> uses_;      // of the chain that is growing, by slot
};

}  // namespace

void chain_steps(Plan& plan, const Caches& caches) { Chaining(plan, caches).run(); }

}  // namespace weft::passes
