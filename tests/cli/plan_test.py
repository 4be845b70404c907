#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""plan_test.py OCOEE GAN_RECIPE: planning needs no LibTorch: ocoee plan, ocoee plan import, and ocoee tune by the planner alone."""
import itertools
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile
import unittest

PROGRAM, GAN = os.path.abspath(sys.argv.pop(1)), os.path.abspath(sys.argv.pop(1))
SCRIPT = """#!/bin/bash
#SBATCH --nodes=16
srun --ntasks-per-node 8 python pretrain_gpt.py --num-layers 96 --hidden-size 12288 \\
  --num-attention-heads 96 --seq-length 2048 --micro-batch-size 1 --global-batch-size 1280 \\
  --tensor-model-parallel-size 4 --pipeline-model-parallel-size 16 --fp16 --zero-stage 1 \\
  --checkpoint-activations --use-flash-attn --deepspeed_config ds.json
"""
RECIPE = """version = 1
[run]
name = "lm"
[task]
name = "text_lm"
files = ["text.txt"]
[model]
layers = 4
width = 32
heads = 4
context = 32
[batch]
global = 16
[optimizer]
learning_rate = 1e-3
[train]
steps = 4
"""


class Plan(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory(prefix="ocoee-plan-")
        self.addCleanup(scratch.cleanup)
        self.folder = pathlib.Path(scratch.name)

    def ocoee(self, *arguments):
        return subprocess.run([PROGRAM, *arguments], cwd=self.folder, capture_output=True, text=True)

    def good(self, *arguments):
        done = self.ocoee(*arguments)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def test_a_plan_of_a_published_model(self):
        said = self.good("plan", "175b", "--machine", "frontier", "--devices", "1024", "--top", "3")
        self.assertIn("1024 x MI250X GCD of Frontier", said)
        folder = self.folder / "plans" / "175b-frontier-1024"
        plan = json.loads((folder / "plan.json").read_text())
        self.assertEqual(len(plan["proposals"]), 3)
        for proposal in plan["proposals"]:
            layout = proposal["layout"]
            self.assertEqual(layout["tensor"] * layout["context"] * layout["pipeline"] * layout["data"], 1024)
        page = (folder / "plan.html").read_text()
        self.assertIn("<svg", page)
        self.assertNotIn("http", page.replace("http://www.w3.org", ""))

    def test_a_launch_script_is_imported_and_its_step_predicted(self):
        (self.folder / "run.sh").write_text(SCRIPT)
        for micro, code in ((1, 0), (4, 2)):
            (self.folder / "ds.json").write_text(json.dumps({"train_batch_size": 1280, "train_micro_batch_size_per_gpu": micro,
                                                             "fp16": {"enabled": True}, "zero_optimization": {"stage": 1}}))
            done = self.ocoee("plan", "import", "run.sh", "ds.json", "--machine", "frontier")
            self.assertEqual(done.returncode, code, done.stderr)
            self.assertIn("0.25 times the 1280 samples" if code else "tensor 4, pipeline 16, data 2", done.stderr if code else done.stdout)

    def write_recipe(self):
        (self.folder / "text.txt").write_text("to be or not to be, " * 400)
        (self.folder / "lm.toml").write_text(RECIPE)

    def test_a_recipes_own_layout_stands_beside_or_why_it_cannot_be(self):
        self.write_recipe()
        plan = lambda *overrides: self.good("plan", "lm.toml", "--machine", "h200", "--devices", "8", *overrides)
        self.assertIn("\nrecipe ", plan("layout.tensor=2"))
        why = {"layout.tensor=3": "tensor 3 x pipeline 1 x context 1 do not divide 8 ranks", "batch.global=12": "8 data ranks do not divide a batch of 12",
               "layout.tensor=8": "8 tensor ranks do not divide 4 heads"}
        for override, problem in why.items():
            self.assertIn(f"recipe: its own layout cannot be on 8 devices: {problem}", plan(override))
            told = json.loads((self.folder / "plans/lm-h200-8/plan.json").read_text())
            self.assertEqual(told["own_problem"], problem)
            self.assertIn(problem, (self.folder / "plans/lm-h200-8/plan.html").read_text())

    def test_the_line_that_runs_the_first_proposal_runs_it(self):
        self.write_recipe()
        for own in ([], ["layout.tensor=2", "layout.shard=states"], ["layout.pipeline=4", "layout.cuts=[2,3,4]"], ["layout.tensor=3"]):
            for asked in ([], ["--pipeline", "2"], ["--tensor", "2", "--shard", "parameters", "--recompute", "full"], ["--micro", "2", "--batch", "32"]):
                said = self.good("plan", "lm.toml", "--machine", "h200", "--devices", "8", "--top", "1", *asked, *own)
                command = shlex.split(re.search("^run the first: (.*)$", said, re.M).group(1))
                self.assertEqual(command[:5], ["mpirun", "-n", "8", "ocoee", "run"])
                # The recipe so changed has the layout that was proposed.
                again = self.good("plan", *command[5:], "--machine", "h200", "--devices", "8", "--output", "again")
                first = json.loads((self.folder / "plans/lm-h200-8/plan.json").read_text())["proposals"][0]
                recipe = json.loads((self.folder / "again/plan.json").read_text())["own"]
                self.assertEqual([recipe["layout"], recipe["cuts"]], [first["layout"], first["cuts"]], (own, asked, again))
        self.assertIn("set in a recipe, for the first: layout.tensor=8 batch.micro=1",
                      self.good("plan", "175b", "--machine", "frontier", "--devices", "1024", "--tensor", "8", "--pipeline", "1", "--micro", "1"))

    def tune(self, *options):
        self.write_recipe()
        return self.ocoee("tune", "lm.toml", "--knob", "batch.micro=1..16*2", "--knob", "layout.recompute=none,selective,full", *options)

    def test_a_tuner_by_the_planner_finds_the_best_of_all_points(self):
        found = {}
        for trials in (6, 100):
            done = self.tune("--simulate", "--machine", "h200", "--trials", str(trials), "--out", f"of-{trials}")
            self.assertEqual(done.returncode, 0, done.stderr)
            lines = [json.loads(line) for line in (self.folder / f"of-{trials}" / "trials.jsonl").read_text().splitlines()]
            found[trials] = lines[1:]
            self.assertFalse((self.folder / f"of-{trials}" / "trials").exists(), "something ran")
        self.assertEqual([len(found[6]), len(found[100])], [6, 15])
        self.assertEqual(min(t["value"] for t in found[6]), min(t["value"] for t in found[100]))

    def test_of_settings_that_act_alike_a_search_tries_one(self):
        self.write_recipe()

        def acts_as(settings):  # micro is a limit; with one replica nothing is split; one stage has no schedule
            s = dict(one.split("=") for one in settings.split())
            tensor, pipeline = int(s["layout.tensor"]), int(s["layout.pipeline"])
            data = 4 // (tensor * pipeline)
            micro = max(m for m in range(1, int(s["batch.micro"]) + 1) if 16 // data % m == 0)
            # Nothing is computed again or put away, so of one micro-batch both schedules are one.
            schedule = s["layout.schedule"] if pipeline > 1 and micro < 16 // data else ""
            return tensor, pipeline, micro, s["layout.shard"] if data > 1 else "", schedule

        knobs = {"layout.tensor": "1,2,4", "layout.pipeline": "1,2,4", "batch.micro": "1,3,4,8,16", "layout.shard": "none,states",
                 "layout.schedule": "1f1b,gpipe"}
        options = [word for key, values in knobs.items() for word in ("--knob", f"{key}={values}")]
        for method in ("gp", "random"):
            for trials in ("9", "500"):  # the second goes on where the first stopped
                self.good("tune", "lm.toml", *options, "--ranks", "4", "--simulate", "--machine", "h200", "--method", method, "--trials", trials,
                          "--out", method)
            tried = [acts_as(json.loads(line)["set"]) for line in (self.folder / method / "trials.jsonl").read_text().splitlines()[1:]]
            self.assertEqual(len(set(tried)), len(tried), method)
            every = {acts_as(" ".join(f"{key}={value}" for key, value in zip(knobs, point))) for point in itertools.product(*(v.split(",") for v in knobs.values()))
                     if int(point[0]) * int(point[1]) <= 4}
            self.assertEqual(set(tried), every, method)

    def test_of_many_ranks_the_command_starts_them_and_the_page_says_that_nothing_was_run(self):
        done = self.tune("--simulate", "--machine", "h200", "--ranks", "4", "--trials", "2", "--out", "four")
        self.assertIn("run it: mpirun -n 4 ocoee run lm.toml ", done.stdout)
        self.assertIn("Nothing was run", (self.folder / "four" / "tune.html").read_text())

    def test_what_a_planner_cannot_tell(self):
        for options, words in [(["--simulate"], "of which machine?"), (["--machine", "h200", "--metric", "loss"], "the planner knows times"),
                               (["--machine", "h2OO"], "did you mean 'h200'?")]:
            done = self.tune(*options, "--out", "none")
            self.assertEqual(done.returncode, 2, (options, done.stderr))
            self.assertIn(words, done.stderr)
        done = self.ocoee("tune", GAN, "--knob", "batch.micro=8,16", "--simulate", "--machine", "h200", "--out", "gan")
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertIn("does not say what its layers cost", done.stderr)


if __name__ == "__main__":
    unittest.main()
