// What users may rely on of the public interface as a whole: calls as they are written, the lines
// of errors, names that are kept, sizes that are refused.
#include <doctest/doctest.h>

#include <chrono>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <string>

#include "thrown.h"
#include "weft/onnx.h"
#include "weft/weft.h"

using namespace weft;

namespace {

std::string here(int line) { return " (contract_test.cpp:" + std::to_string(line) + ")"; }

constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max();

std::string scratch(const std::string& name) {
  const std::filesystem::path folder = std::filesystem::temp_directory_path() / "weft_contract";
  std::filesystem::create_directories(folder);
  return (folder / name).string();
}

}  // namespace

TEST_CASE("Contract: functions reduce along the lists that methods take") {
  const Tensor x(arange(6.f).reshape({2, 3}));
  CHECK(array_equal(sum(x, {0}).value(), x.sum({0}).value()));
  CHECK(array_equal(sum(x, 0).value(), x.sum(0).value()));
  CHECK(array_equal(sum(x, {{0}}).value(), Array{3.f, 5.f, 7.f}));
  CHECK(sum(x, {0, 1}).value().item<float>() == 15);
  CHECK(sum(x, {{0, 1}}).value().item<float>() == 15);
  CHECK(sum(x, std::optional(Axes{0, 1})).value().item<float>() == 15);
  CHECK(sum(x, {}).value().item<float>() == 15);
  CHECK(sum(x, std::nullopt).value().item<float>() == 15);
  CHECK(sum(x, Axes{}).value().shape() == Shape{2, 3});
  CHECK(mean(x, {-1}, true).value().shape() == Shape{2, 1});
  CHECK(array_equal(max(x, {0}).value(), Array{3.f, 4.f, 5.f}));
  CHECK(array_equal(x.max({0, 1}, true).value(), Array{{5.f}}));
  CHECK(array_equal(min(x, 1).value(), x.min(1).value()));
  CHECK(prod(x, {-2}).value().shape() == Shape{3});
  CHECK(any(x > 4, {1}).value().shape() == Shape{2});
  CHECK(var(x, {0}, 0).value().shape() == Shape{3});
  CHECK(weft::std(x, {0, 1}).value().shape().empty());
  CHECK(logsumexp(x, {1}, true).value().shape() == Shape{2, 1});
  CHECK(nansum(x, {0}).value().shape() == Shape{3});
  CHECK(norm(x, 2, {0}).value().shape() == Shape{3});
  CHECK(count_nonzero(x, {0}).value().shape() == Shape{3});
  CHECK(var_mean(x, {0}).mean.value().shape() == Shape{3});
  CHECK(fftshift(x, {0}).value().shape() == Shape{2, 3});
}

TEST_CASE("Contract: einsum of a list of one, two or three") {
  const Tensor a(eye(2)), b(ones({2, 2}));
  CHECK(array_equal(einsum("ii->i", {a}).value(), ones({2})));
  CHECK(array_equal(einsum("ii->i", a).value(), ones({2})));
  CHECK(array_equal(einsum("ij,jk->ik", {a, b}).value(), ones({2, 2})));
  CHECK(array_equal(einsum("ij,jk,kl", {a, a, b}).value(), ones({2, 2})));
  CHECK(array_equal(einsum("ij,jk->ik", a, b).value(), ones({2, 2})));
  const std::vector<Tensor> both{a, b};
  CHECK(array_equal(einsum("ij,jk->ik", both).value(), ones({2, 2})));
  CHECK(contains(message<ShapeError>([&] { (void)einsum("iij", {a}); }), here(__LINE__)));
}
