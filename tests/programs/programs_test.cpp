// The programs as a user meets them: run as processes on small files made here; exit codes, output,
// and one clear line where a file is damaged.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "tests/folder.h"
#include "weft/weft.h"

extern char** environ;

namespace {

using namespace weft;
namespace fs = std::filesystem;

std::string slurp(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream out;
  out << file.rdbuf();
  return out.str();
}

void spew(const fs::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

struct Outcome {
  int code = -1;  // 128 + signal where one ended it
  std::string out, err;
};

/// `path`: where programs are looked for, the usual places unless given.
Outcome run(const std::string& program, std::vector<std::string> arguments,
            const std::string& path = {}) {
  const Folder scratch;
  const std::string out = scratch / "out", err = scratch / "err";
  arguments.insert(arguments.begin(), std::string(WEFT_PROGRAM_DIR) + "/" + program);
  std::vector<char*> argv, env;
  for (std::string& a : arguments) argv.push_back(a.data());
  argv.push_back(nullptr);
  std::string changed = "PATH=" + path;
  for (char** e = environ; *e; ++e)
    if (path.empty() || std::string(*e).rfind("PATH=", 0) != 0) env.push_back(*e);
  if (!path.empty()) env.push_back(changed.data());
  env.push_back(nullptr);

  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, out.c_str(), O_WRONLY | O_CREAT, 0600);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, err.c_str(), O_WRONLY | O_CREAT, 0600);
  pid_t child = 0;
  REQUIRE(posix_spawn(&child, argv[0], &actions, nullptr, argv.data(), env.data()) == 0);
  posix_spawn_file_actions_destroy(&actions);
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), slurp(out), slurp(err)};
}

/// A device that is none, for the programs that are run while this lives.
class StandIn {
 public:
  StandIn() {
#ifdef FAKE_CUDA_PATH
    const std::string folder = FAKE_CUDA_PATH;
    here_ = std::system("g++ --version > /dev/null 2>&1") == 0;  // kernels are compiled by it
    setenv("WEFT_CUDA_DRIVER", (folder + "/libfake_driver.so").c_str(), 1);
    setenv("WEFT_CUDA_PATH", folder.c_str(), 1);
    setenv("WEFT_CUBLASLT", "/nowhere/libcublasLt.so", 1);
    setenv("WEFT_CACHE_DIR", cache_.path().c_str(), 1);  // what it compiles is nobody else's
#endif
  }
  ~StandIn() {
    for (const char* name :
         {"WEFT_CUDA_DRIVER", "WEFT_CUDA_PATH", "WEFT_CUBLASLT", "WEFT_CACHE_DIR"})
      unsetenv(name);
  }
  StandIn(const StandIn&) = delete;
  StandIn& operator=(const StandIn&) = delete;
  explicit operator bool() const { return here_; }

 private:
  bool here_ = false;
  Folder cache_;
};

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t n = 0;
  for (std::size_t at = text.find(part); at != std::string::npos;
       at = text.find(part, at + part.size()))
    ++n;
  return n;
}

/// One line that begins with the program's name, and nothing worse.
void check_refused(const Outcome& outcome, const std::string& program,
                   const std::string& about = {}) {
  CAPTURE(outcome.err);
  CHECK(outcome.code == 2);
  CHECK(outcome.err.rfind(program + ": ", 0) == 0);
  CHECK(contains(outcome.err, about));
}

/// y = relu(x·w + b), with a large constant among the values; x is (N, 3).
void save_model(const std::string& path) {
  Variable w(Array{{1.f, -1.f}, {0.f, 2.f}, {3.f, 0.5f}}, "w"), b(Array{0.5f, -0.25f}, "b");
  const Tensor x({dim("N"), 3}, DType::float32, "x");
  Function({x}, relu(matmul(x, w) + b), {.name = "model"}).save(path);
}
const Array model_input{{1.f, 2.f, 3.f}, {-1.f, 0.f, 1.f}};
const Array model_output{{10.5f, 4.25f}, {2.5f, 1.25f}};

