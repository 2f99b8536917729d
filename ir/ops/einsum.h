// Sums of products over labelled axes: how an equation is read, and how many operands become pairs.
// Shared by the rows of ir/ops/products.cpp.
#pragma once

#include <map>

#include "ir/ops/rules.h"

namespace weft::ir {

/// One character an axis; `.` stands for an ellipsis.
struct Equation {
  std::vector<std::string> operands;
  std::string out;
};
/// ShapeError where it is not an equation. Without `->`: the labels that occur once, sorted.
Equation parse_equation(const std::string& text);
/// Every ellipsis replaced by labels that no equation can spell, so that one label is one axis.
/// ShapeError where a rank does not fit.
Equation spell_out(const Equation& equation, std::span<const std::size_t> ranks);

/// The extent of each label; an extent of 1 gives way to another. ShapeError where they differ.
std::map<char, Dim> label_extents(const InferContext&, const Equation&,
                                  std::span<const Dims* const> shapes);

/// The label of axis i < 52, for equations that are made and not written.
char label(std::size_t i);

/// An operand of a sum of products: one label an axis, none twice.
struct Term {
  Expr x;
  std::string labels;
};
/// x with its repeated labels taken along the diagonal.
Term diagonals_of(Expr x, std::string labels);
/// x without the axes of extent 1 whose label is longer elsewhere.
Term without_broadcast(Term t, const std::map<char, Dim>& extents);
/// Σ over the labels that are not in `out` of the product of all, all of one dtype: pair by pair,
/// in the order that takes the fewest multiplications (searched exhaustively up to 8 operands,
/// greedily beyond; from left to right where an extent is unknown). `out` holds labels that the
/// terms have.
Expr sum_of_products(std::vector<Term> terms, const std::string& out,
                     const std::map<char, Dim>& extents);

}  // namespace weft::ir
