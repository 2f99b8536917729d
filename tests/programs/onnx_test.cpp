// ONNX's own test models, and the programs on ONNX files. Both need Debian's packages libonnx-dev and
// libonnx-testdata (tools/setup installs them); without these nothing is asked.
#include <doctest/doctest.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "ir/error.h"
#include "onnx/module.h"
#include "tests/programs/outcome.h"

namespace {

namespace fs = std::filesystem;
const std::string data = "/usr/share/libonnx-testdata/data";

bool available() {
  if (!fs::is_directory(data)) return false;
  try {
    (void)weft::onnx::module();
    return true;
  } catch (const weft::UnsupportedOp&) { return false; }
}

std::string node(const std::string& name) { return data + "/node/" + name; }

}  // namespace

TEST_CASE("onnx: exactly the models that are known to fail do, on both tiers") {
  if (!available()) return;
  const std::string known =
      " --known " + std::string(WEFT_SOURCE_DIR) + "/tools/onnx_conformance/known_failures.txt";
  for (const std::string tier : {"interpret", "compiled"}) {
    const Outcome outcome = run(program("onnx-conformance --tier ") + tier + known);
    INFO(outcome.text);
    CHECK(outcome.code == 0);
    CHECK(outcome.text.find(" of 1072 models pass on the " + tier + " tier") != std::string::npos);
  }
}

TEST_CASE("onnx: weft-run checks a model against stored tensors") {
  if (!available()) return;
  const auto check = [](const std::string& name, const std::string& expected) {
    return run(program("weft-run ") + node(name) + "/model.onnx --rtol 1e-3 --check " +
               node(expected) + "/test_data_set_0");
  };
  CHECK(check("test_matmul_2d", "test_matmul_2d").code == 0);
  CHECK(check("test_sequence_insert_at_back", "test_sequence_insert_at_back").code == 0);
  const Outcome other = check("test_sin", "test_cos");
  CHECK(other.code == 1);
  CHECK(other.text.find("DIFFERENT") != std::string::npos);
  const Outcome strings =
      run(program("weft-run ") + node("test_cast_FLOAT_to_STRING") + "/model.onnx");
  CHECK(strings.code == 2);
  CHECK(strings.text.find("(Cast): tensors of strings") != std::string::npos);
}

TEST_CASE("onnx: graph-viz draws a model") {
  if (!available()) return;
  const std::string path =
      (fs::temp_directory_path() / ("weft-onnx-" + std::to_string(getpid()))).string() + ".dot";
  const Outcome outcome =
      run(program("graph-viz ") + node("test_matmul_2d") + "/model.onnx -o " + path);
  INFO(outcome.text);
  CHECK(outcome.code == 0);
  CHECK(fs::file_size(path) > 100);
  fs::remove(path);
}
