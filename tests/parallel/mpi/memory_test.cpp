// SPDX-License-Identifier: Apache-2.0
#include "parallel/memory_case.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "support/mpi_world.h"

namespace ocoee::parallel {
namespace {

MemoryCase gpt(int64_t layers, int64_t width, int64_t vocabulary) {
  MemoryCase c;
  c.model.layers = layers, c.model.width = width, c.model.heads = 4, c.model.context = 8;
  c.model.tied = "no";
  c.vocabulary = vocabulary;
  return c;
}

// Every level on all ranks, with each pair of types; where a core has many ranks, with one pair.
template <class Check>
void at_every_level(MemoryCase c, const Check& check) {
  comm::World& world = testing_support::world();
  comm::Shape shape;
  shape[comm::Axis::data] = world.size();
  struct Types {
    const char *compute, *gradients, *moments, *masters;
  };
  for (const auto& [compute, gradients, moments, masters] :
       {Types{"float32", "float32", "float32", "float32"},
        {"float32", "float32", "bfloat16", "float32"},
        {"bfloat16", "float32", "float32", "float32"},
        {"bfloat16", "bfloat16", "bfloat16", "split"}}) {
    for (const char* shard : {"none", "states", "gradients", "parameters"}) {
      if (world.size() == 1 && std::string(shard) != "none") continue;
      if (world.size() > 4 && std::string(gradients) != "bfloat16") continue;
      c.shard = shard, c.compute = compute, c.gradients = gradients, c.moments = moments;
      c.masters = masters;
      SCOPED_TRACE(fmt::format(
          "{} {} {} {} {} on {} ranks, {} layers, width {}, vocabulary {}{}, {} "
          "micro-batches",
          compute, gradients, moments, masters, shard, world.size(), c.model.layers, c.model.width,
          c.vocabulary, c.model.tied == "yes" ? " tied" : "", c.micro_batches));
      comm::Mesh mesh(world, shape, {}, comm::Backend::mpi);
      check(measure_memory(c, mesh));
    }
  }
}

// bench/shard_memory shows the same on 300 million parameters.
TEST(Memory, PeakOfTheTensorAllocatorIsWhatIsPlanned) {
  at_every_level(gpt(16, 192, 97), [](const MeasuredMemory& got) {
    EXPECT_NEAR(static_cast<double>(got.peak) / got.planned.total_bytes, 1, 0.05)
        << got.peak << " bytes at most; states " << got.states();
    EXPECT_GT(got.resident, got.peak);
  });
}

// Logits that outweigh all else, and an eighth of them at a time.
TEST(Memory, LogitsInChunksTakeTheirPart) {
  MemoryCase c = gpt(2, 64, 1 << 13);
  c.model.context = 512, c.samples = 2;
  std::vector<int64_t> whole, parts;
  at_every_level(c, [&](const MeasuredMemory& got) { whole.push_back(got.peak); });
  c.loss_chunks = 8;
  at_every_level(c, [&](const MeasuredMemory& got) {
    EXPECT_NEAR(static_cast<double>(got.peak) / got.planned.total_bytes, 1, 0.05)
        << got.peak << " bytes at most; states " << got.states();
    parts.push_back(got.peak);
  });
  const int64_t logits = 2 * 1024 * (1 << 13);  // in bfloat16
  for (size_t i = 0; i < whole.size(); ++i) EXPECT_LT(parts[i], whole[i] - logits / 2) << i;
}

// What comes and goes with the blocks, by itself: the peak without states is what is planned of
// units, activations and what a pass holds. Models in which blocks, or embedding and head, outweigh
// activations; one micro-batch, after which nothing is under way, and two.
TEST(Memory, WhatPassesIsWhatIsPlanned) {
  if (testing_support::world().size() > 2) GTEST_SKIP() << "two ranks say as much";
  std::vector<MemoryCase> cases{gpt(4, 256, 97), gpt(4, 96, 1 << 14), gpt(4, 96, 1 << 14)};
  cases[2].model.tied = "yes";
  for (MemoryCase c : cases) {
    for (const int64_t micro_batches : {1, 2}) {
      c.micro_batches = micro_batches;
      at_every_level(c, [&](const MeasuredMemory& got) {
        const double passing = static_cast<double>(got.peak) - got.states();
        const double planned =
            got.planned.total_bytes - got.states() - got.planned.of(plan::Held::slack);
        const double activations = got.planned.of(plan::Held::activations);
        // Units that are whole for a while are all there at once.
        EXPECT_GE(passing, 0.99 * got.planned.of(plan::Held::communication));
        // A plan counts the copy of a product that is added; the first of a step is written.
        if (got.planned.of(plan::Held::communication) > 0 || micro_batches > 1) {
          EXPECT_GE(passing, planned - 2 * activations) << "planned " << planned;
        }
        // Of a few tokens the products' own memory weighs as much as what is kept.
        EXPECT_LE(passing, planned + 2 * activations) << "planned " << planned;
      });
    }
  }
}

}  // namespace
}  // namespace ocoee::parallel
