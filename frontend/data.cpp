#include "weft/data.h"

#include <unistd.h>
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <numeric>

#include "demand.h"
#include "runtime/thread_pool.h"
#include "weft/averaging.h"
#include "weft/metrics.h"
#include "weft/ops/random.h"

namespace weft::data {

namespace {
/// ShapeError unless there is one target a sample.
void demand_pairs(const Dataset& set, SourceLocation where) {
  if (set.inputs.shape().empty() || set.targets.shape().empty() ||
      set.targets.shape()[0] != set.size())
    throw ShapeError("a data set of " + to_string(set.inputs.shape()) + " inputs and " +
                         to_string(set.targets.shape()) + " targets",
                     where);
}
}  // namespace

Dataset Dataset::slice(std::int64_t begin, std::int64_t end, std::source_location where) const {
  if (begin < 0 || end < begin || end > size())
    throw IndexError("samples " + std::to_string(begin) + " to " + std::to_string(end) + " of " +
                         std::to_string(size()),
                     where);
  demand_pairs(*this, where);
  return {runtime::slice_view(inputs, 0, begin, end - begin, 1),
          runtime::slice_view(targets, 0, begin, end - begin, 1)};
}

// ---- parts and wholes ---------------------------------------------------------------------------

namespace {

/// Rows of `from` in this order.
Array take_rows(const Array& from, std::span<const std::int64_t> order) {
  if (!from.device().is_cpu()) {  // gathered where they are
    const Array rows = Array::from(order).to(from.device());
    return Variable(from)[Tensor(Variable(rows))].value();
  }
  Shape shape = from.shape();
  shape[0] = std::ssize(order);
  Array result = Array::uninitialized(from.dtype(), shape);
  const std::size_t row =
      from.nbytes() / static_cast<std::size_t>(std::max<std::int64_t>(from.shape()[0], 1));
  std::byte* out = result.mutable_bytes();
  const std::byte* in = from.bytes();
  const auto grain =
      static_cast<std::int64_t>((std::size_t{128} << 10) / std::max<std::size_t>(row, 1)) + 1;
  runtime::parallel_for(std::ssize(order), grain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i)
      std::memcpy(out + static_cast<std::size_t>(i) * row,
                  in + static_cast<std::size_t>(order[static_cast<std::size_t>(i)]) * row, row);
  });
  return result;
}

/// Fisher and Yates.
void shuffle(std::vector<std::int64_t>& order) {
  const std::vector<double> draws = rand({std::ssize(order)}, DType::float64).tolist<double>();
  for (std::size_t i = order.size(); i > 1; --i)
    std::swap(order[i - 1], order[static_cast<std::size_t>(draws[i - 1] * static_cast<double>(i))]);
}

std::vector<std::int64_t> count_to(std::int64_t n) {
  std::vector<std::int64_t> order(static_cast<std::size_t>(n));
  std::iota(order.begin(), order.end(), 0);
  return order;
}
std::vector<std::int64_t> permutation(std::int64_t n) {
  std::vector<std::int64_t> order = count_to(n);
  shuffle(order);
  return order;
}

void demand_places(const std::vector<std::int64_t>& places, std::int64_t size,
                   SourceLocation where) {
  for (const std::int64_t place : places)
    if (place < 0 || place >= size)
      throw IndexError("sample " + std::to_string(place) + " of " + std::to_string(size), where);
}

}  // namespace

TensorDataset::TensorDataset(Array all_inputs, Array all_targets, Where where)
    : Dataset{std::move(all_inputs), std::move(all_targets)} {
  demand_pairs(*this, where);
}

Subset::Subset(const Dataset& dataset, const std::vector<std::int64_t>& indices, Where where) {
  demand_pairs(dataset, where);
  demand_places(indices, dataset.size(), where);
  inputs = take_rows(dataset.inputs.contiguous(), indices);
  targets = take_rows(dataset.targets.contiguous(), indices);
}

ConcatDataset::ConcatDataset(const std::vector<Dataset>& datasets, Where where) {
  if (datasets.empty()) throw Error("ConcatDataset: there are no data sets", where);
  std::vector<Tensor> all_inputs, all_targets;
  for (const Dataset& one : datasets) {
    demand_pairs(one, where);
    all_inputs.push_back(Variable(one.inputs));
    all_targets.push_back(Variable(one.targets));
  }
  inputs = concatenate(all_inputs, 0, where).value();
  targets = concatenate(all_targets, 0, where).value();
}

