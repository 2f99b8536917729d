// Normalisation over batches, rows, groups and channels.
#pragma once

#include "weft/tensor.h"

namespace weft {}
