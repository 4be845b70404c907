// SPDX-License-Identifier: Apache-2.0
// Link cells as what moves the replicas of a ladder: all that a rank holds at once, on threads or a
// GPU, alone or with other ranks that hold the same. Arrangements go to the device and come back at
// every call, so a call should be worth it.
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
  // every call. `ranks`: those that share each of these replicas, and carry buffers of `device`;
  // all of them make the same calls. Null: this rank alone.
  LinkCellMoves(LinkCellSetup setup, device::Device device,
                std::shared_ptr<comm::Communicator> ranks = nullptr);
  Tally move(std::vector<Configuration>& held, const std::vector<double>& betas, int64_t trials,
             int64_t step) override;

 private:
  LinkCellSampler sampler_;
};

}  // namespace ocoee::alloy
