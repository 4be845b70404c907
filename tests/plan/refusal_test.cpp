// SPDX-License-Identifier: Apache-2.0
#include "plan/refusal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "models/shapes.h"

namespace ocoee::plan {
namespace {

using testing::HasSubstr;

struct Asked {
  const char* system = "ocoee";
  const char* machine = "frontier";
  int64_t devices = 1024, batch = 10240;
  SearchRequest set{};
};

std::string refusal(const Asked& asked) {
  const models::NamedShape& s = models::named_shape("175b");
  Workload w;
  w.name = "175b";
  w.model = models::build_gpt(s.config, s.vocabulary);
  w.sequence = s.config.context;
  w.global_batch = asked.batch;
  Predictor predictor(w, system_named(asked.system), load_machine(asked.machine));
  SearchRequest request = asked.set;
  request.devices = asked.devices;
  try {
    search(predictor, request);
    return "";
  } catch (const Error& error) {
    return error.what();
  }
}

void expect_refused(const Asked& asked, const std::string& reason, const std::string& fix) {
  const std::string said = refusal(asked);
  EXPECT_THAT(said, HasSubstr(": " + reason));
  EXPECT_THAT(said, HasSubstr("\n    fix: " + fix));
}

SearchRequest set(std::optional<int64_t> SearchRequest::*axis, int64_t value) {
  SearchRequest out;
  out.*axis = value;
  return out;
}

TEST(Refusal, NamesTheAxisTheReasonAndTheNearestValue) {
  expect_refused({.set = set(&SearchRequest::tensor, 64)}, "--tensor 64: 64 tensor ranks do not",
                 "--tensor 32 is the nearest that works");
  expect_refused({.set = set(&SearchRequest::pipeline, 6)},
                 "--pipeline 6: 6 does not divide 1024 devices", "--pipeline 4 is");
  expect_refused({.set = set(&SearchRequest::pipeline, 200)},
                 "--pipeline 200: 200 parts for a model of 98 blocks", "--pipeline 64 is");
  expect_refused({.set = set(&SearchRequest::context, 5)},
                 "--context 5: 5 context ranks do not divide a sequence of 2048", "--context 4 is");
  expect_refused({.set = set(&SearchRequest::micro, 3)},
                 "--micro 3: 3 does not divide a batch of 10240", "--micro 2 is");
  expect_refused({.system = "megatron", .set = set(&SearchRequest::pipeline, 64)},
                 "--pipeline 64: 64 parts do not divide 96 layers", "--pipeline 32 is");
}

TEST(Refusal, NamesAxesThatCannotBeTogether) {
  Asked asked{.devices = 64, .set = set(&SearchRequest::tensor, 8)};
  asked.set.pipeline = 16;
  expect_refused(asked, "--pipeline 16 beside --tensor 8: 128 ranks do not divide 64 devices",
                 "--pipeline 8 is");
  asked.set.pipeline = 8, asked.set.shard = Shard::states;
  expect_refused(asked, "--shard states: no data or context ranks are left", "--shard none");
}

TEST(Refusal, NamesWhatASystemDoesNotKnow) {
  SearchRequest full;
  full.recompute = Recompute::none;
  expect_refused({.system = "megatron_deepspeed", .set = full},
                 "--recompute none: megatron_deepspeed knows full", "--recompute full");
}

TEST(Refusal, NamesDevicesThatWork) {
  expect_refused({.devices = 1009}, "data 1009 x micro 1 do not divide a batch of 10240",
                 "--devices 1008 is the nearest that works");
  expect_refused({.machine = "h200", .devices = 16},
                 "16 devices are more than the 8 of H200 node, whose profile states no network",
                 "--devices of at most 8, or a profile with a [network]");
}

// The number that is told holds the model, and half of it does not.
TEST(Refusal, WhereNothingFitsNamesTheFewestDevicesThatDo) {
  EXPECT_THAT(refusal({.devices = 16, .batch = 64}),
              HasSubstr("fix: --devices 64: there this fits"));
  EXPECT_EQ(refusal({.devices = 64, .batch = 64}), "");
  EXPECT_THAT(refusal({.devices = 32, .batch = 64}), HasSubstr("does not fit on 32 x"));
  EXPECT_THAT(refusal({.machine = "h200", .devices = 8, .batch = 64}),
              HasSubstr("fix: a machine with more memory or more devices than the 8 of H200 node"));
  const std::string set_too_far =
      refusal({.devices = 1024, .set = set(&SearchRequest::micro, 512)});
  EXPECT_THAT(set_too_far, HasSubstr("fix: set fewer axes: on as many devices this fits: "));
}

}  // namespace
}  // namespace ocoee::plan
