#include "runtime/cuda_strided.h"

#include <algorithm>
#include <map>
#include <mutex>

#include "runtime/cuda_device.h"
#include "runtime/strided.h"

namespace weft::runtime {
namespace {

FindDeviceCompiler find_compiler = nullptr;

/// Which kernel: element types, axes, and whether the last one's elements lie side by side.
struct Kind {
  int device = 0;
  DType from{}, to{};
  std::size_t rank = 0;
  bool dense_in = false, dense_out = false;
  friend auto operator<=>(const Kind&, const Kind&) = default;
};

struct Code {
  std::shared_ptr<const ir::Executable> kept;
  std::shared_ptr<const CudaModule> module;
  const ir::DeviceLaunch* launch = nullptr;
  CuFunction function = nullptr;
};

DType held(DType t) { return t == DType::bfloat16 ? DType::uint16 : t; }

/// Symbols: the extents, the strides of what is read, the strides of what is written.
ir::Kernel kernel_of(const Kind& kind) {
  ir::Kernel kernel;
  const auto symbol = [](std::size_t i) { return Dim::symbol("s" + std::to_string(i)); };
  ir::Access in, out;
  out.buffer = 1;
  for (std::size_t i = 0; i < kind.rank; ++i) {
    kernel.axes.push_back(symbol(i));
    in.strides.push_back(symbol(kind.rank + i));
    out.strides.push_back(symbol(2 * kind.rank + i));
  }
  if (kind.dense_in) in.strides.back() = 1;
  if (kind.dense_out) out.strides.back() = 1;
  kernel.buffers = {{kind.from, false}, {kind.to, true}};
  kernel.accesses = {in, out};
  kernel.symbols = static_cast<int>(3 * kind.rank);
  ir::ScalarBuilder builder;
  ir::ScalarValue value = builder.input(0, held(kind.from));
  if (kind.from != kind.to) value = builder.convert(value, kind.from, kind.to);
  ir::Stage& stage = kernel.stages.emplace_back();
  stage.body = builder.finish(std::span(&value, 1));
  stage.sources = {{ir::Source::Kind::load, 0}};
  stage.sinks = {{ir::Sink::Kind::store, 0, 1}};
  return kernel;
}

/// Null where nothing compiles for the device.
const Code* code_for(const Kind& kind, CudaDevice& device) {
  static std::mutex mutex;
  static auto& all = *new std::map<Kind, Code>;
  const std::scoped_lock lock(mutex);
  if (const auto known = all.find(kind); known != all.end()) return &known->second;
  ir::DeviceCompiler* compiler = nullptr;
  try {
    if (find_compiler) compiler = &find_compiler(device.device());
  } catch (const DeviceError&) {}  // told by the first call that cannot do without
  if (!compiler) return nullptr;
  const ir::Kernel kernel = kernel_of(kind);
  const ir::Kernel* const one = &kernel;
  Code code;
  code.kept = compiler->compile(std::span(&one, 1), {}).kernels.front();
  const ir::DeviceKernel& made = *code.kept->device_kernel();
  code.module = device.load(made.image);
  code.launch = &made.launches.front();
  code.function = code.module->function(code.launch->entry);
  return &all.emplace(kind, std::move(code)).first->second;
}

/// Elements that are only moved are bits.
DType bits_of(std::size_t size) {
  switch (size) {
    case 1: return DType::uint8;
    case 2: return DType::uint16;
    case 4: return DType::uint32;
  }
  return DType::uint64;
}

}  // namespace

void set_device_compiler(FindDeviceCompiler find) { find_compiler = find; }

bool write_on_device(const Array& value, DType dtype, void* out,
                     std::span<const std::int64_t> out_strides) {
  if (value.size() == 0) return true;
  Kind kind{.device = value.device().index(), .from = value.dtype(), .to = dtype};
  std::vector<CopyAxis> axes = merge_axes(value.shape(), out_strides, value.strides());
  if (axes.size() > 1 && axes.front().extent == 1) axes.erase(axes.begin());
  if (kind.from == kind.to) {
    const std::size_t size = size_of(dtype);
    kind.from = kind.to = bits_of(size);
    if (size == 16) {  // two words
      for (CopyAxis& axis : axes) axis.in *= 2, axis.out *= 2;
      axes.push_back({2, 1, 1});
    }
  } else if (is_complex(kind.from) || is_complex(kind.to)) {
    return false;
  }
  kind.rank = axes.size();
  kind.dense_in = axes.back().in == 1, kind.dense_out = axes.back().out == 1;
  CudaDevice& device = CudaDevice::get(value.device());
  const Code* const code = code_for(kind, device);
  if (!code) return false;

  std::vector<std::int64_t> symbols;
  for (const CopyAxis& axis : axes) symbols.push_back(axis.extent);
  for (const CopyAxis& axis : axes) symbols.push_back(axis.in);
  for (const CopyAxis& axis : axes) symbols.push_back(axis.out);
  DimBindings bindings;
  for (std::size_t i = 0; i < symbols.size(); ++i)
    bindings.bind("s" + std::to_string(i), symbols[i]);
  const void* in = value.bytes();
  std::vector<void*> arguments{&in, &out};
  for (std::int64_t& symbol : symbols) arguments.push_back(&symbol);
  const auto blocks = std::min(code->launch->blocks.evaluate(bindings), device.most_blocks());
  device.enter();
  device.driver().launch(code->function, static_cast<unsigned>(blocks), 1, 1,
                         static_cast<unsigned>(code->launch->threads), 1, 1, 0, device.stream(),
                         arguments.data(), nullptr);
  return true;
}

}  // namespace weft::runtime
