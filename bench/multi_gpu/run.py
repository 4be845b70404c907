#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Several GPUs of one host: collectives beside torch.distributed, and GPT training in each layout beside PyTorch DDP and FSDP2.

    python3 bench/multi_gpu/run.py --build build-cuda [--gpus 2] [--only collectives|training] [--out results.json] [--steps 40]

Prints a table of each part and writes all figures to --out. Batches are those of one GPU times the GPUs for data parallelism, and
those of one GPU elsewhere; efficiency is tokens a second and GPU over those of one GPU in the same call. Planned is what each run
wrote down before its first step.
"""
import argparse
import contextlib
import json
import os
import pathlib
import signal
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODELS = {"350m": dict(recipe="gpt2_350m_h200.toml", batch=32, layers=24, width=1024, heads=16),
          "1558m": dict(recipe="gpt2_1558m_h200.toml", batch=16, layers=48, width=1600, heads=25)}


def launched(ranks, command):
    return [str(ROOT / "tests/mpirun.sh"), str(ranks)] + command if ranks > 1 else command


def output(command, timeout=300):
    """What it prints; empty, with the reason on stderr, where it fails, hangs or is not there."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, cwd=ROOT)
    except (OSError, subprocess.TimeoutExpired) as error:
        print("failed:", error, file=sys.stderr)
        return ""
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
    """Ends with the last logged step: the checkpoint after it is no part of this."""
    memory = pathlib.Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        command = [f"{a.build}/ocoee", "run", f"recipes/{model['recipe']}", f"train.steps={a.steps + 1}", "run.log_every=10",
                   "run.deterministic=false", "run.save_at_start=false", "train.evaluate_every=0", f"run.dir={folder}/run",
                   f"run.machine={a.machine}", *overrides]
        threads = str(max(1, (os.cpu_count() or 1) // ranks))
        process = subprocess.Popen(launched(ranks, command), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                   start_new_session=True, env=os.environ | {"OMP_NUM_THREADS": threads})
        metrics, end, steps = pathlib.Path(folder) / "run/metrics.jsonl", time.monotonic() + a.timeout, []
        while not steps or steps[-1]["step"] < a.steps:
            time.sleep(0.2)
            if process.poll() is not None or time.monotonic() > end:
                break
            if metrics.exists():
                whole = metrics.read_text().rpartition("\n")[0]
                steps = [r for r in json_lines(whole) if r.get("kind") == "step" and r["step"] % 10 == 0]
        finished = bool(steps) and steps[-1]["step"] >= a.steps
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        text = process.communicate()[0]
        if not finished:
            print("failed:", " ".join(command), "\n", text[-1500:], file=sys.stderr)
            return None
        plan = json.loads((pathlib.Path(folder) / "run/plan.json").read_text())  # written before the first step
        seconds = statistics.median(r["step_seconds"] for r in steps[1:])
        return {"tokens_per_second": statistics.median(r["tokens_per_second"] for r in steps[1:]), "step_seconds": seconds,
                "peak_bytes": steps[-1].get("peak_bytes"), "loss": steps[-1]["loss"], "planned_bytes": plan["memory_total_bytes"],
                "planned_seconds": plan.get("predicted", {}).get("seconds")}


def cases(name, model, n):
    """(what, ranks, keys): one GPU first."""
    b = model["batch"]
    data = [f"batch.global={n * b}"]
    pipe = [f"layout.pipeline={n}", f"batch.global={b}", f"batch.micro={max(1, b // 16)}"]
    return [("one GPU", 1, []), (f"data {n}", n, data), (f"data {n}, states sharded", n, data + ["layout.shard=states"]),
            (f"data {n}, parameters sharded", n, data + ["layout.shard=parameters"]),
            (f"tensor {n}", n, [f"layout.tensor={n}"]), ("one GPU, 16 micro-batches", 1, [pipe[1], pipe[2]]),
            (f"pipeline {n}, 1f1b", n, pipe), (f"pipeline {n}, zero_bubble", n, pipe + ["layout.schedule=zero_bubble"])]


def training(a):
    rows = []
    for name in a.models.split(","):
        model, one = MODELS[name], None
        print(f"\n{name:34} {'tokens/s':>11} {'a GPU':>10} {'efficiency':>11} {'peak GB':>8} {'planned':>8} "
              f"{'step ms':>8} {'planned':>8} {'loss':>8}")
        shape = [f"--{k}={model[k]}" for k in ("layers", "width", "heads", "batch")]
        jobs = [(what, ranks, lambda ranks=ranks, keys=keys: train(a, model, ranks, keys))
                for what, ranks, keys in cases(name, model, a.gpus)]
        for how in ("ddp", "fsdp"):
            peer = torchrun(a.gpus, "bench/multi_gpu/training_peer.py", "--how", how, *shape)
            jobs.append((f"PyTorch {how}", a.gpus, lambda peer=peer: (json_lines(output(peer, a.timeout)) or [None])[-1]))
        for index, (what, ranks, job) in enumerate(jobs):
            if a.cases and index not in a.cases:
                continue
            figures = job()
            rows.append({"model": name, "layout": what, "ranks": ranks, **(figures or {})})
            if not figures:
                print(f"{what:34} {'did not run':>11}", flush=True)
                continue
            one = one or figures
            each = figures["tokens_per_second"] / ranks
            ms, planned_ms = ((figures.get(key) or float("nan")) * 1e3 for key in ("step_seconds", "planned_seconds"))
            print(f"{what:34} {figures['tokens_per_second']:>11,.0f} {each:>10,.0f} {each / one['tokens_per_second']:>11.3f} "
                  f"{(figures['peak_bytes'] or 0) / 1e9:>8.1f} {figures.get('planned_bytes', float('nan')) / 1e9:>8.1f} "
                  f"{ms:>8.1f} {planned_ms:>8.1f} {figures.get('loss', float('nan')):>8.4f}", flush=True)
    return rows


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", default="build-cuda")
    parser.add_argument("--gpus", type=int, default=2)
    parser.add_argument("--only", choices=["collectives", "training"])
    parser.add_argument("--models", default="350m,1558m")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--cases", type=int, nargs="*", help="rows to run, from 0; efficiency is over the first of them")
    parser.add_argument("--machine", default="h200", help="the profile that plans are made by")
    parser.add_argument("--timeout", type=int, default=120, help="seconds for one row")
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
