#include "ir/dim.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <numeric>
#include <utility>

#include "ir/error.h"

namespace weft {
namespace {

using Atom = DimExpr::Atom;
using AtomKind = DimExpr::AtomKind;
using AtomPtr = std::shared_ptr<const Atom>;
using Term = DimExpr::Term;
using Terms = std::vector<Term>;

constexpr int max_depth = 100;
constexpr std::size_t max_terms = 4096;

[[noreturn]] void overflow(const char* what) {
  throw ShapeError(std::string("an extent does not fit in 64 bits: overflow in ") + what);
}

std::int64_t add(std::int64_t a, std::int64_t b) {
  std::int64_t r;
  if (__builtin_add_overflow(a, b, &r)) overflow("a sum");
  return r;
}

std::int64_t multiply(std::int64_t a, std::int64_t b) {
  std::int64_t r;
  if (__builtin_mul_overflow(a, b, &r)) overflow("a product");
  return r;
}

void require_positive(std::int64_t b, const char* what) {
  if (b <= 0)
    throw ShapeError(std::string(what) + " needs a positive divisor, not " + std::to_string(b));
}

std::int64_t floor_divide(std::int64_t a, std::int64_t b) {  // b > 0
  return a / b - (a % b < 0 ? 1 : 0);
}

std::int64_t floor_modulo(std::int64_t a, std::int64_t b) {  // b > 0
  const std::int64_t r = a % b;
  return r < 0 ? r + b : r;
}

int compare(const Dim& a, const Dim& b);

template <class T> int order(const T& a, const T& b) { return a < b ? -1 : (b < a ? 1 : 0); }

int compare(const AtomPtr& a, const AtomPtr& b) {
  if (a == b) return 0;
  if (const int c = order(a->kind, b->kind)) return c;
  if (const int c = a->name.compare(b->name)) return c;
  if (const int c = compare(a->left, b->left)) return c;
  return compare(a->right, b->right);
}

/// Higher degrees first, so that the constant comes last; a monomial order, as long division needs.
int compare_monomials(const Term& a, const Term& b) {
  if (const int c = order(b.factors.size(), a.factors.size())) return c;
  for (std::size_t i = 0; i < a.factors.size(); ++i)
    if (const int c = compare(a.factors[i], b.factors[i])) return c;
  return 0;
}

/// Expressions before constants, so that constants stand on the right of max and min.
int compare(const Dim& a, const Dim& b) {
  if (a.expr() == b.expr()) return a.is_constant() ? order(a.value(), b.value()) : 0;
  if (a.is_constant() != b.is_constant()) return a.is_constant() ? 1 : -1;
  const auto s = a.expr()->terms(), t = b.expr()->terms();
  for (std::size_t i = 0; i < std::min(s.size(), t.size()); ++i) {
    if (const int c = compare_monomials(s[i], t[i])) return c;
    if (const int c = order(s[i].coefficient, t[i].coefficient)) return c;
  }
  return order(s.size(), t.size());
}

void mix(std::size_t& seed, std::size_t value) {
  seed ^= value + 0x9e3779b97f4a7c15ull + (seed << 6) + (seed >> 2);
}

std::string_view name(AtomKind kind) {
  switch (kind) {
    case AtomKind::symbol: return "symbol";
    case AtomKind::floordiv: return "floordiv";
    case AtomKind::mod: return "mod";
    case AtomKind::max: return "max";
    case AtomKind::min: return "min";
  }
  __builtin_unreachable();
}

bool starts_name(char c) { return std::isalpha(static_cast<unsigned char>(c)) || c == '_'; }
bool continues_name(char c) {
  return starts_name(c) || std::isdigit(static_cast<unsigned char>(c)) || c == '.';
}

}  // namespace

struct DimAlgebra {
  static Terms terms(const Dim& d) {
    if (d.expr_) return d.expr_->terms_;
    if (d.value_ == 0) return {};
    return {Term{d.value_, {}}};
  }

