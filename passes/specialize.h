// From the user's graph, whose types may be unknown, to one whose every dtype and rank is known.
#pragma once

#include <span>

#include "ir/graph.h"

namespace weft::passes {

/// `graph` on new inputs of the given types (dtype and rank known; extents may be symbols), all
/// types inferred again and equal sub-graphs merged. Throws what the type rules throw, with the
/// user's lines.
ir::Graph specialize(const ir::Graph& graph, std::span<const ir::Type> input_types);

/// Replaces every Expansion by what it stands for, until none is left. Types must be known.
ir::Graph expand(const ir::Graph& graph);

}  // namespace weft::passes