namespace {

/// Shares of n samples as numbers of them.
std::vector<std::int64_t> counts_of(const std::vector<double>& lengths, std::int64_t n,
                                    SourceLocation where) {
  const double sum = std::accumulate(lengths.begin(), lengths.end(), 0.0);
  const bool shares = std::abs(sum - 1) <= 1e-9;
  std::vector<std::int64_t> counts;
  for (const double length : lengths) {
    const double count = shares ? std::floor(length * static_cast<double>(n)) : length;
    if (!(count >= 0 && count <= static_cast<double>(n) && count == std::floor(count)))
      throw Error("random_split: a part of " + std::to_string(length), where);
    counts.push_back(static_cast<std::int64_t>(count));
  }
  std::int64_t left = n - std::accumulate(counts.begin(), counts.end(), std::int64_t{0});
  for (std::size_t i = 0; shares && left > 0; i = (i + 1) % counts.size(), --left) ++counts[i];
  if (left != 0)
    throw Error("random_split: the lengths do not add up to the " + std::to_string(n) +
                    " samples that there are",
                where);
  return counts;
}

}  // namespace

std::vector<Dataset> random_split(const Dataset& dataset, const SplitLengths& lengths,
                                  std::source_location where) {
  const std::vector<std::int64_t> counts = counts_of(lengths.values, dataset.size(), where);
  const std::vector<std::int64_t> order = permutation(dataset.size());
  std::vector<Dataset> parts;
  auto begin = order.begin();
  for (const std::int64_t count : counts) {
    parts.push_back(Subset(dataset, {begin, begin + count}, where));
    begin += count;
  }
  return parts;
}

// ---- samplers -----------------------------------------------------------------------------------

std::vector<std::int64_t> SequentialSampler::draw() const { return count_to(size_); }

RandomSampler::RandomSampler(const Dataset& data_source, bool replacement,
                             std::optional<std::int64_t> num_samples, Where where)
    : from_(data_source.size()),
      num_samples_(num_samples.value_or(from_)),
      replacement_(replacement) {
  if (num_samples_ < 1 || from_ < 1)
    throw Error(
        "RandomSampler: " + std::to_string(num_samples_) + " samples of " + std::to_string(from_),
        where);
}
std::vector<std::int64_t> RandomSampler::draw() const {
  if (replacement_) return randint(0, from_, {num_samples_}).tolist<std::int64_t>();
  std::vector<std::int64_t> all;
  while (std::ssize(all) < num_samples_) {
    const std::vector<std::int64_t> once = permutation(from_);
    all.insert(all.end(), once.begin(), once.end());
  }
  all.resize(static_cast<std::size_t>(num_samples_));
  return all;
}

std::vector<std::int64_t> SubsetRandomSampler::draw() const {
  std::vector<std::int64_t> order = indices_;
  shuffle(order);
  return order;
}

WeightedRandomSampler::WeightedRandomSampler(const std::vector<double>& weights,
                                             std::int64_t num_samples, bool replacement,
                                             Where where)
    : weights_(Array::from(weights)), num_samples_(num_samples), replacement_(replacement) {
  const auto fits = [](double weight) { return weight >= 0 && std::isfinite(weight); };
  const auto some = std::ranges::count_if(weights, [](double weight) { return weight > 0; });
  if (!std::ranges::all_of(weights, fits) || num_samples < 1 || some < 1 ||
      (!replacement && some < num_samples))
    throw Error("WeightedRandomSampler: " + std::to_string(num_samples) + " samples of " +
                    std::to_string(some) + " with a weight; weights are finite and not negative",
                where);
}
std::vector<std::int64_t> WeightedRandomSampler::draw() const {
  return multinomial(Variable(weights_), num_samples_, replacement_).value().tolist<std::int64_t>();
}

// ---- loader -------------------------------------------------------------------------------------

DataLoader::DataLoader(Dataset dataset, LoaderOptions options, std::source_location where)
    : dataset_{dataset.inputs.contiguous(), dataset.targets.contiguous()},
      options_(std::move(options)) {
  if (options_.batch_size < 1)
    throw Error("a batch of " + std::to_string(options_.batch_size) + " samples", where);
  demand_pairs(dataset_, where);
  if (options_.shuffle && options_.sampler)
    throw Error("a loader shuffles or has a sampler, not both", where);
}

std::int64_t DataLoader::samples() const {
  return options_.sampler ? options_.sampler->size() : dataset_.size();
}

std::int64_t DataLoader::size() const {
  const std::int64_t n = samples(), batch = options_.batch_size;
  return n / batch + (n % batch != 0 && !options_.drop_last ? 1 : 0);
}

