#include "passes/donation.h"

#include <algorithm>
#include <functional>
#include <queue>
#include <unordered_map>

#include "passes/plan_steps.h"

namespace weft::passes {
namespace {

using ir::ExternStep;
using ir::KernelStep;
using ir::Plan;
using ir::Slot;
using ir::Step;

bool may_fail(const Step& step) {
  const auto* e = std::get_if<ExternStep>(&step.what);
  return e && e->may_fail;
}

class Donations {
 public:
  Donations(Plan& plan, const std::vector<std::pair<int, int>>& wanted)
      : plan_(plan), wanted_(wanted) {}

  void run() {
    plan_.donated.assign(plan_.outputs.size(), -1);
    if (wanted_.empty()) return;
    const std::vector<int> inputs = input_slots();
    std::vector<std::vector<int>> readers(plan_.slots.size()), writers(plan_.slots.size());
    for (std::size_t i = 0; i < plan_.steps.size(); ++i) {
      for_each_slot(plan_, plan_.steps[i], [&](int s, bool written) {
        (written ? writers : readers)[static_cast<std::size_t>(s)].push_back(static_cast<int>(i));
      });
    }
    std::vector<Donation> donations = candidates(inputs, writers);
    order_steps(donations, inputs, readers, writers);
    for (const Donation& d : donations) {
      if (!d.dropped) plan_.donated[static_cast<std::size_t>(d.output)] = d.input;
    }
  }

 private:
  Slot& slot(int s) { return plan_.slots[static_cast<std::size_t>(s)]; }

  struct Donation {
    int output, input;  // numbers
    int step;           // that writes the output
    bool dropped = false;
  };

  std::vector<int> input_slots() const {
    std::vector<int> slots(plan_.inputs.size(), -1);
    for (std::size_t s = 0; s < plan_.slots.size(); ++s) {
      if (plan_.slots[s].kind == Slot::Kind::input)
        slots[static_cast<std::size_t>(plan_.slots[s].number)] = static_cast<int>(s);
    }
    return slots;
  }

  std::vector<Donation> candidates(const std::vector<int>& inputs,
                                   const std::vector<std::vector<int>>& writers) {
    std::vector<Donation> found;
    std::vector<char> used(inputs.size(), 0), returned(plan_.slots.size(), 0);
    for (const int s : plan_.outputs) returned[static_cast<std::size_t>(s)] = 1;
    for (const auto& [output, input] : wanted_) {
      const int to = plan_.outputs[static_cast<std::size_t>(output)],
                from = inputs[static_cast<std::size_t>(input)];
      if (slot(to).kind != Slot::Kind::output || used[static_cast<std::size_t>(input)] != 0)
        continue;
      if (returned[static_cast<std::size_t>(from)] != 0) continue;
      if (slot(to).dtype != slot(from).dtype || slot(to).shape != slot(from).shape) continue;
      const std::vector<int>& by = writers[static_cast<std::size_t>(to)];
      if (by.size() != 1 || !fits_in_step(plan_.steps[static_cast<std::size_t>(by[0])], from, to))
        continue;
      used[static_cast<std::size_t>(input)] = 1;
      found.push_back({output, input, by[0], false});
    }
    return found;
  }

  bool fits_in_step(const Step& step, int from, int to) const {
    const auto* k = std::get_if<KernelStep>(&step.what);
    if (!k) return false;
    int from_buffer = -1, to_buffer = -1, uses = 0;
    for (std::size_t b = 0; b < k->slots.size(); ++b) {
      if (k->slots[b] == from) from_buffer = static_cast<int>(b);
      if (k->slots[b] == to) to_buffer = static_cast<int>(b), ++uses;
    }
    return uses == 1 &&
           (from_buffer < 0 || writes_over(kernel_of(plan_, *k), from_buffer, to_buffer));
  }

  /// Steps in their old order as far as possible, a donation's step after the readers of its input
  /// and after whatever may fail. A donation that this cannot hold for is dropped.
  void order_steps(std::vector<Donation>& donations, const std::vector<int>& inputs,
                   const std::vector<std::vector<int>>& readers,
                   const std::vector<std::vector<int>>& writers) {
    const std::size_t n = plan_.steps.size();
    const auto barrier = n;  // stands after all that may fail
    std::vector<std::vector<int>> after(n + 1);
    std::vector<int> waits(n + 1, 0), soft(n + 1, 0);
    const auto edge = [&](std::size_t from, std::size_t to, bool is_soft) {
      after[from].push_back(static_cast<int>(is_soft ? ~to : to));
      ++(is_soft ? soft : waits)[to];
    };
    for (std::size_t s = 0; s < writers.size(); ++s) {
      // Pieces of one value keep their order, so a reader waits for the last one before it.
      for (const int r : readers[s]) {
        const auto end = std::ranges::lower_bound(writers[s], r);
        if (end != writers[s].begin())
          edge(static_cast<std::size_t>(end[-1]), static_cast<std::size_t>(r), false);
      }
      for (std::size_t i = 1; i < writers[s].size(); ++i) {
        edge(static_cast<std::size_t>(writers[s][i - 1]), static_cast<std::size_t>(writers[s][i]),
             false);
      }
    }
    for (std::size_t i = 0; i < n; ++i) {
      if (may_fail(plan_.steps[i])) edge(i, barrier, false);
    }
    std::unordered_map<int, std::vector<Donation*>> of_step;
    for (Donation& d : donations) {
      of_step[d.step].push_back(&d);
      edge(barrier, static_cast<std::size_t>(d.step), true);
      for (const int r :
           readers[static_cast<std::size_t>(inputs[static_cast<std::size_t>(d.input)])]) {
        if (r != d.step) edge(static_cast<std::size_t>(r), static_cast<std::size_t>(d.step), true);
      }
    }
    using Heap = std::priority_queue<std::size_t, std::vector<std::size_t>, std::greater<>>;
    Heap ready, held;  // held: only a donation's wishes keep it back
    // The barrier goes first of what is ready: else steps that nobody waits for would overtake
    // those that wait for it.
    const auto place = [&](std::size_t i) { return i == barrier ? 0 : i + 1; };
    const auto next = [&](Heap& heap) {
      const std::size_t at = heap.top();
      heap.pop();
      return at == 0 ? barrier : at - 1;
    };
    std::vector<char> done(n + 1, 0);
    const auto offer = [&](std::size_t i) {
      if (waits[i] == 0 && done[i] == 0) (soft[i] == 0 ? ready : held).push(place(i));
    };
    for (std::size_t i = 0; i <= n; ++i) offer(i);
    std::vector<Step> ordered;
    while (ordered.size() < n) {
      if (ready.empty()) {
        const std::size_t i = next(held);
        if (done[i] != 0 || soft[i] == 0) continue;
        for (Donation* d : of_step[static_cast<int>(i)]) d->dropped = true;
        soft[i] = 0;
        ready.push(place(i));
        continue;
      }
      const std::size_t i = next(ready);
      if (done[i] != 0) continue;
      done[i] = 1;
      if (i < n) ordered.push_back(std::move(plan_.steps[i]));
      for (const int to : after[i]) {
        const auto t = static_cast<std::size_t>(to < 0 ? ~to : to);
        int& left = (to < 0 ? soft : waits)[t];
        if (left > 0) --left;
        offer(t);
      }
    }
    plan_.steps = std::move(ordered);
  }

  Plan& plan_;
  const std::vector<std::pair<int, int>>& wanted_;
};

}  // namespace

void plan_donations(Plan& plan, const std::vector<std::pair<int, int>>& wanted) {
  Donations(plan, wanted).run();
}

}  // namespace weft::passes
