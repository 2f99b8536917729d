#include "runtime/cublas_lt.h"

#include <dlfcn.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <type_traits>

#include "runtime/cuda_device.h"

namespace weft::runtime {
namespace {

// The library's interface, as its documentation gives it.
using Status = int;  // 0: success
constexpr Status out_of_memory = 3;
enum class Data : int { f32 = 0, f64 = 1, f16 = 2, bf16 = 14 };
enum class Compute : int { f32 = 68, f64 = 70, f32_by_bf16 = 75, f32_by_tf32 = 77 };
enum class Operation : std::int32_t { none = 0, transpose = 1 };
enum class Describe : int {
  transpose_a = 3,
  transpose_b = 4,
  epilogue = 7,
  bias = 8,
  auxiliary = 11,  // what gelu is given
  auxiliary_leading = 12,
  auxiliary_stride = 13,
};
enum class Layout : int { batch_count = 5, batch_stride = 6 };
enum class Prefer : int { workspace = 1, reduction = 3, align_a = 5, align_b, align_c, align_d };
constexpr std::uint32_t end_default = 1, end_bias = 4, end_gelu = 32, end_gelu_grad = 64,
                        end_auxiliary = 128, end_sums_of_a = 256, end_sums_of_b = 512;
constexpr std::int64_t auxiliary_unit = 8;  // what its leading dimension and stride divide by
constexpr std::uint32_t reduce_in_type_of_sums = 2;

struct Heuristic {
  std::uint64_t algorithm[8];
  std::size_t workspace;
  Status state;
  float waves;
  int reserved[4];
};

struct Types {
  Data factors, result, scale;
  Compute compute;
};

std::optional<Types> types_of(const LibraryProduct& p) {
  const auto pick = [](DType t) -> std::optional<Data> {
    switch (t) {
      case DType::float32: return Data::f32;
      case DType::float64: return Data::f64;
      case DType::float16: return Data::f16;
      case DType::bfloat16: return Data::bf16;
      case DType::boolean:
      case DType::uint8:
      case DType::int8:
      case DType::uint16:
      case DType::int16:
      case DType::uint32:
      case DType::int32:
      case DType::uint64:
      case DType::int64:
      case DType::complex64:  // products of pairs of real ones (passes/complex.h)
      case DType::complex128: return std::nullopt;
    }
    __builtin_unreachable();
  };
  const auto factors = pick(p.factors), result = pick(p.result);
  if (!factors || !result) return std::nullopt;
  if (p.factors == DType::float64) return Types{*factors, *result, *factors, Compute::f64};
  const bool rounds = p.factors == DType::float32;
  const Compute compute = rounds && p.precision == MatmulPrecision::high     ? Compute::f32_by_tf32
                          : rounds && p.precision == MatmulPrecision::medium ? Compute::f32_by_bf16
                                                                             : Compute::f32;
  return Types{*factors, *result, Data::f32, compute};
}

/// Of these it has one: it is read, or written.
bool has_vector(const LibraryProduct& p) {
  return p.bias || p.sums != LibraryProduct::Sums::none;
}

std::uint32_t epilogue_of(const LibraryProduct& p) {
  std::uint32_t end = p.bias ? end_bias : 0;
  switch (p.end) {
    case ir::ProductEnd::Kind::none: break;
    case ir::ProductEnd::Kind::gelu: end |= end_gelu; break;
    case ir::ProductEnd::Kind::gelu_grad: end |= end_gelu_grad; break;
  }
  if (p.before) end |= end_auxiliary;
  switch (p.sums) {
    case LibraryProduct::Sums::none: break;
    case LibraryProduct::Sums::of_a: end |= end_sums_of_b; break;  // they change places
    case LibraryProduct::Sums::of_b: end |= end_sums_of_a; break;
  }
  return end ? end : end_default;
}

std::vector<std::string> candidates() {
  if (const char* named = std::getenv("WEFT_CUBLASLT"); named && *named) return {named};
  std::vector<std::string> files;
  const std::string name = "libcublasLt.so";
  for (const char* version : {".13", ".12", ".11", ""}) files.push_back(name + version);
  std::vector<std::string> toolkits;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator("/usr/local", ignored)) {
    if (entry.path().filename().string().starts_with("cuda")) toolkits.push_back(entry.path());
  }
  std::ranges::sort(toolkits);  // plain `cuda`, the chosen one, first
  if (const char* home = std::getenv("CUDA_HOME"); home && *home)
    toolkits.insert(toolkits.begin(), home);
  for (const std::string& toolkit : toolkits)
    for (const char* folder : {"/lib64/", "/lib/"})
      for (const char* version : {".13", ".12", ".11"})
        files.push_back(toolkit + folder + name + version);
  return files;
}

/// Powers of two up to what the library asks about.
std::uint32_t alignment(std::int64_t bytes) {
  return static_cast<std::uint32_t>(std::clamp<std::int64_t>(bytes & -bytes, 1, 256));
}

}  // namespace

