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
      if (ranks == 1) break;
      if (axis != &LayoutCase::data || ranks < 4 || shard == Shard::none) continue;
      laid.shard_group = 2;
      add(laid);
    }
  }
  return out;
}

std::vector<std::vector<float>> saved(const std::vector<run::StateArray>& arrays) {
  std::vector<std::vector<float>> out;
  for (const run::StateArray& array : arrays) {
    EXPECT_EQ(array.dtype, DType::f32) << array.name;
    for (const run::Piece& piece : array.pieces) {
      out.emplace_back(static_cast<size_t>(piece.box.elements()));
      piece.save(out.back().data());
    }
  }
  return out;
}

void load(const std::vector<run::StateArray>& arrays, const std::vector<std::vector<float>>& from) {
  size_t next = 0;
  for (const run::StateArray& array : arrays)
    for (const run::Piece& piece : array.pieces) piece.load(from[next++].data());
}

// What a checkpoint holds comes back to the bit.
void expect_to_come_back(Engine& engine) {
  const std::vector<run::StateArray> arrays = engine.weights().master_arrays("");
  const std::vector<std::vector<float>> trained = saved(arrays);
  std::vector<std::vector<float>> nothing = trained;
  for (std::vector<float>& values : nothing) std::fill(values.begin(), values.end(), 0.0f);
  load(arrays, nothing);
  EXPECT_EQ(saved(arrays), nothing);
  EXPECT_EQ(engine.weights().master().abs().max().item<int64_t>(), 0);
  load(arrays, trained);
  EXPECT_EQ(saved(arrays), trained);
}

// whole_arrays() looks whether ranks agree: tensor ranks on what they do not split, replicas on
// all.
TEST(Masters, SplitAreWholeOnesInEveryLayout) {
  comm::World& world = testing_support::world();
  for (LayoutCase c : cases(world.size())) {
    SCOPED_TRACE(c.text());
    comm::Mesh mesh(world, c.shape(), {}, comm::Backend::mpi);
    comm::Communicator* all = world.size() > 1 ? &mesh.world() : nullptr;
    const Outcome whole = train_case(c, mesh, all, kSteps);
    c.split_masters = true;
    const Outcome parts = train_case(c, mesh, all, kSteps, [](Engine& engine, train::Update&) {
      EXPECT_EQ(engine.weights().master().scalar_type(), at::kShort);
      expect_to_come_back(engine);
    });
    for (size_t s = 0; s < kSteps; ++s)
      EXPECT_NEAR(parts.losses[s], whole.losses[s], 1e-4 * whole.losses[s]);
    if (world.rank() > 0) continue;
    // Masters rounded to bfloat16 would part by 4e-5.
    for (const auto& [name, parameter] : whole.parameters)
      EXPECT_LT(apart(parts.parameters.at(name), parameter), 1e-5) << name;
  }
}

}  // namespace
}  // namespace ocoee::parallel
