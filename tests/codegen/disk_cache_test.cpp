// The cache on disk: what is put is found, and nothing that is damaged or foreign is.
#include <doctest/doctest.h>

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "codegen/disk_cache.h"

using namespace weft::codegen;
namespace fs = std::filesystem;

namespace {

/// A directory of this test's own.
class Folder {
 public:
  Folder() {
    std::string name = (fs::temp_directory_path() / "weft-cache-XXXXXX").string();
    REQUIRE(mkdtemp(name.data()) != nullptr);
    path = name;
  }
  ~Folder() { fs::remove_all(path); }
  fs::path path;
};

CodeBlob some_code() {
  CodeBlob blob;
  for (int i = 0; i < 100; ++i) blob.bytes.push_back(static_cast<std::byte>(i * 7));
  blob.entry = 16;
  blob.imports = {{40, 0}, {64, 1}};
  return blob;
}

std::string contents(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void overwrite(const fs::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

}  // namespace

TEST_CASE("what is put into the cache is found under its key alone") {
  const Folder folder;
  const fs::path inside = folder.path / "deep" / "weft";
  const DiskCache cache(inside.string());
  REQUIRE(cache.usable());
  CHECK_FALSE(cache.find("key"));
  cache.put("key", some_code());
  CHECK(cache.find("key") == some_code());
  CHECK_FALSE(cache.find("kez"));
  CHECK(DiskCache(inside.string()).find("key") == some_code());
  struct stat status {};
  REQUIRE(stat(inside.c_str(), &status) == 0);
  CHECK((status.st_mode & 0777) == 0700);
  CHECK(std::distance(fs::directory_iterator(inside), fs::directory_iterator()) ==
        1);  // no drafts left behind
}

TEST_CASE("damaged entries count as absent and are replaced") {
  const Folder folder;
  const DiskCache cache(folder.path.string());
  cache.put("key", some_code());
  const fs::path file = folder.path / DiskCache::file_name("key");
  const std::string whole = contents(file);
  for (std::size_t i = 0; i < whole.size(); ++i) {
    std::string damaged = whole;
    damaged[i] = static_cast<char>(damaged[i] ^ 0x20);
    overwrite(file, damaged);
    CAPTURE(i);
    CHECK_FALSE(cache.find("key"));
  }
  for (std::size_t size = 0; size < whole.size(); size += 5) {
    overwrite(file, whole.substr(0, size));
    CHECK_FALSE(cache.find("key"));
  }
  overwrite(file, whole + "x");
  CHECK_FALSE(cache.find("key"));
  cache.put("key", some_code());
  CHECK(cache.find("key") == some_code());
}

TEST_CASE("an entry of another key is not taken for this one's") {
  const Folder folder;
  const DiskCache cache(folder.path.string());
  cache.put("one", some_code());
  fs::copy(folder.path / DiskCache::file_name("one"), folder.path / DiskCache::file_name("two"));
  CHECK_FALSE(cache.find("two"));
}

TEST_CASE(
    "links, files that others may write and directories that others may write are not trusted") {
  const Folder folder;
  const fs::path place = folder.path / "weft";
  const fs::path entry = place / DiskCache::file_name("key");
  {
    const DiskCache cache(place.string());
    cache.put("key", some_code());
    fs::rename(entry, folder.path / "elsewhere");
    fs::create_symlink(folder.path / "elsewhere", entry);
    CHECK_FALSE(cache.find("key"));
    fs::remove(entry);
    fs::rename(folder.path / "elsewhere", entry);
    CHECK(cache.find("key"));
    chmod(entry.c_str(), 0666);
    CHECK_FALSE(cache.find("key"));
    chmod(entry.c_str(), 0600);
    CHECK(cache.find("key"));
    fs::remove(entry);
    fs::create_directory(entry);
    CHECK_FALSE(cache.find("key"));
    fs::remove(entry);
  }
  fs::create_directory_symlink(place, folder.path / "link");
  CHECK_FALSE(DiskCache((folder.path / "link").string()).usable());
  chmod(place.c_str(), 0777);
  CHECK_FALSE(DiskCache(place.string()).usable());
  chmod(place.c_str(), 0700);
  CHECK(DiskCache(place.string()).usable());
}

TEST_CASE("without a directory there is no cache and no error") {
  const DiskCache none((std::string()));
  CHECK_FALSE(none.usable());
  none.put("key", some_code());
  CHECK_FALSE(none.find("key"));
  const Folder folder;
  overwrite(folder.path / "file", "");
  CHECK_FALSE(DiskCache((folder.path / "file").string()).usable());
}

TEST_CASE("code that refers to places outside itself is not well formed") {
  CodeBlob blob = some_code();
  CHECK(well_formed(blob));
  blob.imports[0].slot = 93;
  CHECK_FALSE(well_formed(blob));
  blob = some_code();
  blob.imports[0].symbol = 1000;
  CHECK_FALSE(well_formed(blob));
  blob = some_code();
  blob.entry = 100;
  CHECK_FALSE(well_formed(blob));
}
