// Printing as NumPy does it: `numpy.array2string` with its default options (precision 8, threshold
// 1000, three edge items, lines of 75 characters, shortest unique digits).
#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <ostream>

#include "ir/convert.h"
#include "weft/array.h"

namespace weft {
namespace {

constexpr int max_precision = 8;
constexpr std::int64_t threshold = 1000, edge_items = 3;
constexpr std::size_t line_width = 75;

/// The digits of |value|: d.ddd times ten to the exponent.
struct Decimal {
  std::string digits;
  int exponent;
};

Decimal parse_scientific(const char* begin, const char* end) {
  const char* e = std::find(begin, end, 'e');
  Decimal d{std::string(1, *begin), std::atoi(std::string(e + 1, end).c_str())};
  if (begin + 1 < e) d.digits.append(begin + 2, e);
  while (d.digits.size() > 1 && d.digits.back() == '0') d.digits.pop_back();
  return d;
}

template <class Half> double round_trip(double value) {
  return static_cast<double>(static_cast<float>(Half(static_cast<float>(value))));
}

/// The fewest digits that give `magnitude` back when read as a value of `dtype`.
Decimal shortest(double magnitude, DType dtype) {
  char text[64];
  const auto write = [&](auto... how) {
    return std::to_chars(text, text + sizeof text, how..., std::chars_format::scientific).ptr;
  };
  if (dtype == DType::float64 || dtype == DType::complex128)
    return parse_scientific(text, write(magnitude));
  if (dtype == DType::float32 || dtype == DType::complex64)
    return parse_scientific(text, write(static_cast<float>(magnitude)));
  for (int precision = 0;; ++precision) {
    char* end =
        std::to_chars(text, text + sizeof text, magnitude, std::chars_format::scientific, precision)
            .ptr;
    double back = 0;
    std::from_chars(text, end, back);
    if ((dtype == DType::float16 ? round_trip<float16>(back) : round_trip<bfloat16>(back)) ==
            magnitude ||
        precision > 16)
      return parse_scientific(text, end);
  }
}

/// A number in pieces; trailing zeros of the fraction are dropped.
struct Pieces {
  std::string whole, fraction, exponent;  // "-12", "5", "+08"
};

std::string sign_of(double value, bool plus) { return std::signbit(value) ? "-" : plus ? "+" : ""; }

void drop_zeros(std::string& fraction) {
  while (!fraction.empty() && fraction.back() == '0') fraction.pop_back();
}

/// The exact value rounded to a number of decimals.
Pieces rounded(double magnitude, int decimals) {
  std::string text(400, '\0');
  char* const end = text.data() + text.size();
  text.resize(static_cast<std::size_t>(
      std::to_chars(text.data(), end, magnitude, std::chars_format::fixed, decimals).ptr -
      text.data()));
  const std::size_t dot = std::min(text.find('.'), text.size());
  return {text.substr(0, dot), dot < text.size() ? text.substr(dot + 1) : "", ""};
}

/// Shortest digits, or the exact value where they are more than `precision` decimals. Where they
/// end before the point, zeros follow, or (in arrays) the exact value's digits.
Pieces positional(double value, DType dtype, int precision, bool plus, bool exact_whole) {
  const double magnitude = std::abs(value);
  const Decimal d = shortest(magnitude, dtype);
  const auto digits = static_cast<int>(d.digits.size());
  Pieces p;
  if (digits - 1 - d.exponent > precision) {
    p = rounded(magnitude, precision);
  } else if (exact_whole && digits <= d.exponent) {
    p = rounded(magnitude, 0);
  } else if (d.exponent < 0) {
    p = {"0", std::string(static_cast<std::size_t>(-d.exponent - 1), '0') + d.digits, ""};
  } else {
    const auto whole = static_cast<std::size_t>(d.exponent) + 1;
    p.whole = d.digits.substr(0, whole);
    p.whole.append(whole - p.whole.size(), '0');
    if (d.digits.size() > whole) p.fraction = d.digits.substr(whole);
  }
  drop_zeros(p.fraction);
  p.whole.insert(0, sign_of(value, plus));
  return p;
}

/// Shortest digits, or exactly `precision` decimals of the exact value where those are more or
/// `all` are wanted.
Pieces scientific(double value, DType dtype, int precision, bool plus, bool all) {
  const double magnitude = std::abs(value);
  Decimal d = shortest(magnitude, dtype);
  if (all || static_cast<int>(d.digits.size()) - 1 > precision) {
    char text[64];
    d = parse_scientific(text, std::to_chars(text, text + sizeof text, magnitude,
                                             std::chars_format::scientific, precision)
                                   .ptr);
  }
  std::string exponent = std::to_string(std::abs(d.exponent));
  if (exponent.size() < 2) exponent.insert(0, "0");
  Pieces p{sign_of(value, plus) + d.digits[0], d.digits.substr(1),
           (d.exponent < 0 ? "-" : "+") + exponent};
  drop_zeros(p.fraction);
  return p;
}

std::string pad_left(std::string text, std::size_t width) {
  if (text.size() < width) text.insert(0, width - text.size(), ' ');
  return text;
}

/// One format for all the numbers shown, as numpy's FloatingFormat.
class FloatFormat {
 public:
  FloatFormat(const std::vector<double>& values, DType dtype, bool plus)
      : dtype_(dtype), plus_(plus) {
    choose_exponent(values);
    bool infinite_below = plus, not_finite = false;
    for (const double v : values) {
      if (std::isfinite(v)) {
        measure(v);
      } else {
        not_finite = true;
        infinite_below |= std::isinf(v) && v < 0;
      }
    }
    if (exponential_)
      right_ = exponent_ + 2 + precision_;
    else
      precision_ = right_;
    if (not_finite) {
      const std::size_t longest = std::max<std::size_t>(3, 3 + (infinite_below ? 1 : 0));
      left_ = std::max(left_, longest - std::min(longest, right_ + 1));
    }
  }

