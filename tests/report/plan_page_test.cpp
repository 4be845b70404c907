// SPDX-License-Identifier: Apache-2.0
// The page of a plan: well formed, self-contained, with every part that plan.json holds.
#include "report/plan_page.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "models/shapes.h"
#include "plan/plan_file.h"
#include "report/report.h"
#include "report/synthetic_run.h"
#include "report/xml_check.h"

namespace ocoee::report {
namespace {

using testing_support::read_xml;

nlohmann::json small_plan() {
  const models::NamedShape& shape = models::named_shape("22b");
  plan::Workload w;
  w.name = "22b <&>";
  w.model = models::build_gpt(shape.config, shape.vocabulary);
  w.sequence = 2048;
  w.global_batch = 640;
  plan::Predictor predictor(w, plan::system_named("ocoee"), plan::load_machine("frontier"));
  plan::PlanRequest request;
  request.search.devices = 64;
  request.search.top = 3;
  request.search.pipeline = 4;
  request.tokens = 1e12;
  return plan::make_plan(predictor, request).json;
}

TEST(PlanPage, ShowsEveryPart) {
  const std::string page = plan_page(small_plan());
  const auto document = read_xml(page);
  EXPECT_EQ(document.error, "");
  EXPECT_LT(page.size(), kMostReportBytes);
  for (const char* part :
       {"id=\"proposals\"", "id=\"time\"", "id=\"memory\"", "id=\"why\"", "id=\"schedule\"",
        "id=\"what-if\"", "id=\"front\"", "Strong scaling", "exposed communication", "node-hours",
        "A checkpoint: ", "32 devices", "22b &lt;&amp;&gt;"})
    EXPECT_THAT(page, testing::HasSubstr(part));
  EXPECT_THAT(page, testing::Not(testing::HasSubstr("src=")));
}

TEST(PlanPage, WhatDoesNotFitIsDrawnAsARing) {
  nlohmann::json plan = small_plan();
  for (nlohmann::json& curve : plan["what_if"])
    for (nlohmann::json& series : curve["series"])
      for (nlohmann::json& point : series["points"]) point["fits"] = true;
  EXPECT_THAT(plan_page(plan), testing::Not(testing::HasSubstr("class=\"ring")));
  plan["what_if"][0]["series"][0]["points"][0]["fits"] = false;
  EXPECT_THAT(plan_page(plan), testing::HasSubstr("class=\"ring"));
  EXPECT_THAT(plan_page(plan), testing::HasSubstr("Rings would not fit in memory."));
}

TEST(PlanPage, SaysWhatMadeIt) {
  nlohmann::json plan = small_plan();
  plan["made"] = {{"by", "Ocoee 0.1.0, commit 1a2b3c4"}, {"command", "ocoee plan <22b>"}};
  EXPECT_THAT(plan_page(plan), testing::HasSubstr("Made by Ocoee 0.1.0, commit 1a2b3c4"));
  EXPECT_THAT(plan_page(plan), testing::HasSubstr("ocoee plan &lt;22b&gt;"));
}

TEST(PlanSection, StandsBesideWhatWasMeasured) {
  const testing_support::ScratchFolder scratch;
  testing_support::write_text(
      scratch.path() / "plan.json",
      R"({"tokens_per_step": 1000, "memory_total_bytes": 2e9, "predicted": {"seconds": 2.0,
          "tokens_per_second": 500, "machine": "M", "device": "D", "parts": {"products": 2.0}}})");
  testing_support::write_text(scratch.path() / "metrics.jsonl",
                              "{\"step\": 1, \"tokens_per_second\": 400, \"peak_bytes\": 1e9}\n"
                              "{\"step\": 2, \"tokens_per_second\": 400, \"peak_bytes\": 1e9}\n");
  const std::string page = render_report(scratch.path());
  EXPECT_THAT(page, testing::HasSubstr("Plan against measured"));
  EXPECT_THAT(page, testing::HasSubstr("+25.0"));
  EXPECT_EQ(read_xml(page).error, "");
}

}  // namespace
}  // namespace ocoee::report
