// Losses and distances as objects: settings, and a call on (input, target), or on two operands,
// that gives the functional form's result (weft/nn/functional.h, weft/ops/losses.h,
// weft/ops/statistics.h, where formulas and errors are). Names and defaults are PyTorch's:
// `nn::CrossEntropyLoss{.label_smoothing = 0.1}`.
#pragma once

#include <optional>

#include "weft/nn/functional.h"
#include "weft/ops/losses.h"

namespace weft::nn {

struct CrossEntropyLoss {
  std::optional<Tensor> weight = {};  // (C): what each class counts for
  std::int64_t ignore_index = -100;
  Reduction reduction = Reduction::mean;
  double label_smoothing = 0;
  Tensor operator()(const Operand& logits, const Operand& targets) const {
    return cross_entropy(logits, targets, reduction, ignore_index, label_smoothing, weight);
  }
};
struct NLLLoss {
  std::optional<Tensor> weight = {};
  std::int64_t ignore_index = -100;
  Reduction reduction = Reduction::mean;
  Tensor operator()(const Operand& log_probabilities, const Operand& targets) const {
    return nll_loss(log_probabilities, targets, reduction, ignore_index, weight);
  }
};
struct MSELoss {
  Reduction reduction = Reduction::mean;
  Tensor operator()(const Operand& input, const Operand& target) const {
    return mse_loss(input, target, reduction);
  }
};
struct L1Loss {
  Reduction reduction = Reduction::mean;
  Tensor operator()(const Operand& input, const Operand& target) const {
    return l1_loss(input, target, reduction);
  }
};
struct SmoothL1Loss {
  Reduction reduction = Reduction::mean;
  double beta = 1;
  Tensor operator()(const Operand& input, const Operand& target) const {
    return smooth_l1_loss(input, target, reduction, beta);
  }
};
struct HuberLoss {
  Reduction reduction = Reduction::mean;
  double delta = 1;
  Tensor operator()(const Operand& input, const Operand& target) const {
    return huber_loss(input, target, reduction, delta);
  }
};
struct BCELoss {
  std::optional<Tensor> weight = {};
  Reduction reduction = Reduction::mean;
  Tensor operator()(const Operand& probabilities, const Operand& targets) const {
    return binary_cross_entropy(probabilities, targets, reduction, weight);
  }
};
struct BCEWithLogitsLoss {
  std::optional<Tensor> weight = {};
  Reduction reduction = Reduction::mean;
  std::optional<Tensor> pos_weight = {};
  Tensor operator()(const Operand& logits, const Operand& targets) const {
    return binary_cross_entropy_with_logits(logits, targets, reduction, weight, pos_weight);
  }
};
/// `batch_mean` (PyTorch's reduction "batchmean") overrides `reduction`.
struct KLDivLoss {
  Reduction reduction = Reduction::mean;
  bool log_target = false;
  bool batch_mean = false;
  Tensor operator()(const Operand& input, const Operand& target) const {
    return kl_div(input, target, reduction, log_target, batch_mean);
  }
};
struct PoissonNLLLoss {
  bool log_input = true;
  bool full = false;
  double eps = 1e-8;
  Reduction reduction = Reduction::mean;
  Tensor operator()(const Operand& input, const Operand& target) const {
    return poisson_nll_loss(input, target, log_input, full, eps, reduction);
  }
};
struct GaussianNLLLoss {
  bool full = false;
  double eps = 1e-6;
  Reduction reduction = Reduction::mean;
  Tensor operator()(const Operand& input, const Operand& target, const Operand& var) const {
    return gaussian_nll_loss(input, target, var, full, eps, reduction);
  }
};
struct HingeEmbeddingLoss {
  double margin = 1;
  Reduction reduction = Reduction::mean;
  Tensor operator()(const Operand& input, const Operand& target) const {
    return hinge_embedding_loss(input, target, margin, reduction);
  }
};
struct SoftMarginLoss {
  Reduction reduction = Reduction::mean;
  Tensor operator()(const Operand& input, const Operand& target) const {
    return soft_margin_loss(input, target, reduction);
  }
};
struct MarginRankingLoss {
  double margin = 0;
  Reduction reduction = Reduction::mean;
  Tensor operator()(const Operand& input1, const Operand& input2, const Operand& target) const {
    return margin_ranking_loss(input1, input2, target, margin, reduction);
  }
};
struct CosineEmbeddingLoss {
  double margin = 0;
  Reduction reduction = Reduction::mean;
  Tensor operator()(const Operand& input1, const Operand& input2, const Operand& target) const {
    return cosine_embedding_loss(input1, input2, target, margin, reduction);
  }
};
struct TripletMarginLoss {
  double margin = 1;
  double p = 2;
  double eps = 1e-6;
  bool swap = false;
  Reduction reduction = Reduction::mean;
  Tensor operator()(const Operand& anchor, const Operand& positive, const Operand& negative) const {
    return triplet_margin_loss(anchor, positive, negative, margin, p, eps, swap, reduction);
  }
};
struct CTCLoss {
  std::int64_t blank = 0;
  Reduction reduction = Reduction::mean;
  bool zero_infinity = false;
  Tensor operator()(const Operand& log_probs, const Operand& targets, const Operand& input_lengths,
                    const Operand& target_lengths) const {
    return ctc_loss(log_probs, targets, input_lengths, target_lengths, blank, reduction,
                    zero_infinity);
  }
};
struct MultiMarginLoss {
  std::int64_t p = 1;
  double margin = 1;
  std::optional<Tensor> weight = {};
  Reduction reduction = Reduction::mean;
  Tensor operator()(const Operand& input, const Operand& target) const {
    return multi_margin_loss(input, target, p, margin, weight, reduction);
  }
};
struct MultiLabelMarginLoss {
  Reduction reduction = Reduction::mean;
  Tensor operator()(const Operand& input, const Operand& target) const {
    return multilabel_margin_loss(input, target, reduction);
  }
};
struct MultiLabelSoftMarginLoss {
  std::optional<Tensor> weight = {};
  Reduction reduction = Reduction::mean;
  Tensor operator()(const Operand& input, const Operand& target) const {
    return multilabel_soft_margin_loss(input, target, weight, reduction);
  }
};

// ---- distances ----------------------------------------------------------------------------------

/// Along `dim` of the two, broadcast together.
struct CosineSimilarity {
  std::int64_t dim = 1;
  double eps = 1e-8;
  Tensor operator()(const Operand& x1, const Operand& x2) const {
    return cosine_similarity(x1, x2, dim, eps);
  }
};
/// Along the last axis.
struct PairwiseDistance {
  double p = 2;
  double eps = 1e-6;
  bool keepdim = false;
  Tensor operator()(const Operand& x1, const Operand& x2) const {
    return pairwise_distance(x1, x2, p, eps, keepdim);
  }
};

}  // namespace weft::nn
