// SPDX-License-Identifier: Apache-2.0
// Many arrangements of one crystal at a ladder of temperatures as one HDF5 file, for programs that
// want arrays:
//   species      uint8   [temperature][snapshot][site], compressed; attribute "names"
//   energy       float64 [temperature][snapshot], of the whole cell; attribute "unit"
//   temperature  float64 [temperature]; attribute "unit"
//   positions    float64 [site][3], cartesian, angstrom
//   cell         float64 [3][3], rows are the cell vectors, angstrom
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "science/atoms/structure.h"

namespace ocoee::atoms {

struct Arrangements {
  Structure crystal;                // its own species are not looked at, but for their names
  std::vector<double> temperature;  // T of them
  std::string temperature_unit, energy_unit;
  int64_t snapshots = 0;         // of each temperature
  std::vector<uint8_t> species;  // T x snapshots x sites
  std::vector<double> energy;    // T x snapshots
};

bool hdf5_is_there();  // whether this program was built with HDF5

// Atomically. Error(config) from a program without HDF5, Error(file) where it cannot be written.
void write_hdf5(const Arrangements& arrangements, const std::filesystem::path& path);

}  // namespace ocoee::atoms
