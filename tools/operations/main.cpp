// weft-operations: the catalogue as a Markdown table, made from the rows themselves.
#include <fmt/format.h>

#include <fstream>
#include <iterator>

#include "ir/catalogue.h"
#include "tools/program/program.h"

namespace {

using namespace weft;
using ir::Op;

std::string_view meaning(const Op& op) {
  struct Visitor {
    std::string_view operator()(const ir::Leaf&) const { return "leaf"; }
    std::string_view operator()(const ir::Pointwise&) const { return "pointwise"; }
    std::string_view operator()(const ir::View&) const { return "view"; }
    std::string_view operator()(const ir::Regions&) const { return "regions"; }
    std::string_view operator()(const ir::Reduction&) const { return "reduction"; }
    std::string_view operator()(const ir::ContractionMeaning&) const { return "contraction"; }
    std::string_view operator()(const ir::Expansion& e) const {
      return e.values == 0 ? "expansion" : "expansion by value";
    }
    std::string_view operator()(const ir::Extern&) const { return "runtime"; }
  };
  return std::visit(Visitor{}, op.meaning);
}

std::string operands(const Op& op) {
  if (op.max_inputs < 0) return fmt::format("{}…", op.min_inputs);
  if (op.min_inputs == op.max_inputs) return std::to_string(op.min_inputs);
  return fmt::format("{}–{}", op.min_inputs, op.max_inputs);
}

/// The kinds of dtypes that the row's generated tests run over.
std::string dtypes(const Op& op) {
  if (!op.samples.make) return "";
  std::string text;
  const auto add = [&](ir::Samples::Dtypes kind, const char* name) {
    if (op.samples.dtypes & kind) text += (text.empty() ? "" : ", ") + std::string(name);
  };
  add(ir::Samples::floats, "floating");
  add(ir::Samples::integers, "integer");
  add(ir::Samples::booleans, "boolean");
  return text;
}

std::string_view gradient(const Op& op) {
  if (op.grad) return "rule";
  const auto* external = std::get_if<ir::Extern>(&op.meaning);
  if (external && external->kind == ir::ExternKind::result) return "its node's";
  return std::holds_alternative<ir::Expansion>(op.meaning) ? "expansion" : "";
}

/// Only of what rounds: the rest is exact.
std::string ulps(const Op& op) {
  const bool rounds = op.samples.make && (op.samples.dtypes & ir::Samples::floats);
  return rounds ? fmt::format("{:g}", op.samples.ulp) : "";
}

/// A bar ends a cell.
std::string cell(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    if (c == '|') escaped += '\\';
    escaped += c;
  }
  return escaped;
}

std::string table() {
  std::string text =
      "# Operations\n\n"
      "Every row of the catalogue, family by family; written by `weft-operations`.\n\n"
      "- *Meaning*: what the compiler sees. A *pointwise* row is a scalar program; an *expansion* "
      "stands for other rows (*by value*: once the value of an operand is known); a *runtime* row "
      "is a loop nest of the library's own.\n"
      "- *Dtypes*: what the generated tests run over; *ulp*: how far a float32 result may be from "
      "the reference in them.\n"
      "- *Gradient*: by the row's own rule, or through its expansion.\n";
  for (const ir::Family& family : ir::catalogue()) {
    if (family.rows.empty()) continue;
    text += fmt::format("\n## {}\n\n", family.title);
    text += "| operation | operands | meaning | dtypes | gradient | ONNX | ulp | |\n";
    text += "| --- | --- | --- | --- | --- | --- | --- | --- |\n";
    for (const Op* op : family.rows)
      text += fmt::format("| `{}` | {} | {} | {} | {} | {} | {} | {} |\n", op->name,
                          operands(*op), meaning(*op), dtypes(*op), gradient(*op), op->onnx,
                          ulps(*op), cell(op->doc));
  }
  return text;
}

}  // namespace

int main(int argc, char** argv) {
  tools::Arguments app("Prints every operation: meaning, dtypes, gradient, ONNX name, accuracy.",
                       "weft-operations");
  std::string output, check;
  app.option("-o,--output", output, "Write the table to this file");
  app.option("--check", check, "Compare the table with this file; exit with 1 where it differs");
  return app.run(argc, argv, [&] {
    const std::string text = table();
    if (!check.empty()) {
      std::ifstream file(check);
      if (!file) throw IoError("cannot open " + check);
      const std::string have{std::istreambuf_iterator<char>(file), {}};
      if (have == text) return tools::done;
      fmt::print(stderr, "{} is out of date: weft-operations -o {}\n", check, check);
      return tools::not_reached;
    }
    if (output.empty()) {
      fmt::print("{}", text);
      return tools::done;
    }
    std::ofstream file(output);
    if (!(file << text).flush()) throw IoError("cannot write " + output);
    return tools::done;
  });
}
