#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""alloy_ladder keeps its results whatever reweighting says of them: temperatures that hardly share energies, or do not, one sample.

    tests/cli/alloy_ladder_test.py OCOEE
"""
import json
import os
import pathlib
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
            assert all(point["energy"]["value"] < 0 for point in system["points"]), system
            assert (here / f"runs/{name}/snapshots.extxyz").read_text().startswith(f"{system['sites']}\n")
            return done.stdout, (here / f"runs/{name}/report.html").read_text()

        # Some seeds join all samples and fail without a block of them; some fail at once. All end well, and say it where it is so.
        hardly = 0
        for seed in range(1, 5):
            said, report = run(f"hardly{seed}", f"run.seed={seed}")
            assert ("share so few energies" in said) == ("share so few energies" in report), said
            hardly += "share so few energies" in said
        assert hardly > 0, "no seed shows it"
        said, report = run("not", "lattice.cells=[10,10,10]", "sampling.samples=20")
        assert "share no energies" in said and "share no energies" in report, said
        said, _ = run("one", "lattice.cells=[2,2,2]", "sampling.samples=1", "sampling.samples_per_round=1")
        assert "never changed" not in said, said
        # With reweighting or without it the samples are the same.
        run("hardly2", "run.seed=2", "observables.reweight=false")


if __name__ == "__main__":
    main()
