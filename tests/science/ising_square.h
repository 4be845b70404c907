// SPDX-License-Identifier: Apache-2.0
// Exact numbers of states of the periodic square Ising lattice.
//
// Kaufman's partition function (Phys. Rev. 76 (1949) 1232) is a polynomial in exp(4 K) with whole
// coefficients. It is evaluated and interpolated modulo primes that have the roots of unity its
// cosines need, and the coefficients are put together by the Chinese remainder theorem: no rounding
// anywhere, whatever the size.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

namespace ocoee::alloy::testing_support {

class PrimeField {
 public:
  explicit PrimeField(uint64_t prime) : p(prime) {}
  uint64_t add(uint64_t a, uint64_t b) const { return a >= p - b ? a - (p - b) : a + b; }
  uint64_t sub(uint64_t a, uint64_t b) const { return a >= b ? a - b : a + (p - b); }
  uint64_t mul(uint64_t a, uint64_t b) const {
    return static_cast<uint64_t>(static_cast<unsigned __int128>(a) * b % p);
  }
  uint64_t pow(uint64_t a, uint64_t n) const {
    uint64_t out = 1;
    for (; n != 0; n >>= 1, a = mul(a, a))
      if (n & 1) out = mul(out, a);
    return out;
  }
  uint64_t inverse(uint64_t a) const { return pow(a, p - 2); }
  const uint64_t p;
};

inline bool is_prime(uint64_t n) {  // Miller-Rabin; these bases decide below 2^64
  for (const uint64_t small : {2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37})
    if (n % small == 0) return n == small;
  const PrimeField field(n);
  uint64_t odd = n - 1;
  while (odd % 2 == 0) odd /= 2;
  for (const uint64_t base : {2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37}) {
    uint64_t power = odd, x = field.pow(base, odd);
    while (power != n - 1 && x != 1 && x != n - 1) x = field.mul(x, x), power *= 2;
    if (x != n - 1 && power % 2 == 0) return false;
  }
  return true;
}

// Coefficients of sum_j g_j w^j modulo p, w = exp(4 K): g_j states of E = 2 N - 4 j.
inline std::vector<uint64_t> counts_modulo(int edge, uint64_t p) {
  const PrimeField f(p);
  const auto n = static_cast<uint64_t>(edge) * static_cast<uint64_t>(edge);
  const auto half = static_cast<uint64_t>(edge) / 2;
  uint64_t root = 0;  // of order 2 L
  for (uint64_t base = 2; root == 0; ++base) {
    const uint64_t candidate = f.pow(base, (p - 1) / (2 * static_cast<uint64_t>(edge)));
    if (f.pow(candidate, static_cast<uint64_t>(edge)) == p - 1) root = candidate;
  }
  const uint64_t one_half = f.inverse(2);
  const auto evaluate = [&](uint64_t z) {  // z = exp(2 K)
    const uint64_t z2 = f.mul(z, z), inverse_z = f.inverse(z);
    const uint64_t square = f.mul(f.add(z2, 1), f.add(z2, 1));
    const uint64_t base = f.mul(square, f.inverse(f.mul(f.mul(2, z), f.sub(z2, 1))));
    const auto twice_chebyshev = [&](uint64_t k) {  // 2 cosh(L gamma_k)
      const uint64_t cosine = f.mul(one_half, f.add(f.pow(root, k), f.inverse(f.pow(root, k))));
      const uint64_t x = f.mul(2, f.sub(base, cosine));
      uint64_t before = 2, now = x;
      for (int i = 1; i < edge; ++i) {
        const uint64_t next = f.sub(f.mul(x, now), before);
        before = now;
        now = next;
      }
      return now;
    };
    uint64_t y1 = 1, y2 = 1, y3 = 1, y4 = 1;
    for (uint64_t k = 1; k < static_cast<uint64_t>(edge); k += 2) {
      y1 = f.mul(y1, f.add(twice_chebyshev(k), 2));
      y2 = f.mul(y2, f.sub(twice_chebyshev(k), 2));
    }
    for (uint64_t k = 2; k < static_cast<uint64_t>(edge); k += 2) {
      y3 = f.mul(y3, f.add(twice_chebyshev(k), 2));
      y4 = f.mul(y4, f.sub(twice_chebyshev(k), 2));
    }
    // gamma_0 and gamma_L stand alone: exp(gamma) = z tanh K and z coth K
    const uint64_t tanh = f.mul(f.sub(z, 1), f.inverse(f.add(z, 1)));
    for (const uint64_t e : {f.mul(z, tanh), f.mul(z, f.inverse(tanh))}) {
      const uint64_t up = f.pow(e, half), down = f.inverse(up);
      y3 = f.mul(y3, f.add(up, down));
      y4 = f.mul(y4, f.sub(up, down));
    }
    const uint64_t front = f.mul(one_half, f.pow(f.sub(z, inverse_z), n / 2));
    const uint64_t sum = f.add(f.add(y1, y2), f.add(y3, y4));
    return f.mul(f.mul(front, sum), f.pow(z, n));  // times z^N: a polynomial in z^2
  };
  // Newton's interpolation on w_i = z_i^2.
  std::vector<uint64_t> w, divided, polynomial(n + 1, 0), product(n + 2, 0);
  for (uint64_t z = 2; w.size() < n + 1; ++z) {
    w.push_back(f.mul(z, z));
    divided.push_back(evaluate(z));
  }
  for (size_t level = 1; level <= n; ++level)
    for (size_t i = n; i >= level; --i)
      divided[i] = f.mul(f.sub(divided[i], divided[i - 1]), f.inverse(f.sub(w[i], w[i - level])));
  product[0] = 1;
  for (size_t i = 0; i <= n; ++i) {
    for (size_t k = 0; k <= i; ++k)
      polynomial[k] = f.add(polynomial[k], f.mul(divided[i], product[k]));
    for (size_t k = i + 1; k-- > 0;) {
      product[k + 1] = f.add(product[k + 1], product[k]);
      product[k] = f.mul(product[k], f.sub(0, w[i]));
    }
  }
  return polynomial;
}

// By j = 0 .. N for E = -2 N + 4 j; -infinity where there is no state. `edge` even.
inline std::vector<double> ln_g_ising_square(int edge) {
  const size_t n = static_cast<size_t>(edge) * static_cast<size_t>(edge);
  std::vector<uint64_t> primes;
  std::vector<std::vector<uint64_t>> counts;
  const uint64_t step = 4 * static_cast<uint64_t>(edge);
  uint64_t candidate = (uint64_t{1} << 61) / step * step + 1;
  for (size_t bits = 0; bits < n + 2; candidate += step) {
    if (!is_prime(candidate)) continue;
    primes.push_back(candidate);
    counts.push_back(counts_modulo(edge, candidate));
    bits += 60;
  }
  std::vector<double> out;
  for (size_t j = 0; j <= n; ++j) {
    // Garner: digits in the mixed radix of the primes, all positive, so the sum loses nothing.
    std::vector<uint64_t> digits;
    for (size_t k = 0; k < primes.size(); ++k) {
      const PrimeField f(primes[k]);
      uint64_t value = 0, radix = 1;
      for (size_t i = 0; i < k; ++i) {
        value = f.add(value, f.mul(digits[i] % primes[k], radix));
        radix = f.mul(radix, primes[i] % primes[k]);
      }
      digits.push_back(f.mul(f.sub(counts[k][n - j], value), f.inverse(radix)));
    }
    long double ln = -INFINITY, ln_radix = 0;
    for (size_t k = 0; k < primes.size(); ++k) {
      if (digits[k] != 0) {
        const long double term = std::log(static_cast<long double>(digits[k])) + ln_radix;
        const long double high = std::max(ln, term), low = std::min(ln, term);
        ln = high + std::log1p(std::exp(low - high));
      }
      ln_radix += std::log(static_cast<long double>(primes[k]));
    }
    out.push_back(static_cast<double>(ln));
  }
  return out;
}

}  // namespace ocoee::alloy::testing_support
