#include "codegen/cuda/attention_text.h"

#include <bit>
#include <numbers>

#include "codegen/cuda/cuda_text.h"
#include "codegen/cuda/frame_text.h"
#include "codegen/cuda/scalar_text.h"
#include "ir/ops/attention.h"

namespace weft::codegen {
namespace {

using ir::DeviceLaunch, ir::DeviceOperation;

/// A block's tile: `warps * 16 * tiles` rows, or 16 by 16 threads over `rows`, against `columns`.
/// Chosen so that a thread's sums and scores fit in its 255 registers and a block in the 99 KB that
/// every device from sm_80 on has (warpgroups': in 227); most devices then hold two blocks or more.
///
/// What bounds a warp is shared memory, 128 bytes a clock for all four: a product m16n8k16 reads
/// 256 bytes of its second operand, or 128 where a warp has 32 rows and uses it twice. Forward,
/// with heads of 128, that and the queries' fragments (64 bytes a product, in half of them) make
/// 160 bytes, so five clocks a product; the tensor cores take four at best. Gradients of such heads
/// have two sums of their rows, so 16 rows a warp.
struct Shape {
  int tiles = 1, columns = 64, warps = 4;  // on tensor cores
  int rows = 64;                           // in all
  bool groups = false;                     // warpgroups
};

struct Sizes {
  std::int64_t key = 0, value = 0;
  [[nodiscard]] std::int64_t larger() const { return std::max(key, value); }
  /// Of a row of a warpgroup's tiles.
  static std::int64_t width(std::int64_t size) { return (size + 63) / 64 * 64; }
  /// Rows, of whole chunks of 16 bytes, that fill most of one.
  [[nodiscard]] bool suit_groups() const {
    const auto suits = [](std::int64_t size) {
      return size <= 128 && size % 8 == 0 && 4 * size >= 3 * width(size);
    };
    return suits(key) && suits(value);
  }
};

/// A warpgroup's tile is 64 rows; a thread's scores, weights and sums of heads of 128 are 160
/// registers (of gradients, 224 with tiles of 64), and two warpgroups fill a multiprocessor.
/// Products of theirs read shared memory past the threads, so what bounds them is the tensor cores:
/// forward, heads of 128 take these twice the time that the exponents take.
Shape forward_shape(const Sizes& s, bool tensor, const DeviceLimits& limits) {
  if (tensor && limits.warpgroups && s.suit_groups()) return {1, 128, 8, 128, true};
  if (!tensor) {
    if (s.larger() <= 64) return {0, 64, 0, 64};
    return s.larger() <= 128 ? Shape{0, 32, 0, 64} : Shape{0, 16, 0, 32};
  }
  if (s.larger() <= 128) return {2, 64, 4, 128};
  return {1, 32, 4, 64};
}
Shape backward_shape(const Sizes& s, bool tensor, const DeviceLimits& limits) {
  if (tensor && limits.warpgroups && s.suit_groups()) return {1, 64, 8, 128, true};
  if (!tensor) return s.larger() <= 128 ? Shape{0, 32, 0, 32} : Shape{0, 16, 0, 16};
  if (s.larger() <= 64) return {2, 32, 4, 128};
  return s.larger() <= 128 ? Shape{1, 32, 4, 64} : Shape{1, 16, 4, 64};
}

/// Bytes of a row of a tile in shared memory: weft_row.
std::int64_t pitch(std::int64_t size, bool tensor) {
  const std::int64_t chunks = tensor ? (size + 15) / 16 * 2 : (size + 3) / 4;
  return (chunks | 1) * 16;
}

std::string flag(bool b) { return b ? "true" : "false"; }
std::string bits(double x) {
  return cat({"__uint_as_float(", str(std::bit_cast<std::uint32_t>(static_cast<float>(x))), "u)"});
}

class AttentionText {
 public:
  AttentionText(const DeviceOperation& o, std::string_view name, const DeviceLimits& limits)
      : o_(o),
        a_(o.attrs.get<ir::FusedAttentionAttrs>()),
        name_(name),
        backward_(o.kind == ir::ExternKind::attention_backward),
        first_(backward_ ? 1 : 0),
        mask_(backward_ ? 6 : 3),
        dtype_(o.inputs[first_].dtype),
        tensor_(dtype_ != DType::float32),
        sizes_{a_.key_size, a_.value_size},
        shape_(backward_ ? backward_shape(sizes_, tensor_, limits)
                         : forward_shape(sizes_, tensor_, limits)) {
    int symbol = 0;
    for (const auto* list : {&o.inputs, &o.outputs})
      for (const DeviceOperation::Operand& x : *list) {
        begin_.push_back(symbol);
        if (x.present) symbol += static_cast<int>(x.rank);
      }
    symbols_ = symbol;
    // The whole batch: that of the result, or of its cotangent.
    const std::size_t whole = backward_ ? 0 : o.inputs.size();
    const auto& x = backward_ ? o.inputs[0] : o.outputs[0];
    batch_rank_ = x.rank - 2;
    whole_ = begin_[whole];
  }

