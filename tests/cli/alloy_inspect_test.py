#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`ocoee alloy inspect`: every name with its space group of the International Tables, files of three formats, what it cannot read.

    tests/cli/alloy_inspect_test.py OCOEE
"""
import os
import pathlib
import re
import subprocess
import sys
import tempfile

GROUPS = {"sc": 221, "bcc": 229, "fcc": 225, "hcp": 194, "diamond": 227, "bct": 229, "square": 123,
          "B2": 221, "L1_0": 123, "L1_2": 221, "D0_3": 225, "B32": 227}
POSCAR = """B2, one edge longer
1.0
2.9 0 0
0 2.9 0
0 0 6.2
Fe Al
2 2
Direct
0 0 0
0 0 0.5
0.5 0.5 0.25
0.5 0.5 0.75
"""
BOHR = 0.529177210903


def main():
    ocoee = os.path.abspath(sys.argv[1])

    def inspect(*arguments, code=0):
        done = subprocess.run([ocoee, "alloy", "inspect", *arguments], cwd=here, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == code, (arguments, done.stdout, done.stderr)
        return done.stdout if code == 0 else done.stderr

    with tempfile.TemporaryDirectory() as scratch:
        here = pathlib.Path(scratch)
        has_spglib = "built without" not in inspect("sc")
        for name, number in GROUPS.items():
            text = inspect(name)
            assert not has_spglib or f"({number})," in text, (name, text)
            orders = dict(re.findall(r"(B2|L1_0|L1_2|D0_3|B32) ([0-9.]+)", text.split("order parameters:")[-1])) if "order par" in text else {}
            assert (orders.get(name) == "1.0000") == (name in ("B2", "L1_0", "L1_2", "D0_3", "B32")), (name, text)
        assert not has_spglib or "(139)," in inspect("bct", "--c-over-a", "1.1")
        assert re.search(r"1 +1\.0000 +12\n", inspect("hcp")), "ideal c/a: twelve nearest neighbours"
        assert re.search(r"1 +[0-9.]+ +6\n", inspect("hcp", "--c-over-a", "1.58"))

        (here / "POSCAR").write_text(POSCAR)
        text = inspect("POSCAR", "--shells", "2")
        assert "4 sites (Fe 2, Al 2)" in text and "order parameters: B2 1.0000" in text, text
        assert not has_spglib or "space group P4/mmm (123), point group 4/mmm, 2 kinds of sites" in text, text

        a = 2.87 / BOHR
        (here / "info_evec_out").write_text(
            f"-5000.5 -10.25 0.7\n26 0 0 0 0 25.9 2.2 0 0 1\n27 1 {a / 2} {a / 2} {a / 2} 27.1 1.7 0 0 1\n")
        text = inspect("info_evec_out", "--edges", "2.87,2.87,2.87", "--shells", "1")
        for part in ("2 sites (Fe 1, Co 1)", "total energy -5000.5 Ry, Fermi energy 0.7 Ry", "Co holds 27.1000 electrons and 1.7000 Bohr",
                     "B2 1.0000"):
            assert part in text, (part, text)
        assert "LSMS writes atoms without their cell" in inspect("info_evec_out", code=2)
        assert "holds its own cell" in inspect("POSCAR", "--edges", "3,3,3", code=2)
        assert "did you mean L1_2?" in inspect("L12", code=3)

        # The same keys in a recipe.
        (here / "recipe.toml").write_text(
            'version = 1\n[task]\nname = "alloy_ladder"\n[lattice]\nfile = "info_evec_out"\nedges = [2.87, 2.87, 2.87]\ncells = [2, 2, 2]\n'
            '[interactions]\nspecies = ["Fe", "Co"]\npairs = [-0.01]\n[temperatures]\nvalues = [600]\n[observables]\norder = "D0_3"\n')
        for change, part in (([], "2 x 2 x 2 cells of info_evec_out, 16 sites"),
                             (["lattice.file=", "lattice.edges=[]", "lattice.kind=L1_0", "lattice.c_over_a=0.95", "observables.order=L1_0"],
                              "2 x 2 x 2 cells of L1_0, 32 sites")):
            done = subprocess.run([ocoee, "run", "recipe.toml", "--check", *change], cwd=here, capture_output=True, text=True, check=False)
            assert done.returncode == 0 and part in done.stdout, (done.stdout, done.stderr)
        done = subprocess.run([ocoee, "run", "recipe.toml", "--check", "observables.order=L1_0"], cwd=here, capture_output=True, text=True,
                              check=False)
        assert done.returncode == 2 and "L1_0 orders fcc sites: the sites of info_evec_out are no fcc lattice" in done.stderr, done.stderr


if __name__ == "__main__":
    main()
