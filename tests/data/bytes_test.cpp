// SPDX-License-Identifier: Apache-2.0
#include "data/bytes.h"

#include "data/content_hash.h"
#include "data/support.h"

namespace ocoee::data {
namespace {

using testing::gzip;
using testing::message_of;
using testing::TemporaryFolder;

const std::string kBgzip("BC\x02\0\x1B\0", 6);

std::string read_all(const std::string& bytes, size_t step = 7) {
  const auto reader = open_bytes_in_memory(bytes, "x.gz");
  std::string result, chunk(step, '\0');
  while (const size_t got = reader->read(chunk.data(), chunk.size())) result.append(chunk, 0, got);
  return result;
}

TEST(ContentHash, IsXxh64) {
  EXPECT_EQ(content_hash(""), 0xEF46DB3751D8E999ull);
  EXPECT_EQ(content_hash("a"), 0xD24EC4F1A98C6E5Bull);
  EXPECT_EQ(content_hash("abc"), 0x44BC2CF5AD770999ull);
  EXPECT_EQ(content_hash("Nobody inspects the spammish repetition"), 0xFBCEA83C8A378BF1ull);
}

TEST(ContentHash, DoesNotDependOnThePieces) {
  const std::string text = testing::random_bases(1000, 5);
  for (const size_t piece : {1u, 3u, 31u, 32u, 33u, 100u, 999u}) {
    ContentHash hash;
    for (size_t at = 0; at < text.size(); at += piece) {
      hash.add(std::string_view(text).substr(at, piece));
    }
    EXPECT_EQ(hash.value(), content_hash(text)) << piece;
  }
}

TEST(Bytes, PlainAndGzipGiveTheSame) {
  const std::string plain = testing::random_bases(300000, 1);
  EXPECT_EQ(read_all(plain), plain);
  EXPECT_EQ(read_all(gzip(plain)), plain);
  EXPECT_EQ(read_all(gzip(plain), 1 << 20), plain);
  EXPECT_EQ(read_all("A"), "A");
}

TEST(Bytes, GzipMembersAreOneStream) {
  EXPECT_EQ(read_all(gzip("first ") + gzip("") + gzip("second")), "first second");
  EXPECT_EQ(read_all(gzip("padded") + std::string(512, '\0')), "padded");
}

TEST(Bytes, BgzipIsRecognisedAndMustHaveItsEndBlock) {
  const std::string blocks = gzip("one ", kBgzip) + gzip("two", kBgzip);
  EXPECT_EQ(read_all(blocks + gzip("", kBgzip)), "one two");
  EXPECT_EQ(message_of([&] { read_all(blocks); }),
            "x.gz: the gzip data ends early, after 7 decompressed bytes: the file is truncated\n   "
            " fix: copy or download it again; `gzip -t` checks it");
}

TEST(Bytes, EveryTruncationIsNoticed) {
  const std::string packed =
      gzip(testing::random_bases(500, 2)) + gzip(testing::random_bases(500, 3));
  const size_t first_member = gzip(testing::random_bases(500, 2)).size();
  for (size_t size = 2; size < packed.size(); ++size) {
    if (size == first_member) continue;  // a whole gzip file in its own right
    EXPECT_THAT(message_of([&] { read_all(packed.substr(0, size)); }),
                ::testing::HasSubstr("the file is truncated"))
        << size;
  }
}

TEST(Bytes, DamageIsNoticedOrHarmless) {
  const std::string plain = testing::random_bases(400, 4);
  const std::string packed = gzip(plain);
  int noticed = 0;
  for (size_t at = 10; at < packed.size();
       ++at) {  // the header's time and system may change freely
    std::string damaged = packed;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x10);
    std::string got;
    noticed += !message_of([&] { got = read_all(damaged); }).empty();
    if (!got.empty()) {
      EXPECT_EQ(got, plain);
    }
  }
  // All but the bits that fill up the last byte of the compressed data.
  EXPECT_GE(noticed, static_cast<int>(packed.size()) - 11);
}

TEST(Bytes, MessagesOfDamage) {
  std::string wrong_sum = gzip("ACGTACGT");
  wrong_sum[wrong_sum.size() - 8] ^= 1;
  EXPECT_EQ(message_of([&] { read_all(wrong_sum, 100); }),
            "x.gz: the gzip data is damaged (incorrect data check) after 8 decompressed bytes\n    "
            "fix: copy or download the file again; `gzip -t` checks it");
  EXPECT_EQ(message_of([&] { read_all(gzip("ACGT") + ">more"); }),
            "x.gz: after the gzip data come bytes that are not gzip: the file is damaged, or two "
            "files were joined\n    fix: copy or download it again");
}

TEST(Bytes, OtherPackingsAreNamed) {
  const std::pair<std::string, std::string> packings[] = {
      {std::string("\xFD\x37zXZ\0\0\0", 8),
       "packed with xz; Ocoee reads plain and gzip files\n    fix: unpack it first (unxz), then "
       "name the unpacked file"},
      {"BZh91AY&SY", "packed with bzip2"},
      {"\x28\xB5\x2F\xFD\x24\x10", "packed with zstd"},
      {"PK\x03\x04\x14", "packed with zip"},
  };
  for (const auto& [bytes, expected] : packings) {
    EXPECT_THAT(message_of([&] { read_all(bytes); }), ::testing::HasSubstr(expected));
  }
}

TEST(Bytes, FilesThatCannotBeRead) {
  const TemporaryFolder folder;
  folder.write("genome.fasta", ">a\nACGT\n");
  const std::string at = folder.path.string();
  EXPECT_EQ(message_of([&] { require_input_file(folder.path / "genom.fasta"); }),
            at + "/genom.fasta: no such file; the nearest name there is 'genome.fasta'\n    fix: "
                 "check the path (it is taken from '/')");
  EXPECT_EQ(message_of([&] { require_input_file(folder.path / "none" / "genome.fasta"); }),
            at + "/none/genome.fasta: no such file; its folder '" + at +
                "/none' does not exist either\n    fix: check the path (it is taken from '/')");
  EXPECT_EQ(message_of([&] { require_input_file(folder.path); }),
            at + ": this is a folder; expected a file\n    fix: name the files in it one by one");
  EXPECT_EQ(message_of([&] { require_input_file(folder.write("empty.fa", "")); }),
            at + "/empty.fa: the file is empty\n    fix: copy or download it again");
  EXPECT_EQ(message_of([&] { require_input_file("/dev/null"); }),
            "/dev/null: this is a device, pipe or socket; expected a file, since it is read "
            "twice\n    fix: write its content to a file first");
  EXPECT_EQ(message_of([] { require_input_file(""); }),
            "an input file has an empty name; expected a path");
}

}  // namespace
}  // namespace ocoee::data
