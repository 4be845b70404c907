// SPDX-License-Identifier: Apache-2.0
#include "run/launcher.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <set>
#include <thread>

#include "core/error.h"
#include "core/file.h"
#include "run/content_cache.h"
#include "run/scratch.h"

namespace ocoee::run {
namespace {

using testing_support::Scratch;

ChildJob shell(const Scratch& scratch, const std::string& script) {
  ChildJob job;
  job.command = {"sh", "-c", script};
  job.folder = scratch / "job";
  job.timeout = 20;
  return job;
}

TEST(Launcher, FilesOutputsAndCodes) {
  const Scratch scratch;
  ChildJob job = shell(scratch, "cat in.txt; echo trouble >&2; cat; exit 3");
  job.files = {{"in.txt", "hello\n"}};
  const ChildEnd end = run_child(job);
  EXPECT_FALSE(end.succeeded());
  EXPECT_EQ(end.text(), "ended with code 3");
  EXPECT_EQ(read_file(job.folder / "stdout"), "hello\n");  // and standard input is empty
  EXPECT_EQ(read_file(job.folder / "stderr"), "trouble\n");
}

TEST(Launcher, ACrashIsNamed) {
  const Scratch scratch;
  const ChildEnd end = run_child(shell(scratch, "kill -SEGV $$"));
  EXPECT_EQ(end.how, ChildEnd::How::killed);
  EXPECT_THAT(end.text(), testing::HasSubstr("signal 11 (Segmentation fault)"));
}

TEST(Launcher, AHangIsKilledWithAllThatItStarted) {
  const Scratch scratch;
  ChildJob job = shell(scratch, "sleep 300 & echo $! > pid; wait");
  job.timeout = 0.5;
  const ChildEnd end = run_child(job);
  EXPECT_EQ(end.how, ChildEnd::How::hung);
  const pid_t grandchild = std::stoi(read_file(job.folder / "pid"));
  for (int i = 0; i < 200 && ::kill(grandchild, 0) == 0; ++i) {
    // a zombie whose new parent does not wait is dead, too
    const std::string state = read_file("/proc/" + std::to_string(grandchild) + "/stat");
    if (state.find(") Z") != std::string::npos) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_NE(::kill(grandchild, 0), 0);
}

TEST(Launcher, AFileThatGrowsIsASignOfLife) {
  const Scratch scratch;
  ChildJob job = shell(scratch, "for i in 1 2 3 4 5 6 7; do echo $i >> log; sleep 0.4; done");
  job.timeout = 2;
  job.grows = "log";
  EXPECT_TRUE(run_child(job).succeeded());  // 2.8 seconds in all
  job.grows = "";
  EXPECT_EQ(run_child(job).how, ChildEnd::How::hung);
}

TEST(Launcher, TheChildKnowsNoRankOfOurs) {
  const Scratch scratch;
  for (const char* name : {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "SLURM_PROCID", "RANK"})
    ::setenv(name, "1", 1);
  ::setenv("OCOEE_TEST_KEPT", "yes", 1);
  ChildJob job = shell(scratch, "env");
  job.environment = {{"OMP_NUM_THREADS", "1"}};
  EXPECT_TRUE(run_child(job).succeeded());
  for (const char* name : {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "SLURM_PROCID", "RANK"})
    ::unsetenv(name);
  const std::string said = read_file(job.folder / "stdout");
  EXPECT_THAT(said, testing::Not(testing::ContainsRegex("RANK=|PROCID=")));
  EXPECT_THAT(said, testing::HasSubstr("OCOEE_TEST_KEPT=yes"));
  EXPECT_THAT(said, testing::HasSubstr("OMP_NUM_THREADS=1"));
}

TEST(Launcher, TheChildDiesWithItsParent) {
  const Scratch scratch;
  const pid_t parent = ::fork();
  if (parent == 0) {
    run_child(shell(scratch, "echo $$ > pid.part; mv pid.part pid; sleep 300"));
    ::_exit(0);
  }
  const std::filesystem::path pid = scratch / "job/pid";
  while (!std::filesystem::exists(pid)) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  const pid_t child = std::stoi(read_file(pid));
  ::kill(parent, SIGKILL);
  ::waitpid(parent, nullptr, 0);
  const std::string stat = "/proc/" + std::to_string(child) + "/stat";
  const auto is_gone = [&] {
    return ::kill(child, 0) != 0 || read_file(stat).find(") Z") != std::string::npos;
  };
  for (int i = 0; i < 500 && !is_gone(); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  EXPECT_TRUE(is_gone());
}

TEST(Launcher, AMissingProgramIsTold) {
  const Scratch scratch;
  ChildJob job = shell(scratch, "");
  job.command[0] = "no-such-program";
  try {
    run_child(job);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::config);
    EXPECT_STREQ(error.what(), "no-such-program: there is no such program in PATH");
  }
}

TEST(Launcher, SideBySideDoesAllAndThrowsTheFirst) {
  std::atomic<int> sum{0};
  run_side_by_side(100, 3, [&](size_t i) { sum += static_cast<int>(i); });
  EXPECT_EQ(sum, 4950);
  EXPECT_THROW(run_side_by_side(9, 2,
                                [](size_t i) {
                                  if (i == 4) fail(ErrorKind::data, "x");
                                }),
               Error);
}

TEST(ContentCache, KeepsAndForgives) {
  const Scratch scratch;
  const ContentCache cache(scratch / "cache");
  const nlohmann::json question = {{"cell", {1.5, 2}}, {"program", "x"}};
  EXPECT_FALSE(cache.find(question).has_value());
  cache.keep(question, {{"energy", -3.25}});
  EXPECT_EQ(cache.find(question)->at("energy"), -3.25);
  EXPECT_FALSE(cache.find({{"cell", {1.5, 2.0000000001}}, {"program", "x"}}).has_value());
  // damaged entries, and entries of another question with the same hash, count as missing
  for (const auto& entry : std::filesystem::recursive_directory_iterator(cache.folder())) {
    if (!entry.is_regular_file()) continue;
    for (const char* text : {"", "{\"ans", "[]", "{\"question\":1,\"answer\":2}"}) {
      write_file_atomically(entry.path(), text);
      EXPECT_FALSE(cache.find(question).has_value()) << text;
    }
  }
  cache.keep(question, {{"energy", 1}});
  EXPECT_EQ(cache.find(question)->at("energy"), 1);
}

}  // namespace
}  // namespace ocoee::run
