#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A training step on the CPU beside eager PyTorch: interleaved pairs, one table.

    python3 bench/cpu_step.py [--pairs 5] [--dtype float32] [--threads 2] [--ocoee build/ocoee] [--python PYTHON]

The demo's model: 4 layers, width 128, 4 heads, 256 codon tokens, batch 16. Ours is the median of the run's own records of
tokens per second (metrics.jsonl), the peer's that of its steps. PYTHON must have torch: by default the environment that
tests/peers/interchange.sh makes, else python3. With --ranks it sets two ranks of one thread beside one rank of two threads
instead, and needs no torch.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
RECIPE = HERE.parent / "recipes" / "genome_ecoli_demo.toml"


def python_with_torch(named):
    """The one that was named, or that of the peers' environment, or python3; the first that has torch."""
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
    peers = pathlib.Path(os.environ.get("OCOEE_PEERS") or cache / "ocoee" / "peers") / "interchange" / "bin" / "python"
    places = [named] if named else [str(peers), "python3"]
    for python in places:
        try:
            if subprocess.run([python, "-c", "import torch"], capture_output=True, check=False).returncode == 0:
                return python
        except OSError:
            pass
    raise SystemExit(f"no torch for the peer in {' or '.join(places)}: tests/peers/interchange.sh makes an environment that has it, "
                     "or name one with --python")


def ours(a, ranks, threads):
    with tempfile.TemporaryDirectory() as folder:
        command = [a.ocoee, "run", str(RECIPE), f"run.dir={folder}/run", f"run.threads={threads}", "run.log_every=2",
                   f"precision.compute={a.dtype}", f"train.steps={a.steps}", "train.evaluate_every=0",
                   "train.checkpoint_every=0", "optimizer.warmup_steps=1", f"batch.micro={16 // ranks}"]
        if ranks > 1:
            command = [str(HERE.parent / "tests" / "mpirun.sh"), str(ranks)] + command
        done = subprocess.run(command, capture_output=True, text=True, cwd=HERE.parent)
        if done.returncode:
            raise SystemExit(done.stdout + done.stderr)
        rates = []
        for line in (pathlib.Path(folder) / "run" / "metrics.jsonl").read_text().splitlines():
            record = json.loads(line)
            if "tokens_per_second" in record:
                rates.append(record["tokens_per_second"])
        return statistics.median(rates[2:])


def peer(a):
    done = subprocess.run([a.python, str(HERE / "peers" / "gpt_step.py"), "--dtype", a.dtype, "--threads", str(a.threads),
                           "--clip", "1.0", "--steps", str(a.steps)], capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])["tokens_per_second"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--ocoee", default="build/ocoee")
    parser.add_argument("--python", default="")
    parser.add_argument("--ranks", action="store_true")
    a = parser.parse_args()
    if not a.ranks:
        a.python = python_with_torch(a.python)
    names = ("2 ranks x 1 thread", "1 rank x 2 threads") if a.ranks else ("Ocoee", "PyTorch eager")
    print(f"{a.dtype}: tokens/s, {names[0]} | {names[1]} | ratio")
    rows = []
    for _ in range(a.pairs):
        rows.append((ours(a, 2, 1), ours(a, 1, 2)) if a.ranks else (ours(a, 1, a.threads), peer(a)))
        print(f"{rows[-1][0]:10.0f} | {rows[-1][1]:10.0f} | {rows[-1][0] / rows[-1][1]:.3f}", flush=True)
    print(f"median ratio {statistics.median(x / y for x, y in rows):.3f}")


if __name__ == "__main__":
    main()
