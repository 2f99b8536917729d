#include "codegen/cuda/product_text.h"

#include <algorithm>

#include "codegen/cuda/product_operand.h"
#include "codegen/cuda/product_store.h"
#include "codegen/cuda/row_text.h"
#include "ir/depth.h"

namespace weft::codegen {
namespace {

using ir::Kernel;

/// Factors and sums as they are held on the chip.
std::string_view chip_type(DType t) {
  switch (t) {
    case DType::float16:
    case DType::bfloat16:
    case DType::float32: return "float";
    case DType::float64: return "double";
    case DType::complex64:
    case DType::complex128: return cuda_type(t);
    case DType::int64:
    case DType::uint64: return "weft_u64";
    case DType::boolean:
    case DType::uint8:
    case DType::int8:
    case DType::uint16:
    case DType::int16:
    case DType::uint32:
    case DType::int32: return "unsigned";
  }
  __builtin_unreachable();
}

std::string factor_type(DType t) {
  if (t == DType::float16) return "weft_factor_f16";
  if (t == DType::bfloat16) return "weft_factor_bf16";
  return cat({"weft_factor<", cuda_type(t), ", ", chip_type(t), ">"});
}

class ProductWriter {
 public:
  ProductWriter(const Kernel& k, const CudaProduct& how, std::string_view name)
      : k_(k),
        c_(*k.contraction),
        how_(how),
        name_(name),
        dtype_(dtype_of(k, c_.a)),
        sum_dtype_(dtype_of(k, c_.out)),
        chip_(chip_type(dtype_)),
        batch_axes_(k.axes.size() - 2),
        store_(k, name, out_) {
    describe_operands();
  }

  ProductText write() {
    store_.write_tables();
    ProductText result;
    const Dim items = batches() * m() * n();
    ir::DeviceLaunch launch{.entry = name_ + "_product",
                            .threads = how_.threads(),
                            .shared = static_cast<int>(shared_bytes()),
                            .product = !how_.tensor};
    const Dim columns = how_.images ? batches() * n() : n();
    launch.blocks = ceildiv(m(), Dim(how_.tile_m())) * ceildiv(columns, Dim(how_.tile_n())) *
                    Dim(how_.parts);
    if (!how_.images) launch.blocks = launch.blocks * batches();
    launch.workspace = how_.parts > 1;
    write_product(launch.entry);
    result.launches.push_back(std::move(launch));
    if (how_.parts > 1) {
      result.workspace = items * Dim(how_.parts * chip_size(dtype_));
      constexpr int threads = 256;
      result.launches.push_back({.entry = name_ + "_sum",
                                 .threads = threads,
                                 .blocks = ceildiv(items, Dim(threads)),
                                 .workspace = true});
      write_sum(result.launches.back().entry, threads);
    }
    result.text = out_.text();
    result.schedule = schedule();
    return result;
  }

 private:
  [[nodiscard]] const Dim& m() const { return k_.axes[k_.axes.size() - 2]; }
  [[nodiscard]] const Dim& n() const { return k_.axes[k_.axes.size() - 1]; }
  [[nodiscard]] Dim batches() const {
    Dim all = 1;
    for (std::size_t i = 0; i < batch_axes_; ++i) all = all * k_.axes[i];
    return all;
  }
  /// Integers need no order; complex sums are one chain.
  [[nodiscard]] bool has_blocks() const { return is_floating(dtype_); }
  /// Pieces are met one after another where it is not known how many there are.
  [[nodiscard]] bool meets_pieces() const {
    return !how_.tensor && has_blocks() && how_.parts == 1 && !one_piece();
  }
  [[nodiscard]] bool one_piece() const {
    const auto rows = m().constant(), columns = n().constant(), depth = c_.k.constant();
    return rows && columns && depth &&
           ir::depth_of(sum_dtype_, *rows, *columns, *depth).pieces == 1;
  }

  [[nodiscard]] std::string schedule() const {
    std::string text = cat({"a block a tile of ", std::to_string(how_.tile_m()), "x",
                            std::to_string(how_.tile_n())});
    if (how_.tensor) text += how_.groups ? " by warpgroups" : " by tensor cores";
    if (how_.parts > 1) text += cat({", its sum in ", std::to_string(how_.parts), " parts"});
    return text;
  }

