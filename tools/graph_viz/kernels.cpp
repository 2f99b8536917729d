#include <fmt/format.h>

#include <numeric>

#include "ir/op.h"
#include "passes/fuse.h"
#include "tools/graph_viz/picture.h"

namespace weft::tools {
namespace {

/// The members of a group that its kernel computes, as lowering finds them: what is stored and what that needs.
std::vector<int> computed(const passes::Fused& fused, const passes::Group& group) {
  std::unordered_map<int, bool> live;
  for (std::size_t i = group.members.size(); i-- > 0;) {
    const int m = group.members[i];
    const passes::Value& value = fused.values[static_cast<std::size_t>(m)];
    if (!value.stored && value.target < 0 && !live.contains(m)) continue;
    live[m] = true;
    for (const passes::Read& read : value.reads)
      if (read.inside) live[read.value] = true;
  }
  std::vector<int> members;
  for (const int m : group.members)
    if (live.contains(m)) members.push_back(m);
  return members;
}

/// Steps that a group becomes.
std::size_t step_count(const passes::Fused& fused, const passes::Group& group,
                       const std::vector<int>& members) {
  if (group.kind == passes::GroupKind::external) return 1;
  if (members.empty()) return 0;
  if (group.kind != passes::GroupKind::row || !group.split) return 1;
  for (const int m : members)
    if (fused.values[static_cast<std::size_t>(m)].kind == passes::ValueKind::reduction) return 2;
  return 1;
}

Category category_of(passes::GroupKind kind) {
  switch (kind) {
    case passes::GroupKind::pointwise: return Category::pointwise;
    case passes::GroupKind::row: return Category::reduction;
    case passes::GroupKind::contraction: return Category::contraction;
    case passes::GroupKind::external: return Category::external;
  }
  __builtin_unreachable();
}

std::string kernel_text(const ir::Plan& plan, const ir::Step& step) {
  const auto* kernel = std::get_if<ir::KernelStep>(&step.what);
  return kernel ? ir::to_string(plan.kernels[static_cast<std::size_t>(kernel->kernel)]) : "";
}

/// Views and values that are computed where they are read belong to their readers, where these are in one kernel.
void adopt(const ir::Graph& graph, Grouping& grouping) {
  const std::vector<const ir::Node*> order = ir::topological_order(graph);
  constexpr int none = -1, several = -2;
  std::unordered_map<const ir::Node*, int> readers;
  const auto note = [&](const ir::Node* node, int cluster) {
    const auto [found, fresh] = readers.try_emplace(node, cluster);
    if (!fresh && found->second != cluster) found->second = several;
  };
  for (const ir::NodeRef& output : graph.outputs()) note(output.get(), none);
  for (auto at = order.rbegin(); at != order.rend(); ++at) {
    const ir::Node* node = *at;
    if (!node->inputs().empty() && !grouping.cluster_of.contains(node))
      if (const auto found = readers.find(node); found != readers.end() && found->second >= 0)
        grouping.cluster_of[node] = found->second;
    const auto own = grouping.cluster_of.find(node);
    for (const ir::NodeRef& input : node->inputs())
      note(input.get(), own == grouping.cluster_of.end() ? none : own->second);
  }
}

}  // namespace

Grouping kernels_of(const ir::Graph& optimized, const ir::Plan& plan,
                    const std::vector<double>& microseconds) {
  const passes::Fused fused = passes::fuse(optimized, {});
  const double total = std::accumulate(microseconds.begin(), microseconds.end(), 0.0);
  Grouping grouping;
  std::size_t step = 0;
  for (const passes::Group& group : fused.groups) {
    const std::vector<int> members = computed(fused, group);
    const std::size_t steps = step_count(fused, group, members);
    if (steps == 0) continue;
    Cluster cluster;
    cluster.category = category_of(group.kind);
    cluster.title = fmt::format("kernel {}", step);
    double time = 0;
    for (std::size_t i = step; i < std::min(step + steps, plan.steps.size()); ++i) {
      cluster.details += plan.steps[i].label + "\n" + kernel_text(plan, plan.steps[i]);
      if (i < microseconds.size()) time += microseconds[i];
    }
    if (!microseconds.empty()) {
      cluster.title += ": " + time_text(time, total);
      cluster.share = total > 0 ? time / total : 0;
    }
    step += steps;
    for (const int m : members)
      grouping.cluster_of.try_emplace(fused.values[static_cast<std::size_t>(m)].node,
                                      static_cast<int>(grouping.clusters.size()));
    grouping.clusters.push_back(std::move(cluster));
  }
  if (step != plan.steps.size())
    throw Error("internal: fusion and lowering disagree about the steps");
  adopt(optimized, grouping);
  return grouping;
}

// ---- plans ---------------------------------------------------------------------------------------------------------

namespace {

/// Slots that a step reads and writes.
struct Traffic {
  std::vector<int> reads, writes;
};

Traffic traffic(const ir::Plan& plan, const ir::Step& step) {
  if (const auto* outside = std::get_if<ir::ExternStep>(&step.what))
    return {outside->inputs, outside->outputs};
  const auto& inside = std::get<ir::KernelStep>(step.what);
  const ir::Kernel& kernel = plan.kernels[static_cast<std::size_t>(inside.kernel)];
  Traffic result;
  for (std::size_t i = 0; i < inside.slots.size(); ++i)
    (kernel.buffers[i].written ? result.writes : result.reads).push_back(inside.slots[i]);
  return result;
}

Box step_box(const ir::Plan& plan, std::size_t number, const std::vector<double>& microseconds,
             double total) {
  const ir::Step& step = plan.steps[number];
  Box box;
  box.title = step.label;
  box.details =
      kernel_text(plan, step) + (step.where.known() ? "line: " + step.where.str() + "\n" : "");
  box.name = fmt::format("step {}", number);
  if (const auto* inside = std::get_if<ir::KernelStep>(&step.what)) {
    const ir::Kernel& kernel = plan.kernels[static_cast<std::size_t>(inside->kernel)];
    box.category = kernel.contraction ? Category::contraction
                   : kernel.has_row   ? Category::reduction
                                      : Category::pointwise;
    box.name += fmt::format(", kernel {}", inside->kernel);
  } else {
    box.category = Category::external;
  }
  if (number < microseconds.size()) box.type = time_text(microseconds[number], total);
  return box;
}

}  // namespace

Picture picture_of_plan(const ir::Plan& plan, const std::vector<std::string>& inputs,
                        const std::vector<std::string>& outputs,
                        const std::vector<double>& microseconds) {
  const double total = std::accumulate(microseconds.begin(), microseconds.end(), 0.0);
  Picture picture;
  std::vector<int> writer(plan.slots.size(), -1);  // box
  const auto name_of = [&](const ir::Slot& s) {
    return s.kind == ir::Slot::Kind::input ? inputs[static_cast<std::size_t>(s.number)]
                                           : "constant";
  };
  for (std::size_t i = 0; i < plan.steps.size(); ++i) {
    Box box = step_box(plan, i, microseconds, total);
    const Traffic slots = traffic(plan, plan.steps[i]);
    for (const int slot : slots.reads) {
      if (slot < 0) continue;  // taken for its type only
      const ir::Slot& s = plan.slots[static_cast<std::size_t>(slot)];
      const std::string type = short_type({s.dtype, s.shape});
      const int from = writer[static_cast<std::size_t>(slot)];
      if (from < 0)
        box.reads.push_back(name_of(s) + " " + type);
      else
        picture.links.push_back({from, static_cast<int>(i), type, Change::same, false});
    }
    for (const int slot : slots.writes)
      if (slot >= 0) writer[static_cast<std::size_t>(slot)] = static_cast<int>(i);
    picture.boxes.push_back(std::move(box));
  }
  for (std::size_t i = 0; i < plan.outputs.size(); ++i) {
    const auto slot = static_cast<std::size_t>(plan.outputs[i]);
    if (writer[slot] >= 0) {
      picture.boxes[static_cast<std::size_t>(writer[slot])].writes.push_back(outputs[i]);
      continue;
    }
    Box box;  // an input or a constant as it is
    box.title = outputs[i];
    box.name = name_of(plan.slots[slot]);
    box.category = Category::output;
    picture.boxes.push_back(std::move(box));
  }
  return picture;
}

}  // namespace weft::tools
