// The text of products on CUDA devices compiles for every architecture we promise. (Their numerics:
// tests/cuda, which runs them on the host.)
#include <doctest/doctest.h>

#include "codegen/cuda/cuda_text.h"
#include "codegen/cuda/nvrtc.h"
#include "codegen/cuda/product_text.h"

using namespace weft;

namespace {

/// a (batch, m, k) times b (k, n), all dense; b shared by the batch.
ir::Kernel product(DType dtype, DType sum, const Dim& batch, const Dim& m, const Dim& n,
                   const Dim& k, int symbols) {
  ir::Kernel kernel;
  kernel.axes = {batch, m, n};
  kernel.buffers = {{dtype, false}, {dtype, false}, {sum, true}};
  kernel.symbols = symbols;
  ir::Contraction c;
  c.a = 0, c.b = 1, c.out = 2;
  c.a_offset = c.b_offset = c.out_offset = 0;
  c.a_batch = {m * k}, c.b_batch = {Dim(0)};
  c.a_m = k, c.a_k = 1, c.b_k = n, c.b_n = 1, c.k = k;
  kernel.contraction = c;
  return kernel;
}

/// 3x3 windows of an image of 8x8.
ir::Kernel windows() {
  ir::Kernel kernel = product(DType::float32, DType::float32, 2, 4, 36, 9, 0);
  ir::Contraction& c = *kernel.contraction;
  c.a_k = c.b_k = c.b_n = 0;
  c.gather = ir::Contraction::Gather{{Dim(3), Dim(3)}, {Dim(3), Dim(1)}, {Dim(8), Dim(1)},
                                     {Dim(6), Dim(6)}, {Dim(8), Dim(1)}};
  return kernel;
}

}  // namespace

TEST_CASE("CUDA: products compile with NVRTC") {
  std::string why;
  const codegen::Nvrtc* nvrtc = codegen::Nvrtc::find(&why);
  if (nvrtc == nullptr) {
    MESSAGE("skipped: " << why);
    return;
  }
  std::string text(codegen::cuda_prelude());
  int number = 0;
  const auto add = [&](const ir::Kernel& kernel) {
    text += codegen::product_text(kernel, codegen::choose_product(kernel),
                                  "product" + std::to_string(number++));
  };
  for (const DType t : {DType::boolean, DType::uint8, DType::int32, DType::int64, DType::float32,
                        DType::float64, DType::complex64, DType::complex128})
    add(product(t, t, 3, 65, 40, 33, 0));
  add(product(DType::float16, DType::float32, 1, 65, 40, 33, 0));
  add(product(DType::bfloat16, DType::float32, 1, 65, 40, 33, 0));
  const auto s = [](const char* name) { return Dim::symbol(name); };
  add(product(DType::float32, DType::float32, s("s0"), s("s1"), s("s2"), s("s3"), 4));
  add(windows());
  for (const char* arch : {"sm_75", "sm_80", "sm_90", "sm_100"}) {
    if (!nvrtc->supports(arch)) continue;
    std::size_t size = 0;
    CHECK_NOTHROW(size = nvrtc->compile_to_cubin(text, arch).size());
    CHECK(size > 0);
  }
}

TEST_CASE("CUDA: small products have small tiles") {
  const auto tile = [](const Dim& n) {
    return codegen::choose_product(product(DType::float32, DType::float32, 1, n, n, n, 1)).tile;
  };
  CHECK(tile(64) == 32);
  CHECK(tile(8192) == 64);
  CHECK(tile(Dim::symbol("s0")) == 64);
}
