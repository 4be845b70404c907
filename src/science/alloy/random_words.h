// SPDX-License-Identifier: Apache-2.0
// The words of a RandomStream (core/random.h), made many at a time: a chain that draws some words a
// trial would otherwise spend half of its time on them.
#pragma once

#include <array>
#include <cstdint>

#include "core/random.h"

namespace ocoee::alloy {

class RandomWords {
 public:
  static constexpr size_t kBlocks = 128;  // made at once, of four words each
  RandomWords(uint64_t seed, Purpose purpose, uint64_t step, uint64_t id)
      : key_(random_key(seed, purpose, step)), id_(id) {}

  uint32_t next() {
    if (used_ == words_.size()) refill();
    return words_[used_++];
  }
  // Uniform over 0 .. n-1 without bias (Lemire 2019), n < 2^32.
  uint32_t below(uint32_t n) {
    uint64_t product = uint64_t{next()} * n;
    if (static_cast<uint32_t>(product) < n) {
      const uint32_t bias = (0 - n) % n;
      while (static_cast<uint32_t>(product) < bias) product = uint64_t{next()} * n;
    }
    return static_cast<uint32_t>(product >> 32);
  }
  double uniform() {
    const uint32_t high = next();
    return unit_double(high, next());
  }

 private:
  void refill();

  PhiloxKey key_;
  uint64_t id_, draw_ = 0;
  alignas(64) std::array<uint32_t, 4 * kBlocks> words_{};
  size_t used_ = 4 * kBlocks;
};

}  // namespace ocoee::alloy
