// SPDX-License-Identifier: Apache-2.0
#include "parallel/storage.h"

#include <ATen/ATen.h>

namespace ocoee::parallel {
namespace {

void set_bytes(const at::Tensor& tensor, size_t bytes) {
  c10::StorageImpl* storage = tensor.storage().unsafeGetStorageImpl();
  // Freed first, so that the allocator can give the same block again.
  storage->set_data_ptr_noswap(c10::DataPtr(nullptr, tensor.device()));
  if (bytes > 0) storage->set_data_ptr_noswap(storage->allocator()->allocate(bytes));
  storage->set_nbytes(bytes);
}

size_t whole_bytes(const at::Tensor& tensor) {
  return static_cast<size_t>(tensor.numel()) * tensor.element_size();
}

}  // namespace

at::Tensor absent_tensor(int64_t elements, const at::TensorOptions& options) {
  at::Tensor tensor = at::empty({elements}, options);
  set_bytes(tensor, 0);
  return tensor;
}

bool present(const at::Tensor& tensor) {
  return tensor.storage().nbytes() > 0 || tensor.numel() == 0;
}

void make_present(const at::Tensor& tensor) {
  if (!present(tensor)) set_bytes(tensor, whole_bytes(tensor));
}

void make_absent(const at::Tensor& tensor) {
  if (tensor.numel() > 0) set_bytes(tensor, 0);
}

}  // namespace ocoee::parallel