  static Dim make(Terms terms) {
    std::sort(terms.begin(), terms.end(),
              [](const Term& a, const Term& b) { return compare_monomials(a, b) < 0; });
    Terms merged;
    for (Term& t : terms) {
      if (!merged.empty() && compare_monomials(merged.back(), t) == 0)
        merged.back().coefficient = add(merged.back().coefficient, t.coefficient);
      else
        merged.push_back(std::move(t));
      if (merged.back().coefficient == 0) merged.pop_back();
    }
    if (merged.empty()) return Dim(0);
    if (merged.size() == 1 && merged[0].factors.empty()) return Dim(merged[0].coefficient);
    if (merged.size() > max_terms)
      throw ShapeError("an extent has become an expression of over 4096 terms");
    auto expr = std::make_shared<DimExpr>();
    expr->terms_ = std::move(merged);
    finish(*expr);
    return Dim(std::move(expr));
  }

  static void finish(DimExpr& e) {
    for (const Term& t : e.terms_) {
      mix(e.hash_, static_cast<std::size_t>(t.coefficient));
      for (const AtomPtr& f : t.factors) {
        mix(e.hash_, static_cast<std::size_t>(f->kind));
        mix(e.hash_, std::hash<std::string>{}(f->name));
        mix(e.hash_, f->left.hash());
        mix(e.hash_, f->right.hash());
        e.depth_ = std::max({e.depth_, 1 + depth(f->left), 1 + depth(f->right)});
      }
    }
    if (e.depth_ > max_depth)
      throw ShapeError("an extent has become an expression nested over 100 deep");
  }

  static int depth(const Dim& d) { return d.expr_ ? d.expr_->depth_ : 0; }

  static Dim atom(AtomKind kind, std::string name, Dim left, Dim right) {
    auto a = std::make_shared<const Atom>(
        Atom{kind, std::move(name), std::move(left), std::move(right)});
    return make({Term{1, {std::move(a)}}});
  }

  static Dim scaled_sum(const Dim& a, const Dim& b, std::int64_t scale) {
    Terms all = terms(a);
    for (Term t : terms(b)) {
      t.coefficient = multiply(t.coefficient, scale);
      all.push_back(std::move(t));
    }
    return make(std::move(all));
  }

  static Term times(const Term& a, const Term& b) {
    Term r{multiply(a.coefficient, b.coefficient), {}};
    std::merge(a.factors.begin(), a.factors.end(), b.factors.begin(), b.factors.end(),
               std::back_inserter(r.factors),
               [](const AtomPtr& x, const AtomPtr& y) { return compare(x, y) < 0; });
    return r;
  }

  static Dim product(const Dim& a, const Dim& b) {
    const Terms s = terms(a), t = terms(b);
    if (s.size() * t.size() > max_terms)
      throw ShapeError("an extent has become an expression of over 4096 terms");
    Terms all;
    for (const Term& x : s)
      for (const Term& y : t) all.push_back(times(x, y));
    return make(std::move(all));
  }

  /// a / b where it is a whole monomial with a whole coefficient.
  static std::optional<Term> quotient(const Term& a, const Term& b) {
    if (b.coefficient == -1 || a.coefficient % b.coefficient != 0) return std::nullopt;
    Term r{a.coefficient / b.coefficient, {}};
    std::size_t j = 0;
    for (const AtomPtr& f : a.factors) {
      if (j < b.factors.size() && compare(f, b.factors[j]) == 0)
        ++j;
      else
        r.factors.push_back(f);
    }
    if (j < b.factors.size()) return std::nullopt;
    return r;
  }

  /// Polynomial long division: a = first * b + second.
  static std::pair<Dim, Dim> divide(const Dim& a, const Dim& b) {
    const Term lead = terms(b).front();
    Dim whole, rest, left = a;
    while (true) {
      const Terms t = terms(left);
      if (t.empty()) return {whole, rest};
      if (const auto q = quotient(t.front(), lead)) {
        const Dim d = make({*q});
        whole = scaled_sum(whole, d, 1);
        left = scaled_sum(left, product(d, b), -1);
      } else {
        rest = scaled_sum(rest, make({t.front()}), 1);
        left = make(Terms(t.begin() + 1, t.end()));
      }
    }
  }

  /// Coefficients split by floor division with b > 0: a = first * b + second.
  static std::pair<Dim, Dim> divide(const Dim& a, std::int64_t b) {
    Terms whole, rest;
    for (const Term& t : terms(a)) {
      whole.push_back({floor_divide(t.coefficient, b), t.factors});
      rest.push_back({floor_modulo(t.coefficient, b), t.factors});
    }
    return {make(nonzero(std::move(whole))), make(nonzero(std::move(rest)))};
  }

