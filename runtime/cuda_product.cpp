#include "runtime/cuda_product.h"

#include <algorithm>
#include <optional>

#include "runtime/cuda_device.h"

namespace weft::runtime {
namespace {

constexpr std::int64_t base_alignment = 16;  // of buffers

/// One stride for all batch axes; none where it takes several.
std::optional<std::int64_t> one_stride(const std::vector<std::int64_t>& extents,
                                       const std::vector<std::int64_t>& strides) {
  std::optional<std::int64_t> stride;
  std::int64_t inner = 1;  // products that the axes walked so far make
  for (std::size_t i = extents.size(); i-- > 0;) {
    if (extents[i] == 1) continue;
    if (!stride) stride = strides[i];
    if (strides[i] != *stride * inner) return std::nullopt;
    inner *= extents[i];
  }
  return stride.value_or(0);
}

/// A matrix of `rows` x `columns`, as it lies; none where neither axis is dense.
std::optional<LibraryProduct::Matrix> matrix(std::int64_t rows, std::int64_t columns,
                                             std::int64_t row_stride, std::int64_t column_stride) {
  LibraryProduct::Matrix m;
  if (column_stride == 1 || columns == 1) {
    m.leading = rows == 1 ? columns : row_stride;
    if (m.leading >= columns) return m;
  }
  if (row_stride == 1 || rows == 1) {
    m.by_rows = false;
    m.leading = columns == 1 ? rows : column_stride;
    if (m.leading >= rows) return m;
  }
  return std::nullopt;
}

/// Our own kernels waste less on small products and on long rows.
bool pays(const LibraryProduct& p) {
  constexpr std::int64_t enough = std::int64_t{1} << 22, few = 16;
  return std::min(p.m, p.n) >= few && p.batches * p.m * p.n * p.k >= enough;
}

/// To TF32 or bfloat16.
bool rounded(const LibraryProduct& p) {
  return p.factors == DType::float32 && p.precision != MatmulPrecision::highest;
}

/// What a library does not know how to end, it writes as sums of full width, which another kernel
/// reads again; our own do not. Long sums are worth that, the more so the slower the sums are; and
/// tensor cores, which before sm_80 are the library's alone.
bool pays_apart(const LibraryProduct& p, const CudaDevice& device) {
  if (device.arch() == "sm_75") return true;
  constexpr std::int64_t narrow_depth = 2048, rounded_depth = 1024, wide_depth = 512;
  return p.k >= (size_of(p.factors) == 2 ? narrow_depth : rounded(p) ? rounded_depth : wide_depth);
}

std::int64_t at(const Dim& dim, const DimBindings& bindings) {
  return dim.is_constant() ? dim.value() : dim.evaluate(bindings);
}

/// The product without what follows it; none where it is no product of matrices, or not worth it.
std::optional<LibraryProduct> plain_product(const ir::Kernel& kernel, const DimBindings& bindings) {
  const ir::Contraction& c = *kernel.contraction;
  const auto value = [&](const Dim& dim) { return at(dim, bindings); };
  const std::size_t batch_axes = kernel.axes.size() - 2;
  LibraryProduct p;
  p.factors = kernel.buffers[static_cast<std::size_t>(c.a)].dtype, p.precision = c.precision;
  p.m = value(kernel.axes[batch_axes]), p.n = value(kernel.axes[batch_axes + 1]), p.k = value(c.k);
  std::vector<std::int64_t> extents, a_strides, b_strides;
  for (std::size_t i = 0; i < batch_axes; ++i) {
    extents.push_back(value(kernel.axes[i]));
    a_strides.push_back(value(c.a_batch[i]));
    b_strides.push_back(value(c.b_batch[i]));
    p.batches *= extents.back();
  }
  if (!pays(p) || p.batches > INT32_MAX) return std::nullopt;
  const auto a = matrix(p.m, p.k, value(c.a_m), value(c.a_k)),
             b = matrix(p.k, p.n, value(c.b_k), value(c.b_n));
  const auto a_batch = one_stride(extents, a_strides), b_batch = one_stride(extents, b_strides);
  if (!a || !b || !a_batch || !b_batch || *a_batch < 0 || *b_batch < 0) return std::nullopt;
  p.a = *a, p.b = *b;
  p.a.batch = *a_batch, p.b.batch = *b_batch;
  return p;
}

}  // namespace

std::unique_ptr<const CudaProduct> CudaProduct::plan(const ir::Kernel& kernel,
                                                     const ir::DeviceKernel& code,
                                                     const DimBindings& bindings,
                                                     const CudaDevice& device,
                                                     const std::optional<Sums>& sums) {
  if (!code.library) return nullptr;
  const ir::Contraction& c = *kernel.contraction;
  std::optional<LibraryProduct> found = plain_product(kernel, bindings);
  const CublasLt* const library = found ? CublasLt::get() : nullptr;
  if (!library) return nullptr;
  LibraryProduct& p = *found;

  std::unique_ptr<CudaProduct> made(new CudaProduct);
  const auto dtype = [&](int buffer) {
    return kernel.buffers[static_cast<std::size_t>(buffer)].dtype;
  };
  const auto part = [&](int buffer, const Dim& offset) {
    if (buffer < 0) return Part{};
    return Part{buffer, at(offset, bindings) * static_cast<std::int64_t>(size_of(dtype(buffer)))};
  };
  const auto alignment = [](const Part& x) {
    return x.offset == 0 ? base_alignment : std::min(x.offset & -x.offset, base_alignment);
  };
  made->a_ = part(c.a, c.a_offset), made->b_ = part(c.b, c.b_offset);
  p.a.alignment = alignment(made->a_), p.b.alignment = alignment(made->b_);
  const auto plan = [&](const ir::ProductEnd& end) {
    // Without leave to round, a sum's order alone is the library's: its tanh may be a quick one.
    if (end.kind != ir::ProductEnd::Kind::none && size_of(p.factors) > 2 && !rounded(p))
      return false;
    made->out_ = part(end.out, end.out_offset), made->bias_ = part(end.bias, end.bias_offset);
    made->residual_ = part(end.residual, end.residual_offset);
    made->before_ = part(end.before, end.before_offset);
    p.result = dtype(end.out), p.end = end.kind;
    p.bias = end.bias >= 0, p.residual = end.residual >= 0, p.before = end.before >= 0;
    p.out_alignment = std::min(alignment(made->out_), alignment(made->residual_));
    p.bias_alignment = alignment(made->bias_), p.before_alignment = alignment(made->before_);
    const auto ask = [&] { return library->plan(p, device.device().index()); };
    // Rounded factors may be rounded in their sum, too.
    if (sums && !rounded(p) && sums->dtype == p.result && p.end == ir::ProductEnd::Kind::none &&
        !p.bias) {
      p.sums = sums->of_b ? LibraryProduct::Sums::of_b : LibraryProduct::Sums::of_a;
      made->planned_ = ask();
      made->sums_ = made->planned_ != nullptr;
      p.sums = LibraryProduct::Sums::none;
    }
    if (!made->planned_) made->planned_ = ask();
    return made->planned_ != nullptr;
  };
  made->whole_ = true;
  if (code.end && plan(*code.end)) return made;
  made->whole_ = kernel.stages.empty();
  if (!made->whole_ && !pays_apart(p, device)) return nullptr;
  return plan({.out = c.out, .out_offset = c.out_offset}) ? std::move(made) : nullptr;
}

CuPointer CudaProduct::place(const Part& part, std::span<const CuPointer> buffers) {
  if (part.buffer < 0) return 0;
  return buffers[static_cast<std::size_t>(part.buffer)] + static_cast<CuPointer>(part.offset);
}

void CudaProduct::run(std::span<const CuPointer> buffers, CuPointer sums, CuPointer workspace,
                      CuStream stream) const {
  planned_->run({.a = place(a_, buffers),
                 .b = place(b_, buffers),
                 .out = place(out_, buffers),
                 .bias = place(bias_, buffers),
                 .residual = place(residual_, buffers),
                 .before = place(before_, buffers),
                 .sums = sums},
                workspace, stream);
}

}  // namespace weft::runtime
