// SPDX-License-Identifier: Apache-2.0
#include "pi_task.h"

#include <fmt/format.h>

#include <cmath>

#include "core/random.h"

namespace {

using namespace ocoee;

struct PiConfig final : run::TaskConfig {
  std::string name = "pi";
  int64_t steps = 100, darts = 100000, checkpoint_every = 50;

  void describe(config::Description& recipe) override {
    config::Description& d = recipe.section("task", "Darts thrown at the unit square.");
    d.field("name", name, "the task");
    d.field("steps", steps, "rounds of throws").at_least(1).may_change_on_resume();
    d.field("darts", darts, "thrown in a round by all ranks together").at_least(1);
    d.field("checkpoint_every", checkpoint_every, "rounds").at_least(0).may_change_on_resume();
  }
  void check(config::Problems& problems, const run::RunConfig&, int ranks) const override {
    if (darts % ranks != 0) {
      problems.add("task.darts",
                   fmt::format("{} darts are not shared evenly by {} ranks", darts, ranks),
                   fmt::format("use {}", (darts / ranks + 1) * ranks));
    }
  }
  comm::Shape mesh(int ranks) const override {
    comm::Shape shape;
    shape[comm::Axis::data] = ranks;
    return shape;
  }
  nlohmann::json preview(const run::RunConfig&, int) const override {
    return {{"parameters", 0}, {"lines", {fmt::format("{} rounds of {} darts", steps, darts)}}};
  }
};

class PiTask final : public run::Task {
 public:
  PiTask(const PiConfig& config, run::Context& context) : config_(config), context_(context) {}
  int64_t position() const override { return step_; }
  int64_t total() const override { return config_.steps; }
  int64_t checkpoint_every() const override { return config_.checkpoint_every; }

  // A dart's place depends on its number alone, so the estimate is the same on any number of ranks.
  void advance() override {
    const int64_t share = config_.darts / context_.world.size(),
                  first = share * context_.world.rank();
    const auto seed = static_cast<uint64_t>(context_.run.seed);
    const PhiloxKey key = random_key(seed, Purpose::plugin_first, static_cast<uint64_t>(step_));
    int64_t inside = 0;
    for (int64_t dart = first; dart < first + share; ++dart) {
      const PhiloxCounter bits = random_bits(key, static_cast<uint64_t>(dart), 0);
      const double x = unit_double(bits.v[0], bits.v[1]), y = unit_double(bits.v[2], bits.v[3]);
      inside += x * x + y * y < 1;
    }
    context_.mesh.axis(comm::Axis::data)
        .all_reduce({&inside, 1, DType::i64, {}}, comm::Reduce::sum);
    inside_ += inside;
    ++step_;
    context_.events.emit(
        {"step", step_, {{"loss", std::abs(estimate() - M_PI)}, {"estimate", estimate()}}});
  }

  run::State state() override {
    run::State state;
    state.values = {{"step", step_}, {"inside", inside_}};
    return state;
  }
  void loaded(const nlohmann::json& values) override {
    step_ = values.at("step");
    inside_ = values.at("inside");
  }
  void finish() override {
    context_.events.emit({"summary", step_, {{"final", {{"pi", estimate()}}}}});
  }

 private:
  double estimate() const {
    return 4.0 * static_cast<double>(inside_) / static_cast<double>(step_ * config_.darts);
  }

  PiConfig config_;
  run::Context& context_;
  int64_t step_ = 0, inside_ = 0;
};

}  // namespace

run::TaskType pi_task() {
  return {"pi", "pi by throwing darts", [] { return std::make_unique<PiConfig>(); },
          [](const run::TaskConfig& config, run::Context& context) -> std::unique_ptr<run::Task> {
            return std::make_unique<PiTask>(dynamic_cast<const PiConfig&>(config), context);
          }};
}
