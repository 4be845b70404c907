// SPDX-License-Identifier: Apache-2.0
// Second stage of sums over rows: partials [parts, planes, width] -> out[plane][width], in a fixed
// order; out is W or bf16.
#pragma once

#include "kernels/cuda_support.cuh"

namespace ocoee::kernels::cuda {

// Shares of the rows whose sums are partials: a function of the rows alone.
inline int row_parts(int64_t rows) {
  const int64_t parts = ceil_div(rows, 64);
  return static_cast<int>(parts < 1 ? 1 : parts > 256 ? 256 : parts);
}

template <class W, class G>
__global__ void __launch_bounds__(1024)
    add_column_partials(const W* partials, int parts, int planes, int64_t width, G* out0, G* out1) {
  __shared__ W scratch[32][33];
  const int64_t column = static_cast<int64_t>(blockIdx.x) * 32 + threadIdx.x;
  const int plane = static_cast<int>(blockIdx.y);
  G* out = plane == 0 ? out0 : out1;
  if (!out) return;
  W sum = 0;
  if (column < width) {
    for (int part = static_cast<int>(threadIdx.y); part < parts; part += 32)
      sum += partials[(static_cast<int64_t>(part) * planes + plane) * width + column];
  }
  scratch[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  // Warp y now sums column y of the tile.
  const W total = warp_combine(scratch[threadIdx.x][threadIdx.y], SumOf<W>());
  const int64_t target = static_cast<int64_t>(blockIdx.x) * 32 + threadIdx.y;
  if (threadIdx.x == 0 && target < width) add_to(out[target], total);
}

template <class W>
void launch_column_partials(const W* partials, int parts, int planes, int64_t width, void* out0,
                            void* out1, bool bf16_out, cudaStream_t stream) {
  const dim3 grid(blocks_for(width, 32), static_cast<unsigned>(planes));
  const auto launch = [&](auto tag) {
    using G = typename decltype(tag)::type;
    add_column_partials<W, G><<<grid, dim3(32, 32), 0, stream>>>(
        partials, parts, planes, width, static_cast<G*>(out0), static_cast<G*>(out1));
  };
  if (bf16_out) {
    launch(TypeTag<BFloat16>());
  } else {
    launch(TypeTag<W>());
  }
  check_launch("add_column_partials");
}

}  // namespace ocoee::kernels::cuda
