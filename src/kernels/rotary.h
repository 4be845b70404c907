// SPDX-License-Identifier: Apache-2.0
// Rotary positions (Su et al. 2021) in place, in the half-split form of Llama in Hugging Face: each
// pair (a, b) = (x[i], x[i + head_dim / 2]) of a head turns by its token's angle,
//
//   a' = a cos - b sin,  b' = b cos + a sin
//
// and its gradient turns back. Heads may be the first part of a wider row (queries and keys of what
// one product made).
#pragma once

#include "device/device.h"

namespace ocoee::kernels {

struct Rotary {
  DType dtype = DType::f32;                     // f32, bf16, f16 or f64
  int64_t tokens = 0, heads = 0, head_dim = 0;  // all samples' tokens, one after the other
  int64_t token_stride = 0;                     // elements from token to token
  int64_t length = 0;                           // rows of the tables: token t uses t % length
  const void* cos = nullptr;                    // [length, head_dim / 2] f32 (f64 for f64)
  const void* sin = nullptr;
  bool back = false;
  void* x = nullptr;
};
void rotary(const Rotary& a, const device::Stream& stream);

namespace cpu {
void rotary(const Rotary& a);
}  // namespace cpu
namespace cuda {
void rotary(const Rotary& a, const device::Stream& stream);
}  // namespace cuda

}  // namespace ocoee::kernels
