// SPDX-License-Identifier: Apache-2.0
// Which layouts of a model cannot work, and which works instead.
#include <fmt/format.h>

#include <cmath>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/text.h"
#include "plan/placement.h"
#include "plan/schedule.h"
#include "plan/sequence.h"

namespace ocoee::plan {
namespace {

// What a transformer's layers say of their extents; 0 where it has none.
struct Extents {
  int64_t heads = 0, kv_heads = 0, feed_forward = 0, context = 0;
  bool attention_drops = false;
};
Extents extents_of(const ModelSpec& model) {
  Extents out;
  for (const BlockSpec& block : model.blocks) {
    for (const LayerSpec& layer : block.layers) {
      const auto whole = [&](const char* option) {
        return static_cast<int64_t>(layer.option(option));
      };
      if (layer.kind == "embedding") out.context = whole("context");
      if (layer.kind == "mlp") out.feed_forward = whole("feed_forward");
      if (layer.kind != "attention") continue;
      out.heads = whole("heads"), out.kv_heads = whole("kv_heads");
      out.attention_drops = layer.option("attention_dropout") > 0;
    }
  }
  return out;
}

struct Refusal {
  std::string key, what;
};

std::optional<Refusal> tensor_refusal(const Extents& e, int64_t tensor) {
  const auto refused = [&](const std::string& what) {
    return Refusal{"layout.tensor", fmt::format("{} ranks do not divide the {}", tensor, what)};
  };
  if (e.heads % tensor != 0) return refused(fmt::format("{} heads", e.heads));
  if (e.kv_heads % tensor != 0) return refused(fmt::format("{} key-value heads", e.kv_heads));
  if (e.feed_forward % tensor != 0)
    return refused(fmt::format("inner size {} of the feed-forward layer", e.feed_forward));
  return std::nullopt;
}

std::optional<Refusal> context_refusal(const Extents& e, const LayoutConfig& layout) {
  const ContextMethod method = context_method_from_name(layout.context_method);
  const int64_t n = layout.context, tensor = layout.tensor;
  if (n > 1 && method == ContextMethod::ring && e.attention_drops)
    return Refusal{"layout.context_method",
                   "\"ring\" never holds the probabilities that model.attention_dropout falls on"};
  if (e.context % pieces(method, n) != 0)
    return Refusal{"layout.context",
                   fmt::format("a sample of {} tokens does not fall into the {} pieces that {} "
                               "ranks need ({})",
                               e.context, pieces(method, n), n, layout.context_method)};
  if ((e.context / n) % tensor != 0) {
    if (n == 1)
      return Refusal{"layout.tensor",
                     fmt::format("{} ranks do not divide the {} tokens of a sample, which they "
                                 "split between attention and feed-forward layers",
                                 tensor, e.context)};
    return Refusal{"layout.context",
                   fmt::format("{} tensor ranks do not divide the {} tokens that each of {} "
                               "context ranks has of a sample",
                               tensor, e.context / n, n)};
  }
  if (method != ContextMethod::ring && e.heads % tensor == 0 && e.kv_heads % tensor == 0 &&
      ((e.heads / tensor) % n != 0 || (e.kv_heads / tensor) % n != 0))
    return Refusal{"layout.context",
                   fmt::format("all_to_all splits the {} heads and {} key-value heads of each "
                               "tensor rank over the context axis, and {} does not divide them",
                               e.heads / tensor, e.kv_heads / tensor, n)};
  return std::nullopt;
}

std::optional<Refusal> pipeline_refusal(const ModelSpec& model, const BatchConfig& batch,
                                        const LayoutConfig& layout, int64_t ranks) {
  const auto blocks = static_cast<int64_t>(model.blocks.size());
  const int64_t parts = layout.pipeline * layout.chunks;
  if (parts > blocks)
    return Refusal{layout.pipeline > blocks ? "layout.pipeline" : "layout.chunks",
                   fmt::format("pipeline x chunks = {} parts, but the model has {} blocks to cut "
                               "between (embedding and head included)",
                               parts, blocks)};
  if (parts == 1) return std::nullopt;
  const std::string problem =
      schedule_problem({schedule_from_name(layout.schedule), static_cast<int>(layout.pipeline),
                        static_cast<int>(plan_batch(batch, layout, ranks).accumulation),
                        static_cast<int>(layout.chunks)});
  if (!problem.empty()) return Refusal{"layout.schedule", problem};
  if (schedule_from_name(layout.schedule) != ScheduleKind::zero_bubble) return std::nullopt;
  const std::string together = zero_bubble_problem(model);
  return together.empty() ? std::nullopt : std::optional(Refusal{"layout.schedule", together});
}

// Why a model cannot be laid out so; cuts apart.
class Checker {
 public:
  Checker(const ModelSpec& model, int64_t ranks)
      : model_(model),
        extents_(extents_of(model)),
        blocks_(static_cast<int64_t>(model.blocks.size())),
        ranks_(ranks) {}

  std::vector<Refusal> refusals(const BatchConfig& batch, const LayoutConfig& layout) const {
    std::vector<Refusal> out;
    const auto keep = [&out](std::optional<Refusal> found) {
      if (found) out.push_back(*std::move(found));
    };
    keep(pipeline_refusal(model_, batch, layout, ranks_));
    if (layout.tensor * layout.context == 1) return out;
    keep(tensor_refusal(extents_, layout.tensor));
    keep(context_refusal(extents_, layout));
    return out;
  }
  // The layout that works on these ranks and differs in the fewest keys, and there the least; as
  // the assignments to make. Empty: none does.
  std::string nearest(const BatchConfig& batch, const LayoutConfig& layout) const;

