// SPDX-License-Identifier: Apache-2.0
#include "tasks/alloys/system_config.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <numeric>
#include <set>

#include "core/error.h"
#include "core/text.h"
#include "science/alloy/density_of_states.h"
#include "science/atoms/formats.h"

namespace ocoee::tasks {

using alloy::PairInteractions;

namespace {
constexpr double kMostSites = 1.5e9;  // places of a grid, halo included, have 31 bits

// Whether two bonds of a site end at one site of the crystal, or one at the site itself.
bool meets_images(const std::vector<alloy::Shell>& shells, const alloy::CellIndex& repeats) {
  const size_t sites = shells.empty() ? 0 : shells[0].bonds.size();
  for (size_t site = 0; site < sites; ++site) {
    std::set<std::array<int64_t, 4>> ends{{0, 0, 0, static_cast<int64_t>(site)}};
    for (const alloy::Shell& shell : shells)
      for (const alloy::Bond& bond : shell.bonds[site]) {
        std::array<int64_t, 4> end{0, 0, 0, bond.to};
        for (size_t k = 0; k < 3; ++k)
          end[k] = (bond.cell[k] % repeats[k] + repeats[k]) % repeats[k];
        if (!ends.insert(end).second) return true;
      }
  }
  return false;
}
}  // namespace

void LatticeConfig::describe(config::Description& d, bool with_sizes) {
  d.field("kind", kind, "sites of the lattice; conventional cells, and those of orderings")
      .choices(alloy::cell_names());
  d.field("file", file,
          "POSCAR, extended XYZ or info_evec_out whose sites are the lattice, instead of kind")
      .names_files();
  d.field(
      "edges", edges,
      "of an info_evec_out, which holds none, angstrom: three at right angles, or nine numbers, "
      "row after row");
  d.field("a", a,
          "edge of the conventional cell; 0 = that of the lattice which interactions were fitted "
          "on, where their file holds it, else 1")
      .at_least(0)
      .at_most(1e6)
      .unit("angstrom");
  d.field("c_over_a", c_over_a, "0 = ideal: sqrt(8/3) for hcp, else 1")
      .at_least(0)
      .at_most(100)
      .acts_where("kind = hcp, bct or L1_0",
                  [this] { return kind == "hcp" || kind == "bct" || kind == "L1_0"; });
  d.field("cells", cells, "unit cells along the three edges").at_least(1).at_most(1e6);
  if (with_sizes)
    d.field("sizes", sizes,
            "multiples of cells that are simulated side by side, for Binder crossings; empty = 1")
        .at_least(1)
        .at_most(1e6);
  d.field("shell_tolerance", shell_tolerance,
          "distances that differ by less than this fraction are one coordination shell")
      .above(0)
      .at_most(0.2);
}

void LatticeConfig::check(config::Problems& problems) const {
  if (cells.size() != 3) {
    problems.add("lattice.cells", fmt::format("{} numbers", cells.size()),
                 "three: cells along each edge, as in [4, 4, 4]");
    return;
  }
  if (a > 0 && a < 1e-3)
    problems.add("lattice.a", fmt::format("{} angstrom is no edge", a), "0.001 or more");
  const LatticeConfig untouched;
  if (!file.empty() &&
      (kind != untouched.kind || a != untouched.a || c_over_a != untouched.c_over_a))
    problems.add("lattice.file",
                 "the file holds the sites: lattice.kind, a and c_over_a do not act",
                 "leave them out, or the file");
  if (file.empty() && !edges.empty())
    problems.add("lattice.edges", "there is no lattice.file that they are of",
                 "leave the key out; lattice.a is the edge of a named lattice");
  // As a floating-point number: the product of whole ones may not fit.
  double places = 0;
  try {
    const alloy::UnitCell cell = unit_cell();
    if (!file.empty()) alloy::find_shells(cell, 1, shell_tolerance);
    places = static_cast<double>(cell.sites.size());
  } catch (const Error& error) {
    problems.add("lattice.file", error.what());
    return;
  }
  for (size_t k = 0; k < 3; ++k)
    places *=
        static_cast<double>(cells[k]) * (k == 2 && flat() ? 1 : static_cast<double>(largest()));
  if (places > kMostSites)
    problems.add(
        "lattice.cells",
        fmt::format("{:.4g} sites; a task holds crystals of up to {:.4g}", places, kMostSites),
        "fewer cells; larger crystals are for bench_alloys and the link-cell library");
}

alloy::UnitCell LatticeConfig::unit_cell(double site_volume) const {
  if (file.empty()) {
    alloy::UnitCell cell = alloy::lattice_cell(kind, a > 0 ? a : 1, c_over_a);
    if (a > 0 || !(site_volume > 0)) return cell;
    return alloy::lattice_cell(kind, std::cbrt(site_volume / alloy::site_volume(cell)), c_over_a);
  }
  const std::vector<atoms::Frame> frames = atoms::read_structures(file, edges);
  if (frames.empty()) fail(ErrorKind::data, "{}: holds no structure", file);
  alloy::UnitCell cell{file, frames.front().structure.cell, frames.front().structure.positions};
  for (alloy::Vector& site : cell.sites)
    for (double& part : site) part -= std::floor(part);
  return cell;
}

alloy::Lattice LatticeConfig::crystal(int64_t size, double site_volume) const {
  return {unit_cell(site_volume),
          {cells[0] * size, cells[1] * size, cells[2] * (flat() ? 1 : size)}};
}

int64_t LatticeConfig::largest() const {
  return sizes.empty() ? 1 : *std::max_element(sizes.begin(), sizes.end());
}

void InteractionConfig::describe(config::Description& d) {
  d.field("model", model,
          "pairs: effective pair interactions; ising: E = -coupling sum s s'; potts: E = -coupling "
          "sum delta(s, s'), both over nearest neighbours")
      .choices({"pairs", "ising", "potts"});
  const auto has_pairs = [this] { return model == "pairs"; };
  const auto is_of_spins = [this] { return model != "pairs"; };
  d.field("species", species, "names of the species, in the order that other keys follow")
      .acts_where("model = pairs", has_pairs);
  d.field(
       "pairs", pairs,
       "energies of unlike pairs, shell after shell: AB, AC, .., BC, .. of the first shell, then "
       "of the next")
      .acts_where("model = pairs", has_pairs);
  d.field("file", file, "interactions as alloy_fit writes them, instead of species and pairs")
      .names_files()
      .acts_where("model = pairs", has_pairs);
  d.field("unit", unit, "of pairs: eV (temperatures in kelvin), or J (k_B = 1)")
      .choices({"eV", "J"})
      .acts_where("model = pairs and file is empty",
                  [this] { return model == "pairs" && file.empty(); });
  d.field("coupling", coupling, "below zero, ising orders alternately")
      .acts_where("model = ising or potts", is_of_spins);
  d.field("states", states, "that a site can have")
      .at_least(2)
      .at_most(64)
      .acts_where("model = potts", [this] { return model == "potts"; });
}

void CompositionConfig::describe(config::Description& d) {
  d.field("ensemble", ensemble,
          "canonical: swaps at fixed composition; semi_grand: flips under chemical potentials")
      .choices({"canonical", "semi_grand"});
  d.field("fractions", fractions, "of each species; empty = equal parts")
      .at_least(0)
      .acts_where("ensemble = canonical", [this] { return ensemble == "canonical"; });
  d.field("potentials", potentials,
          "chemical potential of each species, in the unit of energy; empty = zero")
      .acts_where("ensemble = semi_grand", [this] { return ensemble == "semi_grand"; });
}

void SystemConfig::describe(config::Description& recipe, bool with_sizes) {
  lattice.describe(recipe.section("lattice", "Where the atoms sit."), with_sizes);
  interactions.describe(recipe.section("interactions", "What pairs of atoms cost."));
  composition.describe(recipe.section("composition", "How many atoms of which species."));
}

std::vector<int64_t> SystemConfig::sizes() const {
  if (lattice.sizes.empty()) return {1};
  const std::set<int64_t> ascending(lattice.sizes.begin(), lattice.sizes.end());
  return {ascending.begin(), ascending.end()};
}

void SystemConfig::check(config::Problems& problems) const {
  lattice.check(problems);
  if (interactions.model == "pairs" && interactions.file.empty()) {
    const std::set<std::string> different(interactions.species.begin(), interactions.species.end());
    const size_t n = interactions.species.size(), per_shell = n * (n - 1) / 2;
    if (n < 2 || different.size() != n || n > 64)
      problems.add("interactions.species",
                   "an alloy has from 2 to 64 species with different names");
    else if (const std::string bad = alloy::problem_of_names(interactions.species); !bad.empty())
      problems.add("interactions.species", bad);
    else if (interactions.pairs.empty() || interactions.pairs.size() % per_shell != 0)
      problems.add("interactions.pairs",
                   fmt::format("{} energies for {} species", interactions.pairs.size(), n),
                   fmt::format("{} for each shell, one a pair of unlike species", per_shell));
    for (const double value : interactions.pairs)
      if (!std::isfinite(value)) problems.add("interactions.pairs", "an energy is not finite");
  }
  if (!problems.empty()) return;
  const auto told = [&](const std::string& key, const auto& work) {
    try {
      work();
    } catch (const Error& error) {
      problems.add(key, error.what());
    }
  };
  told("interactions.file", [&] {
    if (interactions.model == "pairs" && !interactions.file.empty() &&
        !std::filesystem::exists(interactions.file))
      fail(
          ErrorKind::config,
          "{}: there is no such file\n    fix: a recipe of alloy_fit writes interactions.json into "
          "its run directory: run that first; or check the path (it is taken from '{}')",
          interactions.file, std::filesystem::current_path().string());
    const std::vector<std::string> unknown = alloy::undetermined(interactions_read());
    if (!unknown.empty())
      fail(
          ErrorKind::config,
          "{}: the fit did not determine {}\n    fix: fit again with larger cells, fewer shells or "
          "data of every species",
          interactions.file, join(unknown, ", "));
  });
  if (!problems.empty()) return;
  told("interactions.file", [&] { model({unit_cell(), {1, 1, 1}}, interactions_read()); });
  if (!problems.empty()) return;

  // Keys that would not act are told, not passed over.
  if (!interactions.file.empty() && interactions.model == "pairs") {
    const InteractionConfig untouched;
    if (interactions.species != untouched.species)
      problems.add("interactions.species", "interactions.file names the species",
                   "leave one of the two out");
    if (!interactions.pairs.empty())
      problems.add("interactions.pairs", "interactions.file holds the energies",
                   "leave one of the two out");
  }
  if (canonical() && !composition.potentials.empty())
    problems.add("composition.potentials", "at fixed composition potentials do not act",
                 "leave the key out, or composition.ensemble = \"semi_grand\"");
  if (!canonical() && !composition.fractions.empty())
    problems.add("composition.fractions", "potentials decide how many atoms there are of a species",
                 "leave the key out, or composition.ensemble = \"canonical\"");
  if (!problems.empty()) return;

  const auto species = static_cast<size_t>(pairs().count());
  const std::vector<double>& fractions = composition.fractions;
  if (!canonical()) {
    if (!composition.potentials.empty() && composition.potentials.size() != species)
      problems.add("composition.potentials", fmt::format("{} potentials for {} species",
                                                         composition.potentials.size(), species));
    return;
  }
  if (fractions.empty()) return;
  const double sum = std::accumulate(fractions.begin(), fractions.end(), 0.0);
  const auto present =
      std::count_if(fractions.begin(), fractions.end(), [](double f) { return f > 0; });
  if (fractions.size() != species)
    problems.add("composition.fractions",
                 fmt::format("{} fractions for {} species", fractions.size(), species),
                 "one for each of " + join(pairs().species, ", "));
  else if (!(std::abs(sum - 1) < 1e-6))
    problems.add("composition.fractions", fmt::format("they add up to {:.6g}, not to 1", sum));
  else if (present < 2)
    problems.add("composition.fractions", "all sites would hold one species",
                 "at least two species, or composition.ensemble = \"semi_grand\"");
  if (!problems.empty()) return;
  const std::vector<int64_t> multiples = sizes();
  const int64_t smallest = *std::min_element(multiples.begin(), multiples.end());
  const int64_t sites = lattice_of(smallest).sites();
  const std::vector<int64_t> numbers = atoms(sites);
  for (size_t a = 0; a < species; ++a)
    if (fractions[a] > 0 && numbers[a] == 0)
      problems.add("composition.fractions",
                   fmt::format("{:.4g} of {} sites is less than one atom of {}", fractions[a],
                               sites, pairs().species[a]),
                   "more cells, or another composition");
}

alloy::ClusterInteractions SystemConfig::interactions_read() const {
  alloy::ClusterInteractions out;
  if (interactions.model == "ising")
    out.pairs = alloy::ising(interactions.coupling);
  else if (interactions.model == "potts")
    out.pairs = alloy::potts(static_cast<int>(interactions.states), interactions.coupling);
  else if (!interactions.file.empty())
    out = alloy::read_interactions(interactions.file);
  else
    out.pairs = alloy::unlike_pairs(interactions.species, interactions.pairs, interactions.unit);
  return out;
}

AlloyModel SystemConfig::model(const alloy::Lattice& sites,
                               const alloy::ClusterInteractions& energies,
                               int counted_shells) const {
  const int reach =
      std::max({1, energies.pairs.shells, energies.triplets, energies.quadruplets, counted_shells});
  const std::vector<alloy::Shell> found = shells(reach);
  if (!energies.has_clusters()) {
    const auto model =
        std::make_shared<alloy::PairModel>(sites, found, energies.pairs, counted_shells);
    return {model, model};
  }
  const auto model = std::make_shared<alloy::ClusterModel>(sites, found, energies, counted_shells);
  return {model, {model, &model->pairs()}};  // lives as long as the model does
}

std::vector<alloy::Shell> SystemConfig::shells(int count) const {
  return alloy::find_shells(unit_cell(), count, lattice.shell_tolerance);
}

std::vector<int64_t> SystemConfig::atoms(int64_t sites) const {
  const auto species = static_cast<size_t>(pairs().count());
  std::vector<double> fractions = composition.fractions;
  if (fractions.empty() || !canonical())
    fractions.assign(species, 1 / static_cast<double>(species));
  return alloy::atoms_for(fractions, sites);
}

std::vector<int64_t> SystemConfig::fixed_atoms(int64_t sites) const {
  return canonical() ? atoms(sites) : std::vector<int64_t>{};
}

std::vector<double> SystemConfig::potentials() const {
  std::vector<double> out = composition.potentials;
  out.resize(static_cast<size_t>(pairs().count()), 0);
  return out;
}

double SystemConfig::k_t(double temperature) const {
  return pairs().boltzmann() * temperature;
}
std::string SystemConfig::temperature_unit() const {
  return energy_unit() == "eV" ? "K" : "J/k_B";
}
std::string SystemConfig::energy_unit() const {
  return interactions.model == "pairs" ? pairs().unit : "J";
}

nlohmann::json SystemConfig::units() const {
  return {{"temperature", temperature_unit()}, {"energy", energy_unit()}};
}

std::vector<std::string> SystemConfig::lines() const {
  std::vector<std::string> out;
  const PairInteractions energies = pairs();
  const std::vector<alloy::Shell> found = shells(std::max(1, energies.shells));
  std::vector<std::string> coordination;
  for (int s = 0; s < energies.shells; ++s)
    coordination.push_back(fmt::format("{:.4g}", found[static_cast<size_t>(s)].coordination()));
  const alloy::ClusterInteractions clusters = interactions_read();
  out.push_back(
      fmt::format("interactions: {} species ({}), {} shell{} of {} neighbours{}", energies.count(),
                  join(energies.species, ", "), energies.shells, energies.shells == 1 ? "" : "s",
                  join(coordination, ", "),
                  clusters.has_clusters()
                      ? fmt::format(", {} energies of larger clusters", clusters.values.size())
                      : ""));
  for (const int64_t size : sizes()) {
    const alloy::Lattice cells = lattice_of(size);
    std::string line =
        fmt::format("lattice: {} x {} x {} cells of {}, {} sites", cells.repeats()[0],
                    cells.repeats()[1], cells.repeats()[2], cells.cell().name, cells.sites());
    if (canonical()) {
      const std::vector<int64_t> numbers = atoms(cells.sites());
      std::vector<std::string> parts;
      for (size_t a = 0; a < numbers.size(); ++a)
        parts.push_back(fmt::format("{} {}", energies.species[a], numbers[a]));
      line += ": " + join(parts, ", ");
    }
    out.push_back(line);
    // Images are counted right, but such a cell is hardly a piece of a crystal.
    if (meets_images(found, cells.repeats()))
      out.push_back(
          "note: the crystal is so small that some neighbours of an atom are images of one "
          "another, "
          "or of itself");
  }
  return out;
}

alloy::Moves SystemConfig::moves(const std::string& kind, const alloy::Lattice& sites,
                                 const std::vector<alloy::Shell>& found) const {
  alloy::Moves out;
  if (!canonical()) {
    out.kind = alloy::Moves::Kind::flip;
    out.potentials = potentials();
    return out;
  }
  if (kind == "far") return out;
  out.kind = kind == "near" ? alloy::Moves::Kind::near : alloy::Moves::Kind::mixed;
  out.near = std::make_shared<alloy::NeighbourTable>(
      sites, std::vector<alloy::Shell>(found.begin(), found.begin() + 1));
  return out;
}

void SystemConfig::check_moves(config::Problems& problems, const char* key,
                               const std::string& kind) const {
  if (kind != "near" || !canonical()) return;
  const auto bonds = shells(1)[0].bonds;
  const auto alone =
      std::find_if(bonds.begin(), bonds.end(), [](const auto& of_site) { return of_site.empty(); });
  if (alone == bonds.end()) return;
  problems.add(key,
               fmt::format("near swaps would never move the atom of site {} of the cell, which has "
                           "no neighbours in the first shell",
                           alone - bonds.begin() + 1),
               "\"far\" or \"mixed\"");
}

double SystemConfig::ln_states(int64_t sites) const {
  if (canonical()) return alloy::ln_multinomial(atoms(sites));
  return static_cast<double>(sites) * std::log(static_cast<double>(pairs().count()));
}

nlohmann::json alloy_preview(const std::vector<std::string>& lines, int64_t state_elements,
                             double lattice_bytes, double series_bytes, int64_t steps) {
  nlohmann::json out;
  out["state_elements"] = state_elements;
  out["memory_bytes"] = {{"lattices", lattice_bytes}, {"series", series_bytes}};
  out["memory_total_bytes"] = lattice_bytes + series_bytes;
  out["steps"] = steps;
  out["lines"] = lines;
  out["lines"].push_back(fmt::format("memory per rank, at most: {} (lattices {}, series {})",
                                     format_bytes(lattice_bytes + series_bytes),
                                     format_bytes(lattice_bytes), format_bytes(series_bytes)));
  return out;
}

}  // namespace ocoee::tasks
