// Rows whose attributes hold graphs. Which graph of a condition or a loop counts depends on a
// value, so they are expansions that need it: one that is chosen becomes part of the graph around
// it, and a loop one iteration at a time. A call is a graph that stays one node until gradients
// have been taken.
#pragma once

#include "ir/attrs.h"

namespace weft::ir {

struct Op;

/// Inputs of the graphs are the operands but for the condition.
struct BranchAttrs {
  GraphPtr yes, no;
  /// (operands…, cotangents of the results…) -> cotangents of the operands; null: no gradient.
  GraphPtr yes_pullback, no_pullback;
  template <class S, class F> static void fields(S& s, F&& f) {
    f("yes", s.yes);
    f("no", s.no);
    f("yes_pullback", s.yes_pullback);
    f("no_pullback", s.no_pullback);
  }
};

struct LoopAttrs {
  std::int64_t carried = 0;  // how many values go from one iteration to the next
  GraphPtr body;             // (carried…, captured…) -> (condition, carried…)
  /// (carried…, captured…, cotangents of the new carried…) -> cotangents of carried…, captured…;
  /// null: no gradient.
  GraphPtr pullback;
  template <class S, class F> static void fields(S& s, F&& f) {
    f("carried", s.carried);
    f("body", s.body);
    f("pullback", s.pullback);
  }
};

struct CallAttrs {
  GraphPtr body;           // (operands…) -> results…
  std::int64_t given = 0;  // the operands that the user gave; others were captured
  std::int64_t asked = 0;  // the results that the user sees; others feed running statistics
  HostObject gradient;     // its object is a HostGradient; null where the call was read from text
  template <class S, class F> static void fields(S& s, F&& f) {
    f("body", s.body);
    f("given", s.given);
    f("asked", s.asked);
    f("gradient", s.gradient);
  }
};

namespace ops {

/// (operands…) -> the results of the graph.
extern const Op call;
/// (x, others…) -> x, once the others are there: what is computed from it is apart from what was
/// computed from x itself, and later.
extern const Op barrier;
/// (condition, operands…) -> the results of one graph or the other.
extern const Op branch;
/// (condition, carried…, captured…) -> carried…, once the condition is false.
extern const Op loop;
/// (condition, carried…, captured…, cotangents of the results…) -> cotangents of carried…,
/// captured…
extern const Op loop_pullback;

}  // namespace ops
}  // namespace weft::ir
