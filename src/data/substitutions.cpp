// SPDX-License-Identifier: Apache-2.0
#include "data/substitutions.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <optional>
#include <set>

#include "core/error.h"
#include "core/log.h"
#include "core/text.h"
#include "data/bytes.h"
#include "data/nucleotide.h"

namespace ocoee::data {
namespace {

constexpr size_t kShownProblems = 10;

std::optional<int64_t> number(std::string_view text) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// A C G T (U as T) in upper case; 0 for anything else.
char base_of(std::string_view text) {
  if (text.size() != 1) return 0;
  const char upper = static_cast<char>(text[0] & ~32);
  if (upper == 'U') return 'T';
  return base_code(upper) == kNotABase ? '\0' : upper;
}

// Fills position and bases; returns what is wrong.
std::string set(Substitution& substitution, std::string_view position, std::string_view reference,
                std::string_view alternative) {
  const auto at = number(position);
  if (!at || *at < 1) {
    return fmt::format("'{}' is not a position; expected a whole number from 1", position);
  }
  substitution.position = *at;
  substitution.reference = base_of(reference);
  substitution.alternative = base_of(alternative);
  if (!substitution.reference || !substitution.alternative) {
    return fmt::format(
        "'{}' to '{}' is not a substitution of one base; expected one of A C G T each", reference,
        alternative);
  }
  if (substitution.reference == substitution.alternative) {
    return fmt::format("reference and alternative are both {}; expected two different bases",
                       substitution.reference);
  }
  return {};
}

std::string whole_text(const std::filesystem::path& path) {
  const auto reader = open_bytes(path);
  std::string text, chunk(size_t{1} << 16, '\0');
  while (const size_t got = reader->read(chunk.data(), chunk.size())) text.append(chunk, 0, got);
  return text;
}

class LineReader {
 public:
  explicit LineReader(bool vcf) : vcf_(vcf) {}

  // Adds the substitutions of one line that is neither blank nor a comment.
  void add(std::string_view line, const std::string& where, std::vector<Substitution>& into) {
    const std::vector<std::string> columns = split(line, '\t');
    const size_t position = 1, reference = vcf_ ? 3 : 2, alternative = vcf_ ? 4 : 3;
    if (columns.size() <= alternative) {
      fail(ErrorKind::data,
           "{}: the line has {} column{}; expected {}, separated by tabs\n    fix: write tabs, not "
           "blanks, between them",
           where, columns.size(), columns.size() == 1 ? "" : "s",
           vcf_ ? "CHROM POS ID REF ALT" : "record, position, reference, alternative");
    }
    const bool header =
        first_ && !vcf_ && !number(columns[position]) && !base_of(columns[reference]);
    first_ = false;
    if (header) return;
    for (const std::string& each : split(columns[alternative], ',')) {
      // A VCF of a whole study holds indels and the like beside substitutions.
      if (vcf_ && (columns[reference].size() != 1 || !base_of(each))) {
        ++other_variants_;
        continue;
      }
      Substitution substitution;
      substitution.record = columns[0];
      substitution.where = where;
      const std::string wrong = set(substitution, columns[position], columns[reference], each);
      if (!wrong.empty()) {
        fail(ErrorKind::data, "{}: {}\n    fix: correct or remove the line", where, wrong);
      }
      into.push_back(std::move(substitution));
    }
  }

  int64_t other_variants() const { return other_variants_; }