  static Terms nonzero(Terms t) {
    std::erase_if(t, [](const Term& x) { return x.coefficient == 0; });
    return t;
  }

  /// The greatest common divisor of `b` and every coefficient but the constant term's.
  static std::int64_t common_divisor(const Dim& a, std::int64_t b) {
    for (const Term& t : terms(a))
      if (!t.factors.empty()) b = std::gcd(b, t.coefficient);
    return b;
  }

  /// When `d` is one atom of `kind` plus a constant: the atom and the constant.
  static std::optional<std::pair<AtomPtr, std::int64_t>> single(const Dim& d, AtomKind kind) {
    const Terms t = terms(d);
    if (t.empty() || t.size() > 2 || t[0].coefficient != 1 || t[0].factors.size() != 1)
      return std::nullopt;
    if (t[0].factors[0]->kind != kind || (t.size() == 2 && !t[1].factors.empty()))
      return std::nullopt;
    return std::pair{t[0].factors[0], t.size() == 2 ? t[1].coefficient : 0};
  }

  static Dim floordiv_constant(const Dim& a, std::int64_t b) {
    auto [whole, rest] = divide(a, b);
    if (rest.is_constant()) return whole;
    const std::int64_t g = common_divisor(rest, b);
    rest = divide(rest, g).first;
    b /= g;
    if (const auto inner = single(rest, AtomKind::floordiv);
        inner && inner->first->right.is_constant()) {
      // floordiv(floordiv(x, m) + c, b) = floordiv(x + m*c, m*b)
      const std::int64_t m = inner->first->right.value();
      std::int64_t shift, divisor;
      if (!__builtin_mul_overflow(m, inner->second, &shift) &&
          !__builtin_mul_overflow(m, b, &divisor))
        return whole + floordiv_constant(inner->first->left + Dim(shift), divisor);
    }
    return whole + atom(AtomKind::floordiv, {}, rest, Dim(b));
  }

  static Dim mod_constant(const Dim& a, std::int64_t b) {
    Dim rest = divide(a, b).second;
    if (rest.is_constant()) return rest;
    const std::int64_t g = common_divisor(rest, b);
    const auto [scaled, low] = divide(rest, g);
    return Dim(g) * atom(AtomKind::mod, {}, scaled, Dim(b / g)) + low;
  }

  static bool nonnegative(const Atom& a) {
    switch (a.kind) {
      case AtomKind::symbol:
      case AtomKind::mod: return true;
      case AtomKind::floordiv: return nonnegative(a.left);
      case AtomKind::max: return nonnegative(a.left) || nonnegative(a.right);
      case AtomKind::min: return nonnegative(a.left) && nonnegative(a.right);
    }
    __builtin_unreachable();
  }

  /// True only where `d >= 0` holds for every binding.
  static bool nonnegative(const Dim& d) {
    const Terms t = terms(d);
    return std::all_of(t.begin(), t.end(), [](const Term& x) {
      return x.coefficient > 0 && std::all_of(x.factors.begin(), x.factors.end(),
                                              [](const AtomPtr& f) { return nonnegative(*f); });
    });
  }

  static Dim extremum(AtomKind kind, const Dim& a, const Dim& b) {
    const bool is_max = kind == AtomKind::max;
    if (a.is_constant() && b.is_constant())
      return is_max ? std::max(a.value(), b.value()) : std::min(a.value(), b.value());
    if (nonnegative(a - b)) return is_max ? a : b;
    if (nonnegative(b - a)) return is_max ? b : a;
    if (compare(a, b) > 0) return extremum(kind, b, a);
    if (const auto inner = single(a, kind);
        inner && b.is_constant() && inner->first->right.is_constant()) {
      // max(max(x, k) + c, b) = max(x + c, max(k + c, b)): repeated slicing does not nest
      const Dim bound = extremum(kind, inner->first->right + Dim(inner->second), b);
      return extremum(kind, inner->first->left + Dim(inner->second), bound);
    }
    return atom(kind, {}, a, b);
  }

