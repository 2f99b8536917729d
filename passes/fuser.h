// The state of one run of fusion (fuse.h says by which rules), shared by the files of its parts:
//   fuse_values.cpp        the graph's nodes as values; views and the copies that some of them need
//   fuse_placement.cpp     which group a pointwise value joins, and where it stands in it
//   fuse_reductions.cpp    reductions make rows of groups; chains over several runs of axes
//   fuse_contractions.cpp  a product's axes, its operands as matrices
//   fuse_regions.cpp       extern operations and values that are written piece by piece
//   fuse_places.cpp        pieces that live where they end up rather than being copied there
//   fuse_storage.cpp       results; what is stored, what is computed again
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "ir/node_map.h"
#include "passes/correlations.h"
#include "passes/fuse.h"

namespace weft::passes {

/// A value over inputs, no longer than this, is computed where it is read,
inline constexpr int free_instructions = 16;
/// and reads no more buffers than this.
inline constexpr std::size_t free_leaves = 2;

inline std::size_t mix(std::size_t h, std::size_t x) {
  return (h ^ x) * 0x9e3779b97f4a7c15u + (h >> 31);
}
Dims without_units(std::span<const Dim> shape);

class Fuser {
 public:
  Fuser(const ir::Graph& graph, const FuseOptions& options) : graph_(graph), options_(options) {}
  Fused run();

 private:
  struct Placement {
    MapRef at;
    bool along_row = true;
    int phase = 0;
    std::vector<Read> reads;
  };
  Value& value(int v) { return f_.values[static_cast<std::size_t>(v)]; }
  Group& group(int g) { return f_.groups[static_cast<std::size_t>(g)]; }

  // ---- values ----
  /// Values for all nodes that an output needs, producers first, and of a node's operands first
  /// those that take few elements: so a large kernel finds what is small ready, and need not leave
  /// its values to another. An operand that is taken for its type only is not a need.
  void collect();
  static double elements(const ir::Type& type);
  static bool type_only(const ir::Node& node, std::size_t operand);
  /// What stands for an operand: windows that look past zeros read the image.
  const ir::Node* operand_of(const ir::Node& node, std::size_t number) const;
  int add(Value v);
  const Dims* own_shape(Dims shape);
  int add_node(const ir::Node& node);
  /// Equal nodes up to their operands' values have equal bodies; chains repeat a few of them.
  std::shared_ptr<const Body> body_of(const ir::Node& node);

  // ---- visiting ----
  void visit(int v);
  /// Extents that were taken as equal and may differ at a call.
  void check_equal(const Dim& a, const Dim& b, const ir::Node& node);
  void check_broadcast(int v);
  /// A view reads within its operand wherever the extents that its type rule took as equal are.
  void check_view(int v);
  /// Parts of a concatenation agree but along its axis.
  void check_beside(int v);
  void visit_view(int v);
  /// A pointwise value that holds `source` densely in another order or dtype.
  int add_copy(int source, std::vector<int> permutation, DType dtype);
  static std::vector<int> identity_order(std::size_t n);
  /// The dense copy of a view, made when first asked for.
  int copy_of(int v);
  /// A value with a dense buffer of its own, equal to `v`.
  int dense(int v);
  /// `v` as a member of group `g` reads it.
  std::optional<Read> read_in(int g, int v, const MapRef& map, std::span<const Dim> extents);
  /// As the next new group will read it, with copies made where they are needed.
  Read read_copied(int v, const MapRef& map, std::span<const Dim> extents);
  /// Copies the first value under the reshapes at the end of v's view chain that has no buffer of
  /// its own.
  void copy_blocking(int v);
  void dense_free(int v);

  // ---- groups ----
  int add_group(Group g);
  int producer_group(const Value& v);
  /// The axes of `shape` in terms of the kernel axes that `use` admits; an axis may take several of
  /// them together. Null where they do not pair up.
  template <class Use> static MapRef match(const Dims& shape, const Dims& axes, Use use);
  static bool in_row(const Group& g, std::size_t axis);
  /// Axes that the kernel will run as one must be one in every access.
  bool merges_in(const Group& g, const Affine& a) const;
  static bool has_merged_axes(const Group& g);
  bool access_fits(const Group& g, const Value& v, const Placement& p);
  MapRef make_map(const std::vector<int>& axes, std::size_t kernel_axes);
  /// Where a value of `shape` stands in `g`: along the row (or everywhere), or once a point.
  bool match_domain(int g, const Dims& shape, Placement& p);
  /// Where `v` stands in `g` if it is a member's value with its axes in another order, the last one
  /// still last: stored from where it is computed rather than copied after. Null for any other.
  MapRef reordered_in(int g, const Value& v);
  /// Resolves the operands of `v` in group `g`; false where one of them cannot be read there.
  bool read_operands(const Value& v, int g, Placement& p);
  int loads_of(const Read& r) const;
  /// What the kernel's body grows by: constants and inputs cost nothing to run.
  static int instructions_of(const Value& v);
  bool has_room(const Group& g, const Value& v, const Placement& p) const;
  bool try_place(int v, int g, bool side_by_side);
  void settle(int v, int g, Placement p);
  /// A new group over the shape of `v` with `v` in it.
  void place_alone(int v);
  void remember(int g);
  int latest(const Dims& axes, int row_begin, int row_end) const;
  int latest_over(const Dims& axes) const;
  /// Whether `v` is cheap enough to be computed wherever it is read; notes what that takes.
  bool is_free(Value& v);
  static void note_leaf(Value& v, int leaf);
  /// Whether inlined `v` can be computed at `map`, in a kernel over `extents`: that of group `g`,
  /// or a new one (-1).
  bool can_inline(int v, const MapRef& map, std::span<const Dim> extents, int g);
  /// The same of merged axes alone, for a group that is about to change.
  bool inlined_fits(const Group& g, int v, const MapRef& map);
  int next_group() const { return static_cast<int>(f_.groups.size()); }
  void place(int v);
  void place_in_group(int v);

