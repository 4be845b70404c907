# SPDX-License-Identifier: Apache-2.0
# Options, flags that every room shares, compiler cache and linker.
set(OCOEE_TORCH "AUTO" CACHE STRING "Folder of the LibTorch wheel (holds torch/lib), AUTO, or OFF")
option(OCOEE_CUDA "Build CUDA kernels and link the GPU part of LibTorch" OFF)
option(OCOEE_TESTS "Build the tests" ON)
option(OCOEE_BENCH "Build the benchmarks" OFF)
option(OCOEE_FUZZ "Build the libFuzzer targets (needs clang)" OFF)
set(OCOEE_SANITIZE "" CACHE STRING "Sanitizers, as in -fsanitize=...: address,undefined or thread")
set(OCOEE_NATIVE "x86-64-v3" CACHE STRING "Value of -march for the CPU kernels; native for this machine")

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -g1 -DNDEBUG")
set(CMAKE_CUDA_FLAGS_RELEASE "-O3 -DNDEBUG -lineinfo")

find_program(OCOEE_CCACHE ccache)
if(OCOEE_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  # torch's precompiled header needs these two, or every file that uses it misses the cache.
  # Relative paths let one clone's objects serve another's.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_BASEDIR=${PROJECT_SOURCE_DIR} CCACHE_NOHASHDIR=1
      CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime ${OCOEE_CCACHE})
  set(CMAKE_CUDA_COMPILER_LAUNCHER ${OCOEE_CCACHE})
endif()
find_program(OCOEE_MOLD mold)
if(OCOEE_MOLD AND NOT OCOEE_FUZZ)
  add_link_options(-fuse-ld=mold)
endif()

if(OCOEE_SANITIZE)
  add_compile_options(-O1 -fsanitize=${OCOEE_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${OCOEE_SANITIZE})
  add_compile_options(-Wno-maybe-uninitialized)  # gcc takes the sanitizer's own branches for the program's
endif()

if(OCOEE_FUZZ)  # every room is watched for new paths
  add_compile_options(-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all)
  add_link_options(-fsanitize=address,undefined)
endif()

# Warnings are errors where the compiler is one that the project is checked with: what another one warns of stops no user's build.
# They are of our own targets only; LibTorch comes in as SYSTEM.
set(checked_compiler OFF)
if((CMAKE_CXX_COMPILER_ID STREQUAL GNU AND CMAKE_CXX_COMPILER_VERSION MATCHES "^12\\.") OR
   (CMAKE_CXX_COMPILER_ID STREQUAL Clang AND CMAKE_CXX_COMPILER_VERSION MATCHES "^14\\."))
  set(checked_compiler ON)
endif()
option(OCOEE_WERROR "Warnings are errors" ${checked_compiler})
add_library(ocoee_flags INTERFACE)
target_compile_options(ocoee_flags INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Wshadow -Wnon-virtual-dtor -Wno-missing-field-initializers $<$<BOOL:${OCOEE_WERROR}>:-Werror>>)
# A loop that is asked to be vectorised and cannot be, as under a sanitizer, is no mistake.
target_compile_options(ocoee_flags INTERFACE $<$<COMPILE_LANG_AND_ID:CXX,Clang>:-Wno-pass-failed>)
# g++ 13 takes every reference returned by a function of a temporary for a dangling one.
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_GREATER_EQUAL 13)
  target_compile_options(ocoee_flags INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-Wno-dangling-reference>)
endif()
