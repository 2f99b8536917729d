// Scalar programs: opcode meanings against C++ spelled out here, the builder, the text form and the
// verifier.
#include "ir/scalar.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include "ir/error.h"

namespace {

using namespace weft;
using namespace weft::ir;
using Op = ScalarOp;

template <class T> std::uint64_t bits(T value) {
  std::uint64_t result = 0;
  std::memcpy(&result, &value, sizeof value);
  return result;
}

template <class T> T value_of(std::uint64_t b) {
  T result;
  std::memcpy(static_cast<void*>(&result), &b, sizeof result);
  return result;
}

template <class T> T run(Op op, T a, T b = {}, T c = {}) {
  return value_of<T>(evaluate(op, dtype_of<T>, dtype_of<T>, bits(a), bits(b), bits(c)));
}

template <class To, class From> To converted(From x) {
  return value_of<To>(evaluate(Op::convert, dtype_of<To>, dtype_of<From>, bits(x), 0, 0));
}

template <class T> bool test(Op op, T a, T b) {
  return evaluate(op, DType::boolean, dtype_of<T>, bits(a), bits(b), 0) != 0;
}

/// Evaluates a finished program one instruction at a time.
std::vector<std::uint64_t> interpret(const ScalarProgram& p,
                                     std::span<const std::uint64_t> inputs) {
  std::vector<std::uint64_t> values;
  for (const ScalarInst& i : p.code) {
    const auto at = [&](std::int32_t id) {
      return id < 0 ? 0 : values[static_cast<std::size_t>(id)];
    };
    if (i.op == Op::input)
      values.push_back(inputs[i.imm]);
    else if (i.op == Op::constant)
      values.push_back(i.imm);
    else if (i.op == Op::lookup)
      values.push_back(p.tables[i.imm].bits[at(i.a)]);
    else {
      const std::int32_t first = i.op == Op::select ? i.b : i.a;
      const DType operand = p.code[static_cast<std::size_t>(first)].dtype;
      values.push_back(evaluate(i.op, i.dtype, operand, at(i.a), at(i.b), at(i.c)));
    }
  }
  std::vector<std::uint64_t> results;
  for (const std::int32_t o : p.outputs) results.push_back(values[static_cast<std::size_t>(o)]);
  return results;
}

ScalarProgram finish(ScalarBuilder& b, std::initializer_list<ScalarValue> outputs) {
  ScalarProgram p = b.finish(std::span(outputs.begin(), outputs.size()));
  verify(p);
  return p;
}

constexpr auto min32 = std::numeric_limits<std::int32_t>::min();
constexpr auto max32 = std::numeric_limits<std::int32_t>::max();
constexpr auto min64 = std::numeric_limits<std::int64_t>::min();
constexpr float inf = std::numeric_limits<float>::infinity();
constexpr float quiet_nan = std::numeric_limits<float>::quiet_NaN();

}  // namespace

TEST_CASE("integer opcodes wrap and never trap") {
  CHECK(run<std::int32_t>(Op::add, max32, 1) == min32);
  CHECK(run<std::int32_t>(Op::sub, min32, 1) == max32);
  CHECK(run<std::int32_t>(Op::mul, 65536, 65536) == 0);
  CHECK(run<std::uint16_t>(Op::mul, 65535, 65535) == 1);
  CHECK(run<std::int8_t>(Op::add, 127, 1) == -128);
  CHECK(run<std::int32_t>(Op::div, -7, 2) == -3);
  CHECK(run<std::int32_t>(Op::div, 7, 0) == 0);
  CHECK(run<std::int32_t>(Op::div, min32, -1) == min32);
  CHECK(run<std::int64_t>(Op::div, min64, -1) == min64);
  CHECK(run<std::uint64_t>(Op::div, ~0ull, 2) == ~0ull / 2);
  CHECK(run<std::int32_t>(Op::rem, -7, 2) == -1);
  CHECK(run<std::int32_t>(Op::rem, 7, -2) == 1);
  CHECK(run<std::int32_t>(Op::rem, 7, 0) == 0);
  CHECK(run<std::int64_t>(Op::rem, min64, -1) == 0);
  CHECK(run<std::int32_t>(Op::neg, min32) == min32);
  CHECK(run<std::int32_t>(Op::abs, min32) == min32);
  CHECK(run<std::int8_t>(Op::abs, -5) == 5);
  CHECK(run<std::uint8_t>(Op::abs, 200) == 200);
  CHECK(run<std::int32_t>(Op::minimum, -1, 1) == -1);
  CHECK(run<std::uint32_t>(Op::maximum, 0xffffffffu, 1) == 0xffffffffu);
  CHECK(run<std::int32_t>(Op::mulhi, min32, min32) == 0x40000000);
  CHECK(run<std::uint32_t>(Op::mulhi, 0xffffffffu, 0xffffffffu) == 0xfffffffeu);
  CHECK(run<std::int64_t>(Op::mulhi, min64, 2) == -1);
  CHECK(run<std::uint64_t>(Op::mulhi, ~0ull, ~0ull) == ~0ull - 1);
}

