// Evaluation modes, transactions and values, over the reactive engine.
#include "weft/eval.h"

#include <algorithm>
#include <exception>

#include "apply.h"
#include "compile.h"
#include "ir/node.h"
#include "live.h"
#include "passes/resolve.h"
#include "runtime/buffer.h"
#include "staged.h"

namespace weft {
namespace {

thread_local EvalMode mode = EvalMode::greedy;

class Cells final : public runtime::CellCompiler {
 public:
  std::shared_ptr<const runtime::Program> compile(const ir::Graph& graph,
                                                  std::span<const ir::Type> inputs, Device device,
                                                  bool hot) override {
    frontend::CompileOptions options;
    options.device = device;
    if (!hot) options.tier = frontend::Tier::interpreted;
    return frontend::compile(graph, inputs, options);
  }
  std::shared_ptr<const runtime::Staged> stage(const ir::Graph& graph,
                                               std::span<const ir::Type> inputs, Device device,
                                               bool hot) override {
    if (!passes::depends_on_values(graph)) return nullptr;
    frontend::CompileOptions options;
    options.device = device;
    if (!hot) options.tier = frontend::Tier::interpreted;
    return std::make_shared<frontend::StagedGraph>(graph, inputs, options);
  }
};

runtime::BasicIndex basic_index(const Index& index) {
  using Kind = runtime::BasicIndex::Kind;
  const auto bound = [](const Bound& b) -> std::optional<std::int64_t> {
    if (b.integer()) return *b.integer();
    if (b.tensor()) return b.tensor()->value().item<std::int64_t>();
    return std::nullopt;
  };
  switch (index.kind()) {
    case Index::Kind::integer: return {.kind = Kind::integer, .integer = index.integer()};
    case Index::Kind::ellipsis: return {.kind = Kind::ellipsis};
    case Index::Kind::newaxis: return {.kind = Kind::newaxis};
    case Index::Kind::slice: {
      const Slice& slice = index.slice();
      return {.kind = Kind::slice,
              .start = bound(slice.start),
              .stop = bound(slice.stop),
              .step = slice.step};
    }
    case Index::Kind::tensor: break;
  }
  __builtin_unreachable();  // names elements, not a part
}

bool names_elements(const Index& index) { return index.kind() == Index::Kind::tensor; }

/// The row-major numbers of the elements of `x` that `index` names.
Array places_of(const Tensor& x, const std::vector<Index>& index, SourceLocation where) {
  const Shape shape = runtime::value_to_change(x.node()).shape();
  const Tensor numbers(arange(element_count(shape)).reshape(shape));
  return frontend::indexed(numbers, index, where).value().contiguous();
}

}  // namespace

void frontend::install_cells() {
  static const bool installed = [] {
    static Cells cells;
    runtime::set_cell_compiler(cells);
    return true;
  }();
  (void)installed;
}

runtime::Push frontend::push_mode() {
  switch (mode) {
    case EvalMode::greedy: return runtime::Push::held;
    case EvalMode::lazy: return runtime::Push::none;
  }
  __builtin_unreachable();
}

EvalMode eval_mode() { return mode; }
ScopedEvalMode::ScopedEvalMode(EvalMode wanted) : previous_(std::exchange(mode, wanted)) {}
ScopedEvalMode::~ScopedEvalMode() { mode = previous_; }

// ---- transactions -------------------------------------------------------------------------------

Transaction::Transaction() : exceptions_(std::uncaught_exceptions()) {
  runtime::begin_transaction();
}

Transaction::~Transaction() noexcept(false) {
  if (!std::exchange(open_, false)) return;
  runtime::end_transaction(std::uncaught_exceptions() > exceptions_, frontend::push_mode());
}

void Transaction::commit() {
  if (std::exchange(open_, false)) runtime::end_transaction(false, frontend::push_mode());
}

std::int64_t live_objects() {
  runtime::trim_cells();
  return ir::live_nodes() + runtime::live_buffers();
}

// ---- values -------------------------------------------------------------------------------------

bool Tensor::has_value() const { return runtime::has_value(node()); }
Array Tensor::value() const { return runtime::value(node()); }

void Tensor::set_value(const Array& value, Where where) {
  runtime::set_value({node(), value, {}, where}, frontend::push_mode());
}

void Tensor::set_value(std::initializer_list<Index> index, const Array& value, Where where) {
  set_value(std::vector<Index>(index), value, where);
}

void Tensor::set_value(const std::vector<Index>& index, const Array& value, Where where) {
  runtime::Change change{node(), value, {}, where};
  if (std::ranges::any_of(index, names_elements)) {
    change.places = places_of(*this, index, where);
  } else {
    change.part.emplace();
    for (const Index& one : index) change.part->push_back(basic_index(one));
  }
  runtime::set_value(std::move(change), frontend::push_mode());
}

Subscription Tensor::on_change(std::function<void(const Array&)> watcher) const {
  if (!watcher)
    throw Error("on_change of " + runtime::describe(*node()) + ": there is no function to call",
                node()->where());
  return Subscription(runtime::watch(node(), std::move(watcher)));
}

}  // namespace weft
