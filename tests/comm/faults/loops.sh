#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# loops.sh [COUNT [MODE ...]]: every fault COUNT times (20), all four ranks in turn, each message within its promised time.
# By hand, on a quiet machine, after `./dev test` built the programs.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../.." && pwd)/build/tests/comm
count=${1:-20}; shift || true
if [ $# = 0 ]; then set -- kill crash stop kind count dtype root order hang throw; fi
failed=0 log=$(mktemp)
trap 'rm -f "$log"' EXIT
for mode in "$@"; do
  "$here/fault_driver" "$here/fault_program" "$mode" "$count" timed >"$log" || { failed=1; cat "$log"; }
  tail -n 1 "$log"
done
exit $failed
