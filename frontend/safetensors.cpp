// Safetensors: eight bytes of header length, a JSON header, the tensors' bytes.
#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "frontend/npy.h"
#include "weft/io.h"

namespace weft {
namespace {

using frontend::Sink;
using frontend::Source;
using Json = nlohmann::json;

constexpr std::uint64_t max_header = 100u << 20;  // the format's own limit
constexpr const char* metadata_key = "__metadata__";

constexpr std::array<std::pair<std::string_view, DType>, 14> codes{{
    {"BOOL", DType::boolean},
    {"U8", DType::uint8},
    {"I8", DType::int8},
    {"I16", DType::int16},
    {"I32", DType::int32},
    {"I64", DType::int64},
    {"U16", DType::uint16},
    {"U32", DType::uint32},
    {"U64", DType::uint64},
    {"F16", DType::float16},
    {"BF16", DType::bfloat16},
    {"F32", DType::float32},
    {"F64", DType::float64},
    {"C64", DType::complex64},
}};

DType parse_code(const Source& file, const std::string& tensor, const std::string& code) {
  for (const auto& [text, dtype] : codes)
    if (text == code) return dtype;
  file.fail(8, "tensor '" + tensor + "' has the dtype '" + code + "', which is not supported");
}

Array read_tensor(const Source& file, std::uint64_t data, const std::string& name,
                  const Json& entry) {
  const auto fail = [&](const std::string& problem) {
    file.fail(8, "tensor '" + name + "' " + problem);
  };
  const auto is_list = [&](const char* key) {
    const auto it = entry.find(key);
    return it != entry.end() && it->is_array() &&
           std::all_of(it->begin(), it->end(),
                       [](const Json& v) { return v.is_number_unsigned(); });
  };
  if (!entry.is_object() || !entry.contains("dtype") || !entry["dtype"].is_string() ||
      !is_list("shape") || !is_list("data_offsets") || entry["data_offsets"].size() != 2)
    fail("needs dtype, shape and two data_offsets");
  const DType dtype = parse_code(file, name, entry["dtype"].get<std::string>());
  const auto begin = entry["data_offsets"][0].get<std::uint64_t>(),
             end = entry["data_offsets"][1].get<std::uint64_t>();
  std::uint64_t bytes = size_of(dtype);
  Shape shape;
  for (const Json& extent : entry["shape"]) {
    const auto d = extent.get<std::uint64_t>();
    if (d > INT64_MAX || __builtin_mul_overflow(bytes, d, &bytes))
      fail("has a shape that overflows");
    shape.push_back(static_cast<std::int64_t>(d));
  }
  if (begin > end || end - begin != bytes) fail("has offsets that do not fit its shape and dtype");
  if (end > file.size() - data)
    file.fail(data, "truncated: tensor '" + name + "' ends at byte " + std::to_string(end) +
                        " of the data");
  Array a = Array::uninitialized(dtype, std::move(shape));
  file.read(data + begin, a.mutable_bytes(), bytes);
  frontend::normalise_booleans(a);
  return a;
}

Json parse_header(const Source& file, const std::string& text) {
  try {
    Json header = Json::parse(text);
    if (!header.is_object()) file.fail(8, "the header is not a JSON object");
    return header;
  } catch (const Json::parse_error& e) {
    file.fail(8 + e.byte, std::string("the header is not JSON: ") + e.what());
  } catch (const Json::out_of_range& e) {  // a number that no double holds
    file.fail(8, std::string("the header is not JSON: ") + e.what());
  }
}

}  // namespace

NamedArrays load_safetensors(const std::string& path,
                             std::map<std::string, std::string>* metadata) {
  const Source file = Source::open(path);
  const auto length = file.integer<std::uint64_t>(0);
  if (length > max_header)
    file.fail(0, "not a safetensors file: a header of " + std::to_string(length) + " bytes");
  const Json header = parse_header(file, file.text(8, length));
  NamedArrays arrays;
  std::map<std::string, std::string> strings;
  for (const auto& [name, entry] : header.items()) {
    if (name != metadata_key) {
      arrays.emplace(name, read_tensor(file, 8 + length, name, entry));
      continue;
    }
    if (!entry.is_object()) file.fail(8, "__metadata__ is not an object");
    for (const auto& [key, value] : entry.items()) {
      if (!value.is_string()) file.fail(8, "__metadata__ holds something other than strings");
      strings[key] = value.get<std::string>();
    }
  }
  if (metadata) *metadata = std::move(strings);
  return arrays;
}

void save_safetensors(const std::string& path, const NamedArrays& arrays,
                      const std::map<std::string, std::string>& metadata) {
  Json header = Json::object();
  if (!metadata.empty()) header[metadata_key] = metadata;
  std::uint64_t offset = 0;
  for (const auto& [name, array] : arrays) {
    if (name == metadata_key)
      throw IoError(path + ": the format keeps the name '" + name + "' for strings");
    const auto code = std::find_if(codes.begin(), codes.end(),
                                   [&](const auto& c) { return c.second == array.dtype(); });
    if (code == codes.end())
      throw DTypeError("save_safetensors: '" + name + "' has the dtype " +
                       std::string(weft::name(array.dtype())) + ", which the format does not have");
    header[name] = {{"dtype", code->first},
                    {"shape", array.shape()},
                    {"data_offsets", {offset, offset + array.nbytes()}}};
    offset += array.nbytes();
  }
  std::string text;
  try {
    text = header.dump();
  } catch (const Json::type_error&) { throw IoError(path + ": names and metadata must be UTF-8"); }
  text.append((8 - text.size() % 8) % 8, ' ');
  Sink sink(path);
  const std::uint64_t length = text.size();
  sink.write(&length, sizeof length);
  sink.write(text);
  for (const auto& [name, array] : arrays) {
    const Array dense = array.to(Device::cpu()).contiguous();
    sink.write(dense.bytes(), dense.nbytes());
  }
  sink.commit();
}

}  // namespace weft
