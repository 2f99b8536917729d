#include "codegen/cuda/compiler.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <unordered_map>

#include "codegen/cuda/cuda_text.h"
#include "codegen/cuda/native_functions.h"
#include "codegen/cuda/nvrtc.h"
#include "codegen/cuda/operation_text.h"
#include "codegen/cuda/product_text.h"
#include "codegen/disk_cache.h"
#include "ir/error.h"

namespace weft::codegen {
namespace {

using ir::Executable, ir::Kernel;

class CudaExecutable final : public Executable {
 public:
  CudaExecutable(const Kernel& kernel, const std::string& name, int arch,
                 const DeviceLimits& limits) {
    if (!kernel.contraction) {
      pointwise_or_rows(kernel, name, limits, device_.launches);
      return;
    }
    const CudaProduct how = choose_product(kernel, arch, limits);
    ProductText product = product_text(kernel, how, name);
    device_.launches = std::move(product.launches);
    device_.workspace = std::move(product.workspace);
    text_ = std::move(product.text);
    schedule_ = std::move(product.schedule);
    preludes_ = {product_prelude()};
    if (how.tensor) preludes_.push_back(product_tensor_prelude());
    if (how.groups)
      preludes_.insert(preludes_.end(), {group_prelude(), product_group_prelude()});
    device_.library = ir::suits_library(kernel);
    if (!device_.library || kernel.stages.empty()) return;
    device_.end = ir::find_product_end(kernel);
    schedule_ += "; or a library, then ";
    pointwise_or_rows(kernel, name, limits, device_.after);
  }
  explicit CudaExecutable(OperationText operation)
      : device_(std::move(operation.code)),
        text_(std::move(operation.text)),
        schedule_(std::move(operation.schedule)),
        preludes_(std::move(operation.preludes)) {}

  [[nodiscard]] const ir::DeviceKernel* device_kernel() const override { return &device_; }
  [[nodiscard]] std::string schedule_text() const override { return schedule_; }
  [[nodiscard]] std::string native_text() const override {
    return "// " + schedule_ + "\n" + text_;
  }
  [[nodiscard]] std::span<const std::string_view> preludes() const { return preludes_; }
  void set_image(std::shared_ptr<const ir::DeviceImage> image) { device_.image = std::move(image); }

 private:
  void pointwise_or_rows(const Kernel& kernel, const std::string& name, const DeviceLimits& limits,
                         std::vector<ir::DeviceLaunch>& launches) {
    const CudaSchedule schedule = choose_schedule(kernel, limits);
    launches.push_back({.entry = name,
                        .threads = schedule.threads,
                        .blocks = grid_blocks(kernel, schedule),
                        .scratch = codegen::scratch_bytes(kernel, schedule, 1)});
    text_ += cuda_text(kernel, schedule, name);
    schedule_ += to_string(schedule);
  }

  ir::DeviceKernel device_;
  std::string text_, schedule_;
  std::vector<std::string_view> preludes_;
};

/// Equal operations have equal keys.
std::string key_of(const OperationText& operation) {
  std::string key = operation.text;
  const auto add = [&](const std::string& part) { key.append("\n").append(part); };
  for (const ir::DeviceLaunch& launch : operation.code.launches) {
    add(launch.entry + " " + std::to_string(launch.threads) + " " + std::to_string(launch.shared));
    add(launch.blocks.str());
    add(launch.scratch.str());
    for (const Dim& number : launch.numbers) add(number.str());
  }
  add(operation.code.workspace.str());
  add(operation.code.fault);
  return key;
}

class CudaCompiler final : public ir::DeviceCompiler {
 public:
  CudaCompiler(const Nvrtc& nvrtc, std::string arch, const DeviceLimits& limits)
      : nvrtc_(nvrtc), arch_(std::move(arch)), limits_(limits_of(limits, nvrtc, arch_)) {
    const char* log = std::getenv("WEFT_LOG");
    log_ = log && std::strstr(log, "compile");
  }

  /// From the first with asynchronous copies and bfloat16 on.
  [[nodiscard]] bool fuses() const override {
    constexpr int first = 80;
    return arch_number() >= first;
  }

