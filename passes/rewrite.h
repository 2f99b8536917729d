// The rewrite engine and its tables. A rewrite is a row: a pattern, what replaces it, and what it
// promises. Patterns are written as expressions over the catalogue's names:
//
//   (mul ?x 1)                ?x any value; a number matches a constant of that value everywhere (0
//                             is not -0)
//   (abs (neg ?x:s))          ?x:2 has two axes or more, ?x:f is floating or complex, ?x:s has a
//                             sign, ?x:n is not boolean
//   (log (softmax ?x @a))     @a binds an operation's attributes, for the replacement to carry over
//
// Operands of commutative operations match in either order. A replacement whose type is not the
// original's is not made.
#pragma once

#include <span>
#include <string_view>

#include "ir/graph.h"

namespace weft::passes {

enum class Promise : std::uint8_t {
  exact,     // the same bits on every input, NaN, infinities, signed zeros and denormals among them
  accurate,  // mends cancellation and overflow; elsewhere within the replacement's own bound
  layout,    // the same sums of the same products, the order of summation apart
  fast_math,  // may change bits or special values; only where asked for
};

struct Rewrite {
  std::string_view name, pattern, replacement;
  Promise promise;
};

/// All rows, in the order in which they are tried.
std::span<const Rewrite> rewrites();

/// Applies the rows of these promises until none matches, in one walk over the graph; linear, since
/// every row makes the expression smaller or moves it down a fixed order.
ir::Graph rewrite(const ir::Graph& graph, std::span<const Promise> promises);

/// Exact rewrites, and those of views into views (a reshape of a reshape).
ir::Graph simplify(const ir::Graph& graph);
ir::Graph stabilise(const ir::Graph& graph);
/// Products in the layout that their readers want; after expansion.
ir::Graph arrange(const ir::Graph& graph);
/// The rows that may change bits.
ir::Graph relax(const ir::Graph& graph);

}  // namespace weft::passes
