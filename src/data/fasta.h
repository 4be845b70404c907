// SPDX-License-Identifier: Apache-2.0
// FASTA: ">name description", then lines of bases. What is accepted:
//   - upper and lower case (soft masking is counted, then folded to upper case);
//   - IUPAC codes, kept as they are; U is stored as T, and X (masked) as N;
//   - LF, CRLF or CR line ends, blank lines, spaces and tabs within lines, a UTF-8 byte order mark;
//   - records without a name (called unnamed_1, ...) and records without bases.
// Anything else (digits, gaps, letters that are no nucleotide code) is an Error(data) with the
// line.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "data/bytes.h"

namespace ocoee::data {

// Receives a file while it is read.
class FastaSink {
 public:
  virtual ~FastaSink() = default;
  // Names and descriptions are printable ASCII; other bytes arrive as '?'.
  virtual void begin_record(const std::string& name, const std::string& description) = 0;
  virtual void add_bases(std::string_view letters) = 0;  // of the record that began last
};

struct FastaCounts {
  int64_t records = 0;
  int64_t empty_records = 0;  // without bases
  int64_t bases = 0;
  int64_t lower_case = 0;  // bases written in lower case
  int64_t uracil = 0;      // U, stored as T
  int64_t lines = 0;
  int64_t blank_lines = 0;
};

// `name` stands in messages. Throws Error(data); what the sink has received by then is to be
// dropped.
FastaCounts parse_fasta(ByteReader& reader, const std::string& name, FastaSink& sink);

struct FastaRecord {
  std::string name;
  std::string description;
  std::string bases;
};

// Keeps all of it in memory.
class FastaCollector final : public FastaSink {
 public:
  void begin_record(const std::string& name, const std::string& description) override {
    records.push_back({name, description, {}});
  }
  void add_bases(std::string_view letters) override { records.back().bases += letters; }
  std::vector<FastaRecord> records;
};

// Whole into memory: for short files, and for files read once.
std::vector<FastaRecord> read_fasta(const std::filesystem::path& path);

}  // namespace ocoee::data
