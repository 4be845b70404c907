// SPDX-License-Identifier: Apache-2.0
// Link cells as what moves the replicas of a ladder: all that a rank holds at once, on threads or a
// GPU. Arrangements go to the device and come back at every call, so a call should be worth it.
#pragma once

#include <memory>
#include <vector>

#include "science/alloy/link_cell.h"
#include "science/alloy/tempering.h"

namespace ocoee::alloy {

class LinkCellMoves final : public ReplicaMover {
 public:
  // `setup`: of this rank's replicas; first_replica is the number of the first among all, so that a
  // replica's moves do not depend on the rank that holds it. Its temperatures are given anew at
  // every call.
  LinkCellMoves(LinkCellSetup setup, device::Device device);
  Tally move(std::vector<Configuration>& held, const std::vector<double>& betas, int64_t trials,
             int64_t step) override;

 private:
  LinkCellSampler sampler_;
};

}  // namespace ocoee::alloy
