#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""alloy_fit with a LAMMPS that crashes, hangs and prints NaN for some structures: each is told, the others are fitted to.

    tests/cli/alloy_fit_test.py OCOEE
"""
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

LAMMPS = """#!/usr/bin/env python3
import os, pathlib, sys, time
if sys.argv[1] == "-h":
    sys.exit(print("Massively Parallel Simulator - 1 Jan 2000"))
i = 0
while pathlib.Path(f"{i}.data").exists():
    atoms = pathlib.Path(f"{i}.data").read_text().split("Atoms")[1].splitlines()
    gold = sum(line.split()[1:2] == ["2"] for line in atoms)
    if gold % 8 == 3:
        print("ERROR: planted (here.cpp:1)", flush=True)
        os.abort()
    if gold % 8 == 5:
        time.sleep(300)
    energy = "nan" if gold % 8 == 6 else -3 * gold - 0.01 * gold * (32 - gold)
    with open("energies", "a") as out:
        out.write(f"{i} {energy} 10 0 0\\n")
    i += 1
"""
RECIPE = """version = 1
[run]
name = "fit"
device = "cpu"
[task]
name = "alloy_fit"
[lattice]
kind = "fcc"
a = 3.7
cells = [2, 2, 2]
[data]
species = ["Cu", "Au"]
random = 40
ordered = 0
[fit]
max_shells = 2
[lammps]
program = "./lmp"
potentials = ["Cu.eam", "Au.eam"]
timeout = 1.5
attempts = 1
"""

LADDER = """version = 1
[run]
name = "ladder"
device = "cpu"
[task]
name = "alloy_ladder"
[lattice]
cells = [2, 2, 2]
[interactions]
file = "runs/fit/interactions.json"
[temperatures]
values = [900]
[sampling]
equilibration = 0
samples = 1
samples_per_round = 1
"""


def main():
    ocoee = os.path.abspath(sys.argv[1])
    with tempfile.TemporaryDirectory() as scratch:
        here = pathlib.Path(scratch)
        (here / "lmp").write_text(LAMMPS)
        (here / "lmp").chmod(0o755)
        for metal in ("Cu", "Au"):
            (here / f"{metal}.eam").write_text("x\n")
        (here / "recipe.toml").write_text(RECIPE)
        # Before anything runs: a potential that is not there, and a program that this host lacks.
        check = [ocoee, "run", "recipe.toml", "--check"]
        done = subprocess.run([*check, 'lammps.potentials=["Cu.eam","Ag.eam"]'], cwd=here, capture_output=True, text=True)
        assert done.returncode == 2 and "lammps.potentials: Ag.eam: there is no such potential" in done.stderr, done.stderr
        for program, there in (("./lmp", True), ("./lmp9", False)):
            done = subprocess.run([*check, f"lammps.program={program}"], cwd=here, capture_output=True, text=True, check=True)
            assert (f"not on this host: {program}" in done.stdout) != there, done.stdout
        done = subprocess.run([ocoee, "run", "recipe.toml"], cwd=here, capture_output=True, text=True, timeout=200,
                              env=dict(os.environ, XDG_CACHE_HOME=scratch))
        assert done.returncode == 0, done.stderr
        told = {how: len(re.findall(f"random \\d+: LAMMPS {how}", done.stdout))
                for how in ("was killed by signal 6", "hung: it was killed after", "printed 'nan'")}
        assert all(told.values()), (told, done.stdout)
        assert re.search(r"held-out error [0-9.]+ meV/atom; report", done.stdout), done.stdout
        # What samples the fit takes its lattice, also under the name of an ordering with a cell of its own.
        (here / "ladder.toml").write_text(LADDER)
        for kind, edge in (("fcc", 7.4), ("L1_2", 7.4), ("fcc", 8)):
            given = ["lattice.a=4"] if edge == 8 else []
            subprocess.run([ocoee, "run", "ladder.toml", "--fresh", f"lattice.kind={kind}", *given], cwd=here, capture_output=True, check=True)
            frame = (here / "runs/ladder/snapshots.extxyz").read_text()
            assert abs(float(re.search('Lattice="([0-9.]+) ', frame)[1]) - edge) < 1e-9, frame[:200]
        labelled = (here / "runs/fit/structures.extxyz").read_text().count("fitted_energy=")
        assert labelled == 42 - sum(told.values()), (labelled, told)
        report = (here / "runs/fit/report.html").read_text()
        assert "Structures without an energy" in report and "no learning curve to draw" not in report
        # Of a parameter the page shows what its error leaves of it, the summary all.
        (table,) = (f for f in json.loads((here / "runs/fit/summary.json").read_text())["figures"] if f["title"] == "Every parameter")
        shown = dict(re.findall(r"<td>([^<]*)</td><td class=\"n\">([^<]* ± [^<]*)</td>", report))
        known = [row for row in table["rows"] if row[1]["error"]]
        assert known and sorted(shown) == sorted(row[0] for row in known), (table["rows"], shown)
        for term, number, _ in known:
            error = re.search(r"± ([0-9.]+)", shown[term])[1]
            assert len(error.replace(".", "").lstrip("0")) == 2 or number["error"] >= 99, (number, shown[term])
        # The model that samplers read says how sure it is, and says what the fit said.
        asked = subprocess.run([ocoee, "alloy", "inspect", "runs/fit/structures.extxyz", "--shells", "2", "--interactions",
                                "runs/fit/interactions.json"], cwd=here, capture_output=True, text=True, check=True).stdout
        said = [float(x) for x in re.findall(r"uncertain by ([0-9.e+-]+)", asked)]
        fitted = re.findall(r"fitted_energy_error=([0-9.e+-]+)", (here / "runs/fit/structures.extxyz").read_text())
        assert len(said) == labelled == len(fitted), (len(said), labelled, len(fitted))
        assert all(abs(a - float(b)) <= 0.01 * float(b) for a, b in zip(said, fitted)), (said, fitted)
        # A run that failed for want of energies asks again, by the same command, once LAMMPS is mended.
        other = dict(os.environ, XDG_CACHE_HOME=str(here / "other"))
        again = [ocoee, "run", "recipe.toml", "run.name=again"]
        (here / "lmp").write_text(LAMMPS.replace("gold % 8 == 3", "gold > 0"))
        done = subprocess.run(again, cwd=here, capture_output=True, text=True, timeout=200, env=other)
        assert done.returncode == 3 and "too few to fit to" in done.stderr, done.stderr
        # Energies that do not differ are no energies: the fit would have no error at all.
        (here / "lmp").write_text(re.sub(r"gold % 8 == \d", "False", LAMMPS).replace("-3 * gold - 0.01 * gold * (32 - gold)", "0"))
        done = subprocess.run([*again[:-1], "run.name=flat"], cwd=here, capture_output=True, text=True, timeout=200,
                              env=dict(os.environ, XDG_CACHE_HOME=str(here / "flat")))
        assert done.returncode == 3 and "have the same energy, 0 eV an atom" in done.stderr, done.stderr
        (here / "lmp").write_text(re.sub(r"gold % 8 == \d", "False", LAMMPS))
        subprocess.run(again, cwd=here, capture_output=True, text=True, timeout=200, env=other, check=True)
        assert (here / "runs/again/structures.extxyz").read_text().count("fitted_energy=") == 42
        assert "Structures without an energy" not in (here / "runs/again/report.html").read_text()


if __name__ == "__main__":
    main()
