#include "runtime/cuda_faults.h"

namespace weft::runtime {

std::int64_t CudaFaults::number(const std::string& message, SourceLocation where, CuStream stream) {
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
  const auto [at, is_new] = numbers_.emplace(message + "\n" + where.str(), next);
  if (is_new) meanings_.emplace(next, std::pair(message, where));
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
  const auto& [message, where] = meanings_.at(found.step);
  std::string text = message;
  for (int i = 0; i < 3; ++i) {
    const std::string place = "%" + std::to_string(i + 1);
    if (const std::size_t at = text.find(place); at != std::string::npos)
      text.replace(at, place.size(), std::to_string(found.numbers[i]));
  }
  throw IndexError(text, where);
}

}  // namespace weft::runtime
