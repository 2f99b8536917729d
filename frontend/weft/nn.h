// Building blocks of networks: modules that own parameters, and functional forms. Names, arguments
// and defaults are PyTorch's. A module builds graph nodes when it is called; what it builds is
// differentiated, compiled and updated like any other graph.
#pragma once

#include <memory>
#include <optional>
#include <source_location>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "weft/io.h"
#include "weft/ops.h"
#include "weft/ops/indexing.h"
#include "weft/ops/spatial.h"

namespace weft::nn {

using NamedTensors = std::vector<std::pair<std::string, Tensor>>;

/// Owns parameters and child modules by name. Copies share both.
class Module {
 public:
  using Where = std::source_location;

  virtual ~Module() = default;
  virtual Tensor forward(const Tensor& x) = 0;
  /// forward(x). What Weft's own modules build in it is on the line of the call.
  Tensor operator()(const Operand& x);

  /// Own parameters first, then the children's, in order of registration.
  [[nodiscard]] std::vector<Tensor> parameters() const;
  /// The same with dotted names: `0.weight`. What has several names is there once, by its first.
  [[nodiscard]] NamedTensors named_parameters() const;
  [[nodiscard]] std::int64_t parameter_count() const;

  /// Training mode is read when a graph is built: dropout and the like.
  Module& train(bool on = true);
  Module& eval() { return train(false); }
  [[nodiscard]] bool is_training() const { return training_; }
  void zero_grad() const;
  Module& requires_grad(bool on);
  /// Moves every parameter, or none where it throws (what depends on them has to follow).
  Module& to(Device device);

  /// Under every name.
  [[nodiscard]] NamedArrays state_dict() const;
  /// Every parameter must be there, of its shape, and nothing else; Error names the first that is
  /// not. `strict` false: names that only one side has are passed over. Changes nothing when it
  /// throws.
  void load_state_dict(const NamedArrays& state, bool strict = true,
                       Where where = Where::current());

 protected:
  Module() = default;
  Module(const Module&) = default;
  Module& operator=(const Module&) = default;
  /// Names are without dots, and given once (Error).
  Tensor register_parameter(std::string name, const Array& value, Where where = Where::current());
  template <class M>
  std::shared_ptr<M> register_module(std::string name, std::shared_ptr<M> child,
                                     Where where = Where::current()) {
    add_child(std::move(name), child, where);
    return child;
  }
  template <class M>
  requires std::is_base_of_v<Module, M> std::shared_ptr<M> register_module(
      std::string name, M child, Where where = Where::current()) {
    return register_module(std::move(name), std::make_shared<M>(std::move(child)), where);
  }

 private:
  void collect(const std::string& prefix, NamedTensors& into) const;
  void demand_free(const std::string& name, Where where) const;
  void add_child(std::string name, std::shared_ptr<Module> child, Where where);

  NamedTensors own_;
  std::vector<std::pair<std::string, std::shared_ptr<Module>>> children_;
  bool training_ = true;
};

/// A module of Weft's own: what it builds is on the line of its operand. In `forward`, that is the
/// line of the innermost call of a module.
class Layer : public Module {
 public:
  virtual Tensor build(const Operand& x) = 0;
  Tensor forward(const Tensor& x) override;
};

/// Modules one after another.
class Sequential : public Layer {
 public:
  Sequential() = default;
  template <class First, class... Rest>
  requires(std::is_base_of_v<Module, std::remove_cvref_t<First>> &&
           !(sizeof...(Rest) == 0 &&
             std::is_same_v<std::remove_cvref_t<First>,
                            Sequential>)) explicit Sequential(First&& first, Rest&&... rest) {
    push_back(std::forward<First>(first));
    (push_back(std::forward<Rest>(rest)), ...);
  }
  template <class M>
  requires std::is_base_of_v<Module, std::remove_cvref_t<M>> Sequential& push_back(M&& module) {
    return push_back(std::make_shared<std::remove_cvref_t<M>>(std::forward<M>(module)));
  }
  template <class M> Sequential& push_back(std::shared_ptr<M> module) {
    steps_.push_back(register_module(std::to_string(steps_.size()), std::move(module)));
    return *this;
  }
  Tensor build(const Operand& x) override;

 private:
  std::vector<std::shared_ptr<Module>> steps_;
};

/// x·Wᵀ + b; weight (out, in), both uniform in ±1/√in.
class Linear : public Layer {
 public:
  Linear(std::int64_t in_features, std::int64_t out_features, bool bias = true);
  Tensor build(const Operand& x) override;
  Tensor weight, bias;

