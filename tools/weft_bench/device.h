// `weft-bench --device cuda:0`: what a device does at its own sizes, beside the bandwidth of its memory
// and, with --peers, torch.compile and jax.jit. Every row is a process of its own: one that faults,
// hangs or fills the memory takes nothing from the others.
#pragma once

#include "bench.h"

namespace weft::bench {

/// False when a row failed or was wrong.
bool run_device_bench(const Options&);

/// What a child process does: one row, compared with the processor's results, then timed; a JSON line.
/// The row `copy` is the rate of copies from device memory to device memory.
void measure_on_device(const Options&);

}  // namespace weft::bench
