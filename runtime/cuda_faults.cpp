#include "runtime/cuda_faults.h"

#include <bit>

#include "runtime/cuda_device.h"

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

/// What fails is tried again with the next number.
void CudaFaults::set_up(CuStream stream) {
  const CudaDriver& driver = device_.driver();
  if (!empty_.seen) {
    constexpr unsigned for_all_contexts = 1, for_the_device = 2;
    void* flag = nullptr;
    driver.allocate_host(&flag, sizeof(int), for_all_contexts | for_the_device);
    empty_.seen = static_cast<int*>(flag);
    *empty_.seen = 0;
  }
  if (!memory_) memory_ = device_.allocate(3 * sizeof(Record));
  const auto record = reinterpret_cast<CuPointer>(memory_.data());
  const CuPointer empty = record + sizeof(Record), taken = empty + sizeof(Record);
  driver.upload(record, &empty_, sizeof(Record), stream);
  driver.upload(empty, &empty_, sizeof(Record), stream);
  take_ = device_.capture([&](CudaRecorder& recorder) {
    recorder.begin_step({});
    driver.copy(taken, record, sizeof(Record), recorder.stream());
    driver.copy(record, empty, sizeof(Record), recorder.stream());
    recorder.end_step();
  });
  taken_ = taken;
  seen_ = empty_.seen;
  record_ = record;
}

std::int64_t CudaFaults::number(const ir::DeviceKernel& kernel, SourceLocation where,
                                CuStream stream) {
  const std::scoped_lock lock(mutex_);
  if (!record_) set_up(stream);
  const auto next = static_cast<std::int64_t>(numbers_.size()) + 1;  // 0: nothing went wrong
  const auto [at, is_new] = numbers_.emplace(kernel.fault + "\n" + where.str(), next);
  if (is_new) meanings_.emplace(next, Meaning{kernel.fault, kernel.fault_of_index, where});
  return at->second;
}

/// Other threads go on launching. The flag is cleared before the record is taken, so what they meet
/// is in what is taken now, or is seen the next time; one that is seen may have been taken before.
void CudaFaults::raise_first(CuStream stream) {
  const std::scoped_lock lock(mutex_);
  if (!is_seen()) return;  // another thread has told it
  *static_cast<volatile int*>(seen_) = 0;
  const CudaDriver& driver = device_.driver();
  Record found;
  driver.launch_graph(take_, stream);
  driver.download(&found, taken_, sizeof(Record), stream);
  driver.synchronize(stream);
  if (found.step == 0) return;
  const Meaning& meaning = meanings_.at(found.step);
  const std::string text = told(meaning.message, found.numbers);
  if (meaning.of_index) throw IndexError(text, meaning.where);
  throw Error(text, meaning.where);
}

}  // namespace weft::runtime
