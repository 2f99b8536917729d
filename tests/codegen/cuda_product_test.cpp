// Products on CUDA devices: their text compiles for every architecture we promise, and on the host
// it gives what plain loops give: the same bits where the order of sums is the processor's, within
// rounding where tensor cores have their own.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <random>

#include "codegen/cuda/cuda_text.h"
#include "codegen/cuda/nvrtc.h"
#include "codegen/cuda/product_text.h"
#include "codegen/cuda/scalar_text.h"
#include "cuda_host_library.h"
#include "cuda_product_kernels.h"

using namespace weft;
using namespace weft::test;
using codegen::CudaProduct, codegen::ProductText;

namespace {

/// All the ways that text is written.
std::vector<std::pair<ir::Kernel, int>> samples() {
  std::vector<std::pair<ir::Kernel, int>> all;
  const auto add = [&](const ir::Kernel& k, int arch = 90) { all.emplace_back(k, arch); };
  const DType f32 = DType::float32;
  for (const DType t : {DType::boolean, DType::int64, f32, DType::complex128})
    add(product(t, t, 3, 65, 40, 33, 0));
  add(product(DType::bfloat16, f32, 1, 65, 40, 33, 0));
  add(product(f32, f32, symbol("s0"), symbol("s1"), symbol("s2"), symbol("s3"), 4));
  add(product(DType::float64, DType::float64, 1, symbol("s0"), 40, symbol("s1"), 2));
  add(windows(f32, f32));
  add(with_end(product(f32, f32, 1, 2048, 2048, 1024, 0)));  // large tiles
  add(with_end(product(f32, f32, 1, 2048, 2048, 1024, 0)), 75);
  add(product(DType::float64, DType::float64, 1, 2048, 2048, 1024, 0));
  add(with_end(product(f32, f32, 1, 4, 40, 4000, 0)));  // sums in parts
  return all;
}
std::vector<ir::Kernel> tensor_samples() {
  std::vector<ir::Kernel> all;
  for (const DType t : {DType::float16, DType::bfloat16, DType::float32}) {
    all.push_back(fast(with_end(product(t, DType::float32, 1, 2048, 2048, 1024, 0))));
    all.push_back(fast(with_end(product(t, DType::float32, 1, 3, 136, 1000, 0))));  // in parts
  }
  for (const DType t : {DType::float16, DType::float32}) {
    all.push_back(fast(convolution(t, 32, 64, 58, 128, 1, false)));  // the largest tiles
    all.push_back(fast(convolution(t, 32, 64, 58, 64, 1, false)));   // low ones
    all.push_back(fast(products_with_places(t)));
  }
  const ir::Kernel squares = product(DType::float32, DType::float32, 1, 1536, 1536, 1024, 0);
  all.push_back(fast(turned(squares, true, true)));
  all.push_back(fast(product(DType::bfloat16, DType::float32, symbol("s0"), symbol("s1"),
                             symbol("s2"), symbol("s3"), 4)));
  return all;
}

}  // namespace

TEST_CASE("CUDA: products compile with NVRTC") {
  std::string why;
  const codegen::Nvrtc* nvrtc = codegen::Nvrtc::find(&why);
  if (nvrtc == nullptr) {
    MESSAGE("skipped: " << why);
    return;
  }
  const std::string before =
      std::string(codegen::cuda_prelude()) + std::string(codegen::product_prelude()) +
      std::string(codegen::product_tensor_prelude());
  std::string text = before, few, tensor[2];
  int number = 0;
  const auto one = [&](const ir::Kernel& k, int arch, bool warpgroups = false) {
    const CudaProduct how = codegen::choose_product(k, arch, {.warpgroups = warpgroups});
    return codegen::product_text(k, how, "k" + std::to_string(number++)).text;
  };
  for (const auto& [kernel, arch] : samples()) text += one(kernel, arch);
  for (const ir::Kernel& kernel : tensor_samples()) tensor[number % 2] += one(kernel, 90);
  std::string by_groups = before + std::string(codegen::group_prelude()) +
                          std::string(codegen::product_group_prelude());
  for (const ir::Kernel& kernel : tensor_samples()) by_groups += one(kernel, 90, true);
  const ir::Kernel end =
      with_end(product(DType::float32, DType::float32, symbol("s0"), 65, symbol("s1"), 33, 2));
  few = before + one(end, 75);
  for (const char* arch : {"sm_75", "sm_80", "sm_90", "sm_100"}) {
    if (!nvrtc->supports(arch)) continue;
    // All of it for one architecture; it takes seconds.
    const std::string_view name(arch);
    const std::string some = name == "sm_90"   ? text + tensor[0] + tensor[1]
                             : name == "sm_75" ? few
                                               : few + tensor[name == "sm_80"];
    std::size_t size = 0;
    CHECK_NOTHROW(size = nvrtc->compile_to_cubin(some, arch).size());
    CHECK(size > 0);
  }
  if (!nvrtc->has_warpgroups("sm_90")) return;
  std::string remarks;
  CHECK_NOTHROW((void)nvrtc->compile_to_cubin(by_groups, "sm_90", &remarks));
  // ptxas waits for each product where it does not see how they overlap.
  CHECK_MESSAGE(remarks.find("serialized") == std::string::npos, remarks);
}

