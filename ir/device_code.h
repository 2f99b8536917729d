// Code for a device, as a compiler hands it to the runtime: what to launch for one step of a plan,
// and the interface of such a compiler.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ir/executable.h"
#include "ir/op.h"
#include "ir/product_end.h"

namespace weft::ir {

/// Code for a device as its driver loads it: of all the steps that were compiled together.
struct DeviceImage {
  std::vector<std::byte> code;
};

/// One launch of device code. Its arguments are a pointer a buffer of the step, its symbols and
/// `numbers` as 64-bit integers, for a product how its sums are cut (64-bit: into blocks of so many
/// elements, and pieces of so many), where `scratch` is not 0 a pointer to that many bytes a block,
/// the step's workspace where it is wanted, the step's place in the stream of random numbers (a
/// pointer to two 64-bit words, seed and offset), and a pointer to the device's record of what went
/// wrong with the step's own 64-bit number for it. A grid of any number of blocks does all the work;
/// `blocks` have some of their own.
struct DeviceLaunch {
  std::string entry;  // in the image
  int threads = 0;    // a block
  int shared = 0;     // bytes of dynamic shared memory a block
  Dim blocks = 0;     // this and the rest: over the step's symbols
  Dim scratch = 0;    // bytes
  Dims numbers = {};
  bool product = false;  // the kernel's contraction; else what follows it
  bool workspace = false;
  bool random = false;
  bool fault = false;
  bool all_blocks = false;  // they differ in work: each is launched, for the device to balance
};

/// A step on a device: launches one after another.
struct DeviceKernel {
  std::shared_ptr<const DeviceImage> image;
  std::vector<DeviceLaunch> launches;
  /// Of a product that a library may do in place of the launches: `after` is what is left to do
  /// then, nothing where the library knows `end`.
  bool library = false;
  std::vector<DeviceLaunch> after;
  std::optional<ProductEnd> end;
  Dim workspace = 0;  // bytes that the launches share
  std::optional<Dim> draws = {};  // elements by which it moves the stream of random numbers
  /// What an IndexError of it says (an Error where it is not `fault_of_index`): the record's numbers
  /// stand for %1, %2 and %3, as the bits of float64 for %f1 and so on. Of several lines, the third
  /// number picks one.
  std::string fault = {};
  bool fault_of_index = true;
};

/// An extern step as a compiler sees it. Its code's buffers are those of the inputs, then of the
/// outputs (null for one that is not there: an operand taken for its type only, a result that
/// nobody wants); its symbols `s0, s1, …` are all extents of those that are there, in that order.
struct DeviceOperation {
  struct Operand {
    DType dtype = DType::float32;
    std::size_t rank = 0;
    bool present = false;
  };
  ExternKind kind{};
  Attrs attrs;
  std::vector<Operand> inputs, outputs;
};

/// Whose code does without results that nobody wants, and is the quicker for it.
constexpr bool skips_results(ExternKind kind) {
  return kind == ExternKind::sort || kind == ExternKind::topk || kind == ExternKind::cumulate ||
         kind == ExternKind::qr || kind == ExternKind::svd || kind == ExternKind::eigh;
}

struct DeviceCode {
  std::vector<std::shared_ptr<const Executable>> kernels;     // one a kernel
  std::vector<std::shared_ptr<const Executable>> operations;  // one each; null: none for a device
};

/// Kernels and extern steps -> code for one kind of device, with caches of its own. Thread safe.
class DeviceCompiler {
 public:
  virtual ~DeviceCompiler() = default;
  /// Whether it has forms of the steps in Expansion::on_device.
  [[nodiscard]] virtual bool fuses() const = 0;
  /// In order. Equal ones share one.
  virtual DeviceCode compile(std::span<const Kernel* const> kernels,
                             std::span<const DeviceOperation> operations) = 0;
};

}  // namespace weft::ir
