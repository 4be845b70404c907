#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# interchange.sh [--goldens]: models go to and from the live transformers library with the same logits; safetensors opens
# our files; TensorBoard reads our events. The peers are installed, once, into a folder of their own (several GB, for
# torch brings its GPU libraries). --goldens writes tests/interchange/golden/{gpt2,llama} anew.
# Environment: OCOEE_PEERS (the folder), OCOEE (the program; else the ocoee on PATH, else build/ocoee).
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
peers=${OCOEE_PEERS:-${XDG_CACHE_HOME:-$HOME/.cache}/ocoee/peers}/interchange
pins=(torch==2.11.0 transformers==5.23.0 safetensors==0.8.0 tensorboard==2.21.0)
program=${OCOEE:-$(command -v ocoee || echo "$root/build/ocoee")}
[ -x "$program" ] || { echo "$program: no such program: ./dev build, or set OCOEE"; exit 1; }

if [ "$(cat "$peers/pins" 2>/dev/null)" != "${pins[*]}" ]; then
  echo "installing ${pins[*]} into $peers"
  rm -rf "$peers"
  python3 -m venv "$peers" || { echo "python3 cannot make environments: apt-get install python3-venv"; exit 1; }
  "$peers/bin/pip" install -q --disable-pip-version-check "${pins[@]}" ||
    { echo "the peers could not be installed; is the Python package registry in reach?"; exit 1; }
  echo "${pins[*]}" >"$peers/pins"
fi
goldens=()
[ "${1:-}" = --goldens ] && goldens=(--goldens "$root/tests/interchange/golden")
exec "$peers/bin/python" "$root/tests/peers/interchange.py" "$program" "${goldens[@]}"
