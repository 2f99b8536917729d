// What stands behind a Function: the user's graph, the variables it reads and writes, and the
// programs compiled so far.
//
// graph.inputs = the user's inputs, then the captured leaves; graph.outputs = the user's outputs,
// then the new values. A call matches its arrays against the programs compiled so far. When a third
// different extent is met on an axis, the axis becomes an unknown of the next program, which then
// serves every extent from 2 on for which the graph's own type rules give the shapes that the
// program gives; other extents have programs of their own.
//
// A call whose arrays are those of the last one's types looks for nothing: it takes no lock but
// those of the variables that it reads or writes, and allocates its results alone.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <set>
#include <span>
#include <vector>

#include "compile.h"
#include "runtime/brought.h"
#include "runtime/reactive.h"
#include "staged.h"
#include "weft/function.h"

namespace weft {

struct Function::Impl {
  ir::Graph graph;
  std::vector<Tensor> inputs;  // handles: what a user gave up may still be needed here
  std::vector<Tensor> captured;
  std::vector<std::size_t> updated;  // for each update, the index in `captured`
  std::vector<int> update_of;        // for each captured leaf, its update, or -1
  std::vector<ir::NodeRef> updated_nodes,
      read_nodes;  // the captured ones, by whether a call writes them
  std::size_t output_count = 0;
  bool depends_on_values = false;  // see passes/resolve.h
  FunctionOptions options;         // without the updates
  SourceLocation where;

  /// An axis of an input whose extent was declared as `factor` times a symbol and `offset`; or as
  /// something else that is not constant, and the symbol is empty. Bare symbols come first, then
  /// what tells its symbol too, then what can only be checked.
  struct Declared {
    std::size_t input, axis;
    Dim extent;
    std::vector<std::string> symbols;  // all that are in it
    std::string symbol;
    std::int64_t factor, offset;
  };
  std::vector<Declared> declared;
  /// ShapeError unless there are values of the symbols that give these extents.
  void check_declared(std::span<const Array* const> arrays) const;
  /// A variable's new value is of the type that the variable was declared with.
  void check_update(std::size_t update, DType dtype, const Shape& shape) const;

  /// A program and the types that it was compiled for.
  struct Entry {
    std::vector<ir::Type> types;
    std::shared_ptr<const runtime::Program> program;
    /// Where shapes depend on values: what runs. `program` is then its first stage.
    std::shared_ptr<const frontend::StagedGraph> staged = {};
    /// Shapes that were looked at and are served, where extents are unknown; guarded as `entries`
    /// are.
    mutable std::set<std::vector<Shape>> served = {};
    mutable std::vector<Shape> last = {};
    /// By the types.
    [[nodiscard]] bool accepts(std::span<const Array* const> arrays) const;
    std::vector<Shape> shapes =
        {};  // of the types, where these are concrete and there are no stages
    /// One shape an input, and no stages.
    [[nodiscard]] bool exact() const { return shapes.size() == types.size(); }
    /// Of an exact entry: whether these are dense arrays of the types of its first inputs, where
    /// its program runs.
    [[nodiscard]] bool takes(std::span<const Array* const> arrays, std::size_t first = 0) const;
    Device device = {};  // of the program
  };

  /// Where results go: into arrays that the caller has, replaced where they do not serve, or to the
  /// end of a list.
  struct Results {
    std::span<Array> into = {};
    std::vector<Array>* fresh = nullptr;
  };
  void run(std::span<const Array* const> given, Results results,
           runtime::Program::StepObserver* observer = nullptr) const;
  void run_staged(const Entry& entry, std::span<const Array* const> arrays, Results results,
                  runtime::Lease* lease) const;
  /// Checks the inputs against their declared types; puts dense arrays of these where the function
  /// runs, converted and uploaded ones into `made`, into `arrays`.
  void convert(std::span<const Array* const> given, std::span<const Array> outputs,
               std::vector<Array>& made, std::span<const Array*> arrays) const;
  /// A value where the function runs: uploaded from the processor; DeviceError, with the name of
  /// what it is, for one of another device.
  [[nodiscard]] Array placed(const Array& value, const ir::Node& of) const;
  /// The same for a captured leaf that no call writes: uploaded once for as long as it has one
  /// value.
  [[nodiscard]] Array placed_leaf(std::size_t i, const Array& value) const;
  [[nodiscard]] std::shared_ptr<Entry> compiled(std::vector<ir::Type> types) const;
  /// The entry for these arrays, compiled if there is none. Lives as long as this.
  const Entry& entry(std::span<const Array* const> arrays) const;
  /// Whether an entry that accepts these arrays gives what the graph's type rules give at their
  /// extents. Throws what these throw.
  bool covers(const Entry& entry, std::span<const Array* const> arrays) const;
  /// The entry called last, or one for the declared types and the variables' values.
  [[nodiscard]] std::shared_ptr<const Entry> representative() const;
  [[nodiscard]] frontend::CompileOptions compile_options() const;

  mutable std::mutex mutex;                                   // guards what follows
  mutable std::vector<std::shared_ptr<const Entry>> entries;  // most recent last
  mutable std::vector<std::vector<std::vector<std::int64_t>>>
      seen;  // input, axis: distinct extents
  mutable double compile_ms = 0;
  mutable std::vector<runtime::Brought> uploaded;  // one a captured leaf
  // The last of `entries` where it is exact, else null; read without the mutex. None is erased.
  mutable std::atomic<const Entry*> recent{nullptr};
  mutable std::atomic<std::int64_t> hits{0}, misses{0};  // calls by whether they found an entry
};

}  // namespace weft
