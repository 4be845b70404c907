// SPDX-License-Identifier: Apache-2.0
// A pipeline's timeline on GPUs tells what the compute stream waited for messages within an action
// from what it computed, and asks the host to wait for neither.
#include <gtest/gtest.h>

#include <algorithm>

#include "parallel/mpi/layout_case.h"
#include "parallel/step_graph.h"
#include "train/rank_record.h"

namespace ocoee::parallel {
namespace {

using comm::Axis;

device::Device own_gpu() {
  return {device::Kind::cuda,
          testing_support::world().rank() % std::max(1, device::cuda_device_count())};
}

// One rank computes for a while, then all sum: what the others wait for is not what they compute.
TEST(GpuWaits, IsWhatAStreamWaitsForASlowerRank) {
  comm::World& world = testing_support::world();
  if (device::cuda_device_count() == 0) GTEST_SKIP() << device::cuda_unavailable_reason();
  if (world.size() < 2) GTEST_SKIP() << "needs two ranks";
  comm::Shape shape;
  shape[Axis::tensor] = world.size();
  comm::Mesh mesh(world, shape, own_gpu());
  const StreamScope own_stream(mesh.device());
  const device::Stream stream = current_stream(mesh.device());
  const at::Tensor factor =
      at::randn({4096, 4096}, at::TensorOptions().device(torch_device(mesh.device())));
  at::Tensor product = at::empty_like(factor), sum = at::zeros({1 << 16}, factor.options());
  const auto all_sum = [&] {
    mesh.axis(Axis::tensor).all_reduce(buffer_of(sum), comm::Reduce::sum, stream);
  };
  const auto compute = [&](int products) {
    const at::NoGradGuard no_grad;
    for (int i = 0; i < products; ++i) at::mm_out(product, factor, factor);
  };
  compute(1), all_sum();  // libraries and connections are ready
  for (const int slow : {0, world.size() - 1}) {
    wait_for_device(mesh.device());
    world.host()->barrier();
    ActionLog log(mesh.device());
    log.start(stream);
    log.begin({plan::Action::forward, 0, 0, 0});
    compute(world.rank() == slow ? 100 : 1);
    const int64_t waits = host_waits();
    all_sum();
    if (mesh.capturable()) {
      EXPECT_EQ(host_waits(), waits);
    }
    log.end();
    const std::vector<Executed> seen = log.read();
    ASSERT_EQ(seen.size(), 1u);
    const double took = seen[0].end - seen[0].begin, computed = took - seen[0].waited;
    const double longest = mesh.world().all_reduce_value(computed, comm::Reduce::max);
    EXPECT_GE(computed, 0);
    if (world.rank() == slow) {
      EXPECT_EQ(computed, longest);
    } else {
      EXPECT_LT(computed, longest / 2);
    }
    EXPECT_GT(took, longest / 2) << "nobody leaves before the slow rank has come";
  }
}

TEST(GpuWaits, MessagesInsideOfAnActionAreNotComputed) {
  comm::World& world = testing_support::world();
  if (device::cuda_device_count() == 0) GTEST_SKIP() << device::cuda_unavailable_reason();
  if (world.size() < 4) GTEST_SKIP() << "needs four ranks: two stages of two";
  for (const Axis axis : {Axis::tensor, Axis::context, Axis::data}) {
    LayoutCase c;
    c.pipeline = 2, c.losses_only = true, c.type = at::kFloat, c.shard = Shard::gradients;
    const int beside = world.size() / 2;
    (axis == Axis::tensor ? c.tensor : axis == Axis::context ? c.context : c.data) = beside;
    if (axis == Axis::tensor) c.shard = Shard::none;
    SCOPED_TRACE(c.text());
    comm::Mesh mesh(world, c.shape(), own_gpu());
    train_case(c, mesh, &mesh.world(), 2, [&](Engine& engine, train::Update&) {
      double waited = 0;
      for (const Executed& one : engine.executed()) {
        EXPECT_GE(one.waited, 0);
        EXPECT_LE(one.waited, one.end - one.begin + 1e-5);  // events tell half microseconds
        if (one.step.action == plan::Action::forward || one.step.action == plan::Action::backward)
          waited += one.waited;
      }
      EXPECT_GT(waited, 0);
      const nlohmann::json record = train::pipeline_record(engine);
      if (world.rank() > 0) return;
      EXPECT_EQ(record.at("pipelines"), beside);
      EXPECT_TRUE(record.at("on_device").get<bool>());
    });
  }
}

}  // namespace
}  // namespace ocoee::parallel
