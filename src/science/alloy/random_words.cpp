// SPDX-License-Identifier: Apache-2.0
#include "science/alloy/random_words.h"

namespace ocoee::alloy {

// Philox4x32-10 on four counters side by side, each word in a lane of 64 bits, so that one
// instruction multiplies four.
void RandomWords::refill() {
  constexpr size_t kLanes = 4;
  using Lanes [[gnu::vector_size(8 * kLanes)]] = uint64_t;
  constexpr uint64_t kLow = 0xFFFFFFFFu;
  for (size_t block = 0; block < kBlocks; block += kLanes) {
    Lanes v0, v1, v2, v3;
    for (size_t lane = 0; lane < kLanes; ++lane) {
      const uint64_t draw = draw_ + block + lane;
      v0[lane] = id_ & kLow;
      v1[lane] = id_ >> 32;
      v2[lane] = draw & kLow;
      v3[lane] = draw >> 32;
    }
    uint32_t key0 = key_.v[0], key1 = key_.v[1];
    for (int round = 0; round < 10; ++round) {
      const Lanes product0 = v0 * uint64_t{0xD2511F53u};
      const Lanes product1 = v2 * uint64_t{0xCD9E8D57u};
      v0 = (product1 >> 32) ^ v1 ^ uint64_t { key0 };
      v1 = product1 & kLow;
      v2 = (product0 >> 32) ^ v3 ^ uint64_t { key1 };
      v3 = product0 & kLow;
      key0 += 0x9E3779B9u;
      key1 += 0xBB67AE85u;
    }
    for (size_t lane = 0; lane < kLanes; ++lane) {
      uint32_t* out = words_.data() + 4 * (block + lane);
      out[0] = static_cast<uint32_t>(v0[lane]);
      out[1] = static_cast<uint32_t>(v1[lane]);
      out[2] = static_cast<uint32_t>(v2[lane]);
      out[3] = static_cast<uint32_t>(v3[lane]);
    }
  }
  draw_ += kBlocks;
  used_ = 0;
}

}  // namespace ocoee::alloy