/// w is moved down the slope of mean((x·w - t)²).
void save_step(const std::string& path) {
  Variable w(Array{0.f, 0.f, 0.f}, "w <&\"\\> weights");
  const Tensor x({dim("N"), 3}, DType::float32, "x"), t({dim("N")}, DType::float32, "t");
  const Tensor loss = mean(square(x.mv(w) - t));
  Function({x, t}, loss, {.updates = {{w, w - 0.1 * grad(loss, {w})[0]}}, .name = "step"})
      .save(path);
}

std::string big_endian(std::uint32_t v) {
  return {static_cast<char>(v >> 24), static_cast<char>(v >> 16), static_cast<char>(v >> 8),
          static_cast<char>(v)};
}

/// Fashion-MNIST in small: the brightness of an image is its class.
void save_images(const fs::path& folder, const std::string& which, std::uint32_t n) {
  std::string images =
      std::string("\0\0\x08\x03", 4) + big_endian(n) + big_endian(28) + big_endian(28);
  std::string labels = std::string("\0\0\x08\x01", 4) + big_endian(n);
  for (std::uint32_t i = 0; i < n; ++i) {
    images += std::string(28 * 28, static_cast<char>(20 * (i % 10) + 10));
    labels += static_cast<char>(i % 10);
  }
  spew(folder / (which + "-images-idx3-ubyte"), images);
  spew(folder / (which + "-labels-idx1-ubyte"), labels);
}

bool have_graphviz() { return std::system("dot -V >/dev/null 2>&1") == 0; }

}  // namespace

TEST_CASE("weft-operations: the table in the documentation is that of the rows") {
  const Outcome same =
      run("weft-operations", {"--check", WEFT_SOURCE_DIR "/tools/docs/operations.md"});
  CHECK(same.err == "");
  CHECK(same.code == 0);
  const Folder scratch;
  spew(scratch / "old.md", "# Operations\n");
  CHECK(run("weft-operations", {"--check", scratch / "old.md"}).code == 1);
  CHECK(run("weft-operations", {"--check", scratch / "none.md"}).code == 2);
}

TEST_CASE("programs explain themselves and refuse what they do not know") {
  for (const std::string program : {"weft-run", "weft-train", "graph-viz"}) {
    CAPTURE(program);
    const Outcome help = run(program, {"--help"});
    CHECK(help.code == 0);
    CHECK(contains(help.out, program));
    CHECK(contains(help.out, "Exit code"));
    CHECK(run(program, {}).code == 2);
    CHECK(run(program, {"--no-such-option"}).code == 2);
  }
  CHECK(contains(run("weft-train", {"fashion-mnist", "--help"}).out, "--batch-size"));
  CHECK(run("weft-train", {"fashion-mnist", "--epochs", "0"}).code == 2);
}

TEST_CASE("weft-run runs, saves, compares and times a function") {
  const Folder folder;
  const std::string model = folder / "model.weft", x = folder / "input_0.npy";
  save_model(model);
  save_npy(x, model_input);

  const Outcome printed = run("weft-run", {model, x});
  CHECK(printed.code == 0);
  CHECK(contains(printed.out, "10.5"));

  const std::string y = folder / "output_0.npy";
  CHECK(run("weft-run", {model, x, "--save", y}).code == 0);
  CHECK(array_equal(load_npy(y), model_output));

  const Outcome same = run("weft-run", {model, "--check", folder.path(), "--stats"});
  CHECK(same.code == 0);
  CHECK(contains(same.out, "as expected"));
  CHECK(contains(same.out, "kernels"));
  save_npy(y, Array{{10.5f, 4.25f}, {2.5f, 1.5f}});
  const Outcome other = run("weft-run", {model, "--check", folder.path()});
  CHECK(other.code == 1);
  CHECK(contains(other.out, "expected 1.5"));
  CHECK(run("weft-run", {model, "--check", folder.path(), "--atol", "0.3"}).code == 0);
  save_npy(y, Array{1.f});
  CHECK(contains(run("weft-run", {model, "--check", folder.path()}).out,
                 "instead of float32(1,)"));

  const std::string trace = folder / "trace.json";
  CHECK(run("weft-run", {model, x, "--profile", trace, "--repeat", "3"}).code == 0);
  CHECK(contains(slurp(trace), "\"traceEvents\""));
  CHECK(contains(slurp(trace), "\"float32(2, 3)\""));
}

