// SPDX-License-Identifier: Apache-2.0
#include "kernels/optimizer_step.h"

#include <algorithm>

#include "kernels/number.h"
#include "kernels/parallel_for.h"

namespace ocoee::kernels::cpu {
namespace {

constexpr int64_t kGrain = 8192;

// Calls stretch(first, last, decay) for the parts of the piece's elements [begin, end), counted
// from the piece's start, that share one decay.
template <class Stretch>
void for_each_stretch(const FlatPiece& p, int64_t begin, int64_t end, const Stretch& stretch) {
  const DecaySegment* last = p.segments + p.segment_count;
  const DecaySegment* segment =
      std::upper_bound(p.segments, last, p.begin + begin,
                       [](int64_t at, const DecaySegment& s) { return at < s.end; });
  while (begin < end) {
    const int64_t at = p.begin + begin;
    const bool inside = segment != last && at >= segment->begin;
    const int64_t border =
        segment == last ? end : (inside ? segment->end : segment->begin) - p.begin;
    const int64_t stop = std::min(end, border);
    stretch(begin, stop, inside ? segment->decay : 0.0);
    if (inside && stop == border) ++segment;
    begin = stop;
  }
}

// `master`: those of elements [begin, end).
template <class W>
void write_values(const FlatPiece& p, const W* master, int64_t begin, int64_t end) {
  if (!p.value) return;
  const auto write = [&](auto* value) {
    using T = std::remove_pointer_t<decltype(value)>;
#pragma omp simd
    for (int64_t i = begin; i < end; ++i) value[i] = narrow<T>(master[i - begin]);
  };
  if (p.value_dtype == DType::bf16) {
    write(static_cast<BFloat16*>(p.value));
  } else if (p.value_dtype == DType::f16) {
    write(static_cast<Float16*>(p.value));
  } else {
    unsupported_dtype(p.value_dtype, "optimizer step (value)");
  }
}

// Calls f with the gradient as what it is.
template <class W, class F>
void with_gradient(const FlatPiece& p, const F& f) {
  if (p.bf16_gradient) return f(static_cast<const BFloat16*>(p.gradient));
  f(static_cast<const W*>(p.gradient));
}

constexpr int64_t kTile = 2048;

// Masters that lie as they are.
template <class W>
struct Masters {
  const FlatPiece& p;
  W* begin_tile(int64_t first, int64_t) { return static_cast<W*>(p.master) + first; }
  void end_tile(int64_t first, int64_t last) {
    write_values(p, static_cast<const W*>(p.master) + first, first, last);
  }
};

// Joined where they are worked on, and split again.
struct SplitMasters {
  const FlatPiece& p;
  float tile[kTile];
  float* begin_tile(int64_t first, int64_t last) {
    const auto* value = static_cast<const BFloat16*>(p.value) + first;
    const auto* rest = static_cast<const LowerHalf*>(p.master) + first;
#pragma omp simd
    for (int64_t i = 0; i < last - first; ++i) tile[i] = joined(value[i], rest[i]);
    return tile;
  }
  void end_tile(int64_t first, int64_t last) {
    auto* value = static_cast<BFloat16*>(p.value) + first;
    auto* rest = static_cast<LowerHalf*>(p.master) + first;
#pragma omp simd
    for (int64_t i = 0; i < last - first; ++i) {
      const SplitMaster master = split(tile[i]);
      value[i] = master.value;
      rest[i] = master.rest;
    }
  }
};

// Runs stretch(masters, first, last, decay), `masters` those of [first, last), as for_each_stretch
// does over all elements, and writes their values: in tiles so small that the first-level cache
// keeps them.
template <class W, class Stretch>
void update_tiles(const FlatPiece& p, const Stretch& stretch) {
  with_kept_master<W>(p, "optimizer step", [&](auto kept) {
    constexpr bool is_split = std::is_same_v<typename decltype(kept)::type, LowerHalf>;
    parallel_for(p.count, kGrain, [&](int64_t begin, int64_t end) {
      std::conditional_t<is_split, SplitMasters, Masters<W>> masters{p};
      for (int64_t first = begin; first < end; first += kTile) {
        const int64_t last = std::min(end, first + kTile);
        W* tile = masters.begin_tile(first, last);
        for_each_stretch(p, first, last, [&](int64_t from, int64_t to, double decay) {
          stretch(tile + (from - first), from, to, decay);
        });
        masters.end_tile(first, last);
      }
    });
  });
}

}  // namespace

void adamw(const AdamW& a) {
  const StepScalars& s = *a.piece.scalars;
  if (s.skip) return;
  with_master_type(a.piece.dtype, "adamw", [&](auto tag) {
    using W = typename decltype(tag)::type;
    const auto numbers = AdamWNumbers<W>::from(a, s);
    with_state_type<W>(a.piece, "adamw", [&](auto state) {
      using M = typename decltype(state)::type;
      M* m = static_cast<M*>(a.first_moment);
      M* v = static_cast<M*>(a.second_moment);
      with_gradient<W>(a.piece, [&](const auto* g) {
        update_tiles<W>(a.piece, [&](W* p, int64_t first, int64_t last, double decay) {
          const W keep = static_cast<W>(1 - s.learning_rate * decay);
          const auto id = static_cast<uint32_t>(a.piece.id);
#pragma omp simd
          for (int64_t i = first; i < last; ++i)
            p[i - first] = numbers.update(p[i - first], widen(g[i]), m[i], v[i], keep,
                                          id + static_cast<uint32_t>(i));
        });
      });
    });
  });
}

void sgd(const Sgd& a) {
  const StepScalars& s = *a.piece.scalars;
  if (s.skip) return;
  with_master_type(a.piece.dtype, "sgd", [&](auto tag) {
    using W = typename decltype(tag)::type;
    const auto numbers = SgdNumbers<W>::from(a, s);
    with_state_type<W>(a.piece, "sgd", [&](auto state) {
      auto* velocity = static_cast<typename decltype(state)::type*>(a.velocity);
      with_gradient<W>(a.piece, [&](const auto* g) {
        update_tiles<W>(a.piece, [&](W* p, int64_t first, int64_t last, double decay) {
          const W keep = static_cast<W>(1 - s.learning_rate * decay);
          const auto id = static_cast<uint32_t>(a.piece.id);
#pragma omp simd
          for (int64_t i = first; i < last; ++i)
            p[i - first] = numbers.update(p[i - first], widen(g[i]), velocity[i], keep,
                                          id + static_cast<uint32_t>(i));
        });
      });
    });
  });
}

}  // namespace ocoee::kernels::cpu
