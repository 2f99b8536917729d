// .npz: the part of the zip format that NumPy writes, and what other zip programs make of such a
// file: entries stored or deflated, found through the central directory. No zip64, no encryption.
#include <zlib.h>

#include <algorithm>
#include <limits>

#include "frontend/npy.h"
#include "weft/io.h"

namespace weft {
namespace {

using frontend::Sink;
using frontend::Source;

constexpr std::uint32_t local_magic = 0x04034b50, central_magic = 0x02014b50,
                        end_magic = 0x06054b50;
constexpr std::uint16_t stored = 0, deflated = 8;

struct Entry {
  std::string name;
  std::uint16_t method = stored;
  std::uint32_t crc = 0, packed = 0, size = 0, offset = 0;
};

/// The offset of the end-of-directory record, which a comment of up to 64 KiB may follow.
std::uint64_t find_end(const Source& zip) {
  if (zip.size() < 22) zip.fail(0, "not a zip file: shorter than its end record");
  const std::uint64_t first = zip.size() - std::min<std::uint64_t>(zip.size(), 22 + 65535);
  const std::string tail = zip.text(first, zip.size() - first);
  const std::size_t at = tail.rfind(std::string("PK\5\6", 4), tail.size() - 22);
  if (at == std::string::npos) zip.fail(zip.size(), "not a zip file: no end record");
  return first + at;
}

std::vector<Entry> read_directory(const Source& zip) {
  const std::uint64_t end = find_end(zip);
  const auto count = zip.integer<std::uint16_t>(end + 10);
  std::uint64_t at = zip.integer<std::uint32_t>(end + 16);
  if (count == 0xffff || at == 0xffffffff) zip.fail(end, "zip64 is not supported");
  std::vector<Entry> entries;
  for (int i = 0; i < count; ++i) {
    if (zip.integer<std::uint32_t>(at) != central_magic)
      zip.fail(at, "not an entry of the zip directory");
    Entry e;
    if (zip.integer<std::uint16_t>(at + 8) & 1) zip.fail(at, "an encrypted entry");
    e.method = zip.integer<std::uint16_t>(at + 10);
    e.crc = zip.integer<std::uint32_t>(at + 16);
    e.packed = zip.integer<std::uint32_t>(at + 20);
    e.size = zip.integer<std::uint32_t>(at + 24);
    e.offset = zip.integer<std::uint32_t>(at + 42);
    const auto name = zip.integer<std::uint16_t>(at + 28);
    e.name = zip.text(at + 46, name);
    if (e.packed == 0xffffffff || e.size == 0xffffffff || e.offset == 0xffffffff)
      zip.fail(at, "zip64 is not supported");
    at += 46u + name + zip.integer<std::uint16_t>(at + 30) + zip.integer<std::uint16_t>(at + 32);
    entries.push_back(std::move(e));
  }
  return entries;
}

std::vector<std::byte> inflate_entry(const Source& zip, std::uint64_t at, const Entry& e) {
  if (e.size / 1040 > e.packed)
    zip.fail(at, "an entry that says it is larger than deflate can make it");
  std::vector<std::byte> packed(e.packed), out(e.size);
  zip.read(at, packed.data(), packed.size());
  z_stream z{};
  z.next_in = reinterpret_cast<Bytef*>(packed.data());
  z.avail_in = e.packed;
  z.next_out = reinterpret_cast<Bytef*>(out.data());
  z.avail_out = e.size;
  if (inflateInit2(&z, -15) != Z_OK) throw IoError("zlib could not be started");
  const int status = inflate(&z, Z_FINISH);
  const auto made = z.total_out;
  inflateEnd(&z);
  if (status != Z_STREAM_END || made != e.size)
    zip.fail(at, "damaged deflate data in '" + e.name + "'");
  return out;
}

std::vector<std::byte> read_entry(const Source& zip, const Entry& e) {
  if (zip.integer<std::uint32_t>(e.offset) != local_magic) zip.fail(e.offset, "not a zip entry");
  const std::uint64_t at = std::uint64_t{e.offset} + 30 +
                           zip.integer<std::uint16_t>(e.offset + 26ull) +
                           zip.integer<std::uint16_t>(e.offset + 28ull);
  zip.require(at, e.packed);
  std::vector<std::byte> bytes;
  if (e.method == deflated) {
    bytes = inflate_entry(zip, at, e);
  } else if (e.method == stored && e.packed == e.size) {
    bytes.resize(e.size);
    zip.read(at, bytes.data(), bytes.size());
  } else {
    zip.fail(e.offset, "the compression method " + std::to_string(e.method) + " is not supported");
  }
  if (crc32_z(0, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()) != e.crc)
    zip.fail(at, "wrong checksum of '" + e.name + "'");
  return bytes;
}

std::string deflate_text(const std::string& bytes) {
  z_stream z{};
  if (deflateInit2(&z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY) != Z_OK)
    throw IoError("zlib could not be started");
  std::string out(deflateBound(&z, bytes.size()), '\0');
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  z.avail_in = static_cast<uInt>(bytes.size());
  z.next_out = reinterpret_cast<Bytef*>(out.data());
  z.avail_out = static_cast<uInt>(out.size());
  deflate(&z, Z_FINISH);
  out.resize(z.total_out);
  deflateEnd(&z);
  return out;
}

template <class T> void put(std::string& out, T value) {
  for (std::size_t i = 0; i < sizeof(T); ++i)
    out += static_cast<char>(static_cast<std::uint64_t>(value) >> (8 * i) & 0xff);
}

/// What the local and the central header have in common, from the version needed on.
std::string common_header(const Entry& e) {
  std::string h;
  put<std::uint16_t>(h, 20);
  put<std::uint16_t>(h, 0x0800);  // names are UTF-8
  put(h, e.method);
  put<std::uint16_t>(h, 0);       // time
  put<std::uint16_t>(h, 0x0021);  // 1 January 1980, so that equal arrays make equal files
  put(h, e.crc);
  put(h, e.packed);
  put(h, e.size);
  put<std::uint16_t>(h, static_cast<std::uint16_t>(e.name.size()));
  put<std::uint16_t>(h, 0);  // extra
  return h;
}

void write_entry(Sink& sink, Entry& e, const Array& array, bool compressed) {
  const Array dense = array.to(Device::cpu()).contiguous();
  const std::string header = frontend::npy_header(dense);
  constexpr std::uint64_t limit = std::numeric_limits<std::uint32_t>::max() - 1024;
  if (header.size() + dense.nbytes() > limit || sink.written() > limit || e.name.size() > 0xffff)
    throw IoError("save_npz: '" + e.name + "' is too large for a zip file without zip64");
  e.size = e.packed = static_cast<std::uint32_t>(header.size() + dense.nbytes());
  e.offset = static_cast<std::uint32_t>(sink.written());
  e.crc = static_cast<std::uint32_t>(
      crc32_z(crc32_z(0, reinterpret_cast<const Bytef*>(header.data()), header.size()),
              reinterpret_cast<const Bytef*>(dense.bytes()), dense.nbytes()));
  std::string packed;
  if (compressed) {
    packed = deflate_text(
        header + std::string(reinterpret_cast<const char*>(dense.bytes()), dense.nbytes()));
    e.method = deflated;
    e.packed = static_cast<std::uint32_t>(packed.size());
  }
  std::string local;
  put(local, local_magic);
  sink.write(local + common_header(e) + e.name);
  if (compressed) {
    sink.write(packed);
  } else {
    sink.write(header);
    sink.write(dense.bytes(), dense.nbytes());
  }
}

std::string central_header(const Entry& e) {
  std::string h;
  put(h, central_magic);
  put<std::uint16_t>(h, 20);
  h += common_header(e);
  put<std::uint16_t>(h, 0);  // comment
  put<std::uint16_t>(h, 0);  // disk
  put<std::uint16_t>(h, 0);  // internal attributes
  put<std::uint32_t>(h, 0);  // external attributes
  put(h, e.offset);
  return h + e.name;
}

}  // namespace

NamedArrays load_npz(const std::string& path) {
  const Source zip = Source::open(path);
  NamedArrays arrays;
  for (const Entry& e : read_directory(zip)) {
    if (e.name.ends_with('/')) continue;
    const std::vector<std::byte> bytes = read_entry(zip, e);
    const std::string name =
        e.name.ends_with(".npy") ? e.name.substr(0, e.name.size() - 4) : e.name;
    arrays.insert_or_assign(name, frontend::read_npy(Source(path + "(" + e.name + ")", bytes)));
  }
  return arrays;
}

void save_npz(const std::string& path, const NamedArrays& arrays, bool compressed) {
  if (arrays.size() >= 0xffff)
    throw IoError(path + ": too many arrays for a zip file without zip64");
  Sink sink(path);
  std::string directory;
  for (const auto& [name, array] : arrays) {
    Entry e;
    e.name = name + ".npy";
    write_entry(sink, e, array, compressed);
    directory += central_header(e);
  }
  const auto begin = static_cast<std::uint32_t>(sink.written());
  const auto count = static_cast<std::uint16_t>(arrays.size());
  std::string end;
  put(end, end_magic);
  put<std::uint32_t>(end, 0);  // disks
  put(end, count);
  put(end, count);
  put(end, static_cast<std::uint32_t>(directory.size()));
  put(end, begin);
  put<std::uint16_t>(end, 0);  // comment
  sink.write(directory + end);
  sink.commit();
}

}  // namespace weft
