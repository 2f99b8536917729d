// weft-bench as a user meets it: what it lists, what one measurement prints, its files and its
// refusals. No times.
#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>

#include "tests/folder.h"
#include "tests/programs/outcome.h"

namespace {

namespace fs = std::filesystem;
using nlohmann::json;

/// What one measuring process prints.
json measured(const std::string& command) {
  const Outcome outcome = run(command);
  CAPTURE(outcome.text);
  REQUIRE(outcome.code == 0);
  const std::size_t begin = outcome.text.find("{\"row\"");
  REQUIRE(begin != std::string::npos);
  return json::parse(outcome.text.substr(begin, outcome.text.find('\n', begin) - begin));
}

json by(const std::string& engine, const std::string& row) {
  return measured(program("weft-bench") + " --threads 1 --budget 1 --measure " + row +
                  " --engine " + engine);
}

void check_agree(const json& found, const json& expected) {
  CAPTURE(found.dump());
  CAPTURE(expected.dump());
  for (const char* member : {"sum", "absolute"})
    CHECK(found[member].get<double>() == doctest::Approx(expected[member].get<double>())
                                             .epsilon(1e-3)
                                             .scale(1e-3 * expected["absolute"].get<double>()));
  CHECK(found["samples"] > 0);
}

}  // namespace

TEST_CASE("weft-bench: without AVX-512 the same bits") {
  const json wide = by("weft", "M2");
  const json narrow = measured("WEFT_ISA=avx2 " + program("weft-bench") +
                               " --threads 1 --budget 1 --measure M2 --engine weft");
  for (const char* member : {"sum", "absolute"}) CHECK(narrow[member] == wide[member]);
}

TEST_CASE("weft-bench lists its rows") {
  const Outcome listed = run(program("weft-bench") + " --list");
  CHECK(listed.code == 0);
  for (const char* row : {"E1 ", "E3 ", "R5 ", "M2_const ", "C1_fwdbwd ", "T1 ", "T2 ", "T3 ",
                          "T4_fwd ", "T4_train ", "D1_E3 ", "D1_T4_train ", "D2 ", "million "})
    CHECK_MESSAGE(("\n" + listed.text).find(std::string("\n") + row) != std::string::npos, row);
}

TEST_CASE("weft-bench: what Weft computes is what the row says") {
  for (const char* row : {"M2", "M2_const", "R4", "T3"})
    check_agree(by("weft", row), by("reference", row));
  CHECK(by("weft", "T3")["peak_mb"] > 1);
  CHECK(by("weft", "D1_E3")["first_call_ms"] > 0);
}

TEST_CASE("weft-bench: what peers compute is what the row says") {
  const json expected = by("reference", "M2");
  if (fs::exists(program("weft-bench-onednn")))
    check_agree(measured(program("weft-bench-onednn") + " M2 1 1"), expected);
  else
    MESSAGE("weft-bench-onednn is not built here");
  if (fs::exists(program("weft-bench-torch")))
    for (const char* engine : {"libtorch", "torchscript"})
      check_agree(measured(program("weft-bench-torch") + " " + engine + " T3 1 1"),
                  by("reference", "T3"));
  else
    MESSAGE("weft-bench-torch is not built here");
}

TEST_CASE(
    "weft-bench writes records, a table and a picture; its exit code says whether goals were "
    "reached") {
  const weft::Folder folder;
  const Outcome done = run(program("weft-bench") + " --only '^E1$' --quick --threads 1 --json " +
                           folder / "records.json" + " --plot " + folder / "plot.svg");
  CAPTURE(done.text);
  CHECK((done.code == 0 || done.code == 1));  // as quick as this machine is today
  CHECK((done.code == 1) == (done.text.find("MISSED") != std::string::npos));
  CHECK(done.text.find("x floor") != std::string::npos);
  std::ifstream records(folder / "records.json");
  bool found = false;
  for (std::string line; std::getline(records, line);) {
    const json record = json::parse(line);
    CHECK(record["status"] == "ok");
    found = found || (record["row"] == "E1" && record["engine"] == "weft");
  }
  CHECK(found);
  std::ostringstream picture;
  picture << std::ifstream(folder / "plot.svg").rdbuf();
  CHECK(picture.str().starts_with("<svg"));
  CHECK(picture.str().ends_with("</svg>\n"));
}

TEST_CASE("weft-bench refuses what it cannot do") {
  CHECK(run(program("weft-bench") + " --threads 0").code == 2);
  CHECK(run(program("weft-bench") + " --json /nonexistent/records.json").code == 2);
  CHECK(run(program("weft-bench") + " --only '('").code == 2);
}
