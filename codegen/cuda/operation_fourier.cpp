// Fourier transforms: lines that fit in a block's shared memory are read and written once, several
// short ones by one block; longer ones go through memory a group of passes at a time; lengths with
// large prime factors are a block's own convolution. Which of these a length wants, expressions
// over it say: a launch that has nothing to do has no blocks.
#include "codegen/cuda/operation_fourier.h"

#include <array>
#include <bit>

#include "codegen/cuda/row_text.h"
#include "codegen/cuda/scalar_text.h"
#include "ir/ops/fourier.h"

namespace weft::codegen {
namespace {

constexpr std::int64_t group_points = 1024;  // of long lines
constexpr int most_groups = 8;               // any two of them have more points than that
constexpr std::int64_t small_tile = 32 << 10, large_tile = 64 << 10, plan_bytes = 1 << 10;
constexpr int resident = 3;  // blocks a multiprocessor: as many large tiles as its memory holds

Dim at_most(const Dim& n, std::int64_t limit) { return Dim(1) - if_above(n, limit); }

/// 1 where n (below 2^40) has a prime factor above 31, else 0: unless it divides a product of powers
/// of all others that are high enough. What is multiplied stays within 64 bits.
Dim has_large_prime(const Dim& n) {
  const Dim length = max(n, Dim(1));
  Dim rest = mod(Dim(1), length);
  for (const std::int64_t prime : {2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31}) {
    std::int64_t power = 1;
    while (power * prime < std::int64_t{1} << 22) power *= prime;
    for (int twice = 0; twice < 2; ++twice) rest = mod(rest * Dim(power), length);
  }
  return min(Dim(1), rest);
}

/// A step's lines.
struct Lines {
  Dim outer = 1, inner = 1, n;
  Dim points;             // of the complex lines: half of an even number of real ones
  Dim large_prime;        // 1 or 0
  std::int64_t size = 0;  // bytes of a number
  Lines(const OperationWriter& w, const ir::DftAttrs& d) {
    const bool complex = d.form == "complex", real = d.form == "real";
    Dims shape = w.shape(real ? 0 : w.inputs());
    if (complex) shape.pop_back();
    const std::size_t axis = axis_of(d.axis, shape.size());
    for (std::size_t i = 0; i < shape.size(); ++i)
      if (i != axis) (i < axis ? outer : inner) = (i < axis ? outer : inner) * shape[i];
    n = shape[axis];
    points = complex ? n : floordiv(n, Dim(2) - mod(n, Dim(2)));
    large_prime = has_large_prime(points);
    size = w.operand(0).dtype == DType::float64 ? 16 : 8;
  }
  [[nodiscard]] Dim count() const { return outer * inner * points; }
  /// Of 256 threads, for a thread so many of `work`.
  static Dim blocks(const Dim& work, std::int64_t each) { return ceildiv(work, Dim(256 * each)); }
};

class Transform {
 public:
  Transform(OperationWriter& w, const ir::DftAttrs& d, const DeviceLimits& limits)
      : w_(w), form_(d.form), lines_(w, d) {
    const std::int64_t most = limits.shared - plan_bytes;
    tiles_ = {std::min(small_tile, most), std::min(large_tile, most), most};
    longer_ = if_above(lines_.points, capacity(2)) * (Dim(1) - lines_.large_prime);
    reserve();
    describe(d);
  }

  void launch() {
    launch({.blocks = Lines::blocks(lines_.n, 1)}, {capacity(2)}, "weft_fft_tables",
           {step_, places_, "(int)n0"});
    whole_lines();
    groups();
    convolution();
    if (form_ != "real") return;
    launch({.blocks = Lines::blocks(lines_.count(), 1) * (longer_ + lines_.large_prime)}, {},
           "weft_fft_halves", {step_, odd_});
  }

 private:
  /// Where things are in the workspace comes first among the numbers: text would compute it again
  /// in every thread.
  void launch(OperationWriter::Launch l, std::initializer_list<std::int64_t> numbers,
              std::string_view function, std::initializer_list<std::string> arguments) {
    l.workspace = true;
    l.numbers.assign(numbers.begin(), numbers.end());
    l.numbers.resize(2);
    l.numbers.insert(l.numbers.end(), offsets_.begin(), offsets_.end());
    w_.launch(l, function, arguments);
  }
  [[nodiscard]] std::string points_type() const {
    return lines_.size == 16 ? "weft_point<double>" : "weft_point<float>";
  }
  /// Numbers that a tile of this kind holds.
  [[nodiscard]] std::int64_t capacity(std::size_t tile) const { return tiles_[tile] / lines_.size; }
  /// Of the convolution's tiles, which are large ones of float64.
  [[nodiscard]] std::int64_t convolved() const { return tiles_[1] / 16; }
  /// The convolution's length is below this.
  [[nodiscard]] Dim convolution_length() const { return Dim(3) * lines_.points; }