  [[nodiscard]] std::string_view tensor_factor() const {
    if (dtype_ == DType::float32) return "weft_tensor_tf32";
    return dtype_ == DType::bfloat16 ? "weft_tensor_bf16" : "weft_tensor_f16";
  }
  [[nodiscard]] std::string tiles_type() const {
    const std::string tile = cat({str(how_.tile_m()), ", ", str(how_.tile_n()), ", "});
    const std::string threads = cat({str(how_.down), ", ", str(how_.across)});
    if (how_.groups)
      return cat({"weft_tensor_groups<", tensor_factor(), ", ", tile, str(how_.threads() / 128),
                  ", ", str(stages()), ">"});
    if (how_.tensor)
      return cat({"weft_tensor<", tensor_factor(), ", ", tile, threads, ", ", str(stages()), ">"});
    return cat({"weft_cores<", chip_, ", ", threads, ", ", str(how_.rows), ", ", str(how_.columns),
                ", ", str(cores_depth(how_, chip_size(dtype_))), ", ",
                meets_pieces() ? "true" : "false", ">"});
  }

  /// Of tensor cores' operands in shared memory.
  [[nodiscard]] int stages() const { return how_.groups ? 6 : 4; }
  /// As the prelude lays it out.
  [[nodiscard]] std::int64_t shared_bytes() const {
    const std::int64_t tile_m = how_.tile_m(), tile_n = how_.tile_n();
    if (how_.tensor) {
      const std::int64_t padding = dtype_ == DType::float32 ? 16 : 0;
      const std::int64_t alignment = how_.groups ? 1024 : 0;
      return std::max<std::int64_t>(stages() * (tile_m + tile_n + padding) * 64 + alignment,
                                    tile_m * (tile_n + 8) * 4);
    }
    const std::int64_t size = chip_size(dtype_), unit = std::max<std::int64_t>(16 / size, 1);
    return size * (tile_m * (tile_n + unit) * (meets_pieces() ? 2 : 1) +
                   2 * cores_depth(how_, size) * (tile_m + tile_n + 2 * unit));
  }

  // ---- operands ----

  void describe_operands() {
    a_ = {"a", c_.a, dtype_, c_.a_offset, c_.a_batch, ProductLine::of({m()}, {c_.a_m}), {}};
    b_ = {"b", c_.b, dtype_, c_.b_offset, c_.b_batch, {}, {}};
    Dims k{c_.k}, a_k{c_.a_k}, b_k{c_.b_k}, columns{n()}, b_n{c_.b_n};
    if (c_.gather)
      k = c_.gather->k, a_k = c_.gather->a_k, b_k = c_.gather->b_k, columns = c_.gather->n,
      b_n = c_.gather->b_n;
    if (how_.images) {
      columns.insert(columns.begin(), k_.axes.begin(), k_.axes.end() - 2);
      b_n.insert(b_n.begin(), c_.b_batch.begin(), c_.b_batch.end());
      a_.batch.clear(), b_.batch.clear();
    }
    b_.own = ProductLine::of(columns, b_n);
    // Tensor cores add in an order of their own: channels that lie side by side come last.
    const auto dense = std::find(b_k.begin(), b_k.end(), Dim(1));
    if (how_.tensor && dense != b_k.end() && !b_.own.has_runs())
      for (Dims* all : {&k, &a_k, &b_k}) {
        const auto at = all->begin() + (dense - b_k.begin());
        std::rotate(at, at + 1, all->end());
      }
    a_.depth = ProductLine::of(k, a_k);
    b_.depth = ProductLine::of(k, b_k);
  }

  [[nodiscard]] int line_length(const ProductOperand& x) const {
    const auto size = static_cast<int>(size_of(x.dtype));
    return size > 4 ? 16 / size : 4;
  }

  void write_axes(const ProductOperand& x) {
    const std::string_view type = x.index_type();
    out_.line(cat({"const auto own_", x.name, " = [&](", type, " i) -> ", type, " { return ",
                   x.own.walked("i"), "; };"}));
    out_.line(cat({"const auto depth_", x.name, " = [&](", type, " p) -> ", type, " { return ",
                   x.depth.walked("p"), "; };"}));
  }

  void write_operand(const ProductOperand& x) {
    out_.line(cat({"const weft_i64 from_", x.name, " = ", x.begin(), ";"}));
    const auto flag = [](bool b) { return b ? "true" : "false"; };
    const std::string buffer = "b" + std::to_string(x.buffer);
    if (how_.tensor) {
      out_.line(cat({"const auto ", x.name, " = weft_make_tensor_operand<",
                     flag(x.threads_along()), ", ", std::to_string(x.unit()), ", ",
                     x.index_type(), ">((const ", tensor_factor(), "::Stored*)", buffer, " + from_",
                     x.name, ", own_", x.name, ", depth_", x.name, ", ", x.aligned(), ");"}));
      return;
    }
    const ProductLine& line = x.along() ? x.depth : x.own;
    out_.line(cat({"const auto ", x.name, " = weft_make_operand<", factor_type(x.dtype), ", ",
                   flag(x.along()), ", ", flag(x.regular()), ", ", x.index_type(), ">((const ",
                   cuda_type(x.dtype), "*)", buffer, " + from_", x.name, ", own_", x.name,
                   ", depth_", x.name, ", ", dim_text(line.strides.back()), ", ",
                   dim_text(line.extents.back()), ", ", x.wide(line_length(x)), ");"}));
  }

