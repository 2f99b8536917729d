// Statistics and norms.
#pragma once

#include "weft/tensor.h"

namespace weft {}
