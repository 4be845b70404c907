// SPDX-License-Identifier: Apache-2.0
#include "plan/launch_script.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <tuple>

#include "core/error.h"
#include "core/text.h"
#include "plan/shell_script.h"

namespace ocoee::plan {
namespace {

using nlohmann::json;
using Script = ShellScript;

class DeepSpeed {
 public:
  DeepSpeed(const std::string& text, std::string name) : text_(text), name_(std::move(name)) {
    if (trim(text).empty()) return;
    try {
      json_ = json::parse(text);
    } catch (const json::parse_error& error) {
      fail(ErrorKind::data, "{}: not JSON: {}\n    fix: give the DeepSpeed configuration", name_,
           error.what());
    }
  }
  bool is_given() const { return !json_.empty(); }
  bool has(const std::string& key) const { return at(key) != nullptr; }
  std::optional<int64_t> number(const std::string& key) const {
    const json* value = at(key);
    return value && value->is_number() ? std::optional(value->get<int64_t>()) : std::nullopt;
  }
  std::optional<bool> yes(const std::string& key) const {
    const json* value = at(key);
    return value && value->is_boolean() ? std::optional(value->get<bool>()) : std::nullopt;
  }
  std::string place(const std::string& key) const {
    const std::string quoted = "\"" + key.substr(0, key.find('.')) + "\"";
    const size_t found = text_.find(quoted);
    if (found == std::string::npos) return name_;
    const auto line = 1 + std::count(text_.begin(), text_.begin() + static_cast<long>(found), '\n');
    return fmt::format("{}:{}", name_, line);
  }

