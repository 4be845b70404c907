# SPDX-License-Identifier: Apache-2.0
"""Runs of `ocoee` and of its peers, each under a limit, and what they left behind."""
import contextlib
import json
import os
import pathlib
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
MEMORY = pathlib.Path("/dev/shm") if pathlib.Path("/dev/shm").is_dir() else None


def launched(ranks, command):
    return [str(ROOT / "tests/mpirun.sh"), str(ranks)] + command if ranks > 1 else command


def torchrun(gpus, script, *options):
    return [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={gpus}", script, *options]


def environment(processes, card=None):
    """Threads are shared out; one card is all that a process sees where it is named. Nobody takes NVLink multicast."""
    out = os.environ | {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // processes)), "NCCL_NVLS_ENABLE": "0",
                        "TORCH_SYMM_MEM_DISABLE_MULTICAST": "1"}
    if card is None:
        return out
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")  # a card is counted among those that this program sees
    return out | {"CUDA_VISIBLE_DEVICES": visible.split(",")[card] if visible else str(card)}


def json_lines(text):
    out = []
    for line in text.splitlines():
        with contextlib.suppress(json.JSONDecodeError):
            if line.startswith("{"):
                out.append(json.loads(line))
    return out


def end(process):
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    return process.communicate()[0]


def output(command, timeout, processes=1):
    """What it prints on stdout; empty, with the reason on stderr, where it fails, hangs or is not there."""
    with tempfile.TemporaryFile("w+") as errors:
        try:
            process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=errors, text=True, start_new_session=True,
                                       env=environment(processes))
            text = process.communicate(timeout=timeout)[0]
            if process.returncode == 0:
                return text
            errors.seek(0)
            print("failed:", " ".join(command), "\n", (errors.read() or text)[-1500:], file=sys.stderr, flush=True)
        except OSError as error:
            print("failed:", error, file=sys.stderr, flush=True)
        except subprocess.TimeoutExpired:
            end(process)
            print("failed:", " ".join(command), f"took more than {timeout:.0f} s", file=sys.stderr, flush=True)
    return ""


def clocks():
    """MHz and W of each card right now, to tell which one its power limit slows."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    query = ["nvidia-smi", "--query-gpu=clocks.sm,power.draw", "--format=csv,noheader,nounits", *(["-i", visible] if visible else [])]
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        lines = subprocess.run(query, capture_output=True, text=True, timeout=5, check=True).stdout.splitlines()
        return [[float(x) for x in re.findall(r"[\d.]+", line)] for line in lines]
    return []


class Run:
    """`ocoee run` in a folder of its own in memory; `steps` are the lines it has logged."""

    def __init__(self, build, recipe, ranks, keys, folder, card=None, processes=None):
        self.metrics = pathlib.Path(folder) / "metrics.jsonl"
        self.folder, self.steps = pathlib.Path(folder), []
        self.command = launched(ranks, [f"{build}/ocoee", "run", f"recipes/{recipe}", f"run.dir={folder}", *keys])
        self.text = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(self.command, cwd=ROOT, stdout=self.text, stderr=subprocess.STDOUT, text=True,
                                        start_new_session=True, env=environment(processes or ranks, card))

    def look(self):
        if self.metrics.exists():
            whole = self.metrics.read_text().rpartition("\n")[0]
            self.steps = [row for row in json_lines(whole) if row.get("kind") == "step"]
        return self.steps[-1]["step"] if self.steps else 0

    def said(self):
        self.text.seek(0)
        return self.text.read()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        ranks = engines(self).values()
        end(self.process)
        for rank in ranks:  # they outlive their launcher by a second, and would run beside the next case
            with contextlib.suppress(ProcessLookupError):
                os.kill(rank, signal.SIGKILL)
        while any(alive(rank) for rank in ranks):
            time.sleep(0.01)
        self.text.close()


def wait_for(runs, done, timeout):
    """Until done(run) or its process has ended, for each; True if all are done."""
    stop = time.monotonic() + timeout
    while time.monotonic() < stop:
        if all(done(run) or run.process.poll() is not None for run in runs):
            break
        time.sleep(0.1)
    ok = [done(run) for run in runs]
    for run, good in zip(runs, ok):
        if not good:
            print("failed:", " ".join(run.command), "\n", run.said()[-1500:], file=sys.stderr, flush=True)
    return all(ok)


def figures_of(run, every, clock):
    """Medians over the logged stretches after the first two, which hold the eager steps and the capture."""
    steps = [row for row in run.steps if row["step"] % every == 0][2:]
    plan = json.loads((run.folder / "plan.json").read_text())  # written before the first step
    return {"tokens_per_second": statistics.median(row["tokens_per_second"] for row in steps),
            "step_seconds": statistics.median(row["step_seconds"] for row in steps), "loss": steps[-1]["loss"],
            "peak_bytes": steps[-1].get("peak_bytes"), "planned_bytes": plan["memory_total_bytes"],
            "planned_seconds": plan.get("predicted", {}).get("seconds"), "clocks": clock}


def bubble_of(run):
    """What the stages' own events say of its last step, and the formula: time lost over time computed."""
    record = json.loads((run.folder / "summary.json").read_text())["pipeline"]
    return {"bubble": record["bubble_measured"], "ideal_bubble": record["bubble_predicted"]}


