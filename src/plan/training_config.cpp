// SPDX-License-Identifier: Apache-2.0
#include "plan/training_config.h"

#include <fmt/format.h>

#include <algorithm>

namespace ocoee::plan {

void BatchConfig::describe(config::Description& d) {
  d.field("global", global, "samples per optimizer step over all ranks")
      .at_least(1)
      .at_most(1e9)
      .unit("samples");
  d.field("micro", micro,
          "upper limit of samples per data-parallel replica and forward pass; the largest divisor "
          "of global / data "
          "within it is taken, and accumulation follows")
      .at_least(1)
      .at_most(1e9)
      .unit("samples")
      .may_change_on_resume();
}

void LayoutConfig::describe(config::Description& d) {
  d.field("tensor", tensor, "ranks that split each layer's weights")
      .at_least(1)
      .at_most(1e6)
      .may_change_on_resume();
  d.field("pipeline", pipeline, "ranks that split the layers into stages")
      .at_least(1)
      .at_most(1e6)
      .may_change_on_resume();
  d.field("context", context, "ranks that split a sample's sequence")
      .at_least(1)
      .at_most(1e6)
      .may_change_on_resume();
  d.field("shard", shard, "what is split over the data axis (ZeRO 0 to 3)")
      .choices({"none", "states", "gradients", "parameters"})
      .may_change_on_resume();
  d.field("shard_group", shard_group,
          "hybrid sharding: neighbouring ranks that share one copy of what is split, repeated "
          "across groups; 0 = all that hold the same weights")
      .at_least(0)
      .at_most(1e6)
      .unit("ranks")
      .may_change_on_resume()
      .acts_where("shard = states, gradients or parameters", [this] { return shard != "none"; });
  const auto has_stages = [this] { return pipeline > 1; };
  d.field("schedule", schedule, "order of the micro-batches through the pipeline's stages")
      .choices({"gpipe", "1f1b", "interleaved", "zero_bubble"})
      .may_change_on_resume()
      .acts_where("pipeline > 1", has_stages);
  d.field("chunks", chunks, "parts of the model that each stage holds")
      .at_least(1)
      .at_most(1e6)
      .may_change_on_resume()
      .acts_where("pipeline > 1 and schedule = interleaved",
                  [this] { return pipeline > 1 && schedule == "interleaved"; });
  d.field("cuts", cuts,
          "the first block of each pipeline part but the first, counted from the embedding, which "
          "is block 0; empty = chosen by cost")
      .at_least(1)
      .at_most(1e6)
      .may_change_on_resume()
      .acts_where("pipeline > 1", has_stages);
  d.field("context_method", context_method,
          "how attention meets a split sequence: keys and values go round, or heads are split "
          "instead")
      .choices({"ring", "all_to_all"})
      .may_change_on_resume()
      .acts_where("context > 1", [this] { return context > 1; });
  d.field("recompute", recompute, "activations computed again in the backward pass instead of kept")
      .choices({"none", "selective", "full"})
      .may_change_on_resume();
  d.field("loss_chunks", loss_chunks,
          "parts of a micro-batch's tokens that the head takes one after the other, so that the "
          "logits of one part exist at a time, in the backward pass; 1 = all at once")
      .at_least(1)
      .at_most(4096)
      .may_change_on_resume();
  d.field("halves", halves,
          "the two halves of a micro-batch take turns, so that one computes while the "
          "rows of the other travel; auto = on GPUs whose rows NCCL moves, for an even number of "
          "samples; without them a GPU takes the rank's own rows apart, beside which the others "
          "travel")
      .choices({"auto", "on", "off"})
      .may_change_on_resume()
      .acts_where("tensor > 1", [this] { return tensor > 1; });
  d.field("bucket_bytes", bucket_bytes,
          "gradients leave for the data axis in pieces of about this size, as soon as they are "
          "final; 0 = up to 2 GiB in one piece between GPUs of one host, else 25 MiB")
      .at_least(0)
      .unit("bytes")
      .may_change_on_resume();
  d.field("message_multiprocessors", message_multiprocessors,
          "GPU: multiprocessors that a message may take, and that products beside messages leave "
          "to them; 0 = no limit")
      .at_least(0)
      .at_most(64)
      .may_change_on_resume();
  d.field("copy_engines", copy_engines,
          "GPUs of one host: whose large sums and gathers their copy engines do, not kernels of "
          "NCCL; auto = the tensor axis, and under data parallelism alone gradients in bfloat16")
      .choices({"auto", "all", "off"})
      .may_change_on_resume();
  d.field("placement", placement,
          "which ranks lie nearer together, after those of tensor and context: those that average "
          "gradients, or the stages of a pipeline")
      .choices({"data_inside", "pipeline_inside"})
      .may_change_on_resume()
      .acts_where("pipeline > 1", has_stages);
  d.field("offload", offload,
          "activations that are kept wait in host memory between forward and backward")
      .may_change_on_resume();
}

void PrecisionConfig::describe(config::Description& d) {
  d.field("compute", compute,
          "type of weights and activations; unless the keys below say otherwise, masters, "
          "gradients and optimizer states are float32 (float64 with it)")
      .choices({"float32", "float64", "bfloat16", "float16"});
  d.field("gradients", gradients,
          "bfloat16, beside compute = \"bfloat16\": gradients of weights are kept, and summed over "
          "ranks, in half the bytes; one micro-batch a step and rank")
      .choices({"float32", "bfloat16"})
      .may_change_on_resume();
  d.field("moments", moments,
          "type of the optimizer's states; bfloat16: half the bytes, rounded at random so that "
          "small changes are not lost")
      .choices({"float32", "bfloat16"})
      .may_change_on_resume();
  d.field("masters", masters,
          "split, beside compute = \"bfloat16\": of a float32 master only the 16 bits below its "
          "bfloat16 value are kept; 2 bytes a weight less, and no bit is lost")
      .choices({"float32", "split"})
      .may_change_on_resume();
  d.field("float8", float8,
          "bfloat16: products of attention and feed-forward layers in float8 (E4M3, gradients "
          "E5M2; delayed scaling)");
  const auto scales = [this] { return compute == "float16"; };
  d.field("loss_scale", loss_scale, "the first loss scale")
      .at_least(1)
      .at_most(16777216)
      .acts_where("compute = float16", scales);
  d.field("loss_scale_window", loss_scale_window, "steps without overflow before the scale doubles")
      .at_least(1)
      .unit("steps")
      .acts_where("compute = float16", scales);
}

void PrecisionConfig::check(config::Problems& problems, bool has_float8_products) const {
  if (moments == "bfloat16" && compute == "float64")
    problems.add("precision.moments",
                 "the masters of precision.compute = \"float64\" have no states in bfloat16",
                 "leave the key out, or compute in another type");
  if (masters == "split" && compute != "bfloat16")
    problems.add("precision.masters",
                 fmt::format("masters are split below values in bfloat16, but precision.compute is "
                             "\"{}\"",
                             compute),
                 "set precision.compute = \"bfloat16\", or leave the key out");
  if (!float8) return;
  if (!has_float8_products) {
    problems.add("precision.float8", "the layers of this task have no products in float8",
                 "leave the key out");
  } else if (compute != "bfloat16") {
    problems.add("precision.float8",
                 fmt::format("float8 stands in for bfloat16 in products, but precision.compute is "
                             "\"{}\"",
                             compute),
                 "set precision.compute = \"bfloat16\", or leave the key out");
  }
}

bool copies_gradients(const LayoutConfig& layout, const PrecisionConfig& precision) {
  return layout.model_ranks() == 1 && layout.shard == "none" && precision.gradients == "bfloat16";
}

void check_gradients(config::Problems& problems, const PrecisionConfig& precision,
                     const BatchConfig& batch, const LayoutConfig& layout, int64_t ranks) {
  const char* key = "precision.gradients";
  if (precision.gradients != "bfloat16") return;
  if (precision.compute != "bfloat16") {
    problems.add(key,
                 fmt::format("gradients in bfloat16 are those of products in bfloat16, but "
                             "precision.compute is \"{}\"",
                             precision.compute),
                 "set precision.compute = \"bfloat16\", or leave the key out");
    return;
  }
  if (ranks % layout.model_ranks() != 0 || batch.global % layout.data(ranks) != 0) return;
  const BatchPlan plan = plan_batch(batch, layout, ranks);
  if (plan.accumulation == 1) return;
  problems.add(key,
               fmt::format("the {} micro-batches that a rank takes in a step would be added up in "
                           "bfloat16, which has three digits",
                           plan.accumulation),
               layout.pipeline > 1
                   ? "leave the key out: a pipeline needs its micro-batches"
                   : fmt::format("set batch.micro = {} so that a step is one micro-batch, start "
                                 "more ranks, or leave the key out",
                                 plan.micro * plan.accumulation));
}

int64_t PrecisionConfig::compute_bytes() const {
  if (compute == "float64") return 8;
  return compute == "float32" ? 4 : 2;
}

void TrainConfig::describe(config::Description& d) {
  d.field("steps", steps, "optimizer steps of the whole run")
      .at_least(1)
      .at_most(1e12)
      .unit("steps")
      .may_change_on_resume();
  d.field("evaluate_every", evaluate_every, "steps between evaluations; 0 = only after the last")
      .at_least(0)
      .at_most(1e12)
      .unit("steps")
      .may_change_on_resume();
  d.field("checkpoint_every", checkpoint_every,
          "steps between checkpoints, besides run.checkpoint_interval; 0 = only after the last")
      .at_least(0)
      .at_most(1e12)
      .unit("steps")
      .may_change_on_resume();
  d.field("graph_after", graph_after,
          "GPU: steps run one by one before the step is captured as a graph; 0 = never")
      .at_least(0)
      .at_most(1e12)
      .unit("steps")
      .may_change_on_resume();
}

std::vector<std::string> TrainConfig::gaps(double checkpoint_interval) const {
  const auto is_never = [this](int64_t every) { return every == 0 || every >= steps; };
  std::vector<std::string> lines;
  if (is_never(evaluate_every))
    lines.push_back(fmt::format(
        "evaluations: none before the last step (train.evaluate_every = {})", evaluate_every));
  if (is_never(checkpoint_every) && checkpoint_interval == 0)
    lines.push_back(
        fmt::format("checkpoints: none before the last step (train.checkpoint_every = {}, "
                    "run.checkpoint_interval = 0)",
                    checkpoint_every));
  return lines;
}

BatchPlan plan_batch(const BatchConfig& batch, const LayoutConfig& layout, int64_t ranks) {
  BatchPlan plan;
  plan.data = layout.data(ranks);
  const int64_t per_rank = batch.global / plan.data;
  plan.micro = 1;
  for (int64_t candidate = 1; candidate <= batch.micro && candidate <= per_rank; ++candidate) {
    if (per_rank % candidate == 0) plan.micro = candidate;
  }
  plan.accumulation = per_rank / plan.micro;
  return plan;
}

namespace {

// The key that a product of axes is told by.
const char* largest_axis(const LayoutConfig& layout) {
  const int64_t most = std::max({layout.tensor, layout.pipeline, layout.context});
  if (layout.tensor == most) return "layout.tensor";
  return layout.pipeline == most ? "layout.pipeline" : "layout.context";
}

void check_data_axis(config::Problems& problems, const BatchConfig& batch,
                     const LayoutConfig& layout, int64_t data) {
  if (batch.global % data != 0) {
    const int64_t below = batch.global / data * data;
    problems.add("batch.global",
                 fmt::format("{} samples do not divide evenly over {} data-parallel ranks",
                             batch.global, data),
                 below > 0 ? fmt::format("use {} or {}", below, below + data)
                           : fmt::format("use at least {}", data));
  }
  const int64_t replicas = data * layout.context;
  if (layout.shard_group == 0 || layout.shard == "none" || replicas % layout.shard_group == 0)
    return;
  int64_t below = std::min(layout.shard_group, replicas);
  while (replicas % below != 0) --below;
  problems.add("layout.shard_group",
               fmt::format("groups of {} do not divide the {} ranks that hold the same weights "
                           "(data x context)",
                           layout.shard_group, replicas),
               fmt::format("use {}, or 0 for all", below));
}

}  // namespace

void check_training(config::Problems& problems, const BatchConfig& batch,
                    const LayoutConfig& layout, int64_t ranks, const LayoutSupport& support) {
  if (ranks % layout.model_ranks() != 0)
    problems.add(
        largest_axis(layout),
        fmt::format("tensor x pipeline x context = {} does not divide the {} ranks of this "
                    "launch",
                    layout.model_ranks(), ranks),
        fmt::format("start a multiple of {} ranks, or make the product a divisor of {}",
                    layout.model_ranks(), ranks));
  else
    check_data_axis(problems, batch, layout, layout.data(ranks));
  if (layout.shard_group > 0 && layout.shard == "none")
    problems.add("layout.shard_group", "nothing is split with layout.shard = \"none\"",
                 "leave the key out, or choose what is split");
  const auto single = [&](const char* key, int64_t value) {
    if (value > 1)
      problems.add(key, fmt::format("{}: this task trains with 1 on this axis", value),
                   "use data parallelism: leave the key out");
  };
  if (!support.tensor) single("layout.tensor", layout.tensor);
  if (!support.pipeline) single("layout.pipeline", layout.pipeline);
  if (!support.context) single("layout.context", layout.context);
  if (layout.shard != "none" && !support.shard)
    problems.add("layout.shard",
                 "\"" + layout.shard + "\": this task keeps whole states on every rank",
                 "use \"none\"");
  if (layout.loss_chunks > 1 && !support.logits)
    problems.add("layout.loss_chunks",
                 fmt::format("{}: this task has no logits to take in parts", layout.loss_chunks),
                 "leave the key out");
}

}  // namespace ocoee::plan
