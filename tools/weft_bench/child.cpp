#include "child.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <stdexcept>

#include "measure.h"

extern char** environ;

namespace weft::bench {

namespace {

std::vector<std::string> changed_environment(
    const std::vector<std::pair<std::string, std::string>>& changes) {
  std::vector<std::string> out;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    const bool replaced = std::ranges::any_of(changes, [&](const auto& change) {
      return text.starts_with(change.first + "=");
    });
    if (!replaced) out.emplace_back(text);
  }
  for (const auto& [name, value] : changes) out.push_back(name + "=" + value);
  return out;
}

std::vector<char*> pointers(std::vector<std::string>& strings) {
  std::vector<char*> out;
  for (std::string& s : strings) out.push_back(s.data());
  out.push_back(nullptr);
  return out;
}

}  // namespace

std::string own_program() { return std::filesystem::read_symlink("/proc/self/exe").string(); }

ChildResult run_child(const std::vector<std::string>& arguments,
                      const std::vector<std::pair<std::string, std::string>>& environment,
                      double seconds) {
  int pipe_ends[2];
  if (pipe2(pipe_ends, O_CLOEXEC) != 0) throw std::runtime_error("cannot make a pipe");
  std::vector<std::string> args = arguments, env = changed_environment(environment);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, pipe_ends[1], STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, pipe_ends[1], STDERR_FILENO);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);   // of its own, which all it starts belong to
  pid_t pid = 0;
  const int error = posix_spawnp(&pid, args[0].c_str(), &actions, &attributes, pointers(args).data(),
                                 pointers(env).data());
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  close(pipe_ends[1]);
  ChildResult result;
  if (error != 0) {
    close(pipe_ends[0]);
    return {127, "cannot start " + args[0]};
  }

  // Readable when the child has ended, by when its pipe may be closed for long, or open yet.
  const int ended = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
  const double end = now_ms() + seconds * 1e3;
  bool late = false;
  char buffer[4096];
  pollfd wanted[] = {{pipe_ends[0], POLLIN, 0}, {ended, POLLIN, 0}};
  while (true) {   // until it has ended and all that it said is read
    const double left = end - now_ms();
    const bool over = (wanted[1].revents & POLLIN) != 0 || (ended < 0 && wanted[0].fd < 0);
    late = !over && left <= 0;
    const int ready = late ? 0 : poll(wanted, 2, over ? 0 : static_cast<int>(left) + 1);
    if (late || (over && wanted[0].revents == 0)) break;
    if (ready <= 0 || wanted[0].revents == 0) continue;
    const ssize_t n = read(pipe_ends[0], buffer, sizeof buffer);
    if (n > 0) result.output.append(buffer, static_cast<std::size_t>(n));
    else if (n == 0) wanted[0].fd = -1;   // closed, which is not the end
  }
  int status = 0;
  if (late) kill(pid, SIGKILL);
  siginfo_t seen{};
  waitid(P_PID, static_cast<id_t>(pid), &seen, WEXITED | WNOWAIT);   // its number stays its own until the group is gone
  kill(-pid, SIGKILL);
  waitpid(pid, &status, 0);
  if (ended >= 0) close(ended);
  close(pipe_ends[0]);
  result.status = late ? 124 : WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  return result;
}

}  // namespace weft::bench
