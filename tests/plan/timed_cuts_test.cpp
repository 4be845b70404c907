// SPDX-License-Identifier: Apache-2.0
#include "plan/timed_cuts.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "models/gpt.h"
#include "plan/block_cost.h"
#include "plan/placement.h"
#include "plan/search.h"

namespace ocoee::plan {
namespace {

Planned gpt_350m(int64_t pipeline, int64_t micro) {
  models::GptConfig config;
  config.layers = 24, config.width = 1024, config.heads = 16, config.context = 1024;
  Planned planned;
  planned.workload.model = models::build_gpt(config, 50304);
  planned.workload.sequence = 1024;
  planned.workload.global_batch = 32;
  Configuration c;
  c.pipeline = pipeline, c.micro = micro;
  planned.layout = c;
  return planned;
}

// The longest part, by the profile's times, over an even share.
double imbalance(const Planned& planned, const std::vector<size_t>& cuts) {
  const Machine machine = load_machine("h200");
  BlockCosts costs(planned.workload, system_named("ocoee"), machine);
  const auto& by_class = costs.at({1, 1, planned.layout->micro});
  double longest = 0, all = 0;
  for (size_t part = 0; part + 1 < cuts.size(); ++part) {
    double sum = 0;
    for (size_t b = cuts[part]; b < cuts[part + 1]; ++b) {
      const BlockCost& block = by_class[costs.class_of_block()[b]];
      sum += block.forward.total() + block.input.total() + block.weight.total();
    }
    longest = std::max(longest, sum);
    all += sum;
  }
  return longest * static_cast<double>(cuts.size() - 1) / all;
}

// A head of half the layers' FLOPs a token is one large product, which a GPU does faster than the
// many small passes of layers: the first stage has fewer layers than FLOPs say.
TEST(TimedCuts, BalanceTimeWhereFlopsDoNot) {
  for (const int64_t micro : {1, 2}) {
    const Planned planned = gpt_350m(2, micro);
    const std::vector<int64_t> timed = timed_cuts(planned, "h200");
    ASSERT_EQ(timed.size(), 1u);
    const auto by_time = pipeline_cuts(planned.workload.model, 2, timed),
               by_flops = pipeline_cuts(planned.workload.model, 2);
    EXPECT_LT(timed[0], static_cast<int64_t>(by_flops[1]));
    EXPECT_LT(imbalance(planned, by_time), imbalance(planned, by_flops));
    EXPECT_LT(imbalance(planned, by_time), 1.04) << "half a layer";
  }
}

// What a plan proposes is cut where a run of it will be cut.
TEST(TimedCuts, AreThoseOfPlans) {
  Planned planned = gpt_350m(1, 1);
  planned.workload.pipeline = planned.workload.tensor = true;
  Predictor predictor(planned.workload, system_named("ocoee"), load_machine("h200"));
  int64_t pipelines = 0;
  SearchRequest request;
  request.devices = 8, request.shard = Shard::none;
  each_configuration(predictor, request, [&](const Configuration& c) {
    if (c.pipeline == 1 || ++pipelines % 16 != 0) return true;
    planned.layout = c;
    EXPECT_EQ(predictor.cuts(c), timed_cuts(planned, "h200")) << words(c);
    return true;
  });
  EXPECT_GT(pipelines, 160);
  planned.layout = gpt_350m(2, 2).layout;
  const std::vector<int64_t> cuts = predictor.cuts(*planned.layout);
  Workload cut = planned.workload;
  cut.cuts = cuts;  // as a run's plan is made, once its cuts are known
  Predictor of_run(cut, system_named("ocoee"), load_machine("h200"));
  EXPECT_EQ(of_run.predict(*planned.layout).seconds, predictor.predict(*planned.layout).seconds);
  cut.cuts = {static_cast<int64_t>(pipeline_cuts(cut.model, 2)[1])};  // by FLOPs
  Predictor by_flops(cut, system_named("ocoee"), load_machine("h200"));
  EXPECT_GT(by_flops.predict(*planned.layout).seconds, predictor.predict(*planned.layout).seconds);
}

TEST(TimedCuts, AreTheRecipesOrNoneWhereNothingIsKnown) {
  Planned planned = gpt_350m(2, 2);
  EXPECT_TRUE(timed_cuts(planned, "").empty());
  EXPECT_TRUE(timed_cuts(gpt_350m(1, 2), "h200").empty());
  planned.workload.cuts = {7};
  EXPECT_EQ(timed_cuts(planned, "h200"), std::vector<int64_t>{7});
  planned.layout.reset();
  EXPECT_EQ(timed_cuts(planned, "h200"), std::vector<int64_t>{7});
}

}  // namespace
}  // namespace ocoee::plan
