// The module's one export: kernels to machine code through a bare code generator, without any
// optimisation pipeline.
#include <exception>
#include <map>
#include <mutex>

#include <llvm/IR/LegacyPassManager.h>
#include <llvm/IR/Verifier.h>
#include <llvm/MC/TargetRegistry.h>
#include <llvm/Support/CommandLine.h>
#include <llvm/Support/SmallVectorMemoryBuffer.h>
#include <llvm/Support/TargetSelect.h>
#include <llvm/Support/raw_ostream.h>
#include <llvm/Target/TargetMachine.h>
#include <llvm/TargetParser/Host.h>

#include "codegen/llvm/backend.h"
#include "codegen/llvm/emit_kernel.h"
#include "codegen/llvm/emit_tile.h"
#include "ir/error.h"

namespace weft::codegen {
namespace {

/// Loop strength reduction took up to two thirds of the time of a kernel with many addresses, and no
/// kernel ran faster for it. LLVM offers no way to leave it out but an option of the process, which
/// is ours to set where this module has an LLVM of its own.
void leave_out_strength_reduction() {
  if (!WEFT_OWN_LLVM) return;
  const auto& options = llvm::cl::getRegisteredOptions();
  if (const auto found = options.find("disable-lsr"); found != options.end())
    static_cast<llvm::cl::opt<bool>*>(found->second)->setValue(true);
}

/// A code generator of one level with its passes, kept from one kernel to the next: to make them takes
/// as long as to compile a small kernel. For one thread at a time.
class Generator {
 public:
  explicit Generator(llvm::CodeGenOptLevel level) : machine_(host_machine(level)) {
    add_passes(passes_, out_, llvm::CodeGenFileType::ObjectFile);
  }

  using Emit = llvm::function_ref<void(llvm::Module&)>;

  [[nodiscard]] CodeBlob code(Emit emit) {
    bytes_.clear();
    run(passes_, emit);
    return link_object(std::as_bytes(std::span(bytes_.data(), bytes_.size())), kernel_symbol);
  }

  [[nodiscard]] std::string assembly(Emit emit) {
    llvm::SmallString<0> text;
    llvm::raw_svector_ostream out(text);
    llvm::legacy::PassManager passes;
    add_passes(passes, out, llvm::CodeGenFileType::AssemblyFile);
    run(passes, emit);
    return {text.data(), text.size()};
  }

 private:
  static std::unique_ptr<llvm::TargetMachine> host_machine(llvm::CodeGenOptLevel level) {
    const std::string triple = llvm::sys::getDefaultTargetTriple();
    std::string problem;
    const llvm::Target* target = llvm::TargetRegistry::lookupTarget(triple, problem);
    if (!target) throw Error("LLVM has no target for this machine: " + problem);
    std::string features;
    for (const auto& feature : llvm::sys::getHostCPUFeatures())
      features += (features.empty() ? "" : ",") + std::string(feature.second ? "+" : "-") +
                  feature.first().str();
#if defined(__x86_64__)
    if (!host_target().mask_registers) features += ",-avx512f";
#endif
    return std::unique_ptr<llvm::TargetMachine>(target->createTargetMachine(
        triple, llvm::sys::getHostCPUName(), features, llvm::TargetOptions{}, llvm::Reloc::PIC_,
        llvm::CodeModel::Small, level, true));
  }

  void add_passes(llvm::legacy::PassManager& passes, llvm::raw_pwrite_stream& out,
                  llvm::CodeGenFileType type) {
    if (machine_->addPassesToEmitFile(passes, out, nullptr, type))
      throw Error("LLVM cannot write this kind of file");
  }

  void run(llvm::legacy::PassManager& passes, Emit emit) {
    llvm::LLVMContext context;
    llvm::Module module("weft", context);
    module.setTargetTriple(machine_->getTargetTriple().str());
    module.setDataLayout(machine_->createDataLayout());
    module.setPICLevel(llvm::PICLevel::BigPIC);
    emit(module);
#ifndef NDEBUG
    std::string problem;
    llvm::raw_string_ostream stream(problem);
    if (llvm::verifyModule(module, &stream)) throw Error("emitted code is not valid: " + problem);
#endif
    passes.run(module);
  }

  std::unique_ptr<llvm::TargetMachine> machine_;
  llvm::SmallString<0> bytes_;
  llvm::raw_svector_ostream out_{bytes_};
  llvm::legacy::PassManager passes_;
};

class Backend final : public LlvmBackend {
 public:
  Backend() {
    leave_out_strength_reduction();
    llvm::InitializeNativeTarget();
    llvm::InitializeNativeTargetAsmPrinter();
  }

  void prepare() const override {
    for (const auto level : {llvm::CodeGenOptLevel::None, llvm::CodeGenOptLevel::Less})
      const Turn turn(*this, level);
  }

  [[nodiscard]] CodeBlob compile(const ir::Kernel& kernel, const Schedule& schedule,
                                 const Target& target) const override {
    const Turn turn(*this, level_of(schedule));
    return turn->code([&](llvm::Module& m) { emit_kernel(m, kernel, schedule, target); });
  }

  [[nodiscard]] CodeBlob tile(DType dtype, const ir::TileShape& shape,
                              const Target& target) const override {
    const Turn turn(*this, llvm::CodeGenOptLevel::Less);
    return turn->code([&](llvm::Module& m) { emit_tile(m, dtype, shape, target); });
  }

  [[nodiscard]] std::string assembly(const ir::Kernel& kernel, const Schedule& schedule,
                                     const Target& target) const override {
    const Turn turn(*this, level_of(schedule));
    return turn->assembly([&](llvm::Module& m) { emit_kernel(m, kernel, schedule, target); });
  }

 private:
  /// One of the idle generators, or a new one, for as long as this lives. Whoever throws has left one
  /// in the middle of its work: it goes.
  class Turn {
   public:
    Turn(const Backend& backend, llvm::CodeGenOptLevel level) : backend_(backend), level_(level) {
      {
        const std::scoped_lock lock(backend.mutex_);
        auto& idle = backend.idle_[level];
        if (!idle.empty()) {
          generator_ = std::move(idle.back());
          idle.pop_back();
        }
      }
      if (!generator_) generator_ = std::make_unique<Generator>(level);
    }
    ~Turn() {
      if (std::uncaught_exceptions() > thrown_) return;
      const std::scoped_lock lock(backend_.mutex_);
      backend_.idle_[level_].push_back(std::move(generator_));
    }
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;
    Generator* operator->() const { return generator_.get(); }

   private:
    const Backend& backend_;
    llvm::CodeGenOptLevel level_;
    int thrown_ = std::uncaught_exceptions();
    std::unique_ptr<Generator> generator_;
  };

  static llvm::CodeGenOptLevel level_of(const Schedule& schedule) {
    return schedule.carried ? llvm::CodeGenOptLevel::Less : llvm::CodeGenOptLevel::None;
  }

  mutable std::mutex mutex_;
  mutable std::map<llvm::CodeGenOptLevel, std::vector<std::unique_ptr<Generator>>> idle_;
};

}  // namespace
}  // namespace weft::codegen

extern "C" __attribute__((visibility("default"))) const weft::codegen::LlvmBackend*
weft_llvm_backend() {
  static const weft::codegen::Backend backend;
  return &backend;
}
