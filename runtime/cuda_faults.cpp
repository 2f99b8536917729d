#include "runtime/cuda_faults.h"

#include <bit>

namespace weft::runtime {
namespace {

/// The line that the last number picks, where there are several.
std::string line_of(const std::string& message, std::int64_t wanted) {
  if (message.find('\n') == std::string::npos) return message;
  std::size_t begin = 0;
  for (; wanted > 0; --wanted) begin = message.find('\n', begin) + 1;
  return message.substr(begin, message.find('\n', begin) - begin);
}

std::string told(const std::string& message, const std::int64_t (&numbers)[3]) {
  std::string text = line_of(message, numbers[2]);
  const auto put = [&](const std::string& place, const std::string& number) {
    if (const std::size_t at = text.find(place); at != std::string::npos)
      text.replace(at, place.size(), number);
  };
  for (int i = 0; i < 3; ++i) {
    put("%" + std::to_string(i + 1), std::to_string(numbers[i]));
    put("%f" + std::to_string(i + 1), std::to_string(std::bit_cast<double>(numbers[i])));
  }
  return text;
}

}  // namespace

std::int64_t CudaFaults::number(const ir::DeviceKernel& kernel, SourceLocation where,
                                CuStream stream) {
  const std::scoped_lock lock(mutex_);
  if (!record_) {
    constexpr unsigned for_all_contexts = 1, for_the_device = 2;
    void* flag = nullptr;
    driver_.allocate_host(&flag, sizeof(int), for_all_contexts | for_the_device);
    empty_.seen = static_cast<int*>(flag);
    *empty_.seen = 0;
    CuPointer record = 0;
    driver_.allocate(&record, sizeof(Record));
    driver_.upload(record, &empty_, sizeof(Record), stream);
    record_ = record;
    seen_ = empty_.seen;
  }
  const auto next = static_cast<std::int64_t>(numbers_.size()) + 1;  // 0: nothing went wrong
  const auto [at, is_new] = numbers_.emplace(kernel.fault + "\n" + where.str(), next);
  if (is_new) meanings_.emplace(next, Meaning{kernel.fault, kernel.fault_of_index, where});
  return at->second;
}

void CudaFaults::raise_first(CuStream stream) {
  const std::scoped_lock lock(mutex_);
  if (*static_cast<const volatile int*>(seen_) == 0) return;  // another thread has told it
  *seen_ = 0;
  Record found;
  driver_.download(&found, record_, sizeof(Record), stream);
  driver_.synchronize(stream);
  driver_.upload(record_, &empty_, sizeof(Record), stream);
  const Meaning& meaning = meanings_.at(found.step);
  const std::string text = told(meaning.message, found.numbers);
  if (meaning.of_index) throw IndexError(text, meaning.where);
  throw Error(text, meaning.where);
}

}  // namespace weft::runtime
