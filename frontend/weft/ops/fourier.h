// Discrete Fourier transforms and window functions.
#pragma once

#include "weft/tensor.h"

namespace weft {}
