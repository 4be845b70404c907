#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The front door, ./dev, on machines that lack something: one clear line, nothing half done, and no network the second time.

A copy of the tree's face (links) stands in a scratch folder; PATH is a folder of links to this machine's programs, less
those that a case hides, with stand-ins for those that would reach a registry.
"""
import os
import pathlib
import shutil
import stat
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
GENOME = pathlib.Path("/usr/share/doc/ragout/examples/E.Coli/references/MG1655-K12.fasta.gz")
INSTALLED = 'printf "install ok installed"\n'
# What pip would download: an archive with the files that setup looks for.
PIP = """case "$*" in
*"-m pip --version"*) exit 0 ;;
*"pip download"*)
  echo "$@" >>"$CASE_FOLDER/downloads"
  while [ "$1" != -d ]; do shift; done
  exec "$REAL_PYTHON" - "$2" <<'PY'
import sys, zipfile
with zipfile.ZipFile(sys.argv[1] + "/a.whl", "w") as wheel:
    for name in ("torch/lib/libtorch_cpu.so", "torch/version.py", "torch/bin/unused", "nvidia/cu13/include/x.h"):
        wheel.writestr(name, "stand-in")
PY
  ;;
*) exec "$REAL_PYTHON" "$@" ;;
esac
"""
PIP_OFFLINE = """case "$*" in
*"-m pip --version"*) exit 0 ;;
*) echo "ERROR: Could not find a version that satisfies the requirement torch==2.11.0" >&2; exit 1 ;;
esac
"""
APT_OFFLINE = 'echo "E: Unable to fetch some archives" >&2; exit 100\n'
NEVER = 'echo "$0 $*" >>"$CASE_FOLDER/network"; exit 1\n'


class Dev(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="ocoee-front-door-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.clone, self.bin, self.deps = self.folder / "clone", self.folder / "bin", self.folder / "deps"
        self.clone.mkdir()
        for entry in ("CMakeLists.txt", "cmake", "src", "tests", "bench", "recipes"):
            (self.clone / entry).symlink_to(ROOT / entry)
        shutil.copy(ROOT / "dev", self.clone / "dev")
        self.bin.mkdir()
        for folder in os.environ["PATH"].split(":"):
            if not os.path.isdir(folder):
                continue
            for name in os.listdir(folder):
                if not os.path.lexists(self.bin / name):
                    (self.bin / name).symlink_to(os.path.join(folder, name))
        self.fake("dpkg-query", INSTALLED)
        self.fake("apt-get", NEVER)

    def hide(self, *names):
        for name in names:
            if os.path.lexists(self.bin / name):
                (self.bin / name).unlink()

    def fake(self, name, script):
        self.hide(name)
        (self.bin / name).write_text("#!/bin/bash\n" + script)
        (self.bin / name).chmod(0o755)

    def torch(self, version="2.11.0", abi="__cxx11"):
        """A folder that looks like the wheel as far as configuring looks."""
        lib, include = self.folder / "site/torch/lib", self.folder / "site/torch/include/torch/headeronly"
        lib.mkdir(parents=True)
        include.mkdir(parents=True)
        (lib / "libtorch_cpu.so").touch()
        (lib / "libc10.so").write_text(f"std::{abi}::basic_string\n")
        (include / "version.h").write_text("".join(
            f"#define TORCH_VERSION_{part} {number}\n" for part, number in zip(("MAJOR", "MINOR", "PATCH"), version.split("."))))
        return {"OCOEE_TORCH": str(self.folder / "site")}

    def genome(self):
        (self.clone / "data").mkdir()
        (self.clone / "data/ecoli_mg1655.fasta.gz").touch()

    def dev(self, *arguments, **variables):
        environment = {"PATH": str(self.bin), "HOME": str(self.folder), "CASE_FOLDER": str(self.folder), "TMPDIR": str(self.folder),
                       "REAL_PYTHON": sys.executable, "OCOEE_DEPS": str(self.deps), **variables}
        return subprocess.run(["bash", str(self.clone / "dev"), *arguments], env=environment, text=True, capture_output=True,
                              check=False, timeout=300)

    def refused(self, *what, run):
        self.assertEqual(run.returncode, 1, run.stdout + run.stderr)
        said = [line for line in run.stderr.splitlines() if line]
        self.assertEqual(len(said), 1, run.stderr)
        for word in ("dev: ",) + what:
            self.assertIn(word, said[0])
        left = [path for path in self.folder.iterdir() if path.name.startswith("tmp.")]
        left += self.deps.glob(".fetch-*") if self.deps.exists() else []
        self.assertEqual(left, [], "scratch files stay")

    def test_machine_of_another_kind(self):
        self.fake("uname", "echo aarch64\n")
        self.refused("this machine is aarch64", "x86-64", run=self.dev("setup", **self.torch()))

    def test_cpu_without_avx2(self):
        self.fake("grep", "exit 1\n")
        self.refused("no AVX2", run=self.dev("build", **self.torch()))

    def test_no_compiler(self):
        self.genome()
        self.hide("g++")
        self.refused("no C++ compiler", "./dev setup", run=self.dev("build", **self.torch()))

    def test_no_cmake_or_ninja(self):
        self.genome()
        torch = self.torch()
        self.hide("ninja")
        self.refused("no ninja", run=self.dev("build", **torch))
        self.hide("cmake")
        self.refused("no cmake", run=self.dev("build", **torch))

    def test_no_mpi(self):
        self.genome()
        run = self.dev("build", "-DCMAKE_DISABLE_FIND_PACKAGE_MPI=ON", **self.torch())
        self.refused("Ocoee needs an MPI", "libopenmpi-dev", run=run)
        self.assertIn("Ocoee needs an MPI", (self.clone / "build/configure.log").read_text())

    def test_wheel_of_another_version(self):
        self.genome()
        self.refused("is version '2.9.1'", "Ocoee needs 2.11.0", run=self.dev("build", **self.torch(version="2.9.1")))

    def test_wheel_of_another_abi(self):
        self.genome()
        self.refused("C++ ABI", "torch==2.11.0", run=self.dev("build", **self.torch(abi="old")))

    def test_no_torch_where_it_is_said_to_be(self):
        self.genome()
        self.refused("Ocoee needs LibTorch 2.11.0", run=self.dev("build", OCOEE_TORCH=str(self.folder / "nowhere")))

    def test_package_registry_out_of_reach(self):
        self.fake("dpkg-query", 'case "$*" in *mold*) exit 1 ;; *) printf "install ok installed" ;; esac\n')
        self.fake("apt-get", APT_OFFLINE)
        self.fake("id", "echo 0\n")
        self.refused("could not install mold", "E: Unable to fetch", "in reach?", run=self.dev("setup"))

    def test_neither_root_nor_sudo(self):
        self.fake("dpkg-query", "exit 1\n")
        self.fake("id", "echo 1000\n")
        self.hide("sudo")
        self.refused("neither root nor a user with sudo", "openmpi-bin", run=self.dev("setup"))

    def test_another_distribution(self):
        self.hide("dpkg-query")
        self.refused("no Debian or Ubuntu", "OCOEE_PACKAGES=have", run=self.dev("setup"))

    def test_python_registry_out_of_reach(self):
        self.fake("python3", PIP_OFFLINE)
        self.refused("could not fetch torch==2.11.0", "ERROR: Could not find", "in reach?", run=self.dev("setup"))

    def test_no_pip(self):
        self.fake("python3", "exit 1\n")
        self.refused("python3-pip", run=self.dev("setup"))

    def test_wheels_have_no_place(self):
        self.deps.write_text("a file")
        run = self.dev("setup")
        self.refused("OCOEE_DEPS", run=run)

    def test_genome_cannot_be_had(self):
        self.fake("apt-get", APT_OFFLINE)
        self.fake("id", "echo 0\n")
        self.refused("NC_000913", "data/ecoli_mg1655.fasta.gz", run=self.dev("setup", **self.torch()))
        self.assertFalse((self.clone / "data/ecoli_mg1655.fasta.gz").exists())

    def test_genome_among_the_documentation(self):
        shipped = self.folder / GENOME.relative_to("/")
        shipped.parent.mkdir(parents=True)
        shipped.write_text("genome")
        self.fake("dpkg-query", f'case "$*" in "-L ragout-examples") echo {shipped} ;; *) {INSTALLED.strip()} ;; esac\n')
        self.assertEqual(self.dev("setup", **self.torch()).returncode, 0)
        self.assertEqual((self.clone / "data/ecoli_mg1655.fasta.gz").read_text(), "genome")

    def test_second_time_needs_no_network(self):
        self.fake("python3", PIP)
        self.fake("apt-get", 'case "$*" in *download*) touch ragout-examples_1.deb ;; *) exit 1 ;; esac\n')
        self.fake("dpkg-deb", f'mkdir -p "$3{GENOME.parent}" && echo genome >"$3{GENOME}"\n')
        first = self.dev("setup")
        self.assertEqual(first.returncode, 0, first.stderr)
        self.assertEqual(len((self.folder / "downloads").read_text().splitlines()), 3)
        self.assertTrue((self.deps / "torch/lib/libtorch_cpu.so").exists())
        self.assertFalse((self.deps / "torch/bin").exists(), "what nobody links is unpacked")
        self.assertTrue((self.clone / "data/ecoli_mg1655.fasta.gz").stat().st_size > 0)
        for name in ("apt-get", "python3", "dpkg-deb"):
            self.fake(name, NEVER)
        second = self.dev("setup")
        self.assertEqual(second.returncode, 0, second.stderr)
        self.assertFalse((self.folder / "network").exists(), "the second setup went to a registry")
        self.assertIn("all there", second.stdout)

    def test_an_interrupted_unpacking_is_done_again(self):
        self.genome()
        self.fake("python3", PIP)
        self.assertEqual(self.dev("setup").returncode, 0)
        shutil.rmtree(self.deps / "torch")
        for mark in self.deps.glob(".have-torch-*"):
            mark.unlink()
        self.assertEqual(self.dev("setup").returncode, 0)
        self.assertTrue((self.deps / "torch/lib/libtorch_cpu.so").exists())
        self.assertEqual(len((self.folder / "downloads").read_text().splitlines()), 4)

    def test_words_that_are_no_verb(self):
        self.refused("no verb 'trian'", "./dev help", run=self.dev("trian"))
        self.refused("'--al'", run=self.dev("test", "--al"))
        help_text = self.dev("help")
        self.assertEqual(help_text.returncode, 0)
        for verb in ("demo", "test", "setup", "build", "cuda"):
            self.assertIn(f"./dev {verb}", help_text.stdout)

    def test_is_a_program(self):
        self.assertTrue(os.stat(ROOT / "dev").st_mode & stat.S_IXUSR)


if __name__ == "__main__":
    unittest.main()
