// Functions in files. The text begins with a line about the function, then the graph:
//
//   weft 1
//   function inputs 2 outputs 1 updates [0] values "model.safetensors"
//   graph "step" (%x, %t, %w) { … }
//
// The values of captured variables (v0, v1, …) and large constants (c0, c1, …) are in the
// safetensors file, named relative to the text's own folder; without any there is no such file and
// no `values`.
#include <filesystem>
#include <fstream>
#include <sstream>

#include "function_impl.h"
#include "ir/builder.h"
#include "ir/ops/ops.h"
#include "ir/text.h"
#include "passes/transform.h"
#include "weft/io.h"

namespace weft {

namespace {

constexpr std::string_view first_line = "weft 1\n";

/// Reads `word` and a value after it, moving `line` on.
ir::AttrValue field(std::string_view& line, std::string_view word, const std::string& path) {
  const auto malformed = [&] {
    return ParseError(path + ":2: expected '" + std::string(word) +
                      "' and a value in the function's line");
  };
  if (!line.starts_with(word) || line.size() == word.size() || line[word.size()] != ' ')
    throw malformed();
  line.remove_prefix(word.size() + 1);
  std::size_t end = 0;  // up to the next space outside brackets and quotes
  for (bool quoted = false, listed = false;
       end < line.size() && (quoted || listed || line[end] != ' '); ++end) {
    if (line[end] == '"') quoted = !quoted;
    if (line[end] == '[') listed = true;
    if (line[end] == ']') listed = false;
  }
  const ir::AttrValue value = ir::parse_attr_value(line.substr(0, end));
  line.remove_prefix(std::min(end + 1, line.size()));
  return value;
}

template <class T> T demand(const ir::AttrValue& value, const std::string& path) {
  if (const T* found = std::get_if<T>(&value)) return *found;
  throw ParseError(path + ":2: a value of the wrong kind in the function's line");
}

std::string read_text(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw IoError("cannot open " + path);
  std::ostringstream content;
  content << file.rdbuf();
  if (file.bad()) throw IoError("cannot read " + path);
  return content.str();
}

/// A user's function over arrays is in this program alone: no text could be read back to it.
/// UnsupportedOp for one of the graph, or of what its conditions and loops run.
void demand_no_callbacks(const ir::Graph& graph, const std::string& path) {
  std::vector<const ir::Graph*> waiting{&graph};
  while (!waiting.empty()) {
    const ir::Graph& next = *waiting.back();
    waiting.pop_back();
    for (const ir::Node* node : ir::topological_order(next))
      for (const auto& [name, value] : node->attrs().fields()) {
        if (const auto* inner = std::get_if<ir::GraphPtr>(&value); inner && *inner)
          waiting.push_back(inner->get());
        const auto* host = std::get_if<ir::HostObject>(&value);
        if (host && &node->op() == &ir::ops::callback)
          throw UnsupportedOp("cannot save " + path + ": the operation '" + host->name +
                                  "' calls a function of this program, which no file can hold; "
                                  "give it a forward over tensors",
                              node->where());
      }
  }
}

/// The same graph where no input is computed: what stands above one is no part of it.
ir::Graph with_leaf_inputs(const ir::Graph& graph) {
  const auto computed = [](const ir::NodeRef& input) { return &input->op() != &ir::ops::input; };
  if (std::ranges::none_of(graph.inputs(), computed)) return graph;
  ir::GraphBuilder builder;
  passes::NodeMap map;
  for (const ir::NodeRef& input : graph.inputs())
    if (computed(input))
      map.set(input.get(), ir::make_input(input->type(), input->label(), input->where()));
  return passes::transform(
      graph,
      [&](const ir::Node& node, std::vector<ir::NodeRef> operands) {
        return passes::keep(builder, node, std::move(operands));
      },
      map);
}

}  // namespace

void Function::save(const std::string& path) const {
  const Impl& impl = this->impl();
  const ir::Graph saved = with_leaf_inputs(impl.graph);
  demand_no_callbacks(saved, path);
  NamedArrays values;
  for (std::size_t i = 0; i < impl.captured.size(); ++i)
    values.emplace("v" + std::to_string(i), impl.captured[i].value());
  ir::TextOptions options;
  std::size_t constants = 0;
  options.store_literal = [&](const ir::Literal& literal) {
    const std::string name = "c" + std::to_string(constants++);
    values.emplace(name, runtime::from_literal(literal));
    return name;
  };
  const std::string graph = ir::to_text(saved, options);

  const std::filesystem::path beside =
      std::filesystem::path(path).replace_extension(".safetensors");
  std::vector<std::int64_t> updates(impl.updated.begin(), impl.updated.end());
  std::string text(first_line);
  text += "function inputs " + std::to_string(impl.inputs.size()) + " outputs " +
          std::to_string(impl.output_count) + " updates " + ir::to_text(ir::AttrValue(updates));
  if (!values.empty()) text += " values " + ir::to_text(ir::AttrValue(beside.filename().string()));
  text += "\n" + (graph.starts_with(first_line) ? graph.substr(first_line.size()) : graph);

  if (!values.empty()) save_safetensors(beside.string(), values);
  const std::string partial = path + ".partial";  // a failed save leaves what was there
  std::ofstream file(partial, std::ios::binary);
  file << text;
  file.close();
  std::error_code error;
  if (file) std::filesystem::rename(partial, path, error);
  if (!file || error) throw IoError("cannot write " + path);
}

Function Function::load(const std::string& path, Device device, Where where) {
  const std::string text = read_text(path);
  if (!text.starts_with(first_line)) throw ParseError(path + ":1: expected 'weft 1'");
  const std::size_t end = text.find('\n', first_line.size());
  if (end == std::string::npos) throw ParseError(path + ":2: the text ends before the graph");
  std::string_view line = std::string_view(text).substr(first_line.size(), end - first_line.size());
  if (!line.starts_with("function ")) throw ParseError(path + ":2: expected 'function'");
  line.remove_prefix(9);
  const auto inputs = demand<std::int64_t>(field(line, "inputs", path), path);
  const auto outputs = demand<std::int64_t>(field(line, "outputs", path), path);
  const auto updates = demand<std::vector<std::int64_t>>(field(line, "updates", path), path);
  NamedArrays values;
  if (!line.empty()) {
    const auto name = demand<std::string>(field(line, "values", path), path);
    if (name.empty() || name.find('/') != std::string::npos)
      throw ParseError(path + ":2: values are in a file beside this one, not in '" + name + "'");
    values = load_safetensors((std::filesystem::path(path).parent_path() / name).string());
  }
  const auto value = [&](const std::string& name) -> const Array& {
    const auto found = values.find(name);
    if (found == values.end()) throw ParseError(path + ": the value '" + name + "' is missing");
    return found->second;
  };

  ir::ParseOptions options;
  options.load_literal = [&](std::string_view name) {
    return runtime::to_literal(value(std::string(name)));
  };
  ir::Graph graph;
  try {  // the graph begins on line 3, and errors should say so
    graph = ir::parse_graph("\n\n" + text.substr(end + 1), options);
  } catch (const ParseError& e) { throw ParseError(path + ":" + e.what()); }
  const auto total_inputs = std::ssize(graph.inputs()), total_outputs = std::ssize(graph.outputs());
  if (inputs < 0 || inputs > total_inputs || outputs < 0 ||
      outputs + std::ssize(updates) != total_outputs)
    throw ParseError(path + ":2: the graph has " + std::to_string(total_inputs) + " inputs and " +
                     std::to_string(total_outputs) + " outputs");

  std::vector<Tensor> given, variables, results;
  for (const ir::NodeRef& input : graph.inputs().first(static_cast<std::size_t>(inputs)))
    given.emplace_back(input);
  for (const ir::NodeRef& input : graph.inputs().subspan(static_cast<std::size_t>(inputs))) {
    variables.emplace_back(input);
    variables.back().set_value(value("v" + std::to_string(variables.size() - 1)));
  }
  for (const ir::NodeRef& output : graph.outputs().first(static_cast<std::size_t>(outputs)))
    results.emplace_back(output);
  FunctionOptions function{.device = device, .name = graph.name()};
  for (std::size_t i = 0; i < updates.size(); ++i) {
    if (updates[i] < 0 || updates[i] >= std::ssize(variables))
      throw ParseError(path + ":2: there is no variable " + std::to_string(updates[i]) +
                       " to update");
    function.updates.emplace_back(variables[static_cast<std::size_t>(updates[i])],
                                  Tensor(graph.outputs()[static_cast<std::size_t>(outputs) + i]));
  }
  return Function(std::move(given), std::move(results), std::move(function), where);
}

}  // namespace weft