 private:
  bool vcf_;
  bool first_ = true;
  int64_t other_variants_ = 0;
};

}  // namespace

std::vector<Substitution> read_substitutions(const std::filesystem::path& path) {
  const std::string text = whole_text(path);
  LineReader reader(text.starts_with("##fileformat=VCF"));
  std::vector<Substitution> result;
  size_t line_number = 0;
  for (const std::string& raw : split(text, '\n')) {
    ++line_number;
    const std::string_view line = trim(raw);
    if (line.empty() || line.front() == '#') continue;
    reader.add(line, fmt::format("{}:{}", path.string(), line_number), result);
  }
  if (reader.other_variants() > 0)
    log::warn("{}: {} alternative{} no substitution of one base and left out", path.string(),
              reader.other_variants(), reader.other_variants() == 1 ? " is" : "s are");
  if (result.empty()) {
    fail(ErrorKind::data,
         "{}: no substitution in the file; expected lines of record, position, reference, "
         "alternative",
         path.string());
  }
  return result;
}

Substitution parse_substitution(const std::string& word) {
  Substitution substitution;
  substitution.where = word;
  const size_t colon = word.rfind(':');
  std::string wrong = "it has not the form RECORD:POSITIONREF>ALT, such as chr1:1234A>G";
  if (colon != std::string::npos && colon > 0 && word.size() >= colon + 5 &&
      word[word.size() - 2] == '>') {
    const std::string_view change = std::string_view(word).substr(colon + 1);
    substitution.record = word.substr(0, colon);
    wrong = set(substitution, change.substr(0, change.size() - 3),
                change.substr(change.size() - 3, 1), change.substr(change.size() - 1));
  }
  if (!wrong.empty()) fail(ErrorKind::config, "substitution '{}': {}", word, wrong);
  return substitution;
}

std::vector<size_t> locate(const std::vector<Substitution>& substitutions, const Corpus& corpus) {
  std::map<std::string, size_t> by_name;
  std::set<std::string> twice;
  std::vector<std::string> names;
  for (size_t i = 0; i < corpus.records().size(); ++i) {
    if (!by_name.emplace(corpus.records()[i].name, i).second)
      twice.insert(corpus.records()[i].name);
    if (names.size() < 10000) names.push_back(corpus.records()[i].name);
  }
  std::vector<size_t> places;
  std::vector<std::string> problems;
  bool misnamed = false, ambiguous = false, misplaced = false;
  for (const Substitution& each : substitutions) {
    const auto found = by_name.find(each.record);
    if (found == by_name.end()) {
      misnamed = true;
      const std::string near = nearest(each.record, names);
      problems.push_back(fmt::format("{}: no sequence is called '{}'{}", each.where, each.record,
                                     near.empty()
                                         ? fmt::format("; the first one is '{}'", names.at(0))
                                         : fmt::format("; did you mean '{}'?", near)));
      continue;
    }
    places.push_back(found->second);
    if (twice.contains(each.record)) {
      ambiguous = true;
      problems.push_back(
          fmt::format("{}: more than one sequence is called '{}'; each needs a name of its own",
                      each.where, each.record));
      continue;
    }
    const std::string_view letters = corpus.records()[found->second].letters;
    if (each.position > static_cast<int64_t>(letters.size())) {
      misplaced = true;
      problems.push_back(fmt::format("{}: position {} is past the end of '{}', which has {} bases",
                                     each.where, each.position, each.record, letters.size()));
    } else if (const char there = letters[static_cast<size_t>(each.position - 1)];
               there != each.reference) {
      misplaced = true;
      problems.push_back(fmt::format("{}: the reference is {}, but '{}' has {} at position {}",
                                     each.where, each.reference, each.record, there,
                                     each.position));
    }
  }
  if (problems.empty()) return places;
  std::vector<std::string> fixes;
  if (misnamed)
    fixes.emplace_back("name sequences as the FASTA's headers do, up to the first space");
  if (ambiguous) fixes.emplace_back("give each record of the FASTA a name of its own");
  if (misplaced)
    fixes.emplace_back("check that the positions count from 1 and belong to this very sequence");
  const size_t more = problems.size() - std::min(problems.size(), kShownProblems);
  problems.resize(std::min(problems.size(), kShownProblems));
  fail(ErrorKind::data, "{}{}\n    fix: {}", join(problems, "\n"),
       more == 0 ? "" : fmt::format("\nand {} more like these", more), join(fixes, "; "));
}

}  // namespace ocoee::data
