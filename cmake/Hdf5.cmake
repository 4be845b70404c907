# SPDX-License-Identifier: Apache-2.0
# Imported target ocoee_hdf5, where HDF5's C library (hdfgroup.org) is to be found. One that was built with MPI includes mpi.h.
find_package(HDF5 QUIET COMPONENTS C)
if(HDF5_FOUND AND NOT TARGET ocoee_hdf5)
  add_library(ocoee_hdf5 INTERFACE IMPORTED GLOBAL)
  target_include_directories(ocoee_hdf5 SYSTEM INTERFACE ${HDF5_C_INCLUDE_DIRS})
  target_compile_definitions(ocoee_hdf5 INTERFACE ${HDF5_C_DEFINITIONS})
  target_link_libraries(ocoee_hdf5 INTERFACE ${HDF5_C_LIBRARIES})
  if(HDF5_IS_PARALLEL)
    target_link_libraries(ocoee_hdf5 INTERFACE MPI::MPI_C)
  endif()
endif()
