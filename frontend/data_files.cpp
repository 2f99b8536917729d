// Data sets as files: IDX and comma-separated numbers, gzipped or not.
#include <zlib.h>

#include <array>
#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <memory>

#include "weft/data.h"

namespace weft::data {
namespace {

constexpr std::size_t largest_file = std::size_t{4} << 30;

/// The whole file; zlib reads plain files as they are.
std::string read_file(const std::string& path) {
  const std::unique_ptr<gzFile_s, int (*)(gzFile)> file(gzopen(path.c_str(), "rb"), gzclose);
  if (!file) throw IoError("cannot open " + path);
  std::string content;
  std::array<char, 1 << 16> block;
  while (true) {
    const int n = gzread(file.get(), block.data(), block.size());
    if (n < 0) {
      int code = Z_OK;
      const std::string what = gzerror(file.get(), &code);
      if (code == Z_ERRNO) throw IoError("cannot read " + what);
      throw ParseError(path + ": damaged at byte " + std::to_string(content.size()) + ": " + what);
    }
    if (n == 0) break;
    content.append(block.data(), static_cast<std::size_t>(n));
    if (content.size() > largest_file) throw ParseError(path + ": larger than 4 GiB when unpacked");
  }
  int code = Z_OK;
  gzerror(file.get(), &code);
  if (code != Z_OK && code != Z_STREAM_END)
    throw ParseError(path + ": cut off at byte " + std::to_string(content.size()));
  return content;
}

std::uint32_t big_endian(const std::string& bytes, std::size_t at) {
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < 4; ++i)
    value = value << 8 | static_cast<unsigned char>(bytes[at + i]);
  return value;
}

std::optional<DType> idx_dtype(unsigned char code) {
  switch (code) {
    case 0x08: return DType::uint8;
    case 0x09: return DType::int8;
    case 0x0B: return DType::int16;
    case 0x0C: return DType::int32;
    case 0x0D: return DType::float32;
    case 0x0E: return DType::float64;
  }
  return std::nullopt;
}

std::string folder_or(const std::string& given, const char* variable, const char* usual) {
  if (!given.empty()) return given;
  const char* set = std::getenv(variable);
  return set && *set ? set : usual;
}

}  // namespace

Array load_idx(const std::string& path) {
  const std::string bytes = read_file(path);
  const auto malformed = [&](std::size_t at, const std::string& what) {
    return ParseError(path + ": byte " + std::to_string(at) + ": " + what);
  };
  if (bytes.size() < 4) throw malformed(bytes.size(), "an IDX file begins with four bytes");
  if (bytes[0] != 0 || bytes[1] != 0) throw malformed(0, "not an IDX file");
  const auto dtype = idx_dtype(static_cast<unsigned char>(bytes[2]));
  if (!dtype)
    throw malformed(2,
                    "unknown element type " + std::to_string(static_cast<unsigned char>(bytes[2])));
  const auto rank = static_cast<std::size_t>(static_cast<unsigned char>(bytes[3]));
  const std::size_t header = 4 + 4 * rank;
  if (bytes.size() < header) throw malformed(bytes.size(), "cut off in the extents");
  Shape shape;
  for (std::size_t i = 0; i < rank; ++i) shape.push_back(big_endian(bytes, 4 + 4 * i));
  std::size_t expected = size_of(*dtype);
  for (const std::int64_t extent : shape)
    if (__builtin_mul_overflow(expected, static_cast<std::size_t>(extent), &expected))
      throw malformed(4, "extents " + to_string(shape) + " are too large");
  if (bytes.size() - header != expected)
    throw malformed(bytes.size(), "expected " + std::to_string(expected) +
                                      " bytes of elements, found " +
                                      std::to_string(bytes.size() - header));
  Array array = Array::uninitialized(*dtype, shape);
  std::byte* out = array.mutable_bytes();
  const std::size_t width = size_of(*dtype);
  for (std::size_t i = 0; i < expected; ++i)  // elements are big-endian
    out[i / width * width + (width - 1 - i % width)] = static_cast<std::byte>(bytes[header + i]);
  return array;
}