  // ---- functions ----

  void write_extents(bool images) {
    const std::string each = dim_text(n()), all = dim_text(batches());
    out_.line(cat({"const weft_i64 m = ", dim_text(m()), ", n = ", each,
                   images ? cat({" * (", all, ")"}) : "", ";"}));
    out_.line(cat({"const weft_i64 batches = ", images ? "1" : all, ";"}));
  }

  void write_batch_coordinates() {
    std::string rest = "batch";
    for (std::size_t i = batch_axes_; i-- > 0;) {
      const std::string extent = cat({"(", dim_text(k_.axes[i]), ")"});
      out_.line(cat({"const weft_i64 c", std::to_string(i), " = ",
                     i == 0 ? rest : cat({rest, " % ", extent}), ";"}));
      rest = cat({"(", rest, " / ", extent, ")"});
    }
  }
  /// Of columns of all images, one's image and its place there.
  void write_image(std::string_view column, std::string_view place) {
    const std::string each = cat({"(", dim_text(n()), ")"});
    out_.line(cat({"const weft_i64 batch = ", place, " / ", each, ", ", column, " = ", place,
                   " % ", each, ";"}));
    write_batch_coordinates();
  }

  /// Of a multiprocessor, where their registers leave enough to each.
  [[nodiscard]] int blocks_together() const {
    const int tile = how_.tile_m() * how_.tile_n();
    if (chip_size(dtype_) != 4 || tile > 128 * 128) return 1;
    if (!how_.tensor) return wide_blocks_together(how_);
    const auto moved = [](const ProductOperand& x) {  // bytes, at once
      return x.unit() * static_cast<int>(size_of(x.dtype));
    };
    const int least = std::min(moved(a_), moved(b_));  // those below 4 pass through registers
    const bool far = a_.index_type() != "int" || b_.index_type() != "int";
    if (tile <= 64 * 64) return far || least <= 4 ? 2 : 4;
    return far || least < 4 || how_.threads() < 256 ? 1 : 2;
  }

  void write_product(const std::string& entry) {
    const int blocks = blocks_together();
    std::string parameters = parameter_text(k_);
    if (!how_.tensor) parameters += ", weft_i64 block, weft_i64 piece";
    if (how_.parts > 1) parameters += ", char* workspace";
    out_.open(cat({"extern \"C\" __global__ void __launch_bounds__(",
                   std::to_string(how_.threads()),
                   blocks > 1 ? ", " + std::to_string(blocks) : "", ") ", entry, "(", parameters,
                   ")"}));
    out_.line(cat({"typedef ", tiles_type(), " tiles;"}));
    write_extents(how_.images);
    out_.line(cat({"const weft_i64 k = ", dim_text(c_.k), ";"}));
    out_.line("const weft_i64 tiles_m = (m + tiles::tile_m - 1) / tiles::tile_m;");
    out_.line("const weft_i64 tiles_n = (n + tiles::tile_n - 1) / tiles::tile_n;");
    out_.line(cat({"const weft_i64 of_one = tiles_m * tiles_n, all = of_one * batches * ",
                   str(how_.parts), ";"}));
    for (const ProductOperand* x : {&a_, &b_}) write_axes(*x);
    out_.line(cat({chip_, "* const tile = (", chip_, "*)weft_shared;"}));
    if (how_.parts == 1) store_.write_aligned(how_.images);
    out_.open("for (weft_i64 number = blockIdx.x; number < all; number += gridDim.x)");
    out_.line("weft_i64 tile_at_m, tile_at_n;");
    out_.line("weft_tile(number % of_one, tiles_m, tiles_n, tile_at_m, tile_at_n);");
    if (!how_.images) out_.line("const weft_i64 batch = number / of_one % batches;");
    out_.line("const weft_i64 first_m = tile_at_m * tiles::tile_m;");
    out_.line("const weft_i64 first_n = tile_at_n * tiles::tile_n;");
    if (!how_.images) write_batch_coordinates();
    for (const ProductOperand* x : {&a_, &b_}) write_operand(*x);
    if (how_.parts > 1) {
      out_.line(cat({"const weft_i64 part = number / of_one / batches, begin = part * ",
                     str(how_.part), ";"}));
      out_.line(cat({"const weft_i64 end = weft_min<weft_i64>(begin + ", str(how_.part),
                     ", k);"}));
    } else {
      out_.line("const weft_i64 begin = 0, end = k;");
    }
    if (how_.tensor)
      out_.line("tiles::run(a, b, m, n, first_m, first_n, begin, end, weft_shared);");
    else
      out_.line(cat({"tiles::run(a, b, m, n, first_m, first_n, begin, end, ",
                     has_blocks() ? "block, piece" : "(weft_i64)1 << 60, (weft_i64)1 << 60",
                     ", tile, tile + tiles::results", meets_pieces() ? " * 2" : "", ");"}));
    write_finish();
    out_.line("__syncthreads();");
    out_.close();
    out_.close();
  }

