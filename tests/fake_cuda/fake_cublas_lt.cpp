// A stand-in for cuBLASLt over the stand-in for the driver: products in double, one after another.
// It is strict: every description, layout and address has to be what the library's documentation
// asks for, down to alignments that were promised when the algorithm was chosen. What is wrong is
// said on the error stream and is an error.
#include <dlfcn.h>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "control.h"

namespace {

using Status = int;
using Pointer = unsigned long long;
constexpr Status success = 0, invalid_value = 7, not_supported = 15;
enum Data { f32 = 0, f64 = 1, f16 = 2, bf16 = 14 };
/// Bits of an epilogue.
enum End : std::uint32_t {
  plain = 1,
  end_relu = 2,
  end_bias = 4,
  end_gelu = 32,
  end_gelu_grad = 64,
  end_aux = 128,
  sums_of_a = 256,
  sums_of_b = 512
};

struct Description {
  int compute, scale;
  std::int32_t transpose_a = 0, transpose_b = 0;
  std::uint32_t epilogue = plain;
  Pointer bias = 0, aux = 0;
  std::int64_t aux_leading = 0, aux_stride = 0;

  [[nodiscard]] bool ends(std::uint32_t bits) const { return (epilogue & bits) != 0; }
  /// A vector that it reads or writes.
  [[nodiscard]] bool has_vector() const { return ends(end_bias | sums_of_a | sums_of_b); }
};
struct Layout {
  int type;
  std::uint64_t rows, columns;
  std::int64_t leading, stride = 0;
  std::int32_t batches = 1;
};
struct Preference {
  std::uint64_t workspace = 0;
  std::uint32_t reduction = 7, alignment[4] = {256, 256, 256, 256};
};
struct Algorithm {  // 64 bytes
  std::uint64_t magic, problem, workspace;
  std::uint32_t alignment[4];
  Pointer bias, aux;  // as they were when it was chosen: aligned as the real ones will be
  std::uint64_t unused[1];
};
static_assert(sizeof(Algorithm) == 64);
struct Heuristic {
  Algorithm algorithm;
  std::size_t workspace;
  Status state;
  float waves;
  int reserved[4];
};
constexpr std::uint64_t magic = 0x77656674;
constexpr std::size_t working = 4096;  // bytes that its products say they need

FakeCublasCounts counts{};
std::map<std::string, std::pair<int, Status>> failures;

/// What was asked to go wrong.
Status failure(const char* function) {
  const auto it = failures.find(function);
  return it == failures.end() || it->second.first-- <= 0 ? success : it->second.second;
}

Status wrong(const char* what) {
  std::fprintf(stderr, "fake cuBLASLt: %s\n", what);
  return invalid_value;
}

std::size_t size_of(int type) {
  switch (type) {
    case f16:
    case bf16: return 2;
    case f32: return 4;
    case f64: return 8;
    default: return 0;
  }
}

struct Driver {
  decltype(&fake_cuda_place) place;
  decltype(&fake_cuda_enqueue) enqueue;
};
const Driver& driver() {
  static const Driver found = [] {
    void* const library = dlopen(std::getenv("WEFT_CUDA_DRIVER"), RTLD_NOW | RTLD_NOLOAD);
    return Driver{reinterpret_cast<decltype(&fake_cuda_place)>(dlsym(library, "fake_cuda_place")),
                  reinterpret_cast<decltype(&fake_cuda_enqueue)>(
                      dlsym(library, "fake_cuda_enqueue"))};
  }();
  return found;
}

double load(const char* at, int type) {
  switch (type) {
    case f32: {
      float x;
      std::memcpy(&x, at, sizeof x);
      return x;
    }
    case f16: {
      _Float16 x;
      std::memcpy(&x, at, sizeof x);
      return static_cast<double>(x);
    }
    case bf16: {
      std::uint32_t bits = 0;
      std::memcpy(reinterpret_cast<char*>(&bits) + 2, at, 2);
      float x;
      std::memcpy(&x, &bits, sizeof x);
      return x;
    }
    default: {
      double x;
      std::memcpy(&x, at, sizeof x);
      return x;
    }
  }
}

void store(char* at, int type, double value) {
  const auto put = [&](auto x) { std::memcpy(at, &x, sizeof x); };
  switch (type) {
    case f32: return put(static_cast<float>(value));
    case f16: return put(static_cast<_Float16>(value));
    case bf16: {
      const auto x = static_cast<float>(value);
      std::uint32_t bits;
      std::memcpy(&bits, &x, sizeof bits);
      bits = x != x ? bits | 0x400000 : bits + 0x7fff + (bits >> 16 & 1);
      return put(static_cast<std::uint16_t>(bits >> 16));
    }
    default: return put(value);
  }
}

bool shapes_fit(const Description& d, const Layout& a, const Layout& b, const Layout& out) {
  const auto m = d.transpose_a ? a.columns : a.rows, k = d.transpose_a ? a.rows : a.columns;
  const auto n = d.transpose_b ? b.rows : b.columns, depth = d.transpose_b ? b.columns : b.rows;
  const auto fits = [](const Layout& x) {
    return x.leading >= static_cast<std::int64_t>(x.rows) && x.rows > 0 && x.columns > 0;
  };
  return m == out.rows && n == out.columns && k == depth && fits(a) && fits(b) && fits(out) &&
         a.batches == out.batches && b.batches == out.batches;
}

bool types_fit(const Description& d, const Layout& a, const Layout& b, const Layout& out) {
  if (a.type != b.type) return false;
  const bool plain_end = d.epilogue == plain;
  switch (a.type) {
    case f16:
    case bf16: return d.compute == 68 && d.scale == f32 && (out.type == a.type || out.type == f32);
    case f32:
      return (d.compute == 68 || d.compute == 75 || d.compute == 77) && d.scale == f32 &&
             out.type == f32;
    case f64: return d.compute == 70 && d.scale == f64 && out.type == f64 && plain_end;
    default: return false;
  }
}

/// What follows the product, as far as the documentation says what may; what it does not describe
/// is an error here.
Status ends_fit(const Description& d, const Layout& out) {
  switch (d.epilogue) {
    case plain:
    case end_relu:
    case end_bias:
    case end_relu | end_bias:
    case end_gelu:
    case end_gelu | end_bias: return success;
    case end_gelu | end_aux:
    case end_gelu | end_aux | end_bias:
    case end_gelu_grad | end_aux: break;
    // Sums over the inner axis, which lies outside in memory.
    case sums_of_a: return d.transpose_a || out.batches > 1 ? not_supported : success;
    case sums_of_b: return !d.transpose_b || out.batches > 1 ? not_supported : success;
    default: return wrong("an unknown epilogue");
  }
  const auto rows = static_cast<std::int64_t>(out.rows);
  if (d.aux_leading % 8 != 0 || d.aux_leading < rows)
    return wrong("a bad leading dimension of the auxiliary matrix");
  const std::int64_t matrix = d.aux_leading * static_cast<std::int64_t>(out.columns);
  if (out.batches > 1 && (d.aux_stride % 8 != 0 || d.aux_stride < matrix))
    return wrong("a bad stride of the auxiliary matrix");
  return success;
}

/// Of what an algorithm was chosen for.
std::uint64_t problem(const Description& d, const Layout& a, const Layout& b, const Layout& out) {
  std::uint64_t hash = 14695981039346656037u;
  const auto add = [&](std::uint64_t x) { hash = (hash ^ x) * 1099511628211u; };
  for (const std::uint64_t x : {static_cast<std::uint64_t>(d.compute),
                                static_cast<std::uint64_t>(d.transpose_a * 2 + d.transpose_b),
                                static_cast<std::uint64_t>(d.epilogue),
                                static_cast<std::uint64_t>(d.aux_leading),
                                static_cast<std::uint64_t>(d.aux_stride)})
    add(x);
  for (const Layout* l : {&a, &b, &out}) {
    add(l->rows), add(l->columns), add(static_cast<std::uint64_t>(l->leading));
    add(static_cast<std::uint64_t>(l->stride)), add(static_cast<std::uint64_t>(l->batches));
  }
  return hash;
}

std::size_t extent_bytes(const Layout& x) {
  const std::int64_t last = static_cast<std::int64_t>(x.columns - 1) * x.leading +
                            static_cast<std::int64_t>(x.rows) + (x.batches - 1) * x.stride;
  return static_cast<std::size_t>(last) * size_of(x.type);
}

struct Product {
  Description d;
  Layout a, b, c, out, aux;
  const char *at_a, *at_b, *at_c;
  char *at_out, *at_vector, *at_aux;
  double alpha, beta;

