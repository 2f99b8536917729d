// graph-viz: draws the graph in a `.weft` file, at any stage of compilation.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tools/graph_viz/render.h"
#include "tools/graph_viz/source.h"
#include "tools/program/program.h"

namespace {

using namespace weft;
using namespace weft::tools;
namespace fs = std::filesystem;

struct Settings {
  std::vector<std::string> files, inputs;
  std::string output, stage, since, times, direction = "TB";
  bool diff = false;
};

/// What weft-run --profile wrote: time by step, and the types of the inputs that it ran with.
struct Trace {
  std::vector<double> microseconds;
  std::vector<std::string> inputs;
};

Trace read_trace(const std::string& path) {
  std::ifstream file(path);
  if (!file) throw IoError("cannot open " + path);
  Trace trace;
  try {
    const nlohmann::json json = nlohmann::json::parse(file);
    const nlohmann::json& events = json.at("traceEvents");
    for (const auto& event : events) {
      const auto step = event.at("args").at("step").get<std::size_t>();
      if (step >= events.size())
        throw ParseError(path + ": step " + std::to_string(step) + " of " +
                         std::to_string(events.size()));
      if (trace.microseconds.size() <= step) trace.microseconds.resize(step + 1);
      trace.microseconds[step] += event.at("dur").get<double>();
    }
    for (const auto& input : json.at("otherData").at("inputs"))
      trace.inputs.push_back(input.get<std::string>());
  } catch (const nlohmann::json::exception& e) {
    throw ParseError(path + ": not a trace of weft-run: " + e.what());
  }
  return trace;
}

std::vector<std::string> input_names(const Source& source) {
  std::vector<std::string> names;
  for (std::size_t i = 0; i < source.graph.inputs().size(); ++i) {
    const std::string& label = source.graph.inputs()[i]->label();
    names.push_back(label.empty() ? "input " + std::to_string(i) : label);
  }
  return names;
}

Picture draw(const Settings& s, const std::vector<std::string>& inputs,
             const std::vector<double>& times) {
  const Source source = load_source(s.files.back(), inputs);
  const std::string title = (source.graph.name().empty() ? fs::path(source.path).filename().string()
                                                         : source.graph.name());
  const ir::Graph graph = graph_at(source, s.stage);
  Picture picture;
  std::string what = ", " + s.stage;
  if (s.diff || !s.since.empty()) {
    const Source other = s.diff ? load_source(s.files.front(), inputs) : source;
    picture = picture_of_change(graph_at(other, s.diff ? s.stage : s.since), graph, source.outputs);
    what = s.diff ? fmt::format(": {} → {}, {}", fs::path(s.files.front()).filename().string(),
                                fs::path(s.files.back()).filename().string(), s.stage)
                  : fmt::format(": {} → {}", s.since, s.stage);
  } else if (s.stage == "kernels" || s.stage == "plan") {
    const ir::Plan plan = plan_of(source, graph);
    if (!times.empty() && times.size() != plan.steps.size())
      throw Error(fmt::format(
          "{} has {} steps, and {} has {}: it is not a trace of this function at these input types",
          s.times, times.size(), s.files.back(), plan.steps.size()));
    picture = s.stage == "plan" ? picture_of_plan(plan, input_names(source), source.outputs, times)
                                : picture_of(graph, source.outputs, kernels_of(graph, plan, times));
    what += fmt::format(": {} steps, {} distinct kernels", plan.steps.size(), plan.kernels.size());
  } else {
    picture = picture_of(graph, source.outputs);
  }
  picture.title = title + what;
  return picture;
}

std::string after_dot(const std::string& extension) {
  return extension.empty() ? "" : extension.substr(1);
}

int run(Settings& s) {
  if (s.files.size() != (s.diff ? 2u : 1u))
    throw Error(s.diff ? "--diff takes two files" : "one file is drawn at a time, two with --diff");
  if (s.stage.empty()) s.stage = s.times.empty() ? "graph" : "kernels";
  if (!s.times.empty() && s.stage != "kernels" && s.stage != "plan")
    throw Error("--times belongs to the stages 'kernels' and 'plan'");
  const bool of_plan = s.stage == "plan" || s.since == "plan";
  if (of_plan && (s.diff || !s.since.empty()))
    throw Error("a plan is not a graph that could be compared");
  const std::string format =
      s.output.empty() ? "dot" : after_dot(fs::path(s.output).extension().string());
  if (format != "dot" && format != "svg" && format != "png" && format != "html")
    throw Error("-o " + s.output + ": the ending says what to write: .dot, .svg, .png or .html");

  Trace trace;
  if (!s.times.empty()) trace = read_trace(s.times);
  const Picture picture = draw(s, s.inputs.empty() ? trace.inputs : s.inputs, trace.microseconds);
  const std::string dot = to_dot(picture, s.direction == "LR");
  const std::string result = format == "dot"    ? dot
                             : format == "html" ? to_html(picture, run_graphviz(dot, "svg"))
                                                : run_graphviz(dot, format);
  if (s.output.empty()) {
    fmt::print("{}", result);
    return done;
  }
  std::ofstream file(s.output, std::ios::binary);
  file << result;
  file.close();
  if (!file) throw IoError("cannot write " + s.output);
  return done;
}

}  // namespace

int main(int argc, char** argv) {
  Settings s;
  Arguments app("Draws the graph in a .weft file, at any stage of compilation.", "graph-viz");
  std::vector<std::string> stages = stage_names();
  app.option("files", s.files, "a function's or a graph's .weft file; two with --diff").required();
  app.option("-o,--output", s.output,
             "picture.dot, .svg, .png or .html (default: Graphviz text to standard output)");
  app.option("--stage", s.stage,
             "what to draw: the graph as written (graph), after a pass, fused kernels as clusters "
             "(kernels), or a box a step (plan)")
      .one_of(stages);
  app.option("--since", s.since, "colour what changed since this stage").one_of(stages);
  app.flag("--diff", s.diff, "colour what changed between two files: before after");
  app.option("--input", s.inputs,
             "type of an input, such as \"float32(128, 784)\"; in order, once an input")
      .one_each();
  app.option("--times", s.times, "times of the kernels, from weft-run --profile");
  app.option("--direction", s.direction, "of the flow: TB (downwards) or LR")
      .one_of({"TB", "LR"})
      .shows_default();
  app.footer("Exit code: 0, or 2 for errors.");
  return app.run(argc, argv, [&] { return run(s); });
}
