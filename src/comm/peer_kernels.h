// SPDX-License-Identifier: Apache-2.0
// What multiprocessors do in a collective by copy engines (peer_copies.h): meetings and sums.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "core/dtype.h"

namespace ocoee::comm::cuda {

constexpr int kMostRanks = 8;    // that copy to each other
constexpr int kFlagStride = 32;  // words between flags: a line of memory each

// Nobody goes on before everybody has come. flags[r] lies in rank r's memory; rank s writes its
// line s there. One warp.
struct Meeting {
  uint32_t* flags[kMostRanks];
  uint32_t* count;       // meetings so far: a graph's replay goes on counting
  const uint32_t* stop;  // in host memory; not 0: the others will not come
  int rank, size;
};
void meet(const Meeting& meeting, cudaStream_t stream);

// out = the sum of the blocks in the order of ranks, in float32 (float64: in float64), rounded
// once. out may be one of them. False: no such sum of this dtype.
struct BlockSum {
  const void* blocks[kMostRanks];
  int count;
  void* out;
  int64_t elements;
  DType dtype;
};
bool has_sum(DType dtype);
void sum_blocks(const BlockSum& sum, cudaStream_t stream);

}  // namespace ocoee::comm::cuda
