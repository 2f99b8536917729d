// Where a value lives and a program runs: the processor, or one CUDA device. A small value type.
// The CUDA driver is looked for (once) only when a CUDA device is asked for. What works on a CUDA
// device leaves its primary context current on the thread that asked for it: who uses CUDA beside
// Weft, in a context of their own, makes that one current again.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace weft {

class Device {
 public:
  enum class Kind : std::uint8_t { cpu, cuda };

  Device() = default;
  static Device cpu() { return {}; }
  /// Throws DeviceError, saying what was looked for, when the driver or the device is not there.
  static Device cuda(int index = 0);
  /// As `str` writes it; "cuda" is the first. DeviceError where it is no such name or not there.
  static Device parse(std::string_view name);
  /// How many CUDA devices there are; 0 without a driver. Never throws.
  static int cuda_count() noexcept;

  /// Waits until all that was begun on it is done. What went wrong there is told here, as it is
  /// when a value is read.
  void synchronize() const;

  [[nodiscard]] Kind kind() const { return kind_; }
  [[nodiscard]] int index() const { return index_; }
  [[nodiscard]] bool is_cpu() const { return kind_ == Kind::cpu; }
  [[nodiscard]] bool is_cuda() const { return kind_ == Kind::cuda; }
  /// "cpu", "cuda:0".
  [[nodiscard]] std::string str() const;
  friend bool operator==(const Device&, const Device&) = default;

 private:
  Device(Kind kind, int index) : kind_(kind), index_(index) {}
  Kind kind_ = Kind::cpu;
  int index_ = 0;
};

}  // namespace weft