struct CublasLt::Functions {
  Status (*create)(void**);
  Status (*drop)(void*);
  const char* (*status_text)(Status);
  Status (*make_description)(void**, Compute, Data);
  Status (*drop_description)(void*);
  Status (*describe)(void*, Describe, const void*, std::size_t);
  Status (*make_layout)(void**, Data, std::uint64_t, std::uint64_t, std::int64_t);
  Status (*drop_layout)(void*);
  Status (*lay_out)(void*, Layout, const void*, std::size_t);
  Status (*make_preference)(void**);
  Status (*drop_preference)(void*);
  Status (*prefer)(void*, Prefer, const void*, std::size_t);
  Status (*choose)(void*, void*, void*, void*, void*, void*, void*, int, Heuristic*, int*);
  Status (*multiply)(void*, void*, const void*, const void*, void*, const void*, void*, const void*,
                     const void*, void*, void*, void*, const void*, void*, std::size_t, CuStream);

  /// False when one is missing.
  bool resolve(void* library) {
    const auto get = [&](auto& function, const char* name) {
      function =
          reinterpret_cast<std::remove_reference_t<decltype(function)>>(dlsym(library, name));
      return function != nullptr;
    };
    return get(create, "cublasLtCreate") && get(drop, "cublasLtDestroy") &&
           get(status_text, "cublasLtGetStatusString") &&
           get(make_description, "cublasLtMatmulDescCreate") &&
           get(drop_description, "cublasLtMatmulDescDestroy") &&
           get(describe, "cublasLtMatmulDescSetAttribute") &&
           get(make_layout, "cublasLtMatrixLayoutCreate") &&
           get(drop_layout, "cublasLtMatrixLayoutDestroy") &&
           get(lay_out, "cublasLtMatrixLayoutSetAttribute") &&
           get(make_preference, "cublasLtMatmulPreferenceCreate") &&
           get(drop_preference, "cublasLtMatmulPreferenceDestroy") &&
           get(prefer, "cublasLtMatmulPreferenceSetAttribute") &&
           get(choose, "cublasLtMatmulAlgoGetHeuristic") && get(multiply, "cublasLtMatmul");
  }
  /// On the device whose context the thread is in: false where the library is too new for the
  /// driver, or does not know the device.
  [[nodiscard]] bool works() const {
    void* handle = nullptr;
    const Status e = create(&handle);
    if (e == 0) (void)drop(handle);
    return e == 0 || e == out_of_memory;
  }
};

CublasLt::CublasLt(std::unique_ptr<const Functions> functions) : functions_(std::move(functions)) {}
CublasLt::~CublasLt() = default;

const CublasLt* CublasLt::get() {
  // Never destroyed: functions of global variables, and their products, go after it.
  static const CublasLt* const found = []() -> const CublasLt* {
    for (const std::string& file : candidates()) {
      void* const library = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
      if (!library) continue;
      auto functions = std::make_unique<Functions>();
      if (functions->resolve(library) && functions->works())
        return new CublasLt(std::move(functions));
      dlclose(library);
    }
    return nullptr;
  }();
  return found;
}

void CublasLt::check(int status, const char* what) const {
  if (status == 0) return;
  const char* const text = functions_->status_text(status);
  throw DeviceError(std::string("cuBLASLt: ") + what + " failed: " + (text ? text : "?"));
}

void* CublasLt::handle(int device) const {
  const std::scoped_lock lock(mutex_);
  const auto index = static_cast<std::size_t>(device);
  if (handles_.size() <= index) handles_.resize(index + 1, nullptr);
  void*& handle = handles_[index];
  if (handle) return handle;
  Status e = functions_->create(&handle);
  if (e == out_of_memory) {
    CudaDevice::get(Device::cuda(device)).trim();
    e = functions_->create(&handle);
  }
  if (e != 0) handle = nullptr;
  check(e, "opening it on a device");
  return handle;
}

CublasLt::Planned::~Planned() {
  for (void* layout : {a_, b_, out_})
    if (layout) (void)library_.functions_->drop_layout(layout);
  if (description_) (void)library_.functions_->drop_description(description_);
}

