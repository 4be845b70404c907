// SPDX-License-Identifier: Apache-2.0
#include "data/store.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

#include "core/log.h"
#include "data/support.h"

namespace ocoee::data {
namespace {

using testing::message_of;
using testing::TemporaryFolder;
using Kind = SequenceStore::Kind;

size_t files_in(const std::filesystem::path& folder) {
  return static_cast<size_t>(std::distance(std::filesystem::directory_iterator(folder), {}));
}

TEST(SequenceStore, IsBuiltOnceAndReusedByContent) {
  const TemporaryFolder folder;
  const std::string text = ">a one\nACGTnn\n>empty\n>b\nTTT\n";
  const auto plain = folder.write("x.fa", text);
  const auto copy = folder.write("y.fa", text);
  const auto cache = folder.path / "cache" / "deep";
  const SequenceStore first(plain, Kind::fasta, cache);
  EXPECT_TRUE(first.was_built());
  const SequenceStore again(copy, Kind::fasta, cache);
  EXPECT_FALSE(again.was_built());
  EXPECT_EQ(first.path(), again.path());
  ASSERT_EQ(again.records().size(), 3u);
  EXPECT_EQ(again.records()[0].name, "a");
  EXPECT_EQ(again.records()[0].description, "one");
  EXPECT_EQ(again.records()[0].letters, "ACGTNN");
  EXPECT_EQ(again.records()[1].letters, "");
  EXPECT_EQ(again.records()[2].letters, "TTT");
  EXPECT_EQ(again.lower_case(), 2);
  folder.write("x.fa", text + "A");
  const SequenceStore changed(plain, Kind::fasta, cache);
  EXPECT_TRUE(changed.was_built());
  EXPECT_EQ(changed.records()[2].letters, "TTTA");
  EXPECT_EQ(files_in(cache), 2u);
}

TEST(SequenceStore, ABrokenInputLeavesNothing) {
  const TemporaryFolder folder;
  const auto bad = folder.write("bad.fa", ">a\nACGT\nAC!T\n");
  EXPECT_THAT(message_of([&] { SequenceStore(bad, Kind::fasta, folder.path / "cache"); }),
              ::testing::HasSubstr("bad.fa:3:3: '!' is not a nucleotide code"));
  EXPECT_EQ(files_in(folder.path / "cache"), 0u);
}

TEST(SequenceStore, EveryDamageIsFoundAndMended) {
  const TemporaryFolder folder;
  const auto input = folder.write("x.fa", ">a one\nACGTACGT\n>b\nTTT\n");
  const std::filesystem::path path = SequenceStore(input, Kind::fasta, folder.path).path();
  const std::string good = read_file(path);
  log::set_level(log::Level::warning);  // each repair is noted
  for (size_t at = 0; at < good.size(); ++at) {
    std::string damaged = good;
    damaged[at] = static_cast<char>(damaged[at] ^ 1);
    write_file_atomically(path, damaged);
    EXPECT_TRUE(SequenceStore(input, Kind::fasta, folder.path).was_built()) << at;
    EXPECT_EQ(read_file(path), good);
  }
  for (const size_t size : {size_t{0}, size_t{5}, size_t{127}, size_t{128}, good.size() - 1}) {
    write_file_atomically(path, good.substr(0, size));
    EXPECT_TRUE(SequenceStore(input, Kind::fasta, folder.path).was_built()) << size;
  }
  write_file_atomically(path, good + "x");
  EXPECT_TRUE(SequenceStore(input, Kind::fasta, folder.path).was_built());
  EXPECT_FALSE(SequenceStore(input, Kind::fasta, folder.path).was_built());
  log::set_level(log::Level::info);
}

TEST(SequenceStore, ManyBuildersAtOnce) {
  const TemporaryFolder folder;
  const std::string bases = testing::random_bases(300000, 9);
  const auto input = folder.write("x.fa", ">a\n" + bases + "\n");
  std::vector<pid_t> children;
  for (int i = 0; i < 4; ++i) {
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      try {
        const SequenceStore store(input, Kind::fasta, folder.path / "cache");
        ::_exit(store.records().at(0).letters == bases ? 0 : 1);
      } catch (...) {
        ::_exit(2);
      }
    }
    children.push_back(child);
  }
  for (const pid_t child : children) {
    int status = -1;
    ::waitpid(child, &status, 0);
    EXPECT_EQ(status, 0);
  }
  {
    std::vector<std::jthread> threads;
    std::filesystem::remove_all(folder.path / "cache");
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&] {
        EXPECT_EQ(SequenceStore(input, Kind::fasta, folder.path / "cache").records().at(0).letters,
                  bases);
      });
    }
  }
  EXPECT_EQ(files_in(folder.path / "cache"), 1u);
}

