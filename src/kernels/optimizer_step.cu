// SPDX-License-Identifier: Apache-2.0
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

// 1 - lr decay of elements asked for in rising order.
template <class W>
struct DecayCursor {
  const DecaySegment* segments;
  int64_t count, index;
  double learning_rate;
  __device__ W keep(int64_t at) {
    while (index < count && at >= segments[index].end) ++index;
    const bool inside = index < count && at >= segments[index].begin;
    return inside ? static_cast<W>(1 - learning_rate * segments[index].decay) : W(1);
  }
  __device__ bool uniform(int64_t first,
                          int64_t last) const {  // after keep(first): do both share one stretch?
    if (index >= count) return true;
    return first >= segments[index].begin ? last < segments[index].end
                                          : last < segments[index].begin;
  }
};

template <class W>
struct AdamWRule {
  AdamW a;
  using Numbers = AdamWNumbers<W>;
  __device__ Numbers numbers(const StepScalars& s) const { return Numbers::from(a, s); }
  template <int N>
  __device__ void update(const Numbers& numbers, int64_t i, Pack<W, N>& p, const Pack<W, N>& g,
                         const Pack<W, N>& keep) const {
    Pack<W, N> m = load<N>(static_cast<W*>(a.first_moment) + i),
               v = load<N>(static_cast<W*>(a.second_moment) + i);
#pragma unroll
    for (int k = 0; k < N; ++k) p.v[k] = numbers.update(p.v[k], g.v[k], m.v[k], v.v[k], keep.v[k]);
    store<N>(static_cast<W*>(a.first_moment) + i, m);
    store<N>(static_cast<W*>(a.second_moment) + i, v);
  }
  bool aligned() const {
    return aligned16(a.first_moment, a.second_moment);
  }
};

template <class W>
struct SgdRule {
  Sgd a;
  using Numbers = SgdNumbers<W>;
  __device__ Numbers numbers(const StepScalars& s) const { return Numbers::from(a, s); }
  template <int N>
  __device__ void update(const Numbers& numbers, int64_t i, Pack<W, N>& p, const Pack<W, N>& g,
                         const Pack<W, N>& keep) const {
    Pack<W, N> v = load<N>(static_cast<W*>(a.velocity) + i);
#pragma unroll
    for (int k = 0; k < N; ++k) p.v[k] = numbers.update(p.v[k], g.v[k], v.v[k], keep.v[k]);
    store<N>(static_cast<W*>(a.velocity) + i, v);
  }
  bool aligned() const {
    return aligned16(a.velocity);
  }
};

// W: of masters and states; T: of the copy; G: of the gradient.
template <class W, class T, class G, int N, class Rule>
__device__ void update_pack(const Rule& rule, const typename Rule::Numbers& numbers,
                            DecayCursor<W>& cursor, int64_t i) {
  const FlatPiece& piece = rule.a.piece;
  Pack<W, N> p = load<N>(static_cast<W*>(piece.master) + i), g, keep;
  const Pack<G, N> given = load<N>(static_cast<const G*>(piece.gradient) + i);
#pragma unroll
  for (int k = 0; k < N; ++k) g.v[k] = widen(given.v[k]);
  const int64_t at = piece.begin + i;
  keep.v[0] = cursor.keep(at);
  const bool uniform = cursor.uniform(at, at + N - 1);
#pragma unroll
  for (int k = 1; k < N; ++k) keep.v[k] = uniform ? keep.v[0] : cursor.keep(at + k);
  rule.template update<N>(numbers, i, p, g, keep);
  store<N>(static_cast<W*>(piece.master) + i, p);
  if constexpr (!std::is_same_v<T, W>) {
    Pack<T, N> value;
#pragma unroll
    for (int k = 0; k < N; ++k) value.v[k] = narrow<T>(p.v[k]);
    store<N>(static_cast<T*>(piece.value) + i, value);
  }
}

template <class W, class T, class G, int N, class Rule>
__global__ void update_kernel(Rule rule) {
  const FlatPiece& piece = rule.a.piece;
  const StepScalars& s = *piece.scalars;
  if (s.skip) return;
  __shared__ int64_t first_segment;
  __shared__ typename Rule::Numbers shared_numbers;
  const int64_t block_begin = static_cast<int64_t>(blockIdx.x) * kThreads * kRounds * N;
  if (threadIdx.x == 0) {
    first_segment = segment_after(piece.segments, piece.segment_count, piece.begin + block_begin);
    shared_numbers = rule.numbers(s);
  }
  __syncthreads();
  const typename Rule::Numbers numbers = shared_numbers;
  DecayCursor<W> cursor{piece.segments, piece.segment_count, first_segment, s.learning_rate};
#pragma unroll
  for (int round = 0; round < kRounds; ++round) {
    const int64_t i = block_begin + (static_cast<int64_t>(round) * kThreads + threadIdx.x) * N;
    if (i + N <= piece.count) {
      update_pack<W, T, G, N>(rule, numbers, cursor, i);
    } else {
      for (int64_t k = i; k < piece.count; ++k) update_pack<W, T, G, 1>(rule, numbers, cursor, k);
    }
  }
}

template <class W, class T, class G, class Rule>
void launch(const Rule& rule, const char* name, const device::Stream& stream) {
  const FlatPiece& piece = rule.a.piece;
  constexpr int N = kPack<W>;
  if (piece.count == 0) return;
  const auto fits = [](const void* pointer, size_t size) {
    return reinterpret_cast<uintptr_t>(pointer) % (size * N) == 0;
  };
  if (rule.aligned() && aligned16(piece.master) && fits(piece.gradient, sizeof(G)) &&
      fits(piece.value, sizeof(T))) {
    update_kernel<W, T, G, N>
        <<<blocks_for(piece.count, kThreads * kRounds * N), kThreads, 0, handle_of(stream)>>>(rule);
  } else {
    update_kernel<W, T, G, 1>
        <<<blocks_for(piece.count, kThreads * kRounds), kThreads, 0, handle_of(stream)>>>(rule);
  }
  check_launch(name);
}

template <template <class> class Rule, class Arguments>
void update(const Arguments& a, const char* name, const device::Stream& stream) {
  with_master_type(a.piece.dtype, name, [&](auto tag) {
    using W = typename decltype(tag)::type;
    const Rule<W> rule{a};
    const auto with_gradient = [&](auto gradient) {
      using G = typename decltype(gradient)::type;
      if (!a.piece.value) {
        launch<W, W, G>(rule, name, stream);
      } else if (a.piece.value_dtype == DType::bf16) {
        launch<W, BFloat16, G>(rule, name, stream);
      } else if (a.piece.value_dtype == DType::f16) {
        launch<W, Float16, G>(rule, name, stream);
      } else {
        unsupported_dtype(a.piece.value_dtype, name);
      }
    };
    if (a.piece.bf16_gradient) {
      with_gradient(TypeTag<BFloat16>());
    } else {
      with_gradient(TypeTag<W>());
    }
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
