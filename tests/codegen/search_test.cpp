// The measured choice among schedules: what it may choose from gives the same bits; what it chose
// is found again.
#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>

#include "codegen/compiler.h"
#include "codegen/search.h"
#include "kernel_samples.h"

using namespace weft;
using namespace weft::test;

namespace {

/// The n-th of the schedules to choose from, or the last.
template <std::size_t n> codegen::Schedule nth(const ir::Kernel& kernel, const codegen::Target& t) {
  const auto all = codegen::neighbours(codegen::choose_schedule(kernel, t));
  return all[std::min(n, all.size() - 1)];
}

void check(ir::KernelCompiler& compiler, const Sample& s) {
  const auto code = compiler.compile(std::vector<const ir::Kernel*>{&s.kernel})[0];
  Memory expected = s.memory, memory = s.memory;
  run_reference(s.kernel, expected, s.symbols);
  std::vector<void*> buffers;
  for (auto& buffer : memory) buffers.push_back(buffer.data());
  std::vector<std::byte> scratch(code->scratch_bytes(s.symbols.data()) + 64);
  auto* const aligned = reinterpret_cast<std::byte*>(
      (reinterpret_cast<std::uintptr_t>(scratch.data()) + 63) / 64 * 64);
  const ir::KernelArgs args{buffers.data(), s.symbols.data(), aligned};
  DimBindings bindings;
  for (std::size_t i = 0; i < s.symbols.size(); ++i)
    bindings.bind("s" + std::to_string(i), s.symbols[i]);
  std::int64_t items = 1;
  for (std::size_t axis = 0; axis < s.kernel.parallel_axes(); ++axis)
    items *= s.kernel.axes[axis].evaluate(bindings);
  code->function(code.get(), &args, 0, items);
  CHECK_MESSAGE(difference(s.kernel, expected, memory) == "", s.name);
}

/// An environment variable for one test.
struct Variable {
  Variable(const char* n, const char* value) : name(n) { setenv(n, value, 1); }
  ~Variable() { unsetenv(name); }
  const char* name;
};

}  // namespace

TEST_CASE("search: all schedules to choose from give the same bits") {
  std::mt19937_64 rng(11);
  std::vector<Sample> samples = layout_samples();
  for (Sample& s : row_samples()) samples.push_back(std::move(s));
  for (int i = 0; i < 40; ++i) samples.push_back(random_sample(rng));
  for (auto* choose : {nth<1>, nth<2>, nth<3>}) {
    const auto compiler = codegen::make_llvm_compiler(choose);
    REQUIRE(compiler);
    for (const Sample& s : samples) check(*compiler, s);
  }
}

TEST_CASE("search: memory as large as a kernel's accesses reach") {
  ir::ScalarBuilder b;
  const std::vector<ir::ScalarValue> outputs{b.input(0, DType::float32) * 2.0};
  ir::Kernel k = pointwise({Dim(30), Dim(7)}, {DType::float32}, b.finish(outputs));
  CHECK(codegen::buffer_bytes(k) == std::vector<std::size_t>{840, 840});
  k.accesses[0].offset = Dim(5);
  k.accesses[0].strides = {Dim(0), Dim(3)};
  CHECK(codegen::buffer_bytes(k) == std::vector<std::size_t>{(5 + 18 + 1) * 4, 840});
  k.accesses[0].strides = {Dim(0), Dim(-3)};  // before the beginning
  CHECK_FALSE(codegen::buffer_bytes(k));
  k.accesses[0].strides = {Dim(0), Dim::symbol("s0")};
  CHECK_FALSE(codegen::buffer_bytes(k));
}

TEST_CASE("search: the winner is written down and found again") {
  std::string folder = (std::filesystem::temp_directory_path() / "weft-search-XXXXXX").string();
  REQUIRE(mkdtemp(folder.data()) != nullptr);
  const Variable cache("WEFT_CACHE_DIR", folder.c_str()), search("WEFT_SEARCH", "1");
  ir::ScalarBuilder b;
  const auto x = b.input(0, DType::float32);
  const std::vector<ir::ScalarValue> outputs{x * x + 1.0};
  const ir::Kernel k = pointwise({Dim(4096)}, {DType::float32}, b.finish(outputs));
  const auto text = [&] {
    const auto code = codegen::make_llvm_compiler()->compile(std::vector<const ir::Kernel*>{&k})[0];
    const std::string all = code->native_text();
    return all.substr(0, all.find('\n'));
  };
  const std::string first = text();
  CHECK(first.find("; measured: ") != std::string::npos);
  CHECK(text() == first);  // the same figures: nothing was measured again
  unsetenv("WEFT_SEARCH");
  CHECK(text().find("measured") == std::string::npos);
  std::filesystem::remove_all(folder);
}
