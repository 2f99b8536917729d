// Random tensors: each call of a function draws anew.
#pragma once

#include "weft/tensor.h"

namespace weft {}
