#include "ir/product_end.h"

#include <array>

#include "ir/scalar_comparison.h"
#include "ir/scalar_math.h"
#include "ir/scalar_math_special.h"

namespace weft::ir {
namespace {

/// The number of the input that reads each part, -1 where none does.
struct Inputs {
  int product = -1, bias = -1, residual = -1, before = -1;
};

/// The stage as a library's: factors and vectors of dtype `t`, sums in float32 or float64. The
/// result, and what gelu is given.
ScalarProgram expected(DType t, DType sum, const Inputs& in, ProductEnd::Kind kind,
                       bool bias_first) {
  ScalarBuilder b;
  const DType computed = compute_dtype(t);
  const auto lift = [&](ScalarValue v) { return b.convert(v, t, computed); };
  const auto lower = [&](ScalarValue v) { return b.convert(v, computed, t); };
  ScalarValue value = b.convert(b.input(in.product, sum), sum, t);
  const auto add = [&](int input) {
    if (input >= 0) value = lower(lift(value) + lift(b.input(input, t)));
  };
  add(bias_first ? in.bias : in.residual);
  add(bias_first ? in.residual : in.bias);
  const auto ended = [&] {
    switch (kind) {
      case ProductEnd::Kind::none: return value;
      case ProductEnd::Kind::gelu: return lower(math::gelu_tanh(lift(value)));
      case ProductEnd::Kind::gelu_grad:
        return lower(math::gelu_tanh_grad(lift(b.input(in.before, t)), lift(value)));
    }
    __builtin_unreachable();
  };
  return b.finish(std::array{ended(), value});
}

/// One kernel's stage, beside what a library does.
class Stages {
 public:
  explicit Stages(const Kernel& k)
      : k_(k),
        stage_(k.stages[0]),
        t_(dtype(k.contraction->a)),
        dense_(k.axes.size(), Dim(1)),
        vector_(k.axes.size(), Dim(0)) {
    for (std::size_t i = k.axes.size() - 1; i-- > 0;) dense_[i] = dense_[i + 1] * k.axes[i + 1];
    for (std::size_t i = 0; i < k.axes.size(); ++i)
      if (k.axes[i] == Dim(1)) dense_[i] = 0;  // as in all accesses
    vector_.back() = dense_.back();
  }

  std::optional<ProductEnd> end() {
    if (!is_floating(t_) || !sort_sources()) return std::nullopt;
    for (const Sink& sink : stage_.sinks)
      if (dtype(access(sink.id).buffer) != t_ || access(sink.id).strides != dense_)
        return std::nullopt;
    using Kind = ProductEnd::Kind;
    const int first = dense_reads_[0], second = dense_reads_[1];
    // Not relu: the library's makes NaN 0, and its gradient at 0 is 1 (a bit is set where the
    // operand was not below 0), where here NaN stays and the gradient is 0.
    if (k_.contraction->kept) return keeps_product() ? std::optional(end_) : std::nullopt;
    for (const Kind kind : {Kind::none, Kind::gelu})
      if (second < 0 && fits(kind, first, -1)) return end_;
    if (inputs_.bias >= 0 || first < 0) return std::nullopt;  // it adds none before the slope
    if (fits(Kind::gelu_grad, second, first)) return end_;
    if (second >= 0 && fits(Kind::gelu_grad, first, second)) return end_;
    return std::nullopt;
  }

 private:
  [[nodiscard]] const Access& access(int id) const {
    return k_.accesses[static_cast<std::size_t>(id)];
  }
  [[nodiscard]] DType dtype(int buffer) const {
    return k_.buffers[static_cast<std::size_t>(buffer)].dtype;
  }

  /// False where a source is none of those that a library has.
  bool sort_sources() {
    for (std::size_t i = 0; i < stage_.sources.size(); ++i) {
      const Access& read = access(stage_.sources[i].id);
      const int number = static_cast<int>(i);
      if (read.buffer == k_.contraction->out && read.strides == dense_ && inputs_.product < 0)
        inputs_.product = number;
      else if (dtype(read.buffer) != t_)
        return false;
      else if (read.strides == dense_ && dense_reads_[1] < 0)
        dense_reads_[dense_reads_[0] < 0 ? 0 : 1] = number;
      else if (read.strides == vector_ && inputs_.bias < 0)
        inputs_.bias = number;
      else
        return false;
    }
    return inputs_.product >= 0;
  }

  /// The product itself is what gelu is given, and is wanted too.
  bool keeps_product() {
    const Contraction& c = *k_.contraction;
    if (stage_.sources.size() != 1 || stage_.sinks.size() != 1 || dtype(c.out) != t_ ||
        !fits(ProductEnd::Kind::gelu, -1, -1))
      return false;
    end_.before = c.out, end_.before_offset = c.out_offset;
    return true;
  }

  /// Then it is `end_`.
  bool fits(ProductEnd::Kind kind, int residual, int before) {
    inputs_.residual = residual, inputs_.before = before;
    const bool keeps = stage_.sinks.size() == 2;
    if (keeps && kind != ProductEnd::Kind::gelu) return false;
    for (const bool bias_first : {true, false}) {
      const ScalarProgram wanted =
          expected(t_, dtype(k_.contraction->out), inputs_, kind, bias_first);
      ScalarComparison comparison(stage_.body, wanted);
      const auto gives = [&](const Sink& sink, std::size_t output) {
        return comparison.same_output(sink.output, output);
      };
      for (std::size_t of_result = 0; of_result < stage_.sinks.size(); ++of_result) {
        const Sink &result = stage_.sinks[of_result],
                   &kept = stage_.sinks[stage_.sinks.size() - 1 - of_result];
        if (!gives(result, 0) || (keeps && !gives(kept, 1))) continue;
        describe(kind, access(result.id), keeps ? &access(kept.id) : nullptr);
        return true;
      }
    }
    return false;
  }

  void describe(ProductEnd::Kind kind, const Access& result, const Access* kept) {
    const auto read = [&](int input, int& buffer, Dim& offset) {
      if (input < 0) return;
      const Access& from = access(stage_.sources[static_cast<std::size_t>(input)].id);
      buffer = from.buffer, offset = from.offset;
    };
    end_.kind = kind;
    end_.out = result.buffer, end_.out_offset = result.offset;
    read(inputs_.bias, end_.bias, end_.bias_offset);
    read(inputs_.residual, end_.residual, end_.residual_offset);
    read(inputs_.before, end_.before, end_.before_offset);
    if (kept) end_.before = kept->buffer, end_.before_offset = kept->offset;
  }

  const Kernel& k_;
  const Stage& stage_;
  const DType t_;  // of the factors
  std::vector<Dim> dense_, vector_;
  Inputs inputs_;
  std::array<int, 2> dense_reads_{-1, -1};
  ProductEnd end_;
};

}  // namespace

bool suits_library(const Kernel& k) {
  const Contraction& c = *k.contraction;
  const DType t = k.buffers[static_cast<std::size_t>(c.a)].dtype;
  return c.precision != MatmulPrecision::exact && !c.gather && is_floating(t);
}

std::optional<ProductEnd> find_product_end(const Kernel& k) {
  if (!k.contraction || k.stages.size() != 1) return std::nullopt;
  const Stage& stage = k.stages[0];
  if (stage.sinks.empty() || stage.sinks.size() > 2 || stage.sources.size() > 4)
    return std::nullopt;
  return Stages(k).end();
}

}  // namespace weft::ir
