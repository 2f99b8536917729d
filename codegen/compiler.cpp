#include "codegen/compiler.h"

#include <dlfcn.h>
#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <cassert>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <exception>
#include <functional>
#include <mutex>
#include <system_error>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "codegen/disk_cache.h"
#include "codegen/llvm/backend.h"
#include "codegen/module_path.h"
#include "codegen/object_loader.h"
#include "codegen/schedule.h"
#include "codegen/search.h"
#include "ir/error.h"

namespace weft::codegen {
namespace {

using ir::Executable, ir::Kernel;

/// The file of the LLVM module: found when the compiler is made, opened when it is needed.
class Module {
 public:
  Module() : path_(find_module(WEFT_LLVM_MODULE)) {}

  [[nodiscard]] bool installed() const { return !path_.empty(); }

  /// Changes whenever the module is built anew.
  [[nodiscard]] std::string build() const {
    struct stat status {};
    if (stat(path_.c_str(), &status) != 0) return {};
    return std::to_string(status.st_size) + "." + std::to_string(status.st_mtim.tv_sec) + "." +
           std::to_string(status.st_mtim.tv_nsec);
  }

  /// Begins to open it on a thread of its own, for a caller who will soon need it. The calling
  /// thread waits for that one when it ends: a process whose main function has returned so lets the
  /// module be, whole, before it destroys what the module made.
  void open_soon() const {
    if (std::thread::hardware_concurrency() < 2) return;
    thread_local std::jthread opener;
    opener = std::jthread([this] {
      try {
        backend().prepare();
      } catch (const std::exception&) {
        // Who needs it will be told.
      }
    });
  }

  /// Opened at the first call and never closed.
  const LlvmBackend& backend() const {
    std::call_once(once_, [&] {
      // Deep binding is not wanted, and the names of the module are its own.
      void* handle = dlopen(path_.c_str(), RTLD_NOW | RTLD_LOCAL);
      const char* const problem = handle ? nullptr : dlerror();
      using Factory = const LlvmBackend* (*)();
      const auto factory =
          handle ? reinterpret_cast<Factory>(dlsym(handle, "weft_llvm_backend")) : nullptr;
      if (!factory)
        throw Error("the LLVM module " + path_ +
                    " does not open: " + (problem ? problem : "no factory"));
      backend_ = factory();
    });
    return *backend_;
  }

 private:
  std::string path_;
  mutable std::once_flag once_;
  mutable const LlvmBackend* backend_ = nullptr;
};

class NativeExecutable final : public Executable {
 public:
  NativeExecutable(std::shared_ptr<const Module> module, Kernel kernel, Schedule schedule,
                   const CodeBlob& blob)
      : module_(std::move(module)),
        kernel_(std::move(kernel)),
        schedule_(std::move(schedule)),
        code_(blob),
        scratch_(scratch_offset(kernel_, schedule_, kernel_.row_temps.size())) {
    function =
        reinterpret_cast<ir::KernelFunction>(reinterpret_cast<std::uintptr_t>(code_.entry()));
    item_cost = codegen::item_cost(kernel_, schedule_, host_target());
    item_multiple = multiple();
  }

  [[nodiscard]] std::size_t scratch_bytes(const std::int64_t* symbols) const override {
    if (const auto bytes = scratch_.constant()) return static_cast<std::size_t>(*bytes);
    DimBindings bindings;
    for (int i = 0; i < kernel_.symbols; ++i) bindings.bind("s" + std::to_string(i), symbols[i]);
    return static_cast<std::size_t>(scratch_.evaluate(bindings));
  }

  [[nodiscard]] std::string schedule_text() const override { return to_string(schedule_); }

  [[nodiscard]] std::string native_text() const override {
    return "# " + to_string(schedule_) + "\n" +
           module_->backend().assembly(kernel_, schedule_, host_target());
  }

 private:
  /// Whole groups of vectors; along points, of all the items behind one point of the vector axis.
  [[nodiscard]] std::int64_t multiple() const {
    if (schedule_.kind == Schedule::Kind::along_row) return 1;
    std::int64_t items = schedule_.group();
    if (schedule_.turned || schedule_.short_rows)
      return std::max<std::int64_t>(1, kernel_.axes.back().constant().value_or(1)) *
             schedule_.lanes;
    if (schedule_.kind == Schedule::Kind::pointwise) return std::max<std::int64_t>(items, 64);
    for (std::size_t axis = static_cast<std::size_t>(schedule_.axis) + 1;
         axis < kernel_.parallel_axes(); ++axis)
      items *= std::max<std::int64_t>(1, kernel_.axes[axis].constant().value_or(1));
    return items;
  }

  std::shared_ptr<const Module> module_;
  Kernel kernel_;
  Schedule schedule_;
  LoadedCode code_;
  Dim scratch_;
};

class NativeTile final : public ir::TileKernel {
 public:
  NativeTile(ir::TileShape tile_shape, const CodeBlob& blob) : code_(blob) {
    function = reinterpret_cast<Function>(reinterpret_cast<std::uintptr_t>(code_.entry()));
    shape = tile_shape;
  }

