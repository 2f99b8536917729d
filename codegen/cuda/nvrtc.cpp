#include "codegen/cuda/nvrtc.h"

#include <dlfcn.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>

#include "ir/error.h"

namespace weft::codegen {
namespace {

// NVRTC's C interface, as its documentation gives it.
using Program = struct OpaqueProgram*;
using Status = int;  // 0: success
constexpr Status compilation_failed = 6;

void add_libraries(const std::filesystem::path& folder, std::vector<std::string>& names) {
  std::error_code ignored;
  std::vector<std::string> found;
  for (const auto& entry : std::filesystem::directory_iterator(folder, ignored)) {
    const std::string file = entry.path().filename().string();
    if (file.rfind("libnvrtc.so", 0) == 0) found.push_back(entry.path().string());
  }
  std::sort(found.begin(), found.end());
  names.insert(names.end(), found.begin(), found.end());
}

void add_toolkit(const std::filesystem::path& root, std::vector<std::string>& names) {
  for (const char* folder : {"lib64", "lib", ""}) add_libraries(root / folder, names);
}

std::vector<std::string> candidates(bool installed) {
  std::vector<std::string> names;
  const auto named = [&](const char* variable) {
    const char* root = std::getenv(variable);
    const bool given = root != nullptr && *root != '\0';
    if (given) add_toolkit(root, names);
    return given;
  };
  if (!installed && named("WEFT_CUDA_PATH")) return names;
  named("CUDA_HOME");
  std::error_code ignored;
  std::vector<std::filesystem::path> toolkits;
  for (const auto& entry : std::filesystem::directory_iterator("/usr/local", ignored)) {
    if (entry.path().filename().string().rfind("cuda", 0) == 0) toolkits.push_back(entry.path());
  }
  std::sort(toolkits.begin(), toolkits.end());  // plain `cuda`, the chosen one, first
  for (const auto& toolkit : toolkits) add_toolkit(toolkit, names);
  for (const char* name : {"libnvrtc.so", "libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so.11.2"})
    names.emplace_back(name);
  return names;
}

}  // namespace

struct Nvrtc::Functions {
  Status (*create)(Program*, const char*, const char*, int, const char* const*, const char* const*);
  Status (*compile)(Program, int, const char* const*);
  Status (*destroy)(Program*);
  Status (*cubin_size)(Program, std::size_t*);
  Status (*cubin)(Program, char*);
  Status (*log_size)(Program, std::size_t*);
  Status (*log)(Program, char*);
  const char* (*error)(Status);
  Status (*version)(int*, int*);
  Status (*arch_count)(int*);
  Status (*archs)(int*);

  /// False when one is missing.
  bool resolve(void* library) {
    const auto get = [&](auto& function, const char* name) {
      function =
          reinterpret_cast<std::remove_reference_t<decltype(function)>>(dlsym(library, name));
      return function != nullptr;
    };
    return get(create, "nvrtcCreateProgram") && get(compile, "nvrtcCompileProgram") &&
           get(destroy, "nvrtcDestroyProgram") && get(cubin_size, "nvrtcGetCUBINSize") &&
           get(cubin, "nvrtcGetCUBIN") && get(log_size, "nvrtcGetProgramLogSize") &&
           get(log, "nvrtcGetProgramLog") && get(error, "nvrtcGetErrorString") &&
           get(version, "nvrtcVersion") && get(arch_count, "nvrtcGetNumSupportedArchs") &&
           get(archs, "nvrtcGetSupportedArchs");
  }
};

/// Empty when it is open, else the reason.
std::string Nvrtc::open(const std::vector<std::string>& candidates) {
  const auto functions = std::make_shared<Functions>();
  std::string reason =
      "no libnvrtc.so in WEFT_CUDA_PATH, or else in CUDA_HOME, /usr/local/cuda* or the loader's "
      "path; set WEFT_CUDA_PATH to the folder of a CUDA toolkit";
  for (const std::string& name : candidates) {
    void* const library = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) {
      if (name.find('/') != std::string::npos) reason = dlerror();
    } else if (functions->resolve(library)) {
      functions_ = functions;
      return {};
    } else {
      reason = name + " lacks functions that NVRTC 11.2 and later have";
      dlclose(library);
    }
  }
  return reason;
}

