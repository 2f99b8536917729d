// Weft: a symbolic tensor compiler for C++. This one header gives values, graphs, evaluation,
// gradients, functions, networks, optimisers and data. ONNX stands apart in weft/onnx.h.
#pragma once

#include "weft/array.h"
#include "weft/control.h"
#include "weft/data.h"
#include "weft/device.h"
#include "weft/eval.h"
#include "weft/function.h"
#include "weft/grad.h"
#include "weft/io.h"
#include "weft/nn.h"
#include "weft/ops.h"
#include "weft/optim.h"
#include "weft/tensor.h"
