// Products of tensors by subscripts. `contract` is the one contraction of two operands that all
// else is made of; its gradient is again that row. An einsum of many operands becomes pairs
// (ir/ops/einsum.h), and its gradient is multilinear in what is left, so that it is closed under
// differentiation too.
#include "ir/ops/products.h"

#include <algorithm>

#include "ir/ops/einsum.h"

namespace weft::ir {
namespace {

bool has(const std::string& labels, char c) { return labels.find(c) != std::string::npos; }
std::int64_t signed_size(std::size_t n) { return static_cast<std::int64_t>(n); }

const Dims& shape_of(const NodeRef& x) { return *x->type().shape; }
bool shapes_known(const InferContext& c) {
  return std::ranges::all_of(c.inputs,
                             [](const NodeRef& x) { return x->type().shape.has_value(); });
}

// ---- contract ----

Type infer_contract(const InferContext& c) {
  const auto& s = c.attrs.get<ContractAttrs>();
  refuse_complex(c);
  const auto &a = c.type(0), &b = c.type(1);
  if (a.dtype && b.dtype && *a.dtype != *b.dtype)
    fail_dtype(c, "operands must have one dtype; cast one of them");
  std::map<char, Dim> extents;
  for (const auto& [labels, other, type] :
       {std::tuple(&s.a, &s.b, &a), std::tuple(&s.b, &s.a, &b)}) {
    if (type->rank().value_or(static_cast<int>(labels->size())) != static_cast<int>(labels->size()))
      fail_shape(c, "needs one label an axis, not '" + *labels + "'");
    for (std::size_t i = 0; i < labels->size(); ++i) {
      const char l = (*labels)[i];
      if (labels->find(l, i + 1) != std::string::npos || !(has(*other, l) || has(s.out, l)))
        fail_shape(c, std::string("label '") + l + "' is twice, or in one operand alone");
      if (!type->shape) continue;
      const auto [at, fresh] = extents.emplace(l, (*type->shape)[i]);
      if (!fresh) unify(c, at->second, (*type->shape)[i], "extents of one label");
    }
  }
  Type result{a.dtype ? a.dtype : b.dtype, Dims{}};
  for (std::size_t i = 0; i < s.out.size(); ++i) {
    const char l = s.out[i];
    if (s.out.find(l, i + 1) != std::string::npos || !(has(s.a, l) || has(s.b, l)))
      fail_shape(c, std::string("label '") + l + "' of the result is twice, or in no operand");
    const auto at = extents.find(l);
    if (at == extents.end()) result.shape.reset();
    if (result.shape) result.shape->push_back(at->second);
  }
  return result;
}

Expr contracted(const Expr& a, const Expr& b, const std::string& in_a, const std::string& in_b,
                const std::string& out) {
  return apply(ops::contract, {a, b}, ContractAttrs{in_a, in_b, out});
}

/// Σ over every value of every label, one product after the other. `labels[i]` name the axes of
/// operand i; an extent of 1 serves every value.
RefArray ref_products(std::span<const RefArray> args, const std::vector<std::string>& labels,
                      const std::string& out) {
  std::string all;
  Shape extents;
  for (std::size_t i = 0; i < args.size(); ++i)
    for (std::size_t k = 0; k < labels[i].size(); ++k) {
      const std::size_t at = all.find(labels[i][k]);
      if (at == std::string::npos) {
        all += labels[i][k];
        extents.push_back(args[i].shape[k]);
      } else if (extents[at] == 1) {
        extents[at] = args[i].shape[k];
      }
    }
  const auto place = [&](const std::string& axes, const Shape& at) {
    Shape index;
    for (const char l : axes) index.push_back(at[all.find(l)]);
    return index;
  };
  Shape shape;
  for (const char l : out) shape.push_back(extents[all.find(l)]);
  RefArray r = ref_zeros(args[0].dtype, shape);
  for_each_index(extents, [&](const Shape& at) {
    double product = 1;
    for (std::size_t i = 0; i < args.size(); ++i)
      product *= args[i].data[flat_index(args[i].shape, place(labels[i], at))];
    r.data[flat_index(shape, place(out, at))] += product;
  });
  return r;
}

RefArray ref_contract(std::span<const RefArray> args, const Attrs& attrs) {
  const auto& s = attrs.get<ContractAttrs>();
  return ref_products(args, {s.a, s.b}, s.out);
}

std::vector<Sample> contract_samples() {
  return {{{{{3, 4}}, {{4, 5}}}, ContractAttrs{"ij", "jk", "ik"}},
          {{{{3, 4}}, {{4, 5}}}, ContractAttrs{"ij", "jk", "ki"}},
          {{{{2, 3, 4}}, {{4, 2, 5}}}, ContractAttrs{"bij", "jbk", "bik"}},
          {{{{2, 3, 4}}, {{3, 4, 5}}}, ContractAttrs{"ajk", "jkc", "ac"}},
          {{{{2, 3, 4}}, {{4, 3}}}, ContractAttrs{"ajk", "kj", "a"}},
          {{{{2, 1, 3}}, {{3, 5}}}, ContractAttrs{"abc", "cd", "bda"}},
          {{{{3}}, {{4}}}, ContractAttrs{"i", "j", "ij"}}};
}

// ---- einsum ----

Equation equation_of(const Attrs& attrs, std::span<const std::size_t> ranks) {
  return spell_out(parse_equation(attrs.get<EinsumAttrs>().equation), ranks);
}

std::vector<std::size_t> ranks_of(std::span<const NodeRef> operands) {
  std::vector<std::size_t> ranks;
  for (const NodeRef& x : operands) ranks.push_back(shape_of(x).size());
  return ranks;
}
std::vector<const Dims*> shapes_of(std::span<const NodeRef> operands) {
  std::vector<const Dims*> shapes;
  for (const NodeRef& x : operands) shapes.push_back(&shape_of(x));
  return shapes;
}

Type infer_einsum(const InferContext& c) {
  refuse_complex(c);
  Type result{promoted(c.inputs), {}};
  const Equation written =
      with_context(c, [&] { return parse_equation(c.attrs.get<EinsumAttrs>().equation); });
  if (written.operands.size() != c.inputs.size())
    fail_shape(c, "the equation names " + std::to_string(written.operands.size()) + " operands");
  if (!shapes_known(c)) {
    if (written.out.empty()) result.shape = Dims{};
    return result;
  }
  const Equation e = with_context(c, [&] { return spell_out(written, ranks_of(c.inputs)); });
  const auto extents = label_extents(c, e, shapes_of(c.inputs));
  result.shape.emplace();
  for (const char l : e.out) result.shape->push_back(extents.at(l));
  return result;
}

/// For nodes, whose types have been checked.
std::map<char, Dim> extents_of(const Node& n, const Equation& e,
                               std::span<const NodeRef> operands) {
  return label_extents({n.op(), operands, n.attrs(), n.where()}, e, shapes_of(operands));
}

NodeRef expand_einsum(GraphBuilder& b, const Node& n, std::span<const NodeRef> inputs) {
  const Equation e = equation_of(n.attrs(), ranks_of(inputs));
  const auto extents = extents_of(n, e, inputs);
  std::vector<Term> terms;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const Expr x = cast({b, inputs[i]}, *n.type().dtype);
    terms.push_back(without_broadcast(diagonals_of(x, e.operands[i]), extents));
  }
  return sum_of_products(std::move(terms), e.out, extents).node();
}

/// The operands of einsum, `wrt` among them, from those of einsum_grad.
std::vector<NodeRef> operands_of_grad(const Node& n, std::span<const NodeRef> inputs) {
  std::vector<NodeRef> operands(inputs.begin() + 2, inputs.end());
  operands.insert(operands.begin() + n.attrs().get<EinsumAttrs>().operand, inputs[1]);
  return operands;
}

/// `x` over the labels `from`, repeated along the labels of `to` that it lacks; 0 where equal
/// labels of `to` have different coordinates.
Expr spread(Expr x, const std::string& from, const std::string& to, const Dims& shape) {
  AxesAttrs order, missing;
  for (std::size_t i = 0; i < to.size(); ++i) {
    const bool first = to.find(to[i]) == i;
    if (first && has(from, to[i]))
      order.axes.push_back(signed_size(from.find(to[i])));
    else
      missing.axes.push_back(signed_size(i));
  }
  x = apply(ops::permute, {x}, order);
  if (!missing.axes.empty()) x = apply(ops::expand_dims, {x}, missing);
  for (std::size_t i = 0; i < to.size(); ++i) {
    const std::size_t first = to.find(to[i]);
    if (first == i) continue;
    const auto coordinate = [&](std::size_t axis) {
      Dims line(to.size(), Dim(1));
      line[axis] = shape[axis];
      return Expr(x.builder(), x.builder().make(ops::iota, {},
                                                IotaAttrs{line, signed_size(axis), DType::int64}));
    };
    x = where(apply(ops::eq, {coordinate(first), coordinate(i)}), x, x.scalar(0));
  }
  return x.type().shape == shape ? x : apply(ops::broadcast_to, {x}, ShapeAttrs{shape});
}

Type infer_einsum_grad(const InferContext& c) {
  refuse_complex(c);
  const auto& a = c.attrs.get<EinsumAttrs>();
  const Equation written = with_context(c, [&] { return parse_equation(a.equation); });
  if (written.operands.size() + 1 != c.inputs.size() || a.operand < 0 ||
      a.operand >= std::ssize(written.operands))
    fail_shape(c, "needs a cotangent and all operands of the equation");
  return infer_of_type(c, 1);
}

NodeRef expand_einsum_grad(GraphBuilder& b, const Node& n, std::span<const NodeRef> inputs) {
  const std::vector<NodeRef> operands = operands_of_grad(n, inputs);
  const auto wrt = static_cast<std::size_t>(n.attrs().get<EinsumAttrs>().operand);
  const Equation e = equation_of(n.attrs(), ranks_of(operands));
  const auto extents = extents_of(n, e, operands);
  std::vector<NodeRef> factors = operands;
  factors[wrt] = inputs[0];
  const DType dtype = *promoted(factors);
  std::vector<Term> terms;
  std::string reached;  // labels of the cotangent and of the other operands
  for (std::size_t i = 0; i < factors.size(); ++i) {
    const Expr x = cast({b, factors[i]}, dtype);
    terms.push_back(without_broadcast(diagonals_of(x, i == wrt ? e.out : e.operands[i]), extents));
    reached += terms.back().labels;
  }
  const std::string& target = e.operands[wrt];
  std::string out;
  for (std::size_t i = 0; i < target.size(); ++i) {
    const bool broadcast = shape_of(inputs[1])[i] == Dim(1) && extents.at(target[i]) != Dim(1);
    if (has(reached, target[i]) && !has(out, target[i]) && !broadcast) out += target[i];
  }
  const Expr d = sum_of_products(std::move(terms), out, extents);
  return cast(spread(d, out, target, shape_of(inputs[1])), *n.type().dtype).node();
}

/// The cotangent of operand `i` of an einsum of `operands`.
Expr einsum_grad(const Expr& g, const Exprs& operands, const std::string& equation, std::size_t i) {
  std::vector<NodeRef> inputs = {g.node(), operands[i].node()};
  for (std::size_t k = 0; k < operands.size(); ++k)
    if (k != i) inputs.push_back(operands[k].node());
  return {g.builder(), g.builder().make(ops::einsum_grad, std::move(inputs),
                                        EinsumAttrs{equation, signed_size(i)})};
}

Exprs grad_of_einsum(const GradArgs& a) {
  const std::string& equation = a.attrs().get<EinsumAttrs>().equation;
  Exprs grads;
  for (std::size_t i = 0; i < a.x.size(); ++i) grads.push_back(einsum_grad(a.g, a.x, equation, i));
  return grads;
}

/// The row is the transpose of einsum in operand `wrt`: with u there, the sum of products again.
Exprs grad_of_einsum_grad(const GradArgs& a) {
  const auto& attrs = a.attrs().get<EinsumAttrs>();
  const auto wrt = static_cast<std::size_t>(attrs.operand);
  Exprs operands(a.x.begin() + 2, a.x.end());
  operands.insert(operands.begin() + attrs.operand, a.g);
  std::vector<NodeRef> inputs;
  for (const Expr& x : operands) inputs.push_back(x.node());
  GraphBuilder& b = a.g.builder();
  Exprs grads = {Expr(b, b.make(ops::einsum, std::move(inputs), EinsumAttrs{attrs.equation})),
                 Expr()};
  for (std::size_t i = 0; i < operands.size(); ++i)
    if (i != wrt) grads.push_back(einsum_grad(a.x[0], operands, attrs.equation, i));
  return grads;
}

/// The reference's own reading of an equation with `->`: an ellipsis is the axes that no letter
/// names.
std::vector<std::string> ref_labels(std::string text, std::span<const RefArray> args) {
  std::vector<std::string> terms(1);
  for (const char c : text) {
    if (c == ',' || c == '>')
      terms.emplace_back();
    else if (c != '-' && c != ' ')
      terms.back() += c;
  }
  std::size_t widest = 0;
  for (std::size_t i = 0; i < terms.size(); ++i) {
    const std::size_t at = terms[i].find("...");
    if (at == std::string::npos) continue;
    const std::size_t width = i < args.size() ? args[i].shape.size() + 3 - terms[i].size() : widest;
    widest = std::max(widest, width);
    terms[i].replace(at, 3, std::string("zyxw").substr(4 - width));
  }
  return terms;
}

RefArray ref_einsum(std::span<const RefArray> args, const Attrs& attrs) {
  std::vector<std::string> labels = ref_labels(attrs.get<EinsumAttrs>().equation, args);
  const std::string out = labels.back();
  labels.pop_back();
  return ref_products(args, labels, out);
}

std::vector<Sample> einsum_samples() {
  return {{{{{3, 4}}, {{4, 5}}}, EinsumAttrs{"ij,jk->ik"}},
          {{{{3, 4}}}, EinsumAttrs{"ij->ji"}},
          {{{{4, 4}}}, EinsumAttrs{"ii->i"}},
          {{{{4, 4}}}, EinsumAttrs{"ii->"}},
          {{{{3, 4}}, {{3, 4}}}, EinsumAttrs{"ij,ij->i"}},
          {{{{2, 3}}, {{3, 4}}, {{4, 5}}}, EinsumAttrs{"ab,bc,cd->ad"}},
          {{{{2, 3, 4}}, {{4, 5}}}, EinsumAttrs{"...ij,jk->...ki"}},
          {{{{2, 1, 4}}, {{3, 4}}}, EinsumAttrs{"...j,...j->..."}},
          {{{{2, 3}}, {{4}}}, EinsumAttrs{"ab,c->ca"}},
          {{{{3, 2, 3}}, {{3, 1}}}, EinsumAttrs{"iji,ij->j"}}};
}

// ---- products named otherwise ----

/// Operands of one dtype, which is the result's.
std::optional<DType> product_dtype(const InferContext& c) {
  refuse_complex(c);
  return promoted(c.inputs);
}

/// Two operands by labels, of the types that the rule of `n` has checked.
NodeRef two_by_labels(GraphBuilder& b, const Node& n, std::span<const NodeRef> inputs,
                      const std::vector<std::string>& labels, const std::string& out) {
  const Equation e{labels, out};
  const auto extents = extents_of(n, e, inputs);
  std::vector<Term> terms;
  for (std::size_t i = 0; i < 2; ++i)
    terms.push_back({cast({b, inputs[i]}, *n.type().dtype), labels[i]});
  return reshape(sum_of_products(std::move(terms), out, extents), *n.type().shape).node();
}

struct PairedAxes {
  std::vector<std::string> labels;
  std::string out;
};

/// Labels of two operands whose axes a[i] and b[i] meet; the first `batch` of them stay.
PairedAxes pair_axes(std::size_t a_rank, std::size_t b_rank, const std::vector<std::size_t>& a,
                     const std::vector<std::size_t>& b, std::size_t batch) {
  PairedAxes p;
  p.labels.resize(2);
  for (std::size_t i = 0; i < a_rank + b_rank; ++i) p.labels[i < a_rank ? 0 : 1] += label(i);
  for (std::size_t i = 0; i < a.size(); ++i) p.labels[1][b[i]] = p.labels[0][a[i]];
  for (std::size_t i = 0; i < batch; ++i) p.out += p.labels[0][a[i]];
  for (std::size_t i = 0; i < a_rank; ++i)
    if (std::ranges::find(a, i) == a.end()) p.out += p.labels[0][i];
  for (std::size_t i = 0; i < b_rank; ++i)
    if (std::ranges::find(b, i) == b.end()) p.out += p.labels[1][i];
  return p;
}

Dims shape_of_pairs(const InferContext& c, const PairedAxes& p) {
  std::map<char, Dim> extents;
  for (std::size_t i = 0; i < 2; ++i)
    for (std::size_t k = 0; k < p.labels[i].size(); ++k) {
      const Dim& extent = shape_of(c.inputs[i])[k];
      const auto [at, fresh] = extents.emplace(p.labels[i][k], extent);
      if (!fresh) at->second = unify(c, at->second, extent, "the summed extents");
    }
  Dims shape;
  for (const char l : p.out) shape.push_back(extents.at(l));
  return shape;
}

PairedAxes tensordot_axes(const Attrs& attrs, std::size_t a_rank, std::size_t b_rank) {
  const auto& t = attrs.get<TensordotAttrs>();
  std::vector<std::size_t> a, b;
  for (std::int64_t i = 0; i < t.count; ++i) {
    a.push_back(a_rank - static_cast<std::size_t>(t.count - i));
    b.push_back(static_cast<std::size_t>(i));
  }
  if (t.count < 0) {
    for (const std::int64_t axis : t.a) a.push_back(normal_axis(axis, a_rank));
    for (const std::int64_t axis : t.b) b.push_back(normal_axis(axis, b_rank));
  }
  return pair_axes(a_rank, b_rank, a, b, 0);
}

Type infer_tensordot(const InferContext& c) {
  Type result{product_dtype(c), {}};
  const auto& t = c.attrs.get<TensordotAttrs>();
  if (t.count < 0 && t.a.size() != t.b.size())
    fail_shape(c, "as many axes of one operand as of the other");
  if (!shapes_known(c)) return result;
  const auto a = *c.type(0).rank(), b = *c.type(1).rank();
  if (t.count > std::min(a, b)) fail_shape(c, "fewer than " + std::to_string(t.count) + " axes");
  if (t.count < 0) axis_set(c, t.a, a), axis_set(c, t.b, b);
  if (a + b > 52) fail_shape(c, "too many axes");
  result.shape = shape_of_pairs(
      c, tensordot_axes(c.attrs, static_cast<std::size_t>(a), static_cast<std::size_t>(b)));
  return result;
}

NodeRef expand_tensordot(GraphBuilder& b, const Node& n, std::span<const NodeRef> inputs) {
  const PairedAxes p =
      tensordot_axes(n.attrs(), shape_of(inputs[0]).size(), shape_of(inputs[1]).size());
  return two_by_labels(b, n, inputs, p.labels, p.out);
}

RefArray ref_tensordot(std::span<const RefArray> args, const Attrs& attrs) {
  const auto& t = attrs.get<TensordotAttrs>();
  std::string a, b, out;
  for (std::size_t i = 0; i < args[0].shape.size(); ++i) a += static_cast<char>('a' + i);
  for (std::size_t i = 0; i < args[1].shape.size(); ++i) b += static_cast<char>('A' + i);
  const std::size_t pairs = t.count < 0 ? t.a.size() : static_cast<std::size_t>(t.count);
  for (std::size_t i = 0; i < pairs; ++i) {
    const std::size_t in_a = t.count < 0 ? normal_axis(t.a[i], a.size()) : a.size() - pairs + i;
    b[t.count < 0 ? normal_axis(t.b[i], b.size()) : i] = a[in_a];
  }
  for (const char l : a + b)
    if ((a + b).find(l) == (a + b).rfind(l)) out += l;
  return ref_products(args, {a, b}, out);
}

PairedAxes batch_dot_axes(const Attrs& attrs, std::size_t x_rank, std::size_t y_rank) {
  const auto& t = attrs.get<BatchDotAttrs>();
  const std::size_t x = t.automatic ? x_rank - 1 : normal_axis(t.x, x_rank);
  const std::size_t y = t.automatic ? (y_rank == 2 ? 1 : y_rank - 2) : normal_axis(t.y, y_rank);
  return pair_axes(x_rank, y_rank, {0, x}, {0, y}, 1);
}

Type infer_batch_dot(const InferContext& c) {
  Type result{product_dtype(c), {}};
  if (!shapes_known(c)) return result;
  const auto& t = c.attrs.get<BatchDotAttrs>();
  const int x = *c.type(0).rank(), y = *c.type(1).rank();
  if (x < 2 || y < 2) fail_shape(c, "needs operands of a batch axis and another");
  if (!t.automatic && (normal_axis(c, t.x, x) == 0 || normal_axis(c, t.y, y) == 0))
    fail_shape(c, "the batch axis is not summed");
  if (x + y > 52) fail_shape(c, "too many axes");
  result.shape = shape_of_pairs(
      c, batch_dot_axes(c.attrs, static_cast<std::size_t>(x), static_cast<std::size_t>(y)));
  if (result.shape->size() == 1) result.shape->push_back(1);
  return result;
}

NodeRef expand_batch_dot(GraphBuilder& b, const Node& n, std::span<const NodeRef> inputs) {
  const PairedAxes p =
      batch_dot_axes(n.attrs(), shape_of(inputs[0]).size(), shape_of(inputs[1]).size());
  return two_by_labels(b, n, inputs, p.labels, p.out);
}

RefArray ref_batch_dot(std::span<const RefArray> args, const Attrs& attrs) {
  const auto& t = attrs.get<BatchDotAttrs>();
  const std::size_t x_rank = args[0].shape.size(), y_rank = args[1].shape.size();
  std::string x = std::string("nabcdef").substr(0, x_rank),
              y = std::string("nABCDEF").substr(0, y_rank);
  const std::size_t at_x = t.automatic ? x_rank - 1 : normal_axis(t.x, x_rank);
  const std::size_t at_y = t.automatic ? (y_rank == 2 ? 1 : y_rank - 2) : normal_axis(t.y, y_rank);
  y[at_y] = x[at_x];
  std::string out = "n";
  for (const char l : x.substr(1) + y.substr(1))
    if (l != x[at_x]) out += l;
  RefArray r = ref_products(args, {x, y}, out);
  if (r.shape.size() == 1) r.shape.push_back(1);
  return r;
}

// ---- kron: blocks of b, scaled by the elements of a ----

Dims padded(const Dims& shape, std::size_t rank) {
  Dims wide(rank - shape.size(), Dim(1));
  wide.insert(wide.end(), shape.begin(), shape.end());
  return wide;
}

Type infer_kron(const InferContext& c) {
  Type result{product_dtype(c), {}};
  if (!shapes_known(c)) return result;
  const std::size_t rank = std::max(c.type(0).shape->size(), c.type(1).shape->size());
  const Dims a = padded(*c.type(0).shape, rank), b = padded(*c.type(1).shape, rank);
  result.shape.emplace();
  for (std::size_t i = 0; i < rank; ++i) result.shape->push_back(a[i] * b[i]);
  return result;
}

NodeRef expand_kron(GraphBuilder& b, const Node& n, std::span<const NodeRef> inputs) {
  const std::size_t rank = n.type().shape->size();
  const Dims a_shape = padded(shape_of(inputs[0]), rank),
             b_shape = padded(shape_of(inputs[1]), rank);
  Dims outer, inner;
  for (std::size_t i = 0; i < rank; ++i) {
    outer.insert(outer.end(), {a_shape[i], Dim(1)});
    inner.insert(inner.end(), {Dim(1), b_shape[i]});
  }
  const DType t = *n.type().dtype;
  const Expr product =
      reshape(cast({b, inputs[0]}, t), outer) * reshape(cast({b, inputs[1]}, t), inner);
  return reshape(product, *n.type().shape).node();
}

RefArray ref_kron(std::span<const RefArray> args, const Attrs&) {
  RefArray a = args[0], b = args[1];
  const std::size_t rank = std::max(a.shape.size(), b.shape.size());
  a.shape.insert(a.shape.begin(), rank - a.shape.size(), 1);
  b.shape.insert(b.shape.begin(), rank - b.shape.size(), 1);
  Shape shape;
  for (std::size_t i = 0; i < rank; ++i) shape.push_back(a.shape[i] * b.shape[i]);
  return ref_fill(a.dtype, shape, [&](const Shape& at) {
    Shape i(rank), j(rank);
    for (std::size_t k = 0; k < rank; ++k) i[k] = at[k] / b.shape[k], j[k] = at[k] % b.shape[k];
    return a.data[flat_index(a.shape, i)] * b.data[flat_index(b.shape, j)];
  });
}

// ---- multi_dot: a chain of matrices; the ends may be vectors ----

Type infer_multi_dot(const InferContext& c) {
  Type result{product_dtype(c), {}};
  const std::size_t n = c.inputs.size();
  for (std::size_t i = 0; i < n; ++i) {
    const bool end = i == 0 || i + 1 == n;
    if (const auto rank = c.type(i).rank(); rank && *rank != 2 && !(end && *rank == 1))
      fail_shape(c, "needs matrices; the first and the last may be vectors");
  }
  if (!shapes_known(c)) return result;
  for (std::size_t i = 0; i + 1 < n; ++i)
    unify(c, shape_of(c.inputs[i]).back(), shape_of(c.inputs[i + 1]).front(), "the summed extents");
  result.shape.emplace();
  if (shape_of(c.inputs.front()).size() == 2)
    result.shape->push_back(shape_of(c.inputs.front()).front());
  if (shape_of(c.inputs.back()).size() == 2)
    result.shape->push_back(shape_of(c.inputs.back()).back());
  return result;
}

/// Where to cut each part of the chain, by dynamic programming over its lengths; from left to
/// right where an extent is unknown.
std::vector<std::vector<std::size_t>> best_cuts(const std::vector<Dim>& extents) {
  const std::size_t n = extents.size() - 1;
  const bool known = std::ranges::all_of(extents, [](const Dim& d) { return d.is_constant(); });
  std::vector<std::vector<std::size_t>> cut(n, std::vector<std::size_t>(n));
  std::vector<std::vector<double>> cost(n, std::vector<double>(n, 0));
  const auto extent = [&](std::size_t i) {
    return known ? static_cast<double>(extents[i].value()) : 0;
  };
  for (std::size_t length = 2; length <= n; ++length)
    for (std::size_t i = 0; i + length <= n; ++i) {
      const std::size_t j = i + length - 1;
      cut[i][j] = j;
      for (std::size_t k = j; known && k > i; --k) {  // [i, k) and [k, j]
        const double c = cost[i][k - 1] + cost[k][j] + extent(i) * extent(k) * extent(j + 1);
        if (k == j || c < cost[i][j]) cost[i][j] = c, cut[i][j] = k;
      }
    }
  return cut;
}

NodeRef expand_multi_dot(GraphBuilder& b, const Node& n, std::span<const NodeRef> inputs) {
  std::vector<Dim> extents;
  for (const NodeRef& x : inputs) extents.push_back(shape_of(x).front());
  if (shape_of(inputs[0]).size() == 1) extents[0] = 1;
  extents.push_back(shape_of(inputs.back()).size() == 2 ? shape_of(inputs.back()).back() : Dim(1));
  const auto cuts = best_cuts(extents);
  // Parts from the whole down, then products in the opposite order.
  std::vector<std::pair<std::size_t, std::size_t>> parts = {{0, inputs.size() - 1}};
  for (std::size_t p = 0; p < parts.size(); ++p) {
    const auto [i, j] = parts[p];
    if (i == j) continue;
    parts.emplace_back(i, cuts[i][j] - 1);
    parts.emplace_back(cuts[i][j], j);
  }
  std::map<std::pair<std::size_t, std::size_t>, Expr> done;
  for (std::size_t p = parts.size(); p-- > 0;) {
    const auto [i, j] = parts[p];
    if (i == j)
      done[{i, j}] = cast({b, inputs[i]}, *n.type().dtype);
    else
      done[{i, j}] = apply(ops::matmul, {done.at({i, cuts[i][j] - 1}), done.at({cuts[i][j], j})});
  }
  return done.at({0, inputs.size() - 1}).node();
}

RefArray ref_multi_dot(std::span<const RefArray> args, const Attrs&) {
  std::vector<std::string> labels;
  std::string out;
  for (std::size_t i = 0; i < args.size(); ++i) {
    const char left = static_cast<char>('a' + i), right = static_cast<char>('a' + i + 1);
    const bool vector = args[i].shape.size() == 1;
    labels.push_back(!vector ? std::string{left, right} : std::string{i == 0 ? right : left});
    if (i == 0 && !vector) out += left;
    if (i + 1 == args.size() && !vector) out += right;
  }
  return ref_products(args, labels, out);
}

// ---- cross ----

Type infer_cross(const InferContext& c) {
  Type result{product_dtype(c), {}};
  if (!shapes_known(c)) return result;
  result.shape =
      with_context(c, [&] { return broadcast_dims(*c.type(0).shape, *c.type(1).shape); });
  const auto axis = c.attrs.get<AxisAttrs>().axis;
  for (std::size_t i = 0; i < 2; ++i) {
    const int rank = *c.type(i).rank();
    if (rank != static_cast<int>(result.shape->size()))
      fail_shape(c, "operands must have one rank");
    if (always_differ((*c.type(i).shape)[normal_axis(c, axis, rank)], Dim(3)))
      fail_shape(c, "needs vectors of 3 elements along axis " + std::to_string(axis));
  }
  return result;
}

NodeRef expand_cross(GraphBuilder& b, const Node& n, std::span<const NodeRef> inputs) {
  const std::int64_t axis = n.attrs().get<AxisAttrs>().axis;
  const auto part = [&](std::size_t operand, std::int64_t i) {
    return apply(ops::slice, {cast({b, inputs[operand]}, *n.type().dtype)},
                 SliceAttrs{{axis}, {Dim(i)}, {Dim(i + 1)}, {1}});
  };
  std::vector<NodeRef> parts;
  for (std::int64_t i = 0; i < 3; ++i) {
    const std::int64_t j = (i + 1) % 3, k = (i + 2) % 3;
    parts.push_back((part(0, j) * part(1, k) - part(0, k) * part(1, j)).node());
  }
  return reshape({b, b.make(ops::concatenate, std::move(parts), AxisAttrs{axis})}, *n.type().shape)
      .node();
}

RefArray ref_cross(std::span<const RefArray> args, const Attrs& attrs) {
  const RefArray &a = args[0], &b = args[1];
  const Shape shape = broadcast_shapes(a.shape, b.shape);
  const std::size_t axis = normal_axis(attrs.get<AxisAttrs>().axis, shape.size());
  return ref_fill(a.dtype, shape, [&](const Shape& at) {
    Shape j(at), k(at);
    j[axis] = (at[axis] + 1) % 3, k[axis] = (at[axis] + 2) % 3;
    return a.data[flat_index(a.shape, j)] * b.data[flat_index(b.shape, k)] -
           a.data[flat_index(a.shape, k)] * b.data[flat_index(b.shape, j)];
  });
}

constexpr Op product_row(std::string_view name, std::string_view doc, int least, int most,
                         InferRule infer,
                         NodeRef (*expand)(GraphBuilder&, const Node&, std::span<const NodeRef>),
                         RefArray (*reference)(std::span<const RefArray>, const Attrs&),
                         std::vector<Sample> (*samples)(), AttrsParser parse) {
  return {.name = name,
          .doc = doc,
          .min_inputs = least,
          .max_inputs = most,
          .infer = infer,
          .meaning = Expansion{expand},
          .reference = {.general = reference},
          .samples = {.make = samples, .dtypes = Samples::numeric, .ulp = 8},
          .parse_attrs = parse};
}

}  // namespace

