// The extern kinds by family, one file each: what runtime/extern.cpp hands on.
#pragma once

#include "runtime/extern.h"

namespace weft::runtime {

using ExternFamily = void(ir::ExternKind kind, const ir::Attrs& attrs,
                          std::span<const TensorView> in, std::span<const TensorView> out,
                          SourceLocation where);

ExternFamily run_ordering;  // extern_ordering.cpp
ExternFamily run_indexing;  // extern_indexing.cpp
ExternFamily run_spatial;   // extern_spatial.cpp
ExternFamily run_linalg;    // extern_linalg.cpp
ExternFamily run_fourier;   // extern_fourier.cpp
/// extern_random.cpp: the one kind random_distribution.
void run_random(const ir::Attrs& attrs, std::span<const TensorView> in,
                std::span<const TensorView> out, SourceLocation where);

}  // namespace weft::runtime
