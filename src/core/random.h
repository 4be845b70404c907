// SPDX-License-Identifier: Apache-2.0
// Philox4x32-10 (Salmon, Moraes, Dror, Shaw, SC'11), the source of random numbers but for what
// rounds optimizer states (kernels/random_rounding.h). Counter-based: a draw is a pure function of
// (seed, purpose, step; id, draw), so results do not depend on the number of ranks or threads.
//
// Key (64 bits): a mix of seed, purpose and step. Counter (128 bits): 64-bit id of the sample, site
// or element, then the 64-bit draw. Kernels use philox4x32_10() directly; host code uses
// RandomStream.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>

#if defined(__CUDACC__)
#define OCOEE_HOST_DEVICE __host__ __device__
#else
#define OCOEE_HOST_DEVICE
#endif

namespace ocoee {

// Every purpose that ever draws, in one table. Numbers are part of the results: never reuse or
// renumber.
enum class Purpose : uint32_t {
  initialization = 1,     // id: element index of a parameter (its name hashed into the seed)
  data_order = 2,         // id: position in the sample stream
  data_offset = 3,        // id: sample
  data_augmentation = 4,  // id: sample (strand, flips)
  dropout = 5,  // id: element within the whole (unsharded) activation; step: layer and micro-batch
                // mixed in
  noise = 6,    // id: sample (GAN latent, VAE)
  monte_carlo = 7,     // id: site or link cell
  exchange = 8,        // id: pair of replicas
  sampling = 9,        // id: generated sequence
  tuner = 10,          // id: trial
  selection = 11,      // id: sample (data filtering)
  rounding = 12,       // of optimizer states; id: place in the flat space; step: update
  plugin_first = 1000  // out-of-tree tasks use this and above
};

struct PhiloxCounter {
  uint32_t v[4];
};
struct PhiloxKey {
  uint32_t v[2];
};

OCOEE_HOST_DEVICE inline PhiloxCounter philox4x32_10(PhiloxCounter counter, PhiloxKey key) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t product0 = uint64_t{0xD2511F53u} * counter.v[0];
    const uint64_t product1 = uint64_t{0xCD9E8D57u} * counter.v[2];
    counter = {{static_cast<uint32_t>(product1 >> 32) ^ counter.v[1] ^ key.v[0],
                static_cast<uint32_t>(product1),
                static_cast<uint32_t>(product0 >> 32) ^ counter.v[3] ^ key.v[1],
                static_cast<uint32_t>(product0)}};
    key.v[0] += 0x9E3779B9u;
    key.v[1] += 0xBB67AE85u;
  }
  return counter;
}

// The finaliser of splitmix64: a bijection that spreads every input bit over the word.
OCOEE_HOST_DEVICE inline uint64_t mix64(uint64_t x) {
  x += 0x9E3779B97F4A7C15ull;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ull;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBull;
  return x ^ (x >> 31);
}

OCOEE_HOST_DEVICE inline PhiloxKey random_key(uint64_t seed, Purpose purpose, uint64_t step) {
  const uint64_t k = mix64(mix64(seed ^ (uint64_t{static_cast<uint32_t>(purpose)} << 32)) + step);
  return {{static_cast<uint32_t>(k), static_cast<uint32_t>(k >> 32)}};
}

OCOEE_HOST_DEVICE inline PhiloxCounter random_bits(PhiloxKey key, uint64_t id, uint64_t draw) {
  return philox4x32_10({{static_cast<uint32_t>(id), static_cast<uint32_t>(id >> 32),
                         static_cast<uint32_t>(draw), static_cast<uint32_t>(draw >> 32)}},
                       key);
}

// Uniform in [0, 1) with 24 (float) or 53 (double) random bits.
OCOEE_HOST_DEVICE inline float unit_float(uint32_t bits) {
  return static_cast<float>(bits >> 8) * 0x1p-24f;
}
OCOEE_HOST_DEVICE inline double unit_double(uint32_t high, uint32_t low) {
  return static_cast<double>(((uint64_t{high} << 32) | low) >> 11) * 0x1p-53;
}

// The draws of one id, in order, on the host. Each block of four words is one Philox call.
class RandomStream {
 public:
  RandomStream(uint64_t seed, Purpose purpose, uint64_t step, uint64_t id)
      : key_(random_key(seed, purpose, step)), id_(id) {}

  uint32_t next32() {
    if (used_ == 4) {
      block_ = random_bits(key_, id_, draw_++);
      used_ = 0;
    }
    return block_.v[used_++];
  }
  uint64_t next64() {
    const uint64_t high = next32();
    return (high << 32) | next32();
  }
  double uniform() {
    const uint32_t high = next32();
    return unit_double(high, next32());
  }
  // Uniform over 0 .. n-1 without bias (Lemire 2019).
  uint64_t below(uint64_t n) {
    for (;;) {
      const unsigned __int128 product = static_cast<unsigned __int128>(next64()) * n;
      if (static_cast<uint64_t>(product) >= (0 - n) % n)
        return static_cast<uint64_t>(product >> 64);
    }
  }
  // Standard normal by Box-Muller; the second of each pair is kept.
  double normal() {
    if (has_spare_) {
      has_spare_ = false;
      return spare_;
    }
    const double radius = std::sqrt(-2.0 * std::log(1.0 - uniform()));
    const double angle = 6.283185307179586476925 * uniform();
    spare_ = radius * std::sin(angle);
    has_spare_ = true;
    return radius * std::cos(angle);
  }

 private:
  PhiloxKey key_;
  uint64_t id_;
  uint64_t draw_ = 0;
  PhiloxCounter block_{};
  int used_ = 4;
  double spare_ = 0;
  bool has_spare_ = false;
};

}  // namespace ocoee
