// SPDX-License-Identifier: Apache-2.0
#include "plan/launch_options.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace ocoee::plan {
namespace {

constexpr std::array kBegin{"--adam-",         "--attention-softmax-in-fp32",
                            "--bert-",         "--cpu-bind",
                            "--cpus-per-task", "--data-",
                            "--deepspeed",     "--eval-",
                            "--exit-",         "--finetune",
                            "--init-",         "--initial-loss-",
                            "--load",          "--log-",
                            "--loss-scale",    "--lr",
                            "--master",        "--min-",
                            "--no-load-",      "--no-log-",
                            "--no-save-",      "--override-",
                            "--rdzv",          "--reset-",
                            "--rotary-",       "--save",
                            "--tensorboard-",  "--timing-",
                            "--tokenizer-",    "--train-",
                            "--valid-",        "--wandb-",
                            "--weight-decay",  "--use-checkpoint-",
                            "--test-"};

constexpr std::array kWhole{"--account",
                            "--clip-grad",
                            "--comment",
                            "--constraint",
                            "--dataloader-type",
                            "--decoder-seq-length",
                            "--distributed-backend",
                            "--distributed-timeout-minutes",
                            "--error",
                            "--exclusive",
                            "--export",
                            "--gpu-bind",
                            "--gpus-per-task",
                            "--hostfile",
                            "--hysteresis",
                            "--job-name",
                            "--jobid",
                            "--kill-on-bad-exit",
                            "--label",
                            "--loss-scale-window",
                            "--max-position-embeddings",
                            "--mem",
                            "--merge-file",
                            "--mmap-warmup",
                            "--node-rank",
                            "--node_rank",
                            "--norm-epsilon",
                            "--layernorm-epsilon",
                            "--num-workers",
                            "--output",
                            "--partition",
                            "--qos",
                            "--seed",
                            "--split",
                            "--time",
                            "--unbuffered",
                            "--use-cpu-initialization",
                            "--use-mcore-models",
                            "--use-legacy-models",
                            "--vocab-file",
                            "--wait"};

}  // namespace

bool leaves_the_step(const std::string& option) {
  const std::string_view name = option;
  return std::any_of(kBegin.begin(), kBegin.end(),
                     [&](const char* begin) { return name.starts_with(begin); }) ||
         std::any_of(kWhole.begin(), kWhole.end(),
                     [&](const char* whole) { return name == whole; });
}

}  // namespace ocoee::plan
