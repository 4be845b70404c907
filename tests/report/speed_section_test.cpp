// SPDX-License-Identifier: Apache-2.0
// Where the time went and what travelled: of which start of the program, and which steps.
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
using testing_support::write_text;
using testing_support::XmlDocument;

XmlDocument page_of(const ScratchFolder& scratch) {
  XmlDocument page = read_xml(read_file(write_report(scratch.path())));
  EXPECT_EQ(page.error, "");
  return page;
}

// Of 60 steps and 100 s, the last start made 20 steps in 30 s, with half of the memory.
TEST(SpeedSection, PhasesAndPeakAreOfTheLastStart) {
  const ScratchFolder scratch;
  const testing_support::SyntheticRun run{.steps = 60, .resumed_at = 40};
  write_synthetic_run(scratch.path(), run);
  json summary = testing_support::summary_json(run);
  summary["seconds"] = 100;
  summary["resumed"] = {{"step", 40}, {"seconds", 70}};
  summary["seconds_by_phase"] = {{"forward", 8}, {"backward", 16}};
  write_text(scratch.path() / "summary.json", summary.dump());
  std::string metrics;
  for (int step = 1; step <= 60; ++step)
    metrics += json({{"kind", "step"},
                     {"step", step},
                     {"loss", 2.0},
                     {"peak_bytes", (step <= 40 ? 64 : 32) << 20}})
                   .dump() +
               "\n";
  write_text(scratch.path() / "metrics.jsonl", metrics);
  write_text(scratch.path() / "plan.json",
             json({{"memory_bytes", {{"activations", 40 << 20}}}}).dump());
  const XmlDocument page = page_of(scratch);
  EXPECT_TRUE(page.has_text("1 min 40 s"));  // of the run
  EXPECT_TRUE(page.has_text("6.0 s"));       // other: 30 - 24
  EXPECT_TRUE(page.has_text("800.0 ms"));    // 16 s in 20 steps
  EXPECT_TRUE(page.has_text("no phase names. Since the run went on from step 40."));
  EXPECT_TRUE(page.has_text(
      "Since the run went on from step 40. The measured peak is 20.0\u202F% below the plan."));
}

json span(const char* name, double begin, double end, int step) {
  return {{"ph", "X"},
          {"name", name},
          {"pid", 0},
          {"tid", "compute"},
          {"ts", begin * 1e6},
          {"dur", (end - begin) * 1e6},
          {"args", {{"step", step}}}};
}

// A log counts steps from one.
TEST(SpeedSection, TheTimelineIsOfStepsWithoutStartAndEvaluation) {
  const ScratchFolder scratch;
  write_synthetic_run(scratch.path(), {.steps = 60, .resumed_at = 0});
  const json trace = json::array({span("checkpoint", 0, 0.5, 0), span("forward", 1, 1.1, 4),
                                  span("forward", 1.2, 1.3, 5), span("evaluation", 1.3, 6, 5)});
  write_text(scratch.path() / "trace.json", trace.dump());
  const XmlDocument page = page_of(scratch);
  EXPECT_TRUE(
      page.has_text("300.0 ms from 1.000 s after the trace began: steps of median length."));
  EXPECT_TRUE(page.has_text("step 5"));
  EXPECT_TRUE(page.has_text("step 6"));
}

// What one rank sends is received by another: the bar of an axis has it once.
TEST(SpeedSection, AMessageIsDrawnOnce) {
  const ScratchFolder scratch;
  const testing_support::SyntheticRun run{.steps = 60, .resumed_at = 0};
  write_synthetic_run(scratch.path(), run);
  json summary = testing_support::summary_json(run);
  summary["traffic"] = json::array();
  for (const char* kind : {"all_reduce", "send", "receive"})
    summary["traffic"].push_back(
        {{"axis", "pipeline"}, {"kind", kind}, {"calls", 3}, {"bytes", 512}});
  write_text(scratch.path() / "summary.json", summary.dump());
  const XmlDocument page = page_of(scratch);
  EXPECT_TRUE(page.has_text("1.00 KiB"));
  EXPECT_FALSE(page.has_text("1.50 KiB"));
  EXPECT_TRUE(page.has_text("receive"));  // in the table
}

}  // namespace
}  // namespace ocoee::report
