#include "passes/device_products.h"

#include "passes/plan_steps.h"

namespace weft::passes {

void relax_products(ir::Plan& plan, MatmulPrecision precision) {
  for (ir::Kernel& kernel : plan.kernels) {
    if (!kernel.contraction) continue;
    kernel.contraction->precision = precision;
    kernel.contraction->kept = kernel.stages.empty();
  }
  std::vector<int> uses(plan.slots.size(), 0);
  for (const ir::Step& step : plan.steps)
    for_each_slot(plan, step, [&](int slot, bool) { ++uses[static_cast<std::size_t>(slot)]; });
  for (const ir::Step& each : plan.steps) {
    const auto* step = std::get_if<ir::KernelStep>(&each.what);
    if (!step) continue;
    ir::Kernel& kernel = plan.kernels[static_cast<std::size_t>(step->kernel)];
    if (!kernel.contraction) continue;
    const auto out = static_cast<std::size_t>(
        step->slots[static_cast<std::size_t>(kernel.contraction->out)]);
    const bool alone = plan.slots[out].kind == ir::Slot::Kind::temp && uses[out] == 1;
    // A stage that writes there puts the last word.
    bool rewritten = false;
    for (const ir::Stage& stage : kernel.stages)
      for (const ir::Sink& sink : stage.sinks)
        rewritten = rewritten ||
                    (sink.kind == ir::Sink::Kind::store &&
                     kernel.accesses[static_cast<std::size_t>(sink.id)].buffer ==
                         kernel.contraction->out);
    if (!alone && !rewritten) kernel.contraction->kept = true;
  }
}

}  // namespace weft::passes
