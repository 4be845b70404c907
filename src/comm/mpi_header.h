// SPDX-License-Identifier: Apache-2.0
// MPI's C interface alone: the C++ bindings that some headers bring need a library of their own.
#pragma once

#define OMPI_SKIP_MPICXX 1
#define MPICH_SKIP_MPICXX 1
#include <mpi.h>