 private:
  LoadedCode code_;
};

/// One kernel on its way.
struct Job {
  const Kernel* original = nullptr;
  std::string key;  // the kernel's text
  Kernel kernel;    // with its axes simplified
  Schedule schedule;
  std::string disk_key;
  std::shared_ptr<const Executable> result;
  double milliseconds = 0;
  bool from_disk = false;
  std::size_t code_bytes = 0;

  /// How long it takes to compile, about, beside others.
  [[nodiscard]] std::size_t effort() const {
    std::size_t instructions = 20;
    for (const ir::Stage& stage : kernel.stages) instructions += stage.body.code.size();
    const std::size_t copies = schedule.panel > 0 ? 3 + static_cast<std::size_t>(schedule.rows)
                                                  : static_cast<std::size_t>(schedule.in_flight);
    return instructions * copies * (schedule.carried ? 3 : 1);
  }
};

/// Processor time of this thread, which other threads and processes do not disturb.
double now_ms() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return 1e3 * static_cast<double>(now.tv_sec) + 1e-6 * static_cast<double>(now.tv_nsec);
}

using Chooser = Schedule(const Kernel&, const Target&);

std::vector<std::byte> as_bytes(std::string_view text) {
  const auto* first = reinterpret_cast<const std::byte*>(text.data());
  return {first, first + text.size()};
}

class LlvmCompiler final : public ir::KernelCompiler {
 public:
  LlvmCompiler(std::shared_ptr<const Module> module, Chooser* choose)
      : module_(std::move(module)), choose_(choose), build_(module_->build()) {
    const char* search = std::getenv("WEFT_SEARCH");
    search_ = search && std::string_view(search) == "1";
    const char* log = std::getenv("WEFT_LOG");
    log_ = log && std::strstr(log, "compile");
    marked_ = disk_.find(build_).has_value();
    if (!marked_) module_->open_soon();  // nothing that this build compiled is there
  }

  [[nodiscard]] std::string_view name() const override { return "llvm"; }

  std::vector<std::shared_ptr<const Executable>> compile(
      std::span<const Kernel* const> kernels) override {
    return compile_beside(kernels, {});
  }

  std::vector<std::shared_ptr<const Executable>> compile_beside(
      std::span<const Kernel* const> kernels, const std::function<void()>& work) override {
    std::vector<std::string> keys;
    for (const Kernel* kernel : kernels) {
      assert(kernel->columns.empty());  // those are for devices
      keys.push_back(ir::to_string(*kernel));
    }
    // Who asks for the same kernel waits rather than compiles it again.
    std::unique_lock lock(mutex_);
    std::vector<Job> jobs;
    std::unordered_map<std::string_view, std::size_t> wanted;
    for (std::size_t i = 0; i < kernels.size(); ++i) {
      if (known_.contains(keys[i]) || !wanted.emplace(keys[i], jobs.size()).second) continue;
      jobs.push_back({});
      jobs.back().original = kernels[i];
      jobs.back().key = keys[i];
    }
    const bool worked = run(jobs, work);
    for (Job& job : jobs) known_.emplace(std::move(job.key), std::move(job.result));
    std::vector<std::shared_ptr<const Executable>> results;
    for (const std::string& key : keys) results.push_back(known_.at(key));
    trim();  // only now: what was known before may be among the results
    lock.unlock();
    if (work && !worked) work();
    return results;
  }

  [[nodiscard]] ir::TileLimits tile_limits(DType dtype) const override {
    return codegen::tile_limits(dtype, host_target());
  }

  std::shared_ptr<const ir::TileKernel> tile(DType dtype, ir::TileShape shape) override {
    const std::string key = "tile " + std::string(weft::name(dtype)) + " " +
                            std::to_string(shape.rows) + "x" + std::to_string(shape.columns);
    const std::scoped_lock lock(tiles_mutex_);
    auto& known = tiles_[key];
    if (known) return known;
    const double start = now_ms();
    const std::string disk_key = build_ + "\n" + host_target().processor + "\n" + key;
    auto blob = disk_.find(disk_key);
    const bool found = blob.has_value();
    if (!found) {
      blob = module_->backend().tile(dtype, shape, host_target());
      disk_.put(disk_key, *blob);
      mark_build();
    }
    if (log_)
      std::fprintf(stderr, "weft compile: %7.2f ms %6zu bytes %s  %s\n", now_ms() - start,
                   blob->bytes.size(), found ? "disk" : "llvm", key.c_str());
    return known = std::make_shared<NativeTile>(shape, *blob);
  }

 private:
  /// Whether the caller's work has been done: where something had to be compiled.
  bool run(std::vector<Job>& jobs, const std::function<void()>& callers_work) {
    std::vector<Job*> missing;
    for (Job& job : jobs)
      if (!from_disk(job)) missing.push_back(&job);
    if (!missing.empty()) compile_all(missing, callers_work);
    if (!log_) return !missing.empty();
    for (const Job& job : jobs)
      std::fprintf(stderr, "weft compile: %7.2f ms %6zu bytes %s  %s\n", job.milliseconds,
                   job.code_bytes, job.from_disk ? "disk" : "llvm",
                   to_string(job.schedule).c_str());
    return !missing.empty();
  }

