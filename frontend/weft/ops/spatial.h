// Convolution, pooling, sliding windows, resizing and sampling.
#pragma once

#include "weft/tensor.h"

namespace weft {}