  OperationText write() {
    if (backward_) {
      add_launch("_queries", false, true, false);
      // Two sums of large heads are more than a thread's registers.
      const bool apart = tensor_ && sizes_.larger() > 128;
      const bool keys = o_.outputs[1].present, values = o_.outputs[2].present;
      if (apart && keys) add_launch("_keys", true, true, false);
      if (apart && values) add_launch("_values", true, false, true);
      if (!apart && (keys || values)) add_launch("_keys_values", true, keys, values);
    } else {
      add_launch("", false, true, false);
    }
    text_.preludes = {attention_prelude(),
                      tensor_ ? attention_tensor_prelude() : attention_plain_prelude()};
    if (shape_.groups)
      text_.preludes.insert(text_.preludes.end(), {group_prelude(), attention_group_prelude()});
    text_.schedule = cat({"a block ", str(shape_.rows), " rows against tiles of ",
                          str(shape_.columns), tensor_ ? " on tensor cores" : "",
                          shape_.groups ? ", by warpgroups" : ""});
    return std::move(text_);
  }

 private:
  [[nodiscard]] std::string symbol(int n) const { return cat({"s", str(n)}); }
  [[nodiscard]] bool has_mask() const { return o_.inputs.size() > mask_; }
  [[nodiscard]] int mask_kind() const {
    return !has_mask() ? 0 : o_.inputs[mask_].dtype == DType::boolean ? 1 : 2;
  }
  [[nodiscard]] int rank() const { return std::max<int>(1, static_cast<int>(batch_rank_)); }

  void add_launch(std::string_view suffix, bool of_keys, bool first_sum, bool second_sum) {
    DeviceLaunch launch;
    launch.entry = cat({name_, suffix});
    launch.threads = tensor_ ? shape_.warps * 32 : 256;
    launch.shared = static_cast<int>(shared_bytes());
    launch.all_blocks = true;
    // Matrices, and tiles of their rows.
    const std::size_t rows_of = of_keys ? first_ + 1 : first_;
    const std::size_t counted = of_keys ? rows_of : backward_ ? 0 : o_.inputs.size();
    const auto extent = [&](int n) { return Dim::symbol(symbol(n)); };
    launch.blocks = ceildiv(extent(begin_[rows_of] + static_cast<int>(o_.inputs[rows_of].rank) - 2),
                            Dim(shape_.rows));
    const std::size_t batch = of_keys ? o_.inputs[rows_of].rank - 2 : batch_rank_;
    for (std::size_t i = 0; i < batch; ++i)
      launch.blocks = launch.blocks * extent(begin_[counted] + static_cast<int>(i));
    write_function(launch, of_keys, first_sum, second_sum);
    text_.code.launches.push_back(std::move(launch));
  }

  [[nodiscard]] std::int64_t shared_bytes() const {
    const std::int64_t k = pitch(sizes_.key, tensor_), v = pitch(sizes_.value, tensor_);
    const std::int64_t rows = shape_.rows, columns = shape_.columns;
    if (shape_.groups) {  // tiles begin at multiples of 1024 bytes
      const std::int64_t own = Sizes::width(sizes_.key), both = own + Sizes::width(sizes_.value);
      const std::int64_t buffers = backward_ ? 3 : 2;  // of what is met
      const std::int64_t elements = rows * (backward_ ? both : own) + buffers * columns * both;
      const std::int64_t statistics = backward_ ? buffers * columns * 8 : 0;
      return 1024 + 2 * elements + statistics + shape_.warps * 32 * 4;  // and a word a thread
    }
    const std::int64_t plain = tensor_ ? 0 : rows * (columns + 4) * 4;  // weights
    if (!backward_) return rows * k + columns * (k + v) + plain;
    if (tensor_) return rows * (k + v) + 2 * columns * (k + v);
    return (rows + columns) * (k + v) + 2 * plain;
  }