 private:
  const json* at(const std::string& key) const {
    const json* value = &json_;
    for (const std::string& part : split(key, '.')) {
      if (!value->is_object() || !value->contains(part)) return nullptr;
      value = &value->at(part);
    }
    return value;
  }
  std::string text_, name_;
  json json_ = json::object();
};

void check_micro(LaunchedRun& run, const Script& script, const DeepSpeed& deepspeed) {
  const auto other = deepspeed.number("train_micro_batch_size_per_gpu");
  if (!other || *other == run.micro) return;
  std::string effect;
  if (const int64_t data = run.data(); data > 0 && *other > 0 && run.micro > 0) {
    const int64_t accumulation = run.global_batch / (*other * data);
    const double share = static_cast<double>(accumulation * data * run.micro) /
                         static_cast<double>(run.global_batch);
    effect = fmt::format(
        ": the engine will take {} / ({} x {}) = {} passes of {} sample{} a replica, {:.3g} times "
        "the {} samples that are counted",
        run.global_batch, *other, data, accumulation, run.micro, run.micro == 1 ? "" : "s", share,
        run.global_batch);
  }
  run.contradictions.push_back(fmt::format(
      "{}: --micro-batch-size is {}, but {}: train_micro_batch_size_per_gpu is {}{}\n    fix: "
      "write the same number in both, or set the JSON's from the script's variable",
      script.place("--micro-batch-size"), run.micro,
      deepspeed.place("train_micro_batch_size_per_gpu"), *other, effect));
}

void check_same(LaunchedRun& run, const std::string& here, const char* flag, int64_t value,
                const DeepSpeed& deepspeed, const char* key) {
  const auto other = deepspeed.number(key);
  if (other && *other != value)
    run.contradictions.push_back(
        fmt::format("{}: {} is {}, but {}: {} is {}\n    fix: write the same number in both", here,
                    flag, value, deepspeed.place(key), key, *other));
}

void check_precision(LaunchedRun& run, const Script& script, const DeepSpeed& deepspeed) {
  for (const auto& [flag, key, type] : {std::tuple{"--fp16", "fp16.enabled", "float16"},
                                        std::tuple{"--bf16", "bf16.enabled", "bfloat16"}}) {
    const bool here = script.has(flag);
    if (here) run.compute = type;
    const auto there = deepspeed.yes(key);
    if (there && *there != here)
      run.contradictions.push_back(fmt::format(
          "{}: {} {}, but {}: {} is {}\n    fix: state one type in both", script.place(flag), flag,
          here ? "is given" : "is not given", deepspeed.place(key), key, *there));
  }
}

// Megatron-LM's words; Megatron-DeepSpeed's old one means full.
Recompute recompute_of(const Script& script) {
  const std::string granularity = script.one_of("--recompute-granularity", {"selective", "full"});
  const bool old = script.has("--checkpoint-activations");
  if (script.has("--recompute-activations") || granularity == "selective")
    return Recompute::selective;
  if (granularity != "full" && !old) return Recompute::none;
  // Each layer by itself, as it is counted; "block", or several layers at once, are told.
  for (const char* method : {"--recompute-method", "--checkpoint-method"})
    script.one_of(method, {"uniform"});
  for (const char* layers : {"--recompute-num-layers", "--checkpoint-num-layers"})
    script.one_of(layers, {"1"});
  return Recompute::full;
}

// SwiGLU's width, the words of newer models, and the vocabulary as it is padded.
void read_model(LaunchedRun& run, const Script& script) {
  run.feed_forward = script.number("--ffn-hidden-size").value_or(0);
  run.swiglu = script.has("--swiglu");
  if (run.swiglu && run.feed_forward == 0) run.feed_forward = 8 * run.width / 3 / 64 * 64;
  script.has("--group-query-attention");
  for (const char* flag : {"--num-query-groups", "--num-key-value-heads"})
    run.kv_heads = script.number(flag).value_or(run.kv_heads);
  const std::string norm =
      script.one_of("--normalization", {"RMSNorm", "rmsnorm", "LayerNorm", "layernorm"});
  run.rms_norm = norm == "RMSNorm" || norm == "rmsnorm";
  const std::string positions =
      script.one_of("--position-embedding-type", {"rope", "learned_absolute"});
  run.rope = script.has("--use-rotary-position-embeddings") || positions == "rope";
  run.tied = !script.has("--untie-embeddings-and-output-weights");
  run.bias = !script.has("--disable-bias-linear");
  const auto none = [&](const char* flag) {
    return !script.one_of(flag, {"0", "0.0", "0."}).empty();
  };
  const bool no_hidden = none("--hidden-dropout"), no_attention = none("--attention-dropout");
  run.dropout = !no_hidden || !no_attention;
  for (const char* flag : {"--hidden-dropout", "--attention-dropout"}) script.one_of(flag, {"0.1"});
  const int64_t multiple =
      script.number("--make-vocab-size-divisible-by").value_or(128) * run.tensor;
  if (const auto vocabulary = script.number("--vocab-size"); vocabulary && multiple > 0)
    run.vocabulary = (*vocabulary + multiple - 1) / multiple * multiple;
}

int64_t devices_of(const Script& script) {
  const auto started = script.first_of({"--nproc_per_node", "--nproc-per-node", "--num_gpus"});
  const auto tasks = script.first_of({"--ntasks", "--world-size"});
  const auto nodes = script.first_of({"--nnodes", "--num-nodes", "--num_nodes", "--nodes"});
  const auto per_node = script.first_of({"--ntasks-per-node", "--gpus-per-node"});
  if (started && (nodes || tasks)) return *started * nodes.value_or(tasks.value_or(1));
  if (tasks) return *tasks;
  return per_node && nodes ? *per_node * *nodes : 0;
}

void read_layout(LaunchedRun& run, const Script& script, const DeepSpeed& deepspeed) {
  run.tensor = script.number("--tensor-model-parallel-size").value_or(1);
  run.pipeline = script.number("--pipeline-model-parallel-size").value_or(1);
  run.context = script.number("--context-parallel-size").value_or(1);
  run.norms_sharded = script.has("--sequence-parallel");
  run.overlaps_gradients = script.has("--overlap-grad-reduce");
  if (const auto layers = script.number("--num-layers-per-virtual-pipeline-stage")) {
    const int64_t part = run.pipeline * *layers;
    if (part < 1 || run.layers % part != 0)
      fail(ErrorKind::config,
           "{}: --num-layers-per-virtual-pipeline-stage is {}: {} layers do not divide over {} "
           "stages into parts of {}\n    fix: use a divisor of the layers of a stage",
           script.place("--num-layers-per-virtual-pipeline-stage"), *layers, run.layers,
           run.pipeline, *layers);
    run.chunks = run.layers / part;
  }
  run.zero = script.number("--zero-stage")
                 .value_or(deepspeed.number("zero_optimization.stage").value_or(0));
  if (script.has("--use-distributed-optimizer") && run.zero == 0) run.zero = 1;
}

}  // namespace

Configuration LaunchedRun::configuration() const {
  Configuration c;
  c.tensor = tensor;
  c.context = context;
  c.pipeline = pipeline;
  c.data = data();
  c.micro = micro;
  c.chunks = chunks;
  if (chunks > 1) c.schedule = ScheduleKind::interleaved;
  c.shard = shard();
  c.recompute = recompute;
  return c;
}

System LaunchedRun::system() const {
  System system = system_named(deepspeed ? "megatron_deepspeed" : "megatron");
  system.fused_attention = fused_attention;
  system.norms_sharded = norms_sharded;
  system.overlaps_gradients = overlaps_gradients;
  system.dropout = dropout;
  return system;
}

int64_t LaunchedRun::data() const {
  const int64_t model = tensor * context * pipeline;
  return devices > 0 && devices % model == 0 ? devices / model : 0;
}

Shard LaunchedRun::shard() const {
  return zero <= 0   ? Shard::none
         : zero == 1 ? Shard::states
         : zero == 2 ? Shard::gradients
                     : Shard::parameters;
}

LaunchedRun read_launch(const std::string& script_text, const std::string& script_name,
                        const std::string& json_text, const std::string& json_name,
                        int64_t devices) {
  const Script script(script_text, script_name);
  const bool own = trim(json_text).empty();
  const DeepSpeed deepspeed(own ? script.here_document() : json_text,
                            own ? script_name + " (its JSON)" : json_name);
  LaunchedRun run;
  run.layers = script.needed("--num-layers");
  run.width = script.needed("--hidden-size");
  run.heads = script.needed("--num-attention-heads");
  run.sequence = script.needed("--seq-length");
  run.micro = script.needed("--micro-batch-size");
  run.global_batch = script.needed("--global-batch-size");
  read_layout(run, script, deepspeed);
  read_model(run, script);
  run.recompute = recompute_of(script);
  for (const char* flag : {"--use-flash-attn", "--use-flash-attn-v1", "--use-flash-attn-v2"})
    run.fused_attention |= script.has(flag);
  run.fused_attention |= !script.one_of("--attention-backend", {"flash", "fused"}).empty();
  run.deepspeed = script.has("--deepspeed") || script.has("--deepspeed_config") ||
                  script.has("--zero-stage") || deepspeed.is_given();
  if (!run.deepspeed) script.has("--accumulate-allreduce-grads-in-fp32");  // as it always does
  script.one_of("--optimizer", {"adam"});
  const int64_t counted = devices_of(script);
  run.devices = devices > 0 ? devices : counted;

  if (run.layers < 1 || run.width < 1 || run.heads < 1 || run.sequence < 1 || run.micro < 1 ||
      run.global_batch < 1 || run.tensor < 1 || run.context < 1 || run.pipeline < 1)
    fail(ErrorKind::config, "{}: sizes of the model, batch and layout must be at least 1",
         script_name);
  check_micro(run, script, deepspeed);
  check_same(run, script.place("--global-batch-size"), "--global-batch-size", run.global_batch,
             deepspeed, "train_batch_size");
  if (script.number("--zero-stage"))
    check_same(run, script.place("--zero-stage"), "--zero-stage", run.zero, deepspeed,
               "zero_optimization.stage");
  if (run.data() > 0 && run.global_batch % (run.data() * run.micro) == 0)
    check_same(run, script.place("--global-batch-size"),
               "--global-batch-size over data ranks and micro-batch",
               run.global_batch / (run.data() * run.micro), deepspeed,
               "gradient_accumulation_steps");
  check_precision(run, script, deepspeed);
  run.not_read = script.not_read();
  for (const char* key : {"zero_optimization.offload_optimizer", "zero_optimization.offload_param",
                          "zero_optimization.zero_hpz_partition_size"}) {
    if (deepspeed.has(key)) run.not_read.push_back(std::string(key) + " of the JSON");
  }
  return run;
}

}  // namespace ocoee::plan
