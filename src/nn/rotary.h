// SPDX-License-Identifier: Apache-2.0
// Rotary positions in the half-split form of Llama in Hugging Face (Su et al. 2021): of a head's D
// elements, i and i + D/2 are a pair that turns by position * base^(-2i/D).
#pragma once

#include <ATen/core/Tensor.h>

namespace ocoee::nn {

// Cosine and sine [T, D/2] of positions [T] (int64), computed in float64 and kept in float32
// (float64 for float64).
struct Rotation {
  at::Tensor cos, sin;
};
Rotation rotation_of(const at::Tensor& positions, int64_t head_dim, double base,
                     const at::TensorOptions& options);

// Turns heads [B, T, heads, D], the first part of contiguous rows, in place; `back` turns them
// back, which is also what their gradients need.
void rotate(const at::Tensor& heads, const Rotation& rotation, bool back);

}  // namespace ocoee::nn
