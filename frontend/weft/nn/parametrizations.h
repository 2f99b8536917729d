// Parameters that are computed from others. Names, arguments and defaults are PyTorch's.
//
// `weight_norm(layer)` takes the layer's parameter `weight` out and registers those in its place
// that it is computed from; the member `weight` is from then on an expression of these, so whatever
// the layer does with it, and the user, follows them. `parameters()`, optimisers made afterwards
// and `state_dict` know the new ones alone. A layer is given before it goes into others, or by
// reference; copies that were made of it before keep the parameter:
//
//   nn::Sequential model(nn::utils::weight_norm(nn::Linear(8, 16)), nn::ReLU(),
//                        nn::utils::spectral_norm(nn::Linear(16, 1)));
//   nn::utils::weight_norm(cell, &nn::LSTMCell::weight_hh);
//
// Error, on the caller's line, where the member is no parameter of the module (it has none, or it
// is computed already), or a name is taken, DTypeError where it is not of real floating numbers;
// nothing is changed then.
#pragma once

#include <concepts>
#include <optional>
#include <type_traits>
#include <utility>

#include "weft/nn/module.h"
#include "weft/nn/spatial.h"

namespace weft::nn {

namespace detail {
struct Parametrization {
  using Where = std::source_location;
  using Member = std::function<Tensor&(Module&)>;
  struct Spectral {
    std::int64_t n_power_iterations;
    double eps;
    std::int64_t dim;
  };
  template <class M> static Member member(Tensor M::*at) {
    return [at](Module& module) -> Tensor& { return static_cast<M&>(module).*at; };
  }
  static void weight_norm(Module& module, Member member, std::optional<std::int64_t> dim,
                          Where where);
  static void spectral_norm(Module& module, Member member, const Spectral& options, Where where);
  static void remove(const char* by, Module& module, const Member& member, Where where);

 private:
  static std::size_t find(const char* by, Module& module, const Tensor& parameter, Where where);
  static void replace(Module& module, std::size_t at, NamedTensors parameters, NamedTensors buffers,
                      Module::Made made, Where where);
};

template <class M> using MemberOf = Tensor std::remove_cvref_t<M>::*;
}  // namespace detail

namespace utils {

/// weight = g · v / ‖v‖: its length and its direction apart (Salimans and Kingma 2016). In place of
/// the parameter, which keeps its value, there are `weight_g`, norms along all axes but `dim` (of
/// the weight's rank, with extents 1; one number of no axes where `dim` is nullopt) and `weight_v`
/// of the weight's shape. A weight of zeros has no direction: NaN. IndexError where the weight has
/// no axis `dim`. Returns the layer.
template <ModuleType M>
M weight_norm(M&& module, detail::MemberOf<M> weight = &std::remove_cvref_t<M>::weight,
              std::optional<std::int64_t> dim = 0,
              std::source_location where = std::source_location::current()) {
  using Parametrization = detail::Parametrization;
  Parametrization::weight_norm(module, Parametrization::member(weight), dim, where);
  return std::forward<M>(module);
}

/// weight = W / σ, with σ ≈ the largest singular value of W as a matrix of rows along `dim` (which
/// is 0, and 1 for transposed convolutions, unless it is given), by power iteration (Miyato et al.
/// 2018). In place of the parameter there are `weight_orig` of its shape and the buffers `weight_u`
/// (rows) and `weight_v` (columns), unit vectors that 15 iterations have come to.
///
/// In training mode σ is of u and v after `n_power_iterations` more, which every call of a Function
/// that was built of the weight keeps, and every `backward` that is the first since weight_orig
/// changed; values alone keep none. Evaluation mode reads u and v and leaves them alone. No
/// gradient flows through u and v. W of zeros gives NaN. Error where `n_power_iterations` is not
/// positive, ShapeError for a weight of no axes, IndexError where it has no axis `dim`.
template <ModuleType M>
M spectral_norm(M&& module, detail::MemberOf<M> weight = &std::remove_cvref_t<M>::weight,
                std::int64_t n_power_iterations = 1, double eps = 1e-12,
                std::optional<std::int64_t> dim = {},
                std::source_location where = std::source_location::current()) {
  using Parametrization = detail::Parametrization;
  constexpr bool transposed = std::derived_from<std::remove_cvref_t<M>, ConvTranspose>;
  Parametrization::spectral_norm(module, Parametrization::member(weight),
                                 {n_power_iterations, eps, dim.value_or(transposed ? 1 : 0)},
                                 where);
  return std::forward<M>(module);
}

/// The weight is a parameter again, of the value that it has (of spectral_norm: that of evaluation
/// mode). Error where there is no such norm.
template <ModuleType M>
M remove_weight_norm(M&& module, detail::MemberOf<M> weight = &std::remove_cvref_t<M>::weight,
                     std::source_location where = std::source_location::current()) {
  using Parametrization = detail::Parametrization;
  Parametrization::remove("weight_norm", module, Parametrization::member(weight), where);
  return std::forward<M>(module);
}
template <ModuleType M>
M remove_spectral_norm(M&& module, detail::MemberOf<M> weight = &std::remove_cvref_t<M>::weight,
                       std::source_location where = std::source_location::current()) {
  using Parametrization = detail::Parametrization;
  Parametrization::remove("spectral_norm", module, Parametrization::member(weight), where);
  return std::forward<M>(module);
}

}  // namespace utils
}  // namespace weft::nn
