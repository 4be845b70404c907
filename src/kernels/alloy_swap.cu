// SPDX-License-Identifier: Apache-2.0
// A thread works off one link cell: it gathers the cell and its surroundings into bits of its own
// in shared memory (8 words for bcc with 2 shells, 30 with 6), makes all trials there, and flips in
// memory what has changed. A word holds bits of several link cells, so flips are atomic; the bits
// that a thread reads belong to no other core, so it does not matter when it reads them.
#include "kernels/alloy_cell.h"
#include "kernels/alloy_sites.h"
#include "kernels/cuda_support.cuh"

namespace ocoee::kernels::cuda {
namespace {

template <class Body>
void with_planes(int planes, const Body& body) {
  if (planes == 1) return body(std::integral_constant<int, 1>{});
  if (planes == 2) return body(std::integral_constant<int, 2>{});
  body(std::integral_constant<int, 4>{});
}

__device__ void add(int64_t* sum, int64_t value) {
  if (value)
    atomicAdd(reinterpret_cast<unsigned long long*>(sum), static_cast<unsigned long long>(value));
}

// Of a warp, into one slot where all lanes have one replica.
__device__ void add_sums(const AlloySwap& a, int64_t replica, int trials, int accepted,
                         int64_t energy) {
  const int64_t first = __shfl_sync(0xffffffffu, replica, 0);
  if (__all_sync(0xffffffffu, replica == first || replica < 0) && first >= 0) {
    trials = warp_combine(trials, SumOf<int>{});
    accepted = warp_combine(accepted, SumOf<int>{});
    energy = warp_combine(energy, SumOf<int64_t>{});
    if (threadIdx.x % 32 != 0) return;
  } else if (replica < 0) {
    return;
  }
  AlloySums& sums = a.sums[replica * AlloySums::kSlots + blockIdx.x % AlloySums::kSlots];
  add(&sums.trials, trials), add(&sums.accepted, accepted), add(&sums.energy, energy);
}

template <int kPlanes, int kBasis, int kThreads>
__global__ void __launch_bounds__(kThreads)
    swap_kernel(const __grid_constant__ AlloySwap a, const __grid_constant__ PhiloxRounds rounds) {
  extern __shared__ uint32_t tiles[];
  const AlloyGeometry& g = a.geometry;
  const int64_t index = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  const int64_t layer_links = g.links[0] * g.links[1], links = layer_links * a.link_layers;
  const bool inside = index < a.lattice.replicas * links;
  int64_t replica = -1;
  AlloyCell<kPlanes, kBasis, kThreads> cell(a, rounds, tiles + threadIdx.x);
  if (inside) {
    int64_t k[3];
    if (links < int64_t{1} << 32 && index < int64_t{1} << 32) {  // quicker divisions
      const auto i = static_cast<uint32_t>(index), in_replica = static_cast<uint32_t>(links),
                 in_layer = static_cast<uint32_t>(layer_links),
                 in_row = static_cast<uint32_t>(g.links[0]);
      const uint32_t r = i / in_replica, link = i - r * in_replica;
      const uint32_t layer = link / in_layer, rest = link - layer * in_layer;
      replica = r;
      k[1] = rest / in_row, k[0] = rest % in_row, k[2] = layer;
    } else {
      replica = index / links;
      const int64_t link = index - replica * links, rest = link % layer_links;
      k[2] = link / layer_links, k[1] = rest / g.links[0], k[0] = rest % g.links[0];
    }
    k[2] += a.first_link;
    cell.visit(replica, k, a.beta[replica],
               [](uint32_t* word, uint32_t bits) { atomicXor(word, bits); });
  }
  add_sums(a, replica, cell.trials, cell.accepted, cell.energy);
}

template <int kPlanes, int kBasis, int kThreads>
void launch_swaps(const AlloySwap& a, const device::Stream& stream) {
  const size_t shared =
      static_cast<size_t>(kThreads) * static_cast<size_t>(kPlanes * a.geometry.tile_words) * 4;
  allow_shared_memory(swap_kernel<kPlanes, kBasis, kThreads>, shared);
  const int64_t links =
      a.lattice.replicas * a.geometry.links[0] * a.geometry.links[1] * a.link_layers;
  swap_kernel<kPlanes, kBasis, kThreads>
      <<<blocks_for(links, kThreads), kThreads, shared, handle_of(stream)>>>(
          a, philox_rounds(random_key(a.seed, Purpose::monte_carlo, a.step)));
  check_launch("alloy_swap");
}

// A warp counts 32 words of any rows, and adds up each sum over its lanes.
template <int kPlanes>
__global__ void count_kernel(AlloyCount a, int64_t rows) {
  extern __shared__ uint32_t block_counts[];
  const int size = a.shells * a.species * a.species;
  const int64_t words = rows * a.lattice.row_words(), per_replica = words / a.lattice.replicas;
  const int64_t stride = static_cast<int64_t>(gridDim.x) * blockDim.x;
  // A block keeps to one replica: blockIdx.y.
  for (int k = static_cast<int>(threadIdx.x); k < size; k += static_cast<int>(blockDim.x))
    block_counts[k] = 0;
  __syncthreads();
  const int64_t end = (per_replica + stride - 1) / stride * stride;
  int64_t counted = 0;
  const auto give = [&] {
    __syncthreads();
    for (int k = static_cast<int>(threadIdx.x); k < size; k += static_cast<int>(blockDim.x)) {
      if (block_counts[k])
        atomicAdd(reinterpret_cast<unsigned long long*>(a.counts) + blockIdx.y * size + k,
                  static_cast<unsigned long long>(block_counts[k]));
      block_counts[k] = 0;
    }
    __syncthreads();
  };
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < end;
       i += stride) {
    const int64_t word = blockIdx.y * per_replica + i;
    AlloyRow row{a.lattice.replicas, 0, 0, 0};  // outside: adds nothing, but takes part
    if (i < per_replica) row = alloy_row(a, word / a.lattice.row_words());
    count_word<kPlanes>(a, row, i < per_replica ? word % a.lattice.row_words() : 0,
                        [&](int index, int count) {
                          const int sum = __reduce_add_sync(0xffffffffu, count);
                          if (threadIdx.x % 32 == 0 && sum)
                            atomicAdd(block_counts + index, static_cast<uint32_t>(sum));
                        });
    // At most 32 x 24 bonds of a shell a word: a sum stays far below 2^32 for so many rounds.
    if (++counted % 4096 == 0) give();
  }
  give();
}

template <int kPlanes>
__global__ void fill_kernel(AlloyFill a, PhiloxRounds rounds, int64_t columns) {
  const int64_t c = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (c < columns) fill_word<kPlanes>(a, rounds, c);
}

}  // namespace

