#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# install_test.sh BUILD EXAMPLE: installs BUILD, builds EXAMPLE against it alone, and runs it on one rank and on two.
set -euo pipefail
build=$1 example=$2
mpirun=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)/mpirun.sh
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cmake --install "$build" --prefix "$work/prefix" >"$work/log" || { cat "$work/log"; exit 1; }
"$work/prefix/bin/ocoee" --version
(cd "$work" && prefix/bin/ocoee list recipes) | grep -q "$work/prefix/share/ocoee/recipes/toy_gan_ring_cpu.toml"
if [ -e "$work/prefix/bin/ocoee-engine" ]; then
  (cd "$work" && prefix/bin/ocoee run prefix/share/ocoee/recipes/toy_gan_ring_cpu.toml train.steps=2 'run.dir="gan"')
fi
cp -r "$example" "$work/example"
cmake -S "$work/example" -B "$work/build" -G Ninja -DCMAKE_PREFIX_PATH="$work/prefix" -DCMAKE_BUILD_TYPE=Release >"$work/log" 2>&1 ||
  { cat "$work/log"; exit 1; }
cmake --build "$work/build" >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }

cd "$work"
"$work/build/darts" list tasks | grep -w pi
"$work/build/darts" run example/pi.toml run.dir='"one"'
"$mpirun" 2 "$work/build/darts" run example/pi.toml run.dir='"two"'
pi_of() { python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["final"]["pi"])' "$1/summary.json"; }
[ "$(pi_of one)" = "$(pi_of two)" ] || { echo "one rank says $(pi_of one), two say $(pi_of two)"; exit 1; }
case $(pi_of one) in 3.14*) ;; *) echo "pi is not $(pi_of one)"; exit 1 ;; esac
! "$work/build/darts" run example/pi.toml task.darts=0 run.dir='"three"' 2>"$work/error" || { echo "a bad recipe ran"; exit 1; }
grep -q 'task.darts' "$work/error" || { cat "$work/error"; exit 1; }
! "$work/build/darts" run example/pi.toml task.name=pie run.dir='"three"' 2>"$work/error" || { echo "an unknown task ran"; exit 1; }
grep -q 'did you mean "pi"' "$work/error" || { cat "$work/error"; exit 1; }
echo "installed, built against, run"
