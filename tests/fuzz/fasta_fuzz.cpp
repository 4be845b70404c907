// SPDX-License-Identifier: Apache-2.0
// FASTA from hostile bytes, plain or gzip: every input is parsed, or refused with an Error(data);
// what is parsed holds nucleotide codes only, and written out again it parses to the same.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "core/error.h"
#include "data/fasta.h"

namespace {

struct Records final : ocoee::data::FastaSink {
  void begin_record(const std::string& name, const std::string&) override {
    text += text.empty() ? "" : "\n";
    text += '>' + name + '\n';
  }
  void add_bases(std::string_view letters) override {
    if (letters.find_first_not_of("ACGTRYSWKMBDHVN") != std::string_view::npos) std::abort();
    text += letters;
    bases += letters.size();
  }
  std::string text;
  size_t bases = 0;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ocoee::data;
  Records records;
  try {
    const auto reader = open_bytes_in_memory({reinterpret_cast<const char*>(data), size}, "fuzz");
    const FastaCounts counts = parse_fasta(*reader, "fuzz", records);
    if (static_cast<size_t>(counts.bases) != records.bases) std::abort();
  } catch (const ocoee::Error& error) {
    if (error.kind() != ocoee::ErrorKind::data) std::abort();
    return 0;
  }
  Records again;
  const auto reader = open_bytes_in_memory(records.text, "again");
  parse_fasta(*reader, "again", again);
  if (again.text != records.text) std::abort();
  return 0;
}
