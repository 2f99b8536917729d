// tools/gpu-check and weft-bench --device as a user meets them, on the stand-in for a device. No times.
#include <doctest/doctest.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <string>

#include "tests/programs/outcome.h"

namespace {

const std::string check = std::string(WEFT_SOURCE_DIR) + "/tools/gpu-check ";
const std::string bin = WEFT_PROGRAM_DIR;

bool contains(const std::string& text, const char* part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("gpu-check says what it does and refuses what it cannot") {
  const Outcome help = run(check + "--help");
  CHECK(help.code == 0);
  CHECK(contains(help.text, "--stand-in"));
  CHECK(run(check + "--no-such-option").code == 2);
  CHECK(run(check + "--bin").code == 2);
  CHECK(run(check + "--bin /nowhere --no-tests").code == 2);
  const Outcome none =
      run("WEFT_CUDA_DRIVER=/nowhere/libcuda.so.1 " + bin + "/weft-bench --device cuda:0");
  CHECK(none.code == 2);
  CHECK(contains(none.text, "/nowhere/libcuda.so.1"));
  CHECK(run(bin + "/weft-bench --device quantum").code == 2);
}

TEST_CASE("gpu-check goes to its end on the stand-in") {
  if (std::system("g++ --version > /dev/null 2>&1") != 0) {
    MESSAGE("skipped: there is no compiler `g++`");
    return;
  }
  const std::string records =
      (std::filesystem::temp_directory_path() / "weft-gpu-check-test.json").string();
  const Outcome done =
      run(check + "--stand-in --no-tests --no-peers --bin " + bin + " --json " + records);
  CAPTURE(done.text);
  CHECK(done.code == 0);
  CHECK(contains(done.text, "of copy"));
  std::set<std::string> rows;
  std::istringstream lines(done.text);
  for (std::string line; std::getline(lines, line);) {
    if (line.rfind("{\"row\"", 0) != 0) continue;
    const auto record = nlohmann::json::parse(line);
    CHECK(record["status"] == "ok");
    rows.insert(record["row"].get<std::string>());
  }
  for (const char* row : {"copy", "add", "softmax_grad", "norm_grad", "column_sum", "transpose",
                          "gemm_bf16_gelu", "attention_causal", "small_call"})
    CHECK_MESSAGE(rows.contains(row), row);
  CHECK(std::filesystem::file_size(records) > 0);
  std::filesystem::remove(records);
}
