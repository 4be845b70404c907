// SPDX-License-Identifier: Apache-2.0
// Who started this process, from the environment alone.
#include <cstdlib>

#include "comm/world.h"

namespace ocoee::comm {
namespace {

const char* first_set(std::initializer_list<const char*> names) {
  for (const char* name : names) {
    if (const char* value = std::getenv(name); value && *value) return value;
  }
  return nullptr;
}

const char* mpi_rank_text() { return first_set({"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "PALS_RANKID", "MPI_RANKID"}); }

}  // namespace

Launcher detect_launcher() {
  // Under srun both PMI and Slurm variables stand; a job script that calls mpirun has Slurm's too, and Open MPI's.
  if (std::getenv("OMPI_COMM_WORLD_SIZE") && !std::getenv("SLURM_STEP_ID")) return Launcher::mpirun;
  if (std::getenv("SLURM_PROCID") && std::getenv("SLURM_STEP_ID")) return Launcher::srun;
  if (mpi_rank_text()) return Launcher::mpirun;
  if (std::getenv("TORCHELASTIC_RUN_ID") || (std::getenv("RANK") && std::getenv("WORLD_SIZE") && std::getenv("MASTER_ADDR"))) return Launcher::torchrun;
  return Launcher::none;
}

std::string name_of(Launcher launcher) {
  switch (launcher) {
    case Launcher::none: return "none";
    case Launcher::mpirun: return "mpirun";
    case Launcher::srun: return "srun";
    case Launcher::torchrun: return "torchrun";
  }
  return "?";
}

int launched_rank() {
  const char* text = mpi_rank_text();
  if (!text) text = first_set({"SLURM_PROCID", "RANK"});
  return text ? std::atoi(text) : 0;
}

int launched_size() {
  const char* text = first_set({"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MPI_LOCALNRANKS", "SLURM_STEP_NUM_TASKS", "SLURM_NTASKS", "WORLD_SIZE"});
  if (detect_launcher() == Launcher::none) return 1;
  return text ? std::max(1, std::atoi(text)) : 1;
}

}  // namespace ocoee::comm
