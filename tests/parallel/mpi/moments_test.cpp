// SPDX-License-Identifier: Apache-2.0
// Optimizer states in bfloat16, rounded at random: the bits that an element draws are those of one
// rank in every split of the data, and equal on all ranks that hold it.
#include <gtest/gtest.h>

#include "parallel/mpi/layout_case.h"

namespace ocoee::parallel {
namespace {

constexpr int64_t kSteps = 4;
const char* const kStates[] = {"first_moment", "second_moment"};

struct Trained {
  Outcome outcome;
  Arrays states[2];  // whole arrays, after the last step; equal on the ranks that hold them
};

Trained train(const LayoutCase& c, comm::Mesh& mesh, comm::Communicator* world) {
  Trained out;
  const plan::ModelSpec model = models::build_gpt(case_model(c), kVocabulary);
  out.outcome = train_case(c, mesh, world, kSteps, [&](Engine&, train::Update& update) {
    for (size_t s = 0; s < 2; ++s) {
      const std::string prefix = std::string("optimizer.lm.") + kStates[s] + ".";
      std::vector<run::StateArray> held;
      for (run::StateArray& array : update.arrays()) {
        EXPECT_EQ(array.dtype, c.bfloat16_moments ? DType::bf16 : DType::f32);
        if (!array.name.starts_with(prefix)) continue;
        held.push_back(array);
        held.back().name = array.name.substr(prefix.size());
      }
      out.states[s] = whole_arrays(model, held, world);
    }
  });
  return out;
}

Trained alone(const LayoutCase& c) {
  comm::World world = comm::World::alone();
  comm::Mesh mesh(world, comm::Shape{}, {});
  return train(c, mesh, nullptr);
}

// The share of elements whose bits differ.
double differing(const Trained& got, const Trained& wanted) {
  double differ = 0, all = 0;
  for (size_t s = 0; s < 2; ++s) {
    for (const auto& [name, array] : wanted.states[s]) {
      differ += static_cast<double>((got.states[s].at(name) != array).sum().item<int64_t>());
      all += static_cast<double>(array.numel());
    }
  }
  return differ / all;
}

LayoutCase small(bool bfloat16_moments, at::ScalarType type = at::kFloat) {
  LayoutCase c;
  c.layers = 2, c.width = 48, c.heads = 4;  // units are padded, the more the more ranks share them
  c.type = type, c.micro = c.samples, c.bfloat16_moments = bfloat16_moments;
  return c;
}

// Where sums of gradients differ in a last bit of float32, one element in thousands is rounded
// otherwise; if ranks drew bits of their own, or by another place, every other one would be.
TEST(Moments, InBfloat16AreThoseOfOneRankAtEveryShardLevel) {
  comm::World& world = testing_support::world();
  if (world.size() == 1) GTEST_SKIP() << "needs two ranks";
  const Trained one = alone(small(true));
  std::vector<int> groups{0};
  if (world.size() == 4) groups.push_back(2);
  for (const Shard shard : {Shard::none, Shard::states, Shard::gradients, Shard::parameters}) {
    for (const int group : groups) {
      if (group > 0 && shard == Shard::none) continue;
      LayoutCase c = small(true);
      c.data = world.size(), c.shard = shard, c.shard_group = group, c.micro = c.samples / c.data;
      SCOPED_TRACE(c.text());
      comm::Mesh mesh(world, c.shape(), {}, comm::Backend::mpi);
      const Trained got = train(c, mesh, &mesh.world());
      if (world.rank() == 0) {
        EXPECT_LT(differing(got, one), 0.01);
      }
      for (size_t s = 0; s < kSteps; ++s)
        EXPECT_NEAR(got.outcome.losses[s], one.outcome.losses[s], 1e-5 * one.outcome.losses[s]);
    }
  }
}

// whole_arrays() looks whether ranks agree: tensor ranks on what they do not split, replicas on
// all.
TEST(Moments, InBfloat16AreNearFloat32InEveryLayout) {
  comm::World& world = testing_support::world();
  const Trained wide = alone(small(false, at::kBFloat16));
  for (const comm::Axis axis : {comm::Axis::tensor, comm::Axis::context, comm::Axis::pipeline}) {
    for (const Shard shard : {Shard::none, Shard::parameters}) {
      LayoutCase c = small(true, at::kBFloat16);
      c.data = world.size() > 2 ? 2 : 1, c.shard = shard, c.micro = c.samples / c.data;
      if (axis == comm::Axis::tensor) c.tensor = world.size() / c.data;
      if (axis == comm::Axis::context) c.context = world.size() / c.data;
      if (axis == comm::Axis::pipeline) c.pipeline = world.size() / c.data;
      if (c.ranks() != world.size() || (c.data * c.context == 1 && shard != Shard::none)) continue;
      SCOPED_TRACE(c.text());
      comm::Mesh mesh(world, c.shape(), {}, comm::Backend::mpi);
      const Trained got = train(c, mesh, &mesh.world());
      for (size_t s = 0; s < kSteps; ++s)
        EXPECT_NEAR(got.outcome.losses[s], wide.outcome.losses[s], 3e-3 * wide.outcome.losses[s]);
      if (world.rank() > 0) continue;
      for (const auto& [name, parameter] : wide.outcome.parameters)
        EXPECT_LT(apart(got.outcome.parameters.at(name), parameter), parted_by(3e-2)) << name;
    }
  }
}

}  // namespace
}  // namespace ocoee::parallel
