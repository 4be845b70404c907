#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""ocoee tune by real runs: it ends with the best, is killed and goes on without repeating a trial, and tells what cannot be.

    tests/cli/tune_test.py OCOEE RECIPE   (in a folder of its own)
"""
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

ocoee, recipe = (os.path.abspath(path) for path in sys.argv[1:3])
KNOBS = ["--knob", "batch.micro=8,16,32,48", "--knob", "optimizer.critic.learning_rate=1e-4..1e-2:3"]


def tune(*options, **how):
    return subprocess.run([ocoee, "tune", recipe, *options], capture_output=True, text=True, **how)


def trials(folder):
    lines = [json.loads(line) for line in (pathlib.Path(folder) / "trials.jsonl").read_text().splitlines()]
    assert lines[0]["kind"] == "tune", lines[0]
    return lines[1:]


def whole_search():
    done = tune(*KNOBS, "--trials", "5", "--steps", "5", "--metric", "samples_per_second", "--out", "whole")
    assert done.returncode == 0, done.stderr
    found = trials("whole")
    assert len(found) == 5 and all(t["outcome"] == "ok" for t in found), found
    # 48 does not divide the batch, but 32 does: micro is an upper limit, so nothing is refused here.
    best = min(found, key=lambda t: t["value"])
    assert "run it: ocoee run " + recipe + " " + best["set"] in done.stdout, done.stdout
    page = pathlib.Path("whole/tune.html").read_text()
    assert "was measured in a run of 5 steps on " in page, page[:2000]
    assert "batch.micro" in page and "<svg" in page and "http" not in page.replace("http://www.w3.org", "")


def killed_and_resumed():
    command = [ocoee, "tune", recipe, *KNOBS, "--trials", "6", "--steps", "5", "--metric", "samples_per_second", "--out", "killed"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, start_new_session=True)
    log = pathlib.Path("killed/trials.jsonl")
    for _ in range(600):
        if log.exists() and len(log.read_text().splitlines()) >= 3:
            break
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    before = trials("killed")
    assert 2 <= len(before) < 6, before
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f"going on after {len(before)} trials" in done.stderr, done.stderr
    after = trials("killed")
    assert after[: len(before)] == before and len(after) == 6, after
    assert len({tuple(t["point"]) for t in after}) == 6, "a trial was repeated"


def what_cannot_be():
    for options, words in [
        (["--knob", "batch.micro"], "it has no key, or no values"),
        (["--knob", "batch.mirco=1,2"], "did you mean"),
        (["--knob", "batch.micro=4,8", "--metric", "samples_per_secnd", "--steps", "3", "--out", "m"], "did you mean 'samples_per_second'"),
        (["--knob", "batch.micro=4,8", "--launcher", "no-such-launcher", "--steps", "3", "--out", "l"], "no-such-launcher"),
    ]:
        done = tune(*options)
        assert done.returncode not in (0, 1), (options, done.returncode, done.stderr)
        assert words in done.stderr, (options, done.stderr)
    # The same folder for another search.
    done = tune("--knob", "batch.micro=4,8", "--trials", "2", "--out", "whole")
    assert done.returncode == 2 and "an earlier search stands there" in done.stderr, done.stderr


def by_the_planner():
    pathlib.Path("text.txt").write_text("to be or not to be, " * 400)
    pathlib.Path("lm.toml").write_text(
        'version = 1\n[run]\nname = "lm"\n[task]\nname = "text_lm"\nfiles = ["text.txt"]\n'
        "[model]\nlayers = 4\nwidth = 32\nheads = 4\ncontext = 32\n[batch]\nglobal = 16\n[optimizer]\nlearning_rate = 1e-3\n[train]\nsteps = 4\n")
    knobs = ["--knob", "batch.micro=1..16*2", "--knob", "layout.recompute=none,selective,full"]

    def lm(*options):
        return subprocess.run([ocoee, "tune", "lm.toml", *knobs, *options], capture_output=True, text=True)

    # Real trials begin where the planner says: tests/cli/plan_test.py sees that this finds the best.
    done = lm("--simulate", "--machine", "h200", "--trials", "100", "--out", "simulated")
    assert done.returncode == 0, done.stderr
    best = min(trials("simulated"), key=lambda t: t["value"])
    done = lm("--machine", "h200", "--trials", "1", "--steps", "4", "--out", "seeded")
    assert done.returncode == 0, done.stderr
    assert trials("seeded")[0]["point"] == best["point"], (trials("seeded"), best)
    # What it held is kept beside it, of what the host has.
    held = max(json.loads(line).get("peak_bytes", 0) for line in pathlib.Path("seeded/trials/0/run/metrics.jsonl").read_text().splitlines())
    assert held > 0 and abs(trials("seeded")[0]["memory"] * os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / held - 1) < 1e-9, held
    assert all(("memory" in t) == (t["outcome"] == "ok") for t in trials("simulated")), trials("simulated")


with tempfile.TemporaryDirectory(prefix="ocoee-tune-") as folder:
    os.chdir(folder)
    whole_search()
    killed_and_resumed()
    what_cannot_be()
    by_the_planner()
print("ok")
