// The functions of the Keras 2 backend over Weft's operations, by Keras' names, with its order of
// arguments and its defaults: the data format is channels_last, reductions keep the dtype, zeros
// and ones are variables. `switch` is a word of C++ and called `switch_`; dtypes are DType values.
//
// What a session ran there is a value here: `eval(x)`, or a `function`. `update`, `update_add`,
// `update_sub` and `moving_average_update` give pairs for the updates of a `function`.
#pragma once

#include <concepts>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "weft/function.h"
#include "weft/ops/spatial.h"

namespace weft::keras {

using weft::AxisList;
using Where = std::source_location;
using Tensors = std::vector<Tensor>;
using OptionalDType = std::optional<DType>;
/// An extent that is not known is empty (`none` in a list of them).
struct Extent : std::optional<std::int64_t> {
  Extent(None) {}
  template <class T>
  requires(std::is_integral_v<T>) Extent(T value)
      : std::optional<std::int64_t>(static_cast<std::int64_t>(value)) {}
};
using Extents = std::vector<Extent>;
/// A variable and what it becomes.
using Update = std::pair<Tensor, Tensor>;

// ---- variables, values, placeholders ------------------------------------------------------------

Tensor placeholder(std::optional<Extents> shape = {}, std::optional<std::int64_t> ndim = {},
                   OptionalDType dtype = {}, bool sparse = false, std::string name = {},
                   Where where = Where::current());
bool is_placeholder(const Tensor& x);
/// The value in the given dtype: by default the default dtype.
Variable variable(const Array& value, OptionalDType dtype = {}, std::string name = {},
                  Where where = Where::current());
/// A scalar value fills the shape.
Tensor constant(const Array& value, OptionalDType dtype = {}, std::optional<Shape> shape = {},
                std::string name = {}, Where where = Where::current());
Variable zeros(const Shape& shape, OptionalDType dtype = {}, std::string name = {},
               Where where = Where::current());
Variable ones(const Shape& shape, OptionalDType dtype = {}, std::string name = {},
              Where where = Where::current());
Variable eye(std::int64_t size, OptionalDType dtype = {}, std::string name = {},
             Where where = Where::current());
Tensor zeros_like(const Operand& x, OptionalDType dtype = {});
Tensor ones_like(const Operand& x, OptionalDType dtype = {});
Tensor identity(const Operand& x);
/// start, start + step, … before stop; one number is where to stop.
Tensor arange(std::int64_t start, std::optional<std::int64_t> stop = {}, std::int64_t step = 1,
              DType dtype = DType::int32, Where where = Where::current());

Array eval(const Tensor& x);
Array get_value(const Tensor& x);
std::vector<Array> batch_get_value(const Tensors& xs);
void set_value(Tensor x, const Array& value, Where where = Where::current());
/// One update of all.
void batch_set_value(const std::vector<std::pair<Tensor, Array>>& tuples,
                     Where where = Where::current());
Update update(const Tensor& x, const Operand& new_x);
Update update_add(const Tensor& x, const Operand& increment);
Update update_sub(const Tensor& x, const Operand& decrement);
/// x · momentum + value · (1 - momentum).
Update moving_average_update(const Tensor& x, const Operand& value, double momentum);

DType dtype(const Tensor& x);
std::int64_t ndim(const Tensor& x);
/// Empty while the number of axes is not known.
std::optional<Extents> int_shape(const Tensor& x);
Shape get_variable_shape(const Tensor& x);
std::int64_t count_params(const Tensor& x);
/// The extents as an int64 tensor.
Tensor shape(const Operand& x);
template <class T> bool is_tensor(const T&) { return std::derived_from<T, Tensor>; }
/// Whether a layer made it: there are none here.
bool is_keras_tensor(const Tensor& x);
bool is_sparse(const Tensor& x);
Tensor to_dense(const Operand& x);
/// 1, 2, … for each prefix.
std::int64_t get_uid(const std::string& prefix = {});
void reset_uids();
/// x, which is printed behind the message whenever it is computed.
Tensor print_tensor(const Operand& x, std::string message = {});

// ---- functions, gradients, phases ---------------------------------------------------------------

Function function(Tensors inputs, Tensors outputs, std::vector<Update> updates = {},
                  Where where = Where::current());
/// Of the sum of the loss.
Tensors gradients(const Tensor& loss, const Tensors& variables, Where where = Where::current());
Tensor stop_gradient(const Operand& x);
Tensors stop_gradient(const Tensors& xs, Where where = Where::current());

/// An integer scalar that has a value, 0 or 1; graphs that were built before follow it.
Tensor learning_phase();
/// Error unless 0 or 1.
void set_learning_phase(std::int64_t value, Where where = Where::current());
/// A tensor, or a function that makes it.
class Branch {
 public:
  Branch(const Tensor& x) : make_([x] { return x; }) {}
  template <class F>
  requires(std::is_invocable_r_v<Tensor, F&>) Branch(F make) : make_(std::move(make)) {}
  /// Error where the function is empty.
  [[nodiscard]] Tensor operator()() const;

