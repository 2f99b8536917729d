// Indexing: a tuple of integers, slices, ellipsis, newaxis and index tensors becomes a slice, then
// squeezed and new axes, then a gather of rows.
#include <algorithm>

#include "apply.h"
#include "ir/builder.h"
#include "ir/ops/attrs.h"
#include "runtime/reactive.h"
#include "weft/ops.h"

namespace weft {

namespace ops = ir::ops;
using frontend::apply;

Bound::Bound(const Tensor& value)
    : kind_(Kind::tensor), tensor_(std::make_shared<const Tensor>(value)) {}
Index::Index(const Tensor& value, Where where)
    : kind_(Kind::tensor), tensor_(std::make_shared<const Tensor>(value)), where_(where) {}
Index::Index(const Array& value, Where where) : Index(Tensor(value, where), where) {}

namespace {

/// What an index tuple asks of a tensor, in the order in which it is done.
struct Plan {
  ir::SliceAttrs slice;
  Axes squeezed;  // axes of the operand that an integer removes
  Axes inserted;  // axes of the result that newaxis adds
  std::optional<std::pair<std::int64_t, Tensor>> gathered;  // axis (after squeezing) and indices
};

std::int64_t bound_of(const Bound& bound, std::int64_t absent, SourceLocation where) {
  if (bound.absent()) return absent;
  if (const std::int64_t* integer = bound.integer()) return *integer;
  const Tensor& tensor = *bound.tensor();
  throw UnsupportedOp("a slice bound that is a tensor" +
                          (tensor.name().empty() ? std::string() : " (" + tensor.name() + ")"),
                      where);
}

class Planner {
 public:
  Planner(const Tensor& base, std::span<const Index> index, SourceLocation where)
      : type_(runtime::live_type(*base.node())), index_(index), where_(where) {}

  Plan run() {
    const auto consumes = [](const Index& i) {
      return i.kind() != Index::Kind::ellipsis && i.kind() != Index::Kind::newaxis;
    };
    const auto used = std::ranges::count_if(index_, consumes);
    if (std::ranges::count(index_, Index::Kind::ellipsis, &Index::kind) > 1)
      throw IndexError("an index can have one ellipsis, not several", where_);
    if (type_.shape && used > std::ssize(*type_.shape))
      throw IndexError("too many indices: " + std::to_string(used) + " for " + ir::to_string(type_),
                       where_);

    const auto ellipsis_at = std::ranges::find(index_, Index::Kind::ellipsis, &Index::kind);
    const bool has_ellipsis = ellipsis_at != index_.end();
    front(std::span(index_.begin(), ellipsis_at));
    if (has_ellipsis) back(std::span(ellipsis_at + 1, index_.end()));
    if (plan_.gathered && !plan_.inserted.empty())
      throw UnsupportedOp("newaxis beside an index tensor; use unsqueeze", where_);
    return std::move(plan_);
  }

 private:
  void front(std::span<const Index> part) {
    std::int64_t axis = 0, result = 0;
    for (const Index& index : part) {
      if (index.kind() == Index::Kind::newaxis)
        plan_.inserted.push_back(result++);
      else
        result += take(index, axis++, result) ? 1 : 0;
    }
  }

  /// After the ellipsis, axes are counted from the end.
  void back(std::span<const Index> part) {
    std::int64_t axis = -1, result = -1;
    for (auto it = part.rbegin(); it != part.rend(); ++it) {
      if (it->kind() == Index::Kind::newaxis)
        plan_.inserted.push_back(result--);
      else
        result -= take(*it, axis--, result) ? 1 : 0;
    }
  }

