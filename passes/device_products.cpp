#include "passes/device_products.h"

namespace weft::passes {

void relax_products(ir::Plan& plan, MatmulPrecision precision) {
  for (ir::Kernel& kernel : plan.kernels) {
    if (!kernel.contraction) continue;
    kernel.contraction->precision = precision;
    kernel.contraction->kept = kernel.stages.empty();
  }
  for (std::size_t i = 0; i < plan.steps.size(); ++i) {
    const auto* step = std::get_if<ir::KernelStep>(&plan.steps[i].what);
    if (!step) continue;
    ir::Kernel& kernel = plan.kernels[static_cast<std::size_t>(step->kernel)];
    if (!kernel.contraction) continue;
    const auto out = static_cast<std::size_t>(kernel.contraction->out);
    const ir::Slot& slot = plan.slots[static_cast<std::size_t>(step->slots[out])];
    const bool alone = slot.kind == ir::Slot::Kind::temp && slot.last_step == static_cast<int>(i);
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
