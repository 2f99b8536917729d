// Indexed access: gathering, scattering, masks, and shapes that depend on values.
#pragma once

#include "weft/tensor.h"

namespace weft {}
