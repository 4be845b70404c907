# SPDX-License-Identifier: Apache-2.0
# Imported target ocoee_spglib, where spglib (space groups; github.com/spglib/spglib) is to be found. Debian's package brings
# no CMake files.
find_path(OCOEE_SPGLIB_INCLUDE_DIR spglib.h)
find_library(OCOEE_SPGLIB_LIBRARY symspg)
if(OCOEE_SPGLIB_INCLUDE_DIR AND OCOEE_SPGLIB_LIBRARY AND NOT TARGET ocoee_spglib)
  add_library(ocoee_spglib UNKNOWN IMPORTED GLOBAL)
  set_target_properties(ocoee_spglib PROPERTIES IMPORTED_LOCATION ${OCOEE_SPGLIB_LIBRARY}
                        INTERFACE_INCLUDE_DIRECTORIES ${OCOEE_SPGLIB_INCLUDE_DIR})
endif()
