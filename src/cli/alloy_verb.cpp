// SPDX-License-Identifier: Apache-2.0
// ocoee alloy inspect FILE | NAME: sites, space group, coordination shells and, of a structure with
// several species, its short-range order, order parameters and energy.
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <set>

#include "cli/verbs.h"
#include "core/error.h"
#include "core/file.h"
#include "core/text.h"
#include "science/alloy/cluster_model.h"
#include "science/alloy/order.h"
#include "science/atoms/formats.h"
#include "science/atoms/symmetry.h"

namespace ocoee::cli {
namespace {

struct Options {
  std::string what, interactions;
  int shells = 6;
  double tolerance = 1e-4, c_over_a = 0;
  std::vector<double> edges;
};

std::string shells_text(const std::vector<alloy::Shell>& shells) {
  std::string text = "shell  distance  neighbours\n";
  for (size_t s = 0; s < shells.size(); ++s) {
    // Sites that are not alike may have unlike surroundings.
    std::vector<size_t> numbers;
    for (const auto& list : shells[s].bonds) numbers.push_back(list.size());
    const auto [fewest, most] = std::minmax_element(numbers.begin(), numbers.end());
    text += fmt::format(
        "{:5}  {:8.4f}  {}\n", s + 1, shells[s].distance,
        *fewest == *most ? fmt::format("{}", *fewest) : fmt::format("{} to {}", *fewest, *most));
  }
  return text;
}

// By spglib. Structures of many atoms, disordered as a rule, would take minutes.
std::string symmetry_text(const atoms::Structure& structure) {
  constexpr int64_t kMost = 1000;
  if (structure.size() > kMost)
    return fmt::format("space group: not looked for, of more than {} sites\n", kMost);
  try {
    const atoms::SpaceGroup group = atoms::space_group(structure);
    const std::set<int> orbits(group.orbit.begin(), group.orbit.end());
    return fmt::format("space group {} ({}), point group {}, {} kind{} of sites\n", group.symbol,
                       group.number, group.point_group, orbits.size(),
                       orbits.size() == 1 ? "" : "s");
  } catch (const Error& error) {  // none is found, or this program has no spglib
    return fmt::format("space group: {}\n", error.what());
  }
}

// Those that the sites allow.
std::string orders_text(const alloy::Lattice& lattice, const alloy::Configuration& configuration,
                        int species) {
  std::vector<std::string> parts;
  for (const std::string& name : alloy::ordering_names()) {
    try {
      const alloy::OrderParameter eta(name, lattice, {}, configuration.composition(species));
      parts.push_back(fmt::format("{} {:.4f}", name, eta.of(configuration, species)));
    } catch (const Error&) {
    }
  }
  return parts.empty() ? "" : "order parameters: " + join(parts, ", ") + "\n";
}

// What LSMS says of its atoms.
std::string lsms_text(const Options& options, const atoms::Matrix3& cell) {
  const atoms::LsmsOutput output =
      atoms::read_info_evec(read_file(options.what), cell, options.what);
  std::string text;
  if (output.energies)
    text += fmt::format("LSMS: total energy {:.9g} Ry, Fermi energy {:.6g} Ry\n",
                        (*output.energies)[0], (*output.energies)[2]);
  const atoms::Structure& s = output.structure;
  for (size_t a = 0; a < s.species_names.size(); ++a) {
    double charge = 0, moment = 0, count = 0;
    for (size_t i = 0; i < output.atoms.size(); ++i) {
      if (s.species[i] != static_cast<int>(a)) continue;
      charge += output.atoms[i].charge, moment += output.atoms[i].moment, ++count;
    }
    text += fmt::format(
        "LSMS: {} holds {:.4f} electrons and {:.4f} Bohr magnetons, the mean of {:.0f}\n",
        s.species_names[a], charge / count, moment / count, count);
  }
  return text;
}

std::string structure_text(const Options& options, const atoms::Frame& frame) {
  const atoms::Structure& structure = frame.structure;
  alloy::UnitCell cell{options.what, structure.cell, structure.positions};
  for (alloy::Vector& site : cell.sites)
    for (double& part : site) part -= std::floor(part);
  const alloy::Lattice lattice(cell, {1, 1, 1});
  std::vector<std::string> names = structure.species_names;
  alloy::ClusterInteractions energies;
  alloy::PairInteractions pairs(names, 0);
  std::vector<uint8_t> species(structure.species.begin(), structure.species.end());
  if (!options.interactions.empty()) {
    energies = alloy::read_interactions(options.interactions);
    pairs = energies.pairs;
    const atoms::Structure renamed =
        atoms::with_species_names(structure, pairs.species, options.what);
    species.assign(renamed.species.begin(), renamed.species.end());
    names = pairs.species;
  }
  const int counted =
      std::max({options.shells, pairs.shells, energies.triplets, energies.quadruplets});
  const std::vector<alloy::Shell> shells = alloy::find_shells(cell, counted, options.tolerance);
  const alloy::PairModel model(lattice, shells, pairs, counted);
  alloy::Configuration configuration(model.grid());
  configuration.assign(species);
  const auto count = static_cast<int>(names.size());
  const std::vector<int64_t> numbers = configuration.composition(count);

  std::vector<std::string> parts;
  for (size_t a = 0; a < names.size(); ++a)
    parts.push_back(fmt::format("{} {}", names[a], numbers[a]));
  std::string text =
      fmt::format("{}: {} sites ({}), {:.6g} A^3 a site\n", options.what, lattice.sites(),
                  join(parts, ", "), alloy::volume(cell) / static_cast<double>(lattice.sites()));
  if (atoms::is_info_evec(options.what)) text += lsms_text(options, structure.cell);
  text += symmetry_text(structure);
  text += shells_text(shells);
  if (count > 1) {
    const alloy::BondCounts bonds = model.count_bonds(configuration);
    text += "Warren-Cowley alpha";
    for (const std::string& pair : alloy::pair_names(names)) text += fmt::format("  {:>9}", pair);
    text += "\n";
    for (int s = 0; s < options.shells; ++s) {
      text += fmt::format("            shell {}", s + 1);
      for (int a = 0; a < count; ++a)
        for (int b = a + 1; b < count; ++b)
          text += fmt::format("  {:9.5f}", alloy::warren_cowley(bonds, numbers, s, a, b));
      text += "\n";
    }
    text += orders_text(lattice, configuration, count);
  }
  if (!options.interactions.empty()) {
    double energy = model.value(model.total(configuration)),
           uncertain = model.uncertainty(configuration);
    if (energies.has_clusters()) {
      const alloy::ClusterModel clusters(lattice, shells, energies);
      alloy::Configuration same(clusters.grid());
      same.assign(species);
      energy = clusters.value(clusters.total(same));
      uncertain = clusters.uncertainty(same);
    }
    const auto sites = static_cast<double>(lattice.sites());
    text += fmt::format("energy {:.9g} {} ({:.9g} a site)", energy, pairs.unit, energy / sites);
    if (uncertain > 0)
      text += fmt::format("; by the errors of the fit uncertain by {:.3g} ({:.3g} a site)",
                          uncertain, uncertain / sites);
    text += "\n";
  }
  return text;
}

// Of a lattice, all sites A; of an ordering, A and B.
std::string name_text(const Options& options) {
  const alloy::UnitCell cell = alloy::lattice_cell(options.what, 1, options.c_over_a);
  const auto& orderings = alloy::ordering_names();
  atoms::Structure structure;
  structure.cell = cell.edges, structure.positions = cell.sites;
  structure.species.assign(cell.sites.size(), 0);
  structure.species_names = {"A"};
  if (std::find(orderings.begin(), orderings.end(), options.what) != orderings.end()) {
    structure.species = alloy::ordering(options.what).species;
    structure.species_names = {"A", "B"};
    atoms::Frame frame;
    frame.structure = structure;
    return structure_text(options, frame);
  }
  return fmt::format("{}: {} sites in the conventional cell, volume {:.6g} a^3 a site\n", cell.name,
                     cell.sites.size(), alloy::site_volume(cell)) +
         symmetry_text(structure) +
         shells_text(alloy::find_shells(cell, options.shells, options.tolerance));
}

std::string inspect(const Options& options) {
  const auto& names = alloy::cell_names();
  if (std::find(names.begin(), names.end(), options.what) != names.end()) return name_text(options);
  if (!std::filesystem::exists(options.what)) {
    const std::string near = nearest(options.what, names);
    fail(ErrorKind::data, "{}: is neither a file nor a lattice\n    fix: {}", options.what,
         near.empty() ? "POSCAR, extended XYZ or info_evec_out, or one of " + join(names, ", ")
                      : fmt::format("did you mean {}?", near));
  }
  std::string text;
  for (const atoms::Frame& frame : atoms::read_structures(options.what, options.edges))
    text += structure_text(options, frame);
  return text;
}

}  // namespace

void add_alloy(CLI::App& program, Action& chosen) {
  CLI::App* verb = program.add_subcommand("alloy", "look at lattices and arrangements of atoms");
  verb->require_subcommand(1);
  auto options = std::make_shared<Options>();
  CLI::App* inner =
      verb->add_subcommand("inspect", "shells and symmetry of a lattice; order of a structure");
  inner
      ->add_option("what", options->what,
                   "POSCAR, extended XYZ, LSMS info_evec_out, or a name such as bcc or L1_0")
      ->required();
  inner->add_option("--interactions", options->interactions,
                    "file of interactions: the energy as well");
  inner->add_option("--shells", options->shells, "coordination shells (6)")
      ->check(CLI::Range(1, 40));
  inner->add_option("--tolerance", options->tolerance,
                    "distances closer than this fraction are one shell (1e-4)");
  inner->add_option("--c-over-a", options->c_over_a, "of hcp, bct and L1_0 (ideal)");
  inner
      ->add_option("--edges", options->edges,
                   "of an info_evec_out, angstrom: three at right angles, or nine numbers")
      ->delimiter(',');
  inner->callback([&chosen, options] {
    chosen = [options] {
      print_answer(inspect(*options));
      return 0;
    };
  });
}

}  // namespace ocoee::cli