TEST_CASE("scaling by a power of two rounds once") {
  CHECK(run<float>(Op::scale, 1.5f, 3.0f) == 12.0f);
  CHECK(run<float>(Op::scale, -1.25f, -126.0f) == -0x1.4p-126f);
  CHECK(run<float>(Op::scale, 0x1.000002p0f, -140.0f) == 0x1p-140f);
  CHECK(run<float>(Op::scale, 1.5f, -149.0f) == 0x1p-148f);  // half to even
  CHECK(run<float>(Op::scale, 1.0f, -151.0f) == 0.0f);
  CHECK(run<float>(Op::scale, 0.75f, 128.0f) == 0x1.8p127f);
  CHECK(std::isinf(run<float>(Op::scale, 1.0f, 128.0f)));
  CHECK(std::isnan(run<float>(Op::scale, std::nanf(""), std::nanf(""))));
  CHECK(run<float>(Op::ratio, 1.0f, 3.0f) == 0x1.555556p-2f);
  CHECK(run<float>(Op::ratio, 0x1p-149f, 1.0f) == 0x1p-149f);
  CHECK(std::isnan(run<float>(Op::ratio, 1.0f, std::nanf(""))));
}

TEST_CASE("bits and shifts, counts beyond the width included") {
  CHECK(run<std::uint8_t>(Op::bit_not, 0x0f) == 0xf0);
  CHECK(run<bool>(Op::bit_not, true) == false);
  CHECK(run<bool>(Op::bit_not, false) == true);
  CHECK(run<bool>(Op::bit_xor, true, true) == false);
  CHECK(run<std::int32_t>(Op::bit_and, -1, 12) == 12);
  CHECK(run<std::int32_t>(Op::shl, 1, 31) == min32);
  CHECK(run<std::int32_t>(Op::shl, 1, 32) == 0);
  CHECK(run<std::int32_t>(Op::shl, 1, -1) == 0);
  CHECK(run<std::uint8_t>(Op::shl, 255, 4) == 240);
  CHECK(run<std::int32_t>(Op::shr, -8, 1) == -4);
  CHECK(run<std::int32_t>(Op::shr, -8, 99) == -1);
  CHECK(run<std::int32_t>(Op::shr, 8, 32) == 0);
  CHECK(run<std::uint64_t>(Op::shr, ~0ull, 64) == 0);
  CHECK(run<std::uint64_t>(Op::shr, ~0ull, 63) == 1);
}

