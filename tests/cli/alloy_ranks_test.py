#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A crystal that ranks share makes the moves of one rank: the same results and arrangements, to the bit, on 1, 2 and 4 ranks, however
temperatures and slabs are dealt out. The program itself says so, from a recipe.

    tests/cli/alloy_ranks_test.py OCOEE MPIRUN_SH
"""
import os
import pathlib
import subprocess
import sys
import tempfile

RECIPE = """version = 1
[run]
device = "cpu"
threads = 1
[task]
name = "alloy_ladder"
[lattice]
kind = "bcc"
cells = [16, 3, 4]
[interactions]
species = ["A", "B", "C"]
pairs = [-0.03, 0.01, -0.01, 0.004, 0.002, -0.006]
[temperatures]
values = [500, 700]
[sampling]
sampler = "link_cell"
equilibration = 5
samples = 20
sweeps = 2
samples_per_round = 5
[observables]
order = "B2"
"""


def main():
    ocoee, mpirun = (os.path.abspath(path) for path in sys.argv[1:3])
    with tempfile.TemporaryDirectory() as scratch:
        here = pathlib.Path(scratch)
        (here / "recipe.toml").write_text(RECIPE)
        kept = {}
        for ranks, of_crystal in ((1, 1), (2, 1), (2, 2), (4, 2), (4, 4)):
            name = f"{ranks}-{of_crystal}"
            done = subprocess.run([mpirun, str(ranks), ocoee, "run", "recipe.toml", f"run.name={name}", f"sampling.crystal_ranks={of_crystal}"],
                                  cwd=here, capture_output=True, text=True, timeout=250, check=False)
            assert done.returncode == 0, (name, done.stdout, done.stderr)
            kept[name] = [(here / "runs" / name / file).read_bytes() for file in ("results.json", "snapshots.extxyz")]
        assert kept["1-1"][1].count(b"\n") == 2 * (2 + 384)
        for name, files in kept.items():
            assert files == kept["1-1"], f"{name}: not the numbers of one rank"
        # Half done on two ranks, finished on four: still the same.
        subprocess.run([mpirun, "2", ocoee, "run", "recipe.toml", "run.name=moved", "sampling.crystal_ranks=2", "run.wall_time=0.001"],
                       cwd=here, capture_output=True, timeout=250, check=False)
        done = subprocess.run([mpirun, "4", ocoee, "run", "recipe.toml", "run.name=moved", "sampling.crystal_ranks=4"],
                              cwd=here, capture_output=True, text=True, timeout=250, check=False)
        assert done.returncode == 0, (done.stdout, done.stderr)
        assert (here / "runs/moved/results.json").read_bytes() == kept["1-1"][0]
        # What does not fit is told before anything runs.
        for ranks, of_crystal, part in ((1, 2, "2 do not divide 1 rank"), (4, 3, "3 do not divide 4 ranks")):
            done = subprocess.run([mpirun, str(ranks), ocoee, "run", "recipe.toml", "run.name=bad", f"sampling.crystal_ranks={of_crystal}"],
                                  cwd=here, capture_output=True, text=True, timeout=250, check=False)
            assert done.returncode != 0 and part in done.stderr, done.stderr


if __name__ == "__main__":
    main()
