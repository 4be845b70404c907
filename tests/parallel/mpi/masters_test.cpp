// SPDX-License-Identifier: Apache-2.0
// Masters kept as what lies below their bfloat16 values: in every layout those of whole masters,
// but for the values of ties.
#include <gtest/gtest.h>

#include "parallel/mpi/layout_case.h"

namespace ocoee::parallel {
namespace {

constexpr int64_t kSteps = 4;

LayoutCase small() {
  LayoutCase c;
  c.layers = 2, c.width = 48, c.heads = 4;  // units are padded, the more the more ranks share them
  c.type = at::kBFloat16;
  return c;
}

std::vector<LayoutCase> cases(int ranks) {
  std::vector<LayoutCase> out;
  const auto add = [&](LayoutCase c) {
    c.micro = c.samples / c.data;
    if (c.ranks() == ranks && (c.data * c.context > 1 || c.shard == Shard::none)) out.push_back(c);
  };
  for (const Shard shard : {Shard::none, Shard::states, Shard::gradients, Shard::parameters}) {
    LayoutCase c = small();
    c.shard = shard;
    for (int LayoutCase::*axis :
         {&LayoutCase::data, &LayoutCase::tensor, &LayoutCase::context, &LayoutCase::pipeline}) {
      LayoutCase laid = c;
      laid.data = axis == &LayoutCase::data ? ranks : ranks > 2 ? 2 : 1;
      if (axis != &LayoutCase::data) laid.*axis = ranks / laid.data;
      add(laid);
      if (axis != &LayoutCase::data || ranks < 4 || shard == Shard::none) continue;
      laid.shard_group = 2;
      add(laid);
    }
  }
  return out;
}

// whole_arrays() looks whether ranks agree: tensor ranks on what they do not split, replicas on
// all.
TEST(Masters, SplitAreWholeOnesInEveryLayout) {
  comm::World& world = testing_support::world();
  double furthest = 0;
  for (LayoutCase c : cases(world.size())) {
    SCOPED_TRACE(c.text());
    comm::Mesh mesh(world, c.shape(), {}, comm::Backend::mpi);
    comm::Communicator* all = world.size() > 1 ? &mesh.world() : nullptr;
    const Outcome whole = train_case(c, mesh, all, kSteps);
    c.split_masters = true;
    const Outcome parts = train_case(c, mesh, all, kSteps, [](Engine& engine, train::Update&) {
      EXPECT_EQ(engine.weights().master().scalar_type(), at::kShort);
    });
    for (size_t s = 0; s < kSteps; ++s)
      EXPECT_NEAR(parts.losses[s], whole.losses[s], 1e-4 * whole.losses[s]);
    if (world.rank() > 0) continue;
    for (const auto& [name, parameter] : whole.parameters)
      furthest = std::max(furthest, apart(parts.parameters.at(name), parameter));
  }
  // Rounding masters to bfloat16 would take them 4e-5 apart.
  EXPECT_LT(furthest, 1e-5);
}

}  // namespace
}  // namespace ocoee::parallel
