// Native code without LLVM: an ELF object becomes a position-independent blob (code and constants,
// relocated among themselves), and a blob becomes callable pages. The only symbols from outside are
// a few of the C library's, through stubs at the end of the blob. Pages are never writable and
// executable at once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace weft::codegen {

/// The 8 bytes at `slot` get the address of library function `symbol`.
struct CodeImport {
  std::uint32_t slot = 0, symbol = 0;
  friend bool operator==(const CodeImport&, const CodeImport&) = default;
};

struct CodeBlob {
  std::vector<std::byte> bytes;
  std::uint32_t entry = 0;  // offset of the kernel's function
  std::vector<CodeImport> imports;
  friend bool operator==(const CodeBlob&, const CodeBlob&) = default;
};

/// Lays out the sections of a relocatable x86-64 ELF object and resolves its relocations. Throws
/// Error (our own bug) on anything that the emitted code should not contain.
CodeBlob link_object(std::span<const std::byte> object, std::string_view entry);

/// False when a blob (from a file, perhaps) refers to places outside itself.
bool well_formed(const CodeBlob&);

/// A blob in executable memory for as long as this lives.
class LoadedCode {
 public:
  explicit LoadedCode(const CodeBlob&);
  ~LoadedCode();
  LoadedCode(const LoadedCode&) = delete;
  LoadedCode& operator=(const LoadedCode&) = delete;
  [[nodiscard]] const void* entry() const { return pages_ + entry_; }

 private:
  std::byte* pages_ = nullptr;
  std::size_t size_ = 0, entry_ = 0;
};

}  // namespace weft::codegen
