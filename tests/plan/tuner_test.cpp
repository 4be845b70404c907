// SPDX-License-Identifier: Apache-2.0
#include "plan/tune/tuner.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <numeric>
#include <set>

#include "models/gpt.h"
#include "plan/landscape.h"
#include "plan/predict.h"

namespace ocoee::plan {
namespace {

// Trials until one is within 2 % of the best; `most` when none is.
int64_t trials_needed(const Landscape& land, const std::string& method, uint64_t seed,
                      int64_t most) {
  TunerOptions options;
  options.method = method, options.seed = seed;
  Tuner tuner(land.space, options);
  const double goal = 1.02 * land.best();
  for (int64_t t = 0; t < most; ++t) {
    const Point point = *tuner.suggest();
    const int64_t id = tuner.start(point);
    const bool fits = land.fits(point);
    tuner.finish(id, fits ? TrialOutcome::ok : TrialOutcome::infeasible,
                 fits ? land.value(point) : 0, 1);
    if (fits && land.value(point) <= goal) return t + 1;
  }
  return most;
}

TEST(Tuner, FindsTheBestInFewerTrialsThanChance) {
  const Landscape land;
  int64_t model = 0, chance = 0, found = 0;
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    const int64_t needed = trials_needed(land, "gp", seed, 64);
    model += needed;
    found += needed < 64;
    chance += trials_needed(land, "random", seed, 640);
  }
  EXPECT_GE(found, 9);
  EXPECT_LT(model, chance / 2) << "random search needed " << chance;
}

// The planner as the truth. Few layouts are near the best one, the same choice is many times slower
// beside other ones, and the best ones lie where memory ends.
struct PlannedCase {
  const char* machine;
  int64_t layers, width, heads, batch, devices;
  const char *pipeline, *micro, *tensor;
  uint64_t seeds, first;
};

int64_t seeds_that_find_the_best(const PlannedCase& planned) {
  models::GptConfig config;
  config.layers = planned.layers, config.width = planned.width, config.heads = planned.heads;
  config.context = 2048;
  Workload w;
  w.model = models::build_gpt(config, 50688);
  w.sequence = 2048, w.global_batch = planned.batch;
  Predictor predictor(w, system_named("ocoee"), load_machine(planned.machine));
  const KnobSpace space({parse_knob(planned.tensor), parse_knob(planned.pipeline),
                         parse_knob(planned.micro),
                         parse_knob("shard=none,states,gradients,parameters"),
                         parse_knob("recompute=none,selective,full")});
  std::vector<double> seconds;  // 0: it does not fit; -1: refused
  std::vector<TrialMemory> memory;
  double best = 1e300;
  for (uint64_t n = 0; n < static_cast<uint64_t>(space.points()); ++n) {
    const Point p = space.point(n);
    const auto value = [&](size_t k) { return space.knobs()[k].values[static_cast<size_t>(p[k])]; };
    Configuration c;
    c.tensor = std::stoll(value(0)), c.pipeline = std::stoll(value(1));
    c.data = planned.devices / (c.tensor * c.pipeline);
    c.micro = std::stoll(value(2));
    while (c.data > 0 && w.global_batch / c.data % c.micro != 0) --c.micro;
    c.shard = shard_from_name(value(3)), c.recompute = recompute_from_name(value(4));
    if (planned.devices % (c.tensor * c.pipeline) != 0 || !predictor.problem(c).empty()) {
      seconds.push_back(-1);
      memory.push_back({});
      continue;
    }
    const Prediction made = predictor.predict(c);
    seconds.push_back(made.fits ? made.seconds : 0);
    memory.push_back({made.fits ? made.total_bytes / predictor.usable_bytes() : 0, !made.fits});
    if (made.fits) best = std::min(best, made.seconds);
  }
  int64_t found = 0;
  for (uint64_t seed = planned.first; seed < planned.first + planned.seeds; ++seed) {
    TunerOptions options;
    options.seed = seed, options.exact_memory = true;
    options.admissible = [&](const Point& p) { return seconds[space.number(p)] >= 0; };
    Tuner tuner(space, options);
    while (tuner.finished() < 64 && !(tuner.best() && tuner.best()->value <= 1.02 * best)) {
      const Point point = *tuner.suggest();
      const double value = seconds[space.number(point)];
      tuner.finish(tuner.start(point), value > 0 ? TrialOutcome::ok : TrialOutcome::infeasible,
                   value, 1, "", memory[space.number(point)]);
    }
    found += tuner.best() && tuner.best()->value <= 1.02 * best;
  }
  return found;
}

TEST(Tuner, FindsTheBestLayoutOf13BOnFrontierForNearlyEverySeed) {
  EXPECT_GE(seeds_that_find_the_best({"frontier", 16, 8192, 64, 1024, 128, "pipeline=1..16*2",
                                      "micro=1..16*2", "tensor=1..8*2", 20, 1}),
            18);
}

// A third of the layouts fit, and the best ones lie on that edge.
TEST(Tuner, FindsTheBestLayoutOf175BOnFrontierForNearlyEverySeed) {
  EXPECT_GE(seeds_that_find_the_best({"frontier", 96, 12288, 96, 2048, 1024, "pipeline=1..32*2",
                                      "micro=1..8*2", "tensor=1..8*2", 20, 201}),
            18);
}

TEST(Tuner, FindsTheBestLayoutOf22BOnA100ForNearlyEverySeed) {
  EXPECT_GE(
      seeds_that_find_the_best({"a100", 48, 6144, 48, 768, 96, "pipeline=1,2,3,4,6,8,12,16,24,48",
                                "micro=1..16*2", "tensor=1,2,3,4,6,8", 20, 121}),
      18);
}

TEST(Tuner, NeverTriesAPointTwiceAndStopsWhenAllWereTried) {
  const KnobSpace space({parse_knob("a=1..4"), parse_knob("b=x,y,z")});
  for (const std::string method : {"gp", "random"}) {
    TunerOptions options;
    options.method = method;
    options.admissible = [](const Point& p) { return p[0] != 2; };
    Tuner tuner(space, options);
    std::set<uint64_t> tried;
    while (const auto point = tuner.suggest()) {
      EXPECT_TRUE(tried.insert(space.number(*point)).second);
      EXPECT_NE((*point)[0], 2);
      tuner.finish(tuner.start(*point), TrialOutcome::ok, (*point)[0] + 0.1 * (*point)[1], 1);
    }
    EXPECT_EQ(tried.size(), 9u);
    EXPECT_EQ(tuner.best()->value, 0);
  }
}

// b acts where a is not 1: of 12 or, where there are too many to list, 120 million points.
TEST(Tuner, OfPointsThatActAlikeOneIsTried) {
  for (const char* others : {"c=1", "c=1..1000"}) {
    const bool few = std::string(others) == "c=1";
    std::vector<Knob> knobs{parse_knob("a=1..4"), parse_knob("b=x,y,z"), parse_knob(others)};
    for (int i = 0; i < 4 && !few; ++i) knobs.push_back(parse_knob(fmt::format("d{}=1..10", i)));
    const KnobSpace space(std::move(knobs));
    for (const std::string method : {"gp", "random"}) {
      TunerOptions options;
      options.method = method;
      // Only a and b act.
      options.canonical = [](const Point& p) {
        return fmt::format("{} {}", p[0], p[0] == 0 ? 0 : p[1]);
      };
      if (few) options.first = {{0, 1, 0}, {0, 2, 0}, {1, 1, 0}};
      std::set<std::string> tried;
      const auto search = [&](Tuner& tuner, size_t until) {
        while (tried.size() < until) {
          const auto point = tuner.suggest();
          if (!point) return;
          ASSERT_TRUE(tried.insert(options.canonical(*point)).second) << space.text(*point);
          const int64_t id = tuner.start(*point);
          // What is under way counts as what was tried.
          const auto next = tuner.suggest();
          ASSERT_TRUE(!next || !tried.contains(options.canonical(*next))) << space.text(*next);
          tuner.finish(id, TrialOutcome::ok, 1 + (*point)[0], 1);
        }
      };
      Tuner tuner(space, options);
      search(tuner, 5);
      Tuner resumed(space, options);
      for (const Trial& trial : tuner.trials()) resumed.restore(trial);
      search(resumed, 100);
      EXPECT_EQ(tried.size(), 10u) << method;
      EXPECT_EQ(resumed.finished(), 10) << method;
    }
  }
}

TEST(Tuner, PendingTrialsSendTheNextElsewhere) {
  const Landscape land;
  Tuner tuner(land.space, {});
  std::set<uint64_t> under_way;
  for (int i = 0; i < 12; ++i) {
    const Point point = *tuner.suggest();
    tuner.finish(tuner.start(point), TrialOutcome::ok, land.value(point), 1);
  }
  for (int i = 0; i < 6; ++i) {
    const Point point = *tuner.suggest();
    EXPECT_TRUE(under_way.insert(land.space.number(point)).second);
    tuner.start(point);
  }
}

TEST(Tuner, APlannersRankingComesFirstAndItsValuesLead) {
  const Landscape land;
  TunerOptions options;
  options.first = {{1, 1, 3, 1, 0}};
  // The planner is wrong by a factor that depends on one knob: a ratio the model learns at once.
  options.expect = [&](const Point& p) { return land.value(p) * (p[4] == 0 ? 0.5 : 0.6); };
  Tuner tuner(land.space, options);
  EXPECT_EQ(*tuner.suggest(), options.first[0]);
  int64_t needed = 0;
  for (; needed < 30; ++needed) {
    const Point point = *tuner.suggest();
    const bool fits = land.fits(point);
    tuner.finish(tuner.start(point), fits ? TrialOutcome::ok : TrialOutcome::infeasible,
                 land.value(point), 1);
    if (fits && land.value(point) <= 1.02 * land.best()) break;
  }
  EXPECT_LT(needed, 20);
}

TEST(Tuner, ImportanceSeesWhichKnobsMatter) {
  const KnobSpace space({parse_knob("a=1..8"), parse_knob("b=1..8"), parse_knob("c=x,y,z")});
  Tuner tuner(space, {});
  for (int i = 0; i < 40; ++i) {
    const Point p = *tuner.suggest();
    tuner.finish(tuner.start(p), TrialOutcome::ok, 10 + 5 * p[0] + (p[2] == 1 ? 8 : 0), 1);
  }
  const std::vector<double> shares = knob_importance(tuner, 1);
  ASSERT_EQ(shares.size(), 3u);
  EXPECT_NEAR(std::accumulate(shares.begin(), shares.end(), 0.0), 1, 1e-12);
  EXPECT_GT(shares[0], shares[2]);
  EXPECT_GT(shares[2], 5 * shares[1]);
}

}  // namespace
}  // namespace ocoee::plan
