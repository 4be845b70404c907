// SPDX-License-Identifier: Apache-2.0
#include "core/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/toml_scan.h"

namespace ocoee::config {
namespace {

struct Batch {
  int64_t global = 16;
  double rate = 0.5;
  std::string schedule = "cosine";
  std::vector<std::string> files;
  void describe(Description& d) {
    d.field("global", global, "samples per step").at_least(1).unit("samples");
    d.field("rate", rate, "a rate").above(0).at_most(1);
    d.field("schedule", schedule, "how the rate moves").choices({"constant", "cosine"});
    d.field("files", files, "inputs").required();
  }
};

struct Reading {
  Batch batch;
  Description description;
  Problems problems;
  explicit Reading(const std::string& text, const std::vector<std::string>& overrides = {}) {
    description.section("batch", batch, "How many samples.");
    Document document = Document::from_text(text, "r.toml");
    for (const auto& o : overrides) document.override_value(o);
    document.read(description, problems);
  }
};

TEST(Config, FindsCharactersThatTomlDoesNotAllow) {
  const size_t none = std::string::npos;
  for (const char* allowed :
       {"\xEF\xBB\xBF"
        "a = 1",
        "a = 'é' # ü", R"("é" = "\"é")", "a = \"\"\"é\\\"é\\\n  \"\"\"\nb = 1", "a = '''é'\n''é'''",
        "a = \"\"\"\"é\"\"\"\"\"\nb = 2", "# é"}) {
    EXPECT_EQ(misplaced_character(allowed), none) << allowed;
  }
  EXPECT_EQ(misplaced_character("é = 1"), 0U);
  EXPECT_EQ(misplaced_character("a =\xC2\xA0 1"), 3U);
  EXPECT_EQ(misplaced_character("a = 'b\né"), 7U) << "a quote that is open ends with its line";
  EXPECT_EQ(misplaced_character("a = \"\"\"b\"\"\"\"\né"), 13U) << "four quotes end a text, too";
  EXPECT_EQ(misplaced_character("a = \"\"\"b\\ \n é\"\"\""), 12U);
  EXPECT_EQ(misplaced_character("a = \"\"\"\\\n\"\"\"é"), 12U);
}

TEST(Config, AFarTwinHasAsManyCharactersAndNoneThatTomlKnows) {
  EXPECT_EQ(far_twin("a = 'b'"), "a = 'b'");
  EXPECT_EQ(far_twin("\xEF\xBB\xBF"
                     "é\xE3\x80\x80"),
            "\xEF\xBB\xBF\xF4\x80\x83\xA9\xF4\x83\x80\x80");
  EXPECT_EQ(far_twin("\xF0\x9F\xA7\xAC \xC3"), "\xF0\x9F\xA7\xAC \xC3")
      << "whole or broken, others stay";
}

TEST(Config, TextOutsideOfAsciiNeedsQuotesInARecipeButNotOnTheCommandLine) {
  try {
    Reading r("version = 1\n[batch]\nglobal =\xC2\xA0 8\n");
    FAIL() << "a no-break space is no space of TOML";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(),
                testing::HasSubstr("r.toml:3:9: not valid TOML: a character outside"));
  }
  EXPECT_THAT(Reading("[batch]\nfiles = ['ä.fa']\n", {"batch.schedule=größe"}).problems.text(),
              testing::HasSubstr("größe"));
}

TEST(Config, ReadsValuesAndOverrides) {
  Reading r("version = 1\n[batch]\nglobal = 8\nfiles = [\"a\"]\n",
            {"batch.schedule=constant", "batch.rate=1"});
  EXPECT_TRUE(r.problems.empty()) << r.problems.text();
  EXPECT_EQ(r.batch.global, 8);
  EXPECT_EQ(r.batch.schedule, "constant");
  EXPECT_EQ(r.batch.rate, 1);
  EXPECT_THAT(r.batch.files, testing::ElementsAre("a"));
}

