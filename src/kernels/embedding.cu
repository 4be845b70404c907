// SPDX-License-Identifier: Apache-2.0
// Backward: rows are sorted by token (CUB's stable radix sort), so equal tokens lie side by side.
// Each block adds up runs within a fixed piece of the sorted list; runs that cross pieces leave
// partial sums, which the piece where the run began collects in order. No atomics, and the same
// bits every time.
#include <algorithm>
#include <cub/device/device_radix_sort.cuh>

#include "kernels/cuda_support.cuh"
#include "kernels/embedding.h"

namespace ocoee::kernels::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kPiece = 32;  // sorted rows of a block

template <class T, int N>
__global__ void embedding_forward_kernel(Embedding a) {
  using W = Wide<T>;
  const int64_t row = blockIdx.x, id = a.ids[row] - a.first_id;
  const bool known = id >= 0 && id < a.vocabulary;
  const bool elsewhere = a.ids[row] >= 0 && a.ids[row] < a.all_ids;
  for (int64_t i = threadIdx.x * N; i < a.width; i += static_cast<int64_t>(blockDim.x) * N) {
    Pack<T, N> y;
    if (known) {
      y = load<N>(static_cast<const T*>(a.token_table) + id * a.width + i);
      if (a.position_table) {
        const Pack<T, N> position = load<N>(static_cast<const T*>(a.position_table) +
                                            (a.first_position + row % a.length) * a.width + i);
        W sum[N];
#pragma unroll
        for (int k = 0; k < N; ++k) sum[k] = widen(y.v[k]) + widen(position.v[k]);
        y = narrow_all<T>(sum);
      }
    } else {
#pragma unroll
      for (int k = 0; k < N; ++k) y.v[k] = narrow<T>(elsewhere ? W(0) : static_cast<W>(NAN));
    }
    store<N>(static_cast<T*>(a.y) + row * a.width + i, y);
  }
}

__global__ void fill_keys(const int64_t* ids, int64_t rows, int64_t first_id, int64_t vocabulary,
                          uint32_t* keys, uint32_t* row_of) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= rows) return;
  const int64_t id = ids[i] - first_id;
  // Those that are not here go to the end and are left out.
  keys[i] = static_cast<uint32_t>(id >= 0 && id < vocabulary ? id : vocabulary);
  row_of[i] = static_cast<uint32_t>(i);
}

template <class G, class W, int N>
__device__ inline void add_all(G* to, const W (&sum)[N]) {
  Pack<G, N> all = load<N>(to);
#pragma unroll
  for (int k = 0; k < N; ++k) add_to(all.v[k], sum[k]);
  store<N>(to, all);
}

// heads[piece]: sum of a run that began in an earlier piece; tails[piece]: of one that began here
// and goes on.
template <class T, class G, int N>
__global__ void add_runs(const T* dy, const uint32_t* keys, const uint32_t* row_of, int64_t rows,
                         int64_t width, int64_t vocabulary, G* d_token, Wide<T>* heads,
                         Wide<T>* tails) {
  using W = Wide<T>;
  __shared__ uint32_t key[kPiece + 2], from[kPiece];
  const int64_t begin = static_cast<int64_t>(blockIdx.x) * kPiece;
  const int count = static_cast<int>(rows - begin < kPiece ? rows - begin : kPiece);
  constexpr uint32_t kNone = 0xffffffffu;
  for (int i = static_cast<int>(threadIdx.x); i < count + 2; i += static_cast<int>(blockDim.x)) {
    const int64_t at = begin + i - 1;
    key[i] = at >= 0 && at < rows ? keys[at] : kNone;
    if (i < count) from[i] = row_of[begin + i];
  }
  __syncthreads();
  const int64_t column = (static_cast<int64_t>(blockIdx.y) * blockDim.x + threadIdx.x) * N;
  if (column >= width) return;
  W sum[N] = {};
  bool began_here = key[0] != key[1];
#pragma unroll 8
  for (int i = 0; i < count; ++i) {
    const uint32_t own = key[i + 1];
    const Pack<T, N> pack = load<N>(dy + static_cast<int64_t>(from[i]) * width + column);
#pragma unroll
    for (int k = 0; k < N; ++k) sum[k] += widen(pack.v[k]);
    const bool ends = key[i + 2] != own, last = i + 1 == count;
    if (!ends && !last) continue;
    if (own < vocabulary) {
      if (began_here && ends) {
        add_all(d_token + own * width + column, sum);
      } else {
        store_sums((began_here ? tails : heads) + blockIdx.x * width + column, sum);
      }
    }
#pragma unroll
    for (int k = 0; k < N; ++k) sum[k] = 0;
    began_here = true;
  }
}

