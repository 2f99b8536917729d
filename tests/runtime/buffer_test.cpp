#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <mutex>
#include <random>
#include <thread>
#include <vector>

#include "runtime/buffer.h"

using namespace weft;
using runtime::Buffer;

TEST_CASE("buffers are aligned, counted and shared") {
  const std::int64_t before = runtime::live_buffers();
  {
    for (const std::size_t bytes :
         {0ul, 1ul, 64ul, 65ul, 1000ul, 65536ul, 65537ul, 1ul << 20, (2ul << 20) + 1, 9ul << 20}) {
      const Buffer b = Buffer::allocate(bytes);
      CHECK(b.size() == bytes);
      CHECK(reinterpret_cast<std::uintptr_t>(b.data()) % 64 == 0);
      std::memset(b.data(), 0xab, bytes);
    }
    Buffer a = Buffer::allocate(100);
    CHECK(a.writable());
    CHECK(runtime::live_buffers() == before + 1);
    Buffer shared = a;
    CHECK_FALSE(a.writable());
    CHECK(shared == a);
    shared = Buffer();
    CHECK(a.writable());
    Buffer moved = std::move(a);
    CHECK(moved.writable());
  }
  CHECK(runtime::live_buffers() == before);
}

TEST_CASE("zeroed buffers are zero, fresh or reused") {
  for (const std::size_t bytes : {100ul, 100000ul, 5ul << 20})
    for (int round = 0; round < 3; ++round) {
      const Buffer b = Buffer::allocate_zeroed(bytes);
      bool zero = true;
      for (std::size_t i = 0; i < bytes; ++i) zero &= b.data()[i] == std::byte{0};
      CHECK(zero);
      std::memset(b.data(), 0xff, bytes);
    }
}

TEST_CASE("borrowed memory keeps its owner and is not writable") {
  auto owner = std::make_shared<std::vector<float>>(4, 1.f);
  const std::weak_ptr<std::vector<float>> watch = owner;
  {
    const Buffer b = Buffer::borrow(owner->data(), 16, owner);
    CHECK(b.data() == reinterpret_cast<std::byte*>(owner->data()));
    CHECK_FALSE(b.writable());
    owner.reset();
    CHECK_FALSE(watch.expired());
  }
  CHECK(watch.expired());
}

TEST_CASE("out of memory is an error that says how much was asked for") {
  CHECK_THROWS_AS(Buffer::allocate(std::numeric_limits<std::size_t>::max()), OutOfMemory);
  CHECK_THROWS_WITH(Buffer::allocate(1ul << 60),
                    "out of memory: 1152921504606846976 bytes were asked for");
  runtime::fail_allocation(2);
  CHECK_NOTHROW(Buffer::allocate(8));
  CHECK_THROWS_AS(Buffer::allocate(8), OutOfMemory);
  CHECK_NOTHROW(Buffer::allocate(8));
}

TEST_CASE("blocks cut from one slab are apart, and come and go in any order") {
  constexpr std::size_t kib = 1024;
  struct Piece {
    Buffer buffer;
    std::size_t bytes;
    int value;
  };
  std::vector<Piece> pieces;
  const auto intact = [](const Piece& piece) {
    return std::all_of(piece.buffer.data(), piece.buffer.data() + piece.bytes, [&](std::byte b) {
      return b == static_cast<std::byte>(piece.value);
    });
  };
  for (int i = 0; i < 40; ++i) {  // several slabs
    const std::size_t bytes = 130 * kib + static_cast<std::size_t>(i * 7919 % 1800) * kib;
    pieces.push_back({Buffer::allocate(bytes), bytes, i});
    std::memset(pieces.back().buffer.data(), i, bytes);
  }
  CHECK(std::ranges::all_of(pieces, intact));
  for (int round = 0; round < 3; ++round) {
    for (std::size_t i = static_cast<std::size_t>(round); i < pieces.size(); i += 3)
      pieces[i].buffer = Buffer();
    runtime::trim();  // whole slabs go, others stay
    for (Piece& piece : pieces)
      if (!piece.buffer.data()) {
        piece.buffer = Buffer::allocate_zeroed(piece.bytes);
        piece.value = 0;
      }
    CHECK(std::ranges::all_of(pieces, intact));
  }
}

TEST_CASE("trim empties the pool") {
  { const Buffer b = Buffer::allocate(1 << 20); }
  runtime::trim();
  CHECK(runtime::pooled_bytes() == 0);
}

TEST_CASE("many threads allocate, hand over and free") {
  const std::int64_t before = runtime::live_buffers();
  std::mutex mutex;
  std::vector<Buffer> shelf;
  const auto work = [&](unsigned seed) {
    std::mt19937 rng(seed);
    for (int i = 0; i < 3000; ++i) {
      Buffer b = Buffer::allocate(rng() % (i % 50 == 0 ? 3000000 : 5000));
      if (b.size() > 0)
        std::memset(b.data(), static_cast<int>(seed), std::min<std::size_t>(b.size(), 4096));
      const std::lock_guard lock(mutex);
      if (shelf.size() > 20)
        shelf.erase(shelf.begin() + static_cast<std::ptrdiff_t>(rng() % shelf.size()));
      shelf.push_back(std::move(b));
    }
  };
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < 4; ++t) threads.emplace_back(work, t);
  for (std::thread& t : threads) t.join();
  shelf.clear();
  CHECK(runtime::live_buffers() == before);
}
