#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A transformer's training step on one GPU beside PyTorch, eager and compiled: interleaved runs, medians, ratios.

    python3 bench/transformer_step.py build-cuda/ocoee [--models 124m,350m,1558m,1300m,22b] [--runs 5] [--peers eager,compiled]

Ours: 60 steps of recipes/gpt2_124m_h200.toml in the model's shape, the median over the last five tens. The peers: one
process that keeps its weights and compiled code (bench/peers/gpt_step.py --serve), 30 steps a run.
"""
import argparse
import json
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
MODELS = {  # layers, width, heads, context, batch
    "124m": (12, 768, 12, 1024, 64),
    "350m": (24, 1024, 16, 1024, 32),
    "1558m": (48, 1600, 25, 1024, 16),
    "1300m": (24, 2048, 16, 2048, 8),
    "22b": (4, 6144, 48, 2048, 2),
}
VOCABULARY = 50304


def flops_per_token(layers, width, context):
    parameters = layers * (12 * width * width + 13 * width) + (VOCABULARY + context + 2) * width
    return 6 * parameters + 12 * layers * width * context


class Peer:
    def __init__(self, shape):
        layers, width, heads, context, batch = shape
        self.process = subprocess.Popen(
            [sys.executable, str(ROOT / "bench/peers/gpt_step.py"), "--serve", "--device", "cuda", "--dtype", "bfloat16",
             "--layers", str(layers), "--width", str(width), "--heads", str(heads), "--context", str(context),
             "--batch", str(batch), "--vocabulary", str(VOCABULARY), "--steps", "30"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(self, kind):
        self.process.stdin.write(kind + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def ours(program, shape, steps, extra):
    layers, width, heads, context, batch = shape
    memory = pathlib.Path("/dev/shm")  # checkpoints cost little there
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        metrics = pathlib.Path(folder) / "run" / "metrics.jsonl"
        process = subprocess.Popen(
            [str(pathlib.Path(program).resolve()), "run", str(ROOT / "recipes/gpt2_124m_h200.toml"), f"run.dir={folder}/run",
             f"model.layers={layers}", f"model.width={width}", f"model.heads={heads}", f"model.context={context}",
             f"batch.global={batch}", f"batch.micro={batch}", f"train.steps={steps}", "run.log_every=10",
             "run.deterministic=false", *extra], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        # The run is over once its last step is logged: what is left is its checkpoint.
        while process.poll() is None:
            time.sleep(0.1)
            if metrics.exists() and any(f'"step":{steps},' in line.replace(" ", "") for line in metrics.open()):
                process.kill()
        output = process.communicate()[0]
        lines = [json.loads(line) for line in metrics.open()] if metrics.exists() else []
        rows = [r for r in lines if r.get("kind") == "step" and r["step"] % 10 == 0]
        if not rows or rows[-1]["step"] != steps:
            sys.exit("ours failed:\n" + output[-3000:])
        shutil.rmtree(folder, ignore_errors=True)
    last = rows[-5:]
    return {"tokens_per_second": statistics.median(r["tokens_per_second"] for r in last),
            "peak_bytes": last[-1]["peak_bytes"], "loss": (lines[0].get("loss"), last[-1]["loss"])}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--models", default="124m,350m,1558m")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--peers", default="eager,compiled")
    parser.add_argument("--set", nargs="*", default=[], help="more keys of the recipe")
    a = parser.parse_args()
    kinds = [k for k in a.peers.split(",") if k]
    for model in a.models.split(","):
        shape = MODELS[model]
        peer = Peer(shape) if kinds else None
        results = {"ocoee": []} | {k: [] for k in kinds}
        for kind in kinds:  # compiles
            peer.run(kind)
        for _ in range(a.runs):
            results["ocoee"].append(ours(a.program, shape, a.steps, a.set))
            for kind in kinds:
                results[kind].append(peer.run(kind))
        if peer:
            peer.close()
        rate = {k: [r["tokens_per_second"] for r in v] for k, v in results.items()}
        for kind, values in rate.items():
            middle = statistics.median(values)
            mfu = middle * flops_per_token(shape[0], shape[1], shape[3]) / 989.5e12
            line = (f"{model:6} {kind:9} {middle:10,.0f} tokens/s  MFU {100 * mfu:4.1f} %  "
                    f"peak {results[kind][-1]['peak_bytes'] / 1e9:6.1f} GB")
            if kind != "ocoee":
                ratios = [o / p for o, p in zip(rate["ocoee"], values)]
                line += f"  ours / it {statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})"
            else:
                line += f"  spread {min(values):,.0f} to {max(values):,.0f}  loss {results[kind][-1]['loss']}"
            print(line, flush=True)


if __name__ == "__main__":
    main()