TEST_CASE("weft-run draws images beside their classes") {
  const Folder folder;
  const std::string model = folder / "model.weft", x = folder / "x.npy",
                    labels = folder / "labels.npy";
  const Tensor images({dim("N"), 4}, DType::float32, "images");
  Function({images}, images * 10.0).save(model);
  save_npy(x, Array{{0.f, 0.f, 1.f, 0.f}, {1.f, 0.f, 0.f, 0.f}});
  save_npy(labels, Array{2, 3});
  spew(folder / "names.txt", "zero\none\ntwo\nthree\n");
  const Outcome drawn = run(
      "weft-run", {model, x, "--draw", "2", "--classes", folder / "names.txt", "--labels", labels});
  CHECK(drawn.code == 0);
  CHECK(contains(drawn.out, "two          100.0 %"));
  CHECK(contains(drawn.out, "✓ it is: two"));
  CHECK(contains(drawn.out, "✗ it is: three"));
  CHECK(contains(run("weft-run", {model, x, "--draw", "--color", "always"}).out, "▀"));
  save_npy(x, ones({2, 3, 2}));
  check_refused(run("weft-run", {model, x, "--draw"}), "weft-run");
}

TEST_CASE("weft-run says what is wrong with files") {
  const Folder folder;
  const std::string model = folder / "model.weft", x = folder / "x.npy", bad = folder / "bad.weft";
  save_model(model);
  save_npy(x, model_input);
  check_refused(run("weft-run", {folder / "nothing.weft"}), "weft-run", "nothing.weft");
  check_refused(run("weft-run", {folder / "model.onnx", x}), "weft-run", "model.onnx");
  check_refused(run("weft-run", {model}), "weft-run", "takes 1 inputs, and 0");
  check_refused(run("weft-run", {model, x, "--device", "cuda:0"}), "weft-run", "cuda:0");
  check_refused(run("weft-run", {model, x, "--save", "a.npy", "b.npy"}), "weft-run", "outputs");

  const std::string text = slurp(model);
  fs::copy(folder / "model.safetensors", folder / "bad.safetensors");
  for (std::size_t i = 1; i < 12; ++i) {  // cut off, at places all over the text
    CAPTURE(i);
    spew(bad, text.substr(0, text.size() * i / 12));
    check_refused(run("weft-run", {bad, x}), "weft-run", "bad.weft");
  }
  std::string garbled = text;
  garbled.replace(garbled.find("matmul"), 6, "mutmal");
  spew(bad, garbled);
  check_refused(run("weft-run", {bad, x}), "weft-run", "mutmal");

  spew(bad, text);
  const std::string values = slurp(folder / "model.safetensors");
  spew(folder / "model.safetensors", values.substr(0, values.size() / 2));
  check_refused(run("weft-run", {model, x}), "weft-run", "model.safetensors");
  fs::remove(folder / "model.safetensors");
  check_refused(run("weft-run", {model, x}), "weft-run", "model.safetensors");

  save_model(model);
  const std::string array = slurp(x);
  for (const std::size_t length :
       {std::size_t{0}, std::size_t{5}, std::size_t{40}, array.size() - 1}) {
    CAPTURE(length);
    spew(x, array.substr(0, length));
    check_refused(run("weft-run", {model, x}), "weft-run", "x.npy");
  }
  save_npy(x, ones({2, 4}));
  check_refused(run("weft-run", {model, x}), "weft-run", "float32(2, 4)");
  save_npy(x, ones({2, 3}, DType::complex64));
  check_refused(run("weft-run", {model, x}), "weft-run", "complex64");
}

