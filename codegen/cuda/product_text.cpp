#include "codegen/cuda/product_text.h"

#include <algorithm>

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

std::string stored(DType t, const std::string& sum) {
  if (t == DType::boolean) return cat({sum, " != 0"});
  return is_complex(t) ? sum : cat({"(", cuda_type(t), ")", sum});
}

DType dtype_of(const Kernel& k, int buffer) {
  return k.buffers[static_cast<std::size_t>(buffer)].dtype;
}

std::string number(std::int64_t value) { return dim_text(Dim(value)); }

/// A sum of products with strides, without those that are nothing.
class Offset {
 public:
  explicit Offset(const Dim& offset) { add(offset, ""); }
  void add(const Dim& stride, std::string_view coordinate) {
    if (stride == Dim(0)) return;
    if (!sum_.empty()) sum_.append(" + ");
    if (coordinate.empty())
      sum_.append(dim_text(stride));
    else if (stride == Dim(1))
      sum_.append(coordinate);
    else
      sum_.append(cat({coordinate, " * (", dim_text(stride), ")"}));
  }
  [[nodiscard]] std::string text() const { return sum_.empty() ? "0" : sum_; }

 private:
  std::string sum_;
};

/// Axes taken as one: neighbours that lie as one axis are one.
struct Line {
  Dims extents, strides;
  void add(const Dim& extent, const Dim& stride) {
    if (extent == Dim(1)) return;
    if (!extents.empty() && strides.back() == stride * extent) {
      extents.back() = extents.back() * extent;
      strides.back() = stride;
    } else {
      extents.push_back(extent);
      strides.push_back(stride);
    }
  }
  static Line of(const Dims& extents, const Dims& strides) {
    Line line;
    for (std::size_t i = 0; i < extents.size(); ++i) line.add(extents[i], strides[i]);
    if (line.extents.empty()) line = {{Dim(1)}, {Dim(1)}};
    return line;
  }
  [[nodiscard]] bool single() const { return extents.size() == 1; }
  [[nodiscard]] bool dense() const { return single() && strides[0] == Dim(1); }
  [[nodiscard]] bool has_runs() const { return strides.back() == Dim(1); }
  /// Where its element `at` lies.
  [[nodiscard]] std::string walked(std::string_view at) const {
    Offset sum{0};
    std::string rest(at);
    for (std::size_t i = extents.size(); i-- > 0;) {
      const std::string extent = cat({"(", dim_text(extents[i]), ")"});
      sum.add(strides[i], i == 0 ? rest : cat({"(", rest, " % ", extent, ")"}));
      rest = cat({"(", rest, " / ", extent, ")"});
    }
    return sum.text();
  }
  [[nodiscard]] std::optional<std::int64_t> reach() const {
    std::int64_t sum = 0;
    for (std::size_t i = 0; i < extents.size(); ++i) {
      const auto extent = extents[i].constant(), stride = strides[i].constant();
      if (!extent || !stride) return std::nullopt;
      sum += *extent * std::abs(*stride);
    }
    return sum;
  }
};

struct Operand {
  std::string name;  // a, b
  int buffer = 0;
  Dim offset;
  Dims batch;
  Line own, depth;

