#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Canonical swaps a second beside icet's mchammer and smol, on one core, in one run.

    peers.py --program build/bench/alloys/bench_alloys [--environment FOLDER] [--seconds 5]

icet and smol are installed by pip into an environment of their own, FOLDER, which is made where it is missing; a peer that cannot be
installed is left out and said so. All three sample bcc of four species with pairs only: two shells (z = 14) and six (z = 64); Ocoee with
65,536 and 4 million sites, the peers with the size below, their cost of a trial does not grow with the cell. For each neighbour number the
three take turns, and the median of the rounds counts.
"""
import argparse
import os
import re
import statistics
import subprocess
import sys
import time

os.environ["OMP_NUM_THREADS"] = "1"  # one core for everybody

SPECIES = ("Mo", "W", "Nb", "Ta")
CELLS = 12  # of a peer, along each edge
PACKAGES = ("numpy<2", "icet==4.0", "smol==0.5.3", "pymatgen==2024.2.23")


def ocoee(program, case, seconds):
    text = subprocess.run([program, "--seconds", str(seconds), "--case", case], capture_output=True, text=True, check=True).stdout
    return float(re.search(r"([0-9.e+]+) trials/s", text).group(1))


def environment(folder):
    """The Python of `folder`, made and filled where it is missing."""
    python = os.path.join(folder, "bin", "python")
    if not os.path.exists(python):
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    done = subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES], capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"the peers cannot be installed here: {done.stderr.strip().splitlines()[-1]}")
    return python


def cutoff(case):
    return 3.3 if case == "z14" else 6.5  # shells 2 and 6 of bcc with a = 3.2 lie at 3.2 and 6.4


def mchammer(case, seconds):
    import numpy as np
    from ase.build import bulk
    from icet import ClusterExpansion, ClusterSpace
    from mchammer.calculators import ClusterExpansionCalculator
    from mchammer.ensembles import CanonicalEnsemble

    primitive = bulk("Mo", "bcc", a=3.2)
    space = ClusterSpace(primitive, cutoffs=[cutoff(case)], chemical_symbols=list(SPECIES))
    random = np.random.default_rng(1)
    expansion = ClusterExpansion(space, 0.02 * random.normal(size=len(space)))
    atoms = bulk("Mo", "bcc", a=3.2, cubic=True).repeat(CELLS)
    symbols = np.repeat(SPECIES, len(atoms) // 4)
    random.shuffle(symbols)
    atoms.symbols[:] = list(symbols)
    ensemble = CanonicalEnsemble(structure=atoms, calculator=ClusterExpansionCalculator(atoms, expansion), temperature=600,
                                 random_seed=1, ensemble_data_write_interval=10**9, trajectory_write_interval=10**9)
    ensemble.run(2000)
    trials, begin = 0, time.thread_time()
    while time.thread_time() - begin < seconds:
        ensemble.run(5000)
        trials += 5000
    return trials / (time.thread_time() - begin)


def smol(case, seconds):
    import numpy as np
    from pymatgen.core import Composition, Lattice, Structure
    from smol.cofe import ClusterExpansion, ClusterSubspace
    from smol.moca import Ensemble, Sampler

    composition = Composition({name: 0.25 for name in SPECIES})
    primitive = Structure(Lattice([[-1.6, 1.6, 1.6], [1.6, -1.6, 1.6], [1.6, 1.6, -1.6]]), [composition], [[0, 0, 0]])
    subspace = ClusterSubspace.from_cutoffs(primitive, cutoffs={2: cutoff(case)}, basis="indicator")
    random = np.random.default_rng(1)
    expansion = ClusterExpansion(subspace, 0.02 * random.normal(size=subspace.num_corr_functions))
    ensemble = Ensemble.from_cluster_expansion(expansion, np.diag([CELLS] * 3), processor_type="decomposition")  # the faster of its two
    sites = CELLS**3
    occupancy = np.repeat(np.arange(4), sites // 4).astype(np.int64)
    random.shuffle(occupancy)
    sampler = Sampler.from_ensemble(ensemble, step_type="swap", temperature=600, kernel_type="Metropolis")
    sampler.run(2000, occupancy[None], thin_by=2000)
    trials, begin = 0, time.thread_time()
    while time.thread_time() - begin < seconds:
        sampler.run(5000, thin_by=5000)
        trials += 5000
    return trials / (time.thread_time() - begin)


def main():
    parser = argparse.ArgumentParser(description="canonical swaps a second beside icet and smol")
    parser.add_argument("--program", required=True)
    parser.add_argument("--environment", default=os.path.expanduser("~/.cache/ocoee/alloy-peers"))
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--here", action="store_true", help="the peers of the Python that runs this")
    options = parser.parse_args()
    if not options.here:
        python = environment(options.environment)
        os.execv(python, [python, os.path.abspath(__file__), "--here", *sys.argv[1:]])
    for case in ("z14", "z64"):
        rates = {"Ocoee": [], "Ocoee, 4 million sites": [], "icet mchammer": [], "smol": []}
        runs = {"Ocoee": lambda: ocoee(options.program, case, options.seconds),
                "Ocoee, 4 million sites": lambda: ocoee(options.program, case + "_4M", options.seconds),
                "icet mchammer": lambda: mchammer(case, options.seconds), "smol": lambda: smol(case, options.seconds)}
        for _ in range(options.rounds):
            for name, run in list(runs.items()):
                try:
                    rates[name].append(run())
                except ImportError as missing:
                    print(f"{case}  {name}: not installed ({missing})")
                    del runs[name]
        own = statistics.median(rates["Ocoee"])
        for name, found in rates.items():
            if found:
                rate = statistics.median(found)
                print(f"{case}  {name:24} {rate:10.4g} trials a CPU second ({min(found):.3g} to {max(found):.3g})  Ocoee is {own / rate:.3g} x", flush=True)


if __name__ == "__main__":
    main()
