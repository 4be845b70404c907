// SPDX-License-Identifier: Apache-2.0
// ocoee alloy inspect FILE | KIND: sites, coordination shells and, of a structure with several
// species, its short-range order, order parameters and energy.
#include <algorithm>
#include <cmath>
#include <filesystem>

#include "cli/verbs.h"
#include "core/error.h"
#include "core/text.h"
#include "science/alloy/cluster_model.h"
#include "science/alloy/order.h"
#include "science/atoms/formats.h"

namespace ocoee::cli {
namespace {

struct Options {
  std::string what, interactions;
  int shells = 6;
  double tolerance = 1e-4, c_over_a = 1;
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

std::string kind_text(const Options& options) {
  const alloy::UnitCell cell = alloy::lattice_cell(options.what, 1, options.c_over_a);
  return fmt::format("{}: {} sites in the conventional cell, volume {:.6g} a^3 a site\n", cell.name,
                     cell.sites.size(),
                     alloy::volume(cell) / static_cast<double>(cell.sites.size())) +
         shells_text(alloy::find_shells(cell, options.shells, options.tolerance));
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

std::string inspect(const Options& options) {
  const auto& kinds = alloy::lattice_kinds();
  if (std::find(kinds.begin(), kinds.end(), options.what) != kinds.end()) return kind_text(options);
  if (!std::filesystem::exists(options.what)) {
    const std::string near = nearest(options.what, kinds);
    fail(ErrorKind::data, "{}: is neither a file nor a lattice\n    fix: {}", options.what,
         near.empty() ? "POSCAR or extended XYZ, or one of " + join(kinds, ", ")
                      : fmt::format("did you mean {}?", near));
  }
  std::string text;
  for (const atoms::Frame& frame : atoms::read_structures(options.what))
    text += structure_text(options, frame);
  return text;
}

}  // namespace

void add_alloy(CLI::App& program, Action& chosen) {
  CLI::App* verb = program.add_subcommand("alloy", "look at lattices and arrangements of atoms");
  verb->require_subcommand(1);
  auto options = std::make_shared<Options>();
  CLI::App* inner =
      verb->add_subcommand("inspect", "shells of a lattice; short-range order of a structure");
  inner->add_option("what", options->what, "POSCAR, extended XYZ, or a lattice such as bcc")
      ->required();
  inner->add_option("--interactions", options->interactions,
                    "file of pair interactions: the energy as well");
  inner->add_option("--shells", options->shells, "coordination shells (6)")
      ->check(CLI::Range(1, 40));
  inner->add_option("--tolerance", options->tolerance,
                    "distances closer than this fraction are one shell (1e-4)");
  inner->add_option("--c-over-a", options->c_over_a, "of hcp and bct (1)");
  inner->callback([&chosen, options] {
    chosen = [options] {
      print_answer(inspect(*options));
      return 0;
    };
  });
}

}  // namespace ocoee::cli
