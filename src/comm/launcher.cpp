// SPDX-License-Identifier: Apache-2.0
// Who started this process, from the environment alone.
#include <cstdlib>
#include <initializer_list>

#include "comm/world.h"
#include "core/error.h"

namespace ocoee::comm {
namespace {

bool is_set(const char* name) {
  const char* value = std::getenv(name);
  return value && *value;
}

int first_number(std::initializer_list<const char*> names, int otherwise) {
  for (const char* name : names) {
    if (is_set(name)) return std::atoi(std::getenv(name));
  }
  return otherwise;
}

}  // namespace

Launcher detect_launcher() {
  // Open MPI's mpirun inside a Slurm job starts its daemons by srun, so its ranks see Slurm's
  // variables of a daemon; and a job script has Slurm's variables, but no step, so what it starts
  // by hand was started by nobody.
  if (is_set("OMPI_COMM_WORLD_RANK")) return Launcher::mpirun;
  if (is_set("SLURM_STEP_ID") && is_set("SLURM_PROCID")) return Launcher::srun;
  if (is_set("PMI_RANK") || is_set("PMIX_RANK") || is_set("PALS_RANKID"))
    return Launcher::mpirun;  // MPICH, PRRTE, Cray
  if (is_set("TORCHELASTIC_RUN_ID") ||
      (is_set("RANK") && is_set("WORLD_SIZE") && is_set("MASTER_ADDR")))
    return Launcher::torchrun;
  return Launcher::none;
}

std::string name_of(Launcher launcher) {
  switch (launcher) {
    case Launcher::none:
      return "none";
    case Launcher::mpirun:
      return "mpirun";
    case Launcher::srun:
      return "srun";
    case Launcher::torchrun:
      return "torchrun";
  }
  return "?";
}

void require_launcher_of_mpi() {
  if (detect_launcher() != Launcher::torchrun) return;
  fail(ErrorKind::config,
       "torchrun started this process, but it starts no MPI\n    fix: mpirun -n {} ocoee run "
       "RECIPE, or srun under Slurm",
       launched_size());
}

int launched_rank() {
  switch (detect_launcher()) {
    case Launcher::none:
      return 0;
    case Launcher::mpirun:
      return first_number({"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "PALS_RANKID"}, 0);
    case Launcher::srun:
      return first_number({"SLURM_PROCID"}, 0);
    case Launcher::torchrun:
      return first_number({"RANK"}, 0);
  }
  return 0;
}

int launched_size() {
  switch (detect_launcher()) {
    case Launcher::none:
      return 1;
    case Launcher::mpirun:
      return first_number({"OMPI_COMM_WORLD_SIZE", "PMI_SIZE"}, 1);
    case Launcher::srun:
      return first_number({"SLURM_STEP_NUM_TASKS", "SLURM_NTASKS"}, 1);
    case Launcher::torchrun:
      return first_number({"WORLD_SIZE"}, 1);
  }
  return 1;
}

int launched_local_size() {
  // Of a step over nodes Slurm says "2(x3)" or "4,2".
  switch (detect_launcher()) {
    case Launcher::none:
      return 1;
    case Launcher::mpirun:
      return first_number({"OMPI_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS", "PALS_LOCAL_SIZE"}, 1);
    case Launcher::srun:
      return first_number({"SLURM_STEP_TASKS_PER_NODE", "SLURM_TASKS_PER_NODE"}, 1);
    case Launcher::torchrun:
      return first_number({"LOCAL_WORLD_SIZE"}, 1);
  }
  return 1;
}

int launched_local_rank() {
  switch (detect_launcher()) {
    case Launcher::none:
      return 0;
    case Launcher::mpirun:
      return first_number({"OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "PALS_LOCAL_RANKID"},
                          launched_rank());
    case Launcher::srun:
      return first_number({"SLURM_LOCALID"}, launched_rank());
    case Launcher::torchrun:
      return first_number({"LOCAL_RANK"}, launched_rank());
  }
  return 0;
}

}  // namespace ocoee::comm
