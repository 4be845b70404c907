// SPDX-License-Identifier: Apache-2.0
// The record of a run names the rank that the others wait for, though they do so inside of their
// forward and backward passes.
#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "core/trace.h"
#include "nn/sequence_exchange.h"
#include "nn/tensor_axis.h"
#include "support/mpi_world.h"
#include "train/rank_record.h"
#include "train/step_profile.h"

namespace ocoee::parallel {
namespace {

using comm::Axis;

TEST(SlowestRank, IsTheOneThatComputesAndNotOneThatWaits) {
  comm::World& world = testing_support::world();
  const int ranks = world.size();
  if (ranks < 2) return;
  for (const Axis axis : {Axis::tensor, Axis::context}) {
    comm::Shape shape;
    shape[axis] = ranks;
    comm::Mesh mesh(world, shape, {}, comm::Backend::mpi);
    nn::Bundle batch;
    batch["tokens"] = at::zeros({ranks, 1}, at::kLong);
    nn::Context context;
    context.mesh = &mesh;
    context.batch = &batch;
    for (const int slow : {0, ranks - 1}) {
      train::StepProfile profile({}, 0);
      profile.begin();
      {
        const trace::Scope scope("forward");
        if (world.rank() == slow) std::this_thread::sleep_for(std::chrono::milliseconds(500));
        if (axis == Axis::tensor)
          nn::gather_rows(at::ones({1, 4}), context).wait();
        else
          nn::share_heads({at::ones({1, 2, ranks, 4})}, mesh.axis(axis));
      }
      profile.end(0);
      nlohmann::json summary;
      profile.add_to(summary, 1);
      EXPECT_EQ(train::ranks_record(mesh, summary.at("step_phases")).at("slowest"), slow);
    }
  }
}

}  // namespace
}  // namespace ocoee::parallel
