#include "codegen/disk_cache.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <limits>

namespace weft::codegen {
namespace {

constexpr std::uint64_t magic = 0x31306566'65746677;  // changes with the layout below
constexpr std::size_t size_limit = 64u << 20;         // of one entry

struct Header {
  std::uint64_t magic_number, checksum, key_size, code_size, import_count, entry;
};

/// Mixes eight bytes at a time; two different seeds give two independent hashes.
std::uint64_t hash(std::string_view bytes, std::uint64_t seed) {
  std::uint64_t state = seed ^ (bytes.size() * 0x9e3779b97f4a7c15u);
  while (!bytes.empty()) {
    std::uint64_t word = 0;
    const std::size_t taken = std::min<std::size_t>(8, bytes.size());
    std::memcpy(&word, bytes.data(), taken);
    bytes.remove_prefix(taken);
    state = (state ^ word) * 0xff51afd7ed558ccdu;
    state ^= state >> 32;
  }
  state *= 0xc4ceb9fe1a85ec53u;
  return state ^ (state >> 29);
}

std::string hexadecimal(std::uint64_t value) {
  std::string text(16, '0');
  for (std::size_t i = 16; i-- > 0; value >>= 4) text[i] = "0123456789abcdef"[value & 15];
  return text;
}

bool write_all(int file, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(file, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  return true;
}

/// Mine alone to write.
bool is_private(const struct stat& status) {
  return status.st_uid == geteuid() && (status.st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

std::string default_directory() {
  const auto variable = [](const char* name) {
    const char* value = std::getenv(name);
    return std::string(value ? value : "");
  };
  if (auto own = variable("WEFT_CACHE_DIR"); !own.empty()) return own;
  if (auto cache = variable("XDG_CACHE_HOME"); cache.starts_with('/')) return cache + "/weft";
  if (auto home = variable("HOME"); home.starts_with('/')) return home + "/.cache/weft";
  return {};
}

/// A file of the cache whose contents can be read, or -1.
int open_entry(int directory, const std::string& name, std::size_t& size) {
  const int file = openat(directory, name.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
  if (file < 0) return -1;
  struct stat status {};
  if (fstat(file, &status) != 0 || !S_ISREG(status.st_mode) || !is_private(status) ||
      status.st_size < 0 || static_cast<std::size_t>(status.st_size) > size_limit) {
    close(file);
    return -1;
  }
  size = static_cast<std::size_t>(status.st_size);
  return file;
}

std::optional<std::string> read_entry(int directory, const std::string& name) {
  std::size_t size = 0;
  const int file = open_entry(directory, name, size);
  if (file < 0) return std::nullopt;
  std::string bytes(size, '\0');
  std::size_t have = 0;
  while (have < size) {
    const ssize_t got = ::read(file, bytes.data() + have, size - have);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    have += static_cast<std::size_t>(got);
  }
  close(file);
  if (have != size) return std::nullopt;
  return bytes;
}

std::string pack(std::string_view key, const CodeBlob& blob) {
  Header header{magic, 0, key.size(), blob.bytes.size(), blob.imports.size(), blob.entry};
  std::string rest(key);
  rest.append(reinterpret_cast<const char*>(blob.bytes.data()), blob.bytes.size());
  rest.append(reinterpret_cast<const char*>(blob.imports.data()),
              blob.imports.size() * sizeof(CodeImport));
  header.checksum = hash(rest, blob.entry);
  return std::string(reinterpret_cast<const char*>(&header), sizeof header) + rest;
}

std::optional<CodeBlob> unpack(std::string_view key, std::string_view bytes) {
  Header header{};
  if (bytes.size() < sizeof header) return std::nullopt;
  std::memcpy(&header, bytes.data(), sizeof header);
  bytes.remove_prefix(sizeof header);
  if (header.magic_number != magic || header.key_size != key.size() ||
      header.code_size > bytes.size() || header.import_count > bytes.size() ||
      header.entry > std::numeric_limits<std::uint32_t>::max())
    return std::nullopt;
  if (header.key_size + header.code_size + header.import_count * sizeof(CodeImport) !=
          bytes.size() ||
      header.checksum != hash(bytes, header.entry) || bytes.substr(0, key.size()) != key)
    return std::nullopt;
  CodeBlob blob;
  blob.entry = static_cast<std::uint32_t>(header.entry);
  blob.bytes.resize(header.code_size);
  blob.imports.resize(header.import_count);
  std::memcpy(blob.bytes.data(), bytes.data() + key.size(), header.code_size);
  if (!blob.imports.empty())
    std::memcpy(blob.imports.data(), bytes.data() + key.size() + header.code_size,
                header.import_count * sizeof(CodeImport));
  if (!well_formed(blob)) return std::nullopt;
  return blob;
}

}  // namespace

DiskCache::DiskCache() : DiskCache(default_directory()) {}

DiskCache::DiskCache(const std::string& directory) {
  if (directory.empty()) return;
  std::error_code ignored;
  const std::filesystem::path path(directory);
  if (path.has_parent_path()) std::filesystem::create_directories(path.parent_path(), ignored);
  mkdir(directory.c_str(), S_IRWXU);
  const int opened = open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (opened < 0) return;
  struct stat status {};
  if (fstat(opened, &status) == 0 && is_private(status))
    directory_ = opened;
  else
    close(opened);
}

DiskCache::~DiskCache() {
  if (directory_ >= 0) close(directory_);
}

std::string DiskCache::file_name(std::string_view key) {
  return hexadecimal(hash(key, 0x243f6a8885a308d3u)) + hexadecimal(hash(key, 0x13198a2e03707344u));
}

std::optional<CodeBlob> DiskCache::find(std::string_view key) const {
  if (!usable()) return std::nullopt;
  const auto bytes = read_entry(directory_, file_name(key));
  return bytes ? unpack(key, *bytes) : std::nullopt;
}

void DiskCache::put(std::string_view key, const CodeBlob& blob) const {
  if (!usable()) return;
  static std::atomic<unsigned> count{0};
  const std::string name = file_name(key);
  const std::string draft = name + "." + std::to_string(getpid()) + "." + std::to_string(count++);
  const int file = openat(directory_, draft.c_str(),
                          O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, S_IRUSR | S_IWUSR);
  if (file < 0) return;
  const bool written = write_all(file, pack(key, blob));
  if (close(file) != 0 || !written ||
      renameat(directory_, draft.c_str(), directory_, name.c_str()) != 0)
    unlinkat(directory_, draft.c_str(), 0);
}

}  // namespace weft::codegen