  static std::int64_t place(const Layout& x, std::int64_t batch, std::uint64_t row,
                            std::uint64_t column) {
    const std::int64_t i = batch * x.stride + static_cast<std::int64_t>(column) * x.leading +
                           static_cast<std::int64_t>(row);
    return i * static_cast<std::int64_t>(size_of(x.type));
  }
  static double at(const Layout& x, const char* from, std::int64_t batch, std::uint64_t row,
                   std::uint64_t column) {
    return load(from + place(x, batch, row, column), x.type);
  }
  [[nodiscard]] std::uint64_t depth() const { return d.transpose_a ? a.rows : a.columns; }
  [[nodiscard]] double of_a(std::int64_t batch, std::uint64_t i, std::uint64_t p) const {
    return at(a, at_a, batch, d.transpose_a ? p : i, d.transpose_a ? i : p);
  }
  [[nodiscard]] double of_b(std::int64_t batch, std::uint64_t p, std::uint64_t j) const {
    return at(b, at_b, batch, d.transpose_b ? j : p, d.transpose_b ? p : j);
  }

  static double gelu(double x) {
    return 0.5 * x * (1 + std::tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)));
  }
  static double gelu_slope(double x) {
    const double t = std::tanh(0.7978845608028654 * (x + 0.044715 * x * x * x));
    return 0.5 * (1 + t) +
           0.5 * x * (1 - t * t) * 0.7978845608028654 * (1 + 3 * 0.044715 * x * x);
  }
  [[nodiscard]] double finished(double value, std::int64_t batch, std::uint64_t i,
                                std::uint64_t j) const {
    if (d.ends(end_bias)) value += load(at_vector + i * size_of(out.type), out.type);
    if (d.ends(end_relu)) return value > 0 ? value : 0;
    if (d.ends(end_gelu_grad)) return value * gelu_slope(at(aux, at_aux, batch, i, j));
    if (!d.ends(end_gelu)) return value;
    if (d.ends(end_aux)) store(at_aux + place(aux, batch, i, j), aux.type, value);
    return gelu(value);
  }

  void sum_operand() const {
    const std::uint64_t n = d.ends(sums_of_a) ? out.rows : out.columns;
    for (std::uint64_t i = 0; i < n; ++i) {
      double sum = 0;
      for (std::uint64_t p = 0; p < depth(); ++p)
        sum += d.ends(sums_of_a) ? of_a(0, i, p) : of_b(0, p, i);
      store(at_vector + i * size_of(out.type), out.type, sum);
    }
  }

  void run() const {
    for (std::int64_t batch = 0; batch < out.batches; ++batch)
      for (std::uint64_t j = 0; j < out.columns; ++j)
        for (std::uint64_t i = 0; i < out.rows; ++i) {
          double sum = 0;
          for (std::uint64_t p = 0; p < depth(); ++p) sum += of_a(batch, i, p) * of_b(batch, p, j);
          sum *= alpha;
          if (beta != 0.0) sum += beta * at(c, at_c, batch, i, j);
          store(at_out + place(out, batch, i, j), out.type, finished(sum, batch, i, j));
        }
    if (d.ends(sums_of_a | sums_of_b)) sum_operand();
  }
};

