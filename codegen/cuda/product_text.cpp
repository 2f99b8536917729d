#include "codegen/cuda/product_text.h"

#include "codegen/cuda/row_text.h"

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

std::string loaded(DType t, const std::string& element) {
  if (t == DType::float16) return cat({"weft_half_to_float(", element, ")"});
  if (t == DType::bfloat16) return cat({"__uint_as_float((unsigned)", element, " << 16)"});
  return is_complex(t) ? element : cat({"(", chip_type(t), ")", element});
}

std::string stored(DType t, const std::string& sum) {
  if (t == DType::boolean) return cat({sum, " != 0"});
  return is_complex(t) ? sum : cat({"(", cuda_type(t), ")", sum});
}

/// Where the elements along an axis, or several taken as one, lie: `number` as an expression of
/// their extents and strides.
std::string walked(const std::string& number, const Dims& extents, const Dims& strides) {
  std::string sum, rest = number;
  for (std::size_t i = extents.size(); i-- > 0;) {
    const std::string extent = cat({"(", dim_text(extents[i]), ")"});
    const std::string at = i == 0 ? rest : cat({rest, " % ", extent});
    if (!(strides[i] == Dim(0)))
      sum = cat({sum, sum.empty() ? "" : " + ", "(", at, ") * (", dim_text(strides[i]), ")"});
    rest = cat({"(", rest, " / ", extent, ")"});
  }
  return sum.empty() ? "0" : sum;
}

class ProductText {
 public:
  ProductText(const Kernel& k, const CudaProduct& s, TextWriter& out)
      : k_(k),
        c_(*k.contraction),
        s_(s),
        dtype_(k.buffers[static_cast<std::size_t>(c_.a)].dtype),
        sum_dtype_(k.buffers[static_cast<std::size_t>(c_.out)].dtype),
        chip_(chip_type(dtype_)),
        out_(out) {}

  void write() {
    const std::string tile = std::to_string(s_.tile), depth = std::to_string(s_.depth);
    const std::size_t rank = k_.axes.size();
    out_.line(cat({"__shared__ ", chip_, " rows[", depth, "][", tile, " + 1], columns[", depth,
                   "][", tile, " + 1];"}));
    out_.line(cat({"const weft_i64 m = ", dim_text(k_.axes[rank - 2]), ", n = ",
                   dim_text(k_.axes[rank - 1]), ", k = ", dim_text(c_.k), ";"}));
    out_.line(cat({"const weft_i64 tiles_m = (m + ", tile, " - 1) / ", tile, ", tiles_n = (n + ",
                   tile, " - 1) / ", tile, ";"}));
    out_.line(cat({"const weft_i64 tiles = ", batches(), " * tiles_m * tiles_n;"}));
    out_.line(cat({"const int across = threadIdx.x % ", quarter(), ", down = threadIdx.x / ",
                   quarter(), ";"}));
    out_.open("for (weft_i64 number = blockIdx.x; number < tiles; number += gridDim.x)");
    write_place();
    for (const char* sums : {"result", "sum", "chain"})
      out_.line(cat({chip_, " ", sums, "[4][4];"}));
    for_all("result[i][j] = sum[i][j] = 0;");
    out_.open("for (weft_i64 begin = 0; begin < k; begin += block)");
    out_.line("const weft_i64 end = weft_min<weft_i64>(begin + block, k);");
    if (has_blocks())
      for_all("chain[i][j] = 0;");
    else
      for_all("chain[i][j] = sum[i][j];");
    out_.open(cat({"for (weft_i64 step = begin; step < end; step += ", depth, ")"}));
    out_.line(cat({"const int count = (int)weft_min<weft_i64>(", depth, ", end - step);"}));
    write_load("rows", c_.a, cat({"first_m + at"}), "m", a_offset(), c_.a_k == Dim(1));
    write_load("columns", c_.b, cat({"first_n + at"}), "n", b_offset(), !(c_.b_n == Dim(1)));
    out_.line("__syncthreads();");
    out_.open(cat({"if (count == ", depth, ")"}));
    out_.line("#pragma unroll");
    write_chain(depth);
    out_.close();
    out_.open("else");
    write_chain("count");
    out_.close();
    out_.line("__syncthreads();");
    out_.close();
    write_block_end();
    out_.close();
    write_store();
    out_.close();
  }

 private:
  std::string quarter() const { return std::to_string(s_.tile / 4); }
  /// Integers need no order; complex sums are one chain.
  bool has_blocks() const { return is_floating(dtype_); }

  void for_all(std::string_view statement) {
    out_.line("#pragma unroll");
    out_.line("for (int i = 0; i < 4; ++i)");
    out_.line("  #pragma unroll");
    out_.line(cat({"  for (int j = 0; j < 4; ++j) ", statement}));
  }

  std::string batches() const {
    std::string product = "(weft_i64)1";
    for (std::size_t i = 0; i + 2 < k_.axes.size(); ++i)
      product.append(cat({" * (", dim_text(k_.axes[i]), ")"}));
    return product;
  }

  std::string a_offset() const {
    const std::string along = cat({"(step + p)"}), row = cat({"(first_m + at)"});
    const std::string depth =
        c_.gather ? walked(along, c_.gather->k, c_.gather->a_k)
                  : cat({along, " * (", dim_text(c_.a_k), ")"});
    return cat({"from_a + ", row, " * (", dim_text(c_.a_m), ") + ", depth});
  }

