// From the user's graph, whose types may be unknown, to one whose every dtype and rank is known.
#pragma once

#include <functional>
#include <span>

#include "ir/graph.h"

namespace weft::passes {

/// `graph` on new inputs of the given types (dtype and rank known; extents may be symbols), all
/// types inferred again and equal sub-graphs merged. Throws what the type rules throw, with the
/// user's lines.
ir::Graph specialize(const ir::Graph& graph, std::span<const ir::Type> input_types);

/// Whether to expand a node, given its new inputs.
using ExpandChoice = std::function<bool(const ir::Node&, std::span<const ir::NodeRef> inputs)>;
/// Replaces the Expansions that `choose` picks by what they stand for, or (`on_device`) by the
/// steps that a device has for them, once; `graph` itself where it picks none.
ir::Graph expand_where(const ir::Graph& graph, const ExpandChoice& choose, bool on_device = false);

/// Replaces every Expansion by what it stands for, until none is left. Types must be known;
/// UnsupportedOp where a value that is needed is not a constant (see passes/resolve.h).
ir::Graph expand(const ir::Graph& graph, bool on_device = false);

}  // namespace weft::passes
