#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Which of a group of against_reality.py's configurations is the quickest, where the machine's own speed varies by more than they differ.

    in_turns.py --program build/ocoee --only A

All of them are trained at once on one core, but in turns: each runs for a second while the others are stopped. The quickest whole step of
a turn counts; what is compared is the ratio of two runs in the same round, whose turns lie seconds apart.
"""
import argparse
import os
import shutil
import signal
import statistics
import subprocess
import time

import against_reality


class Run:
    def __init__(self, runs, configuration, core):
        self.configuration, self.steps = configuration, []
        self.folder = runs.folder / f"turns-{configuration['index']}"
        shutil.rmtree(self.folder, ignore_errors=True)
        settings = {**configuration["keys"], "run.dir": self.folder, "run.device": "cpu", "run.threads": 1, "run.log_every": 1,
                    "run.save_at_start": "false", "run.deterministic": "false", "train.steps": 1000000}
        command = ["taskset", "-c", str(core), runs.program, "run", "recipe.toml", "--fresh", *[f"{k}={v}" for k, v in settings.items()]]
        self.child = subprocess.Popen(command, cwd=runs.folder, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def tell(self, what):
        os.killpg(self.child.pid, what)

    def logged(self):
        return against_reality.logged_steps(self.folder)

    def start(self):
        while len(self.logged()) <= against_reality.WARM:
            if self.child.poll() is not None:
                raise SystemExit(f"{against_reality.short(self.configuration)} ended with {self.child.returncode}")
            time.sleep(0.1)
        self.tell(signal.SIGSTOP)

    def turn(self, seconds):
        before = len(self.logged())
        self.tell(signal.SIGCONT)
        time.sleep(seconds)
        self.tell(signal.SIGSTOP)
        # The step that was under way at the last stop has waited.
        self.steps.append(min((line["step_seconds"] for line in self.logged()[before + 1:]), default=None))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default="build/ocoee")
    parser.add_argument("--only", required=True, help="the group whose name begins so, of one rank")
    parser.add_argument("--out", default="in_turns")
    parser.add_argument("--rounds", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=1.5, help="of a turn: several steps")
    parser.add_argument("--core", type=int, default=0)
    options = parser.parse_args()
    options.budget = 1e9
    runs = against_reality.Runs(options)
    chosen = [{**c, "index": i} for i, c in enumerate(against_reality.cpu_configurations()) if c["group"].startswith(options.only)]
    if not chosen or any(c["ranks"] > 1 for c in chosen):
        raise SystemExit(f"--only {options.only}: no group of one rank begins so")
    all_runs = []
    try:
        for configuration in chosen:
            all_runs.append(Run(runs, configuration, options.core))
            all_runs[-1].start()
        for r in range(options.rounds):
            for run in all_runs[::1 if r % 2 == 0 else -1]:
                run.turn(options.seconds)
    finally:
        for run in all_runs:
            if run.child.poll() is None:
                run.tell(signal.SIGKILL)
            run.child.wait()
    rounds = [r for r in range(options.rounds) if all(run.steps[r] for run in all_runs)]
    if not rounds:
        raise SystemExit("no round had a whole step of every run: raise --seconds")
    first = min(all_runs, key=lambda run: statistics.median(run.steps[r] for r in rounds))
    print(f"{len(rounds)} rounds; the ratio of a round's steps to those of {against_reality.short(first.configuration)}")
    for run in all_runs:
        ratios = sorted(run.steps[r] / first.steps[r] for r in rounds)
        print(f"{against_reality.short(run.configuration):34} quickest {min(run.steps[r] for r in rounds):.4f} s, ratio {statistics.median(ratios):.3f}"
              f" (quarters {ratios[len(ratios) // 4]:.3f} to {ratios[3 * len(ratios) // 4]:.3f})")


if __name__ == "__main__":
    main()
