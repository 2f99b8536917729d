#include "codegen/object_loader.h"

#include <elf.h>
#include <sys/mman.h>

#include <array>
#include <cmath>
#include <cstring>
#include <string>
#include <utility>

#include "ir/error.h"

// Conversions that a processor without F16C leaves to the compiler's own library.
extern "C" {
void __extendhfsf2();
void __truncsfhf2();
}

namespace weft::codegen {
namespace {

struct LibraryFunction {
  std::string_view name;
  void (*address)();
};

template <class F> void (*erased(F* function))() { return reinterpret_cast<void (*)()>(function); }

std::span<const LibraryFunction> library() {
  static const std::array<LibraryFunction, 20> table{{
      {"fmodf", erased(static_cast<float (*)(float, float)>(&::fmodf))},
      {"fmod", erased(static_cast<double (*)(double, double)>(&::fmod))},
      {"fmaf", erased(static_cast<float (*)(float, float, float)>(&::fmaf))},
      {"fma", erased(static_cast<double (*)(double, double, double)>(&::fma))},
      {"floorf", erased(static_cast<float (*)(float)>(&::floorf))},
      {"floor", erased(static_cast<double (*)(double)>(&::floor))},
      {"ceilf", erased(static_cast<float (*)(float)>(&::ceilf))},
      {"ceil", erased(static_cast<double (*)(double)>(&::ceil))},
      {"truncf", erased(static_cast<float (*)(float)>(&::truncf))},
      {"trunc", erased(static_cast<double (*)(double)>(&::trunc))},
      {"rintf", erased(static_cast<float (*)(float)>(&::rintf))},
      {"rint", erased(static_cast<double (*)(double)>(&::rint))},
      {"nearbyintf", erased(static_cast<float (*)(float)>(&::nearbyintf))},
      {"nearbyint", erased(static_cast<double (*)(double)>(&::nearbyint))},
      {"memset", erased(&std::memset)},
      {"memcpy", erased(static_cast<void* (*)(void*, const void*, std::size_t)>(&std::memcpy))},
      {"sqrtf", erased(static_cast<float (*)(float)>(&::sqrtf))},
      {"sqrt", erased(static_cast<double (*)(double)>(&::sqrt))},
      {"__extendhfsf2", erased(&__extendhfsf2)},
      {"__truncsfhf2", erased(&__truncsfhf2)},
  }};
  return table;
}

[[noreturn]] void refuse(const std::string& what) {
  throw Error("linking a compiled kernel: " + what);
}

/// Reads an object that LLVM just wrote: trusted, but checked enough to fail loudly.
class Linker {
 public:
  explicit Linker(std::span<const std::byte> object) : object_(object) {
    const auto header = read<Elf64_Ehdr>(0);
    if (std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 || header.e_type != ET_REL ||
        header.e_machine != EM_X86_64)
      refuse("not a relocatable x86-64 object");
    for (unsigned i = 0; i < header.e_shnum; ++i)
      sections_.push_back(read<Elf64_Shdr>(header.e_shoff + std::uint64_t{i} * header.e_shentsize));
  }

  CodeBlob link(std::string_view entry) {
    lay_out();
    find_symbols(entry);
    for (const Elf64_Shdr& section : sections_)
      if (section.sh_type == SHT_RELA && loaded(section.sh_info)) relocate(section);
    return std::move(blob_);
  }

 private:
  template <class T> T read(std::uint64_t at) const {
    T value;
    if (at > object_.size() || object_.size() - at < sizeof value) refuse("truncated object");
    std::memcpy(&value, object_.data() + at, sizeof value);
    return value;
  }

  [[nodiscard]] std::string_view text(const Elf64_Shdr& strings, std::uint64_t at) const {
    return reinterpret_cast<const char*>(object_.data() + strings.sh_offset + at);
  }

  [[nodiscard]] bool loaded(std::size_t section) const {
    return section < places_.size() && places_[section] >= 0;
  }

  void lay_out() {
    places_.assign(sections_.size(), -1);
    for (std::size_t i = 0; i < sections_.size(); ++i) {
      const Elf64_Shdr& section = sections_[i];
      if (section.sh_type != SHT_PROGBITS || (section.sh_flags & SHF_ALLOC) == 0) continue;
      if (section.sh_offset + section.sh_size > object_.size()) refuse("truncated object");
      const std::size_t alignment = std::max<std::size_t>(1, section.sh_addralign);
      blob_.bytes.resize((blob_.bytes.size() + alignment - 1) / alignment * alignment);
      places_[i] = static_cast<std::int64_t>(blob_.bytes.size());
      const auto* from = object_.data() + section.sh_offset;
      blob_.bytes.insert(blob_.bytes.end(), from, from + section.sh_size);
    }
  }

