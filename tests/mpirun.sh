#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# mpirun.sh RANKS PROGRAM [ARG ...]: starts ranks on this machine, more than it has cores if need be, under Open MPI or MPICH.
set -eu
ranks=$1; shift
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_btl_base_warn_component_unused=0
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_mpi_yield_when_idle=1 OMPI_MCA_hwloc_base_binding_policy=none
exec "${MPIEXEC:-mpirun}" -n "$ranks" "$@"