TEST_CASE("CUDA: how products run") {
  const auto how = [](DType t, const Dim& m, const Dim& n, const Dim& k, bool exact = true) {
    const DType sum = compute_dtype(t);
    const ir::Kernel kernel = product(t, sum, 1, m, n, k, 1);
    return codegen::choose_product(exact ? kernel : fast(kernel), 90);
  };
  const DType f32 = DType::float32, bf16 = DType::bfloat16;
  CHECK(how(f32, 64, 64, 64).tile_m() == 16);
  CHECK(how(f32, 8192, 8192, 8192).tile_m() == 128);
  CHECK(how(f32, symbol("s0"), 64, 64).tile_m() == 64);
  CHECK(how(f32, 1, 4096, 4096).parts == 12);
  CHECK(!how(bf16, 8192, 8192, 8192).tensor);
  CHECK(!how(f32, 8192, 8192, 8192).tensor);
  CHECK(how(f32, 8192, 8192, 8192, false).tensor);
  CHECK(how(f32, 64, 8192, 512, false).tile_m() == 64);
  ir::Kernel image = convolution(f32, 32, 64, 16, 256, 1, false);
  CHECK(!codegen::choose_product(image, 90).tensor);
  CHECK(codegen::choose_product(image, 90).images);
  image.contraction->precision = MatmulPrecision::highest;
  CHECK(!codegen::choose_product(image, 90).tensor);
  for (const MatmulPrecision precision : {MatmulPrecision::high, MatmulPrecision::medium}) {
    image.contraction->precision = precision;
    CHECK(codegen::choose_product(image, 90).tensor);
    CHECK(codegen::choose_product(image, 90).images);
    CHECK(!codegen::choose_product(image, 75).tensor);
  }
  // Few rows have low tiles, of threads that have much each where there is enough to do.
  const auto few = [&](std::int64_t filters) {
    return codegen::choose_product(convolution(f32, 64, 32, 26, filters, 1, false), 90);
  };
  for (const std::int64_t filters : {32, 64, 128}) {
    CHECK(few(filters).tile_m() <= filters);
    CHECK(few(filters).rows == 8);
  }
  CHECK(how(bf16, 8192, 8192, 8192, false).tensor);
  for (const DType t : {bf16, DType::float16, f32})
    for (const bool exact : {false, true})
      for (const bool warpgroups : {false, true})
        for (const std::int64_t n : {33, 8192}) {
          const ir::Kernel kernel = product(t, f32, 1, n, n, n, 1);
          const CudaProduct p = codegen::choose_product(exact ? kernel : fast(kernel), 90,
                                                        {.warpgroups = warpgroups});
          CHECK(p.groups == (warpgroups && !exact && t != f32));
          for (const ir::DeviceLaunch& launch : codegen::product_text(kernel, p, "k").launches)
            CHECK(launch.shared <= codegen::DeviceLimits{}.shared);
        }
  CHECK(how(bf16, 8192, 8192, 8192, false).tile_n() == 256);
  CHECK(how(bf16, 1536, 1536, 8192, false).tile_n() == 128);
  CHECK(how(bf16, 1, 4096, 4096, false).parts > 1);
  // Nothing but the sums' own blocks and pieces is ever cut.
  const CudaProduct long_sum = how(f32, 3, 5, 20000);
  CHECK(long_sum.part * long_sum.parts >= 20000);
}

// ---- numerics -----------------------------------------------------------------------------------