  // ---- reductions ----
  struct ReducedAxes {
    std::vector<char> reduced;                              // one an operand axis
    std::vector<std::pair<std::size_t, std::size_t>> runs;  // of operand axes, units ignored
  };
  static ReducedAxes reduced_axes(const Dims& shape, const ir::ReduceAttrs& attrs);
  void visit_reduction(int v);
  /// `source` under another shape that differs in unit axes only.
  int unit_view(int source, const Dims& shape);
  /// The last run first, each to a value of accumulators; the last link finishes.
  void reduce_in_chain(int v, int operand, const std::shared_ptr<const ir::ReductionDef>& def,
                       const ReducedAxes& axes);
  /// Several accumulators over axes that are not adjacent: a copy with those axes last.
  void reduce_permuted(int v, int operand, const std::shared_ptr<const ir::ReductionDef>& def,
                       const ReducedAxes& axes);
  /// `v` reduces one run of adjacent axes of `operand`.
  void place_reduction(int v, int operand, std::shared_ptr<const ir::ReductionDef> def,
                       const ReducedAxes& axes);
  /// Whether reducing `operand` down its columns beside what group `g` does saves a launch that
  /// counts, or memory: both read the same. Else what it reads would only be kept for longer.
  bool gains_beside(int operand, int g);
  MapRef full_map(const Dims& shape, std::size_t axes);
  /// `run`: the reduced axes of the operand.
  bool try_reduce(int v, int g, std::pair<std::size_t, std::size_t> run);
  static std::pair<int, int> kernel_axes_of(const IndexMap& map,
                                            std::pair<std::size_t, std::size_t> run);
  bool members_fit(const Group& as_row);
  /// Decided by extents alone, so that the bits of a result never depend on what it was fused with.
  bool splits(const Group& g) const;

  // ---- contractions ----
  void visit_contraction(int v);
  static Dims extents_with_k(const Group& g);
  /// Where `v`, its axes labelled `labels` and taken in the order of `from`, is in a kernel over
  /// axes `axis_labels`.
  MapRef map_of_labels(int v, const std::string& labels, const std::string& axis_labels,
                       const std::string& from, std::size_t kernel_axes);
  /// A view that shows elements more than once, as windows do: a copy would be larger than what it
  /// is of, so that the product gathers it piece by piece.
  std::optional<Read> overlapping(int v, const std::string& labels, const std::string& axis_labels,
                                  const Group& g, DType dtype);
  /// Windows that look past the zeros around their image.
  std::optional<Read> correlated(int v, const std::string& labels, const std::string& axis_labels,
                                 Group& g);
  /// One row axis, and elements side by side along the last axis of k.
  static bool has_rows(const Affine& at, const Dims& extents, std::size_t own,
                       std::size_t own_count);
  /// One operand as strides over batch, its own rows and k; copied where there is no such form with
  /// a unit stride.
  Read contraction_operand(int v, const std::string& labels, const std::string& axis_labels,
                           const Group& g, std::size_t own_begin, std::size_t own_count,
                           DType dtype);
  /// Whether the elements of `v` at `map` lie side by side along kernel axis `own`, in longer runs
  /// than along the last axis (of k).
  bool runs_along(int v, const MapRef& map, const Dims& extents, std::size_t own);
  static bool at_least(const Dim& stride, const Dim& extent);
  bool is_matrix(const Affine& at, const Dims& extents, const Group& g, std::size_t own,
                 std::size_t own_count);

  // ---- extern operations and regions ----
  void visit_external(int v);
  void visit_regions(int v);
  MapRef full_map_of_shape(const Dims& shape);
  /// Writes operand `source` of regions `v`; returns the group that does. After group `after` (the
  /// fill).
  int place_region(int v, int source, const ir::Region& region, int after);