/// What the end reads and writes beside the matrices.
Status find_ends(Product& p, const Algorithm& algorithm) {
  const Description& d = p.d;
  const auto aligned_as = [](Pointer at, Pointer asked) {
    return asked != 0 && at % (asked & -asked) == 0;
  };
  if (d.has_vector()) {
    const std::size_t size = size_of(p.out.type);
    const std::uint64_t n = d.ends(sums_of_b) ? p.out.columns : p.out.rows;
    p.at_vector = static_cast<char*>(driver().place(d.bias, n * size));
    if (!p.at_vector) return wrong("a vector that is not the device's");
    if (d.bias % size != 0 || !aligned_as(d.bias, algorithm.bias))
      return wrong("a vector that is not aligned as said");
  }
  if (!d.ends(end_aux)) return success;
  p.aux.leading = d.aux_leading, p.aux.stride = d.aux_stride;
  const std::size_t bytes = extent_bytes(p.aux);
  p.at_aux = static_cast<char*>(driver().place(d.aux, bytes));
  if (!p.at_aux) return wrong("an auxiliary matrix that is not the device's");
  if (!aligned_as(d.aux, algorithm.aux)) return wrong("an auxiliary matrix not aligned as said");
  for (const auto& [at, size] : {std::pair<const char*, std::size_t>{p.at_a, extent_bytes(p.a)},
                                 {p.at_b, extent_bytes(p.b)},
                                 {p.at_c, extent_bytes(p.c)},
                                 {p.at_out, extent_bytes(p.out)}}) {
    const bool written = d.ends(end_gelu) || at == p.at_out;
    if (written && at < p.at_aux + bytes && p.at_aux < at + size)
      return wrong("an auxiliary matrix that lies over another one");
  }
  return success;
}