  std::string b_offset() const {
    const std::string along = cat({"(step + p)"}), column = cat({"(first_n + at)"});
    if (!c_.gather)
      return cat({"from_b + ", column, " * (", dim_text(c_.b_n), ") + ", along, " * (",
                  dim_text(c_.b_k), ")"});
    return cat({"from_b + ", walked(column, c_.gather->n, c_.gather->b_n), " + ",
                walked(along, c_.gather->k, c_.gather->b_k)});
  }

  /// The tile's rows and columns, and where the operands of its product begin.
  void write_place() {
    out_.line(cat({"const weft_i64 first_n = number % tiles_n * ", std::to_string(s_.tile),
                   ", first_m = number / tiles_n % tiles_m * ", std::to_string(s_.tile),
                   ", batch = number / tiles_n / tiles_m;"}));
    const Dims axes(k_.axes.begin(), k_.axes.end() - 2);
    out_.line(cat({"const weft_i64 from_a = ", dim_text(c_.a_offset), " + ",
                   walked("batch", axes, c_.a_batch), ", from_b = ", dim_text(c_.b_offset), " + ",
                   walked("batch", axes, c_.b_batch), ";"}));
  }

  /// Neighbouring threads read along the sum, or across it.
  void write_load(std::string_view to, int buffer, const std::string& place, std::string_view limit,
                  const std::string& offset, bool along_sum) {
    const int threads = s_.threads(), elements = s_.tile * s_.depth;
    const std::string of = std::to_string(along_sum ? s_.depth : s_.tile);
    const DType t = k_.buffers[static_cast<std::size_t>(buffer)].dtype;
    out_.line("#pragma unroll");
    out_.open(cat({"for (int e = threadIdx.x; e < ", std::to_string(elements), "; e += ",
                   std::to_string(threads), ")"}));
    out_.line(cat({"const int ", along_sum ? "p" : "at", " = e % ", of, ", ",
                   along_sum ? "at" : "p", " = e / ", of, ";"}));
    const std::string element =
        cat({"((const ", cuda_type(t), "*)b", std::to_string(buffer), ")[", offset, "]"});
    out_.line(cat({to, "[p][at] = p < count && ", place, " < ", limit, " ? ", chip_, "(",
                   loaded(t, element), ") : ", chip_, "(0);"}));
    out_.close();
  }

  void write_chain(std::string_view count) {
    out_.open(cat({"for (int p = 0; p < ", count, "; ++p)"}));
    out_.line(cat({chip_, " x[4], y[4];"}));
    out_.line(cat({"for (int i = 0; i < 4; ++i) x[i] = rows[p][down * 4 + i];"}));
    out_.line(cat({"for (int j = 0; j < 4; ++j) y[j] = columns[p][across + j * ", quarter(), "];"}));
    for_all("chain[i][j] = weft_multiply_add(x[i], y[j], chain[i][j]);");
    out_.close();
  }

  void write_block_end() {
    if (!has_blocks()) return for_all("sum[i][j] = result[i][j] = chain[i][j];");
    out_.line("const bool first = begin % piece == 0, last = end % piece == 0 || end == k;");
    for_all("sum[i][j] = first ? chain[i][j] : sum[i][j] + chain[i][j];");
    out_.line("if (last) {");
    for_all("result[i][j] = begin < piece ? sum[i][j] : result[i][j] + sum[i][j];");
    out_.line("}");
  }

  void write_store() {
    const std::string out =
        cat({"((", cuda_type(sum_dtype_), "*)b", std::to_string(c_.out), ")"});
    out_.open("for (int i = 0; i < 4; ++i) for (int j = 0; j < 4; ++j)");
    out_.line(cat({"const weft_i64 row = first_m + down * 4 + i, column = first_n + across + j * ",
                   quarter(), ";"}));
    out_.line(cat({"if (row < m && column < n) ", out, "[", dim_text(c_.out_offset),
                   " + (batch * m + row) * n + column] = ",
                   stored(sum_dtype_, "result[i][j]"), ";"}));
    out_.close();
  }

  const Kernel& k_;
  const ir::Contraction& c_;
  const CudaProduct s_;
  const DType dtype_, sum_dtype_;
  const std::string_view chip_;
  TextWriter& out_;
};

}  // namespace

CudaProduct choose_product(const Kernel& k) {
  constexpr std::int64_t enough = 128;  // blocks that keep a device busy
  const auto tiles = product_blocks(k, {}).constant();
  return tiles && *tiles < enough ? CudaProduct{32, 16} : CudaProduct{};
}

Dim product_blocks(const Kernel& k, const CudaProduct& s) {
  Dim blocks = 1;
  for (std::size_t i = 0; i < k.axes.size(); ++i)
    blocks = blocks * (i + 2 < k.axes.size() ? k.axes[i] : ceildiv(k.axes[i], Dim(s.tile)));
  return blocks;
}

std::string product_text(const Kernel& k, const CudaProduct& s, std::string_view name) {
  TextWriter out;
  std::string parameters = parameter_text(k);
  out.open(cat({"extern \"C\" __global__ void __launch_bounds__(", std::to_string(s.threads()),
                ") ", name, "(", parameters, ", weft_i64 block, weft_i64 piece)"}));
  ProductText(k, s, out).write();
  out.close();
  return out.text();
}

}  // namespace weft::codegen
