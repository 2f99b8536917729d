#include "asking.h"

#include <stdlib.h>

#include <algorithm>
#include <filesystem>

#include "child.h"
#include "numpy_script.h"

namespace weft::bench {

namespace {

namespace fs = std::filesystem;

std::string program(const char* name) { return (fs::path(own_program()).parent_path() / name).string(); }

/// What gets the best out of each peer, unless the user says otherwise.
void add_peer_environment(Environment& environment, const std::string& threads) {
  for (const char* name : {"OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"}) environment.emplace_back(name, threads);
  const std::pair<const char*, const char*> best[] = {
      {"MALLOC_MMAP_MAX_", "0"},        {"MALLOC_TRIM_THRESHOLD_", "68719476736"},
      {"MALLOC_TOP_PAD_", "268435456"}, {"MALLOC_ARENA_MAX", "1"}};
  for (const auto& [name, value] : best) environment.emplace_back(name, value);
  if (__builtin_cpu_supports("avx512f")) {
    if (getenv("OPENBLAS_CORETYPE") == nullptr) environment.emplace_back("OPENBLAS_CORETYPE", "SKYLAKEX");
    if (getenv("ATEN_CPU_CAPABILITY") == nullptr) environment.emplace_back("ATEN_CPU_CAPABILITY", "avx512");
  }
  // One pool for libtorch and its OpenBLAS, where the build over OpenMP is installed.
  const fs::path openmp = "/usr/lib/x86_64-linux-gnu/openblas-openmp";
  if (fs::exists(openmp)) {
    const char* path = getenv("LD_LIBRARY_PATH");
    environment.emplace_back("LD_LIBRARY_PATH", openmp.string() + (path != nullptr ? ":" + std::string(path) : ""));
  }
}

std::vector<std::string> command(std::string_view engine, const std::string& row, const std::string& threads,
                                 const std::string& budget) {
  if (engine == "numpy") return {"/usr/bin/python3", "-c", numpy_script, row, threads, budget};
  if (engine == "onednn") return {program("weft-bench-onednn"), row, threads, budget};
  if (engine == "libtorch" || engine == "torchscript")
    return {program("weft-bench-torch"), std::string(engine), row, threads, budget};
  return {own_program(), "--measure", row,       "--engine", std::string(engine),
          "--threads",     threads,     "--budget", budget};
}

}  // namespace

std::vector<std::string_view> peers_here() {
  std::vector<std::string_view> out = {"eigen", "openblas", "numpy"};
  if (fs::exists(program("weft-bench-onednn"))) out.emplace_back("onednn");
  if (fs::exists(program("weft-bench-torch"))) out.insert(out.end(), {"libtorch", "torchscript"});
  return out;
}

std::vector<Record> ask(std::string_view engine, const std::string& row, int threads, double budget_ms,
                        Environment environment, double seconds) {
  const std::string count = std::to_string(threads);
  environment.emplace_back("WEFT_NUM_THREADS", count);
  if (engine != "weft") add_peer_environment(environment, count);
  const ChildResult child =
      run_child(command(engine, row, count, std::to_string(budget_ms)), environment, seconds);
  std::vector<Record> out;
  std::string rest;
  for (std::size_t at = 0; at < child.output.size();) {
    const std::size_t end = std::min(child.output.find('\n', at), child.output.size());
    const std::string line = child.output.substr(at, end - at);
    at = end + 1;
    if (line.starts_with("{\"row\"")) out.push_back(Record::parse(line));
    else rest += line + "\n";
  }
  for (Record& r : out) r["status"] = "ok";
  if (child.status != 0) {
    const std::string said = rest.substr(rest.size() - std::min<std::size_t>(rest.size(), 400));
    out.assign(1, {{"row", row}, {"engine", engine}, {"threads", threads},
                   {"status", child.status == 124 ? "too slow" : "failed"}, {"exit", child.status}, {"said", said}});
  }
  return out;
}

}  // namespace weft::bench
