#include "codegen/module_path.h"

#include <dlfcn.h>
#include <sys/stat.h>

#include <cstddef>
#include <cstdlib>
#include <vector>

namespace weft::codegen {
namespace {

bool readable(const std::string& path) {
  struct stat status {};
  return stat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode);
}

/// Where dlopen would look, asked without opening anything.
std::vector<std::string> search_path() {
  void* program = dlopen(nullptr, RTLD_LAZY | RTLD_NOLOAD);
  Dl_serinfo size{};
  if (!program || dlinfo(program, RTLD_DI_SERINFOSIZE, &size) != 0) return {};
  std::vector<std::max_align_t> storage(size.dls_size / sizeof(std::max_align_t) + 1);
  auto* found = reinterpret_cast<Dl_serinfo*>(storage.data());
  std::vector<std::string> folders;
  if (dlinfo(program, RTLD_DI_SERINFOSIZE, found) == 0 &&
      dlinfo(program, RTLD_DI_SERINFO, found) == 0)
    for (unsigned i = 0; i < found->dls_cnt; ++i)
      folders.emplace_back(found->dls_serpath[i].dls_name);
  dlclose(program);
  return folders;
}

}  // namespace

std::string find_module(const std::string& name) {
  std::vector<std::string> folders;
  if (const char* named = std::getenv("WEFT_MODULE_PATH")) folders.emplace_back(named);
  Dl_info info{};
  if (dladdr(reinterpret_cast<void*>(&find_module), &info) != 0 && info.dli_fname) {
    std::string folder = info.dli_fname;
    const auto slash = folder.rfind('/');
    folder = slash == std::string::npos ? "." : folder.substr(0, slash);
    folders.push_back(folder);
    folders.push_back(folder + "/" + WEFT_MODULE_RELATIVE_DIR);
  }
  for (std::string& folder : search_path()) folders.push_back(std::move(folder));
  for (const std::string& folder : folders)
    if (const std::string path = folder + "/" + name; readable(path)) return path;
  return {};
}

}  // namespace weft::codegen
