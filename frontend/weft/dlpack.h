// The DLPack ABI (https://dmlc.github.io/dlpack), laid out as its specification says. In a
// namespace of our own, so that a program may include the official header too: reinterpret_cast a
// DLManagedTensor* where the two meet.
#pragma once

#include <cstdint>

namespace weft::dlpack {

enum class DeviceType : std::int32_t { cpu = 1, cuda = 2, cuda_host = 3, cuda_managed = 13 };

struct Device {
  DeviceType type;
  std::int32_t id;
};

enum class TypeCode : std::uint8_t {
  integer = 0,
  unsigned_integer = 1,
  floating = 2,
  bfloat = 4,
  complex = 5,
  boolean = 6
};

struct DataType {
  TypeCode code;
  std::uint8_t bits;
  std::uint16_t lanes;
};

struct Tensor {
  void* data;
  Device device;
  std::int32_t ndim;
  DataType dtype;
  std::int64_t* shape;
  std::int64_t* strides;  // in elements; null when contiguous
  std::uint64_t byte_offset;
};

/// DLManagedTensor: the consumer calls `deleter(self)` once when it is done.
struct ManagedTensor {
  Tensor tensor;
  void* manager_context;
  void (*deleter)(ManagedTensor* self);
};

}  // namespace weft::dlpack
