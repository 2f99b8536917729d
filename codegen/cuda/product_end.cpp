#include "codegen/cuda/product_end.h"

#include <array>
#include <map>

#include "ir/scalar_math.h"
#include "ir/scalar_math_special.h"

namespace weft::codegen {
namespace {

using ir::Kernel, ir::ProductEnd, ir::ScalarBuilder, ir::ScalarProgram, ir::ScalarValue;

/// Whether two programs compute the same from the same inputs, in whatever order they are written;
/// operands of additions may change places.
class Comparison {
 public:
  Comparison(const ScalarProgram& left, const ScalarProgram& right) : left_(left), right_(right) {}

  bool same(std::int32_t i, std::int32_t j) {
    if (i < 0 || j < 0) return i == j;
    const auto [it, fresh] = known_.try_emplace({i, j}, false);
    if (!fresh) return it->second;
    const ir::ScalarInst &x = left_.code[static_cast<std::size_t>(i)],
                         &y = right_.code[static_cast<std::size_t>(j)];
    bool equal = x.op == y.op && x.dtype == y.dtype && x.imm == y.imm;
    if (equal) {
      equal = same(x.a, y.a) && same(x.b, y.b) && same(x.c, y.c);
      if (!equal && x.op == ir::ScalarOp::add) equal = same(x.a, y.b) && same(x.b, y.a);
    }
    return known_[{i, j}] = equal;
  }

 private:
  const ScalarProgram &left_, &right_;
  std::map<std::pair<std::int32_t, std::int32_t>, bool> known_;
};

/// The number of the input that reads each part, -1 where none does.
struct Inputs {
  int product = -1, bias = -1, residual = -1;
};

/// The stage as a library's: factors and vectors of dtype `t`, sums in float32 or float64.
ScalarProgram expected(DType t, DType sum, const Inputs& in, ProductEnd::Kind kind,
                       bool bias_first) {
  ScalarBuilder b;
  const DType computed = compute_dtype(t);
  const auto lift = [&](ScalarValue v) { return b.convert(v, t, computed); };
  const auto lower = [&](ScalarValue v) { return b.convert(v, computed, t); };
  ScalarValue value = b.convert(b.input(in.product, sum), sum, t);
  const auto add = [&](int input) {
    if (input >= 0) value = lower(lift(value) + lift(b.input(input, t)));
  };
  add(bias_first ? in.bias : in.residual);
  add(bias_first ? in.residual : in.bias);
  switch (kind) {
    case ProductEnd::Kind::none: break;
    case ProductEnd::Kind::gelu: value = lower(ir::math::gelu_tanh(lift(value))); break;
  }
  return b.finish(std::array{value});
}

}  // namespace

bool suits_library(const Kernel& k) {
  const ir::Contraction& c = *k.contraction;
  const DType t = k.buffers[static_cast<std::size_t>(c.a)].dtype;
  return c.precision != MatmulPrecision::exact && !c.gather && is_floating(t);
}

std::optional<ProductEnd> find_product_end(const Kernel& k) {
  if (!k.contraction || k.stages.size() != 1 || k.contraction->kept) return std::nullopt;
  const ir::Stage& stage = k.stages[0];
  if (stage.sinks.size() != 1 || stage.sources.size() > 3) return std::nullopt;
  const auto access = [&](int id) -> const ir::Access& {
    return k.accesses[static_cast<std::size_t>(id)];
  };
  const auto dtype = [&](int buffer) { return k.buffers[static_cast<std::size_t>(buffer)].dtype; };
  std::vector<Dim> dense(k.axes.size(), Dim(1)), vector(k.axes.size(), Dim(0));
  for (std::size_t i = k.axes.size() - 1; i-- > 0;) dense[i] = dense[i + 1] * k.axes[i + 1];
  for (std::size_t i = 0; i < k.axes.size(); ++i)
    if (k.axes[i] == Dim(1)) dense[i] = 0;  // as in all accesses
  vector.back() = dense.back();

  const ir::Access& result = access(stage.sinks[0].id);
  const DType t = dtype(k.contraction->a);
  if (!(is_floating(t)) || dtype(result.buffer) != t || result.strides != dense)
    return std::nullopt;
  ProductEnd end;
  end.out = result.buffer, end.out_offset = result.offset;
  Inputs inputs;
  for (std::size_t i = 0; i < stage.sources.size(); ++i) {
    const ir::Access& read = access(stage.sources[i].id);
    const int number = static_cast<int>(i);
    if (read.buffer == k.contraction->out && read.strides == dense && inputs.product < 0)
      inputs.product = number;
    else if (dtype(read.buffer) != t)
      return std::nullopt;
    else if (read.strides == dense && inputs.residual < 0)
      inputs.residual = number, end.residual = read.buffer, end.residual_offset = read.offset;
    else if (read.strides == vector && inputs.bias < 0)
      inputs.bias = number, end.bias = read.buffer, end.bias_offset = read.offset;
    else
      return std::nullopt;
  }
  if (inputs.product < 0) return std::nullopt;
  // Not relu: what NVIDIA says of it, max(x, 0), leaves open whether NaN stays, as it does here.
  for (const ProductEnd::Kind kind : {ProductEnd::Kind::none, ProductEnd::Kind::gelu}) {
    for (const bool bias_first : {true, false}) {
      const ScalarProgram wanted =
          expected(t, dtype(k.contraction->out), inputs, kind, bias_first);
      Comparison comparison(stage.body, wanted);
      const auto output = static_cast<std::size_t>(stage.sinks[0].output);
      if (!comparison.same(stage.body.outputs[output], wanted.outputs[0])) continue;
      end.kind = kind;
      return end;
    }
  }
  return std::nullopt;
}

}  // namespace weft::codegen
