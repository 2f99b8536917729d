// Compiled code on disk, shared between processes: one file an entry, named by a hash of its key.
// The directory is WEFT_CACHE_DIR, or weft in XDG_CACHE_HOME or ~/.cache; it belongs to this user
// and nobody else can write to it, or there is no cache. Entries appear by rename, hold their whole
// key and a checksum, and are looked at with suspicion: whatever is damaged, foreign or a link
// counts as absent. No failure here is an error.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "codegen/object_loader.h"

namespace weft::codegen {

class DiskCache {
 public:
  /// Opens the directory of this environment.
  DiskCache();
  /// Opens (or makes, private) the given directory; an empty name is no cache.
  explicit DiskCache(const std::string& directory);
  ~DiskCache();
  DiskCache(const DiskCache&) = delete;
  DiskCache& operator=(const DiskCache&) = delete;

  [[nodiscard]] bool usable() const { return directory_ >= 0; }
  [[nodiscard]] std::optional<CodeBlob> find(std::string_view key) const;
  void put(std::string_view key, const CodeBlob&) const;
  /// Name of the file that holds this key.
  static std::string file_name(std::string_view key);

 private:
  int directory_ = -1;
};

}  // namespace weft::codegen
