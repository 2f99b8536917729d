#include "passes/step_pieces.h"

#include <algorithm>
#include <cstdlib>
#include <span>
#include <string>

namespace weft::passes {
namespace {

using ir::Kernel;

/// The extents and strides of one step's accesses as numbers; `known` is false where one is not.
class Numbers {
 public:
  explicit Numbers(const ir::KernelStep& step) {
    for (std::size_t i = 0; i < step.symbols.size(); ++i) {
      const Dim& value = step.symbols[i];
      known_ &= value.is_constant();
      arguments_.bind("s" + std::to_string(i), value.is_constant() ? value.value() : 0);
    }
  }
  std::int64_t operator()(const Dim& d) {
    return d.is_constant() ? d.value() : known_ ? d.evaluate(arguments_) : 0;
  }
  std::vector<std::int64_t> operator()(std::span<const Dim> dims) {
    std::vector<std::int64_t> numbers;
    for (const Dim& d : dims) numbers.push_back((*this)(d));
    return numbers;
  }
  [[nodiscard]] bool known() const { return known_; }

 private:
  bool known_ = true;
  DimBindings arguments_;
};

void reach(Touch& touch, std::int64_t extent, std::int64_t stride) {
  (stride < 0 ? touch.low : touch.high) += (extent - 1) * stride;
}

/// `strides` over all of the kernel's axes, whose extents are `axes`; the first `cut` can be cut.
Touch touch_of(int slot, bool written, std::int64_t offset, std::vector<std::int64_t> strides,
               std::span<const std::int64_t> axes, std::size_t cut) {
  Touch touch{slot, written, std::move(strides), offset, offset};
  for (std::size_t i = cut; i < touch.strides.size(); ++i) reach(touch, axes[i], touch.strides[i]);
  touch.strides.resize(cut);
  return touch;
}

void add_product(CutStep& cut, const Kernel& kernel, const std::vector<int>& slots,
                 std::span<const std::int64_t> axes, Numbers& numbers) {
  const ir::Contraction& c = *kernel.contraction;
  const std::size_t m = axes.size() - 2;
  cut.product = {1, axes[m], axes[m + 1], numbers(c.k)};
  for (std::size_t i = 0; i < m; ++i) cut.product->batches *= axes[i];
  const auto operand = [&](int buffer, const Dim& offset, std::span<const Dim> batch,
                           const Dim& own, const Dim& depth, std::int64_t columns,
                           const Dim& column) {
    std::vector<std::int64_t> strides = numbers(batch);
    strides.push_back(numbers(own));
    Touch touch{slots[static_cast<std::size_t>(buffer)], false, std::move(strides), numbers(offset),
                numbers(offset)};
    reach(touch, cut.product->k, numbers(depth));
    reach(touch, columns, numbers(column));
    cut.touches.push_back(std::move(touch));
  };
  operand(c.a, c.a_offset, c.a_batch, c.a_m, c.a_k, 1, 0);
  operand(c.b, c.b_offset, c.b_batch, 0, c.b_k, cut.product->n, c.b_n);
  std::vector<std::int64_t> dense(axes.size(), 1);
  for (std::size_t i = axes.size() - 1; i-- > 0;) dense[i] = dense[i + 1] * axes[i + 1];
  cut.touches.push_back(touch_of(slots[static_cast<std::size_t>(c.out)], true,
                                 numbers(c.out_offset), dense, axes, m + 1));
}

}  // namespace

std::optional<CutStep> cut_step(const ir::Plan& plan, const ir::Step& step) {
  const auto* what = std::get_if<ir::KernelStep>(&step.what);
  if (!what) return {};
  const Kernel& kernel = plan.kernels[static_cast<std::size_t>(what->kernel)];
  if (kernel.clip || (kernel.contraction && kernel.contraction->gather)) return {};
  Numbers numbers(*what);
  if (!numbers.known()) return {};
  const std::vector<std::int64_t> axes = numbers(kernel.axes);
  const std::size_t parallel = kernel.contraction ? axes.size() - 1 : kernel.parallel_axes();
  CutStep cut;
  cut.axes.assign(axes.begin(), axes.begin() + static_cast<std::ptrdiff_t>(parallel));
  for (const ir::Access& access : kernel.accesses) {
    const auto buffer = static_cast<std::size_t>(access.buffer);
    cut.touches.push_back(touch_of(what->slots[buffer], kernel.buffers[buffer].written,
                                   numbers(access.offset), numbers(access.strides), axes,
                                   parallel));
  }
  if (kernel.contraction) add_product(cut, kernel, what->slots, axes, numbers);
  if (std::ranges::find(axes, 0) != axes.end()) return {};
  return cut;
}

std::vector<std::int64_t> natural_pieces(const CutStep& step) {
  std::vector<std::int64_t> found;
  std::int64_t pieces = 1;
  for (const std::int64_t extent : step.axes) {
    pieces *= extent;
    if (extent > 1) found.push_back(pieces);
  }
  return found;
}

std::optional<PieceReach> piece_reach(const CutStep& step, const Touch& touch,
                                      std::int64_t pieces) {
  PieceReach reach{touch.low, touch.high, 0};
  std::int64_t left = pieces;
  bool cut = false;
  for (std::size_t i = 0; i < step.axes.size(); ++i) {
    // this axis' part of the piece's number, and what is left of the axis in one piece
    const std::int64_t extent = step.axes[i];
    const std::int64_t outer = left % extent == 0 ? extent : extent % left == 0 ? left : 0;
    if (outer == 0) return {};
    const std::int64_t inner = extent / outer;
    left /= outer;
    if (outer > 1) {
      const std::int64_t between = touch.strides[i] * inner;  // neighbours `left` pieces apart
      if (between % left != 0 || (cut && between / left != reach.stride)) return {};
      reach.stride = between / left, cut = true;
    }
    (touch.strides[i] < 0 ? reach.low : reach.high) += (inner - 1) * touch.strides[i];
  }
  if (left != 1) return {};
  return reach;
}

bool keeps_to_pieces(const CutStep& step, const Touch& touch, std::int64_t pieces,
                     std::int64_t elements) {
  const auto reach = piece_reach(step, touch, pieces);
  return reach && elements % pieces == 0 && (pieces == 1 || reach->stride == elements / pieces) &&
         reach->low >= 0 && reach->high < elements / pieces;
}

bool share_no_piece(const PieceReach& a, const PieceReach& b) {
  return a.stride == b.stride &&
         std::max(a.high, b.high) - std::min(a.low, b.low) < std::abs(a.stride);
}

}  // namespace weft::passes