  /// Memory after what there is; gives what names it.
  std::string part(std::string_view type, const Dim& bytes) {
    constexpr std::int64_t unit = 256;
    offsets_.push_back(held_);
    held_ = held_ + ceildiv(bytes, Dim(unit)) * Dim(unit);
    return cat({"((", type, "*)(workspace + n", std::to_string(1 + offsets_.size()), "))"});
  }
  void reserve() {
    const auto places = [](const Dim& n, std::int64_t most) {
      return Dim(4) * (min(n, Dim(most)) + Dim(most_groups * group_points));
    };
    const Dim m = convolution_length(), bytes = lines_.count() * Dim(lines_.size);
    roots_ = part(points_type(), lines_.n * Dim(lines_.size));
    places_ = part("int", places(lines_.points, capacity(2)));
    tables_ = part("char", lines_.large_prime *
                               (Dim(16) * (Dim(2) * m + lines_.points) + places(m, convolved())));
    even_ = part(points_type(), longer_ * bytes);
    odd_ = form_ == "complex"
               ? cat({"weft_as_points(", w_.out(w_.inputs()), ")"})
               : part(points_type(),
                      (longer_ + (form_ == "real" ? lines_.large_prime : Dim(0))) * bytes);
    (void)w_.reserve("char", held_);
  }
  void describe(const ir::DftAttrs& d) {
    const char* const form = form_ == "complex" ? "weft_complex_lines"
                             : form_ == "real"  ? "weft_real_lines"
                                                : "weft_hermitian_lines";
    const char* const scale = d.scale == "n" ? "1" : d.scale == "root" ? "2" : "0";
    step_ = cat({"weft_fourier<",
                 element_type(w_.operand(0).dtype),
                 ", ",
                 form,
                 ">(",
                 w_.in(0),
                 ", ",
                 w_.out(w_.inputs()),
                 ", ",
                 dim_text(lines_.outer),
                 ", ",
                 dim_text(lines_.inner),
                 ", ",
                 dim_text(lines_.n),
                 d.inverse ? ", true, " : ", false, ",
                 scale,
                 ", ",
                 literal(DType::float64, std::bit_cast<std::uint64_t>(d.weight)),
                 ", ",
                 roots_,
                 ")"});
  }

  void group(const Dim& wanted, std::size_t tile, int number) {
    launch({.blocks = Lines::blocks(lines_.count(), 4) * wanted,
            .resident = resident,
            .shared = static_cast<int>(tiles_[tile])},
           {capacity(tile), number}, "weft_fft_lines",
           {step_, places_, "(int)n0", "(int)n1", even_, odd_});
  }
  /// Lines that fit: in the smallest tile where pieces of memory are no less than 64 bytes.
  void whole_lines() {
    const Dim need = lines_.points * min(lines_.inner, Dim(64 / lines_.size));
    const Dim smooth = Dim(1) - lines_.large_prime;
    group(at_most(need, capacity(0)) * smooth, 0, 0);
    group((at_most(need, capacity(1)) - at_most(need, capacity(0))) * smooth, 1, 0);
    group((at_most(lines_.points, capacity(2)) - at_most(need, capacity(1))) * smooth, 2, 0);
  }
  /// A length has another group only where it is above the least product of those before; a power
  /// of two has one for every 1024.
  void groups() {
    for (int number = 0; number < most_groups; ++number) {
      const Dim above = if_above(lines_.points, std::int64_t{1} << (number / 2 * 10));
      const Dim power =
          number == 0 || number > 5
              ? Dim(1)
              : min(Dim(1), mod(Dim(std::int64_t{1} << (number * 10)), max(lines_.points, Dim(1))));
      group(longer_ * above * power, 1, number);
    }
  }

  void convolution() {
    const std::string capacity = std::to_string(convolved());
    launch({.blocks = Lines::blocks(convolution_length(), 1) * lines_.large_prime}, {},
           "weft_bluestein_tables", {step_, tables_, capacity});
    constexpr std::int64_t most_blocks = 264;
    const std::string result = form_ == "real" ? odd_ : cat({"(", points_type(), "*)0"});
    for (const bool prepare : {true, false})
      launch({.blocks = (prepare ? Dim(1) : min(lines_.outer * lines_.inner, Dim(most_blocks))) *
                        lines_.large_prime,
              .resident = resident,
              .shared = static_cast<int>(tiles_[1]),
              .scratch = Dim(32) * max(convolution_length(), Dim(convolved()))},
             {prepare ? 1 : 0}, "weft_convolve_lines",
             {step_, tables_, capacity, "n0 != 0", result, "scratch"});
  }

  OperationWriter& w_;
  const std::string form_;
  const Lines lines_;
  std::array<std::int64_t, 3> tiles_{};  // bytes
  Dim longer_;                           // 1 where lines do not fit, else 0
  Dim held_ = 0;                         // bytes of the workspace
  Dims offsets_;                         // of its parts
  std::string roots_, places_, tables_, even_, odd_, step_;
};

}  // namespace

std::optional<OperationText> fourier_operation(const ir::DeviceOperation& operation,
                                               std::string_view name, const DeviceLimits& limits) {
  OperationWriter w(operation, name);
  w.use(math_prelude());
  w.use(fourier_prelude());
  w.use(fourier_lines_prelude());
  w.use(bluestein_prelude());
  w.schedule("a block as many lines as fit in shared memory; passes of long lines in groups");
  if (!operation.inputs[0].present || !operation.outputs[0].present) return {};
  Transform(w, operation.attrs.get<ir::DftAttrs>(), limits).launch();
  return w.take();
}

}  // namespace weft::codegen
