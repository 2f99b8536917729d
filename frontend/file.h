// Files as the loaders see them: bytes at offsets, with errors that name the path and the byte.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ir/error.h"

namespace weft::frontend {

/// Something to read from: a file or bytes in memory. Reads outside it throw ParseError
/// ("truncated").
class Source {
 public:
  /// Throws IoError.
  static Source open(const std::string& path);
  Source(std::string name, std::span<const std::byte> bytes)
      : name_(std::move(name)), bytes_(bytes), size_(bytes.size()) {}

  [[nodiscard]] std::uint64_t size() const { return size_; }
  void read(std::uint64_t offset, void* out, std::size_t count) const;
  [[nodiscard]] std::string text(std::uint64_t offset, std::size_t count) const;
  /// A little-endian unsigned integer.
  template <class T> [[nodiscard]] T integer(std::uint64_t offset) const {
    unsigned char raw[sizeof(T)];
    read(offset, raw, sizeof(T));
    T value = 0;
    for (std::size_t i = sizeof(T); i-- > 0;)
      value = static_cast<T>(static_cast<std::uint64_t>(value) << 8 | raw[i]);
    return value;
  }
  /// Throws ParseError unless `count` bytes lie at `offset`.
  void require(std::uint64_t offset, std::uint64_t count) const;
  [[noreturn]] void fail(std::uint64_t offset, const std::string& problem) const;

 private:
  Source() = default;
  std::string name_;
  std::shared_ptr<std::FILE> file_;  // null: bytes_
  std::span<const std::byte> bytes_;
  std::uint64_t size_ = 0;
};

/// A file being written: it takes its name when `commit` is called, and is removed when it never
/// is. What is there and no regular file (a device, a pipe) is written as it is.
class Sink {
 public:
  explicit Sink(std::string path);
  ~Sink();
  Sink(const Sink&) = delete;
  Sink& operator=(const Sink&) = delete;
  void write(const void* data, std::size_t count);
  void write(std::string_view text) { write(text.data(), text.size()); }
  [[nodiscard]] std::uint64_t written() const { return written_; }
  void commit();

 private:
  [[noreturn]] void fail(const char* what) const;
  std::string path_, target_, partial_;  // as given, links followed, what is written
  std::FILE* file_ = nullptr;
  std::uint64_t written_ = 0;
};

}  // namespace weft::frontend
