// Functions that CUDA has its own of are found in the programs that they were built into, whatever
// stands around them, and in no others.
#include "codegen/cuda/native_functions.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "codegen/cuda/scalar_text.h"
#include "ir/scalar_math.h"
#include "ir/scalar_math_special.h"

using namespace weft;
namespace math = ir::math;
using ir::ScalarBuilder, ir::ScalarOp, ir::ScalarProgram, ir::ScalarValue;

namespace {

/// Calls that are found in the program: `name(op of the operand)`, in the program's order.
std::vector<std::string> calls(const ScalarProgram& p) {
  std::vector<std::string> found;
  for (std::size_t n = 0; n < p.code.size(); ++n) {
    const auto call = codegen::native_call(p, static_cast<std::int32_t>(n));
    if (!call) continue;
    const auto operand = p.code[static_cast<std::size_t>(call->operands[0])];
    found.push_back(std::string(call->function) + (operand.op == ScalarOp::mul ? " of mul" : ""));
  }
  return found;
}

template <class Build> ScalarProgram program(DType t, Build&& build) {
  ScalarBuilder b;
  const ScalarValue x = b.input(0, t), y = b.input(1, t);
  const std::vector<ScalarValue> result{build(x, y)};
  return b.finish(result);
}

}  // namespace

TEST_CASE("CUDA: functions of a device's own are found where programs were built of them") {
  const std::pair<const char*, ScalarValue (*)(ScalarValue)> functions[] = {
      {"weft_native_exp", math::exp},
      {"weft_native_exp2", math::exp2},
      {"logf", math::log},
      {"log2f", math::log2},
      {"log10f", math::log10},
      {"log1pf", math::log1p},
      {"sinf", math::sin},
      {"cosf", math::cos},
      {"tanf", math::tan},
      {"asinf", math::asin},
      {"acosf", math::acos},
      {"atanf", math::atan},
      {"sinhf", math::sinh},
      {"coshf", math::cosh},
      {"tanhf", math::tanh},
      {"asinhf", math::asinh},
      {"acoshf", math::acosh},
      {"atanhf", math::atanh},
      {"erff", math::erf},
      {"erfcf", math::erfc},
      {"weft_native_sigmoid", math::sigmoid},
      {"weft_native_silu", math::silu},
      {"weft_native_gelu", math::gelu},
      {"weft_native_gelu_tanh", math::gelu_tanh},
  };
  for (const auto& [name, of] : functions) {
    CAPTURE(name);
    const auto within = [&](DType t) {
      return calls(program(
          t, [&](const ScalarValue& x, const ScalarValue& y) { return of(x * y) * 2.0 + y; }));
    };
    const std::vector<std::string> found = within(DType::float32);
    CHECK(std::ranges::count(found, std::string(name) + " of mul") == 1);
    CHECK(within(DType::float64).empty());
  }
  const auto power = program(DType::float32, [](const ScalarValue& x, const ScalarValue& y) {
    return math::pow(x, y) + math::atan2(y, x) + math::gelu_tanh_grad(x, y);
  });
  for (const char* name : {"powf", "atan2f", "weft_native_gelu_tanh_grad"}) {
    CAPTURE(name);
    CHECK(std::ranges::count(calls(power), name) == 1);
  }
  const auto both = program(DType::float32, [](const ScalarValue& x, const ScalarValue& y) {
    return math::tanh(math::exp(x * y));
  });
  CHECK(calls(both) == std::vector<std::string>{"weft_native_exp of mul", "tanhf"});
}

TEST_CASE("CUDA: what is nearly such a function is none") {
  ScalarProgram p = program(
      DType::float32, [](const ScalarValue& x, const ScalarValue& y) { return math::exp(x * y); });
  REQUIRE(calls(p).size() == 1);
  std::size_t changed = 0;
  for (ir::ScalarInst& inst : p.code) {
    if (inst.op != ScalarOp::constant || inst.dtype != DType::float32) continue;
    inst.imm ^= 1;
    CHECK(calls(p).empty());
    inst.imm ^= 1;
    ++changed;
  }
  CHECK(changed > 5);
  CHECK(calls(program(DType::float32, [](const ScalarValue& x, const ScalarValue& y) {
          return fma(x, y, x) / y;
        })).empty());
}

TEST_CASE("CUDA: native functions stand beside the processor's in the text") {
  codegen::TextWriter out;
  const ScalarProgram p = program(
      DType::float32, [](const ScalarValue& x, const ScalarValue&) { return math::tanh(x) * 2.0; });
  (void)codegen::write_program(out, p, {"x", "y"}, {}, "v", "table");
  const std::string& text = out.text();
  const std::size_t at = text.find("= tanhf(x);");
  REQUIRE(at != std::string::npos);
  CHECK(text.rfind("#ifdef WEFT_FAST_MATH", at) < at);
  CHECK(text.find("#else", at) < text.find("#endif", at));
}
