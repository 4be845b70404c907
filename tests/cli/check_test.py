#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""check_test.py OCOEE: what `ocoee run RECIPE --check` finds out about data, run directory, memory and keys, and that it changes nothing."""
import fcntl
import gzip
import os
import subprocess
import sys
import tempfile
import unittest

PROGRAM = os.path.abspath(sys.argv.pop(1))
RECIPE = """version = 1
[run]
name = "r"
device = "cpu"
[task]
name = "genome_lm"
fasta = ["r.fa"]
[model]
layers = 1
width = 8
heads = 1
context = 8
[batch]
global = 4
[train]
steps = 40
"""

# What such a run leaves: as run/recipe_identity.h says, keys at their default may be left out.
IDENTITY = """run.name = "r"
task.name = "genome_lm"
task.fasta = ["r.fa"]
model.layers = 1
model.width = 8
model.heads = 1
model.context = 8
batch.global = 4
"""


class Check(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory(prefix="ocoee-check-")
        self.addCleanup(scratch.cleanup)
        self.folder = scratch.name
        self.write("r.toml", RECIPE)
        self.write("r.fa", ">r\n" + "ACGGT" * 500 + "\n")

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, content):
        os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
        with open(self.path(name), "wb") as file:
            file.write(content if isinstance(content, bytes) else content.encode())

    def files(self):
        return {os.path.join(at, name): os.stat(os.path.join(at, name)).st_mtime_ns for at, _, names in os.walk(self.folder) for name in names}

    def check(self, *words, code=0, **variables):
        before = self.files()
        done = subprocess.run([PROGRAM, "run", "r.toml", "--check", *words], cwd=self.folder, env={**os.environ, **variables},
                              capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        self.assertEqual("no problems" in done.stdout, code == 0)
        self.assertEqual(self.files(), before, "a look changes nothing")
        return done.stdout if code == 0 else done.stderr

    def a_run(self, step, recipe=IDENTITY):
        self.write("runs/r/recipe.identity", recipe)
        if step >= 0:
            os.makedirs(self.path(f"runs/r/checkpoints/step-{step}"))

    def test_a_new_run(self):
        said = self.check()
        self.assertRegex(said, r"inputs: 1 file, 2\.\d+ KiB, can be read")
        self.assertIn("run directory: runs/r, a new run", said)
        self.assertFalse(os.path.exists(self.path("runs")))

    def test_a_run_that_goes_on(self):
        self.a_run(20)
        self.assertIn("run directory: runs/r, where the run goes on from step 20", self.check())
        self.assertIn("where the run is at its end, step 20", self.check("train.steps=20"))
        self.assertIn("this run is at step 20 already, and the recipe now ends at 10", self.check("train.steps=10", code=2))
        self.assertIn("whose run is moved aside for a new one", self.check("--fresh"))

    def test_a_run_of_another_recipe_or_on_other_data(self):
        self.a_run(20, IDENTITY.replace("width = 8", "width = 16"))
        said = self.check(code=2)
        self.assertIn("runs/r: holds a run with another recipe, so this one cannot go on from it:\n    model.width: 16 there, 8 now", said)
        self.assertIn("whose run is moved aside for a new one", self.check("--fresh"))
        self.write("runs/r/recipe.identity", IDENTITY + "content of r.fa = 0123456789abcdef\n")
        self.assertIn("runs/r: holds a run on other data", self.check(code=2))

    def test_a_folder_that_cannot_be_the_runs(self):
        self.write("taken", "a file")
        self.assertRegex(self.check("run.dir=taken/r", code=4), r"taken/r.*: cannot write: Not a directory\n    fix: move the file away")
        self.write("runs/r/thesis.tex", "mine")
        self.assertIn("runs/r/thesis.tex: is there, and no run made this folder", self.check(code=4))
        if os.geteuid() != 0:
            os.mkdir(self.path("shut"), 0o500)
            self.assertIn("cannot write: Permission denied", self.check("run.dir=shut/r", code=4))

    def test_a_folder_in_use(self):
        self.a_run(20)
        self.write("runs/r/.lock", "process 1 on a node\n")
        with open(self.path("runs/r/.lock"), encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self.assertIn("runs/r: another run is writing there (process 1 on a node)", self.check(code=4))

    def test_inputs_that_cannot_be_read(self):
        self.write("r.fa", "")
        self.assertIn("r.fa: the file is empty", self.check(code=3))
        self.write("r.fa", gzip.compress(b">r\n")[:10] + b"no gzip after its header")
        self.assertIn("r.fa: the gzip data is damaged", self.check(code=3))
        self.write("r.fa", b"\xfd7zXZ and more")
        both = self.check("run.dir=r.toml/r", code=3)
        self.assertIn("r.fa: the file is packed with xz", both)
        self.assertIn("r.toml/r", both)  # all that is wrong is told at once

    def test_inputs_are_read_as_the_run_reads_them(self):
        self.assertIn("data: 2500 bases in 1 record, 2250 to train on and 250 held out\n", self.check())
        self.write("r.fa", gzip.compress(b">a\n" + b"ACGGT" * 40 + b"\n>b\nACGT\n>c\n" + b"ACGGT" * 40 + b"\n"))
        self.write("s.fa", ">s\n" + "GATTACA" * 30)
        self.assertIn("data: 614 bases in 4 records, 573 to train on and 41 held out; 4 of those to train on lie in pieces shorter than a window\n",
                      self.check('task.extra_fasta=["s.fa"]'))
        self.assertIn("r.fa and r.fa are the same data", self.check('task.extra_fasta=["r.fa"]', code=3))
        self.assertIn("no training record is as long as a window", self.check("model.context=256", code=3))
        self.write("r.fa", ">r\n" + "ACGGT" * 2000 + "\n>protein\nMKV*\n")  # far behind the first bytes
        self.assertIn("is not a nucleotide code", self.check(code=3))
        self.write("r.fa", ">r\n" + "N" * 5000 + "\n")
        self.assertIn("nothing of the 500 letters held out can be scored", self.check(code=3))
        whole = gzip.compress(os.urandom(20000))
        text = RECIPE.replace("genome_lm", "text_lm").replace("fasta", "files")
        self.write("r.toml", text)
        self.write("r.fa", whole)
        self.assertIn("data: 20000 bytes in 1 record, 18000 to train on and 2000 held out\n", self.check())
        self.write("r.fa", whole[:-100])
        self.assertIn("r.fa: the gzip", self.check(code=3))

    def test_data_of_more_than_a_gibibyte_is_left_to_the_run(self):
        with open(self.path("r.fa"), "a", encoding="utf-8") as file:
            file.truncate((1 << 30) + 1)  # a hole, which takes no room
        self.assertIn("can be read; what they hold is left to the run (more than 1 GiB)", self.check())

    def test_a_launcher_that_starts_no_mpi(self):
        said = self.check(code=2, RANK="0", WORLD_SIZE="2", MASTER_ADDR="localhost")
        self.assertIn("torchrun started this process, but it starts no MPI\n    fix: mpirun -n 2 ", said)

    def test_memory_of_all_ranks_of_this_host(self):
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        wide = int((total / 2 / 16 / 12) ** 0.5) // 64 * 64  # half of the memory for weights and what goes with them
        words = [f"model.width={wide}", "batch.micro=1"]
        self.assertNotIn("not on this host", self.check(*words))
        ranks = dict(OMPI_COMM_WORLD_SIZE="4", OMPI_COMM_WORLD_RANK="0", OMPI_COMM_WORLD_LOCAL_RANK="0")
        self.assertRegex(self.check(*words, **ranks, OMPI_COMM_WORLD_LOCAL_SIZE="4"), r"not on this host: its 4 ranks of .* each may need")
        self.assertNotIn("not on this host", self.check(*words, **ranks, OMPI_COMM_WORLD_LOCAL_SIZE="1"))

    def test_room_for_checkpoints(self):
        self.assertRegex(self.check(), r"\ncheckpoints: \d.* each, at most 4 at a time, .*; .* are free")
        self.assertIn("each, at most 2 at a time", self.check("train.steps=1", "optimizer.warmup_steps=0"))
        many = ["train.steps=1000000000000", "run.keep_checkpoints=1000000000000"]
        self.assertRegex(self.check(*many), r"\nnot on this disk: checkpoints: .* each, at most 1000000000001 at a time, .* are free")

    def test_what_a_run_goes_without(self):
        evaluations, checkpoints = "evaluations: none before the last step (train.evaluate_every = ", "checkpoints: none before the last step"
        said = self.check()
        self.assertIn(evaluations + "0)", said)
        self.assertNotIn(checkpoints, said)
        self.assertIn(evaluations + "40)", self.check("train.evaluate_every=40"))
        said = self.check("train.evaluate_every=10", "run.checkpoint_interval=0")
        self.assertNotIn(evaluations, said)
        self.assertIn(checkpoints + " (train.checkpoint_every = 0, run.checkpoint_interval = 0)", said)
        self.assertNotIn(checkpoints, self.check("train.checkpoint_every=10", "run.checkpoint_interval=0"))

    def test_keys_without_effect(self):
        self.assertNotIn("note:", self.check())
        said = self.check("optimizer.name=sgd", "optimizer.beta1=0.5", "optimizer.decay_steps=3", "precision.loss_scale=8", "layout.halves=off",
                          "layout.schedule=gpipe", "model.rope_base=500", "task.k=5")
        for key, where in (("optimizer.beta1", "name = adamw"), ("optimizer.decay_steps", "schedule = wsd"), ("layout.halves", "tensor > 1"),
                           ("precision.loss_scale", "compute = float16"), ("layout.schedule", "pipeline > 1"), ("model.rope_base", "positions are rope"), ("task.k", "tokens = kmer")):
            self.assertRegex(said, rf"note: command line: {key}: has no effect: it acts where {where}")
        self.assertNotIn("note:", self.check("optimizer.schedule=wsd", "optimizer.decay_steps=3", "model.style=llama", "model.rope_base=500"))

    def test_halves_of_an_odd_micro_batch(self):
        words = ["model.heads=2", "layout.tensor=2", "layout.halves=on"]
        two = dict(OMPI_COMM_WORLD_SIZE="2", OMPI_COMM_WORLD_RANK="0", OMPI_COMM_WORLD_LOCAL_RANK="0", OMPI_COMM_WORLD_LOCAL_SIZE="2")
        note = "note: layout.halves: has no effect: it acts where a micro-batch has an even number of samples, and here it has "
        for batch, told in ((["batch.global=4", "batch.micro=1"], "1; fix: batch.micro = 2"),
                            (["batch.global=6", "batch.micro=3"], "3; fix: batch.micro = 6"),
                            (["batch.global=3", "batch.micro=3"], "3; fix: an even batch.micro, batch.global = 4"),
                            (["batch.global=3", "batch.micro=2"], "1; fix: an even batch.micro, batch.global = 4")):
            self.assertIn(note + told + "\n", self.check(*words, *batch, **two))
            self.assertNotIn("note:", self.check(*words[:2], *batch, **two))
        for batch in (["batch.micro=2"], ["batch.global=6", "batch.micro=6"], ["batch.global=4", "batch.micro=3"]):
            self.assertNotIn("note:", self.check(*words, *batch, **two))

    def test_a_padded_vocabulary_is_stated(self):
        words = ["model.heads=2", "layout.tensor=2"]
        two = dict(OMPI_COMM_WORLD_SIZE="2", OMPI_COMM_WORLD_RANK="0", OMPI_COMM_WORLD_LOCAL_RANK="0", OMPI_COMM_WORLD_LOCAL_SIZE="2")
        self.assertIn("vocabulary: 9 padded to 10, so that 2 tensor ranks have 5 each\n", self.check(*words, "task.tokens=nucleotide", **two))
        self.assertNotIn("padded", self.check("task.tokens=nucleotide"))


if __name__ == "__main__":
    unittest.main()
