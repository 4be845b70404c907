#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""answers_test.py OCOEE: what doctor says of the MPI of this machine, and that it leaves nothing behind; what help finds."""
import os
import subprocess
import sys
import tempfile
import unittest

PROGRAM = os.path.abspath(sys.argv.pop(1))


class Answers(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory(prefix="ocoee-answers-")
        self.addCleanup(scratch.cleanup)
        self.folder, self.bin = os.path.join(scratch.name, "here"), os.path.join(scratch.name, "bin")
        os.mkdir(self.folder)
        os.mkdir(self.bin)

    def mpirun(self, first_line):
        path = os.path.join(self.bin, "mpirun")
        with open(path, "w", encoding="utf-8") as script:
            script.write(f"#!/bin/sh\necho '{first_line}'\n")
        os.chmod(path, 0o755)

    def ask(self, *words, **variables):
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("OMPI_", "PMI", "SLURM"))}
        environment.update(PATH=self.bin + ":/bin:/usr/bin" if os.listdir(self.bin) else self.bin, **variables)
        done = subprocess.run([PROGRAM, *words], cwd=self.folder, env=environment, capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def test_a_refusal_is_not_cut_off_by_another_rank(self):
        """mpirun kills every rank when the first ends with an error: only rank 0, which tells why, may be the first."""
        def rank(number):
            variables = {"OMPI_COMM_WORLD_RANK": str(number), "OMPI_COMM_WORLD_SIZE": "2"}
            return subprocess.Popen([PROGRAM, "run", "nowhere.toml", "--check"], cwd=self.folder, env={**os.environ, **variables},
                                    stderr=subprocess.PIPE, text=True)
        with rank(1) as other, rank(0) as first:
            self.assertIn("nowhere.toml", first.communicate(timeout=60)[1])
            self.assertEqual(first.returncode, 2)
            self.assertIsNone(other.poll())
            other.terminate()
            self.assertEqual(other.communicate(timeout=60)[1], "")
        with rank(1) as left:  # nobody ended it, so rank 0 did not see what it saw
            told = left.communicate(timeout=60)[1]
            self.assertEqual(left.returncode, 2)
            self.assertRegex(told, r"^ocoee: rank 1 on \S+: recipe error: nowhere.toml: ")

    def test_threads_stay_on_the_cores_that_they_may_use(self):
        core = min(os.sched_getaffinity(0))
        done = subprocess.run(["taskset", "-c", str(core), PROGRAM, "doctor"], cwd=self.folder, capture_output=True, text=True, check=False)
        cores = os.cpu_count()
        self.assertIn(f"{cores} cores, 1 of them for this process (" if cores > 1 else "1 cores (", done.stdout)

    def test_a_run_that_never_began_gives_way(self):
        if "without LibTorch" in self.ask("doctor"):
            self.skipTest("this program does not train")
        with open(os.path.join(self.folder, "r.toml"), "w", encoding="utf-8") as recipe:
            recipe.write('version = 1\n[run]\nname = "r"\n[task]\nname = "genome_lm"\nfasta = ["r.fa"]\n'
                         "[model]\nlayers = 1\nwidth = 8\nheads = 1\n[batch]\nglobal = 1\n[train]\nsteps = 1\n")
        with open(os.path.join(self.folder, "r.fa"), "w", encoding="utf-8") as letters:
            letters.write("".join(f">{record}\n{'ACGGT' * 60}\n" for record in range(4)))
        command = [PROGRAM, "run", "r.toml", "run.threads=1"]  # no record is as long as the first context
        short = subprocess.run([*command, "model.context=200"], cwd=self.folder, capture_output=True, text=True, check=False)
        self.assertEqual(short.returncode, 3, short.stderr)
        self.assertTrue(os.path.exists(os.path.join(self.folder, "runs/r/recipe.identity")))
        corrected = subprocess.run([*command, "model.context=4"], cwd=self.folder, capture_output=True, text=True, check=False)
        self.assertEqual(corrected.returncode, 0, corrected.stderr)

    def test_doctor_leaves_nothing_behind(self):
        said = self.ask("doctor", OCOEE_CACHE=os.path.join(self.folder, "cache"))
        self.assertRegex(said, r"ok    runs .* free")
        self.assertRegex(said, r"ok    cache .* free")
        self.assertEqual(os.listdir(self.folder), [])

    def test_doctor_without_mpirun(self):
        self.assertRegex(self.ask("doctor"), r"--    MPI +built with .*, but there is no mpirun(.|\n)*fix: apt-get install openmpi-bin")

    def test_doctor_with_the_mpirun_of_another_mpi(self):
        own = self.ask("doctor")
        other = "HYDRA build details:" if "built with Open MPI" in own else "mpirun (Open MPI) 4.1.4"
        self.mpirun(other)
        self.assertIn(f'but mpirun is "{other}": each rank would think that it is alone', self.ask("doctor"))

    def test_doctor_says_what_open_mpi_needs(self):
        if "built with Open MPI" not in self.ask("doctor"):
            return
        self.mpirun("mpirun (Open MPI) 4.1.4")
        said = self.ask("doctor")
        root = "export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1"
        self.assertEqual("fix: " + root in said, os.geteuid() == 0, said)
        self.assertRegex(said, r"more ranks than the \d+ cores? here: export OMPI_MCA_rmaps_base_oversubscribe=1")
        said = self.ask("doctor", OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1", OMPI_MCA_rmaps_base_oversubscribe="1")
        self.assertRegex(said, r'ok    MPI +built with .*; mpirun is "mpirun \(Open MPI\) 4.1.4"')
        self.assertNotIn("export", said)

    def test_help_finds_sections_verbs_and_exit_codes(self):
        overview = self.ask("help")
        for word in ("doctor", "score", "[optimizer]", "[batch]"):
            self.assertIn(word, overview)
        self.assertRegex(self.ask("help", "batch"), r"(?s)^\[batch\].*global")
        self.assertRegex(self.ask("help", "optimizer.critic", "--task", "toy_gan"), r"(?s)^\[optimizer.critic\].*learning_rate")
        self.assertRegex(self.ask("help", "score"), r"Usage: ocoee score")
        both = self.ask("help", "run")  # a section and a verb
        self.assertRegex(both, r"(?s)^\[run\].*Usage: ocoee run")
        self.assertRegex(self.ask("help", "exit-codes"), r"75  interrupted")
        self.assertRegex(self.ask("help", "machine-profile"), r"(?s)^\[machine\].*\[device\].*product_share.*\[network\].*\[storage\]")

    def test_check_answers_once_for_all_ranks(self):
        with open(os.path.join(self.folder, "recipe.toml"), "w", encoding="utf-8") as recipe:
            recipe.write('version = 1\n[task]\nname = "toy_gan"\n')
        said = [self.ask("run", "recipe.toml", "--check", OMPI_COMM_WORLD_SIZE="2", OMPI_COMM_WORLD_RANK=rank) for rank in "01"]
        self.assertRegex(said[0], r"(?s)no problems.*2 data ranks")
        self.assertEqual(said[1], "")

    def test_recipes_away_from_the_tree(self):
        self.assertIn("no folder `recipes` here", self.ask("list", "recipes"))


if __name__ == "__main__":
    unittest.main()