  /// A finished tile: into the workspace, or through the stages to where it belongs.
  void write_finish() {
    if (how_.parts > 1) return write_part();
    const int vector = store_.vector();
    const std::string v = std::to_string(vector);
    const std::string first = how_.images ? "place" : "first_column";
    out_.open(cat({"for (int group = threadIdx.x; group < tiles::tile_m * tiles::tile_n / ", v,
                   "; group += ", std::to_string(how_.threads()), ")"}));
    out_.line(cat({"const int down = group / (tiles::tile_n / ", v,
                   "), over = group % (tiles::tile_n / ", v, ") * ", v, ";"}));
    out_.line(cat({"const weft_i64 row = first_m + down, ", first, " = first_n + over;"}));
    out_.line(cat({"if (row >= m || ", first, " >= n) continue;"}));
    out_.line(cat({"const ", chip_, "* const sums = tile + down * tiles::pitch + over;"}));
    if (vector > 1) {
      out_.open(cat({"if (aligned && ", first, " + ", v, " <= n)"}));
      if (how_.images) write_image("first_column", "place");
      store_.write_elements(vector, "first_column", "sums[j]");
      out_.line("continue;");
      out_.close();
    }
    out_.open(cat({"for (int j = 0; j < ", v, " && ", first, " + j < n; ++j)"}));
    if (how_.images)
      write_image("column", "(place + j)");
    else
      out_.line("const weft_i64 column = first_column + j;");
    store_.write_elements(1, "column", "sums[j]");
    out_.close();
    out_.close();
  }

  void write_part() {
    out_.open(cat({"for (int e = threadIdx.x; e < tiles::tile_m * tiles::tile_n; e += ",
                   std::to_string(how_.threads()), ")"}));
    out_.line("const int down = e / tiles::tile_n, over = e % tiles::tile_n;");
    out_.line("const weft_i64 row = first_m + down, place = first_n + over;");
    out_.line("if (row >= m || place >= n) continue;");
    if (how_.images)
      write_image("column", "place");
    else
      out_.line("const weft_i64 column = place;");
    out_.line(cat({"((", chip_, "*)workspace)[((part * (", dim_text(batches()),
                   ") + batch) * m + row) * (", dim_text(n()),
                   ") + column] = tile[down * tiles::pitch + over];"}));
    out_.close();
  }

  /// Adds up parts: those of a piece in order, then pieces.
  void write_sum(const std::string& entry, int threads) {
    out_.open(cat({"extern \"C\" __global__ void __launch_bounds__(", std::to_string(threads), ") ",
                   entry, "(", parameter_text(k_), ", char* workspace)"}));
    write_extents(false);
    out_.line("const weft_i64 items = batches * m * n;");
    out_.open(cat({"for (weft_i64 item = blockIdx.x * (weft_i64)", std::to_string(threads),
                   " + threadIdx.x; item < items; item += gridDim.x * (weft_i64)",
                   std::to_string(threads), ")"}));
    out_.line("const weft_i64 column = item % n, row = item / n % m, batch = item / n / m;");
    write_batch_coordinates();
    out_.line(cat({"const ", chip_, "* const parts = (const ", chip_, "*)workspace + item;"}));
    out_.line(cat({chip_, " sum, total;"}));
    out_.line("#pragma unroll 8");
    out_.open(cat({"for (int part = 0; part < ", str(how_.parts), "; ++part)"}));
    out_.line(cat({"const ", chip_, " x = parts[part * items];"}));
    const std::string each = str(how_.parts_a_piece);
    out_.line(cat({"sum = part % ", each, " == 0 ? x : sum + x;"}));
    out_.line(cat({"if ((part + 1) % ", each, " == 0 || part + 1 == ", str(how_.parts),
                   ") total = part < ", each, " ? sum : total + sum;"}));
    out_.close();
    store_.write_elements(1, "column", "total");
    out_.close();
    out_.close();
  }

  const Kernel& k_;
  const ir::Contraction& c_;
  const CudaProduct how_;
  const std::string name_;
  const DType dtype_, sum_dtype_;
  const std::string_view chip_;
  const std::size_t batch_axes_;
  ProductOperand a_, b_;
  TextWriter out_;
  ProductStore store_;
};

}  // namespace

ProductText product_text(const Kernel& k, const CudaProduct& how, std::string_view name) {
  return ProductWriter(k, how, name).write();
}

}  // namespace weft::codegen
