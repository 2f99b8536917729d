#include "ir/op.h"

#include <cassert>
#include <unordered_map>

#include "ir/catalogue.h"
#include "ir/ops/placement.h"
#include "ir/ops/rules.h"

namespace weft::ir {

std::string InferContext::describe() const {
  std::string text(op.name);
  if (inputs.empty()) return text;
  constexpr std::size_t most = 4;
  for (std::size_t i = 0; i < inputs.size() && i < most; ++i) {
    text += i == 0 ? " of " : i + 1 == inputs.size() ? " and " : ", ";
    text += to_string(type(i));
  }
  if (inputs.size() > most) text += ", … (" + std::to_string(inputs.size()) + " operands)";
  return text;
}

std::span<const Family> catalogue() {
  static const std::vector<Family> families{
      {"Leaves", family::leaf()},
      {"Arithmetic", family::arithmetic()},
      {"Comparison, logic, bits, casts", family::logic()},
      {"Exponentials, trigonometry, rounding", family::transcendental()},
      {"Activations", family::activation()},
      {"Special functions and further pointwise operations", family::special()},
      {"Helpers that take an operand for its type", family::like()},
      {"Reductions", family::reduction()},
      {"Reductions made of others", family::reduction_expansions()},
      {"Statistics and norms", family::statistics()},
      {"Views", family::view()},
      {"Structure", family::structure()},
      {"Shapes that depend on values", family::dynamic()},
      {"Products", family::contraction()},
      {"Products by subscripts", family::products()},
      {"Rows and losses", family::softmax()},
      {"Attention", family::attention()},
      {"Normalisation", family::normalization()},
      {"Indexed access", family::indexing()},
      {"Scattering and advanced indexing", family::advanced_indexing()},
      {"Order, running sums, counting", family::ordering()},
      {"Sliding windows and convolution", family::convolution()},
      {"Pooling", family::pooling()},
      {"Interpolation", family::resize()},
      {"Linear algebra", family::linalg()},
      {"Complex numbers", family::complex()},
      {"Fourier transforms", family::fourier()},
      {"Random draws", family::random()},
      {"Random distributions", family::distributions()},
      {"Callbacks and results", family::control()},
      {"Control flow", family::control_flow()},
      {"Placement", family::placement()},
  };
  return families;
}

std::span<const Op* const> all_ops() {
  static const std::vector<const Op*> rows = [] {
    std::vector<const Op*> all;
    for (const Family& family : catalogue())
      all.insert(all.end(), family.rows.begin(), family.rows.end());
    return all;
  }();
  return rows;
}

const Op* find_op(std::string_view name) {
  static const std::unordered_map<std::string_view, const Op*> by_name = [] {
    std::unordered_map<std::string_view, const Op*> map;
    for (const Op* op : all_ops()) map.emplace(op->name, op);
    return map;
  }();
  const auto found = by_name.find(name);
  return found == by_name.end() ? nullptr : found->second;
}

namespace {

ScalarValue converted(ScalarBuilder& b, ScalarValue x, DType from, DType to) {
  return from == to ? x : b.convert(x, from, to);
}

}  // namespace

ScalarProgram pointwise_program(const Node& node) {
  const auto& meaning = std::get<Pointwise>(node.op().meaning);
  assert(node.type().dtype);
  ScalarBuilder b;
  std::vector<ScalarValue> operands;
  for (std::size_t i = 0; i < node.inputs().size(); ++i) {
    const DType stored = *node.input(i)->type().dtype;
    const DType met = *operand_dtype(meaning.operands, node.inputs(), i);
    const ScalarValue x = converted(b, b.input(static_cast<int>(i), stored), stored, met);
    operands.push_back(converted(b, x, met, compute_dtype(met)));
  }
  const ScalarValue result = meaning.emit(b, operands, node.attrs());
  const ScalarValue stored[] = {converted(b, result, result.dtype(), *node.type().dtype)};
  return b.finish(stored);
}

ScalarProgram conversion_program(DType from, DType to) {
  ScalarBuilder b;
  const ScalarValue stored[] = {converted(b, b.input(0, from), from, to)};
  return b.finish(stored);
}

}  // namespace weft::ir
