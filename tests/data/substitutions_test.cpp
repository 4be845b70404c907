// SPDX-License-Identifier: Apache-2.0
#include "data/substitutions.h"

#include "data/support.h"

namespace ocoee::data {
namespace {

using testing::message_of;
using testing::TemporaryFolder;

TEST(Substitutions, ReadTablesAndVcf) {
  const TemporaryFolder folder;
  const auto table = folder.write(
      "a.tsv", "record\tposition\treference\talternative\r\n# note\n\nchr1\t3\tg\tU\n");
  auto read = read_substitutions(table);
  ASSERT_EQ(read.size(), 1u);
  EXPECT_EQ(read[0].record, "chr1");
  EXPECT_EQ(read[0].position, 3);
  EXPECT_EQ(read[0].reference, 'G');
  EXPECT_EQ(read[0].alternative, 'T');
  EXPECT_EQ(read[0].where, table + ":4");
  const auto vcf = folder.write(
      "a.vcf.gz",
      testing::gzip(
          "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\nchr1\t1\t.\tA\tC,T\t.\t.\t.\n"));
  read = read_substitutions(vcf);
  ASSERT_EQ(read.size(), 2u);
  EXPECT_EQ(read[1].alternative, 'T');
}

TEST(Substitutions, ParseWords) {
  const Substitution one = parse_substitution("gi|1|ref:NC_1.1:1234a>G");
  EXPECT_EQ(one.record, "gi|1|ref:NC_1.1");
  EXPECT_EQ(one.position, 1234);
  EXPECT_EQ(one.reference, 'A');
  EXPECT_EQ(one.alternative, 'G');
}

TEST(Substitutions, GoldenMessages) {
  const TemporaryFolder folder;
  const auto of_file = [&](const std::string& text) {
    const auto path = folder.write("x.tsv", text);
    const std::string message = message_of([&] { read_substitutions(path); });
    return message.starts_with(path) ? message.substr(path.size()) : message;
  };
  EXPECT_EQ(
      of_file("chr1 3 A C\n"),
      ":1: the line has 1 column; expected record, position, reference, alternative, separated by "
      "tabs\n    fix: write tabs, not blanks, between them");
  EXPECT_EQ(of_file("chr1\t0\tA\tC\n"),
            ":1: '0' is not a position; expected a whole number from 1\n    fix: correct or remove "
            "the line");
  EXPECT_EQ(
      of_file("chr1\t5\tA\tC\nchr1\t6\tA\tCT\n"),
      ":2: 'A' to 'CT' is not a substitution of one base; expected one of A C G T each\n    fix: "
      "correct "
      "or remove the line");
  EXPECT_EQ(
      of_file("chr1\t5\tA\tA\n"),
      ":1: reference and alternative are both A; expected two different bases\n    fix: correct or "
      "remove the line");
  EXPECT_EQ(
      of_file("# nothing\n"),
      ": no substitution in the file; expected lines of record, position, reference, alternative");
  for (const char* word : {"chr1", "chr1:A>G", ":5A>G", "chr1:5AG", "chr1:5A>"}) {
    EXPECT_EQ(message_of([&] { parse_substitution(word); }, ErrorKind::config),
              fmt::format("substitution '{}': it has not the form RECORD:POSITIONREF>ALT, such as "
                          "chr1:1234A>G",
                          word));
  }
  EXPECT_EQ(message_of([&] { parse_substitution("chr1:5N>G"); }, ErrorKind::config),
            "substitution 'chr1:5N>G': 'N' to 'G' is not a substitution of one base; expected one "
            "of A C G "
            "T each");
}

TEST(Substitutions, AreCheckedAgainstTheSequences) {
  const auto corpus = Corpus::from_records({{"chr1", "", "ACGT"}, {"chr2", "", "NGGG"}});
  EXPECT_EQ(locate({parse_substitution("chr2:2G>A"), parse_substitution("chr1:4T>A")}, *corpus),
            (std::vector<size_t>{1, 0}));
  EXPECT_EQ(message_of([&] {
              locate({parse_substitution("chr_1:1A>C"), parse_substitution("plasmid:1A>C"),
                      parse_substitution("chr1:5A>C"), parse_substitution("chr2:1A>C"),
                      parse_substitution("chr1:1A>C")},
                     *corpus);
            }),
            "chr_1:1A>C: no sequence is called 'chr_1'; did you mean 'chr1'?\n"
            "plasmid:1A>C: no sequence is called 'plasmid'; the first one is 'chr1'\n"
            "chr1:5A>C: position 5 is past the end of 'chr1', which has 4 bases\n"
            "chr2:1A>C: the reference is A, but 'chr2' has N at position 1\n"
            "    fix: name sequences as the FASTA's headers do, up to the first space; check that "
            "the positions count from 1 and belong to this very sequence");
  EXPECT_EQ(message_of([&] { locate({parse_substitution("1:1A>C")}, *corpus); }),
            "1:1A>C: no sequence is called '1'; the first one is 'chr1'\n"
            "    fix: name sequences as the FASTA's headers do, up to the first space");
  const auto twins = Corpus::from_records({{"a", "", "ACGT"}, {"a", "", "ACGG"}});
  EXPECT_EQ(message_of([&] { locate({parse_substitution("a:1A>C")}, *twins); }),
            "a:1A>C: more than one sequence is called 'a'; each needs a name of its own\n"
            "    fix: give each record of the FASTA a name of its own");
  const std::vector<Substitution> many(12, parse_substitution("chr1:1C>G"));
  EXPECT_THAT(message_of([&] { locate(many, *corpus); }),
              ::testing::HasSubstr("\nand 2 more like these\n"));
}

}  // namespace
}  // namespace ocoee::data
