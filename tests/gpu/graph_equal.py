#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A training step replayed as a CUDA graph gives the bits of the same step run eagerly: losses, norms and weights.

No step reads anything on the host, replayed or not: the counter of host waits stays at zero
(host_waits_test.cpp proves that it counts), and capture refuses a step that does.
"""
import hashlib
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile

RECIPE = """version = 1
[run]
device = "cuda"
log_every = 1
[task]
name = "text_lm"
files = ["text.txt"]
[model]
style = "{style}"
layers = 3
width = 128
heads = 4
context = 128
dropout = 0.1
[batch]
global = 16
micro = {micro}
[precision]
compute = "{dtype}"{more}
[layout]
loss_chunks = {chunks}
[optimizer]
clip = 0.5
[train]
steps = 20
evaluate_every = 0
checkpoint_every = 20
"""


def run(program, folder, name, graph_after):
    subprocess.run([program, "run", "recipe.toml", f"run.dir={name}", f"train.graph_after={graph_after}"], cwd=folder,
                   check=True, capture_output=True, text=True)
    steps = [json.loads(line) for line in (folder / name / "metrics.jsonl").read_text().splitlines()]
    steps = [s for s in steps if s["kind"] == "step"]
    assert [s["host_waits"] for s in steps] == [0] * len(steps), f"{name}: {[s['host_waits'] for s in steps]}"
    curve = [(s["step"], s["loss"], s["gradient_norm"]) for s in steps]
    newest = max((folder / name / "checkpoints").glob("step-*"), key=lambda p: int(p.name.split("-")[1]))
    shards = sorted(newest.glob("*.safetensors")) or sorted(p for p in newest.iterdir() if p.suffix != ".json")
    digest = hashlib.sha256(b"".join(p.read_bytes() for p in shards)).hexdigest()
    return curve, digest, newest.name


def main():
    program = str(pathlib.Path(sys.argv[1]).resolve())
    if shutil.which("nvidia-smi") is None or subprocess.run(["nvidia-smi", "-L"], capture_output=True).returncode:
        print("skipped: no GPU")
        sys.exit(77)
    for style in ("gpt2", "llama"):
        lean = '\ngradients = "bfloat16"\nmoments = "bfloat16"\nmasters = "split"'
        for dtype, more, chunks in (("float32", "", 1), ("bfloat16", "", 1), ("bfloat16", "", 8), ("float16", "", 1), ("bfloat16", lean, 1),
                                    ("bfloat16", lean, 8)):
            with tempfile.TemporaryDirectory() as scratch:
                folder = pathlib.Path(scratch)
                (folder / "text.txt").write_text("".join(chr(32 + i * i % 89) for i in range(200000)))
                recipe = RECIPE.format(style=style, dtype=dtype, more=more, micro=16 if more else 8, chunks=chunks)
                (folder / "recipe.toml").write_text(recipe)
                eager, eager_weights, last = run(program, folder, "eager", 0)
                replayed, replayed_weights, same_last = run(program, folder, "graph", 3)
                assert len(eager) == 20 and last == same_last == "step-20", (len(eager), last, same_last)
                assert eager == replayed, f"{style} {dtype}: {[p for p in zip(eager, replayed) if p[0] != p[1]][0]}"
                assert eager_weights == replayed_weights, f"{style} {dtype}: weights differ"
                assert len({loss for _, loss, _ in eager}) > 10
                print(f"{style} {dtype}{more.replace(chr(10), ', ')}, loss_chunks = {chunks}: 20 steps bit-equal, no host wait, loss {eager[0][1]:.4f} to {eager[-1][1]:.4f}")


if __name__ == "__main__":
    main()
