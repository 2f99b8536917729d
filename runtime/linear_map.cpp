#include "runtime/linear_map.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <string>

namespace weft::runtime {
namespace {

using ir::ScalarValue;
using Row = std::vector<double>;

/// Equal but for signs, some of which differ.
bool mirrored(const Row& a, const Row& b) {
  const auto same_size = [](double x, double y) { return std::fabs(x) == std::fabs(y); };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), same_size) && a != b;
}

/// Σ row[j] · x[j], beginning where nothing has to be multiplied.
ScalarValue combination(ir::ScalarBuilder& b, const Row& row, const std::vector<ScalarValue>& x) {
  ScalarValue sum;
  const auto one = static_cast<std::size_t>(std::ranges::find(row, 1.) - row.begin());
  if (one < row.size()) sum = x[one];
  for (std::size_t j = 0; j < row.size(); ++j) {
    if (row[j] == 0 || j == one) continue;
    const ScalarValue c = b.constant(DType::float32, row[j]);
    sum = sum.id() < 0 ? x[j] * c : row[j] == 1 ? sum + x[j] : fma(x[j], c, sum);
  }
  return sum;
}

/// Neighbouring columns that mirror each other: sum and difference take the operands' places.
void join_columns(Matrix& matrix, std::vector<ScalarValue>& x) {
  for (std::size_t j = 0; j + 1 < x.size(); ++j) {
    const Matrix columns = transposed(matrix);
    if (!mirrored(columns[j], columns[j + 1])) continue;
    const ScalarValue sum = x[j] + x[j + 1], difference = x[j] - x[j + 1];
    x[j] = sum, x[j + 1] = difference;
    for (Row& row : matrix) {
      if (row[j] == row[j + 1])
        row[j + 1] = 0;
      else
        row[j + 1] = row[j], row[j] = 0;
    }
    ++j;
  }
}

ir::ScalarProgram program_of(Matrix matrix) {
  ir::ScalarBuilder b;
  std::vector<ScalarValue> x, out;
  for (std::size_t j = 0; j < matrix[0].size(); ++j)
    x.push_back(b.input(static_cast<int>(j), DType::float32));
  join_columns(matrix, x);
  for (std::size_t i = 0; i < matrix.size(); ++i) {
    if (i + 1 == matrix.size() || !mirrored(matrix[i], matrix[i + 1])) {
      out.push_back(combination(b, matrix[i], x));
      continue;
    }
    Row same(x.size()), opposite(x.size());
    for (std::size_t j = 0; j < x.size(); ++j)
      (matrix[i][j] == matrix[i + 1][j] ? same : opposite)[j] = matrix[i][j];
    const ScalarValue even = combination(b, same, x), odd = combination(b, opposite, x);
    out.push_back(even + odd);
    out.push_back(even - odd);
    ++i;
  }
  return b.finish(out);
}

constexpr std::size_t fixed_symbols = 4;  // count, length, the two strides; then offsets

Dim symbol(std::size_t number) { return Dim::symbol("s" + std::to_string(number)); }

ir::Kernel kernel_of(const Matrix& matrix) {
  const std::size_t inputs = matrix[0].size(), outputs = matrix.size();
  ir::Kernel kernel;
  kernel.axes = {symbol(0), symbol(1)};
  kernel.buffers = {{DType::float32, false}, {DType::float32, true}};
  kernel.symbols = static_cast<int>(fixed_symbols + inputs + outputs);
  ir::Stage stage;
  stage.body = program_of(matrix);
  for (std::size_t i = 0; i < inputs + outputs; ++i) {
    const int number = static_cast<int>(i), buffer = i < inputs ? 0 : 1;
    kernel.accesses.push_back(
        {buffer, symbol(fixed_symbols + i), {symbol(i < inputs ? 2 : 3), Dim(1)}});
    if (i < inputs)
      stage.sources.push_back({ir::Source::Kind::load, number});
    else
      stage.sinks.push_back({ir::Sink::Kind::store, number - static_cast<int>(inputs), number});
  }
  kernel.stages.push_back(std::move(stage));
  return kernel;
}

}  // namespace

Matrix transposed(const Matrix& matrix) {
  Matrix result(matrix[0].size(), Row(matrix.size()));
  for (std::size_t i = 0; i < matrix.size(); ++i)
    for (std::size_t j = 0; j < matrix[i].size(); ++j) result[j][i] = matrix[i][j];
  return result;
}

LinearMap::LinearMap(const Matrix& matrix, ir::KernelCompiler& compiler)
    : inputs_(matrix[0].size()), outputs_(matrix.size()) {
  assert(inputs_ <= most && outputs_ <= most);
  const ir::Kernel kernel = kernel_of(matrix);
  const ir::Kernel* const one[] = {&kernel};
  code_ = compiler.compile(one)[0];
}

void LinearMap::run(const float* from, const Places& from_at, float* to, const Places& to_at,
                    std::int64_t count, std::int64_t length) const {
  std::int64_t symbols[fixed_symbols + 2 * most] = {count, length, from_at.stride, to_at.stride};
  std::copy_n(from_at.offsets, inputs_, symbols + fixed_symbols);
  std::copy_n(to_at.offsets, outputs_, symbols + fixed_symbols + inputs_);
  void* const buffers[] = {const_cast<float*>(from), to};
  const ir::KernelArgs args{buffers, symbols, nullptr};
  code_->function(code_.get(), &args, 0, count * length);
}

}  // namespace weft::runtime
