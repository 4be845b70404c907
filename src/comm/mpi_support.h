// SPDX-License-Identifier: Apache-2.0
// The only header that shows MPI to the rest of this room.
#pragma once

#include <mpi.h>

#include "comm/communicator.h"

namespace ocoee::comm {

void check_mpi(int code, const char* what);  // throws Error(comm) with MPI's own text
MPI_Datatype mpi_type(DType dtype);          // bf16 and f16 travel as a two-byte type of their own
MPI_Op mpi_op(Reduce op, DType dtype);       // own reductions for bf16 and f16, accumulating in float

// Over host buffers. Takes the communicator and frees it. With `device` set, GPU buffers are staged through the host.
std::shared_ptr<Communicator> make_mpi_communicator(std::string name, MPI_Comm mpi, std::vector<int> world_ranks, bool staged);
std::shared_ptr<Communicator> make_self_communicator(std::string name, int world_rank);

}  // namespace ocoee::comm
