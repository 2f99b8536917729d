#include "codegen/search.h"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>
#include <new>

namespace weft::codegen {
namespace {

constexpr std::size_t alignment = 64;
constexpr std::size_t most_bytes = std::size_t{512} << 20;

struct Free {
  void operator()(std::byte* memory) const { std::free(memory); }
};
using Memory = std::unique_ptr<std::byte, Free>;

/// Ones of the dtype: no infinities, no denormal numbers, no division by zero.
Memory filled(DType dtype, std::size_t bytes) {
  const std::size_t rounded = (bytes + alignment - 1) / alignment * alignment;
  Memory memory(
      static_cast<std::byte*>(std::aligned_alloc(alignment, std::max(rounded, alignment))));
  if (!memory) throw std::bad_alloc();
  visit_dtype(dtype, [&]<class T>(std::type_identity<T>) {
    std::fill_n(reinterpret_cast<T*>(memory.get()), bytes / sizeof(T), static_cast<T>(1));
  });
  return memory;
}

}  // namespace

std::vector<Schedule> neighbours(const Schedule& given) {
  std::vector<Schedule> all{given};
  const auto in_flight = [&](int count) {
    Schedule other = given;
    other.in_flight = count;
    if (given.planned) other.lag = count > 1 ? std::max(given.lag, 1) : 0;
    all.push_back(std::move(other));
  };
  const bool row = given.kind == Schedule::Kind::along_row;
  if (given.planned) {
    for (const int count : {given.in_flight - 2, given.in_flight - 1, given.in_flight + 2})
      if (count >= 1 && count <= 8) in_flight(count);
  } else if (given.lanes > 1 && given.panel == 0 && !given.turned) {
    if (given.in_flight > 1) in_flight(given.in_flight / 2);
    const int most = row ? static_cast<int>(ir::lane_count) / given.lanes : 8;
    if (2 * given.in_flight <= most) in_flight(2 * given.in_flight);
  }
  return all;
}

std::optional<std::vector<std::size_t>> buffer_bytes(const ir::Kernel& kernel) {
  std::vector<std::size_t> bytes(kernel.buffers.size(), 0);
  for (const ir::Access& access : kernel.accesses) {
    const auto offset = access.offset.constant();
    if (!offset) return std::nullopt;
    std::int64_t last = *offset, first = *offset;
    for (std::size_t axis = 0; axis < kernel.axes.size(); ++axis) {
      const auto extent = kernel.axes[axis].constant(), stride = access.strides[axis].constant();
      if (!extent || !stride || *extent == 0) return std::nullopt;
      (*stride > 0 ? last : first) += *stride * (*extent - 1);
    }
    if (first < 0) return std::nullopt;
    const auto buffer = static_cast<std::size_t>(access.buffer);
    bytes[buffer] = std::max(
        bytes[buffer], static_cast<std::size_t>(last + 1) * size_of(kernel.buffers[buffer].dtype));
  }
  std::size_t all = 0;
  for (const std::size_t one : bytes) all += one;
  if (kernel.symbols > 0 || all > most_bytes) return std::nullopt;
  return bytes;
}

double time_kernel(const ir::Kernel& kernel, const ir::Executable& code,
                   const std::vector<std::size_t>& bytes) {
  std::vector<Memory> memory;
  std::vector<void*> buffers;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    memory.push_back(filled(kernel.buffers[i].dtype, bytes[i]));
    buffers.push_back(memory.back().get());
  }
  const Memory scratch = filled(DType::uint8, code.scratch_bytes(nullptr));
  const ir::KernelArgs args{buffers.data(), nullptr, scratch.get()};
  std::int64_t items = 1;
  for (std::size_t axis = 0; axis < kernel.parallel_axes(); ++axis)
    items *= kernel.axes[axis].constant().value_or(1);

  using Clock = std::chrono::steady_clock;
  const auto end = Clock::now() + std::chrono::milliseconds(20);
  double least = std::numeric_limits<double>::infinity();
  for (int run = 0; run < 4 || Clock::now() < end; ++run) {
    const auto start = Clock::now();
    code.function(&code, &args, 0, items);
    least =
        std::min(least, std::chrono::duration<double, std::micro>(Clock::now() - start).count());
  }
  return least;
}

}  // namespace weft::codegen
