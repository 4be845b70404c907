// SPDX-License-Identifier: Apache-2.0
// Scaled dot-product attention on a GPU by cuDNN's fused kernels, forward and backward (Dao et al.
// 2022: the backward recomputes the probabilities from the log-sum-exp). Query heads share
// key-value heads in groups.
//
//   out = softmax(scale q k') v,   q, out [batch, length, heads, head_dim],
//                                  k, v [batch, keys, kv_heads, head_dim]
//
// Every array may be a strided part of a larger one, its last dimension contiguous: queries, keys
// and values lie side by side in what one product made, and their gradients are written there.
#pragma once

#include <array>

#include "device/device.h"

namespace ocoee::kernels {

struct HeadsView {
  void* data = nullptr;
  std::array<int64_t, 3> strides{};  // elements from one sample, token, head to the next
};

struct Attention {
  DType dtype = DType::bf16;  // bf16 or f16
  int64_t batch = 0, length = 0, keys = 0, heads = 0, kv_heads = 0, head_dim = 0;
  bool causal = true;  // needs length = keys
  double scale = 1;
  bool deterministic = false;  // backward: the same bits in every run, slower
  bool measure = false;        // time the library's plans, once for each shape
  HeadsView q, k, v, out;
  float* log_sum_exp = nullptr;    // [batch, heads, length]; forward: null if no backward follows
  HeadsView d_out, d_q, d_k, d_v;  // backward
  void* workspace = nullptr;       // of attention_workspace() bytes, asked for before each call
};

namespace cuda {
// Bytes of scratch, or a negative number where the library has no kernel for this (the program may
// also be built without cuDNN's front end).
int64_t attention_workspace(const Attention& a, bool backward, const device::Stream& stream);
void attention_forward(const Attention& a, const device::Stream& stream);
void attention_backward(const Attention& a, const device::Stream& stream);
}  // namespace cuda

}  // namespace ocoee::kernels
