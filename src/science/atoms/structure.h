// SPDX-License-Identifier: Apache-2.0
// A periodic cell with atoms in it: what readers give, lattices are built from, and programs that
// compute energies are asked about. Lengths in angstrom.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace ocoee::atoms {

using Vector3 = std::array<double, 3>;
using Matrix3 = std::array<Vector3, 3>;

struct Structure {
  Matrix3 cell{};                          // rows are the cell vectors, angstrom
  std::vector<Vector3> positions;          // fractional, one a site; any image
  std::vector<int> species;                // one a site: index into species_names
  std::vector<std::string> species_names;  // chemical symbols, or any names without white space
  std::string comment;                     // one line

  int64_t size() const { return static_cast<int64_t>(positions.size()); }
  bool operator==(const Structure&) const = default;
};

double determinant(const Matrix3& m);
Matrix3 inverse(const Matrix3& m);                            // of an invertible one
Vector3 row_times(const Vector3& row, const Matrix3& m);      // row vector times matrix
Vector3 cartesian(const Structure& structure, int64_t site);  // angstrom
double volume(const Structure& structure);                    // angstrom^3, > 0

// Atoms of each species, in the order of species_names.
std::vector<int64_t> species_counts(const Structure& structure);

// Sites and species agree in number, species numbers are in range and their names different and
// usable, the cell spans a volume, every number is finite. Error(data) that begins with `where`
// otherwise.
void require_sound(const Structure& structure, const std::string& where);

// The cell repeated along its three vectors. Images of one site follow one another: copy (i, j, k)
// of site s is site s * n + (i * repeat[1] + j) * repeat[2] + k.
Structure repeated(const Structure& structure, const std::array<int, 3>& repeat);

// The same structure whose species numbers refer to `names`. Error(data) that begins with `where`
// when one of its species is not among them.
Structure with_species_names(const Structure& structure, const std::vector<std::string>& names,
                             const std::string& where);

// 1 to 118 by chemical symbol ("Cu"), and back; 0 and nothing for what is no element.
int atomic_number(const std::string& symbol);
std::optional<std::string> element_symbol(int number);
double atomic_mass(int number);  // standard atomic weight, g/mol; of 1 to 118

}  // namespace ocoee::atoms
