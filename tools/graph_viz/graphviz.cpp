// Graphviz's `dot` as a child process, given files and no shell.
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "ir/error.h"
#include "tools/graph_viz/render.h"

extern char** environ;

namespace weft::tools {
namespace {

namespace fs = std::filesystem;

/// A folder of our own for the files between us and `dot`.
class Scratch {
 public:
  Scratch() {
    std::string name = (fs::temp_directory_path() / "graph-viz-XXXXXX").string();
    if (!mkdtemp(name.data()))
      throw IoError("cannot make a folder like " + name + ": " + std::strerror(errno));
    path_ = name;
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  [[nodiscard]] std::string file(const char* name) const { return (path_ / name).string(); }

 private:
  fs::path path_;
};

std::string read_all(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream content;
  content << file.rdbuf();
  return content.str();
}

}  // namespace

std::string run_graphviz(const std::string& dot, const std::string& format) {
  const Scratch scratch;
  const std::string source = scratch.file("graph.dot"), result = scratch.file("picture"),
                    messages = scratch.file("messages");
  std::ofstream(source, std::ios::binary) << dot;

  std::string program = "dot", type = "-T" + format, from = source, output = "-o" + result;
  char* arguments[] = {program.data(), type.data(), output.data(), from.data(), nullptr};
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, messages.c_str(),
                                   O_WRONLY | O_CREAT | O_TRUNC, 0600);
  pid_t child = 0;
  const int error = posix_spawnp(&child, program.c_str(), &actions, nullptr, arguments, environ);
  posix_spawn_file_actions_destroy(&actions);
  const char* way_out =
      "; install Graphviz (Debian: graphviz), or write Graphviz text with -o picture.dot";
  if (error == ENOENT) throw Error(std::string("the program 'dot' was not found") + way_out);
  if (error != 0) throw Error(std::string("cannot start 'dot': ") + std::strerror(error) + way_out);
  int status = 0;
  while (waitpid(child, &status, 0) < 0)
    if (errno != EINTR) throw Error(std::string("cannot wait for 'dot': ") + std::strerror(errno));
  if (!WIFEXITED(status) || WEXITSTATUS(status) == 127)
    throw Error(std::string("the program 'dot' could not be run") + way_out);
  std::string picture = read_all(result);
  if (WEXITSTATUS(status) != 0 || picture.empty())
    throw Error("'dot' failed with status " + std::to_string(WEXITSTATUS(status)) + ": " +
                read_all(messages));
  return picture;
}

}  // namespace weft::tools
