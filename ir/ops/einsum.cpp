#include "ir/ops/einsum.h"

#include <algorithm>
#include <bitset>
#include <cassert>

#include "ir/ops/products.h"

namespace weft::ir {
namespace {

constexpr std::string_view letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
constexpr std::string_view ellipsis_labels = "0123456789!#$%&()*+:;<=>?@[]^_{|}~";

bool has(const std::string& labels, char c) { return labels.find(c) != std::string::npos; }

std::string parse_term(std::string_view text) {
  std::string labels;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (letters.find(c) != std::string_view::npos) {
      labels += c;
    } else if (c == '.') {
      if (text.substr(i, 3) != "..." || has(labels, '.'))
        throw ShapeError("an ellipsis is three dots, once an operand");
      labels += c;
      i += 2;
    } else {
      throw ShapeError(std::string("'") + c + "' is no label");
    }
  }
  return labels;
}

std::string implicit_output(const std::vector<std::string>& operands) {
  std::map<char, int> seen;  // in order
  for (const std::string& labels : operands)
    for (const char c : labels) ++seen[c];
  std::string out = seen.contains('.') ? "." : "";
  for (const auto& [c, times] : seen)
    if (times == 1 && c != '.') out += c;
  return out;
}

void check_output(const Equation& e) {
  for (const char c : e.out) {
    if (std::ranges::count(e.out, c) > 1)
      throw ShapeError(std::string("label '") + c + "' is twice in the output");
    if (std::ranges::none_of(e.operands, [&](const std::string& o) { return has(o, c); }) &&
        c != '.')
      throw ShapeError(std::string("label '") + c + "' of the output is in no operand");
  }
}

// ---- pairs ----

using Labels = std::bitset<128>;

Labels set_of(const std::string& labels) {
  Labels set;
  for (const char c : labels) set.set(static_cast<std::size_t>(c));
  return set;
}

/// Terms i and j make term n, n + 1, … one after the other.
using Order = std::vector<std::pair<std::size_t, std::size_t>>;

Order left_to_right(std::size_t n) {
  Order order;
  for (std::size_t i = 1; i < n; ++i) order.emplace_back(i == 1 ? 0 : n + i - 2, i);
  return order;
}

class Search {
 public:
  Search(const std::vector<Term>& terms, const std::string& out, const std::map<char, Dim>& extents)
      : out_(set_of(out)) {
    for (const Term& t : terms) sets_.push_back(set_of(t.labels));
    for (const auto& [c, extent] : extents)
      extents_[static_cast<std::size_t>(c)] = static_cast<double>(extent.value());
  }

  [[nodiscard]] Order exhaustive() const {
    const std::size_t n = sets_.size(), all = (std::size_t{1} << n) - 1;
    std::vector<Labels> kept(all + 1);  // of a subset multiplied out
    for (std::size_t s = 1; s <= all; ++s) {
      Labels inside, outside = out_;
      for (std::size_t i = 0; i < n; ++i) (s >> i & 1 ? inside : outside) |= sets_[i];
      kept[s] = inside & outside;
    }
    for (std::size_t i = 0; i < n; ++i) kept[std::size_t{1} << i] = sets_[i];
    std::vector<double> cost(all + 1, 0);
    std::vector<std::size_t> half(all + 1, 0);
    for (std::size_t s = 1; s <= all; ++s) {
      if ((s & (s - 1)) == 0) continue;
      const std::size_t lowest = s & (~s + 1);
      for (std::size_t part = (s - 1) & s; part > 0; part = (part - 1) & s) {
        if (!(part & lowest)) continue;  // each split once
        const double c = cost[part] + cost[s ^ part] + volume(kept[part] | kept[s ^ part]);
        if (half[s] == 0 || c < cost[s]) cost[s] = c, half[s] = part;
      }
    }
    return pairs_of(half, all);
  }

  [[nodiscard]] Order greedy() const {
    Order order;
    std::vector<Labels> sets = sets_;
    std::vector<std::size_t> left(sets.size());
    for (std::size_t i = 0; i < left.size(); ++i) left[i] = i;
    while (left.size() > 1) {
      std::size_t best_i = 0, best_j = 1;
      double best = -1;
      for (std::size_t i = 0; i < left.size(); ++i)
        for (std::size_t j = i + 1; j < left.size(); ++j) {
          const double c = volume(sets[left[i]] | sets[left[j]]);
          if (best < 0 || c < best) best = c, best_i = i, best_j = j;
        }
      Labels needed = out_;
      for (std::size_t k = 0; k < left.size(); ++k)
        if (k != best_i && k != best_j) needed |= sets[left[k]];
      order.emplace_back(left[best_i], left[best_j]);
      sets.push_back((sets[left[best_i]] | sets[left[best_j]]) & needed);
      left.erase(left.begin() + static_cast<std::ptrdiff_t>(best_j));
      left.erase(left.begin() + static_cast<std::ptrdiff_t>(best_i));
      left.push_back(sets.size() - 1);
    }
    return order;
  }

