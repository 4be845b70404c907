// SPDX-License-Identifier: Apache-2.0
// Philox with its round keys worked out beforehand: the words of random_bits(), for kernels that
// draw many under one key. On a GPU the round keys are kernel arguments, which instructions read as
// operands.
#pragma once

#include "core/random.h"

namespace ocoee::kernels {

struct PhiloxRounds {
  uint32_t key[20];
};

inline PhiloxRounds philox_rounds(PhiloxKey key) {
  PhiloxRounds rounds;
  for (int round = 0; round < 10; ++round) {
    rounds.key[2 * round] = key.v[0], rounds.key[2 * round + 1] = key.v[1];
    key.v[0] += 0x9E3779B9u;
    key.v[1] += 0xBB67AE85u;
  }
  return rounds;
}

OCOEE_HOST_DEVICE inline PhiloxCounter random_bits(const PhiloxRounds& rounds, uint64_t id,
                                                   uint64_t draw) {
  PhiloxCounter c{{static_cast<uint32_t>(id), static_cast<uint32_t>(id >> 32),
                   static_cast<uint32_t>(draw), static_cast<uint32_t>(draw >> 32)}};
#if defined(__CUDA_ARCH__)
#pragma unroll
#endif
  for (int round = 0; round < 10; ++round) {
    const uint64_t product0 = uint64_t{0xD2511F53u} * c.v[0];
    const uint64_t product1 = uint64_t{0xCD9E8D57u} * c.v[2];
    c = {{static_cast<uint32_t>(product1 >> 32) ^ c.v[1] ^ rounds.key[2 * round],
          static_cast<uint32_t>(product1),
          static_cast<uint32_t>(product0 >> 32) ^ c.v[3] ^ rounds.key[2 * round + 1],
          static_cast<uint32_t>(product0)}};
  }
  return c;
}

}  // namespace ocoee::kernels
