// Where the modules are: shared objects that a process opens only when it needs them (LLVM, ONNX).
#pragma once

#include <string>

namespace weft::codegen {

/// The path of the file `name`, looked for in, one after the other: the folder that the environment
/// variable WEFT_MODULE_PATH names; the folder that this code was loaded from; the library folder
/// beside that one; where dlopen looks by itself. Empty where it is nowhere. Opens nothing.
std::string find_module(const std::string& name);

}  // namespace weft::codegen