  /// Whether lines go along the sum, and whether their elements are evenly apart.
  [[nodiscard]] bool along() const {
    if (own.dense()) return false;
    if (depth.has_runs()) return true;
    if (own.has_runs()) return false;
    return depth.single() || !own.single();
  }
  [[nodiscard]] bool regular() const { return along() ? depth.single() : own.single(); }
};

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
        batch_axes_(k.axes.size() - 2) {
    a_ = {"a", c_.a, c_.a_offset, c_.a_batch, Line::of({m()}, {c_.a_m}), {}};
    b_ = {"b", c_.b, c_.b_offset, c_.b_batch, {}, {}};
    if (c_.gather) {
      a_.depth = Line::of(c_.gather->k, c_.gather->a_k);
      b_.depth = Line::of(c_.gather->k, c_.gather->b_k);
      b_.own = Line::of(c_.gather->n, c_.gather->b_n);
    } else {
      a_.depth = Line::of({c_.k}, {c_.a_k});
      b_.depth = Line::of({c_.k}, {c_.b_k});
      b_.own = Line::of({n()}, {c_.b_n});
    }
  }

  ProductText write() {
    for (std::size_t i = 0; i < k_.stages.size(); ++i)
      write_tables(out_, k_.stages[i].body, cat({name_, "_end", std::to_string(i), "_"}));
    ProductText result;
    Dim items = 1;
    for (const Dim& axis : k_.axes) items = items * axis;
    ir::DeviceLaunch launch{.entry = name_ + "_product",
                            .threads = how_.threads(),
                            .shared = static_cast<int>(shared_bytes()),
                            .product = !how_.tensor};
    launch.blocks = ceildiv(m(), Dim(how_.tile_m())) * ceildiv(n(), Dim(how_.tile_n())) *
                    Dim(how_.parts);
    for (std::size_t i = 0; i < batch_axes_; ++i) launch.blocks = launch.blocks * k_.axes[i];
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
    if (how_.tensor) text += " by tensor cores";
    if (how_.parts > 1) text += cat({", its sum in ", std::to_string(how_.parts), " parts"});
    return text;
  }

  [[nodiscard]] std::string tiles_type() const {
    const auto n = [](int x) { return std::to_string(x); };
    if (how_.tensor)
      return cat({"weft_tensor<", dtype_ == DType::bfloat16 ? "true" : "false", ", ",
                  n(how_.tile_m()), ", ", n(how_.tile_n()), ", ", n(how_.down), ", ",
                  n(how_.across), ">"});
    return cat({"weft_cores<", chip_, ", ", n(how_.down), ", ", n(how_.across), ", ", n(how_.rows),
                ", ", n(how_.columns), ", ", meets_pieces() ? "true" : "false", ">"});
  }

  /// As the prelude lays it out.
  [[nodiscard]] std::int64_t shared_bytes() const {
    const std::int64_t tile_m = how_.tile_m(), tile_n = how_.tile_n();
    if (how_.tensor)
      return std::max<std::int64_t>(4 * (tile_m + tile_n) * 32 * 2, tile_m * (tile_n + 8) * 4);
    const std::int64_t size = chip_size(dtype_), unit = std::max<std::int64_t>(16 / size, 1);
    return size * (tile_m * (tile_n + unit) * (meets_pieces() ? 2 : 1) +
                   2 * 8 * (tile_m + tile_n + 2 * unit));
  }

  // ---- operands ----

  [[nodiscard]] int line_length(const Operand& x) const {
    if (how_.tensor) return 8;
    const auto size = static_cast<int>(size_of(dtype_of(k_, x.buffer)));
    return size > 4 ? 16 / size : 4;
  }

  /// Condition on which a line's elements can be moved at once.
  [[nodiscard]] std::string wide(const Operand& x) const {
    const Line& line = x.along() ? x.depth : x.own;
    const Line& other = x.along() ? x.own : x.depth;
    if (!line.dense()) return "false";
    const int length = line_length(x);
    const std::string bytes =
        number(length * static_cast<std::int64_t>(size_of(dtype_of(k_, x.buffer))));
    std::string condition =
        cat({"(weft_u64)(b", std::to_string(x.buffer), " + from_", x.name, ") % ", bytes, " == 0"});
    for (const Dim& stride : other.strides) {
      if (!stride.is_constant())
        condition += cat({" && (", dim_text(stride), ") % ", std::to_string(length), " == 0"});
      else if (stride.value() % length != 0)
        return "false";
    }
    return condition;
  }

  /// What places in an operand are counted in: divisions of 64 bits are slow.
  static std::string_view index_type(const Operand& x) {
    const auto own = x.own.reach(), depth = x.depth.reach();
    return own && depth && *own + *depth < INT32_MAX ? "int" : "weft_i64";
  }

  void write_axes(const Operand& x) {
    const std::string_view type = index_type(x);
    out_.line(cat({"const auto own_", x.name, " = [&](", type, " i) -> ", type, " { return ",
                   x.own.walked("i"), "; };"}));
    out_.line(cat({"const auto depth_", x.name, " = [&](", type, " p) -> ", type, " { return ",
                   x.depth.walked("p"), "; };"}));
  }

  void write_operand(const Operand& x) {
    Offset from(x.offset);
    for (std::size_t i = 0; i < batch_axes_; ++i) from.add(x.batch[i], "c" + std::to_string(i));
    out_.line(cat({"const weft_i64 from_", x.name, " = ", from.text(), ";"}));
    const Line& line = x.along() ? x.depth : x.own;
    const auto flag = [](bool b) { return b ? "true" : "false"; };
    out_.line(cat({"const auto ", x.name, " = weft_make_operand<",
                   factor_type(dtype_of(k_, x.buffer)), ", ", flag(x.along()), ", ",
                   flag(x.regular()), ", ", index_type(x), ">((const ",
                   cuda_type(dtype_of(k_, x.buffer)), "*)b", std::to_string(x.buffer), " + from_",
                   x.name, ", own_", x.name, ", depth_", x.name, ", ", dim_text(line.strides.back()),
                   ", ", dim_text(line.extents.back()), ", ", wide(x), ");"}));
  }

  // ---- functions ----

  void write_extents() {
    out_.line(cat({"const weft_i64 m = ", dim_text(m()), ", n = ", dim_text(n()), ";"}));
    std::string batches = "1";
    for (std::size_t i = 0; i < batch_axes_; ++i)
      batches += cat({" * (weft_i64)(", dim_text(k_.axes[i]), ")"});
    out_.line(cat({"const weft_i64 batches = ", batches, ";"}));
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

  void write_product(const std::string& entry) {
    // Registers for two blocks a multiprocessor where that leaves enough of them.
    const bool wide_places = index_type(a_) != "int" || index_type(b_) != "int";
    const bool two = how_.threads() == 256 && chip_size(dtype_) == 4 &&
                     how_.tile_m() * how_.tile_n() <= 128 * 128 && !(how_.tensor && wide_places);
    std::string parameters = parameter_text(k_);
    if (!how_.tensor) parameters += ", weft_i64 block, weft_i64 piece";
    if (how_.parts > 1) parameters += ", char* workspace";
    out_.open(cat({"extern \"C\" __global__ void __launch_bounds__(",
                   std::to_string(how_.threads()), two ? ", 2" : "", ") ", entry, "(", parameters,
                   ")"}));
    out_.line(cat({"typedef ", tiles_type(), " tiles;"}));
    write_extents();
    out_.line(cat({"const weft_i64 k = ", dim_text(c_.k), ";"}));
    out_.line("const weft_i64 tiles_m = (m + tiles::tile_m - 1) / tiles::tile_m;");
    out_.line("const weft_i64 tiles_n = (n + tiles::tile_n - 1) / tiles::tile_n;");
    out_.line(cat({"const weft_i64 of_one = tiles_m * tiles_n, all = of_one * batches * ",
                   number(how_.parts), ";"}));
    for (const Operand* x : {&a_, &b_}) write_axes(*x);
    out_.line(cat({chip_, "* const tile = (", chip_, "*)weft_shared;"}));
    if (how_.parts == 1) write_aligned();
    out_.open("for (weft_i64 number = blockIdx.x; number < all; number += gridDim.x)");
    out_.line("weft_i64 tile_at_m, tile_at_n;");
    out_.line("weft_tile(number % of_one, tiles_m, tiles_n, tile_at_m, tile_at_n);");
    out_.line("const weft_i64 batch = number / of_one % batches;");
    out_.line("const weft_i64 first_m = tile_at_m * tiles::tile_m;");
    out_.line("const weft_i64 first_n = tile_at_n * tiles::tile_n;");
    write_batch_coordinates();
    for (const Operand* x : {&a_, &b_}) write_operand(*x);
    if (how_.parts > 1) {
      out_.line(cat({"const weft_i64 part = number / of_one / batches, begin = part * ",
                     number(how_.part), ";"}));
      out_.line(cat({"const weft_i64 end = weft_min<weft_i64>(begin + ", number(how_.part),
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
    if (how_.parts > 1) {
      out_.open(cat({"for (int e = threadIdx.x; e < tiles::tile_m * tiles::tile_n; e += ",
                     std::to_string(how_.threads()), ")"}));
      out_.line("const int down = e / tiles::tile_n, over = e % tiles::tile_n;");
      out_.line("const weft_i64 row = first_m + down, column = first_n + over;");
      out_.line(cat({"if (row < m && column < n) ((", chip_,
                     "*)workspace)[((part * batches + batch) * m + row) * n + column] = ",
                     "tile[down * tiles::pitch + over];"}));
      out_.close();
      return;
    }
    const std::string v = std::to_string(vector_);
    out_.open(cat({"for (int group = threadIdx.x; group < tiles::tile_m * tiles::tile_n / ", v,
                   "; group += ", std::to_string(how_.threads()), ")"}));
    out_.line(cat({"const int down = group / (tiles::tile_n / ", v,
                   "), over = group % (tiles::tile_n / ", v, ") * ", v, ";"}));
    out_.line("const weft_i64 row = first_m + down, first_column = first_n + over;");
    out_.line("if (row >= m || first_column >= n) continue;");
    out_.line(cat({"const ", chip_, "* const sums = tile + down * tiles::pitch + over;"}));
    if (vector_ > 1) {
      out_.open(cat({"if (aligned && first_column + ", v, " <= n)"}));
      write_elements(vector_, "first_column", "sums[j]");
      out_.line("continue;");
      out_.close();
    }
    out_.open(cat({"for (int j = 0; j < ", v, " && first_column + j < n; ++j)"}));
    out_.line("const weft_i64 column = first_column + j;");
    write_elements(1, "column", "sums[j]");
    out_.close();
    out_.close();
  }

  /// Adds up parts: those of a piece in order, then pieces.
  void write_sum(const std::string& entry, int threads) {
    out_.open(cat({"extern \"C\" __global__ void __launch_bounds__(", std::to_string(threads), ") ",
                   entry, "(", parameter_text(k_), ", char* workspace)"}));
    write_extents();
    out_.line("const weft_i64 items = batches * m * n;");
    out_.open(cat({"for (weft_i64 item = blockIdx.x * (weft_i64)", std::to_string(threads),
                   " + threadIdx.x; item < items; item += gridDim.x * (weft_i64)",
                   std::to_string(threads), ")"}));
    out_.line("const weft_i64 column = item % n, row = item / n % m, batch = item / n / m;");
    write_batch_coordinates();
    out_.line(cat({"const ", chip_, "* const parts = (const ", chip_, "*)workspace + item;"}));
    out_.line(cat({chip_, " sum, total;"}));
    out_.line("#pragma unroll 8");
    out_.open(cat({"for (int part = 0; part < ", number(how_.parts), "; ++part)"}));
    out_.line(cat({"const ", chip_, " x = parts[part * items];"}));
    const std::string each = number(how_.parts_a_piece);
    out_.line(cat({"sum = part % ", each, " == 0 ? x : sum + x;"}));
    out_.line(cat({"if ((part + 1) % ", each, " == 0 || part + 1 == ", number(how_.parts),
                   ") total = part < ", each, " ? sum : total + sum;"}));
    out_.close();
    write_elements(1, "column", "total");
    out_.close();
    out_.close();
  }

  // ---- the end ----

  [[nodiscard]] const ir::Access& access(int id) const {
    return k_.accesses[static_cast<std::size_t>(id)];
  }
  [[nodiscard]] std::string place(const ir::Access& a, std::string_view column) const {
    Offset offset(a.offset);
    for (std::size_t i = 0; i < batch_axes_; ++i) offset.add(a.strides[i], "c" + std::to_string(i));
    offset.add(a.strides[batch_axes_], "row");
    offset.add(a.strides[batch_axes_ + 1], column);
    return cat({"b", std::to_string(a.buffer), "[", offset.text(), "]"});
  }
  /// The product itself, where it is kept.
  [[nodiscard]] ir::Access raw() const {
    ir::Access a{c_.out, c_.out_offset, Dims(k_.axes.size(), Dim(1))};
    for (std::size_t i = k_.axes.size() - 1; i-- > 0;)
      a.strides[i] = a.strides[i + 1] * k_.axes[i + 1];
    return a;
  }
  [[nodiscard]] bool reads_product(int id) const { return access(id).buffer == c_.out; }

  /// Elements that move at once at the end, where pointers allow it, and the condition for it.
  void write_aligned() {
    vector_ = 16;
    std::vector<ir::Access> moved;
    if (c_.kept) moved.push_back(raw());
    for (const ir::Stage& stage : k_.stages) {
      for (std::size_t i = 0; i < stage.sources.size(); ++i) {
        const int id = stage.sources[i].id;
        const bool one = reads_product(id) || access(id).strides.back() == Dim(0);
        if (reads_input(stage.body, i) && !one)
          moved.push_back(access(id));
      }
      for (const ir::Sink& sink : stage.sinks) moved.push_back(access(sink.id));
    }
    const auto size = [&](const ir::Access& a) {
      return static_cast<int>(size_of(dtype_of(k_, a.buffer)));
    };
    for (const ir::Access& a : moved) vector_ = std::min(vector_, std::max(1, 16 / size(a)));
    vector_ = std::min(vector_, 8);
    const auto divides = [&](const Dim& d) { return d.is_constant() && d.value() % vector_ == 0; };
    std::string condition;
    for (const ir::Access& a : moved) {
      const bool fits = a.strides.back() == Dim(1) && divides(a.offset) &&
                        std::all_of(a.strides.begin(), a.strides.end() - 1, divides);
      if (!fits) {
        vector_ = 1;
        return;
      }
      condition += cat({condition.empty() ? "" : " && ", "(weft_u64)b", std::to_string(a.buffer),
                        " % ", std::to_string(vector_ * size(a)), " == 0"});
    }
    if (vector_ > 1) out_.line(cat({"const bool aligned = ", condition, ";"}));
  }

  [[nodiscard]] std::string vector_type(const ir::Access& a, int count) const {
    return cat({"weft_vector<", cuda_type(dtype_of(k_, a.buffer)), ", ", std::to_string(count),
                ">"});
  }

  /// `count` elements of a row from `column` on; their sums are `sum`, over j.
  void write_elements(int count, std::string_view column, std::string_view sum) {
    const bool one = count == 1;
    std::vector<ir::Access> stores;
    if (c_.kept) stores.push_back(raw());
    std::vector<std::vector<std::string>> inputs(k_.stages.size());
    for (std::size_t s = 0; s < k_.stages.size(); ++s) {
      const ir::Stage& stage = k_.stages[s];
      for (std::size_t i = 0; i < stage.sources.size(); ++i) {
        const int id = stage.sources[i].id;
        const std::string name = cat({"x", std::to_string(s), "_", std::to_string(i)});
        if (!reads_input(stage.body, i)) {
          inputs[s].emplace_back();
        } else if (reads_product(id)) {
          inputs[s].emplace_back("product");
        } else if (one || access(id).strides.back() == Dim(0)) {
          out_.line(cat({"const ", cuda_type(dtype_of(k_, access(id).buffer)), " ", name, " = ",
                         place(access(id), column), ";"}));
          inputs[s].push_back(name);
        } else {
          const std::string type = vector_type(access(id), count);
          out_.line(cat({"const ", type, " ", name, " = *(const ", type, "*)&",
                         place(access(id), column), ";"}));
          inputs[s].push_back(name + ".at[j]");
        }
      }
      for (const ir::Sink& sink : stage.sinks) stores.push_back(access(sink.id));
    }
    for (std::size_t i = 0; i < stores.size() && !one; ++i)
      out_.line(cat({vector_type(stores[i], count), " y", std::to_string(i), ";"}));
    const auto store = [&](std::size_t i, const std::string& value) {
      out_.line(cat({one ? place(stores[i], column) : cat({"y", std::to_string(i), ".at[j]"}),
                     " = ", value, ";"}));
    };
    if (!one) {
      out_.line("#pragma unroll");
      out_.open(cat({"for (int j = 0; j < ", std::to_string(count), "; ++j)"}));
    }
    out_.line(cat({"const ", cuda_type(sum_dtype_), " product = ",
                   stored(sum_dtype_, std::string(sum)), ";"}));
    std::size_t next = 0;
    if (c_.kept) store(next++, "product");
    std::vector<std::string> coordinates;
    for (std::size_t i = 0; i < batch_axes_; ++i) coordinates.push_back("c" + std::to_string(i));
    coordinates.emplace_back("row");
    coordinates.push_back(one ? std::string(column) : cat({"(", column, " + j)"}));
    for (std::size_t s = 0; s < k_.stages.size(); ++s) {
      const auto values =
          write_program(out_, k_.stages[s].body, inputs[s], coordinates,
                        cat({"v", std::to_string(s), "_"}),
                        cat({name_, "_end", std::to_string(s), "_"}));
      for (const ir::Sink& sink : k_.stages[s].sinks)
        store(next++, values[static_cast<std::size_t>(sink.output)]);
    }
    if (one) return;
    out_.close();
    for (std::size_t i = 0; i < stores.size(); ++i)
      out_.line(cat({"*(", vector_type(stores[i], count), "*)&", place(stores[i], column), " = y",
                     std::to_string(i), ";"}));
  }

  const Kernel& k_;
  const ir::Contraction& c_;
  const CudaProduct how_;
  const std::string name_;
  const DType dtype_, sum_dtype_;
  const std::string_view chip_;
  const std::size_t batch_axes_;
  Operand a_, b_;
  int vector_ = 1;
  TextWriter out_;
};

}  // namespace

ProductText product_text(const Kernel& k, const CudaProduct& how, std::string_view name) {
  return ProductWriter(k, how, name).write();
}

}  // namespace weft::codegen
