// A readable dump of plans.
#include "ir/plan.h"
#include "ir/text.h"

namespace weft::ir {
namespace {

std::string number_list(const std::vector<int>& numbers, std::string_view mark = "$") {
  std::string out = "[";
  for (const int n : numbers) {
    if (out.size() > 1) out += ", ";
    out += n < 0 ? "-" : std::string(mark) + std::to_string(n);
  }
  return out + "]";
}

std::string slot_text(const Slot& slot) {
  const auto type =
      std::string(name(slot.dtype)) + weft::to_string(std::span<const Dim>(slot.shape));
  const auto steps =
      ", steps " + std::to_string(slot.first_step) + " to " + std::to_string(slot.last_step);
  switch (slot.kind) {
    case Slot::Kind::input: return "input " + std::to_string(slot.number) + " : " + type;
    case Slot::Kind::constant: return "constant " + std::to_string(slot.number) + " : " + type;
    case Slot::Kind::output: return "output " + std::to_string(slot.number) + " : " + type;
    case Slot::Kind::temp: return "temp at " + slot.offset.str() + " : " + type + steps;
    case Slot::Kind::local: return "local at " + slot.offset.str() + " : " + type + steps;
  }
  return {};
}

std::string_view extern_name(ExternKind kind) {
  switch (kind) {
    case ExternKind::gather_rows: return "gather_rows";
    case ExternKind::scatter_add_rows: return "scatter_add_rows";
    case ExternKind::random_uniform: return "random_uniform";
    case ExternKind::random_normal: return "random_normal";
    case ExternKind::random_bernoulli: return "random_bernoulli";
    case ExternKind::random_integer: return "random_integer";
    case ExternKind::random_distribution: return "random_distribution";
    case ExternKind::gather: return "gather";
    case ExternKind::scatter_add: return "scatter_add";
    case ExternKind::sort: return "sort";
    case ExternKind::topk: return "topk";
    case ExternKind::cumulate: return "cumulate";
    case ExternKind::searchsorted: return "searchsorted";
    case ExternKind::count_bins: return "count_bins";
    case ExternKind::nonzero: return "nonzero";
    case ExternKind::scatter: return "scatter";
    case ExternKind::scatter_rows: return "scatter_rows";
    case ExternKind::fold: return "fold";
    case ExternKind::cholesky: return "cholesky";
    case ExternKind::lu: return "lu";
    case ExternKind::qr: return "qr";
    case ExternKind::svd: return "svd";
    case ExternKind::eigh: return "eigh";
    case ExternKind::eig: return "eig";
    case ExternKind::solve_triangular: return "solve_triangular";
    case ExternKind::fft: return "fft";
    case ExternKind::attention: return "attention";
    case ExternKind::attention_backward: return "attention_backward";
    case ExternKind::callback: return "callback";
    case ExternKind::result: return "result";
  }
  return {};
}

std::string step_text(const KernelStep& step) {
  std::string out = "kernel " + std::to_string(step.kernel) + " " + number_list(step.slots);
  for (std::size_t i = 0; i < step.symbols.size(); ++i)
    out += (i ? ", s" : " where s") + std::to_string(i) + " = " + step.symbols[i].str();
  return out;
}

std::string step_text(const ExternStep& step) {
  std::string out = "extern " + std::string(extern_name(step.kind));
  if (!step.attrs.empty()) out += " " + to_text(step.attrs);
  out += " " + number_list(step.inputs) + " to " + number_list(step.outputs);
  return step.may_fail ? out + " may fail" : out;
}

}  // namespace

std::string to_string(const Plan& plan) {
  std::string out = "plan {\n";
  for (std::size_t i = 0; i < plan.inputs.size(); ++i)
    out += "  input " + std::to_string(i) + " : " + to_string(plan.inputs[i]) + "\n";
  for (std::size_t i = 0; i < plan.slots.size(); ++i)
    out += "  $" + std::to_string(i) + " = " + slot_text(plan.slots[i]) + "\n";
  for (const ShapeCheck& check : plan.checks)
    out +=
        "  check " + check.left.str() + " = " + check.right.str() + "   # " + check.message + "\n";
  auto group = plan.groups.begin();
  for (std::size_t i = 0; i < plan.steps.size(); ++i) {
    const Step& step = plan.steps[i];
    const int number = static_cast<int>(i);
    if (group != plan.groups.end() && group->first == number)
      out += std::string("  ") + (group->chain ? "shares of multiples of " : "tiles of ") +
             std::to_string(group->tile) + " of " + std::to_string(group->pieces) +
             " pieces, " + std::to_string(group->tile_bytes) + " bytes each {   # " +
             group->reason + "\n";
    const bool inside = group != plan.groups.end() && group->first <= number;
    out += inside ? "    " : "  ";
    out += std::visit([](const auto& s) { return step_text(s); }, step.what);
    if (!step.label.empty()) out += "   # " + step.label;
    if (step.where.known()) out += " @ " + step.where.str();
    out += "\n";
    if (inside && group->end == number + 1) {
      out += "  }\n";
      ++group;
    }
  }
  for (const OperandSum& sum : plan.operand_sums)
    out += "  steps " + number_list(sum.steps, "") + " sum operand " + (sum.of_b ? "b" : "a") +
           " of step " + std::to_string(sum.product) + "\n";
  out += "  outputs " + number_list(plan.outputs) + "\n";
  for (std::size_t i = 0; i < plan.donated.size(); ++i)
    if (plan.donated[i] >= 0)
      out += "  output " + std::to_string(i) + " takes the storage of input " +
             std::to_string(plan.donated[i]) + "\n";
  out += "  arena " + plan.arena_bytes.str() + " bytes, " + std::to_string(plan.bytes_moved) +
         " bytes moved\n}\n";
  for (std::size_t i = 0; i < plan.kernels.size(); ++i)
    out += "# kernel " + std::to_string(i) + "\n" + to_string(plan.kernels[i]);
  return out;
}

}  // namespace weft::ir
