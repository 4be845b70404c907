#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A transformer's training step on one GPU beside PyTorch, eager and compiled: interleaved runs, medians, ratios.

    python3 bench/transformer_step.py build-cuda/ocoee [--models 124m,350m,1558m,1300m,22b] [--runs 5] [--peers eager,compiled]

A run of ours is 60 steps of recipes/gpt2_124m_h200.toml in the model's shape, of which the median over the last five tens
counts; between its runs the process is stopped (SIGSTOP), and the peers run. A run of a peer is 15 steps after a warm-up
(bench/peers/gpt_step.py --serve keeps weights and compiled code). --models name:runs sets the runs of one model; --alone
names models that run without peers. While one model is measured, the next one makes its weights (on the CPU) and waits.
"""
import argparse
import json
import pathlib
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
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
    def __init__(self, shape, kinds):
        layers, width, heads, context, batch = shape
        self.process = subprocess.Popen(
            [sys.executable, str(ROOT / "bench/peers/gpt_step.py"), "--serve", "--device", "cuda", "--dtype", "bfloat16",
             "--layers", str(layers), "--width", str(width), "--heads", str(heads), "--context", str(context),
             "--batch", str(batch), "--vocabulary", str(VOCABULARY), "--steps", "15", "--warmup", "3"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for kind in kinds:
            self.ask(kind)
        self.unread = len(kinds)

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
        memory = pathlib.Path("/dev/shm")  # checkpoints cost little there
        self.folder = tempfile.mkdtemp(dir=memory if memory.is_dir() else None)
        self.steps, self.done, self.rows = steps, 0, []
        self.process = subprocess.Popen(
            [str(pathlib.Path(program).resolve()), "run", str(ROOT / "recipes/gpt2_124m_h200.toml"), f"run.dir={self.folder}/run",
             f"model.layers={layers}", f"model.width={width}", f"model.heads={heads}", f"model.context={context}",
             f"batch.global={batch}", f"batch.micro={batch}", f"train.steps={steps * runs + 1}", "run.log_every=10",
             "run.deterministic=false", *extra], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.waiting = threading.Thread(target=self.wait_before_the_first_step)
        self.waiting.start()

    def wait_before_the_first_step(self):
        while not (pathlib.Path(self.folder) / "run/checkpoints/step-0").exists() and self.process.poll() is None:
            time.sleep(0.02)
        self.process.send_signal(signal.SIGSTOP)

    def run(self):
        self.waiting.join()
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
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--models", default="124m,350m,1558m:3,1300m:3,22b:3")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--peers", default="eager,compiled")
    parser.add_argument("--alone", default="1558m,1300m,22b", help="ours and a peer need more than 139 GB, or it was not asked")
    parser.add_argument("--after", help="wait for this file, once the peers are ready")
    parser.add_argument("--set", nargs="*", default=[], help="more keys of the recipe")
    a = parser.parse_args()
    models = [(name, int(runs) if runs else a.runs) for name, _, runs in (m.partition(":") for m in a.models.split(","))]
    kinds_of = {name: [] if name in a.alone.split(",") else [k for k in a.peers.split(",") if k] for name, _ in models}
    peers = {}
    for name, kinds in kinds_of.items():
        if kinds:
            peers[name] = Peer(MODELS[name], [k for k in kinds if k == "compiled"])
            peers[name].ready()
    while a.after and not pathlib.Path(a.after).exists():
        time.sleep(0.1)

    def start(index):
        return Ours(a.program, MODELS[models[index][0]], a.steps, models[index][1], a.set) if index < len(models) else None

    ours = start(0)
    for index, (name, runs) in enumerate(models):
        ours.waiting.join()
        following = start(index + 1)
        results = {"ocoee": []} | {k: [] for k in kinds_of[name]}
        for _ in range(runs):
            results["ocoee"].append(ours.run())
            for kind in kinds_of[name]:
                results[kind].append(peers[name].run(kind))
        ours.close()
        ours = following
        if name in peers:
            peers[name].close()
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
            print(line, flush=True)


if __name__ == "__main__":
    main()
