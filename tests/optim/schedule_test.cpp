// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cmath>

#include "optim/optimizer_config.h"
#include "optim/registry.h"

namespace ocoee::optim {
namespace {

OptimizerConfig schedule(const std::string& name, int64_t warmup = 0) {
  OptimizerConfig c;
  c.schedule = name, c.warmup_steps = warmup, c.learning_rate = 2, c.final_ratio = 0.1;
  return c;
}

TEST(Schedule, WarmUpRisesToThePeak) {
  for (const char* name : {"constant", "linear", "cosine", "wsd"}) {
    const OptimizerConfig c = schedule(name, 4);
    EXPECT_DOUBLE_EQ(0.5, learning_rate_at(c, 0, 100)) << name;
    EXPECT_DOUBLE_EQ(1.0, learning_rate_at(c, 1, 100)) << name;
    EXPECT_DOUBLE_EQ(2.0, learning_rate_at(c, 3, 100)) << name;
    EXPECT_DOUBLE_EQ(2.0, learning_rate_at(c, 4, 100)) << name;
  }
}

TEST(Schedule, EndsAtTheFinalRatio) {
  EXPECT_DOUBLE_EQ(2, learning_rate_at(schedule("constant"), 100, 100));
  for (const char* name : {"linear", "cosine", "wsd"})
    EXPECT_NEAR(0.2, learning_rate_at(schedule(name), 100, 100), 1e-15) << name;
  for (const char* name : {"linear", "cosine", "wsd"})
    EXPECT_NEAR(0.2, learning_rate_at(schedule(name), 500, 100), 1e-15) << "beyond the end";
}

TEST(Schedule, Shapes) {
  EXPECT_DOUBLE_EQ(0.2 + 1.8 * 0.5, learning_rate_at(schedule("linear"), 50, 100));
  EXPECT_DOUBLE_EQ(0.2 + 1.8 * 0.5, learning_rate_at(schedule("cosine"), 50, 100));
  EXPECT_NEAR(0.2 + 1.8 * 0.5 * (1 + std::cos(M_PI * 0.25)),
              learning_rate_at(schedule("cosine"), 25, 100), 1e-15);
  OptimizerConfig wsd = schedule("wsd", 10);
  wsd.decay_steps = 40;
  EXPECT_DOUBLE_EQ(2, learning_rate_at(wsd, 59, 100));
  EXPECT_DOUBLE_EQ(2, learning_rate_at(wsd, 60, 100));
  EXPECT_DOUBLE_EQ(0.2 + 1.8 * 0.5, learning_rate_at(wsd, 80, 100));
  wsd.decay_steps = 0;  // a fifth
  EXPECT_DOUBLE_EQ(2, learning_rate_at(wsd, 80, 100));
  EXPECT_DOUBLE_EQ(0.2 + 1.8 * 0.5, learning_rate_at(wsd, 90, 100));
}

TEST(Schedule, FallsAllTheWay) {
  for (const char* name : {"linear", "cosine", "wsd"}) {
    const OptimizerConfig c = schedule(name, 7);
    for (int64_t step = 7; step < 100; ++step)
      EXPECT_LE(learning_rate_at(c, step + 1, 100), learning_rate_at(c, step, 100)) << name << step;
  }
}

TEST(OptimizerConfig, TellsContradictionsWithTheirKeys) {
  OptimizerConfig c = schedule("wsd", 60);
  c.decay_steps = 50;
  config::Problems problems;
  c.check(problems, 100, "optimizer.critic");
  ASSERT_EQ(1u, problems.all().size());
  EXPECT_EQ("optimizer.critic.decay_steps", problems.all()[0].key);
  c.warmup_steps = 100;
  config::Problems more;
  c.check(more, 100);
  EXPECT_EQ(2u, more.all().size());
  EXPECT_EQ("optimizer.warmup_steps", more.all()[0].key);
}

TEST(OptimizerConfig, ReadsItsSection) {
  OptimizerConfig c;
  config::Description d;
  c.describe(d);
  config::Problems problems;
  config::Document::from_text(
      "version = 1\nname = \"sgd\"\nlearning_rate = 0.5\nmomentum = 0.8\nschedule = \"wsd\"\n",
      "t.toml")
      .read(d, problems);
  EXPECT_TRUE(problems.empty()) << problems.text();
  EXPECT_EQ("sgd", c.name);
  EXPECT_EQ(0.8, c.momentum);
  config::Problems bad;
  config::Document::from_text(
      "version = 1\nname = \"adamx\"\nlearning_rate = -1.0\nbeta1 = 1.5\nclip = -2.0\nfinal_ratio "
      "= 2.0\n",
      "t.toml")
      .read(d, bad);
  EXPECT_EQ(5u, bad.all().size()) << bad.text();
  EXPECT_NE(std::string::npos, bad.text().find("adamw")) << "the nearest valid name";
}

TEST(Registry, NamesAndStatesAgree) {
  ASSERT_EQ(optimizer_names().size(), optimizer_kinds().size());
  for (const OptimizerKind& kind : optimizer_kinds()) {
    OptimizerSetup setup;
    setup.config.name = kind.name;
    EXPECT_EQ(static_cast<size_t>(kind.states), make_optimizer(setup)->state_names().size())
        << kind.name;
    EXPECT_EQ(kind.states, setup.config.states_per_parameter());
    EXPECT_FALSE(kind.doc.empty());
  }
}

}  // namespace
}  // namespace ocoee::optim
