// Products of warpgroups (wgmma, sm_90a): four warps together, whose operands the tensor cores
// fetch from shared memory themselves while threads go on.
#include <string>

#include "codegen/cuda/cuda_text.h"
#include "codegen/cuda/scalar_text.h"

namespace weft::codegen {
namespace {

/// Names of operands in PTX, from `first` on.
std::string registers(int first, int count) {
  std::string list;
  for (int i = 0; i < count; ++i) list += cat({i == 0 ? "" : ", ", "%", str(first + i)});
  return list;
}
std::string sums(int columns) {
  std::string list;
  for (int j = 0; j < columns / 8; ++j)
    for (int e = 0; e < 4; ++e)
      list += cat({j + e == 0 ? "" : ", ", "\"+f\"(s[", str(j), "][", str(e), "])"});
  return list;
}

/// The products of a dtype whose results have so many columns.
std::string products(const char* type, int columns) {
  const int held = columns / 2;  // registers of a thread
  const std::string s = cat({"float (&s)[", str(columns / 8), "][4]"});
  const std::string name = cat({"wgmma.mma_async.sync.aligned.m64n", str(columns), "k16.f32.", type,
                                ".", type, " {", registers(0, held), "}, "});
  return cat(
      {"template <> struct weft_group_product<weft_group_", type, ", ", str(columns), "> {\n",
       "  template <int a_turned, int b_turned>\n",
       "  static WEFT_METHOD void of_tiles(", s, ", weft_u64 a, weft_u64 b, int more) {\n",
       "    asm volatile(\"{ .reg .pred more; setp.ne.b32 more, %", str(held + 2), ", 0; ", name,
       registers(held, 2), ", more, 1, 1, ", registers(held + 3, 2), "; }\"\n      : ",
       sums(columns),
       "\n      : \"l\"(a), \"l\"(b), \"r\"(more), \"n\"(a_turned), \"n\"(b_turned));\n  }\n",
       "  static WEFT_METHOD void of_registers(", s, ", const unsigned (&a)[4], weft_u64 b) {\n",
       "    asm volatile(\"", name, "{", registers(held, 4), "}, %", str(held + 4),
       ", 1, 1, 1, 1;\"\n      : ", sums(columns),
       "\n      : \"r\"(a[0]), \"r\"(a[1]), \"r\"(a[2]), \"r\"(a[3]), \"l\"(b));\n  }\n};\n"});
}

constexpr std::string_view before = R"(
// ---- products of warpgroups ----
// A tile in shared memory, from `past` bytes after `place` in it on, for a product: rows of
// `bytes`, 128 or 64, one after another, those longer than that as columns of such rows, `leap`
// bytes apart. Of its chunks of 16 bytes, by their places in all of shared memory, the bits that
// number those of a row are exclusive-ored with those that number the rows (of 64 bytes, pairs of
// them): reads are free of bank conflicts. It begins at a multiple of 8 rows.
template <int bytes>
WEFT_FUNCTION weft_u64 weft_tile_at(unsigned place, unsigned leap, unsigned past) {
  const unsigned from = (place >> 4 & 0x3fff) + ((leap >> 4 & 0x3fff) << 16) + (past >> 4);
  return from | (weft_u64)(8 * bytes >> 4) << 32 | (weft_u64)(bytes == 128 ? 1 : 2) << 62;
}
#ifndef WEFT_CUDA_HOST
// All threads of a warpgroup take part. What a product of theirs reads from shared memory must be
// made known to it by each thread that wrote it, before the barrier; its registers must be left
// alone until it is waited for, which `weft_hold` tells the compiler.
WEFT_FUNCTION void weft_shared_ready() {
  asm volatile("fence.proxy.async.shared::cta;" : : : "memory");
}
WEFT_FUNCTION void weft_group_begin() {
  asm volatile("wgmma.fence.sync.aligned;" : : : "memory");
}
WEFT_FUNCTION void weft_group_commit() {
  asm volatile("wgmma.commit_group.sync.aligned;" : : : "memory");
}
template <int but> WEFT_FUNCTION void weft_group_wait() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" : : "n"(but) : "memory");
}
template <int n> WEFT_FUNCTION void weft_hold(float (&s)[n][4]) {
  #pragma unroll
  for (int j = 0; j < n; ++j)
    #pragma unroll
    for (int e = 0; e < 4; ++e) asm volatile("" : "+f"(s[j][e]) : : "memory");
}
template <int n> WEFT_FUNCTION void weft_hold(unsigned (&a)[n][4]) {
  #pragma unroll
  for (int k = 0; k < n; ++k)
    #pragma unroll
    for (int e = 0; e < 4; ++e) asm volatile("" : "+r"(a[k][e]) : : "memory");
}
// What is waited for below this is waited for when x is known: ptxas moves a wait up to where
// registers were last free, before the work that should have gone on beside the products, but not
// past a store. `place` is a word of the thread's own in shared memory.
WEFT_FUNCTION void weft_after(unsigned place, float x) {
  asm volatile("st.volatile.shared.f32 [%0], %1;" : : "r"(place), "f"(x) : "memory");
}
// sums (64, columns) = or, with `more`, += a (64, 16) times b (16, columns). Of a tile the rows are
// those of its own axis, 64 or `columns`; of one that is turned (rows of 128 bytes alone) those of
// the sum, 16. Of registers a thread has what weft_mma_f16 wants of it, of its warp's 16 rows; more
// is true then, and b turned. A thread's sums are as weft_mma_f16 has them, of the same rows.
struct weft_group_f16;
struct weft_group_bf16;
template <class T, int columns> struct weft_group_product;
)";

}  // namespace

std::string_view group_prelude() {
  static const std::string text = [] {
    std::string all(before);
    for (const int columns : {64, 128, 256})
      for (const char* type : {"f16", "bf16"}) all += products(type, columns);
    return all + "#endif\n";
  }();
  return text;
}

}  // namespace weft::codegen
