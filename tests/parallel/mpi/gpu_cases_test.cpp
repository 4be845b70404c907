// SPDX-License-Identifier: Apache-2.0
// The variations of the layouts that GPUs are tested with: all pairs are there, and none is
// refused.
#include "gpu/mpi/gpu_cases.h"

#include <gtest/gtest.h>

#include <set>

namespace ocoee::parallel {
namespace {

TEST(GpuCases, CoverAllPairs) {
  std::set<std::string> seen;
  for (const int ranks : {2, 4}) {
    for (const LayoutCase& c : gpu_cases(ranks, at::kFloat)) {
      // Each of the first five with each of all.
      std::vector<std::string> of{fmt::format("recompute {}", static_cast<int>(c.recompute)),
                                  fmt::format("offload {}", c.offload), c.style,
                                  fmt::format("dropout {}", c.dropout),
                                  fmt::format("loss chunks {}", c.loss_chunks)};
      if (c.pipeline > 1) of.emplace_back(plan::name_of(c.schedule));
      if (c.context > 1) of.push_back(fmt::format("method {}", static_cast<int>(c.method)));
      if (c.tensor > 1) of.push_back(fmt::format("halves {}", c.halves == Halves::on));
      if (c.data * c.context > 1) of.push_back(fmt::format("shard {}", static_cast<int>(c.shard)));
      for (size_t a = 0; a < 5; ++a) {
        for (size_t b = a + 1; b < of.size(); ++b) seen.insert(of[a] + " " + of[b]);
      }
      EXPECT_EQ(kSamples % (c.data * c.micro), 0) << c.text();
      EXPECT_GE(kSamples / (c.data * c.micro), c.pipeline) << c.text();
    }
  }
  // Recompute has 3, schedules and shard levels 4, all others 2.
  const size_t others = 4 + 2 + 2 + 4;
  EXPECT_EQ(seen.size(), 3 * (2 + 2 + 2 + 2 + others) + 2 * (2 + 2 + 2 + others) +
                             2 * (2 + 2 + others) + 2 * (2 + others) + 2 * others);
}

}  // namespace
}  // namespace ocoee::parallel
