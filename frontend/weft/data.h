// Data sets, loaders and the training loop.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <source_location>
#include <string>
#include <vector>

#include "weft/function.h"
#include "weft/lr_scheduler.h"
#include "weft/nn.h"
#include "weft/optim.h"

namespace weft::data {

/// Samples along axis 0: inputs (n, …) and targets (n, …).
struct Dataset {
  Array inputs, targets;
  [[nodiscard]] std::int64_t size() const { return inputs.shape().empty() ? 0 : inputs.shape()[0]; }
  /// Samples [begin, end), sharing storage.
  [[nodiscard]] Dataset slice(std::int64_t begin, std::int64_t end,
                              std::source_location where = std::source_location::current()) const;
};

/// An IDX file (LeCun's format), gzipped or not: its own dtype and shape. ParseError names the path
/// and the byte.
Array load_idx(const std::string& path);
/// Numbers separated by commas, one row a line, gzipped or not: float64 (rows, columns).
Array load_csv(const std::string& path);

/// 28×28 grey images as float32 in [0, 1], shape (n, 784), and int64 classes: 60,000 to train with,
/// 10,000 to test with. From Debian's dataset-fashion-mnist unless `folder` says where.
Dataset fashion_mnist(bool train, const std::string& folder = {});
const std::vector<std::string>& fashion_mnist_classes();
/// 8×8 digits as float32 in [0, 1], shape (1797, 64), and int64 classes, in the file's order.
Dataset digits(const std::string& path = {});

struct LoaderOptions {
  std::int64_t batch_size = 1;
  bool shuffle = false;  // a new order each epoch, from the process's random numbers
  bool drop_last = false;
};
/// Batches of a data set. `for (const Dataset& batch : loader)` is one epoch.
class DataLoader {
 public:
  DataLoader(Dataset dataset, LoaderOptions options,
             std::source_location where = std::source_location::current());
  [[nodiscard]] std::int64_t size() const;  // batches an epoch
  [[nodiscard]] const Dataset& dataset() const { return dataset_; }

  class Iterator {
   public:
    Iterator(const DataLoader* loader, std::vector<std::int64_t> order, std::int64_t at)
        : loader_(loader), order_(std::move(order)), at_(at) {}
    const Dataset operator*() const;  // const: `auto&` in a loop binds to it, and keeps it
    Iterator& operator++() {
      ++at_;
      return *this;
    }
    friend bool operator!=(const Iterator& a, const Iterator& b) { return a.at_ != b.at_; }

   private:
    const DataLoader* loader_;
    std::vector<std::int64_t> order_;  // empty: as they come
    std::int64_t at_;
  };
  [[nodiscard]] Iterator begin() const;
  [[nodiscard]] Iterator end() const { return {this, {}, size()}; }

 private:
  Dataset dataset_;
  LoaderOptions options_;
};

/// What one epoch came to.
struct EpochResult {
  std::int64_t epoch = 0;
  double loss = 0;      // mean over the training batches
  double accuracy = 0;  // of the test set; 0 without one, or where its targets are no classes
  double seconds = 0;   // training alone
  std::vector<float> batch_losses;
};

struct TrainerOptions {
  std::int64_t epochs = 1;
  std::int64_t batch_size = 32;
  bool shuffle = true;
  bool drop_last = false;
  bool progress = true;  // a bar on standard error
  /// Where the step runs. The batches are taken there, the parameters stay there.
  Device device = {};
  /// Factor on the optimiser's learning rate, from the share of the steps that are done; none:
  /// constant.
  std::function<double(double done)> schedule = {};
  /// Or a scheduler of that optimiser, stepped after each epoch (with its mean loss, for one that
  /// looks at it) or after each batch. The rates stay as it leaves them.
  optim::lr_scheduler::LRScheduler* scheduler = nullptr;
  bool schedule_batches = false;
};

/// Trains a classifier: forward, backward and update in one compiled program.
class Trainer {
 public:
  using Loss = std::function<Tensor(const Tensor& outputs, const Tensor& targets)>;
  using Where = std::source_location;
  Trainer(nn::Module& model, optim::Optimizer& optimizer, Loss loss, TrainerOptions options,
          Where where = Where::current());

  /// `watch` sees each epoch; the results are returned too.
  std::vector<EpochResult> fit(const Dataset& train, const Dataset& test = {},
                               const std::function<void(const EpochResult&)>& watch = {},
                               Where where = Where::current());
  /// Share of samples whose largest output (along axis 1) is at the target, or where the target,
  /// of the outputs' shape, is largest too.
  double accuracy(const Dataset& test, Where where = Where::current());
  /// The compiled step; throws Error before the first `fit`.
  [[nodiscard]] const Function& step() const;
  /// (inputs) -> outputs, in evaluation mode.
  [[nodiscard]] const Function& predict() const;

 private:
  void build(const Dataset& train, Where where);

  nn::Module& model_;
  optim::Optimizer& optimizer_;
  Loss loss_;
  TrainerOptions options_;
  std::optional<Function> step_;
  std::optional<Function> predict_;
};

}  // namespace weft::data
