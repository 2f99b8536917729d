// Indexing: a tuple of integers, slices, ellipsis, newaxis, index tensors and masks becomes slices,
// then squeezed and new axes, then (where tensors index) the indexed axes to the front, a gather,
// and the result's axes back to where NumPy puts them. An update does the same to the base, puts
// the value in place, and goes back the same way.
#include <algorithm>

#include "apply.h"
#include "ir/builder.h"
#include "ir/ops/advanced_indexing.h"
#include "ir/ops/attrs.h"
#include "ir/ops/dynamic.h"
#include "ir/ops/ops.h"
#include "ir/ops/ordering.h"
#include "runtime/reactive.h"
#include "weft/tensor.h"

namespace weft {

namespace ops = ir::ops;
using ir::NodeRef;

Bound::Bound(const Tensor& value)
    : kind_(Kind::tensor), tensor_(std::make_shared<const Tensor>(value)) {}
Index::Index(const Tensor& value, Where where)
    : kind_(Kind::tensor), tensor_(std::make_shared<const Tensor>(value)), where_(where) {}
Index::Index(const Array& value, Where where) : Index(Tensor(value, where), where) {}

namespace {

/// Builds nodes on the line of the index.
struct Line {
  SourceLocation where;
  NodeRef operator()(const ir::Op& op, std::vector<NodeRef> operands, ir::Attrs attrs = {}) const {
    return ir::make_node(op, std::move(operands), std::move(attrs), where);
  }
  [[nodiscard]] NodeRef number(std::int64_t value) const {
    return ir::make_constant(ir::Literal::scalar_int(DType::int64, value), false, where);
  }
};

/// A slice one of whose bounds is a tensor.
struct OpenSlice {
  std::int64_t axis;
  NodeRef start, stop, step;
};

/// An index tensor or a mask, and the axis (of what slices and integers leave) where it stands.
struct Taken {
  std::int64_t axis;
  NodeRef index;
  int covered;  // axes: as many as a mask has
  bool mask;
};

/// What an index tuple asks of a tensor, in the order in which it is done.
struct Plan {
  ir::SliceAttrs slice;
  std::vector<OpenSlice> open;
  Axes squeezed;  // axes of the operand that an integer removes
  Axes inserted;  // axes of the result that newaxis adds
  std::vector<Taken> taken;
  bool together = true;  // integers and tensors stand side by side in the tuple
};

ir::Type type_of(const NodeRef& x) { return runtime::live_type(*x); }

class Planner {
 public:
  Planner(const NodeRef& base, std::span<const Index> index, SourceLocation where)
      : type_(type_of(base)), index_(index), where_(where), line_{where} {}

  Plan run() {
    int used = 0;
    for (const Index& i : index_) used += consumed(i);
    if (std::ranges::count(index_, Index::Kind::ellipsis, &Index::kind) > 1)
      throw IndexError("an index can have one ellipsis, not several", where_);
    if (type_.shape && used > std::ssize(*type_.shape))
      throw IndexError("too many indices: " + std::to_string(used) + " for " + ir::to_string(type_),
                       where_);

    const auto ellipsis_at = std::ranges::find(index_, Index::Kind::ellipsis, &Index::kind);
    const bool has_ellipsis = ellipsis_at != index_.end();
    front(std::span(index_.begin(), ellipsis_at));
    if (has_ellipsis) back(std::span(ellipsis_at + 1, index_.end()));
    plan_.together = stand_together();
    return std::move(plan_);
  }

 private:
  static bool is_mask(const NodeRef& index) { return type_of(index).dtype == DType::boolean; }

  /// Axes of the operand that an index uses up.
  int consumed(const Index& index) const {
    switch (index.kind()) {
      case Index::Kind::ellipsis:
      case Index::Kind::newaxis: return 0;
      case Index::Kind::integer:
      case Index::Kind::slice: return 1;
      case Index::Kind::tensor: break;
    }
    if (!is_mask(index.tensor().node())) return 1;
    const auto rank = type_of(index.tensor().node()).rank();
    if (!rank && index_.size() > 1)
      throw ShapeError("a mask beside other indices: its number of axes must be known", where_);
    return rank.value_or(1);  // by itself it stands for the first axes, however many
  }

