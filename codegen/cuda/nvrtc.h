// NVRTC, opened at run time: looked for in the folder that WEFT_CUDA_PATH names and nowhere else
// where it is set, else in the one that CUDA_HOME names, in /usr/local/cuda*, and on the loader's
// path. Where there is none, `find` says so and nothing else happens.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace weft::codegen {

/// Thread safe.
class Nvrtc {
 public:
  /// Null, with the reason in `why` where one is asked for, when the library is not there. Opened
  /// once a process.
  static const Nvrtc* find(std::string* why = nullptr);
  /// Likewise, whatever WEFT_CUDA_PATH names: a stand-in, in tests.
  static const Nvrtc* find_installed(std::string* why = nullptr);

  /// Compiles a program of any number of kernels for `arch`, such as `sm_90`. DeviceError with the
  /// compiler's log. `remarks`: what it says of code that it makes.
  [[nodiscard]] std::vector<std::byte> compile_to_cubin(const std::string& text,
                                                        std::string_view arch,
                                                        std::string* remarks = nullptr) const;
  [[nodiscard]] bool supports(std::string_view arch) const;
  /// Whether code for `arch` can have products of warpgroups: sm_90's own, which code compiled for
  /// it has from NVRTC 12.0 on.
  [[nodiscard]] bool has_warpgroups(std::string_view arch) const;
  [[nodiscard]] std::string version() const;

 private:
  Nvrtc() = default;
  std::string open(const std::vector<std::string>& candidates);
  [[nodiscard]] int major_version() const;

  struct Functions;
  std::shared_ptr<const Functions> functions_;
};

/// What generated kernels are compiled with, apart from the architecture: the numerics of every
/// other backend.
std::span<const char* const> nvrtc_options();

}  // namespace weft::codegen
