// SPDX-License-Identifier: Apache-2.0
#include "plan/tune/acting.h"

namespace ocoee::plan {
namespace {

using Batch = BatchConfig;
using Layout = LayoutConfig;
using Precision = PrecisionConfig;

int64_t replicas(const Layout& layout, int64_t ranks) {
  return layout.data(ranks) * layout.context;
}

}  // namespace

const std::vector<ActingRule>& acting_rules() {
  static const std::vector<ActingRule> rules = {
      {"micro is an upper limit: what it comes to is what runs",
       [](const Batch& batch, const Layout& layout, const Precision&, int64_t ranks) {
         return plan_batch(batch, layout, ranks).micro != batch.micro;
       },
       [](Batch& batch, Layout& layout, int64_t ranks) {
         batch.micro = plan_batch(batch, layout, ranks).micro;
       }},
      {"one replica, or a group of one, shares with none: the engine keeps whole states",
       [](const Batch&, const Layout& layout, const Precision&, int64_t ranks) {
         // Plans place a group of one otherwise than none among context ranks.
         const bool alone = layout.shard_group == 1 && layout.context == 1;
         return layout.shard != "none" && (replicas(layout, ranks) == 1 || alone);
       },
       [](Batch&, Layout& layout, int64_t) { layout.shard = "none", layout.shard_group = 0; }},
      {"a group of all replicas is no group",
       [](const Batch&, const Layout& layout, const Precision&, int64_t ranks) {
         return layout.shard_group > 0 && layout.shard_group == replicas(layout, ranks);
       },
       [](Batch&, Layout& layout, int64_t) { layout.shard_group = 0; }},
      {"one data rank has no place beside a pipeline's stages",
       [](const Batch&, const Layout& layout, const Precision&, int64_t ranks) {
         return layout.placement != "data_inside" && layout.data(ranks) == 1;
       },
       [](Batch&, Layout& layout, int64_t) { layout.placement = "data_inside"; }},
      {"of one micro-batch, all forwards come before the backward anyway",
       [](const Batch& batch, const Layout& layout, const Precision&, int64_t ranks) {
         // Under gpipe the last block too is recomputed, or waits in the host's memory.
         return layout.schedule == "gpipe" && layout.recompute != "full" && !layout.offload &&
                plan_batch(batch, layout, ranks).accumulation == 1;
       },
       [](Batch&, Layout& layout, int64_t) { layout.schedule = "1f1b"; }},
      {"an odd number of samples has no halves",
       [](const Batch& batch, const Layout& layout, const Precision&, int64_t) {
         return layout.halves != "auto" && batch.micro % 2 != 0;
       },
       [](Batch&, Layout& layout, int64_t) { layout.halves = "auto"; }},
      {"gradients that go nowhere, or block by block to those who share, are in no buckets",
       [](const Batch&, const Layout& layout, const Precision&, int64_t ranks) {
         return layout.bucket_bytes != 0 &&
                (layout.shard != "none" || replicas(layout, ranks) == 1);
       },
       [](Batch&, Layout& layout, int64_t) { layout.bucket_bytes = 0; }},
      {"copy engines do what the tensor axis sends, and under data parallelism alone bfloat16 "
       "gradients",
       [](const Batch&, const Layout& layout, const Precision& precision, int64_t ranks) {
         return layout.copy_engines == "off" && layout.tensor == 1 &&
                (ranks == 1 || !copies_gradients(layout, precision));
       },
       [](Batch&, Layout& layout, int64_t) { layout.copy_engines = "auto"; }},
      {"one rank sends nothing",
       [](const Batch&, const Layout& layout, const Precision&, int64_t ranks) {
         return ranks == 1 &&
                (layout.copy_engines != "auto" || layout.message_multiprocessors != 0);
       },
       [](Batch&, Layout& layout, int64_t) {
         layout.copy_engines = "auto", layout.message_multiprocessors = 0;
       }},
  };
  return rules;
}

void keep_what_acts(BatchConfig& batch, LayoutConfig& layout, const PrecisionConfig& precision,
                    int64_t ranks) {
  for (const ActingRule& rule : acting_rules()) {
    if (rule.holds(batch, layout, precision, ranks)) rule.settle(batch, layout, ranks);
  }
}

}  // namespace ocoee::plan
