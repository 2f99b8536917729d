#include "ir/ops/attention.h"

#include <limits>

#include "ir/ops/linalg_rules.h"

namespace weft::ir {
namespace {

using linalg::as_column;
using linalg::mm;
using linalg::tr;
using linalg::with_last;

constexpr double infinity = std::numeric_limits<double>::infinity();

// ---- type rules ----

/// Which operands are what; -1 where a row has none.
struct Places {
  int query = 0, key = 1, value = 2, mask = 3;
};
constexpr Places forward{}, weights{0, 1, -1, 2}, backward{1, 2, 3, 6};

std::size_t at(int operand) { return static_cast<std::size_t>(operand); }
bool has_mask(std::size_t operands, const Places& p) { return operands > at(p.mask); }

void check_dtypes(const InferContext& c, const Places& p) {
  refuse_complex(c);
  const auto dtype = c.type(at(p.query)).dtype;
  for (const int i : {p.query, p.key, p.value}) {
    if (i < 0 || !c.type(at(i)).dtype) continue;
    if (!is_floating(*c.type(at(i)).dtype))
      fail_dtype(c, "query, key and value must be floating; cast them");
    if (dtype && c.type(at(i)).dtype != dtype)
      fail_dtype(c, "query, key and value must have one dtype; cast them");
  }
  if (!has_mask(c.inputs.size(), p)) return;
  if (const auto m = c.type(at(p.mask)).dtype; m && *m != DType::boolean && dtype && *m != *dtype)
    fail_dtype(c, "a mask is boolean or has the query's dtype, not " + std::string(name(*m)));
}

/// Batch, queries, keys, where ranks are known.
struct Scores {
  Dims batch;
  Dim queries, keys;
  [[nodiscard]] Dims shape() const {
    Dims all = batch;
    all.insert(all.end(), {queries, keys});
    return all;
  }
};

/// The shapes of the operands fit: what the scores are like. Heads may be more by a factor in
/// queries than in keys (`grouped`): axis -3.
std::optional<Scores> scores_of(const InferContext& c, const Places& p, bool grouped = false) {
  check_dtypes(c, p);
  std::vector<Dims> shapes;
  for (const int i : {p.query, p.key, p.value}) {
    if (i < 0) continue;
    if (const auto& shape = c.type(at(i)).shape; shape) {
      if (shape->size() < (grouped ? 3u : 2u))
        fail_shape(c, grouped ? "needs (heads, length, size) last" : "needs (length, size) last");
      shapes.push_back(*shape);
    }
  }
  if (shapes.size() < (p.value < 0 ? 2u : 3u)) return std::nullopt;
  unify(c, shapes[0].back(), shapes[1].back(), "sizes of a query's and a key's head");
  Scores s{{}, linalg::rows_of(shapes[0]), linalg::rows_of(shapes[1])};
  if (p.value >= 0)
    s.keys = unify(c, s.keys, linalg::rows_of(shapes[2]), "lengths of key and value");
  for (const Dims& shape : shapes) {
    Dims batch(shape.begin(), shape.end() - 2);
    if (grouped) {
      const Dim &heads = shapes[0][shapes[0].size() - 3], &own = batch.back();
      if (heads.is_constant() && own.is_constant() &&
          (own == Dim(0) ? heads != Dim(0) : heads.value() % own.value() != 0))
        fail_shape(c, heads.str() + " heads of queries for " + own.str() + " of keys and values");
      batch.back() = heads;
    }
    s.batch = with_context(c, [&] { return broadcast_dims(s.batch, batch); });
  }
  if (!has_mask(c.inputs.size(), p)) return s;
  if (const auto& mask = c.type(at(p.mask)).shape) {
    const Dims all = s.shape();
    const Dims met = with_context(c, [&] { return broadcast_dims(all, *mask); });
    for (std::size_t i = 0; i < met.size(); ++i)
      if (met.size() != all.size() || always_differ(met[i], all[i]))
        fail_shape(
            c, "a mask broadcasts to the scores' shape " + to_string(std::span<const Dim>(all)));
  }
  return s;
}

/// At least float32.
std::optional<DType> wide(std::optional<DType> t) {
  return t ? std::optional(compute_dtype(*t)) : std::nullopt;
}

template <bool Grouped> Type infer_attention(const InferContext& c) {
  const auto s = scores_of(c, forward, Grouped);
  Type result{c.type(0).dtype, {}};
  if (s) {
    result.shape = s->batch;
    result.shape->insert(result.shape->end(), {s->queries, c.type(2).shape->back()});
  }
  return result;
}
std::vector<Type> infer_logsumexp(const InferContext& c) {
  Type result{wide(c.type(0).dtype), {}};
  if (const auto s = scores_of(c, forward)) {
    result.shape = s->batch;
    result.shape->push_back(s->queries);
  }
  return {result};
}
Type infer_weights(const InferContext& c) {
  Type result{c.type(0).dtype, {}};
  if (const auto s = scores_of(c, weights)) result.shape = s->shape();
  return result;
}

Type infer_attention_grad(const InferContext& c) {
  scores_of(c, backward);
  return infer_of_type(c, 1);
}
std::vector<Type> infer_attention_grads(const InferContext& c) {
  return {infer_of_type(c, 2), infer_of_type(c, 3)};
}
Type infer_mask_grad(const InferContext& c) {
  scores_of(c, backward);
  return infer_of_type(c, 6);
}

// ---- expansions ----

double scale_of(const AttentionAttrs& a, const Dim& size) {
  return a.scale.empty() ? 1 / std::sqrt(static_cast<double>(size.value())) : a.scale.front();
}

/// Operands in the dtype that is computed in.
struct Operands {
  Expr query, key, value, mask;
  bool causal = false;
  Expr scaled(const Expr& x) const { return scale ? x * *scale : x * size_scale; }
  std::optional<double> scale;
  Expr size_scale;  // 1 / sqrt(size), where that is known at a call only

