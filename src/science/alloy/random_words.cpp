// SPDX-License-Identifier: Apache-2.0
#include "science/alloy/random_words.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace ocoee::alloy {
namespace {

constexpr size_t kBlocks = RandomWords::kBlocks;

void fill_plain(PhiloxKey key, uint64_t id, uint64_t draw, uint32_t* words) {
  for (size_t block = 0; block < kBlocks; ++block) {
    const PhiloxCounter bits = random_bits(key, id, draw + block);
    for (size_t k = 0; k < 4; ++k) words[4 * block + k] = bits.v[k];
  }
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) inline __m256i broadcast(uint64_t value) {
  return _mm256_set1_epi64x(static_cast<long long>(value));
}

// Philox4x32-10 on four counters side by side, each word in a lane of 64 bits, so that one
// instruction multiplies four.
__attribute__((target("avx2"))) void fill_avx2(PhiloxKey key, uint64_t id, uint64_t draw,
                                               uint32_t* words) {
  const __m256i low = broadcast(0xFFFFFFFFu), first = broadcast(0xD2511F53u),
                second = broadcast(0xCD9E8D57u);
  for (size_t block = 0; block < kBlocks; block += 4) {
    const __m256i draws = _mm256_add_epi64(broadcast(draw + block), _mm256_setr_epi64x(0, 1, 2, 3));
    __m256i v0 = broadcast(id & 0xFFFFFFFFu), v1 = broadcast(id >> 32);
    __m256i v2 = _mm256_and_si256(draws, low), v3 = _mm256_srli_epi64(draws, 32);
    uint32_t key0 = key.v[0], key1 = key.v[1];
    for (int round = 0; round < 10; ++round) {
      const __m256i product0 = _mm256_mul_epu32(v0, first);
      const __m256i product1 = _mm256_mul_epu32(v2, second);
      v0 = _mm256_xor_si256(_mm256_xor_si256(_mm256_srli_epi64(product1, 32), v1), broadcast(key0));
      v1 = _mm256_and_si256(product1, low);
      v2 = _mm256_xor_si256(_mm256_xor_si256(_mm256_srli_epi64(product0, 32), v3), broadcast(key1));
      v3 = _mm256_and_si256(product0, low);
      key0 += 0x9E3779B9u;
      key1 += 0xBB67AE85u;
    }
    // Lane k holds the words of counter k, two a register: paired, then put in order.
    const __m256i front = _mm256_or_si256(v0, _mm256_slli_epi64(v1, 32));
    const __m256i back = _mm256_or_si256(v2, _mm256_slli_epi64(v3, 32));
    const __m256i even = _mm256_unpacklo_epi64(front, back);  // counters 0 and 2
    const __m256i odd = _mm256_unpackhi_epi64(front, back);   // 1 and 3
    auto* out = reinterpret_cast<__m256i*>(words + 4 * block);
    _mm256_store_si256(out, _mm256_permute2x128_si256(even, odd, 0x20));
    _mm256_store_si256(out + 1, _mm256_permute2x128_si256(even, odd, 0x31));
  }
}
#endif

}  // namespace

void RandomWords::refill() {
#if defined(__x86_64__)
  static const bool has_avx2 = __builtin_cpu_supports("avx2") != 0;
  if (has_avx2)
    fill_avx2(key_, id_, draw_, words_.data());
  else
#endif
    fill_plain(key_, id_, draw_, words_.data());
  draw_ += kBlocks;
  used_ = 0;
}

}  // namespace ocoee::alloy