  /// Whether the axis is still there in the result.
  bool take(const Index& index, std::int64_t axis, std::int64_t result) {
    switch (index.kind()) {
      case Index::Kind::integer: {
        const std::int64_t at = index.integer();
        check_range(at, axis);
        add(axis, at, at == -1 ? ir::slice_open_high : at + 1, 1);
        plan_.squeezed.push_back(axis);
        return false;
      }
      case Index::Kind::slice: {
        const Slice& s = index.slice();
        if (s.step == 0) throw IndexError("a slice with step 0", where_);
        if (s.start.absent() && s.stop.absent() && s.step == 1) return true;
        const bool down = s.step < 0;
        add(axis, bound_of(s.start, down ? ir::slice_open_high : 0, where_),
            bound_of(s.stop, down ? ir::slice_open_low : ir::slice_open_high, where_), s.step);
        return true;
      }
      case Index::Kind::tensor: {
        if (index.tensor().node()->type().dtype == DType::boolean)
          throw UnsupportedOp("indexing with a boolean mask", where_);
        if (plan_.gathered) throw UnsupportedOp("more than one index tensor", where_);
        plan_.gathered.emplace(result, index.tensor());
        return true;
      }
      case Index::Kind::ellipsis:
      case Index::Kind::newaxis: break;
    }
    return true;
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
  Plan plan_;
};

Tensor slice_and_squeeze(const Tensor& base, const Plan& plan, SourceLocation where) {
  Tensor result = base;
  if (!plan.slice.axes.empty()) result = apply(ops::slice, {result.node()}, plan.slice, where);
  if (!plan.squeezed.empty())
    result = apply(ops::squeeze, {result.node()}, ir::AxesAttrs{plan.squeezed}, where);
  if (!plan.inserted.empty())
    result = apply(ops::expand_dims, {result.node()}, ir::AxesAttrs{plan.inserted}, where);
  return result;
}

Tensor index(const Tensor& base, std::span<const Index> tuple) {
  const std::source_location where = tuple.empty() ? std::source_location() : tuple.front().where();
  const Plan plan = Planner(base, tuple, where).run();
  const Tensor sliced = slice_and_squeeze(base, plan, where);
  if (!plan.gathered) return sliced;
  return index_select(Operand(sliced, where), plan.gathered->first,
                      Operand(plan.gathered->second, where));
}

}  // namespace

Tensor Tensor::operator[](const Index& at) const { return index(*this, std::span(&at, 1)); }
Tensor Tensor::operator[](std::initializer_list<Index> at) const {
  return index(*this, std::span(at.begin(), at.size()));
}

TensorUpdate Tensor::at(std::initializer_list<Index> at, Where where) const {
  return TensorUpdate(*this, std::vector<Index>(at), where);
}
TensorUpdate Tensor::at(const Index& at, Where where) const {
  return TensorUpdate(*this, {at}, where);
}

TensorUpdate::TensorUpdate(Tensor base, std::vector<Index> index, SourceLocation where)
    : base_(std::move(base)), index_(std::move(index)), where_(where) {}

namespace {

/// `value`, broadcast over what the index selects, at its places in a tensor like `base`; zeros
/// elsewhere.
Tensor place(const Tensor& base, const Plan& plan, const ir::NodeRef& value, SourceLocation where) {
  const Tensor selected = slice_and_squeeze(base, plan, where);
  Tensor spread = apply(ops::broadcast_like, {value, selected.node()}, {}, where);
  if (plan.slice.axes.empty())
    return apply(ops::reshape_like, {spread.node(), base.node()}, {}, where);
  const Tensor sliced = apply(ops::slice, {base.node()}, plan.slice, where);
  spread = apply(ops::reshape_like, {spread.node(), sliced.node()}, {}, where);
  return apply(ops::unslice, {spread.node(), base.node()}, plan.slice, where);
}

Plan basic_plan(const Tensor& base, const std::vector<Index>& index, SourceLocation where) {
  Plan plan = Planner(base, index, where).run();
  if (plan.gathered) throw UnsupportedOp("at(…) with an index tensor", where);
  return plan;
}

}  // namespace

Tensor TensorUpdate::add(const Operand& value) const {
  const Plan plan = basic_plan(base_, index_, where_);
  const Tensor cast = apply(ops::cast_like, {value.node(), base_.node()}, {}, where_);
  return apply(ops::add, {base_.node(), place(base_, plan, cast.node(), where_).node()}, {},
               where_);
}

Tensor TensorUpdate::set(const Operand& value) const {
  const Plan plan = basic_plan(base_, index_, where_);
  const Tensor cast = apply(ops::cast_like, {value.node(), base_.node()}, {}, where_);
  const ir::NodeRef yes = ir::make_constant(ir::Literal::scalar(DType::boolean, 1), false, where_);
  return apply(ops::where,
               {place(base_, plan, yes, where_).node(),
                place(base_, plan, cast.node(), where_).node(), base_.node()},
               {}, where_);
}

}  // namespace weft
