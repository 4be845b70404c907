// SPDX-License-Identifier: Apache-2.0
// The space group of a structure, by spglib (Togo, Shinohara, Tanaka, Sci. Technol. Adv. Mater.
// Meth. 4 (2024) 2384822). `tolerance` is the distance, angstrom, within which two sites are one.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "science/atoms/structure.h"

namespace ocoee::atoms {

struct SymmetryOperation {  // x' = rotation x + translation, in fractional coordinates
  std::array<std::array<int, 3>, 3> rotation{};
  Vector3 translation{};
};

struct SpaceGroup {
  int number = 1;                             // 1 to 230
  std::string symbol;                         // "Pm-3m"
  std::string point_group;                    // "m-3m"
  std::vector<SymmetryOperation> operations;  // of the cell as given: centrings are among them
  std::vector<int> orbit;                     // by site: the first site that it is equivalent to
};

// Error(data) that begins with `where` when atoms lie on one another or spglib finds nothing.
SpaceGroup space_group(const Structure& structure, double tolerance = 1e-4,
                       const std::string& where = "structure");

// The smallest cell that describes the same crystal, in its orientation.
Structure primitive_cell(const Structure& structure, double tolerance = 1e-4,
                         const std::string& where = "structure");

// The site that each site is carried to by `operation`.
std::vector<int> permutation_of(const Structure& structure, const SymmetryOperation& operation,
                                double tolerance = 1e-4);

}  // namespace ocoee::atoms
