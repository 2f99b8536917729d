// Row × sample × dtype × layout: the row's reference in double against the interpreter against
// native code; extents known and unknown; fused and one kernel an operation.
#include <doctest/doctest.h>

#include <chrono>
#include <map>
#include <set>

#include "generated.h"
#include "ir/ops/fourier.h"
#include "ir/ops/spatial.h"

using namespace weft;
using namespace weft::generated;
using frontend::Tier;

namespace {

std::vector<Case> all_cases() {
  std::vector<Case> cases;
  std::mt19937 rng(2024);
  for (const ir::Op* op : ir::all_ops()) {
    if (!has_samples(*op)) continue;
    for (std::size_t s = 0; s < op->samples.make().size(); ++s)
      for (const DType t : dtypes_of(*op))
        for (const Layout layout : layouts)
          for (Case& c : make_cases(*op, s, t, layout, rng)) cases.push_back(std::move(c));
  }
  return cases;
}

/// Every `step`th case, beginning with the first of each row.
std::vector<Case> thinned(const std::vector<Case>& cases, std::size_t step) {
  std::vector<Case> some;
  const ir::Op* last = nullptr;
  for (std::size_t i = 0; i < cases.size(); ++i) {
    if (cases[i].op != last || i % step == 0) some.push_back(cases[i]);
    last = cases[i].op;
  }
  return some;
}

/// Failures, the first of each row in words.
class Failures {
 public:
  void add(const Case& c, const std::string& what) {
    ++count_;
    if (++rows_[c.op->name] <= 2) FAIL_CHECK(c.name << ": " << what);
  }
  ~Failures() {
    for (const auto& [row, n] : rows_)
      if (n > 2) MESSAGE(row << ": " << n << " cases failed");
  }
  [[nodiscard]] std::size_t count() const { return count_; }

 private:
  std::size_t count_ = 0;
  std::map<std::string_view, int> rows_;
};

void compare_bits(const std::vector<Case>& cases, const std::vector<Outcome>& got,
                  const std::vector<Outcome>& want) {
  Failures failures;
  for (std::size_t i = 0; i < cases.size(); ++i) {
    if (!want[i].value) continue;  // told elsewhere
    if (!got[i].value)
      failures.add(cases[i], "threw " + got[i].error);
    else if (const std::string d = bit_difference(*got[i].value, *want[i].value); !d.empty())
      failures.add(cases[i], d);
  }
  CHECK(failures.count() == 0);
}

bool sums(const Case& c) {
  return !std::holds_alternative<ir::Pointwise>(c.op->meaning) &&
         !std::holds_alternative<ir::View>(c.op->meaning) &&
         !std::holds_alternative<ir::Regions>(c.op->meaning);
}

/// Which routine multiplies, and so in which order it adds, depends on what is known of the
/// extents: with unknown ones these are compared with the reference, not bit for bit.
bool multiplies(const ir::Op* op) {
  return std::holds_alternative<ir::ContractionMeaning>(op->meaning) ||
         op == &ir::ops::convolution || op == &ir::ops::convolution_transpose ||
         op == &ir::ops::convolution_grad_x || op == &ir::ops::convolution_grad_w;
}

/// How many terms meet in one element at most: the summed extent of a product, the share of a
/// reduction.
std::size_t terms_of(const Case& c, std::size_t elements, std::size_t results) {
  std::size_t longest = elements / std::max<std::size_t>(results, 1);
  if (std::holds_alternative<ir::ContractionMeaning>(c.op->meaning) && !c.values[0].shape.empty())
    longest = std::max(longest, static_cast<std::size_t>(c.values[0].shape.back()));
  return std::max<std::size_t>(longest, 1);
}

/// How many operands meet in one result of a transform, each times a number of magnitude 1, and the
/// scale: the reference on magnitudes would not bound that, since its terms cancel.
double fft_terms(const Case& c) {
  const auto& dft = c.attrs.get<ir::DftAttrs>();
  const Shape& shape = c.values[0].shape;
  const std::int64_t rank = std::ssize(shape) - (dft.form == "real" ? 0 : 1);
  const auto axis = static_cast<std::size_t>(dft.axis < 0 ? dft.axis + rank : dft.axis);
  const auto points = static_cast<double>(
      std::max(shape[axis], (*to_shape(*c.node->type().shape))[axis]));
  const double size = dft.scale == "n" ? 1 : dft.scale == "root" ? std::sqrt(points) : points;
  return size * std::max(dft.weight, 1.0);
}

/// What rounding in sums is relative to: the reference on magnitudes, and the operands themselves
/// where a row is made of several operations.
std::vector<double> magnitudes(const Case& c, std::size_t count) {
  if (!sums(c)) return std::vector<double>(count, 0.0);
  std::vector<ir::RefArray> absolute = c.values;
  double largest = 0;
  for (ir::RefArray& v : absolute)
    if (is_floating(v.dtype))
      for (double& x : v.data) largest = std::max(largest, x = std::fabs(x));
  const auto* loops = std::get_if<ir::Extern>(&c.op->meaning);
  if (loops && loops->kind == ir::ExternKind::fft)
    return std::vector<double>(count, largest * fft_terms(c));
  std::vector<double> result = reference(c, absolute).data;
  if (std::holds_alternative<ir::Expansion>(c.op->meaning))
    for (double& x : result) x = std::max(std::fabs(x), largest);
  return result;
}

void compare_with_reference(const std::vector<Case>& cases, const std::vector<Outcome>& got) {
  Failures failures;
  for (std::size_t i = 0; i < cases.size(); ++i) {
    const Case& c = cases[i];
    if (!got[i].value) {
      failures.add(c, "threw " + got[i].error);
      continue;
    }
    const ir::RefArray want = reference(c, c.values);
    const Array& value = *got[i].value;
    if (value.shape() != want.shape || value.dtype() != *c.node->type().dtype ||
        to_dims(value.shape()) != *c.node->type().shape) {
      failures.add(c, "has shape " + to_string(value.shape()) + ", the reference " +
                          to_string(want.shape) + ", the type rule " + to_string(c.node->type()));
      continue;
    }
    const std::vector<double> numbers = to_doubles(value), sizes = magnitudes(c, numbers.size());
    std::size_t elements = 0;
    for (const ir::RefArray& v : c.values) elements = std::max(elements, v.data.size());
    const std::size_t terms = sums(c) ? terms_of(c, elements, numbers.size()) : 1;
    for (std::size_t k = 0; k < numbers.size(); ++k) {
      const double expected =
          is_floating(value.dtype()) ? want.data[k] : stored_as(value.dtype(), want.data[k]);
      const double rounded = stored_as(value.dtype(), expected);
      if (numbers[k] == rounded || (std::isnan(numbers[k]) && std::isnan(rounded))) continue;
      const double allowed = tolerance(c, value.dtype(), expected, sizes[k], terms);
      if (std::fabs(numbers[k] - expected) <= allowed) continue;
      std::ostringstream out;
      out.precision(17);
      out << "element " << k << " of " << to_string(value.shape()) << " is " << numbers[k]
          << ", the reference " << expected << " (allowed " << allowed << ")";
      failures.add(c, out.str());
      break;
    }
  }
  CHECK(failures.count() == 0);
}

struct Clock {
  std::chrono::steady_clock::time_point start = std::chrono::steady_clock::now();
  [[nodiscard]] double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }
};

}  // namespace