  bool from_disk(Job& job) {
    const double start = now_ms();
    job.kernel = simplify_axes(*job.original);
    job.schedule = choose_(job.kernel, host_target());
    if (search_) job.schedule = quickest(job);
    job.disk_key =
        build_ + "\n" + host_target().processor + "\n" + to_string(job.schedule) + "\n" + job.key;
    const auto blob = disk_.find(job.disk_key);
    if (blob) finish(job, *blob);
    job.from_disk = blob.has_value();
    job.milliseconds = now_ms() - start;
    return job.from_disk;
  }

  /// The quickest of the schedule and its neighbours: measured once, then known from the disk. A
  /// neighbour has to be quicker by more than clocks err.
  Schedule quickest(const Job& job) {
    const std::vector<Schedule> all = neighbours(job.schedule);
    const auto bytes = buffer_bytes(job.kernel);
    if (!bytes || all.size() == 1) return job.schedule;
    const std::string key = build_ + "\n" + host_target().processor + "\nsearch\n" +
                            to_string(job.schedule) + "\n" + job.key;
    auto known = disk_.find(key);
    if (!known || known->entry >= all.size()) {
      std::size_t best = 0;
      std::vector<double> times;
      for (std::size_t i = 0; i < all.size(); ++i) {
        const CodeBlob blob = module_->backend().compile(job.kernel, all[i], host_target());
        const NativeExecutable code(module_, job.kernel, all[i], blob);
        times.push_back(time_kernel(job.kernel, code, *bytes));
        if (times[i] < 0.97 * times[best]) best = i;
      }
      char text[96];
      const int length = std::snprintf(text, sizeof text, "; measured: %.4g us, %.4g as reckoned",
                                       times[best], times[0]);
      known = {as_bytes(std::string_view(text, static_cast<std::size_t>(length))),
               static_cast<std::uint32_t>(best),
               {}};
      disk_.put(key, *known);
    }
    Schedule chosen = all[known->entry];
    chosen.reason.append(reinterpret_cast<const char*>(known->bytes.data()), known->bytes.size());
    return chosen;
  }

  /// Longest first, on as many threads as there is enough to do for. This one does the caller's work
  /// before it takes part.
  void compile_all(std::span<Job*> jobs, const std::function<void()>& callers_work) {
    const LlvmBackend& backend = module_->backend();
    std::ranges::stable_sort(jobs, std::greater<>(), [](const Job* job) { return job->effort(); });
    std::atomic<std::size_t> next{0};
    std::exception_ptr failure;
    std::mutex failure_mutex;
    const auto work = [&] {
      try {
        for (std::size_t i = next++; i < jobs.size(); i = next++) {
          const double start = now_ms();
          const CodeBlob blob = backend.compile(jobs[i]->kernel, jobs[i]->schedule, host_target());
          finish(*jobs[i], blob);
          disk_.put(jobs[i]->disk_key, blob);
          jobs[i]->milliseconds += now_ms() - start;
        }
      } catch (...) {
        const std::scoped_lock lock(failure_mutex);
        failure = std::current_exception();
      }
    };
    {
      const std::size_t threads = std::min<std::size_t>(std::thread::hardware_concurrency(),
                                                        jobs.size() + (callers_work ? 1 : 0));
      std::vector<std::jthread> helpers;
      try {
        while (helpers.size() + 1 < threads) helpers.emplace_back(work);
      } catch (const std::system_error&) {}  // a machine that refuses more threads does with fewer
      if (callers_work) callers_work();
      work();
    }
    if (failure) std::rethrow_exception(failure);
    mark_build();
  }

  /// An entry that tells the next process that it may find others.
  void mark_build() {
    if (!marked_.exchange(true)) disk_.put(build_, {std::vector<std::byte>(1), 0, {}});
  }

  void finish(Job& job, const CodeBlob& blob) {
    job.code_bytes = blob.bytes.size();
    job.result = std::make_shared<NativeExecutable>(module_, job.kernel, job.schedule, blob);
  }

  /// Forgets what nobody uses once there is much of it.
  void trim() {
    if (known_.size() < 4096) return;
    std::erase_if(known_, [](const auto& entry) { return entry.second.use_count() == 1; });
  }

  std::shared_ptr<const Module> module_;
  Chooser* choose_;
  std::string build_;
  DiskCache disk_;
  bool log_ = false;
  bool search_ = false;
  std::atomic<bool> marked_ = false;
  std::mutex mutex_, tiles_mutex_;  // of what is known of kernels, of tiles
  std::unordered_map<std::string, std::shared_ptr<const Executable>>
      known_;  // by the kernel's text
  std::unordered_map<std::string, std::shared_ptr<const ir::TileKernel>> tiles_;
};

}  // namespace

std::shared_ptr<ir::KernelCompiler> make_llvm_compiler(Chooser* choose) {
  auto module = std::make_shared<const Module>();
  if (!module->installed() || host_target().processor.empty()) return nullptr;
  return std::make_shared<LlvmCompiler>(std::move(module), choose);
}

}  // namespace weft::codegen
