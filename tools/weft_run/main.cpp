// weft-run: runs a saved function on arrays from files.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>

#include "ir/text.h"
#include "tools/program/program.h"
#include "tools/weft_run/draw.h"
#include "weft/onnx.h"
#include "weft/weft.h"

namespace {

using namespace weft;
namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

struct Settings {
  std::string file, check, device = "cpu", profile, classes, labels, color = "auto";
  std::vector<std::string> inputs, save;
  double rtol = 1e-4, atol = 1e-5;
  std::int64_t draw = 0;
  int repeat = 0;
  bool stats = false;
};

std::string described(const Array& array) {
  return std::string(name(array.dtype())) + to_string(array.shape());
}

// ---- inputs --------------------------------------------------------------------------------------------------------

/// `input_0.pb`, …, as ONNX's tests have them, or `input_0.npy`, … in a folder.
std::string stored(const std::string& folder, const std::string& kind, std::size_t i) {
  const fs::path name = fs::path(folder) / (kind + "_" + std::to_string(i));
  const std::string tensor = name.string() + ".pb";
  return fs::exists(tensor) ? tensor : name.string() + ".npy";
}

Array load_array(const std::string& path) {
  return fs::path(path).extension() == ".pb" ? onnx::load_tensor(path) : load_npy(path);
}

/// The files of the inputs, `count` of them.
std::vector<std::string> input_paths(const Settings& s, std::size_t count) {
  std::vector<std::string> paths = s.inputs;
  if (paths.empty() && !s.check.empty())
    for (std::size_t i = 0; i < count; ++i) paths.push_back(stored(s.check, "input", i));
  if (paths.size() != count)
    throw Error("the function takes " + std::to_string(count) + " inputs, and " +
                std::to_string(paths.size()) + " files were given");
  return paths;
}

std::vector<Array> load_inputs(const Settings& s, const Function& function) {
  std::vector<Array> arrays;
  for (const std::string& path : input_paths(s, function.input_count()))
    arrays.push_back(load_array(path));
  return arrays;
}

std::vector<std::string> read_lines(const std::string& path) {
  std::ifstream file(path);
  if (!file) throw IoError("cannot open " + path);
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  return lines;
}

// ---- comparing -----------------------------------------------------------------------------------------------------

/// How far apart two arrays of one shape are: the greatest |x - y| and where it is.
std::string difference(const Array& found, const Array& expected) {
  const std::vector<double> x = found.tolist<double>(), y = expected.tolist<double>();
  double worst = 0;
  std::size_t at = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double d = std::abs(x[i] - y[i]);
    if (d > worst || (std::isnan(d) && !std::isnan(worst))) worst = d, at = i;
  }
  return x.empty()
             ? "no elements"
             : fmt::format("greatest difference {:.3g}, at element {}: {:.9g}, expected {:.9g}",
                           worst, at, x[at], y[at]);
}

/// Says so, and is true when `found` is as stored.
bool check_output(const Settings& s, std::size_t i, const Array& found, const Array& expected) {
  const bool shaped = expected.shape() == found.shape();
  const bool same = shaped && allclose(found, expected, s.rtol, s.atol, true);
  fmt::print("output {}: {} {}\n", i, same ? "as expected," : "DIFFERENT,",
             shaped ? difference(found, expected)
                    : described(found) + " instead of " + described(expected));
  return same;
}

bool check(const Settings& s, const std::vector<Array>& outputs) {
  bool good = true;
  for (std::size_t i = 0; i < outputs.size(); ++i)
    good = check_output(s, i, outputs[i], load_array(stored(s.check, "output", i))) && good;
  return good;
}

// ---- drawing -------------------------------------------------------------------------------------------------------

/// Extents of one image of a batch: the last two axes, or the square that its elements make.
std::pair<std::int64_t, std::int64_t> image_extents(const Array& images) {
  const std::int64_t n =
      images.shape().empty() || images.shape()[0] == 0 ? 0 : images.size() / images.shape()[0];
  if (images.ndim() >= 3) {
    const std::int64_t rows = images.shape()[images.shape().size() - 2],
                       columns = images.shape().back();
    if (rows * columns == n) return {rows, columns};
  }
  const auto side = static_cast<std::int64_t>(std::lround(std::sqrt(static_cast<double>(n))));
  if (n == 0 || side * side != n)
    throw ShapeError("input 0, " + described(images) +
                     ", is not a batch of grey images that could be drawn");
  return {side, side};
}