namespace {

/// A product as plain loops see it.
struct Case {
  ir::Kernel kernel;
  std::int64_t batches, m, n, k;
  std::int64_t block = 1 << 30, piece = 1 << 30;  // as the runtime is to say
  std::vector<std::int64_t> symbols;
  int arch = 90;
  bool poisoned = false;  // by what is not finite
};

float rounded(DType t, float x) {
  if (t == DType::bfloat16) {
    std::uint32_t bits;
    std::memcpy(&bits, &x, sizeof bits);
    bits = (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000u;
    std::memcpy(&x, &bits, sizeof x);
  }
  return t == DType::float16 ? static_cast<float>(static_cast<_Float16>(x)) : x;
}

std::vector<char> as_stored(DType t, const std::vector<double>& values) {
  std::vector<char> bytes(values.size() * size_of(t) + 32);
  for (std::size_t i = 0; i < values.size(); ++i) {
    const auto put = [&](auto x) { std::memcpy(bytes.data() + i * sizeof x, &x, sizeof x); };
    const auto narrow = static_cast<float>(values[i]);
    if (t == DType::float64) put(values[i]);
    else if (t == DType::float32) put(narrow);
    else if (t == DType::float16) put(static_cast<_Float16>(narrow));
    else if (t == DType::bfloat16) {
      std::uint32_t bits;
      std::memcpy(&bits, &narrow, sizeof bits);
      put(static_cast<std::uint16_t>(bits >> 16));
    } else if (t == DType::int32) put(static_cast<std::int32_t>(values[i]));
    else FAIL("no such dtype here");
  }
  return bytes;
}

double loaded(DType t, const std::vector<char>& bytes, std::size_t i) {
  const auto get = [&](auto x) {
    std::memcpy(&x, bytes.data() + i * sizeof x, sizeof x);
    return static_cast<double>(x);
  };
  if (t == DType::float64) return get(double{});
  if (t == DType::float32) return get(float{});
  if (t == DType::float16) return get(_Float16{});
  if (t == DType::int32) return get(std::int32_t{});
  std::uint16_t half;
  std::memcpy(&half, bytes.data() + i * 2, 2);
  const std::uint32_t bits = std::uint32_t{half} << 16;
  float x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}

/// Walks axes as one, row-major.
std::int64_t walked(std::int64_t i, const Dims& extents, const Dims& strides) {
  std::int64_t at = 0;
  for (std::size_t axis = extents.size(); axis-- > 0;) {
    at += i % extents[axis].value() * strides[axis].value();
    i /= extents[axis].value();
  }
  return at;
}

/// To nearest with 10 bits after the point, ties away from zero.
double as_tf32(double x) {
  int exponent = 0;
  const double fraction = std::frexp(x, &exponent);  // of 0.1…, so 11 bits
  return std::ldexp(std::round(fraction * 2048) / 2048, exponent);
}

class Reference {
 public:
  Reference(const Case& c, const std::vector<char>& a, const std::vector<char>& b, bool tf32)
      : c_(c), t_(c.kernel.buffers[0].dtype), tf32_(tf32), a_(a), b_(b) {}

  double a(std::int64_t batch, std::int64_t i, std::int64_t p) const {
    const ir::Contraction& x = *c_.kernel.contraction;
    if (c_.symbols.size() == 4) return factor(a_, (batch * c_.m + i) * c_.k + p);
    const std::int64_t deep = x.gather ? walked(p, x.gather->k, x.gather->a_k) : p * x.a_k.value();
    return factor(a_, batch * x.a_batch[0].value() + i * x.a_m.value() + deep);
  }
  double b(std::int64_t batch, std::int64_t p, std::int64_t j) const {
    const ir::Contraction& x = *c_.kernel.contraction;
    if (c_.symbols.size() == 4) return factor(b_, p * c_.n + j);
    const std::int64_t deep = x.gather ? walked(p, x.gather->k, x.gather->b_k) : p * x.b_k.value();
    const std::int64_t own = x.gather ? walked(j, x.gather->n, x.gather->b_n) : j * x.b_n.value();
    return factor(b_, batch * x.b_batch[0].value() + deep + own);
  }
  /// In blocks and pieces.
  template <class T> double in_order(std::int64_t batch, std::int64_t i, std::int64_t j) const {
    T all = 0, piece = 0;
    for (std::int64_t begin = 0; begin < c_.k; begin += c_.block) {
      T chain = 0;
      const std::int64_t end = std::min(begin + c_.block, c_.k);
      for (std::int64_t p = begin; p < end; ++p)
        chain = std::fma(static_cast<T>(a(batch, i, p)), static_cast<T>(b(batch, p, j)), chain);
      piece = begin % c_.piece == 0 ? chain : piece + chain;
      if (end == c_.k || end % c_.piece == 0) all = begin < c_.piece ? piece : all + piece;
    }
    return all;
  }
  double exact(std::int64_t batch, std::int64_t i, std::int64_t j, double& terms) const {
    double sum = 0;
    terms = 0;
    for (std::int64_t p = 0; p < c_.k; ++p) {
      const double term = a(batch, i, p) * b(batch, p, j);
      sum += term, terms += std::abs(term);
    }
    return sum;
  }

 private:
  double factor(const std::vector<char>& of, std::int64_t at) const {
    const double x = loaded(t_, of, static_cast<std::size_t>(at));
    return tf32_ && std::isfinite(x) ? as_tf32(x) : x;
  }

  const Case& c_;
  const DType t_;
  const bool tf32_;
  const std::vector<char>&a_, &b_;
};

std::string launcher(const Case& c, const ProductText& text, std::size_t number) {
  std::string code = "extern \"C\" const char* run" + std::to_string(number) +
                     "(void* const* b, const long long* s, void* workspace) {\n";
  for (const ir::DeviceLaunch& launch : text.launches) {
    std::string arguments;
    for (std::size_t i = 0; i < c.kernel.buffers.size(); ++i)
      arguments += (i ? ", (" : "(") + std::string(codegen::cuda_type(c.kernel.buffers[i].dtype)) +
                   "*)b[" + std::to_string(i) + "]";
    for (std::size_t i = 0; i < c.symbols.size(); ++i) arguments += ", s[" + std::to_string(i) + "]";
    if (launch.product)
      arguments += ", " + std::to_string(c.block) + "LL, " + std::to_string(c.piece) + "LL";
    if (launch.workspace) arguments += ", (char*)workspace";
    code += "  if (const char* e = cuda_host::launch(\"" + launch.entry + "\", 3, " +
            std::to_string(launch.threads) + ", [=] { " + launch.entry + "(" + arguments + "); }, " +
            std::to_string(launch.shared) + ")) return e;\n";
  }
  return code + "  return nullptr;\n}\n";
}

}  // namespace

TEST_CASE("CUDA: products on the host have the processor's bits, or are near") {
  const DType f32 = DType::float32, f64 = DType::float64, bf16 = DType::bfloat16,
              f16 = DType::float16;
  std::vector<Case> cases;
  const auto dense = [&](DType t, std::int64_t batches, std::int64_t m, std::int64_t n,
                         std::int64_t k) -> Case& {
    Case& c = cases.emplace_back();
    c.batches = batches, c.m = m, c.n = n, c.k = k;
    c.kernel = product(t, compute_dtype(t), batches, m, n, k, 0);
    return c;
  };
  dense(f32, 2, 33, 37, 21);
  dense(f32, 1, 64, 64, 64);
  dense(DType::int32, 2, 9, 11, 30);
  dense(bf16, 1, 40, 33, 70);
  dense(f64, 1, 7, 70, 300).block = 152;
  cases.back().piece = 304;
  dense(f32, 1, 3, 36, 900).block = 304;  // in parts, a block each
  cases.back().piece = 912;
  cases.back().kernel = with_end(cases.back().kernel);
  {
    Case& c = dense(f32, 2, 19, 70, 50);
    c.kernel = product(f32, f32, symbol("s0"), symbol("s1"), symbol("s2"), symbol("s3"), 4);
    c.symbols = {2, 19, 70, 50};
    c.block = 16, c.piece = 32;  // whatever the runtime says
  }
  const std::size_t by_windows = cases.size();
  {
    Case& c = dense(f32, 2, 4, 36, 9);
    c.kernel = with_end(windows(f32, f32));
  }
  // As the gradient of a convolution's weights: the sum runs along places.
  dense(f32, 1, 4, 9, 2 * 36).kernel = products_with_places(f32);
  const std::size_t exact = cases.size();
  dense(bf16, 2, 70, 72, 80);
  dense(f16, 1, 33, 41, 70);  // lines that cannot move at once
  for (const DType t : {bf16, f16}) {
    Case& c = dense(t, 2, 4, 36, 9);
    c.kernel = windows(t, f32);
  }
  dense(bf16, 1, 4, 9, 2 * 36).kernel = products_with_places(bf16);
  dense(bf16, 1, 3, 136, 1000);
  cases.back().kernel = with_end(cases.back().kernel);
  const std::size_t long_sums = cases.size();
  dense(bf16, 1, 72, 136, 330);
  dense(f16, 1, 72, 136, 330);
  cases.back().kernel = turned(cases.back().kernel, true, true);
  dense(f32, 2, 70, 72, 80);
  dense(f32, 1, 33, 41, 70).poisoned = true;
  cases.back().kernel = turned(cases.back().kernel, true, true);
  for (const DType t : {f32, bf16})
    for (const bool last : {false, true}) {
      Case& c = dense(t, 3, 20, last ? 9 : 16, 8 * 9);
      c.kernel = with_end(convolution(t, 3, 8, last ? 5 : 9, 20, last ? 1 : 2, last));
    }
  {
    Case& c = dense(f32, 3, 20, 16, 8 * 9);
    c.kernel = convolution(f32, 3, 8, 9, 20, 2, false);
    c.kernel.axes[0] = symbol("s0"), c.kernel.symbols = 1;
    c.symbols = {3};
  }
  dense(f32, 3, 20, 25, 64 * 9).kernel =  // in parts, of all images
      with_end(convolution(f32, 3, 64, 7, 20, 1, false));
  dense(f32, 1, 4, 9, 2 * 36).kernel = products_with_places(f32);
  dense(f32, 1, 3, 136, 1000);
  cases.back().kernel = with_end(cases.back().kernel);
  {
    Case& c = dense(f32, 2, 19, 70, 50);
    c.kernel = product(f32, f32, symbol("s0"), symbol("s1"), symbol("s2"), symbol("s3"), 4);
    c.symbols = {2, 19, 70, 50};
  }
  for (std::size_t i = exact; i < cases.size(); ++i) cases[i].kernel = fast(cases[i].kernel);
  // The shapes that only large products have, at small extents.
  std::vector<CudaProduct> how;
  for (const Case& c : cases) how.push_back(codegen::choose_product(c.kernel, c.arch));
  const auto again = [&](std::size_t of, const CudaProduct& p) {
    cases.push_back(cases[of]);
    how.push_back(p);
  };
  for (const auto& [down, across] : {std::pair{16, 16}, {8, 16}, {16, 8}, {8, 8}, {4, 16}}) {
    again(0, {false, down, across, 8, 8});
    again(by_windows, {false, down, across, 8, 8});
  }
  for (const std::size_t of : {std::size_t{0}, by_windows}) again(of, {false, 4, 16, 4, 2});
  again(4, {false, 16, 16, 8, 4});
  how.back().parts = 1;
  again(exact, {true, 2, 4, 64, 32});
  again(exact, {true, 2, 4, 64, 64});
  const std::size_t by_tf32 = long_sums + 2;
  CHECK(std::ranges::any_of(how, [](const CudaProduct& p) { return p.images && p.parts > 1; }));
  again(by_tf32, {true, 2, 2, 64, 64});
  again(by_tf32, {true, 2, 4, 64, 64});
  again(by_tf32 + 1, {true, 1, 4, 64, 64});
  again(by_tf32 + 2, {true, 4, 1, 64, 64});
  again(by_tf32 + 4, {true, 1, 8, 64, 32});
  again(by_tf32 + 5, {true, 8, 1, 32, 64});
  const auto narrow = [](const Case& c) {
    return c.kernel.contraction->precision != MatmulPrecision::exact &&
           size_of(c.kernel.buffers[0].dtype) == 2;
  };
  for (std::size_t i = exact, count = cases.size(); i < count; ++i) {
    if (!narrow(cases[i])) continue;
    again(i, how[i]);
    how.back().groups = true;
  }
  for (const std::size_t i : {exact, exact + 1, exact + 2, long_sums, long_sums + 1})
    for (const CudaProduct& p : {CudaProduct{true, 2, 4, 64, 32}, {true, 2, 4, 64, 64},
                                 {true, 1, 8, 64, 32}, {true, 8, 1, 32, 64}}) {
      again(i, p);
      how.back().groups = true;
    }

  std::string code;
  code.append(codegen::cuda_prelude()).append(codegen::product_prelude());
  code.append(codegen::product_tensor_prelude()).append(codegen::group_prelude());
  code.append(codegen::product_group_prelude());
  std::vector<ProductText> texts;
  for (std::size_t i = 0; i < cases.size(); ++i) {
    texts.push_back(codegen::product_text(cases[i].kernel, how[i], "k" + std::to_string(i)));
    code += texts.back().text + launcher(cases[i], texts.back(), i);
  }
  const HostLibrary library(code);
  if (!library.there()) return;

  std::mt19937 random(7);
  std::uniform_real_distribution<double> uniform(-1, 1);
  for (std::size_t number = 0; number < cases.size(); ++number) {
    const Case& c = cases[number];
    CAPTURE(number);
    CAPTURE(texts[number].schedule);
    const DType t = c.kernel.buffers[0].dtype, sum = c.kernel.buffers[2].dtype;
    const auto noise = [&](std::int64_t count) {
      std::vector<double> values(static_cast<std::size_t>(count));
      for (double& x : values)
        x = t == DType::int32 ? std::floor(uniform(random) * 1e5)
                              : rounded(t, static_cast<float>(uniform(random)));
      return as_stored(t, values);
    };
    std::vector<char> a = noise(c.batches * c.m * c.k), b = noise(c.batches * c.k * c.n);
    if (c.poisoned) {
      const float nan = std::numeric_limits<float>::quiet_NaN(), all = INFINITY;
      std::memcpy(a.data() + 4 * 5, &nan, 4);
      std::memcpy(a.data() + 4 * 9, &all, 4);
      std::memcpy(b.data() + 4 * 100, &all, 4);
    }
    const auto items = static_cast<std::size_t>(c.batches * c.m * c.n);
    std::vector<char> out(items * size_of(sum), 1), end(items * 8, 1);
    std::vector<double> vector(static_cast<std::size_t>(c.n));
    for (double& x : vector) x = static_cast<float>(uniform(random));
    std::vector<char> bias = as_stored(f32, vector);
    void* const buffers[] = {a.data(), b.data(), out.data(), bias.data(), end.data()};
    std::vector<char> workspace(
        static_cast<std::size_t>(texts[number].workspace.constant().value_or(0)) + 1);
    const auto run = library.get<const char* (*)(void* const*, const std::int64_t*, void*)>(
        "run" + std::to_string(number));
    const char* const trouble = run(buffers, c.symbols.data(), workspace.data());
    CHECK_MESSAGE(!trouble, trouble);

    const Reference reference(c, a, b, how[number].tensor && t == f32);
    const bool ends = !c.kernel.stages.empty();
    std::size_t wrong = 0;
    for (std::size_t e = 0; e < items; ++e) {
      const auto flat = static_cast<std::int64_t>(e);
      const std::int64_t j = flat % c.n, i = flat / c.n % c.m, batch = flat / c.n / c.m;
      const double got = ends ? loaded(t, end, e) : loaded(sum, out, e);
      double terms = 0;
      const double near = reference.exact(batch, i, j, terms);
      const auto finished = [&](double x) -> double {
        if (!ends) return x;
        const float v = static_cast<float>(x) + static_cast<float>(vector[static_cast<std::size_t>(j)]);
        return rounded(t, v > 0 ? v : 0);
      };
      if (t == DType::int32) {
        wrong += static_cast<std::uint32_t>(static_cast<std::int64_t>(near)) !=
                 static_cast<std::uint32_t>(static_cast<std::int32_t>(got));
      } else if (!std::isfinite(near)) {
        wrong += !(std::isnan(near) ? std::isnan(got) : got == near);
      } else if (how[number].tensor) {
        // Sums of products in float32: one rounding a step of the sum at most, and the end's own.
        const double eps = 0x1p-23 * static_cast<double>(c.k);
        const double end_eps = !ends ? 0 : t == bf16 ? 0x1p-8 : t == f16 ? 0x1p-11 : 0x1p-23;
        wrong += !(std::abs(got - finished(near)) <=
                   terms * eps + (std::abs(finished(near)) + terms * eps) * end_eps);
      } else {
        const double expected = sum == f64 ? reference.in_order<double>(batch, i, j)
                                           : reference.in_order<float>(batch, i, j);
        wrong += got != finished(expected);
      }
    }
    CHECK(wrong == 0);
  }
}
