// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "comm/mpi_header.h"
#include "comm/world.h"

namespace ocoee::comm {

struct World::Impl {
  bool has_mpi = false, started_mpi = false;
  MPI_Comm mpi = MPI_COMM_NULL;  // a copy of MPI_COMM_WORLD
  int rank = 0, size = 1, local_rank = 0, local_size = 1, cores = 1;
  std::vector<std::string> hosts;
  std::shared_ptr<Communicator> host;
};

}  // namespace ocoee::comm
