// Complex numbers.
#pragma once

#include "weft/tensor.h"

namespace weft {}