TEST(Config, ReportsAllProblemsAtOnceWithLineAndFix) {
  Reading r("version = 1\n[batch]\nglobl = 8\nrate = \"x\"\nschedule = \"cosin\"\n",
            {"batch.global=0"});
  const std::string text = r.problems.text();
  EXPECT_THAT(text,
              testing::HasSubstr(
                  "r.toml:3:9: batch.globl: unknown key\n    fix: did you mean 'batch.global'?"));
  EXPECT_THAT(
      text, testing::HasSubstr("r.toml:4:8: batch.rate: expected a number, found the text \"x\""));
  EXPECT_THAT(text, testing::HasSubstr("did you mean \"cosine\"?"));
  EXPECT_THAT(text, testing::HasSubstr(
                        "command line: batch.global: 0 is out of range: expected at least 1"));
  EXPECT_THAT(text, testing::HasSubstr("r.toml:2:1: batch.files: missing: inputs"));
  EXPECT_EQ(r.problems.all().size(), 5u);
  EXPECT_THROW(r.problems.throw_if_any(), Error);
}

struct Signed {
  double free = 0, limited = 0;
  void describe(Description& d) {
    d.field("free", free, "any number");
    d.field("limited", limited, "none above 1").at_most(1);
  }
};

TEST(Config, ANumberWithoutLimitsMustOnlyBeFinite) {
  Signed value;
  Description d;
  d.section("s", value, "Numbers.");
  Problems problems;
  Document::from_text("version = 1\n[s]\nfree = nan\nlimited = nan\n", "r.toml").read(d, problems);
  EXPECT_THAT(problems.text(), testing::HasSubstr("r.toml:3:8: s.free: nan is no finite number"));
  EXPECT_THAT(problems.text(),
              testing::HasSubstr("s.limited: nan is out of range: expected at most 1"));
}

TEST(Config, AProblemOfAnUnwrittenKeyStandsAtItsSectionOrRecipe) {
  Reading r("version = 1\n[batch]\nfiles = [\"a\"]\n");
  ASSERT_TRUE(r.problems.empty()) << r.problems.text();
  r.problems.add("batch.global", "too many");
  r.problems.add("layout.tensor", "too many");
  EXPECT_EQ(r.problems.text(),
            "r.toml:2:1: batch.global: too many\nr.toml: layout.tensor: too many");
}

TEST(Config, SectionsOfOthersArePassedOverAndMisspellingsAreNot) {
  Batch batch;
  Description description;
  description.section("batch", batch, "");
  const Document document =
      Document::from_text("version = 1\n[batch]\nglobl = 8\n[model]\nx = 1\n[modle]\n", "r.toml");
  Problems some, all;
  document.read(description, some, {"model"});
  document.read(description, all);
  EXPECT_EQ(some.all().size(), 3u) << some.text();
  EXPECT_THAT(some.text(),
              testing::HasSubstr("modle: unknown section\n    fix: did you mean 'model'?"));
  EXPECT_THAT(all.text(), testing::HasSubstr("r.toml:4:1: model: unknown section"));
}

struct Rate {
  std::string schedule = "cosine";
  int64_t falls = 0, steep = 0;
  void describe(Description& d) {
    d.field("schedule", schedule, "how it moves").choices({"cosine", "wsd"});
    const auto is_wsd = [this] { return schedule == "wsd"; };
    d.field("falls", falls, "length of the end").acts_where("schedule = wsd", is_wsd);
    d.field("steep", steep, "how it ends")
        .acts_where("falls > 0", [this] { return falls > 0; })
        .acts_where("schedule = wsd", is_wsd);
  }
};

std::vector<std::string> idle_keys(const std::string& text,
                                   const std::vector<std::string>& overrides = {}) {
  Rate rate;
  Description description;
  description.section("rate", rate, "A rate.");
  Document document = Document::from_text("version = 1\n" + text, "r.toml");
  for (const auto& o : overrides) document.override_value(o);
  Problems problems;
  document.read(description, problems);
  EXPECT_TRUE(problems.empty()) << problems.text();
  return keys_without_effect(description);
}

