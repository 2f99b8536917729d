#include "runtime/contraction.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "runtime/blas.h"
#include "runtime/scratch.h"

namespace weft::runtime {
namespace {

using ir::TileCall, ir::TileKernel;

constexpr double least_parallel_flops = 500'000;  // less is done before another thread is awake
constexpr std::int64_t shared_bytes = 16 << 20;   // of columns packed at a time, for all threads
constexpr std::int64_t small_matrix = 64 << 10;   // bytes: stays in cache, however it lies
constexpr std::int64_t aliased = 4096;            // bytes between places of one first-level set
constexpr std::int64_t short_sum = 64;   // steps: the second-level cache has places for all
constexpr std::int64_t few_tiles = 10;   // of rows, a cache line across: packing would not pay
constexpr std::int64_t few_panels = 4;   // rows are used no more often
constexpr std::int64_t few_rows = 4;     // memory is slower than they are
constexpr std::int64_t many_tiles = 32;  // for each thread: columns need not be cut
constexpr std::int64_t serial_packing = 128 << 10;  // bytes

std::int64_t up(std::int64_t n, std::int64_t by) { return (n + by - 1) / by; }

/// Tiles of dtypes that no compiler has kernels for: plain loops or BLAS, on packed operands.
class PlainTile final : public TileKernel {
 public:
  PlainTile(DType dtype, ir::TileShape tile_shape) : dtype_(dtype) {
    shape = tile_shape;
    function = [](const TileKernel* self, const TileCall* call, std::int64_t begin,
                  std::int64_t end) {
      const auto& tile = static_cast<const PlainTile&>(*self);
      const auto size = static_cast<std::int64_t>(size_of(tile.dtype_));
      multiply({tile.dtype_, tile.shape.rows, tile.shape.columns, end - begin,
                call->groups[0] + call->steps[begin], 1, tile.shape.rows,
                call->columns + begin * call->column_step, call->column_step / size, 1, call->out,
                call->out_stride / size, call->addend != nullptr});
    };
  }