TEST_CASE("weft-train trains on small data, and what it saves runs") {
  const Folder folder;
  save_images(folder.path(), "train", 640);
  save_images(folder.path(), "t10k", 50);
  const std::string model = folder / "model.weft", curve = folder / "curve.svg",
                    samples = folder / "samples";
  const std::vector<std::string> base{"fashion-mnist", "--data", folder.path(),
                                      "--batch-size",  "32",     "--epochs"};
  const auto with = [&](std::vector<std::string> more) {
    more.insert(more.begin(), base.begin(), base.end());
    return run("weft-train", more);
  };
  const Outcome trained = with({"2", "--save", model, "--curve", curve, "--graph",
                                folder / "step.weft", "--samples", samples});
  CAPTURE(trained.err);
  CHECK(trained.code == 0);
  CHECK(contains(trained.out, "epoch  2/2"));
  CHECK(contains(trained.out, "test accuracy"));
  CHECK(contains(slurp(curve), "<svg"));
  CHECK(contains(slurp(curve), "test accuracy"));
  const Outcome again = run("weft-run", {model, "--check", samples});
  CAPTURE(again.err);
  CHECK(again.code == 0);
  CHECK(run("graph-viz", {folder / "step.weft", "--stage", "kernels", "-o", folder / "step.dot"})
            .code == 0);

  const Outcome unreached = with({"1", "--require", "1.01", "--quiet"});
  CHECK(unreached.code == 1);
  CHECK(contains(unreached.err, "below"));

  const std::string images = folder / "train-images-idx3-ubyte", bytes = slurp(images);
  for (const std::size_t length :
       {std::size_t{0}, std::size_t{3}, std::size_t{9}, bytes.size() - 1}) {
    CAPTURE(length);
    spew(images, bytes.substr(0, length));
    check_refused(with({"1"}), "weft-train",
                  "train-images-idx3-ubyte: byte " + std::to_string(length));
  }
  spew(images, "PNG" + bytes);
  check_refused(with({"1"}), "weft-train", "not an IDX file");
  fs::remove(images);
  check_refused(with({"1"}), "weft-train", "cannot open");
}

TEST_CASE("weft-train learns the digits") {
  const char* home = std::getenv("HOME");
  const char* data = std::getenv("WEFT_DATA_DIR");
  const char* cache = std::getenv("XDG_CACHE_HOME");
  const std::string folder = data    ? data
                             : cache ? std::string(cache) + "/weft/data"
                                     : std::string(home ? home : ".") + "/.cache/weft/data";
  if (!fs::exists(folder + "/digits.csv.gz")) {
    MESSAGE("digits.csv.gz is not here (tools/setup fetches it)");
    return;
  }
  const Outcome trained = run("weft-train", {"digits", "--epochs", "6", "--require", "0.85"});
  CAPTURE(trained.out);
  CHECK(trained.code == 0);
}

TEST_CASE("weft-run and weft-train on a device") {
  const StandIn device;
  if (!device) {
    MESSAGE("skipped: there is no stand-in for a device, or no compiler `g++`");
    return;
  }
  const Folder folder;
  const std::string model = folder / "model.weft", x = folder / "input_0.npy",
                    y = folder / "output_0.npy", trace = folder / "trace.json";
  save_model(model);
  save_npy(x, model_input);
  save_npy(y, model_output);
  const Outcome same = run("weft-run", {model, "--check", folder.path(), "--device",
                                        "cuda:1", "--stats", "--repeat", "2", "--profile", trace});
  CAPTURE(same.err);
  CHECK(same.code == 0);
  CHECK(contains(same.out, "as expected"));
  CHECK(contains(slurp(trace), "\"traceEvents\""));
  check_refused(run("weft-run", {model, x, "--device", "cuda:2"}), "weft-run",
                "device cuda:2 is not available: the driver has 2 device(s)");
  check_refused(run("weft-run", {model, x, "--device", "gpu"}), "weft-run", "no device 'gpu'");

  save_images(folder.path(), "train", 64);
  save_images(folder.path(), "t10k", 20);
  const std::string samples = folder / "samples", saved = folder / "trained.weft";
  const auto train = [&](const char* where) {
    return run("weft-train",
               {"fashion-mnist", "--data", folder.path(), "--batch-size", "32", "--epochs",
                "1", "--device", where, "--save", saved, "--samples", samples});
  };
  const Outcome there = train("cuda");
  CAPTURE(there.out);
  CAPTURE(there.err);
  CHECK(there.code == 0);
  CHECK(contains(there.out, "test accuracy"));
  CHECK(run("weft-run", {saved, "--check", samples}).code == 0);  // here, what was trained there
  CHECK(run("weft-run", {saved, "--check", samples, "--device", "cuda:0"}).code == 0);
}

