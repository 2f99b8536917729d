// Questions about the shape of a graph, and its picture. Vertices are numbered by their place in
// `topological_order(g)`. (Boost.Graph's own algorithms run on the view in ir/bgl.h; no Boost
// header is seen from here.)
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ir/graph.h"

namespace weft::ir {

/// Graphviz text: one box a node with its operation, label and type; edges from operands to
/// consumers. Deterministic.
std::string to_dot(const Graph&);

/// What depends on vertex `from`, itself included.
std::vector<bool> reachable_from(const Graph&, std::size_t from);

enum class Flow : std::uint8_t { to_outputs, to_inputs };
inline constexpr std::int64_t no_dominator = -1;
/// The immediate dominator of each vertex: with `to_outputs` the last node that everything a node
/// is computed from goes through; with `to_inputs` the first node that all uses of a node meet in
/// (so that fusing up to it is closed). `no_dominator` where only the world outside the graph is.
/// O(n log n), no recursion.
std::vector<std::int64_t> dominators(const Graph&, Flow flow = Flow::to_outputs);

}  // namespace weft::ir
