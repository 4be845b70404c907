// SPDX-License-Identifier: Apache-2.0
#include "optim/optimizer_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace ocoee::optim {

void OptimizerConfig::describe(config::Description& d) {
  std::vector<std::string> names;
  for (const auto& [known, doc] : optimizer_names()) names.push_back(known);
  d.field("name", name, "the optimizer").choices(names);
  d.field("learning_rate", learning_rate, "at its peak").above(0);
  const auto adamw = [this] { return name == "adamw"; };
  d.field("beta1", beta1, "decay of the first moment")
      .at_least(0)
      .below(1)
      .acts_where("name = adamw", adamw);
  d.field("beta2", beta2, "decay of the second moment")
      .at_least(0)
      .below(1)
      .acts_where("name = adamw", adamw);
  d.field("epsilon", epsilon, "added to the root of the second moment")
      .above(0)
      .acts_where("name = adamw", adamw);
  d.field("momentum", momentum, "decay of the velocity")
      .at_least(0)
      .below(1)
      .acts_where("name = sgd", [this] { return name == "sgd"; });
  d.field("weight_decay", weight_decay,
          "decoupled decay (Loshchilov and Hutter 2019), none on norms and biases")
      .at_least(0);
  d.field("clip", clip, "largest global gradient norm; 0 = no clipping").at_least(0);
  d.field("schedule", schedule,
          "of the learning rate after the warm-up; wsd stays at the peak and falls at the end")
      .choices({"constant", "linear", "cosine", "wsd"});
  d.field("warmup_steps", warmup_steps, "steps over which the rate rises from 0")
      .at_least(0)
      .unit("steps");
  d.field("decay_steps", decay_steps, "length of the falling part; 0 = a fifth of the run")
      .at_least(0)
      .unit("steps")
      .acts_where("schedule = wsd", [this] { return schedule == "wsd"; });
  d.field("final_ratio", final_ratio, "rate at the end over the peak")
      .at_least(0)
      .at_most(1)
      .acts_where("schedule = linear, cosine or wsd", [this] { return schedule != "constant"; });
}

void OptimizerConfig::check(config::Problems& problems, int64_t total,
                            const std::string& section) const {
  if (warmup_steps > 0 && warmup_steps >= total)
    problems.add(section + ".warmup_steps",
                 fmt::format("{} steps of warm-up, but the run has {}", warmup_steps, total),
                 "lower it, or raise train.steps");
  if (schedule == "wsd" && decay_steps + warmup_steps > total)
    problems.add(section + ".decay_steps",
                 fmt::format("warm-up and decay take {} steps, but the run has {}",
                             decay_steps + warmup_steps, total),
                 "lower one of them");
}

double learning_rate_at(const OptimizerConfig& c, int64_t step, int64_t total) {
  if (step < c.warmup_steps)
    return c.learning_rate * static_cast<double>(step + 1) / static_cast<double>(c.warmup_steps);
  const auto from_ratio = [&](double ratio) {
    return c.learning_rate * (c.final_ratio + (1 - c.final_ratio) * ratio);
  };
  const auto rest = static_cast<double>(std::max<int64_t>(1, total - c.warmup_steps));
  const double progress = std::clamp(static_cast<double>(step - c.warmup_steps) / rest, 0.0, 1.0);
  if (c.schedule == "linear") return from_ratio(1 - progress);
  if (c.schedule == "cosine")
    return from_ratio(0.5 * (1 + std::cos(3.14159265358979323846 * progress)));
  if (c.schedule == "wsd") {
    const auto decay =
        static_cast<double>(c.decay_steps > 0 ? c.decay_steps : std::max<int64_t>(1, total / 5));
    return from_ratio(std::clamp(static_cast<double>(total - step) / decay, 0.0, 1.0));
  }
  return c.learning_rate;
}

}  // namespace ocoee::optim
