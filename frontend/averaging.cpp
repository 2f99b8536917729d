#include "weft/averaging.h"

#include <algorithm>
#include <sstream>
#include <unordered_map>

#include "gradient_state.h"
#include "load_values.h"
#include "nn_shared.h"
#include "live.h"
#include "runtime/reactive.h"
#include "weft/array.h"
#include "weft/data.h"
#include "weft/eval.h"

namespace weft::optim {
namespace {

void check(const WeightAverageOptions& options, SourceLocation where) {
  if (!options.decay) return;
  if (options.avg_fn)
    throw Error("WeightAverage: a decay and an avg_fn were given; one of them says how", where);
  if (*options.decay >= 0 && *options.decay <= 1) return;
  std::ostringstream text;
  text << "WeightAverage: invalid decay " << *options.decay << ", expected in [0, 1]";
  throw Error(text.str(), where);
}

/// Averages are of leaves that hold floating or complex values, each once.
void demand_weights(const nn::NamedTensors& given, SourceLocation where) {
  if (given.empty()) throw Error("WeightAverage: there is nothing to average", where);
  for (auto it = given.begin(); it != given.end(); ++it) {
    const Tensor& weight = it->second;
    const std::string what = "WeightAverage: " + runtime::describe(*weight.node());
    if (&weight.node()->op() != &ir::ops::input)
      throw Error(what + " is computed by " + std::string(weight.node()->op().name) +
                      ": only inputs have averages",
                  where);
    if (!weight.has_value()) throw UnsetInput(what + " has no value", where);
    if (category(weight.dtype()) < Category::floating)
      throw DTypeError(what + " is of " + std::string(weft::name(weight.dtype())) +
                           ": only floating tensors have averages",
                       where);
    const auto same = [&](const auto& before) { return before.second.node() == weight.node(); };
    if (std::any_of(given.begin(), it, same)) throw Error(what + " is given twice", where);
  }
}

nn::NamedTensors numbered(const std::vector<Tensor>& parameters) {
  nn::NamedTensors named;
  for (const Tensor& parameter : parameters)
    named.emplace_back(std::to_string(named.size()), parameter);
  return named;
}

/// Values of variables, as one update that is no part of a transaction.
using Values = std::vector<std::pair<Tensor, Array>>;
void set_now(const Values& values, SourceLocation where) {
  std::vector<runtime::Change> changes;
  for (const auto& [variable, value] : values)
    changes.push_back({variable.node(), value, {}, where});
  runtime::set_values(std::move(changes), frontend::push_mode());
}

Tensor in(DType dtype, const Tensor& x) { return x.dtype() == dtype ? x : x.to(dtype); }

}  // namespace

WeightAverage::WeightAverage(const nn::Module& model, WeightAverageOptions options, Where where)
    : WeightAverage(model.named_parameters(), model.named_buffers(), model.named_state(),
                    std::move(options), where) {}

WeightAverage::WeightAverage(const std::vector<Tensor>& parameters, WeightAverageOptions options,
                             Where where)
    : WeightAverage(numbered(parameters), {}, numbered(parameters), std::move(options), where) {}

WeightAverage::WeightAverage(const nn::NamedTensors& parameters, const nn::NamedTensors& buffers,
                             const nn::NamedTensors& names, WeightAverageOptions options,
                             Where where)
    : options_(std::move(options)),
      n_averaged_(Variable(Array(std::int64_t{0}), "n_averaged", where)),
      swapped_(Variable(Array(false), "swapped", where)) {
  check(options_, where);
  demand_weights(parameters, where);
  const auto add = [&](const auto& named, bool averaged) {
    const auto& [name, weight] = named;
    entries_.push_back(
        {name, weight, Variable(weight.value(), name + ".average", where), averaged});
  };
  for (const auto& parameter : parameters) add(parameter, true);
  for (const auto& buffer : buffers)
    add(buffer, options_.use_buffers && category(buffer.second.dtype()) >= Category::floating);
  for (const auto& [name, tensor] : names) {
    const auto entry = std::ranges::find(entries_, tensor.node(),
                                         [](const Entry& one) { return one.weight.node(); });
    names_.emplace_back(name, static_cast<std::size_t>(entry - entries_.begin()));
  }
}

// ---- the next averages --------------------------------------------------------------------------

Tensor WeightAverage::next_average(const Entry& entry, const Tensor& current, Where where) const {
  if (!entry.averaged) return current;
  const DType dtype = promote(entry.weight.dtype(), DType::float32);
  const auto given = runtime::live_type(*current.node()).shape;
  const auto given_shape = given ? to_shape(*given) : std::nullopt;
  if (given_shape && *given_shape != entry.weight.shape())
    throw ShapeError("WeightAverage: a step gives shape " + to_string(*given_shape) + " to '" +
                         entry.name + "' of shape " + to_string(entry.weight.shape()),
                     where);
  const Tensor average = in(dtype, entry.average), now = in(dtype, current);
  const Tensor n = n_averaged_.to(dtype);
  const Tensor next = options_.avg_fn  ? options_.avg_fn(average, now, n)
                      : options_.decay ? average + (1 - *options_.decay) * (now - average)
                                       : average + (now - average) / (n + 1);
  const auto known = runtime::live_type(*next.node()).shape;  // not always before a call
  const auto shape = known ? to_shape(*known) : std::nullopt;
  if (shape && *shape != entry.weight.shape())
    throw ShapeError("WeightAverage: avg_fn gives shape " + to_string(*shape) +
                         " for weights of shape " + to_string(entry.weight.shape()),
                     where);
  return weft::where(n_averaged_ == 0, now, next);
}

Updates WeightAverage::updates(Updates step, Where where) {
  demand_at_home("take in weights", where);
  std::vector<ir::NodeRef> roots;
  for (const auto& [variable, next] : step) roots.push_back(next.node());
  std::unordered_map<const ir::Node*, Tensor> after;
  for (const auto& [variable, next] :
       frontend::running_updates(roots, [](const ir::Node&) { return false; }))
    after.emplace(variable.get(), Tensor(next));
  for (const auto& [variable, next] : step) after.insert_or_assign(variable.node().get(), next);
  Updates all = std::move(step);
  for (const Entry& entry : entries_) {
    const auto found = after.find(entry.weight.node().get());
    const Tensor current = found == after.end() ? entry.weight : found->second;
    // What the variable will hold, which has its own dtype.
    all.emplace_back(entry.average, next_average(entry, current.to(entry.weight.dtype()), where));
  }
  all.emplace_back(n_averaged_, n_averaged_ + 1);
  return all;
}

void WeightAverage::update(Where where) {
  demand_at_home("take in weights", where);
  const Device device = entries_.front().weight.device();
  if (!update_ || update_->device() != device) {
    Values moved{{n_averaged_, n_averaged_.value().to(device)}};  // to where the weights are
    for (const Entry& entry : entries_)
      moved.emplace_back(entry.average, entry.average.value().to(device));
    set_now(moved, where);
    update_.emplace(
        std::vector<Tensor>{}, std::vector<Tensor>{},
        FunctionOptions{.updates = updates({}, where), .device = device, .name = "weight_average"},
        where);
  }
  (*update_)();
}

// ---- averages and weights -----------------------------------------------------------------------

void WeightAverage::demand_there(Where where) const {
  if (entries_.empty()) throw Error("WeightAverage: it was moved from", where);
}

void WeightAverage::demand_at_home(const char* what, Where where) const {
  demand_there(where);
  if (swapped())
    throw Error(
        std::string("WeightAverage: the averages are in the model; swap() them back to ") + what,
        where);
}

void WeightAverage::swap(Where where) {
  demand_there(where);
  Values exchanged{{swapped_, Array(!swapped())}};  // told with the rest, or not at all
  for (const Entry& entry : entries_) {
    const Array weight = entry.weight.value(), average = entry.average.value();
    exchanged.emplace_back(entry.weight, average.to(weight.device()));
    exchanged.emplace_back(entry.average, weight);
  }
  set_now(exchanged, where);
}

bool WeightAverage::swapped() const { return swapped_.value().item<bool>(); }

std::int64_t WeightAverage::n_averaged() const { return n_averaged_.item<std::int64_t>(); }

NamedArrays WeightAverage::averages(Where where) const {
  demand_at_home("read them", where);
  NamedArrays result;
  for (const auto& [name, entry] : names_) result.emplace(name, entries_[entry].average.value());
  return result;
}

NamedArrays WeightAverage::state_dict(Where where) const {
  demand_at_home("save them", where);
  NamedArrays saved{{"n_averaged", n_averaged_.value()}};
  for (const Entry& entry : entries_) saved.emplace("module." + entry.name, entry.average.value());
  return saved;
}

void WeightAverage::load_state_dict(const NamedArrays& saved, Where where) {
  demand_at_home("load others", where);
  nn::NamedTensors into{{"n_averaged", n_averaged_}};
  for (const Entry& entry : entries_) into.emplace_back("module." + entry.name, entry.average);
  const auto count = saved.find("n_averaged");
  if (count != saved.end() && count->second.size() == 1 &&
      category(count->second.dtype()) <= Category::integer &&
      count->second.to(Device::cpu()).to(DType::int64).item<std::int64_t>() < 0)
    throw Error("load_state_dict: n_averaged is negative", where);
  frontend::load_values("load_state_dict", into, saved, true, where);
}

// ---- running statistics of averages -------------------------------------------------------------

void update_bn(const data::DataLoader& loader, nn::Module& model, std::source_location where) {
  if (loader.size() == 0 || model.named_buffers().empty()) return;
  struct Training {  // for as long as this lives
    std::vector<std::pair<nn::Module*, bool>> before;  // children first
    explicit Training(nn::Module& model) {
      model.apply([&](nn::Module& one) { before.emplace_back(&one, one.is_training()); });
      model.train();
    }
    Training(const Training&) = delete;
    Training& operator=(const Training&) = delete;
    ~Training() {
      for (auto one = before.rbegin(); one != before.rend(); ++one) one->first->train(one->second);
    }
  } const training(model);

  Dims shape = to_dims(loader.dataset().inputs.shape());
  shape[0] = dim("N");
  const Tensor x(shape, loader.dataset().inputs.dtype(), "x", where);
  nn::detail::Recounting recounting;
  const Tensor y = model({x, where});
  if (recounting.met.empty()) return;
  const Function pass(
      {x}, y, {.device = recounting.met.front().running_mean.device(), .name = "update_bn"}, where);
  Values before, fresh;
  for (const Tensor& buffer : model.buffers()) before.emplace_back(buffer, buffer.value());
  for (const nn::RunningNorm& norm : recounting.met) {
    const auto add = [&](const Tensor& buffer, double value) {
      fresh.emplace_back(buffer,
                         full(buffer.shape(), value).to(buffer.dtype()).to(buffer.device()));
    };
    add(norm.running_mean, 0), add(norm.running_var, 1), add(norm.num_batches_tracked, 0);
  }
  try {
    set_now(fresh, where);
    for (const data::Dataset& batch : loader) pass(batch.inputs);
  } catch (...) {
    set_now(before, where);
    throw;
  }
}

}  // namespace weft::optim
