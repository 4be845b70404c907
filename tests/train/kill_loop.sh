#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# kill_loop.sh PROGRAM [KILLS]: kill -9 of all ranks at KILLS random moments (20) of each recipe, half of them while a
# checkpoint is written; after them the losses must be those of a run that was left alone, bit by bit.
set -euo pipefail
program=${1:?kill_loop.sh PROGRAM [KILLS]} kills=${2:-20}
runs=$(dirname "${BASH_SOURCE[0]}")/trainer_runs.py
for recipe in genome_lm text_lm toy_gan; do
  for ranks in 1 2; do
    echo "== $recipe on $ranks rank(s)"
    python3 "$runs" --program "$program" --kills "$kills" --ranks "$ranks" kill "$recipe"
  done
done
