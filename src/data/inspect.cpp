// SPDX-License-Identifier: Apache-2.0
#include "data/inspect.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <set>

#include "core/stop_signals.h"
#include "core/text.h"
#include "data/bytes.h"
#include "data/content_hash.h"
#include "data/nucleotide.h"
#include "data/store.h"

namespace ocoee::data {
namespace {

class Counter final : public FastaSink {
 public:
  explicit Counter(FileSummary& summary) : summary_(summary) {}

  void begin_record(const std::string& name, const std::string& description) override {
    end_run();
    summary_.records.push_back({name, description, {}});
  }
  void add_bases(std::string_view letters) override {
    auto& counts = summary_.records.back().composition.letters;
    for (const char letter : letters) {
      ++counts[static_cast<unsigned char>(letter)];
      if (base_code(letter) == kNotABase) {
        ++run_;
      } else if (run_ > 0) {
        end_run();
      }
    }
  }
  void end_run() {
    if (run_ == 0) return;
    Composition& composition = summary_.records.back().composition;
    ++composition.unknown_runs;
    composition.longest_unknown_run = std::max(composition.longest_unknown_run, run_);
    run_ = 0;
  }

 private:
  FileSummary& summary_;
  int64_t run_ = 0;
};

void summarise_records(FileSummary& summary) {
  std::set<std::string> seen, repeated;
  for (const RecordSummary& record : summary.records) {
    for (size_t i = 0; i < 256; ++i) {
      summary.composition.letters[i] += record.composition.letters[i];
    }
    summary.composition.unknown_runs += record.composition.unknown_runs;
    summary.composition.longest_unknown_run =
        std::max(summary.composition.longest_unknown_run, record.composition.longest_unknown_run);
    if (!seen.insert(record.name).second) repeated.insert(record.name);
  }
  summary.repeated_names.assign(repeated.begin(), repeated.end());
}

std::string grouped(int64_t number) {
  std::string digits = std::to_string(number);
  for (auto at = static_cast<int>(digits.size()) - 3; at > 0; at -= 3) {
    digits.insert(static_cast<size_t>(at), ",");
  }
  return digits;
}

std::string plural(int64_t count, const std::string& noun) {
  return fmt::format("{} {}{}", grouped(count), noun, count == 1 ? "" : "s");
}

std::string composition_line(const Composition& composition) {
  std::string line;
  for (const char letter : {'A', 'C', 'G', 'T'}) {
    const int64_t count = composition.letters[static_cast<unsigned char>(letter)];
    line += fmt::format("{} {:.2f} %  ", letter,
                        100.0 * static_cast<double>(count) /
                            static_cast<double>(std::max<int64_t>(1, composition.total())));
  }
  return line + fmt::format("GC {:.2f} %", 100 * composition.gc());
}

std::string unknown_line(const Composition& composition) {
  if (composition.unknown() == 0) return "none";
  std::string line = fmt::format("{} in {}, the longest {};", plural(composition.unknown(), "base"),
                                 plural(composition.unknown_runs, "run"),
                                 grouped(composition.longest_unknown_run));
  for (size_t i = 0; i < 256; ++i) {
    const char letter = static_cast<char>(i);
    if (composition.letters[i] == 0 || base_code(letter) != kNotABase) continue;
    line += fmt::format(" {} {}", letter, grouped(composition.letters[i]));
  }
  return line;
}

}  // namespace

int64_t Composition::total() const {
  return std::accumulate(letters.begin(), letters.end(), int64_t{0});
}
int64_t Composition::known() const {
  return letters['A'] + letters['C'] + letters['G'] + letters['T'];
}
double Composition::gc() const {
  return known() == 0
             ? 0
             : static_cast<double>(letters['G'] + letters['C']) / static_cast<double>(known());
}

FileSummary inspect(const std::filesystem::path& fasta) {
  FileSummary summary;
  summary.path = fasta.string();
  summary.content_hash = content_hash_of_file(fasta, stop_if_signalled);
  summary.file_bytes = static_cast<int64_t>(std::filesystem::file_size(fasta));
  const auto reader = open_bytes(fasta);
  Counter counter(summary);
  summary.counts = parse_fasta(*reader, summary.path, counter);
  counter.end_run();
  summary.compression = reader->compression();
  summarise_records(summary);
  return summary;
}

FileSummary prepare(const std::filesystem::path& fasta, const std::filesystem::path& cache) {
  FileSummary summary = inspect(fasta);
  const SequenceStore store(fasta, SequenceStore::Kind::fasta, cache);
  summary.store = store.path().string();
  summary.store_was_built = store.was_built();
  return summary;
}

std::string text_of(const FileSummary& summary, size_t records) {
  const FastaCounts& counts = summary.counts;
  std::string text = fmt::format(
      "{}\n  format       FASTA, {}, {}\n  content      XXH64 {:016x}\n  records      {}\n"
      "  bases        {}\n  composition  {}\n  not A C G T  {}\n",
      summary.path, summary.compression == "none" ? "not compressed" : summary.compression,
      format_bytes(static_cast<double>(summary.file_bytes)), summary.content_hash,
      grouped(counts.records), grouped(counts.bases), composition_line(summary.composition),
      unknown_line(summary.composition));
  if (counts.lower_case > 0) {
    text += fmt::format("  lower case   {} (soft-masked), read as upper case\n",
                        plural(counts.lower_case, "base"));
  }
  if (counts.uracil > 0)
    text += fmt::format("  RNA          {} U, read as T\n", grouped(counts.uracil));
  if (counts.empty_records > 0) {
    text +=
        fmt::format("  note         {} without bases\n", plural(counts.empty_records, "record"));
  }
  for (const std::string& name : summary.repeated_names) {
    text += fmt::format("  note         several records are called '{}'\n", name);
  }
  if (!summary.store.empty()) {
    text += fmt::format("  store        {} ({})\n", summary.store,
                        summary.store_was_built ? "built now" : "up to date");
  }
  for (size_t i = 0; i < std::min(records, summary.records.size()); ++i) {
    const RecordSummary& record = summary.records[i];
    text += fmt::format("  {:>13}  GC {:5.2f} %  {}{}{}\n", grouped(record.composition.total()),
                        100 * record.composition.gc(), record.name,
                        record.description.empty() ? "" : " ", record.description);
  }
  if (summary.records.size() > records) {
    text += fmt::format("  and {} more\n",
                        plural(static_cast<int64_t>(summary.records.size() - records), "record"));
  }
  return text;
}

}  // namespace ocoee::data
