// Measures the worst error of every transcendental of ir/scalar_math.h against libm, of the special
// functions against series in long double, and of every other pointwise row of one operand (float32
// alone) against the row's own reference: float32 over all 2^32 inputs or every n-th, float64 and
// functions of two operands over a random sample. Exit code 1 where a stated bound is broken.
#include <algorithm>
#include <cstdio>
#include <random>
#include <string>
#include <thread>

#include "ir/builder.h"
#include "ir/op.h"
#include "tools/program/program.h"
#include "tools/ulp/scalar_blocks.h"
#include "tools/ulp/scalar_math_cases.h"
#include "tools/ulp/special_cases.h"

namespace {

using namespace weft;
using check::block_size;

struct Worst {
  double ulp = 0;
  double at = 0, at_second = 0;
  void add(double error, double x, double y = 0) {
    if (error > ulp) *this = {error, x, y};
  }
};

template <class T> ir::ScalarProgram program_of(ir::ScalarValue (*build)(ir::ScalarValue)) {
  ir::ScalarBuilder b;
  const ir::ScalarValue result = build(b.input(0, dtype_of<T>));
  return b.finish(std::span(&result, 1));
}

template <class T>
ir::ScalarProgram program_of(ir::ScalarValue (*build)(ir::ScalarValue, ir::ScalarValue)) {
  ir::ScalarBuilder b;
  const ir::ScalarValue x = b.input(0, dtype_of<T>);
  const ir::ScalarValue result = build(x, b.input(1, dtype_of<T>));
  return b.finish(std::span(&result, 1));
}

/// Calls `part(number)` on each thread and keeps the worst of the answers.
template <class F> Worst on_threads(unsigned count, F part) {
  std::vector<Worst> found(count);
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < count; ++i) threads.emplace_back([&, i] { found[i] = part(i); });
  for (std::thread& t : threads) t.join();
  return *std::ranges::max_element(found, {}, &Worst::ulp);
}

/// `nan_too`: what becomes of NaN counts as well.
Worst measure_floats(const ir::ScalarProgram& program, double (*reference)(double), bool nan_too,
                     std::uint64_t stride, unsigned threads) {
  return on_threads(threads, [&](unsigned thread) {
    check::BlockRunner runner(program);
    Worst worst;
    std::vector<float> x(block_size);
    const std::uint64_t step = stride * block_size;
    for (std::uint64_t first = thread * step; first < std::uint64_t{1} << 32;
         first += threads * step) {
      for (std::size_t i = 0; i < block_size; ++i)
        x[i] = std::bit_cast<float>(static_cast<std::uint32_t>(first + i * stride));
      const void* const inputs[] = {x.data()};
      const auto* const got = static_cast<const float*>(runner.run(inputs));
      for (std::size_t i = 0; i < block_size; ++i) {
        if (!nan_too && std::isnan(x[i])) continue;
        const double exact = reference(x[i]);
        // Correctly rounded is at most a half; the exact fraction matters to nobody.
        const bool same = std::bit_cast<std::uint32_t>(got[i]) ==
                          std::bit_cast<std::uint32_t>(static_cast<float>(exact));
        worst.add(same ? 0.5 : check::ulp_error(got[i], exact), double{x[i]});
      }
    }
    return worst;
  });
}

/// All exponents alike, or around one: half of the sample each.
template <class T> T random_value(std::mt19937_64& random) {
  using Bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
  const auto any = std::bit_cast<T>(static_cast<Bits>(random()));
  if (random() % 2 == 0) return any;
  int exponent = 0;
  return std::ldexp(std::frexp(any, &exponent), static_cast<int>(random() % 24) - 12);
}

template <class T, class Case>
Worst measure_sample(const Case& c, std::uint64_t count, unsigned threads) {
  const ir::ScalarProgram program = program_of<T>(c.build);
  return on_threads(threads, [&](unsigned thread) {
    std::mt19937_64 random(thread + 1);
    check::BlockRunner runner(program);
    Worst worst;
    std::vector<T> x(block_size), y(block_size);
    for (std::uint64_t done = 0; done < count / threads; done += block_size) {
      std::ranges::generate(x, [&] { return random_value<T>(random); });
      std::ranges::generate(y, [&] { return random_value<T>(random); });
      const void* const inputs[] = {x.data(), y.data()};
      const auto* const got = static_cast<const T*>(runner.run(inputs));
      for (std::size_t i = 0; i < block_size; ++i) {
        if constexpr (std::is_same_v<Case, check::UnaryCase>)
          worst.add(check::ulp_error(got[i], c.exact(x[i])), static_cast<double>(x[i]));
        else
          worst.add(check::ulp_error(got[i], c.exact(x[i], y[i])), static_cast<double>(x[i]),
                    static_cast<double>(y[i]));
      }
    }
    return worst;
  });
}