  Operands(GraphBuilder& b, const Node& n, std::span<const NodeRef> inputs, const Places& p)
      : query(widened({b, inputs[at(p.query)]})), key(widened({b, inputs[at(p.key)]})) {
    const auto& a = n.attrs().get<AttentionAttrs>();
    if (p.value >= 0) value = widened({b, inputs[at(p.value)]});
    if (has_mask(inputs.size(), p)) mask = Expr(b, inputs[at(p.mask)]);
    causal = a.causal;
    const Dim& size = query.type().shape->back();
    if (!a.scale.empty() || size.is_constant())
      scale = size == Dim(0) && a.scale.empty() ? 1 : scale_of(a, size);
    else
      size_scale = rsqrt(cast_like(apply(ops::count, {query}, over(-1, true)), query));
  }

  /// Minus infinity where a query does not see a key.
  [[nodiscard]] Expr scores() const {
    Expr s = scaled(mm(query, tr(key)));
    if (mask)
      s = mask.type().dtype == DType::boolean ? where(mask, s, s.scalar(-infinity))
                                              : s + cast(mask, *s.type().dtype);
    if (causal) {
      const Dims &q = *query.type().shape, &k = *key.type().shape;
      GraphBuilder& b = s.builder();
      const auto numbers = [&](Dims shape, std::int64_t axis) {
        return Expr(b, b.make(ops::iota, {}, IotaAttrs{std::move(shape), axis, DType::int64}));
      };
      const Expr queries = numbers({linalg::rows_of(q), Dim(1)}, 0),
                 keys = numbers({Dim(1), linalg::rows_of(k)}, 1);
      s = where(apply(ops::le, {keys, queries}), s, s.scalar(-infinity));
    }
    return s;
  }
  /// Whether each query surely sees a key.
  [[nodiscard]] bool surely_sees() const {
    const Dim& keys = linalg::rows_of(*key.type().shape);
    return !mask && keys.is_constant() && keys != Dim(0);
  }
};

/// Softmax of rows that may be minus infinity throughout: these are zeros.
struct Softmax {
  Expr exponentials, share, logsumexp;  // weights are exponentials · share
  explicit Softmax(const Operands& x) {
    Expr s = x.scores();
    const bool seen = x.surely_sees();
    Expr top;
    if (!(linalg::rows_of(*x.key.type().shape) == Dim(0))) {
      top = apply(ops::stop_gradient, {apply(ops::amax, {s}, over(-1, true))});
      if (!seen) top = where(apply(ops::eq, {top, top.scalar(-infinity)}), top.scalar(0), top);
      s = s - top;
    }
    exponentials = exp(s);
    const Expr total = sum(exponentials, over(-1, true));
    const Expr none = seen ? Expr() : apply(ops::eq, {total, total.scalar(0)});
    share = 1.0 / (seen ? total : where(none, total.scalar(1), total));
    logsumexp = top ? log(total) + top : log(total);
    if (!seen) logsumexp = where(none, total.scalar(infinity), logsumexp);
  }
};

std::vector<NodeRef> expand_attention(GraphBuilder& b, const Node& n,
                                      std::span<const NodeRef> inputs) {
  const Operands x(b, n, inputs, forward);
  const Softmax p(x);
  const Expr y = cast(mm(p.exponentials * p.share, x.value), *n.type().dtype);
  // The value's batch is the scores' too.
  const Dims shape = *n.extra_types()[0].shape;
  Expr log_sum = apply(ops::squeeze, {p.logsumexp}, AxesAttrs{{-1}});
  if (log_sum.type().shape != shape)
    log_sum = apply(ops::broadcast_to, {log_sum}, ShapeAttrs{shape});
  return {y.node(), log_sum.node()};
}

NodeRef expand_weights(GraphBuilder& b, const Node& n, std::span<const NodeRef> inputs) {
  const Softmax p(Operands(b, n, inputs, weights));
  return cast(p.exponentials * p.share, *n.type().dtype).node();
}

/// Each head of keys beside the queries' heads that it serves.
NodeRef expand_grouped(GraphBuilder& b, const Node& n, std::span<const NodeRef> inputs) {
  const Dims &q = *inputs[0]->type().shape, &k = *inputs[1]->type().shape;
  const Dim heads = q[q.size() - 3];
  const auto split = [&](const NodeRef& x, const Dim& own, const Dim& each) {
    Dims shape = *x->type().shape;
    shape[shape.size() - 3] = own;
    shape.insert(shape.end() - 2, each);
    return reshape({b, x}, shape).node();
  };
  const Dim own = k[k.size() - 3], each = own == Dim(0) ? Dim(1) : floordiv(heads, own);
  const Dim values = (*inputs[2]->type().shape)[inputs[2]->type().shape->size() - 3];
  if (always_differ(values, own))
    throw UnsupportedOp(
        "grouped_query_attention: keys have " + own.str() + " heads, values " + values.str(),
        n.where());
  std::vector<NodeRef> operands{split(inputs[0], own, each), split(inputs[1], own, 1),
                                split(inputs[2], own, 1)};
  if (inputs.size() > 3) {
    const Dims& m = *inputs[3]->type().shape;
    if (m.size() < 3 || m[m.size() - 3] == Dim(1)) {
      operands.push_back(m.size() < 3 ? inputs[3] : split(inputs[3], 1, 1));
    } else {
      operands.push_back(split(inputs[3], own, each));
    }
  }
  const NodeRef y = b.make(ops::scaled_dot_product_attention, std::move(operands), n.attrs());
  return reshape({b, y}, *n.type().shape).node();
}

/// Of the scores before scale and mask: their weights p, and cotangents.
struct ScoreGradient {
  Operands x;
  Expr g, p, ds;
  ScoreGradient(GraphBuilder& b, const Node& n, std::span<const NodeRef> inputs)
      : x(b, n, inputs, backward), g(widened({b, inputs[0]})) {
    p = exp(x.scores() - as_column({b, inputs[4]}));
    ds = p * (mm(g, tr(x.value)) - as_column({b, inputs[5]}));
  }
};

std::vector<NodeRef> expand_attention_grad(GraphBuilder& b, const Node& n,
                                           std::span<const NodeRef> inputs) {
  const ScoreGradient s(b, n, inputs);
  const auto fitted = [&](const Expr& d, std::size_t operand) {
    const Expr like(b, inputs[operand]);
    return cast(sum_to_like(d, like), *like.type().dtype).node();
  };
  return {fitted(s.x.scaled(mm(s.ds, s.x.key)), 1), fitted(s.x.scaled(mm(tr(s.ds), s.x.query)), 2),
          fitted(mm(tr(s.p), s.g), 3)};
}

NodeRef expand_mask_grad(GraphBuilder& b, const Node& n, std::span<const NodeRef> inputs) {
  const ScoreGradient s(b, n, inputs);
  return cast(sum_to_like(s.ds, {b, inputs[6]}), *n.type().dtype).node();
}

// ---- gradient ----

Exprs attention_gradient(const GradArgs& a) {
  const Expr log_sum = a.result(1), g = a.cotangent(0);
  Expr delta = sum(cast_like(g, log_sum) * cast_like(a.y, log_sum), over(-1, false));
  if (a.more[0]) delta = delta - a.more[0];
  const bool masked = a.x.size() > 3;
  const auto made = [&](const Op& row) {
    return masked ? apply(row, {g, a.x[0], a.x[1], a.x[2], log_sum, delta, a.x[3]}, a.attrs())
                  : apply(row, {g, a.x[0], a.x[1], a.x[2], log_sum, delta}, a.attrs());
  };
  const Expr all = made(ops::attention_grad);
  Exprs grads{all, linalg::result(all, 1), linalg::result(all, 2)};
  if (masked)
    grads.push_back(a.x[3].type().dtype == DType::boolean ? Expr()
                                                          : made(ops::attention_mask_grad));
  return grads;
}

// ---- on devices ----

/// The attributes where a device has a form for these operands.
std::optional<FusedAttentionAttrs> fused_attrs(const Node& n, std::span<const NodeRef> inputs,
                                               const Places& p) {
  const auto type = [&](int i) -> const Type& { return inputs[at(i)]->type(); };
  const DType t = *type(p.query).dtype;
  if (t != DType::float16 && t != DType::bfloat16 && t != DType::float32) return std::nullopt;
  const Dim &key = type(p.key).shape->back(), &value = type(p.value).shape->back();
  constexpr std::int64_t largest = 256;
  for (const Dim* size : {&type(p.query).shape->back(), &key, &value})
    if (!size->is_constant() || size->value() < 1 || size->value() > largest) return std::nullopt;
  const auto& a = n.attrs().get<AttentionAttrs>();
  return FusedAttentionAttrs{a.causal, scale_of(a, key), key.value(), value.value()};
}

std::vector<NodeRef> attention_on_device(GraphBuilder& b, const Node& n,
                                         std::span<const NodeRef> inputs) {
  const auto attrs = fused_attrs(n, inputs, forward);
  if (!attrs) return {};
  const Expr y(b, b.make(ops::fused_attention, {inputs.begin(), inputs.end()}, *attrs));
  return {y.node(), linalg::result(y, 1).node()};
}

/// Nothing is summed over a batch that queries, or keys without values, lack.
std::vector<NodeRef> attention_grad_on_device(GraphBuilder& b, const Node& n,
                                              std::span<const NodeRef> inputs) {
  const auto attrs = fused_attrs(n, inputs, backward);
  const auto batch = [&](std::size_t i) {
    const Dims& shape = *inputs[i]->type().shape;
    return Dims(shape.begin(), shape.end() - 2);
  };
  if (!attrs || batch(0) != batch(1) || batch(2) != batch(3)) return {};
  const Expr dq(b, b.make(ops::fused_attention_grad, {inputs.begin(), inputs.end()}, *attrs));
  return {dq.node(), linalg::result(dq, 1).node(), linalg::result(dq, 2).node()};
}

// ---- reference ----

/// One query after another: scores, their softmax, the mean of the values.
struct Naive {
  const RefArray &query, &key;
  const RefArray* mask = nullptr;
  AttentionAttrs attrs;
  std::int64_t group = 1;  // heads of queries for one of keys

