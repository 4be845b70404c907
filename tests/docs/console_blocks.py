#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs what a page of the documentation tells its reader to type, and compares what it shows.

    console_blocks.py --program build/ocoee [--check] PAGE...
    console_blocks.py --self-test

A fenced block ```console holds commands after `$ ` (a trailing backslash goes on in the next line) and, below each, the
output it shows. `...` stands for anything: within a line for any text, as a whole line for any lines. A command that shows
no output may print what it likes. Every command must succeed, unless the line before its output is `(exit code N)`.
Blocks of a page run in order in one scratch folder that holds recipes/, examples/, data/, tests/mpirun.sh and build/ocoee.
A command that begins with `export ` holds for those after it on its page. Nothing is set that a reader would not have: what
this shell knows of MPI stays away, so a page that starts ranks says itself what that takes.
A block after `<!-- not run: WHY -->` is only checked for its shell syntax; with --check all are.
"""
import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))


class Command:
    def __init__(self, line, text):
        self.line, self.text, self.shown = line, text, []


def blocks_of(page):
    """Yields (line, reason why it is not run or None, [Command]) of each console block."""
    with open(page, encoding="utf-8") as stream:
        lines = stream.read().split("\n")
    number, reason = 0, None
    while number < len(lines):
        line = lines[number]
        number += 1
        mark = re.match(r"<!-- not run: (.+) -->\s*$", line)
        if mark:
            reason = mark.group(1)
            continue
        if not line.startswith("```console"):
            if line.strip():
                reason = None
            continue
        start, commands, goes_on = number, [], False
        while number < len(lines) and not lines[number].startswith("```"):
            text = lines[number]
            if goes_on:
                commands[-1].text += "\n" + text
                goes_on = text.endswith("\\")
            elif text.startswith("$ "):
                commands.append(Command(number + 1, text[2:]))
                goes_on = text.endswith("\\")
            elif commands:
                commands[-1].shown.append(text)
            else:
                raise SystemExit(f"{page}:{number + 1}: output before the first command (commands begin with `$ `)")
            number += 1
        number += 1
        yield start, reason, commands
        reason = None


def matches(shown, printed):
    """Does what was printed look like what the page shows? Blank lines at the end do not count."""
    pattern = ""
    for line in shown:
        if line.strip() == "...":
            pattern += r"(?:[^\n]*\n)*?"
        else:
            pattern += r"[^\n]*?".join(re.escape(part) for part in line.rstrip().split("...")) + r"[ \t]*\n"
    return re.fullmatch(pattern, printed.rstrip() + "\n" if printed.strip() else "") is not None


def indented(text, limit=40):
    lines = text.rstrip("\n").split("\n")
    if len(lines) > limit:
        lines[limit:] = [f"(and {len(lines) - limit} lines more)"]
    return "".join("    " + line + "\n" for line in lines)


def reader_environment():
    """As a reader's shell would be, but for the number of threads and the language of messages."""
    keep = {name: value for name, value in os.environ.items() if not re.match(r"OMPI_|PMI|PRTE_|HYDRA_|SLURM|OCOEE_", name)}
    return dict(keep, OMP_NUM_THREADS="1", LC_ALL="C.UTF-8")


def take_over(command, folder, environment):
    """The variables that an `export` leaves in the shell."""
    told = subprocess.run(["bash", "-c", command.text + "\nenv -0"], cwd=folder, env=environment, capture_output=True, text=True)
    if told.returncode != 0:
        return f"ended with code {told.returncode}, and printed\n{indented(told.stderr)}"
    for entry in told.stdout.split("\0"):
        name, _, value = entry.partition("=")
        if name and name != "_":
            environment[name] = value
    return None