  /// Whether nothing else stands between the integers and tensors.
  bool stand_together() const {
    const auto advanced = [](const Index& i) {
      return i.kind() == Index::Kind::integer || i.kind() == Index::Kind::tensor;
    };
    const auto first = std::ranges::find_if(index_, advanced);
    const auto gap = std::find_if_not(first, index_.end(), advanced);
    return std::none_of(gap, index_.end(), advanced);
  }

  void front(std::span<const Index> part) {
    std::int64_t axis = 0, result = 0;
    for (const Index& index : part) {
      if (index.kind() == Index::Kind::newaxis) {
        plan_.inserted.push_back(result++);
        continue;
      }
      const int n = consumed(index);
      result += take(index, axis, result, n);
      axis += n;
    }
  }

  /// After the ellipsis, axes are counted from the end.
  void back(std::span<const Index> part) {
    std::int64_t axis = 0, result = 0;
    const std::size_t before = plan_.taken.size();
    for (auto it = part.rbegin(); it != part.rend(); ++it) {
      if (it->kind() == Index::Kind::newaxis) {
        plan_.inserted.push_back(--result);
        continue;
      }
      const int n = consumed(*it);
      axis -= n;
      result -= it->kind() == Index::Kind::integer ? 0 : n;
      take(*it, axis, result, n);
    }
    std::reverse(plan_.taken.begin() + static_cast<std::ptrdiff_t>(before), plan_.taken.end());
  }

  /// How many axes are still there in what slices and integers leave.
  int take(const Index& index, std::int64_t axis, std::int64_t result, int covered) {
    switch (index.kind()) {
      case Index::Kind::integer: {
        const std::int64_t at = index.integer();
        check_range(at, axis);
        add(axis, at, at == -1 ? ir::slice_open_high : at + 1, 1);
        plan_.squeezed.push_back(axis);
        return 0;
      }
      case Index::Kind::slice: take_slice(index.slice(), axis); break;
      case Index::Kind::tensor:
        plan_.taken.push_back(
            {result, index.tensor().node(), covered, is_mask(index.tensor().node())});
        break;
      case Index::Kind::ellipsis:
      case Index::Kind::newaxis: break;
    }
    return covered;
  }

  void take_slice(const Slice& s, std::int64_t axis) {
    if (s.step == 0) throw IndexError("a slice with step 0", where_);
    if (s.start.absent() && s.stop.absent() && s.step == 1) return;
    const bool down = s.step < 0;
    const std::int64_t first = down ? ir::slice_open_high : 0,
                       last = down ? ir::slice_open_low : ir::slice_open_high;
    if (s.start.tensor() || s.stop.tensor()) {
      plan_.open.push_back(
          {axis, bound(s.start, first), bound(s.stop, last), line_.number(s.step)});
      return;
    }
    const auto whole = [](const Bound& b, std::int64_t absent) {
      return b.absent() ? absent : *b.integer();
    };
    add(axis, whole(s.start, first), whole(s.stop, last), s.step);
  }

  NodeRef bound(const Bound& b, std::int64_t absent) const {
    if (b.tensor()) return b.tensor()->node();
    return line_.number(b.absent() ? absent : *b.integer());
  }

  void add(std::int64_t axis, std::int64_t start, std::int64_t stop, std::int64_t step) {
    plan_.slice.axes.push_back(axis);
    plan_.slice.starts.emplace_back(start);
    plan_.slice.stops.emplace_back(stop);
    plan_.slice.steps.push_back(step);
  }