  [[nodiscard]] std::string operator()(double value) const {
    if (!std::isfinite(value)) {
      std::string text =
          std::isnan(value) ? (plus_ ? "+nan" : "nan") : sign_of(value, plus_) + "inf";
      return pad_left(std::move(text), left_ + right_ + 1);
    }
    if (exponential_) {
      Pieces p = scientific(value, dtype_, static_cast<int>(precision_), plus_, true);
      p.fraction.append(precision_ - std::min(precision_, p.fraction.size()), '0');
      p.exponent.insert(1, exponent_ + 1 - std::min(exponent_ + 1, p.exponent.size()), '0');
      return pad_left(p.whole, left_) + '.' + p.fraction + 'e' + p.exponent;
    }
    const Pieces p = positional(value, dtype_, static_cast<int>(precision_), plus_, true);
    return pad_left(p.whole, left_) + '.' + p.fraction +
           std::string(right_ - std::min(right_, p.fraction.size()), ' ');
  }

 private:
  void choose_exponent(const std::vector<double>& values) {
    double low = INFINITY, high = 0;
    for (const double v : values) {
      if (!std::isfinite(v) || v == 0) continue;
      low = std::min(low, std::abs(v));
      high = std::max(high, std::abs(v));
    }
    if (high == 0) return;
    const bool narrow = dtype_ != DType::float64 && dtype_ != DType::complex128;
    const double small = narrow ? static_cast<double>(0.0001f) : 0.0001;
    const double ratio =
        narrow ? static_cast<double>(static_cast<float>(high) / static_cast<float>(low))
               : high / low;
    exponential_ = high >= 1e8 || low < small || ratio > 1000;
  }

  void measure(double v) {
    const Pieces p = exponential_ ? scientific(v, dtype_, max_precision, plus_, false)
                                  : positional(v, dtype_, max_precision, plus_, false);
    left_ = std::max(left_, p.whole.size());
    if (exponential_) {
      precision_ = std::max(precision_, p.fraction.size());
      exponent_ = std::max(exponent_, p.exponent.size() - 1);
    } else {
      right_ = std::max(right_, p.fraction.size());
    }
  }

  DType dtype_;
  bool plus_, exponential_ = false;
  std::size_t left_ = 0, right_ = 0, precision_ = 0, exponent_ = 0;
};

/// A lone number, as str() of a NumPy scalar; `point` keeps ".0".
std::string lone_float(double value, DType dtype, bool point, bool plus = false) {
  if (std::isnan(value)) return plus ? "+nan" : "nan";
  if (std::isinf(value)) return sign_of(value, plus) + "inf";
  const double magnitude = std::abs(value);
  if (magnitude != 0 && (magnitude >= 1e16 || magnitude < 1e-4)) {
    const Pieces p = scientific(value, dtype, 17, plus, false);
    return p.whole + (p.fraction.empty() ? "" : "." + p.fraction) + "e" + p.exponent;
  }
  const Pieces p = positional(value, dtype, 400, plus, false);
  return p.whole + (p.fraction.empty() ? (point ? ".0" : "") : "." + p.fraction);
}

std::string lone_complex(std::complex<double> z, DType dtype) {
  const std::string imaginary =
      lone_float(z.imag(), dtype, false, z.real() != 0 || std::signbit(z.real())) + "j";
  if (z.real() == 0 && !std::signbit(z.real())) return imaginary;
  return "(" + lone_float(z.real(), dtype, false) + imaginary + ")";
}

class Printer {
 public:
  explicit Printer(const Array& x) : x_(x.to(Device::cpu())), elided_(x.size() > threshold) {}

