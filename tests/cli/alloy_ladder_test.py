#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""alloy_ladder keeps its results whatever reweighting says of them: temperatures that hardly share energies, or do not, one sample.

    tests/cli/alloy_ladder_test.py OCOEE
"""
import json
import math
import os
import pathlib
import re
import subprocess
import sys
import tempfile

RECIPE = """version = 1
[run]
device = "cpu"
[task]
name = "alloy_ladder"
[lattice]
kind = "bcc"
cells = [6, 6, 6]
[interactions]
species = ["A", "B", "C"]
pairs = [-0.03, 0.01, -0.01, 0.004, 0.002, -0.006]
[temperatures]
low = 300
high = 1200
count = 6
[sampling]
moves = "mixed"
equilibration = 100
samples = 100
sweeps = 2
[observables]
order = "B2"
"""
DILUTE = """version = 1
[run]
name = "dilute"
device = "cpu"
[task]
name = "alloy_ladder"
[lattice]
kind = "square"
cells = [4, 4, 1]
[interactions]
species = ["A", "B"]
unit = "J"
pairs = [-0.5]
[composition]
ensemble = "semi_grand"
potentials = [0.0, -4.0]
[temperatures]
values = [0.9]
[sampling]
equilibration = 100
samples = 8000
sweeps = 2
samples_per_round = 100
[observables]
shells = 1
structure_factor = false
"""


def exact_alpha(pair, mu, k_t):
    """1 - <N_AB> / <what it would be at random> over all arrangements of 4 x 4 sites, and how often there is no B."""
    whole = (1 << 16) - 1
    unlike = at_random = weights = without = 0.0
    for s in range(1 << 16):
        right = sum((s >> 4 * row & 15) * 2 % 15 << 4 * row if s >> 4 * row & 15 != 15 else 15 << 4 * row for row in range(4))
        down = (s << 4 | s >> 12) & whole
        b, bonds = bin(s).count("1"), bin(s ^ right).count("1") + bin(s ^ down).count("1")
        weight = math.exp(-(pair * bonds - mu * b) / k_t)
        unlike += weight * bonds
        at_random += weight * 4 * (16 - b) * b / 16
        weights += weight
        without += weight * (b == 0)
    return 1 - unlike / at_random, without / weights


def main():
    ocoee = os.path.abspath(sys.argv[1])
    with tempfile.TemporaryDirectory() as scratch:
        here = pathlib.Path(scratch)
        (here / "recipe.toml").write_text(RECIPE)

        def run(name, *changes):
            done = subprocess.run([ocoee, "run", "recipe.toml", f"run.name={name}", *changes], cwd=here, capture_output=True, text=True,
                                  timeout=120, check=False)
            assert done.returncode == 0, (changes, done.stdout, done.stderr)
            (system,) = json.loads((here / f"runs/{name}/results.json").read_text())["systems"]
            assert all(point["energy"]["value"] <= 2 for point in system["points"]), system
            assert (here / f"runs/{name}/snapshots.extxyz").read_text().startswith(f"{system['sites']}\n")
            return done.stdout, (here / f"runs/{name}/report.html").read_text()

        # Some seeds join all samples and fail without a block of them; some fail at once. All end well, and say it where it is so.
        hardly = 0
        for seed in range(1, 5):
            said, report = run(f"hardly{seed}", f"run.seed={seed}")
            assert ("share so few energies" in said) == ("share so few energies" in report), said
            hardly += "share so few energies" in said
        assert hardly > 0, "no seed shows it"
        for wave in "hk":  # of the structure factor on a plane
            assert re.search(f"<text[^>]*>{wave}, in units of 2 pi over the cell&#39;s edge</text>", report), wave
        phases = json.loads((here / "runs/hardly1/summary.json").read_text())["seconds_by_phase"]
        assert phases["sampling"] > 0 and phases["analysis"] > 0, phases
        said, report = run("not", "lattice.cells=[10,10,10]", "sampling.samples=20")
        assert "share no energies" in said and "share no energies" in report, said
        said, _ = run("one", "lattice.cells=[2,2,2]", "sampling.samples=1", "sampling.samples_per_round=1")
        assert "never changed" not in said, said
        # Where species flip, what holds no B says nothing of A-B: it does not count as random.
        (here / "recipe.toml").write_text(DILUTE)
        run("dilute")
        (point,) = json.loads((here / "runs/dilute/results.json").read_text())["systems"][0]["points"]
        alpha, (exact, without) = point["alpha 1 A-B"], exact_alpha(-0.5, -4.0, 0.9)
        assert 0.2 < without < 0.3 and abs(alpha["value"] - exact) < 4 * alpha["error"] < abs(exact) / 4, (alpha, exact, without)
        run("none", "composition.potentials=[0,-50]")
        (point,) = json.loads((here / "runs/none/results.json").read_text())["systems"][0]["points"]
        assert point["alpha 1 A-B"] == {"value": None, "error": None}, point
        (here / "recipe.toml").write_text(RECIPE)
        # With reweighting or without it the samples are the same.
        run("hardly2", "run.seed=2", "observables.reweight=false")


if __name__ == "__main__":
    main()