void draw(const Settings& s, const Array& images, const Array& scores) {
  const auto [rows, columns] = image_extents(images);
  const std::int64_t count = std::min(s.draw, images.shape()[0]);
  if (scores.ndim() != 2 || scores.shape()[0] != images.shape()[0])
    throw ShapeError("output 0, " + described(scores) + ", is not a row of scores for each image");
  const std::vector<std::string> names =
      s.classes.empty() ? std::vector<std::string>{} : read_lines(s.classes);
  const std::vector<std::int64_t> labels =
      s.labels.empty() ? std::vector<std::int64_t>{} : load_npy(s.labels).tolist<std::int64_t>();
  const bool color = s.color == "always" || (s.color == "auto" && isatty(STDOUT_FILENO) != 0);
  const std::vector<float> pixels = images.tolist<float>(), values = scores.tolist<float>();
  const auto size = static_cast<std::size_t>(rows * columns),
             classes = static_cast<std::size_t>(scores.shape()[1]);
  for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i) {
    const auto row = std::span(values).subspan(i * classes, classes);
    const std::vector<std::string> picture =
        tools::draw_image(std::span(pixels).subspan(i * size, size), rows, columns, color);
    std::vector<std::string> beside{fmt::format("image {}", i), ""};
    for (std::string& line : tools::describe_scores(row, names, 3))
      beside.push_back(std::move(line));
    if (i < labels.size()) {
      const auto label = static_cast<std::size_t>(labels[i]);
      const bool right = std::ranges::max_element(row) - row.begin() == labels[i];
      beside.emplace_back();
      beside.push_back(
          fmt::format("{} it is: {}", right ? "✓" : "✗",
                      label < names.size() ? names[label] : "class " + std::to_string(labels[i])));
    }
    const std::size_t lines = std::max(picture.size(), beside.size()),
                      above = picture.size() > beside.size() + 4 ? 3 : 0;
    for (std::size_t line = 0; line < lines; ++line) {
      const bool has_text = line >= above && line - above < beside.size();
      fmt::print("{}   {}\n",
                 line < picture.size() ? picture[line]
                                       : std::string(static_cast<std::size_t>(columns), ' '),
                 has_text ? beside[line - above] : "");
    }
    fmt::print("\n");
  }
}

// ---- time ----------------------------------------------------------------------------------------------------------

/// Chrome's trace format; `inputs` lets graph-viz draw the graph that was timed.
void write_trace(const std::string& path, const Function& function,
                 const std::vector<Array>& inputs) {
  function(inputs);  // compiled and warm
  const auto length = [](const std::vector<StepTime>& steps) {
    return steps.empty() ? 0 : steps.back().end_ns - steps.front().start_ns;
  };
  std::vector<StepTime> steps = function.profile(inputs);
  for (int i = 0; i < 4; ++i)  // the call that was least disturbed
    if (std::vector<StepTime> again = function.profile(inputs); length(again) < length(steps))
      steps = std::move(again);
  nlohmann::ordered_json events = nlohmann::ordered_json::array(),
                         types = nlohmann::ordered_json::array();
  const std::int64_t origin = steps.empty() ? 0 : steps.front().start_ns;
  for (std::size_t i = 0; i < steps.size(); ++i)
    events.push_back({{"name", steps[i].label},
                      {"cat", "step"},
                      {"ph", "X"},
                      {"pid", 1},
                      {"tid", 1},
                      {"ts", static_cast<double>(steps[i].start_ns - origin) / 1e3},
                      {"dur", static_cast<double>(steps[i].end_ns - steps[i].start_ns) / 1e3},
                      {"args", {{"step", i}}}});
  for (const Array& input : inputs) types.push_back(described(input));
  std::ofstream file(path, std::ios::binary);
  file << nlohmann::ordered_json{{"traceEvents", events},
                                 {"displayTimeUnit", "ns"},
                                 {"otherData", {{"function", function.name()}, {"inputs", types}}}}
              .dump(1)
       << "\n";
  file.close();
  if (!file) throw IoError("cannot write " + path);
  fmt::print("{} steps, {:.1f} µs: {}\n", steps.size(), static_cast<double>(length(steps)) / 1e3,
             path);
}

void time_calls(const Function& function, std::vector<Array> inputs, int repeat) {
  const Device device = function.device();
  for (Array& input : inputs) input = input.to(device);
  std::vector<Array> outputs = function(inputs);
  std::vector<double> times;
  for (int i = 0; i < repeat; ++i) {
    const auto start = Clock::now();
    function.call_into(outputs, inputs);
    device.synchronize();
    times.push_back(std::chrono::duration<double, std::micro>(Clock::now() - start).count());
  }
  std::ranges::sort(times);
  fmt::print("{} calls: median {:.1f} µs, least {:.1f} µs\n", repeat, times[times.size() / 2],
             times.front());
}

void print_stats(const Function& function) {
  const FunctionStats s = function.stats();
  fmt::print(
      "compiled {} signature(s) in {:.1f} ms; {} kernels, {} distinct; arena {} bytes; "
      "{} bytes moved and {:.4g} flops a call\n",
      s.compilations, s.compile_ms, s.kernels, s.distinct_kernels, s.bytes_planned, s.bytes_moved,
      s.flops);
  if (s.host_steps > 0)
    fmt::print("{} steps run on the processor, beside {}\n", s.host_steps,
               function.device().str());
}

// ---- ONNX models whose graph depends on values ----------------------------------------------------------------------

