// SPDX-License-Identifier: Apache-2.0
#include "cli/program.h"

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <set>
#include <thread>

#include "cli/command_line.h"
#include "cli/engine.h"
#include "cli/verbs.h"
#include "comm/world.h"
#include "core/error.h"
#include "core/host.h"
#include "core/text.h"
#include "core/version.h"
#include "run/runner.h"
#include "tasks/registry.h"

namespace ocoee::cli {
namespace {

constexpr const char* kFooter =
    "Start here:\n"
    "  ocoee run recipes/genome_ecoli_demo.toml         train on this machine\n"
    "  mpirun -n 4 ocoee run RECIPE                     the same recipe on four ranks\n"
    "  ocoee run RECIPE optimizer.learning_rate=1e-3    with one value changed\n"
    "Exit codes: ";

// The last words of a failed program. Every rank may come here, mostly with a mistake that all of
// them see: rank 0 tells it, and the others stay until mpirun ends them because rank 0 did, for the
// first rank that ends with an error makes it kill those that have not yet spoken. Who is then
// still there saw what rank 0 did not, as where a folder is missing on one host; the first rank of
// a host speaks for it. srun ends nobody, so there the others keep silent.
int report_failure(ErrorKind kind, const std::string& message) {
  const int rank = comm::launched_rank(), on_host = comm::launched_local_rank();
  if (kind != ErrorKind::config || rank == 0) {
    std::fprintf(stderr, "ocoee: %s: %s\n", name_of(kind), message.c_str());
    return exit_code(kind);
  }
  std::this_thread::sleep_for(std::chrono::seconds(on_host == 0 ? 10 : 12));
  if (on_host == 0 || comm::detect_launcher() != comm::Launcher::srun)
    std::fprintf(stderr, "ocoee: rank %d on %s: %s: %s\n", rank, host_name().c_str(), name_of(kind),
                 message.c_str());
  return exit_code(kind);
}

std::string footer() {
  std::vector<std::string> codes{"0 done"};
  for (const ErrorKind kind : error_kinds())
    codes.push_back(fmt::format("{} {}", exit_code(kind), name_of(kind)));
  return kFooter + join(codes, ", ") + " (`ocoee help exit-codes` says more).";
}

}  // namespace

const run::TaskType& find_task(const Tasks& tasks, const std::string& name,
                               const std::string& recipe) {
  std::vector<std::string> names;
  for (const run::TaskType& task : tasks) {
    if (task.name == name) return task;
    names.push_back(task.name);
  }
  const std::string near = nearest(name, names);
  fail(ErrorKind::config, "{}: task.name: unknown task \"{}\"\n    fix: {}", recipe, name,
       near.empty() ? "one of " + join(names, ", ") : fmt::format("did you mean \"{}\"?", near));
}

void print_answer(const std::string& text) {
  const bool written = std::fwrite(text.data(), 1, text.size(), stdout) == text.size();
  if (std::fflush(stdout) != 0 || !written)
    fail(ErrorKind::file, "standard output: cannot write the answer: {}", std::strerror(errno));
}

int run_program(int argc, char** argv, const std::vector<run::TaskType>& extra) {
  Tasks tasks = tasks::builtin_tasks();
  tasks.insert(tasks.end(), extra.begin(), extra.end());

  CLI::App program{
      "Ocoee trains scientific AI models on HPC machines, and runs the science around them.",
      "ocoee"};
  program.set_version_flag("--version", std::string("ocoee ") + kVersion);
  program.require_subcommand(0, 1);
  program.footer(footer());
  Action chosen;
  add_run(program, tasks, chosen);
  add_plan(program, tasks, chosen);
  add_report(program, chosen);
  add_list(program, tasks, chosen);
  add_help(program, tasks, chosen);
  add_doctor(program, chosen);
  add_data(program, chosen);
  add_checkpoint(program, chosen);
  add_alloy(program, chosen);
  add_calibrate(program, chosen);
  add_tune(program, tasks, chosen);
  add_model_verbs(program, tasks, chosen);
  for (CLI::App* verb : program.get_subcommands(nullptr)) {
    verb->footer("");
    for (CLI::App* second : verb->get_subcommands(nullptr)) second->footer("");
  }

  try {
    program.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return program.exit(error);  // --help, --version
    return report_failure(ErrorKind::config, command_line_problem(program, error, argc, argv));
  }
  if (!chosen) {
    std::fputs(program.help().c_str(), stdout);
    return 0;
  }
  try {
    // These need no tensor, or (run, doctor) say themselves where they do.
    static const std::set<std::string> light{"run",  "plan",       "report", "list", "help",
                                             "data", "checkpoint", "alloy",  "tune", "doctor"};
    for (const CLI::App* verb : program.get_subcommands()) {
      if (!light.contains(verb->get_name())) enter_engine();
    }
    return chosen();
  } catch (const run::ReportedError& error) {  // told already, by a peer or by the watchdog
    return exit_code(error.kind());
  } catch (const std::exception& thrown) {
    const Error error = as_error(thrown);
    return report_failure(error.kind(), error.what());
  }
}

}  // namespace ocoee::cli