 private:
  bool has_bias_;
};

struct ConvOptions {
  PerAxis stride = 1;
  Padding padding = 0;
  PerAxis dilation = 1;
  std::int64_t groups = 1;
  bool bias = true;
};

/// Cross-correlation over one, two or three spatial axes; weight (out, in / groups, kernel…) and
/// bias (out), both uniform in ±1/√(in / groups · kernel). Input (N, in, …) or (in, …).
class Conv : public Layer {
 public:
  Tensor build(const Operand& x) override;
  Tensor weight, bias;

 protected:
  Conv(std::size_t spatial_axes, std::int64_t in_channels, std::int64_t out_channels,
       PerAxis kernel_size, ConvOptions options);

 private:
  std::size_t spatial_axes_;
  ConvOptions options_;
};
class Conv1d : public Conv {
 public:
  Conv1d(std::int64_t in_channels, std::int64_t out_channels, PerAxis kernel_size,
         ConvOptions options = {})
      : Conv(1, in_channels, out_channels, std::move(kernel_size), std::move(options)) {}
};
class Conv2d : public Conv {
 public:
  Conv2d(std::int64_t in_channels, std::int64_t out_channels, PerAxis kernel_size,
         ConvOptions options = {})
      : Conv(2, in_channels, out_channels, std::move(kernel_size), std::move(options)) {}
};
class Conv3d : public Conv {
 public:
  Conv3d(std::int64_t in_channels, std::int64_t out_channels, PerAxis kernel_size,
         ConvOptions options = {})
      : Conv(3, in_channels, out_channels, std::move(kernel_size), std::move(options)) {}
};

/// The stride is the window where not given. (Constructors from an array of numbers take
/// `MaxPool2d({2, 3})`, which could otherwise be a copy of `MaxPool2d{2, 3}`.)
class MaxPool2d : public Layer {
 public:
  explicit MaxPool2d(PerAxis kernel_size, PerAxis stride = {}, PerAxis padding = 0,
                     PerAxis dilation = 1, bool ceil_mode = false)
      : kernel_(std::move(kernel_size)),
        stride_(std::move(stride)),
        padding_(std::move(padding)),
        dilation_(std::move(dilation)),
        ceil_mode_(ceil_mode) {}
  template <std::size_t N>
  explicit MaxPool2d(const std::int64_t (&kernel_size)[N], PerAxis stride = {}, PerAxis padding = 0,
                     PerAxis dilation = 1, bool ceil_mode = false)
      : MaxPool2d(PerAxis(std::vector<std::int64_t>(kernel_size, kernel_size + N)),
                  std::move(stride), std::move(padding), std::move(dilation), ceil_mode) {}
  Tensor build(const Operand& x) override {
    return max_pool2d(x, kernel_, stride_, padding_, dilation_, ceil_mode_);
  }

 private:
  PerAxis kernel_, stride_, padding_, dilation_;
  bool ceil_mode_;
};
class AvgPool2d : public Layer {
 public:
  explicit AvgPool2d(PerAxis kernel_size, PerAxis stride = {}, PerAxis padding = 0,
                     bool ceil_mode = false, bool count_include_pad = true,
                     std::optional<std::int64_t> divisor_override = {})
      : kernel_(std::move(kernel_size)),
        stride_(std::move(stride)),
        padding_(std::move(padding)),
        ceil_mode_(ceil_mode),
        count_include_pad_(count_include_pad),
        divisor_override_(divisor_override) {}
  template <std::size_t N>
  explicit AvgPool2d(const std::int64_t (&kernel_size)[N], PerAxis stride = {}, PerAxis padding = 0,
                     bool ceil_mode = false, bool count_include_pad = true,
                     std::optional<std::int64_t> divisor_override = {})
      : AvgPool2d(PerAxis(std::vector<std::int64_t>(kernel_size, kernel_size + N)),
                  std::move(stride), std::move(padding), ceil_mode, count_include_pad,
                  divisor_override) {}
  Tensor build(const Operand& x) override {
    return avg_pool2d(x, kernel_, stride_, padding_, ceil_mode_, count_include_pad_,
                      divisor_override_);
  }

 private:
  PerAxis kernel_, stride_, padding_;
  bool ceil_mode_, count_include_pad_;
  std::optional<std::int64_t> divisor_override_;
};

/// Rows of a table; weight (entries, width) is standard normal.
class Embedding : public Layer {
 public:
  Embedding(std::int64_t num_embeddings, std::int64_t embedding_dim);
  Tensor build(const Operand& indices) override;
  Tensor weight;
};

/// Normalises the last axis, of extent `features`.
class LayerNorm : public Layer {
 public:
  explicit LayerNorm(std::int64_t features, double eps = 1e-5, bool elementwise_affine = true);
  Tensor build(const Operand& x) override;
  Tensor weight, bias;

