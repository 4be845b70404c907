// SPDX-License-Identifier: Apache-2.0
#include "tasks/alloys/ladder_starts.h"

#include "core/error.h"
#include "core/random.h"
#include "core/text.h"
#include "science/alloy/features.h"
#include "science/atoms/formats.h"

namespace ocoee::tasks {

std::vector<uint8_t> ordered_start(const SystemConfig& system, const std::string& name,
                                   const alloy::Lattice& lattice) {
  const std::vector<uint8_t> pattern = alloy::arrange(alloy::ordering(name), lattice);
  const std::vector<int64_t> atoms = system.atoms(lattice.sites());
  // Species in order fill the pattern's first sublattice, then its second; the other way round
  // where that leaves them whole.
  std::vector<int64_t> places(2, 0);
  for (const uint8_t side : pattern) ++places[side];
  std::vector<uint8_t> species;
  for (size_t a = 0; a < atoms.size(); ++a)
    species.insert(species.end(), static_cast<size_t>(atoms[a]), static_cast<uint8_t>(a));
  int64_t whole = 0;
  bool forward = false, backward = false;
  for (const int64_t n : atoms) {
    whole += n;
    forward |= whole == places[0];
    backward |= whole == places[1];
  }
  const int first = forward || !backward ? 0 : 1;
  std::vector<uint8_t> out(pattern.size());
  size_t next = 0;
  for (const int side : {first, 1 - first}) {
    const auto begin = species.begin() + static_cast<std::ptrdiff_t>(next);
    std::vector<uint8_t> here(
        begin, begin + static_cast<std::ptrdiff_t>(places[static_cast<size_t>(side)]));
    RandomStream random(1, Purpose::initialization, 1, static_cast<uint64_t>(side));
    for (size_t i = here.size(); i > 1; --i) std::swap(here[i - 1], here[random.below(i)]);
    size_t taken = 0;
    for (size_t site = 0; site < pattern.size(); ++site)
      if (pattern[site] == side) out[site] = here[taken++];
    next += here.size();
  }
  return out;
}

std::vector<std::vector<uint8_t>> starts_of_file(const LadderConfig& config,
                                                 const alloy::Lattice& lattice, int64_t first,
                                                 int64_t count) {
  const std::string& file = config.start_file;
  const std::vector<atoms::Frame> frames = atoms::read_structures(file);
  const size_t rungs = config.temperatures().size();
  if (frames.size() != 1 && frames.size() != rungs)
    fail(ErrorKind::config,
         "{} holds {} arrangements for {} temperatures\n    fix: one for all, or one for each",
         file, frames.size(), rungs);
  const std::vector<std::string> names = config.system.pairs().species;
  const std::vector<int64_t> wanted = config.system.atoms(lattice.sites());
  std::vector<std::vector<uint8_t>> out;
  for (int64_t row = first; row < first + count; ++row) {
    const auto number = frames.size() == 1 ? 0 : static_cast<size_t>(row);
    const std::string where = fmt::format("{} frame {}", file, number + 1);
    const auto found = alloy::laid_over(
        lattice.cell(), atoms::with_species_names(frames[number].structure, names, where));
    const alloy::CellIndex& cells = lattice.repeats();
    const alloy::CellIndex part = found ? found->lattice.repeats() : alloy::CellIndex{};
    if (!found || cells[0] % part[0] != 0 || cells[1] % part[1] != 0 || cells[2] % part[2] != 0)
      fail(ErrorKind::config,
           "{} is no arrangement of {} x {} x {} cells of {}, nor of a part that fills them\n    "
           "fix: the lattice and the cells of the run that wrote it, or multiples of them",
           where, cells[0], cells[1], cells[2], lattice.cell().name);
    std::vector<uint8_t> filled;  // with as many copies as it takes
    for (int64_t site = 0; site < lattice.sites(); ++site)
      filled.push_back(found->species[static_cast<size_t>(
          found->lattice.site(lattice.cell_of(site), lattice.basis_of(site)))]);
    std::vector<int64_t> atoms(wanted.size(), 0);
    for (const uint8_t species : filled) ++atoms[species];
    if (config.system.canonical() && atoms != wanted)
      fail(ErrorKind::config,
           "{} holds {} atoms of {}, the recipe asks for {}\n    fix: composition.fractions of the "
           "run that wrote it",
           where, fmt::join(atoms, ", "), join(names, ", "), fmt::join(wanted, ", "));
    out.push_back(std::move(filled));
  }
  return out;
}

}  // namespace ocoee::tasks
