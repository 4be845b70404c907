#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The rules of the house, read from the files themselves.

    rules.py [--root FOLDER] [RULE ...]     checks the named rules, or all of them; one line a violation
    rules.py --list                         the rules

A rule is a function of a Tree that yields (file, line, what is wrong and how to mend it). self_test.py plants a violation
of each and sees it found.
"""
import argparse
import fnmatch
import os
import re
import shutil
import subprocess
import sys

ROOMS = ("core device comm plan models kernels data run report science nn optim parallel train tasks cli").split()
TORCH_ROOMS = {"nn", "parallel", "train"}
CODE = (".h", ".cpp", ".cu", ".cuh", ".h.in")
SCRIPTS = (".py", ".sh", ".cmake")
MAX_LINES = 800


class Tree:
    """The files of a checkout: tracked ones and new ones that git does not ignore; all files where there is no git."""

    def __init__(self, root):
        self.root = os.path.abspath(root)
        self.cache = {}
        if os.path.exists(os.path.join(self.root, ".git")):
            out = subprocess.run(["git", "-C", self.root, "ls-files", "-co", "--exclude-standard"], check=True,
                                 capture_output=True, text=True).stdout.split("\n")
        else:
            out = [os.path.relpath(os.path.join(folder, name), self.root)
                   for folder, _, names in os.walk(self.root) for name in names]
        self.files = sorted(f for f in set(out) if f and os.path.isfile(os.path.join(self.root, f)))

    def ending(self, *ends):
        return [f for f in self.files if f.endswith(ends)]

    def lines(self, file):
        if file not in self.cache:
            with open(os.path.join(self.root, file), encoding="utf-8", errors="replace") as stream:
                self.cache[file] = stream.read().split("\n")
        return self.cache[file]

    def numbered(self, file):
        return enumerate(self.lines(file), 1)


def includes(tree, file):
    for number, line in tree.numbered(file):
        found = re.match(r'\s*#\s*include\s*(["<])([^">]+)[">]', line)
        if found:
            yield number, found.group(1), found.group(2)


def room_of(file):
    parts = file.split("/")
    return parts[1] if len(parts) > 2 and parts[0] == "src" else None


def sees_torch(file):
    return room_of(file) in TORCH_ROOMS or (room_of(file) in ("tasks", "cli") and
                                           re.search(r"_build\.(cpp|h)$", file) is not None)


def rule_room_direction(tree):
    """A room includes only from itself and from rooms above it."""
    for file in tree.ending(*CODE):
        room = room_of(file)
        if room is None:
            continue
        if room not in ROOMS:
            yield file, 1, f"src/{room} is no room; the rooms are {' '.join(ROOMS)}"
            continue
        for number, quote, path in includes(tree, file):
            other = path.split("/")[0]
            if other in ROOMS and ROOMS.index(other) > ROOMS.index(room):
                yield file, number, f"{room} may not include from {other}, which stands below it: move the shared part up"
            if path.startswith("../"):
                yield file, number, f'include "{path}" by its room: "room/file.h"'


def only_in(tree, pattern, allowed, what):
    for file in tree.ending(*CODE):
        if not file.startswith("src/") or allowed(file):
            continue
        for number, _, path in includes(tree, file):
            if re.match(pattern, path):
                yield file, number, f"<{path}>: {what}"


def rule_torch_headers(tree):
    """LibTorch is seen by nn, parallel, train and by files *_build.cpp; never by a .cu file."""
    torch = r"(torch|ATen|c10)/"
    yield from only_in(tree, torch, lambda f: sees_torch(f) and not f.endswith((".cu", ".cuh")),
                       "only nn, parallel, train and tasks/*_build.cpp see LibTorch, and no .cu file does")


def rule_mpi_headers(tree):
    """MPI stays inside comm."""
    yield from only_in(tree, r"mpi(-ext)?\.h$", lambda f: room_of(f) == "comm", "only comm speaks MPI; use comm/communicator.h")


def rule_nccl_headers(tree):
    """NCCL stays inside comm."""
    yield from only_in(tree, r"(.*/)?nccl\.h$", lambda f: room_of(f) == "comm", "only comm speaks NCCL; use comm/communicator.h")


def rule_cuda_headers(tree):
    """CUDA stays inside device, comm, kernels, .cu files and files *_cuda.cpp."""
    cuda = r"(cuda[a-z_0-9]*|cublas[a-zA-Z_0-9]*|cudnn[a-z_0-9]*|cub/.*|nvtx3/.*)(\.h|\.hpp|\.cuh)$|cooperative_groups|cub/"
    yield from only_in(tree, cuda, lambda f: room_of(f) in ("device", "comm", "kernels") or f.endswith((".cu", ".cuh", "_cuda.cpp")),
                       "CUDA headers stay inside device, comm, kernels, .cu files and *_cuda.cpp")


def rule_toml_headers(tree):
    """toml++ is known to one file."""
    yield from only_in(tree, r"toml\+\+/", lambda f: f == "src/core/config_toml.cpp", "only core/config_toml.cpp knows toml++")


def rule_licence_lines(tree):
    """Every file that has comments carries its SPDX line; what tests read as input does not."""
    for file in tree.files:
        name = os.path.basename(file)
        is_page = file.endswith((".md", ".toml", ".svg")) and not file.startswith("tests/")
        if not (is_page or file.endswith(CODE + SCRIPTS) or name in ("CMakeLists.txt", "dev", "run")):
            continue
        if not any("SPDX-License-Identifier: Apache-2.0" in line for line in tree.lines(file)[:3]):
            yield file, 1, "the line `SPDX-License-Identifier: Apache-2.0` is missing at its top"


def rule_headers_once(tree):
    """Headers are guarded by #pragma once."""
    for file in tree.ending(".h", ".cuh"):
        if not any(line.strip() == "#pragma once" for line in tree.lines(file)):
            yield file, 1, "#pragma once is missing"


