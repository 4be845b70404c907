// SPDX-License-Identifier: Apache-2.0
// The sequence store: the records of one input file as one memory-mapped file, built once and
// reused for as long as the content of the input is the same.
//
//   header   128 bytes, little endian: sizes, offsets, content hash of the input, checksums
//   letters  all records one after another, one byte a base (upper case, IUPAC codes kept in place)
//   index    per record: offset and length (u64), sizes of name and description (u32), their bytes
//
// Its name is KIND-HASH.v1.store. It is written beside and renamed, so several processes may build
// it at once. One that is damaged, or of another version, is built again. Ranks that share a cache
// folder save work when one of them opens its input first.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "core/file.h"
#include "data/fasta.h"

namespace ocoee::data {

// $OCOEE_CACHE, else $XDG_CACHE_HOME/ocoee, else ~/.cache/ocoee, else .ocoee-cache here.
std::filesystem::path default_cache_folder();

class SequenceStore {
 public:
  enum class Kind : uint8_t { fasta, text };  // text: the whole (decompressed) file is one record

  struct Record {
    std::string name, description;
    std::string_view letters;  // valid while the store lives
  };

  // Throws Error(data) for the input, Error(file) where the cache cannot be written.
  SequenceStore(const std::filesystem::path& input, Kind kind, const std::filesystem::path& cache);

  const std::vector<Record>& records() const { return records_; }
  const std::filesystem::path& path() const { return path_; }
  uint64_t source_hash() const { return source_hash_; }
  int64_t lower_case() const { return lower_case_; }
  bool was_built() const { return was_built_; }  // now, rather than found
  int64_t bytes() const { return static_cast<int64_t>(file_.size()); }

 private:
  std::string load();  // why the store cannot be used; empty: loaded

  std::filesystem::path path_;
  uint64_t source_hash_ = 0;
  Kind kind_ = Kind::fasta;
  int64_t lower_case_ = 0;
  bool was_built_ = false;
  MappedFile file_;
  std::vector<Record> records_;
};

// The records that a store of `input` would hold, one after another, and nothing is written.
FastaCounts read_records(const std::filesystem::path& input, SequenceStore::Kind kind,
                         FastaSink& sink);

}  // namespace ocoee::data