def run_command(command, folder, environment):
    """Returns what is wrong, or None."""
    if command.text.startswith("export "):
        return take_over(command, folder, environment)
    shown, expected = command.shown, 0
    if shown and re.fullmatch(r"\(exit code \d+\)", shown[0]):
        expected, shown = int(re.search(r"\d+", shown[0]).group()), shown[1:]
    result = subprocess.run(["bash", "-c", command.text], cwd=folder, env=environment, stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    if result.returncode != expected:
        return f"ended with code {result.returncode}, not {expected}, and printed\n{indented(result.stdout)}"
    if shown and not matches(shown, result.stdout):
        return "the page shows\n" + indented("\n".join(shown)) + "  but it printed\n" + indented(result.stdout)
    return None


def make_scratch(folder, program):
    shutil.copytree(os.path.join(ROOT, "recipes"), os.path.join(folder, "recipes"))
    if os.path.isdir(os.path.join(ROOT, "examples")):
        shutil.copytree(os.path.join(ROOT, "examples"), os.path.join(folder, "examples"))
    os.makedirs(os.path.join(folder, "build"))
    os.symlink(os.path.abspath(program), os.path.join(folder, "build", "ocoee"))
    os.makedirs(os.path.join(folder, "tests"))
    shutil.copy(os.path.join(ROOT, "tests", "mpirun.sh"), os.path.join(folder, "tests"))
    if os.path.isdir(os.path.join(ROOT, "data")):
        os.symlink(os.path.join(ROOT, "data"), os.path.join(folder, "data"))


def check_page(page, program, only_syntax):
    problems, ran, read = [], 0, 0
    with tempfile.TemporaryDirectory(prefix="ocoee-docs-") as folder:
        environment = dict(reader_environment(), OCOEE_CACHE=os.path.join(folder, "cache"))
        if not only_syntax:
            make_scratch(folder, program)
        for line, reason, commands in blocks_of(page):
            if not commands:
                problems.append(f"{page}:{line}: an empty console block")
            for command in commands:
                syntax = subprocess.run(["bash", "-n", "-c", command.text], capture_output=True, text=True)
                if syntax.returncode != 0:
                    problems.append(f"{page}:{command.line}: {syntax.stderr.strip()}")
                elif reason is None and not only_syntax:
                    wrong = run_command(command, folder, environment)
                    ran += 1
                    if wrong:
                        problems.append(f"{page}:{command.line}: `{command.text}`: {wrong}")
                else:
                    read += 1
    return problems, ran, read


def self_test():
    cases = [(["a"], "a\n", True), (["a"], "b\n", False), (["a"], "a\nb\n", False), (["a", "..."], "a\nb\nc\n", True),
             (["a", "...", "c"], "a\nc\n", True), (["...", "c"], "a\nb\n", False), (["x ... z"], "x y z\n", True),
             (["x ... z"], "x\nz\n", False), (["1.9 (k = 7)"], "1.9 (k = 7)\n", True), (["1.9"], "109\n", False), (["a"], "", False)]
    wrong = [case for case in cases if matches(case[0], case[1]) != case[2]]
    pages = {"```console\n$ echo hello\nhello\n```\n": 0, "```console\n$ echo hello\ngoodbye\n```\n": 1,
             "```console\n$ false\n```\n": 1, "```console\n$ (exit 3)\n(exit code 3)\n```\n": 0,
             "```console\n$ echo one \\\n  two\none two\n```\n": 0, "<!-- not run: a test -->\n```console\n$ false\n```\n": 0,
             "<!-- not run: a test -->\n```console\n$ if\n```\n": 1, "<!-- not run: a test -->\nText\n\n```console\n$ false\n```\n": 1,
             "```console\n$ export X=1 Y=2\n```\n\n```console\n$ echo $X$Y\n12\n$ env | grep -c OMPI\n(exit code 1)\n0\n```\n": 0,
             "```console\n$ case $PATH in *$PWD*) false;; esac\n```\n": 0,
             "```console\n$ test -d recipes -a -e build/ocoee && echo x > file\n```\n\n```console\n$ cat file\nx\n```\n": 0}
    with tempfile.TemporaryDirectory() as folder:
        for text, expected in pages.items():
            page = os.path.join(folder, "page.md")
            with open(page, "w", encoding="utf-8") as stream:
                stream.write(text)
            found, _, _ = check_page(page, "/bin/true", False)
            if len(found) != expected:
                wrong.append((text, found))
    for case in wrong:
        print("wrong:", case)
    print("self-test:", "failed" if wrong else "passed")
    return 1 if wrong else 0


def main():
    parser = argparse.ArgumentParser(description="runs the console blocks of pages")
    parser.add_argument("--program", default="build/ocoee")
    parser.add_argument("--check", action="store_true", help="only the shell syntax")
    parser.add_argument("--self-test", action="store_true")
    parser.add_argument("pages", nargs="*")
    options = parser.parse_args()
    if options.self_test:
        return self_test()
    failed = False
    for page in options.pages:
        problems, ran, read = check_page(page, options.program, options.check)
        for problem in problems:
            print(problem)
        print(f"{os.path.relpath(page, ROOT)}: {ran} commands ran, {read} were only read, {len(problems)} problems")
        failed = failed or bool(problems)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
