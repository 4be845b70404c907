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

}  // namespace ocoee::alloy
