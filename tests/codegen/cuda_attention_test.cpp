// Attention's kernels: NVRTC compiles them for every device that runs them, within the shared memory
// that these have. (Their numerics: tests/cuda, which runs them on the host.)
#include <doctest/doctest.h>

#include <algorithm>

#include "codegen/cuda/attention_text.h"
#include "codegen/cuda/cuda_text.h"
#include "codegen/cuda/nvrtc.h"
#include "ir/ops/attention.h"

using namespace weft;

namespace {

/// Batches of two axes; a mask of queries and keys.
ir::DeviceOperation attention(DType t, std::int64_t size, std::int64_t value_size, bool causal,
                              std::optional<DType> mask, bool backward) {
  ir::DeviceOperation o;
  o.kind = backward ? ir::ExternKind::attention_backward : ir::ExternKind::attention;
  o.attrs = ir::FusedAttentionAttrs{causal, 0.125, size, value_size};
  const ir::DeviceOperation::Operand matrices{t, 4, true}, rows{DType::float32, 3, true};
  o.inputs = {matrices, matrices, matrices};
  if (backward) o.inputs = {matrices, matrices, matrices, matrices, rows, rows};
  if (mask) o.inputs.push_back({*mask, 2, true});
  o.outputs = {matrices, rows};
  if (backward) o.outputs = {matrices, matrices, matrices};
  return o;
}

}  // namespace

TEST_CASE("CUDA: attention compiles with NVRTC") {
  std::string why;
  const codegen::Nvrtc* nvrtc = codegen::Nvrtc::find(&why);
  if (nvrtc == nullptr) {
    MESSAGE("skipped: " << why);
    return;
  }
  std::string text(codegen::cuda_prelude()), functions;
  std::vector<std::string_view> written;
  const auto add = [&](const ir::DeviceOperation& o, const char* name, bool warpgroups = false) {
    const codegen::OperationText made =
        codegen::attention_text(o, name, {.warpgroups = warpgroups});
    for (const std::string_view prelude : made.preludes) {
      if (std::ranges::find(written, prelude) != written.end()) continue;
      written.push_back(prelude);
      text += prelude;
    }
    functions += made.text;
  };
  add(attention(DType::bfloat16, 128, 128, true, {}, false), "a");
  add(attention(DType::float16, 40, 24, false, DType::boolean, true), "b");
  add(attention(DType::float32, 33, 33, true, DType::float32, false), "c");
  for (const char* arch : {"sm_80", "sm_90", "sm_100"}) {
    if (!nvrtc->supports(arch)) continue;
    std::size_t size = 0;
    CHECK_NOTHROW(size = nvrtc->compile_to_cubin(text + functions, arch).size());
    CHECK(size > 0);
  }
  if (!nvrtc->has_warpgroups("sm_90")) return;
  add(attention(DType::bfloat16, 128, 128, true, {}, false), "d", true);
  add(attention(DType::float16, 64, 128, false, DType::float16, false), "e", true);
  add(attention(DType::bfloat16, 128, 64, true, DType::boolean, true), "f", true);
  std::string remarks;
  CHECK_NOTHROW((void)nvrtc->compile_to_cubin(text + functions, "sm_90", &remarks));
  // ptxas waits for each product where it does not see how they overlap.
  CHECK_MESSAGE(remarks.find("serialized") == std::string::npos, remarks);
}

TEST_CASE("CUDA: attention by warpgroups is of heads that fill its tiles") {
  for (const bool backward : {false, true})
    for (const bool warpgroups : {false, true})
      for (const auto& [size, value_size] :
           {std::pair{64, 64}, {56, 128}, {128, 96}, {80, 64}, {64, 60}}) {
        const ir::DeviceOperation o =
            attention(DType::bfloat16, size, value_size, true, {}, backward);
        const auto made = codegen::attention_text(o, "k", {.warpgroups = warpgroups});
        const bool by_groups = made.schedule.find("warpgroups") != std::string::npos;
        CHECK(by_groups == (warpgroups && size != 80 && value_size != 60));
        for (const ir::DeviceLaunch& launch : made.code.launches)
          CHECK(launch.shared <= codegen::DeviceLimits{}.shared);
      }
  const auto plain = codegen::attention_text(
      attention(DType::float32, 64, 64, true, {}, false), "k", {.warpgroups = true});
  CHECK(plain.schedule.find("warpgroups") == std::string::npos);
}

TEST_CASE("CUDA: attention fits in every device's shared memory") {
  constexpr int least = 99 * 1024;
  for (const DType t : {DType::float16, DType::float32})
    for (const bool backward : {false, true})
      for (std::int64_t size = 1; size <= 256; ++size) {
        const codegen::OperationText made = codegen::attention_text(
            attention(t, size, 256 - size / 2, false, {}, backward), "k");
        for (const ir::DeviceLaunch& launch : made.code.launches) {
          CHECK(launch.shared <= least);
          CHECK(launch.all_blocks);   // the last rows of causal attention are the longest
        }
      }
}
