// SPDX-License-Identifier: Apache-2.0
// A pipelined training in which one stage misbehaves: stage_fault MODE VICTIM, started by
// tests/comm/faults/fault_driver under mpirun. Checkpoints go to OCOEE_TEST_FOLDER all the while.
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>

#include "comm/watchdog.h"
#include "core/error.h"
#include "models/gpt.h"
#include "run/checkpoint.h"
#include "train/update.h"

namespace {

using namespace ocoee;
using comm::Axis;

constexpr int64_t kHealthySteps = 20, kSteps = 20000, kCheckpointEvery = 5;
constexpr int64_t kMicroBatches = 6, kTokens = 16, kVocabulary = 31;

struct Training {
  explicit Training(comm::Mesh& mesh_in) : mesh(mesh_in) {
    models::GptConfig config;
    config.layers = 6, config.width = 32, config.heads = 4, config.context = kTokens;
    parallel::EngineOptions options;
    options.shard = parallel::Shard::parameters;
    engine =
        std::make_unique<parallel::Engine>(models::build_gpt(config, kVocabulary), options, mesh);
    engine->initialize(1);
    optim::OptimizerConfig adamw;
    adamw.warmup_steps = 0;
    update = std::make_unique<train::Update>("lm", *engine, adamw, plan::PrecisionConfig{}, kSteps);
    const at::Tensor tokens = at::arange(kTokens + 1).remainder(kVocabulary).unsqueeze(0);
    batch["tokens"] = tokens.narrow(1, 0, kTokens).contiguous();
    batch["targets"] = tokens.narrow(1, 1, kTokens).contiguous();
  }

  // `fails_at`: the micro-batch at which this stage raises an error; the last stage scores.
  void step(int64_t number, int64_t fails_at) {
    engine->set_random_state(at::tensor({number, int64_t{0}}));
    engine->zero_gradients();
    const std::vector<parallel::MicroStep> micro(kMicroBatches, {&batch, 0});
    engine->run_pipeline(micro, [&](size_t m, const nn::Bundle& output) {
      if (static_cast<int64_t>(m) == fails_at) fail(ErrorKind::data, "the held-out file is broken");
      nn::Bundle seed;
      seed["loss_sum"] = at::full({}, 1e-2, output.at("loss_sum").options());
      return seed;
    });
    update->finish_gradients();
    update->prepare(number);
    update->apply();
  }

  run::State state() {
    run::State out;
    out.arrays = engine->weights().master_arrays("");
    for (run::StateArray& array : update->arrays()) out.arrays.push_back(std::move(array));
    return out;
  }

  comm::Mesh& mesh;
  std::unique_ptr<parallel::Engine> engine;
  std::unique_ptr<train::Update> update;
  nn::Bundle batch;
};

int run_stage(const std::string& mode, int victim) {
  comm::World world = comm::World::start();
  std::printf("process %d %d\n", world.rank(), static_cast<int>(::getpid()));
  std::fflush(stdout);
  comm::WatchdogOptions options;
  options.collective_timeout_seconds = 60;
  const char* folder = std::getenv("OCOEE_TEST_FOLDER");
  if (!folder) return 64;
  const bool by_hand = mode == "kill" || mode == "stop";
  comm::Shape shape;  // an error is raised where losses are scored: ranks 2 and 3 of two stages
  shape[Axis::pipeline] = mode == "throw" ? world.size() / 2 : world.size();
  shape[Axis::data] = world.size() / shape[Axis::pipeline];
  comm::Mesh mesh(world, shape, {});
  Training training(mesh);
  run::CheckpointWriter writer(folder, *world.host(), 2);
  comm::Watchdog watchdog(world, options);
  try {
    for (int64_t step = 0; step < kSteps; ++step) {
      const bool now = step == kHealthySteps, mine = now && !by_hand && world.rank() == victim;
      if (now && world.rank() == (by_hand ? 0 : victim)) {
        std::printf("now\n");
        std::fflush(stdout);
      }
      if (mine && mode == "crash") std::raise(SIGSEGV);
      training.step(step, mine && mode == "throw" ? kMicroBatches / 2 : -1);
      if (step % kCheckpointEvery != 0) continue;
      if (writer.busy()) writer.finish();
      writer.begin(step, training.state(), 0);
    }
  } catch (const Error& error) {
    watchdog.report_failure(error.what(), exit_code(error.kind()));
    std::_Exit(exit_code(error.kind()));
  }
  return 9;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 64;
  try {
    return run_stage(argv[1], std::atoi(argv[2]));
  } catch (const Error& error) {
    return exit_code(error.kind());
  }
}
