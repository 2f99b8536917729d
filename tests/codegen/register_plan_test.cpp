// Orders of instructions and register plans, which are both plain data, against what they promise.
#include "codegen/register_plan.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>

#include "codegen/program_order.h"
#include "codegen/schedule.h"
#include "ir/scalar_math.h"
#include "kernel_samples.h"

using namespace weft;
using namespace weft::ir;
using codegen::RegisterStep;
using Kind = RegisterStep::Kind;

namespace {

/// Float arithmetic on earlier values, most of them used; the last ones are outputs.
ScalarProgram random_program(unsigned seed) {
  std::mt19937 engine(seed);
  const auto below = [&](std::size_t n) { return engine() % n; };
  ScalarBuilder b;
  std::vector<ScalarValue> values;
  const std::size_t inputs = 1 + below(3);
  for (std::size_t i = 0; i < inputs; ++i)
    values.push_back(b.input(static_cast<int>(i), DType::float32));
  for (std::size_t i = 0; i < 4; ++i)
    values.push_back(b.constant(DType::float32, static_cast<double>(i) + 0.25));
  const std::size_t length = 5 + below(60);
  for (std::size_t i = 0; i < length; ++i) {
    const auto any = [&] {  // of the latest
      return values[values.size() - 1 - below(std::min<std::size_t>(values.size(), 12))];
    };
    const ScalarValue x = any(), y = any(), z = any();
    switch (below(5)) {
      case 0: values.push_back(x + y); break;
      case 1: values.push_back(x * y); break;
      case 2: values.push_back(fma(x, y, z)); break;
      case 3: values.push_back(select(lt(x, y), z, x)); break;
      default: values.push_back(seed % 2 == 0 ? -x : x - y); break;
    }
  }
  const ScalarValue outputs[] = {values.back(), values[values.size() - 3]};
  return b.finish(outputs);
}

ScalarProgram sums_of_products(int pairs) {  // all products first
  ScalarBuilder b;
  std::vector<ScalarValue> products;
  for (int i = 0; i < pairs; ++i)
    products.push_back(b.input(2 * i, DType::float32) * b.input(2 * i + 1, DType::float32));
  ScalarValue sum = products[0];
  for (int i = 1; i < pairs; ++i) sum = sum + products[static_cast<std::size_t>(i)];
  return b.finish(std::span(&sum, 1));
}

/// Follows the plan; fails where a value is used that is in no register, or taken from memory where
/// it is not. Gives the most registers taken at once, as far as the plan can be held to it.
int follow(const ScalarProgram& p, const std::vector<codegen::RegisterStep>& steps, int vectors) {
  using Place = std::pair<std::int32_t, std::int32_t>;
  const auto is_constant = [&](std::int32_t id) {
    return p.code[static_cast<std::size_t>(id)].op == ScalarOp::constant;
  };
  std::map<Place, std::vector<std::size_t>> needs, arrivals;
  std::set<Place> computed, parked, available;
  bool good = true;
  for (std::size_t i = 0; i < steps.size(); ++i) {
    const auto& [kind, id, vector] = steps[i];
    const Place place{id, vector};
    if (kind == Kind::park) {
      good &= computed.contains(place) && parked.insert(place).second;  // once is enough
      needs[place].push_back(i);
      continue;
    }
    arrivals[place].push_back(i);
    if (kind == Kind::fetch) {
      good &= is_constant(id) || parked.contains(place);
      available.insert(place);
      continue;
    }
    good &= computed.insert(place).second;
    const ScalarInst& inst = p.code[static_cast<std::size_t>(id)];
    for (const std::int32_t operand : {inst.a, inst.b, inst.c}) {
      if (operand < 0) continue;
      const Place used{operand, is_constant(operand) ? 0 : vector};
      good &= available.contains(used);
      needs[used].push_back(i);
    }
    available.insert(place);
  }
  for (std::size_t id = 0; id < p.code.size(); ++id)
    for (std::int32_t v = 0; v < vectors; ++v)
      if (!is_constant(static_cast<std::int32_t>(id)))
        good &= computed.contains({static_cast<std::int32_t>(id), v});
  CHECK(good);
  std::vector<int> taken(steps.size() + 1);
  for (const auto& [place, arrived] : arrivals) {
    if (p.code[static_cast<std::size_t>(place.first)].dtype == DType::boolean) continue;
    for (std::size_t a = 0; a < arrived.size(); ++a) {
      const std::size_t until = a + 1 < arrived.size() ? arrived[a + 1] : steps.size();
      std::size_t end = arrived[a];
      for (const std::size_t need : needs[place])
        if (need > arrived[a] && need < until) end = std::max(end, need);
      for (std::size_t i = arrived[a]; i < end; ++i) ++taken[i];
    }
  }
  return *std::ranges::max_element(taken);
}

}  // namespace

