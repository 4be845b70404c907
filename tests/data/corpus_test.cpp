// SPDX-License-Identifier: Apache-2.0
#include "data/corpus.h"

#include <iterator>

#include "data/support.h"

namespace ocoee::data {
namespace {

using testing::message_of;
using testing::TemporaryFolder;

TEST(Corpus, FilesAndRecordsKeepTheirOrder) {
  const TemporaryFolder folder;
  const auto a = folder.write("a.fa", ">a1\nAAAA\n>a2\nCC\n");
  const auto b = folder.write("b.fa.gz", testing::gzip(">b1\nGGG\n"));
  const auto corpus = Corpus::from_fasta({a, b}, folder.path / "cache");
  ASSERT_EQ(corpus->records().size(), 3u);
  EXPECT_EQ(corpus->records()[1].name, "a2");
  EXPECT_EQ(corpus->records()[2].letters, "GGG");
  EXPECT_EQ(corpus->records()[2].file, 1);
  EXPECT_EQ(corpus->letters(), 9);
}

TEST(Corpus, TextIsPlainOrGzip) {
  const TemporaryFolder folder;
  const std::string text("line\n\0\xFF end", 11);
  const auto plain = folder.write("a.txt", text);
  const auto packed = folder.write("b.txt.gz", testing::gzip(text));
  const auto corpus = Corpus::from_text({plain, packed}, folder.path / "cache");
  ASSERT_EQ(corpus->records().size(), 2u);
  for (const auto& record : corpus->records()) EXPECT_EQ(record.letters, text);
  EXPECT_EQ(corpus->records()[0].name, "a.txt");
  const auto nothing = folder.write("c.gz", testing::gzip(""));
  EXPECT_EQ(message_of([&] { Corpus::from_text({nothing}, folder.path / "cache"); }),
            nothing + ": the file holds no text once decompressed\n    fix: make it again");
}

TEST(Corpus, WithoutACacheAllIsInMemoryAndNothingIsWritten) {
  const TemporaryFolder folder;
  const auto a = folder.write("a.fa", ">a1\nAAAA\n>a2\nCC\n");
  const auto b = folder.write("b.fa.gz", testing::gzip(">b1 of b\nggu\n"));
  const std::string text(70000, 'x');
  const auto packed = folder.write("b.txt.gz", testing::gzip(text));
  const auto nothing = folder.write("c.gz", testing::gzip(""));
  const auto bases = Corpus::from_fasta({a, b}, "");
  ASSERT_EQ(bases->records().size(), 3u);
  EXPECT_EQ(bases->records()[0].letters, "AAAA") << "short texts stay where they are";
  EXPECT_EQ(bases->records()[1].name, "a2");
  EXPECT_EQ(bases->records()[2].letters, "GGT");
  EXPECT_EQ(bases->records()[2].description, "of b");
  EXPECT_EQ(bases->records()[2].file, 1);
  const auto bytes = Corpus::from_text({a, packed}, "");
  ASSERT_EQ(bytes->records().size(), 2u);
  EXPECT_EQ(bytes->records()[0].letters, ">a1\nAAAA\n>a2\nCC\n");
  EXPECT_EQ(bytes->records()[1].letters, text);
  EXPECT_EQ(bytes->records()[1].name, "b.txt.gz");
  EXPECT_EQ(message_of([&] { Corpus::from_text({nothing}, ""); }),
            nothing + ": the file holds no text once decompressed\n    fix: make it again");
  const std::filesystem::directory_iterator files(folder.path);
  EXPECT_EQ(std::distance(begin(files), end(files)), 4);
}

TEST(Corpus, HeldOutIsTheLastFractionOfAllLetters) {
  const auto corpus = Corpus::from_records(
      {{"a", "", "AAAAAA"}, {"b", "", "CCCC"}, {"e", "", ""}, {"c", "", "GG"}});
  const Split split = split_last(corpus, 0.4);  // floor(12 * 0.6) = 7 letters before the cut
  ASSERT_EQ(split.training.segments.size(), 2u);
  EXPECT_EQ(split.training.segments[0].letters, "AAAAAA");
  EXPECT_EQ(split.training.segments[1].letters, "C");
  ASSERT_EQ(split.held_out.segments.size(), 2u);
  EXPECT_EQ(split.held_out.segments[0].letters, "CCC");
  EXPECT_EQ(split.held_out.segments[0].begin, 1);
  EXPECT_EQ(split.held_out.segments[1].letters, "GG");
  EXPECT_EQ(split.training.letters() + split.held_out.letters(), 12);
  EXPECT_TRUE(split_last(corpus, 0).held_out.segments.empty());
  EXPECT_EQ(whole(corpus).letters(), 12);
  EXPECT_EQ(joined(whole(corpus), split.held_out).letters(), 17);
}

TEST(Corpus, TheSameLettersInAnotherFileAreRefused) {
  const TemporaryFolder folder;
  const auto cache = folder.path / "cache";
  const auto a = folder.write("a.fa", ">a1 chromosome\nACGTACGT\n>a2\nGGCC\n");
  const auto wrapped = folder.write("b.fa.gz", testing::gzip(">x\nggcc\n>y\r\nACG\r\nTACGT\r\n"));
  const auto one = folder.write("c.fa", ">plasmid\nGG\nCC\n");
  const auto other = folder.write("d.fa", ">a1 chromosome\nACGTACGA\n>a2\nGGCC\n");
  const auto message = [&](const std::vector<std::string>& files,
                           const std::vector<std::string>& extra) {
    return message_of([&] {
      require_different({Corpus::from_fasta(files, cache), Corpus::from_fasta(extra, cache)});
    });
  };
  const std::string why =
      ": what is held out of one would be trained on in the other\n    fix: name each file once";
  EXPECT_EQ(message({a}, {wrapped}), a + " and " + wrapped + " are the same data" + why);
  EXPECT_EQ(message({a}, {other, a}), a + " and " + a + " are the same data" + why);
  EXPECT_EQ(message({a}, {one}), "all of " + one + " is in " + a + " as well" + why);
  EXPECT_EQ(message({one}, {a}), "all of " + one + " is in " + a + " as well" + why);
  EXPECT_EQ(message({a}, {other}), "");  // a record in common is no copy
  const auto text = folder.write("a.txt", "some words"),
             packed = folder.write("b.txt.gz", testing::gzip("some words"));
  EXPECT_EQ(message_of([&] {
              require_different({Corpus::from_text({text, packed}, cache)});
            }),
            text + " and " + packed + " are the same data" + why);
}

TEST(Corpus, AFractionOutOfRangeIsRefused) {
  const auto corpus = Corpus::from_records({{"a", "", "ACGT"}});
  for (const double fraction : {-0.1, 1.0, 10.0}) {
    EXPECT_THAT(message_of([&] { split_last(corpus, fraction); }, ErrorKind::config),
                ::testing::HasSubstr("expected a fraction from 0 to below 1, such as 0.1"));
  }
  EXPECT_EQ(message_of([] { Corpus::from_fasta({}, "/nowhere"); }, ErrorKind::config),
            "the list of input files is empty; expected one or more");
}

}  // namespace
}  // namespace ocoee::data