 private:
  const ModelSpec& model_;
  Extents extents_;
  int64_t blocks_, ranks_;
};

// How far a number is from the wanted one: keys changed count first, an axis that was not in use
// half as much again, then powers of two.
double distance(int64_t from, int64_t to) {
  if (from == to) return 0;
  return 100 + (from == 1 ? 50 : 0) +
         std::abs(std::log2(static_cast<double>(to) / static_cast<double>(from)));
}

std::vector<int64_t> divisors(int64_t n) {
  std::vector<int64_t> out;
  for (int64_t d = 1; d <= n; ++d)
    if (n % d == 0) out.push_back(d);
  return out;
}

std::string Checker::nearest(const BatchConfig& batch, const LayoutConfig& layout) const {
  double best = 1e300;
  std::string text;
  const auto consider = [&](const BatchConfig& b, LayoutConfig l) {
    if (b.global % l.data(ranks_) != 0) return;
    // What was given for other axes goes where it no longer fits: groups of shards, cuts.
    const int64_t replicas = l.data(ranks_) * l.context;
    if (l.shard != "none" && l.shard_group > 0 && replicas % l.shard_group != 0) l.shard_group = 0;
    if (!cuts_problem(l.cuts, l.pipeline * l.chunks, blocks_).empty()) l.cuts.clear();
    const double far =
        distance(layout.tensor, l.tensor) + distance(layout.context, l.context) +
        distance(layout.pipeline, l.pipeline) + distance(layout.chunks, l.chunks) +
        distance(batch.micro, b.micro) + (l.schedule != layout.schedule ? 100.5 : 0) +
        (l.context_method != layout.context_method ? 100.5 : 0) +
        (l.shard_group != layout.shard_group ? 100.5 : 0) + (l.cuts != layout.cuts ? 100.5 : 0);
    if (far >= best || !refusals(b, l).empty()) return;
    best = far;
    std::vector<std::string> changes;
    const auto number = [&](const char* key, int64_t before, int64_t now) {
      if (before != now) changes.push_back(fmt::format("{} = {}", key, now));
    };
    const auto word = [&](const char* key, const std::string& before, const std::string& now) {
      if (before != now) changes.push_back(fmt::format("{} = \"{}\"", key, now));
    };
    number("layout.tensor", layout.tensor, l.tensor);
    number("layout.context", layout.context, l.context);
    word("layout.context_method", layout.context_method, l.context_method);
    number("layout.pipeline", layout.pipeline, l.pipeline);
    word("layout.schedule", layout.schedule, l.schedule);
    number("layout.chunks", layout.chunks, l.chunks);
    number("layout.shard_group", layout.shard_group, l.shard_group);
    if (l.cuts != layout.cuts) changes.emplace_back("layout.cuts = []");
    number("batch.micro", batch.micro, b.micro);
    text = join(changes, ", ");
  };
  const std::vector<int64_t> counts = divisors(ranks_);
  LayoutConfig l = layout;
  BatchConfig b = batch;
  for (const int64_t tensor : counts) {
    for (const int64_t context : counts) {
      for (const int64_t pipeline : counts) {
        l.tensor = tensor, l.context = context, l.pipeline = pipeline;
        if (ranks_ % l.model_ranks() != 0 || pipeline > blocks_) continue;
        for (const char* method : {"ring", "all_to_all"}) {
          l.context_method = method;
          for (const std::string& schedule : {layout.schedule, std::string("1f1b")}) {
            l.schedule = schedule;
            for (const int64_t chunks : {layout.chunks, blocks_ / pipeline, int64_t{1}}) {
              l.chunks = chunks;
              for (int64_t micro = batch.micro; micro > 0; micro /= 2) {
                b.micro = micro;
                consider(b, l);
              }
            }
          }
        }
      }
    }
  }
  return text;
}

}  // namespace

void check_placement(config::Problems& problems, const ModelSpec& model, const BatchConfig& batch,
                     const LayoutConfig& layout, int64_t ranks) {
  if (ranks % layout.model_ranks() != 0 || batch.global % layout.data(ranks) != 0)
    return;  // told by check_training
  const Checker checker(model, ranks);
  const std::vector<Refusal> refusals = checker.refusals(batch, layout);
  std::string fix;  // one for all of them
  if (!refusals.empty()) {
    const std::string nearest = checker.nearest(batch, layout);
    fix = nearest.empty()
              ? fmt::format(
                    "no layout of this model and batch works on {} ranks: change model, "
                    "batch.global or ranks",
                    ranks)
              : "the nearest that works: " + nearest;
  }
  for (const Refusal& refusal : refusals)
    problems.add(refusal.key, refusal.what, &refusal == refusals.data() ? fix : "");
  if (layout.cuts.empty()) return;
  const std::string problem = cuts_problem(layout.cuts, layout.pipeline * layout.chunks,
                                           static_cast<int64_t>(model.blocks.size()));
  if (!problem.empty())
    problems.add("layout.cuts", problem, "leave the key out: the cuts are then chosen by cost");
}

}  // namespace ocoee::plan