  void check_range(std::int64_t at, std::int64_t axis) const {
    if (!type_.shape) return;
    const auto rank = std::ssize(*type_.shape);
    const Dim& extent = (*type_.shape)[static_cast<std::size_t>(axis < 0 ? axis + rank : axis)];
    if (const auto n = extent.constant(); n && (at >= *n || at < -*n))
      throw IndexError("index " + std::to_string(at) + " is out of range for axis " +
                           std::to_string(axis < 0 ? axis + rank : axis) + " of " +
                           ir::to_string(type_),
                       where_);
  }

  ir::Type type_;
  std::span<const Index> index_;
  SourceLocation where_;
  Line line_;
  Plan plan_;
};

/// The stages of one index, each a node: what an update needs to go back through them.
struct Stages {
  NodeRef base;
  NodeRef sliced;               // by integers and constant bounds
  std::vector<NodeRef> opened;  // after each slice whose bounds are tensors
  NodeRef basic;                // squeezed, with new axes
  // Where tensors index:
  Axes to_front;  // the permutation that brings indexed axes to the front; empty for none
  NodeRef fronted;
  NodeRef merged;       // with the axes that a single mask covers as one
  NodeRef indices;      // of rows of `merged`; undefined where `places` is used
  NodeRef places;       // tuples of indices, along the last axis
  std::int64_t at = 0;  // where the indices' axes stand in the result
  int index_rank = 0;   // how many they are, where that matters
  NodeRef result;
};

class Indexing {
 public:
  Indexing(const NodeRef& base, std::span<const Index> index, SourceLocation where)
      : line_{where}, plan_(Planner(base, index, where).run()) {
    s_.base = base;
    apply_basic();
    if (plan_.taken.empty())
      s_.result = s_.basic;
    else
      apply_tensors();
  }

  [[nodiscard]] const NodeRef& result() const { return s_.result; }
  [[nodiscard]] NodeRef updated(const NodeRef& value, const char* reduction) const;

 private:
  [[nodiscard]] bool plain() const {  // nothing but tensors
    return s_.basic == s_.base;
  }

  void apply_basic() {
    s_.sliced = plan_.slice.axes.empty() ? s_.base : line_(ops::slice, {s_.base}, plan_.slice);
    NodeRef x = s_.sliced;
    for (const OpenSlice& o : plan_.open) {
      x = line_(ops::slice_by, {x, o.start, o.stop, line_.number(o.axis), o.step});
      s_.opened.push_back(x);
    }
    if (!plan_.squeezed.empty()) x = line_(ops::squeeze, {x}, ir::AxesAttrs{plan_.squeezed});
    if (!plan_.inserted.empty()) x = line_(ops::expand_dims, {x}, ir::AxesAttrs{plan_.inserted});
    s_.basic = x;
  }

  void apply_tensors() {
    arrange();
    if (plan_.taken.size() == 1) {
      const Taken& only = plan_.taken[0];
      s_.merged = only.mask ? line_(ops::merge_masked, {s_.fronted, only.index}, ir::AxisAttrs{0})
                            : s_.fronted;
      s_.indices = only.mask ? positions(only.index) : only.index;
      s_.result = line_(ops::gather_rows, {s_.merged, s_.indices});
    } else {
      s_.merged = s_.fronted;
      s_.places = tuples();
      s_.result = line_(ops::gather_nd, {s_.fronted, s_.places}, ir::GatherNdAttrs{});
    }
    if (s_.at > 0) s_.result = line_(ops::permute, {s_.result}, ir::AxesAttrs{to_place()});
  }

