#include "passes/share_kernels.h"

#include <algorithm>
#include <unordered_map>

#include "passes/kernel_writer.h"

namespace weft::passes {
namespace {

using ir::Kernel;

constexpr std::size_t fewest = 3;  // kernels that are worth one with arguments

template <class F> void for_each_offset(Kernel& kernel, F&& visit) {
  for (ir::Access& access : kernel.accesses) visit(access.offset);
  if (!kernel.contraction) return;
  ir::Contraction& c = *kernel.contraction;
  for (Dim* offset : {&c.a_offset, &c.b_offset, &c.out_offset}) visit(*offset);
}

/// The kernel with its offsets as further symbols, equal ones as one: what is read and written at
/// one place still is. `values` gets what they stand for. An offset of 0 needs no argument.
Kernel with_arguments(const Kernel& from, std::vector<Dim>& values) {
  Kernel kernel = from;
  for_each_offset(kernel, [&](Dim& offset) {
    if (!offset.is_constant() || offset == Dim(0)) return;
    const auto found = std::ranges::find(values, offset);
    const auto number = found - values.begin() + kernel.symbols;
    if (found == values.end()) values.push_back(offset);
    offset = Dim::symbol("s" + std::to_string(number));
  });
  kernel.symbols += static_cast<int>(values.size());
  return kernel;
}

}  // namespace

void share_kernels(ir::Plan& plan) {
  struct Shared {
    Kernel kernel;
    std::vector<std::size_t> of;  // kernels
    int number = -1;              // in the new list
  };
  std::vector<Shared> shared;
  std::unordered_map<std::size_t, std::vector<std::size_t>> by_hash;
  std::vector<std::size_t> class_of(plan.kernels.size());
  std::vector<std::vector<Dim>> values(plan.kernels.size());
  for (std::size_t k = 0; k < plan.kernels.size(); ++k) {
    Kernel kernel = with_arguments(plan.kernels[k], values[k]);
    std::vector<std::size_t>& likely = by_hash[hash(kernel)];
    const auto found =
        std::ranges::find_if(likely, [&](std::size_t s) { return shared[s].kernel == kernel; });
    class_of[k] = found == likely.end() ? shared.size() : *found;
    if (found == likely.end()) {
      likely.push_back(shared.size());
      shared.push_back({std::move(kernel), {}, -1});
    }
    shared[class_of[k]].of.push_back(k);
  }
  if (std::ranges::none_of(shared, [](const Shared& s) { return s.of.size() >= fewest; })) return;

  std::vector<Kernel> kernels;
  std::vector<int> number(plan.kernels.size(), -1);
  for (std::size_t k = 0; k < plan.kernels.size(); ++k) {
    Shared& s = shared[class_of[k]];
    const bool one = s.of.size() >= fewest;
    number[k] = s.number >= 0 ? s.number : static_cast<int>(kernels.size());
    if (one && s.number >= 0) continue;
    if (one) s.number = number[k];
    kernels.push_back(one ? std::move(s.kernel) : std::move(plan.kernels[k]));
  }
  for (ir::Step& step : plan.steps) {
    auto* what = std::get_if<ir::KernelStep>(&step.what);
    if (!what) continue;
    const auto k = static_cast<std::size_t>(what->kernel);
    if (shared[class_of[k]].of.size() >= fewest)
      what->symbols.insert(what->symbols.end(), values[k].begin(), values[k].end());
    what->kernel = number[k];
  }
  plan.kernels = std::move(kernels);
}

}  // namespace weft::passes
