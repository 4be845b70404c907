// SPDX-License-Identifier: Apache-2.0
#include "core/progress.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <ctime>
#include <string>
#include <vector>

namespace ocoee {
namespace {

// Everything written to a temporary file.
struct Page {
  std::FILE* file = std::tmpfile();
  ~Page() { std::fclose(file); }
  std::string text() const {
    std::fflush(file);
    std::rewind(file);
    std::string out(1 << 16, '\0');
    out.resize(std::fread(out.data(), 1, out.size(), file));
    return out;
  }
};

TEST(Progress, BatchLogHasFewLinesAndTheLast) {
  const Page page;
  Progress progress({.first = 0, .total = 100, .lines = 4, .out = page.file}, 0);
  for (int64_t step = 1; step <= 100; ++step)
    progress.update(step, "step " + std::to_string(step), static_cast<double>(step));
  EXPECT_EQ(page.text(),
            "step 1\nstep 26  1 min 14 s left\nstep 51  49.0 s left\n"
            "step 76  24.0 s left\nstep 100  done in 1 min 40 s\n");
}

// Four hours of a run of a month: a fortieth of it is a day.
TEST(Progress, AJobOfALongRunHasLinesOfItsOwn) {
  const Page page;
  Progress progress({.first = 0, .total = 2'592'000, .out = page.file}, 0);
  std::vector<int64_t> at;
  size_t before = 0;
  for (int64_t step = 10; step <= 14'400; step += 10) {
    progress.update(step, "s", static_cast<double>(step));
    const size_t size = page.text().size();
    if (size > before) at.push_back(step);
    before = size;
  }
  ASSERT_GT(at.size(), 50u);
  EXPECT_LT(at.size(), 200u);
  EXPECT_EQ(at[0], 10);
  EXPECT_EQ(at[1], 40);
  for (size_t i = 1; i < at.size(); ++i) EXPECT_LE(at[i] - at[i - 1], 310) << at[i];
}

TEST(Progress, TimeLeftCountsFromWhereTheRunGoesOn) {
  Progress progress({.first = 80, .total = 100, .wall_seconds = 60}, 10);
  EXPECT_EQ(progress.time_for(85, 20), "30.0 s left  wall time left 50.0 s");
  EXPECT_EQ(progress.time_for(80, 20), "wall time left 50.0 s");
  EXPECT_EQ(progress.time_for(100, 90), "done in 1 min 20 s");
  EXPECT_EQ(progress.time_for(101, 91), "1 min 21 s so far, longer than expected");
}

TEST(Progress, AnEstimateOfTheLengthMayChange) {
  const Page page;
  Progress progress({.first = 0, .total = 100, .lines = 4, .out = page.file}, 0);
  progress.update(1, "step 1", 1);
  progress.expect(40);
  progress.update(26, "step 26", 26);
  progress.update(36, "step 36", 36);
  progress.update(40, "step 40", 40);
  EXPECT_EQ(page.text(),
            "step 1\nstep 26  14.0 s left\nstep 36  4.0 s left\nstep 40  done in 40.0 s\n");
}

TEST(Progress, TheFirstStepIsNoMeasureOfTheOthers) {
  Progress progress({.first = 80, .total = 100}, 0);
  progress.tick(81, 50);  // with what is done once
  progress.tick(82, 52);
  EXPECT_EQ(progress.time_for(83, 54), "34.0 s left");
  EXPECT_EQ(progress.time_for(100, 88), "done in 1 min 28 s");
}

TEST(Progress, TheBarMovesBetweenUpdates) {
  const Page page;
  {
    Progress progress({.first = 0, .total = 4, .terminal = true, .width = 4, .out = page.file}, 0);
    progress.tick(1, 1);
    progress.update(2, "a", 2);
    progress.tick(3, 2.01);  // too early to be seen
    progress.tick(3, 3);
  }
  const std::string clear = "\r\033[2K";
  EXPECT_EQ(page.text(), clear + "[=   ] 1/4  " + clear + "[==  ] 2/4  2.0 s left  a" + clear +
                             "[=== ] 3/4  1.0 s left  a\n");
}

TEST(Progress, TerminalRedrawsTheBarBelowOtherLines) {
  const Page page;
  {
    Progress progress({.first = 0, .total = 4, .terminal = true, .width = 4, .out = page.file}, 0);
    progress.tick(1, 1);
    progress.update(2, "a", 2);
    progress.say("note");
    progress.update(4, "b", 4);
  }
  const std::string clear = "\r\033[2K";
  EXPECT_EQ(page.text(), clear + "[=   ] 1/4  " + clear + "[==  ] 2/4  2.0 s left  a" + clear +
                             "note\n[==  ] 2/4  2.0 s left  a" + clear +
                             "[====] 4/4  done in 4.0 s  b\n");
}

TEST(Progress, ANarrowTerminalCutsTheTextAndNotTheTime) {
  const Page page;
  Progress progress({.first = 0, .total = 4, .terminal = true, .width = 4, .out = page.file}, 0);
  progress.update(1, "", 1);
  progress.update(2, std::string(200, 'a'), 2);
  EXPECT_EQ(page.text(),
            "\r\033[2K[=   ] 1/4  \r\033[2K[==  ] 2/4  2.0 s left  " + std::string(55, 'a'));
}

TEST(Progress, SlurmSaysWhenTheJobEnds) {
  ::unsetenv("SLURM_JOB_END_TIME");
  EXPECT_LT(slurm_seconds_left(), 0);
  ::setenv("SLURM_JOB_END_TIME", std::to_string(std::time(nullptr) + 1000).c_str(), 1);
  EXPECT_NEAR(slurm_seconds_left(), 1000, 5);
  ::setenv("SLURM_JOB_END_TIME", "1", 1);
  EXPECT_EQ(slurm_seconds_left(), 0);
  ::setenv("SLURM_JOB_END_TIME", "Unknown", 1);
  EXPECT_LT(slurm_seconds_left(), 0);
  ::unsetenv("SLURM_JOB_END_TIME");
}

}  // namespace
}  // namespace ocoee
