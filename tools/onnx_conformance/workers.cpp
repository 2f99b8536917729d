#include "tools/onnx_conformance/workers.h"

#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstring>
#include <sstream>
#include <stdexcept>

namespace weft::tools {
namespace {

using Clock = std::chrono::steady_clock;
using Folders = std::span<const std::filesystem::path>;

std::string text_of(const Verdict& v) {
  std::string text;
  for (const std::string& op : v.operators) text += op + " ";
  return text + "\t" + v.failure + "\n";
}

Verdict verdict_of(const std::string& line) {
  Verdict v;
  const std::size_t tab = line.find('\t');
  std::istringstream names(line.substr(0, tab));
  for (std::string name; names >> name;) v.operators.push_back(name);
  if (tab != std::string::npos) v.failure = line.substr(tab + 1);
  return v;
}

/// In the child: reads numbers of models, answers a line each, until there are no more.
[[noreturn]] void serve(Folders folders, const Tolerance& tolerance, int requests, int answers) {
  std::size_t model = 0;
  while (read(requests, &model, sizeof model) == sizeof model) {
    const std::string text = text_of(check_model(folders[model], tolerance));
    if (write(answers, text.data(), text.size()) != static_cast<ssize_t>(text.size())) break;
  }
  _exit(0);
}

class Worker {
 public:
  Worker(Folders folders, const WorkOptions& options) : folders_(folders), options_(options) {
    start();
  }
  ~Worker() { stop(); }
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  void give(std::size_t model) {
    model_ = model;
    busy_ = true;
    line_.clear();
    end_ = Clock::now() + std::chrono::milliseconds(static_cast<int>(options_.seconds * 1e3));
    if (write(requests_, &model, sizeof model) != sizeof model) line_ = "";  // then it has ended
  }
  [[nodiscard]] bool busy() const { return busy_; }
  [[nodiscard]] std::size_t model() const { return model_; }
  [[nodiscard]] int answers() const { return answers_; }

  /// True with the verdict once there is one. A process that ended or took too long is replaced.
  bool poll(bool readable, Verdict& verdict) {
    if (readable) {
      char buffer[4096];
      const ssize_t n = read(answers_, buffer, sizeof buffer);
      if (n > 0) line_.append(buffer, static_cast<std::size_t>(n));
      if (!line_.empty() && line_.back() == '\n') {
        line_.pop_back();
        verdict = verdict_of(line_);
        busy_ = false;
        return true;
      }
      if (n <= 0) return replaced(verdict, "the process ended: ");
    }
    if (Clock::now() < end_) return false;
    return replaced(verdict, "not done after " + std::to_string(options_.seconds) + " s: ");
  }

 private:
  void start() {
    int requests[2], answers[2];
    if (pipe(requests) != 0 || pipe(answers) != 0) throw std::runtime_error("no pipe");
    process_ = fork();
    if (process_ < 0) throw std::runtime_error(std::string("fork: ") + std::strerror(errno));
    if (process_ == 0) {
      close(requests[1]);
      close(answers[0]);
      serve(folders_, options_.tolerance, requests[0], answers[1]);
    }
    close(requests[0]);
    close(answers[1]);
    requests_ = requests[1];
    answers_ = answers[0];
  }
  /// (Other workers hold the other ends of its pipes, so that it would not see them closed.)
  int stop() {
    kill(process_, SIGKILL);
    close(requests_);
    close(answers_);
    int status = 0;
    waitpid(process_, &status, 0);
    return status;
  }
  bool replaced(Verdict& verdict, const std::string& why) {
    const int status = stop();
    verdict = {};
    verdict.failure = why + (WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : "exit code");
    busy_ = false;
    start();
    return true;
  }

  Folders folders_;
  const WorkOptions& options_;
  pid_t process_ = -1;
  int requests_ = -1, answers_ = -1;
  bool busy_ = false;
  std::size_t model_ = 0;
  Clock::time_point end_;
  std::string line_;
};

}  // namespace

void check_models(Folders folders, const WorkOptions& options,
                  const std::function<void(std::size_t, const Verdict&)>& done) {
  std::signal(SIGPIPE, SIG_IGN);
  std::vector<std::unique_ptr<Worker>> workers;
  for (int i = 0; i < options.jobs; ++i)
    workers.push_back(std::make_unique<Worker>(folders, options));
  std::size_t next = 0, finished = 0;
  while (finished < folders.size()) {
    std::vector<pollfd> waiting;
    for (const auto& worker : workers) {
      if (!worker->busy() && next < folders.size()) worker->give(next++);
      waiting.push_back({worker->answers(), POLLIN, 0});
    }
    poll(waiting.data(), waiting.size(), 200);
    for (std::size_t i = 0; i < workers.size(); ++i) {
      Verdict verdict;
      if (!workers[i]->busy() || !workers[i]->poll(waiting[i].revents != 0, verdict)) continue;
      done(workers[i]->model(), verdict);
      ++finished;
    }
  }
}

}  // namespace weft::tools
