#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""interchange_ranks_test.py OCOEE MPIRUN: a model trained on four ranks goes to Hugging Face and back on two ranks, and no value changes."""
import json
import os
import subprocess
import sys
import tempfile
import unittest

MPIRUN, PROGRAM = (os.path.abspath(sys.argv.pop()) for _ in range(2))
RECIPE = """version = 1
[run]
name = "r"
device = "cpu"
[task]
name = "genome_lm"
fasta = ["r.fa"]
tokens = "codon"  # 69, which two tensor ranks pad
markov_order = -1
[model]
style = "{style}"
layers = 2
width = 16
heads = 2
context = 16
[layout]
tensor = 2
pipeline = 2
[batch]
global = 4
micro = 2
[train]
steps = 3
"""


def tensors(folder):
    """Name -> (type, shape, bytes), and the number of files. Read by the format's definition, not by our code."""
    found, files = {}, [name for name in sorted(os.listdir(folder)) if name.endswith(".safetensors")]
    for name in files:
        with open(os.path.join(folder, name), "rb") as file:
            content = file.read()
        body = 8 + int.from_bytes(content[:8], "little")
        for key, entry in json.loads(content[8:body]).items():
            if key == "__metadata__":
                continue
            assert key not in found, f"{key} is in two files"
            begin, end = entry["data_offsets"]
            found[key] = entry["dtype"], entry["shape"], content[body + begin:body + end]
    return found, len(files)


class InterchangeOnRanks(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory(prefix="ocoee-interchange-ranks-")
        self.addCleanup(scratch.cleanup)
        self.folder = scratch.name
        with open(self.path("r.fa"), "w", encoding="utf-8") as file:
            file.write(">r\n" + "ATGGCATTTACGGGCCAT" * 200 + "\n")

    def path(self, name):
        return os.path.join(self.folder, name)

    def ocoee(self, ranks, *words):
        done = subprocess.run([MPIRUN, str(ranks), PROGRAM, *words], cwd=self.folder, env={**os.environ, "OCOEE_CACHE": self.path("cache")},
                              capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def goes_there_and_back(self, style):
        with open(self.path("r.toml"), "w", encoding="utf-8") as file:
            file.write(RECIPE.format(style=style))
        self.ocoee(4, "run", "r.toml")
        self.ocoee(1, "export", "--run", "runs/r", "--to", "alone")
        self.ocoee(1, "export", "--run", "runs/r", "--step", "0", "--to", "untrained")
        self.ocoee(2, "export", "--run", "runs/r", "--to", "first")
        self.ocoee(2, "import", "first", "--to", "runs/back", "--data", "r.fa")
        self.ocoee(2, "export", "--run", "runs/back", "--to", "second")
        alone, _ = tensors(self.path("alone"))
        first, files = tensors(self.path("first"))
        second, _ = tensors(self.path("second"))
        untrained, _ = tensors(self.path("untrained"))
        self.assertGreater(files, 1, "the ranks take turns")
        self.assertEqual(first, alone)
        self.assertEqual(second, first)
        self.assertEqual(untrained.keys(), first.keys())
        self.assertFalse([key for key in first if first[key] == untrained[key]], "training moves every tensor")
        with open(self.path("first/config.json"), encoding="utf-8") as file:
            config = json.load(file)
        with open(self.path("second/config.json"), encoding="utf-8") as file:
            self.assertEqual(json.load(file), config)
        table = "transformer.wte.weight" if style == "gpt2" else "model.embed_tokens.weight"
        self.assertEqual(first[table][:2], ("F32", [69, 16]))  # nothing of the padding leaves
        self.assertEqual(config["vocab_size"], 69)

    def test_gpt2(self):
        self.goes_there_and_back("gpt2")

    def test_llama(self):
        self.goes_there_and_back("llama")


if __name__ == "__main__":
    unittest.main()
