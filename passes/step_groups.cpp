#include "passes/step_groups.h"

#include <algorithm>
#include <cstdio>
#include <unordered_set>

#include "passes/plan_steps.h"
#include "passes/step_pieces.h"

namespace weft::passes {
namespace {

using ir::Plan;
using ir::Slot;
using ir::Step;
using ir::StepGroup;

constexpr std::size_t window = 32;       // steps after a group's first one that are looked at
constexpr std::int64_t least_tiles = 8;  // threads finish about together
constexpr std::int64_t least_rows = 16;  // of a product's tile
constexpr double least_gain = 2'000;     // ns

/// Nanoseconds a byte through memory and through the shared cache, and an element of a product's
/// second operand that is brought into place. Rough, for all machines alike.
constexpr double memory_ns = 0.1, shared_ns = 0.03, operand_ns = 0.2;

using Slots = std::unordered_set<int>;

class Grouping {
 public:
  Grouping(Plan& plan, const Caches& caches) : plan_(plan), caches_(caches) {}

  void run() {
    prepare();
    std::size_t at = 0;
    while (at < order_.size()) at = writes_much(order_[at]) ? grow(at) : at + 1;
    finish();
  }

 private:
  /// How a set of steps would run together.
  struct Choice {
    std::int64_t pieces = 0, tile = 0;
    double gain = 0, spent = 0;  // ns; what is spent is off the gain already
    std::vector<int> local;      // slots
    double kept_bytes = 0;       // written and read near a core
  };
  /// A slot that one of the steps writes and another reads.
  struct Shared {
    int slot = 0;
    std::int64_t bytes = 0;
    int readers = 0;
    bool local = false;
  };

  const Step& step(int s) const { return plan_.steps[static_cast<std::size_t>(s)]; }
  Slot& slot(int s) { return plan_.slots[static_cast<std::size_t>(s)]; }
  const CutStep* cut(int s) const {
    const auto& c = cuts_[static_cast<std::size_t>(s)];
    return c ? &*c : nullptr;
  }
  std::int64_t elements(int s) {
    const Dim n = product(slot(s).shape);
    return n.is_constant() ? n.value() : 0;
  }
  std::int64_t bytes(int s) {
    return elements(s) * static_cast<std::int64_t>(size_of(slot(s).dtype));
  }

  void prepare() {
    users_.resize(plan_.slots.size());
    uses_.assign(plan_.kernels.size(), 0);
    for (std::size_t o = 0; o < plan_.donated.size(); ++o)
      if (plan_.donated[o] >= 0) donated_.insert(plan_.outputs[o]);
    for (std::size_t i = 0; i < plan_.steps.size(); ++i) {
      order_.push_back(static_cast<int>(i));
      cuts_.push_back(cut_step(plan_, plan_.steps[i]));
      if (const auto* k = std::get_if<ir::KernelStep>(&plan_.steps[i].what))
        ++uses_[static_cast<std::size_t>(k->kernel)];
      for_each_slot(plan_, plan_.steps[i], [&](int s, bool) {
        users_[static_cast<std::size_t>(s)].push_back(static_cast<int>(i));
      });
    }
  }

  bool touches(int s, const Slots& slots) const {
    bool found = false;
    for_each_slot(plan_, step(s), [&](int x, bool) { found |= slots.contains(x); });
    return found;
  }
  void add_written(int s, Slots& to) const {
    for_each_slot(plan_, step(s), [&](int x, bool written) {
      if (written) to.insert(x);
    });
  }
  /// Such a step stays behind all that read what it writes over.
  bool writes_donated(int s) const { return !donated_.empty() && touches(s, donated_); }

  bool writes_much(int s) {
    bool much = false;
    if (!cut(s) || writes_donated(s)) return false;
    for_each_slot(plan_, step(s), [&](int x, bool written) {
      much |= written && slot(x).kind == Slot::Kind::temp && bytes(x) > caches_.own / 2;
    });
    return much;
  }