TEST_CASE("float opcodes: NaN, signed zeros, rounding") {
  CHECK(std::isnan(run<float>(Op::minimum, quiet_nan, 1)));
  CHECK(std::isnan(run<float>(Op::maximum, 1, quiet_nan)));
  CHECK(std::signbit(run<float>(Op::minimum, 0.0f, -0.0f)));
  CHECK(std::signbit(run<float>(Op::minimum, -0.0f, 0.0f)));
  CHECK_FALSE(std::signbit(run<float>(Op::maximum, -0.0f, 0.0f)));
  CHECK_FALSE(std::signbit(run<float>(Op::maximum, 0.0f, -0.0f)));
  CHECK(run<float>(Op::minimum, -inf, 1) == -inf);
  CHECK(run<double>(Op::rem, -5.5, 2) == -1.5);
  CHECK(std::isnan(run<double>(Op::rem, 1, 0)));
  CHECK(run<double>(Op::rint, 2.5) == 2);
  CHECK(run<double>(Op::rint, 3.5) == 4);
  CHECK(std::signbit(run<double>(Op::rint, -0.25)));
  CHECK(run<double>(Op::floor, -1.5) == -2);
  CHECK(run<double>(Op::ceil, -1.5) == -1);
  CHECK(run<double>(Op::trunc, -1.5) == -1);
  CHECK(run<float>(Op::sqrt, 2.0f) == 1.41421356f);
  CHECK(std::isnan(run<float>(Op::sqrt, -1.0f)));
  CHECK(std::signbit(run<float>(Op::neg, 0.0f)));
  CHECK(run<float>(Op::abs, -inf) == inf);
  CHECK(run<float>(Op::div, 1, 0) == inf);
  // One rounding: (1 + 2^-23)^2 - 1 - 2^-22 is 2^-46, which two roundings lose.
  const float a = 1 + 0x1p-23f;
  CHECK(run<float>(Op::fma, a, a, -1 - 0x1p-22f) == 0x1p-46f);
  CHECK(run<float>(Op::mul, 0x1p-126f, 0.5f) == 0x1p-127f);  // denormals are kept
  CHECK(test<float>(Op::ne, quiet_nan, quiet_nan));
  CHECK_FALSE(test<float>(Op::eq, quiet_nan, quiet_nan));
  CHECK_FALSE(test<float>(Op::le, quiet_nan, 1));
  CHECK(test<float>(Op::eq, 0.0f, -0.0f));
  CHECK(test<std::uint32_t>(Op::lt, 1, 0xffffffffu));
  CHECK_FALSE(test<std::int32_t>(Op::lt, 1, -1));
  CHECK(test<bool>(Op::lt, false, true));
  CHECK(evaluate(Op::select, DType::int32, DType::int32, 1, 7, 9) == 7);
  CHECK(evaluate(Op::select, DType::int32, DType::int32, 0, 7, 9) == 9);
}

TEST_CASE("conversions saturate, truncate and wrap") {
  CHECK(converted<std::int8_t>(300.7f) == 127);
  CHECK(converted<std::int8_t>(-300.0f) == -128);
  CHECK(converted<std::uint8_t>(-1.5f) == 0);
  CHECK(converted<std::uint8_t>(255.9) == 255);
  CHECK(converted<std::int32_t>(quiet_nan) == 0);
  CHECK(converted<std::int32_t>(-1.9) == -1);
  CHECK(converted<std::int32_t>(3e9f) == max32);
  CHECK(converted<std::int64_t>(0x1p63) == std::numeric_limits<std::int64_t>::max());
  CHECK(converted<std::int64_t>(-0x1p63) == min64);
  CHECK(converted<std::uint64_t>(inf) == ~0ull);
  CHECK(converted<std::uint64_t>(0x1.8p63) == 0xc000000000000000ull);
  CHECK(converted<bool>(0.25f) == true);
  CHECK(converted<bool>(quiet_nan) == true);
  CHECK(converted<bool>(-0.0f) == false);
  CHECK(converted<float>(true) == 1.0f);
  CHECK(converted<std::int8_t>(std::int32_t{-257}) == -1);
  CHECK(converted<std::uint32_t>(std::int8_t{-1}) == 0xffffffffu);
  CHECK(converted<float>(std::int32_t{16777217}) == 16777216.0f);
  CHECK(converted<float>(1e300) == inf);
  CHECK(converted<float>(float16::from_bits(1)) == 0x1p-24f);
  CHECK(converted<float16>(65520.0f).bits == 0x7c00);
}

