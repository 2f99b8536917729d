// The reactive engine: tensors that a user holds and whose inputs have values form a live graph,
// kept up to date.
//
// Leaves (`ir::ops::input` nodes) are set; every other tensor follows. Setting leaves is one
// *wave*: the held tensors that depend on them are found over weak consumer links, recomputed each
// once by compiled *cells* (a graph whose inputs are current values and whose outputs are the
// tensors wanted), and committed together. Values are computed into fresh arrays, so a wave that
// throws leaves everything as it was. Only held tensors keep values; what lies between is fused
// away. A result with the same bits as before stops the wave and wakes no watcher.
//
// One mutex guards the engine; waves compute under it, watchers run outside it. A wave's plan is
// cached with its leaf for as long as nothing is built, dropped or first set in its connected part
// of the graph; code is cached by structure. Costs: a node is one record and one link an operand; a
// repeated update is linear in the tensors it changes.
//
// A tensor is computed where its operands live. Constants, and lone numbers that live on the
// processor, are brought to the others; other operands that live apart are a DeviceError.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "ir/graph.h"
#include "runtime/array.h"
#include "runtime/program.h"
#include "runtime/staged.h"

namespace weft::runtime {

class LiveState;

/// What turns a cell into code.
class CellCompiler {
 public:
  virtual ~CellCompiler() = default;
  /// The graph's inputs may be any nodes; what stands above them does not belong to it. `hot`: it
  /// runs often enough to be worth native code. Called under the engine's mutex: it must not keep
  /// the graph's nodes or call the engine.
  virtual std::shared_ptr<const Program> compile(const ir::Graph& graph,
                                                 std::span<const ir::Type> inputs, Device device,
                                                 bool hot) = 0;
  /// The same for a graph whose shapes depend on values; null where `compile` will do.
  virtual std::shared_ptr<const Staged> stage(const ir::Graph& /*graph*/,
                                              std::span<const ir::Type> /*inputs*/,
                                              Device /*device*/, bool /*hot*/) {
    return nullptr;
  }
};
/// Installed once, before anything is evaluated; lives as long as the process.
void set_cell_compiler(CellCompiler& compiler);

// ---- the live graph -----------------------------------------------------------------------------

/// To be called for every node that gets a user handle, before the handle is counted. Enters the
/// node, and what it depends on, into the live graph. Where its type is not fully known but its
/// inputs have values, the type rules run on the types of these, and throw here.
void check_live_type(const ir::Node& node);
/// What is known of a node's type now, from its values or those of its inputs.
ir::Type live_type(const ir::Node& node);
/// Where its value is, computed if need be; the processor where it can have none yet.
Device device_of(const ir::NodeRef& node);

// ---- values -------------------------------------------------------------------------------------

[[nodiscard]] bool has_value(const ir::NodeRef& node);
/// Computes what is needed. Throws UnsetInput naming every input without a value.
[[nodiscard]] Array value(const ir::NodeRef& node);
/// Several values of one moment.
[[nodiscard]] std::vector<Array> values(std::span<const ir::NodeRef> nodes);

/// One element of a basic index tuple.
struct BasicIndex {
  enum class Kind : std::uint8_t { integer, slice, ellipsis, newaxis } kind = Kind::slice;
  std::int64_t integer = 0;
  std::optional<std::int64_t> start = {}, stop = {};
  std::int64_t step = 1;
};
using BasicIndices = std::vector<BasicIndex>;
/// The part of `base` that `index` names, sharing its storage; IndexError where it is out of range.
Array part_view(const Array& base, const BasicIndices& index, SourceLocation where);

/// How far an update is pushed: to every held tensor, to the watched ones, or nowhere (values are
/// marked stale).
enum class Push : std::uint8_t { held, watched, none };

/// A new value for a leaf, or for the part of it that `part` names, or for the elements with these
/// row-major numbers (int64, of any shape; of equal ones the last counts).
struct Change {
  ir::NodeRef leaf;
  Array value;
  std::optional<BasicIndices> part = {};
  SourceLocation where = {};
  std::optional<Array> places = {};
  [[nodiscard]] bool is_whole() const { return !part && !places; }
};
/// What a change of a part is a part of: the last whole value that this thread's transaction has
/// for it, or its present one.
Array value_to_change(const ir::NodeRef& leaf);
/// Joins this thread's transaction, else is one update of its own, pushed as `push` says.
void set_value(Change change, Push push);
/// The same for several leaves, as one update, now: no part of a transaction.
void set_values(std::vector<Change> changes, Push push);

/// This thread's transaction. Changes are checked when they are made, and applied together when
/// the outermost ends.
void begin_transaction();
/// Ends one level, whose own changes are dropped where `discard`; the outermost applies what is
/// left.
void end_transaction(bool discard, Push push);

// ---- watching -----------------------------------------------------------------------------------

using Watcher = std::function<void(const Array&)>;
/// Runs after each update that changed the node's value. The token keeps the node held; its end
/// ends the watching.
[[nodiscard]] std::shared_ptr<void> watch(const ir::NodeRef& node, Watcher watcher);

// ---- exclusive turns ----------------------------------------------------------------------------

/// A turn on several variables: until it ends, others who want to read or set them wait. The arrays
/// are taken out of the engine, so that a buffer that nobody else shares may be updated in place.
/// All are taken at once, together with the values of `reads`, so turns never wait for each other
/// in a circle.
class Lease {
 public:
  explicit Lease(std::span<const ir::NodeRef> variables, std::span<const ir::NodeRef> reads = {});
  ~Lease();  // without a commit, `value(i)` goes back
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;

