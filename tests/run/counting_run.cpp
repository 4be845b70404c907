// SPDX-License-Identifier: Apache-2.0
// counting_run RECIPE [--fresh] [section.key=value ...]: runs the counting task as `ocoee run`
// would.
#include <unistd.h>

#include <cstdio>
#include <cstring>

#include "core/config.h"
#include "core/error.h"
#include "core/file.h"
#include "core/log.h"
#include "run/counting_task.h"
#include "run/recipe_identity.h"
#include "run/runner.h"

namespace {

using namespace ocoee;

int run_counting(int argc, char** argv) {
  run::RunRequest request;
  run::testing_support::CountingConfig config;
  config::Description description;
  request.run.describe(description.section("run", "run"));
  config.describe(description);
  config::Document document = config::Document::from_file(argv[1]);
  for (int i = 2; i < argc; ++i) {
    if (std::strcmp(argv[i], "--fresh") == 0)
      request.fresh = true;
    else
      document.override_value(argv[i]);
  }
  config::Problems problems;
  document.read(description, problems);
  problems.throw_if_any();

  comm::World world = comm::World::start();
  log::set_rank(world.rank(), world.size());
  // Tests kill these.
  write_file_atomically(request.run.folder().string() + fmt::format(".pid-{}", world.rank()),
                        fmt::format("{}\n", ::getpid()));
  const run::TaskType type = run::testing_support::counting_type();
  request.type = &type;
  request.config = &config;
  request.recipe_toml = config::to_toml(description);
  request.stable_recipe = run::stable_recipe(description);
  request.input_files = run::input_files(description);
  request.command = "counting_run";
  request.write_report = [](const std::filesystem::path& folder) {
    write_file_atomically(folder / "report.html", read_file(folder / "summary.json"));
  };
  return run::run_task(world, request) == run::Outcome::finished
             ? 0
             : exit_code(ErrorKind::interrupted);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) return exit_code(ErrorKind::config);
  try {
    return run_counting(argc, argv);
  } catch (const run::ReportedError& error) {
    return exit_code(error.kind());
  } catch (const Error& error) {
    std::fprintf(stderr, "counting_run: %s: %s\n", name_of(error.kind()), error.what());
    return exit_code(error.kind());
  }
}