  /// Decides where axes go; the operand's rank is needed unless the first axes are the indexed
  /// ones.
  void arrange() {
    std::int64_t next = 0;
    bool leading = true;
    for (const Taken& t : plan_.taken) {
      leading = leading && t.axis == next;
      next += t.covered;
    }
    s_.fronted = s_.basic;
    if (leading) return;
    const auto rank = type_of(s_.basic).rank();
    if (!rank)
      throw ShapeError("an index tensor behind other axes: the number of axes must be known",
                       line_.where);
    std::vector<bool> indexed(static_cast<std::size_t>(*rank), false);
    for (const Taken& t : plan_.taken)
      for (std::int64_t i = 0; i < t.covered; ++i) {
        s_.to_front.push_back((t.axis < 0 ? t.axis + *rank : t.axis) + i);
        indexed[static_cast<std::size_t>(s_.to_front.back())] = true;
      }
    s_.at = plan_.together ? s_.to_front.front() : 0;
    for (std::int64_t i = 0; i < *rank; ++i)
      if (!indexed[static_cast<std::size_t>(i)]) s_.to_front.push_back(i);
    s_.fronted = line_(ops::permute, {s_.basic}, ir::AxesAttrs{s_.to_front});
    if (s_.at == 0) return;
    for (const Taken& t : plan_.taken) {
      const auto axes = t.mask ? std::optional(1) : type_of(t.index).rank();
      if (!axes) throw ShapeError("index tensors: their number of axes must be known", line_.where);
      s_.index_rank = std::max(s_.index_rank, *axes);
    }
    rest_ = *rank;
    for (const Taken& t : plan_.taken) rest_ -= t.covered;
  }

  /// The permutation that puts the indices' axes, which come first, where the indexed axes were.
  [[nodiscard]] Axes to_place() const {
    Axes axes;
    for (std::int64_t i = 0; i < s_.at; ++i) axes.push_back(s_.index_rank + i);
    for (std::int64_t i = 0; i < s_.index_rank; ++i) axes.push_back(i);
    for (std::int64_t i = s_.at; i < rest_; ++i) axes.push_back(s_.index_rank + i);
    return axes;
  }

  /// The positions of a mask's true elements, flattened.
  [[nodiscard]] NodeRef positions(const NodeRef& mask) const {
    return line_(ops::nonzero_counted, {mask, line_(ops::sum, {mask}, ir::ReduceAttrs{})});
  }

  /// Index tensors and masks, broadcast together: one column each, or one an axis of a mask.
  [[nodiscard]] NodeRef tuples() const {
    std::vector<NodeRef> lists;  // an index tensor, or a mask's flat positions
    for (const Taken& t : plan_.taken) lists.push_back(t.mask ? positions(t.index) : t.index);
    NodeRef met = line_(ops::zeros_like, {lists[0]});
    for (std::size_t i = 1; i < lists.size(); ++i)
      met = line_(ops::add, {met, line_(ops::zeros_like, {lists[i]})});
    std::vector<NodeRef> columns;
    std::int64_t axis = 0;
    for (std::size_t i = 0; i < lists.size(); ++i) {
      const Taken& t = plan_.taken[i];
      const NodeRef column =
          t.mask ? line_(ops::mask_places, {lists[i], t.index, s_.fronted}, ir::AxisAttrs{axis})
                 : as_column(lists[i]);
      const NodeRef target =
          t.mask ? line_(ops::add, {as_column(met), line_(ops::zeros_like, {column})})
                 : as_column(met);
      columns.push_back(line_(ops::broadcast_like, {column, target}));
      axis += t.covered;
    }
    return line_(ops::concatenate, std::move(columns), ir::AxisAttrs{-1});
  }
  [[nodiscard]] NodeRef as_column(const NodeRef& x) const {
    return line_(ops::expand_dims, {x}, ir::AxesAttrs{{-1}});
  }

  [[nodiscard]] NodeRef like(const NodeRef& x, const NodeRef& target) const {
    return line_(ops::reshape_like, {x, target});
  }
  [[nodiscard]] NodeRef put_tensors(const NodeRef& spread, const char* reduction) const;
  [[nodiscard]] NodeRef put_basic(const NodeRef& part) const;

