// SPDX-License-Identifier: Apache-2.0
#include "science/alloy/link_cell_moves.h"

#include <cmath>

#include "comm/backend.h"
#include "core/error.h"

namespace ocoee::alloy {

LinkCellMoves::LinkCellMoves(LinkCellSetup setup, device::Device device,
                             std::shared_ptr<comm::Communicator> ranks)
    : sampler_(std::move(setup),
               ranks ? std::move(ranks) : comm::make_self_communicator("link cells", 0), device) {}

Tally LinkCellMoves::move(std::vector<Configuration>& held, const std::vector<double>& betas,
                          int64_t trials, int64_t step) {
  OCOEE_CHECK(static_cast<int64_t>(held.size()) == sampler_.replicas(), "{} replicas for {}",
              held.size(), sampler_.replicas());
  std::vector<double> temperatures;
  std::vector<LinkCellSampler::Tally> before;
  for (size_t r = 0; r < held.size(); ++r) {
    temperatures.push_back(1 / betas[r]);
    before.push_back(sampler_.tally(static_cast<int64_t>(r)));
    sampler_.assign(static_cast<int64_t>(r), held[r].species());
  }
  sampler_.set_temperatures(temperatures);
  const int64_t a_step = sampler_.trials_a_step(), steps = (trials + a_step - 1) / a_step;
  sampler_.set_step(step * steps);
  sampler_.advance(steps);
  Tally sum;
  for (size_t r = 0; r < held.size(); ++r) {
    held[r].assign(sampler_.species(static_cast<int64_t>(r)));
    const LinkCellSampler::Tally after = sampler_.tally(static_cast<int64_t>(r));
    sum.trials += after.trials - before[r].trials;
    sum.accepted += after.accepted - before[r].accepted;
  }
  return sum;
}

}  // namespace ocoee::alloy
