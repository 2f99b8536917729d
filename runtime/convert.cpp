// Conversion of whole arrays between dtypes: one loop a pair, generated from `convert_element`.
#include "ir/convert.h"

#include <cstring>

#include "runtime/array.h"
#include "runtime/thread_pool.h"

namespace weft::runtime {
namespace {

constexpr std::int64_t grain = 32768;

template <class From, class To> void convert_loop(const void* in, void* out, std::int64_t n) {
  const auto* bytes = static_cast<const std::byte*>(in);
  auto* to = static_cast<To*>(out);
  for (std::int64_t i = 0; i < n; ++i)
    to[i] = ir::convert_element<To>(
        ir::load_element<From>(bytes + static_cast<std::size_t>(i) * sizeof(From)));
}

using Loop = void (*)(const void*, void*, std::int64_t);

Loop find_loop(DType from, DType to) {
  return visit_dtype(from, [&]<class From>(std::type_identity<From>) {
    return visit_dtype(
        to, []<class To>(std::type_identity<To>) -> Loop { return convert_loop<From, To>; });
  });
}

}  // namespace

void convert_elements(DType from, const void* in, DType to, void* out, std::int64_t n) {
  if (n == 0) return;
  const Loop loop = find_loop(from, to);
  const auto at = [](auto* base, std::int64_t i, DType t) {
    return base + static_cast<std::size_t>(i) * size_of(t);
  };
  parallel_for(n, grain, [&](std::int64_t begin, std::int64_t end) {
    const auto* source = at(static_cast<const std::byte*>(in), begin, from);
    auto* target = at(static_cast<std::byte*>(out), begin, to);
    if (from == to)
      std::memcpy(target, source, static_cast<std::size_t>(end - begin) * size_of(to));
    else
      loop(source, target, end - begin);
  });
}

}  // namespace weft::runtime
