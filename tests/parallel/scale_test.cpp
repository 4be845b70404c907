// SPDX-License-Identifier: Apache-2.0
// Jobs far larger than this machine, planned rank by rank. bench/scale does the same for 4,096
// ranks and a trillion parameters.
#include <gtest/gtest.h>

#include "models/gpt.h"
#include "parallel/simulated_ranks.h"

namespace ocoee::parallel {
namespace {

using comm::Axis;

JobLayout layout_of(int tensor, int context, int data, int pipeline, Shard shard) {
  JobLayout layout{{}, shard};
  layout.shape[Axis::tensor] = tensor, layout.shape[Axis::context] = context;
  layout.shape[Axis::data] = data, layout.shape[Axis::pipeline] = pipeline;
  return layout;
}

TEST(Scale, AManifestOfManyRanksCoversTheStateAndEveryLayoutReadsWhatItHolds) {
  models::GptConfig config;
  config.style = "llama";
  config.layers = 22, config.width = 256, config.heads = 16, config.kv_heads = 8;
  const plan::ModelSpec model = models::build_gpt(config, 515);  // padded over tensor ranks
  const run::Manifest manifest =
      manifest_of(model, layout_of(8, 1, 4, 8, Shard::states));  // checks that boxes cover arrays
  EXPECT_EQ(manifest.files.size(), 256U);
  for (const JobLayout& layout :
       {layout_of(1, 1, 1, 1, Shard::none), layout_of(4, 2, 8, 4, Shard::parameters),
        layout_of(2, 1, 3, 24, Shard::gradients), layout_of(8, 4, 2, 1, Shard::none)}) {
    const Reads reads = reads_of(manifest, model, layout);
    EXPECT_EQ(reads.read, reads.held);
    EXPECT_GE(reads.held, 3 * model.parameters());
  }
  const run::Manifest again = run::parse_manifest(run::to_text(manifest), "manifest.json");
  EXPECT_EQ(again.arrays.size(), manifest.arrays.size());
}

}  // namespace
}  // namespace ocoee::parallel