DataLoader::Iterator DataLoader::begin() const {
  std::vector<std::int64_t> order;
  if (options_.sampler) {
    order = options_.sampler->draw();
    demand_places(order, dataset_.size(), {});
    if (std::ssize(order) != samples())
      throw Error("a sampler of " + std::to_string(samples()) + " samples drew " +
                  std::to_string(order.size()));
  } else if (options_.shuffle) {
    order = permutation(dataset_.size());
  }
  return {this, std::move(order), 0};
}

const Dataset DataLoader::Iterator::operator*() const {
  const std::int64_t batch = loader_->options_.batch_size;
  const std::int64_t begin = at_ * batch, end = std::min(begin + batch, loader_->samples());
  if (order_.empty()) return loader_->dataset_.slice(begin, end);
  const auto rows = std::span(order_).subspan(static_cast<std::size_t>(begin),
                                              static_cast<std::size_t>(end - begin));
  return {take_rows(loader_->dataset_.inputs, rows), take_rows(loader_->dataset_.targets, rows)};
}

// ---- trainer ------------------------------------------------------------------------------------

namespace {

/// One line on a terminal, redrawn; nothing where standard error is not one.
class ProgressBar {
 public:
  ProgressBar(bool wanted, std::int64_t epoch, std::int64_t epochs, std::int64_t batches)
      : shown_(wanted && isatty(STDERR_FILENO) != 0),
        epoch_(epoch),
        epochs_(epochs),
        batches_(std::max<std::int64_t>(batches, 1)) {}
  void draw(std::int64_t done, double loss) {
    constexpr std::int64_t width = 30;
    const std::int64_t filled = done * width / batches_;
    if (!shown_ || filled == last_) return;
    last_ = filled;
    const std::string bar = std::string(static_cast<std::size_t>(filled), '#') +
                            std::string(static_cast<std::size_t>(width - filled), '.');
    const double seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
    std::fprintf(stderr, "\repoch %2ld/%ld [%s] loss %.4f, %.1f s left ", static_cast<long>(epoch_),
                 static_cast<long>(epochs_), bar.c_str(), loss,
                 seconds * static_cast<double>(batches_ - done) /
                     static_cast<double>(std::max<std::int64_t>(done, 1)));
    std::fflush(stderr);
  }
  void clear() const {
    if (shown_) std::fprintf(stderr, "\r%*s\r", 90, "");
  }

 private:
  bool shown_;
  std::int64_t epoch_, epochs_, batches_, last_ = -1;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

Function evaluation(nn::Module& model, const Array& like, Device device,
                    std::source_location where) {
  struct Evaluating {
    nn::Module& model;
    explicit Evaluating(nn::Module& m) : model(m) { model.eval(); }
    ~Evaluating() { model.train(); }
  } const evaluating(model);
  Dims shape = to_dims(like.shape());
  shape[0] = dim("N");
  const Tensor x(shape, like.dtype(), "x", where);
  return Function({x}, model({x, where}), {.device = device, .name = "predict"}, where);
}

}  // namespace

Trainer::Trainer(nn::Module& model, optim::Optimizer& optimizer, Loss loss, TrainerOptions options,
                 Where where)
    : model_(model), optimizer_(optimizer), loss_(std::move(loss)), options_(options) {
  frontend::demand_function("Trainer: loss", loss_, where);
  const optim::lr_scheduler::LRScheduler* scheduler = options_.scheduler;
  if (!scheduler) return;
  if (options_.schedule)
    throw Error("Trainer: a schedule and a scheduler both set the learning rate; give one of them",
                where);
  if (&scheduler->optimizer() != &optimizer_)
    throw Error("Trainer: the scheduler is of another optimiser", where);
  if (scheduler->needs_metric() && options_.schedule_batches)
    throw Error("Trainer: a scheduler that looks at the loss is stepped after each epoch", where);
}

void Trainer::build(const Dataset& train, Where where) {
  Dims x_shape = to_dims(train.inputs.shape()), t_shape = to_dims(train.targets.shape());
  x_shape[0] = t_shape[0] = dim("N");
  const Tensor x(x_shape, train.inputs.dtype(), "x", where),
      t(t_shape, train.targets.dtype(), "t", where);
  model_.train();
  const Tensor loss = loss_(model_({x, where}), t);
  optim::Updates updates = optimizer_.updates(loss, where);
  if (options_.average) updates = options_.average->updates(std::move(updates), where);
  Function step({x, t}, loss,
                {.updates = std::move(updates), .device = options_.device, .name = "train_step"},
                where);
  predict_.emplace(evaluation(model_, train.inputs, options_.device, where));
  step_.emplace(std::move(step));
}

const Function& Trainer::step() const {
  if (!step_) throw Error("the trainer has no step before fit");
  return *step_;
}
const Function& Trainer::predict() const {
  if (!predict_) throw Error("the trainer has no predictions before fit");
  return *predict_;
}

namespace {

/// Puts the optimiser's learning rates back, however training ends.
class KeptRates {
 public:
  explicit KeptRates(optim::Optimizer& optimizer) : optimizer_(optimizer) {
    for (const optim::ParamGroup& group : optimizer.param_groups()) rates_.push_back(group.lr());
  }
  KeptRates(const KeptRates&) = delete;
  KeptRates& operator=(const KeptRates&) = delete;
  ~KeptRates() {
    try {
      scale(1);
    } catch (...) {  // without memory for one number, the rate stays scaled
    }
  }
  void scale(double factor) {
    for (std::size_t i = 0; i < rates_.size(); ++i)
      optimizer_.set_learning_rate(i, rates_[i] * factor);
  }