Array load_csv(const std::string& path) {
  const std::string text = read_file(path);
  std::vector<double> values;
  std::int64_t rows = 0, columns = 0, line = 1;
  const char* at = text.data();
  const char* end = at + text.size();
  const auto skip_blanks = [&] {
    while (at != end && (*at == ' ' || *at == '\t')) ++at;
  };
  while (at != end) {
    std::int64_t fields = 0;
    while (true) {
      double value = 0;
      skip_blanks();
      if (end - at > 1 && at[0] == '+' && at[1] != '-') ++at;
      const auto [next, error] = std::from_chars(at, end, value);
      if (error != std::errc{})
        throw ParseError(path + ": line " + std::to_string(line) + ": expected a number");
      values.push_back(value);
      ++fields;
      at = next;
      skip_blanks();
      if (at == end || *at != ',') break;
      ++at;
    }
    if (at != end && *at == '\r') ++at;
    if (at != end && *at++ != '\n')
      throw ParseError(path + ": line " + std::to_string(line) + ": expected a comma");
    if (rows > 0 && fields != columns)
      throw ParseError(path + ": line " + std::to_string(line) + ": " + std::to_string(fields) +
                       " numbers, expected " + std::to_string(columns));
    columns = fields;
    ++rows, ++line;
  }
  return Array::from(values, {rows, columns});
}

namespace {

/// x / scale in float32.
Array scaled(const Array& x, float scale) {
  Array result = x.to(DType::float32);
  float* values = result.mutable_data<float>();
  for (std::int64_t i = 0; i < result.size(); ++i) values[i] /= scale;
  return result;
}

}  // namespace

Dataset fashion_mnist(bool train, const std::string& folder) {
  const std::string place =
      folder_or(folder, "WEFT_FASHION_MNIST", "/usr/share/datasets/fashion-mnist") +
      (train ? "/train-" : "/t10k-");
  const auto file = [&](const char* name) {
    const std::string plain = place + name;
    return std::filesystem::exists(plain) ? plain : plain + ".gz";
  };
  const Array images = load_idx(file("images-idx3-ubyte")),
              labels = load_idx(file("labels-idx1-ubyte"));
  if (images.ndim() != 3 || labels.ndim() != 1 || images.shape()[0] != labels.shape()[0])
    throw ParseError(place + "*: images of shape " + to_string(images.shape()) +
                     " and labels of shape " + to_string(labels.shape()) +
                     " do not belong together");
  return {scaled(images, 255).reshape({images.shape()[0], -1}), labels.to(DType::int64)};
}

const std::vector<std::string>& fashion_mnist_classes() {
  static const std::vector<std::string> names{"T-shirt", "Trouser",   "Pullover", "Dress",
                                              "Coat",    "Sandal",    "Shirt",    "Sneaker",
                                              "Bag",     "Ankle boot"};
  return names;
}

Dataset digits(const std::string& path) {
  const char* home = std::getenv("HOME");
  const char* cache = std::getenv("XDG_CACHE_HOME");
  const std::string usual = cache && *cache ? std::string(cache) + "/weft/data"
                                            : std::string(home ? home : ".") + "/.cache/weft/data";
  const std::string file =
      path.empty() ? folder_or({}, "WEFT_DATA_DIR", usual.c_str()) + "/digits.csv.gz" : path;
  const Array table = load_csv(file);
  if (table.ndim() != 2 || table.shape()[1] != 65)
    throw ParseError(file + ": expected rows of 64 pixels and a class, found shape " +
                     to_string(table.shape()));
  return {scaled(runtime::slice_view(table, 1, 0, 64, 1).contiguous(), 16),
          runtime::select_view(table, 1, 64).contiguous().to(DType::int64)};
}

}  // namespace weft::data
