// Extents. A `Dim` is a constant, a named unknown (`N`), or a normalised expression of these: a sum
// of integer multiples of products of atoms, where an atom is a symbol, `floordiv(e, e)`, `mod(e,
// e)`, `max(e, e)` or `min(e, e)`. Normal form makes `==` structural: equal Dims are equal for
// every binding. Constants cost no allocation. Immutable, cheap to copy, safe to share between
// threads. Symbols stand for extents, so they are never negative. Arithmetic that leaves int64
// throws ShapeError.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace weft {

class DimExpr;  // the normalised expression behind a non-constant Dim

/// Values of named unknowns. A flat list: there are few.
class DimBindings {
 public:
  /// False when `name` is bound already, to another value.
  bool bind(std::string_view name, std::int64_t value);
  [[nodiscard]] std::optional<std::int64_t> find(std::string_view name) const;
  [[nodiscard]] std::span<const std::pair<std::string, std::int64_t>> entries() const {
    return entries_;
  }

 private:
  std::vector<std::pair<std::string, std::int64_t>> entries_;
};

class Dim {
 public:
  Dim(std::int64_t value = 0) : value_(value) {}
  static Dim symbol(std::string_view name);

  [[nodiscard]] bool is_constant() const { return expr_ == nullptr; }
  /// The constant; only where is_constant().
  [[nodiscard]] std::int64_t value() const;
  [[nodiscard]] std::optional<std::int64_t> constant() const;
  /// The name, when this is one bare symbol.
  [[nodiscard]] std::optional<std::string_view> symbol_name() const;
  /// Throws ShapeError naming the symbol that has no binding.
  [[nodiscard]] std::int64_t evaluate(const DimBindings&) const;
  [[nodiscard]] Dim substitute(const std::function<std::optional<Dim>(std::string_view)>&) const;
  /// Adds the names of all symbols, each once, in order of first appearance.
  void collect_symbols(std::vector<std::string>& names) const;
  /// Text form: `3`, `N`, `2*N+1`, `floordiv(N, 2)`. Parsed back by `parse_dim` exactly.
  [[nodiscard]] std::string str() const;
  [[nodiscard]] std::size_t hash() const;
  [[nodiscard]] const DimExpr* expr() const { return expr_.get(); }

  friend bool operator==(const Dim& a, const Dim& b);
  friend Dim operator+(const Dim& a, const Dim& b);
  friend Dim operator-(const Dim& a, const Dim& b);
  friend Dim operator*(const Dim& a, const Dim& b);
  friend Dim floordiv(const Dim& a, const Dim& b);  // toward minus infinity; b > 0
  friend Dim mod(const Dim& a, const Dim& b);       // result in [0, b)
  friend Dim max(const Dim& a, const Dim& b);
  friend Dim min(const Dim& a, const Dim& b);

 private:
  friend class DimExpr;
  friend struct DimAlgebra;
  explicit Dim(std::shared_ptr<const DimExpr> expr) : expr_(std::move(expr)) {}

  std::int64_t value_ = 0;
  std::shared_ptr<const DimExpr> expr_;
};

Dim floordiv(const Dim& a, const Dim& b);
Dim mod(const Dim& a, const Dim& b);
Dim max(const Dim& a, const Dim& b);
Dim min(const Dim& a, const Dim& b);
/// True where the extents differ for every binding.
inline bool always_differ(const Dim& a, const Dim& b) { return a != b && (a - b).is_constant(); }
inline Dim ceildiv(const Dim& a, const Dim& b) { return floordiv(a + b - Dim(1), b); }

/// Throws ParseError. Accepts what `str` prints, with optional spaces.
Dim parse_dim(std::string_view text);

/// One node of an expression, for code that walks it (code generation). Sum of terms.
class DimExpr {
 public:
  enum class AtomKind : std::uint8_t { symbol, floordiv, mod, max, min };
  struct Atom {
    AtomKind kind;
    std::string name;  // symbol
    Dim left, right;   // the others
  };
  struct Term {
    std::int64_t coefficient;
    std::vector<std::shared_ptr<const Atom>> factors;  // sorted; empty for the constant term
  };
  [[nodiscard]] std::span<const Term> terms() const { return terms_; }

 private:
  friend class Dim;
  friend struct DimAlgebra;
  std::vector<Term> terms_;  // sorted, coefficients nonzero
  std::size_t hash_ = 0;
  int depth_ = 0;  // of atoms within atoms; bounded, so walking may recurse
};

/// Concrete shape of a value.
using Shape = std::vector<std::int64_t>;
/// Shape of a graph tensor, extents possibly unknown.
using Dims = std::vector<Dim>;

inline Dim dim(std::string_view name) { return Dim::symbol(name); }
Dim product(std::span<const Dim>);
Dims to_dims(std::span<const std::int64_t>);
/// Empty when any extent is not constant.
std::optional<Shape> to_shape(std::span<const Dim>);
Shape evaluate(std::span<const Dim>, const DimBindings&);
/// `(2, N, 4)`; `(3,)`; `()`.
std::string to_string(std::span<const Dim>);
std::string to_string(std::span<const std::int64_t>);
/// Number of elements; throws ShapeError on a negative extent or when the product overflows int64.
std::int64_t element_count(std::span<const std::int64_t>);
/// NumPy broadcasting of known shapes, ShapeError when they do not fit. Unknown extents that might
/// be equal are taken as equal (checked at the call).
Dims broadcast_dims(std::span<const Dim> a, std::span<const Dim> b);
Shape broadcast_shapes(std::span<const std::int64_t> a, std::span<const std::int64_t> b);

}  // namespace weft

template <> struct std::hash<weft::Dim> {
  std::size_t operator()(const weft::Dim& d) const { return d.hash(); }
};
