// Data sets, loaders and the training loop.
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <source_location>
#include <string>
#include <type_traits>
#include <vector>

#include "weft/function.h"
#include "weft/lr_scheduler.h"
#include "weft/nn.h"
#include "weft/optim.h"

namespace weft::optim {
class WeightAverage;
}

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

// ---- parts and wholes: data sets made of others, whose samples they copy ------------------------

/// As many inputs as targets; ShapeError otherwise.
struct TensorDataset : Dataset {
  using Where = std::source_location;
  TensorDataset(Array inputs, Array targets, Where where = Where::current());
};
/// The samples at these places, in this order; IndexError where there is none.
struct Subset : Dataset {
  using Where = std::source_location;
  Subset(const Dataset& dataset, const std::vector<std::int64_t>& indices,
         Where where = Where::current());
};
/// One after another.
struct ConcatDataset : Dataset {
  using Where = std::source_location;
  explicit ConcatDataset(const std::vector<Dataset>& datasets, Where where = Where::current());
};

/// Numbers of samples, or shares that add up to 1.
struct SplitLengths {
  std::vector<double> values;
  template <class T>
    requires std::is_arithmetic_v<T>
  SplitLengths(std::initializer_list<T> lengths) : values(lengths.begin(), lengths.end()) {}
  template <class T>
    requires std::is_arithmetic_v<T>
  SplitLengths(const std::vector<T>& lengths) : values(lengths.begin(), lengths.end()) {}
};
/// Parts of a data set in random order, from the process's random numbers. What shares leave over
/// goes to the first parts, a sample each.
std::vector<Dataset> random_split(const Dataset& dataset, const SplitLengths& lengths,
                                  std::source_location where = std::source_location::current());

// ---- samplers -----------------------------------------------------------------------------------

/// Which samples an epoch has, in which order; random ones from the process's random numbers.
class Sampler {
 public:
  virtual ~Sampler() = default;
  [[nodiscard]] virtual std::int64_t size() const = 0;
  /// As many places as `size` says, for one epoch.
  [[nodiscard]] virtual std::vector<std::int64_t> draw() const = 0;
};
class SequentialSampler : public Sampler {
 public:
  explicit SequentialSampler(const Dataset& data_source) : size_(data_source.size()) {}
  [[nodiscard]] std::int64_t size() const override { return size_; }
  [[nodiscard]] std::vector<std::int64_t> draw() const override;

 private:
  std::int64_t size_;
};
/// Without replacement each sample once, and again from the first where `num_samples` (which is the
/// size of the data set unless it is given) asks for more.
class RandomSampler : public Sampler {
 public:
  using Where = std::source_location;
  explicit RandomSampler(const Dataset& data_source, bool replacement = false,
                         std::optional<std::int64_t> num_samples = {},
                         Where where = Where::current());
  [[nodiscard]] std::int64_t size() const override { return num_samples_; }
  [[nodiscard]] std::vector<std::int64_t> draw() const override;

 private:
  std::int64_t from_, num_samples_;
  bool replacement_;
};
/// These places in random order.
class SubsetRandomSampler : public Sampler {
 public:
  explicit SubsetRandomSampler(std::vector<std::int64_t> indices) : indices_(std::move(indices)) {}
  [[nodiscard]] std::int64_t size() const override { return std::ssize(indices_); }
  [[nodiscard]] std::vector<std::int64_t> draw() const override;

 private:
  std::vector<std::int64_t> indices_;
};
/// Each place as often as its weight says.
class WeightedRandomSampler : public Sampler {
 public:
  using Where = std::source_location;
  WeightedRandomSampler(const std::vector<double>& weights, std::int64_t num_samples,
                        bool replacement = true, Where where = Where::current());
  [[nodiscard]] std::int64_t size() const override { return num_samples_; }
  [[nodiscard]] std::vector<std::int64_t> draw() const override;

 private:
  Array weights_;
  std::int64_t num_samples_;
  bool replacement_;
};

// ---- loaders ------------------------------------------------------------------------------------

struct LoaderOptions {
  std::int64_t batch_size = 1;
  bool shuffle = false;  // a new order each epoch, from the process's random numbers
  bool drop_last = false;
  std::shared_ptr<const Sampler> sampler = {};  // in place of `shuffle`
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
  [[nodiscard]] std::int64_t samples() const;  // an epoch
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
  /// An average (weft/averaging.h) that takes in the weights after each batch.
  optim::WeightAverage* average = nullptr;
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
