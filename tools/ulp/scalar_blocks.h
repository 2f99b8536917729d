// Runs a scalar program over many elements, a loop an instruction: quick enough to try every
// float32. For checking only; written apart from `evaluate`, over values of the C++ types
// themselves. Just the opcodes and dtypes that transcendentals use.
#pragma once

#include <cmath>
#include <cstring>
#include <limits>
#include <span>
#include <stdexcept>
#include <vector>

#include "ir/scalar.h"

namespace weft::check {

inline constexpr std::size_t block_size = 256;

class BlockRunner {
 public:
  explicit BlockRunner(const ir::ScalarProgram& program) : program_(program) {
    for (const ir::ScalarInst& inst : program.code) {
      values_.emplace_back(block_size);
      if (inst.op == ir::ScalarOp::constant) {
        typed(inst.dtype, [&]<class T>(T*) {
          T value;
          std::memcpy(&value, &inst.imm, sizeof value);
          for (std::size_t i = 0; i < block_size; ++i) at<T>(values_.size() - 1)[i] = value;
        });
      }
    }
  }

  /// Arrays of block_size elements of the inputs' dtypes; returns the first output's array.
  const void* run(std::span<const void* const> inputs) {
    for (std::size_t i = 0; i < program_.code.size(); ++i) step(i, inputs);
    return values_[static_cast<std::size_t>(program_.outputs[0])].data();
  }

 private:
  using Op = ir::ScalarOp;

  template <class T> T* at(std::size_t i) { return reinterpret_cast<T*>(values_[i].data()); }
  template <class T> const T* operand(std::int32_t i) {
    return at<const T>(static_cast<std::size_t>(i));
  }

  template <class F> static void typed(DType t, F f) {
    visit_dtype(t, [&]<class T>(std::type_identity<T>) {
      if constexpr (std::is_arithmetic_v<T>)
        f(static_cast<T*>(nullptr));
      else
        throw std::logic_error("a dtype that the block runner lacks");
    });
  }

  /// Integers wrap, which only unsigned ones do; booleans and floats are themselves.
  template <class T, bool = std::is_integral_v<T> && !std::is_same_v<T, bool>>
  struct WrappingOf { using type = T; };
  template <class T> struct WrappingOf<T, true> { using type = std::make_unsigned_t<T>; };
  template <class T> using Wrapping = typename WrappingOf<T>::type;

  template <class R, class T, class F> void map(std::size_t i, F f) {
    const ir::ScalarInst& inst = program_.code[i];
    const T* const a = operand<T>(inst.a);
    const T* const b = operand<T>(inst.b >= 0 ? inst.b : inst.a);
    const T* const c = operand<T>(inst.c >= 0 ? inst.c : inst.a);
    R* const out = at<R>(i);
    for (std::size_t k = 0; k < block_size; ++k) out[k] = static_cast<R>(f(a[k], b[k], c[k]));
  }

  template <class T> bool common(std::size_t i) {
    const Op op = program_.code[i].op;
    using W = Wrapping<T>;
    if (op == Op::add) return map<T, T>(i, [](T a, T b, T) { return W(a) + W(b); }), true;
    if (op == Op::sub) return map<T, T>(i, [](T a, T b, T) { return W(a) - W(b); }), true;
    if (op == Op::mul) return map<T, T>(i, [](T a, T b, T) { return W(a) * W(b); }), true;
    if (op == Op::eq) return map<bool, T>(i, [](T a, T b, T) { return a == b; }), true;
    if (op == Op::ne) return map<bool, T>(i, [](T a, T b, T) { return a != b; }), true;
    if (op == Op::lt) return map<bool, T>(i, [](T a, T b, T) { return a < b; }), true;
    if (op == Op::le) return map<bool, T>(i, [](T a, T b, T) { return a <= b; }), true;
    return false;
  }