const Nvrtc* Nvrtc::find(std::string* why) {
  static Nvrtc library;
  static const std::string reason = library.open(candidates(false));
  if (why != nullptr) *why = reason;
  return reason.empty() ? &library : nullptr;
}

const Nvrtc* Nvrtc::find_installed(std::string* why) {
  static Nvrtc library;
  static const std::string reason = library.open(candidates(true));
  if (why != nullptr) *why = reason;
  return reason.empty() ? &library : nullptr;
}

std::span<const char* const> nvrtc_options() {
  static constexpr std::array options{
      "--std=c++17",      "--fmad=false", "--prec-div=true",
      "--prec-sqrt=true", "--ftz=false",
      "--diag-suppress=177",  // unused variables
      "--diag-error=61"};     // a product of literals that does not fit their type
  return options;
}

bool Nvrtc::supports(std::string_view arch) const {
  int count = 0;
  if (functions_->arch_count(&count) != 0) return false;
  std::vector<int> archs(static_cast<std::size_t>(count));
  if (count == 0 || functions_->archs(archs.data()) != 0) return false;
  return std::any_of(archs.begin(), archs.end(),
                     [&](int a) { return arch == "sm_" + std::to_string(a); });
}

int Nvrtc::major_version() const {
  int major = 0, minor = 0;
  functions_->version(&major, &minor);
  return major;
}

bool Nvrtc::has_warpgroups(std::string_view arch) const {
  return arch == "sm_90" && major_version() >= 12;
}

std::string Nvrtc::version() const {
  int major = 0, minor = 0;
  functions_->version(&major, &minor);
  return std::to_string(major) + "." + std::to_string(minor);
}

std::vector<std::byte> Nvrtc::compile_to_cubin(const std::string& text, std::string_view arch,
                                               std::string* remarks) const {
  const Functions& f = *functions_;
  Program program = nullptr;
  const auto check = [&](Status status, const char* what) {
    if (status != 0) throw DeviceError(std::string("NVRTC: ") + what + ": " + f.error(status));
  };
  check(f.create(&program, text.c_str(), "kernels.cu", 0, nullptr, nullptr), "creating a program");
  struct Destroy {
    const Functions& f;
    Program* program;
    ~Destroy() { f.destroy(program); }
  } const destroy{f, &program};

  const std::string architecture =
      "--gpu-architecture=" + std::string(arch) + (has_warpgroups(arch) ? "a" : "");
  std::vector<const char*> options(nvrtc_options().begin(), nvrtc_options().end());
  options.push_back(architecture.c_str());
  // The same code, on all processors: two take a third less time for a program of many kernels.
  constexpr int splits_from = 13;
  if (major_version() >= splits_from) options.push_back("--split-compile=0");
  const Status status = f.compile(program, static_cast<int>(options.size()), options.data());
  std::size_t size = 0;
  std::string log;
  if ((remarks || status == compilation_failed) && f.log_size(program, &size) == 0) {
    log.resize(size);
    f.log(program, log.data());
  }
  if (status == compilation_failed)
    throw DeviceError("NVRTC could not compile generated kernels for " + std::string(arch) + ":\n" +
                      log.c_str());
  check(status, architecture.c_str());
  if (remarks) *remarks = log.c_str();
  check(f.cubin_size(program, &size), "asking for the size of the code");
  std::vector<std::byte> cubin(size);
  check(f.cubin(program, reinterpret_cast<char*>(cubin.data())), "asking for the code");
  return cubin;
}

}  // namespace weft::codegen
