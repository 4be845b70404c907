// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "core/file.h"
#include "report/report.h"
#include "report/scratch_folder.h"
#include "report/synthetic_run.h"
#include "report/xml_check.h"

namespace ocoee::report {
namespace {

using nlohmann::json;
using testing_support::read_xml;
using testing_support::ScratchFolder;
using testing_support::write_synthetic_run;
using testing_support::XmlDocument;

XmlDocument page_with(const json& additions) {
  const ScratchFolder scratch;
  write_synthetic_run(scratch.path(), {});
  json summary = json::parse(read_file(scratch.path() / "summary.json"));
  summary.update(additions);
  write_file_atomically(scratch.path() / "summary.json", summary.dump());
  XmlDocument page = read_xml(read_file(write_report(scratch.path())));
  EXPECT_EQ(page.error, "");
  return page;
}

// Two stages, two micro-batches: the first stage idles two of eight units, and so does the second.
json two_stages() {
  json first = json::array({{"forward", 0, 0, 0, 1},
                            {"forward", 0, 1, 1, 2},
                            {"backward", 0, 0, 4, 6},
                            {"backward", 0, 1, 6, 8}});
  json second = json::array({{"forward", 0, 0, 1, 2},
                             {"backward", 0, 0, 2, 4},
                             {"forward", 0, 1, 4, 5},
                             {"backward", 0, 1, 5, 7}});
  return {{"schedule", "1f1b"},      {"chunks", 1},
          {"micro_batches", 2},      {"stages", json::array({first, second})},
          {"bubble_predicted", 0.5}, {"bubble_measured", 1.0 / 3}};
}

// Pipelines like the one above, one for each place on the other axes.
json side_by_side(const std::vector<std::string>& places) {
  json record = two_stages();
  json shown = json::array();
  for (size_t p = 0; p < places.size(); ++p)
    shown.push_back({{"pipeline", p},
                     {"place", places[p]},
                     {"ranks", {p, p + places.size()}},
                     {"stages", record["stages"]}});
  record.erase("stages");
  record["shown"] = shown, record["pipelines"] = places.size();
  return record;
}

TEST(RanksSection, AMeasuredPipelineStepIsDrawnBesideTheFormula) {
  const XmlDocument page = page_with({{"pipeline", side_by_side({""})}});
  EXPECT_TRUE(page.has_text("One step through the pipeline"));
  EXPECT_TRUE(
      page.has_text("2 stages, schedule 1f1b, 2 micro-batches. The last step whose actions were "
                    "timed."));
  EXPECT_TRUE(page.has_text("33.3\u202F% measured, 50.0\u202F% by the formula"));
  EXPECT_FALSE(page.has_text("Times are the device"));
  EXPECT_TRUE(page.has_text("stage 1, rank 1"));
  EXPECT_TRUE(page.has_text("75.0\u202F%"));  // six units of eight, on both stages
}

// As runs before wrote it: one pipeline, without a list.
TEST(RanksSection, AnEarlierRecordIsDrawn) {
  const XmlDocument page = page_with({{"pipeline", two_stages()}});
  EXPECT_TRUE(page.has_text("2 stages, schedule 1f1b, 2 micro-batches."));
  EXPECT_TRUE(page.has_text("stage 1"));
}

TEST(RanksSection, EveryPipelineIsDrawn) {
  const XmlDocument page =
      page_with({{"pipeline", side_by_side({"tensor 0, data 0", "tensor 1, data 0",
                                            "tensor 0, data 1", "tensor 1, data 1"})}});
  EXPECT_TRUE(page.has_text("in all 4 pipelines, which run side by side."));
  for (const char* text : {"pipeline 0: tensor 0, data 0", "pipeline 3: tensor 1, data 1",
                           "stage 0, rank 0", "stage 1, rank 7"})
    EXPECT_TRUE(page.has_text(text)) << text;
}

TEST(RanksSection, OfManyPipelinesThereIsSaidWhichIsDrawnAndWhichRankIsSlowest) {
  json record = side_by_side({"data 0"});
  record["shown"][0]["pipeline"] = 37, record["shown"][0]["place"] = "data 37";
  record["pipelines"] = 64;
  record["slowest"] = {
      {"rank", 101}, {"host", "node-17"}, {"stage", 1}, {"pipeline", 37}, {"computed", 6.0}};
  const XmlDocument page = page_with({{"pipeline", record}});
  EXPECT_TRUE(
      page.has_text("in 1 of 64 pipelines that run side by side: the one with the slowest rank."));
  EXPECT_TRUE(page.has_text("pipeline 37: data 37"));
  EXPECT_TRUE(
      page.has_text("Of all ranks the slowest in it is rank 101 on node-17 (stage 1 of "
                    "pipeline 37): it computed 6.0 s."));
}

TEST(RanksSection, WhatMessagesTookInsideAnActionIsNotComputed) {
  json record = side_by_side({"tensor 0", "tensor 1"});
  for (json& pipeline : record["shown"])
    for (json& stage : pipeline["stages"])
      for (json& action : stage) action.push_back(0.25);
  record["on_device"] = true;
  record.erase("bubble_predicted");
  const XmlDocument page = page_with({{"pipeline", record}});
  EXPECT_TRUE(page.has_text("62.5\u202F%"));  // five units of eight
  EXPECT_TRUE(page.has_text("1.0 s"));        // four times a quarter
  EXPECT_TRUE(page.has_text("33.3\u202F% measured; waits for messages count as lost"));
  EXPECT_TRUE(page.has_text("Times are the device"));
}

TEST(RanksSection, TheSlowestRankIsNamed) {
  json seconds = json::array();
  for (int r = 0; r < 4; ++r)
    seconds.push_back({{"forward", 10.0}, {"backward", r == 2 ? 30.0 : 20.0}, {"optimizer", 1.0}});
  const XmlDocument page =
      page_with({{"ranks_record", {{"seconds", seconds}, {"slowest", 2}, {"host", "node-17"}}}});
  EXPECT_TRUE(page.has_text("The slowest is rank 2 on node-17: 40.0 s forward and backward"));
  EXPECT_TRUE(page.has_text("33.3\u202F% more than the median rank."));
}

TEST(RanksSection, TheMedianOfTwoRanksIsBetweenThem) {
  const json seconds = {{{"forward", 10.0}, {"backward", 20.0}},
                        {{"forward", 10.0}, {"backward", 40.0}}};
  const XmlDocument page =
      page_with({{"ranks_record", {{"seconds", seconds}, {"slowest", 1}, {"host", "node-17"}}}});
  EXPECT_TRUE(page.has_text("25.0\u202F% more than the median rank."));
}

TEST(RanksSection, BrokenRecordsAreLeftOut) {
  for (const json& broken : {json{{"pipeline", 3}, {"ranks_record", "x"}},
                             json{{"pipeline", {{"stages", {{1, 2}, {"a"}}}}},
                                  {"ranks_record", {{"seconds", {1, 2}}}}}}) {
    const XmlDocument page = page_with(broken);
    EXPECT_FALSE(page.has_text("One step through the pipeline"));
    EXPECT_FALSE(page.has_text("The slowest is rank"));
  }
}

}  // namespace
}  // namespace ocoee::report