  static Dim apply(AtomKind kind, const Dim& left, const Dim& right) {
    switch (kind) {
      case AtomKind::symbol: break;
      case AtomKind::floordiv: return floordiv(left, right);
      case AtomKind::mod: return mod(left, right);
      case AtomKind::max: return max(left, right);
      case AtomKind::min: return min(left, right);
    }
    __builtin_unreachable();
  }
};

bool DimBindings::bind(std::string_view name, std::int64_t value) {
  if (const auto known = find(name)) return *known == value;
  entries_.emplace_back(name, value);
  return true;
}

std::optional<std::int64_t> DimBindings::find(std::string_view name) const {
  for (const auto& [known, value] : entries_)
    if (known == name) return value;
  return std::nullopt;
}

Dim Dim::symbol(std::string_view name) {
  if (name.empty() || !starts_name(name[0]) ||
      !std::all_of(name.begin(), name.end(), continues_name))
    throw ShapeError("an unknown extent needs a name of letters, digits, '_' and '.', not \"" +
                     std::string(name) + '"');
  return DimAlgebra::atom(AtomKind::symbol, std::string(name), {}, {});
}

std::int64_t Dim::value() const {
  if (expr_) throw ShapeError("the extent " + str() + " is not known");
  return value_;
}

std::optional<std::int64_t> Dim::constant() const {
  if (expr_) return std::nullopt;
  return value_;
}

std::optional<std::string_view> Dim::symbol_name() const {
  if (!expr_ || expr_->terms_.size() != 1) return std::nullopt;
  const auto inner = DimAlgebra::single(*this, AtomKind::symbol);
  if (!inner) return std::nullopt;
  return inner->first->name;
}

std::int64_t Dim::evaluate(const DimBindings& bindings) const {
  if (!expr_) return value_;
  std::int64_t sum = 0;
  for (const Term& t : expr_->terms_) {
    std::int64_t p = t.coefficient;
    for (const AtomPtr& f : t.factors) {
      if (f->kind == AtomKind::symbol) {
        const auto v = bindings.find(f->name);
        if (!v) throw ShapeError("the extent " + f->name + " is not known");
        p = multiply(p, *v);
      } else {
        p = multiply(
            p, DimAlgebra::apply(f->kind, f->left.evaluate(bindings), f->right.evaluate(bindings))
                   .value());
      }
    }
    sum = add(sum, p);
  }
  return sum;
}

Dim Dim::substitute(const std::function<std::optional<Dim>(std::string_view)>& replace) const {
  if (!expr_) return *this;
  Dim sum;
  for (const Term& t : expr_->terms_) {
    Dim p = t.coefficient;
    for (const AtomPtr& f : t.factors) {
      if (f->kind != AtomKind::symbol)
        p = p *
            DimAlgebra::apply(f->kind, f->left.substitute(replace), f->right.substitute(replace));
      else if (const auto r = replace(f->name))
        p = p * *r;
      else
        p = p * DimAlgebra::make({Term{1, {f}}});
    }
    sum = sum + p;
  }
  return sum;
}

void Dim::collect_symbols(std::vector<std::string>& names) const {
  if (!expr_) return;
  for (const Term& t : expr_->terms_)
    for (const AtomPtr& f : t.factors) {
      if (f->kind != AtomKind::symbol) {
        f->left.collect_symbols(names);
        f->right.collect_symbols(names);
      } else if (std::find(names.begin(), names.end(), f->name) == names.end()) {
        names.push_back(f->name);
      }
    }
}

std::string Dim::str() const {
  if (!expr_) return std::to_string(value_);
  std::string out;
  for (const Term& t : expr_->terms_) {
    if (t.coefficient > 0 && !out.empty()) out += '+';
    if (t.coefficient == -1 && !t.factors.empty()) out += '-';
    const bool one = (t.coefficient == 1 || t.coefficient == -1) && !t.factors.empty();
    if (!one) out += std::to_string(t.coefficient);
    bool star = !one;
    for (const AtomPtr& f : t.factors) {
      if (std::exchange(star, true)) out += '*';
      if (f->kind == AtomKind::symbol) {
        out += f->name;
      } else {
        out.append(name(f->kind)).append("(").append(f->left.str()).append(", ");
        out.append(f->right.str()).append(")");
      }
    }
  }
  return out;
}

std::size_t Dim::hash() const { return expr_ ? expr_->hash_ : std::hash<std::int64_t>{}(value_); }

bool operator==(const Dim& a, const Dim& b) {
  if (!a.expr_ && !b.expr_) return a.value_ == b.value_;
  if (!a.expr_ || !b.expr_ || a.hash() != b.hash()) return false;
  return compare(a, b) == 0;
}

Dim operator+(const Dim& a, const Dim& b) {
  if (!a.expr_ && !b.expr_) return add(a.value_, b.value_);
  return DimAlgebra::scaled_sum(a, b, 1);
}

Dim operator-(const Dim& a, const Dim& b) {
  if (!a.expr_ && !b.expr_) {
    std::int64_t r;
    if (__builtin_sub_overflow(a.value_, b.value_, &r)) overflow("a difference");
    return r;
  }
  return DimAlgebra::scaled_sum(a, b, -1);
}

Dim operator*(const Dim& a, const Dim& b) {
  if (!a.expr_ && !b.expr_) return multiply(a.value_, b.value_);
  return DimAlgebra::product(a, b);
}

Dim floordiv(const Dim& a, const Dim& b) {
  if (b.is_constant()) {
    require_positive(b.value(), "floordiv");
    return a.is_constant() ? Dim(floor_divide(a.value(), b.value()))
                           : DimAlgebra::floordiv_constant(a, b.value());
  }
  const auto [whole, rest] = DimAlgebra::divide(a, b);
  return rest == Dim(0) ? whole : whole + DimAlgebra::atom(AtomKind::floordiv, {}, rest, b);
}

Dim mod(const Dim& a, const Dim& b) {
  if (b.is_constant()) {
    require_positive(b.value(), "mod");
    return a.is_constant() ? Dim(floor_modulo(a.value(), b.value()))
                           : DimAlgebra::mod_constant(a, b.value());
  }
  const Dim rest = DimAlgebra::divide(a, b).second;
  return rest == Dim(0) ? rest : DimAlgebra::atom(AtomKind::mod, {}, rest, b);
}

Dim max(const Dim& a, const Dim& b) { return DimAlgebra::extremum(AtomKind::max, a, b); }
Dim min(const Dim& a, const Dim& b) { return DimAlgebra::extremum(AtomKind::min, a, b); }

namespace {

/// expression = ['-'] product {('+' | '-') product};  product = factor {'*' factor};
/// factor = integer | name | function '(' expression ',' expression ')' | '(' expression ')'
class DimParser {
 public:
  explicit DimParser(std::string_view text) : text_(text) {}