  template <class T> void floating(std::size_t i) {
    const Op op = program_.code[i].op;
    if (op == Op::div) return map<T, T>(i, [](T a, T b, T) { return a / b; });
    if (op == Op::neg) return map<T, T>(i, [](T a, T, T) { return -a; });
    if (op == Op::abs) return map<T, T>(i, [](T a, T, T) { return std::fabs(a); });
    if (op == Op::fma) return map<T, T>(i, [](T a, T b, T c) { return std::fma(a, b, c); });
    if (op == Op::scale)
      return map<T, T>(i, [](T a, T b, T) {  // in two factors, as the interpreter's
        const auto whole = std::bit_cast<std::uint32_t>(static_cast<float>(b) + (0x1.8p23f + 254));
        const std::uint32_t both = whole << 23, first = (whole << 22) & 0x7f800000;
        return a * std::bit_cast<float>(first) * std::bit_cast<float>(both - first);
      });
    if (op == Op::ratio)
      return map<T, T>(i, [](T a, T b, T) {  // NaN where a program does not keep to its terms
        const T q = a / b, size = std::fabs(q), divisor = std::fabs(b);
        const auto middle = [](T x) { return x >= T(0x1p-125) && x <= T(0x1p125); };
        int exponent = 0;
        const bool shifts = a == 0 || std::frexp(divisor, &exponent) == T(0.5);
        const bool kept = middle(divisor) && (shifts || (std::fabs(a) >= T(0x1p-100) && middle(size)));
        return kept ? q : std::numeric_limits<T>::quiet_NaN();
      });
    if (op == Op::sqrt) return map<T, T>(i, [](T a, T, T) { return std::sqrt(a); });
    if (op == Op::rint) return map<T, T>(i, [](T a, T, T) { return std::nearbyint(a); });
    if (op == Op::floor) return map<T, T>(i, [](T a, T, T) { return std::floor(a); });
    if (op == Op::ceil) return map<T, T>(i, [](T a, T, T) { return std::ceil(a); });
    if (op == Op::trunc) return map<T, T>(i, [](T a, T, T) { return std::trunc(a); });
    if (op == Op::minimum)
      return map<T, T>(i, [](T a, T b, T) {
        return a != a || a < b || (a == b && std::signbit(a)) ? a : b;
      });
    if (op == Op::maximum)
      return map<T, T>(i, [](T a, T b, T) {
        return a != a || a > b || (a == b && !std::signbit(a)) ? a : b;
      });
    throw std::logic_error("an opcode that the block runner lacks");
  }

  template <class T> void integral(std::size_t i) {
    const Op op = program_.code[i].op;
    if (op == Op::bit_and) return map<T, T>(i, [](T a, T b, T) { return a & b; });
    if (op == Op::bit_or) return map<T, T>(i, [](T a, T b, T) { return a | b; });
    if (op == Op::bit_xor) return map<T, T>(i, [](T a, T b, T) { return a ^ b; });
    if (op == Op::bit_not) return map<T, T>(i, [](T a, T, T) { return a ^ T(-1); });
    if (op == Op::shl)
      return map<T, T>(i, [](T a, T b, T) { return b < T(8 * sizeof(T)) ? a << b : 0; });
    if (op == Op::shr)
      return map<T, T>(i, [](T a, T b, T) { return b < T(8 * sizeof(T)) ? a >> b : 0; });
    if (op == Op::minimum) return map<T, T>(i, [](T a, T b, T) { return a < b ? a : b; });
    if (op == Op::maximum) return map<T, T>(i, [](T a, T b, T) { return a < b ? b : a; });
    if (op == Op::mulhi)
      return map<T, T>(i, [](T a, T b, T) {
        return static_cast<T>(static_cast<unsigned __int128>(a) * b >> 64);  // uint64 alone
      });
    throw std::logic_error("an opcode that the block runner lacks");
  }

  void step(std::size_t i, std::span<const void* const> inputs) {
    const ir::ScalarInst& inst = program_.code[i];
    const std::size_t width = size_of(inst.dtype);
    if (inst.op == Op::constant) return;
    if (inst.op == Op::input) {
      std::memcpy(values_[i].data(), inputs[inst.imm], width * block_size);
    } else if (inst.op == Op::bitcast) {
      std::memcpy(values_[i].data(), operand<char>(inst.a), width * block_size);
    } else if (inst.op == Op::select) {
      typed(inst.dtype, [&]<class T>(T*) {
        const bool* const a = operand<bool>(inst.a);
        const T* const b = operand<T>(inst.b);
        const T* const c = operand<T>(inst.c);
        for (std::size_t k = 0; k < block_size; ++k) at<T>(i)[k] = a[k] ? b[k] : c[k];
      });
    } else if (inst.op == Op::lookup) {
      typed(inst.dtype, [&]<class T>(T*) {
        const auto& table = program_.tables[inst.imm].bits;
        for (std::size_t k = 0; k < block_size; ++k) {
          const auto at_k = static_cast<std::size_t>(operand<std::int32_t>(inst.a)[k]);
          std::memcpy(at<T>(i) + k, &table.at(at_k), sizeof(T));
        }
      });
    } else {
      compute(i);
    }
  }

  void compute(std::size_t i) {
    const ir::ScalarInst& inst = program_.code[i];
    typed(program_.code[static_cast<std::size_t>(inst.a)].dtype, [&]<class T>(T*) {
      if (inst.op == Op::convert) {  // transcendentals never leave the range
        typed(inst.dtype,
              [&]<class R>(R*) { map<R, T>(i, [](T a, T, T) { return static_cast<R>(a); }); });
      } else if (!common<T>(i)) {
        if constexpr (std::is_floating_point_v<T>)
          floating<T>(i);
        else
          integral<T>(i);
      }
    });
  }

  const ir::ScalarProgram& program_;
  std::vector<std::vector<std::uint64_t>> values_;
};

}  // namespace weft::check