template <class T, class... Parts> Status make(T** made, Parts... parts) {
  *made = new T{parts...};
  ++counts.alive;
  return success;
}
template <class T> Status drop(T* object) {
  delete object;
  --counts.alive;
  return success;
}

template <class T> Status set(T& to, const void* from, std::size_t bytes) {
  if (!from || bytes != sizeof to) return wrong("an attribute of the wrong size");
  std::memcpy(&to, from, sizeof to);
  return success;
}

}  // namespace

extern "C" {

FakeCublasCounts fake_cublas_counts() { return counts; }

const char* cublasLtGetStatusString(Status e) {
  return e == invalid_value ? "CUBLAS_STATUS_INVALID_VALUE" : "CUBLAS_STATUS_NOT_SUPPORTED";
}
void fake_cublas_fail(const char* function, int times, int status) {
  failures[function] = {times, status};
}
Status cublasLtCreate(void** handle) {
  if (const Status e = failure("cublasLtCreate")) return e;
  ++counts.handles;
  *handle = new int(42);
  return success;
}
Status cublasLtDestroy(void* handle) {
  delete static_cast<int*>(handle);
  --counts.handles;
  return success;
}
Status cublasLtMatmulDescCreate(Description** made, int compute, int scale) {
  const Status e = failure("cublasLtMatmulDescCreate");
  return e ? e : make(made, compute, scale);
}
Status cublasLtMatmulDescDestroy(Description* d) { return drop(d); }
Status cublasLtMatmulDescSetAttribute(Description* d, int what, const void* from,
                                      std::size_t bytes) {
  switch (what) {
    case 3: return set(d->transpose_a, from, bytes);
    case 4: return set(d->transpose_b, from, bytes);
    case 7: return set(d->epilogue, from, bytes);
    case 8: return set(d->bias, from, bytes);
    case 11: return set(d->aux, from, bytes);
    case 12: return set(d->aux_leading, from, bytes);
    case 13: return set(d->aux_stride, from, bytes);
    default: return wrong("an unknown attribute of a description");
  }
}
Status cublasLtMatrixLayoutCreate(Layout** made, int type, std::uint64_t rows,
                                  std::uint64_t columns, std::int64_t leading) {
  if (size_of(type) == 0) return wrong("a layout of an unknown type");
  return make(made, type, rows, columns, leading);
}
Status cublasLtMatrixLayoutDestroy(Layout* layout) { return drop(layout); }
Status cublasLtMatrixLayoutSetAttribute(Layout* layout, int what, const void* from,
                                        std::size_t bytes) {
  switch (what) {
    case 5: return set(layout->batches, from, bytes);
    case 6: return set(layout->stride, from, bytes);
    default: return wrong("an unknown attribute of a layout");
  }
}
Status cublasLtMatmulPreferenceCreate(Preference** made) { return make(made); }
Status cublasLtMatmulPreferenceDestroy(Preference* preference) { return drop(preference); }
Status cublasLtMatmulPreferenceSetAttribute(Preference* p, int what, const void* from,
                                            std::size_t bytes) {
  if (what == 1) return set(p->workspace, from, bytes);
  if (what == 3) return set(p->reduction, from, bytes);
  if (what >= 5 && what <= 8) {
    std::uint32_t& to = p->alignment[what - 5];
    if (const Status e = set(to, from, bytes)) return e;
    return to != 0 && (to & (to - 1)) == 0 && to <= 256 ? success : wrong("a bad alignment");
  }
  return wrong("an unknown preference");
}
Status cublasLtMatmulAlgoGetHeuristic(void* handle, Description* d, Layout* a, Layout* b, Layout* c,
                                      Layout* out, Preference* p, int wanted, Heuristic* found,
                                      int* count) {
  if (!handle || *static_cast<int*>(handle) != 42) return wrong("no handle");
  if (!shapes_fit(*d, *a, *b, *out)) return wrong("shapes that do not fit");
  if (wanted < 1 || c->type != out->type) return wrong("a bad question");
  *count = 0;
  if (!types_fit(*d, *a, *b, *out) || p->workspace < working) return not_supported;
  if (const Status e = ends_fit(*d, *out)) return e;
  Algorithm algorithm{magic, problem(*d, *a, *b, *out), working, {}, d->bias, d->aux, {}};
  std::memcpy(algorithm.alignment, p->alignment, sizeof p->alignment);
  *found = {algorithm, working, success, 1, {}};
  *count = 1;
  return success;
}
Status cublasLtMatmul(void* handle, Description* d, const void* alpha, Pointer a, Layout* of_a,
                      Pointer b, Layout* of_b, const void* beta, Pointer c, Layout* of_c,
                      Pointer out, Layout* of_out, const Algorithm* algorithm, Pointer workspace,
                      std::size_t workspace_bytes, void* stream) {
  if (!handle || *static_cast<int*>(handle) != 42) return wrong("no handle");
  if (!shapes_fit(*d, *of_a, *of_b, *of_out) || !types_fit(*d, *of_a, *of_b, *of_out))
    return wrong("shapes or types that do not fit");
  if (algorithm->magic != magic || algorithm->problem != problem(*d, *of_a, *of_b, *of_out))
    return wrong("an algorithm for another product");
  if (workspace_bytes < algorithm->workspace || workspace % 256 != 0 ||
      !driver().place(workspace, workspace_bytes))
    return wrong("no workspace");
  const Pointer places[] = {a, b, c, out};
  for (int i = 0; i < 4; ++i)
    if (places[i] % algorithm->alignment[i] != 0) return wrong("an address less aligned than said");
  Product p{*d, *of_a, *of_b, *of_c, *of_out, *of_out, {}, {}, {}, {}, {}, {}, 0, 0};
  p.alpha = load(static_cast<const char*>(alpha), d->scale);
  p.beta = load(static_cast<const char*>(beta), d->scale);
  const auto find = [&](Pointer at, const Layout& x) {
    return static_cast<char*>(driver().place(at, extent_bytes(x)));
  };
  p.at_a = find(a, *of_a), p.at_b = find(b, *of_b);
  p.at_c = find(c, *of_c), p.at_out = find(out, *of_out);
  if (!p.at_a || !p.at_b || !p.at_c || !p.at_out)
    return wrong("an address that is not the device's");
  if (const Status e = find_ends(p, *algorithm)) return e;
  ++counts.products;
  if (d->epilogue != plain || p.beta != 0.0) ++counts.finished;
  counts.kept += d->ends(end_gelu) && d->ends(end_aux);
  counts.slopes += d->ends(end_gelu_grad);
  counts.sums += d->ends(sums_of_a | sums_of_b);
  counts.narrow += of_out->type == bf16 || of_out->type == f16;
  return driver().enqueue(stream, [p] { p.run(); });
}
}
