#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Several GPUs of one host: collectives beside torch.distributed; GPT training in each layout beside one GPU, PyTorch DDP and
FSDP2; the same losses on one GPU, on several and across a change of their number; a killed rank.

    python3 bench/multi_gpu/run.py --build build-cuda [--gpus 2] [--parts training losses faults] [--calibrate] [--budget 460]

Prints each row as it is known and writes all figures to --out after each. At the end it says which are beyond their bounds
(bounds.py) or did not run, and ends with 1 if any is.

Cards of one kind differ by some percent under their power limit, and a synchronous step goes at the pace of the slowest. So one GPU
is measured on each card, at the same time, and efficiency is tokens a second and GPU over those of the slowest card and over their
mean. Batches are those of one GPU times the GPUs for data parallelism, and those of one GPU elsewhere. Planned is what each run wrote
down before its first step, by --machine or by what --calibrate has just measured here.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import bounds
import jobs

MODELS = {"350m": dict(recipe="gpt2_350m_h200.toml", batch=32, layers=24, width=1024, heads=16),
          "1558m": dict(recipe="gpt2_1558m_h200.toml", batch=16, layers=48, width=1600, heads=25)}
MICRO_BATCHES = 16


def cases(name, model, n, accumulated):
    """(what, ranks, keys, which one-GPU rows it is measured against, share of n GPUs that its bubble leaves)."""
    b = model["batch"]
    alone = [f"batch.global={accumulated * b}", f"batch.micro={b}"]
    data = [f"batch.global={n * accumulated * b}", f"batch.micro={b}"]
    micro = [f"batch.global={b}", f"batch.micro={max(1, b // MICRO_BATCHES)}"]
    pipe = [f"layout.pipeline={n}", *micro]
    one = "one GPU"
    # 25 heads of 64 do not divide: this one has as many weights and FLOPs in 20 heads of 80.
    shape = ["model.heads=20"] if model["heads"] % n else []
    whole = "one GPU, 20 heads of 80" if shape else one
    out = [(one, 1, alone, one, 1), (f"data {n}", n, data, one, 1),
           (f"data {n}, states sharded", n, [*data, "layout.shard=states"], one, 1),
           (f"data {n}, parameters sharded", n, [*data, "layout.shard=parameters"], one, 1)]
    if shape:
        out.append((whole, 1, shape, whole, 1))
    few = f"one GPU, {MICRO_BATCHES} micro-batches"
    out += [(f"tensor {n}{', 20 heads of 80' if shape else ''}", n, [f"layout.tensor={n}", *shape], whole, 1),
            (few, 1, micro, few, 1),
            (f"pipeline {n}, 1f1b", n, pipe, few, MICRO_BATCHES / (MICRO_BATCHES + n - 1)),
            (f"pipeline {n}, zero_bubble", n, [*pipe, "layout.schedule=zero_bubble"], few, 1)]
    return out


def median_of(rows):
    """The figures of a case over its rounds; what is no number, and the clocks, are the last round's."""
    numbers = {key for row in rows for key, value in row.items() if isinstance(value, (int, float)) and key != "ranks"}
    return rows[-1] | {key: statistics.median(row[key] for row in rows if row.get(key) is not None) for key in numbers}


def show(row, more=""):
    nan = float("nan")
    number = {key: row.get(key) if row.get(key) is not None else nan
              for key in ("of_slowest", "of_mean", "of_bubble", "bubble", "ideal_bubble", "step_seconds", "planned_seconds",
                          "peak_bytes", "planned_bytes", "loss")}
    print(f"{row['layout']:36} {row['tokens_per_second']:>10,.0f} {row['tokens_per_second'] / row['ranks']:>9,.0f} "
          f"{number['of_slowest']:>10.3f} {number['of_mean']:>8.3f} "
          f"{number['of_bubble']:>9.3f} {number['bubble']:>7.4f} {number['ideal_bubble']:>7.4f} "
          f"{number['step_seconds'] * 1e3:>8.1f} {number['planned_seconds'] * 1e3:>8.1f} "
          f"{number['peak_bytes'] / 1e9:>8.1f} {number['planned_bytes'] / 1e9:>8.1f} {number['loss']:>8.4f}"
          f"{more}  {', '.join('/'.join(f'{x:.0f}' for x in card) for card in row.get('clocks', []))}", flush=True)