TEST_CASE("folding a constant gives what running the program gives") {
  std::mt19937_64 random(7);
  for (int round = 0; round < 2000; ++round) {
    const auto x = static_cast<std::uint32_t>(random()), y = static_cast<std::uint32_t>(random());
    const auto build = [](ScalarBuilder& b, ScalarValue p, ScalarValue q) {
      const ScalarValue f = fma(p, q, p - q);
      const ScalarValue i = bitcast(p, DType::int32);
      const ScalarValue shifted = shr(i, 3) ^ b.convert(q, DType::float32, DType::int32);
      return select(lt(p, q), b.convert(shifted, DType::int32, DType::float32), maximum(f, q / p));
    };
    ScalarBuilder folded, plain;
    const ScalarValue constant = build(folded, folded.constant_bits(DType::float32, x),
                                       folded.constant_bits(DType::float32, y));
    REQUIRE(folded.inst(constant.id()).op == Op::constant);
    const ScalarValue p = plain.input(0, DType::float32);
    const ScalarProgram program = finish(plain, {build(plain, p, plain.input(1, DType::float32))});
    const std::uint64_t inputs[] = {x, y};
    const auto got = static_cast<std::uint32_t>(interpret(program, inputs)[0]);
    const auto expected = static_cast<std::uint32_t>(folded.inst(constant.id()).imm);
    const bool both_nan =
        std::isnan(std::bit_cast<float>(got)) && std::isnan(std::bit_cast<float>(expected));
    CHECK((got == expected || both_nan));
  }
}

TEST_CASE("bfloat16 is uint16 bits, rounded to nearest even") {
  ScalarBuilder b;
  const ScalarValue x = b.input(0, DType::float32);
  const ScalarValue h = b.input(1, DType::bfloat16);
  CHECK(h.dtype() == DType::uint16);
  const ScalarProgram p = finish(b, {b.convert(x, DType::float32, DType::bfloat16),
                                     b.convert(h, DType::bfloat16, DType::float32)});
  CHECK(p.inputs[1] == DType::uint16);
  std::mt19937_64 random(3);
  std::vector<std::uint32_t> samples{0,          0x80000000, 0x7f800000, 0xff800000, 0x7fc00000,
                                     0x7f800001, 0x7fffffff, 0xffffffff, 0x7f7fffff, 0x3f808000,
                                     0x3f818000, 0x3f808001, 1,          0x8000};
  for (int i = 0; i < 5000; ++i) samples.push_back(static_cast<std::uint32_t>(random()));
  for (const std::uint32_t s : samples) {
    const std::uint64_t inputs[] = {s, s & 0xffff};
    const auto got = interpret(p, inputs);
    const float value = std::bit_cast<float>(s);
    if (std::isnan(value))
      CHECK(std::isnan(float(bfloat16::from_bits(static_cast<std::uint16_t>(got[0])))));
    else
      CHECK(got[0] == bfloat16(value).bits);
    CHECK(got[1] == (s & 0xffff) << 16);
  }
}

TEST_CASE("equal instructions are one, identities vanish where they keep every bit") {
  ScalarBuilder b;
  const ScalarValue x = b.input(0, DType::float32), i = b.input(1, DType::int32);
  CHECK((x + 2.0).id() == (x + 2.0).id());
  CHECK((x * 1.0).id() == x.id());
  CHECK((x - 0.0).id() == x.id());
  CHECK((x + -0.0).id() == x.id());
  CHECK((x + 0.0).id() != x.id());  // -0 + 0 is 0
  CHECK((-(-x)).id() == x.id());
  CHECK((i + 0.0).id() == i.id());
  CHECK(shl(i, 0).id() == i.id());
  CHECK(select(b.constant(DType::boolean, 1), x, -x).id() == x.id());
  CHECK(b.convert(x, DType::float32, DType::float32).id() == x.id());
}

TEST_CASE("finish keeps what is needed; programs inline") {
  ScalarBuilder inner;
  (void)(inner.input(0, DType::float32) + 5.0);
  const ScalarValue second = inner.input(1, DType::float32);
  const ScalarTable table{DType::float32, {bits(1.0f), bits(-2.0f)}};
  const ScalarValue at = inner.convert(gt(second, 0), DType::boolean, DType::int32);
  const ScalarProgram p = finish(inner, {second * inner.lookup(table, at)});
  CHECK(p.inputs.size() == 2);
  CHECK(p.code.size() == 6);  // input, 0, lt, convert, lookup, mul

  ScalarBuilder outer;
  const ScalarValue x = outer.input(0, DType::float32);
  const ScalarValue operands[] = {x, x + 1.0};
  const ScalarProgram q = finish(outer, {outer.inline_program(p, operands)[0]});
  const std::uint64_t three[] = {bits(3.0f)};
  CHECK(value_of<float>(interpret(q, three)[0]) == -8.0f);
  const ScalarValue constants[] = {x, outer.constant(DType::float32, -3)};
  const ScalarValue folded = outer.inline_program(p, constants)[0];
  CHECK(value_of<float>(outer.inst(folded.id()).imm) == -3.0f);
}

