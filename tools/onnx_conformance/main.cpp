// onnx-conformance: runs ONNX's own test models and prints how many of each operator pass.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <map>
#include <set>

#include "ir/error.h"
#include "tools/onnx_conformance/workers.h"
#include "tools/program/program.h"

namespace {

using namespace weft;
using namespace weft::tools;
namespace fs = std::filesystem;

struct Settings {
  std::string data = "/usr/share/libonnx-testdata/data", filter, tier = "compiled", known;
  WorkOptions work{.jobs = 2, .seconds = 60, .tolerance = {}};
  bool list = false;
};

/// Every folder with a model in it, the data's own order of names.
std::vector<fs::path> find_models(const Settings& s) {
  if (!fs::is_directory(s.data))
    throw IoError("there is no folder " + s.data + " (Debian's package libonnx-testdata has it)");
  std::vector<fs::path> models;
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(s.data))
    if (entry.path().filename() == "model.onnx") {
      const fs::path folder = entry.path().parent_path();
      if (folder.string().find(s.filter) != std::string::npos) models.push_back(folder);
    }
  std::ranges::sort(models);
  if (models.empty()) throw Error("no model in " + s.data + " is named like '" + s.filter + "'");
  return models;
}

/// `folder/model: reason` a line; # begins a comment.
std::map<std::string, std::string> read_known(const std::string& path) {
  std::map<std::string, std::string> known;
  if (path.empty()) return known;
  std::ifstream file(path);
  if (!file) throw IoError("cannot read " + path);
  for (std::string line; std::getline(file, line);) {
    if (line.empty() || line[0] == '#') continue;
    const std::size_t colon = line.find(": ");
    if (colon == std::string::npos) throw ParseError(path + ": no reason in '" + line + "'");
    known[line.substr(0, colon)] = line.substr(colon + 2);
  }
  return known;
}

std::string short_name(const fs::path& model) {
  return (model.parent_path().filename() / model.filename()).string();
}

void print_table(const std::vector<Verdict>& verdicts) {
  std::map<std::string, std::pair<int, int>> rows;  // passed, all
  for (const Verdict& v : verdicts)
    for (const std::string& op : v.operators) {
      auto& [passed, all] = rows[op];
      passed += v.failure.empty() ? 1 : 0;
      ++all;
    }
  fmt::print("{:<44} {:>6} {:>6}\n", "operator", "passed", "models");
  for (const auto& [op, counts] : rows)
    fmt::print("{:<44} {:>6} {:>6}{}\n", op, counts.first, counts.second,
               counts.first < counts.second ? "  <" : "");
}

int run(const Settings& s) {
  if (s.tier == "interpret") setenv("WEFT_MODE", "interpret", 1);
  const std::vector<fs::path> models = find_models(s);
  const std::map<std::string, std::string> known = read_known(s.known);
  std::vector<Verdict> verdicts(models.size());
  check_models(models, s.work, [&](std::size_t i, const Verdict& v) { verdicts[i] = v; });

  print_table(verdicts);
  std::size_t passed = 0, expected = 0, surprises = 0;
  for (std::size_t i = 0; i < models.size(); ++i) {
    const std::string name = short_name(models[i]);
    const bool good = verdicts[i].failure.empty();
    passed += good ? 1 : 0;
    if (good == known.contains(name)) {
      ++surprises;
      fmt::print("{}: {}\n", name,
                 good ? "passes, though it is listed as known to fail" : verdicts[i].failure);
    } else if (!good) {
      ++expected;
      if (s.list) fmt::print("{}: known ({}): {}\n", name, known.at(name), verdicts[i].failure);
    }
  }
  fmt::print("{} of {} models pass on the {} tier; {} are known to fail; {} are not as expected\n",
             passed, models.size(), s.tier, expected, surprises);
  return surprises == 0 ? done : not_reached;
}

}  // namespace

int main(int argc, char** argv) {
  Settings s;
  Arguments app("Runs ONNX's own test models.", "onnx-conformance");
  app.option("--data", s.data, "folder of the models").shows_default();
  app.option("--filter", s.filter, "only models whose path has this in it");
  app.option("--tier", s.tier, "how to run").one_of({"compiled", "interpret"}).shows_default();
  app.option("--known", s.known, "file of the models known to fail, each with a reason");
  app.flag("--list-failures", s.list, "print the known failures too");
  app.option("--jobs", s.work.jobs, "processes").range(1, 256).shows_default();
  app.option("--timeout", s.work.seconds, "seconds for one model").positive().shows_default();
  app.footer("Exit code: 0 when exactly the known models fail, 1 when not, 2 for errors.");
  return app.run(argc, argv, [&] { return run(s); });
}