  Dim parse() {
    Dim d = expression();
    if (peek() != '\0') fail("an operator");
    return d;
  }

 private:
  [[noreturn]] void fail(const std::string& expected) const {
    throw ParseError("in the extent \"" + std::string(text_) + "\": expected " + expected +
                     " at column " + std::to_string(at_ + 1));
  }

  char peek() {
    while (at_ < text_.size() && text_[at_] == ' ') ++at_;
    return at_ < text_.size() ? text_[at_] : '\0';
  }

  bool accept(char c) {
    if (peek() != c) return false;
    ++at_;
    return true;
  }

  void expect(char c) {
    if (!accept(c)) fail(std::string("'") + c + "'");
  }

  Dim expression() {
    if (++depth_ > 2 * max_depth) fail("less nesting");
    Dim sum = accept('-') ? product(-1) : product(1);
    while (true) {
      if (accept('+'))
        sum = sum + product(1);
      else if (accept('-'))
        sum = sum + product(-1);
      else
        break;
    }
    --depth_;
    return sum;
  }

  Dim product(std::int64_t sign) {
    Dim p = factor(sign);
    while (accept('*')) p = p * factor(1);
    return p;
  }

  Dim factor(std::int64_t sign) {
    const char c = peek();
    if (std::isdigit(static_cast<unsigned char>(c))) return integer(sign);
    if (accept('(')) {
      Dim d = expression();
      expect(')');
      return Dim(sign) * d;
    }
    if (!starts_name(c)) fail("an extent");
    const std::size_t begin = at_;
    while (at_ < text_.size() && continues_name(text_[at_])) ++at_;
    const std::string_view word = text_.substr(begin, at_ - begin);
    return Dim(sign) * (peek() == '(' ? call(word, begin) : Dim::symbol(word));
  }

  Dim integer(std::int64_t sign) {  // the sign is read with the digits: INT64_MIN has no positive
    std::string digits = sign < 0 ? "-" : "";
    while (at_ < text_.size() && std::isdigit(static_cast<unsigned char>(text_[at_])))
      digits += text_[at_++];
    std::int64_t value = 0;
    const auto r = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (r.ec != std::errc{}) fail("an integer that fits in 64 bits");
    return value;
  }

