// What is drawn, before anyone knows how: boxes, edges between them, clusters around them.
//
// To stay readable at hundreds of nodes a picture differs from the graph. Constants of one element stand in the titles
// of the boxes that use them: `mul(·, 0.9)`. Inputs and constants with many readers are drawn once beside each cluster
// (or box) that reads them, so that no edge crosses the page for them; in a large picture inputs and outputs have no
// boxes at all but are lines of text in the boxes that read and compute them.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "ir/graph.h"
#include "ir/plan.h"

namespace weft::tools {

enum class Category : std::uint8_t {
  input,
  constant,
  pointwise,
  view,
  reduction,
  contraction,
  expansion,
  external,
  output
};
enum class Change : std::uint8_t { same, changed, added, removed };

struct Box {
  std::string title, name, type;  // the three lines of its label, any of which may be empty
  std::vector<std::string> reads, writes;  // inputs and outputs that have no boxes of their own
  std::string details;                     // for hovering
  Category category = Category::pointwise;
  Change change = Change::same;
  int cluster = -1;
  bool copy = false;  // one of several drawings of the same value
};
struct Link {
  int from = 0, to = 0;
  std::string label;
  Change change = Change::same;
  bool type_only = false;
};
struct Cluster {
  std::string title, details;
  Category category = Category::pointwise;
  double share = -1;  // of the whole time; negative where nothing was timed
};
struct Picture {
  std::string title;
  std::vector<Box> boxes;
  std::vector<Link> links;
  std::vector<Cluster> clusters;
  bool shows_changes = false;
};

/// Fused kernels: which cluster each node is in (-1: none).
struct Grouping {
  std::unordered_map<const ir::Node*, int> cluster_of;
  std::vector<Cluster> clusters;
};

Picture picture_of(const ir::Graph& graph, const std::vector<std::string>& outputs,
                   const Grouping& grouping = {});
/// Both graphs in one picture: what only `before` has is removed, what only `after` has is added.
Picture picture_of_change(const ir::Graph& before, const ir::Graph& after,
                          const std::vector<std::string>& outputs);
/// A box a step, an edge a buffer. `microseconds`: one a step, or empty.
Picture picture_of_plan(const ir::Plan& plan, const std::vector<std::string>& inputs,
                        const std::vector<std::string>& outputs,
                        const std::vector<double>& microseconds);

/// Fusion's groups over an optimised graph, with the steps of the plan that was made from it.
Grouping kernels_of(const ir::Graph& optimized, const ir::Plan& plan,
                    const std::vector<double>& microseconds);

// Shared by those who make pictures.
Category category_of(const ir::Node& node);
/// `f32 128×784`.
std::string short_type(const ir::Type& type);
std::string time_text(double microseconds, double total);

/// Which nodes of two graphs are the same: from `before`'s to `after`'s.
std::unordered_map<const ir::Node*, const ir::Node*> matching_nodes(const ir::Graph& before,
                                                                    const ir::Graph& after);

}  // namespace weft::tools