TEST_CASE("an order in few registers computes the same") {
  for (unsigned seed = 0; seed < 200; ++seed) {
    CAPTURE(seed);
    const ScalarProgram program = random_program(seed);
    const ScalarProgram other = codegen::in_few_registers(program);
    CHECK_NOTHROW(verify(other));
    CHECK(other.code.size() == program.code.size());
    CHECK(codegen::most_alive(other) <= codegen::most_alive(program));
    std::vector<test::Bits> inputs;
    for (std::size_t i = 0; i < program.inputs.size(); ++i)
      inputs.push_back(std::bit_cast<std::uint32_t>(0.5f + static_cast<float>(i + seed % 7)));
    CHECK(test::run_program(other, inputs) == test::run_program(program, inputs));
  }
}

TEST_CASE("an order in few registers does not compute ahead") {
  const ScalarProgram program = sums_of_products(8);
  CHECK(codegen::most_alive(program) == 8 * 4 + 4);  // seven products, two factors
  CHECK(codegen::most_alive(codegen::in_few_registers(program)) == 3 * 4);  // a sum, two factors
}

TEST_CASE("a register plan keeps within its registers") {
  for (unsigned seed = 0; seed < 50; ++seed) {
    const ScalarProgram program = random_program(seed);
    const std::vector<bool> none(program.code.size());
    for (const int vectors : {1, 3, 6})
      for (const int lag : {0, 2, 5})
        for (const int registers : {5, 9, 31}) {
          CAPTURE(seed);
          CAPTURE(vectors);
          CAPTURE(lag);
          CAPTURE(registers);
          const auto steps =
              codegen::register_plan(program, none, {vectors, lag, registers, 16, 64, true});
          CHECK(follow(program, steps, vectors) <= registers);
        }
  }
}

TEST_CASE("a register plan parks nothing where there is room, and what is used last where not") {
  ScalarBuilder b;
  const ScalarValue x = b.input(0, DType::float32), y = x * x, z = y * y;
  const ScalarValue result = (z * z) * y * x;
  const ScalarProgram program = b.finish(std::span(&result, 1));
  const std::vector<bool> none(program.code.size());
  const auto count = [](const std::vector<RegisterStep>& steps, Kind kind) {
    return std::ranges::count(steps, kind, &RegisterStep::kind);
  };
  const auto roomy = codegen::register_plan(program, none, {2, 0, 31, 16, 64, true});
  CHECK(count(roomy, Kind::park) == 0);
  CHECK(count(roomy, Kind::fetch) == 0);
  const auto tight = codegen::register_plan(program, none, {1, 0, 2, 16, 64, true});
  REQUIRE(count(tight, Kind::park) == 1);
  const auto first = std::ranges::find(tight, Kind::park, &RegisterStep::kind);
  CHECK(program.code[static_cast<std::size_t>(first->inst)].op == ScalarOp::input);
}

TEST_CASE("a register plan fetches what is in memory, and leaves counts to shift by in place") {
  ScalarBuilder b;
  const ScalarValue x = b.input(0, DType::float32), scale = b.input(1, DType::float32);
  const ScalarValue bits = bitcast(x * scale + 1.5, DType::uint32);
  const ScalarValue result = bitcast(shl(bits, 3), DType::float32);
  const ScalarProgram program = b.finish(std::span(&result, 1));
  std::vector<bool> in_memory;
  for (const ScalarInst& inst : program.code)
    in_memory.push_back(inst.op == ScalarOp::input && inst.imm == 1);
  std::multiset<std::string> fetched;
  for (const RegisterStep& step :
       codegen::register_plan(program, in_memory, {2, 1, 31, 16, 64, true})) {
    const ScalarInst& inst = program.code[static_cast<std::size_t>(step.inst)];
    if (step.kind != Kind::fetch) continue;
    CHECK(step.vector == 0);
    fetched.insert(std::string(name(inst.op)) + " " + std::string(name(inst.dtype)));
  }
  CHECK(fetched == std::multiset<std::string>{"constant float32", "input float32"});
}

TEST_CASE("a schedule has vectors in flight by the waiting, the size and the length of a segment") {
  ScalarBuilder b;
  const ScalarValue result = math::tanh(b.input(0, DType::float32));
  const ScalarProgram program = b.finish(std::span(&result, 1));
  const codegen::Target wide{
      .processor = "any", .vector_bytes = 64, .vector_registers = 32, .mask_registers = true};
  const auto chosen = [&](std::vector<Dim> axes) {
    return codegen::choose_schedule(test::pointwise(std::move(axes), {DType::float32}, program),
                                    wide);
  };
  const codegen::Schedule flat = chosen({Dim(1 << 22)});
  CHECK(flat.planned);
  CHECK(flat.lanes == 16);
  CHECK(flat.in_flight >= 5);
  CHECK(flat.lag > 0);
  CHECK(chosen({Dim(300)}).in_flight <= 2);  // compiles sooner
  const codegen::Schedule rows = chosen({Dim(4096), Dim(256)});
  CHECK(rows.in_flight >= 4);
  CHECK(16 % rows.in_flight == 0);  // no vector of a row is left over
  CHECK(chosen({Dim(4096), Dim::symbol("s0")}).in_flight == flat.in_flight);
}
