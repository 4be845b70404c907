// SPDX-License-Identifier: Apache-2.0
#include "comm/mesh.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "core/host.h"
#include "support/mpi_world.h"

namespace ocoee::comm {
namespace {

std::vector<Shape> shapes_of(int ranks) {  // every factorisation over the six axes
  std::vector<Shape> out{Shape{}};
  for (int a = 0; a < kAxes; ++a) {
    std::vector<Shape> longer;
    for (const Shape& shape : out) {
      for (int extent = 1; extent * shape.ranks() <= ranks; ++extent) {
        if (ranks % (extent * shape.ranks()) != 0) continue;
        Shape next = shape;
        next[static_cast<Axis>(a)] = extent;
        longer.push_back(next);
      }
    }
    out = longer;
  }
  std::erase_if(out, [&](const Shape& s) { return s.ranks() != ranks; });
  return out;
}

TEST(Mesh, EveryFactorisationReducesOverTheRightRanks) {
  World& world = testing_support::world();
  for (const Shape& shape : shapes_of(world.size())) {
    Mesh mesh(world, shape, {});
    for (int a = 0; a < kAxes; ++a) {
      const auto axis = static_cast<Axis>(a);
      Communicator& group = mesh.axis(axis);
      ASSERT_EQ(group.size(), shape[axis]);
      ASSERT_EQ(group.rank(), mesh.coordinate(axis));
      ASSERT_EQ(group.name(), name_of(axis));
      double expected = 0;
      for (const int r : group_of(shape, world.rank(), {axis})) expected += r;
      ASSERT_EQ(group.all_reduce_value(world.rank(), Reduce::sum), expected);
      ASSERT_EQ(group.world_ranks()[static_cast<size_t>(group.rank())], world.rank());
    }
    ASSERT_EQ(mesh.model().size() * shape[Axis::data] * shape[Axis::instance], world.size());
    ASSERT_EQ(mesh.loss().size(), shape[Axis::data] * shape[Axis::context] * shape[Axis::spatial]);
    ASSERT_EQ(mesh.replicas().size(), mesh.loss().size());
    double replicas = mesh.model().all_reduce_value(1, Reduce::sum),
           losses = mesh.loss().all_reduce_value(1, Reduce::sum);
    ASSERT_EQ(replicas, mesh.model().size());
    ASSERT_EQ(losses, mesh.loss().size());
    ASSERT_EQ(mesh.world().size(), world.size());
  }
}

TEST(Mesh, TwoAtATimeInOneProcessDoNotMix) {
  World& world = testing_support::world();
  Shape by_data, by_tensor;
  by_data[Axis::data] = world.size();
  by_tensor[Axis::tensor] = world.size();
  Mesh first(world, by_data, {}), second(world, by_tensor, {}), third(world, by_data, {});
  std::vector<float> a(100, 1), b(100, 2), c(100, 3);
  const auto buffer = [](std::vector<float>& v) { return Buffer{v.data(), 100, DType::f32, {}}; };
  WorkHandle on_first = first.axis(Axis::data).all_reduce_async(buffer(a), Reduce::sum);
  WorkHandle on_second = second.axis(Axis::tensor).all_reduce_async(buffer(b), Reduce::sum);
  third.axis(Axis::data).all_reduce(buffer(c), Reduce::sum);
  on_second->wait({});
  on_first->wait({});
  const auto n = static_cast<float>(world.size());
  EXPECT_EQ(a[99], n);
  EXPECT_EQ(b[99], 2 * n);
  EXPECT_EQ(c[99], 3 * n);
}

TEST(Mesh, AHundredInOneProcess) {
  World& world = testing_support::world();
  const std::vector<Shape> shapes = shapes_of(world.size());
  for (int i = 0; i < 100; ++i) {
    Mesh mesh(world, shapes[static_cast<size_t>(i) % shapes.size()], {});
    ASSERT_EQ(mesh.model().all_reduce_value(1, Reduce::sum), mesh.model().size());
  }
}

TEST(Mesh, HostStagedOverTheCpuIsTheSame) {
  World& world = testing_support::world();
  Shape shape;
  shape[Axis::data] = world.size();
  Mesh mesh(world, shape, {}, Backend::host_staged);
  EXPECT_EQ(mesh.axis(Axis::data).all_reduce_value(2, Reduce::sum), 2 * world.size());
  EXPECT_EQ(mesh.capturable(), world.size() == 1);  // nothing is staged by a group of one
}

TEST(Mesh, AReplayIsCountedLikeItsCapture) {
  World& world = testing_support::world();
  Shape shape;
  shape[Axis::data] = world.size();
  Mesh mesh(world, shape, {});
  for (Communicator* one : mesh.communicators()) {
    const Counters before = one->counters();
    one->all_reduce_value(1, Reduce::sum);
    const Counters captured = one->counters().since(before);
    one->count_replay(captured);
    const auto kind = static_cast<size_t>(Kind::all_reduce);
    EXPECT_EQ(one->counters().calls[kind] - before.calls[kind], 2);
    EXPECT_EQ(one->counters().bytes[kind] - before.bytes[kind], 2 * captured.bytes[kind]);
  }
}

TEST(World, KnowsItsHosts) {
  World& world = testing_support::world();
  EXPECT_EQ(static_cast<int>(world.hosts().size()), world.size());
  EXPECT_LT(world.local_rank(), world.local_size());
  EXPECT_EQ(world.local_size(), world.size());  // tests run on one machine
  EXPECT_EQ(world.local_rank(), world.rank());
  // mpirun.sh binds no rank, so all share what the machine lets them use.
  const int usable = static_cast<int>(usable_cores().size());
  EXPECT_EQ(world.cores(), std::max(1, usable / world.size()));
}

}  // namespace
}  // namespace ocoee::comm
