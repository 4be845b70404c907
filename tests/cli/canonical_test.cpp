// SPDX-License-Identifier: Apache-2.0
// What the tuner takes for one run: recipes of one canonical form are the same to the planner, and
// what acts is told apart.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <random>

#include "cli/recipe.h"
#include "core/error.h"
#include "plan/predict.h"
#include "plan/tune/acting.h"
#include "tasks/language/language_config.h"
#include "tasks/registry.h"

namespace ocoee::cli {
namespace {

using Assignments = std::vector<std::string>;

class Canonical : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::temp_directory_path() / fmt::format("ocoee-acts-{}", ::getpid());
    std::filesystem::create_directories(folder_);
    std::ofstream(folder_ / "text.txt") << std::string(4000, 'a');
    std::ofstream(folder_ / "r.toml") << fmt::format(
        "version = 1\n[run]\nname = \"acts\"\n[task]\nname = \"text_lm\"\nfiles = [\"{}\"]\n"
        "vocabulary = 1024\n[model]\nlayers = 6\nwidth = 512\nheads = 8\ncontext = 256\n"
        "[batch]\nglobal = 48\n[precision]\ncompute = \"bfloat16\"\n[optimizer]\n"
        "learning_rate = 1e-3\n[train]\nsteps = 10\n",
        (folder_ / "text.txt").string());
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::unique_ptr<Recipe> recipe(const Assignments& assignments, int ranks) const {
    return read_recipe(tasks_, (folder_ / "r.toml").string(), assignments, ranks);
  }
  std::string form(const Assignments& assignments, int ranks) const {
    return canonical(recipe(assignments, ranks), ranks);
  }

  // Every number of a trial by the planner; "" where it says that it cannot be.
  static std::string plan_of(const Recipe& recipe, int ranks) {
    const auto planned = recipe.task->planned(ranks);
    plan::Predictor predictor(planned->workload, plan::system_named("ocoee"),
                              plan::load_machine("h200"));
    if (!predictor.problem(*planned->layout).empty()) return "";
    const plan::Prediction p = predictor.simulate(*planned->layout);
    std::string out = fmt::format("{:a} {:a} {}\n", p.seconds, p.total_bytes, p.fits);
    for (const double part : p.parts) out += fmt::format("{:a} ", part);
    for (const double held : p.bytes) out += fmt::format("{:a} ", held);
    return out;
  }

  std::filesystem::path folder_;
  const Tasks tasks_ = tasks::builtin_tasks();
};

// Draws assignments that the recipe's checks let through.
class Draws {
 public:
  explicit Draws(uint64_t seed) : random_(seed) {}
  Assignments next() {
    static const std::vector<std::pair<const char*, std::vector<const char*>>> keys = {
        {"layout.tensor", {"1", "2", "4"}},
        {"layout.context", {"1", "2"}},
        {"layout.pipeline", {"1", "2", "4"}},
        {"layout.shard", {"none", "states", "gradients", "parameters"}},
        {"layout.shard_group", {"0", "1", "2", "4"}},
        {"layout.schedule", {"gpipe", "1f1b", "interleaved", "zero_bubble"}},
        {"layout.chunks", {"1", "1", "2"}},
        {"layout.context_method", {"ring", "all_to_all"}},
        {"layout.recompute", {"none", "selective", "full"}},
        {"layout.halves", {"auto", "on", "off"}},
        {"layout.bucket_bytes", {"0", "1000000"}},
        {"layout.message_multiprocessors", {"0", "8"}},
        {"layout.copy_engines", {"auto", "all", "off"}},
        {"layout.placement", {"data_inside", "pipeline_inside"}},
        {"layout.offload", {"false", "true"}},
        {"batch.micro", {"1", "2", "3", "8", "48", "64"}},
        {"optimizer.decay_steps", {"0", "5"}},
    };
    Assignments out;
    for (const auto& [key, values] : keys)
      out.push_back(fmt::format("{}={}", key, values[random_() % values.size()]));
    return out;
  }
  int ranks() { return 1 << random_() % 4; }

