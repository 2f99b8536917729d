// What threads of a block know of each other's loads and stores: races, by happens-before.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "host_blocks.h"

namespace cuda_host {

inline constexpr unsigned most_threads = 1024, warp_size = 32;

/// Counts a thread's steps between barriers. A thread that meets others learns how far they were.
struct Knowledge {
  std::uint32_t base = 0;                           // all that other warps did before is known
  std::array<std::uint32_t, warp_size> lanes{};     // of its warp: known up to and with
  std::uint32_t own = 0;                            // step it is in
  std::uint32_t fenced = 0, fenced_base = 0;        // at the last fence; 0: none
  std::uint32_t published = 0;                      // times that it showed what it wrote
};

void begin_launch(const CudaHostLaunch&, const char* stacks, const char* stacks_end);
void end_launch();
void begin_block(unsigned block, unsigned threads);
/// Follows the barriers.
void join_block();
void join_warp(unsigned warp, std::uint32_t mask);
/// Whose turn it is.
void set_thread(unsigned thread);
/// The first trouble of a launch stays; with it checks end.
void complain(const std::string& what);
const std::string& complaint();
/// The current thread cannot go on, and with it the launch (host_blocks.cpp).
[[noreturn]] void give_up();

}  // namespace cuda_host
