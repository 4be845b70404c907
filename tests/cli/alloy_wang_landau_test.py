#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""alloy_wang_landau states the number of states of each energy with its error over independent estimates, and none of one estimate.

    tests/cli/alloy_wang_landau_test.py OCOEE
"""
import itertools
import json
import math
import os
import pathlib
import subprocess
import sys
import tempfile

RECIPE = """version = 1
[run]
device = "cpu"
[task]
name = "alloy_wang_landau"
[lattice]
kind = "square"
cells = [2, 3, 1]
[interactions]
model = "ising"
[composition]
ensemble = "semi_grand"
[wang_landau]
estimates = 8
sweeps = 20
final_ln_f = 1e-4
[temperatures]
low = 1
high = 4
"""


def counts():
    """Arrangements of 2 x 3 periodic spins by energy: along the short edge each bond counts twice."""
    found = {}
    for spins in itertools.product((-1, 1), repeat=6):
        energy = -sum(spins[i] * (spins[(i + 3) % 6] + spins[i // 3 * 3 + (i + 1) % 3]) for i in range(6))
        found[float(energy)] = found.get(float(energy), 0) + 1
    return dict(sorted(found.items()))


def main():
    ocoee = os.path.abspath(sys.argv[1])
    with tempfile.TemporaryDirectory() as scratch:
        here = pathlib.Path(scratch)
        (here / "recipe.toml").write_text(RECIPE)

        def states(name, *changes):
            done = subprocess.run([ocoee, "run", "recipe.toml", f"run.name={name}", *changes], cwd=here, capture_output=True, text=True,
                                  timeout=120, check=False)
            assert done.returncode == 0, (done.stdout, done.stderr)
            found = json.loads((here / f"runs/{name}/results.json").read_text())["states"]
            assert found["energy"] == list(counts()), (found, counts())
            return found

        many = states("many")
        for energy, ln_g, error, exact in zip(many["energy"], many["ln_g"], many["error"], counts().values()):
            assert 0 < error < 0.1 and abs(ln_g - math.log(exact)) < 4 * error, (energy, ln_g, error, exact)
        one = states("one", "wang_landau.estimates=1")
        assert one["error"] == [None] * len(counts()), one
        assert abs(one["ln_g"][0] - math.log(2)) < 0.3, one


if __name__ == "__main__":
    main()
