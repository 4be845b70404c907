// SPDX-License-Identifier: Apache-2.0
#include "science/atoms/structure.h"

#include <cmath>
#include <set>

#include "core/error.h"
#include "core/text.h"

namespace ocoee::atoms {
namespace {

Vector3 cross(const Vector3& a, const Vector3& b) {
  return {a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]};
}

double dot(const Vector3& a, const Vector3& b) {
  return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

bool all_finite(const Vector3& v) {
  return std::isfinite(v[0]) && std::isfinite(v[1]) && std::isfinite(v[2]);
}

bool is_name(const std::string& name) {
  return !name.empty() && name.find_first_of(" \t\r\n\"=") == std::string::npos;
}

}  // namespace

double determinant(const Matrix3& m) {
  return dot(m[0], cross(m[1], m[2]));
}

Matrix3 inverse(const Matrix3& m) {
  const double scale = 1 / determinant(m);
  const Matrix3 columns = {cross(m[1], m[2]), cross(m[2], m[0]), cross(m[0], m[1])};
  Matrix3 out;
  for (size_t i = 0; i < 3; ++i) {
    for (size_t j = 0; j < 3; ++j) out[i][j] = columns[j][i] * scale;
  }
  return out;
}

Vector3 row_times(const Vector3& row, const Matrix3& m) {
  Vector3 out{};
  for (size_t i = 0; i < 3; ++i) {
    for (size_t j = 0; j < 3; ++j) out[j] += row[i] * m[i][j];
  }
  return out;
}

Vector3 cartesian(const Structure& structure, int64_t site) {
  return row_times(structure.positions[static_cast<size_t>(site)], structure.cell);
}

double volume(const Structure& structure) {
  return std::abs(determinant(structure.cell));
}

std::vector<int64_t> species_counts(const Structure& structure) {
  std::vector<int64_t> counts(structure.species_names.size());
  for (const int species : structure.species) ++counts[static_cast<size_t>(species)];
  return counts;
}

void require_sound(const Structure& structure, const std::string& where) {
  if (structure.positions.empty()) fail(ErrorKind::data, "{}: there are no atoms", where);
  if (structure.positions.size() != structure.species.size()) {
    fail(ErrorKind::data, "{}: {} positions but {} species", where, structure.positions.size(),
         structure.species.size());
  }
  for (const Vector3& vector : structure.cell) {
    if (!all_finite(vector)) fail(ErrorKind::data, "{}: a cell vector is not finite", where);
  }
  double lengths = 1;
  for (const Vector3& vector : structure.cell) lengths *= std::sqrt(dot(vector, vector));
  if (!(lengths > 0) || !std::isfinite(lengths) || !(volume(structure) > 1e-9 * lengths)) {
    fail(ErrorKind::data,
         "{}: the three cell vectors span no volume (they must not lie in a plane)", where);
  }
  std::set<std::string> seen;
  for (const std::string& name : structure.species_names) {
    if (!is_name(name)) {
      fail(ErrorKind::data,
           "{}: '{}' cannot be the name of a species (no white space, no = and \")", where, name);
    }
    if (!seen.insert(name).second)
      fail(ErrorKind::data, "{}: the species '{}' is listed twice", where, name);
  }
  for (size_t i = 0; i < structure.positions.size(); ++i) {
    if (!all_finite(structure.positions[i]))
      fail(ErrorKind::data, "{}: the position of atom {} is not finite", where, i + 1);
    const int species = structure.species[i];
    if (species < 0 || static_cast<size_t>(species) >= structure.species_names.size()) {
      fail(ErrorKind::data, "{}: atom {} has species number {}, but there are {} species", where,
           i + 1, species, structure.species_names.size());
    }
  }
}

Structure repeated(const Structure& structure, const std::array<int, 3>& repeat) {
  OCOEE_CHECK(repeat[0] > 0 && repeat[1] > 0 && repeat[2] > 0, "a cell is repeated at least once");
  Structure out = structure;
  out.positions.clear();
  out.species.clear();
  for (size_t axis = 0; axis < 3; ++axis) {
    for (double& x : out.cell[axis]) x *= repeat[axis];
  }
  for (size_t s = 0; s < structure.positions.size(); ++s) {
    const Vector3& p = structure.positions[s];
    for (int i = 0; i < repeat[0]; ++i) {
      for (int j = 0; j < repeat[1]; ++j) {
        for (int k = 0; k < repeat[2]; ++k) {
          out.positions.push_back(
              {(p[0] + i) / repeat[0], (p[1] + j) / repeat[1], (p[2] + k) / repeat[2]});
          out.species.push_back(structure.species[s]);
        }
      }
    }
  }
  return out;
}

Structure with_species_names(const Structure& structure, const std::vector<std::string>& names,
                             const std::string& where) {
  const std::vector<int64_t> counts = species_counts(structure);
  std::vector<int> number(counts.size(), -1);
  for (size_t old = 0; old < counts.size(); ++old) {
    for (size_t i = 0; i < names.size(); ++i) {
      if (names[i] == structure.species_names[old]) number[old] = static_cast<int>(i);
    }
    if (number[old] < 0 && counts[old] > 0) {
      fail(ErrorKind::data, "{}: species '{}' is not one of {}", where,
           structure.species_names[old], join(names, ", "));
    }
  }
  Structure out = structure;
  out.species_names = names;
  for (int& species : out.species) species = number[static_cast<size_t>(species)];
  return out;
}

}  // namespace ocoee::atoms
