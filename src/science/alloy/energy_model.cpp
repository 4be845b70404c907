// SPDX-License-Identifier: Apache-2.0
#include "science/alloy/energy_model.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"

namespace ocoee::alloy {

void EnergyModel::changes_by_swap(Configuration& configuration, std::span<const Swap> swaps,
                                  std::span<Energy> changes) const {
  OCOEE_CHECK(swaps.size() == changes.size());
  for (size_t k = 0; k < swaps.size(); ++k) changes[k] = change_by_swap(configuration, swaps[k]);
}

double quantum_for(double largest, double terms) {
  if (!(largest > 0)) return 1;
  int exponent = 0;
  std::frexp(largest, &exponent);  // largest < 2^exponent
  const int room = 62 - static_cast<int>(std::ceil(std::log2(std::max(terms, 1.0))));
  return std::ldexp(1.0, exponent - std::min(30, room));
}

double common_spacing(const std::vector<double>& values) {
  double largest = 0;
  for (const double value : values) largest = std::max(largest, std::abs(value));
  const double close = 1e-9 * largest;
  double spacing = 0;
  for (const double value : values) {  // Euclid's algorithm
    double other = std::abs(value);
    while (other > close) {
      const double rest = std::abs(std::remainder(spacing, other));
      spacing = other;
      other = rest;
    }
  }
  if (!(spacing > 0) || spacing < std::ldexp(largest, -7)) return 0;
  spacing = largest / std::round(largest / spacing);
  for (const double value : values)
    if (std::abs(std::remainder(value, spacing)) > close) return 0;
  return spacing;
}

}  // namespace ocoee::alloy