TEST_CASE("graph-viz draws every stage") {
  const Folder folder;
  const std::string step = folder / "step.weft";
  save_step(step);
  const Outcome graph = run("graph-viz", {step});
  CHECK(graph.code == 0);
  CHECK(graph.out.rfind("digraph", 0) == 0);
  CHECK(contains(graph.out, "w &lt;&amp;&quot;\\&gt; weights"));
  CHECK(contains(graph.out, "f32 N×3"));
  CHECK(contains(graph.out, "0.1"));
  CHECK(graph.out == run("graph-viz", {step}).out);

  for (const std::string stage :
       {"specialize", "simplify", "stabilise", "expand", "fold", "simplify-again", "plan"}) {
    CAPTURE(stage);
    const Outcome drawn = run("graph-viz", {step, "--stage", stage});
    CHECK(drawn.code == 0);
    CHECK(contains(drawn.out, " -> "));
  }
  const Outcome kernels = run("graph-viz", {step, "--stage", "kernels", "--input", "float32(64, 3)",
                                            "--input", "float32(64,)"});
  CHECK(kernels.code == 0);
  CHECK(count(kernels.out, "subgraph cluster_") >= 1);
  CHECK(contains(kernels.out, "f32 64×3"));
  CHECK(run("graph-viz", {step, "--stage", "no-such-stage"}).code == 2);
}

TEST_CASE("graph-viz says where a value moves to") {
  const Folder folder;
  const std::string file = folder / "moved.weft";
  spew(file,
       "weft 1\ngraph \"g\" (%x) {\n  %x = input : float32(4,)\n"
       "  %1 = to_device(%x) {number = 1}\n  %2 = exp(%1)\n  %3 = to_device(%2) {number = -1}\n"
       "  return %3\n}\n");
  const Outcome drawn = run("graph-viz", {file});  // no driver is looked for
  CAPTURE(drawn.err);
  CHECK(drawn.code == 0);
  CHECK(contains(drawn.out, "<b>to_device cuda:1</b>"));
  CHECK(contains(drawn.out, "<b>to_device cpu</b>"));
}

TEST_CASE("graph-viz colours changes and times") {
  const Folder folder;
  const std::string one = folder / "one.weft", two = folder / "two.weft";
  spew(one,
       "weft 1\ngraph \"g\" (%x) {\n  %x = input : float32(4,)\n  %1 = exp(%x)\n  %2 = neg(%1)\n  "
       "return %2\n}\n");
  spew(two,
       "weft 1\ngraph \"g\" (%x) {\n  %x = input : float32(4,)\n  %1 = log(%x)\n  %2 = neg(%1)\n  "
       "return %2\n}\n");
  const Outcome diff = run("graph-viz", {"--diff", one, two});
  CAPTURE(diff.out);
  CHECK(diff.code == 0);
  CHECK(count(diff.out, "fillcolor=\"#d5f5dd\"") == 1);  // log
  CHECK(count(diff.out, "fillcolor=\"#fbdcdf\"") == 1);  // exp
  CHECK(count(run("graph-viz", {"--diff", one, one}).out, "#d5f5dd") == 0);
  check_refused(run("graph-viz", {"--diff", one}), "graph-viz", "two files");
  CHECK(run("graph-viz", {one, "--stage", "kernels", "--since", "graph"}).code == 0);

  const std::string step = folder / "step.weft", x = folder / "x.npy", t = folder / "t.npy",
                    trace = folder / "trace.json";
  save_step(step);
  save_npy(x, ones({8, 3}));
  save_npy(t, ones({8}));
  REQUIRE(run("weft-run", {step, x, t, "--profile", trace}).code == 0);
  const Outcome timed = run("graph-viz", {step, "--times", trace});
  CHECK(timed.code == 0);
  CHECK(contains(timed.out, "µs, "));
  CHECK(contains(run("graph-viz", {step, "--times", trace, "--stage", "plan"}).out, "µs, "));
  spew(trace, "{\"traceEvents\": [{\"args\": {}}]}");
  check_refused(run("graph-viz", {step, "--times", trace}), "graph-viz", "not a trace");
}

