# SPDX-License-Identifier: Apache-2.0
# cmake --install: the program, the rooms as static libraries, their headers, and the package that an out-of-tree task
# finds with find_package(Ocoee) (examples/out_of_tree_task). LibTorch stays where it is; the package remembers where.
include(CMakePackageConfigHelpers)
set(ocoee_package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/Ocoee)

set(ocoee_installed)
foreach(room IN LISTS OCOEE_ROOMS ITEMS tasks_build cli_build)
  if(TARGET ocoee_${room})
    set_target_properties(ocoee_${room} PROPERTIES EXPORT_NAME ${room})
    list(APPEND ocoee_installed ocoee_${room})
  endif()
endforeach()
target_compile_features(ocoee_core INTERFACE cxx_std_20)
install(TARGETS ${ocoee_installed} EXPORT OcoeeTargets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}/ocoee)
install(EXPORT OcoeeTargets NAMESPACE ocoee:: DESTINATION ${ocoee_package_dir})
if(TARGET ocoee)
  set(ocoee_programs ocoee)
  if(TARGET ocoee-engine)
    list(APPEND ocoee_programs ocoee-engine)
  endif()
  set_target_properties(${ocoee_programs} PROPERTIES INSTALL_RPATH_USE_LINK_PATH ON)
  install(TARGETS ${ocoee_programs} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()

install(DIRECTORY src/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/ocoee FILES_MATCHING PATTERN "*.h")
install(DIRECTORY ${PROJECT_BINARY_DIR}/src/core/generated/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/ocoee)
install(DIRECTORY recipes machines DESTINATION ${CMAKE_INSTALL_DATADIR}/ocoee OPTIONAL FILES_MATCHING PATTERN "*.toml")
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/ocoee)

configure_package_config_file(cmake/OcoeeConfig.cmake.in ${PROJECT_BINARY_DIR}/OcoeeConfig.cmake
                              INSTALL_DESTINATION ${ocoee_package_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/OcoeeConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/OcoeeConfig.cmake ${PROJECT_BINARY_DIR}/OcoeeConfigVersion.cmake
              cmake/LibTorchWheel.cmake cmake/Spglib.cmake cmake/Hdf5.cmake DESTINATION ${ocoee_package_dir})
