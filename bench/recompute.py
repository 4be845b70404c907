#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What recompute and logits in chunks cost a training step on one GPU, and what they save: interleaved runs of one model,
medians, ratios.

    python3 bench/recompute.py build-cuda/ocoee [--models 124m,350m,1300m,22b] [--modes selective,full] [--runs 3]

A mode is of layout.recompute, or loss_chunks=8, or both: selective+loss_chunks=8.

A process for each mode, in the shapes and with the runs of bench/transformer_step.py, of which one runs at a time. On less
than 140 GB of memory --modes selective takes 1300m.
"""
import argparse
import statistics

from transformer_step import MODELS, Ours


def keys_of(mode):
    """selective+loss_chunks=8 -> layout.recompute=selective, layout.loss_chunks=8"""
    return ["layout." + (part if "=" in part else f"recompute={part}") for part in mode.split("+")]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--models", default="124m,350m,1300m,22b")
    parser.add_argument("--modes", default="selective,full")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--set", nargs="*", default=[], help="more keys of the recipe")
    a = parser.parse_args()
    modes = ["none", *a.modes.split(",")]
    for name in a.models.split(","):
        processes, results = {}, {mode: [] for mode in modes}
        for mode in modes:  # the first step of one is over before the next process takes memory
            processes[mode] = Ours(a.program, MODELS[name], a.steps, a.runs, [*keys_of(mode), *a.set])
            results[mode].append(processes[mode].run())
        for _ in range(a.runs - 1):
            for mode in modes:
                results[mode].append(processes[mode].run())
        for process in processes.values():
            process.close()
        for mode in modes:
            rates = [r["tokens_per_second"] for r in results[mode]]
            costs = [100 * (n["tokens_per_second"] / rate - 1) for n, rate in zip(results["none"], rates)]
            print(f"{name:6} {mode:24} {statistics.median(rates):10,.0f} tokens/s  peak {results[mode][-1]['peak_bytes'] / 1e9:6.1f} GB"
                  f"  cost {statistics.median(costs):5.1f} % ({min(costs):.1f} to {max(costs):.1f})"
                  f"  loss {results[mode][-1]['loss']:.4f}", flush=True)


if __name__ == "__main__":
    main()
