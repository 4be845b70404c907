// SPDX-License-Identifier: Apache-2.0
#include "tasks/gans/toy_gan.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "core/text.h"
#include "plan/tune/acting.h"
#include "tasks/builders.h"
#include "tasks/mesh_shape.h"
#include "tasks/registry.h"

namespace ocoee::tasks {

ToyGanConfig::ToyGanConfig() {
  batch = {256, 256};
  for (optim::OptimizerConfig* optimizer : {&critic, &generator}) {
    optimizer->learning_rate = 1e-3;
    optimizer->beta1 = 0.5;
    optimizer->weight_decay = 0;
    optimizer->clip = 0;
    optimizer->schedule = "constant";
    optimizer->warmup_steps = 0;
  }
}

void ToyGanConfig::describe(config::Description& recipe) {
  config::Description& task =
      recipe.section("task", "A GAN on a ring of Gaussians: two objectives that alternate.");
  task.field("name", name_, "the task; `ocoee list tasks` shows them").required();
  task.field("latent", latent, "size of the noise that a point is made from")
      .at_least(1)
      .at_most(1e6);
  task.field("width", width, "hidden width of both networks").at_least(1).at_most(1e6);
  task.field("hidden_layers", hidden_layers, "hidden layers of both networks")
      .at_least(1)
      .at_most(1000);
  task.field("critic_repeats", critic_repeats, "critic updates for each generator update")
      .at_least(1)
      .at_most(1000);
  task.field("ring_radius", ring_radius, "radius of the ring").above(0);
  task.field("ring_spread", ring_spread, "standard deviation of each Gaussian").above(0);
  recipe.section("batch", batch, "How many samples a step takes.");
  recipe.section("layout", layout, "Ranks per axis; the data axis is what is left of the world.");
  recipe.section("precision", precision, "Number types.");
  config::Description& optimizers =
      recipe.section("optimizer", "One optimizer for each objective.");
  optimizers.section("critic", critic, "How the critic's weights move.");
  optimizers.section("generator", generator, "How the generator's weights move.");
  recipe.section("train", train, "How long, and how often it looks up.");
}

void ToyGanConfig::check(config::Problems& problems, const run::RunConfig&, int ranks) const {
  critic.check(problems, train.steps * critic_repeats, "optimizer.critic");
  generator.check(problems, train.steps, "optimizer.generator");
  precision.check(problems, /*has_float8_products=*/false);
  plan::check_training(problems, batch, layout, ranks);
  plan::check_gradients(problems, precision, batch, layout, ranks);
}

comm::Shape ToyGanConfig::mesh(int ranks) const {
  return mesh_shape(layout, precision, ranks);
}

void ToyGanConfig::keep_what_acts(int ranks) {
  plan::keep_what_acts(batch, layout, precision, ranks);
}

plan::ModelSpec ToyGanConfig::generator_spec() const {
  return models::build_mlp({latent, width, hidden_layers, 2, "relu"}, "");
}

plan::ModelSpec ToyGanConfig::critic_spec() const {
  return models::build_mlp({2, width, hidden_layers, 1, "leaky_relu"}, "");
}

nlohmann::json ToyGanConfig::preview(const run::RunConfig& run, int ranks) const {
  const plan::BatchPlan plan = plan::plan_batch(batch, layout, ranks);
  const int64_t parameters = generator_spec().parameters() + critic_spec().parameters();
  const double bytes = static_cast<double>(precision.compute == "float64" ? 8 : 4);
  const double held = bytes * static_cast<double>(parameters);
  const double gradients = precision.gradients == "bfloat16" ? held / 2 : held;
  // the activations of both networks; of the critic for real and made points
  const double activations =
      static_cast<double>(plan.micro) *
      (generator_spec().saved_bytes_per_token(static_cast<int>(precision.compute_bytes())) +
       2 * critic_spec().saved_bytes_per_token(static_cast<int>(precision.compute_bytes())));
  const double states =
      (precision.moments == "bfloat16" ? 2 : bytes) *
      static_cast<double>(generator_spec().parameters() * generator.states_per_parameter() +
                          critic_spec().parameters() * critic.states_per_parameter());
  const bool has_copy = precision.compute_bytes() < static_cast<int64_t>(bytes);
  const double weights = held + (has_copy && precision.masters == "float32" ? held / 2 : 0);
  const double samples = static_cast<double>(batch.global);
  nlohmann::json out;
  out["parameters"] = parameters;
  // the critic sees real and made points and the generator runs once; then the generator learns
  // through the critic
  const double g = generator_spec().forward_flops_per_token(),
               c = critic_spec().forward_flops_per_token();
  out["flops_per_step"] =
      samples * (static_cast<double>(critic_repeats) * (6 * c + g) + 3 * g + 3 * c);
  out["memory_bytes"] = {{"weights", weights},
                         {"gradients", gradients},
                         {"optimizer", states},
                         {"activations", activations}};
  out["memory_total_bytes"] = weights + gradients + states + activations;
  out["steps"] = train.steps;
  out["lines"] = {
      fmt::format("models: generator {} and critic {} parameters", generator_spec().parameters(),
                  critic_spec().parameters()),
      fmt::format("step: {} critic updates and 1 generator update of {} samples on {} data rank{}, "
                  "{}FLOP",
                  critic_repeats, batch.global, plan.data, plan.data == 1 ? "" : "s",
                  format_count(out["flops_per_step"].get<double>())),
      fmt::format("memory per rank, at most: {} (weights {}, gradients {}, optimizer {}, "
                  "activations {})",
                  format_bytes(weights + gradients + states + activations), format_bytes(weights),
                  format_bytes(gradients), format_bytes(states), format_bytes(activations))};
  for (const std::string& line : train.gaps(run.checkpoint_interval)) out["lines"].push_back(line);
  return out;
}

namespace {

// What the generator makes begins inside the ring and must come to lie on it.
run::DebugRecipe debug_toy_gan(const std::filesystem::path&) {
  return {
      "version = 1\n"
      "[task]\nname = \"toy_gan\"\nlatent = 2\nwidth = 32\n"
      "[batch]\nglobal = 32\nmicro = 16\n"
      "[optimizer.critic]\nlearning_rate = 5e-3\n"
      "[optimizer.generator]\nlearning_rate = 2e-3\n"
      "[train]\nsteps = 200\nevaluate_every = 10\ncheckpoint_every = 50\n",
      "distance", 0.4, "evaluation"};
}

}  // namespace

run::TaskType toy_gan_task() {
  return {"toy_gan", "a small GAN on points of the plane: two objectives that alternate",
          [] { return std::make_unique<ToyGanConfig>(); }, builder_of("toy_gan"), debug_toy_gan};
}

}  // namespace ocoee::tasks
