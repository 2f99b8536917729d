#include "runtime/winograd.h"

#include <algorithm>
#include <cassert>
#include <cmath>

#include "runtime/scratch.h"

namespace weft::runtime {
namespace {

using ir::TileCall, ir::TileKernel;
using Places = LinearMap::Places;

constexpr std::int64_t size = sizeof(float);
constexpr std::int64_t together = 4;              // columns that are brought into order at a time
constexpr double least_parallel_flops = 500'000;  // less is done before another thread is awake
constexpr std::int64_t block_bytes = 512 << 10;   // of transformed tiles, in a core's cache
constexpr std::int64_t depth_step = 512;          // terms that are added up at a time
constexpr std::int64_t few_rows = 16;             // of tiles, that a block has at most
constexpr std::int64_t weights_at_once = 8, filters_at_once = 4;
constexpr std::int64_t piece_tiles = 192, most_pieces = 16;
constexpr std::int64_t most_sums = 256 << 20;  // bytes of all pieces

std::int64_t up(std::int64_t n, std::int64_t by) { return (n + by - 1) / by; }
std::int64_t whole(std::int64_t n, std::int64_t by) { return up(n, by) * by; }

constexpr double a = 0.70710678118654752440, b = 1.41421356237309504880;
// With the points x, of polynomials by their coefficients: a result's powers of x; what is left of
// Π (x - point) without one of them, over its value there (with the weights).
const Winograd::Matrices of_four{{{1, 0, -2.5, 0, 1, 0},
                                  {0, -2 * a, -2, a, 1, 0},
                                  {0, 2 * a, -2, -a, 1, 0},
                                  {0, -b / 2, -.5, b, 1, 0},
                                  {0, b / 2, -.5, -b, 1, 0},
                                  {0, 1, 0, -2.5, 0, 1}},
                                 {{1, 0, 0},
                                  {-2. / 3, -2. / 3 * a, -1. / 3},
                                  {-2. / 3, 2. / 3 * a, -1. / 3},
                                  {1. / 6, b / 6, 1. / 3},
                                  {1. / 6, -b / 6, 1. / 3},
                                  {0, 0, 1}},
                                 {{1, 1, 1, 1, 1, 0},
                                  {0, a, -a, b, -b, 0},
                                  {0, .5, .5, 2, 2, 0},
                                  {0, a / 2, -a / 2, 2 * b, -2 * b, 1}}};
const Winograd::Matrices of_two{{{1, 0, -1, 0}, {0, 1, 1, 0}, {0, -1, 1, 0}, {0, -1, 0, 1}},
                                {{1, 0, 0}, {.5, .5, .5}, {.5, -.5, .5}, {0, 0, 1}},
                                {{1, 1, 1, 0}, {0, 1, -1, 1}}};

/// Of processors without fma: the definition.
class PlainTile final : public TileKernel {
 public:
  explicit PlainTile(ir::TileShape tile_shape) {
    shape = tile_shape;
    function = [](const TileKernel* self, const TileCall* call, std::int64_t begin,
                  std::int64_t end) {
      const auto at = [](const std::byte* base, std::int64_t bytes) {
        return reinterpret_cast<const float*>(base + bytes);
      };
      for (int i = 0; i < self->shape.rows; ++i)
        for (int j = 0; j < self->shape.columns; ++j) {
          float sum = 0;
          for (std::int64_t p = begin; p < end; ++p)
            sum += *at(call->groups[i / TileCall::group],
                       i % TileCall::group * call->row_stride + call->steps[p]) *
                   at(call->columns, p * call->column_step)[j];
          if (call->addend) sum = at(call->addend, i * call->addend_stride)[j] + sum;
          reinterpret_cast<float*>(call->out + i * call->out_stride)[j] = sum;
        }
    };
  }
};

template <class Kind> float* floats_of(std::int64_t count) {
  return reinterpret_cast<float*>(scratch<Kind>(count * size));
}

void zero(float* at, std::int64_t count) { std::fill_n(at, count, 0.f); }

}  // namespace

// ---- sizes --------------------------------------------------------------------------------------

Winograd::Winograd(const ir::Kernel& kernel, const DimBindings& bindings,
                   ir::KernelCompiler& compiler,
                   const std::function<const std::byte*(int)>& constants) {
  size_up(kernel, bindings);
  assert(images_ > 0 && out_height_ > 0 && out_width_ > 0 && channels_ > 0 && filters_ > 0);
  choose_tile(compiler);
  choose_block();
  const Matrices& m = step_ == 4 ? of_four : of_two;
  of_data_.emplace(m.data, compiler);
  of_other_.emplace(gradient_ ? transposed(m.result) : m.weights, compiler);
  of_result_.emplace(gradient_ ? transposed(m.weights) : m.result, compiler);
  const std::byte* const constant = gradient_ ? nullptr : constants(weights_.buffer);
  if (!constant) return;
  kept_ = Buffer::allocate(static_cast<std::size_t>(points_ * units() * width_ * size));
  take_weights(constant, {0, units()}, reinterpret_cast<float*>(kept_.data()));
}

void Winograd::size_up(const ir::Kernel& kernel, const DimBindings& bindings) {
  const ir::Contraction& c = *kernel.contraction;
  const ir::Contraction::Gather& g = *c.gather;
  const auto at = [&](const Dim& d) { return d.is_constant() ? d.value() : d.evaluate(bindings); };
  const auto all = [&](const Dims& dims) { return evaluate(dims, bindings); };
  const std::size_t rank = kernel.axes.size();
  gradient_ = g.n.size() == 3;
  filters_ = at(kernel.axes[rank - 2]);
  out_ = c.out, out_offset_ = at(c.out_offset);
  const auto k = all(g.k), a_k = all(g.a_k), b_k = all(g.b_k), n = all(g.n), b_n = all(g.b_n);
  const auto& where = gradient_ ? k : n;  // the places
  out_height_ = where[where.size() - 2], out_width_ = where.back();
  channels_ = gradient_ ? n[0] : k[0];
  data_.buffer = c.b;
  data_.top = at(c.winograd->top), data_.left = at(c.winograd->left);
  data_.height = at(c.winograd->height), data_.width = at(c.winograd->width);
  data_.row = b_n[b_n.size() - 2], data_.column = b_n.back();
  data_.channel = gradient_ ? b_n[0] : b_k[0];
  data_.offset = at(c.b_offset) + data_.top * data_.row + data_.left * data_.column;
  data_.channels = channels_;
  const std::int64_t most =
      std::max({data_.top, data_.left, out_height_ + 2 - data_.height - data_.top,
                out_width_ + 2 - data_.width - data_.left});
  step_ = gradient_ || most <= 1 ? 4 : 2;
  reach_ = step_ + 2, points_ = reach_ * reach_;
  rows_ = up(out_height_, step_), columns_ = up(out_width_, step_);
  if (gradient_) {
    const bool batch = k.size() == 3;
    images_ = batch ? k[0] : 1;
    data_.batch = batch ? b_k[0] : 0;
    cotangents_ = {c.a,
                   at(c.a_offset),
                   batch ? a_k[0] : 0,
                   at(c.a_m),
                   a_k[a_k.size() - 2],
                   a_k.back(),
                   0,
                   0,
                   out_height_,
                   out_width_,
                   filters_,
                   0};
  } else {
    images_ = rank == 3 ? at(kernel.axes[0]) : 1;
    data_.batch = rank == 3 ? at(c.b_batch[0]) : 0;
    weights_ = {c.a, at(c.a_offset), at(c.a_m), a_k[0], a_k[1], a_k[2]};
  }
}

void Winograd::choose_tile(ir::KernelCompiler& compiler) {
  const ir::TileLimits limits = compiler.tile_limits(DType::float32);
  const std::int64_t across = gradient_ ? channels_ : filters_;
  const int lanes = std::max(limits.lanes, 1);
  const auto padded = [&](int vectors) { return whole(across, std::int64_t{vectors} * lanes); };
  int vectors = std::max(limits.vectors, 1);
  while (vectors > 1 && padded(vectors) * 8 > padded(vectors - 1) * 9) --vectors;
  width_ = limits.rows == 0 ? 16 : vectors * lanes;
  const std::int64_t most = limits.rows == 0
                                ? 4
                                : std::min<std::int64_t>(limits.rows * limits.vectors / vectors,
                                                         TileCall::group * TileCall::max_groups);
  height_ = most;
  // The filters are the rows of a gradient: the tallest tiles that cover them with little waste.
  for (std::int64_t h = most; gradient_ && h > most / 2; --h)
    if (whole(filters_, h) < whole(filters_, height_)) height_ = h;
  const ir::TileShape shape{static_cast<int>(height_), static_cast<int>(width_)};
  tile_ =
      limits.rows == 0 ? std::make_shared<PlainTile>(shape) : compiler.tile(DType::float32, shape);
  data_.pitch = gradient_ ? whole(channels_, width_) : channels_;
  other_pitch_ = cotangents_.pitch = whole(filters_, gradient_ ? height_ : width_);
}

/// As many rows of tiles as stay in cache, in whole tiles of the products as far as that goes.
void Winograd::choose_block() {
  const std::int64_t all = images_ * rows_;
  if (gradient_) {
    const std::int64_t fit = most_sums / (points_ * channels_ * filters_ * size);
    pieces_ = std::clamp<std::int64_t>(all * columns_ / piece_tiles, 1,
                                       std::clamp<std::int64_t>(fit, 1, most_pieces));
    piece_rows_ = up(all, pieces_);
    pieces_ = up(all, piece_rows_);
  }
  double best = 0;
  // A gradient's sums are cut where blocks end: not by what tiles a processor has.
  const std::int64_t most = gradient_ ? piece_rows_ : all,
                     width = gradient_ ? channels_ + filters_ : data_.pitch + other_pitch_;
  for (std::int64_t rows = 1; rows <= std::min(most, few_rows); ++rows) {
    const std::int64_t tiles = rows * columns_;
    if (rows > 1 && tiles * points_ * width * size > block_bytes) break;
    const double cover =
        gradient_ ? static_cast<double>(rows)
                  : static_cast<double>(tiles) / static_cast<double>(whole(tiles, height_));
    if (cover >= best) best = cover, block_rows_ = rows;
  }
  if (gradient_) block_rows_ = up(piece_rows_, up(piece_rows_, block_rows_));
  block_ = std::max(block_rows_ * columns_, height_);
  const std::int64_t terms = gradient_ ? block_ : channels_;
  for (std::int64_t p = 0; p < terms; ++p)
    steps_.push_back(p * (gradient_ ? other_pitch_ : 1) * size);
}

// ---- images ------------------------------------------------------------------------------------

/// A row as `take_row` leaves it: columns in as many planes as it has steps, those of a plane side
/// by side, so that a tile's neighbours follow it; or, of small steps, one plane.
std::int64_t Winograd::planes() const { return step_ == together ? together : 1; }
std::int64_t Winograd::row_floats(std::int64_t extent, std::int64_t pitch) const {
  return whole((columns_ - 1) * step_ + extent, together) * pitch;
}

/// A row of elements, channels side by side.
void Winograd::take_row(const Images& from, const float* image, std::int64_t row,
                        std::int64_t floats, float* to) const {
  if (row < 0 || row >= from.height) return zero(to, floats);
  image += row * from.row;
  const std::int64_t column = planes() == 1 ? from.pitch : floats / planes();
  const std::int64_t next = from.pitch * together / planes();
  for (std::int64_t first = -from.left; floats > 0; first += together, to += next) {
    floats -= together * from.pitch;
    const std::int64_t begin = std::clamp<std::int64_t>(-first, 0, together),
                       end = std::clamp<std::int64_t>(from.width - first, begin, together);
    if (end - begin < together || from.channels < from.pitch)
      for (std::int64_t i = 0; i < together; ++i) zero(to + i * column, from.pitch);
    if (begin == end) continue;
    const float* const source = image + (first + begin) * from.column;
    float* const place = to + begin * column;
    if (from.column == 1) {
      turn_floats(source, from.channel, from.channels, end - begin, place, column);
    } else {
      for (std::int64_t i = 0; i < end - begin; ++i)
        for (std::int64_t c = 0; c < from.channels; ++c)
          place[i * column + c] = source[i * from.column + c * from.channel];
    }
  }
}

/// Tiles that see `extent` elements each way, transformed: planes[point][tile][channel].
void Winograd::take_tiles(const Images& from, const LinearMap& map, std::int64_t extent,
                          void* const* buffers, Range rows, float* planes, float* scratch) const {
  const std::int64_t pitch = from.pitch, floats = row_floats(extent, pitch), plane = block_ * pitch;
  const auto* const all = static_cast<const float*>(buffers[from.buffer]) + from.offset;
  float* const down = scratch + extent * floats;
  const Places lines = Places::regular(0, floats);
  for (std::int64_t r = rows.begin; r < rows.end; ++r, planes += columns_ * pitch) {
    for (std::int64_t i = 0; i < extent; ++i)
      take_row(from, all + r / rows_ * from.batch, r % rows_ * step_ - from.top + i, floats,
               scratch + i * floats);
    map.run(scratch, lines, down, lines, 1, floats);
    if (this->planes() == 1) {
      for (std::int64_t i = 0; i < reach_; ++i)
        map.run(down + i * floats, Places::regular(step_ * pitch, pitch),
                planes + i * reach_ * plane, Places::regular(pitch, plane), columns_, pitch);
      continue;
    }
    Places across{floats, {}};
    for (std::int64_t j = 0; j < extent; ++j)
      across.offsets[j] = j % step_ * (floats / step_) + j / step_ * pitch;
    map.run(down, across, planes, Places::regular(reach_ * plane, plane), reach_, columns_ * pitch);
  }
}

// ---- the result is images -----------------------------------------------------------------------

/// A unit is a channel's weights of one panel of filters.
std::int64_t Winograd::units() const { return other_pitch_ / width_ * channels_; }

/// planes[point][unit][filter of the panel].
void Winograd::take_weights(const std::byte* buffer, Range all, float* planes) const {
  const Weights& w = weights_;
  const auto* const from = reinterpret_cast<const float*>(buffer) + w.offset;
  // All nine side by side, forwards or backwards.
  const bool in_line = std::abs(w.column) == 1 && w.row == 3 * w.column;
  const bool back = in_line && w.column < 0;
  const std::int64_t plane = units() * width_, most = weights_at_once * width_;
  float* const taken = floats_of<Own>((9 + 3 * reach_) * most);
  float* const down = taken + 9 * most;
  for (Range some = all; some.begin < all.end; some.begin = some.end) {
    some.end = std::min(some.begin + weights_at_once, all.end);
    const std::int64_t length = some.size() * width_;
    for (std::int64_t unit = some.begin; unit < some.end; ++unit) {
      const std::int64_t first = unit / channels_ * width_;
      const std::int64_t count = std::min(width_, filters_ - first);
      const float* const source = from + unit % channels_ * w.channel + first * w.filter;
      float* const to = taken + (unit - some.begin) * width_;
      for (std::int64_t p = 0; p < 9 && count < width_; ++p) zero(to + p * length, width_);
      if (in_line) {
        turn_floats(source + (back ? 8 * w.column : 0), w.filter, count, 9, to, length);
      } else {
        for (std::int64_t p = 0; p < 9; ++p)
          for (std::int64_t f = 0; f < count; ++f)
            to[p * length + f] = source[p / 3 * w.row + p % 3 * w.column + f * w.filter];
      }
    }
    const std::int64_t sign = back ? -1 : 1;
    of_other_->run(taken + (back ? 8 * length : 0),
                   Places::regular(sign * length, sign * 3 * length), down,
                   Places::regular(length, 3 * length), 3, length);
    of_other_->run(down, Places::regular(3 * length, length), planes + some.begin * width_,
                   Places::regular(reach_ * plane, plane), reach_, length);
  }
}

/// out[point][tile][filter] = Σ data[point][tile][channel] * weights[point][channel][filter].
void Winograd::multiply(const float* data, const float* weights, std::int64_t tiles,
                        float* out) const {
  const std::int64_t last = std::max<std::int64_t>(0, tiles - height_);
  TileCall call;
  call.row_stride = data_.pitch * size;
  call.steps = steps_.data();
  call.column_step = width_ * size;
  call.out_stride = call.addend_stride = other_pitch_ * size;
  for (std::int64_t point = 0; point < points_; ++point)
    for (std::int64_t panel = 0; panel < other_pitch_ / width_; ++panel) {
      call.columns = reinterpret_cast<const std::byte*>(
          weights + (point * units() + panel * channels_) * width_);
      for (std::int64_t t = 0; t < tiles; t += height_) {
        const std::int64_t tile = point * block_ + std::min(t, last);
        for (std::int64_t i = 0; i < height_; i += TileCall::group)
          call.groups[i / TileCall::group] =
              reinterpret_cast<const std::byte*>(data + (tile + i) * data_.pitch);
        call.out = reinterpret_cast<std::byte*>(out + tile * other_pitch_ + panel * width_);
        for (std::int64_t c = 0; c < channels_; c += depth_step) {
          call.addend = c == 0 ? nullptr : call.out;
          tile_->run(call, c, std::min(c + depth_step, channels_));
        }
      }
    }
}

/// The products back into images.
void Winograd::give_tiles(const float* products, Range rows, float* out, float* scratch) const {
  const std::int64_t length = columns_ * other_pitch_, plane = block_ * other_pitch_;
  const std::int64_t area = out_height_ * out_width_;
  float* const back = scratch + reach_ * step_ * length;
  for (std::int64_t r = rows.begin; r < rows.end; ++r, products += length) {
    of_result_->run(products, Places::regular(reach_ * plane, plane), scratch,
                    Places::regular(step_ * length, length), reach_, length);
    of_result_->run(scratch, Places::regular(length, step_ * length), back,
                    Places::regular(length, step_ * length), step_, length);
    const std::int64_t first = r % rows_ * step_;
    float* const image = out + r / rows_ * filters_ * area + first * out_width_;
    for (std::int64_t i = 0; i < std::min(step_, out_height_ - first); ++i)
      for (std::int64_t tile = 0; tile < columns_; ++tile)
        turn_floats(back + i * step_ * length + tile * other_pitch_, length,
                    std::min(step_, out_width_ - tile * step_), filters_,
                    image + i * out_width_ + tile * step_, area);
  }
}

void Winograd::finish_rows(Range rows, const Finish& finish) const {
  const std::int64_t area = out_height_ * out_width_;
  for (std::int64_t r = rows.begin; r < rows.end;) {
    const std::int64_t image = r / rows_, end = std::min(rows.end, (image + 1) * rows_);
    const std::int64_t first = image * filters_ * area, top = r % rows_ * step_ * out_width_,
                       bottom = std::min(((end - 1) % rows_ + 1) * step_, out_height_) * out_width_;
    if (bottom - top == area) {
      finish(first, first + filters_ * area);
    } else {
      for (std::int64_t f = 0; f < filters_; ++f)
        finish(first + f * area + top, first + f * area + bottom);
    }
    r = end;
  }
}

void Winograd::run_images(void* const* buffers, const Finish* finish, bool alone) const {
  const auto* weights = reinterpret_cast<const float*>(kept_.data());
  if (!kept_) {
    float* const taken = floats_of<Shared>(points_ * units() * width_);
    const auto* const from = static_cast<const std::byte*>(buffers[weights_.buffer]);
    const auto take = [&](std::int64_t begin, std::int64_t end) {
      take_weights(from, {begin, end}, taken);
    };
    alone ? take(0, units()) : parallel_for(units(), weights_at_once, take);
    weights = taken;
  }
  auto* const out = static_cast<float*>(buffers[out_]) + out_offset_;
  const std::int64_t all = images_ * rows_, length = columns_ * other_pitch_;
  const std::int64_t in_data = points_ * block_ * data_.pitch,
                     in_products = points_ * block_ * other_pitch_,
                     in_turn = std::max(2 * reach_ * row_floats(reach_, data_.pitch),
                                        (reach_ + step_) * step_ * length);
  const auto some = [&](std::int64_t begin, std::int64_t end) {
    float* const data = floats_of<Own>(in_data + in_products + in_turn);
    float* const products = data + in_data;
    for (; begin < end; ++begin) {
      const Range rows{begin * block_rows_, std::min((begin + 1) * block_rows_, all)};
      take_tiles(data_, *of_data_, reach_, buffers, rows, data, products + in_products);
      multiply(data, weights, rows.size() * columns_, products);
      give_tiles(products, rows, out, products + in_products);
      if (finish) finish_rows(rows, *finish);
    }
  };
  const std::int64_t blocks = up(all, block_rows_);
  alone ? some(0, blocks) : parallel_for(blocks, 1, some);
}

// ---- the result is the weights' gradient -----------------------------------------------------------

/// sums[point][filter][channel] (+)= Σ cotangents[point][tile][filter] * data[point][tile][channel].
void Winograd::accumulate(const float* data, const float* cotangents, std::int64_t tiles,
                          bool first, float* sums) const {
  TileCall call;
  call.row_stride = size;
  call.steps = steps_.data();
  call.column_step = call.out_stride = call.addend_stride = data_.pitch * size;
  for (std::int64_t point = 0; point < points_; ++point)
    for (std::int64_t filter = 0; filter < other_pitch_; filter += height_)
      for (std::int64_t channel = 0; channel < data_.pitch; channel += width_) {
        for (std::int64_t i = 0; i < height_; i += TileCall::group)
          call.groups[i / TileCall::group] = reinterpret_cast<const std::byte*>(
              cotangents + point * block_ * other_pitch_ + filter + i);
        call.columns =
            reinterpret_cast<const std::byte*>(data + point * block_ * data_.pitch + channel);
        call.out = reinterpret_cast<std::byte*>(
            sums + (point * other_pitch_ + filter) * data_.pitch + channel);
        call.addend = first ? nullptr : call.out;
        tile_->run(call, 0, tiles);
      }
}

/// Some filters' sums of all pieces, added up and taken back.
void Winograd::give_weights(const float* sums, Range all, float* out) const {
  const std::int64_t plane = other_pitch_ * data_.pitch, most = filters_at_once * data_.pitch;
  float* const sum = floats_of<Own>((points_ + 3 * reach_ + 9) * most);
  float* const across = sum + points_ * most;
  float* const back = across + 3 * reach_ * most;
  for (Range some = all; some.begin < all.end; some.begin = some.end) {
    some.end = std::min(some.begin + filters_at_once, all.end);
    const std::int64_t length = some.size() * data_.pitch;
    for (std::int64_t point = 0; point < points_; ++point) {
      float* const to = sum + point * length;
      const float* from = sums + point * plane + some.begin * data_.pitch;
      std::copy_n(from, length, to);
      for (std::int64_t piece = 1; piece < pieces_; ++piece) {
        from += points_ * plane;
        for (std::int64_t i = 0; i < length; ++i) to[i] += from[i];
      }
    }
    of_result_->run(sum, Places::regular(reach_ * length, length), across,
                    Places::regular(3 * length, length), reach_, length);
    of_result_->run(across, Places::regular(length, 3 * length), back,
                    Places::regular(length, 3 * length), 3, length);
    for (std::int64_t f = some.begin; f < some.end; ++f)
      turn_floats(back + (f - some.begin) * data_.pitch, length, 9, channels_,
                  out + f * channels_ * 9, 9);
  }
}

void Winograd::run_gradient(void* const* buffers, const Finish* finish, bool alone) const {
  const std::int64_t of_piece = points_ * other_pitch_ * data_.pitch;
  float* const sums = floats_of<Shared>(pieces_ * of_piece);
  const std::int64_t in_data = points_ * block_ * data_.pitch,
                     in_cotangents = points_ * block_ * other_pitch_,
                     in_turn = 2 * reach_ * row_floats(reach_, std::max(data_.pitch, other_pitch_));
  const auto add_up = [&](std::int64_t begin, std::int64_t end) {
    float* const data = floats_of<Own>(in_data + in_cotangents + in_turn);
    float* const cotangents = data + in_data;
    float* const turn = cotangents + in_cotangents;
    for (std::int64_t piece = begin; piece < end; ++piece) {
      const std::int64_t first = piece * piece_rows_,
                         last = std::min(first + piece_rows_, images_ * rows_);
      for (std::int64_t row = first; row < last; row += block_rows_) {
        const Range rows{row, std::min(row + block_rows_, last)};
        take_tiles(data_, *of_data_, reach_, buffers, rows, data, turn);
        take_tiles(cotangents_, *of_other_, step_, buffers, rows, cotangents, turn);
        accumulate(data, cotangents, rows.size() * columns_, row == first, sums + piece * of_piece);
      }
    }
  };
  alone ? add_up(0, pieces_) : parallel_for(pieces_, 1, add_up);
  auto* const out = static_cast<float*>(buffers[out_]) + out_offset_;
  const auto give = [&](std::int64_t begin, std::int64_t end) {
    give_weights(sums, {begin, end}, out);
    if (finish) (*finish)(begin * channels_ * 9, end * channels_ * 9);
  };
  alone ? give(0, filters_) : parallel_for(filters_, filters_at_once, give);
}

void Winograd::run(void* const* buffers, const Finish* finish) const {
  const auto products = static_cast<double>(images_ * rows_ * columns_ * points_);
  const double flops = 2 * products * static_cast<double>(channels_ * filters_);
  const bool alone = flops < least_parallel_flops || num_threads() == 1;
  gradient_ ? run_gradient(buffers, finish, alone) : run_images(buffers, finish, alone);
}

}  // namespace weft::runtime
