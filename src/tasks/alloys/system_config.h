// SPDX-License-Identifier: Apache-2.0
// What the alloy tasks share in a recipe: the lattice, the interactions, the composition.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "run/task.h"
#include "science/alloy/cluster_model.h"
#include "science/alloy/moves.h"
#include "science/alloy/pair_model.h"

namespace ocoee::tasks {

struct LatticeConfig {  // [lattice]
  std::string kind = "bcc";
  std::string file;  // of a structure: its sites instead of `kind`
  std::vector<double> edges;
  double a = 0, c_over_a = 0;  // 0: by `site_volume`, and ideal
  std::vector<int64_t> cells{4, 4, 4};
  std::vector<int64_t> sizes;  // multiples of `cells`, where a task compares sizes
  double shell_tolerance = 1e-4;
  void describe(config::Description& d, bool with_sizes = false);
  void check(config::Problems& problems) const;  // reads the file
  // Once check() found nothing. `site_volume`, angstrom^3: of a named lattice whose edge is not
  // given; 0: its edge is 1.
  alloy::UnitCell unit_cell(double site_volume = 0) const;
  alloy::Lattice crystal(int64_t size = 1, double site_volume = 0) const;  // cells times size
  bool flat() const { return file.empty() && kind == "square"; }
  int64_t largest() const;  // of sizes
};

struct InteractionConfig {  // [interactions]
  std::string model = "pairs";
  std::vector<std::string> species{"A", "B"};
  std::vector<double> pairs;
  std::string file;
  std::string unit = "eV";
  double coupling = 1;
  int64_t states = 3;
  void describe(config::Description& d);
};

struct CompositionConfig {  // [composition]
  std::string ensemble = "canonical";
  std::vector<double> fractions;
  std::vector<double> potentials;
  void describe(config::Description& d);
};

// The energy, and what counts the bonds of the same configurations.
struct AlloyModel {
  std::shared_ptr<const alloy::EnergyModel> energy;
  std::shared_ptr<const alloy::PairModel> bonds;
};

class SystemConfig {
 public:
  LatticeConfig lattice;
  InteractionConfig interactions;
  CompositionConfig composition;

  void describe(config::Description& recipe, bool with_sizes);
  void check(config::Problems& problems) const;  // reads the files it names

  // Once check() found nothing.
  alloy::UnitCell unit_cell() const { return lattice.unit_cell(pairs().site_volume); }
  alloy::ClusterInteractions interactions_read() const;  // clusters where the file has them
  alloy::PairInteractions pairs() const { return interactions_read().pairs; }
  AlloyModel model(const alloy::Lattice& lattice, const alloy::ClusterInteractions& energies,
                   int counted_shells = 0) const;
  alloy::Lattice lattice_of(int64_t size) const {
    return lattice.crystal(size, pairs().site_volume);
  }
  std::vector<alloy::Shell> shells(int count) const;
  bool canonical() const { return composition.ensemble == "canonical"; }
  std::vector<int64_t> sizes() const;  // ascending
  // Atoms of each species in a start; in the flip ensemble as even as can be.
  std::vector<int64_t> atoms(int64_t sites) const;
  std::vector<int64_t> fixed_atoms(int64_t sites) const;  // none where species flip
  // Near swaps never reach a site without neighbours in the first shell; once check() found
  // nothing.
  void check_moves(config::Problems& problems, const char* key, const std::string& kind) const;
  std::vector<double> potentials() const;  // by species, zero where not given
  double k_t(double temperature) const;    // in the unit of energy
  std::string temperature_unit() const;    // "K", or "J/k_B"
  nlohmann::json units() const;            // of results.json
  std::string energy_unit() const;         // "eV", or "J"
  std::vector<std::string> lines() const;  // what it is, for the preview
  alloy::Moves moves(const std::string& kind, const alloy::Lattice& lattice,
                     const std::vector<alloy::Shell>& shells) const;
  double ln_states(int64_t sites) const;  // of the ensemble's arrangements
};

// What can be said of a run before it starts, in the form every task says it.
nlohmann::json alloy_preview(const std::vector<std::string>& lines, int64_t state_elements,
                             double lattice_bytes, double series_bytes, int64_t steps);

}  // namespace ocoee::tasks
