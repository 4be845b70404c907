// SPDX-License-Identifier: Apache-2.0
#include "parallel/memory_case.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "support/mpi_world.h"

namespace ocoee::parallel {
namespace {

// bench/shard_memory shows the same on 300 million parameters.
TEST(Memory, PeakOfTheTensorAllocatorFollowsTheFormulas) {
  comm::World& world = testing_support::world();
  comm::Shape shape;
  shape[comm::Axis::data] = world.size();
  for (const auto& [compute, gradients] :
       {std::pair{"float32", "float32"}, {"bfloat16", "float32"}, {"bfloat16", "bfloat16"}}) {
    for (const char* shard : {"none", "states", "gradients", "parameters"}) {
      if (world.size() == 1 && std::string(shard) != "none") continue;
      SCOPED_TRACE(fmt::format("{} {} {} on {} ranks", compute, gradients, shard, world.size()));
      MemoryCase c;
      c.model.layers = 16, c.model.width = 192, c.model.heads = 4, c.model.context = 8;
      c.model.tied = "no";
      c.vocabulary = 97;
      c.shard = shard, c.compute = compute, c.gradients = gradients;
      comm::Mesh mesh(world, shape, {}, comm::Backend::mpi);
      const MeasuredMemory got = measure_memory(c, mesh);
      EXPECT_NEAR(static_cast<double>(got.peak) / got.formula(), 1, 0.05)
          << got.peak << " bytes at most; states " << got.states << ", live blocks " << got.live
          << ", activations " << got.activations;
      EXPECT_GT(got.resident, got.peak);
    }
  }
}

}  // namespace
}  // namespace ocoee::parallel
