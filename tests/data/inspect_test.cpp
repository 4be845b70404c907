// SPDX-License-Identifier: Apache-2.0
#include "data/inspect.h"

#include "data/support.h"

namespace ocoee::data {
namespace {

using testing::TemporaryFolder;

TEST(Inspect, TellsWhatAFileHolds) {
  const TemporaryFolder folder;
  const auto path = folder.write("x.fa", ">a first one\nACGTNNRacgu\n>b\n>a\nGGNNN\n");
  const FileSummary summary = inspect(path);
  EXPECT_EQ(summary.counts.records, 3);
  EXPECT_EQ(summary.counts.bases, 16);
  EXPECT_EQ(summary.composition.unknown(), 6);
  EXPECT_EQ(summary.composition.unknown_runs, 2);
  EXPECT_EQ(summary.composition.longest_unknown_run, 3);
  EXPECT_DOUBLE_EQ(summary.records[0].composition.gc(), 0.5);
  EXPECT_EQ(text_of(summary),
            path +
                "\n"
                "  format       FASTA, not compressed, 37 B\n"
                "  content      XXH64 " +
                fmt::format("{:016x}", summary.content_hash) +
                "\n"
                "  records      3\n"
                "  bases        16\n"
                "  composition  A 12.50 %  C 12.50 %  G 25.00 %  T 12.50 %  GC 60.00 %\n"
                "  not A C G T  6 bases in 2 runs, the longest 3; N 5 R 1\n"
                "  lower case   4 bases (soft-masked), read as upper case\n"
                "  RNA          1 U, read as T\n"
                "  note         1 record without bases\n"
                "  note         several records are called 'a'\n"
                "             11  GC 50.00 %  a first one\n"
                "              0  GC  0.00 %  b\n"
                "              5  GC 100.00 %  a\n");
  EXPECT_THAT(text_of(summary, 1), ::testing::EndsWith("a first one\n  and 2 records more\n"));
}

TEST(Inspect, PrepareLeavesAStore) {
  const TemporaryFolder folder;
  const auto path = folder.write("x.fa.gz", testing::gzip(">a\nACGT\n"));
  const FileSummary summary = prepare(path, folder.path / "cache");
  EXPECT_EQ(summary.compression, "gzip");
  EXPECT_TRUE(std::filesystem::exists(summary.store));
  EXPECT_THAT(text_of(summary), ::testing::HasSubstr(summary.store + " (built now)"));
  EXPECT_THAT(text_of(prepare(path, folder.path / "cache")), ::testing::HasSubstr("(up to date)"));
}

TEST(Inspect, TheGenome) {
  const FileSummary summary = inspect(testing::genome_file());
  EXPECT_EQ(summary.counts.bases, 4639675);
  EXPECT_EQ(summary.composition.unknown(), 0);
  EXPECT_EQ(summary.composition.letters['C'], 1179554);
  EXPECT_NEAR(summary.composition.gc(), 0.5079, 0.0001);
}

}  // namespace
}  // namespace ocoee::data
