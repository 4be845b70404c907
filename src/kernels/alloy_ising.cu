// SPDX-License-Identifier: Apache-2.0
// A thread updates 128 spins, its random bits in registers. Bound by integer instructions: per 128
// spins 8 to 9 calls of Philox (each 20 multiplications and 20 logical operations), 128 logical
// operations to compare and about 60 for the neighbours; memory moves 3/8 byte a flip.
#include "kernels/alloy_ising.h"
#include "kernels/alloy_ising_quad.h"
#include "kernels/cuda_support.cuh"

namespace ocoee::kernels::cuda {
namespace {

constexpr int kThreads = 256;

__device__ IsingQuad load_quad(const uint32_t* spins, int64_t quad) {
  const uint4 v = reinterpret_cast<const uint4*>(spins)[quad];
  return {{v.x, v.y, v.z, v.w}};
}

struct Around {  // quads of the other colour
  int64_t up, same, down;
  int64_t beyond;  // a word
};
__device__ Around around(int64_t index, int64_t quads, int64_t height, bool& odd, int colour) {
  const auto row_quads = static_cast<uint32_t>(quads);
  int64_t y, q;
  if (index < int64_t{1} << 32) {
    const auto i = static_cast<uint32_t>(index);
    y = i / row_quads, q = i % row_quads;
  } else {
    y = index / quads, q = index % quads;
  }
  odd = (y + colour) & 1;
  const int64_t row = index - q;
  const int64_t next = odd ? (q + 1 == quads ? 0 : q + 1) : (q == 0 ? quads - 1 : q - 1);
  return {y == 0 ? index + (height - 1) * quads : index - quads, index,
          y == height - 1 ? q : index + quads, 4 * (row + next) + (odd ? 0 : 3)};
}

__global__ void __launch_bounds__(kThreads)
    sweep_kernel(uint32_t* own, const uint32_t* __restrict__ other, int64_t quads, int64_t height,
                 int colour, const __grid_constant__ IsingRule rule,
                 const __grid_constant__ PhiloxRounds rounds) {
  const int64_t index = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (index >= quads * height) return;
  bool odd;
  const Around at = around(index, quads, height, odd, colour);
  const IsingQuad same = load_quad(other, at.same);
  const IsingQuad side = ising_side(same, other[at.beyond], odd);
  const IsingQuad updated =
      ising_update(load_quad(own, index), load_quad(other, at.up), load_quad(other, at.down), same,
                   side, rule, rounds, static_cast<uint64_t>(2 * index + colour));
  reinterpret_cast<uint4*>(own)[index] =
      make_uint4(updated.v[0], updated.v[1], updated.v[2], updated.v[3]);
}

__global__ void __launch_bounds__(kThreads) measure_kernel(IsingMeasure a) {
  const int64_t quads = a.width / 256;
  int up = 0, antiparallel = 0;
  const int64_t stride = static_cast<int64_t>(gridDim.x) * kThreads;
  for (int64_t first = static_cast<int64_t>(blockIdx.x) * kThreads; first < quads * a.height;
       first += stride) {
    const int64_t index = first + threadIdx.x;
    if (index < quads * a.height) {
      bool odd;
      const Around at = around(index, quads, a.height, odd, 0);
      const IsingQuad own = load_quad(a.spins[0], index), above = load_quad(a.spins[1], at.up),
                      below_it = load_quad(a.spins[1], at.down),
                      same = load_quad(a.spins[1], at.same),
                      side = ising_side(same, a.spins[1][at.beyond], odd);
      for (int w = 0; w < 4; ++w) {
        up += count_bits(own.v[w]) + count_bits(same.v[w]);
        antiparallel += count_bits(own.v[w] ^ above.v[w]) + count_bits(own.v[w] ^ below_it.v[w]) +
                        count_bits(own.v[w] ^ same.v[w]) + count_bits(own.v[w] ^ side.v[w]);
      }
    }
  }
  // 2^31 spins a warp would take a lattice of 2^45.
  up = warp_combine(up, SumOf<int>{}), antiparallel = warp_combine(antiparallel, SumOf<int>{});
  if (threadIdx.x % 32 != 0) return;
  auto* sums = reinterpret_cast<unsigned long long*>(a.sums);
  atomicAdd(sums, static_cast<unsigned long long>(up));
  atomicAdd(sums + 1, static_cast<unsigned long long>(antiparallel));
}

}  // namespace

void ising_sweep(const Ising& a, const device::Stream& stream) {
  const PhiloxRounds rounds = philox_rounds(random_key(a.seed, Purpose::monte_carlo, a.sweep));
  const IsingRule rule = ising_rule(a.beta);
  const int64_t quads = a.width / 256;
  for (int colour = 0; colour < 2; ++colour) {
    sweep_kernel<<<blocks_for(quads * a.height, kThreads), kThreads, 0, handle_of(stream)>>>(
        a.spins[colour], a.spins[1 - colour], quads, a.height, colour, rule, rounds);
    check_launch("ising_sweep");
  }
}

void ising_measure(const IsingMeasure& a, const device::Stream& stream) {
  const int64_t quads = a.width / 256 * a.height;
  const auto blocks = static_cast<unsigned>(
      std::min<int64_t>(ceil_div(quads, kThreads), 8 * multiprocessor_count(stream.device)));
  measure_kernel<<<blocks, kThreads, 0, handle_of(stream)>>>(a);
  check_launch("ising_measure");
}

}  // namespace ocoee::kernels::cuda