TEST_CASE("the text form reads back exactly") {
  ScalarBuilder b;
  const ScalarValue x = b.input(0, DType::float32), d = b.input(2, DType::float64);
  const ScalarTable table{DType::float64, {bits(0.1), bits(-0.0), 0x7ff8000000000001}};
  const ScalarValue n = b.convert(b.index(1), DType::int64, DType::int32);
  const ScalarProgram p =
      finish(b, {fma(x, x * 0.1, b.constant(DType::float32, inf)), d + b.lookup(table, n),
                 b.constant_int(DType::int8, -3), b.constant(DType::float16, 1.5),
                 b.constant_int(DType::uint64, -1), b.constant_int(DType::int64, min64),
                 b.constant(DType::boolean, 1), b.constant_bits(DType::float32, 0x7fc12345),
                 b.constant_bits(DType::float32, 1), eq(x, -0.0)});
  const std::string text = to_string(p);
  CHECK(parse_scalar_program(text) == p);
  CHECK(to_string(parse_scalar_program(text)) == text);
  CHECK(text.find("mul.float32 %0") != std::string::npos);
}

TEST_CASE("text that is no program says where") {
  const auto message = [](std::string_view text) -> std::string {
    try {
      (void)parse_scalar_program(text);
    } catch (const ParseError& e) { return e.what(); }
    return "accepted";
  };
  const auto has = [&](std::string_view text, std::string_view part) {
    INFO(message(text));
    CHECK(message(text).find(part) != std::string::npos);
  };
  has("inputs float33\noutputs\n", "line 1, column 8");
  has("inputs bfloat16\noutputs\n", "bfloat16 never appears");
  has("inputs float32\n%0 = input.float32 1\noutputs %0\n", "line 2");
  has("inputs\n%0 = add.int8 %0 %1\noutputs %0\n", "not an earlier instruction");
  has("inputs\n  %0 = constant.int8 128\noutputs %0\n", "line 2, column 22");
  has("inputs\n%1 = constant.int8 1\noutputs %1\n", "expected %0");
  has("inputs\n%0 = frob.int8 1\noutputs %0\n", "unknown opcode 'frob'");
  has("inputs\n%0 = constant.float32 1.5x\noutputs %0\n", "expected a number");
  has("inputs\n%0 = constant.int8 1 2\noutputs %0\n", "'2' was not expected");
  has("inputs float32 int8\n%0 = input.float32 0\n%1 = input.int8 1\n%2 = add.float32 %0 "
      "%1\noutputs %2\n",
      "mixes operands");
  has("inputs\noutputs %0\n", "no such value");
  has("inputs\n", "expected 'outputs'");
  has("", "expected 'outputs'");
  has("inputs\noutputs\ninputs\n", "nothing may follow");
  has("table complex64 1\noutputs\n", "complex64 never appears");
}

TEST_CASE("the verifier names the instruction at fault") {
  ScalarBuilder b;
  const ScalarValue x = b.input(0, DType::float32);
  const ScalarProgram good = finish(b, {x + 1.0});
  const auto fails = [](const ScalarProgram& p, const char* what) {
    CHECK_THROWS_WITH_AS(verify(p), what, Error);
  };
  ScalarProgram bad = good;
  bad.code[2].a = 2;
  fails(bad, "scalar program: %2 (add.float32) refers to %2, which is not an earlier instruction");
  bad = good;
  bad.code[2].dtype = DType::int32;
  fails(bad, "scalar program: %2 (add.int32) does not take float32 to int32");
  bad = good;
  bad.outputs = {9};
  fails(bad, "scalar program: output %9 is not an instruction");
}
