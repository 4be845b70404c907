// SPDX-License-Identifier: Apache-2.0
#include "kernels/dropout.h"

#include <algorithm>

#include "kernels/number.h"
#include "kernels/parallel_for.h"

namespace ocoee::kernels::cpu {
namespace {

constexpr int64_t kLanes = 16;  // Philox blocks at a time: enough for vector registers

// words[4 * lane + w] of blocks first .. first + kLanes - 1; the same rounds as philox4x32_10(),
// lane by lane.
void philox_blocks(PhiloxKey key, uint64_t first, uint32_t* words) {
  uint32_t c0[kLanes], c1[kLanes], c2[kLanes], c3[kLanes];
  for (int64_t l = 0; l < kLanes; ++l) {
    const uint64_t id = first + static_cast<uint64_t>(l);
    c0[l] = static_cast<uint32_t>(id);
    c1[l] = static_cast<uint32_t>(id >> 32);
    c2[l] = c3[l] = 0;
  }
  for (int round = 0; round < 10; ++round) {
#pragma omp simd
    for (int64_t l = 0; l < kLanes; ++l) {
      const uint64_t product0 = uint64_t{0xD2511F53u} * c0[l];
      const uint64_t product1 = uint64_t{0xCD9E8D57u} * c2[l];
      c0[l] = static_cast<uint32_t>(product1 >> 32) ^ c1[l] ^ key.v[0];
      c1[l] = static_cast<uint32_t>(product1);
      c2[l] = static_cast<uint32_t>(product0 >> 32) ^ c3[l] ^ key.v[1];
      c3[l] = static_cast<uint32_t>(product0);
    }
    key.v[0] += 0x9E3779B9u;
    key.v[1] += 0xBB67AE85u;
  }
  for (int64_t l = 0; l < kLanes; ++l) {
    words[4 * l] = c0[l], words[4 * l + 1] = c1[l], words[4 * l + 2] = c2[l],
              words[4 * l + 3] = c3[l];
  }
}

template <class T>
void dropout_rows(const Dropout& a, int64_t begin, int64_t end) {
  using W = Wide<T>;
  const DropoutRule rule = dropout_rule(a.probability);
  const W scale = static_cast<W>(rule.scale);
  const PhiloxKey key = random_key(a.seed, Purpose::dropout, static_cast<uint64_t>(*a.state));
  uint32_t words[4 * kLanes];
  for (int64_t row = begin; row < end; ++row) {
    const T* x = static_cast<const T*>(a.x) + row * a.width;
    const T* residual = a.residual ? static_cast<const T*>(a.residual) + row * a.width : nullptr;
    T* y = static_cast<T*>(a.y) + row * a.width;
    const int64_t id = dropout_first_id(a, row);
    for (int64_t i = 0; i < a.width;) {
      const int64_t skipped = (id + i) % 4;  // of the first block
      philox_blocks(key, static_cast<uint64_t>((id + i) / 4), words);
      const int64_t count = std::min(a.width - i, 4 * kLanes - skipped);
      const uint32_t* bits = words + skipped;
      if (residual) {
#pragma omp simd
        for (int64_t k = 0; k < count; ++k)
          y[i + k] = narrow<T>(widen(residual[i + k]) +
                               (bits[k] < rule.threshold ? W(0) : widen(x[i + k]) * scale));
      } else {
#pragma omp simd
        for (int64_t k = 0; k < count; ++k)
          y[i + k] = narrow<T>(bits[k] < rule.threshold ? W(0) : widen(x[i + k]) * scale);
      }
      i += count;
    }
  }
}

}  // namespace

void dropout(const Dropout& a) {
  with_float_type(a.dtype, "dropout", [&](auto tag) {
    using T = typename decltype(tag)::type;
    parallel_for(a.rows, std::max<int64_t>(1, 4096 / std::max<int64_t>(1, a.width)),
                 [&](int64_t begin, int64_t end) { dropout_rows<T>(a, begin, end); });
  });
}

}  // namespace ocoee::kernels::cpu
