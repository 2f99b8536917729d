// What tests of weight and spectral norms share.
#pragma once

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "weft/weft.h"

namespace weft {

using List = std::vector<double>;

inline List values(const Tensor& t) { return t.value().tolist<double>(); }
inline void check_close(const List& got, const List& want, double tolerance) {
  REQUIRE(got.size() == want.size());
  for (std::size_t i = 0; i < got.size(); ++i)
    CHECK(got[i] == doctest::Approx(want[i]).epsilon(tolerance));
}
inline std::vector<std::string> names(const nn::NamedTensors& named) {
  std::vector<std::string> result;
  for (const auto& [name, tensor] : named) result.push_back(name);
  return result;
}
using Names = std::vector<std::string>;
inline Tensor named(const nn::Module& module, const std::string& name) {
  for (const auto& list : {module.named_parameters(), module.named_buffers()})
    for (const auto& [other, tensor] : list)
      if (other == name) return tensor;
  throw Error("there is no " + name);
}

/// Layers in float64 while one lives.
struct Doubles {
  DType before = default_dtype();
  Doubles() { set_default_dtype(DType::float64); }
  ~Doubles() { set_default_dtype(before); }
};

}  // namespace weft
