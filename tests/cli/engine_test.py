#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""engine_test.py OCOEE: what the program says where its part with LibTorch is missing, or LibTorch itself is gone."""
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

PROGRAM = os.path.abspath(sys.argv.pop(1))


class Engine(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory(prefix="ocoee-engine-")
        self.addCleanup(scratch.cleanup)
        self.folder = scratch.name
        self.program = os.path.join(self.folder, "ocoee")
        self.engine = os.path.join(self.folder, "ocoee-engine")
        shutil.copy(PROGRAM, self.program)
        with open(os.path.join(self.folder, "r.toml"), "w", encoding="utf-8") as recipe:
            recipe.write('version = 1\n[task]\nname = "toy_gan"\n[train]\nsteps = 1\n')

    def ask(self, *words):
        done = subprocess.run([self.program, *words], cwd=self.folder, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout, done.stderr

    def without_libtorch(self):
        with open(PROGRAM + "-engine", "rb") as file:
            program = file.read()
        self.assertIn(b"\0libtorch_cpu.so\0", program)
        with open(self.engine, "wb") as file:  # as if the folder of LibTorch were gone
            file.write(program.replace(b"\0libtorch_cpu.so\0", b"\0libtorch_xxx.so\0"))
        os.chmod(self.engine, 0o755)

    def require_clear(self, problem, fix):
        code, _, said = self.ask("run", "r.toml")
        self.assertEqual(code, 4, said)
        self.assertRegex(said, r"\Aocoee: file error: .*/ocoee-engine: cannot start.*" + problem + r".*\n    fix: .*" + fix + r".*\n\Z")
        self.assertFalse(os.path.exists(os.path.join(self.folder, "runs")))
        code, said, _ = self.ask("doctor")
        self.assertEqual(code, 4, said)
        self.assertRegex(said, r"--    training  +.*/ocoee-engine: cannot start.*" + problem + r".*\n +fix: .*" + fix)
        for part in ("MPI", "GPU", "runs", "cache", "demo genome"):
            self.assertRegex(said, rf"(ok|--)    {part} ")
        self.assertIn("what is marked -- does not work yet; the rest does", said)
        code, said, errors = self.ask("run", "r.toml", "--check")
        self.assertEqual((code, errors), (0, ""))

    def test_libtorch_is_gone(self):
        self.without_libtorch()
        self.require_clear(r"these libraries are gone: libtorch_xxx\.so", r"\./dev setup")

    def test_the_engine_is_missing(self):
        self.require_clear("No such file or directory", r"\./dev build")


if __name__ == "__main__":
    unittest.main()
