#include "ir/ops/vmap.h"

#include "ir/ops/rules.h"

namespace weft::ir {
namespace {

Vectorizer vectorizer{};

/// The batch's extent, where it is known; ShapeError where operands disagree.
std::optional<Dim> batch_of(const InferContext& c, const VmapAttrs& attrs) {
  std::optional<Dim> batch;
  for (std::size_t i = 0; i < c.inputs.size(); ++i) {
    const auto& shape = c.type(i).shape;
    if (attrs.batched[i] == 0 || !shape) continue;
    if (shape->empty()) fail_shape(c, "operand " + std::to_string(i) + " has no axis to go over");
    batch =
        batch ? unify(c, *batch, shape->front(), "the extents that are gone over") : shape->front();
  }
  return batch;
}

std::vector<Type> vmap_types(const InferContext& c) {
  const auto& attrs = c.attrs.get<VmapAttrs>();
  if (!attrs.body || attrs.body->outputs().empty() ||
      attrs.body->inputs().size() != c.inputs.size() || attrs.batched.size() != c.inputs.size())
    throw Error(c.describe() + ": the body does not have these operands", c.where);
  const std::optional<Dim> batch = batch_of(c, attrs);
  std::vector<NodeRef> examples;
  for (std::size_t i = 0; i < c.inputs.size(); ++i) {
    Type type{c.type(i).dtype, c.type(i).shape};
    if (attrs.batched[i] != 0 && type.shape) type.shape->erase(type.shape->begin());
    examples.push_back(make_input(std::move(type)));
  }
  GraphBuilder builder;
  std::vector<Type> types;
  for (const NodeRef& result : inline_graph(builder, *attrs.body, examples)) {
    types.push_back({result->type().dtype, result->type().shape});
    std::optional<Dims>& shape = types.back().shape;
    if (shape && batch) shape->insert(shape->begin(), *batch);
    if (!batch) shape.reset();
  }
  return types;
}

}  // namespace

void set_vectorizer(Vectorizer v) { vectorizer = v; }

namespace ops {

constinit const Op vmap{
    .name = "vmap",
    .doc = "A graph applied to each example of a batch",
    .max_inputs = -1,
    .infer = [](const InferContext& c) { return vmap_types(c).front(); },
    .meaning = Expansion{.expand = nullptr,
                         .expand_all =
                             [](GraphBuilder& b, const Node& n, std::span<const NodeRef> inputs) {
                               return vectorizer.expand(b, n, inputs);
                             }},
    .grad = [](const GradArgs& a) { return vectorizer.grad(a); },
    .parse_attrs = attrs_from_fields<VmapAttrs>,
    .infer_extra =
        [](const InferContext& c) {
          const std::vector<Type> types = vmap_types(c);
          return std::vector<Type>(types.begin() + 1, types.end());
        },
};

}  // namespace ops
}  // namespace weft::ir
