// SPDX-License-Identifier: Apache-2.0
#include "science/atoms/symmetry.h"

#include <cmath>

#include "core/error.h"

namespace ocoee::atoms {

std::vector<int> permutation_of(const Structure& structure, const SymmetryOperation& operation,
                                double tolerance) {
  const int64_t sites = structure.size();
  std::vector<int> to(static_cast<size_t>(sites), -1);
  for (size_t site = 0; site < to.size(); ++site) {
    Vector3 image = operation.translation;
    for (size_t row = 0; row < 3; ++row) {
      for (size_t column = 0; column < 3; ++column)
        image[row] += operation.rotation[row][column] * structure.positions[site][column];
    }
    for (size_t other = 0; other < to.size() && to[site] < 0; ++other) {
      Vector3 apart{};
      for (size_t axis = 0; axis < 3; ++axis) {
        apart[axis] = image[axis] - structure.positions[other][axis];
        apart[axis] -= std::round(apart[axis]);
      }
      apart = row_times(apart, structure.cell);
      const double distance = std::hypot(apart[0], apart[1], apart[2]);
      if (distance < 10 * tolerance) to[site] = static_cast<int>(other);
    }
    OCOEE_CHECK(to[site] >= 0, "site {} has no image under a symmetry operation", site);
  }
  return to;
}

}  // namespace ocoee::atoms
