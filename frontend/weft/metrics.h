// How good a classifier's answers are. Scores (n, classes, …) of any floating dtype; targets (n, …)
// are class numbers, or as wide as the scores, of which the first largest then counts.
#pragma once

#include <cstdint>

#include "weft/tensor.h"

namespace weft::metrics {

/// int64: how often the first of the largest scores is the target's.
Tensor matches(const Operand& scores, const Operand& targets);
/// The share of these, in the default dtype; NaN of nothing.
Tensor accuracy(const Operand& scores, const Operand& targets);
/// The share of rows where fewer than k scores exceed the target's, of scores (n, classes).
Tensor top_k_accuracy(const Operand& scores, const Operand& targets, std::int64_t k);
/// int64 (classes, classes), whose number must be known: how often class i was taken for class j; a
/// target of -100 counts nowhere, as in losses. IndexError where a target is no class.
Tensor confusion_matrix(const Operand& scores, const Operand& targets);
/// exp of a mean cross-entropy.
Tensor perplexity(const Operand& loss);

}  // namespace weft::metrics
