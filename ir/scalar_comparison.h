// Whether scalar programs compute the same.
#pragma once

#include <map>
#include <utility>

#include "ir/scalar.h"

namespace weft::ir {

/// Whether values of two programs are computed alike from inputs of the same numbers, in whatever
/// order the programs are written; operands of additions and multiplications may change places.
/// Each pair is looked at once. The programs must outlive it.
class ScalarComparison {
 public:
  ScalarComparison(const ScalarProgram& left, const ScalarProgram& right)
      : left_(left), right_(right) {}

  /// Instructions i of the left and j of the right program.
  bool same(std::int32_t i, std::int32_t j) {
    if (i < 0 || j < 0) return i == j;
    const auto [it, fresh] = known_.try_emplace({i, j}, false);
    if (!fresh) return it->second;
    const ScalarInst &x = left_.code[static_cast<std::size_t>(i)],
                     &y = right_.code[static_cast<std::size_t>(j)];
    bool equal = x.op == y.op && x.dtype == y.dtype && x.imm == y.imm;
    if (equal) {
      equal = same(x.a, y.a) && same(x.b, y.b) && same(x.c, y.c);
      if (!equal && (x.op == ScalarOp::add || x.op == ScalarOp::mul))
        equal = same(x.a, y.b) && same(x.b, y.a);
    }
    return known_[{i, j}] = equal;
  }
  bool same_output(int i, std::size_t j) {
    return same(left_.outputs[static_cast<std::size_t>(i)], right_.outputs[j]);
  }

 private:
  const ScalarProgram &left_, &right_;
  std::map<std::pair<std::int32_t, std::int32_t>, bool> known_;
};

}  // namespace weft::ir
