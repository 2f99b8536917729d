#include "weft/dlpack.h"

#include <memory>

#include "ir/error.h"
#include "runtime/cuda_device.h"
#include "weft/io.h"

namespace weft {
namespace {

using dlpack::ManagedTensor;
using dlpack::TypeCode;

dlpack::DataType to_type(DType t) {
  const auto bits = static_cast<std::uint8_t>(8 * size_of(t));
  if (t == DType::bfloat16) return {TypeCode::bfloat, bits, 1};
  switch (category(t)) {
    case Category::boolean: return {TypeCode::boolean, bits, 1};
    case Category::integer:
      return {is_signed(t) ? TypeCode::integer : TypeCode::unsigned_integer, bits, 1};
    case Category::floating: return {TypeCode::floating, bits, 1};
    case Category::complex: return {TypeCode::complex, bits, 1};
  }
  __builtin_unreachable();
}

DType from_type(dlpack::DataType type) {
  for (int i = 0; i < dtype_count; ++i) {
    const dlpack::DataType t = to_type(static_cast<DType>(i));
    if (t.code == type.code && t.bits == type.bits && type.lanes == 1) return static_cast<DType>(i);
  }
  throw DTypeError("from_dlpack: elements of type code " +
                   std::to_string(static_cast<int>(type.code)) + ", " + std::to_string(type.bits) +
                   " bits and " + std::to_string(type.lanes) + " lanes are not supported");
}

Device from_device(dlpack::Device d) {
  switch (d.type) {
    case dlpack::DeviceType::cpu:
    case dlpack::DeviceType::cuda_host: return Device::cpu();
    case dlpack::DeviceType::cuda:
    case dlpack::DeviceType::cuda_managed: return Device::cuda(d.id);
  }
  throw DeviceError("from_dlpack: the device type " + std::to_string(static_cast<int>(d.type)) +
                    " is not supported");
}

/// What an exported tensor points into.
struct Exported {
  ManagedTensor tensor{};
  Array array;
  Shape shape, strides;
};

}  // namespace

ManagedTensor* to_dlpack(const Array& array) {
  auto out = std::make_unique<Exported>();
  out->array = array;
  out->shape = array.shape();
  out->strides = array.strides();
  const Device device = array.device();
  device.synchronize();  // whoever takes it has streams of its own
  out->tensor.tensor = {
      .data = const_cast<std::byte*>(array.bytes()),
      .device = {device.is_cpu() ? dlpack::DeviceType::cpu : dlpack::DeviceType::cuda,
                 device.index()},
      .ndim = static_cast<std::int32_t>(array.ndim()),
      .dtype = to_type(array.dtype()),
      .shape = out->shape.data(),
      .strides = out->strides.data(),
      .byte_offset = 0,
  };
  out->tensor.manager_context = out.get();
  out->tensor.deleter = [](ManagedTensor* self) {
    delete static_cast<Exported*>(self->manager_context);
  };
  return &out.release()->tensor;
}

Array from_dlpack(ManagedTensor* managed) {
  if (!managed) throw Error("from_dlpack: a null tensor");
  const dlpack::Tensor& t = managed->tensor;
  const DType dtype = from_type(t.dtype);
  const Device device = from_device(t.device);
  if (t.ndim < 0 || (t.ndim > 0 && !t.shape))
    throw ShapeError("from_dlpack: a tensor without a shape");
  Shape shape(t.shape, t.shape + t.ndim);
  Shape strides =
      t.strides ? Shape(t.strides, t.strides + t.ndim) : runtime::contiguous_strides(shape);
  const std::int64_t count = element_count(shape);
  if (count > 0 && !t.data) throw Error("from_dlpack: a tensor without data");
  auto* data = static_cast<std::byte*>(t.data) + t.byte_offset;
  const auto release = [](ManagedTensor* m) {
    if (m->deleter) m->deleter(m);
  };
  const std::size_t part = is_complex(dtype) ? size_of(dtype) / 2 : size_of(dtype);
  if (device.is_cpu() && reinterpret_cast<std::uintptr_t>(data) % part != 0) {
    Array copy = Array::uninitialized(dtype, shape);
    runtime::copy_strided(copy.mutable_bytes(), copy.strides(), data, strides, shape,
                          size_of(dtype));
    release(managed);
    return copy;
  }
  std::shared_ptr<bool> armed = std::make_shared<bool>(false);
  const runtime::CudaDevice* const used_by =
      device.is_cpu() ? nullptr : &runtime::CudaDevice::get(device);
  std::shared_ptr<void> owner(managed, [release, armed, used_by](ManagedTensor* m) {
    if (!*armed) return;
    if (used_by) used_by->settle();  // calls that returned may still have to read it
    release(m);
  });
  const std::size_t bytes = static_cast<std::size_t>(count) * size_of(dtype);
  Array a = Array::from_buffer(runtime::Buffer::borrow(data, bytes, std::move(owner), device),
                               dtype, std::move(shape), std::move(strides));
  *armed = true;  // from here on nothing throws: the tensor is ours
  return a;
}

}  // namespace weft
