// How one step of a plan can be cut into pieces along its leading axes, and which elements of its
// slots a piece touches.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "ir/plan.h"

namespace weft::passes {

/// Elements `offset + Σ strides[i] * axis_i` of a slot over the axes that a cut can go through;
/// along the others they reach from `low` up to `high` besides.
struct Touch {
  int slot = 0;
  bool written = false;
  std::vector<std::int64_t> strides;
  std::int64_t low = 0, high = 0;
};

/// A product's share of a step.
struct ProductShape {
  std::int64_t batches = 1, m = 1, n = 1, k = 1;
};

struct CutStep {
  std::vector<std::int64_t> axes;  // that a cut can go through, outermost first
  std::vector<Touch> touches;
  std::optional<ProductShape> product;
};

/// Empty for steps that can only run whole: extern ones, those with unknown extents, products of
/// gathered operands, reductions in two kernels.
std::optional<CutStep> cut_step(const ir::Plan& plan, const ir::Step& step);

/// The numbers of pieces that end at an axis' end: 1 is not among them.
std::vector<std::int64_t> natural_pieces(const CutStep& step);

/// Piece p touches none but elements low + p * stride to high + p * stride of the slot.
struct PieceReach {
  std::int64_t low = 0, high = 0, stride = 0;
};

/// Empty where `pieces` cuts the step in a way that moves the touch unevenly.
std::optional<PieceReach> piece_reach(const CutStep& step, const Touch& touch, std::int64_t pieces);

/// Whether piece p of `pieces` touches only elements [p, p + 1) * elements / pieces of the slot.
bool keeps_to_pieces(const CutStep& step, const Touch& touch, std::int64_t pieces,
                     std::int64_t elements);

/// Whether what one touches in a piece the other touches in none but that one.
bool share_no_piece(const PieceReach& a, const PieceReach& b);

}  // namespace weft::passes