  Dim call(std::string_view word, std::size_t begin) {
    for (const AtomKind kind : {AtomKind::floordiv, AtomKind::mod, AtomKind::max, AtomKind::min})
      if (name(kind) == word) {
        expect('(');
        const Dim left = expression();
        expect(',');
        const Dim right = expression();
        expect(')');
        return DimAlgebra::apply(kind, left, right);
      }
    at_ = begin;
    fail("floordiv, mod, max or min");
  }

  std::string_view text_;
  std::size_t at_ = 0;
  int depth_ = 0;
};

}  // namespace

Dim parse_dim(std::string_view text) {
  try {
    return DimParser(text).parse();
  } catch (const ShapeError& e) {  // overflow, a bad divisor
    throw ParseError("in the extent \"" + std::string(text) + "\": " + e.what());
  }
}

Dim product(std::span<const Dim> dims) {
  Dim p = 1;
  for (const Dim& d : dims) p = p * d;
  return p;
}

Dims to_dims(std::span<const std::int64_t> shape) { return Dims(shape.begin(), shape.end()); }

std::optional<Shape> to_shape(std::span<const Dim> dims) {
  Shape shape;
  for (const Dim& d : dims) {
    if (!d.is_constant()) return std::nullopt;
    shape.push_back(d.value());
  }
  return shape;
}

Shape evaluate(std::span<const Dim> dims, const DimBindings& bindings) {
  Shape shape;
  for (const Dim& d : dims) shape.push_back(d.evaluate(bindings));
  return shape;
}

namespace {

template <class T, class Str> std::string tuple(std::span<const T> items, Str str) {
  std::string out = "(";
  for (std::size_t i = 0; i < items.size(); ++i) out += (i ? ", " : "") + str(items[i]);
  return out + (items.size() == 1 ? ",)" : ")");
}

template <class T, class Join>
std::vector<T> broadcast(std::span<const T> a, std::span<const T> b, Join join) {
  std::vector<T> out(std::max(a.size(), b.size()), T(1));
  for (std::size_t i = 0; i < out.size(); ++i) {  // from the last axis on
    const T& result = i >= b.size()   ? a[a.size() - 1 - i]
                      : i >= a.size() ? b[b.size() - 1 - i]
                                      : join(a[a.size() - 1 - i], b[b.size() - 1 - i]);
    out[out.size() - 1 - i] = result;
  }
  return out;
}

template <class T> [[noreturn]] void cannot_broadcast(std::span<const T> a, std::span<const T> b) {
  throw ShapeError("shapes " + to_string(a) + " and " + to_string(b) +
                   " do not broadcast together");
}

}  // namespace

std::string to_string(std::span<const Dim> dims) {
  return tuple(dims, [](const Dim& d) { return d.str(); });
}

std::string to_string(std::span<const std::int64_t> shape) {
  return tuple(shape, [](std::int64_t d) { return std::to_string(d); });
}

std::int64_t element_count(std::span<const std::int64_t> shape) {
  for (const std::int64_t d : shape)
    if (d < 0) throw ShapeError("negative extent in shape " + to_string(shape));
  if (std::find(shape.begin(), shape.end(), 0) != shape.end()) return 0;
  std::int64_t n = 1;
  for (const std::int64_t d : shape)
    if (__builtin_mul_overflow(n, d, &n))
      throw ShapeError("shape " + to_string(shape) + " has more elements than 64 bits can count");
  return n;
}

Dims broadcast_dims(std::span<const Dim> a, std::span<const Dim> b) {
  return broadcast(a, b, [&](const Dim& x, const Dim& y) -> const Dim& {
    if (x == y || y == Dim(1)) return x;
    if (x == Dim(1)) return y;
    if ((x - y).is_constant()) cannot_broadcast(a, b);  // they always differ
    return y.is_constant() ? y : x;
  });
}

Shape broadcast_shapes(std::span<const std::int64_t> a, std::span<const std::int64_t> b) {
  return broadcast(a, b, [&](const std::int64_t& x, const std::int64_t& y) -> const std::int64_t& {
    if (x == y || y == 1) return x;
    if (x == 1) return y;
    cannot_broadcast(a, b);
  });
}

}  // namespace weft
