#include "failing_new.h"

#include <cstddef>
#include <cstdlib>
#include <new>

namespace {
thread_local int countdown = 0;
}  // namespace

void* operator new(std::size_t bytes) {
  if (countdown > 0 && --countdown == 0) throw std::bad_alloc();
  if (void* memory = std::malloc(bytes)) return memory;
  throw std::bad_alloc();
}
void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
  return countdown > 0 && --countdown == 0 ? nullptr : std::malloc(bytes);
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace weft::test {

void fail_new(int n) { countdown = n; }
int until_failing_new() { return countdown; }

}  // namespace weft::test
