// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "kernels/cuda_support.cuh"
#include "kernels/optimizer_step.h"

namespace ocoee::kernels::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kRounds =
    4;  // packs of each thread: a block shares its start-up work among more elements

__global__ void set_learning_rate_kernel(StepScalars* scalars, double learning_rate) {
  scalars->learning_rate = learning_rate;
}
__global__ void finish_step_kernel(StepScalars* scalars, StepRules rules) {
  finish_step_at(*scalars, rules);
}

// The first stretch that ends beyond `at`.
__device__ int64_t segment_after(const DecaySegment* segments, int64_t count, int64_t at) {
  int64_t low = 0, high = count;
  while (low < high) {
    const int64_t middle = (low + high) / 2;
    if (segments[middle].end > at) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return low;
}

bool is_aligned(const void* pointer, size_t bytes) {
  return reinterpret_cast<uintptr_t>(pointer) % std::min<size_t>(16, bytes) == 0;
}

// 1 - lr decay of elements asked for in rising order.
template <class W>
struct DecayCursor {
  const DecaySegment* segments;
  int64_t count, index;
  double learning_rate;
  bool whole = false;  // all that is asked for keeps the same
  W same = 1;
  __device__ W keep(int64_t at) {
    if (whole) return same;
    while (index < count && at >= segments[index].end) ++index;
    const bool inside = index < count && at >= segments[index].begin;
    return inside ? static_cast<W>(1 - learning_rate * segments[index].decay) : W(1);
  }
  __device__ bool uniform(int64_t first,
                          int64_t last) const {  // after keep(first): do both share one stretch?
    if (whole || index >= count) return true;
    return first >= segments[index].begin ? last < segments[index].end
                                          : last < segments[index].begin;
  }
};

// M: of the states.
template <class W, class M>
struct AdamWRule {
  AdamW a;
  using State = M;
  using Numbers = AdamWNumbers<W>;
  __device__ Numbers numbers(const StepScalars& s) const { return Numbers::from(a, s); }
  template <int N>
  struct States {
    Pack<M, N> m, v;
  };
  template <int N>
  __device__ States<N> read(int64_t i) const {
    return {load<N>(static_cast<M*>(a.first_moment) + i),
            load<N>(static_cast<M*>(a.second_moment) + i)};
  }
  template <int N>
  __device__ void update(const Numbers& numbers, int64_t i, Pack<W, N>& p, const Pack<W, N>& g,
                         States<N>& states, const Pack<W, N>& keep) const {
    const auto id = static_cast<uint32_t>(a.piece.id + i);
#pragma unroll
    for (int k = 0; k < N; ++k)
      p.v[k] = numbers.update(p.v[k], g.v[k], states.m.v[k], states.v.v[k], keep.v[k], id + k);
    store<N>(static_cast<M*>(a.first_moment) + i, states.m);
    store<N>(static_cast<M*>(a.second_moment) + i, states.v);
  }
  bool aligned(size_t bytes) const {
    return is_aligned(a.first_moment, bytes) && is_aligned(a.second_moment, bytes);
  }
};

template <class W, class M>
struct SgdRule {
  Sgd a;
  using State = M;
  using Numbers = SgdNumbers<W>;
  __device__ Numbers numbers(const StepScalars& s) const { return Numbers::from(a, s); }
  template <int N>
  using States = Pack<M, N>;
  template <int N>
  __device__ States<N> read(int64_t i) const {
    return load<N>(static_cast<M*>(a.velocity) + i);
  }
  template <int N>
  __device__ void update(const Numbers& numbers, int64_t i, Pack<W, N>& p, const Pack<W, N>& g,
                         States<N>& v, const Pack<W, N>& keep) const {
    const auto id = static_cast<uint32_t>(a.piece.id + i);
#pragma unroll
    for (int k = 0; k < N; ++k) p.v[k] = numbers.update(p.v[k], g.v[k], v.v[k], keep.v[k], id + k);
    store<N>(static_cast<M*>(a.velocity) + i, v);
  }
  bool aligned(size_t bytes) const {
    return is_aligned(a.velocity, bytes);
  }
};

template <class W, class S, int N>
__device__ Pack<W, N> load_masters(const FlatPiece& piece, int64_t i) {
  const Pack<S, N> kept = load<N>(static_cast<const S*>(piece.master) + i);
  if constexpr (std::is_same_v<S, W>) {
    return kept;
  } else {
    const Pack<BFloat16, N> value = load<N>(static_cast<const BFloat16*>(piece.value) + i);
    Pack<W, N> masters;
#pragma unroll
    for (int k = 0; k < N; ++k) masters.v[k] = joined(value.v[k], kept.v[k]);
    return masters;
  }
}

template <class S, class T, class W, int N>
__device__ void store_masters(const FlatPiece& piece, int64_t i, const Pack<W, N>& masters) {
  [[maybe_unused]] Pack<T, N> value;
  if constexpr (std::is_same_v<S, LowerHalf>) {
    Pack<LowerHalf, N> rest;
#pragma unroll
    for (int k = 0; k < N; ++k) {
      const SplitMaster master = split(masters.v[k]);
      value.v[k] = master.value, rest.v[k] = master.rest;
    }
    store<N>(static_cast<LowerHalf*>(piece.master) + i, rest);
  } else {
    store<N>(static_cast<W*>(piece.master) + i, masters);
#pragma unroll
    for (int k = 0; k < N; ++k) value.v[k] = narrow<T>(masters.v[k]);
  }
  if constexpr (!std::is_same_v<T, W>) store<N>(static_cast<T*>(piece.value) + i, value);
}

// W: of masters, S: as they are kept; T: of the copy; G: of the gradient. U packs, all read before
// the first is written.
template <class W, class S, class T, class G, int N, int U, class Rule>
__device__ void update_packs(const Rule& rule, const typename Rule::Numbers& numbers,
                             DecayCursor<W>& cursor, int64_t first) {
  const FlatPiece& piece = rule.a.piece;
  Pack<W, N> masters[U];
  Pack<G, N> gradients[U];
  typename Rule::template States<N> states[U];
#pragma unroll
  for (int u = 0; u < U; ++u) {
    const int64_t i = first + u * kThreads * N;
    masters[u] = load_masters<W, S, N>(piece, i);
    gradients[u] = load<N>(static_cast<const G*>(piece.gradient) + i);
    states[u] = rule.template read<N>(i);
  }
#pragma unroll
  for (int u = 0; u < U; ++u) {
    const int64_t i = first + u * kThreads * N, at = piece.begin + i;
    Pack<W, N> g, keep;
#pragma unroll
    for (int k = 0; k < N; ++k) g.v[k] = widen(gradients[u].v[k]);
    keep.v[0] = cursor.keep(at);
    const bool uniform = cursor.uniform(at, at + N - 1);
#pragma unroll
    for (int k = 1; k < N; ++k) keep.v[k] = uniform ? keep.v[0] : cursor.keep(at + k);
    rule.template update<N>(numbers, i, masters[u], g, states[u], keep);
    store_masters<S, T>(piece, i, masters[u]);
  }
}

template <class W, class S, class T, class G, int N, int U, class Rule>
__global__ void update_kernel(Rule rule) {
  const FlatPiece& piece = rule.a.piece;
  const StepScalars& s = *piece.scalars;
  if (s.skip) return;
  __shared__ DecayCursor<W> at_begin;
  __shared__ typename Rule::Numbers shared_numbers;
  const int64_t block_begin = static_cast<int64_t>(blockIdx.x) * kThreads * kRounds * N;
  if (threadIdx.x == 0) {
    const int64_t first = piece.begin + block_begin;
    at_begin = {piece.segments, piece.segment_count,
                segment_after(piece.segments, piece.segment_count, first), s.learning_rate};
    at_begin.same = at_begin.keep(first);
    at_begin.whole = at_begin.uniform(first, first + int64_t{kThreads} * kRounds * N - 1);
    shared_numbers = rule.numbers(s);
  }
  __syncthreads();
  const typename Rule::Numbers numbers = shared_numbers;
  DecayCursor<W> cursor = at_begin;
#pragma unroll
  for (int round = 0; round < kRounds; round += U) {
    const int64_t i = block_begin + (static_cast<int64_t>(round) * kThreads + threadIdx.x) * N;
    if (i + ((U - 1) * kThreads + 1) * N <= piece.count) {
      update_packs<W, S, T, G, N, U>(rule, numbers, cursor, i);
      continue;
    }
    for (int u = 0; u < U; ++u) {
      const int64_t begin = i + u * kThreads * N;
      for (int64_t k = begin; k < begin + N && k < piece.count; ++k)
        update_packs<W, S, T, G, 1, 1>(rule, numbers, cursor, k);
    }
  }
}

// Elements of a pack, and packs that are read together: enough bytes under way.
template <class W, class S, class M>
constexpr bool kWide = std::is_same_v<W, M>&& std::is_same_v<W, S>;
template <class W, class S, class M>
constexpr int kElements = kWide<W, S, M> ? kPack<W> : 4;
template <class W, class S, class M>
constexpr int kTogether = kWide<W, S, M> ? 1 : 2;

template <class W, class S, class T, class G, class Rule>
void launch(const Rule& rule, const char* name, const device::Stream& stream) {
  const FlatPiece& piece = rule.a.piece;
  using M = typename Rule::State;
  constexpr int N = kElements<W, S, M>, U = kTogether<W, S, M>;
  if (piece.count == 0) return;
  if (rule.aligned(N * sizeof(M)) && is_aligned(piece.master, N * sizeof(S)) &&
      is_aligned(piece.gradient, N * sizeof(G)) && is_aligned(piece.value, N * sizeof(T))) {
    update_kernel<W, S, T, G, N, U>
        <<<blocks_for(piece.count, kThreads * kRounds * N), kThreads, 0, handle_of(stream)>>>(rule);
  } else {
    update_kernel<W, S, T, G, 1, 1>
        <<<blocks_for(piece.count, kThreads * kRounds), kThreads, 0, handle_of(stream)>>>(rule);
  }
  check_launch(name);
}

template <class W, class G, class Rule>
void with_value(const Rule& rule, const char* name, const device::Stream& stream) {
  const FlatPiece& piece = rule.a.piece;
  with_kept_master<W>(piece, name, [&](auto kept) {
    using S = typename decltype(kept)::type;
    if constexpr (!std::is_same_v<S, W>) {
      launch<W, S, BFloat16, G>(rule, name, stream);
    } else if (!piece.value) {
      launch<W, W, W, G>(rule, name, stream);
    } else if (piece.value_dtype == DType::bf16) {
      launch<W, W, BFloat16, G>(rule, name, stream);
    } else if (piece.value_dtype == DType::f16) {
      launch<W, W, Float16, G>(rule, name, stream);
    } else {
      unsupported_dtype(piece.value_dtype, name);
    }
  });
}

template <template <class, class> class Rule, class Arguments>
void update(const Arguments& a, const char* name, const device::Stream& stream) {
  with_master_type(a.piece.dtype, name, [&](auto tag) {
    using W = typename decltype(tag)::type;
    with_state_type<W>(a.piece, name, [&](auto state) {
      const Rule<W, typename decltype(state)::type> rule{a};
      if (a.piece.bf16_gradient) {
        with_value<W, BFloat16>(rule, name, stream);
      } else {
        with_value<W, W>(rule, name, stream);
      }
    });
  });
}

}  // namespace

void set_learning_rate(StepScalars* scalars, double learning_rate, const device::Stream& stream) {
  set_learning_rate_kernel<<<1, 1, 0, handle_of(stream)>>>(scalars, learning_rate);
  check_launch("set_learning_rate");
}

void finish_step(StepScalars* scalars, const StepRules& rules, const device::Stream& stream) {
  finish_step_kernel<<<1, 1, 0, handle_of(stream)>>>(scalars, rules);
  check_launch("finish_step");
}

void adamw(const AdamW& a, const device::Stream& stream) {
  update<AdamWRule>(a, "adamw", stream);
}
void sgd(const Sgd& a, const device::Stream& stream) {
  update<SgdRule>(a, "sgd", stream);
}

}  // namespace ocoee::kernels::cuda
