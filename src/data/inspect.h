// SPDX-License-Identifier: Apache-2.0
// What `ocoee data inspect` and `ocoee data prepare` say about FASTA files.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "data/fasta.h"

namespace ocoee::data {

struct Composition {
  std::array<int64_t, 256> letters{};  // by upper-case letter
  int64_t unknown_runs = 0;            // runs of letters other than A C G T
  int64_t longest_unknown_run = 0;

  int64_t total() const;
  int64_t known() const;  // A C G T
  int64_t unknown() const { return total() - known(); }
  double gc() const;  // (G + C) / known; 0 when nothing is known
};

struct RecordSummary {
  std::string name, description;
  Composition composition;
};

struct FileSummary {
  std::string path;
  std::string compression;  // "none", "gzip", "bgzip"
  int64_t file_bytes = 0;
  uint64_t content_hash = 0;  // XXH64 of the file as stored
  FastaCounts counts;
  std::vector<RecordSummary> records;
  Composition composition;                  // of all records
  std::vector<std::string> repeated_names;  // each once
  std::string store;                        // path, after prepare
  bool store_was_built = false;             // rather than found
};

FileSummary inspect(const std::filesystem::path& fasta);  // reads the file; throws Error(data)
// The same, and leaves its sequence store in `cache`.
FileSummary prepare(const std::filesystem::path& fasta, const std::filesystem::path& cache);

// For a terminal; at most `records` records are listed one by one.
std::string text_of(const FileSummary& summary, size_t records = 20);

}  // namespace ocoee::data
