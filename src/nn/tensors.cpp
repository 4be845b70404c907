// SPDX-License-Identifier: Apache-2.0
#include "nn/tensors.h"

#include "core/error.h"

namespace ocoee::nn {

DType dtype_of(c10::ScalarType type) {
  switch (type) {
    case at::kFloat:
      return DType::f32;
    case at::kDouble:
      return DType::f64;
    case at::kBFloat16:
      return DType::bf16;
    case at::kHalf:
      return DType::f16;
    case at::kLong:
      return DType::i64;
    case at::kInt:
      return DType::i32;
    case at::kShort:
      return DType::i16;
    case at::kByte:
      return DType::u8;
    case at::kBool:
      return DType::boolean;
    default:
      fail(ErrorKind::internal, "tensor type {} has no element type here", c10::toString(type));
  }
}

c10::ScalarType scalar_type_of(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return at::kFloat;
    case DType::f64:
      return at::kDouble;
    case DType::bf16:
      return at::kBFloat16;
    case DType::f16:
      return at::kHalf;
    case DType::i64:
      return at::kLong;
    case DType::i32:
      return at::kInt;
    case DType::i16:
      return at::kShort;
    case DType::u8:
      return at::kByte;
    case DType::boolean:
      return at::kBool;
    default:
      fail(ErrorKind::internal, "element type {} has no tensor type", name_of(dtype));
  }
}

device::Device place_of(const at::Tensor& tensor) {
  if (!tensor.is_cuda()) return {};
  return {device::Kind::cuda, tensor.get_device()};
}

c10::Device torch_device(const device::Device& device) {
  return device.is_cuda() ? c10::Device(c10::kCUDA, static_cast<c10::DeviceIndex>(device.index))
                          : c10::Device(c10::kCPU);
}

device::Buffer buffer_of(const at::Tensor& tensor) {
  OCOEE_CHECK(tensor.is_contiguous(), "a buffer needs a contiguous tensor");
  return {tensor.data_ptr(), tensor.numel(), dtype_of(tensor.scalar_type()), place_of(tensor)};
}

at::Tensor workspace(size_t bytes, const at::Tensor& like) {
  return at::empty({static_cast<int64_t>(std::max<size_t>(bytes, 1))},
                   like.options().dtype(at::kByte));
}

}  // namespace ocoee::nn