bool report(std::string_view name, DType dtype, const ir::ScalarProgram& program,
            const Worst& worst, double bound) {
  const auto instructions = std::ranges::count_if(program.code, [](const ir::ScalarInst& i) {
    return ir::arity(i.op) > 0 && i.op != ir::ScalarOp::bitcast;
  });
  const bool good = worst.ulp <= bound;
  std::printf("%-8s %-8s %4td instructions  worst %8.4f ulp at %.17g %.17g  bound %g%s\n",
              std::string(name).c_str(), std::string(weft::name(dtype)).c_str(), instructions,
              worst.ulp, worst.at, worst.at_second, bound, good ? "" : "  EXCEEDED");
  std::fflush(stdout);
  return good;
}

/// The row on float32 operands.
ir::ScalarProgram row_program(const ir::Op& op) {
  const ir::NodeRef x = ir::make_input({DType::float32, Dims{Dim(1)}});
  return ir::pointwise_program(*ir::make_node(op, {x}));
}

/// Rows of one operand and no attributes that are functions of floats.
bool is_plain_function(const ir::Op& op) {
  const auto* const pointwise = std::get_if<ir::Pointwise>(&op.meaning);
  return pointwise && op.max_inputs == 1 && op.reference.unary && !op.parse_attrs &&
         (op.samples.dtypes & ir::Samples::floats) != 0 &&
         (pointwise->operands == ir::OperandRule::floating ||
          pointwise->operands == ir::OperandRule::arithmetic);
}

}  // namespace

int main(int argc, char** argv) {
  tools::Arguments app(
      "Worst error in ulp of each transcendental. Build with -O3 -march=native for speed.",
      "weft-ulp");
  std::uint64_t stride = 1, special_stride = 1009, sample = 1 << 22;
  unsigned threads = 2;
  std::vector<std::string> only;
  bool skip32 = false, skip64 = false;
  app.option("--stride", stride, "try every n-th float32 (1: all)").positive();
  app.option("--special-stride", special_stride,
             "of these, every n-th for the special functions, whose references are slow")
      .positive();
  app.option("--sample", sample, "random float64 inputs, and pairs");
  app.option("--threads", threads, "threads").positive();
  app.option("--only", only, "names of functions");
  app.flag("--no-float32", skip32, "leave out float32");
  app.flag("--no-float64", skip64, "leave out float64");
  return app.run(argc, argv, [&] {
    const auto wanted = [&](std::string_view name) {
      return only.empty() || std::ranges::find(only, name) != only.end();
    };
    bool good = true;
    std::vector<std::string_view> measured;
    const auto measure = [&](const check::UnaryCase& c, std::uint64_t steps) {
      measured.push_back(c.name);
      if (!wanted(c.name)) return;
      const ir::ScalarProgram program = program_of<float>(c.build);
      if (!skip32)
        good &= report(c.name, DType::float32, program,
                       measure_floats(program, c.reference, true, steps, threads), c.bound32);
      if (!skip64)
        good &= report(c.name, DType::float64, program_of<double>(c.build),
                       measure_sample<double>(c, sample, threads), c.bound64);
    };
    for (const check::UnaryCase& c : check::unary_cases) measure(c, stride);
    for (const check::BinaryCase& c : check::binary_cases) {
      if (!wanted(c.name)) continue;
      if (!skip32)
        good &= report(c.name, DType::float32, program_of<float>(c.build),
                       measure_sample<float>(c, sample, threads), c.bound32);
      if (!skip64)
        good &= report(c.name, DType::float64, program_of<double>(c.build),
                       measure_sample<double>(c, sample, threads), c.bound64);
    }
    for (const check::UnaryCase& c : check::special_cases) measure(c, stride * special_stride);
    for (const ir::Op* op : ir::all_ops()) {
      if (skip32 || !is_plain_function(*op) || !wanted(op->name)) continue;
      if (std::ranges::find(measured, op->name) != measured.end()) continue;
      const ir::ScalarProgram program = row_program(*op);
      const Worst worst = measure_floats(program, op->reference.unary, false, stride, threads);
      good &= report(op->name, DType::float32, program, worst, op->samples.ulp);
    }
    return good ? tools::done : tools::not_reached;
  });
}