  void write_function(const DeviceLaunch& launch, bool of_keys, bool first_sum, bool second_sum) {
    TextWriter out;
    std::string parameters;
    const std::size_t buffers = o_.inputs.size() + o_.outputs.size();
    for (std::size_t i = 0; i < buffers; ++i)
      parameters += cat({i == 0 ? "" : ", ", "char* b", str(i)});
    for (int s = 0; s < symbols_; ++s) parameters += cat({", weft_i64 ", symbol(s)});
    out.open(cat({"extern \"C\" __global__ void __launch_bounds__(", str(launch.threads), ") ",
                  launch.entry, "(", parameters, ")"}));
    write_operands(out);
    const double powers = a_.scale * std::numbers::log2e;
    std::string arguments = cat({str(sizes_.key), ", ", str(sizes_.value), ", "});
    if (shape_.groups)
      arguments += cat({str(shape_.columns), ", ", str(shape_.warps / 4)});
    else
      arguments += tensor_ ? cat({str(shape_.tiles), ", ", str(shape_.columns), ", ",
                                  str(shape_.warps)})
                           : cat({str(shape_.rows), ", ", str(shape_.columns)});
    arguments += cat({", ", flag(a_.causal), ", ", str(mask_kind())});
    if (tensor_)
      arguments =
          cat({dtype_ == DType::float16 ? "weft_f16_tile, " : "weft_bf16_tile, ", arguments});
    if (!backward_) {
      if (tensor_) arguments += cat({", ", flag(a_.scale > 0 && mask_kind() != 2)});
      const char* const function = shape_.groups ? "weft_attend_in_groups<"
                                   : tensor_     ? "weft_attend<"
                                                 : "weft_attend_plain<";
      out.line(cat({function, arguments, ">(a, ", bits(powers), ");"}));
    } else {
      arguments += cat({", ", flag(of_keys)});
      if (tensor_) arguments += cat({", ", flag(first_sum), ", ", flag(second_sum)});
      const char* const function = shape_.groups ? "weft_attend_back_in_groups<"
                                   : tensor_     ? "weft_attend_back<"
                                                 : "weft_attend_back_plain<";
      out.line(cat({function, arguments, ">(a, ", bits(powers), ", ", bits(a_.scale), ");"}));
    }
    out.close();
    text_.text += out.text();
  }

  /// Fills a `weft_attention`.
  void write_operands(TextWriter& out) const {
    out.line(cat({"weft_attention<", str(rank()), "> a;"}));
    const auto set = [&](std::string_view field, const std::string& value) {
      out.line(cat({"a.", field, " = ", value, ";"}));
    };
    const auto buffer = [&](std::size_t i) { return cat({"b", str(i)}); };
    const auto extent = [&](std::size_t i, std::size_t from_end) {
      return symbol(begin_[i] + static_cast<int>(o_.inputs[i].rank - from_end));
    };
    set("query", buffer(first_));
    set("key", buffer(first_ + 1));
    set("value", buffer(first_ + 2));
    if (backward_) {
      set("g", buffer(0));
      set("logsumexp", cat({"(const float*)", buffer(4)}));
      set("delta", cat({"(const float*)", buffer(5)}));
    }
    for (std::size_t i = 0; i < o_.outputs.size(); ++i)
      set(cat({"results[", str(i), "]"}),
          buffer(o_.inputs.size() + i));
    set("queries", extent(first_, 2));
    set("keys", extent(first_ + 1, 2));
    if (has_mask()) {
      set("mask", buffer(mask_));
      const std::size_t mask_rank = o_.inputs[mask_].rank;
      set("mask_rows", mask_rank < 2 ? "1" : extent(mask_, 2));
      set("mask_columns", mask_rank < 1 ? "1" : extent(mask_, 1));
    }
    write_batch(out, "full", whole_, batch_rank_);
    const auto own = [&](std::string_view field, std::size_t operand) {
      const std::size_t r = o_.inputs[operand].rank;
      write_batch(out, field, begin_[operand], r < 2 ? 0 : r - 2);
    };
    own("query_own", first_);
    own("key_own", first_ + 1);
    own("value_own", first_ + 2);
    if (has_mask()) own("mask_own", mask_);
  }

  /// Extents of a batch; ones lead it where it has fewer axes than the whole.
  void write_batch(TextWriter& out, std::string_view field, int begin, std::size_t axes) const {
    const int lead = rank() - static_cast<int>(axes);
    for (int i = 0; i < rank(); ++i)
      out.line(cat({"a.", field, "[", str(i), "] = ",
                    i < lead ? "1" : symbol(begin + i - lead), ";"}));
  }

  const DeviceOperation& o_;
  const ir::FusedAttentionAttrs& a_;
  const std::string name_;
  const bool backward_;
  const std::size_t first_, mask_;  // which operands: query, and the mask where there is one
  const DType dtype_;
  const bool tensor_;
  const Sizes sizes_;
  const Shape shape_;
  std::vector<int> begin_;  // first symbol of each operand
  int symbols_ = 0, whole_ = 0;
  std::size_t batch_rank_ = 0;
  OperationText text_;
};

}  // namespace

OperationText attention_text(const DeviceOperation& operation, std::string_view name,
                             const DeviceLimits& limits) {
  return AttentionText(operation, name, limits).write();
}

}  // namespace weft::codegen
