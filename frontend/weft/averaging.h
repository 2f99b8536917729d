// Averages of weights over training, as PyTorch's torch.optim.swa_utils has them: equal ones (SWA,
// Izmailov et al. 2018), moving ones (EMA, Polyak and Juditsky 1992), or by a formula of one's own.
//
//   optim::WeightAverage ema(model, {.decay = 0.999});
//   Function step({x, t}, loss, {.updates = ema.updates(adam.updates(loss))});  // or:
//   loss.backward(); adam.step(); ema.update();
//   ema.swap();  // the model has the averages: evaluate, save
//   ema.swap();  // and its weights again: train on
//
// (The schedule that goes with equal averages is optim::lr_scheduler::SWALR.)
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <utility>
#include <vector>

#include "weft/function.h"
#include "weft/io.h"
#include "weft/nn/module.h"
#include "weft/optim.h"

namespace weft::data {
class DataLoader;
}

namespace weft::optim {

/// The next average, from the last one, the weights and the number that were averaged (of no axes);
/// float32 at least. The first weights are taken as they are.
using AverageFormula = std::function<Tensor(const Tensor& averaged, const Tensor& current,
                                            const Tensor& num_averaged)>;

struct WeightAverageOptions {
  /// What each update leaves of the average: decay · average + (1 - decay) · weights. None: all
  /// weights count alike.
  std::optional<double> decay = {};
  AverageFormula avg_fn = {};  // in place of these
  /// Floating buffers of a module (running statistics) are averaged too; else the average has their
  /// last values.
  bool use_buffers = false;
};

/// Variables beside the weights of a module, or beside a list of tensors, of their dtypes and
/// shapes, that begin with their values. Refers to these, not to the module. Moved, not copied;
/// Error from one that was moved from.
class WeightAverage {
 public:
  using Where = std::source_location;
  /// Error for a decay that is not in [0, 1], or beside an avg_fn, and where there is nothing to
  /// average.
  explicit WeightAverage(const nn::Module& model, WeightAverageOptions options = {},
                         Where where = Where::current());
  /// Named `0`, `1`, …. Error unless each is an input, there once; UnsetInput where one has no
  /// value, DTypeError where one is not floating or complex.
  explicit WeightAverage(const std::vector<Tensor>& parameters, WeightAverageOptions options = {},
                         Where where = Where::current());
  WeightAverage(WeightAverage&&) = default;
  WeightAverage& operator=(WeightAverage&&) = default;

  /// Takes in the weights as they are, in one compiled program. ShapeError where an avg_fn does not
  /// keep their shape.
  void update(Where where = Where::current());
  /// The updates of a step, and after them those of the averages, which take in what the weights
  /// (and running statistics) are after it.
  [[nodiscard]] Updates updates(Updates step, Where where = Where::current());
  /// Exchanges averages and weights, now, whatever transaction is open. While the weights are out
  /// nothing can be taken in, saved or loaded here (Error); functions that were compiled of
  /// `updates` are not to be called.
  void swap(Where where = Where::current());
  [[nodiscard]] bool swapped() const;

  [[nodiscard]] std::int64_t n_averaged() const;
  /// The averages under every name that the module has for them: what `load_state_dict` of another
  /// one takes.
  [[nodiscard]] NamedArrays averages(Where where = Where::current()) const;
  /// `n_averaged`, and the averages as `module.0.weight`.
  [[nodiscard]] NamedArrays state_dict(Where where = Where::current()) const;
  /// Error names what is missing, not of its shape, or not there. Changes nothing when it throws.
  void load_state_dict(const NamedArrays& saved, Where where = Where::current());

 private:
  struct Entry {
    std::string name;  // its first
    Tensor weight, average;
    bool averaged;  // else copied
  };
  /// Each once; `names`: all that these have.
  WeightAverage(const nn::NamedTensors& parameters, const nn::NamedTensors& buffers,
                const nn::NamedTensors& names, WeightAverageOptions options, Where where);
  [[nodiscard]] Tensor next_average(const Entry& entry, const Tensor& current, Where where) const;
  void demand_there(Where where) const;
  void demand_at_home(const char* what, Where where) const;

  WeightAverageOptions options_;
  std::vector<Entry> entries_;
  std::vector<std::pair<std::string, std::size_t>> names_;  // all, and whose
  Tensor n_averaged_, swapped_;
  std::optional<Function> update_;
};

/// Begins the running statistics of the model's batch normalisations anew, over one epoch of the
/// loader's inputs, in which all batches count alike: averages of weights have other activations
/// than the weights had. Runs the model in training mode, all of it, where its buffers are; others
/// than those statistics move as they do in training. Does nothing where the model has none, or the
/// loader no batch. Leaves every module in its mode, and changes nothing where it throws.
void update_bn(const data::DataLoader& loader, nn::Module& model,
               std::source_location where = std::source_location::current());

}  // namespace weft::optim