 private:
  [[nodiscard]] double volume(const Labels& labels) const {
    double v = 1;
    for (std::size_t c = 0; c < labels.size(); ++c)
      if (labels[c]) v *= extents_[c];
    return v;
  }

  /// Subsets from the whole down; then the pairs in the opposite order.
  [[nodiscard]] Order pairs_of(const std::vector<std::size_t>& half, std::size_t all) const {
    std::vector<std::size_t> found = {all};
    for (std::size_t k = 0; k < found.size(); ++k)
      if (const std::size_t s = found[k]; half[s] != 0) {
        found.push_back(half[s]);
        found.push_back(s ^ half[s]);
      }
    std::map<std::size_t, std::size_t> number;  // of a subset's term
    for (std::size_t i = 0; i < sets_.size(); ++i) number[std::size_t{1} << i] = i;
    Order order;
    for (std::size_t k = found.size(); k-- > 0;) {
      const std::size_t s = found[k];
      if (half[s] == 0) continue;
      order.emplace_back(number.at(half[s]), number.at(s ^ half[s]));
      number[s] = sets_.size() + order.size() - 1;
    }
    return order;
  }

  std::vector<Labels> sets_;
  Labels out_;
  std::array<double, 128> extents_{};
};

Order order_of(const std::vector<Term>& terms, const std::string& out,
               const std::map<char, Dim>& extents) {
  constexpr std::size_t most = 8;
  const bool known =
      std::ranges::all_of(extents, [](const auto& e) { return e.second.is_constant(); });
  if (!known || terms.size() < 3) return left_to_right(terms.size());
  const Search search(terms, out, extents);
  return terms.size() <= most ? search.exhaustive() : search.greedy();
}

// ---- one pair ----

Expr permuted(const Expr& x, const std::string& from, const std::string& to) {
  if (from == to) return x;
  AxesAttrs axes;
  for (const char c : to) axes.axes.push_back(static_cast<std::int64_t>(from.find(c)));
  return apply(ops::permute, {x}, axes);
}

/// x with its axes in the order of `to`, and axes of extent 1 for the labels that it lacks.
Expr aligned(const Term& t, const std::string& to) {
  std::string mine;
  AxesAttrs missing;
  for (std::size_t i = 0; i < to.size(); ++i) {
    if (has(t.labels, to[i]))
      mine += to[i];
    else
      missing.axes.push_back(static_cast<std::int64_t>(i));
  }
  const Expr x = permuted(t.x, t.labels, mine);
  return missing.axes.empty() ? x : apply(ops::expand_dims, {x}, missing);
}

Term without_lone(Term t, const std::string& needed) {
  ReduceAttrs r{{}, false, false};
  std::string left;
  for (std::size_t i = 0; i < t.labels.size(); ++i) {
    if (has(needed, t.labels[i]))
      left += t.labels[i];
    else
      r.axes.push_back(static_cast<std::int64_t>(i));
  }
  if (r.axes.empty()) return t;
  return {cast(sum(t.x, r), *t.x.type().dtype), left};
}

/// The product of two terms, with the labels that are `needed`.
Term multiplied(const Term& a, const Term& b, const std::string& needed) {
  std::string batch, rows, columns, summed;
  for (const char c : a.labels) (!has(b.labels, c) ? rows : has(needed, c) ? batch : summed) += c;
  for (const char c : b.labels)
    if (!has(a.labels, c)) columns += c;
  if (!summed.empty() && !(rows.empty() && columns.empty())) {
    const std::string out = batch + rows + columns;
    return {apply(ops::contract, {a.x, b.x}, ContractAttrs{a.labels, b.labels, out}), out};
  }
  // Element by element, so that it fuses.
  const DType dtype = *a.x.type().dtype, wide = compute_dtype(dtype);
  const std::string out = batch + rows + columns, whole = out + summed;
  const auto operand = [&](const Term& t) {
    const Expr x = aligned(t, whole);
    return summed.empty() ? x : cast(x, wide);
  };
  const Term product{operand(a) * operand(b), whole};
  const Term total = without_lone(product, out);
  return {cast(total.x, dtype), total.labels};
}

std::string labels_needed(const std::vector<Term>& terms, const std::vector<std::size_t>& alive,
                          std::size_t i, std::size_t j, const std::string& out) {
  std::string needed = out;
  for (const std::size_t k : alive)
    if (k != i && k != j) needed += terms[k].labels;
  return needed;
}

}  // namespace

char label(std::size_t i) { return letters.at(i); }

