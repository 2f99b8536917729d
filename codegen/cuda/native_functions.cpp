#include "codegen/cuda/native_functions.h"

#include <algorithm>
#include <vector>

#include "ir/scalar_math.h"
#include "ir/scalar_math_special.h"

namespace weft::codegen {
namespace {

namespace math = ir::math;
using ir::ScalarInst, ir::ScalarOp, ir::ScalarProgram, ir::ScalarValue;

struct Pattern {
  std::string_view function;
  ScalarProgram program;  // of one or two inputs
};

std::vector<Pattern> make_patterns() {
  std::vector<Pattern> all;
  const auto add = [&](std::string_view function, ScalarValue (*of)(ScalarValue)) {
    ir::ScalarBuilder b;
    const std::vector<ScalarValue> result{of(b.input(0, DType::float32))};
    all.push_back({function, b.finish(result)});
  };
  const auto add_two = [&](std::string_view function, ScalarValue (*of)(ScalarValue, ScalarValue)) {
    ir::ScalarBuilder b;
    const ScalarValue x = b.input(0, DType::float32);
    const std::vector<ScalarValue> result{of(x, b.input(1, DType::float32))};
    all.push_back({function, b.finish(result)});
  };
  add("weft_native_exp", math::exp);
  add("weft_native_exp2", math::exp2);
  add("logf", math::log);
  add("log2f", math::log2);
  add("log10f", math::log10);
  add("log1pf", math::log1p);
  add("sinf", math::sin);
  add("cosf", math::cos);
  add("tanf", math::tan);
  add("asinf", math::asin);
  add("acosf", math::acos);
  add("atanf", math::atan);
  add("sinhf", math::sinh);
  add("coshf", math::cosh);
  add("tanhf", math::tanh);
  add("asinhf", math::asinh);
  add("acoshf", math::acosh);
  add("atanhf", math::atanh);
  add("erff", math::erf);
  add("erfcf", math::erfc);
  add("weft_native_sigmoid", math::sigmoid);
  add("weft_native_silu", math::silu);
  add("weft_native_gelu", math::gelu);
  add("weft_native_gelu_tanh", math::gelu_tanh);
  add_two("weft_native_gelu_tanh_grad", math::gelu_tanh_grad);
  add_two("atan2f", math::atan2);
  add_two("powf", math::pow);
  return all;
}

/// One attempt to find a pattern's instructions in a program.
class Match {
 public:
  Match(const ScalarProgram& pattern, const ScalarProgram& in)
      : pattern_(pattern), in_(in), met_(pattern.code.size(), -1) {}

  bool at(std::int32_t n) { return same(pattern_.outputs[0], n); }
  [[nodiscard]] std::array<std::int32_t, 2> operands() const { return operands_; }

 private:
  bool same(std::int32_t p, std::int32_t n) {
    if (p < 0 || n < 0) return p == n;
    std::int32_t& met = met_[static_cast<std::size_t>(p)];
    if (met >= 0) return met == n;
    const ScalarInst& want = pattern_.code[static_cast<std::size_t>(p)];
    const ScalarInst& have = in_.code[static_cast<std::size_t>(n)];
    if (want.dtype != have.dtype) return false;
    if (want.op == ScalarOp::input) {
      operands_[want.imm] = n;
    } else {
      if (want.op != have.op || !same_data(want, have)) return false;
      const std::vector<std::int32_t> before = met_;
      const bool as_is = same(want.a, have.a) && same(want.b, have.b) && same(want.c, have.c);
      if (!as_is) {
        if (!ir::commutes(want.op)) return false;
        met_ = before;
        if (!same(want.a, have.b) || !same(want.b, have.a)) return false;
      }
    }
    met_[static_cast<std::size_t>(p)] = n;
    return true;
  }
  bool same_data(const ScalarInst& want, const ScalarInst& have) const {
    if (want.op != ScalarOp::lookup) return want.imm == have.imm;
    return pattern_.tables[want.imm] == in_.tables[have.imm];
  }

  const ScalarProgram &pattern_, &in_;
  std::vector<std::int32_t> met_;  // of each of the pattern's instructions
  std::array<std::int32_t, 2> operands_{-1, -1};
};

}  // namespace

std::optional<NativeCall> native_call(const ScalarProgram& p, std::int32_t n) {
  static const std::vector<Pattern> patterns = make_patterns();
  const ScalarInst& end = p.code[static_cast<std::size_t>(n)];
  if (end.dtype != DType::float32) return std::nullopt;
  for (const Pattern& pattern : patterns) {
    if (pattern.program.code[static_cast<std::size_t>(pattern.program.outputs[0])].op != end.op)
      continue;
    Match match(pattern.program, p);
    if (match.at(n)) return NativeCall{pattern.function, match.operands()};
  }
  return std::nullopt;
}

}  // namespace weft::codegen
