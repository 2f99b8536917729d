// Initial values of parameters (`nn::init`) and what is done to all of them or to their gradients
// (`nn::utils`). Names, arguments and defaults are PyTorch's.
//
// The functions of `init` draw from the process's random numbers (`manual_seed`), set the value of
// a parameter (a tensor with a value that is not computed) and return it. Error where its shape
// does not allow what is asked, and nothing is changed.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "weft/tensor.h"

namespace weft::nn::init {

using Where = std::source_location;

/// The factor that keeps the variance of what goes through an activation: of "linear", "conv1d"
/// (and its kin), "sigmoid", "tanh", "relu", "leaky_relu" (`param`: its slope, 0.01) or "selu".
/// Error for others.
double calculate_gain(const std::string& nonlinearity, std::optional<double> param = {},
                      Where where = Where::current());

Tensor uniform_(Tensor tensor, double a = 0, double b = 1, Where where = Where::current());
Tensor normal_(Tensor tensor, double mean = 0, double std = 1, Where where = Where::current());
/// A normal distribution's numbers in [a, b].
Tensor trunc_normal_(Tensor tensor, double mean = 0, double std = 1, double a = -2, double b = 2,
                     Where where = Where::current());
Tensor constant_(Tensor tensor, double value, Where where = Where::current());
Tensor zeros_(Tensor tensor, Where where = Where::current());
Tensor ones_(Tensor tensor, Where where = Where::current());
/// Of two axes: ones on the diagonal.
Tensor eye_(Tensor tensor, Where where = Where::current());
/// Of three to five axes, a convolution's weight: it leaves its input as it is, group by group.
Tensor dirac_(Tensor tensor, std::int64_t groups = 1, Where where = Where::current());

// fan_in is the extent of axis 1 times those from axis 2 on, fan_out that of axis 0 times these;
// two axes at least.
/// Uniform in ±gain √(6 / (fan_in + fan_out)).
Tensor xavier_uniform_(Tensor tensor, double gain = 1, Where where = Where::current());
/// Normal of deviation gain √(2 / (fan_in + fan_out)).
Tensor xavier_normal_(Tensor tensor, double gain = 1, Where where = Where::current());
/// Uniform in ±gain √(3 / fan), with the gain of the nonlinearity, whose slope `a` is; `mode`:
/// "fan_in" or "fan_out".
Tensor kaiming_uniform_(Tensor tensor, double a = 0, const std::string& mode = "fan_in",
                        const std::string& nonlinearity = "leaky_relu",
                        Where where = Where::current());
/// Normal of deviation gain / √fan.
Tensor kaiming_normal_(Tensor tensor, double a = 0, const std::string& mode = "fan_in",
                       const std::string& nonlinearity = "leaky_relu",
                       Where where = Where::current());
/// Rows (or columns, if these are fewer) of length `gain` at right angles; axes from 1 on are one.
/// UnsupportedOp without OpenBLAS.
Tensor orthogonal_(Tensor tensor, double gain = 1, Where where = Where::current());
/// Of two axes: normal, but for a share of each column that is 0.
Tensor sparse_(Tensor tensor, double sparsity, double std = 0.01, Where where = Where::current());

}  // namespace weft::nn::init

namespace weft::nn::utils {

using Where = std::source_location;

/// Scales what `backward` accumulated, so that the norm of all gradients together is at most
/// max_norm; returns what it was. Error where it is not finite, if that is asked for.
double clip_grad_norm_(const std::vector<Tensor>& parameters, double max_norm, double norm_type = 2,
                       bool error_if_nonfinite = false, Where where = Where::current());
/// Keeps each element of what `backward` accumulated in ±clip_value.
void clip_grad_value_(const std::vector<Tensor>& parameters, double clip_value,
                      Where where = Where::current());

/// The same of gradients that are tensors (`optimizer.updates(clip_grad_norm(grad(loss, ps), 1))`).
std::vector<Tensor> clip_grad_norm(const std::vector<Tensor>& gradients, double max_norm,
                                   double norm_type = 2, Where where = Where::current());
std::vector<Tensor> clip_grad_value(const std::vector<Tensor>& gradients, double clip_value,
                                    Where where = Where::current());
/// The norm of all together.
Tensor get_total_norm(const std::vector<Tensor>& tensors, double norm_type = 2,
                      Where where = Where::current());

/// All elements in one axis; and back, as the parameters' values.
Tensor parameters_to_vector(const std::vector<Tensor>& parameters, Where where = Where::current());
void vector_to_parameters(const Array& vector, const std::vector<Tensor>& parameters,
                          Where where = Where::current());

}  // namespace weft::nn::utils
