#include <doctest/doctest.h>

#include <unistd.h>

#include <array>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <random>

#include "ir/error.h"
#include "tests/folder.h"
#include "weft/io.h"

using namespace weft;
namespace fs = std::filesystem;

namespace {

std::string slurp(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

void spit(const std::string& path, const std::string& bytes) {
  fs::remove(path);  // a new file: some file systems flush one that is truncated and written again
  std::ofstream(path, std::ios::binary | std::ios::trunc)
      .write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

bool same_bits(const Array& a, const Array& b) {
  return a.dtype() == b.dtype() && a.shape() == b.shape() &&
         std::memcmp(a.contiguous().bytes(), b.contiguous().bytes(), a.nbytes()) == 0;
}

NamedArrays samples() {
  NamedArrays m;
  const Array base{{0, 1, 2}, {3, 100, 7}};
  for (int i = 0; i < dtype_count; ++i)
    m[std::string(name(static_cast<DType>(i)))] = base.to(static_cast<DType>(i));
  m["scalar"] = Array(2.5);
  m["empty"] = zeros({0, 4});
  m["transposed"] = runtime::transpose_view(base, std::array<std::int64_t, 2>{1, 0});
  return m;
}

/// Loading `bytes` gives arrays or an Error with the path, and nothing else. True when it threw.
bool survives(const std::string& path, const std::string& bytes,
              const std::function<void(const std::string&)>& load) {
  spit(path, bytes);
  try {
    load(path);
    return false;
  } catch (const ParseError& e) {
    CHECK(std::string(e.what()).find(path) == 0);
    CHECK(std::string(e.what()).find("byte ") != std::string::npos);
  } catch (const IoError& e) {
    CHECK(std::string(e.what()).find(path) == 0);
  } catch (const OutOfMemory&) {}
  return true;
}

void fuzz(const std::string& path, const std::string& good,
          const std::function<void(const std::string&)>& load) {
  for (std::size_t n = 0; n < good.size(); ++n) CHECK(survives(path, good.substr(0, n), load));
  std::mt19937 rng(11);
  for (int i = 0; i < 3000; ++i) {
    std::string bad = good;
    for (unsigned flips = 1 + rng() % 3; flips > 0; --flips)
      bad[rng() % bad.size()] =
          static_cast<char>(static_cast<unsigned>(bad[rng() % bad.size()]) ^ (1u << rng() % 8));
    survives(path, bad, load);
  }
}

}  // namespace

TEST_CASE("npy: round trips of every dtype") {
  const Folder dir;
  for (const auto& [name, array] : samples()) {
    CAPTURE(name);
    save_npy(dir / "a.npy", array);
    CHECK(same_bits(load_npy(dir / "a.npy"), array));
  }
  CHECK(std::distance(fs::directory_iterator(fs::path(dir.path())), {}) == 1);
}

TEST_CASE("npy: the bytes are NumPy's") {
  const Folder dir;
  save_npy(dir / "a.npy", Array{{1.f, 2.f, 3.f}});
  std::string expected("\x93NUMPY\x01\x00\x76\x00", 10);
  expected += "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 3), }";
  expected += std::string(127 - expected.size(), ' ') + "\n";
  CHECK(slurp(dir / "a.npy").substr(0, 128) == expected);
  // Fortran order and the other byte order.
  std::string fortran("\x93NUMPY\x01\x00\x40\x00", 10);
  fortran += "{'descr': '>i2', 'fortran_order': True, 'shape': (2, 2), }";
  fortran += std::string(74 - fortran.size(), ' ') + std::string("\0\1\0\2\0\3\0\4", 8);
  spit(dir / "f.npy", fortran);
  CHECK(array_equal(load_npy(dir / "f.npy"), Array{{1, 3}, {2, 4}}));
}

TEST_CASE("npy: errors say where") {
  const Folder dir;
  CHECK_THROWS_AS(load_npy(dir / "none.npy"), IoError);
  CHECK_THROWS_AS(load_npy(dir.path()), IoError);
  CHECK_THROWS_AS(save_npy(dir / "no/such/folder.npy", Array(1)), IoError);
  const auto with_shape = [&](const std::string& shape) {
    std::string header = "{'descr': '<f8', 'fortran_order': False, 'shape': " + shape + ", }";
    spit(dir / "x.npy",
         std::string("\x93NUMPY\x01\x00", 8) + static_cast<char>(header.size()) + '\0' + header);
    return load_npy(dir / "x.npy");
  };
  CHECK_THROWS_AS(with_shape("(4294967296, 4294967296)"), ParseError);
  CHECK_THROWS_AS(with_shape("(1000000000000,)"), ParseError);
  CHECK_THROWS_AS(with_shape("(-1,)"), ParseError);
  CHECK_THROWS_AS(with_shape("(2"), ParseError);
  CHECK(with_shape("(0,)").size() == 0);
  spit(dir / "m.npy", "hello, world");
  CHECK_THROWS_WITH_AS(load_npy(dir / "m.npy"),
                       ((dir / "m.npy") + ": byte 0: not a .npy file: wrong magic").c_str(),
                       ParseError);
}

TEST_CASE("npz: round trips, stored and deflated") {
  const Folder dir;
  const NamedArrays all = samples();
  for (const bool compressed : {false, true}) {
    save_npz(dir / "a.npz", all, compressed);
    const NamedArrays back = load_npz(dir / "a.npz");
    REQUIRE(back.size() == all.size());
    for (const auto& [name, array] : all) CHECK(same_bits(back.at(name), array));
  }
  save_npz(dir / "b.npz", {{"x", zeros({100000})}}, true);
  CHECK(fs::file_size(dir / "b.npz") < 2000);
  CHECK(load_npz(dir / "b.npz").at("x").size() == 100000);
}

TEST_CASE("safetensors: round trips and metadata") {
  const Folder dir;
  NamedArrays all = samples();
  CHECK_THROWS_AS(save_safetensors(dir / "a.safetensors", all), DTypeError);
  all.erase("complex128");
  save_safetensors(dir / "a.safetensors", all, {{"format", "pt"}});
  std::map<std::string, std::string> metadata;
  const NamedArrays back = load_safetensors(dir / "a.safetensors", &metadata);
  REQUIRE(back.size() == all.size());
  for (const auto& [name, array] : all) CHECK(same_bits(back.at(name), array));
  CHECK(metadata.at("format") == "pt");
}

TEST_CASE("damaged files are errors, never crashes") {
  const Folder dir;
  save_npy(dir / "a.npy", Array{{1.f, 2.f}, {3.f, 4.f}});
  fuzz(dir / "bad.npy", slurp(dir / "a.npy"), [](const std::string& p) { load_npy(p); });
  save_npz(dir / "a.npz", {{"x", Array{1.f, 2.f}}, {"y", Array{true, false}}}, true);
  fuzz(dir / "bad.npz", slurp(dir / "a.npz"), [](const std::string& p) { load_npz(p); });
  save_safetensors(dir / "a.st", {{"x", Array{1.f, 2.f}}, {"y", Array{{true, false}}}},
                   {{"k", "v"}});
  fuzz(dir / "bad.st", slurp(dir / "a.st"), [](const std::string& p) { load_safetensors(p); });
}

TEST_CASE("safetensors: a failed load changes nothing, and numbers may be absurd") {
  const Folder dir;
  const auto load = [&](const std::string& header, std::map<std::string, std::string>* metadata) {
    const std::string length{static_cast<char>(header.size()), 0, 0, 0, 0, 0, 0, 0};
    spit(dir / "a.st", length + header + "abcd");
    return load_safetensors(dir / "a.st", metadata);
  };
  std::map<std::string, std::string> metadata{{"old", "1"}};
  const std::string strings = R"({"__metadata__":{"k":"v"})";
  CHECK_THROWS_AS(
      load(strings + R"(,"a":{"dtype":"F32","shape":[1e999],"data_offsets":[0,4]}})", &metadata),
      ParseError);
  CHECK_THROWS_AS(
      load(strings + R"(,"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", &metadata),
      ParseError);
  CHECK(metadata == std::map<std::string, std::string>{{"old", "1"}});
  load(strings + "}", &metadata);
  CHECK(metadata == std::map<std::string, std::string>{{"k", "v"}});
  CHECK_THROWS_AS(save_safetensors(dir / "b.st", {{"__metadata__", Array(1)}}), IoError);
}

TEST_CASE("files are written where a name points, and are as private as before") {
  const Folder dir;
  save_npy(dir / "a.npy", Array(1));
  fs::permissions(dir / "a.npy", fs::perms::owner_read | fs::perms::owner_write);
  fs::create_symlink("a.npy", dir / "link.npy");
  save_npy(dir / "link.npy", Array(2));
  CHECK(fs::is_symlink(dir / "link.npy"));
  CHECK(load_npy(dir / "a.npy").item<int>() == 2);
  CHECK(fs::status(dir / "a.npy").permissions() ==
        (fs::perms::owner_read | fs::perms::owner_write));
  save_npy("/dev/null", Array(3));
  CHECK(fs::is_character_file("/dev/null"));
  CHECK_THROWS_AS(save_npy("/dev/full", ones({100000})), IoError);
  CHECK(fs::is_character_file("/dev/full"));
}

TEST_CASE("dlpack: shared both ways, released once") {
  Array a{{1.f, 2.f}, {3.f, 4.f}};
  dlpack::ManagedTensor* out = to_dlpack(a);
  CHECK(out->tensor.data == a.bytes());
  CHECK(out->tensor.ndim == 2);
  CHECK(out->tensor.dtype.bits == 32);
  const Array back = from_dlpack(out);  // takes it over
  CHECK(back.bytes() == a.bytes());
  CHECK(array_equal(back, a));
  const float* shared = back.data<float>();
  a.mutable_data<float>()[0] = 9;
  CHECK(shared[0] == 1);

  static int released = 0;
  std::int64_t shape[] = {2, 2}, strides[] = {1, 2};
  std::int32_t data[] = {1, 2, 3, 4, 5};
  dlpack::ManagedTensor t{{data,
                           {dlpack::DeviceType::cpu, 0},
                           2,
                           {dlpack::TypeCode::integer, 32, 1},
                           shape,
                           strides,
                           4},
                          nullptr,
                          [](dlpack::ManagedTensor*) { ++released; }};
  {
    const Array view = from_dlpack(&t);
    CHECK(view.tolist<int>() == std::vector<int>{2, 4, 3, 5});
    CHECK(released == 0);
  }
  CHECK(released == 1);
  t.tensor.byte_offset = 1;  // not aligned: copied, released at once
  CHECK(from_dlpack(&t).size() == 4);
  CHECK(released == 2);
  t.tensor.dtype.lanes = 4;
  CHECK_THROWS_AS(from_dlpack(&t), DTypeError);
  t.tensor.dtype.lanes = 1;
  shape[0] = -1;
  CHECK_THROWS_AS(from_dlpack(&t), ShapeError);
  CHECK(released == 2);
  for (int i = 0; i < dtype_count; ++i) {
    const Array x = zeros({3}, static_cast<DType>(i));
    CHECK(from_dlpack(to_dlpack(x)).dtype() == x.dtype());
  }
}