constexpr int kJoinColumns = 32, kJoinLanes = 8;

// A run that crosses pieces: its tail and the heads that follow, by kJoinLanes threads a column,
// whose sums are added in order.
template <class W, class G>
__global__ void __launch_bounds__(kJoinColumns* kJoinLanes)
    join_runs(const uint32_t* keys, int64_t rows, int64_t width, int64_t vocabulary, G* d_token,
              const W* heads, const W* tails) {
  __shared__ W scratch[kJoinLanes][kJoinColumns];
  const int64_t begin = static_cast<int64_t>(blockIdx.x) * kPiece, end = begin + kPiece;
  if (end >= rows) return;
  const uint32_t id = keys[end - 1];
  const bool goes_on = keys[end] == id && id < vocabulary;
  const bool began_before = keys[begin] == id && begin > 0 && keys[begin - 1] == id;
  if (!goes_on || began_before) return;
  int64_t low = end, high = rows;  // the first row beyond the run
  while (low < high) {
    const int64_t middle = (low + high) / 2;
    if (keys[middle] > id) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  const int64_t last = (low - 1) / kPiece;
  for (int64_t first = static_cast<int64_t>(blockIdx.y) * kJoinColumns; first < width;
       first += static_cast<int64_t>(gridDim.y) * kJoinColumns) {
    const int64_t column = first + threadIdx.x;
    W sum = 0;
    if (column < width) {
#pragma unroll 4
      for (int64_t piece = blockIdx.x + 1 + threadIdx.y; piece <= last; piece += kJoinLanes)
        sum += heads[piece * width + column];
    }
    scratch[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y == 0 && column < width) {
      W total = tails[blockIdx.x * width + column];
      for (int lane = 0; lane < kJoinLanes; ++lane) total += scratch[lane][threadIdx.x];
      add_to(d_token[id * width + column], total);
    }
    __syncthreads();
  }
}

template <class T, class G, int N>
__global__ void add_positions(const T* dy, int64_t batch, int64_t length, int64_t width,
                              G* d_position) {
  const int64_t i = (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) * N;
  if (i >= length * width) return;
  Wide<T> sum[N] = {};
#pragma unroll 4
  for (int64_t b = 0; b < batch; ++b) {
    const Pack<T, N> pack = load<N>(dy + b * length * width + i);
#pragma unroll
    for (int k = 0; k < N; ++k) sum[k] += widen(pack.v[k]);
  }
  add_all(d_position + i, sum);
}

struct Workspace {
  uint32_t *keys_in, *keys, *rows_in, *rows;
  void* sort;
  size_t sort_bytes;
  void *heads, *tails;
  size_t bytes;
};

int key_bits(int64_t vocabulary) {
  int bits = 1;
  while ((int64_t{1} << bits) <= vocabulary) ++bits;
  return bits;
}

// How the workspace is cut; with a null base, only its size.
Workspace cut(const EmbeddingBackward& a, void* base) {
  Workspace w{};
  const int64_t rows = a.batch * a.length;
  size_t at = 0;
  const auto take = [&](size_t bytes) {
    void* place = base ? static_cast<char*>(base) + at : nullptr;
    at += (bytes + 255) / 256 * 256;
    return place;
  };
  const auto words = static_cast<size_t>(rows) * sizeof(uint32_t);
  w.keys_in = static_cast<uint32_t*>(take(words));
  w.keys = static_cast<uint32_t*>(take(words));
  w.rows_in = static_cast<uint32_t*>(take(words));
  w.rows = static_cast<uint32_t*>(take(words));
  cub::DeviceRadixSort::SortPairs(nullptr, w.sort_bytes, w.keys_in, w.keys, w.rows_in, w.rows,
                                  static_cast<int>(rows), 0, key_bits(a.vocabulary));
  w.sort = take(w.sort_bytes);
  const size_t partials =
      static_cast<size_t>(ceil_div(rows, kPiece) * a.width) * size_of(wide_dtype(a.dtype));
  w.heads = take(partials);
  w.tails = take(partials);
  w.bytes = at;
  return w;
}

unsigned column_threads(int64_t width, int pack) {
  return static_cast<unsigned>(
      std::min<int64_t>(kThreads, ceil_div(ceil_div(width, pack), 32) * 32));
}

// G: of the gradients.
template <class T, class G, int N>
void backward(const EmbeddingBackward& a, const device::Stream& stream) {
  using W = Wide<T>;
  const int64_t rows = a.batch * a.length;
  const T* dy = static_cast<const T*>(a.dy);
  if (a.d_position) {
    G* target = static_cast<G*>(a.d_position) + a.first_position * a.width;
    add_positions<T, G, N>
        <<<blocks_for(a.length * a.width, kThreads * N), kThreads, 0, handle_of(stream)>>>(
            dy, a.batch, a.length, a.width, target);
    check_launch("embedding_backward (positions)");
  }
  if (!a.d_token) return;
  Workspace w = cut(a, a.workspace);
  fill_keys<<<blocks_for(rows, kThreads), kThreads, 0, handle_of(stream)>>>(
      a.ids, rows, a.first_id, a.vocabulary, w.keys_in, w.rows_in);
  check_launch("embedding_backward (keys)");
  cub::DeviceRadixSort::SortPairs(w.sort, w.sort_bytes, w.keys_in, w.keys, w.rows_in, w.rows,
                                  static_cast<int>(rows), 0, key_bits(a.vocabulary),
                                  handle_of(stream));
  check_launch("embedding_backward (sort)");
  const unsigned threads = column_threads(a.width, N);
  const dim3 grid(blocks_for(rows, kPiece), blocks_for(a.width, threads * N));
  add_runs<T, G, N><<<grid, threads, 0, handle_of(stream)>>>(
      dy, w.keys, w.rows, rows, a.width, a.vocabulary, static_cast<G*>(a.d_token),
      static_cast<W*>(w.heads), static_cast<W*>(w.tails));
  check_launch("embedding_backward (runs)");
  const dim3 join_grid(grid.x, std::min(8u, blocks_for(a.width, kJoinColumns)));
  join_runs<W, G><<<join_grid, dim3(kJoinColumns, kJoinLanes), 0, handle_of(stream)>>>(
      w.keys, rows, a.width, a.vocabulary, static_cast<G*>(a.d_token), static_cast<W*>(w.heads),
      static_cast<W*>(w.tails));
  check_launch("embedding_backward (join)");
}

}  // namespace

