// SPDX-License-Identifier: Apache-2.0
#include "science/atoms/symmetry.h"

#include <spglib.h>

#include <memory>

#include "core/error.h"

namespace ocoee::atoms {
namespace {

// spglib wants cell vectors in columns, and arrays that it may write to.
struct Cell {
  explicit Cell(const Structure& s) : species(s.species) {
    for (size_t i = 0; i < 3; ++i) {
      for (size_t j = 0; j < 3; ++j) lattice[j][i] = s.cell[i][j];
    }
    positions.reserve(3 * s.positions.size());
    for (const Vector3& x : s.positions) positions.insert(positions.end(), x.begin(), x.end());
  }
  int size() const { return static_cast<int>(species.size()); }
  double (*rows())[3] { return reinterpret_cast<double(*)[3]>(positions.data()); }

  double lattice[3][3];
  std::vector<double> positions;
  std::vector<int> species;
};

[[noreturn]] void refuse(const std::string& where, double tolerance) {
  fail(
      ErrorKind::data,
      "{}: no symmetry was found within {} angstrom: {}\n    fix: see whether two atoms lie on one "
      "another",
      where, tolerance, spg_get_error_message(spg_get_error_code()));
}

}  // namespace

SpaceGroup space_group(const Structure& structure, double tolerance, const std::string& where) {
  require_sound(structure, where);
  Cell cell(structure);
  const std::unique_ptr<SpglibDataset, void (*)(SpglibDataset*)> found(
      spg_get_dataset(cell.lattice, cell.rows(), cell.species.data(), cell.size(), tolerance),
      spg_free_dataset);
  if (!found) refuse(where, tolerance);
  SpaceGroup out;
  out.number = found->spacegroup_number;
  out.symbol = found->international_symbol;
  out.point_group = found->pointgroup_symbol;
  out.orbit.assign(found->equivalent_atoms, found->equivalent_atoms + found->n_atoms);
  for (int i = 0; i < found->n_operations; ++i) {
    SymmetryOperation operation;
    for (size_t row = 0; row < 3; ++row) {
      for (size_t column = 0; column < 3; ++column)
        operation.rotation[row][column] = found->rotations[i][row][column];
      operation.translation[row] = found->translations[i][row];
    }
    out.operations.push_back(operation);
  }
  return out;
}

Structure primitive_cell(const Structure& structure, double tolerance, const std::string& where) {
  require_sound(structure, where);
  Cell cell(structure);
  const int size = spg_standardize_cell(cell.lattice, cell.rows(), cell.species.data(), cell.size(),
                                        1, 1, tolerance);
  if (size == 0) refuse(where, tolerance);
  Structure out;
  out.species_names = structure.species_names;
  out.comment = structure.comment;
  for (size_t i = 0; i < 3; ++i) {
    for (size_t j = 0; j < 3; ++j) out.cell[i][j] = cell.lattice[j][i];
  }
  for (int i = 0; i < size; ++i) {
    out.positions.push_back({cell.rows()[i][0], cell.rows()[i][1], cell.rows()[i][2]});
    out.species.push_back(cell.species[static_cast<size_t>(i)]);
  }
  return out;
}

}  // namespace ocoee::atoms
