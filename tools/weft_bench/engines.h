// Who is measured inside this program's own child processes. Each function measures one row in the calling process,
// with `job.threads` threads, and returns nothing when it has no such row. Peers that live elsewhere (NumPy, libtorch)
// are programs that main.cpp starts.
#pragma once

#include <optional>

#include "measure.h"

namespace weft::bench {

std::optional<Measured> measure_weft(const Job&);
std::optional<Measured> measure_eigen(const Job&);
std::optional<Measured> measure_openblas(const Job&);
std::optional<Measured> measure_reference(const Job&);

/// First compiled call of a row in this process (D1_E3, D1_T1, D1_T4_train): from building the graph to the first result.
Measured measure_first_call(const Job&);
/// A chain of `nodes` nodes built, compiled, differentiated and destroyed; each phase, in processor time, is a note.
Measured measure_chain(std::int64_t nodes);
/// "scaling_ROW": prints a line for each size of array.
void measure_scaling(const Job&);
inline constexpr const char* scaling_rows[] = {"E2", "E3", "R1"};
/// Steps of one call of a row, by Function::profile, as text on standard output.
void print_profile(const Job&);

}  // namespace weft::bench
