// SPDX-License-Identifier: Apache-2.0
#include "report/run_directory.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "core/error.h"
#include "report/scratch_folder.h"

namespace ocoee::report {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing_support::ScratchFolder;
using testing_support::write_text;

RunDirectory read_with_metrics(const std::string& metrics) {
  const ScratchFolder scratch;
  write_text(scratch.path() / "metrics.jsonl", metrics);
  return read_run_directory(scratch.path());
}

std::string all_remarks(const RunDirectory& run) {
  std::string text;
  for (const std::string& remark : run.remarks) text += remark + "\n";
  return text;
}

TEST(RunDirectory, WithoutFolderIsAnError) {
  try {
    read_run_directory("/nonexistent/run");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::data);
    EXPECT_THAT(error.what(), HasSubstr("/nonexistent/run"));
    EXPECT_THAT(error.what(), HasSubstr("ocoee run"));
  }
}

TEST(RunDirectory, AnEmptyFolderSaysWhatIsMissing) {
  const ScratchFolder scratch;
  const RunDirectory run = read_run_directory(scratch.path());
  for (const char* name :
       {"recipe.toml", "plan.json", "metrics.jsonl", "summary.json", "environment.json"})
    EXPECT_THAT(all_remarks(run), HasSubstr(name));
  EXPECT_EQ(run.steps.rows(), 0u);
}

TEST(RunDirectory, StepsEvaluationsAndEvents) {
  const RunDirectory run = read_with_metrics(
      "{\"step\":1,\"loss\":4.0}\n"  // without a kind: a step
      "{\"kind\":\"step\",\"step\":2,\"loss\":3.5,\"loss.critic\":0.25}\n"
      "\n"
      "{\"kind\":\"evaluation\",\"step\":2,\"bits_per_base\":1.9}\n"
      "{\"kind\":\"warning\",\"step\":2,\"message\":\"slow disk\"}\n"
      "{\"kind\":\"checkpoint_saved\",\"step\":2,\"fields\":{\"path\":\"checkpoints/step-2\"}}\n");
  EXPECT_THAT(run.steps.column("loss"), ElementsAre(4.0, 3.5));
  EXPECT_TRUE(std::isnan(run.steps.column("loss.critic")[0]));
  EXPECT_EQ(run.steps.column("loss.critic")[1], 0.25);
  EXPECT_EQ(run.evaluations.last("bits_per_base"), 1.9);
  ASSERT_EQ(run.events.size(), 2u);
  EXPECT_EQ(run.events[0].text, "slow disk");
  EXPECT_EQ(run.events[1].text, "checkpoints/step-2");
}

TEST(RunDirectory, StepsLoggedAgainAfterAResumeCountOnce) {
  const RunDirectory run = read_with_metrics(
      "{\"step\":1,\"loss\":4}\n{\"step\":2,\"loss\":3}\n{\"step\":3,\"loss\":99}\n"
      "{\"kind\":\"checkpoint_loaded\",\"step\":1}\n{\"step\":2,\"loss\":3.1}\n{\"step\":3,"
      "\"loss\":2.9}\n");
  EXPECT_THAT(run.steps.column("step"), ElementsAre(1, 2, 3));
  EXPECT_THAT(run.steps.column("loss"), ElementsAre(4, 3.1, 2.9));
}

TEST(RunDirectory, NonFiniteLossesAreCounted) {
  const RunDirectory run = read_with_metrics(
      "{\"step\":1,\"loss\":4}\n{\"step\":2,\"loss\":null}\n{\"step\":3,\"loss\":NaN}\n"
      "{\"step\":4,\"loss\":-Infinity,\"note\":\"NaN inside a "
      "string\"}\n{\"step\":5,\"loss\":1e999}\n{\"step\":6,\"loss\":3}\n");
  EXPECT_EQ(run.steps.rows() + static_cast<size_t>(all_remarks(run).find("1 lines of metrics") !=
                                                   std::string::npos),
            6u);
  EXPECT_GE(run.non_finite_losses, 3);
  EXPECT_EQ(run.first_non_finite_step, 2);
  EXPECT_EQ(run.steps.last("loss"), 3);
}

TEST(RunDirectory, ALastLineCutShortIsLeftOut) {
  const RunDirectory run = read_with_metrics("{\"step\":1,\"loss\":4}\n{\"step\":2,\"lo");
  EXPECT_EQ(run.steps.rows(), 1u);
  EXPECT_THAT(all_remarks(run), HasSubstr("last line of metrics.jsonl is cut short"));
}

TEST(RunDirectory, OtherShapesThanExpectedAreNotFatal) {
  const ScratchFolder scratch;
  write_text(scratch.path() / "summary.json", "[1,2,3]");
  write_text(scratch.path() / "plan.json", "{\"parameters\": ");
  write_text(scratch.path() / "environment.json", "");
  write_text(scratch.path() / "metrics.jsonl",
             "[]\n\"x\"\n{\"step\":\"one\"}\n{\"kind\":5,\"step\":{}}\n\xFF\xFE\n");
  write_text(scratch.path() / "trace.json", "\"nothing\"");
  const RunDirectory run = read_run_directory(scratch.path());
  EXPECT_TRUE(run.summary.empty());
  EXPECT_TRUE(run.plan.empty());
  EXPECT_TRUE(run.trace.empty());
  EXPECT_THAT(all_remarks(run), HasSubstr("plan.json is cut short"));
}