def rule_nothing_left_undone(tree):
    """What is not done is not promised in a comment."""
    word = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X|HA" + r"CK)\b")
    for file in tree.ending(*CODE, *SCRIPTS, ".md", ".toml", "CMakeLists.txt", "dev"):
        if file.startswith("tests/rules/"):
            continue
        for number, line in tree.numbered(file):
            found = word.search(line)
            if found:
                yield file, number, f"{found.group(1)}: do it, or write an issue"


def rule_file_size(tree):
    """A file is worth splitting before it is long."""
    for file in tree.ending(*CODE, *SCRIPTS, "dev"):
        count = len(tree.lines(file))
        if count > MAX_LINES + 1:
            yield file, MAX_LINES, f"{count - 1} lines; split it by what it does (at most {MAX_LINES})"


def rule_no_machine_paths(tree):
    """Nothing depends on where one person's checkout lies."""
    path = re.compile(r"(?<![\w.}$/-])/(work|root|home)/[\w.-]+|(?<![\w.}$/-])/tmp/b-")
    for file in tree.files:
        if not file.endswith(CODE + SCRIPTS + (".md", ".toml", ".json", ".txt", ".html", ".svg", "dev", ".yml")) or file.startswith("tests/rules/"):
            continue
        for number, line in tree.numbered(file):
            found = path.search(line)
            if found:
                yield file, number, f"{found.group(0)} is a path of one machine"


def rule_changelog(tree):
    """The version that CMakeLists.txt states has its part in CHANGELOG.md."""
    if "CMakeLists.txt" not in tree.files:
        return
    version = re.search(r"project\(\s*ocoee\s+VERSION\s+([\d.]+)", "\n".join(tree.lines("CMakeLists.txt")))
    text = "\n".join(tree.lines("CHANGELOG.md")) if "CHANGELOG.md" in tree.files else ""
    if version and not re.search(r"^## +" + re.escape(version.group(1)), text, re.M):
        yield "CHANGELOG.md", 1, f"has no part `## {version.group(1)}`"


def anchors_of(lines):
    fenced = False
    for line in lines:
        if line.startswith("```"):
            fenced = not fenced
        heading = re.match(r"#{1,6}\s+(.*)", line)
        if heading and not fenced:
            text = re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", heading.group(1)).strip().lower()
            yield re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
        for name in re.findall(r'<a (?:id|name)="([^"]+)"', line):
            yield name


def rule_links(tree):
    """Every relative link of README and docs leads somewhere."""
    link = re.compile(r'(?:\]\(|(?:src|href)=")([^)"\s]+)')
    for file in tree.ending(".md"):
        fenced = False
        for number, line in tree.numbered(file):
            if line.startswith("```"):
                fenced = not fenced
            if fenced:
                continue
            for target in link.findall(re.sub(r"`[^`]*`", "", line)):
                if re.match(r"[a-z]+:", target):
                    continue
                path, _, anchor = target.partition("#")
                full = os.path.normpath(os.path.join(os.path.dirname(file), path)) if path else file
                if not os.path.exists(os.path.join(tree.root, full)):
                    yield file, number, f"the link {target} leads nowhere"
                elif anchor and full.endswith(".md") and anchor not in anchors_of(tree.lines(full)):
                    yield file, number, f"{full} has no heading for #{anchor}"


def rule_documents_linked(tree):
    """Every page of docs/ is reached from another page."""
    pages = [f for f in tree.ending(".md") if f.startswith("docs/")]
    linked = set()
    for file in tree.ending(".md"):
        for target in re.findall(r"\]\(([^)#\s]+)", "\n".join(tree.lines(file))):
            full = os.path.normpath(os.path.join(os.path.dirname(file), target))
            if full != file:
                linked.add(full)
    for page in pages:
        if page not in linked and os.path.dirname(page) not in linked:
            yield page, 1, "no page links here: add it to README.md or to an index"


