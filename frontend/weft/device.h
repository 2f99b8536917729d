// weft::Device: where values live and functions run.
#pragma once

#include "runtime/device.h"
