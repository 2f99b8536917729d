// Dense linear algebra, batch by batch.
#pragma once

#include "weft/tensor.h"

namespace weft {}
