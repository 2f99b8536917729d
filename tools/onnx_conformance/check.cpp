#include "tools/onnx_conformance/check.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <sstream>

#include "onnx/module.h"
#include "weft/onnx.h"
#include "weft/weft.h"

namespace weft::tools {
namespace {

namespace fs = std::filesystem;

void collect(const onnx::GraphDef& graph, std::vector<std::string>& operators) {
  for (const onnx::NodeDef& node : graph.nodes) {
    const std::string name = (node.domain.empty() ? "" : node.domain + "::") + node.op;
    if (std::ranges::find(operators, name) == operators.end()) operators.push_back(name);
    for (const onnx::AttributeDef& attribute : node.attributes)
      for (const auto& inner : attribute.graphs) collect(*inner, operators);
  }
}

std::vector<std::string> operators_of(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  std::ostringstream bytes;
  bytes << in.rdbuf();
  std::vector<std::string> operators;
  collect(onnx::module().read_model(bytes.str(), file.parent_path().string()).graph, operators);
  return operators;
}

std::string described(const Array& array) {
  return std::string(name(array.dtype())) + to_string(array.shape());
}

std::string difference(const Array& got, const Array& expected, const Tolerance& t) {
  if (got.dtype() != expected.dtype() || got.shape() != expected.shape())
    return described(got) + " instead of " + described(expected);
  if (is_complex(got.dtype()))
    return allclose(got, expected, t.rtol, t.atol, true) ? "" : "other complex values";
  const std::vector<double> x = got.tolist<double>(), y = expected.tolist<double>();
  std::size_t wrong = 0, first = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const bool same = x[i] == y[i] || (std::isnan(x[i]) && std::isnan(y[i])) ||
                      std::fabs(x[i] - y[i]) <= t.atol + t.rtol * std::fabs(y[i]);
    if (!same && wrong++ == 0) first = i;
  }
  if (wrong == 0) return {};
  std::ostringstream text;
  text.precision(9);
  text << wrong << " of " << x.size() << " elements differ, the first at " << first << ": "
       << x[first] << " instead of " << y[first];
  return text.str();
}

std::string difference(const onnx::Value& got, const onnx::Value& expected, const Tolerance& t) {
  if (got.index() != expected.index()) return "a value of another kind";
  if (const Array* array = std::get_if<Array>(&expected)) return difference(got.array(), *array, t);
  if (expected.empty()) return {};
  if (got.items().size() != expected.items().size())
    return "a sequence of " + std::to_string(got.items().size()) + " instead of " +
           std::to_string(expected.items().size());
  for (std::size_t i = 0; i < got.items().size(); ++i)
    if (std::string text = difference(got.items()[i], expected.items()[i], t); !text.empty())
      return "item " + std::to_string(i) + ": " + text;
  return {};
}

fs::path stored(const fs::path& folder, const char* kind, std::size_t i) {
  return folder / (kind + std::string("_") + std::to_string(i) + ".pb");
}

std::string check_data(const onnx::Model& model, const fs::path& folder, const Tolerance& t) {
  std::vector<onnx::Value> inputs;
  for (std::size_t i = 0; fs::exists(stored(folder, "input", i)); ++i) {
    if (i >= model.input_names.size()) return "there are more inputs than the model takes";
    inputs.push_back(model.load_input(i, stored(folder, "input", i).string()));
  }
  const std::vector<onnx::Value> outputs = model.run(inputs);
  std::size_t compared = 0;
  for (; fs::exists(stored(folder, "output", compared)); ++compared) {
    if (compared >= outputs.size()) return "there are more outputs than the model gives";
    const std::string path = stored(folder, "output", compared).string();
    if (std::string text = difference(outputs[compared], model.load_output(compared, path), t);
        !text.empty())
      return "output " + std::to_string(compared) + ": " + text;
  }
  return compared > 0 ? "" : "there is no output to compare with";
}

}  // namespace

Verdict check_model(const fs::path& folder, const Tolerance& tolerance) {
  Verdict verdict;
  try {
    verdict.operators = operators_of(folder / "model.onnx");
    const onnx::Model model = onnx::load((folder / "model.onnx").string());
    std::vector<fs::path> sets;
    for (const fs::directory_entry& entry : fs::directory_iterator(folder))
      if (entry.is_directory()) sets.push_back(entry.path());
    std::ranges::sort(sets);
    if (sets.empty()) verdict.failure = "there is no data";
    for (const fs::path& set : sets)
      if (verdict.failure.empty()) verdict.failure = check_data(model, set, tolerance);
  } catch (const std::exception& e) { verdict.failure = e.what(); }
  std::ranges::replace(verdict.failure, '\n', ' ');
  std::ranges::replace(verdict.failure, '\t', ' ');
  if (verdict.failure.size() > 600) verdict.failure.resize(600);
  return verdict;
}

}  // namespace weft::tools