 private:
  DType dtype_;
};

/// Will be read soon.
void expect(const std::byte* from, std::int64_t bytes) {
  for (std::int64_t at = 0; at < bytes; at += 64) __builtin_prefetch(from + at);
}

/// The share of a tile's work that is not wasted where tiles of `height` cover `rows`, and how well
/// such a tile keeps the processor busy.
double worth(std::int64_t height, std::int64_t rows) {
  static constexpr std::array<double, 8> busy{0, .3, .5, .7, .8, .9, .96, .98};
  const double cover = static_cast<double>(rows) / static_cast<double>(up(rows, height) * height);
  return cover * (height < 8 ? busy[static_cast<std::size_t>(height)] : 1);
}

}  // namespace

// ---- sizes --------------------------------------------------------------------------------------

SizedContraction::SizedContraction(const ir::Kernel& kernel, const DimBindings& bindings,
                                   ir::KernelCompiler& compiler,
                                   const std::function<const std::byte*(int)>& constants) {
  size_operands(kernel, bindings);
  depth_ = depth_of(sum_dtype_, m_, n_, k_);
  if (batches_ == 0 || m_ == 0 || n_ == 0 || k_ == 0) return;
  const std::byte* const constant = depth_.pieces == 1 ? constants(columns_.buffer) : nullptr;
  choose_tile(compiler, constant != nullptr);
  if (constant && shared_ && !turned_) keep(constant);
}

void SizedContraction::size_operands(const ir::Kernel& kernel, const DimBindings& bindings) {
  const ir::Contraction& c = *kernel.contraction;
  const auto at = [&](const Dim& dim) {
    return dim.is_constant() ? dim.value() : dim.evaluate(bindings);
  };
  const std::size_t rank = kernel.axes.size();
  Operand a, b;
  for (std::size_t i = 0; i + 2 < rank; ++i) {
    batch_.push_back(at(kernel.axes[i]));
    a.batch.push_back(at(c.a_batch[i]));
    b.batch.push_back(at(c.b_batch[i]));
    batches_ *= batch_.back();
  }
  m_ = at(kernel.axes[rank - 2]), n_ = at(kernel.axes[rank - 1]), k_ = at(c.k);
  a.buffer = c.a, b.buffer = c.b, out_ = c.out;
  a.offset = at(c.a_offset), b.offset = at(c.b_offset), out_offset_ = at(c.out_offset);
  const auto dtype = [&](int buffer) {
    return kernel.buffers[static_cast<std::size_t>(buffer)].dtype;
  };
  dtype_ = dtype(c.a), sum_dtype_ = dtype(c.out);
  size_ = static_cast<std::int64_t>(size_of(sum_dtype_));
  a.line = Line::regular(m_, at(c.a_m));
  if (c.gather) {
    const auto line = [&](const Dims& extents, const Dims& strides) {
      return Line::of(evaluate(extents, bindings), evaluate(strides, bindings));
    };
    a.depth = line(c.gather->k, c.gather->a_k);
    b.depth = line(c.gather->k, c.gather->b_k);
    b.line = line(c.gather->n, c.gather->b_n);
  } else {
    a.depth = Line::regular(k_, at(c.a_k));
    b.depth = Line::regular(k_, at(c.b_k));
    b.line = Line::regular(n_, at(c.b_n));
  }
  // Windows are read element by element from where they lie: as rows.
  turned_ = c.gather.has_value();
  rows_ = std::move(turned_ ? b : a);
  columns_ = std::move(turned_ ? a : b);
}

void SizedContraction::choose_tile(ir::KernelCompiler& compiler, bool constant) {
  const DType dtype = packed_dtype(dtype_);
  const ir::TileLimits limits = compiler.tile_limits(dtype);
  if (limits.rows > 0 && !turned_ && turns_better(limits, constant)) {
    std::swap(rows_, columns_);
    turned_ = true;
  }
  shared_ =
      batches_ == 1 || std::ranges::all_of(columns_.batch, [](std::int64_t s) { return s == 0; });
  if (limits.rows == 0) {
    height_ = std::min<std::int64_t>(rows_.line.count, 24);
    width_ = std::min<std::int64_t>(columns_.line.count, 128);
    run_ = rows_.line.count;
    const ir::TileShape shape{static_cast<int>(height_), static_cast<int>(width_)};
    tile_ = std::make_shared<PlainTile>(dtype, shape);
  } else {
    choose_columns(limits);
    choose_rows(limits);
    const Line& line = columns_.line;
    columns_readable_ = dtype_ == sum_dtype_ && line.is_regular() && line.stride == 1 &&
                        line.count >= width_ && columns_.depth.is_regular() &&
                        (columns_.depth.stride * size_ % aliased != 0 || tiles() <= 2 ||
                         (k_ <= short_sum && few(tiles())));
    columns_direct_ =
        columns_readable_ && (few(tiles()) || columns_.depth.stride * k_ * size_ <= small_matrix);
    tile_ = compiler.tile(dtype, {static_cast<int>(height_), static_cast<int>(width_)});
  }
  together_ = !columns_direct_ && tiles() > 2 &&
              (shared_ || columns_.line.count * k_ * size_ > limits.block_bytes);
  rows_at_once_ =
      std::max<std::int64_t>(1, limits.block_bytes / 2 / (depth_.step * height_ * size_)) * height_;
  const std::int64_t fit = limits.block_bytes / (depth_.step * width_ * size_);
  const std::int64_t groups = up(panels(), std::max<std::int64_t>(1, fit));
  group_panels_ = turned_ || tiles() == 1 ? 1 : up(panels(), groups);
  const std::int64_t step = std::min(k_, depth_.step);
  for (std::int64_t p = 0; p < step; ++p) packed_steps_.push_back(p * height_ * size_);
  const std::int64_t read = !rows_direct_ ? 0 : rows_.depth.is_regular() ? step : k_;
  for (std::int64_t p = 0; p < read; ++p) steps_.push_back(rows_.depth.at(p) * size_);
}

/// Where there are few columns, most of a vector of them would be empty: rows take their place,
/// although elements of theirs that lie apart have to be turned first.
bool SizedContraction::turns_better(const ir::TileLimits& limits, bool constant) const {
  // Cycles for a step of the sum, about.
  const auto effort = [&](const Operand& rows, const Operand& columns, bool packed) {
    const double pack = packed ? 0 : columns.line.stride == 1 ? .05 : .4;
    return static_cast<double>(rows.line.count * up(columns.line.count, limits.lanes)) +
           pack * static_cast<double>(columns.line.count);
  };
  return 1.15 * effort(columns_, rows_, false) < effort(rows_, columns_, constant);
}

void SizedContraction::choose_columns(const ir::TileLimits& limits) {
  const std::int64_t count = columns_.line.count, rows = rows_.line.count;
  const auto padded = [&](int vectors) {
    const std::int64_t columns = std::int64_t{vectors} * limits.lanes;
    return up(count, columns) * columns;
  };
  // Turned tiles take one panel at a time through all rows: narrow ones stay in the first-level
  // cache.
  int vectors = turned_ && rows > limits.rows ? 1 : limits.vectors;
  while (vectors > 1 && padded(vectors) * 8 > padded(vectors - 1) * 9) --vectors;
  if (rows <= few_rows && columns_.line.stride == 1) {
    // Few rows wait for memory, which is quickest along a row of columns.
    const auto most = std::min<std::int64_t>((limits.rows * limits.vectors + 4) / (rows + 1),
                                             count / limits.lanes);
    int best = vectors;
    for (int wide = static_cast<int>(most); wide > vectors; --wide)
      if (best == vectors || padded(wide) * 33 < padded(best) * 32) best = wide;
    vectors = best;
  }
  width_ = std::int64_t{vectors} * limits.lanes;
}

/// More of these rows compete for places in the first-level cache than it has: where they lie a
/// multiple of 4096 bytes apart, or little more or less than that.
bool SizedContraction::compete(std::int64_t rows) const {
  if (!rows_.line.is_regular() || k_ * size_ <= 256) return false;
  if (!rows_.depth.is_regular() || rows_.depth.stride != 1)
    return rows > 4 && rows_.line.stride * size_ % aliased == 0;
  constexpr std::int64_t cache_line = 64, sets = aliased / cache_line, most = 6;
  std::array<std::int64_t, sets> taken{};
  const std::int64_t length = std::min(std::min(k_, depth_.step) * size_, aliased),
                     stride = (rows_.line.stride * size_ % aliased + aliased) % aliased;
  for (std::int64_t i = 0; i < rows; ++i)
    for (std::int64_t at = 0; at < length; at += cache_line)
      ++taken[static_cast<std::size_t>((i * stride + at) / cache_line % sets)];
  return std::ranges::max(taken) > most;
}

void SizedContraction::choose_rows(const ir::TileLimits& limits) {
  const Line& line = rows_.line;
  const std::int64_t vectors = width_ / limits.lanes;
  const std::int64_t most = std::min({limits.rows * limits.vectors / vectors, line.count,
                                      std::int64_t{TileCall::group} * TileCall::max_groups});
  const bool in_groups = line.run % TileCall::group == 0;
  const bool lies_well = line.is_regular() || in_groups || line.run > TileCall::group;
  rows_direct_ = dtype_ == sum_dtype_ && lies_well && !compete(most);
  run_ = rows_direct_ && !in_groups ? line.run : line.count;
  // Of one long run few heights are used, so that few kernels are made.
  const bool in_runs = run_ < line.count;
  for (std::int64_t height = most; height >= 1; --height) {
    if (rows_direct_ && !line.is_regular() && in_groups && height % TileCall::group != 0) continue;
    if (!in_runs && height != most && height != 8 && height > 6) continue;
    if (height > run_) continue;
    if (worth(height, run_) > 1.02 * worth(height_, run_)) height_ = height;
  }
}

void SizedContraction::keep(const std::byte* columns) {
  const Range all{0, panels()};
  kept_ = Buffer::allocate(static_cast<std::size_t>(all.size() * width_ * k_ * size_));
  columns_direct_ = columns_readable_ = together_ = false;
  const std::byte* from = columns + columns_.offset * static_cast<std::int64_t>(size_of(dtype_));
  for (std::int64_t b = 0; b < blocks().end; ++b) {
    const Range steps = steps_of(b);
    pack_columns(from, all, steps, steps, kept_.data() + packed_block(all, steps));
  }
}

// ---- tiles, panels and blocks -------------------------------------------------------------------

std::int64_t SizedContraction::tiles() const { return rows_.line.count / run_ * up(run_, height_); }

Range SizedContraction::rows_of(Range tiles) const {
  const std::int64_t in_run = up(run_, height_);
  const auto first = [&](std::int64_t tile) {
    return tile / in_run * run_ + tile % in_run * height_;
  };
  return {first(tiles.begin), first(tiles.end)};
}

bool SizedContraction::few(std::int64_t tiles) const {
  return tiles * 64 <= few_tiles * width_ * size_;
}

std::int64_t SizedContraction::panels() const { return up(columns_.line.count, width_); }

Range SizedContraction::columns_of(Range panels) const {
  return {panels.begin * width_, std::min(panels.end * width_, columns_.line.count)};
}

Range SizedContraction::panels_of(Range columns) const {
  return {columns.begin / width_, up(columns.end, width_)};
}

Range SizedContraction::blocks() const { return {0, up(k_, depth_.step)}; }

Range SizedContraction::steps_of(std::int64_t block) const {
  return {block * depth_.step, std::min((block + 1) * depth_.step, k_)};
}

/// Packed columns lie block by block, in a block panel by panel.
std::int64_t SizedContraction::packed_block(Range panels, Range steps) const {
  return steps.begin * panels.size() * width_ * size_;
}
std::int64_t SizedContraction::packed_panel(Range panels, std::int64_t panel, Range steps) const {
  return (panel - panels.begin) * steps.size() * width_ * size_;
}

/// `some` of the steps of a block. Along a step rather than along a panel where elements lie so.
void SizedContraction::pack_columns(const std::byte* from, Range panels, Range steps, Range some,
                                    std::byte* block) const {
  const std::int64_t most = columns_.line.stride == 1 ? steps_at_once : some.size();
  for (std::int64_t begin = some.begin; begin < some.end; begin += most) {
    const Range now{begin, std::min(begin + most, some.end)};
    std::byte* to = block + (begin - steps.begin) * width_ * size_;
    for (std::int64_t panel = panels.begin; panel < panels.end; ++panel)
      pack(dtype_, from, columns_.line, columns_of({panel, panel + 1}), columns_.depth, now,
           to + packed_panel(panels, panel, steps), width_);
  }
}

// ---- running ------------------------------------------------------------------------------------

struct SizedContraction::Job {
  void* const* buffers;
  const Finish* finish;
  const std::byte* packed = nullptr;  // columns that all threads share
  Range packed_panels{};
};

/// Some rows by some columns of one product, over some blocks of the sum.
struct SizedContraction::Part {
  std::int64_t batch;
  Range rows, columns, blocks;
  std::byte* out;  // the product's first element
};

const std::byte* SizedContraction::place(const Job& job, const Operand& operand,
                                         std::int64_t batch) const {
  std::int64_t at = operand.offset;
  for (std::size_t axis = batch_.size(); axis-- > 0; batch /= batch_[axis])
    at += batch % batch_[axis] * operand.batch[axis];
  return static_cast<const std::byte*>(job.buffers[operand.buffer]) +
         at * static_cast<std::int64_t>(size_of(dtype_));
}

void SizedContraction::run(void* const* buffers, const Finish* finish) const {
  const double flops = 2. * static_cast<double>(batches_ * m_ * n_) * static_cast<double>(k_);
  const std::int64_t threads = flops < least_parallel_flops ? 1 : num_threads();
  if (flops == 0 || depth_.pieces > 1) return run_in_order(buffers, {0, rows()}, finish, threads);
  const Job job{buffers, finish, kept_.data(), {0, panels()}};
  if (!together_) return run_panels(job, {0, batches_}, {0, panels()}, threads);
  const std::int64_t fit = shared_bytes / (k_ * width_ * size_);
  const std::int64_t most = std::max(group_panels_, fit / group_panels_ * group_panels_),
                     products = shared_ ? batches_ : 1;
  for (std::int64_t batch = 0; batch < batches_; batch += products)
    for (std::int64_t begin = 0; begin < panels(); begin += most)
      run_panels(job, {batch, batch + products}, {begin, std::min(begin + most, panels())},
                 threads);
}

void SizedContraction::run_rows(void* const* buffers, Range rows, const Finish* finish) const {
  run_in_order(buffers, rows, finish, 1);
}

/// One product after another.
void SizedContraction::run_in_order(void* const* buffers, Range rows, const Finish* finish,
                                    std::int64_t threads) const {
  if (rows.size() <= 0 || n_ == 0) return;
  auto* const out = static_cast<std::byte*>(buffers[out_]) + out_offset_ * size_;
  if (k_ == 0) {
    std::memset(out + rows.begin * n_ * size_, 0,
                static_cast<std::size_t>(rows.size() * n_ * size_));
    if (finish) (*finish)(rows.begin * n_, rows.end * n_);
    return;
  }
  const Job job{buffers, finish, kept_.data(), {0, panels()}};
  for (std::int64_t begin = rows.begin; begin < rows.end;) {
    const std::int64_t batch = begin / m_, end = std::min(rows.end, (batch + 1) * m_);
    const Range m{begin - batch * m_, end - batch * m_}, n{0, n_};
    const Part part{batch, turned_ ? n : m, turned_ ? m : n, blocks(),
                    out + batch * m_ * n_ * size_};
    depth_.pieces > 1 ? run_pieces(job, part, threads) : run_groups(job, part);
    begin = end;
  }
}

/// Turned tiles take a panel at a time through all rows.
void SizedContraction::run_groups(const Job& job, const Part& whole) const {
  if (!turned_) return run_part(job, whole);
  Part part = whole;
  while (part.columns.begin < whole.columns.end) {
    const std::int64_t last = part.columns.begin / width_ + group_panels_;
    part.columns.end = std::min(whole.columns.end, last * width_);
    run_part(job, part);
    part.columns.begin = part.columns.end;
  }
}

/// Some products, for some of the columns.
void SizedContraction::run_panels(const Job& whole, Range batches, Range panels,
                                  std::int64_t threads) const {
  Job job = whole;
  if (together_) {
    const std::int64_t bytes = panels.size() * width_ * k_ * size_;
    std::byte* const to = scratch<Shared>(bytes);
    const std::byte* const from = place(job, columns_, batches.begin);
    const auto some = [&](std::int64_t begin, std::int64_t end) {
      while (begin < end) {
        const Range steps = steps_of(begin / depth_.step), now{begin, std::min(end, steps.end)};
        pack_columns(from, panels, steps, now, to + packed_block(panels, steps));
        begin = now.end;
      }
    };
    threads == 1 || bytes < serial_packing ? some(0, k_) : parallel_for(k_, steps_at_once, some);
    job.packed = to, job.packed_panels = panels;
  }
  auto* const out = static_cast<std::byte*>(job.buffers[out_]) + out_offset_ * size_;
  // Where there are many rows the columns are not cut: rows are packed once.
  const bool many = !turned_ && batches.size() * tiles() >= many_tiles * threads;
  std::int64_t group = many ? panels.size() : std::min(group_panels_, panels.size());
  // Where there are few, each thread's columns are its own as far as that is possible.
  const std::int64_t cut = rows_direct_ && few(tiles()) ? 1 : tiles();
  while (group > 1 && batches.size() * cut * up(panels.size(), group) < 4 * threads)
    group = up(group, 2);
  const std::int64_t groups = up(panels.size(), group), of_one = tiles();
  // A thread's share: neighbouring tiles of a group of panels, then of the next group.
  const auto share = [&](std::int64_t begin, std::int64_t end) {
    while (begin < end) {
      const std::int64_t number = begin / of_one;
      const std::int64_t last = std::min(end, (number + 1) * of_one);
      const std::int64_t batch = batches.begin + number / groups;
      const std::int64_t first = panels.begin + number % groups * group;
      run_part(job, {batch, rows_of({begin - number * of_one, last - number * of_one}),
                     columns_of({first, std::min(first + group, panels.end)}), blocks(),
                     out + batch * m_ * n_ * size_});
      begin = last;
    }
  };
  const std::int64_t units = batches.size() * groups * of_one;
  // Products that pack their columns for themselves are not shared among threads without need.
  const bool alone = !job.packed && !columns_direct_ && batches.size() * groups >= 4 * threads;
  const std::int64_t grain = alone ? of_one : 1;
  threads == 1 ? share(0, units) : parallel_for(units, grain, share);
}

/// The sums of each piece apart, then added up in order.
void SizedContraction::run_pieces(const Job& job, const Part& whole, std::int64_t threads) const {
  const Range m = turned_ ? whole.columns : whole.rows;
  const std::int64_t bytes = m.size() * n_ * size_, skipped = m.begin * n_ * size_;
  std::byte* const sums = scratch<Shared>(depth_.pieces * bytes);
  const Job unfinished{job.buffers, nullptr};
  const Range panels = panels_of(whole.columns);
  const std::int64_t wanted = threads == 1 ? 1 : up(4 * threads, depth_.pieces),
                     group = up(panels.size(), wanted), groups = up(panels.size(), group);
  const auto some = [&](std::int64_t begin, std::int64_t end) {
    const std::int64_t blocks_each = depth_.piece_size / depth_.step;
    for (; begin < end; ++begin) {
      const std::int64_t piece = begin / groups, first = panels.begin + begin % groups * group;
      const Range columns = columns_of({first, std::min(first + group, panels.end)});
      Part part = whole;
      part.columns = {std::max(columns.begin, whole.columns.begin),
                      std::min(columns.end, whole.columns.end)};
      part.blocks = {piece * blocks_each, std::min((piece + 1) * blocks_each, blocks().end)};
      part.out = sums + piece * bytes - skipped;
      run_groups(unfinished, part);
    }
  };
  threads == 1 ? some(0, depth_.pieces) : parallel_for(depth_.pieces * groups, 1, some);

  std::byte* const out = whole.out + skipped;
  const std::int64_t first = (whole.batch * m_ + m.begin) * n_;
  const auto add = [&](std::int64_t begin, std::int64_t end) {
    const std::int64_t count = end - begin;
    const TilePart row{sum_dtype_, {0, 1}, {0, count}, count, false, true};
    std::memcpy(out + begin * size_, sums + begin * size_, static_cast<std::size_t>(count * size_));
    for (std::int64_t piece = 1; piece < depth_.pieces; ++piece)
      deliver(row, sums + piece * bytes + begin * size_, out + begin * size_, count);
    if (job.finish) (*job.finish)(first + begin, first + end);
  };
  constexpr std::int64_t grain = 4096;
  threads == 1 ? add(0, m.size() * n_) : parallel_for(m.size() * n_, grain, add);
}

/// Columns are read where they lie where that was settled on, and where there are too few rows for
/// packing them to pay.
bool SizedContraction::reads_columns(const Job& job, const Part& part) const {
  return columns_direct_ || (columns_readable_ && !job.packed && few(part.rows.size() / height_));
}

struct SizedContraction::Packed {
  std::byte* tile;     // room for one's result
  std::byte* spare;    // and for its rows
  std::byte* rows;     // from `first` on, where they are not read where they lie
  std::byte* columns;  // null: all threads', or read where they lie
  std::int64_t first;
};

/// Some rows at a time; block after block of the sum; as many columns at a time as stay in the
/// cache, for all these rows.
void SizedContraction::run_part(const Job& job, const Part& part) const {
  const std::int64_t at_once =
      rows_direct_ ? part.rows.size() : std::min(rows_at_once_, part.rows.size());
  const std::int64_t in_tile = height_ * width_, in_rows = height_ * depth_.step,
                     in_chunk = rows_direct_ ? 0 : up(at_once, height_) * in_rows;
  const bool packs = !reads_columns(job, part) && !job.packed;
  const Range all = panels_of(part.columns);
  const std::int64_t in_columns =
      packs ? std::min(all.size(), group_panels_) * width_ * depth_.step : 0;
  Packed own{};
  own.tile = scratch<Own>((in_tile + in_rows + in_chunk + in_columns) * size_);
  own.spare = own.tile + in_tile * size_;
  own.rows = own.spare + in_rows * size_;
  own.columns = packs ? own.rows + in_chunk * size_ : nullptr;
  Part some = part;
  for (own.first = part.rows.begin; own.first < part.rows.end; own.first = some.rows.end) {
    some.rows = {own.first, std::min(own.first + at_once, part.rows.end)};
    for (std::int64_t block = part.blocks.begin; block < part.blocks.end; ++block) {
      const Range steps = steps_of(block);
      if (!rows_direct_) pack_rows(job, some, steps, own.rows);
      for (std::int64_t panel = all.begin; panel < all.end; panel += group_panels_) {
        const Range panels{panel, std::min(panel + group_panels_, all.end)};
        if (packs)
          pack_columns(place(job, columns_, part.batch), panels, steps, steps, own.columns);
        const Range columns = columns_of(panels);
        some.columns = {std::max(columns.begin, part.columns.begin),
                        std::min(columns.end, part.columns.end)};
        run_tiles(job, some, block, own);
      }
    }
    if (turned_) finish(job, part, some.rows);
  }
}

void SizedContraction::run_tiles(const Job& job, const Part& part, std::int64_t block,
                                 const Packed& own) const {
  const Range steps = steps_of(block);
  const bool asks = rows_direct_ && rows_.line.is_regular() && rows_.depth.stride == 1 &&
                    panels_of(part.columns).size() <= few_panels;
  const std::byte* const from = asks ? place(job, rows_, part.batch) : nullptr;
  for (std::int64_t row = part.rows.begin; row < part.rows.end;) {
    if (asks)
      for (std::int64_t next = row + height_; next < std::min(row + 2 * height_, part.rows.end);
           ++next)
        expect(from + (rows_.line.at(next) + steps.begin) * size_, steps.size() * size_);
    const std::int64_t run_end = (row / run_ + 1) * run_;
    const Range rows{row, std::min({row + height_, run_end, part.rows.end})};
    run_tile(job, part, rows, block, own);
    if (!turned_ && block + 1 == part.blocks.end) finish(job, part, rows);
    row = rows.end;
  }
}

/// Tile by tile.
void SizedContraction::pack_rows(const Job& job, const Part& part, Range steps,
                                 std::byte* to) const {
  const std::byte* const from = place(job, rows_, part.batch);
  for (std::int64_t row = part.rows.begin; row < part.rows.end; row += height_) {
    const Range rows{row, std::min(row + height_, part.rows.end)};
    pack(dtype_, from, rows_.line, rows, rows_.depth, steps, to, height_);
    to += height_ * steps.size() * size_;
  }
}

/// The rows of a tile where they lie, or else packed; the first of them. Where rows end early the
/// tile reaches back over ones that are done already: nothing else may be read.
std::int64_t SizedContraction::set_rows(TileCall& call, const Job& job, const Part& part,
                                        Range rows, Range steps, const Packed& own) const {
  const std::byte* const from = place(job, rows_, part.batch);
  const std::int64_t run_begin = rows.begin / run_ * run_;
  const std::int64_t least = std::max(run_begin, part.rows.begin),
                     most = std::min(run_begin + run_, part.rows.end) - height_;
  if (!rows_direct_ || most < least) {
    const std::byte* packed = own.rows + (rows.begin - own.first) * steps.size() * size_;
    if (rows_direct_) {
      pack(dtype_, from, rows_.line, rows, rows_.depth, steps, own.spare, height_);
      packed = own.spare;
    }
    for (std::int64_t i = 0; i < height_; i += TileCall::group)
      call.groups[i / TileCall::group] = packed + i * size_;
    call.row_stride = size_;
    call.steps = packed_steps_.data();
    return rows.begin;
  }
  const std::int64_t start = std::min(rows.begin, most);
  const bool regular = rows_.depth.is_regular();
  const std::int64_t at = regular ? rows_.depth.at(steps.begin) : 0;
  for (std::int64_t i = 0; i < height_; i += TileCall::group)
    call.groups[i / TileCall::group] = from + (rows_.line.at(start + i) + at) * size_;
  call.row_stride = rows_.line.stride * size_;
  call.steps = steps_.data() + (regular ? 0 : steps.begin);
  return start;
}

/// One tile of rows by all the part's panels.
void SizedContraction::run_tile(const Job& job, const Part& part, Range rows, std::int64_t block,
                                const Packed& own) const {
  const Range steps = steps_of(block), panels = panels_of(part.columns);
  TileCall call;
  const std::int64_t start = set_rows(call, job, part, rows, steps, own);
  const bool first = block == part.blocks.begin, direct = !own.columns && !job.packed;
  const bool whole_rows = start == rows.begin && rows.size() == height_ && !turned_;
  call.column_step = (direct ? columns_.depth.stride : width_) * size_;
  for (std::int64_t panel = panels.begin; panel < panels.end; ++panel) {
    const std::int64_t left =
        direct ? std::min(panel * width_, columns_.line.count - width_) : panel * width_;
    const Range columns{std::max(panel * width_, part.columns.begin),
                        std::min((panel + 1) * width_, part.columns.end)};
    if (direct)
      call.columns =
          place(job, columns_, part.batch) + (left + columns_.depth.at(steps.begin)) * size_;
    else if (own.columns)
      call.columns = own.columns + packed_panel(panels, panel, steps);
    else
      call.columns = job.packed + packed_block(job.packed_panels, steps) +
                     packed_panel(job.packed_panels, panel, steps);
    std::byte* const out =
        part.out +
        (turned_ ? columns.begin * n_ + rows.begin : rows.begin * n_ + columns.begin) * size_;
    const bool whole = whole_rows && columns.size() == width_;
    call.out = whole ? out : own.tile;
    call.addend = whole && !first ? out : nullptr;
    call.out_stride = call.addend_stride = (whole ? n_ : width_) * size_;
    tile_->run(call, 0, steps.size());
    if (whole) continue;
    const Range of_rows{rows.begin - start, rows.end - start},
        of_columns{columns.begin - left, columns.end - left};
    deliver({sum_dtype_, of_rows, of_columns, width_, turned_, !first}, own.tile, out, n_);
  }
}

void SizedContraction::finish(const Job& job, const Part& part, Range rows) const {
  if (!job.finish) return;
  const Range m = turned_ ? part.columns : rows, n = turned_ ? rows : part.columns;
  const std::int64_t first = part.batch * m_ * n_;
  if (n.size() == n_) return (*job.finish)(first + m.begin * n_, first + m.end * n_);
  for (std::int64_t i = m.begin; i < m.end; ++i)
    (*job.finish)(first + i * n_ + n.begin, first + i * n_ + n.end);
}

}  // namespace weft::runtime
