// Building blocks of networks: modules that own parameters, and functional forms. Names, arguments
// and defaults are PyTorch's. This one header includes all families.
#pragma once

#include "weft/nn/functional.h"
#include "weft/nn/init.h"
#include "weft/nn/layers.h"
#include "weft/nn/losses.h"
#include "weft/nn/module.h"
#include "weft/nn/normalization.h"
#include "weft/nn/parametrizations.h"
#include "weft/nn/recurrent.h"
#include "weft/nn/spatial.h"
#include "weft/nn/transformer.h"
