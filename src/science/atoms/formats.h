// SPDX-License-Identifier: Apache-2.0
// Structures as text: POSCAR (VASP), extended XYZ, and the info_evec_out of LSMS. Every reader
// refuses what is broken with an Error(data) that begins "NAME:LINE: ".
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "science/atoms/structure.h"

namespace ocoee::atoms {

inline constexpr double kBohr = 0.529177210903;      // angstrom (CODATA 2018)
inline constexpr double kRydberg = 13.605693122994;  // eV

// A structure and what a file says of it.
struct Frame {
  Structure structure;
  std::optional<double> energy;             // eV, of the whole cell
  std::map<std::string, std::string> info;  // other keys of the file, as written
};

// VASP 5 and later: the sixth line names the species. Scale factors (one, three, or a volume as a
// negative one), selective dynamics and trailing velocities are understood and not kept.
Structure read_poscar(std::string_view text, const std::string& name);
// Atoms grouped by species, each group in the order that it had.
std::string write_poscar(const Structure& structure);

// Any number of frames. Every frame needs Lattice and the columns species and pos; `energy` (or
// `free_energy`, or `E`) is the energy; other columns are passed over. Positions are cartesian.
std::vector<Frame> read_extxyz(std::string_view text, const std::string& name);
std::string write_extxyz(const Frame& frame);

// LSMS (github.com/mstsuite/lsms, writeInfoEvec.cpp): a first line of total, band and Fermi energy
// that older versions leave out, then a line an atom. Lengths in bohr, energies in Rydberg.
struct LsmsAtom {
  double charge = 0, moment = 0;  // electrons and Bohr magnetons in the atom's cell
  Vector3 direction = {0, 0, 1};  // of the moment
  std::vector<double> rest;  // up to 8 more columns: constraint fields, spin shift, new direction
  bool operator==(const LsmsAtom&) const = default;
};
struct LsmsOutput {
  Structure structure;
  std::optional<Vector3> energies;  // total, band, Fermi; Rydberg
  std::vector<LsmsAtom> atoms;
};
// The file does not hold the cell: it is given, in angstrom.
LsmsOutput read_info_evec(std::string_view text, const Matrix3& cell, const std::string& name);
std::string write_info_evec(const LsmsOutput& output);

// A file whose format follows from its name: *.extxyz, *.xyz; POSCAR*, CONTCAR*, *.poscar, *.vasp;
// info_evec_out*, *.evec. The last one holds no cell: `edges` gives it, angstrom, three edges at
// right angles or nine numbers, row after row. Error(config) where they are missing, or needless.
std::vector<Frame> read_structures(const std::filesystem::path& path,
                                   const std::vector<double>& edges = {});
bool is_info_evec(const std::filesystem::path& path);  // by its name

}  // namespace ocoee::atoms