namespace ops {

constinit const Op contract{
    .name = "contract",
    .doc = "Sum of products of two operands by subscripts",
    .min_inputs = 2,
    .max_inputs = 2,
    .infer = infer_contract,
    .meaning = ContractionMeaning{[](const Node& n) {
      const auto& s = n.attrs().get<ContractAttrs>();
      return ContractionDef{s.a, s.b, s.out};
    }},
    .grad = [](const GradArgs& a) -> Exprs {
      const auto& s = a.attrs().get<ContractAttrs>();
      return {contracted(a.g, a.x[1], s.out, s.b, s.a), contracted(a.x[0], a.g, s.a, s.out, s.b)};
    },
    .reference = {.general = ref_contract},
    .samples = {.make = contract_samples, .dtypes = Samples::numeric},
    .parse_attrs = attrs_from_fields<ContractAttrs>,
};

constinit const Op einsum{
    .name = "einsum",
    .doc = "Sum of products of any number of operands, by NumPy's subscripts",
    .min_inputs = 1,
    .max_inputs = -1,
    .infer = infer_einsum,
    .meaning = Expansion{expand_einsum},
    .grad = grad_of_einsum,
    .reference = {.general = ref_einsum},
    .samples = {.make = einsum_samples, .dtypes = Samples::numeric, .ulp = 8},
    .onnx = "Einsum",
    .parse_attrs = attrs_from_fields<EinsumAttrs>,
};

constinit const Op einsum_grad{
    .name = "einsum_grad",
    .doc = "Cotangent of one operand of einsum: from g, its type, the other operands",
    .min_inputs = 2,
    .max_inputs = -1,
    .infer = infer_einsum_grad,
    .meaning = Expansion{expand_einsum_grad},
    .grad = grad_of_einsum_grad,
    .parse_attrs = attrs_from_fields<EinsumAttrs>,
    .type_only = 0b10,
};

constinit const Op tensordot = product_row(
    "tensordot", "Sum of products over pairs of axes", 2, 2, infer_tensordot, expand_tensordot,
    ref_tensordot,
    []() -> std::vector<Sample> {
      return {{{{{2, 3, 4}}, {{3, 4, 5}}}, TensordotAttrs{2, {}, {}}},
              {{{{2, 3, 4}}, {{4, 5, 2}}}, TensordotAttrs{-1, {0, -1}, {2, 0}}},
              {{{{2}}, {{3}}}, TensordotAttrs{0, {}, {}}}};
    },
    attrs_from_fields<TensordotAttrs>);

constinit const Op batch_dot = product_row(
    "batch_dot", "For each element of the first axis, a sum of products over one axis of each", 2,
    2, infer_batch_dot, expand_batch_dot, ref_batch_dot,
    []() -> std::vector<Sample> {
      return {{{{{3, 4}}, {{3, 4}}}, BatchDotAttrs{}},
              {{{{3, 4}}, {{3, 5, 4}}}, BatchDotAttrs{false, 1, 2}},
              {{{{3, 2, 4}}, {{3, 4, 5}}}, BatchDotAttrs{}}};
    },
    attrs_from_fields<BatchDotAttrs>);

constinit const Op kron = product_row(
    "kron", "Kronecker product: blocks of b scaled by the elements of a", 2, 2, infer_kron,
    expand_kron, ref_kron,
    []() -> std::vector<Sample> {
      return {{{{{2, 3}}, {{4, 5}}}}, {{{{2}}, {{3, 2}}}}, {{{{}}, {{3}}}}};
    },
    nullptr);

constinit const Op multi_dot = product_row(
    "multi_dot", "Product of a chain of matrices in the order that takes the fewest steps", 2, -1,
    infer_multi_dot, expand_multi_dot, ref_multi_dot,
    []() -> std::vector<Sample> {
      return {{{{{2, 3}}, {{3, 4}}, {{4, 5}}}}, {{{{4}}, {{4, 3}}, {{3}}}}, {{{{3}}, {{3}}}}};
    },
    nullptr);

constinit const Op cross = product_row(
    "cross", "Vector product of vectors of 3 elements along an axis", 2, 2, infer_cross,
    expand_cross, ref_cross,
    []() -> std::vector<Sample> {
      return {{{{{4, 3}}, {{4, 3}}}, AxisAttrs{-1}}, {{{{3, 2}}, {{3, 1}}}, AxisAttrs{0}}};
    },
    attrs_from_fields<AxisAttrs>);

constexpr const Op* product_rows[] = {&contract,  &einsum, &einsum_grad, &tensordot,
                                      &batch_dot, &kron,   &multi_dot,   &cross};

}  // namespace ops

Rows family::products() { return ops::product_rows; }

}  // namespace weft::ir
