#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""interrupt_test.py OCOEE [MPIRUN]: a signal while data is made ready ends the program soon, and leaves nothing half-written.

With MPIRUN, also runs that read such data, on one rank and on two.
"""
import gzip
import os
import signal
import subprocess
import sys
import tempfile
import time
import unittest

PROGRAM = os.path.abspath(sys.argv.pop(1))
MPIRUN = os.path.abspath(sys.argv.pop(1)) if len(sys.argv) > 1 else ""
RECIPE = """version = 1
[run]
name = "r"
threads = 1
device = "cpu"
[task]
name = "genome_lm"
fasta = ["long.fa.gz"]
[model]
layers = 1
width = 8
heads = 1
context = 8
[train]
steps = 1
"""


class Interrupt(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory(prefix="ocoee-interrupt-")
        self.addCleanup(scratch.cleanup)
        self.folder, self.cache = scratch.name, os.path.join(scratch.name, "cache")
        with open(os.path.join(self.folder, "r.toml"), "w", encoding="utf-8") as recipe:
            recipe.write(RECIPE)
        # Small to write and long to read: one gzip member of 16 million bases, fifty times.
        member = gzip.compress((">r\n" + ("ACGGTCATTG" * 8 + "\n") * 200000).encode())
        with open(os.path.join(self.folder, "long.fa.gz"), "wb") as packed:
            for _ in range(50):
                packed.write(member)

    def half_built(self):
        return [name for name in os.listdir(self.cache) if ".tmp-" in name] if os.path.isdir(self.cache) else []

    def stopped(self, number, command):
        with open(os.path.join(self.folder, "said"), "w+", encoding="utf-8") as said:
            process = subprocess.Popen(command, cwd=self.folder, env={**os.environ, "OCOEE_CACHE": self.cache}, stdout=said, stderr=said)
            while not self.half_built():
                self.assertIsNone(process.poll(), "ended before its store was begun")
                time.sleep(0.01)
            process.send_signal(number)
            code = process.wait()
            said.seek(0)
            text = said.read()
        self.assertEqual(os.listdir(self.cache), [], "no store, and no part of one")
        self.assertIn("stopped by a signal before anything was computed; the same command begins again", text)
        return code, text

    def test_a_store_that_is_prepared(self):
        code, text = self.stopped(signal.SIGTERM, [PROGRAM, "data", "prepare", "long.fa.gz"])
        self.assertEqual(code, 75, text)

    @unittest.skipUnless(MPIRUN, "needs LibTorch")
    def test_a_run(self):
        for number in (signal.SIGTERM, signal.SIGUSR1):
            code, text = self.stopped(number, [PROGRAM, "run", "r.toml"])
            self.assertEqual(code, 75, text)
            self.assertFalse(os.path.exists(os.path.join(self.folder, "runs/r/summary.json")), "nothing failed")

    @unittest.skipUnless(MPIRUN, "needs LibTorch")
    def test_a_run_on_two_ranks(self):
        code, text = self.stopped(signal.SIGUSR1, [MPIRUN, "2", PROGRAM, "run", "r.toml"])
        self.assertEqual(code, 75, text)


if __name__ == "__main__":
    unittest.main()