 private:
  optim::Optimizer& optimizer_;
  std::vector<double> rates_;
};

}  // namespace

std::vector<EpochResult> Trainer::fit(const Dataset& train, const Dataset& test,
                                      const std::function<void(const EpochResult&)>& watch,
                                      Where where) {
  if (train.size() == 0) throw ShapeError("there are no samples to train with", where);
  if (options_.average && options_.average->swapped())
    throw Error("the trainer's averages are in the model; swap() them back to train", where);
  const DataLoader loader(train,
                          {.batch_size = options_.batch_size,
                           .shuffle = options_.shuffle,
                           .drop_last = options_.drop_last},
                          where);
  if (!step_) build(train, where);
  const auto steps = static_cast<double>(loader.size() * options_.epochs);
  std::optional<KeptRates> rates;
  if (options_.schedule) rates.emplace(optimizer_);
  std::vector<EpochResult> results;
  for (std::int64_t epoch = 1; epoch <= options_.epochs; ++epoch) {
    const auto start = std::chrono::steady_clock::now();
    ProgressBar bar(options_.progress, epoch, options_.epochs, loader.size());
    EpochResult result;
    result.epoch = epoch;
    double total = 0;
    std::int64_t done = 0;
    // Reading a device's loss is waiting for it: steps are waited for a few at a time.
    const std::size_t most_unread = options_.device.is_cpu() ? 1 : 32;
    std::vector<Array> losses(most_unread);
    std::size_t unread = 0;
    const auto read = [&] {
      for (std::size_t i = 0; i < unread; ++i) {
        result.batch_losses.push_back(losses[i].item<float>());
        total += result.batch_losses.back();
      }
      unread = 0;
    };
    for (const Dataset& batch : loader) {
      if (rates)
        rates->scale(
            options_.schedule(static_cast<double>((epoch - 1) * loader.size() + done) / steps));
      const Array inputs[] = {batch.inputs, batch.targets};
      step_->call_into(std::span(&losses[unread++], 1), inputs);
      ++done;
      if (options_.scheduler && options_.schedule_batches) options_.scheduler->step(where);
      if (unread < most_unread) continue;
      read();
      bar.draw(done, total / static_cast<double>(done));
    }
    read();
    result.loss = total / static_cast<double>(std::max<std::int64_t>(done, 1));
    result.seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    bar.draw(done, result.loss);
    if (options_.scheduler && !options_.schedule_batches)
      options_.scheduler->step_on(result.loss, where);
    if (test.size() > 0) result.accuracy = accuracy(test, where);
    bar.clear();
    if (watch) watch(result);
    results.push_back(std::move(result));
  }
  return results;
}

double Trainer::accuracy(const Dataset& test, Where where) {
  if (test.size() == 0) throw ShapeError("there are no samples to predict", where);
  const DataLoader loader(test, {.batch_size = std::min<std::int64_t>(test.size(), 1000)}, where);
  std::int64_t right = 0, all = 0;
  for (const Dataset& batch : loader) {
    const Tensor outputs = predict()(batch.inputs).front().to(Device::cpu());
    const Tensor targets = batch.targets.to(Device::cpu());
    Shape one_each = outputs.shape();
    if (one_each.size() < 2) return 0;
    one_each.erase(one_each.begin() + 1);
    if (targets.shape() != one_each && targets.shape() != outputs.shape()) return 0;
    right += metrics::matches(outputs, targets).item<std::int64_t>();
    all += outputs.size() / outputs.shape()[1];
  }
  return static_cast<double>(right) / static_cast<double>(all);
}

}  // namespace weft::data