  [[nodiscard]] Array& value(std::size_t i) { return values_[i]; }
  [[nodiscard]] std::span<const Array> reads() const { return reads_; }
  /// Gives the variables new values. That needs no memory unless these are of other types, or the
  /// graph was changed since the turn began; their dependents are stale from then on. Then watched
  /// dependents are computed and watchers run: what these throw reaches the caller and undoes
  /// nothing.
  void commit(std::vector<Array> values);

 private:
  void give_back() noexcept;
  std::vector<ir::NodeRef> variables_;
  std::vector<LiveState*> leaves_;  // theirs
  std::vector<Array> values_, reads_;
  std::vector<std::optional<Array>> told_;  // what watchers of a variable know: kept beside it
  bool open_ = false;
};

// ---- graphs over live values --------------------------------------------------------------------

/// A compiled graph with the types that it was compiled for. Holds no nodes.
class CellCode;
/// From the cache of cells, else compiled now.
std::shared_ptr<CellCode> cell_code(const ir::Graph& graph, std::span<const Array> inputs);
/// False where an input's dtype or shape is not what the code was compiled for.
bool fits(const CellCode& code, std::span<const Array> inputs);
std::vector<Array> run_cell(CellCode& code, std::span<const Array> inputs);
/// Whether the code has spent so long in the interpreter that it is worth native code.
bool wants_native(const CellCode& code);
void make_native(CellCode& code, const ir::Graph& graph, std::span<const Array> inputs);

// ---- what the frontend keeps with a node --------------------------------------------------------

struct Attachment {
  virtual ~Attachment() = default;
};
/// The node's attachment, made when there is none. Dies with the node.
Attachment& attachment(const ir::NodeRef& node, std::unique_ptr<Attachment> (*make)());
[[nodiscard]] Attachment* find_attachment(const ir::Node& node);

/// Marks that a wave reaching the node wipes out.
void set_marks(std::span<const ir::Node* const> nodes);
[[nodiscard]] const ir::Node* find_marked(std::span<const ir::Node* const> nodes);

/// Whether an operation gives another result each time (random draws, callbacks): its value is
/// always kept, so that all who use it agree.
[[nodiscard]] bool draws_anew(const ir::Node& node);
/// Constants that are part of the code, not inputs of it.
[[nodiscard]] bool is_inline_constant(const ir::Node& node);

/// Forgets code that no live tensor uses (it may hold working memory).
void trim_cells();
/// `w`, or `the tensor of model.cc:42`.
std::string describe(const ir::Node& node);

}  // namespace weft::runtime