TEST(SequenceStore, AFullDiskIsSaidAndLeavesNothing) {
  const TemporaryFolder folder;
  const auto input = folder.write("x.fa", ">a\n" + testing::random_bases(300000, 9) + "\n");
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    ::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{100000, 100000};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    try {
      const SequenceStore store(input, Kind::fasta, folder.path / "cache");
      ::_exit(1);
    } catch (const Error& error) {
      const std::string message = error.what();
      const bool said =
          error.kind() == ErrorKind::file &&
          message.find(
              "cannot write the sequence store: File too large\n    fix: raise the limit") !=
              std::string::npos;
      ::_exit(said ? 0 : 2);
    }
  }
  int status = -1;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(files_in(folder.path / "cache"), 0u);
}

TEST(SequenceStore, ACacheThatIsNoFolder) {
  const TemporaryFolder folder;
  const auto input = folder.write("x.fa", ">a\nACGT\n");
  EXPECT_THAT(
      message_of([&] { SequenceStore(input, Kind::fasta, folder.path / "x.fa" / "cache"); },
                 ErrorKind::file),
      ::testing::HasSubstr("cannot create the folder of the sequence store: Not a directory\n    "
                           "fix: move the file away that stands where a folder is needed, or set "
                           "OCOEE_CACHE to another folder"));
}

TEST(SequenceStore, RemovesWhatKilledBuildersLeft) {
  const TemporaryFolder folder;
  const auto input = folder.write("x.fa", ">a\nACGT\n");
  const auto path = SequenceStore(input, Kind::fasta, folder.path / "cache").path();
  std::filesystem::remove(path);
  const std::string old = path.string() + ".tmp-host-1-0", young = path.string() + ".tmp-host-2-0";
  write_file_atomically(old, "partial");
  write_file_atomically(young, "partial");
  std::filesystem::last_write_time(
      old, std::filesystem::file_time_type::clock::now() - std::chrono::hours(48));
  const SequenceStore store(input, Kind::fasta, folder.path / "cache");
  EXPECT_FALSE(std::filesystem::exists(old));
  EXPECT_TRUE(std::filesystem::exists(young));
}

TEST(SequenceStore, DefaultCacheFolder) {
  const auto with = [](const char* cache, const char* xdg, const char* home) {
    const auto set = [](const char* name, const char* value) {
      value ? ::setenv(name, value, 1) : ::unsetenv(name);
    };
    set("OCOEE_CACHE", cache);
    set("XDG_CACHE_HOME", xdg);
    set("HOME", home);
    return default_cache_folder().string();
  };
  const std::string home = std::getenv("HOME") ? std::getenv("HOME") : "";
  EXPECT_EQ(with("/a", "/b", "/c"), "/a");
  EXPECT_EQ(with(nullptr, "/b", "/c"), "/b/ocoee");
  EXPECT_EQ(with("", "", "/c"), "/c/.cache/ocoee");
  EXPECT_EQ(with(nullptr, nullptr, nullptr),
            (std::filesystem::current_path() / ".ocoee-cache").string());
  ::setenv("HOME", home.c_str(), 1);
}

}  // namespace
}  // namespace ocoee::data
