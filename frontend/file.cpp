#include "frontend/file.h"

#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>

namespace weft::frontend {

Source Source::open(const std::string& path) {
  Source s;
  s.name_ = path;
  std::FILE* file = std::fopen(path.c_str(), "rbe");
  if (!file) throw IoError(path + ": cannot be opened: " + std::strerror(errno));
  s.file_.reset(file, [](std::FILE* f) { std::fclose(f); });
  struct stat info {};
  if (fstat(fileno(file), &info) != 0 || !S_ISREG(info.st_mode))
    throw IoError(path + ": is not a regular file");
  s.size_ = static_cast<std::uint64_t>(info.st_size);
  return s;
}

void Source::require(std::uint64_t offset, std::uint64_t count) const {
  if (offset > size_ || count > size_ - offset)
    fail(offset, "truncated: " + std::to_string(count) +
                     " bytes are needed here and the end is at byte " + std::to_string(size_));
}

void Source::read(std::uint64_t offset, void* out, std::size_t count) const {
  require(offset, count);
  if (count == 0) return;
  if (!file_) {
    std::memcpy(out, bytes_.data() + offset, count);
    return;
  }
  auto* to = static_cast<std::byte*>(out);
  while (count > 0) {
    const ssize_t got = pread(fileno(file_.get()), to, count, static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0)
      throw IoError(name_ + ": reading at byte " + std::to_string(offset) +
                    " failed: " + (got < 0 ? std::strerror(errno) : "the file has become shorter"));
    to += got;
    offset += static_cast<std::uint64_t>(got);
    count -= static_cast<std::size_t>(got);
  }
}

std::string Source::text(std::uint64_t offset, std::size_t count) const {
  require(offset, count);  // before the memory is asked for
  std::string s(count, '\0');
  read(offset, s.data(), count);
  return s;
}

void Source::fail(std::uint64_t offset, const std::string& problem) const {
  throw ParseError(name_ + ": byte " + std::to_string(offset) + ": " + problem);
}

Sink::Sink(std::string path) : path_(std::move(path)), target_(path_) {
  struct stat old {};
  const bool exists = stat(path_.c_str(), &old) == 0;
  if (exists && !S_ISREG(old.st_mode)) {  // a device or a pipe takes what is written
    partial_ = target_;
  } else {
    std::error_code missing;  // a link goes on pointing to what it does
    const std::filesystem::path real = std::filesystem::canonical(path_, missing);
    if (!missing) target_ = real.string();
    static std::atomic<int> number{0};
    partial_ =
        target_ + "." + std::to_string(getpid()) + "-" + std::to_string(number++) + ".partial";
  }
  file_ = std::fopen(partial_.c_str(), "wbe");
  if (!file_) fail("cannot be created");
  if (exists) fchmod(fileno(file_), old.st_mode & 07777);  // as private as it was
}

Sink::~Sink() {
  if (!file_) return;
  std::fclose(file_);
  if (partial_ != target_) std::remove(partial_.c_str());
}

void Sink::write(const void* data, std::size_t count) {
  if (count > 0 && std::fwrite(data, 1, count, file_) != count) fail("cannot be written");
  written_ += count;
}

void Sink::commit() {
  if (std::fflush(file_) != 0) fail("cannot be written");
  if (partial_ != target_ && std::rename(partial_.c_str(), target_.c_str()) != 0)
    fail("cannot be put in place");
  std::fclose(file_);
  file_ = nullptr;
}

void Sink::fail(const char* what) const {
  throw IoError(path_ + ": " + what + " at byte " + std::to_string(written_) + ": " +
                std::strerror(errno));
}

}  // namespace weft::frontend
