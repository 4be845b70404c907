// SPDX-License-Identifier: Apache-2.0
// Tensors whose memory comes and goes while views of them stay: layers bind their weights once, and
// tapes keep views of them, whatever is gathered and released in between.
#pragma once

#include <ATen/core/Tensor.h>

namespace ocoee::parallel {

at::Tensor absent_tensor(int64_t elements, const at::TensorOptions& options);  // without memory
bool present(const at::Tensor& tensor);
void make_present(const at::Tensor& tensor);  // uninitialised memory
void make_absent(const at::Tensor& tensor);   // for work that is queued later; the allocator is
                                              // ordered by the compute stream

}  // namespace ocoee::parallel
