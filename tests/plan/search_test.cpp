// SPDX-License-Identifier: Apache-2.0
#include "plan/search.h"

#include <gtest/gtest.h>

#include <set>

#include "core/error.h"
#include "models/shapes.h"

namespace ocoee::plan {
namespace {

Workload shape(const char* name, int64_t batch) {
  const models::NamedShape& s = models::named_shape(name);
  Workload w;
  w.name = name;
  w.model = models::build_gpt(s.config, s.vocabulary);
  w.sequence = s.config.context;
  w.global_batch = batch;
  return w;
}

// Dash et al. (2312.12705) chose these by hand and by hundreds of trial runs.
SearchResult expect_proposed(const char* name, int64_t devices, int64_t batch, int64_t tensor,
                             int64_t pipeline, bool across_nodes) {
  Predictor predictor(shape(name, batch), system_named("ocoee"), load_machine("frontier"));
  SearchRequest request;
  request.devices = devices;
  request.tensor_across_nodes = across_nodes;
  SearchResult result = search(predictor, request);
  EXPECT_EQ(result.proposals.size(), 10u);
  bool found = false;
  double before = 0;
  for (const Proposal& proposal : result.proposals) {
    const Configuration& c = proposal.configuration;
    EXPECT_TRUE(proposal.prediction.fits);
    EXPECT_GE(proposal.prediction.seconds, before);
    before = proposal.prediction.seconds;
    found |=
        c.tensor == tensor && c.pipeline == pipeline && c.micro == 1 && c.shard == Shard::states;
  }
  EXPECT_TRUE(found) << name;
  EXPECT_GT(result.costed, 10000);
  return result;
}

TEST(Search, ProposesTheLayoutsThatFrontierFound) {
  // By their times alone, none of the first ten for 175B has tensor groups across nodes.
  for (const Proposal& proposal : expect_proposed("175b", 1024, 10240, 4, 16, true).proposals)
    EXPECT_LE(proposal.configuration.tensor, 8) << words(proposal.configuration);
  for (const Proposal& proposal : expect_proposed("1t", 3072, 9600, 8, 64, false).proposals)
    EXPECT_LE(proposal.configuration.tensor, 8) << words(proposal.configuration);
}

TEST(Search, SaysWhatItLeavesOut) {
  Workload long_samples = shape("22b", 640);
  long_samples.sequence = 16384;
  Predictor predictor(long_samples, system_named("ocoee"), load_machine("frontier"));
  SearchRequest request;
  request.devices = 64;
  const auto seen = [&](const SearchRequest& of) {
    int64_t tensor = 0, tokens = long_samples.sequence;
    each_configuration(predictor, of, [&](const Configuration& c) {
      tensor = std::max(tensor, c.tensor);
      tokens = std::min(tokens, long_samples.sequence / c.context);
      return false;
    });
    return std::pair(tensor, tokens);
  };
  EXPECT_EQ(left_out(predictor, request).size(), 2u);
  EXPECT_EQ(seen(request), std::pair(int64_t{8}, int64_t{4096}));
  request.tensor_across_nodes = true;
  EXPECT_EQ(left_out(predictor, request).size(), 1u);
  EXPECT_EQ(seen(request).first, 16);  // 48 heads
  request.context = 16;
  EXPECT_TRUE(left_out(predictor, request).empty());
  EXPECT_EQ(seen(request).second, 1024);
}

// The bound lets the search play few schedules; playing all of them finds nothing better.
TEST(Search, NothingIsMissedByPlayingOnlySurvivors) {
  Predictor predictor(shape("gpt2-350m", 32), system_named("ocoee"), load_machine("h200"));
  SearchRequest request;
  request.devices = 8;
  request.top = 5;
  const SearchResult result = search(predictor, request);
  double best = 1e300;
  each_configuration(predictor, request, [&](const Configuration& c) {
    const Prediction p = predictor.simulate(c);
    if (p.fits) best = std::min(best, p.seconds);
    return p.fits;
  });
  EXPECT_NEAR(result.proposals.front().prediction.seconds / best, 1, 1e-9);
  EXPECT_LT(result.simulated, result.fitting);
}

// A search ends a series of micro-batches early, and finds all that fits.
TEST(Search, NoMicroBatchThatFitsIsLeftOut) {
  struct Case {
    const char *model, *machine;
    int64_t devices, batch;
  };
  bool early = false;
  for (const Case& one : {Case{"gpt2-124m", "h200", 1, 1024}, Case{"gpt2-350m", "h200", 8, 1536},
                          Case{"22b", "frontier", 32, 480}}) {
    Predictor predictor(shape(one.model, one.batch), system_named("ocoee"),
                        load_machine(one.machine));
    SearchRequest request;
    request.devices = one.devices;
    int64_t all = 0, fitting = 0, largest = 0;
    each_configuration(predictor, request, [&](const Configuration& c) {
      ++all;
      if (!predictor.predict(c).fits) return true;
      ++fitting, largest = std::max(largest, c.micro);
      return true;
    });
    const SearchResult result = search(predictor, request);
    EXPECT_EQ(result.fitting, fitting) << one.model;
    early |= result.costed < all;
    EXPECT_TRUE(one.devices > 1 || largest > 64) << largest;
  }
  EXPECT_TRUE(early);
}

TEST(Search, AMicroBatchThatWasSetIsTriedWhateverItsSize) {
  Predictor predictor(shape("gpt2-124m", 1024), system_named("ocoee"), load_machine("h200"));
  SearchRequest request;
  request.micro = 128;
  for (const Proposal& proposal : search(predictor, request).proposals)
    EXPECT_EQ(proposal.configuration.micro, 128);
}

TEST(Search, TheFrontHoldsNoLayoutThatAnotherBeats) {
  Predictor predictor(shape("llama3-8b", 128), system_named("ocoee"), load_machine("h200"));
  SearchRequest request;
  request.devices = 8;
  const SearchResult result = search(predictor, request);
  ASSERT_GT(result.front.size(), 2u);
  for (size_t i = 1; i < result.front.size(); ++i) {
    EXPECT_GE(result.front[i].prediction.seconds, result.front[i - 1].prediction.seconds);
    EXPECT_LT(result.front[i].prediction.total_bytes, result.front[i - 1].prediction.total_bytes);
  }
}

TEST(Search, FewerDevicesAreTheFrontsThirdSide) {
  Predictor predictor(shape("llama3-8b", 128), system_named("ocoee"), load_machine("h200"));
  SearchRequest request;
  request.devices = 8;
  const std::vector<Proposal> front =
      front_with_fewer(predictor, request, 3, search(predictor, request).front);
  std::set<int64_t> devices;
  for (const Proposal& a : front) {
    devices.insert(a.configuration.devices());
    for (const Proposal& b : front) {
      const bool fewer = b.configuration.devices() < a.configuration.devices();
      EXPECT_FALSE(fewer && b.prediction.seconds <= a.prediction.seconds &&
                   b.prediction.total_bytes <= a.prediction.total_bytes)
          << words(a.configuration) << " and " << words(b.configuration);
    }
  }
  EXPECT_EQ(*devices.rbegin(), 8);
  EXPECT_GE(devices.size(), 3u);
}

void expect_failure(Predictor& predictor, const SearchRequest& request, ErrorKind kind,
                    const std::string& part) {
  try {
    search(predictor, request);
    FAIL() << "nothing thrown for " << part;
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), kind);
    EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
  }
}

TEST(Search, WhatCannotBeSaysWhy) {
  Predictor predictor(shape("175b", 64), system_named("ocoee"), load_machine("h200"));
  SearchRequest request;
  request.devices = 8;
  expect_failure(predictor, request, ErrorKind::memory, "does not fit on 8 x H200");
  request.devices = 16;
  expect_failure(predictor, request, ErrorKind::config, "whose profile states no network");
  Predictor cluster(shape("175b", 64), system_named("ocoee"), load_machine("dgx-h100"));
  request.devices = 101;  // a prime above the number of blocks
  expect_failure(cluster, request, ErrorKind::config, "do not divide a batch of 64");
}

}  // namespace
}  // namespace ocoee::plan