  ir::DeviceCode compile(std::span<const Kernel* const> kernels,
                         std::span<const ir::DeviceOperation> operations) override {
    const std::scoped_lock lock(mutex_);
    Made made;
    std::vector<std::string> kernel_keys, operation_keys;
    for (const Kernel* kernel : kernels) {
      kernel_keys.push_back(ir::to_string(*kernel));
      if (is_known(kernel_keys.back(), made)) continue;
      made.add(kernel_keys.back(),
               std::make_shared<CudaExecutable>(*kernel, made.next_name(), arch_number(),
                                                limits_));
    }
    for (const ir::DeviceOperation& operation : operations) {
      // Its text, under a name that all have, tells whether it is known.
      const std::optional<OperationText> found = operation_text(operation, "o", limits_);
      operation_keys.push_back(found ? key_of(*found) : "");
      if (!found || is_known(operation_keys.back(), made)) continue;
      made.add(operation_keys.back(),
               std::make_shared<CudaExecutable>(
                   *operation_text(operation, made.next_name(), limits_)));
    }
    if (!made.order.empty()) give_code(made.order);
    known_.merge(made.by_key);
    ir::DeviceCode code;
    for (const std::string& key : kernel_keys) code.kernels.push_back(known_.at(key));
    for (const std::string& key : operation_keys)
      code.operations.push_back(key.empty() ? nullptr : known_.at(key));
    trim();  // only now: what was known before may be among the results
    return code;
  }

 private:
  using Known = std::unordered_map<std::string, std::shared_ptr<const Executable>>;
  /// What one call compiles.
  struct Made {
    std::vector<std::shared_ptr<CudaExecutable>> order;
    Known by_key;
    void add(const std::string& key, std::shared_ptr<CudaExecutable> code) {
      by_key.emplace(key, code);
      order.push_back(std::move(code));
    }
    [[nodiscard]] std::string next_name() const { return "k" + std::to_string(order.size()); }
  };
  [[nodiscard]] bool is_known(const std::string& key, const Made& made) const {
    return known_.contains(key) || made.by_key.contains(key);
  }

  void give_code(std::span<const std::shared_ptr<CudaExecutable>> all) {
    const auto start = std::chrono::steady_clock::now();
    std::string text(limits_.native ? native_switch : "");
    text += cuda_prelude();
    std::vector<std::string_view> written;
    for (const auto& code : all) {
      for (const std::string_view prelude : code->preludes()) {
        if (std::ranges::find(written, prelude) != written.end()) continue;
        written.push_back(prelude);
        text += prelude;
      }
    }
    for (const auto& code : all) text += code->native_text();
    std::string key = "cuda " + arch_ + " nvrtc " + nvrtc_.version();
    for (const char* option : nvrtc_options()) key.append(" ").append(option);
    key.append("\n").append(text);
    auto image = std::make_shared<ir::DeviceImage>();
    auto found = disk_.find(key);
    if (found) {
      image->code = std::move(found->bytes);
    } else {
      image->code = nvrtc_.compile_to_cubin(text, arch_);
      disk_.put(key, {image->code, 0, {}});
    }
    for (const auto& code : all) code->set_image(image);
    if (!log_) return;
    const double ms =
        std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
    std::fprintf(stderr, "weft compile: %7.2f ms %6zu bytes %s  %zu steps for %s\n", ms,
                 image->code.size(), found ? "disk" : "nvrtc", all.size(), arch_.c_str());
  }

  /// Forgets what nobody uses once there is much of it.
  void trim() {
    if (known_.size() < 4096) return;
    std::erase_if(known_, [](const auto& entry) { return entry.second.use_count() == 1; });
  }

  static DeviceLimits limits_of(DeviceLimits of, const Nvrtc& nvrtc, std::string_view arch) {
    of.warpgroups = nvrtc.has_warpgroups(arch);
    return of;
  }
  /// 90 for sm_90.
  [[nodiscard]] int arch_number() const { return std::atoi(arch_.c_str() + 3); }

  const Nvrtc& nvrtc_;
  const std::string arch_;
  const DeviceLimits limits_;
  DiskCache disk_;
  bool log_ = false;
  std::mutex mutex_;
  Known known_;  // by the kernel's text, or the operation's
};

}  // namespace

std::shared_ptr<ir::DeviceCompiler> make_cuda_compiler(std::string arch,
                                                       const DeviceLimits& limits) {
  std::string why;
  const Nvrtc* const nvrtc = Nvrtc::find(&why);
  if (!nvrtc)
    throw DeviceError("code for a CUDA device (" + arch +
                      ") cannot be compiled: there is no NVRTC: " + why);
  if (!nvrtc->supports(arch))
    throw DeviceError("NVRTC " + nvrtc->version() + " does not compile for " + arch +
                      ": the device needs a newer (or is too old for this) CUDA toolkit");
  return std::make_shared<CudaCompiler>(*nvrtc, std::move(arch), limits);
}

}  // namespace weft::codegen
