// SPDX-License-Identifier: Apache-2.0
// One matrix product by the quickest of the libraries that LibTorch holds.
#pragma once

#include <ATen/core/Tensor.h>

namespace ocoee::nn {

// c = a b, or c += a b where `adds`: a [m, k] and b [k, n], which may be transposed views, and c
// [m, n], of one type on one device.
void matrix_product(const at::Tensor& a, const at::Tensor& b, const at::Tensor& c,
                    bool adds = false);

// c = a b + bias, with bias [n].
void matrix_product(const at::Tensor& a, const at::Tensor& b, const at::Tensor& bias,
                    const at::Tensor& c);

// Whether oneDNN would take c = a b (or c += a b): float32 of some size, on a CPU where it is the
// quicker library.
bool takes_onednn(const at::Tensor& a, const at::Tensor& b, const at::Tensor& c);

}  // namespace ocoee::nn