Equation parse_equation(const std::string& given) {
  std::string text;
  for (const char c : given)
    if (c != ' ') text += c;
  const std::size_t arrow = text.find("->");
  Equation e;
  const std::string_view inputs = std::string_view(text).substr(0, arrow);
  for (std::size_t begin = 0; begin <= inputs.size();) {
    const std::size_t end = std::min(inputs.find(',', begin), inputs.size());
    e.operands.push_back(parse_term(inputs.substr(begin, end - begin)));
    begin = end + 1;
  }
  e.out = arrow == std::string::npos ? implicit_output(e.operands)
                                     : parse_term(std::string_view(text).substr(arrow + 2));
  check_output(e);
  return e;
}

Equation spell_out(const Equation& equation, std::span<const std::size_t> ranks) {
  Equation e = equation;
  std::size_t widest = 0;
  const auto replace = [](std::string& labels, std::size_t width) {
    const std::size_t at = labels.find('.');
    if (at == std::string::npos) return;
    std::string axes;  // aligned at the last
    for (std::size_t i = width; i > 0; --i) axes += ellipsis_labels[i - 1];
    labels.replace(at, 1, axes);
  };
  for (std::size_t i = 0; i < e.operands.size(); ++i) {
    std::string& labels = e.operands[i];
    const bool open = has(labels, '.');
    const std::size_t named = labels.size() - (open ? 1 : 0);
    if (ranks[i] < named || (ranks[i] > named && !open))
      throw ShapeError("operand " + std::to_string(i) + " has " + std::to_string(ranks[i]) +
                       " axes, its subscripts name " + std::to_string(named));
    const std::size_t width = ranks[i] - named;
    if (width > ellipsis_labels.size()) throw ShapeError("an ellipsis of too many axes");
    widest = std::max(widest, width);
    replace(labels, width);
  }
  replace(e.out, widest);
  return e;
}

std::map<char, Dim> label_extents(const InferContext& c, const Equation& e,
                                  std::span<const Dims* const> shapes) {
  std::map<char, Dim> extents;
  for (std::size_t i = 0; i < e.operands.size(); ++i)
    for (std::size_t k = 0; k < e.operands[i].size(); ++k) {
      const Dim& extent = (*shapes[i])[k];
      const char name = e.operands[i][k];
      if (const std::size_t first = e.operands[i].find(name); first != k)
        unify(c, (*shapes[i])[first], extent, "extents along one diagonal");
      const auto [at, fresh] = extents.emplace(name, extent);
      if (fresh || extent == Dim(1)) continue;
      at->second =
          at->second == Dim(1) ? extent : unify(c, at->second, extent, "extents of one label");
    }
  return extents;
}

Term diagonals_of(Expr x, std::string labels) {
  for (std::size_t k = 0; k < labels.size();) {
    const std::size_t again = labels.find(labels[k], k + 1);
    if (again == std::string::npos) {
      ++k;
      continue;
    }
    x = apply(ops::diagonal, {x},
              DiagonalAttrs{0, static_cast<std::int64_t>(k), static_cast<std::int64_t>(again)});
    const char c = labels[k];  // now the last axis
    labels.erase(again, 1);
    labels.erase(k, 1);
    labels += c;
  }
  return {x, labels};
}

Term without_broadcast(Term t, const std::map<char, Dim>& extents) {
  AxesAttrs axes;
  std::string left;
  for (std::size_t i = 0; i < t.labels.size(); ++i) {
    if ((*t.x.type().shape)[i] == Dim(1) && extents.at(t.labels[i]) != Dim(1))
      axes.axes.push_back(static_cast<std::int64_t>(i));
    else
      left += t.labels[i];
  }
  if (axes.axes.empty()) return t;
  return {apply(ops::squeeze, {t.x}, axes), left};
}

Expr sum_of_products(std::vector<Term> terms, const std::string& out,
                     const std::map<char, Dim>& extents) {
  std::vector<std::size_t> alive(terms.size());
  for (std::size_t i = 0; i < alive.size(); ++i) alive[i] = i;
  for (std::size_t i = 0; i < terms.size(); ++i)
    terms[i] = without_lone(terms[i], labels_needed(terms, alive, i, i, out));
  for (const auto& [i, j] : order_of(terms, out, extents)) {
    const std::string needed = labels_needed(terms, alive, i, j, out);
    // The operand that has the result's last label comes second: its axes are the columns.
    const bool swap = !out.empty() && has(terms[i].labels, out.back());
    terms.push_back(swap ? multiplied(terms[j], terms[i], needed)
                         : multiplied(terms[i], terms[j], needed));
    std::erase_if(alive, [&](std::size_t k) { return k == i || k == j; });
    alive.push_back(terms.size() - 1);
  }
  const Term& last = terms[alive.front()];
  return permuted(last.x, last.labels, out);
}

}  // namespace weft::ir