class TraceFile : public testing::Test {
 protected:
  std::vector<TraceTrack> read(const std::string& text) {
    write_text(scratch_.path() / "trace.json", text);
    remarks_.clear();
    return read_trace(scratch_.path() / "trace.json", remarks_);
  }
  ScratchFolder scratch_;
  std::vector<std::string> remarks_;
};

TEST_F(TraceFile, ObjectFormWithNames) {
  const auto tracks = read(
      R"({"traceEvents":[{"ph":"M","name":"process_name","pid":3,"args":{"name":"rank 3"}},
      {"ph":"M","name":"thread_name","pid":3,"tid":0,"args":{"name":"compute"}},
      {"ph":"X","name":"forward","pid":3,"tid":0,"ts":2000000,"dur":500000,"args":{"step":7,"extra":{"name":"no"}}},
      {"ph":"X","name":"data","pid":3,"tid":0,"ts":1000000,"dur":1}],"other":[{"ph":"X"}]})");
  ASSERT_EQ(tracks.size(), 1u);
  EXPECT_EQ(tracks[0].process, "rank 3");
  EXPECT_EQ(tracks[0].thread, "compute");
  ASSERT_EQ(tracks[0].spans.size(), 2u);
  EXPECT_EQ(tracks[0].spans[0].name, "data");  // in order of time, from zero
  EXPECT_DOUBLE_EQ(tracks[0].spans[0].begin, 0);
  EXPECT_DOUBLE_EQ(tracks[0].spans[1].begin, 1);
  EXPECT_DOUBLE_EQ(tracks[0].spans[1].end, 1.5);
  EXPECT_EQ(tracks[0].spans[1].step, 7);
  EXPECT_TRUE(remarks_.empty());
}

TEST_F(TraceFile, ArrayFormWithBeginAndEndAndTextThreads) {
  const auto tracks = read(
      R"([{"ph":"B","name":"a","pid":0,"tid":"io","ts":10},{"ph":"B","name":"b","pid":0,"tid":"io","ts":20},
      {"ph":"E","pid":0,"tid":"io","ts":30},{"ph":"E","pid":0,"tid":"io","ts":50},{"ph":"E","pid":0,"tid":"io","ts":60}])");
  ASSERT_EQ(tracks.size(), 1u);
  EXPECT_EQ(tracks[0].thread, "io");
  ASSERT_EQ(tracks[0].spans.size(), 2u);
  EXPECT_EQ(tracks[0].spans[0].name, "a");
  EXPECT_NEAR(tracks[0].spans[0].end, 40e-6, 1e-12);
}

TEST_F(TraceFile, RanksInOrderAndComputingFirst) {
  std::string events;
  for (const int rank : {10, 2})
    for (const char* track : {"io", "comm:data", "compute"})
      events += fmt::format(R"({}{{"ph":"X","name":"s","pid":{},"tid":"{}","ts":1,"dur":1}})",
                            events.empty() ? "" : ",", rank, track);
  std::string order;
  for (const TraceTrack& track : read("[" + events + "]"))
    order += track.process + " " + track.thread + "; ";
  EXPECT_EQ(order,
            "rank 2 compute; rank 2 comm:data; rank 2 io; rank 10 compute; rank 10 comm:data; rank "
            "10 io; ");
}

// Ranks number their tracks in the order of their first spans.
TEST_F(TraceFile, TracksWithNamesAreInOneOrderOnAllRanks) {
  std::string events;
  for (const int rank : {0, 1})
    for (const int track : {0, 1}) {
      const char* name = track == rank ? "comm:tensor" : "comm:pipeline";
      events += fmt::format(
          R"({}{{"ph":"M","name":"thread_name","pid":{},"tid":{},"args":{{"name":"{}"}}}},)"
          R"({{"ph":"X","name":"s","pid":{},"tid":{},"ts":1,"dur":1}})",
          events.empty() ? "" : ",", rank, track, name, rank, track);
    }
  std::string order;
  for (const TraceTrack& track : read("[" + events + "]")) order += track.thread + "; ";
  EXPECT_EQ(order, "comm:pipeline; comm:tensor; comm:pipeline; comm:tensor; ");
}

TEST_F(TraceFile, CutAnywhereKeepsWhatCameBefore) {
  std::string whole = "[";
  for (int i = 0; i < 20; ++i)
    whole += (i ? "," : "") + std::string(R"({"ph":"X","name":"s","pid":0,"tid":0,"ts":)") +
             std::to_string(i * 10) + R"(,"dur":5})";
  for (size_t length = 0; length <= whole.size(); length += 7) {
    const auto tracks = read(whole.substr(0, length));
    const size_t spans = tracks.empty() ? 0 : tracks[0].spans.size();
    const std::string before = whole.substr(0, length);
    EXPECT_EQ(spans, static_cast<size_t>(std::count(before.begin(), before.end(), '}')));
    EXPECT_FALSE(remarks_.empty());
  }
}

}  // namespace
}  // namespace ocoee::report
