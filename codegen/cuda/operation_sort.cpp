#include "codegen/cuda/operation_sort.h"

#include "codegen/cuda/frame_text.h"
#include "codegen/cuda/scalar_text.h"
#include "ir/ops/ordering.h"

namespace weft::codegen {

SortBuffers reserve_sort_buffers(OperationWriter& w, std::string_view item, std::int64_t item_bytes,
                                 const Dim& lines, const Dim& n) {
  SortBuffers b;
  const Dim unit = if_above(n, sort_tile);  // else nothing but the items is needed
  b.items[0] = w.reserve(item, lines * n * Dim(item_bytes));
  b.items[1] = w.reserve(item, lines * n * Dim(item_bytes) * unit);
  b.counts = w.reserve("unsigned", lines * ceildiv(n, Dim(sort_tile)) * Dim(256 * 4) * unit);
  b.totals = w.reserve("unsigned", lines * Dim(256 * 4) * unit);
  return b;
}

void sort_by_digit(OperationWriter& w, const SortBuffers& b, const Dim& lines, const Dim& n,
                   int pass, const Dim& wanted) {
  const std::string line_count = dim_text(lines), extent = dim_text(n);
  const Dim tiles = lines * ceildiv(n, Dim(sort_tile)) * wanted;
  w.launch({.blocks = tiles, .workspace = true, .numbers = {Dim(pass)}}, "weft_count_digits",
           {b.items[0], b.items[1], b.counts, line_count, extent, "(int)n0"});
  w.launch({.blocks = lines * Dim(32) * wanted, .workspace = true}, "weft_sum_digits",
           {b.counts, b.totals, line_count, extent});
  w.launch({.blocks = tiles, .workspace = true, .numbers = {Dim(pass)}}, "weft_move_by_digit",
           {b.items[0], b.items[1], b.counts, b.totals, line_count, extent, "(int)n0"});
}

std::string sort_long_lines(OperationWriter& w, const LineDims& l, bool descending) {
  const DType t = w.operand(0).dtype;
  const Dim many = if_above(l.extent, sort_tile);
  const SortBuffers b =
      reserve_sort_buffers(w, line_item(t), size_of(t) == 8 ? 16 : 8, l.count() * many, l.extent);
  w.launch({.blocks = blocks_for(l.count() * l.extent) * many, .workspace = true},
           "weft_line_items", {w.in(0), l.text(), descending ? "true" : "false", b.items[0]});
  const int passes = static_cast<int>(size_of(t));
  for (int pass = 0; pass < passes; ++pass) sort_by_digit(w, b, l.count(), l.extent, pass, many);
  return b.items[passes % 2];
}

void check_count(OperationWriter& w, std::string_view what, const Dim& k, const Dim& extent,
                 const Dim& lines) {
  w.fault(cat({what, ": k is %1 of %2 elements"}));
  w.launch({.blocks = min(Dim(1), max(Dim(0), k - extent)) * min(Dim(1), lines),
            .threads = 32,
            .fault = true},
           "weft_report", {"fault", "step", "0", dim_text(k), dim_text(extent), "0"});
}

namespace {

/// Of every line its first `to` in order, or what `wanted` picks.
OperationText sort_lines(OperationWriter& w, std::int64_t axis, bool descending,
                         const std::string& wanted, const Dim& to) {
  const DType t = w.operand(0).dtype;
  const LineDims l = lines_of(w.shape(0), axis);
  const std::size_t out = w.inputs();
  const std::string type(element_type(t));
  const std::string values = cat({"((", type, "*)b", std::to_string(out), ")"}),
                    positions = cat({"((weft_i64*)b", std::to_string(out + 1), ")"}),
                    lines = l.text(), limit = dim_text(to), down = descending ? "true" : "false";
  const Dim many = if_above(l.extent, sort_tile), all = l.count() * l.extent;
  w.launch({.blocks = ceildiv(all, Dim(sort_tile / 2)) * (Dim(1) - many)},
           cat({"weft_sort_short<", line_item(t), ">"}),
           {w.in(0), lines, down, wanted, limit, values, positions});
  const std::string sorted = sort_long_lines(w, l, descending);
  w.launch({.blocks = blocks_for(l.count() * to) * many, .workspace = true}, "weft_line_results",
           {w.in(0), lines, sorted, wanted, limit, values, positions});
  w.schedule("up to 2048 elements a line in shared memory, else by digits of eight bits");
  return w.take();
}

template <ir::Pick What>
std::optional<OperationText> pick(OperationWriter& w, const ir::Attrs& attrs,
                                  const std::string& wanted) {
  const auto& p = attrs.get<ir::PickAttrs<What>>();
  const LineDims l = lines_of(w.shape(0), p.axis);
  check_count(w, "kthvalue", Dim(p.k), l.extent, l.count());
  return sort_lines(w, p.axis, false, wanted, 1);
}

std::optional<OperationText> search(OperationWriter& w, bool right) {
  const std::size_t out = w.inputs();
  const DType a = w.operand(0).dtype, b = w.operand(1).dtype, p = promote(a, b);
  const Dims sorted = w.shape(0), values = w.shape(1);
  const std::string width = sorted.size() > 1 ? dim_text(values.back()) : "0";
  w.launch({.blocks = blocks_for(w.count(out))},
           cat({"weft_searchsorted<", right ? "true" : "false", ", ", element_type(p), ">"}),
           {w.in(0), dim_text(sorted.back()), w.in(1), width, dim_text(w.count(out)), w.out(out)});
  w.schedule("a thread a value");
  return w.take();
}

}  // namespace

SortedPlaces sort_places(OperationWriter& w, const std::string& where, const Dim& count,
                         const Dim& places) {
  const SortBuffers b = reserve_sort_buffers(w, "weft_long_item", 16, 1, count);
  const Dim many = if_above(count, sort_tile);
  w.launch({.blocks = blocks_for(count), .workspace = true, .fault = true}, "weft_place_items",
           {b.items[0], dim_text(places), where});
  w.launch({.blocks = min(Dim(1), count) * (Dim(1) - many), .workspace = true}, "weft_sort_few",
           {b.items[0], dim_text(count)});
  constexpr int passes = 5;  // places up to 2^40
  for (int pass = 0; pass < passes; ++pass) {
    const Dim wanted =
        pass == 0 ? many : many * if_above(places, (std::int64_t{1} << (8 * pass)) - 1);
    sort_by_digit(w, b, 1, count, pass, wanted);
  }
  return {cat({"weft_sorted(", b.items[0], ", ", b.items[1], ", ", dim_text(count), ", ",
               dim_text(places), ")"})};
}

std::optional<OperationText> sort_operation(const ir::DeviceOperation& operation,
                                            std::string_view name) {
  using ir::ExternKind, ir::Pick;
  OperationWriter w(operation, name);
  w.use(sort_prelude());
  w.use(lines_prelude());
  const ir::Attrs& attrs = operation.attrs;
  if (is_complex(w.operand(0).dtype)) return {};
  if (operation.kind == ExternKind::searchsorted)
    return search(w, attrs.get<ir::SearchAttrs>().right);
  if (operation.kind == ExternKind::sort) {
    if (attrs.is<ir::RowOrderAttrs>()) return row_order(w);
    const auto& s = attrs.get<ir::SortAttrs>();
    return sort_lines(w, s.axis, s.descending, "weft_first{}", lines_of(w.shape(0), s.axis).extent);
  }
  if (attrs.is<ir::PickAttrs<Pick::kth>>()) {
    const std::int64_t k = attrs.get<ir::PickAttrs<Pick::kth>>().k;
    return pick<Pick::kth>(w, attrs, cat({"weft_kth{", std::to_string(k - 1), "}"}));
  }
  if (attrs.is<ir::PickAttrs<Pick::median>>())
    return pick<Pick::median>(w, attrs, "weft_median<false>{}");
  if (attrs.is<ir::PickAttrs<Pick::nanmedian>>())
    return pick<Pick::nanmedian>(w, attrs, "weft_median<true>{}");
  if (attrs.is<ir::PickAttrs<Pick::mode>>())
    return most_frequent(w, attrs.get<ir::PickAttrs<Pick::mode>>().axis);
  const auto& t = attrs.get<ir::TopkAttrs>();
  const std::size_t out = w.inputs(), present = w.operand(out).present ? out : out + 1;
  const Dims shape = w.shape(present);
  const Dim k = shape[axis_of(t.axis, shape.size())];
  check_count(w, "topk", k, lines_of(w.shape(0), t.axis).extent, 1);
  return sort_lines(w, t.axis, t.largest, "weft_first{}", k);
}

}  // namespace weft::codegen
