// SPDX-License-Identifier: Apache-2.0
// The only header, beside world_impl.h, that shows MPI to the rest of this room.
#pragma once

#include <limits>

#include "comm/backend.h"
#include "comm/mpi_header.h"

namespace ocoee::comm {

void check_mpi(int code, const char* what);  // throws Error(comm) with MPI's own text
MPI_Datatype mpi_type(DType dtype);          // bf16 and f16 travel as a two-byte type of their own
MPI_Op mpi_op(Reduce op, DType dtype);       // own reductions for bf16 and f16, in float

// Over host buffers. Takes the communicator and frees it. MPI 3 counts in int: what is larger than
// `largest_count` elements goes in pieces.
std::shared_ptr<Communicator> make_mpi_communicator(
    std::string name, MPI_Comm mpi, std::vector<int> world_ranks,
    int64_t largest_count = std::numeric_limits<int>::max());

}  // namespace ocoee::comm