/// The library's matrices go by columns: ours by rows are theirs transposed, so the product is
/// out^T = b^T a^T, and a bias along n one along their rows.
std::unique_ptr<const CublasLt::Planned> CublasLt::plan(const LibraryProduct& p,
                                                        int device) const try {
  const std::optional<Types> types = types_of(p);
  if (!types || (p.before && p.n % auxiliary_unit != 0)) return nullptr;
  const Functions& f = *functions_;
  std::unique_ptr<Planned> made(new Planned(*this));
  made->product_ = p;
  made->handle_ = handle(device);
  check(f.make_description(&made->description_, types->compute, types->scale), "a description");
  const auto describe = [&](Describe what, const auto& value) {
    check(f.describe(made->description_, what, &value, sizeof value), "a description");
  };
  describe(Describe::transpose_a, p.b.by_rows ? Operation::none : Operation::transpose);
  describe(Describe::transpose_b, p.a.by_rows ? Operation::none : Operation::transpose);
  describe(Describe::epilogue, epilogue_of(p));
  // Of these addresses it is asked now how they are aligned.
  if (has_vector(p)) describe(Describe::bias, CuPointer{alignment(p.bias_alignment)});
  if (p.before) {
    describe(Describe::auxiliary, CuPointer{alignment(p.before_alignment)});
    describe(Describe::auxiliary_leading, p.n);
    if (p.batches > 1) describe(Describe::auxiliary_stride, p.m * p.n);
  }
  const auto layout = [&](void** to, Data type, std::int64_t rows, std::int64_t columns,
                          std::int64_t leading, std::int64_t stride) {
    check(f.make_layout(to, type, static_cast<std::uint64_t>(rows),
                        static_cast<std::uint64_t>(columns), leading),
          "a layout");
    const auto count = static_cast<std::int32_t>(p.batches);
    if (count == 1) return;
    check(f.lay_out(*to, Layout::batch_count, &count, sizeof count), "a layout");
    check(f.lay_out(*to, Layout::batch_stride, &stride, sizeof stride), "a layout");
  };
  layout(&made->a_, types->factors, p.b.by_rows ? p.n : p.k, p.b.by_rows ? p.k : p.n, p.b.leading,
         p.b.batch);
  layout(&made->b_, types->factors, p.a.by_rows ? p.k : p.m, p.a.by_rows ? p.m : p.k, p.a.leading,
         p.a.batch);
  layout(&made->out_, types->result, p.n, p.m, p.n, p.m * p.n);

  void* preference = nullptr;
  check(f.make_preference(&preference), "a preference");
  struct Drop {
    const Functions& f;
    void* preference;
    ~Drop() { (void)f.drop_preference(preference); }
  } const drop{f, preference};
  const auto prefer = [&](Prefer what, const auto& value) {
    check(f.prefer(preference, what, &value, sizeof value), "a preference");
  };
  prefer(Prefer::workspace, std::uint64_t{most_workspace});
  prefer(Prefer::reduction, reduce_in_type_of_sums);
  prefer(Prefer::align_a, alignment(p.b.alignment));
  prefer(Prefer::align_b, alignment(p.a.alignment));
  prefer(Prefer::align_c, alignment(p.out_alignment));
  prefer(Prefer::align_d, alignment(p.out_alignment));
  Heuristic found{};
  int count = 0;
  // A status other than success says that nothing does it.
  if (f.choose(made->handle_, made->description_, made->a_, made->b_, made->out_, made->out_,
               preference, 1, &found, &count) != 0 ||
      count == 0 || found.state != 0)
    return nullptr;
  std::ranges::copy(found.algorithm, made->algorithm_);
  made->workspace_ = found.workspace;
  return made;
} catch (const DeviceError&) { return nullptr; }

void CublasLt::Planned::run(const Operands& given, CuPointer workspace, CuStream stream) const {
  const Functions& f = *library_.functions_;
  const bool wide = product_.factors == DType::float64;
  const float one = 1, added = product_.residual ? 1 : 0;
  const double wide_one = 1, wide_added = added;
  const auto* const alpha = wide ? static_cast<const void*>(&wide_one) : &one;
  const auto* const beta = wide ? static_cast<const void*>(&wide_added) : &added;
  const auto at = [](CuPointer p) { return reinterpret_cast<void*>(p); };
  const std::scoped_lock lock(mutex_);
  const auto describe = [&](Describe what, const CuPointer& place) {
    library_.check(f.describe(description_, what, &place, sizeof place), "a description");
  };
  if (has_vector(product_))
    describe(Describe::bias, product_.bias ? given.bias : given.sums);
  if (product_.before) describe(Describe::auxiliary, given.before);
  library_.check(f.multiply(handle_, description_, alpha, at(given.b), a_, at(given.a), b_, beta,
                            at(product_.residual ? given.residual : given.out), out_, at(given.out),
                            out_, algorithm_, at(workspace), workspace_, stream),
                 "a product");
}

}  // namespace weft::runtime
