// A library made of the text of CUDA kernels for the host (cuda_host.h).
#pragma once

#include <dlfcn.h>
#include <doctest/doctest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "cuda_host_compile.h"

namespace weft::test {

/// There or not: a machine may have no compiler.
class HostLibrary {
 public:
  explicit HostLibrary(const std::string& text) {
    if (std::system("g++ --version > /dev/null 2>&1") != 0) {
      MESSAGE("skipped: there is no compiler `g++`");
      return;
    }
    std::string folder = (std::filesystem::temp_directory_path() / "weft_kernels_XXXXXX").string();
    REQUIRE((mkdtemp(folder.data()) != nullptr));
    const std::string source = folder + "/k.cpp", library = folder + "/k.so";
    std::ofstream(source) << "#include \"tests/codegen/cuda_host.h\"\n" << text;
    const std::string command =
        cuda_host_command(source, library, WEFT_SOURCE_DIR, CUDA_HOST_RUNNER);
    const bool compiled = std::system(command.c_str()) == 0;
    if (compiled) handle_ = dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
    std::filesystem::remove_all(folder);
    REQUIRE(compiled);
    REQUIRE(handle_ != nullptr);
  }
  HostLibrary(const HostLibrary&) = delete;
  HostLibrary& operator=(const HostLibrary&) = delete;
  ~HostLibrary() {
    if (handle_) dlclose(handle_);
  }

  [[nodiscard]] bool there() const { return handle_ != nullptr; }
  /// Null where there is none.
  template <class Function> [[nodiscard]] Function find(const std::string& name) const {
    return reinterpret_cast<Function>(dlsym(handle_, name.c_str()));
  }
  /// Likewise, but a test fails then.
  template <class Function> [[nodiscard]] Function get(const std::string& name) const {
    const auto function = find<Function>(name);
    REQUIRE((function != nullptr));
    return function;
  }

 private:
  void* handle_ = nullptr;
};

}  // namespace weft::test