PLACEHOLDER = re.compile(r"(?<![A-Za-z])[A-Z]+(?![a-z])")  # NAME, FIELD, N: any


def paths_in_backticks(tree, file):
    """(line, path) of what a page names in backticks and what lies, by its first folder, in the tree."""
    tops = {f.split("/")[0] for f in tree.files if "/" in f}
    fenced = False
    for number, line in tree.numbered(file):
        if line.startswith("```"):
            fenced = not fenced
        if fenced:
            continue
        for word in (word for code in re.findall(r"`([^`]+)`", line) for word in code.split()):
            path = re.sub(r"(:\d+)?[,.;:]*$", "", word)
            top = path.split("/")[0]
            if not re.fullmatch(r"[\w.*+{},-]+(/[\w.*+{},-]*)+", path):
                continue
            if top in tops:
                yield number, path
            elif top in ROOMS and path.endswith(CODE):
                yield number, "src/" + path


WRITTEN_HERE = {"machines/here.toml"}  # by `ocoee calibrate`


def alternatives(path):
    """a.{h,cpp} is a.h and a.cpp."""
    braces = re.search(r"\{([^{}]*)\}", path)
    if not braces:
        return [path]
    return [whole for part in braces.group(1).split(",") for whole in alternatives(path[:braces.start()] + part + path[braces.end():])]


def rule_paths_exist(tree):
    """What a page calls a file of the tree is one."""
    there = set(tree.files)
    for f in tree.files:
        while "/" in f:
            f = os.path.dirname(f)
            there.add(f)
    for file in tree.ending(".md"):
        if file == "CHANGELOG.md":  # tells of what was, too
            continue
        for number, named in paths_in_backticks(tree, file):
            for path in alternatives(named):
                pattern = PLACEHOLDER.sub("*", path.rstrip("/"))
                if path not in WRITTEN_HERE and not (pattern in there or fnmatch.filter(there, pattern)):
                    yield file, number, f"{path} is not in the tree"


def run_tool(tree, tool, arguments, files, pattern):
    """One line a violation from an outside tool; the tool's absence is a violation too."""
    if not files:
        return
    if not shutil.which(tool):
        yield files[0], 1, f"{tool} is not installed, so nothing was checked: apt-get install {tool}"
        return
    result = subprocess.run([tool, *arguments, *files], cwd=tree.root, capture_output=True, text=True)
    seen = set()
    for line in (result.stdout + result.stderr).split("\n"):
        found = re.match(pattern, line)
        if found and (found.group(1), found.group(2)) not in seen:
            seen.add((found.group(1), found.group(2)))
            yield found.group(1), int(found.group(2)), found.group(3)
    if result.returncode != 0 and not seen:
        yield files[0], 1, f"{tool} failed: {result.stderr.strip()[:200]}"


def rule_clang_format(tree):
    """The code is as clang-format 14 leaves it."""
    if ".clang-format" not in tree.files:
        return
    per_file = {}
    for file, number, _ in run_tool(tree, "clang-format-14", ["--dry-run", "--Werror"], tree.ending(".h", ".cpp", ".cu", ".cuh"),
                                    r"(\S+?):(\d+):\d+: error: (.*)"):
        per_file.setdefault(file, []).append(number)
    for file, numbers in per_file.items():
        yield file, numbers[0], f"{len(numbers)} places differ from clang-format: ./dev format"


def rule_shell_scripts(tree):
    """Shell scripts pass shellcheck."""
    files = [f for f in tree.files if f.endswith(".sh") or f in ("dev", ".ci/run")]
    yield from run_tool(tree, "shellcheck", ["-f", "gcc"], files, r"(\S+?):(\d+):\d+: (?:error|warning|note): (.*)")


def rule_recipe_version(tree):
    """Every recipe states its version."""
    for file in tree.ending(".toml"):
        if file.startswith("recipes/") and not any(re.match(r"version\s*=\s*1\b", line) for line in tree.lines(file)):
            yield file, 1, "`version = 1` is missing"


RULES = {name[5:].replace("_", "-"): rule for name, rule in sorted(globals().items()) if name.startswith("rule_")}


def main():
    parser = argparse.ArgumentParser(description="checks the rules of the house")
    parser.add_argument("--root", default=os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
    parser.add_argument("--list", action="store_true")
    parser.add_argument("rules", nargs="*")
    options = parser.parse_args()
    if options.list:
        for name, rule in RULES.items():
            print(f"{name:22} {rule.__doc__}")
        return 0
    tree = Tree(options.root)
    broken = 0
    for name in options.rules or RULES:
        if name not in RULES:
            sys.exit(f"there is no rule {name}; --list shows them")
        for file, line, text in RULES[name](tree):
            print(f"{file}:{line}: {name}: {text}")
            broken += 1
    print(f"{len(tree.files)} files, {broken} violations" if broken else f"{len(tree.files)} files, no violation")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
