// Distributions that no expression of uniform and normal draws gives: how often a loop runs depends
// on what was drawn. Each element draws from a stream of its own, so that the result is the same
// for every number of threads.
#pragma once

#include "ir/ops/attrs.h"
#include "ir/ops/ops.h"

namespace weft::ir {

enum class Distribution : std::uint8_t { poisson, binomial, gamma, multinomial, permutation };

struct DistributionAttrs {
  std::int64_t distribution = 0;  // a Distribution
  DType dtype = DType::float32;   // of the draws
  Dims count;                     // multinomial: one entry, how many draws a row
  bool replacement = false;       // multinomial
  std::int64_t stream = 0;        // as in RandomAttrs
  template <class S, class F> static void fields(S& s, F&& f) {
    f("distribution", s.distribution);
    f("dtype", s.dtype);
    f("count", s.count);
    f("replacement", s.replacement);
    f("stream", s.stream);
  }
};

namespace ops {
// (rates), (counts, probabilities), (shapes), (weights (…, n)), (an axis, for its type)
extern const Op random_poisson, random_binomial, random_gamma, random_multinomial,
    random_permutation;
}  // namespace ops

}  // namespace weft::ir
