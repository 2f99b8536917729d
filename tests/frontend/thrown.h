// What a call throws, for tests of messages.
#pragma once

#include <string>

namespace weft {

/// The message of the `E` that `f` throws. Any other exception passes through, and fails the test.
template <class E, class F> std::string message(F&& f) {
  try {
    f();
  } catch (const E& e) { return e.what(); }
  return "nothing thrown";
}

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace weft
