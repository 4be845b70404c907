// SPDX-License-Identifier: Apache-2.0
// Embedding of tokens and, optionally, positions.
//   y[b, t] = token_table[ids[b, t]] + position_table[first_position + t]
// The backward adds to the gradients of both tables, bit-equal from run to run: no float atomics,
// although a token may occur in any number of rows.
#pragma once

#include "device/device.h"

namespace ocoee::kernels {

struct Embedding {
  DType dtype = DType::f32;  // of the tables and y (forward), of dy (backward)
  int64_t batch = 0, length = 0, width = 0;
  int64_t vocabulary =
      0;  // rows of the token table; an id outside gives a row of NaN, which stops the run
  int64_t first_position = 0;
  const int64_t* ids = nullptr;          // [batch, length]
  const void* token_table = nullptr;     // [vocabulary, width]
  const void* position_table = nullptr;  // [positions, width], or null
  void* y = nullptr;                     // [batch, length, width]
  // Of a split vocabulary: the table's rows are ids first_id .. first_id + vocabulary of all_ids,
  // and another rank's ids give rows of zero. 0: the table is whole.
  int64_t first_id = 0, all_ids = 0;
};
void embedding_forward(const Embedding& a, const device::Stream& stream);

struct EmbeddingBackward {
  DType dtype = DType::f32;  // of dy
  int64_t batch = 0, length = 0, width = 0, vocabulary = 0, first_position = 0;
  const int64_t* ids = nullptr;
  const void* dy = nullptr;     // [batch, length, width]
  void* d_token = nullptr;      // [vocabulary, width] f32 / f64, or bf16; added to; or null
  void* d_position = nullptr;   // [positions, width] likewise
  void* workspace = nullptr;    // of embedding_backward_workspace() bytes
  int64_t first_id = 0;         // of a split vocabulary, as above
  bool bf16_gradients = false;  // d_token and d_position are bf16
};
void embedding_backward(const EmbeddingBackward& a, const device::Stream& stream);
size_t embedding_backward_workspace(const EmbeddingBackward& a, const device::Device& device);

namespace cpu {
void embedding_forward(const Embedding& a);
void embedding_backward(const EmbeddingBackward& a);
}  // namespace cpu
namespace cuda {
void embedding_forward(const Embedding& a, const device::Stream& stream);
void embedding_backward(const EmbeddingBackward& a, const device::Stream& stream);
size_t embedding_backward_workspace(const EmbeddingBackward& a);
}  // namespace cuda

}  // namespace ocoee::kernels
