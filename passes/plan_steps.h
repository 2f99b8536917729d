// What passes over plans ask of one step.
#pragma once

#include "ir/plan.h"

namespace weft::passes {

inline const ir::Kernel& kernel_of(const ir::Plan& plan, const ir::KernelStep& step) {
  return plan.kernels[static_cast<std::size_t>(step.kernel)];
}

/// `visit(slot, written)` for every slot that a step touches.
template <class F> void for_each_slot(const ir::Plan& plan, const ir::Step& step, F&& visit) {
  if (const auto* k = std::get_if<ir::KernelStep>(&step.what)) {
    for (std::size_t b = 0; b < k->slots.size(); ++b)
      visit(k->slots[b], kernel_of(plan, *k).buffers[b].written);
    return;
  }
  const ir::ExternStep& e = std::get<ir::ExternStep>(step.what);
  for (const int s : e.inputs) {
    if (s >= 0) visit(s, false);
  }
  for (const int s : e.outputs) {  // none for a result that nobody wants
    if (s >= 0) visit(s, true);
  }
}

/// Whether buffer `to` may lie over buffer `from`: every element of `from` is read only where and
/// not after the same element of `to` is written.
bool writes_over(const ir::Kernel& k, int from, int to);

}  // namespace weft::passes
