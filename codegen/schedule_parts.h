// What the schedules of pointwise and of row kernels are reckoned from.
#pragma once

#include "codegen/schedule.h"

namespace weft::codegen {

struct Pressure {
  int registers = 0;  // that one vector in flight holds at the fullest point
  int masks = 0;
  int work = 0;        // vector instructions
  bool calls = false;  // has instructions that are done lane by lane
};

Pressure pressure_of(const ir::ScalarProgram&, int lanes, const Target&);

/// The width that most instructions work at fills one register.
int lanes_for(const ir::Kernel&, const Target&);

std::int64_t constant_or(const Dim&, std::int64_t otherwise);

/// As many vectors as the registers hold; fewer where the data is too small to repay the time to
/// compile. Says why at the end of `reason`.
int vectors_in_flight(const ir::Kernel&, const Schedule&, const Target&, std::string& reason);

/// Results that are larger than the cache and that nothing reads soon.
bool writes_past_cache(const ir::Kernel&, const Target&);

/// Of a kernel with a row.
Schedule schedule_row(const ir::Kernel&, const Target&);

}  // namespace weft::codegen
