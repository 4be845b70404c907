// SPDX-License-Identifier: Apache-2.0
#include "data/corpus.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "core/error.h"
#include "data/content_hash.h"

namespace ocoee::data {
namespace {

bool begins_as_gzip(const MappedFile& file) {
  return file.text().starts_with("\x1F\x8B");
}

void require_some(const std::vector<std::string>& files) {
  if (files.empty())
    fail(ErrorKind::config, "the list of input files is empty; expected one or more");
}

}  // namespace

void Corpus::take(FastaRecord record, int file) {
  const FastaRecord& own = owned_.emplace_back(std::move(record));
  records_.push_back({own.name, own.description, own.bases, file});
}

void Corpus::read_into_memory(const std::string& file, SequenceStore::Kind kind, int index) {
  FastaCollector collector;
  read_records(file, kind, collector);
  for (FastaRecord& record : collector.records) take(std::move(record), index);
}

std::shared_ptr<const Corpus> Corpus::from_fasta(const std::vector<std::string>& files,
                                                 const std::filesystem::path& cache) {
  require_some(files);
  auto corpus = std::make_shared<Corpus>();
  corpus->files_ = files;
  for (size_t i = 0; i < files.size(); ++i) {
    const int index = static_cast<int>(i);
    if (cache.empty()) {
      corpus->read_into_memory(files[i], SequenceStore::Kind::fasta, index);
      continue;
    }
    corpus->stores_.emplace_back(files[i], SequenceStore::Kind::fasta, cache);
    for (const SequenceStore::Record& record : corpus->stores_.back().records()) {
      corpus->records_.push_back({record.name, record.description, record.letters, index});
    }
  }
  return corpus;
}

std::shared_ptr<const Corpus> Corpus::from_text(const std::vector<std::string>& files,
                                                const std::filesystem::path& cache) {
  require_some(files);
  auto corpus = std::make_shared<Corpus>();
  corpus->files_ = files;
  for (size_t i = 0; i < files.size(); ++i) {
    require_input_file(files[i]);
    MappedFile mapped(files[i]);
    std::string_view text = mapped.text();
    const bool is_packed = begins_as_gzip(mapped);
    if (is_packed && cache.empty()) {
      corpus->read_into_memory(files[i], SequenceStore::Kind::text, static_cast<int>(i));
      continue;
    }
    if (is_packed) {
      corpus->stores_.emplace_back(files[i], SequenceStore::Kind::text, cache);
      text = corpus->stores_.back().records().at(0).letters;
    } else {
      corpus->mapped_.push_back(std::move(mapped));
    }
    const std::string name = std::filesystem::path(files[i]).filename().string();
    corpus->records_.push_back({name, "", text, static_cast<int>(i)});
  }
  return corpus;
}

std::shared_ptr<const Corpus> Corpus::from_records(std::vector<FastaRecord> records) {
  auto corpus = std::make_shared<Corpus>();
  for (FastaRecord& record : records) corpus->take(std::move(record), 0);
  return corpus;
}

int64_t Corpus::letters() const {
  int64_t total = 0;
  for (const Record& record : records_) total += static_cast<int64_t>(record.letters.size());
  return total;
}

int64_t Part::letters() const {
  int64_t total = 0;
  for (const Segment& segment : segments) total += static_cast<int64_t>(segment.letters.size());
  return total;
}

Split split_last(const std::shared_ptr<const Corpus>& corpus, double fraction) {
  if (!(fraction >= 0 && fraction < 1)) {
    fail(ErrorKind::config, "held_out is {}; expected a fraction from 0 to below 1, such as 0.1",
         fraction);
  }
  const auto cut =
      static_cast<int64_t>(std::floor(static_cast<double>(corpus->letters()) * (1 - fraction)));
  Split split;
  split.training.owners = split.held_out.owners = {corpus};
  int64_t before = 0;
  for (const Corpus::Record& record : corpus->records()) {
    const auto size = static_cast<int64_t>(record.letters.size());
    const int64_t kept = std::clamp<int64_t>(cut - before, 0, size);
    const auto at = static_cast<size_t>(kept);
    if (kept > 0) {
      split.training.segments.push_back({record.letters.substr(0, at), record.name, 0});
    }
    if (kept < size) {
      split.held_out.segments.push_back({record.letters.substr(at), record.name, kept});
    }
    before += size;
  }
  return split;
}

Part whole(const std::shared_ptr<const Corpus>& corpus) {
  return split_last(corpus, 0).training;
}

void require_different(const std::vector<std::shared_ptr<const Corpus>>& corpora) {
  size_t count = 0;
  for (const auto& corpus : corpora) count += corpus->files().size();
  if (count < 2) return;
  struct File {
    std::string name;
    std::set<uint64_t> records;  // hashes of their letters
  };
  std::vector<File> files;
  for (const auto& corpus : corpora) {
    const size_t first = files.size();
    for (const std::string& name : corpus->files()) files.push_back({name, {}});
    for (const Corpus::Record& record : corpus->records()) {
      if (!record.letters.empty())
        files[first + static_cast<size_t>(record.file)].records.insert(
            content_hash(record.letters));
    }
  }
  const auto holds = [](const File& all, const File& part) {
    return !part.records.empty() && std::includes(all.records.begin(), all.records.end(),
                                                  part.records.begin(), part.records.end());
  };
  constexpr const char* kFix =
      ": what is held out of one would be trained on in the other\n    fix: name each file once";
  for (size_t i = 0; i < files.size(); ++i) {
    for (size_t j = 0; j < i; ++j) {
      const bool in_earlier = holds(files[j], files[i]), in_later = holds(files[i], files[j]);
      if (in_earlier && in_later)
        fail(ErrorKind::data, "{} and {} are the same data{}", files[j].name, files[i].name, kFix);
      if (in_earlier || in_later)
        fail(ErrorKind::data, "all of {} is in {} as well{}", files[in_earlier ? i : j].name,
             files[in_earlier ? j : i].name, kFix);
    }
  }
}

Part joined(Part first, const Part& second) {
  first.segments.insert(first.segments.end(), second.segments.begin(), second.segments.end());
  first.owners.insert(first.owners.end(), second.owners.begin(), second.owners.end());
  return first;
}

}  // namespace ocoee::data
