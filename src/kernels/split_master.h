// SPDX-License-Identifier: Apache-2.0
// A float32 master kept as its bfloat16 value, which layers compute with, and the 16 bits below it:
// 4 bytes instead of 6, and no bit is lost. The value is the master rounded to nearest, ties away
// from zero, so that the rest is the lower half of the master's bits, read as a signed number.
#pragma once

#include "kernels/number.h"

namespace ocoee::kernels {

struct LowerHalf {
  uint16_t bits;
};
struct SplitMaster {
  BFloat16 value;
  LowerHalf rest;
};

OCOEE_HOST_DEVICE static inline float joined(BFloat16 value, LowerHalf rest) {
  const auto below = static_cast<int32_t>(static_cast<int16_t>(rest.bits));
  return bits_as<float>((static_cast<uint32_t>(value.bits) << 16) + static_cast<uint32_t>(below));
}

// NaN becomes one whose value is NaN too.
OCOEE_HOST_DEVICE static inline SplitMaster split(float x) {
  const uint32_t bits = x != x ? 0x7fc00000u : bits_as<uint32_t>(x);
  return {{static_cast<uint16_t>((bits + 0x8000u) >> 16)}, {static_cast<uint16_t>(bits)}};
}

}  // namespace ocoee::kernels
