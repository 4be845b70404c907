// SPDX-License-Identifier: Apache-2.0
// Atoms of a cell in parallel projection: coloured by species, near ones in front, far ones paler.
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <vector>

namespace ocoee::report {

struct LatticePicture {
  std::string title, description;
  std::vector<std::array<double, 3>> positions;  // Cartesian, any one unit
  std::vector<int> species;                      // index into names, one an atom
  std::vector<std::string> names;
  std::vector<std::array<double, 3>> cell;  // three edge vectors; empty: no frame
  double azimuth = 30, elevation = 20;      // of the viewer, degrees
  double radius = 0;                        // of an atom; 0: from the density
  double width = 444;
  size_t most_atoms = 6000;  // of more, the nearest to the viewer are drawn
};

std::string lattice_picture(const LatticePicture& picture);

}  // namespace ocoee::report
