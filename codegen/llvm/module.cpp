// The module's one export: kernels to machine code through a bare code generator, without any
// optimisation pipeline.
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

class Backend final : public LlvmBackend {
 public:
  Backend() {
    leave_out_strength_reduction();
    llvm::InitializeNativeTarget();
    llvm::InitializeNativeTargetAsmPrinter();
  }

  void prepare() const override {
    for (const auto level : {llvm::CodeGenOptLevel::None, llvm::CodeGenOptLevel::Less})
      give_back(level, borrow(level));
  }

  [[nodiscard]] CodeBlob compile(const ir::Kernel& kernel, const Schedule& schedule,
                                 const Target& target) const override {
    return linked(generate(kernel, schedule, target, llvm::CodeGenFileType::ObjectFile));
  }

  [[nodiscard]] CodeBlob tile(DType dtype, const ir::TileShape& shape,
                              const Target& target) const override {
    return linked(generate(llvm::CodeGenOptLevel::Less, llvm::CodeGenFileType::ObjectFile,
                           [&](llvm::Module& m) { emit_tile(m, dtype, shape, target); }));
  }

  [[nodiscard]] std::string assembly(const ir::Kernel& kernel, const Schedule& schedule,
                                     const Target& target) const override {
    const llvm::SmallString<0> text =
        generate(kernel, schedule, target, llvm::CodeGenFileType::AssemblyFile);
    return {text.data(), text.size()};
  }

 private:
  using Machine = std::unique_ptr<llvm::TargetMachine>;

  static CodeBlob linked(const llvm::SmallString<0>& object) {
    return link_object(std::as_bytes(std::span(object.data(), object.size())), kernel_symbol);
  }

  llvm::SmallString<0> generate(const ir::Kernel& kernel, const Schedule& schedule,
                                const Target& target, llvm::CodeGenFileType type) const {
    const auto level = schedule.carried ? llvm::CodeGenOptLevel::Less : llvm::CodeGenOptLevel::None;
    return generate(level, type,
                    [&](llvm::Module& m) { emit_kernel(m, kernel, schedule, target); });
  }

  template <class Emit>
  llvm::SmallString<0> generate(llvm::CodeGenOptLevel level, llvm::CodeGenFileType type,
                                Emit emit) const {
    Machine machine = borrow(level);
    llvm::LLVMContext context;
    llvm::Module module("weft", context);
    module.setTargetTriple(machine->getTargetTriple().str());
    module.setDataLayout(machine->createDataLayout());
    module.setPICLevel(llvm::PICLevel::BigPIC);
    emit(module);
#ifndef NDEBUG
    std::string problem;
    llvm::raw_string_ostream stream(problem);
    if (llvm::verifyModule(module, &stream)) throw Error("emitted code is not valid: " + problem);
#endif
    llvm::SmallString<0> bytes;
    llvm::raw_svector_ostream out(bytes);
    llvm::legacy::PassManager passes;
    if (machine->addPassesToEmitFile(passes, out, nullptr, type))
      throw Error("LLVM cannot write this kind of file");
    passes.run(module);
    give_back(level, std::move(machine));
    return bytes;
  }

  /// Code generators are kept: to make one takes as long as to compile a small kernel.
  Machine borrow(llvm::CodeGenOptLevel level) const {
    {
      const std::scoped_lock lock(mutex_);
      auto& idle = idle_[level];
      if (!idle.empty()) {
        Machine machine = std::move(idle.back());
        idle.pop_back();
        return machine;
      }
    }
    const std::string triple = llvm::sys::getDefaultTargetTriple();
    std::string problem;
    const llvm::Target* target = llvm::TargetRegistry::lookupTarget(triple, problem);
    if (!target) throw Error("LLVM has no target for this machine: " + problem);
    std::string features;
    for (const auto& feature : llvm::sys::getHostCPUFeatures())
      features += (features.empty() ? "" : ",") + std::string(feature.second ? "+" : "-") +
                  feature.first().str();
    return Machine(target->createTargetMachine(triple, llvm::sys::getHostCPUName(), features,
                                               llvm::TargetOptions{}, llvm::Reloc::PIC_,
                                               llvm::CodeModel::Small, level, true));
  }

  void give_back(llvm::CodeGenOptLevel level, Machine machine) const {
    const std::scoped_lock lock(mutex_);
    idle_[level].push_back(std::move(machine));
  }

  mutable std::mutex mutex_;
  mutable std::map<llvm::CodeGenOptLevel, std::vector<Machine>> idle_;
};

}  // namespace
}  // namespace weft::codegen

extern "C" __attribute__((visibility("default"))) const weft::codegen::LlvmBackend*
weft_llvm_backend() {
  static const weft::codegen::Backend backend;
  return &backend;
}
