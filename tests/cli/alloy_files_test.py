#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Alloy recipes whose lattice, energies or start are files: a distorted cell is fitted and sampled as one lattice, and a run begins
where another ended.

    tests/cli/alloy_files_test.py OCOEE
"""
import itertools
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile

POSCAR = """bct, two shells of which nearly coincide
1.0
2.9 0 0
0 2.9 0
0 0 3.0
Fe
2
Direct
0 0 0
0.5 0.5 0.5
"""
FIT = """version = 1
[run]
name = "fit"
device = "cpu"
[task]
name = "alloy_fit"
[lattice]
file = "POSCAR"
shell_tolerance = 0.06
[data]
species = ["Fe", "Al"]
energies = "files"
files = ["given.extxyz"]
[fit]
max_shells = 3
learning_points = 0
"""
LADDER = """version = 1
[run]
device = "cpu"
[task]
name = "alloy_ladder"
[lattice]
file = "POSCAR"
shell_tolerance = 0.06
[interactions]
file = "runs/fit/interactions.json"
[temperatures]
values = [1, 2]
[sampling]
equilibration = 0
samples = 8
sweeps = 1
samples_per_round = 8
[observables]
order = "B2"
reweight = false
"""
FIRST, SECOND = -0.03, 0.01  # eV, of an unlike pair in the first shell (8) and the second (6, of which two are longer)


def given(cells, draw):
    """An arrangement of cells^3 unit cells as extended XYZ, with the energy of its bonds."""
    sites = list(itertools.product(range(cells), range(cells), range(cells), (0, 1)))
    gold = {site: draw.random() < 0.5 for site in sites}
    energy, lines = 0.0, []
    for x, y, z, b in sites:
        step = -1 if b == 0 else 1
        near = [((x + i) % cells, (y + j) % cells, (z + k) % cells, 1 - b) for i, j, k in itertools.product((0, step), repeat=3)]
        next_ = [tuple(((x, y, z)[d] + (s if d == axis else 0)) % cells for d in range(3)) + (b,) for axis in range(3) for s in (1, -1)]
        for value, others in ((FIRST, near), (SECOND, next_)):
            energy += value / 2 * sum(gold[x, y, z, b] != gold[other] for other in others)
        at = [(q + b / 2) * edge for q, edge in zip((x, y, z), (2.9, 2.9, 3.0))]
        lines.append(f"{'Al' if gold[x, y, z, b] else 'Fe'} {at[0]:.9f} {at[1]:.9f} {at[2]:.9f}")
    edges = f"{2.9 * cells} 0 0 0 {2.9 * cells} 0 0 0 {3.0 * cells}"
    return f'{len(sites)}\nLattice="{edges}" Properties=species:S:1:pos:R:3 energy={energy!r}\n' + "\n".join(lines) + "\n"


def main():
    ocoee = os.path.abspath(sys.argv[1])
    with tempfile.TemporaryDirectory() as scratch:
        here = pathlib.Path(scratch)

        def run(recipe, *changes):
            done = subprocess.run([ocoee, "run", recipe, *changes], cwd=here, capture_output=True, text=True, timeout=120,
                                  env=dict(os.environ, XDG_CACHE_HOME=scratch), check=False)
            assert done.returncode == 0, (changes, done.stdout, done.stderr)

        draw = random.Random(5)
        (here / "POSCAR").write_text(POSCAR)
        (here / "given.extxyz").write_text("".join(given(cells, draw) for cells in [4] * 30 + [5] * 10))
        (here / "fit.toml").write_text(FIT)
        (here / "ladder.toml").write_text(LADDER)
        run("fit.toml")
        # As many are held out as asked for, from one end of the compositions to the other.
        for part, count in ((0.2, 8), (0.35, 14), (0.4, 16), (0.5, 20)):
            run("fit.toml", "run.name=part", "--fresh", f"data.test_fraction={part}")
            frames = (here / "runs/part/structures.extxyz").read_text()
            assert (frames.count("set=test"), frames.count("set=train")) == (count, 40 - count), (part, frames.count("set=test"))
        fitted = json.loads((here / "runs/fit/interactions.json").read_text())
        found = json.loads((here / "runs/fit/summary.json").read_text())
        assert found["final"]["shells"] == 2 and found["final"]["held_out_rmse_mev"] < 1e-6, found["final"]
        assert fitted.get("pairs", fitted)["neighbours"] == [8, 6], fitted

        def order(name):
            return [p["order"]["value"] for p in json.loads((here / f"runs/{name}/results.json").read_text())["systems"][0]["points"]]

        # At a kelvin nothing climbs: who begins ordered stays so, who begins at random does not order in eight sweeps.
        run("ladder.toml", "run.name=random", "lattice.cells=[6,6,6]")
        run("ladder.toml", "run.name=ordered", "lattice.cells=[6,6,6]", "sampling.start=B2")
        run("ladder.toml", "run.name=again", "lattice.cells=[6,6,6]", "sampling.start=file", "sampling.start_file=runs/ordered/snapshots.extxyz")
        assert order("ordered") == [1, 1] and order("again") == [1, 1] and max(order("random")) < 0.95, (order("again"), order("random"))
        # Two cells of the snapshot fill four.
        run("ladder.toml", "run.name=small", "lattice.cells=[2,2,2]", "sampling.start=B2")
        run("ladder.toml", "run.name=filled", "lattice.cells=[4,4,6]", "sampling.start=file", "sampling.start_file=runs/small/snapshots.extxyz")
        assert order("filled") == [1, 1], order("filled")
        run("ladder.toml", "run.name=on", "lattice.cells=[6,6,6]", "sampling.start=file", "sampling.start_file=runs/random/snapshots.extxyz",
            "sampling.exchange=false")
        ended = json.loads((here / "runs/random/results.json").read_text())["systems"][0]["points"]
        went_on = json.loads((here / "runs/on/results.json").read_text())["systems"][0]["points"]
        assert all(b["energy"]["value"] < a["energy"]["value"] for a, b in zip(ended, went_on)), (ended, went_on)


if __name__ == "__main__":
    main()
