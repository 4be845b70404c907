// SPDX-License-Identifier: Apache-2.0
// ocoee run RECIPE [section.key=value ...]: the one verb for every task.
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "cli/engine.h"
#include "cli/recipe.h"
#include "cli/verbs.h"
#include "comm/world.h"
#include "core/error.h"
#include "core/host.h"
#include "core/log.h"
#include "core/text.h"
#include "data/bytes.h"
#include "device/device.h"
#include "plan/machine.h"
#include "report/report.h"
#include "run/disk_room.h"
#include "run/recipe_identity.h"
#include "run/run_directory.h"
#include "run/runner.h"

namespace ocoee::cli {
namespace {

struct Options {
  std::string recipe;
  std::vector<std::string> overrides;
  bool fresh = false, check = false;
};

bool holds_a_run(const std::filesystem::path& folder) {
  for (const char* file : {"summary.json", "environment.json", "metrics.jsonl"})
    if (std::filesystem::exists(folder / file)) return true;
  return false;
}

device::Device choose_device(const std::string& name, const comm::World& world) {
  if (name == "cpu") return {};
  const int gpus = device::cuda_device_count();
  if (gpus == 0) {
    if (name == "auto") return {};
    fail(
        ErrorKind::device,
        "run.device = \"cuda\", but {}\n    fix: use \"cpu\" or \"auto\"; `ocoee doctor` says more",
        device::cuda_unavailable_reason());
  }
  return {device::Kind::cuda, world.local_rank() % gpus};
}

// The profile that times are predicted from: the recipe's, what `ocoee calibrate` wrote, or the
// GPU's own; "" where none is known.
std::string choose_machine(const run::RunConfig& run, const device::Device* device) {
  if (!run.machine.empty()) return run.machine;
  const char* const calibrated = "machines/here.toml";
  if (std::filesystem::exists(calibrated)) return calibrated;
  return device && device->is_cuda() ? plan::machine_of_device(device::properties(*device).name)
                                     : "";
}

// mpirun binds the ranks of a small launch to a core each, which is seldom what was meant.
int64_t threads_of(const comm::World& world) {
  const int cores = world.cores(), share = host_cores() / world.local_size();
  if (cores < share && world.size() > 1)
    log::info(
        "{} thread{} a rank: of this host's {} cores each was bound to {}; `mpirun --bind-to "
        "none` leaves them free, srun has --cpus-per-task",
        cores, cores == 1 ? "" : "s", host_cores(), cores);
  return cores;
}

// A recipe may be meant for another machine, so this is no problem of it.
std::vector<std::string> not_on_this_host(const run::RunConfig& run,
                                          const nlohmann::json& preview) {
  std::vector<std::string> lines;
  const bool has_gpu = device::cuda_device_count() > 0;
  if (run.device == "cuda" && !has_gpu)
    lines.push_back(fmt::format("not on this host: run.device = \"cuda\", but {}",
                                device::cuda_unavailable_reason()));
  const double a_rank = preview.value("memory_total_bytes", 0.0);
  const int ranks = comm::launched_local_size();
  const bool on_cpu = run.device == "cpu" || (run.device == "auto" && !has_gpu);
  if (on_cpu && a_rank * ranks > host_memory_bytes())
    lines.push_back(fmt::format(
        "not on this host: {} may need {}, and the host has {}",
        ranks == 1 ? "a rank" : fmt::format("its {} ranks of {} each", ranks, format_bytes(a_rank)),
        format_bytes(a_rank * ranks), format_bytes(host_memory_bytes())));
  return lines;
}

// The files that are where the recipe says, each opened and its first bytes unpacked, and what the
// task finds in them. Others are problems of the recipe, or names that a program of others looks
// up.
std::string inputs_lines(const run::TaskConfig& task, const std::vector<std::string>& files) {
  double bytes = 0;
  int64_t count = 0;
  for (const std::string& file : files) {
    if (!std::filesystem::exists(file)) continue;
    char first[1 << 12];
    data::open_bytes(file)->read(first, sizeof first);
    bytes += static_cast<double>(std::filesystem::file_size(file));
    ++count;
  }
  if (count == 0) return "";
  const std::string inputs =
      fmt::format("inputs: {}, {}, can be read", counted(count, "file"), format_bytes(bytes));
  if (!run::is_quickly_read(files))
    return inputs + "; what they hold is left to the run (more than 1 GiB)";
  const std::string found = task.read_inputs();
  return found.empty() ? inputs : inputs + "\n" + found;
}

run::DirectoryRequest directory_request(const Recipe& recipe, bool fresh) {
  run::DirectoryRequest request;
  request.folder = recipe.run.folder();
  request.stable_recipe = run::stable_recipe(recipe.description);
  request.input_files = run::input_files(recipe.description);
  request.fresh = fresh;
  return request;
}

// What would happen, and at the end what would not work: an Error as the run itself would throw.
void check(Recipe& recipe, const Options& options) {
  recipe.run.machine = choose_machine(recipe.run, nullptr);
  const nlohmann::json preview = recipe.task->preview(recipe.run, comm::launched_size());
  std::vector<std::string> lines = preview.at("lines");
  std::vector<Error> refusals;
  const auto look = [&](const auto& line_of) {
    try {
      if (std::string line = line_of(); !line.empty()) lines.push_back(std::move(line));
    } catch (const Error& error) {
      refusals.push_back(error);
    }
  };
  const run::DirectoryRequest directory = directory_request(recipe, options.fresh);
  look([] { return comm::require_launcher_of_mpi(), std::string(); });
  look([&] { return inputs_lines(*recipe.task, directory.input_files); });
  look([&] { return run::directory_outlook(directory, preview.value("steps", int64_t{0})); });
  look([&] {
    const double bytes = preview.value("checkpoint_bytes", 0.0);
    if (bytes <= 0) return std::string();
    const auto room = run::disk_room(recipe.run, bytes, preview.value("steps", int64_t{0}));
    return (room.is_enough() ? "" : "not on this disk: ") + room.words();
  });
  for (const std::string& line : config::keys_without_effect(recipe.description))
    lines.push_back("note: " + line);
  for (const std::string& line : not_on_this_host(recipe.run, preview)) lines.push_back(line);
  if (refusals.empty()) std::printf("%s: no problems\n", options.recipe.c_str());
  for (const std::string& line : lines) std::printf("%s\n", line.c_str());
  if (refusals.empty()) return;
  std::vector<std::string> texts;
  for (const Error& refusal : refusals) texts.emplace_back(refusal.what());
  throw Error(refusals.front().kind(), join(texts, "\n"));
}

int run(const Tasks& tasks, const Options& options, const std::string& command) {
  // A recipe error should answer at once, so the recipe is read before MPI starts.
  const std::unique_ptr<Recipe> recipe =
      read_recipe(tasks, options.recipe, options.overrides, comm::launched_size());
  if (options.check) {
    if (comm::launched_rank() != 0) return 0;  // one answer is enough
    check(*recipe, options);
    return 0;
  }
  enter_engine();
  if (!recipe->type->build)
    fail(ErrorKind::config,
         "task {} trains, but this program was built without LibTorch\n    fix: ./dev build",
         recipe->type->name);
  comm::World world = comm::World::start();
  log::set_rank(world.rank(), world.size());
  for (const std::string& line : config::keys_without_effect(recipe->description))
    log::info("{}", line);
  run::RunRequest request;
  request.type = recipe->type;
  request.config = recipe->task.get();
  request.run = recipe->run;
  if (request.run.threads == 0) request.run.threads = threads_of(world);
  request.recipe_toml = config::to_toml(recipe->description);
  request.recipe_path = options.recipe;
  request.stable_recipe = run::stable_recipe(recipe->description);
  request.input_files = run::input_files(recipe->description);
  request.command = command;
  request.fresh = options.fresh;
  request.device = choose_device(recipe->run.device, world);
  request.run.machine = choose_machine(recipe->run, &request.device);
  request.write_report = [](const std::filesystem::path& folder) { report::write_report(folder); };
  const run::Outcome outcome = run::run_task(world, request);
  return outcome == run::Outcome::finished ? 0 : exit_code(ErrorKind::interrupted);
}

}  // namespace

void add_run(CLI::App& program, const Tasks& tasks, Action& chosen) {
  auto options = std::make_shared<Options>();
  CLI::App* verb = program.add_subcommand("run", "run a recipe, or go on with it where it stopped");
  verb->add_option("recipe", options->recipe, "a TOML file")->required();
  verb->add_option("overrides", options->overrides, "section.key=value, as often as needed");
  verb->add_flag("--fresh", options->fresh,
                 "start over: an earlier run in the same directory is moved aside");
  verb->add_flag("--check", options->check, "only check the recipe, its data and its directory");
  verb->callback([&tasks, &chosen, options] {
    chosen = [&tasks, options] {
      return run(tasks, *options, comm::launch_prefix() + run::command_line());
    };
  });
}

void add_report(CLI::App& program, Action& chosen) {
  auto folder = std::make_shared<std::string>();
  CLI::App* verb = program.add_subcommand("report", "write report.html anew from a run directory");
  verb->add_option("run", *folder, "a run directory, such as runs/NAME")->required();
  verb->callback([&chosen, folder] {
    chosen = [folder] {
      // One that holds nothing of a run gets no page; one that is not there is told by the report.
      if (std::filesystem::is_directory(*folder) && !holds_a_run(*folder))
        fail(ErrorKind::data,
             "{}: nothing of a run is there. Expected a folder that `ocoee run` wrote, such as "
             "runs/NAME.",
             *folder);
      std::printf("report %s\n", report::write_report(*folder).string().c_str());
      return 0;
    };
  });
}

}  // namespace ocoee::cli