void alloy_swap(const AlloySwap& a, const device::Stream& stream) {
  if (a.lattice.replicas * a.link_layers * a.trials == 0) return;
  with_planes(a.lattice.planes, [&](auto planes) {
    const auto with_basis = [&](auto basis) {
      if (a.threads == 64) return launch_swaps<planes(), basis(), 64>(a, stream);
      launch_swaps<planes(), basis(), 128>(a, stream);
    };
    if (a.lattice.basis == 1) return with_basis(std::integral_constant<int, 1>{});
    if (a.lattice.basis == 2) return with_basis(std::integral_constant<int, 2>{});
    with_basis(std::integral_constant<int, 4>{});
  });
}

void alloy_count(const AlloyCount& a, const device::Stream& stream) {
  const int64_t rows = a.lattice.replicas * a.layers * a.lattice.basis * a.lattice.cells[1];
  if (rows == 0) return;
  const int64_t per_replica = rows / a.lattice.replicas * a.lattice.row_words();
  const auto blocks = static_cast<unsigned>(
      std::min<int64_t>(ceil_div(per_replica, 256), 8 * multiprocessor_count(stream.device)));
  with_planes(a.lattice.planes, [&](auto planes) {
    // 65535 replicas at a time: the limit of a grid's second dimension.
    for (int64_t first = 0; first < a.lattice.replicas; first += 65535) {
      AlloyCount part = a;
      part.lattice.replicas = std::min<int64_t>(65535, a.lattice.replicas - first);
      part.words += first * a.lattice.layers * a.lattice.layer_words();
      part.counts += first * a.shells * a.species * a.species;
      count_kernel<planes()>
          <<<dim3(blocks, static_cast<unsigned>(part.lattice.replicas)), 256,
             static_cast<size_t>(a.shells * a.species * a.species) * 4, handle_of(stream)>>>(
              part, rows / a.lattice.replicas * part.lattice.replicas);
    }
    check_launch("alloy_count");
  });
}

void alloy_fill(const AlloyFill& a, const device::Stream& stream) {
  const int64_t columns = a.lattice.words() / a.lattice.planes;
  if (columns == 0) return;
  with_planes(a.lattice.planes, [&](auto planes) {
    fill_kernel<planes()><<<blocks_for(columns, 256), 256, 0, handle_of(stream)>>>(
        a, philox_rounds(random_key(a.seed, Purpose::initialization, 0)), columns);
    check_launch("alloy_fill");
  });
}

}  // namespace ocoee::kernels::cuda
