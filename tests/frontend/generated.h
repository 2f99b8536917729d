// Tests that are derived from the catalogue: row × sample × dtype × layout. What all of them share:
// cases with their values, programs over many cases at once, and comparisons.
//
// A layout is how an operand lies in memory. The row reads it through a view of the input, which
// the compiler resolves into the kernel's own reads; so every layout tests index maps and not a
// copy made beforehand.
#pragma once

#include <cmath>
#include <cstdint>
#include <memory>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "compile.h"
#include "ir/builder.h"
#include "ir/ops/attrs.h"
#include "ir/ops/ops.h"
#include "runtime/array.h"

namespace weft::generated {

enum class Layout : std::uint8_t { contiguous, transposed, broadcast, negative, sliced, empty };
inline constexpr Layout layouts[] = {Layout::contiguous, Layout::transposed, Layout::broadcast,
                                     Layout::negative,   Layout::sliced,     Layout::empty};

/// One application of a row.
struct Case {
  const ir::Op* op = nullptr;
  ir::Attrs attrs;
  DType dtype{};
  Layout layout{};
  std::string name;                   // `add[1] float32 transposed`
  std::vector<ir::RefArray> values;   // of the operands, as the row sees them
  std::vector<ir::NodeRef> inputs;    // placeholders, one an operand
  std::vector<Array> arrays;          // their values, as they lie in memory
  std::vector<ir::NodeRef> operands;  // views of the inputs
  ir::NodeRef node;                   // of a row with several results: this one of them
  std::size_t result = 0;
};

/// Everything, or (where nothing is set) a fixed sample: WEFT_TEST_FULL.
bool full_run();

/// And is wanted: WEFT_TEST_ROWS, where set, names the rows that are (`sort,topk`).
bool has_samples(const ir::Op&);
std::vector<DType> dtypes_of(const ir::Op&);

/// One for each result of the row, on the same operands. None where the row refuses this sample in
/// this layout (no elements to choose from, a shape in its attributes), or 16-bit floats.
std::vector<Case> make_cases(const ir::Op&, std::size_t sample, DType, Layout, std::mt19937&);

/// The row's own reference on these values, for the case's result.
ir::RefArray reference(const Case&, std::span<const ir::RefArray> values);

/// How far a result may be from the reference's element: the row's ulps of the result's dtype, or,
/// where sums are taken, of the sum of magnitudes; `terms` meet in one element.
double tolerance(const Case&, DType result, double want, double magnitude, std::size_t terms);

// ---- programs -----------------------------------------------------------------------------------

struct Options {
  frontend::Tier tier = frontend::Tier::interpreted;  // on the processor
  bool fuse = true;
  bool symbolic = false;  // every extent from 2 on is unknown; equal ones share a symbol
  Device device = {};
};

/// Types of these arrays as `options` wants them.
std::vector<ir::Type> types_of(std::span<const Array> arrays, const Options& options);
/// One call, wherever the program runs; values come from the processor and go there.
std::vector<Array> run(const runtime::Program& program, std::span<const Array> arrays);
/// Compiles and runs a graph.
std::vector<Array> run(std::vector<ir::NodeRef> inputs, std::vector<ir::NodeRef> outputs,
                       std::span<const Array> arrays, const Options& options);

/// The outcome of one case: a value, or what was thrown.
struct Outcome {
  std::optional<Array> value;
  std::string error;
  bool shape_error = false;
};
/// All cases, many to a program; where a program cannot be made, its cases one by one.
std::vector<Outcome> run_all(std::span<const Case> cases, const Options& options);

// ---- comparisons --------------------------------------------------------------------------------

std::vector<double> to_doubles(const Array&);
/// Element by element as stored; all NaNs are equal. Empty where they agree, else what differs.
std::string bit_difference(const Array& got, const Array& want);
/// The double `x` as an element of `dtype` holds it: rounded, or wrapped.
double stored_as(DType, double x);
/// An array of these values.
Array to_array(const ir::RefArray&);
double dot(std::span<const double> a, std::span<const double> b);

}  // namespace weft::generated
