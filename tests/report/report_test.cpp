// SPDX-License-Identifier: Apache-2.0
// Whole pages: structure, self-containment, size, tolerance, determinism.
#include "report/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "core/file.h"
#include "core/random.h"
#include "report/page.h"
#include "report/scratch_folder.h"
#include "report/synthetic_run.h"
#include "report/xml_check.h"

namespace ocoee::report {
namespace {

using nlohmann::json;
using testing_support::read_xml;
using testing_support::ScratchFolder;
using testing_support::SyntheticRun;
using testing_support::write_synthetic_run;
using testing_support::write_text;
using testing_support::XmlDocument;

XmlDocument check_page(const std::string& page) {
  XmlDocument document = read_xml(page);
  EXPECT_EQ(document.error, "");
  EXPECT_LT(page.size(), kMostReportBytes);
  // nothing is fetched: the only address is the name of the SVG and XHTML namespaces
  for (const auto& element : document.elements) {
    EXPECT_NE(element.name, "link");
    EXPECT_NE(element.name, "iframe");
    EXPECT_FALSE(element.attributes.contains("src"));
    for (const auto& [key, value] : element.attributes) {
      if (key == "href") {
        EXPECT_EQ(value.substr(0, 1), "#");
      }
      if (key.starts_with("on")) ADD_FAILURE() << element.name << " has a handler " << key;
      if (key != "xmlns") {
        EXPECT_EQ(value.find("://"), std::string::npos) << value;
      }
    }
    if (element.name == "style" || element.name == "script") {
      EXPECT_EQ(element.text.find("@import"), std::string::npos);
      EXPECT_EQ(element.text.find("url("), std::string::npos);
      EXPECT_EQ(element.text.find("fetch("), std::string::npos);
      EXPECT_EQ(element.text.find("https:"), std::string::npos);
    }
  }
  EXPECT_EQ(document.count("script"), 1u);
  return document;
}

std::vector<std::string> section_ids(const XmlDocument& document) {
  std::vector<std::string> ids;
  for (const auto& element : document.elements)
    if (element.name == "section") ids.push_back(element.attributes.at("id"));
  return ids;
}

TEST(Report, AWholeRunHasEverySection) {
  const ScratchFolder scratch;
  write_synthetic_run(scratch.path(), {});
  const auto path = write_report(scratch.path());
  EXPECT_EQ(path, scratch.path() / "report.html");
  const XmlDocument page = check_page(read_file(path));
  EXPECT_THAT(section_ids(page),
              testing::ElementsAre("learning", "markov", "speed", "timeline", "traffic", "memory",
                                   "optimisation", "events", "reproduce", "recipe", "environment"));
  EXPECT_TRUE(page.has_text("1.8895"));
  EXPECT_TRUE(
      page.has_text("0.0410 (2.1\u202F%) better than best order-k Markov model (k = 7): 1.9305"));
  EXPECT_TRUE(page.has_text(
      "834\u202Fk parameters for 650 steps on 2.66\u202FM tokens, with 2 ranks, on CPU "
      "(Intel(R) Xeon(R) Platinum 8480C), in 2 min 33 s."));
  EXPECT_TRUE(page.has_text("order-7 Markov 1.9305"));
  EXPECT_TRUE(page.has_text("mpirun -n 2 build/ocoee run recipes/genome_ecoli_demo.toml"));
  EXPECT_TRUE(page.has_text("The measured peak is 1.2\u202F% below the plan."));
  EXPECT_TRUE(page.has_text("rank 1"));
  EXPECT_FALSE(page.has_text("This report is incomplete"));
  for (const auto& element : page.elements)
    if (element.name == "svg" && element.parent != "svg") {
      EXPECT_EQ(element.attributes.at("role"), "img");
    }
}

TEST(Report, OnAGpuAStepIsTakenApartByItsProfile) {
  const ScratchFolder scratch;
  const SyntheticRun run{.steps = 60, .evaluate_every = 20, .resumed_at = 0};
  write_synthetic_run(scratch.path(), run);
  json summary = testing_support::summary_json(run);
  summary["step_phases"] = {{"forward", 0.010}, {"backward", 0.021}, {"optimizer", 0.002}};
  summary["profiled_step"] = 2;
  write_text(scratch.path() / "summary.json", summary.dump());
  const XmlDocument page = check_page(render_report(scratch.path()));
  EXPECT_TRUE(page.has_text("One step by phase"));
  EXPECT_TRUE(page.has_text("Measured on step 3"));
  EXPECT_TRUE(page.has_text("steps and other"));
  EXPECT_TRUE(page.has_text("one step, with a wait for the device at both ends of each span"));
}

TEST(Report, TheSameRunGivesTheSamePage) {
  const ScratchFolder scratch;
  write_synthetic_run(scratch.path(), {.steps = 120});
  EXPECT_EQ(render_report(scratch.path()), render_report(scratch.path()));
  write_report(scratch.path());
  const std::string first = read_file(scratch.path() / "report.html");
  write_report(scratch.path());  // the page itself is no input
  EXPECT_EQ(read_file(scratch.path() / "report.html"), first);
}

TEST(Report, AHundredThousandStepsStayUnderTwoMebibytes) {
  const ScratchFolder scratch;
  write_synthetic_run(scratch.path(),
                      {.steps = 100000, .evaluate_every = 500, .resumed_at = 0, .parts = 4});
  const std::string page = render_report(scratch.path());
  check_page(page);
  EXPECT_LT(page.size(), kMostReportBytes / 2);
}

TEST(Report, HundredsOfMetricsStayUnderTwoMebibytes) {
  const ScratchFolder scratch;
  std::string text;
  RandomStream random(11, Purpose::noise, 0, 0);
  for (int step = 1; step <= 1500; ++step) {
    json line = {{"step", step}, {"loss", random.normal()}};
    for (int metric = 0; metric < 300; ++metric)
      line["metric_" + std::to_string(metric)] = random.normal();
    text += line.dump() + "\n";
  }
  write_text(scratch.path() / "metrics.jsonl", text);
  const XmlDocument page = check_page(render_report(scratch.path()));
  EXPECT_TRUE(page.has_text("Metrics without a chart"));
}

TEST(Report, AnEmptyDirectoryStillGivesAPage) {
  const ScratchFolder scratch;
  const XmlDocument page = check_page(render_report(scratch.path()));
  EXPECT_TRUE(page.has_text("This report is incomplete"));
  EXPECT_TRUE(page.has_text("no results yet"));
  EXPECT_TRUE(page.has_text("No loss and no evaluation was logged"));
}

TEST(Report, ARunWithoutSummaryShowsWhatTheLogSays) {
  const ScratchFolder scratch;
  write_synthetic_run(scratch.path(), {.steps = 200, .resumed_at = 0, .with_summary = false});
  const XmlDocument page = check_page(render_report(scratch.path()));
  EXPECT_TRUE(page.has_text("no summary: still running, or stopped early"));
  EXPECT_TRUE(page.has_text("last evaluation, step 200"));
  EXPECT_TRUE(page.has_text("summary.json is missing."));
}

TEST(Report, FilesCutAnywhereStillGiveAPage) {
  const ScratchFolder whole, cut;
  write_synthetic_run(whole.path(),
                      {.steps = 60, .evaluate_every = 20, .resumed_at = 20, .with_figures = true});
  RandomStream random(13, Purpose::noise, 0, 0);
  for (int round = 0; round < 60; ++round) {
    for (const auto& entry : std::filesystem::directory_iterator(whole.path())) {
      const std::string text = read_file(entry.path());
      write_text(cut.path() / entry.path().filename(),
                 text.substr(0, random.below(text.size() + 1)));
    }
    check_page(render_report(cut.path()));
  }
}

TEST(Report, DamagedFilesStillGiveAPage) {
  const ScratchFolder whole, damaged;
  write_synthetic_run(whole.path(),
                      {.steps = 60, .evaluate_every = 20, .resumed_at = 20, .with_figures = true});
  RandomStream random(17, Purpose::noise, 0, 0);
  const char* pieces[] = {"null", "-1",   "1e400",        "1e308", "\"\"", "[]",
                          "{}",   "true", "\"<script>\"", "NaN",   "0",    "-1e300"};
  for (int round = 0; round < 80; ++round) {
    for (const auto& entry : std::filesystem::directory_iterator(whole.path())) {
      std::string text = read_file(entry.path());
      for (int k = 0; k < 4;
           ++k) {  // values are replaced after some colon: mostly still JSON, of unexpected shape
        const size_t colon = text.find(':', random.below(text.size()));
        const size_t end = colon == std::string::npos ? colon : text.find_first_of(",}]\n", colon);
        if (end != std::string::npos)
          text.replace(colon + 1, end - colon - 1, pieces[random.below(std::size(pieces))]);
      }
      write_text(damaged.path() / entry.path().filename(), text);
    }
    check_page(render_report(damaged.path()));
  }
}

TEST(Report, HostileNamesStayText) {
  const ScratchFolder scratch;
  const std::string evil = "</script><script>alert(\"1\")</script>&\x01<img src=x onerror=1>'";
  SyntheticRun run{.steps = 60, .evaluate_every = 20, .resumed_at = 0};
  write_synthetic_run(scratch.path(), run);
  json summary = testing_support::summary_json(run);
  summary["name"] = summary["task"] = summary["status"] = summary["device"] = summary["command"] =
      evil;
  summary["headline"][0]["label"] = summary["headline"][0]["reference"]["label"] =
      summary["headline"][0]["unit"] = evil;
  summary["baselines"][0]["label"] = evil;
  summary["seconds_by_phase"][evil] = 12.0;
  summary["traffic"][0]["axis"] = summary["traffic"][0]["kind"] = evil;
  summary["figures"] =
      json::array({{{"chart", evil}},
                   {{"chart", "line"},
                    {"title", evil},
                    {"series", json::array({{{"name", evil}, {"x", {1, 2}}, {"y", {1, 2}}}})}}});
  write_text(scratch.path() / "summary.json", summary.dump());
  write_text(scratch.path() / "environment.json", json({{evil, {{evil, evil}}}}).dump());
  write_text(scratch.path() / "plan.json",
             json({{"memory_bytes", {{evil, 5.0}}}, {"flop_convention", evil}}).dump());
  write_text(scratch.path() / "recipe.toml",
             "[" + evil + "]\n" + evil + " = \"" + evil + "\" # " + evil + "\n");
  std::string metrics = read_file(scratch.path() / "metrics.jsonl");
  for (int step = 61; step < 64; ++step)
    metrics +=
        json({{"step", step}, {"loss", 1.0}, {evil, step}, {"loss." + evil, step}}).dump() + "\n";
  metrics += json({{"kind", "evaluation"}, {"step", 64}, {evil, 1}}).dump() + "\n" +
             json({{"kind", evil}, {"step", 64}, {"message", evil}}).dump() + "\n" +
             json({{"kind", "warning"}, {"step", 64}, {"message", evil}}).dump() + "\n";
  write_text(scratch.path() / "metrics.jsonl", metrics);
  json trace = json::array(
      {{{"ph", "X"}, {"name", evil}, {"pid", 0}, {"tid", evil}, {"ts", 0}, {"dur", 5}},
       {{"ph", "M"}, {"name", "process_name"}, {"pid", 0}, {"args", {{"name", evil}}}}});
  write_text(scratch.path() / "trace.json", trace.dump());
  const XmlDocument page = check_page(render_report(scratch.path()));
  EXPECT_EQ(page.count("img"), 0u);
  EXPECT_TRUE(page.has_text("&lt;img src=x onerror=1&gt;"));
}

TEST(Report, WhatIsCountedHasNoTicksBetween) {
  const auto page_of = [](const std::vector<double>& x) {
    const ScratchFolder scratch;
    json summary = testing_support::summary_json({});
    summary["figures"] = json::array(
        {{{"chart", "line"},
          {"title", "BIC"},
          {"series", json::array({{{"name", "BIC"}, {"x", x}, {"y", {3, 1, 2, 5}}}})}}});
    write_text(scratch.path() / "summary.json", summary.dump());
    return check_page(render_report(scratch.path()));
  };
  EXPECT_TRUE(page_of({0, 1, 2, 3.5}).has_text("0.5"));
  EXPECT_FALSE(page_of({0, 1, 2, 3}).has_text("0.5"));
}

TEST(Report, TablesShowNumbersAsFarAsTheyAreKnown) {
  const ScratchFolder scratch;
  json summary = testing_support::summary_json({});
  const auto row = [](const char* term, const json& value) { return json::array({term, value}); };
  summary["figures"] = {
      {{"chart", "table"},
       {"columns", {"term", "value"}},
       {"rows", json::array({row("known", {{"value", -12.3456789}, {"error", 0.5612}}),
                             row("not", {{"value", 1.23456789}, {"error", nullptr}}),
                             row("alone", 2.34567891)})}}};
  write_text(scratch.path() / "summary.json", summary.dump());
  const XmlDocument page = check_page(render_report(scratch.path()));
  EXPECT_TRUE(page.has_text("\u221212.35 \u00B1 0.56"));
  EXPECT_TRUE(page.has_text("1.23457, error unknown"));
  EXPECT_TRUE(page.has_text("2.34568"));
  EXPECT_FALSE(page.has_text("2.345678"));
}

TEST(Report, HugeTextsAreCut) {
  const ScratchFolder scratch;
  write_text(scratch.path() / "recipe.toml", std::string(3u << 20, '<'));
  json environment;
  for (int i = 0; i < 5000; ++i) environment["key" + std::to_string(i)] = std::string(3000, '&');
  write_text(scratch.path() / "environment.json", environment.dump());
  write_text(
      scratch.path() / "summary.json",
      json({{"name", std::string(1u << 20, 'n')}, {"command", std::string(1u << 20, '"')}}).dump());
  std::string metrics;
  for (int i = 0; i < 30000; ++i)
    metrics += "{\"kind\":\"note\",\"step\":1,\"message\":\"" + std::string(200, '>') + "\"}\n";
  write_text(scratch.path() / "metrics.jsonl", metrics);
  check_page(render_report(scratch.path()));
}

TEST(Report, NonFiniteValuesAreNamed) {
  const ScratchFolder scratch;
  std::string metrics;
  for (int step = 1; step <= 200; ++step)
    metrics += fmt::format("{{\"step\":{},\"loss\":{},\"gradient_norm\":{}}}\n", step,
                           step == 150 ? "NaN" : "2.5", step == 7 ? "Infinity" : "1");
  write_text(scratch.path() / "metrics.jsonl", metrics);
  const XmlDocument page = check_page(render_report(scratch.path()));
  EXPECT_TRUE(page.has_text(
      "Logged losses that are not finite (NaN or infinite): 1, the first at step 150"));
  EXPECT_FALSE(page.has_text("above the frame"));  // a constant loss has no steep start
}

TEST(Report, OneStepOneEvaluation) {
  const ScratchFolder scratch;
  write_text(
      scratch.path() / "metrics.jsonl",
      "{\"step\":1,\"loss\":4.158,\"learning_rate\":0.003,\"mfu\":0.3,\"tokens\":4096,\"tokens_per_"
      "second\":100}\n"
      "{\"kind\":\"evaluation\",\"step\":1,\"loss\":4.1,\"bits_per_base\":1.97}\n");
  const XmlDocument page = check_page(render_report(scratch.path()));
  EXPECT_TRUE(page.has_text("1.97"));
}

TEST(Report, SeveralObjectivesShareOneChart) {
  const ScratchFolder scratch;
  std::string metrics;
  for (int step = 1; step <= 300; ++step)
    metrics += json({{"step", step},
                     {"loss.critic", -0.5 - 1.0 / step},
                     {"loss.generator", 0.2 + 1.0 / step},
                     {"learning_rate.critic", 1e-4},
                     {"learning_rate.generator", 2e-4},
                     {"wasserstein_distance", 3.0 / step}})
                   .dump() +
               "\n";
  write_text(scratch.path() / "metrics.jsonl", metrics);
  const XmlDocument page = check_page(render_report(scratch.path()));
  EXPECT_TRUE(page.has_text("critic"));
  EXPECT_TRUE(page.has_text("generator"));
  EXPECT_TRUE(page.has_text("Wasserstein distance"));  // unknown metrics get a chart by themselves
}

TEST(Report, FiguresOfATaskAreDrawn) {
  const ScratchFolder scratch;
  write_synthetic_run(scratch.path(),
                      {.steps = 60, .evaluate_every = 20, .resumed_at = 0, .with_figures = true});
  const XmlDocument page = check_page(render_report(scratch.path()));
  for (const char* text :
       {"Heat capacity", "transition 663 K", "Slice at 300 K", "Ordered crystal at 300 K",
        "Correlations", "exposed communication", "Transitions", "663.4"})
    EXPECT_TRUE(page.has_text(text)) << text;
}

TEST(Report, ExtraSectionsAreForTheirTasks) {
  const ScratchFolder scratch;
  write_synthetic_run(scratch.path(), {.steps = 60, .evaluate_every = 20, .resumed_at = 0});
  const auto draw = [](const SectionContext& context) {
    return paragraph("rows " + std::to_string(context.run.steps.rows()));
  };
  const std::vector<Section> extra = {{"mine", "Mine", {"genome_lm"}, draw},
                                      {"prefix", "Prefix", {"genome_*"}, draw},
                                      {"gans", "GANs", {"gan_*"}, draw}};
  const XmlDocument page = check_page(render_report(scratch.path(), extra));
  EXPECT_TRUE(page.has_id("mine"));
  EXPECT_TRUE(page.has_id("prefix"));
  EXPECT_FALSE(page.has_id("gans"));
  EXPECT_TRUE(page.has_text("rows 60"));
}

TEST(Report, ADirectoryThatCannotBeWrittenIsAFileError) {
  EXPECT_THROW(write_report("/nonexistent/run"), Error);
}

}  // namespace
}  // namespace ocoee::report