  /// Grows a group from the step at position `at` and orders the steps around it; the position to
  /// go on from. Steps passed over go before the group where they need nothing of it, else after.
  std::size_t grow(std::size_t at) {
    std::vector<int> members{order_[at]}, before, after;
    Slots written, waiting;  // by members; by what must come after them
    add_written(members[0], written);
    Choice best;
    std::size_t before_kept = 0, after_kept = 0;
    for (std::size_t j = at + 1; j < std::min(at + window, order_.size()); ++j) {
      const int s = order_[j];
      if (writes_donated(s)) break;
      if (cut(s) && touches(s, written) && !touches(s, waiting)) {
        members.push_back(s);
        Choice with = choose(members);
        if (with.gain > std::max(best.gain, least_gain)) {
          best = std::move(with);
          add_written(s, written);
          take_in(before, members, best, written);
          before_kept = before.size(), after_kept = after.size();
          continue;
        }
        members.pop_back();
      }
      const bool later = touches(s, written) || touches(s, waiting);
      (later ? after : before).push_back(s);
      if (later) add_written(s, waiting);
    }
    if (members.size() == 1) return at + 1;
    auto to = order_.begin() + static_cast<std::ptrdiff_t>(at);
    to = std::copy_n(before.begin(), before_kept, to);
    const auto first = static_cast<int>(to - order_.begin());
    to = std::ranges::copy(members, to).out;
    std::copy_n(after.begin(), after_kept, to);
    settle(best, first, members);
    return static_cast<std::size_t>(first) + members.size();
  }

  /// Steps passed over that make what a member reads, and no other one passed over, join too where
  /// that pays.
  void take_in(std::vector<int>& before, std::vector<int>& members, Choice& best, Slots& written) {
    for (std::size_t i = before.size(); i-- > 0;) {
      const int s = before[i];
      Slots makes;
      add_written(s, makes);
      const auto needs = [&](int other) { return other != s && touches(other, makes); };
      if (!cut(s) || std::ranges::none_of(members, needs) || std::ranges::any_of(before, needs))
        continue;
      std::vector<int> with = members;
      with.insert(std::ranges::find_if(with, [&](int m) { return m > s; }), s);
      Choice choice = choose(with);
      if (choice.gain <= best.gain) continue;
      best = std::move(choice);
      members = std::move(with);
      written.merge(makes);
      before.erase(before.begin() + static_cast<std::ptrdiff_t>(i));
    }
  }

  // ---- what it would bring ----

  Choice choose(const std::vector<int>& members) {
    std::vector<Shared> shared = shared_slots(members);
    Choice best;
    std::vector<std::int64_t> candidates;
    for (const int m : members)
      for (const std::int64_t pieces : natural_pieces(*cut(m))) candidates.push_back(pieces);
    std::ranges::sort(candidates, std::greater<>());
    candidates.erase(std::unique(candidates.begin(), candidates.end()), candidates.end());
    for (const std::int64_t pieces : candidates) {
      if (pieces < least_tiles || !fits(members, shared, pieces)) continue;
      for (const std::int64_t tile : divisors(pieces)) {
        if (pieces / tile < least_tiles) break;
        Choice choice = estimate(members, shared, pieces, tile);
        if (choice.gain > 0 && choice.gain >= best.gain) best = std::move(choice);
      }
    }
    return best;
  }

  /// In ascending order.
  static std::vector<std::int64_t> divisors(std::int64_t n) {
    std::vector<std::int64_t> low, high;
    for (std::int64_t d = 1; d <= n / d; ++d) {
      if (n % d != 0) continue;
      low.push_back(d);
      if (d != n / d) high.push_back(n / d);
    }
    low.insert(low.end(), high.rbegin(), high.rend());
    return low;
  }

  std::vector<Shared> shared_slots(const std::vector<int>& members) {
    std::vector<Shared> shared;
    for (const int m : members) {
      for_each_slot(plan_, step(m), [&](int s, bool written) {
        if (!written || std::ranges::find(shared, s, &Shared::slot) != shared.end()) return;
        Shared x{s, bytes(s), 0, slot(s).kind == Slot::Kind::temp};
        for (const int user : users_[static_cast<std::size_t>(s)]) {
          const bool member = std::ranges::find(members, user) != members.end();
          x.local &= member;
          x.readers += member && user != m;
        }
        if (x.readers > 0 || x.local) shared.push_back(x);  // local: the step's own
      });
    }
    return shared;
  }

  bool fits(const std::vector<int>& members, const std::vector<Shared>& shared,
            std::int64_t pieces) {
    for (const int m : members) {
      const CutStep& c = *cut(m);
      const std::vector<std::int64_t> natural = natural_pieces(c);
      if (natural.empty() || natural.back() % pieces != 0) return false;
      for (const Touch& touch : c.touches) {
        if (std::ranges::find(shared, touch.slot, &Shared::slot) == shared.end()) continue;
        if (!keeps_to_pieces(c, touch, pieces, elements(touch.slot))) return false;
      }
    }
    return true;
  }