TEST_CASE("Generated: every row against its reference, interpreted and compiled") {
  const bool full = full_run();
  const std::vector<Case> cases = all_cases();
  Clock clock;
  const std::vector<Outcome> interpreted = run_all(cases, {});
  compare_with_reference(cases, interpreted);
  MESSAGE(cases.size() << " cases interpreted and compared with references in " << clock.seconds()
                       << " s");

  clock = {};
  const std::vector<Outcome> unfused = run_all(cases, {.fuse = false});
  {
    INFO("one kernel an operation");
    compare_bits(cases, unfused, interpreted);
  }
  MESSAGE(cases.size() << " cases unfused in " << clock.seconds() << " s");

  clock = {};
  const std::vector<Outcome> symbolic = run_all(cases, {.symbolic = true});
  std::vector<Outcome> known = interpreted;
  std::map<std::string_view, int> refused;
  std::size_t refusals = 0;
  std::vector<Case> products;
  std::vector<Outcome> product_values;
  for (std::size_t i = 0; i < cases.size(); ++i) {
    const Case& c = cases[i];
    if (!symbolic[i].value &&
        symbolic[i]
            .shape_error) {  // a shape written into its attributes, or an equality that fails
      known[i].value.reset();
      ++refused[c.op->name];
      ++refusals;
    } else if (c.op == &ir::ops::squeeze && c.layout == Layout::sliced) {
      known[i]
          .value
          .reset();  // the extents of a slice of unknown extents are taken to be more than one
      ++refusals;
    } else if (multiplies(c.op)) {
      known[i].value.reset();
      products.push_back(c);
      product_values.push_back(symbolic[i]);
    }
  }
  {
    INFO("extents unknown");
    compare_bits(cases, symbolic, known);
    compare_with_reference(products, product_values);
  }
  std::string rows;
  for (const auto& [row, n] : refused) rows += " " + std::string(row) + " " + std::to_string(n);
  MESSAGE((cases.size() - refusals)
          << " cases with unknown extents in " << clock.seconds() << " s, " << refusals
          << " refused by their type rule:" << rows);

  for (const bool unknown : {false, true}) {
    clock = {};
    const std::vector<Case> some = full ? cases : thinned(cases, unknown ? 83 : 37);
    const std::vector<Outcome> native =
        run_all(some, {.tier = Tier::compiled, .symbolic = unknown});
    std::map<std::string_view, const Outcome*> by_name;
    for (std::size_t i = 0; i < cases.size(); ++i)
      by_name[cases[i].name] = &(unknown ? known : interpreted)[i];
    std::vector<Outcome> want;
    for (const Case& c : some) want.push_back(*by_name.at(c.name));
    {
      INFO("native code");
      compare_bits(some, native, want);
    }
    MESSAGE(some.size() << " cases as native code, extents "
                        << std::string(unknown ? "unknown" : "known") << ", in " << clock.seconds()
                        << " s, " << cases.size() - some.size() << " left out");
  }
}
