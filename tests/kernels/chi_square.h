// SPDX-License-Identifier: Apache-2.0
// Pearson's chi-square test of counts against exact probabilities.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace ocoee::test {

// P(X >= x) of chi-square with k degrees of freedom: the regularised upper incomplete gamma
// function Q(k/2, x/2), by series or continued fraction (modified Lentz).
inline double chi_square_tail(double x, double k) {
  const double a = k / 2, y = x / 2;
  if (y <= 0) return 1;
  const double front = std::exp(a * std::log(y) - y - std::lgamma(a));
  if (y < a + 1) {
    double term = 1 / a, sum = term;
    for (int n = 1; n < 10000 && term > 1e-17 * sum; ++n) sum += term *= y / (a + n);
    return 1 - front * sum;
  }
  double b = y + 1 - a, c = 1e300, d = 1 / b, h = d;
  for (int n = 1; n < 10000; ++n) {
    const double an = n * (a - n);
    b += 2;
    d = 1 / (an * d + b);
    c = b + an / c;
    h *= d * c;
    if (std::abs(d * c - 1) < 1e-15) break;
  }
  return front * h;
}

// Classes are pooled, in their order, until at least ten counts are expected.
inline double chi_square_p(const std::vector<double>& probability,
                           const std::vector<int64_t>& counts) {
  double samples = 0, wanted = 0, seen = 0, x = 0;
  int classes = 0;
  for (const int64_t c : counts) samples += static_cast<double>(c);
  std::vector<std::pair<double, double>> pools;
  for (size_t k = 0; k < counts.size(); ++k) {
    wanted += samples * probability[k], seen += static_cast<double>(counts[k]);
    if (wanted >= 10) pools.emplace_back(wanted, seen), wanted = seen = 0;
  }
  if (pools.empty()) return 0;
  pools.back().first += wanted, pools.back().second += seen;
  for (const auto& [w, s] : pools) x += (s - w) * (s - w) / w, ++classes;
  return classes < 2 ? 0 : chi_square_tail(x, classes - 1);
}

}  // namespace ocoee::test