 private:
  std::function<Tensor()> make_;
};
/// `training`: a number or a tensor; by default the learning phase.
Tensor in_train_phase(const Branch& x, const Branch& alt, std::optional<Tensor> training = {},
                      Where where = Where::current());
Tensor in_test_phase(const Branch& x, const Branch& alt, std::optional<Tensor> training = {},
                     Where where = Where::current());
/// The condition has as many axes as the branches or fewer; it is repeated along the others.
Tensor switch_(const Operand& condition, const Branch& then_expression,
               const Branch& else_expression);

// ---- loops, unrolled: the first axis (of rnn, the second) has a known extent --------------------

using MapFn = std::function<Tensor(const Tensor& x)>;
using FoldFn = std::function<Tensor(const Tensor& accumulated, const Tensor& x)>;
Tensor map_fn(const MapFn& fn, const Operand& elems, std::string name = {},
              OptionalDType dtype = {});
/// Begins with the first element where there is no initializer.
Tensor foldl(const FoldFn& fn, const Operand& elems, std::optional<Tensor> initializer = {},
             std::string name = {});
Tensor foldr(const FoldFn& fn, const Operand& elems, std::optional<Tensor> initializer = {},
             std::string name = {});

struct StepResult {
  Tensor output;
  Tensors states;
};
/// Of one step of the inputs (samples, …), and the states followed by the constants.
using StepFn = std::function<StepResult(const Tensor& inputs, const Tensors& states)>;
struct RnnResult {
  Tensor last_output, outputs;  // outputs: (samples, time, …), in the order of the steps
  Tensors states;
};
/// Inputs (samples, time, …). Where the mask (samples, time) is false, output and states stay what
/// they were (the first output: zeros).
RnnResult rnn(const StepFn& step_function, const Operand& inputs, const Tensors& initial_states,
              bool go_backwards = false, std::optional<Tensor> mask = {},
              const Tensors& constants = {}, bool unroll = false,
              std::optional<std::int64_t> input_length = {});

// ---- elementwise --------------------------------------------------------------------------------

Tensor abs(const Operand& x);
/// 0 for negative numbers.
Tensor sqrt(const Operand& x);
Tensor square(const Operand& x);
Tensor exp(const Operand& x);
Tensor log(const Operand& x);
Tensor round(const Operand& x);
Tensor sign(const Operand& x);
Tensor sin(const Operand& x);
Tensor cos(const Operand& x);
Tensor pow(const Operand& x, const Operand& a);
/// A bound left out does not clip; a max below min counts as min.
Tensor clip(const Operand& x, std::optional<double> min_value, std::optional<double> max_value);
Tensor equal(const Operand& x, const Operand& y);
Tensor not_equal(const Operand& x, const Operand& y);
Tensor greater(const Operand& x, const Operand& y);
Tensor greater_equal(const Operand& x, const Operand& y);
Tensor less(const Operand& x, const Operand& y);
Tensor less_equal(const Operand& x, const Operand& y);
Tensor maximum(const Operand& x, const Operand& y);
Tensor minimum(const Operand& x, const Operand& y);
Tensor cast(const Operand& x, DType dtype);
/// x above max_value is that; below the threshold alpha · (x - threshold).
Tensor relu(const Operand& x, double alpha = 0, std::optional<double> max_value = {},
            double threshold = 0);
Tensor elu(const Operand& x, double alpha = 1);
Tensor softmax(const Operand& x, std::int64_t axis = -1);
Tensor softplus(const Operand& x);
Tensor softsign(const Operand& x);
Tensor sigmoid(const Operand& x);
/// 0.2 x + 0.5 within [0, 1].
Tensor hard_sigmoid(const Operand& x);
Tensor tanh(const Operand& x);
/// noise_shape: of what is dropped together; 1 is repeated along the axis.
Tensor dropout(const Operand& x, double level, std::optional<Shape> noise_shape = {},
               std::optional<std::int64_t> seed = {});
Tensor l2_normalize(const Operand& x, const AxisList& axis = {});

// ---- reductions ---------------------------------------------------------------------------------

Tensor max(const Operand& x, const AxisList& axis = {}, bool keepdims = false);
Tensor min(const Operand& x, const AxisList& axis = {}, bool keepdims = false);
Tensor sum(const Operand& x, const AxisList& axis = {}, bool keepdims = false);
Tensor prod(const Operand& x, const AxisList& axis = {}, bool keepdims = false);
Tensor mean(const Operand& x, const AxisList& axis = {}, bool keepdims = false);
/// Over the count.
Tensor var(const Operand& x, const AxisList& axis = {}, bool keepdims = false);
Tensor std(const Operand& x, const AxisList& axis = {}, bool keepdims = false);
Tensor any(const Operand& x, const AxisList& axis = {}, bool keepdims = false);
Tensor all(const Operand& x, const AxisList& axis = {}, bool keepdims = false);
Tensor logsumexp(const Operand& x, const AxisList& axis = {}, bool keepdims = false);
Tensor argmax(const Operand& x, std::int64_t axis = -1);
Tensor argmin(const Operand& x, std::int64_t axis = -1);
Tensor cumsum(const Operand& x, std::int64_t axis = 0);
Tensor cumprod(const Operand& x, std::int64_t axis = 0);

// ---- products -----------------------------------------------------------------------------------

/// Over the last axis of x and the last but one of y, other axes side by side.
Tensor dot(const Operand& x, const Operand& y);
/// Samples by themselves, over one axis of each. A result of one axis becomes (samples, 1).
Tensor batch_dot(const Operand& x, const Operand& y);
Tensor batch_dot(const Operand& x, const Operand& y, std::int64_t axes);
Tensor batch_dot(const Operand& x, const Operand& y, std::pair<std::int64_t, std::int64_t> axes);
/// All axes in reverse order.
Tensor transpose(const Operand& x);
/// Rows of the reference.
Tensor gather(const Operand& reference, const Operand& indices);

// ---- shapes -------------------------------------------------------------------------------------

Tensor concatenate(const Tensors& tensors, std::int64_t axis = -1, Where where = Where::current());
Tensor reshape(const Operand& x, Dims shape);
Tensor permute_dimensions(const Operand& x, Axes pattern);
/// Rows (columns) of each image, so often.
Tensor resize_images(const Operand& x, std::int64_t height_factor, std::int64_t width_factor,
                     std::string_view data_format = "channels_last",
                     std::string_view interpolation = "nearest");
Tensor resize_volumes(const Operand& x, std::int64_t depth_factor, std::int64_t height_factor,
                      std::int64_t width_factor, std::string_view data_format = "channels_last");
/// Each element `rep` times in a row.
Tensor repeat_elements(const Operand& x, std::int64_t rep, std::int64_t axis);
/// (samples, dim) to (samples, n, dim).
Tensor repeat(const Operand& x, std::int64_t n);
Tensor tile(const Operand& x, std::vector<std::int64_t> n);
Tensor tile(const Operand& x, std::int64_t n);
/// To one axis.
Tensor flatten(const Operand& x);
/// To two.
Tensor batch_flatten(const Operand& x);
Tensor expand_dims(const Operand& x, std::int64_t axis = -1);
Tensor squeeze(const Operand& x, std::int64_t axis);
Tensor temporal_padding(const Operand& x, std::pair<std::int64_t, std::int64_t> padding = {1, 1});
using Margins = std::vector<std::pair<std::int64_t, std::int64_t>>;
Tensor spatial_2d_padding(const Operand& x, const Margins& padding = {{1, 1}, {1, 1}},
                          std::string_view data_format = "channels_last");
Tensor spatial_3d_padding(const Operand& x, const Margins& padding = {{1, 1}, {1, 1}, {1, 1}},
                          std::string_view data_format = "channels_last");
Tensor stack(const Tensors& x, std::int64_t axis = 0, Where where = Where::current());
/// In the default dtype.
Tensor one_hot(const Operand& indices, std::int64_t num_classes);
Tensor reverse(const Operand& x, const AxisList& axes);
/// `size` elements from `start` on along each axis; -1: all that are left.
Tensor slice(const Operand& x, const std::vector<std::int64_t>& start,
             const std::vector<std::int64_t>& size);

// ---- normalisation, losses ----------------------------------------------------------------------

struct NormalizedBatch {
  Tensor normalized, mean, variance;
};
NormalizedBatch normalize_batch_in_training(const Operand& x, std::optional<Tensor> gamma,
                                            std::optional<Tensor> beta, Axes reduction_axes,
                                            double epsilon = 1e-3);
/// Statistics of one axis belong to `axis`.
Tensor batch_normalization(const Operand& x, const Tensor& mean, const Tensor& var,
                           std::optional<Tensor> beta, std::optional<Tensor> gamma,
                           std::int64_t axis = -1, double epsilon = 1e-3);
/// One loss a sample: probabilities along the axis, brought to sum 1 and kept off 0 and 1 by 1e-7.
Tensor categorical_crossentropy(const Operand& target, const Operand& output,
                                bool from_logits = false, std::int64_t axis = -1);
Tensor sparse_categorical_crossentropy(const Operand& target, const Operand& output,
                                       bool from_logits = false, std::int64_t axis = -1);
/// One loss an element.
Tensor binary_crossentropy(const Operand& target, const Operand& output, bool from_logits = false);
Tensor in_top_k(const Operand& predictions, const Operand& targets, std::int64_t k);
/// Labels (samples, longest), probabilities (samples, time, classes) of which the last class is the
/// blank, lengths (samples, 1): (samples, 1). The shapes but for the samples must be known.
Tensor ctc_batch_cost(const Operand& y_true, const Operand& y_pred, const Operand& input_length,
                      const Operand& label_length);

// ---- convolution and pooling: `padding` is "valid" or "same" (of conv1d also "causal") ----------

Tensor bias_add(const Operand& x, const Operand& bias,
                std::string_view data_format = "channels_last");
/// Kernels are (size…, inputs, outputs).
Tensor conv1d(const Operand& x, const Operand& kernel, PerAxis strides = 1,
              std::string_view padding = "valid", std::string_view data_format = "channels_last",
              PerAxis dilation_rate = 1);
Tensor conv2d(const Operand& x, const Operand& kernel, PerAxis strides = {1, 1},
              std::string_view padding = "valid", std::string_view data_format = "channels_last",
              PerAxis dilation_rate = {1, 1});
Tensor conv3d(const Operand& x, const Operand& kernel, PerAxis strides = {1, 1, 1},
              std::string_view padding = "valid", std::string_view data_format = "channels_last",
              PerAxis dilation_rate = {1, 1, 1});
/// Kernels are (size…, outputs, inputs). Of the output shape only the spatial extents count.
Tensor conv2d_transpose(const Operand& x, const Operand& kernel, const Extents& output_shape,
                        PerAxis strides = {1, 1}, std::string_view padding = "valid",
                        std::string_view data_format = "channels_last",
                        PerAxis dilation_rate = {1, 1});
Tensor conv3d_transpose(const Operand& x, const Operand& kernel, const Extents& output_shape,
                        PerAxis strides = {1, 1, 1}, std::string_view padding = "valid",
                        std::string_view data_format = "channels_last");
/// Kernels (size…, inputs, multiplier), and (1…, inputs · multiplier, outputs) after them.
Tensor depthwise_conv2d(const Operand& x, const Operand& depthwise_kernel, PerAxis strides = {1, 1},
                        std::string_view padding = "valid",
                        std::string_view data_format = "channels_last",
                        PerAxis dilation_rate = {1, 1});
Tensor separable_conv1d(const Operand& x, const Operand& depthwise_kernel,
                        const Operand& pointwise_kernel, PerAxis strides = 1,
                        std::string_view padding = "valid",
                        std::string_view data_format = "channels_last", PerAxis dilation_rate = 1);
Tensor separable_conv2d(const Operand& x, const Operand& depthwise_kernel,
                        const Operand& pointwise_kernel, PerAxis strides = {1, 1},
                        std::string_view padding = "valid",
                        std::string_view data_format = "channels_last",
                        PerAxis dilation_rate = {1, 1});
/// A kernel of its own for each place: (places, size · inputs, outputs).
Tensor local_conv1d(const Operand& inputs, const Operand& kernel, PerAxis kernel_size,
                    PerAxis strides, std::string_view data_format = "channels_last");
Tensor local_conv2d(const Operand& inputs, const Operand& kernel, PerAxis kernel_size,
                    PerAxis strides, std::pair<std::int64_t, std::int64_t> output_shape,
                    std::string_view data_format = "channels_last");
/// `pool_mode` is "max" or "avg"; padding does not count in means.
Tensor pool2d(const Operand& x, PerAxis pool_size, PerAxis strides = {1, 1},
              std::string_view padding = "valid", std::string_view data_format = "channels_last",
              std::string_view pool_mode = "max");
Tensor pool3d(const Operand& x, PerAxis pool_size, PerAxis strides = {1, 1, 1},
              std::string_view padding = "valid", std::string_view data_format = "channels_last",
              std::string_view pool_mode = "max");

// ---- random: drawn anew at each evaluation, from the seed of manual_seed ------------------------

// A seed of its own belongs to a variable, which is drawn once. Of an operation it is not available
// (UnsupportedOp).
Variable random_uniform_variable(const Shape& shape, double low, double high,
                                 OptionalDType dtype = {}, std::string name = {},
                                 std::optional<std::int64_t> seed = {},
                                 Where where = Where::current());
Variable random_normal_variable(const Shape& shape, double mean, double scale,
                                OptionalDType dtype = {}, std::string name = {},
                                std::optional<std::int64_t> seed = {},
                                Where where = Where::current());
Tensor random_normal(const Dims& shape, double mean = 0, double stddev = 1,
                     OptionalDType dtype = {}, std::optional<std::int64_t> seed = {},
                     Where where = Where::current());
Tensor random_uniform(const Dims& shape, double minval = 0, double maxval = 1,
                      OptionalDType dtype = {}, std::optional<std::int64_t> seed = {},
                      Where where = Where::current());
/// One with probability p, else zero.
Tensor random_binomial(const Dims& shape, double p = 0, OptionalDType dtype = {},
                       std::optional<std::int64_t> seed = {}, Where where = Where::current());
/// Of a normal, what is within two deviations.
Tensor truncated_normal(const Dims& shape, double mean = 0, double stddev = 1,
                        OptionalDType dtype = {}, std::optional<std::int64_t> seed = {},
                        Where where = Where::current());

}  // namespace weft::keras
