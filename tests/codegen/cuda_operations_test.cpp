// Extern steps as CUDA C: NVRTC compiles every kind for every architecture that we promise. What they
// do is told by tests/cuda/operations_test.cpp.
#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "codegen/cuda/attention_text.h"
#include "codegen/cuda/cuda_text.h"
#include "codegen/cuda/nvrtc.h"
#include "codegen/cuda/operation_text.h"
#include "codegen/cuda/product_text.h"
#include "ir/ops/advanced_indexing.h"
#include "ir/ops/attrs.h"
#include "ir/ops/distributions.h"
#include "ir/ops/fourier.h"
#include "ir/ops/linalg.h"
#include "ir/ops/ordering.h"
#include "ir/ops/spatial.h"

using namespace weft;
using ir::DeviceOperation;
using ir::ExternKind;

namespace {

using Operand = DeviceOperation::Operand;

Operand of(DType t, std::size_t rank) { return {t, rank, true}; }

DeviceOperation draws(ir::Distribution what, std::vector<Operand> in, Operand out) {
  ir::DistributionAttrs a;
  a.distribution = static_cast<std::int64_t>(what);
  a.dtype = out.dtype;
  return {ExternKind::random_distribution, a, std::move(in), {out}};
}

/// A few of each family: what NVRTC takes for one is half a second.
std::vector<DeviceOperation> samples() {
  const DType f = DType::float32, h = DType::float16, d = DType::float64, i = DType::int64,
              s = DType::int8;
  return {
      {ExternKind::random_normal, ir::RandomAttrs{.shape = {}, .a = -1, .b = 2}, {}, {of(h, 1)}},
      {ExternKind::random_uniform, ir::RandomAttrs{.shape = {}}, {}, {of(d, 1)}},
      {ExternKind::random_integer, ir::RandomAttrs{.shape = {}, .a = -5, .b = 5}, {}, {of(s, 2)}},
      {ExternKind::gather_rows, {}, {of(f, 2), of(i, 1)}, {of(f, 2)}},
      {ExternKind::gather, ir::GatherLastAttrs{1}, {of(d, 3), of(i, 3)}, {of(d, 3)}},
      {ExternKind::scatter, ir::ScatterAttrs{.axis = 1, .reduction = "max"},
       {of(s, 3), of(i, 3), of(s, 3)}, {of(s, 3)}},
      {ExternKind::scatter_rows, ir::ScatterNdAttrs{.batch = 0, .reduction = "add"},
       {of(h, 3), of(i, 2), of(h, 2)}, {of(h, 3)}},
      {ExternKind::topk, ir::TopkAttrs{}, {of(h, 2)}, {of(h, 2), of(i, 2)}},
      {ExternKind::topk, ir::PickAttrs<ir::Pick::mode>{}, {of(d, 2)}, {of(d, 1), of(i, 1)}},
      {ExternKind::sort, ir::RowOrderAttrs{}, {of(s, 2)}, {of(i, 1)}},
      {ExternKind::searchsorted, ir::SearchAttrs{}, {of(s, 1), of(f, 2)}, {of(i, 2)}},
      {ExternKind::cumulate, ir::ScanAttrs<ir::Scan::sum>{.axis = 1}, {of(f, 2)}, {of(f, 2)}},
      {ExternKind::cumulate, ir::ScanAttrs<ir::Scan::max>{.axis = 1, .reverse = true}, {of(h, 2)},
       {of(h, 2), of(i, 2)}},
      {ExternKind::cumulate, ir::ScanAttrs<ir::Scan::linear>{}, {of(h, 2), of(h, 2)}, {of(h, 2)}},
      {ExternKind::cumulate, ir::ScanAttrs<ir::Scan::logsumexp>{}, {of(h, 2)}, {of(h, 2)}},
      draws(ir::Distribution::poisson, {of(f, 1)}, of(s, 1)),
      draws(ir::Distribution::binomial, {of(d, 1), of(h, 1)}, of(f, 1)),
      draws(ir::Distribution::gamma, {of(f, 1)}, of(h, 1)),
      draws(ir::Distribution::multinomial, {of(f, 2)}, of(i, 2)),
      draws(ir::Distribution::permutation, {{i, 1, false}}, of(i, 1)),
      {ExternKind::cholesky, {}, {of(f, 3)}, {of(f, 3)}},
      {ExternKind::lu, ir::LuAttrs{}, {of(d, 2)}, {of(d, 2), of(DType::int32, 1)}},
      {ExternKind::qr, ir::QrAttrs{}, {of(f, 3)}, {of(f, 3), of(f, 3)}},
      {ExternKind::eigh, ir::EighAttrs{}, {of(f, 3)}, {of(f, 2), of(f, 3)}},
      {ExternKind::svd, ir::SvdAttrs{true}, {of(f, 2)}, {of(f, 2), of(f, 1), of(f, 2)}},
      {ExternKind::solve_triangular, ir::SolveAttrs{},
       {of(f, 2), of(DType::int32, 1), of(f, 3)}, {of(f, 3)}},
      {ExternKind::fft, ir::DftAttrs{}, {of(d, 3)}, {of(d, 3)}},
      {ExternKind::fft, ir::DftAttrs{.form = "real"}, {of(f, 2)}, {of(f, 3)}},
      {ExternKind::fft, ir::DftAttrs{.form = "hermitian"}, {of(f, 3), {f, 2, false}}, {of(f, 2)}},
      {ExternKind::count_bins, {}, {of(i, 1)}, {of(i, 1)}},
      {ExternKind::nonzero, {}, {of(h, 2)}, {of(i, 1)}},
      {ExternKind::fold,
       ir::WindowAttrs{.size = {2, 3}, .stride = {1, 2}, .dilation = {2, 1}},
       {of(f, 6)},
       {of(f, 4)}},
  };
}

}  // namespace

TEST_CASE("CUDA operations compile for every architecture") {
  std::string why;
  const codegen::Nvrtc* nvrtc = codegen::Nvrtc::find(&why);
  if (nvrtc == nullptr) {
    MESSAGE("skipped: " << why);
    return;
  }
  // All that may come before, in one program: no two define the same name.
  std::vector<std::string_view> written{codegen::product_prelude()};
  std::string text(codegen::cuda_prelude()), functions;
  text += written[0];
  text += codegen::product_tensor_prelude();
  std::string attention(codegen::attention_prelude());  // from sm_80 on
  attention.append(codegen::attention_tensor_prelude()).append(codegen::attention_plain_prelude());
  std::size_t number = 0;
  for (const DeviceOperation& operation : samples()) {
    const auto made = codegen::operation_text(operation, "o" + std::to_string(number++));
    CAPTURE(number);
    REQUIRE(made);
    REQUIRE_FALSE(made->code.launches.empty());
    for (const std::string_view prelude : made->preludes) {
      if (std::ranges::find(written, prelude) != written.end()) continue;
      written.push_back(prelude);
      text += prelude;
    }
    functions += made->text;
  }
  for (const char* arch : {"sm_75", "sm_80", "sm_90", "sm_100"}) {
    if (!nvrtc->supports(arch)) continue;
    CAPTURE(arch);
    std::size_t size = 0;
    const std::string before = std::string_view(arch) == "sm_75" ? text : text + attention;
    CHECK_NOTHROW(size = nvrtc->compile_to_cubin(before + functions, arch).size());
    CHECK(size > 0);
  }
}
