// Arrays in files and in other libraries' hands. A malformed file throws ParseError, one that
// cannot be read or written IoError; both name the path and, where there is one, the byte. Files
// are written beside their target and renamed, so a failed save leaves what was there.
#pragma once

#include <map>
#include <string>

#include "weft/array.h"
#include "weft/dlpack.h"

namespace weft {

using NamedArrays = std::map<std::string, Array>;

/// NumPy's .npy, versions 1 to 3, either byte order and either memory order. bfloat16 is stored as
/// '|V2'.
Array load_npy(const std::string& path);
void save_npy(const std::string& path, const Array& array);

/// NumPy's .npz: a zip of .npy files, stored or deflated.
NamedArrays load_npz(const std::string& path);
void save_npz(const std::string& path, const NamedArrays& arrays, bool compressed = false);

/// `metadata`, where given, receives the file's own strings.
NamedArrays load_safetensors(const std::string& path,
                             std::map<std::string, std::string>* metadata = nullptr);
/// complex128 has no place in the format: DTypeError.
void save_safetensors(const std::string& path, const NamedArrays& arrays,
                      const std::map<std::string, std::string>& metadata = {});

/// Shares the array's storage; it lives until the consumer calls `deleter`. A consumer that writes
/// to it changes every Array that shares the storage; weft itself copies before it writes while the
/// tensor is out. A device's memory is ready when this returns, and may be handed out again as soon
/// as `deleter` is called: the consumer first waits for what its own streams do with it.
dlpack::ManagedTensor* to_dlpack(const Array& array);
/// Takes the tensor over and shares its memory (copied where elements are not aligned); calls
/// `deleter` when no Array needs it any more, and nothing that was begun on its device still reads
/// it. When this throws, the tensor is still the caller's.
Array from_dlpack(dlpack::ManagedTensor* tensor);

}  // namespace weft
