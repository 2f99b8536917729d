// The interpreter: runs a kernel's scalar programs block by block over cache-sized chunks with
// loops that were compiled ahead of time (loops.h). It compiles nothing: an executable is built in
// microseconds, and a run on a few elements takes of the order of a hundred nanoseconds. Results
// are the same bits as every other backend's. Runs allocate nothing in steady state: registers live
// in a workspace a thread, row temps in the caller's scratch.
#pragma once

#include <memory>

#include "ir/executable.h"

namespace weft::codegen {

std::shared_ptr<ir::KernelCompiler> make_interpreter();

}  // namespace weft::codegen