 private:
  std::int64_t features_;
  double eps_;
  bool affine_;
};

class Dropout : public Layer {
 public:
  explicit Dropout(double p = 0.5) : p_(p) {}
  Tensor build(const Operand& x) override { return dropout(x, p_, is_training()); }

 private:
  double p_;
};

/// Joins axes start_dim to end_dim.
class Flatten : public Layer {
 public:
  explicit Flatten(std::int64_t start_dim = 1, std::int64_t end_dim = -1)
      : start_(start_dim), end_(end_dim) {}
  Tensor build(const Operand& x) override { return flatten(x, start_, end_); }

 private:
  std::int64_t start_, end_;
};

/// Splits one axis into several; one extent may be -1.
class Unflatten : public Layer {
 public:
  Unflatten(std::int64_t dim, Dims sizes) : dim_(dim), sizes_(std::move(sizes)) {}
  Tensor build(const Operand& x) override { return unflatten(x, dim_, sizes_); }

 private:
  std::int64_t dim_;
  Dims sizes_;
};

class Identity : public Layer {
 public:
  Tensor build(const Operand& x) override { return Tensor(x.node()); }
};
class ReLU : public Layer {
 public:
  Tensor build(const Operand& x) override { return relu(x); }
};
class Sigmoid : public Layer {
 public:
  Tensor build(const Operand& x) override { return sigmoid(x); }
};
class Tanh : public Layer {
 public:
  Tensor build(const Operand& x) override { return tanh(x); }
};
class GELU : public Layer {
 public:
  Tensor build(const Operand& x) override { return gelu(x); }
};
class SiLU : public Layer {
 public:
  Tensor build(const Operand& x) override { return silu(x); }
};
class Softplus : public Layer {
 public:
  Tensor build(const Operand& x) override { return softplus(x); }
};
class LeakyReLU : public Layer {
 public:
  explicit LeakyReLU(double negative_slope = 0.01) : slope_(negative_slope) {}
  Tensor build(const Operand& x) override { return leaky_relu(x, slope_); }

 private:
  double slope_;
};
class ELU : public Layer {
 public:
  explicit ELU(double alpha = 1) : alpha_(alpha) {}
  Tensor build(const Operand& x) override { return elu(x, alpha_); }

 private:
  double alpha_;
};
class Softmax : public Layer {
 public:
  explicit Softmax(std::int64_t dim = -1) : dim_(dim) {}
  Tensor build(const Operand& x) override { return softmax(x, dim_); }

 private:
  std::int64_t dim_;
};
class LogSoftmax : public Layer {
 public:
  explicit LogSoftmax(std::int64_t dim = -1) : dim_(dim) {}
  Tensor build(const Operand& x) override { return log_softmax(x, dim_); }

 private:
  std::int64_t dim_;
};

// ---- functional forms ---------------------------------------------------------------------------

enum class Reduction : std::uint8_t { mean, sum, none };

Tensor linear(const Operand& x, const Operand& weight);
Tensor linear(const Operand& x, const Operand& weight, const Operand& bias);
/// Scores (N, C, …) or (C); targets are class numbers, or probabilities of the scores' shape.
/// `weight` (C) scales the loss of each class, and the mean is a weighted one of class numbers.
Tensor cross_entropy(const Operand& logits, const Operand& targets,
                     Reduction reduction = Reduction::mean, std::int64_t ignore_index = -100,
                     double label_smoothing = 0, const std::optional<Tensor>& weight = {});
/// Log-probabilities and class numbers.
Tensor nll_loss(const Operand& log_probabilities, const Operand& targets,
                Reduction reduction = Reduction::mean, std::int64_t ignore_index = -100,
                const std::optional<Tensor>& weight = {});
Tensor mse_loss(const Operand& input, const Operand& target, Reduction reduction = Reduction::mean);
Tensor l1_loss(const Operand& input, const Operand& target, Reduction reduction = Reduction::mean);
/// Of probabilities, or of scores; targets have their shape (ShapeError). `weight` broadcasts to
/// the losses, `pos_weight` scales those of what is.
Tensor binary_cross_entropy(const Operand& probabilities, const Operand& targets,
                            Reduction reduction = Reduction::mean,
                            const std::optional<Tensor>& weight = {});
Tensor binary_cross_entropy_with_logits(const Operand& logits, const Operand& targets,
                                        Reduction reduction = Reduction::mean,
                                        const std::optional<Tensor>& weight = {},
                                        const std::optional<Tensor>& pos_weight = {});
Tensor layer_norm(const Operand& x, const Operand& weight, const Operand& bias, double eps = 1e-5);
Tensor embedding(const Operand& indices, const Operand& weight);

}  // namespace weft::nn
