#include "onnx/module.h"

#include <dlfcn.h>

#include "codegen/module_path.h"
#include "ir/error.h"

namespace weft::onnx {

const Module& module() {
  static const Module* const opened = [] {
    const std::string path = codegen::find_module(WEFT_ONNX_MODULE);
    if (path.empty())
      throw UnsupportedOp(
          "ONNX models are read and written by " WEFT_ONNX_MODULE
          ", which is not installed: build Weft where the packages libonnx-dev and "
          "libprotobuf-dev are (tools/setup), or name its folder in WEFT_MODULE_PATH");
    void* const handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    using Factory = const Module* (*)();
    const auto factory =
        handle ? reinterpret_cast<Factory>(dlsym(handle, "weft_onnx_module")) : nullptr;
    if (!factory) {
      const char* const problem = dlerror();
      throw UnsupportedOp("the ONNX module " + path +
                          " does not open: " + (problem ? problem : "no factory"));
    }
    return factory();
  }();
  return *opened;
}

}  // namespace weft::onnx
