// SPDX-License-Identifier: Apache-2.0
// Energies of structures by LAMMPS (lammps.org), run as a subprocess: many structures a process,
// each answer kept by its content (cell, atoms, potential files, what is relaxed, LAMMPS version),
// so that a killed batch goes on where it was and no structure is computed twice.
//
// A structure that makes LAMMPS fail, hang or print something that is no number is tried again
// alone, and then reported; the others go on. units metal: eV, angstrom.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "core/config.h"
#include "run/content_cache.h"
#include "science/atoms/structure.h"

namespace ocoee::atoms {

struct LammpsConfig {
  std::string program = "lmp";
  std::string pair_style = "eam";  // as LAMMPS names it: "eam" has a file for each species; others
                                   // ("eam/alloy", "eam/fs") have one for all
  std::vector<std::string> potentials;  // files: a path, or a name in $LAMMPS_POTENTIALS or where
                                        // Debian keeps them
  std::vector<std::string> species;     // names; the order of `potentials` for "eam"
  // "none": atoms and cell as given. "atoms": atoms move. "volume": atoms, and the cell's size.
  // "cell": atoms, size and shape.
  std::string relax = "none";
  double force_tolerance = 1e-3;  // eV/angstrom, largest force component that counts as relaxed
  double timeout = 60;            // seconds without a new energy
  int64_t attempts = 2;
  int64_t batch = 32;   // structures a process
  int64_t workers = 1;  // processes side by side

  void describe(config::Description& d);  // all but `species`
};

struct Label {
  bool ok = false;
  double energy = 0;         // eV, of the whole cell
  double volume = 0;         // angstrom^3, after relaxation
  double largest_force = 0;  // eV/angstrom, component, after relaxation
  bool cached = false;
  std::string problem;  // of one that is not ok: what happened, and where its files are
};

// The potential files, absolute. Error(config) where one is missing or another element's.
std::vector<std::filesystem::path> find_potentials(const LammpsConfig& config);
// What to say where this host has no such program; else nothing.
std::string program_missing(const LammpsConfig& config);

class Lammps {
 public:
  // Finds program, version and potentials. Error(config) when one is missing. `cache` is where
  // answers are kept; `scratch` is where processes run, and where a failed one leaves its files.
  Lammps(LammpsConfig config, std::filesystem::path cache, const std::filesystem::path& scratch);

  // One label for each structure, in order. `progress` hears how many are done, one call at a time.
  std::vector<Label> energies(const std::vector<Structure>& structures,
                              const std::function<void(int64_t done)>& progress = nullptr);

  const LammpsConfig& config() const { return config_; }
  const std::string& version() const { return version_; }  // "29 Sep 2021 - Update 2"

 private:
  class Batch;
  nlohmann::json question(const Structure& structure) const;
  std::string commands(const std::string& data_file, size_t number) const;

  LammpsConfig config_;
  run::ContentCache cache_;
  std::filesystem::path scratch_;
  std::vector<std::filesystem::path> files_;  // of the potentials, absolute
  nlohmann::json potentials_;                 // their names and hashes
  std::string version_;
};

// The cell turned so that its first vector lies along x and its second in the xy plane, with its
// atoms (LAMMPS' restricted triclinic cell), and shortened by lattice vectors: LAMMPS data file.
std::string lammps_data(const Structure& structure, const std::vector<std::string>& species);

}  // namespace ocoee::atoms
