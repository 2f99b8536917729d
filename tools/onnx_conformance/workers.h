// Processes that check models, each one after the other, so that a model which crashes or never
// ends costs its process and not the run.
#pragma once

#include <filesystem>
#include <functional>
#include <span>

#include "tools/onnx_conformance/check.h"

namespace weft::tools {

struct WorkOptions {
  int jobs = 1;
  double seconds = 60;  // for one model
  Tolerance tolerance;
};

/// `done` is called in the order in which models end. Forks: no thread may be running yet.
void check_models(std::span<const std::filesystem::path> folders, const WorkOptions& options,
                  const std::function<void(std::size_t, const Verdict&)>& done);

}  // namespace weft::tools
