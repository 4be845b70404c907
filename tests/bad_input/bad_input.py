#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Wrong recipes and inputs, each with its golden message, exit code, and what may be left behind.

    bad_input.py --program OCOEE [CASE ...]           runs the cases, or all of them
    bad_input.py --program OCOEE --without-torch      all but those that train
    bad_input.py --program OCOEE --write [CASE ...]   writes `expected` anew: read it before it is committed

A case is a folder under cases/. Its files, and those of common/, are copied to a scratch folder; then run there
    needs     shell: exit 77 when this machine cannot show the case; only in the cases of MAY_SKIP
    setup     shell: makes the broken input (optional); must succeed
    command   shell: what the user does
`expected` is "exit N" and then stderr, line by line; <*> stands for anything within a line. `leaves` (optional) lists
patterns of files that the command may leave or change. Half-written files and broken checkpoints are never allowed.
"""
import argparse
import fnmatch
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
# What another machine, or another user, may be unable to show; everything else runs everywhere.
MAY_SKIP = {"disk_full", "disk_full_later", "fasta_without_permission", "folder_without_permission", "host_memory"}
# What only a program with LibTorch can show: the case, or its setup, trains.
TRAINS = {"cache_is_a_file", "checkpoint_all_damaged", "checkpoint_manifest_truncated", "checkpoint_shard_damaged",
          "checkpoint_shard_missing", "checkpoint_shard_truncated", "disk_full", "disk_full_later", "fasta_binary", "fasta_empty_file",
          "fasta_of_n", "fasta_of_proteins", "fasta_only_headers", "fasta_too_short", "fasta_twice", "fasta_with_a_digit",
          "fasta_without_header", "fasta_without_permission", "file_size_limit", "float16_overflows", "folder_in_use", "folder_is_a_file",
          "folder_of_others", "folder_without_permission", "gradients_zero", "gzip_truncated", "host_memory", "loss_not_finite",
          "resume_another_recipe", "resume_other_data", "step_best_of_none", "substitution_ambiguous", "text_too_short", "torchrun"}
HALF_WRITTEN = ("*.partial", "*.partial/*", "*.tmp-*", "*.part")


def tree(folder):
    found = {}
    for where, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(where, name)
            if os.path.isfile(path):
                with open(path, "rb") as stream:
                    found[os.path.relpath(path, folder)] = hashlib.sha256(stream.read()).hexdigest()
    return found


def optional(folder, name):
    path = os.path.join(folder, name)
    if not os.path.exists(path):
        return ""
    with open(path, encoding="utf-8") as stream:
        return stream.read()


class Case:
    def __init__(self, name, program, scratch):
        self.folder, self.scratch = os.path.join(HERE, "cases", name), scratch
        for source in (os.path.join(HERE, "common"), self.folder):
            shutil.copytree(source, scratch, dirs_exist_ok=True)
        keep = {k: v for k, v in os.environ.items() if not k.startswith(("OMPI_", "PMI", "SLURM", "OCOEE_"))}
        self.environment = dict(keep, PATH=os.path.dirname(os.path.abspath(program)) + ":" + os.environ["PATH"],
                                XDG_CACHE_HOME=os.path.join(scratch, ".cache"), LC_ALL="C.UTF-8", OMP_NUM_THREADS="1")

    def shell(self, text):
        return subprocess.run(["bash", "-c", text], cwd=self.scratch, env=self.environment, capture_output=True, text=True,
                              timeout=120, check=False)

    def run(self):
        """(what happened in the form of `expected`, complaints), or None when it cannot be shown here."""
        needs = optional(self.folder, "needs")
        if needs and self.shell(needs).returncode == 77:
            return None
        setup = optional(self.folder, "setup")
        if setup:
            made = self.shell("set -e\n" + setup)
            if made.returncode != 0:
                return "", [f"its setup failed:\n{made.stdout}{made.stderr}"]
        before = tree(self.scratch)
        ended = self.shell(optional(self.folder, "command"))
        text = f"exit {ended.returncode}\n" + re.sub(r"(?m)^([WIE]) [0-9:]+ ", r"\1 TIME ", ended.stderr.replace(self.scratch, "SCRATCH"))
        return text, self.leftovers(before)

    def leftovers(self, before):
        allowed = optional(self.folder, "leaves").split() + [".cache/*"]
        after = tree(self.scratch)
        for name in sorted(before.keys() | after.keys()):
            changed = before.get(name) != after.get(name)
            if changed and not any(fnmatch.fnmatch(name, pattern) for pattern in allowed):
                yield f"{name} was {'left' if name not in before else 'changed' if name in after else 'removed'}"
            if name in after and name not in before and any(fnmatch.fnmatch(name, p) for p in HALF_WRITTEN):
                yield f"{name} is half-written"
            if name.endswith("/manifest.json") and name in after and name not in before:
                whole = self.shell(f"ocoee checkpoint verify {os.path.dirname(name)}")
                if whole.returncode != 0:
                    yield f"{name}: not whole: {whole.stderr}"


def matches(expected, found):
    lines, there = expected.rstrip("\n").split("\n"), found.rstrip("\n").split("\n")
    return len(lines) == len(there) and all(
        re.fullmatch(".*".join(re.escape(part) for part in line.split("<*>")), other) for line, other in zip(lines, there))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--without-torch", action="store_true")
    parser.add_argument("cases", nargs="*")
    options = parser.parse_args()
    failed = shown = 0
    for name in options.cases or sorted(os.listdir(os.path.join(HERE, "cases"))):
        if options.without_torch and name in TRAINS:
            continue
        with tempfile.TemporaryDirectory(prefix="ocoee-bad-") as scratch:
            case = Case(name, options.program, scratch)
            result = case.run()
            if result is None and name in MAY_SKIP:
                print(f"skip  {name}: cannot be shown on this machine")
                continue
            if result is None:
                result = "", ["it may not be skipped: see MAY_SKIP"]
            shown += 1
            text, complaints = result[0], list(result[1])
            golden = os.path.join(case.folder, "expected")
            if options.write and text:
                with open(golden, "w", encoding="utf-8") as stream:
                    stream.write(text)
            expected = optional(case.folder, "expected")
            if not matches(expected, text):
                complaints.append(f"expected\n{expected}---- found\n{text}----")
            if expected.startswith("exit 0"):
                complaints.append("a bad input that ends with 0 is not told")
            print(f"{'FAIL' if complaints else 'ok'}    {name}")
            for complaint in complaints:
                print(f"      {complaint}")
            failed += bool(complaints)
    print(f"{shown} cases, {failed} failed")
    sys.exit(1 if failed or (shown < 40 and not options.cases) else 0)


if __name__ == "__main__":
    main()