  void find_symbols(std::string_view entry) {
    bool found = false;
    for (const Elf64_Shdr& section : sections_) {
      if (section.sh_type != SHT_SYMTAB) continue;
      const Elf64_Shdr& strings = sections_.at(section.sh_link);
      for (std::uint64_t at = 0; at < section.sh_size; at += sizeof(Elf64_Sym)) {
        const auto symbol = read<Elf64_Sym>(section.sh_offset + at);
        const std::string_view name = text(strings, symbol.st_name);
        std::int64_t place = -1;
        if (loaded(symbol.st_shndx))
          place = places_[symbol.st_shndx] + static_cast<std::int64_t>(symbol.st_value);
        else if (symbol.st_shndx == SHN_UNDEF && !name.empty())
          place = stub(name);
        symbols_.push_back(place);
        if (name == entry) {
          if (place < 0) refuse("no code for " + std::string(entry));
          blob_.entry = static_cast<std::uint32_t>(place);
          found = true;
        }
      }
    }
    if (!found) refuse("no function " + std::string(entry));
  }

  /// `jmp *slot(%rip)` and the slot behind it.
  std::int64_t stub(std::string_view name) {
    const auto table = library();
    for (std::size_t i = 0; i < table.size(); ++i) {
      if (table[i].name != name) continue;
      blob_.bytes.resize((blob_.bytes.size() + 15) / 16 * 16);
      const auto place = static_cast<std::int64_t>(blob_.bytes.size());
      static constexpr std::array<unsigned char, 8> jump{0xff, 0x25, 2, 0, 0, 0, 0x90, 0x90};
      for (const unsigned char byte : jump) blob_.bytes.push_back(static_cast<std::byte>(byte));
      blob_.imports.push_back(
          {static_cast<std::uint32_t>(place + 8), static_cast<std::uint32_t>(i)});
      blob_.bytes.resize(blob_.bytes.size() + 8);
      return place;
    }
    refuse("unexpected outside function " + std::string(name));
  }

  void relocate(const Elf64_Shdr& section) {
    for (std::uint64_t at = 0; at < section.sh_size; at += sizeof(Elf64_Rela)) {
      const auto relocation = read<Elf64_Rela>(section.sh_offset + at);
      const std::int64_t symbol = symbols_.at(ELF64_R_SYM(relocation.r_info));
      const auto type = ELF64_R_TYPE(relocation.r_info);
      if (symbol < 0) refuse("symbol without a place");
      const std::int64_t place =
          places_[section.sh_info] + static_cast<std::int64_t>(relocation.r_offset);
      const std::int64_t value = symbol + relocation.r_addend - place;
      if (type == R_X86_64_PC64) {
        write(place, value);
      } else if (type == R_X86_64_PC32 || type == R_X86_64_PLT32) {
        if (value != static_cast<std::int32_t>(value)) refuse("distance beyond 2 GiB");
        write(place, static_cast<std::int32_t>(value));
      } else {
        refuse("relocation of type " + std::to_string(type));
      }
    }
  }

  template <class T> void write(std::int64_t place, T value) {
    if (place < 0 || static_cast<std::size_t>(place) + sizeof value > blob_.bytes.size())
      refuse("relocation outside");
    std::memcpy(blob_.bytes.data() + place, &value, sizeof value);
  }

  std::span<const std::byte> object_;
  std::vector<Elf64_Shdr> sections_;
  std::vector<std::int64_t> places_;  // of sections in the blob; -1: left out
  std::vector<std::int64_t> symbols_;
  CodeBlob blob_;
};

}  // namespace

CodeBlob link_object(std::span<const std::byte> object, std::string_view entry) {
  return Linker(object).link(entry);
}

bool well_formed(const CodeBlob& blob) {
  if (blob.entry >= blob.bytes.size()) return false;
  for (const CodeImport& import : blob.imports)
    if (import.symbol >= library().size() || import.slot + std::size_t{8} > blob.bytes.size())
      return false;
  return true;
}

LoadedCode::LoadedCode(const CodeBlob& blob) : size_(blob.bytes.size()), entry_(blob.entry) {
  void* pages = mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pages == MAP_FAILED) throw std::bad_alloc();
  pages_ = static_cast<std::byte*>(pages);
  std::memcpy(pages_, blob.bytes.data(), size_);
  for (const CodeImport& import : blob.imports) {
    const auto address = library()[import.symbol].address;
    std::memcpy(pages_ + import.slot, &address, sizeof address);
  }
  if (mprotect(pages_, size_, PROT_READ | PROT_EXEC) != 0) {
    munmap(pages_, size_);
    throw Error("the system refuses executable memory");
  }
}

LoadedCode::~LoadedCode() { munmap(pages_, size_); }

}  // namespace weft::codegen
