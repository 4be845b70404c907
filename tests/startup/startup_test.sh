#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# startup_test.sh PROGRAM: help, --version, --check and a recipe error load no LibTorch and none of MPI's plug-ins (which
# MPI_Init would open).
set -euo pipefail
program=$(realpath "$1")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
printf 'version = 1\n[task]\nname = "toy_gan"\n[train]\nsteps = 3\n' >good.toml
printf 'version = 1\n[task]\nname = "toy_gan"\n[train]\nstep = 3\n' >bad.toml

# light CODE ARG...: runs the program and looks at every file that the loader opened
light() {
  local code=0 expected=$1; shift
  rm -f loader.*
  LD_DEBUG=files LD_DEBUG_OUTPUT=loader "$program" "$@" >out 2>&1 || code=$?
  [ "$code" = "$expected" ] || { echo "ocoee $*: ended with $code, not $expected"; cat out; exit 1; }
  grep -q 'libc\.so' loader.* || { echo "the loader says nothing, so this proves nothing"; exit 1; }
  ! grep -hE 'calling init: .*(libtorch|libc10|libcud|/mca_)' loader.* || { echo "ocoee $*: loads the above"; exit 1; }
}
light 0 --version
light 0 help
light 0 help optimizer
light 0 --help
light 0 list tasks
light 0 run good.toml --check
grep -q 'memory per rank, at most' out || { echo "--check states no memory"; cat out; exit 1; }
light 2 run bad.toml
light 2 trian
# The same look at a run does find them.
rm -f loader.*
LD_DEBUG=files LD_DEBUG_OUTPUT=loader "$program" run good.toml >out 2>&1 || { cat out; exit 1; }
grep -qhE 'calling init: .*libtorch' loader.* || { echo "even a run seems to load no LibTorch: this test is blind"; exit 1; }
echo "light as it should be"
