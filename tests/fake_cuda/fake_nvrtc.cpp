// A stand-in for NVRTC: compiles the text with the host's C++ compiler. Its "cubin" is a shared
// library, after its length. FAKE_NVRTC_TEXTS names a folder that keeps every text.
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <string>
#include <vector>

#include "tests/codegen/cuda_host_compile.h"

namespace {

struct Program {
  std::string text, log;
  std::vector<char> code;
};

std::string read(const std::filesystem::path& file) {
  std::ifstream stream(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

std::vector<std::string> kernels_in(const std::string& text) {
  const std::string begin = "__global__ void ", bounds = "__launch_bounds__(";
  std::vector<std::string> names;
  for (auto at = text.find(begin); at != text.npos; at = text.find(begin, at)) {
    at += begin.size();
    if (text.compare(at, bounds.size(), bounds) == 0) at = text.find(") ", at) + 2;
    names.push_back(text.substr(at, text.find('(', at) - at));
  }
  return names;
}

/// Beside each kernel, what the stand-in for the driver asks for.
std::string with_binders(const std::string& text) {
  std::string all = "#include \"tests/fake_cuda/fake_kernel.h\"\n" + text;
  all += "extern \"C\" const CudaHostModule* fake_module() { return cuda_host::module(); }\n";
  for (const std::string& name : kernels_in(text))
    all += "extern \"C\" fake_cuda::Parameters fake_parameters_" + name +
           "() { return fake_cuda::parameters(" + name + "); }\n" + "extern \"C\" void fake_call_" +
           name + "(void** arguments) { fake_cuda::call(" + name + ", arguments); }\n";
  return all;
}

}  // namespace

extern "C" {

int nvrtcCreateProgram(Program** program, const char* text, const char*, int, const char* const*,
                       const char* const*) {
  *program = new Program{text, {}, {}};
  return 0;
}

int nvrtcCompileProgram(Program* program, int, const char* const*) {
  if (const char* kept = std::getenv("FAKE_NVRTC_TEXTS"))
    std::ofstream(std::filesystem::path(kept) /
                  (std::to_string(std::hash<std::string>()(program->text)) + ".cu"))
        << program->text;
  std::string folder = (std::filesystem::temp_directory_path() / "fake_nvrtc_XXXXXX").string();
  if (!mkdtemp(folder.data())) return 11;
  const std::filesystem::path in(folder);
  std::ofstream(in / "kernels.cpp") << with_binders(program->text);
  const std::string command =
      weft::test::cuda_host_command(folder + "/kernels.cpp", folder + "/kernels.so",
                                    FAKE_CUDA_ROOT, FAKE_CUDA_RUNNER) +
      " 2> '" + folder + "/log'";
  const bool compiled = std::system(command.c_str()) == 0;
  program->log = read(in / "log");
  const std::string code = read(in / "kernels.so");
  std::filesystem::remove_all(in);
  if (!compiled) return 6;  // NVRTC_ERROR_COMPILATION
  const std::uint64_t size = code.size();
  program->code.resize(sizeof size + code.size());
  std::memcpy(program->code.data(), &size, sizeof size);
  std::memcpy(program->code.data() + sizeof size, code.data(), code.size());
  return 0;
}

int nvrtcDestroyProgram(Program** program) {
  delete *program;
  *program = nullptr;
  return 0;
}

int nvrtcGetCUBINSize(Program* program, std::size_t* size) {
  *size = program->code.size();
  return 0;
}
int nvrtcGetCUBIN(Program* program, char* code) {
  std::memcpy(code, program->code.data(), program->code.size());
  return 0;
}
int nvrtcGetProgramLogSize(Program* program, std::size_t* size) {
  *size = program->log.size() + 1;
  return 0;
}
int nvrtcGetProgramLog(Program* program, char* log) {
  std::memcpy(log, program->log.c_str(), program->log.size() + 1);
  return 0;
}
const char* nvrtcGetErrorString(int error) {
  return error == 6 ? "NVRTC_ERROR_COMPILATION" : "NVRTC_ERROR_INTERNAL_ERROR";
}
int nvrtcVersion(int* major, int* minor) {
  *major = 12, *minor = 0;
  return 0;
}
int nvrtcGetNumSupportedArchs(int* count) {
  *count = 2;
  return 0;
}
int nvrtcGetSupportedArchs(int* archs) {
  archs[0] = 80, archs[1] = 90;
  return 0;
}
}
