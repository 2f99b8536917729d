#include "weft/nn/parametrizations.h"

#include <algorithm>

#include "gradient_state.h"
#include "ir/builder.h"
#include "value.h"
#include "weft/array.h"
#include "weft/ops.h"
#include "weft/ops/statistics.h"

namespace weft::nn {

namespace ops = ir::ops;
using detail::Parametrization;
using frontend::make, frontend::reduce, frontend::Value;

namespace {

Value length(const Value& x, const AxisList& axes = {}, bool keepdims = false) {
  return {vector_norm({x.node(), x.where()}, 2, axes, keepdims).node(), x.where()};
}

Value constant(const Value& x) { return make(ops::stop_gradient, {x}); }

void demand_axis(const char* by, const Tensor& weight, std::int64_t dim, SourceLocation where) {
  if (dim >= 0 && dim < weight.ndim()) return;
  throw IndexError(std::string(by) + ": a weight of shape " + to_string(weight.shape()) +
                       " has no axis " + std::to_string(dim),
                   where);
}

/// A parameter in the place of another, which may be frozen.
Tensor parameter(const Array& value, std::string name, const Tensor& instead,
                 std::source_location where) {
  Tensor result(value, {.requires_grad = true, .name = std::move(name)}, where);
  if (frontend::is_frozen(instead.node())) result.requires_grad(false);
  return result;
}

}  // namespace

// ---- what is registered -------------------------------------------------------------------------

/// Where the parameter is among the module's own.
std::size_t Parametrization::find(const char* by, Module& module, const Tensor& parameter,
                                  Where where) {
  const auto& own = module.own_;
  const auto found = std::ranges::find(own, parameter.node(),
                                       [](const auto& entry) { return entry.second.node(); });
  if (found != own.end()) {
    if (category(parameter.dtype()) != Category::floating)
      throw DTypeError(std::string(by) + ": '" + found->first + "' is of " +
                           std::string(name(parameter.dtype())) + ", and has no such norm",
                       where);
    return static_cast<std::size_t>(found - own.begin());
  }
  for (const Module::Made& made : module.made_)
    if (made.member(module).node() == parameter.node())
      throw Error(std::string(by) + ": '" + made.name + "' is computed by " + made.by + " already",
                  where);
  throw Error(std::string(by) + ": the member is no parameter of this module", where);
}

void Parametrization::replace(Module& module, std::size_t at, NamedTensors parameters,
                              NamedTensors buffers, Module::Made made, Where where) {
  for (const auto* parts : {&parameters, &buffers})
    for (const auto& [name, tensor] : *parts) {
      module.demand_free(name, where);
      made.parts.push_back(name);
    }
  for (const Tensor& weight : {made.in_training, made.in_evaluation})
    frontend::keep_graph(weight.node());
  // Beside what is there, which changes once nothing can fail.
  auto own = module.own_, all_buffers = module.buffers_;
  const auto place = own.erase(own.begin() + static_cast<std::ptrdiff_t>(at));
  own.insert(place, parameters.begin(), parameters.end());
  all_buffers.insert(all_buffers.end(), buffers.begin(), buffers.end());
  Tensor& member = made.member(module);
  const Tensor weight = module.is_training() ? made.in_training : made.in_evaluation;
  module.made_.push_back(std::move(made));
  module.own_.swap(own);
  module.buffers_.swap(all_buffers);
  member = weight;
}

void Parametrization::remove(const char* by, Module& module, const Member& member, Where where) {
  Tensor& weight = member(module);
  const auto made = std::ranges::find_if(module.made_, [&](const Module::Made& one) {
    return std::string(one.by) == by && one.member(module).node() == weight.node();
  });
  if (made == module.made_.end())
    throw Error("remove_" + std::string(by) + ": the member is not computed by " + by, where);
  const auto is_part = [&](const auto& entry) {
    return std::ranges::find(made->parts, entry.first) != made->parts.end();
  };
  const auto place = std::ranges::find_if(module.own_, is_part);
  weight = parameter(made->in_evaluation.value(), made->name, place->second, where);
  place->first = made->name;
  place->second = weight;
  std::erase_if(module.own_, is_part);
  std::erase_if(module.buffers_, is_part);
  module.made_.erase(made);
}

// ---- weight_norm --------------------------------------------------------------------------------

void Parametrization::weight_norm(Module& module, Member member, std::optional<std::int64_t> dim,
                                  Where where) {
  const Tensor weight = member(module);
  const std::size_t at = find("weight_norm", module, weight, where);
  const std::string name = module.own_[at].first;
  if (dim) demand_axis("weight_norm", weight, *dim, where);
  AxisList others;
  if (dim) {
    Axes axes;
    for (std::int64_t axis = 0; axis < weight.ndim(); ++axis)
      if (axis != *dim) axes.push_back(axis);
    others = axes;
  }
  const auto norm = [&](const Value& x) { return length(x, others, dim.has_value()); };
  const Tensor length_now = norm({weight.node(), where});
  const Tensor g = parameter(length_now.value(), name + "_g", weight, where),
               v = parameter(weight.value(), name + "_v", weight, where);
  const Value direction(v.node(), where), size(g.node(), where);
  const Tensor made = direction * (size / norm(direction));
  replace(module, at, {{g.name(), g}, {v.name(), v}}, {},
          {"weight_norm", name, {}, made, made, std::move(member)}, where);
}

// ---- spectral_norm ------------------------------------------------------------------------------

namespace {

/// Rows along axis `dim`, all else in columns; in a dtype to compute in.
Value as_matrix(const Tensor& weight, std::int64_t dim, SourceLocation where) {
  Axes order{dim};
  for (std::int64_t axis = 0; axis < weight.ndim(); ++axis)
    if (axis != dim) order.push_back(axis);
  const Shape shape = weight.shape();
  const std::int64_t rows = shape[static_cast<std::size_t>(dim)],
                     columns = rows > 0 ? weight.size() / rows : 0;
  const Tensor permuted = permute({weight.node(), where}, order);
  const Value matrix(reshape({permuted.node(), where}, {Dim(rows), Dim(columns)}).node(), where);
  return make(ops::cast, {matrix}, ir::CastAttrs{compute_dtype(weight.dtype())});
}

/// The singular vectors of a matrix's largest singular value.
struct Vectors {
  Value u, v;
};
Vectors iterated(const Value& matrix, Vectors now, std::int64_t times, double eps) {
  const auto unit = [&](const Value& x) {
    const Value size = length(x);
    return x / make(ops::maximum, {size, size.scalar(eps)});
  };
  for (std::int64_t i = 0; i < times; ++i) {
    now.v = unit(make(ops::matmul, {now.u, matrix}));
    now.u = unit(make(ops::matmul, {matrix, now.v}));
  }
  return now;
}

}  // namespace

void Parametrization::spectral_norm(Module& module, Member member, const Spectral& o, Where where) {
  const char* const by = "spectral_norm";
  const Tensor weight = member(module);
  const std::size_t at = find(by, module, weight, where);
  const std::string name = module.own_[at].first;
  if (o.n_power_iterations < 1)
    throw Error("spectral_norm: n_power_iterations must be positive, not " +
                    std::to_string(o.n_power_iterations),
                where);
  if (weight.ndim() == 0)
    throw ShapeError("spectral_norm: a weight of no axes is no matrix", where);
  demand_axis(by, weight, o.dim, where);

  const Tensor original = parameter(weight.value(), name + "_orig", weight, where);
  const Value matrix = as_matrix(original, o.dim, where);
  const Shape extents = Tensor(matrix).shape();
  const auto drawn = [&](std::int64_t extent) {
    const DType dtype = compute_dtype(weight.dtype());
    return Variable(randn({extent}, DType::float32).to(dtype).to(weight.device()));
  };
  const Variable first_u = drawn(extents[0]), first_v = drawn(extents[1]);
  const Vectors begun =
      iterated(matrix, {{first_u.node(), where}, {first_v.node(), where}}, 15, o.eps);
  const Tensor begun_u = begun.u, begun_v = begun.v;
  const auto stored = [&](const Tensor& x) { return x.value().to(weight.dtype()); };
  const Variable u(stored(begun_u), name + "_u", where), v(stored(begun_v), name + "_v", where);

  const auto wide = [dtype = compute_dtype(weight.dtype())](const Value& x) {
    return make(ops::cast, {x}, ir::CastAttrs{dtype});
  };
  const auto sigma = [&](const Vectors& x) {
    const Value along = make(ops::matmul, {matrix, constant(x.v)});
    return make(ops::matmul, {constant(x.u), along});
  };
  const Vectors kept{{u.node(), where}, {v.node(), where}};
  const auto next = [matrix, wide, o](const Vectors& now) {
    return iterated(matrix, {wide(now.u), wide(now.v)}, o.n_power_iterations, o.eps);
  };
  const Value whole(original.node(), where);
  const Value moving = sigma(next(kept)), still = sigma({wide(kept.u), wide(kept.v)});
  {
    const frontend::Pass uncounted;  // it waits for one
    const std::span<const ir::NodeRef> of = moving.node()->inputs();
    frontend::note_running(moving.node(),
                           {{u.node(), v.node()},
                            [next, where](std::span<const ir::NodeRef> now) {
                              const Value u_now(now[0], where), v_now(now[1], where);
                              const Vectors moved = next({u_now, v_now});
                              return std::vector{make(ops::cast_like, {moved.u, u_now}).node(),
                                                 make(ops::cast_like, {moved.v, v_now}).node()};
                            },
                            ir::make_node(moving.node()->op(), {of.begin(), of.end()},
                                          moving.node()->attrs(), where)});
  }
  const auto over = [&](const Value& norm) -> Tensor {
    return make(ops::cast_like, {wide(whole) / norm, whole});
  };
  const Tensor in_training = over(moving), in_evaluation = over(still);
  replace(module, at, {{original.name(), original}}, {{u.name(), u}, {v.name(), v}},
          {by, name, {}, in_training, in_evaluation, std::move(member)}, where);
}

}  // namespace weft::nn
