// SPDX-License-Identifier: Apache-2.0
// Extended XYZ as ASE and libAtoms write it (github.com/libAtoms/extxyz): a number of atoms, a line
// of key=value, a line an atom.
#include <algorithm>

#include "core/text.h"
#include "science/atoms/formats.h"
#include "science/atoms/text_lines.h"

namespace ocoee::atoms {
namespace {

// One value from `at` on: bare, or in "", '', {} or []. Moves `at` behind it.
std::string take_value(const TextLines& lines, std::string_view line, size_t& at) {
  const char open = at < line.size() ? line[at] : ' ';
  const char close = open == '"'    ? '"'
                     : open == '\'' ? '\''
                     : open == '{'  ? '}'
                     : open == '['  ? ']'
                                    : 0;
  std::string value;
  if (close == 0) {
    const size_t end = std::min(line.find_first_of(" \t", at), line.size());
    value = line.substr(at, end - at);
    at = end;
    return value;
  }
  for (++at; at < line.size() && line[at] != close; ++at) {
    if (line[at] == '\\' && at + 1 < line.size()) ++at;
    value += line[at];
  }
  if (at == line.size()) lines.complain("a value begins with {} and does not end", open);
  ++at;
  return value;
}

// A key without a value is a flag: it is "T".
std::map<std::string, std::string> key_values(const TextLines& lines, std::string_view line) {
  std::map<std::string, std::string> out;
  for (size_t at = 0;;) {
    at = line.find_first_not_of(" \t", at);
    if (at == std::string_view::npos) return out;
    const size_t end = std::min(line.find_first_of("= \t", at), line.size());
    const std::string key(line.substr(at, end - at));
    at = end;
    if (key.empty()) lines.complain("a key is missing before '='");
    if (at == line.size() || line[at] != '=') {
      out[key] = "T";
    } else {
      ++at;
      out[key] = take_value(lines, line, at);
    }
  }
}

std::string taken(std::map<std::string, std::string>& values, const std::string& key) {
  const auto node = values.extract(key);
  return node.empty() ? "" : node.mapped();
}

Matrix3 cell_of(const TextLines& lines, const std::string& text) {
  const std::vector<std::string_view> words = words_of(text);
  if (words.size() != 9) {
    lines.complain(
        "Lattice needs nine numbers, found {} (a frame without a cell is no periodic "
        "structure)",
        words.size());
  }
  return {lines.triple(words, 0, "Lattice"), lines.triple(words, 3, "Lattice"),
          lines.triple(words, 6, "Lattice")};
}

struct Columns {
  size_t species = 0, position = 1, total = 4;
};

// Properties=species:S:1:pos:R:3:...: where the two that matter begin.
Columns columns_of(const TextLines& lines, const std::string& properties) {
  if (properties.empty()) return {};
  const std::vector<std::string> parts = split(properties, ':');
  if (parts.size() % 3 != 0)
    lines.complain("Properties is a list of name:type:number, found '{}'", properties);
  Columns columns;
  bool has_species = false, has_position = false;
  columns.total = 0;
  for (size_t i = 0; i < parts.size(); i += 3) {
    const std::optional<int> width = number_of<int>(parts[i + 2]);
    if (!width || *width < 1 || *width > 1000)
      lines.complain("Properties: '{}' is not a number of columns", parts[i + 2]);
    if (parts[i] == "species" && *width == 1) {
      has_species = true;
      columns.species = columns.total;
    } else if (parts[i] == "pos" && *width == 3) {
      has_position = true;
      columns.position = columns.total;
    }
    columns.total += static_cast<size_t>(*width);
  }
  if (!has_species || !has_position)
    lines.complain("Properties must hold species:S:1 and pos:R:3, found '{}'", properties);
  return columns;
}

std::optional<double> energy_of(const TextLines& lines, std::map<std::string, std::string>& info) {
  for (const char* key : {"energy", "free_energy", "E"}) {
    if (const std::string text = taken(info, key); !text.empty()) return lines.finite(text, key);
  }
  return std::nullopt;
}

Frame read_frame(TextLines& lines, const std::string& first) {
  const std::vector<std::string_view> head = words_of(first);
  const std::optional<int64_t> count =
      head.size() == 1 ? number_of<int64_t>(head[0]) : std::nullopt;
  if (!count || *count < 1)
    lines.complain("a number of atoms was expected, found '{}'", first.substr(0, 40));
  if (*count > static_cast<int64_t>(lines.bytes_left() / 4))
    lines.complain("{} atoms are more than the file holds", *count);
  Frame frame;
  frame.info = key_values(lines, lines.next("the line of key=value"));
  Structure& s = frame.structure;
  s.cell = cell_of(lines, taken(frame.info, "Lattice"));
  const Columns columns = columns_of(lines, taken(frame.info, "Properties"));
  if (const std::string pbc = taken(frame.info, "pbc");
      pbc.find_first_of("Ff0") != std::string::npos)
    lines.complain("pbc=\"{}\": only cells that are periodic along all three vectors are read",
                   pbc);
  frame.energy = energy_of(lines, frame.info);
  s.comment = taken(frame.info, "comment");
  if (!(volume(s) > 0)) lines.complain("the three cell vectors span no volume");

  const Matrix3 to_fractional = inverse(s.cell);
  for (int64_t i = 0; i < *count; ++i) {
    const std::vector<std::string_view> words = words_of(lines.next("an atom"));
    if (words.size() < columns.total)
      lines.complain("{} columns were expected, found {}", columns.total, words.size());
    const std::string symbol(words[columns.species]);
    auto known = std::find(s.species_names.begin(), s.species_names.end(), symbol);
    if (known == s.species_names.end()) {
      if (s.species_names.size() == 1000) lines.complain("more than 1,000 species");
      known = s.species_names.insert(s.species_names.end(), symbol);
    }
    s.species.push_back(static_cast<int>(known - s.species_names.begin()));
    s.positions.push_back(
        row_times(lines.triple(words, columns.position, "position"), to_fractional));
  }
  require_sound(s, lines.where());
  return frame;
}

std::string quoted(const std::string& value) {
  if (!value.empty() && value.find_first_of(" \t\"\\'{}[]=") == std::string::npos) return value;
  std::string out = "\"";
  for (const char c : value) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + "\"";
}

}  // namespace

std::vector<Frame> read_extxyz(std::string_view text, const std::string& name) {
  TextLines lines(text, name);
  std::vector<Frame> frames;
  while (!lines.at_end()) {
    const std::string first(lines.next("a number of atoms"));
    if (words_of(first).empty()) continue;
    frames.push_back(read_frame(lines, first));
  }
  if (frames.empty()) fail(ErrorKind::data, "{}: there is no structure in it", name);
  return frames;
}

std::string write_extxyz(const Frame& frame) {
  const Structure& s = frame.structure;
  require_sound(s, "structure");
  std::string out = std::to_string(s.size()) + "\nLattice=\"";
  for (size_t i = 0; i < 3; ++i) {
    for (size_t j = 0; j < 3; ++j)
      out += fmt::format("{}{:.17g}", i + j == 0 ? "" : " ", s.cell[i][j]);
  }
  out += "\" Properties=species:S:1:pos:R:3";
  if (frame.energy) out += fmt::format(" energy={:.17g}", *frame.energy);
  for (const auto& [key, value] : frame.info) out += " " + key + "=" + quoted(value);
  if (!s.comment.empty()) out += " comment=" + quoted(s.comment);
  out += " pbc=\"T T T\"\n";
  for (int64_t i = 0; i < s.size(); ++i) {
    const Vector3 x = cartesian(s, i);
    out += fmt::format("{} {:.17g} {:.17g} {:.17g}\n",
                       s.species_names[static_cast<size_t>(s.species[static_cast<size_t>(i)])],
                       x[0], x[1], x[2]);
  }
  return out;
}

}  // namespace ocoee::atoms
