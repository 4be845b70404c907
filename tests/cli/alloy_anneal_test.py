#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""alloy_anneal under potentials: what falls is the energy less sum mu N, and it is called so wherever it stands. Its layer is one plane of
atoms where they are, and its check says of a crystal whether atoms meet images of one another.

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
        # One plane of atoms: of fcc two a cell, where they are in the file; of perfect L1_2 all of one kind, or half and half.
        run("run.name=layer", "lattice.kind=fcc", "lattice.cells=[2,3,4]", "composition.ensemble=canonical", "composition.potentials=[]",
            "composition.fractions=[0.75,0.25]")
        figures = json.loads((here / "runs/layer/summary.json").read_text())["figures"]
        (layer,) = (f for f in figures if f["title"].startswith("A layer"))
        atoms = [line.split() for line in (here / "runs/layer/ground_state.extxyz").read_text().splitlines()[2:]]
        plane = {(float(x), float(y)): species for species, x, y, z in atoms if float(z) == 0}
        drawn = dict(zip(zip(layer["positions"][0::3], layer["positions"][1::3]), (layer["categories"][s] for s in layer["species"])))
        assert len(plane) == 12 and drawn == plane, (drawn, plane)
        assert set(layer["positions"][2::3]) == {0.0}, layer["positions"]
        assert [f["rows"][0][0] for f in figures if f["title"].startswith("Order parameters")] == ["L1_0"], figures
        # Of 2 x 2 x 2 cells of fcc the first shell has 12 different atoms, the second meets images.
        for pairs, meets in (("[-0.05]", False), ("[-0.05,0.01]", True)):
            told = run("run.name=small", "--check", "lattice.kind=fcc", "lattice.cells=[2,2,2]", f"interactions.pairs={pairs}")
            assert ("images of one another" in told) == meets, told
        # Flips have no partner, so no choice of one.
        assert "annealing.moves: has no effect" in run("run.name=near", "annealing.moves=near", "--check")


if __name__ == "__main__":
    main()
