// SPDX-License-Identifier: Apache-2.0
// Single-base substitutions to be scored under a model: read from a table or VCF, or from one word,
// and checked against the sequences they claim to change.
//
//   table   record <tab> position <tab> reference <tab> alternative   (a header line may come
//   first) VCF     CHROM POS ID REF ALT ...                                  (begins with
//   ##fileformat=VCF) word    record:1234A>G
//
// Positions count from 1. Lines that begin with '#' and blank lines are skipped; the files may be
// gzip.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "data/corpus.h"

namespace ocoee::data {

struct Substitution {
  std::string record;
  int64_t position = 0;                     // from 1
  char reference = 'N', alternative = 'N';  // A C G T, upper case
  std::string where;                        // "file:line", or the word itself: stands in messages
};

// Throws Error(data) on the first line that cannot be read. ALT "G,T" of a VCF gives two.
std::vector<Substitution> read_substitutions(const std::filesystem::path& path);
Substitution parse_substitution(const std::string& word);  // Error(config)

// The record that each substitution lies in, as its place in corpus.records(). Throws one
// Error(data) that lists what is wrong with up to ten: no such record (with the nearest), a
// position past its end, another base than the reference there.
std::vector<size_t> locate(const std::vector<Substitution>& substitutions, const Corpus& corpus);

}  // namespace ocoee::data