  // ---- pieces in place ----
  /// A member's read of a value.
  using Reader = std::pair<int, std::size_t>;
  void settle_places();
  /// Has what `piece` copies live in the piece's target, if it can.
  bool put_in_place(int piece, const std::vector<Reader>& readers);
  /// Where the elements of `v` are in `view`, views of all of it; null where that is not affine.
  MapRef place_in_view(int v, int view);
  /// Whether groups can write and read `v`, and pieces of it, where it lives now.
  bool written_in_place(const Value& v);
  bool read_in_place(int v, const std::vector<Reader>& readers);
  bool operand_fits(const Value& product, std::size_t operand);
  /// What a fill may be written over by comes after it.
  void settle_fills();

  // ---- results ----
  void place_outputs();
  /// What the runtime's own loops write or read: these go by the shape of the buffer.
  void find_externals();
  /// A reshape of a computed value is that value's own buffer.
  int output_view(int v);

  // ---- what is stored ----
  /// Groups from last to first: by then it is known which of its values later groups read.
  void settle_storage();
  void pin(int v) { value(v).stored = true; }
  /// One value is stored where several, none of them smaller, follow from it: these are computed
  /// again by who reads them.
  void store_sources(const Group& g);
  /// What the live members of a group read from others.
  void note_reads(const Group& g);
  /// What is computed again in `group` reads the value there.
  struct InlinedReader {
    int group;
    MapRef map;
    int above;  // instructions of that, down to the value
    int times;  // that it reads the value
  };
  void add_inlined_reader(int v, InlinedReader reader);
  /// What an inlined value reads in group `g`: it is stored, or its turn comes.
  void pin_inlined(const Read& read, int g, int above = 0, int times = 1);
  /// What computing a member's value outside its group takes.
  struct Again {
    int instructions = 0;
    std::set<int> read;     // from memory: inputs, stored values and values of points
    std::vector<int> with;  // members of its group that are computed again on the way
  };
  /// False where that is too much work, or not a matter of pointwise values alone.
  bool add_again(int v, Again& all);
  /// What the members of a group read from memory.
  std::set<int> read_by(const Group& g);
  /// Has the readers of `v`, and what is computed again from it, compute it themselves, if all can
  /// and that moves fewer bytes than storing it.
  bool recompute(int v);
  double bytes(int v);

  const ir::Graph& graph_;
  FuseOptions options_;
  Fused f_;
  std::vector<int> order_;
  std::vector<int> root_;  // the value under a chain of views
  ir::NodeMap<int> number_;
  std::unordered_map<const ir::Node*, Margins> margins_;  // of windows that look past zeros
  std::unordered_map<std::size_t,
                     std::vector<std::pair<const ir::Node*, std::shared_ptr<const Body>>>>
      bodies_;
  std::unordered_map<std::size_t, int>
      latest_;  // hash of a domain -> its latest group; a clash fails to match
  std::unordered_map<std::size_t, int> latest_over_;  // the same by axes alone, row or not
  std::vector<std::vector<std::pair<int, std::size_t>>> readers_;  // (member, read) in later groups
  std::vector<std::vector<InlinedReader>> inlined_readers_;
  bool is_read(int v) const {
    const auto i = static_cast<std::size_t>(v);
    return !readers_[i].empty() || !inlined_readers_[i].empty();
  }
  struct Fill {
    int value;  // that writes it
    double number;
  };
  std::unordered_map<int, Fill> fills_;  // of regions
  std::vector<std::pair<int, int>> pieces_;  // (copy, regions that it is written into), in order
  std::map<int, std::vector<int>> pieces_of_;  // regions, inner ones first
  std::unordered_map<int, int> around_;  // of a value that lives in regions: these
  std::unordered_set<int> results_;    // values whose buffer is a result
  std::unordered_set<int> externals_;  // values that the runtime's own loops meet
};

template <class Use> MapRef Fuser::match(const Dims& shape, const Dims& axes, Use use) {
  IndexMap map(shape.size(), Affine{0, Dims(axes.size(), Dim(0))});
  std::size_t k = 0;
  const auto skip = [&] {
    while (k < axes.size() && (is_unit(axes[k]) || !use(k))) ++k;
  };
  for (std::size_t i = 0; i < shape.size(); ++i) {
    if (is_unit(shape[i])) continue;
    Dim have = 1;
    std::vector<std::size_t> taken;
    do {
      skip();
      if (k == axes.size()) return nullptr;
      have = have * axes[k];
      taken.push_back(k++);
    } while (!(have == shape[i]));
    Dim stride = 1;
    for (std::size_t t = taken.size(); t-- > 0; stride = stride * axes[taken[t]])
      map[i].strides[taken[t]] = stride;
  }
  skip();
  return k == axes.size() ? std::make_shared<const IndexMap>(std::move(map)) : nullptr;
}

}  // namespace weft::passes
