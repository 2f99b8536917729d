// Correlations of images with windows of 3 x 3 in a quarter of the multiplications: Winograd's
// F(4x4, 3x3), of a contraction kernel that asks for it (ir::Contraction::Winograd). A tile of the
// result is 4 x 4, and a tile of the image the 6 x 6 elements that it depends on. Where windows reach
// more than one element beyond the image, results at its corners have few terms, beside which the
// rounding of their tile's others would show: these take F(2x2, 3x3), tiles of 2 x 2 and 4 x 4.
//
//   image -> data tiles -------> 36 products, one a point of the transformed domain -> results
//   weights (or cotangents) -> /
//
// The transforms are small matrices along columns, then along rows (runtime/linear_map.h), which
// work on channels side by side; zeros around the image are put in as it is brought into that
// order. A block of tiles goes through all of it in one thread's cache. A weight's gradient is a sum
// over all tiles, of which it takes the transform back once.
//
// The points are 0, ±√½, ±√2 and infinity, which round best: against ±1, ±2 a third of the error.
// Errors are relative to a tile's terms: what is infinite or not a number makes its whole tile NaN.
// An element's bits are a function of the kernel's extents alone.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>

#include "runtime/contraction.h"
#include "runtime/linear_map.h"

namespace weft::runtime {

class Winograd {
 public:
  using Finish = SizedContraction::Finish;
  struct Matrices {
    Matrix data, weights, result;
  };
  /// `constants`: as SizedContraction's.
  Winograd(const ir::Kernel& kernel, const DimBindings& bindings, ir::KernelCompiler& compiler,
           const std::function<const std::byte*(int buffer)>& constants);

  /// As SizedContraction::run.
  void run(void* const* buffers, const Finish* finish) const;

 private:
  /// Images in a buffer, strides in elements. Windows begin `top` rows above the first element.
  struct Images {
    int buffer = 0;
    std::int64_t offset = 0, batch = 0, channel = 0, row = 0, column = 0;
    std::int64_t top = 0, left = 0, height = 0, width = 0;
    std::int64_t channels = 0;
    std::int64_t pitch =
        0;  // of a tile's channels once transformed: more than there are, or as many
  };
  struct Weights {
    int buffer = 0;
    std::int64_t offset = 0, filter = 0, channel = 0, row = 0, column = 0;
  };

  void size_up(const ir::Kernel&, const DimBindings&);
  void choose_tile(ir::KernelCompiler&);
  void choose_block();

  [[nodiscard]] std::int64_t planes() const;
  [[nodiscard]] std::int64_t row_floats(std::int64_t extent, std::int64_t pitch) const;
  void take_row(const Images&, const float* image, std::int64_t row, std::int64_t floats,
                float* to) const;
  void take_tiles(const Images&, const LinearMap&, std::int64_t extent, void* const* buffers,
                  Range rows, float* planes, float* scratch) const;

  [[nodiscard]] std::int64_t units() const;
  void take_weights(const std::byte* buffer, Range units, float* planes) const;
  void multiply(const float* data, const float* weights, std::int64_t tiles, float* out) const;
  void give_tiles(const float* products, Range rows, float* out, float* scratch) const;
  void finish_rows(Range rows, const Finish&) const;
  void run_images(void* const* buffers, const Finish*, bool alone) const;

  void accumulate(const float* data, const float* cotangents, std::int64_t tiles, bool first,
                  float* sums) const;
  void give_weights(const float* sums, Range filters, float* out) const;
  void run_gradient(void* const* buffers, const Finish*, bool alone) const;

  bool gradient_ = false;  // the result is the weights' gradient, else images
  std::int64_t images_ = 1, channels_ = 0, filters_ = 0;
  std::int64_t out_height_ = 0, out_width_ = 0;      // results, or cotangents, of an image
  std::int64_t step_ = 4, reach_ = 6, points_ = 36;  // a tile's side; what it sees; its square
  std::int64_t rows_ = 0, columns_ = 0;              // of tiles of an image
  Images data_, cotangents_;
  Weights weights_;
  int out_ = 0;
  std::int64_t out_offset_ = 0;

  std::optional<LinearMap> of_data_, of_other_, of_result_;
  std::shared_ptr<const ir::TileKernel> tile_;
  std::int64_t height_ = 1, width_ = 1;       // of a tile of the products
  std::int64_t other_pitch_ = 0;              // of filters in transformed weights or cotangents
  std::int64_t block_rows_ = 1, block_ = 0;   // rows of tiles at a time; room for so many tiles
  std::int64_t pieces_ = 1, piece_rows_ = 0;  // of a gradient's sum: added up apart
  std::vector<std::int64_t> steps_;           // bytes from the first term of a sum to each
  Buffer kept_;                               // transformed weights that never change
};

}  // namespace weft::runtime
