// Sorting, selection, running sums, counting.
#pragma once

#include "weft/tensor.h"

namespace weft {}
