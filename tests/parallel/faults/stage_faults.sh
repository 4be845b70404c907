#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# stage_faults.sh DRIVER PROGRAM OCOEE MODE: a pipeline stage misbehaves; it must be named, and every checkpoint that is in
# place must be whole.
set -eu
driver=$1 program=$2 ocoee=$3 mode=$4
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
OCOEE_TEST_FOLDER=$folder "$driver" "$program" "$mode" 1
found=0
for checkpoint in "$folder"/step-*; do
  case $checkpoint in *.partial | *.removing) continue ;; esac
  "$ocoee" checkpoint verify "$checkpoint"
  found=$((found + 1))
done
[ "$found" -gt 0 ] || { echo "no checkpoint is in place"; exit 1; }