void append_arrays(const onnx::Value& value, std::vector<Array>& arrays) {
  if (const Array* array = std::get_if<Array>(&value))
    arrays.push_back(*array);
  else if (!value.empty())
    for (const onnx::Value& item : value.items()) append_arrays(item, arrays);
}

/// Built for these values: there is no function that could be timed, drawn or looked at.
int run_by_values(const Settings& s, const onnx::Model& model) {
  if (!s.profile.empty() || s.repeat > 0 || s.draw > 0 || s.stats || !s.save.empty())
    throw UnsupportedOp(s.file + ": the model is built for each call (" + model.needs_values() +
                        "), and can only be run or checked");
  const std::vector<std::string> paths = input_paths(s, model.input_names.size());
  std::vector<onnx::Value> inputs;
  for (std::size_t i = 0; i < paths.size(); ++i)
    inputs.push_back(fs::path(paths[i]).extension() == ".pb" ? model.load_input(i, paths[i])
                                                             : onnx::Value(load_npy(paths[i])));
  const std::vector<onnx::Value> outputs = model.run(inputs);
  bool good = true;
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    std::vector<Array> found, expected;
    append_arrays(outputs[i], found);
    if (s.check.empty()) {
      for (const Array& array : found) std::cout << array << "\n";
      continue;
    }
    const std::string path = stored(s.check, "output", i);
    append_arrays(fs::path(path).extension() == ".pb" ? model.load_output(i, path)
                                                      : onnx::Value(load_npy(path)),
                  expected);
    if (found.size() != expected.size()) {
      fmt::print("output {}: DIFFERENT, {} tensors instead of {}\n", i, found.size(),
                 expected.size());
      good = false;
    }
    for (std::size_t j = 0; j < std::min(found.size(), expected.size()); ++j)
      good = check_output(s, i, found[j], expected[j]) && good;
  }
  return good ? tools::done : tools::not_reached;
}

// ---- the program ---------------------------------------------------------------------------------------------------

int run_function(const Settings& s, const Function& function) {
  const std::vector<Array> inputs = load_inputs(s, function);
  std::vector<Array> outputs = function(inputs);
  for (Array& output : outputs) output = output.to(Device::cpu());
  if (s.save.size() > outputs.size())
    throw Error("the function has " + std::to_string(outputs.size()) + " outputs, and " +
                std::to_string(s.save.size()) + " files to save them in were given");
  for (std::size_t i = 0; i < s.save.size(); ++i) save_npy(s.save[i], outputs[i]);
  if (s.draw > 0 && !inputs.empty() && !outputs.empty()) draw(s, inputs.front(), outputs.front());
  if (s.save.empty() && s.draw == 0 && s.check.empty())
    for (const Array& output : outputs) std::cout << output << "\n";
  std::cout.flush();
  const bool good = s.check.empty() || check(s, outputs);
  if (!s.profile.empty()) write_trace(s.profile, function, inputs);
  if (s.repeat > 0) time_calls(function, inputs, s.repeat);
  if (s.stats) print_stats(function);
  return good ? tools::done : tools::not_reached;
}

int run(const Settings& s) {
  const Device device = Device::parse(s.device);
  if (fs::path(s.file).extension() == ".onnx") {
    const onnx::Model model = onnx::load(s.file, device);
    return model.needs_values().empty() ? run_function(s, model.function)
                                        : run_by_values(s, model);
  }
  return run_function(s, Function::load(s.file, device));
}
}  // namespace

int main(int argc, char** argv) {
  Settings s;
  tools::Arguments app("Runs a saved function on arrays from files.", "weft-run");
  app.option("file", s.file, "a .weft or .onnx file").required();
  app.option("inputs", s.inputs, ".npy or ONNX .pb files, one an input");
  app.option("--save", s.save, ".npy files for the outputs, in order (else they are printed)");
  app.option("--check", s.check,
             "compare the outputs with output_0.pb or output_0.npy, … in this folder; inputs are "
             "input_0.pb or input_0.npy, … unless given");
  app.option("--rtol", s.rtol, "relative tolerance of --check").not_negative().shows_default();
  app.option("--atol", s.atol, "absolute tolerance of --check").not_negative().shows_default();
  app.option("--device", s.device, "where to run: cpu, cuda, cuda:1, …").shows_default();
  app.option("--profile", s.profile,
             "write the times of the steps of one call (Chrome and Perfetto open it)");
  app.option("--repeat", s.repeat, "time this many calls").range(1, 100000000);
  app.flag("--stats", s.stats, "print what was compiled");
  app.option("--draw", s.draw,
             "draw this many images of input 0 beside what output 0 says of them")
      .alone("8")
      .range(1, 1 << 20);
  app.option("--classes", s.classes, "names of the classes, one a line, for --draw");
  app.option("--labels", s.labels, "right classes as .npy, for --draw");
  app.option("--color", s.color, "of drawings").one_of({"auto", "always", "never"}).shows_default();
  app.footer("Exit code: 0, or 1 when --check found a difference, or 2 for errors.");
  return app.run(argc, argv, [&] { return run(s); });
}