  [[nodiscard]] double element(const RefArray& x, const Shape& batch, std::int64_t row,
                               std::int64_t column) const {
    Shape where = batch;
    if (!where.empty() && &x != &query && &x != mask) where.back() /= group;
    where.insert(where.end(), {row, column});
    return x.data[flat_index(x.shape, where)];
  }
  /// The weights of the keys; their logsumexp.
  std::pair<std::vector<double>, double> weights(const Shape& batch, std::int64_t row) const {
    const std::int64_t size = query.shape.back(), keys = key.shape[key.shape.size() - 2];
    const double scale =
        attrs.scale.empty() ? 1 / std::sqrt(static_cast<double>(size)) : attrs.scale[0];
    std::vector<double> w;
    double total = 0;
    for (std::int64_t k = 0; k < keys; ++k) {
      double score = 0;
      for (std::int64_t d = 0; d < size; ++d)
        score += element(query, batch, row, d) * element(key, batch, k, d);
      score = size == 0 ? 0 : score * scale;
      bool seen = !attrs.causal || k <= row;
      if (mask) {
        const double m = element(*mask, batch, row, k);
        if (mask->dtype == DType::boolean)
          seen = seen && m != 0;
        else
          score += m;
      }
      w.push_back(seen ? std::exp(score) : 0);
      total += w.back();
    }
    for (double& x : w) x = total == 0 ? 0 : x / total;
    return {w, total == 0 ? infinity : std::log(total)};
  }
};

Shape batch_of(const Shape& shape) { return {shape.begin(), shape.end() - 2}; }

template <bool Grouped>
std::vector<RefArray> ref_attention(std::span<const RefArray> args, const Attrs& attrs) {
  const RefArray& value = args[2];
  Naive naive{args[0], args[1], args.size() > 3 ? &args[3] : nullptr, attrs.get<AttentionAttrs>()};
  Shape batch = batch_of(args[0].shape), keys = batch_of(args[1].shape);
  if (Grouped) {
    naive.group = keys.back() == 0 ? 1 : batch.back() / keys.back();
  } else {
    batch = broadcast_shapes(broadcast_shapes(batch, keys), batch_of(value.shape));
  }
  Shape rows = batch;
  rows.push_back(args[0].shape[args[0].shape.size() - 2]);
  Shape result = rows;
  result.push_back(value.shape.back());
  RefArray y = ref_zeros(args[0].dtype, result), log_sum = ref_zeros(args[0].dtype, rows);
  std::size_t n = 0, e = 0;
  for_each_index(rows, [&](const Shape& where) {
    const Shape here(where.begin(), where.end() - 1);
    const auto [w, total] = naive.weights(here, where.back());
    log_sum.data[n++] = total;
    for (std::int64_t d = 0; d < value.shape.back(); ++d, ++e)
      for (std::size_t k = 0; k < w.size(); ++k)
        y.data[e] += w[k] * naive.element(value, here, static_cast<std::int64_t>(k), d);
  });
  return {y, log_sum};
}

RefArray ref_weights(std::span<const RefArray> args, const Attrs& attrs) {
  const Naive naive{args[0], args[1], args.size() > 2 ? &args[2] : nullptr,
                    attrs.get<AttentionAttrs>()};
  Shape shape = broadcast_shapes(batch_of(args[0].shape), batch_of(args[1].shape));
  shape.push_back(args[0].shape[args[0].shape.size() - 2]);
  shape.push_back(args[1].shape[args[1].shape.size() - 2]);
  return ref_fill(args[0].dtype, shape, [&](const Shape& where) {
    const Shape here(where.begin(), where.end() - 2);
    return naive.weights(here, where[where.size() - 2])
        .first[static_cast<std::size_t>(where.back())];
  });
}

SampleOperand seen(Shape shape) { return {std::move(shape), 0, 1, DType::boolean}; }

std::vector<Sample> attention_samples() {
  return {{{{{2, 3, 5, 4}}, {{2, 3, 7, 4}}, {{2, 3, 7, 6}}}, AttentionAttrs{}},
          {{{{9, 4}}, {{9, 4}}, {{9, 4}}}, AttentionAttrs{true, {}}},
          {{{{2, 1, 4, 3}}, {{5, 7, 3}}, {{5, 7, 2}}, seen({4, 7})}, AttentionAttrs{false, {0.5}}},
          {{{{2, 6, 3}}, {{2, 5, 3}}, {{2, 5, 3}}, {{2, 6, 5}}}, AttentionAttrs{}},
          {{{{3, 7, 2}}, {{3, 4, 2}}, {{3, 4, 2}}, {{3, 1, 4}}}, AttentionAttrs{true, {-0.75}}}};
}
std::vector<Sample> grouped_samples() {
  return {{{{{2, 6, 3, 4}}, {{2, 2, 5, 4}}, {{2, 2, 5, 4}}}, AttentionAttrs{}},
          {{{{4, 5, 3}}, {{2, 5, 3}}, {{2, 5, 3}}, {{4, 5, 5}}}, AttentionAttrs{true, {}}}};
}
std::vector<Sample> weights_samples() {
  return {{{{{3, 5, 4}}, {{3, 7, 4}}}, AttentionAttrs{}},
          {{{{5, 2}}, {{5, 2}}, seen({5, 5})}, AttentionAttrs{true, {}}}};
}

constexpr Op gradient_row(std::string_view name, std::string_view doc, int least, InferRule infer,
                          Expansion expansion) {
  return {.name = name,
          .doc = doc,
          .min_inputs = least,
          .max_inputs = 7,
          .infer = infer,
          .meaning = expansion,
          .parse_attrs = attrs_from_fields<AttentionAttrs>};
}

}  // namespace

namespace ops {

constinit const Op scaled_dot_product_attention{
    .name = "scaled_dot_product_attention",
    .doc = "Mean of values weighted by softmax(query keyᵀ · scale + mask); the rows' logsumexp",
    .min_inputs = 3,
    .max_inputs = 4,
    .infer = infer_attention<false>,
    .meaning = Expansion{nullptr, 0, expand_attention, attention_on_device},
    .grad = attention_gradient,
    .reference = {.results = ref_attention<false>},
    .samples = {.make = attention_samples, .ulp = 16},
    .parse_attrs = attrs_from_fields<AttentionAttrs>,
    .infer_extra = infer_logsumexp,
};

constinit const Op grouped_query_attention{
    .name = "grouped_query_attention",
    .doc = "Attention where each head of keys and values serves several of queries",
    .min_inputs = 3,
    .max_inputs = 4,
    .infer = infer_attention<true>,
    .meaning = Expansion{expand_grouped},
    .reference = {.general =
                      [](std::span<const RefArray> args, const Attrs& attrs) {
                        return ref_attention<true>(args, attrs)[0];
                      }},
    .samples = {.make = grouped_samples, .ulp = 16},
    .parse_attrs = attrs_from_fields<AttentionAttrs>,
};

constinit const Op attention_weights{
    .name = "attention_weights",
    .doc = "softmax(query keyᵀ · scale + mask); zeros for a query that sees no key",
    .min_inputs = 2,
    .max_inputs = 3,
    .infer = infer_weights,
    .meaning = Expansion{expand_weights},
    .reference = {.general = ref_weights},
    .samples = {.make = weights_samples, .ulp = 16},
    .parse_attrs = attrs_from_fields<AttentionAttrs>,
};

constinit const Op attention_grad = [] {
  Op row = gradient_row("attention_grad",
                        "Cotangents of attention's query, key and value: from g, these, logsumexp, "
                        "delta, mask",
                        6, infer_attention_grad,
                        Expansion{nullptr, 0, expand_attention_grad, attention_grad_on_device});
  row.infer_extra = infer_attention_grads;
  return row;
}();
constinit const Op attention_mask_grad =
    gradient_row("attention_mask_grad", "Cotangent of what is added to attention's scores", 7,
                 infer_mask_grad, Expansion{expand_mask_grad});

constinit const Op fused_attention{
    .name = "fused_attention",
    .doc = "scaled_dot_product_attention as a step of its own on a device",
    .min_inputs = 3,
    .max_inputs = 4,
    .infer = infer_attention<false>,
    .meaning = Extern{ExternKind::attention},
    .parse_attrs = attrs_from_fields<FusedAttentionAttrs>,
    .infer_extra = infer_logsumexp,
};
constinit const Op fused_attention_grad{
    .name = "fused_attention_grad",
    .doc = "attention_grad as a step of its own on a device",
    .min_inputs = 6,
    .max_inputs = 7,
    .infer = infer_attention_grad,
    .meaning = Extern{ExternKind::attention_backward},
    .parse_attrs = attrs_from_fields<FusedAttentionAttrs>,
    .infer_extra = infer_attention_grads,
};

constexpr const Op* attention_rows[] = {
    &scaled_dot_product_attention, &grouped_query_attention, &attention_weights,   &attention_grad,
    &attention_mask_grad,          &fused_attention,         &fused_attention_grad};

}  // namespace ops

Rows family::attention() { return ops::attention_rows; }

}  // namespace weft::ir
