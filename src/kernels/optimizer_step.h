// SPDX-License-Identifier: Apache-2.0
// One pass of an optimizer over a piece of the flat space of weights: masters, gradient and states
// are read, and masters, states and the low-precision copy written. Any piece may be updated alone,
// so that each rank updates its own rows.
//
// AdamW (Loshchilov, Hutter 2019), in the order of torch.optim.AdamW:
//   p *= 1 - lr decay;  m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2
//   p -= lr / c1 * m / (sqrt(v) / sqrt(c2) + epsilon),   c1 = 1 - b1^t, c2 = 1 - b2^t
// SGD with momentum and the same decoupled decay:
//   p *= 1 - lr decay;  v = momentum v + g;  p -= lr v
// g = gradient * scalars.gradient_factor. Nothing moves when scalars.skip is set.
//
// States (m and v, or the velocity) may be kept in bfloat16, rounded at random after they were
// used; masters as their bfloat16 values and the rest (split_master.h).
#pragma once

#include "kernels/random_rounding.h"
#include "kernels/split_master.h"
#include "kernels/step_scalars.h"

namespace ocoee::kernels {

// A stretch [begin, end) of the flat space whose weights decay. Sorted, without overlap; between
// stretches nothing decays.
struct DecaySegment {
  int64_t begin = 0, end = 0;
  double decay = 0;
};

struct FlatPiece {
  DType dtype = DType::f32;      // of master, gradient and states: f32 or f64
  int64_t begin = 0, count = 0;  // place in the flat space; the pointers point at element `begin`
  void* master = nullptr;
  const void* gradient = nullptr;
  void* value = nullptr;                   // copy of the masters in the compute type, or null
  DType value_dtype = DType::bf16;         // bf16 or f16
  const DecaySegment* segments = nullptr;  // on the device
  int64_t segment_count = 0;
  const StepScalars* scalars = nullptr;  // on the device
  bool bf16_gradient = false;            // the gradient is bf16, the rest as dtype says
  bool bf16_states = false;              // the states are; dtype is f32
  bool split_masters = false;  // f32, and `master` holds the lower halves of what `value` begins
  int64_t id = 0;              // of element `begin` where states are rounded; the others' follow it
};

struct AdamW {
  FlatPiece piece;
  void* first_moment = nullptr;
  void* second_moment = nullptr;
  double beta1 = 0.9, beta2 = 0.95, epsilon = 1e-8;
};
void adamw(const AdamW& a, const device::Stream& stream);

struct Sgd {
  FlatPiece piece;
  void* velocity = nullptr;
  double momentum = 0.9;
};
void sgd(const Sgd& a, const device::Stream& stream);

// What one element needs to know, in the type of the masters; made once a kernel from the scalars.
template <class W>
struct AdamWNumbers {
  W factor, rest1, beta2, rest2, step_size, inverse_root, epsilon;
  RoundingBits rounding;
  OCOEE_HOST_DEVICE static AdamWNumbers from(const AdamW& a, const StepScalars& s) {
    return {static_cast<W>(s.gradient_factor),
            static_cast<W>(1 - a.beta1),
            static_cast<W>(a.beta2),
            static_cast<W>(1 - a.beta2),
            static_cast<W>(s.learning_rate / s.correction1),
            static_cast<W>(1 / sqrt(s.correction2)),
            static_cast<W>(a.epsilon),
            RoundingBits::of_step(s.updates)};
  }

  // Of the element `id`; `keep` is 1 - lr decay. Returns the new master. M: of the states.
  template <class M>
  OCOEE_HOST_DEVICE W update(W p, W gradient, M& first, M& second, W keep, uint32_t id) const {
    const W g = gradient * factor;
    W m = widen(first), v = widen(second);
    m = m + rest1 * (g - m);
    v = beta2 * v + rest2 * (g * g);
    const uint32_t random = rounding.word(id);
    first = kept_as<M>(m, random >> 16);
    second = kept_as<M>(v, random & 0xffffu);
    return p * keep - step_size * quotient(m, root(v) * inverse_root + epsilon);
  }

  // float32 on a GPU: the step's last two bits for the branches of the exact root and quotient. A
  // card at its limit of power feels each instruction.
  OCOEE_HOST_DEVICE static float root(float x) {
#ifdef __CUDA_ARCH__
    float y;
    asm("sqrt.approx.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
#else
    return sqrtf(x);
#endif
  }
  OCOEE_HOST_DEVICE static float quotient(float x, float y) {
#ifdef __CUDA_ARCH__
    return __fdividef(x, y);  // 0 above 2^126, which no root of a float32 reaches
#else
    return x / y;
#endif
  }
  OCOEE_HOST_DEVICE static double root(double x) {
    return sqrt(x);
  }
  OCOEE_HOST_DEVICE static double quotient(double x, double y) {
    return x / y;
  }
};

template <class W>
struct SgdNumbers {
  W factor, momentum, learning_rate;
  RoundingBits rounding;
  OCOEE_HOST_DEVICE static SgdNumbers from(const Sgd& a, const StepScalars& s) {
    return {static_cast<W>(s.gradient_factor), static_cast<W>(a.momentum),
            static_cast<W>(s.learning_rate), RoundingBits::of_step(s.updates)};
  }

  template <class M>
  OCOEE_HOST_DEVICE W update(W p, W gradient, M& state, W keep, uint32_t id) const {
    const W velocity = momentum * widen(state) + gradient * factor;
    state = kept_as<M>(velocity, rounding.word(id) >> 16);
    return p * keep - learning_rate * velocity;
  }
};

// Calls f(TypeTag<M>) with the type of the states, W that of the masters.
template <class W, class F>
void with_state_type(const FlatPiece& piece, const char* name, const F& f) {
  if (!piece.bf16_states) return f(TypeTag<W>());
  if constexpr (std::is_same_v<W, float>) {
    f(TypeTag<BFloat16>());
  } else {
    unsupported_dtype(DType::bf16, name);
  }
}

// Calls f(TypeTag<S>) with what `master` points to: W, or the lower halves of split masters.
template <class W, class F>
void with_kept_master(const FlatPiece& piece, const char* name, const F& f) {
  if (!piece.split_masters) return f(TypeTag<W>());
  if constexpr (std::is_same_v<W, float>) {
    if (!piece.value || piece.value_dtype != DType::bf16)
      unsupported_dtype(piece.value_dtype, name);
    f(TypeTag<LowerHalf>());
  } else {
    unsupported_dtype(piece.dtype, name);
  }
}

namespace cpu {
void adamw(const AdamW& a);
void sgd(const Sgd& a);
}  // namespace cpu
namespace cuda {
void adamw(const AdamW& a, const device::Stream& stream);
void sgd(const Sgd& a, const device::Stream& stream);
}  // namespace cuda

}  // namespace ocoee::kernels
