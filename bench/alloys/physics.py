#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the physics of README.md anew and holds each figure to its bound; a line each, exit status 1 where one does not hold.

    physics.py --build build [--only NAME ...] [--scratch FOLDER]

Names: onsager, square, sc, b2, wl8, wl16, wl16x4. Seeds are fixed, so figures repeat to the last digit. About half an hour on one core.
"""
import argparse
import json
import os
import re
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
NUMBER = r"(-?[0-9.]+(?:e-?[0-9]+)?)"
CRITICAL = {  # recipe and changes, the known transition, the bound
    "square": (["recipes/alloy_ising_square_cpu.toml"], 2.269185, 0.003),
    "sc": (["recipes/alloy_ising_square_cpu.toml", "lattice.kind=sc", "lattice.cells=[6,6,6]", "lattice.sizes=[1,2]", "temperatures.low=4.35",
            "temperatures.high=4.67", "sampling.samples=3000"], 4.5115, 0.003),
    "b2": (["recipes/alloy_b2_cpu.toml"], 6.354, 0.005)}
WANG_LANDAU = {"wl8": (1, ["8", "1e-7"]), "wl16": (1, ["16", "2e-7", "1"]), "wl16x4": (4, ["16", "2e-7", "4"])}


def output(command, **how):
    done = subprocess.run(command, capture_output=True, text=True, check=False, **how)
    if done.returncode:
        sys.exit(f"{' '.join(command)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def onsager(build):
    """(what, whether it holds) of each energy and magnetisation: within 2e-4 and 4 errors."""
    found = []
    for line in output([f"{build}/bench/alloys/bench_onsager", "256", "12000"]).splitlines():
        where = re.match(rf"L (\d+)  T {NUMBER}", line)
        for what, value, off, errors in re.findall(rf"(energy|magnetisation) (\S+), exact \S+, off {NUMBER} \({NUMBER} errors\)", line):
            found.append((f"square Ising, L = {where[1]}, T = {where[2]}, {what} {value}: off by {off}, {errors} errors (2e-4 and 4)",
                          float(off) <= 2e-4 and float(errors) <= 4))
    if len(found) != 7:
        sys.exit(f"bench_onsager said {len(found)} things, expected 7: energy thrice, magnetisation twice, both at T = 3 of many spins")
    return found


def crossing(build, name, scratch):
    arguments, known, bound = CRITICAL[name]
    output([os.path.abspath(f"{build}/ocoee"), "run", os.path.join(ROOT, arguments[0]), *arguments[1:], "run.device=cpu", f"run.dir={scratch}/{name}"])
    with open(f"{scratch}/{name}/results.json", encoding="utf-8") as file:
        transitions = json.load(file)["transitions"]
    one = [t["temperature"] for t in transitions if t["what"] == "Binder crossing"][-1]  # of the two largest
    off = abs(one["value"] / known - 1)
    return [(f"{name}, Binder crossing {one['value']:.5f} +- {one['error']:.5f}, known {known}: off by {100 * off:.2f} % ({100 * bound} %)", off <= bound)]


def wang_landau(build, name):
    ranks, arguments = WANG_LANDAU[name]
    launch = [] if ranks == 1 else [f"{ROOT}/tests/mpirun.sh", str(ranks)]
    text = output(launch + [f"{build}/bench/alloys/bench_wang_landau", *arguments])
    error = float(re.search(rf"mean error of ln g {NUMBER} %", text)[1])
    return [(f"{name}, mean relative error of ln g {error} % (0.1 %)", error < 0.1)]


def main():
    parser = argparse.ArgumentParser(description="the physics of alloys on CPUs, each figure against its bound")
    parser.add_argument("--build", required=True)
    parser.add_argument("--only", nargs="*", default=["onsager", *CRITICAL, *WANG_LANDAU])
    parser.add_argument("--scratch")
    options = parser.parse_args()
    holds = True
    with tempfile.TemporaryDirectory() as folder:
        for name in options.only:
            if name == "onsager":
                found = onsager(options.build)
            elif name in CRITICAL:
                found = crossing(options.build, name, options.scratch or folder)
            else:
                found = wang_landau(options.build, name)
            for text, good in found:
                print(("holds  " if good else "FAILS  ") + text, flush=True)
                holds &= good
    sys.exit(0 if holds else 1)


if __name__ == "__main__":
    main()
