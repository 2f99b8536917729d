// `weft-bench --device cuda:0`: what a device does at its own sizes, in this process, beside the
// bandwidth of its memory and, with --peers, torch.compile and jax.jit.
#pragma once

#include "bench.h"

namespace weft::bench {

/// False when a row failed or was wrong.
bool run_device_bench(const Options&);

}  // namespace weft::bench
