// Memory that a thread works in: grown when first needed, and kept.
#pragma once

#include <cstdint>

#include "runtime/buffer.h"

namespace weft::runtime {

/// Two kinds, since one call uses both: what all threads of a call read or write in its caller's
/// memory, and what each has for itself. A kind's next request may move it.
struct Shared {};
struct Own {};

template <class Kind> std::byte* scratch(std::int64_t bytes) {
  thread_local Buffer buffer;
  if (bytes > static_cast<std::int64_t>(buffer.size()))
    buffer = Buffer::allocate(static_cast<std::size_t>(bytes));
  return buffer.data();
}

}  // namespace weft::runtime