  Line line_;
  Plan plan_;
  Stages s_;
  std::int64_t rest_ = 0;  // axes that no tensor indexes
};

Axes inverse(const Axes& permutation) {
  Axes result(permutation.size());
  for (std::size_t i = 0; i < permutation.size(); ++i)
    result[static_cast<std::size_t>(permutation[i])] = static_cast<std::int64_t>(i);
  return result;
}

/// `basic` with `spread`, of the result's shape, at the places that tensors index.
NodeRef Indexing::put_tensors(const NodeRef& spread, const char* reduction) const {
  NodeRef updates = spread;
  if (s_.at > 0) updates = line_(ops::permute, {updates}, ir::AxesAttrs{inverse(to_place())});
  const bool single = plan_.taken.size() == 1;
  NodeRef put =
      line_(ops::scatter_nd, {s_.merged, single ? as_column(s_.indices) : s_.places, updates},
            ir::ScatterNdAttrs{0, reduction});
  if (s_.merged != s_.fronted) put = like(put, s_.fronted);
  if (!s_.to_front.empty()) put = line_(ops::permute, {put}, ir::AxesAttrs{inverse(s_.to_front)});
  return put;
}

/// `part`, of the shape of `basic`, at its places in a tensor like the base; zeros elsewhere.
NodeRef Indexing::put_basic(const NodeRef& part) const {
  NodeRef x = part;
  const bool reshaped = !plan_.squeezed.empty() || !plan_.inserted.empty();
  if (reshaped) x = like(x, s_.opened.empty() ? s_.sliced : s_.opened.back());
  for (std::size_t i = plan_.open.size(); i-- > 0;) {
    const OpenSlice& o = plan_.open[i];
    const NodeRef& whole = i == 0 ? s_.sliced : s_.opened[i - 1];
    x = line_(ops::unslice_by, {x, whole, o.start, o.stop, line_.number(o.axis), o.step});
  }
  if (!plan_.slice.axes.empty()) x = line_(ops::unslice, {x, s_.base}, plan_.slice);
  return x;
}

NodeRef Indexing::updated(const NodeRef& value, const char* reduction) const {
  const NodeRef cast = line_(ops::cast_like, {value, s_.base});
  const NodeRef spread = line_(ops::broadcast_like, {cast, s_.result});
  const bool tensors = !plan_.taken.empty(), adds = std::string_view(reduction) == "add";
  if (!tensors && adds) return line_(ops::add, {s_.base, put_basic(spread)});
  const NodeRef part = tensors ? put_tensors(spread, reduction) : spread;
  if (plain()) return part;
  const NodeRef yes = ir::make_constant(ir::Literal::scalar(DType::boolean, 1), false, line_.where);
  const NodeRef there = put_basic(line_(ops::broadcast_like, {yes, s_.basic}));
  return line_(ops::where, {there, put_basic(part), s_.base});
}

SourceLocation first_line(std::span<const Index> tuple) {
  return tuple.empty() ? SourceLocation() : SourceLocation(tuple.front().where());
}

}  // namespace

Tensor Tensor::operator[](const Index& at) const {
  return Tensor(Indexing(node(), std::span(&at, 1), at.where()).result());
}
Tensor Tensor::operator[](std::initializer_list<Index> at) const {
  const std::span tuple(at.begin(), at.size());
  return Tensor(Indexing(node(), tuple, first_line(tuple)).result());
}

Tensor frontend::indexed(const Tensor& x, const std::vector<Index>& index, SourceLocation where) {
  return Tensor(Indexing(x.node(), index, where).result());
}

TensorUpdate Tensor::at(std::initializer_list<Index> at, Where where) const {
  return TensorUpdate(*this, std::vector<Index>(at), where);
}
TensorUpdate Tensor::at(const Index& at, Where where) const {
  return TensorUpdate(*this, {at}, where);
}

TensorUpdate::TensorUpdate(Tensor base, std::vector<Index> index, SourceLocation where)
    : base_(std::move(base)), index_(std::move(index)), where_(where) {}

Tensor TensorUpdate::add(const Operand& value) const {
  return Tensor(Indexing(base_.node(), index_, where_).updated(value.node(), "add"));
}
Tensor TensorUpdate::set(const Operand& value) const {
  return Tensor(Indexing(base_.node(), index_, where_).updated(value.node(), "none"));
}

}  // namespace weft