  std::string str() {
    if (x_.size() == 0) return "[]";
    collect(0, 0);
    if (x_.ndim() == 0) return lone();
    make_words();
    return nested(0, " ", line_width);
  }

 private:
  /// Calls f(index) for the indices shown on an axis; gap() where some are left out.
  template <class F, class Gap> void shown(std::int64_t extent, F f, Gap gap) const {
    if (!elided_ || extent <= 2 * edge_items) {
      for (std::int64_t i = 0; i < extent; ++i) f(i);
      return;
    }
    for (std::int64_t i = 0; i < edge_items; ++i) f(i);
    gap();
    for (std::int64_t i = extent - edge_items; i < extent; ++i) f(i);
  }

  void collect(std::size_t axis, std::int64_t offset) {
    if (axis == x_.shape().size()) {
      at_.push_back(x_.bytes() + offset * static_cast<std::int64_t>(size_of(x_.dtype())));
      return;
    }
    shown(
        x_.shape()[axis],
        [&](std::int64_t i) { collect(axis + 1, offset + i * x_.strides()[axis]); }, [] {});
  }

  std::string lone() const {
    return visit_dtype(x_.dtype(), [&]<class T>(std::type_identity<T>) -> std::string {
      const T v = ir::load_element<T>(at_[0]);
      if constexpr (std::is_same_v<T, bool>)
        return v ? "True" : "False";
      else if constexpr (std::is_integral_v<T>)
        return std::to_string(v);
      else if constexpr (ir::is_complex_type<T>)
        return lone_complex(v, x_.dtype());
      else
        return lone_float(static_cast<double>(v), x_.dtype(), true);
    });
  }

  template <class T, class Part> std::vector<double> parts(Part part) const {
    std::vector<double> values;
    for (const std::byte* p : at_) values.push_back(part(ir::load_element<T>(p)));
    return values;
  }

  void make_words() {
    visit_dtype(x_.dtype(), [&]<class T>(std::type_identity<T>) {
      if constexpr (std::is_same_v<T, bool>) {
        for (const std::byte* p : at_) words_.push_back(ir::load_element<T>(p) ? " True" : "False");
      } else if constexpr (std::is_integral_v<T>) {
        std::size_t width = 0;
        for (const std::byte* p : at_) words_.push_back(std::to_string(ir::load_element<T>(p)));
        for (const std::string& w : words_) width = std::max(width, w.size());
        for (std::string& w : words_) w = pad_left(std::move(w), width);
      } else if constexpr (ir::is_complex_type<T>) {
        const auto real = parts<T>([](T z) { return static_cast<double>(z.real()); });
        const auto imag = parts<T>([](T z) { return static_cast<double>(z.imag()); });
        const FloatFormat real_format(real, x_.dtype(), false), imag_format(imag, x_.dtype(), true);
        for (std::size_t i = 0; i < real.size(); ++i) {
          std::string text = imag_format(imag[i]);
          text.insert(text.find_last_not_of(' ') + 1, "j");
          words_.push_back(real_format(real[i]) + text);
        }
      } else {
        const auto values = parts<T>([](T v) { return static_cast<double>(v); });
        const FloatFormat format(values, x_.dtype(), false);
        for (const double v : values) words_.push_back(format(v));
      }
    });
  }

  /// numpy's `_formatArray`: consumes the words in row order.
  std::string nested(std::size_t axis, const std::string& indent, std::size_t width) {
    const std::int64_t extent = x_.shape()[axis];
    std::string out;
    if (axis + 1 == x_.shape().size()) {
      std::string line = indent;
      const auto extend = [&](const std::string& word) {
        if (line.size() + word.size() > width - 1 && line.size() > indent.size()) {
          out += line.erase(line.find_last_not_of(' ') + 1) + "\n";
          line = indent;
        }
        line += word + " ";
      };
      shown(
          extent, [&](std::int64_t) { extend(words_[next_++]); }, [&] { extend("..."); });
      line.pop_back();
      out += line;
    } else {
      const std::string separator(x_.shape().size() - axis - 1, '\n');
      const auto add = [&](const std::string& item) {
        out += (out.empty() ? "" : separator) + indent + item;
      };
      shown(
          extent, [&](std::int64_t) { add(nested(axis + 1, indent + " ", width - 1)); },
          [&] { add("..."); });
    }
    return "[" + out.substr(indent.size()) + "]";
  }

  Array x_;
  bool elided_;
  std::vector<const std::byte*> at_;  // the elements shown
  std::vector<std::string> words_;
  std::size_t next_ = 0;
};

}  // namespace

std::string to_string(const Array& x) { return Printer(x).str(); }
std::ostream& operator<<(std::ostream& out, const Array& x) { return out << to_string(x); }

}  // namespace weft
