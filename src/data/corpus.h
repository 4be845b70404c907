// SPDX-License-Identifier: Apache-2.0
// What a model is trained and scored on: the records of several files in the order given, and parts
// of it. A part is a list of segments; no window and no count ever crosses the end of a segment.
#pragma once

#include <cstdint>
#include <deque>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "data/fasta.h"
#include "data/store.h"

namespace ocoee::data {

class Corpus {
 public:
  struct Record {
    std::string name, description;
    std::string_view letters;  // bases (upper case) or bytes of text
    int file = 0;              // its place in the list of files
  };

  // By stores in `cache`; where it is empty, read into memory, and nothing is written.
  static std::shared_ptr<const Corpus> from_fasta(const std::vector<std::string>& files,
                                                  const std::filesystem::path& cache);
  // One record a file: plain text is mapped as it is, gzip is unpacked into the cache (or memory).
  static std::shared_ptr<const Corpus> from_text(const std::vector<std::string>& files,
                                                 const std::filesystem::path& cache);
  static std::shared_ptr<const Corpus> from_records(std::vector<FastaRecord> records);

  const std::vector<Record>& records() const { return records_; }
  const std::vector<std::string>& files() const { return files_; }
  int64_t letters() const;  // of all records

 private:
  void take(FastaRecord record, int file);
  void read_into_memory(const std::string& file, SequenceStore::Kind kind, int index);

  std::vector<std::string> files_;
  std::vector<SequenceStore> stores_;
  std::vector<MappedFile> mapped_;
  std::deque<FastaRecord> owned_;  // stay where they are while others come
  std::vector<Record> records_;
};

struct Segment {
  std::string_view letters;
  std::string record;  // name of the record it lies in
  int64_t begin = 0;   // of its first letter within the record
};

struct Part {
  std::vector<Segment> segments;
  std::vector<std::shared_ptr<const Corpus>> owners;  // keep the letters alive
  int64_t letters() const;
};

struct Split {
  Part training, held_out;
};

// The held-out rule: the last `fraction` (0 <= fraction < 1) of all letters, taken in the order of
// files and records; floor(letters * (1 - fraction)) letters come before the cut. A record that the
// cut falls into gives a segment to each side. Throws Error(config) on a fraction out of range.
Split split_last(const std::shared_ptr<const Corpus>& corpus, double fraction);

Part whole(const std::shared_ptr<const Corpus>& corpus);
// Throws Error(data) where all records of a file stand in another file as well, letter by letter
// (wrapping, case, compression and names are no difference): what is held out of one would be
// trained on in the other.
void require_different(const std::vector<std::shared_ptr<const Corpus>>& corpora);

// For more training data beside the part that is split. Mind relatives: another strain of the same
// species holds most of the held-out part word for word.
Part joined(Part first, const Part& second);

}  // namespace ocoee::data
