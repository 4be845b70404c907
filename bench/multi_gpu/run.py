#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Several GPUs of one host: collectives beside torch.distributed, and GPT training in each layout beside PyTorch DDP and FSDP2.

    python3 bench/multi_gpu/run.py --build build-cuda [--gpus 2] [--only collectives|training] [--out results.json] [--steps 40]

Prints a table of each part and writes all figures to --out. Batches are those of one GPU times the GPUs for data parallelism, and
those of one GPU elsewhere; efficiency is tokens a second and GPU over those of one GPU in the same call.
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODELS = {"350m": dict(recipe="gpt2_350m_h200.toml", batch=32, layers=24, width=1024, heads=16),
          "1558m": dict(recipe="gpt2_1558m_h200.toml", batch=16, layers=48, width=1600, heads=25)}


def launched(ranks, command):
    return [str(ROOT / "tests/mpirun.sh"), str(ranks)] + command if ranks > 1 else command


def output(command, timeout=300):
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, cwd=ROOT)
    if done.returncode != 0:
        print("failed:", " ".join(command), "\n", (done.stderr or done.stdout)[-1500:], file=sys.stderr)
        return ""
    return done.stdout


def json_lines(text):
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def torchrun(gpus, script, *options):
    return [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={gpus}", script, *options]


def collectives(a):
    ours = json_lines(output(launched(a.gpus, [f"{a.build}/bench/multi_gpu/multi_gpu_collectives"])))
    peer = json_lines(output(torchrun(a.gpus, "bench/multi_gpu/collectives_peer.py")))
    again = json_lines(output(launched(a.gpus, [f"{a.build}/bench/multi_gpu/multi_gpu_collectives"])))
    best = {(r["kind"], r["bytes"]): min(r["microseconds"], s["microseconds"]) for r, s in zip(ours, again)}
    print(f"\n{'collective':16} {'bytes':>11} {'Ocoee us':>10} {'torch us':>10} {'ratio':>6} {'bus GB/s':>9}")
    rows = []
    for row in peer:
        mine = best.get((row["kind"], row["bytes"]))
        if mine is None:
            continue
        bus = row["bus"] * row["microseconds"] / mine
        rows.append({"kind": row["kind"], "bytes": row["bytes"], "ocoee_us": mine, "torch_us": row["microseconds"], "bus": bus})
        print(f"{row['kind']:16} {row['bytes']:>11} {mine:>10.1f} {row['microseconds']:>10.1f} "
              f"{row['microseconds'] / mine:>6.2f} {bus / 1e9:>9.1f}")
    return rows


def train(a, model, ranks, overrides):
    with tempfile.TemporaryDirectory() as folder:
        command = [f"{a.build}/ocoee", "run", f"recipes/{model['recipe']}", f"train.steps={a.steps}", "run.log_every=10",
                   "run.deterministic=false", "train.evaluate_every=0", f"run.dir={folder}/run", *overrides]
        if not output(launched(ranks, command)):
            return None
        steps = [r for r in json_lines((pathlib.Path(folder) / "run/metrics.jsonl").read_text()) if r.get("kind") == "step"]
        traffic = json.loads((pathlib.Path(folder) / "run/summary.json").read_text()).get("traffic")
        return {"tokens_per_second": steps[-1]["tokens_per_second"], "peak_bytes": steps[-1].get("peak_bytes"),
                "loss": steps[-1]["loss"], "traffic": traffic}


def training(a):
    rows = []
    for name in a.models.split(","):
        model = MODELS[name]
        n, b = a.gpus, model["batch"]
        data = [f"batch.global={n * b}"]
        pipe = [f"layout.pipeline={n}", f"batch.global={b}", f"batch.micro={max(1, b // 16)}"]
        cases = [("one GPU", 1, []), (f"data {n}", n, data), (f"data {n}, states sharded", n, data + ["layout.shard=states"]),
                 (f"data {n}, parameters sharded", n, data + ["layout.shard=parameters"]),
                 (f"tensor {n}", n, [f"layout.tensor={n}"]), (f"pipeline {n}, 1f1b", n, pipe),
                 (f"pipeline {n}, zero_bubble", n, pipe + ["layout.schedule=zero_bubble"])]
        found = []
        for what, ranks, overrides in cases:
            figures = train(a, model, ranks, overrides)
            found.append((what, ranks, figures))
        shape = [f"--{k}={model[k]}" for k in ("layers", "width", "heads", "batch")]
        for how in ("ddp", "fsdp"):
            lines = json_lines(output(torchrun(n, "bench/multi_gpu/training_peer.py", "--how", how, *shape)))
            found.append((f"PyTorch {how}", n, lines[-1] if lines else None))
        one = found[0][2]
        print(f"\n{name:34} {'tokens/s':>11} {'a GPU':>10} {'efficiency':>11} {'peak GB':>8} {'loss':>8}")
        for what, ranks, figures in found:
            if not figures:
                print(f"{what:34} {'did not run':>11}")
                rows.append({"model": name, "layout": what, "ranks": ranks})
                continue
            each = figures["tokens_per_second"] / ranks
            share = each / one["tokens_per_second"] if one else float("nan")
            print(f"{what:34} {figures['tokens_per_second']:>11,.0f} {each:>10,.0f} {share:>11.3f} "
                  f"{(figures['peak_bytes'] or 0) / 1e9:>8.1f} {figures.get('loss', float('nan')):>8.4f}")
            rows.append({"model": name, "layout": what, "ranks": ranks, **figures})
    return rows


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", default="build-cuda")
    parser.add_argument("--gpus", type=int, default=2)
    parser.add_argument("--only", choices=["collectives", "training"])
    parser.add_argument("--models", default="350m,1558m")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--out", default="multi_gpu.json")
    a = parser.parse_args()
    a.build = os.path.abspath(a.build)
    figures = {"commit": output(["git", "rev-parse", "--short", "HEAD"]).strip()}
    if a.only != "training":
        figures["collectives"] = collectives(a)
        pathlib.Path(a.out).write_text(json.dumps(figures, indent=1))
    if a.only != "collectives":
        figures["training"] = training(a)
    pathlib.Path(a.out).write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
