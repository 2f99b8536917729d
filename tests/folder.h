// A folder for files of one test, removed after it.
#pragma once

#include <stdlib.h>

#include <filesystem>
#include <stdexcept>
#include <string>

namespace weft {

class Folder {
 public:
  Folder() {
    if (mkdtemp(path_.data()) == nullptr) throw std::runtime_error("no folder for a test's files");
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::string operator/(const char* file) const { return path_ + "/" + file; }

 private:
  std::string path_ = (std::filesystem::temp_directory_path() / "weft-test-XXXXXX").string();
};

}  // namespace weft
