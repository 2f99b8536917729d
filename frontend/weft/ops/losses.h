// Losses that are expressions of other operations. Names, arguments and defaults are PyTorch's;
// inputs and targets broadcast where they are compared element by element. The others are in
// weft/nn/functional.h.
#pragma once

#include <optional>

#include "weft/nn/functional.h"

namespace weft::nn {

/// 0.5·d²/beta where |d| < beta, else |d| - beta/2; with beta = 0, |d|.
Tensor smooth_l1_loss(const Operand& input, const Operand& target,
                      Reduction reduction = Reduction::mean, double beta = 1);
/// 0.5·d² where |d| <= delta, else delta·(|d| - delta/2).
Tensor huber_loss(const Operand& input, const Operand& target,
                  Reduction reduction = Reduction::mean, double delta = 1);
/// Of log-probabilities: target·(log target - input), 0 where the target is. `batch_mean` divides
/// the sum by the first extent, and overrides `reduction`.
Tensor kl_div(const Operand& input, const Operand& target, Reduction reduction = Reduction::mean,
              bool log_target = false, bool batch_mean = false);
/// Of (log) rates against counts; `full` adds Stirling's approximation of log(count!).
Tensor poisson_nll_loss(const Operand& input, const Operand& target, bool log_input = true,
                        bool full = false, double eps = 1e-8,
                        Reduction reduction = Reduction::mean);
/// `var` has input's shape, or an extent of 1 last, or no last axis; it is taken to be at least
/// eps.
Tensor gaussian_nll_loss(const Operand& input, const Operand& target, const Operand& var,
                         bool full = false, double eps = 1e-6,
                         Reduction reduction = Reduction::mean);
/// max(0, -target·(input1 - input2) + margin); target is 1 or -1.
Tensor margin_ranking_loss(const Operand& input1, const Operand& input2, const Operand& target,
                           double margin = 0, Reduction reduction = Reduction::mean);
/// input where target is 1, max(0, margin - input) where it is -1.
Tensor hinge_embedding_loss(const Operand& input, const Operand& target, double margin = 1,
                            Reduction reduction = Reduction::mean);
/// log(1 + exp(-target·input)).
Tensor soft_margin_loss(const Operand& input, const Operand& target,
                        Reduction reduction = Reduction::mean);
/// Binary cross-entropy of scores, averaged over the last axis.
Tensor multilabel_soft_margin_loss(const Operand& input, const Operand& target,
                                   std::optional<Tensor> weight = {},
                                   Reduction reduction = Reduction::mean);
/// 1 - cos where target is 1, max(0, cos - margin) where it is -1.
Tensor cosine_embedding_loss(const Operand& input1, const Operand& input2, const Operand& target,
                             double margin = 0, Reduction reduction = Reduction::mean);
/// Scores (N, C) or (C) against classes: Σ max(0, margin - x[y] + x[i])^p / C over i != y.
Tensor multi_margin_loss(const Operand& input, const Operand& target, std::int64_t p = 1,
                         double margin = 1, std::optional<Tensor> weight = {},
                         Reduction reduction = Reduction::mean);
/// Scores (N, C) or (C); a row of targets names classes up to its first negative entry.
Tensor multilabel_margin_loss(const Operand& input, const Operand& target,
                              Reduction reduction = Reduction::mean);
/// max(0, d(anchor, positive) - d(anchor, negative) + margin) with d the p-norm of the difference
/// plus eps; `swap`: the nearer of anchor and positive to the negative counts.
Tensor triplet_margin_loss(const Operand& anchor, const Operand& positive, const Operand& negative,
                           double margin = 1, double p = 2, double eps = 1e-6, bool swap = false,
                           Reduction reduction = Reduction::mean);
/// Connectionist temporal classification (Graves et al. 2006): minus the logarithm of the
/// probability that a sequence of T classes, `blank` among them, reads as the target once repeated
/// classes are merged and blanks dropped. log_probs (T, N, C), T known; targets (N, S), of which
/// the first target_lengths (N) of a row count (or (T, C) and (S), of one sequence); of the steps
/// the first input_lengths (N). A target that no sequence reads as has an infinite loss, with a
/// gradient of 0; `zero_infinity`: a loss of 0. `mean` divides each loss by its target's length.
/// IndexError where a label is no class. O(T·N·S).
Tensor ctc_loss(const Operand& log_probs, const Operand& targets, const Operand& input_lengths,
                const Operand& target_lengths, std::int64_t blank = 0,
                Reduction reduction = Reduction::mean, bool zero_infinity = false);

}  // namespace weft::nn
