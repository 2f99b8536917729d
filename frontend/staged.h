// Graphs whose shapes depend on values. A stage is a program that computes the values that some
// expansions wait for (ir::Expansion::values), and whatever else is made on the way and needed
// later; with these as constants the rest is resolved, and is the next stage. Nothing is computed
// twice, so random draws agree.
//
// The stages that follow one are kept by the values that led to them, the last few of them. Stages
// of equal structure and types are one: the iterations of a loop share their code. Where values
// keep changing, what follows is interpreted until it has been run a few times.
#pragma once

#include <memory>
#include <mutex>

#include "compile.h"
#include "runtime/staged.h"

namespace weft::frontend {

class StagedGraph final : public runtime::Staged {
 public:
  /// Types are concrete. Compiles the first stage; throws what type rules and compilation throw.
  StagedGraph(const ir::Graph& graph, std::span<const ir::Type> inputs, CompileOptions options);
  ~StagedGraph() override;

  [[nodiscard]] std::vector<Array> run(std::span<const Array* const> inputs) const override;
  /// The program of the first stage: what dumps and profiles show.
  [[nodiscard]] std::shared_ptr<const runtime::Program> first() const;
  /// Stages compiled so far.
  [[nodiscard]] std::size_t stages() const;

 private:
  struct Stage;
  struct Step;
  Step enter(const ir::Graph& graph, Tier tier) const;
  Step next(const Stage& stage, std::span<const Array> results) const;
  std::shared_ptr<const runtime::Program> program_of(const Stage& stage) const;
  void compile_stage(const Stage& stage, Tier tier) const;

  CompileOptions options_;
  mutable std::mutex mutex_;  // guards the stages and what follows each
  mutable std::vector<std::weak_ptr<Stage>> stages_;  // alive while a branch leads to them
  std::unique_ptr<Step> root_;
};

}  // namespace weft::frontend