void embedding_forward(const Embedding& a, const device::Stream& stream) {
  const int64_t rows = a.batch * a.length;
  if (rows == 0) return;
  with_float_type(a.dtype, "embedding_forward", [&](auto tag) {
    using T = typename decltype(tag)::type;
    constexpr int N = kPack<T>;
    if (a.width % N == 0 && aligned16(a.token_table, a.position_table, a.y)) {
      embedding_forward_kernel<T, N>
          <<<static_cast<unsigned>(rows), column_threads(a.width, N), 0, handle_of(stream)>>>(a);
    } else {
      embedding_forward_kernel<T, 1>
          <<<static_cast<unsigned>(rows), column_threads(a.width, 1), 0, handle_of(stream)>>>(a);
    }
    check_launch("embedding_forward");
  });
}

void embedding_backward(const EmbeddingBackward& a, const device::Stream& stream) {
  if (a.batch * a.length == 0) return;
  with_float_type(a.dtype, "embedding_backward", [&](auto tag) {
    using T = typename decltype(tag)::type;
    constexpr int N = kPack<T>;
    const auto with_gradients = [&](auto gradients) {
      using G = typename decltype(gradients)::type;
      if (a.width % N == 0 && aligned16(a.dy, a.d_token, a.d_position, a.workspace)) {
        backward<T, G, N>(a, stream);
      } else {
        backward<T, G, 1>(a, stream);
      }
    };
    if (a.bf16_gradients) {
      with_gradients(TypeTag<BFloat16>());
    } else {
      with_gradients(TypeTag<Wide<T>>());
    }
  });
}

size_t embedding_backward_workspace(const EmbeddingBackward& a) {
  return cut(a, nullptr).bytes;
}

}  // namespace ocoee::kernels::cuda
