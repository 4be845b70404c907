// SPDX-License-Identifier: Apache-2.0
#include "data/fasta.h"

#include "data/nucleotide.h"
#include "data/support.h"

namespace ocoee::data {
namespace {

using testing::message_of;

struct Recorder final : FastaSink {
  void begin_record(const std::string& name, const std::string& description) override {
    records.push_back({name, description, {}});
  }
  void add_bases(std::string_view letters) override { records.back().bases += letters; }
  std::vector<FastaRecord> records;
};

// Gives the bytes in pieces, so that every state of the parser meets the end of a piece.
class Pieces final : public ByteReader {
 public:
  Pieces(std::string bytes, size_t piece) : bytes_(std::move(bytes)), piece_(piece) {}
  size_t read(char* into, size_t capacity) override {
    const size_t take = std::min({capacity, piece_, bytes_.size() - at_});
    std::copy_n(bytes_.data() + at_, take, into);
    at_ += take;
    return take;
  }

 private:
  std::string bytes_;
  size_t piece_, at_ = 0;
};

struct Parsed {
  std::vector<FastaRecord> records;
  FastaCounts counts;
};
Parsed parse(const std::string& text, size_t piece = 1 << 20) {
  Pieces pieces(text, piece);
  Recorder recorder;
  const FastaCounts counts = parse_fasta(pieces, "x.fa", recorder);
  return {recorder.records, counts};
}

TEST(Fasta, ReadsRecordsHoweverTheBytesArrive) {
  const std::string text =
      ">one first record\nACGT\nacgtn\n\n>two\r\nRYSWKMBDHV\r\nNNNN\r\n>\n>four\tx\rUuXx T "
      "A\r>last";
  for (size_t piece = 1; piece < text.size(); ++piece) {
    const auto [records, counts] = parse(text, piece);
    ASSERT_EQ(records.size(), 5u);
    EXPECT_EQ(records[0].name, "one");
    EXPECT_EQ(records[0].description, "first record");
    EXPECT_EQ(records[0].bases, "ACGTACGTN");
    EXPECT_EQ(records[1].name, "two");
    EXPECT_EQ(records[1].bases, "RYSWKMBDHVNNNN");
    EXPECT_EQ(records[2].name, "unnamed_3");
    EXPECT_EQ(records[2].bases, "");
    EXPECT_EQ(records[3].name, "four");
    EXPECT_EQ(records[3].description, "x");
    EXPECT_EQ(records[3].bases, "TTNNTA");
    EXPECT_EQ(records[4].name, "last");
    EXPECT_EQ(counts.records, 5);
    EXPECT_EQ(counts.empty_records, 2);
    EXPECT_EQ(counts.bases, 29);
    EXPECT_EQ(counts.lower_case, 7);
    EXPECT_EQ(counts.uracil, 2);
    EXPECT_EQ(counts.lines, 11);
    EXPECT_EQ(counts.blank_lines, 1);
  }
}

TEST(Fasta, ByteOrderMarkAndLeadingBlankLines) {
  EXPECT_EQ(parse("\xEF\xBB\xBF>a\nAC\n").records.at(0).bases, "AC");
  EXPECT_EQ(parse("\n \n\n>a\nAC\n").records.at(0).bases, "AC");
}

TEST(Fasta, NamesArePrintable) {
  const auto record = parse(">n\xC3\xA4me caf\xE9\x01\tend  \nA\n").records.at(0);
  EXPECT_EQ(record.name, "n??me");
  EXPECT_EQ(record.description, "caf?? end");
}

struct Golden {
  std::string text, message;
};

TEST(Fasta, GoldenMessages) {
  const Golden goldens[] = {
      {"ACGT\n",
       "x.fa:1: not FASTA: expected a line that begins with '>' before anything else, found "
       "'ACGT'\n    fix: name a FASTA file (.fa, .fasta, .fna; plain or gzip); other texts are for "
       "the task text_lm, whose recipe `ocoee run --check` looks at"},
      {"\n\n@read1\nACGT\n+\nIIII\n",
       "x.fa:3: not FASTA: expected a line that begins with '>' before anything else, found "
       "'@read1'\n    fix: this looks like FASTQ: convert it to FASTA first (seqtk seq -A)"},
      {"; a comment\n>a\nACGT\n",
       "x.fa:1: not FASTA: expected a line that begins with '>' before anything else, found '; a "
       "comment'\n    fix: remove the comment lines that begin with ';'"},
      {"LOCUS       NC_000913\n",
       "x.fa:1: not FASTA: expected a line that begins with '>' before anything else, found 'LOCUS "
       "      NC_000913'\n    fix: if this is a GenBank file (LOCUS ...), download the FASTA form "
       "of it"},
      {std::string("\x7F\x45LF\0\0\x02", 7),
       "x.fa:1: not FASTA: expected a line that begins with '>' before anything else, found "
       "'?ELF?\?\?'\n    fix: name a FASTA file (.fa, .fasta, .fna; plain or gzip); other texts "
       "are for the task text_lm, whose recipe `ocoee run --check` looks at"},
      {" \n\n",
       "x.fa: not FASTA: the file holds only blank lines; expected '>name', then bases\n    fix: "
       "copy or download it again"},
      {">a\n>b\n",
       "x.fa: the file has 2 headers but no bases; expected lines of bases below each\n    fix: "
       "copy or download it again"},
      {">",
       "x.fa: the file has 1 header but no bases; expected lines of bases below each\n    fix: "
       "copy or download it again"},
      {">a\nACGT\nAC1T\n",
       "x.fa:3:3: '1' is not a nucleotide code; expected A C G T U, N, or one of R Y S W K M B D H "
       "V, in either case\n    fix: remove the numbers: FASTA has none (GenBank does: download the "
       "FASTA form)"},
      {">a\r\nAC-GT\r\n",
       "x.fa:2:3: '-' is not a nucleotide code; expected A C G T U, N, or one of R Y S W K M B D H "
       "V, in either case\n    fix: remove the gaps of the alignment"},
      {">a\nMKLE\n",
       "x.fa:2:3: 'L' is not a nucleotide code; expected A C G T U, N, or one of R Y S W K M B D H "
       "V, in either case\n    fix: if this is a protein, it is the wrong file: Ocoee reads DNA "
       "and RNA here"},
      {">a\nACGT>b\nAC\n",
       "x.fa:2:5: '>' is not a nucleotide code; expected A C G T U, N, or one of R Y S W K M B D H "
       "V, in either case\n    fix: a header must begin a line: put a line break before '>'"},
      {std::string(">a\nAC\0T\n", 8),
       "x.fa:2:3: byte 0x00 is not a nucleotide code; expected A C G T U, N, or one of R Y S W K M "
       "B D H V, in either case\n    fix: copy or download the file again, or remove the "
       "character"},
      {">" + std::string(70000, 'x'),
       "x.fa:1: the header line is longer than 65536 bytes: line breaks are missing, or this is "
       "not a FASTA file\n    fix: copy or download it again"},
  };
  for (const Golden& golden : goldens) {
    EXPECT_EQ(message_of([&] { parse(golden.text); }), golden.message);
    EXPECT_NE(message_of([&] { parse(golden.text, 1); }), "") << golden.message;
  }
}

TEST(Nucleotide, ReverseComplementIsItsOwnInverse) {
  const std::string all = "ACGTRYSWKMBDHVN";
  EXPECT_EQ(reverse_complement(all), "NBDHVKMWSRYACGT");
  EXPECT_EQ(reverse_complement(reverse_complement(all)), all);
  for (const char base : {'A', 'C', 'G', 'T'})
    EXPECT_EQ(base_code(complement(base)), 3 - base_code(base));
}

TEST(Fasta, ReadsTheGenome) {
  const auto records = read_fasta(testing::genome_file());
  ASSERT_EQ(records.size(), 1u);
  EXPECT_EQ(records[0].name, "K-12-MG1655");
  EXPECT_EQ(records[0].bases.size(), 4639675u);
}

}  // namespace
}  // namespace ocoee::data