TEST(Config, TellsKeysThatWereWrittenAndHaveNoEffect) {
  EXPECT_THAT(
      idle_keys("[rate]\nfalls = 7\n"),
      testing::ElementsAre("r.toml:3:9: rate.falls: has no effect: it acts where schedule = wsd"));
  EXPECT_THAT(idle_keys("", {"rate.falls=7"}),
              testing::ElementsAre(
                  "command line: rate.falls: has no effect: it acts where schedule = wsd"));
  EXPECT_THAT(idle_keys("[rate]\nfalls = 7\nschedule = 'wsd'\n"), testing::IsEmpty());
  for (const char* one_does_not_hold : {"rate.falls=0", "rate.schedule=cosine"})
    EXPECT_THAT(
        idle_keys("", {"rate.falls=7", "rate.schedule=wsd", "rate.steep=1", one_does_not_hold}),
        testing::Contains("command line: rate.steep: has no effect: it acts where falls > "
                          "0, and schedule = wsd"));
  EXPECT_THAT(idle_keys("", {"rate.falls=7", "rate.schedule=wsd", "rate.steep=1"}),
              testing::IsEmpty());
  EXPECT_THAT(idle_keys("[rate]\nfalls = 7\n", {"rate.schedule=wsd"}), testing::IsEmpty());
  EXPECT_THAT(idle_keys(""), testing::IsEmpty()) << "nobody wrote it";
  EXPECT_THAT(idle_keys("[rate]\nfalls = 0\n"), testing::IsEmpty()) << "the default";
}

TEST(Config, AKeyInAWrongSectionIsFoundInItsOwn) {
  Batch batch;
  Rate rate;
  int64_t steps = 1, seed = 1, other_seed = 1;
  Description description;
  description.section("batch", batch, "").field("seed", seed, "of samples");
  description.section("rate", rate, "").field("seed", other_seed, "of rates");
  description.section("train", "").field("steps", steps, "how many");
  const auto fix_of = [&](const std::string& key) {
    Document document = Document::from_text("version = 1\n[batch]\nfiles = ['a']\n", "r.toml");
    document.override_value(key + "=1");
    Problems problems;
    document.read(description, problems);
    EXPECT_EQ(problems.all().size(), 1U) << problems.text();
    return problems.empty() ? "" : problems.all().front().fix;
  };
  EXPECT_EQ(fix_of("train.global"), "did you mean 'batch.global'?");
  EXPECT_EQ(fix_of("train.globl"), "did you mean 'batch.global'?");
  EXPECT_EQ(fix_of("global"), "did you mean 'batch.global'?");
  EXPECT_EQ(fix_of("train.seed"), "did you mean 'batch.seed' or 'rate.seed'?");
  EXPECT_EQ(fix_of("train.something"), "`ocoee help train` lists the keys");
  EXPECT_EQ(fix_of("rate.stees"), "did you mean 'rate.steep'?") << "its own section comes first";
}

TEST(Config, HelpReferenceAndSchemaSayWhereAKeyActs) {
  Rate rate;
  Description description;
  description.section("rate", rate, "A rate.");
  const std::string words = "length of the end; acts where schedule = wsd";
  EXPECT_THAT(help_text(description, ""), testing::HasSubstr(words));
  EXPECT_THAT(to_markdown(description, ""), testing::HasSubstr("| " + words + " |"));
  EXPECT_THAT(to_json_schema(description).dump(), testing::HasSubstr(words));
}

TEST(Config, ResolvedRecipeReadsBackTheSame) {
  Reading first("version = 1\n[batch]\nfiles = [\"a\\\"b\", \"c\"]\nrate = 0.125\n");
  Reading second(to_toml(first.description));
  EXPECT_TRUE(second.problems.empty()) << second.problems.text();
  EXPECT_EQ(to_json(first.description), to_json(second.description));
}

TEST(Config, BrokenTomlNamesTheLine) {
  try {
    Document::from_text("version = 1\n[batch\n", "r.toml");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::config);
    EXPECT_THAT(error.what(), testing::HasSubstr("r.toml:2:"));
  }
}

}  // namespace
}  // namespace ocoee::config