 private:
  std::mt19937_64 random_;
};

TEST_F(Canonical, EveryRuleAndAllOfThemLeaveThePlanAsItWas) {
  Draws draws(1);
  std::vector<int> held(plan::acting_rules().size());
  int planned = 0;
  for (int n = 0; n < 15000; ++n) {
    const Assignments point = draws.next();
    const int ranks = draws.ranks();
    std::unique_ptr<Recipe> one;
    try {
      one = recipe(point, ranks);
    } catch (const Error&) {
      continue;
    }
    auto& config = dynamic_cast<tasks::LanguageConfig&>(*one->task);
    std::string before;
    const auto is_as_before = [&](const char* what) {
      EXPECT_EQ(plan_of(*one, ranks), before) << what << ": " << testing::PrintToString(point);
    };
    for (size_t r = 0; r < held.size(); ++r) {
      const plan::ActingRule& rule = plan::acting_rules()[r];
      if (!rule.holds(config.batch, config.layout, config.precision, ranks)) continue;
      if (before.empty()) before = plan_of(*one, ranks);
      rule.settle(config.batch, config.layout, ranks);
      EXPECT_FALSE(rule.holds(config.batch, config.layout, config.precision, ranks)) << rule.says;
      is_as_before(rule.says);
      ++held[r];
    }
    if (before.empty()) before = plan_of(*one, ranks);
    // What has a condition of its own and does not meet it.
    for (const auto& [name, section] : one->description.sections()) {
      for (config::Field& field : section->fields()) {
        if (!field.acts || field.acts()) continue;
        if (field.name == "schedule" && name == "layout") config.layout.schedule = "1f1b";
        if (field.name == "placement") config.layout.placement = "data_inside";
        if (field.name == "context_method") config.layout.context_method = "ring";
        if (field.name == "halves") config.layout.halves = "auto";
        if (field.name == "shard_group") config.layout.shard_group = 0;
      }
    }
    is_as_before("conditions");
    planned += !before.empty();
  }
  EXPECT_GT(planned, 200);
  for (size_t r = 0; r < held.size(); ++r) EXPECT_GT(held[r], 3) << plan::acting_rules()[r].says;
}

// Pairs that are one run, by rule and by condition; each named by what the second differs in.
TEST_F(Canonical, WhatComesToTheSameHasOneForm) {
  struct Pair {
    int ranks;
    Assignments first, second;
  };
  const std::vector<Pair> pairs = {
      {8, {"batch.micro=6"}, {"batch.micro=64"}},
      {2, {"layout.tensor=2"}, {"layout.tensor=2", "layout.shard=parameters"}},
      {4, {}, {"layout.shard=states", "layout.shard_group=1"}},
      {4, {"layout.shard=states"}, {"layout.shard=states", "layout.shard_group=4"}},
      {2, {"layout.pipeline=2"}, {"layout.pipeline=2", "layout.placement=pipeline_inside"}},
      {2,
       {"layout.pipeline=2", "batch.micro=48"},
       {"layout.pipeline=2", "batch.micro=48", "layout.schedule=gpipe"}},
      {2,
       {"layout.tensor=2", "batch.micro=3"},
       {"layout.tensor=2", "batch.micro=3", "layout.halves=on"}},
      {2, {"layout.tensor=2"}, {"layout.tensor=2", "layout.bucket_bytes=1000"}},
      {2, {"layout.shard=states"}, {"layout.shard=states", "layout.bucket_bytes=1000"}},
      {2, {}, {"layout.copy_engines=off"}},
      {2, {"layout.shard=states"}, {"layout.shard=states", "layout.copy_engines=off"}},
      {1, {}, {"layout.copy_engines=all", "layout.message_multiprocessors=4"}},
      {4, {}, {"layout.schedule=zero_bubble"}},
      {4, {}, {"layout.placement=pipeline_inside"}},
      {4, {}, {"layout.context_method=all_to_all"}},
      {4, {}, {"layout.halves=off"}},
      {1, {}, {"optimizer.decay_steps=5"}},
  };
  for (const Pair& pair : pairs)
    EXPECT_EQ(form(pair.first, pair.ranks), form(pair.second, pair.ranks))
        << testing::PrintToString(pair.second);
}

TEST_F(Canonical, WhatActsIsToldApart) {
  const Assignments pipeline = {"layout.pipeline=2", "batch.micro=2"};
  const auto differs = [&](int ranks, Assignments base, const char* key) {
    const std::string before = form(base, ranks);
    base.emplace_back(key);
    EXPECT_NE(form(base, ranks), before) << key;
  };
  for (const char* key :
       {"layout.schedule=gpipe", "layout.schedule=zero_bubble", "layout.placement=pipeline_inside",
        "layout.shard=states", "layout.recompute=selective", "layout.offload=true", "batch.micro=3",
        "layout.bucket_bytes=1000", "layout.copy_engines=all", "layout.message_multiprocessors=4",
        "optimizer.learning_rate=2e-3"})
    differs(4, pipeline, key);
  // The last block is recomputed, or waits in the host's memory, under gpipe alone.
  differs(2, {"layout.pipeline=2", "batch.micro=48", "layout.recompute=full"},
          "layout.schedule=gpipe");
  differs(2, {"layout.pipeline=2", "batch.micro=48", "layout.offload=true"},
          "layout.schedule=gpipe");
  differs(2, {"layout.tensor=2", "batch.micro=2"}, "layout.halves=on");
  differs(2, {"layout.tensor=2"}, "layout.copy_engines=off");
  differs(2, {"batch.micro=24", "precision.gradients=bfloat16"}, "layout.copy_engines=off");
  differs(8, {"layout.shard=states"}, "layout.shard_group=4");
  differs(2, {"layout.context=2"}, "layout.shard=states");
}

}  // namespace
}  // namespace ocoee::cli
