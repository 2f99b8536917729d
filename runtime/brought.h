// A value brought to a device, kept for as long as it is the same part of the same storage.
#pragma once

#include "runtime/array.h"

namespace weft::runtime {

struct Brought {
  Array from, to;

  [[nodiscard]] bool serves(const Array& value, Device device) const {
    return to.device() == device && from.buffer() == value.buffer() &&
           from.offset() == value.offset() && from.dtype() == value.dtype() &&
           from.shape() == value.shape() && from.strides() == value.strides();
  }
};

}  // namespace weft::runtime
