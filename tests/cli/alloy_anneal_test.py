#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""alloy_anneal under potentials: what falls is the energy less sum mu N, and it is called so wherever it stands.

    tests/cli/alloy_anneal_test.py OCOEE
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile

# B2 costs -0.2 eV a site; with half of the atoms B, sum mu N takes 0.15 eV more.
RECIPE = """version = 1
[run]
name = "anneal"
device = "cpu"
[task]
name = "alloy_anneal"
[lattice]
kind = "bcc"
cells = [3, 3, 3]
[interactions]
species = ["A", "B"]
pairs = [-0.05]
[composition]
ensemble = "semi_grand"
potentials = [0.0, 0.3]
[annealing]
first = 2000
last = 50
steps = 20
sweeps = 5
chains = 2
"""


def main():
    ocoee = os.path.abspath(sys.argv[1])
    with tempfile.TemporaryDirectory() as scratch:
        here = pathlib.Path(scratch)
        (here / "recipe.toml").write_text(RECIPE)

        def run(*changes):
            return subprocess.run([ocoee, "run", "recipe.toml", *changes], cwd=here, capture_output=True, text=True, timeout=60, check=True).stdout

        said = run()
        assert "energy less mu n -0.35" in said, said
        found = json.loads((here / "runs/anneal/results.json").read_text())
        assert abs(found["energy_per_site"] + 0.2) < 1e-9 and abs(found["energy_less_mu_n_per_site"] + 0.35) < 1e-9, found
        summary = json.loads((here / "runs/anneal/summary.json").read_text())
        values = {entry["label"]: round(entry["value"], 9) for entry in summary["headline"]}
        assert values == {"lowest energy less sum mu N a site": -0.35, "its energy a site": -0.2}, values
        titles = [figure["title"] for figure in summary["figures"][:2]]
        assert titles == ["Energy less sum mu N while the temperature falls", "Lowest energy less sum mu N of each chain"], titles
        # Flips have no partner, so no choice of one.
        assert "annealing.moves: has no effect" in run("run.name=near", "annealing.moves=near", "--check")


if __name__ == "__main__":
    main()
