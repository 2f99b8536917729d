// Special functions and the less common pointwise operations and activations.
#pragma once

#include "weft/tensor.h"

namespace weft {}
