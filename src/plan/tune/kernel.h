// SPDX-License-Identifier: Apache-2.0
// What the tuner's models are made of.
#pragma once

#include <cmath>

namespace ocoee::plan {

// Matern 5/2 of a distance in lengths (Rasmussen, Williams 2006, equation 4.17).
inline double matern(double r) {
  const double s = std::sqrt(5.0) * r;
  return (1 + s + s * s / 3) * std::exp(-s);
}

// Of two values of a coordinate: words are equal, or at distance 1.
inline double distance(bool words, double a, double b) {
  return words ? (a == b ? 0 : 1) : std::abs(a - b);
}

// Of the normal distribution; far below, the tail's expansion.
inline double log_normal_cdf(double z) {
  if (z > -6) return std::log(0.5 * std::erfc(-z / std::sqrt(2.0)));
  return -z * z / 2 - 0.5 * std::log(2 * M_PI) - std::log(-z) + std::log1p(-1 / (z * z));
}

}  // namespace ocoee::plan
