// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include "science/atoms/formats.h"
#include "science/atoms/text_lines.h"

namespace ocoee::atoms {
namespace {

// Lengths by one factor or three; a negative one is the volume that the cell shall have.
Vector3 factors_of(const TextLines& lines, std::string_view line) {
  const std::vector<std::string_view> words = words_of(line);
  if (words.size() >= 3 && number_of<double>(words[1]) && number_of<double>(words[2])) {
    const Vector3 factors = lines.triple(words, 0, "scale factors");
    if (!(std::min({factors[0], factors[1], factors[2]}) > 0))
      lines.complain("three scale factors must be positive");
    return factors;
  }
  if (words.empty()) lines.complain("a scale factor was expected");
  const double factor = lines.finite(words[0], "scale factor");
  if (factor == 0) lines.complain("the scale factor is 0");
  return {factor, factor, factor};
}

void scale(const TextLines& lines, Structure& s, Vector3& factors) {
  if (factors[0] < 0) {
    const double volume_now = volume(s);
    if (!(volume_now > 0)) lines.complain("the three cell vectors span no volume");
    factors.fill(std::cbrt(-factors[0] / volume_now));
  }
  for (Vector3& vector : s.cell) {
    for (size_t axis = 0; axis < 3; ++axis) vector[axis] *= factors[axis];
  }
}

// "Cu", "Cu_pv" and "Cu_pv/5e3..." are all copper: what follows names a pseudopotential.
std::string species_name(std::string_view word) {
  return std::string(word.substr(0, word.find_first_of("_/")));
}

void read_species(TextLines& lines, Structure& s) {
  std::vector<std::string> groups;
  for (const std::string_view word : words_of(lines.next("the species"))) {
    if (number_of<double>(word)) {
      lines.complain(
          "species names were expected, found '{}' (files of VASP 4 do not name them: "
          "write a line such as \"Cu Au\" above the numbers of atoms)",
          word);
    }
    groups.push_back(species_name(word));
  }
  if (groups.empty()) lines.complain("species names were expected");
  const std::vector<std::string_view> counts = words_of(lines.next("the numbers of atoms"));
  if (counts.size() < groups.size()) {
    lines.complain("{} species are named, but there are {} numbers of atoms", groups.size(),
                   counts.size());
  }
  for (size_t group = 0; group < groups.size(); ++group) {
    const std::optional<int64_t> count = number_of<int64_t>(counts[group]);
    if (!count || *count < 0) lines.complain("'{}' is not a number of atoms", counts[group]);
    if (*count > static_cast<int64_t>(lines.bytes_left()))
      lines.complain("{} atoms of {} are more than the file holds", *count, groups[group]);
    auto known = std::find(s.species_names.begin(), s.species_names.end(), groups[group]);
    if (known == s.species_names.end())
      known = s.species_names.insert(s.species_names.end(), groups[group]);
    s.species.insert(s.species.end(), static_cast<size_t>(*count),
                     static_cast<int>(known - s.species_names.begin()));
    if (s.species.size() > lines.bytes_left()) lines.complain("more atoms than the file holds");
  }
}

}  // namespace

Structure read_poscar(std::string_view text, const std::string& name) {
  TextLines lines(text, name);
  Structure s;
  s.comment = lines.next("a comment");
  Vector3 factors = factors_of(lines, lines.next("a scale factor"));
  for (Vector3& vector : s.cell)
    vector = lines.triple(words_of(lines.next("a cell vector")), 0, "cell vector");
  scale(lines, s, factors);
  read_species(lines, s);

  std::string_view mode = lines.next("Direct or Cartesian");
  if (!mode.empty() && (mode[0] == 'S' || mode[0] == 's')) mode = lines.next("Direct or Cartesian");
  const char letter = mode.empty() ? ' ' : mode[0];
  const bool is_cartesian = std::string_view("CcKk").find(letter) != std::string_view::npos;
  if (!is_cartesian && letter != 'D' && letter != 'd')
    lines.complain("Direct or Cartesian was expected, found '{}'", mode.substr(0, 40));

  if (is_cartesian && !(volume(s) > 0)) lines.complain("the three cell vectors span no volume");
  const Matrix3 to_fractional = is_cartesian ? inverse(s.cell) : Matrix3{};
  for (size_t i = 0; i < s.species.size(); ++i) {
    Vector3 x = lines.triple(words_of(lines.next("the position of an atom")), 0, "position");
    if (is_cartesian) {
      for (size_t axis = 0; axis < 3; ++axis) x[axis] *= factors[axis];
      x = row_times(x, to_fractional);
    }
    s.positions.push_back(x);
  }
  require_sound(s, name);
  return s;
}

std::string write_poscar(const Structure& s) {
  require_sound(s, "structure");
  std::string out = (s.comment.empty() ? "written by ocoee" : s.comment) + "\n1.0\n";
  for (const Vector3& v : s.cell) out += fmt::format("{:.17g} {:.17g} {:.17g}\n", v[0], v[1], v[2]);
  const std::vector<int64_t> counts = species_counts(s);
  std::string names, numbers, positions;
  for (size_t species = 0; species < counts.size(); ++species) {
    if (counts[species] == 0) continue;
    names += (names.empty() ? "" : " ") + s.species_names[species];
    numbers += (numbers.empty() ? "" : " ") + std::to_string(counts[species]);
    for (size_t i = 0; i < s.positions.size(); ++i) {
      const Vector3& x = s.positions[i];
      if (s.species[i] == static_cast<int>(species))
        positions += fmt::format("{:.17g} {:.17g} {:.17g}\n", x[0], x[1], x[2]);
    }
  }
  return out + names + "\n" + numbers + "\nDirect\n" + positions;
}

}  // namespace ocoee::atoms
