// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "science/atoms/formats.h"
#include "science/atoms/text_lines.h"

namespace ocoee::atoms {
namespace {

constexpr size_t kNeeded = 10, kAll = 18;  // Z index x y z charge moment direction(3), 8 more

}  // namespace

LsmsOutput read_info_evec(std::string_view text, const Matrix3& cell, const std::string& name) {
  TextLines lines(text, name);
  LsmsOutput out;
  Structure& s = out.structure;
  s.cell = cell;
  if (!(volume(s) > 0)) fail(ErrorKind::data, "{}: the three cell vectors span no volume", name);
  const Matrix3 to_fractional = inverse(cell);
  while (!lines.at_end()) {
    const std::vector<std::string_view> words = words_of(lines.next("an atom"));
    if (words.empty()) continue;
    if (words.size() == 3 && !out.energies && s.positions.empty()) {
      out.energies = lines.triple(words, 0, "total, band and Fermi energy");
      continue;
    }
    if (words.size() < kNeeded || words.size() > kAll) {
      lines.complain(
          "an atom has {} to {} columns (Z, index, x, y, z, charge, moment, direction, "
          "...), found {}",
          kNeeded, kAll, words.size());
    }
    const std::optional<int> number = number_of<int>(words[0]);
    const std::optional<std::string> symbol = element_symbol(number.value_or(0));
    if (!symbol) lines.complain("'{}' is not an atomic number", words[0]);
    auto known = std::find(s.species_names.begin(), s.species_names.end(), *symbol);
    if (known == s.species_names.end())
      known = s.species_names.insert(s.species_names.end(), *symbol);
    s.species.push_back(static_cast<int>(known - s.species_names.begin()));
    Vector3 x = lines.triple(words, 2, "position");
    for (double& component : x) component *= kBohr;
    s.positions.push_back(row_times(x, to_fractional));
    LsmsAtom atom;
    atom.charge = lines.finite(words[5], "charge");
    atom.moment = lines.finite(words[6], "moment");
    atom.direction = lines.triple(words, 7, "direction of the moment");
    for (size_t i = kNeeded; i < words.size(); ++i)
      atom.rest.push_back(lines.finite(words[i], "a further column"));
    out.atoms.push_back(std::move(atom));
  }
  require_sound(s, name);
  return out;
}

std::string write_info_evec(const LsmsOutput& output) {
  const Structure& s = output.structure;
  require_sound(s, "structure");
  OCOEE_CHECK(output.atoms.size() == s.positions.size(), "an LsmsAtom for each atom");
  std::string out;
  if (const auto& e = output.energies)
    out += fmt::format("{:.17g} {:.17g} {:.17g}\n", (*e)[0], (*e)[1], (*e)[2]);
  for (size_t i = 0; i < output.atoms.size(); ++i) {
    const LsmsAtom& atom = output.atoms[i];
    const std::string& symbol = s.species_names[static_cast<size_t>(s.species[i])];
    const int number = atomic_number(symbol);
    if (number == 0) fail(ErrorKind::data, "LSMS: '{}' is no chemical element", symbol);
    const Vector3 x = cartesian(s, static_cast<int64_t>(i));
    out += fmt::format(
        "{:3} {:8} {:21.15f} {:21.15f} {:21.15f} {:12.6f} {:21.15f} {:21.15f} "
        "{:21.15f} {:21.15f}",
        number, i, x[0] / kBohr, x[1] / kBohr, x[2] / kBohr, atom.charge, atom.moment,
        atom.direction[0], atom.direction[1], atom.direction[2]);
    for (const double value : atom.rest) out += fmt::format(" {:21.15f}", value);
    out += "\n";
  }
  return out;
}

}  // namespace ocoee::atoms
