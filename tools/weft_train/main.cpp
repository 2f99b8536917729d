// weft-train: trains a network of known shape on a real data set, with progress, accuracy and a
// saved model.
#include <fmt/format.h>

#include <cmath>
#include <filesystem>
#include <fstream>

#include "runtime/thread_pool.h"
#include "tools/chart/chart.h"
#include "tools/program/program.h"
#include "weft/weft.h"

namespace {

using namespace weft;
namespace fs = std::filesystem;

struct Settings {
  data::TrainerOptions training;
  double rate = 0, required = 0;
  std::uint64_t seed = 0;
  int threads = 0;
  bool quiet = false;
  std::string data, save, curve, graph, samples, device = "cpu";
  std::int64_t sample_count = 16;
};

/// A network, the data for it and how it learns.
struct Task {
  std::string title;
  nn::Sequential model;
  data::Dataset train, test;
  std::unique_ptr<optim::Optimizer> optimizer;
  std::vector<std::string> classes;
};

/// Parameters are known in pictures and files by their place: `0.weight`.
void name_parameters(const nn::Module& model) {
  for (auto& [name, parameter] : model.named_parameters()) parameter.name(name);
}

/// Its images, learnt by Adam at a falling rate.
Task of_fashion_mnist(std::string title, nn::Sequential model, Settings& settings) {
  Task task{.title = std::move(title),
            .model = std::move(model),
            .train = data::fashion_mnist(true, settings.data),
            .test = data::fashion_mnist(false, settings.data),
            .optimizer = nullptr,
            .classes = data::fashion_mnist_classes()};
  name_parameters(task.model);
  task.optimizer = std::make_unique<optim::Adam>(task.model.parameters(),
                                                 optim::AdamOptions{.lr = settings.rate});
  settings.training.drop_last = true;  // an epoch shuffles anew; one batch size is one compilation
  settings.training.schedule = [](double done) { return 1 - 0.95 * done; };
  return task;
}

Task fashion_mnist(Settings& settings) {
  return of_fashion_mnist("Fashion-MNIST, 784-256-128-10",
                          nn::Sequential(nn::Linear(784, 256), nn::ReLU(), nn::Linear(256, 128),
                                         nn::ReLU(), nn::Linear(128, 10)),
                          settings);
}

Task fashion_mnist_convnet(Settings& settings) {
  return of_fashion_mnist(
      "Fashion-MNIST, two convolutions",
      nn::Sequential(nn::Unflatten(1, {1, 28, 28}), nn::Conv2d(1, 16, 3, {.padding = 1}),
                     nn::ReLU(), nn::MaxPool2d(2), nn::Conv2d(16, 32, 3, {.padding = 1}),
                     nn::ReLU(), nn::MaxPool2d(2), nn::Flatten(), nn::Linear(32 * 7 * 7, 10)),
      settings);
}

/// 64-30-10, one sample a step; weights from N(0, 1)/√fan-in, the last 450 of a shuffled order to
/// test with.
Task digits(Settings& settings) {
  const data::Dataset all = data::digits(settings.data);
  const data::DataLoader shuffled(all, {.batch_size = all.size(), .shuffle = true});
  const data::Dataset mixed = *shuffled.begin();
  const std::int64_t held_out = all.size() / 4 + (all.size() % 4 != 0 ? 1 : 0);
  Task task{.title = "Digits, 64-30-10, one sample a step",
            .model = nn::Sequential(nn::Linear(64, 30), nn::ReLU(), nn::Linear(30, 10)),
            .train = mixed.slice(0, all.size() - held_out),
            .test = mixed.slice(all.size() - held_out, all.size()),
            .optimizer = nullptr,
            .classes = {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"}};
  name_parameters(task.model);
  for (Tensor& parameter : task.model.parameters()) {
    const Shape shape = parameter.shape();
    if (shape.size() < 2) {
      parameter.set_value(zeros(shape));
      continue;
    }
    Array value = randn(shape, DType::float32);
    float* elements = value.mutable_data<float>();
    for (std::int64_t i = 0; i < value.size(); ++i)
      elements[i] /= std::sqrt(static_cast<float>(shape[1]));
    parameter.set_value(value);
  }
  task.optimizer =
      std::make_unique<optim::SGD>(task.model.parameters(), optim::SGDOptions{.lr = settings.rate});
  return task;
}

void write_text(const fs::path& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary);
  file << text;
  file.close();
  if (!file) throw IoError("cannot write " + path.string());
}

/// Loss of each step, averaged over a twentieth of an epoch, and per epoch the loss and the
/// accuracy.
std::string learning_curve(const std::string& title,
                           const std::vector<data::EpochResult>& results) {
  tools::Line steps{"batches", "#9fb3c8", {}, false}, epochs{"epoch mean", "#d64545", {}, true};
  tools::Line accuracy{"test accuracy", "#2680c2", {}, true};
  for (const data::EpochResult& result : results) {
    const auto before = static_cast<double>(result.epoch - 1),
               count = static_cast<double>(result.batch_losses.size());
    const std::size_t span = std::max<std::size_t>(1, result.batch_losses.size() / 20);
    for (std::size_t begin = 0; begin + span <= result.batch_losses.size(); begin += span) {
      double sum = 0;
      for (std::size_t i = begin; i < begin + span; ++i) sum += result.batch_losses[i];
      steps.points.emplace_back(
          before + (static_cast<double>(begin) + static_cast<double>(span) / 2) / count,
          sum / static_cast<double>(span));
    }
    epochs.points.emplace_back(static_cast<double>(result.epoch), result.loss);
    accuracy.points.emplace_back(static_cast<double>(result.epoch), result.accuracy);
  }
  epochs.markers = accuracy.markers = results.size() <= 20;
  return tools::chart_svg(title, {{"training loss", "epoch", {steps, epochs}},
                                  {"test accuracy", "epoch", {accuracy}, tools::Scale::percent}});
}

/// Test images, what the trained network gives for them, the right classes and their names: what
/// weft-run draws, and what `weft-run --check` compares with.
void write_samples(const Settings& settings, const Task& task, const Function& predict) {
  const fs::path folder = settings.samples;
  fs::create_directories(folder);
  const data::Dataset some = task.test.slice(0, std::min(settings.sample_count, task.test.size()));
  save_npy((folder / "input_0.npy").string(), some.inputs.contiguous());
  save_npy((folder / "output_0.npy").string(), predict(some.inputs).front());
  save_npy((folder / "labels.npy").string(), some.targets.contiguous());
  std::string names;
  for (const std::string& name : task.classes) names += name + "\n";
  write_text(folder / "classes.txt", names);
}

int train(Settings& settings, Task (*make)(Settings&)) {
  if (settings.threads > 0) runtime::set_num_threads(settings.threads);
  manual_seed(settings.seed);
  settings.training.progress = !settings.quiet;
  settings.training.device = Device::parse(settings.device);
  Task task = make(settings);
  if (!settings.quiet) {
    fmt::print("{}: {} samples to train with, {} to test with, {} parameters, {} thread(s)\n",
               task.title, task.train.size(), task.test.size(), task.model.parameter_count(),
               runtime::num_threads());
    std::fflush(stdout);
  }

  data::Trainer trainer(
      task.model, *task.optimizer,
      [](const Tensor& outputs, const Tensor& targets) {
        return nn::cross_entropy(outputs, targets);
      },
      settings.training);
  double seconds = 0;
  const auto watch = [&](const data::EpochResult& result) {
    seconds += result.seconds;
    if (settings.quiet) return;
    fmt::print("epoch {:2}/{}  loss {:.4f}  test accuracy {:.2f} %  {:.2f} s\n", result.epoch,
               settings.training.epochs, result.loss, 100 * result.accuracy, result.seconds);
    std::fflush(stdout);
  };
  const std::vector<data::EpochResult> results = trainer.fit(task.train, task.test, watch);
  const double accuracy = results.empty() ? 0 : results.back().accuracy;
  fmt::print(
      "test accuracy {:.2f} % after {:.2f} s of training ({} epochs, compilation included)\n",
      100 * accuracy, seconds, results.size());

  if (!settings.save.empty()) trainer.predict().save(settings.save);
  if (!settings.graph.empty()) trainer.step().save(settings.graph);
  if (!settings.samples.empty()) write_samples(settings, task, trainer.predict());
  if (!settings.curve.empty())
    write_text(settings.curve, learning_curve(fmt::format("{}: {:.2f} % in {:.1f} s", task.title,
                                                          100 * accuracy, seconds),
                                              results));
  if (accuracy >= settings.required) return tools::done;
  fmt::print(stderr, "weft-train: accuracy {:.4f} is below the {:.4f} asked for\n", accuracy,
             settings.required);
  return tools::not_reached;
}

void add_options(tools::Arguments& task, Settings& s) {
  task.option("--epochs", s.training.epochs, "times through the training set")
      .range(1, 100000)
      .shows_default();
  task.option("--batch-size", s.training.batch_size, "samples a step")
      .range(1, 1 << 24)
      .shows_default();
  task.option("--lr", s.rate, "learning rate at the beginning").not_negative().shows_default();
  task.option("--seed", s.seed, "of weights and order").shows_default();
  task.option("--device", s.device, "where to train: cpu, cuda, cuda:1, …").shows_default();
  task.option("--threads", s.threads, "threads to compute with (default: all)").range(1, 4096);
  task.option("--require", s.required, "exit with 1 when the test accuracy is below this share")
      .shows_default();
  task.option("--data", s.data, "where the data is (default: where tools/setup puts it)");
  task.option("--save", s.save, "write the trained network, inputs to scores, as a .weft file");
  task.option("--graph", s.graph, "write the training step as a .weft file, for graph-viz");
  task.option("--curve", s.curve, "draw the learning curve as an SVG file");
  task.option("--samples", s.samples,
              "write test images, scores and class names into this folder, for weft-run");
  task.option("--sample-count", s.sample_count, "how many").range(1, 1 << 20).shows_default();
  task.flag("--quiet", s.quiet, "print the result alone");
}

}  // namespace

int main(int argc, char** argv) {
  tools::Arguments app("Trains a network on a real data set.", "weft-train");
  app.footer("Exit code: 0, or 1 when --require was not reached, or 2 for errors.");

  Settings clothes;
  clothes.training.epochs = 6;
  clothes.training.batch_size = 128;
  clothes.rate = 2.5e-3;
  tools::Arguments fashion = app.subcommand(
      "fashion-mnist", "28x28 images of clothes, 784-256-128-10, Adam with a falling rate");
  add_options(fashion, clothes);

  Settings convnet;
  convnet.training.epochs = 3;
  convnet.training.batch_size = 64;
  convnet.rate = 2e-3;
  tools::Arguments convolutional = app.subcommand(
      "fashion-mnist-convnet", "28x28 images of clothes, two convolutions with pooling, Adam");
  add_options(convolutional, convnet);

  Settings numerals;
  numerals.training.epochs = 40;
  numerals.training.batch_size = 1;
  numerals.rate = 0.01;
  numerals.required = 0.95;
  tools::Arguments digit =
      app.subcommand("digits", "8x8 images of digits, 64-30-10, plain SGD, a sample a step");
  add_options(digit, numerals);

  return app.run(argc, argv, [&] {
    if (fashion.given()) return train(clothes, fashion_mnist);
    if (convolutional.given()) return train(convnet, fashion_mnist_convnet);
    return train(numerals, digits);
  });
}
