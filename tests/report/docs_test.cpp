// SPDX-License-Identifier: Apache-2.0
// What docs/how-to/report.md shows works: its JSON draws, its C++ compiles and runs.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "core/file.h"
#include "report/docs_example.h"
#include "report/synthetic_run.h"
#include "report/xml_check.h"

namespace ocoee::report {
namespace {

using nlohmann::json;
using testing_support::read_xml;
using testing_support::ScratchFolder;
using testing_support::write_text;

const std::filesystem::path kPage =
    std::filesystem::path(OCOEE_SOURCE_DIR) / "docs/how-to/report.md";

std::vector<json> json_blocks(const std::string& page) {
  std::vector<json> blocks;
  const std::string fence = "```json\n";
  for (size_t at = page.find(fence); at != std::string::npos; at = page.find(fence, at)) {
    at += fence.size();
    blocks.push_back(json::parse(page.substr(at, page.find("```", at) - at)));
  }
  return blocks;
}

TEST(Docs, JsonExamplesAreDrawn) {
  const std::vector<json> blocks = json_blocks(read_file(kPage));
  ASSERT_EQ(blocks.size(), 2u);
  json summary = blocks[0];
  summary["figures"] = blocks[1];
  const ScratchFolder scratch;
  write_text(scratch.path() / "summary.json", summary.dump());
  const auto page = read_xml(render_report(scratch.path()));
  EXPECT_EQ(page.error, "");
  for (const char* id : {"markov", "figures", "speed", "traffic", "reproduce"})
    EXPECT_TRUE(page.has_id(id)) << id;
  for (const json& figure : blocks[1])
    EXPECT_TRUE(page.has_text(figure["title"].get<std::string>())) << figure["title"];
  EXPECT_FALSE(page.has_text("was left out ("));
}

TEST(Docs, TheExampleSectionIsInTheReport) {
  const std::string source =
      read_file(std::filesystem::path(OCOEE_SOURCE_DIR) / "tests/report/docs_example.h");
  const std::string code = source.substr(source.find("#include"));
  EXPECT_NE(read_file(kPage).find(code), std::string::npos) << "docs and docs_example.h differ";
  const ScratchFolder scratch;
  testing_support::write_synthetic_run(scratch.path(),
                                       {.steps = 60, .evaluate_every = 20, .resumed_at = 0});
  write(scratch.path());
  const auto page = read_xml(read_file(scratch.path() / "report.html"));
  EXPECT_EQ(page.error, "");
  EXPECT_TRUE(page.has_id("balance"));
}

}  // namespace
}  // namespace ocoee::report