TEST_CASE("graph-viz says what is wrong") {
  const Folder folder;
  const std::string bad = folder / "bad.weft";
  spew(bad, "weft 1\ngraph \"g\" (%x) {\n  %x = input : float32(4,)\n  return %y\n}\n");
  check_refused(run("graph-viz", {bad}), "graph-viz", "line 4, column 10");
  check_refused(run("graph-viz", {folder / "none.weft"}), "graph-viz", "none.weft");
  const std::string open = folder / "open.weft";
  const Tensor a("a"), b("b");
  Function({a, b}, a + b).save(open);
  CHECK(run("graph-viz", {open}).code == 0);
  check_refused(run("graph-viz", {open, "--stage", "kernels"}), "graph-viz", "--input");
  CHECK(
      run("graph-viz", {open, "--stage", "kernels", "--input", "float32(3,)", "--input", "int64()"})
          .code == 0);
  check_refused(run("graph-viz", {open, "--input", "float33(3,)"}), "graph-viz");
  check_refused(run("graph-viz", {open, "-o", folder / "picture.jpeg"}), "graph-viz", ".svg");
  check_refused(run("graph-viz", {open, "-o", folder / "picture.svg"}, "/nonexistent"), "graph-viz",
                "'dot'");
}

TEST_CASE("graph-viz writes pictures and pages") {
  if (!have_graphviz()) {
    MESSAGE("the program 'dot' is not here");
    return;
  }
  const Folder folder;
  const std::string step = folder / "step.weft";
  save_step(step);
  for (const std::string format : {"svg", "png", "html"}) {
    const std::string picture = folder / ("picture." + format).c_str();
    const Outcome drawn = run("graph-viz", {step, "--stage", "kernels", "-o", picture});
    CAPTURE(drawn.err);
    CHECK(drawn.code == 0);
    CHECK(fs::file_size(picture) > 1000);
  }
  CHECK(slurp(folder / "picture.png").substr(1, 3) == "PNG");
  const std::string page = slurp(folder / "picture.html");
  CHECK(contains(page, "<svg"));
  CHECK(contains(page, "id=\"n0\""));
  CHECK(!contains(page, "src="));  // nothing is fetched
  CHECK(!contains(page, "<link"));
  CHECK(count(page, "</script>") == 1);
}

TEST_CASE("graph-viz draws five hundred nodes") {
  const Folder folder;
  std::vector<Tensor> leaves;
  Tensor sum = Tensor({8}, DType::float32, "x");
  const Tensor x = sum, shared({8}, DType::float32, "shared");
  for (int i = 0; i < 250; ++i) sum = tanh(sum * shared);
  Function({x, shared}, sum).save(folder / "deep.weft");
  const Outcome drawn = run("graph-viz", {folder / "deep.weft"});
  CHECK(drawn.code == 0);
  CHECK(count(drawn.out, "◂ shared<") == 250);  // in each reader, not across the page
  CHECK(count(drawn.out, "<b>tanh</b>") == 250);
}
