#include "tools/graph_viz/source.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "frontend/compile.h"
#include "frontend/function_impl.h"
#include "ir/text.h"
#include "passes/lower.h"
#include "passes/pipeline.h"
#include "runtime/reactive.h"
#include "weft/onnx.h"

namespace weft::tools {
namespace {

std::string read_text(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream content;
  if (!file || !(content << file.rdbuf())) throw IoError("cannot read " + path);
  return content.str();
}

/// The second line of a function's file begins with its own word.
bool is_function(const std::string& text) {
  const std::size_t line = text.find('\n');
  return line != std::string::npos && text.compare(line + 1, 9, "function ") == 0;
}

std::string named(const ir::Node& node, const std::string& otherwise) {
  return node.label().empty() ? otherwise : node.label();
}

std::string spelled(std::string_view pass) {
  std::string name(pass);
  std::ranges::replace(name, ' ', '-');
  return name;
}

void demand_known(const Source& source) {
  for (std::size_t i = 0; i < source.types.size(); ++i)
    if (!source.types[i].known())
      throw UnsetInput(
          source.path + ": the type of input " + std::to_string(i) + " ('" +
          named(*source.graph.inputs()[i], "unnamed") + "') is " + to_string(source.types[i]) +
          "; stages after 'graph' need --input for it, such as --input \"float32(128, 784)\"");
}

void take_function(Source& source, const Function& function) {
  source.function = function;
  const Function::Impl& impl = function.impl();
  source.graph = impl.graph;
  source.given = impl.inputs.size();
  source.donated = impl.compile_options().donated;
  for (std::size_t i = 0; i < impl.output_count; ++i)
    source.outputs.push_back("output " + std::to_string(i));
  for (const std::size_t variable : impl.updated)
    source.outputs.push_back(
        "new " + named(*impl.captured[variable].node(), "variable " + std::to_string(variable)));
}

/// What the file holds: a model, a function or a graph alone.
void read_graph(Source& source) {
  if (std::filesystem::path(source.path).extension() == ".onnx") {
    const onnx::Model model = onnx::load(source.path);
    if (!model.needs_values().empty())
      throw UnsupportedOp(source.path +
                          ": its graph is another one for other values: " + model.needs_values());
    take_function(source, model.function);
    source.outputs = model.output_names;
    return;
  }
  const std::string text = read_text(source.path);
  if (is_function(text)) return take_function(source, Function::load(source.path));
  try {
    source.graph = ir::parse_graph(text);
  } catch (const ParseError& e) { throw ParseError(source.path + ":" + e.what()); }
  source.given = source.graph.inputs().size();
  for (std::size_t i = 0; i < source.graph.outputs().size(); ++i)
    source.outputs.push_back("output " + std::to_string(i));
}

}  // namespace

Source load_source(const std::string& path, const std::vector<std::string>& inputs) {
  Source source;
  source.path = path;
  read_graph(source);
  if (inputs.size() > source.given)
    throw Error(path + ": there are " + std::to_string(source.given) + " inputs, and types for " +
                std::to_string(inputs.size()));
  for (const ir::NodeRef& input : source.graph.inputs())
    source.types.push_back(source.function ? runtime::live_type(*input) : input->type());
  for (std::size_t i = 0; i < inputs.size(); ++i) source.types[i] = ir::parse_type(inputs[i]);
  return source;
}

std::vector<std::string> stage_names() {
  std::vector<std::string> names{"graph"};
  for (const std::string_view pass : passes::pass_names()) names.push_back(spelled(pass));
  names.insert(names.end(), {"kernels", "plan"});
  return names;
}

ir::Graph graph_at(const Source& source, const std::string& stage) {
  if (stage == "graph") return source.graph;
  demand_known(source);
  ir::Graph wanted;
  passes::PipelineOptions options;
  options.evaluate = frontend::evaluate_constants;
  options.observe = [&](std::string_view pass, const ir::Graph& after) {
    if (spelled(pass) == stage) wanted = after;
  };
  const ir::Graph last = passes::optimize(source.graph, source.types, options);
  return stage == "kernels" || stage == "plan" ? last : wanted;
}

ir::Plan plan_of(const Source& source, const ir::Graph& optimized) {
  passes::LowerOptions options;
  for (const auto& [input, output] : source.donated) options.donated.emplace_back(output, input);
  return passes::lower(optimized, options);
}

}  // namespace weft::tools
