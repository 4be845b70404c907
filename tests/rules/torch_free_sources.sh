#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The .cpp files that a build without LibTorch and CUDA compiles, for clang-tidy.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
git ls-files 'src/*.cpp' | grep -Ev '^src/(nn|parallel|train)/|_build\.cpp$|_cuda\.cpp$|/nccl_communicator\.cpp$'