  double passing_ns(std::int64_t bytes, std::int64_t own_share, std::int64_t shared_share) const {
    return bytes > shared_share ? memory_ns : bytes > own_share ? shared_ns : 0;
  }

  Choice estimate(const std::vector<int>& members, const std::vector<Shared>& shared,
                  std::int64_t pieces, std::int64_t tile) {
    Choice choice{pieces, tile, 0, 0, {}, 0};
    for (const int m : members) {
      if (!cut(m)->product) continue;
      const ProductShape& p = *cut(m)->product;
      const std::int64_t rows = p.batches * p.m / pieces * tile;
      if ((p.m % rows != 0 && rows % p.m != 0) || rows < std::min(p.m, least_rows)) return {};
      const std::int64_t times = std::max<std::int64_t>(1, p.m / rows);
      choice.spent += operand_ns * static_cast<double>((times - 1) * p.batches) *
                      static_cast<double>(p.k * p.n);
    }
    std::int64_t at_work = 0;
    for (const Shared& s : shared) at_work += s.bytes / pieces * tile;
    const double inside = passing_ns(at_work, caches_.own * 3 / 4, caches_.shared / 4);
    for (const Shared& s : shared) {
      const double outside = passing_ns(s.bytes, caches_.own, caches_.shared / 2);
      choice.gain += std::max(0.0, outside - inside) * static_cast<double>(s.bytes) *
                     (s.readers + (s.local ? 1 : 0));
      choice.kept_bytes += static_cast<double>(s.bytes);
      if (s.local) choice.local.push_back(s.slot);
    }
    choice.gain -= choice.spent;
    return choice;
  }

  // ---- what comes of it ----

  void settle(const Choice& choice, int first, const std::vector<int>& members) {
    StepGroup group;
    group.first = first;
    group.end = first + static_cast<int>(members.size());
    group.pieces = choice.pieces;
    group.tile = choice.tile;
    char text[160];
    std::snprintf(text, sizeof text,
                  "%.3g MB pass between the steps in cache; operands brought in again: %.2g ms",
                  choice.kept_bytes * 1e-6, choice.spent * 1e-6);
    group.reason = text;
    for (const int s : choice.local) slot(s).kind = Slot::Kind::local;
    plan_.groups.push_back(std::move(group));
  }

  void finish() {
    if (plan_.groups.empty()) return;
    std::vector<Step> steps;
    for (const int s : order_) steps.push_back(std::move(plan_.steps[static_cast<std::size_t>(s)]));
    plan_.steps = std::move(steps);
    for (const StepGroup& group : plan_.groups)
      for (int i = group.first; i < group.end; ++i)
        keep_near(std::get<ir::KernelStep>(plan_.steps[static_cast<std::size_t>(i)].what));
  }

  /// A large result would be stored past the cache: here it is read again at once.
  void keep_near(ir::KernelStep& step) {
    ir::Kernel& kernel = plan_.kernels[static_cast<std::size_t>(step.kernel)];
    std::int64_t most = 0;
    for (const int s : step.slots) most = std::max(most, bytes(s));
    if (most < caches_.shared / 4 || kernel.stages.empty()) return;
    if (uses_[static_cast<std::size_t>(step.kernel)] == 1) {
      kernel.read_soon = true;
      return;
    }
    ir::Kernel near = kernel;
    near.read_soon = true;
    --uses_[static_cast<std::size_t>(step.kernel)];
    const auto found = std::ranges::find(plan_.kernels, near);
    step.kernel = static_cast<int>(found - plan_.kernels.begin());
    if (found == plan_.kernels.end()) {
      plan_.kernels.push_back(std::move(near));
      uses_.push_back(0);
    }
    ++uses_[static_cast<std::size_t>(step.kernel)];
  }

  Plan& plan_;
  Caches caches_;
  std::vector<int> order_;  // step numbers, in the order that they will have
  std::vector<std::optional<CutStep>> cuts_;
  std::vector<std::vector<int>> users_;  // of each slot: steps
  std::vector<int> uses_;                // of each kernel
  Slots donated_;
};

}  // namespace

void group_steps(Plan& plan, const Caches& caches) { Grouping(plan, caches).run(); }

}  // namespace weft::passes