class Bench:
    def __init__(self, options):
        self.o, self.begin, self.not_run = options, time.monotonic(), []
        self.results = {"commit": subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True,
                                                 cwd=jobs.ROOT).stdout.strip()}

    def write(self):
        pathlib.Path(self.o.out).write_text(json.dumps(self.results, indent=1))

    def lacks(self, what):
        if what not in self.not_run:
            self.not_run.append(what)
        print(f"{what:36} did not run", flush=True)

    def limit(self):
        """Seconds for the next case; 0 where the budget is spent."""
        left = self.o.budget - (time.monotonic() - self.begin) if self.o.budget else self.o.timeout
        return 0 if left < 5 else min(self.o.timeout, left)

    def calibrate(self):
        out = pathlib.Path(self.o.out).with_suffix(".machine.toml").absolute()
        jobs.output(jobs.launched(self.o.gpus, [f"{self.o.build}/ocoee", "calibrate", "--device", "cuda", "--out", str(out)]), 120,
                    self.o.gpus)
        if out.exists():
            self.o.machine = str(out)
        self.results["machine"] = self.o.machine
        print(f"plans by {self.o.machine}, {time.monotonic() - self.begin:.0f} s", flush=True)
        self.write()

    def collectives(self):
        ours = jobs.launched(self.o.gpus, [f"{self.o.build}/bench/multi_gpu/multi_gpu_collectives"])
        first = jobs.json_lines(jobs.output(ours, self.o.timeout, self.o.gpus))
        peer = jobs.json_lines(jobs.output(jobs.torchrun(self.o.gpus, "bench/multi_gpu/collectives_peer.py"), self.o.timeout))
        again = jobs.json_lines(jobs.output(ours, self.o.timeout, self.o.gpus))
        best = {(r["kind"], r["bytes"]): min(r["microseconds"], s["microseconds"]) for r, s in zip(first, again)}
        print(f"\n{'collective':16} {'bytes':>11} {'Ocoee us':>10} {'torch us':>10} {'ratio':>6} {'bus GB/s':>9}")
        rows = self.results["collectives"] = []
        if not peer or not best:
            self.lacks("collectives")
        for row in peer:
            mine = best.get((row["kind"], row["bytes"]))
            if mine is None:
                continue
            bus = row["bus"] * row["microseconds"] / mine
            rows.append({"kind": row["kind"], "bytes": row["bytes"], "ocoee_us": mine, "torch_us": row["microseconds"], "bus": bus})
            print(f"{row['kind']:16} {row['bytes']:>11} {mine:>10.1f} {row['microseconds']:>10.1f} "
                  f"{row['microseconds'] / mine:>6.2f} {bus / 1e9:>9.1f}", flush=True)
        self.write()

    def run(self, model, ranks, keys):
        cards = list(range(self.o.gpus)) if ranks == 1 else None
        keys = [f"run.machine={self.o.machine}", *keys, *self.o.keys]
        return jobs.train(self.o.build, model["recipe"], ranks, keys, self.o.steps, self.o.every, self.limit(), cards,
                          pipeline=any(key.startswith("layout.pipeline=") for key in keys))

    def training(self):
        self.results["training"] = []
        for name in self.o.models.split(","):
            taken = {}  # layout -> its rows, one a round
            print(f"\n{name:36} {'tokens/s':>10} {'a GPU':>9} {'of slowest':>10} {'of mean':>8} {'of bubble':>9} "
                  f"{'bubble':>7} {'formula':>7} {'step ms':>8} "
                  f"{'planned':>8} {'peak GB':>8} {'planned':>8} {'loss':>8}  MHz, W of each card", flush=True)
            for _ in range(self.o.rounds):
                bases = self.layouts(name, taken)
            self.peers(name, taken, bases)
            if self.o.rounds > 1:
                print(f"medians of {self.o.rounds} rounds, of the slowest in brackets")
                for rows in taken.values():
                    shares = [row["of_slowest"] for row in rows if "of_slowest" in row]
                    show(median_of(rows), f"  ({min(shares):.3f} to {max(shares):.3f})" if len(shares) > 1 else "")

    def layouts(self, name, taken):
        """Each case once. Returns tokens a second of the cards alone, in this round."""
        model, bases = MODELS[name], {}
        for index, (what, ranks, keys, base, share) in enumerate(cases(name, model, self.o.gpus, self.o.accumulated)):
            if self.o.cases and index not in self.o.cases:
                continue
            if not self.limit():
                self.lacks(f"{name}, {what}")
                continue
            others = [keys for case, _, keys in (v.partition(":") for v in self.o.variants) if int(case) == index]
            for more in ["", *others]:
                rows = self.run(model, ranks, [*keys, *more.split()]) or []
                if ranks == 1 and rows:
                    bases[base] = [row["tokens_per_second"] for row in rows]
                for card, row in enumerate(rows):
                    self.row(taken, name, f"{what} {more}".strip() + f", card {card}" * (ranks == 1), ranks, row, bases.get(base), share)
                if not rows:
                    self.lacks(f"{name}, {what} {more}".strip())
        return bases

    def peers(self, name, taken, bases):
        model = MODELS[name]
        shape = [f"--{k}={model[k]}" for k in ("layers", "width", "heads", "batch")] + [f"--accumulated={self.o.accumulated}"]
        for how in self.o.peers:
            library, _, compiled = how.partition("-")
            text = jobs.output(jobs.torchrun(self.o.gpus, "bench/multi_gpu/training_peer.py", "--how", library, *shape,
                                             *(["--compile"] if compiled else [])), self.limit(), self.o.gpus) if self.limit() else ""
            for row in jobs.json_lines(text)[-1:]:
                self.row(taken, name, f"PyTorch {how}", self.o.gpus, row, bases.get("one GPU"), 1)
            if not jobs.json_lines(text):
                self.lacks(f"{name}, PyTorch {how}")

    def row(self, taken, name, what, ranks, row, base, share):
        each = row["tokens_per_second"] / ranks
        row = {"model": name, "layout": what, "ranks": ranks, **row}
        if base and ranks > 1:
            row |= {"of_slowest": each / min(base), "of_mean": each / statistics.mean(base)}
            row["of_bubble"] = row["of_slowest"] / share
        taken.setdefault(what, []).append(row)
        self.results["training"] = [kept for kept in self.results["training"] if kept["model"] != name] + [
            median_of(rows) | ({"rounds": rows} if len(rows) > 1 else {}) for rows in taken.values()]
        self.write()
        show(row)

    def losses(self):
        """50 steps of 124M on one GPU and on all; and on all, one, all by turns, from checkpoints."""
        keys = ["batch.global=32", "batch.micro=16", "run.deterministic=false", "run.log_every=1", "run.save_at_start=false",
                "train.evaluate_every=0", *self.o.keys]

        def logged(folder, ranks, steps, before=0):
            """The losses of all steps, where the run went on from step `before` and reached its end; else None."""
            card = 0 if ranks == 1 else None
            with jobs.Run(self.o.build, "gpt2_124m_h200.toml", ranks, [*keys, f"train.steps={steps}"], folder, card) as run:
                ended = jobs.wait_for([run], lambda one: one.process.poll() == 0, self.limit())
                run.look()
                went_on = not before or f"going on from the checkpoint of step {before}" in run.said()
                if not (ended and went_on and len(run.steps) == steps):
                    return self.lacks(f"losses, {steps} steps on {ranks}")
                return {row["step"]: row["loss"] for row in run.steps}

        with tempfile.TemporaryDirectory(dir=jobs.MEMORY) as folder:
            one, all_gpus = logged(folder + "/one", 1, 50), logged(folder + "/all", self.o.gpus, 50)
            for before, ranks, steps in ((0, self.o.gpus, 20), (20, 1, 35), (35, self.o.gpus, 50)):
                turns = logged(folder + "/turns", ranks, steps, before)
                if not turns:
                    break
        if not (one and all_gpus and turns):
            return
        most = {what: max(abs(a[s] / b[s] - 1) for s in b)
                for what, a, b in (("one GPU", all_gpus, one), ("turns", turns, all_gpus))}
        self.results["losses"] = {"one": one, "all": all_gpus, "turns": turns, "largest_difference": most}
        self.write()
        print(f"\nlosses of 50 steps: {self.o.gpus} GPUs differ from one by {most['one GPU']:.2%} at most, "
              f"{self.o.gpus} -> 1 -> {self.o.gpus} GPUs by {most['turns']:.2%} from the run that did not stop", flush=True)

    def faults(self):
        rows = self.results["faults"] = []
        for what, keys in (("data", ["batch.global=64"]), ("tensor", [f"layout.tensor={self.o.gpus}"])):
            found = jobs.kill_a_rank(self.o.build, "gpt2_350m_h200.toml", self.o.gpus, [*keys, *self.o.keys], self.o.gpus - 1, self.limit())
            rows.append({"layout": what, **(found or {})})
            self.write()
            if not found:
                self.lacks(f"a killed rank, {what}")
            else:
                print(f"\n{what}: rank {found['killed']} killed; the others ended after {found['seconds']:.2f} s: {found['message']}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build-cuda")
    parser.add_argument("--gpus", type=int, default=2)
    parser.add_argument("--parts", nargs="*", default=["collectives", "training", "losses", "faults"],
                        choices=["collectives", "training", "losses", "faults"])
    parser.add_argument("--models", default="350m,1558m")
    parser.add_argument("--cases", type=int, nargs="*", help="rows to run, from 0")
    parser.add_argument("--variants", nargs="*", default=[], metavar="CASE:KEYS",
                        help="that case once more with these recipe keys, such as '4:layout.halves=off'")
    parser.add_argument("--keys", nargs="*", default=[], help="recipe keys for every run, such as layout.halves=off")
    parser.add_argument("--accumulated", type=int, default=1,
                        help="micro-batches of a GPU in a step, in the data parallel cases and in those of one GPU beside them")
    parser.add_argument("--peers", nargs="*", default=["ddp", "fsdp", "ddp-compiled", "fsdp-compiled"],
                        choices=["ddp", "fsdp", "ddp-compiled", "fsdp-compiled"])
    parser.add_argument("--rounds", type=int, default=1,
                        help="how often all cases run, in turns: the first case finds cold cards, which are quicker; figures are medians. "
                             "Peers run once, after them")
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--every", type=int, default=5, help="steps of a logged stretch; medians are over stretches")
    parser.add_argument("--machine", default="h200", help="the profile that plans are made by")
    parser.add_argument("--calibrate", action="store_true", help="make that profile here, first")
    parser.add_argument("--timeout", type=float, default=60, help="seconds for one case")
    parser.add_argument("--budget", type=float, default=0, help="seconds for everything; 0 = no limit")
    parser.add_argument("--out", default="multi_gpu.json")
    o = parser.parse_args()
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if o.rounds < 1:
        parser.error("--rounds: at least 1")
    if visible and len(visible.split(",")) < o.gpus:
        parser.error(f"--gpus {o.gpus}, but CUDA_VISIBLE_DEVICES={visible}")
    o.build = os.path.abspath(o.build)
    bench = Bench(o)
    if o.calibrate:
        bench.calibrate()
    for part in o.parts:
        if bench.limit():
            getattr(bench, part)()
        else:
            bench.lacks(part)
    plain = not any(key.startswith(("model.", "precision.")) for key in o.keys)
    bench.results |= {"not_run": bench.not_run, "missed": bounds.missed(bench.results, MODELS, o.gpus, plain)}
    bench.write()
    for what in bench.results["missed"]:
        print("beyond its bound:", what)
    if bench.not_run or bench.results["missed"]:
        sys.exit(1)


if __name__ == "__main__":
    main()
