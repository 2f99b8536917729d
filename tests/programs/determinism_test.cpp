// Two processes give byte-identical dumps: nothing that is printed follows addresses.
#include <doctest/doctest.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "tests/programs/outcome.h"
#include "weft/weft.h"

namespace {

std::string printed_by(const std::string& command) {
  const Outcome outcome = run(command);
  REQUIRE(outcome.code == 0);
  return outcome.text;
}

}  // namespace

TEST_CASE("two processes draw the same training step alike, byte for byte") {
  using namespace weft;
  const std::filesystem::path folder =
      std::filesystem::temp_directory_path() / ("weft-determinism-" + std::to_string(getpid()));
  std::filesystem::create_directories(folder);
  const std::string file = (folder / "step.weft").string();
  {
    nn::Sequential model(nn::Linear(12, 8), nn::ReLU(), nn::Linear(8, 4));
    optim::Adam adam(model.parameters(), {.lr = 0.01});
    const Tensor x({16, 12}, DType::float32, "x"), t({16}, DType::int64, "t");
    const Tensor loss = nn::cross_entropy(model(x), t);
    Function({x, t}, loss, {.updates = adam.updates(loss), .name = "step"}).save(file);
  }
  const std::string program = std::string(WEFT_PROGRAM_DIR) + "/graph-viz " + file + " --stage ";
  for (const char* stage : {"graph", "expand", "kernels", "plan"}) {
    CAPTURE(stage);
    const std::string first = printed_by(program + stage);
    CHECK(first.size() > 500);
    CHECK(first == printed_by(program + stage));
  }
  std::filesystem::remove_all(folder);
}