def train(build, recipe, ranks, keys, steps, every, timeout, cards=None, pipeline=False):
    """Figures of one run over `ranks` GPUs, or of one run on each of `cards` at the same time. A run ends with its last logged
    step: the checkpoint after it is no part of this. That of a pipeline ends by itself, and has written how its stages went."""
    keys = [f"train.steps={steps + 1}", f"run.log_every={every}", "run.deterministic=false", "run.save_at_start=false",
            "train.evaluate_every=0", *keys]
    with contextlib.ExitStack() as stack:
        runs = []
        for card in cards or [None]:
            folder = stack.enter_context(tempfile.TemporaryDirectory(dir=MEMORY))
            runs.append(stack.enter_context(Run(build, recipe, ranks, keys, folder + "/run", card, len(cards or []) or ranks)))
        begin = time.monotonic()
        if not wait_for(runs, lambda run: run.look() >= steps, timeout):
            return None
        clock = clocks()
        figures = [figures_of(run, every, clock) for run in runs]
        if pipeline and wait_for(runs, lambda run: run.process.poll() == 0, timeout - (time.monotonic() - begin)):
            figures[0] |= bubble_of(runs[0])
        return figures


def engines(run):
    """{rank: process id} of the job's engine processes."""
    found = {}
    for entry in pathlib.Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if not entry.name.isdigit() or f"run.dir={run.folder}".encode() not in (entry / "cmdline").read_bytes().split(b"\0"):
                continue
            if not os.readlink(entry / "exe").endswith("/ocoee-engine"):
                continue
            rank = re.search(rb"(?:OMPI_COMM_WORLD_RANK|PMIX_RANK|PMI_RANK)=(\d+)", (entry / "environ").read_bytes())
            if rank:
                found[int(rank[1])] = int(entry.name)
    return found


def kill_a_rank(build, recipe, ranks, keys, victim, timeout):
    """Seconds from `kill -9` of one rank in mid-training to the end of all others, and what they said."""
    keys = ["train.steps=100000", "run.log_every=5", "run.deterministic=false", "run.save_at_start=false", "train.evaluate_every=0", *keys]
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder, Run(build, recipe, ranks, keys, folder + "/run") as run:
        if not wait_for([run], lambda one: one.look() >= 10, timeout):
            return None
        processes = engines(run)
        if victim not in processes or len(processes) != ranks:
            print("failed: the engine processes of the ranks are", processes, file=sys.stderr, flush=True)
            return None
        os.kill(processes.pop(victim), signal.SIGKILL)
        begin = time.monotonic()
        while any(alive(process) for process in processes.values()) and time.monotonic() - begin < 60:
            time.sleep(0.01)
        seconds = time.monotonic() - begin
        with contextlib.suppress(subprocess.TimeoutExpired):
            run.process.wait(timeout=10)
        named = [line.strip() for line in run.said().splitlines() if re.search(rf"rank {victim} of {ranks}\b", line)]
        return {"killed": victim, "seconds": seconds, "message": named[0] if named else None}


def alive(process):
    try:
        return pathlib.Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
