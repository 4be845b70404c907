// SPDX-License-Identifier: Apache-2.0
// Every layout of a workload on a number of devices, costed in closed form. Two kinds are left out
// unless asked for: tensor groups across nodes, and context ranks that keep fewer than
// System::least_context tokens. Of groups that share states, all replicas are tried and, for
// parameters, those of one node. Those that fit are then played over their schedules in order of
// what they take at least, until nothing unplayed can be among the first.
//
// Proposals differ in tensor, context, pipeline, data or micro-batch; of layouts that differ only
// in schedule, chunks, shard, recompute or placement, the quickest stands for all.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "plan/predict.h"

namespace ocoee::plan {

struct SearchRequest {
  int64_t devices = 1;
  size_t top = 10;
  // Each layer waits several times for its tensor group. Across nodes each wait is for the slowest
  // of many ports, which the bandwidths of a profile do not know: only on request.
  bool tensor_across_nodes = false;
  // Axes that are not searched.
  std::optional<int64_t> tensor, context, pipeline, micro;
  std::optional<Shard> shard;
  std::optional<Recompute> recompute;
};

struct Proposal {
  Configuration configuration;
  Prediction prediction;
};

struct SearchResult {
  std::vector<Proposal> proposals;  // quickest first
  std::vector<Proposal> front;      // no other takes less time and less memory; by closed form
  Proposal leanest;                 // of all costed, fitting or not: what memory there must be
  int64_t costed = 0, fitting = 0, simulated = 0;
  double seconds = 0;  // that the search took
};

// What a search leaves out by rule, a phrase each: "tensor groups across nodes", ...; of axes that
// are set, nothing is.
std::vector<std::string> left_out(const Predictor& predictor, const SearchRequest& request);

// Calls `visit`, which says whether it fits, with each configuration that could be. Of each set of
// axes micro-batches come in rising order, and end with the first of which nothing fits: a larger
// one holds more.
void each_configuration(Predictor& predictor, const SearchRequest& request,
                        const std::function<bool(const Configuration&)>& visit);

// `front`, and those of fewer devices, halved up to `halvings` times; without the layouts that
// fewer devices beat in time and memory. Where nothing fits, nothing is added.
std::vector<Proposal> front_with_fewer(Predictor& predictor, const SearchRequest& request,
                                       int halvings, std::vector<Proposal> front);

// Throws Error(config) when nothing can be, and Error(memory) when nothing fits (plan/refusal.h).
SearchResult search(Predictor& predictor, const SearchRequest& request);

}  // namespace ocoee::plan
