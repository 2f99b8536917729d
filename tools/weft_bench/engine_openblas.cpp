// OpenBLAS called directly, with its own threads: products alone, and M2's bias and relu after its product.
#include <dlfcn.h>

#include "engines.h"

namespace weft::bench {

namespace {

using Gemm = void (*)(int order, int trans_a, int trans_b, int m, int n, int k, float alpha, const float* a,
                      int lda, const float* b, int ldb, float beta, float* c, int ldc);
constexpr int row_major = 101, no_trans = 111;

struct OpenBlas {
  Gemm gemm = nullptr;
  OpenBlas() {
    void* library = dlopen("libopenblas.so.0", RTLD_NOW);
    if (library != nullptr) gemm = reinterpret_cast<Gemm>(dlsym(library, "cblas_sgemm"));
  }
  void product(const float* a, const float* b, float* c, int m, int k, int n) const {
    gemm(row_major, no_trans, no_trans, m, n, k, 1, a, k, b, n, 0, c, n);
  }
};

}  // namespace

std::optional<Measured> measure_openblas(const Job& job) {
  const bool layer = job.row.starts_with("M2");
  const auto shape = layer ? ProductShape{1, 64, 784, 512} : product_shape(job.row);
  if (!shape) return {};
  const OpenBlas blas;
  if (blas.gemm == nullptr) return {};
  std::vector<Input> sets[input_sets];
  for (std::uint32_t set = 0; set < input_sets; ++set) sets[set] = inputs_of(job.row, set);
  std::vector<float> c(static_cast<std::size_t>(shape->batch * shape->m * shape->n));

  const auto call = [&](std::uint32_t set) {
    const float* a = sets[set][0].values.data();
    const float* b = sets[set][1].values.data();
    const std::int64_t m = shape->m, k = shape->k, n = shape->n;
    for (std::int64_t i = 0; i < shape->batch; ++i)
      blas.product(a + i * m * k, b + i * k * n, c.data() + i * m * n, static_cast<int>(m), static_cast<int>(k),
                   static_cast<int>(n));
    if (!layer) return;
    const float* bias = sets[set][2].values.data();
    for (int i = 0; i < 64; ++i)
      for (int j = 0; j < 512; ++j) c[i * 512 + j] = std::max(0.0f, c[i * 512 + j] + bias[j]);
  };
  call(0);
  Measured found;
  found.checks.add(c.data(), c.size());
  found.timing = time_calls(call, job.budget_ms);
  return found;
}

std::optional<Measured> measure_reference(const Job& job) {
  if (find_row(job.row) == nullptr) return {};
  Measured m;
  m.checks = reference(job.row);
  return m;
}

}  // namespace weft::bench
