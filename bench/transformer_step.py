#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A transformer's training step on one GPU beside PyTorch, eager and compiled: interleaved runs, medians, ratios.

    python3 bench/transformer_step.py build-cuda/ocoee [--models 124m,350m,1558m,1300m,22b] [--runs 5] [--llmc train_gpt2cu]
                                      [--gradients bfloat16]

A run of ours is 60 steps of recipes/gpt2_124m_h200.toml in the model's shape, of which the median over the last five tens
counts; between its runs the process is stopped (SIGSTOP), and the peers run. A run of PyTorch is 15 steps after a warm-up
(bench/peers/gpt_step.py --serve keeps weights and compiled code), one of llm.c a process of 25 steps of which the last 20
count (bench/peers/llmc_step.py). --models name:runs sets the runs of one model. Eager GPT-2 1.5B does not fit beside ours: it
runs after it, in the same call.
"""
import argparse
import json
import os
import pathlib
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "bench/peers"))

MODELS = {  # layers, width, heads, context, samples
    "124m": (12, 768, 12, 1024, 64),
    "350m": (24, 1024, 16, 1024, 32),
    "1558m": (48, 1600, 25, 1024, 16),
    "1300m": (24, 2048, 16, 2048, 8),
    "22b": (4, 6144, 48, 2048, 2),
}
PEERS = {"124m": ["eager", "compiled", "llm.c"], "350m": ["eager", "compiled", "llm.c"], "1558m": ["compiled", "llm.c"],
         "1300m": ["compiled"], "22b": ["compiled"]}
AFTERWARDS = {"1558m": ["eager"]}
VOCABULARY = 50304


def scratch():
    memory = pathlib.Path("/dev/shm")
    return tempfile.mkdtemp(dir=memory if memory.is_dir() else None)


def flops_per_token(layers, width, context):
    parameters = layers * (12 * width * width + 13 * width) + (VOCABULARY + context + 2) * width
    return 6 * parameters + 12 * layers * width * context


class Peer:
    def __init__(self, shape, compiled, park):
        layers, width, heads, context, batch = shape
        self.process = subprocess.Popen(
            [sys.executable, str(ROOT / "bench/peers/gpt_step.py"), "--serve", "--device", "cuda", "--dtype", "bfloat16",
             "--layers", str(layers), "--width", str(width), "--heads", str(heads), "--context", str(context),
             "--batch", str(batch), "--vocabulary", str(VOCABULARY), "--steps", "15", "--warmup", "3", *["--park"] * park],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env=os.environ | {"PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True"})
        if compiled:
            self.ask("compiled")
        self.unread = int(compiled)

    def ask(self, kind):
        self.process.stdin.write(kind + "\n")
        self.process.stdin.flush()

    def ready(self):
        while self.unread:
            self.process.stdout.readline()
            self.unread -= 1

    def run(self, kind):
        self.ready()
        self.ask(kind)
        return json.loads(self.process.stdout.readline())

    def close(self):
        self.process.stdin.close()
        self.process.wait()


class Ours:
    def __init__(self, program, shape, steps, runs, extra):
        layers, width, heads, context, batch = shape
        self.folder = scratch()
        self.steps, self.done, self.rows = steps, 0, []
        self.process = subprocess.Popen(
            [str(pathlib.Path(program).resolve()), "run", str(ROOT / "recipes/gpt2_124m_h200.toml"), f"run.dir={self.folder}/run",
             f"model.layers={layers}", f"model.width={width}", f"model.heads={heads}", f"model.context={context}",
             f"batch.global={batch}", f"batch.micro={batch}", f"train.steps={steps * runs + 1}", "run.log_every=10",
             "run.deterministic=false", "run.save_at_start=false", *extra],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def run(self):
        self.process.send_signal(signal.SIGCONT)
        self.done += self.steps
        metrics = pathlib.Path(self.folder) / "run" / "metrics.jsonl"
        while not self.rows or self.rows[-1]["step"] < self.done:
            time.sleep(0.05)
            if self.process.poll() is not None:
                sys.exit("ours ended early:\n" + self.process.communicate()[0][-3000:])
            if metrics.exists():
                lines = [json.loads(line) for line in metrics.open() if line.endswith("\n")]
                self.rows = [r for r in lines if r.get("kind") == "step" and r["step"] % 10 == 0]
        self.process.send_signal(signal.SIGSTOP)
        time.sleep(0.5)  # what was on its way to the GPU is over
        last = [r for r in self.rows if self.done - 50 < r["step"] <= self.done]
        return {"tokens_per_second": statistics.median(r["tokens_per_second"] for r in last),
                "peak_bytes": last[-1]["peak_bytes"], "loss": last[-1]["loss"]}

    def close(self):
        self.process.kill()
        self.process.communicate()
        shutil.rmtree(self.folder, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--models", default="124m,350m,1558m,1300m,22b")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--without", default="", help="peers that are left out: eager,compiled,llm.c")
    parser.add_argument("--llmc", help="train_gpt2cu of llm.c; without it that peer is left out")
    parser.add_argument("--gradients", choices=["float32", "bfloat16"], default="float32",
                        help="ours: what gradients are kept in; PyTorch widens bfloat16 products to float32, llm.c keeps bfloat16")
    parser.add_argument("--set", nargs="*", default=[], help="more keys of the recipe")
    a = parser.parse_args()
    models = [(name, int(runs) if runs else a.runs) for name, _, runs in (m.partition(":") for m in a.models.split(","))]
    out = a.without.split(",") + ([] if a.llmc else ["llm.c"])
    beside = {name: [k for k in PEERS[name] if k not in out] for name, _ in models}
    after = {name: [k for k in AFTERWARDS.get(name, []) if k not in out] for name, _ in models}

    for name, runs in models:
        llmc = None
        if "llm.c" in beside[name]:
            from llmc_step import LlmC  # the one that needs numpy
            llmc = LlmC(a.llmc, scratch(), *MODELS[name])
        pytorch = None
        if set(beside[name] + after[name]) - {"llm.c"}:
            pytorch = Peer(MODELS[name], "compiled" in beside[name], park=name in AFTERWARDS)
            pytorch.ready()
        ours = Ours(a.program, MODELS[name], a.steps, runs, [f"precision.gradients={a.gradients}", *a.set])
        results = {"ocoee": []} | {k: [] for k in beside[name] + after[name]}
        for index in range(runs):
            results["ocoee"].append(ours.run())
            for kind in beside[name]:
                results[kind].append(llmc.run() if kind == "llm.c" else pytorch.run(kind))
            # A call that is cut short leaves what it has.
            print(f"{name:6} run {index + 1} of {runs}: " + ", ".join(
                f"{kind} {values[-1]['tokens_per_second']:,.0f}" for kind, values in results.items() if values) + " tokens/s",
                file=sys.stderr, flush=True)
        ours.close()
        for kind in after[name]:
            results[kind] = [pytorch.run(kind) for _ in range(runs)]
        for peer in (pytorch, llmc):
            if peer:
                peer.close()
        show(name, results)


def show(name, results):
    rate = {k: [r["tokens_per_second"] for r in v] for k, v in results.items()}
    layers, width, _, context, _ = MODELS[name]
    for kind, values in rate.items():
        middle = statistics.median(values)
        mfu = middle * flops_per_token(layers, width, context) / 989.5e12
        line = (f"{name:6} {kind:9} {middle:10,.0f} tokens/s ({min(values):,.0f} to {max(values):,.0f})  "
                f"MFU {100 * mfu:4.1f} %  peak {results[kind][-1]['peak_bytes'] / 1e9:6.1f} GB")
        if kind != "ocoee":
            ratios = [o / p for o, p in zip(rate["ocoee"], values)]
            line += f"  ours / it {statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})"
        failures = [r["failure"] for r in results[kind] if r.get("failure")]
        print(line + (f"  failed: {failures[0]}" if failures else ""), flush=True)


if __name__ == "__main__":
    main()
