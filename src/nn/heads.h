// SPDX-License-Identifier: Apache-2.0
// Shapes of attention: [B, T, heads, D] as the layers hold it, [B, heads, T, D] as ATen multiplies
// it, and key-value heads that a group of query heads shares.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace ocoee::nn {

inline at::Tensor heads_first(const at::Tensor& t) {
  return t.transpose(1, 2);
}

// [B, kv_heads, T, D] -> [B, heads, T, D]: key-value heads once for each query head of their group.
inline at::Tensor repeated(const at::Tensor& t, int64_t heads) {
  const int64_t groups = heads / t.size(1);
  return groups == 1 ? t : t.repeat_interleave(groups, 1);
}

// [B, heads, T, D] -> [B, kv_heads, T, D]: what a shared head received from its group.
inline at::Tensor summed(const at::Tensor& t, int64_t kv_heads) {
  const int64_t groups = t.size(1) / kv_heads;
  return groups == 1 ? t : t.view({t.size(0), kv_heads, groups, t.size(2), t.size(3)}).sum(2);
}

}  // namespace ocoee::nn
