// SPDX-License-Identifier: Apache-2.0
// The 16-bit floating point types of kernels, and how each element type is read and written.
// Arithmetic happens in Wide<T>: float, or double for double.
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "core/dtype.h"
#include "core/random.h"  // OCOEE_HOST_DEVICE

#if defined(__CUDACC__)
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#elif defined(__F16C__)
#include <immintrin.h>
#endif

namespace ocoee::kernels {

struct BFloat16 {
  uint16_t bits;
};
struct Float16 {
  uint16_t bits;
};

template <class T>
using Wide = std::conditional_t<std::is_same_v<T, double>, double, float>;

// Functions here are static: files compiled for different processors must not share one copy.
template <class To, class From>
OCOEE_HOST_DEVICE static inline To bits_as(From from) {
  static_assert(sizeof(To) == sizeof(From));
#if defined(__CUDACC__)
  To to;
  memcpy(&to, &from, sizeof to);
  return to;
#else
  return __builtin_bit_cast(To, from);
#endif
}

OCOEE_HOST_DEVICE static inline float widen(float x) {
  return x;
}
OCOEE_HOST_DEVICE static inline double widen(double x) {
  return x;
}
OCOEE_HOST_DEVICE static inline float widen(BFloat16 x) {
  return bits_as<float>(static_cast<uint32_t>(x.bits) << 16);
}

OCOEE_HOST_DEVICE static inline float widen(Float16 x) {
#if defined(__CUDA_ARCH__)
  return __half2float(__ushort_as_half(x.bits));
#elif defined(__F16C__) && !defined(__CUDACC__)
  return _cvtsh_ss(x.bits);
#else
  const uint32_t sign = static_cast<uint32_t>(x.bits & 0x8000u) << 16;
  const uint32_t magnitude = x.bits & 0x7fffu;
  if (magnitude >= 0x7c00u)
    return bits_as<float>(sign | 0x7f800000u | ((magnitude & 0x3ffu) << 13));
  // Exact: a half's exponent and mantissa, moved up and scaled; subnormals come out right by
  // themselves.
  const float scaled = bits_as<float>(magnitude << 13) * 0x1p112f;
  return bits_as<float>(bits_as<uint32_t>(scaled) | sign);
#endif
}

// Rounds to nearest, ties to even; NaN stays NaN.
OCOEE_HOST_DEVICE static inline BFloat16 bfloat16_from(float x) {
#if defined(__CUDA_ARCH__)
  return {__bfloat16_as_ushort(__float2bfloat16_rn(x))};
#else
  const uint32_t bits = bits_as<uint32_t>(x);
  const uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  const uint32_t quiet = (bits >> 16) | 0x40u;
  return {static_cast<uint16_t>(x != x ? quiet : rounded)};
#endif
}

OCOEE_HOST_DEVICE static inline Float16 float16_from(float x) {
#if defined(__CUDA_ARCH__)
  return {__half_as_ushort(__float2half_rn(x))};
#elif defined(__F16C__) && !defined(__CUDACC__)
  return {static_cast<uint16_t>(_cvtss_sh(x, _MM_FROUND_TO_NEAREST_INT))};
#else
  const uint32_t bits = bits_as<uint32_t>(x);
  const auto sign = static_cast<uint16_t>((bits >> 16) & 0x8000u);
  const uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return {static_cast<uint16_t>(sign | 0x7e00u)};
  if (magnitude >= 0x477ff000u) return {static_cast<uint16_t>(sign | 0x7c00u)};  // 65520 and above
  if (magnitude <
      0x38800000u) {  // below 2^-14: adding 0.5 leaves the rounded subnormal in the low bits
    const uint32_t shifted = bits_as<uint32_t>(bits_as<float>(magnitude) + 0.5f);
    return {static_cast<uint16_t>(sign | (shifted - 0x3f000000u))};
  }
  const uint32_t rounded = magnitude - 0x38000000u + 0xfffu + ((magnitude >> 13) & 1u);
  return {static_cast<uint16_t>(sign | (rounded >> 13))};
#endif
}

template <class T, class W>
OCOEE_HOST_DEVICE static inline T narrow(W x) {
  if constexpr (std::is_same_v<T, BFloat16>) {
    return bfloat16_from(static_cast<float>(x));
  } else if constexpr (std::is_same_v<T, Float16>) {
    return float16_from(static_cast<float>(x));
  } else {
    return static_cast<T>(x);
  }
}

// A sum that is kept in T, whatever it was added up in: one rounding for 16 bits.
template <class T, class W>
OCOEE_HOST_DEVICE static inline void add_to(T& sum, W value) {
  sum = narrow<T>(widen(sum) + value);
}

template <class T>
struct TypeTag {
  using type = T;
};

[[noreturn]] void unsupported_dtype(DType dtype, const char* kernel);

// Calls f(TypeTag<T>) with the C++ type of a floating point dtype.
template <class F>
void with_float_type(DType dtype, const char* kernel, const F& f) {
  switch (dtype) {
    case DType::f32:
      return f(TypeTag<float>());
    case DType::bf16:
      return f(TypeTag<BFloat16>());
    case DType::f16:
      return f(TypeTag<Float16>());
    case DType::f64:
      return f(TypeTag<double>());
    default:
      unsupported_dtype(dtype, kernel);
  }
}

// For optimizers: masters and states are float, or double.
template <class F>
void with_master_type(DType dtype, const char* kernel, const F& f) {
  switch (dtype) {
    case DType::f32:
      return f(TypeTag<float>());
    case DType::f64:
      return f(TypeTag<double>());
    default:
      unsupported_dtype(dtype, kernel);
  }
}

// What sums of this dtype are kept in: f64 for f64, else f32.
inline DType wide_dtype(DType dtype) {
  return dtype == DType::f64 ? DType::f64 : DType::f32;
}

}  // namespace ocoee::kernels
